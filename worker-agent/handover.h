/* handover.h - carries succession.h out: between the actor, which hears and tells, and the
 * observer's thread, which alone speaks to the database and writes the state file.
 *
 * Where topology/state_file is "", nothing of it happens: the node is what node/role says.
 */
#ifndef PCL_WORKER_AGENT_HANDOVER_H
#define PCL_WORKER_AGENT_HANDOVER_H

#include "net/config.h"
#include "worker-agent/flavor.h"
#include "worker-agent/succession.h"

typedef struct pcl_handover pcl_handover;

typedef struct pcl_handover_view {
    bool on;
    bool closed; /* a source that hands over: no write may begin */
    uint64_t term;
    uint64_t done, given_up; /* hand-overs of this run, as the source or the successor */
} pcl_handover_view;

/* options: what the node is by its settings; borrowed for the call.  who: of log lines, borrowed.
 * NULL: error says why; a state file that cannot be read is a reason, since it may say that this
 * node is the source no more. */
pcl_handover *pcl_handover_new(const pcl_config *config, const pcl_agent_options *options,
                               const char *who, char *error, size_t error_size);
void pcl_handover_destroy(pcl_handover **self_p);
/* A line in problems for each setting of topology/... that is wrong. */
void pcl_handover_check(const pcl_config *config, pcl_buffer *problems);

/* --- The actor's --- */

void pcl_handover_look(pcl_handover *self, pcl_handover_view *out_view); /* any thread */
/* Whether this node should not be the source. */
void pcl_handover_want(pcl_handover *self, bool wants);
void pcl_handover_hear(pcl_handover *self, const pcl_topology *heard, uint64_t now_us);
/* While closed: no write that stands alone runs or waits here.  The fence waits for that, a while.
 */
void pcl_handover_quiet(pcl_handover *self);
/* What the proxies are to be told now, if anything. */
bool pcl_handover_due(pcl_handover *self, uint64_t now_us, pcl_topology *out_message);

/* --- The observer's --- */

/* Makes the options say what the node shall be now: role (UNKNOWN: closed) and source. */
void pcl_handover_apply(pcl_handover *self, pcl_agent_options *options);
/* The connection is a new one, or another server's run: what was fenced may not be any more.
 * Called before the node is set up anew, which opens a source again. */
bool pcl_handover_reconnected(pcl_handover *self, MYSQL *mysql,
                              pcl_sql_error *out_error) PCL_MUST_CHECK;
/* Does what is next.  *out_changed: apply, and set up anew.  *out_busy: call again soon.  false:
 * the database failed. */
bool pcl_handover_step(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                       const pcl_agent_options *options, uint64_t now_us, bool *out_changed,
                       bool *out_busy, pcl_sql_error *out_error) PCL_MUST_CHECK;

#endif
