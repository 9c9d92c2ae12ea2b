/* failover.h - which gatekeeper gets a request, and what becomes of one that
 * lost its gatekeeper.  Pure.
 *
 *   1. The gatekeeper in use stays in use while it is there: requests change
 *      gatekeeper only when they must.
 *   2. A gatekeeper that let a deadline pass without any word (not even to
 *      others) is silent: it comes last for PCL_FAILOVER_SILENT_MS.  So does one
 *      whose answer was forged.
 *   3. A request that was refused or lost somewhere goes there again only when
 *      there is nobody else.
 *   4. What was sent and lost is LOST, unless running it twice does no harm.
 *   5. A gatekeeper's own UNAVAILABLE is no answer as long as another
 *      gatekeeper has not been asked.
 *   6. A gatekeeper that says DRAINING gets nothing more until it is connected
 *      anew, since what was sent to it could go with the connection; the request
 *      waits for another, or for it to come back.
 */
#ifndef PCL_CLIENT_FAILOVER_H
#define PCL_CLIENT_FAILOVER_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_FAILOVER_SILENT_MS 5000u
#define PCL_FAILOVER_NONE      UINT32_MAX

typedef struct pcl_failover_peer {
    bool up;                  /* connected, as the transport says */
    uint64_t heard_us;        /* when it last said anything */
    uint64_t silent_until_us; /* rule 2 */
} pcl_failover_peer;

/* Index of the peer for a request, or PCL_FAILOVER_NONE when none is up.  current: the one in
 * use; tried: a bit for each peer that the request was sent to.  count is 1 to 32. */
uint32_t pcl_failover_choose(const pcl_failover_peer *peers, uint32_t count, uint32_t current,
                             uint32_t tried, uint64_t now_us);

/* Rule 2: a request sent at sent_us has had no answer. */
void pcl_failover_unanswered(pcl_failover_peer *peer, uint64_t sent_us, uint64_t now_us);
/* Rule 2: it passed on an answer that is not the broker's. */
void pcl_failover_forged(pcl_failover_peer *peer, uint64_t now_us);

typedef enum pcl_failover_fate {
    PCL_FAILOVER_SEND_AGAIN = 0, /* to whoever is up, or comes up in time */
    PCL_FAILOVER_FAIL,           /* LOST; retry as the code says */
} pcl_failover_fate;

/* Rule 4. */
pcl_failover_fate pcl_failover_lost(bool idempotent, uint64_t deadline_us, uint64_t now_us);

/* Rule 6: is this error reply a gatekeeper's word that it shuts down? */
bool pcl_failover_drains(pcl_bytes code, pcl_bytes hop, pcl_retry retry);

/* Rule 5: is this error reply to be ignored, and the request sent to another? */
bool pcl_failover_elsewhere(pcl_bytes code, pcl_bytes hop, pcl_retry retry,
                            const pcl_failover_peer *peers, uint32_t count, uint32_t tried);

#endif
