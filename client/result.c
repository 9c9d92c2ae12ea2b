#include "client/result.h"

#include "wire/json.h"
#include "wire/mp.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The wire's numbers are the API's. */
#define SAME(name, value, retry, text)                                                             \
    _Static_assert((int)PORTCULLIS_##name == (int)PCL_ERR_##name, #name);
PCL_ERR_LIST(SAME)
#undef SAME
_Static_assert((int)PORTCULLIS_RETRY_SAFE == (int)PCL_RETRY_SAFE, "safe");
_Static_assert((int)PORTCULLIS_RETRY_UNSAFE == (int)PCL_RETRY_UNSAFE, "unsafe");

struct portcullis_result {
    portcullis_code code;
    portcullis_retry retry;
    uint8_t id[PCL_ID_SIZE];
    char code_text[PCL_NAME_SIZE_MAX + 1];
    char hop[PCL_NAME_SIZE_MAX + 1];
    char sqlstate[6];
    char *message; /* owned, or NULL: pcl_err_text of the code */
    bool has_reply;
    zmq_msg_t payload; /* what reply borrows from; open with has_reply only */
    pcl_reply reply;
    portcullis_column *columns; /* made when asked for, with their texts behind them */
    portcullis_value *values;   /* of the present row */
    pcl_mp_reader rows;         /* behind the present row */
    uint32_t rows_left;
    pcl_buffer route; /* JSON, made when asked for */
    pcl_buffer status;
};

/* What every call answers when there is no memory to say more. */
static portcullis_result s_no_memory = {
    .code = PORTCULLIS_NO_MEMORY,
    .retry = PORTCULLIS_RETRY_UNSAFE, /* it may stand for any outcome */
    .code_text = "NO_MEMORY",
    .hop = "client",
};

static portcullis_result *s_new(pcl_err err, pcl_retry retry, const uint8_t *id)
{
    portcullis_result *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->code = (portcullis_code)err;
    self->retry = (portcullis_retry)retry;
    pcl_buffer_init(&self->route, 16 * PCL_REPLY_SIZE_MAX);
    pcl_buffer_init(&self->status, 16 * PCL_REPLY_SIZE_MAX);
    (void)snprintf(self->code_text, sizeof self->code_text, "%s", pcl_err_code((int)err));
    if (id != NULL) {
        memcpy(self->id, id, sizeof self->id);
    }
    return self;
}

static void s_copy(char *target, size_t target_size, pcl_bytes text)
{
    size_t size = text.size < target_size ? text.size : target_size - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

static pcl_err s_err_of(pcl_bytes code)
{
#define CODE(name, value, retry, text)                                                             \
    if (pcl_bytes_is(code, #name)) {                                                               \
        return PCL_ERR_##name;                                                                     \
    }
    PCL_ERR_LIST(CODE)
#undef CODE
    return (pcl_err)PORTCULLIS_UNKNOWN;
}

portcullis_result *pcl_result_of_reply(zmq_msg_t *payload, const pcl_reply *reply)
{
    pcl_err err = reply->ok ? PCL_ERR_OK : s_err_of(reply->error_code);
    portcullis_result *self = s_new(err, reply->ok ? PCL_RETRY_NEVER : reply->error_retry,
                                    reply->id);
    if (self == NULL) {
        return &s_no_memory;
    }
    if (!reply->ok) {
        s_copy(self->code_text, sizeof self->code_text, reply->error_code);
        s_copy(self->hop, sizeof self->hop, reply->error_hop);
        s_copy(self->sqlstate, sizeof self->sqlstate, reply->error_sqlstate);
        self->message = malloc(reply->error_message.size + 1);
        if (self->message != NULL) {
            s_copy(self->message, reply->error_message.size + 1, reply->error_message);
        }
    }
    /* ZeroMQ keeps short messages inside the struct: what borrowed from the old place is read
     * again at the new one. */
    (void)zmq_msg_init(&self->payload);
    (void)zmq_msg_move(&self->payload, payload);
    self->has_reply = true;
    pcl_err again = pcl_reply_decode(
        &self->reply, pcl_bytes_of(zmq_msg_data(&self->payload), zmq_msg_size(&self->payload)));
    assert(again == PCL_ERR_OK);
    portcullis_result_rewind(self);
    return self;
}

portcullis_result *pcl_result_local(pcl_err err, pcl_retry retry, const uint8_t *id,
                                    const char *format, ...)
{
    portcullis_result *self = s_new(err, retry, id);
    if (self == NULL) {
        return &s_no_memory;
    }
    s_copy(self->hop, sizeof self->hop, pcl_bytes_text("client"));
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    self->message = malloc(strlen(message) + 1);
    if (self->message != NULL) {
        memcpy(self->message, message, strlen(message) + 1);
    }
    return self;
}

const pcl_reply *pcl_result_reply(const portcullis_result *self)
{
    return self->has_reply ? &self->reply : NULL;
}

void portcullis_result_destroy(portcullis_result **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    portcullis_result *self = *self_p;
    *self_p = NULL;
    if (self == &s_no_memory) {
        return;
    }
    if (self->has_reply) {
        (void)zmq_msg_close(&self->payload);
    }
    pcl_buffer_release(&self->route);
    pcl_buffer_release(&self->status);
    free(self->message);
    free(self->columns);
    free(self->values);
    free(self);
}

portcullis_code portcullis_result_code(const portcullis_result *self)
{
    return self->code;
}

const char *portcullis_result_code_text(const portcullis_result *self)
{
    return self->code_text;
}

const char *portcullis_result_message(const portcullis_result *self)
{
    if (self->code == PORTCULLIS_OK) {
        return "";
    }
    return self->message != NULL ? self->message : pcl_err_text((int)self->code);
}

portcullis_retry portcullis_result_retry(const portcullis_result *self)
{
    return self->retry;
}

uint32_t portcullis_result_retry_after(const portcullis_result *self)
{
    return self->reply.retry_after_ms;
}

uint32_t portcullis_result_errno(const portcullis_result *self)
{
    return self->reply.error_errno;
}

const char *portcullis_result_sqlstate(const portcullis_result *self)
{
    return self->sqlstate;
}

const char *portcullis_result_hop(const portcullis_result *self)
{
    return self->hop;
}

const uint8_t *portcullis_result_id(const portcullis_result *self)
{
    return self->id;
}

uint64_t portcullis_result_affected(const portcullis_result *self)
{
    return self->reply.affected;
}

uint64_t portcullis_result_insert_id(const portcullis_result *self)
{
    return self->reply.insert_id;
}

uint32_t portcullis_result_warnings(const portcullis_result *self)
{
    return self->reply.warnings;
}

const char *portcullis_result_token(const portcullis_result *self, size_t *out_size)
{
    *out_size = self->reply.token.size;
    return self->reply.token.size > 0 ? (const char *)self->reply.token.data : "";
}

/* The JSON of octets, NUL terminated, kept in buffer. */
static const char *s_json(pcl_buffer *buffer, pcl_bytes octets)
{
    if (octets.size == 0) {
        return "";
    }
    if (buffer->size == 0) {
        bool whole = pcl_json_put(buffer, octets);
        pcl_buffer_put_u8(buffer, '\0');
        if (!whole || buffer->failed) {
            pcl_buffer_clear(buffer);
            return "";
        }
    }
    return (const char *)buffer->data;
}

const char *portcullis_result_route(portcullis_result *self)
{
    return s_json(&self->route, self->reply.route);
}

const char *portcullis_result_status(portcullis_result *self)
{
    return s_json(&self->status, self->reply.status);
}

const void *portcullis_result_octets(const portcullis_result *self, size_t *out_size)
{
    if (!self->has_reply) {
        *out_size = 0;
        return "";
    }
    /* zmq_msg_data wants a message that it may write, though it does not. */
    zmq_msg_t *payload = &((portcullis_result *)(uintptr_t)self)->payload;
    *out_size = zmq_msg_size(payload);
    return zmq_msg_data(payload);
}

uint32_t portcullis_result_column_count(const portcullis_result *self)
{
    return self->reply.column_count;
}

uint32_t portcullis_result_row_count(const portcullis_result *self)
{
    return self->reply.row_count;
}

static const char *s_keep(char **cursor, pcl_bytes text)
{
    char *kept = *cursor;
    s_copy(kept, text.size + 1, text);
    *cursor += text.size + 1;
    return kept;
}

/* pcl_reply_decode has seen that the octets are [name, type, flags] each. */
static void s_make_columns(portcullis_result *self)
{
    pcl_bytes octets = self->reply.columns;
    size_t count = self->reply.column_count;
    /* Each text has a head of one octet at least, where its NUL finds room. */
    self->columns = malloc(count * sizeof *self->columns + octets.size);
    if (self->columns == NULL) {
        return;
    }
    char *cursor = (char *)(self->columns + count);
    pcl_mp_reader reader = pcl_mp_reader_of(octets);
    pcl_mp_value value;
    bool good = pcl_mp_next(&reader, &value);
    for (size_t index = 0; index < count; index++) {
        pcl_mp_value name;
        pcl_mp_value type;
        pcl_mp_value flags;
        good = good && pcl_mp_next(&reader, &value) && pcl_mp_next(&reader, &name) &&
               pcl_mp_next(&reader, &type) && pcl_mp_next(&reader, &flags);
        assert(good);
        self->columns[index].name = s_keep(&cursor, name.bytes);
        self->columns[index].type = s_keep(&cursor, type.bytes);
        self->columns[index].flags = (uint32_t)flags.uint;
    }
}

const portcullis_column *portcullis_result_column(portcullis_result *self, uint32_t index)
{
    static const portcullis_column none = {.name = "", .type = "", .flags = 0};
    assert(index < self->reply.column_count);
    if (self->columns == NULL) {
        s_make_columns(self);
    }
    return self->columns != NULL ? &self->columns[index] : &none;
}

void portcullis_result_rewind(portcullis_result *self)
{
    pcl_mp_value head;
    self->rows_left = 0;
    if (self->reply.rows.size > 0) {
        self->rows = pcl_mp_reader_of(self->reply.rows);
        self->rows_left = pcl_mp_next(&self->rows, &head) ? self->reply.row_count : 0;
    }
}

static portcullis_value s_value_of(const pcl_mp_value *cell)
{
    portcullis_value value = {.type = PORTCULLIS_TYPE_NULL, .data = ""};
    switch (cell->type) {
    case PCL_MP_NIL:
        break;
    case PCL_MP_BOOL:
        value.type = PORTCULLIS_TYPE_BOOL;
        value.integer = cell->boolean ? 1 : 0;
        value.uinteger = cell->boolean ? 1 : 0;
        break;
    case PCL_MP_UINT:
        value.type = cell->uint > INT64_MAX ? PORTCULLIS_TYPE_UINT : PORTCULLIS_TYPE_INT;
        value.integer = cell->sint;
        value.uinteger = cell->uint;
        break;
    case PCL_MP_INT:
        value.type = PORTCULLIS_TYPE_INT;
        value.integer = cell->sint;
        break;
    case PCL_MP_FLOAT:
        value.type = PORTCULLIS_TYPE_DOUBLE;
        value.real = cell->real;
        break;
    case PCL_MP_STR:
    case PCL_MP_BIN:
    case PCL_MP_EXT:
    case PCL_MP_ARRAY: /* these two are not: pcl_reply_decode refuses them */
    case PCL_MP_MAP:
        value.type = cell->type == PCL_MP_STR ? PORTCULLIS_TYPE_TEXT : PORTCULLIS_TYPE_BLOB;
        value.data = (const char *)cell->bytes.data;
        value.size = cell->bytes.size;
        break;
    }
    return value;
}

bool portcullis_result_next(portcullis_result *self)
{
    if (self->rows_left == 0) {
        return false;
    }
    uint32_t count = self->reply.column_count;
    if (self->values == NULL) {
        self->values = calloc(count > 0 ? count : 1, sizeof *self->values);
    }
    pcl_mp_value row;
    bool good = self->values != NULL && pcl_mp_next(&self->rows, &row);
    for (uint32_t index = 0; good && index < count; index++) {
        pcl_mp_value cell;
        good = pcl_mp_next(&self->rows, &cell);
        if (good) {
            self->values[index] = s_value_of(&cell);
        }
    }
    self->rows_left = good ? self->rows_left - 1 : 0;
    return good;
}

const portcullis_value *portcullis_result_value(const portcullis_result *self, uint32_t index)
{
    assert(index < self->reply.column_count);
    assert(self->values != NULL);
    return &self->values[index];
}
