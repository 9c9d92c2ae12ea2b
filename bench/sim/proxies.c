/* proxies.c - proxies: what they hear of the nodes, in the books that ship. */
#include "bench/sim/engine.h"
#include "bench/sim/memory.h"
#include "common/clock.h"
#include "proxy/ejection.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t TICK_US = PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS;

static void s_start(sim_world *world, sim_proxy *proxy)
{
    uint32_t nodes = world->scenario->nodes;
    proxy->members = pcl_membership_new(nodes, SIM_START_US);
    assert(proxy->members != NULL);
    if (world->scenario->lag_bound_ms > 0) {
        pcl_membership_set_lag_max(proxy->members, (uint32_t)world->scenario->lag_bound_ms);
    }
    proxy->memories = sim_new(nodes, sizeof *proxy->memories);
    proxy->retries = pcl_retry_budget_full(SIM_START_US);
    for (uint32_t node = 0; node < nodes; node++) {
        char name[16];
        int size = snprintf(name, sizeof name, "node%u", node);
        uint32_t index = pcl_membership_add(proxy->members, pcl_bytes_of(name, (size_t)size));
        assert(index == node);
    }
}

void sim_proxies_start(sim_world *world, uint64_t seed)
{
    const sim_scenario *scenario = world->scenario;
    world->proxies = sim_new(scenario->proxies, sizeof *world->proxies);
    for (uint32_t index = 0; index < scenario->proxies; index++) {
        sim_proxy *proxy = &world->proxies[index];
        pcl_rng mixer = pcl_rng_from_seed(seed ^ UINT64_C(0x5eed0000));
        mixer.state += index * UINT64_C(0x1000193);
        proxy->rng = pcl_rng_from_seed(pcl_rng_next(&mixer));
        s_start(world, proxy);
        if (scenario->beat_ms > 0) { /* silence means something only where there are beats */
            uint64_t phase_us = index * TICK_US / scenario->proxies;
            sim_schedule(world, SIM_START_US + phase_us, SIM_EVENT_TICK, index, 0);
        }
    }
}

void sim_proxies_free(sim_world *world)
{
    for (uint32_t index = 0; index < world->scenario->proxies; index++) {
        pcl_membership_destroy(&world->proxies[index].members);
        free(world->proxies[index].memories);
    }
    free(world->proxies);
}

static void s_judge(sim_world *world, sim_proxy *proxy, uint32_t node)
{
    (void)pcl_ejection_judge(proxy->members, node, sim_health(world), false, &proxy->rng,
                             world->now_us);
}

void sim_proxy_judges(sim_world *world, const sim_attempt *attempt, pcl_health_verdict verdict)
{
    sim_proxy *proxy = &world->proxies[attempt->proxy];
    pcl_member *member = pcl_membership_at(proxy->members, attempt->server);
    bool back = pcl_health_ended(&member->health, sim_health(world), verdict, attempt->sent_us,
                                 &proxy->rng, world->now_us);
    if (!back && verdict == PCL_HEALTH_FAILED) {
        s_judge(world, proxy, attempt->server);
    }
}

void sim_proxy_ticks(sim_world *world, uint32_t index)
{
    sim_proxy *proxy = &world->proxies[index];
    uint32_t node;
    pcl_membership_tick(proxy->members, world->now_us);
    while (pcl_membership_next(proxy->members, world->now_us, &node) != PCL_MEMBER_NOTHING) {
        /* suspicion is in the books; what is in flight there stays */
    }
    pcl_ejection_compare(proxy->members, sim_health(world), world->now_us);
    for (node = 0; node < world->scenario->nodes; node++) {
        s_judge(world, proxy, node);
    }
    sim_schedule(world, world->now_us + TICK_US, SIM_EVENT_TICK, index, 0);
}

/* The pool of the baseline prequal-3. */
static void s_note_probe(sim_proxy *proxy, const sim_message *message, uint64_t now_us)
{
    for (uint32_t index = 0; index < proxy->pool_count; index++) {
        if (proxy->pool[index].node == message->server) { /* a newer answer replaces the older */
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
    proxy->pool[proxy->pool_count++] = (sim_probe_answer){
        .at_us = now_us,
        .node = message->server,
        .rif = message->report.rif,
        .latency_us = message->latency_us,
    };
}

void sim_node_leaves(sim_world *world, uint32_t node)
{
    for (uint32_t index = 0; index < world->scenario->proxies; index++) {
        (void)pcl_membership_bye(world->proxies[index].members, node); /* it finishes its work */
    }
}

static void s_hear(sim_world *world, sim_proxy *proxy, uint32_t node, const pcl_report *report)
{
    pcl_member_action action;
    if (!pcl_membership_heard(proxy->members, node, report->boot_id, world->now_us, &action)) {
        return; /* the last words of an earlier run */
    }
    (void)action; /* what is in flight on a restarted node is answered all the same */
}

void sim_message_arrives(sim_world *world, uint32_t index)
{
    const sim_message message = world->messages[index];
    sim_proxy *proxy = &world->proxies[message.proxy];
    uint32_t node = message.server;
    sim_message_free(world, index);
    s_hear(world, proxy, node, &message.report);
    if (message.attempt == SIM_NONE || !world->policy->no_piggyback) {
        (void)pcl_membership_report(proxy->members, node, &message.report, world->now_us);
        proxy->memories[node].rif = message.report.rif;
    }
    if (message.is_probe) {
        s_note_probe(proxy, &message, world->now_us);
        pcl_strategy_probed(&proxy->state, &pcl_membership_at(proxy->members, node)->candidate,
                            world->now_us);
    }
    if (message.attempt != SIM_NONE) {
        sim_query_answered(world, message.attempt, &message.report);
    }
}
