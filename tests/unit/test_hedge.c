#include "common/clock.h"
#include "common/rng.h"
#include "proxy/hedge.h"
#include "proxy/retry.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void only_reads_that_stand_alone_are_hedged(void **state)
{
    (void)state;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        for (int bits = 0; bits < 8; bits++) {
            bool read = (bits & 1) != 0;
            bool pinned = (bits & 2) != 0;
            bool source_only = (bits & 4) != 0;
            assert_int_equal(pcl_hedge_may((pcl_op)op, read, pinned, source_only),
                             op == PCL_OP_QUERY && read && !pinned && !source_only);
        }
    }
}

/* --- When a read is late ------------------------------------------------------ */

static void nobody_is_late_before_enough_was_seen(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    uint64_t delay_us = 7;
    for (uint32_t count = 0; count + 1 < PCL_HEDGE_SAMPLES_MIN; count++) {
        pcl_hedge_observe(&hedge, 5000);
        assert_false(pcl_hedge_delay_us(&hedge, &delay_us));
    }
    assert_int_equal(delay_us, 7);
    pcl_hedge_observe(&hedge, 5000);
    assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
    assert_int_equal(delay_us, 5000);
}

static void the_delay_is_what_95_of_100_stay_below(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    for (uint32_t sample = 0; sample < 2000; sample++) { /* 2000 to 2099, evenly */
        pcl_hedge_observe(&hedge, 2000 + sample * 37 % 100);
    }
    hedge.tokens = PCL_HEDGE_TOKENS_MAX;
    uint64_t delay_us = 0;
    assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
    assert_in_range(delay_us, 2090, 2097);
    assert_in_range(hedge.p50_us, 2045, 2055);
}

static void what_is_a_little_slow_leaves_half_of_the_tokens(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    for (uint32_t sample = 0; sample < 2000; sample++) {
        pcl_hedge_observe(&hedge, 2000 + sample * 37 % 100);
    }
    uint64_t delay_us = 0;
    for (double tokens = -5; tokens <= 20; tokens += 1) {
        hedge.tokens = tokens;
        assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
        if (tokens < 10) {
            assert_in_range(delay_us, 2097, 2099);
        } else {
            assert_in_range(delay_us, 2090, 2097);
        }
    }
}

static void the_delay_is_a_millisecond_at_least(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    for (uint32_t sample = 0; sample < 600; sample++) {
        pcl_hedge_observe(&hedge, 40);
    }
    uint64_t delay_us = 0;
    assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
    assert_int_equal(delay_us, PCL_HEDGE_DELAY_MIN);
}

static void what_is_old_is_forgotten(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    uint64_t delay_us = 0;
    for (uint32_t sample = 0; sample < PCL_HEDGE_SAMPLES; sample++) {
        pcl_hedge_observe(&hedge, 2000);
    }
    for (uint32_t sample = 0; sample < PCL_HEDGE_SAMPLES; sample++) {
        pcl_hedge_observe(&hedge, 40000);
    }
    assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
    assert_int_equal(delay_us, 40000);
    pcl_hedge_observe(&hedge, UINT64_MAX); /* no time is too long to be noted */
}

/* With a tenth of the reads slow, and their times cut off where their copies answer, the delay
 * settles among the slow ones instead of falling with what was cut. */
static void cut_off_times_do_not_pull_the_delay_down(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    pcl_rng rng = pcl_rng_from_seed(5);
    uint64_t delay_us = 0;
    for (uint32_t sample = 0; sample < 20000; sample++) {
        uint64_t time_us = 3000 + pcl_rng_below(&rng, 1000);
        bool slow = pcl_rng_below(&rng, 10) == 0;
        if (slow) {
            time_us = 200000;
            if (pcl_hedge_delay_us(&hedge, &delay_us)) {
                time_us = delay_us + 3500;
            }
        }
        pcl_hedge_observe(&hedge, time_us);
    }
    assert_true(pcl_hedge_delay_us(&hedge, &delay_us));
    assert_true(delay_us > 4000);
}

/* --- How many ------------------------------------------------------------------ */

static void copies_are_never_more_than_their_share(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    uint32_t sent = 0;
    for (uint32_t reads = 1; reads <= 100000; reads++) {
        pcl_hedge_earn(&hedge, 0.05);
        while (pcl_hedge_has(&hedge)) {
            pcl_hedge_spend(&hedge);
            sent++;
        }
        assert_true(sent <= reads * 0.05 + 1e-6);
    }
    assert_true(sent >= 4999);
}

static void twenty_tokens_are_kept(void **state)
{
    (void)state;
    pcl_hedge hedge = {0};
    assert_false(pcl_hedge_has(&hedge));
    for (uint32_t reads = 0; reads < 10000; reads++) {
        pcl_hedge_earn(&hedge, 0.05);
    }
    for (uint32_t spent = 0; spent < 20; spent++) {
        assert_true(pcl_hedge_has(&hedge));
        pcl_hedge_spend(&hedge);
    }
    assert_false(pcl_hedge_has(&hedge));
}

static void a_copy_that_runs_for_long_costs_more(void **state)
{
    (void)state;
    pcl_hedge hedge = {.p95_us = 5000, .tokens = 10};
    pcl_hedge_charge(&hedge, 0);
    pcl_hedge_charge(&hedge, 20000); /* what a read may well take where the first copy is stuck */
    assert_true(hedge.tokens > 9.999);
    pcl_hedge_charge(&hedge, 60000);
    assert_true(hedge.tokens > 7.999 && hedge.tokens < 8.001);
    pcl_hedge_charge(&hedge, UINT64_MAX); /* a debt that can be paid again */
    assert_false(pcl_hedge_has(&hedge));
    for (uint32_t reads = 0; reads < 21 * 20 + 1; reads++) {
        pcl_hedge_earn(&hedge, 0.05);
    }
    assert_true(pcl_hedge_has(&hedge));
}

/* Of a hundred statements four take 400 times as long as the others, always: each is late, but few
 * of them run twice. */
static void statements_that_always_take_long_do_not_all_run_twice(void **state)
{
    (void)state;
    enum { READS = 100000 };
    pcl_hedge hedge = {0};
    uint64_t delay_us = 0;
    uint32_t doubled = 0;
    for (uint32_t reads = 0; reads < READS; reads++) {
        bool slow = reads % 25 == 0;
        uint64_t time_us = slow ? 2000000 : 5000;
        pcl_hedge_earn(&hedge, 0.05);
        bool late = pcl_hedge_delay_us(&hedge, &delay_us) && time_us > delay_us;
        if (slow && late && pcl_hedge_has(&hedge)) {
            pcl_hedge_spend(&hedge);
            pcl_hedge_charge(&hedge, time_us - delay_us);
            doubled++;
        }
        pcl_hedge_observe(&hedge, time_us);
    }
    assert_true(doubled > 0);
    assert_true(doubled <= READS / 400 + 2); /* of 4000 */
}

/* --- Where and whether ---------------------------------------------------------- */

static pcl_candidate s_nodes[4];

/* own, foreign, workers of each */
static pcl_candidates s_candidates(uint32_t count, const uint32_t (*figures)[3])
{
    pcl_candidates candidates = {.count = count};
    for (uint32_t index = 0; index < count; index++) {
        s_nodes[index] = (pcl_candidate){.index = index,
                                         .own = figures[index][0],
                                         .foreign = figures[index][1],
                                         .workers = (uint16_t)figures[index][2]};
        candidates.fit[index] = &s_nodes[index];
    }
    return candidates;
}

static void a_node_that_is_stuck_counts_as_full_and_no_more(void **state)
{
    (void)state;
    pcl_candidates candidates = s_candidates(2, (const uint32_t[][3]){{500, 0, 8}, {1, 1, 8}});
    assert_true(pcl_hedge_load(&candidates) > 0.62f && pcl_hedge_load(&candidates) < 0.63f);
    candidates.count = 0;
    assert_true(pcl_hedge_load(&candidates) >= 1);
    candidates = s_candidates(1, (const uint32_t[][3]){{0, 0, 0}}); /* nothing is known of it */
    assert_true(pcl_hedge_load(&candidates) >= 1);
}

static void a_copy_goes_only_where_a_connection_is_free(void **state)
{
    (void)state;
    pcl_candidates candidates = s_candidates(
        4, (const uint32_t[][3]){{8, 0, 8}, {3, 4, 8}, {4, 4, 8}, {0, 0, 0}});
    pcl_hedge_leave_idle(&candidates);
    assert_int_equal(candidates.count, 1);
    assert_int_equal(candidates.fit[0]->index, 1);
    assert_int_equal(candidates.why[0], PCL_LEFT_OUT_BUSY);
    assert_int_equal(candidates.why[1], PCL_LEFT_OUT_NOT);
    assert_int_equal(candidates.why[2], PCL_LEFT_OUT_BUSY);
    assert_int_equal(candidates.why[3], PCL_LEFT_OUT_BUSY);
}

static pcl_hedge_verdict s_decide(pcl_hedge_case facts)
{
    pcl_hedge hedge = {.p50_us = 2000, .p95_us = 9000};
    return pcl_hedge_decide(&hedge, &facts);
}

static void the_verdict_follows_the_rules(void **state)
{
    (void)state;
    const pcl_hedge_case good = {.tokens = true,
                                 .room = true,
                                 .other = true,
                                 .idle = true,
                                 .load = 0.5f,
                                 .left_us = 2001,
                                 .attempts = 1};
    assert_int_equal(s_decide(good), PCL_HEDGE_SEND);
    pcl_hedge_case facts = good;
    facts.cancelled = true;
    assert_int_equal(s_decide(facts), PCL_HEDGE_NEVER);
    facts = good;
    facts.other = false;
    assert_int_equal(s_decide(facts), PCL_HEDGE_NEVER);
    facts = good;
    facts.left_us = 2000; /* it would hardly come in time */
    assert_int_equal(s_decide(facts), PCL_HEDGE_NEVER);
    facts = good;
    facts.attempts = PCL_ATTEMPTS_MAX;
    assert_int_equal(s_decide(facts), PCL_HEDGE_NEVER);
    facts = good;
    facts.tokens = false;
    assert_int_equal(s_decide(facts), PCL_HEDGE_STARVED);
    facts = good;
    facts.idle = false;
    assert_int_equal(s_decide(facts), PCL_HEDGE_LATER);
    facts = good;
    facts.room = false;
    assert_int_equal(s_decide(facts), PCL_HEDGE_LATER);
    facts = good;
    facts.load = 0.91f; /* all are slow */
    assert_int_equal(s_decide(facts), PCL_HEDGE_LATER);
}

/* --- The line ---------------------------------------------------------------------- */

static uint64_t s_first(const pcl_hedge_line *line)
{
    uint64_t since_us = 0;
    return pcl_hedge_line_first(line, &since_us);
}

static void the_line_keeps_its_order_whoever_leaves(void **state)
{
    (void)state;
    enum { CAPACITY = 16 };
    pcl_hedge_line *line = pcl_hedge_line_new(CAPACITY);
    assert_non_null(line);
    assert_int_equal(s_first(line), 0);
    pcl_rng rng = pcl_rng_from_seed(11);
    uint64_t model[CAPACITY]; /* the same, as an array */
    uint32_t count = 0;
    uint32_t generation = 1;
    for (uint64_t step = 1; step <= 20000; step++) {
        uint32_t slot = pcl_rng_below(&rng, CAPACITY);
        uint32_t at = 0;
        while (at < count && (uint32_t)model[at] != slot) {
            at++;
        }
        if (at == count) {
            model[count++] = (uint64_t)generation++ << 32 | slot;
            pcl_hedge_line_add(line, model[count - 1], step);
        } else {
            pcl_hedge_line_remove(line, model[at] ^ UINT64_C(1) << 63); /* another generation */
            assert_int_equal(pcl_hedge_line_count(line), count);
            pcl_hedge_line_remove(line, model[at]);
            pcl_hedge_line_remove(line, model[at]);
            count--;
            for (; at < count; at++) {
                model[at] = model[at + 1];
            }
        }
        assert_int_equal(pcl_hedge_line_count(line), count);
        assert_int_equal(s_first(line), count == 0 ? 0 : model[0]);
    }
    while (count > 0) { /* the whole order */
        assert_int_equal(s_first(line), model[0]);
        pcl_hedge_line_remove(line, model[0]);
        count--;
        for (uint32_t at = 0; at < count; at++) {
            model[at] = model[at + 1];
        }
    }
    pcl_hedge_line_destroy(&line);
    assert_null(line);
    pcl_hedge_line_destroy(&line);
}

/* --- Two copies ---------------------------------------------------------------------- */

static void an_end_of_two_copies_follows_the_table(void **state)
{
    (void)state;
    assert_int_equal(pcl_copy_on(PCL_COPY_ALONE, PCL_COPY_SUCCESS), PCL_COPY_JUDGE);
    assert_int_equal(pcl_copy_on(PCL_COPY_ALONE, PCL_COPY_FAILURE), PCL_COPY_JUDGE);
    assert_int_equal(pcl_copy_on(PCL_COPY_ALONE, PCL_COPY_DOUBT), PCL_COPY_JUDGE);
    assert_int_equal(pcl_copy_on(PCL_COPY_PAIRED, PCL_COPY_SUCCESS), PCL_COPY_WIN);
    assert_int_equal(pcl_copy_on(PCL_COPY_PAIRED, PCL_COPY_FAILURE), PCL_COPY_YIELD);
    assert_int_equal(pcl_copy_on(PCL_COPY_PAIRED, PCL_COPY_DOUBT), PCL_COPY_STAY);
    assert_int_equal(pcl_copy_on(PCL_COPY_LOSER, PCL_COPY_SUCCESS), PCL_COPY_END);
    assert_int_equal(pcl_copy_on(PCL_COPY_LOSER, PCL_COPY_FAILURE), PCL_COPY_END);
    assert_int_equal(pcl_copy_on(PCL_COPY_LOSER, PCL_COPY_DOUBT), PCL_COPY_STAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_reads_that_stand_alone_are_hedged),
        cmocka_unit_test(nobody_is_late_before_enough_was_seen),
        cmocka_unit_test(the_delay_is_what_95_of_100_stay_below),
        cmocka_unit_test(what_is_a_little_slow_leaves_half_of_the_tokens),
        cmocka_unit_test(the_delay_is_a_millisecond_at_least),
        cmocka_unit_test(what_is_old_is_forgotten),
        cmocka_unit_test(cut_off_times_do_not_pull_the_delay_down),
        cmocka_unit_test(copies_are_never_more_than_their_share),
        cmocka_unit_test(twenty_tokens_are_kept),
        cmocka_unit_test(a_copy_that_runs_for_long_costs_more),
        cmocka_unit_test(statements_that_always_take_long_do_not_all_run_twice),
        cmocka_unit_test(a_node_that_is_stuck_counts_as_full_and_no_more),
        cmocka_unit_test(a_copy_goes_only_where_a_connection_is_free),
        cmocka_unit_test(the_verdict_follows_the_rules),
        cmocka_unit_test(the_line_keeps_its_order_whoever_leaves),
        cmocka_unit_test(an_end_of_two_copies_follows_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
