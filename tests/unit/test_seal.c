#include "net/seal.h"

#include "net/keys.h"
#include "net/time.h"

#include <stdio.h>
#include <stdlib.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_seal_key s_client_key;
static pcl_seal_key s_broker_key;

static int s_setup(void **state)
{
    (void)state;
    pcl_keys client, broker;
    pcl_keys_make(&client);
    pcl_keys_make(&broker);
    bool fine = pcl_seal_key_make(&s_client_key, true, client.secret_key, client.public_key,
                                  broker.public_key) &&
                pcl_seal_key_make(&s_broker_key, false, broker.secret_key, client.public_key,
                                  broker.public_key);
    pcl_keys_wipe(&client);
    pcl_keys_wipe(&broker);
    return fine ? 0 : -1;
}

static const pcl_seal s_example = {
    .kind = PCL_SEAL_REQUEST, .time_us = 1234567890, .channel = 42, .sequence = 7};

static void test_client_and_broker_come_to_the_same_key(void **state)
{
    (void)state;
    assert_memory_equal(&s_client_key, &s_broker_key, sizeof s_client_key);
    pcl_seal_key key = s_client_key;
    static const pcl_seal_key ZERO;
    assert_memory_not_equal(&key, &ZERO, sizeof key);
    pcl_seal_key_wipe(&key);
    assert_memory_equal(&key, &ZERO, sizeof key);
}

static void test_nobody_else_comes_to_that_key(void **state)
{
    (void)state;
    pcl_keys client, broker, other;
    pcl_seal_key right, wrong;
    pcl_keys_make(&client);
    pcl_keys_make(&broker);
    pcl_keys_make(&other);
    assert_true(
        pcl_seal_key_make(&right, true, client.secret_key, client.public_key, broker.public_key));
    /* Somebody who says that the client's key is theirs. */
    assert_true(
        pcl_seal_key_make(&wrong, true, other.secret_key, client.public_key, broker.public_key));
    assert_memory_not_equal(&right, &wrong, sizeof right);
    /* Roles are part of the key: what a client sealed, no broker of the same two keys did. */
    assert_true(
        pcl_seal_key_make(&wrong, true, client.secret_key, broker.public_key, client.public_key));
    assert_memory_not_equal(&right, &wrong, sizeof right);
    assert_true(
        pcl_seal_key_make(&wrong, false, broker.secret_key, client.public_key, other.public_key));
    assert_memory_not_equal(&right, &wrong, sizeof right);
}

static void s_refuse_key(const char *secret, const char *client, const char *broker)
{
    pcl_seal_key key;
    memset(&key, 'x', sizeof key);
    assert_false(pcl_seal_key_make(&key, true, secret, client, broker));
    assert_int_equal(key.octets[0], 'x');
    assert_int_equal(key.octets[PCL_SEAL_KEY_SIZE - 1], 'x');
}

static void test_what_is_not_a_key_makes_none(void **state)
{
    (void)state;
    pcl_keys client, broker;
    pcl_keys_make(&client);
    pcl_keys_make(&broker);
    s_refuse_key(NULL, client.public_key, broker.public_key);
    s_refuse_key("", client.public_key, broker.public_key);
    s_refuse_key(client.secret_key + 1, client.public_key, broker.public_key);
    s_refuse_key(client.secret_key, "not a key", broker.public_key);
    s_refuse_key(client.secret_key, client.public_key, "not a key");
    pcl_keys_wipe(&client);
    pcl_keys_wipe(&broker);
}

/* What such a point makes of a secret is zero, whatever the secret: everybody would know it. */
static void test_points_of_small_order_make_no_key(void **state)
{
    (void)state;
    static const char *const POINTS[] = {
        "0000000000000000000000000000000000000000", /* order 4 */
        "0rr9100000000000000000000000000000000000", /* 1, order 1 */
        "&oLYpj3*xV7foF([T):m*6J=8OhdwFHggr4uRd:c", /* order 8 */
        "u.0y]QFM){VcY:QOp*om1vMIksr9uQ/DK8D^4p[K", /* order 8 */
    };
    pcl_keys client;
    pcl_keys_make(&client);
    for (size_t index = 0; index < sizeof POINTS / sizeof *POINTS; index++) {
        assert_true(pcl_key_valid(POINTS[index]));
        s_refuse_key(client.secret_key, client.public_key, POINTS[index]);
    }
    pcl_keys_wipe(&client);
}

static void test_a_seal_is_read_back(void **state)
{
    (void)state;
    static const char *const PAYLOADS[] = {"", "x", "a request of some length"};
    for (size_t index = 0; index < sizeof PAYLOADS / sizeof *PAYLOADS; index++) {
        pcl_bytes payload = pcl_bytes_text(PAYLOADS[index]);
        uint8_t octets[PCL_SEAL_SIZE];
        pcl_seal read;
        pcl_seal_write(octets, &s_example, payload, &s_client_key);
        assert_null(pcl_seal_read(&read, PCL_SEAL_REQUEST, pcl_bytes_of(octets, sizeof octets),
                                  payload, &s_broker_key));
        assert_int_equal(read.kind, s_example.kind);
        assert_int_equal(read.time_us, s_example.time_us);
        assert_int_equal(read.channel, s_example.channel);
        assert_int_equal(read.sequence, s_example.sequence);
    }
    /* An empty payload may come without an address. */
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal read;
    pcl_seal_write(octets, &s_example, (pcl_bytes){NULL, 0}, &s_client_key);
    assert_null(pcl_seal_read(&read, PCL_SEAL_REQUEST, pcl_bytes_of(octets, sizeof octets),
                              pcl_bytes_text(""), &s_broker_key));
}

/* The fault; what was handed in for the seal must be as it was. */
static const char *s_fault(pcl_seal_kind kind, pcl_bytes octets, pcl_bytes payload,
                           const pcl_seal_key *key)
{
    pcl_seal seal, before;
    memset(&seal, 'x', sizeof seal);
    memcpy(&before, &seal, sizeof seal);
    const char *fault = pcl_seal_read(&seal, kind, octets, payload, key);
    assert_non_null(fault);
    assert_memory_equal(&seal, &before, sizeof seal);
    return fault;
}

static void test_every_bit_is_under_the_mac(void **state)
{
    (void)state;
    uint8_t text[] = "UPDATE t SET n = 1";
    pcl_bytes payload = pcl_bytes_of(text, sizeof text);
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal_write(octets, &s_example, payload, &s_client_key);
    pcl_bytes seal = pcl_bytes_of(octets, sizeof octets);
    for (size_t bit = 0; bit < sizeof octets * 8; bit++) {
        octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const char *fault = s_fault(PCL_SEAL_REQUEST, seal, payload, &s_broker_key);
        const char *expected = bit < 8    ? "is of another version"
                               : bit < 16 ? "is of another kind"
                               : bit < 64 ? "must have 0 in its reserved octets"
                                          : "does not fit the payload and the key";
        assert_string_equal(fault, expected);
        octets[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < sizeof text * 8; bit++) {
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_string_equal(s_fault(PCL_SEAL_REQUEST, seal, payload, &s_broker_key),
                            "does not fit the payload and the key");
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    pcl_seal read;
    assert_null(pcl_seal_read(&read, PCL_SEAL_REQUEST, seal, payload, &s_broker_key));
}

static void test_where_the_payload_ends_is_under_the_mac(void **state)
{
    (void)state;
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal_write(octets, &s_example, pcl_bytes_text("abc"), &s_client_key);
    pcl_bytes seal = pcl_bytes_of(octets, sizeof octets);
    s_fault(PCL_SEAL_REQUEST, seal, pcl_bytes_text("ab"), &s_broker_key);
    s_fault(PCL_SEAL_REQUEST, seal, pcl_bytes_text("abcd"), &s_broker_key);
    s_fault(PCL_SEAL_REQUEST, seal, pcl_bytes_of("abc", 4), &s_broker_key);
}

static void test_a_seal_of_another_size_is_none(void **state)
{
    (void)state;
    uint8_t octets[PCL_SEAL_SIZE + 1] = {0};
    pcl_seal_write(octets, &s_example, pcl_bytes_text("abc"), &s_client_key);
    static const size_t SIZES[] = {0, 1, 32, PCL_SEAL_SIZE - 1, PCL_SEAL_SIZE + 1};
    for (size_t index = 0; index < sizeof SIZES / sizeof *SIZES; index++) {
        assert_string_equal(s_fault(PCL_SEAL_REQUEST, pcl_bytes_of(octets, SIZES[index]),
                                    pcl_bytes_text("abc"), &s_broker_key),
                            "must have 64 octets");
    }
    s_fault(PCL_SEAL_REQUEST, (pcl_bytes){NULL, 0}, pcl_bytes_text("abc"), &s_broker_key);
}

/* Else a gatekeeper could send a client its own request back as the answer. */
static void test_a_request_is_no_reply_and_a_reply_no_request(void **state)
{
    (void)state;
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_bytes payload = pcl_bytes_text("abc");
    pcl_bytes seal = pcl_bytes_of(octets, sizeof octets);
    pcl_seal_write(octets, &s_example, payload, &s_client_key);
    assert_string_equal(s_fault(PCL_SEAL_REPLY, seal, payload, &s_client_key),
                        "is of another kind");
    octets[1] = PCL_SEAL_REPLY;
    assert_string_equal(s_fault(PCL_SEAL_REPLY, seal, payload, &s_client_key),
                        "does not fit the payload and the key");
    pcl_seal reply = s_example;
    reply.kind = PCL_SEAL_REPLY;
    pcl_seal_write(octets, &reply, payload, &s_broker_key);
    assert_string_equal(s_fault(PCL_SEAL_REQUEST, seal, payload, &s_broker_key),
                        "is of another kind");
}

static void test_sequences_begin_with_one(void **state)
{
    (void)state;
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal seal = s_example;
    seal.sequence = 0;
    pcl_seal_write(octets, &seal, pcl_bytes_text("abc"), &s_client_key);
    assert_string_equal(s_fault(PCL_SEAL_REQUEST, pcl_bytes_of(octets, sizeof octets),
                                pcl_bytes_text("abc"), &s_broker_key),
                        "must have a sequence of 1 or more");
}

/* Says what a seal costs; holds nothing but that it is not absurd. */
static void test_what_a_seal_costs(void **state)
{
    (void)state;
    static const size_t SIZES[] = {100, 1000, 256 * 1024};
    enum { ROUNDS = 200 };
    uint8_t *payload = calloc(1, 256 * 1024);
    assert_non_null(payload);
    for (size_t index = 0; index < sizeof SIZES / sizeof *SIZES; index++) {
        uint64_t began_us = pcl_now_us();
        for (uint32_t round = 0; round < ROUNDS; round++) {
            uint8_t octets[PCL_SEAL_SIZE];
            pcl_seal read;
            pcl_bytes bytes = pcl_bytes_of(payload, SIZES[index]);
            pcl_seal_write(octets, &s_example, bytes, &s_client_key);
            assert_null(pcl_seal_read(&read, PCL_SEAL_REQUEST, pcl_bytes_of(octets, sizeof octets),
                                      bytes, &s_broker_key));
        }
        double each_us = (double)(pcl_now_us() - began_us) / (2.0 * ROUNDS);
        print_message("%zu octets: %.2f us to seal or to check\n", SIZES[index], each_us);
        assert_true(each_us < 100000);
    }
    free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_and_broker_come_to_the_same_key),
        cmocka_unit_test(test_nobody_else_comes_to_that_key),
        cmocka_unit_test(test_what_is_not_a_key_makes_none),
        cmocka_unit_test(test_points_of_small_order_make_no_key),
        cmocka_unit_test(test_a_seal_is_read_back),
        cmocka_unit_test(test_every_bit_is_under_the_mac),
        cmocka_unit_test(test_where_the_payload_ends_is_under_the_mac),
        cmocka_unit_test(test_a_seal_of_another_size_is_none),
        cmocka_unit_test(test_a_request_is_no_reply_and_a_reply_no_request),
        cmocka_unit_test(test_sequences_begin_with_one),
        cmocka_unit_test(test_what_a_seal_costs),
    };
    return cmocka_run_group_tests(tests, s_setup, NULL);
}
