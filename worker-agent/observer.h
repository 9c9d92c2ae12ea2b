/* observer.h - what the database is, seen every 200 ms by a thread of its own.
 *
 * The thread sets the node up (setup.h) whenever it has connected anew, then
 * looks: role, read_only, executed GTID, lag, threads.  When the database does
 * not answer, the view says so within READ_TIMEOUT and the thread tries again,
 * ever less often up to a second.
 *
 * Lag is the age of the newest heartbeat that the replica has applied, less
 * one beat's interval: how far behind the node may be, and no less.  It needs
 * the two hosts' wall clocks to agree, and it grows when replication stops and
 * when the source's agent writes no beats, because the node cannot know that
 * nothing was missed.  -1: no heartbeat was ever applied.  0 on the source.  It
 * is that of the look: what has passed since lag.h adds.
 */
#ifndef PCL_WORKER_AGENT_OBSERVER_H
#define PCL_WORKER_AGENT_OBSERVER_H

#include "worker-agent/handover.h"
#include "worker-agent/options.h"
#include "worker-agent/setup.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_node_view {
    bool ready;       /* set up, and it answered the last question */
    char reason[128]; /* why it is not ready; "" when it is */
    pcl_node_role role;
    pcl_flavor flavor;
    bool read_only;
    bool replicating;        /* replica: both threads run; source: true */
    pcl_semi_sync semi_sync; /* source */
    int32_t lag_ms;          /* at canary_at_us */
    uint32_t threads_running;
    uint32_t canary_us;    /* how long one look at a row took */
    uint64_t canary_at_us; /* when; 0 never */
    char gtid[PCL_REPORT_GTID_SIZE_MAX + 1];
} pcl_node_view;

typedef struct pcl_observer pcl_observer;

/* who: of log lines.  All are borrowed. */
pcl_observer *pcl_observer_new(const pcl_agent_options *options, pcl_handover *handover,
                               const char *who);
/* false: the thread did not end within wait_ms (see pcl_pool_destroy). */
bool pcl_observer_destroy(pcl_observer **self_p, uint32_t wait_ms);

/* The server refuses an account that the agent made: make them again, at most
 * once a second; from any thread. */
void pcl_observer_mend_accounts(pcl_observer *self);

/* Copies the newest view; from any thread. */
void pcl_observer_view(pcl_observer *self, pcl_node_view *out_view);

#endif
