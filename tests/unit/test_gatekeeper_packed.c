/* The gatekeeper and clients whose messages come in one frame (RFC 1, section 2.1). */
#include "gatekeeper/gatekeeper.h"
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

static void s_open(s_scene *self)
{
    static int number = 0;
    char broker[64], clients[64], zpl[256];
    number++;
    (void)snprintf(broker, sizeof broker, "inproc://packed-broker-%d", number);
    (void)snprintf(clients, sizeof clients, "inproc://packed-clients-%d", number);
    (void)snprintf(zpl, sizeof zpl,
                   "clients\n    endpoint = \"%s\"\nbroker\n    endpoint = \"%s\"\n", clients,
                   broker);
    fake_open(&self->broker, broker);
    fixture_start(&self->gatekeeper, &pcl_gatekeeper_role, zpl);
    self->client = zsock_new(ZMQ_DEALER);
    assert_non_null(self->client);
    zsock_set_linger(self->client, 0);
    assert_int_equal(zsock_connect(self->client, "%s", clients), 0);
    fixture_wait_metric(&self->gatekeeper, &self->broker, UP);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_packed_request_goes_on_and_its_reply_comes_packed),
        cmocka_unit_test(test_a_large_payload_is_a_frame_of_its_own),
        cmocka_unit_test(test_a_packed_request_is_refused_packed),
        cmocka_unit_test(test_what_only_looks_packed_gets_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
