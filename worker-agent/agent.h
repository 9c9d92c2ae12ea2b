/* agent.h - the actor's own state, for its parts: actor.c (link, time, life),
 * requests.c (from a request to its reply), keeper.c (sessions and cursors) and
 * replies.c (what the proxy is told).  All of it runs on the actor's thread.
 */
#ifndef PCL_WORKER_AGENT_AGENT_H
#define PCL_WORKER_AGENT_AGENT_H

#include "common/id_index.h"
#include "common/ticket_table.h"
#include "net/daemon.h"
#include "net/link.h"
#include "net/log_limit.h"
#include "net/loop.h"
#include "net/proxies.h"
#include "worker-agent/beater.h"
#include "worker-agent/cloud.h"
#include "worker-agent/handover.h"
#include "worker-agent/held_table.h"
#include "worker-agent/job.h"
#include "worker-agent/lane.h"
#include "worker-agent/meter.h"
#include "worker-agent/observer.h"
#include "worker-agent/options.h"
#include "worker-agent/pool.h"
#include "worker-agent/service.h"
#include "worker-agent/watchdog.h"

/* A KILL's time: when a statement that has not come back is answered without it.  The proxy waits
 * PCL_GRACE_PROXY_MS. */
#define PCL_AGENT_SILENCE_GRACE_US (15 * PCL_US_PER_MS)
/* A database that has answered no look of the observer's for so long answers nobody. */
#define PCL_AGENT_LOOKS_MISSED_US  (PCL_BEATS_GONE * PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS)

/* Jobs that are kept for other requests: as many as the lane and the pool's threads have at a time.
 */
#define PCL_AGENT_RESTED_MAX 64u

/* One of the proxies.  What one sends, cancels and loses is its own: tickets of two may be equal.
 */
typedef struct pcl_agent_proxy {
    struct pcl_agent *agent;
    pcl_link *link;
    const char *name; /* as the settings have it; static */
    uint32_t index;   /* among the agent's */
    uint32_t run;     /* counts its runs that were heard */
    uint32_t rif_you; /* requests that stand alone, of the present one */
} pcl_agent_proxy;

typedef struct pcl_agent {
    const pcl_role_args *args;
    pcl_agent_options options;
    char who[PCL_NAME_SIZE_MAX + 8]; /* "agent.n1", of log lines */
    pcl_loop *loop;
    pcl_agent_proxy proxies[PCL_PROXIES_MAX];
    uint32_t proxy_count;
    pcl_observer *observer;
    pcl_beater *beater;
    pcl_watchdog *watchdog;
    pcl_spares *spares;        /* connections that no thread and nothing held has */
    pcl_causal *causal;        /* of reads that wait for writes */
    pcl_pool *pool;            /* what stands alone */
    pcl_lane *lane;            /* ... of it, what this thread runs itself */
    pcl_pool *held_pool;       /* what opens, uses and ends sessions, and cursors once open */
    pcl_ticket_table *flights; /* pcl_flight: requests that have no reply yet, or still run */
    pcl_id_index *flight_ids;  /* their ids: what CANCEL names */
    pcl_held_table *held;
    pcl_job *spare;  /* what the next message is received into */
    pcl_job *rested; /* jobs for later messages, by next; at most PCL_AGENT_RESTED_MAX */
    uint32_t rested_count;
    bool waits; /* the tick has left messages; nothing else may come to read them */
    pcl_meter meter;
    pcl_log_limit connect_limit;  /* of connect_failed lines */
    pcl_log_limit ended_limit;    /* of held_ended lines */
    pcl_log_limit accounts_limit; /* of accounts_unknown lines */
    pcl_node_view view;
    pcl_cloud *cloud;
    pcl_cloud_view host;
    uint64_t view_us; /* when both views were copied */
    bool ready_shown; /* what /ready says */
    bool shown;       /* ... and that it was ever said */
    pcl_service service;
    uint64_t sampled_us; /* when a statement was last a sample for it */
    uint64_t canary_us;  /* when the look was taken that it was last told */
    uint64_t seq, served, errors;
    uint32_t news;             /* what the last report said that is worth a beat of its own */
    pcl_cloud_notice drain_on; /* STAYS: no notice drains */
    bool leaving;              /* a replica whose host has given that notice */
    pcl_handover *handover;
    pcl_handover_view topology;    /* copied with the views */
    pcl_cloud_notice hand_over_on; /* STAYS: no notice does */
    bool leave;                    /* the settings say that it shall not be the source */
    bool draining;
} pcl_agent;

/* A request on its way; answered: the reply went out without it. */
typedef struct pcl_flight {
    pcl_job *job;
    bool answered;
    uint32_t reservation; /* of a session, for begin; 0: none */
} pcl_flight;

/* What a reply's head says of a session or cursor: HELD, RELEASED or nothing (all zero). */
typedef struct pcl_reply_note {
    uint8_t flags;
    uint8_t id[PCL_ID_SIZE];
    bool ran; /* the node may have run the request, though no job says so */
} pcl_reply_note;

/* --- replies.c --- */

/* As that proxy gets it. */
pcl_report pcl_agent_report(pcl_agent *self, const pcl_agent_proxy *proxy, uint64_t now_us);
/* Sends a reply to that request, to its proxy; may take the payload's octets.  job: whose times the
 * report carries, the same; NULL: nobody's.  note may be NULL.  False: it could not be sent, and
 * was counted. */
bool pcl_agent_reply(pcl_agent *self, const pcl_job *asked, pcl_outcome outcome,
                     pcl_buffer *payload, const pcl_job *job, const pcl_reply_note *note,
                     uint64_t now_us);
/* A reply that a proxy's link had taken has not left (net/hop_outbox.h). */
void pcl_agent_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                      uint64_t now_us);
/* An answer that no worker wrote. */
void pcl_agent_refuse(pcl_agent *self, const pcl_job *request, pcl_outcome outcome,
                      const char *message, const pcl_reply_note *note, uint64_t now_us);

/* --- requests.c --- */

/* What a message can be received into, from those that are done with, or new.  NULL when memory is
 * out. */
pcl_job *pcl_agent_fresh_job(pcl_agent *self);
void pcl_agent_free_rested(pcl_agent *self);
/* Takes the job over, or answers it and frees it. */
void pcl_agent_admit(pcl_agent *self, pcl_job *job, uint64_t now_us);
/* Stops what that proxy does not wait for any more; its reply comes all the same. */
void pcl_agent_cancel(pcl_agent *self, const pcl_agent_proxy *proxy, const pcl_head *head,
                      uint64_t now_us);
/* That proxy is gone and waits for nothing: what it sent and has not started shall not. */
void pcl_agent_drop_waiting(pcl_agent *self, const pcl_agent_proxy *proxy, uint64_t now_us);
/* The end: tells whatever runs to stop.  Without it the database would go on with a statement whose
 * connection is closed. */
void pcl_agent_stop_running(pcl_agent *self);
/* A job that came back from its pool; frees it. */
void pcl_agent_finish(pcl_agent *self, pcl_job *job, uint64_t now_us);
/* Answers what is past its deadline: what waits is taken back, what runs goes on alone. */
void pcl_agent_check_deadlines(pcl_agent *self, uint64_t now_us);
/* Answers a request that never started, and frees its job, which stands nowhere any more. */
void pcl_agent_drop(pcl_agent *self, pcl_job *job, pcl_outcome outcome, const char *message,
                    const pcl_reply_note *note, uint64_t now_us);

/* --- succeed.c --- */

void pcl_agent_on_topology(pcl_agent *self, pcl_hop_message *message, uint64_t now_us);
/* With the views. */
void pcl_agent_look_at_topology(pcl_agent *self);
void pcl_agent_tell_topology(pcl_agent *self, uint64_t now_us);

/* --- keeper.c --- */

/* Gives the job of something held its turn: runs it, or puts it in line.  False: the line is
 * full, or there is no thread; it is still the caller's. */
bool pcl_keeper_take(pcl_agent *self, pcl_job *job) PCL_MUST_CHECK;
/* True: the job was in line or waiting in the pool, and is the caller's again, never started. */
bool pcl_keeper_withdraw(pcl_agent *self, pcl_job *job) PCL_MUST_CHECK;
/* After a withdrawal: what waited behind it may go on. */
void pcl_keeper_go_on(pcl_agent *self, pcl_held *held, uint64_t now_us);
/* What a job opened, on its way into the table.  False: it is closed; *out_why is static text. */
bool pcl_keeper_take_opened(pcl_agent *self, pcl_job *job, uint64_t now_us, const char **out_why);
/* The reply that names it could not be sent: nobody knows its id. */
void pcl_keeper_forsake(pcl_agent *self, const uint8_t id[PCL_ID_SIZE], pcl_bytes principal,
                        uint64_t now_us);
/* The job that something held ran came back: NONE, or why that is over now. */
pcl_held_end pcl_keeper_verdict(const pcl_job *job);
/* ... and, once its reply is out: ends held by that verdict, or gives the next its turn. */
void pcl_keeper_put_back(pcl_agent *self, pcl_held *held, pcl_held_end end, uint64_t now_us);
/* A last job came back; frees it. */
void pcl_keeper_bury(pcl_agent *self, pcl_job *job);
/* Its principal's requests come under other accounts now: what it may do there it may do no more.
 */
void pcl_keeper_disown(pcl_agent *self, pcl_held *held, uint64_t now_us);
/* Its client went. */
void pcl_keeper_release(pcl_agent *self, const pcl_head *head, uint64_t now_us);
/* Ends what is idle, or old, for too long. */
void pcl_keeper_check_timers(pcl_agent *self, uint64_t now_us);
/* Closes all that is left; the pools are gone. */
void pcl_keeper_close(pcl_agent *self);

#endif
