#include "proxy/pinned.h"

#include "common/clock.h"
#include "wire/head.h"

#include <assert.h>
#include <stddef.h>

static const char RUN_GONE[] = "the node that held the session has gone; "
                               "what it had open was rolled back";
static const char RUN_UNKNOWN[] = "the node that holds the session is not known here yet";
static const char RUN_SILENT[] = "the node that holds the session cannot be reached";

static pcl_pinned_verdict s_not(pcl_err err, const char *message)
{
    return (pcl_pinned_verdict){.err = err, .node = PCL_MEMBER_NONE, .message = message};
}

const char *pcl_pinned_unreachable_text(void)
{
    return RUN_SILENT;
}

uint32_t pcl_pinned_node(const pcl_membership *members, const uint8_t id[PCL_ID_SIZE])
{
    uint64_t boot_id = pcl_held_id_boot(id);
    uint32_t node = pcl_membership_find_boot(members, boot_id);
    if (node == PCL_MEMBER_NONE || pcl_membership_at(members, node)->boot_id != boot_id) {
        return PCL_MEMBER_NONE;
    }
    return node;
}

/* Rules 1 and 2. */
static pcl_pinned_verdict s_no_run(const pcl_membership *members, const pcl_pinned_case *request)
{
    uint64_t boot_id = pcl_held_id_boot(request->id);
    bool ended = pcl_membership_find_boot(members, boot_id) != PCL_MEMBER_NONE;
    bool settled = pcl_time_since_us(request->started_us, request->now_us) >=
                   PCL_PINNED_SETTLE_MS * PCL_US_PER_MS;
    return ended || settled || boot_id == 0 ? s_not(PCL_ERR_GONE, RUN_GONE)
                                            : s_not(PCL_ERR_NO_NODE, RUN_UNKNOWN);
}

pcl_pinned_verdict pcl_pinned_find(const pcl_membership *members, const pcl_pinned_case *request)
{
    assert(members != NULL);
    assert(request != NULL && request->id != NULL);
    uint32_t node = pcl_pinned_node(members, request->id);
    if (node == PCL_MEMBER_NONE) {
        return s_no_run(members, request);
    }
    const pcl_member *member = pcl_membership_at(members, node);
    if (member->state == PCL_MEMBER_GONE) { /* rule 3 */
        uint64_t silent_us = pcl_time_since_us(member->heard_us, request->now_us);
        return silent_us >= PCL_PINNED_SILENT_MS * PCL_US_PER_MS
                   ? s_not(PCL_ERR_GONE, RUN_GONE)
                   : s_not(PCL_ERR_NO_NODE, RUN_SILENT);
    }
    if (member->candidate.own >= request->node_inflight_max) {
        return s_not(PCL_ERR_OVERLOADED, NULL);
    }
    return (pcl_pinned_verdict){.err = PCL_ERR_OK, .node = node};
}

void pcl_pinned_candidates(const pcl_membership *members, uint32_t node, pcl_candidates *out)
{
    assert(members != NULL);
    assert(out != NULL);
    out->count = 1;
    out->suspect = false;
    out->trial = false;
    out->panic = false;
    out->waits = false;
    out->last = false;
    out->fit[0] = &pcl_membership_at(members, node)->candidate;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        out->why[index] = index == node ? PCL_LEFT_OUT_NOT : PCL_LEFT_OUT_ELSEWHERE;
    }
}
