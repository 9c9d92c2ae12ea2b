/* MySQL's values to msgpack, without a server: what a column is, and what its
 * cells become. */
#include "worker-agent/values.h"

#include "wire/mp.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct naming {
    pcl_column_info info;
    const char *name;
    pcl_cell_kind kind;
} naming;

enum { UTF8 = 45, BINARY = 63, UNSIGNED_BIT = 32, ENUM_BIT = 256, SET_BIT = 2048 };

static const naming NAMINGS[] = {
    {{.type = PCL_MYSQL_TINY, .charset = BINARY}, "TINYINT", PCL_CELL_INT},
    {{.type = PCL_MYSQL_SHORT, .charset = BINARY}, "SMALLINT", PCL_CELL_INT},
    {{.type = PCL_MYSQL_INT24, .charset = BINARY}, "MEDIUMINT", PCL_CELL_INT},
    {{.type = PCL_MYSQL_LONG, .charset = BINARY}, "INT", PCL_CELL_INT},
    {{.type = PCL_MYSQL_LONGLONG, .charset = BINARY}, "BIGINT", PCL_CELL_INT},
    {{.type = PCL_MYSQL_LONGLONG, .flags = UNSIGNED_BIT}, "BIGINT", PCL_CELL_UINT},
    {{.type = PCL_MYSQL_YEAR}, "YEAR", PCL_CELL_UINT},
    {{.type = PCL_MYSQL_FLOAT}, "FLOAT", PCL_CELL_FLOAT},
    {{.type = PCL_MYSQL_DOUBLE}, "DOUBLE", PCL_CELL_DOUBLE},
    {{.type = PCL_MYSQL_NEWDECIMAL, .charset = BINARY}, "DECIMAL", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_DATE}, "DATE", PCL_CELL_DATE},
    {{.type = PCL_MYSQL_TIME}, "TIME", PCL_CELL_TIME},
    {{.type = PCL_MYSQL_DATETIME}, "DATETIME", PCL_CELL_DATETIME},
    {{.type = PCL_MYSQL_TIMESTAMP}, "TIMESTAMP", PCL_CELL_DATETIME},
    {{.type = PCL_MYSQL_BIT, .charset = BINARY}, "BIT", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_GEOMETRY, .charset = BINARY}, "GEOMETRY", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_VECTOR, .charset = BINARY}, "VECTOR", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_JSON, .charset = BINARY}, "JSON", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_VAR_STRING, .charset = UTF8}, "VARCHAR", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_VAR_STRING, .charset = BINARY}, "VARBINARY", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_STRING, .charset = UTF8}, "CHAR", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_STRING, .charset = BINARY}, "BINARY", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_STRING, .charset = UTF8, .flags = ENUM_BIT}, "ENUM", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_STRING, .charset = UTF8, .flags = SET_BIT}, "SET", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_BLOB, .charset = BINARY, .length = 255}, "TINYBLOB", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_BLOB, .charset = BINARY, .length = 65535}, "BLOB", PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_BLOB, .charset = BINARY, .length = 16777215},
     "MEDIUMBLOB",
     PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_BLOB, .charset = BINARY, .length = UINT32_MAX},
     "LONGBLOB",
     PCL_CELL_OCTETS},
    {{.type = PCL_MYSQL_BLOB, .charset = UTF8, .length = 1020}, "TINYTEXT", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_BLOB, .charset = UTF8, .length = 262140}, "TEXT", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_BLOB, .charset = UTF8, .length = 67108860}, "MEDIUMTEXT", PCL_CELL_TEXT},
    {{.type = PCL_MYSQL_BLOB, .charset = UTF8, .length = UINT32_MAX}, "LONGTEXT", PCL_CELL_TEXT},
    {{.type = 200, .charset = BINARY}, "VARBINARY", PCL_CELL_OCTETS},
};

static void test_columns_have_mysqls_names(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof NAMINGS / sizeof NAMINGS[0]; index++) {
        pcl_column column = pcl_column_of(&NAMINGS[index].info);
        assert_string_equal(column.type_name, NAMINGS[index].name);
        assert_int_equal(column.kind, NAMINGS[index].kind);
    }
}

static void test_a_column_is_name_type_and_mysqls_own_flags(void **state)
{
    (void)state;
    pcl_column_info info = {.type = PCL_MYSQL_LONG, .flags = 0x8000u | 3u};
    pcl_column column = pcl_column_of(&info);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 64);
    pcl_column_put(&buffer, &column, pcl_bytes_text("id"));
    static const char WANTED[] = "\x93\xa2id\xa3INT\x03";
    assert_int_equal(buffer.size, sizeof WANTED - 1);
    assert_memory_equal(buffer.data, WANTED, sizeof WANTED - 1);
    pcl_buffer_release(&buffer);
}

static void assert_time(pcl_mysql_type type, uint32_t decimals, pcl_time_value value,
                        const char *wanted)
{
    pcl_column_info info = {.type = type, .decimals = decimals};
    pcl_column column = pcl_column_of(&info);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 64);
    pcl_cell_put_time(&buffer, &column, &value);
    pcl_mp_reader reader = pcl_mp_reader_of(pcl_buffer_bytes(&buffer));
    pcl_mp_value read;
    assert_true(pcl_mp_next(&reader, &read));
    assert_int_equal(read.type, PCL_MP_STR);
    assert_int_equal(read.bytes.size, strlen(wanted));
    assert_memory_equal(read.bytes.data, wanted, read.bytes.size);
    pcl_buffer_release(&buffer);
}

static void test_times_are_iso_text_with_the_columns_decimals(void **state)
{
    (void)state;
    pcl_time_value day = {.year = 2026, .month = 11, .day = 22, .hour = 10, .microsecond = 120000};
    assert_time(PCL_MYSQL_DATE, 0, day, "2026-11-22");
    assert_time(PCL_MYSQL_DATETIME, 0, day, "2026-11-22 10:00:00");
    assert_time(PCL_MYSQL_DATETIME, 3, day, "2026-11-22 10:00:00.120");
    assert_time(PCL_MYSQL_TIMESTAMP, 6, day, "2026-11-22 10:00:00.120000");
    assert_time(PCL_MYSQL_DATETIME, 31, day, "2026-11-22 10:00:00.120000");
    day.microsecond = 0;
    assert_time(PCL_MYSQL_DATETIME, 31, day, "2026-11-22 10:00:00");
    assert_time(PCL_MYSQL_DATE, 0, (pcl_time_value){0}, "0000-00-00");
    assert_time(PCL_MYSQL_DATETIME, 0, (pcl_time_value){0}, "0000-00-00 00:00:00");
}

static void test_a_time_of_day_may_be_long_and_negative(void **state)
{
    (void)state;
    pcl_time_value longest = {.hour = 838, .minute = 59, .second = 59, .negative = true};
    assert_time(PCL_MYSQL_TIME, 0, longest, "-838:59:59");
    assert_time(PCL_MYSQL_TIME, 6, longest, "-838:59:59.000000");
    assert_time(PCL_MYSQL_TIME, 0, (pcl_time_value){.day = 34, .hour = 22}, "838:00:00");
    assert_time(PCL_MYSQL_TIME, 1, (pcl_time_value){.hour = 1, .microsecond = 500000},
                "01:00:00.5");
}

static pcl_mp_type s_type_of_text(pcl_bytes octets)
{
    pcl_column_info info = {.type = PCL_MYSQL_VAR_STRING, .charset = UTF8};
    pcl_column column = pcl_column_of(&info);
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 64);
    pcl_cell_put_octets(&buffer, &column, octets);
    pcl_mp_reader reader = pcl_mp_reader_of(pcl_buffer_bytes(&buffer));
    pcl_mp_value read;
    assert_true(pcl_mp_next(&reader, &read));
    assert_true(pcl_bytes_equal(read.bytes, octets));
    pcl_buffer_release(&buffer);
    return read.type;
}

static void test_text_that_is_no_utf8_comes_as_octets(void **state)
{
    (void)state;
    assert_int_equal(s_type_of_text(pcl_bytes_text("h\xc3\xa4llo")), PCL_MP_STR);
    assert_int_equal(s_type_of_text(pcl_bytes_text("h\xff")), PCL_MP_BIN);
    assert_int_equal(s_type_of_text(pcl_bytes_of(NULL, 0)), PCL_MP_STR);
}

static pcl_mp_value s_from_text(pcl_mysql_type type, uint32_t flags, const char *text,
                                pcl_buffer *buffer)
{
    pcl_column_info info = {.type = type, .flags = flags, .charset = BINARY};
    pcl_column column = pcl_column_of(&info);
    pcl_buffer_clear(buffer);
    pcl_cell_put_text(buffer, &column, pcl_bytes_text(text));
    pcl_mp_reader reader = pcl_mp_reader_of(pcl_buffer_bytes(buffer));
    pcl_mp_value value;
    assert_true(pcl_mp_next(&reader, &value));
    return value;
}

static void test_the_text_protocol_yields_the_same_types(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 256);
    assert_true(s_from_text(PCL_MYSQL_LONGLONG, 0, "-9223372036854775808", &buffer).sint ==
                INT64_MIN);
    assert_true(
        s_from_text(PCL_MYSQL_LONGLONG, UNSIGNED_BIT, "18446744073709551615", &buffer).uint ==
        UINT64_MAX);
    assert_true(s_from_text(PCL_MYSQL_DOUBLE, 0, "1e308", &buffer).real == 1e308);
    assert_true(s_from_text(PCL_MYSQL_FLOAT, 0, "1.5", &buffer).real == 1.5);
    assert_int_equal(s_from_text(PCL_MYSQL_NEWDECIMAL, 0, "1.50", &buffer).type, PCL_MP_STR);
    assert_int_equal(s_from_text(PCL_MYSQL_DATETIME, 0, "2026-11-22 10:00:00", &buffer).type,
                     PCL_MP_STR);
    assert_int_equal(s_from_text(PCL_MYSQL_BLOB, 0, "x", &buffer).type, PCL_MP_BIN);
    /* What the server did not say as a number is not made one. */
    assert_int_equal(s_from_text(PCL_MYSQL_LONG, 0, "12x", &buffer).type, PCL_MP_BIN);
    assert_int_equal(s_from_text(PCL_MYSQL_LONG, 0, "", &buffer).type, PCL_MP_BIN);
    pcl_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_have_mysqls_names),
        cmocka_unit_test(test_a_column_is_name_type_and_mysqls_own_flags),
        cmocka_unit_test(test_times_are_iso_text_with_the_columns_decimals),
        cmocka_unit_test(test_a_time_of_day_may_be_long_and_negative),
        cmocka_unit_test(test_text_that_is_no_utf8_comes_as_octets),
        cmocka_unit_test(test_the_text_protocol_yields_the_same_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
