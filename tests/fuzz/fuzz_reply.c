/* What a decoded reply says of itself is true of its octets, and an error that
 * was read can be written and read again. */
#include "wire/mp.h"
#include "wire/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

/* Walks the rows as a client does. */
static void s_read_rows(const pcl_reply *reply)
{
    pcl_mp_reader reader = pcl_mp_reader_of(reply->rows);
    pcl_mp_value value;
    s_require(pcl_mp_next(&reader, &value) && value.type == PCL_MP_ARRAY);
    s_require(value.count == reply->row_count);
    for (uint32_t row = 0; row < reply->row_count; row++) {
        s_require(pcl_mp_next(&reader, &value) && value.type == PCL_MP_ARRAY);
        s_require(value.count == reply->column_count);
        for (uint32_t column = 0; column < reply->column_count; column++) {
            s_require(pcl_mp_next(&reader, &value));
            s_require(value.type != PCL_MP_ARRAY && value.type != PCL_MP_MAP);
        }
    }
    s_require(reader.offset == reply->rows.size);
}

static void s_read_map(pcl_bytes octets)
{
    if (octets.size > 0) {
        pcl_mp_reader reader = pcl_mp_reader_of(octets);
        pcl_mp_value value;
        s_require(pcl_mp_next(&reader, &value) && value.type == PCL_MP_MAP);
        s_require(pcl_mp_check(octets, PCL_MP_DEPTH_MAX, PCL_MP_KEYS_MAX, NULL) == PCL_ERR_OK);
    }
}

static void s_write_error(const pcl_reply *reply)
{
    pcl_reply_error error = {
        .err = PCL_ERR_SQL,
        .retry = reply->error_retry,
        .message = reply->error_message,
        .mysql_errno = reply->error_errno,
        .hop = "agent",
        .retry_after_ms = reply->retry_after_ms,
    };
    pcl_buffer buffer;
    pcl_reply again;
    pcl_buffer_init(&buffer, 2 * PCL_MESSAGE_SIZE_MAX);
    pcl_reply_error_encode(&buffer, reply->has_id ? reply->id : NULL, &error);
    s_require(pcl_reply_decode(&again, pcl_buffer_bytes(&buffer)) == PCL_ERR_OK);
    s_require(!again.ok && again.has_id == reply->has_id);
    s_require(memcmp(again.id, reply->id, PCL_ID_SIZE) == 0);
    s_require(reply->error_message.size == 0 ||
              pcl_bytes_equal(again.error_message, reply->error_message));
    s_require(again.error_retry == reply->error_retry);
    s_require(again.error_errno == reply->error_errno);
    s_require(again.retry_after_ms == reply->retry_after_ms);
    pcl_buffer_release(&buffer);
}

/* Any octets become a message that every client can read. */
static void s_write_message(const uint8_t *data, size_t size)
{
    pcl_reply_error error = {
        .err = PCL_ERR_SQL, .hop = "agent", .message = pcl_bytes_of(data, size)};
    pcl_buffer buffer;
    pcl_reply reply;
    pcl_buffer_init(&buffer, 2 * PCL_MESSAGE_SIZE_MAX);
    pcl_reply_error_encode(&buffer, NULL, &error);
    s_require(pcl_reply_decode(&reply, pcl_buffer_bytes(&buffer)) == PCL_ERR_OK);
    pcl_buffer_release(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    s_write_message(data, size);
    pcl_reply reply;
    if (pcl_reply_decode(&reply, pcl_bytes_of(data, size)) != PCL_ERR_OK) {
        return 0;
    }
    s_require(pcl_mp_check(pcl_bytes_of(data, size), PCL_MSGPACK_DEPTH_MAX, PCL_MP_KEYS_MAX,
                           NULL) == PCL_ERR_OK);
    if (reply.has_columns) {
        s_read_rows(&reply);
    }
    s_read_map(reply.route);
    s_read_map(reply.status);
    s_require(reply.token.size <= PCL_TOKEN_SIZE_MAX);
    if (!reply.ok) {
        s_write_error(&reply);
    }
    return 0;
}
