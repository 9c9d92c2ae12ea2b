#include "broker/queue.h"

#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define MS       UINT64_C(1000)
#define TARGET   (10 * MS)
#define INTERVAL (50 * MS)

enum { ITEMS = 256, FLOWS = 8 };

static pcl_queue *s_new(void)
{
    pcl_queue_options options = {.item_max = ITEMS,
                                 .octets_max = 100000,
                                 .flow_max = FLOWS,
                                 .target_us = TARGET,
                                 .interval_us = INTERVAL};
    pcl_queue *self = pcl_queue_new(&options);
    assert_non_null(self);
    return self;
}

static uint32_t s_push(pcl_queue *self, uint32_t flow, uint64_t now_us)
{
    uint32_t item = pcl_queue_push(self, flow, PCL_QUEUE_READS, 10, now_us);
    assert_int_not_equal(item, PCL_QUEUE_NONE);
    return item;
}

static uint32_t s_next(pcl_queue *self, uint64_t now_us)
{
    pcl_queue_fate fate = PCL_QUEUE_DROPPED;
    uint32_t item = pcl_queue_pop(self, PCL_QUEUE_READS, now_us, &fate);
    assert_true(item == PCL_QUEUE_NONE || fate == PCL_QUEUE_NEXT);
    return item;
}

static void test_one_line_is_in_order(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    uint32_t first = s_push(self, 0, 0);
    uint32_t second = s_push(self, 0, 0);
    uint32_t third = s_push(self, 0, 3);
    assert_int_equal(pcl_queue_count(self), 3);
    assert_int_equal(pcl_queue_octets(self), 30);
    assert_int_equal(pcl_queue_waited_us(self, third, 5), 2);
    pcl_queue_remove(self, second);
    assert_int_equal(s_next(self, 5), first);
    assert_int_equal(s_next(self, 5), third);
    assert_int_equal(s_next(self, 5), PCL_QUEUE_NONE);
    assert_int_equal(pcl_queue_octets(self), 0);
    pcl_queue_destroy(&self);
    assert_null(self);
}

/* One has a hundred waiting, another comes with one: it is next but one at the latest. */
static void test_who_has_much_waiting_keeps_nobody_else_waiting(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    for (int index = 0; index < 100; index++) {
        (void)s_push(self, 3, 0);
    }
    for (int index = 0; index < 50; index++) {
        (void)s_next(self, 1);
    }
    uint32_t lone = s_push(self, 5, 2);
    bool came = s_next(self, 3) == lone || s_next(self, 3) == lone;
    assert_true(came);
    pcl_queue_destroy(&self);
}

static void test_shares_are_kept_while_all_have_something(void **state)
{
    (void)state;
    static const uint32_t shares[3] = {1, 3, 6};
    pcl_queue *self = s_new();
    uint32_t owner[ITEMS], had[3] = {0};
    for (uint32_t flow = 0; flow < 3; flow++) {
        pcl_queue_set_flow(self, flow, shares[flow], 1);
        for (int index = 0; index < 80; index++) {
            owner[s_push(self, flow, 0)] = flow;
        }
    }
    for (int index = 0; index < 100; index++) {
        had[owner[s_next(self, 1)]]++;
    }
    for (uint32_t flow = 0; flow < 3; flow++) {
        assert_in_range(had[flow], shares[flow] * 10 - 1, shares[flow] * 10 + 1);
    }
    pcl_queue_destroy(&self);
}

/* Who had nothing to ask for does not get that time back later. */
static void test_nobody_saves_up(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    uint32_t owner[ITEMS], had[2] = {0};
    for (int index = 0; index < 100; index++) {
        (void)s_push(self, 0, 0);
        (void)s_next(self, 0);
    }
    for (int index = 0; index < 40; index++) {
        owner[s_push(self, 0, 1)] = 0;
        owner[s_push(self, 1, 1)] = 1;
    }
    for (int index = 0; index < 40; index++) {
        had[owner[s_next(self, 2)]]++;
    }
    assert_in_range(had[1], 19, 21);
    pcl_queue_destroy(&self);
}

static void test_priority_goes_first_also_for_what_waits(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    uint32_t normal = s_push(self, 0, 0);
    uint32_t low = s_push(self, 1, 0);
    uint32_t high = s_push(self, 2, 0);
    pcl_queue_set_flow(self, 1, 1, 2);
    pcl_queue_set_flow(self, 2, 1, 0);
    assert_int_equal(s_next(self, 1), high);
    assert_int_equal(s_next(self, 1), normal);
    assert_int_equal(s_next(self, 1), low);
    pcl_queue_destroy(&self);
}

static void test_lanes_do_not_wait_for_each_other(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    pcl_queue_fate fate;
    uint32_t read = s_push(self, 0, 0);
    uint32_t write = pcl_queue_push(self, 0, PCL_QUEUE_REST, 10, 0);
    assert_int_equal(pcl_queue_lane_count(self, PCL_QUEUE_REST), 1);
    assert_int_equal(pcl_queue_pop(self, PCL_QUEUE_REST, 1, &fate), write);
    assert_int_equal(pcl_queue_pop(self, PCL_QUEUE_REST, 1, &fate), PCL_QUEUE_NONE);
    assert_int_equal(s_next(self, 1), read);
    pcl_queue_destroy(&self);
}

static void test_items_and_octets_are_bounded(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    uint32_t big = pcl_queue_push(self, 0, PCL_QUEUE_READS, 99990, 0);
    assert_int_not_equal(big, PCL_QUEUE_NONE);
    assert_int_equal(pcl_queue_push(self, 1, PCL_QUEUE_READS, 11, 0), PCL_QUEUE_NONE);
    (void)s_push(self, 1, 0);
    pcl_queue_remove(self, big);
    for (int index = 1; index < ITEMS; index++) {
        (void)s_push(self, 1, 0);
    }
    assert_int_equal(pcl_queue_push(self, 1, PCL_QUEUE_READS, 1, 0), PCL_QUEUE_NONE);
    pcl_queue_destroy(&self);
}

/* --- Waiting ---------------------------------------------------------------- */

static void test_a_burst_waits_and_loses_nothing(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    for (int index = 0; index < 40; index++) { /* 40 ms of work */
        (void)s_push(self, 0, 0);
    }
    for (uint64_t now_us = MS; now_us <= 40 * MS; now_us += MS) {
        assert_int_not_equal(s_next(self, now_us), PCL_QUEUE_NONE);
        assert_int_equal(pcl_queue_expire(self, now_us), PCL_QUEUE_NONE);
    }
    assert_int_equal(pcl_queue_count(self), 0);
    pcl_queue_destroy(&self);
}

/* One asks for three times what there is, another for little: only the one is told. */
static void test_a_line_that_stands_is_shortened_and_others_are_not(void **state)
{
    (void)state;
    enum { GREEDY = 0, MODEST = 1 };
    pcl_queue *self = s_new();
    uint32_t owner[ITEMS], dropped[2] = {0}, served[2] = {0};
    uint64_t waited_us_max = 0;
    for (uint64_t tick = 1; tick <= 2000; tick++) { /* one is served each ms */
        uint64_t now_us = tick * MS;
        uint32_t item;
        for (int index = 0; index < 3; index++) {
            item = pcl_queue_push(self, GREEDY, PCL_QUEUE_READS, 1, now_us);
            if (item != PCL_QUEUE_NONE) {
                owner[item] = GREEDY;
            }
        }
        if (tick % 5 == 0) {
            owner[s_push(self, MODEST, now_us)] = MODEST;
        }
        while ((item = pcl_queue_expire(self, now_us)) != PCL_QUEUE_NONE) {
            dropped[owner[item]]++;
        }
        pcl_queue_fate fate = PCL_QUEUE_DROPPED;
        while (fate == PCL_QUEUE_DROPPED) {
            item = pcl_queue_pop(self, PCL_QUEUE_READS, now_us, &fate);
            assert_int_not_equal(item, PCL_QUEUE_NONE);
            dropped[owner[item]] += fate == PCL_QUEUE_DROPPED ? 1 : 0;
        }
        served[owner[item]]++;
        if (owner[item] == GREEDY && tick > 500 && pcl_queue_count(self) > waited_us_max) {
            waited_us_max = pcl_queue_count(self);
        }
    }
    assert_int_equal(dropped[MODEST], 0);
    assert_in_range(served[MODEST], 398, 400);
    assert_true(served[GREEDY] > 1590);
    assert_true(dropped[GREEDY] > 3000);
    assert_true(waited_us_max <= 80); /* 20 ms of what it gives: 60 came in that time, and a few */
    pcl_queue_destroy(&self);
}

/* Nothing is asked for at all: what stands is given up by time. */
static void test_what_nobody_asks_for_is_given_up(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    uint32_t item = s_push(self, 0, 0);
    uint64_t now_us = 0;
    while (pcl_queue_expire(self, now_us) == PCL_QUEUE_NONE) {
        now_us += MS;
        assert_true(now_us <= INTERVAL + 2 * TARGET);
    }
    assert_true(now_us >= INTERVAL);
    assert_int_equal(pcl_queue_count(self), 0);
    assert_int_equal(s_push(self, 1, now_us), item); /* the place is free again */
    pcl_queue_destroy(&self);
}

/* A line that is emptied by giving up stands on while the flood goes on; when nothing stood for an
 * interval, the next burst waits again. */
static void test_a_line_that_was_emptied_stands_on_for_a_while(void **state)
{
    (void)state;
    pcl_queue *self = s_new();
    (void)s_push(self, 0, 0);
    uint64_t now_us = 0;
    while (pcl_queue_expire(self, now_us) == PCL_QUEUE_NONE) {
        now_us += MS;
    }
    (void)s_push(self, 0, now_us);
    assert_int_equal(pcl_queue_expire(self, now_us + 2 * TARGET), PCL_QUEUE_NONE);
    assert_int_not_equal(pcl_queue_expire(self, now_us + 2 * TARGET + MS), PCL_QUEUE_NONE);
    now_us += INTERVAL;
    (void)s_push(self, 0, now_us);
    assert_int_equal(pcl_queue_expire(self, now_us + INTERVAL - MS), PCL_QUEUE_NONE);
    assert_int_not_equal(s_next(self, now_us + INTERVAL - MS), PCL_QUEUE_NONE);
    pcl_queue_destroy(&self);
}

/* --- Against a model --------------------------------------------------------- */

static void test_nothing_is_lost_and_nothing_comes_twice(void **state)
{
    (void)state;
    enum { STEPS = 200000 };
    pcl_rng rng = pcl_test_rng("queue");
    pcl_queue *self = s_new();
    bool there[ITEMS] = {false};
    uint32_t flow_of[ITEMS] = {0}, lane_of[ITEMS] = {0}, serial_of[ITEMS] = {0};
    uint32_t count = 0, serial = 0;
    uint32_t last[FLOWS][PCL_QUEUE_LANES] = {{0}};
    uint64_t now_us = 0;
    for (int step = 0; step < STEPS; step++) {
        now_us += pcl_rng_below(&rng, 400);
        uint32_t flow = pcl_rng_below(&rng, FLOWS);
        uint32_t lane = pcl_rng_below(&rng, PCL_QUEUE_LANES);
        uint32_t item = PCL_QUEUE_NONE;
        bool in_order = false;
        pcl_queue_fate fate;
        switch (pcl_rng_below(&rng, 8)) {
        case 0:
            pcl_queue_set_flow(self, flow, 1 + pcl_rng_below(&rng, 1000), pcl_rng_below(&rng, 3));
            break;
        case 1:
            item = pcl_queue_expire(self, now_us);
            in_order = item != PCL_QUEUE_NONE;
            break;
        case 2:
            item = pcl_rng_below(&rng, ITEMS);
            item = there[item] ? item : PCL_QUEUE_NONE;
            if (item != PCL_QUEUE_NONE) {
                pcl_queue_remove(self, item);
            }
            break;
        case 3:
        case 4:
            item = pcl_queue_pop(self, (pcl_queue_lane)lane, now_us, &fate);
            assert_true(item == PCL_QUEUE_NONE || lane_of[item] == lane);
            in_order = item != PCL_QUEUE_NONE;
            break;
        default:
            item = pcl_queue_push(self, flow, (pcl_queue_lane)lane, 1, now_us);
            assert_int_equal(item == PCL_QUEUE_NONE, count == ITEMS);
            if (item != PCL_QUEUE_NONE) {
                assert_false(there[item]);
                there[item] = true;
                flow_of[item] = flow;
                lane_of[item] = lane;
                serial_of[item] = ++serial;
                count++;
            }
            item = PCL_QUEUE_NONE;
        }
        if (in_order) { /* in its own line it was the oldest */
            assert_true(serial_of[item] > last[flow_of[item]][lane_of[item]]);
            last[flow_of[item]][lane_of[item]] = serial_of[item];
        }
        if (item != PCL_QUEUE_NONE) {
            assert_true(there[item]);
            there[item] = false;
            count--;
        }
        assert_int_equal(pcl_queue_count(self), count);
        assert_int_equal(pcl_queue_octets(self), count);
    }
    pcl_queue_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line_is_in_order),
        cmocka_unit_test(test_who_has_much_waiting_keeps_nobody_else_waiting),
        cmocka_unit_test(test_shares_are_kept_while_all_have_something),
        cmocka_unit_test(test_nobody_saves_up),
        cmocka_unit_test(test_priority_goes_first_also_for_what_waits),
        cmocka_unit_test(test_lanes_do_not_wait_for_each_other),
        cmocka_unit_test(test_items_and_octets_are_bounded),
        cmocka_unit_test(test_a_burst_waits_and_loses_nothing),
        cmocka_unit_test(test_a_line_that_stands_is_shortened_and_others_are_not),
        cmocka_unit_test(test_what_nobody_asks_for_is_given_up),
        cmocka_unit_test(test_a_line_that_was_emptied_stands_on_for_a_while),
        cmocka_unit_test(test_nothing_is_lost_and_nothing_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
