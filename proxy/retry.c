#include "proxy/retry.h"

#include "common/clock.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

static const double EARNED_PER_REQUEST = 0.2;
static const double EARNED_PER_S = 10;
static const char PAGE_LOST[] = "the page is lost, and the cursor with it: run the statement again";
static const double MEMORY_S = 10; /* what is not spent is forgotten with this time constant */

pcl_retry_budget pcl_retry_budget_full(uint64_t now_us)
{
    return (pcl_retry_budget){.tokens = EARNED_PER_S * MEMORY_S, .updated_us = now_us};
}

/* d tokens / dt = EARNED_PER_S - tokens / MEMORY_S, solved for the time gone. */
static void s_age(pcl_retry_budget *self, uint64_t now_us)
{
    double gone_s = (double)pcl_time_since_us(self->updated_us, now_us) / (double)PCL_US_PER_S;
    if (gone_s > 0) {
        double level = EARNED_PER_S * MEMORY_S;
        self->tokens = level + (self->tokens - level) * exp(-gone_s / MEMORY_S);
        self->updated_us = now_us;
    }
}

void pcl_retry_budget_earn(pcl_retry_budget *self, uint64_t now_us)
{
    assert(self != NULL);
    s_age(self, now_us);
    self->tokens += EARNED_PER_REQUEST;
}

bool pcl_retry_budget_has(pcl_retry_budget *self, uint64_t now_us)
{
    assert(self != NULL);
    s_age(self, now_us);
    return self->tokens >= 1;
}

void pcl_retry_budget_spend(pcl_retry_budget *self)
{
    assert(self != NULL);
    assert(self->tokens >= 1);
    self->tokens -= 1;
}

bool pcl_retry_code(pcl_err code)
{
    return code == PCL_ERR_LOST || code == PCL_ERR_OVERLOADED || code == PCL_ERR_UNAVAILABLE ||
           code == PCL_ERR_NO_NODE || code == PCL_ERR_DRAINING;
}

pcl_repeat pcl_retry_repeat(pcl_op op, bool read, bool pinned)
{
    switch (op) {
    case PCL_OP_QUERY:
        if (!read) {
            return PCL_REPEAT_UNKNOWN;
        }
        return pinned ? PCL_REPEAT_THERE : PCL_REPEAT_ANYWHERE;
    case PCL_OP_BEGIN:
        return pinned ? PCL_REPEAT_THERE : PCL_REPEAT_ANYWHERE;
    case PCL_OP_ROLLBACK:
    case PCL_OP_CLOSE:
    case PCL_OP_CANCEL:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
        return PCL_REPEAT_THERE;
    case PCL_OP_FETCH:
        return PCL_REPEAT_IN_VAIN;
    case PCL_OP_TXN:
    case PCL_OP_COMMIT:
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        break;
    }
    return PCL_REPEAT_UNKNOWN;
}

static pcl_retry s_fate(pcl_repeat repeat)
{
    switch (repeat) {
    case PCL_REPEAT_ANYWHERE:
    case PCL_REPEAT_THERE:
        return PCL_RETRY_SAFE;
    case PCL_REPEAT_IN_VAIN:
        return PCL_RETRY_NEVER;
    case PCL_REPEAT_UNKNOWN:
    case PCL_REPEAT_COUNT:
        break;
    }
    return PCL_RETRY_UNSAFE;
}

static pcl_retry_verdict s_answer(pcl_err err, pcl_repeat repeat)
{
    return (pcl_retry_verdict){.action = PCL_RETRY_ANSWER,
                               .err = err,
                               .retry = s_fate(repeat),
                               .message = repeat == PCL_REPEAT_IN_VAIN ? PAGE_LOST : NULL};
}

pcl_retry_verdict pcl_retry_decide(const pcl_retry_case *request)
{
    assert(request != NULL);
    const pcl_retry_verdict again = {.action = PCL_RETRY_AGAIN};
    bool may = request->repeat == PCL_REPEAT_ANYWHERE && !request->cancelled && request->in_time &&
               request->other && request->budget && request->attempts < PCL_ATTEMPTS_MAX;
    switch (request->end) {
    case PCL_ATTEMPT_DOUBTED:
        return may && request->other_sound ? again : (pcl_retry_verdict){.action = PCL_RETRY_WAIT};
    case PCL_ATTEMPT_LOST:
        return may ? again : s_answer(PCL_ERR_LOST, request->repeat);
    case PCL_ATTEMPT_REFUSED:
        return may ? again : (pcl_retry_verdict){.action = PCL_RETRY_PASS};
    case PCL_ATTEMPT_BEHIND: {
        bool next = request->repeat == PCL_REPEAT_ANYWHERE && !request->cancelled &&
                    request->in_time && request->other && !request->last;
        return next ? again : (pcl_retry_verdict){.action = PCL_RETRY_PASS};
    }
    case PCL_ATTEMPT_EXPIRED:
        return s_answer(PCL_ERR_DEADLINE, request->repeat);
    case PCL_ATTEMPT_END_COUNT:
        break;
    }
    return s_answer(PCL_ERR_INTERNAL, request->repeat); /* not reached: the switch is exhaustive */
}
