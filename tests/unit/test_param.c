#include "client/param.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static pcl_param s_parse(const char *argument)
{
    pcl_param param;
    const char *problem = NULL;
    if (!pcl_param_parse(&param, argument, &problem)) {
        fail_msg("%s: %s", argument, problem);
    }
    return param;
}

static void every_type_is_read(void **state)
{
    (void)state;
    assert_int_equal(s_parse("n:").type, PCL_PARAM_NULL);
    assert_int_equal(s_parse("i:-42").integer, -42);
    assert_true(s_parse("i:-9223372036854775808").integer == INT64_MIN);
    assert_true(s_parse("i:9223372036854775807").integer == INT64_MAX);
    assert_int_equal(s_parse("i:9223372036854775807").type, PCL_PARAM_INT);
    pcl_param large = s_parse("i:18446744073709551615");
    assert_int_equal(large.type, PCL_PARAM_UINT);
    assert_true(large.uinteger == UINT64_MAX);
    assert_true(s_parse("f:-1.5e3").real == -1500.0);
    assert_string_equal(s_parse("d:-12.50").text, "-12.50");
    assert_int_equal(s_parse("d:-12.50").type, PCL_PARAM_DECIMAL);
    assert_int_equal(s_parse("t:2026-11-22 15:33:30.5").type, PCL_PARAM_TEMPORAL);
    assert_string_equal(s_parse("t:-101:00:00").text, "-101:00:00");
    pcl_param blob = s_parse("b:0aFf");
    assert_int_equal(blob.type, PCL_PARAM_BLOB);
    assert_int_equal(blob.octets.size, 2);
    assert_memory_equal(blob.octets.data, "\x0a\xff", 2);
    pcl_param_release(&blob);
    blob = s_parse("b:0x00");
    assert_int_equal(blob.octets.size, 1);
    pcl_param_release(&blob);
    blob = s_parse("b:");
    assert_int_equal(blob.octets.size, 0);
    pcl_param_release(&blob);
}

static void plain_text_is_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "plain", "42", "http://x", ":x", "é:x", "1:2", "a"};
    for (size_t index = 0; index < sizeof texts / sizeof texts[0]; index++) {
        pcl_param param = s_parse(texts[index]);
        assert_int_equal(param.type, PCL_PARAM_TEXT);
        assert_string_equal(param.text, texts[index]);
    }
    assert_string_equal(s_parse("s:i:42").text, "i:42");
    assert_string_equal(s_parse("s:").text, "");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *problem;
    } cases[] = {
        {"n:x", "n: must not be followed"},
        {"i:", "i: must be followed by an integer"},
        {"i:1.5", "i: must be followed by an integer"},
        {"i:0x10", "i: must be followed by an integer"},
        {"i:18446744073709551616", "does not fit"},
        {"i:-9223372036854775809", "does not fit"},
        {"f:", "f: must be followed by a finite number"},
        {"f:1x", "f: must be followed by a finite number"},
        {"f:inf", "f: must be followed by a finite number"},
        {"f:1e999", "f: must be followed by a finite number"},
        {"b:0", "even number of digits"},
        {"b:zz", "hexadecimal"},
        {"d:1e5", "d: must be followed by a decimal"},
        {"d:", "d: must be followed by a decimal"},
        {"t:tomorrow", "t: must be followed by a date"},
        {"x:1", "there is no such type"},
        {"C:\\temp", "s:TEXT"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_param param;
        const char *problem = "";
        assert_false(pcl_param_parse(&param, cases[index].argument, &problem));
        if (strstr(problem, cases[index].problem) == NULL) {
            fail_msg("%s: %s", cases[index].argument, problem);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(plain_text_is_text),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
