/* query.h - small questions to the server, for setting up and observing. */
#ifndef PCL_WORKER_AGENT_QUERY_H
#define PCL_WORKER_AGENT_QUERY_H

#include "common/buffer.h"
#include "worker-agent/connection.h"

#include <stdbool.h>
#include <stdint.h>

/* The first row of a result, by column name. */
typedef struct pcl_row {
    MYSQL_RES *result; /* NULL: nothing to free */
    MYSQL_ROW cells;   /* NULL: there was no row */
} pcl_row;

/* Runs a statement without a result. */
bool pcl_query_run(MYSQL *mysql, const char *sql, pcl_sql_error *out_error) PCL_MUST_CHECK;
/* Each until the NULL at the list's end. */
bool pcl_query_run_all(MYSQL *mysql, const char *const *list,
                       pcl_sql_error *out_error) PCL_MUST_CHECK;

/* Runs a query; the caller frees the row. */
bool pcl_query_row(MYSQL *mysql, const char *sql, pcl_row *out_row,
                   pcl_sql_error *out_error) PCL_MUST_CHECK;
/* "" when there is no row, no such column, or NULL in it; until the row is freed. */
const char *pcl_row_text(const pcl_row *row, const char *column);
uint64_t pcl_row_uint(const pcl_row *row, const char *column); /* 0 likewise */
void pcl_row_free(pcl_row *row);

/* The first column of the first row as a number; 0 when there is none. */
bool pcl_query_uint(MYSQL *mysql, const char *sql, uint64_t *out_value,
                    pcl_sql_error *out_error) PCL_MUST_CHECK;

/* For statements with secrets or names in them: text as it stands, text as a
 * quoted literal, text as a quoted identifier. */
void pcl_sql_put(pcl_buffer *buffer, const char *text);
void pcl_sql_put_literal(pcl_buffer *buffer, MYSQL *mysql, const char *text);
void pcl_sql_put_identifier(pcl_buffer *buffer, pcl_bytes name);
/* Runs what was put and overwrites it, since it may hold a password. */
bool pcl_sql_run_wiped(pcl_buffer *buffer, MYSQL *mysql, pcl_sql_error *out_error) PCL_MUST_CHECK;

#endif
