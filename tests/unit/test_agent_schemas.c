/* Which patterns of schemas reach what is not for clients. */
#include "worker-agent/schemas.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_patterns_are_cut_at_blanks(void **state)
{
    (void)state;
    const char *cursor = "  demo\tapp_% x ";
    assert_true(pcl_bytes_is(pcl_schemas_next(&cursor), "demo"));
    assert_true(pcl_bytes_is(pcl_schemas_next(&cursor), "app_%"));
    assert_true(pcl_bytes_is(pcl_schemas_next(&cursor), "x"));
    assert_int_equal(pcl_schemas_next(&cursor).size, 0);
    assert_int_equal(pcl_schemas_next(&cursor).size, 0);
}

typedef struct pattern_case {
    const char *pattern;
    const char *reserved; /* the first that it covers; NULL: none */
} pattern_case;

static const pattern_case PATTERNS[] = {
    {"demo", NULL},
    {"demo%", NULL},
    {"my_app", NULL},
    {"mysqlx", NULL},
    {"my\\_ql", NULL},
    {"portcullis\\%", NULL},
    {"p%x", NULL},
    {"sy", NULL},
    {"_", NULL},
    {"a%", NULL},
    {"", NULL},
    {"%", "mysql"},
    {"%%", "mysql"},
    {"mysql", "mysql"},
    {"MySQL", "mysql"},
    {"my%", "mysql"},
    {"my_ql", "mysql"},
    {"m%y%l%", "mysql"},
    {"_____", "mysql"},
    {"p%", "portcullis"},
    {"%cullis", "portcullis"},
    {"po%u%s", "portcullis"},
    {"___", "sys"},
    {"s\\ys", "sys"},
    {"%\\_schema", "information_schema"},
    {"in%", "information_schema"},
    {"perf%", "performance_schema"},
    {"%mance_schema", "performance_schema"},
};

static void test_what_reaches_a_reserved_schema_is_found(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof PATTERNS / sizeof PATTERNS[0]; index++) {
        const pattern_case *row = &PATTERNS[index];
        const char *found = pcl_schemas_reserved(pcl_bytes_text(row->pattern));
        if ((found == NULL) != (row->reserved == NULL) ||
            (found != NULL && strcmp(found, row->reserved) != 0)) {
            fail_msg("%s: %s", row->pattern, found != NULL ? found : "none");
        }
    }
}

static void test_a_pattern_is_one_of_a_list_as_it_is_written(void **state)
{
    (void)state;
    assert_true(pcl_schemas_names("demo shop_%", pcl_bytes_text("shop_%"), false));
    assert_true(pcl_schemas_names("demo\tshop_%", pcl_bytes_text("demo"), false));
    assert_false(pcl_schemas_names("demo shop_%", pcl_bytes_text("shop_1"), false));
    assert_false(pcl_schemas_names("demo shop_%", pcl_bytes_text("dem"), false));
    assert_false(pcl_schemas_names("demo", pcl_bytes_text("Demo"), false));
    assert_true(pcl_schemas_names("demo", pcl_bytes_text("Demo"), true));
    assert_false(pcl_schemas_names("", pcl_bytes_text(""), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_are_cut_at_blanks),
        cmocka_unit_test(test_a_pattern_is_one_of_a_list_as_it_is_written),
        cmocka_unit_test(test_what_reaches_a_reserved_schema_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
