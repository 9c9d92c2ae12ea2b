/* values.h - MySQL's values to msgpack: section 5 of docs/rfc/1-client-protocol.md.
 *
 *   integers, YEAR              int; BIGINT UNSIGNED in its full range
 *   FLOAT                       float 32, DOUBLE float 64
 *   DECIMAL                     str, every digit
 *   DATE                        str "2026-11-22"; zero dates as they are
 *   TIME                        str "-838:59:59.000000", as many decimals as the column has
 *   DATETIME, TIMESTAMP         str "2026-11-22 10:00:00.123456": a blank, which MySQL prints and
 *                               takes back, and RFC 3339 allows
 *   CHAR, VARCHAR, TEXT, ENUM,
 *   SET, JSON                   str, UTF-8; bin where the octets are not valid UTF-8
 *   BINARY, VARBINARY, BLOB,
 *   BIT, GEOMETRY, VECTOR       bin
 *   NULL                        nil
 *
 * Pure: the numbers below are the client/server protocol's, so that nothing
 * here depends on a client library.
 */
#ifndef PCL_WORKER_AGENT_VALUES_H
#define PCL_WORKER_AGENT_VALUES_H

#include "common/buffer.h"
#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* Type numbers of the protocol (Protocol::ColumnType). */
typedef enum pcl_mysql_type {
    PCL_MYSQL_DECIMAL = 0,
    PCL_MYSQL_TINY = 1,
    PCL_MYSQL_SHORT = 2,
    PCL_MYSQL_LONG = 3,
    PCL_MYSQL_FLOAT = 4,
    PCL_MYSQL_DOUBLE = 5,
    PCL_MYSQL_NULL = 6,
    PCL_MYSQL_TIMESTAMP = 7,
    PCL_MYSQL_LONGLONG = 8,
    PCL_MYSQL_INT24 = 9,
    PCL_MYSQL_DATE = 10,
    PCL_MYSQL_TIME = 11,
    PCL_MYSQL_DATETIME = 12,
    PCL_MYSQL_YEAR = 13,
    PCL_MYSQL_NEWDATE = 14,
    PCL_MYSQL_VARCHAR = 15,
    PCL_MYSQL_BIT = 16,
    PCL_MYSQL_VECTOR = 242,
    PCL_MYSQL_JSON = 245,
    PCL_MYSQL_NEWDECIMAL = 246,
    PCL_MYSQL_ENUM = 247,
    PCL_MYSQL_SET = 248,
    PCL_MYSQL_TINY_BLOB = 249,
    PCL_MYSQL_MEDIUM_BLOB = 250,
    PCL_MYSQL_LONG_BLOB = 251,
    PCL_MYSQL_BLOB = 252,
    PCL_MYSQL_VAR_STRING = 253,
    PCL_MYSQL_STRING = 254,
    PCL_MYSQL_GEOMETRY = 255,
} pcl_mysql_type;

/* What the server says of a column. */
typedef struct pcl_column_info {
    uint32_t type;     /* pcl_mysql_type, or a number we do not know */
    uint32_t flags;    /* NOT_NULL 1, ..., UNSIGNED 32, ENUM 256, SET 2048 */
    uint32_t charset;  /* 63 is binary */
    uint64_t length;   /* octets it may take */
    uint32_t decimals; /* of a number or a time; over 6 for a time: not fixed */
} pcl_column_info;

typedef enum pcl_cell_kind {
    PCL_CELL_INT = 0,
    PCL_CELL_UINT,
    PCL_CELL_FLOAT,
    PCL_CELL_DOUBLE,
    PCL_CELL_TEXT, /* also DECIMAL */
    PCL_CELL_OCTETS,
    PCL_CELL_DATE,
    PCL_CELL_TIME,
    PCL_CELL_DATETIME,
} pcl_cell_kind;

typedef struct pcl_column {
    pcl_cell_kind kind;
    uint8_t decimals;      /* 0 to 6; PCL_DECIMALS_FREE: six when there is a fraction */
    uint16_t flags;        /* as shown to the client: MySQL's own bits */
    const char *type_name; /* MySQL's own, static: "BIGINT" */
} pcl_column;

#define PCL_DECIMALS_FREE 31u

typedef struct pcl_time_value {
    uint32_t year, month, day; /* of a TIME: days that its hours do not count */
    uint32_t hour, minute, second, microsecond;
    bool negative;
} pcl_time_value;

pcl_column pcl_column_of(const pcl_column_info *info);

/* Appends [name, type, flags]. */
void pcl_column_put(pcl_buffer *buffer, const pcl_column *column, pcl_bytes name);

/* column's kind must be the one that the name says. */
void pcl_cell_put_octets(pcl_buffer *buffer, const pcl_column *column, pcl_bytes octets);
void pcl_cell_put_time(pcl_buffer *buffer, const pcl_column *column, const pcl_time_value *value);

/* A cell of any kind as the text protocol writes it. */
void pcl_cell_put_text(pcl_buffer *buffer, const pcl_column *column, pcl_bytes text);

#endif
