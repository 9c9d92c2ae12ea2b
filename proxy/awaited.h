/* awaited.h - which candidates shall answer a read that must see a write
 * (docs/rfc/2-hop-protocol.md, section 4.9).
 *
 *  1. Replicas whose last report has it.  (They are asked all the same: a report may be of a life
 *     that is over.)
 *  2. Else, once, a replica that is not known to be further behind than beats tell: there the read
 *     may wait a moment, since what was just written is on its way.
 *  3. Else the source.
 *  4. Where the source serves no reads, or is not there, the replicas that the read was not sent to
 *     yet, and there it may wait longer: nobody else is left.
 *
 * Pure.
 */
#ifndef PCL_PROXY_AWAITED_H
#define PCL_PROXY_AWAITED_H

#include "proxy/candidates.h"

/* How long a read may wait where nobody else is left (rules 3 and 4): a source's own commit may be
 * about to become visible. */
#define PCL_AWAITED_LAST_MS 1000u

/* Of the candidates found for the need, leaves those that shall be asked next.  Does nothing for a
 * need without `after`, and for one that only the source can meet. */
void pcl_awaited_narrow(const pcl_membership *members, const pcl_need *need, pcl_candidates *out);

#endif
