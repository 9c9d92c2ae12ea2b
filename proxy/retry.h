/* retry.h - whether a request that left for a node and did not end well is sent
 * to another one.  (What could not leave tries all nodes: pcl_proxy_route.)
 *
 *  1. A read, or a begin, may go to another node, as long as its deadline, its
 *     PCL_ATTEMPTS_MAX and the budget allow it: a read twice is a read, and of two
 *     sessions opened the one that nobody hears of is released.
 *  2. Anything else is sent once: its fate is unknown, and the answer says so
 *     (LOST, retry unsafe).
 *  3. What belongs to a session or a cursor is there and nowhere else, so it is
 *     sent once, too.  A read, close and rollback leave no trace (retry safe); the
 *     page of a fetch that is lost cannot be had again (retry never).
 *  4. What was cancelled is not sent again: nobody waits for it.
 *  5. A read that must see a write which its node lacks goes on to the next that may have
 *     it: nobody failed, so that costs nothing, and awaited.h ends it at the source.
 *  6. The budget is a fifth of the traffic and ten a second, remembered for ten
 *     seconds: a dying fleet must not be buried under retries.
 *
 * Pure; times in microseconds.
 */
#ifndef PCL_PROXY_RETRY_H
#define PCL_PROXY_RETRY_H

#include "common/error.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_ATTEMPTS_MAX 3u /* sends of one request, the first counted */

typedef struct pcl_retry_budget {
    double tokens; /* sends that may still be made again */
    uint64_t updated_us;
} pcl_retry_budget;

pcl_retry_budget pcl_retry_budget_full(uint64_t now_us);
/* A request came for the first time: a fifth of a retry is earned. */
void pcl_retry_budget_earn(pcl_retry_budget *self, uint64_t now_us);
/* false: nothing is left. */
bool pcl_retry_budget_has(pcl_retry_budget *self, uint64_t now_us);
/* A retry was sent.  Only after _has said yes. */
void pcl_retry_budget_spend(pcl_retry_budget *self);

/* What sending a request once more would mean. */
typedef enum pcl_repeat {
    PCL_REPEAT_UNKNOWN = 0, /* it may have changed something */
    PCL_REPEAT_ANYWHERE,    /* leaves no trace, and another node may have it */
    PCL_REPEAT_THERE,       /* leaves no trace, but only one node has what it needs */
    PCL_REPEAT_IN_VAIN,     /* what it asked for is used up */
    PCL_REPEAT_COUNT,       /* must stay last */
} pcl_repeat;

/* read: its class says so.  pinned: it belongs to a session or a cursor. */
pcl_repeat pcl_retry_repeat(pcl_op op, bool read, bool pinned);

/* What happened to an attempt. */
typedef enum pcl_attempt_end {
    PCL_ATTEMPT_DOUBTED = 0, /* its node is suspect; an answer may still come */
    PCL_ATTEMPT_LOST,        /* its node is gone or was replaced */
    PCL_ATTEMPT_REFUSED,     /* answered with a code that says "not me" (pcl_retry_code) */
    PCL_ATTEMPT_EXPIRED,     /* the deadline and its grace passed */
    PCL_ATTEMPT_BEHIND,      /* the node does not have what the read must see */
    PCL_ATTEMPT_END_COUNT,   /* must stay last */
} pcl_attempt_end;

typedef enum pcl_retry_action {
    PCL_RETRY_AGAIN = 0, /* send it to another node */
    PCL_RETRY_WAIT,      /* leave it where it is */
    PCL_RETRY_ANSWER,    /* answer with err and retry */
    PCL_RETRY_PASS,      /* pass on the answer that the node gave */
} pcl_retry_action;

typedef struct pcl_retry_case {
    pcl_attempt_end end;
    pcl_repeat repeat;
    bool cancelled;    /* nobody waits for it any more */
    bool in_time;      /* the deadline lies ahead */
    bool budget;       /* pcl_retry_budget_has */
    bool other;        /* another node could take it */
    bool other_sound;  /* ... that is not itself suspect */
    bool last;         /* BEHIND: of the source, or where nobody else was left */
    uint32_t attempts; /* sends that left so far */
} pcl_retry_case;

typedef struct pcl_retry_verdict {
    pcl_retry_action action;
    pcl_err err;         /* of ANSWER */
    pcl_retry retry;     /* of ANSWER */
    const char *message; /* of ANSWER, for people; static; NULL: the code's own */
} pcl_retry_verdict;

pcl_retry_verdict pcl_retry_decide(const pcl_retry_case *request);

/* True for answers of a node that leave a read untouched and another node free
 * to take it: LOST, OVERLOADED, UNAVAILABLE, NO_NODE, DRAINING. */
bool pcl_retry_code(pcl_err code);

#endif
