#include "client/request.h"

#include "common/buffer.h"
#include "wire/mp.h"
#include "wire/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct portcullis_request {
    pcl_op op;
    pcl_buffer sql;
    pcl_buffer params; /* the values, without the array's head */
    uint32_t param_count;
    char db[PCL_DB_NAME_SIZE_MAX + 1];
    pcl_strategy_kind strategy;
    pcl_consistency_kind consistency;
    uint8_t token[PCL_TOKEN_SIZE_MAX];
    size_t token_size;
    uint32_t max_lag_ms;
    uint32_t timeout_ms; /* 0: the client's default */
    bool explain_route;
    bool idempotent;
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
};

static portcullis_request *s_new(pcl_op op, pcl_bytes sql)
{
    portcullis_request *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->op = op;
    self->idempotent = op != PCL_OP_QUERY;
    pcl_buffer_init(&self->sql, SIZE_MAX); /* what is too large is refused when it is sent */
    pcl_buffer_init(&self->params, PCL_REQUEST_SIZE_MAX);
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

void portcullis_request_destroy(portcullis_request **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    pcl_buffer_release(&(*self_p)->sql);
    pcl_buffer_release(&(*self_p)->params);
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

void portcullis_request_set_consistency_any(portcullis_request *self)
{
    self->consistency = PCL_CONSISTENCY_ANY;
}

void portcullis_request_set_consistency_source(portcullis_request *self)
{
    self->consistency = PCL_CONSISTENCY_SOURCE;
}

void portcullis_request_set_consistency_max_lag(portcullis_request *self, uint32_t lag_ms_max)
{
    self->consistency = PCL_CONSISTENCY_MAX_LAG;
    self->max_lag_ms = lag_ms_max;
}

bool portcullis_request_set_consistency_after(portcullis_request *self, const void *token,
                                              size_t size)
{
    if (size == 0 || size > sizeof self->token) {
        return false;
    }
    memcpy(self->token, token, size);
    self->token_size = size;
    self->consistency = PCL_CONSISTENCY_AFTER;
    return true;
}

void portcullis_request_set_timeout(portcullis_request *self, uint32_t timeout_ms)
{
    self->timeout_ms = timeout_ms < PCL_TIMEOUT_MS_MAX ? timeout_ms : PCL_TIMEOUT_MS_MAX;
}

void portcullis_request_set_explain_route(portcullis_request *self, bool explain)
{
    self->explain_route = explain;
}

void portcullis_request_set_idempotent(portcullis_request *self, bool idempotent)
{
    self->idempotent = idempotent || self->op != PCL_OP_QUERY;
}

void portcullis_request_set_id(portcullis_request *self, const uint8_t *id)
{
    self->has_id = id != NULL;
    if (id != NULL) {
        memcpy(self->id, id, sizeof self->id);
    }
}

/* Appends the whole message; params is room for the array with its head. */
static void s_encode(const portcullis_request *self, const uint8_t *id, uint32_t timeout_ms,
                     pcl_buffer *params, pcl_buffer *buffer)
{
    pcl_request request = {
        .has_id = true,
        .op = self->op,
        .sql = pcl_buffer_bytes(&self->sql),
        .param_count = self->param_count,
        .db = pcl_bytes_text(self->db),
        .strategy = self->strategy,
        .consistency = self->consistency,
        .token = pcl_bytes_of(self->token, self->token_size),
        .max_lag_ms = self->max_lag_ms,
        .timeout_ms = timeout_ms,
        .explain_route = self->explain_route,
    };
    memcpy(request.id, id, sizeof request.id);
    if (self->param_count > 0) {
        pcl_mp_put_array(params, self->param_count);
        pcl_mp_put_raw(params, pcl_buffer_bytes(&self->params));
        request.params = pcl_buffer_bytes(params);
    }
    pcl_request_encode(&request, buffer);
    if (params->failed) {
        buffer->failed = true;
        buffer->out_of_memory = params->out_of_memory;
    }
}

pcl_err pcl_request_make_call(const portcullis_request *self, const uint8_t *id_made,
                              uint32_t timeout_ms, pcl_call **out_call, uint32_t *out_timeout_ms)
{
    assert(self != NULL);
    const uint8_t *id = self->has_id ? self->id : id_made;
    timeout_ms = self->timeout_ms != 0 ? self->timeout_ms : timeout_ms;
    pcl_buffer params;
    pcl_buffer buffer;
    pcl_buffer_init(&params, PCL_REQUEST_SIZE_MAX);
    pcl_buffer_init(&buffer, PCL_REQUEST_SIZE_MAX);
    s_encode(self, id, timeout_ms, &params, &buffer);
    pcl_err err = !buffer.failed         ? PCL_ERR_OK
                  : buffer.out_of_memory ? PCL_ERR_NO_MEMORY
                                         : PCL_ERR_TOO_LARGE;
    zmq_msg_t payload;
    if (err == PCL_ERR_OK && zmq_msg_init_size(&payload, buffer.size) != 0) {
        err = PCL_ERR_NO_MEMORY;
    }
    if (err == PCL_ERR_OK) {
        memcpy(zmq_msg_data(&payload), buffer.data, buffer.size);
        pcl_call *call = pcl_call_new(&payload);
        if (call != NULL) {
            call->idempotent = self->idempotent;
            memcpy(call->id, id, sizeof call->id);
            *out_call = call;
            *out_timeout_ms = timeout_ms;
        } else {
            err = PCL_ERR_NO_MEMORY;
        }
        (void)zmq_msg_close(&payload); /* empty where the call has taken it */
    }
    pcl_buffer_release(&params);
    pcl_buffer_release(&buffer);
    return err;
}
