#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>
#include <stdio.h>

static const char *s_rule_text(pcl_strategy_kind strategy)
{
    switch (strategy) {
    case PCL_STRATEGY_DEFAULT:
        return "the session is there";
    case PCL_STRATEGY_DIRECT:
        return "the source";
    case PCL_STRATEGY_RANDOM:
        return "drawn";
    case PCL_STRATEGY_ROUND_ROBIN:
        return "its turn";
    case PCL_STRATEGY_LEAST_INFLIGHT:
        return "the fewest statements";
    case PCL_STRATEGY_CUSTOM:
    case PCL_STRATEGY_PEAK_EWMA:
    case PCL_STRATEGY_C3:
    case PCL_STRATEGY_PREQUAL:
    case PCL_STRATEGY_COUNT:
        break;
    }
    return "the lowest score";
}

/* Why this node, in one line. */
static void s_put_decision(const pcl_proxy_choice *choice, pcl_buffer *buffer)
{
    const pcl_candidates *candidates = &choice->candidates;
    const char *doubt = candidates->suspect ? ", and only suspect nodes were left" : "";
    const char *panic = candidates->panic && !candidates->suspect
                            ? "; so many replicas fail that all are asked"
                            : "";
    char text[160];
    if (choice->chosen == NULL) {
        (void)snprintf(text, sizeof text, "no node fits");
    } else if (candidates->trial) {
        (void)snprintf(text, sizeof text, "it failed, and this request tries it again");
    } else if (choice->strategy == PCL_STRATEGY_DEFAULT) {
        (void)snprintf(text, sizeof text, "%s", s_rule_text(choice->strategy));
    } else if (candidates->count == 1) {
        (void)snprintf(text, sizeof text, "the only one that fits%s%s", doubt, panic);
    } else {
        (void)snprintf(text, sizeof text, "%s of %u that fit%s%s", s_rule_text(choice->strategy),
                       candidates->count, doubt, panic);
    }
    pcl_mp_pair_text(buffer, "decision", text);
}

static bool s_is_out(const pcl_member *member)
{
    return member->health.state != PCL_HEALTH_SOUND;
}

static void s_put_node(const pcl_member *member, uint64_t now_us, pcl_buffer *buffer)
{
    const pcl_candidate *candidate = &member->candidate;
    pcl_mp_put_text(buffer, "lag_ms");
    pcl_mp_put_int(buffer, member->reported ? member->report.lag_ms : -1);
    pcl_mp_pair_uint(buffer, "inflight", candidate->own);
    pcl_mp_pair_uint(buffer, "others", candidate->foreign);
    pcl_mp_pair_double(buffer, "service_us", (double)candidate->service_mean_us);
    pcl_mp_pair_double(buffer, "rtt_us", (double)candidate->rtt_us);
    pcl_mp_pair_text(buffer, "health", pcl_health_state_text(member->health.state));
    if (s_is_out(member)) {
        pcl_mp_pair_text(buffer, "cause", pcl_health_cause_text(member->health.cause));
        pcl_mp_pair_uint(buffer, "ejected_ms",
                         pcl_time_left_us(member->health.until_us, now_us) / PCL_US_PER_MS);
    }
}

enum { NODE_PAIRS = 6, OUT_PAIRS = 2 };

static uint32_t s_pairs(const pcl_member *member)
{
    return NODE_PAIRS + (s_is_out(member) ? OUT_PAIRS : 0);
}

static const char *s_role_text(const pcl_member *member)
{
    return pcl_node_role_text(member->reported ? member->report.role : PCL_NODE_UNKNOWN);
}

void pcl_proxy_explain_pairs(const pcl_proxy *self, const pcl_proxy_choice *choice, uint64_t now_us,
                             pcl_buffer *buffer)
{
    const pcl_candidates *candidates = &choice->candidates;
    uint32_t count = pcl_membership_count(self->members);
    assert(candidates->count <= count);
    s_put_decision(choice, buffer);
    pcl_mp_put_text(buffer, "candidates");
    pcl_mp_put_array(buffer, candidates->count);
    for (uint32_t position = 0; position < candidates->count; position++) {
        const pcl_member *member = pcl_membership_at(self->members,
                                                     candidates->fit[position]->index);
        pcl_mp_put_map(buffer, 3 + s_pairs(member));
        pcl_mp_pair_text(buffer, "node", member->name);
        pcl_mp_pair_text(buffer, "role", s_role_text(member));
        pcl_mp_pair_double(buffer, "score", (double)choice->costs[position]);
        s_put_node(member, now_us, buffer);
    }
    pcl_mp_put_text(buffer, "left_out");
    pcl_mp_put_array(buffer, count - candidates->count);
    for (uint32_t index = 0; index < count; index++) {
        if (candidates->why[index] != PCL_LEFT_OUT_NOT) {
            const pcl_member *member = pcl_membership_at(self->members, index);
            pcl_mp_put_map(buffer, 3 + s_pairs(member));
            pcl_mp_pair_text(buffer, "node", member->name);
            pcl_mp_pair_text(buffer, "why", pcl_left_out_text(candidates->why[index]));
            pcl_mp_pair_text(buffer, "role", s_role_text(member));
            s_put_node(member, now_us, buffer);
        }
    }
}
