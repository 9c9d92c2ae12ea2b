/* strategy_peak_ewma.c - Finagle's rule, which linkerd has, too: of two nodes
 * drawn at random the one whose
 *
 *   load = latency x (in flight of ours + 1)
 *
 * is less.  A latency above the smoothed one is taken over whole, a lower one
 * sinks in with a time constant of 10 s (candidate.c), and without answers the
 * smoothed one fades to 0, so a node that was slow is tried again.  A node that
 * never answered is free until something of ours is on its way there, and then
 * all but forbidden: exactly one request finds out.
 */
#include "proxy/strategy.h"

#include <stddef.h>

static const float UNKNOWN_PENALTY_US = 1.4e14f; /* 2^47, as in Finagle */

static float s_load(const pcl_candidate *candidate, uint64_t now_us)
{
    float pending = (float)candidate->own;
    if (candidate->peak_at_us == 0) {
        return candidate->own == 0 ? 0 : UNKNOWN_PENALTY_US + pending;
    }
    return candidate->peak_us * pcl_candidate_peak_kept(candidate, now_us) * (pending + 1);
}

uint32_t pcl_strategy_peak_ewma(pcl_strategy_state *state, const pcl_choice_input *input)
{
    (void)state;
    for (uint32_t position = 0; input->out_costs != NULL && position < input->count; position++) {
        input->out_costs[position] = s_load(input->candidates[position], input->now_us);
    }
    if (input->count == 1) {
        return 0;
    }
    uint32_t first = pcl_rng_below(input->rng, input->count);
    uint32_t second = pcl_rng_below(input->rng, input->count - 1);
    second += second >= first ? 1 : 0;
    float first_load = s_load(input->candidates[first], input->now_us);
    float second_load = s_load(input->candidates[second], input->now_us);
    return second_load < first_load ? second : first; /* first is drawn: no tie favours anyone */
}
