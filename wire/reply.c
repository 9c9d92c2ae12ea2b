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

#define MEMBER(m)  offsetof(pcl_reply, m)
#define NONE       SIZE_MAX
#define NAME(text) (text), sizeof(text) - 1

typedef struct key_rule {
    const char *name;
    uint32_t name_size;
    field_kind kind;
    uint32_t max;      /* of a text's octets */
    size_t offset;     /* of the member in pcl_reply */
    size_t has_offset; /* of its has_ member, or NONE */
} key_rule;

static const key_rule s_rules[] = {
    {NAME("v"), FIELD_VERSION, 0, 0, NONE},
    {NAME("id"), FIELD_NIL_OR_ID, 0, MEMBER(id), MEMBER(has_id)},
    {NAME("ok"), FIELD_BOOL, 0, MEMBER(ok), NONE},
    {NAME("columns"), FIELD_COLUMNS, 0, MEMBER(columns), MEMBER(has_columns)},
    {NAME("rows"), FIELD_ROWS, 0, MEMBER(rows), NONE},
    {NAME("metadata"), FIELD_METADATA, 0, MEMBER(metadata), NONE},
    {NAME("affected"), FIELD_UINT64, 0, MEMBER(affected), MEMBER(has_affected)},
    {NAME("insert_id"), FIELD_UINT64, 0, MEMBER(insert_id), NONE},
    {NAME("warnings"), FIELD_UINT32, 0, MEMBER(warnings), NONE},
    {NAME("results"), FIELD_RESULTS, 0, MEMBER(results), MEMBER(has_results)},
    {NAME("token"), FIELD_TEXT, PCL_TOKEN_SIZE_MAX, MEMBER(token), NONE},
    {NAME("cursor"), FIELD_ID, 0, MEMBER(cursor), MEMBER(has_cursor)},
    {NAME("session"), FIELD_ID, 0, MEMBER(session), MEMBER(has_session)},
    {NAME("route"), FIELD_MAP, 0, MEMBER(route), NONE},
    {NAME("status"), FIELD_MAP, 0, MEMBER(status), NONE},
    {NAME("error"), FIELD_ERROR, 0, 0, NONE},
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
    {NAME("code"), FIELD_TEXT, PCL_NAME_SIZE_MAX, MEMBER(error_code), NONE},
    {NAME("message"), FIELD_TEXT, PCL_MESSAGE_SIZE_MAX, MEMBER(error_message), NONE},
    {NAME("hop"), FIELD_TEXT, PCL_NAME_SIZE_MAX, MEMBER(error_hop), NONE},
    {NAME("retry"), FIELD_RETRY, 0, MEMBER(error_retry), NONE},
    {NAME("errno"), FIELD_UINT32, 0, MEMBER(error_errno), NONE},
    {NAME("sqlstate"), FIELD_TEXT, 5, MEMBER(error_sqlstate), NONE},
    {NAME("retry_after_ms"), FIELD_UINT32, 0, MEMBER(retry_after_ms), NONE},
    {NAME("statement"), FIELD_UINT32, 0, MEMBER(error_statement), MEMBER(has_error_statement)},
};
enum {
    ERROR_RULE_COUNT = sizeof s_error_rules / sizeof s_error_rules[0],
    ERROR_RULES_NEEDED = 4, /* code, message, hop and retry */
};

/* A reply is read in one walk, which asks of each value what pcl_mp_check() would.  What that does
 * not take is read again, first as octets and then key by key: a key that is new, one that comes
 * where no writer of ours puts it, and what is wrong. */
typedef struct decoder {
    pcl_reply reply;
    pcl_mp_reader reader;
    bool is_checked; /* pcl_mp_check() has seen the octets */
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

/* The next head, and whether it is one that pcl_mp_check() takes. */
static bool s_read_head(decoder *self, pcl_mp_value *out_value)
{
    return pcl_mp_next(&self->reader, out_value) &&
           (self->is_checked || out_value->type != PCL_MP_STR ||
            pcl_utf8_is_valid(out_value->bytes));
}

static bool s_read_typed(decoder *self, pcl_mp_type type, pcl_mp_value *out_value)
{
    return s_read_head(self, out_value) && out_value->type == type;
}

/* The next string, of which mostly all is in the reader's sight. */
static bool s_read_str(decoder *self, pcl_bytes *out_text)
{
    return pcl_mp_next_str(&self->reader, out_text) &&
           (self->is_checked || pcl_utf8_is_valid(*out_text));
}

/* So few that a map which the first walk passes, and those in it, have room for their keys beside
 * the reply's own; one with more is read again. */
#define PASSED_KEYS_MAX ((PCL_MP_KEYS_OPEN_MAX - RULE_COUNT) / (PCL_MSGPACK_DEPTH_MAX - 1))

static_assert(PASSED_KEYS_MAX <= PCL_MP_KEYS_MAX, "the first walk takes no larger map");

/* A whole value, and what is in it. */
static bool s_pass(decoder *self, pcl_bytes *out_octets)
{
    return self->is_checked ? pcl_mp_skip(&self->reader, out_octets)
                            : pcl_mp_skip_checked(&self->reader, PCL_MSGPACK_DEPTH_MAX - 1,
                                                  PASSED_KEYS_MAX, out_octets);
}

/* [[name, type, flags], ...] */
static pcl_err s_read_columns(decoder *self)
{
    size_t begin = self->reader.offset;
    pcl_mp_value array;
    pcl_mp_value value;
    pcl_bytes text;
    if (!s_read_typed(self, PCL_MP_ARRAY, &array)) {
        return PCL_ERR_MALFORMED;
    }
    for (uint32_t index = 0; index < array.count; index++) {
        if (!s_read_typed(self, PCL_MP_ARRAY, &value) || value.count != 3 ||
            !s_read_str(self, &text) || !s_read_str(self, &text) ||
            !s_read_typed(self, PCL_MP_UINT, &value)) {
            return PCL_ERR_MALFORMED;
        }
    }
    pcl_bytes octets = pcl_bytes_of(self->reader.data + begin, self->reader.offset - begin);
    s_store(self, &s_rules[RULE_COLUMNS], &octets, sizeof octets);
    self->reply.column_count = array.count;
    return PCL_ERR_OK;
}

/* Every row is an array of one plain value for each column. */
static bool s_read_cells(decoder *self)
{
    pcl_mp_value row;
    pcl_mp_value cell;
    for (uint32_t row_index = 0; row_index < self->reply.row_count; row_index++) {
        if (!s_read_typed(self, PCL_MP_ARRAY, &row) || row.count != self->reply.column_count) {
            return false;
        }
        for (uint32_t index = 0; index < row.count; index++) {
            if (!s_read_head(self, &cell) || cell.type == PCL_MP_ARRAY || cell.type == PCL_MP_MAP) {
                return false;
            }
        }
    }
    return true;
}

/* Of octets that were checked they are passed here, since the columns may come later in the map,
 * and s_rows_fit() looks into them. */
static pcl_err s_read_rows(decoder *self)
{
    pcl_mp_reader before = self->reader;
    pcl_mp_value array;
    if (!s_read_typed(self, PCL_MP_ARRAY, &array)) {
        return PCL_ERR_MALFORMED;
    }
    self->reply.row_count = array.count;
    if (self->is_checked) {
        self->reader = before;
        bool skipped = pcl_mp_skip(&self->reader, NULL);
        assert(skipped);
    } else if (!self->reply.has_columns || !s_read_cells(self)) {
        return PCL_ERR_MALFORMED;
    }
    self->reply.rows = pcl_bytes_of(before.data + before.offset,
                                    self->reader.offset - before.offset);
    return PCL_ERR_OK;
}

static bool s_rows_fit(const pcl_reply *reply)
{
    decoder self = {.reader = pcl_mp_reader_of(reply->rows), .reply = *reply, .is_checked = true};
    (void)s_next(&self.reader); /* the array's head */
    return s_read_cells(&self);
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

/* The rule of that key; NULL: there is none.  Writers keep the RFC's order, so it is looked for
 * from behind the one before it. */
static const key_rule *s_rule_of(const key_rule *rules, uint32_t rule_count, pcl_bytes key,
                                 uint32_t from)
{
    for (uint32_t passed = 0; passed < rule_count; passed++) {
        from = from < rule_count ? from : 0;
        const key_rule *rule = &rules[from];
        if (key.size == rule->name_size && memcmp(key.data, rule->name, key.size) == 0) {
            return rule;
        }
        from++;
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
        const key_rule *rule = s_rule_of(s_error_rules, ERROR_RULE_COUNT, key, 0);
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

/* Whether what comes next, in which the keys are anybody's, is well-formed. */
static bool s_check_nested(const decoder *self)
{
    decoder ahead = {.reader = self->reader};
    pcl_bytes octets;
    return self->is_checked || s_pass(&ahead, &octets);
}

/* A map or an array, whatever is in it. */
static pcl_err s_read_octets(decoder *self, const key_rule *rule)
{
    pcl_bytes octets;
    if (!s_pass(self, &octets)) {
        return PCL_ERR_MALFORMED;
    }
    s_store(self, rule, &octets, sizeof octets);
    pcl_mp_reader inside = pcl_mp_reader_of(octets);
    pcl_mp_type type = rule->kind == FIELD_MAP ? PCL_MP_MAP : PCL_MP_ARRAY;
    return s_next(&inside).type == type ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static pcl_err s_read_value(decoder *self, const key_rule *rule)
{
    if (rule->kind == FIELD_MAP || rule->kind == FIELD_METADATA) {
        return s_read_octets(self, rule);
    }
    if (rule->kind == FIELD_COLUMNS) {
        return s_read_columns(self);
    }
    if (rule->kind == FIELD_ROWS) {
        return s_read_rows(self);
    }
    if (rule->kind == FIELD_RESULTS || rule->kind == FIELD_ERROR) {
        return !s_check_nested(self)         ? PCL_ERR_MALFORMED
               : rule->kind == FIELD_RESULTS ? s_read_results(self)
                                             : s_read_error(self);
    }
    pcl_mp_value value;
    return s_read_head(self, &value) ? s_read_plain(self, rule, &value) : PCL_ERR_MALFORMED;
}

static bool s_has(uint32_t seen, int rule)
{
    return (seen & (1u << rule)) != 0;
}

/* columns and rows come together, and fit. */
static bool s_table_agrees(const decoder *self, uint32_t seen)
{
    const pcl_reply *reply = &self->reply;
    return s_has(seen, RULE_COLUMNS) == s_has(seen, RULE_ROWS) && s_metadata_fits(reply) &&
           (!reply->has_columns || !self->is_checked || s_rows_fit(reply));
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
                                         RULE_RESULT_LAST + 1 - RULE_COLUMNS, key, 0);
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
    return s_table_agrees(self, seen) ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static pcl_err s_read_results(decoder *self)
{
    size_t begin = self->reader.offset;
    pcl_mp_value array = s_next(&self->reader);
    if (array.type != PCL_MP_ARRAY) {
        return PCL_ERR_MALFORMED;
    }
    for (uint32_t index = 0; index < array.count; index++) {
        decoder inner = {.reader = self->reader, .is_checked = true};
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
static bool s_keys_agree(const decoder *self, uint32_t seen)
{
    const uint32_t needed = (1u << RULES_NEEDED) - 1;
    return (seen & needed) == needed && s_has(seen, RULE_ERROR) == !self->reply.ok &&
           s_table_agrees(self, seen);
}

/* The whole reply. */
static pcl_err s_decode(decoder *self)
{
    pcl_mp_value map;
    uint32_t seen = 0;
    uint32_t from = 0;
    if (!s_read_typed(self, PCL_MP_MAP, &map)) {
        return PCL_ERR_MALFORMED;
    }
    for (uint32_t index = 0; index < map.count; index++) {
        pcl_bytes key;
        if (!pcl_mp_next_str(&self->reader, &key)) {
            return PCL_ERR_MALFORMED;
        }
        const key_rule *rule = s_rule_of(s_rules, RULE_COUNT, key, from);
        if (rule == NULL && self->is_checked) {
            bool skipped = pcl_mp_skip(&self->reader, NULL);
            assert(skipped);
            continue;
        }
        if (rule == NULL || s_has(seen, (int)(rule - s_rules))) {
            return PCL_ERR_MALFORMED;
        }
        from = (uint32_t)(rule - s_rules) + 1;
        pcl_err err = s_read_value(self, rule);
        if (err != PCL_ERR_OK) {
            return err;
        }
        seen |= 1u << (rule - s_rules);
    }
    bool whole = self->reader.offset == self->reader.size && s_keys_agree(self, seen);
    return whole ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

pcl_err pcl_reply_decode(pcl_reply *out_reply, pcl_bytes source)
{
    assert(out_reply != NULL);
    if (source.size > (size_t)PCL_REPLY_SIZE_MAX) {
        return PCL_ERR_TOO_LARGE;
    }
    decoder self = {.reader = pcl_mp_reader_of(source)};
    pcl_err err = s_decode(&self);
    if (err != PCL_ERR_OK) {
        err = pcl_mp_check(source, PCL_MSGPACK_DEPTH_MAX, PCL_MP_KEYS_MAX, NULL);
        self = (decoder){.reader = pcl_mp_reader_of(source), .is_checked = true};
        err = err == PCL_ERR_OK ? s_decode(&self) : err;
    }
    if (err == PCL_ERR_OK) {
        *out_reply = self.reply;
    }
    return err;
}

void pcl_reply_result(const pcl_reply *reply, uint32_t index, pcl_reply *out_result)
{
    assert(reply != NULL);
    assert(index < reply->result_count);
    assert(out_result != NULL);
    decoder self = {.reader = pcl_mp_reader_of(reply->results), .is_checked = true};
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
