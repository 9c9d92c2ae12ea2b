/* proxies.c - proxies: what they send, hear and give up. */
#include "bench/sim/dice.h"
#include "bench/sim/engine.h"
#include "bench/sim/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const uint64_t SWEEP_US = 5000;
static const uint64_t BIN_US = 50000;

void sim_proxies_start(sim_world *world, uint64_t seed)
{
    const sim_scenario *scenario = world->scenario;
    world->proxies = sim_new(scenario->proxies, sizeof *world->proxies);
    for (uint32_t index = 0; index < scenario->proxies; index++) {
        sim_proxy *proxy = &world->proxies[index];
        proxy->nodes = sim_new(scenario->nodes, sizeof *proxy->nodes);
        proxy->memories = sim_new(scenario->nodes, sizeof *proxy->memories);
        pcl_rng mixer = pcl_rng_from_seed(seed ^ UINT64_C(0x5eed0000));
        mixer.state += index * UINT64_C(0x1000193);
        proxy->rng = pcl_rng_from_seed(pcl_rng_next(&mixer));
        for (uint32_t node = 0; node < scenario->nodes; node++) {
            proxy->nodes[node].index = node;
            pcl_candidate_reset(&proxy->nodes[node], SIM_START_US);
        }
    }
    sim_schedule(world, SIM_START_US + SWEEP_US, SIM_EVENT_SWEEP, 0, 0);
}

void sim_proxies_free(sim_world *world)
{
    for (uint32_t index = 0; index < world->scenario->proxies; index++) {
        free(world->proxies[index].nodes);
        free(world->proxies[index].memories);
    }
    free(world->proxies);
}

/* --- Arrivals -------------------------------------------------------------- */

static double s_work_us(sim_world *world, uint32_t *out_class)
{
    const sim_work *work = &world->scenario->work;
    pcl_rng *rng = &world->arrivals;
    double mean_us = work->mean_ms * 1e3;
    *out_class = 0;
    switch (work->kind) {
    case SIM_WORK_EXPONENTIAL:
        return sim_exponential(rng, mean_us);
    case SIM_WORK_NORMAL:
        return fmax(1, sim_normal(rng, mean_us, mean_us * work->spread));
    case SIM_WORK_LOGNORMAL:
        return sim_lognormal(rng, mean_us, work->spread);
    case SIM_WORK_TWO:
        *out_class = sim_uniform(rng) < work->share ? 1 : 0;
        if (*out_class == 1) {
            return sim_exponential(rng, work->share_mean_ms * 1e3);
        }
        mean_us = (mean_us - work->share * work->share_mean_ms * 1e3) / (1 - work->share);
        return sim_exponential(rng, mean_us);
    }
    return mean_us;
}

static void s_schedule_arrival(sim_world *world)
{
    double gap_us = 1 / (world->rate_per_us * world->load_factor);
    world->arrival_us += world->scenario->constant_rate ? gap_us
                                                        : sim_exponential(&world->arrivals, gap_us);
    uint64_t at_us = (uint64_t)world->arrival_us;
    if (at_us >= world->end_us) {
        world->arrivals_over = true;
        return;
    }
    sim_schedule(world, at_us, SIM_EVENT_ARRIVAL, 0, 0);
}

static void s_link(sim_world *world, uint32_t index)
{
    sim_query *query = &world->queries[index];
    query->older = world->newest;
    query->newer = SIM_NONE;
    if (world->newest == SIM_NONE) {
        world->oldest = index;
    } else {
        world->queries[world->newest].newer = index;
    }
    world->newest = index;
    world->open_count++;
}

static void s_unlink(sim_world *world, uint32_t index)
{
    const sim_query *query = &world->queries[index];
    if (query->older == SIM_NONE) {
        world->oldest = query->newer;
    } else {
        world->queries[query->older].newer = query->newer;
    }
    if (query->newer == SIM_NONE) {
        world->newest = query->older;
    } else {
        world->queries[query->newer].older = query->older;
    }
    world->open_count--;
}

/* --- Sending --------------------------------------------------------------- */

static void s_close_bin(sim_world *world)
{
    for (uint32_t node = 0; node < world->scenario->nodes; node++) {
        double count = world->bin[node];
        world->bin_sum[node] += count;
        world->bin_square[node] += count * count;
        world->bin[node] = 0;
    }
    world->bin_count++;
}

static void s_count_sent(sim_world *world, const sim_query *query, uint32_t node)
{
    const sim_scenario *scenario = world->scenario;
    if (!query->measured) {
        return;
    }
    world->counts.sent++;
    world->counts.watched += node == scenario->watched ? 1 : 0;
    double lag_ms = world->servers[node].lag_ms;
    world->counts.stale += scenario->lag_bound_ms > 0 && lag_ms > scenario->lag_bound_ms ? 1 : 0;
    uint64_t number = world->now_us / BIN_US;
    if (number != world->bin_number) {
        if (world->bin_number != 0) {
            s_close_bin(world);
        }
        world->bin_number = number;
    }
    world->bin[node]++;
}

static bool s_was_tried(const sim_query *query, uint32_t node)
{
    for (uint32_t index = 0; index < query->attempt_count; index++) {
        if (query->tried[index] == node) {
            return true;
        }
    }
    return false;
}

static uint32_t s_gather(const sim_world *world, const sim_query *query,
                         const pcl_candidate **out_candidates)
{
    const sim_scenario *scenario = world->scenario;
    const sim_proxy *proxy = &world->proxies[query->proxy];
    uint32_t among = scenario->replicas_of_each > 0 ? scenario->replicas_of_each : scenario->nodes;
    uint32_t count = 0;
    for (uint32_t step = 0; step < among; step++) {
        uint32_t node = (query->first_node + step) % scenario->nodes;
        if (!s_was_tried(query, node)) {
            out_candidates[count++] = &proxy->nodes[node];
        }
    }
    return count;
}

static void s_send(sim_world *world, uint32_t query_index, uint32_t node)
{
    uint32_t index = sim_attempt_new(world);
    sim_query *query = &world->queries[query_index];
    sim_attempt *attempt = &world->attempts[index];
    attempt->query = query_index;
    attempt->server = node;
    attempt->proxy = query->proxy;
    attempt->class_index = query->class_index;
    attempt->left_us = query->work_us;
    attempt->sent_us = world->now_us;
    query->attempts[query->attempt_count] = index;
    query->tried[query->attempt_count++] = node;
    query->open_count++;
    pcl_candidate_sent(&world->proxies[query->proxy].nodes[node], world->now_us);
    world->servers[node].expected++;
    s_count_sent(world, query, node);
    uint64_t wait_us = (uint64_t)world->policy->wait_us;
    sim_schedule(world, world->now_us + wait_us + world->net_us, SIM_EVENT_REACH, index, 0);
}

static void s_ask(sim_world *world, const sim_query *query, uint32_t node)
{
    world->counts.probes += query->measured ? 1 : 0;
    sim_schedule(world, world->now_us + world->probe_us, SIM_EVENT_PROBE, node, query->proxy);
}

/* A baseline's: different nodes, drawn. */
static void s_ask_some(sim_world *world, const sim_query *query)
{
    sim_proxy *proxy = &world->proxies[query->proxy];
    uint32_t asked[SIM_POOL_MAX];
    uint32_t count = 0;
    while (count < world->policy->probes && count < world->scenario->nodes) {
        uint32_t node = pcl_rng_below(&proxy->rng, world->scenario->nodes);
        bool known = false;
        for (uint32_t index = 0; index < count; index++) {
            known = known || asked[index] == node;
        }
        if (known) {
            continue;
        }
        asked[count++] = node;
        s_ask(world, query, node);
    }
}

/* Chooses and sends; false when no node is left. */
static bool s_dispatch(sim_world *world, uint32_t query_index)
{
    sim_query *query = &world->queries[query_index];
    sim_proxy *proxy = &world->proxies[query->proxy];
    const pcl_candidate *candidates[SIM_NODES_MAX];
    pcl_choice_input input = {
        .candidates = candidates,
        .count = s_gather(world, query, candidates),
        .now_us = world->now_us,
        .rng = &proxy->rng,
    };
    if (input.count == 0) {
        return false;
    }
    if (world->scenario->beats == SIM_BEATS_LIVE) {
        for (uint32_t node = 0; node < world->scenario->nodes; node++) {
            world->rifs[node] = world->servers[node].rif;
        }
    }
    sim_question question = {
        .proxy = proxy,
        .input = &input,
        .servers = world->servers,
        .scenario = world->scenario,
        .rifs = world->scenario->beats == SIM_BEATS_LIVE ? world->rifs : NULL,
    };
    s_ask_some(world, query);
    uint32_t position = sim_policy_choose(world->policy, &question);
    assert(position < input.count);
    uint32_t asked = sim_policy_probe(world->policy, &question);
    if (asked != PCL_CHOICE_NONE) {
        s_ask(world, query, candidates[asked]->index);
    }
    s_send(world, query_index, candidates[position]->index);
    return true;
}

void sim_query_arrives(sim_world *world)
{
    const sim_scenario *scenario = world->scenario;
    uint32_t index = sim_query_new(world);
    sim_query *query = &world->queries[index];
    query->arrived_us = world->now_us;
    query->proxy = pcl_rng_below(&world->arrivals, scenario->proxies);
    query->work_us = s_work_us(world, &query->class_index);
    if (scenario->replicas_of_each > 0) {
        query->first_node = pcl_rng_below(&world->arrivals, scenario->nodes);
    }
    query->open = true;
    query->measured = sim_is_measured(world, world->now_us);
    s_link(world, index);
    s_schedule_arrival(world);
    (void)s_dispatch(world, index); /* all nodes are candidates of a new query */
}

/* --- Ends ------------------------------------------------------------------ */

static void s_note_latency(sim_world *world, const sim_query *query, bool failed)
{
    if (!query->measured) {
        return;
    }
    if (world->latency_count == world->latency_room) {
        world->latency_room = world->latency_room > 0 ? world->latency_room * 2 : 65536;
        world->latencies_ms = sim_grow(world->latencies_ms, world->latency_room,
                                       sizeof *world->latencies_ms);
    }
    double failed_ms = world->scenario->failed_ms > 0 ? world->scenario->failed_ms : 5000;
    double latency_us = failed ? failed_ms * 1e3 : (double)(world->now_us - query->arrived_us);
    world->latencies_ms[world->latency_count++] = (float)(latency_us / 1e3);
    world->counts.failed += failed ? 1 : 0;
    world->counts.avoidable_us += latency_us - query->work_us - 2 * (double)world->net_us;
}

static void s_query_ends(sim_world *world, uint32_t index, bool failed)
{
    sim_query *query = &world->queries[index];
    assert(query->open);
    query->open = false;
    s_unlink(world, index);
    s_note_latency(world, query, failed);
    for (uint32_t number = 0; number < query->attempt_count; number++) {
        sim_attempt *attempt = &world->attempts[query->attempts[number]];
        if (query->attempts[number] != SIM_NONE) {
            attempt->withdrawn = true;
            sim_schedule(world, world->now_us + world->net_us, SIM_EVENT_CANCEL,
                         query->attempts[number], attempt->life);
        }
    }
    if (query->open_count == 0) {
        sim_query_free(world, index);
    }
}

static void s_attempt_answered(sim_world *world, uint32_t index, const pcl_report *report)
{
    sim_attempt *attempt = &world->attempts[index];
    sim_query *query = &world->queries[attempt->query];
    sim_proxy *proxy = &world->proxies[attempt->proxy];
    pcl_candidate *candidate = &proxy->nodes[attempt->server];
    pcl_candidate_done(candidate, attempt->sent_us);
    if (!attempt->failed) {
        uint64_t total_us = world->now_us - attempt->sent_us;
        pcl_candidate_timed(candidate,
                            &(pcl_timing){.total_us = total_us,
                                          .exec_us = report->exec_us,
                                          .queue_us = report->queue_us},
                            world->now_us);
        if (world->policy->observe != NULL) {
            world->policy->observe(proxy, attempt->server, (double)total_us, world->now_us);
        }
    }
    for (uint32_t number = 0; number < query->attempt_count; number++) {
        if (query->attempts[number] == index) {
            query->attempts[number] = SIM_NONE;
        }
    }
    query->open_count--;
    uint32_t query_index = attempt->query;
    bool failed = attempt->failed;
    bool withdrawn = attempt->withdrawn;
    sim_attempt_free(world, index);
    if (withdrawn) {
        if (query->open_count == 0 && !query->open) {
            sim_query_free(world, query_index);
        }
    } else if (!failed) {
        s_query_ends(world, query_index, false);
    } else if (world->scenario->retry && query->attempt_count < SIM_ATTEMPTS_EACH &&
               s_dispatch(world, query_index)) {
        world->counts.retried++;
    } else if (query->open_count == 0) {
        s_query_ends(world, query_index, true);
    }
}

static void s_note_probe(sim_proxy *proxy, uint32_t node, const pcl_report *report, uint64_t now_us)
{
    for (uint32_t index = 0; index < proxy->pool_count; index++) {
        if (proxy->pool[index].node == node) { /* a newer answer replaces the older */
            proxy->pool[index] = proxy->pool[--proxy->pool_count];
            break;
        }
    }
    if (proxy->pool_count == SIM_POOL_MAX) {
        uint32_t oldest = 0;
        for (uint32_t index = 1; index < proxy->pool_count; index++) {
            oldest = proxy->pool[index].at_us < proxy->pool[oldest].at_us ? index : oldest;
        }
        proxy->pool[oldest] = proxy->pool[--proxy->pool_count];
    }
    double workers = report->workers;
    double slots = fmax(1, ((double)report->rif + 1) / workers);
    proxy->pool[proxy->pool_count++] = (sim_probe_answer){
        .at_us = now_us,
        .node = node,
        .rif = report->rif,
        .latency_us = (double)report->service_mean_us * slots,
    };
}

void sim_message_arrives(sim_world *world, uint32_t index)
{
    const sim_message *message = &world->messages[index];
    sim_proxy *proxy = &world->proxies[message->proxy];
    pcl_report report = message->report;
    uint32_t node = message->server;
    uint32_t attempt = message->attempt;
    bool is_probe = message->is_probe;
    sim_message_free(world, index);
    if (attempt == SIM_NONE || !world->policy->no_piggyback) {
        pcl_candidate_report(&proxy->nodes[node], &report, world->now_us);
        proxy->memories[node].rif = report.rif;
    }
    if (is_probe) {
        s_note_probe(proxy, node, &report, world->now_us);
        pcl_strategy_probed(&proxy->state, &proxy->nodes[node], world->now_us);
    }
    if (attempt != SIM_NONE) {
        s_attempt_answered(world, attempt, &report);
    }
}

void sim_queries_time_out(sim_world *world)
{
    while (world->oldest != SIM_NONE) {
        const sim_query *query = &world->queries[world->oldest];
        if (world->now_us - query->arrived_us < world->timeout_us) {
            break;
        }
        s_query_ends(world, world->oldest, true);
    }
    sim_schedule(world, world->now_us + SWEEP_US, SIM_EVENT_SWEEP, 0, 0);
}
