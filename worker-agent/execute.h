/* execute.h - a worker: runs one job at a time, from its payload to its reply.
 *
 * For a job that stands alone it takes a connection of the job's accounts from the spares, and
 * gives it back; sessions and cursors bring theirs along.
 */
#ifndef PCL_WORKER_AGENT_EXECUTE_H
#define PCL_WORKER_AGENT_EXECUTE_H

#include "worker-agent/answer.h"
#include "worker-agent/causal.h"
#include "worker-agent/job.h"
#include "worker-agent/spares.h"
#include "worker-agent/watchdog.h"

typedef struct pcl_worker pcl_worker;

/* options, watchdog, spares and causal are borrowed.  slot: this worker's in the watchdog. */
pcl_worker *pcl_worker_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                           pcl_spares *spares, pcl_causal *causal, uint32_t slot);
void pcl_worker_destroy(pcl_worker **self_p);

/* Runs the job and fills its second part; always leaves one whole reply, unless the job is the end
 * of something held.  A job whose deadline is over, or that is cancelled, is answered without
 * being started. */
void pcl_worker_run(pcl_worker *self, pcl_job *job);

/* Makes whatever the worker waits for fail; from any thread. */
void pcl_worker_interrupt(pcl_worker *self);
/* Open connections of the job at hand, where it stands alone; from any thread. */
uint32_t pcl_worker_connections(pcl_worker *self);

#endif
