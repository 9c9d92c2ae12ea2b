#include "proxy/health.h"

#include "common/clock.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

static const float RATE_MEMORY_S = 10;
static const float RATE_ATTEMPTS_MIN = 20;
static const float RATE_MIN = 0.8f;
#define CLEAN_US      (10 * PCL_US_PER_S) /* so long without a failure forgets the doubling */
#define SLOW_CLEAN_US (60 * PCL_US_PER_S)
#define SLOW_US       (3 * PCL_US_PER_S) /* a moment's slowness is no outlier */
enum { JITTER_PERCENT = 10, ROUND_MAX = 20 };

static void s_age(pcl_health *self, uint64_t now_us)
{
    float gone_s = (float)pcl_time_since_us(self->judged_us, now_us) / (float)PCL_US_PER_S;
    float kept = expf(-gone_s / RATE_MEMORY_S);
    self->answered_weight *= kept;
    self->attempts_weight *= kept;
    self->judged_us = now_us;
}

static void s_note_failure(pcl_health *self, uint64_t now_us)
{
    uint64_t since_us = self->failed_us > self->returned_us ? self->failed_us : self->returned_us;
    if (self->state == PCL_HEALTH_SOUND && pcl_time_since_us(since_us, now_us) >= CLEAN_US) {
        self->round = 0;
    }
    self->failed_us = now_us;
}

/* Doubled in steps, so that no shift can overflow. */
static uint64_t s_time_out_us(const pcl_health *self, const pcl_health_rules *rules, pcl_rng *rng)
{
    uint64_t time_us = rules->base_us;
    for (uint32_t round = 0; round < self->round && time_us < rules->max_us; round++) {
        time_us *= 2;
    }
    time_us = time_us < rules->max_us ? time_us : rules->max_us;
    uint64_t percent = 100 - JITTER_PERCENT + pcl_rng_below(rng, 2 * JITTER_PERCENT + 1);
    return time_us / 100 * percent;
}

static void s_shut_out(pcl_health *self, const pcl_health_rules *rules, pcl_rng *rng,
                       uint64_t now_us)
{
    self->state = PCL_HEALTH_EJECTED;
    self->until_us = now_us + s_time_out_us(self, rules, rng);
    self->round += self->round < ROUND_MAX ? 1 : 0;
    self->ejections++;
}

static void s_return(pcl_health *self, uint64_t now_us)
{
    self->state = PCL_HEALTH_SOUND;
    self->cause = PCL_HEALTH_CAUSE_NONE;
    self->failures = 0;
    self->answered_weight = 0;
    self->attempts_weight = 0;
    self->slow_since_us = 0;
    self->returned_us = now_us;
}

static void s_ended_sound(pcl_health *self, pcl_health_verdict verdict, uint64_t now_us)
{
    s_age(self, now_us);
    self->attempts_weight += 1;
    if (verdict == PCL_HEALTH_ANSWERED) {
        self->answered_weight += 1;
        self->failures = 0;
        return;
    }
    s_note_failure(self, now_us);
    self->failures += self->failures < UINT32_MAX ? 1 : 0;
}

bool pcl_health_ended(pcl_health *self, const pcl_health_rules *rules, pcl_health_verdict verdict,
                      uint64_t sent_us, pcl_rng *rng, uint64_t now_us)
{
    assert(self != NULL);
    assert(rules != NULL);
    assert(rng != NULL);
    switch (self->state) {
    case PCL_HEALTH_SOUND:
        if (verdict != PCL_HEALTH_SILENT && sent_us >= self->returned_us) {
            s_ended_sound(self, verdict, now_us);
        }
        return false;
    case PCL_HEALTH_TRIAL:
        if (sent_us < self->trial_us) {
            return false; /* rule 4 */
        }
        if (verdict == PCL_HEALTH_ANSWERED) {
            s_return(self, now_us);
            return true;
        }
        if (verdict == PCL_HEALTH_SILENT) {
            self->state = PCL_HEALTH_EJECTED;
            self->until_us = now_us;
            return false;
        }
        s_note_failure(self, now_us);
        s_shut_out(self, rules, rng, now_us);
        return false;
    case PCL_HEALTH_EJECTED:
    case PCL_HEALTH_STATE_COUNT:
        break;
    }
    return false;
}

pcl_health_cause pcl_health_wants_out(const pcl_health *self, const pcl_health_rules *rules,
                                      uint64_t now_us)
{
    assert(self != NULL);
    assert(rules != NULL);
    if (rules->failures_max == 0 || self->state != PCL_HEALTH_SOUND) {
        return PCL_HEALTH_CAUSE_NONE;
    }
    if (self->failures >= rules->failures_max) {
        return PCL_HEALTH_CAUSE_FAILURES;
    }
    if (self->failures > 0 && self->attempts_weight >= RATE_ATTEMPTS_MIN &&
        self->answered_weight < RATE_MIN * self->attempts_weight) {
        return PCL_HEALTH_CAUSE_RATE;
    }
    bool slow = rules->latency_factor > 0 && self->slow_since_us != 0 &&
                pcl_time_since_us(self->slow_since_us, now_us) >= SLOW_US;
    return slow ? PCL_HEALTH_CAUSE_LATENCY : PCL_HEALTH_CAUSE_NONE;
}

void pcl_health_eject(pcl_health *self, const pcl_health_rules *rules, pcl_health_cause cause,
                      pcl_rng *rng, uint64_t now_us)
{
    assert(self != NULL && self->state == PCL_HEALTH_SOUND);
    assert(cause != PCL_HEALTH_CAUSE_NONE);
    uint64_t clean_us = pcl_time_since_us(self->returned_us, now_us);
    if (cause == PCL_HEALTH_CAUSE_LATENCY && clean_us >= SLOW_CLEAN_US) {
        self->round = 0; /* such a node does not fail, and takes its time to be seen through */
    }
    self->cause = cause;
    self->ejected_us = now_us;
    s_shut_out(self, rules, rng, now_us);
}

bool pcl_health_is_due(const pcl_health *self, uint64_t now_us)
{
    assert(self != NULL);
    return self->state == PCL_HEALTH_EJECTED && now_us >= self->until_us;
}

void pcl_health_try(pcl_health *self, uint64_t now_us)
{
    assert(pcl_health_is_due(self, now_us));
    self->state = PCL_HEALTH_TRIAL;
    self->trial_us = now_us;
}

void pcl_health_compare(pcl_health *self, bool slow, uint64_t now_us)
{
    assert(self != NULL);
    if (!slow || self->state != PCL_HEALTH_SOUND) {
        self->slow_since_us = 0;
    } else if (self->slow_since_us == 0) {
        self->slow_since_us = now_us;
    }
}

const char *pcl_health_state_text(pcl_health_state state)
{
    switch (state) {
    case PCL_HEALTH_SOUND:
        return "sound";
    case PCL_HEALTH_EJECTED:
        return "ejected";
    case PCL_HEALTH_TRIAL:
        return "trial";
    case PCL_HEALTH_STATE_COUNT:
        break;
    }
    return "unknown";
}

const char *pcl_health_cause_text(pcl_health_cause cause)
{
    switch (cause) {
    case PCL_HEALTH_CAUSE_FAILURES:
        return "failures in a row";
    case PCL_HEALTH_CAUSE_RATE:
        return "too many failures";
    case PCL_HEALTH_CAUSE_LATENCY:
        return "far slower than the others";
    case PCL_HEALTH_CAUSE_NONE:
    case PCL_HEALTH_CAUSE_COUNT:
        break;
    }
    return "";
}
