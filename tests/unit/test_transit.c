#include "common/transit.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define OFFSET_US UINT64_C(123456789) /* the receiver's clock is ahead by this */

static void test_only_what_is_above_the_shortest_way_counts(void **state)
{
    (void)state;
    pcl_transit transit = {0};
    assert_int_equal(pcl_transit_wait_us(&transit, 1000, 1000 + OFFSET_US + 50), 0);
    assert_int_equal(pcl_transit_wait_us(&transit, 2000, 2000 + OFFSET_US + 40), 0);
    assert_int_equal(pcl_transit_wait_us(&transit, 3000, 3000 + OFFSET_US + 70), 30);
}

/* Stopped for four seconds: what lay in the queue has waited that long. */
static void test_a_frozen_receiver_sees_the_wait(void **state)
{
    (void)state;
    pcl_transit transit = {0};
    (void)pcl_transit_wait_us(&transit, 0, OFFSET_US);
    uint64_t wait_us = pcl_transit_wait_us(&transit, 1000000, 5000000 + OFFSET_US);
    assert_in_range(wait_us, 3990000, 4000000);
}

static void test_a_receiver_clock_behind_the_senders_is_fine(void **state)
{
    (void)state;
    pcl_transit transit = {0};
    assert_int_equal(pcl_transit_wait_us(&transit, OFFSET_US, 10), 0);
    assert_int_equal(pcl_transit_wait_us(&transit, OFFSET_US + 100, 160), 50);
}

/* Clocks 100 ppm apart over an hour of messages every millisecond. */
static void test_drift_does_not_look_like_waiting(void **state)
{
    (void)state;
    pcl_transit transit = {0};
    uint64_t worst_us = 0;
    for (uint64_t ms = 0; ms < 3600000; ms++) {
        uint64_t sent_us = ms * 1000;
        uint64_t wait_us = pcl_transit_wait_us(&transit, sent_us, sent_us + sent_us / 10000);
        worst_us = wait_us > worst_us ? wait_us : worst_us;
    }
    assert_true(worst_us <= 100);
}

/* A peer says what it likes: the farthest that two times can be apart is no more than a number. */
static void test_times_that_are_no_times_are_counted_like_others(void **state)
{
    (void)state;
    pcl_transit transit = {0};
    uint64_t farthest = UINT64_C(1) << 63;
    assert_int_equal(pcl_transit_wait_us(&transit, farthest - 54, 0), 0);
    assert_int_equal(pcl_transit_wait_us(&transit, 0, 57), farthest - 54 + 57);
    transit = (pcl_transit){0};
    assert_int_equal(pcl_transit_wait_us(&transit, 0, farthest - 1), 0);
    (void)pcl_transit_wait_us(&transit, 0, farthest + 1000000); /* the drift goes over the edge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_above_the_shortest_way_counts),
        cmocka_unit_test(test_a_frozen_receiver_sees_the_wait),
        cmocka_unit_test(test_a_receiver_clock_behind_the_senders_is_fine),
        cmocka_unit_test(test_drift_does_not_look_like_waiting),
        cmocka_unit_test(test_times_that_are_no_times_are_counted_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
