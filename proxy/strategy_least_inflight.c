/* strategy_least_inflight.c - the fewest statements queued and running: what we
 * sent there ourselves, which is exact, plus what others had there as of the
 * last report.  Ties are drawn, so that no position is favoured. */
#include "proxy/strategy.h"

#include <stddef.h>

uint32_t pcl_strategy_least_inflight(pcl_strategy_state *state, const pcl_choice_input *input)
{
    (void)state;
    uint32_t best = 0;
    uint32_t tie_count = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        uint32_t inflight = pcl_candidate_inflight(input->candidates[position]);
        uint32_t least = pcl_candidate_inflight(input->candidates[best]);
        if (input->out_costs != NULL) {
            input->out_costs[position] = (float)inflight;
        }
        if (position == 0 || inflight < least) {
            best = position;
            tie_count = 1;
        } else if (inflight == least && pcl_rng_below(input->rng, ++tie_count) == 0) {
            best = position; /* the k-th of a tie replaces with chance 1/k: uniform */
        }
    }
    return best;
}
