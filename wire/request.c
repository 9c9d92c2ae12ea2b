#include "wire/request.h"

#include "wire/mp.h"
#include "wire/text.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OPS_TEXT                                                                                   \
    "query, txn, begin, commit, rollback, fetch, "                                                 \
    "close, cancel, ping, status, admin"
#define STRATEGIES_TEXT PCL_STRATEGY_NAMES(", ")

/* Keys of one map; a request has fewer than twenty. */
#define KEYS_MAX 32u

static const char *const s_ops[PCL_OP_COUNT] = {
    [PCL_OP_QUERY] = "query",   [PCL_OP_TXN] = "txn",           [PCL_OP_BEGIN] = "begin",
    [PCL_OP_COMMIT] = "commit", [PCL_OP_ROLLBACK] = "rollback", [PCL_OP_FETCH] = "fetch",
    [PCL_OP_CLOSE] = "close",   [PCL_OP_CANCEL] = "cancel",     [PCL_OP_PING] = "ping",
    [PCL_OP_STATUS] = "status", [PCL_OP_ADMIN] = "admin",
};

static const char *const s_strategies[PCL_STRATEGY_COUNT] = {
    [PCL_STRATEGY_DEFAULT] = "default",
    [PCL_STRATEGY_DIRECT] = "direct",
    [PCL_STRATEGY_RANDOM] = "random",
    [PCL_STRATEGY_ROUND_ROBIN] = "round-robin",
    [PCL_STRATEGY_LEAST_INFLIGHT] = "least-inflight",
    [PCL_STRATEGY_CUSTOM] = "custom",
    [PCL_STRATEGY_PEAK_EWMA] = "peak-ewma",
    [PCL_STRATEGY_C3] = "c3",
    [PCL_STRATEGY_PREQUAL] = "prequal",
};

/* How a key's value is read. */
typedef enum field_kind {
    FIELD_HEADER, /* v and op: read before all others */
    FIELD_UINT,   /* uint32_t from min to max */
    FIELD_BOOL,
    FIELD_ID,    /* 16 octets, with a has_ member */
    FIELD_TEXT,  /* pcl_bytes of min to max octets */
    FIELD_PRINT, /* the same, printable ASCII only */
    FIELD_TRACE, /* the same, a W3C traceparent */
    FIELD_STRATEGY,
    FIELD_CONSISTENCY,
    FIELD_PARAMS,
    FIELD_STATEMENTS,
} field_kind;

#define OP(name)   (1u << PCL_OP_##name)
#define OPS_ALL    ((1u << PCL_OP_COUNT) - 1u)
#define OPS_PLACED (OP(QUERY) | OP(BEGIN))
#define OPS_RUN    (OP(QUERY) | OP(TXN))
#define MEMBER(m)  offsetof(pcl_request, m)

typedef struct key_rule {
    const char *name;
    field_kind kind;
    uint32_t min, max;   /* of a number, or of a text's octets */
    size_t offset;       /* of the member in pcl_request */
    size_t has_offset;   /* FIELD_ID: of its has_ member */
    uint32_t ops;        /* that may have the key: bits 1 << pcl_op */
    uint32_t ops_needed; /* that must have it */
} key_rule;

/* The order of the RFC, in which pcl_request_encode() writes too. */
static const key_rule s_rules[] = {
    {"v", FIELD_HEADER, 0, 0, 0, 0, OPS_ALL, OPS_ALL},
    {"id", FIELD_ID, 0, 0, MEMBER(id), MEMBER(has_id), OPS_ALL, OP(CANCEL)},
    {"op", FIELD_HEADER, 0, 0, 0, 0, OPS_ALL, 0},
    {"sql", FIELD_TEXT, 1, PCL_SQL_SIZE_MAX, MEMBER(sql), 0, OP(QUERY), OP(QUERY)},
    {"params", FIELD_PARAMS, 0, PCL_PARAMS_MAX, 0, 0, OP(QUERY), 0},
    {"statements", FIELD_STATEMENTS, 1, PCL_STATEMENTS_MAX, 0, 0, OP(TXN), OP(TXN)},
    {"db", FIELD_TEXT, 1, PCL_DB_NAME_SIZE_MAX, MEMBER(db), 0, OPS_RUN | OP(BEGIN), 0},
    {"strategy", FIELD_STRATEGY, 0, 0, 0, 0, OPS_PLACED, 0},
    {"consistency", FIELD_CONSISTENCY, 0, 0, 0, 0, OPS_PLACED | OP(TXN), 0},
    {"timeout_ms", FIELD_UINT, 1, PCL_TIMEOUT_MS_MAX, MEMBER(timeout_ms), 0, OPS_ALL, 0},
    {"once", FIELD_BOOL, 0, 0, MEMBER(once), 0, OPS_RUN, 0},
    {"session", FIELD_ID, 0, 0, MEMBER(session), MEMBER(has_session),
     OP(QUERY) | OP(COMMIT) | OP(ROLLBACK), OP(COMMIT) | OP(ROLLBACK)},
    {"read_only", FIELD_BOOL, 0, 0, MEMBER(read_only), 0, OP(BEGIN), 0},
    {"page_rows", FIELD_UINT, 1, PCL_PAGE_ROWS_MAX, MEMBER(page_rows), 0, OP(QUERY) | OP(FETCH), 0},
    {"page_bytes", FIELD_UINT, 1, PCL_PAGE_BYTES_MAX, MEMBER(page_bytes), 0, OP(QUERY) | OP(FETCH),
     0},
    {"cursor", FIELD_ID, 0, 0, MEMBER(cursor), MEMBER(has_cursor), OP(FETCH) | OP(CLOSE),
     OP(FETCH) | OP(CLOSE)},
    {"metadata", FIELD_BOOL, 0, 0, MEMBER(metadata), 0, OPS_RUN | OP(FETCH), 0},
    {"explain_route", FIELD_BOOL, 0, 0, MEMBER(explain_route), 0, OPS_RUN | OP(BEGIN), 0},
    {"dry_run", FIELD_BOOL, 0, 0, MEMBER(dry_run), 0, OP(QUERY), 0},
    {"trace", FIELD_TRACE, 1, PCL_TRACE_SIZE_MAX, MEMBER(trace), 0, OPS_ALL, 0},
    {"command", FIELD_PRINT, 1, PCL_COMMAND_SIZE_MAX, MEMBER(command), 0, OP(ADMIN), OP(ADMIN)},
};
#define RULE_COUNT (sizeof s_rules / sizeof s_rules[0])

static_assert(RULE_COUNT <= KEYS_MAX, "a request with every key is read");
static_assert(RULE_COUNT <= 32, "seen has a bit for each key");

typedef struct decoder {
    pcl_request request;
    pcl_mp_reader reader;
    pcl_fault *fault;
} decoder;

/* The keys that decide how the others are read. */
typedef struct opening {
    bool has_v, has_id, has_op;
    pcl_mp_value v, id, op;
} opening;

__attribute__((format(printf, 4, 5))) static pcl_err
s_fail(pcl_fault *fault, pcl_err err, const char *field, const char *rule, ...)
{
    fault->err = err;
    (void)snprintf(fault->field, sizeof fault->field, "%s", field);
    va_list arguments;
    va_start(arguments, rule);
    (void)vsnprintf(fault->rule, sizeof fault->rule, rule, arguments);
    va_end(arguments);
    return err;
}

/* A key as the peer wrote it, made fit for a log and a message.  prefix is
 * shorter than a field. */
static void s_copy_key(char field[PCL_FAULT_FIELD_SIZE], const char *prefix, pcl_bytes key)
{
    size_t size = strlen(prefix);
    memcpy(field, prefix, size);
    for (size_t index = 0; index < key.size && size < PCL_FAULT_FIELD_SIZE - 1; index++) {
        char octet = (char)key.data[index];
        if (octet <= ' ' || octet >= 0x7f) {
            octet = '?';
        }
        field[size++] = octet;
    }
    field[size] = '\0';
}

static pcl_err s_fail_unknown(pcl_fault *fault, const char *prefix, pcl_bytes key)
{
    char field[PCL_FAULT_FIELD_SIZE];
    s_copy_key(field, prefix, key);
    return s_fail(fault, PCL_ERR_MALFORMED, field, "is not a key of this protocol");
}

static bool s_has_nul(pcl_bytes text)
{
    return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

static pcl_err s_read_text(pcl_fault *fault, const char *field, const pcl_mp_value *value,
                           uint32_t size_max)
{
    if (value->type != PCL_MP_STR) {
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must be a string");
    }
    if (value->bytes.size == 0) {
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must not be empty");
    }
    if (value->bytes.size > size_max) {
        return s_fail(fault, PCL_ERR_TOO_LARGE, field, "at most %u octets", size_max);
    }
    if (s_has_nul(value->bytes)) {
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must not contain a NUL");
    }
    return PCL_ERR_OK;
}

static pcl_err s_read_uint(pcl_fault *fault, const char *field, const pcl_mp_value *value,
                           uint32_t min, uint32_t max)
{
    if (value->type != PCL_MP_UINT || value->uint < min || value->uint > max) {
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must be an integer from %u to %u", min,
                      max);
    }
    return PCL_ERR_OK;
}

static pcl_err s_read_param(pcl_fault *fault, const char *field, const pcl_mp_value *value)
{
    switch (value->type) {
    case PCL_MP_NIL:
    case PCL_MP_BOOL:
    case PCL_MP_UINT:
    case PCL_MP_INT:
    case PCL_MP_STR:
    case PCL_MP_BIN:
        return PCL_ERR_OK;
    case PCL_MP_FLOAT:
        if (isfinite(value->real)) {
            return PCL_ERR_OK;
        }
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must be a finite number");
    case PCL_MP_ARRAY:
    case PCL_MP_MAP:
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must not be an array or a map");
    case PCL_MP_EXT:
        break;
    }
    if (value->ext_type == PCL_EXT_DECIMAL) {
        if (pcl_text_is_decimal(value->bytes)) {
            return PCL_ERR_OK;
        }
        return s_fail(fault, PCL_ERR_MALFORMED, field,
                      "ext 1 must be a decimal number as text, at most 65 digits");
    }
    if (value->ext_type == PCL_EXT_TEMPORAL) {
        if (pcl_text_is_temporal(value->bytes)) {
            return PCL_ERR_OK;
        }
        return s_fail(fault, PCL_ERR_MALFORMED, field,
                      "ext 2 must be a date, a time or both as ISO text");
    }
    return s_fail(fault, PCL_ERR_MALFORMED, field,
                  "ext type must be 1 (decimal) or 2 (date and time)");
}

/* Checks an array of parameters and passes it.  field: "params". */
static pcl_err s_read_params(pcl_mp_reader *reader, pcl_fault *fault, const char *field,
                             pcl_bytes *out_octets, uint32_t *out_count)
{
    size_t begin = reader->offset;
    pcl_mp_value value;
    if (!pcl_mp_next(reader, &value) || value.type != PCL_MP_ARRAY) {
        return s_fail(fault, PCL_ERR_MALFORMED, field, "must be an array");
    }
    uint32_t count = value.count;
    if (count > PCL_PARAMS_MAX) {
        return s_fail(fault, PCL_ERR_TOO_LARGE, field, "at most %u values", PCL_PARAMS_MAX);
    }
    for (uint32_t index = 0; index < count; index++) {
        bool read = pcl_mp_next(reader, &value);
        assert(read); /* pcl_mp_check() has seen it */
        pcl_err err = s_read_param(fault, "", &value);
        if (err != PCL_ERR_OK) {
            (void)snprintf(fault->field, sizeof fault->field, "%.*s[%u]", 20, field, index);
            return err;
        }
    }
    *out_octets = pcl_bytes_of(reader->data + begin, reader->offset - begin);
    *out_count = count;
    return PCL_ERR_OK;
}

#define CONSISTENCY_RULE                                                                           \
    "must be any, source, or a map of one of after, source and max_lag_ms, and of monotonic"

static pcl_err s_fail_consistency(decoder *self)
{
    return s_fail(self->fault, PCL_ERR_MALFORMED, "consistency", CONSISTENCY_RULE);
}

/* One token, or an array of them. */
static pcl_err s_read_after(decoder *self)
{
    static const char field[] = "consistency.after";
    pcl_request *request = &self->request;
    pcl_mp_value value;
    bool read = pcl_mp_next(&self->reader, &value);
    assert(read);
    bool many = value.type == PCL_MP_ARRAY;
    uint32_t count = many ? value.count : 1;
    if (count == 0 || count > PCL_TOKENS_MAX) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, field, "must be 1 to %u tokens",
                      PCL_TOKENS_MAX);
    }
    request->consistency = PCL_CONSISTENCY_AFTER;
    request->token_count = count;
    for (uint32_t index = 0; index < count; index++) {
        read = !many || pcl_mp_next(&self->reader, &value);
        assert(read);
        pcl_err err = s_read_text(self->fault, field, &value, PCL_TOKEN_SIZE_MAX);
        if (err != PCL_ERR_OK) {
            return err;
        }
        request->tokens[index] = value.bytes;
    }
    return PCL_ERR_OK;
}

/* The value of one key of the map but after; kinds that exclude each other are counted. */
static pcl_err s_read_consistency_key(decoder *self, pcl_bytes key, uint32_t *kinds)
{
    pcl_request *request = &self->request;
    pcl_mp_value value;
    bool read = pcl_mp_next(&self->reader, &value);
    assert(read);
    if (pcl_bytes_is(key, "max_lag_ms")) {
        (*kinds)++;
        request->consistency = PCL_CONSISTENCY_MAX_LAG;
        request->max_lag_ms = (uint32_t)value.uint;
        return s_read_uint(self->fault, "consistency.max_lag_ms", &value, 0, UINT32_MAX);
    }
    if (pcl_bytes_is(key, "monotonic") && value.type == PCL_MP_BOOL) {
        request->monotonic = value.boolean;
        return PCL_ERR_OK;
    }
    if (pcl_bytes_is(key, "source") && value.type == PCL_MP_BOOL && value.boolean) {
        (*kinds)++;
        request->consistency = PCL_CONSISTENCY_SOURCE;
        return PCL_ERR_OK;
    }
    return s_fail_consistency(self);
}

static pcl_err s_read_consistency(decoder *self)
{
    pcl_request *request = &self->request;
    pcl_mp_value map;
    bool read = pcl_mp_next(&self->reader, &map);
    assert(read);
    if (map.type == PCL_MP_STR && pcl_bytes_is(map.bytes, "any")) {
        request->consistency = PCL_CONSISTENCY_ANY;
        return PCL_ERR_OK;
    }
    if (map.type == PCL_MP_STR && pcl_bytes_is(map.bytes, "source")) {
        request->consistency = PCL_CONSISTENCY_SOURCE;
        return PCL_ERR_OK;
    }
    if (map.type != PCL_MP_MAP || map.count == 0) {
        return s_fail_consistency(self);
    }
    uint32_t kinds = 0;
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_mp_value key;
        read = pcl_mp_next(&self->reader, &key);
        assert(read);
        bool after = pcl_bytes_is(key.bytes, "after");
        kinds += after ? 1 : 0;
        pcl_err err = after ? s_read_after(self) : s_read_consistency_key(self, key.bytes, &kinds);
        if (err != PCL_ERR_OK) {
            return err;
        }
    }
    return kinds <= 1 ? PCL_ERR_OK : s_fail_consistency(self);
}

/* expect: {rows} or {min_rows, max_rows} or one of the two. */
static pcl_err s_read_expect(pcl_mp_reader *reader, pcl_fault *fault, pcl_statement *statement)
{
    pcl_mp_value map;
    if (!pcl_mp_next(reader, &map) || map.type != PCL_MP_MAP || map.count == 0) {
        return s_fail(fault, PCL_ERR_MALFORMED, "expect",
                      "must be a map of rows, or of min_rows and max_rows");
    }
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_mp_value key;
        pcl_mp_value value;
        bool read = pcl_mp_next(reader, &key) && pcl_mp_next(reader, &value);
        assert(read);
        if (pcl_bytes_is(key.bytes, "rows")) {
            statement->has_rows = true;
            statement->rows = value.uint;
        } else if (pcl_bytes_is(key.bytes, "min_rows")) {
            statement->has_min_rows = true;
            statement->min_rows = value.uint;
        } else if (pcl_bytes_is(key.bytes, "max_rows")) {
            statement->has_max_rows = true;
            statement->max_rows = value.uint;
        } else {
            return s_fail_unknown(fault, "expect.", key.bytes);
        }
        if (value.type != PCL_MP_UINT) {
            return s_fail(fault, PCL_ERR_MALFORMED, "expect", "values must be integers from 0");
        }
    }
    if (statement->has_rows && (statement->has_min_rows || statement->has_max_rows)) {
        return s_fail(fault, PCL_ERR_MALFORMED, "expect",
                      "rows does not go with min_rows and max_rows");
    }
    if (statement->has_min_rows && statement->has_max_rows &&
        statement->min_rows > statement->max_rows) {
        return s_fail(fault, PCL_ERR_MALFORMED, "expect", "min_rows is above max_rows");
    }
    return PCL_ERR_OK;
}

/* One map of `statements`; a fault's field is relative to it. */
static pcl_err s_read_statement(pcl_mp_reader *reader, pcl_fault *fault, pcl_statement *statement)
{
    pcl_mp_value map;
    if (!pcl_mp_next(reader, &map) || map.type != PCL_MP_MAP) {
        return s_fail(fault, PCL_ERR_MALFORMED, "", "must be a map");
    }
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_err err;
        pcl_mp_value key;
        bool read = pcl_mp_next(reader, &key);
        assert(read);
        if (pcl_bytes_is(key.bytes, "sql")) {
            pcl_mp_value value;
            read = pcl_mp_next(reader, &value);
            assert(read);
            statement->sql = value.bytes;
            err = s_read_text(fault, "sql", &value, PCL_SQL_SIZE_MAX);
        } else if (pcl_bytes_is(key.bytes, "params")) {
            err = s_read_params(reader, fault, "params", &statement->params,
                                &statement->param_count);
        } else if (pcl_bytes_is(key.bytes, "expect")) {
            err = s_read_expect(reader, fault, statement);
        } else {
            err = s_fail_unknown(fault, "", key.bytes);
        }
        if (err != PCL_ERR_OK) {
            return err;
        }
    }
    if (statement->sql.size == 0) {
        return s_fail(fault, PCL_ERR_MALFORMED, "sql", "is required");
    }
    return PCL_ERR_OK;
}

static pcl_err s_read_statements(decoder *self)
{
    size_t begin = self->reader.offset;
    pcl_mp_value value;
    if (!pcl_mp_next(&self->reader, &value) || value.type != PCL_MP_ARRAY || value.count == 0) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, "statements",
                      "must be an array of at least one map");
    }
    uint32_t count = value.count;
    if (count > PCL_STATEMENTS_MAX) {
        return s_fail(self->fault, PCL_ERR_TOO_LARGE, "statements", "at most %u statements",
                      PCL_STATEMENTS_MAX);
    }
    for (uint32_t index = 0; index < count; index++) {
        pcl_statement statement = {0};
        pcl_err err = s_read_statement(&self->reader, self->fault, &statement);
        if (err != PCL_ERR_OK) {
            char field[sizeof self->fault->field];
            memcpy(field, self->fault->field, sizeof field);
            (void)snprintf(self->fault->field, sizeof self->fault->field, "statements[%u]%s%.*s",
                           index, field[0] == '\0' ? "" : ".", 15, field);
            return err;
        }
    }
    self->request.statements = pcl_bytes_of(self->reader.data + begin, self->reader.offset - begin);
    self->request.statement_count = count;
    return PCL_ERR_OK;
}

static pcl_err s_read_strategy(decoder *self, const pcl_mp_value *value)
{
    if (value->type != PCL_MP_STR || !pcl_strategy_parse(value->bytes, &self->request.strategy)) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, "strategy",
                      "must be one of " STRATEGIES_TEXT);
    }
    return PCL_ERR_OK;
}

static void s_store(decoder *self, size_t offset, const void *value, size_t size)
{
    memcpy((uint8_t *)&self->request + offset, value, size);
}

/* A value without others in it. */
static pcl_err s_read_plain(decoder *self, const key_rule *rule, const pcl_mp_value *value)
{
    pcl_fault *fault = self->fault;
    pcl_err err = PCL_ERR_OK;
    if (rule->kind == FIELD_UINT) {
        uint32_t number = (uint32_t)value->uint;
        s_store(self, rule->offset, &number, sizeof number);
        return s_read_uint(fault, rule->name, value, rule->min, rule->max);
    }
    if (rule->kind == FIELD_BOOL) {
        s_store(self, rule->offset, &value->boolean, sizeof value->boolean);
        return value->type == PCL_MP_BOOL
                   ? PCL_ERR_OK
                   : s_fail(fault, PCL_ERR_MALFORMED, rule->name, "must be a boolean");
    }
    if (rule->kind == FIELD_ID) {
        if (value->type != PCL_MP_BIN || value->bytes.size != PCL_ID_SIZE) {
            return s_fail(fault, PCL_ERR_MALFORMED, rule->name, "must be bin of %u octets",
                          PCL_ID_SIZE);
        }
        s_store(self, rule->offset, value->bytes.data, PCL_ID_SIZE);
        s_store(self, rule->has_offset, &(bool){true}, sizeof(bool));
        return PCL_ERR_OK;
    }
    err = s_read_text(fault, rule->name, value, rule->max);
    if (err == PCL_ERR_OK && rule->kind == FIELD_PRINT && !pcl_text_is_printable(value->bytes)) {
        err = s_fail(fault, PCL_ERR_MALFORMED, rule->name, "must be printable ASCII");
    }
    if (err == PCL_ERR_OK && rule->kind == FIELD_TRACE && !pcl_text_is_traceparent(value->bytes)) {
        err = s_fail(fault, PCL_ERR_MALFORMED, rule->name, "must be a W3C traceparent");
    }
    s_store(self, rule->offset, &value->bytes, sizeof value->bytes);
    return err;
}

static pcl_err s_read_value(decoder *self, const key_rule *rule)
{
    if (rule->kind == FIELD_HEADER) {
        bool skipped = pcl_mp_skip(&self->reader, NULL);
        assert(skipped);
        return PCL_ERR_OK;
    }
    if (rule->kind == FIELD_CONSISTENCY) {
        return s_read_consistency(self);
    }
    if (rule->kind == FIELD_STATEMENTS) {
        return s_read_statements(self);
    }
    if (rule->kind == FIELD_PARAMS) {
        return s_read_params(&self->reader, self->fault, rule->name, &self->request.params,
                             &self->request.param_count);
    }
    pcl_mp_value value;
    bool read = pcl_mp_next(&self->reader, &value);
    assert(read);
    return rule->kind == FIELD_STRATEGY ? s_read_strategy(self, &value)
                                        : s_read_plain(self, rule, &value);
}

static const key_rule *s_rule_of(pcl_bytes key)
{
    for (size_t index = 0; key.size > 0 && index < RULE_COUNT; index++) {
        const char *name = s_rules[index].name; /* the first octet tells most of them apart */
        if (key.data[0] == (uint8_t)name[0] && pcl_bytes_is(key, name)) {
            return &s_rules[index];
        }
    }
    return NULL;
}

/* Keys that are right each alone, and not together. */
static pcl_err s_check_together(const pcl_request *request, pcl_fault *fault)
{
    static const char in_session[] = "does not go with session, which has its node";
    if (request->once && !request->has_id) {
        return s_fail(fault, PCL_ERR_MALFORMED, "id", "is required with once");
    }
    if (!request->has_session) {
        return PCL_ERR_OK;
    }
    if (request->once) {
        return s_fail(fault, PCL_ERR_MALFORMED, "once", "does not go with session");
    }
    if (request->strategy != PCL_STRATEGY_DEFAULT) {
        return s_fail(fault, PCL_ERR_MALFORMED, "strategy", in_session);
    }
    if (request->consistency != PCL_CONSISTENCY_ANY || request->monotonic) {
        return s_fail(fault, PCL_ERR_MALFORMED, "consistency", in_session);
    }
    if (request->dry_run) {
        return s_fail(fault, PCL_ERR_MALFORMED, "dry_run", in_session);
    }
    return PCL_ERR_OK;
}

/* Reads every pair, then asks whether one is missing. */
static pcl_err s_read_pairs(decoder *self, uint32_t pair_count)
{
    const uint32_t op_bit = 1u << self->request.op;
    const char *op_text = pcl_op_text(self->request.op);
    uint32_t seen = 0;
    for (uint32_t index = 0; index < pair_count; index++) {
        pcl_mp_value key;
        bool read = pcl_mp_next(&self->reader, &key);
        assert(read);
        const key_rule *rule = s_rule_of(key.bytes);
        if (rule == NULL) {
            return s_fail_unknown(self->fault, "", key.bytes);
        }
        if ((rule->ops & op_bit) == 0) {
            return s_fail(self->fault, PCL_ERR_MALFORMED, rule->name, "does not go with op %s",
                          op_text);
        }
        pcl_err err = s_read_value(self, rule);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= 1u << (rule - s_rules);
    }
    for (uint32_t index = 0; index < RULE_COUNT; index++) {
        if ((s_rules[index].ops_needed & op_bit) != 0 && (seen & (1u << index)) == 0) {
            return s_fail(self->fault, PCL_ERR_MALFORMED, s_rules[index].name,
                          "is required with op %s", op_text);
        }
    }
    return s_check_together(&self->request, self->fault);
}

/* What the first keys named v, id and op hold; total on any octets, so that a
 * refusal of what is not well-formed can still carry the id. */
static opening s_read_opening(pcl_bytes source)
{
    opening found = {0};
    pcl_mp_reader reader = pcl_mp_reader_of(source);
    pcl_mp_value map;
    if (!pcl_mp_next(&reader, &map) || map.type != PCL_MP_MAP) {
        return found;
    }
    for (uint32_t index = 0; index < map.count && index < KEYS_MAX; index++) {
        pcl_mp_value key;
        if (!pcl_mp_next(&reader, &key) || key.type != PCL_MP_STR) {
            break;
        }
        pcl_mp_reader at_value = reader;
        pcl_mp_value value;
        if (!pcl_mp_next(&at_value, &value) || !pcl_mp_skip(&reader, NULL)) {
            break;
        }
        if (!found.has_v && pcl_bytes_is(key.bytes, "v")) {
            found.has_v = true;
            found.v = value;
        } else if (!found.has_id && pcl_bytes_is(key.bytes, "id")) {
            found.has_id = value.type == PCL_MP_BIN && value.bytes.size == PCL_ID_SIZE;
            found.id = value;
        } else if (!found.has_op && pcl_bytes_is(key.bytes, "op")) {
            found.has_op = true;
            found.op = value;
        }
    }
    return found;
}

static pcl_err s_read_op(decoder *self, const opening *keys)
{
    for (int op = 0; keys->has_op && op < PCL_OP_COUNT; op++) {
        if (keys->op.type == PCL_MP_STR && pcl_bytes_is(keys->op.bytes, s_ops[op])) {
            self->request.op = (pcl_op)op;
            return PCL_ERR_OK;
        }
    }
    return keys->has_op ? s_fail(self->fault, PCL_ERR_MALFORMED, "op", "must be one of " OPS_TEXT)
                        : PCL_ERR_OK;
}

/* The key of the outermost map in whose octets, or in whose value's, offset lies; "" when there is
 * none.  The octets are not well-formed from there on, but they are up to there. */
static void s_key_at(pcl_bytes source, size_t offset, char field[PCL_FAULT_FIELD_SIZE])
{
    pcl_mp_reader reader = pcl_mp_reader_of(source);
    pcl_mp_value map;
    pcl_mp_value key;
    field[0] = '\0';
    if (offset == 0 || !pcl_mp_next(&reader, &map) || map.type != PCL_MP_MAP) {
        return;
    }
    for (uint32_t index = 0; index < map.count; index++) {
        if (!pcl_mp_next(&reader, &key) || key.type != PCL_MP_STR) {
            return;
        }
        if (reader.offset > offset || !pcl_mp_skip(&reader, NULL) || reader.offset > offset) {
            s_copy_key(field, "", key.bytes);
            return;
        }
    }
}

static pcl_err s_fail_check(decoder *self, pcl_bytes source, const pcl_mp_fault *mp_fault)
{
    char field[PCL_FAULT_FIELD_SIZE];
    s_key_at(source, mp_fault->offset, field);
    return s_fail(self->fault, PCL_ERR_MALFORMED, field, "%s, at octet %zu", mp_fault->rule,
                  mp_fault->offset);
}

static pcl_err s_decode(decoder *self, pcl_bytes source, const opening *keys)
{
    pcl_mp_fault mp_fault;
    if (pcl_mp_check(source, PCL_MSGPACK_DEPTH_MAX, KEYS_MAX, &mp_fault) != PCL_ERR_OK) {
        return s_fail_check(self, source, &mp_fault);
    }
    pcl_mp_value map;
    bool read = pcl_mp_next(&self->reader, &map);
    assert(read);
    if (map.type != PCL_MP_MAP) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, "", "the message must be a map");
    }
    /* The version comes first: whoever speaks a newer one shall hear that, not
     * that its keys are unknown. */
    if (!keys->has_v) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, "v", "is required");
    }
    if (keys->v.type != PCL_MP_UINT) {
        return s_fail(self->fault, PCL_ERR_MALFORMED, "v", "must be an integer");
    }
    if (keys->v.uint != PCL_PROTOCOL_VERSION) {
        return s_fail(self->fault, PCL_ERR_VERSION, "v", "must be %u", PCL_PROTOCOL_VERSION);
    }
    pcl_err err = s_read_op(self, keys);
    return err == PCL_ERR_OK ? s_read_pairs(self, map.count) : err;
}

pcl_err pcl_request_decode(pcl_request *out_request, pcl_bytes source, pcl_fault *out_fault,
                           uint8_t *out_id, bool *out_has_id)
{
    assert(out_request != NULL);
    assert(out_fault != NULL);
    assert((out_id == NULL) == (out_has_id == NULL));
    decoder self = {.reader = pcl_mp_reader_of(source), .fault = out_fault};
    opening keys = {0};
    pcl_err err;
    if (source.size > (size_t)PCL_REQUEST_SIZE_MAX) {
        err = s_fail(out_fault, PCL_ERR_TOO_LARGE, "", "at most %u octets", PCL_REQUEST_SIZE_MAX);
    } else {
        keys = s_read_opening(source);
        err = s_decode(&self, source, &keys);
    }
    if (out_id != NULL) {
        *out_has_id = keys.has_id;
        if (keys.has_id) {
            memcpy(out_id, keys.id.bytes.data, PCL_ID_SIZE);
        }
    }
    if (err == PCL_ERR_OK) {
        *out_request = self.request;
    }
    return err;
}

void pcl_request_statement(const pcl_request *request, uint32_t index, pcl_statement *out_statement)
{
    assert(request != NULL);
    assert(index < request->statement_count);
    assert(out_statement != NULL);
    pcl_mp_reader reader = pcl_mp_reader_of(request->statements);
    pcl_mp_value array;
    bool read = pcl_mp_next(&reader, &array);
    for (uint32_t passed = 0; read && passed < index; passed++) {
        read = pcl_mp_skip(&reader, NULL);
    }
    assert(read);
    pcl_fault fault;
    *out_statement = (pcl_statement){0};
    pcl_err err = s_read_statement(&reader, &fault, out_statement);
    assert(err == PCL_ERR_OK); /* the decoder has read it already */
}

/* Which keys pcl_request_encode() writes: one bit for each row of s_rules. */
static bool s_is_present(const pcl_request *request, const key_rule *rule)
{
    const uint8_t *member = (const uint8_t *)request + rule->offset;
    uint32_t number;
    pcl_bytes text;
    switch (rule->kind) {
    case FIELD_HEADER:
        return rule->name[0] == 'v' || request->op != PCL_OP_QUERY;
    case FIELD_UINT:
        memcpy(&number, member, sizeof number);
        return number != 0;
    case FIELD_BOOL:
        return *(const bool *)member;
    case FIELD_ID:
        return *(const bool *)((const uint8_t *)request + rule->has_offset);
    case FIELD_TEXT:
    case FIELD_PRINT:
    case FIELD_TRACE:
        memcpy(&text, member, sizeof text);
        return text.size > 0;
    case FIELD_STRATEGY:
        return request->strategy != PCL_STRATEGY_DEFAULT;
    case FIELD_CONSISTENCY:
        return request->consistency != PCL_CONSISTENCY_ANY || request->monotonic;
    case FIELD_PARAMS:
        return request->params.size > 0;
    case FIELD_STATEMENTS:
        return request->statements.size > 0;
    }
    return false;
}

static void s_write_after(const pcl_request *request, pcl_buffer *buffer)
{
    assert(request->token_count >= 1 && request->token_count <= PCL_TOKENS_MAX);
    pcl_mp_put_text(buffer, "after");
    if (request->token_count > 1) {
        pcl_mp_put_array(buffer, request->token_count);
    }
    for (uint32_t index = 0; index < request->token_count; index++) {
        pcl_mp_put_str(buffer, request->tokens[index]);
    }
}

static void s_write_consistency(const pcl_request *request, pcl_buffer *buffer)
{
    pcl_consistency_kind kind = request->consistency;
    if (kind == PCL_CONSISTENCY_SOURCE && !request->monotonic) {
        pcl_mp_put_text(buffer, "source");
        return;
    }
    bool named = kind != PCL_CONSISTENCY_ANY;
    pcl_mp_put_map(buffer, (named ? 1u : 0u) + (request->monotonic ? 1u : 0u));
    if (kind == PCL_CONSISTENCY_AFTER) {
        s_write_after(request, buffer);
    } else if (kind == PCL_CONSISTENCY_SOURCE) {
        pcl_mp_put_text(buffer, "source");
        pcl_mp_put_bool(buffer, true);
    } else if (kind == PCL_CONSISTENCY_MAX_LAG) {
        pcl_mp_put_text(buffer, "max_lag_ms");
        pcl_mp_put_uint(buffer, request->max_lag_ms);
    }
    if (request->monotonic) {
        pcl_mp_put_text(buffer, "monotonic");
        pcl_mp_put_bool(buffer, true);
    }
}

static void s_write_value(const pcl_request *request, const key_rule *rule, pcl_buffer *buffer)
{
    const uint8_t *member = (const uint8_t *)request + rule->offset;
    uint32_t number;
    pcl_bytes text;
    switch (rule->kind) {
    case FIELD_HEADER:
        if (rule->name[0] == 'v') {
            pcl_mp_put_uint(buffer, PCL_PROTOCOL_VERSION);
        } else {
            pcl_mp_put_text(buffer, pcl_op_text(request->op));
        }
        break;
    case FIELD_UINT:
        memcpy(&number, member, sizeof number);
        pcl_mp_put_uint(buffer, number);
        break;
    case FIELD_BOOL:
        pcl_mp_put_bool(buffer, true);
        break;
    case FIELD_ID:
        pcl_mp_put_bin(buffer, pcl_bytes_of(member, PCL_ID_SIZE));
        break;
    case FIELD_TEXT:
    case FIELD_PRINT:
    case FIELD_TRACE:
        memcpy(&text, member, sizeof text);
        pcl_mp_put_str(buffer, text);
        break;
    case FIELD_STRATEGY:
        pcl_mp_put_text(buffer, pcl_strategy_text(request->strategy));
        break;
    case FIELD_CONSISTENCY:
        s_write_consistency(request, buffer);
        break;
    case FIELD_PARAMS:
        pcl_mp_put_raw(buffer, request->params);
        break;
    case FIELD_STATEMENTS:
        pcl_mp_put_raw(buffer, request->statements);
        break;
    }
}

void pcl_request_encode(const pcl_request *request, pcl_buffer *buffer)
{
    assert(request != NULL);
    assert(buffer != NULL);
    uint32_t count = 0;
    for (size_t index = 0; index < RULE_COUNT; index++) {
        count += s_is_present(request, &s_rules[index]) ? 1 : 0;
    }
    pcl_mp_put_map(buffer, count);
    for (size_t index = 0; index < RULE_COUNT; index++) {
        if (s_is_present(request, &s_rules[index])) {
            pcl_mp_put_text(buffer, s_rules[index].name);
            s_write_value(request, &s_rules[index], buffer);
        }
    }
}

const char *pcl_op_text(pcl_op op)
{
    assert(op >= 0 && op < PCL_OP_COUNT);
    return s_ops[op];
}

const char *pcl_strategy_text(pcl_strategy_kind kind)
{
    assert(kind >= 0 && kind < PCL_STRATEGY_COUNT);
    return s_strategies[kind];
}

bool pcl_strategy_parse(pcl_bytes text, pcl_strategy_kind *out_kind)
{
    assert(out_kind != NULL);
    for (int kind = PCL_STRATEGY_DIRECT; kind < PCL_STRATEGY_COUNT; kind++) {
        if (pcl_bytes_is(text, s_strategies[kind])) {
            *out_kind = (pcl_strategy_kind)kind;
            return true;
        }
    }
    return false;
}
