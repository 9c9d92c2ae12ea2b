/* stream.h - an unfinished result: rows from the server into replies, a page at a
 * time.
 *
 * Unbuffered: of the rows that are not in a reply yet at most one is in memory,
 * where the client library keeps the packet that it came in.  That one is read
 * ahead of the page's end, so that a result which ends with its page is known
 * to be over.
 *
 * Between begin and the end of the rows nothing else may be sent on the
 * connection.  A stream may be used for one result after another.
 */
#ifndef PCL_WORKER_AGENT_STREAM_H
#define PCL_WORKER_AGENT_STREAM_H

#include "common/buffer.h"
#include "worker-agent/connection.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_stream pcl_stream;

typedef enum pcl_stream_status {
    PCL_STREAM_DONE = 0,   /* begun; or: that was the last row, and the connection is free again */
    PCL_STREAM_MORE,       /* the page is full, and there is a row that is not in it */
    PCL_STREAM_FAILED,     /* the statement, or the connection, has the error */
    PCL_STREAM_STALE,      /* the columns are not those of the statement: prepare it anew */
    PCL_STREAM_TOO_LARGE,  /* the buffer is full; rows are left unread */
    PCL_STREAM_OVER_LIMIT, /* there are more rows than may be put; at least one is left */
    PCL_STREAM_NO_MEMORY,
    PCL_STREAM_WAITS, /* of one that does not wait: the rows go on later */
} pcl_stream_status;

/* Aborts when memory is out. */
pcl_stream *pcl_stream_new(void);
/* Never reads what is left: the rows are at their end, or the connection is closed already. */
void pcl_stream_destroy(pcl_stream **self_p);

/* Of a statement that was executed and has columns; mysql is its connection's, borrowed while rows
 * are left, like stmt.  *out_renamed: the columns have other names than when the statement was
 * prepared.  Servers that leave unchanged columns out of an answer make a client library show the
 * old names from the next execution on: the statement must be prepared anew. */
pcl_stream_status pcl_stream_begin_prepared(pcl_stream *self, MYSQL_STMT *stmt, MYSQL *mysql,
                                            bool *out_renamed) PCL_MUST_CHECK;
/* Of a text that was sent and has columns. */
pcl_stream_status pcl_stream_begin_text(pcl_stream *self, MYSQL *mysql) PCL_MUST_CHECK;

/* At most so many rows may be put since begin, over all pages; 0: as many as before.  The lowest
 * that was said counts. */
void pcl_stream_limit(pcl_stream *self, uint32_t rows_max);
uint32_t pcl_stream_limit_of(const pcl_stream *self); /* 0: there is none */

/* Appends the array of [name, type, flags], an array for each column. */
void pcl_stream_put_columns(const pcl_stream *self, pcl_buffer *buffer);
/* Appends the array of [schema, table, org_table, org_name, charset, length, decimals]. */
void pcl_stream_put_metadata(const pcl_stream *self, pcl_buffer *buffer);

/* Appends an array of rows: at least one, if there is one, then as many as are within rows_max
 * and bytes_max together.  DONE, MORE, FAILED, TOO_LARGE, OVER_LIMIT (the first row beyond the
 * limit is read, and not put) or NO_MEMORY; WAITS only after pcl_stream_do_not_wait. */
pcl_stream_status pcl_stream_put_rows(pcl_stream *self, pcl_buffer *buffer, uint32_t rows_max,
                                      size_t bytes_max) PCL_MUST_CHECK;

/* Of a prepared result, on a connection that allows it (pcl_connection_allow_nonblocking), until
 * its page is complete: put_rows returns WAITS where it would wait for the server, or has put some
 * 64 KiB at a time, and is called again with the same arguments to go on. */
void pcl_stream_do_not_wait(pcl_stream *self);
/* After WAITS: what for, PCL_WAIT_READ or PCL_WAIT_WRITE; 0: for nothing, it only was enough. */
int pcl_stream_waits_for(const pcl_stream *self);

uint64_t pcl_stream_rows(const pcl_stream *self); /* put since begin */

/* Reads rows and drops them, at most rows_max and about bytes_max.  DONE: there are no more, or
 * an error stood at their end; MORE. */
pcl_stream_status pcl_stream_skip(pcl_stream *self, uint64_t rows_max,
                                  size_t bytes_max) PCL_MUST_CHECK;

/* Lets go of the result, which was read to its end; the statement is still there. */
void pcl_stream_finish(pcl_stream *self);
/* Lets go of a result whose connection is closed. */
void pcl_stream_abandon(pcl_stream *self);

/* The prepared statement that a stream which outlives its request carries along. */
void pcl_stream_keep(pcl_stream *self, const pcl_prepared *prepared);
/* Gives it back; false: there is none. */
bool pcl_stream_take(pcl_stream *self, pcl_prepared *out_prepared);
/* The statement of a prepared result, whose error it is; NULL: a text's. */
MYSQL_STMT *pcl_stream_statement(const pcl_stream *self);

#endif
