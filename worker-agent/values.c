#include "worker-agent/values.h"

#include "wire/mp.h"
#include "wire/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FLAG_UNSIGNED   32u
#define FLAG_ENUM       256u
#define FLAG_SET        2048u
#define FLAGS_SHOWN     0x7fffu /* the next bit is the client library's own */
#define CHARSET_BINARY  63u
/* The longest a text of 255, 65,535 and 16,777,215 characters can be in
 * utf8mb4, which is how the server states the length of the TEXT types. */
#define UTF8_OCTETS_MAX 4u

static const char *s_blob_name(const pcl_column_info *info, bool binary)
{
    uint64_t unit = binary ? 1 : UTF8_OCTETS_MAX;
    if (info->length <= 255 * unit) {
        return binary ? "TINYBLOB" : "TINYTEXT";
    }
    if (info->length <= 65535 * unit) {
        return binary ? "BLOB" : "TEXT";
    }
    if (info->length <= 16777215 * unit) {
        return binary ? "MEDIUMBLOB" : "MEDIUMTEXT";
    }
    return binary ? "LONGBLOB" : "LONGTEXT";
}

static pcl_column s_string(const pcl_column_info *info, const char *binary_name,
                           const char *text_name)
{
    /* ENUM and SET travel as strings and are known by their flags only. */
    if ((info->flags & FLAG_ENUM) != 0) {
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "ENUM"};
    }
    if ((info->flags & FLAG_SET) != 0) {
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "SET"};
    }
    bool binary = info->charset == CHARSET_BINARY;
    return (pcl_column){.kind = binary ? PCL_CELL_OCTETS : PCL_CELL_TEXT,
                        .type_name = binary ? binary_name : text_name};
}

static pcl_column s_integer(const pcl_column_info *info, const char *name)
{
    bool is_unsigned = (info->flags & FLAG_UNSIGNED) != 0;
    return (pcl_column){.kind = is_unsigned ? PCL_CELL_UINT : PCL_CELL_INT, .type_name = name};
}

static pcl_column s_temporal(const pcl_column_info *info, pcl_cell_kind kind, const char *name)
{
    bool fixed = info->decimals <= 6;
    return (pcl_column){.kind = kind,
                        .decimals = (uint8_t)(fixed ? info->decimals : PCL_DECIMALS_FREE),
                        .type_name = name};
}

static pcl_column s_column(const pcl_column_info *info)
{
    switch ((pcl_mysql_type)info->type) {
    case PCL_MYSQL_TINY:
        return s_integer(info, "TINYINT");
    case PCL_MYSQL_SHORT:
        return s_integer(info, "SMALLINT");
    case PCL_MYSQL_INT24:
        return s_integer(info, "MEDIUMINT");
    case PCL_MYSQL_LONG:
        return s_integer(info, "INT");
    case PCL_MYSQL_LONGLONG:
        return s_integer(info, "BIGINT");
    case PCL_MYSQL_YEAR:
        return (pcl_column){.kind = PCL_CELL_UINT, .type_name = "YEAR"};
    case PCL_MYSQL_FLOAT:
        return (pcl_column){.kind = PCL_CELL_FLOAT, .type_name = "FLOAT"};
    case PCL_MYSQL_DOUBLE:
        return (pcl_column){.kind = PCL_CELL_DOUBLE, .type_name = "DOUBLE"};
    case PCL_MYSQL_DECIMAL:
    case PCL_MYSQL_NEWDECIMAL:
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "DECIMAL"};
    case PCL_MYSQL_DATE:
    case PCL_MYSQL_NEWDATE:
        return s_temporal(info, PCL_CELL_DATE, "DATE");
    case PCL_MYSQL_TIME:
        return s_temporal(info, PCL_CELL_TIME, "TIME");
    case PCL_MYSQL_DATETIME:
        return s_temporal(info, PCL_CELL_DATETIME, "DATETIME");
    case PCL_MYSQL_TIMESTAMP:
        return s_temporal(info, PCL_CELL_DATETIME, "TIMESTAMP");
    case PCL_MYSQL_BIT:
        return (pcl_column){.kind = PCL_CELL_OCTETS, .type_name = "BIT"};
    case PCL_MYSQL_GEOMETRY:
        return (pcl_column){.kind = PCL_CELL_OCTETS, .type_name = "GEOMETRY"};
    case PCL_MYSQL_VECTOR:
        return (pcl_column){.kind = PCL_CELL_OCTETS, .type_name = "VECTOR"};
    case PCL_MYSQL_JSON: /* stated as binary, and always utf8mb4 */
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "JSON"};
    case PCL_MYSQL_NULL:
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "NULL"};
    case PCL_MYSQL_ENUM:
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "ENUM"};
    case PCL_MYSQL_SET:
        return (pcl_column){.kind = PCL_CELL_TEXT, .type_name = "SET"};
    case PCL_MYSQL_TINY_BLOB:
    case PCL_MYSQL_MEDIUM_BLOB:
    case PCL_MYSQL_LONG_BLOB:
    case PCL_MYSQL_BLOB:
        return s_string(info, s_blob_name(info, true), s_blob_name(info, false));
    case PCL_MYSQL_VARCHAR:
    case PCL_MYSQL_VAR_STRING:
        return s_string(info, "VARBINARY", "VARCHAR");
    case PCL_MYSQL_STRING:
        return s_string(info, "BINARY", "CHAR");
    }
    return s_string(info, "VARBINARY", "VARCHAR"); /* a type from the future, as octets */
}

pcl_column pcl_column_of(const pcl_column_info *info)
{
    pcl_column column = s_column(info);
    column.flags = (uint16_t)(info->flags & FLAGS_SHOWN);
    return column;
}

void pcl_column_put(pcl_buffer *buffer, const pcl_column *column, pcl_bytes name)
{
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_str(buffer, name);
    pcl_mp_put_text(buffer, column->type_name);
    pcl_mp_put_uint(buffer, column->flags);
}

void pcl_cell_put_octets(pcl_buffer *buffer, const pcl_column *column, pcl_bytes octets)
{
    assert(column->kind == PCL_CELL_TEXT || column->kind == PCL_CELL_OCTETS);
    if (column->kind == PCL_CELL_TEXT && pcl_utf8_is_valid(octets)) {
        pcl_mp_put_str(buffer, octets);
    } else {
        pcl_mp_put_bin(buffer, octets);
    }
}

/* Appends "." and the column's decimals, if it has any, to text of length
 * octets; returns the new length. */
static size_t s_put_fraction(char *text, size_t size, size_t length, const pcl_column *column,
                             uint32_t microsecond)
{
    uint32_t digits = column->decimals;
    if (digits == PCL_DECIMALS_FREE) {
        digits = microsecond != 0 ? 6 : 0;
    }
    if (digits == 0) {
        return length;
    }
    int written = snprintf(text + length, size - length, ".%06" PRIu32, microsecond % 1000000);
    assert(written == 7);
    return length + 1 + digits;
}

void pcl_cell_put_time(pcl_buffer *buffer, const pcl_column *column, const pcl_time_value *value)
{
    char text[64];
    int written = 0;
    switch (column->kind) {
    case PCL_CELL_TIME:
        written = snprintf(text, sizeof text, "%s%02" PRIu32 ":%02" PRIu32 ":%02" PRIu32,
                           value->negative ? "-" : "", value->day * 24 + value->hour, value->minute,
                           value->second);
        break;
    case PCL_CELL_DATE:
        written = snprintf(text, sizeof text, "%04" PRIu32 "-%02" PRIu32 "-%02" PRIu32, value->year,
                           value->month, value->day);
        break;
    case PCL_CELL_DATETIME:
        written = snprintf(
            text, sizeof text,
            "%04" PRIu32 "-%02" PRIu32 "-%02" PRIu32 " %02" PRIu32 ":%02" PRIu32 ":%02" PRIu32,
            value->year, value->month, value->day, value->hour, value->minute, value->second);
        break;
    case PCL_CELL_INT:
    case PCL_CELL_UINT:
    case PCL_CELL_FLOAT:
    case PCL_CELL_DOUBLE:
    case PCL_CELL_TEXT:
    case PCL_CELL_OCTETS:
        break;
    }
    assert(written > 0);
    size_t length = (size_t)written;
    if (column->kind != PCL_CELL_DATE) {
        length = s_put_fraction(text, sizeof text, length, column, value->microsecond);
    }
    pcl_mp_put_str(buffer, pcl_bytes_of(text, length));
}

/* Numbers have at most a few hundred characters; what is longer is none. */
static bool s_put_number(pcl_buffer *buffer, pcl_cell_kind kind, pcl_bytes text)
{
    char digits[400];
    if (text.size == 0 || text.size >= sizeof digits) {
        return false;
    }
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    char *end = NULL;
    if (kind == PCL_CELL_INT) {
        long long value = strtoll(digits, &end, 10);
        if (*end == '\0') {
            pcl_mp_put_int(buffer, value);
        }
    } else if (kind == PCL_CELL_UINT) {
        unsigned long long value = strtoull(digits, &end, 10);
        if (*end == '\0') {
            pcl_mp_put_uint(buffer, value);
        }
    } else if (kind == PCL_CELL_FLOAT) {
        float value = strtof(digits, &end);
        if (*end == '\0') {
            pcl_mp_put_float(buffer, value);
        }
    } else {
        double value = strtod(digits, &end);
        if (*end == '\0') {
            pcl_mp_put_double(buffer, value);
        }
    }
    return *end == '\0';
}

void pcl_cell_put_text(pcl_buffer *buffer, const pcl_column *column, pcl_bytes text)
{
    switch (column->kind) {
    case PCL_CELL_TEXT:
    case PCL_CELL_OCTETS:
        pcl_cell_put_octets(buffer, column, text);
        return;
    case PCL_CELL_DATE:
    case PCL_CELL_TIME:
    case PCL_CELL_DATETIME:
        pcl_mp_put_str(buffer, text);
        return;
    case PCL_CELL_INT:
    case PCL_CELL_UINT:
    case PCL_CELL_FLOAT:
    case PCL_CELL_DOUBLE:
        if (!s_put_number(buffer, column->kind, text)) {
            pcl_mp_put_bin(buffer, text); /* not a number after all: nothing is made up */
        }
        return;
    }
}
