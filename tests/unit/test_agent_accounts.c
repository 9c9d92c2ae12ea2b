/* Pairs of database accounts by name: the file, and every mistake in it. */
#include "worker-agent/accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ENTRY(name)                                                                                \
    "    " name "\n"                                                                               \
    "        read_user = " name "_r\n"                                                             \
    "        read_password_file = r.password\n"                                                    \
    "        write_user = " name "_w\n"                                                            \
    "        write_password_file = \"/etc/w.password\"\n"

static pcl_accounts_list *s_list(void)
{
    pcl_accounts_list *list = pcl_accounts_list_new();
    pcl_accounts *own = pcl_accounts_list_add(list, pcl_bytes_text("app"), "shop_% demo");
    assert_non_null(own);
    (void)snprintf(own->read_user, sizeof own->read_user, PCL_USER_READ);
    (void)snprintf(own->write_user, sizeof own->write_user, PCL_USER_WRITE);
    return list;
}

static bool s_parse(pcl_accounts_list *list, const char *text, char *problems, size_t size)
{
    pcl_accounts_rules rules = {.file = "a.zpl", .schemas = "shop_% demo", .admin_user = "boss"};
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 65536);
    bool fine = pcl_accounts_parse(list, pcl_bytes_text(text), &rules, &buffer);
    (void)snprintf(problems, size, "%.*s", (int)buffer.size,
                   buffer.size > 0 ? (const char *)buffer.data : "");
    pcl_buffer_release(&buffer);
    return fine;
}

static void test_a_file_adds_to_the_settings_own(void **state)
{
    (void)state;
    char problems[4096];
    pcl_accounts_list *list = s_list();
    bool fine = s_parse(
        list, "# more\naccounts\n" ENTRY("report") "        schemas = \"x_% y\"\n" ENTRY("batch"),
        problems, sizeof problems);
    assert_string_equal(problems, "");
    assert_true(fine);
    assert_int_equal(list->count, 3);
    const pcl_accounts *report = pcl_accounts_find(list, pcl_bytes_text("report"));
    assert_non_null(report);
    assert_int_equal(report->index, 1);
    assert_string_equal(report->read_user, "report_r");
    assert_string_equal(report->write_user, "report_w");
    assert_string_equal(report->read_password_file, "r.password");
    assert_string_equal(report->write_password_file, "/etc/w.password");
    assert_string_equal(report->schemas, "x_% y");
    assert_string_equal(report->default_schema, "y");
    const pcl_accounts *batch = pcl_accounts_find(list, pcl_bytes_text("batch"));
    assert_non_null(batch);
    assert_string_equal(batch->schemas, "shop_% demo");
    assert_string_equal(batch->default_schema, "demo");
    pcl_accounts_list_destroy(&list);
    assert_null(list);
}

static void test_only_the_whole_name_is_found(void **state)
{
    (void)state;
    pcl_accounts_list *list = s_list();
    assert_non_null(pcl_accounts_find(list, pcl_bytes_text("app")));
    assert_null(pcl_accounts_find(list, pcl_bytes_text("")));
    assert_null(pcl_accounts_find(list, pcl_bytes_of(NULL, 0)));
    assert_null(pcl_accounts_find(list, pcl_bytes_text("ap")));
    assert_null(pcl_accounts_find(list, pcl_bytes_text("apps")));
    assert_null(pcl_accounts_find(list, pcl_bytes_text("App")));
    assert_null(pcl_accounts_find(list, pcl_bytes_of("app\0", 4)));
    pcl_accounts_list_destroy(&list);
}

typedef struct mistake_case {
    const char *text;
    const char *problems; /* all of them */
} mistake_case;

#define NEEDED(line, name, key) "a.zpl:" line ": accounts/" name "/" key ": must be given\n"
#define ALL_NEEDED(line, name)                                                                     \
    NEEDED(line, name, "read_user")                                                                \
    NEEDED(line, name, "read_password_file")                                                       \
    NEEDED(line, name, "write_user") NEEDED(line, name, "write_password_file")

static const mistake_case MISTAKES[] = {
    {"accounts\n    one\n", ALL_NEEDED("2", "one")},
    {"others\n", "a.zpl:1: others: is not a key that is known here\n"},
    {"accounts = 1\n", "a.zpl:1: accounts: is a section and has no value\n"},
    {"accounts\n    app\n",
     "a.zpl:2: accounts/app: is what accounts/name calls the settings' own\n"},
    {"accounts\n" ENTRY("one") "    one\n", "a.zpl:7: accounts/one: stands twice\n"},
    {"accounts\n" ENTRY("one") "        read_user = again\n",
     "a.zpl:7: accounts/one/read_user: stands twice\n"},
    {"accounts\n" ENTRY("one") "        password = x\n",
     "a.zpl:7: accounts/one/password: is not a key that is known here\n"},
    {"accounts\n" ENTRY("one") "        schemas\n",
     "a.zpl:7: accounts/one/schemas: must be followed by = and a value\n"},
    {"accounts\n" ENTRY("one") "        schemas = \" \"\n",
     "a.zpl:7: accounts/one/schemas: must name a schema\n"},
    {"accounts\n" ENTRY("one") "        schemas = \"demo my%\"\n",
     "a.zpl:7: accounts/one/schemas: my% covers the schema mysql, which is not for clients\n"},
    {"accounts\n" ENTRY("one") "            deeper = 1\n",
     "a.zpl:7: accounts/one/write_password_file/deeper: is not a key that is known here\n"},
    /* No two names may share an account, and none may take the agent's. */
    {"accounts\n" ENTRY("one") "    two\n        read_user = one_r\n        write_user = one_w\n"
                               "        read_password_file = a\n        write_password_file = a\n",
     "a.zpl:8: accounts/two/read_user: is an account of one already\n"
     "a.zpl:9: accounts/two/write_user: is an account of one already\n"},
    {"accounts\n    two\n        read_user = same\n        write_user = same\n"
     "        read_password_file = a\n        write_password_file = a\n",
     "a.zpl:4: accounts/two/write_user: is an account of two already\n"},
    {"accounts\n    two\n        read_user = portcullis_read\n        write_user = boss\n"
     "        read_password_file = a\n        write_password_file = a\n",
     "a.zpl:3: accounts/two/read_user: is an account that is not for roles\n"
     "a.zpl:4: accounts/two/write_user: is an account that is not for roles\n"},
    {"accounts\n    two\n        read_user = \"a b\"\n        write_user = mysql.sys\n"
     "        read_password_file = \"\"\n        write_password_file = a\n",
     "a.zpl:3: accounts/two/read_user: must be 1 to 32 letters, digits, _, - or .\n"
     "a.zpl:4: accounts/two/write_user: is an account that is not for roles\n"
     "a.zpl:5: accounts/two/read_password_file: must be a path of 1 to 511 octets\n"},
    {"accounts\n    two\n        read_user = \"a'b\"\n"
     "        write_user = abcdefghijklmnopqrstuvwxyz1234567\n"
     "        read_password_file = a\n        write_password_file = a\n",
     "a.zpl:3: accounts/two/read_user: must be 1 to 32 letters, digits, _, - or .\n"
     "a.zpl:4: accounts/two/write_user: must be 1 to 32 letters, digits, _, - or .\n"},
};

static void test_every_mistake_is_named(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof MISTAKES / sizeof MISTAKES[0]; index++) {
        char problems[4096];
        pcl_accounts_list *list = s_list();
        bool fine = s_parse(list, MISTAKES[index].text, problems, sizeof problems);
        print_message("case %zu\n", index);
        assert_string_equal(problems, MISTAKES[index].problems);
        assert_false(fine);
        pcl_accounts_list_destroy(&list);
    }
}

static void test_there_are_at_most_so_many(void **state)
{
    (void)state;
    char text[16384] = "accounts\n";
    for (unsigned int number = 1; number <= PCL_ACCOUNTS_MAX; number++) {
        char entry[256];
        (void)snprintf(entry, sizeof entry,
                       "    n%u\n        read_user = r%u\n        write_user = w%u\n"
                       "        read_password_file = a\n        write_password_file = a\n",
                       number, number, number);
        strcat(text, entry);
    }
    char problems[4096];
    pcl_accounts_list *list = s_list();
    assert_false(s_parse(list, text, problems, sizeof problems));
    assert_string_equal(problems, "a.zpl:157: accounts/n32: there may be at most 32 accounts\n");
    assert_int_equal(list->count, PCL_ACCOUNTS_MAX);
    pcl_accounts_list_destroy(&list);
}

static void test_a_name_has_a_bound(void **state)
{
    (void)state;
    char text[512];
    char problems[4096];
    (void)snprintf(text, sizeof text, "accounts\n    %064d\n", 0);
    pcl_accounts_list *list = s_list();
    assert_false(s_parse(list, text, problems, sizeof problems));
    assert_non_null(strstr(problems, "a name has at most 63 octets\n"));
    assert_int_equal(list->count, 1);
    pcl_accounts_list_destroy(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_adds_to_the_settings_own),
        cmocka_unit_test(test_only_the_whole_name_is_found),
        cmocka_unit_test(test_every_mistake_is_named),
        cmocka_unit_test(test_there_are_at_most_so_many),
        cmocka_unit_test(test_a_name_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
