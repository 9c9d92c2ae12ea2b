/* The proxy's actor and its second copies: one answer for every read, whatever becomes of either
 * copy and in whatever order, and books that are exact afterwards. */
#include "tests/unit/proxy_bench.h"

#include <time.h>

/* Every second read may have a copy, so that a test need not earn for long. */
#define SETTINGS                                                                                   \
    "routing\n    strategy = \"random\"\n    reads_on_source = 0\n"                                \
    "ejection\n    failures = 0\n"                                                                 \
    "hedge\n    share_percent = 50\n"

enum { LATE_MS = 5000, SOON_MS = 3000, LATE_COUNT = 6000 };

static uint64_t s_last_ticket;

static void s_forget(agent *self)
{
    for (uint32_t index = 0; index < self->held_count; index++) {
        pcl_hop_close(&self->held[index]);
    }
    self->held_count = 0;
}

/* What the proxy says it has in flight: in all, then at each node. */
static uint32_t s_inflight(uint32_t out_counts[1 + AGENTS_MAX])
{
    static const uint8_t KEY[] = "\xa8inflight";
    pcl_hop_message message;
    s_ask(&(order){.ticket = ++s_last_ticket, .op = PCL_OP_STATUS, .id = 201});
    assert_true(s_recv(&message, SOON_MS));
    assert_int_equal(message.head.op, PCL_OP_STATUS); /* and no second answer before it */
    pcl_bytes octets = pcl_frame_bytes(&message.payload);
    uint32_t count = 0;
    for (size_t at = 0; at + sizeof KEY <= octets.size; at++) {
        if (memcmp(octets.data + at, KEY, sizeof KEY - 1) == 0 && count <= AGENTS_MAX) {
            assert_true(octets.data[at + sizeof KEY - 1] < 128);
            out_counts[count++] = octets.data[at + sizeof KEY - 1];
        }
    }
    pcl_hop_close(&message);
    return count;
}

static void s_answer_all(void)
{
    for (uint32_t index = 1; index < AGENTS_MAX; index++) {
        agent *replica = &s_bench.agents[index];
        for (uint32_t held = 0; held < replica->held_count; held++) {
            s_agent_reply(replica, held, PCL_ERR_OK, "quick");
        }
        s_forget(replica);
    }
}

/* Answers whatever any replica has, at once, until the broker has count replies. */
static void s_serve(uint32_t count)
{
    uint64_t until_us = pcl_now_us() + 3 * PCL_US_PER_S;
    for (uint32_t replies = 0; replies < count;) {
        assert_true(pcl_now_us() < until_us);
        s_answer_all();
        pcl_hop_message message;
        if (s_recv(&message, 0)) {
            assert_int_equal(message.head.code, PCL_ERR_OK);
            pcl_hop_close(&message);
            replies++;
        }
    }
}

/* Some of those reads were late, too: until no copy is anywhere, and no hint on its way. */
static void s_settle(void)
{
    uint64_t until_us = pcl_now_us() + 3 * PCL_US_PER_S;
    uint32_t counts[1 + AGENTS_MAX] = {1};
    while (counts[0] + counts[1] + counts[2] + counts[3] + counts[4] > 0) {
        assert_true(pcl_now_us() < until_us);
        s_turn();
        s_answer_all();
        (void)s_inflight(counts);
    }
    s_turn();
    for (uint32_t index = 1; index < AGENTS_MAX; index++) {
        s_bench.agents[index].hint_count = 0;
    }
}

/* Reads that are answered at once: they teach what late is, and earn tokens. */
static void s_quick_reads(uint32_t count)
{
    enum { AT_A_TIME = 16 };
    for (uint32_t sent = 0; sent < count; sent += AT_A_TIME) {
        for (uint32_t index = 0; index < AT_A_TIME; index++) {
            s_ask(&(order){.ticket = ++s_last_ticket, .sql_class = PCL_SQL_READ, .id = 200});
        }
        s_serve(AT_A_TIME);
    }
    s_settle();
}

static void s_open_taught(const char *settings, uint32_t agent_count)
{
    s_last_ticket = 1000;
    s_open_with(settings, agent_count);
    s_quick_reads(256);
}

static uint64_t s_counter(const char *name)
{
    char full[80];
    (void)snprintf(full, sizeof full, "portcullis_proxy_hedges_%s_total", name);
    return fixture_counter(&s_bench.role, full, "");
}

static void assert_inflight(uint32_t in_all, uint32_t first, uint32_t second)
{
    uint32_t counts[1 + AGENTS_MAX] = {0};
    assert_true(s_inflight(counts) >= 4);
    assert_int_equal(counts[0], in_all);
    assert_int_equal(counts[2], first);
    assert_int_equal(counts[3], second);
}

/* A read that its node, a replica of two, leaves unanswered until the other has the second copy.
 * Both hold it as their request 0; returns which had it first. */
static uint32_t s_late_read(const order *wish)
{
    s_ask(wish);
    (void)s_wait_held(1, 1);
    (void)s_wait_held(2, 1);
    bool second = (s_bench.agents[1].held[0].head.flags & PCL_HEAD_HEDGE) != 0;
    return second ? 2 : 1; /* on a loaded machine both may have it when we look first */
}

static const pcl_head *s_held(uint32_t index)
{
    return &s_bench.agents[index].held[0].head;
}

/* --- What is sent ------------------------------------------------------------------ */

static void test_a_late_read_gets_a_second_copy_and_the_first_success_counts(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint64_t sent = s_counter("sent");
    uint64_t won = s_counter("won");
    uint64_t late = s_counter("cancel_late");
    uint32_t first = s_late_read(&(order){.ticket = 5, .sql_class = PCL_SQL_READ});
    uint32_t second = 3 - first;
    assert_int_equal(s_held(first)->flags & PCL_HEAD_HEDGE, 0);
    assert_int_equal(s_held(second)->flags & PCL_HEAD_HEDGE, PCL_HEAD_HEDGE);
    assert_int_equal(s_held(first)->attempt, 0);
    assert_int_equal(s_held(second)->attempt, 1);
    assert_true(s_held(first)->ticket != s_held(second)->ticket);
    assert_memory_equal(s_held(first)->id, s_held(second)->id, PCL_ID_SIZE);
    assert_true(pcl_bytes_is(s_held(second)->principal, "alice"));
    assert_true(pcl_bytes_is(pcl_frame_bytes(&s_bench.agents[second].held[0].payload),
                             "the client's octets"));
    assert_true(s_held(second)->budget_us < s_held(first)->budget_us);
    assert_inflight(1, 1, 1);

    s_agent_reply(&s_bench.agents[second], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    assert_int_equal(s_counter("sent"), sent + 1);
    assert_int_equal(s_counter("won"), won + 1);
    const hint *cancel = s_wait_hint(first, 0);
    assert_int_equal(cancel->head.kind, PCL_KIND_CANCEL);
    assert_int_equal(cancel->head.ticket, s_held(first)->ticket);
    assert_memory_equal(cancel->head.id, s_held(first)->id, PCL_ID_SIZE);
    assert_inflight(0, first == 1, first == 2); /* it is still there, as far as anybody knows */

    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_CANCELLED, "stopped");
    assert_silence(50);
    assert_inflight(0, 0, 0);
    assert_int_equal(s_counter("cancel_late"), late);
    assert_int_equal(s_bench.agents[second].hint_count, 0);
}

static void test_a_first_copy_that_comes_after_all_wins_and_the_second_is_withdrawn(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint64_t won = s_counter("won");
    uint64_t late = s_counter("cancel_late");
    uint32_t first = s_late_read(&(order){.ticket = 5, .sql_class = PCL_SQL_READ});
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    assert_int_equal(s_wait_hint(3 - first, 0)->head.ticket, s_held(3 - first)->ticket);
    s_agent_reply(&s_bench.agents[3 - first], 0, PCL_ERR_OK, "rows, too");
    assert_silence(50);
    assert_inflight(0, 0, 0);
    assert_int_equal(s_counter("won"), won);
    assert_int_equal(s_counter("cancel_late"), late + 1); /* it had run to its end */
}

static void test_nothing_but_a_read_that_stands_alone_is_hedged(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint64_t sent = s_counter("sent");
    s_write(1);
    s_ask(&(order){.ticket = 2, .sql_class = PCL_SQL_READ, .strategy = PCL_STRATEGY_DIRECT});
    s_ask(&(order){.ticket = 3, .sql_class = PCL_SQL_READ, .consistency = PCL_CONSISTENCY_SOURCE});
    s_ask(&(order){.ticket = 4, .sql_class = PCL_SQL_READ, .op = PCL_OP_BEGIN});
    s_ask(&(order){.ticket = 5, .sql_class = PCL_SQL_READ, .boot_id = 101});
    s_ask(&(order){.ticket = 6, .op = PCL_OP_FETCH, .boot_id = 102, .page = 1});
    s_ask(&(order){.ticket = 7, .op = PCL_OP_TXN, .sql_class = PCL_SQL_WRITE});
    (void)s_wait_held(0, 4);
    assert_silence(300);
    assert_int_equal(s_counter("sent"), sent);
    assert_int_equal(s_bench.agents[1].held_count + s_bench.agents[2].held_count, 3);
}

/* --- Whether and where --------------------------------------------------------------- */

static void test_copies_are_never_more_than_their_share(void **state)
{
    (void)state;
    s_open_taught("routing\n    strategy = \"random\"\n    reads_on_source = 0\n"
                  "hedge\n    share_percent = 1\n",
                  3);
    for (uint64_t ticket = 1; ticket <= 8; ticket++) {
        s_read(ticket);
    }
    assert_silence(300);
    assert_true(s_counter("sent") <= 2); /* of 264 reads */
    assert_true(s_counter("budget_exhausted") >= 6);
}

static void test_who_switches_it_off_has_none(void **state)
{
    (void)state;
    s_open_taught("hedge\n    enabled = 0\n", 3);
    s_read(1);
    assert_silence(300);
    assert_int_equal(s_counter("sent") + s_counter("budget_exhausted"), 0);
}

static void test_a_copy_waits_until_a_connection_is_free(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    for (uint32_t index = 1; index <= 2; index++) {
        s_bench.agents[index].report.workers = 1;
        s_agent_beat(&s_bench.agents[index]);
    }
    for (uint64_t ticket = 1; ticket <= 2; ticket++) { /* one at each */
        s_ask(&(order){
            .ticket = ticket, .sql_class = PCL_SQL_READ, .strategy = PCL_STRATEGY_ROUND_ROBIN});
    }
    (void)s_wait_held(1, 1);
    (void)s_wait_held(2, 1);
    assert_silence(200);
    assert_int_equal(s_bench.agents[1].held_count + s_bench.agents[2].held_count, 2);
    uint8_t answered = s_held(1)->id[0];
    s_agent_reply(&s_bench.agents[1], 0, PCL_ERR_OK, "rows");
    assert_reply(answered, "rows", SOON_MS);
    const pcl_head *copy = &s_wait_held(1, 2)->held[1].head;
    assert_int_equal(copy->flags & PCL_HEAD_HEDGE, PCL_HEAD_HEDGE);
    assert_memory_equal(copy->id, s_held(2)->id, PCL_ID_SIZE);
}

/* --- What becomes of them ---------------------------------------------------------------- */

/* The same where there are three replicas; *out_second has the second copy. */
static uint32_t s_late_read_of_three(uint64_t ticket, uint32_t *out_second)
{
    uint32_t holders = 0;
    uint32_t first = 0;
    s_read(ticket);
    for (uint64_t until_us = pcl_now_us() + LATE_MS * PCL_US_PER_MS; holders < 2;) {
        assert_true(pcl_now_us() < until_us);
        s_turn();
        holders = 0;
        for (uint32_t index = 1; index <= 3; index++) {
            if (s_bench.agents[index].held_count > 0) {
                bool copy = (s_bench.agents[index].held[0].head.flags & PCL_HEAD_HEDGE) != 0;
                *(copy ? out_second : &first) = index;
                holders++;
            }
        }
        zclock_sleep(1);
    }
    return first;
}

/* Of three replicas, the one that has not got it yet. */
static uint32_t s_wait_third(uint32_t first, uint32_t second)
{
    uint32_t third = 6 - first - second;
    (void)s_wait_held(third, 1);
    return third;
}

static uint64_t s_cpu_us(void)
{
    struct timespec spent;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent), 0);
    return (uint64_t)spent.tv_sec * PCL_US_PER_S + (uint64_t)spent.tv_nsec / 1000;
}

/* The share of a processor that the proxy takes with so many reads at nodes that do not answer. */
static double s_share_with_late(uint32_t count)
{
    enum { AT_A_TIME = 40, LOOK_MS = 300 };
    for (uint32_t sent = 0; sent < count; sent += AT_A_TIME) {
        for (uint32_t index = 0; index < AT_A_TIME; index++) {
            s_ask(
                &(order){.ticket = ++s_last_ticket, .sql_class = PCL_SQL_READ, .budget_ms = 60000});
        }
        for (uint32_t held = 0; held < AT_A_TIME;) {
            assert_silence(0);
            held += s_bench.agents[1].held_count + s_bench.agents[2].held_count;
            s_forget(&s_bench.agents[1]);
            s_forget(&s_bench.agents[2]);
        }
    }
    uint64_t since_us = pcl_now_us();
    uint64_t cpu_us = s_cpu_us();
    zclock_sleep(LOOK_MS);
    double share = (double)(s_cpu_us() - cpu_us) / (double)(pcl_now_us() - since_us);
    print_message("%u late reads: %.2f of a processor\n", count, share);
    return share;
}

static void test_late_reads_without_tokens_do_not_keep_the_proxy_busy(void **state)
{
    (void)state;
    s_open_taught("routing\n    strategy = \"random\"\n    reads_on_source = 0\n"
                  "hedge\n    share_percent = 1\n"
                  "limits\n    node_inflight_max = 20000\n",
                  3);
    for (uint32_t index = 1; index <= 2; index++) {
        s_bench.agents[index].report.workers = UINT16_MAX;
        s_agent_beat(&s_bench.agents[index]);
    }
    assert_true(s_share_with_late(LATE_COUNT) < 0.2);
    assert_true(s_counter("sent") <= 3 + LATE_COUNT / 100);
    assert_true(s_counter("budget_exhausted") > 0);
}

static void test_late_reads_at_busy_nodes_do_not_keep_the_proxy_busy(void **state)
{
    (void)state;
    s_open_taught(SETTINGS "limits\n    node_inflight_max = 20000\n", 3);
    assert_true(s_share_with_late(LATE_COUNT) < 0.2);
}

static void test_what_both_nodes_refuse_goes_to_a_third_as_a_first_copy(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 4);
    uint32_t second = 0;
    uint32_t first = s_late_read_of_three(5, &second);
    s_agent_reply(&s_bench.agents[second], 0, PCL_ERR_UNAVAILABLE, "not me");
    assert_silence(50);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_OVERLOADED, "nor me");
    uint32_t third = s_wait_third(first, second);
    assert_int_equal(s_held(third)->flags & PCL_HEAD_HEDGE, 0);
    assert_int_equal(s_held(third)->attempt, 2);
    s_agent_reply(&s_bench.agents[third], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    assert_inflight(0, 0, 0);
    assert_int_equal(s_bench.agents[first].hint_count + s_bench.agents[second].hint_count, 0);
}

/* Its node is suspect, which is no end: it stays as long as the other copy may answer, and is
 * moved when that has failed. */
static void test_the_copy_at_a_suspect_node_is_moved_when_the_other_fails(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 4);
    uint32_t second = 0;
    uint32_t first = s_late_read_of_three(5, &second);
    s_bench.agents[first].mute = true;
    assert_silence(800);
    assert_int_equal(s_bench.agents[6 - first - second].held_count, 0);
    s_agent_reply(&s_bench.agents[second], 0, PCL_ERR_OVERLOADED, "not me");
    uint32_t third = s_wait_third(first, second);
    s_agent_reply(&s_bench.agents[third], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    assert_int_equal(s_wait_hint(first, 0)->head.ticket, s_held(first)->ticket);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_OK, "late rows");
    assert_silence(50);
    assert_inflight(0, 0, 0);
}

static void test_a_cursor_that_a_loser_opened_is_released(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint32_t first = s_late_read(&(order){.ticket = 5, .sql_class = PCL_SQL_READ});
    s_agent_reply(&s_bench.agents[3 - first], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    assert_int_equal(s_wait_hint(first, 0)->head.kind, PCL_KIND_CANCEL);
    pcl_head head = *s_held(first);
    head.kind = PCL_KIND_REPLY;
    head.flags = PCL_HEAD_HELD;
    s_session_of(100 + first, 0, head.session);
    s_agent_send(&s_bench.agents[first], &head, "the first page");
    const hint *release = s_wait_hint(first, 1);
    assert_int_equal(release->head.kind, PCL_KIND_RELEASE);
    assert_string_equal(release->principal, "alice");
    assert_memory_equal(release->head.session, head.session, PCL_ID_SIZE);
    assert_silence(50);
    assert_inflight(0, 0, 0);
}

static void test_a_broker_that_left_takes_both_copies_with_it(void **state)
{
    (void)state;
    s_open_tcp(3);
    s_last_ticket = 1000;
    s_quick_reads(256);
    uint32_t first = s_late_read(&(order){.ticket = 5, .sql_class = PCL_SQL_READ});
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1000);
    for (uint32_t index = 1; index <= 2; index++) {
        assert_int_equal(s_wait_hint(index, 0)->head.kind, PCL_KIND_CANCEL);
        assert_int_equal(s_wait_hint(index, 0)->head.ticket, s_held(index)->ticket);
    }
    assert_inflight(1, 1, 1);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_CANCELLED, "stopped");
    assert_silence(50);
    s_agent_reply(&s_bench.agents[3 - first], 0, PCL_ERR_CANCELLED, "stopped");
    assert_dropped("unroutable", 1);
    assert_inflight(0, 0, 0);
}

/* A winner that waits for room at its broker is answered once, and its loser ends meanwhile. */
static void test_a_winner_may_wait_for_its_broker(void **state)
{
    (void)state;
    enum { WRITES = 8 };
    s_open_taught(SETTINGS "limits\n    queue_max = 16\n", 3);
    hop_plain_destroy(&s_bench.broker);
    s_bench.broker = s_dealer(s_bench.brokers_endpoint, 1);
    for (uint64_t ticket = 1; ticket <= WRITES; ticket++) {
        s_write(ticket);
        (void)s_wait_held(0, (uint32_t)ticket);
    }
    uint32_t first = s_late_read(&(order){.ticket = 9, .sql_class = PCL_SQL_READ});
    for (uint32_t index = 0; index < WRITES; index++) {
        s_agent_reply(&s_bench.agents[0], index, PCL_ERR_OK, "done");
    }
    s_agent_reply(&s_bench.agents[3 - first], 0, PCL_ERR_OK, "rows");
    (void)s_wait_hint(first, 0);
    s_agent_reply(&s_bench.agents[first], 0, PCL_ERR_OK, "late rows");
    zclock_sleep(50);
    uint32_t seen = 0;
    for (uint32_t count = 0; count < WRITES + 1; count++) {
        pcl_hop_message message;
        assert_true(s_recv(&message, SOON_MS));
        assert_int_equal(message.head.code, PCL_ERR_OK);
        assert_int_equal(seen & 1u << message.head.ticket, 0);
        seen |= 1u << message.head.ticket;
        pcl_hop_close(&message);
    }
    assert_silence(50);
    assert_inflight(0, 0, 0);
    assert_dropped("slow", 0);
}

static void test_a_draining_proxy_does_not_wait_for_losers(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint32_t first = s_late_read(&(order){.ticket = 5, .sql_class = PCL_SQL_READ});
    s_agent_reply(&s_bench.agents[3 - first], 0, PCL_ERR_OK, "rows");
    assert_reply(5, "rows", SOON_MS);
    fixture_drain(&s_bench.role);
    pcl_hop_message message;
    assert_true(s_recv(&message, SOON_MS));
    assert_int_equal(message.head.kind, PCL_KIND_BYE);
    pcl_hop_close(&message);
    assert_true(fixture_ended(&s_bench.role, FIXTURE_END_MS));
}

/* --- Every order of events ----------------------------------------------------------- */

/* How a copy ends. */
typedef enum finish {
    FINISH_SUCCESS = 0,
    FINISH_ERROR,   /* the database refuses the statement */
    FINISH_REFUSED, /* the node does not take it */
    FINISH_LOST,    /* another run of the agent */
    FINISH_NEVER,   /* only the deadline ends it */
    FINISH_COUNT,
} finish;

/* When the client cancels. */
typedef enum moment { MOMENT_NEVER = 0, MOMENT_BEFORE, MOMENT_BETWEEN, MOMENT_COUNT } moment;

typedef struct scenario {
    bool second_first; /* the second copy ends before the first */
    finish early, late;
    moment cancel;
} scenario;

static void s_finish(uint32_t index, finish how)
{
    agent *replica = &s_bench.agents[index];
    switch (how) {
    case FINISH_SUCCESS:
        s_agent_reply(replica, 0, PCL_ERR_OK, replica->name);
        return;
    case FINISH_ERROR:
        s_agent_reply(replica, 0, PCL_ERR_SQL, "an error");
        return;
    case FINISH_REFUSED:
        s_agent_reply(replica, 0, PCL_ERR_OVERLOADED, "full");
        return;
    case FINISH_LOST:
        replica->report.boot_id += 1000;
        s_agent_beat(replica);
        return;
    case FINISH_NEVER:
    case FINISH_COUNT:
        return;
    }
}

static pcl_err s_code(finish how)
{
    static const pcl_err CODES[FINISH_COUNT] = {PCL_ERR_OK, PCL_ERR_SQL, PCL_ERR_OVERLOADED,
                                                PCL_ERR_LOST, PCL_ERR_DEADLINE};
    return CODES[how];
}

/* Withdrawn by the client: each node that still has a copy hears of it. */
static void s_cancel(uint64_t ticket, uint32_t first, uint32_t last)
{
    s_ask(&(order){.ticket = ++s_last_ticket, .op = PCL_OP_CANCEL, .id = (uint8_t)ticket});
    pcl_hop_message message;
    assert_true(s_recv(&message, SOON_MS));
    assert_int_equal(message.head.op, PCL_OP_CANCEL);
    assert_true(s_holds(pcl_frame_bytes(&message.payload), "\xa8"
                                                           "affected\x01"));
    pcl_hop_close(&message);
    for (uint32_t index = first; index <= last; index++) {
        const hint *cancel = s_wait_hint(index, 0);
        assert_int_equal(cancel->head.kind, PCL_KIND_CANCEL);
        assert_int_equal(cancel->head.ticket, s_held(index)->ticket);
    }
}

/* The one answer: the first success, else what the last one's end makes of it. */
static void assert_answer(uint64_t ticket, const scenario *play, uint32_t early, uint32_t late)
{
    pcl_hop_message message;
    assert_true(s_recv(&message, SOON_MS));
    bool success = play->early == FINISH_SUCCESS || play->late == FINISH_SUCCESS;
    pcl_err expected = success ? PCL_ERR_OK : s_code(play->late);
    assert_int_equal(message.head.ticket, ticket);
    assert_string_equal(pcl_err_code((int)message.head.code), pcl_err_code((int)expected));
    if (success) {
        uint32_t winner = play->early == FINISH_SUCCESS ? early : late;
        assert_true(pcl_bytes_is(pcl_frame_bytes(&message.payload), s_bench.agents[winner].name));
    } else {
        assert_int_equal(message.head.retry,
                         play->late == FINISH_ERROR ? PCL_RETRY_NEVER : PCL_RETRY_SAFE);
    }
    pcl_hop_close(&message);
}

/* Until the proxy has taken in that the copy has ended there: what agents send at the same time, it
 * may read in any order. */
static void s_wait_left(uint32_t index, finish how)
{
    uint32_t counts[1 + AGENTS_MAX] = {[2] = 1, [3] = 1};
    uint64_t until_us = pcl_now_us() + 3 * PCL_US_PER_S;
    while (how != FINISH_NEVER && counts[1 + index] > 0) {
        assert_true(pcl_now_us() < until_us);
        assert_true(s_inflight(counts) >= 4);
    }
}

static void s_play(const scenario *play, uint64_t ticket)
{
    bool expires = play->early == FINISH_NEVER || play->late == FINISH_NEVER;
    uint64_t sent = 0;
    do { /* reads that a busy machine made late have spent what these earn */
        sent = s_counter("sent");
        s_quick_reads(16);
    } while (s_counter("sent") != sent);
    /* A busy machine, too, has the second copy there before the deadline. */
    uint32_t first = s_late_read(
        &(order){.ticket = ticket, .sql_class = PCL_SQL_READ, .budget_ms = expires ? 600 : 5000});
    uint32_t early = play->second_first ? 3 - first : first;
    uint32_t late = 3 - early;
    if (play->cancel == MOMENT_BEFORE) {
        s_cancel(ticket, 1, 2);
    }
    s_finish(early, play->early);
    if (play->early == FINISH_SUCCESS) {
        assert_answer(ticket, play, early, late);
        assert_int_equal(s_wait_hint(late, 0)->head.ticket, s_held(late)->ticket);
    } else {
        s_wait_left(early, play->early);
    }
    if (play->cancel == MOMENT_BETWEEN) {
        s_cancel(ticket, late, late);
    }
    s_finish(late, play->late);
    if (play->early != FINISH_SUCCESS) {
        assert_answer(ticket, play, early, late);
    }
    for (uint64_t until_us = pcl_now_us() + 3 * PCL_US_PER_S;
         ;) { /* what is left, the deadline ends */
        uint32_t counts[1 + AGENTS_MAX] = {0};
        assert_true(s_inflight(counts) >= 4);
        assert_int_equal(counts[0], 0);
        if (counts[2] + counts[3] == 0) {
            break;
        }
        assert_true(expires || play->late != FINISH_NEVER);
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(5);
    }
    assert_true(s_bench.agents[1].hint_count <= 1 && s_bench.agents[2].hint_count <= 1);
    for (uint32_t index = 1; index <= 2; index++) {
        s_forget(&s_bench.agents[index]);
        s_bench.agents[index].hint_count = 0;
    }
}

/* All 5 x 5 ways in which two copies end, both orders, with a cancel before, between and not at
 * all: exactly one answer, the right one, and no copy left in any book. */
static void test_every_order_of_ends_gives_one_answer_and_exact_books(void **state)
{
    (void)state;
    s_open_taught(SETTINGS, 3);
    uint8_t ticket = 0;
    uint32_t played = 0;
    for (int order_bit = 0; order_bit < 2; order_bit++) {
        for (int early = 0; early < FINISH_COUNT; early++) {
            for (int late = 0; late < FINISH_COUNT; late++) {
                for (int cancel = 0; cancel < MOMENT_COUNT; cancel++) {
                    scenario play = {.second_first = order_bit == 1,
                                     .early = (finish)early,
                                     .late = (finish)late,
                                     .cancel = (moment)cancel};
                    bool later = play.early == FINISH_NEVER && play.late != FINISH_NEVER;
                    bool answered = play.early == FINISH_SUCCESS;
                    if (later || (answered && play.cancel == MOMENT_BETWEEN)) {
                        continue; /* the same as another one; nothing to cancel any more */
                    }
                    ticket = (uint8_t)(ticket % 190 + 1);
                    s_play(&play, ticket);
                    played++;
                }
            }
        }
    }
    assert_int_equal(played, 2 * (2 * 5 + 3 * 3 * 5 + 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROXY_TEST(test_a_late_read_gets_a_second_copy_and_the_first_success_counts),
        PROXY_TEST(test_a_first_copy_that_comes_after_all_wins_and_the_second_is_withdrawn),
        PROXY_TEST(test_nothing_but_a_read_that_stands_alone_is_hedged),
        PROXY_TEST(test_copies_are_never_more_than_their_share),
        PROXY_TEST(test_who_switches_it_off_has_none),
        PROXY_TEST(test_a_copy_waits_until_a_connection_is_free),
        PROXY_TEST(test_late_reads_without_tokens_do_not_keep_the_proxy_busy),
        PROXY_TEST(test_late_reads_at_busy_nodes_do_not_keep_the_proxy_busy),
        PROXY_TEST(test_what_both_nodes_refuse_goes_to_a_third_as_a_first_copy),
        PROXY_TEST(test_the_copy_at_a_suspect_node_is_moved_when_the_other_fails),
        PROXY_TEST(test_a_cursor_that_a_loser_opened_is_released),
        PROXY_TEST(test_a_broker_that_left_takes_both_copies_with_it),
        PROXY_TEST(test_a_winner_may_wait_for_its_broker),
        PROXY_TEST(test_a_draining_proxy_does_not_wait_for_losers),
        PROXY_TEST(test_every_order_of_ends_gives_one_answer_and_exact_books),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
