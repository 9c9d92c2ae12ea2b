#include "gatekeeper/gatekeeper.h"
#include "net/zap.h"
#include "sql/classify.h"

#include "tests/lib/key_vault.h"
#include "tests/lib/role_fixture.h"

#define UP "portcullis_gatekeeper_link_up 1"

#ifndef ZMQ_METADATA /* zmq.h shows it to draft builds only, yet every build has it */
#define ZMQ_METADATA 95
#endif

typedef struct s_scene {
    role_fixture gatekeeper;
    fake_hop broker;
    char clients[64]; /* endpoint */
} s_scene;

/* A gatekeeper and no broker.  The endpoints are new each time: inproc lets go of a name late. */
static void s_start(s_scene *self, const char *broker, const char *more_of_clients,
                    const char *more)
{
    static int number = 0;
    char zpl[1024];
    (void)snprintf(self->clients, sizeof self->clients, "inproc://clients-%d", number++);
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\n%sbroker\n    endpoint = \"%s\"\n%s",
                   self->clients, more_of_clients, broker, more);
    fixture_start(&self->gatekeeper, &pcl_gatekeeper_role, zpl);
}

/* A gatekeeper whose link is up. */
static void s_open_with(s_scene *self, const char *more_of_clients, const char *more)
{
    static int number = 0;
    char broker[64];
    (void)snprintf(broker, sizeof broker, "inproc://broker-%d", number++);
    fake_open(&self->broker, broker);
    s_start(self, broker, more_of_clients, more);
    fixture_wait_metric(&self->gatekeeper, &self->broker, UP);
}

static void s_open(s_scene *self, const char *more)
{
    s_open_with(self, "", more);
}

static void s_close(s_scene *self)
{
    fixture_stop(&self->gatekeeper);
    fake_close(&self->broker);
}

static uint64_t s_dropped(const s_scene *self, const char *cause)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "cause=\"%s\"", cause);
    return fixture_counter(&self->gatekeeper, "portcullis_gatekeeper_replies_dropped_total",
                           labels);
}

static zsock_t *s_client(const s_scene *self, int type)
{
    zsock_t *client = zsock_new(type);
    assert_non_null(client);
    zsock_set_linger(client, 0);
    assert_int_equal(zsock_connect(client, "%s", self->clients), 0);
    return client;
}

/* On a DEALER; the delimiter is ours. */
static void s_send(zsock_t *client, const char *sql, uint8_t id, uint32_t timeout_ms)
{
    pcl_buffer request;
    fixture_request(&request, sql, id, timeout_ms);
    zmsg_t *message = zmsg_new();
    if (zsock_type(client) == ZMQ_DEALER) {
        zmsg_addstr(message, "");
    }
    zmsg_addmem(message, request.data, request.size);
    fixture_send(client, message);
    pcl_buffer_release(&request);
}

static zmsg_t *s_recv(s_scene *self, zsock_t *client)
{
    return fixture_recv(client, &self->broker, FIXTURE_WAIT_MS);
}

static void s_assert_error(s_scene *self, zsock_t *client, const char *code, const char *retry)
{
    zmsg_t *reply = s_recv(self, client);
    assert_error_reply(reply, code, retry, "gatekeeper");
    zmsg_destroy(&reply);
}

/* The reply is these frames, each a text. */
static void s_assert_frames(zmsg_t *reply, const char *const *texts, size_t count)
{
    assert_non_null(reply);
    assert_int_equal(zmsg_size(reply), count);
    for (size_t index = 0; index < count; index++) {
        char *text = zmsg_popstr(reply);
        assert_string_equal(text, texts[index]);
        zstr_free(&text);
    }
    zmsg_destroy(&reply);
}

/* --- The way of a request --------------------------------------------------- */

static void test_a_plain_req_socket_is_served(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    s_send(client, "SELECT 1", 0, 1500);
    fake_wait_held(&scene.broker, 1);
    const pcl_head *head = &scene.broker.held[0].head;
    assert_int_equal(head->op, PCL_OP_QUERY);
    assert_int_equal(head->sql_class, PCL_SQL_READ);
    assert_true(pcl_bytes_is(head->principal, "anonymous"));
    assert_in_range(head->budget_us, 1000000, 1500000);
    uint8_t none[PCL_ID_SIZE] = {0};
    assert_memory_not_equal(head->id, none, sizeof none); /* made up */
    pcl_buffer sent;
    fixture_request(&sent, "SELECT 1", 0, 1500);
    assert_true(
        pcl_bytes_equal(pcl_frame_bytes(&scene.broker.held[0].payload), pcl_buffer_bytes(&sent)));
    pcl_buffer_release(&sent);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "the answer");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"the answer"}, 1);
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_a_correlated_req_socket_is_served(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    zsock_set_req_correlate(client, 1);
    zsock_set_req_relaxed(client, 1);
    s_send(client, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    s_send(client, "SELECT 2", 2, 0); /* gives up the first */
    fake_wait_held(&scene.broker, 2);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "first");
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "second");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"second"}, 1);
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_what_a_dealer_puts_before_the_delimiter_comes_back(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    assert_int_equal(zstr_sendm(client, "one"), 0);
    assert_int_equal(zstr_sendm(client, "two"), 0);
    assert_int_equal(zstr_sendm(client, "three"), 0);
    assert_int_equal(zstr_sendm(client, "four"), 0);
    s_send(client, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "the answer");
    s_assert_frames(s_recv(&scene, client),
                    (const char *const[]){"one", "two", "three", "four", "", "the answer"}, 6);
    zsock_destroy(&client);
    s_close(&scene);
}

/* Two requests with one id are two requests: each gets the reply to its own. */
static void test_replies_in_any_order_find_their_client(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *first = s_client(&scene, ZMQ_DEALER);
    zsock_t *second = s_client(&scene, ZMQ_DEALER);
    s_send(first, "SELECT 1", 9, 0);
    fake_wait_held(&scene.broker, 1);
    s_send(second, "SELECT 2", 9, 0);
    fake_wait_held(&scene.broker, 2);
    fake_reply(&scene.broker, 1, PCL_ERR_OK, "to the second");
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "to the first");
    s_assert_frames(s_recv(&scene, first), (const char *const[]){"", "to the first"}, 2);
    s_assert_frames(s_recv(&scene, second), (const char *const[]){"", "to the second"}, 2);
    zsock_destroy(&first);
    zsock_destroy(&second);
    s_close(&scene);
}

/* As long as one must be; only the broker looks into it. */
#define SEAL "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_a_seal_goes_on_as_the_tail(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    pcl_buffer request;
    fixture_request(&request, "SELECT 1", 1, 0);
    zmsg_t *message = zmsg_new();
    zmsg_addstr(message, "");
    zmsg_addmem(message, request.data, request.size);
    zmsg_addstr(message, SEAL);
    fixture_send(client, message);
    pcl_buffer_release(&request);
    fake_wait_held(&scene.broker, 1);
    assert_int_equal(scene.broker.held[0].head.flags & PCL_HEAD_SEALED, PCL_HEAD_SEALED);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&scene.broker.held[0].tail), SEAL));
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- Bad input --------------------------------------------------------------- */

typedef struct garbage {
    const char *octets; /* of the payload */
    size_t size;
    const char *code;
    const char *said; /* part of the message */
} garbage;

#define OCTETS(text) (text), sizeof(text) - 1

static const garbage GARBAGE[] = {
    {OCTETS("\xc1"), "MALFORMED", ":"},
    {OCTETS("hello"), "MALFORMED", ":"},
    {OCTETS("\x82\xa1v\x01"), "MALFORMED", ":"},                 /* truncated */
    {OCTETS("\xdf\x7f\xff\xff\xff\xa1v\x01"), "MALFORMED", ":"}, /* promises much */
    {OCTETS("\x81\xa1v\x01\x00"), "MALFORMED", ":"},             /* one too many */
    {OCTETS("\x82\xa1v\x01\xa1v\x01"), "MALFORMED", ":"},        /* key twice */
    {OCTETS("\x83\xa1v\x01\xa2op\xa4ping\xa3"
            "foo\x01"),
     "MALFORMED", "foo"}, /* unknown key */
    {OCTETS("\x82\xa1v\x07\xa2op\xa4ping"), "VERSION", "v:"},
    {OCTETS("\x81\xa2op\xa4ping"), "MALFORMED", "v:"},
    {OCTETS("\x82\xa1v\x01\xa2op\xa4pong"), "MALFORMED", "op:"},
    {OCTETS("\x82\xa1v\x01\xa3sql\x05"), "MALFORMED", "sql:"},
    {OCTETS("\x83\xa1v\x01\xa3sql\xa8SELECT 1\xa8strategy\xa4"
            "best"),
     "MALFORMED", "strategy:"},
    {OCTETS("\x83\xa1v\x01\xa3sql\xa8SELECT 1\xaatimeout_ms\x00"), "MALFORMED", "timeout_ms:"},
    {OCTETS("\x83\xa1v\x01\xa2id\xc4\x02xx\xa2op\xa4ping"), "MALFORMED", "id:"},
    {OCTETS("\x82\xa1v\x01\xa3sql\xb2SELECT 1; SELECT 2"), "REFUSED", " at offset "},
};

static void test_each_bad_payload_gets_one_answer_and_goes_nowhere(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    for (size_t index = 0; index < sizeof GARBAGE / sizeof GARBAGE[0]; index++) {
        zmsg_t *message = zmsg_new();
        zmsg_addstrf(message, "%zu", index);
        zmsg_addstr(message, "");
        zmsg_addmem(message, GARBAGE[index].octets, GARBAGE[index].size);
        fixture_send(client, message);
        zmsg_t *reply = s_recv(&scene, client);
        char text[256];
        assert_error_reply(reply, GARBAGE[index].code, "never", "gatekeeper");
        if (strstr(error_message_of(reply, text), GARBAGE[index].said) == NULL) {
            fail_msg("garbage %zu: %s", index, text);
        }
        char *number = zmsg_popstr(reply);
        assert_int_equal(strtoul(number, NULL, 10), index);
        zstr_free(&number);
        zmsg_destroy(&reply);
    }
    fake_turn_ms(&scene.broker, 30);
    assert_int_equal(scene.broker.held_count, 0);
    assert_null(fixture_recv(client, &scene.broker, 0)); /* one answer each */
    zsock_destroy(&client);
    s_close(&scene);
}

/* Sends frames of these sizes; returns the reply. */
static zmsg_t *s_ask_with_frames(s_scene *self, zsock_t *client, const size_t *sizes, size_t count)
{
    zmsg_t *message = zmsg_new();
    for (size_t index = 0; index < count; index++) {
        zframe_t *frame = zframe_new(NULL, sizes[index]);
        memset(zframe_data(frame), 'x', sizes[index]);
        zmsg_append(message, &frame);
    }
    fixture_send(client, message);
    return s_recv(self, client);
}

static void test_each_bad_envelope_gets_one_answer(void **state)
{
    (void)state;
    static const struct {
        size_t sizes[14], count, reply_frames;
        const char *code, *said;
    } cases[] = {
        {{30}, 1, 2, "MALFORMED", "envelope: "},
        {{30, 30}, 2, 2, "MALFORMED", "envelope: "},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 14, 2, "MALFORMED", "envelope: "},
        {{1, 1, 1, 1, 1, 0, 30}, 7, 2, "MALFORMED", "envelope: "},
        {{256, 0, 30}, 3, 2, "MALFORMED", "envelope: "},
        {{7, 0}, 2, 3, "MALFORMED", "payload: "},
        {{0, 0}, 2, 2, "MALFORMED", "payload: "},
        {{0, PCL_REQUEST_SIZE_MAX + 1}, 2, 2, "TOO_LARGE", "payload: "},
        {{0, 30, 65}, 3, 2, "MALFORMED", "seal: "},
        {{1, 2, 0, 30, 3, 3}, 6, 4, "MALFORMED", "envelope: "},
        {{0, 30, 3, 3, 3, 3, 3, 3, 3, 3}, 10, 2, "MALFORMED", "envelope: "},
    };
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        zmsg_t *reply = s_ask_with_frames(&scene, client, cases[index].sizes, cases[index].count);
        assert_error_reply(reply, cases[index].code, "never", "gatekeeper");
        char text[256];
        assert_non_null(strstr(error_message_of(reply, text), cases[index].said));
        assert_int_equal(zmsg_size(reply), cases[index].reply_frames);
        zmsg_destroy(&reply);
    }
    assert_null(fixture_recv(client, &scene.broker, 20));
    assert_int_equal(scene.broker.held_count, 0);
    zsock_destroy(&client);
    s_close(&scene);
}

/* Whoever connected under the same id next would get the replies of the one before. */
static void test_a_client_may_not_choose_its_routing_id(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = zsock_new(ZMQ_DEALER);
    zsock_set_linger(client, 0);
    zsock_set_identity(client, "alice");
    assert_int_equal(zsock_connect(client, "%s", scene.clients), 0);
    s_send(client, "SELECT 1", 1, 0);
    zmsg_t *reply = s_recv(&scene, client);
    assert_error_reply(reply, "MALFORMED", "never", "gatekeeper");
    char text[256];
    assert_non_null(strstr(error_message_of(reply, text), "routing id"));
    zmsg_destroy(&reply);
    assert_int_equal(scene.broker.held_count, 0);
    zsock_destroy(&client);
    s_close(&scene);
}

/* A client that multiplexes matches replies by id, so a refusal carries it. */
static void test_a_refusal_carries_the_id(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1; SELECT 2", 5, 0);
    zmsg_t *message = s_recv(&scene, client);
    assert_non_null(message);
    zframe_t *payload = zmsg_last(message);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply,
                                   pcl_bytes_of(zframe_data(payload), zframe_size(payload)));
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(reply.has_id);
    assert_int_equal(reply.id[0], 5);
    assert_int_equal(reply.id[15], 5);
    zmsg_destroy(&message);
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- The broker in trouble --------------------------------------------------- */

static void test_without_a_broker_the_answer_is_unavailable_at_once(void **state)
{
    (void)state;
    s_scene scene = {0};
    s_start(&scene, "inproc://nobody", "", "");
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    s_send(client, "UPDATE t SET a = 1", 1, 0);
    zmsg_t *reply = fixture_recv(client, NULL, 500);
    assert_error_reply(reply, "UNAVAILABLE", "safe", "gatekeeper");
    zmsg_destroy(&reply);
    zsock_destroy(&client);
    fixture_stop(&scene.gatekeeper);
}

/* Three requests in flight, then `end` happens to the broker. */
static void s_lose(uint64_t new_boot_id, bool mute)
{
    s_scene scene;
    s_open(&scene, "");
    zsock_t *reader = s_client(&scene, ZMQ_DEALER);
    zsock_t *writer = s_client(&scene, ZMQ_DEALER);
    zsock_t *pinger = s_client(&scene, ZMQ_DEALER);
    s_send(reader, "SELECT 1", 1, 60000);
    s_send(writer, "DELETE FROM t", 2, 60000);
    s_send(pinger, NULL, 3, 60000);
    fake_wait_held(&scene.broker, 3);
    scene.broker.boot_id = new_boot_id;
    scene.broker.mute = mute;
    s_assert_error(&scene, reader, "LOST", "safe");
    s_assert_error(&scene, writer, "LOST", "unsafe");
    s_assert_error(&scene, pinger, "LOST", "safe");
    while (scene.broker.held_count > 0) { /* too late */
        fake_reply(&scene.broker, 0, PCL_ERR_OK, "too late");
    }
    assert_null(fixture_recv(reader, &scene.broker, 30));
    assert_int_equal(s_dropped(&scene, "stale"), 3);
    zsock_destroy(&reader);
    zsock_destroy(&writer);
    zsock_destroy(&pinger);
    s_close(&scene);
}

static void test_a_broker_that_starts_again_has_lost_what_it_held(void **state)
{
    (void)state;
    s_lose(2, false);
}

static void test_a_silent_broker_has_lost_what_it_held(void **state)
{
    (void)state;
    s_lose(1, true);
}

/* The connection ends with the process: nobody waits until silence tells. */
static void test_a_broker_that_dies_is_missed_at_once(void **state)
{
    (void)state;
    enum { SILENCE_MS = PCL_BEAT_INTERVAL_MS * PCL_BEATS_GONE };
    s_scene scene;
    char broker[64];
    (void)snprintf(broker, sizeof broker, "ipc:///tmp/portcullis-broker-%d", (int)getpid());
    fake_open(&scene.broker, broker);
    s_start(&scene, broker, "", "");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker, UP);
    zsock_t *writer = s_client(&scene, ZMQ_DEALER);
    s_send(writer, "DELETE FROM t", 1, 60000);
    fake_wait_held(&scene.broker, 1);
    uint64_t since_us = pcl_now_us();
    fake_close(&scene.broker);
    zmsg_t *reply = fixture_recv(writer, NULL, FIXTURE_WAIT_MS);
    assert_error_reply(reply, "LOST", "unsafe", "gatekeeper");
    assert_true(pcl_now_us() - since_us < SILENCE_MS * UINT64_C(1000) / 2);
    zmsg_destroy(&reply);
    s_send(writer, "DELETE FROM t", 2, 60000);
    reply = fixture_recv(writer, NULL, FIXTURE_WAIT_MS);
    assert_error_reply(reply, "UNAVAILABLE", "safe", "gatekeeper");
    zmsg_destroy(&reply);
    zsock_destroy(&writer);
    fixture_stop(&scene.gatekeeper);
}

static void test_a_draining_broker_gets_no_new_work(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    fake_say(&scene.broker, &scene.broker.held[0].peer, PCL_KIND_BYE);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker, "portcullis_gatekeeper_link_up 0");
    s_send(client, "SELECT 2", 2, 0);
    /* DRAINING would be its own stop. */
    s_assert_error(&scene, client, "UNAVAILABLE", "safe");
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "finished"); /* what it had, it finishes */
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "finished"}, 2);
    zsock_destroy(&client);
    s_close(&scene);
}

/* The best of a few tries: a busy machine wakes anybody late now and then. */
static void test_a_deadline_is_answered_in_time(void **state)
{
    (void)state;
    enum { TRIES_MAX = 4, TIMEOUT_MS = 100, PROMISE_MS = 100 };
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    uint64_t took_us = UINT64_MAX;
    for (int try = 0; try < TRIES_MAX && took_us > (TIMEOUT_MS + PROMISE_MS) * 1000; try++) {
        uint64_t sent_us = pcl_now_us();
        s_send(client, "SELECT 1", 1, TIMEOUT_MS);
        s_send(client, "DELETE FROM t", 2, TIMEOUT_MS);
        s_assert_error(&scene, client, "DEADLINE", "safe");
        took_us = pcl_now_us() - sent_us;
        s_assert_error(&scene, client, "DEADLINE", "unsafe");
        assert_true(took_us >= TIMEOUT_MS * 1000);
    }
    assert_true(took_us <= (TIMEOUT_MS + PROMISE_MS) * 1000);
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_a_reply_with_another_id_is_nobodys(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    pcl_hop_message *held = &scene.broker.held[0];
    pcl_head head = {.ticket = held->head.ticket, .kind = PCL_KIND_REPLY, .id = {9}};
    pcl_err err = pcl_hop_send(scene.broker.socket, &held->peer, &head, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    head.ticket ^= UINT64_C(1) << 40; /* another generation */
    memcpy(head.id, held->head.id, sizeof head.id);
    err = pcl_hop_send(scene.broker.socket, &held->peer, &head, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "the right one");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "the right one"}, 2);
    assert_int_equal(s_dropped(&scene, "foreign"), 1);
    assert_int_equal(s_dropped(&scene, "stale"), 1);
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- Limits ------------------------------------------------------------------ */

static void test_a_full_table_is_overloaded(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "limits\n    inflight_max = 2\n");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    s_send(client, "SELECT 2", 2, 0);
    s_send(client, "SELECT 3", 3, 0);
    zmsg_t *message = s_recv(&scene, client);
    assert_error_reply(message, "OVERLOADED", "safe", "gatekeeper");
    zmsg_destroy(&message);
    fake_wait_held(&scene.broker, 2);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "room again");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "room again"}, 2);
    s_send(client, "SELECT 4", 4, 0);
    fake_wait_held(&scene.broker, 2);
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_a_principals_share_is_its_own(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "limits\n    inflight_principal_max = 1\n");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    s_send(client, "SELECT 2", 2, 0);
    s_assert_error(&scene, client, "OVERLOADED", "safe");
    fake_wait_held(&scene.broker, 1);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "done");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "done"}, 2);
    s_send(client, "SELECT 3", 3, 0); /* its share is free again */
    fake_wait_held(&scene.broker, 1);
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- Clients in trouble ------------------------------------------------------ */

static void test_a_client_that_left_costs_its_reply_and_nothing_else(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_client(&scene, ZMQ_DEALER);
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(gone, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    zsock_destroy(&gone);
    fake_turn_ms(&scene.broker, 300); /* nothing tells when libzmq has taken its queue away */
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "to nobody");
    s_send(client, "SELECT 2", 2, 0);
    fake_wait_held(&scene.broker, 1);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "to the other");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "to the other"}, 2);
    assert_int_equal(s_dropped(&scene, "unroutable"), 1);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_gatekeeper_requests_in_flight 0");
    zsock_destroy(&client);
    s_close(&scene);
}

/* More replies at once than the client's queue holds: they wait, none is dropped. */
static void test_replies_wait_for_a_client_that_reads_slowly(void **state)
{
    (void)state;
    enum { REQUESTS = 40 };
    s_scene scene;
    s_open_with(&scene, "    queue_max = 3\n", "");
    zsock_t *client = zsock_new(ZMQ_DEALER);
    zsock_set_linger(client, 0);
    zsock_set_rcvhwm(client, 3);
    assert_int_equal(zsock_connect(client, "%s", scene.clients), 0);
    for (uint8_t id = 1; id <= REQUESTS; id++) {
        s_send(client, "SELECT 1", id, 0);
    }
    fake_wait_held(&scene.broker, REQUESTS);
    while (scene.broker.held_count > 0) {
        fake_reply(&scene.broker, 0, PCL_ERR_OK, "an answer");
    }
    s_send(client, "not sql; at all", 99, 0); /* a refusal waits too */
    fake_turn_ms(&scene.broker, 60);
    for (int count = 0; count <= REQUESTS; count++) {
        zmsg_t *reply = s_recv(&scene, client);
        assert_non_null(reply);
        zmsg_destroy(&reply);
    }
    assert_true(
        fixture_counter(&scene.gatekeeper, "portcullis_gatekeeper_replies_parked_total", "") > 0);
    assert_int_equal(s_dropped(&scene, "slow"), 0);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_gatekeeper_requests_in_flight 0");
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_a_client_that_never_reads_is_given_up(void **state)
{
    (void)state;
    s_scene scene;
    s_open_with(&scene, "    queue_max = 2\n", "");
    zsock_t *client = zsock_new(ZMQ_DEALER);
    zsock_set_linger(client, 0);
    zsock_set_rcvhwm(client, 2);
    assert_int_equal(zsock_connect(client, "%s", scene.clients), 0);
    for (uint8_t id = 1; id <= 20; id++) {
        s_send(client, "SELECT 1; SELECT 2", id, 0);
    }
    fake_turn_ms(&scene.broker, 100);
    assert_int_equal(s_dropped(&scene, "slow"), 0);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_gatekeeper_requests_in_flight 0");
    assert_true(s_dropped(&scene, "slow") > 0);
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- Keys -------------------------------------------------------------------- */

static zsock_t *s_curve_client(const key_vault *vault, const pcl_keys *keys)
{
    zsock_t *client = zsock_new(ZMQ_DEALER);
    vault_connect(vault, client, keys);
    return client;
}

/* A key that is taken off the list loses its live connection, with what it has in flight. */
static void test_a_key_is_a_principal_until_it_is_taken_off(void **state)
{
    (void)state;
    key_vault vault;
    s_scene scene;
    vault_open(&vault, "alice");
    assert_true(pcl_zap_start());
    fake_open(&scene.broker, "inproc://broker-curve");
    char zpl[1024];
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\n    keys = \"%s\"\n"
                   "curve\n    key_file = \"%s\"\n"
                   "broker\n    endpoint = \"inproc://broker-curve\"\n",
                   vault.endpoint, vault.list_file, vault.key_file);
    fixture_start(&scene.gatekeeper, &pcl_gatekeeper_role, zpl);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker, UP);
    zsock_t *client = s_curve_client(&vault, &vault.client);
    zsock_t *stranger = s_curve_client(&vault, &vault.stranger);
    s_send(stranger, "SELECT 1", 1, 0);
    s_send(client, "SELECT 1", 2, 0);
    fake_wait_held(&scene.broker, 1);
    assert_true(pcl_bytes_is(scene.broker.held[0].head.principal, "alice"));
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "to alice");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "to alice"}, 2);

    vault_write_list(&vault, "bob", vault.server.public_key);
    s_send(client, "SELECT 2", 3, 0);
    fake_wait_held(&scene.broker, 1);
    fixture_reload(&scene.gatekeeper, &pcl_gatekeeper_role, zpl);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_gatekeeper_cancels_sent_total 1");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_revoked_total{peers=\"clients\"} 1");
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "to nobody");
    s_send(client, "SELECT 1", 4, 0);
    assert_null(fixture_recv(client, &scene.broker, 50));
    assert_null(fixture_recv(stranger, &scene.broker, 50));
    assert_int_equal(scene.broker.held_count, 0);
    zsock_destroy(&client);
    zsock_destroy(&stranger);
    s_close(&scene);
    pcl_zap_stop();
    vault_close(&vault);
}

/* Whose it is shows only when it speaks. */
static void test_a_revoked_key_that_had_not_spoken_is_told_and_cut(void **state)
{
    (void)state;
    key_vault vault;
    s_scene scene;
    vault_open(&vault, "alice");
    assert_true(pcl_zap_start());
    fake_open(&scene.broker, "inproc://broker-silent");
    char zpl[1024];
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\n    keys = \"%s\"\n"
                   "curve\n    key_file = \"%s\"\n"
                   "broker\n    endpoint = \"inproc://broker-silent\"\n",
                   vault.endpoint, vault.list_file, vault.key_file);
    fixture_start(&scene.gatekeeper, &pcl_gatekeeper_role, zpl);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker, UP);
    zsock_t *client = s_curve_client(&vault, &vault.client);
    zsock_set_sndtimeo(client, FIXTURE_WAIT_MS);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_silent{peers=\"clients\"} 1");
    fake_turn_ms(&scene.broker, 300); /* its handshake is through */
    vault_write_list(&vault, "bob", vault.server.public_key);
    fixture_reload(&scene.gatekeeper, &pcl_gatekeeper_role, zpl);
    s_send(client, "SELECT 1", 1, 0);
    s_assert_error(&scene, client, "FORBIDDEN", "never");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_revoked_total{peers=\"clients\"} 1");
    zsock_destroy(&client);
    s_close(&scene);
    pcl_zap_stop();
    vault_close(&vault);
}

/* --- Who comes ---------------------------------------------------------------- */

/* A gatekeeper on tcp, where whoever connects is let in. */
static void s_open_tcp(s_scene *self, const char *more_of_clients)
{
    char zpl[1024];
    static int number = 0;
    char broker[64];
    (void)snprintf(broker, sizeof broker, "inproc://broker-tcp-%d", number++);
    fake_open(&self->broker, broker);
    (void)snprintf(self->clients, sizeof self->clients, "tcp://127.0.0.1:%u", vault_free_port());
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\n%scurve\n    insecure = 1\n"
                   "broker\n    endpoint = \"%s\"\n",
                   self->clients, more_of_clients, broker);
    fixture_start(&self->gatekeeper, &pcl_gatekeeper_role, zpl);
    fixture_wait_metric(&self->gatekeeper, &self->broker, UP);
}

static zsock_t *s_tcp_client(const s_scene *self, const void *route, size_t route_size)
{
    zsock_t *client = zsock_new(ZMQ_DEALER);
    assert_non_null(client);
    zsock_set_linger(client, 0);
    zsock_set_reconnect_ivl(client, -1); /* who is out stays out */
    if (route_size > 0) {
        assert_int_equal(zmq_setsockopt(zsock_resolve(client), ZMQ_ROUTING_ID, route, route_size),
                         0);
    }
    assert_int_equal(zsock_connect(client, "%s", self->clients), 0);
    return client;
}

static void test_one_connection_too_many_of_a_principal_is_told_and_ends(void **state)
{
    (void)state;
    s_scene scene;
    s_open_tcp(&scene, "    connections_principal_max = 1\n");
    zsock_t *first = s_tcp_client(&scene, NULL, 0);
    s_send(first, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    zsock_t *second = s_tcp_client(&scene, NULL, 0);
    s_send(second, "SELECT 1", 2, 0);
    s_assert_error(&scene, second, "OVERLOADED", "safe");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections{peers=\"clients\"} 1");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_refused_total{peers=\"clients\","
                        "rule=\"connections_principal\"} 1");
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "still there");
    s_assert_frames(s_recv(&scene, first), (const char *const[]){"", "still there"}, 2);
    zsock_destroy(&first);
    zsock_destroy(&second);
    s_close(&scene);
}

static void test_a_newcomer_takes_the_place_of_who_never_spoke(void **state)
{
    (void)state;
    s_scene scene;
    s_open_tcp(&scene, "    connections_max = 2\n");
    zsock_t *silent = s_tcp_client(&scene, NULL, 0);
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_silent{peers=\"clients\"} 1");
    zsock_t *clients[2];
    for (uint8_t index = 0; index < 2; index++) {
        clients[index] = s_tcp_client(&scene, NULL, 0);
        s_send(clients[index], "not sql; at all", (uint8_t)(index + 1), 0);
        s_assert_error(&scene, clients[index], "REFUSED", "never");
    }
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_refused_total{peers=\"clients\","
                        "rule=\"silent\"} 1");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_silent{peers=\"clients\"} 0");
    zsock_destroy(&silent);
    zsock_destroy(&clients[0]);
    zsock_destroy(&clients[1]);
    s_close(&scene);
}

/* libzmq would end the process when it came to that number by itself. */
static void test_an_id_as_the_router_makes_them_is_believed_only_to_the_router(void **state)
{
    (void)state;
    s_scene scene;
    s_open_tcp(&scene, "");
    int forged_count = 0;
    for (uint8_t index = 0; index < 8; index++) { /* of 2^32 numbers, 65536 could be the next */
        const uint8_t route[5] = {0, (uint8_t)(index * 32), 1, 2, 3};
        zsock_t *client = s_tcp_client(&scene, route, sizeof route);
        s_send(client, "not sql; at all", 1, 0);
        zmsg_t *reply = fixture_recv(client, &scene.broker, 100);
        forged_count += reply == NULL;
        zmsg_destroy(&reply);
        zsock_destroy(&client);
    }
    assert_true(forged_count >= 7);
    assert_true(fixture_counter(&scene.gatekeeper, "portcullis_door_connections_refused_total",
                                "peers=\"clients\",rule=\"forged_route\"") >= 7);
    zsock_t *honest = s_tcp_client(&scene, NULL, 0);
    s_send(honest, "not sql; at all", 1, 0);
    s_assert_error(&scene, honest, "REFUSED", "never");
    zsock_destroy(&honest);
    s_close(&scene);
}

/* RFC 1, section 2.2. */
static void test_who_is_silent_for_longer_than_it_said_is_cut(void **state)
{
    (void)state;
    s_scene scene;
    s_open_tcp(&scene, "");
    zsock_t *clients[3];
    const char *const sayings[3] = {NULL, "X-Silence-Max-Ms:50", "X-Silence-Max-Ms:60000"};
    for (uint8_t index = 0; index < 3; index++) {
        clients[index] = zsock_new(ZMQ_DEALER);
        zsock_set_linger(clients[index], 0);
        zsock_set_reconnect_ivl(clients[index], -1);
        const char *saying = sayings[index];
        assert_true(saying == NULL || zmq_setsockopt(zsock_resolve(clients[index]), ZMQ_METADATA,
                                                     saying, strlen(saying)) == 0);
        assert_int_equal(zsock_connect(clients[index], "%s", scene.clients), 0);
        s_send(clients[index], "SELECT 1", (uint8_t)(index + 1), 0);
        fake_wait_held(&scene.broker, index + 1);
    }
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_refused_total{peers=\"clients\","
                        "rule=\"frozen\"} 1");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_gatekeeper_clients 2"); /* and the others are there */
    for (uint8_t index = 0; index < 3; index++) {
        zsock_destroy(&clients[index]);
    }
    s_close(&scene);
}

static void test_so_many_may_come_a_second(void **state)
{
    (void)state;
    s_scene scene;
    s_open_tcp(&scene, "    handshakes_address_max = 1\n"); /* ten at once */
    zsock_t *clients[20];
    for (int index = 0; index < 20; index++) {
        clients[index] = s_tcp_client(&scene, NULL, 0);
    }
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections_refused_total{peers=\"clients\","
                        "rule=\"handshakes_address\"} 10");
    fixture_wait_metric(&scene.gatekeeper, &scene.broker,
                        "portcullis_door_connections{peers=\"clients\"} 10");
    for (int index = 0; index < 20; index++) {
        zsock_destroy(&clients[index]);
    }
    s_close(&scene);
}

static void test_a_request_without_its_seal_may_be_refused_here_already(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "seal\n    required = 1\n");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    s_assert_error(&scene, client, "FORBIDDEN", "never");
    assert_int_equal(
        fixture_counter(&scene.gatekeeper, "portcullis_gatekeeper_refusals_total", "rule=\"seal\""),
        1);
    zsock_destroy(&client);
    s_close(&scene);
}

static void test_limits_reload(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    char zpl[1024];
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\nbroker\n    endpoint = \"inproc://x\"\n"
                   "limits\n    timeout_ms_max = 50\n    request_size_max = 1024\n",
                   scene.clients);
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    fixture_reload(&scene.gatekeeper, &pcl_gatekeeper_role, zpl);
    s_send(client, "SELECT 1", 1, 9000);
    s_assert_error(&scene, client, "DEADLINE", "safe");
    assert_in_range(scene.broker.held[0].head.budget_us, 1, 50000);
    zmsg_t *reply = s_ask_with_frames(&scene, client, (const size_t[]){0, 1025}, 2);
    assert_error_reply(reply, "TOO_LARGE", "never", "gatekeeper");
    zmsg_destroy(&reply);
    zsock_destroy(&client);
    s_close(&scene);
}

/* --- Orderly stop ------------------------------------------------------------ */

static void test_draining_finishes_what_is_in_flight(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(client, "SELECT 1", 1, 0);
    fake_wait_held(&scene.broker, 1);
    fixture_drain(&scene.gatekeeper);
    zclock_sleep(20);
    s_send(client, "SELECT 2", 2, 0);
    s_assert_error(&scene, client, "DRAINING", "safe");
    assert_false(fixture_ended(&scene.gatekeeper, 50));
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "the last");
    s_assert_frames(s_recv(&scene, client), (const char *const[]){"", "the last"}, 2);
    assert_true(fixture_ended(&scene.gatekeeper, FIXTURE_END_MS));
    zsock_destroy(&client);
    s_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_req_socket_is_served),
        cmocka_unit_test(test_a_correlated_req_socket_is_served),
        cmocka_unit_test(test_what_a_dealer_puts_before_the_delimiter_comes_back),
        cmocka_unit_test(test_replies_in_any_order_find_their_client),
        cmocka_unit_test(test_a_seal_goes_on_as_the_tail),
        cmocka_unit_test(test_each_bad_payload_gets_one_answer_and_goes_nowhere),
        cmocka_unit_test(test_each_bad_envelope_gets_one_answer),
        cmocka_unit_test(test_a_client_may_not_choose_its_routing_id),
        cmocka_unit_test(test_a_refusal_carries_the_id),
        cmocka_unit_test(test_without_a_broker_the_answer_is_unavailable_at_once),
        cmocka_unit_test(test_a_broker_that_starts_again_has_lost_what_it_held),
        cmocka_unit_test(test_a_silent_broker_has_lost_what_it_held),
        cmocka_unit_test(test_a_broker_that_dies_is_missed_at_once),
        cmocka_unit_test(test_a_draining_broker_gets_no_new_work),
        cmocka_unit_test(test_a_deadline_is_answered_in_time),
        cmocka_unit_test(test_a_reply_with_another_id_is_nobodys),
        cmocka_unit_test(test_a_full_table_is_overloaded),
        cmocka_unit_test(test_a_principals_share_is_its_own),
        cmocka_unit_test(test_a_client_that_left_costs_its_reply_and_nothing_else),
        cmocka_unit_test(test_replies_wait_for_a_client_that_reads_slowly),
        cmocka_unit_test(test_a_client_that_never_reads_is_given_up),
        cmocka_unit_test(test_a_key_is_a_principal_until_it_is_taken_off),
        cmocka_unit_test(test_a_revoked_key_that_had_not_spoken_is_told_and_cut),
        cmocka_unit_test(test_one_connection_too_many_of_a_principal_is_told_and_ends),
        cmocka_unit_test(test_a_newcomer_takes_the_place_of_who_never_spoke),
        cmocka_unit_test(test_an_id_as_the_router_makes_them_is_believed_only_to_the_router),
        cmocka_unit_test(test_who_is_silent_for_longer_than_it_said_is_cut),
        cmocka_unit_test(test_so_many_may_come_a_second),
        cmocka_unit_test(test_a_request_without_its_seal_may_be_refused_here_already),
        cmocka_unit_test(test_limits_reload),
        cmocka_unit_test(test_draining_finishes_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
