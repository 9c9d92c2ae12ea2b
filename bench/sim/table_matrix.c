/* table_matrix.c - the matrix of STRATEGIES 4.2: one mishap a row, multiples of
 * what the oracle takes.  Ten nodes of eight workers, four proxies, 5 ms a query,
 * where the row does not say otherwise.  Where the study does not say how it set
 * a row up, the set-up here was chosen so that the oracle takes what it took
 * there. */
#include "bench/sim/table.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof(array)[0])

#define FLEET(n, k, part) .nodes = (n), .proxies = (k), .workers = 8, .load = (part)
#define EXPONENTIAL       .work = {.kind = SIM_WORK_EXPONENTIAL, .mean_ms = 5}
#define AROUND            .net_ms = 0.25, .beat_ms = 200, .beats = SIM_BEATS_PAIR
#define TWENTY_SECONDS    .warm_s = 2, .run_s = 22
#define BASE(part)        FLEET(10, 4, part), EXPONENTIAL, AROUND, TWENTY_SECONDS
#define AFTER(list)       .changes = (list), .change_count = COUNT(list)

#define SPEED(at, factor)                                                                          \
    {                                                                                              \
        .at_s = (at), .kind = SIM_CHANGE_SPEED, .value = (factor), .count = 1                      \
    }

static const sim_change SLOW_3[] = {SPEED(0, 1.0 / 3)};
static const sim_change SLOW_10[] = {SPEED(0, 0.1)};
static const sim_change SLOW_FOR_A_WHILE[] = {SPEED(6, 1.0 / 3), SPEED(16, 1)};
static const sim_change HANG[] = {SPEED(6, 0), SPEED(11, 1)};
static const sim_change FLAP[] = {
    {.at_s = 1, .kind = SIM_CHANGE_SPEED, .value = 0.2, .count = 1, .every_s = 4},
    {.at_s = 3, .kind = SIM_CHANGE_SPEED, .value = 1, .count = 1, .every_s = 4},
};
static const sim_change BURSTS[] = {
    {.at_s = 0, .kind = SIM_CHANGE_LOAD, .value = 1.4, .every_s = 2},
    {.at_s = 1, .kind = SIM_CHANGE_LOAD, .value = 0.6, .every_s = 2},
};
static const sim_change ZONE[] = {
    {.at_s = 0, .kind = SIM_CHANGE_SPEED, .value = 1.0 / 3, .count = 3},
};
static const sim_change FAILS[] = {
    {.at_s = 6, .kind = SIM_CHANGE_FAIL, .value = 1, .count = 1},
};
static const sim_change OVERLOAD[] = {
    {.at_s = 6, .kind = SIM_CHANGE_LOAD, .value = 1.1 / 0.7},
    {.at_s = 16, .kind = SIM_CHANGE_LOAD, .value = 1},
};

/* A tenth of the queries are ten times as big as the others; 5 ms in the mean. */
#define TWO_SIZES .work = {.kind = SIM_WORK_TWO, .mean_ms = 5, .share = 0.1, .share_mean_ms = 26.5}
#define LOGNORMAL .work = {.kind = SIM_WORK_LOGNORMAL, .mean_ms = 5, .spread = 4}

static const sim_scenario MATRIX[] = {
    {.name = "hom .5", BASE(0.5)},
    {.name = "hom .7", BASE(0.7)},
    {.name = "hom .9", BASE(0.9)},
    {.name = "1slow3x", BASE(0.7), AFTER(SLOW_3)},
    {.name = "1slow10x", BASE(0.7), AFTER(SLOW_10)},
    {.name = "slow3x-10s", BASE(0.7), AFTER(SLOW_FOR_A_WHILE)},
    {.name = "flap5x", BASE(0.7), AFTER(FLAP)},
    {.name = "gc200ms",
     BASE(0.6),
     .drift = SIM_DRIFT_PAUSES,
     .drift_every_ms = 5000,
     .drift_for_ms = 200},
    {.name = "burst40", BASE(0.7), AFTER(BURSTS)},
    {.name = "zone3x", BASE(0.6), AFTER(ZONE)},
    {.name = "noisy", BASE(0.7), .drift = SIM_DRIFT_NOISE, .drift_every_ms = 1000},
    {.name = "hang5s", BASE(0.7), AFTER(HANG)},
    {.name = "fastfail", BASE(0.7), AFTER(FAILS)},
    {.name = "bimodal+slow3x", FLEET(10, 4, 0.7), TWO_SIZES, AROUND, TWENTY_SECONDS, AFTER(SLOW_3)},
    {.name = "logn4+slow3x", FLEET(10, 4, 0.7), LOGNORMAL, AROUND, TWENTY_SECONDS, AFTER(SLOW_3)},
    {.name = "N3slow3x",
     FLEET(3, 4, 0.55),
     EXPONENTIAL,
     AROUND,
     .warm_s = 2,
     .run_s = 42,
     AFTER(SLOW_3)},
    {.name = "N30K8 .8", FLEET(30, 8, 0.8), EXPONENTIAL, AROUND, .warm_s = 2, .run_s = 12},
    {.name = "N100K8slow10",
     FLEET(100, 8, 0.7),
     EXPONENTIAL,
     AROUND,
     .warm_s = 2,
     .run_s = 6,
     AFTER(SLOW_10)},
    {.name = "K16 .9", FLEET(10, 16, 0.9), EXPONENTIAL, AROUND, TWENTY_SECONDS},
    {.name = "lowrate",
     FLEET(10, 4, 0),
     .rate_per_s = 200,
     EXPONENTIAL,
     AROUND,
     .warm_s = 2,
     .run_s = 202,
     AFTER(SLOW_3)},
    {.name = "overload", BASE(0.7), AFTER(OVERLOAD)},
};

#define POLICIES                                                                                   \
    {                                                                                              \
        "oracle", "random", "round-robin", "least-inflight", "peak-ewma", "c3", "prequal",         \
            "custom", "custom-beats", "jsq", "least-own", "maxscale-adaptive", "prequal-3"         \
    }

const sim_table SIM_TABLE_MATRIX = {
    .name = "matrix",
    .title = "4.2: one mishap a row",
    .scenarios = MATRIX,
    .scenario_count = COUNT(MATRIX),
    .policies = POLICIES,
    .figures = {SIM_P99_MS, SIM_P999_MS, SIM_MEAN_MS, SIM_AVOIDABLE_MS, SIM_FAILED_PERCENT,
                SIM_WATCHED_PERCENT},
    .figure_count = 6,
    .seeds = 5,
    .ratios = true,
};
