/* Strategies: what each promises, first on snapshots, then on a small fleet
 * that is simulated with the very bookkeeping of the proxy.  Everything random
 * comes from the printed seed. */
#include "proxy/strategy.h"

#include "common/clock.h"
#include "common/limits.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 8, WORKERS = 8, WAITING_MAX = 4096 };

static const uint64_t START_US = 1000 * PCL_US_PER_S;

/* --- Snapshots ------------------------------------------------------------- */

typedef struct s_fleet_view {
    pcl_candidate nodes[NODES_MAX];
    const pcl_candidate *views[NODES_MAX];
    uint32_t count;
    pcl_strategy_state state;
    pcl_rng rng;
    float costs[NODES_MAX];
} s_fleet_view;

static void s_fleet(s_fleet_view *self, uint32_t count, pcl_rng rng)
{
    *self = (s_fleet_view){.count = count, .rng = rng};
    for (uint32_t index = 0; index < count; index++) {
        self->nodes[index] = (pcl_candidate){.index = index,
                                             .role = PCL_NODE_REPLICA,
                                             .workers = WORKERS,
                                             .rtt_us = 100,
                                             .rtt_at_us = START_US,
                                             .sampled_us = START_US,
                                             .reported_us = START_US,
                                             .service_mean_us = 1000,
                                             .service_count = 100,
                                             .service_variance = 1e6f};
        self->views[index] = &self->nodes[index];
    }
}

static uint32_t s_choose(s_fleet_view *self, pcl_strategy_kind kind, uint64_t now_us)
{
    return pcl_strategy_choose(kind, &self->state,
                               &(pcl_choice_input){.candidates = self->views,
                                                   .count = self->count,
                                                   .now_us = now_us,
                                                   .rng = &self->rng,
                                                   .out_costs = self->costs});
}

/* Chi square of counts against equal shares, over its degrees of freedom, must
 * stay under what one run in a million exceeds (for 2 to 7 of them: under 14). */
static void assert_fair(const uint32_t *counts, uint32_t count)
{
    double sum = 0;
    for (uint32_t index = 0; index < count; index++) {
        sum += counts[index];
    }
    double expected = sum / count;
    double chi2 = 0;
    for (uint32_t index = 0; index < count; index++) {
        chi2 += (counts[index] - expected) * (counts[index] - expected) / expected;
    }
    if (chi2 / (count - 1) > 14) {
        fail_msg("unfair: chi2 %.1f with %u nodes", chi2, count);
    }
}

static void s_count(s_fleet_view *self, pcl_strategy_kind kind, uint32_t *counts, uint32_t turns)
{
    memset(counts, 0, NODES_MAX * sizeof *counts);
    for (uint32_t turn = 0; turn < turns; turn++) {
        uint32_t choice = s_choose(self, kind, START_US);
        assert_true(choice < self->count);
        counts[choice]++;
    }
}

static void test_direct_is_the_source_of_the_latest_term(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 4, pcl_rng_from_seed(1));
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_DIRECT, START_US), PCL_CHOICE_NONE);
    fleet.nodes[1].role = PCL_NODE_SOURCE;
    fleet.nodes[1].term = 4;
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_DIRECT, START_US), 1);
    fleet.nodes[3].role = PCL_NODE_SOURCE;
    fleet.nodes[3].term = 5;
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_DIRECT, START_US), 3);
}

static void test_random_gives_fair_shares(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    for (uint32_t count = 2; count <= NODES_MAX; count++) {
        s_fleet(&fleet, count, pcl_test_rng("random"));
        s_count(&fleet, PCL_STRATEGY_RANDOM, counts, 20000);
        assert_fair(counts, count);
    }
}

static void test_round_robin_turns_by_index(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 3, pcl_rng_from_seed(1));
    for (uint32_t turn = 0; turn < 9; turn++) {
        assert_int_equal(s_choose(&fleet, PCL_STRATEGY_ROUND_ROBIN, START_US), turn % 3);
    }
    /* Node 1 leaves: 0 and 2 take turns, and it is 2's after 0. */
    fleet.views[1] = &fleet.nodes[2];
    fleet.count = 2;
    static const uint32_t WITHOUT[] = {0, 2, 0, 2};
    for (uint32_t turn = 0; turn < 4; turn++) {
        uint32_t choice = s_choose(&fleet, PCL_STRATEGY_ROUND_ROBIN, START_US);
        assert_int_equal(fleet.views[choice]->index, WITHOUT[turn]);
    }
    /* It comes back, in any position. */
    fleet.views[0] = &fleet.nodes[2];
    fleet.views[1] = &fleet.nodes[1];
    fleet.views[2] = &fleet.nodes[0];
    fleet.count = 3;
    for (uint32_t turn = 0; turn < 6; turn++) {
        uint32_t choice = s_choose(&fleet, PCL_STRATEGY_ROUND_ROBIN, START_US);
        assert_int_equal(fleet.views[choice]->index, turn % 3);
    }
}

static void test_least_inflight_counts_own_and_foreign(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 3, pcl_rng_from_seed(1));
    fleet.nodes[0].own = 3;
    fleet.nodes[1].own = 1;
    fleet.nodes[1].foreign = 1;
    fleet.nodes[2].foreign = 4;
    for (int turn = 0; turn < 100; turn++) {
        assert_int_equal(s_choose(&fleet, PCL_STRATEGY_LEAST_INFLIGHT, START_US), 1);
    }
    assert_true(fleet.costs[0] == 3 && fleet.costs[1] == 2 && fleet.costs[2] == 4);
}

/* No strategy favours a position: ties are drawn. */
static void test_ties_are_drawn_fairly(void **state)
{
    (void)state;
    static const pcl_strategy_kind KINDS[] = {PCL_STRATEGY_LEAST_INFLIGHT, PCL_STRATEGY_CUSTOM,
                                              PCL_STRATEGY_PEAK_EWMA, PCL_STRATEGY_C3};
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    for (size_t kind = 0; kind < sizeof KINDS / sizeof KINDS[0]; kind++) {
        for (uint32_t count = 2; count <= NODES_MAX; count++) {
            s_fleet(&fleet, count, pcl_test_rng("ties"));
            s_count(&fleet, KINDS[kind], counts, 20000);
            assert_fair(counts, count);
        }
    }
}

/* Nothing reported, nothing measured: still fair, still finite. */
static void test_custom_knows_nothing_yet(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 4, pcl_test_rng("nothing"));
    for (uint32_t index = 0; index < 4; index++) {
        fleet.nodes[index] = (pcl_candidate){.index = index, .lag_ms = -1};
    }
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
    assert_fair(counts, 4);
    for (uint32_t index = 0; index < 4; index++) {
        assert_true(isfinite(fleet.costs[index]) && fleet.costs[index] > 0);
    }
}

static void test_custom_takes_the_quick_node(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 3, pcl_rng_from_seed(1));
    fleet.nodes[0].service_mean_us = 10000;
    fleet.nodes[2].rtt_us = 5000; /* quick, but far away */
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[1], 1000);
    fleet.nodes[1].own = 200; /* so busy that the way is worth it */
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[2], 1000);
}

static void test_custom_does_not_chase_noise(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 3, pcl_test_rng("noise"));
    fleet.nodes[0].service_mean_us = 1150;
    fleet.nodes[1].rtt_us = 180;
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
    assert_fair(counts, 3);
    /* Three slow statements are an accident, three hundred are a slow node. */
    fleet.nodes[0].service_mean_us = 1500;
    fleet.nodes[0].service_count = 3;
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
    assert_fair(counts, 3);
    fleet.nodes[0].service_count = 300;
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[0], 0);
}

/* What was bad and has not been heard of since fades. */
static void test_custom_tries_a_bad_node_again(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("again"));
    fleet.nodes[0].service_mean_us = 20000;
    fleet.nodes[0].rtt_us = 50000;
    uint64_t now_us = START_US;
    uint32_t tried = 0;
    for (; tried == 0 && now_us < START_US + 180 * PCL_US_PER_S; now_us += 100000) {
        fleet.nodes[1].sampled_us = now_us;
        fleet.nodes[1].rtt_at_us = now_us;
        tried = s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us) == 0 ? 1 : 0;
    }
    assert_int_equal(tried, 1);
    assert_true(now_us > START_US + 5 * PCL_US_PER_S); /* not at once */
}

static void test_asking_on_copies_changes_nothing(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 5, pcl_test_rng("copies"));
    for (int kind = PCL_STRATEGY_RANDOM; kind < PCL_STRATEGY_COUNT; kind++) {
        pcl_strategy_state saved_state = fleet.state;
        pcl_rng saved_rng = fleet.rng;
        uint32_t first = s_choose(&fleet, (pcl_strategy_kind)kind, START_US);
        fleet.state = saved_state;
        fleet.rng = saved_rng;
        assert_int_equal(s_choose(&fleet, (pcl_strategy_kind)kind, START_US), first);
    }
}

/* A node that never answered is tried by one request, and by no second one
 * until it has. */
static void test_peak_ewma_sends_one_request_to_the_unknown(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 2, pcl_test_rng("unknown"));
    pcl_candidate_timed(&fleet.nodes[0], &(pcl_timing){.total_us = 900, .exec_us = 800}, START_US);
    s_count(&fleet, PCL_STRATEGY_PEAK_EWMA, counts, 100);
    assert_int_equal(counts[1], 100);
    pcl_candidate_sent(&fleet.nodes[1], START_US);
    fleet.nodes[0].own = 500;
    s_count(&fleet, PCL_STRATEGY_PEAK_EWMA, counts, 100);
    assert_int_equal(counts[0], 100);
}

/* Up at once, down with a time constant of 10 s, and to nothing in silence. */
static void test_peak_ewma_keeps_the_peak(void **state)
{
    (void)state;
    pcl_candidate node = {.index = 0};
    uint64_t now_us = START_US;
    pcl_candidate_timed(&node, &(pcl_timing){.total_us = 1000}, now_us);
    pcl_candidate_timed(&node, &(pcl_timing){.total_us = 9000}, now_us);
    assert_true(node.peak_us == 9000);
    now_us += 10 * PCL_US_PER_S;
    pcl_candidate_timed(&node, &(pcl_timing){.total_us = 1000}, now_us);
    assert_true(fabsf(node.peak_us - (1000 + 8000 * expf(-1))) < 1);
    assert_true(fabsf(pcl_candidate_peak_kept(&node, now_us + 20 * PCL_US_PER_S) - expf(-2)) <
                1e-4f);
}

static void test_c3_weighs_the_queue_cubed(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_rng_from_seed(1));
    fleet.nodes[0].answer_us = 1500;
    fleet.nodes[0].execution_us = 1000;
    fleet.nodes[0].queued_mean = 1;
    fleet.nodes[1].answer_us = 3500;
    fleet.nodes[1].execution_us = 3000;
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_C3, START_US), 1);
    assert_true(fabsf(fleet.costs[0] - 8500) < 1 && fabsf(fleet.costs[1] - 3500) < 1);
    /* Alone, what we have there is all there is; as one of four proxies it is a quarter. */
    fleet.state.traffic_share = 0.25f;
    fleet.nodes[1].own = 1;
    fleet.nodes[1].foreign = 3;
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_C3, START_US), 0);
    assert_true(fleet.costs[1] > 3000 * 100);
}

static void s_probe(s_fleet_view *fleet, uint32_t index, uint32_t rif, uint64_t now_us)
{
    fleet->nodes[index].rif = rif;
    pcl_strategy_probed(&fleet->state, &fleet->nodes[index], now_us);
}

static void test_prequal_is_random_without_two_probes(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 4, pcl_test_rng("blind"));
    s_count(&fleet, PCL_STRATEGY_PREQUAL, counts, 20000);
    assert_fair(counts, 4);
    s_probe(&fleet, 2, 0, START_US);
    s_count(&fleet, PCL_STRATEGY_PREQUAL, counts, 20000);
    assert_fair(counts, 4);
}

static void test_prequal_takes_the_quick_among_the_cold(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 4, pcl_test_rng("cold"));
    for (uint32_t turn = 0; turn < 20; turn++) {
        s_probe(&fleet, 3, 50, START_US); /* so the 84th percentile is high, but not that high */
        for (uint32_t cold = 0; cold < 6; cold++) {
            s_probe(&fleet, 0, 2, START_US);
        }
    }
    fleet.nodes[0].service_mean_us = 2000;
    fleet.nodes[1].service_mean_us = 1000;
    fleet.nodes[3].service_mean_us = 1; /* the quickest by far, and hot */
    s_probe(&fleet, 0, 2, START_US);
    s_probe(&fleet, 1, 3, START_US);
    s_probe(&fleet, 3, 50, START_US);
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_PREQUAL, START_US), 1);
    /* What was sent there counts until the next probe: in the end it is hot, too. */
    uint32_t others = 0;
    for (uint32_t turn = 0; turn < 12; turn++) {
        others += s_choose(&fleet, PCL_STRATEGY_PREQUAL, START_US) != 1 ? 1 : 0;
    }
    assert_true(others > 0);
}

static void test_prequal_forgets_probes_after_a_second(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 3, pcl_test_rng("forgets"));
    s_probe(&fleet, 0, 0, START_US);
    s_probe(&fleet, 1, 9, START_US);
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_PREQUAL, START_US + PCL_US_PER_S), 0);
    memset(counts, 0, sizeof counts);
    for (uint32_t turn = 0; turn < 20000; turn++) {
        counts[s_choose(&fleet, PCL_STRATEGY_PREQUAL, START_US + PCL_US_PER_S + 1)]++;
    }
    assert_fair(counts, 3);
}

/* Probes go to everyone alike: who is asked only when it looks good never gets
 * to look better. */
static void test_prequal_probes_uniformly_and_others_do_not_probe(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX] = {0};
    s_fleet(&fleet, 5, pcl_test_rng("probes"));
    pcl_choice_input input = {
        .candidates = fleet.views, .count = fleet.count, .now_us = START_US, .rng = &fleet.rng};
    for (uint32_t turn = 0; turn < 20000; turn++) {
        counts[pcl_strategy_probe(PCL_STRATEGY_PREQUAL, &fleet.state, &input)]++;
    }
    assert_fair(counts, 5);
    assert_int_equal(pcl_strategy_probe(PCL_STRATEGY_RANDOM, &fleet.state, &input),
                     PCL_CHOICE_NONE);
}

/* --- Pitfalls of custom ------------------------------------------------------ */

/* Statements that are not answered prove a stall before any answer could. */
static void test_custom_sees_a_stall_by_age(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 2, pcl_test_rng("stall"));
    for (uint32_t sent = 0; sent < 3; sent++) {
        pcl_candidate_sent(&fleet.nodes[0], START_US - 20000); /* twenty times the service time */
        pcl_candidate_sent(&fleet.nodes[1], START_US - 800);
    }
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[1], 1000);
    pcl_candidate_done(&fleet.nodes[0], START_US - 20000);
    pcl_candidate_done(&fleet.nodes[0], START_US - 20000);
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[1], 1000); /* one is proof enough, when it is that old */
}

/* Long statements are found in flight more often than short ones (the inspection
 * paradox): where service times vary, an age above their mean is no alarm. */
static void test_custom_expects_the_old_where_service_varies(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("paradox"));
    for (uint32_t index = 0; index < 2; index++) {
        fleet.nodes[index].rtt_us = 0;
        for (uint32_t sent = 0; sent < 7; sent++) {
            pcl_candidate_sent(&fleet.nodes[index], START_US - 1800);
        }
    }
    fleet.nodes[0].service_variance = 4e6f; /* seven of them, 1.8 service times old */
    fleet.nodes[1].service_variance = 1e4f;
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US);
    assert_true(fleet.costs[0] < 1500);
    assert_true(fleet.costs[1] > 2500); /* of steady ones half that age is normal */
}

/* A slow node of which nothing is known any more is tried as if it were like the
 * others; then its own old variance must not explain what happens to the try. */
static void test_custom_sees_the_stall_of_a_node_it_forgot(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("forgot"));
    fleet.nodes[0].service_mean_us = 200000;
    fleet.nodes[0].service_variance = 4e10f;
    fleet.nodes[0].service_count = 0.01f;
    pcl_candidate_sent(&fleet.nodes[0], START_US - 60000);
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US);
    assert_true(fleet.costs[0] > 60000);
}

/* A node without news looks like any other.  So it gets one statement, and no second one until
 * that has been answered: a node that stands must not swallow as many as it has workers. */
static void test_custom_tries_a_forgotten_node_once(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 3, pcl_test_rng("once"));
    for (uint32_t index = 0; index < 3; index++) {
        pcl_candidate *node = &fleet.nodes[index];
        node->service_mean_us = 20000;
        node->service_variance = 4e8f;
        node->rtt_us = index == 0 ? 100 : 5000;
    }
    fleet.nodes[0].service_count = 20;
    fleet.nodes[0].sampled_us = fleet.nodes[0].rtt_at_us = START_US - 4 * PCL_US_PER_S;
    uint32_t sent_to[100];
    uint64_t now_us = START_US;
    for (uint32_t turn = 0; turn < 100; turn++, now_us += 5000) {
        if (turn >= 4 && sent_to[turn - 4] != 0) { /* after 20 ms all answer but that one */
            pcl_candidate *node = &fleet.nodes[sent_to[turn - 4]];
            pcl_candidate_done(node, now_us - 20000);
            node->sampled_us = now_us;
            pcl_candidate_timed(node, &(pcl_timing){.total_us = 20000, .exec_us = 15000}, now_us);
        }
        for (uint32_t index = 0; index < 3; index++) {
            fleet.nodes[index].reported_us = now_us; /* its agent goes on beating */
        }
        sent_to[turn] = s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us);
        pcl_candidate_sent(&fleet.nodes[sent_to[turn]], now_us);
    }
    if (fleet.nodes[0].own > 1) {
        fail_msg("%u reads at a node that stands", fleet.nodes[0].own);
    }
}

/* Where all statements are long, seconds without an answer are no silence. */
static void test_custom_lets_long_statements_run(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("long"));
    uint64_t now_us = START_US + 4 * PCL_US_PER_S;
    for (uint32_t index = 0; index < 2; index++) {
        fleet.nodes[index].service_mean_us = 3e6f;
        fleet.nodes[index].service_variance = 9e12f;
        fleet.nodes[index].reported_us = now_us;
        for (uint32_t sent = 0; sent < (index == 0 ? 2u : 12u); sent++) {
            pcl_candidate_sent(&fleet.nodes[index], now_us - PCL_US_PER_S);
        }
    }
    fleet.nodes[1].sampled_us = fleet.nodes[1].rtt_at_us = now_us;
    assert_int_equal(s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us), 0);
}

/* The other way about: what was near and is not heard of any more is no nearer than the rest. */
static void test_custom_forgets_that_a_node_was_near(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 3, pcl_test_rng("near"));
    uint64_t now_us = START_US + 120 * PCL_US_PER_S;
    for (uint32_t index = 1; index < 3; index++) {
        fleet.nodes[index].rtt_us = 5000;
        fleet.nodes[index].rtt_at_us = fleet.nodes[index].sampled_us = now_us;
    }
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us);
    assert_true(fleet.costs[0] > 5000);
}

/* Chance only lengthens a way: a quick answer says more than a slow one. */
static void test_a_way_gets_short_again_soon(void **state)
{
    (void)state;
    pcl_candidate node = {.index = 0};
    pcl_candidate_timed(&node, &(pcl_timing){.total_us = 60000}, START_US);
    for (uint32_t answer = 0; answer < 6; answer++) {
        pcl_candidate_timed(&node, &(pcl_timing){.total_us = 1000}, START_US);
    }
    assert_true(node.rtt_us < 5000);
    assert_true(node.latency_us > 20000); /* of that, both ends count alike */
    for (uint32_t answer = 0; answer < 100; answer++) {
        pcl_candidate_timed(&node, &(pcl_timing){.total_us = 60000}, START_US);
    }
    assert_true(node.rtt_us > 55000); /* and what stays long is long */
}

/* Chance alone raises the alarm in few choices, whatever is in flight. */
static void test_custom_raises_few_false_alarms(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("alarms"));
    uint32_t alarms = 0;
    const uint32_t turns = 20000;
    for (uint32_t turn = 0; turn < turns; turn++) {
        pcl_candidate *node = &fleet.nodes[0];
        node->own = 0;
        node->sent_sum_us = 0;
        uint32_t own = 1 + turn % 7;
        for (uint32_t sent = 0; sent < own; sent++) { /* ages of exponential services */
            double age_us = -1000 * log((pcl_rng_below(&fleet.rng, 1u << 30) + 1.0) / (1u << 30));
            pcl_candidate_sent(node, START_US - (uint64_t)age_us);
        }
        (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US);
        alarms += fleet.costs[0] > 2000 ? 1 : 0;
    }
    if (alarms > turns / 200) {
        fail_msg("%u false alarms in %u choices", alarms, turns);
    }
}

/* A report of long ago attracts nobody: what it saw has ended, and others have
 * seen the same gap. */
static void test_custom_forgets_what_a_report_saw(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 4, pcl_test_rng("forgets"));
    for (uint32_t index = 0; index < 4; index++) {
        fleet.nodes[index].foreign = index == 0 ? 0 : 40;
        fleet.nodes[index].rif = fleet.nodes[index].foreign;
    }
    for (uint32_t turn = 0; turn < 100; turn++) { /* the average is known by then */
        assert_int_equal(s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US), 0);
    }
    float fresh = fleet.costs[1] - fleet.costs[0];
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US + 30000);
    float stale = fleet.costs[1] - fleet.costs[0];
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US + PCL_US_PER_S);
    float forgotten = fleet.costs[1] - fleet.costs[0];
    assert_true(fresh > 2000);
    assert_true(stale < fresh / 2);
    assert_true(forgotten < fresh / 10);
}

/* Where all reports are old, others have not heard of the queue either, and went on sending. */
static void test_custom_keeps_a_queue_in_mind_where_reports_are_rare(void **state)
{
    (void)state;
    float cost_us[2];
    for (uint32_t rare = 0; rare < 2; rare++) {
        s_fleet_view fleet;
        s_fleet(&fleet, 4, pcl_test_rng("rare"));
        fleet.nodes[0].foreign = fleet.nodes[0].rif = 40;
        for (uint32_t index = 1; index < 4; index++) {
            fleet.nodes[index].reported_us = rare == 1 ? START_US : START_US + 10000;
        }
        (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US + 10000);
        cost_us[rare] = fleet.costs[0];
    }
    if (cost_us[1] < 1.1f * cost_us[0]) {
        fail_msg("%.0f us where reports are rare, %.0f us where not", (double)cost_us[1],
                 (double)cost_us[0]);
    }
}

/* A queue that its node's last report does not know yet may be longer than we think. */
static void test_custom_counts_a_queue_twice_at_most_by_an_old_report(void **state)
{
    (void)state;
    static const struct {
        uint64_t age_us;
        float low_us, high_us;
    } ROWS[] = {{0, 1200, 1450}, {1000, 1200, 1450}, {4000, 1600, 1950}, {1000000, 2300, 2550}};
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        s_fleet_view fleet;
        s_fleet(&fleet, 2, pcl_test_rng("twice"));
        uint64_t now_us = START_US + PCL_US_PER_S;
        for (uint32_t index = 0; index < 2; index++) {
            fleet.nodes[index].sampled_us = fleet.nodes[index].rtt_at_us = now_us;
            fleet.nodes[index].reported_us = now_us - ROWS[row].age_us;
        }
        for (uint32_t sent = 0; sent < 2 * WORKERS; sent++) { /* one round waits, and an eighth */
            pcl_candidate_sent(&fleet.nodes[0], now_us);
        }
        (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us);
        float more_us = fleet.costs[0] - fleet.costs[1];
        if (more_us < ROWS[row].low_us || more_us > ROWS[row].high_us) {
            fail_msg("row %zu: %.0f us", row, (double)more_us);
        }
    }
}

/* However thick the choices come, the averages follow within some seconds. */
static void test_custom_averages_at_any_rate(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("rate"));
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US);
    assert_true(fleet.state.foreign_mean == 0);
    fleet.nodes[0].foreign = 10;
    fleet.nodes[1].foreign = 10;
    for (uint64_t now_us = START_US; now_us < START_US + 5 * PCL_US_PER_S; now_us += 100) {
        (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, now_us);
    }
    assert_true(fabsf(fleet.state.foreign_mean - 20) < 1);
}

/* Our own statements are never old news, and the busier we are the more they
 * tell of the others', who judge as we do. */
static void test_custom_takes_its_own_books_for_the_others(void **state)
{
    (void)state;
    s_fleet_view fleet;
    s_fleet(&fleet, 2, pcl_test_rng("books"));
    for (uint32_t index = 0; index < 2; index++) {
        for (uint32_t sent = 0; sent < (index == 0 ? 12u : 8u); sent++) {
            pcl_candidate_sent(&fleet.nodes[index], START_US);
        }
        fleet.nodes[index].foreign = 30;
        fleet.nodes[index].rif = 40;
    }
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US);
    /* 4 of ours more, and so 12 of the others' more, mostly: rounds of eight. */
    float difference = fleet.costs[0] - fleet.costs[1];
    assert_true(difference > 1200 && difference < 2400);
}

static void test_custom_prefers_the_level_node(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 2, pcl_test_rng("lag"));
    fleet.nodes[0].lag_ms = 5000;
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
    assert_fair(counts, 2); /* no bound, no cliff to steer away from */
    for (uint32_t turn = 0; turn < 100; turn++) {
        uint32_t choice = pcl_strategy_choose(PCL_STRATEGY_CUSTOM, &fleet.state,
                                              &(pcl_choice_input){.candidates = fleet.views,
                                                                  .count = 2,
                                                                  .now_us = START_US,
                                                                  .lag_ms_max = 10000,
                                                                  .rng = &fleet.rng,
                                                                  .out_costs = fleet.costs});
        assert_int_equal(choice, 1);
        assert_true(fabsf(fleet.costs[0] / fleet.costs[1] - 1.125f) < 0.01f);
    }
}

/* A tenth of its share at first, all of it after 30 s. */
/* Node 0 is here, the others are elsewhere; node 0 takes so many times as long. */
static uint32_t s_choose_by_zone(float slower, float margin, uint32_t own)
{
    s_fleet_view fleet;
    s_fleet(&fleet, 3, pcl_test_rng("custom-zone"));
    for (uint32_t index = 0; index < 3; index++) {
        fleet.nodes[index].place = index == 0 ? PCL_ZONE_OWN : PCL_ZONE_OTHER;
        fleet.nodes[index].service_count = 10000; /* so that a difference is no chance */
    }
    fleet.nodes[0].service_mean_us *= slower;
    fleet.nodes[0].own = own;
    fleet.nodes[0].sent_sum_us = own * START_US;
    return pcl_strategy_choose(PCL_STRATEGY_CUSTOM, &fleet.state,
                               &(pcl_choice_input){.candidates = fleet.views,
                                                   .count = fleet.count,
                                                   .now_us = START_US,
                                                   .far_margin = margin,
                                                   .rng = &fleet.rng,
                                                   .out_costs = fleet.costs});
}

static void test_custom_stays_in_its_zone_within_the_margin(void **state)
{
    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        assert_int_equal(s_choose_by_zone(1, 0.25f, 0), 0);
        assert_int_equal(s_choose_by_zone(1.4f, 0.5f, 0), 0);
        assert_int_not_equal(s_choose_by_zone(2, 0.5f, 0), 0);
        assert_int_not_equal(s_choose_by_zone(1, 0.25f, 3 * WORKERS), 0); /* its queue counts */
        assert_int_equal(s_choose_by_zone(1, 5, 3 * WORKERS), 0);
    }
}

static void test_custom_without_a_margin_knows_no_zones(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[2] = {0};
    s_fleet(&fleet, 2, pcl_test_rng("custom-no-zone"));
    fleet.nodes[0].place = PCL_ZONE_OWN;
    fleet.nodes[1].place = PCL_ZONE_OTHER;
    for (int turn = 0; turn < 10000; turn++) {
        counts[s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US)]++;
    }
    assert_fair(counts, 2);
}

static void test_custom_starts_a_new_node_slowly(void **state)
{
    (void)state;
    static const struct {
        uint64_t age_us;
        double least, most; /* share of two */
    } cases[] = {{0, 0.03, 0.07}, {15000000, 0.2, 0.3}, {30000000, 0.45, 0.55}};
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        s_fleet(&fleet, 2, pcl_test_rng("slowly"));
        fleet.nodes[0].slow_since_us = START_US - cases[index].age_us;
        s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
        double share = counts[0] / 20000.0;
        if (share < cases[index].least || share > cases[index].most) {
            fail_msg("after %.0f s a share of %.3f", (double)cases[index].age_us / 1e6, share);
        }
    }
    /* Until it has answered it has one statement, and no second one. */
    s_fleet(&fleet, 2, pcl_test_rng("slowly"));
    fleet.nodes[0].slow_since_us = START_US - 20000000;
    fleet.nodes[0].rtt_at_us = 0;
    pcl_candidate_sent(&fleet.nodes[0], START_US);
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[0], 0);
}

/* What was waited for in vain keeps a node out for a while, and not for good. */
static void test_custom_remembers_what_it_gave_up(void **state)
{
    (void)state;
    s_fleet_view fleet;
    uint32_t counts[NODES_MAX];
    s_fleet(&fleet, 2, pcl_test_rng("vain"));
    for (uint32_t index = 0; index < 2; index++) {
        fleet.nodes[index].latency_us = 1100;
    }
    pcl_candidate_gave_up(&fleet.nodes[0], 3000, START_US); /* three times as long: bad luck */
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 20000);
    assert_fair(counts, 2);
    pcl_candidate_gave_up(&fleet.nodes[0], 100000, START_US);
    s_count(&fleet, PCL_STRATEGY_CUSTOM, counts, 1000);
    assert_int_equal(counts[0], 0);
    (void)s_choose(&fleet, PCL_STRATEGY_CUSTOM, START_US + 10 * PCL_US_PER_S);
    assert_true(fleet.costs[0] < fleet.costs[1] * 1.01f);
}

static void test_giving_up_makes_nothing_better(void **state)
{
    (void)state;
    pcl_candidate node = {.index = 0};
    pcl_candidate_gave_up(&node, 500000, START_US);
    assert_true(node.peak_at_us == 0 && node.latency_us == 0); /* no answer was ever timed */
    pcl_candidate_timed(&node, &(pcl_timing){.total_us = 5000, .exec_us = 4000}, START_US);
    pcl_candidate_gave_up(&node, 100, START_US);
    assert_true(node.peak_us == 5000 && node.answer_us == 5000 && node.latency_us == 5000);
    pcl_candidate_gave_up(&node, 90000, START_US);
    assert_true(node.peak_us == 90000 && node.answer_us == 90000 && node.latency_us > 5000);
    assert_true(node.service_count == 0 && node.execution_us == 4000);
}

/* --- Properties --------------------------------------------------------------- */

/* own and the sum of send times are those of what is in flight, in any order. */
static void test_books_stay_true(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("books");
    pcl_candidate node = {.index = 0};
    static uint64_t sent_us[64];
    uint32_t count = 0;
    for (uint32_t turn = 0; turn < 20000; turn++) {
        if (count < 64 && pcl_rng_below(&rng, 2) == 0) {
            sent_us[count] = START_US + turn * 100 + pcl_rng_below(&rng, 100);
            pcl_candidate_sent(&node, sent_us[count++]);
        } else if (count > 0) {
            uint32_t slot = pcl_rng_below(&rng, count);
            pcl_candidate_done(&node, sent_us[slot]);
            sent_us[slot] = sent_us[--count];
        }
        if (turn % 1000 == 0) {
            pcl_candidate_reset(&node, START_US + turn * 100); /* what is in flight stays */
        }
        uint64_t sum = 0;
        for (uint32_t slot = 0; slot < count; slot++) {
            sum += sent_us[slot];
        }
        assert_int_equal(node.own, count);
        assert_true(node.sent_sum_us == sum);
    }
}

static float s_any(pcl_rng *rng, float limit)
{
    float part = (float)pcl_rng_below(rng, 1000) / 1000;
    return pcl_rng_below(rng, 4) == 0 ? 0 : part * part * limit;
}

static uint64_t s_any_time(pcl_rng *rng)
{
    return pcl_rng_below(rng, 4) == 0 ? 0 : START_US - pcl_rng_below(rng, 100000000) + 1000000;
}

/* Whatever stands in the books and the reports, and a report may say anything:
 * the choice is one of the candidates, and each cost is a number. */
static void test_any_figures_give_a_choice(void **state)
{
    (void)state;
    s_fleet_view fleet;
    pcl_rng rng = pcl_test_rng("any");
    s_fleet(&fleet, 1, rng);
    for (uint32_t turn = 0; turn < 20000; turn++) {
        fleet.count = 1 + pcl_rng_below(&rng, NODES_MAX);
        for (uint32_t index = 0; index < fleet.count; index++) {
            fleet.views[index] = &fleet.nodes[index];
            fleet.nodes[index] = (pcl_candidate){
                .index = index,
                .role = pcl_rng_below(&rng, 2) == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                .slow_since_us = s_any_time(&rng),
                .own = pcl_rng_below(&rng, 3) == 0 ? 0 : pcl_rng_below(&rng, 2000),
                .rtt_us = s_any(&rng, 1e6f),
                .rtt_at_us = s_any_time(&rng),
                .peak_us = s_any(&rng, 1e7f),
                .peak_at_us = s_any_time(&rng),
                .answer_us = s_any(&rng, 1e7f),
                .execution_us = s_any(&rng, 1e7f),
                .queued_mean = s_any(&rng, 1e4f),
                .late_us = 1 + s_any(&rng, 1e7f),
                .late_at_us = s_any_time(&rng),
                .reported_us = s_any_time(&rng),
                .sampled_us = s_any_time(&rng),
                .rif = pcl_rng_below(&rng, 5000),
                .foreign = pcl_rng_below(&rng, 5000),
                .workers = (uint16_t)pcl_rng_below(&rng, 64),
                .lag_ms = (int32_t)pcl_rng_below(&rng, 100000) - 1,
                .service_mean_us = s_any(&rng, 1e7f),
                .service_count = s_any(&rng, 1e6f),
                .service_variance = s_any(&rng, 1e13f),
                .service_fast_us = s_any(&rng, 1e7f),
                .service_fast_count = s_any(&rng, 1e5f),
            };
            fleet.nodes[index].sent_sum_us = fleet.nodes[index].own * START_US;
            pcl_strategy_probed(&fleet.state, &fleet.nodes[index], START_US);
        }
        pcl_strategy_kind kind = (pcl_strategy_kind)(PCL_STRATEGY_DIRECT +
                                                     turn % (PCL_STRATEGY_COUNT - 1));
        uint32_t choice = s_choose(&fleet, kind, START_US);
        assert_true(choice < fleet.count ||
                    (kind == PCL_STRATEGY_DIRECT && choice == PCL_CHOICE_NONE));
        for (uint32_t index = 0; index < fleet.count; index++) {
            assert_true(isfinite(fleet.costs[index]) && fleet.costs[index] > -1e8f);
        }
    }
}

/* --- A simulated fleet ------------------------------------------------------ */

typedef struct s_running {
    uint64_t done_us, sent_us, exec_us, way_us;
    uint32_t node;
} s_running;

typedef struct s_server {
    uint64_t free_us[WORKERS];
    double mean_us; /* of its exponential service times */
    uint64_t way_us;
    double sum, weight, squares;  /* decaying, 3 s */
    double fast_sum, fast_weight; /* 200 ms */
    uint64_t counted_us;
    uint64_t served;
    uint32_t rif, chosen;
} s_server;

typedef struct s_simulation {
    s_fleet_view fleet;
    s_server servers[NODES_MAX];
    s_running waiting[WAITING_MAX];
    uint32_t waiting_count;
    uint64_t now_us, beat_us;
    double latency_sum_us;
    uint32_t done_count;
} s_simulation;

static double s_exponential(pcl_rng *rng, double mean)
{
    return -mean * log((pcl_rng_below(rng, 1u << 30) + 1.0) / (double)((1u << 30) + 1u));
}

static void s_report(s_simulation *self, uint32_t index)
{
    s_server *server = &self->servers[index];
    double mean = server->weight > 0 ? server->sum / server->weight : 0;
    double variance = server->weight > 0 ? server->squares / server->weight - mean * mean : 0;
    pcl_report report = {
        .role = PCL_NODE_REPLICA,
        .state = PCL_NODE_UP,
        .rif = server->rif,
        .rif_you = self->fleet.nodes[index].own,
        .workers = WORKERS,
        .served = server->served,
        .service_mean_us = (float)mean,
        .service_count = (float)server->weight,
        .service_variance = (float)fmax(variance, 0),
        .service_fast_us = (float)(server->fast_weight > 0 ? server->fast_sum / server->fast_weight
                                                           : 0),
        .service_fast_count = (float)server->fast_weight,
    };
    pcl_candidate_report(&self->fleet.nodes[index], &report, self->now_us);
}

static void s_complete(s_simulation *self, uint32_t slot)
{
    s_running done = self->waiting[slot];
    self->waiting[slot] = self->waiting[--self->waiting_count];
    s_server *server = &self->servers[done.node];
    double gone_us = (double)(self->now_us - server->counted_us);
    double slow = exp(-gone_us / 3e6);
    double fast = exp(-gone_us / 2e5);
    double exec_us = (double)done.exec_us;
    server->sum = server->sum * slow + exec_us;
    server->weight = server->weight * slow + 1;
    server->squares = server->squares * slow + exec_us * exec_us;
    server->fast_sum = server->fast_sum * fast + exec_us;
    server->fast_weight = server->fast_weight * fast + 1;
    server->counted_us = self->now_us;
    server->served++;
    server->rif--;
    s_report(self, done.node);
    pcl_candidate *node = &self->fleet.nodes[done.node];
    uint64_t node_us = self->now_us - done.sent_us;
    pcl_candidate_timed(node,
                        &(pcl_timing){.total_us = node_us + done.way_us,
                                      .exec_us = (uint32_t)done.exec_us,
                                      .queue_us = (uint32_t)(node_us - done.exec_us)},
                        self->now_us);
    pcl_candidate_done(node, done.sent_us);
    self->latency_sum_us += (double)(self->now_us - done.sent_us);
    self->done_count++;
}

/* Everything that happens until until_us. */
static void s_advance(s_simulation *self, uint64_t until_us)
{
    for (;;) {
        uint32_t next = UINT32_MAX;
        for (uint32_t slot = 0; slot < self->waiting_count; slot++) {
            if (next == UINT32_MAX || self->waiting[slot].done_us < self->waiting[next].done_us) {
                next = slot;
            }
        }
        uint64_t done_us = next == UINT32_MAX ? UINT64_MAX : self->waiting[next].done_us;
        if (self->beat_us <= until_us && self->beat_us <= done_us) {
            self->now_us = self->beat_us;
            self->beat_us += 200000;
            for (uint32_t index = 0; index < self->fleet.count; index++) {
                s_report(self, index);
            }
        } else if (done_us <= until_us) {
            self->now_us = done_us;
            s_complete(self, next);
        } else {
            self->now_us = until_us;
            return;
        }
    }
}

static uint32_t s_request(s_simulation *self, pcl_strategy_kind kind)
{
    uint32_t choice = s_choose(&self->fleet, kind, self->now_us);
    s_server *server = &self->servers[choice];
    uint32_t worker = 0;
    for (uint32_t index = 1; index < WORKERS; index++) {
        worker = server->free_us[index] < server->free_us[worker] ? index : worker;
    }
    uint64_t begin_us = server->free_us[worker] > self->now_us ? server->free_us[worker]
                                                               : self->now_us;
    uint64_t exec_us = (uint64_t)s_exponential(&self->fleet.rng, server->mean_us) + 1;
    server->free_us[worker] = begin_us + exec_us;
    assert_true(self->waiting_count < WAITING_MAX);
    self->waiting[self->waiting_count++] = (s_running){.done_us = begin_us + exec_us,
                                                       .sent_us = self->now_us,
                                                       .exec_us = exec_us,
                                                       .way_us = server->way_us,
                                                       .node = choice};
    server->rif++;
    server->chosen++;
    pcl_candidate_sent(&self->fleet.nodes[choice], self->now_us);
    return choice;
}

static void s_start(s_simulation *self, uint32_t count, pcl_rng rng)
{
    memset(self, 0, sizeof *self);
    s_fleet(&self->fleet, count, rng);
    self->now_us = START_US;
    self->beat_us = START_US;
    for (uint32_t index = 0; index < count; index++) {
        self->fleet.nodes[index] = (pcl_candidate){.index = index, .lag_ms = -1};
        self->servers[index].mean_us = 5000;
        self->servers[index].way_us = 200;
    }
}

/* Poisson arrivals for so many seconds; the counts of chosen start at 0. */
static void s_load(s_simulation *self, pcl_strategy_kind kind, double per_s, double seconds)
{
    uint64_t end_us = self->now_us + (uint64_t)(seconds * 1e6);
    self->latency_sum_us = 0;
    self->done_count = 0;
    for (uint32_t index = 0; index < self->fleet.count; index++) {
        self->servers[index].chosen = 0;
    }
    while (self->now_us < end_us) {
        s_advance(self, self->now_us + (uint64_t)s_exponential(&self->fleet.rng, 1e6 / per_s) + 1);
        (void)s_request(self, kind);
    }
}

static double s_share(const s_simulation *self, uint32_t index)
{
    double sum = 0;
    for (uint32_t other = 0; other < self->fleet.count; other++) {
        sum += self->servers[other].chosen;
    }
    assert_true(sum > 100); /* or nothing was tested */
    return self->servers[index].chosen / sum;
}

static s_simulation s_sim; /* large; each test starts it anew */

static void test_sim_equals_share(void **state)
{
    (void)state;
    static const double RATES[] = {50, 1000, 3000};
    for (size_t rate = 0; rate < 3; rate++) {
        s_start(&s_sim, 3, pcl_test_rng("equals"));
        s_load(&s_sim, PCL_STRATEGY_CUSTOM, RATES[rate], RATES[rate] < 100 ? 60 : 8);
        for (uint32_t index = 0; index < 3; index++) {
            double share = s_share(&s_sim, index);
            if (share < 0.23 || share > 0.44) {
                fail_msg("%.0f/s: node %u has %.3f of the reads", RATES[rate], index, share);
            }
        }
    }
}

static void test_sim_a_slow_node_gets_next_to_nothing(void **state)
{
    (void)state;
    static const double FACTORS[] = {3, 10};
    static const double SHARES_MAX[] = {0.03, 0.01};
    for (size_t kind = 0; kind < 2; kind++) {
        s_start(&s_sim, 3, pcl_test_rng("slow"));
        s_sim.servers[1].mean_us *= FACTORS[kind];
        s_load(&s_sim, PCL_STRATEGY_CUSTOM, 1500, 1); /* learns */
        s_load(&s_sim, PCL_STRATEGY_CUSTOM, 1500, 10);
        double share = s_share(&s_sim, 1);
        if (share > SHARES_MAX[kind]) {
            fail_msg("%.0f times slower, and %.4f of the reads", FACTORS[kind], share);
        }
    }
}

/* One client, one statement after the other: as a person tries it. */
static void test_sim_a_slow_node_is_avoided_at_low_rates(void **state)
{
    (void)state;
    s_start(&s_sim, 2, pcl_test_rng("low"));
    s_sim.servers[0].mean_us = 50000;
    s_sim.servers[1].mean_us = 500;
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 20, 2);
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 20, 30);
    assert_true(s_share(&s_sim, 0) < 0.05);
}

static void test_sim_a_node_that_recovers_is_used_again(void **state)
{
    (void)state;
    s_start(&s_sim, 3, pcl_test_rng("recovers"));
    s_sim.servers[2].mean_us *= 10;
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 1500, 5);
    s_sim.servers[2].mean_us /= 10;
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 1500, 25);
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 1500, 5);
    assert_true(s_share(&s_sim, 2) > 0.8 / 3);
}

/* Dispersion of the arrivals at each node, in bins of 50 ms: herds come in
 * waves (stale global knowledge: above 30). */
static void test_sim_no_herd(void **state)
{
    (void)state;
    s_start(&s_sim, 4, pcl_test_rng("herd"));
    s_load(&s_sim, PCL_STRATEGY_CUSTOM, 4000, 4); /* past the bad luck of the first samples */
    double sum[4] = {0};
    double squares[4] = {0};
    const int bins = 100;
    for (int bin = 0; bin < bins; bin++) {
        s_load(&s_sim, PCL_STRATEGY_CUSTOM, 4000, 0.05);
        for (uint32_t index = 0; index < 4; index++) {
            double chosen = s_sim.servers[index].chosen;
            sum[index] += chosen;
            squares[index] += chosen * chosen;
        }
    }
    for (uint32_t index = 0; index < 4; index++) {
        double mean = sum[index] / bins;
        double variance = squares[index] / bins - mean * mean;
        assert_true(mean > 10);
        if (variance / mean > 1.5) {
            fail_msg("node %u: dispersion %.2f", index, variance / mean);
        }
    }
}

/* Whatever is on its way from one node is late, by so much. */
static void s_delay(s_simulation *self, uint32_t node, uint64_t late_us)
{
    for (uint32_t slot = 0; slot < self->waiting_count; slot++) {
        self->waiting[slot].way_us += self->waiting[slot].node == node ? late_us : 0;
    }
}

/* A way that is long for a moment is no reason to leave a node for seconds. */
static void test_sim_late_answers_leave_all_in_use(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        s_start(&s_sim, 3, pcl_rng_from_seed(seed));
        uint32_t chosen[3] = {0};
        uint32_t sum = 0;
        for (uint32_t index = 0; index < 3; index++) {
            s_sim.servers[index].mean_us = 20000;
            s_sim.servers[index].way_us = 1000;
        }
        for (uint32_t turn = 0; turn < 20; turn++) {
            s_load(&s_sim, PCL_STRATEGY_CUSTOM, 195, 0.25);
            for (uint32_t index = 0; index < 3; index++) {
                chosen[index] += s_sim.servers[index].chosen;
                sum += s_sim.servers[index].chosen;
            }
            s_delay(&s_sim, pcl_rng_below(&s_sim.fleet.rng, 3), 50000);
        }
        for (uint32_t index = 0; index < 3; index++) {
            if (chosen[index] * 10 < sum) {
                fail_msg("seed %u: node %u has %u of %u reads", (unsigned)seed, index,
                         chosen[index], sum);
            }
        }
    }
}

/* Among equals it must not be worse than counting, which needs no knowledge. */
static void test_sim_as_good_as_least_inflight_among_equals(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("as-good");
    double mean_us[2];
    static const pcl_strategy_kind KINDS[] = {PCL_STRATEGY_LEAST_INFLIGHT, PCL_STRATEGY_CUSTOM};
    for (size_t kind = 0; kind < 2; kind++) {
        s_start(&s_sim, 4, rng);
        s_load(&s_sim, KINDS[kind], 5400, 1);
        s_load(&s_sim, KINDS[kind], 5400, 5);
        mean_us[kind] = s_sim.latency_sum_us / s_sim.done_count;
    }
    if (mean_us[1] > mean_us[0] * 1.06) {
        fail_msg("custom %.0f us, least-inflight %.0f us", mean_us[1], mean_us[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_is_the_source_of_the_latest_term),
        cmocka_unit_test(test_random_gives_fair_shares),
        cmocka_unit_test(test_round_robin_turns_by_index),
        cmocka_unit_test(test_least_inflight_counts_own_and_foreign),
        cmocka_unit_test(test_ties_are_drawn_fairly),
        cmocka_unit_test(test_custom_knows_nothing_yet),
        cmocka_unit_test(test_custom_takes_the_quick_node),
        cmocka_unit_test(test_custom_does_not_chase_noise),
        cmocka_unit_test(test_custom_tries_a_bad_node_again),
        cmocka_unit_test(test_asking_on_copies_changes_nothing),
        cmocka_unit_test(test_peak_ewma_sends_one_request_to_the_unknown),
        cmocka_unit_test(test_peak_ewma_keeps_the_peak),
        cmocka_unit_test(test_c3_weighs_the_queue_cubed),
        cmocka_unit_test(test_prequal_is_random_without_two_probes),
        cmocka_unit_test(test_prequal_takes_the_quick_among_the_cold),
        cmocka_unit_test(test_prequal_forgets_probes_after_a_second),
        cmocka_unit_test(test_prequal_probes_uniformly_and_others_do_not_probe),
        cmocka_unit_test(test_custom_sees_a_stall_by_age),
        cmocka_unit_test(test_custom_expects_the_old_where_service_varies),
        cmocka_unit_test(test_custom_sees_the_stall_of_a_node_it_forgot),
        cmocka_unit_test(test_custom_tries_a_forgotten_node_once),
        cmocka_unit_test(test_custom_lets_long_statements_run),
        cmocka_unit_test(test_custom_forgets_that_a_node_was_near),
        cmocka_unit_test(test_a_way_gets_short_again_soon),
        cmocka_unit_test(test_custom_raises_few_false_alarms),
        cmocka_unit_test(test_custom_forgets_what_a_report_saw),
        cmocka_unit_test(test_custom_keeps_a_queue_in_mind_where_reports_are_rare),
        cmocka_unit_test(test_custom_counts_a_queue_twice_at_most_by_an_old_report),
        cmocka_unit_test(test_custom_averages_at_any_rate),
        cmocka_unit_test(test_custom_takes_its_own_books_for_the_others),
        cmocka_unit_test(test_custom_prefers_the_level_node),
        cmocka_unit_test(test_custom_stays_in_its_zone_within_the_margin),
        cmocka_unit_test(test_custom_without_a_margin_knows_no_zones),
        cmocka_unit_test(test_custom_starts_a_new_node_slowly),
        cmocka_unit_test(test_custom_remembers_what_it_gave_up),
        cmocka_unit_test(test_giving_up_makes_nothing_better),
        cmocka_unit_test(test_books_stay_true),
        cmocka_unit_test(test_any_figures_give_a_choice),
        cmocka_unit_test(test_sim_equals_share),
        cmocka_unit_test(test_sim_a_slow_node_gets_next_to_nothing),
        cmocka_unit_test(test_sim_a_slow_node_is_avoided_at_low_rates),
        cmocka_unit_test(test_sim_a_node_that_recovers_is_used_again),
        cmocka_unit_test(test_sim_no_herd),
        cmocka_unit_test(test_sim_late_answers_leave_all_in_use),
        cmocka_unit_test(test_sim_as_good_as_least_inflight_among_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
