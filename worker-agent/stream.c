#include "worker-agent/stream.h"

#include "wire/mp.h"
#include "wire/utf8.h"
#include "worker-agent/values.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Cells up to this size arrive with the row; longer ones are fetched again
 * into the scratch memory, once their length is known. */
#define CELL_INLINE_SIZE  256u
/* Memory for a long cell is kept from row to row up to this size. */
#define SCRATCH_KEPT_SIZE (256u * 1024u)
/* More than the encoding of a number, of a time, and of a string without its octets. */
#define NUMBER_SIZE_MAX   9u
#define TIME_SIZE_MAX     48u
#define STRING_HEAD_SIZE  5u
#define ROW_HEAD_SIZE     5u
/* Of one that does not wait: what it puts at a time, since others have their turn in between. */
#define SHARE_SIZE        (64u * 1024u)

typedef struct cell {
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
} cell;

struct pcl_stream {
    MYSQL *mysql;              /* borrowed; NULL: no result is begun */
    MYSQL_STMT *stmt;          /* borrowed; NULL of a text */
    MYSQL_RES *result;         /* owned; of a text */
    const MYSQL_FIELD *fields; /* the connection's, or the result's; until its next command */
    uint32_t columns;
    cell *cells;       /* owned; one a column */
    MYSQL_BIND *binds; /* owned; likewise */
    uint32_t capacity;
    uint8_t *scratch; /* owned; a cell that is longer than most */
    size_t scratch_size;
    size_t fixed_size; /* a row's encoding takes at most this and its strings' octets */
    uint64_t rows;
    uint32_t limit; /* of rows; 0: none */
    bool row_waits; /* a row is read that is in no page yet */
    bool hasty;     /* it does not wait, until the page is complete */
    int waited;     /* what its last fetch waits for; 0: nothing */
    bool page_open; /* put_rows has begun one and said WAITS */
    size_t page_at; /* where its array is, and its rows */
    size_t page_begin;
    uint32_t page_rows;
    MYSQL_ROW row; /* of a text: that row */
    const unsigned long *lengths;
    bool has_prepared;
    pcl_prepared prepared;
};

pcl_stream *pcl_stream_new(void)
{
    pcl_stream *self = calloc(1, sizeof *self);
    assert(self != NULL);
    return self;
}

/* Between pages and results: a stream that waits shall not hold its longest cell twice. */
static void s_shrink(pcl_stream *self)
{
    if (self->scratch_size > SCRATCH_KEPT_SIZE) {
        free(self->scratch);
        self->scratch = NULL;
        self->scratch_size = 0;
    }
}

void pcl_stream_finish(pcl_stream *self)
{
    if (self->stmt != NULL) {
        pcl_mysql_unbind(self->stmt);
    }
    pcl_stream_abandon(self);
}

void pcl_stream_abandon(pcl_stream *self)
{
    if (self->result != NULL) {
        /* Else the library would read on, on a connection that may be freed. */
        self->result->handle = NULL;
        mysql_free_result(self->result);
    }
    s_shrink(self);
    self->result = NULL;
    self->mysql = NULL;
    self->stmt = NULL;
    self->fields = NULL;
    self->row_waits = false;
    self->hasty = false;
    self->waited = 0;
    self->page_open = false;
    self->rows = 0;
    self->limit = 0;
}

void pcl_stream_do_not_wait(pcl_stream *self)
{
    assert(self->stmt != NULL);
    self->hasty = true;
}

int pcl_stream_waits_for(const pcl_stream *self)
{
    return self->waited;
}

void pcl_stream_destroy(pcl_stream **self_p)
{
    pcl_stream *self = *self_p;
    if (self != NULL) {
        pcl_stream_abandon(self);
        if (self->has_prepared && !self->prepared.cached) {
            (void)mysql_stmt_close(self->prepared.stmt);
        }
        free(self->cells);
        free(self->binds);
        free(self->scratch);
        free(self);
        *self_p = NULL;
    }
}

void pcl_stream_keep(pcl_stream *self, const pcl_prepared *prepared)
{
    assert(!self->has_prepared);
    self->prepared = *prepared;
    self->has_prepared = true;
}

bool pcl_stream_take(pcl_stream *self, pcl_prepared *out_prepared)
{
    bool has = self->has_prepared;
    if (has) {
        *out_prepared = self->prepared;
        self->has_prepared = false;
    }
    return has;
}

MYSQL_STMT *pcl_stream_statement(const pcl_stream *self)
{
    return self->stmt;
}

void pcl_stream_limit(pcl_stream *self, uint32_t rows_max)
{
    if (rows_max > 0 && (self->limit == 0 || rows_max < self->limit)) {
        self->limit = rows_max;
    }
}

uint32_t pcl_stream_limit_of(const pcl_stream *self)
{
    return self->limit;
}

uint64_t pcl_stream_rows(const pcl_stream *self)
{
    return self->rows;
}

/* --- Beginning --------------------------------------------------------------- */

static bool s_reserve(pcl_stream *self, uint32_t count)
{
    if (count <= self->capacity) {
        return true;
    }
    cell *cells = realloc(self->cells, count * sizeof *cells);
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

static size_t s_fixed_size(pcl_cell_kind kind)
{
    switch (kind) {
    case PCL_CELL_TEXT:
    case PCL_CELL_OCTETS:
        return STRING_HEAD_SIZE;
    case PCL_CELL_DATE:
    case PCL_CELL_TIME:
    case PCL_CELL_DATETIME:
        return TIME_SIZE_MAX;
    case PCL_CELL_INT:
    case PCL_CELL_UINT:
    case PCL_CELL_FLOAT:
    case PCL_CELL_DOUBLE:
        break;
    }
    return NUMBER_SIZE_MAX;
}

static bool s_begin(pcl_stream *self, MYSQL *mysql, const MYSQL_FIELD *fields, uint32_t columns)
{
    assert(self->mysql == NULL);
    if (!s_reserve(self, columns)) {
        return false;
    }
    self->mysql = mysql;
    self->fields = fields;
    self->columns = columns;
    self->fixed_size = ROW_HEAD_SIZE;
    for (uint32_t index = 0; index < columns; index++) {
        pcl_column_info info = {
            .type = (uint32_t)fields[index].type,
            .flags = fields[index].flags,
            .charset = fields[index].charsetnr,
            .length = fields[index].length,
            .decimals = fields[index].decimals,
        };
        self->cells[index].column = pcl_column_of(&info);
        self->fixed_size += s_fixed_size(self->cells[index].column.kind);
    }
    return true;
}

static enum enum_field_types s_time_type(pcl_cell_kind kind)
{
    if (kind == PCL_CELL_TIME) {
        return MYSQL_TYPE_TIME;
    }
    return kind == PCL_CELL_DATE ? MYSQL_TYPE_DATE : MYSQL_TYPE_DATETIME;
}

/* Asks for each column as what it is, so that the library converts nothing. */
static void s_bind_cell(MYSQL_BIND *bind, cell *target)
{
    memset(bind, 0, sizeof *bind);
    bind->buffer = &target->value;
    bind->length = &target->length;
    bind->is_null = &target->is_null;
    bind->error = &target->truncated;
    switch (target->column.kind) {
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
        bind->buffer_type = s_time_type(target->column.kind);
        bind->buffer_length = sizeof target->value.time;
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

/* A name as it may stand in a reply: whole characters, whatever the server cut.  libmysqlclient
 * takes a length for the distance to the next text less one, which is two more before a long one:
 * the name ends at its NUL, which no name holds.  One that the server did not send is empty. */
static pcl_bytes s_name(const char *name, unsigned int size)
{
    if (name == NULL) {
        return pcl_bytes_of(NULL, 0);
    }
    pcl_bytes text = pcl_bytes_of(name, strnlen(name, size));
    size_t whole = 0;
    size_t width = 0;
    while ((width = pcl_utf8_width(pcl_bytes_of(text.data + whole, text.size - whole))) > 0) {
        whole += width;
    }
    return pcl_bytes_of(name, whole);
}

static bool s_is_renamed(MYSQL_STMT *stmt, const MYSQL_FIELD *fields, uint32_t columns)
{
    MYSQL_RES *metadata = mysql_stmt_result_metadata(stmt);
    bool same = metadata != NULL && mysql_num_fields(metadata) == columns;
    const MYSQL_FIELD *known = same ? mysql_fetch_fields(metadata) : NULL;
    for (uint32_t index = 0; index < columns && same; index++) {
        same = pcl_bytes_equal(s_name(known[index].name, known[index].name_length),
                               s_name(fields[index].name, fields[index].name_length));
    }
    mysql_free_result(metadata);
    return !same;
}

pcl_stream_status pcl_stream_begin_prepared(pcl_stream *self, MYSQL_STMT *stmt, MYSQL *mysql,
                                            bool *out_renamed)
{
    /* The session's, which this execution sent: the statement's own keep the
     * names that the columns had when it was prepared. */
    const MYSQL_FIELD *fields = mysql->fields;
    uint32_t columns = mysql_stmt_field_count(stmt);
    assert(columns > 0);
    if (fields == NULL || mysql->field_count != columns) {
        return PCL_STREAM_STALE;
    }
    if (!s_begin(self, mysql, fields, columns)) {
        return PCL_STREAM_NO_MEMORY;
    }
    self->stmt = stmt;
    *out_renamed = s_is_renamed(stmt, fields, columns);
    for (uint32_t index = 0; index < columns; index++) {
        s_bind_cell(&self->binds[index], &self->cells[index]);
    }
    return mysql_stmt_bind_result(stmt, self->binds) == 0 ? PCL_STREAM_DONE : PCL_STREAM_FAILED;
}

pcl_stream_status pcl_stream_begin_text(pcl_stream *self, MYSQL *mysql)
{
    MYSQL_RES *result = mysql_use_result(mysql);
    if (result == NULL) {
        return PCL_STREAM_FAILED;
    }
    if (!s_begin(self, mysql, mysql_fetch_fields(result), mysql_num_fields(result))) {
        result->handle = NULL; /* the connection goes, not the rows */
        mysql_free_result(result);
        return PCL_STREAM_NO_MEMORY;
    }
    self->result = result;
    return PCL_STREAM_DONE;
}

void pcl_stream_put_columns(const pcl_stream *self, pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, self->columns);
    for (uint32_t index = 0; index < self->columns; index++) {
        const MYSQL_FIELD *field = &self->fields[index];
        pcl_column_put(buffer, &self->cells[index].column, s_name(field->name, field->name_length));
    }
}

void pcl_stream_put_metadata(const pcl_stream *self, pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, self->columns);
    for (uint32_t index = 0; index < self->columns; index++) {
        const MYSQL_FIELD *field = &self->fields[index];
        pcl_mp_put_array(buffer, 7);
        pcl_mp_put_str(buffer, s_name(field->db, field->db_length));
        pcl_mp_put_str(buffer, s_name(field->table, field->table_length));
        pcl_mp_put_str(buffer, s_name(field->org_table, field->org_table_length));
        pcl_mp_put_str(buffer, s_name(field->org_name, field->org_name_length));
        pcl_mp_put_uint(buffer, field->charsetnr);
        pcl_mp_put_uint(buffer, field->length);
        pcl_mp_put_uint(buffer, field->decimals);
    }
}

/* --- Rows -------------------------------------------------------------------- */

static bool s_reserve_scratch(pcl_stream *self, size_t size)
{
    if (size <= self->scratch_size) {
        return true;
    }
    free(self->scratch); /* what it held is in a reply */
    self->scratch = malloc(size);
    self->scratch_size = self->scratch != NULL ? size : 0;
    return self->scratch != NULL;
}

static pcl_stream_status s_put_octets(pcl_stream *self, uint32_t index, pcl_buffer *buffer)
{
    cell *source = &self->cells[index];
    if (source->length <= CELL_INLINE_SIZE) {
        pcl_cell_put_octets(buffer, &source->column,
                            pcl_bytes_of(source->value.octets, source->length));
        return PCL_STREAM_DONE;
    }
    if (source->length > buffer->size_max) {
        return PCL_STREAM_TOO_LARGE;
    }
    if (!s_reserve_scratch(self, source->length)) {
        return PCL_STREAM_NO_MEMORY;
    }
    MYSQL_BIND bind = self->binds[index];
    bind.buffer = self->scratch;
    bind.buffer_length = source->length;
    if (mysql_stmt_fetch_column(self->stmt, &bind, index, 0) != 0) {
        return PCL_STREAM_FAILED;
    }
    pcl_cell_put_octets(buffer, &source->column, pcl_bytes_of(self->scratch, source->length));
    return PCL_STREAM_DONE;
}

static void s_put_time(const cell *source, pcl_buffer *buffer)
{
    const MYSQL_TIME *time = &source->value.time;
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
    pcl_cell_put_time(buffer, &source->column, &value);
}

static pcl_stream_status s_put_cell(pcl_stream *self, uint32_t index, pcl_buffer *buffer)
{
    const cell *source = &self->cells[index];
    if (source->is_null) {
        pcl_mp_put_nil(buffer);
        return PCL_STREAM_DONE;
    }
    switch (source->column.kind) {
    case PCL_CELL_INT:
        pcl_mp_put_int(buffer, source->value.sint);
        break;
    case PCL_CELL_UINT:
        pcl_mp_put_uint(buffer, source->value.uint);
        break;
    case PCL_CELL_FLOAT:
        pcl_mp_put_float(buffer, source->value.single);
        break;
    case PCL_CELL_DOUBLE:
        pcl_mp_put_double(buffer, source->value.real);
        break;
    case PCL_CELL_DATE:
    case PCL_CELL_TIME:
    case PCL_CELL_DATETIME:
        s_put_time(source, buffer);
        break;
    case PCL_CELL_TEXT:
    case PCL_CELL_OCTETS:
        return s_put_octets(self, index, buffer);
    }
    return PCL_STREAM_DONE;
}

static void s_put_text_cell(const pcl_stream *self, uint32_t index, pcl_buffer *buffer)
{
    if (self->row[index] == NULL) {
        pcl_mp_put_nil(buffer);
    } else {
        pcl_cell_put_text(buffer, &self->cells[index].column,
                          pcl_bytes_of(self->row[index], self->lengths[index]));
    }
}

static pcl_stream_status s_put_row(pcl_stream *self, pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, self->columns);
    for (uint32_t index = 0; index < self->columns; index++) {
        if (self->stmt == NULL) {
            s_put_text_cell(self, index, buffer);
            continue;
        }
        pcl_stream_status status = s_put_cell(self, index, buffer);
        if (status != PCL_STREAM_DONE) {
            return status;
        }
    }
    if (buffer->failed) {
        return buffer->out_of_memory ? PCL_STREAM_NO_MEMORY : PCL_STREAM_TOO_LARGE;
    }
    return PCL_STREAM_DONE;
}

/* At least the size of the waiting row's encoding; of a text's numbers and times, too, which are
 * never longer than their text and a fixed part. */
static size_t s_row_size(const pcl_stream *self)
{
    size_t size = self->fixed_size;
    for (uint32_t index = 0; index < self->columns; index++) {
        const cell *source = &self->cells[index];
        if (self->stmt == NULL) {
            size += self->row[index] != NULL ? self->lengths[index] : 0;
        } else if (!source->is_null && (source->column.kind == PCL_CELL_TEXT ||
                                        source->column.kind == PCL_CELL_OCTETS)) {
            size += source->length;
        }
    }
    return size;
}

/* The next row, unless one waits.  MORE: there is one. */
static pcl_stream_status s_read_ahead(pcl_stream *self)
{
    if (self->row_waits) {
        return PCL_STREAM_MORE;
    }
    if (self->stmt == NULL) {
        self->row = mysql_fetch_row(self->result);
        if (self->row == NULL) {
            return mysql_errno(self->mysql) == 0 ? PCL_STREAM_DONE : PCL_STREAM_FAILED;
        }
        self->lengths = mysql_fetch_lengths(self->result);
    } else {
        int got = 0;
        if (self->hasty) {
            self->waited = pcl_stmt_fetch_step(self->stmt, self->waited, &got);
        } else {
            got = mysql_stmt_fetch(self->stmt);
        }
        if (self->waited != 0) {
            return PCL_STREAM_WAITS;
        }
        if (got == MYSQL_NO_DATA) {
            pcl_mysql_read_end(self->mysql);
            return PCL_STREAM_DONE;
        }
        if (got != 0 && got != MYSQL_DATA_TRUNCATED) {
            return PCL_STREAM_FAILED;
        }
    }
    self->row_waits = true;
    return PCL_STREAM_MORE;
}

/* Rows into the open page, until it is complete or something stands in the way. */
static pcl_stream_status s_fill_page(pcl_stream *self, pcl_buffer *buffer, uint32_t rows_max,
                                     size_t bytes_max)
{
    size_t share_end = buffer->size + SHARE_SIZE;
    pcl_stream_status status = PCL_STREAM_DONE;
    while ((status = s_read_ahead(self)) == PCL_STREAM_MORE) {
        if (self->limit > 0 && self->rows >= self->limit) {
            return PCL_STREAM_OVER_LIMIT;
        }
        if (self->page_rows >= rows_max ||
            (self->page_rows > 0 &&
             buffer->size - self->page_begin + s_row_size(self) > bytes_max)) {
            break;
        }
        status = s_put_row(self, buffer);
        if (status != PCL_STREAM_DONE) {
            return status;
        }
        self->row_waits = false;
        self->rows++;
        self->page_rows++;
        if (self->hasty && buffer->size > share_end) {
            return PCL_STREAM_WAITS;
        }
    }
    return status;
}

pcl_stream_status pcl_stream_put_rows(pcl_stream *self, pcl_buffer *buffer, uint32_t rows_max,
                                      size_t bytes_max)
{
    assert(self->mysql != NULL);
    if (!self->page_open) {
        self->page_at = pcl_mp_put_array_later(buffer);
        self->page_begin = buffer->size;
        self->page_rows = 0;
    }
    pcl_stream_status status = s_fill_page(self, buffer, rows_max, bytes_max);
    self->page_open = status == PCL_STREAM_WAITS;
    if (self->page_open) {
        return status;
    }
    self->hasty = false;
    if (status == PCL_STREAM_DONE || status == PCL_STREAM_MORE) {
        pcl_mp_patch_array(buffer, self->page_at, self->page_rows);
    }
    s_shrink(self);
    return status;
}

pcl_stream_status pcl_stream_skip(pcl_stream *self, uint64_t rows_max, size_t bytes_max)
{
    uint64_t rows = 0;
    size_t size = 0;
    while (rows < rows_max && size < bytes_max) {
        if (s_read_ahead(self) != PCL_STREAM_MORE) {
            return PCL_STREAM_DONE;
        }
        size += s_row_size(self);
        self->row_waits = false;
        rows++;
    }
    return PCL_STREAM_MORE;
}
