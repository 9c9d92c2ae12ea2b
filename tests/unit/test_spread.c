/* Which of several equal neighbours gets the next request. */
#include "net/spread.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_equals_are_asked_in_turn(void **state)
{
    (void)state;
    pcl_spread spread = pcl_spread_of(3);
    uint32_t asked[3] = {0};
    for (uint32_t round = 0; round < 30; round++) {
        asked[pcl_spread_choose(&spread, 7)]++;
    }
    for (uint32_t index = 0; index < 3; index++) {
        assert_int_equal(asked[index], 10);
    }
}

static void test_the_one_with_the_fewest_is_asked(void **state)
{
    (void)state;
    pcl_spread spread = pcl_spread_of(3);
    for (uint32_t round = 0; round < 5; round++) {
        pcl_spread_begin(&spread, 0);
        pcl_spread_begin(&spread, 2);
    }
    for (uint32_t round = 0; round < 5; round++) {
        uint32_t chosen = pcl_spread_choose(&spread, 7);
        assert_int_equal(chosen, 1);
        pcl_spread_begin(&spread, chosen);
    }
    pcl_spread_end(&spread, 2);
    assert_int_equal(pcl_spread_choose(&spread, 7), 2);
}

static void test_only_who_may_is_asked(void **state)
{
    (void)state;
    pcl_spread spread = pcl_spread_of(PCL_SPREAD_MAX);
    pcl_spread_begin(&spread, 5);
    assert_int_equal(pcl_spread_choose(&spread, 1u << 5), 5);
    assert_int_equal(pcl_spread_choose(&spread, 0), PCL_SPREAD_NONE);
    assert_int_equal(pcl_spread_choose(&spread, 1u << 7 | 1u << 5), 7);
}

static void test_a_single_one_is_always_asked(void **state)
{
    (void)state;
    pcl_spread spread = pcl_spread_of(1);
    for (uint32_t round = 0; round < 100; round++) {
        assert_int_equal(pcl_spread_choose(&spread, 1), 0);
        pcl_spread_begin(&spread, 0);
    }
    assert_int_equal(spread.inflight[0], 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_are_asked_in_turn),
        cmocka_unit_test(test_the_one_with_the_fewest_is_asked),
        cmocka_unit_test(test_only_who_may_is_asked),
        cmocka_unit_test(test_a_single_one_is_always_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
