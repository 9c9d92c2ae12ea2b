#include "net/log_limit.h"

#include "common/clock.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_US (5 * PCL_US_PER_S)

static void test_a_flood_is_cut_and_counted(void **state)
{
    (void)state;
    pcl_log_limit limit = pcl_log_limit_of(3);
    uint32_t written = 0;
    for (uint32_t index = 0; index < 100; index++) {
        written += pcl_log_limit_take(&limit, START_US + index) ? 1 : 0;
    }
    assert_int_equal(written, 3);
    assert_int_equal(pcl_log_limit_suppressed(&limit, START_US + 100), 0); /* not over yet */
    assert_int_equal(pcl_log_limit_suppressed(&limit, START_US + PCL_US_PER_S), 97);
    assert_int_equal(pcl_log_limit_suppressed(&limit, START_US + PCL_US_PER_S), 0);
}

static void test_the_next_second_has_its_own_lines(void **state)
{
    (void)state;
    pcl_log_limit limit = pcl_log_limit_of(1);
    assert_true(pcl_log_limit_take(&limit, START_US));
    assert_false(pcl_log_limit_take(&limit, START_US + PCL_US_PER_S - 1));
    assert_true(pcl_log_limit_take(&limit, START_US + PCL_US_PER_S));
    assert_int_equal(pcl_log_limit_suppressed(&limit, START_US + 2 * PCL_US_PER_S), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_is_cut_and_counted),
        cmocka_unit_test(test_the_next_second_has_its_own_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
