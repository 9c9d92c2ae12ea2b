#include "net/arrivals.h"

#include "common/clock.h"
#include "common/rng.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { DESCRIPTORS = 64 };

#define START_US (1000 * PCL_US_PER_S)

/* Nothing but what a test sets is in the way. */
static const pcl_arrivals_limits WIDE = {.connections_max = DESCRIPTORS,
                                         .key_max = DESCRIPTORS,
                                         .rate_max = PCL_US_PER_S,
                                         .address_rate_max = PCL_US_PER_S};

static pcl_arrivals *s_new(pcl_arrivals_limits limits)
{
    pcl_arrivals *arrivals = pcl_arrivals_new(DESCRIPTORS, &limits, 4711);
    assert_non_null(arrivals);
    return arrivals;
}

/* From 10.0.0.host. */
static pcl_arrivals_rule s_open(pcl_arrivals *arrivals, int fd, uint8_t host, uint64_t now_us,
                                int *out_place)
{
    const uint8_t address[4] = {10, 0, 0, host};
    return pcl_arrivals_opened(arrivals, fd, pcl_bytes_of(address, sizeof address), now_us,
                               out_place);
}

static void s_must_open(pcl_arrivals *arrivals, int fd)
{
    int place = 0;
    assert_int_equal(s_open(arrivals, fd, 1, START_US, &place), PCL_ARRIVALS_FINE);
    assert_int_equal(place, -1);
}

static uint32_t s_count_let_in(pcl_arrivals *arrivals, uint32_t tries, uint8_t host,
                               uint64_t now_us, pcl_arrivals_rule rule)
{
    uint32_t let_in = 0;
    for (uint32_t index = 0; index < tries; index++) {
        int place = 0;
        pcl_arrivals_rule got = s_open(arrivals, 5, host, now_us, &place);
        assert_true(got == PCL_ARRIVALS_FINE || got == rule);
        let_in += got == PCL_ARRIVALS_FINE;
    }
    return let_in;
}

static void test_one_address_has_a_rate_of_its_own(void **state)
{
    (void)state;
    pcl_arrivals_limits limits = WIDE;
    limits.address_rate_max = 10;
    pcl_arrivals *arrivals = s_new(limits);
    assert_int_equal(s_count_let_in(arrivals, 300, 1, START_US, PCL_ARRIVALS_ADDRESS_RATE), 100);
    assert_int_equal(s_count_let_in(arrivals, 300, 2, START_US, PCL_ARRIVALS_ADDRESS_RATE), 100);
    uint64_t later_us = START_US + PCL_US_PER_S;
    assert_int_equal(s_count_let_in(arrivals, 300, 1, later_us, PCL_ARRIVALS_ADDRESS_RATE), 10);
    later_us += 60 * PCL_US_PER_S; /* a calm is not saved up for ever */
    assert_int_equal(s_count_let_in(arrivals, 300, 1, later_us, PCL_ARRIVALS_ADDRESS_RATE), 100);
    pcl_arrivals_destroy(&arrivals);
}

static void test_all_have_a_rate_together(void **state)
{
    (void)state;
    pcl_arrivals_limits limits = WIDE;
    limits.rate_max = 10;
    pcl_arrivals *arrivals = s_new(limits);
    uint32_t let_in = 0;
    for (uint8_t host = 1; host <= 200; host++) {
        let_in += s_count_let_in(arrivals, 1, host, START_US, PCL_ARRIVALS_RATE);
    }
    assert_int_equal(let_in, 100);
    limits.rate_max = 1000;
    pcl_arrivals_set_limits(arrivals, &limits); /* from now on */
    assert_true(s_count_let_in(arrivals, 1, 1, START_US + PCL_US_PER_S, PCL_ARRIVALS_RATE) == 1);
    pcl_arrivals_destroy(&arrivals);
}

/* A host has a whole /64, so more of it must not count as another address. */
static void test_the_first_half_of_an_ipv6_address_counts(void **state)
{
    (void)state;
    pcl_arrivals_limits limits = WIDE;
    limits.address_rate_max = 1;
    pcl_arrivals *arrivals = s_new(limits);
    uint32_t let_in = 0;
    for (uint8_t host = 0; host < 50; host++) {
        uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, [15] = host};
        int place = 0;
        let_in += pcl_arrivals_opened(arrivals, 5, pcl_bytes_of(address, sizeof address), START_US,
                                      &place) == PCL_ARRIVALS_FINE;
    }
    assert_int_equal(let_in, 10);
    uint8_t other[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2};
    int place = 0;
    assert_int_equal(
        pcl_arrivals_opened(arrivals, 5, pcl_bytes_of(other, sizeof other), START_US, &place),
        PCL_ARRIVALS_FINE);
    pcl_arrivals_destroy(&arrivals);
}

static void test_a_newcomer_takes_the_place_of_who_was_silent_for_longest(void **state)
{
    (void)state;
    pcl_arrivals_limits limits = WIDE;
    limits.connections_max = 3;
    pcl_arrivals *arrivals = s_new(limits);
    s_must_open(arrivals, 10);
    s_must_open(arrivals, 11);
    s_must_open(arrivals, 12);
    assert_int_equal(pcl_arrivals_named(arrivals, 10, "alice", START_US), PCL_ARRIVALS_FINE);
    int place = -1;
    assert_int_equal(s_open(arrivals, 13, 1, START_US, &place), PCL_ARRIVALS_FINE);
    assert_int_equal(place, 11);
    assert_int_equal(pcl_arrivals_count(arrivals), 3);
    assert_int_equal(s_open(arrivals, 14, 1, START_US, &place), PCL_ARRIVALS_FINE);
    assert_int_equal(place, 12);
    assert_int_equal(pcl_arrivals_named(arrivals, 13, "alice", START_US), PCL_ARRIVALS_FINE);
    assert_int_equal(pcl_arrivals_named(arrivals, 14, "bob", START_US), PCL_ARRIVALS_FINE);
    assert_int_equal(s_open(arrivals, 15, 1, START_US, &place), PCL_ARRIVALS_CONNECTIONS);
    assert_int_equal(place, -1); /* nobody who works makes room */
    pcl_arrivals_closed(arrivals, 14);
    assert_int_equal(s_open(arrivals, 15, 1, START_US, &place), PCL_ARRIVALS_FINE);
    assert_int_equal(place, -1);
    pcl_arrivals_destroy(&arrivals);
}

static void test_one_connection_too_many_of_a_key_is_told_and_ends(void **state)
{
    (void)state;
    pcl_arrivals_limits limits = WIDE;
    limits.key_max = 2;
    pcl_arrivals *arrivals = s_new(limits);
    for (int fd = 1; fd <= 4; fd++) {
        s_must_open(arrivals, fd);
    }
    assert_int_equal(pcl_arrivals_named(arrivals, 1, "alice", START_US), PCL_ARRIVALS_FINE);
    assert_int_equal(pcl_arrivals_named(arrivals, 2, "alice", START_US), PCL_ARRIVALS_FINE);
    assert_int_equal(pcl_arrivals_named(arrivals, 3, "alice", START_US), PCL_ARRIVALS_KEY);
    assert_int_equal(pcl_arrivals_named(arrivals, 4, "bob", START_US), PCL_ARRIVALS_FINE);
    assert_true(pcl_arrivals_is_over(arrivals, 3));
    assert_false(pcl_arrivals_is_over(arrivals, 2));
    assert_int_equal(pcl_arrivals_due(arrivals, START_US), -1);
    uint64_t later_us = START_US + PCL_ARRIVALS_OVER_MS * PCL_US_PER_MS;
    assert_int_equal(pcl_arrivals_due(arrivals, later_us), 3);
    assert_int_equal(pcl_arrivals_due(arrivals, later_us), -1);
    assert_int_equal(pcl_arrivals_key_count(arrivals, "alice"), 2);
    pcl_arrivals_closed(arrivals, 3); /* the monitor says so, too */
    assert_int_equal(pcl_arrivals_count(arrivals), 3);
    pcl_arrivals_closed(arrivals, 1);
    s_must_open(arrivals, 1);
    assert_int_equal(pcl_arrivals_named(arrivals, 1, "alice", START_US), PCL_ARRIVALS_FINE);
    pcl_arrivals_destroy(&arrivals);
}

static void test_each_silent_connection_is_looked_at_once(void **state)
{
    (void)state;
    pcl_arrivals *arrivals = s_new(WIDE);
    for (int fd = 1; fd <= 4; fd++) {
        s_must_open(arrivals, fd);
    }
    assert_int_equal(pcl_arrivals_silent(arrivals, START_US), -1);
    assert_int_equal(pcl_arrivals_young_count(arrivals), 4);
    assert_int_equal(pcl_arrivals_named(arrivals, 1, "alice", START_US), PCL_ARRIVALS_FINE);
    pcl_arrivals_closed(arrivals, 3);
    uint64_t later_us = START_US + PCL_ARRIVALS_SILENT_MS * PCL_US_PER_MS;
    assert_int_equal(pcl_arrivals_silent(arrivals, later_us), 2);
    assert_int_equal(pcl_arrivals_silent(arrivals, later_us), 4);
    assert_int_equal(pcl_arrivals_silent(arrivals, later_us), -1);
    assert_true(pcl_arrivals_is_silent(arrivals, 4));
    assert_int_equal(pcl_arrivals_young_count(arrivals), 0);
    int place = -1;
    assert_int_equal(s_open(arrivals, 5, 1, later_us, &place), PCL_ARRIVALS_FINE);
    assert_int_equal(pcl_arrivals_silent(arrivals, later_us), -1);
    later_us += PCL_ARRIVALS_SILENT_MS * PCL_US_PER_MS;
    assert_int_equal(pcl_arrivals_silent(arrivals, later_us), 5);
    pcl_arrivals_destroy(&arrivals);
}

static void test_what_is_outside_of_the_table_is_not_let_in(void **state)
{
    (void)state;
    pcl_arrivals *arrivals = s_new(WIDE);
    int place = 0;
    assert_int_equal(s_open(arrivals, DESCRIPTORS, 1, START_US, &place), PCL_ARRIVALS_CONNECTIONS);
    assert_int_equal(s_open(arrivals, -1, 1, START_US, &place), PCL_ARRIVALS_CONNECTIONS);
    assert_int_equal(pcl_arrivals_named(arrivals, DESCRIPTORS, "alice", START_US),
                     PCL_ARRIVALS_FINE);
    pcl_arrivals_closed(arrivals, DESCRIPTORS);
    assert_int_equal(pcl_arrivals_count(arrivals), 0);
    pcl_arrivals_destroy(&arrivals);
    pcl_arrivals_destroy(&arrivals); /* once more is nothing */
}

/* --- Against a table that anybody understands ---------------------------------- */

typedef struct model {
    bool there;
    bool named;
    char key[8];
} model;

static void s_compare(const pcl_arrivals *arrivals, const model *models)
{
    uint32_t count = 0;
    uint32_t silent = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        count += models[fd].there;
        silent += models[fd].there && !models[fd].named;
    }
    assert_int_equal(pcl_arrivals_count(arrivals), count);
    assert_int_equal(pcl_arrivals_silent_count(arrivals), silent);
    uint32_t cursor = 0;
    const char *key = NULL;
    for (int fd = 0; (fd = pcl_arrivals_each(arrivals, &cursor, &key)) != -1; count--) {
        assert_true(models[fd].there);
        assert_true(models[fd].named == (key != NULL));
        assert_true(key == NULL || strcmp(key, models[fd].key) == 0);
    }
    assert_int_equal(count, 0);
}

static void test_any_order_of_events_keeps_the_table_whole(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("test_arrivals");
    pcl_arrivals_limits limits = WIDE;
    limits.connections_max = 20;
    limits.key_max = 4;
    pcl_arrivals *arrivals = s_new(limits);
    model models[DESCRIPTORS] = {0};
    uint64_t now_us = START_US;
    for (int step = 0; step < 20000; step++) {
        int fd = (int)pcl_rng_below(&rng, DESCRIPTORS);
        model *at = &models[fd];
        now_us += pcl_rng_below(&rng, 50000);
        int place = -1;
        switch (pcl_rng_below(&rng, 4)) {
        case 0:
            at->there = s_open(arrivals, fd, (uint8_t)fd, now_us, &place) == PCL_ARRIVALS_FINE;
            at->named = false;
            if (place != -1) {
                models[place].there = false;
            }
            break;
        case 1:
            if (at->there && !at->named) {
                at->named = true;
                (void)snprintf(at->key, sizeof at->key, "k%d", fd % 5);
                (void)pcl_arrivals_named(arrivals, fd, at->key, now_us);
            }
            break;
        case 2:
            pcl_arrivals_closed(arrivals, fd);
            at->there = false;
            break;
        default:
            while ((place = pcl_arrivals_due(arrivals, now_us)) != -1) {
                assert_true(models[place].named);
                models[place].there = false;
            }
            while ((place = pcl_arrivals_silent(arrivals, now_us)) != -1) {
                assert_true(models[place].there && !models[place].named);
            }
        }
        s_compare(arrivals, models);
    }
    pcl_arrivals_destroy(&arrivals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_address_has_a_rate_of_its_own),
        cmocka_unit_test(test_all_have_a_rate_together),
        cmocka_unit_test(test_the_first_half_of_an_ipv6_address_counts),
        cmocka_unit_test(test_a_newcomer_takes_the_place_of_who_was_silent_for_longest),
        cmocka_unit_test(test_one_connection_too_many_of_a_key_is_told_and_ends),
        cmocka_unit_test(test_each_silent_connection_is_looked_at_once),
        cmocka_unit_test(test_what_is_outside_of_the_table_is_not_let_in),
        cmocka_unit_test(test_any_order_of_events_keeps_the_table_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
