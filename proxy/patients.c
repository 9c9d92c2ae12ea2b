#include "proxy/actor.h"

#include "common/clock.h"
#include "net/log.h"

#include <inttypes.h>

static void s_judge(pcl_proxy *self, uint32_t node, uint64_t now_us)
{
    pcl_health_cause cause = pcl_ejection_judge(self->members, node, &self->settings.health,
                                                self->settings.reads_on_source, &self->rng, now_us);
    if (cause == PCL_HEALTH_CAUSE_NONE) {
        return;
    }
    const pcl_member *member = pcl_membership_at(self->members, node);
    pcl_proxy_note_ejection(self, node, cause);
    pcl_log(PCL_LOG_WARNING, "proxy", "node-ejected",
            "node=%s cause=\"%s\" for_ms=%" PRIu64 " ejections=%" PRIu64, member->name,
            pcl_health_cause_text(cause),
            pcl_time_since_us(now_us, member->health.until_us) / PCL_US_PER_MS,
            member->health.ejections);
}

void pcl_proxy_attempt_ended(pcl_proxy *self, uint32_t node, pcl_health_verdict verdict,
                             uint64_t sent_us, uint64_t now_us)
{
    if (pcl_ejection_ended(self->members, node, &self->settings.health, verdict, sent_us,
                           &self->rng, now_us)) {
        const pcl_member *member = pcl_membership_at(self->members, node);
        pcl_log(PCL_LOG_INFO, "proxy", "node-returned", "node=%s out_ms=%" PRIu64, member->name,
                pcl_time_since_us(member->health.ejected_us, now_us) / PCL_US_PER_MS);
    } else if (verdict == PCL_HEALTH_FAILED) {
        s_judge(self, node, now_us);
    }
}

void pcl_proxy_patients_tick(pcl_proxy *self, uint64_t now_us)
{
    if (pcl_time_since_us(self->compared_us, now_us) < PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS) {
        return;
    }
    self->compared_us = now_us;
    pcl_ejection_compare(self->members, &self->settings.health, now_us);
    for (uint32_t node = 0; node < pcl_membership_count(self->members); node++) {
        pcl_ejection_check_trial(self->members, node, &self->settings.health, &self->rng, now_us);
    }
    for (uint32_t node = 0; node < pcl_membership_count(self->members); node++) {
        s_judge(self, node, now_us);
    }
}
