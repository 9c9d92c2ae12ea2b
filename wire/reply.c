#include "wire/reply.h"

#include "wire/mp.h"
#include "wire/utf8.h"

#include <assert.h>
#include <string.h>

void pcl_reply_open(pcl_buffer *buffer, const uint8_t *id, bool ok, uint32_t extra_count)
{
    assert(buffer != NULL);
    pcl_mp_put_map(buffer, 3 + extra_count);
    pcl_mp_put_text(buffer, "v");
    pcl_mp_put_uint(buffer, PCL_PROTOCOL_VERSION);
    pcl_mp_put_text(buffer, "id");
    if (id == NULL) {
        pcl_mp_put_nil(buffer);
    } else {
        pcl_mp_put_bin(buffer, pcl_bytes_of(id, PCL_ID_SIZE));
    }
    pcl_mp_put_text(buffer, "ok");
    pcl_mp_put_bool(buffer, ok);
}

/* A message may quote what a peer or the database said, so it is made fit for
 * a str here: cut to its limit between characters, and what is no UTF-8
 * becomes a question mark. */
static void s_put_message(pcl_buffer *buffer, pcl_bytes message)
{
    uint8_t text[PCL_MESSAGE_SIZE_MAX];
    size_t size = 0;
    size_t offset = 0;
    while (offset < message.size) {
        pcl_bytes rest = pcl_bytes_of(message.data + offset, message.size - offset);
        size_t width = pcl_utf8_width(rest);
        size_t needed = width > 0 ? width : 1;
        if (size + needed > sizeof text) {
            break;
        }
        if (width > 0) {
            memcpy(text + size, rest.data, width);
        } else {
            text[size] = '?';
        }
        size += needed;
        offset += needed;
    }
    pcl_mp_put_str(buffer, pcl_bytes_of(text, size));
}

void pcl_reply_error_encode(pcl_buffer *buffer, const uint8_t *id, const pcl_reply_error *error)
{
    assert(error != NULL);
    assert(error->hop != NULL);
    assert(error->err != PCL_ERR_OK);
    assert(error->sqlstate == NULL || strlen(error->sqlstate) == 5);
    uint32_t count = 4;
    count += error->mysql_errno != 0 ? 1 : 0;
    count += error->sqlstate != NULL ? 1 : 0;
    count += error->retry_after_ms != 0 ? 1 : 0;
    count += error->has_statement ? 1 : 0;
    pcl_reply_open(buffer, id, false, 1);
    pcl_mp_put_text(buffer, "error");
    pcl_mp_put_map(buffer, count);
    pcl_mp_put_text(buffer, "code");
    pcl_mp_put_text(buffer, pcl_err_code((int)error->err));
    pcl_mp_put_text(buffer, "message");
    s_put_message(buffer, error->message.size > 0 ? error->message
                                                  : pcl_bytes_text(pcl_err_text((int)error->err)));
    if (error->mysql_errno != 0) {
        pcl_mp_put_text(buffer, "errno");
        pcl_mp_put_uint(buffer, error->mysql_errno);
    }
    if (error->sqlstate != NULL) {
        pcl_mp_put_text(buffer, "sqlstate");
        pcl_mp_put_text(buffer, error->sqlstate);
    }
    pcl_mp_put_text(buffer, "hop");
    pcl_mp_put_text(buffer, error->hop);
    pcl_mp_put_text(buffer, "retry");
    pcl_mp_put_text(buffer, pcl_retry_text((int)error->retry));
    if (error->retry_after_ms != 0) {
        pcl_mp_put_text(buffer, "retry_after_ms");
        pcl_mp_put_uint(buffer, error->retry_after_ms);
    }
    if (error->has_statement) {
        pcl_mp_put_text(buffer, "statement");
        pcl_mp_put_uint(buffer, error->statement);
    }
}

/* How a key's value is read. */
typedef enum field_kind {
    FIELD_VERSION,
    FIELD_NIL_OR_ID, /* 16 octets, with a has_ member; or nil */
    FIELD_ID,
    FIELD_BOOL,
    FIELD_UINT64,
    FIELD_UINT32,
    FIELD_TEXT, /* pcl_bytes of at most max octets */
    FIELD_MAP,  /* pcl_bytes: the octets of the map */
    FIELD_COLUMNS,
    FIELD_ROWS,
    FIELD_METADATA,
    FIELD_RESULTS,
    FIELD_ERROR,
    FIELD_RETRY,
} field_kind;

#define MEMBER(m) offsetof(pcl_reply, m)
#define NONE      SIZE_MAX

typedef struct key_rule {
    const char *name;
    field_kind kind;
    uint32_t max;      /* of a text's octets */
    size_t offset;     /* of the member in pcl_reply */
    size_t has_offset; /* of its has_ member, or NONE */
} key_rule;

static const key_rule s_rules[] = {
    {"v", FIELD_VERSION, 0, 0, NONE},
    {"id", FIELD_NIL_OR_ID, 0, MEMBER(id), MEMBER(has_id)},
    {"ok", FIELD_BOOL, 0, MEMBER(ok), NONE},
    {"columns", FIELD_COLUMNS, 0, MEMBER(columns), MEMBER(has_columns)},
    {"rows", FIELD_ROWS, 0, MEMBER(rows), NONE},
    {"metadata", FIELD_METADATA, 0, MEMBER(metadata), NONE},
    {"affected", FIELD_UINT64, 0, MEMBER(affected), MEMBER(has_affected)},
    {"insert_id", FIELD_UINT64, 0, MEMBER(insert_id), NONE},
    {"warnings", FIELD_UINT32, 0, MEMBER(warnings), NONE},
    {"results", FIELD_RESULTS, 0, MEMBER(results), MEMBER(has_results)},
    {"token", FIELD_TEXT, PCL_TOKEN_SIZE_MAX, MEMBER(token), NONE},
    {"cursor", FIELD_ID, 0, MEMBER(cursor), MEMBER(has_cursor)},
    {"session", FIELD_ID, 0, MEMBER(session), MEMBER(has_session)},
    {"route", FIELD_MAP, 0, MEMBER(route), NONE},
    {"status", FIELD_MAP, 0, MEMBER(status), NONE},
    {"error", FIELD_ERROR, 0, 0, NONE},
};
enum {
    RULE_COUNT = sizeof s_rules / sizeof s_rules[0],
    RULES_NEEDED = 3, /* v, id and ok */
    RULE_COLUMNS = 3,
    RULE_ROWS = 4,
    RULE_METADATA = 5,
    RULE_RESULT_LAST = 8, /* a result of a txn may have the keys from columns to warnings */
    RULE_RESULTS = 9,
    RULE_ERROR = RULE_COUNT - 1,
};

static const key_rule s_error_rules[] = {
    {"code", FIELD_TEXT, PCL_NAME_SIZE_MAX, MEMBER(error_code), NONE},
    {"message", FIELD_TEXT, PCL_MESSAGE_SIZE_MAX, MEMBER(error_message), NONE},
    {"hop", FIELD_TEXT, PCL_NAME_SIZE_MAX, MEMBER(error_hop), NONE},
    {"retry", FIELD_RETRY, 0, MEMBER(error_retry), NONE},
    {"errno", FIELD_UINT32, 0, MEMBER(error_errno), NONE},
    {"sqlstate", FIELD_TEXT, 5, MEMBER(error_sqlstate), NONE},
    {"retry_after_ms", FIELD_UINT32, 0, MEMBER(retry_after_ms), NONE},
    {"statement", FIELD_UINT32, 0, MEMBER(error_statement), MEMBER(has_error_statement)},
};
enum {
    ERROR_RULE_COUNT = sizeof s_error_rules / sizeof s_error_rules[0],
    ERROR_RULES_NEEDED = 4, /* code, message, hop and retry */
};

typedef struct decoder {
    pcl_reply reply;
    pcl_mp_reader reader;
} decoder;

static void s_store(decoder *self, const key_rule *rule, const void *value, size_t size)
{
    memcpy((uint8_t *)&self->reply + rule->offset, value, size);
    if (rule->has_offset != NONE) {
        memcpy((uint8_t *)&self->reply + rule->has_offset, &(bool){true}, sizeof(bool));
    }
}

/* pcl_mp_check() has seen that the octets are there, here and below. */
static pcl_mp_value s_next(pcl_mp_reader *reader)
{
    pcl_mp_value value = {0};
    bool read = pcl_mp_next(reader, &value);
    assert(read);
    return value;
}

/* [[name, type, flags], ...] */
static pcl_err s_read_columns(decoder *self)
{
    pcl_mp_reader *reader = &self->reader;
    size_t begin = reader->offset;
    pcl_mp_value array = s_next(reader);
    if (array.type != PCL_MP_ARRAY) {
        return PCL_ERR_MALFORMED;
    }
    for (uint32_t index = 0; index < array.count; index++) {
        pcl_mp_value column = s_next(reader);
        if (column.type != PCL_MP_ARRAY || column.count != 3 || s_next(reader).type != PCL_MP_STR ||
            s_next(reader).type != PCL_MP_STR || s_next(reader).type != PCL_MP_UINT) {
            return PCL_ERR_MALFORMED;
        }
    }
    pcl_bytes octets = pcl_bytes_of(reader->data + begin, reader->offset - begin);
    s_store(self, &s_rules[RULE_COLUMNS], &octets, sizeof octets);
    self->reply.column_count = array.count;
    return PCL_ERR_OK;
}

/* Rows are counted here; s_rows_fit() sees that they fit the columns, which
 * may come later in the map. */
static pcl_err s_read_rows(decoder *self)
{
    pcl_mp_reader ahead = self->reader;
    pcl_mp_value array = s_next(&ahead);
    bool skipped = pcl_mp_skip(&self->reader, &self->reply.rows);
    assert(skipped);
    self->reply.row_count = array.count;
    return array.type == PCL_MP_ARRAY ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

/* Every row is an array of one plain value for each column. */
static bool s_rows_fit(const pcl_reply *reply)
{
    pcl_mp_reader reader = pcl_mp_reader_of(reply->rows);
    (void)s_next(&reader); /* the array's head */
    for (uint32_t row_index = 0; row_index < reply->row_count; row_index++) {
        pcl_mp_value row = s_next(&reader);
        if (row.type != PCL_MP_ARRAY || row.count != reply->column_count) {
            return false;
        }
        for (uint32_t index = 0; index < row.count; index++) {
            pcl_mp_value cell = s_next(&reader);
            if (cell.type == PCL_MP_ARRAY || cell.type == PCL_MP_MAP) {
                return false;
            }
        }
    }
    return true;
}

enum { METADATA_TEXTS = 4, METADATA_NUMBERS = 3 };

/* [schema, table, org_table, org_name, charset, length, decimals] */
static bool s_read_column_metadata(pcl_mp_reader *reader, pcl_reply_metadata *out)
{
    pcl_bytes *texts[METADATA_TEXTS] = {&out->schema, &out->table, &out->org_table, &out->org_name};
    uint32_t *numbers[METADATA_NUMBERS] = {&out->charset, &out->length, &out->decimals};
    pcl_mp_value array = s_next(reader);
    if (array.type != PCL_MP_ARRAY || array.count != METADATA_TEXTS + METADATA_NUMBERS) {
        return false;
    }
    for (uint32_t index = 0; index < METADATA_TEXTS; index++) {
        pcl_mp_value value = s_next(reader);
        if (value.type != PCL_MP_STR) {
            return false;
        }
        *texts[index] = value.bytes;
    }
    for (uint32_t index = 0; index < METADATA_NUMBERS; index++) {
        pcl_mp_value value = s_next(reader);
        if (value.type != PCL_MP_UINT || value.uint > UINT32_MAX) {
            return false;
        }
        *numbers[index] = (uint32_t)value.uint;
    }
    return true;
}

static pcl_err s_read_metadata(decoder *self)
{
    pcl_bytes octets;
    pcl_mp_reader ahead = self->reader;
    bool skipped = pcl_mp_skip(&self->reader, &octets);
    assert(skipped);
    s_store(self, &s_rules[RULE_METADATA], &octets, sizeof octets);
    return s_next(&ahead).type == PCL_MP_ARRAY ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

/* One for each column, each as it shall be. */
static bool s_metadata_fits(const pcl_reply *reply)
{
    pcl_mp_reader reader = pcl_mp_reader_of(reply->metadata);
    if (reply->metadata.size == 0) {
        return true;
    }
    bool fits = reply->has_columns && s_next(&reader).count == reply->column_count;
    for (uint32_t index = 0; index < reply->column_count && fits; index++) {
        pcl_reply_metadata metadata;
        fits = s_read_column_metadata(&reader, &metadata);
    }
    return fits;
}

static pcl_err s_read_retry(decoder *self, const key_rule *rule, const pcl_mp_value *value)
{
    for (int retry = PCL_RETRY_NEVER; retry <= PCL_RETRY_UNSAFE; retry++) {
        if (value->type == PCL_MP_STR && pcl_bytes_is(value->bytes, pcl_retry_text(retry))) {
            s_store(self, rule, &(pcl_retry){(pcl_retry)retry}, sizeof(pcl_retry));
            return PCL_ERR_OK;
        }
    }
    return PCL_ERR_MALFORMED;
}

/* A value without others in it. */
static pcl_err s_read_plain(decoder *self, const key_rule *rule, const pcl_mp_value *value)
{
    uint32_t uint_32 = (uint32_t)value->uint;
    bool is_id = value->type == PCL_MP_BIN && value->bytes.size == PCL_ID_SIZE;
    bool good = false;
    if (rule->kind == FIELD_VERSION) {
        return value->type != PCL_MP_UINT            ? PCL_ERR_MALFORMED
               : value->uint != PCL_PROTOCOL_VERSION ? PCL_ERR_VERSION
                                                     : PCL_ERR_OK;
    }
    if (rule->kind == FIELD_RETRY) {
        return s_read_retry(self, rule, value);
    }
    if (rule->kind == FIELD_NIL_OR_ID && value->type == PCL_MP_NIL) {
        return PCL_ERR_OK;
    }
    if (rule->kind == FIELD_TEXT && value->type == PCL_MP_STR && value->bytes.size > rule->max) {
        return PCL_ERR_TOO_LARGE;
    }
    if (rule->kind == FIELD_ID || rule->kind == FIELD_NIL_OR_ID) {
        good = is_id;
        if (is_id) {
            s_store(self, rule, value->bytes.data, PCL_ID_SIZE);
        }
    } else if (rule->kind == FIELD_BOOL) {
        good = value->type == PCL_MP_BOOL;
        s_store(self, rule, &value->boolean, sizeof value->boolean);
    } else if (rule->kind == FIELD_UINT64) {
        good = value->type == PCL_MP_UINT;
        s_store(self, rule, &value->uint, sizeof value->uint);
    } else if (rule->kind == FIELD_UINT32) {
        good = value->type == PCL_MP_UINT && value->uint <= UINT32_MAX;
        s_store(self, rule, &uint_32, sizeof uint_32);
    } else if (rule->kind == FIELD_TEXT) {
        good = value->type == PCL_MP_STR;
        s_store(self, rule, &value->bytes, sizeof value->bytes);
    }
    return good ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static pcl_err s_read_map(decoder *self, const key_rule *rule)
{
    pcl_mp_reader ahead = self->reader;
    pcl_bytes octets;
    bool skipped = pcl_mp_skip(&self->reader, &octets);
    assert(skipped);
    if (s_next(&ahead).type != PCL_MP_MAP) {
        return PCL_ERR_MALFORMED;
    }
    s_store(self, rule, &octets, sizeof octets);
    return PCL_ERR_OK;
}

static const key_rule *s_rule_of(const key_rule *rules, size_t rule_count, pcl_bytes key)
{
    for (size_t index = 0; index < rule_count; index++) {
        if (pcl_bytes_is(key, rules[index].name)) {
            return &rules[index];
        }
    }
    return NULL;
}

static pcl_err s_read_error(decoder *self)
{
    pcl_mp_value map = s_next(&self->reader);
    if (map.type != PCL_MP_MAP) {
        return PCL_ERR_MALFORMED;
    }
    uint32_t seen = 0;
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_bytes key = s_next(&self->reader).bytes;
        const key_rule *rule = s_rule_of(s_error_rules, ERROR_RULE_COUNT, key);
        if (rule == NULL) {
            bool skipped = pcl_mp_skip(&self->reader, NULL);
            assert(skipped);
            continue;
        }
        pcl_mp_value value = s_next(&self->reader);
        pcl_err err = s_read_plain(self, rule, &value);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= 1u << (rule - s_error_rules);
    }
    const uint32_t needed = (1u << ERROR_RULES_NEEDED) - 1;
    return (seen & needed) == needed ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static pcl_err s_read_results(decoder *self);

static pcl_err s_read_value(decoder *self, const key_rule *rule)
{
    if (rule->kind == FIELD_METADATA) {
        return s_read_metadata(self);
    }
    if (rule->kind == FIELD_RESULTS) {
        return s_read_results(self);
    }
    if (rule->kind == FIELD_COLUMNS) {
        return s_read_columns(self);
    }
    if (rule->kind == FIELD_ROWS) {
        return s_read_rows(self);
    }
    if (rule->kind == FIELD_ERROR) {
        return s_read_error(self);
    }
    if (rule->kind == FIELD_MAP) {
        return s_read_map(self, rule);
    }
    pcl_mp_value value = s_next(&self->reader);
    return s_read_plain(self, rule, &value);
}

static bool s_has(uint32_t seen, int rule)
{
    return (seen & (1u << rule)) != 0;
}

/* columns and rows come together, and fit. */
static bool s_table_agrees(const pcl_reply *reply, uint32_t seen)
{
    return s_has(seen, RULE_COLUMNS) == s_has(seen, RULE_ROWS) && s_metadata_fits(reply) &&
           (!reply->has_columns || s_rows_fit(reply));
}

/* The map of one statement of a txn; keys that it may not have are passed over. */
static pcl_err s_read_result(decoder *self)
{
    pcl_mp_value map = s_next(&self->reader);
    if (map.type != PCL_MP_MAP) {
        return PCL_ERR_MALFORMED;
    }
    uint32_t seen = 0;
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_bytes key = s_next(&self->reader).bytes;
        const key_rule *rule = s_rule_of(s_rules + RULE_COLUMNS,
                                         RULE_RESULT_LAST + 1 - RULE_COLUMNS, key);
        if (rule == NULL) {
            bool skipped = pcl_mp_skip(&self->reader, NULL);
            assert(skipped);
            continue;
        }
        pcl_err err = s_read_value(self, rule);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= 1u << (rule - s_rules);
    }
    return s_table_agrees(&self->reply, seen) ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static pcl_err s_read_results(decoder *self)
{
    size_t begin = self->reader.offset;
    pcl_mp_value array = s_next(&self->reader);
    if (array.type != PCL_MP_ARRAY) {
        return PCL_ERR_MALFORMED;
    }
    for (uint32_t index = 0; index < array.count; index++) {
        decoder inner = {.reader = self->reader};
        pcl_err err = s_read_result(&inner);
        if (err != PCL_ERR_OK) {
            return err;
        }
        self->reader = inner.reader;
    }
    pcl_bytes octets = pcl_bytes_of(self->reader.data + begin, self->reader.offset - begin);
    s_store(self, &s_rules[RULE_RESULTS], &octets, sizeof octets);
    self->reply.result_count = array.count;
    return PCL_ERR_OK;
}

/* Whether the keys that were seen go together. */
static bool s_keys_agree(const pcl_reply *reply, uint32_t seen)
{
    const uint32_t needed = (1u << RULES_NEEDED) - 1;
    return (seen & needed) == needed && s_has(seen, RULE_ERROR) == !reply->ok &&
           s_table_agrees(reply, seen);
}

pcl_err pcl_reply_decode(pcl_reply *out_reply, pcl_bytes source)
{
    assert(out_reply != NULL);
    if (source.size > (size_t)PCL_REPLY_SIZE_MAX) {
        return PCL_ERR_TOO_LARGE;
    }
    pcl_err err = pcl_mp_check(source, PCL_MSGPACK_DEPTH_MAX, PCL_MP_KEYS_MAX, NULL);
    if (err != PCL_ERR_OK) {
        return err;
    }
    decoder self = {.reader = pcl_mp_reader_of(source)};
    pcl_mp_value map = s_next(&self.reader);
    if (map.type != PCL_MP_MAP) {
        return PCL_ERR_MALFORMED;
    }
    uint32_t seen = 0;
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_bytes key = s_next(&self.reader).bytes;
        const key_rule *rule = s_rule_of(s_rules, RULE_COUNT, key);
        if (rule == NULL) {
            bool skipped = pcl_mp_skip(&self.reader, NULL);
            assert(skipped);
            continue;
        }
        err = s_read_value(&self, rule);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= 1u << (rule - s_rules);
    }
    if (!s_keys_agree(&self.reply, seen)) {
        return PCL_ERR_MALFORMED;
    }
    *out_reply = self.reply;
    return PCL_ERR_OK;
}

void pcl_reply_result(const pcl_reply *reply, uint32_t index, pcl_reply *out_result)
{
    assert(reply != NULL);
    assert(index < reply->result_count);
    assert(out_result != NULL);
    decoder self = {.reader = pcl_mp_reader_of(reply->results)};
    (void)s_next(&self.reader); /* the array's head */
    for (uint32_t passed = 0; passed < index; passed++) {
        bool skipped = pcl_mp_skip(&self.reader, NULL);
        assert(skipped);
    }
    pcl_err err = s_read_result(&self);
    assert(err == PCL_ERR_OK); /* the decoder has read it already */
    *out_result = self.reply;
}

void pcl_reply_column_metadata(const pcl_reply *reply, uint32_t index,
                               pcl_reply_metadata *out_metadata)
{
    assert(reply != NULL);
    assert(index < reply->column_count);
    assert(reply->metadata.size > 0);
    assert(out_metadata != NULL);
    pcl_mp_reader reader = pcl_mp_reader_of(reply->metadata);
    (void)s_next(&reader); /* the array's head */
    for (uint32_t passed = 0; passed < index; passed++) {
        bool skipped = pcl_mp_skip(&reader, NULL);
        assert(skipped);
    }
    bool read = s_read_column_metadata(&reader, out_metadata);
    assert(read); /* the decoder has read it already */
}
