#include "policy/meter.h"

#include "common/clock.h"

#include <assert.h>

enum {
    REQUEST = 1000000,       /* the level that one takes */
    RETRY_MS_MAX = 60000,    /* nobody is sent away for longer */
    LASTED_US_FIRST = 20000, /* what a request is taken to last while none has ended */
    LASTED_WEIGHT = 8,       /* of the past, against the newest */
};

/* Fills the bucket for the time that has passed, at most to its brim. */
static void s_fill(pcl_meter *self, const pcl_policy_role *role, uint64_t now_us)
{
    uint64_t brim = (uint64_t)(role->burst != 0 ? role->burst : role->rate) * REQUEST;
    uint64_t passed_us = pcl_time_since_us(self->filled_us, now_us);
    bool full = self->filled_us == 0 || self->level >= brim ||
                passed_us > (brim - self->level) / role->rate;
    self->level = full ? brim : self->level + passed_us * role->rate;
    self->filled_us = now_us;
}

static uint32_t s_bound_ms(uint64_t wait_us)
{
    uint64_t wait_ms = (wait_us + PCL_US_PER_MS - 1) / PCL_US_PER_MS;
    wait_ms = wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX;
    return wait_ms > 0 ? (uint32_t)wait_ms : 1;
}

pcl_meter_verdict pcl_meter_take(pcl_meter *self, const pcl_policy_role *role, uint64_t now_us)
{
    assert(self != NULL);
    assert(role != NULL);
    pcl_meter_verdict verdict = {.rule = PCL_POLICY_RULE_NONE};
    if (role->concurrency_max != 0 && self->inflight >= role->concurrency_max) {
        if (!pcl_policy_is_dry(role, PCL_POLICY_RULE_CONCURRENCY)) {
            uint64_t lasted_us = self->lasted_us != 0 ? self->lasted_us : LASTED_US_FIRST;
            verdict.rule = PCL_POLICY_RULE_CONCURRENCY;
            verdict.retry_after_ms = s_bound_ms(lasted_us / role->concurrency_max);
            return verdict;
        }
        verdict.dry_run |= 1u << PCL_POLICY_RULE_CONCURRENCY;
    }
    if (role->rate != 0) {
        s_fill(self, role, now_us);
        if (self->level >= REQUEST) {
            self->level -= REQUEST;
        } else if (pcl_policy_is_dry(role, PCL_POLICY_RULE_RATE)) {
            verdict.dry_run |= 1u << PCL_POLICY_RULE_RATE;
        } else {
            verdict.rule = PCL_POLICY_RULE_RATE;
            verdict.retry_after_ms = s_bound_ms((REQUEST - self->level + role->rate - 1) /
                                                role->rate);
            return verdict;
        }
    }
    self->inflight++;
    return verdict;
}

void pcl_meter_done(pcl_meter *self, uint64_t lasted_us)
{
    assert(self != NULL);
    assert(self->inflight > 0);
    self->inflight--;
    uint64_t newest_us = lasted_us < UINT32_MAX ? lasted_us : UINT32_MAX;
    uint64_t past_us = self->lasted_us != 0 ? self->lasted_us : newest_us;
    self->lasted_us = (uint32_t)((past_us * (LASTED_WEIGHT - 1) + newest_us) / LASTED_WEIGHT);
}
