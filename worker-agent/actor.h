/* actor.h - the worker agent: the proxy's link on one side, a database on the
 * other.
 *
 *     proxy --DEALER--> admit -> queue -> threads -> mysqld
 *           <---------- reply + report <-----------
 *
 * Every request gets one reply: what the database said, or why not.  A
 * statement that has not come back SILENCE_GRACE_MS after its deadline is
 * answered without it; what it says later is dropped.
 *
 * Threads: this actor (ZeroMQ, decides nothing itself: outcome.h does), the
 * pool's, the watchdog, the observer, and on the source the beater.
 */
#ifndef PCL_WORKER_AGENT_ACTOR_H
#define PCL_WORKER_AGENT_ACTOR_H

#include "net/daemon.h"

extern const pcl_role pcl_worker_agent_role;

/* argument: pcl_role_args *. */
void pcl_worker_agent_actor(zsock_t *pipe, void *argument);

#endif
