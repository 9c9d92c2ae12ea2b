/* job.h - one request on its way through the agent, or the end of something held. */
#ifndef PCL_WORKER_AGENT_JOB_H
#define PCL_WORKER_AGENT_JOB_H

#include "common/buffer.h"
#include "net/hop.h"
#include "worker-agent/accounts.h"
#include "worker-agent/held.h"
#include "worker-agent/outcome.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The actor fills the first part, the worker that ran it the second. */
typedef struct pcl_job {
    pcl_hop_message message; /* as it came; owned */
    uint64_t ticket;         /* the actor's own */
    uint64_t arrived_us, deadline_us;
    uint32_t proxy;               /* that sent it: the actor's number */
    uint32_t proxy_run;           /* ... and of that proxy's run */
    pcl_node_role role;           /* of the node, for the route */
    const pcl_accounts *accounts; /* that it runs under; borrowed; NULL only of the end of a held */
    /* What the request names, or what shall end: borrowed, and nobody else's until the job comes
     * back; NULL: neither. */
    pcl_held *held;
    /* No request: end held (roll back, reset or close), however long that takes; no reply. */
    bool is_end;
    /* Set by the actor, through the watchdog, at any time: nobody wants the answer. */
    atomic_bool cancelled;

    pcl_buffer reply; /* the reply's payload */
    pcl_outcome outcome;
    uint32_t queue_us, exec_us;
    uint32_t wait_us;    /* for a write to arrive; not in the two above */
    uint32_t service_us; /* of exec_us what the statement took, once it had its connection */
    uint32_t rows;       /* returned or changed; UINT32_MAX: so many or more */
    bool started;        /* a statement went to the database */
    bool cache_hit;      /* the statement was prepared already */
    bool killed;         /* the watchdog fired at it */
    /* The session or cursor that it opened; owned, until the actor takes it.  Only with OK. */
    pcl_held *opened;
    bool ends_held; /* held is over: committed, rolled back, closed, read to its end, failed */
    /* The session could not be opened: MySQL's errno (0: it could) and text, for
     * the log only, since they tell of accounts and paths; owned, may be NULL. */
    uint32_t connect_errno;
    char *connect_text;

    /* The pool's: */
    struct pcl_job *next, *previous; /* in whichever list it stands */
    uint64_t order;                  /* of arrival */
    bool waiting;                    /* in the queue; under the pool's lock */
    bool aside;                      /* it runs on a thread that is for first ones; likewise */
    bool in_line;                    /* in held's line; the actor's */
} pcl_job;

/* Fresh, with an empty reply; message is the caller's to receive into.  NULL when memory is out. */
pcl_job *pcl_job_new(void);
/* Closes the message and frees the reply. */
void pcl_job_destroy(pcl_job **self_p);
/* Of a job that no message was received into; NULL is none. */
void pcl_job_discard(pcl_job **self_p);
/* As destroy and new: fresh again, but with the memory of a reply that was small. */
void pcl_job_renew(pcl_job *self);

#endif
