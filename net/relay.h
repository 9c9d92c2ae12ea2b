/* relay.h - what a hop has handed on to the next one, and the way back.
 *
 * Gatekeeper and broker differ in what they ask before a request goes on and
 * in how they address whoever asked.  What lies between is the same and stands
 * here: the link, the ticket table, the answer for each request whatever dies.
 *
 *   owner                       relay                            next hop
 *   pcl_relay_forward(entry) -> ticket, budget, time spent ----> REQUEST
 *   pcl_relay_hold(entry)    -> ticket; pcl_relay_forward_held(ticket) later
 *   send(entry, reply)       <- ticket found, id the same  <---- REPLY
 *   send(entry, reply)       <- LOST, when the link is lost or the peer is another
 *   send(entry, reply)       <- DEADLINE, at deadline + grace
 *   pcl_relay_refuse(entry)  -> send(entry, reply) at once
 *   pcl_relay_cancel(...)    ---------------------------------> CANCEL; its reply still comes
 *   pcl_relay_release(id)    ---------------------------------> RELEASE
 *
 * Rules:
 *  1. send() is tried for each entry until it is sent or its peer is gone; an entry leaves by
 *     one function, which frees all it holds.
 *  2. A reply whose ticket is stale, or whose id is not the entry's, is dropped and counted.
 *  3. A peer that is gone is not waited for: its reply is dropped and counted.
 *  4. A peer whose queue is full is tried again each turn, for PCL_RELAY_PARK_MS at most.  What
 *     waits so has at most PCL_RELAY_PARKED_SIZE_MAX octets, and refusals take at most a quarter
 *     of the table, so that a peer that asks and never reads keeps nobody else out.
 *  5. What was in flight on a lost link is answered LOST: retry safe when the entry is
 *     repeatable, else unsafe; a fetch never, since its page is lost.  DEADLINE likewise.  The link
 * is watched: it is lost as soon as its connection ends, once the replies that came before were
 * sent on.
 *  6. A reply that opened a session or a cursor and reaches nobody is followed by a RELEASE.
 *  7. What is held (accepted, and not sent yet) is answered like what is in flight, but never ran:
 *     DEADLINE at its deadline, UNAVAILABLE when the link is lost, CANCELLED when it is cancelled;
 *     retry safe in all three.
 *  8. Work that has no time left, or for which there is no ticket, link or queue, does not go
 *     on: _forward says why, and the owner refuses it.  DRAINING says that we stop; that the next
 *     hop does is UNAVAILABLE, since another may come in its place while we stay.
 *  9. There may be several next hops that do the same.  A request goes to the one with the fewest
 *     of ours in flight, of those that take new work; one of a session or a cursor to where
 *     others of it are in flight, so that they arrive in their order.  The loss of one concerns
 *     what was in flight there, and nothing else: what is held goes on elsewhere.  A reply counts
 *     only when it comes from where the request is.
 * 10. What was lost with one of several and may run twice, and what one of several refused since
 *     it stops or knows no node, is offered to the owner, once: it may hand it on again
 *     (pcl_relay_forward_again), under the same ticket.  Of a session only the latter, and what
 *     one says is GONE, and only what is alone in flight; what was behind one that was refused in
 *     company is not offered either.  Who refused so gets nothing new for PCL_RELAY_SHUN_MS while
 *     there are others: quick refusals look like idleness.  A session of which something is LOST
 *     with one of several, retry unsafe, is released: it might run yet, behind what comes later.
 * 11. What _forward took leaves at the end of the turn (net/hop_outbox.h).  When the link has lost
 *     its peer by then, it never ran, and is answered UNAVAILABLE, retry safe.  Likewise a reply
 *     that send() took may not leave: the owner says so by _undelivered.
 *
 * Belongs to one thread.  No call but _new allocates, save for the payload of an error reply.
 */
#ifndef PCL_NET_RELAY_H
#define PCL_NET_RELAY_H

#include "net/daemon.h"
#include "net/link.h"
#include "net/spread.h"
#include "wire/reply.h"

#define PCL_RELAY_PARK_MS         1000u
#define PCL_RELAY_PARKED_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define PCL_RELAY_RETRY_AFTER_MS  50u /* what OVERLOADED advises */
#define PCL_RELAY_SHUN_MS         500u
#define PCL_RELAY_OWNER_NONE      UINT32_MAX

typedef struct pcl_relay_reply {
    zmq_msg_t payload;
    zmq_msg_t tail; /* a seal, only with PCL_HEAD_SEALED in flags; else empty */
    pcl_err code;
    pcl_retry retry;
    uint8_t flags;                /* pcl_head_flag: SEALED, HELD, RELEASED */
    uint8_t session[PCL_ID_SIZE]; /* with HELD or RELEASED: what this reply opened or ended */
    /* As an agent's reply says them, else 0 and "": */
    uint32_t rows;                    /* returned or changed */
    uint32_t waited_us;               /* for a thread of the agent */
    char node[PCL_NAME_SIZE_MAX + 1]; /* that ran it */
} pcl_relay_reply;

/* One request.  The owner fills a fresh one with pcl_relay_entry_init and sets what it knows;
 * _forward and _refuse take over the messages in it. */
typedef struct pcl_relay_entry {
    zmq_msg_t peer;                              /* routing id of who asked */
    zmq_msg_t envelope[PCL_ENVELOPE_FRAMES_MAX]; /* what a client put before the delimiter; the
                                                    first envelope_count are initialised */
    uint32_t envelope_count;
    uint32_t owner_index; /* the owner's own; PCL_RELAY_OWNER_NONE in a fresh entry */
    uint32_t connection;  /* likewise */
    uint32_t work;        /* likewise */
    size_t payload_size;  /* octets of the request; the owner's own */
    uint64_t peer_ticket; /* what a daemon that asked calls the request; of a client the tag of what
                             came packed, else 0 */
    bool packed;          /* by a client: so is the reply; the owner's own */
    bool batched;         /* packed, and its client takes several in one frame; the owner's own */
    uint64_t arrived_us;
    uint64_t deadline_us;
    uint8_t id[PCL_ID_SIZE];
    bool has_id; /* false: the reply says nil */
    pcl_op op;
    uint8_t sql_class; /* pcl_sql_class */
    bool repeatable;   /* running it twice does what once does: a read, ping, status */
    uint64_t sent_us;  /* when it was handed on; 0: it was not; the relay's own */
    uint32_t link;     /* to which next hop, or shall be (_cancel_named); the relay's own */
    bool below;        /* it is in flight there; the relay's own */
    bool wished;       /* link is where it shall go; the relay's own */
    bool again;        /* it is not handed on another time; the relay's own */
    bool in_session;   /* session is known by the relay; the relay's own */
    uint8_t session[PCL_ID_SIZE]; /* canonical; the relay's own */
    bool held;                    /* accepted and not handed on yet; the relay's own */
    bool cancelled;               /* CANCEL was sent; the relay's own */
    bool parked;                  /* reply waits for the peer's queue; the relay's own */
    size_t parked_size;           /* octets of its payload; the relay's own */
    char principal[PCL_NAME_SIZE_MAX + 1];
    pcl_relay_reply reply; /* only while parked */
} pcl_relay_entry;

/* Sends the reply to who asked.  OK: payload and tail were moved away.  OVERLOADED: the peer's
 * queue is full.  UNAVAILABLE: it is gone.  On failure both are still there, whole. */
typedef pcl_err(pcl_relay_send)(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                                uint64_t now_us);
/* The entry gets this reply, which is not sent yet and may be changed; once for each entry that was
 * forwarded, held or refused, and before it leaves.  Also the entry's own fields may be changed.
 * May be NULL. */
typedef void(pcl_relay_answer)(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                               uint64_t now_us);
/* What was in flight under that ticket may go to another next hop, if there is one (rule 10).
 * true: _forward_again has handed it on.  May be NULL. */
typedef bool(pcl_relay_again)(void *context, uint64_t ticket, const pcl_relay_entry *entry,
                              uint64_t now_us);
/* The entry, which was in flight, leaves the relay; called once for each.  May be NULL. */
typedef void(pcl_relay_gone)(void *context, const pcl_relay_entry *entry);

/* Names in the registry; they must be static. */
typedef struct pcl_relay_names {
    const char *requests, *replies, *inflight, *request_bytes, *reply_bytes, *duration, *dropped,
        *link_up, *parked, *cancels, *releases, *next_up, *next_inflight, *again;
} pcl_relay_names;

#define PCL_RELAY_NAMES(role)                                                                      \
    ((pcl_relay_names){                                                                            \
        .requests = "portcullis_" role "_requests_total",                                          \
        .replies = "portcullis_" role "_replies_total",                                            \
        .inflight = "portcullis_" role "_requests_in_flight",                                      \
        .request_bytes = "portcullis_" role "_request_bytes_total",                                \
        .reply_bytes = "portcullis_" role "_reply_bytes_total",                                    \
        .duration = "portcullis_" role "_request_duration_seconds",                                \
        .dropped = "portcullis_" role "_replies_dropped_total",                                    \
        .link_up = "portcullis_" role "_link_up",                                                  \
        .parked = "portcullis_" role "_replies_parked_total",                                      \
        .cancels = "portcullis_" role "_cancels_sent_total",                                       \
        .releases = "portcullis_" role "_releases_sent_total",                                     \
        .next_up = "portcullis_" role "_next_up",                                                  \
        .next_inflight = "portcullis_" role "_next_requests_in_flight",                            \
        .again = "portcullis_" role "_requests_again_total",                                       \
    })

typedef struct pcl_relay_options {
    const char *hop;  /* "gatekeeper": who logs, and the hop that errors name; static */
    const char *next; /* "broker"; static */
    pcl_socket_options links[PCL_SPREAD_MAX];
    const char *link_names[PCL_SPREAD_MAX]; /* for logs and metrics; static; NULL: next */
    uint32_t link_count;                    /* at least 1 */
    uint32_t inflight_max;
    bool by_id;        /* pcl_relay_cancel_asked will be called: costs an index of ids */
    uint32_t grace_ms; /* PCL_GRACE_...: how long the next hop may answer after the deadline */
    pcl_relay_names names;
    const pcl_role_args *args; /* borrowed until destroy */
    pcl_loop *loop;            /* borrowed until destroy; stopped when the context is gone */
    pcl_relay_send *send;
    pcl_relay_answer *answer;
    pcl_relay_again *again;
    pcl_relay_gone *gone;
    void *context; /* of send, answer, again and gone */
} pcl_relay_options;

typedef struct pcl_relay pcl_relay;

/* Adds the link to the loop.  NULL: error says why. */
pcl_relay *pcl_relay_new(const pcl_relay_options *options, char *error, size_t error_size);
/* What is in flight is freed, not answered. */
void pcl_relay_destroy(pcl_relay **self_p);

/* Every 10 ms: beats, deadlines, parked replies. */
void pcl_relay_tick(pcl_relay *self, uint64_t now_us);
/* After each turn of the loop: a bounded number of parked replies; sends what goes to the next hop.
 */
void pcl_relay_turn(pcl_relay *self, uint64_t now_us);
/* Sends what the owner's own flush has left for the next hop. */
void pcl_relay_flush(pcl_relay *self, uint64_t now_us);

/* From now on nothing goes on any more: new work is DRAINING.  What is in flight is finished. */
void pcl_relay_drain(pcl_relay *self);

/* While why is not NULL the hop is not ready (/ready says so), link or not; static. */
void pcl_relay_set_unready(pcl_relay *self, const char *why);

/* A REPLY that send() had taken has not left, why as of pcl_hop_outbox_unsent: it is counted as
 * dropped, and what it opened is released.  Its head names whose that is. */
void pcl_relay_undelivered(pcl_relay *self, const pcl_head *reply, pcl_err why, uint64_t now_us);

/* Requests in flight, and replies that wait for their peer. */
uint32_t pcl_relay_count(const pcl_relay *self);

/* One of the next hops: 0 to pcl_relay_next_count - 1. */
typedef struct pcl_relay_next {
    const char *name; /* static */
    pcl_link_state state;
    uint32_t inflight;
} pcl_relay_next;
uint32_t pcl_relay_next_count(const pcl_relay *self);
pcl_relay_next pcl_relay_next_at(const pcl_relay *self, uint32_t index);

/* A fresh entry: messages empty, everything else 0. */
void pcl_relay_entry_init(pcl_relay_entry *entry);
/* Frees what the entry holds, for an entry that neither was forwarded nor refused. */
void pcl_relay_entry_release(pcl_relay_entry *entry);

/* Counts an arrival, whatever becomes of it. */
void pcl_relay_arrived(pcl_relay *self, size_t payload_size);

/* Fills what the head says of the request: op, id (when it has one), strategy, consistency,
 * max_lag_ms, session (or the cursor of fetch and close), and the flags EXPLAIN and DRY_RUN. */
void pcl_relay_head_fill(pcl_head *head, const pcl_request *request);

/* Hands the request on: sets head's kind, ticket, id and budget, and sends.  tail may be NULL.
 * OK: head's ticket is what pcl_relay_cancel takes; entry, payload and tail were taken.  Otherwise
 * all are still the caller's, and the error is UNAVAILABLE, DRAINING, OVERLOADED or DEADLINE (never
 * sent in all four). */
pcl_err pcl_relay_forward(pcl_relay *self, pcl_relay_entry *entry, pcl_head *head,
                          zmq_msg_t *payload, zmq_msg_t *tail, uint64_t now_us) PCL_MUST_CHECK;

/* Accepts a request that goes on later: takes the entry, and gives the ticket under which it will.
 * Otherwise it is still the caller's, and the error is DRAINING, UNAVAILABLE, OVERLOADED or
 * DEADLINE. */
pcl_err pcl_relay_hold(pcl_relay *self, pcl_relay_entry *entry, uint64_t *out_ticket,
                       uint64_t now_us) PCL_MUST_CHECK;
/* Hands on what is held under that ticket; as pcl_relay_forward, and on failure it is still held.
 * GONE: it is not, any more. */
pcl_err pcl_relay_forward_held(pcl_relay *self, uint64_t ticket, pcl_head *head, zmq_msg_t *payload,
                               zmq_msg_t *tail, uint64_t now_us) PCL_MUST_CHECK;
/* From within `again` only: hands on once more what is in flight under that ticket.  As
 * pcl_relay_forward, and on failure it is lost, and answered so. */
pcl_err pcl_relay_forward_again(pcl_relay *self, uint64_t ticket, pcl_head *head,
                                zmq_msg_t *payload, uint64_t now_us) PCL_MUST_CHECK;
/* What is held under that ticket; NULL: nothing is. */
const pcl_relay_entry *pcl_relay_held(const pcl_relay *self, uint64_t ticket);
/* Answers what is held with an error; does nothing where nothing is. */
void pcl_relay_refuse_held(pcl_relay *self, uint64_t ticket, const pcl_reply_error *error,
                           uint64_t now_us);
/* The same with what _forward_held said. */
void pcl_relay_refuse_held_unsent(pcl_relay *self, uint64_t ticket, pcl_err err, uint64_t now_us);

/* Answers with an error: encodes it (error->hop is set here), sends it, or parks it when the peer's
 * queue is full, and logs one line, within a bound.  Takes the entry's messages. */
void pcl_relay_refuse(pcl_relay *self, pcl_relay_entry *entry, const pcl_reply_error *error,
                      uint64_t now_us);

/* Nobody waits for that request any more: asks the next hop to stop it.  Its reply still comes and
 * ends it; what the link does not take ends at its deadline.  Does nothing for one that has its
 * reply, or is not there. */
void pcl_relay_cancel(pcl_relay *self, uint64_t ticket, uint64_t now_us);
/* The same for what a daemon with that routing id asked under that id and ticket (by_id). */
void pcl_relay_cancel_asked(pcl_relay *self, const uint8_t id[PCL_ID_SIZE], pcl_bytes peer,
                            uint64_t peer_ticket, uint64_t now_us);
/* For an entry of op cancel that will be forwarded: sees to it that it goes to the next hop that
 * has what its owner asked under its id, and tells the others who have such, too; how many were
 * told. Does nothing with one next hop, which knows them all. */
uint32_t pcl_relay_cancel_named(pcl_relay *self, pcl_relay_entry *entry, uint64_t now_us);
/* The same for everything that peer asked; returns how many were told to stop.  Walks the table. */
uint32_t pcl_relay_cancel_peer(pcl_relay *self, pcl_bytes peer, uint64_t now_us);
/* The same for every entry with that owner_index. */
uint32_t pcl_relay_cancel_owner(pcl_relay *self, uint32_t owner_index, uint64_t now_us);

/* Nobody holds that session or cursor (canonical id) any more, which was principal's.  What the
 * link does not take ends when it was idle for too long. */
void pcl_relay_release(pcl_relay *self, const uint8_t session[PCL_ID_SIZE], pcl_bytes principal,
                       uint64_t now_us);

/* Refuses with what _forward said: nothing ran, so retry is safe. */
void pcl_relay_refuse_unsent(pcl_relay *self, pcl_relay_entry *entry, pcl_err err, uint64_t now_us);

#endif
