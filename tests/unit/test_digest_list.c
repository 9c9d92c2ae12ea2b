#include "policy/digest_list.h"
#include "policy/files.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELECT_1 "58aaeed564aa450f  seen  select ?\n"
#define SELECT_A "503f02b04c3e6ef7  allowed  select a from t where b = ?\n"

static pcl_digest_list *s_read(const char *text)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    pcl_digest_list *list = pcl_digest_list_new();
    assert_non_null(list);
    assert_true(pcl_digest_list_read(list, pcl_bytes_text(text), "l", &problems));
    assert_int_equal(problems.size, 0);
    pcl_buffer_release(&problems);
    return list;
}

static pcl_digest_state s_find(const pcl_digest_list *list, const char *text)
{
    return pcl_digest_list_find(list, pcl_bytes_text(text));
}

static void s_assert_written(const pcl_digest_list *list, const char *original, const char *text)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, SIZE_MAX);
    assert_true(pcl_digest_list_write(list, pcl_bytes_text(original), &buffer));
    pcl_buffer_put_u8(&buffer, '\0');
    assert_string_equal((const char *)buffer.data, text);
    pcl_buffer_release(&buffer);
}

/* What libsodium and Python's hashlib.blake2b(digest_size=32) say of the text. */
static void the_id_is_the_start_of_the_hash(void **state)
{
    (void)state;
    char text[PCL_DIGEST_ID_TEXT_SIZE];
    uint64_t id = pcl_digest_id(pcl_bytes_text("select ?"));
    assert_true(id == UINT64_C(0x58aaeed564aa450f));
    pcl_digest_id_text(id, text);
    assert_string_equal(text, "58aaeed564aa450f");
    uint64_t back = 0;
    assert_true(pcl_digest_id_parse(pcl_bytes_text("58AAEED564aa450f"), &back));
    assert_true(back == id);
    assert_false(pcl_digest_id_parse(pcl_bytes_text("58aaeed564aa450"), &back));
    assert_false(pcl_digest_id_parse(pcl_bytes_text("58aaeed564aa450g"), &back));
}

static void lines_are_read(void **state)
{
    (void)state;
    pcl_digest_list *list = s_read("# a comment\n\n  " SELECT_1 SELECT_A "\t\r\n"
                                   "58aaeed564aa450f\tseen  select ?  \r\n");
    assert_int_equal(pcl_digest_list_count(list), 2);
    assert_int_equal(s_find(list, "select ?"), PCL_DIGEST_SEEN);
    assert_int_equal(s_find(list, "select a from t where b = ?"), PCL_DIGEST_ALLOWED);
    assert_int_equal(s_find(list, "select b from t where b = ?"), PCL_DIGEST_UNKNOWN);
    pcl_digest_entry entry;
    assert_true(pcl_digest_list_get(list, UINT64_C(0x503f02b04c3e6ef7), &entry));
    assert_true(pcl_bytes_is(entry.text, "select a from t where b = ?"));
    assert_false(pcl_digest_list_get(list, UINT64_C(0x503f02b04c3e6ef8), &entry));
    pcl_digest_list_destroy(&list);
    assert_null(list);
}

static void every_bad_line_is_named_and_the_others_are_in(void **state)
{
    (void)state;
    static const char text[] = "58aaeed564aa450f  seen  select ?\n"
                               "58aaeed564aa450e  allowed  select ?\n"
                               "58aaeed564aa450f  perhaps  select ?\n"
                               "58aaeed564aa450f  allowed\n"
                               "hello\n"
                               "58aaeed564aa450f  allowed  a\\b\n"
                               "58aaeed564aa450f  allowed  select ...\n" SELECT_A;
    static const char said[] =
        "l:2: the id is not that of the text\n"
        "l:3: the second word must be allowed or seen\n"
        "l:4: the text is missing\n"
        "l:5: must begin with an id of 16 hexadecimal digits\n"
        "l:6: the text is no digest: at most 4096 octets, backslash and control characters as "
        "\\xHH\n"
        "l:7: a digest that was cut (ends in ...) stands for more than one statement\n";
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    pcl_digest_list *list = pcl_digest_list_new();
    assert_non_null(list);
    assert_false(pcl_digest_list_read(list, pcl_bytes_text(text), "l", &problems));
    pcl_buffer_put_u8(&problems, '\0');
    assert_string_equal((const char *)problems.data, said);
    assert_int_equal(pcl_digest_list_count(list), 2);
    pcl_buffer_release(&problems);
    pcl_digest_list_destroy(&list);
}

static void the_higher_state_counts(void **state)
{
    (void)state;
    pcl_digest_list *list = pcl_digest_list_new();
    pcl_bytes text = pcl_bytes_text("select ?");
    assert_non_null(list);
    assert_true(pcl_digest_list_put(list, text, PCL_DIGEST_SEEN));
    assert_false(pcl_digest_list_put(list, text, PCL_DIGEST_SEEN));
    assert_true(pcl_digest_list_put(list, text, PCL_DIGEST_ALLOWED));
    assert_false(pcl_digest_list_put(list, text, PCL_DIGEST_SEEN));
    assert_int_equal(s_find(list, "select ?"), PCL_DIGEST_ALLOWED);
    assert_int_equal(pcl_digest_list_count(list), 1);
    assert_false(pcl_digest_list_put(list, pcl_bytes_text("select a, ..."), PCL_DIGEST_SEEN));
    assert_false(pcl_digest_list_put(list, pcl_bytes_text(""), PCL_DIGEST_SEEN));
    pcl_digest_list_destroy(&list);
}

static void a_list_is_bounded_and_sorted(void **state)
{
    (void)state;
    pcl_digest_list *list = pcl_digest_list_new();
    char text[64];
    assert_non_null(list);
    for (unsigned index = 0; index < PCL_DIGEST_LIST_COUNT_MAX; index++) {
        (void)snprintf(text, sizeof text, "select a%u", index);
        assert_true(pcl_digest_list_put(list, pcl_bytes_text(text), PCL_DIGEST_SEEN));
    }
    assert_false(pcl_digest_list_put(list, pcl_bytes_text("select more"), PCL_DIGEST_SEEN));
    assert_int_equal(pcl_digest_list_count(list), PCL_DIGEST_LIST_COUNT_MAX);
    for (unsigned index = 1; index < PCL_DIGEST_LIST_COUNT_MAX; index++) {
        assert_true(pcl_digest_list_at(list, index - 1).id < pcl_digest_list_at(list, index).id);
    }
    assert_int_equal(s_find(list, "select a0"), PCL_DIGEST_SEEN);
    assert_int_equal(s_find(list, "select a9999"), PCL_DIGEST_SEEN);
    assert_int_equal(s_find(list, "select a10000"), PCL_DIGEST_UNKNOWN);
    pcl_digest_list_destroy(&list);
}

static void comments_and_order_stay(void **state)
{
    (void)state;
    pcl_digest_list *list = s_read(SELECT_1 SELECT_A);
    assert_true(pcl_digest_list_put(list, pcl_bytes_text("delete from z"), PCL_DIGEST_ALLOWED));
    assert_true(pcl_digest_list_put(list, pcl_bytes_text("call p(?)"), PCL_DIGEST_SEEN));
    assert_true(pcl_digest_list_put(list, pcl_bytes_text("select ?"), PCL_DIGEST_ALLOWED));
    char line[2][128];
    char id[PCL_DIGEST_ID_TEXT_SIZE];
    pcl_digest_id_text(pcl_digest_id(pcl_bytes_text("call p(?)")), id);
    (void)snprintf(line[0], sizeof line[0], "%s  seen  call p(?)\n", id);
    pcl_digest_id_text(pcl_digest_id(pcl_bytes_text("delete from z")), id);
    (void)snprintf(line[1], sizeof line[1], "%s  allowed  delete from z\n", id);
    char expected[512];
    (void)snprintf(expected, sizeof expected,
                   "# first\n" SELECT_A "\n58aaeed564aa450f  allowed  select ?\n%s%s", line[0],
                   line[1]);
    s_assert_written(list, "# first\n" SELECT_A "\n" SELECT_1 SELECT_A "junk\n", expected);
    pcl_digest_list_destroy(&list);
}

static void any_text_comes_back(void **state)
{
    (void)state;
    static const char text[] = " select `a\nb\\c\x01\x7f\xc3\xa4`, `\xc2\x9b"
                               "31m`, `\xe2\x80\xae` ";
    pcl_digest_list *list = pcl_digest_list_new();
    pcl_buffer file;
    pcl_buffer_init(&file, SIZE_MAX);
    assert_non_null(list);
    assert_true(pcl_digest_list_put(list, pcl_bytes_text(text), PCL_DIGEST_ALLOWED));
    assert_true(pcl_digest_list_write(list, pcl_bytes_of(NULL, 0), &file));
    assert_null(memchr(file.data, '\x01', file.size));
    assert_null(memchr(file.data, 0x9b, file.size)); /* steers a terminal */
    assert_null(memchr(file.data, 0xae, file.size)); /* so does this */
    assert_non_null(memchr(file.data, 0xa4, file.size));
    pcl_buffer_put_u8(&file, '\0');
    pcl_digest_list *back = s_read((const char *)file.data);
    assert_int_equal(pcl_digest_list_find(back, pcl_bytes_text(text)), PCL_DIGEST_ALLOWED);
    pcl_buffer_release(&file);
    pcl_digest_list_destroy(&list);
    pcl_digest_list_destroy(&back);
}

/* --- Files --------------------------------------------------------------------- */

static char s_folder[] = "/tmp/pcl-policy-XXXXXX";

static const char *s_path(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *made = path[next++ % 4];
    (void)snprintf(made, sizeof path[0], "%s/%s", s_folder, name);
    return made;
}

static void s_write(const char *name, const char *text)
{
    char error[512] = "";
    assert_true(pcl_policy_file_replace(s_path(name), pcl_bytes_text(text), error, sizeof error));
}

static void s_assert_file(const char *name, const char *text)
{
    char content[4096] = "";
    FILE *file = fopen(s_path(name), "rb");
    assert_non_null(file);
    size_t size = fread(content, 1, sizeof content - 1, file);
    content[size] = '\0';
    (void)fclose(file);
    assert_string_equal(content, text);
}

static int s_make_folder(void **state)
{
    (void)state;
    return mkdtemp(s_folder) == NULL;
}

static int s_remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"policy.cfg", "app.list", "app.list.seen"};
    for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
        (void)unlink(s_path(names[index]));
    }
    return rmdir(s_folder);
}

#define POLICY(mode)                                                                               \
    "policy\n    version = \"1\"\nroles\n    plain\n    app\n        digests = \"" mode "\"\n"     \
    "        digest_list = \"app.list\"\nprincipals\n    a = \"app\"\n"

static bool s_load(pcl_policy_files *files, char *said, size_t said_size)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    bool good = pcl_policy_files_load(files, s_path("policy.cfg"), &problems);
    (void)snprintf(said, said_size, "%.*s", (int)problems.size, (const char *)problems.data);
    pcl_buffer_release(&problems);
    assert_int_equal(good, said[0] == '\0');
    return good;
}

static void a_policy_comes_with_its_lists(void **state)
{
    (void)state;
    char said[2048];
    char error[512] = "";
    pcl_policy_files files = {0};
    s_write("policy.cfg", POLICY("detect"));
    assert_true(s_load(&files, said, sizeof said)); /* the list need not be there */
    const pcl_policy_role *role = pcl_policy_role_at(files.policy, 1);
    assert_null(files.lists[0]);
    assert_non_null(files.lists[1]);

    for (int count = 0; count < 3; count++) { /* written once */
        assert_true(
            pcl_policy_files_note(&files, role, pcl_bytes_text("select ?"), error, sizeof error));
    }
    s_assert_file("app.list.seen", SELECT_1);
    pcl_policy_files_release(&files);
    assert_null(files.policy);

    FILE *torn = fopen(s_path("app.list.seen"), "ab"); /* a torn line stops nobody */
    assert_non_null(torn);
    assert_true(fputs("58aaeed", torn) >= 0);
    (void)fclose(torn);
    s_write("app.list", SELECT_A);
    s_write("policy.cfg", POLICY("protect"));
    assert_true(s_load(&files, said, sizeof said));
    assert_int_equal(s_find(files.lists[1], "select ?"), PCL_DIGEST_SEEN);
    assert_int_equal(s_find(files.lists[1], "select a from t where b = ?"), PCL_DIGEST_ALLOWED);
    pcl_policy_files_release(&files);
}

/* What was written can be read again, however much is noted. */
static void what_is_noted_is_bounded(void **state)
{
    (void)state;
    char said[2048];
    char error[512] = "";
    pcl_policy_files files = {0};
    struct stat info;
    s_write("policy.cfg", POLICY("detect"));
    s_write("app.list.seen", "# seen\n");
    assert_int_equal(truncate(s_path("app.list.seen"), PCL_DIGEST_LIST_FILE_SIZE_MAX - 50), 0);
    assert_true(s_load(&files, said, sizeof said));
    const pcl_policy_role *role = pcl_policy_role_at(files.policy, 1);
    assert_true(pcl_policy_files_note(&files, role, pcl_bytes_text("select a"), error, 512));
    assert_true(pcl_policy_files_note(&files, role, pcl_bytes_text("select b"), error, 512));
    assert_int_equal(stat(s_path("app.list.seen"), &info), 0);
    assert_true(info.st_size <= PCL_DIGEST_LIST_FILE_SIZE_MAX);
    assert_true(info.st_size > PCL_DIGEST_LIST_FILE_SIZE_MAX - 50);
    pcl_policy_files_release(&files);
    assert_int_equal(unlink(s_path("app.list.seen")), 0);
}

static void what_cannot_be_loaded_is_named_whole(void **state)
{
    (void)state;
    char said[2048];
    pcl_policy_files files = {0};
    s_write("policy.cfg", POLICY("protect"));
    s_write("app.list", "junk\n" SELECT_A "more\n");
    assert_false(s_load(&files, said, sizeof said));
    assert_null(files.policy);
    assert_non_null(strstr(said, "app.list:1: must begin"));
    assert_non_null(strstr(said, "app.list:3: must begin"));
    assert_int_equal(unlink(s_path("app.list")), 0);
    assert_false(s_load(&files, said, sizeof said));
    assert_non_null(strstr(said, "app.list: No such file"));
    s_write("policy.cfg", "x\n");
    assert_false(s_load(&files, said, sizeof said));
    assert_non_null(strstr(said, "policy.cfg:1: x: must be"));
    assert_int_equal(unlink(s_path("policy.cfg")), 0);
    assert_false(s_load(&files, said, sizeof said));
    assert_non_null(strstr(said, "policy.cfg: No such file"));
}

static void no_file_is_the_builtin_policy(void **state)
{
    (void)state;
    pcl_policy_files files = {0};
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    assert_true(pcl_policy_files_load(&files, "", &problems));
    assert_non_null(pcl_policy_find(files.policy, pcl_bytes_text("anybody")));
    pcl_policy_files_release(&files);
    pcl_buffer_release(&problems);
}

static void a_file_is_replaced_with_its_rights(void **state)
{
    (void)state;
    struct stat info;
    char error[512] = "";
    s_write("policy.cfg", "one\n");
    assert_int_equal(stat(s_path("policy.cfg"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
    assert_int_equal(chmod(s_path("policy.cfg"), 0604), 0);
    s_write("policy.cfg", "two\n");
    assert_int_equal(stat(s_path("policy.cfg"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0604);
    s_assert_file("policy.cfg", "two\n");
    assert_false(
        pcl_policy_file_replace(s_path("no/such/file"), pcl_bytes_text("x"), error, sizeof error));
    assert_non_null(strstr(error, "no/such/file: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_is_the_start_of_the_hash),
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(every_bad_line_is_named_and_the_others_are_in),
        cmocka_unit_test(the_higher_state_counts),
        cmocka_unit_test(a_list_is_bounded_and_sorted),
        cmocka_unit_test(comments_and_order_stay),
        cmocka_unit_test(any_text_comes_back),
        cmocka_unit_test(a_policy_comes_with_its_lists),
        cmocka_unit_test(what_is_noted_is_bounded),
        cmocka_unit_test(what_cannot_be_loaded_is_named_whole),
        cmocka_unit_test(no_file_is_the_builtin_policy),
        cmocka_unit_test(a_file_is_replaced_with_its_rights),
    };
    return cmocka_run_group_tests(tests, s_make_folder, s_remove_folder);
}
