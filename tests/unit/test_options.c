#include "net/options.h"

#include "net/address.h"

#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const ONE[] = {"gatekeeper"};
static const char *const THREE[] = {"gatekeeper", "broker", "proxy"};

static pcl_options s_options;
static char s_error[256];

/* words: blank-separated, changed and kept until the next call. */
static bool s_parse(const char *words, const char *const *names, size_t name_count)
{
    static char text[256];
    char *argv[16] = {text};
    int argc = 1;
    char *rest = NULL;
    strcpy(text, words);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    s_error[0] = '\0';
    return pcl_options_parse(&s_options, argc, argv, names, name_count, s_error, sizeof s_error);
}

static void test_one_role_takes_a_file(void **state)
{
    (void)state;
    assert_true(s_parse("--config a.cfg", ONE, 1));
    assert_int_equal(s_options.action, PCL_OPTIONS_RUN);
    assert_string_equal(s_options.config, "a.cfg");
    assert_int_equal(s_options.role_count, 1);
    assert_true(s_parse("--check-config --config=b.cfg", ONE, 1));
    assert_int_equal(s_options.action, PCL_OPTIONS_CHECK_CONFIG);
    assert_string_equal(s_options.config, "b.cfg");
    assert_true(s_parse("--print-config", ONE, 1));
    assert_null(s_options.config);
    assert_true(s_parse("--help --nonsense", ONE, 1));
    assert_int_equal(s_options.action, PCL_OPTIONS_HELP);
    assert_true(s_parse("--version", ONE, 1));
}

static void test_several_roles_take_a_folder(void **state)
{
    (void)state;
    assert_true(s_parse("--roles proxy,gatekeeper --config-dir /etc/x", THREE, 3));
    assert_int_equal(s_options.role_count, 2);
    assert_int_equal(s_options.roles[0], 2);
    assert_int_equal(s_options.roles[1], 0);
    assert_string_equal(s_options.config_dir, "/etc/x");
    assert_false(s_options.thread_each);
    assert_true(s_parse("--roles proxy --config-dir /etc/x --threads each", THREE, 3));
    assert_true(s_options.thread_each);
    assert_true(s_parse("--threads=one --roles proxy --config-dir /etc/x", THREE, 3));
    assert_false(s_options.thread_each);
    assert_false(s_parse("--roles proxy --config-dir /etc/x --threads two", THREE, 3));
    assert_string_equal(s_error, "--threads: is one or each");
    assert_false(s_parse("--config x --threads one", ONE, 1));
    assert_true(s_parse("--print-config", THREE, 3));
    assert_int_equal(s_options.role_count, 3);
    assert_true(s_parse("--print-config --roles broker", THREE, 3));
    assert_int_equal(s_options.role_count, 1);
}

static void test_wrong_usage_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        size_t roles;
        const char *expected;
    } CASES[] = {
        {"", 1, "--config: is missing"},
        {"--config", 1, "--config: needs a value"},
        {"--config=", 1, "needs a value"},
        {"--roles gatekeeper", 1, "no such option"},
        {"--config-dir x", 1, "no such option"},
        {"file", 1, "no such option"},
        {"--conf x", 1, "no such option"},
        {"--config-dir x", 3, "--roles: is missing"},
        {"--roles broker", 3, "--config-dir: is missing"},
        {"--roles broker,broker --config-dir x", 3, "broker: stands twice"},
        {"--roles broker,agent --config-dir x", 3, "names a role that is not in this program"},
        {"--roles broker, --config-dir x", 3, "names a role that is not"},
        {"--roles broke --config-dir x", 3, "names a role that is not"},
        {"--config x --roles broker", 3, "no such option"},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        assert_false(
            s_parse(CASES[index].words, CASES[index].roles == 1 ? ONE : THREE, CASES[index].roles));
        assert_non_null(strstr(s_error, CASES[index].expected));
    }
}

static void test_only_private_addresses(void **state)
{
    (void)state;
    static const char *const PRIVATE[] = {
        "127.0.0.1:1",     "127.9.9.9:80",   "10.1.2.3:80",         "172.16.0.1:80",
        "172.31.255.1:80", "192.168.1.1:80", "169.254.1.1:80",      "[::1]:80",
        "[fe80::1]:80",    "[fd12::1]:80",   "[::ffff:10.0.0.1]:80"};
    static const char *const PUBLIC[] = {"0.0.0.0:80",       "8.8.8.8:80",         "172.32.0.1:80",
                                         "172.15.0.1:80",    "192.169.0.1:80",     "[::]:80",
                                         "[2001:db8::1]:80", "[::ffff:8.8.8.8]:80"};
    static const char *const WRONG[] = {
        "",        "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",     "localhost:80",
        "[::1:80", "::1:80",    "1.2.3:80",   "127.0.0.1:65536", "127.0.0.1:-1"};
    pcl_address address;
    for (size_t index = 0; index < sizeof PRIVATE / sizeof PRIVATE[0]; index++) {
        assert_null(pcl_address_parse(&address, PRIVATE[index]));
        assert_true(pcl_address_is_private(&address));
    }
    for (size_t index = 0; index < sizeof PUBLIC / sizeof PUBLIC[0]; index++) {
        assert_null(pcl_address_parse(&address, PUBLIC[index]));
        assert_false(pcl_address_is_private(&address));
    }
    for (size_t index = 0; index < sizeof WRONG / sizeof WRONG[0]; index++) {
        assert_non_null(pcl_address_parse(&address, WRONG[index]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_role_takes_a_file),
        cmocka_unit_test(test_several_roles_take_a_folder),
        cmocka_unit_test(test_wrong_usage_is_named),
        cmocka_unit_test(test_only_private_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
