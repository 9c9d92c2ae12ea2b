#include "net/socket.h"

#include "net/frames.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FRAME_MAX = 1000, QUEUE_MAX = 16 };

static char s_error[256];

static zsock_t *s_router(const char *endpoint)
{
    pcl_socket_options options = {.endpoint = endpoint,
                                  .queue_max = QUEUE_MAX,
                                  .message_size_max = FRAME_MAX,
                                  .insecure = true};
    zsock_t *socket = pcl_socket_router(&options, s_error, sizeof s_error);
    assert_non_null(socket);
    return socket;
}

static zsock_t *s_dealer(const char *endpoint)
{
    pcl_socket_options options = {.endpoint = endpoint,
                                  .queue_max = QUEUE_MAX,
                                  .message_size_max = FRAME_MAX,
                                  .insecure = true};
    zsock_t *socket = pcl_socket_dealer(&options, s_error, sizeof s_error);
    assert_non_null(socket);
    return socket;
}

static pcl_err s_send(zsock_t *socket, size_t size)
{
    static uint8_t octets[2 * FRAME_MAX];
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_of(octets, size));
    pcl_err err = pcl_frames_send(&frame, 1, socket);
    if (err != PCL_ERR_OK) {
        assert_int_equal(zmq_msg_size(&frame), size); /* still ours, whole */
        zmq_msg_close(&frame);
    }
    return err;
}

/* Until the connection stands. */
static void s_send_first(zsock_t *socket, size_t size)
{
    pcl_err err = PCL_ERR_OVERLOADED;
    for (int turn = 0; turn < 400 && err != PCL_ERR_OK; turn++) {
        err = s_send(socket, size);
        zclock_sleep(5);
    }
    assert_int_equal(err, PCL_ERR_OK);
}

static bool s_recv(zsock_t *socket, pcl_frames *out_frames, long timeout_ms)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(socket), .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, timeout_ms) == 1 &&
           pcl_frames_recv(out_frames, socket) == PCL_RECV_MESSAGE;
}

static void test_tcp_without_keys_is_refused(void **state)
{
    (void)state;
    pcl_keys keys;
    pcl_keys_make(&keys);
    pcl_socket_options options = {
        .endpoint = "tcp://127.0.0.1:*", .zap_domain = "d", .queue_max = 1, .message_size_max = 1};
    assert_null(pcl_socket_router(&options, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "tcp needs a key file"));
    options.endpoint = "tcp://127.0.0.1:9";
    assert_null(pcl_socket_dealer(&options, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "tcp needs a key file"));
    options.keys = &keys;
    assert_null(pcl_socket_dealer(&options, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "tcp needs the peer's public key"));
    options.server_key = "short";
    assert_null(pcl_socket_dealer(&options, s_error, sizeof s_error));
}

static void test_an_address_in_use_is_told(void **state)
{
    (void)state;
    zsock_t *first = s_router("tcp://127.0.0.1:*");
    pcl_socket_options options = {
        .endpoint = zsock_endpoint(first), .queue_max = 1, .message_size_max = 1, .insecure = true};
    assert_null(pcl_socket_router(&options, s_error, sizeof s_error));
    assert_non_null(strstr(s_error, "Address already in use"));
    zsock_destroy(&first);
}

static void test_options_are_set(void **state)
{
    (void)state;
    zsock_t *router = s_router("inproc://options");
    assert_int_equal(zsock_sndhwm(router), QUEUE_MAX);
    assert_int_equal(zsock_rcvhwm(router), QUEUE_MAX);
    assert_int_equal(zsock_maxmsgsize(router), FRAME_MAX);
    assert_int_equal(zsock_sndtimeo(router), 0);
    assert_int_equal(zsock_handshake_ivl(router), 2000);
    assert_int_equal(zsock_heartbeat_ivl(router), 0);
    assert_int_equal(zsock_backlog(router), 4096);
    assert_true(zsock_linger(router) >= 0 && zsock_linger(router) <= 1000);
    zsock_t *dealer = s_dealer("inproc://options");
    assert_int_equal(zsock_immediate(dealer), 1);
    assert_int_equal(zsock_reconnect_ivl(dealer), 100);
    assert_int_equal(zsock_reconnect_ivl_max(dealer), 1000);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

/* A receive mark on tcp would let a peer end the process: docs/decisions/0003. */
static void test_on_tcp_only_what_is_sent_has_a_mark(void **state)
{
    (void)state;
    zsock_t *router = s_router("tcp://127.0.0.1:*");
    assert_int_equal(zsock_sndhwm(router), QUEUE_MAX);
    assert_int_equal(zsock_rcvhwm(router), 0);
    zsock_destroy(&router);
}

static void test_a_peer_that_is_not_there_is_unavailable(void **state)
{
    (void)state;
    zsock_t *router = s_router("inproc://mandatory");
    zmq_msg_t frames[2];
    pcl_frame_copy_of(&frames[0], pcl_bytes_text("nobody"));
    pcl_frame_copy_of(&frames[1], pcl_bytes_text("hello"));
    assert_int_equal(pcl_frames_send(frames, 2, router), PCL_ERR_UNAVAILABLE);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&frames[0]), "nobody"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&frames[1]), "hello"));
    zmq_msg_close(&frames[0]);
    zmq_msg_close(&frames[1]);
    zsock_destroy(&router);
}

static void test_a_full_queue_is_overloaded(void **state)
{
    (void)state;
    zsock_t *router = s_router("inproc://full");
    zsock_t *dealer = s_dealer("inproc://full");
    int sent = 0;
    while (sent < 1000 && s_send(dealer, 10) == PCL_ERR_OK) {
        sent++;
    }
    assert_in_range(sent, QUEUE_MAX, 2 * QUEUE_MAX); /* of both ends */
    pcl_frames frames;
    assert_true(s_recv(router, &frames, 1000));
    assert_int_equal(frames.count, 2);
    int answered = 0;
    for (pcl_err err = PCL_ERR_OK; err == PCL_ERR_OK && answered < 1000; answered++) {
        zmq_msg_t reply[2];
        zmq_msg_init(&reply[0]);
        zmq_msg_copy(&reply[0], &frames.frame[0]);
        pcl_frame_copy_of(&reply[1], pcl_bytes_text("x"));
        err = pcl_frames_send(reply, 2, router);
        if (err != PCL_ERR_OK) {
            assert_int_equal(err, PCL_ERR_OVERLOADED);
            assert_true(pcl_bytes_is(pcl_frame_bytes(&reply[1]), "x"));
        }
        zmq_msg_close(&reply[0]);
        zmq_msg_close(&reply[1]);
    }
    assert_in_range(answered, QUEUE_MAX, 2 * QUEUE_MAX + 1);
    pcl_frames_close(&frames);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

/* Nothing waits in a queue for a peer that was never there. */
static void test_without_a_connection_nothing_is_sent(void **state)
{
    (void)state;
    zsock_t *dealer = s_dealer("tcp://127.0.0.1:1");
    assert_int_equal(s_send(dealer, 10), PCL_ERR_OVERLOADED);
    zsock_destroy(&dealer);
}

static void test_roles_of_one_process_start_in_any_order(void **state)
{
    (void)state;
    zsock_t *dealer = s_dealer("inproc://order");
    (void)s_send(dealer, 10);
    zsock_t *router = s_router("inproc://order");
    s_send_first(dealer, 10);
    pcl_frames frames;
    assert_true(s_recv(router, &frames, 1000));
    assert_string_equal(pcl_frame_user_id(&frames.frame[1]), "");
    pcl_frames_close(&frames);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void test_a_message_over_the_limit_ends_the_connection(void **state)
{
    (void)state;
    zsock_t *router = s_router("tcp://127.0.0.1:*");
    zsock_t *dealer = s_dealer(zsock_endpoint(router));
    zsock_t *other = s_dealer(zsock_endpoint(router));
    pcl_frames frames;
    s_send_first(dealer, FRAME_MAX);
    assert_true(s_recv(router, &frames, 3000));
    assert_int_equal(zmq_msg_size(&frames.frame[1]), FRAME_MAX);
    pcl_bytes id = pcl_frame_bytes(&frames.frame[0]);
    uint8_t peer[16];
    assert_true(id.size <= sizeof peer);
    memcpy(peer, id.data, id.size);
    size_t peer_size = id.size;
    pcl_frames_close(&frames);
    s_send_first(dealer, FRAME_MAX + 1);
    assert_false(s_recv(router, &frames, 200));
    zmq_msg_t reply[2];
    pcl_frame_copy_of(&reply[0], pcl_bytes_of(peer, peer_size));
    pcl_frame_copy_of(&reply[1], pcl_bytes_text("x"));
    assert_int_equal(pcl_frames_send(reply, 2, router), PCL_ERR_UNAVAILABLE);
    zmq_msg_close(&reply[0]);
    zmq_msg_close(&reply[1]);
    s_send_first(other, 5); /* the connections of others stay */
    assert_true(s_recv(router, &frames, 3000));
    assert_int_equal(zmq_msg_size(&frames.frame[1]), 5);
    pcl_frames_close(&frames);
    zsock_destroy(&other);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void test_a_message_of_too_many_frames_is_read_whole(void **state)
{
    (void)state;
    zsock_t *router = s_router("inproc://overflow");
    zsock_t *dealer = s_dealer("inproc://overflow");
    zmq_msg_t many[3 * PCL_FRAMES_MAX];
    for (uint32_t index = 0; index < 3 * PCL_FRAMES_MAX; index++) {
        pcl_frame_copy_of(&many[index], pcl_bytes_of(&index, sizeof index));
    }
    assert_int_equal(pcl_frames_send(many, 3 * PCL_FRAMES_MAX, dealer), PCL_ERR_OK);
    assert_int_equal(s_send(dealer, 7), PCL_ERR_OK);
    pcl_frames frames;
    assert_true(s_recv(router, &frames, 1000));
    assert_true(frames.overflow);
    assert_int_equal(frames.count, PCL_FRAMES_MAX);
    pcl_frames_close(&frames);
    assert_true(s_recv(router, &frames, 1000));
    assert_false(frames.overflow);
    assert_int_equal(frames.count, 2);
    pcl_frames_close(&frames);
    assert_int_equal(pcl_frames_recv(&frames, router), PCL_RECV_NONE);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void test_a_buffer_becomes_a_frame(void **state)
{
    (void)state;
    pcl_buffer buffer;
    zmq_msg_t frame;
    pcl_buffer_init(&buffer, 100);
    pcl_buffer_put(&buffer, "abc", 3);
    pcl_frame_of_buffer(&frame, &buffer);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&frame), "abc"));
    assert_int_equal(buffer.size, 0);
    zmq_msg_close(&frame);
    pcl_frame_of_buffer(&frame, &buffer);
    assert_int_equal(zmq_msg_size(&frame), 0);
    zmq_msg_close(&frame);
    pcl_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_without_keys_is_refused),
        cmocka_unit_test(test_an_address_in_use_is_told),
        cmocka_unit_test(test_options_are_set),
        cmocka_unit_test(test_on_tcp_only_what_is_sent_has_a_mark),
        cmocka_unit_test(test_a_peer_that_is_not_there_is_unavailable),
        cmocka_unit_test(test_a_full_queue_is_overloaded),
        cmocka_unit_test(test_without_a_connection_nothing_is_sent),
        cmocka_unit_test(test_roles_of_one_process_start_in_any_order),
        cmocka_unit_test(test_a_message_over_the_limit_ends_the_connection),
        cmocka_unit_test(test_a_message_of_too_many_frames_is_read_whole),
        cmocka_unit_test(test_a_buffer_becomes_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
