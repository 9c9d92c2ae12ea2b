/* ejection.h - when the fleet does without a node, and when it is asked again
 * (health.h has the record of each).
 *
 *  1. Replicas only: the source alone can do what it does.
 *  2. At most half of the replicas that live are out at once, of two or three one;
 *     the only one only where the source serves reads.  A node that should be out
 *     and may not be is looked at again whenever that changes.
 *  3. A replica is far slower than the others when a statement there takes
 *     latency_factor times the median of the others' and 2 ms more: the agent's
 *     service time and the way there, of enough statements of the last seconds.
 *     For three seconds on end, it is an outlier.
 *
 * What an attempt says of its node:
 *
 *   answer of the database, also its refusal of the statement    it works
 *   report with fault, loss of the node                          it failed
 *   no answer by the deadline, after half a second at least      it failed
 *   anything else: cancelled, overloaded, draining, a role       nothing
 *
 * Pure, no allocation.
 */
#ifndef PCL_PROXY_EJECTION_H
#define PCL_PROXY_EJECTION_H

#include "common/error.h"
#include "proxy/membership.h"
#include "proxy/retry.h"

#include <stdbool.h>
#include <stdint.h>

/* Of an agent's answer that came waited_us after the request was sent; fault: its report's. */
pcl_health_verdict pcl_ejection_of_reply(pcl_err code, bool fault, uint64_t waited_us);
/* Of an attempt that ended without one.  read: it could change nothing. */
pcl_health_verdict pcl_ejection_of_end(pcl_attempt_end end, bool read, uint64_t waited_us);

/* Rule 2: may another replica be ejected? */
bool pcl_ejection_may(const pcl_membership *members, bool reads_on_source);

/* An attempt there, sent at sent_us, ended.  true: the node has just come back, and starts slowly
 * if it was away for long. */
bool pcl_ejection_ended(pcl_membership *members, uint32_t index, const pcl_health_rules *rules,
                        pcl_health_verdict verdict, uint64_t sent_us, pcl_rng *rng,
                        uint64_t now_us);

/* Ejects the node if its record wants it and the fleet can spare it.  The cause; NONE: it stays. */
pcl_health_cause pcl_ejection_judge(pcl_membership *members, uint32_t index,
                                    const pcl_health_rules *rules, bool reads_on_source,
                                    pcl_rng *rng, uint64_t now_us);

/* A trial whose request was moved elsewhere leaves the node without one, and is due again. */
void pcl_ejection_check_trial(pcl_membership *members, uint32_t index,
                              const pcl_health_rules *rules, pcl_rng *rng, uint64_t now_us);

/* Rule 3: compares the replicas' times, each with the others'.  Every PCL_BEAT_INTERVAL_MS. */
void pcl_ejection_compare(pcl_membership *members, const pcl_health_rules *rules, uint64_t now_us);

#endif
