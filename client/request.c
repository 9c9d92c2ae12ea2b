#include "client/request.h"

#include "client/seen.h"
#include "common/buffer.h"
#include "wire/mp.h"
#include "wire/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct portcullis_request {
    pcl_op op;
    /* The statement; of a transaction the one that was added last: */
    pcl_buffer sql;
    pcl_buffer params; /* the values, without the array's head */
    uint32_t param_count;
    bool has_expect;
    uint64_t expect_min, expect_max;
    /* Of a transaction: */
    pcl_buffer statements;    /* those before the last, as the maps that are sent */
    uint32_t statement_count; /* with the last */

    char db[PCL_DB_NAME_SIZE_MAX + 1];
    pcl_strategy_kind strategy;
    bool causal; /* none of the others was asked for: as the client is */
    pcl_consistency_kind consistency;
    pcl_seen after; /* of PCL_CONSISTENCY_AFTER */
    uint32_t max_lag_ms;
    bool monotonic;
    uint32_t timeout_ms; /* 0: the client's default */
    uint32_t page_rows;  /* 0: the cluster's default, as page_size */
    uint32_t page_size;
    uint32_t pages_ahead;
    bool read_only; /* of a begin */
    bool metadata;
    bool explain_route;
    bool dry_run;
    bool idempotent;
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
};

/* Does it no harm, ever, to do it twice? */
static bool s_is_harmless(pcl_op op)
{
    return op == PCL_OP_PING || op == PCL_OP_STATUS || op == PCL_OP_CANCEL;
}

static portcullis_request *s_new(pcl_op op, pcl_bytes sql)
{
    portcullis_request *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->op = op;
    self->causal = true;
    self->idempotent = s_is_harmless(op);
    pcl_buffer_init(&self->sql, SIZE_MAX); /* what is too large is refused when it is sent */
    pcl_buffer_init(&self->params, PCL_REQUEST_SIZE_MAX);
    pcl_buffer_init(&self->statements, PCL_REQUEST_SIZE_MAX);
    pcl_buffer_put(&self->sql, sql.data, sql.size);
    if (self->sql.failed) {
        portcullis_request_destroy(&self);
    }
    return self;
}

portcullis_request *portcullis_request_new(const char *sql)
{
    return s_new(PCL_OP_QUERY, pcl_bytes_text(sql != NULL ? sql : ""));
}

portcullis_request *portcullis_request_new_sized(const char *sql, size_t size)
{
    return s_new(PCL_OP_QUERY, pcl_bytes_of(sql, size));
}

portcullis_request *portcullis_request_new_ping(void)
{
    return s_new(PCL_OP_PING, pcl_bytes_of(NULL, 0));
}

portcullis_request *portcullis_request_new_status(void)
{
    return s_new(PCL_OP_STATUS, pcl_bytes_of(NULL, 0));
}

portcullis_request *portcullis_request_new_txn(void)
{
    return s_new(PCL_OP_TXN, pcl_bytes_of(NULL, 0));
}

portcullis_request *portcullis_request_new_begin(bool read_only)
{
    portcullis_request *self = s_new(PCL_OP_BEGIN, pcl_bytes_of(NULL, 0));
    if (self != NULL) {
        self->read_only = read_only;
    }
    return self;
}

portcullis_request *portcullis_request_new_commit(void)
{
    return s_new(PCL_OP_COMMIT, pcl_bytes_of(NULL, 0));
}

portcullis_request *portcullis_request_new_rollback(void)
{
    return s_new(PCL_OP_ROLLBACK, pcl_bytes_of(NULL, 0));
}

portcullis_request *portcullis_request_new_cancel(const uint8_t *id)
{
    assert(id != NULL);
    portcullis_request *self = s_new(PCL_OP_CANCEL, pcl_bytes_of(NULL, 0));
    if (self != NULL) {
        portcullis_request_set_id(self, id);
    }
    return self;
}

void portcullis_request_destroy(portcullis_request **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    pcl_buffer_release(&(*self_p)->sql);
    pcl_buffer_release(&(*self_p)->params);
    pcl_buffer_release(&(*self_p)->statements);
    free(*self_p);
    *self_p = NULL;
}

/* Ends the adding of a value: true when it went in whole and may go in. */
static bool s_added(portcullis_request *self, size_t size_before)
{
    if (self->params.failed || self->param_count == PCL_PARAMS_MAX) {
        pcl_buffer_truncate(&self->params, size_before);
        self->params.failed = false; /* what went in before is whole */
        return false;
    }
    self->param_count++;
    return true;
}

bool portcullis_request_add_null(portcullis_request *self)
{
    size_t before = self->params.size;
    pcl_mp_put_nil(&self->params);
    return s_added(self, before);
}

bool portcullis_request_add_bool(portcullis_request *self, bool value)
{
    size_t before = self->params.size;
    pcl_mp_put_bool(&self->params, value);
    return s_added(self, before);
}

bool portcullis_request_add_int(portcullis_request *self, int64_t value)
{
    size_t before = self->params.size;
    pcl_mp_put_int(&self->params, value);
    return s_added(self, before);
}

bool portcullis_request_add_uint(portcullis_request *self, uint64_t value)
{
    size_t before = self->params.size;
    pcl_mp_put_uint(&self->params, value);
    return s_added(self, before);
}

bool portcullis_request_add_double(portcullis_request *self, double value)
{
    size_t before = self->params.size;
    pcl_mp_put_double(&self->params, value);
    return s_added(self, before);
}

bool portcullis_request_add_text(portcullis_request *self, const char *text)
{
    return portcullis_request_add_text_sized(self, text, strlen(text));
}

bool portcullis_request_add_text_sized(portcullis_request *self, const char *text, size_t size)
{
    size_t before = self->params.size;
    pcl_mp_put_str(&self->params, pcl_bytes_of(text, size));
    return s_added(self, before);
}

bool portcullis_request_add_blob(portcullis_request *self, const void *data, size_t size)
{
    size_t before = self->params.size;
    pcl_mp_put_bin(&self->params, pcl_bytes_of(data, size));
    return s_added(self, before);
}

bool portcullis_request_add_decimal(portcullis_request *self, const char *text)
{
    size_t before = self->params.size;
    pcl_mp_put_ext(&self->params, PCL_EXT_DECIMAL, pcl_bytes_text(text));
    return s_added(self, before);
}

bool portcullis_request_add_temporal(portcullis_request *self, const char *text)
{
    size_t before = self->params.size;
    pcl_mp_put_ext(&self->params, PCL_EXT_TEMPORAL, pcl_bytes_text(text));
    return s_added(self, before);
}

void portcullis_request_clear_params(portcullis_request *self)
{
    pcl_buffer_clear(&self->params);
    self->param_count = 0;
}

/* Appends the statement that was added last, as a map. */
static void s_put_statement(const portcullis_request *self, pcl_buffer *buffer)
{
    pcl_mp_put_map(buffer, 1u + (self->param_count > 0 ? 1u : 0u) + (self->has_expect ? 1u : 0u));
    pcl_mp_put_text(buffer, "sql");
    pcl_mp_put_str(buffer, pcl_buffer_bytes(&self->sql));
    if (self->param_count > 0) {
        pcl_mp_put_text(buffer, "params");
        pcl_mp_put_array(buffer, self->param_count);
        pcl_mp_put_raw(buffer, pcl_buffer_bytes(&self->params));
    }
    if (!self->has_expect) {
        return;
    }
    bool has_max = self->expect_max != UINT64_MAX;
    pcl_mp_put_text(buffer, "expect");
    if (self->expect_min == self->expect_max) {
        pcl_mp_put_map(buffer, 1);
        pcl_mp_put_text(buffer, "rows");
        pcl_mp_put_uint(buffer, self->expect_min);
        return;
    }
    pcl_mp_put_map(buffer, has_max ? 2 : 1);
    pcl_mp_put_text(buffer, "min_rows");
    pcl_mp_put_uint(buffer, self->expect_min);
    if (has_max) {
        pcl_mp_put_text(buffer, "max_rows");
        pcl_mp_put_uint(buffer, self->expect_max);
    }
}

bool portcullis_request_add_statement(portcullis_request *self, const char *sql)
{
    return portcullis_request_add_statement_sized(self, sql, strlen(sql));
}

bool portcullis_request_add_statement_sized(portcullis_request *self, const char *sql, size_t size)
{
    if (self->op != PCL_OP_TXN || self->statement_count == PCL_STATEMENTS_MAX ||
        size > PCL_REQUEST_SIZE_MAX) {
        return false;
    }
    pcl_buffer next; /* made first, so that a failure changes nothing */
    pcl_buffer_init(&next, PCL_REQUEST_SIZE_MAX);
    pcl_buffer_put(&next, sql, size);
    size_t before = self->statements.size;
    if (!next.failed && self->statement_count > 0) {
        s_put_statement(self, &self->statements);
    }
    if (next.failed || self->statements.failed) {
        pcl_buffer_truncate(&self->statements, before);
        self->statements.failed = false; /* what went in before is whole */
        pcl_buffer_release(&next);
        return false;
    }
    pcl_buffer_release(&self->sql);
    self->sql = next;
    self->statement_count++;
    self->has_expect = false;
    portcullis_request_clear_params(self);
    return true;
}

bool portcullis_request_expect_rows(portcullis_request *self, uint64_t rows)
{
    return portcullis_request_expect_between(self, rows, rows);
}

bool portcullis_request_expect_between(portcullis_request *self, uint64_t rows_min,
                                       uint64_t rows_max)
{
    if (self->statement_count == 0 || rows_min > rows_max) {
        return false;
    }
    self->has_expect = rows_min > 0 || rows_max != UINT64_MAX;
    self->expect_min = rows_min;
    self->expect_max = rows_max;
    return true;
}

bool portcullis_request_set_db(portcullis_request *self, const char *db)
{
    size_t size = db != NULL ? strlen(db) : 0;
    if (size > PCL_DB_NAME_SIZE_MAX) {
        return false;
    }
    memcpy(self->db, db != NULL ? db : "", size + 1);
    return true;
}

bool portcullis_request_set_strategy(portcullis_request *self, const char *strategy)
{
    if (strategy == NULL || strategy[0] == '\0') {
        self->strategy = PCL_STRATEGY_DEFAULT;
        return true;
    }
    pcl_strategy_kind kind;
    if (!pcl_strategy_parse(pcl_bytes_text(strategy), &kind)) {
        return false;
    }
    self->strategy = kind;
    return true;
}

static void s_set_consistency(portcullis_request *self, pcl_consistency_kind kind)
{
    self->causal = false;
    self->consistency = kind;
}

void portcullis_request_set_consistency_default(portcullis_request *self)
{
    s_set_consistency(self, PCL_CONSISTENCY_ANY);
    self->causal = true;
}

void portcullis_request_set_consistency_any(portcullis_request *self)
{
    s_set_consistency(self, PCL_CONSISTENCY_ANY);
}

void portcullis_request_set_consistency_source(portcullis_request *self)
{
    s_set_consistency(self, PCL_CONSISTENCY_SOURCE);
}

void portcullis_request_set_consistency_max_lag(portcullis_request *self, uint32_t lag_ms_max)
{
    s_set_consistency(self, PCL_CONSISTENCY_MAX_LAG);
    self->max_lag_ms = lag_ms_max;
}

bool portcullis_request_set_consistency_after(portcullis_request *self, const void *token,
                                              size_t size)
{
    pcl_seen after = {.count = 0};
    if (!pcl_seen_add(&after, pcl_bytes_of(token, size)) || (after.count == 0 && !after.source)) {
        return false;
    }
    self->after = after;
    s_set_consistency(self, PCL_CONSISTENCY_AFTER);
    return true;
}

void portcullis_request_set_monotonic(portcullis_request *self, bool monotonic)
{
    self->monotonic = monotonic;
}

void portcullis_request_set_timeout(portcullis_request *self, uint32_t timeout_ms)
{
    self->timeout_ms = timeout_ms < PCL_TIMEOUT_MS_MAX ? timeout_ms : PCL_TIMEOUT_MS_MAX;
}

void portcullis_request_set_explain_route(portcullis_request *self, bool explain)
{
    self->explain_route = explain;
}

void portcullis_request_set_dry_run(portcullis_request *self, bool dry_run)
{
    self->dry_run = dry_run;
}

void portcullis_request_set_idempotent(portcullis_request *self, bool idempotent)
{
    self->idempotent = idempotent || s_is_harmless(self->op);
}

void portcullis_request_set_id(portcullis_request *self, const uint8_t *id)
{
    self->has_id = id != NULL;
    if (id != NULL) {
        memcpy(self->id, id, sizeof self->id);
    }
}

void portcullis_request_set_metadata(portcullis_request *self, bool metadata)
{
    self->metadata = metadata;
}

void portcullis_request_set_page_rows(portcullis_request *self, uint32_t rows_max)
{
    self->page_rows = rows_max < PCL_PAGE_ROWS_MAX ? rows_max : PCL_PAGE_ROWS_MAX;
}

void portcullis_request_set_pages_ahead(portcullis_request *self, uint32_t pages)
{
    self->pages_ahead = pages < PORTCULLIS_PAGES_AHEAD_MAX ? pages : PORTCULLIS_PAGES_AHEAD_MAX;
}

void portcullis_request_set_page_size(portcullis_request *self, uint32_t size_max)
{
    self->page_size = size_max < PCL_PAGE_BYTES_MAX ? size_max : PCL_PAGE_BYTES_MAX;
}

bool pcl_request_is_begin(const portcullis_request *self)
{
    return self->op == PCL_OP_BEGIN;
}

/* Keys that do not go with every op are only put into those that they go with: the setters are the
 * same for all. */
static pcl_request s_message(const portcullis_request *self)
{
    bool query = self->op == PCL_OP_QUERY;
    bool txn = self->op == PCL_OP_TXN;
    bool begin = self->op == PCL_OP_BEGIN;
    pcl_request request = {.op = self->op};
    if (query) {
        request.sql = pcl_buffer_bytes(&self->sql);
        request.param_count = self->param_count;
        request.page_rows = self->page_rows;
        request.page_bytes = self->page_size;
        request.dry_run = self->dry_run;
    }
    if (query || begin) {
        request.strategy = self->strategy;
    }
    if (query || begin || txn) {
        request.db = pcl_bytes_text(self->db);
        request.explain_route = self->explain_route;
    }
    request.read_only = begin && self->read_only;
    request.metadata = (query || txn) && self->metadata;
    return request;
}

/* What the request asks of the nodes, and beside it what a causal client has seen until now (kept;
 * NULL: the client is none).  The tokens are borrowed from *all. */
static void s_put_consistency(const portcullis_request *self, const pcl_seen *kept,
                              pcl_request *request, pcl_seen *all)
{
    bool after = self->consistency == PCL_CONSISTENCY_AFTER;
    bool causal = kept != NULL && (self->causal || after);
    request->max_lag_ms = self->max_lag_ms;
    request->consistency = self->consistency;
    if (!after && !causal) { /* no tokens, which are a page to clear */
        request->monotonic = self->monotonic ||
                             (kept != NULL && self->consistency != PCL_CONSISTENCY_ANY);
        return;
    }
    *all = after ? self->after : (pcl_seen){.count = 0};
    for (uint32_t index = 0; causal && index < kept->count; index++) {
        const pcl_seen_token *token = &kept->tokens[index];
        pcl_seen_note(all, pcl_bytes_of(token->text, token->size), 0);
    }
    request->monotonic = self->monotonic ||
                         (kept != NULL && (causal || self->consistency != PCL_CONSISTENCY_ANY));
    if (all->source || (causal && kept->source)) {
        request->consistency = PCL_CONSISTENCY_SOURCE;
    } else if (all->count > 0) {
        request->consistency = PCL_CONSISTENCY_AFTER;
        request->token_count = all->count;
    }
    for (uint32_t index = 0; index < request->token_count; index++) {
        request->tokens[index] = pcl_bytes_of(all->tokens[index].text, all->tokens[index].size);
    }
}

/* Whether a causal client learns from the reply, and whether it must find something in it. */
static void s_set_causal(const portcullis_request *self, const pcl_seen *kept,
                         const pcl_request *request, pcl_call *call)
{
    if (kept != NULL) {
        call->causal = request->has_session || request->monotonic;
        bool source = request->consistency == PCL_CONSISTENCY_SOURCE; /* it will be read there */
        call->promise = (pcl_call_promise){.token = request->monotonic && !self->dry_run,
                                           .mark = source ? pcl_seen_mark(kept) : 0};
    }
}

/* Appends the arrays of what the message has: params or statements. */
static void s_put_array(const portcullis_request *self, pcl_request *request, pcl_buffer *array)
{
    if (self->op == PCL_OP_QUERY && self->param_count > 0) {
        pcl_mp_put_array(array, self->param_count);
        pcl_mp_put_raw(array, pcl_buffer_bytes(&self->params));
        request->params = pcl_buffer_bytes(array);
    }
    if (self->op == PCL_OP_TXN) {
        pcl_mp_put_array(array, self->statement_count);
        pcl_buffer_put(array, self->statements.data, self->statements.size);
        if (self->statement_count > 0) {
            s_put_statement(self, array);
        }
        request->statements = pcl_buffer_bytes(array);
        request->statement_count = self->statement_count;
    }
}

static pcl_err s_err_of(const pcl_buffer *buffer)
{
    return !buffer->failed         ? PCL_ERR_OK
           : buffer->out_of_memory ? PCL_ERR_NO_MEMORY
                                   : PCL_ERR_TOO_LARGE;
}

pcl_err pcl_request_encode_call(const pcl_request *request, pcl_call **out_call)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REQUEST_SIZE_MAX);
    pcl_request_encode(request, &buffer);
    pcl_err err = s_err_of(&buffer);
    if (err == PCL_ERR_OK) {
        pcl_call *call = pcl_call_new(&buffer);
        if (call != NULL) {
            call->op = request->op;
            call->terms = (pcl_call_terms){.timeout_ms = request->timeout_ms,
                                           .page_rows = request->page_rows,
                                           .page_size = request->page_bytes};
            memcpy(call->id, request->id, sizeof call->id);
            memcpy(call->cursor, request->cursor, sizeof call->cursor);
            *out_call = call;
        } else {
            err = PCL_ERR_NO_MEMORY;
        }
    }
    pcl_buffer_release(&buffer);
    return err;
}

pcl_err pcl_request_make_call(const portcullis_request *self, const uint8_t *id_made,
                              uint32_t timeout_ms, const uint8_t *session, const pcl_seen *kept,
                              pcl_call **out_call)
{
    assert(self != NULL);
    bool ends_session = self->op == PCL_OP_COMMIT || self->op == PCL_OP_ROLLBACK;
    bool in_session = ends_session || self->op == PCL_OP_QUERY;
    if ((session == NULL && ends_session) || (session != NULL && !in_session)) {
        return PCL_ERR_MALFORMED;
    }
    pcl_request request = s_message(self);
    pcl_seen all;
    if (session == NULL &&
        (self->op == PCL_OP_QUERY || self->op == PCL_OP_TXN || self->op == PCL_OP_BEGIN)) {
        s_put_consistency(self, kept, &request, &all);
    }
    pcl_buffer array;
    pcl_buffer_init(&array, PCL_REQUEST_SIZE_MAX);
    s_put_array(self, &request, &array);
    request.has_id = true;
    memcpy(request.id, self->has_id ? self->id : id_made, sizeof request.id);
    request.timeout_ms = self->timeout_ms != 0 ? self->timeout_ms : timeout_ms;
    request.has_session = session != NULL;
    if (session != NULL) {
        memcpy(request.session, session, sizeof request.session);
    }
    pcl_call *call = NULL;
    pcl_err err = s_err_of(&array);
    if (err == PCL_ERR_OK) {
        err = pcl_request_encode_call(&request, &call);
    }
    if (err == PCL_ERR_OK) {
        call->idempotent = self->idempotent && session == NULL;
        call->terms.pages_ahead = self->pages_ahead;
        s_set_causal(self, kept, &request, call);
        *out_call = call;
    }
    pcl_buffer_release(&array);
    return err;
}
