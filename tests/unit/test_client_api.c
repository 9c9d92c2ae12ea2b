/* libportcullis against a gatekeeper that the test plays: a ROUTER that does what the statement
 * says ("twice 7" is answered twice). */
#include "client/portcullis.h"
#include "common/buffer.h"
#include "net/time.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "tests/lib/packed.h"

#define HELD_MAX 1024

typedef struct held {
    zmq_msg_t peer;
    uint64_t tag;
    uint8_t id[PCL_ID_SIZE];
    char sql[64];
} held;

/* One gatekeeper, in its own thread. */
typedef struct gate {
    pthread_t thread;
    char endpoint[64];
    const char *secret_key; /* NULL: plain */
    bool judges;            /* it asks `admits` who may come in; else everybody may */
    atomic_bool admits;
    atomic_uint handshakes; /* that it judged */
    void *zap;
    atomic_bool stop;
    bool runs; /* the thread is there; the test's own */
    atomic_bool ready;
    atomic_uint received;
    atomic_uint frames; /* that those came in */
    bool together;      /* answers go into one frame */
    pcl_packed_writer answers;
    void *socket;
    held held[HELD_MAX]; /* not answered yet */
    uint32_t held_count;
} gate;

static void s_sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&time, NULL);
}

/* ---- the gatekeeper ---------------------------------------------------------------------- */

static void s_send(gate *self, held *item, const pcl_buffer *payload, bool right_ticket)
{
    uint64_t tag = item->tag ^ (right_ticket ? 0 : 0x55);
    if (!self->together) {
        packed_send(self->socket, zmq_msg_data(&item->peer), zmq_msg_size(&item->peer), tag,
                    pcl_bytes_of(NULL, 0), pcl_buffer_bytes(payload));
        return;
    }
    while (!pcl_packed_writer_add(&self->answers, tag, pcl_bytes_of(NULL, 0),
                                  pcl_buffer_bytes(payload))) {
        packed_send_several(self->socket, zmq_msg_data(&item->peer), zmq_msg_size(&item->peer),
                            &self->answers);
    }
}

/* One row with the statement and the port. */
static void s_answer(gate *self, held *item, bool right_id, bool right_ticket)
{
    uint8_t id[PCL_ID_SIZE];
    memcpy(id, item->id, sizeof id);
    id[0] ^= right_id ? 0 : 1;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(&buffer, id, true, 3);
    pcl_mp_put_text(&buffer, "columns");
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_array(&buffer, 3);
    pcl_mp_put_text(&buffer, "said");
    pcl_mp_put_text(&buffer, "VARCHAR");
    pcl_mp_put_uint(&buffer, 1);
    pcl_mp_put_text(&buffer, "rows");
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_text(&buffer, right_id && right_ticket ? item->sql : "another's");
    pcl_mp_put_text(&buffer, "route");
    pcl_mp_put_map(&buffer, 5);
    pcl_mp_pair_uint(&buffer, "attempts", 3);
    pcl_mp_pair_bool(&buffer, "hedged", true);
    pcl_mp_pair_text(&buffer, "node", self->endpoint);
    pcl_mp_put_text(&buffer, "some");
    pcl_mp_put_array(&buffer, 1);
    pcl_mp_put_text(&buffer, "node");
    pcl_mp_pair_text(&buffer, "role", "replica");
    s_send(self, item, &buffer, right_ticket);
    pcl_buffer_release(&buffer);
}

static void s_refuse(gate *self, held *item, pcl_err err, const char *hop, bool with_id)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_error error = {.err = err, .retry = pcl_err_retry((int)err), .hop = hop};
    pcl_reply_error_encode(&buffer, with_id ? item->id : NULL, &error);
    s_send(self, item, &buffer, true);
    pcl_buffer_release(&buffer);
}

static void s_close_held(held *item)
{
    (void)zmq_msg_close(&item->peer);
}

static bool s_says(const held *item, const char *word)
{
    return strncmp(item->sql, word, strlen(word)) == 0;
}

/* Does what the statement says; true: the item is held. */
static bool s_obey(gate *self, held *item)
{
    if (s_says(item, "hold")) {
        self->held[self->held_count++] = *item;
        return true;
    }
    self->together = s_says(item, "release together");
    if (s_says(item, "release")) { /* the last first */
        while (self->held_count > 0) {
            held *last = &self->held[--self->held_count];
            s_answer(self, last, true, true);
            s_close_held(last);
        }
    } else if (s_says(item, "twice")) {
        s_answer(self, item, true, true);
    } else if (s_says(item, "wrong id")) {
        s_answer(self, item, false, true);
    } else if (s_says(item, "wrong ticket")) {
        s_answer(self, item, true, false);
    } else if (s_says(item, "garbage")) {
        pcl_buffer garbage;
        pcl_buffer_init(&garbage, 64);
        pcl_buffer_put(&garbage, "\xdd\xff\xff\xff\xff", 5);
        s_send(self, item, &garbage, true);
        pcl_buffer_release(&garbage);
    } else if (s_says(item, "refuse")) {
        s_refuse(self, item, PCL_ERR_MALFORMED, "gatekeeper", false);
        return false;
    } else if (s_says(item, "drain")) {
        s_refuse(self, item, PCL_ERR_DRAINING, "gatekeeper", true);
        return false;
    }
    if (!s_says(item, "mute") && !s_says(item, "only wrong")) {
        s_answer(self, item, true, true);
        if (self->together) {
            packed_send_several(self->socket, zmq_msg_data(&item->peer), zmq_msg_size(&item->peer),
                                &self->answers);
            pcl_packed_writer_release(&self->answers);
            self->together = false;
        }
    } else if (s_says(item, "only wrong")) {
        s_answer(self, item, false, true);
    }
    return false;
}

static bool s_receive(gate *self)
{
    held item = {.sql = ""};
    packed_message asked;
    if (!packed_recv(self->socket, ZMQ_DONTWAIT, &asked)) {
        return false;
    }
    (void)atomic_fetch_add(&self->frames, asked.begins ? 1 : 0);
    item.tag = asked.packed.tag;
    (void)zmq_msg_init(&item.peer);
    (void)zmq_msg_copy(&item.peer, &asked.peer);
    pcl_request request;
    pcl_fault fault;
    bool held_back = false;
    if (pcl_request_decode(&request, asked.packed.payload, &fault, NULL, NULL) == PCL_ERR_OK) {
        memcpy(item.id, request.id, sizeof item.id);
        (void)snprintf(item.sql, sizeof item.sql, "%.*s", (int)request.sql.size,
                       request.sql.size > 0 ? (const char *)request.sql.data : "");
        (void)atomic_fetch_add(&self->received, 1);
        held_back = s_obey(self, &item);
    }
    packed_close(&asked);
    if (!held_back) {
        s_close_held(&item);
    }
    return true;
}

static void s_frame(void *socket, zmq_msg_t *frame, int more)
{
    (void)zmq_msg_send(frame, socket, more);
    (void)zmq_msg_close(frame);
}

/* One handshake: version and number go back, with the verdict. */
static void s_judge(gate *self)
{
    zmq_msg_t frames[2], rest;
    (void)zmq_msg_init(&rest);
    for (size_t index = 0; index < 2; index++) {
        (void)zmq_msg_init(&frames[index]);
        (void)zmq_msg_recv(&frames[index], self->zap, 0);
    }
    do {
        (void)zmq_msg_recv(&rest, self->zap, 0);
    } while (zmq_msg_more(&rest));
    (void)zmq_msg_close(&rest);
    (void)atomic_fetch_add(&self->handshakes, 1);
    s_frame(self->zap, &frames[0], ZMQ_SNDMORE);
    s_frame(self->zap, &frames[1], ZMQ_SNDMORE);
    (void)zmq_send(self->zap, atomic_load(&self->admits) ? "200" : "400", 3, ZMQ_SNDMORE);
    (void)zmq_send(self->zap, "", 0, ZMQ_SNDMORE);
    (void)zmq_send(self->zap, "", 0, ZMQ_SNDMORE);
    (void)zmq_send(self->zap, "", 0, 0);
}

static void s_open_zap(gate *self, void *context)
{
    self->zap = zmq_socket(context, ZMQ_REP);
    if (self->judges) {
        (void)zmq_bind(self->zap, "inproc://zeromq.zap.01");
        (void)zmq_setsockopt(self->socket, ZMQ_ZAP_DOMAIN, "clients", 7);
    }
}

static void *s_gate_run(void *argument)
{
    gate *self = argument;
    void *context = zmq_ctx_new();
    self->socket = zmq_socket(context, ZMQ_ROUTER);
    int none = 0;
    int many = 100000;
    int one = 1;
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &none, sizeof none);
    (void)zmq_setsockopt(self->socket, ZMQ_SNDHWM, &many, sizeof many);
    (void)zmq_setsockopt(self->socket, ZMQ_RCVHWM, &many, sizeof many);
    if (self->secret_key != NULL) {
        (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SERVER, &one, sizeof one);
        (void)zmq_setsockopt(self->socket, ZMQ_CURVE_SECRETKEY, self->secret_key,
                             strlen(self->secret_key));
    }
    s_open_zap(self, context);
    for (int attempt = 0; zmq_bind(self->socket, self->endpoint) != 0 && attempt < 100; attempt++) {
        s_sleep_ms(20); /* the port of a gatekeeper that was just stopped */
    }
    size_t size = sizeof self->endpoint;
    (void)zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    atomic_store(&self->ready, true);
    while (!atomic_load(&self->stop)) {
        zmq_pollitem_t items[2] = {{.socket = self->socket, .events = ZMQ_POLLIN},
                                   {.socket = self->zap, .events = ZMQ_POLLIN}};
        (void)zmq_poll(items, 2, 10);
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            s_judge(self);
        }
        while (s_receive(self)) {
        }
    }
    for (uint32_t index = 0; index < self->held_count; index++) {
        s_close_held(&self->held[index]);
    }
    packed_forget(self->socket);
    (void)zmq_close(self->socket);
    (void)zmq_close(self->zap);
    (void)zmq_ctx_term(context);
    return NULL;
}

/* On the port of an earlier run, or on a free one. */
static void s_gate_start(gate *self, bool same_port)
{
    if (!same_port) {
        (void)snprintf(self->endpoint, sizeof self->endpoint, "tcp://127.0.0.1:*");
    }
    self->held_count = 0;
    pcl_packed_writer_init(&self->answers);
    atomic_store(&self->stop, false);
    atomic_store(&self->ready, false);
    assert_int_equal(pthread_create(&self->thread, NULL, s_gate_run, self), 0);
    self->runs = true;
    while (!atomic_load(&self->ready)) {
        s_sleep_ms(1);
    }
}

/* Does nothing where it is stopped: a test that failed half-way may have left it so. */
static void s_gate_stop(gate *self)
{
    if (!self->runs) {
        return;
    }
    self->runs = false;
    atomic_store(&self->stop, true);
    assert_int_equal(pthread_join(self->thread, NULL), 0);
}

/* ---- helpers --------------------------------------------------------------------------- */

static gate s_gates[2];

static portcullis *s_open(size_t gate_count, uint32_t inflight_max)
{
    portcullis_gatekeeper gatekeepers[2] = {{.endpoint = s_gates[0].endpoint},
                                            {.endpoint = s_gates[1].endpoint}};
    portcullis_options options = {.gatekeepers = gatekeepers,
                                  .gatekeeper_count = gate_count,
                                  .insecure = true,
                                  .connect_timeout_ms = 1500,
                                  .inflight_max = inflight_max};
    char error[256];
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        fail_msg("%s", error);
    }
    return client;
}

static portcullis_request *s_request(const char *sql, uint32_t timeout_ms, bool idempotent)
{
    portcullis_request *request = portcullis_request_new(sql);
    assert_non_null(request);
    portcullis_request_set_timeout(request, timeout_ms);
    portcullis_request_set_idempotent(request, idempotent);
    return request;
}

static portcullis_result *s_call(portcullis *client, const char *sql, uint32_t timeout_ms)
{
    portcullis_request *request = s_request(sql, timeout_ms, false);
    portcullis_result *result = portcullis_call(client, request);
    portcullis_request_destroy(&request);
    return result;
}

static portcullis_future *s_start(portcullis *client, const char *sql, bool idempotent)
{
    portcullis_request *request = s_request(sql, 5000, idempotent);
    portcullis_future *future = portcullis_start(client, request);
    assert_non_null(future);
    portcullis_request_destroy(&request);
    return future;
}

static bool s_said(portcullis_result *result, const char *text)
{
    portcullis_result_rewind(result);
    if (!portcullis_result_next(result)) {
        return false;
    }
    const portcullis_value *value = portcullis_result_value(result, 0);
    return value->type == PORTCULLIS_TYPE_TEXT && value->size == strlen(text) &&
           memcmp(value->data, text, value->size) == 0;
}

static void s_expect(portcullis_result **result, portcullis_code code, portcullis_retry retry)
{
    if (portcullis_result_code(*result) != code) {
        fail_msg("%s: %s", portcullis_result_code_text(*result),
                 portcullis_result_message(*result));
    }
    assert_int_equal(portcullis_result_retry(*result), retry);
    portcullis_result_destroy(result);
}

static void s_expect_said(portcullis_result **result, const char *text)
{
    if (portcullis_result_code(*result) != PORTCULLIS_OK) {
        fail_msg("%s: %s", portcullis_result_code_text(*result),
                 portcullis_result_message(*result));
    }
    assert_true(s_said(*result, text));
    portcullis_result_destroy(result);
}

static portcullis_result *s_wait(portcullis_future **future)
{
    portcullis_result *result = portcullis_future_wait(future, 10000);
    assert_non_null(result);
    assert_null(*future);
    return result;
}

static int s_setup(void **state)
{
    (void)state;
    memset(s_gates, 0, sizeof s_gates);
    s_gate_start(&s_gates[0], false);
    s_gate_start(&s_gates[1], false);
    return 0;
}

static int s_teardown(void **state)
{
    (void)state;
    for (size_t index = 0; index < 2; index++) {
        s_gate_stop(&s_gates[index]);
    }
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------- */

static void a_call_is_answered(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "hello", 5000);
    assert_int_equal(portcullis_result_row_count(result), 1);
    assert_int_equal(portcullis_result_column_count(result), 1);
    assert_string_equal(portcullis_result_column(result, 0)->name, "said");
    assert_string_equal(portcullis_result_column(result, 0)->type, "VARCHAR");
    assert_int_equal(portcullis_result_column(result, 0)->flags, 1);
    assert_non_null(strstr(portcullis_result_route(result), s_gates[0].endpoint));
    portcullis_brief brief;
    portcullis_result_brief(result, &brief);
    assert_int_equal(brief.code, PORTCULLIS_OK);
    assert_int_equal(brief.column_count, 1);
    assert_int_equal(brief.row_count, 1);
    assert_false(brief.has_more);
    assert_int_equal(brief.affected, 0);
    portcullis_way way = portcullis_result_way(result);
    assert_int_equal(way.node_size, strlen(s_gates[0].endpoint));
    assert_memory_equal(way.node, s_gates[0].endpoint, way.node_size);
    assert_true(way.attempts == 3 && way.hedged);
    assert_string_equal(portcullis_result_message(result), "");
    s_expect_said(&result, "hello");
    portcullis_close(&client);
    assert_null(client);
}

static void keys_are_used(void **state)
{
    (void)state;
    char server_public[41], server_secret[41], own_public[41], own_secret[41];
    assert_int_equal(zmq_curve_keypair(server_public, server_secret), 0);
    assert_int_equal(zmq_curve_keypair(own_public, own_secret), 0);
    static gate locked;
    memset(&locked, 0, sizeof locked);
    locked.secret_key = server_secret;
    s_gate_start(&locked, false);
    portcullis_gatekeeper gatekeeper = {.endpoint = locked.endpoint, .public_key = server_public};
    portcullis_options options = {.gatekeepers = &gatekeeper,
                                  .gatekeeper_count = 1,
                                  .public_key = own_public,
                                  .secret_key = own_secret};
    char error[256];
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    assert_non_null(client);
    portcullis_result *result = s_call(client, "secret", 5000);
    s_expect_said(&result, "secret");
    portcullis_close(&client);

    gatekeeper.public_key = own_public; /* not the gatekeeper's */
    options.connect_timeout_ms = 300;
    client = portcullis_open_options(&options, error, sizeof error);
    assert_non_null(client);
    result = s_call(client, "secret", 5000);
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
    portcullis_close(&client);
    s_gate_stop(&locked);
}

typedef struct locked_gate {
    gate gate;
    char server_public[41], server_secret[41], own_public[41], own_secret[41];
} locked_gate;

/* A gatekeeper with keys that admits nobody yet, and a client of its. */
static portcullis *s_open_locked(locked_gate *self)
{
    memset(self, 0, sizeof *self);
    assert_int_equal(zmq_curve_keypair(self->server_public, self->server_secret), 0);
    assert_int_equal(zmq_curve_keypair(self->own_public, self->own_secret), 0);
    self->gate.secret_key = self->server_secret;
    self->gate.judges = true;
    s_gate_start(&self->gate, false);
    portcullis_gatekeeper gatekeeper = {.endpoint = self->gate.endpoint,
                                        .public_key = self->server_public};
    portcullis_options options = {.gatekeepers = &gatekeeper,
                                  .gatekeeper_count = 1,
                                  .public_key = self->own_public,
                                  .secret_key = self->own_secret,
                                  .connect_timeout_ms = 9000};
    char error[256];
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    assert_non_null(client);
    return client;
}

static void s_expect_refused(portcullis *client, uint32_t timeout_ms)
{
    portcullis_result *result = s_call(client, "not yet", timeout_ms);
    assert_non_null(
        strstr(portcullis_result_message(result), "the gatekeeper refuses this client's key"));
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
}

/* libzmq gives a gatekeeper up for good that has refused its key. */
static void who_is_admitted_later_is_served(void **state)
{
    (void)state;
    static locked_gate locked;
    portcullis *client = s_open_locked(&locked);
    s_expect_refused(client, 4500);
    assert_in_range(atomic_load(&locked.gate.handshakes), 3, 5); /* at 0, 0.9, 2.6 and 4.4 s */
    portcullis_future *future = s_start(client, "waits", false);
    s_sleep_ms(100);
    assert_null(portcullis_future_wait(&future, 0));
    atomic_store(&locked.gate.admits, true);
    uint64_t start_us = pcl_now_us();
    portcullis_result *result = s_wait(&future);
    assert_true(pcl_now_us() - start_us < 2900000);
    s_expect_said(&result, "waits");

    s_gate_stop(&locked.gate); /* the connection is cut, and the key is off the list */
    atomic_store(&locked.gate.admits, false);
    s_gate_start(&locked.gate, true);
    s_expect_refused(client, 1000);
    atomic_store(&locked.gate.admits, true);
    s_sleep_ms(2500); /* that nobody waits for it must not make it come later */
    start_us = pcl_now_us();
    result = s_call(client, "again", 5000);
    assert_true(pcl_now_us() - start_us < 1000000);
    s_expect_said(&result, "again");
    assert_int_equal(atomic_load(&locked.gate.received), 2); /* nothing was sent twice */
    portcullis_close(&client);
    s_gate_stop(&locked.gate);
}

static void each_request_ends_once_while_the_key_comes_and_goes(void **state)
{
    (void)state;
    static locked_gate locked;
    portcullis *client = s_open_locked(&locked);
    enum { ROUNDS = 2, EACH = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        portcullis_future *futures[EACH];
        for (size_t index = 0; index < EACH; index++) {
            futures[index] = s_start(client, index % 2 == 0 ? "SELECT 1" : "mute", index % 4 == 1);
        }
        s_sleep_ms(300);
        atomic_store(&locked.gate.admits, true);
        uint32_t received = atomic_load(&locked.gate.received);
        uint64_t until_us = pcl_now_us() + 3000000;
        while (atomic_load(&locked.gate.received) < received + EACH) {
            assert_true(pcl_now_us() < until_us);
            s_sleep_ms(5);
        }
        s_gate_stop(&locked.gate);
        atomic_store(&locked.gate.admits, false);
        s_gate_start(&locked.gate, true);
        for (size_t index = 0; index < EACH; index++) {
            portcullis_result *result = s_wait(&futures[index]);
            if (index % 2 == 0) {
                s_expect_said(&result, "SELECT 1");
            } else if (index % 4 == 1) { /* to be sent again, but nobody lets it in */
                assert_non_null(strstr(portcullis_result_message(result), "refuses"));
                s_expect(&result, PORTCULLIS_LOST, PORTCULLIS_RETRY_SAFE);
            } else {
                s_expect(&result, PORTCULLIS_LOST, PORTCULLIS_RETRY_UNSAFE);
            }
        }
    }
    portcullis_close(&client);
    s_gate_stop(&locked.gate);
}

/* One that speaks something else on the gatekeeper's port: libzmq gives that up for good as well,
 * and does not say so. */
static void who_broke_the_protocol_is_tried_again(void **state)
{
    (void)state;
    static const char junk[200] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    s_gate_stop(&s_gates[0]);
    const char *port = strrchr(s_gates[0].endpoint, ':') + 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    portcullis *client = s_open(1, 0);
    int connection = accept(listener, NULL, NULL);
    assert_true(connection >= 0);
    assert_int_equal(write(connection, junk, sizeof junk), sizeof junk);
    s_sleep_ms(200);
    (void)close(connection);
    (void)close(listener);
    s_gate_start(&s_gates[0], true);
    uint64_t until_us = pcl_now_us() + 8000000;
    portcullis_result *result = s_call(client, "SELECT 1", 5000);
    while (portcullis_result_code(result) == PORTCULLIS_UNAVAILABLE && pcl_now_us() < until_us) {
        portcullis_result_destroy(&result);
        result = s_call(client, "SELECT 1", 5000);
    }
    s_expect_said(&result, "SELECT 1");
    portcullis_close(&client);
}

static void options_are_checked(void **state)
{
    (void)state;
    char error[256];
    portcullis_gatekeeper gatekeeper = {.endpoint = "tcp://127.0.0.1:1"};
    portcullis_options options = {.gatekeepers = &gatekeeper, .gatekeeper_count = 1};
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_non_null(strstr(error, "public key is missing"));
    gatekeeper.public_key = "short";
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_non_null(strstr(error, "40 characters"));
    gatekeeper.endpoint = "http://example";
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_non_null(strstr(error, "tcp://HOST:PORT"));
    options.gatekeeper_count = 17;
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_null(portcullis_open("/nonexistent/bundle", NULL, 0));
    assert_null(portcullis_open("/nonexistent/bundle", error, sizeof error));
    assert_non_null(strstr(error, "/nonexistent/bundle"));
}

static void replies_in_another_order_find_their_requests(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    portcullis *client = s_open(1, 0);
    portcullis_future *futures[COUNT];
    char sql[32];
    for (int index = 0; index < COUNT; index++) {
        (void)snprintf(sql, sizeof sql, "hold %d", index);
        futures[index] = s_start(client, sql, false);
    }
    while (atomic_load(&s_gates[0].received) < COUNT) {
        s_sleep_ms(1);
    }
    assert_null(portcullis_future_wait(&futures[0], 0));
    portcullis_result *result = s_call(client, "release", 5000);
    s_expect_said(&result, "release");
    for (int index = 0; index < COUNT; index++) {
        (void)snprintf(sql, sizeof sql, "hold %d", index);
        result = s_wait(&futures[index]);
        s_expect_said(&result, sql);
    }
    portcullis_close(&client);
}

typedef struct burst {
    portcullis *client;
    portcullis_future *futures[40];
} burst;

/* On the channel's thread, which therefore finds all of them at once. */
static void s_burst(portcullis_result *result, void *context)
{
    burst *self = context;
    portcullis_result_destroy(&result);
    for (uint32_t index = 0; index < 40; index++) {
        char sql[32];
        (void)snprintf(sql, sizeof sql, "hold %u", index);
        self->futures[index] = s_start(self->client, sql, false);
    }
}

static void what_is_there_together_goes_in_one_frame_each_way(void **state)
{
    (void)state;
    burst all = {.client = s_open(1, 0)};
    portcullis_request *request = s_request("begin", 5000, false);
    uint32_t received = atomic_load(&s_gates[0].received);
    uint32_t frames = atomic_load(&s_gates[0].frames);
    assert_int_equal(portcullis_submit(all.client, request, s_burst, &all), PORTCULLIS_OK);
    portcullis_request_destroy(&request);
    while (atomic_load(&s_gates[0].received) - received < 41) {
        s_sleep_ms(1);
    }
    assert_int_equal(atomic_load(&s_gates[0].frames) - frames, 2);
    portcullis_result *result = s_call(all.client, "release together", 5000);
    s_expect_said(&result, "release together");
    for (uint32_t index = 0; index < 40; index++) {
        char sql[32];
        (void)snprintf(sql, sizeof sql, "hold %u", index);
        result = portcullis_future_wait(&all.futures[index], 5000);
        assert_non_null(result);
        s_expect_said(&result, sql);
    }
    portcullis_close(&all.client);
}

static void a_reply_of_another_is_dropped(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "wrong id 1", 5000);
    s_expect_said(&result, "wrong id 1"); /* the right one came behind it */
    result = s_call(client, "wrong ticket 1", 5000);
    s_expect_said(&result, "wrong ticket 1");
    uint64_t start_us = pcl_now_us();
    result = s_call(client, "only wrong", 200);
    uint64_t took_us = pcl_now_us() - start_us;
    assert_string_equal(portcullis_result_hop(result), "client");
    s_expect(&result, PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_UNSAFE);
    assert_in_range(took_us, 290000, 600000); /* 300 ms and what a busy machine adds */
    portcullis_close(&client);
}

static void a_second_reply_is_dropped(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    char sql[32];
    for (int index = 0; index < 50; index++) {
        (void)snprintf(sql, sizeof sql, "twice %d", index);
        portcullis_result *result = s_call(client, sql, 5000);
        s_expect_said(&result, sql);
    }
    portcullis_close(&client);
}

static void a_late_reply_is_dropped(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "hello", 5000); /* connecting may take its time */
    s_expect_said(&result, "hello");
    result = s_call(client, "hold late", 300);
    s_expect(&result, PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_UNSAFE);
    result = s_call(client, "release", 5000); /* sends the late one first */
    s_expect_said(&result, "release");
    result = s_call(client, "after", 5000);
    s_expect_said(&result, "after");
    portcullis_close(&client);
}

static void a_reply_that_does_not_parse_is_an_error(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "garbage", 5000);
    s_expect(&result, PORTCULLIS_INTERNAL, PORTCULLIS_RETRY_UNSAFE);
    result = s_call(client, "refuse", 5000); /* without an id */
    assert_string_equal(portcullis_result_hop(result), "gatekeeper");
    s_expect(&result, PORTCULLIS_MALFORMED, PORTCULLIS_RETRY_NEVER);
    portcullis_close(&client);
}

static void a_gatekeeper_that_comes_back_is_used_again(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "before", 5000);
    s_expect_said(&result, "before");
    for (int round = 0; round < 3; round++) {
        portcullis_future *lost = s_start(client, "mute", false);
        while (atomic_load(&s_gates[0].received) < 2u * ((uint32_t)round + 1)) {
            s_sleep_ms(1);
        }
        uint64_t start_us = pcl_now_us();
        s_gate_stop(&s_gates[0]);
        result = s_wait(&lost);
        assert_true(pcl_now_us() - start_us < 2000000);
        s_expect(&result, PORTCULLIS_LOST, PORTCULLIS_RETRY_UNSAFE);
        portcullis_future *waits = s_start(client, "waits", false);
        assert_null(portcullis_future_wait(&waits, 50));
        s_gate_start(&s_gates[0], true);
        result = s_wait(&waits);
        s_expect_said(&result, "waits");
    }
    portcullis_close(&client);
}

/* Which gate answers now: a client starts with either. */
static gate *s_gate_in_use(portcullis *client)
{
    portcullis_result *result = s_call(client, "who", 5000);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    bool first = strstr(portcullis_result_route(result), s_gates[0].endpoint) != NULL;
    portcullis_result_destroy(&result);
    return first ? &s_gates[0] : &s_gates[1];
}

static void another_gatekeeper_takes_over(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200); /* both are connected */
    gate *used = s_gate_in_use(client);
    gate *other = used == &s_gates[0] ? &s_gates[1] : &s_gates[0];
    uint32_t before = atomic_load(&used->received);
    portcullis_future *write = s_start(client, "hold write", false);
    portcullis_future *read = s_start(client, "hold read", true);
    while (atomic_load(&used->received) < before + 2) {
        s_sleep_ms(1);
    }
    assert_int_equal(atomic_load(&other->received), 0);
    s_gate_stop(used);
    portcullis_result *result = s_wait(&write);
    s_expect(&result, PORTCULLIS_LOST, PORTCULLIS_RETRY_UNSAFE);
    assert_null(portcullis_future_wait(&read, 100)); /* the other holds it now */
    result = s_call(client, "release", 5000);
    s_expect_said(&result, "release");
    result = s_wait(&read);
    s_expect_said(&result, "hold read");
    assert_ptr_equal(s_gate_in_use(client), other);
    s_gate_start(used, true);
    s_sleep_ms(300);
    assert_ptr_equal(s_gate_in_use(client), other); /* no change without need */
    portcullis_close(&client);
}

static void a_gatekeeper_that_drains_is_no_answer(void **state)
{
    (void)state;
    portcullis *client = s_open(2, 0);
    s_sleep_ms(200);
    uint32_t before = atomic_load(&s_gates[0].received) + atomic_load(&s_gates[1].received);
    portcullis_result *result = s_call(client, "drain", 1000);
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE); /* both said so */
    uint32_t after = atomic_load(&s_gates[0].received) + atomic_load(&s_gates[1].received);
    assert_int_equal(after - before, 2);
    portcullis_close(&client);
}

typedef struct worker {
    pthread_t thread;
    portcullis *client;
    uint32_t number;
    uint32_t right;
} worker;

static void *s_work(void *argument)
{
    enum { COUNT = 125 };
    worker *self = argument;
    portcullis_future *futures[COUNT];
    char sql[32];
    for (int index = 0; index < COUNT; index++) {
        (void)snprintf(sql, sizeof sql, "hold %u.%d", self->number, index);
        portcullis_request *request = portcullis_request_new(sql);
        portcullis_request_set_timeout(request, 20000);
        futures[index] = portcullis_start(self->client, request);
        portcullis_request_destroy(&request);
    }
    for (int index = 0; index < COUNT; index++) {
        (void)snprintf(sql, sizeof sql, "hold %u.%d", self->number, index);
        portcullis_result *result = portcullis_future_wait(&futures[index], -1);
        self->right += portcullis_result_code(result) == PORTCULLIS_OK && s_said(result, sql);
        portcullis_result_destroy(&result);
    }
    return NULL;
}

static void a_thousand_are_in_flight_from_eight_threads(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    worker workers[8];
    for (uint32_t index = 0; index < 8; index++) {
        workers[index] = (worker){.client = client, .number = index};
        assert_int_equal(pthread_create(&workers[index].thread, NULL, s_work, &workers[index]), 0);
    }
    while (atomic_load(&s_gates[0].received) < 1000) {
        s_sleep_ms(1);
    }
    portcullis_result *result = s_call(client, "release", 10000);
    s_expect_said(&result, "release");
    for (uint32_t index = 0; index < 8; index++) {
        assert_int_equal(pthread_join(workers[index].thread, NULL), 0);
        assert_int_equal(workers[index].right, 125);
    }
    portcullis_close(&client);
}

typedef struct tally_of {
    atomic_uint completed[64]; /* how often each request was */
    atomic_uint lost, cancelled, refused_again, ok;
    portcullis *client;
} tally_of;

typedef struct ticket {
    tally_of *tally;
    uint32_t index;
} ticket;

static void s_count(portcullis_result *result, void *context)
{
    ticket *self = context;
    (void)atomic_fetch_add(&self->tally->completed[self->index], 1);
    portcullis_code code = portcullis_result_code(result);
    atomic_uint *counter = code == PORTCULLIS_LOST        ? &self->tally->lost
                           : code == PORTCULLIS_CANCELLED ? &self->tally->cancelled
                                                          : &self->tally->ok;
    (void)atomic_fetch_add(counter, 1);
    portcullis_request *request = portcullis_request_new("again");
    portcullis_result *nested = portcullis_call(self->tally->client, request);
    bool refused = portcullis_result_code(nested) == PORTCULLIS_UNSUPPORTED &&
                   (code == PORTCULLIS_OK ||
                    portcullis_submit(self->tally->client, request, s_count, self) ==
                        PORTCULLIS_UNAVAILABLE);
    (void)atomic_fetch_add(&self->tally->refused_again, refused ? 1 : 0);
    portcullis_result_destroy(&nested);
    portcullis_request_destroy(&request);
    portcullis_result_destroy(&result);
}

static void close_completes_each_request_once(void **state)
{
    (void)state;
    static tally_of tally;
    ticket tickets[64];
    portcullis *client = s_open(1, 0);
    portcullis *copy = client; /* portcullis_close clears what it is given */
    memset(&tally, 0, sizeof tally);
    tally.client = copy;
    portcullis_request *mute = s_request("mute", 60000, false);
    for (uint32_t index = 0; index < 64; index++) {
        tickets[index] = (ticket){.tally = &tally, .index = index};
        portcullis_code code = portcullis_submit(client, mute, s_count, &tickets[index]);
        assert_int_equal(code, PORTCULLIS_OK);
    }
    while (atomic_load(&s_gates[0].received) < 64) {
        s_sleep_ms(1);
    }
    portcullis_request_destroy(&mute);
    portcullis_close(&client);
    for (uint32_t index = 0; index < 64; index++) {
        assert_int_equal(atomic_load(&tally.completed[index]), 1);
    }
    assert_int_equal(atomic_load(&tally.lost), 64);
    assert_int_equal(atomic_load(&tally.refused_again), 64);
}

static void close_cancels_what_was_never_sent(void **state)
{
    (void)state;
    s_gate_stop(&s_gates[0]);
    portcullis *client = s_open(1, 0);
    portcullis_future *future = s_start(client, "never sent", false);
    portcullis_future *given_up = s_start(client, "never sent", false);
    portcullis_future_destroy(&given_up);
    assert_null(given_up);
    portcullis_close(&client);
    portcullis_result *result = s_wait(&future);
    s_expect(&result, PORTCULLIS_CANCELLED, PORTCULLIS_RETRY_SAFE);
    s_gate_start(&s_gates[0], true);
}

static void too_many_are_refused(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 10);
    portcullis_future *futures[10];
    for (int index = 0; index < 10; index++) {
        futures[index] = s_start(client, "mute", false);
    }
    portcullis_result *result = s_call(client, "one more", 5000);
    s_expect(&result, PORTCULLIS_OVERLOADED, PORTCULLIS_RETRY_SAFE);
    for (int index = 0; index < 10; index++) {
        portcullis_future_destroy(&futures[index]);
    }
    portcullis_close(&client);
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    static char large[PCL_REQUEST_SIZE_MAX + 1u];
    memset(large, 'x', sizeof large);
    portcullis *client = s_open(1, 0);
    portcullis_request *request = portcullis_request_new_sized(large, sizeof large);
    portcullis_result *result = portcullis_call(client, request);
    s_expect(&result, PORTCULLIS_TOO_LARGE, PORTCULLIS_RETRY_NEVER);
    portcullis_request_destroy(&request);
    request = portcullis_request_new("SELECT ?");
    assert_false(portcullis_request_add_blob(request, large, sizeof large));
    assert_true(portcullis_request_add_int(request, -1)); /* the request is still whole */
    assert_false(portcullis_request_set_strategy(request, "no such"));
    assert_true(portcullis_request_set_strategy(request, "least-inflight"));
    result = portcullis_call(client, request);
    s_expect_said(&result, "SELECT ?");
    portcullis_request_destroy(&request);
    portcullis_close(&client);
}

static void no_gatekeeper_is_unavailable(void **state)
{
    (void)state;
    s_gate_stop(&s_gates[0]);
    portcullis *client = s_open(1, 0);
    uint64_t start_us = pcl_now_us();
    portcullis_result *result = s_call(client, "SELECT 1", 5000);
    assert_non_null(strstr(portcullis_result_message(result), "connection refused"));
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
    assert_in_range(pcl_now_us() - start_us, 1400000, 2500000); /* connect_timeout_ms */
    result = s_call(client, "SELECT 1", 100);
    s_expect(&result, PORTCULLIS_UNAVAILABLE, PORTCULLIS_RETRY_SAFE);
    portcullis_close(&client);
    s_gate_start(&s_gates[0], true);
}

/* ---- a call that is alone: its caller does the work --------------------------------------- */

typedef struct lonely {
    pthread_t thread;
    portcullis *client;
    portcullis_result *result;
} lonely;

static void *s_lonely_run(void *argument)
{
    lonely *self = argument;
    self->result = s_call(self->client, "hold", 10000);
    return NULL;
}

/* Calls, and waits until the gatekeeper has it. */
static void s_lonely_start(lonely *self, portcullis *client)
{
    uint32_t before = atomic_load(&s_gates[0].received);
    *self = (lonely){.client = client};
    assert_int_equal(pthread_create(&self->thread, NULL, s_lonely_run, self), 0);
    while (atomic_load(&s_gates[0].received) == before) {
        s_sleep_ms(1);
    }
}

typedef struct stranger {
    pthread_t alone; /* who may not run it */
    atomic_uint calls;
} stranger;

static void s_strange(portcullis_result *result, void *context)
{
    stranger *self = context;
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    assert_false(pthread_equal(pthread_self(), self->alone));
    portcullis_result_destroy(&result);
    (void)atomic_fetch_add(&self->calls, 1);
}

static void who_waits_runs_no_callback_of_others(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    for (uint32_t turn = 0; turn < 20; turn++) {
        lonely one;
        s_lonely_start(&one, client);
        stranger others = {.alone = one.thread};
        portcullis_request *request = s_request("hello", 5000, false);
        for (uint32_t index = 0; index < 5; index++) {
            assert_int_equal(portcullis_submit(client, request, s_strange, &others), PORTCULLIS_OK);
        }
        portcullis_request_destroy(&request);
        request = s_request("release", 5000, false);
        assert_int_equal(portcullis_submit(client, request, s_strange, &others), PORTCULLIS_OK);
        portcullis_request_destroy(&request);
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        s_expect_said(&one.result, "hold");
        for (uint32_t waited = 0; atomic_load(&others.calls) < 6 && waited < 5000; waited++) {
            s_sleep_ms(1);
        }
        assert_int_equal(atomic_load(&others.calls), 6);
        if (turn % 2 == 0) { /* and a call that finds nobody crowding */
            s_sleep_ms(15);
        }
    }
    portcullis_close(&client);
}

static void who_waits_alone_sees_the_close(void **state)
{
    (void)state;
    for (uint32_t turn = 0; turn < 10; turn++) {
        portcullis *client = s_open(1, 0);
        portcullis_result *result = s_call(client, "hello", 5000);
        s_expect_said(&result, "hello");
        lonely one;
        s_lonely_start(&one, client);
        portcullis_close(&client);
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        s_expect(&one.result, PORTCULLIS_LOST, PORTCULLIS_RETRY_UNSAFE);
    }
}

static void who_waits_alone_keeps_its_deadline(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "hello", 5000);
    s_expect_said(&result, "hello");
    uint64_t start_us = pcl_now_us();
    result = s_call(client, "mute", 200);
    s_expect(&result, PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_UNSAFE);
    assert_in_range(pcl_now_us() - start_us, 200000, 3000000);
    s_gate_stop(&s_gates[0]); /* nobody watches the connection at this moment */
    s_gate_start(&s_gates[0], true);
    result = s_call(client, "hello again", 5000);
    portcullis_code code = portcullis_result_code(result);
    assert_true(code == PORTCULLIS_OK || code == PORTCULLIS_LOST);
    portcullis_result_destroy(&result);
    result = s_call(client, "and again", 5000);
    s_expect_said(&result, "and again");
    portcullis_close(&client);
}

static atomic_uint s_signals;

static void s_on_signal(int number)
{
    (void)number;
    (void)atomic_fetch_add(&s_signals, 1);
}

/* libzmq ends with EINTR what a signal comes into, in whichever thread calls it. */
static void signals_cost_no_request(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = s_on_signal};
    struct sigaction before;
    const struct itimerval often = {.it_interval.tv_usec = 300, .it_value.tv_usec = 300};
    const struct itimerval never = {.it_value.tv_usec = 0};
    char sql[6000]; /* a payload that goes in a frame of its own */
    memset(sql, 'x', sizeof sql);
    sql[sizeof sql - 1] = '\0';
    portcullis *client = s_open(1, 0);
    portcullis_request *large = s_request(sql, 10000, false);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (uint32_t index = 0; index < 300; index++) {
        portcullis_result *result = s_call(client, "hello", 10000);
        s_expect_said(&result, "hello");
        result = portcullis_call(client, large);
        s_expect(&result, PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_true(atomic_load(&s_signals) > 0);
    portcullis_request_destroy(&large);
    portcullis_close(&client);
}

static void a_child_may_not_use_it(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "parent", 5000);
    s_expect_said(&result, "parent");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        result = s_call(client, "child", 5000);
        bool good = portcullis_result_code(result) == PORTCULLIS_UNAVAILABLE;
        portcullis_result_destroy(&result);
        portcullis_close(&client);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    result = s_call(client, "parent again", 5000);
    s_expect_said(&result, "parent again");
    portcullis_close(&client);
}

static uint32_t s_thread_count(void)
{
    uint32_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    while (readdir(tasks) != NULL) {
        count++;
    }
    (void)closedir(tasks);
    return count;
}

/* libzmq's end of its threads is among what a signal may come into. */
static void signals_leave_no_thread_behind(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = s_on_signal};
    struct sigaction before;
    const struct itimerval often = {.it_interval.tv_usec = 300, .it_value.tv_usec = 300};
    const struct itimerval never = {.it_value.tv_usec = 0};
    uint32_t threads = s_thread_count();
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (uint32_t index = 0; index < 30; index++) {
        portcullis *client = s_open(1, 0);
        portcullis_close(&client);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    for (uint32_t waited = 0; s_thread_count() > threads && waited < 5000; waited++) {
        s_sleep_ms(1); /* the system may list one a little longer than it runs */
    }
    assert_true(s_thread_count() <= threads);
}

/* Asks with a cancellation pending, which would end it wherever that is looked at. */
static void *s_cancelled_run(void *argument)
{
    (void)pthread_cancel(pthread_self());
    portcullis_result *result = s_call(argument, "its last", 20000);
    portcullis_result_destroy(&result);
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return NULL;
}

static void a_thread_that_is_cancelled_takes_nobody_along(void **state)
{
    (void)state;
    portcullis *client = s_open(1, 0);
    portcullis_result *result = s_call(client, "hello", 5000);
    s_expect_said(&result, "hello");
    for (uint32_t turn = 0; turn < 2; turn++) { /* alone, and with company */
        portcullis_request *request = s_request(turn == 0 ? "hello" : "hold", 20000, false);
        portcullis_future *other = portcullis_start(client, request);
        portcullis_request_destroy(&request);
        if (turn == 0) {
            result = portcullis_future_wait(&other, 20000);
            s_expect_said(&result, "hello");
        }
        pthread_t thread;
        void *end = &thread;
        assert_int_equal(pthread_create(&thread, NULL, s_cancelled_run, client), 0);
        assert_int_equal(pthread_join(thread, &end), 0);
        assert_null(end);
        request = s_request("release", 20000, false);
        portcullis_future *asked = portcullis_start(client, request);
        portcullis_request_destroy(&request);
        result = portcullis_future_wait(&asked, 20000);
        assert_non_null(result);
        s_expect_said(&result, "release");
        if (turn == 1) {
            result = portcullis_future_wait(&other, 20000);
            s_expect_said(&result, "hold");
        }
    }
    portcullis_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_is_answered),
        TEST(keys_are_used),
        TEST(who_is_admitted_later_is_served),
        TEST(each_request_ends_once_while_the_key_comes_and_goes),
        TEST(who_broke_the_protocol_is_tried_again),
        cmocka_unit_test(options_are_checked),
        TEST(replies_in_another_order_find_their_requests),
        TEST(what_is_there_together_goes_in_one_frame_each_way),
        TEST(a_reply_of_another_is_dropped),
        TEST(a_second_reply_is_dropped),
        TEST(a_late_reply_is_dropped),
        TEST(a_reply_that_does_not_parse_is_an_error),
        TEST(a_gatekeeper_that_comes_back_is_used_again),
        TEST(another_gatekeeper_takes_over),
        TEST(a_gatekeeper_that_drains_is_no_answer),
        TEST(a_thousand_are_in_flight_from_eight_threads),
        TEST(close_completes_each_request_once),
        TEST(close_cancels_what_was_never_sent),
        TEST(too_many_are_refused),
        TEST(what_is_too_large_is_refused),
        TEST(no_gatekeeper_is_unavailable),
        TEST(who_waits_runs_no_callback_of_others),
        TEST(who_waits_alone_sees_the_close),
        TEST(who_waits_alone_keeps_its_deadline),
        TEST(signals_cost_no_request),
        TEST(signals_leave_no_thread_behind),
        TEST(a_thread_that_is_cancelled_takes_nobody_along),
        TEST(a_child_may_not_use_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
