/* health.h - whether a node may be trusted with reads: the record of one node's
 * failures (STRATEGIES section 3.5).
 *
 *             FAILED            ANSWERED        DUE       DROPPED
 * SOUND       SOUND             SOUND           -         SOUND
 * EJECTED     EJECTED           EJECTED         TRIAL     EJECTED
 * TRIAL       EJECTED longer    SOUND returned  -         EJECTED, due at once
 *
 * SOUND goes to EJECTED by pcl_health_eject alone, when the record wants it
 * (pcl_health_wants_out) and the fleet can spare the node (ejection.h):
 *
 *  1. failures_max failures with no answer between them, or fewer than four
 *     answers in five attempts (mean over 10 s, 20 attempts at least), or times
 *     far beyond the other nodes' (ejection.h).
 *  2. It is out for base_us, doubled with each ejection up to max_us, 10% more or
 *     less by chance; 10 s without a failure forget the doubling.
 *  3. Then one attempt is its trial.  Answered: it is sound again.  Failed: it is
 *     out for longer.  Ended without a verdict: the next attempt is the trial.
 *  4. What was sent before the ejection, or before the trial, decides nothing.
 *
 * A failure is the node's own: it could not be reached, it ended the connection,
 * it answered nothing.  An error that a statement can bring about is an answer.
 *
 * Pure; times are microseconds of one monotonic clock, the chance is the caller's.
 */
#ifndef PCL_PROXY_HEALTH_H
#define PCL_PROXY_HEALTH_H

#include "common/rng.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_health_state {
    PCL_HEALTH_SOUND = 0,
    PCL_HEALTH_EJECTED,
    PCL_HEALTH_TRIAL,       /* its one attempt is under way */
    PCL_HEALTH_STATE_COUNT, /* must stay last */
} pcl_health_state;

/* Why a node is out, or should be. */
typedef enum pcl_health_cause {
    PCL_HEALTH_CAUSE_NONE = 0,
    PCL_HEALTH_CAUSE_FAILURES, /* one after the other */
    PCL_HEALTH_CAUSE_RATE,     /* too many among its answers */
    PCL_HEALTH_CAUSE_LATENCY,  /* far slower than the others */
    PCL_HEALTH_CAUSE_COUNT,    /* must stay last */
} pcl_health_cause;

/* What an attempt says of the node. */
typedef enum pcl_health_verdict {
    PCL_HEALTH_SILENT = 0, /* nothing: cancelled, given up, refused because of load */
    PCL_HEALTH_ANSWERED,   /* it works; the answer may be an error of the statement's own */
    PCL_HEALTH_FAILED,     /* for the node's own reason */
} pcl_health_verdict;

typedef struct pcl_health_rules {
    uint32_t failures_max; /* 0: no node is ever ejected */
    uint64_t base_us;
    uint64_t max_us;
    float latency_factor; /* ejection.h; 0: times eject nobody */
} pcl_health_rules;

/* All zeros is a sound node of which nothing is known. */
typedef struct pcl_health {
    pcl_health_state state;
    pcl_health_cause cause; /* of the present ejection; NONE while sound */
    uint32_t failures;      /* since the last answer */
    float answered_weight;  /* of the attempts of about 10 s, those answered ... */
    float attempts_weight;  /* ... of so many */
    uint64_t judged_us;     /* when these two were true */
    uint64_t failed_us;     /* the last failure; 0 never */
    uint64_t slow_since_us; /* far slower than the others since then; 0 it is not */
    uint64_t ejected_us;    /* when the present ejection began; kept when it ended */
    uint64_t until_us;      /* when its trial is due */
    uint64_t trial_us;      /* when its trial was sent */
    uint64_t returned_us;   /* 0 never */
    uint32_t round;         /* ejections that count towards the doubling */
    uint64_t ejections;     /* since the start */
} pcl_health;

/* An attempt that was sent at sent_us ended.  true: the node has just come back. */
bool pcl_health_ended(pcl_health *self, const pcl_health_rules *rules, pcl_health_verdict verdict,
                      uint64_t sent_us, pcl_rng *rng, uint64_t now_us);

/* Why a sound node should be ejected; NONE: it should not. */
pcl_health_cause pcl_health_wants_out(const pcl_health *self, const pcl_health_rules *rules,
                                      uint64_t now_us);

/* Of a sound node. */
void pcl_health_eject(pcl_health *self, const pcl_health_rules *rules, pcl_health_cause cause,
                      pcl_rng *rng, uint64_t now_us);

/* True for an ejected node whose time has passed: the next attempt may be its trial. */
bool pcl_health_is_due(const pcl_health *self, uint64_t now_us);

/* That attempt is sent.  Of a node that is due. */
void pcl_health_try(pcl_health *self, uint64_t now_us);

/* Notes whether the node is far slower than the others at now_us (ejection.h). */
void pcl_health_compare(pcl_health *self, bool slow, uint64_t now_us);

const char *pcl_health_state_text(pcl_health_state state); /* "sound", "ejected", "trial" */
/* For people: "failures in a row"; "" of NONE. */
const char *pcl_health_cause_text(pcl_health_cause cause);

#endif
