/* Sessions and cursors of an agent: their limits, their time, and what is said of those that
 * ended. */
#include "worker-agent/held_table.h"

#include "common/clock.h"
#include "wire/head.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BOOT  UINT64_C(0x1122334455667788)
#define START (100 * PCL_US_PER_S)

static const pcl_held_limits SESSIONS = {
    .count_max = 4, .principal_count_max = 3, .idle_ms = 30000, .age_ms = 300000};
static const pcl_held_limits CURSORS = {
    .count_max = 2, .principal_count_max = 1, .idle_ms = 1500, .age_ms = 900000};

static pcl_held_table *s_table(void)
{
    pcl_held_table *table = pcl_held_table_new(&SESSIONS, &CURSORS, BOOT, 7);
    assert_non_null(table);
    return table;
}

static pcl_held s_held(uint8_t number, bool session, const char *principal)
{
    uint8_t handle[PCL_HELD_HANDLE_SIZE] = {number};
    pcl_held held = {.session = session, .principal_size = (uint8_t)strlen(principal)};
    pcl_held_id_make(held.id, BOOT, handle, 0);
    memcpy(held.principal, principal, strlen(principal));
    return held;
}

static bool s_add(pcl_held_table *table, pcl_held *held)
{
    const char *why = NULL;
    bool added = pcl_held_table_add(table, held, START, &why);
    assert_true(added == (why == NULL));
    return added;
}

static const char *s_why(const pcl_held_table *table, const uint8_t *id, const char *principal)
{
    static char text[PCL_HELD_WHY_SIZE];
    pcl_held_table_why_gone(table, id, pcl_bytes_text(principal), text);
    return text;
}

static void test_an_id_is_found_with_any_page_by_its_principal_only(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held held = s_held(1, true, "ann");
    assert_true(s_add(table, &held));
    uint8_t id[PCL_ID_SIZE];
    memcpy(id, held.id, sizeof id);
    assert_ptr_equal(pcl_held_table_find(table, id, pcl_bytes_text("ann")), &held);
    pcl_held_id_set_page(id, 77);
    assert_ptr_equal(pcl_held_table_find(table, id, pcl_bytes_text("ann")), &held);
    assert_null(pcl_held_table_find(table, id, pcl_bytes_text("bob")));
    assert_null(pcl_held_table_find(table, id, pcl_bytes_text("")));
    id[8] ^= 1;
    assert_null(pcl_held_table_find(table, id, pcl_bytes_text("ann")));
    pcl_held_table_destroy(&table);
}

static void test_the_same_id_is_not_taken_twice(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held first = s_held(1, true, "ann");
    pcl_held second = s_held(1, false, "bob");
    assert_true(s_add(table, &first));
    assert_false(s_add(table, &second));
    assert_int_equal(pcl_held_table_count(table).cursors, 0);
    pcl_held_table_destroy(&table);
}

static void test_a_principal_and_the_node_have_their_limits(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held held[8];
    for (uint8_t index = 0; index < 8; index++) {
        held[index] = s_held(index, true, index < 4 ? "ann" : "bob");
    }
    for (uint32_t index = 0; index < 4; index++) {
        assert_true(s_add(table, &held[index]) == (index < 3)); /* ann's limit is 3 */
    }
    assert_true(s_add(table, &held[4]));
    assert_false(s_add(table, &held[5])); /* the node's is 4 */
    pcl_held cursors[3] = {s_held(20, false, "ann"), s_held(21, false, "ann"),
                           s_held(22, false, "bob")};
    assert_true(s_add(table, &cursors[0])); /* counted apart */
    assert_false(s_add(table, &cursors[1]));
    assert_true(s_add(table, &cursors[2]));
    pcl_held_counts counts = pcl_held_table_count(table);
    assert_int_equal(counts.sessions, 4);
    assert_int_equal(counts.cursors, 2);
    pcl_held_table_set_ending(table, &held[0], PCL_HELD_END_IDLE);
    pcl_held_table_remove(table, &held[0]);
    assert_true(s_add(table, &held[3]));
    pcl_held_table_destroy(&table);
}

static void test_a_place_that_is_reserved_counts_as_taken(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    const char *why = "";
    uint32_t taken[4];
    for (uint32_t index = 0; index < 3; index++) {
        taken[index] = pcl_held_table_reserve(table, pcl_bytes_text("ann"), &why);
        assert_int_not_equal(taken[index], 0);
    }
    assert_int_equal(pcl_held_table_reserve(table, pcl_bytes_text("ann"), &why), 0);
    assert_non_null(strstr(why, "principal"));
    taken[3] = pcl_held_table_reserve(table, pcl_bytes_text("bob"), &why);
    assert_int_not_equal(taken[3], 0);
    assert_int_equal(pcl_held_table_reserve(table, pcl_bytes_text("bob"), &why), 0);
    assert_non_null(strstr(why, "node"));
    pcl_held held = s_held(1, true, "ann");
    assert_false(s_add(table, &held)); /* its own reservation must go first */
    pcl_held_table_unreserve(table, taken[1]);
    assert_true(s_add(table, &held));
    pcl_held_table_unreserve(table, taken[0]);
    taken[0] = pcl_held_table_reserve(table, pcl_bytes_text("ann"), &why);
    assert_int_not_equal(taken[0], 0);
    pcl_held_table_destroy(&table);
}

static void test_what_is_ending_is_not_found_and_stops_the_new_only_when_it_piles_up(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held held[9];
    for (uint8_t index = 0; index < 9; index++) {
        held[index] = s_held(index, true, index % 2 == 0 ? "ann" : "bob");
    }
    for (uint32_t index = 0; index < 4; index++) {
        assert_true(s_add(table, &held[index]));
        pcl_held_table_set_ending(table, &held[index], PCL_HELD_END_RELEASED);
        assert_null(pcl_held_table_find(table, held[index].id, pcl_bytes_text("ann")));
    }
    assert_int_equal(pcl_held_table_count(table).ending, 4);
    assert_false(s_add(table, &held[4])); /* as many end as may be open */
    pcl_held_table_remove(table, &held[2]);
    assert_true(s_add(table, &held[4]));
    uint32_t cursor = 0;
    uint32_t seen = 0;
    while (pcl_held_table_each(table, &cursor) != NULL) {
        seen++;
    }
    assert_int_equal(seen, 4);
    pcl_held_table_destroy(&table);
}

static void test_time_ends_what_is_idle_and_nothing_else(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held session = s_held(1, true, "ann");
    pcl_held cursor = s_held(2, false, "ann");
    assert_true(s_add(table, &session));
    assert_true(s_add(table, &cursor));
    uint64_t idle_us = 30 * PCL_US_PER_S;
    assert_int_equal(pcl_held_table_due(table, &session, START + idle_us - 1), PCL_HELD_END_NONE);
    assert_int_equal(pcl_held_table_due(table, &session, START + idle_us), PCL_HELD_END_IDLE);
    assert_int_equal(pcl_held_table_due(table, &cursor, START + 1499999), PCL_HELD_END_NONE);
    assert_int_equal(pcl_held_table_due(table, &cursor, START + 1500000), PCL_HELD_END_IDLE);
    assert_int_equal(pcl_held_table_due(table, &session, START - 5), PCL_HELD_END_NONE);
    session.state = PCL_HELD_RUNNING;
    assert_int_equal(pcl_held_table_due(table, &session, START + 20 * idle_us), PCL_HELD_END_NONE);
    session.state = PCL_HELD_IDLE;
    session.used_us = START + 299 * PCL_US_PER_S; /* not idle, but old */
    assert_int_equal(pcl_held_table_due(table, &session, START + 300 * PCL_US_PER_S),
                     PCL_HELD_END_AGE);
    pcl_held_table_set_ending(table, &session, PCL_HELD_END_AGE);
    assert_int_equal(pcl_held_table_due(table, &session, UINT64_MAX), PCL_HELD_END_NONE);
    pcl_held_table_destroy(&table);
}

static void test_who_asks_again_is_told_why(void **state)
{
    (void)state;
    static const struct {
        bool session;
        pcl_held_end end;
        const char *why;
    } ROWS[] = {
        {true, PCL_HELD_END_IDLE, "idle for 30 s; rolled back"},
        {true, PCL_HELD_END_AGE, "older than 300 s; rolled back"},
        {true, PCL_HELD_END_LOST, "its connection was lost; rolled back"},
        {true, PCL_HELD_END_RELEASED, "its client went; rolled back"},
        {true, PCL_HELD_END_FAILED, "its last request failed; rolled back"},
        {true, PCL_HELD_END_DONE, "committed or rolled back by its client"},
        {false, PCL_HELD_END_IDLE, "idle for 1500 ms; closed"},
        {false, PCL_HELD_END_DONE, "read to its end, or closed by its client"},
    };
    pcl_held_table *table = s_table();
    for (uint8_t index = 0; index < sizeof ROWS / sizeof ROWS[0]; index++) {
        pcl_held held = s_held(index, ROWS[index].session, "ann");
        uint8_t id[PCL_ID_SIZE];
        memcpy(id, held.id, sizeof id);
        pcl_held_id_set_page(id, 3);
        assert_true(s_add(table, &held));
        pcl_held_table_set_ending(table, &held, ROWS[index].end);
        assert_string_equal(s_why(table, id, "ann"), ROWS[index].why);
        pcl_held_table_remove(table, &held);
        assert_string_equal(s_why(table, id, "ann"), ROWS[index].why);
        assert_string_equal(s_why(table, id, "bob"), "the principal has none with this id here");
    }
    uint8_t other[PCL_ID_SIZE] = {1};
    assert_non_null(strstr(s_why(table, other, "ann"), "its node was started again"));
    pcl_held_table_destroy(&table);
}

static void test_only_the_last_ends_are_remembered(void **state)
{
    (void)state;
    pcl_held_table *table = s_table();
    pcl_held first = s_held(0, true, "ann");
    assert_true(s_add(table, &first));
    pcl_held_table_set_ending(table, &first, PCL_HELD_END_IDLE);
    pcl_held_table_remove(table, &first);
    pcl_held held = first;
    for (uint32_t count = 0; count < PCL_HELD_ENDED_MAX; count++) {
        assert_non_null(strstr(s_why(table, first.id, "ann"), "idle"));
        uint8_t handle[PCL_HELD_HANDLE_SIZE] = {(uint8_t)count, (uint8_t)(count >> 8), 1};
        held = s_held(0, true, "ann");
        pcl_held_id_make(held.id, BOOT, handle, 0);
        assert_true(s_add(table, &held));
        pcl_held_table_set_ending(table, &held, PCL_HELD_END_AGE);
        pcl_held_table_remove(table, &held);
    }
    assert_non_null(strstr(s_why(table, first.id, "ann"), "none with this id"));
    uint8_t last[PCL_ID_SIZE];
    memcpy(last, held.id, sizeof last);
    for (uint32_t count = 0; count < PCL_HELD_ENDED_MAX; count++) { /* are remembered apart */
        uint8_t handle[PCL_HELD_HANDLE_SIZE] = {(uint8_t)count, (uint8_t)(count >> 8), 2};
        pcl_held_id_make(held.id, BOOT, handle, 0);
        assert_true(s_add(table, &held));
        pcl_held_table_set_ending(table, &held, PCL_HELD_END_DONE);
        pcl_held_table_remove(table, &held);
    }
    assert_non_null(strstr(s_why(table, held.id, "ann"), "committed"));
    memcpy(held.id, last, sizeof last);
    assert_non_null(strstr(s_why(table, held.id, "ann"), "older"));
    pcl_held_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_is_found_with_any_page_by_its_principal_only),
        cmocka_unit_test(test_the_same_id_is_not_taken_twice),
        cmocka_unit_test(test_a_principal_and_the_node_have_their_limits),
        cmocka_unit_test(test_a_place_that_is_reserved_counts_as_taken),
        cmocka_unit_test(test_what_is_ending_is_not_found_and_stops_the_new_only_when_it_piles_up),
        cmocka_unit_test(test_time_ends_what_is_idle_and_nothing_else),
        cmocka_unit_test(test_who_asks_again_is_told_why),
        cmocka_unit_test(test_only_the_last_ends_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
