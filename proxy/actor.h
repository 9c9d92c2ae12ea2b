/* actor.h - what the files of the proxy's actor share; for proxy/ only.
 *
 *   actor.c      opening, the loop, drain, reload
 *   settings.c   the configuration table
 *   brokers.c    the front socket: requests and pings come, replies go
 *   agents.c     the back socket: beats and replies come, statements go
 *   requests.c   a request arrives: what it is, whether it may come in
 *   entries.c    its entry in the table of requests in flight
 *   attempts.c   an attempt at a node ends: its reply, its loss, the deadline
 *   hedges.c     second copies of reads that are late
 *   answers.c    a request is answered; replies that wait for room
 *   patients.c   what the ends of attempts say of nodes: ejection and return
 *   cancels.c    requests that nobody waits for any more
 *   releases.c   sessions and cursors that nobody holds any more
 *   route.c      from candidates and strategy to a message sent
 *   status.c     `status`, /api/cluster
 *   explain.c    the routing decision for the reply
 *   telemetry.c  metrics, readiness
 *
 * The actor holds no rule: what it does is asked of membership, candidates,
 * pinned, strategy, hedge and retry.  One thread; now_us is read once a turn of the loop.
 */
#ifndef PCL_PROXY_ACTOR_H
#define PCL_PROXY_ACTOR_H

#include "common/id_index.h"
#include "common/rng.h"
#include "common/ticket_table.h"
#include "common/transit.h"
#include "net/daemon.h"
#include "net/door.h"
#include "net/hop.h"
#include "net/hop_outbox.h"
#include "net/log_limit.h"
#include "net/metrics.h"
#include "net/peer_watch.h"
#include "net/tcp.h"
#include "proxy/candidates.h"
#include "proxy/ejection.h"
#include "proxy/hedge.h"
#include "proxy/membership.h"
#include "proxy/pinned.h"
#include "proxy/retry.h"
#include "proxy/strategy.h"
#include "sql/classify.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/topology.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#define PCL_PROXY_BROKERS_MAX     64u
#define PCL_PROXY_RETRY_AFTER_MS  20u   /* said with OVERLOADED */
#define PCL_PROXY_PARK_MS         1000u /* how long a reply waits for room at its broker */
#define PCL_PROXY_PARKED_SIZE_MAX ((size_t)64 * 1024 * 1024) /* octets of replies that wait */
#define PCL_PROXY_TICK_MS         10u
#define PCL_PROXY_PROBE_MS        100u   /* after which an unanswered question is given up */
#define PCL_PROXY_SOURCE_WAIT_MS  10000u /* that what needs the source waits for a new one */
#define PCL_PROXY_ANSWER_MS       100u   /* ... or until so long before its deadline */
#define PCL_PROXY_CHANGE_MS       4000u  /* since it was last said that the source changes */
#define PCL_PROXY_DROP_LINES_MAX  20u    /* of log, a second */

typedef struct pcl_proxy_settings {
    pcl_strategy_kind strategy; /* for requests that name none */
    bool reads_on_source;
    bool stale_reads;
    uint32_t token_wait_ms;
    uint32_t lag_ms_max;
    float far_margin; /* of routing/zone_margin_percent */
    uint32_t replicas_min;
    uint32_t inflight_max; /* fixed at start */
    uint32_t node_inflight_max;
    uint32_t queue_max; /* fixed at start */
    double hedge_share; /* of reads; 0: none is hedged */
    pcl_health_rules health;
} pcl_proxy_settings;

/* A node's side of the socket and of the metrics; its index is the member's. */
typedef struct pcl_proxy_node {
    zmq_msg_t peer; /* routing id of its latest connection; always initialised */
    bool connected; /* peer is one */
    bool cut;       /* that connection has ended; what came on it before is still read */
    bool doubted;   /* found unreachable while routing: its reads are to be moved this turn */
    bool lost;      /* ... and all it had is lost */
    pcl_topology_place place; /* where others reach its database; host "": unknown */
    bool leaves;              /* it shall not be the source */
    pcl_transit transit;
    pcl_tcp_flow flow; /* of that connection */
    uint64_t asked_us; /* when it was asked for a report and has not answered; 0: it was not */
    pcl_metric *chosen[PCL_STRATEGY_COUNT];          /* how often which strategy chose it */
    pcl_metric *pinned;                              /* requests of sessions and cursors */
    pcl_metric *up, *inflight, *lag, *rtt;           /* NULL until the node is known to them */
    uint64_t retries;                                /* requests taken away from it */
    uint64_t left_out[PCL_LEFT_OUT_COUNT];           /* choices that it was no candidate of */
    uint64_t left_out_shown[PCL_LEFT_OUT_COUNT];     /* of these, in the metric */
    pcl_metric *left_out_metric[PCL_LEFT_OUT_COUNT]; /* made when first needed */
    pcl_metric *ejections[PCL_HEALTH_CAUSE_COUNT];   /* likewise */
    pcl_metric *ejected;
} pcl_proxy_node;

typedef struct pcl_proxy_broker {
    zmq_msg_t peer; /* routing id; initialised while known */
    pcl_transit transit;
    uint64_t heard_us;
    bool known;
} pcl_proxy_broker;

/* One request in flight: the ticket table's entry. */
typedef struct pcl_proxy_request {
    zmq_msg_t peer;       /* the broker's routing id */
    zmq_msg_t head_frame; /* what head's principal and role are borrowed from */
    zmq_msg_t payload;    /* kept for another attempt; once parked: the reply's payload */
    pcl_head head;        /* as it came; ticket is the broker's; once parked: the reply's */
    uint64_t arrived_us;
    uint64_t deadline_us;
    uint32_t wait_us;  /* on its way here (common/transit.h) */
    uint32_t attempts; /* that left */
    uint32_t node;     /* where it is; PCL_MEMBER_NONE when nowhere */
    uint64_t sent_us;  /* to that node */
    pcl_strategy_kind strategy;
    pcl_node_set tried;
    pcl_repeat repeat;
    bool read;      /* of class READ: a query that is one, a begin that opens for nothing else */
    bool pinned;    /* it belongs to a session or a cursor */
    bool behind;    /* a replica did not have what it must see */
    bool waits;     /* where it is it may have to wait for that */
    bool cancelled; /* nobody waits for it any more */
    bool withdrawn; /* ... and its node has been told */
    bool indexed;   /* it stands in ids */
    uint64_t twin;  /* ticket of the other copy on its way; 0: there is none */
    bool hedge;     /* it is the second copy */
    bool hedged;    /* it has, or had, a second copy; there will be no other */
    bool starved;   /* it was late while no token was left */
    bool loser;     /* the other copy was the answer: nobody waits for this one */
    bool waiting;   /* at no node, until there is a source again */
    uint64_t waiting_until_us;
    bool parked;        /* its reply waits for room at the broker */
    size_t parked_size; /* octets of that reply */
} pcl_proxy_request;

/* What was found for a request, and what it was judged to cost. */
typedef struct pcl_proxy_choice {
    pcl_strategy_kind strategy; /* DEFAULT: of a session or cursor */
    pcl_candidates candidates;
    float costs[PCL_NODES_MAX];
    const pcl_candidate *chosen; /* NULL: nobody */
} pcl_proxy_choice;

/* Why a message was dropped; names in telemetry.c. */
typedef enum pcl_proxy_drop {
    PCL_PROXY_DROP_MALFORMED = 0,
    PCL_PROXY_DROP_STRANGER,    /* a key that is not in the list, or a name that is not the key's */
    PCL_PROXY_DROP_OLD_BOOT,    /* of a run of the agent that ended */
    PCL_PROXY_DROP_STALE,       /* no such ticket: it was answered already */
    PCL_PROXY_DROP_ID_MISMATCH, /* the ticket is another request's */
    PCL_PROXY_DROP_WRONG_NODE,  /* the request is not at that node */
    PCL_PROXY_DROP_KIND,        /* a kind that has no business here */
    PCL_PROXY_DROP_UNROUTABLE,  /* the broker that asked is gone */
    PCL_PROXY_DROP_SLOW,        /* a reply whose broker does not read */
    PCL_PROXY_DROP_REPORT,      /* a report that does not parse */
    PCL_PROXY_DROP_RELEASE,     /* a RELEASE whose node has gone, or takes nothing now */
    PCL_PROXY_DROP_COUNT,       /* must stay last */
} pcl_proxy_drop;

typedef struct pcl_proxy_telemetry {
    pcl_metric *requests[PCL_SQL_CLASS_COUNT][PCL_ERR_COUNT]; /* made when first needed */
    pcl_metric *dropped[PCL_PROXY_DROP_COUNT];
    pcl_metric *zone_octets[PCL_ZONE_PLACE_COUNT];
    pcl_metric *behind; /* reads that a node did not have the write for */
    pcl_metric *retries, *probes, *unreachable, *cancels, *releases, *gone;
    pcl_metric *hedges_sent, *hedges_won, *hedges_late, *hedges_starved, *hedge_delay;
    pcl_metric *inflight, *decision, *duration, *nodes[PCL_MEMBER_STATE_COUNT];
} pcl_proxy_telemetry;

typedef struct pcl_proxy {
    const pcl_role_args *args;
    const pcl_config *config;
    pcl_proxy_settings settings;
    pcl_loop *loop;
    pcl_door broker_door;
    pcl_door agent_door;
    pcl_hop_inbox broker_inbox, agent_inbox;
    pcl_hop_outbox *broker_outbox, *agent_outbox;
    pcl_peer_watch *broker_watch;
    pcl_peer_watch *agent_watch;
    bool agents_wait; /* messages of agents have not been read yet */
    pcl_membership *members;
    pcl_proxy_node nodes[PCL_NODES_MAX];
    pcl_topology topology; /* the newest that was heard: DECIDED or OPEN, or nothing */
    uint64_t change_us;    /* when it was last said that the source changes; 0: never */
    uint32_t waiting_count;
    bool flush_wanted; /* one of them is cut, doubted or lost */
    pcl_proxy_broker brokers[PCL_PROXY_BROKERS_MAX];
    pcl_ticket_table *requests;
    pcl_id_index *ids; /* of the requests that can still be cancelled */
    uint64_t *walk;    /* room for every ticket, for walks that change the table */
    uint32_t parked_count;
    size_t parked_size; /* octets of the replies that wait */
    pcl_strategy_state strategy_state;
    uint32_t turn; /* choices made; wraps */
    pcl_rng rng;
    pcl_retry_budget retry_budget;
    pcl_hedge hedge;
    pcl_hedge_line *line;   /* reads that may become late */
    uint32_t extra_count;   /* entries that are no request of their own: second copies, losers */
    uint64_t hedge_rest_us; /* no look at late reads before */
    uint64_t started_us;
    uint64_t published_us;
    uint64_t compared_us; /* when the nodes' times were compared last */
    bool draining;
    pcl_log_limit drop_lines;
    pcl_proxy_telemetry telemetry;
    uint64_t dropped_count, retry_count, request_count, cancel_count, release_count;
    uint64_t hedges_sent, hedges_won, hedges_late, hedges_starved;
} pcl_proxy;

/* settings.c */
void pcl_proxy_settings_read(pcl_proxy_settings *out_settings, const pcl_config *config);

/* actor.c: of both sockets, which are ROUTERs */

/* Calls gone at the end of a connection, within pcl_peer_watch_find and _read.  NULL: error says
 * why. */
pcl_peer_watch *pcl_proxy_watch(pcl_proxy *self, zsock_t *socket, pcl_peer_gone *gone, char *error,
                                size_t error_size);
typedef void(pcl_proxy_handler)(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us);
/* Hands the messages that wait to the handler, up to a batch; true: more wait.
 * from is who sends on that socket, for the log. */
bool pcl_proxy_read(pcl_proxy *self, pcl_hop_inbox *inbox, const char *from,
                    pcl_proxy_handler *handler, uint64_t now_us);
/* A PONG, or a BYE.  Who does not take a PONG asks again; who is gone needs no
 * BYE. */
void pcl_proxy_tell(const pcl_proxy *self, zsock_t *socket, zmq_msg_t *peer, pcl_kind kind,
                    uint64_t now_us);

/* brokers.c */
pcl_loop_reader pcl_proxy_on_broker;
pcl_loop_reader pcl_proxy_on_broker_watch;
/* What a broker had in flight is withdrawn when its connection ends. */
pcl_peer_gone pcl_proxy_broker_gone;
void pcl_proxy_brokers_goodbye(pcl_proxy *self, uint64_t now_us);

/* A reply that the outbox had taken has not left. */
pcl_hop_outbox_unsent pcl_proxy_broker_unsent;

/* agents.c */
pcl_loop_reader pcl_proxy_on_agent;
/* A request that the outbox had taken, or a hint, has not left: the request goes elsewhere. */
pcl_hop_outbox_unsent pcl_proxy_agent_unsent;
/* The socket has no connection to the node.  Called while a request is being
 * routed, so what it means for other requests is left for the flush. */
void pcl_proxy_unreachable(pcl_proxy *self, uint32_t index);
pcl_loop_reader pcl_proxy_on_agent_watch;
/* Suspicion, at the flush. */
pcl_peer_gone pcl_proxy_agent_gone;
/* After the readers: does what pcl_proxy_unreachable and the end of a connection have left. */
void pcl_proxy_flush(pcl_proxy *self, uint64_t now_us);
/* Asks the node for a fresh report; it comes as any other does.  Nothing happens where the last
 * question is open still. */
void pcl_proxy_probe(pcl_proxy *self, uint32_t index, uint64_t now_us);
/* Silence. */
void pcl_proxy_agents_tick(pcl_proxy *self, uint64_t now_us);
void pcl_proxy_agents_goodbye(pcl_proxy *self, uint64_t now_us);

/* topology.c */

/* What an agent knows of the source, or wants: others are told, and it is told what it does not
 * know. */
void pcl_proxy_on_topology(pcl_proxy *self, uint32_t index, pcl_hop_message *message,
                           uint64_t now_us);

/* entries.c: the table of requests in flight */

/* Takes the message's frames; request->head must be the message's. */
void pcl_proxy_request_take(pcl_proxy_request *request, pcl_hop_message *message);
/* Frees what a request holds, without an answer. */
void pcl_proxy_request_release(pcl_proxy_request *request);
/* Empties from, which stays initialised; to is overwritten. */
void pcl_proxy_request_move(pcl_proxy_request *to, pcl_proxy_request *from);
/* Makes to another request with the same octets; not yet in the table, and at no node. */
void pcl_proxy_request_copy(pcl_proxy_request *to, pcl_proxy_request *from);
/* Moves the request into the table, where there must be room, and into the index. */
pcl_proxy_request *pcl_proxy_enter(pcl_proxy *self, pcl_proxy_request *request,
                                   uint64_t *out_ticket);
/* Gives it a new ticket, so that an answer to the old one is stale; it is at no node then. */
pcl_proxy_request *pcl_proxy_renew(pcl_proxy *self, pcl_proxy_request *request, uint64_t *ticket);
/* The node has it no longer, or we stopped waiting for it there. */
void pcl_proxy_leave_node(pcl_proxy *self, pcl_proxy_request *request);
/* Its end, without an answer.  ticket 0: it never got one. */
void pcl_proxy_remove(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket);

/* requests.c to answers.c: each answers the request or sends it on; afterwards the caller
 * must not use it any more. */

/* Takes the message's frames. */
void pcl_proxy_begin(pcl_proxy *self, pcl_hop_message *message, uint64_t wait_us, uint64_t now_us);

/* attempts.c */

/* An agent's REPLY; takes its payload. */
void pcl_proxy_on_reply(pcl_proxy *self, uint32_t node, pcl_hop_message *message,
                        const pcl_report *report, uint64_t now_us);
/* It has not left for its node after all: as if pcl_proxy_route had known. */
void pcl_proxy_unsent(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                      uint64_t now_us);
/* Its node is suspect. */
void pcl_proxy_doubted(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                       uint64_t now_us);
/* What is at the node, or only its reads when it is merely doubted. */
void pcl_proxy_node_failed(pcl_proxy *self, uint32_t node, pcl_attempt_end end, uint64_t now_us);
void pcl_proxy_expire(pcl_proxy *self, uint64_t now_us);

/* waits.c: what needs the source while that changes */

/* It did not run, since there is no source.  true: it waits for one, with a new ticket.  false: it
 * is as it was, and to be answered. */
bool pcl_proxy_wait_for_source(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                               uint64_t now_us) PCL_MUST_CHECK;
/* One of them has waited for long enough: the answer is a safe one. */
void pcl_proxy_wait_ends(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                         uint64_t now_us);
void pcl_proxy_waits_tick(pcl_proxy *self, uint64_t now_us);

/* hedges.c */

/* A request that stands alone left for its first node. */
void pcl_proxy_hedge_watch(pcl_proxy *self, const pcl_proxy_request *request, uint64_t ticket,
                           uint64_t now_us);
/* Sends second copies of what is late. */
void pcl_proxy_hedge(pcl_proxy *self, uint64_t now_us);
/* What the end of this copy means. */
pcl_copy pcl_proxy_copy(const pcl_proxy_request *request);
/* It is the answer, a success: notes how long it took, and makes the other copy the loser. */
void pcl_proxy_hedge_won(pcl_proxy *self, pcl_proxy_request *request, uint64_t now_us);
/* Nobody will hear its reply: what that opened is released, and a copy that was withdrawn in vain
 * is counted. */
void pcl_proxy_hedge_unheard(pcl_proxy *self, const pcl_proxy_request *request,
                             const pcl_head *reply, uint64_t now_us);
/* It ends, unheard; the other copy, if there is one, goes on alone. */
void pcl_proxy_hedge_end(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                         uint64_t now_us);
/* Requests not yet answered. */
uint32_t pcl_proxy_unanswered(const pcl_proxy *self);

/* answers.c */

void pcl_proxy_answer_error(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                            const pcl_reply_error *error, uint64_t now_us);
/* Moves the payload away. */
void pcl_proxy_answer(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                      const pcl_head *reply_head, zmq_msg_t *payload, uint64_t now_us);
/* The same with an error of ours; message NULL for the code's own. */
void pcl_proxy_answer_text(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                           pcl_err err, pcl_retry retry, const char *message, uint64_t now_us);
/* The reply will not reach the broker: counted, and what it opened is released.  Whose request it
 * was stands in the frame that it came with, also when the reply's head has taken the place of the
 * request's. */
void pcl_proxy_undelivered(pcl_proxy *self, pcl_proxy_request *request, const pcl_head *reply,
                           pcl_proxy_drop why, uint64_t now_us);
/* Replies that wait for room at their broker. */
void pcl_proxy_unpark(pcl_proxy *self, uint64_t now_us);

/* patients.c */

/* An attempt at the node, sent at sent_us, ended and says that of it.  Once an attempt. */
void pcl_proxy_attempt_ended(pcl_proxy *self, uint32_t node, pcl_health_verdict verdict,
                             uint64_t sent_us, uint64_t now_us);
/* What no attempt shows: times, and room for another ejection. */
void pcl_proxy_patients_tick(pcl_proxy *self, uint64_t now_us);

/* cancels.c */

/* Whenever a request gets a ticket, and before that ticket ends. */
void pcl_proxy_index(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket);
void pcl_proxy_unindex(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket);
/* Tells the node that nobody waits for the ticket there any more.  true: it was told. */
bool pcl_proxy_withdraw(pcl_proxy *self, const pcl_proxy_request *request, uint64_t ticket,
                        uint64_t now_us);
/* The operation `cancel`: withdraws the principal's requests with that id; returns how many. */
uint32_t pcl_proxy_cancel(pcl_proxy *self, const pcl_head *asked, uint64_t now_us);
/* The same for all that came on one broker's connection. */
void pcl_proxy_cancel_peer(pcl_proxy *self, pcl_bytes route, uint64_t now_us);
/* A broker's CANCEL. */
void pcl_proxy_on_cancel(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us);

/* releases.c */

/* Nobody holds the session or cursor any more: its node is told.  What cannot be told is dropped
 * and counted; from is who sent it, for the log. */
void pcl_proxy_release(pcl_proxy *self, const uint8_t session[PCL_ID_SIZE], pcl_bytes principal,
                       const char *from, uint64_t now_us);
/* A reply that nobody will hear: what it opened is released.  principal is whose that is. */
void pcl_proxy_release_opened(pcl_proxy *self, const pcl_head *reply, pcl_bytes principal,
                              uint64_t now_us);

/* route.c */

/* CANCEL or RELEASE; no request hangs on it.  false: there is no way to the node, or no room. */
bool pcl_proxy_hint(pcl_proxy *self, uint32_t node, const pcl_head *head) PCL_MUST_CHECK;
/* What the request needs of a node. */
pcl_need pcl_proxy_need(const pcl_proxy *self, const pcl_proxy_request *request);
/* The strategy's choice among them, tried once.  OK: it is on its way. */
pcl_err pcl_proxy_route_among(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                              const pcl_candidates *candidates, uint64_t now_us) PCL_MUST_CHECK;
/* Sends the request to a node that fits.  OK: it is on its way.  Otherwise it
 * never left: NO_NODE, OVERLOADED. */
pcl_err pcl_proxy_route(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                        uint64_t now_us) PCL_MUST_CHECK;
/* Writes the route of a dry run: whom pcl_proxy_route would ask, and why nobody else.  Copies of
 * the strategy's state and of the random stream are asked, so that asking changes nothing. */
void pcl_proxy_explain_choice(const pcl_proxy *self, const pcl_proxy_request *request,
                              uint64_t now_us, pcl_buffer *buffer);
/* The same for a pinned one, to the node that its session names: GONE, NO_NODE, OVERLOADED.
 * *out_message is set on failure; it is static, or NULL. */
pcl_err pcl_proxy_route_pinned(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                               uint64_t now_us, const char **out_message) PCL_MUST_CHECK;

/* explain.c: its pairs, "decision", "candidates" and "left_out", without the map around them. */
#define PCL_PROXY_EXPLAIN_PAIRS 3u
void pcl_proxy_explain_pairs(const pcl_proxy *self, const pcl_proxy_choice *choice, uint64_t now_us,
                             pcl_buffer *buffer);

/* status.c */
void pcl_proxy_status_encode(const pcl_proxy *self, uint64_t now_us, pcl_buffer *buffer);
void pcl_proxy_status_publish(pcl_proxy *self, uint64_t now_us);

/* telemetry.c */
void pcl_proxy_telemetry_start(pcl_proxy *self);
void pcl_proxy_telemetry_node(pcl_proxy *self, uint32_t index);
void pcl_proxy_telemetry_tick(pcl_proxy *self);
/* A choice was made; those that it left out are counted.  A counter for each, without a lock. */
void pcl_proxy_note_left_out(pcl_proxy *self, const pcl_candidates *candidates);
void pcl_proxy_note_ejection(pcl_proxy *self, uint32_t index, pcl_health_cause cause);
void pcl_proxy_dropped(pcl_proxy *self, pcl_proxy_drop why, const char *from, uint64_t now_us);
void pcl_proxy_outcome(pcl_proxy *self, uint8_t sql_class, pcl_err code, uint64_t duration_us);

#endif
