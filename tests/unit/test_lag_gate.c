/* Hysteresis on lag: sequences of reports, and what the gate makes of them. */
#include "proxy/lag_gate.h"

#include "common/clock.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LAG_MAX_MS = 10000, BEAT_MS = 200 };

/* One report a beat; returns how often the gate changed its mind. */
static uint32_t s_changes(pcl_lag_gate *gate, const int32_t *lags_ms, size_t count,
                          uint64_t *now_us)
{
    uint32_t changes = 0;
    for (size_t index = 0; index < count; index++) {
        bool was = gate->out;
        bool back = pcl_lag_gate_note(gate, lags_ms[index], LAG_MAX_MS, *now_us);
        assert_int_equal(back, was && !gate->out);
        changes += was != gate->out ? 1 : 0;
        *now_us += BEAT_MS * PCL_US_PER_MS;
    }
    return changes;
}

static void test_what_leaves_and_what_returns(void **state)
{
    (void)state;
    static const struct {
        int32_t lags_ms[6];
        size_t count;
        bool out;
    } ROWS[] = {
        {{0, 9800, 9800, 10000}, 4, false},
        {{0, 9801, 9801}, 3, true}, /* a beat took it over the bound */
        {{10001}, 1, true},
        {{10001, 9999, 9999, 9999}, 4, true}, /* within the bound is not enough */
        {{10001, 7001, 7001, 7001}, 4, true},
        {{10001, 7000}, 2, true}, /* once is not enough */
        {{10001, 7000, 7000}, 3, false},
        {{10001, 0, 0}, 3, false},
        {{10001, 7000, 8000, 7000}, 4, true}, /* not one after the other */
        {{10001, 7000, -1, 7000}, 4, true},
        {{-1, -1, -1}, 3, false}, /* unknown is candidates.h's business */
        {{60000, 0, 60000, 0, 60000, 0}, 6, true},
    };
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        pcl_lag_gate gate = {0};
        uint64_t now_us = 1000 * PCL_US_PER_S;
        (void)s_changes(&gate, ROWS[row].lags_ms, ROWS[row].count, &now_us);
        if (gate.out != ROWS[row].out) {
            fail_msg("row %zu", row);
        }
    }
}

/* Every reply carries a report: many of one moment are not two that agree. */
static void test_reports_of_one_moment_count_once(void **state)
{
    (void)state;
    pcl_lag_gate gate = {0};
    uint64_t now_us = 1000 * PCL_US_PER_S;
    (void)pcl_lag_gate_note(&gate, 20000, LAG_MAX_MS, now_us);
    for (int report = 0; report < 100; report++) {
        now_us += PCL_US_PER_MS;
        assert_false(pcl_lag_gate_note(&gate, 0, LAG_MAX_MS, now_us));
    }
    assert_true(gate.out);
    assert_true(pcl_lag_gate_note(&gate, 0, LAG_MAX_MS, now_us + PCL_LAG_SETTLED_US));
}

/* Up to a minute and down again, and hovering about the bound on the way. */
static void test_a_lag_that_comes_and_goes_is_one_absence(void **state)
{
    (void)state;
    pcl_rng chance = pcl_test_rng("lag-gate");
    for (int run = 0; run < 100; run++) {
        pcl_lag_gate gate = {0};
        uint64_t now_us = 1000 * PCL_US_PER_S;
        uint32_t changes = 0;
        for (int step = 0; step <= 600; step++) { /* two minutes of beats */
            int32_t level_ms = step <= 300 ? step * 200 : (600 - step) * 200;
            int32_t noise_ms = (int32_t)pcl_rng_below(&chance, 2501) - 1250;
            int32_t lag_ms = level_ms + noise_ms > 0 ? level_ms + noise_ms : 0;
            changes += s_changes(&gate, &lag_ms, 1, &now_us);
        }
        assert_int_equal(changes, 2);
        assert_false(gate.out);
    }
}

/* Between reports a lag grows, and whoever asks is told so: what the age of a report has taken over
 * the bound must not come back with the next one, since noise makes it a little better. */
static void test_a_lag_that_grew_over_the_bound_between_reports_has_left(void **state)
{
    (void)state;
    static const struct {
        int32_t before_ms, after_ms;
        uint32_t gap_ms;
        bool out;
    } ROWS[] = {
        {9900, 9800, 100, false}, /* just within, to the last millisecond */
        {9900, 9800, 101, true},    {9900, 7000, 200, true}, /* low, but not settled */
        {9900, 0, 200, true},       {9900, -1, 200, true},      {9900, 9900, 600, true},
        {9900, 9900, 601, false}, /* that was silence, not lag */
        {8000, 8000, 2100, false},  {8000, 8000, 60000, false}, {7001, 7001, 3000, false},
        {7000, 7000, 60000, false}, {0, 0, 60000, false},       {-1, 9999, 60000, false},
    };
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        pcl_lag_gate gate = {0};
        uint64_t now_us = 1000 * PCL_US_PER_S;
        (void)pcl_lag_gate_note(&gate, ROWS[row].before_ms, LAG_MAX_MS, now_us);
        now_us += ROWS[row].gap_ms * PCL_US_PER_MS;
        assert_false(pcl_lag_gate_note(&gate, ROWS[row].after_ms, LAG_MAX_MS, now_us));
        if (gate.out != ROWS[row].out) {
            fail_msg("row %zu", row);
        }
    }
}

/* How long it was away counts from the moment at which it was left out. */
static void test_growth_leaves_at_the_moment_of_the_bound(void **state)
{
    (void)state;
    pcl_lag_gate gate = {0};
    uint64_t now_us = 1000 * PCL_US_PER_S;
    (void)pcl_lag_gate_note(&gate, 9900, LAG_MAX_MS, now_us);
    (void)pcl_lag_gate_note(&gate, 9950, LAG_MAX_MS, now_us + 400 * PCL_US_PER_MS);
    assert_true(gate.out);
    assert_int_equal(gate.out_us, now_us + 100 * PCL_US_PER_MS);
    (void)pcl_lag_gate_note(&gate, 10300, LAG_MAX_MS, now_us + 600 * PCL_US_PER_MS);
    assert_int_equal(gate.out_us, now_us + 100 * PCL_US_PER_MS);
}

/* As a proxy sees it that asks all the time: reports every 200 ms, each up to half a second too
 * high, of a lag that grows by a second a second, and shrinks.  Left out once, taken once. */
static void test_who_asks_between_reports_sees_one_absence(void **state)
{
    (void)state;
    pcl_rng chance = pcl_test_rng("lag-gate-asked");
    for (int run = 0; run < 100; run++) {
        pcl_lag_gate gate = {0};
        uint64_t start_us = 1000 * PCL_US_PER_S;
        uint64_t reported_us = start_us;
        int32_t reported_ms = 0;
        uint32_t changes = 0;
        bool was = false;
        for (uint64_t at_ms = 0; at_ms < 40000; at_ms += 20) {
            uint64_t now_us = start_us + at_ms * PCL_US_PER_MS;
            int32_t lag_ms = (int32_t)(at_ms < 20000 ? at_ms : 40000 - at_ms);
            if (at_ms % BEAT_MS == 0) {
                reported_ms = lag_ms + (int32_t)pcl_rng_below(&chance, 501);
                reported_us = now_us;
                (void)pcl_lag_gate_note(&gate, reported_ms, LAG_MAX_MS, now_us);
            }
            uint64_t bound_ms = (uint64_t)reported_ms + (now_us - reported_us) / PCL_US_PER_MS;
            bool out = gate.out || bound_ms > LAG_MAX_MS;
            changes += out != was ? 1 : 0;
            was = out;
        }
        assert_int_equal(changes, 2);
    }
}

static void test_a_bound_of_nothing_is_one(void **state)
{
    (void)state;
    pcl_lag_gate gate = {0};
    assert_false(pcl_lag_gate_note(&gate, 0, 0, PCL_US_PER_S));
    assert_false(gate.out);
    assert_false(pcl_lag_gate_note(&gate, 1, 0, PCL_US_PER_S));
    assert_true(gate.out);
    assert_false(pcl_lag_gate_note(&gate, 0, 0, 2 * PCL_US_PER_S));
    assert_true(pcl_lag_gate_note(&gate, 0, 0, 3 * PCL_US_PER_S));
    assert_false(pcl_lag_gate_note(&gate, INT32_MAX, UINT32_MAX, 4 * PCL_US_PER_S));
    assert_false(gate.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_leaves_and_what_returns),
        cmocka_unit_test(test_reports_of_one_moment_count_once),
        cmocka_unit_test(test_a_lag_that_comes_and_goes_is_one_absence),
        cmocka_unit_test(test_a_lag_that_grew_over_the_bound_between_reports_has_left),
        cmocka_unit_test(test_growth_leaves_at_the_moment_of_the_bound),
        cmocka_unit_test(test_who_asks_between_reports_sees_one_absence),
        cmocka_unit_test(test_a_bound_of_nothing_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
