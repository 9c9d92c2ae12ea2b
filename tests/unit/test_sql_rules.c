#include "sql/classify.h"
#include "sql/functions.h"
#include "sql/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static bool s_lists(const pcl_sql_rules *rules, const char *name)
{
    return pcl_sql_rules_lists(rules, (const uint8_t *)name, strlen(name));
}

static void test_a_list_of_policy_is_found_in_any_case(void **state)
{
    (void)state;
    pcl_sql_rules rules = {.flavor = PCL_SQL_FLAVOR_MYSQL};
    assert_false(s_lists(&rules, "a"));
    pcl_bytes list = pcl_bytes_text("  zeta, Alpha beta,,alpha2\talpha\nal _x a$1 ");
    assert_null(pcl_sql_rules_set_extra(&rules, list, NULL));
    assert_int_equal(rules.extra_count, 7);
    assert_int_equal(rules.flavor, PCL_SQL_FLAVOR_MYSQL);
    static const char *const there[] = {"zeta", "ALPHA", "beta", "Alpha2", "al", "_X", "A$1"};
    static const char *const not_there[] = {"", "a", "alph", "alpha3", "zetaa", "zet", "b"};
    for (size_t index = 0; index < sizeof there / sizeof there[0]; index++) {
        assert_true(s_lists(&rules, there[index]));
        assert_false(s_lists(&rules, not_there[index]));
    }
    assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text(""), NULL));
    assert_int_equal(rules.extra_count, 0);
}

static void test_a_name_that_must_not_be_listed_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *name;
        const char *error;
    } rows[] = {
        {"fine get_lock", "get_lock", "function with an effect"},
        {"LOAD_FILE", "LOAD_FILE", "function with an effect"},
        {"nextval", "nextval", "function with an effect"},
        {"last_insert_id", "last_insert_id", "function with an effect"},
        {"wait_for_executed_gtid_set", "wait_for_executed_gtid_set", "function with an effect"},
        {"select", "select", "word of the grammar"},
        {"json_table", "json_table", "word of the grammar"},
        {"a b.c", "b.c", "not the name of a function"},
        {"`a`", "`a`", "not the name of a function"},
        {"1a", "1a", "not the name of a function"},
        {"a;b", "a;b", "not the name of a function"},
        {"na\xc3\xafve", "na\xc3\xafve", "not the name of a function"},
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        pcl_sql_rules rules = {.flavor = PCL_SQL_FLAVOR_BOTH};
        assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text("before"), NULL));
        pcl_bytes name = {0};
        const char *error = pcl_sql_rules_set_extra(&rules, pcl_bytes_text(rows[index].list),
                                                    &name);
        assert_non_null(error);
        assert_string_equal(error, rows[index].error);
        assert_true(pcl_bytes_is(name, rows[index].name));
        assert_true(s_lists(&rules, "before"));
    }
}

static void test_a_list_has_its_bounds(void **state)
{
    (void)state;
    static char list[PCL_SQL_EXTRA_SIZE_MAX * 4];
    static pcl_sql_rules rules;
    size_t used = 0;
    for (unsigned index = 0; index < PCL_SQL_EXTRA_COUNT_MAX; index++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "f%u ", (index * 37) % 256);
    }
    assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text(list), NULL));
    assert_int_equal(rules.extra_count, PCL_SQL_EXTRA_COUNT_MAX);
    for (unsigned index = 0; index < PCL_SQL_EXTRA_COUNT_MAX; index++) {
        char name[16];
        snprintf(name, sizeof name, "F%u", index);
        assert_true(s_lists(&rules, name));
    }
    snprintf(list + used, sizeof list - used, "f0 one_more");
    assert_string_equal(pcl_sql_rules_set_extra(&rules, pcl_bytes_text(list), NULL),
                        "too many functions");
    used = 0;
    for (unsigned index = 0; index < 70; index++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "f%063u ", index);
    }
    assert_string_equal(pcl_sql_rules_set_extra(&rules, pcl_bytes_text(list), NULL),
                        "too many functions");
    snprintf(list, sizeof list, "f%064u", 1);
    assert_string_equal(pcl_sql_rules_set_extra(&rules, pcl_bytes_text(list), NULL),
                        "name too long");
}

static void test_flavors_have_names(void **state)
{
    (void)state;
    for (unsigned index = 0; index < PCL_SQL_FLAVOR_COUNT; index++) {
        pcl_sql_flavor flavor = PCL_SQL_FLAVOR_COUNT;
        const char *text = pcl_sql_flavor_text((pcl_sql_flavor)index);
        assert_true(pcl_sql_flavor_parse(pcl_bytes_text(text), &flavor));
        assert_int_equal(flavor, index);
    }
    pcl_sql_flavor flavor = PCL_SQL_FLAVOR_MYSQL;
    assert_false(pcl_sql_flavor_parse(pcl_bytes_text("postgres"), &flavor));
    assert_int_equal(flavor, PCL_SQL_FLAVOR_MYSQL);
}

static pcl_sql_class s_class(const pcl_sql_rules *rules, const char *text)
{
    return pcl_sql_classify_by(rules, pcl_bytes_text(text)).sql_class;
}

static void test_a_listed_function_keeps_a_read(void **state)
{
    (void)state;
    pcl_sql_rules rules = {.flavor = PCL_SQL_FLAVOR_BOTH};
    assert_int_equal(s_class(&rules, "SELECT price_of(a)"), PCL_SQL_WRITE);
    assert_int_equal(s_class(&rules, "CREATE FUNCTION price_of() RETURNS INT RETURN 1"),
                     PCL_SQL_DDL);
    assert_null(pcl_sql_rules_set_extra(&rules, pcl_bytes_text("price_of"), NULL));
    assert_int_equal(s_class(&rules, "SELECT Price_Of(a)"), PCL_SQL_READ);
    assert_int_equal(s_class(&rules, "SELECT price_of (a)"), PCL_SQL_READ);
    assert_int_equal(s_class(&rules, "SELECT `price_of`(a)"), PCL_SQL_READ);
    assert_int_equal(s_class(&rules, "SELECT app.price_of(a)"), PCL_SQL_WRITE);
    assert_int_equal(s_class(&rules, "SELECT price_of(a), other(a)"), PCL_SQL_WRITE);
    assert_int_equal(s_class(&rules, "SELECT price_of(a) INTO OUTFILE 'x'"), PCL_SQL_REFUSED);
    assert_int_equal(s_class(&rules, "CREATE VIEW v AS SELECT price_of(1)"), PCL_SQL_DDL);
    assert_int_equal(s_class(&rules, "CREATE FUNCTION price_of() RETURNS INT RETURN 1"),
                     PCL_SQL_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_of_policy_is_found_in_any_case),
        cmocka_unit_test(test_a_name_that_must_not_be_listed_is_told),
        cmocka_unit_test(test_a_list_has_its_bounds),
        cmocka_unit_test(test_flavors_have_names),
        cmocka_unit_test(test_a_listed_function_keeps_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
