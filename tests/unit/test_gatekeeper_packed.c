/* The gatekeeper and clients whose messages come in one frame each, or several in one (RFC 1,
 * sections 2.1 and 2.3). */
#include "gatekeeper/gatekeeper.h"
#include "net/hop_outbox.h"
#include "wire/packed.h"

#include "tests/lib/role_fixture.h"

#define UP   "portcullis_gatekeeper_link_up 1"
#define SEAL "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { PACKED_ROOM = PCL_PACKED_HEAD_MAX + PCL_PACKED_PAYLOAD_MAX + 1 };

typedef struct s_scene {
    role_fixture gatekeeper;
    fake_hop broker;
    zsock_t *client; /* DEALER */
} s_scene;

static void s_open_with(s_scene *self, const char *more)
{
    static int number = 0;
    char broker[64], clients[64], zpl[512];
    number++;
    (void)snprintf(broker, sizeof broker, "inproc://packed-broker-%d", number);
    (void)snprintf(clients, sizeof clients, "inproc://packed-clients-%d", number);
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\nbroker\n    endpoint = \"%s\"\n%s", clients,
                   broker, more);
    fake_open(&self->broker, broker);
    fixture_start(&self->gatekeeper, &pcl_gatekeeper_role, zpl);
    self->client = zsock_new(ZMQ_DEALER);
    assert_non_null(self->client);
    zsock_set_linger(self->client, 0);
    assert_int_equal(zsock_connect(self->client, "%s", clients), 0);
    fixture_wait_metric(&self->gatekeeper, &self->broker, UP);
}

static void s_open(s_scene *self)
{
    s_open_with(self, "");
}

static void s_close(s_scene *self)
{
    zsock_destroy(&self->client);
    fixture_stop(&self->gatekeeper);
    fake_close(&self->broker);
}

static void s_add_packed(zmsg_t *message, uint64_t tag, const char *seal, pcl_bytes payload)
{
    static uint8_t octets[PACKED_ROOM];
    size_t size = pcl_packed_write_head(tag, pcl_bytes_text(seal), octets);
    if (payload.size > 0) {
        memcpy(octets + size, payload.data, payload.size);
    }
    zmsg_addmem(message, octets, size + payload.size);
}

/* apart: the payload is a frame of its own. */
static void s_ask(s_scene *self, uint64_t tag, const char *seal, const char *sql, bool apart)
{
    pcl_buffer request;
    fixture_request(&request, sql, (uint8_t)tag, 0);
    zmsg_t *message = zmsg_new();
    s_add_packed(message, tag, seal, apart ? pcl_bytes_of(NULL, 0) : pcl_buffer_bytes(&request));
    if (apart) {
        zmsg_addmem(message, request.data, request.size);
    }
    fixture_send(self->client, message);
    pcl_buffer_release(&request);
}

/* The next reply, which the caller destroys; *out borrows from it. */
static zmsg_t *s_expect(s_scene *self, uint64_t tag, size_t frames, pcl_packed *out)
{
    zmsg_t *reply = fixture_recv(self->client, &self->broker, FIXTURE_WAIT_MS);
    assert_non_null(reply);
    assert_int_equal(zmsg_size(reply), frames);
    zframe_t *first = zmsg_first(reply);
    assert_true(pcl_packed_read(out, pcl_bytes_of(zframe_data(first), zframe_size(first))));
    assert_true(out->tag == tag);
    return reply;
}

static void test_a_packed_request_goes_on_and_its_reply_comes_packed(void **state)
{
    (void)state;
    s_scene scene;
    pcl_packed packed;
    s_open(&scene);
    s_ask(&scene, 7, SEAL, "SELECT 1", false);
    fake_wait_held(&scene.broker, 1);
    pcl_hop_message *held = &scene.broker.held[0];
    pcl_buffer sent;
    fixture_request(&sent, "SELECT 1", 7, 0);
    assert_true(pcl_bytes_equal(pcl_frame_bytes(&held->payload), pcl_buffer_bytes(&sent)));
    pcl_buffer_release(&sent);
    assert_int_equal(held->head.flags & PCL_HEAD_SEALED, PCL_HEAD_SEALED);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&held->tail), SEAL));
    assert_int_equal(held->head.id[0], 7);
    fake_reply(&scene.broker, 0, PCL_ERR_OK, "the answer");
    zmsg_t *reply = s_expect(&scene, 7, 1, &packed);
    assert_true(pcl_bytes_is(packed.payload, "the answer"));
    assert_int_equal(packed.seal.size, 0);
    zmsg_destroy(&reply);
    s_close(&scene);
}

static void test_a_large_payload_is_a_frame_of_its_own(void **state)
{
    (void)state;
    s_scene scene;
    pcl_packed packed;
    static char large[100001];
    memset(large, 'x', sizeof large - 1);
    s_open(&scene);
    s_ask(&scene, 8, SEAL, "SELECT 2", true);
    fake_wait_held(&scene.broker, 1);
    assert_true(pcl_bytes_is(pcl_frame_bytes(&scene.broker.held[0].tail), SEAL));
    fake_reply(&scene.broker, 0, PCL_ERR_OK, large);
    zmsg_t *reply = s_expect(&scene, 8, 2, &packed);
    assert_int_equal(packed.payload.size, 0);
    assert_int_equal(zframe_size(zmsg_last(reply)), sizeof large - 1);
    zmsg_destroy(&reply);
    s_close(&scene);
}

static void test_a_packed_request_is_refused_packed(void **state)
{
    (void)state;
    static const struct {
        const char *seal, *payload, *code, *said;
    } cases[] = {
        {"", "hello", "MALFORMED", ":"},
        {"short", "\x82\xa1v\x01\xa2op\xa4ping", "MALFORMED", "seal: "},
        {"", "\x82\xa1v\x07\xa2op\xa4ping", "VERSION", "v:"},
        {"", "\x82\xa1v\x01\xa3sql\xb2SELECT 1; SELECT 2", "REFUSED", " at offset "},
    };
    s_scene scene;
    s_open(&scene);
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_packed packed;
        pcl_reply answer;
        zmsg_t *message = zmsg_new();
        s_add_packed(message, 100 + index, cases[index].seal, pcl_bytes_text(cases[index].payload));
        fixture_send(scene.client, message);
        zmsg_t *reply = s_expect(&scene, 100 + index, 1, &packed);
        assert_int_equal(pcl_reply_decode(&answer, packed.payload), PCL_ERR_OK);
        assert_true(!answer.ok && pcl_bytes_is(answer.error_code, cases[index].code));
        char text[256];
        (void)snprintf(text, sizeof text, "%.*s", (int)answer.error_message.size,
                       (const char *)answer.error_message.data);
        assert_non_null(strstr(text, cases[index].said));
        zmsg_destroy(&reply);
    }
    assert_int_equal(scene.broker.held_count, 0);
    s_close(&scene);
}

/* With the mark and of another shape: read as frames, of which no first one is empty. */
static void test_what_only_looks_packed_gets_one_answer(void **state)
{
    (void)state;
    static const struct {
        size_t size; /* of the packed frame */
        const char *second, *third;
    } cases[] = {
        {PCL_PACKED_FIXED_SIZE - 1, NULL, NULL}, /* cut */
        {PCL_PACKED_FIXED_SIZE, NULL, NULL},     /* no payload */
        {PCL_PACKED_FIXED_SIZE + 1, "x", NULL},  /* two of them */
        {PCL_PACKED_FIXED_SIZE, "x", "y"},       /* too many frames */
        {PCL_PACKED_FIXED_SIZE + PCL_PACKED_PAYLOAD_MAX + 1, NULL, NULL},
    };
    static uint8_t octets[PACKED_ROOM];
    s_scene scene;
    s_open(&scene);
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        zmsg_t *message = zmsg_new();
        (void)pcl_packed_write_head(1, pcl_bytes_of(NULL, 0), octets);
        zmsg_addmem(message, octets, cases[index].size);
        if (cases[index].second != NULL) {
            zmsg_addstr(message, cases[index].second);
        }
        if (cases[index].third != NULL) {
            zmsg_addstr(message, cases[index].third);
        }
        fixture_send(scene.client, message);
        zmsg_t *reply = fixture_recv(scene.client, &scene.broker, FIXTURE_WAIT_MS);
        assert_error_reply(reply, "MALFORMED", "never", "gatekeeper");
        zmsg_destroy(&reply);
    }
    assert_null(fixture_recv(scene.client, &scene.broker, 20));
    assert_int_equal(scene.broker.held_count, 0);
    s_close(&scene);
}

static pcl_packed_writer s_writer;

/* Adds a request to the frame of several. */
static void s_add(uint64_t tag, const char *sql)
{
    pcl_buffer request;
    fixture_request(&request, sql, (uint8_t)tag, 0);
    assert_true(
        pcl_packed_writer_add(&s_writer, tag, pcl_bytes_text(SEAL), pcl_buffer_bytes(&request)));
    pcl_buffer_release(&request);
}

static void s_send_all(s_scene *self)
{
    pcl_bytes frame = pcl_packed_writer_frame(&s_writer);
    zmsg_t *message = zmsg_new();
    zmsg_addmem(message, frame.data, frame.size);
    fixture_send(self->client, message);
    pcl_packed_writer_release(&s_writer);
    pcl_packed_writer_init(&s_writer);
}

/* Reads replies until there is one for each of count tags from 1 on; code_of: what a tag's must be,
 * NULL: "answer TAG".  Returns how many frames they came in. */
static uint32_t s_expect_all(s_scene *self, uint32_t count, const char *(*code_of)(uint64_t))
{
    uint32_t frames = 0;
    uint64_t seen = 0;
    for (uint32_t left = count; left > 0; frames++) {
        zmsg_t *reply = fixture_recv(self->client, &self->broker, FIXTURE_WAIT_MS);
        assert_non_null(reply);
        assert_int_equal(zmsg_size(reply), 1);
        zframe_t *first = zmsg_first(reply);
        pcl_bytes frame = pcl_bytes_of(zframe_data(first), zframe_size(first));
        pcl_packed_reader reader = {.left = pcl_bytes_of(NULL, 0)};
        pcl_packed packed;
        bool single = pcl_packed_read(&packed, frame);
        assert_true(single || pcl_packed_open(&reader, frame));
        while (single || pcl_packed_next(&reader, &packed)) {
            single = false;
            assert_true(packed.tag >= 1 && packed.tag <= count);
            assert_int_equal(seen >> (packed.tag - 1) & 1, 0); /* none twice */
            seen |= UINT64_C(1) << (packed.tag - 1);
            left--;
            char answer[32];
            (void)snprintf(answer, sizeof answer, "answer %u", (unsigned)packed.tag);
            const char *code = code_of(packed.tag);
            pcl_reply decoded;
            if (code == NULL) {
                assert_true(pcl_bytes_is(packed.payload, answer));
                continue;
            }
            assert_int_equal(pcl_reply_decode(&decoded, packed.payload), PCL_ERR_OK);
            assert_true(!decoded.ok && pcl_bytes_is(decoded.error_code, code));
            assert_int_equal(decoded.has_id, strcmp(code, "MALFORMED") != 0);
        }
        zmsg_destroy(&reply);
    }
    return frames;
}

/* Answers what the broker holds, each by its id. */
static void s_answer_held(s_scene *self)
{
    while (self->broker.held_count > 0) {
        char answer[32];
        (void)snprintf(answer, sizeof answer, "answer %u", self->broker.held[0].head.id[0]);
        fake_reply(&self->broker, 0, PCL_ERR_OK, answer);
    }
}

/* The same in one frame, so that the gatekeeper takes them in one turn. */
static void s_answer_held_together(s_scene *self)
{
    fake_hop *broker = &self->broker;
    pcl_hop_outbox *outbox = pcl_hop_outbox_new(broker->socket, NULL, NULL);
    while (broker->held_count > 0) {
        pcl_hop_message *request = &broker->held[0];
        pcl_head head = {.ticket = request->head.ticket,
                         .kind = PCL_KIND_REPLY,
                         .code = PCL_ERR_OK,
                         .sent_us = pcl_now_us()};
        memcpy(head.id, request->head.id, sizeof head.id);
        char answer[32];
        (void)snprintf(answer, sizeof answer, "answer %u", head.id[0]);
        zmq_msg_t payload;
        pcl_frame_copy_of(&payload, pcl_bytes_text(answer));
        pcl_err err = pcl_hop_outbox_send(outbox, &request->peer, &head, &payload, NULL);
        assert_int_equal(err, PCL_ERR_OK);
        zmq_msg_close(&payload);
        fake_forget(broker, 0);
    }
    pcl_hop_outbox_flush(outbox, pcl_now_us());
    pcl_hop_outbox_destroy(&outbox);
}

static const char *s_all_good(uint64_t tag)
{
    (void)tag;
    return NULL;
}

static void test_several_in_one_frame_are_answered_each(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    s_scene scene;
    s_open(&scene);
    for (uint64_t tag = 1; tag <= COUNT; tag++) {
        s_add(tag, "SELECT 1");
    }
    s_send_all(&scene);
    fake_wait_held(&scene.broker, COUNT);
    for (uint32_t index = 0; index < COUNT; index++) { /* in their order */
        assert_int_equal(scene.broker.held[index].head.id[0], index + 1);
    }
    s_answer_held_together(&scene);
    assert_int_equal(s_expect_all(&scene, COUNT, s_all_good), 1);
    assert_null(fixture_recv(scene.client, &scene.broker, 20));
    s_close(&scene);
}

static const char *s_third_and_fifth_are_bad(uint64_t tag)
{
    return tag == 3 ? "REFUSED" : tag == 5 ? "MALFORMED" : NULL;
}

static void test_of_several_only_the_bad_ones_are_refused(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint64_t tag = 1; tag <= 6; tag++) {
        if (tag == 3) { /* without a seal, so that it is refused here */
            pcl_buffer request;
            fixture_request(&request, "SELECT 1; SELECT 2", (uint8_t)tag, 0);
            assert_true(pcl_packed_writer_add(&s_writer, tag, pcl_bytes_of(NULL, 0),
                                              pcl_buffer_bytes(&request)));
            pcl_buffer_release(&request);
        } else if (tag == 5) {
            assert_true(pcl_packed_writer_add(&s_writer, tag, pcl_bytes_text(SEAL),
                                              pcl_bytes_text("garbage")));
        } else {
            s_add(tag, "SELECT 1");
        }
    }
    s_send_all(&scene);
    fake_wait_held(&scene.broker, 4);
    s_answer_held(&scene);
    (void)s_expect_all(&scene, 6, s_third_and_fifth_are_bad);
    s_close(&scene);
}

static const char *s_two_find_room(uint64_t tag)
{
    return tag <= 2 ? NULL : "OVERLOADED";
}

static void test_a_limit_holds_for_each_of_several(void **state)
{
    (void)state;
    s_scene scene;
    s_open_with(&scene, "limits\n    inflight_principal_max = 2\n");
    for (uint64_t tag = 1; tag <= 8; tag++) {
        s_add(tag, "SELECT 1");
    }
    s_send_all(&scene);
    fake_wait_held(&scene.broker, 2);
    s_answer_held(&scene);
    (void)s_expect_all(&scene, 8, s_two_find_room);
    s_close(&scene);
}

/* Refusals come within one turn. */
static const char *s_all_refused(uint64_t tag)
{
    (void)tag;
    return "REFUSED";
}

static void test_what_is_answered_in_one_turn_comes_in_one_frame(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    s_scene scene;
    s_open(&scene);
    for (uint64_t tag = 1; tag <= COUNT; tag++) {
        pcl_buffer request;
        fixture_request(&request, "SELECT 1; SELECT 2", (uint8_t)tag, 0);
        assert_true(pcl_packed_writer_add(&s_writer, tag, pcl_bytes_of(NULL, 0),
                                          pcl_buffer_bytes(&request)));
        pcl_buffer_release(&request);
    }
    s_send_all(&scene);
    assert_int_equal(s_expect_all(&scene, COUNT, s_all_refused), 1);
    s_close(&scene);
}

/* What came packed by itself is never answered among others. */
static void test_who_does_not_speak_so_is_not_answered_so(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (uint64_t tag = 1; tag <= 5; tag++) {
        s_ask(&scene, tag, SEAL, "SELECT 1", false);
    }
    fake_wait_held(&scene.broker, 5);
    s_answer_held(&scene);
    assert_int_equal(s_expect_all(&scene, 5, s_all_good), 5);
    s_close(&scene);
}

static void test_several_of_another_shape_get_one_answer(void **state)
{
    (void)state;
    s_scene scene;
    s_open(&scene);
    for (size_t cut = 1; cut < 40; cut += 7) {
        s_add(1, "SELECT 1");
        s_add(2, "SELECT 2");
        pcl_bytes frame = pcl_packed_writer_frame(&s_writer);
        zmsg_t *message = zmsg_new();
        zmsg_addmem(message, frame.data, frame.size - cut);
        fixture_send(scene.client, message);
        pcl_packed_writer_clear(&s_writer);
        zmsg_t *reply = fixture_recv(scene.client, &scene.broker, FIXTURE_WAIT_MS);
        assert_error_reply(reply, "MALFORMED", "never", "gatekeeper");
        zmsg_destroy(&reply);
    }
    s_add(1, "SELECT 1");
    pcl_bytes frame = pcl_packed_writer_frame(&s_writer);
    zmsg_t *message = zmsg_new();
    zmsg_addmem(message, frame.data, frame.size);
    zmsg_addstr(message, "one frame more");
    fixture_send(scene.client, message);
    pcl_packed_writer_release(&s_writer);
    zmsg_t *reply = fixture_recv(scene.client, &scene.broker, FIXTURE_WAIT_MS);
    assert_error_reply(reply, "MALFORMED", "never", "gatekeeper");
    zmsg_destroy(&reply);
    assert_null(fixture_recv(scene.client, &scene.broker, 20));
    assert_int_equal(scene.broker.held_count, 0);
    s_close(&scene);
}

int main(void)
{
    pcl_packed_writer_init(&s_writer);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_packed_request_goes_on_and_its_reply_comes_packed),
        cmocka_unit_test(test_a_large_payload_is_a_frame_of_its_own),
        cmocka_unit_test(test_a_packed_request_is_refused_packed),
        cmocka_unit_test(test_what_only_looks_packed_gets_one_answer),
        cmocka_unit_test(test_several_in_one_frame_are_answered_each),
        cmocka_unit_test(test_of_several_only_the_bad_ones_are_refused),
        cmocka_unit_test(test_a_limit_holds_for_each_of_several),
        cmocka_unit_test(test_what_is_answered_in_one_turn_comes_in_one_frame),
        cmocka_unit_test(test_who_does_not_speak_so_is_not_answered_so),
        cmocka_unit_test(test_several_of_another_shape_get_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
