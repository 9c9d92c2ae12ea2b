/* msgpack to JSON: every type, escapes, and octets that are no msgpack. */
#include "common/limits.h"
#include "common/rng.h"
#include "tests/lib/seed.h"
#include "wire/json.h"
#include "wire/mp.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void test_every_type(void **state)
{
    (void)state;
    pcl_buffer source;
    pcl_buffer target;
    pcl_buffer_init(&source, 4096);
    pcl_buffer_init(&target, 4096);
    pcl_mp_put_map(&source, 3);
    pcl_mp_put_text(&source, "a\"\\\n");
    pcl_mp_put_array(&source, 5);
    pcl_mp_put_nil(&source);
    pcl_mp_put_bool(&source, true);
    pcl_mp_put_int(&source, -7);
    pcl_mp_put_uint(&source, UINT64_MAX);
    pcl_mp_put_double(&source, 0.5);
    pcl_mp_put_text(&source, "\xc3\xa4");
    pcl_mp_put_bin(&source, pcl_bytes_of("\x00\xff", 2));
    pcl_mp_put_text(&source, "none");
    pcl_mp_put_double(&source, INFINITY);
    assert_true(pcl_json_put(&target, pcl_buffer_bytes(&source)));
    static const char WANT[] = "{\"a\\\"\\\\\\n\":[null,true,-7,18446744073709551615,0.5],"
                               "\"\xc3\xa4\":\"0x00ff\",\"none\":null}";
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&target), WANT));
    pcl_buffer_release(&source);
    pcl_buffer_release(&target);
}

static void test_extremes(void **state)
{
    (void)state;
    pcl_buffer octets;
    pcl_buffer json;
    pcl_buffer_init(&octets, 4096);
    pcl_buffer_init(&json, 4096);
    pcl_mp_put_map(&octets, 3);
    pcl_mp_put_text(&octets, "list");
    pcl_mp_put_array(&octets, 4);
    pcl_mp_put_bool(&octets, true);
    pcl_mp_put_double(&octets, (double)INFINITY);
    pcl_mp_put_int(&octets, INT64_MIN);
    pcl_mp_put_ext(&octets, 1, pcl_bytes_of("\x01", 1));
    pcl_mp_put_text(&octets, "empty");
    pcl_mp_put_map(&octets, 0);
    pcl_mp_put_text(&octets, "text");
    pcl_mp_put_str(&octets, pcl_bytes_of("\"\\\0\x7f", 4));
    assert_true(pcl_json_put(&json, pcl_buffer_bytes(&octets)));
    pcl_buffer_put_u8(&json, '\0');
    assert_string_equal((const char *)json.data,
                        "{\"list\":[true,null,-9223372036854775808,\"0x01\"],\"empty\":{},"
                        "\"text\":\"\\\"\\\\\\u0000\\u007f\"}");
    for (size_t size = 0; size < octets.size; size++) {
        pcl_buffer_clear(&json);
        assert_false(pcl_json_put(&json, pcl_bytes_of(octets.data, size)));
    }
    pcl_buffer_release(&octets);
    pcl_buffer_release(&json);
}

static void test_what_is_not_whole_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "\x92\xc0", "\xc0\xc0", "\xa5xy", "\x81\xa1k"};
    static const size_t SIZES[] = {0, 2, 2, 3, 3};
    pcl_buffer target;
    pcl_buffer_init(&target, 64);
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        assert_false(pcl_json_put(&target, pcl_bytes_of(BAD[index], SIZES[index])));
    }
    uint8_t deep[40];
    memset(deep, 0x91, sizeof deep);
    assert_false(pcl_json_put(&target, pcl_bytes_of(deep, sizeof deep)));
    pcl_buffer_clear(&target);
    uint8_t many[100]; /* more text than target holds */
    memset(many, 0xc0, sizeof many);
    many[0] = 0xdc;
    many[1] = 0;
    many[2] = 97;
    assert_false(pcl_json_put(&target, pcl_bytes_of(many, sizeof many)));
    pcl_buffer_release(&target);
}

static void test_what_passes_the_check_is_written(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("json");
    pcl_buffer target;
    pcl_buffer_init(&target, 65536);
    for (int turn = 0; turn < 20000; turn++) {
        uint8_t octets[32];
        size_t size = pcl_rng_below(&rng, sizeof octets + 1);
        for (size_t offset = 0; offset < size; offset++) {
            octets[offset] = (uint8_t)pcl_rng_next(&rng);
        }
        pcl_buffer_clear(&target);
        bool written = pcl_json_put(&target, pcl_bytes_of(octets, size));
        bool good = pcl_mp_check(pcl_bytes_of(octets, size), PCL_MSGPACK_DEPTH_MAX, PCL_MP_KEYS_MAX,
                                 NULL) == PCL_ERR_OK;
        assert_true(written || !good);
    }
    pcl_buffer_release(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_what_is_not_whole_is_refused),
        cmocka_unit_test(test_what_passes_the_check_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
