#include "tests/lib/seed.h"
#include "wire/gtid.h"
#include "wire/token.h"

#include <stdio.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "9e11fa47-71ca-11e1-9e33-c80aa9429562"

static bool s_reaches(const char *set, const char *position)
{
    return pcl_gtid_reaches(pcl_bytes_text(set), pcl_bytes_text(position));
}

static bool s_covers(const char *a, const char *b)
{
    return pcl_gtid_covers(pcl_bytes_text(a), pcl_bytes_text(b));
}

static void s_expect_merged(const char *a, const char *b, const char *expected)
{
    char text[PCL_GTID_SIZE_MAX + 1];
    size_t size = pcl_gtid_merge(pcl_bytes_text(a), pcl_bytes_text(b), text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
}

static void test_sets_of_both_flavors_are_told_apart(void **state)
{
    (void)state;
    static const char *const mariadb[] = {"0-1-42", "0-1-42,1-7-3", " 0-1-42 , 1-7-3 ",
                                          "4294967295-4294967295-18446744073709551615"};
    static const char *const mysql[] = {A ":1",
                                        A ":1-42:50",
                                        A ":1-42,\n" B ":7",
                                        A ":tag:1-3:5:other_tag:7",
                                        A ":1-3:tag:1",
                                        "3E11FA47-71CA-11E1-9E33-C80AA9429562:1"};
    static const char *const neither[] = {"",
                                          "x",
                                          "0-1",
                                          "0-1-",
                                          "0-1-42,",
                                          ",0-1-42",
                                          "0-1-42;",
                                          "0--1-42",
                                          "4294967296-1-1",
                                          "0-1-18446744073709551616",
                                          A,
                                          A ":",
                                          A ":0",
                                          A ":5-3",
                                          A ":1-",
                                          A ":tag",
                                          A ":1tag:1",
                                          A ":aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
                                          A ":9223372036854775808",
                                          "3e11fa47071ca011e109e330c80aa9429562:1",
                                          A ":1,0-1-42",
                                          "0-1-42," A ":1"};
    for (size_t index = 0; index < sizeof mariadb / sizeof *mariadb; index++) {
        assert_int_equal(pcl_gtid_flavor(pcl_bytes_text(mariadb[index])), PCL_FLAVOR_MARIADB);
    }
    for (size_t index = 0; index < sizeof mysql / sizeof *mysql; index++) {
        assert_int_equal(pcl_gtid_flavor(pcl_bytes_text(mysql[index])), PCL_FLAVOR_MYSQL);
    }
    for (size_t index = 0; index < sizeof neither / sizeof *neither; index++) {
        assert_int_equal(pcl_gtid_flavor(pcl_bytes_text(neither[index])), PCL_FLAVOR_UNKNOWN);
    }
}

static void test_a_mariadb_position_reaches_what_lies_before_it(void **state)
{
    (void)state;
    assert_true(s_reaches("0-1-42", "0-1-42"));
    assert_true(s_reaches("0-1-43", "0-1-42"));
    assert_false(s_reaches("0-1-41", "0-1-42"));
    assert_true(s_reaches("0-2-43", "0-1-42"));  /* another source went on from there */
    assert_false(s_reaches("0-2-42", "0-1-42")); /* another source's own 42 */
    assert_false(s_reaches("1-1-43", "0-1-42")); /* another domain */
    assert_true(s_reaches("1-1-7,0-1-43", "0-1-42,1-1-7"));
    assert_false(s_reaches("1-1-6,0-1-43", "0-1-42,1-1-7"));
    assert_false(s_reaches("0-1-43", "0-1-42,1-1-7"));
}

/* What a failover lost: the new source counts on, and does not have it. */
static void test_only_the_same_servers_number_proves_a_mariadb_transaction(void **state)
{
    (void)state;
    assert_true(s_covers("0-1-99,0-2-105", "0-1-99"));
    assert_false(s_covers("0-1-99,0-2-105", "0-1-100"));
    assert_true(s_reaches("0-2-105", "0-1-100"));
    assert_false(s_covers("0-2-105", "0-1-100"));
}

static void test_a_mysql_set_reaches_what_lies_in_its_intervals(void **state)
{
    (void)state;
    assert_true(s_reaches(A ":1-42", A ":42"));
    assert_true(s_reaches(A ":1-42", "3E11FA47-71CA-11E1-9E33-C80AA9429562:1"));
    assert_false(s_reaches(A ":1-42", A ":43"));
    assert_false(s_reaches(A ":1-42:44-50", A ":43"));
    assert_true(s_reaches(A ":1-42:44-50", A ":44"));
    assert_false(s_reaches(B ":1-42", A ":42"));
    assert_true(s_reaches(B ":1-3,\n" A ":1-42", A ":42," B ":3"));
    assert_false(s_reaches(B ":1-3", A ":42," B ":3"));
    assert_true(s_reaches(A ":1-9:tag:1-3:other:5", A ":other:5," A ":tag:2," A ":9"));
    assert_false(s_reaches(A ":1-9:tag:1-3", A ":tag:9"));
    assert_false(s_reaches(A ":1-9:tag:1-3", A ":other:1"));
    assert_true(s_reaches(A ":Tag:1-3", A ":tAG:3"));
}

/* count items "domain-1-sequence", from the last domain to the first where backwards. */
static void s_many(char *text, size_t size, uint32_t count, uint32_t sequence, bool backwards)
{
    size_t used = 0;
    for (uint32_t index = 0; index < count; index++) {
        uint32_t domain = backwards ? count - 1 - index : index;
        used += (size_t)snprintf(text + used, size - used, "%s%u-1-%u", index > 0 ? "," : "",
                                 domain, sequence);
    }
    assert_true(used < size);
}

static void test_each_of_many_origins_is_looked_for_in_any_order(void **state)
{
    (void)state;
    char set[2048];
    char position[2048];
    for (uint32_t count = 1; count <= PCL_GTID_ORIGINS_MAX + 1; count++) {
        bool fits = count <= PCL_GTID_ORIGINS_MAX;
        s_many(position, sizeof position, count, 7, false);
        s_many(set, sizeof set, count, 7, true);
        assert_int_equal(s_reaches(set, position), fits);
        assert_int_equal(s_covers(set, position), fits);
        assert_int_equal(s_reaches(set, set), fits);
        s_many(set, sizeof set, count, 6, true);
        assert_false(s_reaches(set, position));
        s_many(set, sizeof set, count - 1, 8, false); /* the last one is not there */
        assert_false(s_reaches(set, position));
    }
    /* One interval has several of them, and one that none has is not forgotten. */
    assert_true(s_reaches(A ":1-9," B ":1-3", A ":2:4:6," B ":3"));
    assert_false(s_reaches(A ":1-9," B ":1-3", A ":2:4:60," B ":3"));
    assert_false(s_reaches(A ":1-9", "0-1-42," A ":2"));
}

static void test_what_is_no_set_reaches_nothing(void **state)
{
    (void)state;
    assert_false(s_reaches("", "0-1-42"));
    assert_false(s_reaches("0-1-42", ""));
    assert_false(s_reaches("x,0-1-42", "0-1-42"));
    assert_false(s_reaches("0-1-42", "0-1-42,x"));
    assert_false(s_reaches(A ":1-42", "0-1-42"));
    assert_false(s_covers("", ""));
    assert_false(s_covers("0-1-42", ""));
}

static void test_positions_merge_to_the_last_of_each_origin(void **state)
{
    (void)state;
    s_expect_merged("0-1-42", "", "0-1-42");
    s_expect_merged("0-1-42", "0-1-43", "0-1-43");
    s_expect_merged("1-1-5,0-1-43", "0-1-42", "0-1-43,1-1-5");
    s_expect_merged("0-2-105", "0-1-99", "0-1-99,0-2-105"); /* both must be there */
    s_expect_merged(B ":1-7", A ":3-9:12-20", A ":20," B ":7");
    s_expect_merged(A ":Tag:5:7:1", "3E11FA47-71CA-11E1-9E33-C80AA9429562:9", A ":9," A ":tag:7");
    s_expect_merged("", "", "");
    s_expect_merged("0-1-1", A ":1", "");
    s_expect_merged("0-1-1", "x", "");
}

static void test_what_does_not_fit_is_not_merged(void **state)
{
    (void)state;
    char text[7];
    assert_int_equal(pcl_gtid_merge(pcl_bytes_text("0-1-42"), pcl_bytes_text(""), text, 7), 6);
    assert_string_equal(text, "0-1-42");
    assert_int_equal(pcl_gtid_merge(pcl_bytes_text("0-1-142"), pcl_bytes_text(""), text, 7), 0);
    pcl_bytes two = pcl_bytes_text("0-1-1,1-1-42"); /* the first of them fits */
    assert_int_equal(pcl_gtid_merge(two, pcl_bytes_text(""), text, 7), 0);
    assert_string_equal(text, "");
    assert_int_equal(pcl_gtid_furthest(two, text, 7), 0);
    assert_string_equal(text, "");
    char many[4096];
    char target[8192];
    size_t size = 0;
    for (int index = 0; index <= (int)PCL_GTID_ORIGINS_MAX; index++) {
        size += (size_t)snprintf(many + size, sizeof many - size, "%s%d-1-1", index > 0 ? "," : "",
                                 index);
    }
    assert_int_equal(
        pcl_gtid_merge(pcl_bytes_text(many), pcl_bytes_text(""), target, sizeof target), 0);
}

static void test_the_furthest_of_a_domain(void **state)
{
    (void)state;
    char text[PCL_GTID_SIZE_MAX + 1];
    (void)pcl_gtid_furthest(pcl_bytes_text("0-1-99,0-2-105,1-1-7"), text, sizeof text);
    assert_string_equal(text, "0-2-105,1-1-7");
    (void)pcl_gtid_furthest(pcl_bytes_text(A ":5," B ":7"), text, sizeof text);
    assert_string_equal(text, A ":5," B ":7");
}

/* A merged position covers both of its parts, whatever they are. */
static void test_a_merged_position_covers_its_parts(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("gtid");
    for (uint32_t round = 0; round < 20000; round++) {
        char parts[2][256];
        char merged[1024];
        bool mysql = pcl_rng_below(&rng, 2) == 0;
        for (int part = 0; part < 2; part++) {
            size_t size = 0;
            uint32_t count = 1 + pcl_rng_below(&rng, 3);
            for (uint32_t index = 0; index < count; index++) {
                uint32_t number = 1 + pcl_rng_below(&rng, 20);
                uint32_t origin = pcl_rng_below(&rng, 3);
                const char *comma = index > 0 ? "," : "";
                size += (size_t)(mysql ? snprintf(parts[part] + size, sizeof parts[part] - size,
                                                  "%s%s:%u", comma, origin > 0 ? A : B, number)
                                       : snprintf(parts[part] + size, sizeof parts[part] - size,
                                                  "%s%u-%u-%u", comma, pcl_rng_below(&rng, 2),
                                                  origin, number));
            }
        }
        pcl_bytes a = pcl_bytes_text(parts[0]);
        pcl_bytes b = pcl_bytes_text(parts[1]);
        assert_true(pcl_gtid_merge(a, b, merged, sizeof merged) > 0);
        assert_true(s_covers(merged, parts[0]) && s_covers(merged, parts[1]));
        char again[1024];
        (void)pcl_gtid_merge(b, a, again, sizeof again);
        assert_string_equal(again, merged); /* one way to write it */
    }
}

#define TOKEN "1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42"

static void test_a_token_has_one_text(void **state)
{
    (void)state;
    uint8_t mac[PCL_TOKEN_MAC_SIZE];
    pcl_bytes position;
    char text[PCL_TOKEN_SIZE_MAX + 1];
    assert_true(pcl_token_read(pcl_bytes_text(TOKEN), mac, &position));
    assert_true(pcl_bytes_is(position, "0-1-42"));
    assert_int_equal(mac[0], 0xe5);
    assert_int_equal(pcl_token_write(mac, position, text), strlen(TOKEN));
    assert_string_equal(text, TOKEN);
    static const char *const bad[] = {"",
                                      "0-1-42",
                                      "1.",
                                      "2.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42",
                                      "1.5ToIE9FAUUi_8ppQ3D71dR.0-1-42", /* a bit that is over */
                                      "1.5ToIE9FAUUi_8ppQ3D71d=.0-1-42",
                                      "1.5ToIE9FAUUi_8ppQ3D71dQ.",
                                      "1.5ToIE9FAUUi_8ppQ3D71dQ,0-1-42",
                                      "1.5ToIE9FAUUi_8ppQ3D71dQ.0-1",
                                      "1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42\n,"};
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        assert_false(pcl_token_read(pcl_bytes_text(bad[index]), mac, &position));
    }
}

static void test_a_token_covers_what_lies_before_it(void **state)
{
    (void)state;
    pcl_bytes token = pcl_bytes_text(TOKEN);
    assert_true(pcl_token_covers(token, token));
    assert_true(pcl_token_covers(pcl_bytes_text("1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-43"), token));
    assert_false(pcl_token_covers(pcl_bytes_text("1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-41"), token));
    assert_false(pcl_token_covers(pcl_bytes_text("0-1-43"), token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_of_both_flavors_are_told_apart),
        cmocka_unit_test(test_a_mariadb_position_reaches_what_lies_before_it),
        cmocka_unit_test(test_only_the_same_servers_number_proves_a_mariadb_transaction),
        cmocka_unit_test(test_a_mysql_set_reaches_what_lies_in_its_intervals),
        cmocka_unit_test(test_each_of_many_origins_is_looked_for_in_any_order),
        cmocka_unit_test(test_what_is_no_set_reaches_nothing),
        cmocka_unit_test(test_positions_merge_to_the_last_of_each_origin),
        cmocka_unit_test(test_what_does_not_fit_is_not_merged),
        cmocka_unit_test(test_the_furthest_of_a_domain),
        cmocka_unit_test(test_a_merged_position_covers_its_parts),
        cmocka_unit_test(test_a_token_has_one_text),
        cmocka_unit_test(test_a_token_covers_what_lies_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
