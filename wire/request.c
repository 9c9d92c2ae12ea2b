#include "wire/request.h"

#include "wire/mp.h"
#include "wire/text.h"
#include "wire/utf8.h"

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
#define NAME(name) name, sizeof name - 1

typedef struct key_rule {
    const char *name;
    uint32_t name_size;
    field_kind kind;
    uint32_t min, max; /* of a number, or of a text's octets */
    size_t offset;     /* of the member in pcl_request */
    size_t has_offset; /* FIELD_ID: of its has_ member */
    uint32_t ops;      /* that may have the key: bits 1 << pcl_op */
} key_rule;

/* The order of the RFC, in which pcl_request_encode() writes too. */
typedef enum key_number {
    KEY_V = 0,
    KEY_ID,
    KEY_OP,
    KEY_SQL,
    KEY_PARAMS,
    KEY_STATEMENTS,
    KEY_DB,
    KEY_STRATEGY,
    KEY_CONSISTENCY,
    KEY_TIMEOUT_MS,
    KEY_ONCE,
    KEY_SESSION,
    KEY_READ_ONLY,
    KEY_PAGE_ROWS,
    KEY_PAGE_BYTES,
    KEY_CURSOR,
    KEY_METADATA,
    KEY_EXPLAIN_ROUTE,
    KEY_DRY_RUN,
    KEY_TRACE,
    KEY_COMMAND,
    KEY_COUNT, /* must stay last */
} key_number;

static const key_rule s_rules[KEY_COUNT] = {
    [KEY_V] = {NAME("v"), FIELD_HEADER, 0, 0, 0, 0, OPS_ALL},
    [KEY_ID] = {NAME("id"), FIELD_ID, 0, 0, MEMBER(id), MEMBER(has_id), OPS_ALL},
    [KEY_OP] = {NAME("op"), FIELD_HEADER, 0, 0, 0, 0, OPS_ALL},
    [KEY_SQL] = {NAME("sql"), FIELD_TEXT, 1, PCL_SQL_SIZE_MAX, MEMBER(sql), 0, OP(QUERY)},
    [KEY_PARAMS] = {NAME("params"), FIELD_PARAMS, 0, PCL_PARAMS_MAX, 0, 0, OP(QUERY)},
    [KEY_STATEMENTS] = {NAME("statements"), FIELD_STATEMENTS, 1, PCL_STATEMENTS_MAX, 0, 0, OP(TXN)},
    [KEY_DB] = {NAME("db"), FIELD_TEXT, 1, PCL_DB_NAME_SIZE_MAX, MEMBER(db), 0,
                OPS_RUN | OP(BEGIN)},
    [KEY_STRATEGY] = {NAME("strategy"), FIELD_STRATEGY, 0, 0, 0, 0, OPS_PLACED},
    [KEY_CONSISTENCY] = {NAME("consistency"), FIELD_CONSISTENCY, 0, 0, 0, 0, OPS_PLACED | OP(TXN)},
    [KEY_TIMEOUT_MS] = {NAME("timeout_ms"), FIELD_UINT, 1, PCL_TIMEOUT_MS_MAX, MEMBER(timeout_ms),
                        0, OPS_ALL},
    [KEY_ONCE] = {NAME("once"), FIELD_BOOL, 0, 0, MEMBER(once), 0, OPS_RUN},
    [KEY_SESSION] = {NAME("session"), FIELD_ID, 0, 0, MEMBER(session), MEMBER(has_session),
                     OP(QUERY) | OP(COMMIT) | OP(ROLLBACK)},
    [KEY_READ_ONLY] = {NAME("read_only"), FIELD_BOOL, 0, 0, MEMBER(read_only), 0, OP(BEGIN)},
    [KEY_PAGE_ROWS] = {NAME("page_rows"), FIELD_UINT, 1, PCL_PAGE_ROWS_MAX, MEMBER(page_rows), 0,
                       OP(QUERY) | OP(FETCH)},
    [KEY_PAGE_BYTES] = {NAME("page_bytes"), FIELD_UINT, 1, PCL_PAGE_BYTES_MAX, MEMBER(page_bytes),
                        0, OP(QUERY) | OP(FETCH)},
    [KEY_CURSOR] = {NAME("cursor"), FIELD_ID, 0, 0, MEMBER(cursor), MEMBER(has_cursor),
                    OP(FETCH) | OP(CLOSE)},
    [KEY_METADATA] = {NAME("metadata"), FIELD_BOOL, 0, 0, MEMBER(metadata), 0, OPS_RUN | OP(FETCH)},
    [KEY_EXPLAIN_ROUTE] = {NAME("explain_route"), FIELD_BOOL, 0, 0, MEMBER(explain_route), 0,
                           OPS_RUN | OP(BEGIN)},
    [KEY_DRY_RUN] = {NAME("dry_run"), FIELD_BOOL, 0, 0, MEMBER(dry_run), 0, OP(QUERY)},
    [KEY_TRACE] = {NAME("trace"), FIELD_TRACE, 1, PCL_TRACE_SIZE_MAX, MEMBER(trace), 0, OPS_ALL},
    [KEY_COMMAND] = {NAME("command"), FIELD_PRINT, 1, PCL_COMMAND_SIZE_MAX, MEMBER(command), 0,
                     OP(ADMIN)},
};

#define BIT(name) (1u << KEY_##name)

/* The keys that a request with that op must have. */
static const uint32_t s_needed[PCL_OP_COUNT] = {
    [PCL_OP_QUERY] = BIT(V) | BIT(SQL),
    [PCL_OP_TXN] = BIT(V) | BIT(STATEMENTS),
    [PCL_OP_BEGIN] = BIT(V),
    [PCL_OP_COMMIT] = BIT(V) | BIT(SESSION),
    [PCL_OP_ROLLBACK] = BIT(V) | BIT(SESSION),
    [PCL_OP_FETCH] = BIT(V) | BIT(CURSOR),
    [PCL_OP_CLOSE] = BIT(V) | BIT(CURSOR),
    [PCL_OP_CANCEL] = BIT(V) | BIT(ID),
    [PCL_OP_PING] = BIT(V),
    [PCL_OP_STATUS] = BIT(V),
    [PCL_OP_ADMIN] = BIT(V) | BIT(COMMAND),
};

static_assert(KEY_COUNT <= KEYS_MAX, "a request with every key is read");
static_assert(KEY_COUNT <= 32, "seen has a bit for each key");
static_assert(PCL_REQUEST_VALUES_MAX >= PCL_STATEMENTS_MAX * (PCL_PARAMS_MAX + 16u),
              "the longest of txns is read: no statement has 11 values beside its parameters, and "
              "what is left takes all other keys");

/* A request is read in one walk, which asks of each value what pcl_mp_check() would: whatever it
 * takes is well-formed, since it knows every key that may be there, and each value of these is read
 * to its end.  What it does not take is read again, first as octets and then field by field, to say
 * what is wrong in the order in which that matters. */
typedef struct decoder {
    pcl_request request;
    pcl_mp_reader reader;
    pcl_fault *fault;
    bool is_checked; /* pcl_mp_check() has seen the octets; v and op are read */
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

/* The next head, where a string is one that pcl_mp_check() takes. */
static bool s_next(pcl_mp_reader *reader, bool is_checked, pcl_mp_value *out_value)
{
    return pcl_mp_next(reader, out_value) &&
           (is_checked || out_value->type != PCL_MP_STR || pcl_utf8_is_valid(out_value->bytes));
}

/* The octets are not well-formed: which of them, pcl_mp_check() knows. */
static pcl_err s_fail_form(pcl_fault *fault, const char *field)
{
    return s_fail(fault, PCL_ERR_MALFORMED, field, "is not well-formed");
}

/* Checks an array of parameters and passes it.  field: "params". */
static pcl_err s_read_params(pcl_mp_reader *reader, bool is_checked, pcl_fault *fault,
                             const char *field, pcl_bytes *out_octets, uint32_t *out_count)
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
        bool read = s_next(reader, is_checked, &value);
        assert(read || !is_checked);
        pcl_err err = read ? s_read_param(fault, "", &value) : s_fail_form(fault, "");
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
            err = s_read_params(reader, true, fault, "params", &statement->params,
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

static pcl_err s_read_version(pcl_fault *fault, const pcl_mp_value *value)
{
    if (value->type != PCL_MP_UINT) {
        return s_fail(fault, PCL_ERR_MALFORMED, "v", "must be an integer");
    }
    if (value->uint != PCL_PROTOCOL_VERSION) {
        return s_fail(fault, PCL_ERR_VERSION, "v", "must be %u", PCL_PROTOCOL_VERSION);
    }
    return PCL_ERR_OK;
}

static pcl_err s_read_op(decoder *self, const pcl_mp_value *value)
{
    for (int op = 0; value->type == PCL_MP_STR && op < PCL_OP_COUNT; op++) {
        if (pcl_bytes_is(value->bytes, s_ops[op])) {
            self->request.op = (pcl_op)op;
            return PCL_ERR_OK;
        }
    }
    return s_fail(self->fault, PCL_ERR_MALFORMED, "op", "must be one of " OPS_TEXT);
}

/* The value of v or op. */
static pcl_err s_read_header(decoder *self, const key_rule *rule)
{
    if (self->is_checked) {
        bool skipped = pcl_mp_skip(&self->reader, NULL);
        assert(skipped);
        return PCL_ERR_OK;
    }
    pcl_mp_value value;
    if (!pcl_mp_next(&self->reader, &value)) {
        return s_fail_form(self->fault, rule->name);
    }
    return rule->name[0] == 'v' ? s_read_version(self->fault, &value) : s_read_op(self, &value);
}

/* Whether what comes next, which may have maps in it, is well-formed. */
static bool s_check_nested(decoder *self)
{
    pcl_mp_reader ahead = self->reader;
    uint32_t values_left = PCL_REQUEST_VALUES_MAX;
    pcl_bytes octets;
    return self->is_checked ||
           (pcl_mp_skip_within(&ahead, &values_left, &octets) &&
            pcl_mp_check(octets, PCL_MSGPACK_DEPTH_MAX - 1, KEYS_MAX, NULL) == PCL_ERR_OK);
}

static pcl_err s_read_value(decoder *self, const key_rule *rule)
{
    if (rule->kind == FIELD_HEADER) {
        return s_read_header(self, rule);
    }
    if ((rule->kind == FIELD_CONSISTENCY || rule->kind == FIELD_STATEMENTS) &&
        !s_check_nested(self)) {
        return s_fail_form(self->fault, rule->name);
    }
    if (rule->kind == FIELD_CONSISTENCY) {
        return s_read_consistency(self);
    }
    if (rule->kind == FIELD_STATEMENTS) {
        return s_read_statements(self);
    }
    if (rule->kind == FIELD_PARAMS) {
        return s_read_params(&self->reader, self->is_checked, self->fault, rule->name,
                             &self->request.params, &self->request.param_count);
    }
    pcl_mp_value value;
    if (!s_next(&self->reader, self->is_checked, &value)) {
        assert(!self->is_checked);
        return s_fail_form(self->fault, rule->name);
    }
    return rule->kind == FIELD_STRATEGY ? s_read_strategy(self, &value)
                                        : s_read_plain(self, rule, &value);
}

/* The rule of that key; NULL: there is none.  Writers keep the RFC's order, so it is looked for
 * from behind the one before it. */
static const key_rule *s_rule_of(pcl_bytes key, uint32_t from)
{
    for (uint32_t passed = 0; key.size > 0 && passed < KEY_COUNT; passed++) {
        from = from < KEY_COUNT ? from : 0;
        const key_rule *rule = &s_rules[from];
        if (key.size == rule->name_size && key.data[0] == (uint8_t)rule->name[0] &&
            memcmp(key.data, rule->name, key.size) == 0) {
            return rule;
        }
        from++;
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

/* Whether there is a key that op must have and the request has not; seen: bits of s_rules. */
static pcl_err s_check_needed(decoder *self, uint32_t seen)
{
    uint32_t missing = s_needed[self->request.op] & ~seen;
    for (uint32_t index = 0; missing != 0; index++) {
        if ((missing & (1u << index)) != 0) {
            return s_fail(self->fault, PCL_ERR_MALFORMED, s_rules[index].name,
                          "is required with op %s", pcl_op_text(self->request.op));
        }
    }
    return PCL_ERR_OK;
}

/* Reads every pair, then asks whether one is missing, or is not op's: in a walk over octets that
 * were not looked at before, op may come last. */
static pcl_err s_read_pairs(decoder *self, uint32_t pair_count)
{
    uint32_t seen = 0;
    uint32_t ops = OPS_ALL;
    uint32_t from = 0;
    for (uint32_t index = 0; index < pair_count; index++) {
        pcl_bytes key;
        if (!pcl_mp_next_str(&self->reader, &key)) {
            assert(!self->is_checked);
            return s_fail_form(self->fault, "");
        }
        const key_rule *rule = s_rule_of(key, from);
        if (rule == NULL) {
            return s_fail_unknown(self->fault, "", key);
        }
        from = (uint32_t)(rule - s_rules) + 1;
        uint32_t bit = 1u << (rule - s_rules);
        ops &= rule->ops;
        if ((seen & bit) != 0) {
            assert(!self->is_checked);
            return s_fail_form(self->fault, rule->name);
        }
        if (self->is_checked && (ops & (1u << self->request.op)) == 0) {
            return s_fail(self->fault, PCL_ERR_MALFORMED, rule->name, "does not go with op %s",
                          pcl_op_text(self->request.op));
        }
        pcl_err err = s_read_value(self, rule);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= bit;
    }
    if ((ops & (1u << self->request.op)) == 0) {
        return s_fail_form(self->fault, "op");
    }
    pcl_err err = s_check_needed(self, seen);
    return err == PCL_ERR_OK ? s_check_together(&self->request, self->fault) : err;
}

/* What the first keys named v, id and op hold; total on any octets, so that a
 * refusal of what is not well-formed can still carry the id. */
static opening s_read_opening(pcl_bytes source)
{
    opening found = {0};
    uint32_t values_left = PCL_REQUEST_VALUES_MAX;
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
        if (!pcl_mp_next(&at_value, &value) || !pcl_mp_skip_within(&reader, &values_left, NULL)) {
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

/* The key of the outermost map in whose octets, or in whose value's, offset lies; "" when there is
 * none.  The octets are not well-formed from there on, but they are up to there. */
static void s_key_at(pcl_bytes source, size_t offset, char field[PCL_FAULT_FIELD_SIZE])
{
    uint32_t values_left = PCL_REQUEST_VALUES_MAX;
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
        if (reader.offset > offset || !pcl_mp_skip_within(&reader, &values_left, NULL) ||
            reader.offset > offset) {
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
    if (pcl_mp_check_within(source, PCL_MSGPACK_DEPTH_MAX, KEYS_MAX, PCL_REQUEST_VALUES_MAX,
                            &mp_fault) != PCL_ERR_OK) {
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
    pcl_err err = s_read_version(self->fault, &keys->v);
    if (err == PCL_ERR_OK && keys->has_op) {
        err = s_read_op(self, &keys->op);
    }
    return err == PCL_ERR_OK ? s_read_pairs(self, map.count) : err;
}

/* The one walk.  false: something is wrong, whatever it is. */
static bool s_decode_at_once(pcl_request *out_request, pcl_bytes source, pcl_fault *fault)
{
    decoder self = {.reader = pcl_mp_reader_of(source), .fault = fault};
    pcl_mp_value map;
    bool whole = pcl_mp_next(&self.reader, &map) && map.type == PCL_MP_MAP &&
                 s_read_pairs(&self, map.count) == PCL_ERR_OK && self.reader.offset == source.size;
    if (whole) {
        *out_request = self.request;
    }
    return whole;
}

/* What the walk does not take: finds the fault. */
static pcl_err s_decode_slowly(pcl_request *out_request, pcl_bytes source, pcl_fault *fault,
                               const opening *keys)
{
    decoder self = {.reader = pcl_mp_reader_of(source), .fault = fault, .is_checked = true};
    pcl_err err = s_decode(&self, source, keys);
    if (err == PCL_ERR_OK) {
        *out_request = self.request;
    }
    return err;
}

static void s_give_id(const uint8_t id[PCL_ID_SIZE], bool has_id, uint8_t *out_id, bool *out_has_id)
{
    if (out_id != NULL) {
        *out_has_id = has_id;
        if (has_id) {
            memcpy(out_id, id, PCL_ID_SIZE);
        }
    }
}

pcl_err pcl_request_decode(pcl_request *out_request, pcl_bytes source, pcl_fault *out_fault,
                           uint8_t *out_id, bool *out_has_id)
{
    assert(out_request != NULL);
    assert(out_fault != NULL);
    assert((out_id == NULL) == (out_has_id == NULL));
    if (source.size > (size_t)PCL_REQUEST_SIZE_MAX) {
        s_give_id(NULL, false, out_id, out_has_id);
        return s_fail(out_fault, PCL_ERR_TOO_LARGE, "", "at most %u octets", PCL_REQUEST_SIZE_MAX);
    }
    if (s_decode_at_once(out_request, source, out_fault)) {
        s_give_id(out_request->id, out_request->has_id, out_id, out_has_id);
        return PCL_ERR_OK;
    }
    opening keys = s_read_opening(source);
    s_give_id(keys.id.bytes.data, keys.has_id, out_id, out_has_id);
    return s_decode_slowly(out_request, source, out_fault, &keys);
}

pcl_statements pcl_request_statements(const pcl_request *request)
{
    assert(request != NULL);
    pcl_mp_reader reader = pcl_mp_reader_of(request->statements);
    pcl_mp_value array;
    if (request->statement_count == 0) {
        return (pcl_statements){.left = pcl_bytes_of(NULL, 0)};
    }
    bool read = pcl_mp_next(&reader, &array);
    assert(read);
    return (pcl_statements){
        .left = pcl_bytes_of(reader.data + reader.offset, reader.size - reader.offset)};
}

bool pcl_statements_next(pcl_statements *self, pcl_statement *out_statement)
{
    assert(self != NULL);
    assert(out_statement != NULL);
    if (self->left.size == 0) {
        return false;
    }
    pcl_mp_reader reader = pcl_mp_reader_of(self->left);
    pcl_fault fault;
    *out_statement = (pcl_statement){0};
    pcl_err err = s_read_statement(&reader, &fault, out_statement);
    assert(err == PCL_ERR_OK); /* the decoder has read it already */
    self->left = pcl_bytes_of(reader.data + reader.offset, reader.size - reader.offset);
    return err == PCL_ERR_OK;
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
    for (size_t index = 0; index < KEY_COUNT; index++) {
        count += s_is_present(request, &s_rules[index]) ? 1 : 0;
    }
    pcl_mp_put_map(buffer, count);
    for (size_t index = 0; index < KEY_COUNT; index++) {
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
