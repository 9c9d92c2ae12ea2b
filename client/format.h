/* format.h - a result as text: table, vertical, CSV, JSON.  Pure.
 *
 *   NULL     NULL; in CSV an empty field (an empty text is "" there); null in JSON
 *   octets   0x and hexadecimal digits
 *   text     table, vertical: what would move a terminal's cursor or turn its text around is
 *            escaped (\n, \t, \x1b, \u202e); CSV: as it is, quoted where needed (RFC 4180);
 *            JSON: as JSON wants it
 *
 * Columns are padded by what a terminal shows, after LC_CTYPE: call setlocale() first.  Nothing is
 * ever cut off; a column is padded to at most PCL_FORMAT_WIDTH_MAX places, so that one long value
 * does not make every row long.
 */
#ifndef PCL_CLIENT_FORMAT_H
#define PCL_CLIENT_FORMAT_H

#include "common/bytes.h"
#include "common/error.h"
#include "wire/reply.h"

#include <stdbool.h>

#define PCL_FORMAT_WIDTH_MAX 500u

typedef enum pcl_format {
    PCL_FORMAT_TABLE = 0,
    PCL_FORMAT_VERTICAL,
    PCL_FORMAT_CSV,
    PCL_FORMAT_JSON,
    PCL_FORMAT_MSGPACK, /* the reply as it came; not written by this module */
    PCL_FORMAT_COUNT,   /* must stay last */
} pcl_format;

/* "table|vertical|csv|json|msgpack", for help. */
const char *pcl_format_names(void);
const char *pcl_format_text(pcl_format format); /* "table", ... */
/* false when text names no format. */
bool pcl_format_parse(const char *text, pcl_format *out_format) PCL_MUST_CHECK;

/* Takes text to its end; false stops the writing (a closed pipe). */
typedef bool(pcl_format_sink)(void *context, pcl_bytes text);

/* Writes what a statement that gives rows gave (has_columns).  A table or vertical text of no rows
 * is nothing; CSV then still has its header.  false: the sink said so, or memory is out. */
bool pcl_format_rows(pcl_format format, const pcl_reply *reply, pcl_format_sink *sink,
                     void *context) PCL_MUST_CHECK;

/* The same of a result that comes in pages, a page in memory at a time: one header, rows counted
 * through, one end.  A table's columns are as wide as the pages until then need; where a later one
 * needs more, a rule in the new widths shows it. */
typedef struct pcl_format_writer pcl_format_writer;

/* NULL: out of memory. */
pcl_format_writer *pcl_format_writer_new(pcl_format format, pcl_format_sink *sink, void *context);
/* A page: of as many columns as the first, from which nothing is borrowed afterwards.  All that it
 * gives has gone to the sink when it returns.  false as of pcl_format_rows; then only _destroy may
 * follow. */
bool pcl_format_writer_page(pcl_format_writer *self, const pcl_reply *page) PCL_MUST_CHECK;
/* Behind the last page, also where it was not the last that there would have been. */
bool pcl_format_writer_end(pcl_format_writer *self) PCL_MUST_CHECK;
uint64_t pcl_format_writer_rows(const pcl_format_writer *self); /* written until now */
void pcl_format_writer_destroy(pcl_format_writer **self_p);

/* Places that a text takes on a terminal, as a table shows it. */
size_t pcl_format_width(pcl_bytes text);

/* Appends text as a table shows it: escaped. */
void pcl_format_put_text(pcl_buffer *buffer, pcl_bytes text);

/* Is a column of that MySQL type a number, set to the right? */
bool pcl_format_is_number(pcl_bytes type);

#endif
