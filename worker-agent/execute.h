/* execute.h - a worker: two sessions with the database, and the running of one
 * request from its payload to its reply. */
#ifndef PCL_WORKER_AGENT_EXECUTE_H
#define PCL_WORKER_AGENT_EXECUTE_H

#include "worker-agent/connection.h"
#include "worker-agent/job.h"
#include "worker-agent/watchdog.h"

typedef struct pcl_worker pcl_worker;

/* options and watchdog are borrowed.  slot: this worker's in the watchdog. */
pcl_worker *pcl_worker_new(const pcl_agent_options *options, pcl_watchdog *watchdog, uint32_t slot);
void pcl_worker_destroy(pcl_worker **self_p);

/* Runs the job and fills its second part; always leaves one whole reply.  A job whose deadline is
 * over is answered without being started. */
void pcl_worker_run(pcl_worker *self, pcl_job *job);

/* Writes an error reply to a job that a worker did not run, or that it gave up. */
void pcl_job_refuse(pcl_job *job, pcl_outcome outcome, const char *message);

/* Makes whatever the worker waits for fail; from any thread. */
void pcl_worker_interrupt(pcl_worker *self);
/* How many of its two sessions are open; from any thread. */
uint32_t pcl_worker_connections(pcl_worker *self);

#endif
