/* pool.h - threads that run jobs, the bounded queue before them and the way
 * back.
 *
 * A job belongs to whoever has it: the actor until submit, the pool until the
 * actor collects or withdraws it.  Of N threads at most N - N/4 (all but one
 * below four) run other than reads at a time: commits that wait for a replica
 * must not keep reads from the database.  Within that, first come, first run.
 *
 * A finishing thread takes its next job under the same lock, without sleeping.
 * The descriptor becomes readable when the list of finished jobs stops being
 * empty, so a busy pool wakes the actor once for many jobs.
 */
#ifndef PCL_WORKER_AGENT_POOL_H
#define PCL_WORKER_AGENT_POOL_H

#include "common/error.h"
#include "worker-agent/job.h"
#include "worker-agent/options.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_pool pcl_pool;

typedef struct pcl_pool_counts {
    uint32_t queued;
    uint32_t running;
} pcl_pool_counts;

/* options is borrowed.  Starts options->threads threads and the watchdog. */
pcl_pool *pcl_pool_new(const pcl_agent_options *options);

/* Ends the threads: running statements are cut off.  false: a thread did not end within wait_ms,
 * and the pool stays as it is, since the thread still uses it; the process is about to end. */
bool pcl_pool_destroy(pcl_pool **self_p, uint32_t wait_ms);

/* false: the queue is full, and the job is still the caller's. */
bool pcl_pool_submit(pcl_pool *self, pcl_job *job) PCL_MUST_CHECK;

/* True: the job was still waiting and is the caller's again, never started. */
bool pcl_pool_withdraw(pcl_pool *self, pcl_job *job) PCL_MUST_CHECK;

int pcl_pool_fd(const pcl_pool *self);
/* All finished jobs, linked by next in the order they finished; NULL when there is none. */
pcl_job *pcl_pool_collect(pcl_pool *self);

pcl_pool_counts pcl_pool_count(pcl_pool *self);
uint32_t pcl_pool_connections(pcl_pool *self); /* open sessions; takes a lock for each */
uint64_t pcl_pool_kills(const pcl_pool *self); /* KILLs sent since start */

#endif
