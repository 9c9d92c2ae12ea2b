/* A lag that was looked at earlier, as it is told now. */
#include "worker-agent/lag.h"

#include "common/clock.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LOOKED_US (100 * PCL_US_PER_S)

static int32_t s_after_ms(int32_t lag_ms, uint64_t age_ms)
{
    return pcl_lag_by_now_ms(lag_ms, LOOKED_US, LOOKED_US + age_ms * PCL_US_PER_MS);
}

static void test_a_look_in_its_time_is_told_as_it_was(void **state)
{
    (void)state;
    for (uint64_t age_ms = 0; age_ms <= PCL_LAG_LOOK_MS; age_ms += 50) {
        assert_int_equal(s_after_ms(0, age_ms), 0);
        assert_int_equal(s_after_ms(1234, age_ms), 1234);
    }
    assert_int_equal(pcl_lag_by_now_ms(5, LOOKED_US, LOOKED_US - 1), 5); /* it came meanwhile */
}

static void test_an_old_look_has_grown_older(void **state)
{
    (void)state;
    assert_int_equal(s_after_ms(0, 401), 201);
    assert_int_equal(s_after_ms(0, 1900), 1700);
    assert_int_equal(s_after_ms(3000, 1900), 4700);
    int32_t last_ms = 0;
    for (uint64_t age_ms = 0; age_ms < 5000; age_ms++) {
        int32_t lag_ms = s_after_ms(0, age_ms);
        assert_true(lag_ms >= last_ms);
        last_ms = lag_ms;
    }
}

static void test_unknown_stays_unknown_and_nothing_overflows(void **state)
{
    (void)state;
    assert_int_equal(s_after_ms(-1, 0), -1);
    assert_int_equal(s_after_ms(-1, 60000), -1);
    assert_int_equal(s_after_ms(INT32_MAX, 401), INT32_MAX);
    assert_int_equal(s_after_ms(INT32_MAX - 201, 401), INT32_MAX);
    assert_int_equal(s_after_ms(INT32_MAX - 202, 401), INT32_MAX - 1);
    assert_int_equal(pcl_lag_by_now_ms(0, 0, UINT64_MAX), INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_look_in_its_time_is_told_as_it_was),
        cmocka_unit_test(test_an_old_look_has_grown_older),
        cmocka_unit_test(test_unknown_stays_unknown_and_nothing_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
