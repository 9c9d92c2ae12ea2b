#include "net/hop_outbox.h"

#include "common/clock.h"
#include "net/socket.h"
#include "net/time.h"
#include "tests/lib/hop_plain.h"
#include "wire/hop_frame.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { QUEUE_MAX = 2, TOLD_MAX = 4096, LARGE = 3000 };

static zsock_t *s_front, *s_back, *s_other; /* a ROUTER, and two who are connected to it */
static pcl_hop_outbox *s_outbox;            /* of the ROUTER */
static pcl_hop_outbox *s_down;              /* of s_back */
static zmq_msg_t s_peer, s_other_peer;      /* their routing ids */
static char s_error[256];

static uint64_t s_told[TOLD_MAX]; /* tickets of what was unsent, in order */
static uint32_t s_told_count;
static pcl_err s_told_why;       /* of the last one */
static pcl_hop_outbox *s_resend; /* where what was unsent is sent, once */
static zmq_msg_t *s_resend_peer;

static void s_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                     uint64_t now_us)
{
    (void)now_us;
    assert_true(context == &s_told_count);
    assert_true((peer != NULL) == (s_resend != s_down));
    assert_true(s_told_count < TOLD_MAX);
    s_told[s_told_count++] = head->ticket;
    s_told_why = why;
    if (s_resend != NULL) {
        assert_int_equal(pcl_hop_outbox_send(s_resend, s_resend_peer, head, NULL, NULL),
                         PCL_ERR_OK);
    }
}

static pcl_head s_head(uint64_t ticket)
{
    return (pcl_head){.ticket = ticket,
                      .kind = PCL_KIND_REPLY,
                      .flags = PCL_HEAD_HELD,
                      .principal = pcl_bytes_text("alice"),
                      .id = {1, 2, 3}};
}

/* A message of the dealer's, so that the router knows it. */
static void s_introduce(zsock_t *dealer, zmq_msg_t *out_peer)
{
    pcl_head head = {.kind = PCL_KIND_PING};
    assert_int_equal(pcl_hop_send(dealer, NULL, &head, NULL, NULL), PCL_ERR_OK);
    zmq_pollitem_t item = {.socket = zsock_resolve(s_front), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 1000), 1);
    pcl_hop_message message;
    assert_int_equal(hop_plain_recv(&message, s_front, true), PCL_HOP_MESSAGE);
    zmq_msg_init(out_peer);
    zmq_msg_copy(out_peer, &message.peer);
    pcl_hop_close(&message);
}

static int s_set_up(void **state)
{
    (void)state;
    static int number;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://hop-outbox-%d", number++);
    pcl_socket_options options = {
        .endpoint = endpoint, .queue_max = QUEUE_MAX, .message_size_max = 100000};
    s_front = pcl_socket_router(&options, s_error, sizeof s_error);
    s_back = pcl_socket_dealer(&options, s_error, sizeof s_error);
    s_other = pcl_socket_dealer(&options, s_error, sizeof s_error);
    s_introduce(s_back, &s_peer);
    s_introduce(s_other, &s_other_peer);
    s_told_count = 0;
    s_resend = NULL;
    s_outbox = pcl_hop_outbox_new(s_front, s_unsent, &s_told_count);
    s_down = pcl_hop_outbox_new(s_back, s_unsent, &s_told_count);
    return 0;
}

static int s_tear_down(void **state)
{
    (void)state;
    pcl_hop_outbox_destroy(&s_outbox);
    pcl_hop_outbox_destroy(&s_down);
    zmq_msg_close(&s_peer);
    zmq_msg_close(&s_other_peer);
    hop_plain_destroy(&s_back);
    hop_plain_destroy(&s_other);
    hop_plain_destroy(&s_front);
    return 0;
}

static pcl_err s_send(zmq_msg_t *peer, uint64_t ticket, size_t size)
{
    static const uint8_t octets[LARGE];
    pcl_head head = s_head(ticket);
    zmq_msg_t payload;
    pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
    pcl_err err = pcl_hop_outbox_send(s_outbox, peer, &head, &payload, NULL);
    assert_int_equal(zmq_msg_size(&payload), err == PCL_ERR_OK ? 0 : size);
    zmq_msg_close(&payload);
    return err;
}

/* Takes what has come; the tickets must rise from first.  Returns how many, and adds the frames
 * that brought them. */
static uint32_t s_take(zsock_t *dealer, uint64_t first, uint32_t *frames)
{
    pcl_hop_inbox inbox;
    pcl_hop_message message;
    uint32_t count = 0;
    pcl_hop_inbox_init(&inbox, dealer, false);
    for (;;) {
        bool fresh = inbox.rest.size == 0;
        if (pcl_hop_recv(&inbox, &message) != PCL_HOP_MESSAGE) {
            break;
        }
        *frames += fresh ? 1 : 0;
        assert_int_equal(message.head.ticket, first + count);
        assert_true(pcl_bytes_is(message.head.principal, "alice"));
        count++;
        pcl_hop_close(&message);
    }
    pcl_hop_inbox_release(&inbox);
    return count;
}

static void test_one_turn_is_one_frame_for_each_peer(void **state)
{
    (void)state;
    uint32_t frames = 0;
    for (uint64_t ticket = 1; ticket <= 10; ticket++) {
        assert_int_equal(s_send(&s_peer, ticket, 100), PCL_ERR_OK);
        assert_int_equal(s_send(&s_other_peer, 100 + ticket, 0), PCL_ERR_OK);
    }
    assert_int_equal(s_take(s_back, 1, &frames), 0);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 20);
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
    assert_int_equal(s_take(s_back, 1, &frames), 10);
    assert_int_equal(s_take(s_other, 101, &frames), 10);
    assert_int_equal(frames, 2);
    pcl_hop_outbox_flush(s_outbox, 2); /* nothing is sent twice */
    assert_int_equal(s_take(s_back, 1, &frames), 0);
    assert_int_equal(s_told_count, 0);
}

static void test_a_frame_is_bounded(void **state)
{
    (void)state;
    uint32_t frames = 0;
    for (uint64_t ticket = 1; ticket <= PCL_HOP_BATCH_COUNT_MAX + 1; ticket++) {
        assert_int_equal(s_send(&s_peer, ticket, 0), PCL_ERR_OK);
    }
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_int_equal(s_take(s_back, 1, &frames), PCL_HOP_BATCH_COUNT_MAX + 1);
    assert_int_equal(frames, 2);
    frames = 0;
    for (uint64_t ticket = 1; ticket <= 20; ticket++) {
        assert_int_equal(s_send(&s_peer, ticket, PCL_HOP_FRAME_SIZE_MAX), PCL_ERR_OK);
    }
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_int_equal(s_take(s_back, 1, &frames), 20);
    assert_int_equal(frames, 2);
}

static void test_a_large_message_does_not_overtake(void **state)
{
    (void)state;
    uint32_t frames = 0;
    assert_int_equal(s_send(&s_peer, 1, 10), PCL_ERR_OK);
    assert_int_equal(s_send(&s_peer, 2, LARGE), PCL_ERR_OK);
    assert_int_equal(s_send(&s_peer, 3, 10), PCL_ERR_OK);
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_int_equal(s_take(s_back, 1, &frames), 3);
    assert_int_equal(frames, 3);
}

/* Fills the peer's queue, until a frame waits here. */
static uint64_t s_fill(zmq_msg_t *peer)
{
    uint64_t ticket = 0;
    while (pcl_hop_outbox_count(s_outbox) == 0) {
        assert_true(ticket < 100);
        assert_int_equal(s_send(peer, ++ticket, 0), PCL_ERR_OK);
        assert_int_equal(s_send(peer, ++ticket, 0), PCL_ERR_OK);
        pcl_hop_outbox_flush(s_outbox, 1);
    }
    return ticket;
}

static void test_a_full_peer_waits_alone_and_loses_nothing(void **state)
{
    (void)state;
    uint32_t frames = 0;
    uint64_t last = s_fill(&s_peer);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 2);
    assert_int_equal(s_send(&s_peer, 1000, 0), PCL_ERR_OVERLOADED);
    assert_int_equal(s_send(&s_peer, 1000, LARGE), PCL_ERR_OVERLOADED);
    assert_int_equal(s_send(&s_other_peer, 7, 0), PCL_ERR_OK);
    pcl_hop_outbox_flush(s_outbox, 2);
    assert_int_equal(s_take(s_other, 7, &frames), 1);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 2);
    assert_int_equal(s_take(s_back, 1, &frames), last - 2);
    pcl_hop_outbox_flush(s_outbox, 3);
    assert_int_equal(s_take(s_back, last - 1, &frames), 2);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
    assert_int_equal(s_send(&s_peer, last + 1, 0), PCL_ERR_OK);
    pcl_hop_outbox_flush(s_outbox, 4);
    assert_int_equal(s_take(s_back, last + 1, &frames), 1);
    assert_int_equal(s_told_count, 0);
}

static void assert_told(uint64_t first, uint32_t count)
{
    assert_int_equal(s_told_count, count);
    for (uint32_t index = 0; index < count; index++) {
        assert_int_equal(s_told[index], first + index);
    }
    s_told_count = 0;
}

/* The other one goes, and the socket has noticed. */
static void s_leave(void)
{
    pcl_head head = {.kind = PCL_KIND_PONG};
    hop_plain_destroy(&s_other);
    for (uint64_t until_us = pcl_now_us() + 5000000;;) {
        if (pcl_hop_send(s_front, &s_other_peer, &head, NULL, NULL) == PCL_ERR_UNAVAILABLE) {
            return;
        }
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

static void test_of_a_peer_that_has_gone_each_message_is_told_once(void **state)
{
    (void)state;
    s_leave();
    for (uint64_t ticket = 1; ticket <= 5; ticket++) {
        assert_int_equal(s_send(&s_other_peer, ticket, 10), PCL_ERR_OK);
    }
    assert_told(0, 0); /* never while something is being sent */
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_told(1, 5);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
    pcl_hop_outbox_flush(s_outbox, 2);
    assert_told(0, 0);
    /* Found out when the frame was full: that message is refused, and the others are told. */
    for (uint64_t ticket = 1; ticket <= PCL_HOP_BATCH_COUNT_MAX; ticket++) {
        assert_int_equal(s_send(&s_other_peer, ticket, 0), PCL_ERR_OK);
    }
    assert_int_equal(s_send(&s_other_peer, 1000, 0), PCL_ERR_UNAVAILABLE);
    assert_int_equal(s_send(&s_other_peer, 1000, LARGE), PCL_ERR_UNAVAILABLE);
    assert_told(0, 0);
    pcl_hop_outbox_flush(s_outbox, 3);
    assert_told(1, PCL_HOP_BATCH_COUNT_MAX);
}

static void test_a_full_peer_that_goes_is_told_of(void **state)
{
    (void)state;
    uint64_t last = s_fill(&s_other_peer);
    s_leave();
    pcl_hop_outbox_flush(s_outbox, 2);
    assert_told(last - 1, 2);
    assert_int_equal(s_told_why, PCL_ERR_UNAVAILABLE);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
}

static void test_a_peer_that_does_not_read_is_given_up(void **state)
{
    (void)state;
    uint32_t frames = 0;
    const uint64_t WAIT_US = PCL_HOP_OUTBOX_WAIT_MS * PCL_US_PER_MS;
    for (uint64_t turn = 0, last = 0; turn < 2; turn++) {
        last = turn == 0 ? s_fill(&s_peer) : last + 2;
        uint64_t began_us = 1 + turn * 10 * WAIT_US;
        if (turn > 0) { /* what comes next waits as long again */
            assert_int_equal(s_send(&s_peer, last - 1, 0), PCL_ERR_OK);
            assert_int_equal(s_send(&s_peer, last, 0), PCL_ERR_OK);
            pcl_hop_outbox_flush(s_outbox, began_us);
        }
        pcl_hop_outbox_flush(s_outbox, began_us + WAIT_US - 1);
        assert_told(0, 0);
        assert_int_equal(pcl_hop_outbox_count(s_outbox), 2);
        pcl_hop_outbox_flush(s_outbox, began_us + WAIT_US);
        assert_told(last - 1, 2);
        assert_int_equal(s_told_why, PCL_ERR_OVERLOADED);
        assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
        if (turn > 0) { /* none of what was told of is sent after all */
            assert_int_equal(s_take(s_back, 1, &frames), last - 4);
        }
    }
    pcl_hop_outbox_flush(s_outbox, 20 * WAIT_US);
    assert_int_equal(s_take(s_back, 1, &frames), 0);
}

static void test_what_was_unsent_may_be_sent_elsewhere_at_once(void **state)
{
    (void)state;
    uint32_t frames = 0;
    s_leave();
    s_resend = s_outbox;
    s_resend_peer = &s_peer;
    for (uint64_t ticket = 1; ticket <= 3; ticket++) {
        assert_int_equal(s_send(&s_other_peer, ticket, 0), PCL_ERR_OK);
    }
    pcl_hop_outbox_flush(s_outbox, 1);
    assert_told(1, 3);
    assert_int_equal(s_take(s_back, 1, &frames), 3);
    assert_int_equal(frames, 1);
}

static void test_what_is_dropped_is_told_and_never_sent(void **state)
{
    (void)state;
    uint32_t frames = 0;
    s_resend_peer = NULL;
    for (uint64_t ticket = 1; ticket <= 3; ticket++) {
        assert_int_equal(s_send(&s_peer, ticket, 0), PCL_ERR_OK);
    }
    pcl_hop_outbox_drop(s_outbox, 1);
    assert_told(1, 3);
    pcl_hop_outbox_flush(s_outbox, 2);
    assert_int_equal(s_take(s_back, 1, &frames), 0);
    assert_int_equal(pcl_hop_outbox_count(s_outbox), 0);
}

static void test_what_waits_for_one_peer_is_dropped_alone(void **state)
{
    (void)state;
    uint32_t frames = 0;
    uint64_t sent = s_fill(&s_peer);
    uint32_t waiting = pcl_hop_outbox_count(s_outbox);
    assert_int_equal(s_send(&s_other_peer, 501, 0), PCL_ERR_OK);
    pcl_hop_outbox_drop_peer(s_outbox, &s_peer, 2);
    assert_told(sent - waiting + 1, waiting);
    pcl_hop_outbox_drop_peer(s_outbox, &s_peer, 3); /* there is nothing any more */
    assert_told(0, 0);
    pcl_hop_outbox_flush(s_outbox, 4);
    assert_int_equal(s_take(s_back, 1, &frames), sent - waiting);
    assert_int_equal(s_take(s_other, 501, &frames), 1);
}

static void test_more_peers_than_frames_are_served(void **state)
{
    (void)state;
    enum { PEERS = 100 };
    zsock_t *dealers[PEERS];
    zmq_msg_t peers[PEERS];
    uint32_t frames = 0;
    for (uint32_t index = 0; index < PEERS; index++) {
        dealers[index] = zsock_new(ZMQ_DEALER);
        char endpoint[64];
        snprintf(endpoint, sizeof endpoint, "%s", zsock_endpoint(s_front));
        assert_int_equal(zsock_connect(dealers[index], "%s", endpoint), 0);
        s_introduce(dealers[index], &peers[index]);
    }
    for (uint64_t ticket = 1; ticket <= 3; ticket++) {
        for (uint32_t index = 0; index < PEERS; index++) {
            assert_int_equal(s_send(&peers[index], ticket, 0), PCL_ERR_OK);
        }
    }
    pcl_hop_outbox_flush(s_outbox, 1);
    for (uint32_t index = 0; index < PEERS; index++) {
        assert_int_equal(s_take(dealers[index], 1, &frames), 3);
        zmq_msg_close(&peers[index]);
        hop_plain_destroy(&dealers[index]);
    }
    assert_int_equal(s_told_count, 0);
}

static void test_what_is_left_at_the_end_is_sent(void **state)
{
    (void)state;
    uint32_t frames = 0;
    assert_int_equal(s_send(&s_peer, 1, 0), PCL_ERR_OK);
    pcl_hop_outbox_destroy(&s_outbox);
    assert_int_equal(s_take(s_back, 1, &frames), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_set_up, s_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_turn_is_one_frame_for_each_peer),
        TEST(test_a_frame_is_bounded),
        TEST(test_a_large_message_does_not_overtake),
        TEST(test_a_full_peer_waits_alone_and_loses_nothing),
        TEST(test_of_a_peer_that_has_gone_each_message_is_told_once),
        TEST(test_a_full_peer_that_goes_is_told_of),
        TEST(test_a_peer_that_does_not_read_is_given_up),
        TEST(test_what_was_unsent_may_be_sent_elsewhere_at_once),
        TEST(test_what_is_dropped_is_told_and_never_sent),
        TEST(test_what_waits_for_one_peer_is_dropped_alone),
        TEST(test_more_peers_than_frames_are_served),
        TEST(test_what_is_left_at_the_end_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
