#include "bench/scale/crowd.h"

#include "bench/driver/arrivals.h"
#include "bench/scale/ready.h"
#include "client/peer.h"
#include "client/sealer.h"
#include "common/clock.h"
#include "common/ticket_table.h"
#include "net/time.h"
#include "wire/mp.h"
#include "wire/reply.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Clients that shake hands at the same time: more would wait for one another. */
#define STEP             64u
#define CONNECT_US       (60 * PCL_US_PER_S)
#define LOOK_US          (20 * PCL_US_PER_MS) /* at whose turn it is to connect anew */
#define GRACE_US         PCL_US_PER_S         /* after a deadline, for the reply that says so */
#define QUEUE_MAX        64u
#define REQUEST_SIZE_MAX 1024u
#define ROWS             10000u /* that the statement may ask for */
#define PENDING_MAX      262144u
#define ROUNDS           3u /* tries to have an answer */
/* libzmq's thread walks through its timers to take one out, and each connection has some, of which
 * one is taken out with every heartbeat: with thousands to a thread nothing else would be done. */
#define THREAD_CLIENTS   128u
#define TAG_CALLER       UINT64_MAX /* of the descriptor that the caller waits for */

static const char STATEMENT[] = "SELECT c FROM sbtest1 WHERE id = ?";

typedef struct client {
    pcl_peer *peer;
    pcl_sealer sealer;
    pcl_seal_key key;
    bool known; /* it has had an answer */
} client;

/* A request that has no answer yet. */
typedef struct pending {
    uint32_t client;
    uint64_t due_us;
    pcl_seal_mark mark;
    uint8_t id[PCL_ID_SIZE];
} pending;

struct pcl_crowd {
    void *context;
    pcl_ready *ready;
    pcl_ticket_table *table; /* of pending */
    client *clients;
    uint32_t count;
    uint32_t capacity;
    uint32_t timeout_ms;
    uint32_t heartbeat_ms;
    const pcl_identity *identities; /* borrowed */
    uint32_t identity_count;
    pcl_bundle bundle; /* how all connect; the keys are those of the client that was made last */
    bool seals;
    pcl_rng rng;
    pcl_buffer buffer; /* of the request that is being made */
    /* Of the present run: */
    const pcl_crowd_load *load;
    pcl_crowd_outcome *outcome;
    uint64_t warm_us; /* what is due before is not counted */
    uint64_t end_us;  /* nothing is due from here on */
    uint32_t owed;    /* requests of a closed loop that are to be sent */
    uint64_t looked_us;
    int caller_fd; /* -1: none is waited for */
    bool called;   /* it can be read */
};

/* --- Requests -------------------------------------------------------------------- */

static bool s_counts(const pcl_crowd *self, uint64_t due_us)
{
    return self->outcome != NULL && due_us >= self->warm_us;
}

static void s_fail(pcl_crowd *self, uint64_t due_us, uint32_t why)
{
    if (s_counts(self, due_us)) {
        self->outcome->failures[why < PCL_CROWD_FAILURES_MAX ? why : PCL_CROWD_STRANGE]++;
    }
}

static void s_encode(pcl_crowd *self, const pending *entry, zmq_msg_t *out_payload)
{
    uint8_t octets[16];
    pcl_buffer params;
    pcl_buffer_init(&params, sizeof octets);
    pcl_mp_put_array(&params, 1);
    pcl_mp_put_uint(&params, 1 + pcl_rng_below(&self->rng, ROWS));
    pcl_request request = {
        .has_id = true,
        .sql = pcl_bytes_text(STATEMENT),
        .params = pcl_buffer_bytes(&params),
        .param_count = 1,
        .strategy = self->load != NULL ? self->load->strategy : PCL_STRATEGY_DEFAULT,
        .timeout_ms = self->timeout_ms,
    };
    memcpy(request.id, entry->id, sizeof request.id);
    pcl_buffer_clear(&self->buffer);
    pcl_request_encode(&request, &self->buffer);
    pcl_buffer_release(&params);
    assert(!self->buffer.failed);
    int rc = zmq_msg_init_size(out_payload, self->buffer.size);
    assert(rc == 0);
    memcpy(zmq_msg_data(out_payload), self->buffer.data, self->buffer.size);
}

static void s_draw_id(pcl_crowd *self, uint8_t out_id[PCL_ID_SIZE])
{
    uint64_t words[PCL_ID_SIZE / sizeof(uint64_t)];
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        words[index] = pcl_rng_next(&self->rng);
    }
    memcpy(out_id, words, PCL_ID_SIZE);
}

static void s_send(pcl_crowd *self, uint32_t number, uint64_t due_us)
{
    client *one = &self->clients[number];
    uint64_t ticket = 0;
    uint64_t timeout_us = self->timeout_ms * PCL_US_PER_MS;
    if (s_counts(self, due_us)) {
        self->outcome->requests++;
        pcl_histogram_note(&self->outcome->late_us, pcl_time_since_us(due_us, pcl_now_us()));
    }
    pending *entry = pcl_ticket_table_add(self->table, due_us + timeout_us + GRACE_US, &ticket);
    if (entry == NULL) {
        s_fail(self, due_us, PCL_CROWD_SILENCE);
        return;
    }
    entry->client = number;
    entry->due_us = due_us;
    s_draw_id(self, entry->id);
    zmq_msg_t payload;
    s_encode(self, entry, &payload);
    uint8_t seal[PCL_SEAL_SIZE];
    pcl_bytes octets = pcl_bytes_of(zmq_msg_data(&payload), zmq_msg_size(&payload));
    if (self->seals) {
        entry->mark = pcl_sealer_seal(&one->sealer, pcl_peer_generation(one->peer), &one->key,
                                      octets, seal);
    }
    pcl_peer_send_result sent = pcl_peer_send(one->peer, ticket, octets,
                                              pcl_bytes_of(seal, self->seals ? sizeof seal : 0));
    /* Each by itself: a simulated client is one of thousands that know nothing of each other. */
    if (sent == PCL_PEER_FULL || !pcl_peer_flush(one->peer)) {
        pcl_ticket_table_remove(self->table, ticket);
        s_fail(self, due_us, PCL_CROWD_SILENCE);
    }
    (void)zmq_msg_close(&payload);
}

/* --- Replies --------------------------------------------------------------------- */

static uint32_t s_code(pcl_bytes text)
{
    for (int code = 0; code < PCL_ERR_COUNT; code++) {
        if (pcl_bytes_is(text, pcl_err_code(code))) {
            return (uint32_t)code;
        }
    }
    return PCL_CROWD_STRANGE;
}

/* PCL_ERR_OK, or why it counts as failed. */
static uint32_t s_judge(const pcl_crowd *self, const pending *entry, pcl_peer_message *message)
{
    pcl_bytes octets = pcl_bytes_of(zmq_msg_data(&message->payload),
                                    zmq_msg_size(&message->payload));
    pcl_reply reply;
    if (pcl_reply_decode(&reply, octets) != PCL_ERR_OK || !reply.has_id ||
        memcmp(reply.id, entry->id, sizeof reply.id) != 0) {
        return PCL_CROWD_STRANGE;
    }
    if (!reply.ok) {
        return s_code(reply.error_code);
    }
    if (self->seals && pcl_sealer_fault(entry->mark, &self->clients[entry->client].key,
                                        message->seal, octets) != NULL) {
        return PCL_ERR_FORGED;
    }
    return reply.row_count == 1 ? PCL_ERR_OK : PCL_CROWD_STRANGE;
}

static void s_take(pcl_crowd *self, pcl_peer_message *message)
{
    pending *entry = pcl_ticket_table_find(self->table, message->ticket);
    if (entry == NULL) {
        return; /* of a request that was given up */
    }
    uint32_t code = s_judge(self, entry, message);
    uint64_t now_us = pcl_now_us();
    client *one = &self->clients[entry->client];
    one->known = one->known || code == PCL_ERR_OK;
    if (code != PCL_ERR_OK) {
        s_fail(self, entry->due_us, code);
    } else if (s_counts(self, entry->due_us)) {
        self->outcome->ok++;
        pcl_histogram_note(&self->outcome->latency_us, pcl_time_since_us(entry->due_us, now_us));
    }
    pcl_ticket_table_remove(self->table, message->ticket);
    self->owed++;
}

/* Until nothing waits there: see ready.h. */
static void s_drain(pcl_crowd *self, uint32_t number)
{
    pcl_peer_message message;
    pcl_peer_recv_result result = PCL_PEER_NONE;
    while ((result = pcl_peer_recv(self->clients[number].peer, &message)) != PCL_PEER_NONE) {
        if (result == PCL_PEER_MESSAGE) {
            s_take(self, &message);
            (void)zmq_msg_close(&message.payload);
        }
    }
}

/* What is not answered in time is given up. */
static void s_expire(pcl_crowd *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    const pending *entry = NULL;
    while ((entry = pcl_ticket_table_due(self->table, now_us, &ticket)) != NULL) {
        s_fail(self, entry->due_us, PCL_CROWD_SILENCE);
        pcl_ticket_table_remove(self->table, ticket);
        self->owed++;
    }
}

/* In a closed loop each request that has ended makes room for one of anybody. */
static void s_repay(pcl_crowd *self)
{
    bool closed = self->load != NULL && self->load->rate <= 0;
    uint64_t now_us = 0;
    while (closed && self->owed > 0 && (now_us = pcl_now_us()) < self->end_us) {
        uint32_t number = pcl_rng_below(&self->rng, self->count);
        self->owed--;
        s_send(self, number, now_us);
        s_drain(self, number);
    }
    self->owed = 0;
}

/* Whose connection was lost, or could not be made, is connected anew as the library does. */
static void s_look(pcl_crowd *self, uint64_t now_us)
{
    if (pcl_time_since_us(self->looked_us, now_us) < LOOK_US) {
        return;
    }
    self->looked_us = now_us;
    for (uint32_t number = 0; number < self->count; number++) {
        if (now_us >= pcl_peer_redial_due_us(self->clients[number].peer)) {
            (void)pcl_peer_notice(self->clients[number].peer, now_us); /* silence tells, too */
        }
    }
}

/* A client has two descriptors: tags are twice its number, and one more for its monitor. */
static void s_wait(pcl_crowd *self, uint64_t until_us)
{
    uint64_t tags[PCL_READY_MAX];
    uint64_t look_us = self->looked_us + LOOK_US;
    uint32_t count = pcl_ready_wait(self->ready, until_us < look_us ? until_us : look_us, tags);
    for (uint32_t index = 0; index < count; index++) {
        uint32_t number = (uint32_t)(tags[index] / 2);
        if (tags[index] == TAG_CALLER) {
            self->called = true;
        } else if (tags[index] % 2 == 0) {
            s_drain(self, number);
        } else {
            (void)pcl_peer_notice(self->clients[number].peer, pcl_now_us()); /* silence tells */
        }
    }
    uint64_t now_us = pcl_now_us();
    s_look(self, now_us);
    s_expire(self, now_us);
    s_repay(self);
}

/* Until all is answered or given up. */
static void s_settle(pcl_crowd *self)
{
    while (pcl_ticket_table_count(self->table) > 0) {
        s_wait(self, pcl_ticket_table_next_deadline_us(self->table));
    }
}

/* --- Connecting ------------------------------------------------------------------- */

static bool s_why(char *error, size_t error_size, uint32_t number, const char *why)
{
    (void)snprintf(error, error_size, "client %u: %s", number, why);
    return false;
}

static bool s_listen(pcl_crowd *self, void *socket, uint64_t tag)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 && pcl_ready_add(self->ready, fd, tag);
}

static bool s_add(pcl_crowd *self, char *error, size_t error_size)
{
    uint32_t number = self->count;
    const pcl_identity *identity = &self->identities[number % self->identity_count];
    memcpy(self->bundle.public_key, identity->keys.public_key, PCL_KEY_TEXT_SIZE);
    memcpy(self->bundle.secret_key, identity->keys.secret_key, PCL_KEY_TEXT_SIZE);
    pcl_peer_options options = {.gatekeeper = &self->bundle.gatekeepers[0],
                                .bundle = &self->bundle,
                                .queue_max = QUEUE_MAX,
                                .heartbeat_ms = self->heartbeat_ms};
    client *one = &self->clients[number];
    if (self->seals && !pcl_seal_key_make(&one->key, true, identity->keys.secret_key,
                                          identity->keys.public_key, self->bundle.broker_key)) {
        return s_why(error, error_size, number, "its key cannot be used");
    }
    one->peer = pcl_peer_new(self->context, &options, error, error_size);
    if (one->peer == NULL) {
        return false;
    }
    self->count++;
    if (!s_listen(self, pcl_peer_socket(one->peer), 2 * (uint64_t)number) ||
        !s_listen(self, pcl_peer_monitor(one->peer), 2 * (uint64_t)number + 1)) {
        return s_why(error, error_size, number, "its sockets cannot be waited for");
    }
    /* A descriptor tells of what comes once its socket was found empty, and not before. */
    (void)pcl_peer_notice(one->peer, pcl_now_us());
    s_drain(self, number);
    return true;
}

/* Until all from this one on are connected. */
static bool s_shake_hands(pcl_crowd *self, uint32_t first, char *error, size_t error_size)
{
    uint64_t end_us = pcl_now_us() + CONNECT_US;
    for (uint32_t number = first; number < self->count;) {
        uint64_t now_us = pcl_now_us();
        if (pcl_peer_is_up(self->clients[number].peer)) {
            number++;
        } else if (now_us >= end_us) {
            return s_why(error, error_size, number, pcl_peer_why(self->clients[number].peer));
        } else {
            s_wait(self, end_us);
        }
    }
    return true;
}

static uint32_t s_strangers(const pcl_crowd *self, uint32_t first)
{
    uint32_t count = 0;
    for (uint32_t number = first; number < self->count; number++) {
        count += self->clients[number].known ? 0 : 1;
    }
    return count;
}

/* One request each, so that the gatekeeper knows all of them, and the broker; once more where a
 * connection was lost meanwhile, as may happen where nobody gets the processor. */
static bool s_introduce(pcl_crowd *self, uint32_t first, char *error, size_t error_size)
{
    for (uint32_t round = 0; round < ROUNDS && s_strangers(self, first) > 0; round++) {
        if (!s_shake_hands(self, first, error, error_size)) {
            return false;
        }
        for (uint32_t number = first; number < self->count; number++) {
            if (!self->clients[number].known) {
                s_send(self, number, pcl_now_us());
                s_drain(self, number);
            }
        }
        s_settle(self);
    }
    if (s_strangers(self, first) > 0) {
        (void)snprintf(error, error_size,
                       "%" PRIu32 " clients from number %" PRIu32 " on had no good answer",
                       s_strangers(self, first), first);
        return false;
    }
    return true;
}

bool pcl_crowd_connect(pcl_crowd *self, uint32_t count, char *error, size_t error_size)
{
    assert(self != NULL && count <= self->capacity);
    while (self->count < count) {
        uint32_t first = self->count;
        while (self->count < count && self->count < first + STEP) {
            if (!s_add(self, error, error_size)) {
                return false;
            }
        }
        if (!s_introduce(self, first, error, error_size)) {
            return false;
        }
    }
    return true;
}

void pcl_crowd_serve(pcl_crowd *self, int fd)
{
    assert(self != NULL && fd >= 0);
    if (fd != self->caller_fd) {
        bool added = pcl_ready_add(self->ready, fd, TAG_CALLER);
        assert(added); /* a descriptor of the caller's that can be waited for */
        self->caller_fd = fd;
    }
    for (self->called = false; !self->called;) {
        s_wait(self, UINT64_MAX);
    }
}

/* --- Load ------------------------------------------------------------------------- */

static void s_run_open(pcl_crowd *self, uint64_t start_us)
{
    pcl_arrivals arrivals = pcl_arrivals_of(PCL_ARRIVALS_POISSON, self->load->rate,
                                            pcl_rng_next(&self->rng));
    uint64_t due_us = start_us + pcl_arrivals_next_us(&arrivals);
    while (due_us < self->end_us) {
        uint64_t now_us = pcl_now_us();
        while (due_us <= now_us && due_us < self->end_us) {
            uint32_t number = pcl_rng_below(&self->rng, self->count);
            s_send(self, number, due_us);
            s_drain(self, number);
            due_us = start_us + pcl_arrivals_next_us(&arrivals);
        }
        s_wait(self, due_us < self->end_us ? due_us : self->end_us);
    }
}

static void s_run_closed(pcl_crowd *self)
{
    self->owed = self->load->in_flight;
    s_repay(self);
    while (pcl_now_us() < self->end_us) {
        uint64_t next_us = pcl_ticket_table_next_deadline_us(self->table);
        s_wait(self, next_us < self->end_us ? next_us : self->end_us);
    }
}

void pcl_crowd_run(pcl_crowd *self, const pcl_crowd_load *load, pcl_crowd_outcome *out_outcome)
{
    assert(self != NULL && self->count > 0);
    assert(load->rate > 0 || load->in_flight > 0);
    *out_outcome = (pcl_crowd_outcome){.seconds = load->seconds};
    uint64_t start_us = pcl_now_us();
    self->load = load;
    self->outcome = out_outcome;
    self->warm_us = start_us + (uint64_t)(load->warmup_seconds * 1e6);
    self->end_us = self->warm_us + (uint64_t)(load->seconds * 1e6);
    if (load->rate > 0) {
        s_run_open(self, start_us);
    } else {
        s_run_closed(self);
    }
    s_settle(self);
    self->load = NULL;
    self->outcome = NULL;
}

/* --- Life ------------------------------------------------------------------------- */

pcl_crowd *pcl_crowd_new(const pcl_crowd_options *options, char *error, size_t error_size)
{
    assert(options->capacity > 0 && options->identity_count > 0);
    pcl_crowd *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->caller_fd = -1;
    self->capacity = options->capacity;
    self->timeout_ms = options->timeout_ms;
    self->heartbeat_ms = options->heartbeat_ms;
    self->identities = options->identities;
    self->identity_count = options->identity_count;
    self->seals = options->broker_key[0] != '\0';
    self->rng = pcl_rng_from_seed(options->seed);
    self->bundle.gatekeeper_count = 1;
    (void)snprintf(self->bundle.gatekeepers[0].endpoint,
                   sizeof self->bundle.gatekeepers[0].endpoint, "%s", options->endpoint);
    (void)snprintf(self->bundle.gatekeepers[0].public_key,
                   sizeof self->bundle.gatekeepers[0].public_key, "%s", options->gatekeeper_key);
    (void)snprintf(self->bundle.broker_key, sizeof self->bundle.broker_key, "%s",
                   options->broker_key);
    pcl_buffer_init(&self->buffer, REQUEST_SIZE_MAX);
    self->ready = pcl_ready_new();
    self->context = zmq_ctx_new();
    self->clients = calloc(options->capacity, sizeof *self->clients);
    self->table = pcl_ticket_table_new(PENDING_MAX, sizeof(pending), options->seed);
    assert(self->clients != NULL && self->table != NULL);
    /* A client is a socket, the monitor's writer and its reader. */
    if (self->ready == NULL || self->context == NULL ||
        zmq_ctx_set(self->context, ZMQ_MAX_SOCKETS, (int)(3 * options->capacity + 16)) != 0 ||
        zmq_ctx_set(self->context, ZMQ_IO_THREADS, (int)(options->capacity / THREAD_CLIENTS + 1)) !=
            0) {
        (void)snprintf(error, error_size, "%u clients are too many for one process",
                       options->capacity);
        pcl_crowd_destroy(&self);
    }
    return self;
}

void pcl_crowd_destroy(pcl_crowd **self_p)
{
    assert(self_p != NULL);
    pcl_crowd *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t number = 0; number < self->count; number++) {
        pcl_peer_destroy(&self->clients[number].peer);
        pcl_seal_key_wipe(&self->clients[number].key);
    }
    if (self->context != NULL) {
        (void)zmq_ctx_term(self->context);
    }
    pcl_ready_destroy(&self->ready);
    pcl_ticket_table_destroy(&self->table);
    pcl_buffer_release(&self->buffer);
    pcl_bundle_wipe(&self->bundle);
    free(self->clients);
    free(self);
    *self_p = NULL;
}

uint32_t pcl_crowd_count(const pcl_crowd *self)
{
    return self->count;
}
