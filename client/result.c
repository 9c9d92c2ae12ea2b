#include "client/result.h"

#include "client/client.h"
#include "client/future.h"
#include "client/request.h"
#include "client/session.h"
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
    bool sealed;   /* by the broker */
    bool has_reply;
    bool is_part;      /* of a transaction's result, which owns it and what it borrows from */
    zmq_msg_t payload; /* what reply borrows from; open with has_reply, and not of a part */
    pcl_reply reply;   /* of the present page */
    portcullis_column *columns; /* made when asked for, with their texts behind them */
    portcullis_value *values;   /* of the present row */
    pcl_mp_reader rows;         /* behind the present row */
    uint32_t rows_left;
    bool first_left;                /* the first page is gone */
    pcl_buffer route;               /* JSON, made when asked for */
    pcl_buffer status;              /* likewise */
    portcullis_result **statements; /* owned, each made when asked for; NULL before */

    /* What is held at the node: */
    portcullis *client; /* counted; NULL when nothing is */
    pcl_pin pin;
    pcl_call_terms terms;     /* of the next page */
    pcl_call_promise promise; /* of a session */
    bool has_cursor;
    uint8_t cursor[PCL_ID_SIZE];
    uint32_t page;            /* number of the present one, from 1 */
    bool has_session;         /* nobody took it yet */
    portcullis_future *ahead; /* owned; of the page that the cursor names; NULL: not under way */
};

/* What every call answers when there is no memory to say more. */
static portcullis_result s_no_memory = {
    .code = PORTCULLIS_NO_MEMORY,
    .retry = PORTCULLIS_RETRY_UNSAFE, /* it may stand for any outcome */
    .code_text = "NO_MEMORY",
    .hop = "client",
};

static void s_copy(char *target, size_t target_size, pcl_bytes text)
{
    size_t size = text.size < target_size ? text.size : target_size - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

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
    s_copy(self->code_text, sizeof self->code_text, pcl_bytes_text(pcl_err_code((int)err)));
    if (id != NULL) {
        memcpy(self->id, id, sizeof self->id);
    }
    return self;
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

portcullis_result *pcl_result_cancelled(const uint8_t *id, uint32_t affected)
{
    portcullis_result *self = s_new(PCL_ERR_OK, PCL_RETRY_NEVER, id);
    if (self == NULL) {
        return &s_no_memory;
    }
    self->reply.affected = affected;
    return self;
}

static void s_to_first_row(portcullis_result *self)
{
    pcl_mp_value head;
    self->rows_left = 0;
    if (self->reply.rows.size > 0) {
        self->rows = pcl_mp_reader_of(self->reply.rows);
        self->rows_left = pcl_mp_next(&self->rows, &head) ? self->reply.row_count : 0;
    }
}

/* In the place of the payload that was there, from which reply borrows. */
static void s_take_payload(portcullis_result *self, zmq_msg_t *payload, const pcl_reply *reply)
{
    const void *data = zmq_msg_data(payload);
    (void)zmq_msg_move(&self->payload, payload);
    self->reply = *reply;
    if (zmq_msg_data(&self->payload) != data) {
        /* ZeroMQ keeps short messages inside the struct: what borrowed from the old place is read
         * again at the new one. */
        pcl_err again = pcl_reply_decode(
            &self->reply, pcl_bytes_of(zmq_msg_data(&self->payload), zmq_msg_size(&self->payload)));
        assert(again == PCL_ERR_OK);
    }
    s_to_first_row(self);
}

/* What an error reply says in words. */
static void s_take_error(portcullis_result *self, const pcl_reply *reply)
{
    s_copy(self->code_text, sizeof self->code_text, reply->error_code);
    s_copy(self->hop, sizeof self->hop, reply->error_hop);
    self->message = malloc(reply->error_message.size + 1);
    if (self->message != NULL) {
        s_copy(self->message, reply->error_message.size + 1, reply->error_message);
    }
}

portcullis_result *pcl_result_of_refusal(const pcl_reply *reply, pcl_retry retry, const uint8_t *id)
{
    portcullis_result *self = s_new(s_err_of(reply->error_code), retry, id);
    if (self == NULL) {
        return &s_no_memory;
    }
    s_take_error(self, reply);
    self->reply.retry_after_ms = reply->retry_after_ms;
    return self;
}

portcullis_result *pcl_result_of_reply(zmq_msg_t *payload, const pcl_reply *reply, bool sealed)
{
    pcl_err err = reply->ok ? PCL_ERR_OK : s_err_of(reply->error_code);
    portcullis_result *self = s_new(err, reply->ok ? PCL_RETRY_NEVER : reply->error_retry,
                                    reply->id);
    if (self == NULL) {
        return &s_no_memory;
    }
    self->sealed = sealed;
    if (!reply->ok) {
        s_take_error(self, reply);
        s_copy(self->sqlstate, sizeof self->sqlstate, reply->error_sqlstate);
    }
    (void)zmq_msg_init(&self->payload);
    self->has_reply = true;
    s_take_payload(self, payload, reply);
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

void pcl_result_hold(portcullis_result *self, const pcl_call *call)
{
    bool unfetched = call->op == PCL_OP_FETCH && self->code != PORTCULLIS_OK &&
                     self->retry == PORTCULLIS_RETRY_SAFE;
    if (self == &s_no_memory || call->client == NULL || /* what the channel ends by itself */
        (!self->reply.has_cursor && !self->reply.has_session && !unfetched)) {
        return;
    }
    self->client = pcl_client_ref(call->client);
    self->pin = call->pin.generation != 0 ? call->pin : call->way;
    self->terms = call->terms;
    self->page = 1;
    self->promise = call->promise;
    self->has_cursor = self->reply.has_cursor || unfetched;
    memcpy(self->cursor, unfetched ? call->cursor : self->reply.cursor, sizeof self->cursor);
    self->has_session = self->reply.has_session;
}

void pcl_result_take_ahead(portcullis_result *self, const pcl_page_ask *ask,
                           portcullis_future **behind_p)
{
    if (self != &s_no_memory && self->has_cursor) {
        self->terms = ask->terms;
        self->page = ask->page;
        if (self->code == PORTCULLIS_OK) {
            self->ahead = *behind_p;
            *behind_p = NULL;
        }
    }
    portcullis_future_destroy(behind_p);
}

void pcl_result_forget(portcullis_result *self)
{
    if (self != &s_no_memory) {
        self->has_cursor = false;
    }
    portcullis_result_destroy(&self);
}

/* Forgets the client when nothing is held there any more. */
static void s_settle(portcullis_result *self)
{
    if (!self->has_cursor && !self->has_session) {
        pcl_client_unref(&self->client);
    }
}

portcullis_session *portcullis_result_take_session(portcullis_result *self)
{
    if (!self->has_session) {
        return NULL;
    }
    portcullis_session *session = pcl_session_new(self->client, self->reply.session, self->pin,
                                                  self->terms.timeout_ms, self->promise);
    if (session != NULL) {
        self->has_session = false;
        s_settle(self);
    }
    return session;
}

void portcullis_result_give_up(portcullis_result *self)
{
    if (self->has_cursor) {
        if (self->ahead != NULL) { /* the node shall not work on for nobody */
            (void)portcullis_cancel(self->client, self->id);
            portcullis_future_destroy(&self->ahead);
        }
        pcl_client_end(self->client, PCL_OP_CLOSE, self->cursor, self->pin);
        self->has_cursor = false;
        s_settle(self);
    }
}

const pcl_reply *pcl_result_reply(const portcullis_result *self)
{
    return self->has_reply || self->is_part ? &self->reply : NULL;
}

static void s_free(portcullis_result *self)
{
    for (uint32_t index = 0; self->statements != NULL && index < self->reply.result_count;
         index++) {
        if (self->statements[index] != NULL && self->statements[index] != &s_no_memory) {
            s_free(self->statements[index]);
        }
    }
    if (self->has_reply && !self->is_part) {
        (void)zmq_msg_close(&self->payload);
    }
    pcl_buffer_release(&self->route);
    pcl_buffer_release(&self->status);
    free(self->statements);
    free(self->message);
    free(self->columns);
    free(self->values);
    free(self);
}

void portcullis_result_destroy(portcullis_result **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    portcullis_result *self = *self_p;
    *self_p = NULL;
    if (self == &s_no_memory || self->is_part) {
        return;
    }
    portcullis_result_give_up(self);
    if (self->has_session) {
        pcl_client_end(self->client, PCL_OP_ROLLBACK, self->reply.session, self->pin);
    }
    pcl_client_unref(&self->client);
    s_free(self);
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

bool portcullis_result_sealed(const portcullis_result *self)
{
    return self->sealed;
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

void portcullis_result_brief(const portcullis_result *self, portcullis_brief *out_brief)
{
    *out_brief = (portcullis_brief){.code = (int)self->code,
                                    .column_count = portcullis_result_column_count(self),
                                    .row_count = portcullis_result_row_count(self),
                                    .has_more = portcullis_result_has_more(self),
                                    .affected = portcullis_result_affected(self)};
}

const char *portcullis_result_route(portcullis_result *self)
{
    return s_json(&self->route, self->reply.route);
}

portcullis_way portcullis_result_way(const portcullis_result *self)
{
    portcullis_way way = {.node = ""};
    pcl_mp_value head, key, value;
    pcl_mp_reader reader = pcl_mp_reader_of(self->reply.route);
    if (!pcl_mp_next(&reader, &head) || head.type != PCL_MP_MAP) {
        return way;
    }
    for (uint32_t left = head.count; left > 0; left--) {
        pcl_bytes octets;
        if (!pcl_mp_next(&reader, &key) || !pcl_mp_skip(&reader, &octets)) {
            break;
        }
        pcl_mp_reader inside = pcl_mp_reader_of(octets);
        if (!pcl_mp_next(&inside, &value)) {
            break;
        }
        if (value.type == PCL_MP_STR && pcl_bytes_is(key.bytes, "node")) {
            way.node = (const char *)value.bytes.data;
            way.node_size = value.bytes.size;
        } else if (value.type == PCL_MP_UINT && value.uint <= UINT32_MAX &&
                   pcl_bytes_is(key.bytes, "attempts")) {
            way.attempts = (uint32_t)value.uint;
        } else if (value.type == PCL_MP_BOOL && pcl_bytes_is(key.bytes, "hedged")) {
            way.hedged = value.boolean;
        }
    }
    return way;
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

bool portcullis_result_failed_statement(const portcullis_result *self, uint32_t *out_index)
{
    if (self->reply.has_error_statement) {
        *out_index = self->reply.error_statement;
    }
    return self->reply.has_error_statement;
}

uint32_t portcullis_result_statement_count(const portcullis_result *self)
{
    return self->reply.result_count;
}

portcullis_result *portcullis_result_statement(portcullis_result *self, uint32_t index)
{
    assert(index < self->reply.result_count);
    if (self->statements == NULL) {
        self->statements = calloc(self->reply.result_count, sizeof(portcullis_result *));
    }
    if (self->statements == NULL) {
        return &s_no_memory;
    }
    if (self->statements[index] == NULL) {
        portcullis_result *part = s_new(PCL_ERR_OK, PCL_RETRY_NEVER, self->id);
        if (part == NULL) {
            return &s_no_memory;
        }
        part->is_part = true;
        part->sealed = self->sealed;
        pcl_reply_result(&self->reply, index, &part->reply);
        s_to_first_row(part);
        self->statements[index] = part;
    }
    return self->statements[index];
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

static const portcullis_column s_no_column = {
    .name = "", .type = "", .schema = "", .table = "", .org_table = "", .org_name = ""};

static void s_make_metadata(const pcl_reply *reply, uint32_t index, portcullis_column *column,
                            char **cursor)
{
    pcl_reply_metadata metadata;
    pcl_reply_column_metadata(reply, index, &metadata);
    column->schema = s_keep(cursor, metadata.schema);
    column->table = s_keep(cursor, metadata.table);
    column->org_table = s_keep(cursor, metadata.org_table);
    column->org_name = s_keep(cursor, metadata.org_name);
    column->charset = metadata.charset;
    column->length = metadata.length;
    column->decimals = metadata.decimals;
}

/* pcl_reply_decode has seen that the octets are [name, type, flags] each. */
static void s_make_columns(portcullis_result *self)
{
    pcl_bytes octets = self->reply.columns;
    uint32_t count = self->reply.column_count;
    /* Each text has a head of one octet at least, where its NUL finds room. */
    self->columns = malloc(count * sizeof *self->columns + octets.size + self->reply.metadata.size);
    if (self->columns == NULL) {
        return;
    }
    char *cursor = (char *)(self->columns + count);
    pcl_mp_reader reader = pcl_mp_reader_of(octets);
    pcl_mp_value value;
    bool good = pcl_mp_next(&reader, &value);
    for (uint32_t index = 0; index < count; index++) {
        pcl_mp_value name;
        pcl_mp_value type;
        pcl_mp_value flags;
        good = good && pcl_mp_next(&reader, &value) && pcl_mp_next(&reader, &name) &&
               pcl_mp_next(&reader, &type) && pcl_mp_next(&reader, &flags);
        assert(good);
        self->columns[index] = s_no_column;
        self->columns[index].name = s_keep(&cursor, name.bytes);
        self->columns[index].type = s_keep(&cursor, type.bytes);
        self->columns[index].flags = (uint32_t)flags.uint;
        if (self->reply.metadata.size > 0) {
            s_make_metadata(&self->reply, index, &self->columns[index], &cursor);
        }
    }
}

const portcullis_column *portcullis_result_column(portcullis_result *self, uint32_t index)
{
    assert(index < self->reply.column_count);
    if (self->columns == NULL) {
        s_make_columns(self);
    }
    return self->columns != NULL ? &self->columns[index] : &s_no_column;
}

bool portcullis_result_rewind(portcullis_result *self)
{
    if (self->first_left) {
        return false;
    }
    s_to_first_row(self);
    return true;
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

/* self becomes the failure that page is; its columns stay. */
static void s_take_failure(portcullis_result *self, portcullis_result *page)
{
    self->code = page->code;
    self->retry = page->retry;
    self->sealed = page->sealed;
    memcpy(self->code_text, page->code_text, sizeof self->code_text);
    memcpy(self->hop, page->hop, sizeof self->hop);
    memcpy(self->sqlstate, page->sqlstate, sizeof self->sqlstate);
    self->reply.error_errno = page->reply.error_errno;
    self->reply.retry_after_ms = page->reply.retry_after_ms;
    free(self->message);
    self->message = NULL;
    if (page != &s_no_memory) {
        self->message = page->message;
        page->message = NULL;
    }
}

bool portcullis_result_next_in_page(portcullis_result *self)
{
    if (self->rows_left == 0) {
        return false;
    }
    uint32_t count = self->reply.column_count;
    if (self->values == NULL) {
        self->values = calloc(count > 0 ? count : 1, sizeof *self->values);
    }
    if (self->values == NULL) { /* no row may be passed over in silence */
        portcullis_result_give_up(self);
        s_take_failure(self, &s_no_memory);
        self->rows_left = 0;
        return false;
    }
    pcl_mp_value row;
    bool good = pcl_mp_next(&self->rows, &row);
    for (uint32_t index = 0; good && index < count; index++) {
        pcl_mp_value cell;
        good = pcl_mp_next(&self->rows, &cell);
        if (good) {
            self->values[index] = s_value_of(&cell);
        }
    }
    assert(good); /* pcl_reply_decode has seen that they are all there */
    self->rows_left--;
    return true;
}

bool portcullis_result_next(portcullis_result *self)
{
    while (!portcullis_result_next_in_page(self)) {
        if (!portcullis_result_fetch(self)) { /* a page may well be empty */
            return false;
        }
    }
    return true;
}

const portcullis_value *portcullis_result_value(const portcullis_result *self, uint32_t index)
{
    assert(index < self->reply.column_count);
    assert(self->values != NULL);
    return &self->values[index];
}

/* ---- pages -------------------------------------------------------------------------------- */

bool portcullis_result_has_more(const portcullis_result *self)
{
    return self->has_cursor;
}

static pcl_page_ask s_next_page(const portcullis_result *self)
{
    pcl_page_ask ask = {
        .client = self->client, .pin = self->pin, .terms = self->terms, .page = self->page + 1};
    memcpy(ask.id, self->id, sizeof ask.id);
    memcpy(ask.cursor, self->cursor, sizeof ask.cursor);
    return ask;
}

/* self ends here, with the failure that page is. */
static void s_end_with(portcullis_result *self, portcullis_result *page)
{
    /* What did not take place may be tried again; all else has ended the cursor. */
    bool again = page->retry == PORTCULLIS_RETRY_SAFE || page->code == PORTCULLIS_UNSUPPORTED;
    if (page != &s_no_memory) { /* which threads share */
        page->has_cursor = false;
    }
    if (page->code == PORTCULLIS_GONE) {
        self->has_cursor = false;
        s_settle(self);
    } else if (!again) {
        portcullis_result_give_up(self); /* the page may wait there, though nobody can get it */
    }
    s_take_failure(self, page);
    self->reply.rows = pcl_bytes_of(NULL, 0);
    self->reply.row_count = 0;
    self->rows_left = 0;
}

/* self becomes page in all that a page is: rows, and what waits behind them. */
static void s_become(portcullis_result *self, portcullis_result *page)
{
    uint32_t warnings = self->reply.warnings;
    self->sealed = page->sealed;
    self->code = PORTCULLIS_OK; /* also after a fetch that failed and was tried again */
    self->retry = PORTCULLIS_RETRY_NEVER;
    s_copy(self->code_text, sizeof self->code_text, pcl_bytes_text(pcl_err_code(PCL_ERR_OK)));
    self->hop[0] = '\0';
    self->sqlstate[0] = '\0';
    self->has_cursor = page->has_cursor;
    memcpy(self->cursor, page->cursor, sizeof self->cursor);
    page->has_cursor = false;
    self->terms = page->terms;
    self->page = page->page;
    self->ahead = page->ahead;
    page->ahead = NULL;
    s_settle(self);
    s_take_payload(self, &page->payload, &page->reply);
    page->reply = (pcl_reply){.ok = true}; /* it has nothing to borrow from any more */
    if (self->reply.warnings < warnings) {
        self->reply.warnings = warnings;
    }
}

/* Sends for the next page and waits. */
static portcullis_result *s_fetch(portcullis_result *self)
{
    if (!pcl_client_may_wait(self->client)) {
        return pcl_result_local(PCL_ERR_UNSUPPORTED, PCL_RETRY_NEVER, self->id,
                                "more rows wait, and a callback must not: it has to submit the "
                                "fetch of a page");
    }
    pcl_page_ask ask = s_next_page(self);
    bool sent = false;
    portcullis_future *future = pcl_ahead_start(&ask, &self->ahead, &sent);
    if (future == NULL) {
        return pcl_result_local(PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, self->id, "out of memory");
    }
    portcullis_result *page = portcullis_future_wait(&future, -1);
    if (page->code == PORTCULLIS_OK && page->reply.column_count != self->reply.column_count) {
        portcullis_result *wrong = pcl_result_local(
            PCL_ERR_INTERNAL, PCL_RETRY_UNSAFE, self->id,
            "the next page has %u columns, and the one before it %u", page->reply.column_count,
            self->reply.column_count);
        portcullis_result_destroy(&page);
        return wrong;
    }
    return page;
}

bool portcullis_result_fetch(portcullis_result *self)
{
    if (!self->has_cursor) {
        return false;
    }
    if (self->columns == NULL) { /* they and the route are valid as long as the result */
        s_make_columns(self);
    }
    (void)portcullis_result_route(self);
    portcullis_result *page = s_fetch(self);
    bool good = page->code == PORTCULLIS_OK;
    self->first_left = true;
    if (good) {
        s_become(self, page);
    } else {
        s_end_with(self, page);
    }
    portcullis_result_destroy(&page);
    return good;
}

portcullis_code portcullis_result_submit_fetch(portcullis_result *self,
                                               portcullis_callback *callback, void *context)
{
    if (!self->has_cursor) {
        return PORTCULLIS_GONE;
    }
    if (self->ahead != NULL) {
        return PORTCULLIS_UNSUPPORTED;
    }
    pcl_page_ask ask = s_next_page(self);
    pcl_call *call = NULL;
    pcl_err err = pcl_ahead_make_call(&ask, &call);
    err = pcl_client_submit(self->client, err, call, callback, context);
    if (err == PCL_ERR_OK) {
        self->has_cursor = false;
        s_settle(self);
    }
    return (portcullis_code)err;
}

portcullis_future *portcullis_result_start_fetch(portcullis_result *self)
{
    if (!self->has_cursor) {
        return pcl_future_of(
            pcl_result_local(PCL_ERR_GONE, PCL_RETRY_NEVER, self->id, "no more rows wait"));
    }
    pcl_page_ask ask = s_next_page(self);
    bool sent = false;
    portcullis_future *future = pcl_ahead_start(&ask, &self->ahead, &sent);
    if (sent) {
        self->has_cursor = false;
        s_settle(self);
    }
    return future;
}
