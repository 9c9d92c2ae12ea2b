#include "net/config.h"

#include "net/daemon.h"
#include "net/file.h"
#include "net/keys.h"

#include "folder.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const pcl_config_entry ENTRIES[] = {
    {"front/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false, "Where to listen."},
    {"front/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true, "Who may come in."},
    {"front/queue_max", PCL_CONFIG_UINT, 1, 1000, "256", NULL, false, "Messages a peer."},
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false, "Own keys."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 0, "0", NULL, false, "Plain text."},
    {"front/name", PCL_CONFIG_TEXT, 1, 8, "gate", NULL, true, "What it is called."},
    {"back/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false, "The peer's."},
    {"back/password_file", PCL_CONFIG_SECRET_FILE, 0, 0, "", NULL, false, "Password."},
    {"back/socket", PCL_CONFIG_PATH, 0, 0, "run/sock", NULL, false, "Socket."},
    PCL_CONFIG_COMMON,
};
enum { ENTRY_COUNT = sizeof ENTRIES / sizeof ENTRIES[0] };

/* The result and the problems as text, which the caller frees. */
static pcl_config *s_load(const char *file, char **out_problems)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, 65536);
    pcl_config *config = pcl_config_load(ENTRIES, ENTRY_COUNT, NULL, file, &problems);
    pcl_buffer_put_u8(&problems, 0);
    size_t size;
    *out_problems = (char *)pcl_buffer_take(&problems, &size);
    return config;
}

static pcl_config *s_load_good(const char *text)
{
    char *problems = NULL;
    pcl_config *config = s_load(folder_write("good.cfg", text, 0644), &problems);
    assert_string_equal(problems, "");
    free(problems);
    assert_non_null(config);
    return config;
}

static void test_values_and_defaults(void **state)
{
    (void)state;
    pcl_config *config = s_load_good("# a comment\n"
                                     "front\n"
                                     "    endpoint = tcp://127.0.0.1:5000 # where\n"
                                     "    name = 'a \"b\"'\n"
                                     "http\n"
                                     "    address = \"[::1]:8000\"\n");
    assert_string_equal(pcl_config_text(config, "front/endpoint"), "tcp://127.0.0.1:5000");
    assert_string_equal(pcl_config_text(config, "front/name"), "a \"b\"");
    assert_int_equal(pcl_config_uint(config, "front/queue_max"), 256);
    assert_false(pcl_config_bool(config, "curve/insecure"));
    assert_string_equal(pcl_config_text(config, "http/address"), "[::1]:8000");
    assert_string_equal(pcl_config_text(config, "log/level"), "info");
    assert_string_equal(pcl_config_text(config, "curve/key_file"), "");
    pcl_config_destroy(&config);
    assert_null(config);
}

static void test_relative_paths_start_at_the_file(void **state)
{
    (void)state;
    folder_write("who.keys", "# nobody\n", 0644);
    pcl_config *config = s_load_good("front\n"
                                     "    endpoint = inproc://x\n"
                                     "    keys = who.keys\n");
    char expected[300];
    snprintf(expected, sizeof expected, "%s/who.keys", folder_path);
    assert_string_equal(pcl_config_text(config, "front/keys"), expected);
    snprintf(expected, sizeof expected, "%s/run/sock", folder_path);
    assert_string_equal(pcl_config_text(config, "back/socket"), expected);
    pcl_config_destroy(&config);
}

static void test_credentials_come_from_their_folder(void **state)
{
    (void)state;
    pcl_keys keys;
    char error[256];
    char *problems;
    pcl_keys_make(&keys);
    assert_true(pcl_keys_save(&keys, folder_file("gate.key"), error, sizeof error));
    assert_int_equal(chmod(folder_file("gate.key"), 0440), 0); /* the mask of an access list */
    const char *file = folder_write("config",
                                    "front\n    endpoint = inproc://x\n"
                                    "curve\n    key_file = credential:gate.key\n",
                                    0600);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_null(s_load(file, &problems));
    assert_non_null(strstr(problems, "curve/key_file: gate.key: there are no credentials"));
    free(problems);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder_path, 1), 0);
    pcl_config *config = s_load(file, &problems);
    assert_string_equal(problems, "");
    free(problems);
    assert_string_equal(pcl_config_text(config, "curve/key_file"), folder_file("gate.key"));
    pcl_config_destroy(&config);
    assert_int_equal(chmod(folder_file("gate.key"), 0444), 0);
    assert_null(s_load(file, &problems)); /* others are others */
    free(problems);
    assert_int_equal(chmod(folder_file("gate.key"), 0440), 0);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    (void)folder_write("config",
                       "front\n    endpoint = inproc://x\ncurve\n    key_file = gate.key\n", 0600);
    assert_null(s_load(file, &problems)); /* elsewhere the group's rights are the group's */
    free(problems);
    static const char *const WRONG[] = {"credential:", "credential:../key", "credential:a/b"};
    for (size_t index = 0; index < sizeof WRONG / sizeof WRONG[0]; index++) {
        char path[256];
        assert_false(pcl_file_locate(path, sizeof path, "/etc", WRONG[index], error, sizeof error));
        assert_string_equal(path, "");
    }
}

/* What a change of files alone takes over. */
static void test_the_same_settings_are_checked_with_other_files(void **state)
{
    (void)state;
    char *problems;
    (void)folder_write("list", "", 0600);
    const char *file = folder_write("config", "front\n    endpoint = inproc://x\n    keys = list\n",
                                    0600);
    pcl_config *config = s_load(file, &problems);
    free(problems);
    size_t cursor = 0;
    assert_string_equal(pcl_config_watched(config, &cursor), folder_file("list"));
    assert_null(pcl_config_watched(config, &cursor));
    (void)folder_write("config", "nonsense\n", 0600); /* is not looked at */
    pcl_buffer lines;
    pcl_buffer_init(&lines, 65536);
    pcl_config *again = pcl_config_renew(config, NULL, file, &lines);
    assert_non_null(again);
    assert_int_equal(lines.size, 0);
    assert_string_equal(pcl_config_text(again, "front/keys"), folder_file("list"));
    assert_string_equal(pcl_config_text(again, "front/endpoint"), "inproc://x");
    pcl_config_destroy(&again);
    (void)folder_write("list", "alice\n", 0600);
    assert_null(pcl_config_renew(config, NULL, file, &lines));
    pcl_buffer_put_u8(&lines, 0);
    assert_non_null(strstr((const char *)lines.data, ": front/keys: "));
    pcl_buffer_release(&lines);
    pcl_config_destroy(&config);
}

static void test_every_mistake_is_named(void **state)
{
    (void)state;
    pcl_keys keys;
    char error[256];
    pcl_keys_make(&keys);
    (void)pcl_keys_save(&keys, folder_file("open.key"), error, sizeof error);
    assert_int_equal(chmod(folder_file("open.key"), 0644), 0);
    folder_write("four.password", "one\ntwo\nthree\nfour\n", 0600);
    folder_write("bad.keys", "alice\n", 0644);
    char *problems = NULL;
    pcl_config *config = s_load(folder_write("bad.cfg",
                                             "front\n"
                                             "    endpoint = http://x:1\n"
                                             "    keys = bad.keys\n"
                                             "    queue_max = 0\n"
                                             "    queue_max = 1\n"
                                             "    name = 123456789\n"
                                             "    colour = blue\n"
                                             "curve\n"
                                             "    key_file = open.key\n"
                                             "    insecure = yes\n"
                                             "  indented\n"
                                             "back\n"
                                             "    public_key = short\n"
                                             "    password_file = four.password\n"
                                             "log\n"
                                             "    level = loud\n"
                                             "http\n"
                                             "    address = 8.8.8.8:8000\n"
                                             "drain\n"
                                             "    limit_ms\n",
                                             0644),
                                &problems);
    assert_null(config);
    static const char *const EXPECTED[] = {
        "bad.cfg: front/endpoint: must be tcp://HOST:PORT",
        "bad.keys: line 1: the name must be followed",
        "bad.cfg: front/queue_max: must be a number from 1 to 1000",
        "bad.cfg: line 5: front/queue_max: stands twice",
        "bad.cfg: front/name: must be a text of 1 to 8 octets",
        "bad.cfg: line 7: front/colour: is not a key that is known here",
        "open.key: group or others have rights",
        "bad.cfg: curve/insecure: must be 0 or 1",
        "bad.cfg: line 11: indentation must be in steps of four",
        "bad.cfg: back/public_key: must be a public key",
        "four.password: must hold one line",
        "bad.cfg: log/level: must be one of debug|info|warning|error",
        "bad.cfg: http/address: must be a loopback or private address",
        "bad.cfg: line 20: drain/limit_ms: must be followed by = and a value",
    };
    size_t lines = 0;
    for (const char *cursor = problems; (cursor = strchr(cursor, '\n')) != NULL; cursor++) {
        lines++;
    }
    for (size_t index = 0; index < sizeof EXPECTED / sizeof EXPECTED[0]; index++) {
        if (strstr(problems, EXPECTED[index]) == NULL) {
            fail_msg("not told: %s\n in:\n%s", EXPECTED[index], problems);
        }
    }
    assert_int_equal(lines, sizeof EXPECTED / sizeof EXPECTED[0]);
    free(problems);
}

/* What a socket address of the kernel has room for. */
static void test_a_local_path_must_fit(void **state)
{
    (void)state;
    for (int size = 107; size <= 108; size++) {
        char text[256];
        char *problems = NULL;
        snprintf(text, sizeof text, "front\n    endpoint = ipc://%0*d\n", size, 0);
        pcl_config *config = s_load(folder_write("path.cfg", text, 0644), &problems);
        assert_int_equal(config != NULL, size == 107);
        assert_int_equal(strstr(problems, "of at most 107 octets") != NULL, size == 108);
        pcl_config_destroy(&config);
        free(problems);
    }
}

static void test_a_password_must_fit(void **state)
{
    (void)state;
    const int size_max = PCL_CONFIG_SECRET_SIZE_MAX;
    for (int size = size_max; size <= size_max + 1; size++) {
        char password[512];
        char *problems = NULL;
        snprintf(password, sizeof password, "%0*d\n", size, 0);
        folder_write("long.password", password, 0600);
        const char *file = folder_write("long.cfg",
                                        "front\n    endpoint = inproc://x\n"
                                        "back\n    password_file = long.password\n",
                                        0644);
        pcl_config *config = s_load(file, &problems);
        assert_int_equal(config != NULL, size == size_max);
        pcl_config_destroy(&config);
        free(problems);
    }
}

static void test_what_has_no_default_must_be_given(void **state)
{
    (void)state;
    char *problems = NULL;
    assert_null(s_load(folder_write("empty.cfg", "", 0644), &problems));
    assert_non_null(strstr(problems, "empty.cfg: front/endpoint: must be given\n"));
    free(problems);
    assert_null(s_load(folder_file("none.cfg"), &problems));
    assert_non_null(strstr(problems, "none.cfg: No such file"));
    free(problems);
}

static void test_numbers_are_whole_and_bounded(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"",     "-1",   "+1",  "1x",
                                        "0x10", "1001", "1e2", "99999999999999999999"};
    for (size_t index = 0; index < sizeof WRONG / sizeof WRONG[0]; index++) {
        char text[128];
        snprintf(text, sizeof text, "front\n    endpoint = inproc://x\n    queue_max = %s\n",
                 WRONG[index]);
        char *problems = NULL;
        assert_null(s_load(folder_write("number.cfg", text, 0644), &problems));
        assert_non_null(strstr(problems, "front/queue_max: must be a number from 1 to 1000"));
        free(problems);
    }
}

static void test_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } CASES[] = {
        {"tcp://127.0.0.1:1", true},
        {"tcp://[::1]:65535", true},
        {"tcp://*:5000", true},
        {"ipc:///run/x.sock", true},
        {"inproc://x", true},
        {"tcp://127.0.0.1:0", false},
        {"tcp://127.0.0.1:65536", false},
        {"tcp://127.0.0.1", false},
        {"tcp://:5000", false},
        {"ipc://", false},
        {"inproc://", false},
        {"udp://127.0.0.1:5", false},
        {"tcp://gate-1.example:5000", true},
        {"tcp://[fe80::1%eth0]:5000", true},
        {"tcp://127.0.0.1:*", false},
        {"tcp://::1:5000", false},
        {"tcp://[]:5000", false},
        {"tcp://[1]:5000", false},
        {"tcp://a*:5000", false},
        {"tcp://user@host:5000", false},
        {"tcp://127.0.0.1:5000/path", false},
        {"tcp://eth0;127.0.0.1:5000", false},
        {"tcp://a b:5000", false},
        {"", false},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        char text[128];
        snprintf(text, sizeof text, "front\n    endpoint = \"%s\"\n", CASES[index].text);
        char *problems = NULL;
        pcl_config *config = s_load(folder_write("endpoint.cfg", text, 0644), &problems);
        assert_int_equal(config != NULL, CASES[index].valid);
        pcl_config_destroy(&config);
        free(problems);
    }
}

/* --print-config is a file that can be used as it is. */
static void test_what_is_printed_can_be_read(void **state)
{
    (void)state;
    pcl_config *config = s_load_good("front\n    endpoint = inproc://x\n    name = \"it's\"\n");
    pcl_buffer first, second;
    pcl_buffer_init(&first, 65536);
    pcl_buffer_init(&second, 65536);
    pcl_config_print(config, &first);
    pcl_config_destroy(&config);
    pcl_buffer_put_u8(&first, 0);
    config = s_load_good((const char *)first.data);
    pcl_config_print(config, &second);
    assert_int_equal(second.size + 1, first.size);
    assert_memory_equal(first.data, second.data, second.size);
    assert_non_null(strstr((const char *)first.data, "    # Messages a peer.\n"));
    pcl_config_destroy(&config);
    pcl_buffer_release(&first);
    pcl_buffer_release(&second);
}

static void test_without_a_file_there_are_defaults(void **state)
{
    (void)state;
    char *problems = NULL;
    pcl_config *config = s_load(NULL, &problems);
    assert_non_null(config);
    assert_string_equal(problems, "");
    assert_string_equal(pcl_config_text(config, "front/endpoint"), "");
    assert_string_equal(pcl_config_text(config, "back/socket"), "run/sock");
    pcl_config_destroy(&config);
    free(problems);
}

static void test_changes_that_need_a_restart(void **state)
{
    (void)state;
    pcl_config *before = s_load_good("front\n    endpoint = inproc://x\n    name = a\n");
    pcl_config *after = s_load_good("front\n    endpoint = inproc://y\n    name = b\n");
    pcl_buffer changes;
    pcl_buffer_init(&changes, 65536);
    pcl_config_unreloadable(before, after, &changes);
    assert_true(
        pcl_bytes_is(pcl_buffer_bytes(&changes), "front/endpoint: inproc://x -> inproc://y\n"));
    pcl_buffer_clear(&changes);
    pcl_config_reloadable(before, after, &changes);
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&changes), "front/name: a -> b\n"));
    pcl_buffer_release(&changes);
    pcl_config_destroy(&before);
    pcl_config_destroy(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_defaults),
        cmocka_unit_test(test_relative_paths_start_at_the_file),
        cmocka_unit_test(test_credentials_come_from_their_folder),
        cmocka_unit_test(test_the_same_settings_are_checked_with_other_files),
        cmocka_unit_test(test_every_mistake_is_named),
        cmocka_unit_test(test_a_local_path_must_fit),
        cmocka_unit_test(test_a_password_must_fit),
        cmocka_unit_test(test_what_has_no_default_must_be_given),
        cmocka_unit_test(test_numbers_are_whole_and_bounded),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_what_is_printed_can_be_read),
        cmocka_unit_test(test_without_a_file_there_are_defaults),
        cmocka_unit_test(test_changes_that_need_a_restart),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
