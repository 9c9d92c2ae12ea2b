/* send.c - how a query is sent: the shipped rules say who may take it, the policy
 * chooses, and what is late is sent once more. */
#include "bench/sim/engine.h"
#include "common/clock.h"

#include <assert.h>

static const uint64_t BIN_US = 50000;
static const double HEDGE_SHARE = 0.05;

/* As the proxy ships, but times eject nobody: that is for the policies to deal with. */
const pcl_health_rules *sim_health(const sim_world *world)
{
    static const pcl_health_rules RULES = {
        .failures_max = 3, .base_us = PCL_US_PER_S, .max_us = 30 * PCL_US_PER_S};
    static const pcl_health_rules NONE = {0};
    return world->scenario->no_ejection || world->policy->is_oracle ? &NONE : &RULES;
}

void sim_bins_close(sim_world *world)
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
    double lag_ms = sim_server_lag_ms(&world->servers[node], world->now_us);
    world->counts.stale += scenario->lag_bound_ms > 0 && lag_ms > scenario->lag_bound_ms ? 1 : 0;
    uint64_t moment = (world->now_us - SIM_START_US) / SIM_MOMENT_US;
    if (moment < world->moment_count) {
        world->moment_sent[moment]++;
        world->moment_watched[moment] += node == scenario->watched ? 1 : 0;
    }
    uint64_t number = world->now_us / BIN_US;
    if (number != world->bin_number) {
        if (world->bin_number != 0) {
            sim_bins_close(world);
        }
        world->bin_number = number;
    }
    world->bin[node]++;
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

static uint32_t s_send_to(sim_world *world, uint32_t query_index, uint32_t node, bool trial)
{
    uint32_t index = sim_attempt_new(world);
    sim_query *query = &world->queries[query_index];
    sim_attempt *attempt = &world->attempts[index];
    pcl_member *member = pcl_membership_at(world->proxies[query->proxy].members, node);
    attempt->query = query_index;
    attempt->server = node;
    attempt->proxy = query->proxy;
    attempt->class_index = query->class_index;
    attempt->left_us = query->work_us;
    attempt->sent_us = world->now_us;
    query->attempts[query->attempt_count++] = index;
    pcl_node_set_add(&query->tried, node);
    query->open_count++;
    pcl_candidate_sent(&member->candidate, world->now_us);
    if (trial) {
        pcl_health_try(&member->health, world->now_us);
    }
    world->servers[node].expected++;
    s_count_sent(world, query, node);
    uint64_t wait_us = (uint64_t)world->policy->wait_us;
    sim_schedule(world, world->now_us + wait_us + world->net_us, SIM_EVENT_REACH, index, 0);
    return index;
}

static pcl_need s_need(sim_world *world, const sim_query *query)
{
    double lag_ms = world->scenario->lag_bound_ms;
    return (pcl_need){
        .read = true,
        .lag_ms_max = lag_ms > 0 ? (uint32_t)lag_ms : UINT32_MAX - 1,
        .node_inflight_max = UINT32_MAX,
        .tried = query->tried,
        .turn = world->proxies[query->proxy].turn++,
        .health = sim_health(world),
    };
}

/* One of the candidates, by the policy; sends there. */
static uint32_t s_choose_and_send(sim_world *world, uint32_t query_index,
                                  const pcl_candidates *candidates)
{
    const sim_query *query = &world->queries[query_index];
    sim_proxy *proxy = &world->proxies[query->proxy];
    bool live = world->scenario->beats == SIM_BEATS_LIVE;
    for (uint32_t node = 0; live && node < world->scenario->nodes; node++) {
        world->rifs[node] = world->servers[node].rif;
    }
    pcl_choice_input input = {
        .candidates = candidates->fit,
        .count = candidates->count,
        .now_us = world->now_us,
        .lag_ms_max = (uint32_t)world->scenario->lag_bound_ms,
        .rng = &proxy->rng,
    };
    sim_question question = {
        .proxy = proxy,
        .input = &input,
        .servers = world->servers,
        .class_index = query->class_index,
        .now_us = world->now_us,
        .scenario = world->scenario,
        .rifs = live ? world->rifs : NULL,
    };
    s_ask_some(world, query);
    uint32_t position = sim_policy_choose(world->policy, &question);
    assert(position < input.count);
    uint32_t asked = sim_policy_probe(world->policy, &question);
    if (asked != PCL_CHOICE_NONE) {
        s_ask(world, query, candidates->fit[asked]->index);
    }
    uint32_t node = candidates->fit[position]->index;
    uint32_t seen_rif = sim_seen_rif(world->policy, &question, node);
    uint32_t attempt = s_send_to(world, query_index, node, candidates->trial);
    world->attempts[attempt].seen_rif = seen_rif;
    return attempt;
}

/* Coming and going for lag should be rare: each time load moves. */
static void s_note_lag_move(sim_world *world, sim_proxy *proxy, const pcl_candidates *candidates)
{
    pcl_left_out why = candidates->why[world->scenario->watched];
    bool behind = why == PCL_LEFT_OUT_LAG || why == PCL_LEFT_OUT_LAG_SETTLES;
    world->counts.lag_moves += behind != proxy->watched_behind ? 1 : 0;
    proxy->watched_behind = behind;
}

bool sim_query_send(sim_world *world, uint32_t index)
{
    sim_query *query = &world->queries[index];
    sim_proxy *proxy = &world->proxies[query->proxy];
    pcl_candidates candidates;
    pcl_need need = s_need(world, query);
    need.may_try = query->attempt_count == 0;
    pcl_candidates_find(proxy->members, &need, world->now_us, &candidates);
    s_note_lag_move(world, proxy, &candidates);
    if (candidates.count == 0) {
        return false;
    }
    (void)s_choose_and_send(world, index, &candidates); /* its query knows it */
    uint64_t delay_us;
    if (query->attempt_count == 1) {
        query->sent_us = world->now_us;
        if (world->policy->hedges) {
            pcl_hedge_earn(&proxy->hedge, HEDGE_SHARE);
        }
    }
    if (world->policy->hedges && pcl_hedge_delay_us(&proxy->hedge, &delay_us)) {
        sim_schedule(world, world->now_us + delay_us, SIM_EVENT_LATE, index, query->life);
    }
    return true;
}

/* Whether and where; leaves in *candidates who may take the copy. */
static pcl_hedge_verdict s_judge(sim_world *world, const sim_query *query,
                                 pcl_candidates *candidates)
{
    sim_proxy *proxy = &world->proxies[query->proxy];
    pcl_hedge_case facts = {
        .tokens = pcl_hedge_has(&proxy->hedge) &&
                  pcl_retry_budget_has(&proxy->retries, world->now_us),
        .room = true,
        .left_us = pcl_time_left_us(query->arrived_us + world->timeout_us, world->now_us),
        .attempts = query->attempt_count,
    };
    pcl_need need = s_need(world, query);
    pcl_candidates_find(proxy->members, &need, world->now_us, candidates);
    facts.other = candidates->count > 0 && !candidates->suspect;
    facts.load = pcl_hedge_load(candidates);
    pcl_hedge_leave_idle(candidates);
    facts.idle = candidates->count > 0;
    return pcl_hedge_decide(&proxy->hedge, &facts);
}

void sim_query_is_late(sim_world *world, uint32_t index, uint32_t life)
{
    sim_query *query = &world->queries[index];
    if (query->life != life || !query->open || query->hedged) {
        return;
    }
    sim_proxy *proxy = &world->proxies[query->proxy];
    pcl_candidates candidates;
    uint64_t delay_us;
    switch (s_judge(world, query, &candidates)) {
    case PCL_HEDGE_SEND:
        query->hedged = true;
        world->attempts[s_choose_and_send(world, index, &candidates)].is_hedge = true;
        pcl_hedge_spend(&proxy->hedge);
        pcl_retry_budget_spend(&proxy->retries);
        world->counts.hedged += query->measured ? 1 : 0;
        break;
    case PCL_HEDGE_LATER:
    case PCL_HEDGE_STARVED:
        if (pcl_hedge_delay_us(&proxy->hedge, &delay_us)) {
            sim_schedule(world, world->now_us + delay_us, SIM_EVENT_LATE, index, life);
        }
        break;
    case PCL_HEDGE_NEVER:
        break;
    }
}
