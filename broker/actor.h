/* actor.h - the broker's state, and what its parts ask of each other; for the files of this folder
 * that have sockets.
 *
 *   gate.c     what comes from gatekeepers: who, whole, sealed, allowed, within its rate
 *   lanes.c    when it goes on: windows, the queue, the audit's word before a write
 *   answer.c   what comes back: windows, meters, the audit's line, the seal
 *   law.c      the policy: read, replaced, and what becomes of who is not in it any more
 *   journal.c  the audit's lines
 *   sight.c    metrics and status
 *   broker.c   the life of it all
 */
#ifndef PCL_BROKER_ACTOR_H
#define PCL_BROKER_ACTOR_H

#include "audit/writer.h"
#include "broker/callers.h"
#include "broker/holdings.h"
#include "broker/peers.h"
#include "broker/queue.h"
#include "broker/replay.h"
#include "broker/window.h"
#include "broker/work.h"
#include "net/door.h"
#include "net/hop_outbox.h"
#include "net/keys.h"
#include "net/log.h"
#include "net/log_limit.h"
#include "net/peer_watch.h"
#include "net/relay.h"
#include "net/token_keys.h"
#include "policy/files.h"

#define PCL_BROKER_WHO         "broker"
#define PCL_BROKER_MESSAGE_MAX 256 /* an error's text */

/* Room for everybody of the largest policy, and for who was dismissed and is not done. */
#define PCL_BROKER_CALLERS_MAX 12288u

/* Why a request was refused, for the metric; rules of the policy have their own names. */
typedef enum pcl_refusal {
    PCL_REFUSAL_STRANGER = 0, /* the sender's key is not a gatekeeper's */
    PCL_REFUSAL_REQUEST,      /* the payload does not decode */
    PCL_REFUSAL_HEAD,         /* head and payload do not agree */
    PCL_REFUSAL_GONE,         /* the gatekeeper left before its message was read */
    PCL_REFUSAL_UNSENT,       /* the proxy is away, full or draining, or we are; no time left */
    PCL_REFUSAL_QUEUE,        /* the queue is full, or it stood in it for too long */
    PCL_REFUSAL_AUDIT,        /* its line cannot be written */
    PCL_REFUSAL_TOKEN,        /* a causal token that is none of this cluster's */
    PCL_REFUSAL_COUNT,        /* must stay last */
} pcl_refusal;

typedef enum pcl_audit_reads {
    PCL_AUDIT_READS_LOG = 0, /* a line when there is room for it */
    PCL_AUDIT_READS_NEED,    /* no read without a line */
    PCL_AUDIT_READS_OFF,
} pcl_audit_reads;

/* A write that waits until its line is durable. */
typedef struct pcl_unsure {
    uint64_t position; /* of the line */
    uint64_t ticket;
    uint32_t work;
    uint32_t size; /* octets of its payload */
} pcl_unsure;

typedef struct pcl_broker_metrics {
    pcl_metric *refusals[PCL_REFUSAL_COUNT];
    pcl_metric *rules[PCL_POLICY_RULE_COUNT];
    pcl_metric *dry_runs[PCL_POLICY_RULE_COUNT];
    pcl_metric *cache_hits, *cache_misses, *cache_entries;
    pcl_metric *dropped; /* messages that are not of the protocol, or a stranger's */
    pcl_metric *sealed, *channels, *callers, *dismissed;
    pcl_metric *queued[PCL_QUEUE_LANES], *windows[PCL_QUEUE_LANES], *below[PCL_QUEUE_LANES];
    pcl_metric *queue_octets, *queue_dropped, *queue_wait;
    pcl_metric *audit_lines, *audit_lost, *audit_waiting, *audit_state, *audit_muted;
} pcl_broker_metrics;

typedef struct pcl_broker {
    const pcl_role_args *args;
    const pcl_config *config;
    pcl_loop *loop;
    pcl_door gatekeepers;
    pcl_hop_inbox inbox;    /* of the gatekeepers' socket */
    pcl_hop_outbox *outbox; /* likewise */
    pcl_relay *relay;
    pcl_peers peers;
    pcl_peer_watch *watch;   /* of the gatekeepers' connections */
    bool draining;           /* what pongs say */
    uint64_t guard_until_us; /* until then /ready says no; 0: it is over */
    bool remote;             /* gatekeepers come from other hosts */

    pcl_policy_files policy;
    pcl_sql_cache *cache; /* verdicts of statements */
    pcl_callers *callers;
    pcl_holdings *holdings; /* by caller */
    pcl_keys own;           /* for seals; wiped at the end */
    bool has_own;
    pcl_token_keys tokens; /* of causal tokens; wiped at the end */
    pcl_replay *replay;

    pcl_works *works;
    uint32_t work_max;
    pcl_queue *queue; /* flows are callers */
    uint32_t *lonely; /* callers that have something waiting and nothing below */
    uint32_t lonely_count;
    uint32_t *queued; /* work of each item of the queue */
    pcl_window windows[PCL_QUEUE_LANES];

    pcl_audit *audit; /* NULL: there is none */
    pcl_audit_reads audit_reads;
    pcl_audit_state audit_state; /* as the log said */
    pcl_unsure *unsure;          /* ring; as many as works */
    uint32_t unsure_first, unsure_count;
    uint64_t unsure_octets; /* of their payloads: at most queue/size_max, as in the queue */
    uint64_t unsure_last;   /* position of the newest of them */
    uint64_t head_due_us;   /* when the log says the head of the chain next */

    pcl_buffer digest; /* of the request that is judged */
    pcl_buffer scratch;
    uint32_t judging;         /* the caller whose request is judged */
    pcl_policy_rule refusing; /* the rule of a refusal that has no work, for the audit */
    pcl_log_limit stranger_limit, dry_limit;
    pcl_log_limit mute_limit, flood_limit; /* of audit lines; journal.c */
    pcl_broker_metrics metrics;
    pcl_sql_cache_counts cached;   /* as the metrics show it */
    pcl_audit_counts audit_counts; /* likewise */
} pcl_broker;

/* --- gate.c ------------------------------------------------------------------ */

/* Reads what gatekeepers sent. */
bool pcl_broker_on_gatekeepers(void *context, uint64_t now_us);
/* Says that sign of life, or of going. */
void pcl_broker_beat(pcl_broker *self, zmq_msg_t *peer, pcl_kind kind, uint64_t now_us);

/* Refuses what never was in the relay; takes the entry. */
void pcl_broker_refuse(pcl_broker *self, pcl_refusal why, pcl_relay_entry *entry, pcl_err err,
                       const char *message, uint64_t now_us);
void pcl_broker_refuse_unsent(pcl_broker *self, pcl_relay_entry *entry, pcl_err err,
                              uint64_t now_us);
/* OVERLOADED, with advice. */
pcl_reply_error pcl_broker_overload(const char *message, uint64_t retry_after_ms);

/* --- lanes.c ----------------------------------------------------------------- */

/* Sends a judged request on, now or when there is room and the audit has its line; takes the entry,
 * and the payload when it goes on.  head: as it goes on, all but principal and role. */
void pcl_broker_admit(pcl_broker *self, pcl_relay_entry *entry, pcl_head *head,
                      const char *accounts, zmq_msg_t *payload);
/* pcl_relay_again: what was lost with its proxy goes to another. */
bool pcl_broker_again(void *context, uint64_t ticket, const pcl_relay_entry *entry,
                      uint64_t now_us);
/* It came back from below; who has nothing there any more and something waiting is noted. */
void pcl_broker_leave_window(pcl_broker *self, pcl_work *work);
/* Whatever there is room for now. */
void pcl_broker_pump(pcl_broker *self, uint64_t now_us);
/* What has waited too long. */
void pcl_broker_expire(pcl_broker *self, uint64_t now_us);
/* Writes whose lines are durable now. */
void pcl_broker_pump_sure(pcl_broker *self, uint64_t now_us);
/* Stops what the caller has here under that id, and has not been handed on; how many. */
uint32_t pcl_broker_cancel_held(pcl_broker *self, uint32_t caller, const uint8_t id[PCL_ID_SIZE],
                                uint64_t now_us);
void pcl_broker_read_lanes(pcl_broker *self, const pcl_config *config);

/* --- answer.c ---------------------------------------------------------------- */

/* A reply that the outbox had taken has not left. */
pcl_hop_outbox_unsent pcl_broker_unsent;
/* pcl_relay_answer, pcl_relay_gone, pcl_relay_send */
void pcl_broker_answer(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                       uint64_t now_us);
void pcl_broker_gone(void *context, const pcl_relay_entry *entry);
pcl_err pcl_broker_send(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                        uint64_t now_us);

/* --- law.c ------------------------------------------------------------------- */

/* Reads the policy anew.  false: the one in force stays; the log has every mistake. */
bool pcl_broker_read_policy(pcl_broker *self, const pcl_config *config, uint64_t now_us);
/* The caller of that name, made when the policy knows it; *out_err: FORBIDDEN or OVERLOADED when
 * NONE. */
uint32_t pcl_broker_caller(pcl_broker *self, pcl_bytes name, pcl_err *out_err);
/* Proves and consumes the seal of a request.  OK, or why not, with text that says so; nothing of
 * that may be sealed. */
pcl_err pcl_broker_check_seal(pcl_broker *self, uint32_t caller, pcl_work *work,
                              const pcl_request *request, pcl_hop_message *message, uint64_t now_us,
                              char *text, size_t text_size);

/* --- journal.c --------------------------------------------------------------- */

/* Opens the audit where one is set; its settings do not reload.  false: error says why. */
bool pcl_broker_open_audit(pcl_broker *self, char *error, size_t error_size);
/* Writes what waits, and logs the last head. */
void pcl_broker_close_audit(pcl_broker *self);
/* Whether the request may run without its line being written first. */
bool pcl_broker_audit_first(const pcl_broker *self, const pcl_relay_entry *entry);
/* The lines before a write; its position, 0: it cannot be written now. */
uint64_t pcl_broker_audit_start(pcl_broker *self, const pcl_relay_entry *entry, uint32_t work,
                                pcl_bytes payload);
/* A read may run: there will be a line, or none is needed. */
bool pcl_broker_audit_takes_reads(const pcl_broker *self);
/* The line of an end. */
void pcl_broker_audit_end(pcl_broker *self, const pcl_relay_entry *entry, pcl_relay_reply *reply,
                          uint64_t now_us);
/* A line that is not of a request. */
void pcl_broker_audit_event(pcl_broker *self, const char *word, const char *principal);
/* The audit's file descriptor is readable. */
bool pcl_broker_on_audit(void *context, uint64_t now_us);
void pcl_broker_audit_tick(pcl_broker *self, uint64_t now_us);

/* --- role.c ------------------------------------------------------------------ */

/* Whether gatekeepers come from other hosts, by the endpoint. */
bool pcl_broker_is_remote(const pcl_config *config);

/* --- sight.c ----------------------------------------------------------------- */

void pcl_broker_metrics_make(pcl_broker *self);
void pcl_broker_metrics_publish(pcl_broker *self);
/* Counts, and tells within a bound, what rules on trial would have refused. */
void pcl_broker_dry_run(pcl_broker *self, const pcl_relay_entry *entry, uint32_t rules,
                        const char *message, uint64_t now_us);
/* Adds to the reply to `cancel` how many were stopped here. */
void pcl_broker_cancel_add(pcl_relay_reply *reply, uint32_t count);
/* Adds the broker's own bounds to the reply to `status`. */
void pcl_broker_status_add(pcl_broker *self, pcl_relay_reply *reply);

#endif
