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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_its_octets_are_those_of_the_rfc),
        cmocka_unit_test(test_any_other_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
