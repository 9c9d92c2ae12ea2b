/* The proxy's actor: one answer for every request, whatever the agents do. */
#include "tests/unit/proxy_bench.h"

#include "net/zap.h"

/* --- The way there and back ---------------------------------------------------- */

static void test_a_read_goes_to_a_replica_and_its_answer_back(void **state)
{
    (void)state;
    s_open(2);
    s_read(5);
    agent *replica = s_wait_held(1, 1);
    const pcl_head *head = &replica->held[0].head;
    assert_int_equal(head->strategy, PCL_STRATEGY_RANDOM);
    assert_int_equal(head->attempt, 0);
    assert_int_equal(head->id[0], 5);
    assert_true(head->budget_us <= 5000000 && head->budget_us > 4000000);
    assert_true(pcl_bytes_is(head->principal, "alice"));
    assert_true(pcl_bytes_is(head->role, "app"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&replica->held[0].payload), "the client's octets"));
    s_agent_reply(replica, 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", 1000);
    assert_int_equal(s_bench.agents[0].held_count, 0);
}

static void test_writes_and_what_asks_for_the_source_go_there(void **state)
{
    (void)state;
    s_open(2);
    s_write(1);
    s_ask(&(order){.ticket = 2, .sql_class = PCL_SQL_READ, .strategy = PCL_STRATEGY_DIRECT});
    s_ask(&(order){.ticket = 3, .sql_class = PCL_SQL_READ, .consistency = PCL_CONSISTENCY_SOURCE});
    s_ask(&(order){.ticket = 4, .sql_class = PCL_SQL_DDL, .strategy = PCL_STRATEGY_RANDOM});
    agent *source = s_wait_held(0, 4);
    assert_int_equal(source->held[0].head.strategy, PCL_STRATEGY_DIRECT);
    assert_int_equal(source->held[3].head.strategy, PCL_STRATEGY_DIRECT);
    for (uint32_t index = 0; index < 4; index++) {
        s_agent_reply(source, index, PCL_ERR_OK, "done");
        assert_reply(index + 1, "done", 1000);
    }
    assert_int_equal(s_bench.agents[1].held_count, 0);
}

static void s_ask_after(uint64_t ticket)
{
    s_ask(&(order){.ticket = ticket,
                   .sql_class = PCL_SQL_READ,
                   .consistency = PCL_CONSISTENCY_AFTER,
                   .after = "0-1-42"});
}

/* It may wait a moment at one replica; that one is behind, and the source is asked. */
static agent *s_send_behind_to_source(void)
{
    s_open(3);
    s_ask_after(1);
    agent *replica = &s_bench.agents[s_wait_any(1, 2)];
    const pcl_head *asked = &replica->held[0].head;
    assert_int_equal(asked->consistency, PCL_CONSISTENCY_AFTER);
    assert_true(pcl_bytes_is(asked->after, "0-1-42"));
    assert_in_range(asked->max_lag_ms, 1, 100);
    s_agent_reply(replica, 0, PCL_ERR_BEHIND, "behind");
    agent *source = s_wait_held(0, 1);
    assert_true(pcl_bytes_is(source->held[0].head.after, "0-1-42"));
    assert_true(source->held[0].head.max_lag_ms > 100); /* nobody else is left */
    return source;
}

static void test_a_read_after_a_write_asks_one_replica_then_the_source(void **state)
{
    (void)state;
    s_agent_reply(s_send_behind_to_source(), 0, PCL_ERR_OK, "rows");
    assert_reply(1, "rows", 1000);
    assert_int_equal(s_bench.agents[1].held_count + s_bench.agents[2].held_count, 1);
}

static void test_the_source_has_the_last_word_on_what_a_read_must_see(void **state)
{
    (void)state;
    s_agent_reply(s_send_behind_to_source(), 0, PCL_ERR_BEHIND, "behind");
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.code, PCL_ERR_BEHIND);
    assert_int_equal(message.head.retry, PCL_RETRY_SAFE);
    pcl_hop_close(&message);
    assert_int_equal(s_bench.agents[1].held_count + s_bench.agents[2].held_count, 1);
}

static void test_a_read_goes_to_the_replica_that_reports_what_it_must_see(void **state)
{
    (void)state;
    s_open(3);
    s_bench.agents[2].report.gtid = pcl_bytes_text("0-1-43");
    s_agent_beat(&s_bench.agents[2]);
    s_turn();
    for (uint64_t ticket = 1; ticket <= 8; ticket++) {
        s_ask_after(ticket);
        agent *replica = s_wait_held(2, (uint32_t)ticket);
        s_agent_reply(replica, (uint32_t)ticket - 1, PCL_ERR_OK, "rows");
        assert_reply(ticket, "rows", 1000);
    }
}

static void test_an_error_of_the_database_is_passed_on(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t index = s_wait_any(1, 2);
    s_agent_reply(&s_bench.agents[index], 0, PCL_ERR_SQL, "an error reply");
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.code, PCL_ERR_SQL);
    assert_int_equal(message.head.retry, PCL_RETRY_NEVER);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), "an error reply"));
    pcl_hop_close(&message);
}

static void test_explain_tells_who_was_left_out(void **state)
{
    (void)state;
    s_open(3);
    s_ask(&(order){.ticket = 9, .sql_class = PCL_SQL_READ, .flags = PCL_HEAD_EXPLAIN});
    uint32_t index = s_wait_any(1, 2);
    pcl_bytes tail = pcl_frame_bytes(&s_bench.agents[index].held[0].tail);
    pcl_err err = pcl_mp_check(tail, 8, 64, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    pcl_mp_reader reader = pcl_mp_reader_of(tail);
    pcl_mp_value value;
    assert_true(pcl_mp_next(&reader, &value) && value.type == PCL_MP_MAP && value.count == 3);
    assert_true(pcl_mp_next(&reader, &value) && pcl_bytes_is(value.bytes, "decision"));
    assert_true(pcl_mp_next(&reader, &value));
    assert_true(s_holds(value.bytes, " of 2 that fit"));
    assert_true(pcl_mp_next(&reader, &value) && pcl_bytes_is(value.bytes, "candidates"));
    assert_true(pcl_mp_next(&reader, &value) && value.count == 2);
    assert_true(s_holds(tail, "the source serves reads only when no replica fits"));
}

static pcl_bytes s_value_of(pcl_bytes map, const char *key)
{
    pcl_mp_reader reader = pcl_mp_reader_of(map);
    pcl_mp_value head;
    pcl_mp_value name;
    pcl_bytes octets;
    assert_true(pcl_mp_next(&reader, &head) && head.type == PCL_MP_MAP);
    for (uint32_t index = 0; index < head.count; index++) {
        assert_true(pcl_mp_next(&reader, &name) && pcl_mp_skip(&reader, &octets));
        if (pcl_bytes_is(name.bytes, key)) {
            return octets;
        }
    }
    return pcl_bytes_of(NULL, 0);
}

/* The route of the next reply, which must be OK; its octets belong to *out_message. */
static pcl_bytes s_dry_route(const order *asked, pcl_hop_message *out_message)
{
    s_ask(asked);
    assert_true(s_recv(out_message, 1000));
    assert_int_equal(out_message->head.ticket, asked->ticket);
    assert_int_equal(out_message->head.code, PCL_ERR_OK);
    pcl_bytes payload = pcl_frame_bytes(&out_message->payload);
    assert_int_equal(pcl_mp_check(payload, 8, 64, NULL), PCL_ERR_OK);
    return s_value_of(payload, "route");
}

static void test_a_dry_run_tells_whom_it_would_ask_and_asks_nobody(void **state)
{
    (void)state;
    s_open(3);
    pcl_hop_message message;
    pcl_bytes route = s_dry_route(
        &(order){.ticket = 5, .sql_class = PCL_SQL_READ, .flags = PCL_HEAD_DRY_RUN}, &message);
    assert_true(s_holds(s_value_of(route, "role"), "replica"));
    assert_true(s_holds(s_value_of(route, "class"), "read"));
    assert_true(s_holds(s_value_of(route, "strategy"), "random"));
    assert_true(s_holds(s_value_of(route, "left_out"), "only when no replica fits"));
    assert_true(s_value_of(route, "us").size > 0);
    pcl_hop_close(&message);
    route = s_dry_route(
        &(order){.ticket = 6, .sql_class = PCL_SQL_WRITE, .flags = PCL_HEAD_DRY_RUN}, &message);
    assert_true(s_holds(s_value_of(route, "role"), "source"));
    assert_true(s_holds(s_value_of(route, "class"), "write"));
    assert_true(s_holds(s_value_of(route, "strategy"), "direct"));
    assert_true(s_holds(s_value_of(route, "left_out"), "not the source"));
    pcl_hop_close(&message);
    assert_silence(50);
    for (uint32_t index = 0; index < 3; index++) {
        assert_int_equal(s_bench.agents[index].held_count, 0);
    }
}

static void test_a_dry_run_of_what_is_no_statement_is_refused(void **state)
{
    (void)state;
    s_open(1);
    s_ask(&(order){
        .ticket = 5, .op = PCL_OP_TXN, .sql_class = PCL_SQL_WRITE, .flags = PCL_HEAD_DRY_RUN});
    assert_error(5, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, 1000);
    s_ask(&(order){.ticket = 6, .sql_class = UINT8_MAX, .flags = PCL_HEAD_DRY_RUN});
    assert_error(6, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, 1000);
    s_ask(&(order){.ticket = 7, .op = PCL_OP_COMMIT, .boot_id = 7, .flags = PCL_HEAD_DRY_RUN});
    assert_error(7, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, 1000);
    assert_int_equal(s_bench.agents[0].held_count, 0);
}

static void test_a_dry_run_finds_nobody_without_failing(void **state)
{
    (void)state;
    s_open(1);
    s_bench.agents[0].mute = true;
    assert_silence(1500); /* five beats and more */
    pcl_hop_message message;
    pcl_bytes route = s_dry_route(
        &(order){.ticket = 5, .sql_class = PCL_SQL_WRITE, .flags = PCL_HEAD_DRY_RUN}, &message);
    assert_int_equal(s_value_of(route, "node").size, 0);
    assert_true(s_holds(s_value_of(route, "left_out"), "gone"));
    pcl_hop_close(&message);
}

/* --- Nodes that fail ------------------------------------------------------------ */

static void test_a_read_outlives_its_silent_node(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    agent *dead = &s_bench.agents[first];
    agent *other = &s_bench.agents[3 - first];
    dead->mute = true;
    uint64_t died_us = pcl_now_us();
    (void)s_wait_held(3 - first, 1);
    assert_int_equal(other->held[0].head.attempt, 1);
    assert_true(other->held[0].head.ticket != dead->held[0].head.ticket);
    s_agent_reply(other, 0, PCL_ERR_OK, "from the other");
    assert_reply(5, "from the other", 1000);
    assert_true(pcl_now_us() - died_us < PCL_US_PER_S);
    /* The loser wakes up and answers too: nobody hears it. */
    dead->mute = false;
    s_agent_reply(dead, 0, PCL_ERR_OK, "too late");
    assert_silence(100);
    assert_dropped("stale", 1);
    assert_int_equal(fixture_counter(&s_bench.role, "portcullis_proxy_retries_total", ""), 1);
}

static void test_a_write_on_a_dead_node_is_lost_unsafe(void **state)
{
    (void)state;
    s_open(2);
    s_write(5);
    (void)s_wait_held(0, 1);
    s_bench.agents[0].mute = true;
    uint64_t took_us = assert_error(5, PCL_ERR_LOST, PCL_RETRY_UNSAFE, 2000);
    assert_true(took_us > 800000 && took_us < 1300000); /* five beats */
    assert_int_equal(s_bench.agents[1].held_count, 0);
    assert_silence(50);
}

static void test_a_read_without_another_node_is_lost_safe(void **state)
{
    (void)state;
    s_open(1);
    s_read(5);
    (void)s_wait_held(0, 1);
    s_bench.agents[0].mute = true;
    (void)assert_error(5, PCL_ERR_LOST, PCL_RETRY_SAFE, 2000);
}

static void test_another_run_of_an_agent_has_lost_what_the_old_had(void **state)
{
    (void)state;
    s_open(3);
    s_write(1);
    (void)s_wait_held(0, 1);
    agent old = s_bench.agents[0]; /* frozen, not closed: its connection stands */
    memset(&s_bench.agents[0], 0, sizeof s_bench.agents[0]);
    (void)s_agent_start(0, 200);
    (void)assert_error(1, PCL_ERR_LOST, PCL_RETRY_UNSAFE, 500);
    s_agent_reply(&old, 0, PCL_ERR_OK, "from the grave");
    assert_silence(100);
    assert_dropped("old-boot", 1);
    s_write(2); /* goes to the new one */
    agent *fresh = s_wait_held(0, 1);
    s_agent_reply(fresh, 0, PCL_ERR_OK, "done");
    assert_reply(2, "done", 1000);
    s_agent_stop(&old);
}

static void test_a_read_whose_node_was_replaced_goes_elsewhere_at_once(void **state)
{
    (void)state;
    s_open(3);
    s_read(1);
    uint32_t first = s_wait_any(1, 2);
    s_agent_stop(&s_bench.agents[first]);
    uint64_t began_us = pcl_now_us();
    (void)s_agent_start(first, 200);
    agent *other = s_wait_held(3 - first, 1);
    assert_true(pcl_now_us() - began_us < AT_ONCE_US);
    s_agent_reply(other, 0, PCL_ERR_OK, "rows");
    assert_reply(1, "rows", 1000);
}

static void test_a_node_without_connection_is_passed_over(void **state)
{
    (void)state;
    s_open(3);
    s_read(1);
    uint32_t first = s_wait_any(1, 2);
    uint32_t second = 3 - first;
    s_agent_stop(&s_bench.agents[first]); /* killed: its connection is closed */
    zclock_sleep(20);
    /* Of eight reads some would have gone there; the first of them finds out,
     * and what was in flight there is moved as well. */
    for (uint64_t ticket = 2; ticket < 10; ticket++) {
        s_read(ticket);
    }
    uint64_t began_us = pcl_now_us();
    agent *other = s_wait_held(second, 9);
    assert_true(pcl_now_us() - began_us < AT_ONCE_US);
    for (uint32_t index = 0; index < 9; index++) {
        s_agent_reply(other, index, PCL_ERR_OK, "rows");
    }
    for (uint32_t index = 0; index < 9; index++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, 1000));
        assert_int_equal(message.head.code, PCL_ERR_OK);
        pcl_hop_close(&message);
    }
    assert_true(fixture_counter(&s_bench.role, "portcullis_proxy_unreachable_total", "") >= 1);
}

/* Nobody sends to it, and no beat is missed yet. */
static void test_the_end_of_a_connection_moves_its_reads_at_once(void **state)
{
    (void)state;
    s_open_tcp(3);
    s_read(1);
    uint32_t first = s_wait_any(1, 2);
    s_agent_stop(&s_bench.agents[first]);
    uint64_t died_us = pcl_now_us();
    agent *other = s_wait_held(3 - first, 1);
    assert_true(pcl_now_us() - died_us < AT_ONCE_US);
    s_agent_reply(other, 0, PCL_ERR_OK, "rows");
    assert_reply(1, "rows", 1000);
}

/* The write may still be running, and its answer may come another way. */
static void test_a_write_outlives_the_end_of_its_connection(void **state)
{
    (void)state;
    s_open_tcp(2);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    hop_plain_destroy(&source->socket);
    source->socket = s_dealer(s_bench.agents_endpoint, 1000);
    assert_silence(100);
    s_agent_reply(source, 0, PCL_ERR_OK, "done");
    assert_reply(1, "done", 1000);
}

static void test_a_write_that_cannot_leave_is_safe(void **state)
{
    (void)state;
    s_open(2);
    s_agent_stop(&s_bench.agents[0]);
    zclock_sleep(20);
    s_write(5);
    uint64_t took_us = assert_error(5, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    assert_true(took_us < 300000);
}

/* --- The source changes --------------------------------------------------------- */

static void s_agent_says(agent *self, pcl_topology_stage stage, uint32_t source)
{
    pcl_topology topology = {.term = 1,
                             .stage = stage,
                             .source = {.host = "10.0.0.1", .port = 3306},
                             .from = {.host = "10.0.0.2", .port = 3306},
                             .position = "0-1-5"};
    (void)snprintf(topology.source.name, sizeof topology.source.name, "n%u", source);
    (void)snprintf(topology.from.name, sizeof topology.from.name, "n%u", source == 0 ? 1u : 0u);
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    pcl_head head = {.kind = PCL_KIND_TOPOLOGY,
                     .sent_us = pcl_now_us(),
                     .principal = pcl_bytes_text(self->name)};
    zmq_msg_t payload;
    zmq_msg_t tail;
    (void)zmq_msg_init(&payload);
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_topology_encode(&topology, octets)));
    pcl_err err = pcl_hop_send(self->socket, NULL, &head, &payload, &tail);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&payload);
    zmq_msg_close(&tail);
}

/* What is refused, since the source closes, and what comes then. */
static void s_ask_while_source_closes(void)
{
    s_open(3);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    source->report.read_only = true;
    s_agent_reply(source, 0, PCL_ERR_NO_NODE, "it closes");
    s_agent_says(source, PCL_TOPOLOGY_FENCED, 1);
    source->report.role = PCL_NODE_UNKNOWN;
    s_agent_beat(source);
    assert_silence(50);
    s_write(2);
    s_ask(&(order){.ticket = 3, .sql_class = PCL_SQL_READ, .strategy = PCL_STRATEGY_DIRECT});
    assert_silence(300);
}

static void test_writes_wait_for_the_next_source(void **state)
{
    (void)state;
    s_ask_while_source_closes();
    s_agent_says(&s_bench.agents[1], PCL_TOPOLOGY_OPEN, 1);
    assert_silence(300);
    agent *next = &s_bench.agents[1];
    next->report.role = PCL_NODE_SOURCE;
    next->report.term = 1;
    next->report.read_only = false;
    s_agent_beat(next);
    (void)s_wait_held(1, 3);
    uint64_t seen = 0;
    for (uint32_t index = 0; index < 3; index++) {
        assert_int_equal(next->held[index].head.term, 1);
        seen |= UINT64_C(1) << next->held[index].head.id[0];
        s_agent_reply(next, index, PCL_ERR_OK, "done");
    }
    assert_int_equal(seen, 2 + 4 + 8);
    for (uint32_t index = 0; index < 3; index++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, 1000));
        assert_int_equal(message.head.code, PCL_ERR_OK);
        pcl_hop_close(&message);
    }
    assert_int_equal(s_bench.agents[0].held_count, 1);
}

static void test_writes_wait_for_a_source_that_takes_it_back(void **state)
{
    (void)state;
    s_ask_while_source_closes();
    agent *source = &s_bench.agents[0];
    source->report.role = PCL_NODE_SOURCE;
    source->report.read_only = false;
    s_agent_beat(source);
    (void)s_wait_held(0, 4); /* the first one again */
}

static void test_what_waits_for_a_source_ends_safe_in_time(void **state)
{
    (void)state;
    s_open(2);
    s_agent_says(&s_bench.agents[0], PCL_TOPOLOGY_FENCED, 1);
    s_bench.agents[0].report.role = PCL_NODE_UNKNOWN;
    s_agent_beat(&s_bench.agents[0]);
    assert_silence(50);
    s_ask(&(order){.ticket = 1, .sql_class = PCL_SQL_WRITE, .budget_ms = 400});
    uint64_t took_us = assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 1000);
    assert_true(took_us > 250000 && took_us < 400000);
    s_write(2);
    assert_silence(50);
    pcl_head gone = s_head_of(&(order){.ticket = 2, .sql_class = PCL_SQL_WRITE});
    gone.kind = PCL_KIND_CANCEL;
    pcl_err err = pcl_hop_send(s_bench.broker, NULL, &gone, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    (void)assert_error(2, PCL_ERR_CANCELLED, PCL_RETRY_SAFE, 500);
    s_write(3); /* nobody says any more that the source changes */
    took_us = assert_error(3, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 5500);
    assert_true(took_us < 4500000);
    s_write(4);
    took_us = assert_error(4, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    assert_true(took_us < 300000);
    assert_int_equal(s_bench.agents[0].held_count + s_bench.agents[1].held_count, 0);
}

/* As one that cannot write down that another has taken over. */
static void test_who_says_less_than_is_known_prolongs_no_change(void **state)
{
    (void)state;
    s_open(2);
    s_bench.agents[0].report.role = PCL_NODE_UNKNOWN;
    s_agent_beat(&s_bench.agents[0]);
    s_agent_says(&s_bench.agents[1], PCL_TOPOLOGY_OPEN, 1);
    for (int turn = 0; turn < 45; turn++) {
        s_agent_says(&s_bench.agents[0], PCL_TOPOLOGY_DECIDED, 1);
        assert_silence(100);
    }
    s_write(1);
    uint64_t took_us = assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 1000);
    assert_true(took_us < 300000);
}

static void test_who_was_the_source_of_an_earlier_term_gets_nothing(void **state)
{
    (void)state;
    s_open(2);
    s_agent_says(&s_bench.agents[1], PCL_TOPOLOGY_OPEN, 1); /* and n0's state was lost */
    assert_silence(50);
    s_ask(&(order){.ticket = 1, .sql_class = PCL_SQL_WRITE, .budget_ms = 300});
    (void)assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 1000);
    assert_int_equal(s_bench.agents[0].held_count, 0);
}

/* Asks so many times in one frame, with tickets from first on. */
static void s_ask_together(uint64_t first, uint64_t count, pcl_sql_class sql_class)
{
    pcl_hop_outbox *outbox = pcl_hop_outbox_new(s_bench.broker, NULL, NULL);
    for (uint64_t ticket = first; ticket < first + count; ticket++) {
        pcl_head head = s_head_of(&(order){.ticket = ticket, .sql_class = sql_class});
        pcl_err err = pcl_hop_outbox_send(outbox, NULL, &head, NULL, NULL);
        assert_int_equal(err, PCL_ERR_OK);
    }
    pcl_hop_outbox_destroy(&outbox); /* sends them */
}

static void test_each_of_several_that_cannot_leave_goes_elsewhere_or_is_safe(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    s_open(3);
    s_agent_stop(&s_bench.agents[1]);
    zclock_sleep(100);
    s_ask_together(1, COUNT, PCL_SQL_READ);
    agent *other = s_wait_held(2, COUNT);
    uint64_t seen = 0;
    for (uint32_t index = 0; index < COUNT; index++) {
        seen |= UINT64_C(1) << other->held[index].head.id[0];
        assert_int_equal(other->held[index].head.attempt, 0); /* the other was none */
    }
    assert_int_equal(seen, (UINT64_C(1) << (COUNT + 1)) - 2);
    assert_int_equal(fixture_counter(&s_bench.role, "portcullis_proxy_retries_total", ""), 0);
    s_agent_stop(&s_bench.agents[0]);
    zclock_sleep(100);
    s_ask_together(101, COUNT, PCL_SQL_WRITE);
    for (uint64_t ticket = 101; ticket < 101 + COUNT; ticket++) {
        (void)assert_error(ticket, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 1000);
    }
    assert_silence(20);
}

static void test_no_node_is_said_at_once(void **state)
{
    (void)state;
    s_open(0);
    s_read(1);
    (void)assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    s_write(2);
    (void)assert_error(2, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    (void)s_agent_start(1, 100); /* a replica alone */
    s_write(3);
    (void)assert_error(3, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);
    s_read(4);
    (void)s_wait_held(1, 1);
}

static void test_a_node_that_refuses_a_read_passes_it_on(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_DRAINING, "not me");
    agent *second = s_wait_held(3 - first, 1);
    s_agent_reply(second, 0, PCL_ERR_OVERLOADED, "nor me");
    agent *source = s_wait_held(0, 1); /* no replica is left */
    assert_int_equal(source->held[0].head.attempt, 2);
    s_agent_reply(source, 0, PCL_ERR_OVERLOADED, "nor me either");
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000)); /* three attempts: the last answer is the answer */
    assert_int_equal(message.head.code, PCL_ERR_OVERLOADED);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), "nor me either"));
    pcl_hop_close(&message);
    s_write(6);
    source = s_wait_held(0, 2);
    s_agent_reply(source, 1, PCL_ERR_DRAINING, "a write stays");
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.code, PCL_ERR_DRAINING);
    pcl_hop_close(&message);
}

static void test_a_node_that_says_goodbye_finishes_its_work(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    agent *leaving = &s_bench.agents[first];
    pcl_head bye = {.kind = PCL_KIND_BYE, .principal = pcl_bytes_text(leaving->name)};
    pcl_head_set_boot_id(&bye, leaving->report.boot_id);
    s_agent_send(leaving, &bye, "");
    for (uint64_t ticket = 6; ticket < 12; ticket++) {
        s_read(ticket);
    }
    (void)s_wait_held(3 - first, 6); /* none of the new ones goes there */
    assert_int_equal(leaving->held_count, 1);
    s_agent_reply(leaving, 0, PCL_ERR_OK, "my last");
    assert_reply(5, "my last", 1000);
}

/* --- Answers that are none -------------------------------------------------------- */

static void test_false_answers_are_dropped(void **state)
{
    (void)state;
    s_open(3);
    s_read(5);
    uint32_t first = s_wait_any(1, 2);
    agent *holder = &s_bench.agents[first];
    pcl_head head = holder->held[0].head;
    head.kind = PCL_KIND_REPLY;
    head.flags = 0;
    pcl_head wrong = head;
    wrong.ticket++;
    s_agent_send(holder, &wrong, "wrong ticket");
    wrong = head;
    wrong.id[15] ^= 1;
    s_agent_send(holder, &wrong, "wrong id");
    s_agent_send(&s_bench.agents[3 - first], &head, "wrong node");
    assert_silence(50);
    assert_dropped("stale", 1);
    assert_dropped("id-mismatch", 1);
    assert_dropped("wrong-node", 1);
    s_agent_send(holder, &head, "right");
    s_agent_send(holder, &head, "right twice");
    assert_reply(5, "right", 1000);
    assert_silence(50);
    assert_dropped("stale", 2);
}

/* Frames of every wrong shape, from both sides; then all is as before. */
static void test_garbage_is_dropped_and_counted(void **state)
{
    (void)state;
    s_open(2);
    static const char *const PIECES[] = {"", "x", "\x50\x43\x01\x01", "a longer piece of nonsense"};
    zsock_t *targets[] = {s_bench.broker, s_bench.agents[1].socket};
    for (size_t target = 0; target < 2; target++) {
        for (int shape = 0; shape < 64; shape++) {
            zmsg_t *message = zmsg_new();
            for (int rest = shape; rest > 0; rest /= 4) {
                zmsg_addstr(message, PIECES[rest % 4]);
            }
            zmsg_addstr(message, "");
            assert_int_equal(zmsg_send(&message, targets[target]), 0);
        }
    }
    pcl_head head = {.kind = PCL_KIND_BEAT, .principal = pcl_bytes_text("a b")};
    s_agent_send(&s_bench.agents[1], &head, ""); /* no name is like that */
    head = (pcl_head){.kind = PCL_KIND_REQUEST, .sent_us = 1};
    s_agent_send(&s_bench.agents[1], &head, ""); /* an agent asks nothing */
    s_read(5);
    agent *replica = s_wait_held(1, 1);
    s_agent_reply(replica, 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", 1000);
    assert_dropped("malformed", 128);
    assert_dropped("stranger", 1);
    assert_dropped("kind", 1);
}

/* --- Bounds ------------------------------------------------------------------------ */

static void test_a_full_node_and_a_full_proxy_are_overloaded(void **state)
{
    (void)state;
    s_open_with("limits\n    inflight_max = 3\n    node_inflight_max = 1\n", 2);
    s_read(1);
    (void)s_wait_held(1, 1);
    s_read(2); /* the replica is full: the source */
    agent *source = s_wait_held(0, 1);
    s_read(3);
    (void)assert_error(3, PCL_ERR_OVERLOADED, PCL_RETRY_SAFE, 500);
    s_write(4);
    (void)assert_error(4, PCL_ERR_OVERLOADED, PCL_RETRY_SAFE, 500);
    s_agent_reply(source, 0, PCL_ERR_OK, "done");
    assert_reply(2, "done", 1000);
    s_write(5); /* room again */
    (void)s_wait_held(0, 2);
}

static void test_the_ticket_table_bounds_the_proxy(void **state)
{
    (void)state;
    s_open_with("limits\n    inflight_max = 2\n", 1);
    s_write(1);
    s_write(2);
    s_write(3);
    (void)assert_error(3, PCL_ERR_OVERLOADED, PCL_RETRY_SAFE, 500);
    agent *source = s_wait_held(0, 2);
    s_agent_reply(source, 1, PCL_ERR_OK, "two");
    assert_reply(2, "two", 1000);
    s_write(4);
    (void)s_wait_held(0, 3);
}

/* A proxy and a broker whose queues hold next to nothing. */
static void s_open_narrow(void)
{
    s_open_with("limits\n    queue_max = 1\n", 1);
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1);
}

/* A broker that does not read for a while gets every answer all the same. */
static void test_answers_wait_for_a_slow_broker(void **state)
{
    (void)state;
    s_open_narrow();
    agent *source = &s_bench.agents[0];
    for (uint64_t ticket = 1; ticket <= 8; ticket++) {
        s_write(ticket);
        source = s_wait_held(0, (uint32_t)ticket);
    }
    for (uint32_t index = 0; index < 8; index++) {
        s_agent_reply(source, index, PCL_ERR_OK, "done");
    }
    zclock_sleep(100);
    uint32_t seen = 0;
    for (uint32_t count = 0; count < 8; count++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, 500));
        assert_int_equal(message.head.code, PCL_ERR_OK);
        seen |= 1u << message.head.ticket;
        pcl_hop_close(&message);
    }
    assert_int_equal(seen, 0x1fe);
    assert_dropped("slow", 0);
}

/* The agents go on beating meanwhile. */
static void s_pause(uint32_t pause_ms)
{
    for (uint64_t until_us = pcl_now_us() + pause_ms * PCL_US_PER_MS; pcl_now_us() < until_us;) {
        s_turn();
        zclock_sleep(1);
    }
}

/* A node that stands still behind a full queue: only what may have reached it is in doubt. */
static void test_what_never_left_for_a_silent_node_is_safe(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    s_open_narrow();
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    agent *source = &s_bench.agents[0];
    hop_plain_destroy(&source->socket);
    source->socket = s_dealer(s_bench.agents_endpoint, 1);
    source->beat_us = 0;
    for (source->pongs = 0; source->pongs == 0;) { /* it knows the new connection */
        s_pause(1);
    }
    zsock_t *unread = source->socket;
    source->socket = NULL;
    s_pause(PCL_BEAT_INTERVAL_MS); /* so that it is lost before the box gives it up */
    for (uint64_t ticket = 1; ticket <= COUNT; ticket++) {
        s_write(ticket);
        s_pause(5);
    }
    uint32_t unsafe = 0;
    uint32_t waited = 0; /* in the box, for room, until the node was lost */
    for (uint32_t count = 0; count < COUNT; count++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, WAIT_US / 1000));
        assert_int_not_equal(message.head.code, PCL_ERR_OK);
        unsafe |= message.head.retry == PCL_RETRY_SAFE ? 0 : 1u << message.head.ticket;
        waited += message.head.code == PCL_ERR_NO_NODE ? 1 : 0;
        pcl_hop_close(&message);
    }
    source->socket = unread;
    s_pause(100);
    uint32_t received = 0;
    for (uint32_t index = 0; index < source->held_count; index++) {
        received |= 1u << source->held[index].head.id[0];
    }
    assert_int_not_equal(received, 0);
    assert_int_equal(unsafe, received);
    assert_true(waited > 0);
}

/* Has count writes answered with size octets each while the broker does not read for pause_ms;
 * returns how many of the answers arrive then. */
static uint32_t s_burst(uint32_t count, size_t size, uint32_t pause_ms)
{
    zmq_msg_t large; /* one copy for all: inproc hands references on */
    zmq_msg_init_size(&large, size);
    memset(zmq_msg_data(&large), 'x', size);
    agent *source = &s_bench.agents[0];
    uint32_t first = source->held_count;
    for (uint32_t index = first; index < first + count; index++) {
        s_write(index + 1);
        source = s_wait_held(0, index + 1);
    }
    for (uint32_t index = first; index < first + count; index++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        zmq_msg_copy(&frame, &large);
        s_agent_reply_frame(source, index, PCL_ERR_OK, &frame);
    }
    zmq_msg_close(&large);
    s_pause(pause_ms);
    uint32_t arrived = 0;
    for (pcl_hop_message message; s_recv(&message, 200); arrived++) {
        assert_int_equal(zmq_msg_size(&message.payload), size);
        pcl_hop_close(&message);
    }
    return arrived;
}

/* What waits for a broker is bounded in octets, not only in number. */
static void test_large_answers_do_not_pile_up(void **state)
{
    (void)state;
    const size_t size = 15u * 1024 * 1024;
    const uint32_t fit = (uint32_t)(PCL_PROXY_PARKED_SIZE_MAX / size);
    s_open_narrow();
    uint32_t small = s_burst(12, 100, 100);
    assert_int_equal(small, 12);
    uint32_t arrived = s_burst(12, size, 100);
    assert_in_range(arrived, fit + 1, 11); /* the queue holds some too */
    assert_dropped("slow", 12 - arrived);
    uint32_t again = s_burst(12, size, 100); /* what left made room */
    assert_in_range(again, fit + 1, 11);
    assert_dropped("slow", 24 - arrived - again);
}

static void test_answers_do_not_wait_for_ever(void **state)
{
    (void)state;
    s_open_narrow();
    uint32_t arrived = s_burst(12, 3000, PCL_PROXY_PARK_MS + 300); /* small ones share a frame */
    assert_in_range(arrived, 1, 11);                               /* what the queue held */
    assert_dropped("slow", 12 - arrived);
    uint32_t again = s_burst(4, 100, 50); /* and nothing is left behind */
    assert_int_equal(again, 4);
}

static void test_answers_for_a_broker_that_left_are_dropped(void **state)
{
    (void)state;
    s_open(1);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    hop_plain_destroy(&s_bench.broker);
    s_pause(300); /* a busy machine notices later */
    s_agent_reply(source, 0, PCL_ERR_OK, "done");
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    s_write(2);
    source = s_wait_held(0, 2);
    s_agent_reply(source, 1, PCL_ERR_OK, "done");
    assert_reply(2, "done", 1000);
    assert_dropped("unroutable", 1);
}

static void test_the_deadline_is_answered_in_time(void **state)
{
    (void)state;
    s_open(2);
    s_ask(&(order){.ticket = 1, .sql_class = PCL_SQL_READ, .budget_ms = 100});
    uint64_t took_us = assert_error(1, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, 500);
    assert_true(took_us >= 100000 && took_us < 200000);
    s_ask(&(order){.ticket = 2, .sql_class = PCL_SQL_WRITE, .budget_ms = 50});
    (void)assert_error(2, PCL_ERR_DEADLINE, PCL_RETRY_UNSAFE, 500);
    agent *replica = s_wait_held(1, 1);
    s_agent_reply(replica, 0, PCL_ERR_OK, "too late");
    assert_silence(50);
    assert_dropped("stale", 1);
}

/* Work whose time ran out on the way costs no node anything. */
static void test_expired_work_goes_no_further(void **state)
{
    (void)state;
    s_open(2);
    pcl_head head = {.kind = PCL_KIND_REQUEST,
                     .ticket = 4,
                     .sql_class = PCL_SQL_WRITE,
                     .budget_us = 0,
                     .sent_us = pcl_now_us()};
    memset(head.id, 4, sizeof head.id);
    pcl_err err = pcl_hop_send(s_bench.broker, NULL, &head, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    (void)assert_error(4, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, 500);
    /* A message that lay for 200 ms, by what its sender's clock says. */
    head.budget_us = 100000;
    head.sent_us = pcl_now_us() - 200000;
    err = pcl_hop_send(s_bench.broker, NULL, &head, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    (void)assert_error(4, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, 90);
    assert_int_equal(s_bench.agents[0].held_count, 0);
}

/* --- What the proxy answers itself --------------------------------------------------- */

static void test_ping_is_answered_with_no_node_up(void **state)
{
    (void)state;
    s_open(0);
    s_ask(&(order){.ticket = 3, .op = PCL_OP_PING});
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.code, PCL_ERR_OK);
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload));
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(reply.ok && reply.has_id && reply.id[0] == 3 && reply.route.size > 0);
    pcl_hop_close(&message);
    pcl_head ping = {.kind = PCL_KIND_PING, .ticket = 8, .sent_us = pcl_now_us()};
    err = pcl_hop_send(s_bench.broker, NULL, &ping, NULL, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.kind, PCL_KIND_PONG);
    assert_int_equal(pcl_head_boot_id(&message.head), 77);
    assert_int_equal(message.head.flags, 0);
    pcl_hop_close(&message);
}

static void test_status_is_whole_and_names_every_node(void **state)
{
    (void)state;
    s_open(3);
    s_ask(&(order){.ticket = 3, .op = PCL_OP_STATUS});
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    pcl_reply reply;
    pcl_err err = pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload));
    assert_int_equal(err, PCL_ERR_OK);
    assert_true(reply.ok);
    err = pcl_mp_check(reply.status, 8, 64, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    static const char *const WORDS[] = {"n0",         "n1",      "n2",     "source", "replica",
                                        "up",         "mariadb", "random", "custom", "choices",
                                        "candidates", "limits",  "lag_ms", "nodes",  "workers"};
    for (size_t index = 0; index < sizeof WORDS / sizeof WORDS[0]; index++) {
        assert_true(s_holds(reply.status, WORDS[index]));
    }
    pcl_hop_close(&message);
}

static void test_a_draining_proxy_finishes_and_takes_nothing_new(void **state)
{
    (void)state;
    s_open(2);
    s_write(1);
    agent *source = s_wait_held(0, 1);
    fixture_drain(&s_bench.role);
    pcl_hop_message message;
    assert_true(s_recv(&message, 1000));
    assert_int_equal(message.head.kind, PCL_KIND_BYE);
    assert_int_equal(pcl_head_boot_id(&message.head), 77);
    pcl_hop_close(&message);
    s_write(2);
    (void)assert_error(2, PCL_ERR_DRAINING, PCL_RETRY_SAFE, 500);
    s_agent_reply(source, 0, PCL_ERR_OK, "done");
    assert_reply(1, "done", 1000);
    assert_true(fixture_ended(&s_bench.role, FIXTURE_END_MS));
}

static void test_reload_changes_the_default_strategy(void **state)
{
    (void)state;
    s_open(2);
    fixture_reload(&s_bench.role, &pcl_proxy_role, s_zpl("routing\n    strategy = \"direct\"\n"));
    s_read(1);
    agent *source = s_wait_held(0, 1);
    assert_int_equal(source->held[0].head.strategy, PCL_STRATEGY_DIRECT);
}

/* --- Keys ----------------------------------------------------------------------------- */

typedef struct vault {
    char folder[64];
    char key_file[96], list_file[96];
    char settings[512];
    pcl_keys proxy, n0, n1, stranger;
} vault;

/* Only agents come over tcp; brokers stay on inproc. */
static void s_vault_open(vault *self)
{
    char error[256];
    (void)snprintf(self->folder, sizeof self->folder, "/tmp/portcullis-test-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    (void)snprintf(self->key_file, sizeof self->key_file, "%s/key", self->folder);
    (void)snprintf(self->list_file, sizeof self->list_file, "%s/list", self->folder);
    pcl_keys_make(&self->proxy);
    pcl_keys_make(&self->n0);
    pcl_keys_make(&self->n1);
    pcl_keys_make(&self->stranger);
    assert_true(pcl_keys_save(&self->proxy, self->key_file, error, sizeof error));
    FILE *file = fopen(self->list_file, "w");
    assert_non_null(file);
    (void)fprintf(file, "n0 %s\nn1 %s\n", self->n0.public_key, self->n1.public_key);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(self->settings, sizeof self->settings,
                   "    keys = \"%s\"\ncurve\n    key_file = \"%s\"\n", self->list_file,
                   self->key_file);
}

static void s_vault_close(vault *self)
{
    (void)unlink(self->key_file);
    (void)unlink(self->list_file);
    assert_int_equal(rmdir(self->folder), 0);
}

static zsock_t *s_curve_dealer(const vault *safe, const pcl_keys *keys)
{
    char error[256];
    pcl_socket_options options = {.endpoint = s_bench.agents_endpoint,
                                  .keys = keys,
                                  .server_key = safe->proxy.public_key,
                                  .queue_max = 1000,
                                  .message_size_max = PCL_REPLY_SIZE_MAX};
    zsock_t *socket = pcl_socket_dealer(&options, error, sizeof error);
    assert_non_null(socket);
    zclock_sleep(100); /* the handshake: before it nothing can be sent */
    return socket;
}

static void test_a_name_is_its_key_s(void **state)
{
    (void)state;
    vault safe;
    memset(&s_bench, 0, sizeof s_bench);
    s_vault_open(&safe);
    assert_true(pcl_zap_start());
    (void)snprintf(s_bench.brokers_endpoint, sizeof s_bench.brokers_endpoint, "inproc://keyed");
    (void)snprintf(s_bench.agents_endpoint, sizeof s_bench.agents_endpoint, "tcp://127.0.0.1:%u",
                   s_free_port());
    fixture_start(&s_bench.role, &pcl_proxy_role, s_zpl(safe.settings));
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);

    agent *honest = &s_bench.agents[1];
    honest->report = (pcl_report){.boot_id = 101,
                                  .role = PCL_NODE_REPLICA,
                                  .state = PCL_NODE_UP,
                                  .replicating = true,
                                  .workers = 8};
    honest->socket = s_curve_dealer(&safe, &safe.n1);
    (void)snprintf(honest->name, sizeof honest->name, "n0"); /* which is another's */
    for (int turn = 0; turn < 20; turn++) {
        s_turn();
        zclock_sleep(10);
    }
    assert_true(s_dropped("stranger") >= 1);
    assert_int_equal(honest->pongs, 0);
    s_read(1);
    (void)assert_error(1, PCL_ERR_NO_NODE, PCL_RETRY_SAFE, 500);

    (void)snprintf(honest->name, sizeof honest->name, "n1");
    honest->beat_us = 0;
    for (int turn = 0; turn < 200 && honest->pongs == 0; turn++) {
        s_turn();
        zclock_sleep(10);
    }
    s_read(2);
    (void)s_wait_held(1, 1);
    s_agent_reply(honest, 0, PCL_ERR_OK, "rows");
    assert_reply(2, "rows", 1000);

    zsock_t *stranger = s_curve_dealer(&safe, &safe.stranger);
    assert_int_equal(zstr_send(stranger, "let me in"), -1); /* no connection stands */
    hop_plain_destroy(&stranger);
    s_vault_close(&safe);
}

static int s_close_keyed(void **state)
{
    int result = s_close(state);
    pcl_zap_stop();
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROXY_TEST(test_a_read_goes_to_a_replica_and_its_answer_back),
        PROXY_TEST(test_writes_and_what_asks_for_the_source_go_there),
        PROXY_TEST(test_a_read_after_a_write_asks_one_replica_then_the_source),
        PROXY_TEST(test_the_source_has_the_last_word_on_what_a_read_must_see),
        PROXY_TEST(test_a_read_goes_to_the_replica_that_reports_what_it_must_see),
        PROXY_TEST(test_an_error_of_the_database_is_passed_on),
        PROXY_TEST(test_explain_tells_who_was_left_out),
        PROXY_TEST(test_a_dry_run_tells_whom_it_would_ask_and_asks_nobody),
        PROXY_TEST(test_a_dry_run_of_what_is_no_statement_is_refused),
        PROXY_TEST(test_a_dry_run_finds_nobody_without_failing),
        PROXY_TEST(test_a_read_outlives_its_silent_node),
        PROXY_TEST(test_a_write_on_a_dead_node_is_lost_unsafe),
        PROXY_TEST(test_a_read_without_another_node_is_lost_safe),
        PROXY_TEST(test_another_run_of_an_agent_has_lost_what_the_old_had),
        PROXY_TEST(test_a_read_whose_node_was_replaced_goes_elsewhere_at_once),
        PROXY_TEST(test_a_node_without_connection_is_passed_over),
        PROXY_TEST(test_the_end_of_a_connection_moves_its_reads_at_once),
        PROXY_TEST(test_a_write_outlives_the_end_of_its_connection),
        PROXY_TEST(test_a_write_that_cannot_leave_is_safe),
        PROXY_TEST(test_each_of_several_that_cannot_leave_goes_elsewhere_or_is_safe),
        PROXY_TEST(test_no_node_is_said_at_once),
        PROXY_TEST(test_writes_wait_for_the_next_source),
        PROXY_TEST(test_writes_wait_for_a_source_that_takes_it_back),
        PROXY_TEST(test_what_waits_for_a_source_ends_safe_in_time),
        PROXY_TEST(test_who_says_less_than_is_known_prolongs_no_change),
        PROXY_TEST(test_who_was_the_source_of_an_earlier_term_gets_nothing),
        PROXY_TEST(test_a_node_that_refuses_a_read_passes_it_on),
        PROXY_TEST(test_a_node_that_says_goodbye_finishes_its_work),
        PROXY_TEST(test_false_answers_are_dropped),
        PROXY_TEST(test_garbage_is_dropped_and_counted),
        PROXY_TEST(test_a_full_node_and_a_full_proxy_are_overloaded),
        PROXY_TEST(test_what_never_left_for_a_silent_node_is_safe),
        PROXY_TEST(test_the_ticket_table_bounds_the_proxy),
        PROXY_TEST(test_answers_wait_for_a_slow_broker),
        PROXY_TEST(test_large_answers_do_not_pile_up),
        PROXY_TEST(test_answers_do_not_wait_for_ever),
        PROXY_TEST(test_answers_for_a_broker_that_left_are_dropped),
        PROXY_TEST(test_the_deadline_is_answered_in_time),
        PROXY_TEST(test_expired_work_goes_no_further),
        PROXY_TEST(test_ping_is_answered_with_no_node_up),
        PROXY_TEST(test_status_is_whole_and_names_every_node),
        PROXY_TEST(test_a_draining_proxy_finishes_and_takes_nothing_new),
        PROXY_TEST(test_reload_changes_the_default_strategy),
        cmocka_unit_test_teardown(test_a_name_is_its_key_s, s_close_keyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
