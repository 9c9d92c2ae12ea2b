#include "worker-agent/answer.h"

#include "wire/head.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/utf8.h"
#include "worker-agent/route.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define RETRY_AFTER_MS 50u

pcl_answer pcl_answer_map(pcl_buffer *buffer)
{
    pcl_answer self = {.buffer = buffer, .at = buffer->size};
    pcl_mp_put_map(buffer, 0);
    return self;
}

pcl_answer pcl_answer_open(pcl_job *job)
{
    pcl_buffer_clear(&job->reply);
    pcl_reply_open(&job->reply, job->message.head.id, true, 0);
    return (pcl_answer){.buffer = &job->reply, .at = 0};
}

void pcl_answer_key(pcl_answer *self, const char *key)
{
    pcl_buffer *buffer = self->buffer;
    pcl_mp_put_text(buffer, key);
    if (!buffer->failed) { /* a failed one is not sent */
        assert((buffer->data[self->at] & 0xf0) == 0x80 && buffer->data[self->at] < 0x8f);
        buffer->data[self->at]++;
    }
}

void pcl_answer_uint(pcl_answer *self, const char *key, uint64_t value)
{
    pcl_answer_key(self, key);
    pcl_mp_put_uint(self->buffer, value);
}

void pcl_answer_text(pcl_answer *self, const char *key, const char *text)
{
    pcl_answer_key(self, key);
    pcl_mp_put_text(self->buffer, text);
}

void pcl_answer_id(pcl_answer *self, const char *key, const uint8_t id[PCL_ID_SIZE], uint16_t page)
{
    uint8_t full[PCL_ID_SIZE];
    memcpy(full, id, sizeof full);
    pcl_held_id_set_page(full, page);
    pcl_answer_key(self, key);
    pcl_mp_put_bin(self->buffer, pcl_bytes_of(full, sizeof full));
}

void pcl_answer_route(pcl_answer *self, const pcl_agent_options *options, pcl_job *job)
{
    pcl_route route = {
        .node = options->node,
        .role = job->role,
        .head = &job->message.head,
        .explanation = pcl_frame_bytes(&job->message.tail),
        .queue_us = job->queue_us,
        .exec_us = job->exec_us,
    };
    pcl_route_put(self->buffer, &route);
    if (!self->buffer->failed) {
        self->buffer->data[self->at]++; /* it has put its key itself */
    }
}

pcl_page pcl_page_asked(const pcl_request *request)
{
    return (pcl_page){
        .rows_max = request->page_rows > 0 ? request->page_rows : PCL_PAGE_ROWS_DEFAULT,
        .bytes_max = request->page_bytes > 0 ? request->page_bytes : PCL_PAGE_BYTES_DEFAULT,
        .metadata = request->metadata,
    };
}

pcl_page pcl_page_whole(const pcl_request *request)
{
    return (pcl_page){.rows_max = UINT32_MAX, .bytes_max = SIZE_MAX, .metadata = request->metadata};
}

void pcl_answer_columns(pcl_answer *self, const pcl_stream *stream, const pcl_page *page)
{
    pcl_answer_key(self, "columns");
    pcl_stream_put_columns(stream, self->buffer);
    if (page->metadata) {
        pcl_answer_key(self, "metadata");
        pcl_stream_put_metadata(stream, self->buffer);
    }
    pcl_answer_key(self, "rows");
}

pcl_stream_status pcl_answer_page(pcl_answer *self, pcl_stream *stream, const pcl_page *page)
{
    pcl_answer_columns(self, stream, page);
    return pcl_stream_put_rows(stream, self->buffer, page->rows_max, page->bytes_max);
}

/* MySQL cuts its messages by octets, and may cut a character. */
static pcl_bytes s_whole_characters(const char *text)
{
    pcl_bytes rest = pcl_bytes_text(text);
    size_t size = 0;
    size_t width = 0;
    while ((width = pcl_utf8_width(pcl_bytes_of(rest.data + size, rest.size - size))) > 0) {
        size += width;
    }
    return pcl_bytes_of(text, size);
}

void pcl_answer_error(pcl_job *job, pcl_outcome outcome, const pcl_sql_error *error,
                      uint32_t statement)
{
    job->outcome = outcome;
    pcl_buffer_clear(&job->reply);
    pcl_reply_error reply = {
        .err = outcome.err,
        .retry = outcome.retry,
        .message = s_whole_characters(error->message),
        .mysql_errno = error->number,
        .sqlstate = error->number != 0 ? error->sqlstate : NULL,
        .hop = "agent",
        .retry_after_ms = outcome.err == PCL_ERR_OVERLOADED ? RETRY_AFTER_MS : 0,
        .has_statement = statement != PCL_NO_STATEMENT,
        .statement = statement != PCL_NO_STATEMENT ? statement : 0,
    };
    pcl_reply_error_encode(&job->reply, job->message.head.id, &reply);
    assert(!job->reply.failed);
}

void pcl_job_refuse(pcl_job *job, pcl_outcome outcome, const char *message)
{
    pcl_sql_error error = {.number = 0};
    (void)snprintf(error.message, sizeof error.message, "%s", message);
    pcl_answer_error(job, outcome, &error, PCL_NO_STATEMENT);
}
