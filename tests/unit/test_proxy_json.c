/* msgpack to JSON, for pages: every type, escapes, and octets that are no msgpack. */
#include "common/rng.h"
#include "proxy/json.h"
#include "tests/lib/seed.h"
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
    assert_true(pcl_json_from_msgpack(pcl_buffer_bytes(&source), &target));
    static const char WANT[] = "{\"a\\\"\\\\\\u000a\":[null,true,-7,18446744073709551615,0.5],"
                               "\"\xc3\xa4\":\"00ff\",\"none\":null}";
    assert_true(pcl_bytes_is(pcl_buffer_bytes(&target), WANT));
    pcl_buffer_release(&source);
    pcl_buffer_release(&target);
}

static void test_what_is_not_whole_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "\x92\xc0", "\xc0\xc0", "\xa5xy", "\x81\xa1k"};
    static const size_t SIZES[] = {0, 2, 2, 3, 3};
    pcl_buffer target;
    pcl_buffer_init(&target, 64);
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        assert_false(pcl_json_from_msgpack(pcl_bytes_of(BAD[index], SIZES[index]), &target));
    }
    uint8_t deep[40];
    memset(deep, 0x91, sizeof deep);
    assert_false(pcl_json_from_msgpack(pcl_bytes_of(deep, sizeof deep), &target));
    pcl_buffer_clear(&target);
    uint8_t many[100]; /* more text than target holds */
    memset(many, 0xc0, sizeof many);
    many[0] = 0xdc;
    many[1] = 0;
    many[2] = 97;
    assert_false(pcl_json_from_msgpack(pcl_bytes_of(many, sizeof many), &target));
    pcl_buffer_release(&target);
}

static void test_any_octets_are_safe(void **state)
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
        (void)pcl_json_from_msgpack(pcl_bytes_of(octets, size), &target);
    }
    pcl_buffer_release(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_what_is_not_whole_is_refused),
        cmocka_unit_test(test_any_octets_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
