/* hedge.h - when a read that is late gets a second copy at another node, and
 * what the end of either copy means.
 *
 *  1. Only reads that stand alone are hedged: no write, nothing of a session or a
 *     cursor, no begin, nothing that only the source may serve.
 *  2. A read is late once it has been at its node for longer than 95 of 100 of the
 *     last 512 were (1 ms at least), or, with less than half of the tokens left, 99 of
 *     100: else what is merely a little slow, 5 of 100 always, would leave none for a
 *     pause.  Until 200 have been seen nobody is late.
 *  3. Each read that may be hedged earns `share` of a token, a copy costs one, 20
 *     are kept, and the first has to be earned: so copies are never more than that
 *     share of the reads.  A copy costs a token of the retry budget, too.  One that runs
 *     for long costs more, up to 20 tokens of debt: else statements that always take
 *     long, and so are late each time, would all run twice.
 *  4. A copy goes only to a node that is expected to be idle: one of its connections
 *     is free, by the last report and our own books.  None is sent while the
 *     connections of the other nodes are more than nine tenths in use: then all are
 *     slow, and copies would make them slower.
 *  5. One copy a request, and only while more time is left than half of the reads
 *     take.  What was refused for a reason that passes is looked at again,
 *     of many late reads some each millisecond.
 *  6. The first success is the answer, and the other copy is withdrawn.  An end of
 *     another kind waits for the other copy; the last one speaks for both.
 *  7. A read's time counts once, from its first sending to its answer: of a copy that
 *     was withdrawn that is a lower bound, never a quick success.
 *
 * (Dean and Barroso, The Tail at Scale; the budget as in Finagle's backup requests;
 * proxy/README.md, section "Hedging", has what was measured.)  Pure; times in
 * microseconds; no call but pcl_hedge_line_new allocates.
 */
#ifndef PCL_PROXY_HEDGE_H
#define PCL_PROXY_HEDGE_H

#include "proxy/candidates.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_HEDGE_SAMPLES     512u
#define PCL_HEDGE_SAMPLES_MIN 200u
#define PCL_HEDGE_DELAY_MIN   UINT64_C(1000) /* us */
#define PCL_HEDGE_TOKENS_MAX  20.0

/* What is known of reads so far.  All zeros is a valid start. */
typedef struct pcl_hedge {
    uint32_t samples_us[PCL_HEDGE_SAMPLES]; /* a ring; count of them */
    uint32_t count;
    uint32_t next;
    uint32_t fresh; /* since the three below were computed */
    uint32_t p50_us;
    uint32_t p95_us; /* 0: not known yet */
    uint32_t p99_us;
    double tokens; /* -20 to 20 */
} pcl_hedge;

/* Rule 1. */
bool pcl_hedge_may(pcl_op op, bool read, bool pinned, bool source_only);

/* A read was answered with success elapsed_us after it was first sent.  O(1), and every 64th time
 * O(PCL_HEDGE_SAMPLES). */
void pcl_hedge_observe(pcl_hedge *self, uint64_t elapsed_us);
/* Rule 2; false: not known yet. */
bool pcl_hedge_delay_us(const pcl_hedge *self, uint64_t *out_delay_us) PCL_MUST_CHECK;

/* A read that may be hedged came.  share: 0 to 1. */
void pcl_hedge_earn(pcl_hedge *self, double share);
bool pcl_hedge_has(const pcl_hedge *self);
/* Only after _has said yes. */
void pcl_hedge_spend(pcl_hedge *self);
/* A second copy was the answer, failed or was withdrawn ran_us after it was sent: a token more for
 * each four times the delay beyond the first. */
void pcl_hedge_charge(pcl_hedge *self, uint64_t ran_us);

/* How much of the candidates' connections is in use, 0 to 1: more at a node than it can run counts
 * as all of them.  1 where there is no candidate. */
float pcl_hedge_load(const pcl_candidates *candidates);
/* Leaves those of them that have a free connection. */
void pcl_hedge_leave_idle(pcl_candidates *candidates);

typedef enum pcl_hedge_verdict {
    PCL_HEDGE_SEND = 0,
    PCL_HEDGE_NEVER,   /* this request will not be hedged any more */
    PCL_HEDGE_LATER,   /* not now */
    PCL_HEDGE_STARVED, /* likewise: no token is left */
} pcl_hedge_verdict;

typedef struct pcl_hedge_case {
    bool cancelled;    /* nobody waits for it any more */
    bool tokens;       /* pcl_hedge_has, and the retry budget's */
    bool room;         /* in the table of requests */
    bool other;        /* another node could take it, that is not suspect */
    bool idle;         /* ... and has a free connection */
    float load;        /* of the other nodes */
    uint64_t left_us;  /* until the deadline */
    uint32_t attempts; /* sends that left so far */
} pcl_hedge_case;

pcl_hedge_verdict pcl_hedge_decide(const pcl_hedge *self, const pcl_hedge_case *request);

/* A request at a node is one of */
typedef enum pcl_copy {
    PCL_COPY_ALONE = 0, /* it has no second copy */
    PCL_COPY_PAIRED,    /* both are on their way */
    PCL_COPY_LOSER,     /* the other was the answer; it keeps its node's books exact */
    PCL_COPY_COUNT,     /* must stay last */
} pcl_copy;

typedef enum pcl_copy_event {
    PCL_COPY_SUCCESS = 0,
    PCL_COPY_FAILURE, /* an answer that is none; or its node or its time has gone */
    PCL_COPY_DOUBT,   /* its node is suspect; an answer may still come */
    PCL_COPY_EVENT_COUNT,
} pcl_copy_event;

typedef enum pcl_copy_action {
    PCL_COPY_JUDGE = 0, /* as if there were no hedging: retry.h */
    PCL_COPY_WIN,       /* answer with it; the other becomes the loser */
    PCL_COPY_YIELD,     /* ends unheard; the other goes on alone */
    PCL_COPY_END,       /* ends unheard */
    PCL_COPY_STAY,      /* nothing */
} pcl_copy_action;

/* Rule 6:
 *
 *          SUCCESS  FAILURE  DOUBT
 * ALONE    judge    judge    judge
 * PAIRED   win      yield    stay
 * LOSER    end      end      stay
 */
pcl_copy_action pcl_copy_on(pcl_copy state, pcl_copy_event event);

/* Requests that may become late, in the order in which they were sent.  Each may be taken out at
 * any time.  All O(1). */
typedef struct pcl_hedge_line pcl_hedge_line;

/* capacity: of the table whose tickets stand here.  NULL only when memory is out. */
pcl_hedge_line *pcl_hedge_line_new(uint32_t capacity);
void pcl_hedge_line_destroy(pcl_hedge_line **self_p);
/* At the end.  The ticket must be live, and not stand here; since_us not before the last one's. */
void pcl_hedge_line_add(pcl_hedge_line *self, uint64_t ticket, uint64_t since_us);
/* Does nothing where it does not stand here. */
void pcl_hedge_line_remove(pcl_hedge_line *self, uint64_t ticket);
/* Who stands here for longest; 0: nobody. */
uint64_t pcl_hedge_line_first(const pcl_hedge_line *self, uint64_t *out_since_us);
uint32_t pcl_hedge_line_count(const pcl_hedge_line *self);

#endif
