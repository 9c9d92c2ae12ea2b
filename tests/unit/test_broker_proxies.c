/* A broker with two proxies, both played: where requests go, and what becomes of them. */
#include "broker/broker.h"
#include "sql/classify.h"

#include "tests/lib/role_fixture.h"

#define UP(name)   "portcullis_broker_next_up{next=\"" name "\"} 1"
#define DOWN(name) "portcullis_broker_next_up{next=\"" name "\"} 0"

typedef struct s_scene {
    role_fixture broker;
    fake_hop proxies[2];
    zsock_t *gatekeeper; /* DEALER, which the test plays */
} s_scene;

static void s_turn(s_scene *self)
{
    for (uint32_t index = 0; index < 2; index++) {
        if (self->proxies[index].socket != NULL) {
            fake_turn(&self->proxies[index]);
        }
    }
}

static void s_wait_metric(s_scene *self, const char *line)
{
    fixture_wait_metric(&self->broker, &self->proxies[0], line);
}

static void s_open(s_scene *self)
{
    static int number = 0;
    char gate[64];
    char first[64];
    char second[64];
    char zpl[512];
    number++;
    (void)snprintf(gate, sizeof gate, "inproc://pair-gate-%d", number);
    (void)snprintf(first, sizeof first, "inproc://pair-first-%d", number);
    (void)snprintf(second, sizeof second, "inproc://pair-second-%d", number);
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"%s\"\nproxy\n    endpoint = \"%s\"\n"
                   "proxy2\n    endpoint = \"%s\"\n",
                   gate, first, second);
    fake_open(&self->proxies[0], first);
    fake_open(&self->proxies[1], second);
    fixture_start(&self->broker, &pcl_broker_role, zpl);
    self->gatekeeper = zsock_new(ZMQ_DEALER);
    assert_non_null(self->gatekeeper);
    zsock_set_linger(self->gatekeeper, 0);
    assert_int_equal(zsock_connect(self->gatekeeper, "%s", gate), 0);
    fixture_wait_metric(&self->broker, &self->proxies[0], UP("proxy"));
    fixture_wait_metric(&self->broker, &self->proxies[1], UP("proxy2"));
}

static void s_close(s_scene *self)
{
    hop_plain_destroy(&self->gatekeeper);
    fixture_stop(&self->broker);
    for (uint32_t index = 0; index < 2; index++) {
        if (self->proxies[index].socket != NULL) {
            fake_close(&self->proxies[index]);
        }
    }
}

/* session: all octets of its handle; 0: none. */
static void s_ask(s_scene *self, pcl_op op, const char *sql, uint8_t id, uint8_t session)
{
    pcl_head head = {.ticket = 1000u * (1u + op) + id,
                     .kind = PCL_KIND_REQUEST,
                     .op = op,
                     .budget_us = 5000000,
                     .sent_us = pcl_now_us(),
                     .principal = pcl_bytes_text("alice")};
    pcl_request request = {
        .op = op, .sql = pcl_bytes_text(sql), .has_id = true, .has_session = session != 0};
    memset(head.id, id, sizeof head.id);
    memset(request.id, id, sizeof request.id);
    memset(request.session, session, sizeof request.session);
    pcl_held_id_set_page(request.session, 0);
    pcl_buffer octets;
    pcl_buffer_init(&octets, 65536);
    pcl_request_encode(&request, &octets);
    zmq_msg_t payload;
    pcl_frame_of_buffer(&payload, &octets);
    pcl_err err = pcl_hop_send(self->gatekeeper, NULL, &head, &payload, NULL);
    assert_int_equal(err, PCL_ERR_OK);
    zmq_msg_close(&payload);
}

static void s_send(s_scene *self, const char *sql, uint8_t id, uint8_t session)
{
    s_ask(self, PCL_OP_QUERY, sql, id, session);
}

static uint32_t s_held(const s_scene *self)
{
    return self->proxies[0].held_count + self->proxies[1].held_count;
}

/* Until both together hold that many requests. */
static void s_wait_held(s_scene *self, uint32_t count)
{
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000; s_held(self) < count;) {
        s_turn(self);
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
}

/* The proxy that holds the only request. */
static uint32_t s_holder(const s_scene *self)
{
    assert_int_equal(s_held(self), 1);
    return self->proxies[0].held_count == 1 ? 0 : 1;
}

/* The next reply is to that id and of that code. */
static void s_expect(s_scene *self, uint8_t id, pcl_err code, pcl_retry retry)
{
    pcl_hop_message message;
    for (uint64_t until_us = pcl_now_us() + FIXTURE_WAIT_MS * 1000;;) {
        s_turn(self);
        if (hop_plain_recv(&message, self->gatekeeper, false) == PCL_HOP_MESSAGE) {
            break;
        }
        assert_true(pcl_now_us() < until_us);
        zclock_sleep(1);
    }
    assert_int_equal(message.head.kind, PCL_KIND_REPLY);
    assert_int_equal(message.head.id[5], id);
    assert_int_equal(message.head.code, code);
    assert_int_equal(message.head.retry, retry);
    pcl_hop_close(&message);
}

/* The same boot says that it goes, and the broker has heard it. */
static void s_leave(s_scene *self, uint32_t index)
{
    self->proxies[index].pong_flags = PCL_HEAD_DRAINING;
    fixture_wait_metric(&self->broker, &self->proxies[index],
                        index == 0 ? DOWN("proxy") : DOWN("proxy2"));
}

/* Of the oldest that it holds. */
static void s_say(s_scene *self, uint32_t index, pcl_err code, pcl_retry retry)
{
    fake_hop *proxy = &self->proxies[index];
    pcl_hop_message *request = &proxy->held[0];
    pcl_head head = {.ticket = request->head.ticket,
                     .kind = PCL_KIND_REPLY,
                     .code = code,
                     .retry = retry,
                     .sent_us = pcl_now_us()};
    memcpy(head.id, request->head.id, sizeof head.id);
    assert_int_equal(pcl_hop_send(proxy->socket, &request->peer, &head, NULL, NULL), PCL_ERR_OK);
    fake_forget(proxy, 0);
}

static void s_refuse(s_scene *self, uint32_t index, pcl_err code)
{
    s_say(self, index, code, PCL_RETRY_SAFE);
}

/* A RELEASE of the session has come there, and nothing else. */
static void s_expect_release(s_scene *self, uint32_t index, uint8_t session)
{
    fake_wait_hints(&self->proxies[index], 1);
    const fake_hint *hint = &self->proxies[index].hints[0];
    assert_int_equal(self->proxies[index].hint_count, 1);
    assert_int_equal(hint->kind, PCL_KIND_RELEASE);
    assert_int_equal(hint->session[0], session);
    assert_int_equal(pcl_held_id_page(hint->session), 0);
    assert_string_equal(hint->principal, "alice");
}

/* --- Where it goes ----------------------------------------------------------- */

static void test_requests_are_spread_over_both(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint8_t id = 1; id <= 10; id++) {
        s_send(&scene, "SELECT 1", id, 0);
    }
    s_wait_held(&scene, 10);
    assert_int_equal(scene.proxies[0].held_count, 5);
    assert_int_equal(scene.proxies[1].held_count, 5);
    s_close(&scene);
}

static void test_the_idler_one_gets_the_next(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint8_t id = 1; id <= 8; id++) {
        s_send(&scene, "SELECT 1", id, 0);
    }
    s_wait_held(&scene, 8);
    while (scene.proxies[1].held_count > 0) {
        uint8_t id = scene.proxies[1].held[0].head.id[0];
        fake_reply(&scene.proxies[1], 0, PCL_ERR_SQL, "x");
        s_expect(&scene, id, PCL_ERR_SQL, PCL_RETRY_NEVER);
    }
    for (uint8_t id = 11; id <= 14; id++) {
        s_send(&scene, "SELECT 1", id, 0);
    }
    s_wait_held(&scene, 8);
    assert_int_equal(scene.proxies[0].held_count, 4);
    s_close(&scene);
}

static void test_a_session_stays_together_while_something_of_it_is_in_flight(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint8_t id = 1; id <= 6; id++) {
        s_send(&scene, "SELECT 1", id, 9);
    }
    s_wait_held(&scene, 6);
    uint32_t there = scene.proxies[0].held_count > 0 ? 0 : 1;
    assert_int_equal(scene.proxies[there].held_count, 6);
    for (uint32_t index = 0; index < 6; index++) { /* in their order */
        assert_int_equal(scene.proxies[there].held[index].head.id[0], index + 1);
    }
    s_send(&scene, "SELECT 1", 7, 0);
    s_wait_held(&scene, 7);
    assert_int_equal(scene.proxies[1 - there].held_count, 1);
    s_close(&scene);
}

static void test_one_that_drains_gets_nothing_new_and_finishes(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "INSERT INTO t VALUES (1)", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_leave(&scene, there);
    for (uint8_t id = 2; id <= 5; id++) {
        s_send(&scene, "SELECT 1", id, 0);
    }
    s_wait_held(&scene, 5);
    assert_int_equal(scene.proxies[1 - there].held_count, 4);
    fake_reply(&scene.proxies[there], 0, PCL_ERR_SQL, "x");
    s_expect(&scene, 1, PCL_ERR_SQL, PCL_RETRY_NEVER);
    s_close(&scene);
}

/* --- What is lost ------------------------------------------------------------- */

static void test_the_loss_of_one_concerns_what_it_had(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "INSERT INTO t VALUES (1)", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_send(&scene, "INSERT INTO t VALUES (2)", 2, 0);
    s_wait_held(&scene, 2);
    assert_int_equal(scene.proxies[1 - there].held_count, 1);
    fake_close(&scene.proxies[there]);
    s_expect(&scene, 1, PCL_ERR_LOST, PCL_RETRY_UNSAFE);
    fake_reply(&scene.proxies[1 - there], 0, PCL_ERR_SQL, "x");
    s_expect(&scene, 2, PCL_ERR_SQL, PCL_RETRY_NEVER);
    s_close(&scene);
}

static void test_a_read_that_was_lost_goes_to_the_other_and_once_only(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "SELECT 1", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    uint64_t ticket = scene.proxies[there].held[0].head.ticket;
    fake_close(&scene.proxies[there]);
    s_wait_held(&scene, 1);
    assert_int_equal(scene.proxies[1 - there].held_count, 1);
    const pcl_head *again = &scene.proxies[1 - there].held[0].head;
    assert_true(again->ticket == ticket);
    assert_int_equal(again->sql_class, PCL_SQL_READ);
    assert_true(pcl_bytes_is(again->principal, "alice"));
    assert_true(pcl_bytes_is(again->role, "app"));
    assert_true(zmq_msg_size(&scene.proxies[1 - there].held[0].payload) > 0);
    assert_int_equal(fixture_counter(&scene.broker, "portcullis_broker_requests_again_total", ""),
                     1);
    fake_close(&scene.proxies[1 - there]);
    s_expect(&scene, 1, PCL_ERR_LOST, PCL_RETRY_SAFE);
    s_close(&scene);
}

static void test_what_belongs_to_a_session_is_not_read_twice(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "SELECT 1", 1, 9);
    s_wait_held(&scene, 1);
    fake_close(&scene.proxies[s_holder(&scene)]);
    s_expect(&scene, 1, PCL_ERR_LOST, PCL_RETRY_SAFE);
    assert_int_equal(s_held(&scene), 0);
    s_close(&scene);
}

/* It may run yet: a silent proxy goes on one day. */
static void test_a_session_of_which_a_write_was_lost_ends(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "INSERT INTO t VALUES (1)", 1, 9);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    fake_close(&scene.proxies[there]);
    s_expect(&scene, 1, PCL_ERR_LOST, PCL_RETRY_UNSAFE);
    s_expect_release(&scene, 1 - there, 9);
    s_close(&scene);
}

static void test_a_session_of_which_a_proxy_lost_a_write_ends(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "INSERT INTO t VALUES (1)", 1, 9);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_say(&scene, there, PCL_ERR_LOST, PCL_RETRY_UNSAFE);
    s_expect(&scene, 1, PCL_ERR_LOST, PCL_RETRY_UNSAFE);
    s_expect_release(&scene, 1 - there, 9);
    assert_int_equal(scene.proxies[there].hint_count, 0);
    s_close(&scene);
}

/* --- What is refused ---------------------------------------------------------- */

static void test_a_write_that_a_stopping_proxy_refused_goes_to_the_other(void **state)
{
    (void)state;
    static const pcl_err CODES[] = {PCL_ERR_DRAINING, PCL_ERR_NO_NODE};
    for (size_t index = 0; index < 2; index++) {
        s_scene scene;
        s_open(&scene);
        s_send(&scene, "INSERT INTO t VALUES (1)", 1, 0);
        s_wait_held(&scene, 1);
        uint32_t there = s_holder(&scene);
        s_refuse(&scene, there, CODES[index]);
        s_wait_held(&scene, 1);
        assert_int_equal(s_holder(&scene), 1 - there);
        s_refuse(&scene, 1 - there, CODES[index]); /* both did: so it is */
        s_expect(&scene, 1, CODES[index], PCL_RETRY_SAFE);
        s_close(&scene);
    }
}

/* Else the second would run, and the first be asked for again behind it. */
static void test_what_is_behind_a_refused_one_of_its_session_is_refused_too(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint8_t id = 1; id <= 3; id++) {
        s_send(&scene, "UPDATE t SET n = 1", id, 9);
    }
    s_wait_held(&scene, 3);
    uint32_t there = scene.proxies[0].held_count > 0 ? 0 : 1;
    for (uint8_t id = 1; id <= 3; id++) {
        s_refuse(&scene, there, PCL_ERR_DRAINING);
        s_expect(&scene, id, PCL_ERR_DRAINING, PCL_RETRY_SAFE);
    }
    assert_int_equal(s_held(&scene), 0);
    s_close(&scene);
}

/* A proxy that does not see the node any more is not the last to be asked. */
static void test_a_session_that_one_calls_gone_is_looked_for_at_the_other(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "UPDATE t SET n = 1", 1, 9);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_say(&scene, there, PCL_ERR_GONE, PCL_RETRY_NEVER);
    s_wait_held(&scene, 1);
    assert_int_equal(s_holder(&scene), 1 - there);
    s_say(&scene, 1 - there, PCL_ERR_GONE, PCL_RETRY_NEVER);
    s_expect(&scene, 1, PCL_ERR_GONE, PCL_RETRY_NEVER);
    s_close(&scene);
}

static void test_a_cancel_reaches_what_is_at_one_that_drains(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "SELECT 1", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_leave(&scene, there);
    s_ask(&scene, PCL_OP_CANCEL, "", 1, 0);
    s_wait_held(&scene, 2);
    fake_wait_hints(&scene.proxies[there], 1);
    assert_int_equal(scene.proxies[there].hints[0].kind, PCL_KIND_CANCEL);
    assert_true(scene.proxies[there].hints[0].ticket == scene.proxies[there].held[0].head.ticket);
    assert_int_equal(scene.proxies[1 - there].held[0].head.op, PCL_OP_CANCEL);
    s_close(&scene);
}

static void test_who_refuses_at_once_does_not_draw_everything(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "SELECT 1", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_refuse(&scene, there, PCL_ERR_NO_NODE);
    for (uint8_t id = 2; id <= 6; id++) {
        s_send(&scene, "SELECT 1", id, 0);
    }
    s_wait_held(&scene, 6);
    assert_int_equal(scene.proxies[there].held_count, 0);
    s_close(&scene);
}

/* --- What is not believed ------------------------------------------------------ */

static void test_a_reply_counts_only_where_its_request_is(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    s_send(&scene, "SELECT 1", 1, 0);
    s_wait_held(&scene, 1);
    uint32_t there = s_holder(&scene);
    s_send(&scene, "SELECT 2", 2, 0); /* brings the other one the broker's routing id */
    s_wait_held(&scene, 2);
    fake_hop *other = &scene.proxies[1 - there];
    pcl_head forged = {.ticket = scene.proxies[there].held[0].head.ticket,
                       .kind = PCL_KIND_REPLY,
                       .code = PCL_ERR_SQL,
                       .sent_us = pcl_now_us()};
    memcpy(forged.id, scene.proxies[there].held[0].head.id, sizeof forged.id);
    assert_int_equal(pcl_hop_send(other->socket, &other->held[0].peer, &forged, NULL, NULL),
                     PCL_ERR_OK);
    fake_reply(other, 0, PCL_ERR_SQL, "mine");
    s_expect(&scene, 2, PCL_ERR_SQL,
             PCL_RETRY_NEVER); /* behind the forged one, which is nobody's */
    fake_reply(&scene.proxies[there], 0, PCL_ERR_BEHIND, "true");
    s_expect(&scene, 1, PCL_ERR_BEHIND, PCL_RETRY_NEVER);
    s_wait_metric(&scene, "portcullis_broker_replies_dropped_total{cause=\"stale\"} 1");
    s_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_spread_over_both),
        cmocka_unit_test(test_the_idler_one_gets_the_next),
        cmocka_unit_test(test_a_session_stays_together_while_something_of_it_is_in_flight),
        cmocka_unit_test(test_one_that_drains_gets_nothing_new_and_finishes),
        cmocka_unit_test(test_the_loss_of_one_concerns_what_it_had),
        cmocka_unit_test(test_a_read_that_was_lost_goes_to_the_other_and_once_only),
        cmocka_unit_test(test_what_belongs_to_a_session_is_not_read_twice),
        cmocka_unit_test(test_a_session_of_which_a_write_was_lost_ends),
        cmocka_unit_test(test_a_session_of_which_a_proxy_lost_a_write_ends),
        cmocka_unit_test(test_a_write_that_a_stopping_proxy_refused_goes_to_the_other),
        cmocka_unit_test(test_what_is_behind_a_refused_one_of_its_session_is_refused_too),
        cmocka_unit_test(test_a_session_that_one_calls_gone_is_looked_for_at_the_other),
        cmocka_unit_test(test_a_cancel_reaches_what_is_at_one_that_drains),
        cmocka_unit_test(test_who_refuses_at_once_does_not_draw_everything),
        cmocka_unit_test(test_a_reply_counts_only_where_its_request_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
