#include "client/channel.h"

#include "client/belief.h"
#include "client/client.h"
#include "client/failover.h"
#include "client/helm.h"
#include "client/peer.h"
#include "client/request.h"
#include "client/result.h"
#include "client/sealer.h"
#include "client/session.h"
#include "common/buffer.h"
#include "common/clock.h"
#include "common/ticket_table.h"
#include "net/time.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages taken from one peer before the others get a turn. */
#define BATCH_MAX    256u
/* Calls that were given up and may still be answered. */
#define LATE_MAX     64u
#define GIVE_BACK_MS 5000u
/* Completed calls that wait to be told of, while others are looked after. */
#define TELL_MAX     64u
/* A request that waited longer than this tells the gatekeeper what is left of its time. */
#define WAIT_TOLD_US (5u * PCL_US_PER_MS)

typedef struct call_list {
    pcl_call *first, *last;
} call_list;

typedef struct entry {
    pcl_call *call;
} entry;

/* A call that was given up, whose reply may still have opened something. */
typedef struct late_call {
    uint64_t ticket; /* 0: none */
    pcl_seal_mark mark;
} late_call;

/* Calls that stand in a peer's next frame, and among the unsent ones until it is sent. */
typedef struct staged_calls {
    pcl_call *calls[PCL_PACKED_MANY_MAX];
    uint32_t count;
} staged_calls;

struct pcl_channel {
    pthread_t thread;
    bool thread_runs;
    void *context;
    pcl_peer *peers[PCL_BUNDLE_GATEKEEPERS_MAX];
    uint32_t peer_count;
    uint32_t inflight_max;
    uint64_t connect_timeout_us;
    bool seals; /* everything is sealed, and only what is sealed is believed */
    pcl_seal_key seal_key;

    _Atomic(pcl_call *) submitted; /* the last one first */
    atomic_uint inflight;          /* accepted, and nobody was told of their completion */
    atomic_bool closing;           /* nothing is accepted any more */
    atomic_bool ending;            /* and nobody is about to hand in what was */
    pcl_helm helm;

    /* Of who has the helm: */
    pcl_ticket_table *table; /* of entry */
    call_list completed;     /* with their results, which nobody was told of yet */
    uint32_t completed_count;
    call_list unsent; /* for any connection */
    call_list pinned; /* unsent, for one connection each */
    pcl_failover_peer views[PCL_BUNDLE_GATEKEEPERS_MAX];
    pcl_sealer sealers[PCL_BUNDLE_GATEKEEPERS_MAX];
    staged_calls staged[PCL_BUNDLE_GATEKEEPERS_MAX];
    uint32_t current;         /* the peer in use */
    late_call late[LATE_MAX]; /* a ring */
    uint32_t late_next;
    /* A bit for each peer: */
    uint32_t full;     /* that took no more in this turn */
    uint32_t sent;     /* to which something was sent since it was read */
    uint32_t readable; /* that may have something to receive */
    uint32_t changed;  /* whose connection may have come or gone */
};

static _Thread_local const pcl_channel *s_own_channel; /* of the channel's thread */

pcl_call *pcl_call_new(pcl_buffer *payload)
{
    pcl_call *self = calloc(1, sizeof *self);
    if (self != NULL) {
        self->payload = *payload;
        pcl_buffer_init(payload, payload->size_max);
    }
    return self;
}

void pcl_call_destroy(pcl_call **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        pcl_buffer_release(&(*self_p)->payload);
        pcl_session_unref(&(*self_p)->session);
        free(*self_p);
        *self_p = NULL;
    }
}

static void s_list_append(call_list *list, pcl_call *call)
{
    call->next = NULL;
    call->previous = list->last;
    if (list->last != NULL) {
        list->last->next = call;
    } else {
        list->first = call;
    }
    list->last = call;
}

static void s_list_remove(call_list *list, pcl_call *call)
{
    *(call->previous != NULL ? &call->previous->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->previous : &list->last) = call->previous;
    call->next = call->previous = NULL;
}

static call_list *s_unsent_list(pcl_channel *self, const pcl_call *call)
{
    return call->pin.generation != 0 ? &self->pinned : &self->unsent;
}

/* Of a call of which it is not known whether it was done. */
static pcl_retry s_retry_unknown(const pcl_call *call)
{
    /* A session that nobody knows of is rolled back, and what is ended twice has ended. */
    bool safe = call->idempotent || call->op == PCL_OP_BEGIN || call->op == PCL_OP_ROLLBACK ||
                call->op == PCL_OP_CLOSE;
    return safe ? PCL_RETRY_SAFE : PCL_RETRY_UNSAFE;
}

/* Of a call whose answer will not come. */
static pcl_retry s_retry(const pcl_call *call)
{
    return call->op == PCL_OP_FETCH
               ? PCL_RETRY_NEVER /* its cursor may be used up, and is good for no other page */
               : s_retry_unknown(call);
}

/* Gives the results away, and frees their calls.  Not at once for each: who is woken by one would
 * take the processor from the others, and ask on before they are answered. */
static void s_give(pcl_call *call)
{
    for (pcl_call *next = NULL; call != NULL; call = next) {
        next = call->next;
        call->callback(call->result, call->context);
        pcl_call_destroy(&call);
    }
}

/* What is complete, and is under way no more. */
static pcl_call *s_take_completed(pcl_channel *self)
{
    pcl_call *call = self->completed.first;
    if (call != NULL) {
        uint32_t before = atomic_fetch_sub(&self->inflight, self->completed_count);
        assert(before >= self->completed_count);
        (void)before;
        self->completed = (call_list){NULL, NULL};
        self->completed_count = 0;
    }
    return call;
}

static void s_tell(pcl_channel *self)
{
    s_give(s_take_completed(self));
}

/* Removes the call from everything; with the next s_tell its result is given away. */
static void s_complete(pcl_channel *self, pcl_call *call, portcullis_result *result)
{
    if (call->waiting) {
        s_list_remove(s_unsent_list(self, call), call);
    }
    pcl_result_hold(result, call);
    if (call->session != NULL) {
        pcl_session_note(call->session, call->op, result);
    }
    if (call->causal) { /* before anybody knows of the result and asks on */
        pcl_client_note(call->client, call, result);
    }
    pcl_ticket_table_remove(self->table, call->ticket);
    call->result = result;
    s_list_append(&self->completed, call);
    self->completed_count++;
}

static bool s_connected(const pcl_channel *self)
{
    for (uint32_t index = 0; index < self->peer_count; index++) {
        if (self->views[index].up) {
            return true;
        }
    }
    return false;
}

/* When the call is due for an answer of our own. */
static uint64_t s_due_us(const pcl_channel *self, const pcl_call *call)
{
    if (!call->waiting) {
        return call->deadline_us + PCL_CHANNEL_GRACE_MS * PCL_US_PER_MS;
    }
    if (s_connected(self) || call->pin.generation != 0) {
        return call->deadline_us; /* it waits for room, not for a connection */
    }
    return call->connect_by_us < call->deadline_us ? call->connect_by_us : call->deadline_us;
}

static void s_wait_for_turn(pcl_channel *self, pcl_call *call)
{
    call->waiting = true;
    s_list_append(s_unsent_list(self, call), call);
    entry *place = pcl_ticket_table_add(self->table, s_due_us(self, call), &call->ticket);
    assert(place != NULL); /* it has room for inflight_max and those that end something */
    place->call = call;
}

/* Completes what waits under the id of a cancel; how many of them nobody else knows of. */
static uint32_t s_cancel_unsent(pcl_channel *self, const uint8_t *id)
{
    uint32_t count = 0;
    call_list *lists[2] = {&self->unsent, &self->pinned};
    for (size_t index = 0; index < 2; index++) {
        for (pcl_call *call = lists[index]->first, *next = NULL; call != NULL; call = next) {
            next = call->next;
            if (call->op != PCL_OP_CANCEL && memcmp(call->id, id, sizeof call->id) == 0) {
                /* One that is sent again may still run somewhere; but it does no harm. */
                count += call->sent_us == 0 ? 1 : 0;
                s_complete(self, call,
                           pcl_result_local(PCL_ERR_CANCELLED, PCL_RETRY_SAFE, call->id,
                                            "it was cancelled before it was sent"));
            }
        }
    }
    return count;
}

static void s_take_submitted(pcl_channel *self)
{
    pcl_call *last = atomic_load(&self->submitted) != NULL ? atomic_exchange(&self->submitted, NULL)
                                                           : NULL;
    pcl_call *call = NULL;
    for (pcl_call *before = NULL; last != NULL; last = before) { /* the first one first */
        before = last->next;
        last->next = call;
        call = last;
    }
    while (call != NULL) {
        pcl_call *next = call->next;
        uint32_t found = call->op == PCL_OP_CANCEL ? s_cancel_unsent(self, call->id) : 0;
        s_wait_for_turn(self, call);
        if (found > 0) {
            s_complete(self, call, pcl_result_cancelled(call->id, found));
        }
        call = next;
    }
}

/* From in flight back to unsent, under a new ticket. */
static void s_send_again(pcl_channel *self, pcl_call *call, uint64_t now_us)
{
    pcl_ticket_table_remove(self->table, call->ticket);
    call->connect_by_us = now_us + self->connect_timeout_us;
    s_wait_for_turn(self, call);
}

/* Is this refusal no answer yet, since the request may go to another gatekeeper?  proven: it is
 * known that the request was not done. */
static bool s_goes_on(pcl_channel *self, pcl_call *call, const pcl_reply *reply, bool proven)
{
    uint32_t peer = call->way.peer;
    uint64_t now_us = self->views[peer].heard_us;
    if (reply->ok) {
        return false;
    }
    bool drains = pcl_failover_drains(reply->error_code, reply->error_hop, reply->error_retry);
    if (drains) {
        pcl_peer_retire(self->peers[peer]);
        self->views[peer].up = false;
    }
    if (call->pin.generation != 0 || (!proven && !call->idempotent)) {
        return false; /* it has no other, or the refusal may be a lie to have it run twice */
    }
    if (drains) {
        call->sent_us = proven ? 0 : call->sent_us; /* 0: nothing ran, as if it was never sent */
        s_send_again(self, call, now_us);
        return true;
    }
    if (pcl_failover_elsewhere(reply->error_code, reply->error_hop, reply->error_retry, self->views,
                               self->peer_count, call->tried)) {
        s_send_again(self, call, now_us);
        return true;
    }
    return false;
}

static void s_forget(portcullis_result *result, void *context)
{
    (void)context;
    portcullis_result_destroy(&result);
}

static pcl_bytes s_octets(zmq_msg_t *message)
{
    return pcl_bytes_of(zmq_msg_data(message), zmq_msg_size(message));
}

/* What is wrong with the seal of a reply to what was sent under that mark; NULL: nothing. */
static const char *s_seal_fault(const pcl_channel *self, pcl_seal_mark mark,
                                pcl_peer_message *message)
{
    return self->seals
               ? pcl_sealer_fault(mark, &self->seal_key, message->seal, s_octets(&message->payload))
               : NULL;
}

/* Was the call given up, and is this its reply?  Then what it opened has to be ended, as nobody
 * knows of it; and what somebody made up ends nothing. */
static bool s_is_late(pcl_channel *self, pcl_peer_message *message)
{
    for (uint32_t index = 0; index < LATE_MAX; index++) {
        late_call *late = &self->late[index];
        if (late->ticket == message->ticket && message->ticket != 0) {
            late->ticket = 0;
            return s_seal_fault(self, late->mark, message) == NULL;
        }
    }
    return false;
}

static void s_give_back(pcl_channel *self, uint32_t peer, zmq_msg_t *payload)
{
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, s_octets(payload));
    if (err != PCL_ERR_OK || (!reply.has_session && !reply.has_cursor)) {
        return;
    }
    pcl_request request = {.op = reply.has_session ? PCL_OP_ROLLBACK : PCL_OP_CLOSE,
                           .has_id = true,
                           .timeout_ms = GIVE_BACK_MS,
                           .has_session = reply.has_session,
                           .has_cursor = !reply.has_session};
    memcpy(request.id, reply.id, sizeof request.id);
    memcpy(request.session, reply.session, sizeof request.session);
    memcpy(request.cursor, reply.cursor, sizeof request.cursor);
    pcl_call *call = NULL;
    if (pcl_request_encode_call(&request, &call) != PCL_ERR_OK) {
        return; /* it ends when it was idle for long enough, as where the channel is full */
    }
    call->pin = (pcl_pin){.peer = peer, .generation = pcl_peer_generation(self->peers[peer])};
    call->callback = s_forget;
    if (pcl_channel_submit(self, call) != PCL_ERR_OK) {
        pcl_call_destroy(&call);
    }
}

/* The answer of the library's own in the place of one that is not believed. */
static portcullis_result *s_forged(const pcl_channel *self, const pcl_call *call,
                                   const pcl_reply *reply, const char *fault)
{
    return pcl_result_local(PCL_ERR_FORGED, PCL_RETRY_UNSAFE, call->id,
                            "the reply of %s is not believed, since its seal %s%s",
                            pcl_peer_endpoint(self->peers[call->way.peer]), fault,
                            reply->ok ? "" : "; it says that the request failed");
}

/* The reply to a call that is in flight over that peer. */
static void s_judge_reply(pcl_channel *self, pcl_call *call, pcl_peer_message *message)
{
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, s_octets(&message->payload));
    if (err != PCL_ERR_OK) {
        s_complete(self, call,
                   pcl_result_local(PCL_ERR_INTERNAL, s_retry(call), call->id,
                                    "the reply of %s does not parse: %s",
                                    pcl_peer_endpoint(self->peers[call->way.peer]),
                                    pcl_err_text((int)err)));
        return;
    }
    const char *fault = s_seal_fault(self, call->mark, message);
    pcl_belief belief = pcl_believe(&reply, fault == NULL);
    if (belief == PCL_BELIEF_NONE) {
        pcl_failover_peer *view = &self->views[call->way.peer];
        pcl_failover_forged(view, view->heard_us);
        s_complete(self, call, s_forged(self, call, &reply, fault));
        return;
    }
    /* A refusal may come without an id where the request could not be read. */
    bool ours = reply.has_id ? memcmp(reply.id, call->id, PCL_ID_SIZE) == 0 : !reply.ok;
    if (!ours || s_goes_on(self, call, &reply, belief == PCL_BELIEF_WORD)) {
        return; /* another's; ours may still come */
    }
    s_complete(self, call,
               belief == PCL_BELIEF_WORD
                   ? pcl_result_of_reply(&message->payload, &reply, self->seals)
                   : pcl_result_of_refusal(&reply, s_retry_unknown(call), call->id));
}

static void s_on_message(pcl_channel *self, uint32_t peer, pcl_peer_message *message)
{
    entry *place = pcl_ticket_table_find(self->table, message->ticket);
    if (place == NULL && s_is_late(self, message)) {
        s_give_back(self, peer, &message->payload);
    }
    if (place != NULL && !place->call->waiting && place->call->way.peer == peer) {
        s_judge_reply(self, place->call, message);
    } /* else it is late, comes twice, or was never asked for */
}

/* Reads at most max messages.  true: there may be more. */
static bool s_read(pcl_channel *self, uint32_t index, uint32_t max, uint64_t now_us)
{
    for (uint32_t count = 0; count < max; count++) {
        pcl_peer_message message;
        pcl_peer_recv_result result = pcl_peer_recv(self->peers[index], &message);
        if (result == PCL_PEER_NONE) {
            return false;
        }
        if (result == PCL_PEER_DROPPED) { /* nothing that it says can be read: others come first */
            pcl_failover_forged(&self->views[index], now_us);
        } else {
            self->views[index].heard_us = now_us;
            self->views[index].silent_until_us = 0;
            s_on_message(self, index, &message);
            (void)zmq_msg_close(&message.payload);
            if (self->completed_count >= TELL_MAX) {
                s_tell(self);
            }
        }
    }
    return true;
}

/* What a pinned call gets when its connection is no more and it was not sent; and a page also when
 * it was, since nothing but its result is lost with it. */
static portcullis_result *s_gone(const pcl_channel *self, const pcl_call *call)
{
    bool page = call->op == PCL_OP_FETCH || call->op == PCL_OP_CLOSE;
    return pcl_result_local(PCL_ERR_GONE, PCL_RETRY_NEVER, call->id,
                            page ? "the connection to gatekeeper %s was lost, and with it the rest "
                                   "of the result"
                                 : "the connection to gatekeeper %s was lost, and with it the "
                                   "session, which is rolled back",
                            pcl_peer_endpoint(self->peers[call->pin.peer]));
}

static void s_lose(pcl_channel *self, uint32_t index, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    call_list lost = {NULL, NULL}; /* nothing may be added to the table while it is walked */
    for (entry *place; (place = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL;) {
        if (!place->call->waiting && place->call->way.peer == index) {
            s_list_append(&lost, place->call);
        }
    }
    for (pcl_call *call = lost.first, *next = NULL; call != NULL; call = next) {
        next = call->next;
        if (pcl_failover_lost(call->idempotent, call->deadline_us, now_us) ==
            PCL_FAILOVER_SEND_AGAIN) {
            s_send_again(self, call, now_us);
            continue;
        }
        if (call->op == PCL_OP_FETCH || call->op == PCL_OP_CLOSE) {
            s_complete(self, call, s_gone(self, call));
            continue;
        }
        s_complete(self, call,
                   pcl_result_local(PCL_ERR_LOST, s_retry(call), call->id,
                                    "gatekeeper %s went away with the request",
                                    pcl_peer_endpoint(self->peers[index])));
    }
}

/* Connections that came or went, and what was received. */
static void s_listen(pcl_channel *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < self->peer_count; index++) {
        uint32_t bit = 1u << index;
        bool lost = false;
        if ((self->changed & bit) != 0 || now_us >= pcl_peer_redial_due_us(self->peers[index])) {
            lost = pcl_peer_notice(self->peers[index], now_us);
            self->views[index].up = pcl_peer_is_up(self->peers[index]);
            self->readable |= bit; /* it may have connected anew, which is as sending is */
        }
        if ((self->readable & bit) != 0) {
            bool more = s_read(self, index, lost ? UINT32_MAX : BATCH_MAX, now_us);
            self->readable = more ? self->readable | bit : self->readable & ~bit;
            self->sent &= ~bit;
        }
        if (lost) {
            s_lose(self, index, now_us);
        }
    }
    self->changed = 0;
}

/* "tcp://a:1: connection refused; tcp://b:1: not connected yet" */
static void s_reasons(const pcl_channel *self, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t index = 0; index < self->peer_count && used < size; index++) {
        int written = snprintf(text + used, size - used, "%s%s: %s", index > 0 ? "; " : "",
                               pcl_peer_endpoint(self->peers[index]),
                               pcl_peer_why(self->peers[index]));
        used += written > 0 ? (size_t)written : 0;
    }
}

static portcullis_result *s_overdue_unsent(const pcl_channel *self, const pcl_call *call)
{
    char reasons[600];
    s_reasons(self, reasons, sizeof reasons);
    if (call->sent_us != 0) { /* safe: only what may run twice is sent again */
        return pcl_result_local(PCL_ERR_LOST, PCL_RETRY_SAFE, call->id,
                                "its gatekeeper went away and no other took it over: %s", reasons);
    }
    if (s_connected(self)) {
        return pcl_result_local(PCL_ERR_DEADLINE, PCL_RETRY_SAFE, call->id,
                                "it could not be sent in time: %s", reasons);
    }
    return pcl_result_local(PCL_ERR_UNAVAILABLE, PCL_RETRY_SAFE, call->id,
                            "no gatekeeper can be reached: %s", reasons);
}

static void s_expire(pcl_channel *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    for (entry *place; (place = pcl_ticket_table_due(self->table, now_us, &ticket)) != NULL;) {
        pcl_call *call = place->call;
        uint64_t due_us = s_due_us(self, call);
        if (due_us > now_us) { /* a connection came up since its time was set */
            pcl_ticket_table_set_deadline(self->table, ticket, due_us);
            continue;
        }
        if (call->waiting) {
            s_complete(self, call, s_overdue_unsent(self, call));
            continue;
        }
        self->late[self->late_next++ % LATE_MAX] = (late_call){ticket, call->mark};
        pcl_failover_unanswered(&self->views[call->way.peer], call->sent_us, now_us);
        s_complete(self, call,
                   pcl_result_local(PCL_ERR_DEADLINE, s_retry(call), call->id,
                                    "%s did not answer in time%s",
                                    pcl_peer_endpoint(self->peers[call->way.peer]),
                                    pcl_peer_is_strange(self->peers[call->way.peer])
                                        ? "; it speaks in a form that this version cannot read"
                                        : ""));
    }
}

/* Puts what is left of the time into a payload that waited. */
static void s_shorten_budget(pcl_call *call, uint64_t now_us)
{
    pcl_request request;
    pcl_fault fault;
    uint64_t left_us = pcl_time_left_us(call->deadline_us, now_us);
    if (pcl_request_decode(&request, pcl_buffer_bytes(&call->payload), &fault, NULL, NULL) !=
        PCL_ERR_OK) {
        return; /* the gatekeeper will say what is wrong with it */
    }
    request.timeout_ms = left_us < PCL_US_PER_MS ? 1 : (uint32_t)(left_us / PCL_US_PER_MS);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REQUEST_SIZE_MAX);
    pcl_request_encode(&request, &buffer);
    if (!buffer.failed) {
        pcl_buffer old = call->payload; /* the request borrows from it */
        call->payload = buffer;
        buffer = old;
    } /* else it goes with the old budget: the deadline here holds all the same */
    pcl_buffer_release(&buffer);
}

/* It went out over that peer. */
static void s_note_sent(pcl_channel *self, pcl_call *call, uint32_t index, uint64_t now_us)
{
    s_list_remove(s_unsent_list(self, call), call);
    call->waiting = false;
    call->way = (pcl_pin){.peer = index, .generation = pcl_peer_generation(self->peers[index])};
    call->tried |= 1u << index;
    call->sent_us = now_us;
    pcl_ticket_table_set_deadline(self->table, call->ticket, s_due_us(self, call));
}

/* Sends what is staged for the peer.  false: it takes no more in this turn, and that waits on. */
static bool s_flush_staged(pcl_channel *self, uint32_t index, uint64_t now_us)
{
    staged_calls *staged = &self->staged[index];
    bool sent = pcl_peer_flush(self->peers[index]);
    for (uint32_t place = 0; sent && place < staged->count; place++) {
        s_note_sent(self, staged->calls[place], index, now_us);
    }
    self->full |= sent ? 0 : 1u << index;
    staged->count = 0;
    return sent;
}

/* For all peers. */
static void s_flush_all(pcl_channel *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < self->peer_count; index++) {
        if (self->staged[index].count > 0) {
            (void)s_flush_staged(self, index, now_us); /* or it waits on */
        }
    }
}

/* Seals it, and puts it into the peer's next frame, or sends it. */
static pcl_peer_send_result s_offer(pcl_channel *self, pcl_call *call, uint32_t index)
{
    uint8_t seal[PCL_SEAL_SIZE];
    if (self->seals) { /* now, so that sequences rise in the order of sending */
        call->mark = pcl_sealer_seal(&self->sealers[index], pcl_peer_generation(self->peers[index]),
                                     &self->seal_key, pcl_buffer_bytes(&call->payload), seal);
    }
    return pcl_peer_send(self->peers[index], call->ticket, pcl_buffer_bytes(&call->payload),
                         pcl_bytes_of(seal, self->seals ? sizeof seal : 0));
}

/* At the latest with s_flush_all it is sent, or waits on.  false: the peer takes no more in this
 * turn. */
static bool s_send(pcl_channel *self, pcl_call *call, uint32_t index, uint64_t now_us)
{
    staged_calls *staged = &self->staged[index];
    if (now_us > call->born_us + WAIT_TOLD_US) {
        s_shorten_budget(call, now_us);
    }
    self->sent |= 1u << index;
    bool large = call->payload.size > PCL_PEER_STAGED_SIZE_MAX;
    if (large && !s_flush_staged(self, index, now_us)) { /* what is staged goes before it */
        return false;
    }
    pcl_peer_send_result result = s_offer(self, call, index);
    if (result == PCL_PEER_ROOM) {
        if (!s_flush_staged(self, index, now_us)) {
            return false;
        }
        result = s_offer(self, call, index);
    }
    if (result == PCL_PEER_STAGED) {
        assert(staged->count < PCL_PACKED_MANY_MAX);
        staged->calls[staged->count++] = call;
    } else if (result == PCL_PEER_SENT) {
        s_note_sent(self, call, index, now_us);
    } else {
        self->full |= 1u << index;
        return false;
    }
    return true;
}

/* In their order for each connection; those whose connection is no more are completed. */
static void s_flush_pinned(pcl_channel *self, uint64_t now_us)
{
    for (pcl_call *call = self->pinned.first, *next = NULL; call != NULL; call = next) {
        next = call->next;
        if (!pcl_peer_is_connected(self->peers[call->pin.peer], call->pin.generation)) {
            s_complete(self, call, s_gone(self, call));
        } else if ((self->full >> call->pin.peer & 1u) == 0) {
            (void)s_send(self, call, call->pin.peer, now_us); /* or it waits */
        }
    }
}

/* The peer that has what a cancel is for, so that it cannot be there before it. */
static uint32_t s_target(const pcl_channel *self, const pcl_call *cancel)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    for (entry *place; (place = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL;) {
        const pcl_call *call = place->call;
        if (!call->waiting && call->op != PCL_OP_CANCEL && self->views[call->way.peer].up &&
            memcmp(call->id, cancel->id, sizeof call->id) == 0) {
            return call->way.peer;
        }
    }
    return PCL_FAILOVER_NONE;
}

static void s_flush_unsent(pcl_channel *self, uint64_t now_us)
{
    for (pcl_call *call = self->unsent.first, *next = NULL; call != NULL; call = next) {
        next = call->next;
        if (call->op == PCL_OP_CANCEL) { /* what it is for may be staged, and must be on its way */
            s_flush_all(self, now_us);
        }
        uint32_t target = call->op == PCL_OP_CANCEL ? s_target(self, call) : PCL_FAILOVER_NONE;
        uint32_t index = target != PCL_FAILOVER_NONE
                             ? target
                             : pcl_failover_choose(self->views, self->peer_count, self->current,
                                                   call->tried, now_us);
        if (index == PCL_FAILOVER_NONE) {
            return;
        }
        self->current = target == PCL_FAILOVER_NONE ? index : self->current;
        if ((self->full >> index & 1u) != 0 || !s_send(self, call, index, now_us)) {
            return;
        }
    }
}

static void s_flush(pcl_channel *self, uint64_t now_us)
{
    self->full = 0;
    s_flush_pinned(self, now_us);
    s_flush_unsent(self, now_us);
    s_flush_all(self, now_us);
}

/* Sending makes libzmq look at what came meanwhile, and the descriptor is silent of that.  true:
 * there is something to do at once. */
static bool s_look_after_sending(pcl_channel *self)
{
    for (uint32_t index = 0; index < self->peer_count; index++) {
        uint32_t bit = 1u << index;
        if ((self->sent & bit) != 0 &&
            pcl_peer_is_ready(self->peers[index], (self->full & bit) != 0)) {
            self->readable |= bit;
        }
    }
    self->sent = 0;
    return self->readable != 0;
}

static int s_timeout_ms(const pcl_channel *self)
{
    uint64_t next_us = pcl_ticket_table_next_deadline_us(self->table);
    for (uint32_t index = 0; index < self->peer_count; index++) {
        uint64_t redial_us = pcl_peer_redial_due_us(self->peers[index]);
        if (self->unsent.first != NULL && redial_us < next_us) {
            next_us = redial_us; /* where nobody waits it can be done with the next turn */
        }
    }
    if (next_us == UINT64_MAX) {
        return -1;
    }
    uint64_t left_ms = (pcl_time_left_us(next_us, pcl_now_us()) + PCL_US_PER_MS - 1) /
                       PCL_US_PER_MS;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* Sleeps until there is something to do: on libzmq's descriptors and not in zmq_poll, which makes
 * two system calls for each socket and one for itself, twice, for each time it sleeps.  fd: the
 * helm's for who sleeps. */
static void s_sleep(pcl_channel *self, int fd, int timeout_ms)
{
    struct pollfd items[1 + 2 * PCL_BUNDLE_GATEKEEPERS_MAX];
    nfds_t count = 0;
    items[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    for (uint32_t index = 0; index < self->peer_count; index++) {
        items[count++] = (struct pollfd){.fd = pcl_peer_fd(self->peers[index]), .events = POLLIN};
        items[count++] = (struct pollfd){.fd = pcl_peer_monitor_fd(self->peers[index]),
                                         .events = POLLIN};
    }
    uint32_t readable = 0;
    uint32_t changed = 0;
    int rc = poll(items, count, timeout_ms); /* a caller's may be interrupted, and looks again */
    for (uint32_t index = 0; rc > 0 && index < self->peer_count; index++) {
        readable |= items[1 + 2 * index].revents != 0 ? 1u << index : 0;
        changed |= items[2 + 2 * index].revents != 0 ? 1u << index : 0;
    }
    if (rc > 0 && items[0].revents != 0) {
        pcl_helm_drain(fd);
    }
    if (fd == self->helm.thread_fd) {
        while (!pcl_helm_resume(&self->helm)) {
            pcl_helm_wait(&self->helm);
        }
    }
    self->readable |= readable;
    self->changed |= changed;
}

/* The thread's: it lets go of the helm where there is nothing to do, and has it again. */
static void s_rest(pcl_channel *self)
{
    bool busy = s_look_after_sending(self) || atomic_load(&self->submitted) != NULL;
    int timeout_ms = busy ? 0 : s_timeout_ms(self);
    if (timeout_ms != 0) {
        pcl_helm_rest(&self->helm);
        if (atomic_load(&self->submitted) != NULL || atomic_load(&self->ending)) {
            pcl_helm_nudge(&self->helm, pcl_now_us());
        }
    }
    s_sleep(self, self->helm.thread_fd, timeout_ms);
}

/* What is still under way when the client closes. */
static void s_complete_all(pcl_channel *self)
{
    s_take_submitted(self);
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    for (entry *place; (place = pcl_ticket_table_each(self->table, &cursor, &ticket)) != NULL;) {
        pcl_call *call = place->call;
        bool sent = call->sent_us != 0;
        s_complete(self, call,
                   pcl_result_local(sent ? PCL_ERR_LOST : PCL_ERR_CANCELLED,
                                    sent ? s_retry(call) : PCL_RETRY_SAFE, call->id,
                                    "the client was closed"));
    }
    s_tell(self);
}

static void *s_run(void *argument)
{
    pcl_channel *self = argument;
    s_own_channel = self;
    self->readable = self->changed = (1u << self->peer_count) - 1; /* whatever has come already */
    while (!atomic_load(&self->ending)) {
        s_rest(self);
        uint64_t now_us = pcl_now_us();
        s_take_submitted(self);
        s_listen(self, now_us);
        s_expire(self, now_us);
        s_tell(self);
        s_take_submitted(self); /* by callbacks, and by who was told */
        s_flush(self, now_us);
        s_tell(self); /* of what cannot be sent any more */
    }
    s_complete_all(self);
    return NULL;
}

/* false: error says why. */
static bool s_make_seal_key(pcl_channel *self, const pcl_bundle *bundle, char *error,
                            size_t error_size)
{
    self->seals = bundle->broker_key[0] != '\0';
    if (!self->seals || pcl_seal_key_make(&self->seal_key, true, bundle->secret_key,
                                          bundle->public_key, bundle->broker_key)) {
        return true;
    }
    (void)snprintf(error, error_size, "nothing can be sealed with the broker's public key");
    return false;
}

static bool s_open_peers(pcl_channel *self, const pcl_channel_options *options, char *error,
                         size_t error_size)
{
    self->context = zmq_ctx_new();
    if (self->context == NULL) {
        (void)snprintf(error, error_size, "%s", zmq_strerror(zmq_errno()));
        return false;
    }
    for (uint32_t index = 0; index < options->bundle->gatekeeper_count; index++) {
        pcl_peer_options peer = {.gatekeeper = &options->bundle->gatekeepers[index],
                                 .bundle = options->bundle,
                                 .queue_max = options->inflight_max + PCL_CHANNEL_ENDING_MAX};
        self->peers[index] = pcl_peer_new(self->context, &peer, error, error_size);
        if (self->peers[index] == NULL) {
            return false;
        }
        self->peer_count++;
    }
    return true;
}

/* With all signals blocked: they are for the program's own threads. */
static int s_start_thread(pcl_channel *self)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&self->thread, NULL, s_run, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->thread_runs = rc == 0;
    return rc;
}

pcl_channel *pcl_channel_new(const pcl_channel_options *options, char *error, size_t error_size)
{
    assert(options->bundle->gatekeeper_count > 0);
    assert(options->inflight_max > 0);
    pcl_channel *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    bool steered = pcl_helm_open(&self->helm);
    int helm_errno = errno;
    self->inflight_max = options->inflight_max;
    self->connect_timeout_us = options->connect_timeout_ms * PCL_US_PER_MS;
    self->table = pcl_ticket_table_new(options->inflight_max + PCL_CHANNEL_ENDING_MAX,
                                       sizeof(entry), pcl_random_u64());
    int rc = 0;
    if (!steered || self->table == NULL) {
        (void)snprintf(error, error_size, "%s",
                       self->table == NULL ? "out of memory" : strerror(helm_errno));
        pcl_channel_destroy(&self);
    } else if (!s_make_seal_key(self, options->bundle, error, error_size) ||
               !s_open_peers(self, options, error, error_size)) {
        pcl_channel_destroy(&self);
    } else {
        self->current = (uint32_t)(pcl_random_u64() % self->peer_count); /* clients spread */
        rc = s_start_thread(self);
    }
    if (rc != 0) {
        (void)snprintf(error, error_size, "cannot start a thread: %s", strerror(rc));
        pcl_channel_destroy(&self);
    }
    return self;
}

void pcl_channel_stop(pcl_channel *self)
{
    atomic_store(&self->closing, true);
    pcl_helm_nudge(&self->helm, pcl_now_us());
}

void pcl_channel_destroy(pcl_channel **self_p)
{
    assert(self_p != NULL);
    pcl_channel *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->thread_runs) {
        atomic_store(&self->ending, true);
        pcl_channel_stop(self);
        (void)pthread_join(self->thread, NULL);
    }
    for (uint32_t index = 0; index < self->peer_count; index++) {
        pcl_peer_destroy(&self->peers[index]);
    }
    while (self->context != NULL && zmq_ctx_term(self->context) != 0 && zmq_errno() == EINTR) {
        /* a signal came to who closes; libzmq's threads are there until it has ended */
    }
    pcl_helm_close(&self->helm);
    pcl_ticket_table_destroy(&self->table);
    pcl_seal_key_wipe(&self->seal_key);
    free(self);
    *self_p = NULL;
}

static bool s_only_ends(const pcl_call *call)
{
    return call->op == PCL_OP_CANCEL || call->op == PCL_OP_CLOSE || call->op == PCL_OP_ROLLBACK;
}

/* out_alone: nothing else was under way. */
static pcl_err s_accept(pcl_channel *self, pcl_call *call, bool *out_alone)
{
    uint32_t inflight_max = self->inflight_max + (s_only_ends(call) ? PCL_CHANNEL_ENDING_MAX : 0);
    call->born_us = pcl_now_us();
    call->deadline_us = call->born_us + call->terms.timeout_ms * PCL_US_PER_MS;
    call->connect_by_us = call->born_us + self->connect_timeout_us;
    unsigned inflight = atomic_load(&self->inflight);
    do {
        if (atomic_load(&self->closing)) {
            return PCL_ERR_UNAVAILABLE;
        }
        if (inflight >= inflight_max) {
            return PCL_ERR_OVERLOADED;
        }
    } while (!atomic_compare_exchange_weak(&self->inflight, &inflight, inflight + 1));
    *out_alone = inflight == 0;
    return PCL_ERR_OK;
}

static void s_hand_in(pcl_channel *self, pcl_call *call)
{
    uint64_t now_us = call->born_us; /* the call may be gone as soon as it is handed in */
    pcl_call *last = atomic_load(&self->submitted);
    do {
        call->next = last;
    } while (!atomic_compare_exchange_weak(&self->submitted, &last, call));
    pcl_helm_nudge(&self->helm, now_us);
}

pcl_err pcl_channel_submit(pcl_channel *self, pcl_call *call)
{
    bool alone = false;
    pcl_err err = s_accept(self, call, &alone);
    if (err == PCL_ERR_OK) {
        s_hand_in(self, call);
    }
    return err;
}

/* By who has the helm and nothing under way but this: until it is complete, or others come. */
static void s_drive(pcl_channel *self, pcl_call *call)
{
    int timeout_ms = 0; /* at first, only to see whether a connection came or went */
    s_wait_for_turn(self, call);
    while (self->completed.first == NULL && !pcl_helm_is_called(&self->helm) &&
           !atomic_load(&self->closing)) {
        s_sleep(self, self->helm.caller_fd, timeout_ms);
        uint64_t now_us = pcl_now_us();
        s_listen(self, now_us);
        s_expire(self, now_us);
        s_flush(self, now_us);
        timeout_ms = s_look_after_sending(self) ? 0 : s_timeout_ms(self);
    }
    call = s_take_completed(self);
    pcl_helm_give_back(&self->helm, call == NULL || self->readable != 0);
    s_give(call);
}

pcl_err pcl_channel_run(pcl_channel *self, pcl_call *call)
{
    bool alone = false;
    pcl_err err = s_accept(self, call, &alone);
    if (err != PCL_ERR_OK) {
        return err;
    }
    if (!alone || !pcl_helm_take(&self->helm, &self->inflight, call->born_us)) {
        s_hand_in(self, call);
        return PCL_ERR_OK;
    }
    s_drive(self, call);
    return PCL_ERR_OK;
}

bool pcl_channel_is_own_thread(const pcl_channel *self)
{
    return s_own_channel == self;
}
