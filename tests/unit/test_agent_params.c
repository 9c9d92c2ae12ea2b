/* Parameters: each type of the protocol, and what is none of them. */
#include "worker-agent/params.h"

#include "wire/mp.h"
#include "wire/request.h"

#include <math.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { PARAMS_MAX = 16 };

typedef struct reading {
    pcl_err err;
    pcl_param params[PARAMS_MAX];
    uint32_t count;
    uint32_t index;
    const char *rule;
} reading;

static reading s_read(const pcl_buffer *buffer)
{
    reading result = {.rule = ""};
    assert_false(buffer->failed);
    result.err = pcl_params_read(pcl_buffer_bytes(buffer), result.params, PARAMS_MAX, &result.count,
                                 &result.index, &result.rule);
    return result;
}

static void test_every_type_is_read(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4096);
    pcl_mp_put_array(&buffer, 10);
    pcl_mp_put_nil(&buffer);
    pcl_mp_put_bool(&buffer, true);
    pcl_mp_put_int(&buffer, INT64_MIN);
    pcl_mp_put_uint(&buffer, INT64_MAX);
    pcl_mp_put_uint(&buffer, UINT64_MAX);
    pcl_mp_put_double(&buffer, 1.25);
    pcl_mp_put_text(&buffer, "text");
    pcl_mp_put_bin(&buffer, pcl_bytes_of("\x00\xff", 2));
    pcl_mp_put_ext(&buffer, PCL_EXT_DECIMAL, pcl_bytes_text("-1.50"));
    pcl_mp_put_ext(&buffer, PCL_EXT_TEMPORAL, pcl_bytes_text("2026-11-22 10:00:00.5"));
    reading got = s_read(&buffer);
    assert_int_equal(got.err, PCL_ERR_OK);
    assert_int_equal(got.count, 10);
    assert_int_equal(got.params[0].type, PCL_PARAM_NULL);
    assert_int_equal(got.params[1].type, PCL_PARAM_INT);
    assert_int_equal(got.params[1].value.sint, 1);
    assert_true(got.params[2].type == PCL_PARAM_INT && got.params[2].value.sint == INT64_MIN);
    assert_true(got.params[3].type == PCL_PARAM_INT && got.params[3].value.sint == INT64_MAX);
    assert_true(got.params[4].type == PCL_PARAM_UINT && got.params[4].value.uint == UINT64_MAX);
    assert_true(got.params[5].type == PCL_PARAM_DOUBLE && got.params[5].value.real == 1.25);
    assert_int_equal(got.params[6].type, PCL_PARAM_TEXT);
    assert_true(pcl_bytes_is(got.params[6].bytes, "text"));
    assert_int_equal(got.params[7].type, PCL_PARAM_OCTETS);
    assert_int_equal(got.params[7].bytes.size, 2);
    assert_int_equal(got.params[8].type, PCL_PARAM_DECIMAL);
    assert_true(pcl_bytes_is(got.params[8].bytes, "-1.50"));
    assert_int_equal(got.params[9].type, PCL_PARAM_TEMPORAL);
    pcl_buffer_release(&buffer);
}

static void test_no_array_is_no_parameter(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 64);
    reading got = s_read(&buffer);
    assert_int_equal(got.err, PCL_ERR_OK);
    assert_int_equal(got.count, 0);
    pcl_buffer_release(&buffer);
}

static void assert_second_is_refused(pcl_buffer *buffer)
{
    reading got = s_read(buffer);
    assert_int_equal(got.err, PCL_ERR_MALFORMED);
    assert_int_equal(got.index, 1);
    assert_true(got.rule[0] != '\0');
}

static void test_what_is_no_parameter_is_named(void **state)
{
    (void)state;
    static const double NO_NUMBERS[] = {NAN, INFINITY, -INFINITY};
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4096);
    for (size_t index = 0; index < sizeof NO_NUMBERS / sizeof NO_NUMBERS[0]; index++) {
        pcl_buffer_clear(&buffer);
        pcl_mp_put_array(&buffer, 2);
        pcl_mp_put_nil(&buffer);
        pcl_mp_put_double(&buffer, NO_NUMBERS[index]);
        assert_second_is_refused(&buffer);
    }
    static const struct {
        int8_t type;
        const char *text;
    } EXTS[] = {{PCL_EXT_DECIMAL, "1.5x"}, {PCL_EXT_TEMPORAL, "now()"}, {9, "1"}};
    for (size_t index = 0; index < sizeof EXTS / sizeof EXTS[0]; index++) {
        pcl_buffer_clear(&buffer);
        pcl_mp_put_array(&buffer, 2);
        pcl_mp_put_nil(&buffer);
        pcl_mp_put_ext(&buffer, EXTS[index].type, pcl_bytes_text(EXTS[index].text));
        assert_second_is_refused(&buffer);
    }
    pcl_buffer_clear(&buffer);
    pcl_mp_put_array(&buffer, 2);
    pcl_mp_put_nil(&buffer);
    pcl_mp_put_array(&buffer, 0);
    assert_second_is_refused(&buffer);
    pcl_buffer_release(&buffer);
}

static void test_more_than_there_is_room_for_is_refused(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4096);
    pcl_mp_put_array(&buffer, PARAMS_MAX + 1);
    for (int count = 0; count <= PARAMS_MAX; count++) {
        pcl_mp_put_nil(&buffer);
    }
    assert_int_equal(s_read(&buffer).err, PCL_ERR_MALFORMED);
    pcl_buffer_release(&buffer);
}

static uint8_t s_kind(pcl_param_type type, const char *text)
{
    pcl_param param = {.type = type, .bytes = pcl_bytes_text(text)};
    return pcl_param_kind(&param);
}

/* Each text is of another kind than those of the other rows, of the same as the second. */
static void test_kinds_tell_dates_and_times_apart(void **state)
{
    (void)state;
    static const char *const ROWS[][2] = {
        {"2026-11-22", "0000-00-00"},
        {"10:00:00", "-838:59:59.123456"},
        {"2026-11-22 10:00:00", "2026-11-22T10:00:00.123456"},
        {"", "2026-11-22 and what happened on that day"},
    };
    enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };
    for (size_t index = 0; index < ROW_COUNT; index++) {
        uint8_t kind = s_kind(PCL_PARAM_TEXT, ROWS[index][0]);
        assert_int_equal(kind, s_kind(PCL_PARAM_TEXT, ROWS[index][1]));
        for (size_t other = 0; other < ROW_COUNT; other++) {
            assert_int_equal(index == other, kind == s_kind(PCL_PARAM_TEXT, ROWS[other][0]));
        }
        assert_int_not_equal(kind, s_kind(PCL_PARAM_TEMPORAL, ROWS[index][0]));
        assert_int_equal(s_kind(PCL_PARAM_OCTETS, ROWS[index][0]), PCL_PARAM_OCTETS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_read),
        cmocka_unit_test(test_no_array_is_no_parameter),
        cmocka_unit_test(test_what_is_no_parameter_is_named),
        cmocka_unit_test(test_kinds_tell_dates_and_times_apart),
        cmocka_unit_test(test_more_than_there_is_room_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
