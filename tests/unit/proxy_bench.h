/* proxy_bench.h - the proxy's actor between a broker and agents that the test plays, all over
 * inproc.  The test is one thread; while it waits for something, the agents that live beat. */
#ifndef PCL_TESTS_PROXY_BENCH_H
#define PCL_TESTS_PROXY_BENCH_H

#include "common/clock.h"
#include "proxy/actor.h"
#include "proxy/proxy.h"
#include "sql/classify.h"
#include "tests/lib/role_fixture.h"
#include "wire/mp.h"
#include "wire/report.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* What shall come comes at once, but on a machine that has other things to do. */
#define WAIT_US    (30 * PCL_US_PER_S)
/* Sooner than beats that stay away tell of it, which takes 800 ms at least. */
#define AT_ONCE_US (700 * PCL_US_PER_MS)

enum { AGENTS_MAX = 4, HELD_MAX = 64, BEAT_MS = 50 };

/* A CANCEL or RELEASE that an agent got. */
typedef struct hint {
    pcl_head head; /* its principal is borrowed from below */
    char principal[PCL_NAME_SIZE_MAX + 1];
} hint;

typedef struct agent {
    char name[16];
    zsock_t *socket; /* DEALER; NULL: not there */
    pcl_report report;
    bool mute; /* says nothing */
    uint64_t beat_us;
    pcl_hop_message held[HELD_MAX]; /* requests it got, the oldest first */
    uint32_t held_count;
    hint hints[HELD_MAX];
    uint32_t hint_count;
    uint32_t pongs;
} agent;

typedef struct bench {
    role_fixture role;
    zsock_t *broker; /* DEALER */
    char brokers_endpoint[40], agents_endpoint[40];
    agent agents[AGENTS_MAX];
} bench;

static bench s_bench; /* large */

static inline zsock_t *s_dealer(const char *endpoint, uint32_t queue_max)
{
    char error[256];
    pcl_socket_options options = {.endpoint = endpoint,
                                  .queue_max = queue_max,
                                  .message_size_max = PCL_REPLY_SIZE_MAX,
                                  .insecure = true};
    zsock_t *socket = pcl_socket_dealer(&options, error, sizeof error);
    if (socket == NULL) {
        fail_msg("%s", error);
    }
    if (strncmp(endpoint, "tcp:", 4) == 0) {
        zclock_sleep(100); /* the handshake: before it nothing can be sent */
    }
    return socket;
}

static inline bool s_holds(pcl_bytes octets, const char *text)
{
    size_t size = strlen(text);
    for (size_t offset = 0; offset + size <= octets.size; offset++) {
        if (memcmp(octets.data + offset, text, size) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Agents ------------------------------------------------------------------ */

/* Takes the frame. */
static inline void s_agent_send_frame(agent *self, pcl_head *head, zmq_msg_t *frame)
{
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t tail;
    self->report.seq++;
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_report_encode(&self->report, octets)));
    head->sent_us = pcl_now_us();
    uint64_t until_us = head->sent_us + WAIT_US;
    pcl_err err = PCL_ERR_OK;
    while ((err = pcl_hop_send(self->socket, NULL, head, frame, &tail)) != PCL_ERR_OK) {
        assert_true(pcl_now_us() < until_us); /* over TCP there is a handshake first */
        zclock_sleep(1);
    }
    zmq_msg_close(frame);
    zmq_msg_close(&tail);
}

static inline void s_agent_send(agent *self, pcl_head *head, const char *payload)
{
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_text(payload));
    s_agent_send_frame(self, head, &frame);
}

static inline void s_agent_beat(agent *self)
{
    pcl_head head = {.kind = PCL_KIND_BEAT, .principal = pcl_bytes_text(self->name)};
    pcl_head_set_boot_id(&head, self->report.boot_id);
    s_agent_send(self, &head, "");
    self->beat_us = pcl_now_us() + BEAT_MS * PCL_US_PER_MS;
}

static inline void s_agent_hold(agent *self, pcl_hop_message *message)
{
    assert_true(self->held_count < HELD_MAX);
    pcl_hop_message *held = &self->held[self->held_count++];
    zmq_msg_t *from[] = {&message->peer, &message->head_frame, &message->payload, &message->tail};
    zmq_msg_t *to[] = {&held->peer, &held->head_frame, &held->payload, &held->tail};
    for (size_t index = 0; index < 4; index++) {
        zmq_msg_init(to[index]);
        zmq_msg_move(to[index], from[index]);
    }
    pcl_err err = pcl_head_decode(&held->head, pcl_hop_head_octets(&held->head_frame));
    assert_int_equal(err, PCL_ERR_OK);
}

static inline void s_agent_note(agent *self, const pcl_head *head)
{
    assert_true(self->hint_count < HELD_MAX);
    hint *fresh = &self->hints[self->hint_count++];
    *fresh = (hint){.head = *head};
    assert_true(head->principal.size < sizeof fresh->principal);
    memcpy(fresh->principal, head->principal.data, head->principal.size);
    fresh->head.principal = pcl_bytes_text(fresh->principal);
}

static inline void s_agent_turn(agent *self)
{
    if (self->socket == NULL) {
        return;
    }
    pcl_hop_message message;
    while (hop_plain_recv(&message, self->socket, false) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REQUEST) {
            s_agent_hold(self, &message);
        } else if (message.head.kind == PCL_KIND_PONG) {
            assert_int_equal(pcl_head_boot_id(&message.head), 77);
            self->pongs++;
        } else if (message.head.kind == PCL_KIND_CANCEL || message.head.kind == PCL_KIND_RELEASE) {
            s_agent_note(self, &message.head);
        }
        pcl_hop_close(&message);
    }
    if (!self->mute && pcl_now_us() >= self->beat_us) {
        s_agent_beat(self);
    }
}

static inline void s_turn(void)
{
    for (uint32_t index = 0; index < AGENTS_MAX; index++) {
        s_agent_turn(&s_bench.agents[index]);
    }
}

/* index 0 is the source. */
static inline agent *s_agent_start(uint32_t index, uint64_t boot_id)
{
    agent *self = &s_bench.agents[index];
    (void)snprintf(self->name, sizeof self->name, "n%u", index);
    self->report = (pcl_report){.boot_id = boot_id,
                                .role = index == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                                .state = PCL_NODE_UP,
                                .flavor = PCL_FLAVOR_MARIADB,
                                .read_only = index != 0,
                                .replicating = true,
                                .workers = 8,
                                .queue_max = 100};
    self->socket = s_dealer(s_bench.agents_endpoint, 1000);
    self->pongs = 0;
    self->hint_count = 0;
    self->mute = false;
    s_agent_beat(self);
    for (uint64_t until_us = pcl_now_us() + WAIT_US; self->pongs == 0;) {
        assert_true(pcl_now_us() < until_us);
        s_turn();
        zclock_sleep(1);
    }
    return self;
}

static inline void s_agent_stop(agent *self)
{
    for (uint32_t index = 0; index < self->held_count; index++) {
        pcl_hop_close(&self->held[index]);
    }
    self->held_count = 0;
    hop_plain_destroy(&self->socket);
}

/* A reply to the held request; it stays held. */
static inline void s_agent_reply_frame(agent *self, uint32_t index, pcl_err code, zmq_msg_t *frame)
{
    assert_true(index < self->held_count);
    pcl_head head = self->held[index].head;
    head.kind = PCL_KIND_REPLY;
    head.code = code;
    head.retry = pcl_err_retry((int)code);
    head.flags = 0;
    s_agent_send_frame(self, &head, frame);
}

static inline void s_agent_reply(agent *self, uint32_t index, pcl_err code, const char *payload)
{
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_text(payload));
    s_agent_reply_frame(self, index, code, &frame);
}

static inline agent *s_wait_held(uint32_t index, uint32_t count)
{
    agent *self = &s_bench.agents[index];
    for (uint64_t until_us = pcl_now_us() + WAIT_US; self->held_count < count;) {
        if (pcl_now_us() >= until_us) {
            fail_msg("%s holds %u requests, not %u", self->name, self->held_count, count);
        }
        s_turn();
        zclock_sleep(1);
    }
    return self;
}

/* The hint number index of that agent. */
static inline const hint *s_wait_hint(uint32_t agent_index, uint32_t index)
{
    agent *self = &s_bench.agents[agent_index];
    for (uint64_t until_us = pcl_now_us() + WAIT_US; self->hint_count <= index;) {
        if (pcl_now_us() >= until_us) {
            fail_msg("%s got %u hints, not %u", self->name, self->hint_count, index + 1);
        }
        s_turn();
        zclock_sleep(1);
    }
    return &self->hints[index];
}

/* Whichever replica has got a request that it did not have. */
static inline uint32_t s_wait_any(uint32_t first, uint32_t last)
{
    for (uint64_t until_us = pcl_now_us() + WAIT_US; pcl_now_us() < until_us;) {
        s_turn();
        for (uint32_t index = first; index <= last; index++) {
            if (s_bench.agents[index].held_count > 0) {
                return index;
            }
        }
        zclock_sleep(1);
    }
    fail_msg("no agent got the request");
    return 0;
}

/* --- The broker -------------------------------------------------------------- */

typedef struct order {
    uint64_t ticket;
    pcl_sql_class sql_class;
    pcl_op op;
    pcl_strategy_kind strategy;
    pcl_consistency_kind consistency;
    uint8_t flags;
    uint32_t budget_ms;    /* 0: 5 s */
    uint8_t id;            /* 0: as the ticket */
    const char *principal; /* NULL: alice */
    uint64_t boot_id;      /* not 0: of a session or cursor at that run of an agent */
    uint16_t page;
    const char *after; /* of PCL_CONSISTENCY_AFTER; NULL: nothing */
} order;

/* The one session, or cursor, that the tests have at a run of an agent. */
static inline void s_session_of(uint64_t boot_id, uint16_t page, uint8_t out_id[PCL_ID_SIZE])
{
    static const uint8_t HANDLE[PCL_HELD_HANDLE_SIZE] = {9, 8, 7, 6, 5, 4};
    pcl_held_id_make(out_id, boot_id, HANDLE, page);
}

static inline pcl_head s_head_of(const order *wish)
{
    pcl_head head = {
        .kind = PCL_KIND_REQUEST,
        .ticket = wish->ticket,
        .op = wish->op,
        .sql_class = (uint8_t)wish->sql_class,
        .strategy = wish->strategy,
        .consistency = wish->consistency,
        .after = pcl_bytes_text(wish->after == NULL ? "" : wish->after),
        .flags = wish->flags,
        .budget_us = (wish->budget_ms == 0 ? 5000 : wish->budget_ms) * 1000,
        .sent_us = pcl_now_us(),
        .principal = pcl_bytes_text(wish->principal == NULL ? "alice" : wish->principal),
        .role = pcl_bytes_text("app"),
    };
    memset(head.id, wish->id == 0 ? (int)wish->ticket : wish->id, sizeof head.id);
    if (wish->boot_id != 0) {
        s_session_of(wish->boot_id, wish->page, head.session);
    }
    return head;
}

static inline void s_ask(const order *wish)
{
    pcl_head head = s_head_of(wish);
    zmq_msg_t payload;
    pcl_frame_copy_of(&payload, pcl_bytes_text("the client's octets"));
    pcl_err err = pcl_hop_send(s_bench.broker, NULL, &head, &payload, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&payload);
}

static inline void s_read(uint64_t ticket)
{
    s_ask(&(order){.ticket = ticket, .sql_class = PCL_SQL_READ});
}

static inline void s_write(uint64_t ticket)
{
    s_ask(&(order){.ticket = ticket, .sql_class = PCL_SQL_WRITE});
}

/* The next message at the broker; false after wait_ms. */
static inline bool s_recv(pcl_hop_message *out_message, uint64_t wait_ms)
{
    for (uint64_t until_us = pcl_now_us() + wait_ms * 1000;;) {
        s_turn();
        if (hop_plain_recv(out_message, s_bench.broker, false) == PCL_HOP_MESSAGE) {
            return true;
        }
        if (pcl_now_us() >= until_us) {
            return false;
        }
        zclock_sleep(1);
    }
}

static inline void assert_silence(uint64_t wait_ms)
{
    pcl_hop_message message;
    if (s_recv(&message, wait_ms)) {
        fail_msg("a message of kind %d, code %s", (int)message.head.kind,
                 pcl_err_code((int)message.head.code));
    }
}

static inline void assert_reply(uint64_t ticket, const char *payload, uint64_t wait_ms)
{
    pcl_hop_message message;
    assert_true(s_recv(&message, wait_ms));
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    assert_int_equal(message.head.ticket, ticket);
    assert_int_equal(message.head.id[0], (uint8_t)ticket);
    assert_int_equal(message.head.code, PCL_ERR_OK);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), payload));
    assert_int_equal(zmq_msg_size(&message.tail), 0);
    pcl_hop_close(&message);
}

/* Head and payload must say the same; returns how long it took. */
static inline uint64_t assert_error(uint64_t ticket, pcl_err code, pcl_retry retry,
                                    uint64_t wait_ms)
{
    pcl_hop_message message;
    uint64_t began_us = pcl_now_us();
    assert_true(s_recv(&message, wait_ms));
    uint64_t took_us = pcl_now_us() - began_us;
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    assert_int_equal(message.head.ticket, ticket);
    assert_string_equal(pcl_err_code((int)message.head.code), pcl_err_code((int)code));
    assert_int_equal(message.head.retry, retry);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload));
    assert_int_equal(err, PCL_ERR_OK);
    assert_false(reply.ok);
    assert_true(pcl_bytes_is(reply.error_code, pcl_err_code((int)code)));
    assert_true(pcl_bytes_is(reply.error_hop, "proxy"));
    assert_int_equal(reply.error_retry, retry);
    assert_int_equal(reply.retry_after_ms > 0, code == PCL_ERR_OVERLOADED);
    assert_int_equal(reply.id[0], (uint8_t)ticket);
    pcl_hop_close(&message);
    return took_us;
}

static inline uint64_t s_dropped(const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    return fixture_counter(&s_bench.role, "portcullis_proxy_dropped_total", labels);
}

/* The proxy counts in its own thread, so what it got may be counted a moment later. */
static inline void assert_dropped(const char *reason, uint64_t count)
{
    for (uint64_t until_us = pcl_now_us() + WAIT_US; s_dropped(reason) < count;) {
        if (pcl_now_us() >= until_us) {
            break;
        }
        s_turn();
        zclock_sleep(1);
    }
    if (s_dropped(reason) != count) {
        fail_msg("%u dropped as %s, not %u", (unsigned)s_dropped(reason), reason, (unsigned)count);
    }
}

/* --- A cluster a test --------------------------------------------------------- */

/* The configuration for this test's endpoints and further settings. */
static inline const char *s_zpl(const char *settings)
{
    static char zpl[1024];
    (void)snprintf(zpl, sizeof zpl,
                   "brokers\n    endpoint = \"%s\"\nagents\n    endpoint = \"%s\"\n%s",
                   s_bench.brokers_endpoint, s_bench.agents_endpoint, settings);
    return zpl;
}

/* libzmq frees an inproc name some time after its socket, so each test has its own. */
static inline void s_name_endpoints(void)
{
    static uint32_t number;
    memset(&s_bench, 0, sizeof s_bench);
    number++;
    (void)snprintf(s_bench.brokers_endpoint, sizeof s_bench.brokers_endpoint, "inproc://brokers-%u",
                   number);
    (void)snprintf(s_bench.agents_endpoint, sizeof s_bench.agents_endpoint, "inproc://agents-%u",
                   number);
}

static inline void s_start(const char *settings, uint32_t agent_count)
{
    fixture_start(&s_bench.role, &pcl_proxy_role, s_zpl(settings));
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    for (uint32_t index = 0; index < agent_count; index++) {
        (void)s_agent_start(index, 100 + index);
    }
}

static inline void s_open_with(const char *settings, uint32_t agent_count)
{
    s_name_endpoints();
    s_start(settings, agent_count);
}

/* A port that was free a moment ago. */
static inline uint16_t s_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(probe >= 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(probe), 0);
    return ntohs(address.sin_port);
}

/* Over tcp, where connections end. */
static inline void s_open_tcp(uint32_t agent_count)
{
    s_name_endpoints();
    (void)snprintf(s_bench.brokers_endpoint, sizeof s_bench.brokers_endpoint, "tcp://127.0.0.1:%u",
                   s_free_port());
    (void)snprintf(s_bench.agents_endpoint, sizeof s_bench.agents_endpoint, "tcp://127.0.0.1:%u",
                   s_free_port());
    s_start("curve\n    insecure = 1\nrouting\n    strategy = \"random\"\n", agent_count);
}

static inline void s_open(uint32_t agent_count)
{
    s_open_with("routing\n    strategy = \"random\"\n", agent_count);
}

static inline int s_close(void **state)
{
    (void)state;
    for (uint32_t index = 0; index < AGENTS_MAX; index++) {
        s_agent_stop(&s_bench.agents[index]);
    }
    hop_plain_destroy(&s_bench.broker);
    fixture_stop(&s_bench.role);
    return 0;
}

#define PROXY_TEST(name) cmocka_unit_test_teardown(name, s_close)

#endif
