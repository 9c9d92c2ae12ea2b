#define _XOPEN_SOURCE 700 /* wcwidth */
#include "client/format.h"

#include "wire/json.h"
#include "wire/mp.h"
#include "wire/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Text is handed to the sink in pieces of about this size. */
#define CHUNK_SIZE 65536u

typedef struct format_column {
    pcl_bytes name; /* in the writer's names */
    bool number;
    bool single; /* FLOAT: of single precision */
    size_t width;
} format_column;

struct pcl_format_writer {
    pcl_format format;
    const pcl_reply *reply; /* the present page; borrowed during one call */
    format_column *columns; /* NULL before the first page */
    uint32_t column_count;
    pcl_buffer names;
    uint64_t row_count; /* written until now */
    pcl_buffer text;    /* not yet with the sink */
    pcl_buffer cell;    /* room for one value */
    size_t name_width;  /* the widest name, for vertical */
    pcl_format_sink *sink;
    void *context;
};

typedef struct pcl_format_writer writer;

static const char *const s_names[PCL_FORMAT_COUNT] = {"table", "vertical", "csv", "json",
                                                      "msgpack"};

const char *pcl_format_names(void)
{
    return "table|vertical|csv|json|msgpack";
}

const char *pcl_format_text(pcl_format format)
{
    assert(format >= 0 && format < PCL_FORMAT_COUNT);
    return s_names[format];
}

bool pcl_format_parse(const char *text, pcl_format *out_format)
{
    for (int format = 0; format < PCL_FORMAT_COUNT; format++) {
        if (strcmp(text, s_names[format]) == 0) {
            *out_format = (pcl_format)format;
            return true;
        }
    }
    return false;
}

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

static void s_put_repeated(pcl_buffer *buffer, char octet, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        pcl_buffer_put_u8(buffer, (uint8_t)octet);
    }
}

/* The character at the start of text; *out_size is its octets.  What is no
 * UTF-8 is one octet with the value UINT32_MAX. */
static uint32_t s_decode(pcl_bytes text, size_t *out_size)
{
    size_t size = pcl_utf8_width(text);
    *out_size = size > 0 ? size : 1;
    if (size == 0) {
        return UINT32_MAX;
    }
    if (size == 1) {
        return text.data[0];
    }
    uint32_t point = text.data[0] & (0x7fu >> size);
    for (size_t index = 1; index < size; index++) {
        point = point << 6 | (text.data[index] & 0x3fu);
    }
    return point;
}

/* Turns the direction of what follows on a terminal. */
static bool s_turns(uint32_t point)
{
    return (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

/* Places of a character; -1 for what must be escaped. */
static int s_places(uint32_t point)
{
    if (point < 0x20 || point == 0x7f || point == UINT32_MAX || s_turns(point)) {
        return -1;
    }
    if (point < 0x7f) {
        return 1;
    }
    int places = wcwidth((wchar_t)point);
    return places >= 0 || point < 0xa0 ? places : 1; /* newer than the C library's table */
}

static void s_escape(char target[16], uint32_t point, uint8_t octet)
{
    const char *known = "\0000\nn\tt\rr";
    for (size_t index = 0; index < 8; index += 2) {
        if (point == (uint8_t)known[index]) {
            (void)snprintf(target, 16, "\\%c", known[index + 1]);
            return;
        }
    }
    if (point == UINT32_MAX || point < 0x80) {
        (void)snprintf(target, 16, "\\x%02x", octet);
    } else {
        (void)snprintf(target, 16, point > 0xffff ? "\\U%08" PRIx32 : "\\u%04" PRIx32, point);
    }
}

size_t pcl_format_width(pcl_bytes text)
{
    size_t width = 0;
    while (text.size > 0) {
        size_t size = 0;
        uint32_t point = s_decode(text, &size);
        int places = s_places(point);
        if (places < 0) {
            char escape[16];
            s_escape(escape, point, text.data[0]);
            width += strlen(escape);
        } else {
            width += (size_t)places;
        }
        text = pcl_bytes_of(text.data + size, text.size - size);
    }
    return width;
}

void pcl_format_put_text(pcl_buffer *buffer, pcl_bytes text)
{
    while (text.size > 0) {
        size_t size = 0;
        uint32_t point = s_decode(text, &size);
        if (s_places(point) < 0) {
            char escape[16];
            s_escape(escape, point, text.data[0]);
            s_put(buffer, escape);
        } else {
            pcl_buffer_put(buffer, text.data, size);
        }
        text = pcl_bytes_of(text.data + size, text.size - size);
    }
}

bool pcl_format_is_number(pcl_bytes type)
{
    static const char *const numbers[] = {"TINYINT", "SMALLINT", "MEDIUMINT", "INT",    "INTEGER",
                                          "BIGINT",  "DECIMAL",  "FLOAT",     "DOUBLE", "YEAR"};
    for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
        if (pcl_bytes_is(type, numbers[index])) {
            return true;
        }
    }
    return false;
}

/* A value without quotes and escapes, but for text, which is the caller's. */
static void s_put_plain(pcl_buffer *buffer, const pcl_mp_value *value, const format_column *column)
{
    switch (value->type) {
    case PCL_MP_NIL:
        s_put(buffer, "NULL");
        break;
    case PCL_MP_BOOL:
        s_put(buffer, value->boolean ? "1" : "0");
        break;
    case PCL_MP_UINT:
        pcl_json_put_uint(buffer, value->uint);
        break;
    case PCL_MP_INT:
        pcl_json_put_int(buffer, value->sint);
        break;
    case PCL_MP_FLOAT:
        pcl_json_put_double(buffer, value->real, column->single);
        break;
    case PCL_MP_STR:
        pcl_format_put_text(buffer, value->bytes);
        break;
    case PCL_MP_BIN:
    case PCL_MP_EXT:
    case PCL_MP_ARRAY: /* these two are not: pcl_reply_decode refuses them */
    case PCL_MP_MAP:
        pcl_json_put_hex(buffer, value->bytes, false);
        break;
    }
}

static bool s_has_octet(pcl_bytes text, int octet)
{
    return memchr(text.data, octet, text.size) != NULL;
}

static void s_put_csv_text(pcl_buffer *buffer, pcl_bytes text)
{
    bool quote = text.size == 0 || text.data[0] == ' ' || text.data[text.size - 1] == ' ' ||
                 s_has_octet(text, ',') || s_has_octet(text, '"') || s_has_octet(text, '\r') ||
                 s_has_octet(text, '\n') || s_has_octet(text, '\0');
    if (!quote) {
        pcl_buffer_put(buffer, text.data, text.size);
        return;
    }
    pcl_buffer_put_u8(buffer, '"');
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] == '"') {
            pcl_buffer_put_u8(buffer, '"');
        }
        pcl_buffer_put_u8(buffer, text.data[index]);
    }
    pcl_buffer_put_u8(buffer, '"');
}

static void s_put_csv(pcl_buffer *buffer, const pcl_mp_value *value, const format_column *column)
{
    if (value->type == PCL_MP_STR) {
        s_put_csv_text(buffer, value->bytes);
    } else if (value->type != PCL_MP_NIL) {
        s_put_plain(buffer, value, column);
    }
}

static void s_put_json(pcl_buffer *buffer, const pcl_mp_value *value, const format_column *column)
{
    if (value->type == PCL_MP_STR) {
        pcl_json_put_text(buffer, value->bytes);
    } else if (value->type == PCL_MP_BIN || value->type == PCL_MP_EXT) {
        pcl_json_put_hex(buffer, value->bytes, true);
    } else if (value->type == PCL_MP_NIL) {
        s_put(buffer, "null");
    } else if (value->type == PCL_MP_BOOL) {
        s_put(buffer, value->boolean ? "true" : "false");
    } else {
        s_put_plain(buffer, value, column);
    }
}

/* pcl_reply_decode has seen that the octets are there, here and below. */
static pcl_mp_value s_next(pcl_mp_reader *reader)
{
    pcl_mp_value value = {0};
    bool read = pcl_mp_next(reader, &value);
    assert(read);
    return value;
}

/* Of the first page; their names are kept, since that page will be gone. */
static bool s_make_columns(writer *self)
{
    uint32_t count = self->reply->column_count;
    self->columns = calloc(count > 0 ? count : 1, sizeof *self->columns);
    pcl_buffer_put(&self->names, self->reply->columns.data, self->reply->columns.size);
    if (self->columns == NULL || self->names.failed) {
        return false;
    }
    self->column_count = count;
    pcl_mp_reader reader = pcl_mp_reader_of(pcl_buffer_bytes(&self->names));
    (void)s_next(&reader); /* the array's head */
    for (uint32_t index = 0; index < count; index++) {
        format_column *column = &self->columns[index];
        (void)s_next(&reader);
        column->name = s_next(&reader).bytes;
        pcl_bytes type = s_next(&reader).bytes;
        (void)s_next(&reader); /* flags */
        column->number = pcl_format_is_number(type);
        column->single = pcl_bytes_is(type, "FLOAT");
        column->width = pcl_format_width(column->name);
        self->name_width = column->width > self->name_width ? column->width : self->name_width;
    }
    return true;
}

/* Behind the head of the array of rows. */
static pcl_mp_reader s_rows(const writer *self)
{
    pcl_mp_reader reader = pcl_mp_reader_of(self->reply->rows);
    (void)s_next(&reader);
    return reader;
}

/* Hands the text on when there is enough of it, or at the end. */
static bool s_flush(writer *self, bool end)
{
    if (self->text.failed || self->cell.failed) {
        return false;
    }
    if (self->text.size < CHUNK_SIZE && !end) {
        return true;
    }
    bool good = self->text.size == 0 || self->sink(self->context, pcl_buffer_bytes(&self->text));
    pcl_buffer_clear(&self->text);
    return good;
}

/* true: a column became wider. */
static bool s_measure(writer *self)
{
    bool wider = false;
    pcl_mp_reader rows = s_rows(self);
    for (uint32_t row = 0; row < self->reply->row_count; row++) {
        uint32_t count = s_next(&rows).count;
        for (uint32_t index = 0; index < count; index++) {
            format_column *column = &self->columns[index];
            pcl_mp_value value = s_next(&rows);
            size_t width = 0;
            if (value.type == PCL_MP_STR) {
                width = pcl_format_width(value.bytes);
            } else {
                pcl_buffer_clear(&self->cell);
                s_put_plain(&self->cell, &value, column);
                width = self->cell.size;
            }
            width = width < PCL_FORMAT_WIDTH_MAX ? width : PCL_FORMAT_WIDTH_MAX;
            wider = wider || width > column->width;
            column->width = width > column->width ? width : column->width;
        }
    }
    return wider;
}

static void s_put_rule(writer *self)
{
    for (uint32_t index = 0; index < self->column_count; index++) {
        s_put(&self->text, "+-");
        s_put_repeated(&self->text, '-', self->columns[index].width);
        pcl_buffer_put_u8(&self->text, '-');
    }
    s_put(&self->text, "+\n");
}

/* One cell of a table, already rendered. */
static void s_put_padded(writer *self, pcl_bytes text, size_t width, const format_column *column,
                         bool right)
{
    size_t padding = width < column->width ? column->width - width : 0;
    s_put(&self->text, "| ");
    s_put_repeated(&self->text, ' ', right ? padding : 0);
    pcl_buffer_put(&self->text, text.data, text.size);
    s_put_repeated(&self->text, ' ', right ? 1 : padding + 1);
}

static void s_put_table_head(writer *self)
{
    s_put_rule(self);
    for (uint32_t index = 0; index < self->column_count; index++) {
        const format_column *column = &self->columns[index];
        pcl_buffer_clear(&self->cell);
        pcl_format_put_text(&self->cell, column->name);
        s_put_padded(self, pcl_buffer_bytes(&self->cell), pcl_format_width(column->name), column,
                     column->number);
    }
    s_put(&self->text, "|\n");
    s_put_rule(self);
}

static bool s_write_table(writer *self)
{
    bool wider = s_measure(self);
    if (self->row_count == 0 && self->reply->row_count > 0) {
        s_put_table_head(self);
    } else if (wider) {
        s_put_rule(self);
    }
    pcl_mp_reader rows = s_rows(self);
    bool good = true;
    for (uint32_t row = 0; row < self->reply->row_count && good; row++) {
        uint32_t count = s_next(&rows).count;
        for (uint32_t index = 0; index < count; index++) {
            const format_column *column = &self->columns[index];
            pcl_mp_value value = s_next(&rows);
            pcl_buffer_clear(&self->cell);
            s_put_plain(&self->cell, &value, column);
            size_t width = value.type == PCL_MP_STR ? pcl_format_width(value.bytes)
                                                    : self->cell.size;
            s_put_padded(self, pcl_buffer_bytes(&self->cell), width, column, column->number);
        }
        s_put(&self->text, "|\n");
        good = s_flush(self, false);
    }
    return good;
}

static bool s_write_vertical(writer *self)
{
    static const char stars[] = "***************************";
    pcl_mp_reader rows = s_rows(self);
    for (uint32_t row = 0; row < self->reply->row_count; row++) {
        char title[96];
        (void)snprintf(title, sizeof title, "%s %" PRIu64 ". row %s\n", stars,
                       self->row_count + row + 1, stars);
        s_put(&self->text, title);
        uint32_t count = s_next(&rows).count;
        for (uint32_t index = 0; index < count; index++) {
            const format_column *column = &self->columns[index];
            pcl_mp_value value = s_next(&rows);
            s_put_repeated(&self->text, ' ', self->name_width - column->width);
            pcl_format_put_text(&self->text, column->name);
            s_put(&self->text, ": ");
            s_put_plain(&self->text, &value, column);
            pcl_buffer_put_u8(&self->text, '\n');
        }
        if (!s_flush(self, false)) {
            return false;
        }
    }
    return true;
}

static void s_put_csv_head(writer *self)
{
    for (uint32_t index = 0; index < self->column_count; index++) {
        s_put(&self->text, index > 0 ? "," : "");
        s_put_csv_text(&self->text, self->columns[index].name);
    }
    s_put(&self->text, "\n");
}

static bool s_write_csv(writer *self)
{
    pcl_mp_reader rows = s_rows(self);
    for (uint32_t row = 0; row < self->reply->row_count; row++) {
        uint32_t count = s_next(&rows).count;
        for (uint32_t index = 0; index < count; index++) {
            pcl_mp_value value = s_next(&rows);
            s_put(&self->text, index > 0 ? "," : "");
            s_put_csv(&self->text, &value, &self->columns[index]);
        }
        s_put(&self->text, "\n");
        if (!s_flush(self, false)) {
            return false;
        }
    }
    return true;
}

/* An array with an object for each row, a line each. */
static bool s_write_json(writer *self)
{
    pcl_mp_reader rows = s_rows(self);
    for (uint32_t row = 0; row < self->reply->row_count; row++) {
        uint32_t count = s_next(&rows).count;
        s_put(&self->text, self->row_count + row > 0 ? ",\n{" : "\n{");
        for (uint32_t index = 0; index < count; index++) {
            pcl_mp_value value = s_next(&rows);
            s_put(&self->text, index > 0 ? "," : "");
            pcl_json_put_text(&self->text, self->columns[index].name);
            s_put(&self->text, ":");
            s_put_json(&self->text, &value, &self->columns[index]);
        }
        s_put(&self->text, "}");
        if (!s_flush(self, false)) {
            return false;
        }
    }
    return true;
}

pcl_format_writer *pcl_format_writer_new(pcl_format format, pcl_format_sink *sink, void *context)
{
    assert((int)format >= 0 && format < PCL_FORMAT_MSGPACK);
    pcl_format_writer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->format = format;
    self->sink = sink;
    self->context = context;
    pcl_buffer_init(&self->names, SIZE_MAX);
    pcl_buffer_init(&self->text, SIZE_MAX);
    pcl_buffer_init(&self->cell, SIZE_MAX);
    return self;
}

void pcl_format_writer_destroy(pcl_format_writer **self_p)
{
    assert(self_p != NULL);
    pcl_format_writer *self = *self_p;
    if (self == NULL) {
        return;
    }
    free(self->columns);
    pcl_buffer_release(&self->names);
    pcl_buffer_release(&self->text);
    pcl_buffer_release(&self->cell);
    free(self);
    *self_p = NULL;
}

uint64_t pcl_format_writer_rows(const pcl_format_writer *self)
{
    return self->row_count;
}

/* What stands before the rows, whether there are any or not. */
static bool s_begin(writer *self)
{
    if (!s_make_columns(self)) {
        return false;
    }
    if (self->format == PCL_FORMAT_CSV) {
        s_put_csv_head(self);
    } else if (self->format == PCL_FORMAT_JSON) {
        s_put(&self->text, "[");
    }
    return true;
}

bool pcl_format_writer_page(pcl_format_writer *self, const pcl_reply *page)
{
    static bool (*const writers[PCL_FORMAT_COUNT])(writer *) = {s_write_table, s_write_vertical,
                                                                s_write_csv, s_write_json, NULL};
    assert(page->has_columns);
    self->reply = page;
    bool good = self->columns != NULL || s_begin(self);
    assert(!good || page->column_count == self->column_count);
    good = good && writers[self->format](self) && s_flush(self, true);
    self->row_count += page->row_count;
    self->reply = NULL;
    return good;
}

bool pcl_format_writer_end(pcl_format_writer *self)
{
    if (self->format == PCL_FORMAT_TABLE && self->row_count > 0) {
        s_put_rule(self);
    } else if (self->format == PCL_FORMAT_JSON && self->columns != NULL) {
        s_put(&self->text, self->row_count > 0 ? "\n]\n" : "]\n");
    }
    return s_flush(self, true);
}

bool pcl_format_rows(pcl_format format, const pcl_reply *reply, pcl_format_sink *sink,
                     void *context)
{
    pcl_format_writer *self = pcl_format_writer_new(format, sink, context);
    bool good = self != NULL && pcl_format_writer_page(self, reply) && pcl_format_writer_end(self);
    pcl_format_writer_destroy(&self);
    return good;
}
