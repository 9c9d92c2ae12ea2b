#include "proxy/candidates.h"

#include "common/clock.h"
#include "proxy/awaited.h"

#include <assert.h>
#include <stddef.h>

enum {
    EQUAL_LAG_MS = 1000, /* replicas that differ by less are alike stale */
    KEPT_LAG_FACTOR = 3, /* times lag_ms_max: nobody further behind is kept by rule 12 */
};

const char *pcl_left_out_text(pcl_left_out why)
{
    static const char *const TEXTS[] = {
#define PCL_LEFT_OUT_TEXT(name, text) text,
        PCL_LEFT_OUT_LIST(PCL_LEFT_OUT_TEXT)
#undef PCL_LEFT_OUT_TEXT
    };
    assert(why < PCL_LEFT_OUT_COUNT);
    return TEXTS[why];
}

uint32_t pcl_lag_bound_ms(const pcl_member *member, uint64_t now_us)
{
    if (!member->reported || member->report.lag_ms < 0) {
        return UINT32_MAX;
    }
    uint32_t lag_ms = (uint32_t)member->report.lag_ms;
    if (lag_ms == 0 && member->report.replicating) {
        return 0;
    }
    uint64_t age_ms = pcl_time_since_us(member->candidate.reported_us, now_us) / PCL_US_PER_MS +
                      lag_ms;
    return age_ms < UINT32_MAX ? (uint32_t)age_ms : UINT32_MAX;
}

/* Rule 1; suspicion is left to rule 6. */
static pcl_left_out s_why_not_alive(const pcl_member *member)
{
    switch (member->state) {
    case PCL_MEMBER_NEW:
        return PCL_LEFT_OUT_NEVER_HEARD;
    case PCL_MEMBER_GONE:
        return PCL_LEFT_OUT_GONE;
    case PCL_MEMBER_LEAVING:
        return PCL_LEFT_OUT_LEAVING;
    case PCL_MEMBER_UP:
    case PCL_MEMBER_SUSPECT:
    case PCL_MEMBER_STATE_COUNT:
        break;
    }
    if (!member->reported || member->report.state == PCL_NODE_NOT_READY) {
        return PCL_LEFT_OUT_NOT_READY;
    }
    if (member->report.state == PCL_NODE_DRAIN) {
        return PCL_LEFT_OUT_AGENT_DRAINS;
    }
    return member->drained ? PCL_LEFT_OUT_DRAINED : PCL_LEFT_OUT_NOT;
}

/* Only of reads that replicas serve a node's health is asked: a source has no substitute. */
static bool s_is_replicas_read(const pcl_need *need)
{
    return need->read && !need->source_only;
}

/* Rules 2 and 3. */
static pcl_left_out s_why_not_its_work(const pcl_member *member, const pcl_need *need,
                                       uint64_t now_us)
{
    bool source = member->report.role == PCL_NODE_SOURCE && member->report.term >= need->term_min;
    if (!s_is_replicas_read(need)) {
        if (!source) {
            return PCL_LEFT_OUT_NOT_SOURCE;
        }
        return !need->read && member->report.read_only ? PCL_LEFT_OUT_READ_ONLY : PCL_LEFT_OUT_NOT;
    }
    if (source) {
        return need->reads_on_source ? PCL_LEFT_OUT_REPLICAS_FIRST
                                     : PCL_LEFT_OUT_NO_READS_ON_SOURCE;
    }
    if (member->report.role != PCL_NODE_REPLICA) {
        return PCL_LEFT_OUT_NOT_REPLICA;
    }
    uint32_t lag_ms = pcl_lag_bound_ms(member, now_us);
    if (lag_ms == UINT32_MAX) {
        return PCL_LEFT_OUT_LAG_UNKNOWN;
    }
    if (lag_ms > need->lag_ms_max) {
        return PCL_LEFT_OUT_LAG;
    }
    return member->lag_gate.out ? PCL_LEFT_OUT_LAG_SETTLES : PCL_LEFT_OUT_NOT;
}

/* What this request and our own books have against a node that may do its work.  Last what its
 * health has: whoever is left out by EJECTED or TRIAL would fit but for that. */
static pcl_left_out s_why_not_now(const pcl_member *member, const pcl_need *need, uint32_t index,
                                  pcl_left_out why)
{
    if (pcl_node_set_has(&need->tried, index)) {
        return PCL_LEFT_OUT_TRIED;
    }
    if (member->candidate.own >= need->node_inflight_max) {
        return PCL_LEFT_OUT_FULL;
    }
    bool replica = why == PCL_LEFT_OUT_NOT || why == PCL_LEFT_OUT_LAG_SETTLES;
    if (replica && s_is_replicas_read(need)) {
        switch (member->health.state) {
        case PCL_HEALTH_EJECTED:
            return PCL_LEFT_OUT_EJECTED;
        case PCL_HEALTH_TRIAL:
            return PCL_LEFT_OUT_TRIAL;
        case PCL_HEALTH_SOUND:
        case PCL_HEALTH_STATE_COUNT:
            break;
        }
    }
    return why;
}

/* Takes the members in that state whose reason is why. */
static void s_take(pcl_candidates *out, const pcl_membership *members, pcl_member_state state,
                   const pcl_left_out *why, pcl_left_out wanted)
{
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        if (member->state == state && why[index] == wanted) {
            out->fit[out->count++] = &member->candidate;
            out->why[index] = PCL_LEFT_OUT_NOT;
        }
    }
}

/* A replica that nothing but its lag keeps out. */
static bool s_is_behind_only(const pcl_member *member, const pcl_need *need, pcl_left_out why)
{
    return why == PCL_LEFT_OUT_LAG && member->state == PCL_MEMBER_UP &&
           member->health.state == PCL_HEALTH_SOUND &&
           s_why_not_now(member, need, member->candidate.index, PCL_LEFT_OUT_NOT) ==
               PCL_LEFT_OUT_NOT;
}

/* Rule 7: of the members that nothing but their lag keeps out, those least behind. */
static void s_take_least_behind(pcl_candidates *out, const pcl_membership *members,
                                const pcl_need *need, const pcl_left_out *why, uint64_t now_us)
{
    uint32_t least_ms = UINT32_MAX;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        uint32_t lag_ms = pcl_lag_bound_ms(member, now_us);
        if (s_is_behind_only(member, need, why[index]) && lag_ms < least_ms) {
            least_ms = lag_ms;
        }
    }
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        if (s_is_behind_only(member, need, why[index]) &&
            pcl_lag_bound_ms(member, now_us) - least_ms <= EQUAL_LAG_MS) {
            out->fit[out->count++] = &member->candidate;
            out->why[index] = PCL_LEFT_OUT_NOT;
        }
    }
}

/* Rule 12: the replica that is least behind of those that may be kept; PCL_MEMBER_NONE: none. */
static uint32_t s_least_behind(const pcl_candidates *out, const pcl_membership *members,
                               const pcl_need *need, const pcl_left_out *why, uint64_t now_us)
{
    uint32_t least = PCL_MEMBER_NONE;
    uint64_t least_ms = (uint64_t)need->lag_ms_max * KEPT_LAG_FACTOR + 1;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        bool settles = why[index] == PCL_LEFT_OUT_LAG_SETTLES && member->state == PCL_MEMBER_UP;
        bool kept = need->stale_reads && s_is_behind_only(member, need, why[index]);
        uint32_t lag_ms = pcl_lag_bound_ms(member, now_us);
        if ((settles || kept) && out->why[index] != PCL_LEFT_OUT_NOT && lag_ms < least_ms) {
            least = index;
            least_ms = lag_ms;
        }
    }
    return least;
}

static void s_keep_enough(pcl_candidates *out, const pcl_membership *members, const pcl_need *need,
                          const pcl_left_out *why, uint64_t now_us)
{
    while (out->count < need->replicas_min) {
        uint32_t index = s_least_behind(out, members, need, why, now_us);
        if (index == PCL_MEMBER_NONE) {
            return;
        }
        out->fit[out->count++] = &pcl_membership_at(members, index)->candidate;
        out->why[index] = PCL_LEFT_OUT_NOT;
    }
}

static bool s_is_out(pcl_left_out why)
{
    return why == PCL_LEFT_OUT_EJECTED || why == PCL_LEFT_OUT_TRIAL;
}

/* Fills why; true: panic (rule 10). */
static bool s_ask_each(const pcl_membership *members, const pcl_need *need, uint64_t now_us,
                       pcl_left_out *why)
{
    uint32_t serving = 0; /* replicas that live and may do this work, whatever else */
    uint32_t out = 0;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        why[index] = s_why_not_alive(member);
        if (why[index] == PCL_LEFT_OUT_NOT) {
            why[index] = s_why_not_its_work(member, need, now_us);
        }
        if (why[index] == PCL_LEFT_OUT_NOT && member->state == PCL_MEMBER_UP) {
            serving++;
            out += member->health.state == PCL_HEALTH_SOUND ? 0 : 1;
        }
        if (why[index] == PCL_LEFT_OUT_NOT || why[index] == PCL_LEFT_OUT_REPLICAS_FIRST ||
            why[index] == PCL_LEFT_OUT_LAG_SETTLES) {
            why[index] = s_why_not_now(member, need, index, why[index]);
        }
    }
    return s_is_replicas_read(need) && out * 2 > serving;
}

/* Rule 9: of those whose trial is due the one that has waited longest.  true: it is all that
 * fits. */
static bool s_take_trial(pcl_candidates *out, const pcl_membership *members, uint64_t now_us,
                         const pcl_left_out *why)
{
    const pcl_member *trial = NULL;
    uint32_t count = pcl_membership_count(members);
    for (uint32_t index = 0; index < count; index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        bool due = why[index] == PCL_LEFT_OUT_EJECTED && member->state == PCL_MEMBER_UP &&
                   pcl_health_is_due(&member->health, now_us);
        if (due && (trial == NULL || member->health.until_us < trial->health.until_us)) {
            trial = member;
        }
    }
    if (trial == NULL) {
        return false;
    }
    for (uint32_t index = 0; index < count; index++) {
        out->why[index] = why[index] == PCL_LEFT_OUT_NOT ? PCL_LEFT_OUT_OTHER_TRIED : why[index];
    }
    out->why[trial->candidate.index] = PCL_LEFT_OUT_NOT;
    out->fit[out->count++] = &trial->candidate;
    out->trial = true;
    return true;
}

static void s_take_ejected(pcl_candidates *out, const pcl_membership *members,
                           pcl_member_state state, const pcl_left_out *why)
{
    s_take(out, members, state, why, PCL_LEFT_OUT_EJECTED);
    s_take(out, members, state, why, PCL_LEFT_OUT_TRIAL);
}

/* Rules 5 to 8 and 10, until somebody fits. */
static void s_take_some(pcl_candidates *out, const pcl_membership *members, const pcl_need *need,
                        const pcl_left_out *why, uint64_t now_us)
{
    static const pcl_member_state STATES[] = {PCL_MEMBER_UP, PCL_MEMBER_SUSPECT};
    for (uint32_t round = 0; round < 2 && out->count == 0; round++) {
        out->suspect = round == 1;
        s_take(out, members, STATES[round], why, PCL_LEFT_OUT_NOT);
        if (out->count > 0) {
            if (out->panic) {
                s_take_ejected(out, members, STATES[round], why);
            }
            if (round == 0 && s_is_replicas_read(need)) {
                s_keep_enough(out, members, need, why, now_us);
            }
            return;
        }
        s_take(out, members, STATES[round], why, PCL_LEFT_OUT_REPLICAS_FIRST); /* rule 5 */
        if (out->count == 0) {
            s_take(out, members, STATES[round], why, PCL_LEFT_OUT_LAG_SETTLES);
        }
    }
    if (out->count == 0 && need->stale_reads) {
        out->suspect = false;
        s_take_least_behind(out, members, need, why, now_us);
    }
    for (uint32_t round = 0; round < 2 && out->count == 0; round++) { /* rule 8 */
        out->suspect = round == 1;
        s_take_ejected(out, members, STATES[round], why);
    }
}

/* A slow node draws nobody; one that fails at once looks idle and quick. */
static bool s_fails(const pcl_member *member, const pcl_need *need, uint64_t now_us)
{
    if (member->health.state != PCL_HEALTH_SOUND) {
        return true;
    }
    pcl_health_cause cause = pcl_health_wants_out(&member->health, need->health, now_us);
    return cause == PCL_HEALTH_CAUSE_FAILURES || cause == PCL_HEALTH_CAUSE_RATE;
}

/* Rule 14. */
static bool s_has_its_share(const pcl_member *member, uint64_t now_us)
{
    const pcl_candidate *candidate = &member->candidate;
    float share = pcl_candidate_start_share(candidate, now_us);
    return share < 1 && candidate->own > 0 &&
           (float)(candidate->own + 1) > share * (float)candidate->workers;
}

/* Takes those away for which keep is false; when all are, nobody. */
static void s_leave(pcl_candidates *out, const bool *keep, pcl_left_out why)
{
    uint32_t kept = 0;
    for (uint32_t position = 0; position < out->count; position++) {
        kept += keep[position] ? 1 : 0;
    }
    if (kept == 0 || kept == out->count) {
        return;
    }
    uint32_t count = out->count;
    out->count = 0;
    for (uint32_t position = 0; position < count; position++) {
        const pcl_candidate *candidate = out->fit[position];
        if (keep[position]) {
            out->fit[out->count++] = candidate;
        } else {
            out->why[candidate->index] = why;
        }
    }
}

/* Rules 11 and 14: who fits, but has had its share. */
static void s_leave_shared(pcl_candidates *out, const pcl_membership *members, const pcl_need *need,
                           uint64_t now_us)
{
    bool keep[PCL_NODES_MAX];
    for (uint32_t position = 0; position < out->count; position++) {
        const pcl_member *member = pcl_membership_at(members, out->fit[position]->index);
        keep[position] = !s_has_its_share(member, now_us);
    }
    s_leave(out, keep, PCL_LEFT_OUT_STARTS);
    if (need->health == NULL) {
        return;
    }
    uint32_t failing = 0;
    for (uint32_t position = 0; position < out->count; position++) {
        const pcl_member *member = pcl_membership_at(members, out->fit[position]->index);
        bool fails = s_fails(member, need, now_us);
        keep[position] = !fails || need->turn % out->count == position;
        failing += fails ? 1 : 0;
    }
    if (failing < out->count) {
        s_leave(out, keep, PCL_LEFT_OUT_FAILS);
    }
}

void pcl_candidates_find(const pcl_membership *members, const pcl_need *need, uint64_t now_us,
                         pcl_candidates *out)
{
    assert(members != NULL);
    assert(need != NULL);
    assert(out != NULL);
    pcl_left_out why[PCL_NODES_MAX]; /* as far as there are members */
    out->count = 0;
    out->suspect = false;
    out->trial = false;
    out->waits = false;
    out->last = false;
    out->panic = s_ask_each(members, need, now_us, why);
    if (need->may_try && s_take_trial(out, members, now_us, why)) {
        return;
    }
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        bool suspect = pcl_membership_at(members, index)->state == PCL_MEMBER_SUSPECT;
        bool fits = why[index] == PCL_LEFT_OUT_NOT || s_is_out(why[index]);
        out->why[index] = suspect && fits ? PCL_LEFT_OUT_SUSPECT : why[index];
    }
    s_take_some(out, members, need, why, now_us);
    if (s_is_replicas_read(need)) {
        s_leave_shared(out, members, need, now_us);
    }
    pcl_awaited_narrow(members, need, out);
}

bool pcl_candidates_overloaded(const pcl_candidates *self, uint32_t node_count)
{
    assert(node_count <= PCL_NODES_MAX);
    for (uint32_t index = 0; index < node_count; index++) {
        if (self->why[index] == PCL_LEFT_OUT_FULL) {
            return self->count == 0;
        }
    }
    return false;
}
