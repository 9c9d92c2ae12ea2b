/* Ticket table: small cases by name, then random operations against a plain
 * array from a printed seed.  Replay a failure with PCL_TEST_SEED=<seed>. */
#include "common/rng.h"
#include "common/ticket_table.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CAPACITY 64u

static void test_a_full_table_refuses(void **state)
{
    (void)state;
    pcl_ticket_table *table = pcl_ticket_table_new(2, sizeof(int), 1);
    uint64_t tickets[3];
    assert_non_null(pcl_ticket_table_add(table, 10, &tickets[0]));
    assert_non_null(pcl_ticket_table_add(table, 20, &tickets[1]));
    assert_null(pcl_ticket_table_add(table, 30, &tickets[2]));
    pcl_ticket_table_remove(table, tickets[0]);
    assert_non_null(pcl_ticket_table_add(table, 30, &tickets[2]));
    pcl_ticket_table_destroy(&table);
    assert_null(table);
}

static void test_a_removed_ticket_is_stale_for_ever(void **state)
{
    (void)state;
    pcl_ticket_table *table = pcl_ticket_table_new(1, sizeof(int), 7);
    uint64_t first = 0;
    uint64_t second = 0;
    assert_non_null(pcl_ticket_table_add(table, 1, &first));
    pcl_ticket_table_remove(table, first);
    int *entry = pcl_ticket_table_add(table, 1, &second);
    assert_non_null(entry);
    assert_int_equal(*entry, 0);
    assert_true(first != second);
    assert_null(pcl_ticket_table_find(table, first));
    assert_ptr_equal(pcl_ticket_table_find(table, second), entry);
    assert_null(pcl_ticket_table_find(table, 0));
    assert_null(pcl_ticket_table_find(table, UINT64_MAX));
    pcl_ticket_table_destroy(&table);
}

typedef struct shadow {
    uint64_t ticket;
    uint64_t deadline_us;
} shadow;

static uint64_t s_seed(void)
{
    const char *text = getenv("PCL_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("PCL_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static uint64_t s_earliest(const shadow *shadows, uint32_t count)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t index = 0; index < count; index++) {
        if (shadows[index].deadline_us < earliest) {
            earliest = shadows[index].deadline_us;
        }
    }
    return earliest;
}

static void test_it_agrees_with_a_plain_array(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(s_seed());
    pcl_ticket_table *table = pcl_ticket_table_new(CAPACITY, sizeof(uint64_t), 3);
    shadow shadows[CAPACITY];
    uint32_t count = 0;
    for (int step = 0; step < 200000; step++) {
        uint64_t deadline_us = pcl_rng_below(&rng, 1000);
        uint32_t choice = pcl_rng_below(&rng, 5);
        if (choice < 2 && count < CAPACITY) {
            uint64_t *entry = pcl_ticket_table_add(table, deadline_us, &shadows[count].ticket);
            assert_non_null(entry);
            *entry = shadows[count].ticket;
            shadows[count++].deadline_us = deadline_us;
        } else if (choice < 4 && count > 0) {
            uint32_t index = pcl_rng_below(&rng, count);
            pcl_ticket_table_remove(table, shadows[index].ticket);
            assert_null(pcl_ticket_table_find(table, shadows[index].ticket));
            shadows[index] = shadows[--count];
        } else if (count > 0) {
            uint32_t index = pcl_rng_below(&rng, count);
            pcl_ticket_table_set_deadline(table, shadows[index].ticket, deadline_us);
            shadows[index].deadline_us = deadline_us;
        }
        assert_int_equal(pcl_ticket_table_count(table), count);
        assert_int_equal(pcl_ticket_table_next_deadline_us(table), s_earliest(shadows, count));
        uint64_t due = 0;
        uint64_t *entry = pcl_ticket_table_due(table, 500, &due);
        assert_int_equal(entry != NULL, s_earliest(shadows, count) <= 500);
        if (entry != NULL) {
            assert_int_equal(*entry, due);
        }
    }
    pcl_ticket_table_destroy(&table);
}

static void test_each_visits_all_and_survives_removal(void **state)
{
    (void)state;
    pcl_ticket_table *table = pcl_ticket_table_new(10, sizeof(int), 5);
    uint64_t ticket = 0;
    for (int index = 0; index < 10; index++) {
        *(int *)pcl_ticket_table_add(table, (uint64_t)index, &ticket) = 1 << index;
    }
    uint32_t cursor = 0;
    int seen = 0;
    for (int *entry; (entry = pcl_ticket_table_each(table, &cursor, &ticket)) != NULL;) {
        seen |= *entry;
        pcl_ticket_table_remove(table, ticket);
    }
    assert_int_equal(seen, (1 << 10) - 1);
    assert_int_equal(pcl_ticket_table_count(table), 0);
    assert_int_equal(pcl_ticket_table_next_deadline_us(table), UINT64_MAX);
    pcl_ticket_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_table_refuses),
        cmocka_unit_test(test_a_removed_ticket_is_stale_for_ever),
        cmocka_unit_test(test_it_agrees_with_a_plain_array),
        cmocka_unit_test(test_each_visits_all_and_survives_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
