/* A client's message in one frame. */
#include "wire/packed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { SEAL_SIZE = 64, ROOM = PCL_PACKED_HEAD_MAX + PCL_PACKED_PAYLOAD_MAX + 1 };

static size_t s_write(uint8_t *octets, uint64_t tag, size_t seal_size, size_t payload_size)
{
    uint8_t seal[PCL_PACKED_SEAL_MAX];
    memset(seal, 's', sizeof seal);
    size_t size = pcl_packed_write_head(tag, pcl_bytes_of(seal, seal_size), octets);
    memset(octets + size, 'p', payload_size);
    return size + payload_size;
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    static const size_t seals[] = {0, SEAL_SIZE, SEAL_SIZE - 1, PCL_PACKED_SEAL_MAX};
    static const size_t payloads[] = {0, 1, 100, PCL_PACKED_PAYLOAD_MAX};
    static uint8_t octets[ROOM];
    for (size_t seal = 0; seal < 4; seal++) {
        for (size_t payload = 0; payload < 4; payload++) {
            size_t size = s_write(octets, UINT64_C(0x0102030405060708), seals[seal],
                                  payloads[payload]);
            pcl_packed packed;
            assert_true(pcl_packed_read(&packed, pcl_bytes_of(octets, size)));
            assert_true(packed.tag == UINT64_C(0x0102030405060708));
            assert_int_equal(packed.seal.size, seals[seal]);
            assert_int_equal(packed.payload.size, payloads[payload]);
            assert_true(packed.seal.size == 0 || packed.seal.data[0] == 's');
            assert_true(packed.payload.size == 0 || packed.payload.data[0] == 'p');
        }
    }
}

static void test_its_octets_are_those_of_the_rfc(void **state)
{
    (void)state;
    static const uint8_t written[] = {0xc1, 0x50, 0x43, 0x01, 0, 0, 0,    0,    0,    0,
                                      0,    7,    0,    0,    0, 0, 0x81, 0xa1, 0x76, 0x01};
    uint8_t head[PCL_PACKED_HEAD_MAX];
    pcl_packed packed;
    assert_int_equal(pcl_packed_write_head(7, pcl_bytes_of(NULL, 0), head), PCL_PACKED_FIXED_SIZE);
    assert_memory_equal(head, written, PCL_PACKED_FIXED_SIZE);
    assert_true(pcl_packed_read(&packed, pcl_bytes_of(written, sizeof written)));
    assert_int_equal(packed.payload.size, 4);
}

static void test_any_other_shape_is_refused(void **state)
{
    (void)state;
    static uint8_t octets[ROOM];
    pcl_packed packed = {.tag = 42};
    size_t size = s_write(octets, 1, SEAL_SIZE, 0);
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(pcl_packed_read(&packed, pcl_bytes_of(octets, cut)));
    }
    for (size_t at = 0; at < 4; at++) { /* the mark, and with it the version */
        octets[at] ^= 1;
        assert_false(pcl_packed_read(&packed, pcl_bytes_of(octets, size)));
        octets[at] ^= 1;
    }
    for (size_t at = 13; at < 16; at++) { /* what is reserved */
        octets[at] = 1;
        assert_false(pcl_packed_read(&packed, pcl_bytes_of(octets, size)));
        octets[at] = 0;
    }
    size = s_write(octets, 1, 0, PCL_PACKED_PAYLOAD_MAX + 1);
    assert_false(pcl_packed_read(&packed, pcl_bytes_of(octets, size)));
    assert_int_equal(packed.tag, 42);
}

/* A frame of so many messages with tags from 1 on, whose payloads have that size. */
static pcl_bytes s_many(pcl_packed_writer *writer, uint32_t count, size_t payload_size)
{
    static uint8_t payload[PCL_PACKED_PAYLOAD_MAX];
    memset(payload, 'p', sizeof payload);
    pcl_packed_writer_clear(writer);
    for (uint32_t tag = 1; tag <= count; tag++) {
        payload[0] = (uint8_t)tag;
        assert_true(pcl_packed_writer_add(writer, tag, pcl_bytes_text(tag % 2 == 0 ? "seal" : ""),
                                          pcl_bytes_of(payload, payload_size)));
    }
    return pcl_packed_writer_frame(writer);
}

static void test_several_are_read_as_they_were_written(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 17, PCL_PACKED_MANY_MAX};
    pcl_packed_writer writer;
    pcl_packed_writer_init(&writer);
    for (size_t index = 0; index < 4; index++) {
        pcl_packed_reader reader;
        pcl_packed packed;
        assert_true(pcl_packed_open(&reader, s_many(&writer, counts[index], 100)));
        for (uint32_t tag = 1; tag <= counts[index]; tag++) {
            assert_true(pcl_packed_next(&reader, &packed));
            assert_true(packed.tag == tag);
            assert_int_equal(packed.seal.size, tag % 2 == 0 ? 4 : 0);
            assert_int_equal(packed.payload.size, 100);
            assert_int_equal(packed.payload.data[0], tag);
        }
        assert_false(pcl_packed_next(&reader, &packed));
    }
    pcl_packed_writer_release(&writer);
}

static void test_one_of_several_is_what_it_is_alone(void **state)
{
    (void)state;
    static uint8_t alone[ROOM];
    pcl_packed_writer writer;
    pcl_packed_writer_init(&writer);
    (void)s_many(&writer, 1, 10);
    size_t size = s_write(alone, 1, 0, 10);
    alone[PCL_PACKED_FIXED_SIZE] = 1;
    assert_true(pcl_bytes_equal(pcl_packed_writer_single(&writer), pcl_bytes_of(alone, size)));
    pcl_packed_writer_release(&writer);
}

static void test_a_frame_that_is_full_takes_no_more_and_keeps_what_it_has(void **state)
{
    (void)state;
    static uint8_t large[PCL_PACKED_PAYLOAD_MAX];
    pcl_packed_writer writer;
    pcl_packed_reader reader;
    pcl_packed_writer_init(&writer);
    (void)s_many(&writer, PCL_PACKED_MANY_MAX, 1);
    assert_false(pcl_packed_writer_add(&writer, 1, pcl_bytes_of(NULL, 0), pcl_bytes_text("x")));
    pcl_packed_writer_clear(&writer);
    assert_true(pcl_packed_writer_add(&writer, 1, pcl_bytes_of(NULL, 0),
                                      pcl_bytes_of(large, sizeof large)));
    assert_false(pcl_packed_writer_add(&writer, 2, pcl_bytes_of(NULL, 0),
                                       pcl_bytes_of(large, sizeof large)));
    assert_true(pcl_packed_writer_add(&writer, 3, pcl_bytes_of(NULL, 0), pcl_bytes_text("x")));
    assert_int_equal(writer.count, 2);
    assert_true(pcl_packed_open(&reader, pcl_packed_writer_frame(&writer)));
    pcl_packed_writer_release(&writer);
}

/* As a whole or not at all: a fault in the last message is one of the frame. */
static void test_several_of_another_shape_are_refused(void **state)
{
    (void)state;
    static uint8_t octets[2 * PCL_PACKED_SIZE_MAX];
    pcl_packed_writer writer;
    pcl_packed_reader reader = {.left = pcl_bytes_of(octets, 42)};
    pcl_packed_writer_init(&writer);
    pcl_bytes frame = s_many(&writer, 3, 10);
    size_t each = 4 + PCL_PACKED_FIXED_SIZE + 10; /* and a seal of 4 in the second */
    memcpy(octets, frame.data, frame.size);
    for (size_t cut = 0; cut < frame.size; cut++) {
        bool ends_one = cut == 4 + each || cut == 4 + each + each + 4;
        assert_int_equal(pcl_packed_open(&reader, pcl_bytes_of(octets, cut)), ends_one);
    }
    assert_false(pcl_packed_open(&reader, pcl_bytes_of(octets, frame.size + 1)));
    const size_t faults[] = {0, 3, 4, 7, 8, 8 + 13, frame.size - each, frame.size - each + 4};
    for (size_t index = 0; index < sizeof faults / sizeof faults[0]; index++) {
        octets[faults[index]] ^= 0x60;
        reader.left = pcl_bytes_of(octets, 42);
        assert_false(pcl_packed_open(&reader, pcl_bytes_of(octets, frame.size)));
        assert_int_equal(reader.left.size, 42); /* untouched */
        octets[faults[index]] ^= 0x60;
    }
    /* One more than there may be, and an empty payload. */
    frame = s_many(&writer, PCL_PACKED_MANY_MAX, 1);
    memcpy(octets, frame.data, frame.size);
    memcpy(octets + frame.size, octets + 4, 4 + PCL_PACKED_FIXED_SIZE + 1);
    assert_true(pcl_packed_open(&reader, pcl_bytes_of(octets, frame.size)));
    assert_false(
        pcl_packed_open(&reader, pcl_bytes_of(octets, frame.size + 4 + PCL_PACKED_FIXED_SIZE + 1)));
    octets[7] = PCL_PACKED_FIXED_SIZE;
    assert_false(pcl_packed_open(&reader, pcl_bytes_of(octets, 8 + PCL_PACKED_FIXED_SIZE)));
    pcl_packed_writer_release(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_its_octets_are_those_of_the_rfc),
        cmocka_unit_test(test_any_other_shape_is_refused),
        cmocka_unit_test(test_several_are_read_as_they_were_written),
        cmocka_unit_test(test_one_of_several_is_what_it_is_alone),
        cmocka_unit_test(test_a_frame_that_is_full_takes_no_more_and_keeps_what_it_has),
        cmocka_unit_test(test_several_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
