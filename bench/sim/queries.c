/* queries.c - queries: how they come and how they end. */
#include "bench/sim/dice.h"
#include "bench/sim/engine.h"
#include "bench/sim/memory.h"
#include "proxy/ejection.h"

#include <assert.h>
#include <math.h>

static const uint64_t SWEEP_US = 5000;

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
        for (;;) {
            double size_us = sim_normal(rng, mean_us, mean_us * work->spread);
            if (size_us > 0) {
                return size_us;
            }
        }
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

static void s_withdraw(sim_world *world, const sim_query *query, bool late)
{
    for (uint32_t number = 0; number < query->attempt_count; number++) {
        uint32_t index = query->attempts[number];
        if (index == SIM_NONE) {
            continue;
        }
        sim_attempt *attempt = &world->attempts[index];
        attempt->withdrawn = true;
        uint64_t waited_us = world->now_us - attempt->sent_us;
        pcl_membership *members = world->proxies[attempt->proxy].members;
        pcl_candidate *candidate = &pcl_membership_at(members, attempt->server)->candidate;
        if (!late) {
            pcl_candidate_outrun(candidate, waited_us, world->now_us);
        } else {
            pcl_candidate_gave_up(candidate, waited_us, world->now_us);
            sim_proxy_judges(world, attempt,
                             pcl_ejection_of_end(PCL_ATTEMPT_EXPIRED, true, waited_us));
        }
        if (world->policy->observe != NULL) { /* it would have taken longer still */
            world->policy->observe(&world->proxies[attempt->proxy], attempt, (double)waited_us);
        }
        sim_schedule(world, world->now_us + world->net_us, SIM_EVENT_CANCEL, index, attempt->life);
    }
}

static void s_query_ends(sim_world *world, uint32_t index, bool failed)
{
    sim_query *query = &world->queries[index];
    assert(query->open);
    query->open = false;
    s_unlink(world, index);
    s_note_latency(world, query, failed);
    s_withdraw(world, query, failed);
    if (query->open_count == 0) {
        sim_query_free(world, index);
    }
}

void sim_query_arrives(sim_world *world)
{
    const sim_scenario *scenario = world->scenario;
    uint32_t index = sim_query_new(world);
    sim_query *query = &world->queries[index];
    query->arrived_us = world->now_us;
    query->proxy = pcl_rng_below(&world->arrivals, scenario->proxies);
    query->work_us = s_work_us(world, &query->class_index);
    query->open = true;
    query->measured = world->now_us >= world->measure_us;
    if (scenario->replicas_of_each > 0) {
        query->first_node = pcl_rng_below(&world->arrivals, scenario->nodes);
        for (uint32_t step = scenario->replicas_of_each; step < scenario->nodes; step++) {
            pcl_node_set_add(&query->tried, (query->first_node + step) % scenario->nodes);
        }
    }
    s_link(world, index);
    s_schedule_arrival(world);
    pcl_retry_budget_earn(&world->proxies[query->proxy].retries, world->now_us);
    if (!sim_query_send(world, index)) {
        s_query_ends(world, index, true);
    }
}

static void s_note_time(sim_world *world, const sim_attempt *attempt, const pcl_report *report)
{
    sim_proxy *proxy = &world->proxies[attempt->proxy];
    uint64_t total_us = world->now_us - attempt->sent_us;
    pcl_candidate_timed(&pcl_membership_at(proxy->members, attempt->server)->candidate,
                        &(pcl_timing){.total_us = total_us,
                                      .exec_us = report->exec_us,
                                      .queue_us = report->queue_us},
                        world->now_us);
    if (world->policy->observe != NULL) {
        world->policy->observe(proxy, attempt, (double)total_us);
    }
}

/* Takes it off its node's books and its query's list. */
static void s_leave(sim_world *world, uint32_t index)
{
    const sim_attempt *attempt = &world->attempts[index];
    sim_query *query = &world->queries[attempt->query];
    pcl_membership *members = world->proxies[attempt->proxy].members;
    pcl_candidate_done(&pcl_membership_at(members, attempt->server)->candidate, attempt->sent_us);
    for (uint32_t number = 0; number < query->attempt_count; number++) {
        if (query->attempts[number] == index) {
            query->attempts[number] = SIM_NONE;
        }
    }
    query->open_count--;
}

/* An attempt of an open query failed: again elsewhere, or wait for the other
 * copy, or that was it. */
static void s_failed(sim_world *world, uint32_t index)
{
    sim_query *query = &world->queries[index];
    pcl_retry_budget *retries = &world->proxies[query->proxy].retries;
    if (query->open_count > 0) {
        return;
    }
    if (world->scenario->retry && query->attempt_count < PCL_ATTEMPTS_MAX &&
        pcl_retry_budget_has(retries, world->now_us) && sim_query_send(world, index)) {
        pcl_retry_budget_spend(retries);
        world->counts.retried += query->measured ? 1 : 0;
        return;
    }
    s_query_ends(world, index, true);
}

void sim_query_answered(sim_world *world, uint32_t index, const pcl_report *report)
{
    sim_attempt *attempt = &world->attempts[index];
    uint32_t query_index = attempt->query;
    sim_query *query = &world->queries[query_index];
    bool failed = attempt->failed;
    bool withdrawn = attempt->withdrawn;
    pcl_err code = !failed ? PCL_ERR_OK : attempt->fault ? PCL_ERR_LOST : PCL_ERR_CANCELLED;
    sim_proxy_judges(world, attempt,
                     pcl_ejection_of_reply(code, report->fault, world->now_us - attempt->sent_us));
    if (!failed) {
        s_note_time(world, attempt, report);
    }
    bool is_hedge = attempt->is_hedge;
    s_leave(world, index);
    sim_attempt_free(world, index);
    if (withdrawn) {
        if (query->open_count == 0 && !query->open) {
            sim_query_free(world, query_index);
        }
    } else if (failed) {
        s_failed(world, query_index);
    } else {
        world->counts.hedges_won += query->measured && is_hedge ? 1 : 0;
        if (world->policy->hedges) {
            pcl_hedge_observe(&world->proxies[query->proxy].hedge, world->now_us - query->sent_us);
        }
        s_query_ends(world, query_index, false);
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
