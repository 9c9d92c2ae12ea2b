#include "net/zap.h"

#include "net/frames.h"
#include "net/key_list.h"
#include "net/socket.h"

#include "handshake.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FRAME_MAX = 1024 };

typedef struct s_server {
    zsock_t *socket;
    zsock_t *monitor;
} s_server;

static pcl_keys s_server_keys, s_alice, s_bob;

static s_server s_open(const char *domain)
{
    char error[256];
    pcl_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                  .keys = &s_server_keys,
                                  .zap_domain = domain,
                                  .queue_max = 10,
                                  .message_size_max = FRAME_MAX};
    s_server server = {.socket = pcl_socket_router(&options, error, sizeof error)};
    assert_non_null(server.socket);
    server.monitor = handshake_watch(server.socket);
    return server;
}

static void s_close(s_server *server)
{
    (void)zmq_socket_monitor(zsock_resolve(server->socket), NULL, 0);
    zsock_destroy(&server->monitor);
    zsock_destroy(&server->socket);
}

static zsock_t *s_connect(const s_server *server, const pcl_keys *keys)
{
    char error[256];
    pcl_socket_options options = {.endpoint = zsock_endpoint(server->socket),
                                  .keys = keys,
                                  .server_key = s_server_keys.public_key,
                                  .queue_max = 10,
                                  .message_size_max = FRAME_MAX};
    zsock_t *client = pcl_socket_dealer(&options, error, sizeof error);
    assert_non_null(client);
    return client;
}

static void s_expect(const s_server *server, const pcl_keys *keys, int event)
{
    zsock_t *client = s_connect(server, keys);
    assert_int_equal(handshake_result(server->monitor), event);
    zsock_destroy(&client);
}

static void s_admit(const char *domain, const char *name, const pcl_keys *keys)
{
    pcl_key_list *list = pcl_key_list_new();
    if (keys != NULL) {
        assert_null(pcl_key_list_add(list, name, keys->public_key, ""));
    }
    pcl_zap_set(domain, list);
    pcl_key_list_destroy(&list);
}

static void test_only_keys_of_the_list_come_in(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    s_server server = s_open("clients");
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH); /* never set: nobody */
    s_admit("clients", "alice", &s_alice);
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    s_expect(&server, &s_bob, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    s_close(&server);
    pcl_zap_stop();
}

static void test_a_domain_admits_its_own_only(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_admit("agents", "bob", &s_bob);
    s_server agents = s_open("agents");
    s_expect(&agents, &s_alice, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    s_expect(&agents, &s_bob, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    s_close(&agents);
    pcl_zap_stop();
}

static void test_a_key_taken_off_the_list_is_refused(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_server server = s_open("clients");
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    s_admit("clients", NULL, NULL);
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    s_close(&server);
    pcl_zap_stop();
}

/* libzmq alone would let everyone in now. */
static void test_without_a_handler_nobody_comes_in(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_server server = s_open("clients");
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    pcl_zap_stop();
    s_expect(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
    s_close(&server);
}

static void test_the_user_id_is_the_public_key(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_server server = s_open("clients");
    zsock_t *client = s_connect(&server, &s_alice);
    assert_int_equal(handshake_result(server.monitor), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    zmq_msg_t frame;
    pcl_err err = PCL_ERR_OVERLOADED;
    for (int turn = 0; turn < 200 && err != PCL_ERR_OK; turn++) {
        pcl_frame_copy_of(&frame, pcl_bytes_text("hello"));
        err = pcl_frames_send(&frame, 1, client);
        zmq_msg_close(&frame);
        zclock_sleep(5);
    }
    assert_int_equal(err, PCL_ERR_OK);
    zmq_pollitem_t item = {.socket = zsock_resolve(server.socket), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 3000), 1);
    pcl_frames frames;
    assert_int_equal(pcl_frames_recv(&frames, server.socket), PCL_RECV_MESSAGE);
    assert_int_equal(frames.count, 2);
    assert_string_equal(pcl_frame_user_id(&frames.frame[1]), s_alice.public_key);
    pcl_frames_close(&frames);
    zsock_destroy(&client);
    s_close(&server);
    pcl_zap_stop();
}

/* What libzmq would never ask gets an answer that lets nobody in.  false: none came. */
static bool s_asks(zsock_t *socket, const char *const *frames, size_t count, const char *status)
{
    zmsg_t *request = zmsg_new();
    for (size_t index = 0; index < count; index++) {
        zmsg_addstr(request, frames[index]);
    }
    zsock_set_rcvtimeo(socket, 3000);
    assert_int_equal(zmsg_send(&request, socket), 0);
    zmsg_t *reply = zmsg_recv(socket);
    if (reply == NULL) {
        return false;
    }
    assert_int_equal(zmsg_size(reply), 6);
    char *version = zmsg_popstr(reply);
    char *id = zmsg_popstr(reply);
    char *code = zmsg_popstr(reply);
    assert_string_equal(version, "1.0");
    assert_string_equal(code, status);
    zstr_free(&version);
    zstr_free(&id);
    zstr_free(&code);
    zmsg_destroy(&reply);
    return true;
}

static void s_ask(zsock_t *socket, const char *const *frames, size_t count, const char *status)
{
    assert_true(s_asks(socket, frames, count, status));
}

static void test_malformed_requests_are_refused(void **state)
{
    (void)state;
    static const char *const FRAMES[] = {
        "1.0",  "1",    "clients", "127.0.0.1", "", "CURVE", "a key of wrong size",
        "more", "more", "more"};
    static const char *const OTHER[] = {"2.0", "1", "clients", "127.0.0.1", "", "NULL"};
    assert_true(pcl_zap_start());
    zsock_t *socket = zsock_new(ZMQ_REQ);
    assert_int_equal(zsock_connect(socket, "inproc://zeromq.zap.01"), 0);
    for (size_t count = 1; count <= 10; count++) {
        s_ask(socket, FRAMES, count, "500");
    }
    s_ask(socket, OTHER, 6, "500");
    static const char *const PLAIN[] = {"1.0", "1", "clients", "127.0.0.1", "", "PLAIN", "u", "p"};
    s_ask(socket, PLAIN, 8, "400");
    zsock_destroy(&socket);
    pcl_zap_stop();
}

/* Those who ask in the moment between two sockets are refused, and would try again. */
static void s_expect_soon(const s_server *server, const pcl_keys *keys, int event)
{
    int result = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    for (int count = 0; count < 3 && result == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL; count++) {
        zsock_t *client = s_connect(server, keys);
        result = handshake_result(server->monitor);
        zsock_destroy(&client);
    }
    assert_int_equal(result, event);
}

/* The way from a connection to the handler ends, and whoever comes finds it all the same. */
static void test_a_handler_that_has_let_many_in_moves_on(void **state)
{
    (void)state;
    static const char *const PLAIN[] = {"1.0", "1", "clients", "127.0.0.1", "", "PLAIN", "u", "p"};
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_server server = s_open("clients");
    zsock_t *asker = zsock_new(ZMQ_REQ);
    assert_int_equal(zsock_connect(asker, "inproc://zeromq.zap.01"), 0);
    zsock_set_sndtimeo(asker, 0);
    bool there = true;
    for (int turn = 0; turn < 600 && there; turn++) {
        s_expect_soon(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
        s_expect_soon(&server, &s_bob, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
        for (int count = 0; count < 8 && there; count++) {
            /* The old socket may close between the look and the question. */
            there = (zsock_events(asker) & ZMQ_POLLOUT) != 0 && s_asks(asker, PLAIN, 8, "400");
        }
        zclock_sleep(50);
    }
    assert_false(there);
    assert_true(pcl_zap_is_alive());
    s_expect_soon(&server, &s_alice, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    s_expect_soon(&server, &s_bob, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zsock_destroy(&asker);
    s_close(&server);
    pcl_zap_stop();
}

/* --- Other handlers than ours ----------------------------------------------------- */

typedef enum s_way { SLOW, GARBAGE, OTHER_ID, STATUS_300, STATUS_500, NO_FRAMES, WAYS } s_way;

static void s_send_reply(zsock_t *socket, const char *id, const char *status)
{
    (void)zstr_sendx(socket, "1.0", id, status, "text", "user", "", NULL);
}

/* Answers one request in a wrong way, as the self-test's proof would never let it be. */
static void s_wrong_handler(zsock_t *pipe, void *argument)
{
    s_way way = *(s_way *)argument;
    zsock_t *socket = zsock_new(ZMQ_REP);
    int rc = zsock_bind(socket, "inproc://zeromq.zap.01");
    assert_int_equal(rc, 0);
    zsock_signal(pipe, 0);
    zpoller_t *poller = zpoller_new(pipe, socket, NULL);
    while (zpoller_wait(poller, -1) == socket) {
        zmsg_t *request = zmsg_recv(socket);
        char *version = zmsg_popstr(request);
        char *id = zmsg_popstr(request);
        switch (way) {
        case SLOW: /* the asker has gone when it is answered, if ever */
        case WAYS:
            break;
        case GARBAGE:
            (void)zstr_sendx(socket, "\xff\xff", "what", NULL);
            break;
        case OTHER_ID:
            s_send_reply(socket, "another", "200");
            break;
        case STATUS_300:
            s_send_reply(socket, id, "300");
            break;
        case STATUS_500:
            s_send_reply(socket, id, "500");
            break;
        case NO_FRAMES:
            (void)zstr_send(socket, "");
            break;
        }
        zstr_free(&version);
        zstr_free(&id);
        zmsg_destroy(&request);
    }
    zpoller_destroy(&poller);
    (void)zsock_unbind(socket, "inproc://zeromq.zap.01");
    zsock_destroy(&socket);
}

static void test_whatever_a_wrong_handler_says_nobody_comes_in(void **state)
{
    (void)state;
    for (s_way way = SLOW; way < WAYS; way++) {
        zactor_t *handler = zactor_new(s_wrong_handler, &way);
        s_server server = s_open("clients");
        zsock_t *client = s_connect(&server, &s_alice);
        int event = handshake_result(server.monitor);
        assert_int_not_equal(event, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
        assert_int_not_equal(event, 0); /* it was refused, and in time */
        zsock_destroy(&client);
        s_close(&server);
        zactor_destroy(&handler);
    }
}

static void test_a_handler_that_lives_says_so(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    for (unsigned look = 0; look < 3 * PCL_ZAP_LOOKS_MAX; look++) {
        assert_true(pcl_zap_is_alive());
        zclock_sleep(10);
    }
    pcl_zap_stop();
    assert_false(pcl_zap_is_alive());
}

static void test_there_is_one_handler(void **state)
{
    (void)state;
    assert_true(pcl_zap_start());
    assert_false(pcl_zap_start());
    pcl_zap_stop();
    assert_true(pcl_zap_start());
    pcl_zap_stop();
}

static int s_set_up(void **state)
{
    (void)state;
    pcl_keys_make(&s_server_keys);
    pcl_keys_make(&s_alice);
    pcl_keys_make(&s_bob);
    return 0;
}

/* libzmq counts what CURVE adds; the connection of a hop must not end on what the hop allows. */
static void test_a_frame_of_the_limit_passes_and_no_longer_one(void **state)
{
    (void)state;
    static const uint8_t octets[FRAME_MAX + 1];
    assert_true(pcl_zap_start());
    s_admit("clients", "alice", &s_alice);
    s_server server = s_open("clients");
    zsock_t *client = s_connect(&server, &s_alice);
    assert_int_equal(handshake_result(server.monitor), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    zsock_set_sndtimeo(client, 2000); /* its own end of the handshake may come later */
    zsock_set_rcvtimeo(server.socket, 2000);
    assert_int_equal(zsock_send(client, "b", octets, (size_t)FRAME_MAX), 0);
    zmsg_t *message = zmsg_recv(server.socket);
    assert_non_null(message);
    assert_int_equal(zframe_size(zmsg_last(message)), FRAME_MAX);
    zmsg_destroy(&message);
    zsock_set_rcvtimeo(server.socket, 300);
    assert_int_equal(zsock_send(client, "b", octets, (size_t)FRAME_MAX + 1), 0);
    assert_null(zmsg_recv(server.socket));
    zsock_destroy(&client);
    s_close(&server);
    pcl_zap_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_keys_of_the_list_come_in),
        cmocka_unit_test(test_a_domain_admits_its_own_only),
        cmocka_unit_test(test_a_key_taken_off_the_list_is_refused),
        cmocka_unit_test(test_without_a_handler_nobody_comes_in),
        cmocka_unit_test(test_the_user_id_is_the_public_key),
        cmocka_unit_test(test_a_frame_of_the_limit_passes_and_no_longer_one),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_a_handler_that_has_let_many_in_moves_on),
        cmocka_unit_test(test_whatever_a_wrong_handler_says_nobody_comes_in),
        cmocka_unit_test(test_a_handler_that_lives_says_so),
        cmocka_unit_test(test_there_is_one_handler),
    };
    return cmocka_run_group_tests(tests, s_set_up, NULL);
}
