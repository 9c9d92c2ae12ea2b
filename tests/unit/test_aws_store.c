#include "aws/store.h"
#include "tests/unit/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct seen {
    char text[256];
} seen;

static void s_see(void *context, const char *name, bool changed)
{
    seen *self = context;
    size_t size = strlen(self->text);
    (void)snprintf(self->text + size, sizeof self->text - size, "%s=%d ", name, changed ? 1 : 0);
}

/* Two files; the second's content is to be chosen. */
static bool s_store(const char *second, seen *out_seen, char *error, size_t error_size)
{
    char octets[64];
    (void)snprintf(octets, sizeof octets, "one\n%s", second);
    pcl_secret secret = {.count = 2,
                         .files = {{.name = "a.key", .offset = 0, .size = 4},
                                   {.name = "b.password", .offset = 4, .size = strlen(second)}}};
    *out_seen = (seen){.text = ""};
    return pcl_secret_store(folder_path, &secret, pcl_bytes_text(octets), s_see, out_seen, error,
                            error_size);
}

static void s_assert_file(const char *name, const char *content)
{
    char text[64];
    struct stat info;
    FILE *file = fopen(folder_file(name), "re");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    assert_string_equal(text, content);
    assert_int_equal(stat(folder_file(name), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0400);
}

static void test_files_are_written_for_their_owner_alone(void **state)
{
    (void)state;
    char error[256];
    seen told;
    assert_true(s_store("pw", &told, error, sizeof error));
    assert_string_equal(told.text, "a.key=1 b.password=1 ");
    s_assert_file("a.key", "one\n");
    s_assert_file("b.password", "pw");
}

static void test_only_what_changed_is_replaced(void **state)
{
    (void)state;
    char error[256];
    seen told;
    struct stat before;
    struct stat after;
    assert_int_equal(stat(folder_file("a.key"), &before), 0);
    assert_true(s_store("other", &told, error, sizeof error));
    assert_string_equal(told.text, "a.key=0 b.password=1 ");
    s_assert_file("b.password", "other");
    assert_int_equal(stat(folder_file("a.key"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(access(folder_file(".b.password.new"), F_OK), -1);
}

static void test_wrong_rights_and_links_are_put_right(void **state)
{
    (void)state;
    char error[256];
    seen told;
    assert_int_equal(chmod(folder_file("a.key"), 0644), 0);
    (void)folder_write("target", "mine", 0600);
    assert_int_equal(unlink(folder_file("b.password")), 0);
    assert_int_equal(symlink("target", folder_file("b.password")), 0);
    (void)folder_write(".a.key.new", "left over", 0600);
    assert_true(s_store("pw", &told, error, sizeof error));
    assert_string_equal(told.text, "a.key=1 b.password=1 ");
    s_assert_file("a.key", "one\n");
    s_assert_file("b.password", "pw");
    FILE *file = fopen(folder_file("target"), "re");
    assert_non_null(file);
    char text[8] = "";
    assert_int_equal(fread(text, 1, 4, file), 4);
    (void)fclose(file);
    assert_string_equal(text, "mine");
}

static void test_what_cannot_be_written_leaves_the_old_files(void **state)
{
    (void)state;
    char error[256] = "";
    seen told;
    assert_int_equal(mkdir(folder_file(".b.password.new"), 0700), 0);
    assert_false(s_store("lost", &told, error, sizeof error));
    assert_non_null(strstr(error, ".b.password.new"));
    assert_null(strstr(error, "lost"));
    assert_string_equal(told.text, "");
    assert_int_equal(rmdir(folder_file(".b.password.new")), 0);
    s_assert_file("a.key", "one\n");
    s_assert_file("b.password", "pw");
    assert_int_equal(access(folder_file(".a.key.new"), F_OK), -1);
}

static void test_one_writes_at_a_time(void **state)
{
    (void)state;
    char error[256] = "";
    seen told;
    int other_fd = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(other_fd >= 0);
    assert_int_equal(flock(other_fd, LOCK_EX | LOCK_NB), 0);
    (void)folder_write(".b.password.new", "the other's", 0600);
    assert_false(s_store("mine", &told, error, sizeof error));
    assert_non_null(strstr(error, folder_path));
    s_assert_file("b.password", "pw");
    assert_int_equal(access(folder_file(".b.password.new"), F_OK), 0);
    assert_int_equal(close(other_fd), 0);
    assert_true(s_store("mine", &told, error, sizeof error));
    s_assert_file("b.password", "mine");
}

static void test_a_folder_must_be_there(void **state)
{
    (void)state;
    char error[256] = "";
    pcl_secret secret = {.count = 0};
    assert_false(pcl_secret_store(folder_file("none"), &secret, pcl_bytes_text(""), NULL, NULL,
                                  error, sizeof error));
    assert_non_null(strstr(error, "none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_written_for_their_owner_alone),
        cmocka_unit_test(test_only_what_changed_is_replaced),
        cmocka_unit_test(test_wrong_rights_and_links_are_put_right),
        cmocka_unit_test(test_what_cannot_be_written_leaves_the_old_files),
        cmocka_unit_test(test_one_writes_at_a_time),
        cmocka_unit_test(test_a_folder_must_be_there),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
