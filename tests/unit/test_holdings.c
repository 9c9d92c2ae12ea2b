#include "broker/holdings.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

typedef struct s_id {
    uint8_t octets[PCL_ID_SIZE];
} s_id;

static s_id s_make(uint8_t number)
{
    s_id id;
    memset(id.octets, number, sizeof id.octets);
    return id;
}

static void test_what_was_opened_is_taken_out_by_its_owner(void **state)
{
    (void)state;
    pcl_holdings *self = pcl_holdings_new(8, 3, 1);
    assert_non_null(self);
    for (uint8_t number = 1; number <= 5; number++) {
        pcl_holdings_add(self, number % 2, s_make(number).octets);
    }
    pcl_holdings_add(self, 0, s_make(5).octets); /* stays where it is */
    assert_int_equal(pcl_holdings_count(self), 5);
    pcl_holdings_remove(self, 0, s_make(3).octets); /* not theirs */
    pcl_holdings_remove(self, 1, s_make(3).octets);
    pcl_holdings_remove(self, 1, s_make(9).octets); /* was never there */
    assert_int_equal(pcl_holdings_count(self), 4);
    assert_true(pcl_holdings_owns(self, 1, s_make(5).octets));
    assert_false(pcl_holdings_owns(self, 0, s_make(5).octets));
    assert_false(pcl_holdings_owns(self, 1, s_make(9).octets));
    uint8_t id[PCL_ID_SIZE];
    uint32_t sum = 0, count = 0;
    while (pcl_holdings_take(self, 1, id)) {
        sum += id[0];
        count++;
    }
    assert_int_equal(count, 2);
    assert_int_equal(sum, 1 + 5);
    assert_false(pcl_holdings_has(self, 1));
    assert_true(pcl_holdings_has(self, 0));
    assert_false(pcl_holdings_has(self, 2));
    pcl_holdings_destroy(&self);
    assert_null(self);
}

static void test_a_full_table_forgets_what_is_oldest(void **state)
{
    (void)state;
    pcl_holdings *self = pcl_holdings_new(3, 1, 1);
    for (uint8_t number = 1; number <= 5; number++) {
        pcl_holdings_add(self, 0, s_make(number).octets);
    }
    assert_int_equal(pcl_holdings_count(self), 3);
    uint8_t id[PCL_ID_SIZE];
    uint32_t sum = 0;
    while (pcl_holdings_take(self, 0, id)) {
        sum += id[0];
    }
    assert_int_equal(sum, 3 + 4 + 5);
    pcl_holdings_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_opened_is_taken_out_by_its_owner),
        cmocka_unit_test(test_a_full_table_forgets_what_is_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
