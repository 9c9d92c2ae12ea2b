/* result.h - a result set, row by row from the server into the reply. */
#ifndef PCL_WORKER_AGENT_RESULT_H
#define PCL_WORKER_AGENT_RESULT_H

#include "common/buffer.h"
#include "worker-agent/mysql_api.h"
#include "worker-agent/values.h"

#include <stdint.h>

typedef struct pcl_cell pcl_cell;

typedef struct pcl_result_reader {
    pcl_cell *cells;   /* owned; one a column */
    MYSQL_BIND *binds; /* owned; likewise */
    uint32_t capacity;
    uint8_t *scratch; /* owned; a cell that is longer than most */
    size_t scratch_size;
    /* The last result's columns have other names than when its statement was prepared.  Servers
     * that leave unchanged columns out of an answer make a client library show the old names
     * from the next execution on: the statement must be prepared anew. */
    bool renamed;
} pcl_result_reader;

typedef enum pcl_result_status {
    PCL_RESULT_DONE = 0,
    PCL_RESULT_FAILED,    /* the statement, or the session, has the error */
    PCL_RESULT_TOO_LARGE, /* the buffer is full; rows are left unread */
    PCL_RESULT_NO_MEMORY,
    PCL_RESULT_STALE, /* the columns are not those of the statement: prepare it anew */
} pcl_result_status;

/* A zeroed struct is a fresh one. */
void pcl_result_release(pcl_result_reader *self);

/* Both append two pairs of the reply, "columns" and "rows", from a result that
 * waits on the session, which must have columns; unbuffered, so memory is a row's. */
pcl_result_status pcl_result_put_prepared(pcl_result_reader *self, MYSQL_STMT *stmt, MYSQL *mysql,
                                          pcl_buffer *buffer);
pcl_result_status pcl_result_put_text(pcl_result_reader *self, MYSQL *mysql, pcl_buffer *buffer);

#endif
