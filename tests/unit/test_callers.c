#include "broker/callers.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static pcl_policy_principal s_principal(const char *name)
{
    pcl_policy_principal principal = {.role = NULL};
    (void)snprintf(principal.name, sizeof principal.name, "%s", name);
    (void)snprintf(principal.public_key, sizeof principal.public_key, "key of %s", name);
    return principal;
}

static uint32_t s_add(pcl_callers *self, const pcl_policy_principal *principal, bool forgotten)
{
    bool forgot = !forgotten;
    uint32_t index = pcl_callers_add(self, pcl_bytes_text(principal->name), principal, &forgot);
    assert_int_not_equal(index, PCL_CALLER_NONE);
    assert_int_equal(forgot, forgotten);
    return index;
}

static uint32_t s_find(pcl_callers *self, const char *name)
{
    return pcl_callers_find(self, pcl_bytes_text(name));
}

static void test_a_caller_is_found_by_name(void **state)
{
    (void)state;
    pcl_callers *self = pcl_callers_new(100, 1);
    static pcl_policy_principal all[100];
    uint32_t places[100];
    for (int index = 0; index < 100; index++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", index);
        all[index] = s_principal(name);
        places[index] = s_add(self, &all[index], false);
    }
    for (int index = 0; index < 100; index++) {
        assert_int_equal(s_find(self, all[index].name), places[index]);
        assert_string_equal(pcl_callers_at(self, places[index])->public_key, all[index].public_key);
    }
    assert_int_equal(s_find(self, "p"), PCL_CALLER_NONE);
    assert_int_equal(s_find(self, "p100"), PCL_CALLER_NONE);
    assert_int_equal(pcl_callers_count(self), 100);
    pcl_callers_destroy(&self);
    assert_null(self);
}

/* It ends with its last request; until then its place is nobody else's. */
static void test_a_dismissed_caller_is_not_found_and_finishes(void **state)
{
    (void)state;
    pcl_callers *self = pcl_callers_new(2, 1);
    pcl_policy_principal alice = s_principal("alice");
    uint32_t old = s_add(self, &alice, false);
    pcl_callers_begin(self, old);
    pcl_callers_dismiss(self, old);
    pcl_callers_dismiss(self, old); /* once is enough */
    assert_int_equal(s_find(self, "alice"), PCL_CALLER_NONE);
    assert_string_equal(pcl_callers_at(self, old)->name, "alice");
    uint32_t fresh = s_add(self, &alice, false); /* with another key, say */
    assert_int_not_equal(fresh, old);
    assert_int_equal(s_find(self, "alice"), fresh);
    pcl_callers_end(self, old);
    pcl_policy_principal bob = s_principal("bob");
    assert_int_equal(s_add(self, &bob, false), old);
    pcl_callers_dismiss(self, fresh); /* has nothing in flight: is gone at once */
    pcl_policy_principal carol = s_principal("carol");
    assert_int_equal(s_add(self, &carol, false), fresh);
    assert_int_equal(pcl_callers_count(self), 2);
    pcl_callers_destroy(&self);
}

static void test_a_full_table_forgets_who_has_nothing_in_flight(void **state)
{
    (void)state;
    pcl_callers *self = pcl_callers_new(2, 1);
    pcl_policy_principal alice = s_principal("alice");
    pcl_policy_principal bob = s_principal("bob");
    pcl_policy_principal carol = s_principal("carol");
    pcl_callers_begin(self, s_add(self, &alice, false));
    uint32_t place = s_add(self, &bob, false);
    assert_int_equal(s_add(self, &carol, true), place);
    assert_int_equal(s_find(self, "bob"), PCL_CALLER_NONE);
    pcl_callers_begin(self, place);
    bool forgotten = false;
    assert_int_equal(pcl_callers_add(self, pcl_bytes_text("bob"), &bob, &forgotten),
                     PCL_CALLER_NONE);
    pcl_callers_destroy(&self);
}

static void test_a_walk_may_dismiss_what_it_finds(void **state)
{
    (void)state;
    pcl_callers *self = pcl_callers_new(8, 1);
    pcl_policy_principal alice = s_principal("alice");
    pcl_policy_principal bob = s_principal("bob");
    (void)s_add(self, &alice, false);
    (void)s_add(self, &bob, false);
    uint32_t cursor = 0, index = 0, count = 0;
    while ((index = pcl_callers_each(self, &cursor)) != PCL_CALLER_NONE) {
        pcl_callers_dismiss(self, index);
        count++;
    }
    assert_int_equal(count, 2);
    assert_int_equal(pcl_callers_count(self), 0);
    pcl_callers_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_caller_is_found_by_name),
        cmocka_unit_test(test_a_dismissed_caller_is_not_found_and_finishes),
        cmocka_unit_test(test_a_full_table_forgets_who_has_nothing_in_flight),
        cmocka_unit_test(test_a_walk_may_dismiss_what_it_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
