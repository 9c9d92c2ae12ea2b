/* strategy_c3.c - the score of C3 (Suresh et al., NSDI 2015):
 *
 *   score = R - T + q^3 x T        q = 1 + own x n + Q
 *
 * R   smoothed latency, T smoothed execution, Q smoothed length of the queue
 *     there, all as of our last answers (candidate.c)
 * n   proxies, as far as our share of the traffic tells: each is assumed to
 *     have as much there as we have
 *
 * C3's rate control is left out: it counts requests, and statements do not cost
 * the same.  A bounded queue at the agent does its work.  A node that never
 * answered scores by what is on its way there alone, so each is tried.
 */
#include "proxy/strategy.h"

#include <math.h>
#include <stddef.h>

uint32_t pcl_strategy_c3(pcl_strategy_state *state, const pcl_choice_input *input)
{
    float proxies = 1 / pcl_strategy_share(state, input);
    uint32_t best = 0;
    uint32_t tie_count = 0;
    float best_score = INFINITY;
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        float queue = 1 + (float)candidate->own * proxies + candidate->queued_mean;
        float execution_us = fmaxf(candidate->execution_us, 1);
        float score = candidate->answer_us - candidate->execution_us +
                      queue * queue * queue * execution_us;
        if (input->out_costs != NULL) {
            input->out_costs[position] = score;
        }
        if (score < best_score) {
            best = position;
            best_score = score;
            tie_count = 1;
        } else if (score <= best_score && pcl_rng_below(input->rng, ++tie_count) == 0) {
            best = position; /* the k-th of a tie replaces with chance 1/k: uniform */
        }
    }
    return best;
}
