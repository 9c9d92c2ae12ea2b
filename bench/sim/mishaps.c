/* mishaps.c - what befalls the servers: the scenario's changes, and chance. */
#include "bench/sim/dice.h"
#include "bench/sim/engine.h"

#include <assert.h>
#include <math.h>

static const double NOISY_SHARE = 0.3;
static const uint64_t WARMING_STEP_US = 250000;

static uint64_t s_us(double us)
{
    return (uint64_t)llround(us);
}

static double s_drift_pause_us(sim_world *world)
{
    double every_us = world->scenario->drift_every_ms * 1e3;
    return every_us * sim_between(&world->mishaps, 0.5, 1.5);
}

/* How long until it drifts again. */
static double s_drift(sim_world *world, uint32_t index)
{
    const sim_scenario *scenario = world->scenario;
    sim_server *server = &world->servers[index];
    double every_us = scenario->drift_every_ms * 1e3;
    switch (scenario->drift) {
    case SIM_DRIFT_NONE:
        return 0;
    case SIM_DRIFT_PAUSES:
        server->paused = true;
        sim_schedule(world, world->now_us + s_us(scenario->drift_for_ms * 1e3), SIM_EVENT_RESUME,
                     index, 0);
        break;
    case SIM_DRIFT_FLIP:
        server->drift_factor = sim_uniform(&world->mishaps) < 0.5 ? 1 : scenario->drift_factor;
        break;
    case SIM_DRIFT_NOISE:
        if (!server->noisy) {
            server->drift_factor = sim_between(&world->mishaps, 1.2, 2.0);
        } else if (sim_uniform(&world->mishaps) < 0.5) {
            server->drift_factor = sim_between(&world->mishaps, 0.3, 0.7);
        } else {
            server->drift_factor = sim_between(&world->mishaps, 0.9, 1.3);
        }
        every_us = s_drift_pause_us(world);
        break;
    }
    sim_server_speed_changed(world, index);
    return every_us;
}

void sim_server_drifts(sim_world *world, uint32_t index)
{
    uint64_t after_us = s_us(s_drift(world, index));
    sim_schedule(world, world->now_us + after_us, SIM_EVENT_DRIFT, index, 0);
}

void sim_mishaps_start(sim_world *world)
{
    const sim_scenario *scenario = world->scenario;
    for (uint32_t number = 0; number < scenario->change_count; number++) {
        sim_schedule(world, SIM_START_US + s_us(scenario->changes[number].at_s * 1e6),
                     SIM_EVENT_CHANGE, number, 0);
    }
    if (scenario->drift == SIM_DRIFT_NONE) {
        return;
    }
    for (uint32_t server = 0; server < scenario->nodes; server++) {
        world->servers[server].noisy = sim_uniform(&world->mishaps) < NOISY_SHARE;
        uint64_t phase_us = s_us(sim_between(&world->mishaps, 0, scenario->drift_every_ms * 1e3));
        if (scenario->drift != SIM_DRIFT_PAUSES) {
            s_drift(world, server); /* it has a state from the start */
        }
        sim_schedule(world, SIM_START_US + phase_us, SIM_EVENT_DRIFT, server, 0);
    }
}

static void s_change_node(sim_world *world, const sim_change *change, uint32_t index)
{
    sim_server *server = &world->servers[index];
    switch (change->kind) {
    case SIM_CHANGE_SPEED:
        server->factor = change->value;
        break;
    case SIM_CHANGE_FAIL:
        server->failing = change->value;
        break;
    case SIM_CHANGE_CLASS:
        server->class_factor = change->value;
        break;
    case SIM_CHANGE_LAG:
        server->lag_us = 1e3 * sim_server_lag_ms(server, world->now_us);
        server->lag_slope = change->value;
        server->lag_since_us = world->now_us;
        break;
    case SIM_CHANGE_COLD:
        server->cold_factor = change->value;
        server->cold_since_us = world->now_us;
        server->service = (pcl_service){0};
        server->boot_id += UINT64_C(1) << 32;
        server->away = false;
        sim_server_tells(world, index, SIM_ALL);
        sim_schedule(world, world->now_us + WARMING_STEP_US, SIM_EVENT_WARMING, index, 0);
        break;
    case SIM_CHANGE_LEAVE:
        server->away = true;
        sim_node_leaves(world, index);
        break;
    case SIM_CHANGE_LOAD:
    case SIM_CHANGE_BEATS:
        assert(false); /* these are of no node */
    }
    sim_server_speed_changed(world, index);
}

void sim_change_happens(sim_world *world, uint32_t number)
{
    const sim_change *change = &world->scenario->changes[number];
    if (change->kind == SIM_CHANGE_LOAD) {
        world->load_factor = change->value;
    } else if (change->kind == SIM_CHANGE_BEATS) {
        world->beats_lost = !(change->value > 0);
    } else {
        for (uint32_t index = change->first; index < change->first + change->count; index++) {
            s_change_node(world, change, index);
        }
    }
    if (change->every_s > 0) {
        sim_schedule(world, world->now_us + s_us(change->every_s * 1e6), SIM_EVENT_CHANGE, number,
                     0);
    }
}

void sim_server_resumes(sim_world *world, uint32_t index)
{
    world->servers[index].paused = false;
    sim_server_speed_changed(world, index);
}

void sim_server_warms(sim_world *world, uint32_t index)
{
    sim_server *server = &world->servers[index];
    double gone_s = (double)(world->now_us - server->cold_since_us) / 1e6;
    double step_s = (double)WARMING_STEP_US / 1e6;
    double left_s = fmax(0, world->scenario->cold_s - gone_s);
    double excess = (server->cold_factor - 1) * left_s / (left_s + step_s); /* a straight line */
    server->cold_factor = 1 + excess;
    sim_server_speed_changed(world, index);
    if (left_s > 0) {
        sim_schedule(world, world->now_us + WARMING_STEP_US, SIM_EVENT_WARMING, index, 0);
    }
}
