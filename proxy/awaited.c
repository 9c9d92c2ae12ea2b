#include "proxy/awaited.h"

#include "wire/gtid.h"

#include <assert.h>
#include <stddef.h>

static bool s_has(const pcl_membership *members, const pcl_candidate *candidate, pcl_bytes after)
{
    const pcl_member *member = pcl_membership_at(members, candidate->index);
    return member->reported && pcl_gtid_reaches(member->report.gtid, after);
}

/* It follows closely: what is on its way may be there in a moment. */
static bool s_follows(const pcl_membership *members, const pcl_candidate *candidate)
{
    int32_t lag_ms = pcl_membership_at(members, candidate->index)->report.lag_ms;
    return lag_ms >= 0 && lag_ms <= (int32_t)PCL_BEAT_INTERVAL_MS;
}

/* Leaves those that are chosen. */
static void s_leave(pcl_candidates *out, const bool *chosen)
{
    uint32_t count = out->count;
    out->count = 0;
    for (uint32_t position = 0; position < count; position++) {
        const pcl_candidate *candidate = out->fit[position];
        if (chosen[position]) {
            out->fit[out->count++] = candidate;
        } else {
            out->why[candidate->index] = PCL_LEFT_OUT_BEHIND;
        }
    }
}

/* A source that would serve the read if no replica did; PCL_MEMBER_NONE: there is none. */
static uint32_t s_source(const pcl_membership *members, const pcl_candidates *found)
{
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        if (found->why[index] == PCL_LEFT_OUT_REPLICAS_FIRST &&
            pcl_membership_at(members, index)->state == PCL_MEMBER_UP) {
            return index;
        }
    }
    return PCL_MEMBER_NONE;
}

void pcl_awaited_narrow(const pcl_membership *members, const pcl_need *need, pcl_candidates *out)
{
    assert(members != NULL && need != NULL && out != NULL);
    bool has[PCL_NODES_MAX];
    bool follows[PCL_NODES_MAX];
    uint32_t having = 0;
    uint32_t following = 0;
    if (need->after.size == 0 || !need->read || need->source_only || out->count == 0) {
        return;
    }
    if (out->fit[0]->role == PCL_NODE_SOURCE) { /* it fits only when no replica does */
        out->last = true;
        return;
    }
    for (uint32_t position = 0; position < out->count; position++) {
        has[position] = s_has(members, out->fit[position], need->after);
        follows[position] = s_follows(members, out->fit[position]);
        having += has[position] ? 1 : 0;
        following += follows[position] ? 1 : 0;
    }
    if (having > 0) {
        s_leave(out, has);
        return;
    }
    uint32_t source = s_source(members, out);
    out->waits = true;
    out->last = source == PCL_MEMBER_NONE;
    if (out->last) {
        return;
    }
    if (following > 0 && !need->behind) {
        s_leave(out, follows);
        return;
    }
    s_leave(out, has); /* nobody */
    out->fit[out->count++] = &pcl_membership_at(members, source)->candidate;
    out->why[source] = PCL_LEFT_OUT_NOT;
    out->last = true;
    out->suspect = false;
}
