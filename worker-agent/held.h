/* held.h - what stays open at the agent between requests: a session, or a cursor
 * (an unfinished result) outside of any session.
 *
 * A held has one job at a time.  While a job runs, the worker's part is the
 * worker's alone; between jobs nobody reads or writes it.  The hand-over is the
 * pool's lock.  The rest belongs to the actor (held_table.h); a worker reads
 * id, session, read_only, accounts and principal, which never change.
 *
 * How it ends: the actor alone removes one.  A worker says that it is over
 * (job.h: ends_held, or lost below), a limit strikes, or its client goes; the
 * actor then gives it a last job (job.h: is_end), after which it has neither
 * connection nor stream, and frees it.  Where the worker left neither behind,
 * there is no last job.
 */
#ifndef PCL_WORKER_AGENT_HELD_H
#define PCL_WORKER_AGENT_HELD_H

#include "common/bytes.h"
#include "common/limits.h"
#include "worker-agent/accounts.h"
#include "worker-agent/job_list.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_connection pcl_connection;
typedef struct pcl_stream pcl_stream; /* an unfinished result: stream.h */

typedef enum pcl_held_state {
    PCL_HELD_IDLE = 0, /* no job: the timers run */
    PCL_HELD_RUNNING,  /* a worker has its job; others may wait in line */
    PCL_HELD_ENDING,   /* over: nothing is admitted, its last job runs or is about to */
} pcl_held_state;

typedef enum pcl_held_end {
    PCL_HELD_END_NONE = 0,
    PCL_HELD_END_DONE,     /* commit, rollback, close, the last page */
    PCL_HELD_END_FAILED,   /* a cursor's fetch failed or was stopped */
    PCL_HELD_END_IDLE,     /* no request for too long */
    PCL_HELD_END_AGE,      /* open for too long */
    PCL_HELD_END_LOST,     /* its connection was lost, or in doubt */
    PCL_HELD_END_RELEASED, /* its client went */
    PCL_HELD_END_REFUSED,  /* the table was full when it came to be, or nobody learned its id */
    PCL_HELD_END_COUNT,    /* must stay last */
} pcl_held_end;

typedef struct pcl_held {
    uint8_t id[PCL_ID_SIZE];      /* canonical: its page is 0 */
    bool session;                 /* else a cursor with a connection of its own */
    bool read_only;               /* runs under the account for reads */
    const pcl_accounts *accounts; /* whose; borrowed; set when it is made */
    uint8_t principal_size;
    char principal[PCL_NAME_SIZE_MAX];

    /* The worker's: */
    pcl_connection *connection; /* owned; NULL once it was given back */
    pcl_stream *stream;         /* owned; NULL: no result is unfinished */
    uint16_t page;              /* that the next fetch must carry; never 0; in a session it goes
                                 * on counting from cursor to cursor */
    bool monotonic;             /* its replies carry a token ... */
    char after[PCL_GTID_SIZE_MAX + 1]; /* ... which covers this position; "" for none */
    bool in_transaction;
    bool unasked; /* a statement failed since; the server was not asked what it left of that */
    bool aborted; /* the server ended the transaction by itself */
    bool lost;    /* the connection is gone or in doubt: the actor ends it */

    /* The actor's (held_table.h): */
    pcl_held_state state;
    pcl_held_end end;        /* why, once ENDING */
    uint64_t opened_us;      /* when the table took it */
    uint64_t used_us;        /* when its last job came back */
    struct pcl_job *running; /* borrowed from the pool */
    pcl_job_list line;       /* that wait for it, in order of arrival */
    uint32_t line_count;
    uint32_t slot; /* in the table */
} pcl_held;

/* Fresh, with a random handle and page 1.  principal is copied.  NULL: memory is out. */
pcl_held *pcl_held_new(uint64_t boot_id, bool session, bool read_only, pcl_bytes principal);

/* Closes what the worker's part still has, without a word to the database (which rolls back and
 * drops what belongs to a connection that ends), connection first, so that no unfinished result
 * is read to its end.  For what no last job was run for.  No job may have it. */
void pcl_held_destroy(pcl_held **self_p);

#endif
