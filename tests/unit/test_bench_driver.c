/* What portcullis-bench reckons: histograms against exact percentiles, arrivals against their rate,
 * values within their bounds, tallies and the reasons to doubt them.  Random cases are replayed
 * with PCL_TEST_SEED=<seed>. */
#include "bench/driver/arrivals.h"
#include "bench/driver/report.h"
#include "bench/driver/tally.h"
#include "bench/driver/values.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define VALUES 20000u

static int s_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void test_percentiles_are_within_a_hundredth(void **state)
{
    (void)state;
    static uint64_t values[VALUES];
    static pcl_histogram halves[2];
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0};
    pcl_rng rng = pcl_test_rng("histogram");
    memset(halves, 0, sizeof halves);
    for (size_t index = 0; index < VALUES; index++) {
        values[index] = pcl_rng_next(&rng) >> (32 + pcl_rng_below(&rng, 32));
        pcl_histogram_note(&halves[index % 2], values[index]);
    }
    pcl_histogram_merge(&halves[0], &halves[1]);
    qsort(values, VALUES, sizeof values[0], s_compare);
    assert_int_equal(VALUES, halves[0].count);
    assert_int_equal(values[VALUES - 1], halves[0].max);
    for (size_t index = 0; index < sizeof shares / sizeof shares[0]; index++) {
        size_t rank = (size_t)ceil(shares[index] * VALUES);
        uint64_t exact = values[rank - 1];
        uint64_t told = pcl_histogram_at(&halves[0], shares[index]);
        assert_true(told >= exact);
        assert_true((double)told <= (double)exact * 1.008 + 1.0);
    }
}

static void test_a_histogram_takes_the_smallest_and_the_greatest(void **state)
{
    (void)state;
    static pcl_histogram values;
    memset(&values, 0, sizeof values);
    assert_int_equal(0, pcl_histogram_at(&values, 0.99));
    assert_true(fabs(pcl_histogram_mean(&values)) < 1e-9);
    pcl_histogram_note(&values, 0);
    assert_int_equal(0, pcl_histogram_at(&values, 1.0));
    pcl_histogram_note(&values, UINT64_MAX); /* noted as the greatest that it knows */
    assert_int_equal(PCL_HISTOGRAM_VALUE_MAX, pcl_histogram_at(&values, 1.0));
    assert_int_equal(0, pcl_histogram_at(&values, 0.5));
    uint32_t cursor = 0;
    uint64_t edge = 7;
    uint64_t count = 0;
    assert_true(pcl_histogram_each(&values, &cursor, &edge, &count));
    assert_int_equal(0, edge);
    assert_int_equal(1, count);
    assert_true(pcl_histogram_each(&values, &cursor, &edge, &count));
    assert_int_equal(PCL_HISTOGRAM_VALUE_MAX, edge);
    assert_false(pcl_histogram_each(&values, &cursor, &edge, &count));
}

/* Against HdrHistogram's own loop, value by value. */
static void test_waits_stand_for_those_that_would_have_come_meanwhile(void **state)
{
    (void)state;
    static pcl_histogram values;
    static pcl_histogram wanted;
    static pcl_histogram corrected;
    pcl_rng rng = pcl_test_rng("correct");
    for (int turn = 0; turn < 5; turn++) {
        uint64_t interval = 1 + pcl_rng_below(&rng, 500);
        memset(&values, 0, sizeof values);
        memset(&wanted, 0, sizeof wanted);
        for (int count = 0; count < 300; count++) {
            /* under 256, so that a bucket is a value, and a few that are no edge but the greatest
             */
            uint64_t value = count < 299 ? pcl_rng_below(&rng, 256) : 100000;
            pcl_histogram_note(&values, value);
            pcl_histogram_note(&wanted, value);
            for (uint64_t left = value; left >= 2 * interval; left -= interval) {
                pcl_histogram_note(&wanted, left - interval);
            }
        }
        pcl_histogram_correct(&values, interval, &corrected);
        assert_int_equal(wanted.count, corrected.count);
        assert_int_equal(wanted.sum, corrected.sum);
        assert_int_equal(wanted.max, corrected.max);
        assert_memory_equal(wanted.counts, corrected.counts, sizeof wanted.counts);
    }
}

static void test_a_coarse_histogram_is_within_four_hundredths(void **state)
{
    (void)state;
    static uint64_t values[VALUES];
    static pcl_coarse halves[2];
    static const double shares[] = {0.001, 0.5, 0.99, 1.0};
    pcl_rng rng = pcl_test_rng("coarse");
    memset(halves, 0, sizeof halves);
    assert_int_equal(0, pcl_coarse_at(&halves[0], 0.5));
    for (size_t index = 0; index < VALUES; index++) {
        values[index] = pcl_rng_next(&rng) >> (32 + pcl_rng_below(&rng, 32));
        pcl_coarse_note(&halves[index % 2], values[index]);
    }
    pcl_coarse_merge(&halves[0], &halves[1]);
    qsort(values, VALUES, sizeof values[0], s_compare);
    for (size_t index = 0; index < sizeof shares / sizeof shares[0]; index++) {
        uint64_t exact = values[(size_t)ceil(shares[index] * VALUES) - 1];
        uint64_t told = pcl_coarse_at(&halves[0], shares[index]);
        assert_true(told >= exact);
        assert_true((double)told <= (double)exact * 1.032 + 1.0);
    }
    pcl_coarse_note(&halves[0], UINT64_MAX);
    assert_int_equal(PCL_HISTOGRAM_VALUE_MAX, pcl_coarse_at(&halves[0], 1.0));
    halves[1].counts[7] = UINT32_MAX; /* stays there */
    pcl_coarse_note(&halves[1], 7);
    pcl_coarse_merge(&halves[1], &halves[1]);
    assert_int_equal(UINT32_MAX, halves[1].counts[7]);
}

static void test_arrivals_keep_their_rate_and_their_seed(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("arrivals");
    uint64_t seed = pcl_rng_next(&rng);
    pcl_arrivals poisson = pcl_arrivals_of(PCL_ARRIVALS_POISSON, 1000.0, seed);
    pcl_arrivals again = pcl_arrivals_of(PCL_ARRIVALS_POISSON, 1000.0, seed);
    pcl_arrivals fixed = pcl_arrivals_of(PCL_ARRIVALS_FIXED, 1000.0, seed);
    uint64_t last_us = 0;
    double squares = 0.0;
    for (uint32_t count = 1; count <= VALUES; count++) {
        uint64_t at_us = pcl_arrivals_next_us(&poisson);
        assert_true(at_us >= last_us);
        squares += (double)(at_us - last_us) * (double)(at_us - last_us);
        last_us = at_us;
        assert_int_equal(at_us, pcl_arrivals_next_us(&again));
        assert_int_equal(count * 1000, pcl_arrivals_next_us(&fixed));
    }
    double mean_us = (double)last_us / VALUES;
    assert_true(mean_us > 950.0 && mean_us < 1050.0);
    double spread = sqrt(squares / VALUES - mean_us * mean_us) / mean_us;
    assert_true(spread > 0.9 && spread < 1.1); /* exponential gaps vary by their mean */
}

/* Between two times as many come as the area under the rate says. */
static void test_a_ramp_goes_from_one_rate_to_the_other(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("ramp");
    uint64_t seed = pcl_rng_next(&rng);
    static const pcl_arrivals_rate rates[] = {
        {.from = 1000, .to = 5000, .hold_us = 1000000, .ramp_us = 4000000},
        {.from = 5000, .to = 1000, .hold_us = 1000000, .ramp_us = 4000000},
    };
    for (size_t index = 0; index < 2; index++) {
        const pcl_arrivals_rate *rate = &rates[index];
        pcl_arrivals fixed = pcl_arrivals_ramp(PCL_ARRIVALS_FIXED, *rate, seed);
        pcl_arrivals poisson = pcl_arrivals_ramp(PCL_ARRIVALS_POISSON, *rate, seed);
        uint32_t even[7] = {0};
        uint32_t chance[7] = {0};
        uint64_t last_us = 0;
        for (uint64_t at_us = 0; (at_us = pcl_arrivals_next_us(&fixed)) < 7000000;) {
            assert_true(at_us >= last_us);
            last_us = at_us;
            even[at_us / 1000000]++;
        }
        for (uint64_t at_us = 0; (at_us = pcl_arrivals_next_us(&poisson)) < 7000000;) {
            chance[at_us / 1000000]++;
        }
        double step = (rate->to - rate->from) / 4.0;
        for (uint32_t second = 0; second < 7; second++) {
            double wanted = second < 1   ? rate->from
                            : second < 5 ? rate->from + step * (second - 0.5)
                                         : rate->to;
            assert_true(fabs(even[second] - wanted) <= 2.0);
            assert_true(fabs(chance[second] - wanted) < 6.0 * sqrt(wanted));
        }
    }
}

static void test_values_stay_within_their_rule(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("values");
    pcl_value_rule rule;
    assert_true(pcl_value_parse("int:-3..3", &rule));
    uint32_t seen = 0;
    for (int count = 0; count < 1000; count++) {
        int64_t value = pcl_value_draw_int(&rule, &rng);
        assert_true(value >= -3 && value <= 3);
        seen |= 1u << (value + 3);
    }
    assert_int_equal(0x7f, seen);
    assert_true(pcl_value_parse("real:0.5..2", &rule));
    for (int count = 0; count < 1000; count++) {
        double value = pcl_value_draw_real(&rule, &rng);
        assert_true(value >= 0.5 && value <= 2.0);
    }
    assert_true(pcl_value_parse("exp:0.005", &rule));
    double sum = 0.0;
    for (uint32_t count = 0; count < VALUES; count++) {
        sum += pcl_value_draw_real(&rule, &rng);
    }
    assert_true(sum / VALUES > 0.0047 && sum / VALUES < 0.0053);
    assert_true(pcl_value_parse("text:8", &rule));
    char text[9] = "........";
    pcl_value_draw_text(&rule, &rng, text);
    assert_int_equal(8, strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789"));
}

static void test_what_is_no_rule_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "int",
                                        "int:",
                                        "int:1",
                                        "int:1..",
                                        "int:..1",
                                        "int:2..1",
                                        "int:1..x",
                                        "real:1",
                                        "real:2..1",
                                        "real:1..inf",
                                        "exp:",
                                        "exp:0",
                                        "exp:-1",
                                        "exp:nan",
                                        "text:-1",
                                        "text:1025",
                                        "text:1x",
                                        "same:0",
                                        "same:65",
                                        "same:x",
                                        "words:3",
                                        "5",
                                        "int: 1.. 2x",
                                        "int:1...2",
                                        "int:0..99999999999",
                                        "int:-9223372036854775808..9223372036854775807"};
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        pcl_value_rule rule = {.kind = PCL_VALUE_TEXT, .size = 7};
        assert_false(pcl_value_parse(wrong[index], &rule));
        assert_int_equal(7, rule.size);
    }
}

static void test_a_failure_counts_its_whole_timeout(void **state)
{
    (void)state;
    static pcl_tally tally;
    static pcl_tally sum;
    memset(&tally, 0, sizeof tally);
    memset(&sum, 0, sizeof sum);
    pcl_tally_route route = {.node = "node2", .attempts = 3, .hedged = true};
    pcl_tally_note_ok(&tally, 900, true, &route);
    pcl_tally_note_ok(&tally, 1100, false, &route);
    char message[400];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    memcpy(message + PCL_TALLY_MESSAGE_SIZE - 2, "\xc3\xa4", 2); /* it would be cut in two */
    pcl_tally_note_failure(&tally, "OVERLOADED", message, 10, 5000000, &route);
    tally.time_us = 1000000;
    pcl_tally_merge(&sum, &tally);
    pcl_tally_merge(&sum, &tally);
    assert_int_equal(2, pcl_tally_failures(&sum));
    assert_int_equal(5000000, pcl_histogram_at(&sum.all_us, 1.0));
    assert_int_equal(1100, pcl_histogram_at(&sum.ok_us, 1.0));
    assert_true(fabs(pcl_tally_throughput(&sum) - 1.0) < 1e-9);
    assert_int_equal(12, sum.retries);
    assert_int_equal(6, sum.hedged);
    assert_int_equal(1, sum.node_count);
    assert_int_equal(4, sum.nodes[0].count);
    assert_int_equal(1, sum.code_count);
    assert_string_equal("OVERLOADED", sum.codes[0].name);
    assert_int_equal(PCL_TALLY_MESSAGE_SIZE - 2, strlen(sum.codes[0].message));
    assert_int_equal(2, sum.codes[0].count);
}

/* A driver that is itself behind must say so. */
static void test_a_late_driver_and_a_busy_machine_are_doubted(void **state)
{
    (void)state;
    static pcl_tally tally;
    char reason[160] = "";
    pcl_tally_route route = {.attempts = 1};
    memset(&tally, 0, sizeof tally);
    for (int count = 0; count < 100; count++) {
        pcl_tally_note_sent(&tally, 20);
        pcl_tally_note_ok(&tally, 5000, true, &route);
    }
    assert_false(pcl_tally_doubt(&tally, reason, sizeof reason));
    for (int count = 0; count < 5; count++) { /* of 105: at p99 it shows */
        pcl_tally_note_sent(&tally, 4000);
        pcl_tally_note_ok(&tally, 9000, true, &route);
    }
    assert_true(pcl_tally_doubt(&tally, reason, sizeof reason));
    assert_non_null(strstr(reason, "after they were due"));
    memset(&tally, 0, sizeof tally);
    tally.machine = 200;
    tally.busy = 190;
    assert_false(pcl_tally_doubt(&tally, reason, sizeof reason));
    tally.busy = 191;
    assert_true(pcl_tally_doubt(&tally, reason, sizeof reason));
    tally.unsent = 1;
    assert_true(pcl_tally_doubt(&tally, reason, sizeof reason));
    assert_non_null(strstr(reason, "no room"));
}

/* A plan of one statement, for reports. */
static void s_make_plan(pcl_plan *plan)
{
    char problem[PCL_MIX_PROBLEM_SIZE];
    *plan = (pcl_plan){.workload = "sql",
                       .rate = 10,
                       .rate_end = 10,
                       .connections = 1,
                       .rounds = 2,
                       .timeout_ms = 5000,
                       .started = "2026-11-23T05:00:00Z",
                       .labels = {{.name = "condition=slow", .name_size = 9, .value = "sl\"ow"}},
                       .label_count = 1,
                       .strategies = {"random", "custom"},
                       .strategy_count = 2};
    pcl_mix_init(&plan->mix);
    assert_true(pcl_mix_add_part(&plan->mix, "sql", 1, false, problem));
    assert_true(
        pcl_mix_add_statement(&plan->mix, pcl_bytes_text("SELECT \"1\""), NULL, 0, problem));
}

static bool s_has(pcl_buffer *text, const char *wanted)
{
    pcl_buffer_put_u8(text, 0);
    bool found = strstr((const char *)text->data, wanted) != NULL;
    pcl_buffer_truncate(text, text->size - 1);
    return found;
}

static void test_what_was_not_measured_is_not_shown(void **state)
{
    (void)state;
    static pcl_plan plan;
    static pcl_report_row rows[2];
    static pcl_tally tally;
    pcl_series series;
    memset(rows, 0, sizeof rows);
    memset(&tally, 0, sizeof tally);
    s_make_plan(&plan);
    assert_true(pcl_series_init(&series, 10000000, 100));
    rows[0].strategy = "random";
    rows[1].strategy = "custom";
    pcl_tally_route route = {.node = "node2", .attempts = 1};
    pcl_tally_note_ok(&tally, 1234, true, &route);
    pcl_tally_note_part(&tally, 0, 1234, true);
    pcl_series_cell_note(&series.cells[2], 1234, true);
    assert_true(pcl_report_add(&rows[0], 1, 1500000, &tally, &series));
    memset(&tally, 0, sizeof tally);
    /* interrupted before anything came */
    assert_true(pcl_report_add(&rows[0], 2, 2500000, &tally, &series));
    assert_int_equal(1, rows[0].round_count);
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_report_text(&plan, rows, true, &text);
    assert_true(s_has(&text, "INTERRUPTED"));
    assert_true(s_has(&text, "random"));
    assert_true(s_has(&text, "condition sl\"ow"));
    assert_false(s_has(&text, "custom"));
    assert_true(s_has(&text, "when a request was due"));
    assert_false(s_has(&text, "even pace"));
    pcl_buffer_clear(&text);
    pcl_report_json(&plan, rows, true, &text);
    assert_true(s_has(&text, "\"sql\":\"SELECT \\\"1\\\"\""));
    assert_true(s_has(&text, "\"labels\":{\"condition\":\"sl\\\"ow\"}"));
    assert_true(s_has(&text, "\"interrupted\":true"));
    assert_true(s_has(&text, "\"p99\":1234"));
    assert_true(s_has(&text, "\"latency_buckets\":[[1239,1]]"));
    assert_true(s_has(&text, "\"series\":[{\"round\":1,\"second\":0,\"ok\":0,\"failed\":0,"
                             "\"p50_us\":null,\"p99_us\":null}"));
    assert_true(s_has(&text, "{\"round\":1,\"second\":2,\"ok\":1,\"failed\":0,\"p50_us\":1234,"
                             "\"p99_us\":1234}]"));
    assert_true(s_has(&text, "\"rounds\":[{\"round\":1,\"start_s\":1.500,"));
    assert_false(s_has(&text, "nan"));
    assert_false(s_has(&text, "latency_corrected_us"));
    pcl_buffer_clear(&text);
    pcl_report_csv(&plan, rows, &text);
    assert_true(s_has(&text, "\nrandom,0,1,1,0,0,0,"));
    assert_true(s_has(&text, "\nrandom,1,1,1,0,0,0,"));
    assert_false(s_has(&text, "custom"));
    pcl_buffer_release(&text);
    pcl_series_release(&series);
    pcl_report_row_release(&rows[0]);
    pcl_mix_release(&plan.mix);
}

/* A client of a closed loop that waited ten times as long stands for those that would have come
 * meanwhile, and everybody who reads of it is told. */
static void test_a_closed_loop_says_what_it_hides(void **state)
{
    (void)state;
    static pcl_plan plan;
    static pcl_report_row rows[2];
    static pcl_tally tally;
    pcl_series series;
    memset(rows, 0, sizeof rows);
    memset(&tally, 0, sizeof tally);
    s_make_plan(&plan);
    plan.rate = 0;
    plan.clients = 1;
    plan.strategy_count = 1;
    rows[0].strategy = "random";
    pcl_tally_route route = {.node = "node2", .attempts = 1};
    for (int request = 0; request < 10; request++) {
        pcl_tally_note_ok(&tally, request < 9 ? 1000 : 10000, true, &route);
    }
    assert_true(pcl_series_init(&series, 10000000, 100));
    assert_true(pcl_report_add(&rows[0], 1, 0, &tally, &series));
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_report_text(&plan, rows, false, &text);
    assert_true(s_has(&text, "when a client sent a request"));
    assert_true(s_has(&text, "at an even pace: p50 1.00  p99 10.00  p99.9 10.00 ms"));
    pcl_buffer_clear(&text);
    pcl_report_json(&plan, rows, false, &text);
    assert_true(s_has(&text, "\"latency_corrected_us\":{\"count\":18,"));
    pcl_buffer_clear(&text);
    pcl_report_csv(&plan, rows, &text);
    assert_true(s_has(&text, "corrected_p50_us,corrected_p99_us,corrected_p999_us\n"));
    assert_true(s_has(&text, ",1003,10000,10000\nrandom,1,"));
    pcl_buffer_release(&text);
    pcl_series_release(&series);
    pcl_report_row_release(&rows[0]);
    pcl_mix_release(&plan.mix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles_are_within_a_hundredth),
        cmocka_unit_test(test_a_histogram_takes_the_smallest_and_the_greatest),
        cmocka_unit_test(test_waits_stand_for_those_that_would_have_come_meanwhile),
        cmocka_unit_test(test_a_coarse_histogram_is_within_four_hundredths),
        cmocka_unit_test(test_arrivals_keep_their_rate_and_their_seed),
        cmocka_unit_test(test_a_ramp_goes_from_one_rate_to_the_other),
        cmocka_unit_test(test_values_stay_within_their_rule),
        cmocka_unit_test(test_what_is_no_rule_is_refused),
        cmocka_unit_test(test_a_failure_counts_its_whole_timeout),
        cmocka_unit_test(test_a_late_driver_and_a_busy_machine_are_doubted),
        cmocka_unit_test(test_what_was_not_measured_is_not_shown),
        cmocka_unit_test(test_a_closed_loop_says_what_it_hides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
