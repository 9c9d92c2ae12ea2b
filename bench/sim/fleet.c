/* fleet.c - servers: queues, workers, and what agents say. */
#include "bench/sim/dice.h"
#include "bench/sim/engine.h"
#include "bench/sim/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static uint64_t s_us(double us)
{
    return (uint64_t)llround(us);
}

static void s_say(sim_world *world, uint32_t server, uint32_t proxy, uint32_t attempt,
                  bool is_probe)
{
    uint32_t index = sim_message_new(world);
    sim_message *message = &world->messages[index];
    const sim_attempt *answered = attempt != SIM_NONE ? &world->attempts[attempt] : NULL;
    message->report = sim_server_report(&world->servers[server], proxy, answered, world->now_us);
    double noise_ms = world->scenario->lag_noise_ms;
    if (noise_ms > 0 && message->report.lag_ms > 0) {
        message->report.lag_ms += (int32_t)sim_between(&world->beats, 0, noise_ms);
    }
    message->latency_us = world->servers[server].slot_us *
                          sim_server_rounds(&world->servers[server], message->report.rif + 1);
    message->server = server;
    message->proxy = proxy;
    message->attempt = attempt;
    message->is_probe = is_probe;
    uint64_t way_us = is_probe ? world->probe_us : world->net_us;
    sim_schedule(world, world->now_us + way_us, SIM_EVENT_MESSAGE, index, 0);
}

/* The end of what is left of the work, at the speed there is now. */
static void s_schedule_end(sim_world *world, uint32_t index)
{
    sim_attempt *attempt = &world->attempts[index];
    double speed = sim_server_speed(&world->servers[attempt->server], attempt->class_index);
    attempt->version++;
    attempt->worked_us = world->now_us;
    if (speed > 0) {
        sim_schedule(world, world->now_us + s_us(attempt->left_us / speed), SIM_EVENT_END, index,
                     attempt->version);
    }
}

static void s_begin(sim_world *world, uint32_t index)
{
    sim_attempt *attempt = &world->attempts[index];
    sim_server *server = &world->servers[attempt->server];
    assert(server->running_count < server->workers);
    server->running[server->running_count++] = index;
    attempt->is_running = true;
    attempt->began_us = world->now_us;
    s_schedule_end(world, index);
}

static void s_enqueue(sim_world *world, uint32_t index)
{
    sim_attempt *attempt = &world->attempts[index];
    sim_server *server = &world->servers[attempt->server];
    attempt->next = SIM_NONE;
    attempt->in_queue = true;
    if (server->queue_first == SIM_NONE) {
        server->queue_first = index;
    } else {
        world->attempts[server->queue_last].next = index;
    }
    server->queue_last = index;
}

static void s_begin_next(sim_world *world, sim_server *server)
{
    if (server->queue_first == SIM_NONE || server->running_count == server->workers) {
        return;
    }
    uint32_t index = server->queue_first;
    server->queue_first = world->attempts[index].next;
    world->attempts[index].in_queue = false;
    s_begin(world, index);
}

/* It is here no more, for whatever reason. */
static void s_leave(sim_world *world, uint32_t index)
{
    sim_attempt *attempt = &world->attempts[index];
    sim_server *server = &world->servers[attempt->server];
    server->rif--;
    server->yours[attempt->proxy]--;
    server->expected--;
    s_say(world, attempt->server, attempt->proxy, index, false);
}

static void s_stop_running(sim_server *server, uint32_t index)
{
    uint32_t place = 0;
    while (server->running[place] != index) {
        place++;
    }
    server->running[place] = server->running[--server->running_count];
}

void sim_attempt_reaches(sim_world *world, uint32_t index)
{
    sim_attempt *attempt = &world->attempts[index];
    sim_server *server = &world->servers[attempt->server];
    server->rif++;
    server->yours[attempt->proxy]++;
    attempt->reached_us = world->now_us;
    attempt->met_rif = server->rif;
    attempt->here = true;
    bool fails = server->failing > 0 && sim_uniform(&world->mishaps) < server->failing;
    if (attempt->withdrawn || fails) {
        attempt->failed = true;
        attempt->fault = fails;
        server->errors += fails ? 1 : 0;
        s_leave(world, index);
    } else if (server->running_count < server->workers) {
        s_begin(world, index);
    } else {
        s_enqueue(world, index);
    }
}

static void s_note_slot(sim_server *server, const sim_attempt *attempt)
{
    static const double SMOOTHING = 0.1;
    double latency_us = (double)(attempt->ended_us - attempt->reached_us);
    double sample_us = latency_us / sim_server_rounds(server, attempt->met_rif);
    server->slot_us = server->slot_us > 0
                          ? server->slot_us + SMOOTHING * (sample_us - server->slot_us)
                          : sample_us;
}

void sim_attempt_ends(sim_world *world, uint32_t index, uint32_t version)
{
    sim_attempt *attempt = &world->attempts[index];
    if (attempt->version != version || !attempt->is_running) {
        return;
    }
    sim_server *server = &world->servers[attempt->server];
    s_stop_running(server, index);
    attempt->is_running = false;
    attempt->ended_us = world->now_us;
    server->served++;
    if (!attempt->killed) {
        s_note_slot(server, attempt);
        pcl_service_add(&server->service, attempt->ended_us - attempt->began_us, world->now_us);
    }
    s_leave(world, index);
    s_begin_next(world, server);
}

static void s_unqueue(sim_world *world, sim_server *server, uint32_t index)
{
    uint32_t before = SIM_NONE;
    for (uint32_t at = server->queue_first; at != index; at = world->attempts[at].next) {
        before = at;
    }
    uint32_t next = world->attempts[index].next;
    if (before == SIM_NONE) {
        server->queue_first = next;
    } else {
        world->attempts[before].next = next;
    }
    if (server->queue_last == index) {
        server->queue_last = before;
    }
}

void sim_attempt_cancelled(sim_world *world, uint32_t index, uint32_t life)
{
    sim_attempt *attempt = &world->attempts[index];
    if (attempt->life != life || (!attempt->in_queue && !attempt->is_running)) {
        return; /* answered already, or still on its way here */
    }
    sim_server *server = &world->servers[attempt->server];
    attempt->failed = true;
    if (attempt->is_running && !(sim_server_speed(server, attempt->class_index) > 0)) {
        attempt->killed = true;
        return;
    }
    if (attempt->in_queue) {
        s_unqueue(world, server, index);
        attempt->in_queue = false;
    } else {
        s_stop_running(server, index);
        attempt->is_running = false;
        attempt->version++;
    }
    s_leave(world, index);
    s_begin_next(world, server);
}

void sim_server_speed_changed(sim_world *world, uint32_t index)
{
    sim_server *server = &world->servers[index];
    for (uint32_t place = 0; place < server->running_count; place++) {
        sim_attempt *attempt = &world->attempts[server->running[place]];
        double speed = server->speed_now[attempt->class_index];
        double done_us = speed * (double)(world->now_us - attempt->worked_us);
        attempt->left_us = attempt->killed ? 0 : fmax(0, attempt->left_us - done_us);
        s_schedule_end(world, server->running[place]);
    }
    for (uint32_t class_index = 0; class_index < SIM_CLASSES_MAX; class_index++) {
        server->speed_now[class_index] = sim_server_speed(server, class_index);
    }
}

void sim_server_tells(sim_world *world, uint32_t server, uint32_t proxy)
{
    const sim_scenario *scenario = world->scenario;
    uint32_t server_end = server == SIM_ALL ? scenario->nodes : server + 1;
    uint32_t proxy_end = proxy == SIM_ALL ? scenario->proxies : proxy + 1;
    for (uint32_t to = proxy == SIM_ALL ? 0 : proxy; to < proxy_end; to++) {
        for (uint32_t from = server == SIM_ALL ? 0 : server; from < server_end; from++) {
            if (!world->servers[from].away) {
                s_say(world, from, to, SIM_NONE, false);
            }
        }
    }
}

void sim_server_beats(sim_world *world, uint32_t server, uint32_t proxy)
{
    const sim_scenario *scenario = world->scenario;
    if (!world->beats_lost) {
        sim_server_tells(world, server, proxy);
    }
    double period_us = scenario->beat_ms * 1e3;
    if (scenario->beats == SIM_BEATS_PAIR) {
        period_us *= sim_between(&world->beats, 0.8, 1.2);
    }
    sim_schedule(world, world->now_us + s_us(period_us), SIM_EVENT_BEAT, server, proxy);
}

void sim_server_probed(sim_world *world, uint32_t server, uint32_t proxy)
{
    s_say(world, server, proxy, SIM_NONE, true);
}

static void s_start_beats(sim_world *world)
{
    const sim_scenario *scenario = world->scenario;
    double period_us = scenario->beat_ms * 1e3;
    if (period_us <= 0 || scenario->beats == SIM_BEATS_LIVE) {
        return;
    }
    if (scenario->beats == SIM_BEATS_SYNC) {
        sim_schedule(world, SIM_START_US, SIM_EVENT_BEAT, SIM_ALL, SIM_ALL);
        return;
    }
    for (uint32_t proxy = 0; proxy < scenario->proxies; proxy++) {
        uint32_t count = scenario->beats == SIM_BEATS_PAIR ? scenario->nodes : 1;
        for (uint32_t server = 0; server < count; server++) {
            double phase_us = sim_between(&world->beats, 0, period_us);
            sim_schedule(world, SIM_START_US + s_us(phase_us), SIM_EVENT_BEAT,
                         count > 1 ? server : SIM_ALL, proxy);
        }
    }
}

void sim_fleet_start(sim_world *world, uint64_t seed)
{
    const sim_scenario *scenario = world->scenario;
    assert(scenario->nodes > 0 && scenario->nodes <= SIM_NODES_MAX);
    assert(scenario->workers > 0 && scenario->workers <= SIM_WORKERS_MAX);
    for (uint32_t index = 0; index < scenario->nodes; index++) {
        sim_server *server = &world->servers[index];
        *server = (sim_server){
            .own_speed = scenario->speeds != NULL ? scenario->speeds[index] : 1,
            .factor = 1,
            .class_factor = 1,
            .drift_factor = 1,
            .cold_factor = 1,
            .workers = scenario->workers,
            .queue_first = SIM_NONE,
            .queue_last = SIM_NONE,
            .yours = sim_new(scenario->proxies, sizeof *server->yours),
            .boot_id = seed * SIM_NODES_MAX + index + 1,
        };
        sim_server_speed_changed(world, index);
    }
    sim_server_tells(world, SIM_ALL, SIM_ALL); /* an agent's first words when a link comes up */
    s_start_beats(world);
}

void sim_fleet_free(sim_world *world)
{
    for (uint32_t index = 0; index < world->scenario->nodes; index++) {
        free(world->servers[index].yours);
    }
}
