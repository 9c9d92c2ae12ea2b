#include "bench/sim/world.h"

#include "bench/sim/engine.h"
#include "bench/sim/memory.h"
#include "common/clock.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double TIMEOUT_MS = 5000;

void sim_schedule(sim_world *world, uint64_t at_us, sim_event_kind kind, uint32_t a, uint32_t b)
{
    sim_heap_add(&world->heap, (sim_event){.at_us = at_us, .kind = kind, .a = a, .b = b});
}

static uint64_t s_us(double us)
{
    return (uint64_t)llround(us);
}

static double s_mean_work_us(const sim_work *work)
{
    double mean_us = work->mean_ms * 1e3;
    if (work->kind != SIM_WORK_NORMAL) {
        return mean_us;
    }
    /* What is cut off at 0 raises the mean. */
    static const double DENSITY_AT_0 = 0.3989422804014327;
    double cut = 1 / work->spread;
    double density = DENSITY_AT_0 * exp(-cut * cut / 2);
    return mean_us + mean_us * work->spread * density / (0.5 * erfc(-cut / sqrt(2)));
}

static double s_capacity_per_us(const sim_scenario *scenario)
{
    double speed_sum = 0;
    for (uint32_t index = 0; index < scenario->nodes; index++) {
        speed_sum += scenario->speeds != NULL ? scenario->speeds[index] : 1;
    }
    return speed_sum * scenario->workers / s_mean_work_us(&scenario->work);
}

static pcl_rng s_stream(uint64_t seed, uint64_t number)
{
    pcl_rng rng = pcl_rng_from_seed(seed * UINT64_C(0x100000001b3) + number);
    return pcl_rng_from_seed(pcl_rng_next(&rng));
}

static void s_start(sim_world *world, uint64_t seed)
{
    const sim_scenario *scenario = world->scenario;
    double timeout_ms = scenario->timeout_ms > 0 ? scenario->timeout_ms : TIMEOUT_MS;
    double probe_ms = scenario->probe_ms > 0 ? scenario->probe_ms : scenario->net_ms;
    world->now_us = SIM_START_US;
    world->measure_us = SIM_START_US + s_us(scenario->warm_s * 1e6);
    world->end_us = SIM_START_US + s_us(scenario->run_s * 1e6);
    world->net_us = s_us(scenario->net_ms * 1e3);
    world->probe_us = s_us(probe_ms * 1e3);
    world->timeout_us = s_us(timeout_ms * 1e3);
    world->rate_per_us = scenario->rate_per_s > 0 ? scenario->rate_per_s / 1e6
                                                  : scenario->load * s_capacity_per_us(scenario);
    world->load_factor = 1;
    world->arrival_us = (double)SIM_START_US;
    world->arrivals = s_stream(seed, 1);
    world->mishaps = s_stream(seed, 2);
    world->beats = s_stream(seed, 3);
    world->moment_count = (uint32_t)((world->end_us - SIM_START_US) / SIM_MOMENT_US);
    world->moment_sent = sim_new(world->moment_count, sizeof *world->moment_sent);
    world->moment_watched = sim_new(world->moment_count, sizeof *world->moment_watched);
    world->query_free = world->attempt_free = world->message_free = SIM_NONE;
    world->oldest = world->newest = SIM_NONE;
    sim_proxies_start(world, seed);
    sim_fleet_start(world, seed);
    sim_mishaps_start(world);
    sim_schedule(world, SIM_START_US, SIM_EVENT_ARRIVAL, 0, 0);
    sim_schedule(world, SIM_START_US, SIM_EVENT_SWEEP, 0, 0);
}

static void s_handle(sim_world *world, const sim_event *event)
{
    switch (event->kind) {
    case SIM_EVENT_ARRIVAL:
        sim_query_arrives(world);
        break;
    case SIM_EVENT_REACH:
        sim_attempt_reaches(world, event->a);
        break;
    case SIM_EVENT_END:
        sim_attempt_ends(world, event->a, event->b);
        break;
    case SIM_EVENT_MESSAGE:
        sim_message_arrives(world, event->a);
        break;
    case SIM_EVENT_BEAT:
        sim_server_beats(world, event->a, event->b);
        break;
    case SIM_EVENT_CHANGE:
        sim_change_happens(world, event->a);
        break;
    case SIM_EVENT_DRIFT:
        sim_server_drifts(world, event->a);
        break;
    case SIM_EVENT_RESUME:
        sim_server_resumes(world, event->a);
        break;
    case SIM_EVENT_CANCEL:
        sim_attempt_cancelled(world, event->a, event->b);
        break;
    case SIM_EVENT_TICK:
        sim_proxy_ticks(world, event->a);
        break;
    case SIM_EVENT_LATE:
        sim_query_is_late(world, event->a, event->b);
        break;
    case SIM_EVENT_PROBE:
        sim_server_probed(world, event->a, event->b);
        break;
    case SIM_EVENT_WARMING:
        sim_server_warms(world, event->a);
        break;
    case SIM_EVENT_SWEEP:
        sim_queries_time_out(world);
        break;
    }
}

static double s_fano(const sim_world *world)
{
    double sum = 0;
    uint32_t counted = 0;
    double bins = (double)world->bin_count;
    for (uint32_t node = 0; node < world->scenario->nodes && bins > 1; node++) {
        double mean = world->bin_sum[node] / bins;
        if (mean > 0) {
            sum += (world->bin_square[node] / bins - mean * mean) / mean;
            counted++;
        }
    }
    return counted > 0 ? sum / counted : 0;
}

/* Its share of the queries of some moments, as a part of what is fair. */
static double s_share(const sim_world *world, uint64_t from, uint64_t count)
{
    double sent = 0;
    double watched = 0;
    for (uint64_t moment = from; moment < from + count && moment < world->moment_count; moment++) {
        sent += world->moment_sent[moment];
        watched += world->moment_watched[moment];
    }
    return sent > 0 ? watched / sent * world->scenario->nodes : 0;
}

static void s_note_slowness(const sim_world *world, double *figures)
{
    const sim_scenario *scenario = world->scenario;
    double moment_s = (double)SIM_MOMENT_US / 1e6;
    if (!(scenario->slow_to_s > 0)) {
        return;
    }
    uint64_t first = s_us(scenario->slow_from_s / moment_s);
    uint64_t moment = first;
    while (moment < world->moment_count && s_share(world, moment, 1) > 0.5) {
        moment++;
    }
    figures[SIM_DETECTED_MS] = (double)(moment - first) * moment_s * 1e3;
    uint64_t last = s_us((scenario->slow_to_s + 9) / moment_s);
    figures[SIM_RESTORED_PERCENT] = 100 * s_share(world, last, s_us(1 / moment_s));
}

static void s_finish(sim_world *world, sim_result *out_result)
{
    const sim_counts *counts = &world->counts;
    *out_result = (sim_result){0};
    sim_result_of_latencies(out_result, world->latencies_ms, world->latency_count);
    double queries = (double)out_result->queries;
    double *figures = out_result->figures;
    figures[SIM_AVOIDABLE_MS] = counts->avoidable_us / queries / 1e3;
    figures[SIM_ANSWERED_PERCENT] = 100 - 100 * (double)counts->failed / queries;
    figures[SIM_FAILED_PERCENT] = 100 * (double)counts->failed / queries;
    figures[SIM_HEDGED_PERCENT] = 100 * (double)counts->hedged / queries;
    figures[SIM_RETRIED_PERCENT] = 100 * (double)counts->retried / queries;
    figures[SIM_PROBES_EACH] = (double)counts->probes / queries;
    figures[SIM_WATCHED_PERCENT] = 100 * (double)counts->watched / (double)counts->sent;
    figures[SIM_STALE_COUNT] = (double)counts->stale;
    figures[SIM_FANO] = s_fano(world);
    s_note_slowness(world, figures);
    figures[SIM_LAG_MOVES] = (double)counts->lag_moves / world->scenario->proxies;
}

void sim_run(const sim_scenario *scenario, const sim_policy *policy, uint64_t seed,
             sim_result *out_result)
{
    sim_world *world = sim_new(1, sizeof *world);
    world->scenario = scenario;
    world->policy = policy;
    s_start(world, seed);
    sim_event event;
    while ((!world->arrivals_over || world->open_count > 0) &&
           sim_heap_take(&world->heap, &event)) {
        assert(event.at_us >= world->now_us);
        world->now_us = event.at_us;
        s_handle(world, &event);
    }
    s_finish(world, out_result);
    sim_proxies_free(world);
    sim_fleet_free(world);
    sim_heap_free(&world->heap);
    free(world->queries);
    free(world->attempts);
    free(world->messages);
    free(world->latencies_ms);
    free(world->moment_sent);
    free(world->moment_watched);
    free(world);
}
