#include "net/link.h"

#include "common/clock.h"
#include "common/rng.h"
#include "net/tcp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While no connection stands, a beat is tried this often, so that a link comes
 * up soon after its peer does. */
#define RETRY_US (20 * PCL_US_PER_MS)

/* libzmq never tries again after a peer has refused our key.  So that a key which is listed later
 * is let in all the same, a link without a connection is connected anew this often. */
#define REDIAL_US (2 * PCL_US_PER_S)

struct pcl_link {
    zsock_t *socket; /* owned */
    pcl_hop_inbox inbox;
    pcl_hop_outbox *outbox; /* owned */
    pcl_hop_outbox_unsent *unsent;
    void *unsent_context;
    char *endpoint;                   /* owned; NULL where nobody is refused: not on tcp */
    uint64_t unsent_since_us;         /* no beat could be sent since then; 0: the last one was */
    zsock_t *watch;                   /* of the socket's connection; owned; NULL: not watched */
    char name[PCL_NAME_SIZE_MAX + 1]; /* principal of our beats */
    uint64_t boot_id;                 /* ours */
    pcl_rng rng;                      /* jitter */
    uint64_t beat_due_us;
    bool in_turn; /* a beat has gone out since the connection was made */
    pcl_liveness liveness;
    pcl_tcp_flow flow;   /* of the connection that the last beat came on */
    pcl_transit transit; /* of the peer's present boot */
};

/* The owner is told in the name that it knows. */
static void s_on_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                        uint64_t now_us)
{
    pcl_link *self = context;
    if (self->unsent != NULL) {
        self->unsent(self->unsent_context, peer, head, why, now_us);
    }
}

pcl_link *pcl_link_new(const pcl_socket_options *options, const char *name, uint64_t boot_id,
                       uint64_t seed, char *error, size_t error_size)
{
    assert(options != NULL && name != NULL && error != NULL);
    assert(strlen(name) <= PCL_NAME_SIZE_MAX);
    pcl_link *self = calloc(1, sizeof *self);
    if (self == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    self->socket = pcl_socket_dealer(options, error, error_size);
    if (self->socket == NULL) {
        free(self);
        return NULL;
    }
    pcl_hop_inbox_init(&self->inbox, self->socket, false);
    self->outbox = pcl_hop_outbox_new(self->socket, s_on_unsent, self);
    if (strncmp(options->endpoint, "tcp://", 6) == 0) {
        self->endpoint = strdup(options->endpoint);
        assert(self->endpoint != NULL); /* start-up */
    }
    snprintf(self->name, sizeof self->name, "%s", name);
    self->boot_id = boot_id;
    self->rng = pcl_rng_from_seed(seed);
    return self;
}

void pcl_link_destroy(pcl_link **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        if ((*self_p)->watch != NULL) {
            pcl_socket_unwatch((*self_p)->socket, &(*self_p)->watch);
        }
        pcl_hop_outbox_destroy(&(*self_p)->outbox);
        pcl_hop_inbox_release(&(*self_p)->inbox);
        zsock_destroy(&(*self_p)->socket);
        free((*self_p)->endpoint);
        free(*self_p);
        *self_p = NULL;
    }
}

zsock_t *pcl_link_socket(pcl_link *self)
{
    assert(self != NULL);
    return self->socket;
}

void pcl_link_be_patient(pcl_link *self)
{
    assert(self != NULL);
    self->liveness.patient = self->endpoint != NULL;
}

void pcl_link_on_unsent(pcl_link *self, pcl_hop_outbox_unsent *unsent, void *context)
{
    assert(self != NULL);
    self->unsent = unsent;
    self->unsent_context = context;
}

void pcl_link_lend(pcl_link *self)
{
    assert(self != NULL);
    pcl_hop_inbox_lend(&self->inbox);
}

pcl_hop_recv_result pcl_link_recv(pcl_link *self, pcl_hop_message *out_message)
{
    assert(self != NULL);
    return pcl_hop_recv(&self->inbox, out_message);
}

zsock_t *pcl_link_watch(pcl_link *self, char *error, size_t error_size)
{
    assert(self != NULL && self->watch == NULL);
    self->watch = pcl_socket_watch(self->socket, error, error_size);
    return self->watch;
}

/* true: the connection ended, and pcl_link_cut has not been asked since. */
static bool s_is_cut(const pcl_link *self)
{
    return self->watch != NULL && (zsock_events(self->watch) & ZMQ_POLLIN) != 0;
}

/* What has not left for a peer that is lost must not reach the one that comes after it. */
static pcl_link_event s_note(pcl_link *self, pcl_link_event event, uint64_t now_us)
{
    if (event == PCL_LINK_LOST || event == PCL_LINK_REPLACED) {
        pcl_hop_outbox_drop(self->outbox, now_us);
    }
    return event;
}

pcl_link_event pcl_link_cut(pcl_link *self, uint64_t now_us)
{
    assert(self != NULL && self->watch != NULL);
    pcl_frames message;
    bool cut = false;
    while (pcl_frames_recv(&message, self->watch) == PCL_RECV_MESSAGE) {
        pcl_frames_close(&message); /* only one kind of event is watched */
        cut = true;
    }
    if (!cut) {
        return PCL_LINK_NOTHING;
    }
    self->beat_due_us = 0;
    self->in_turn = false;
    return s_note(self, pcl_liveness_cut(&self->liveness), now_us);
}

pcl_link_state pcl_link_state_now(const pcl_link *self)
{
    assert(self != NULL);
    return self->liveness.state;
}

/* PING, PONG and BEAT: who we are, and since which start. */
static pcl_head s_head_of(const pcl_link *self, pcl_kind kind, uint64_t now_us)
{
    pcl_head head = {.kind = kind, .sent_us = now_us, .principal = pcl_bytes_text(self->name)};
    pcl_head_set_boot_id(&head, self->boot_id);
    return head;
}

/* At once, and whether that went well is known; behind what was gathered before. */
static pcl_err s_send_now(pcl_link *self, const pcl_head *head, zmq_msg_t *tail, uint64_t now_us)
{
    pcl_link_flush(self, now_us);
    return pcl_hop_send(self->socket, NULL, head, NULL, tail);
}

static pcl_err s_send_word(pcl_link *self, pcl_kind kind, uint64_t ticket, uint64_t now_us)
{
    pcl_head head = s_head_of(self, kind, now_us);
    head.ticket = ticket;
    return s_send_now(self, &head, NULL, now_us);
}

static pcl_err s_send_report(pcl_link *self, uint64_t ticket, uint64_t now_us,
                             const pcl_report *report)
{
    pcl_head head = s_head_of(self, PCL_KIND_BEAT, now_us);
    head.ticket = ticket;
    head.flags = report->state == PCL_NODE_DRAIN ? PCL_HEAD_DRAINING : 0;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t tail;
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_report_encode(report, octets)));
    pcl_err err = s_send_now(self, &head, &tail, now_us);
    zmq_msg_close(&tail);
    return err;
}

static pcl_err s_send_beat(pcl_link *self, uint64_t now_us, const pcl_report *report)
{
    return report != NULL ? s_send_report(self, 0, now_us, report)
                          : s_send_word(self, PCL_KIND_PING, 0, now_us);
}

void pcl_link_beat(pcl_link *self, uint64_t now_us, const pcl_report *report)
{
    assert(self != NULL);
    (void)!s_send_beat(self, now_us, report); /* the next one says the same */
}

void pcl_link_answer(pcl_link *self, const pcl_head *ping, uint64_t now_us,
                     const pcl_report *report)
{
    assert(self != NULL && ping != NULL);
    (void)!(report != NULL ? s_send_report(self, ping->ticket, now_us, report)
                           : s_send_word(self, PCL_KIND_PONG, ping->ticket, now_us));
}

/* After a beat: the interval, 20% more or less, so that neighbours do not fall into step.  Those
 * who have all lost the same peer find it again at the same moment: there the phase is drawn anew.
 */
static uint64_t s_interval_us(pcl_link *self)
{
    const uint32_t interval_us = PCL_BEAT_INTERVAL_MS * (uint32_t)PCL_US_PER_MS;
    if (!self->in_turn) {
        self->in_turn = true;
        return 1 + pcl_rng_below(&self->rng, interval_us);
    }
    return interval_us * 8 / 10 + pcl_rng_below(&self->rng, interval_us * 4 / 10 + 1);
}

/* A peer that only is silent keeps its connection, and all that is on its way there: as long as
 * there is one, beats can be sent. */
static void s_redial(pcl_link *self, uint64_t now_us)
{
    bool due = self->unsent_since_us != 0 &&
               pcl_time_since_us(self->unsent_since_us, now_us) >= REDIAL_US;
    if (due && self->endpoint != NULL && self->liveness.state == PCL_LINK_DOWN) {
        /* Neither can fail in a way that trying again later would not mend. */
        (void)zsock_disconnect(self->socket, "%s", self->endpoint);
        (void)zsock_connect(self->socket, "%s", self->endpoint);
        self->unsent_since_us = now_us;
    }
}

/* Asked of the kernel in silence only.  A beat waits behind the message that its sender is at. */
static void s_note_flow(pcl_link *self)
{
    bool silent = self->liveness.silent_us >= 2 * PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS;
    if (silent && self->liveness.state != PCL_LINK_DOWN &&
        pcl_tcp_flow_moves(&self->flow, PCL_BEAT_INTERVAL_MS)) {
        (void)pcl_liveness_heard(&self->liveness, PCL_WORD_ANY, 0, false); /* NOTHING */
    }
}

pcl_link_event pcl_link_tick(pcl_link *self, uint64_t now_us, const pcl_report *report)
{
    assert(self != NULL);
    if (now_us >= self->beat_due_us) {
        bool sent = s_send_beat(self, now_us, report) == PCL_ERR_OK;
        self->in_turn = self->in_turn && sent;
        self->beat_due_us = now_us + (sent ? s_interval_us(self) : RETRY_US);
        if (sent || self->unsent_since_us == 0) {
            self->unsent_since_us = sent ? 0 : now_us;
        }
    }
    s_note_flow(self);
    pcl_link_event event = s_note(self, pcl_liveness_look(&self->liveness, now_us), now_us);
    s_redial(self, now_us);
    return event;
}

static pcl_word s_word_of(pcl_kind kind)
{
    switch (kind) {
    case PCL_KIND_BEAT:
    case PCL_KIND_PING:
    case PCL_KIND_PONG:
        return PCL_WORD_BEAT;
    case PCL_KIND_BYE:
        return PCL_WORD_BYE;
    case PCL_KIND_REQUEST:
    case PCL_KIND_REPLY:
    case PCL_KIND_CANCEL:
    case PCL_KIND_RELEASE:
    case PCL_KIND_TOPOLOGY:
    case PCL_KIND_LIMIT:
        break;
    }
    return PCL_WORD_ANY;
}

pcl_link_event pcl_link_heard(pcl_link *self, const pcl_head *head, uint64_t now_us,
                              uint64_t *out_wait_us)
{
    assert(self != NULL && head != NULL);
    pcl_word word = s_word_of(head->kind);
    uint64_t boot_id = word == PCL_WORD_ANY ? 0 : pcl_head_boot_id(head);
    if (word != PCL_WORD_ANY && boot_id != self->liveness.boot_id) {
        self->transit = (pcl_transit){0}; /* another process, perhaps another clock */
    }
    if (word != PCL_WORD_ANY) {
        pcl_tcp_flow_note(&self->flow, pcl_socket_frame_fd(pcl_hop_inbox_frame(&self->inbox)));
    }
    pcl_link_event event = pcl_liveness_heard(&self->liveness, word, boot_id,
                                              (head->flags & PCL_HEAD_DRAINING) != 0);
    uint64_t wait_us = pcl_transit_wait_us(&self->transit, head->sent_us, now_us);
    if (out_wait_us != NULL) {
        *out_wait_us = wait_us;
    }
    return s_note(self, event, now_us);
}

/* It has no connection, or nobody reads it. */
static bool s_is_off(const pcl_link *self)
{
    return self->liveness.state == PCL_LINK_DOWN || s_is_cut(self);
}

void pcl_link_flush(pcl_link *self, uint64_t now_us)
{
    assert(self != NULL);
    pcl_hop_outbox_flush(self->outbox, now_us);
    if (pcl_hop_outbox_count(self->outbox) > 0 && s_is_off(self)) {
        pcl_hop_outbox_drop(self->outbox, now_us);
    }
}

uint32_t pcl_link_unsent_count(const pcl_link *self)
{
    assert(self != NULL);
    return pcl_hop_outbox_count(self->outbox);
}

pcl_err pcl_link_send(pcl_link *self, pcl_head *head, zmq_msg_t *payload, zmq_msg_t *tail,
                      uint64_t now_us)
{
    assert(self != NULL && head != NULL);
    pcl_link_state state = self->liveness.state;
    if ((head->kind == PCL_KIND_REQUEST && state != PCL_LINK_UP) ||
        (head->kind == PCL_KIND_CANCEL && state == PCL_LINK_DOWN)) {
        return PCL_ERR_UNAVAILABLE;
    }
    head->sent_us = now_us;
    pcl_err err = pcl_hop_outbox_send(self->outbox, NULL, head, payload, tail);
    return err == PCL_ERR_OVERLOADED && s_is_off(self) ? PCL_ERR_UNAVAILABLE : err;
}
