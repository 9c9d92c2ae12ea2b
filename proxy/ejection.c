#include "proxy/ejection.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

#define SILENCE_US    (500 * PCL_US_PER_MS) /* a client may ask for an answer within a moment */
#define FRESH_US      (2 * PCL_US_PER_S)
#define SAMPLES_MIN   20.0f   /* effective, of the agent's service time */
#define EXCESS_MIN_US 2000.0f /* less is no reason to do without a node */

pcl_health_verdict pcl_ejection_of_reply(pcl_err code, bool fault, uint64_t waited_us)
{
    if (fault) {
        bool hasty = code == PCL_ERR_DEADLINE && waited_us < SILENCE_US;
        return hasty ? PCL_HEALTH_SILENT : PCL_HEALTH_FAILED;
    }
    bool database_spoke = code == PCL_ERR_OK || code == PCL_ERR_SQL || code == PCL_ERR_EXPECT ||
                          code == PCL_ERR_ABORTED || code == PCL_ERR_TOO_LARGE ||
                          code == PCL_ERR_BEHIND; /* it was asked what it has */
    return database_spoke ? PCL_HEALTH_ANSWERED : PCL_HEALTH_SILENT;
}

pcl_health_verdict pcl_ejection_of_end(pcl_attempt_end end, bool read, uint64_t waited_us)
{
    switch (end) {
    case PCL_ATTEMPT_LOST:
        return PCL_HEALTH_FAILED;
    case PCL_ATTEMPT_EXPIRED:
        return read && waited_us >= SILENCE_US ? PCL_HEALTH_FAILED : PCL_HEALTH_SILENT;
    case PCL_ATTEMPT_DOUBTED: /* membership.h deals with silence */
    case PCL_ATTEMPT_REFUSED: /* its reply has been judged */
    case PCL_ATTEMPT_BEHIND:
    case PCL_ATTEMPT_END_COUNT:
        break;
    }
    return PCL_HEALTH_SILENT;
}

static bool s_lives(const pcl_member *member)
{
    return member->state == PCL_MEMBER_UP && member->reported && !member->drained &&
           member->report.state == PCL_NODE_UP;
}

bool pcl_ejection_may(const pcl_membership *members, bool reads_on_source)
{
    uint32_t replicas = 0;
    uint32_t out = 0;
    bool source = false;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        bool replica = member->report.role == PCL_NODE_REPLICA;
        source = source || (s_lives(member) && member->report.role == PCL_NODE_SOURCE);
        replicas += s_lives(member) && replica ? 1 : 0;
        out += s_lives(member) && replica && member->health.state != PCL_HEALTH_SOUND ? 1 : 0;
    }
    if (replicas < 2) {
        return replicas == 1 && out == 0 && source && reads_on_source;
    }
    return out == 0 || (out + 1) * 2 <= replicas;
}

bool pcl_ejection_ended(pcl_membership *members, uint32_t index, const pcl_health_rules *rules,
                        pcl_health_verdict verdict, uint64_t sent_us, pcl_rng *rng, uint64_t now_us)
{
    pcl_member *member = pcl_membership_at(members, index);
    pcl_health *health = &member->health;
    if (!pcl_health_ended(health, rules, verdict, sent_us, rng, now_us)) {
        return false;
    }
    if (pcl_time_since_us(health->ejected_us, now_us) > PCL_MEMBER_AWAY_US) {
        member->candidate.slow_since_us = now_us;
    }
    return true;
}

pcl_health_cause pcl_ejection_judge(pcl_membership *members, uint32_t index,
                                    const pcl_health_rules *rules, bool reads_on_source,
                                    pcl_rng *rng, uint64_t now_us)
{
    pcl_member *member = pcl_membership_at(members, index);
    if (member->report.role != PCL_NODE_REPLICA) {
        return PCL_HEALTH_CAUSE_NONE;
    }
    pcl_health_cause cause = pcl_health_wants_out(&member->health, rules, now_us);
    if (cause == PCL_HEALTH_CAUSE_NONE || !pcl_ejection_may(members, reads_on_source)) {
        return PCL_HEALTH_CAUSE_NONE;
    }
    pcl_health_eject(&member->health, rules, cause, rng, now_us);
    return cause;
}

void pcl_ejection_check_trial(pcl_membership *members, uint32_t index,
                              const pcl_health_rules *rules, pcl_rng *rng, uint64_t now_us)
{
    pcl_member *member = pcl_membership_at(members, index);
    if (member->health.state == PCL_HEALTH_TRIAL && member->candidate.own == 0) {
        (void)pcl_health_ended(&member->health, rules, PCL_HEALTH_SILENT, now_us, rng, now_us);
    }
}

/* How long a statement takes there; negative: not known well enough. */
static float s_time_us(const pcl_member *member, uint64_t now_us)
{
    const pcl_candidate *candidate = &member->candidate;
    bool known = s_lives(member) && member->report.role == PCL_NODE_REPLICA &&
                 candidate->service_count >= SAMPLES_MIN &&
                 pcl_time_since_us(candidate->sampled_us, now_us) <= FRESH_US;
    return known ? candidate->service_mean_us + candidate->rtt_us : -1;
}

/* The upper median of what others take: whoever exceeds it is slower than most.  Negative: there is
 * no other. */
static float s_median_of_others_us(const float *times, uint32_t count, uint32_t self)
{
    float sorted[PCL_NODES_MAX];
    uint32_t known = 0;
    for (uint32_t index = 0; index < count; index++) {
        if (index == self || times[index] < 0) {
            continue;
        }
        uint32_t place = known++;
        for (; place > 0 && sorted[place - 1] > times[index]; place--) {
            sorted[place] = sorted[place - 1];
        }
        sorted[place] = times[index];
    }
    return known == 0 ? -1 : sorted[known / 2];
}

void pcl_ejection_compare(pcl_membership *members, const pcl_health_rules *rules, uint64_t now_us)
{
    float times[PCL_NODES_MAX];
    float fastest = -1;
    uint32_t count = pcl_membership_count(members);
    for (uint32_t index = 0; index < count; index++) {
        times[index] = s_time_us(pcl_membership_at(members, index), now_us);
        fastest = times[index] >= 0 && (fastest < 0 || times[index] < fastest) ? times[index]
                                                                               : fastest;
    }
    for (uint32_t index = 0; index < count; index++) {
        /* Most nodes are not even far from the fastest: no median is needed. */
        bool slow = times[index] > rules->latency_factor * fastest &&
                    times[index] > fastest + EXCESS_MIN_US;
        if (slow) {
            float others_us = s_median_of_others_us(times, count, index);
            slow = others_us >= 0 && times[index] > rules->latency_factor * others_us &&
                   times[index] > others_us + EXCESS_MIN_US;
        }
        pcl_health_compare(&pcl_membership_at(members, index)->health, slow, now_us);
    }
}
