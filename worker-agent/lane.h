/* lane.h - plain reads (plain.h), many at a time on the actor's thread, beside the pool's threads.
 *
 * A thread that waits for the database is put to sleep and woken, and so is the actor for its
 * result.  Here the actor sends the statement itself, and its loop waits for all answers at once.
 *
 * Nothing of what the pool promises changes: a job is claimed from it, so that its limits, its
 * order and its counts are of both together, and what turns out to be more than plain goes to one
 * of its threads.  Nobody here waits for anything, and no result has the thread for longer than it
 * takes to put some 64 KiB of it into a reply.  Over TLS the client library cannot but wait: while
 * the server is reached that way, threads run everything.
 */
#ifndef PCL_WORKER_AGENT_LANE_H
#define PCL_WORKER_AGENT_LANE_H

#include "worker-agent/plain.h"
#include "worker-agent/pool.h"

typedef struct pcl_lane pcl_lane;
/* A job was run, and has its reply; it is the callee's. */
typedef void(pcl_lane_done)(void *context, pcl_job *job, uint64_t now_us);

/* How many reads it may have under way: those of a pool, but not more than is good for one thread,
 * and none where the client library cannot. */
uint32_t pcl_lane_seats(const pcl_agent_options *options);

/* plan: of the pool, whose threads have their slots of the watchdog; those of the lane begin at
 * slot_first.  Aborts when memory is out. */
pcl_lane *pcl_lane_new(const pcl_pool_plan *plan, pcl_pool *pool, uint32_t slot_first,
                       pcl_lane_done *done, void *context);
/* Before the pool, whose claimed jobs are freed; their statements are cut off. */
void pcl_lane_destroy(pcl_lane **self_p);

/* True: it runs, has run, or was handed to the pool, and may be gone.  False: it is not for here,
 * now, and still the caller's. */
bool pcl_lane_take(pcl_lane *self, pcl_job *job, uint64_t now_us) PCL_MUST_CHECK;

/* Readable when there is something to do. */
int pcl_lane_fd(const pcl_lane *self);
/* Goes on with what can. */
void pcl_lane_run(pcl_lane *self, uint64_t now_us);
/* Before the end: takes nothing any more, and goes on until nothing is under way, for wait_ms at
 * most.  What runs should have been cancelled. */
void pcl_lane_finish(pcl_lane *self, uint32_t wait_ms);
/* Now and then: connections that were not used for a while go to the spares. */
void pcl_lane_tidy(pcl_lane *self, uint64_t now_us);

uint32_t pcl_lane_connections(const pcl_lane *self);

#endif
