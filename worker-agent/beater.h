/* beater.h - the source's heartbeat: one row, written every 200 ms, by which
 * the replicas measure their lag.
 *
 * A thread and a session of its own, because a commit may wait for a replica
 * for as long as there is none.  Then it waits in that one statement; it never
 * opens a second.  The statement itself asks whether the server takes writes,
 * so a node that was just fenced writes nothing, although the account could.
 */
#ifndef PCL_WORKER_AGENT_BEATER_H
#define PCL_WORKER_AGENT_BEATER_H

#include "worker-agent/causal.h"
#include "worker-agent/observer.h"

typedef struct pcl_beater pcl_beater;

/* Both are borrowed. */
pcl_beater *pcl_beater_new(const pcl_agent_options *options, pcl_observer *observer,
                           pcl_causal *causal);
/* false: the thread did not end within wait_ms (see pcl_pool_destroy). */
bool pcl_beater_destroy(pcl_beater **self_p, uint32_t wait_ms);

#endif
