#include "gatekeeper/envelope.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PAYLOAD_MAX 1000

#define PARSE(...)                                                                                 \
    pcl_envelope_parse((const size_t[]){__VA_ARGS__},                                              \
                       sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t), false, PAYLOAD_MAX)

static void test_a_plain_request_has_no_envelope(void **state)
{
    (void)state;
    pcl_envelope envelope = PARSE(5, 0, 40);
    assert_int_equal(envelope.err, PCL_ERR_OK);
    assert_int_equal(envelope.echo_count, 0);
    assert_int_equal(envelope.payload_index, 2);
    assert_int_equal(envelope.seal_index, PCL_ENVELOPE_NOWHERE);
}

/* ZMQ_REQ_CORRELATE puts four octets before the delimiter. */
static void test_what_stands_before_the_delimiter_is_echoed(void **state)
{
    (void)state;
    pcl_envelope envelope = PARSE(5, 4, 0, 40);
    assert_int_equal(envelope.err, PCL_ERR_OK);
    assert_int_equal(envelope.echo_count, 1);
    assert_int_equal(envelope.payload_index, 3);
    envelope = PARSE(5, 255, 1, 2, 255, 0, PAYLOAD_MAX, 64);
    assert_int_equal(envelope.err, PCL_ERR_OK);
    assert_int_equal(envelope.echo_count, 4);
    assert_int_equal(envelope.payload_index, 6);
    assert_int_equal(envelope.seal_index, 7);
}

typedef struct broken {
    size_t sizes[PCL_ENVELOPE_MESSAGE_FRAMES_MAX];
    uint32_t count;
    bool overflow;
    pcl_err err;
    const char *field;
    uint32_t echo_count;
    uint32_t payload_index;
} broken;

#define NOWHERE PCL_ENVELOPE_NOWHERE

static void test_each_rule_is_named_and_the_refusal_is_addressable(void **state)
{
    (void)state;
    static const broken cases[] = {
        {{5}, 1, false, PCL_ERR_MALFORMED, "envelope", 0, NOWHERE},
        {{5, 40}, 2, false, PCL_ERR_MALFORMED, "envelope", 0, NOWHERE},
        {{5, 1, 1, 1, 1, 1, 1, 1}, 8, true, PCL_ERR_MALFORMED, "envelope", 0, NOWHERE},
        {{5, 1, 1, 1, 1, 1, 0, 40}, 8, false, PCL_ERR_MALFORMED, "envelope", 0, NOWHERE},
        {{5, 256, 0, 40}, 4, false, PCL_ERR_MALFORMED, "envelope", 0, NOWHERE},
        {{5, 0}, 2, false, PCL_ERR_MALFORMED, "payload", 0, NOWHERE},
        {{5, 7, 0}, 3, false, PCL_ERR_MALFORMED, "payload", 1, NOWHERE},
        {{5, 0, 0}, 3, false, PCL_ERR_MALFORMED, "payload", 0, 2},
        {{5, 0, PAYLOAD_MAX + 1}, 3, false, PCL_ERR_TOO_LARGE, "payload", 0, 2},
        {{5, 0, 40, 0}, 4, false, PCL_ERR_MALFORMED, "seal", 0, 2},
        {{5, 0, 40, 63}, 4, false, PCL_ERR_MALFORMED, "seal", 0, 2},
        {{5, 0, 40, 65}, 4, false, PCL_ERR_MALFORMED, "seal", 0, 2},
        {{5, 9, 0, 40, 64, 1}, 6, false, PCL_ERR_MALFORMED, "envelope", 1, 3},
        {{5, 1, 2, 3, 4, 0, 40, 64}, 8, true, PCL_ERR_MALFORMED, "envelope", 4, NOWHERE},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        const broken *given = &cases[index];
        pcl_envelope envelope = pcl_envelope_parse(given->sizes, given->count, given->overflow,
                                                   PAYLOAD_MAX);
        assert_int_equal(envelope.err, given->err);
        assert_string_equal(envelope.field, given->field);
        assert_true(envelope.rule[0] != '\0');
        assert_int_equal(envelope.echo_count, given->echo_count);
        assert_int_equal(envelope.payload_index, given->payload_index);
    }
}

/* Whatever the sizes, an accepted message has each part where the result says. */
static void test_every_short_message_of_small_frames(void **state)
{
    (void)state;
    uint32_t accepted = 0;
    for (uint32_t count = 1; count <= PCL_ENVELOPE_MESSAGE_FRAMES_MAX; count++) {
        for (uint32_t bits = 0; bits < 1u << count; bits++) {
            size_t sizes[PCL_ENVELOPE_MESSAGE_FRAMES_MAX];
            for (uint32_t index = 0; index < count; index++) {
                sizes[index] = (bits >> index) & 1;
            }
            pcl_envelope envelope = pcl_envelope_parse(sizes, count, false, PAYLOAD_MAX);
            assert_true(envelope.echo_count <= PCL_ENVELOPE_FRAMES_MAX);
            if (envelope.err != PCL_ERR_OK) {
                continue;
            }
            accepted++;
            assert_int_equal(sizes[envelope.echo_count + 1], 0);
            assert_int_equal(envelope.payload_index, envelope.echo_count + 2);
            assert_true(envelope.payload_index < count);
            assert_int_equal(sizes[envelope.payload_index], 1);
        }
    }
    assert_true(accepted > 0);
}

/* What libzmq makes up, and what a client can set: anything else that is not empty. */
static void test_only_routing_ids_of_the_server_are_its_own(void **state)
{
    (void)state;
    assert_true(pcl_envelope_is_own_route(pcl_bytes_of("\0abcd", 5)));
    assert_true(pcl_envelope_is_own_route(pcl_bytes_of("\0\0\0\0\0", 5)));
    assert_false(pcl_envelope_is_own_route(pcl_bytes_of("alice", 5)));
    assert_false(pcl_envelope_is_own_route(pcl_bytes_of("\0abc", 4)));
    assert_false(pcl_envelope_is_own_route(pcl_bytes_of("\0abcde", 6)));
    assert_false(pcl_envelope_is_own_route(pcl_bytes_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_request_has_no_envelope),
        cmocka_unit_test(test_what_stands_before_the_delimiter_is_echoed),
        cmocka_unit_test(test_each_rule_is_named_and_the_refusal_is_addressable),
        cmocka_unit_test(test_every_short_message_of_small_frames),
        cmocka_unit_test(test_only_routing_ids_of_the_server_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
