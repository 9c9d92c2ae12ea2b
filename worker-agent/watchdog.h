/* watchdog.h - ends statements that are past their deadline, or cancelled.
 *
 * One thread with a session of its own.  A worker arms its slot before it
 * sends a statement and disarms it when the answer is in.  From the deadline on,
 * or from a moment after the job was cancelled, the watchdog sends KILL QUERY, again
 * and again until the statement is back, since one that arrives between two
 * steps of a statement is lost.
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
 * A KILL never hits the next statement.  The argument:
 *
 * 1. A KILL is sent only for a slot that is armed, and the slot is marked as
 *    fired under the lock before the lock is given up to send.  disarm takes the
 *    same lock.  So a disarm that says QUIET means that no KILL was sent since
 *    arm, none is under way, and none will be; the connection is as it was.
 * 2. A disarm that says otherwise leaves two ways.  Either the worker closes the
 *    connection for good: a KILL that arrives later finds the old session, which
 *    the server gives no second time, or none.
 * 3. Or it calls settle.  settle returns when no KILL for the slot is under way;
 *    after the disarm none can begin.  true: the server answered each one, and a
 *    server sets the session's mark before it answers.  So what a KILL can still
 *    do to that connection is there already, as a mark that ends the next
 *    statement; the worker sends one without meaning, and the mark is spent on
 *    that.  false: a KILL went out and no answer came, so it may still be on its
 *    way, and the connection must be closed, which is way 2.
 *
 * Cancel names a job by its flag's address and never a connection or a slot's
 * number; the flag is looked up under the lock among the armed slots.  A job that
 * is not armed yet finds its flag set when it arms; one that is back has
 * disarmed, and nothing is found.
 */
#ifndef PCL_WORKER_AGENT_WATCHDOG_H
#define PCL_WORKER_AGENT_WATCHDOG_H

#include "common/error.h"
#include "worker-agent/connection.h"
#include "worker-agent/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PCL_WATCHDOG_AGAIN_MS 200u
/* A KILL costs the connection.  What is cancelled, mostly the slower of two copies of a short read,
 * has so long to come back by itself. */
#define PCL_WATCHDOG_GRACE_MS 5u

typedef enum pcl_watchdog_verdict {
    PCL_WATCHDOG_QUIET = 0, /* it has not fired */
    PCL_WATCHDOG_DEADLINE,  /* it has, at the deadline */
    PCL_WATCHDOG_CANCELLED, /* it has, since the job was cancelled */
} pcl_watchdog_verdict;

typedef struct pcl_watchdog pcl_watchdog;

/* options is borrowed.  Starts the thread. */
pcl_watchdog *pcl_watchdog_new(const pcl_agent_options *options, uint32_t slot_count);
void pcl_watchdog_destroy(pcl_watchdog **self_p);

/* connection: open, borrowed until disarm.  cancelled: the job's; borrowed likewise; NULL for what
 * nobody cancels.  Where it is set already, or the deadline is over, the slot fires at once. */
void pcl_watchdog_arm(pcl_watchdog *self, uint32_t slot, pcl_connection *connection,
                      uint64_t deadline_us, const atomic_bool *cancelled);
/* Not QUIET: close the connection, or settle, before anything else is sent on it. */
pcl_watchdog_verdict pcl_watchdog_disarm(pcl_watchdog *self, uint32_t slot) PCL_MUST_CHECK;
/* After a disarm that was not QUIET: waits until no KILL for that slot is under way, a few seconds
 * at most, where the server does not answer.  True: the server has answered every one. */
bool pcl_watchdog_settle(pcl_watchdog *self, uint32_t slot) PCL_MUST_CHECK;

/* Sets the flag, and ends what is armed with it, if anything is and does not come back within
 * PCL_WATCHDOG_GRACE_MS; from any thread.  The flag must
 * outlive the call only. */
void pcl_watchdog_cancel(pcl_watchdog *self, atomic_bool *cancelled);

uint64_t pcl_watchdog_kills(const pcl_watchdog *self); /* since start; from any thread */

#endif
