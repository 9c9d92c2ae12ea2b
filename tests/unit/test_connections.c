#include "net/connections.h"

#include "common/endian.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const pcl_connections_limits LIMITS = {
    .connection_max = 64, .work_max = 8, .held_max = 6, .held_each_max = 4};

typedef struct route {
    uint8_t octets[PCL_CONNECTION_ROUTE];
} route;

static route s_route(uint32_t number)
{
    route made = {{0}};
    pcl_put_be(made.octets + 1, number, 4);
    return made;
}

static pcl_bytes s_bytes(const route *of)
{
    return pcl_bytes_of(of->octets, sizeof of->octets);
}

static uint32_t s_find(const pcl_connections *table, uint32_t number)
{
    route made = s_route(number);
    return pcl_connections_find(table, s_bytes(&made));
}

/* Binds; nobody else may be found gone by it. */
static uint32_t s_bind(pcl_connections *table, uint32_t number, int fd)
{
    route made = s_route(number);
    uint32_t gone = 0;
    uint32_t bound = pcl_connections_bind(table, s_bytes(&made), fd, &gone);
    assert_int_equal(gone, PCL_CONNECTION_NONE);
    return bound;
}

static pcl_connections *s_new(void)
{
    pcl_connections *table = pcl_connections_new(&LIMITS, 4711);
    assert_non_null(table);
    return table;
}

static void s_id(uint8_t out_id[PCL_ID_SIZE], uint8_t octet)
{
    memset(out_id, octet, PCL_ID_SIZE);
}

static bool s_hold(pcl_connections *table, uint32_t connection, uint8_t octet)
{
    uint8_t id[PCL_ID_SIZE];
    s_id(id, octet);
    return pcl_connections_hold(table, connection, id, "alice");
}

/* Takes one held thing out; its octet, 0 when there is none. */
static uint8_t s_take(pcl_connections *table, uint32_t connection)
{
    uint8_t id[PCL_ID_SIZE] = {0};
    char principal[PCL_NAME_SIZE_MAX + 1];
    if (!pcl_connections_take_held(table, connection, id, principal)) {
        return 0;
    }
    assert_string_equal(principal, "alice");
    return id[7];
}

static void test_only_a_route_that_the_router_made_is_one(void **state)
{
    (void)state;
    assert_true(pcl_connections_is_route(pcl_bytes_of("\0abcd", 5)));
    assert_false(pcl_connections_is_route(pcl_bytes_of("alice", 5)));
    assert_false(pcl_connections_is_route(pcl_bytes_of("\0abc", 4)));
    assert_false(pcl_connections_is_route(pcl_bytes_of("", 0)));
}

static void test_the_end_of_a_descriptor_is_the_end_of_who_spoke_on_it(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    pcl_connections_opened(table, 7);
    pcl_connections_opened(table, 8);
    assert_int_equal(s_find(table, 100), PCL_CONNECTION_NONE);
    uint32_t first = s_bind(table, 100, 7);
    uint32_t second = s_bind(table, 101, 8);
    assert_int_not_equal(first, second);
    assert_int_equal(s_find(table, 100), first);
    assert_int_equal(s_find(table, 101), second);
    assert_int_equal(pcl_connections_count(table), 2);
    uint32_t cursor = 0;
    assert_int_equal(pcl_connections_each(table, &cursor), first);
    assert_int_equal(pcl_connections_each(table, &cursor), second);
    assert_int_equal(pcl_connections_each(table, &cursor), PCL_CONNECTION_NONE);
    assert_int_equal(pcl_connections_closed(table, 7), first);
    uint8_t was[PCL_CONNECTION_ROUTE];
    pcl_connections_route(table, first, was);
    assert_memory_equal(was, s_route(100).octets, sizeof was);
    pcl_connections_bury(table, first);
    assert_int_equal(s_find(table, 100), PCL_CONNECTION_NONE);
    assert_int_equal(s_find(table, 101), second);
    assert_int_equal(pcl_connections_count(table), 1);
    assert_int_equal(pcl_connections_closed(table, 7), PCL_CONNECTION_NONE); /* nobody's now */
    pcl_connections_destroy(&table);
}

static void test_a_message_of_a_closed_descriptor_is_of_someone_gone(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    pcl_connections_opened(table, 7);
    assert_int_equal(pcl_connections_closed(table, 7), PCL_CONNECTION_NONE);
    assert_int_equal(s_bind(table, 100, 7), PCL_CONNECTION_GONE);
    assert_int_equal(pcl_connections_count(table), 0);
    pcl_connections_destroy(&table);
}

static void test_a_descriptor_that_is_taken_again_is_another_connection(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    pcl_connections_opened(table, 7);
    uint32_t old = s_bind(table, 100, 7);
    assert_int_equal(pcl_connections_closed(table, 7), old);
    pcl_connections_bury(table, old);
    pcl_connections_opened(table, 7);
    /* What the old one had still said is its own, whoever has its descriptor now. */
    assert_int_equal(s_bind(table, 100, 7), PCL_CONNECTION_GONE);
    uint32_t fresh = s_bind(table, 101, 7);
    assert_true(fresh < PCL_CONNECTION_GONE);
    assert_int_equal(s_bind(table, 99, 7), PCL_CONNECTION_GONE);
    assert_int_equal(s_find(table, 101), fresh);
    assert_int_equal(pcl_connections_closed(table, 7), fresh);
    pcl_connections_destroy(&table);
}

/* Its first message was read after another had taken its descriptor; the other speaks now. */
static void test_of_two_on_one_descriptor_the_older_is_gone(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    pcl_connections_opened(table, 7);
    assert_int_equal(pcl_connections_closed(table, 7), PCL_CONNECTION_NONE);
    pcl_connections_opened(table, 7);
    uint32_t old = s_bind(table, UINT32_MAX, 7); /* routes start again at 0 */
    route made = s_route(0);
    uint32_t gone = PCL_CONNECTION_NONE;
    uint32_t fresh = pcl_connections_bind(table, s_bytes(&made), 7, &gone);
    assert_int_equal(gone, old);
    pcl_connections_bury(table, gone);
    assert_int_equal(s_find(table, 0), fresh);
    assert_int_equal(s_find(table, UINT32_MAX), PCL_CONNECTION_NONE);
    assert_int_equal(pcl_connections_closed(table, 7), fresh);
    pcl_connections_destroy(&table);
}

static void test_a_connection_from_before_the_watch_is_served(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    uint32_t bound = s_bind(table, 1, 9);
    assert_true(bound < PCL_CONNECTION_GONE);
    assert_int_equal(pcl_connections_closed(table, 9), bound);
    pcl_connections_destroy(&table);
}

static void test_who_has_no_descriptor_is_not_known(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    assert_int_equal(s_bind(table, 1, -1), PCL_CONNECTION_NONE);
    assert_int_equal(s_bind(table, 1, 64), PCL_CONNECTION_NONE);
    assert_int_equal(pcl_connections_closed(table, 64), PCL_CONNECTION_NONE);
    pcl_connections_opened(table, 1 << 30);
    pcl_connections_destroy(&table);
}

static void test_work_is_found_by_its_connection(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    uint32_t one = s_bind(table, 1, 7);
    uint32_t two = s_bind(table, 2, 8);
    uint32_t works[4];
    for (uint32_t index = 0; index < 4; index++) {
        works[index] = pcl_connections_add_work(table, index == 2 ? two : one);
        pcl_connections_set_ticket(table, works[index], 10 + index);
    }
    uint32_t unsent = pcl_connections_add_work(table, one);
    pcl_connections_remove_work(table, works[1]);
    uint64_t sum = 0;
    uint64_t ticket = 0;
    uint32_t cursor = 0;
    uint32_t count = 0;
    while ((ticket = pcl_connections_each_work(table, one, &cursor)) != 0) {
        sum += ticket;
        count++;
    }
    assert_int_equal(count, 2);
    assert_int_equal(sum, 10 + 13);
    pcl_connections_remove_work(table, unsent);
    assert_false(pcl_connections_work_is_gone(table, works[0]));
    assert_int_equal(pcl_connections_closed(table, 7), one);
    assert_true(pcl_connections_work_is_gone(table, works[0]));
    assert_false(pcl_connections_work_is_gone(table, works[2]));
    pcl_connections_destroy(&table);
}

/* Its replies are still to come, and must not be taken for those of whoever has its place next. */
static void test_a_buried_connection_keeps_its_place_while_it_has_work(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    uint32_t old = s_bind(table, 1, 7);
    uint32_t work = pcl_connections_add_work(table, old);
    assert_int_equal(pcl_connections_closed(table, 7), old);
    pcl_connections_bury(table, old);
    pcl_connections_opened(table, 7);
    uint32_t fresh = s_bind(table, 2, 7);
    assert_int_not_equal(fresh, old);
    assert_true(pcl_connections_work_is_gone(table, work));
    pcl_connections_remove_work(table, work);
    pcl_connections_opened(table, 8);
    assert_int_equal(s_bind(table, 3, 8), old); /* free again */
    pcl_connections_destroy(&table);
}

static void test_what_a_connection_holds_goes_with_it(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    uint32_t one = s_bind(table, 1, 7);
    uint32_t two = s_bind(table, 2, 8);
    uint8_t id[PCL_ID_SIZE];
    assert_true(s_hold(table, one, 11));
    assert_true(s_hold(table, two, 12));
    assert_true(s_hold(table, one, 13));
    assert_true(s_hold(table, one, 14));
    assert_true(s_hold(table, two, 13)); /* stays where it is */
    assert_int_equal(pcl_connections_held_count(table), 4);
    s_id(id, 13);
    pcl_connections_unhold(table, id, "mallory"); /* is not hers */
    assert_int_equal(pcl_connections_held_count(table), 4);
    pcl_connections_unhold(table, id, "alice");
    pcl_connections_unhold(table, id, "alice"); /* is not there */
    assert_int_equal(pcl_connections_closed(table, 7), one);
    assert_int_equal(s_take(table, one), 11);
    assert_int_equal(s_take(table, one), 14);
    assert_int_equal(s_take(table, one), 0);
    pcl_connections_bury(table, one);
    assert_int_equal(pcl_connections_held_count(table), 1);
    assert_int_equal(s_take(table, two), 12);
    pcl_connections_destroy(&table);
}

static void test_what_is_held_is_bounded(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    uint32_t one = s_bind(table, 1, 7);
    uint32_t two = s_bind(table, 2, 8);
    uint32_t three = s_bind(table, 3, 9);
    for (uint8_t octet = 1; octet <= 5; octet++) {
        assert_true(s_hold(table, one, octet)); /* 4 of one: the oldest is forgotten */
    }
    assert_int_equal(pcl_connections_held_count(table), 4);
    assert_true(s_hold(table, two, 11));
    assert_true(s_hold(table, two, 12));
    assert_true(s_hold(table, two, 13)); /* 6 of all: likewise */
    assert_false(s_hold(table, three, 21));
    assert_int_equal(s_take(table, one), 2);
    assert_int_equal(s_take(table, two), 12);
    assert_true(s_hold(table, three, 21));
    pcl_connections_destroy(&table);
}

/* --- Messages without end --------------------------------------------------------- */

static bool s_measure(pcl_connections *table, uint64_t received)
{
    return pcl_connections_measured(table, 7, received, true, 100);
}

static void test_what_came_and_is_no_message_is_measured(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    assert_int_equal(pcl_connections_fd_end(table), 0);
    assert_false(s_measure(table, 5000)); /* nobody is there */
    pcl_connections_opened(table, 7);
    assert_int_equal(pcl_connections_fd_end(table), 8);
    assert_true(pcl_connections_is_open(table, 7));
    assert_false(s_measure(table, 100));
    assert_false(s_measure(table, 101));                               /* 100 had come before */
    assert_false(pcl_connections_measured(table, 7, 102, false, 100)); /* may wait to be read */
    assert_true(s_measure(table, 102));
    (void)pcl_connections_closed(table, 7);
    assert_false(pcl_connections_is_open(table, 7));
    assert_false(s_measure(table, 500));
    pcl_connections_opened(table, 7); /* another one */
    assert_false(s_measure(table, 50));
    assert_false(s_measure(table, 60));
    pcl_connections_destroy(&table);
}

static void test_whoever_speaks_has_whole_messages(void **state)
{
    (void)state;
    pcl_connections *table = s_new();
    pcl_connections_opened(table, 7);
    uint32_t bound = s_bind(table, 1, 7);
    for (uint64_t received = 0; received < 100000; received += 90) {
        pcl_connections_spoke(table, bound);
        assert_false(s_measure(table, received));
    }
    assert_false(s_measure(table, 100100)); /* then it begins one that does not end */
    assert_true(s_measure(table, 100101));
    pcl_connections_destroy(&table);
}

/* --- At random, against what is true ------------------------------------------- */

enum { FDS = 24, STEPS = 200000 };

typedef struct truth {
    bool open;
    uint32_t number;
    uint32_t connection; /* NONE: it has not spoken */
    uint32_t works[2];
    uint32_t work_count;
} truth;

static void s_step_open(pcl_connections *table, truth *peer, int fd, uint32_t *numbers)
{
    pcl_connections_opened(table, fd);
    *peer = (truth){.open = true, .number = (*numbers)++, .connection = PCL_CONNECTION_NONE};
}

static void s_step_speak(pcl_connections *table, truth *peer, int fd, pcl_rng *rng)
{
    if (peer->connection == PCL_CONNECTION_NONE) {
        peer->connection = s_bind(table, peer->number, fd);
        assert_true(peer->connection < PCL_CONNECTION_GONE);
    }
    assert_int_equal(s_find(table, peer->number), peer->connection);
    if (peer->work_count < 2) {
        uint32_t work = pcl_connections_add_work(table, peer->connection);
        if (work != PCL_WORK_NONE) {
            pcl_connections_set_ticket(table, work, UINT64_C(1) + peer->number);
            peer->works[peer->work_count++] = work;
        }
    }
    uint8_t id[PCL_ID_SIZE];
    s_id(id, (uint8_t)pcl_rng_below(rng, 16));
    if (pcl_rng_below(rng, 2) == 0) {
        (void)pcl_connections_hold(table, peer->connection, id, "alice");
    } else {
        pcl_connections_unhold(table, id, "alice");
    }
}

static void s_step_close(pcl_connections *table, truth *peer, int fd)
{
    assert_int_equal(pcl_connections_closed(table, fd), peer->connection);
    if (peer->connection != PCL_CONNECTION_NONE) {
        uint32_t cursor = 0;
        uint32_t found = 0;
        uint64_t ticket = 0;
        while ((ticket = pcl_connections_each_work(table, peer->connection, &cursor)) != 0) {
            assert_int_equal(ticket, UINT64_C(1) + peer->number);
            found++;
        }
        assert_int_equal(found, peer->work_count);
        pcl_connections_bury(table, peer->connection);
        for (uint32_t index = 0; index < peer->work_count; index++) {
            assert_true(pcl_connections_work_is_gone(table, peer->works[index]));
            pcl_connections_remove_work(table, peer->works[index]);
        }
    }
    assert_int_equal(s_bind(table, peer->number, fd), PCL_CONNECTION_GONE);
    peer->open = false;
}

static void test_at_random_nobody_is_taken_for_another(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("test_connections");
    pcl_connections *table = s_new();
    truth peers[FDS] = {{0}};
    uint32_t numbers = UINT32_MAX - 1000;
    for (int step = 0; step < STEPS; step++) {
        int fd = (int)pcl_rng_below(&rng, FDS);
        truth *peer = &peers[fd];
        if (!peer->open) {
            s_step_open(table, peer, fd, &numbers);
        } else if (pcl_rng_below(&rng, 3) == 0) {
            s_step_close(table, peer, fd);
        } else if (pcl_rng_below(&rng, 4) == 0 && peer->work_count > 0) {
            pcl_connections_remove_work(table, peer->works[--peer->work_count]);
        } else {
            s_step_speak(table, peer, fd, &rng);
        }
    }
    pcl_connections_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_route_that_the_router_made_is_one),
        cmocka_unit_test(test_the_end_of_a_descriptor_is_the_end_of_who_spoke_on_it),
        cmocka_unit_test(test_a_message_of_a_closed_descriptor_is_of_someone_gone),
        cmocka_unit_test(test_a_descriptor_that_is_taken_again_is_another_connection),
        cmocka_unit_test(test_of_two_on_one_descriptor_the_older_is_gone),
        cmocka_unit_test(test_a_connection_from_before_the_watch_is_served),
        cmocka_unit_test(test_who_has_no_descriptor_is_not_known),
        cmocka_unit_test(test_work_is_found_by_its_connection),
        cmocka_unit_test(test_a_buried_connection_keeps_its_place_while_it_has_work),
        cmocka_unit_test(test_what_a_connection_holds_goes_with_it),
        cmocka_unit_test(test_what_is_held_is_bounded),
        cmocka_unit_test(test_what_came_and_is_no_message_is_measured),
        cmocka_unit_test(test_whoever_speaks_has_whole_messages),
        cmocka_unit_test(test_at_random_nobody_is_taken_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
