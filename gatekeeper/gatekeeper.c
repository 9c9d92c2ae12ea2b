#include "gatekeeper/gatekeeper.h"

#include "common/clock.h"
#include "gatekeeper/admission.h"
#include "gatekeeper/envelope.h"
#include "gatekeeper/outbox.h"
#include "gatekeeper/principals.h"
#include "net/door.h"
#include "net/keys.h"
#include "net/log.h"
#include "net/peer_watch.h"
#include "net/relay.h"
#include "net/time.h"
#include "wire/packed.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHO         "gatekeeper"
#define ANONYMOUS   "anonymous" /* the principal where no keys are in use */
#define TICK_US     (10 * PCL_US_PER_MS)
#define MESSAGE_MAX 256 /* an error's text */

/* A common statement with its digest. */
#define CACHED_SIZE_USUAL 256u

/* A frame over this ends the connection before it costs memory; one between
 * limits/request_size_max and this still gets its answer. */
#define FRAME_SIZE_MAX (PCL_REQUEST_SIZE_MAX + 1024u * 1024u)

/* What may have come of a message that is not whole yet; a legal one has at most FRAME_SIZE_MAX and
 * a little more, and some of it may be in the kernel still. */
#define UNFINISHED_SIZE_MAX (32u * 1024u * 1024u)

/* A packed payload up to this is copied into its frame; a larger one costs less as its own. */
#define PACKED_COPIED_MAX 4096u
static_assert(PACKED_COPIED_MAX >= PCL_FRAME_LENT_MAX, "what goes as its own frame is not lent");
static_assert(PCL_PACKED_SEAL_MAX <= PCL_FRAME_LENT_MAX, "any seal of a packed message is lent");

enum { IDS_COUNT = 256 };

/* Why a request was refused, for the metric. */
typedef enum refusal {
    REFUSAL_ENVELOPE = 0,
    REFUSAL_PAYLOAD, /* not one map, or over a limit as a whole */
    REFUSAL_VERSION,
    REFUSAL_FIELD,
    REFUSAL_PRINCIPAL,
    REFUSAL_STATEMENT,
    REFUSAL_LIMIT,
    REFUSAL_CONNECTION, /* its principal has too many of them */
    REFUSAL_SEAL,       /* has none, and needs one */
    REFUSAL_GONE,       /* the client left before its message was read */
    REFUSAL_UNSENT,     /* the broker is away, full or draining, or we are */
    REFUSAL_COUNT,      /* must stay last */
} refusal;

typedef struct gatekeeper {
    const pcl_role_args *args;
    const pcl_config *config;
    pcl_loop *loop;
    pcl_door clients;
    pcl_relay *relay;
    pcl_outbox *outbox;
    pcl_principals *principals;
    uint64_t aged_us;            /* when what they were answered was last halved */
    pcl_sql_cache *cache;        /* verdicts of statements */
    pcl_sql_cache_counts cached; /* as the metrics show it */
    pcl_peer_watch *watch;       /* of the clients' connections */
    size_t request_size_max;
    pcl_admission_limits limits;
    bool seal_required;
    uint8_t ids[IDS_COUNT][PCL_ID_SIZE]; /* from the system's random source */
    uint32_t ids_left;
    pcl_metric *refusals[REFUSAL_COUNT];
    pcl_metric *cache_hits, *cache_misses, *cache_entries;
    pcl_metric *cut;               /* connections with a message without end */
    pcl_metric *slow, *unroutable; /* replies that were dropped, by cause, as the relay counts */
    pcl_metric *unwatched, *connected, *held;
} gatekeeper;

/* Where a message came from. */
typedef struct origin {
    zmq_msg_t *route;    /* borrowed, and copied for what waits for its reply */
    zmq_msg_t *who;      /* any other of its frames: from it libzmq tells whose it is */
    uint32_t connection; /* net/connections.h */
} origin;

/* --- Clients that leave ----------------------------------------------------- */

/* Its connection ended: nobody waits for what it asked, and nobody holds what it opened. */
static void s_on_client_gone(void *context, uint32_t connection, uint64_t now_us)
{
    gatekeeper *self = context;
    pcl_connections *table = pcl_peer_watch_table(self->watch);
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    while ((ticket = pcl_connections_each_work(table, connection, &cursor)) != 0) {
        pcl_relay_cancel(self->relay, ticket, now_us);
    }
    uint8_t id[PCL_ID_SIZE];
    char principal[PCL_NAME_SIZE_MAX + 1];
    while (pcl_connections_take_held(table, connection, id, principal)) {
        pcl_relay_release(self->relay, id, pcl_bytes_text(principal), now_us);
    }
}

/* All connections end with us. */
static void s_release_all(gatekeeper *self)
{
    uint32_t cursor = 0;
    uint32_t connection = PCL_CONNECTION_NONE;
    uint64_t now_us = pcl_now_us();
    const pcl_connections *table = pcl_peer_watch_table(self->watch);
    while ((connection = pcl_connections_each(table, &cursor)) != PCL_CONNECTION_NONE) {
        s_on_client_gone(self, connection, now_us);
    }
}

static bool s_client_is_gone(gatekeeper *self, const pcl_relay_entry *entry)
{
    return entry->connection == PCL_CONNECTION_GONE ||
           (entry->work != PCL_WORK_NONE &&
            pcl_connections_work_is_gone(pcl_peer_watch_table(self->watch), entry->work));
}

/* The client has got a reply: what it holds now. */
static void s_note_held(gatekeeper *self, const pcl_relay_entry *entry,
                        const pcl_relay_reply *reply)
{
    pcl_connections *table = pcl_peer_watch_table(self->watch);
    if ((reply->flags & PCL_HEAD_RELEASED) != 0) {
        pcl_connections_unhold(table, reply->session, entry->principal);
    } else if ((reply->flags & PCL_HEAD_HELD) != 0 && entry->work != PCL_WORK_NONE &&
               !pcl_connections_hold(table, entry->connection, reply->session, entry->principal)) {
        pcl_metric_add(self->unwatched, 1); /* it ends when it was idle for too long */
    }
}

static bool s_on_watch(void *context, uint64_t now_us)
{
    pcl_peer_watch_read(((gatekeeper *)context)->watch, now_us);
    return false;
}

/* --- The way back ---------------------------------------------------------- */

/* With the envelope that the request had. */
static pcl_err s_send_frames(gatekeeper *self, pcl_relay_entry *entry, pcl_relay_reply *reply)
{
    zmq_msg_t frames[PCL_FRAMES_MAX];
    uint32_t count = 0;
    zmq_msg_init(&frames[count]);
    zmq_msg_copy(&frames[count++], &entry->peer);
    for (uint32_t index = 0; index < entry->envelope_count; index++) {
        zmq_msg_init(&frames[count]);
        zmq_msg_copy(&frames[count++], &entry->envelope[index]);
    }
    zmq_msg_init(&frames[count++]); /* the delimiter */
    uint32_t payload = count;
    pcl_frame_keep(&reply->payload);
    zmq_msg_init(&frames[count]);
    zmq_msg_move(&frames[count++], &reply->payload);
    bool sealed = (reply->flags & PCL_HEAD_SEALED) != 0;
    if (sealed) {
        pcl_frame_keep(&reply->tail);
        zmq_msg_init(&frames[count]);
        zmq_msg_move(&frames[count++], &reply->tail);
    }
    pcl_err err = pcl_frames_send(frames, count, self->clients.socket);
    if (err != PCL_ERR_OK) {
        zmq_msg_move(&reply->payload, &frames[payload]);
        if (sealed) {
            zmq_msg_move(&reply->tail, &frames[payload + 1]);
        }
        pcl_frames_close_each(frames, count);
    }
    return err;
}

/* One frame, or two where the payload is worth its own. */
static pcl_err s_send_alone(gatekeeper *self, pcl_relay_entry *entry, pcl_bytes seal,
                            pcl_relay_reply *reply)
{
    pcl_bytes payload = pcl_frame_bytes(&reply->payload);
    bool apart = payload.size > PACKED_COPIED_MAX;
    zmq_msg_t frames[3];
    zmq_msg_init(&frames[0]);
    zmq_msg_copy(&frames[0], &entry->peer);
    pcl_frame_pack(&frames[1], entry->peer_ticket, seal, apart ? pcl_bytes_of(NULL, 0) : payload);
    if (apart) {
        zmq_msg_init(&frames[2]);
        zmq_msg_move(&frames[2], &reply->payload);
    }
    uint32_t count = apart ? 3 : 2;
    pcl_err err = pcl_frames_send(frames, count, self->clients.socket);
    if (err != PCL_ERR_OK) {
        if (apart) {
            zmq_msg_move(&reply->payload, &frames[2]);
        }
        pcl_frames_close_each(frames, count);
    }
    return err;
}

/* Whether the reply may go together with others.  One that opens or ends something goes by itself:
 * when it reaches nobody, that has consequences. */
static bool s_goes_with_others(const pcl_relay_entry *entry, const pcl_relay_reply *reply)
{
    size_t size = zmq_msg_size(&reply->payload);
    return entry->batched && (reply->flags & ~PCL_HEAD_SEALED) == 0 && size > 0 &&
           size <= PACKED_COPIED_MAX;
}

static pcl_err s_send_packed(gatekeeper *self, pcl_relay_entry *entry, pcl_relay_reply *reply,
                             uint64_t now_us)
{
    pcl_bytes seal = pcl_frame_bytes(&reply->tail);
    if ((reply->flags & PCL_HEAD_SEALED) == 0 || seal.size > PCL_PACKED_SEAL_MAX) {
        seal = pcl_bytes_of(NULL, 0); /* the client finds that it has none */
    }
    pcl_err err = PCL_ERR_UNSUPPORTED;
    if (s_goes_with_others(entry, reply)) {
        err = pcl_outbox_add(self->outbox, pcl_frame_bytes(&entry->peer), entry->peer_ticket, seal,
                             pcl_frame_bytes(&reply->payload), now_us);
    }
    return err == PCL_ERR_UNSUPPORTED ? s_send_alone(self, entry, seal, reply) : err;
}

static pcl_err s_send(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                      uint64_t now_us)
{
    gatekeeper *self = context;
    if (s_client_is_gone(self, entry)) { /* its queue may take the reply a moment longer */
        return PCL_ERR_UNAVAILABLE;
    }
    pcl_err err = entry->packed ? s_send_packed(self, entry, reply, now_us)
                                : s_send_frames(self, entry, reply);
    if (err == PCL_ERR_OK) {
        s_note_held(self, entry, reply);
    }
    return err;
}

static void s_answered(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                       uint64_t now_us)
{
    gatekeeper *self = context;
    (void)now_us;
    if (entry->owner_index != PCL_RELAY_OWNER_NONE) {
        pcl_principals_answered(self->principals, entry->owner_index,
                                reply->code == PCL_ERR_OVERLOADED);
    }
}

static void s_gone(void *context, const pcl_relay_entry *entry)
{
    gatekeeper *self = context;
    if (entry->owner_index != PCL_RELAY_OWNER_NONE) {
        pcl_principals_release(self->principals, entry->owner_index, entry->payload_size);
    }
    if (entry->work != PCL_WORK_NONE) {
        pcl_connections_remove_work(pcl_peer_watch_table(self->watch), entry->work);
    }
}

/* --- Refusals -------------------------------------------------------------- */

static void s_refuse(gatekeeper *self, refusal why, pcl_relay_entry *entry, pcl_err err,
                     const char *message, uint64_t now_us)
{
    pcl_metric_add(self->refusals[why], 1);
    pcl_reply_error error = {
        .err = err,
        .retry = pcl_err_retry((int)err),
        .message = pcl_bytes_text(message),
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

/* Too much of something: nothing ran, and later it may. */
static void s_refuse_for_now(gatekeeper *self, refusal why, pcl_relay_entry *entry,
                             const char *message, uint64_t now_us)
{
    pcl_metric_add(self->refusals[why], 1);
    pcl_reply_error error = {
        .err = PCL_ERR_OVERLOADED,
        .retry = PCL_RETRY_SAFE,
        .message = pcl_bytes_text(message),
        .retry_after_ms = PCL_RELAY_RETRY_AFTER_MS,
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

static void s_refuse_admission(gatekeeper *self, pcl_relay_entry *entry,
                               const pcl_admission *admission, uint64_t now_us)
{
    bool statement = admission->err != PCL_ERR_OVERLOADED;
    pcl_metric_add(self->refusals[statement ? REFUSAL_STATEMENT : REFUSAL_LIMIT], 1);
    pcl_reply_error error = {
        .err = admission->err,
        .retry = admission->retry,
        .message = pcl_bytes_text(admission->message),
        .retry_after_ms = statement ? 0 : PCL_RELAY_RETRY_AFTER_MS,
        .has_statement = admission->has_statement,
        .statement = admission->statement,
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

static void s_refuse_unsent(gatekeeper *self, pcl_relay_entry *entry, pcl_err err, uint64_t now_us)
{
    pcl_metric_add(self->refusals[REFUSAL_UNSENT], 1);
    pcl_relay_refuse_unsent(self->relay, entry, err, now_us);
}

static void s_refuse_envelope(gatekeeper *self, pcl_relay_entry *entry,
                              const pcl_envelope *envelope, uint64_t now_us)
{
    char message[MESSAGE_MAX];
    (void)snprintf(message, sizeof message, "%s: %s", envelope->field, envelope->rule);
    s_refuse(self, REFUSAL_ENVELOPE, entry, envelope->err, message, now_us);
}

static void s_refuse_fault(gatekeeper *self, pcl_relay_entry *entry, const pcl_fault *fault,
                           uint64_t now_us)
{
    char message[MESSAGE_MAX];
    bool whole = fault->field[0] == '\0';
    (void)snprintf(message, sizeof message, "%s: %s", whole ? "payload" : fault->field,
                   fault->rule);
    refusal why = fault->err == PCL_ERR_VERSION ? REFUSAL_VERSION
                  : whole                       ? REFUSAL_PAYLOAD
                                                : REFUSAL_FIELD;
    s_refuse(self, why, entry, fault->err, message, now_us);
}

/* --- The way down ---------------------------------------------------------- */

/* The id of a request that brought none; unpredictable, so that nobody can guess another's. */
static void s_make_id(gatekeeper *self, uint8_t out_id[PCL_ID_SIZE])
{
    if (self->ids_left == 0) {
        pcl_random(self->ids, sizeof self->ids);
        self->ids_left = IDS_COUNT;
    }
    self->ids_left--;
    memcpy(out_id, self->ids[self->ids_left], PCL_ID_SIZE);
}

/* Who sent this; false: nobody we know. */
static bool s_name_principal(const gatekeeper *self, zmq_msg_t *frame, char *out_name)
{
    const char *name = pcl_door_name(&self->clients, pcl_frame_user_id(frame));
    if (name == NULL) {
        return false;
    }
    pcl_bytes_to_text(pcl_bytes_text(name[0] != '\0' ? name : ANONYMOUS), out_name,
                      PCL_NAME_SIZE_MAX + 1);
    return true;
}

/* The entry of a message: who sent it. */
static void s_entry_of(pcl_relay_entry *out_entry, const origin *from, uint64_t now_us)
{
    pcl_relay_entry_init(out_entry);
    int rc = zmq_msg_copy(&out_entry->peer, from->route);
    assert(rc == 0);
    out_entry->connection = from->connection;
    out_entry->arrived_us = now_us;
}

/* What goes back before the delimiter. */
static void s_keep_envelope(pcl_relay_entry *entry, pcl_frames *frames, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        zmq_msg_init(&entry->envelope[index]);
        zmq_msg_move(&entry->envelope[index], &frames->frame[1 + index]);
    }
    entry->envelope_count = count;
}

/* Its place among its principal's and its connection's; false: there is none. */
static bool s_acquire(gatekeeper *self, pcl_relay_entry *entry)
{
    entry->owner_index = pcl_principals_acquire(self->principals, entry->principal,
                                                entry->payload_size);
    if (entry->owner_index == PCL_RELAY_OWNER_NONE) {
        return false;
    }
    if (entry->connection == PCL_CONNECTION_NONE) {
        return true;
    }
    entry->work = pcl_connections_add_work(pcl_peer_watch_table(self->watch), entry->connection);
    return entry->work != PCL_WORK_NONE;
}

static void s_let_go(gatekeeper *self, pcl_relay_entry *entry)
{
    s_gone(self, entry);
    entry->owner_index = PCL_RELAY_OWNER_NONE;
    entry->work = PCL_WORK_NONE;
}

static void s_forward(gatekeeper *self, pcl_relay_entry *entry, const pcl_request *request,
                      zmq_msg_t *payload, zmq_msg_t *seal)
{
    uint64_t leaves_us = pcl_now_us(); /* a batch has passed since the turn's clock was read */
    uint64_t spent_us = pcl_time_since_us(entry->arrived_us, leaves_us);
    pcl_head head = {
        .sql_class = entry->sql_class,
        .gatekeeper_us = spent_us < UINT32_MAX ? (uint32_t)spent_us : UINT32_MAX,
        .principal = pcl_bytes_text(entry->principal),
        .flags = (uint8_t)(seal != NULL ? PCL_HEAD_SEALED : 0),
    };
    pcl_relay_head_fill(&head, request);
    bool acquired = s_acquire(self, entry);
    uint32_t work = entry->work;
    pcl_err err = acquired ? pcl_relay_forward(self->relay, entry, &head, payload, seal, leaves_us)
                           : PCL_ERR_OVERLOADED;
    if (err != PCL_ERR_OK) {
        s_let_go(self, entry);
        s_refuse_unsent(self, entry, err, leaves_us);
    } else if (work != PCL_WORK_NONE) {
        pcl_connections_set_ticket(pcl_peer_watch_table(self->watch), work, head.ticket);
    }
}

/* What is asked before the statement is looked at; false: it was refused, and the entry taken. */
static bool s_may_pass(gatekeeper *self, pcl_relay_entry *entry, bool sealed, uint64_t now_us)
{
    if (pcl_peer_watch_is_over(self->watch, entry->connection)) {
        s_refuse_for_now(self, REFUSAL_CONNECTION, entry,
                         "the principal has too many connections; this one ends", now_us);
        return false;
    }
    if (self->seal_required && !sealed) {
        s_refuse(self, REFUSAL_SEAL, entry, PCL_ERR_FORBIDDEN, "seal: must be there", now_us);
        return false;
    }
    return true;
}

/* A request whose envelope is right; takes the entry.  who: the frame that says whose it is. */
static void s_on_request(gatekeeper *self, pcl_relay_entry *entry, zmq_msg_t *who,
                         zmq_msg_t *payload, zmq_msg_t *seal, uint64_t now_us)
{
    pcl_request request;
    pcl_fault fault;
    bool known = s_name_principal(self, who, entry->principal);
    pcl_err err = pcl_request_decode(&request, pcl_frame_bytes(payload), &fault, entry->id,
                                     &entry->has_id);
    if (!known) { /* after decoding, so that the refusal carries the id */
        pcl_peer_watch_end_soon(self->watch, entry->connection, now_us);
        s_refuse(self, REFUSAL_PRINCIPAL, entry, PCL_ERR_FORBIDDEN,
                 "the client's key is not in the list", now_us);
        return;
    }
    if (err != PCL_ERR_OK) {
        s_refuse_fault(self, entry, &fault, now_us);
        return;
    }
    entry->op = request.op;
    entry->payload_size = zmq_msg_size(payload);
    if (!s_may_pass(self, entry, seal != NULL, now_us)) {
        return;
    }
    pcl_admission admission = pcl_admission_judge(
        &self->limits, &request, seal != NULL,
        pcl_principals_load(self->principals, entry->principal), self->cache);
    if (admission.err != PCL_ERR_OK) {
        s_refuse_admission(self, entry, &admission, now_us);
        return;
    }
    entry->sql_class = (uint8_t)admission.sql_class;
    entry->repeatable = admission.repeatable;
    entry->deadline_us = now_us + admission.timeout_ms * PCL_US_PER_MS;
    if (!entry->has_id) {
        s_make_id(self, entry->id);
        entry->has_id = true;
    }
    s_forward(self, entry, &request, payload, seal);
}

/* Answers a message, or hands it on.  payload and seal: NULL where it has none.  who: as of
 * s_on_request. */
static void s_on_parts(gatekeeper *self, pcl_relay_entry *entry, const pcl_envelope *envelope,
                       zmq_msg_t *who, zmq_msg_t *payload, zmq_msg_t *seal, uint64_t now_us)
{
    pcl_relay_arrived(self->relay, payload != NULL ? zmq_msg_size(payload) : 0);
    if (entry->connection == PCL_CONNECTION_GONE) {
        s_refuse(self, REFUSAL_GONE, entry, PCL_ERR_CANCELLED, "the client has gone", now_us);
        return;
    }
    if (envelope->err == PCL_ERR_OK) {
        s_on_request(self, entry, who, payload, seal, now_us);
        return;
    }
    if (payload != NULL) { /* only for the id, which the refusal carries when it can be read */
        pcl_request request;
        pcl_fault fault;
        (void)s_name_principal(self, who, entry->principal); /* for the log; may stay empty */
        pcl_err err = pcl_request_decode(&request, pcl_frame_bytes(payload), &fault, entry->id,
                                         &entry->has_id);
        (void)err; /* refused in any case */
    }
    s_refuse_envelope(self, entry, envelope, now_us);
}

/* What section 2 of the RFC has for so many frames of these sizes, of which the first is the
 * routing id's. */
static pcl_envelope s_judge_envelope(const gatekeeper *self, const origin *from,
                                     const size_t *sizes, uint32_t count, bool overflow)
{
    pcl_envelope envelope = pcl_envelope_parse(sizes, count, overflow, self->request_size_max);
    if (envelope.err == PCL_ERR_OK && !pcl_envelope_is_own_route(pcl_frame_bytes(from->route))) {
        envelope.err = PCL_ERR_MALFORMED;
        envelope.field = "envelope";
        envelope.rule = "a socket that has set its own routing id is not served";
    }
    return envelope;
}

static void s_on_framed(gatekeeper *self, const origin *from, pcl_frames *frames, uint64_t now_us)
{
    size_t sizes[PCL_FRAMES_MAX];
    for (uint32_t index = 0; index < frames->count; index++) {
        sizes[index] = zmq_msg_size(&frames->frame[index]);
    }
    pcl_envelope envelope = s_judge_envelope(self, from, sizes, frames->count, frames->overflow);
    zmq_msg_t *payload = envelope.payload_index != PCL_ENVELOPE_NOWHERE
                             ? &frames->frame[envelope.payload_index]
                             : NULL;
    zmq_msg_t *seal = envelope.seal_index != PCL_ENVELOPE_NOWHERE
                          ? &frames->frame[envelope.seal_index]
                          : NULL;
    pcl_relay_entry entry;
    s_entry_of(&entry, from, now_us);
    s_keep_envelope(&entry, frames, envelope.echo_count);
    s_on_parts(self, &entry, &envelope, from->who, payload, seal, now_us);
}

/* A packed message is judged by what it would be in frames.  apart: the payload, where that is a
 * frame of its own; else NULL.  batched: it came in a frame for several. */
static void s_on_packed(gatekeeper *self, const origin *from, const pcl_packed *packed,
                        zmq_msg_t *apart, bool batched, uint64_t now_us)
{
    bool sealed = packed->seal.size > 0;
    size_t size = apart != NULL ? zmq_msg_size(apart) : packed->payload.size;
    size_t sizes[] = {zmq_msg_size(from->route), 0, size, packed->seal.size};
    pcl_envelope envelope = s_judge_envelope(self, from, sizes, sealed ? 4 : 3, false);
    pcl_relay_entry entry;
    s_entry_of(&entry, from, now_us);
    entry.packed = true;
    entry.batched = batched && pcl_envelope_is_own_route(pcl_frame_bytes(from->route));
    entry.peer_ticket = packed->tag;
    zmq_msg_t payload, seal;
    if (apart == NULL && packed->payload.size <= PCL_FRAME_LENT_MAX) {
        pcl_frame_lend(&payload, packed->payload); /* the frame is there until this returns */
    } else if (apart == NULL) {
        pcl_frame_copy_of(&payload, packed->payload);
    }
    pcl_frame_lend(&seal, packed->seal);
    s_on_parts(self, &entry, &envelope, from->who, apart != NULL ? apart : &payload,
               sealed ? &seal : NULL, now_us);
    zmq_msg_close(&seal);
    if (apart == NULL) {
        zmq_msg_close(&payload);
    }
}

/* Whether the frames are one packed message, which borrows from them. */
static bool s_is_packed(pcl_frames *frames, pcl_packed *out_packed)
{
    bool apart = frames->count == 3;
    return (frames->count == 2 || apart) && !frames->overflow &&
           pcl_packed_read(out_packed, pcl_frame_bytes(&frames->frame[1])) &&
           apart == (out_packed->payload.size == 0) &&
           (!apart || zmq_msg_size(&frames->frame[2]) > 0);
}

/* Returns how many requests it was. */
static uint32_t s_on_message(gatekeeper *self, pcl_frames *frames, uint64_t now_us)
{
    pcl_packed packed;
    pcl_packed_reader reader;
    bool is_packed = s_is_packed(frames, &packed);
    bool batched = !is_packed && frames->count == 2 && !frames->overflow &&
                   pcl_packed_open(&reader, pcl_frame_bytes(&frames->frame[1]));
    origin from = {.route = &frames->frame[0],
                   .who = &frames->frame[is_packed ? 1 : frames->count - 1]};
    from.connection = pcl_peer_watch_find(self->watch, pcl_frame_bytes(from.route), from.who,
                                          now_us);
    uint32_t count = 0;
    while (batched && pcl_packed_next(&reader, &packed)) {
        s_on_packed(self, &from, &packed, NULL, true, now_us);
        count++;
    }
    if (batched) {
        return count;
    }
    if (is_packed) {
        s_on_packed(self, &from, &packed, frames->count == 3 ? &frames->frame[2] : NULL, false,
                    now_us);
    } else {
        s_on_framed(self, &from, frames, now_us);
    }
    return 1;
}

/* The bound is on requests, of which one frame may have many. */
static bool s_on_clients(void *context, uint64_t now_us)
{
    gatekeeper *self = context;
    pcl_outbox_flush(self->outbox, now_us); /* the replies do not wait for what comes now */
    for (uint32_t count = 0; count < PCL_BATCH_MAX;) {
        pcl_frames frames;
        switch (pcl_frames_recv(&frames, self->clients.socket)) {
        case PCL_RECV_NONE:
            pcl_peer_watch_drained(self->watch);
            return false;
        case PCL_RECV_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        case PCL_RECV_MESSAGE:
            break;
        }
        count += s_on_message(self, &frames, now_us);
        pcl_frames_close(&frames);
    }
    return true;
}

/* --- Life ------------------------------------------------------------------ */

static void s_publish_cache(gatekeeper *self)
{
    pcl_sql_cache_counts counts = pcl_sql_cache_count(self->cache);
    pcl_metric_add(self->cache_hits, counts.hits - self->cached.hits);
    pcl_metric_add(self->cache_misses, counts.misses - self->cached.misses);
    pcl_metric_set(self->cache_entries, counts.entries);
    self->cached = counts;
}

static void s_tick(void *context, uint64_t now_us)
{
    gatekeeper *self = context;
    s_publish_cache(self);
    pcl_relay_tick(self->relay, now_us);
    uint32_t cut = pcl_peer_watch_guard(self->watch, UNFINISHED_SIZE_MAX, now_us);
    if (cut > 0) {
        pcl_metric_add(self->cut, cut);
        pcl_log(PCL_LOG_WARNING, WHO, "cut", "connections=%u reason=\"a message without end\"",
                cut);
    }
    pcl_door_tick(&self->clients, now_us);
    if (pcl_time_since_us(self->aged_us, now_us) >= PCL_PRINCIPALS_AGE_US) {
        self->aged_us = now_us;
        pcl_principals_age(self->principals);
    }
    const pcl_connections *table = pcl_peer_watch_table(self->watch);
    pcl_metric_set(self->connected, pcl_connections_count(table));
    pcl_metric_set(self->held, pcl_connections_held_count(table));
}

static void s_turn(void *context, uint64_t now_us)
{
    gatekeeper *self = context;
    pcl_relay_turn(self->relay, now_us);
    pcl_outbox_flush(self->outbox, now_us);
    pcl_outbox_lost lost = pcl_outbox_take_lost(self->outbox);
    if (lost.slow + lost.gone > 0) {
        pcl_metric_add(self->slow, lost.slow);
        pcl_metric_add(self->unroutable, lost.gone);
    }
}

static void s_drain(void *context, uint64_t now_us)
{
    (void)now_us;
    pcl_relay_drain(((gatekeeper *)context)->relay);
}

static bool s_drained(void *context)
{
    const gatekeeper *self = context;
    return pcl_relay_count(self->relay) == 0 && pcl_outbox_is_empty(self->outbox);
}

static void s_read_limits(gatekeeper *self, const pcl_config *config)
{
    self->config = config;
    self->request_size_max = pcl_config_uint(config, "limits/request_size_max");
    self->limits = (pcl_admission_limits){
        .timeout_ms_default = (uint32_t)pcl_config_uint(config, "limits/timeout_ms_default"),
        .timeout_ms_max = (uint32_t)pcl_config_uint(config, "limits/timeout_ms_max"),
        .inflight_principal_max = (uint32_t)pcl_config_uint(config,
                                                            "limits/inflight_principal_max"),
        .inflight_principal_size_max = pcl_config_uint(config,
                                                       "limits/inflight_principal_size_max"),
        .inflight_size_max = pcl_config_uint(config, "limits/inflight_size_max"),
    };
    self->seal_required = pcl_config_bool(config, "seal/required");
}

static void s_reload(void *context, const pcl_config *config)
{
    gatekeeper *self = context;
    s_read_limits(self, config);
    pcl_door_read_limits(&self->clients, config);
    (void)pcl_door_read_keys(&self->clients, config); /* logged; the old list stays in force */
}

static void s_cache_metrics_make(gatekeeper *self)
{
    pcl_metrics *registry = self->args->metrics;
    static const char name[] = "portcullis_gatekeeper_sql_cache_total";
    static const char help[] = "Statements whose verdict was there (hit), or had to be found.";
    self->cache_hits = pcl_metrics_counter(registry, name, "result=\"hit\"", help);
    self->cache_misses = pcl_metrics_counter(registry, name, "result=\"miss\"", help);
    self->cache_entries = pcl_metrics_gauge(registry, "portcullis_gatekeeper_sql_cache_entries", "",
                                            "Statements whose verdict is kept.");
}

static void s_metrics_make(gatekeeper *self)
{
    static const char *const labels[] = {
        [REFUSAL_ENVELOPE] = "rule=\"envelope\"",   [REFUSAL_PAYLOAD] = "rule=\"payload\"",
        [REFUSAL_VERSION] = "rule=\"version\"",     [REFUSAL_FIELD] = "rule=\"field\"",
        [REFUSAL_PRINCIPAL] = "rule=\"principal\"", [REFUSAL_STATEMENT] = "rule=\"statement\"",
        [REFUSAL_LIMIT] = "rule=\"limit\"",         [REFUSAL_GONE] = "rule=\"gone\"",
        [REFUSAL_UNSENT] = "rule=\"unsent\"",       [REFUSAL_CONNECTION] = "rule=\"connection\"",
        [REFUSAL_SEAL] = "rule=\"seal\"",
    };
    for (int why = 0; why < REFUSAL_COUNT; why++) {
        self->refusals[why] = pcl_metrics_counter(
            self->args->metrics, "portcullis_gatekeeper_refusals_total", labels[why],
            "Requests that the gatekeeper refused, by rule.");
    }
    self->unwatched = pcl_metrics_counter(
        self->args->metrics, "portcullis_gatekeeper_held_unwatched_total", "",
        "Sessions and cursors for which the table of what clients hold had no room.");
    self->cut = pcl_metrics_counter(
        self->args->metrics, "portcullis_gatekeeper_connections_cut_total", "",
        "Connections that were ended since a message on them did not end.");
    self->connected = pcl_metrics_gauge(self->args->metrics, "portcullis_gatekeeper_clients", "",
                                        "Connections of clients that have spoken.");
    self->held = pcl_metrics_gauge(self->args->metrics, "portcullis_gatekeeper_held", "",
                                   "Sessions and cursors that clients hold.");
}

static bool s_open_relay(gatekeeper *self, const pcl_keys *keys, char *error, size_t error_size)
{
    pcl_relay_options options = {
        .hop = WHO,
        .next = "broker",
        .links = {{
            .endpoint = pcl_config_text(self->config, "broker/endpoint"),
            .keys = keys,
            .server_key = pcl_config_text(self->config, "broker/public_key"),
            .queue_max = (uint32_t)pcl_config_uint(self->config, "broker/queue_max"),
            .message_size_max = PCL_REPLY_SIZE_MAX,
            .insecure = pcl_config_bool(self->config, "curve/insecure"),
        }},
        .link_count = 1,
        .inflight_max = (uint32_t)pcl_config_uint(self->config, "limits/inflight_max"),
        .grace_ms = PCL_GRACE_GATEKEEPER_MS,
        .names = PCL_RELAY_NAMES("gatekeeper"),
        .args = self->args,
        .loop = self->loop,
        .send = s_send,
        .answer = s_answered,
        .gone = s_gone,
        .context = self,
    };
    self->relay = pcl_relay_new(&options, error, error_size);
    self->principals = pcl_principals_new(options.inflight_max, self->args->seed);
    if (self->relay != NULL && self->principals == NULL) {
        (void)snprintf(error, error_size, "no memory for the table of principals");
    }
    return self->relay != NULL && self->principals != NULL;
}

static bool s_open_cache(gatekeeper *self, char *error, size_t error_size)
{
    size_t size = pcl_config_uint(self->config, "limits/sql_cache_size");
    self->cache = pcl_sql_cache_new(NULL, (uint32_t)(size / CACHED_SIZE_USUAL), size,
                                    self->args->seed);
    if (self->cache == NULL) {
        (void)snprintf(error, error_size, "no memory for the cache of verdicts");
    }
    return self->cache != NULL;
}

static bool s_open_outbox(gatekeeper *self, char *error, size_t error_size)
{
    /* The relay has made these two, with their help. */
    const char *dropped = PCL_RELAY_NAMES("gatekeeper").dropped;
    self->slow = pcl_metrics_counter(self->args->metrics, dropped, "cause=\"slow\"", "");
    self->unroutable = pcl_metrics_counter(self->args->metrics, dropped, "cause=\"unroutable\"",
                                           "");
    self->outbox = pcl_outbox_new(self->clients.socket);
    if (self->outbox == NULL) {
        (void)snprintf(error, error_size, "no memory for the replies of a turn");
    }
    return self->outbox != NULL;
}

static bool s_open_watch(gatekeeper *self, char *error, size_t error_size)
{
    pcl_peer_watch_options options = {
        .router = self->clients.socket,
        .work_max = (uint32_t)pcl_config_uint(self->config, "limits/inflight_max"),
        .held_max = (uint32_t)pcl_config_uint(self->config, "limits/held_max"),
        .held_each_max = (uint32_t)pcl_config_uint(self->config, "limits/held_client_max"),
        .seed = self->args->seed,
        .gone = s_on_client_gone,
        .context = self,
    };
    self->watch = pcl_peer_watch_new(&options, error, error_size);
    return self->watch != NULL;
}

static bool s_open(gatekeeper *self, char *error, size_t error_size)
{
    pcl_keys keys = {0};
    const char *key_file = pcl_config_text(self->config, "curve/key_file");
    bool has_keys = key_file[0] != '\0';
    if (has_keys && !pcl_keys_load(&keys, key_file, error, error_size)) {
        return false;
    }
    const pcl_keys *own = has_keys ? &keys : NULL;
    bool opened = s_open_cache(self, error, error_size) &&
                  s_open_relay(self, own, error, error_size) &&
                  pcl_door_open(&self->clients, self->config, own,
                                (uint32_t)pcl_config_uint(self->config, "clients/queue_max"),
                                FRAME_SIZE_MAX, error, error_size) &&
                  s_open_outbox(self, error, error_size) && s_open_watch(self, error, error_size);
    pcl_keys_wipe(&keys);
    return opened;
}

static void *s_begin(const pcl_role_args *args, pcl_loop *loop, bool *out_opened)
{
    assert(args != NULL && loop != NULL);
    gatekeeper *self = calloc(1, sizeof *self);
    assert(self != NULL); /* at the start only */
    self->args = args;
    self->config = args->config;
    self->loop = loop;
    self->clients = (pcl_door){.who = WHO, .peers = "clients"};
    char error[MESSAGE_MAX] = "";
    s_metrics_make(self);
    s_cache_metrics_make(self);
    s_read_limits(self, args->config);
    *out_opened = pcl_door_read_keys(&self->clients, args->config) &&
                  s_open(self, error, sizeof error);
    if (*out_opened) {
        pcl_door_watch(&self->clients, self->watch, args->config, args->metrics);
        pcl_loop_add_socket(loop, self->clients.socket, s_on_clients, self);
        pcl_loop_add_quiet(loop, pcl_peer_watch_socket(self->watch), s_on_watch, self);
        pcl_loop_set_tick(loop, TICK_US, s_tick, s_turn, self);
    } else if (error[0] != '\0') {
        pcl_log(PCL_LOG_ERROR, WHO, "open_failed", "reason=\"%s\"", error);
    }
    return self;
}

static void s_end(void *context, bool opened)
{
    gatekeeper *self = context;
    if (opened) {
        pcl_outbox_flush(self->outbox, pcl_now_us()); /* the turn that ends a loop has no end */
        s_release_all(self);
    }
    pcl_relay_destroy(&self->relay);
    pcl_principals_destroy(&self->principals);
    pcl_outbox_destroy(&self->outbox);
    pcl_peer_watch_destroy(&self->watch);
    pcl_sql_cache_destroy(&self->cache);
    pcl_door_close(&self->clients);
    free(self);
}

const pcl_role_parts pcl_gatekeeper_parts = {
    .open = s_begin,
    .close = s_end,
    .hooks = {.drain = s_drain, .drained = s_drained, .reload = s_reload},
};

void pcl_gatekeeper_actor(zsock_t *pipe, void *argument)
{
    pcl_actor_live(pipe, argument, &pcl_gatekeeper_parts);
}
