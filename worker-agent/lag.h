/* lag.h - what a look at the replica's lag says later.  Pure.
 *
 * Every report renews what a proxy knows, whatever it is made of: a lag that was seen a second ago
 * and is told as new would be a second too small for good, as long as the database stands still and
 * there is no newer look.  So what has passed since counts as lag, as soon as a look is missing.
 */
#ifndef PCL_WORKER_AGENT_LAG_H
#define PCL_WORKER_AGENT_LAG_H

#include <stdint.h>

/* Looks come every PCL_BEAT_INTERVAL_MS and take their time: up to two intervals are no delay. */
#define PCL_LAG_LOOK_MS 400u

/* The lag by now_us of a replica that was lag_ms behind at looked_us: the same while the look is at
 * most PCL_LAG_LOOK_MS old, then greater by its age less one interval, and so never 0.  Unknown
 * (-1) stays unknown. */
int32_t pcl_lag_by_now_ms(int32_t lag_ms, uint64_t looked_us, uint64_t now_us);

#endif
