/* Sessions, cursors and cancels at the proxy: a request of a session goes to its node or nowhere,
 * what nobody waits for is withdrawn, what nobody holds is released. */
#include "tests/unit/proxy_bench.h"

#include "tests/lib/seed.h"
#include "wire/hop_frame.h"

enum { BOOT_0 = 100, BOOT_1 = 101, BOOT_2 = 102, BOOT_NEW = 200 }; /* of n0, n1, n2 at first */

/* In which the end of a socket in this process, or a word, comes to the proxy; on a busy machine,
 * too. */
enum { SEEN_MS = 200 };

/* A reply of the request held as number index that opened (HELD) or ended (RELEASED) something. */
static void s_agent_reply_flags(agent *self, uint32_t index, uint8_t flags)
{
    assert_true(index < self->held_count);
    pcl_head head = self->held[index].head;
    head.kind = PCL_KIND_REPLY;
    head.code = PCL_ERR_OK;
    head.flags = flags;
    s_session_of(self->report.boot_id, 0, head.session);
    s_agent_send(self, &head, "done");
}

/* The same with a payload that no frame shares with another message. */
static void s_agent_reply_held_large(agent *self, uint32_t index)
{
    static char payload[3000];
    memset(payload, 'x', sizeof payload - 1);
    pcl_head head = self->held[index].head;
    head.kind = PCL_KIND_REPLY;
    head.code = PCL_ERR_OK;
    head.flags = PCL_HEAD_HELD;
    s_session_of(self->report.boot_id, 0, head.session);
    s_agent_send(self, &head, payload);
}

/* The next reply at the broker, which is OK; the caller closes it. */
static void s_recv_ok(pcl_hop_message *out_message, uint64_t ticket)
{
    assert_true(s_recv(out_message, 1000));
    assert_int_equal(out_message->head.kind, PCL_KIND_REPLY);
    assert_int_equal(out_message->head.ticket, ticket);
    assert_int_equal(out_message->head.code, PCL_ERR_OK);
}

static void assert_session(const uint8_t *id, uint64_t boot_id)
{
    uint8_t wanted[PCL_ID_SIZE];
    s_session_of(boot_id, 0, wanted);
    assert_memory_equal(id, wanted, sizeof wanted);
}

static void assert_released(uint32_t agent_index, uint32_t hint_index)
{
    const hint *release = s_wait_hint(agent_index, hint_index);
    assert_int_equal(release->head.kind, PCL_KIND_RELEASE);
    assert_true(pcl_bytes_is(release->head.principal, "alice"));
    assert_session(release->head.session, s_bench.agents[agent_index].report.boot_id);
}

/* `cancel` by that principal of the request with that id; returns how many were found. */
static uint64_t s_cancel(uint64_t ticket, uint8_t id, const char *principal)
{
    s_ask(&(order){.ticket = ticket, .id = id, .principal = principal, .op = PCL_OP_CANCEL});
    pcl_hop_message message;
    s_recv_ok(&message, ticket);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload));
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(reply.ok && reply.has_affected && reply.id[0] == id);
    pcl_hop_close(&message);
    return reply.affected;
}

/* A broker's own CANCEL or RELEASE. */
static void s_hint(const pcl_head *head)
{
    pcl_head sent = *head;
    sent.sent_us = pcl_now_us();
    pcl_err err = pcl_hop_send(s_bench.broker, NULL, &sent, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
}

static uint64_t s_counter(const char *name)
{
    return fixture_counter(&s_bench.role, name, "");
}

/* --- Where it goes ----------------------------------------------------------------- */

static void test_a_session_stays_at_its_node(void **state)
{
    (void)state;
    s_open(3);
    static const order ORDERS[] = {
        {.sql_class = PCL_SQL_READ, .op = PCL_OP_QUERY},
        {.sql_class = PCL_SQL_WRITE, .op = PCL_OP_QUERY},
        {.sql_class = PCL_SQL_STATE, .op = PCL_OP_QUERY},
        {.sql_class = PCL_SQL_READ, .op = PCL_OP_FETCH, .page = 7},
        {.sql_class = PCL_SQL_READ, .op = PCL_OP_CLOSE, .page = 7},
        {.sql_class = PCL_SQL_TRANSACTION, .op = PCL_OP_ROLLBACK},
        {.sql_class = PCL_SQL_TRANSACTION, .op = PCL_OP_COMMIT},
    };
    const uint32_t count = sizeof ORDERS / sizeof ORDERS[0];
    for (uint32_t index = 0; index < count; index++) {
        order wish = ORDERS[index];
        wish.ticket = index + 1;
        wish.boot_id = BOOT_2;
        s_ask(&wish);
    }
    agent *holder = s_wait_held(2, count);
    for (uint32_t index = 0; index < count; index++) {
        assert_int_equal(pcl_held_id_page(holder->held[index].head.session), ORDERS[index].page);
        assert_int_equal(holder->held[index].head.strategy, PCL_STRATEGY_DEFAULT);
        s_agent_reply(holder, index, PCL_ERR_OK, "done");
        assert_reply(index + 1, "done", 1000);
    }
    assert_int_equal(s_bench.agents[0].held_count + s_bench.agents[1].held_count, 0);
    assert_int_equal(fixture_counter(&s_bench.role, "portcullis_proxy_pinned_total", "node=\"n2\""),
                     count);
}

/* A drain keeps new work out; what is open there is served to its end. */
static void test_a_session_outlives_its_nodes_drain(void **state)
{
    (void)state;
    s_open(2);
    agent *replica = &s_bench.agents[1];
    replica->report.state = PCL_NODE_DRAIN;
    s_agent_beat(replica);
    pcl_head bye = {.kind = PCL_KIND_BYE, .principal = pcl_bytes_text(replica->name)};
    pcl_head_set_boot_id(&bye, replica->report.boot_id);
    s_agent_send(replica, &bye, "");
    s_ask(&(order){.ticket = 1, .op = PCL_OP_COMMIT, .boot_id = BOOT_1});
    (void)s_wait_held(1, 1);
    s_read(2);
    (void)s_wait_held(0, 1); /* others go elsewhere */
}

static void test_begin_goes_where_its_statements_may(void **state)
{
    (void)state;
    s_open(2);
    s_ask(&(order){.ticket = 1, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_READ});
    (void)s_wait_held(1, 1);
    s_ask(&(order){.ticket = 2, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_WRITE});
    (void)s_wait_held(0, 1);
    s_ask(&(order){.ticket = 3, .op = PCL_OP_TXN, .sql_class = PCL_SQL_WRITE});
    (void)s_wait_held(0, 2);
}

static void test_the_run_that_held_it_has_ended(void **state)
{
    (void)state;
    s_open(3);
    s_agent_stop(&s_bench.agents[1]);
    (void)s_agent_start(1, BOOT_NEW);
    s_ask(&(order){.ticket = 1, .op = PCL_OP_FETCH, .boot_id = BOOT_1, .page = 3});
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.code, PCL_ERR_GONE);
    assert_int_equal(message.head.retry, PCL_RETRY_NEVER);
    assert_true(s_holds(pcl_frame_bytes(&message.payload), "the node that held the session has "
                                                           "gone; what it had open was rolled "
                                                           "back"));
    assert_int_equal(message.head.flags, PCL_HEAD_RELEASED); /* whoever holds it may forget it */
    assert_session(message.head.session, BOOT_1);
    pcl_hop_close(&message);
    s_ask(&(order){.ticket = 2, .op = PCL_OP_COMMIT}); /* names none */
    (void)assert_error(2, PCL_ERR_GONE, PCL_RETRY_NEVER, 500);
    assert_int_equal(s_counter("portcullis_proxy_gone_total"), 2);
    /* Of a run that a young proxy has not heard of it cannot say so yet. */
    s_ask(&(order){.ticket = 3, .op = PCL_OP_COMMIT, .boot_id = 999});
    (void)assert_error(3, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
}

static void test_a_session_without_connection_to_its_node_is_not_moved(void **state)
{
    (void)state;
    s_open(3);
    s_agent_stop(&s_bench.agents[1]);
    zclock_sleep(SEEN_MS);
    s_ask(&(order){.ticket = 1, .sql_class = PCL_SQL_READ, .boot_id = BOOT_1});
    uint64_t took_us = assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    assert_true(took_us < 300000);
    assert_int_equal(s_bench.agents[0].held_count + s_bench.agents[2].held_count, 0);
    agent *back = s_agent_start(1, BOOT_1); /* the same run, connected anew */
    back->report.seq = 1000;
    back->beat_us = 0;
    while (back->pongs < 2) {
        s_turn();
        zclock_sleep(1);
    }
    s_ask(&(order){.ticket = 2, .sql_class = PCL_SQL_READ, .boot_id = BOOT_1});
    (void)s_wait_held(1, 1);
}

static void test_a_full_node_refuses_its_sessions_too(void **state)
{
    (void)state;
    s_open_with("limits\n    node_inflight_max = 1\n", 2);
    s_ask(&(order){.ticket = 1, .sql_class = PCL_SQL_READ, .boot_id = BOOT_1});
    agent *replica = s_wait_held(1, 1);
    s_ask(&(order){.ticket = 2, .op = PCL_OP_COMMIT, .boot_id = BOOT_1});
    (void)assert_error(2, PCL_ERR_OVERLOADED, PCL_RETRY_SAFE, 500);
    s_agent_reply(replica, 0, PCL_ERR_OK, "rows");
    assert_reply(1, "rows", 1000);
    s_ask(&(order){.ticket = 3, .op = PCL_OP_COMMIT, .boot_id = BOOT_1});
    (void)s_wait_held(1, 2);
}

static void test_explain_names_the_one_node(void **state)
{
    (void)state;
    s_open(3);
    s_ask(&(order){
        .ticket = 9, .sql_class = PCL_SQL_READ, .flags = PCL_HEAD_EXPLAIN, .boot_id = BOOT_2});
    agent *holder = s_wait_held(2, 1);
    pcl_bytes tail = pcl_frame_bytes(&holder->held[0].tail);
    pcl_err err = pcl_mp_check(tail, 8, 64, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(s_holds(tail, "the session is at another node"));
    assert_true(s_holds(tail, "n0") && s_holds(tail, "n1") && s_holds(tail, "n2"));
}

/* --- Nodes that fail ----------------------------------------------------------------- */

/* Appends a COMMIT of n0's session to octets; returns how many there are then. */
static size_t s_pack_commit(uint8_t *octets, size_t size, uint64_t ticket, size_t payload_size)
{
    static const uint8_t PAYLOAD[PCL_HOP_FRAME_SIZE_MAX + 1];
    uint8_t head_octets[PCL_HEAD_SIZE_MAX];
    pcl_head head = {.kind = PCL_KIND_REQUEST,
                     .ticket = ticket,
                     .op = PCL_OP_COMMIT,
                     .sql_class = PCL_SQL_TRANSACTION,
                     .budget_us = 5 * PCL_US_PER_S,
                     .sent_us = pcl_now_us(),
                     .principal = pcl_bytes_text("alice")};
    memset(head.id, (int)ticket, sizeof head.id);
    s_session_of(BOOT_0, 0, head.session);
    pcl_hop_frame parts = {.head = pcl_bytes_of(head_octets, pcl_head_encode(&head, head_octets)),
                           .payload = pcl_bytes_of(PAYLOAD, payload_size)};
    return (size_t)(pcl_hop_frame_write(&parts, octets + size) - octets);
}

/* What was gathered for a node in the turn in which it is found to be lost has not left. */
static void test_a_commit_that_had_not_left_a_node_that_leaves_is_safe(void **state)
{
    (void)state;
    uint8_t octets[2 * PCL_HOP_FRAME_SIZE_MAX];
    s_open(2);
    agent *source = &s_bench.agents[0];
    pcl_head bye = {.kind = PCL_KIND_BYE, .principal = pcl_bytes_text(source->name)};
    pcl_head_set_boot_id(&bye, source->report.boot_id);
    s_agent_send(source, &bye, "");
    zclock_sleep(SEEN_MS);
    s_agent_stop(source);
    zclock_sleep(SEEN_MS);
    /* The second is too long to be gathered, so sending it finds nobody there. */
    size_t size = s_pack_commit(octets, 0, 1, 10);
    size = s_pack_commit(octets, size, 2, PCL_HOP_FRAME_SIZE_MAX + 1);
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_of(octets, size));
    pcl_err err = pcl_hop_send_frame(s_bench.broker, NULL, &frame);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&frame);
    uint32_t seen = 0;
    for (uint32_t number = 0; number < 2; number++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, 1000));
        seen |= 1u << message.head.ticket;
        assert_int_equal(message.head.code, PCL_ERR_NO_NODE);
        assert_int_equal(message.head.retry, PCL_RETRY_SAFE);
        pcl_hop_close(&message);
    }
    assert_int_equal(seen, 1u << 1 | 1u << 2);
}

static void test_what_a_session_had_in_flight_is_lost_with_its_node(void **state)
{
    (void)state;
    static const struct {
        pcl_op op;
        pcl_sql_class sql_class;
        pcl_retry retry;
    } CASES[] = {
        {PCL_OP_QUERY, PCL_SQL_READ, PCL_RETRY_SAFE},
        {PCL_OP_QUERY, PCL_SQL_WRITE, PCL_RETRY_UNSAFE},
        {PCL_OP_FETCH, PCL_SQL_READ, PCL_RETRY_NEVER},
        {PCL_OP_CLOSE, PCL_SQL_READ, PCL_RETRY_SAFE},
        {PCL_OP_ROLLBACK, PCL_SQL_TRANSACTION, PCL_RETRY_SAFE},
        {PCL_OP_COMMIT, PCL_SQL_TRANSACTION, PCL_RETRY_UNSAFE},
    };
    const uint32_t count = sizeof CASES / sizeof CASES[0];
    s_open(3);
    for (uint32_t index = 0; index < count; index++) {
        s_ask(&(order){.ticket = index + 1,
                       .op = CASES[index].op,
                       .sql_class = CASES[index].sql_class,
                       .boot_id = BOOT_1});
    }
    (void)s_wait_held(1, count);
    s_bench.agents[1].mute = true; /* doubted at first, which moves none of it */
    uint32_t seen = 0;
    for (uint32_t number = 0; number < count; number++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, 2000));
        uint64_t index = message.head.ticket - 1;
        assert_true(index < count);
        assert_int_equal(message.head.code, PCL_ERR_LOST);
        assert_int_equal(message.head.retry, CASES[index].retry);
        assert_int_equal(message.head.flags, 0);
        bool page = s_holds(pcl_frame_bytes(&message.payload), "the page is lost");
        assert_int_equal(page, CASES[index].op == PCL_OP_FETCH);
        seen |= 1u << index;
        pcl_hop_close(&message);
    }
    assert_int_equal(seen, (1u << count) - 1);
    assert_int_equal(s_bench.agents[0].held_count + s_bench.agents[2].held_count, 0);
    s_ask(&(order){.ticket = 99, .op = PCL_OP_COMMIT, .boot_id = BOOT_1});
    (void)assert_error(99, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500); /* it may be heard again */
}

/* Of two sessions opened for one begin the one that nobody hears of must not stay. */
static void test_a_begin_outlives_its_node_and_leaves_nothing_behind(void **state)
{
    (void)state;
    s_open(3);
    s_ask(&(order){.ticket = 5, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_READ});
    uint32_t first = s_wait_any(1, 2);
    agent *dead = &s_bench.agents[first];
    dead->mute = true;
    agent *other = s_wait_held(3 - first, 1);
    s_agent_reply_flags(other, 0, PCL_HEAD_HELD);
    pcl_hop_message message;
    s_recv_ok(&message, 5);
    assert_session(message.head.session, other->report.boot_id);
    pcl_hop_close(&message);
    /* The loser was told to stop; it had begun all the same. */
    const hint *cancel = s_wait_hint(first, 0);
    assert_int_equal(cancel->head.kind, PCL_KIND_CANCEL);
    assert_int_equal(cancel->head.ticket, dead->held[0].head.ticket);
    assert_memory_equal(cancel->head.id, dead->held[0].head.id, PCL_ID_SIZE);
    dead->mute = false;
    s_agent_reply_flags(dead, 0, PCL_HEAD_HELD);
    assert_released(first, 1);
    assert_silence(50);
    assert_dropped("stale", 1);
    assert_int_equal(other->hint_count, 0);
}

/* --- What replies open and end --------------------------------------------------------- */

static void test_what_a_reply_opened_or_ended_is_said_upward(void **state)
{
    (void)state;
    s_open(1);
    static const uint8_t SENT[] = {PCL_HEAD_HELD, PCL_HEAD_RELEASED,
                                   PCL_HEAD_HELD | PCL_HEAD_DRAINING | PCL_HEAD_EXPLAIN, 0};
    static const uint8_t PASSED[] = {PCL_HEAD_HELD, PCL_HEAD_RELEASED, PCL_HEAD_HELD, 0};
    static const uint8_t NOTHING[PCL_ID_SIZE];
    for (uint32_t index = 0; index < 4; index++) {
        s_ask(&(order){.ticket = index + 1, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_WRITE});
        agent *source = s_wait_held(0, index + 1);
        s_agent_reply_flags(source, index, SENT[index]);
        pcl_hop_message message;
        s_recv_ok(&message, index + 1);
        assert_int_equal(message.head.flags, PASSED[index]);
        bool held = (PASSED[index] & PCL_HEAD_HELD) != 0; /* whose it is then */
        assert_true(pcl_bytes_is(message.head.principal, held ? "alice" : ""));
        if (PASSED[index] == 0) {
            assert_memory_equal(message.head.session, NOTHING, PCL_ID_SIZE);
        } else {
            assert_session(message.head.session, BOOT_0);
        }
        pcl_hop_close(&message);
    }
}

static void test_what_was_opened_too_late_is_released(void **state)
{
    (void)state;
    s_open(1);
    s_ask(&(order){.ticket = 1, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_WRITE, .budget_ms = 50});
    agent *source = s_wait_held(0, 1);
    (void)assert_error(1, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, 500);
    s_agent_reply_flags(source, 0, PCL_HEAD_HELD);
    assert_released(0, 0);
    assert_dropped("stale", 1);
    assert_int_equal(s_counter("portcullis_proxy_releases_total"), 1);
    s_agent_reply_flags(source, 0, PCL_HEAD_RELEASED); /* of what ended there is nothing to do */
    assert_dropped("stale", 2);
    assert_silence(50);
    assert_int_equal(source->hint_count, 1);
}

/* An agent speaks for its own sessions only. */
static void test_a_false_reply_releases_nobody_elses(void **state)
{
    (void)state;
    s_open(2);
    s_read(1);
    agent *liar = s_wait_held(1, 1);
    pcl_head head = liar->held[0].head;
    head.kind = PCL_KIND_REPLY;
    head.flags = PCL_HEAD_HELD;
    head.ticket++;
    s_session_of(BOOT_0, 0, head.session); /* the source's */
    s_agent_send(liar, &head, "");
    assert_dropped("stale", 1);
    assert_silence(50);
    assert_int_equal(s_bench.agents[0].hint_count + liar->hint_count, 0);
}

static void test_what_was_opened_for_a_broker_that_left_is_released(void **state)
{
    (void)state;
    s_open_tcp(1);
    s_ask(&(order){.ticket = 1, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_WRITE});
    agent *source = s_wait_held(0, 1);
    hop_plain_destroy(&s_bench.broker);
    assert_int_equal(s_wait_hint(0, 0)->head.kind, PCL_KIND_CANCEL); /* so it has been missed */
    s_agent_reply_flags(source, 0, PCL_HEAD_HELD);
    assert_released(0, 1);
    assert_dropped("unroutable", 1);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
}

/* The reply waited for room until it was given up: one alone in the table, and small ones in a
 * frame that they share. */
static void test_what_was_opened_for_a_broker_that_does_not_read_is_released(void **state)
{
    (void)state;
    s_open_with("limits\n    queue_max = 1\n", 1);
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1);
    enum { COUNT = 16, LARGE = 8, QUEUE = 2 };
    agent *source = &s_bench.agents[0];
    for (uint32_t index = 0; index < COUNT; index++) {
        s_ask(&(order){.ticket = index + 1, .op = PCL_OP_BEGIN, .sql_class = PCL_SQL_WRITE});
        source = s_wait_held(0, index + 1);
    }
    for (uint32_t index = 0; index < LARGE; index++) {
        s_agent_reply_held_large(source, index);
    }
    for (uint32_t index = LARGE; index < COUNT; index++) {
        s_agent_reply_flags(source, index, PCL_HEAD_HELD);
    }
    uint64_t until_us = pcl_now_us() + 20 * PCL_US_PER_S;
    while (s_dropped("slow") < COUNT - QUEUE && pcl_now_us() < until_us) {
        s_turn();
        zclock_sleep(1);
    }
    uint32_t arrived = 0;
    for (pcl_hop_message message; s_recv(&message, 200); arrived++) {
        pcl_hop_close(&message);
    }
    assert_in_range(arrived, 1, QUEUE);
    assert_dropped("slow", COUNT - arrived);
    /* The queue to the agent holds as little: what it did not take is counted, and ends idle. */
    uint64_t end_us = pcl_now_us() + 3 * PCL_US_PER_S;
    while (source->hint_count + s_dropped("release") < COUNT - arrived && pcl_now_us() < end_us) {
        s_turn();
        zclock_sleep(1);
    }
    assert_in_range(source->hint_count, 1, COUNT - arrived);
    assert_dropped("release", COUNT - arrived - source->hint_count);
    assert_int_equal(s_counter("portcullis_proxy_releases_total"), source->hint_count);
}

/* --- Cancel ------------------------------------------------------------------------------ */

static void test_cancel_finds_the_principals_own(void **state)
{
    (void)state;
    s_open(1);
    s_ask(&(order){.ticket = 1, .id = 7, .sql_class = PCL_SQL_WRITE});
    s_ask(&(order){.ticket = 2, .id = 7, .sql_class = PCL_SQL_WRITE});
    s_ask(&(order){.ticket = 3, .id = 8, .sql_class = PCL_SQL_WRITE});
    s_ask(&(order){.ticket = 4, .id = 7, .sql_class = PCL_SQL_WRITE, .principal = "bob"});
    agent *source = s_wait_held(0, 4);
    assert_int_equal(s_cancel(10, 9, "alice"), 0);
    assert_int_equal(s_cancel(11, 7, "ali"), 0);
    assert_int_equal(s_cancel(12, 7, "alice"), 2);
    (void)s_wait_hint(0, 1);
    uint32_t seen = 0;
    for (uint32_t index = 0; index < 2; index++) {
        assert_int_equal(source->hints[index].head.kind, PCL_KIND_CANCEL);
        assert_int_equal(source->hints[index].head.id[0], 7);
        for (uint32_t held = 0; held < 4; held++) {
            bool same = source->hints[index].head.ticket == source->held[held].head.ticket;
            seen |= (same ? 1u : 0u) << held;
        }
    }
    assert_int_equal(seen, 3);                     /* of alice with that id, and no other */
    assert_int_equal(s_cancel(13, 7, "alice"), 2); /* still there, and told once */
    s_agent_reply(source, 0, PCL_ERR_CANCELLED, "stopped");
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.ticket, 1);
    assert_int_equal(message.head.code, PCL_ERR_CANCELLED);
    pcl_hop_close(&message);
    s_agent_reply(source, 1, PCL_ERR_OK, "sooner than the cancel");
    s_recv_ok(&message, 2);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), "sooner than the cancel"));
    pcl_hop_close(&message);
    assert_int_equal(s_cancel(14, 7, "alice"), 0);
    assert_int_equal(s_cancel(15, 7, "bob"), 1);
    (void)s_wait_hint(0, 2);
    assert_silence(20);
    assert_int_equal(source->hint_count, 3);
    assert_int_equal(s_counter("portcullis_proxy_cancels_total"), 3);
}

/* A CANCEL that found nobody may be said again. */
static void test_a_cancel_that_did_not_leave_may_be_said_again(void **state)
{
    (void)state;
    s_open(1);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    hop_plain_destroy(&source->socket);
    zclock_sleep(SEEN_MS);
    assert_int_equal(s_cancel(10, 1, "alice"), 1);
    source->socket = s_dealer(s_bench.agents_endpoint, 1000); /* the same run, connected anew */
    source->beat_us = 0;
    source->pongs = 0;
    for (uint64_t until_us = pcl_now_us() + 3 * PCL_US_PER_S; source->pongs == 0;) {
        assert_true(pcl_now_us() < until_us);
        s_turn();
        zclock_sleep(1);
    }
    assert_int_equal(source->hint_count, 0);
    assert_int_equal(s_cancel(11, 1, "alice"), 1);
    const hint *cancel = s_wait_hint(0, 0);
    assert_int_equal(cancel->head.kind, PCL_KIND_CANCEL);
    assert_int_equal(cancel->head.ticket, source->held[0].head.ticket);
    assert_int_equal(s_cancel(12, 1, "alice"), 1); /* ... but not once it was heard */
    assert_silence(20);
    assert_int_equal(source->hint_count, 1);
    assert_int_equal(s_counter("portcullis_proxy_cancels_total"), 1);
}

static void test_a_broker_withdraws_its_own_request(void **state)
{
    (void)state;
    s_open(1);
    s_write(5);
    agent *source = s_wait_held(0, 1);
    pcl_head cancel = {.kind = PCL_KIND_CANCEL, .ticket = 6};
    memset(cancel.id, 5, sizeof cancel.id);
    s_hint(&cancel); /* another ticket */
    cancel.ticket = 5;
    cancel.id[15] ^= 1;
    s_hint(&cancel); /* another id */
    cancel.id[15] ^= 1;
    zsock_t *mine = s_bench.broker;
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    s_hint(&cancel); /* another broker, whose ticket 5 is another's */
    assert_int_equal(s_cancel(20, 99, "alice"), 0); /* by now the proxy has read them */
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = mine;
    assert_int_equal(s_counter("portcullis_proxy_cancels_total"), 0);
    s_hint(&cancel);
    const hint *passed = s_wait_hint(0, 0);
    assert_int_equal(passed->head.kind, PCL_KIND_CANCEL);
    assert_int_equal(passed->head.ticket, source->held[0].head.ticket);
    s_agent_reply(source, 0, PCL_ERR_OK, "done all the same");
    assert_reply(5, "done all the same", 1000);
    assert_int_equal(source->hint_count, 1);
}

static void test_a_broker_that_left_takes_its_work_with_it(void **state)
{
    (void)state;
    s_open_tcp(1);
    zsock_t *leaving = s_bench.broker;
    s_write(1);
    s_write(2);
    agent *source = s_wait_held(0, 2);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    s_write(3); /* of one that stays */
    (void)s_wait_held(0, 3);
    hop_plain_destroy(&leaving);
    (void)s_wait_hint(0, 1);
    assert_silence(50);
    assert_int_equal(source->hint_count, 2);
    for (uint32_t index = 0; index < 2; index++) {
        assert_int_equal(source->hints[index].head.kind, PCL_KIND_CANCEL);
        assert_int_not_equal(source->hints[index].head.id[0], 3);
        s_agent_reply(source, index, PCL_ERR_CANCELLED, "stopped");
    }
    s_agent_reply(source, 2, PCL_ERR_OK, "done");
    assert_reply(3, "done", 1000);
    assert_dropped("unroutable", 2);
}

/* Nobody waits for it, so no other node shall do it over. */
static void test_what_was_cancelled_is_not_sent_again(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    assert_int_equal(s_cancel(6, 5, "alice"), 1);
    s_bench.agents[first].mute = true;
    (void)assert_error(5, PCL_ERR_LOST, PCL_RETRY_SAFE, 2000);
    assert_int_equal(s_bench.agents[0].held_count + s_bench.agents[3 - first].held_count, 0);
}

static void test_a_moved_request_is_still_found(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_DRAINING, "not me");
    agent *second = s_wait_held(3 - first, 1);
    assert_int_equal(s_cancel(6, 5, "alice"), 1);
    const hint *cancel = s_wait_hint(3 - first, 0);
    assert_int_equal(cancel->head.ticket, second->held[0].head.ticket);
    assert_int_equal(s_bench.agents[first].hint_count, 0);
}

static void test_a_draining_proxy_still_cancels(void **state)
{
    (void)state;
    s_open(1);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    fixture_drain(&s_bench.role);
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.kind, PCL_KIND_BYE);
    pcl_hop_close(&message);
    assert_int_equal(s_cancel(2, 1, "alice"), 1);
    (void)s_wait_hint(0, 0);
    s_agent_reply(source, 0, PCL_ERR_OK, "done");
    assert_reply(1, "done", 1000);
    assert_true(fixture_ended(&s_bench.role, FIXTURE_END_MS));
}

/* --- Release -------------------------------------------------------------------------------- */

static void test_a_release_goes_to_the_node_of_its_session(void **state)
{
    (void)state;
    s_open(3);
    pcl_head release = {.kind = PCL_KIND_RELEASE, .principal = pcl_bytes_text("alice")};
    s_session_of(BOOT_2, 0, release.session);
    s_hint(&release);
    assert_released(2, 0);
    s_session_of(999, 0, release.session);
    s_hint(&release);
    assert_dropped("release", 1);
    s_agent_stop(&s_bench.agents[1]);
    (void)s_agent_start(1, BOOT_NEW);
    s_session_of(BOOT_1, 0, release.session); /* of the run that ended */
    s_hint(&release);
    assert_dropped("release", 2);
    assert_silence(20);
    assert_int_equal(s_bench.agents[0].hint_count + s_bench.agents[1].hint_count, 0);
    assert_int_equal(s_bench.agents[2].hint_count, 1);
    assert_int_equal(s_counter("portcullis_proxy_releases_total"), 1);
}

/* --- All at once ------------------------------------------------------------------------------ */

/* Random requests with few ids, cancels in between, answers in any order: each request is answered
 * once, each cancel finds those with its id that the agent has not answered, and nothing is left.
 */
static void test_random_cancels(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("proxy sessions");
    s_open(1);
    agent *source = &s_bench.agents[0];
    for (uint64_t round = 0; round < 20; round++) {
        uint32_t open[4] = {0}; /* requests of that id */
        uint64_t answered = 0;
        enum { COUNT = 32 };
        for (uint32_t index = 0; index < COUNT; index++) {
            uint8_t id = (uint8_t)(1 + pcl_rng_next(&rng) % 3);
            open[id]++;
            s_ask(&(order){.ticket = index + 1, .id = id, .sql_class = PCL_SQL_WRITE});
        }
        (void)s_wait_held(0, COUNT);
        while (answered != UINT32_MAX) {
            uint8_t id = (uint8_t)(1 + pcl_rng_next(&rng) % 3);
            assert_int_equal(s_cancel(100, id, "alice"), open[id]);
            uint32_t index = (uint32_t)pcl_rng_next(&rng) % COUNT;
            while ((answered >> index & 1) != 0) {
                index = (index + 1) % COUNT;
            }
            s_agent_reply(source, index, PCL_ERR_CANCELLED, "");
            pcl_hop_message message;
            assert_true(s_recv(&message, 1000));
            assert_int_equal(message.head.ticket, index + 1);
            pcl_hop_close(&message);
            open[source->held[index].head.id[0]]--;
            answered |= UINT64_C(1) << index;
        }
        assert_int_equal(open[1] + open[2] + open[3], 0);
        for (uint32_t index = 0; index < COUNT; index++) {
            pcl_hop_close(&source->held[index]);
        }
        source->held_count = 0;
        source->hint_count = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROXY_TEST(test_a_session_stays_at_its_node),
        PROXY_TEST(test_a_session_outlives_its_nodes_drain),
        PROXY_TEST(test_begin_goes_where_its_statements_may),
        PROXY_TEST(test_the_run_that_held_it_has_ended),
        PROXY_TEST(test_a_session_without_connection_to_its_node_is_not_moved),
        PROXY_TEST(test_a_full_node_refuses_its_sessions_too),
        PROXY_TEST(test_explain_names_the_one_node),
        PROXY_TEST(test_a_commit_that_had_not_left_a_node_that_leaves_is_safe),
        PROXY_TEST(test_what_a_session_had_in_flight_is_lost_with_its_node),
        PROXY_TEST(test_a_begin_outlives_its_node_and_leaves_nothing_behind),
        PROXY_TEST(test_what_a_reply_opened_or_ended_is_said_upward),
        PROXY_TEST(test_what_was_opened_too_late_is_released),
        PROXY_TEST(test_a_false_reply_releases_nobody_elses),
        PROXY_TEST(test_what_was_opened_for_a_broker_that_left_is_released),
        PROXY_TEST(test_what_was_opened_for_a_broker_that_does_not_read_is_released),
        PROXY_TEST(test_cancel_finds_the_principals_own),
        PROXY_TEST(test_a_cancel_that_did_not_leave_may_be_said_again),
        PROXY_TEST(test_a_broker_withdraws_its_own_request),
        PROXY_TEST(test_a_broker_that_left_takes_its_work_with_it),
        PROXY_TEST(test_what_was_cancelled_is_not_sent_again),
        PROXY_TEST(test_a_moved_request_is_still_found),
        PROXY_TEST(test_a_draining_proxy_still_cancels),
        PROXY_TEST(test_a_release_goes_to_the_node_of_its_session),
        PROXY_TEST(test_random_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
