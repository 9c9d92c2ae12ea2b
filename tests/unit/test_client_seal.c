/* libportcullis against a gatekeeper that somebody broke into.  The test plays it, step by step: it
 * has what a gatekeeper has, every message both ways, and lies.  What the broker would say it seals
 * with the broker's key, which is all that it has of the broker. */
#include "client/portcullis.h"
#include "common/buffer.h"
#include "net/keys.h"
#include "net/seal.h"
#include "net/time.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <zmq.h>

#include "tests/lib/packed.h"

enum { WAIT_MS = 5000, PAYLOAD_MAX = 4096, GATES = 2 };

static pcl_keys s_client_keys, s_broker_keys, s_other_keys;
static pcl_seal_key s_key;       /* of the pair */
static pcl_seal_key s_other_key; /* of the client's and another's */
static void *s_context;
static void *s_gates[GATES];
static char s_endpoints[GATES][64];

static void s_sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&time, NULL);
}

/* ---- the gatekeeper ---------------------------------------------------------------------- */

/* What came of the client. */
typedef struct ask {
    uint8_t peer[64];
    size_t peer_size;
    uint64_t tag;
    uint8_t payload[PAYLOAD_MAX];
    pcl_bytes octets; /* of payload */
    pcl_request request;
    uint8_t seal_octets[PCL_SEAL_SIZE];
    size_t seal_size;
    pcl_seal seal;
} ask;

/* A reply: what the broker has sealed, or says it has. */
typedef struct answer {
    uint8_t payload[PAYLOAD_MAX];
    size_t size;
    uint8_t seal[PCL_SEAL_SIZE + 1];
    size_t seal_size;
} answer;

static void s_bind(uint32_t index)
{
    int none = 0;
    int wait_ms = WAIT_MS;
    s_gates[index] = zmq_socket(s_context, ZMQ_ROUTER);
    assert_non_null(s_gates[index]);
    (void)zmq_setsockopt(s_gates[index], ZMQ_LINGER, &none, sizeof none);
    (void)zmq_setsockopt(s_gates[index], ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    const char *at = s_endpoints[index][0] != '\0' ? s_endpoints[index] : "tcp://127.0.0.1:*";
    int rc = -1;
    for (int attempt = 0; rc != 0 && attempt < 100; attempt++) {
        rc = zmq_bind(s_gates[index], at);
        if (rc != 0) {
            s_sleep_ms(20); /* the port of one that was just closed */
        }
    }
    assert_int_equal(rc, 0);
    size_t size = sizeof s_endpoints[index];
    (void)zmq_getsockopt(s_gates[index], ZMQ_LAST_ENDPOINT, s_endpoints[index], &size);
}

/* The next message; its seal, when it has one, must be as it should. */
static void s_receive(uint32_t gate, ask *out)
{
    memset(out, 0, sizeof *out);
    packed_message message;
    assert_true(packed_recv(s_gates[gate], 0, &message));
    out->peer_size = zmq_msg_size(&message.peer);
    out->tag = message.packed.tag;
    out->seal_size = message.packed.seal.size;
    pcl_bytes payload = message.packed.payload;
    assert_true(out->peer_size <= sizeof out->peer && payload.size <= sizeof out->payload);
    memcpy(out->peer, zmq_msg_data(&message.peer), out->peer_size);
    memcpy(out->payload, payload.data, payload.size);
    out->octets = pcl_bytes_of(out->payload, payload.size);
    pcl_fault fault;
    assert_int_equal(pcl_request_decode(&out->request, out->octets, &fault, NULL, NULL),
                     PCL_ERR_OK);
    if (out->seal_size > 0) {
        assert_int_equal(out->seal_size, sizeof out->seal_octets);
        memcpy(out->seal_octets, message.packed.seal.data, sizeof out->seal_octets);
        assert_null(
            pcl_seal_read(&out->seal, PCL_SEAL_REQUEST, message.packed.seal, out->octets, &s_key));
    }
    packed_close(&message);
}

/* Is nothing sent for a while? */
static bool s_is_quiet(uint32_t gate)
{
    zmq_pollitem_t item = {.socket = s_gates[gate], .events = ZMQ_POLLIN};
    return !packed_waits(s_gates[gate]) && zmq_poll(&item, 1, 150) == 0;
}

/* Which of the two is asked next; takes what it is asked. */
static uint32_t s_receive_any(ask *out)
{
    zmq_pollitem_t items[2] = {{.socket = s_gates[0], .events = ZMQ_POLLIN},
                               {.socket = s_gates[1], .events = ZMQ_POLLIN}};
    assert_int_equal(zmq_poll(items, 2, WAIT_MS), 1);
    uint32_t gate = items[0].revents != 0 ? 0 : 1;
    s_receive(gate, out);
    return gate;
}

static void s_send(uint32_t gate, const ask *to, const answer *what)
{
    packed_send(s_gates[gate], to->peer, to->peer_size, to->tag,
                pcl_bytes_of(what->seal, what->seal_size), pcl_bytes_of(what->payload, what->size));
}

/* ---- the broker -------------------------------------------------------------------------- */

static void s_take(answer *out, pcl_buffer *buffer)
{
    assert_false(buffer->failed);
    assert_true(buffer->size <= sizeof out->payload);
    memcpy(out->payload, buffer->data, buffer->size);
    out->size = buffer->size;
    out->seal_size = 0;
    pcl_buffer_release(buffer);
}

static void s_seal_with(answer *out, const ask *to, const pcl_seal_key *key)
{
    pcl_seal seal = {.kind = PCL_SEAL_REPLY,
                     .time_us = pcl_wall_us(),
                     .channel = to->seal.channel,
                     .sequence = to->seal.sequence};
    pcl_seal_write(out->seal, &seal, pcl_bytes_of(out->payload, out->size), key);
    out->seal_size = PCL_SEAL_SIZE;
}

/* affected: 7; with a session or a cursor where asked for. */
static answer s_done(const ask *to, bool session, bool cursor)
{
    static const uint8_t HELD[PCL_ID_SIZE] = "0123456789abcdef";
    answer out;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PAYLOAD_MAX);
    pcl_reply_open(&buffer, to->request.id, true, cursor || session ? 2 + (cursor ? 1u : 0u) : 1);
    if (cursor || session) {
        if (cursor) {
            pcl_mp_put_text(&buffer, "cursor");
            pcl_mp_put_bin(&buffer, pcl_bytes_of(HELD, sizeof HELD));
        } else {
            pcl_mp_put_text(&buffer, "session");
            pcl_mp_put_bin(&buffer, pcl_bytes_of(HELD, sizeof HELD));
        }
    }
    if (cursor) {
        pcl_mp_put_text(&buffer, "columns");
        pcl_mp_put_array(&buffer, 1);
        pcl_mp_put_array(&buffer, 3);
        pcl_mp_put_text(&buffer, "n");
        pcl_mp_put_text(&buffer, "INT");
        pcl_mp_put_uint(&buffer, 0);
        pcl_mp_put_text(&buffer, "rows");
        pcl_mp_put_array(&buffer, 1);
        pcl_mp_put_array(&buffer, 1);
        pcl_mp_put_uint(&buffer, to->seal.sequence);
    } else {
        pcl_mp_put_text(&buffer, "affected");
        pcl_mp_put_uint(&buffer, 7);
    }
    s_take(&out, &buffer);
    s_seal_with(&out, to, &s_key);
    return out;
}

static answer s_refusal(const ask *to, const char *code, const char *hop, const char *retry,
                        bool sealed)
{
    answer out;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PAYLOAD_MAX);
    pcl_reply_open(&buffer, to->request.id, false, 1);
    pcl_mp_put_text(&buffer, "error");
    pcl_mp_put_map(&buffer, 7);
    pcl_mp_put_text(&buffer, "code");
    pcl_mp_put_text(&buffer, code);
    pcl_mp_put_text(&buffer, "message");
    pcl_mp_put_text(&buffer, "no");
    pcl_mp_put_text(&buffer, "errno");
    pcl_mp_put_uint(&buffer, 1062);
    pcl_mp_put_text(&buffer, "sqlstate");
    pcl_mp_put_text(&buffer, "23000");
    pcl_mp_put_text(&buffer, "hop");
    pcl_mp_put_text(&buffer, hop);
    pcl_mp_put_text(&buffer, "retry");
    pcl_mp_put_text(&buffer, retry);
    pcl_mp_put_text(&buffer, "retry_after_ms");
    pcl_mp_put_uint(&buffer, 30);
    s_take(&out, &buffer);
    if (sealed) {
        s_seal_with(&out, to, &s_key);
    }
    return out;
}

/* ---- the client -------------------------------------------------------------------------- */

static portcullis *s_open(size_t gates, bool seals)
{
    portcullis_gatekeeper gatekeepers[GATES] = {{.endpoint = s_endpoints[0]},
                                                {.endpoint = s_endpoints[1]}};
    portcullis_options options = {.gatekeepers = gatekeepers,
                                  .gatekeeper_count = gates,
                                  .insecure = true,
                                  .public_key = s_client_keys.public_key,
                                  .secret_key = s_client_keys.secret_key,
                                  .broker_public_key = seals ? s_broker_keys.public_key : NULL};
    char error[256];
    portcullis *client = portcullis_open_options(&options, error, sizeof error);
    if (client == NULL) {
        fail_msg("%s", error);
    }
    return client;
}

/* Takes the request. */
static portcullis_future *s_start_request(portcullis *client, portcullis_request *request)
{
    assert_non_null(request);
    portcullis_future *future = portcullis_start(client, request);
    assert_non_null(future);
    portcullis_request_destroy(&request);
    return future;
}

static portcullis_future *s_start(portcullis *client, bool idempotent)
{
    portcullis_request *request = portcullis_request_new("UPDATE t SET n = n + 1");
    portcullis_request_set_idempotent(request, idempotent);
    return s_start_request(client, request);
}

static portcullis_request *s_txn(void)
{
    portcullis_request *request = portcullis_request_new_txn();
    assert_true(portcullis_request_add_statement(request, "UPDATE t SET n = n + 1"));
    return request;
}

static portcullis_result *s_wait(portcullis_future *future)
{
    portcullis_result *result = portcullis_future_wait(&future, 2 * WAIT_MS);
    assert_non_null(result);
    return result;
}

/* Takes the result. */
static void s_expect(portcullis_result *result, portcullis_code code, portcullis_retry retry,
                     bool sealed)
{
    if (portcullis_result_code(result) != code) {
        fail_msg("%s: %s", portcullis_result_code_text(result), portcullis_result_message(result));
    }
    assert_int_equal(portcullis_result_retry(result), retry);
    assert_int_equal(portcullis_result_sealed(result), sealed);
    if (!sealed) { /* then nothing may be read out of it that the broker did not say */
        assert_int_equal(portcullis_result_affected(result), 0);
        assert_int_equal(portcullis_result_errno(result), 0);
        assert_string_equal(portcullis_result_sqlstate(result), "");
        size_t size = 1;
        (void)portcullis_result_octets(result, &size);
        assert_int_equal(size, 0);
    }
    portcullis_result_destroy(&result);
}

static void s_expect_forged(portcullis_future *future, const char *why)
{
    portcullis_result *result = s_wait(future);
    if (strstr(portcullis_result_message(result), why) == NULL) {
        fail_msg("%s: %s", portcullis_result_code_text(result), portcullis_result_message(result));
    }
    assert_string_equal(portcullis_result_hop(result), "client");
    s_expect(result, PORTCULLIS_FORGED, PORTCULLIS_RETRY_UNSAFE, false);
}

static int s_setup(void **state)
{
    (void)state;
    pcl_keys_make(&s_client_keys);
    pcl_keys_make(&s_broker_keys);
    pcl_keys_make(&s_other_keys);
    bool good = pcl_seal_key_make(&s_key, false, s_broker_keys.secret_key, s_client_keys.public_key,
                                  s_broker_keys.public_key) &&
                pcl_seal_key_make(&s_other_key, false, s_other_keys.secret_key,
                                  s_client_keys.public_key, s_broker_keys.public_key);
    return good ? 0 : -1;
}

static int s_start_gates(void **state)
{
    (void)state;
    s_context = zmq_ctx_new();
    for (uint32_t index = 0; index < GATES; index++) {
        s_endpoints[index][0] = '\0';
        s_bind(index);
    }
    return 0;
}

static int s_stop_gates(void **state)
{
    (void)state;
    for (uint32_t index = 0; index < GATES; index++) {
        packed_forget(s_gates[index]);
        (void)zmq_close(s_gates[index]);
    }
    (void)zmq_ctx_term(s_context);
    return 0;
}

/* ---- what is sent ------------------------------------------------------------------------ */

static void every_request_is_sealed_in_the_order_of_sending(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *futures[6] = {s_start(client, false),
                                     s_start_request(client, portcullis_request_new_ping()),
                                     s_start_request(client, portcullis_request_new_status()),
                                     s_start_request(client, portcullis_request_new_begin(true)),
                                     s_start_request(client, s_txn()),
                                     s_start(client, true)};
    uint64_t channel = 0;
    for (uint64_t index = 0; index < 6; index++) {
        ask asked;
        s_receive(0, &asked);
        assert_int_equal(asked.seal_size, PCL_SEAL_SIZE);
        assert_int_equal(asked.seal.sequence, index + 1);
        assert_true(index == 0 || asked.seal.channel == channel);
        assert_true(asked.request.has_id);
        assert_in_range(pcl_wall_us() - asked.seal.time_us, 0, 10 * 1000 * 1000);
        channel = asked.seal.channel;
        answer done = s_done(&asked, asked.request.op == PCL_OP_BEGIN, false);
        s_send(0, &asked, &done);
    }
    for (size_t index = 0; index < 6; index++) {
        portcullis_result *result = s_wait(futures[index]);
        assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
        assert_true(portcullis_result_sealed(result));
        portcullis_result_destroy(&result);
    }
    ask ended; /* the session that nobody took */
    s_receive(0, &ended);
    assert_int_equal(ended.request.op, PCL_OP_ROLLBACK);
    assert_int_equal(ended.seal.sequence, 7);
    portcullis_close(&client);
}

static void a_connection_is_a_channel_of_its_own(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    uint64_t channels[3] = {0};
    for (uint32_t life = 0; life < 3; life++) {
        portcullis_future *future = s_start(client, false);
        ask asked;
        s_receive(0, &asked);
        assert_int_equal(asked.seal.sequence, 1);
        channels[life] = asked.seal.channel;
        answer done = s_done(&asked, false, false);
        s_send(0, &asked, &done);
        portcullis_result *result = s_wait(future);
        assert_int_equal(portcullis_result_affected(result), 7);
        s_expect(result, PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER, true);
        if (life == 0) {
            packed_forget(s_gates[0]);
            (void)zmq_close(s_gates[0]);
            s_bind(0);
            s_sleep_ms(200);
        } else if (life == 1) {
            portcullis_close(&client);
            client = s_open(1, true);
        }
    }
    assert_true(channels[0] != channels[1] && channels[1] != channels[2]);
    portcullis_close(&client);
}

static void what_is_sent_again_is_sealed_again(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start(client, true);
    ask first;
    s_receive(0, &first);
    packed_forget(s_gates[0]);
    (void)zmq_close(s_gates[0]);
    s_bind(0);
    ask second;
    s_receive(0, &second);
    assert_memory_equal(first.request.id, second.request.id, PCL_ID_SIZE);
    assert_true(first.seal.channel != second.seal.channel);
    /* A reply to the first is none to the second. */
    answer done = s_done(&first, false, false);
    s_send(0, &second, &done);
    s_expect_forged(future, "another request's");
    portcullis_close(&client);
}

static void without_a_brokers_key_nothing_is_sealed(void **state)
{
    (void)state;
    portcullis *client = s_open(1, false);
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    assert_int_equal(asked.seal_size, 0);
    answer done = s_done(&asked, false, false); /* a seal that nobody asked for */
    s_send(0, &asked, &done);
    portcullis_result *result = s_wait(future);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    assert_int_equal(portcullis_result_affected(result), 7);
    assert_false(portcullis_result_sealed(result));
    portcullis_result_destroy(&result);
    portcullis_close(&client);
}

static void keys_that_can_not_seal_are_refused(void **state)
{
    (void)state;
    portcullis_gatekeeper gatekeeper = {.endpoint = s_endpoints[0]};
    portcullis_options options = {.gatekeepers = &gatekeeper,
                                  .gatekeeper_count = 1,
                                  .insecure = true,
                                  .broker_public_key = s_broker_keys.public_key};
    char error[256];
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_string_equal(error, "own public key: must be 40 characters of Z85");
    options.public_key = s_client_keys.public_key;
    options.secret_key = s_client_keys.secret_key;
    options.broker_public_key = "short";
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_string_equal(error, "the broker's public key: must be 40 characters of Z85");
    options.broker_public_key = "0rr9100000000000000000000000000000000000"; /* of order 1 */
    assert_null(portcullis_open_options(&options, error, sizeof error));
    assert_string_equal(error, "nothing can be sealed with the broker's public key");
}

/* ---- answers that are not the broker's ------------------------------------------------------ */

static void what_is_done_is_not_believed_without_the_seal(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    static const struct {
        size_t seal_size;
        const char *why;
    } cases[] = {{0, "is missing"}, {1, "64 octets"}, {63, "64 octets"}, {65, "64 octets"}};
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        portcullis_future *future = s_start(client, false);
        ask asked;
        s_receive(0, &asked);
        answer done = s_done(&asked, false, false);
        done.seal_size = cases[index].seal_size;
        s_send(0, &asked, &done);
        s_expect_forged(future, cases[index].why);
    }
    /* With the most a gatekeeper has: a seal by another's key, the request's own seal, that seal
     * called a reply's. */
    for (uint32_t way = 0; way < 3; way++) {
        portcullis_future *future = s_start(client, false);
        ask asked;
        s_receive(0, &asked);
        answer done = s_done(&asked, false, false);
        if (way == 0) {
            s_seal_with(&done, &asked, &s_other_key);
        } else {
            memcpy(done.seal, asked.seal_octets, PCL_SEAL_SIZE);
            done.seal[1] = way == 1 ? PCL_SEAL_REQUEST : PCL_SEAL_REPLY;
        }
        s_send(0, &asked, &done);
        s_expect_forged(future, way == 1 ? "another kind" : "does not fit");
    }
    portcullis_close(&client);
}

static void an_answer_that_was_changed_is_not_believed(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    answer done = s_done(&asked, false, false);
    done.payload[done.size - 1] = 8; /* affected */
    s_send(0, &asked, &done);
    s_expect_forged(future, "does not fit");
    /* Not done where it was, and the other way round. */
    future = s_start(client, false);
    s_receive(0, &asked);
    answer refused = s_refusal(&asked, "SQL", "agent", "never", false);
    done = s_done(&asked, false, false);
    memcpy(refused.seal, done.seal, PCL_SEAL_SIZE);
    refused.seal_size = PCL_SEAL_SIZE;
    s_send(0, &asked, &refused);
    s_expect_forged(future, "does not fit");
    future = s_start(client, false);
    s_receive(0, &asked);
    refused = s_refusal(&asked, "SQL", "agent", "never", true);
    done = s_done(&asked, false, false);
    memcpy(done.seal, refused.seal, PCL_SEAL_SIZE);
    s_send(0, &asked, &done);
    s_expect_forged(future, "does not fit");
    portcullis_close(&client);
}

static void answers_that_were_swapped_are_not_believed(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *one = s_start(client, false);
    portcullis_future *two = s_start(client, false);
    ask asked[2];
    s_receive(0, &asked[0]);
    s_receive(0, &asked[1]);
    answer answers[2] = {s_done(&asked[0], false, false), s_done(&asked[1], false, false)};
    s_send(0, &asked[0], &answers[1]);
    s_send(0, &asked[1], &answers[0]);
    s_expect_forged(one, "another request's");
    s_expect_forged(two, "another request's");
    portcullis_close(&client);
}

static void an_answer_of_before_is_not_believed(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    uint8_t id[PCL_ID_SIZE] = "the same id here";
    answer recorded = {.size = 0};
    for (uint32_t round = 0; round < 3; round++) {
        portcullis_request *request = portcullis_request_new("UPDATE t SET n = n + 1");
        portcullis_request_set_id(request, id);
        portcullis_future *future = s_start_request(client, request);
        ask asked;
        s_receive(0, &asked);
        if (round == 0) {
            recorded = s_done(&asked, false, false);
            s_send(0, &asked, &recorded);
            s_expect(s_wait(future), PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER, true);
            continue;
        }
        s_send(0, &asked, &recorded);
        s_expect_forged(future, "another request's");
        if (round == 1) { /* the third round is another connection's first request, as it was */
            portcullis_close(&client);
            client = s_open(1, true);
        }
    }
    portcullis_close(&client);
}

static void one_answer_is_enough(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    answer refused = s_refusal(&asked, "OVERLOADED", "gatekeeper", "safe", false);
    answer done = s_done(&asked, false, false);
    s_send(0, &asked, &refused);
    s_send(0, &asked, &done);
    s_send(0, &asked, &done);
    s_expect(s_wait(future), PORTCULLIS_OVERLOADED, PORTCULLIS_RETRY_UNSAFE, false);
    portcullis_close(&client);
}

/* ---- refusals ----------------------------------------------------------------------------- */

static void a_sealed_refusal_is_believed_whole(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    answer refused = s_refusal(&asked, "SQL", "agent", "never", true);
    s_send(0, &asked, &refused);
    portcullis_result *result = s_wait(future);
    assert_int_equal(portcullis_result_errno(result), 1062);
    assert_string_equal(portcullis_result_sqlstate(result), "23000");
    s_expect(result, PORTCULLIS_SQL, PORTCULLIS_RETRY_NEVER, true);
    future = s_start(client, false);
    s_receive(0, &asked);
    refused = s_refusal(&asked, "OVERLOADED", "broker", "safe", true);
    s_send(0, &asked, &refused);
    result = s_wait(future);
    assert_int_equal(portcullis_result_retry_after(result), 30);
    s_expect(result, PORTCULLIS_OVERLOADED, PORTCULLIS_RETRY_SAFE, true);
    portcullis_close(&client);
}

static void a_refusal_without_seal_tells_nothing_of_the_fate(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    static const char *const RETRIES[] = {"safe", "never", "unsafe"};
    static const struct {
        const char *code, *hop;
        portcullis_code expected;
    } cases[] = {{"FORBIDDEN", "broker", PORTCULLIS_FORBIDDEN},
                 {"FORBIDDEN", "gatekeeper", PORTCULLIS_FORBIDDEN},
                 {"OVERLOADED", "gatekeeper", PORTCULLIS_OVERLOADED},
                 {"UNAVAILABLE", "gatekeeper", PORTCULLIS_UNAVAILABLE},
                 {"UNAVAILABLE", "broker", PORTCULLIS_UNAVAILABLE},
                 {"DRAINING", "gatekeeper", PORTCULLIS_DRAINING},
                 {"MALFORMED", "gatekeeper", PORTCULLIS_MALFORMED},
                 {"DEADLINE", "gatekeeper", PORTCULLIS_DEADLINE},
                 {"LOST", "gatekeeper", PORTCULLIS_LOST},
                 {"LOST", "client", PORTCULLIS_FORGED},
                 {"CANCELLED", "client", PORTCULLIS_FORGED},
                 {"OVERLOADED", "agent", PORTCULLIS_FORGED},
                 {"UNAVAILABLE", "proxy", PORTCULLIS_FORGED},
                 {"SQL", "agent", PORTCULLIS_FORGED},
                 {"SQL", "gatekeeper", PORTCULLIS_FORGED},
                 {"ABORTED", "broker", PORTCULLIS_FORGED},
                 {"EXPECT", "broker", PORTCULLIS_FORGED},
                 {"GONE", "broker", PORTCULLIS_FORGED},
                 {"NO_NODE", "broker", PORTCULLIS_FORGED},
                 {"CANCELLED", "gatekeeper", PORTCULLIS_FORGED},
                 {"FORGED", "gatekeeper", PORTCULLIS_FORGED},
                 {"ROLLED_BACK", "broker", PORTCULLIS_FORGED}};
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        for (uint32_t retry = 0; retry < 3; retry++) {
            portcullis_future *future = s_start(client, false);
            ask asked;
            s_receive(0, &asked);
            answer refused = s_refusal(&asked, cases[index].code, cases[index].hop, RETRIES[retry],
                                       false);
            s_send(0, &asked, &refused);
            s_expect(s_wait(future), cases[index].expected, PORTCULLIS_RETRY_UNSAFE, false);
            if (strcmp(cases[index].code, "DRAINING") == 0 && retry == 0) {
                portcullis_close(&client); /* it does not use that connection any more */
                client = s_open(1, true);
            }
        }
    }
    portcullis_close(&client);
}

static void what_may_run_twice_is_safe_to_send_again(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    static const uint8_t ID[PCL_ID_SIZE] = "somebody's other";
    for (uint32_t kind = 0; kind < 6; kind++) {
        portcullis_request *request = kind == 0   ? portcullis_request_new_ping()
                                      : kind == 1 ? portcullis_request_new_status()
                                      : kind == 2 ? portcullis_request_new_begin(false)
                                      : kind == 3 ? portcullis_request_new_cancel(ID)
                                      : kind == 4 ? portcullis_request_new("SELECT 1")
                                                  : s_txn();
        portcullis_request_set_idempotent(request, kind == 4);
        portcullis_future *future = s_start_request(client, request);
        ask asked;
        s_receive(0, &asked);
        answer refused = s_refusal(&asked, "OVERLOADED", "gatekeeper", "never", false);
        s_send(0, &asked, &refused);
        s_expect(s_wait(future), PORTCULLIS_OVERLOADED,
                 kind == 5 ? PORTCULLIS_RETRY_UNSAFE : PORTCULLIS_RETRY_SAFE, false);
    }
    portcullis_close(&client);
}

/* It would run twice: the one gatekeeper has passed it on, and says that it has not. */
static void a_write_is_not_sent_again_on_a_gatekeepers_word(void **state)
{
    (void)state;
    static const char *const CODES[] = {"DRAINING", "UNAVAILABLE"};
    for (size_t index = 0; index < sizeof CODES / sizeof *CODES; index++) {
        portcullis *client = s_open(2, true);
        s_sleep_ms(200); /* both are there */
        portcullis_future *future = s_start(client, false);
        ask asked;
        uint32_t gate = s_receive_any(&asked);
        answer refused = s_refusal(&asked, CODES[index], "gatekeeper", "safe", false);
        s_send(gate, &asked, &refused);
        s_expect(s_wait(future), index == 0 ? PORTCULLIS_DRAINING : PORTCULLIS_UNAVAILABLE,
                 PORTCULLIS_RETRY_UNSAFE, false);
        assert_true(s_is_quiet(0) && s_is_quiet(1));
        portcullis_close(&client);
    }
}

static void what_may_run_twice_goes_on_to_another_gatekeeper(void **state)
{
    (void)state;
    portcullis *client = s_open(2, true);
    s_sleep_ms(200); /* both are there */
    portcullis_future *future = s_start(client, true);
    ask first, second;
    uint32_t gate = s_receive_any(&first);
    answer refused = s_refusal(&first, "DRAINING", "gatekeeper", "safe", false);
    s_send(gate, &first, &refused);
    s_receive(1 - gate, &second);
    assert_memory_equal(first.request.id, second.request.id, PCL_ID_SIZE);
    assert_true(first.seal.channel != second.seal.channel);
    answer done = s_done(&second, false, false);
    s_send(1 - gate, &second, &done);
    s_expect(s_wait(future), PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER, true);
    portcullis_close(&client);
}

static void who_forged_is_asked_last(void **state)
{
    (void)state;
    portcullis *client = s_open(2, true);
    s_sleep_ms(200); /* both are there */
    uint32_t forger = 2;
    for (uint32_t round = 0; round < 4; round++) {
        portcullis_future *future = s_start(client, false);
        ask asked;
        uint32_t gate = s_receive_any(&asked);
        assert_true(round == 0 || gate != forger);
        answer done = s_done(&asked, false, false);
        done.seal_size = round == 0 ? 0 : done.seal_size;
        s_send(gate, &asked, &done);
        if (round == 0) {
            forger = gate;
            s_expect_forged(future, "is missing");
        } else {
            s_expect(s_wait(future), PORTCULLIS_OK, PORTCULLIS_RETRY_NEVER, true);
        }
    }
    portcullis_close(&client);
}

/* ---- sessions and pages ---------------------------------------------------------------------- */

static void a_session_is_only_what_the_broker_opened(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start_request(client, portcullis_request_new_begin(false));
    ask asked;
    s_receive(0, &asked);
    answer made_up = s_done(&asked, true, false);
    made_up.seal_size = 0;
    s_send(0, &asked, &made_up);
    portcullis_result *result = s_wait(future);
    assert_null(portcullis_result_take_session(result));
    s_expect(result, PORTCULLIS_FORGED, PORTCULLIS_RETRY_UNSAFE, false);
    assert_true(s_is_quiet(0)); /* nothing is ended at a stranger's word */
    portcullis_close(&client);
}

static void a_session_ends_only_at_the_brokers_word(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start_request(client, portcullis_request_new_begin(false));
    ask asked;
    s_receive(0, &asked);
    answer done = s_done(&asked, true, false);
    s_send(0, &asked, &done);
    portcullis_result *result = s_wait(future);
    portcullis_session *session = portcullis_result_take_session(result);
    assert_non_null(session);
    portcullis_result_destroy(&result);
    static const char *const CODES[] = {"GONE", "ABORTED", "LOST"};
    for (size_t index = 0; index < sizeof CODES / sizeof *CODES; index++) {
        portcullis_request *commit = portcullis_request_new_commit();
        future = portcullis_session_start(session, commit);
        portcullis_request_destroy(&commit);
        s_receive(0, &asked);
        answer refused = s_refusal(&asked, CODES[index], index == 2 ? "client" : "agent", "never",
                                   false);
        s_send(0, &asked, &refused);
        s_expect_forged(future, "is missing");
        assert_true(portcullis_session_is_open(session));
    }
    portcullis_request *commit = portcullis_request_new_commit();
    future = portcullis_session_start(session, commit);
    portcullis_request_destroy(&commit);
    s_receive(0, &asked);
    done = s_done(&asked, false, false);
    done.seal_size = 0; /* "it is committed" */
    s_send(0, &asked, &done);
    s_expect_forged(future, "is missing");
    assert_true(portcullis_session_is_open(session));
    portcullis_session_destroy(&session);
    s_receive(0, &asked);
    assert_int_equal(asked.request.op, PCL_OP_ROLLBACK);
    portcullis_close(&client);
}

static portcullis_result *s_first_page(portcullis *client, answer *out_page)
{
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    *out_page = s_done(&asked, false, true);
    s_send(0, &asked, out_page);
    portcullis_result *result = s_wait(future);
    assert_int_equal(portcullis_result_code(result), PORTCULLIS_OK);
    assert_true(portcullis_result_has_more(result));
    return result;
}

static void pages_are_each_of_their_own_fetch(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    for (uint32_t way = 0; way < 5; way++) {
        answer page;
        portcullis_result *result = s_first_page(client, &page);
        portcullis_future *future = portcullis_result_start_fetch(result);
        ask asked;
        s_receive(0, &asked);
        assert_int_equal(asked.request.op, PCL_OP_FETCH);
        if (way == 0) { /* the page before */
            s_send(0, &asked, &page);
            s_expect_forged(future, "another request's");
        } else if (way == 1) { /* "that was all" */
            answer last = s_done(&asked, false, false);
            last.seal_size = 0;
            s_send(0, &asked, &last);
            s_expect_forged(future, "is missing");
        } else if (way == 2) {
            answer gone = s_refusal(&asked, "GONE", "agent", "never", false);
            s_send(0, &asked, &gone);
            s_expect_forged(future, "is missing");
        } else if (way == 3) {
            answer busy = s_refusal(&asked, "OVERLOADED", "gatekeeper", "safe", false);
            s_send(0, &asked, &busy);
            s_expect(s_wait(future), PORTCULLIS_OVERLOADED, PORTCULLIS_RETRY_UNSAFE, false);
        } else {
            answer next = s_done(&asked, false, true);
            s_send(0, &asked, &next);
            portcullis_result *second = s_wait(future);
            assert_int_equal(portcullis_result_code(second), PORTCULLIS_OK);
            assert_true(portcullis_result_sealed(second));
            portcullis_result_destroy(&second);
            s_receive(0, &asked);
            assert_int_equal(asked.request.op, PCL_OP_CLOSE);
            assert_int_equal(asked.seal_size, PCL_SEAL_SIZE);
        }
        portcullis_result_destroy(&result);
    }
    portcullis_close(&client);
}

/* The client gives back what a late reply has opened: at the broker's word, not at a stranger's. */
static void late_replies_end_only_what_the_broker_opened(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    for (uint32_t sealed = 0; sealed < 2; sealed++) {
        portcullis_request *begin = portcullis_request_new_begin(false);
        portcullis_request_set_timeout(begin, 50);
        portcullis_future *future = s_start_request(client, begin);
        ask asked;
        s_receive(0, &asked);
        s_expect(s_wait(future), PORTCULLIS_DEADLINE, PORTCULLIS_RETRY_SAFE, false);
        answer late = s_done(&asked, true, false);
        late.seal_size = sealed == 1 ? late.seal_size : 0;
        s_send(0, &asked, &late);
        if (sealed == 0) {
            assert_true(s_is_quiet(0));
        } else {
            s_receive(0, &asked);
            assert_int_equal(asked.request.op, PCL_OP_ROLLBACK);
        }
    }
    portcullis_close(&client);
}

static void what_a_cancel_found_is_the_brokers_word(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    static const uint8_t ID[PCL_ID_SIZE] = "somebody's other";
    portcullis_future *future = s_start_request(client, portcullis_request_new_cancel(ID));
    ask asked;
    s_receive(0, &asked);
    answer done = s_done(&asked, false, false);
    done.seal_size = 0;
    s_send(0, &asked, &done);
    s_expect_forged(future, "is missing");
    portcullis_close(&client);
}

static void what_does_not_parse_leaves_the_fate_open(void **state)
{
    (void)state;
    portcullis *client = s_open(1, true);
    portcullis_future *future = s_start(client, false);
    ask asked;
    s_receive(0, &asked);
    answer garbage = {.payload = {0xdd, 0xff, 0xff, 0xff, 0xff}, .size = 5};
    s_send(0, &asked, &garbage);
    s_expect(s_wait(future), PORTCULLIS_INTERNAL, PORTCULLIS_RETRY_UNSAFE, false);
    portcullis_close(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_start_gates, s_stop_gates)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_request_is_sealed_in_the_order_of_sending),
        TEST(a_connection_is_a_channel_of_its_own),
        TEST(what_is_sent_again_is_sealed_again),
        TEST(without_a_brokers_key_nothing_is_sealed),
        TEST(keys_that_can_not_seal_are_refused),
        TEST(what_is_done_is_not_believed_without_the_seal),
        TEST(an_answer_that_was_changed_is_not_believed),
        TEST(answers_that_were_swapped_are_not_believed),
        TEST(an_answer_of_before_is_not_believed),
        TEST(one_answer_is_enough),
        TEST(a_sealed_refusal_is_believed_whole),
        TEST(a_refusal_without_seal_tells_nothing_of_the_fate),
        TEST(what_may_run_twice_is_safe_to_send_again),
        TEST(a_write_is_not_sent_again_on_a_gatekeepers_word),
        TEST(what_may_run_twice_goes_on_to_another_gatekeeper),
        TEST(who_forged_is_asked_last),
        TEST(a_session_is_only_what_the_broker_opened),
        TEST(a_session_ends_only_at_the_brokers_word),
        TEST(pages_are_each_of_their_own_fetch),
        TEST(late_replies_end_only_what_the_broker_opened),
        TEST(what_a_cancel_found_is_the_brokers_word),
        TEST(what_does_not_parse_leaves_the_fate_open),
    };
    return cmocka_run_group_tests(tests, s_setup, NULL);
}
