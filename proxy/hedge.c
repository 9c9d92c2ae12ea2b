#include "proxy/hedge.h"

#include "proxy/retry.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { REFRESH_EVERY = 64 };

static const float LOAD_MAX = 0.9f;
static const double CHARGED_AFTER = 4; /* times the delay: a slow read is not a long statement */

bool pcl_hedge_may(pcl_op op, bool read, bool pinned, bool source_only)
{
    return op == PCL_OP_QUERY && read && !pinned && !source_only;
}

static void s_swap(uint32_t *a, uint32_t *b)
{
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Among the values from low on, puts smaller ones before, and greater ones behind, the value that
 * stands at rank if all are sorted, which it returns (Hoare, Algorithm 65: Find).  Sorting them all
 * takes ten times as long, and was a twelfth of what a read cost the proxy. */
static uint32_t s_select(uint32_t *values, uint32_t low, uint32_t count, uint32_t rank)
{
    uint32_t high = count - 1;
    while (low < high) {
        uint32_t pivot = values[low + (high - low) / 2];
        uint32_t left = low;
        uint32_t right = high;
        for (;;) {
            while (values[left] < pivot) {
                left++;
            }
            while (values[right] > pivot) {
                right--;
            }
            if (left >= right) {
                break;
            }
            s_swap(&values[left++], &values[right--]);
        }
        /* All up to right are at most the pivot, all from right + 1 on at least. */
        if (rank <= right) {
            high = right;
        } else {
            low = right + 1;
        }
    }
    return values[rank];
}

static void s_refresh(pcl_hedge *self)
{
    uint32_t times_us[PCL_HEDGE_SAMPLES];
    memcpy(times_us, self->samples_us, self->count * sizeof times_us[0]);
    uint32_t half = self->count / 2;
    uint32_t most = self->count * 19 / 20;
    self->p50_us = s_select(times_us, 0, self->count, half);
    self->p95_us = s_select(times_us, half, self->count, most);
    self->p99_us = s_select(times_us, most, self->count, self->count * 99 / 100);
    if (self->p95_us < PCL_HEDGE_DELAY_MIN) {
        self->p95_us = PCL_HEDGE_DELAY_MIN;
    }
    if (self->p99_us < self->p95_us) {
        self->p99_us = self->p95_us;
    }
    self->fresh = 0;
}

void pcl_hedge_observe(pcl_hedge *self, uint64_t elapsed_us)
{
    assert(self != NULL);
    self->samples_us[self->next] = elapsed_us < UINT32_MAX ? (uint32_t)elapsed_us : UINT32_MAX;
    self->next = (self->next + 1) % PCL_HEDGE_SAMPLES;
    self->count += self->count < PCL_HEDGE_SAMPLES;
    self->fresh++;
    bool first = self->p95_us == 0;
    if (self->count >= PCL_HEDGE_SAMPLES_MIN && (first || self->fresh >= REFRESH_EVERY)) {
        s_refresh(self);
    }
}

bool pcl_hedge_delay_us(const pcl_hedge *self, uint64_t *out_delay_us)
{
    assert(self != NULL);
    assert(out_delay_us != NULL);
    if (self->p95_us == 0) {
        return false;
    }
    *out_delay_us = self->tokens >= PCL_HEDGE_TOKENS_MAX / 2 ? self->p95_us : self->p99_us;
    return true;
}

void pcl_hedge_earn(pcl_hedge *self, double share)
{
    assert(self != NULL);
    assert(share >= 0 && share <= 1);
    self->tokens += share;
    if (self->tokens > PCL_HEDGE_TOKENS_MAX) {
        self->tokens = PCL_HEDGE_TOKENS_MAX;
    }
}

bool pcl_hedge_has(const pcl_hedge *self)
{
    assert(self != NULL);
    return self->tokens >= 1;
}

void pcl_hedge_spend(pcl_hedge *self)
{
    assert(self != NULL);
    assert(self->tokens >= 1);
    self->tokens -= 1;
}

void pcl_hedge_charge(pcl_hedge *self, uint64_t ran_us)
{
    assert(self != NULL);
    assert(self->p95_us > 0); /* a copy was sent */
    double more = (double)ran_us / (CHARGED_AFTER * self->p95_us) - 1;
    if (more > 0) {
        self->tokens = fmax(self->tokens - more, -PCL_HEDGE_TOKENS_MAX);
    }
}

float pcl_hedge_load(const pcl_candidates *candidates)
{
    assert(candidates != NULL);
    uint32_t used = 0;
    uint32_t workers = 0;
    for (uint32_t position = 0; position < candidates->count; position++) {
        const pcl_candidate *candidate = candidates->fit[position];
        uint32_t there = pcl_candidate_inflight(candidate);
        used += there < candidate->workers ? there : candidate->workers;
        workers += candidate->workers;
    }
    return workers > 0 ? (float)used / (float)workers : 1;
}

void pcl_hedge_leave_idle(pcl_candidates *candidates)
{
    assert(candidates != NULL);
    uint32_t kept = 0;
    for (uint32_t position = 0; position < candidates->count; position++) {
        const pcl_candidate *candidate = candidates->fit[position];
        if (pcl_candidate_inflight(candidate) < candidate->workers) {
            candidates->fit[kept++] = candidate;
        } else {
            candidates->why[candidate->index] = PCL_LEFT_OUT_BUSY;
        }
    }
    candidates->count = kept;
}

pcl_hedge_verdict pcl_hedge_decide(const pcl_hedge *self, const pcl_hedge_case *request)
{
    assert(self != NULL);
    assert(request != NULL);
    if (request->cancelled || !request->other || request->left_us <= self->p50_us ||
        request->attempts >= PCL_ATTEMPTS_MAX) {
        return PCL_HEDGE_NEVER;
    }
    if (!request->tokens) {
        return PCL_HEDGE_STARVED;
    }
    return request->room && request->idle && request->load <= LOAD_MAX ? PCL_HEDGE_SEND
                                                                       : PCL_HEDGE_LATER;
}

pcl_copy_action pcl_copy_on(pcl_copy state, pcl_copy_event event)
{
    static const pcl_copy_action TABLE[PCL_COPY_COUNT][PCL_COPY_EVENT_COUNT] = {
        [PCL_COPY_ALONE] = {PCL_COPY_JUDGE, PCL_COPY_JUDGE, PCL_COPY_JUDGE},
        [PCL_COPY_PAIRED] = {PCL_COPY_WIN, PCL_COPY_YIELD, PCL_COPY_STAY},
        [PCL_COPY_LOSER] = {PCL_COPY_END, PCL_COPY_END, PCL_COPY_STAY},
    };
    assert(state < PCL_COPY_COUNT);
    assert(event < PCL_COPY_EVENT_COUNT);
    return TABLE[state][event];
}
