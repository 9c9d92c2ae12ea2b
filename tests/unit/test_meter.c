#include "policy/meter.h"

#include "common/clock.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_US UINT64_C(1000000)

static void s_assert_taken(pcl_meter *meter, const pcl_policy_role *role, uint64_t now_us)
{
    pcl_meter_verdict verdict = pcl_meter_take(meter, role, now_us);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_NONE);
    assert_int_equal(verdict.retry_after_ms, 0);
}

static void without_limits_everything_is_taken(void **state)
{
    (void)state;
    pcl_policy_role role = {.share = 1};
    pcl_meter meter = {0};
    for (int count = 0; count < 100000; count++) {
        s_assert_taken(&meter, &role, START_US);
    }
    assert_int_equal(meter.inflight, 100000);
}

static void a_burst_is_taken_at_once_and_then_the_rate(void **state)
{
    (void)state;
    pcl_policy_role role = {.rate = 10, .burst = 3};
    pcl_meter meter = {0};
    for (int count = 0; count < 3; count++) {
        s_assert_taken(&meter, &role, START_US);
    }
    pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, START_US);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
    assert_int_equal(verdict.retry_after_ms, 100);
    assert_int_equal(meter.inflight, 3);
    verdict = pcl_meter_take(&meter, &role, START_US + 60 * PCL_US_PER_MS);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
    assert_int_equal(verdict.retry_after_ms, 40);
    s_assert_taken(&meter, &role, START_US + 100 * PCL_US_PER_MS); /* as was said */
    verdict = pcl_meter_take(&meter, &role, START_US + 100 * PCL_US_PER_MS);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
}

/* Whoever comes back when it was told to is served, whatever the rate. */
static void what_is_told_is_kept(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 3, 7, 333, 999, 1000, 12345, 1000000};
    for (size_t index = 0; index < sizeof rates / sizeof rates[0]; index++) {
        pcl_policy_role role = {.rate = rates[index], .burst = 1};
        pcl_meter meter = {0};
        uint64_t now_us = START_US;
        for (int count = 0; count < 1000; count++) {
            s_assert_taken(&meter, &role, now_us);
            pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, now_us);
            assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
            assert_true(verdict.retry_after_ms >= 1 && verdict.retry_after_ms <= 60000);
            now_us += verdict.retry_after_ms * PCL_US_PER_MS;
        }
    }
}

/* Over a minute no more than burst and rate allow, and no less than the rate. */
static void the_rate_is_held_over_time(void **state)
{
    (void)state;
    pcl_policy_role role = {.rate = 70, .burst = 20};
    pcl_meter meter = {0};
    uint64_t taken = 0;
    for (uint64_t passed_us = 0; passed_us < 60 * PCL_US_PER_S; passed_us += 777) {
        pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, START_US + passed_us);
        taken += verdict.rule == PCL_POLICY_RULE_NONE;
    }
    assert_true(taken <= 60 * 70 + 20);
    assert_true(taken >= 60 * 70);
}

static void a_bucket_is_never_fuller_than_its_brim(void **state)
{
    (void)state;
    pcl_policy_role role = {.rate = 1000000};
    pcl_meter meter = {0};
    s_assert_taken(&meter, &role, START_US);
    s_assert_taken(&meter, &role, UINT64_MAX); /* no overflow after ages */
    assert_true(meter.level < UINT64_C(1000000) * 1000000);
    role.rate = 2; /* a reload */
    s_assert_taken(&meter, &role, UINT64_MAX);
    s_assert_taken(&meter, &role, UINT64_MAX);
    pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, UINT64_MAX);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
    verdict = pcl_meter_take(&meter, &role, START_US); /* a clock that goes back gives nothing */
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_RATE);
}

static void no_more_than_allowed_are_in_flight(void **state)
{
    (void)state;
    pcl_policy_role role = {.concurrency_max = 2};
    pcl_meter meter = {0};
    s_assert_taken(&meter, &role, START_US);
    s_assert_taken(&meter, &role, START_US);
    pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, START_US);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_CONCURRENCY);
    assert_true(verdict.retry_after_ms >= 1);
    pcl_meter_done(&meter, 40 * PCL_US_PER_MS);
    s_assert_taken(&meter, &role, START_US);
    verdict = pcl_meter_take(&meter, &role, START_US);
    assert_int_equal(verdict.retry_after_ms, 20); /* two at a time, of 40 ms each */
    pcl_meter_done(&meter, UINT64_MAX);
    pcl_meter_done(&meter, UINT64_MAX);
    assert_int_equal(meter.inflight, 0);
}

/* What concurrency refuses costs no token of the rate. */
static void a_refusal_costs_nothing(void **state)
{
    (void)state;
    pcl_policy_role role = {.concurrency_max = 1, .rate = 1, .burst = 2};
    pcl_meter meter = {0};
    s_assert_taken(&meter, &role, START_US);
    for (int count = 0; count < 10; count++) {
        pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, START_US);
        assert_int_equal(verdict.rule, PCL_POLICY_RULE_CONCURRENCY);
    }
    pcl_meter_done(&meter, 1000);
    s_assert_taken(&meter, &role, START_US);
}

static void on_trial_a_limit_only_tells(void **state)
{
    (void)state;
    pcl_policy_role role = {.concurrency_max = 1, .rate = 1};
    role.dry_run = 1u << PCL_POLICY_RULE_RATE | 1u << PCL_POLICY_RULE_CONCURRENCY;
    pcl_meter meter = {0};
    pcl_meter_verdict verdict = pcl_meter_take(&meter, &role, START_US);
    assert_int_equal(verdict.dry_run, 0);
    verdict = pcl_meter_take(&meter, &role, START_US);
    assert_int_equal(verdict.rule, PCL_POLICY_RULE_NONE);
    assert_int_equal(verdict.dry_run, role.dry_run);
    assert_int_equal(meter.inflight, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_is_taken),
        cmocka_unit_test(a_burst_is_taken_at_once_and_then_the_rate),
        cmocka_unit_test(what_is_told_is_kept),
        cmocka_unit_test(the_rate_is_held_over_time),
        cmocka_unit_test(a_bucket_is_never_fuller_than_its_brim),
        cmocka_unit_test(no_more_than_allowed_are_in_flight),
        cmocka_unit_test(a_refusal_costs_nothing),
        cmocka_unit_test(on_trial_a_limit_only_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
