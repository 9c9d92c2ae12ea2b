/* The simulator: its parts, that a run repeats itself, that baselines come out as
 * published, and that `custom` keeps what it must at a reduced size.  The runs
 * are simulated from fixed seeds: they take no notice of the machine. */
#include "bench/sim/dice.h"
#include "bench/sim/heap.h"
#include "bench/sim/table.h"
#include "bench/sim/world.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { THREADS = 2 };

static void events_come_in_the_order_of_their_times_and_then_of_adding(void **state)
{
    (void)state;
    sim_heap heap = {0};
    pcl_rng rng = pcl_rng_from_seed(7);
    enum { COUNT = 2000 };
    for (uint32_t index = 0; index < COUNT; index++) {
        sim_heap_add(&heap, (sim_event){.at_us = pcl_rng_below(&rng, 100), .a = index});
    }
    sim_event last = {0};
    for (uint32_t index = 0; index < COUNT; index++) {
        sim_event event;
        assert_true(sim_heap_take(&heap, &event));
        assert_true(event.at_us > last.at_us || (event.at_us == last.at_us && event.a >= last.a));
        last = event;
    }
    assert_false(sim_heap_take(&heap, &last));
    sim_heap_free(&heap);
}

static void dice_have_the_means_they_promise(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(11);
    enum { COUNT = 200000 };
    double sums[3] = {0};
    for (uint32_t index = 0; index < COUNT; index++) {
        sums[0] += sim_exponential(&rng, 5);
        sums[1] += sim_normal(&rng, 5, 2);
        sums[2] += sim_lognormal(&rng, 5, 1);
    }
    for (uint32_t index = 0; index < 3; index++) {
        assert_true(fabs(sums[index] / COUNT - 5) < 0.1);
    }
}

static const sim_table *s_table(const char *name)
{
    for (uint32_t index = 0; SIM_TABLES[index] != NULL; index++) {
        if (strcmp(SIM_TABLES[index]->name, name) == 0) {
            return SIM_TABLES[index];
        }
    }
    fail_msg("no table is called %s", name);
    return NULL;
}

static const sim_scenario *s_scenario(const char *table_name, const char *name)
{
    const sim_table *table = s_table(table_name);
    for (uint32_t index = 0; index < table->scenario_count; index++) {
        if (strcmp(table->scenarios[index].name, name) == 0) {
            return &table->scenarios[index];
        }
    }
    fail_msg("no scenario is called %s", name);
    return NULL;
}

static void every_name_in_a_table_is_a_policy(void **state)
{
    (void)state;
    for (uint32_t index = 0; SIM_TABLES[index] != NULL; index++) {
        const sim_table *table = SIM_TABLES[index];
        for (uint32_t place = 0; table->policies[place] != NULL; place++) {
            assert_non_null(sim_policy_find(table->policies[place]));
        }
        for (uint32_t place = 0; place < table->published_count; place++) {
            assert_non_null(sim_policy_find(table->published[place].policy));
            (void)s_scenario(table->name, table->published[place].scenario);
        }
    }
    assert_null(sim_policy_find("nobody"));
}

/* Of one scenario, shortened: one run a policy and seed. */
static double s_figure(const char *table, const char *scenario_name, const char *policy,
                       double run_s, uint64_t seed, sim_figure figure)
{
    sim_scenario scenario = *s_scenario(table, scenario_name);
    scenario.run_s = run_s > 0 ? run_s : scenario.run_s;
    sim_result result;
    sim_run(&scenario, sim_policy_find(policy), seed, &result);
    return result.figures[figure];
}

static void a_run_repeats_itself(void **state)
{
    (void)state;
    sim_scenario scenario = *s_scenario("matrix", "gc200ms");
    scenario.run_s = 4;
    sim_result first;
    sim_result second;
    sim_run(&scenario, sim_policy_find("custom-hedged"), 3, &first);
    sim_run(&scenario, sim_policy_find("custom-hedged"), 3, &second);
    assert_memory_equal(first.figures, second.figures, sizeof first.figures);
    sim_run(&scenario, sim_policy_find("custom-hedged"), 4, &second);
    assert_memory_not_equal(first.figures, second.figures, sizeof first.figures);
}

/* Four seeds leave some per cent of chance; a fault of the model is much more. */
static void baselines_come_out_as_published(void **state)
{
    (void)state;
    sim_runs runs = {.table = s_table("2a-stale"), .seed_first = 1, .seed_count = 4};
    static const char *const NAMES[] = {"jsq", "sed", "p2c"};
    for (uint32_t index = 0; index < 3; index++) {
        runs.policies[runs.policy_count++] = sim_policy_find(NAMES[index]);
    }
    sim_runs_do(&runs, THREADS, 1);
    for (uint32_t scenario = 0; scenario < runs.table->scenario_count; scenario++) {
        for (uint32_t policy = 0; policy < runs.policy_count; policy++) {
            double published = sim_table_published(runs.table, scenario,
                                                   runs.policies[policy]->name);
            double median = sim_runs_median(&runs, scenario, policy, SIM_P99_MS, NULL, NULL);
            if (!(fabs(median / published - 1) < 0.2)) {
                fail_msg("%s, %s: %.0f ms, published %.0f", runs.policies[policy]->name,
                         runs.table->scenarios[scenario].name, median, published);
            }
        }
    }
    sim_runs_free(&runs);
}

static void linkerds_rules_answer_what_they_answered(void **state)
{
    (void)state;
    static const char *const RULES[] = {"round-robin", "least-inflight"};
    static const double PUBLISHED[] = {95, 99};
    for (uint32_t index = 0; index < 2; index++) {
        double answered = s_figure("2b", "answered %", RULES[index], 0, 1, SIM_ANSWERED_PERCENT);
        assert_true(fabs(answered - PUBLISHED[index]) < 1);
    }
}

typedef struct s_must {
    const char *table, *scenario;
    double run_s;
    double p99, p999; /* times the oracle's at most; 0: not looked at */
    double watched;   /* percent of the queries at most */
} s_must;

/* Wider than what a full run must keep: there are fewer queries here. */
static const s_must MUSTS[] = {
    {"matrix", "hom .5", 8, 1.03, 1.10, 100},  {"matrix", "hom .9", 8, 1.05, 1.10, 100},
    {"matrix", "1slow3x", 8, 1.05, 1.15, 1},   {"matrix", "1slow10x", 8, 1.05, 1.15, 0.3},
    {"matrix", "flap5x", 12, 1.05, 1.15, 100}, {"matrix", "burst40", 8, 1.05, 1.10, 100},
    {"matrix", "zone3x", 8, 1.10, 1.20, 100},  {"matrix", "noisy", 12, 1.15, 1.30, 100},
    {"matrix", "hang5s", 12, 1.05, 1.15, 100}, {"matrix", "fastfail", 12, 1.05, 1.15, 100},
    {"matrix", "K16 .9", 8, 1.06, 1.10, 100},  {"matrix", "overload", 18, 1.05, 0, 100},
    {"more", "no beats", 12, 1.05, 1.10, 100}, {"2a-proxies", "K=1", 30, 1.12, 0, 100},
    {"2a-proxies", "K=16", 30, 1.70, 0, 100},
};

static void custom_keeps_what_it_must(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof MUSTS / sizeof MUSTS[0]; index++) {
        const s_must *must = &MUSTS[index];
        sim_scenario scenario = *s_scenario(must->table, must->scenario);
        scenario.run_s = must->run_s;
        sim_result oracle;
        sim_result custom;
        sim_run(&scenario, sim_policy_find("oracle"), 1, &oracle);
        sim_run(&scenario, sim_policy_find("custom"), 1, &custom);
        double p99 = custom.figures[SIM_P99_MS] / oracle.figures[SIM_P99_MS];
        double p999 = custom.figures[SIM_P999_MS] / oracle.figures[SIM_P999_MS];
        double watched = custom.figures[SIM_WATCHED_PERCENT];
        if (!(p99 <= must->p99) || (must->p999 > 0 && !(p999 <= must->p999)) ||
            !(watched <= must->watched)) {
            fail_msg("%s: p99 %.3f, p99.9 %.3f of the oracle's; %.2f%% to the watched node",
                     must->scenario, p99, p999, watched);
        }
    }
}

static void bounds_can_be_missed(void **state)
{
    (void)state;
    double oracle = s_figure("matrix", "1slow3x", "oracle", 8, 1, SIM_P99_MS);
    double random = s_figure("matrix", "1slow3x", "random", 8, 1, SIM_P99_MS);
    assert_true(random > 10 * oracle);
}

static void failing_fast_attracts_nobody_and_retries_hide_it(void **state)
{
    (void)state;
    double failed = s_figure("matrix", "fastfail", "custom", 12, 1, SIM_FAILED_PERCENT);
    assert_true(failed > 0 && failed <= 0.1);
    failed = s_figure("more", "fastfail+retry", "custom", 12, 1, SIM_FAILED_PERCENT);
    assert_true(failed <= 0);
}

static void hedges_cut_the_tail_of_pauses(void **state)
{
    (void)state;
    double plain = s_figure("matrix", "gc200ms", "custom", 12, 1, SIM_P999_MS);
    sim_scenario scenario = *s_scenario("matrix", "gc200ms");
    scenario.run_s = 12;
    sim_result hedged;
    sim_run(&scenario, sim_policy_find("custom-hedged"), 1, &hedged);
    assert_true(hedged.figures[SIM_P999_MS] < plain / 2);
    assert_true(hedged.figures[SIM_HEDGED_PERCENT] > 0);
    assert_true(hedged.figures[SIM_HEDGED_PERCENT] <= 5);
}

static void nothing_is_read_beyond_the_bound_on_lag(void **state)
{
    (void)state;
    sim_scenario scenario = *s_scenario("more", "lag 60s");
    scenario.run_s = 18;
    sim_result result;
    sim_run(&scenario, sim_policy_find("custom"), 1, &result);
    assert_true(result.figures[SIM_STALE_COUNT] <= 0);
    assert_true(result.figures[SIM_LAG_MOVES] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_the_order_of_their_times_and_then_of_adding),
        cmocka_unit_test(dice_have_the_means_they_promise),
        cmocka_unit_test(every_name_in_a_table_is_a_policy),
        cmocka_unit_test(a_run_repeats_itself),
        cmocka_unit_test(baselines_come_out_as_published),
        cmocka_unit_test(linkerds_rules_answer_what_they_answered),
        cmocka_unit_test(custom_keeps_what_it_must),
        cmocka_unit_test(bounds_can_be_missed),
        cmocka_unit_test(failing_fast_attracts_nobody_and_retries_hide_it),
        cmocka_unit_test(hedges_cut_the_tail_of_pauses),
        cmocka_unit_test(nothing_is_read_beyond_the_bound_on_lag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
