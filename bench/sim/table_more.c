/* table_more.c - what the study left out: lag, cold starts, retries, classes of
 * statements, beats that are lost; and how soon a slow node is seen. */
#include "bench/sim/table.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof(array)[0])

#define EXPONENTIAL .work = {.kind = SIM_WORK_EXPONENTIAL, .mean_ms = 5}
#define FLEET(part)                                                                                \
    .nodes = 10, .proxies = 4, .workers = 8, .load = (part), .net_ms = 0.25,                       \
    .beats = SIM_BEATS_PAIR, .warm_s = 2
#define AFTER(list) .changes = (list), .change_count = COUNT(list)

/* A replica's applier stops for a minute and catches up within ten seconds. */
static const sim_change LAG[] = {
    {.at_s = 5, .kind = SIM_CHANGE_LAG, .value = 1, .count = 1},
    {.at_s = 65, .kind = SIM_CHANGE_LAG, .value = -6, .count = 1},
};
static const sim_change COLD[] = {
    {.at_s = 4, .kind = SIM_CHANGE_LEAVE, .count = 1},
    {.at_s = 10, .kind = SIM_CHANGE_COLD, .value = 5, .count = 1},
};
static const sim_change FAILS[] = {
    {.at_s = 6, .kind = SIM_CHANGE_FAIL, .value = 1, .count = 1},
};
static const sim_change FLAKY[] = {
    {.at_s = 6, .kind = SIM_CHANGE_FAIL, .value = 0.3, .count = 1},
};
/* One node is slow with the big statements, as with a missing index. */
static const sim_change SLOW_CLASS[] = {
    {.at_s = 0, .kind = SIM_CHANGE_CLASS, .value = 0.2, .count = 1},
};
static const sim_change SILENCE[] = {
    {.at_s = 4, .kind = SIM_CHANGE_BEATS, .value = 0},
};
static const sim_change SILENCE_AND_SLOW[] = {
    {.at_s = 4, .kind = SIM_CHANGE_BEATS, .value = 0},
    {.at_s = 6, .kind = SIM_CHANGE_SPEED, .value = 1.0 / 3, .count = 1},
    {.at_s = 16, .kind = SIM_CHANGE_SPEED, .value = 1, .count = 1},
};
static const sim_change SLOW[] = {
    {.at_s = 6, .kind = SIM_CHANGE_SPEED, .value = 1.0 / 3, .count = 1},
    {.at_s = 16, .kind = SIM_CHANGE_SPEED, .value = 1, .count = 1},
};

static const sim_scenario MORE[] = {
    {.name = "lag 60s",
     FLEET(0.6),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 85,
     AFTER(LAG),
     .lag_bound_ms = 10000,
     .lag_noise_ms = 500},
    {.name = "cold x5",
     FLEET(0.7),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 45,
     AFTER(COLD),
     .cold_s = 30},
    {.name = "fastfail+retry",
     FLEET(0.7),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 22,
     AFTER(FAILS),
     .retry = true},
    {.name = "flaky+retry",
     FLEET(0.7),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 22,
     AFTER(FLAKY),
     .retry = true},
    {.name = "slow class",
     FLEET(0.6),
     .work = {.kind = SIM_WORK_TWO, .mean_ms = 5, .share = 0.1, .share_mean_ms = 26.5},
     .beat_ms = 200,
     .run_s = 22,
     AFTER(SLOW_CLASS)},
    {.name = "no beats", FLEET(0.7), EXPONENTIAL, .beat_ms = 200, .run_s = 22, AFTER(SILENCE)},
    {.name = "no beats+slow",
     FLEET(0.7),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 30,
     AFTER(SILENCE_AND_SLOW),
     .slow_from_s = 6,
     .slow_to_s = 16},
    {.name = "beats 500ms", FLEET(0.7), EXPONENTIAL, .beat_ms = 500, .run_s = 22},
    {.name = "slow for 10s",
     FLEET(0.7),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 30,
     AFTER(SLOW),
     .slow_from_s = 6,
     .slow_to_s = 16},
    {.name = "gc .8",
     FLEET(0.8),
     EXPONENTIAL,
     .beat_ms = 200,
     .run_s = 22,
     .drift = SIM_DRIFT_PAUSES,
     .drift_every_ms = 5000,
     .drift_for_ms = 200},
};

const sim_table SIM_TABLE_MORE = {
    .name = "more",
    .title = "what the study left out",
    .scenarios = MORE,
    .scenario_count = COUNT(MORE),
    .policies = {"oracle", "random", "round-robin", "least-inflight", "peak-ewma", "c3", "prequal",
                 "maxscale-adaptive", "custom", "custom-beats", "custom-hedged"},
    .figures = {SIM_P99_MS, SIM_P999_MS, SIM_FAILED_PERCENT, SIM_RETRIED_PERCENT, SIM_STALE_COUNT,
                SIM_LAG_MOVES, SIM_DETECTED_MS, SIM_RESTORED_PERCENT},
    .figure_count = 8,
    .seeds = 3,
    .ratios = true,
};
