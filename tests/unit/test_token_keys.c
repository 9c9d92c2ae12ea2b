#include "net/token_keys.h"

#include "tests/lib/seed.h"

#include <stdio.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of the examples in docs/rfc. */
#define KEY   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TOKEN "1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42"

static pcl_token_keys s_keys(const char *text)
{
    pcl_token_keys keys;
    assert_true(pcl_token_keys_read(&keys, pcl_bytes_text(text)));
    return keys;
}

static void test_keys_are_hexadecimal_words(void **state)
{
    (void)state;
    assert_int_equal(s_keys(KEY).count, 1);
    assert_int_equal(s_keys(KEY "\n").count, 1);
    assert_int_equal(s_keys(" " KEY "\n" OTHER " " KEY).count, 3);
    static const char *const bad[] = {
        "",
        "\n",
        "00",
        KEY "0",
        KEY "," OTHER,
        KEY " x",
        KEY " " KEY " " KEY " " KEY,
        "x00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        pcl_token_keys keys;
        assert_false(pcl_token_keys_read(&keys, pcl_bytes_text(bad[index])));
    }
}

static void test_a_token_is_that_of_the_document(void **state)
{
    (void)state;
    pcl_token_keys keys = s_keys(KEY);
    char token[PCL_TOKEN_SIZE_MAX + 1];
    assert_int_equal(pcl_token_make(&keys, pcl_bytes_text("0-1-42"), token), strlen(TOKEN));
    assert_string_equal(token, TOKEN);
}

static void test_only_the_key_proves_it(void **state)
{
    (void)state;
    pcl_token_keys keys = s_keys(KEY);
    pcl_token_keys other = s_keys(OTHER);
    pcl_token_keys both = s_keys(OTHER " " KEY);
    pcl_token_keys none = {.count = 0};
    pcl_bytes position;
    pcl_err err = PCL_ERR_OK;
    assert_null(pcl_token_prove(&keys, pcl_bytes_text(TOKEN), &position, &err));
    assert_true(pcl_bytes_is(position, "0-1-42"));
    assert_null(pcl_token_prove(&both, pcl_bytes_text(TOKEN), &position, &err));
    assert_non_null(pcl_token_prove(&other, pcl_bytes_text(TOKEN), &position, &err));
    assert_int_equal(err, PCL_ERR_FORBIDDEN);
    assert_non_null(pcl_token_prove(&none, pcl_bytes_text(TOKEN), &position, &err));
    assert_int_equal(err, PCL_ERR_UNSUPPORTED);
    assert_non_null(pcl_token_prove(&keys, pcl_bytes_text("0-1-42"), &position, &err));
    assert_int_equal(err, PCL_ERR_MALFORMED);
}

/* No octet can be changed. */
static void test_a_changed_token_is_refused(void **state)
{
    (void)state;
    pcl_token_keys keys = s_keys(KEY);
    pcl_rng rng = pcl_test_rng("token_keys");
    for (uint32_t round = 0; round < 20000; round++) {
        char token[] = TOKEN;
        uint32_t at = pcl_rng_below(&rng, sizeof token - 1);
        char octet = (char)pcl_rng_next(&rng);
        bool same = token[at] == octet;
        token[at] = octet;
        pcl_bytes position;
        pcl_err err = PCL_ERR_OK;
        const char *wrong = pcl_token_prove(&keys, pcl_bytes_of(token, sizeof token - 1), &position,
                                            &err);
        assert_int_equal(wrong == NULL, same);
        assert_true(same || err == PCL_ERR_FORBIDDEN || err == PCL_ERR_MALFORMED);
    }
}

static void test_several_are_merged(void **state)
{
    (void)state;
    pcl_token_keys keys = s_keys(KEY);
    char tokens[3][PCL_TOKEN_SIZE_MAX + 1];
    pcl_bytes texts[3];
    static const char *const positions[] = {"0-1-42", "0-2-50,1-1-7", "0-1-40"};
    for (size_t index = 0; index < 3; index++) {
        size_t size = pcl_token_make(&keys, pcl_bytes_text(positions[index]), tokens[index]);
        texts[index] = pcl_bytes_of(tokens[index], size);
    }
    char merged[PCL_GTID_SIZE_MAX + 1];
    pcl_err err = PCL_ERR_OK;
    assert_null(pcl_tokens_prove(&keys, texts, 3, merged, &err));
    assert_string_equal(merged, "0-1-42,0-2-50,1-1-7");
    (void)pcl_token_make(&keys, pcl_bytes_text("3e11fa47-71ca-11e1-9e33-c80aa9429562:7"),
                         tokens[1]);
    texts[1] = pcl_bytes_text(tokens[1]);
    assert_non_null(pcl_tokens_prove(&keys, texts, 3, merged, &err));
    assert_int_equal(err, PCL_ERR_MALFORMED);
    texts[1] = pcl_bytes_text("x");
    assert_non_null(pcl_tokens_prove(&keys, texts, 3, merged, &err));
    assert_int_equal(err, PCL_ERR_MALFORMED);
}

static void test_what_names_too_much_does_not_fit(void **state)
{
    (void)state;
    pcl_token_keys keys = s_keys(KEY);
    char token[2][PCL_TOKEN_SIZE_MAX + 1];
    pcl_bytes texts[2];
    for (unsigned half = 0; half < 2; half++) {
        char position[PCL_GTID_SIZE_MAX + 1];
        size_t size = 0;
        for (unsigned index = 0; index < 26; index++) {
            size += (size_t)snprintf(position + size, sizeof position - size, "%s0-%u-1000000",
                                     index > 0 ? "," : "", 1000 * (half + 1) + index);
        }
        assert_in_range(size, PCL_GTID_SIZE_MAX / 2 + 1, PCL_GTID_SIZE_MAX);
        texts[half] = pcl_bytes_of(
            token[half], pcl_token_make(&keys, pcl_bytes_of(position, size), token[half]));
    }
    char merged[PCL_GTID_SIZE_MAX + 1];
    pcl_err err = PCL_ERR_OK;
    assert_non_null(pcl_tokens_prove(&keys, texts, 2, merged, &err));
    assert_int_equal(err, PCL_ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_hexadecimal_words),
        cmocka_unit_test(test_a_token_is_that_of_the_document),
        cmocka_unit_test(test_only_the_key_proves_it),
        cmocka_unit_test(test_a_changed_token_is_refused),
        cmocka_unit_test(test_several_are_merged),
        cmocka_unit_test(test_what_names_too_much_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
