/* worker.h - what the parts of a worker share: execute.c (one statement alone),
 * session.c (sessions and cursors), txn.c (transactions in one request). */
#ifndef PCL_WORKER_AGENT_WORKER_H
#define PCL_WORKER_AGENT_WORKER_H

#include "common/rng.h"
#include "worker-agent/attempt.h"
#include "worker-agent/causal.h"
#include "worker-agent/execute.h"

#include <pthread.h>

struct pcl_worker {
    const pcl_agent_options *options; /* borrowed */
    pcl_watchdog *watchdog;           /* borrowed */
    pcl_spares *spares;               /* borrowed */
    pcl_causal *causal;               /* borrowed */
    uint32_t slot;
    pcl_binding binding;
    pcl_stream *stream; /* of the statement at hand; a result that stays open takes it along */
    pcl_rng rng;        /* of waits before another try */
    pthread_mutex_t lock;
    /* Changed under the lock, since other threads look at them: */
    pcl_connection *own;  /* of the job at hand, which stands alone; NULL: not needed yet */
    pcl_connection *held; /* borrowed, while a job runs on it */
};

/* One statement alone, from its request to its reply. */
typedef struct pcl_single {
    pcl_job *job;
    const pcl_request *request;
    pcl_answer answer;
    pcl_attempt attempt;
    pcl_ending ending;
    char gtid[PCL_TOKEN_SIZE_MAX + 1]; /* of what was written or seen; "" for none */
} pcl_single;

/* --- execute.c --- */

/* Reads a job's request, at the moment that it gets its turn.  false: it has its reply. */
bool pcl_worker_read(pcl_job *job, pcl_request *out_request) PCL_MUST_CHECK;
/* Fresh, on the worker's own connection. */
void pcl_single_init(pcl_single *self, pcl_worker *worker, pcl_job *job,
                     const pcl_request *request);
/* The reply, of what its attempt and its ending say. */
void pcl_single_answer(pcl_single *self, pcl_worker *worker);

/* A connection of the job's accounts for this account, open or not, until the job is done; one job
 * has one only.  clean: one that need not be reset is preferred. */
pcl_connection *pcl_worker_own(pcl_worker *self, const pcl_job *job, pcl_account account,
                               bool clean);
/* Another one, taken over.  It must have none. */
void pcl_worker_adopt(pcl_worker *self, pcl_connection *connection);
/* Gives it away. */
pcl_connection *pcl_worker_part_with_own(pcl_worker *self);
/* ... to the spares, if it has one. */
void pcl_worker_give_own_back(pcl_worker *self);
/* What pcl_worker_interrupt shall end, too; NULL: nothing any more. */
void pcl_worker_use(pcl_worker *self, pcl_connection *connection);

/* Watches the job's statement on the connection, and asks afterwards what became of it. */
void pcl_worker_watch(pcl_worker *self, pcl_connection *connection, const pcl_job *job);
pcl_ending pcl_worker_unwatch(pcl_worker *self, pcl_job *job);
/* After an unwatch that was not NONE, of a connection that shall be used on: waits until no KILL is
 * under way and spends what a late one left behind.  false: close the connection. */
bool pcl_worker_absorb(pcl_worker *self, pcl_connection *connection);

/* NONE, or why the job must not go on: its deadline is over, or it was cancelled. */
pcl_ending pcl_job_ending(const pcl_job *job);
/* The error of a job that ended before anything of it ran. */
void pcl_attempt_fail_unrun(pcl_attempt *attempt, pcl_ending ending);
/* What there is to say of an outcome that the database had no words for. */
void pcl_attempt_explain(pcl_attempt *attempt, pcl_outcome outcome);
/* What the server says of a connection that it does not open is about the agent, its accounts and
 * paths, and not for clients: it goes to the log. */
void pcl_job_hide_connect_error(pcl_job *job, pcl_sql_error *error);

/* Reads params into the worker's binding.  false: the job has its reply. */
bool pcl_worker_bind(pcl_worker *self, pcl_job *job, pcl_bytes params, uint32_t count,
                     uint32_t statement);

/* Waits a little, longer with each turn from 0, before a statement that met a deadlock or a lock
 * is run again.  try_us: how long it took to fail of this error; where another such try would be
 * cut off by the deadline, which leaves its outcome in doubt, the certain answer of now is better.
 * false: not any more, the deadline is too near, or the job was cancelled. */
bool pcl_worker_pause(pcl_worker *self, const pcl_job *job, uint32_t turn, uint32_t number,
                      uint64_t try_us);

uint32_t pcl_short_us(uint64_t us);
/* Likewise of a count. */
uint32_t pcl_short_count(uint64_t count);

/* Ends a result that has rows left, by reading a few more or by a KILL, so that its connection can
 * go on.  The job's own statement must not be watched.  false: it cannot. */
bool pcl_worker_cut(pcl_worker *self, pcl_connection *connection,
                    pcl_stream *stream) PCL_MUST_CHECK;

/* tokens.c */

/* Before the statement of a job that must see a write, on the attempt's connection, watched. false:
 * the attempt has failed, and nothing ran. */
bool pcl_worker_reach(pcl_worker *self, pcl_job *job, pcl_attempt *attempt) PCL_MUST_CHECK;
/* The GTID of the write just run, "" where there is none (pcl_connection_token). */
void pcl_worker_name_write(pcl_worker *self, pcl_connection *connection, bool ask,
                           char gtid[PCL_TOKEN_SIZE_MAX + 1]);
/* Whether what has run can have shown more than the write of that name: nothing was written, or
 * rows came with it, or somebody else's routine did both in any order. */
bool pcl_worker_shows_more(const pcl_attempt *attempt, const char *gtid);
/* What was read until now, asked on the connection itself, "" where the server does not say. */
void pcl_worker_name_seen_there(pcl_connection *connection, char gtid[PCL_TOKEN_SIZE_MAX + 1]);
/* The same where the connection must not be asked, since a result is open there, or its session's
 * next statement may want what a question clears.  Nothing of the job may be watched. */
void pcl_worker_name_seen(pcl_worker *self, pcl_job *job, char gtid[PCL_TOKEN_SIZE_MAX + 1]);

/* session.c: a job whose op is not query alone, or that has something held. */
void pcl_worker_run_begin(pcl_worker *self, pcl_job *job, const pcl_request *request);
void pcl_worker_run_held(pcl_worker *self, pcl_job *job, const pcl_request *request);
void pcl_worker_end_held(pcl_worker *self, pcl_job *job);
/* txn.c */
void pcl_worker_run_txn(pcl_worker *self, pcl_job *job, const pcl_request *request);

#endif
