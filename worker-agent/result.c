#include "worker-agent/result.h"

#include "wire/mp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Cells up to this size arrive with the row; longer ones are fetched again
 * into the scratch memory, once their length is known. */
#define CELL_INLINE_SIZE 256u

struct pcl_cell {
    pcl_column column;
    union {
        int64_t sint;
        uint64_t uint;
        float single;
        double real;
        MYSQL_TIME time;
        uint8_t octets[CELL_INLINE_SIZE];
    } value;
    unsigned long length;
    pcl_my_bool is_null;
    pcl_my_bool truncated;
};

void pcl_result_release(pcl_result_reader *self)
{
    free(self->cells);
    free(self->binds);
    free(self->scratch);
    *self = (pcl_result_reader){0};
}

static bool s_reserve(pcl_result_reader *self, uint32_t count)
{
    if (count <= self->capacity) {
        return true;
    }
    pcl_cell *cells = realloc(self->cells, count * sizeof *cells);
    if (cells != NULL) {
        self->cells = cells;
    }
    MYSQL_BIND *binds = realloc(self->binds, count * sizeof *binds);
    if (binds != NULL) {
        self->binds = binds;
    }
    if (cells == NULL || binds == NULL) {
        return false;
    }
    self->capacity = count;
    return true;
}

static bool s_reserve_scratch(pcl_result_reader *self, size_t size)
{
    if (size <= self->scratch_size) {
        return true;
    }
    uint8_t *scratch = realloc(self->scratch, size);
    if (scratch == NULL) {
        return false;
    }
    self->scratch = scratch;
    self->scratch_size = size;
    return true;
}

static void s_put_columns(pcl_result_reader *self, const MYSQL_FIELD *fields, uint32_t count,
                          pcl_buffer *buffer)
{
    pcl_mp_put_text(buffer, "columns");
    pcl_mp_put_array(buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        const MYSQL_FIELD *field = &fields[index];
        pcl_column_info info = {
            .type = (uint32_t)field->type,
            .flags = field->flags,
            .charset = field->charsetnr,
            .length = field->length,
            .decimals = field->decimals,
        };
        self->cells[index].column = pcl_column_of(&info);
        pcl_column_put(buffer, &self->cells[index].column,
                       pcl_bytes_of(field->name, field->name_length));
    }
}

static enum enum_field_types s_time_type(pcl_cell_kind kind)
{
    if (kind == PCL_CELL_TIME) {
        return MYSQL_TYPE_TIME;
    }
    return kind == PCL_CELL_DATE ? MYSQL_TYPE_DATE : MYSQL_TYPE_DATETIME;
}

/* Asks for each column as what it is, so that the library converts nothing. */
static void s_bind_cell(MYSQL_BIND *bind, pcl_cell *cell)
{
    memset(bind, 0, sizeof *bind);
    bind->buffer = &cell->value;
    bind->length = &cell->length;
    bind->is_null = &cell->is_null;
    bind->error = &cell->truncated;
    switch (cell->column.kind) {
    case PCL_CELL_INT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        return;
    case PCL_CELL_UINT:
        bind->buffer_type = MYSQL_TYPE_LONGLONG;
        bind->is_unsigned = true;
        return;
    case PCL_CELL_FLOAT:
        bind->buffer_type = MYSQL_TYPE_FLOAT;
        return;
    case PCL_CELL_DOUBLE:
        bind->buffer_type = MYSQL_TYPE_DOUBLE;
        return;
    case PCL_CELL_DATE:
    case PCL_CELL_TIME:
    case PCL_CELL_DATETIME:
        bind->buffer_type = s_time_type(cell->column.kind);
        bind->buffer_length = sizeof cell->value.time;
        return;
    case PCL_CELL_TEXT:
        bind->buffer_type = MYSQL_TYPE_STRING;
        bind->buffer_length = CELL_INLINE_SIZE;
        return;
    case PCL_CELL_OCTETS:
        bind->buffer_type = MYSQL_TYPE_BLOB;
        bind->buffer_length = CELL_INLINE_SIZE;
        return;
    }
}

static pcl_result_status s_put_octets(pcl_result_reader *self, MYSQL_STMT *stmt, uint32_t index,
                                      pcl_buffer *buffer)
{
    pcl_cell *cell = &self->cells[index];
    if (cell->length <= CELL_INLINE_SIZE) {
        pcl_cell_put_octets(buffer, &cell->column, pcl_bytes_of(cell->value.octets, cell->length));
        return PCL_RESULT_DONE;
    }
    if (cell->length > buffer->size_max) {
        return PCL_RESULT_TOO_LARGE;
    }
    if (!s_reserve_scratch(self, cell->length)) {
        return PCL_RESULT_NO_MEMORY;
    }
    MYSQL_BIND bind = self->binds[index];
    bind.buffer = self->scratch;
    bind.buffer_length = cell->length;
    if (mysql_stmt_fetch_column(stmt, &bind, index, 0) != 0) {
        return PCL_RESULT_FAILED;
    }
    pcl_cell_put_octets(buffer, &cell->column, pcl_bytes_of(self->scratch, cell->length));
    return PCL_RESULT_DONE;
}

static void s_put_time(const pcl_cell *cell, pcl_buffer *buffer)
{
    const MYSQL_TIME *time = &cell->value.time;
    pcl_time_value value = {
        .year = time->year,
        .month = time->month,
        .day = time->day,
        .hour = time->hour,
        .minute = time->minute,
        .second = time->second,
        .microsecond = (uint32_t)time->second_part,
        .negative = time->neg != 0,
    };
    pcl_cell_put_time(buffer, &cell->column, &value);
}

static pcl_result_status s_put_cell(pcl_result_reader *self, MYSQL_STMT *stmt, uint32_t index,
                                    pcl_buffer *buffer)
{
    const pcl_cell *cell = &self->cells[index];
    if (cell->is_null) {
        pcl_mp_put_nil(buffer);
        return PCL_RESULT_DONE;
    }
    switch (cell->column.kind) {
    case PCL_CELL_INT:
        pcl_mp_put_int(buffer, cell->value.sint);
        break;
    case PCL_CELL_UINT:
        pcl_mp_put_uint(buffer, cell->value.uint);
        break;
    case PCL_CELL_FLOAT:
        pcl_mp_put_float(buffer, cell->value.single);
        break;
    case PCL_CELL_DOUBLE:
        pcl_mp_put_double(buffer, cell->value.real);
        break;
    case PCL_CELL_DATE:
    case PCL_CELL_TIME:
    case PCL_CELL_DATETIME:
        s_put_time(cell, buffer);
        break;
    case PCL_CELL_TEXT:
    case PCL_CELL_OCTETS:
        return s_put_octets(self, stmt, index, buffer);
    }
    return PCL_RESULT_DONE;
}

static pcl_result_status s_put_rows(pcl_result_reader *self, MYSQL_STMT *stmt, uint32_t columns,
                                    pcl_buffer *buffer)
{
    pcl_mp_put_text(buffer, "rows");
    size_t rows_at = pcl_mp_put_array_later(buffer);
    uint32_t rows = 0;
    for (;;) {
        int got = mysql_stmt_fetch(stmt);
        if (got == MYSQL_NO_DATA) {
            break;
        }
        if (got != 0 && got != MYSQL_DATA_TRUNCATED) {
            return PCL_RESULT_FAILED;
        }
        pcl_mp_put_array(buffer, columns);
        for (uint32_t index = 0; index < columns; index++) {
            pcl_result_status status = s_put_cell(self, stmt, index, buffer);
            if (status != PCL_RESULT_DONE) {
                return status;
            }
        }
        rows++;
        if (buffer->failed) {
            return buffer->out_of_memory ? PCL_RESULT_NO_MEMORY : PCL_RESULT_TOO_LARGE;
        }
    }
    pcl_mp_patch_array(buffer, rows_at, rows);
    return PCL_RESULT_DONE;
}

static bool s_is_renamed(MYSQL_STMT *stmt, const MYSQL_FIELD *fields, uint32_t columns)
{
    MYSQL_RES *metadata = mysql_stmt_result_metadata(stmt);
    bool same = metadata != NULL && mysql_num_fields(metadata) == columns;
    const MYSQL_FIELD *known = same ? mysql_fetch_fields(metadata) : NULL;
    for (uint32_t index = 0; index < columns && same; index++) {
        same = pcl_bytes_equal(pcl_bytes_of(known[index].name, known[index].name_length),
                               pcl_bytes_of(fields[index].name, fields[index].name_length));
    }
    mysql_free_result(metadata);
    return !same;
}

pcl_result_status pcl_result_put_prepared(pcl_result_reader *self, MYSQL_STMT *stmt, MYSQL *mysql,
                                          pcl_buffer *buffer)
{
    /* The session's, which this execution sent: the statement's own keep the
     * names that the columns had when it was prepared. */
    const MYSQL_FIELD *fields = mysql->fields;
    uint32_t columns = mysql_stmt_field_count(stmt);
    assert(columns > 0);
    if (fields == NULL || mysql->field_count != columns) {
        return PCL_RESULT_STALE;
    }
    if (!s_reserve(self, columns)) {
        return PCL_RESULT_NO_MEMORY;
    }
    s_put_columns(self, fields, columns, buffer);
    self->renamed = s_is_renamed(stmt, fields, columns);
    for (uint32_t index = 0; index < columns; index++) {
        s_bind_cell(&self->binds[index], &self->cells[index]);
    }
    if (mysql_stmt_bind_result(stmt, self->binds) != 0) {
        return PCL_RESULT_FAILED;
    }
    return s_put_rows(self, stmt, columns, buffer);
}

static void s_put_text_row(pcl_result_reader *self, MYSQL_ROW row, const unsigned long *lengths,
                           uint32_t columns, pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, columns);
    for (uint32_t index = 0; index < columns; index++) {
        if (row[index] == NULL) {
            pcl_mp_put_nil(buffer);
        } else {
            pcl_cell_put_text(buffer, &self->cells[index].column,
                              pcl_bytes_of(row[index], lengths[index]));
        }
    }
}

pcl_result_status pcl_result_put_text(pcl_result_reader *self, MYSQL *mysql, pcl_buffer *buffer)
{
    MYSQL_RES *result = mysql_use_result(mysql);
    if (result == NULL) {
        return PCL_RESULT_FAILED;
    }
    uint32_t columns = mysql_num_fields(result);
    if (!s_reserve(self, columns)) {
        mysql_free_result(result);
        return PCL_RESULT_NO_MEMORY;
    }
    s_put_columns(self, mysql_fetch_fields(result), columns, buffer);
    pcl_mp_put_text(buffer, "rows");
    size_t rows_at = pcl_mp_put_array_later(buffer);
    uint32_t rows = 0;
    MYSQL_ROW row = NULL;
    while (!buffer->failed && (row = mysql_fetch_row(result)) != NULL) {
        s_put_text_row(self, row, mysql_fetch_lengths(result), columns, buffer);
        rows++;
    }
    pcl_result_status status = PCL_RESULT_DONE;
    if (buffer->failed) {
        status = buffer->out_of_memory ? PCL_RESULT_NO_MEMORY : PCL_RESULT_TOO_LARGE;
    } else if (mysql_errno(mysql) != 0) {
        status = PCL_RESULT_FAILED;
    } else {
        pcl_mp_patch_array(buffer, rows_at, rows);
    }
    mysql_free_result(result);
    return status;
}
