/* attempt.h - one try at one statement on one connection: prepared where it can
 * be, its result read into a map of the reply, what went wrong. */
#ifndef PCL_WORKER_AGENT_ATTEMPT_H
#define PCL_WORKER_AGENT_ATTEMPT_H

#include "worker-agent/answer.h"
#include "worker-agent/binding.h"
#include "worker-agent/job.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_attempt {
    /* The caller's: */
    pcl_connection *connection; /* open, in its schema, watched */
    pcl_stream *stream;         /* fresh or finished */
    const pcl_binding *binding; /* its parameters, read */
    const pcl_job *job;         /* whose it is: what is cancelled, or too late, is not sent */
    pcl_bytes sql;
    uint8_t sql_class;
    bool as_text; /* not prepared: what preparing would disturb; only without parameters */
    pcl_page page;
    uint32_t rows_max;  /* of the whole result, over all its pages; 0: any number */
    pcl_answer *answer; /* what the result is appended to */

    /* What came of it: */
    pcl_stage stage;
    bool failed;
    pcl_sql_error error; /* when it failed: MySQL's, or number 0 and a message of ours */
    pcl_err own_err;     /* when it failed and MySQL did not speak */
    bool rolled_back;    /* when it failed: nothing of it is left, said the server */
    bool stale;          /* when it failed: its columns changed; prepared anew it may work */
    bool rest;           /* rows, or results, are unread, and the connection is busy with them */
    bool cache_hit;
    bool rows;      /* the answer has columns and rows */
    bool more;      /* the page is full: the stream has the rest */
    uint64_t count; /* of rows, or affected */
    uint64_t insert_id;
    uint32_t warnings;
} pcl_attempt;

/* Runs it, unless its job has ended before it is sent.  Afterwards, unless `rest`, the connection
 * is free for the next command.  With `more` the stream keeps the prepared statement. */
void pcl_attempt_run(pcl_attempt *self);

/* After a failure that rolls back by itself: asks the server whether all of it is gone. */
void pcl_attempt_ask_rolled_back(pcl_attempt *self);

/* Appends affected, insert_id and warnings, or the warnings of rows. */
void pcl_attempt_put_counts(const pcl_attempt *self, pcl_answer *answer);

/* Ends it with an error of ours. */
void pcl_attempt_fail(pcl_attempt *self, pcl_err err, const char *message);
/* ... since the result has more rows than may be returned. */
void pcl_attempt_fail_by_limit(pcl_attempt *self, const pcl_stream *stream);

/* The error that the library has; stmt: NULL of a text. */
void pcl_attempt_take_error(pcl_attempt *self, MYSQL_STMT *stmt);
/* What a result's beginning, or its page, came to; not WAITS. */
void pcl_attempt_take_status(pcl_attempt *self, pcl_stream_status status, MYSQL_STMT *stmt);

/* What a failure or a success means. */
pcl_outcome pcl_attempt_judge(const pcl_attempt *self, pcl_ending ending);

/* A result that was read to its end, or to its error: gives its prepared statement back. */
void pcl_stream_release(pcl_stream *stream, pcl_connection *connection);
/* Closes the connection, and lets go of what was not read. */
void pcl_stream_drop(pcl_stream *stream, pcl_connection *connection);

#endif
