#include "net/hop.h"

#include "net/time.h"

#include "common/rng.h"
#include "net/socket.h"
#include "tests/lib/hop_plain.h"
#include "wire/hop_frame.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static zsock_t *s_front, *s_back;
static char s_error[256];

static int s_set_up(void **state)
{
    (void)state;
    static int number;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://hop-%d", number++);
    pcl_socket_options options = {.endpoint = endpoint, .queue_max = 4, .message_size_max = 100000};
    s_front = pcl_socket_router(&options, s_error, sizeof s_error);
    s_back = pcl_socket_dealer(&options, s_error, sizeof s_error);
    return s_front == NULL || s_back == NULL;
}

static int s_tear_down(void **state)
{
    (void)state;
    hop_plain_destroy(&s_back);
    hop_plain_destroy(&s_front);
    return 0;
}

static pcl_head s_head(pcl_kind kind)
{
    return (pcl_head){.ticket = 77,
                      .kind = kind,
                      .budget_us = 5000,
                      .principal = pcl_bytes_text("alice"),
                      .id = {1, 2, 3}};
}

static pcl_hop_recv_result s_recv(pcl_hop_message *message, zsock_t *socket, bool router)
{
    pcl_hop_recv_result result = hop_plain_recv(message, socket, router);
    if (result != PCL_HOP_NONE) {
        return result;
    }
    zmq_pollitem_t item = {.socket = zsock_resolve(socket), .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, 1000) == 1 ? hop_plain_recv(message, socket, router) : PCL_HOP_NONE;
}

static void test_there_and_back(void **state)
{
    (void)state;
    zmq_msg_t payload, tail;
    pcl_frame_copy_of(&payload, pcl_bytes_text("select"));
    pcl_frame_copy_of(&tail, pcl_bytes_text("seal"));
    pcl_head head = s_head(PCL_KIND_REQUEST);
    assert_int_equal(pcl_hop_send(s_back, NULL, &head, &payload, &tail), PCL_ERR_OK);
    assert_int_equal(zmq_msg_size(&payload), 0);
    assert_int_equal(zmq_msg_size(&tail), 0);
    pcl_hop_message request;
    assert_int_equal(s_recv(&request, s_front, true), PCL_HOP_MESSAGE);
    assert_int_equal(request.head.ticket, 77);
    assert_int_equal(request.head.kind, PCL_KIND_REQUEST);
    assert_true(pcl_bytes_is(request.head.principal, "alice"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&request.payload), "select"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&request.tail), "seal"));
    assert_string_equal(request.user_id, "");

    pcl_head answer = s_head(PCL_KIND_REPLY);
    assert_int_equal(pcl_hop_send(s_front, &request.peer, &answer, NULL, NULL), PCL_ERR_OK);
    assert_true(zmq_msg_size(&request.peer) > 0); /* still ours: it may be used again */
    pcl_hop_message reply;
    assert_int_equal(s_recv(&reply, s_back, false), PCL_HOP_MESSAGE);
    assert_int_equal(reply.head.kind, PCL_KIND_REPLY);
    assert_int_equal(zmq_msg_size(&reply.payload), 0);
    assert_int_equal(zmq_msg_size(&reply.peer), 0);
    pcl_hop_close(&reply);
    pcl_hop_close(&request);
    assert_int_equal(hop_plain_recv(&reply, s_back, false), PCL_HOP_NONE);
}

static void test_a_failed_send_gives_all_back(void **state)
{
    (void)state;
    zmq_msg_t peer, payload, tail;
    pcl_frame_copy_of(&peer, pcl_bytes_text("nobody"));
    pcl_frame_copy_of(&payload, pcl_bytes_text("a payload that is longer than a small message"));
    pcl_frame_copy_of(&tail, pcl_bytes_text("tail"));
    pcl_head head = s_head(PCL_KIND_REPLY);
    assert_int_equal(pcl_hop_send(s_front, &peer, &head, &payload, &tail), PCL_ERR_UNAVAILABLE);
    assert_true(
        pcl_bytes_is(pcl_frame_bytes(&payload), "a payload that is longer than a small message"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&tail), "tail"));
    assert_int_equal(pcl_hop_send(s_front, &peer, &head, NULL, &tail), PCL_ERR_UNAVAILABLE);
    assert_int_equal(pcl_hop_send(s_front, &peer, &head, NULL, NULL), PCL_ERR_UNAVAILABLE);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&tail), "tail"));
    pcl_err err = PCL_ERR_OK;
    for (int count = 0; count < 100 && err == PCL_ERR_OK; count++) {
        err = pcl_hop_send(s_back, NULL, &head, NULL, NULL);
    }
    assert_int_equal(err, PCL_ERR_OVERLOADED);
    assert_int_equal(pcl_hop_send(s_back, NULL, &head, &payload, NULL), PCL_ERR_OVERLOADED);
    assert_int_equal(zmq_msg_size(&payload), 45);
    zmq_msg_close(&peer);
    zmq_msg_close(&payload);
    zmq_msg_close(&tail);
}

static void s_round(pcl_bytes payload_octets, pcl_bytes tail_octets)
{
    zmq_msg_t payload, tail;
    pcl_frame_copy_of(&payload, payload_octets);
    pcl_frame_copy_of(&tail, tail_octets);
    pcl_head head = s_head(PCL_KIND_REQUEST);
    head.role = pcl_bytes_text("app");
    assert_int_equal(pcl_hop_send(s_back, NULL, &head, &payload, &tail), PCL_ERR_OK);
    assert_int_equal(zmq_msg_size(&payload), 0);
    assert_int_equal(zmq_msg_size(&tail), 0);
    pcl_hop_message message;
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_MESSAGE);
    assert_true(pcl_bytes_is(message.head.principal, "alice"));
    assert_true(pcl_bytes_is(message.head.role, "app"));
    assert_int_equal(pcl_hop_head_octets(&message.head_frame).size, PCL_HEAD_FIXED_SIZE + 5 + 3);
    assert_true(pcl_bytes_equal(pcl_frame_bytes(&message.payload), payload_octets));
    assert_true(pcl_bytes_equal(pcl_frame_bytes(&message.tail), tail_octets));
    pcl_hop_close(&message);
}

static uint32_t s_frames_of(pcl_bytes payload_octets)
{
    zmq_msg_t payload;
    pcl_frame_copy_of(&payload, payload_octets);
    pcl_head head = s_head(PCL_KIND_REQUEST);
    assert_int_equal(pcl_hop_send(s_back, NULL, &head, &payload, NULL), PCL_ERR_OK);
    pcl_frames frames;
    assert_int_equal(pcl_frames_recv(&frames, s_front), PCL_RECV_MESSAGE);
    uint32_t count = frames.count - 1; /* the routing id */
    pcl_frames_close(&frames);
    return count;
}

static void test_a_small_message_is_one_frame(void **state)
{
    (void)state;
    uint8_t octets[PCL_HOP_FRAME_SIZE_MAX + 1];
    for (size_t index = 0; index < sizeof octets; index++) {
        octets[index] = (uint8_t)(index * 7);
    }
    assert_int_equal(s_frames_of(pcl_bytes_of(octets, 0)), 1);
    assert_int_equal(s_frames_of(pcl_bytes_of(octets, sizeof octets - 1)), 1);
    assert_int_equal(s_frames_of(pcl_bytes_of(octets, sizeof octets)), 3);
    for (size_t size = 0; size <= sizeof octets; size++) {
        size_t tail_size = size % 3 == 0 ? 0 : size % 200;
        s_round(pcl_bytes_of(octets, size), pcl_bytes_of(octets + 1, tail_size));
    }
}

/* Sends count frames of octets. */
static void s_send_raw(const pcl_bytes *octets, uint32_t count)
{
    zmq_msg_t frames[16];
    for (uint32_t index = 0; index < count; index++) {
        pcl_frame_copy_of(&frames[index], octets[index]);
    }
    assert_int_equal(pcl_frames_send(frames, count, s_back), PCL_ERR_OK);
}

static void test_what_is_not_of_the_protocol_is_dropped(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_head head = s_head(PCL_KIND_REQUEST);
    size_t size = pcl_head_encode(&head, octets);
    pcl_bytes frames[16] = {pcl_bytes_of(octets, size)};
    pcl_hop_message message;
    for (uint32_t count = 1; count <= 16; count++) {
        s_send_raw(frames, count);
        pcl_hop_recv_result expected = count == 3 ? PCL_HOP_MESSAGE : PCL_HOP_DROPPED;
        assert_int_equal(s_recv(&message, s_front, true), expected);
        if (expected == PCL_HOP_MESSAGE) {
            pcl_hop_close(&message);
        }
    }
    frames[0].size--;
    s_send_raw(frames, 3);
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED);
    frames[0].size = 0;
    s_send_raw(frames, 3);
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED);
}

static void test_a_packed_frame_must_hold_its_parts(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX + 8 + 8] = {0};
    pcl_head head = s_head(PCL_KIND_REQUEST);
    size_t size = pcl_head_encode(&head, octets);
    octets[size + 3] = 5; /* the payload's */
    octets[size + 7] = 3; /* the tail's */
    pcl_hop_message message;
    for (size_t count = 0; count <= size + 8 + 8; count++) {
        pcl_bytes frame = pcl_bytes_of(octets, count);
        s_send_raw(&frame, 1);
        pcl_hop_recv_result expected = count == size + 8 + 8 ? PCL_HOP_MESSAGE : PCL_HOP_DROPPED;
        assert_int_equal(s_recv(&message, s_front, true), expected);
        if (expected == PCL_HOP_MESSAGE) {
            assert_int_equal(zmq_msg_size(&message.payload), 5);
            assert_int_equal(zmq_msg_size(&message.tail), 3);
            pcl_hop_close(&message);
        }
    }
    pcl_bytes frame = pcl_bytes_of(octets, size + 8 + 8);
    for (size_t at = size; at <= size + 4; at += 4) {
        memset(octets + size, 0, 8);
        memset(octets + at, 0xff, 4);
        s_send_raw(&frame, 1);
        assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED);
    }
}

/* Appends a message with that ticket to octets; returns how many there are then. */
static size_t s_pack(uint8_t *octets, size_t size, uint64_t ticket, const char *payload)
{
    uint8_t head_octets[PCL_HEAD_SIZE_MAX];
    pcl_head head = s_head(PCL_KIND_REQUEST);
    head.ticket = ticket;
    pcl_hop_frame parts = {.head = pcl_bytes_of(head_octets, pcl_head_encode(&head, head_octets)),
                           .payload = pcl_bytes_text(payload),
                           .tail = pcl_bytes_text("tail")};
    return (size_t)(pcl_hop_frame_write(&parts, octets + size) - octets);
}

static void assert_next(uint64_t ticket, const char *payload)
{
    pcl_hop_message message;
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_MESSAGE);
    assert_int_equal(message.head.ticket, ticket);
    assert_true(zmq_msg_size(&message.peer) > 0);
    assert_true(pcl_bytes_is(message.head.principal, "alice"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), payload));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.tail), "tail"));
    assert_true(zmq_msg_size(&message.head_frame) <= PCL_HEAD_SIZE_MAX);
    pcl_hop_close(&message);
}

static void test_many_messages_of_one_frame_come_one_by_one(void **state)
{
    (void)state;
    static uint8_t octets[10000];
    size_t size = 0;
    for (uint64_t ticket = 1; ticket <= PCL_HOP_BATCH_COUNT_MAX; ticket++) {
        size = s_pack(octets, size, ticket, ticket % 2 == 0 ? "" : "select");
    }
    pcl_bytes frame = pcl_bytes_of(octets, size);
    s_send_raw(&frame, 1);
    for (uint64_t ticket = 1; ticket <= PCL_HOP_BATCH_COUNT_MAX; ticket++) {
        assert_next(ticket, ticket % 2 == 0 ? "" : "select");
    }
    pcl_hop_message message;
    assert_int_equal(hop_plain_recv(&message, s_front, true), PCL_HOP_NONE);
}

/* What an inbox lends is whole until the next message, and longer where it is kept; what it has
 * sent on its own is kept by the way. */
static void test_what_is_lent_is_kept_by_whoever_needs_it_longer(void **state)
{
    (void)state;
    static uint8_t octets[1000], large[10000];
    pcl_hop_inbox inbox;
    pcl_hop_inbox_init(&inbox, s_front, true);
    pcl_hop_inbox_lend(&inbox);
    size_t size = s_pack(octets, 0, 1, "first of several messages of one frame");
    pcl_bytes frame = pcl_bytes_of(octets, s_pack(octets, size, 2, "second"));
    s_send_raw(&frame, 1);
    zmq_pollitem_t item = {.socket = zsock_resolve(s_front), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 1000), 1);
    pcl_hop_message first, second;
    assert_int_equal(pcl_hop_recv(&inbox, &first), PCL_HOP_MESSAGE);
    const uint8_t *lent = zmq_msg_data(&first.payload);
    const uint8_t *whole = zmq_msg_data(pcl_hop_inbox_frame(&inbox));
    assert_true(lent > whole && lent < whole + frame.size);
    pcl_frame_keep(&first.payload);
    assert_true((const uint8_t *)zmq_msg_data(&first.payload) != lent);
    assert_int_equal(pcl_hop_recv(&inbox, &second), PCL_HOP_MESSAGE);

    zmq_msg_t payload; /* large: it goes in parts, and libzmq reads the lent tail when it likes */
    pcl_frame_copy_of(&payload, pcl_bytes_of(large, sizeof large));
    pcl_head head = s_head(PCL_KIND_REPLY);
    assert_int_equal(pcl_hop_send(s_front, &second.peer, &head, &payload, &second.tail),
                     PCL_ERR_OK);
    pcl_hop_close(&second);
    assert_int_equal(pcl_hop_recv(&inbox, &second), PCL_HOP_NONE);
    pcl_hop_inbox_release(&inbox);
    assert_true(
        pcl_bytes_is(pcl_frame_bytes(&first.payload), "first of several messages of one frame"));
    pcl_hop_close(&first);
    assert_int_equal(s_recv(&second, s_back, false), PCL_HOP_MESSAGE);
    assert_int_equal(zmq_msg_size(&second.payload), sizeof large);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&second.tail), "tail"));
    pcl_hop_close(&second);
}

/* A message that is not lent is one's own, be it one of several in a frame or alone. */
static void test_what_is_not_lent_outlasts_its_inbox(void **state)
{
    (void)state;
    uint8_t octets[1000];
    for (int alone = 0; alone < 2; alone++) {
        pcl_hop_inbox inbox;
        pcl_hop_inbox_init(&inbox, s_front, true);
        size_t size = s_pack(octets, 0, 1, "the payload");
        size = alone == 1 ? size : s_pack(octets, size, 2, "of another");
        pcl_bytes frame = pcl_bytes_of(octets, size);
        s_send_raw(&frame, 1);
        zmq_pollitem_t item = {.socket = zsock_resolve(s_front), .events = ZMQ_POLLIN};
        assert_int_equal(zmq_poll(&item, 1, 1000), 1);
        pcl_hop_message message, other;
        assert_int_equal(pcl_hop_recv(&inbox, &message), PCL_HOP_MESSAGE);
        zmq_msg_t kept; /* what borrows moves with what it borrows from */
        zmq_msg_init(&kept);
        assert_int_equal(zmq_msg_move(&kept, &message.head_frame), 0);
        if (alone == 0) {
            assert_int_equal(pcl_hop_recv(&inbox, &other), PCL_HOP_MESSAGE);
            assert_int_equal(other.received_us, message.received_us); /* they came together */
            pcl_hop_close(&other);
        }
        assert_int_equal(pcl_hop_recv(&inbox, &other), PCL_HOP_NONE);
        pcl_hop_inbox_release(&inbox);
        assert_true(pcl_bytes_is(message.head.principal, "alice"));
        assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), "the payload"));
        assert_true(pcl_bytes_is(pcl_frame_bytes(&message.tail), "tail"));
        zmq_msg_close(&kept);
        pcl_hop_close(&message);
    }
}

/* The next frame is taken as ever. */
static void assert_only_the_next_frame_comes(void)
{
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_hop_message message;
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED); /* once for all of it */
    assert_int_equal(hop_plain_recv(&message, s_front, true), PCL_HOP_NONE);
    pcl_bytes frame = pcl_bytes_of(octets, s_pack(octets, 0, 1000, "next"));
    s_send_raw(&frame, 1);
    assert_next(1000, "next");
}

static void test_a_frame_with_more_than_may_be_sent_does_not_hold_up_others(void **state)
{
    (void)state;
    static uint8_t octets[PCL_HOP_BATCH_SIZE_MAX + 1000];
    static char payload[PCL_HOP_BATCH_SIZE_MAX];
    size_t size = 0;
    for (uint64_t ticket = 1; ticket <= 2 * PCL_HOP_BATCH_COUNT_MAX; ticket++) {
        size = s_pack(octets, size, ticket, "");
    }
    pcl_bytes frame = pcl_bytes_of(octets, size);
    s_send_raw(&frame, 1);
    for (uint64_t ticket = 1; ticket <= PCL_HOP_BATCH_COUNT_MAX; ticket++) {
        assert_next(ticket, "");
    }
    assert_only_the_next_frame_comes();
    memset(payload, ' ', sizeof payload - 1);
    frame.size = s_pack(octets, 0, 1, payload);
    s_send_raw(&frame, 1); /* one alone may be longer: a receiver takes either form */
    pcl_hop_message message;
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_MESSAGE);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), payload));
    pcl_hop_close(&message);
    frame.size = s_pack(octets, frame.size, 2, "");
    s_send_raw(&frame, 1);
    assert_only_the_next_frame_comes();
}

static void test_a_bad_message_of_a_frame_is_dropped_alone(void **state)
{
    (void)state;
    static uint8_t octets[10000];
    size_t first = s_pack(octets, 0, 1, "one");
    size_t second = s_pack(octets, first, 2, "two");
    size_t third = s_pack(octets, second, 3, "three");
    octets[first + 11] = 99; /* its kind */
    pcl_bytes frame = pcl_bytes_of(octets, third);
    pcl_hop_message message;
    s_send_raw(&frame, 1);
    assert_next(1, "one");
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED);
    assert_next(3, "three");
    /* An end that cannot be found: what is behind it is no message, and the next frame is whole. */
    octets[first + 92] = 255;
    memset(octets + second, 0, third - second);
    s_send_raw(&frame, 1);
    frame.size = first;
    s_send_raw(&frame, 1);
    assert_next(1, "one");
    assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_DROPPED);
    assert_next(1, "one");
    assert_int_equal(hop_plain_recv(&message, s_front, true), PCL_HOP_NONE);
}

static void test_any_octets_are_a_safe_input(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    pcl_rng rng = pcl_rng_from_seed(seed);
    pcl_head head = s_head(PCL_KIND_REQUEST);
    int taken = 0;
    for (int turn = 0; turn < 5000; turn++) {
        uint8_t octets[PCL_HEAD_SIZE_MAX + 8 + 9] = {0};
        bool packed = turn % 2 == 0;
        size_t size = pcl_head_encode(&head, octets);
        octets[size + 3] = (uint8_t)pcl_rng_below(&rng, 12);
        octets[size + 7] = (uint8_t)(9 - octets[size + 3] % 10);
        size += packed ? 8 + 9 : 0;
        octets[pcl_rng_below(&rng, (uint32_t)size)] = (uint8_t)pcl_rng_next(&rng);
        pcl_bytes frames[3] = {pcl_bytes_of(octets, size)};
        s_send_raw(frames, packed ? 1 : 3);
        pcl_hop_message message;
        pcl_hop_recv_result result = s_recv(&message, s_front, true);
        assert_true(result == PCL_HOP_MESSAGE || result == PCL_HOP_DROPPED);
        if (result == PCL_HOP_MESSAGE) {
            taken++;
            pcl_hop_close(&message);
        }
    }
    assert_in_range(taken, 1, 4999);
}

/* A receiver may have been stopped since its loop's turn began; what then says when a message came
 * must not be older than the message (common/transit.h). */
static void test_a_message_is_received_after_it_was_sent(void **state)
{
    (void)state;
    for (int turn = 0; turn < 100; turn++) {
        pcl_head head = s_head(PCL_KIND_PING);
        head.sent_us = pcl_now_us();
        assert_int_equal(pcl_hop_send(s_back, NULL, &head, NULL, NULL), PCL_ERR_OK);
        pcl_hop_message message;
        assert_int_equal(s_recv(&message, s_front, true), PCL_HOP_MESSAGE);
        assert_true(message.received_us >= message.head.sent_us);
        assert_true(message.received_us <= pcl_now_us());
        pcl_hop_close(&message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_send_gives_all_back, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_of_the_protocol_is_dropped, s_set_up,
                                        s_tear_down),
        cmocka_unit_test_setup_teardown(test_a_small_message_is_one_frame, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_a_packed_frame_must_hold_its_parts, s_set_up,
                                        s_tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_lent_outlasts_its_inbox, s_set_up,
                                        s_tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_lent_is_kept_by_whoever_needs_it_longer,
                                        s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_many_messages_of_one_frame_come_one_by_one, s_set_up,
                                        s_tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_frame_with_more_than_may_be_sent_does_not_hold_up_others, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_a_bad_message_of_a_frame_is_dropped_alone, s_set_up,
                                        s_tear_down),
        cmocka_unit_test_setup_teardown(test_any_octets_are_a_safe_input, s_set_up, s_tear_down),
        cmocka_unit_test_setup_teardown(test_a_message_is_received_after_it_was_sent, s_set_up,
                                        s_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
