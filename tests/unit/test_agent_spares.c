/* Connections that wait for use never change hands between accounts.  What is a connection here is
 * played: it says for whom it was opened. */
#include "worker-agent/spares.h"

#include "common/rng.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct pcl_connection {
    const pcl_accounts *accounts;
    pcl_account account;
    bool open, soiled, bloated;
};

static uint32_t alive; /* connections that are not destroyed */

pcl_connection *pcl_connection_new(const pcl_agent_options *options, const pcl_accounts *accounts,
                                   pcl_account account, uint32_t statements_max,
                                   uint32_t read_timeout_s)
{
    (void)options;
    (void)statements_max;
    (void)read_timeout_s;
    pcl_connection *self = calloc(1, sizeof *self);
    assert_non_null(self);
    *self = (pcl_connection){.accounts = accounts, .account = account, .open = true};
    alive++;
    return self;
}

void pcl_connection_destroy(pcl_connection **self_p)
{
    if (*self_p != NULL) {
        alive--;
        free(*self_p);
        *self_p = NULL;
    }
}

bool pcl_connection_is_open(const pcl_connection *self)
{
    return self->open;
}

bool pcl_connection_is_bloated(const pcl_connection *self)
{
    return self->bloated;
}

bool pcl_connection_is_soiled(const pcl_connection *self)
{
    return self->soiled;
}

pcl_account pcl_connection_account(const pcl_connection *self)
{
    return self->account;
}

const pcl_accounts *pcl_connection_accounts(const pcl_connection *self)
{
    return self->accounts;
}

static const pcl_agent_options OPTIONS = {.statements_max = 4, .threads = 1};
static const pcl_accounts APP = {.index = 0, .name = "app"};
static const pcl_accounts OTHER = {.index = 1, .name = "other"};

static void s_give(pcl_spares *spares, pcl_connection *connection, uint64_t now_us)
{
    pcl_spares_give(spares, &connection, now_us);
    assert_null(connection);
}

static void test_a_connection_is_taken_by_its_own_only(void **state)
{
    (void)state;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 8);
    pcl_connection *one = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false);
    one->soiled = true;
    s_give(spares, one, 1);
    pcl_connection *writer = pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, false);
    assert_ptr_not_equal(writer, one);
    assert_int_equal(writer->account, PCL_ACCOUNT_WRITE);
    pcl_connection *other = pcl_spares_take(spares, &OTHER, PCL_ACCOUNT_READ, false);
    assert_ptr_not_equal(other, one);
    assert_ptr_equal(other->accounts, &OTHER);
    assert_ptr_equal(pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false), one);
    s_give(spares, one, 2);
    s_give(spares, writer, 3);
    s_give(spares, other, 4);
    assert_int_equal(pcl_spares_count(spares), 3);
    pcl_spares_destroy(&spares);
    assert_int_equal(alive, 0);
}

static void test_who_wants_an_open_one_gets_none_where_none_waits(void **state)
{
    (void)state;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 8);
    assert_null(pcl_spares_take_open(spares, &APP, PCL_ACCOUNT_READ));
    assert_int_equal(alive, 0);
    pcl_connection *one = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false);
    s_give(spares, one, 1);
    assert_null(pcl_spares_take_open(spares, &OTHER, PCL_ACCOUNT_READ));
    assert_null(pcl_spares_take_open(spares, &APP, PCL_ACCOUNT_WRITE));
    assert_ptr_equal(pcl_spares_take_open(spares, &APP, PCL_ACCOUNT_READ), one);
    s_give(spares, one, 2);
    pcl_spares_destroy(&spares);
}

static void test_accounts_of_equal_content_are_two(void **state)
{
    (void)state;
    pcl_accounts twin = APP;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 8);
    pcl_connection *one = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, true);
    s_give(spares, one, 1);
    pcl_connection *two = pcl_spares_take(spares, &twin, PCL_ACCOUNT_READ, true);
    assert_ptr_not_equal(one, two);
    s_give(spares, two, 2);
    pcl_spares_destroy(&spares);
}

static void test_sessions_get_what_is_clean_and_leave_what_is_prepared(void **state)
{
    (void)state;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 8);
    pcl_connection *used = pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, false);
    pcl_connection *clean = pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, false);
    used->soiled = true;
    s_give(spares, clean, 1);
    s_give(spares, used, 2);
    assert_ptr_equal(pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, true), clean);
    pcl_connection *fresh = pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, true);
    assert_ptr_not_equal(fresh, used);
    s_give(spares, clean, 3);
    assert_ptr_equal(pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, false), used);
    assert_ptr_equal(pcl_spares_take(spares, &APP, PCL_ACCOUNT_WRITE, false), clean);
    s_give(spares, clean, 4);
    s_give(spares, used, 5);
    s_give(spares, fresh, 6);
    pcl_spares_destroy(&spares);
    assert_int_equal(alive, 0);
}

static void test_the_longest_idle_goes_for_a_new_one_and_with_time(void **state)
{
    (void)state;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 2);
    pcl_connection *first = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false);
    pcl_connection *second = pcl_spares_take(spares, &OTHER, PCL_ACCOUNT_READ, false);
    pcl_connection *third = pcl_spares_take(spares, &OTHER, PCL_ACCOUNT_WRITE, false);
    s_give(spares, first, 10);
    s_give(spares, second, 20);
    s_give(spares, third, 30);
    assert_int_equal(alive, 2);
    pcl_spares_close_idle(spares, 20);
    assert_int_equal(pcl_spares_count(spares), 2);
    pcl_spares_close_idle(spares, 31);
    assert_int_equal(pcl_spares_count(spares), 1);
    assert_ptr_equal(pcl_spares_take(spares, &OTHER, PCL_ACCOUNT_WRITE, false), third);
    pcl_connection_destroy(&third);
    pcl_spares_close_idle(spares, UINT64_MAX);
    pcl_spares_destroy(&spares);
    assert_int_equal(alive, 0);
}

static void test_what_is_closed_or_bloated_is_not_kept(void **state)
{
    (void)state;
    pcl_spares *spares = pcl_spares_new(&OPTIONS, 2);
    pcl_connection *closed = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false);
    pcl_connection *bloated = pcl_spares_take(spares, &APP, PCL_ACCOUNT_READ, false);
    closed->open = false;
    bloated->bloated = true;
    s_give(spares, closed, 1);
    s_give(spares, bloated, 1);
    assert_int_equal(pcl_spares_count(spares), 0);
    assert_int_equal(alive, 0);
    pcl_spares_destroy(&spares);
}

/* Whatever is taken and given, each is what was asked for, none is out twice, and no more are kept
 * than may be. */
static void test_no_order_of_use_mixes_accounts(void **state)
{
    (void)state;
    enum { TURNS = 200000, OUT_MAX = 24, KEPT_MAX = 7, ACCOUNTS = 3 };
    const char *given = getenv("PCL_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    pcl_rng rng = pcl_rng_from_seed(seed);
    static const pcl_accounts ALL[ACCOUNTS] = {{.index = 0}, {.index = 1}, {.index = 2}};
    pcl_spares *spares = pcl_spares_new(&OPTIONS, KEPT_MAX);
    pcl_connection *out[OUT_MAX] = {NULL};
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        uint64_t at = pcl_rng_below(&rng, OUT_MAX);
        if (out[at] != NULL) {
            out[at]->soiled = pcl_rng_below(&rng, 2) == 0;
            out[at]->open = pcl_rng_below(&rng, 20) != 0;
            pcl_spares_give(spares, &out[at], turn);
        } else {
            const pcl_accounts *accounts = &ALL[pcl_rng_below(&rng, ACCOUNTS)];
            pcl_account account = pcl_rng_below(&rng, 2) == 0 ? PCL_ACCOUNT_READ
                                                              : PCL_ACCOUNT_WRITE;
            bool clean = pcl_rng_below(&rng, 2) == 0;
            pcl_connection *taken = pcl_spares_take(spares, accounts, account, clean);
            assert_ptr_equal(taken->accounts, accounts);
            assert_int_equal(taken->account, account);
            assert_false(clean && taken->soiled);
            for (uint64_t other = 0; other < OUT_MAX; other++) {
                assert_ptr_not_equal(out[other], taken);
            }
            out[at] = taken;
        }
        if (pcl_rng_below(&rng, 50) == 0) {
            pcl_spares_close_idle(spares, turn > 20 ? turn - 20 : 0);
        }
        assert_true(pcl_spares_count(spares) <= KEPT_MAX);
        assert_true(alive <= KEPT_MAX + OUT_MAX);
    }
    for (uint64_t at = 0; at < OUT_MAX; at++) {
        pcl_connection_destroy(&out[at]);
    }
    pcl_spares_destroy(&spares);
    assert_int_equal(alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_is_taken_by_its_own_only),
        cmocka_unit_test(test_who_wants_an_open_one_gets_none_where_none_waits),
        cmocka_unit_test(test_accounts_of_equal_content_are_two),
        cmocka_unit_test(test_sessions_get_what_is_clean_and_leave_what_is_prepared),
        cmocka_unit_test(test_the_longest_idle_goes_for_a_new_one_and_with_time),
        cmocka_unit_test(test_what_is_closed_or_bloated_is_not_kept),
        cmocka_unit_test(test_no_order_of_use_mixes_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
