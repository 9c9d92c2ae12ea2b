#include "proxy/strategy.h"

#include "common/limits.h"

#include <assert.h>

static pcl_strategy_fn *const STRATEGIES[PCL_STRATEGY_COUNT] = {
    [PCL_STRATEGY_DIRECT] = pcl_strategy_direct,
    [PCL_STRATEGY_RANDOM] = pcl_strategy_random,
    [PCL_STRATEGY_ROUND_ROBIN] = pcl_strategy_round_robin,
    [PCL_STRATEGY_LEAST_INFLIGHT] = pcl_strategy_least_inflight,
    [PCL_STRATEGY_CUSTOM] = pcl_strategy_custom,
    [PCL_STRATEGY_PEAK_EWMA] = pcl_strategy_peak_ewma,
    [PCL_STRATEGY_C3] = pcl_strategy_c3,
    [PCL_STRATEGY_PREQUAL] = pcl_strategy_prequal,
};

uint32_t pcl_strategy_choose(pcl_strategy_kind kind, pcl_strategy_state *state,
                             const pcl_choice_input *input)
{
    assert(kind > PCL_STRATEGY_DEFAULT && kind < PCL_STRATEGY_COUNT);
    assert(STRATEGIES[kind] != NULL);
    assert(input->count > 0 && input->count <= PCL_NODES_MAX);
    if (input->out_costs != NULL) {
        for (uint32_t position = 0; position < input->count; position++) {
            input->out_costs[position] = 0;
        }
    }
    uint32_t choice = STRATEGIES[kind](state, input);
    assert(choice < input->count || choice == PCL_CHOICE_NONE);
    return choice;
}

uint32_t pcl_strategy_probe(pcl_strategy_kind kind, pcl_strategy_state *state,
                            const pcl_choice_input *input)
{
    (void)state;
    assert(input->count > 0 && input->count <= PCL_NODES_MAX);
    return kind == PCL_STRATEGY_PREQUAL ? pcl_rng_below(input->rng, input->count) : PCL_CHOICE_NONE;
}
