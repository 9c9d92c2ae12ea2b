#include "common/rng.h"
#include "gatekeeper/principals.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void test_counts_each_principal_apart(void **state)
{
    (void)state;
    pcl_principals *principals = pcl_principals_new(2, 1);
    uint32_t alice = pcl_principals_acquire(principals, "alice", 10);
    assert_int_equal(pcl_principals_acquire(principals, "alice", 10), alice);
    uint32_t bob = pcl_principals_acquire(principals, "bob", 7);
    assert_int_equal(pcl_principals_load(principals, "alice").requests, 2);
    assert_int_equal(pcl_principals_load(principals, "bob").requests, 1);
    assert_int_equal(pcl_principals_load(principals, "alice").octets, 20);
    assert_int_equal(pcl_principals_load(principals, "carol").requests, 0);
    assert_int_equal(pcl_principals_acquire(principals, "carol", 5), UINT32_MAX);
    pcl_principals_release(principals, bob, 7);
    assert_int_equal(pcl_principals_count(principals), 1);
    assert_int_not_equal(pcl_principals_acquire(principals, "carol", 5), UINT32_MAX);
    assert_int_equal(pcl_principals_load(principals, "bob").octets, 0);
    pcl_principals_destroy(&principals);
    assert_null(principals);
}

/* So many are answered, one after the other. */
static void s_answer_many(pcl_principals *principals, const char *name, uint32_t count,
                          bool overloaded)
{
    for (uint32_t index = 0; index < count; index++) {
        uint32_t slot = pcl_principals_acquire(principals, name, 1);
        pcl_principals_answered(principals, slot, overloaded);
        pcl_principals_release(principals, slot, 1);
    }
}

/* How many are let through. */
static uint32_t s_flood(pcl_principals *principals, const char *name, uint32_t count)
{
    uint32_t sent = 0;
    while (sent < count && !pcl_principals_load(principals, name).throttled) {
        s_answer_many(principals, name, 1, true);
        sent++;
    }
    return sent;
}

static void test_whom_the_broker_refuses_is_let_through_twice_as_often_as_served(void **state)
{
    (void)state;
    pcl_principals *principals = pcl_principals_new(4, 1);
    uint32_t kept = pcl_principals_acquire(principals, "greedy", 1);
    s_answer_many(principals, "greedy", 10000, false);
    assert_false(pcl_principals_load(principals, "greedy").throttled);
    assert_int_equal(s_flood(principals, "greedy", 10000), PCL_PRINCIPALS_SAVED);
    assert_false(pcl_principals_load(principals, "modest").throttled);
    for (int index = 0; index < 100; index++) {
        pcl_principals_answered(principals, kept, false);
        assert_int_equal(s_flood(principals, "greedy", 10000), PCL_PRINCIPALS_TIMES);
    }
    pcl_principals_age(principals); /* some may try */
    assert_int_equal(s_flood(principals, "greedy", 10000), PCL_PRINCIPALS_TRIES);
    pcl_principals_release(principals, kept, 1);
    pcl_principals_destroy(&principals);
}

static void test_with_nothing_in_flight_a_flood_is_not_forgotten_at_once(void **state)
{
    (void)state;
    pcl_principals *principals = pcl_principals_new(2, 1);
    assert_int_equal(s_flood(principals, "one", 10000), PCL_PRINCIPALS_TRIES);
    assert_int_equal(s_flood(principals, "two", 10000), PCL_PRINCIPALS_TRIES);
    assert_int_equal(pcl_principals_count(principals), 0);
    assert_true(pcl_principals_load(principals, "one").throttled);
    s_answer_many(principals, "three", 1, true); /* there is no room to keep a third */
    uint32_t four = pcl_principals_acquire(principals, "four", 1);
    uint32_t five = pcl_principals_acquire(principals, "five", 1);
    assert_int_not_equal(five, UINT32_MAX);
    assert_int_equal(pcl_principals_acquire(principals, "one", 1), UINT32_MAX);
    pcl_principals_release(principals, four, 1);
    pcl_principals_release(principals, five, 1);
    for (int halved = 0; halved < 8; halved++) {
        pcl_principals_age(principals);
    }
    assert_false(pcl_principals_load(principals, "one").throttled);
    pcl_principals_age(principals); /* nobody is left */
    pcl_principals_destroy(&principals);
}

static void test_many_at_once_that_wait_are_not_throttled(void **state)
{
    (void)state;
    pcl_principals *principals = pcl_principals_new(1, 1);
    for (int index = 0; index < 10000; index++) {
        assert_int_equal(pcl_principals_acquire(principals, "bulk", 1), 0);
    }
    assert_false(pcl_principals_load(principals, "bulk").throttled);
    pcl_principals_destroy(&principals);
}

/* Against a plain array of counters; the seed is printed and replays. */
static void test_a_random_walk_agrees_with_a_plain_count(void **state)
{
    (void)state;
    enum { NAMES = 40, STEPS = 20000, HELD_MAX = 300 };
    const uint64_t seed = 20261122;
    printf("seed %llu\n", (unsigned long long)seed);
    pcl_rng rng = pcl_rng_from_seed(seed);
    pcl_principals *principals = pcl_principals_new(NAMES, seed);
    uint32_t counts[NAMES] = {0};
    uint32_t held[HELD_MAX], held_name[HELD_MAX], held_count = 0;
    for (int step = 0; step < STEPS; step++) {
        char name[16];
        uint32_t which = pcl_rng_below(&rng, NAMES);
        (void)snprintf(name, sizeof name, "p%u", which);
        if (held_count < HELD_MAX && pcl_rng_below(&rng, 2) == 0) {
            held[held_count] = pcl_principals_acquire(principals, name, 1);
            assert_int_not_equal(held[held_count], UINT32_MAX);
            held_name[held_count++] = which;
            counts[which]++;
        } else if (held_count > 0) {
            uint32_t index = pcl_rng_below(&rng, held_count);
            pcl_principals_release(principals, held[index], 1);
            counts[held_name[index]]--;
            held_count--;
            held[index] = held[held_count];
            held_name[index] = held_name[held_count];
        }
        assert_int_equal(pcl_principals_load(principals, name).requests, counts[which]);
    }
    pcl_principals_destroy(&principals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_each_principal_apart),
        cmocka_unit_test(test_whom_the_broker_refuses_is_let_through_twice_as_often_as_served),
        cmocka_unit_test(test_with_nothing_in_flight_a_flood_is_not_forgotten_at_once),
        cmocka_unit_test(test_many_at_once_that_wait_are_not_throttled),
        cmocka_unit_test(test_a_random_walk_agrees_with_a_plain_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
