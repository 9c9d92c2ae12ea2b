/* strategy_share.c - which part of the nodes' work is ours. */
#include "proxy/strategy.h"

#include <math.h>

static const float SMOOTHING = 0.02f;
static const float SHARE_MIN = 0.005f;

float pcl_strategy_share(pcl_strategy_state *state, const pcl_choice_input *input)
{
    float own = 0.5f; /* so that no proxy believes itself to be nothing */
    float foreign = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        own += (float)input->candidates[position]->own;
        foreign += (float)input->candidates[position]->foreign;
    }
    float share = state->traffic_share > 0 ? state->traffic_share : 1;
    share += SMOOTHING * (own / (own + foreign) - share);
    state->traffic_share = fminf(fmaxf(share, SHARE_MIN), 1);
    return state->traffic_share;
}
