/* strategy_direct.c - the source.  Where two nodes claim to be it, the one of
 * the later term is, since every change of source raises the term. */
#include "proxy/strategy.h"

#include <stddef.h>

uint32_t pcl_strategy_direct(pcl_strategy_state *state, const pcl_choice_input *input)
{
    (void)state;
    uint32_t best = PCL_CHOICE_NONE;
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        if (candidate->role == PCL_NODE_SOURCE &&
            (best == PCL_CHOICE_NONE || candidate->term > input->candidates[best]->term)) {
            best = position;
        }
    }
    return best;
}
