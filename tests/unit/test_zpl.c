#include "net/zpl.h"

#include "common/rng.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_zpl s_zpl;

static void s_start(const char *text)
{
    pcl_zpl_start(&s_zpl, pcl_bytes_text(text));
}

static void s_expect_value(uint32_t line, const char *path, const char *value)
{
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_ITEM);
    assert_int_equal(s_zpl.line, line);
    assert_string_equal(s_zpl.path, path);
    assert_int_equal(s_zpl.has_value, value != NULL);
    assert_true(value == NULL || pcl_bytes_is(s_zpl.value, value));
}

static void s_expect_fault(const char *text, const char *fault)
{
    s_start(text);
    pcl_zpl_result result;
    do {
        result = pcl_zpl_next(&s_zpl);
    } while (result == PCL_ZPL_ITEM);
    assert_int_equal(result, PCL_ZPL_BAD);
    assert_non_null(strstr(s_zpl.fault, fault));
}

static void test_paths_follow_the_indentation(void **state)
{
    (void)state;
    s_start("# head\n\na\n    b = 1\n    c\n        d = 2\n    e = 3\nf = 4");
    s_expect_value(3, "a", NULL);
    s_expect_value(4, "a/b", "1");
    s_expect_value(5, "a/c", NULL);
    s_expect_value(6, "a/c/d", "2");
    s_expect_value(7, "a/e", "3");
    s_expect_value(8, "f", "4");
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_END);
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_END);
}

static void test_values(void **state)
{
    (void)state;
    s_start("a=1\nb =  two words  # note\nc = \"#1 'x'\" # note\nd = '\"'\ne =\nf = \"\"\r\n");
    s_expect_value(1, "a", "1");
    s_expect_value(2, "b", "two words");
    s_expect_value(3, "c", "#1 'x'");
    s_expect_value(4, "d", "\"");
    s_expect_value(5, "e", "");
    s_expect_value(6, "f", "");
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_END);
}

static void test_faults(void **state)
{
    (void)state;
    s_expect_fault("a\n  b = 1\n", "steps of four");
    s_expect_fault("a\n\tb = 1\n", "of spaces");
    s_expect_fault("a\n        b = 1\n", "too far");
    s_expect_fault("    a = 1\n", "too far");
    s_expect_fault("a = \"x\n", "closing quote");
    s_expect_fault("a = \"x\" y\n", "follows the closing quote");
    s_expect_fault("= 1\n", "a name must stand here");
    s_expect_fault("a b\n", "must be followed by");
    pcl_zpl_start(&s_zpl, pcl_bytes_of("a\0b", 3));
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_BAD);
}

static void test_reading_goes_on_after_a_fault(void **state)
{
    (void)state;
    s_start("a\n    !\n    b = 1\n");
    s_expect_value(1, "a", NULL);
    assert_int_equal(pcl_zpl_next(&s_zpl), PCL_ZPL_BAD);
    assert_int_equal(s_zpl.line, 2);
    s_expect_value(3, "a/b", "1");
}

static void test_long_names_are_refused(void **state)
{
    (void)state;
    char text[PCL_ZPL_PATH_SIZE_MAX + 8];
    memset(text, 'a', sizeof text);
    text[PCL_ZPL_PATH_SIZE_MAX] = '\0';
    s_start(text);
    s_expect_value(1, text, NULL);
    text[PCL_ZPL_PATH_SIZE_MAX] = 'a';
    text[PCL_ZPL_PATH_SIZE_MAX + 1] = '\0';
    s_expect_fault(text, "too long");
}

/* Any octets are a safe input, and every line is told of at most once. */
static void test_any_octets_are_read_to_the_end(void **state)
{
    (void)state;
    static const char LETTERS[] = "ab =\"'#\n\n    \t\0/\xff";
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    pcl_rng rng = pcl_rng_from_seed(seed);
    for (int turn = 0; turn < 20000; turn++) {
        char text[64];
        uint32_t size = pcl_rng_below(&rng, sizeof text);
        uint32_t lines = 1;
        for (uint32_t index = 0; index < size; index++) {
            text[index] = LETTERS[pcl_rng_below(&rng, sizeof LETTERS - 1)];
            lines += text[index] == '\n';
        }
        uint32_t items = 0;
        pcl_zpl_start(&s_zpl, pcl_bytes_of(text, size));
        while (pcl_zpl_next(&s_zpl) != PCL_ZPL_END) {
            items++;
        }
        assert_true(items <= lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_follow_the_indentation),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_reading_goes_on_after_a_fault),
        cmocka_unit_test(test_long_names_are_refused),
        cmocka_unit_test(test_any_octets_are_read_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
