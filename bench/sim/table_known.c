/* table_known.c - experiments of others: Linkerd's (STRATEGIES 2.B), a stand-in for
 * Prequal's (2.C), and the simulation of C3 (2.E). */
#include "bench/sim/table.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof(array)[0])

/* --- 2.B: 11 backends of 167 ms, one takes 2 s from 15 s to 45 s, time-out 1 s. */

static const sim_change SLOW_BACKEND[] = {
    {.at_s = 15, .kind = SIM_CHANGE_SPEED, .value = 167.0 / 2000, .count = 1},
    {.at_s = 45, .kind = SIM_CHANGE_SPEED, .value = 1, .count = 1},
};

static const sim_scenario LINKERD[] = {
    {.name = "answered %",
     .nodes = 11,
     .proxies = 1,
     .workers = 200,
     .rate_per_s = 1000,
     .work = {.kind = SIM_WORK_NORMAL, .mean_ms = 167, .spread = 5.0 / 167},
     .net_ms = 0.25,
     .beat_ms = 200,
     .beats = SIM_BEATS_PAIR,
     .run_s = 60,
     .timeout_ms = 1000,
     .no_ejection = true,
     .changes = SLOW_BACKEND,
     .change_count = COUNT(SLOW_BACKEND)},
};

static const sim_published LINKERD_PUBLISHED[] = {
    {"round-robin", "answered %", 95},
    {"least-inflight", "answered %", 99},
    {"peak-ewma", "answered %", 99.9},
};

const sim_table SIM_TABLE_LINKERD = {
    .name = "2b",
    .title = "2.B: one backend of 11 takes 2 s for half of the time, time-out 1 s",
    .scenarios = LINKERD,
    .scenario_count = COUNT(LINKERD),
    .policies = {"oracle", "round-robin", "least-inflight", "p2c-own", "peak-ewma",
                 "maxscale-adaptive", "c3", "prequal", "custom", "custom-hedged"},
    .figures = {SIM_ANSWERED_PERCENT, SIM_P99_MS},
    .figure_count = 2,
    .published = LINKERD_PUBLISHED,
    .published_count = COUNT(LINKERD_PUBLISHED),
    .seeds = 5,
};

/* --- 2.C: 100 proxies, 100 nodes, three in ten of them noisy. */

#define MANY(label, part, ms)                                                                      \
    .name = (label), .nodes = 100, .proxies = 100, .workers = 4, .load = (part),                   \
    .work = {.kind = SIM_WORK_NORMAL, .mean_ms = 62, .spread = 1}, .net_ms = 0.25,                 \
    .beat_ms = (ms), .beats = SIM_BEATS_PAIR, .warm_s = 5, .run_s = 30, .drift = SIM_DRIFT_NOISE,  \
    .drift_every_ms = 1000

static const sim_scenario PREQUAL[] = {
    {MANY("70%", 0.7, 0)},
    {MANY("90%", 0.9, 0)},
    {MANY("70% beats", 0.7, 200)},
    {MANY("90% beats", 0.9, 200)},
};

static const sim_published PREQUAL_PUBLISHED[] = {
    {"round-robin", "70%", 5000}, {"round-robin", "90%", 5000}, {"least-own", "70%", 1804},
    {"least-own", "90%", 2654},   {"p2c-own", "70%", 2642},     {"p2c-own", "90%", 1169},
    {"c3", "70%", 299},           {"c3", "90%", 304},           {"prequal-3", "70%", 281},
    {"prequal-3", "90%", 286},
};

const sim_table SIM_TABLE_PREQUAL = {
    .name = "2c",
    .title = "2.C: the order of Prequal's figure 7, on a stand-in for its testbed",
    .scenarios = PREQUAL,
    .scenario_count = COUNT(PREQUAL),
    .policies = {"oracle", "random", "round-robin", "least-own", "p2c-own", "peak-ewma", "c3",
                 "prequal", "prequal-3", "custom"},
    .figures = {SIM_P99_MS, SIM_P90_MS, SIM_PROBES_EACH},
    .figure_count = 3,
    .published = PREQUAL_PUBLISHED,
    .published_count = COUNT(PREQUAL_PUBLISHED),
    .seeds = 3,
};

/* --- 2.E: 150 proxies, 50 nodes, each query may go to three neighbours; every node
 * flips between its speed and three times that. */

#define FLIPPING(label, part, ms)                                                                  \
    .name = (label), .nodes = 50, .proxies = 150, .workers = 4, .load = 2 * (part),                \
    .work = {.kind = SIM_WORK_EXPONENTIAL, .mean_ms = 4}, .net_ms = 0.25, .warm_s = 1, .run_s = 9, \
    .replicas_of_each = 3, .drift = SIM_DRIFT_FLIP, .drift_every_ms = (ms), .drift_factor = 3

static const sim_scenario FLIPS[] = {
    {FLIPPING(".70 T=10", 0.7, 10)},    {FLIPPING(".70 T=100", 0.7, 100)},
    {FLIPPING(".70 T=500", 0.7, 500)},  {FLIPPING(".45 T=10", 0.45, 10)},
    {FLIPPING(".45 T=100", 0.45, 100)}, {FLIPPING(".45 T=500", 0.45, 500)},
};

const sim_table SIM_TABLE_FLIPS = {
    .name = "2e",
    .title = "2.E: speeds that flip, 150 proxies, three nodes to choose from",
    .scenarios = FLIPS,
    .scenario_count = COUNT(FLIPS),
    .policies = {"oracle", "round-robin", "least-own", "peak-ewma", "c3", "maxscale-adaptive",
                 "prequal", "custom"},
    .figures = {SIM_P99_MS, SIM_P999_MS, SIM_MEAN_MS},
    .figure_count = 3,
    .seeds = 3,
};
