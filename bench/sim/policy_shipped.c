/* policy_shipped.c - the strategies that the proxy runs, as they are. */
#include "bench/sim/policy.h"

#include <stddef.h>

static const sim_policy RANDOM = {.name = "random", .help = "uniform", .kind = PCL_STRATEGY_RANDOM};
static const sim_policy ROUND_ROBIN = {
    .name = "round-robin", .help = "each in its turn", .kind = PCL_STRATEGY_ROUND_ROBIN};
static const sim_policy LEAST_INFLIGHT = {.name = "least-inflight",
                                          .help = "fewest own and reported in flight",
                                          .kind = PCL_STRATEGY_LEAST_INFLIGHT};
static const sim_policy CUSTOM = {
    .name = "custom", .help = "lowest expected latency", .kind = PCL_STRATEGY_CUSTOM};
static const sim_policy CUSTOM_BEATS = {.name = "custom-beats",
                                        .help = "custom, with reports in beats only",
                                        .kind = PCL_STRATEGY_CUSTOM,
                                        .no_piggyback = true};

static const sim_policy CUSTOM_HEDGED = {.name = "custom-hedged",
                                         .help = "custom, late queries sent a second time",
                                         .kind = PCL_STRATEGY_CUSTOM,
                                         .hedges = true};
static const sim_policy PEAK_EWMA = {
    .name = "peak-ewma", .help = "Finagle's: the better of two", .kind = PCL_STRATEGY_PEAK_EWMA};
static const sim_policy C3 = {.name = "c3", .help = "C3's score", .kind = PCL_STRATEGY_C3};
static const sim_policy PREQUAL = {.name = "prequal",
                                   .help = "Prequal's, at most one probe a query",
                                   .kind = PCL_STRATEGY_PREQUAL};

const sim_policy *const SIM_POLICIES_SHIPPED[] = {
    &RANDOM,    &ROUND_ROBIN, &LEAST_INFLIGHT, &CUSTOM, &CUSTOM_BEATS, &CUSTOM_HEDGED,
    &PEAK_EWMA, &C3,          &PREQUAL,        NULL,
};
