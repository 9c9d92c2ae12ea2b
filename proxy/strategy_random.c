/* strategy_random.c - uniform over the candidates. */
#include "proxy/strategy.h"

uint32_t pcl_strategy_random(pcl_strategy_state *state, const pcl_choice_input *input)
{
    (void)state;
    return pcl_rng_below(input->rng, input->count);
}
