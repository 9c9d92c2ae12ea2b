/* Service-time statistics: decay, winsorised mean, raw variance. */
#include "worker-agent/service.h"

#include "common/clock.h"

#include <math.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START_US (100 * PCL_US_PER_S)

static void assert_near(double value, double wanted, double tolerance)
{
    if (fabs(value - wanted) > tolerance) {
        fail_msg("%f is not %f +- %f", value, wanted, tolerance);
    }
}

static void test_no_sample_says_nothing(void **state)
{
    (void)state;
    pcl_service service = {0};
    pcl_service_summary summary = pcl_service_summarize(&service, START_US);
    assert_true(summary.mean_us == 0 && summary.count == 0 && summary.variance == 0);
    assert_true(summary.fast_us == 0 && summary.fast_count == 0);
}

static void test_mean_and_variance_of_samples_at_one_time(void **state)
{
    (void)state;
    pcl_service service = {0};
    pcl_service_add(&service, 100, START_US);
    pcl_service_add(&service, 200, START_US);
    pcl_service_add(&service, 300, START_US);
    pcl_service_summary summary = pcl_service_summarize(&service, START_US);
    assert_near(summary.mean_us, 200, 1e-3);
    assert_near(summary.count, 3, 1e-6);
    assert_near(summary.variance, 20000.0 / 3, 1e-1);
    assert_near(summary.fast_us, 200, 1e-3);
}

static void test_counts_decay_with_their_time_constants_and_means_do_not(void **state)
{
    (void)state;
    pcl_service service = {0};
    for (int count = 0; count < 10; count++) {
        pcl_service_add(&service, 500, START_US);
    }
    pcl_service_summary later = pcl_service_summarize(&service, START_US + 3 * PCL_US_PER_S);
    assert_near(later.count, 10 * exp(-1), 1e-4);
    assert_near(later.mean_us, 500, 1e-2);
    assert_near(later.fast_count, 10 * exp(-15), 1e-6);
    /* Long after, there is nothing left to say. */
    later = pcl_service_summarize(&service, START_US + 600 * PCL_US_PER_S);
    assert_true(later.mean_us == 0 && later.count == 0);
}

/* Looks take 100 us while statements take 20 ms; what they take later says how statements would do
 * now, and on a node that stays slow they must not talk its mean down. */
static void test_looks_scale_the_mean_of_a_node_that_nobody_asks(void **state)
{
    (void)state;
    pcl_service service = {0};
    uint64_t now_us = START_US;
    pcl_service_look(&service, 100, false, now_us); /* nothing was ever served */
    assert_true(pcl_service_summarize(&service, now_us).count == 0);
    for (int count = 0; count < 100; count++) {
        pcl_service_add(&service, 20000, now_us);
    }
    now_us += PCL_US_PER_S;
    pcl_service_look(&service, 100, true, now_us);
    for (int second = 0; second < 60; second++) {
        now_us += PCL_US_PER_S;
        pcl_service_look(&service, 100, false, now_us);
        assert_near(pcl_service_summarize(&service, now_us).mean_us, 20000, 1);
    }
    for (int second = 0; second < 60; second++) {
        now_us += PCL_US_PER_S;
        pcl_service_look(&service, 1000, false, now_us);
    }
    assert_near(pcl_service_summarize(&service, now_us).mean_us, 200000, 1);
    for (int second = 0; second < 60; second++) { /* never further than by 16 */
        now_us += PCL_US_PER_S;
        pcl_service_look(&service, 0, false, now_us);
    }
    assert_near(pcl_service_summarize(&service, now_us).mean_us, 20000 / 16.0, 1);
}

static void test_the_least_look_of_a_second_counts(void **state)
{
    (void)state;
    pcl_service service = {0};
    uint64_t now_us = START_US;
    for (int count = 0; count < 100; count++) {
        pcl_service_add(&service, 20000, now_us);
    }
    pcl_service_look(&service, 100, true, now_us);
    for (int look = 1; look <= 50; look++) { /* five a second, four of them late */
        now_us += PCL_US_PER_S / 5;
        pcl_service_look(&service, look % 5 == 3 ? 100 : 700, false, now_us);
    }
    assert_near(pcl_service_summarize(&service, now_us).mean_us, 20000, 1);
    assert_true(pcl_service_summarize(&service, now_us).count < 8); /* one a second */
}

/* Ten times slower, and well again while nobody asked: what looks took when it was slow is no
 * measure of the statements that come then. */
static void test_looks_are_learned_anew_when_statements_come_back(void **state)
{
    (void)state;
    pcl_service service = {0};
    uint64_t now_us = START_US;
    pcl_service_add(&service, 200000, now_us);
    pcl_service_look(&service, 1000, true, now_us);
    for (int second = 0; second < 30; second++) {
        now_us += PCL_US_PER_S;
        pcl_service_look(&service, 100, false, now_us);
    }
    assert_near(pcl_service_summarize(&service, now_us).mean_us, 20000, 100);
    pcl_service_add(&service, 20000, now_us);
    for (int second = 0; second < 30; second++) {
        now_us += PCL_US_PER_S;
        pcl_service_look(&service, 100, second == 0, now_us);
        assert_near(pcl_service_summarize(&service, now_us).mean_us, 20000, 100);
    }
}

static void
test_a_report_query_counts_five_means_in_the_mean_but_whole_in_the_variance(void **state)
{
    (void)state;
    pcl_service service = {0};
    for (int count = 0; count < 100; count++) {
        pcl_service_add(&service, 100, START_US);
    }
    pcl_service_add(&service, 1000000, START_US);
    pcl_service_summary summary = pcl_service_summarize(&service, START_US);
    assert_near(summary.mean_us, (100 * 100 + 500) / 101.0, 1e-2);
    double mean = (100 * 100 + 1e6) / 101.0;
    assert_near(summary.variance / ((100 * 1e4 + 1e12) / 101.0 - mean * mean), 1, 1e-3);
}

static void test_twenty_samples_are_needed_before_one_is_cut(void **state)
{
    (void)state;
    pcl_service service = {0};
    for (int count = 0; count < 20; count++) {
        pcl_service_add(&service, 100, START_US);
    }
    pcl_service_add(&service, 10000, START_US);
    assert_near(pcl_service_summarize(&service, START_US).mean_us, (2000 + 10000) / 21.0, 1e-2);
}

static void test_the_fast_mean_follows_a_change_that_the_slow_one_smooths(void **state)
{
    (void)state;
    pcl_service service = {0};
    uint64_t now_us = START_US;
    for (int count = 0; count < 3000; count++, now_us += PCL_US_PER_MS) {
        pcl_service_add(&service, 100, now_us);
    }
    for (int count = 0; count < 400; count++, now_us += PCL_US_PER_MS) {
        pcl_service_add(&service, 300, now_us);
    }
    pcl_service_summary summary = pcl_service_summarize(&service, now_us);
    assert_true(summary.fast_us > 260);
    assert_true(summary.mean_us < 150);
}

static void test_a_clock_that_steps_back_changes_nothing(void **state)
{
    (void)state;
    pcl_service service = {0};
    pcl_service_add(&service, 100, START_US);
    pcl_service_add(&service, 300, START_US - PCL_US_PER_S);
    pcl_service_summary summary = pcl_service_summarize(&service, START_US);
    assert_near(summary.count, 2, 1e-6);
    assert_near(summary.mean_us, 200, 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks_scale_the_mean_of_a_node_that_nobody_asks),
        cmocka_unit_test(test_the_least_look_of_a_second_counts),
        cmocka_unit_test(test_looks_are_learned_anew_when_statements_come_back),
        cmocka_unit_test(test_no_sample_says_nothing),
        cmocka_unit_test(test_mean_and_variance_of_samples_at_one_time),
        cmocka_unit_test(test_counts_decay_with_their_time_constants_and_means_do_not),
        cmocka_unit_test(
            test_a_report_query_counts_five_means_in_the_mean_but_whole_in_the_variance),
        cmocka_unit_test(test_twenty_samples_are_needed_before_one_is_cut),
        cmocka_unit_test(test_the_fast_mean_follows_a_change_that_the_slow_one_smooths),
        cmocka_unit_test(test_a_clock_that_steps_back_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
