/* Clients that leave, over real connections: what they had in flight is cancelled, and what they
 * held is released. */
#include "common/endian.h"
#include "gatekeeper/gatekeeper.h"

#include "tests/lib/key_vault.h"
#include "tests/lib/role_fixture.h"

#define UP   "portcullis_gatekeeper_link_up 1"
#define HELD PCL_HEAD_HELD

typedef struct s_scene {
    role_fixture gatekeeper;
    fake_hop broker;
    char clients[64]; /* endpoint */
} s_scene;

static void s_open_at(s_scene *self, const char *clients, const char *more)
{
    static int number = 0;
    char broker[64];
    char zpl[1024];
    (void)snprintf(self->clients, sizeof self->clients, "%s", clients);
    (void)snprintf(broker, sizeof broker, "inproc://broker-%d", number++);
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\nbroker\n    endpoint = \"%s\"\n"
                   "curve\n    insecure = 1\n%s",
                   self->clients, broker, more);
    fake_open(&self->broker, broker);
    fixture_start(&self->gatekeeper, &pcl_gatekeeper_role, zpl);
    fixture_wait_metric(&self->gatekeeper, &self->broker, UP);
}

static void s_open(s_scene *self, const char *more)
{
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", vault_free_port());
    s_open_at(self, endpoint, more);
}

static void s_close(s_scene *self)
{
    fixture_stop(&self->gatekeeper);
    fake_close(&self->broker);
}

static zsock_t *s_client(const s_scene *self, int type)
{
    zsock_t *client = zsock_new(type);
    assert_non_null(client);
    zsock_set_linger(client, 0);
    assert_int_equal(zsock_connect(client, "%s", self->clients), 0);
    return client;
}

static void s_send(zsock_t *client, const char *sql, uint8_t id)
{
    pcl_buffer request;
    fixture_request(&request, sql, id, 30000);
    zmsg_t *message = zmsg_new();
    if (zsock_type(client) == ZMQ_DEALER) {
        zmsg_addstr(message, "");
    }
    zmsg_addmem(message, request.data, request.size);
    fixture_send(client, message);
    pcl_buffer_release(&request);
}

/* Asks, and answers that with these flags; the client has the reply when this returns. */
static void s_ask(s_scene *self, zsock_t *client, uint8_t id, uint8_t flags, uint8_t session)
{
    s_send(client, "SELECT 1", id);
    fake_wait_held(&self->broker, 1);
    fake_reply_with(&self->broker, 0, PCL_ERR_OK, "an answer", flags, session);
    zmsg_t *reply = fixture_recv(client, &self->broker, FIXTURE_WAIT_MS);
    assert_non_null(reply);
    zmsg_destroy(&reply);
}

static void s_wait(s_scene *self, const char *line)
{
    fixture_wait_metric(&self->gatekeeper, &self->broker, line);
}

/* How many hints of that kind and octet (of the id, or of the session) came. */
static uint32_t s_hints(const s_scene *self, pcl_kind kind, uint8_t octet)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < self->broker.hint_count; index++) {
        const fake_hint *hint = &self->broker.hints[index];
        const uint8_t *id = kind == PCL_KIND_CANCEL ? hint->id : hint->session;
        /* The last two octets of a session are its page, 0. */
        count += hint->kind == kind && id[0] == octet && id[13] == octet ? 1 : 0;
    }
    return count;
}

static void test_a_client_that_leaves_takes_its_requests_with_it(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_client(&scene, ZMQ_DEALER);
    zsock_t *client = s_client(&scene, ZMQ_DEALER);
    s_send(gone, "SELECT 1", 1);
    s_send(gone, "DELETE FROM t", 2);
    s_send(client, "SELECT 3", 3);
    fake_wait_held(&scene.broker, 3);
    zsock_destroy(&gone);
    fake_wait_hints(&scene.broker, 2);
    fake_turn_ms(&scene.broker, 30);
    assert_int_equal(scene.broker.hint_count, 2);
    for (uint32_t index = 0; index < scene.broker.held_count; index++) {
        const pcl_head *head = &scene.broker.held[index].head;
        assert_int_equal(s_hints(&scene, PCL_KIND_CANCEL, head->id[0]), head->id[0] != 3 ? 1 : 0);
        assert_true(head->id[0] == 3 || head->ticket == scene.broker.hints[0].ticket ||
                    head->ticket == scene.broker.hints[1].ticket);
    }
    while (scene.broker.held_count > 0) {
        fake_reply(&scene.broker, 0, PCL_ERR_CANCELLED, "stopped");
    }
    s_wait(&scene, "portcullis_gatekeeper_requests_in_flight 0");
    s_wait(&scene, "portcullis_gatekeeper_clients 1");
    zsock_destroy(&client);
    s_wait(&scene, "portcullis_gatekeeper_clients 0");
    s_close(&scene);
}

static void test_a_client_that_leaves_lets_go_of_what_it_held(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_client(&scene, ZMQ_REQ);
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    s_ask(&scene, gone, 1, HELD, 0x11);
    s_ask(&scene, gone, 2, HELD, 0x12);
    s_ask(&scene, gone, 3, HELD, 0x13);
    s_ask(&scene, gone, 4, PCL_HEAD_RELEASED, 0x12);
    s_ask(&scene, client, 5, HELD, 0x14);
    s_wait(&scene, "portcullis_gatekeeper_held 3");
    zsock_destroy(&gone);
    fake_wait_hints(&scene.broker, 2);
    s_wait(&scene, "portcullis_gatekeeper_held 1");
    assert_int_equal(scene.broker.hint_count, 2);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 0x11), 1);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 0x13), 1);
    assert_string_equal(scene.broker.hints[0].principal, "anonymous");
    zsock_destroy(&client);
    fake_wait_hints(&scene.broker, 3);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 0x14), 1);
    s_close(&scene);
}

/* The session was opened for a client that is not there to hear of it. */
static void test_what_is_opened_for_nobody_is_released(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *gone = s_client(&scene, ZMQ_DEALER);
    s_send(gone, "SELECT 1", 1);
    fake_wait_held(&scene.broker, 1);
    zsock_destroy(&gone);
    fake_wait_hints(&scene.broker, 1);
    fake_reply_with(&scene.broker, 0, PCL_ERR_OK, "a session", HELD, 0x21);
    fake_wait_hints(&scene.broker, 2);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 0x21), 1);
    assert_string_equal(scene.broker.hints[1].principal, "anonymous");
    s_close(&scene);
}

/* Over inproc nobody sees a connection end; then the reply that cannot be delivered tells. */
static void test_without_a_connection_an_undelivered_reply_tells(void **state)
{
    (void)state;
    s_scene scene;
    s_open_at(&scene, "inproc://leaving-clients", "");
    zsock_t *gone = s_client(&scene, ZMQ_DEALER);
    s_send(gone, "SELECT 1", 1);
    fake_wait_held(&scene.broker, 1);
    zsock_destroy(&gone);
    fake_turn_ms(&scene.broker, 30);
    assert_int_equal(scene.broker.hint_count, 0);
    fake_reply_with(&scene.broker, 0, PCL_ERR_OK, "a session", HELD, 0x22);
    fake_wait_hints(&scene.broker, 1);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 0x22), 1);
    s_close(&scene);
}

/* One descriptor after the other is closed and taken again, and each client's work is its own. */
static void test_clients_that_come_and_go_are_kept_apart(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    s_scene scene;
    s_open(&scene, "");
    for (uint8_t round = 1; round <= ROUNDS; round++) {
        zsock_t *client = s_client(&scene, ZMQ_DEALER);
        s_ask(&scene, client, round, HELD, round);
        s_send(client, "SELECT 1", round);
        fake_wait_held(&scene.broker, 1);
        zsock_destroy(&client);
        fake_wait_hints(&scene.broker, 2u * round);
        assert_int_equal(s_hints(&scene, PCL_KIND_CANCEL, round), 1);
        assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, round), 1);
        fake_reply(&scene.broker, 0, PCL_ERR_CANCELLED, "stopped");
    }
    s_wait(&scene, "portcullis_gatekeeper_requests_in_flight 0");
    s_wait(&scene, "portcullis_gatekeeper_clients 0");
    s_wait(&scene, "portcullis_gatekeeper_held 0");
    s_close(&scene);
}

/* Many at once, each of which leaves with a request on its way: whatever is read of them after
 * their end is stopped, and the tables are empty in the end. */
static void test_a_crowd_that_leaves_at_once_leaves_nothing(void **state)
{
    (void)state;
    enum { CLIENTS = 40 };
    s_scene scene;
    s_open(&scene, "");
    zsock_t *clients[CLIENTS];
    for (uint8_t index = 0; index < CLIENTS; index++) {
        clients[index] = s_client(&scene, ZMQ_DEALER);
        s_ask(&scene, clients[index], (uint8_t)(index + 1), HELD, (uint8_t)(index + 1));
    }
    for (uint8_t index = 0; index < CLIENTS; index++) {
        zsock_set_linger(clients[index], 200);
        s_send(clients[index], "DELETE FROM t", (uint8_t)(index + 1));
        zsock_destroy(&clients[index]);
    }
    s_wait(&scene, "portcullis_gatekeeper_held 0");
    s_wait(&scene, "portcullis_gatekeeper_clients 0");
    fake_turn_ms(&scene.broker, 50);
    uint32_t released = 0;
    for (uint8_t index = 1; index <= CLIENTS; index++) {
        released += s_hints(&scene, PCL_KIND_RELEASE, index);
    }
    assert_int_equal(released, CLIENTS);
    for (uint32_t index = 0; index < scene.broker.held_count; index++) {
        uint8_t octet = scene.broker.held[index].head.id[0];
        assert_int_equal(s_hints(&scene, PCL_KIND_CANCEL, octet), 1);
    }
    while (scene.broker.held_count > 0) {
        fake_reply(&scene.broker, 0, PCL_ERR_CANCELLED, "stopped");
    }
    s_wait(&scene, "portcullis_gatekeeper_requests_in_flight 0");
    s_close(&scene);
}

static void test_what_a_client_holds_is_bounded(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "limits\n    held_client_max = 2\n");
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    s_ask(&scene, client, 1, HELD, 1);
    s_ask(&scene, client, 2, HELD, 2);
    s_ask(&scene, client, 3, HELD, 3);
    s_wait(&scene, "portcullis_gatekeeper_held 2");
    zsock_destroy(&client);
    fake_wait_hints(&scene.broker, 2);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 1), 0); /* ends when it was idle */
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 2), 1);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 3), 1);
    s_close(&scene);
}

/* Its clients' connections end with it. */
static void test_a_gatekeeper_that_stops_lets_go_of_everything(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene, "");
    zsock_t *one = s_client(&scene, ZMQ_REQ);
    zsock_t *two = s_client(&scene, ZMQ_REQ);
    s_ask(&scene, one, 1, HELD, 1);
    s_ask(&scene, two, 2, HELD, 2);
    scene.broker.mute = true; /* who pinged is not there any more when we read it */
    fixture_drain(&scene.gatekeeper);
    assert_true(fixture_ended(&scene.gatekeeper, FIXTURE_END_MS));
    fake_wait_hints(&scene.broker, 2);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 1), 1);
    assert_int_equal(s_hints(&scene, PCL_KIND_RELEASE, 2), 1);
    zsock_destroy(&one);
    zsock_destroy(&two);
    s_close(&scene);
}

/* --- A message without end -------------------------------------------------------- */

static bool s_write(int fd, const void *octets, size_t size)
{
    const uint8_t *at = octets;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* ZMTP 3.0 without security, as far as a DEALER's READY (ZeroMQ RFC 23). */
static int s_raw_client(const s_scene *self)
{
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                   "DEALER";
    uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(strrchr(self->clients, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(s_write(fd, greeting, sizeof greeting));
    assert_true(s_write(fd, ready, sizeof ready - 1));
    return fd;
}

/* libzmq bounds a frame and hands out whole messages only: without more, its memory would grow for
 * as long as somebody sends. */
static void test_a_message_without_end_ends_its_connection(void **state)
{
    (void)state;
    enum { FRAME_SIZE = 1024 * 1024, FRAMES_MAX = 2000, FRAMES_LEGAL = 17 };
    static uint8_t frame[9 + FRAME_SIZE] = {0x03}; /* large, more to come */
    pcl_put_be(frame + 1, FRAME_SIZE, 8);
    s_scene scene;
    s_open(&scene, "");
    zsock_t *client = s_client(&scene, ZMQ_REQ);
    s_ask(&scene, client, 1, 0, 0);
    zclock_sleep(150); /* the guard knows what memory is usual */
    int fd = s_raw_client(&scene);
    int frames = 0;
    while (frames < FRAMES_MAX && s_write(fd, frame, sizeof frame)) {
        frames++;
        fake_turn(&scene.broker);
        zclock_sleep(1);
    }
    assert_in_range(frames, FRAMES_LEGAL, FRAMES_MAX - 1);
    s_wait(&scene, "portcullis_gatekeeper_connections_cut_total 1");
    s_ask(&scene, client, 2, 0, 0); /* nobody else is harmed */
    assert_int_equal(close(fd), 0);
    zsock_destroy(&client);
    s_close(&scene);
}

/* The page of a fetch cannot be had again, a commit may have happened. */
static void test_what_a_lost_broker_means_for_sessions_and_cursors(void **state)
{
    (void)state;
    static const struct {
        pcl_op op;
        const char *retry, *said;
    } cases[] = {
        {PCL_OP_BEGIN, "safe", "gone"},    {PCL_OP_COMMIT, "unsafe", "whether it committed"},
        {PCL_OP_ROLLBACK, "safe", "gone"}, {PCL_OP_FETCH, "never", "its page is lost"},
        {PCL_OP_CLOSE, "safe", "gone"},    {PCL_OP_CANCEL, "safe", "gone"},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    s_scene scene;
    s_open(&scene, "");
    zsock_t *clients[CASES];
    for (uint32_t index = 0; index < CASES; index++) {
        pcl_op op = cases[index].op;
        pcl_request request = {.op = op,
                               .has_id = true,
                               .id = {(uint8_t)(index + 1)},
                               .has_session = op == PCL_OP_COMMIT || op == PCL_OP_ROLLBACK,
                               .session = {0x51},
                               .has_cursor = op == PCL_OP_FETCH || op == PCL_OP_CLOSE,
                               .cursor = {0x52}};
        pcl_buffer octets;
        pcl_buffer_init(&octets, 4096);
        pcl_request_encode(&request, &octets);
        clients[index] = s_client(&scene, ZMQ_REQ);
        zmsg_t *message = zmsg_new();
        zmsg_addmem(message, octets.data, octets.size);
        fixture_send(clients[index], message);
        pcl_buffer_release(&octets);
        fake_wait_held(&scene.broker, index + 1);
        const pcl_head *head = &scene.broker.held[index].head;
        assert_int_equal(head->op, op);
        assert_int_equal(head->session[0], request.has_session  ? 0x51
                                           : request.has_cursor ? 0x52
                                                                : 0);
    }
    scene.broker.boot_id = 2;
    for (uint32_t index = 0; index < CASES; index++) {
        char text[256];
        zmsg_t *reply = fixture_recv(clients[index], &scene.broker, FIXTURE_WAIT_MS);
        assert_error_reply(reply, "LOST", cases[index].retry, "gatekeeper");
        assert_non_null(strstr(error_message_of(reply, text), cases[index].said));
        zmsg_destroy(&reply);
        zsock_destroy(&clients[index]);
    }
    s_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_that_leaves_takes_its_requests_with_it),
        cmocka_unit_test(test_a_client_that_leaves_lets_go_of_what_it_held),
        cmocka_unit_test(test_what_is_opened_for_nobody_is_released),
        cmocka_unit_test(test_without_a_connection_an_undelivered_reply_tells),
        cmocka_unit_test(test_clients_that_come_and_go_are_kept_apart),
        cmocka_unit_test(test_a_crowd_that_leaves_at_once_leaves_nothing),
        cmocka_unit_test(test_what_a_client_holds_is_bounded),
        cmocka_unit_test(test_a_gatekeeper_that_stops_lets_go_of_everything),
        cmocka_unit_test(test_a_message_without_end_ends_its_connection),
        cmocka_unit_test(test_what_a_lost_broker_means_for_sessions_and_cursors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
