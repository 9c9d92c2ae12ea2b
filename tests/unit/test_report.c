#include "common/endian.h"
#include "tests/lib/seed.h"
#include "wire/report.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_report s_example(void)
{
    return (pcl_report){
        .boot_id = UINT64_C(0x0102030405060708),
        .seq = 9,
        .term = 3,
        .role = PCL_NODE_REPLICA,
        .state = PCL_NODE_UP,
        .flavor = PCL_FLAVOR_MARIADB,
        .read_only = true,
        .replicating = true,
        .fault = true,
        .warm_percent = 100,
        .lag_ms = 12,
        .rif = 5,
        .running = 4,
        .queued = 1,
        .workers = 8,
        .queue_max = 1024,
        .threads_running = 6,
        .errors = 2,
        .served = 1000000,
        .service_mean_us = 250.5F,
        .service_count = 100,
        .service_variance = 1e4F,
        .service_fast_us = 240,
        .service_fast_count = 10,
        .exec_us = 300,
        .queue_us = 20,
        .database_port = 3306,
        .sessions = 7,
        .cursors = UINT32_MAX,
        .rif_you = UINT32_MAX,
        .gtid = pcl_bytes_text("0-1-42"),
        .zone = "eu-central-1a",
        .notice = true,
    };
}

static bool s_same(const pcl_report *a, const pcl_report *b)
{
    return a->boot_id == b->boot_id && a->seq == b->seq && a->term == b->term &&
           a->role == b->role && a->state == b->state && a->flavor == b->flavor &&
           a->read_only == b->read_only && a->replicating == b->replicating &&
           a->fault == b->fault && a->warm_percent == b->warm_percent && a->lag_ms == b->lag_ms &&
           a->rif == b->rif && a->running == b->running && a->queued == b->queued &&
           a->workers == b->workers && a->queue_max == b->queue_max &&
           a->threads_running == b->threads_running && a->errors == b->errors &&
           a->served == b->served && a->service_mean_us == b->service_mean_us &&
           a->service_count == b->service_count && a->service_variance == b->service_variance &&
           a->service_fast_us == b->service_fast_us &&
           a->service_fast_count == b->service_fast_count && a->exec_us == b->exec_us &&
           a->queue_us == b->queue_us && a->database_port == b->database_port &&
           a->sessions == b->sessions && a->cursors == b->cursors && a->rif_you == b->rif_you &&
           pcl_bytes_equal(a->gtid, b->gtid) && strcmp(a->zone, b->zone) == 0 &&
           a->notice == b->notice;
}

/* Decodes and sees that a failure leaves *out_report alone. */
static pcl_err s_decode(pcl_report *out_report, pcl_bytes source)
{
    memset(out_report, 0xa5, sizeof *out_report);
    uint8_t untouched[sizeof *out_report];
    memcpy(untouched, out_report, sizeof untouched);
    pcl_err err = pcl_report_decode(out_report, source);
    assert_true(err == PCL_ERR_OK || memcmp(out_report, untouched, sizeof untouched) == 0);
    return err;
}

/* The example's octets with some of them changed. */
static pcl_err s_decode_changed(size_t offset, uint64_t value, size_t width)
{
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_report report = s_example();
    size_t size = pcl_report_encode(&report, octets);
    pcl_put_be(octets + offset, value, width);
    return s_decode(&report, pcl_bytes_of(octets, size));
}

static void test_what_is_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_report report = s_example();
    pcl_report decoded;
    size_t size = pcl_report_encode(&report, octets);
    assert_int_equal(size, PCL_REPORT_FIXED_SIZE + 6 + 13);
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &report));
}

static void test_a_report_of_nothing(void **state)
{
    (void)state;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_report report = {.lag_ms = -1};
    pcl_report decoded;
    size_t size = pcl_report_encode(&report, octets);
    assert_int_equal(size, PCL_REPORT_FIXED_SIZE);
    assert_int_equal(s_decode(&decoded, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(s_same(&decoded, &report));
}

static void test_the_gtid_set_is_bounded(void **state)
{
    (void)state;
    static uint8_t text[PCL_REPORT_GTID_SIZE_MAX];
    uint8_t octets[PCL_REPORT_SIZE_MAX + 1];
    memset(text, '1', sizeof text);
    pcl_report report = s_example();
    memset(report.zone, 'z', PCL_REPORT_ZONE_SIZE_MAX);
    report.zone[PCL_REPORT_ZONE_SIZE_MAX] = '\0';
    report.gtid = pcl_bytes_of(text, sizeof text);
    size_t size = pcl_report_encode(&report, octets);
    assert_int_equal(size, PCL_REPORT_SIZE_MAX);
    assert_int_equal(s_decode(&report, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    octets[size] = '1'; /* one more agrees with the frame, and is over the limit */
    pcl_put_be(octets + 102, PCL_REPORT_GTID_SIZE_MAX + 1, 2);
    assert_int_equal(s_decode(&report, pcl_bytes_of(octets, size + 1)), PCL_ERR_MALFORMED);
}

static void test_every_other_size_is_refused(void **state)
{
    (void)state;
    uint8_t octets[PCL_REPORT_SIZE_MAX] = {0};
    pcl_report report = s_example();
    size_t size = pcl_report_encode(&report, octets);
    for (size_t other = 0; other < size + 20; other++) {
        assert_int_equal(s_decode(&report, pcl_bytes_of(octets, other)),
                         other == size ? PCL_ERR_OK : PCL_ERR_MALFORMED);
    }
    assert_int_equal(s_decode(&report, pcl_bytes_of(NULL, 0)), PCL_ERR_MALFORMED);
}

static void test_octets_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        int last; /* 0 is the first good value */
    } fields[] = {
        {24, PCL_NODE_ROLE_COUNT - 1},
        {25, PCL_NODE_STATE_COUNT - 1},
        {26, PCL_FLAVOR_COUNT - 1},
        {27, 15},
        {28, 100},
        {29, 0},
        {117, 0},
        {127, 0},
    };
    for (size_t index = 0; index < sizeof fields / sizeof fields[0]; index++) {
        for (int octet = 0; octet <= UINT8_MAX; octet++) {
            assert_int_equal(s_decode_changed(fields[index].offset, (uint64_t)octet, 1),
                             octet <= fields[index].last ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        }
    }
}

static void test_lag_is_known_or_not(void **state)
{
    (void)state;
    assert_int_equal(s_decode_changed(32, 0, 4), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(32, 0x7fffffff, 4), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(32, 0xffffffff, 4), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(32, 0x80000000, 4), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(32, 0xfffffffe, 4), PCL_ERR_MALFORMED);
}

static void test_floats_are_finite_and_not_negative(void **state)
{
    (void)state;
    static const uint32_t good[] = {0, 1, 0x3f800000, 0x7f7fffff};
    static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                   0xbf800000, 0x80000000, 0x80000001};
    for (size_t offset = 72; offset <= 88; offset += 4) {
        for (size_t index = 0; index < sizeof good / sizeof good[0]; index++) {
            assert_int_equal(s_decode_changed(offset, good[index], 4), PCL_ERR_OK);
        }
        for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
            assert_int_equal(s_decode_changed(offset, bad[index], 4), PCL_ERR_MALFORMED);
        }
    }
}

static void test_floats_that_nobody_would_accept_are_not_written(void **state)
{
    (void)state;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_report report = s_example();
    report.service_mean_us = -1e-6F;
    report.service_count = NAN;
    report.service_variance = INFINITY;
    report.service_fast_us = -INFINITY;
    report.service_fast_count = -0.0F;
    size_t size = pcl_report_encode(&report, octets);
    assert_int_equal(s_decode(&report, pcl_bytes_of(octets, size)), PCL_ERR_OK);
    assert_true(report.service_mean_us == 0 && report.service_count == 0);
    assert_true(report.service_variance == FLT_MAX);
    assert_true(report.service_fast_us == 0 && !signbit(report.service_fast_count));
}

static void test_the_gtid_set_is_text(void **state)
{
    (void)state;
    assert_int_equal(s_decode_changed(128, '\n', 1), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(128, 0x7f, 1), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(128, 0x00, 1), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(133, 0xc3, 1), PCL_ERR_MALFORMED);
}

static void test_a_zone_is_a_name(void **state)
{
    (void)state;
    assert_int_equal(s_decode_changed(134, 'Z', 1), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(134, '_', 1), PCL_ERR_OK);
    assert_int_equal(s_decode_changed(134, ' ', 1), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(134, '"', 1), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(146, 0, 1), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_changed(116, 12, 1), PCL_ERR_MALFORMED); /* not the frame's size */
    assert_true(pcl_zone_is_valid(pcl_bytes_text("")));
    assert_false(pcl_zone_is_valid(pcl_bytes_text("a-name-of-thirty-three-characters")));
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(pcl_node_role_text(PCL_NODE_SOURCE), "source");
    assert_string_equal(pcl_node_role_text(PCL_NODE_REPLICA), "replica");
    assert_string_equal(pcl_node_role_text(PCL_NODE_UNKNOWN), "unknown");
    assert_string_equal(pcl_node_state_text(PCL_NODE_NOT_READY), "not ready");
    assert_string_equal(pcl_node_state_text(PCL_NODE_UP), "up");
    assert_string_equal(pcl_node_state_text(PCL_NODE_DRAIN), "drain");
    assert_string_equal(pcl_flavor_text(PCL_FLAVOR_MARIADB), "mariadb");
    assert_string_equal(pcl_flavor_text(PCL_FLAVOR_MYSQL), "mysql");
    assert_string_equal(pcl_flavor_text(PCL_FLAVOR_UNKNOWN), "unknown");
}

/* Whatever decodes encodes to the octets it came from. */
static void test_there_is_one_encoding(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("report");
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    uint8_t again[PCL_REPORT_SIZE_MAX];
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 100000; round++) {
        pcl_report report = s_example();
        size_t size = pcl_report_encode(&report, octets);
        for (uint32_t flip = 0; flip < 3; flip++) {
            octets[pcl_rng_below(&rng, (uint32_t)size)] = (uint8_t)pcl_rng_next(&rng);
        }
        if (s_decode(&report, pcl_bytes_of(octets, size)) == PCL_ERR_OK) {
            accepted++;
            assert_int_equal(pcl_report_encode(&report, again), size);
            assert_memory_equal(again, octets, size);
        }
    }
    assert_true(accepted > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_encoded_decodes_to_the_same),
        cmocka_unit_test(test_a_report_of_nothing),
        cmocka_unit_test(test_the_gtid_set_is_bounded),
        cmocka_unit_test(test_every_other_size_is_refused),
        cmocka_unit_test(test_octets_out_of_range_are_refused),
        cmocka_unit_test(test_lag_is_known_or_not),
        cmocka_unit_test(test_floats_are_finite_and_not_negative),
        cmocka_unit_test(test_floats_that_nobody_would_accept_are_not_written),
        cmocka_unit_test(test_the_gtid_set_is_text),
        cmocka_unit_test(test_a_zone_is_a_name),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_there_is_one_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
