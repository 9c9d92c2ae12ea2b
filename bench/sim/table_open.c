/* table_open.c - the open stale-information table (STRATEGIES 2.A): eight
 * single-worker nodes of unequal speed, queue lengths that were true a while ago. */
#include "bench/sim/table.h"

static const double SPEEDS[] = {2, 2, 1.5, 1.5, 1, 1, 0.5, 0.5};

#define NEVER_MS 1e6 /* the table knows no timeout */
#define OPEN(label, k, part, ms, whose)                                                            \
    .name = (label), .nodes = 8, .proxies = (k), .workers = 1, .speeds = SPEEDS, .load = (part),   \
    .work = {.kind = SIM_WORK_EXPONENTIAL, .mean_ms = 10}, .probe_ms = 0.25, .beat_ms = (ms),      \
    .beats = (whose), .warm_s = 3, .run_s = 30, .timeout_ms = NEVER_MS

static const sim_scenario STALE[] = {
    {OPEN("live", 16, 0.9, 0, SIM_BEATS_LIVE)},
    {OPEN("10ms sync", 16, 0.9, 10, SIM_BEATS_SYNC)},
    {OPEN("50ms sync", 16, 0.9, 50, SIM_BEATS_SYNC)},
    {OPEN("200ms sync", 16, 0.9, 200, SIM_BEATS_SYNC)},
    {OPEN("10ms desync", 16, 0.9, 10, SIM_BEATS_PROXY)},
    {OPEN("50ms desync", 16, 0.9, 50, SIM_BEATS_PROXY)},
    {OPEN("200ms desync", 16, 0.9, 200, SIM_BEATS_PROXY)},
};

#define ROW(policy, live, sync10, sync50, sync200, desync10, desync50, desync200)                  \
    {policy, "live", live}, {policy, "10ms sync", sync10}, {policy, "50ms sync", sync50},          \
        {policy, "200ms sync", sync200}, {policy, "10ms desync", desync10},                        \
        {policy, "50ms desync", desync50},                                                         \
    {                                                                                              \
        policy, "200ms desync", desync200                                                          \
    }

static const sim_published STALE_PUBLISHED[] = {
    {"weighted-random", "live", 392},
    ROW("jsq", 111, 226, 836, 3103, 152, 282, 671),
    ROW("sed", 69, 172, 785, 3053, 110, 209, 519),
    ROW("p2c", 217, 229, 316, 604, 233, 288, 420),
    ROW("p2c-learned", 112, 119, 151, 238, 118, 142, 193),
};

const sim_table SIM_TABLE_STALE = {
    .name = "2a-stale",
    .title = "2.A: stale queue lengths, 16 proxies at 90%",
    .scenarios = STALE,
    .scenario_count = sizeof STALE / sizeof STALE[0],
    .policies = {"weighted-random", "jsq", "sed", "p2c", "p2c-learned"},
    .figures = {SIM_P99_MS, SIM_FANO},
    .figure_count = 2,
    .published = STALE_PUBLISHED,
    .published_count = sizeof STALE_PUBLISHED / sizeof STALE_PUBLISHED[0],
    .seeds = 31,
};

static const sim_scenario PROXIES[] = {
    {OPEN("K=1", 1, 0.9, 50, SIM_BEATS_PAIR)},
    {OPEN("K=4", 4, 0.9, 50, SIM_BEATS_PAIR)},
    {OPEN("K=16", 16, 0.9, 50, SIM_BEATS_PAIR)},
    {OPEN("K=64", 64, 0.9, 50, SIM_BEATS_PAIR)},
};

#define BY_PROXIES(policy, k1, k4, k16, k64)                                                       \
    {policy, "K=1", k1}, {policy, "K=4", k4}, {policy, "K=16", k16},                               \
    {                                                                                              \
        policy, "K=64", k64                                                                        \
    }

static const sim_published PROXIES_PUBLISHED[] = {
    BY_PROXIES("prequal-3", 89, 100, 127, 186),
    BY_PROXIES("sed3-probe", 82, 82, 83, 82),
    BY_PROXIES("p3c-learned-probe", 82, 82, 84, 99),
};

#define POLICIES                                                                                   \
    {                                                                                              \
        "oracle", "custom", "custom-beats", "peak-ewma", "c3", "prequal", "maxscale-adaptive",     \
            "least-own", "least-inflight", "prequal-3", "sed3-probe", "p3c-learned-probe"          \
    }

const sim_table SIM_TABLE_PROXIES = {
    .name = "2a-proxies",
    .title = "2.A: the same nodes, by the number of proxies",
    .scenarios = PROXIES,
    .scenario_count = sizeof PROXIES / sizeof PROXIES[0],
    .policies = POLICIES,
    .figures = {SIM_P99_MS, SIM_MEAN_MS, SIM_FANO, SIM_PROBES_EACH},
    .figure_count = 4,
    .published = PROXIES_PUBLISHED,
    .published_count = sizeof PROXIES_PUBLISHED / sizeof PROXIES_PUBLISHED[0],
    .seeds = 10,
};

static const sim_change GRAY_CHANGES[] = {
    {.at_s = 12, .kind = SIM_CHANGE_SPEED, .value = 0.2, .first = 0, .count = 1},
};

#define GRAY_OF(label, k)                                                                          \
    OPEN(label, k, 0.75, 50, SIM_BEATS_PAIR), .changes = GRAY_CHANGES, .change_count = 1

static const sim_scenario GRAY[] = {
    {GRAY_OF("K=1", 1)},
    {GRAY_OF("K=4", 4)},
    {GRAY_OF("K=16", 16)},
    {GRAY_OF("K=64", 64)},
};

static const sim_published GRAY_PUBLISHED[] = {
    BY_PROXIES("prequal-3", 100, 110, 144, 214),
    BY_PROXIES("sed3-probe", 205, 205, 205, 205),
    BY_PROXIES("p3c-learned-probe", 94, 103, 112, 121),
};

const sim_table SIM_TABLE_GRAY = {
    .name = "2a-gray",
    .title = "2.A: one node drops to a fifth of its speed after 12 s, at 75%",
    .scenarios = GRAY,
    .scenario_count = sizeof GRAY / sizeof GRAY[0],
    .policies = POLICIES,
    .figures = {SIM_P99_MS, SIM_WATCHED_PERCENT},
    .figure_count = 2,
    .published = GRAY_PUBLISHED,
    .published_count = sizeof GRAY_PUBLISHED / sizeof GRAY_PUBLISHED[0],
    .seeds = 10,
};
