#include "tests/lib/octets.h"
#include "tests/lib/seed.h"
#include "wire/mp.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEPTH_MAX 8u
#define KEYS_MAX  32u

static pcl_err s_check(pcl_bytes source)
{
    return pcl_mp_check(source, DEPTH_MAX, KEYS_MAX, NULL);
}

static pcl_err s_check_hex(const char *hex)
{
    uint8_t octets[512];
    return s_check(pcl_octets_of(hex, octets, sizeof octets));
}

/* The rule that the octets break; "" when they break none. */
static const char *s_rule(const char *hex)
{
    uint8_t octets[512];
    pcl_mp_fault fault = {.rule = ""};
    pcl_bytes source = pcl_octets_of(hex, octets, sizeof octets);
    (void)!pcl_mp_check(source, DEPTH_MAX, KEYS_MAX, &fault); /* the rule says it all */
    return fault.rule;
}

/* The only value of the octets. */
static pcl_mp_value s_only(const char *hex)
{
    static uint8_t octets[512]; /* the value borrows from it */
    pcl_bytes source = pcl_octets_of(hex, octets, sizeof octets);
    assert_int_equal(s_check(source), PCL_ERR_OK);
    pcl_mp_reader reader = pcl_mp_reader_of(source);
    pcl_mp_value value;
    assert_true(pcl_mp_next(&reader, &value));
    return value;
}

static void test_every_integer_format_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        uint64_t number;
    } positive[] = {
        {"00", 0},
        {"7f", 127},
        {"cc ff", 255},
        {"cd ff ff", 65535},
        {"ce ff ff ff ff", UINT32_MAX},
        {"cf ff ff ff ff ff ff ff ff", UINT64_MAX},
        {"d0 7f", 127},
        {"d1 7f ff", INT16_MAX},
        {"d2 7f ff ff ff", INT32_MAX},
        {"d3 7f ff ff ff ff ff ff ff", INT64_MAX},
    };
    static const struct {
        const char *hex;
        int64_t number;
    } negative[] = {
        {"ff", -1},
        {"e0", -32},
        {"d0 80", INT8_MIN},
        {"d1 80 00", INT16_MIN},
        {"d2 80 00 00 00", INT32_MIN},
        {"d3 80 00 00 00 00 00 00 00", INT64_MIN},
        {"d3 ff ff ff ff ff ff ff ff", -1},
    };
    for (size_t index = 0; index < sizeof positive / sizeof positive[0]; index++) {
        pcl_mp_value value = s_only(positive[index].hex);
        assert_int_equal(value.type, PCL_MP_UINT);
        assert_true(value.uint == positive[index].number);
        assert_true(value.uint > INT64_MAX || value.sint == (int64_t)value.uint);
    }
    for (size_t index = 0; index < sizeof negative / sizeof negative[0]; index++) {
        pcl_mp_value value = s_only(negative[index].hex);
        assert_int_equal(value.type, PCL_MP_INT);
        assert_true(value.sint == negative[index].number);
    }
}

static void test_every_other_format_is_read(void **state)
{
    (void)state;
    assert_int_equal(s_only("c0").type, PCL_MP_NIL);
    assert_false(s_only("c2").boolean);
    assert_true(s_only("c3").boolean);
    assert_true(s_only("ca 3f 80 00 00").real == 1.0);
    assert_true(s_only("cb bf f8 00 00 00 00 00 00").real == -1.5);
    assert_true(pcl_bytes_is(s_only("a2 68 69").bytes, "hi"));
    assert_true(pcl_bytes_is(s_only("d9 02 68 69").bytes, "hi"));
    assert_true(pcl_bytes_is(s_only("da 00 02 68 69").bytes, "hi"));
    assert_true(pcl_bytes_is(s_only("db 00 00 00 02 68 69").bytes, "hi"));
    assert_int_equal(s_only("c4 02 ff 00").type, PCL_MP_BIN);
    assert_int_equal(s_only("c5 00 02 ff 00").bytes.size, 2);
    assert_int_equal(s_only("c6 00 00 00 02 ff 00").bytes.size, 2);
    assert_int_equal(s_only("92 c0 c0").count, 2);
    assert_int_equal(s_only("dc 00 02 c0 c0").count, 2);
    assert_int_equal(s_only("dd 00 00 00 02 c0 c0").count, 2);
    assert_int_equal(s_only("81 a1 61 c0").count, 1);
    assert_int_equal(s_only("de 00 01 a1 61 c0").count, 1);
    assert_int_equal(s_only("df 00 00 00 01 a1 61 c0").count, 1);
}

static void test_every_extension_format_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        size_t size;
    } formats[] = {
        {"d4 01 aa", 1},
        {"d5 01 aa aa", 2},
        {"d6 01 aa aa aa aa", 4},
        {"d7 01 aa aa aa aa aa aa aa aa", 8},
        {"d8 01 aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa", 16},
        {"c7 00 01", 0},
        {"c7 03 01 aa aa aa", 3},
        {"c8 00 03 01 aa aa aa", 3},
        {"c9 00 00 00 03 01 aa aa aa", 3},
    };
    for (size_t index = 0; index < sizeof formats / sizeof formats[0]; index++) {
        pcl_mp_value value = s_only(formats[index].hex);
        assert_int_equal(value.type, PCL_MP_EXT);
        assert_int_equal(value.ext_type, 1);
        assert_int_equal(value.bytes.size, formats[index].size);
        assert_true(value.bytes.size == 0 || value.bytes.data[0] == 0xaa);
    }
    assert_int_equal(s_only("d4 ff aa").ext_type, -1);
}

/* A document with every type in it, nested. */
static const char s_rich[] = "88"
                             "a1 61 c0"
                             "a1 62 93 c2 c3 ff"
                             "a1 63 cb 3f f8 00 00 00 00 00 00"
                             "a1 64 c4 03 00 01 02"
                             "a1 65 d9 04 f0 9f 98 80"
                             "a1 66 82 a1 61 01 a1 62 91 90"
                             "a1 67 c7 04 01 31 2e 35 30"
                             "a1 68 cf ff ff ff ff ff ff ff ff";

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t octets[256];
    pcl_bytes source = pcl_octets_of(s_rich, octets, sizeof octets);
    assert_int_equal(s_check(source), PCL_ERR_OK);
    for (size_t size = 0; size < source.size; size++) {
        pcl_bytes part = pcl_bytes_of(source.data, size);
        assert_int_equal(s_check(part), PCL_ERR_MALFORMED);
        pcl_mp_reader reader = pcl_mp_reader_of(part);
        assert_false(pcl_mp_skip(&reader, NULL));
        assert_int_equal(reader.offset, 0); /* nothing is skipped by halves */
    }
}

static void test_octets_after_the_value_are_refused(void **state)
{
    (void)state;
    assert_string_equal(s_rule("c0 c0"), "octets follow the value");
    assert_string_equal(s_rule("81 a1 61 01 00"), "octets follow the value");
    assert_string_equal(s_rule("90 c1"), "octets follow the value");
    assert_string_equal(s_rule("c1"), "octet 0xc1 begins no value");
}

/* Each of these makes an unpacker that believes counts ask for gigabytes. */
static void test_counts_that_promise_too_much_are_refused(void **state)
{
    (void)state;
    static const char count[] = "a count promises more values than there are octets";
    static const char length[] = "a length promises more octets than there are";
    assert_string_equal(s_rule("dd ff 00 00 00"), count);
    assert_string_equal(s_rule("dd ff ff ff ff"), count);
    assert_string_equal(s_rule("dd 00 ff ff ff"), count);
    assert_string_equal(s_rule("dc ff ff c0"), count);
    assert_string_equal(s_rule("9f c0"), count);
    assert_string_equal(s_rule("df ff ff ff ff"), count);
    assert_string_equal(s_rule("df 80 00 00 00"), count);
    assert_string_equal(s_rule("82 a1 61"), count);
    assert_string_equal(s_rule("db ff ff ff ff 68 69"), length);
    assert_string_equal(s_rule("c6 ff ff ff ff 68 69"), length);
    assert_string_equal(s_rule("c9 ff ff ff ff 01 69"), length);
    assert_string_equal(s_rule("d8 01 00"), length);
    uint8_t octets[31 * 5];
    for (size_t index = 0; index < sizeof octets; index++) {
        static const uint8_t bomb[5] = {0xdd, 0x00, 0xff, 0xff, 0xff};
        octets[index] = bomb[index % 5];
    }
    assert_int_equal(pcl_mp_check(pcl_bytes_of(octets, sizeof octets), PCL_MP_DEPTH_MAX, 1, NULL),
                     PCL_ERR_MALFORMED);
}

static void test_depth_is_bounded_without_recursion(void **state)
{
    (void)state;
    static uint8_t octets[1u << 20];
    memset(octets, 0x91, sizeof octets);
    octets[sizeof octets - 1] = 0xc0;
    pcl_mp_fault fault;
    assert_int_equal(pcl_mp_check(pcl_bytes_of(octets, sizeof octets), DEPTH_MAX, KEYS_MAX, &fault),
                     PCL_ERR_MALFORMED);
    assert_string_equal(fault.rule, "containers are nested too deeply");
    assert_int_equal(fault.offset, DEPTH_MAX);
    for (uint32_t depth = 0; depth <= PCL_MP_DEPTH_MAX; depth++) {
        pcl_bytes nested = pcl_bytes_of(octets + sizeof octets - 1 - depth, depth + 1);
        assert_int_equal(pcl_mp_check(nested, depth, 0, NULL), PCL_ERR_OK);
        assert_true(depth == 0 || pcl_mp_check(nested, depth - 1, 0, NULL) == PCL_ERR_MALFORMED);
    }
    /* Skipping needs no depth: a million levels are one loop. */
    pcl_mp_reader reader = pcl_mp_reader_of(pcl_bytes_of(octets, sizeof octets));
    pcl_bytes skipped;
    assert_true(pcl_mp_skip(&reader, &skipped));
    assert_int_equal(skipped.size, sizeof octets);
}

static void test_keys_are_strings_and_unique_in_their_map(void **state)
{
    (void)state;
    static const char twice[] = "a map key appears twice";
    static const char type[] = "a map key is not a string";
    assert_string_equal(s_rule("82 a1 61 01 a1 61 01"), twice);
    assert_string_equal(s_rule("82 a1 61 01 d9 01 61 01"), twice); /* another format, same text */
    assert_string_equal(s_rule("83 a1 61 01 a1 62 01 db 00 00 00 01 61 01"), twice);
    assert_string_equal(s_rule("82 a0 01 a0 02"), twice);
    assert_string_equal(s_rule("82 a1 61 81 a1 61 01 a1 61 01"), twice); /* also around a map */
    assert_string_equal(s_rule("91 82 a1 61 01 a1 61 01"), twice);
    assert_string_equal(s_rule("81 01 01"), type);
    assert_string_equal(s_rule("81 c4 01 61 01"), type);
    assert_string_equal(s_rule("81 90 01"), type);
    assert_string_equal(s_rule("81 80 01"), type);
    assert_int_equal(s_check_hex("82 a1 61 81 a1 61 01 a1 62 81 a1 61 01"), PCL_ERR_OK);
    assert_int_equal(s_check_hex("92 81 a1 61 01 81 a1 61 01"), PCL_ERR_OK);
}

/* A map of count keys "0000", "0001", ... each with the value nil. */
static void s_put_wide_map(pcl_buffer *buffer, uint32_t count)
{
    pcl_mp_put_map(buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%04u", index);
        pcl_mp_put_text(buffer, key);
        pcl_mp_put_nil(buffer);
    }
}

static void test_keys_are_bounded(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1u << 20);
    s_put_wide_map(&buffer, PCL_MP_KEYS_MAX);
    pcl_bytes source = pcl_buffer_bytes(&buffer);
    assert_int_equal(pcl_mp_check(source, 1, PCL_MP_KEYS_MAX, NULL), PCL_ERR_OK);
    assert_int_equal(pcl_mp_check(source, 1, PCL_MP_KEYS_MAX - 1, NULL), PCL_ERR_MALFORMED);

    /* Maps inside the last value of maps: all their keys are open together. */
    for (uint32_t levels = 4; levels <= 5; levels++) {
        pcl_buffer_clear(&buffer);
        for (uint32_t level = 0; level < levels; level++) {
            s_put_wide_map(&buffer, PCL_MP_KEYS_MAX);
            pcl_buffer_truncate(&buffer, buffer.size - (level + 1 < levels ? 1 : 0));
        }
        pcl_mp_fault fault = {.rule = ""};
        pcl_err err = pcl_mp_check(pcl_buffer_bytes(&buffer), 8, PCL_MP_KEYS_MAX, &fault);
        assert_int_equal(err, levels == 4 ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        assert_string_equal(fault.rule,
                            levels == 4 ? "" : "nested maps have too many keys together");
    }
    pcl_buffer_release(&buffer);
}

static void test_strings_are_strict_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a0",          "a1 00",          "a1 7f",          "a2 c2 80",
        "a2 df bf",    "a3 e0 a0 80",    "a3 ed 9f bf",    "a3 ee 80 80",
        "a3 ef bf bf", "a4 f0 90 80 80", "a4 f4 8f bf bf", "ab 61 62 63 64 65 66 67 68 c3 a9 69",
    };
    static const char *const bad[] = {
        "a1 80",          /* a continuation alone */
        "a1 c3",          /* cut */
        "a2 c0 80",       /* overlong NUL */
        "a2 c1 bf",       /* overlong */
        "a3 e0 9f bf",    /* overlong */
        "a3 ed a0 80",    /* a surrogate */
        "a3 ed bf bf",    /* a surrogate */
        "a4 f0 8f bf bf", /* overlong */
        "a4 f4 90 80 80", /* above U+10FFFF */
        "a4 f5 80 80 80", /* never a first octet */
        "a1 ff",
        "a1 fe", /* likewise */
        "a2 e2 82",
        "a3 f0 9f 98", /* cut */
        "a3 e2 28 a1",
        "a4 f0 9f 28 80",                /* a continuation missing */
        "a9 61 62 63 64 65 66 67 68 80", /* after the fast way through ASCII */
        "a8 61 62 63 64 65 66 67 c3",    /* at the very end of it */
        "81 a1 ff 01",                   /* in a key */
    };
    for (size_t index = 0; index < sizeof good / sizeof good[0]; index++) {
        assert_string_equal(s_rule(good[index]), "");
    }
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        assert_string_equal(s_rule(bad[index]), "a string is not valid UTF-8");
    }
    assert_string_equal(s_rule("c4 01 ff"), ""); /* octets are not text */
}

static void test_long_formats_of_short_values_are_accepted(void **state)
{
    (void)state;
    assert_true(s_only("cf 00 00 00 00 00 00 00 05").uint == 5);
    assert_true(s_only("d3 00 00 00 00 00 00 00 05").uint == 5);
    assert_true(s_only("d3 ff ff ff ff ff ff ff fb").sint == -5);
    assert_int_equal(s_check_hex("df 00 00 00 01 db 00 00 00 01 61 dd 00 00 00 00"), PCL_ERR_OK);
}

static void test_a_fault_names_the_octet(void **state)
{
    (void)state;
    uint8_t octets[16];
    pcl_bytes source = pcl_octets_of("82 a1 61 01 a1 61 01", octets, sizeof octets);
    pcl_mp_fault fault;
    assert_int_equal(pcl_mp_check(source, DEPTH_MAX, KEYS_MAX, &fault), PCL_ERR_MALFORMED);
    assert_int_equal(fault.offset, 4);
}

static void test_writers_take_the_shortest_format(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4096);
    pcl_mp_put_array(&buffer, 14);
    pcl_mp_put_nil(&buffer);
    pcl_mp_put_bool(&buffer, true);
    pcl_mp_put_bool(&buffer, false);
    pcl_mp_put_uint(&buffer, 200);
    pcl_mp_put_int(&buffer, -33);
    pcl_mp_put_int(&buffer, 5);
    pcl_mp_put_double(&buffer, 1.5);
    pcl_mp_put_float(&buffer, 1.5F);
    pcl_mp_put_text(&buffer, "hi");
    pcl_mp_put_str(&buffer, pcl_bytes_of(NULL, 0));
    pcl_mp_put_bin(&buffer, pcl_bytes_of("\xff", 1));
    pcl_mp_put_ext(&buffer, 1, pcl_bytes_text("1.5"));
    pcl_mp_put_map(&buffer, 1);
    pcl_mp_put_raw(&buffer, pcl_bytes_text("\xa1\x61\x01"));
    size_t later = pcl_mp_put_array_later(&buffer);
    pcl_mp_put_uint(&buffer, 1);
    pcl_mp_put_uint(&buffer, 2);
    pcl_mp_patch_array(&buffer, later, 2);
    assert_false(buffer.failed);
    uint8_t octets[128];
    pcl_bytes expected = pcl_octets_of(
        "9e c0 c3 c2 cc c8 d0 df 05 cb 3f f8 00 00 00 00 00 00 ca 3f c0 00 00"
        "a2 68 69 a0 c4 01 ff c7 03 01 31 2e 35 81 a1 61 01 dd 00 00 00 02 01 02",
        octets, sizeof octets);
    assert_int_equal(buffer.size, expected.size);
    assert_memory_equal(buffer.data, expected.data, expected.size);
    assert_int_equal(s_check(expected), PCL_ERR_OK);
    pcl_buffer_release(&buffer);
}

static void test_a_full_buffer_fails_once_and_for_all(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4);
    pcl_mp_put_text(&buffer, "abc");
    assert_false(buffer.failed);
    size_t later = pcl_mp_put_array_later(&buffer);
    assert_true(buffer.failed);
    pcl_mp_patch_array(&buffer, later, 1); /* harmless: the head was never written */
    pcl_mp_put_nil(&buffer);
    assert_int_equal(buffer.size, 4);
    pcl_buffer_release(&buffer);
}

static void s_put_random(pcl_buffer *buffer, pcl_rng *rng, uint32_t depth)
{
    uint8_t octets[300];
    uint32_t size = pcl_rng_below(rng, pcl_rng_below(rng, 4) == 0 ? sizeof octets : 8);
    for (uint32_t index = 0; index < size; index++) {
        octets[index] = (uint8_t)('a' + pcl_rng_below(rng, 26));
    }
    uint32_t count = pcl_rng_below(rng, 5);
    switch (pcl_rng_below(rng, depth > 0 ? 11 : 8)) {
    case 0:
        pcl_mp_put_nil(buffer);
        break;
    case 1:
        pcl_mp_put_bool(buffer, pcl_rng_below(rng, 2) == 0);
        break;
    case 2:
        pcl_mp_put_uint(buffer, pcl_rng_next(rng) >> pcl_rng_below(rng, 64));
        break;
    case 3:
        pcl_mp_put_int(buffer, -(int64_t)(pcl_rng_next(rng) >> (1 + pcl_rng_below(rng, 63))));
        break;
    case 4:
        pcl_mp_put_double(buffer, (double)pcl_rng_below(rng, 1000) / 8);
        break;
    case 5:
        pcl_mp_put_str(buffer, pcl_bytes_of(octets, size));
        break;
    case 6:
        pcl_mp_put_bin(buffer, pcl_bytes_of(octets, size));
        break;
    case 7:
        pcl_mp_put_ext(buffer, (int8_t)pcl_rng_below(rng, 100), pcl_bytes_of(octets, size));
        break;
    case 8:
        pcl_mp_put_array(buffer, count);
        for (uint32_t index = 0; index < count; index++) {
            s_put_random(buffer, rng, depth - 1);
        }
        break;
    default:
        pcl_mp_put_map(buffer, count);
        for (uint32_t index = 0; index < count; index++) {
            pcl_mp_put_str(buffer, pcl_bytes_of(&(uint8_t){(uint8_t)('a' + index)}, 1));
            s_put_random(buffer, rng, depth - 1);
        }
        break;
    }
}

/* Walks head by head and says whether that ends exactly at the end. */
static bool s_walk_ends_exactly(pcl_bytes source)
{
    pcl_mp_reader reader = pcl_mp_reader_of(source);
    for (uint64_t left = 1; left > 0; left--) {
        pcl_mp_value value;
        if (!pcl_mp_next(&reader, &value)) {
            return false;
        }
        left += value.type == PCL_MP_MAP     ? 2 * (uint64_t)value.count
                : value.type == PCL_MP_ARRAY ? value.count
                                             : 0;
    }
    return reader.offset == source.size;
}

static void test_what_is_written_reads_and_what_checks_walks(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("mp");
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1u << 20);
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        pcl_buffer_clear(&buffer);
        s_put_random(&buffer, &rng, 6);
        assert_int_equal(s_check(pcl_buffer_bytes(&buffer)), PCL_ERR_OK);
        assert_true(s_walk_ends_exactly(pcl_buffer_bytes(&buffer)));
        for (uint32_t flip = 0; flip < 8; flip++) { /* each on top of the last */
            uint32_t at = pcl_rng_below(&rng, (uint32_t)buffer.size);
            buffer.data[at] = (uint8_t)pcl_rng_next(&rng);
            if (s_check(pcl_buffer_bytes(&buffer)) == PCL_ERR_OK) {
                accepted++;
                assert_true(s_walk_ends_exactly(pcl_buffer_bytes(&buffer)));
            }
        }
    }
    assert_true(accepted > 100); /* or the damaged half was never looked at */
    pcl_buffer_release(&buffer);
}

static void test_a_string_is_read_alone(void **state)
{
    (void)state;
    static const char *const same[] = {"a2 68 69 05", "d9 02 68 69 05", "da 00 02 68 69 05",
                                       "db 00 00 00 02 68 69 05"};
    static const char *const others[] = {"",      "05", "c4 02 68 69", "91 a1 68",
                                         "a2 68", "d9", "d9 02"};
    uint8_t octets[16];
    for (size_t index = 0; index < sizeof same / sizeof same[0]; index++) {
        pcl_bytes source = pcl_octets_of(same[index], octets, sizeof octets);
        pcl_mp_reader reader = pcl_mp_reader_of(source);
        pcl_bytes text;
        assert_true(pcl_mp_next_str(&reader, &text));
        assert_true(pcl_bytes_is(text, "hi"));
        assert_int_equal(reader.offset, source.size - 1);
    }
    for (size_t index = 0; index < sizeof others / sizeof others[0]; index++) {
        pcl_mp_reader reader = pcl_mp_reader_of(
            pcl_octets_of(others[index], octets, sizeof octets));
        pcl_bytes text;
        assert_false(pcl_mp_next_str(&reader, &text));
        assert_int_equal(reader.offset, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_integer_format_is_read),
        cmocka_unit_test(test_every_other_format_is_read),
        cmocka_unit_test(test_every_extension_format_is_read),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_octets_after_the_value_are_refused),
        cmocka_unit_test(test_counts_that_promise_too_much_are_refused),
        cmocka_unit_test(test_depth_is_bounded_without_recursion),
        cmocka_unit_test(test_keys_are_strings_and_unique_in_their_map),
        cmocka_unit_test(test_keys_are_bounded),
        cmocka_unit_test(test_strings_are_strict_utf8),
        cmocka_unit_test(test_long_formats_of_short_values_are_accepted),
        cmocka_unit_test(test_a_fault_names_the_octet),
        cmocka_unit_test(test_writers_take_the_shortest_format),
        cmocka_unit_test(test_a_full_buffer_fails_once_and_for_all),
        cmocka_unit_test(test_what_is_written_reads_and_what_checks_walks),
        cmocka_unit_test(test_a_string_is_read_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
