/* meter.h - how many requests a second, and how many at a time, one principal has; pure.
 *
 * The limits are the role's, given with each call, so that a reload needs nothing: a meter is the
 * principal's and lives on.  A token bucket that is full at first, and a count.
 */
#ifndef PCL_POLICY_METER_H
#define PCL_POLICY_METER_H

#include "policy/policy.h"

#include <stdint.h>

/* All zero is a new meter. */
typedef struct pcl_meter {
    uint64_t level;     /* millionths of a request that may come at once */
    uint64_t filled_us; /* when it was that; 0: never used */
    uint32_t inflight;  /* taken and not done */
    uint32_t lasted_us; /* how long requests took of late */
} pcl_meter;

typedef struct pcl_meter_verdict {
    pcl_policy_rule rule;    /* NONE: taken; RATE or CONCURRENCY: OVERLOADED, and not taken */
    uint32_t retry_after_ms; /* of a refusal: 1 to 60,000, when it would be taken at the earliest */
    uint32_t dry_run;        /* bits 1u << pcl_policy_rule: would have refused it */
} pcl_meter_verdict;

/* One request wants to run.  When it is taken, pcl_meter_done must follow. */
pcl_meter_verdict pcl_meter_take(pcl_meter *self, const pcl_policy_role *role, uint64_t now_us);

/* One that was taken has been answered, lasted_us after it was taken. */
void pcl_meter_done(pcl_meter *self, uint64_t lasted_us);

#endif
