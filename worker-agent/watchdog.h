/* watchdog.h - ends statements that are past their deadline.
 *
 * One thread with a session of its own.  A worker arms its slot before it
 * sends a statement and disarms it when the answer is in.  From the deadline on
 * the watchdog sends KILL QUERY, again and again until the statement is back,
 * since one that arrives between two steps of a statement is lost.
 *
 * It never sends KILL CONNECTION: that frees the client but not the server's
 * thread when a commit waits for a replica, and each next write would add one
 * more.  As it is, a commit that does not come back keeps its worker, the
 * pool's share for writes fills up, and what comes after never starts, which
 * its client may safely send again.
 *
 * A statement whose session the server shows as idle while its worker still
 * waits will never be answered (MySQL 9.7 forgets the error of a prepared SET
 * GLOBAL without the right for it): the watchdog shuts that session's socket.
 *
 * A KILL must never hit the next statement: once the watchdog has fired at a
 * slot, disarm says so, and the worker closes that session for good.  Whenever
 * the KILL arrives, it then finds the old session, or none.
 */
#ifndef PCL_WORKER_AGENT_WATCHDOG_H
#define PCL_WORKER_AGENT_WATCHDOG_H

#include "common/error.h"
#include "worker-agent/connection.h"
#include "worker-agent/options.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_WATCHDOG_AGAIN_MS 200u

typedef struct pcl_watchdog pcl_watchdog;

/* options is borrowed.  Starts the thread. */
pcl_watchdog *pcl_watchdog_new(const pcl_agent_options *options, uint32_t slot_count);
void pcl_watchdog_destroy(pcl_watchdog **self_p);

/* connection: open, borrowed until disarm. */
void pcl_watchdog_arm(pcl_watchdog *self, uint32_t slot, pcl_connection *connection,
                      uint64_t deadline_us);
/* True: it has fired; the session must not be used again. */
bool pcl_watchdog_disarm(pcl_watchdog *self, uint32_t slot) PCL_MUST_CHECK;

uint64_t pcl_watchdog_kills(const pcl_watchdog *self); /* since start; from any thread */

#endif
