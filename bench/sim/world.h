/* world.h - one run of one scenario under one policy: the discrete-event engine.
 *
 * A query arrives at a proxy, which chooses among the nodes that fit and sends
 * an attempt; it reaches the server after net_ms, queues, is served by one of
 * its workers, and the answer with the agent's report comes back after net_ms.
 * Agents beat as the scenario says.  Arrivals, sizes and mishaps depend on the
 * seed alone, so policies are compared on the same ones.
 */
#ifndef PCL_BENCH_SIM_WORLD_H
#define PCL_BENCH_SIM_WORLD_H

#include "bench/sim/policy.h"
#include "bench/sim/result.h"
#include "bench/sim/scenario.h"

void sim_run(const sim_scenario *scenario, const sim_policy *policy, uint64_t seed,
             sim_result *out_result);

#endif
