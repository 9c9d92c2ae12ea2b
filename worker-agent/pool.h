/* pool.h - threads that run jobs, the bounded queue before them and the way
 * back.
 *
 * A job belongs to whoever has it: the actor until submit, the pool until the
 * actor collects or withdraws it.
 *
 * An agent has two.  One runs what stands alone: a fixed number of threads, of
 * which at most N - N/4 (all but one below four) run other than reads at a time,
 * since commits that wait for a replica must not keep reads from the database;
 * within that, first come, first run.  A few threads more run only requests whose principal has
 * nothing else under way (PCL_HEAD_FIRST): when all others are taken by somebody's flood, who asks
 * for little does not wait until one of them is through.  The other runs what belongs to sessions
 * and cursors: it has a thread for each job that there can be, so that a COMMIT never waits behind
 * statements that wait for the locks which it would free.  Its threads are started when a job finds
 * none idle, and end when nothing comes for a while.
 *
 * Whoever drives statements without a thread (lane.h) claims a job: it is counted with those that
 * run on threads, so that all limits hold for both together, and so does whose turn it is.
 *
 * A finishing thread takes its next job under the same lock, without sleeping.
 * The descriptor becomes readable when the list of finished jobs stops being
 * empty, so a busy pool wakes the actor once for many jobs.
 */
#ifndef PCL_WORKER_AGENT_POOL_H
#define PCL_WORKER_AGENT_POOL_H

#include "common/error.h"
#include "worker-agent/causal.h"
#include "worker-agent/job.h"
#include "worker-agent/options.h"
#include "worker-agent/spares.h"
#include "worker-agent/watchdog.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_pool pcl_pool;

typedef struct pcl_pool_counts {
    uint32_t queued;
    uint32_t running;
    uint32_t threads;
} pcl_pool_counts;

typedef struct pcl_pool_plan {
    const pcl_agent_options *options; /* all four borrowed */
    pcl_watchdog *watchdog;
    pcl_spares *spares;
    pcl_causal *causal;
    uint32_t slot_first; /* its threads' slots in the watchdog: from here, one for each */
    uint32_t threads_min, threads_max;
    uint32_t threads_first; /* of threads_max: those that only run what has PCL_HEAD_FIRST */
    uint32_t idle_ms;       /* after which a thread above the minimum ends */
    uint32_t queue_max;
    bool keeps_reads; /* not all threads may run other than reads at a time */
} pcl_pool_plan;

/* Starts threads_min threads. */
pcl_pool *pcl_pool_new(const pcl_pool_plan *plan);

/* Ends the threads: running statements are cut off.  false: a thread did not end within wait_ms,
 * and the pool stays as it is, since the thread still uses it; the process is about to end. */
bool pcl_pool_destroy(pcl_pool **self_p, uint32_t wait_ms);

/* false: the queue is full, or no thread can be had; the job is still the caller's. */
bool pcl_pool_submit(pcl_pool *self, pcl_job *job) PCL_MUST_CHECK;

/* True: the job was still waiting and is the caller's again, never started. */
bool pcl_pool_withdraw(pcl_pool *self, pcl_job *job) PCL_MUST_CHECK;

/* True: it may run now, before anything that waits, and counts as running from here on, without a
 * thread: the caller runs it, and then leaves it or hands it on. */
bool pcl_pool_claim(pcl_pool *self, pcl_job *job) PCL_MUST_CHECK;
typedef bool(pcl_pool_fits)(const pcl_job *job);
/* A claimed job was run; it stays the caller's.  Returns the next one, claimed, where its turn has
 * come and it fits; NULL: there is none, or it is for a thread. */
pcl_job *pcl_pool_leave(pcl_pool *self, pcl_job *job, pcl_pool_fits *fits) PCL_MUST_CHECK;
/* A claimed job is for a thread after all.  It counts as running all the time. */
void pcl_pool_hand_on(pcl_pool *self, pcl_job *job);

int pcl_pool_fd(const pcl_pool *self);
/* All finished jobs, linked by next in the order they finished; NULL when there is none. */
pcl_job *pcl_pool_collect(pcl_pool *self);

pcl_pool_counts pcl_pool_count(pcl_pool *self);
/* Open connections of the threads themselves; takes a lock for each. */
uint32_t pcl_pool_connections(pcl_pool *self);

#endif
