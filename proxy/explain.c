#include "proxy/actor.h"

#include <assert.h>

static const char *s_name(const pcl_proxy *self, uint32_t index)
{
    return pcl_membership_at(self->members, index)->name;
}

void pcl_proxy_explain(const pcl_proxy *self, const pcl_candidates *candidates, const float *costs,
                       pcl_buffer *buffer)
{
    pcl_mp_put_map(buffer, 2);
    pcl_proxy_explain_pairs(self, candidates, costs, buffer);
}

void pcl_proxy_explain_pairs(const pcl_proxy *self, const pcl_candidates *candidates,
                             const float *costs, pcl_buffer *buffer)
{
    uint32_t count = pcl_membership_count(self->members);
    assert(candidates->count <= count);
    pcl_mp_put_text(buffer, "candidates");
    pcl_mp_put_array(buffer, candidates->count);
    for (uint32_t position = 0; position < candidates->count; position++) {
        const pcl_candidate *candidate = candidates->fit[position];
        pcl_mp_put_map(buffer, 3);
        pcl_mp_put_text(buffer, "node");
        pcl_mp_put_text(buffer, s_name(self, candidate->index));
        pcl_mp_put_text(buffer, "role");
        pcl_mp_put_text(buffer, pcl_node_role_text(candidate->role));
        pcl_mp_put_text(buffer, "score");
        pcl_mp_put_double(buffer, (double)costs[position]);
    }
    pcl_mp_put_text(buffer, "left_out");
    pcl_mp_put_array(buffer, count - candidates->count);
    for (uint32_t index = 0; index < count; index++) {
        if (candidates->why[index] != PCL_LEFT_OUT_NOT) {
            pcl_mp_put_map(buffer, 2);
            pcl_mp_put_text(buffer, "node");
            pcl_mp_put_text(buffer, s_name(self, index));
            pcl_mp_put_text(buffer, "why");
            pcl_mp_put_text(buffer, pcl_left_out_text(candidates->why[index]));
        }
    }
}
