#include "net/link.h"

#include "common/clock.h"
#include "net/key_list.h"
#include "net/time.h"
#include "net/zap.h"
#include "tests/lib/hop_plain.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TICK_US UINT64_C(50000)

/* The link and, at its other end, a bare ROUTER that answers as it is told.
 * Sockets are real, the clock is ours. */
typedef struct s_bench {
    pcl_link *link;
    zsock_t *peer;
    uint64_t peer_boot;   /* in its PONGs; 0: does not answer */
    uint8_t peer_flags;   /* in its PONGs */
    uint64_t now_us;      /* the link's clock */
    int requests;         /* the peer has got */
    zmq_msg_t routing_id; /* of the link, at the peer */
} s_bench;

static char s_error[256];

static s_bench s_open(const char *endpoint)
{
    pcl_socket_options options = {.endpoint = endpoint, .queue_max = 8, .message_size_max = 10000};
    s_bench bench = {.now_us = 1000000, .peer_boot = 11};
    /* The link first: roles of one process start in any order. */
    bench.link = pcl_link_new(&options, "node1", 5, 1, s_error, sizeof s_error);
    assert_non_null(bench.link);
    bench.peer = pcl_socket_router(&options, s_error, sizeof s_error);
    assert_non_null(bench.peer);
    zmq_msg_init(&bench.routing_id);
    return bench;
}

static void s_close(s_bench *bench)
{
    zmq_msg_close(&bench->routing_id);
    pcl_link_destroy(&bench->link);
    assert_null(bench->link);
    hop_plain_destroy(&bench->peer);
}

static void s_peer_send(s_bench *bench, pcl_kind kind)
{
    pcl_head head = {.kind = kind, .flags = bench->peer_flags, .sent_us = bench->now_us};
    pcl_head_set_boot_id(&head, bench->peer_boot);
    assert_int_equal(pcl_hop_send(bench->peer, &bench->routing_id, &head, NULL, NULL), PCL_ERR_OK);
}

static void s_peer_turn(s_bench *bench)
{
    pcl_hop_message message;
    while (hop_plain_recv(&message, bench->peer, true) == PCL_HOP_MESSAGE) {
        pcl_kind kind = message.head.kind;
        zmq_msg_copy(&bench->routing_id, &message.peer);
        bench->requests += kind == PCL_KIND_REQUEST;
        if (kind == PCL_KIND_PING || kind == PCL_KIND_BEAT) {
            assert_int_equal(pcl_head_boot_id(&message.head), 5);
            assert_true(pcl_bytes_is(message.head.principal, "node1"));
            if (bench->peer_boot != 0) {
                s_peer_send(bench, PCL_KIND_PONG);
            }
        }
        pcl_hop_close(&message);
    }
}

/* One turn of a loop at both ends; the last event that was one. */
static pcl_link_event s_turn(s_bench *bench)
{
    bench->now_us += TICK_US;
    pcl_link_event last = pcl_link_tick(bench->link, bench->now_us, NULL);
    s_peer_turn(bench);
    zclock_sleep(1);
    pcl_hop_message message;
    while (pcl_link_recv(bench->link, &message) == PCL_HOP_MESSAGE) {
        pcl_link_event event = pcl_link_heard(bench->link, &message.head, bench->now_us, NULL);
        if (message.head.kind == PCL_KIND_PING) {
            pcl_link_answer(bench->link, &message.head, bench->now_us, NULL);
        }
        last = event != PCL_LINK_NOTHING ? event : last;
        pcl_hop_close(&message);
    }
    return last;
}

static pcl_link_event s_turns(s_bench *bench, int count)
{
    pcl_link_event last = PCL_LINK_NOTHING;
    while (count-- > 0 && last == PCL_LINK_NOTHING) {
        last = s_turn(bench);
    }
    return last;
}

static void s_count_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                           uint64_t now_us)
{
    (void)now_us;
    assert_null(peer);
    assert_int_equal(why, PCL_ERR_UNAVAILABLE);
    assert_int_equal(head->kind, PCL_KIND_REQUEST);
    (*(uint32_t *)context)++;
}

/* UNAVAILABLE also when that was found out no sooner than at the end of the turn. */
static pcl_err s_request(s_bench *bench)
{
    uint32_t unsent = 0;
    pcl_link_on_unsent(bench->link, s_count_unsent, &unsent);
    pcl_head head = {.kind = PCL_KIND_REQUEST};
    zmq_msg_t payload;
    pcl_frame_copy_of(&payload, pcl_bytes_text("x"));
    pcl_err err = pcl_link_send(bench->link, &head, &payload, NULL, bench->now_us);
    pcl_link_flush(bench->link, bench->now_us);
    assert_int_equal(zmq_msg_size(&payload), err == PCL_ERR_OK ? 0 : 1);
    zmq_msg_close(&payload);
    pcl_link_on_unsent(bench->link, NULL, NULL);
    assert_true(unsent == 0 || err == PCL_ERR_OK);
    return unsent > 0 ? PCL_ERR_UNAVAILABLE : err;
}

static void test_a_link_is_down_until_the_peer_answers(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-down");
    bench.peer_boot = 0;
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_DOWN);
    assert_int_equal(s_turns(&bench, 20), PCL_LINK_NOTHING);
    assert_int_equal(s_request(&bench), PCL_ERR_UNAVAILABLE);
    bench.peer_boot = 11;
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_UP);
    assert_int_equal(s_request(&bench), PCL_ERR_OK);
    (void)s_turn(&bench);
    assert_int_equal(bench.requests, 1);
    s_close(&bench);
}

static void test_silence_is_a_loss(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-silent");
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    assert_int_equal(s_turns(&bench, 40), PCL_LINK_NOTHING); /* two seconds of beats */
    bench.peer_boot = 0;
    uint64_t before_us = bench.now_us;
    assert_int_equal(s_turns(&bench, 40), PCL_LINK_LOST);
    assert_in_range(bench.now_us - before_us, 800000, 1250000);
    assert_int_equal(s_request(&bench), PCL_ERR_UNAVAILABLE);
    bench.peer_boot = 12;
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    s_close(&bench);
}

static void test_another_boot_is_a_replacement(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-boot");
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    bench.peer_boot = 12;
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_REPLACED);
    assert_int_equal(s_request(&bench), PCL_ERR_OK);
    s_close(&bench);
}

static void test_a_draining_peer_gets_no_requests(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-drain");
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    bench.peer_flags = PCL_HEAD_DRAINING;
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_DRAINS);
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_DRAINING);
    assert_int_equal(s_request(&bench), PCL_ERR_UNAVAILABLE);
    pcl_head cancel = {.kind = PCL_KIND_CANCEL};
    assert_int_equal(pcl_link_send(bench.link, &cancel, NULL, NULL, bench.now_us), PCL_ERR_OK);
    bench.peer_flags = 0;
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    s_peer_send(&bench, PCL_KIND_BYE);
    assert_int_equal(s_turns(&bench, 3), PCL_LINK_DRAINS);
    s_close(&bench);
}

/* What the link answers to a PING with that ticket, at the peer; the caller closes it. */
static pcl_hop_message s_answer_to(s_bench *bench, uint64_t ticket, const pcl_report *report)
{
    pcl_hop_message message;
    pcl_head ping = {.kind = PCL_KIND_PING, .ticket = ticket, .sent_us = bench->now_us};
    pcl_head_set_boot_id(&ping, bench->peer_boot);
    s_peer_turn(bench);
    assert_int_equal(pcl_hop_send(bench->peer, &bench->routing_id, &ping, NULL, NULL), PCL_ERR_OK);
    zclock_sleep(5);
    assert_int_equal(pcl_link_recv(bench->link, &message), PCL_HOP_MESSAGE);
    (void)pcl_link_heard(bench->link, &message.head, bench->now_us, NULL);
    pcl_link_answer(bench->link, &message.head, bench->now_us, report);
    pcl_hop_close(&message);
    zclock_sleep(5);
    assert_int_equal(hop_plain_recv(&message, bench->peer, true), PCL_HOP_MESSAGE);
    assert_int_equal(pcl_head_boot_id(&message.head), 5);
    assert_int_equal(message.head.ticket, ticket);
    return message;
}

static void test_a_ping_is_answered(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-ping");
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    pcl_hop_message answer = s_answer_to(&bench, 0, NULL);
    assert_int_equal(answer.head.kind, PCL_KIND_PONG);
    pcl_hop_close(&answer);
    s_close(&bench);
}

static void test_a_ping_is_answered_with_a_report_where_there_is_one(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-ping-report");
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    pcl_report report = {.boot_id = 5, .seq = 77, .lag_ms = 8};
    pcl_hop_message answer = s_answer_to(&bench, 4711, &report);
    pcl_report heard;
    assert_int_equal(answer.head.kind, PCL_KIND_BEAT);
    assert_int_equal(pcl_report_decode(&heard, pcl_frame_bytes(&answer.tail)), PCL_ERR_OK);
    assert_int_equal(heard.seq, 77);
    pcl_hop_close(&answer);
    s_close(&bench);
}

/* Beats come at 200 ms, a fifth more or less, and carry the agent's report. */
static void test_beats_carry_the_report(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-beat");
    pcl_report report = {.boot_id = 5,
                         .seq = 9,
                         .state = PCL_NODE_DRAIN,
                         .lag_ms = -1,
                         .gtid = pcl_bytes_text("0-1-2")};
    int beats = 0;
    for (int turn = 0; turn < 1000; turn++) { /* ten seconds */
        bench.now_us += 10000;
        (void)pcl_link_tick(bench.link, bench.now_us, &report);
        pcl_hop_message message;
        while (hop_plain_recv(&message, bench.peer, true) == PCL_HOP_MESSAGE) {
            pcl_report heard;
            assert_int_equal(message.head.kind, PCL_KIND_BEAT);
            assert_int_equal(message.head.flags, PCL_HEAD_DRAINING);
            assert_int_equal(pcl_report_decode(&heard, pcl_frame_bytes(&message.tail)), PCL_ERR_OK);
            assert_int_equal(heard.seq, 9);
            assert_true(pcl_bytes_is(heard.gtid, "0-1-2"));
            pcl_hop_close(&message);
            beats++;
        }
    }
    assert_in_range(beats, 40, 62);
    s_close(&bench);
}

#define FLEET 10

/* When, after a common first one, the beats of so many links went out. */
static int s_beats_of_fleet(uint64_t *times_us, int times_max, uint64_t until_us)
{
    s_bench bench[FLEET];
    int count = 0;
    for (int one = 0; one < FLEET; one++) {
        char endpoint[32];
        (void)snprintf(endpoint, sizeof endpoint, "inproc://link-fleet-%d", one);
        pcl_socket_options options = {
            .endpoint = endpoint, .queue_max = 8, .message_size_max = 10000};
        bench[one].link = pcl_link_new(&options, "node1", 5, (uint64_t)one + 1, s_error,
                                       sizeof s_error);
        bench[one].peer = pcl_socket_router(&options, s_error, sizeof s_error);
        assert_non_null(bench[one].link);
        assert_non_null(bench[one].peer);
        zmq_msg_init(&bench[one].routing_id);
    }
    for (uint64_t now_us = 1000; now_us <= until_us; now_us += 1000) {
        for (int one = 0; one < FLEET; one++) {
            pcl_hop_message message;
            (void)pcl_link_tick(bench[one].link, now_us, NULL);
            while (hop_plain_recv(&message, bench[one].peer, true) == PCL_HOP_MESSAGE) {
                pcl_hop_close(&message);
                if (now_us > 1000 && count < times_max) {
                    times_us[count++] = now_us;
                }
            }
        }
    }
    for (int one = 0; one < FLEET; one++) {
        s_close(&bench[one]);
    }
    return count;
}

/* Ten agents find the same proxy at the same moment: from the second beat on they are spread, in
 * the first second as later.  Were they in step, one slot of 20 ms in ten would have them all. */
static void test_beats_of_many_do_not_march_in_step(void **state)
{
    (void)state;
    enum { SLOT_US = 20000, SLOTS = 10, MAX = 1000 };
    static uint64_t times_us[MAX];
    int count = s_beats_of_fleet(times_us, MAX, 10 * PCL_US_PER_S);
    assert_in_range(count, 400, 620);
    for (uint64_t second = 0; second < 10; second++) {
        int slots[SLOTS] = {0};
        int all = 0;
        for (int index = 0; index < count; index++) {
            if (times_us[index] / PCL_US_PER_S == second) {
                slots[times_us[index] / SLOT_US % SLOTS]++;
                all++;
            }
        }
        for (int slot = 0; slot < SLOTS; slot++) {
            if (slots[slot] * 10 > all * 4) { /* four times its share */
                fail_msg("second %d: slot %d has %d of %d", (int)second, slot, slots[slot], all);
            }
        }
    }
}

static void test_the_wait_of_a_message_is_told(void **state)
{
    (void)state;
    s_bench bench = s_open("inproc://link-wait");
    pcl_head head = {.kind = PCL_KIND_PONG, .sent_us = 500};
    pcl_head_set_boot_id(&head, 11);
    uint64_t wait_us = 99;
    (void)pcl_link_heard(bench.link, &head, 2000000, &wait_us);
    assert_int_equal(wait_us, 0);
    head.sent_us = 1500;
    (void)pcl_link_heard(bench.link, &head, 2005000, &wait_us);
    assert_int_equal(wait_us, 4000);
    pcl_head_set_boot_id(&head, 12); /* another process, another clock */
    head.sent_us = 1;
    (void)pcl_link_heard(bench.link, &head, 2006000, &wait_us);
    assert_int_equal(wait_us, 0);
    s_close(&bench);
}

static void test_a_link_over_tcp_with_keys(void **state)
{
    (void)state;
    pcl_keys server, client;
    pcl_keys_make(&server);
    pcl_keys_make(&client);
    assert_true(pcl_zap_start());
    pcl_key_list *list = pcl_key_list_new();
    assert_null(pcl_key_list_add(list, "client", client.public_key, ""));
    pcl_zap_set("brokers", list);
    pcl_key_list_destroy(&list);
    pcl_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                  .keys = &server,
                                  .zap_domain = "brokers",
                                  .queue_max = 8,
                                  .message_size_max = 10000};
    s_bench bench = {.now_us = 1000000, .peer_boot = 11};
    zmq_msg_init(&bench.routing_id);
    bench.peer = pcl_socket_router(&options, s_error, sizeof s_error);
    assert_non_null(bench.peer);
    options.endpoint = zsock_endpoint(bench.peer);
    options.keys = &client;
    options.server_key = server.public_key;
    bench.link = pcl_link_new(&options, "node1", 5, 1, s_error, sizeof s_error);
    assert_non_null(bench.link);
    assert_int_equal(s_turns(&bench, 3000), PCL_LINK_CAME_UP);
    assert_int_equal(s_request(&bench), PCL_ERR_OK);
    zmq_pollitem_t item = {.socket = zsock_resolve(bench.peer), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 3000), 1);
    pcl_hop_message message;
    assert_int_equal(hop_plain_recv(&message, bench.peer, true), PCL_HOP_MESSAGE);
    assert_string_equal(message.user_id, client.public_key);
    pcl_hop_close(&message);
    s_close(&bench);
    pcl_zap_stop();
}

/* libzmq gives a peer up that has refused its key; who is let in later must come in all the same.
 */
static void test_a_link_that_was_refused_comes_up_when_its_key_is_listed(void **state)
{
    (void)state;
    pcl_keys server, client;
    pcl_keys_make(&server);
    pcl_keys_make(&client);
    assert_true(pcl_zap_start());
    pcl_key_list *list = pcl_key_list_new();
    pcl_zap_set("brokers", list);
    pcl_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                  .keys = &server,
                                  .zap_domain = "brokers",
                                  .queue_max = 8,
                                  .message_size_max = 10000};
    s_bench bench = {.now_us = 1000000, .peer_boot = 11};
    zmq_msg_init(&bench.routing_id);
    bench.peer = pcl_socket_router(&options, s_error, sizeof s_error);
    assert_non_null(bench.peer);
    options.endpoint = zsock_endpoint(bench.peer);
    options.keys = &client;
    options.server_key = server.public_key;
    bench.link = pcl_link_new(&options, "node1", 5, 1, s_error, sizeof s_error);
    assert_non_null(bench.link);
    assert_int_equal(s_turns(&bench, 1000), PCL_LINK_NOTHING);
    assert_null(pcl_key_list_add(list, "client", client.public_key, ""));
    pcl_zap_set("brokers", list);
    pcl_key_list_destroy(&list);
    assert_int_equal(s_turns(&bench, 10000), PCL_LINK_CAME_UP);
    assert_int_equal(s_request(&bench), PCL_ERR_OK);
    s_close(&bench);
    pcl_zap_stop();
}

/* --- The connection --------------------------------------------------------- */

static void s_bind(s_bench *bench, const char *endpoint)
{
    pcl_socket_options options = {
        .endpoint = endpoint, .queue_max = 8, .message_size_max = 10000, .insecure = true};
    bench->peer = NULL;
    for (int turn = 0; turn < 100 && bench->peer == NULL; turn++) {
        bench->peer = pcl_socket_router(&options, s_error, sizeof s_error);
        zclock_sleep(bench->peer == NULL ? 10 : 0); /* the last one's port is let go of later */
    }
    assert_non_null(bench->peer);
}

/* A link that is watched and UP, over tcp; endpoint must hold 64 characters. */
static s_bench s_open_watched(char *endpoint, zsock_t **out_watch)
{
    s_bench bench = {.now_us = 1000000, .peer_boot = 11};
    zmq_msg_init(&bench.routing_id);
    s_bind(&bench, "tcp://127.0.0.1:*");
    snprintf(endpoint, 64, "%s", zsock_endpoint(bench.peer));
    pcl_socket_options options = {
        .endpoint = endpoint, .queue_max = 8, .message_size_max = 10000, .insecure = true};
    bench.link = pcl_link_new(&options, "node1", 5, 1, s_error, sizeof s_error);
    assert_non_null(bench.link);
    *out_watch = pcl_link_watch(bench.link, s_error, sizeof s_error);
    assert_non_null(*out_watch);
    assert_int_equal(s_turns(&bench, 3000), PCL_LINK_CAME_UP);
    assert_int_equal(pcl_link_cut(bench.link, bench.now_us), PCL_LINK_NOTHING);
    return bench;
}

static void s_wait_cut(zsock_t *watch)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(watch), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 5000), 1);
}

/* The link's clock stands still: nothing here is known from silence. */
static void test_a_dead_peer_is_noticed_at_once(void **state)
{
    (void)state;
    char endpoint[64];
    zsock_t *watch = NULL;
    s_bench bench = s_open_watched(endpoint, &watch);
    hop_plain_destroy(&bench.peer);
    s_wait_cut(watch);
    /* Before the owner came to it: never OVERLOADED. */
    pcl_err err = PCL_ERR_OK;
    for (int turn = 0; turn < 1000 && err == PCL_ERR_OK; turn++) {
        err = s_request(&bench);
        zclock_sleep(1);
    }
    assert_int_equal(err, PCL_ERR_UNAVAILABLE);
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_UP);
    assert_int_equal(pcl_link_cut(bench.link, bench.now_us), PCL_LINK_LOST);
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_DOWN);
    assert_int_equal(s_request(&bench), PCL_ERR_UNAVAILABLE);
    assert_int_equal(pcl_link_cut(bench.link, bench.now_us), PCL_LINK_NOTHING);
    s_bind(&bench, endpoint);
    s_close(&bench);
}

/* Also the same process: only its word says that it is there. */
static void test_a_new_connection_is_not_yet_a_link(void **state)
{
    (void)state;
    char endpoint[64];
    zsock_t *watch = NULL;
    s_bench bench = s_open_watched(endpoint, &watch);
    hop_plain_destroy(&bench.peer);
    s_wait_cut(watch);
    assert_int_equal(pcl_link_cut(bench.link, bench.now_us), PCL_LINK_LOST);
    s_bind(&bench, endpoint);
    bench.peer_boot = 0; /* hears, and says nothing */
    zmq_pollitem_t item = {.socket = zsock_resolve(bench.peer), .events = ZMQ_POLLIN};
    while (zmq_poll(&item, 1, 1) == 0) {
        assert_int_equal(s_turn(&bench), PCL_LINK_NOTHING);
    }
    assert_int_equal(s_turn(&bench), PCL_LINK_NOTHING);
    assert_int_equal(s_request(&bench), PCL_ERR_UNAVAILABLE);
    bench.peer_boot = 11;
    assert_int_equal(s_turns(&bench, 3000), PCL_LINK_CAME_UP);
    assert_int_equal(s_request(&bench), PCL_ERR_OK);
    s_close(&bench);
}

static void test_a_full_queue_is_not_a_loss(void **state)
{
    (void)state;
    char endpoint[64];
    zsock_t *watch = NULL;
    s_bench bench = s_open_watched(endpoint, &watch);
    static uint8_t octets[10000];
    pcl_err err = PCL_ERR_OK;
    for (int count = 0; count < 100000 && err == PCL_ERR_OK; count++) {
        pcl_head head = {.kind = PCL_KIND_REQUEST};
        zmq_msg_t payload;
        pcl_frame_copy_of(&payload, pcl_bytes_of(octets, sizeof octets));
        err = pcl_link_send(bench.link, &head, &payload, NULL, bench.now_us);
        zmq_msg_close(&payload);
    }
    assert_int_equal(err, PCL_ERR_OVERLOADED);
    assert_int_equal(pcl_link_cut(bench.link, bench.now_us), PCL_LINK_NOTHING);
    assert_int_equal(pcl_link_state_now(bench.link), PCL_LINK_UP);
    s_close(&bench);
}

/* --- Long messages ------------------------------------------------------------ */

enum { LONG_SIZE = 4 << 20, STEP_SIZE = 16 << 10 };

/* A slow network: octets pass between the link and its peer as the test says. */
typedef struct s_wire {
    int listener;
    int near; /* to the link */
    int far;  /* to the peer */
} s_wire;

static int s_socket_at(uint16_t port, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int small = STEP_SIZE; /* so that most of a message waits with its sender */
    assert_true(fd != -1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    if (listens) {
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(fd, 1), 0);
    } else {
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    }
    return fd;
}

static uint16_t s_port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void s_pass(int from, int to)
{
    static char octets[STEP_SIZE];
    struct pollfd item = {.fd = from, .events = POLLIN};
    if (poll(&item, 1, 0) == 1) {
        ssize_t size = recv(from, octets, sizeof octets, 0);
        assert_true(size > 0);
        assert_int_equal(send(to, octets, (size_t)size, 0), size);
    }
}

static pcl_link_event s_wire_turn(s_bench *bench, s_wire *wire)
{
    s_pass(wire->near, wire->far);
    s_pass(wire->far, wire->near);
    return s_turn(bench);
}

/* A link that is UP over the wire. */
static s_bench s_open_wire(s_wire *out_wire)
{
    s_bench bench = {.now_us = 1000000, .peer_boot = 11};
    char endpoint[64];
    zmq_msg_init(&bench.routing_id);
    out_wire->listener = s_socket_at(0, true);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", s_port_of(out_wire->listener));
    pcl_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                  .queue_max = 8,
                                  .message_size_max = 2 * LONG_SIZE,
                                  .insecure = true};
    bench.peer = pcl_socket_router(&options, s_error, sizeof s_error);
    assert_non_null(bench.peer);
    const char *port = strrchr(zsock_endpoint(bench.peer), ':') + 1;
    out_wire->far = s_socket_at((uint16_t)strtoul(port, NULL, 10), false);
    options.endpoint = endpoint;
    bench.link = pcl_link_new(&options, "node1", 5, 1, s_error, sizeof s_error);
    assert_non_null(bench.link);
    out_wire->near = accept(out_wire->listener, NULL, NULL);
    assert_true(out_wire->near != -1);
    pcl_link_event event = PCL_LINK_NOTHING;
    for (int turn = 0; turn < 5000 && event == PCL_LINK_NOTHING; turn++) {
        event = s_wire_turn(&bench, out_wire);
        bench.now_us -= TICK_US - 100; /* or it would connect anew before its handshake is done */
    }
    assert_int_equal(event, PCL_LINK_CAME_UP);
    return bench;
}

static void s_close_wire(s_bench *bench, s_wire *wire)
{
    s_close(bench);
    close(wire->near);
    close(wire->far);
    close(wire->listener);
}

/* It takes 12 s by the link's clock, and then nothing comes any more. */
static void s_pass_a_part(s_bench *bench, s_wire *wire)
{
    bench->peer_boot = 0; /* its answers would wait behind the message */
    for (int turn = 0; turn < LONG_SIZE / STEP_SIZE - 16; turn++) {
        assert_int_equal(s_wire_turn(bench, wire), PCL_LINK_NOTHING);
        assert_int_equal(pcl_link_state_now(bench->link), PCL_LINK_UP);
    }
    zclock_sleep(2 * PCL_BEAT_INTERVAL_MS); /* the kernel's clock is not ours to set */
    assert_int_equal(s_turns(bench, 100), PCL_LINK_LOST);
}

static void s_long_message(zmq_msg_t *out_payload)
{
    int rc = zmq_msg_init_size(out_payload, LONG_SIZE);
    assert_int_equal(rc, 0);
    memset(zmq_msg_data(out_payload), 'x', LONG_SIZE);
}

static void test_who_is_at_a_long_message_is_not_silent(void **state)
{
    (void)state;
    s_wire wire;
    s_bench bench = s_open_wire(&wire);
    pcl_head head = {.kind = PCL_KIND_REPLY, .sent_us = bench.now_us};
    zmq_msg_t payload;
    s_long_message(&payload);
    assert_int_equal(pcl_hop_send(bench.peer, &bench.routing_id, &head, &payload, NULL),
                     PCL_ERR_OK);
    s_pass_a_part(&bench, &wire);
    s_close_wire(&bench, &wire);
}

static void test_who_takes_a_long_message_is_not_silent(void **state)
{
    (void)state;
    s_wire wire;
    s_bench bench = s_open_wire(&wire);
    pcl_head head = {.kind = PCL_KIND_REQUEST};
    zmq_msg_t payload;
    s_long_message(&payload);
    assert_int_equal(pcl_link_send(bench.link, &head, &payload, NULL, bench.now_us), PCL_ERR_OK);
    pcl_link_flush(bench.link, bench.now_us);
    s_pass_a_part(&bench, &wire);
    zmq_msg_close(&payload);
    s_close_wire(&bench, &wire);
}

/* On tcp only: elsewhere nothing takes time. */
static void test_the_silence_of_the_only_neighbour_is_borne_for_longer(void **state)
{
    (void)state;
    s_wire wire;
    s_bench bench = s_open_wire(&wire);
    pcl_link_be_patient(bench.link);
    zclock_sleep(2 * PCL_BEAT_INTERVAL_MS);
    assert_int_equal(s_turns(&bench, 2 * PCL_BEATS_GONE * 4), PCL_LINK_NOTHING);
    assert_int_equal(s_turns(&bench, PCL_BEATS_GONE_ALONE * 4), PCL_LINK_LOST);
    s_close_wire(&bench, &wire);
    bench = s_open("inproc://link-impatient");
    pcl_link_be_patient(bench.link);
    assert_int_equal(s_turns(&bench, 10), PCL_LINK_CAME_UP);
    bench.peer_boot = 0;
    assert_int_equal(s_turns(&bench, PCL_BEATS_GONE * 4 + 5), PCL_LINK_LOST);
    s_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_is_down_until_the_peer_answers),
        cmocka_unit_test(test_silence_is_a_loss),
        cmocka_unit_test(test_another_boot_is_a_replacement),
        cmocka_unit_test(test_a_draining_peer_gets_no_requests),
        cmocka_unit_test(test_a_ping_is_answered),
        cmocka_unit_test(test_a_ping_is_answered_with_a_report_where_there_is_one),
        cmocka_unit_test(test_beats_of_many_do_not_march_in_step),
        cmocka_unit_test(test_beats_carry_the_report),
        cmocka_unit_test(test_the_wait_of_a_message_is_told),
        cmocka_unit_test(test_a_link_over_tcp_with_keys),
        cmocka_unit_test(test_a_link_that_was_refused_comes_up_when_its_key_is_listed),
        cmocka_unit_test(test_a_dead_peer_is_noticed_at_once),
        cmocka_unit_test(test_a_new_connection_is_not_yet_a_link),
        cmocka_unit_test(test_a_full_queue_is_not_a_loss),
        cmocka_unit_test(test_who_is_at_a_long_message_is_not_silent),
        cmocka_unit_test(test_who_takes_a_long_message_is_not_silent),
        cmocka_unit_test(test_the_silence_of_the_only_neighbour_is_borne_for_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
