/* The index from ids to tickets: small cases by name, then random operations against a plain array
 * from a printed seed.  Replay a failure with PCL_TEST_SEED=<seed>. */
#include "common/id_index.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#define CAPACITY 64u

static void s_id_of(uint8_t number, uint8_t out_id[PCL_ID_SIZE])
{
    memset(out_id, 0, PCL_ID_SIZE);
    out_id[PCL_ID_SIZE - 1] = number;
}

static void test_an_id_may_have_several_tickets(void **state)
{
    (void)state;
    pcl_id_index *index = pcl_id_index_new(4, 1);
    uint8_t id[PCL_ID_SIZE];
    uint8_t other[PCL_ID_SIZE];
    s_id_of(1, id);
    s_id_of(2, other);
    pcl_id_index_add(index, id, 10);
    pcl_id_index_add(index, id, 11);
    pcl_id_index_add(index, other, 12);
    uint32_t cursor = 0;
    uint64_t first = pcl_id_index_find(index, id, &cursor);
    uint64_t second = pcl_id_index_find(index, id, &cursor);
    assert_int_equal(21, first + second);
    assert_int_not_equal(first, second);
    assert_int_equal(0, pcl_id_index_find(index, id, &cursor));
    pcl_id_index_destroy(&index);
    assert_null(index);
}

static void test_what_is_not_there_is_not_removed(void **state)
{
    (void)state;
    pcl_id_index *index = pcl_id_index_new(1, 1);
    uint8_t id[PCL_ID_SIZE];
    uint8_t other[PCL_ID_SIZE];
    s_id_of(1, id);
    s_id_of(2, other);
    pcl_id_index_add(index, id, 10);
    pcl_id_index_remove(index, id, 11);
    pcl_id_index_remove(index, other, 10);
    assert_int_equal(1, pcl_id_index_count(index));
    pcl_id_index_remove(index, id, 10);
    assert_int_equal(0, pcl_id_index_count(index));
    pcl_id_index_add(index, other, 12); /* the room is there again */
    uint32_t cursor = 0;
    assert_int_equal(12, pcl_id_index_find(index, other, &cursor));
    pcl_id_index_destroy(&index);
}

/* As many as a daemon can have in flight; the first one that came goes first.  Were each looked for
 * among all that have its id, that would be 10^11 steps, and no test's time would do. */
static void test_thousands_under_one_id_leave_at_once(void **state)
{
    (void)state;
    pcl_id_index *index = pcl_id_index_new(PCL_INFLIGHT_MAX, 1);
    uint8_t id[PCL_ID_SIZE];
    s_id_of(1, id);
    for (uint64_t ticket = 1; ticket <= PCL_INFLIGHT_MAX; ticket++) {
        pcl_id_index_add(index, id, ticket);
    }
    for (uint64_t ticket = 1; ticket < PCL_INFLIGHT_MAX; ticket++) {
        pcl_id_index_remove(index, id, ticket);
    }
    uint32_t cursor = 0;
    assert_int_equal(PCL_INFLIGHT_MAX, pcl_id_index_find(index, id, &cursor));
    assert_int_equal(0, pcl_id_index_find(index, id, &cursor));
    pcl_id_index_destroy(&index);
}

typedef struct pair {
    uint8_t number;
    uint64_t ticket;
} pair;

/* Every ticket of the id, and no other, is found once. */
static void s_check_found(const pcl_id_index *index, const pair *pairs, uint32_t count,
                          uint8_t number)
{
    uint8_t id[PCL_ID_SIZE];
    uint64_t ticket = 0;
    uint64_t sum = 0;
    uint64_t expected_sum = 0;
    uint32_t found = 0;
    uint32_t expected = 0;
    uint32_t cursor = 0;
    s_id_of(number, id);
    while ((ticket = pcl_id_index_find(index, id, &cursor)) != 0) {
        found++;
        sum += ticket;
    }
    for (uint32_t at = 0; at < count; at++) {
        expected += pairs[at].number == number ? 1 : 0;
        expected_sum += pairs[at].number == number ? pairs[at].ticket : 0;
    }
    assert_int_equal(expected, found);
    assert_int_equal(expected_sum, sum);
}

static void test_it_agrees_with_a_plain_list(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("id_index");
    pcl_id_index *index = pcl_id_index_new(CAPACITY, pcl_rng_next(&rng));
    pair pairs[CAPACITY];
    uint32_t count = 0;
    uint64_t ticket = 0;
    for (uint32_t turn = 0; turn < 20000; turn++) {
        uint8_t id[PCL_ID_SIZE];
        bool add = count == 0 || (count < CAPACITY && pcl_rng_below(&rng, 2) == 0);
        if (add) {
            pairs[count] = (pair){.number = (uint8_t)pcl_rng_below(&rng, 40), .ticket = ++ticket};
            s_id_of(pairs[count].number, id);
            pcl_id_index_add(index, id, ticket);
            count++;
        } else {
            uint32_t at = pcl_rng_below(&rng, count);
            s_id_of(pairs[at].number, id);
            pcl_id_index_remove(index, id, pairs[at].ticket);
            pairs[at] = pairs[--count];
        }
        assert_int_equal(count, pcl_id_index_count(index));
        s_check_found(index, pairs, count, (uint8_t)pcl_rng_below(&rng, 40));
    }
    pcl_id_index_destroy(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_may_have_several_tickets),
        cmocka_unit_test(test_what_is_not_there_is_not_removed),
        cmocka_unit_test(test_thousands_under_one_id_leave_at_once),
        cmocka_unit_test(test_it_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
