/* engine.h - what the parts of the engine share; nobody else includes it. */
#ifndef PCL_BENCH_SIM_ENGINE_H
#define PCL_BENCH_SIM_ENGINE_H

#include "bench/sim/heap.h"
#include "bench/sim/policy.h"
#include "bench/sim/result.h"
#include "bench/sim/scenario.h"
#include "bench/sim/server.h"

/* Of the two figures on how soon a slow node is seen. */
#define SIM_MOMENT_US UINT64_C(100000)

/* Clocks of daemons do not start at 0, and 0 means never in their books. */
#define SIM_START_US UINT64_C(1000000000)

typedef struct sim_query {
    uint64_t arrived_us;
    uint64_t sent_us; /* first */
    uint32_t proxy;
    uint32_t first_node; /* where it may go only to some */
    uint32_t class_index;
    double work_us;
    uint32_t life;                       /* rises whenever the place is used anew */
    uint32_t attempts[PCL_ATTEMPTS_MAX]; /* SIM_NONE once answered */
    uint32_t attempt_count;              /* made */
    uint32_t open_count;                 /* of them, still to be answered */
    pcl_node_set tried;
    bool open;
    bool measured;
    bool hedged;
    uint32_t older, newer; /* of the open ones; next of the free ones: newer */
} sim_query;

/* An agent's words on their way to a proxy. */
typedef struct sim_message {
    pcl_report report;
    uint32_t server, proxy;
    uint32_t attempt; /* answered; SIM_NONE: a beat or the answer to a probe */
    bool is_probe;
    double latency_us; /* prequal-3: what a query would take there by the server's reckoning */
    uint32_t next;
} sim_message;

typedef struct sim_counts {
    uint64_t sent, hedged, hedges_won, retried, failed, probes, watched, stale, lag_moves;
    double avoidable_us;
} sim_counts;

typedef struct sim_world {
    const sim_scenario *scenario;
    const sim_policy *policy;
    sim_heap heap;
    uint64_t now_us, end_us, measure_us, net_us, probe_us, timeout_us;
    double arrival_us; /* of the next query, finer than the clock */
    double load_factor;
    double rate_per_us;
    bool beats_lost;
    pcl_rng arrivals, mishaps, beats;
    sim_server servers[SIM_NODES_MAX];
    uint32_t rifs[SIM_NODES_MAX];
    sim_proxy *proxies;
    sim_query *queries;
    sim_attempt *attempts;
    sim_message *messages;
    uint32_t query_room, attempt_room, message_room;
    uint32_t query_free, attempt_free, message_free;
    uint32_t oldest, newest; /* open queries */
    uint32_t open_count;
    bool arrivals_over;
    float *latencies_ms;
    size_t latency_count, latency_room;
    uint32_t bin[SIM_NODES_MAX]; /* arrivals at the node in the current 50 ms */
    double bin_sum[SIM_NODES_MAX], bin_square[SIM_NODES_MAX];
    uint64_t bin_number, bin_count;
    uint32_t *moment_sent, *moment_watched; /* queries in each tenth of a second */
    uint32_t moment_count;
    sim_counts counts;
} sim_world;

void sim_schedule(sim_world *world, uint64_t at_us, sim_event_kind kind, uint32_t a, uint32_t b);

/* pools.c: places for what comes and goes */
uint32_t sim_query_new(sim_world *world);
void sim_query_free(sim_world *world, uint32_t index);
uint32_t sim_attempt_new(sim_world *world);
void sim_attempt_free(sim_world *world, uint32_t index);
uint32_t sim_message_new(sim_world *world);
void sim_message_free(sim_world *world, uint32_t index);

/* fleet.c: the servers' side */
void sim_fleet_start(sim_world *world, uint64_t seed);
void sim_fleet_free(sim_world *world);
void sim_attempt_reaches(sim_world *world, uint32_t attempt);
void sim_attempt_ends(sim_world *world, uint32_t attempt, uint32_t version);
void sim_attempt_cancelled(sim_world *world, uint32_t attempt, uint32_t life);
/* A report, to all proxies or one. */
void sim_server_tells(sim_world *world, uint32_t server, uint32_t proxy);
void sim_server_beats(sim_world *world, uint32_t server, uint32_t proxy);
void sim_server_probed(sim_world *world, uint32_t server, uint32_t proxy);

/* mishaps.c: what befalls them */
void sim_mishaps_start(sim_world *world);
void sim_change_happens(sim_world *world, uint32_t number);
void sim_server_drifts(sim_world *world, uint32_t server);
void sim_server_resumes(sim_world *world, uint32_t server);
void sim_server_warms(sim_world *world, uint32_t server);
void sim_server_speed_changed(sim_world *world, uint32_t server); /* of fleet.c */

/* proxies.c: the proxies and what they know of the nodes */
void sim_proxies_start(sim_world *world, uint64_t seed);
void sim_proxies_free(sim_world *world);
void sim_proxy_ticks(sim_world *world, uint32_t proxy);
void sim_message_arrives(sim_world *world, uint32_t message);
void sim_node_leaves(sim_world *world, uint32_t node);
/* What an attempt says of the node. */
void sim_proxy_judges(sim_world *world, const sim_attempt *attempt, pcl_health_verdict verdict);

/* queries.c: how they come and how they end */
void sim_query_arrives(sim_world *world);
void sim_query_answered(sim_world *world, uint32_t attempt, const pcl_report *report);
void sim_queries_time_out(sim_world *world);

/* send.c: how they are sent */
const pcl_health_rules *sim_health(const sim_world *world);
/* false: nobody fits. */
bool sim_query_send(sim_world *world, uint32_t query);
void sim_query_is_late(sim_world *world, uint32_t query, uint32_t life);
/* The bins of the Fano factor. */
void sim_bins_close(sim_world *world);

#endif
