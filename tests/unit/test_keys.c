#include "net/keys.h"

#include "folder.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ALICE "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define BOB   "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

#define KEY_FILE "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n"

static char s_error[512];

static void test_keys_survive_the_file(void **state)
{
    (void)state;
    pcl_keys keys, loaded;
    pcl_keys_make(&keys);
    const char *file = folder_file("own.key");
    assert_true(pcl_keys_save(&keys, file, s_error, sizeof s_error));
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(pcl_keys_load(&loaded, file, s_error, sizeof s_error));
    assert_memory_equal(&keys, &loaded, sizeof keys);
    assert_false(pcl_keys_save(&keys, file, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "own.key"));
    pcl_keys_wipe(&keys);
    assert_string_equal(keys.secret_key, "");
}

static void s_refuse_keys(const char *text, mode_t mode, const char *expected)
{
    pcl_keys keys;
    memset(&keys, 'x', sizeof keys);
    const char *file = folder_write("bad.key", text, mode);
    assert_false(pcl_keys_load(&keys, file, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "bad.key: "));
    assert_non_null(strstr(s_error, expected));
    assert_int_equal(keys.secret_key[0], 'x');
}

static void test_key_files_that_are_refused(void **state)
{
    (void)state;
    pcl_keys keys, loaded, other;
    pcl_keys_make(&keys);
    pcl_keys_make(&other);
    char good[512], mixed[512];
    snprintf(good, sizeof good, KEY_FILE, keys.public_key, keys.secret_key);
    snprintf(mixed, sizeof mixed, KEY_FILE, other.public_key, keys.secret_key);
    const char *file = folder_write("good.key", good, 0400);
    assert_true(pcl_keys_load(&loaded, file, s_error, sizeof s_error));
    s_refuse_keys(good, 0640, "readable by its owner only");
    s_refuse_keys(good, 0604, "readable by its owner only");
    s_refuse_keys(mixed, 0600, "does not belong");
    char twice[1024];
    snprintf(twice, sizeof twice, "%s    secret-key = \"%s\"\n", good, other.secret_key);
    s_refuse_keys(twice, 0600, "stands twice");
    s_refuse_keys("", 0600, "public-key must be");
    s_refuse_keys("curve\n    public-key = \"" ALICE "\"\n", 0600, "secret-key must be");
    s_refuse_keys("curve\n    public-key = short\n", 0600, "40 characters");
    s_refuse_keys("curve\n  public-key = x\n", 0600, "steps of four");
    assert_false(pcl_keys_load(&loaded, folder_file("none"), s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "No such file"));
    assert_false(pcl_keys_load(&loaded, folder_path, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "not a regular file"));
}

static void test_a_key_is_forty_characters_of_z85(void **state)
{
    (void)state;
    assert_true(pcl_key_valid(ALICE));
    assert_false(pcl_key_valid(NULL));
    assert_false(pcl_key_valid(""));
    assert_false(pcl_key_valid("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf"));
    assert_false(pcl_key_valid("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf77"));
    assert_false(pcl_key_valid("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf~"));
    assert_false(pcl_key_valid("########################################")); /* over 2^32 */
}

static void test_a_list_is_found_by_key(void **state)
{
    (void)state;
    const char *file = folder_write("list",
                                    "# who may come in\n"
                                    "alice  " ALICE "\n"
                                    "\n"
                                    "\tbob " BOB "   admin # a role\r\n",
                                    0644);
    pcl_key_list *list = pcl_key_list_load(file, s_error, sizeof s_error);
    assert_non_null(list);
    pcl_key_list *copy = pcl_key_list_copy(list);
    pcl_key_list_destroy(&list);
    assert_null(list);
    assert_int_equal(pcl_key_list_count(copy), 2);
    assert_string_equal(pcl_key_list_find(copy, ALICE)->name, "alice");
    assert_string_equal(pcl_key_list_find(copy, ALICE)->role, "");
    assert_string_equal(pcl_key_list_find(copy, BOB)->role, "admin");
    assert_string_equal(pcl_key_list_at(copy, 1)->public_key, BOB);
    assert_null(pcl_key_list_find(copy, ""));
    pcl_key_list_destroy(&copy);
}

/* Z85 has the character that starts a comment. */
static void test_a_key_may_begin_with_the_comment_sign(void **state)
{
    (void)state;
    const char *key = "#q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    char text[128];
    snprintf(text, sizeof text, "carol %s #comment\n", key);
    pcl_key_list *list = pcl_key_list_load(folder_write("list", text, 0644), s_error,
                                           sizeof s_error);
    if (!pcl_key_valid(key)) { /* the first five characters are over 2^32 */
        assert_null(list);
        key = "0#:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
        snprintf(text, sizeof text, "carol %s #comment\n", key);
        list = pcl_key_list_load(folder_write("list", text, 0644), s_error, sizeof s_error);
    }
    assert_non_null(list);
    assert_non_null(pcl_key_list_find(list, key));
    assert_string_equal(pcl_key_list_find(list, key)->role, "");
    pcl_key_list_destroy(&list);
}

static void test_lists_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } CASES[] = {
        {"alice\n", "line 1: the name must be followed"},
        {"alice " ALICE "\nalice " BOB "\n", "line 2: the name stands twice"},
        {"alice " ALICE "\nbob " ALICE "\n", "line 2: the key stands twice"},
        {"al/ice " ALICE "\n", "line 1: the name must be 1 to 63"},
        {"alice " ALICE " admin more\n", "line 1: nothing may follow"},
        {"alice " ALICE " ad+min\n", "line 1: the role must be"},
        {"# fine\n\nalice tooshort\n", "line 3: the name must be followed"},
        {"a23456789012345678901234567890123456789012345678901234567890123_ " ALICE "\n",
         "line 1: the name must be 1 to 63"},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        const char *file = folder_write("list", CASES[index].text, 0644);
        assert_null(pcl_key_list_load(file, s_error, sizeof s_error));
        assert_non_null(strstr(s_error, "/list: "));
        assert_non_null(strstr(s_error, CASES[index].expected));
    }
}

static void test_a_list_grows(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static char text[COUNT * 64];
    static pcl_keys keys[COUNT];
    size_t used = 0;
    for (int index = 0; index < COUNT; index++) {
        pcl_keys_make(&keys[index]);
        used += (size_t)snprintf(text + used, sizeof text - used, "p%d %s\n", index,
                                 keys[index].public_key);
    }
    pcl_key_list *list = pcl_key_list_load(folder_write("list", text, 0644), s_error,
                                           sizeof s_error);
    assert_non_null(list);
    for (int index = 0; index < COUNT; index++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", index);
        assert_string_equal(pcl_key_list_find(list, keys[index].public_key)->name, name);
    }
    pcl_key_list_destroy(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_survive_the_file),
        cmocka_unit_test(test_key_files_that_are_refused),
        cmocka_unit_test(test_a_key_is_forty_characters_of_z85),
        cmocka_unit_test(test_a_list_is_found_by_key),
        cmocka_unit_test(test_a_key_may_begin_with_the_comment_sign),
        cmocka_unit_test(test_lists_that_are_refused),
        cmocka_unit_test(test_a_list_grows),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
