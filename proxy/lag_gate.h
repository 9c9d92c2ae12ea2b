/* lag_gate.h - hysteresis on a replica's lag: one that hovers about the bound must
 * not come and go with every report, and the others' load with it.
 *
 * It leaves when a report is over the bound, or was near it (over 0.7) and its age
 * had taken it over the bound before the next one came: whoever asked in between
 * was told that it is too far behind, so the next report, which noise makes a little
 * better, would be a return.  It returns when reports over at least
 * PCL_LAG_SETTLED_US have all been at most 0.7 of the bound.
 *
 * Age alone makes nobody leave: a bound of less than a beat is crossed by every
 * report's, and a proxy that stood still has nothing but old ones.  Nor does
 * silence: a replica that is steadily behind, above 0.7 of the bound, would leave for
 * good whenever its agent, or the proxy, stood still, and all of them with it.
 *
 * What is beyond the bound at the moment is never let through on the gate's word
 * alone: candidates.h asks for the lag itself as well.  Pure.
 */
#ifndef PCL_PROXY_LAG_GATE_H
#define PCL_PROXY_LAG_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define PCL_LAG_SETTLED_US UINT64_C(200000) /* two beats, which come every 200 ms */
#define PCL_LAG_SILENCE_US UINT64_C(600000) /* reports further apart have three beats missing */

/* All zeros: it is in; so is one that comes, or comes back, before it says how far behind it is. */
typedef struct pcl_lag_gate {
    bool out;
    uint64_t out_us;     /* since when it is out; kept when it returned */
    uint64_t settled_us; /* since when all reports were low enough; 0: the last was not */
    uint64_t noted_us;   /* when the last report came ... */
    int32_t lag_ms;      /* ... and what it said */
} pcl_lag_gate;

/* A report said lag_ms, -1 for unknown, which changes nothing but is not low.  true: the replica
 * has just come back.  Reports come in the order of their times. */
bool pcl_lag_gate_note(pcl_lag_gate *self, int32_t lag_ms, uint32_t lag_ms_max, uint64_t now_us);

#endif
