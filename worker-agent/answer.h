/* answer.h - the reply to a job, as it is written: maps whose count is known at
 * their end, pages of rows, errors, the route. */
#ifndef PCL_WORKER_AGENT_ANSWER_H
#define PCL_WORKER_AGENT_ANSWER_H

#include "worker-agent/connection.h"
#include "worker-agent/job.h"
#include "worker-agent/options.h"
#include "worker-agent/stream.h"

#include <stdbool.h>
#include <stdint.h>

/* A map of at most 15 pairs, which is being appended to. */
typedef struct pcl_answer {
    pcl_buffer *buffer; /* borrowed */
    size_t at;          /* of its head */
} pcl_answer;

/* Begins the job's reply with ok: true; what was there goes. */
pcl_answer pcl_answer_open(pcl_job *job);
/* Begins a map where the buffer ends. */
pcl_answer pcl_answer_map(pcl_buffer *buffer);

/* Appends a key; its value must follow. */
void pcl_answer_key(pcl_answer *self, const char *key);
void pcl_answer_uint(pcl_answer *self, const char *key, uint64_t value);
void pcl_answer_text(pcl_answer *self, const char *key, const char *text);
/* An id with this page. */
void pcl_answer_id(pcl_answer *self, const char *key, const uint8_t id[PCL_ID_SIZE], uint16_t page);
/* The pair `route`. */
void pcl_answer_route(pcl_answer *self, const pcl_agent_options *options, pcl_job *job);

/* How much of a result goes into a reply. */
typedef struct pcl_page {
    uint32_t rows_max;
    size_t bytes_max; /* of the rows' encoding; one row may be longer */
    bool metadata;
} pcl_page;

/* What the client asks for, or the defaults. */
pcl_page pcl_page_asked(const pcl_request *request);
/* All there is. */
pcl_page pcl_page_whole(const pcl_request *request);

/* Appends columns, metadata where asked for, and the key of the rows that come next. */
void pcl_answer_columns(pcl_answer *self, const pcl_stream *stream, const pcl_page *page);
/* ... and the rows. */
pcl_stream_status pcl_answer_page(pcl_answer *self, pcl_stream *stream,
                                  const pcl_page *page) PCL_MUST_CHECK;

#define PCL_TOO_LARGE_TEXT "the result is over 17 MiB; add a LIMIT, or select fewer columns"

/* Replaces the reply by an error; statement: of a txn, else PCL_NO_STATEMENT. */
#define PCL_NO_STATEMENT UINT32_MAX
void pcl_answer_error(pcl_job *job, pcl_outcome outcome, const pcl_sql_error *error,
                      uint32_t statement);
/* Likewise, of an error that is not MySQL's; "" for its usual text.  Also for a job that no worker
 * ran, or that was given up. */
void pcl_job_refuse(pcl_job *job, pcl_outcome outcome, const char *message);

#endif
