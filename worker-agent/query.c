#include "worker-agent/query.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LITERAL_SIZE_MAX 1024u

bool pcl_query_run(MYSQL *mysql, const char *sql, pcl_sql_error *out_error)
{
    if (mysql_query(mysql, sql) != 0) {
        pcl_sql_error_of(out_error, mysql);
        return false;
    }
    return true;
}

bool pcl_query_run_all(MYSQL *mysql, const char *const *list, pcl_sql_error *out_error)
{
    for (; *list != NULL; list++) {
        if (!pcl_query_run(mysql, *list, out_error)) {
            return false;
        }
    }
    return true;
}

bool pcl_query_row(MYSQL *mysql, const char *sql, pcl_row *out_row, pcl_sql_error *out_error)
{
    if (!pcl_query_run(mysql, sql, out_error)) {
        return false;
    }
    MYSQL_RES *result = mysql_store_result(mysql);
    if (result == NULL) {
        pcl_sql_error_of(out_error, mysql);
        return false;
    }
    *out_row = (pcl_row){.result = result, .cells = mysql_fetch_row(result)};
    return true;
}

const char *pcl_row_text(const pcl_row *row, const char *column)
{
    if (row->cells == NULL) {
        return "";
    }
    const MYSQL_FIELD *fields = mysql_fetch_fields(row->result);
    for (unsigned int index = 0; index < mysql_num_fields(row->result); index++) {
        if (strcasecmp(fields[index].name, column) == 0) {
            return row->cells[index] != NULL ? row->cells[index] : "";
        }
    }
    return "";
}

uint64_t pcl_row_uint(const pcl_row *row, const char *column)
{
    return strtoull(pcl_row_text(row, column), NULL, 10);
}

void pcl_row_free(pcl_row *row)
{
    mysql_free_result(row->result);
    *row = (pcl_row){0};
}

bool pcl_query_uint(MYSQL *mysql, const char *sql, uint64_t *out_value, pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, sql, &row, out_error)) {
        return false;
    }
    bool given = row.cells != NULL && row.cells[0] != NULL;
    *out_value = given ? strtoull(row.cells[0], NULL, 10) : 0;
    pcl_row_free(&row);
    return true;
}

void pcl_sql_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

void pcl_sql_put_literal(pcl_buffer *buffer, MYSQL *mysql, const char *text)
{
    char escaped[2 * LITERAL_SIZE_MAX + 1];
    size_t size = strlen(text);
    assert(size <= LITERAL_SIZE_MAX);
    unsigned long length = mysql_real_escape_string(mysql, escaped, text, (unsigned long)size);
    pcl_sql_put(buffer, "'");
    pcl_buffer_put(buffer, escaped, length);
    pcl_sql_put(buffer, "'");
    memset(escaped, 0, sizeof escaped);
}

void pcl_sql_put_identifier(pcl_buffer *buffer, pcl_bytes name)
{
    pcl_sql_put(buffer, "`");
    for (size_t index = 0; index < name.size; index++) {
        if (name.data[index] == '`') {
            pcl_sql_put(buffer, "`");
        }
        pcl_buffer_put_u8(buffer, name.data[index]);
    }
    pcl_sql_put(buffer, "`");
}

bool pcl_sql_run_wiped(pcl_buffer *buffer, MYSQL *mysql, pcl_sql_error *out_error)
{
    assert(!buffer->failed);
    bool ok = mysql_real_query(mysql, (const char *)buffer->data, (unsigned long)buffer->size) == 0;
    if (!ok) {
        pcl_sql_error_of(out_error, mysql);
    }
    volatile uint8_t *octets = buffer->data;
    for (size_t index = 0; index < buffer->capacity; index++) {
        octets[index] = 0;
    }
    pcl_buffer_clear(buffer);
    return ok;
}
