#include "broker/broker.h"
#include "net/hop_outbox.h"
#include "net/zap.h"
#include "sql/classify.h"

#include "tests/lib/key_vault.h"
#include "tests/lib/role_fixture.h"

#define UP "portcullis_broker_link_up 1"

typedef struct s_scene {
    role_fixture broker;
    fake_hop proxy;
    zsock_t *gatekeeper; /* DEALER, which the test plays */
    char endpoint[64];
} s_scene;

static zsock_t *s_dealer(const s_scene *self)
{
    zsock_t *dealer = zsock_new(ZMQ_DEALER);
    assert_non_null(dealer);
    zsock_set_linger(dealer, 0);
    assert_int_equal(zsock_connect(dealer, "%s", self->endpoint), 0);
    return dealer;
}

/* A broker, a gatekeeper, and a proxy's endpoint where nobody may be. */
static void s_start(s_scene *self, const char *proxy, const char *more)
{
    static int number = 0;
    char zpl[1024];
    (void)snprintf(self->endpoint, sizeof self->endpoint, "inproc://gatekeepers-%d", number++);
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"%s\"\nproxy\n    endpoint = \"%s\"\n%s",
                   self->endpoint, proxy, more);
    fixture_start(&self->broker, &pcl_broker_role, zpl);
    self->gatekeeper = s_dealer(self);
}

static void s_open(s_scene *self, const char *more)
{
    static int number = 0;
    char proxy[64];
    (void)snprintf(proxy, sizeof proxy, "inproc://proxy-%d", number++);
    fake_open(&self->proxy, proxy);
    s_start(self, proxy, more);
    fixture_wait_metric(&self->broker, &self->proxy, UP);
}

static void s_close(s_scene *self)
{
    hop_plain_destroy(&self->gatekeeper);
    fixture_stop(&self->broker);
    fake_close(&self->proxy);
}

static pcl_head s_head(uint8_t id, uint32_t budget_us)
{
    pcl_head head = {.ticket = 1000u + id,
                     .kind = PCL_KIND_REQUEST,
                     .op = PCL_OP_QUERY,
                     .budget_us = budget_us,
                     .sent_us = pcl_now_us(),
                     .gatekeeper_us = 7,
                     .principal = pcl_bytes_text("alice")};
    memset(head.id, id, sizeof head.id);
    return head;
}

static void s_send(zsock_t *dealer, const pcl_head *head, const char *sql, uint8_t id)
{
    pcl_buffer request;
    fixture_request(&request, sql, id, 0);
    zmq_msg_t payload;
    pcl_frame_of_buffer(&payload, &request);
    pcl_err err = pcl_hop_send(dealer, NULL, head, &payload, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&payload);
}

static void s_query(s_scene *self, const char *sql, uint8_t id, uint32_t budget_us)
{
    pcl_head head = s_head(id, budget_us);
    s_send(self->gatekeeper, &head, sql, id);
}

/* The next message that is not a beat; fails when none comes. */
static void s_recv(s_scene *self, zsock_t *dealer, pcl_hop_message *out_message)
{
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000;;) {
        if (self->proxy.socket != NULL) {
            fake_turn(&self->proxy);
        }
        pcl_hop_recv_result result = hop_plain_recv(out_message, dealer, false);
        if (result == PCL_HOP_MESSAGE) {
            return;
        }
        assert_int_equal(result, PCL_HOP_NONE);
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

/* The next message is a reply to that id, an error made by the broker; text (may be NULL) gets
 * its message and must hold 256 characters. */
static void s_expect_error(s_scene *self, uint8_t id, pcl_err code, pcl_retry retry, char *text)
{
    pcl_hop_message message;
    s_recv(self, self->gatekeeper, &message);
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    assert_int_equal(message.head.ticket, 1000u + id);
    assert_int_equal(message.head.id[5], id);
    assert_int_equal(message.head.code, code);
    assert_int_equal(message.head.retry, retry);
    pcl_reply reply;
    assert_int_equal(pcl_reply_decode(&reply, pcl_frame_bytes(&message.payload)), PCL_ERR_OK);
    assert_false(reply.ok);
    assert_true(pcl_bytes_is(reply.error_code, pcl_err_code((int)code)));
    assert_true(pcl_bytes_is(reply.error_hop, "broker"));
    assert_int_equal(reply.error_retry, retry);
    if (text != NULL) {
        (void)snprintf(text, 256, "%.*s", (int)reply.error_message.size,
                       (const char *)reply.error_message.data);
    }
    pcl_hop_close(&message);
}

static uint64_t s_dropped(const s_scene *self, const char *cause)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "cause=\"%s\"", cause);
    return fixture_counter(&self->broker, "portcullis_broker_replies_dropped_total", labels);
}

/* --- The way of a request --------------------------------------------------- */

static void test_a_request_goes_on_with_the_brokers_own_reading(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    pcl_head head = s_head(3, 500000);
    head.sql_class = PCL_SQL_READ; /* a lie: the broker reads for itself */
    head.role = pcl_bytes_text("root");
    head.strategy = PCL_STRATEGY_RANDOM;
    s_send(scene.gatekeeper, &head, "UPDATE t SET a = 1", 3);
    fake_wait_held(&scene.proxy, 1);
    const pcl_head *seen = &scene.proxy.held[0].head;
    assert_int_equal(seen->sql_class, PCL_SQL_WRITE);
    assert_int_equal(seen->strategy, PCL_STRATEGY_DEFAULT);
    assert_true(pcl_bytes_is(seen->principal, "alice"));
    assert_true(pcl_bytes_is(seen->role, "app"));
    assert_int_equal(seen->id[0], 3);
    assert_in_range(seen->budget_us, 300000, 500000);
    assert_int_equal(seen->gatekeeper_us, 7);
    assert_int_not_equal(seen->ticket, head.ticket);
    fake_reply(&scene.proxy, 0, PCL_ERR_SQL, "the answer");
    pcl_hop_message reply;
    s_recv(&scene, scene.gatekeeper, &reply);
    assert_int_equal(reply.head.kind, PCL_KIND_REPLY);
    assert_int_equal(reply.head.ticket, head.ticket);
    assert_int_equal(reply.head.code, PCL_ERR_SQL);
    assert_memory_equal(reply.head.id, head.id, sizeof head.id);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&reply.payload), "the answer"));
    pcl_hop_close(&reply);
    s_close(&scene);
}

static void test_two_gatekeepers_with_the_same_ticket_are_kept_apart(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *other = s_dealer(&scene);
    s_query(&scene, "SELECT 1", 4, 500000);
    fake_wait_held(&scene.proxy, 1);
    pcl_head head = s_head(4, 500000);
    s_send(other, &head, "SELECT 2", 4);
    fake_wait_held(&scene.proxy, 2);
    fake_reply(&scene.proxy, 1, PCL_ERR_OK, "to the other");
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "to the first");
    pcl_hop_message reply;
    s_recv(&scene, scene.gatekeeper, &reply);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&reply.payload), "to the first"));
    pcl_hop_close(&reply);
    s_recv(&scene, other, &reply);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&reply.payload), "to the other"));
    pcl_hop_close(&reply);
    hop_plain_destroy(&other);
    s_close(&scene);
}

static void test_a_ping_is_answered_with_who_we_are(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    pcl_head ping = {.kind = PCL_KIND_PING, .sent_us = pcl_now_us()};
    pcl_head_set_boot_id(&ping, 5);
    assert_int_equal(pcl_hop_send(scene.gatekeeper, NULL, &ping, NULL, NULL), PCL_ERR_OK);
    pcl_hop_message pong;
    s_recv(&scene, scene.gatekeeper, &pong);
    assert_int_equal(pong.head.kind, PCL_KIND_PONG);
    assert_true(pcl_head_boot_id(&pong.head) == scene.broker.args.boot_id);
    assert_int_equal(pong.head.flags, 0);
    pcl_hop_close(&pong);
    s_close(&scene);
}

/* --- Refusals ---------------------------------------------------------------- */

static void test_policy_speaks(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        pcl_err err;
        const char *said;
    } cases[] = {
        {"START TRANSACTION", PCL_ERR_UNSUPPORTED, "needs a session"},
        {"SET @a = 1", PCL_ERR_UNSUPPORTED, "needs a session"},
        {"FLUSH TABLES", PCL_ERR_FORBIDDEN, "admin"},
        {"SELECT 1; SELECT 2", PCL_ERR_REFUSED, " at offset "},
    };
    s_scene scene;
    s_open(&scene, "");
    for (uint8_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        char text[256];
        s_query(&scene, cases[index].sql, (uint8_t)(index + 1), 500000);
        s_expect_error(&scene, (uint8_t)(index + 1), cases[index].err, PCL_RETRY_NEVER, text);
        assert_non_null(strstr(text, cases[index].said));
    }
    assert_int_equal(scene.proxy.held_count, 0);
    s_close(&scene);
}

/* Which functions a read may call is the policy's to say, also to a running broker. */
static void test_the_policy_lists_functions_that_reads_may_call(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    s_query(&scene, "SELECT app_price(1)", 1, 5000000);
    fake_wait_held(&scene.proxy, 1);
    assert_int_equal(scene.proxy.held[0].head.sql_class, PCL_SQL_WRITE);
    char zpl[1024];
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"%s\"\nproxy\n    endpoint = \"inproc://x\"\n"
                   "sql\n    functions = \"app_price\"\n",
                   scene.endpoint);
    fixture_reload(&scene.broker, &pcl_broker_role, zpl);
    s_query(&scene, "SELECT app_price(1)", 2, 5000000);
    fake_wait_held(&scene.proxy, 2);
    assert_int_equal(scene.proxy.held[1].head.sql_class, PCL_SQL_READ);
    s_close(&scene);
}

static void test_a_head_that_contradicts_its_payload_is_refused(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    pcl_head head = s_head(1, 500000);
    head.op = PCL_OP_PING;
    s_send(scene.gatekeeper, &head, "DELETE FROM t", 1);
    s_expect_error(&scene, 1, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, NULL);
    head = s_head(2, 500000);
    s_send(scene.gatekeeper, &head, "SELECT 1", 3);
    s_expect_error(&scene, 2, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, NULL);
    head = s_head(4, 500000);
    head.principal = pcl_bytes_text("");
    s_send(scene.gatekeeper, &head, "SELECT 1", 4);
    s_expect_error(&scene, 4, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, NULL);
    zmq_msg_t payload;
    pcl_frame_copy_of(&payload, pcl_bytes_text("garbage"));
    head = s_head(5, 500000);
    assert_int_equal(pcl_hop_send(scene.gatekeeper, NULL, &head, &payload, NULL), PCL_ERR_OK);
    s_expect_error(&scene, 5, PCL_ERR_MALFORMED, PCL_RETRY_NEVER, NULL);
    assert_int_equal(scene.proxy.held_count, 0);
    s_close(&scene);
}

/* What is not of the protocol is dropped, and harms nobody. */
static void test_garbage_between_daemons_is_counted(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    assert_int_equal(zstr_send(scene.gatekeeper, "x"), 0);
    assert_int_equal(zstr_sendx(scene.gatekeeper, "not a head", "", "", NULL), 0);
    pcl_head reply = {.kind = PCL_KIND_REPLY, .ticket = 4};
    assert_int_equal(pcl_hop_send(scene.gatekeeper, NULL, &reply, NULL, NULL), PCL_ERR_OK);
    s_query(&scene, "SELECT 1", 1, 500000);
    fake_wait_held(&scene.proxy, 1);
    assert_int_equal(fixture_counter(&scene.broker, "portcullis_broker_messages_dropped_total", ""),
                     3);
    s_close(&scene);
}

/* --- Time -------------------------------------------------------------------- */

static void test_work_that_came_too_late_goes_no_further(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    s_query(&scene, "DELETE FROM t", 1, 0);
    s_expect_error(&scene, 1, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, NULL);
    assert_int_equal(scene.proxy.held_count, 0);
    s_close(&scene);
}

/* A message that lay in a queue for 400 ms has that much less time left. */
static void test_time_on_the_way_counts(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    s_query(&scene, "SELECT 1", 1, 500000); /* the shortest way seen */
    fake_wait_held(&scene.proxy, 1);
    pcl_head head = s_head(2, 500000);
    head.sent_us -= 400000;
    s_send(scene.gatekeeper, &head, "SELECT 1", 2);
    fake_wait_held(&scene.proxy, 2);
    assert_in_range(scene.proxy.held[1].head.budget_us, 1, 110000);
    head = s_head(3, 300000);
    head.sent_us -= 400000;
    s_send(scene.gatekeeper, &head, "DELETE FROM t", 3);
    s_expect_error(&scene, 3, PCL_ERR_DEADLINE, PCL_RETRY_SAFE, NULL);
    s_close(&scene);
}

/* The gatekeeper waits 75 ms more than the deadline, we 50.  The best of a few tries. */
static void test_a_deadline_is_answered_before_the_gatekeeper_does(void **state)
{
    (void)state;
    enum { TRIES_MAX = 4, BUDGET_US = 100000, GRACE_US = 75000 };
    s_scene scene;
    s_open(&scene, "");
    uint64_t took_us = UINT64_MAX;
    for (int try = 0; try < TRIES_MAX && took_us > BUDGET_US + GRACE_US; try++) {
        uint64_t sent_us = pcl_now_us();
        s_query(&scene, "DELETE FROM t", 1, BUDGET_US);
        s_expect_error(&scene, 1, PCL_ERR_DEADLINE, PCL_RETRY_UNSAFE, NULL);
        took_us = pcl_now_us() - sent_us;
    }
    assert_true(took_us <= BUDGET_US + GRACE_US);
    s_close(&scene);
}

/* --- The proxy in trouble ---------------------------------------------------- */

static void test_without_a_proxy_the_answer_is_unavailable_at_once(void **state)
{
    (void)state;
    s_scene scene = {0};
    s_start(&scene, "inproc://nobody", "");
    s_query(&scene, "DELETE FROM t", 1, 500000);
    s_expect_error(&scene, 1, PCL_ERR_UNAVAILABLE, PCL_RETRY_SAFE, NULL);
    hop_plain_destroy(&scene.gatekeeper);
    fixture_stop(&scene.broker);
}

/* The next reply without reading what the proxy has; true: its request may be sent again. */
static bool s_recv_end(s_scene *self, uint32_t *seen)
{
    zsock_t *unread = self->proxy.socket;
    self->proxy.socket = NULL;
    pcl_hop_message message;
    s_recv(self, self->gatekeeper, &message);
    self->proxy.socket = unread;
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    uint32_t bit = 1u << message.head.id[0];
    assert_int_equal(*seen & bit, 0); /* none twice */
    *seen |= bit;
    bool safe = message.head.retry == PCL_RETRY_SAFE;
    pcl_hop_close(&message);
    return safe;
}

/* A write is unsafe to send again exactly if it has left. */
static void test_what_has_not_left_for_a_proxy_that_does_not_read_is_safe(void **state)
{
    (void)state;
    enum { FIRST = 2, TOGETHER = 10 };
    s_scene scene;
    fake_open_with(&scene.proxy, "inproc://proxy-that-sleeps", 1);
    s_start(&scene, "inproc://proxy-that-sleeps", "limits\n    queue_max = 1\n");
    fixture_wait_metric(&scene.broker, &scene.proxy, UP);
    for (uint8_t id = 1; id <= FIRST; id++) { /* one by one: then the queue is full */
        s_query(&scene, "DELETE FROM t", id, 9000000);
        zclock_sleep(30);
    }
    pcl_hop_outbox *outbox = pcl_hop_outbox_new(scene.gatekeeper, NULL, NULL);
    for (uint8_t id = FIRST + 1; id <= FIRST + TOGETHER; id++) {
        pcl_head head = s_head(id, 9000000);
        pcl_buffer request;
        fixture_request(&request, "DELETE FROM t", id, 0);
        zmq_msg_t payload;
        pcl_frame_of_buffer(&payload, &request);
        pcl_err err = pcl_hop_outbox_send(outbox, NULL, &head, &payload, NULL);
        assert_int_equal(err, PCL_ERR_OK);
        zmq_msg_close(&payload);
    }
    pcl_hop_outbox_destroy(&outbox); /* sends them */
    uint32_t seen = 0, unsafe = 0, left = 0;
    for (uint32_t count = 0; count < FIRST + TOGETHER; count++) {
        uint32_t before = seen;
        unsafe |= s_recv_end(&scene, &seen) ? 0 : seen ^ before;
    }
    fake_turn_ms(&scene.proxy, 50);
    for (uint32_t index = 0; index < scene.proxy.held_count; index++) {
        left |= 1u << scene.proxy.held[index].head.id[0];
    }
    assert_int_equal(left, unsafe);
    s_close(&scene);
}

static void test_a_proxy_that_starts_again_has_lost_what_it_held(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    s_query(&scene, "SELECT 1", 1, 60000000);
    fake_wait_held(&scene.proxy, 1);
    scene.proxy.boot_id = 2;
    s_expect_error(&scene, 1, PCL_ERR_LOST, PCL_RETRY_SAFE, NULL);
    s_query(&scene, "DELETE FROM t", 2, 60000000); /* the new one serves */
    fake_wait_held(&scene.proxy, 2);
    scene.proxy.boot_id = 3;
    s_expect_error(&scene, 2, PCL_ERR_LOST, PCL_RETRY_UNSAFE, NULL);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "too late");
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(s_dropped(&scene, "stale"), 1);
    s_close(&scene);
}

static void test_a_full_table_is_overloaded(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "limits\n    inflight_max = 1\n");
    s_query(&scene, "SELECT 1", 1, 500000);
    s_query(&scene, "SELECT 1", 2, 500000);
    s_expect_error(&scene, 2, PCL_ERR_OVERLOADED, PCL_RETRY_SAFE, NULL);
    s_close(&scene);
}

static void test_a_gatekeeper_that_left_costs_its_replies_and_nothing_else(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_dealer(&scene);
    pcl_head head = s_head(9, 500000);
    s_send(gone, &head, "SELECT 1", 9);
    fake_wait_held(&scene.proxy, 1);
    hop_plain_destroy(&gone);
    fake_turn_ms(&scene.proxy, 30);
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "to nobody");
    fixture_wait_metric(&scene.broker, &scene.proxy, "portcullis_broker_requests_in_flight 0");
    assert_int_equal(s_dropped(&scene, "unroutable"), 1);
    s_close(&scene);
}

/* --- What nobody waits for, and what nobody holds -------------------------------- */

static void s_say(zsock_t *dealer, pcl_head head)
{
    head.sent_us = pcl_now_us();
    assert_int_equal(pcl_hop_send(dealer, NULL, &head, NULL, NULL), PCL_ERR_OK);
}

/* The gatekeeper's ticket and id name the request; ours goes on. */
static void test_a_cancel_goes_on_with_our_ticket(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *other = s_dealer(&scene);
    pcl_head theirs = s_head(4, 5000000);
    s_send(other, &theirs, "SELECT 1", 4); /* the same id and ticket, of another */
    fake_wait_held(&scene.proxy, 1);
    s_query(&scene, "SELECT 1", 4, 5000000);
    fake_wait_held(&scene.proxy, 2);
    pcl_head cancel = {.kind = PCL_KIND_CANCEL, .ticket = 1};
    memset(cancel.id, 4, sizeof cancel.id);
    s_say(scene.gatekeeper, cancel); /* no ticket of its own */
    cancel.ticket = 1004;
    memset(cancel.id, 5, sizeof cancel.id);
    s_say(scene.gatekeeper, cancel); /* another id */
    memset(cancel.id, 4, sizeof cancel.id);
    s_say(scene.gatekeeper, cancel);
    s_say(scene.gatekeeper, cancel); /* said once, whoever repeats it */
    fake_wait_hints(&scene.proxy, 1);
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.hint_count, 1);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_CANCEL);
    assert_true(scene.proxy.hints[0].ticket == scene.proxy.held[1].head.ticket);
    assert_int_equal(scene.proxy.hints[0].id[15], 4);
    fake_reply(&scene.proxy, 1, PCL_ERR_CANCELLED, "stopped"); /* the reply comes all the same */
    pcl_hop_message reply;
    s_recv(&scene, scene.gatekeeper, &reply);
    assert_int_equal(reply.head.code, PCL_ERR_CANCELLED);
    assert_int_equal(reply.head.ticket, 1004);
    pcl_hop_close(&reply);
    s_say(scene.gatekeeper, cancel); /* there is nothing any more */
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.hint_count, 1);
    hop_plain_destroy(&other);
    s_close(&scene);
}

static void test_a_release_goes_on_with_its_principal(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    pcl_head release = {.kind = PCL_KIND_RELEASE, .principal = pcl_bytes_text("alice")};
    memset(release.session, 0x77, sizeof release.session);
    s_say(scene.gatekeeper, release);
    fake_wait_hints(&scene.proxy, 1);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_RELEASE);
    assert_memory_equal(scene.proxy.hints[0].session, release.session, PCL_ID_SIZE);
    assert_string_equal(scene.proxy.hints[0].principal, "alice");
    s_close(&scene);
}

static void test_what_a_reply_opened_or_ended_is_passed_up(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    static const uint8_t flags[] = {PCL_HEAD_HELD, PCL_HEAD_RELEASED};
    for (uint8_t index = 0; index < 2; index++) {
        s_query(&scene, "SELECT 1", (uint8_t)(index + 1), 5000000);
        fake_wait_held(&scene.proxy, 1);
        fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", flags[index], 0x33);
        pcl_hop_message reply;
        s_recv(&scene, scene.gatekeeper, &reply);
        assert_int_equal(reply.head.flags, flags[index]);
        assert_int_equal(reply.head.session[0], 0x33);
        assert_int_equal(reply.head.session[13], 0x33);
        pcl_hop_close(&reply);
    }
    s_close(&scene);
}

static void test_what_was_opened_for_a_gatekeeper_that_left_is_released(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_dealer(&scene);
    pcl_head head = s_head(9, 5000000);
    s_send(gone, &head, "SELECT 1", 9);
    fake_wait_held(&scene.proxy, 1);
    hop_plain_destroy(&gone);
    fake_turn_ms(&scene.proxy, 30);
    fake_reply_with(&scene.proxy, 0, PCL_ERR_OK, "x", PCL_HEAD_HELD, 0x44);
    fake_wait_hints(&scene.proxy, 1);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_RELEASE);
    assert_int_equal(scene.proxy.hints[0].session[0], 0x44);
    assert_string_equal(scene.proxy.hints[0].principal, "alice");
    s_close(&scene);
}

/* It said pings, and then nothing for five beats. */
static void test_the_requests_of_a_silent_gatekeeper_are_cancelled(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    pcl_head ping = {.kind = PCL_KIND_PING};
    pcl_head_set_boot_id(&ping, 5);
    s_say(scene.gatekeeper, ping);
    s_query(&scene, "SELECT 1", 1, 30000000);
    s_query(&scene, "DELETE FROM t", 2, 30000000);
    uint64_t since_us = pcl_now_us();
    fake_wait_held(&scene.proxy, 2);
    fake_wait_hints(&scene.proxy, 2);
    assert_true(pcl_now_us() - since_us >= PCL_BEATS_GONE * PCL_BEAT_INTERVAL_MS * 900);
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_CANCEL);
    assert_int_equal(scene.proxy.hints[1].kind, PCL_KIND_CANCEL);
    s_close(&scene);
}

/* Over a real connection nobody waits until silence tells. */
static void test_the_requests_of_a_gatekeeper_that_died_are_cancelled_at_once(void **state)
{
    (void)state;
    s_scene scene;
    char zpl[1024];
    char proxy[64] = "inproc://proxy-of-the-dead";
    (void)snprintf(scene.endpoint, sizeof scene.endpoint, "tcp://127.0.0.1:%u", vault_free_port());
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"%s\"\nproxy\n    endpoint = \"%s\"\n"
                   "curve\n    insecure = 1\n",
                   scene.endpoint, proxy);
    fake_open(&scene.proxy, proxy);
    fixture_start(&scene.broker, &pcl_broker_role, zpl);
    fixture_wait_metric(&scene.broker, &scene.proxy, UP);
    scene.gatekeeper = s_dealer(&scene);
    zsock_t *dead = s_dealer(&scene);
    pcl_head head = s_head(9, 30000000);
    s_send(dead, &head, "SELECT 1", 9);
    s_query(&scene, "SELECT 1", 8, 30000000);
    fake_wait_held(&scene.proxy, 2);
    uint64_t since_us = pcl_now_us();
    hop_plain_destroy(&dead);
    fake_wait_hints(&scene.proxy, 1);
    assert_true(pcl_now_us() - since_us < PCL_BEATS_GONE * PCL_BEAT_INTERVAL_MS * 500);
    fake_turn_ms(&scene.proxy, 30);
    assert_int_equal(scene.proxy.hint_count, 1);
    assert_int_equal(scene.proxy.hints[0].id[0], 9);
    s_close(&scene);
}

/* --- Keys -------------------------------------------------------------------- */

/* A gatekeeper whose key is taken off the list loses its connection. */
static void test_only_a_gatekeeper_of_the_list_is_listened_to(void **state)
{
    (void)state;
    key_vault vault;
    s_scene scene;
    char zpl[1024];
    vault_open(&vault, "gatekeeper1");
    assert_true(pcl_zap_start());
    fake_open(&scene.proxy, "inproc://proxy-curve");
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"%s\"\n    keys = \"%s\"\n"
                   "curve\n    key_file = \"%s\"\n"
                   "proxy\n    endpoint = \"inproc://proxy-curve\"\n",
                   vault.endpoint, vault.list_file, vault.key_file);
    fixture_start(&scene.broker, &pcl_broker_role, zpl);
    fixture_wait_metric(&scene.broker, &scene.proxy, UP);
    scene.gatekeeper = zsock_new(ZMQ_DEALER);
    vault_connect(&vault, scene.gatekeeper, &vault.client);
    s_query(&scene, "SELECT 1", 1, 5000000);
    fake_wait_held(&scene.proxy, 1);

    vault_write_list(&vault, "gatekeeper2", vault.stranger.public_key);
    fixture_reload(&scene.broker, &pcl_broker_role, zpl);
    fake_wait_hints(&scene.proxy, 1); /* what it had in flight is stopped */
    assert_int_equal(scene.proxy.hints[0].kind, PCL_KIND_CANCEL);
    s_query(&scene, "SELECT 2", 2, 5000000);
    assert_null(fixture_recv(scene.gatekeeper, &scene.proxy, 100));
    assert_int_equal(scene.proxy.held_count, 1);
    s_close(&scene);
    pcl_zap_stop();
    vault_close(&vault);
}

/* --- Orderly stop ------------------------------------------------------------ */

static void test_draining_says_so_and_finishes(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    s_query(&scene, "SELECT 1", 1, 5000000);
    fake_wait_held(&scene.proxy, 1);
    fixture_drain(&scene.broker);
    pcl_hop_message bye;
    s_recv(&scene, scene.gatekeeper, &bye);
    assert_int_equal(bye.head.kind, PCL_KIND_BYE);
    assert_true(pcl_head_boot_id(&bye.head) == scene.broker.args.boot_id);
    pcl_hop_close(&bye);
    s_query(&scene, "SELECT 2", 2, 5000000);
    s_expect_error(&scene, 2, PCL_ERR_DRAINING, PCL_RETRY_SAFE, NULL);
    pcl_head ping = {.kind = PCL_KIND_PING, .sent_us = pcl_now_us()};
    assert_int_equal(pcl_hop_send(scene.gatekeeper, NULL, &ping, NULL, NULL), PCL_ERR_OK);
    pcl_hop_message pong;
    s_recv(&scene, scene.gatekeeper, &pong);
    assert_int_equal(pong.head.flags, PCL_HEAD_DRAINING);
    pcl_hop_close(&pong);
    assert_false(fixture_ended(&scene.broker, 30));
    fake_reply(&scene.proxy, 0, PCL_ERR_OK, "the last");
    pcl_hop_message reply;
    s_recv(&scene, scene.gatekeeper, &reply);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&reply.payload), "the last"));
    pcl_hop_close(&reply);
    assert_true(fixture_ended(&scene.broker, FIXTURE_END_MS));
    s_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_goes_on_with_the_brokers_own_reading),
        cmocka_unit_test(test_two_gatekeepers_with_the_same_ticket_are_kept_apart),
        cmocka_unit_test(test_a_ping_is_answered_with_who_we_are),
        cmocka_unit_test(test_policy_speaks),
        cmocka_unit_test(test_the_policy_lists_functions_that_reads_may_call),
        cmocka_unit_test(test_a_head_that_contradicts_its_payload_is_refused),
        cmocka_unit_test(test_garbage_between_daemons_is_counted),
        cmocka_unit_test(test_work_that_came_too_late_goes_no_further),
        cmocka_unit_test(test_time_on_the_way_counts),
        cmocka_unit_test(test_a_deadline_is_answered_before_the_gatekeeper_does),
        cmocka_unit_test(test_without_a_proxy_the_answer_is_unavailable_at_once),
        cmocka_unit_test(test_what_has_not_left_for_a_proxy_that_does_not_read_is_safe),
        cmocka_unit_test(test_a_proxy_that_starts_again_has_lost_what_it_held),
        cmocka_unit_test(test_a_full_table_is_overloaded),
        cmocka_unit_test(test_a_gatekeeper_that_left_costs_its_replies_and_nothing_else),
        cmocka_unit_test(test_a_cancel_goes_on_with_our_ticket),
        cmocka_unit_test(test_a_release_goes_on_with_its_principal),
        cmocka_unit_test(test_what_a_reply_opened_or_ended_is_passed_up),
        cmocka_unit_test(test_what_was_opened_for_a_gatekeeper_that_left_is_released),
        cmocka_unit_test(test_the_requests_of_a_silent_gatekeeper_are_cancelled),
        cmocka_unit_test(test_the_requests_of_a_gatekeeper_that_died_are_cancelled_at_once),
        cmocka_unit_test(test_only_a_gatekeeper_of_the_list_is_listened_to),
        cmocka_unit_test(test_draining_says_so_and_finishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
