/* strategy_round_robin.c - each in its turn.
 *
 * The turn goes by the node's index, not by its position: when a node comes or
 * goes, the others keep their order and none is skipped. */
#include "proxy/strategy.h"

uint32_t pcl_strategy_round_robin(pcl_strategy_state *state, const pcl_choice_input *input)
{
    uint32_t next = PCL_CHOICE_NONE;  /* smallest index not before the turn */
    uint32_t first = PCL_CHOICE_NONE; /* smallest index of all, for the new round */
    for (uint32_t position = 0; position < input->count; position++) {
        uint32_t index = input->candidates[position]->index;
        if (first == PCL_CHOICE_NONE || index < input->candidates[first]->index) {
            first = position;
        }
        if (index >= state->turn &&
            (next == PCL_CHOICE_NONE || index < input->candidates[next]->index)) {
            next = position;
        }
    }
    uint32_t choice = next != PCL_CHOICE_NONE ? next : first;
    state->turn = input->candidates[choice]->index + 1;
    return choice;
}
