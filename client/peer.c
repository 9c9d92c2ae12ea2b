#include "client/peer.h"

#include "common/clock.h"
#include "common/limits.h"
#include "net/time.h"
#include "wire/packed.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* zmq.h of libzmq 4.3 shows this one to draft builds only, yet every build has it. */
#ifndef ZMQ_METADATA
#define ZMQ_METADATA 95
#endif

/* A reply and what its frame may have around it. */
#define MESSAGE_SIZE_MAX (PCL_REPLY_SIZE_MAX + 4096u)

enum {
    /* These three are up to half as much longer, by lot (s_spread): thousands of clients that a
     * gatekeeper has lost at once are not to come back at once, nor to give up at once and begin
     * anew while it works on all of them. */
    HANDSHAKE_MS = 3000,
    RECONNECT_MS = 50,
    RECONNECT_MS_MAX = 400,
    HEARTBEAT_MS = 500,
    HEARTBEAT_MS_MAX = 10000,
    /* What heartbeats mean: the gatekeeper ends the connection of a process that stands still for
     * so many of them (RFC 1, section 2.2).  ZMQ_HEARTBEAT_TTL says the same, and costs a
     * gatekeeper with thousands of clients more than their requests. */
    SILENCE_BEATS = 6,
    /* The answer to a heartbeat waits behind the reply that is on its way: one of 17 MiB, which is
     * the longest, is not to end its own connection where 30 Mbit/s are to be had. */
    TIMEOUT_BEATS = 10,
    UNACKNOWLEDGED_MS = 3000, /* a host that vanished ends its connection by it */
    /* After a refusal.  The longest is no longer than a request waits for a connection, unless it
     * was told otherwise: it sees whether the key is admitted meanwhile. */
    REDIAL_MS = 1000,
    REDIAL_MS_MAX = 2000,
    /* Without any word of libzmq's; more than a handshake may take. */
    QUIET_MS = 5000,
    /* Without HANDSHAKE_FAILED_PROTOCOL: libzmq 4.3 loses errno in telling of it, and then keeps a
     * connection open whose peer broke the protocol. */
    EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
             ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL,
};

struct pcl_peer {
    void *socket;  /* DEALER */
    void *monitor; /* PAIR; NULL while not made */
    int fd, monitor_fd;
    char endpoint[PCL_BUNDLE_ENDPOINT_SIZE_MAX + 1];
    const char *why; /* static text */
    bool up;
    bool refused; /* the last event said why, and the end of the connection follows it */
    bool retired; /* it said that it shuts down, on this connection */
    bool strange; /* it sent what is not of the protocol, likewise */
    uint64_t generation;
    uint32_t redial_ms; /* after the next refusal, at most */
    uint64_t redial_due_us;
    pcl_packed_writer staged; /* for the next flush */
    zmq_msg_t held;           /* a frame of several messages; always initialised */
    pcl_packed_reader left;   /* those of it that nobody has taken yet */
};

/* Who opens a channel, or drives it, has its signals, and libzmq ends what one comes into: EINTR
 * even of what does not wait.  Here that is done again, as nothing was done. */
#define AGAIN(rc, expression)                                                                      \
    do {                                                                                           \
        rc = (expression);                                                                         \
    } while (rc < 0 && zmq_errno() == EINTR)

static bool s_set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool s_get_int(void *socket, int option, int *out_value)
{
    size_t size = sizeof *out_value;
    int rc;
    AGAIN(rc, zmq_getsockopt(socket, option, out_value, &size));
    return rc == 0;
}

static int s_recv(zmq_msg_t *frame, void *socket)
{
    int rc;
    AGAIN(rc, zmq_msg_recv(frame, socket, ZMQ_DONTWAIT));
    return rc;
}

static int s_connect(void *socket, const char *endpoint)
{
    int rc;
    AGAIN(rc, zmq_connect(socket, endpoint));
    return rc;
}

static bool s_set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

static int s_spread(int ms)
{
    return ms + (int)(pcl_random_u64() % ((uint64_t)ms / 2));
}

/* On ipc the kernel does not tell a gatekeeper how long its peer has been silent; libzmq does, and
 * on one machine there are not so many clients that it would cost much. */
static bool s_promise(void *socket, const char *endpoint, int silence_ms)
{
    bool local = strncmp(endpoint, "ipc:", 4) == 0;
    char property[32];
    (void)snprintf(property, sizeof property, "X-Silence-Max-Ms:%d", silence_ms);
    return s_set_text(socket, ZMQ_METADATA, property) &&
           (!local || s_set_int(socket, ZMQ_HEARTBEAT_TTL, silence_ms));
}

static bool s_configure(void *socket, const pcl_peer_options *options)
{
    int64_t message_size_max = MESSAGE_SIZE_MAX;
    assert(options->heartbeat_ms <= HEARTBEAT_MS_MAX);
    int beat_ms = options->heartbeat_ms != 0 ? (int)options->heartbeat_ms : HEARTBEAT_MS;
    bool good = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_size_max,
                               sizeof message_size_max) == 0 &&
                s_set_int(socket, ZMQ_LINGER, 0) && s_set_int(socket, ZMQ_IMMEDIATE, 1) &&
                s_set_int(socket, ZMQ_SNDHWM, (int)options->queue_max) &&
                s_set_int(socket, ZMQ_RCVHWM, (int)options->queue_max) &&
                s_set_int(socket, ZMQ_HANDSHAKE_IVL, s_spread(HANDSHAKE_MS)) &&
                s_set_int(socket, ZMQ_HEARTBEAT_IVL, beat_ms) &&
                s_set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, TIMEOUT_BEATS * beat_ms) &&
                s_promise(socket, options->gatekeeper->endpoint, SILENCE_BEATS * beat_ms) &&
                s_set_int(socket, ZMQ_RECONNECT_IVL, s_spread(RECONNECT_MS)) &&
                s_set_int(socket, ZMQ_RECONNECT_IVL_MAX, s_spread(RECONNECT_MS_MAX)) &&
                s_set_int(socket, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS) &&
                s_set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    if (good && options->gatekeeper->public_key[0] != '\0') {
        good = s_set_text(socket, ZMQ_CURVE_PUBLICKEY, options->bundle->public_key) &&
               s_set_text(socket, ZMQ_CURVE_SECRETKEY, options->bundle->secret_key) &&
               s_set_text(socket, ZMQ_CURVE_SERVERKEY, options->gatekeeper->public_key);
    }
    return good;
}

static bool s_open(pcl_peer *self, void *context, const pcl_peer_options *options)
{
    self->socket = zmq_socket(context, ZMQ_DEALER);
    if (self->socket == NULL || !s_configure(self->socket, options)) {
        return false;
    }
    char name[64];
    (void)snprintf(name, sizeof name, "inproc://monitor-%p", self->socket);
    int rc;
    AGAIN(rc, zmq_socket_monitor(self->socket, name, EVENTS));
    if (rc != 0) {
        return false;
    }
    self->monitor = zmq_socket(context, ZMQ_PAIR);
    return self->monitor != NULL && s_set_int(self->monitor, ZMQ_LINGER, 0) &&
           s_get_int(self->socket, ZMQ_FD, &self->fd) &&
           s_get_int(self->monitor, ZMQ_FD, &self->monitor_fd) &&
           s_connect(self->monitor, name) == 0 && s_connect(self->socket, self->endpoint) == 0;
}

pcl_peer *pcl_peer_new(void *context, const pcl_peer_options *options, char *error,
                       size_t error_size)
{
    pcl_peer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    pcl_packed_writer_init(&self->staged);
    (void)zmq_msg_init(&self->held);
    self->why = "not connected yet";
    self->redial_ms = REDIAL_MS;
    self->redial_due_us = pcl_now_us() + QUIET_MS * PCL_US_PER_MS;
    memcpy(self->endpoint, options->gatekeeper->endpoint, sizeof self->endpoint);
    if (!s_open(self, context, options)) {
        (void)snprintf(error, error_size, "%s: %s", self->endpoint, zmq_strerror(zmq_errno()));
        pcl_peer_destroy(&self);
    }
    return self;
}

void pcl_peer_destroy(pcl_peer **self_p)
{
    assert(self_p != NULL);
    pcl_peer *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->socket != NULL) {
        (void)zmq_socket_monitor(self->socket, NULL, 0); /* fails only where there is none */
    }
    if (self->monitor != NULL) {
        (void)zmq_close(self->monitor);
    }
    if (self->socket != NULL) {
        (void)zmq_close(self->socket);
    }
    pcl_packed_writer_release(&self->staged);
    (void)zmq_msg_close(&self->held);
    free(self);
    *self_p = NULL;
}

void *pcl_peer_socket(pcl_peer *self)
{
    return self->socket;
}

void *pcl_peer_monitor(pcl_peer *self)
{
    return self->monitor;
}

int pcl_peer_fd(const pcl_peer *self)
{
    return self->fd;
}

int pcl_peer_monitor_fd(const pcl_peer *self)
{
    return self->monitor_fd;
}

bool pcl_peer_is_ready(pcl_peer *self, bool sends)
{
    int events = 0;
    return s_get_int(self->socket, ZMQ_EVENTS, &events) &&
           (events & (ZMQ_POLLIN | (sends ? ZMQ_POLLOUT : 0))) != 0;
}

const char *pcl_peer_endpoint(const pcl_peer *self)
{
    return self->endpoint;
}

const char *pcl_peer_why(const pcl_peer *self)
{
    return self->why;
}

bool pcl_peer_is_up(const pcl_peer *self)
{
    return self->up && !self->retired;
}

uint64_t pcl_peer_generation(const pcl_peer *self)
{
    return self->generation;
}

bool pcl_peer_is_connected(const pcl_peer *self, uint64_t generation)
{
    return self->up && self->generation == generation;
}

bool pcl_peer_is_strange(const pcl_peer *self)
{
    return self->strange;
}

void pcl_peer_retire(pcl_peer *self)
{
    self->retired = true;
    self->why = "it is shutting down";
}

/* When to connect anew if libzmq does not. */
static void s_plan_redial(pcl_peer *self, uint32_t event, uint64_t now_us)
{
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        self->redial_ms = REDIAL_MS;
        self->redial_due_us = UINT64_MAX;
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        /* Up to a quarter sooner, so that clients that were refused together do not stay so. */
        uint32_t sooner_ms = (uint32_t)(pcl_random_u64() % (self->redial_ms / 4));
        self->redial_due_us = now_us + (self->redial_ms - sooner_ms) * PCL_US_PER_MS;
        self->redial_ms = REDIAL_MS_MAX;
    } else if (!self->refused) { /* else the end of the refused connection, which says no more */
        self->redial_due_us = now_us + QUIET_MS * PCL_US_PER_MS;
    }
}

/* What an event means; true: the connection is gone. */
static bool s_event(pcl_peer *self, uint32_t event, uint64_t now_us)
{
    bool was_up = self->up;
    bool refused = event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
                   event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    s_plan_redial(self, event, now_us);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        self->why = "connected";
        self->up = true;
        self->retired = false;
        self->strange = false;
        self->generation++;
        return was_up; /* only if it came up in the moment when it was connected anew */
    }
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        self->why = "the gatekeeper refuses this client's key";
    } else if (refused) {
        self->why = "the handshake failed (is the gatekeeper's public key still the same?)";
    } else if (event == ZMQ_EVENT_DISCONNECTED && !self->refused) {
        self->why = "the connection was lost";
    } else if (!was_up && event == ZMQ_EVENT_CLOSED) {
        self->why = "connection refused";
    }
    self->refused = refused;
    self->up = false;
    return was_up;
}

/* One event, as the first frame of a monitor's message has it: number and value in the host's
 * order.  false: none waits. */
static bool s_next_event(pcl_peer *self, uint32_t *out_event)
{
    zmq_msg_t frame;
    (void)zmq_msg_init(&frame);
    if (s_recv(&frame, self->monitor) < 0) {
        (void)zmq_msg_close(&frame);
        return false;
    }
    uint16_t event = 0;
    if (zmq_msg_size(&frame) >= sizeof event) {
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
    }
    while (zmq_msg_more(&frame)) { /* the endpoint, which we know */
        if (s_recv(&frame, self->monitor) < 0) {
            break;
        }
    }
    (void)zmq_msg_close(&frame);
    *out_event = event;
    return true;
}

bool pcl_peer_notice(pcl_peer *self, uint64_t now_us)
{
    bool lost = false;
    uint32_t event = 0;
    while (s_next_event(self, &event)) {
        lost = s_event(self, event, now_us) || lost;
    }
    if (now_us >= self->redial_due_us) {
        /* Neither can fail in a way that trying again later would not mend. */
        int rc;
        AGAIN(rc, zmq_disconnect(self->socket, self->endpoint)); /* or there would be two */
        (void)s_connect(self->socket, self->endpoint);
        self->redial_due_us = now_us + QUIET_MS * PCL_US_PER_MS;
    }
    return lost;
}

uint64_t pcl_peer_redial_due_us(const pcl_peer *self)
{
    return self->redial_due_us;
}

/* Closes the frame. */
static bool s_send_frame(pcl_peer *self, zmq_msg_t *frame, int flags)
{
    int rc;
    AGAIN(rc, zmq_msg_send(frame, self->socket, ZMQ_DONTWAIT | flags));
    (void)zmq_msg_close(frame); /* empty where it was sent */
    return rc >= 0;
}

static pcl_bytes s_octets(zmq_msg_t *message)
{
    return pcl_bytes_of(zmq_msg_data(message), zmq_msg_size(message));
}

/* false: memory is out. */
static bool s_copy(zmq_msg_t *target, pcl_bytes octets)
{
    if (zmq_msg_init_size(target, octets.size) != 0) {
        (void)zmq_msg_init(target);
        return false;
    }
    if (octets.size > 0) {
        memcpy(zmq_msg_data(target), octets.data, octets.size);
    }
    return true;
}

/* In two frames. */
static bool s_send_apart(pcl_peer *self, uint64_t ticket, pcl_bytes payload, pcl_bytes seal)
{
    uint8_t head[PCL_PACKED_HEAD_MAX];
    size_t head_size = pcl_packed_write_head(ticket, seal, head);
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, head_size) != 0) {
        return false;
    }
    memcpy(zmq_msg_data(&frame), head, head_size);
    if (!s_send_frame(self, &frame, ZMQ_SNDMORE)) {
        return false;
    }
    /* A connection can end between two frames.  libzmq then refuses the frame and silently drops
     * what follows up to the message's last frame: that one must be offered all the same, or it
     * would swallow the next request instead. */
    bool copied = s_copy(&frame, payload); /* if not, nothing is what is offered */
    return s_send_frame(self, &frame, 0) && copied;
}

/* Small ones go in one frame: each costs the same at every end. */
pcl_peer_send_result pcl_peer_send(pcl_peer *self, uint64_t ticket, pcl_bytes payload,
                                   pcl_bytes seal)
{
    if (payload.size > PCL_PEER_STAGED_SIZE_MAX || payload.size == 0) {
        return s_send_apart(self, ticket, payload, seal) ? PCL_PEER_SENT : PCL_PEER_FULL;
    }
    if (pcl_packed_writer_add(&self->staged, ticket, seal, payload)) {
        return PCL_PEER_STAGED;
    }
    return self->staged.count > 0 ? PCL_PEER_ROOM : PCL_PEER_FULL; /* FULL: memory is out */
}

bool pcl_peer_flush(pcl_peer *self)
{
    if (self->staged.count == 0) {
        return true;
    }
    pcl_bytes octets = pcl_packed_writer_frame(&self->staged);
    zmq_msg_t frame;
    bool sent = s_copy(&frame, octets) && s_send_frame(self, &frame, 0);
    pcl_packed_writer_clear(&self->staged);
    return sent;
}

/* The rest of a message, unread. */
static void s_skip(void *socket)
{
    zmq_msg_t frame;
    (void)zmq_msg_init(&frame);
    int more = 0;
    size_t size = sizeof more;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more != 0 &&
           s_recv(&frame, socket) >= 0) {
    }
    (void)zmq_msg_close(&frame);
}

/* The parts that are in the frame.  false: memory is out, there is nothing to close. */
static bool s_take(const pcl_packed *packed, pcl_peer_message *out_message)
{
    out_message->ticket = packed->tag;
    out_message->seal = packed->seal;
    return s_copy(&out_message->payload, packed->payload);
}

/* Of the frame that is held, and of the one behind it where that is the payload.  false: it is not
 * of the protocol; there is nothing to close. */
static bool s_unpack(pcl_peer *self, pcl_peer_message *out_message)
{
    pcl_packed packed;
    bool more = zmq_msg_more(&self->held) != 0;
    if (!pcl_packed_read(&packed, s_octets(&self->held)) || more != (packed.payload.size == 0) ||
        !s_take(&packed, out_message)) {
        return false;
    }
    if (more &&
        (s_recv(&out_message->payload, self->socket) <= 0 || zmq_msg_more(&out_message->payload))) {
        (void)zmq_msg_close(&out_message->payload);
        return false;
    }
    return true;
}

/* The next message of the frame that is held.  false: that has none any more. */
static bool s_next(pcl_peer *self, pcl_peer_message *out_message)
{
    pcl_packed packed;
    while (pcl_packed_next(&self->left, &packed)) {
        if (s_take(&packed, out_message)) {
            return true;
        } /* else memory is out, and the request ends at its deadline */
    }
    return false;
}

pcl_peer_recv_result pcl_peer_recv(pcl_peer *self, pcl_peer_message *out_message)
{
    if (s_next(self, out_message)) {
        return PCL_PEER_MESSAGE;
    }
    if (s_recv(&self->held, self->socket) < 0) { /* what was held before is used up, or closed */
        return PCL_PEER_NONE;
    }
    bool many = zmq_msg_more(&self->held) == 0 &&
                pcl_packed_open(&self->left, s_octets(&self->held));
    bool good = many ? s_next(self, out_message) : s_unpack(self, out_message);
    if (!good) {
        self->strange = true;
        s_skip(self->socket);
    }
    return good ? PCL_PEER_MESSAGE : PCL_PEER_DROPPED;
}
