#include "tests/lib/seed.h"
#include "wire/head.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_head s_example(void)
{
    pcl_head head = {
        .ticket = UINT64_C(0x0102030405060708),
        .kind = PCL_KIND_REQUEST,
        .op = PCL_OP_QUERY,
        .sql_class = 1,
        .strategy = PCL_STRATEGY_CUSTOM,
        .consistency = PCL_CONSISTENCY_MAX_LAG,
        .attempt = 2,
        .flags = PCL_HEAD_EXPLAIN,
        .budget_us = 5000000,
        .sent_us = UINT64_C(0x1112131415161718),
        .gatekeeper_us = 10,
        .broker_us = 20,
        .proxy_us = 30,
        .max_lag_ms = 500,
        .term = 7,
        .rows = 1000,
        .principal = pcl_bytes_text("alice"),
        .role = pcl_bytes_text("app"),
    };
    for (uint8_t index = 0; index < PCL_ID_SIZE; index++) {
        head.id[index] = index;
        head.session[index] = (uint8_t)(0xf0 + index);
    }
    return head;
}

static bool s_same(const pcl_head *a, const pcl_head *b)
{
    return a->ticket == b->ticket && a->kind == b->kind && a->op == b->op &&
           a->sql_class == b->sql_class && a->strategy == b->strategy &&
           a->consistency == b->consistency && a->attempt == b->attempt && a->code == b->code &&
           a->retry == b->retry && a->flags == b->flags && a->budget_us == b->budget_us &&
           a->sent_us == b->sent_us && a->gatekeeper_us == b->gatekeeper_us &&
           a->broker_us == b->broker_us && a->proxy_us == b->proxy_us &&
           a->max_lag_ms == b->max_lag_ms && a->term == b->term && a->rows == b->rows &&
           memcmp(a->id, b->id, PCL_ID_SIZE) == 0 &&
           memcmp(a->session, b->session, PCL_ID_SIZE) == 0 &&
           pcl_bytes_equal(a->principal, b->principal) && pcl_bytes_equal(a->role, b->role) &&
           pcl_bytes_equal(a->after, b->after);
}

/* Decodes and sees that a failure leaves *out_head alone. */
static pcl_err s_decode(pcl_head *out_head, pcl_bytes source)
{
    memset(out_head, 0xa5, sizeof *out_head);
    pcl_head untouched = *out_head;
    pcl_err err = pcl_head_decode(out_head, source);
    assert_true(err == PCL_ERR_OK || memcmp(out_head, &untouched, sizeof untouched) == 0);
    return err;
}

/* The example's octets with one of them changed. */
static pcl_err s_decode_changed(size_t offset, uint8_t octet)
{
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_head head = s_example();
    size_t size = pcl_head_encode(&head, octets);
    octets[offset] = octet;
    return s_decode(&head, pcl_bytes_of(octets, size));
}

static void test_what_is_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_head head = s_example();
    size_t size = pcl_head_encode(&head, octets);
    assert_int_equal(size, PCL_HEAD_FIXED_SIZE + 5 + 3);
    pcl_head decoded;
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &head));
}

static void test_names_may_be_empty_and_as_long_as_their_limit(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    uint8_t name[PCL_NAME_SIZE_MAX];
    memset(name, 'n', sizeof name);
    pcl_head head = s_example();
    pcl_head decoded;
    head.principal = head.role = pcl_bytes_of(NULL, 0);
    size_t size = pcl_head_encode(&head, octets);
    assert_int_equal(size, PCL_HEAD_FIXED_SIZE);
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &head));
    head.principal = head.role = pcl_bytes_of(name, sizeof name);
    size = pcl_head_encode(&head, octets);
    assert_int_equal(size, PCL_HEAD_SIZE_MAX - PCL_GTID_SIZE_MAX);
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &head));
}

/* What a read waits for is there in a request that asks for it, and nowhere else. */
static void test_after_stands_in_requests_of_its_consistency(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    uint8_t text[PCL_GTID_SIZE_MAX];
    uint8_t name[PCL_NAME_SIZE_MAX];
    memset(text, '1', sizeof text);
    memset(name, 'n', sizeof name);
    pcl_head head = s_example();
    pcl_head decoded;
    head.consistency = PCL_CONSISTENCY_AFTER;
    head.principal = head.role = pcl_bytes_of(name, sizeof name);
    head.after = pcl_bytes_of(text, sizeof text);
    size_t size = pcl_head_encode(&head, octets);
    assert_int_equal(size, PCL_HEAD_SIZE_MAX);
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &head));
    octets[11] = PCL_KIND_REPLY;
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_MALFORMED);
    octets[11] = PCL_KIND_REQUEST;
    octets[15] = PCL_CONSISTENCY_MAX_LAG;
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_MALFORMED);
    octets[15] = PCL_CONSISTENCY_AFTER;
    octets[size - 1] = '\n';
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_MALFORMED);
}

static void test_every_other_size_is_refused(void **state)
{
    (void)state;
    uint8_t octets[PCL_HEAD_SIZE_MAX + 16] = {0};
    pcl_head head = s_example();
    size_t size = pcl_head_encode(&head, octets);
    for (size_t other = 0; other < sizeof octets; other++) {
        pcl_err err = s_decode(&head, pcl_bytes_of(octets, other));
        assert_int_equal(err, other == size ? PCL_ERR_OK : PCL_ERR_MALFORMED);
    }
    assert_int_equal(s_decode(&head, pcl_bytes_of(NULL, 0)), PCL_ERR_MALFORMED);
}

static void test_values_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        int first, last; /* the good values */
    } fields[] = {
        {8, 'P', 'P'},
        {9, 'C', 'C'},
        {11, PCL_KIND_REQUEST, PCL_KIND_LIMIT - 1},
        {12, 0, PCL_OP_COUNT - 1},
        {14, 0, PCL_STRATEGY_COUNT - 1},
        {15, 0, PCL_CONSISTENCY_COUNT - 1},
        {17, PCL_ERR_OK, PCL_ERR_COUNT - 1},
        {18, PCL_RETRY_NEVER, PCL_RETRY_UNSAFE},
        {94, 0, 0},
        {95, 0, 0},
    };
    for (size_t index = 0; index < sizeof fields / sizeof fields[0]; index++) {
        for (int octet = 0; octet <= UINT8_MAX; octet++) {
            bool good = octet >= fields[index].first && octet <= fields[index].last;
            assert_int_equal(s_decode_changed(fields[index].offset, (uint8_t)octet),
                             good ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        }
    }
}

static void test_every_flag_is_known(void **state)
{
    (void)state;
    for (int octet = 0; octet <= UINT8_MAX; octet++) {
        assert_int_equal(s_decode_changed(19, (uint8_t)octet), PCL_ERR_OK);
    }
}

static void test_another_version_is_named(void **state)
{
    (void)state;
    assert_int_equal(s_decode_changed(10, 0), PCL_ERR_VERSION);
    assert_int_equal(s_decode_changed(10, 1), PCL_ERR_VERSION);
    assert_int_equal(s_decode_changed(10, 3), PCL_ERR_VERSION);
    assert_int_equal(s_decode_changed(10, 2), PCL_ERR_OK);
}

static void test_name_sizes_agree_with_the_frame(void **state)
{
    (void)state;
    for (int octet = 0; octet <= UINT8_MAX; octet++) {
        assert_int_equal(s_decode_changed(92, (uint8_t)octet),
                         octet == 5 ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        assert_int_equal(s_decode_changed(93, (uint8_t)octet),
                         octet == 3 ? PCL_ERR_OK : PCL_ERR_MALFORMED);
    }
    /* 64 octets agree with the frame and are over the limit all the same. */
    uint8_t octets[PCL_HEAD_FIXED_SIZE + 64];
    memset(octets, 'n', sizeof octets);
    uint8_t good[PCL_HEAD_SIZE_MAX];
    pcl_head head = s_example();
    (void)pcl_head_encode(&head, good); /* its size is not the one wanted here */
    memcpy(octets, good, PCL_HEAD_FIXED_SIZE);
    octets[92] = 64;
    octets[93] = 0;
    assert_int_equal(s_decode(&head, pcl_bytes_of(octets, sizeof octets)), PCL_ERR_MALFORMED);
    octets[92] = 63;
    octets[93] = 1;
    assert_int_equal(s_decode(&head, pcl_bytes_of(octets, sizeof octets)), PCL_ERR_OK);
}

static void test_names_are_utf8(void **state)
{
    (void)state;
    assert_int_equal(s_decode_changed(PCL_HEAD_FIXED_SIZE, 0xff), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(PCL_HEAD_FIXED_SIZE + 7, 0xc3), PCL_ERR_MALFORMED);
}

static void test_the_boot_id_lives_in_the_session(void **state)
{
    (void)state;
    pcl_head head = s_example();
    pcl_head_set_boot_id(&head, UINT64_C(0x0123456789abcdef));
    assert_true(pcl_head_boot_id(&head) == UINT64_C(0x0123456789abcdef));
    assert_int_equal(head.session[0], 0x01);
    assert_int_equal(head.session[15], 0);
}

/* Whatever decodes encodes to the octets it came from. */
static void test_there_is_one_encoding(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("head");
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    uint8_t again[PCL_HEAD_SIZE_MAX];
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 100000; round++) {
        pcl_head head = s_example();
        size_t size = pcl_head_encode(&head, octets);
        for (uint32_t flip = 0; flip < 3; flip++) {
            octets[pcl_rng_below(&rng, (uint32_t)size)] = (uint8_t)pcl_rng_next(&rng);
        }
        if (s_decode(&head, pcl_bytes_of(octets, size)) == PCL_ERR_OK) {
            accepted++;
            assert_int_equal(pcl_head_encode(&head, again), size);
            assert_memory_equal(again, octets, size);
        }
    }
    assert_true(accepted > 10000);
}

static void test_the_parts_of_a_held_id(void **state)
{
    (void)state;
    static const uint8_t handle[PCL_HELD_HANDLE_SIZE] = {9, 8, 7, 6, 5, 4};
    static const uint8_t expected[PCL_ID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 2, 1};
    uint8_t id[PCL_ID_SIZE];
    pcl_held_id_make(id, 0x0102030405060708u, handle, 0x0201);
    assert_memory_equal(id, expected, sizeof id);
    assert_true(pcl_held_id_boot(id) == 0x0102030405060708u);
    assert_int_equal(pcl_held_id_page(id), 0x0201);
    pcl_held_id_set_page(id, 0);
    assert_int_equal(pcl_held_id_page(id), 0);
    assert_memory_equal(id, expected, PCL_ID_SIZE - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_encoded_decodes_to_the_same),
        cmocka_unit_test(test_names_may_be_empty_and_as_long_as_their_limit),
        cmocka_unit_test(test_after_stands_in_requests_of_its_consistency),
        cmocka_unit_test(test_every_other_size_is_refused),
        cmocka_unit_test(test_values_out_of_range_are_refused),
        cmocka_unit_test(test_every_flag_is_known),
        cmocka_unit_test(test_another_version_is_named),
        cmocka_unit_test(test_name_sizes_agree_with_the_frame),
        cmocka_unit_test(test_names_are_utf8),
        cmocka_unit_test(test_the_boot_id_lives_in_the_session),
        cmocka_unit_test(test_the_parts_of_a_held_id),
        cmocka_unit_test(test_there_is_one_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
