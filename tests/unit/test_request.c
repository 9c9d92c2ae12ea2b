#include "tests/lib/octets.h"
#include "tests/lib/seed.h"
#include "wire/mp.h"
#include "wire/request.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ID_HEX     "c4 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
#define SQL_HEX    "a8 53 45 4c 45 43 54 20 31" /* "SELECT 1" */
#define TRACE_TEXT "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
#define BIT(type)  (1u << PCL_MP_##type)
#define MAP_WITH_V "a1 76 01"
#define SQL_PAIR   "a3 73 71 6c " SQL_HEX

/* A good value for each key, and the types that the key may have. */
static const struct sample {
    const char *key;
    const char *hex;
    uint32_t types;
} s_samples[] = {
    {"v", "01", BIT(UINT)},
    {"id", ID_HEX, BIT(BIN)},
    {"op", "", BIT(STR)}, /* written from the op at hand */
    {"sql", SQL_HEX, BIT(STR)},
    {"params", "92 01 c0", BIT(ARRAY)},
    {"statements", "91 81 a3 73 71 6c " SQL_HEX, BIT(ARRAY)},
    {"db", "a4 64 65 6d 6f", BIT(STR)},
    {"strategy", "a6 63 75 73 74 6f 6d", BIT(STR)},
    {"consistency", "a6 73 6f 75 72 63 65", BIT(STR) | BIT(MAP)},
    {"timeout_ms", "cd 03 e8", BIT(UINT)},
    {"once", "c3", BIT(BOOL)},
    {"session", ID_HEX, BIT(BIN)},
    {"read_only", "c3", BIT(BOOL)},
    {"page_rows", "0a", BIT(UINT)},
    {"page_bytes", "cd 10 00", BIT(UINT)},
    {"cursor", ID_HEX, BIT(BIN)},
    {"metadata", "c3", BIT(BOOL)},
    {"explain_route", "c3", BIT(BOOL)},
    {"dry_run", "c3", BIT(BOOL)},
    {"trace",
     "d9 37 30 30 2d 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 30 31 32 33 34 35 36 37 38 39"
     "61 62 63 64 65 66 2d 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 2d 30 31",
     BIT(STR)},
    {"command", "a5 64 72 61 69 6e", BIT(STR)},
};
#define SAMPLE_COUNT (sizeof s_samples / sizeof s_samples[0])

/* One value of each type, in the order of pcl_mp_type. */
static const char *const s_typed[] = {
    "c0",       "c3",       "05",    "fb",          "cb 3f f8 00 00 00 00 00 00",
    "a2 c3 a9", "c4 01 ff", "91 01", "81 a1 61 01", "d4 01 31",
};

#define COMMON " v id op timeout_ms trace "

/* The keys of each op, and those it must have, as the RFC lists them. */
static const struct {
    const char *keys;
    const char *needed;
} s_op_keys[PCL_OP_COUNT] = {
    [PCL_OP_QUERY] = {COMMON "sql params db strategy consistency once session page_rows "
                             "page_bytes metadata explain_route dry_run ",
                      " v sql "},
    [PCL_OP_TXN] = {COMMON "statements db consistency once metadata explain_route ",
                    " v statements "},
    [PCL_OP_BEGIN] = {COMMON "db strategy consistency read_only explain_route ", " v "},
    [PCL_OP_COMMIT] = {COMMON "session ", " v session "},
    [PCL_OP_ROLLBACK] = {COMMON "session ", " v session "},
    [PCL_OP_FETCH] = {COMMON "cursor page_rows page_bytes metadata ", " v cursor "},
    [PCL_OP_CLOSE] = {COMMON "cursor ", " v cursor "},
    [PCL_OP_CANCEL] = {COMMON, " v id "},
    [PCL_OP_PING] = {COMMON, " v "},
    [PCL_OP_STATUS] = {COMMON, " v "},
    [PCL_OP_ADMIN] = {COMMON "command ", " v command "},
};

static bool s_lists(const char *keys, const char *key)
{
    char word[40];
    (void)snprintf(word, sizeof word, " %s ", key);
    return strstr(keys, word) != NULL;
}

/* The outcome of decoding. */
typedef struct outcome {
    pcl_err err;
    pcl_request request;
    pcl_fault fault;
    uint8_t id[PCL_ID_SIZE];
    bool has_id;
} outcome;

static outcome *s_decode(pcl_bytes source)
{
    static outcome result;
    memset(&result.request, 0xa5, sizeof result.request);
    memset(&result.fault, 0, sizeof result.fault);
    pcl_request untouched = result.request;
    result.err = pcl_request_decode(&result.request, source, &result.fault, result.id,
                                    &result.has_id);
    if (result.err == PCL_ERR_OK) { /* one walk has taken it; so does the one that checks octets */
        assert_int_equal(pcl_mp_check(source, PCL_MSGPACK_DEPTH_MAX, 32, NULL), PCL_ERR_OK);
    } else {
        assert_memory_equal(&result.request, &untouched, sizeof untouched);
        assert_int_equal(result.fault.err, result.err);
        assert_true(result.fault.rule[0] != '\0');
    }
    return &result;
}

static outcome *s_decode_hex(const char *hex)
{
    static uint8_t octets[8192]; /* the request borrows from it */
    return s_decode(pcl_octets_of(hex, octets, sizeof octets));
}

/* field and rule of a request that must be refused. */
static void s_expect_fault(const char *hex, pcl_err err, const char *field, const char *rule)
{
    outcome *result = s_decode_hex(hex);
    assert_int_equal(result->err, err);
    assert_string_equal(result->fault.field, field);
    assert_string_equal(result->fault.rule, rule);
}

static void s_put_hex(pcl_buffer *buffer, const char *hex)
{
    uint8_t octets[512];
    pcl_mp_put_raw(buffer, pcl_octets_of(hex, octets, sizeof octets));
}

/* A request of op with the keys it needs, without the key `without`, and with
 * the key `extra` of the value extra_hex; either may be NULL. */
static outcome *s_decode_built(pcl_op op, const char *without, const char *extra,
                               const char *extra_hex)
{
    static pcl_buffer buffer;
    pcl_buffer_init(&buffer, 8192);
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            pcl_mp_put_map(&buffer, count);
        }
        for (size_t index = 0; index < SAMPLE_COUNT; index++) {
            const char *key = s_samples[index].key;
            bool is_extra = extra != NULL && strcmp(key, extra) == 0;
            bool is_needed = s_lists(s_op_keys[op].needed, key) || strcmp(key, "op") == 0;
            bool is_without = without != NULL && strcmp(key, without) == 0;
            if (is_without || (!is_extra && !is_needed)) {
                continue;
            }
            count += pass == 0 ? 1 : 0;
            if (pass == 0) {
                continue;
            }
            pcl_mp_put_text(&buffer, key);
            if (is_extra && extra_hex != NULL) {
                s_put_hex(&buffer, extra_hex);
            } else if (strcmp(key, "op") == 0) {
                pcl_mp_put_text(&buffer, pcl_op_text(op));
            } else {
                s_put_hex(&buffer, s_samples[index].hex);
            }
        }
    }
    outcome *result = s_decode(pcl_buffer_bytes(&buffer));
    pcl_buffer_release(&buffer);
    return result;
}

static void test_the_smallest_query(void **state)
{
    (void)state;
    outcome *result = s_decode_hex("82 " MAP_WITH_V "a3 73 71 6c " SQL_HEX);
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_false(result->has_id);
    const pcl_request *request = &result->request;
    assert_int_equal(request->op, PCL_OP_QUERY);
    assert_true(pcl_bytes_is(request->sql, "SELECT 1"));
    assert_int_equal(request->params.size, 0);
    assert_int_equal(request->db.size, 0);
    assert_int_equal(request->strategy, PCL_STRATEGY_DEFAULT);
    assert_int_equal(request->consistency, PCL_CONSISTENCY_ANY);
    assert_int_equal(request->timeout_ms, 0);
    assert_false(request->has_id || request->once || request->has_session || request->has_cursor ||
                 request->explain_route);
}

/* Every op with every key: taken where the RFC lists it, refused elsewhere. */
static void test_keys_go_with_ops(void **state)
{
    (void)state;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        for (size_t index = 0; index < SAMPLE_COUNT; index++) {
            const char *key = s_samples[index].key;
            const char *hex = strcmp(key, "op") == 0 ? NULL : s_samples[index].hex;
            outcome *result = s_decode_built((pcl_op)op, NULL, key, hex);
            if (strcmp(key, "once") == 0 && s_lists(s_op_keys[op].keys, key)) {
                assert_string_equal(result->fault.rule, "is required with once");
            } else if (s_lists(s_op_keys[op].keys, key)) {
                assert_int_equal(result->err, PCL_ERR_OK);
                assert_int_equal(result->request.op, op);
            } else {
                char rule[64];
                (void)snprintf(rule, sizeof rule, "does not go with op %s",
                               pcl_op_text((pcl_op)op));
                assert_int_equal(result->err, PCL_ERR_MALFORMED);
                assert_string_equal(result->fault.field, key);
                assert_string_equal(result->fault.rule, rule);
            }
        }
    }
}

static void test_needed_keys_are_missed(void **state)
{
    (void)state;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        for (size_t index = 0; index < SAMPLE_COUNT; index++) {
            const char *key = s_samples[index].key;
            if (s_lists(s_op_keys[op].needed, key)) {
                outcome *result = s_decode_built((pcl_op)op, key, NULL, NULL);
                assert_int_equal(result->err, PCL_ERR_MALFORMED);
                assert_string_equal(result->fault.field, key);
                assert_non_null(strstr(result->fault.rule, "is required"));
            }
        }
    }
}

/* Every key with a value of every type that it may not have. */
static void test_wrong_types_are_refused(void **state)
{
    (void)state;
    uint32_t refused = 0;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        for (size_t index = 0; index < SAMPLE_COUNT; index++) {
            const char *key = s_samples[index].key;
            for (uint32_t type = 0; type < sizeof s_typed / sizeof s_typed[0]; type++) {
                if (!s_lists(s_op_keys[op].keys, key) ||
                    (s_samples[index].types & (1u << type)) != 0) {
                    continue;
                }
                outcome *result = s_decode_built((pcl_op)op, NULL, key, s_typed[type]);
                assert_int_equal(result->err, PCL_ERR_MALFORMED);
                assert_string_equal(result->fault.field, key);
                refused++;
            }
        }
    }
    assert_true(refused > 500);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t octets[256];
    pcl_bytes source = pcl_octets_of("84 " MAP_WITH_V "a2 69 64 " ID_HEX "a3 73 71 6c " SQL_HEX
                                     "a6 70 61 72 61 6d 73 93 01 a1 78 c0",
                                     octets, sizeof octets);
    assert_int_equal(s_decode(source)->err, PCL_ERR_OK);
    for (size_t size = 0; size < source.size; size++) {
        assert_int_equal(s_decode(pcl_bytes_of(octets, size))->err, PCL_ERR_MALFORMED);
    }
}

static void test_what_is_not_one_map_is_refused(void **state)
{
    (void)state;
    s_expect_fault("", PCL_ERR_MALFORMED, "", "the message ends inside a value, at octet 0");
    s_expect_fault("c0", PCL_ERR_MALFORMED, "", "the message must be a map");
    s_expect_fault("93 01 02 03", PCL_ERR_MALFORMED, "", "the message must be a map");
    s_expect_fault("80", PCL_ERR_MALFORMED, "v", "is required");
    s_expect_fault("81 " MAP_WITH_V "c0", PCL_ERR_MALFORMED, "",
                   "octets follow the value, at octet 4");
    s_expect_fault("82 " MAP_WITH_V MAP_WITH_V, PCL_ERR_MALFORMED, "v",
                   "a map key appears twice, at octet 4");
    s_expect_fault("dd ff ff ff ff", PCL_ERR_MALFORMED, "",
                   "a count promises more values than there are octets, at octet 0");
    s_expect_fault("82 " MAP_WITH_V "a6 70 61 72 61 6d 73 91 91 91 91 91 91 91 91 91 c0",
                   PCL_ERR_MALFORMED, "params", "containers are nested too deeply, at octet 18");
    s_expect_fault("82 " MAP_WITH_V "a3 73 71 6c a2 c0 80", PCL_ERR_MALFORMED, "sql",
                   "a string is not valid UTF-8, at octet 8");
}

/* Whatever stands behind a fault in the octets: it is told before any field's. */
static void test_faults_of_octets_come_first_wherever_they_are(void **state)
{
    (void)state;
    s_expect_fault("84 " MAP_WITH_V SQL_PAIR "a4 6f 6e 63 65 05 a2 64 62 a2 c0 80",
                   PCL_ERR_MALFORMED, "db", "a string is not valid UTF-8, at octet 26");
    s_expect_fault("83 " MAP_WITH_V SQL_PAIR "a6 70 61 72 61 6d 73 92 01 a1 ff", PCL_ERR_MALFORMED,
                   "params", "a string is not valid UTF-8, at octet 26");
    /* Keys are equal by their text, and are strings. */
    s_expect_fault("83 " MAP_WITH_V SQL_PAIR "d9 01 76 01", PCL_ERR_MALFORMED, "v",
                   "a map key appears twice, at octet 17");
    s_expect_fault("83 " MAP_WITH_V SQL_PAIR "c4 04 6f 6e 63 65 c3", PCL_ERR_MALFORMED, "",
                   "a map key is not a string, at octet 17");
    s_expect_fault("83 " MAP_WITH_V SQL_PAIR "ab 63 6f 6e 73 69 73 74 65 6e 63 79 "
                   "82 a9 6d 6f 6e 6f 74 6f 6e 69 63 c3 a9 6d 6f 6e 6f 74 6f 6e 69 63 c3",
                   PCL_ERR_MALFORMED, "consistency", "a map key appears twice, at octet 41");
    s_expect_fault("83 " MAP_WITH_V
                   "a2 6f 70 a3 74 78 6e aa 73 74 61 74 65 6d 65 6e 74 73 91 82 " SQL_PAIR SQL_PAIR,
                   PCL_ERR_MALFORMED, "statements", "a map key appears twice, at octet 37");
    s_expect_fault("82 " MAP_WITH_V SQL_PAIR "c0", PCL_ERR_MALFORMED, "",
                   "octets follow the value, at octet 17");
}

/* Whether a key goes with op is known wherever op stands. */
static void test_op_may_come_last(void **state)
{
    (void)state;
    outcome *result = s_decode_hex("83 a7 63 6f 6d 6d 61 6e 64 a5 64 72 61 69 6e "
                                   "a2 6f 70 a5 61 64 6d 69 6e " MAP_WITH_V);
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.op, PCL_OP_ADMIN);
    s_expect_fault("83 " SQL_PAIR MAP_WITH_V "a2 6f 70 a4 70 69 6e 67", PCL_ERR_MALFORMED, "sql",
                   "does not go with op ping");
}

static void test_unknown_keys_are_refused(void **state)
{
    (void)state;
    s_expect_fault("83 " MAP_WITH_V "a3 73 71 6c " SQL_HEX "a3 66 6f 6f 01", PCL_ERR_MALFORMED,
                   "foo", "is not a key of this protocol");
    /* What goes into a message and a log is printable, and short. */
    s_expect_fault("82 " MAP_WITH_V "a5 61 0a c3 a9 62 01", PCL_ERR_MALFORMED, "a???b",
                   "is not a key of this protocol");
    s_expect_fault("82 " MAP_WITH_V "d9 24 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61"
                   "61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 01",
                   PCL_ERR_MALFORMED, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                   "is not a key of this protocol");
    s_expect_fault("82 " MAP_WITH_V "a0 01", PCL_ERR_MALFORMED, "",
                   "is not a key of this protocol");
}

static void test_the_version_comes_first(void **state)
{
    (void)state;
    s_expect_fault("82 a1 76 02 a3 66 6f 6f 01", PCL_ERR_VERSION, "v", "must be 1");
    s_expect_fault("82 a3 66 6f 6f 01 a1 76 00", PCL_ERR_VERSION, "v", "must be 1");
    s_expect_fault("81 a1 76 cf ff ff ff ff ff ff ff ff", PCL_ERR_VERSION, "v", "must be 1");
    s_expect_fault("81 a1 76 ff", PCL_ERR_MALFORMED, "v", "must be an integer");
}

static void test_unknown_words_are_answered_with_the_known(void **state)
{
    (void)state;
    s_expect_fault("82 " MAP_WITH_V "a2 6f 70 a3 66 6f 6f", PCL_ERR_MALFORMED, "op",
                   "must be one of query, txn, begin, commit, rollback, fetch, close, cancel, "
                   "ping, status, admin");
    s_expect_fault("83 " MAP_WITH_V "a3 73 71 6c " SQL_HEX "a8 73 74 72 61 74 65 67 79 a3 66 6f 6f",
                   PCL_ERR_MALFORMED, "strategy", "must be one of " PCL_STRATEGY_NAMES(", "));
    pcl_strategy_kind kind = PCL_STRATEGY_COUNT;
    for (int index = PCL_STRATEGY_DIRECT; index < PCL_STRATEGY_COUNT; index++) {
        const char *text = pcl_strategy_text((pcl_strategy_kind)index);
        assert_true(pcl_strategy_parse(pcl_bytes_text(text), &kind));
        assert_int_equal(kind, index);
    }
    char names[256] = "";
    for (int index = PCL_STRATEGY_DIRECT; index < PCL_STRATEGY_COUNT; index++) {
        strcat(names, index > PCL_STRATEGY_DIRECT ? " " : "");
        strcat(names, pcl_strategy_text((pcl_strategy_kind)index));
    }
    assert_string_equal(PCL_STRATEGY_NAMES(" "), names);
    assert_false(pcl_strategy_parse(pcl_bytes_text("default"), &kind));
    assert_false(pcl_strategy_parse(pcl_bytes_text(""), &kind));
    assert_false(pcl_strategy_parse(pcl_bytes_text("Direct"), &kind));
}

static void test_numbers_are_in_range(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *hex;
        bool good;
    } numbers[] = {
        {"timeout_ms", "00", false},
        {"timeout_ms", "01", true},
        {"timeout_ms", "d3 00 00 00 00 00 00 00 01", true}, /* any format of an integer */
        {"timeout_ms", "ce 00 09 27 c0", true},             /* 600000 */
        {"timeout_ms", "ce 00 09 27 c1", false},
        {"timeout_ms", "cf 00 00 00 01 00 00 00 01", false}, /* 1 when cut to 32 bits */
        {"page_rows", "00", false},
        {"page_rows", "ce 00 01 86 a0", true}, /* 100000 */
        {"page_rows", "ce 00 01 86 a1", false},
        {"page_bytes", "00", false},
        {"page_bytes", "ce 00 80 00 00", true}, /* 8 MiB */
        {"page_bytes", "ce 00 80 00 01", false},
    };
    for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
        outcome *result = s_decode_built(PCL_OP_QUERY, NULL, numbers[index].key,
                                         numbers[index].hex);
        assert_int_equal(result->err, numbers[index].good ? PCL_ERR_OK : PCL_ERR_MALFORMED);
    }
    outcome *result = s_decode_built(PCL_OP_QUERY, NULL, "timeout_ms", "00");
    assert_string_equal(result->fault.rule, "must be an integer from 1 to 600000");
}

/* A request of op with key holding text of size octets. */
static outcome *s_decode_long(pcl_op op, const char *key, size_t size)
{
    static uint8_t text[PCL_REQUEST_SIZE_MAX];
    static pcl_buffer buffer;
    memset(text, 'x', sizeof text);
    pcl_buffer_release(&buffer);
    pcl_buffer_init(&buffer, 2 * PCL_REQUEST_SIZE_MAX);
    bool is_sql = strcmp(key, "sql") == 0;
    pcl_mp_put_map(&buffer, op == PCL_OP_QUERY && !is_sql ? 4 : 3);
    pcl_mp_put_text(&buffer, "v");
    pcl_mp_put_uint(&buffer, 1);
    pcl_mp_put_text(&buffer, "op");
    pcl_mp_put_text(&buffer, pcl_op_text(op));
    if (op == PCL_OP_QUERY && !is_sql) {
        pcl_mp_put_text(&buffer, "sql");
        pcl_mp_put_text(&buffer, "SELECT 1");
    }
    pcl_mp_put_text(&buffer, key);
    pcl_mp_put_str(&buffer, pcl_bytes_of(text, size));
    return s_decode(pcl_buffer_bytes(&buffer));
}

static void test_texts_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "sql", PCL_SQL_SIZE_MAX)->err, PCL_ERR_OK);
    outcome *result = s_decode_long(PCL_OP_QUERY, "sql", PCL_SQL_SIZE_MAX + 1);
    assert_int_equal(result->err, PCL_ERR_TOO_LARGE);
    assert_string_equal(result->fault.field, "sql");
    assert_string_equal(result->fault.rule, "at most 524288 octets");
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "db", PCL_DB_NAME_SIZE_MAX)->err, PCL_ERR_OK);
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "db", PCL_DB_NAME_SIZE_MAX + 1)->err,
                     PCL_ERR_TOO_LARGE);
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "trace", PCL_TRACE_SIZE_MAX + 1)->err,
                     PCL_ERR_TOO_LARGE);
    assert_int_equal(s_decode_long(PCL_OP_ADMIN, "command", PCL_COMMAND_SIZE_MAX)->err, PCL_ERR_OK);
    assert_int_equal(s_decode_long(PCL_OP_ADMIN, "command", PCL_COMMAND_SIZE_MAX + 1)->err,
                     PCL_ERR_TOO_LARGE);
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "sql", 0)->err, PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_long(PCL_OP_QUERY, "db", 0)->err, PCL_ERR_MALFORMED);
    result = s_decode_long(PCL_OP_QUERY, "sql", PCL_REQUEST_SIZE_MAX);
    assert_int_equal(result->err, PCL_ERR_TOO_LARGE);
    assert_string_equal(result->fault.field, "");
    assert_string_equal(result->fault.rule, "at most 17825792 octets");
}

static void test_texts_hold_no_nul_and_a_command_is_printable(void **state)
{
    (void)state;
    assert_string_equal(s_decode_built(PCL_OP_QUERY, NULL, "sql", "a3 61 00 62")->fault.rule,
                        "must not contain a NUL");
    assert_string_equal(s_decode_built(PCL_OP_QUERY, NULL, "db", "a1 00")->fault.rule,
                        "must not contain a NUL");
    assert_string_equal(s_decode_built(PCL_OP_ADMIN, NULL, "command", "a2 61 0a")->fault.rule,
                        "must be printable ASCII");
    assert_string_equal(s_decode_built(PCL_OP_QUERY, NULL, "trace", "a2 30 30")->fault.rule,
                        "must be a W3C traceparent");
}

/* A query with these params, as hex of the array. */
static outcome *s_decode_params(const char *hex)
{
    return s_decode_built(PCL_OP_QUERY, NULL, "params", hex);
}

static void test_params_of_every_type(void **state)
{
    (void)state;
    outcome *result = s_decode_params("90");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.params.size, 1);
    assert_int_equal(result->request.param_count, 0);
    result = s_decode_params("99 c0 c3 05 fb cf ff ff ff ff ff ff ff ff cb 3f f8 00 00 00 00 00 00"
                             "a1 78 c4 01 ff d6 01 31 2e 35 30");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.param_count, 9);

    static const struct {
        const char *hex;
        const char *rule;
    } bad[] = {
        {"92 01 cb 7f f0 00 00 00 00 00 00", "must be a finite number"},
        {"92 01 cb ff f0 00 00 00 00 00 00", "must be a finite number"},
        {"92 01 ca 7f c0 00 00", "must be a finite number"},
        {"92 01 90", "must not be an array or a map"},
        {"92 01 80", "must not be an array or a map"},
        {"92 01 d4 03 31", "ext type must be 1 (decimal) or 2 (date and time)"},
        {"92 01 d6 ff 00 00 00 00", "ext type must be 1 (decimal) or 2 (date and time)"},
        {"92 01 d4 01 78", "ext 1 must be a decimal number as text, at most 65 digits"},
        {"92 01 d4 02 31", "ext 2 must be a date, a time or both as ISO text"},
    };
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        result = s_decode_params(bad[index].hex);
        assert_int_equal(result->err, PCL_ERR_MALFORMED);
        assert_string_equal(result->fault.field, "params[1]");
        assert_string_equal(result->fault.rule, bad[index].rule);
    }
}

/* A query with one param: the ext type with this text. */
static pcl_err s_decode_ext(int8_t type, const char *text)
{
    static pcl_buffer buffer;
    pcl_buffer_init(&buffer, 512);
    s_put_hex(&buffer, "83 " MAP_WITH_V "a3 73 71 6c " SQL_HEX "a6 70 61 72 61 6d 73 91");
    pcl_mp_put_ext(&buffer, type, pcl_bytes_text(text));
    pcl_err err = s_decode(pcl_buffer_bytes(&buffer))->err;
    pcl_buffer_release(&buffer);
    return err;
}

static void test_decimals_and_times_are_text_of_a_form(void **state)
{
    (void)state;
    static const char *const decimals[] = {
        "0",
        "-1",
        "007",
        "1.50",
        "-0.001",
        "12345678901234567890123456789012345.123456789012345678901234567890", /* 65 digits */
    };
    static const char *const no_decimals[] = {
        "",
        "-",
        ".",
        "1.",
        ".5",
        "+1",
        "1e5",
        " 1",
        "1 ",
        "1.2.3",
        "--1",
        "0x1",
        "NaN",
        "1,5",
        "123456789012345678901234567890123456.123456789012345678901234567890", /* 66 */
    };
    static const char *const times[] = {
        "2024-02-29", "0000-00-00", "2024-02-29 23:59:59", "2024-02-29T23:59:59.123456", "23:59:59",
        "-838:59:59", "8:00:00",    "00:00:00.5",
    };
    static const char *const no_times[] = {
        "",
        "2024",
        "2024-2-29",
        "24-02-29",
        "2024-02-29T",
        "2024-02-29 ",
        "2024-02-29 23:59",
        "2024-02-29t23:59:59",
        "2024-02-29 23:59:59Z",
        "2024-02-29 23:59:59+02:00",
        "23:59",
        "23:59:59.",
        "23:59:59.1234567",
        "1234:00:00",
        "-2024-02-29",
        "2024-02-29  23:59:59",
        ":00:00",
        "2024-02-29 123:59:59",
    };
    for (size_t index = 0; index < sizeof decimals / sizeof decimals[0]; index++) {
        assert_int_equal(s_decode_ext(PCL_EXT_DECIMAL, decimals[index]), PCL_ERR_OK);
    }
    for (size_t index = 0; index < sizeof no_decimals / sizeof no_decimals[0]; index++) {
        assert_int_equal(s_decode_ext(PCL_EXT_DECIMAL, no_decimals[index]), PCL_ERR_MALFORMED);
    }
    for (size_t index = 0; index < sizeof times / sizeof times[0]; index++) {
        assert_int_equal(s_decode_ext(PCL_EXT_TEMPORAL, times[index]), PCL_ERR_OK);
    }
    for (size_t index = 0; index < sizeof no_times / sizeof no_times[0]; index++) {
        assert_int_equal(s_decode_ext(PCL_EXT_TEMPORAL, no_times[index]), PCL_ERR_MALFORMED);
    }
}

static void test_a_trace_is_a_traceparent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } traces[] = {
        {TRACE_TEXT, true},
        {"01-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more", true},
        {"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more", false},
        {"01-0123456789abcdef0123456789abcdef-0123456789abcdef-01more", false},
        {"ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01", false},
        {"00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01", false},
        {"00-0123456789abcdef0123456789abcdef-0123456789abcdef-0", false},
        {"00-0123456789abcdef0123456789abcdef-0123456789abcdef", false},
        {"00-0123456789abcdef0123456789abcde-0123456789abcdef-01", false},
        {"01-0123456789abcdef0123456789abcdef-0123456789abcdef-01-a\nb", false},
    };
    for (size_t index = 0; index < sizeof traces / sizeof traces[0]; index++) {
        pcl_buffer buffer;
        pcl_buffer_init(&buffer, 512);
        s_put_hex(&buffer, "83 " MAP_WITH_V SQL_PAIR);
        pcl_mp_put_text(&buffer, "trace");
        pcl_mp_put_text(&buffer, traces[index].text);
        assert_int_equal(s_decode(pcl_buffer_bytes(&buffer))->err,
                         traces[index].good ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        pcl_buffer_release(&buffer);
    }
}

static outcome *s_decode_param_count(uint32_t count)
{
    static pcl_buffer buffer;
    pcl_buffer_init(&buffer, 16384);
    s_put_hex(&buffer, "83 " MAP_WITH_V "a3 73 71 6c " SQL_HEX "a6 70 61 72 61 6d 73");
    pcl_mp_put_array(&buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        pcl_mp_put_nil(&buffer);
    }
    outcome *result = s_decode(pcl_buffer_bytes(&buffer));
    pcl_buffer_release(&buffer);
    return result;
}

static void test_params_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(s_decode_param_count(PCL_PARAMS_MAX)->err, PCL_ERR_OK);
    outcome *result = s_decode_param_count(PCL_PARAMS_MAX + 1);
    assert_int_equal(result->err, PCL_ERR_TOO_LARGE);
    assert_string_equal(result->fault.field, "params");
    assert_string_equal(result->fault.rule, "at most 4096 values");
}

/* Every statement with as many parameters, and all else that it may have. */
static void test_the_longest_txn_is_read(void **state)
{
    (void)state;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 4u * 1024 * 1024);
    s_put_hex(&buffer, "83 " MAP_WITH_V "a2 6f 70 a3 74 78 6e");
    pcl_mp_put_text(&buffer, "statements");
    pcl_mp_put_array(&buffer, PCL_STATEMENTS_MAX);
    for (uint32_t index = 0; index < PCL_STATEMENTS_MAX; index++) {
        s_put_hex(&buffer, "83 " SQL_PAIR "a6 65 78 70 65 63 74 82 a8 6d 69 6e 5f 72 6f 77 73 01 "
                           "a8 6d 61 78 5f 72 6f 77 73 01");
        pcl_mp_put_text(&buffer, "params");
        pcl_mp_put_array(&buffer, PCL_PARAMS_MAX);
        for (uint32_t param = 0; param < PCL_PARAMS_MAX; param++) {
            pcl_mp_put_nil(&buffer);
        }
    }
    outcome *result = s_decode(pcl_buffer_bytes(&buffer));
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.statement_count, PCL_STATEMENTS_MAX);
    uint32_t count = 0;
    pcl_statements statements = pcl_request_statements(&result->request);
    for (pcl_statement statement; pcl_statements_next(&statements, &statement); count++) {
        assert_int_equal(statement.param_count, PCL_PARAMS_MAX);
        assert_int_equal(statement.max_rows, 1);
    }
    assert_int_equal(count, PCL_STATEMENTS_MAX);
    pcl_buffer_release(&buffer);
}

/* An octet can be a value: what has more of them than any request is not read to its end. */
static void test_values_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *key;
    } cases[] = {
        {"84 a2 69 64 " ID_HEX MAP_WITH_V "a3 73 71 6c " SQL_HEX, "params"},
        {"84 a2 69 64 " ID_HEX MAP_WITH_V "a2 6f 70 a3 74 78 6e", "statements"},
        {"83 a2 69 64 " ID_HEX MAP_WITH_V, "consistency"},
        {"83 a2 69 64 " ID_HEX MAP_WITH_V, "nothing"},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_buffer buffer;
        pcl_buffer_init(&buffer, PCL_REQUEST_SIZE_MAX);
        s_put_hex(&buffer, cases[index].begin);
        pcl_mp_put_text(&buffer, cases[index].key);
        pcl_mp_put_array(&buffer, PCL_REQUEST_VALUES_MAX);
        for (uint32_t value = 0; value < PCL_REQUEST_VALUES_MAX; value++) {
            pcl_mp_put_nil(&buffer);
        }
        outcome *result = s_decode(pcl_buffer_bytes(&buffer));
        assert_int_equal(result->err, PCL_ERR_MALFORMED);
        assert_string_equal(result->fault.field, cases[index].key);
        assert_non_null(strstr(result->fault.rule, "there are too many values"));
        assert_true(result->has_id);
        pcl_buffer_release(&buffer);
    }
}

static outcome *s_decode_consistency(const char *hex)
{
    return s_decode_built(PCL_OP_QUERY, NULL, "consistency", hex);
}

static void test_consistency_has_four_forms(void **state)
{
    (void)state;
    assert_int_equal(s_decode_consistency("a3 61 6e 79")->request.consistency, PCL_CONSISTENCY_ANY);
    outcome *result = s_decode_consistency("a6 73 6f 75 72 63 65");
    assert_int_equal(result->request.consistency, PCL_CONSISTENCY_SOURCE);
    result = s_decode_consistency("81 a5 61 66 74 65 72 a5 30 2d 31 2d 39");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.consistency, PCL_CONSISTENCY_AFTER);
    assert_int_equal(result->request.token_count, 1);
    assert_int_equal(result->request.tokens[0].size, 5);
    result = s_decode_consistency("81 aa 6d 61 78 5f 6c 61 67 5f 6d 73 cd 01 f4");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.consistency, PCL_CONSISTENCY_MAX_LAG);
    assert_int_equal(result->request.max_lag_ms, 500);

    static const char *const bad[] = {
        "a3 61 6c 6c",                               /* an unknown word */
        "80",                                        /* an empty map */
        "81 a3 66 6f 6f 01",                         /* an unknown key */
        "82 a5 61 66 74 65 72 a1 78 a3 66 6f 6f 01", /* two keys */
    };
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        result = s_decode_consistency(bad[index]);
        assert_int_equal(result->err, PCL_ERR_MALFORMED);
        assert_string_equal(result->fault.rule,
                            "must be any, source, or a map of one of after, source and max_lag_ms, "
                            "and of monotonic");
    }
    result = s_decode_consistency("81 a5 61 66 74 65 72 01");
    assert_string_equal(result->fault.field, "consistency.after");
    result = s_decode_consistency("81 a5 61 66 74 65 72 a0");
    assert_string_equal(result->fault.rule, "must not be empty");
    result = s_decode_consistency("81 aa 6d 61 78 5f 6c 61 67 5f 6d 73 ff");
    assert_string_equal(result->fault.field, "consistency.max_lag_ms");
    result = s_decode_consistency("81 aa 6d 61 78 5f 6c 61 67 5f 6d 73 cf 00 00 00 01 00 00 00 00");
    assert_string_equal(result->fault.field, "consistency.max_lag_ms");
}

static void test_consistency_may_be_a_map_of_two(void **state)
{
    (void)state;
    outcome *result = s_decode_consistency("81 a9 6d 6f 6e 6f 74 6f 6e 69 63 c3");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.consistency, PCL_CONSISTENCY_ANY);
    assert_true(result->request.monotonic);
    result = s_decode_consistency("82 a9 6d 6f 6e 6f 74 6f 6e 69 63 c3 a6 73 6f 75 72 63 65 c3");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.consistency, PCL_CONSISTENCY_SOURCE);
    assert_true(result->request.monotonic);
    result = s_decode_consistency("81 a5 61 66 74 65 72 92 a1 61 a2 62 63");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.token_count, 2);
    assert_int_equal(result->request.tokens[0].size, 1);
    assert_int_equal(result->request.tokens[1].size, 2);

    static const char *const bad[] = {
        "82 a5 61 66 74 65 72 a1 61 a6 73 6f 75 72 63 65 c3", /* after and source */
        "81 a6 73 6f 75 72 63 65 c2",                         /* source: false */
        "81 a9 6d 6f 6e 6f 74 6f 6e 69 63 01",                /* monotonic: 1 */
        "81 a5 61 66 74 65 72 90",                            /* no token */
        "81 a5 61 66 74 65 72 99 a1 61 a1 61 a1 61 a1 61 a1 61 a1 61 a1 61 a1 61 a1 61", /* nine */
        "81 a5 61 66 74 65 72 92 a1 61 01", /* a token that is none */
    };
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        assert_int_equal(s_decode_consistency(bad[index])->err, PCL_ERR_MALFORMED);
    }
}

static outcome *s_decode_statements(const char *hex)
{
    return s_decode_built(PCL_OP_TXN, NULL, "statements", hex);
}

#define EXPECT_KEY "a6 65 78 70 65 63 74"
#define ROWS_KEY   "a4 72 6f 77 73"
#define MIN_KEY    "a8 6d 69 6e 5f 72 6f 77 73"
#define MAX_KEY    "a8 6d 61 78 5f 72 6f 77 73"

static void test_statements_of_a_transaction(void **state)
{
    (void)state;
    outcome *result = s_decode_hex(
        "83 " MAP_WITH_V "a2 6f 70 a3 74 78 6e aa 73 74 61 74 65 6d 65 6e 74 73"
        "93 81 " SQL_PAIR "82 a6 70 61 72 61 6d 73 92 01 02 " SQL_PAIR "82 " SQL_PAIR EXPECT_KEY
        "82 " MIN_KEY "01 " MAX_KEY "cf ff ff ff ff ff ff ff ff");
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_int_equal(result->request.statement_count, 3);
    pcl_statements statements = pcl_request_statements(&result->request);
    pcl_statement statement;
    assert_true(pcl_statements_next(&statements, &statement));
    assert_true(pcl_bytes_is(statement.sql, "SELECT 1"));
    assert_int_equal(statement.params.size, 0);
    assert_true(pcl_statements_next(&statements, &statement));
    assert_int_equal(statement.param_count, 2);
    assert_int_equal(statement.params.size, 3);
    assert_false(statement.has_rows || statement.has_min_rows || statement.has_max_rows);
    assert_true(pcl_statements_next(&statements, &statement));
    assert_true(statement.has_min_rows && statement.has_max_rows && !statement.has_rows);
    assert_int_equal(statement.min_rows, 1);
    assert_true(statement.max_rows == UINT64_MAX);
    assert_false(pcl_statements_next(&statements, &statement));
    statements = pcl_request_statements(&(pcl_request){.op = PCL_OP_QUERY});
    assert_false(pcl_statements_next(&statements, &statement));
}

static void test_bad_statements_are_refused_by_number(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        const char *field;
        const char *rule;
    } bad[] = {
        {"90", "statements", "must be an array of at least one map"},
        {"91 01", "statements[0]", "must be a map"},
        {"92 81 " SQL_PAIR "80", "statements[1].sql", "is required"},
        {"91 81 a3 73 71 6c a0", "statements[0].sql", "must not be empty"},
        {"91 81 a3 73 71 6c 01", "statements[0].sql", "must be a string"},
        {"91 82 " SQL_PAIR "a3 66 6f 6f 01", "statements[0].foo", "is not a key of this protocol"},
        {"91 82 " SQL_PAIR "a6 70 61 72 61 6d 73 01", "statements[0].params", "must be an array"},
        {"91 82 " SQL_PAIR "a6 70 61 72 61 6d 73 91 90", "statements[0].params[0]",
         "must not be an array or a map"},
        {"91 82 " SQL_PAIR EXPECT_KEY "80", "statements[0].expect",
         "must be a map of rows, or of min_rows and max_rows"},
        {"91 82 " SQL_PAIR EXPECT_KEY "01", "statements[0].expect",
         "must be a map of rows, or of min_rows and max_rows"},
        {"91 82 " SQL_PAIR EXPECT_KEY "81 " ROWS_KEY "ff", "statements[0].expect",
         "values must be integers from 0"},
        {"91 82 " SQL_PAIR EXPECT_KEY "81 a1 78 01", "statements[0].expect.x",
         "is not a key of this protocol"},
        {"91 82 " SQL_PAIR EXPECT_KEY "82 " ROWS_KEY "01 " MIN_KEY "01", "statements[0].expect",
         "rows does not go with min_rows and max_rows"},
        {"91 82 " SQL_PAIR EXPECT_KEY "82 " MIN_KEY "02 " MAX_KEY "01", "statements[0].expect",
         "min_rows is above max_rows"},
    };
    for (size_t index = 0; index < sizeof bad / sizeof bad[0]; index++) {
        outcome *result = s_decode_statements(bad[index].hex);
        assert_int_equal(result->err, PCL_ERR_MALFORMED);
        assert_string_equal(result->fault.field, bad[index].field);
        assert_string_equal(result->fault.rule, bad[index].rule);
    }
}

static void test_statements_are_bounded(void **state)
{
    (void)state;
    static pcl_buffer buffer;
    pcl_buffer_init(&buffer, 16384);
    for (uint32_t count = PCL_STATEMENTS_MAX; count <= PCL_STATEMENTS_MAX + 1; count++) {
        pcl_buffer_clear(&buffer);
        s_put_hex(&buffer,
                  "83 " MAP_WITH_V "a2 6f 70 a3 74 78 6e aa 73 74 61 74 65 6d 65 6e 74 73");
        pcl_mp_put_array(&buffer, count);
        for (uint32_t index = 0; index < count; index++) {
            s_put_hex(&buffer, "81 " SQL_PAIR);
        }
        assert_int_equal(s_decode(pcl_buffer_bytes(&buffer))->err,
                         count == PCL_STATEMENTS_MAX ? PCL_ERR_OK : PCL_ERR_TOO_LARGE);
    }
    pcl_buffer_release(&buffer);
}

static void test_once_needs_an_id(void **state)
{
    (void)state;
    s_expect_fault("83 " MAP_WITH_V SQL_PAIR "a4 6f 6e 63 65 c3", PCL_ERR_MALFORMED, "id",
                   "is required with once");
    assert_int_equal(s_decode_hex("83 " MAP_WITH_V SQL_PAIR "a4 6f 6e 63 65 c2")->err, PCL_ERR_OK);
    outcome *result = s_decode_hex("84 " MAP_WITH_V SQL_PAIR "a4 6f 6e 63 65 c3 a2 69 64 " ID_HEX);
    assert_int_equal(result->err, PCL_ERR_OK);
    assert_true(result->request.once);
}

static void test_what_does_not_go_with_a_session(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        const char *field;
    } keys[] = {
        {"a4 6f 6e 63 65 c3", "once"},
        {"a8 73 74 72 61 74 65 67 79 a6 63 75 73 74 6f 6d", "strategy"},
        {"ab 63 6f 6e 73 69 73 74 65 6e 63 79 a6 73 6f 75 72 63 65", "consistency"},
        {"a7 64 72 79 5f 72 75 6e c3", "dry_run"},
    };
    for (size_t index = 0; index < sizeof keys / sizeof keys[0]; index++) {
        char hex[512];
        (void)snprintf(hex, sizeof hex, "85 %s%s%s a2 69 64 %s a7 73 65 73 73 69 6f 6e %s",
                       MAP_WITH_V, SQL_PAIR, keys[index].hex, ID_HEX, ID_HEX);
        outcome *result = s_decode_hex(hex);
        assert_int_equal(result->err, PCL_ERR_MALFORMED);
        assert_string_equal(result->fault.field, keys[index].field);
        assert_non_null(strstr(result->fault.rule, "does not go with session"));
    }
}

/* A refusal carries the request's id whenever one could be read. */
static void test_the_id_is_read_also_on_failure(void **state)
{
    (void)state;
    static const char *const with_id[] = {
        "82 a2 69 64 " ID_HEX "a1 76 02",                        /* another version */
        "82 " MAP_WITH_V "a2 69 64 " ID_HEX,                     /* no sql */
        "83 " MAP_WITH_V "a2 69 64 " ID_HEX "a3 66 6f 6f 01",    /* an unknown key */
        "83 " MAP_WITH_V "a2 69 64 " ID_HEX,                     /* cut after it */
        "82 " MAP_WITH_V "a2 69 64 " ID_HEX "00",                /* an octet too much */
        "83 " MAP_WITH_V "a2 69 64 " ID_HEX MAP_WITH_V,          /* a key twice */
        "83 " MAP_WITH_V "a2 69 64 " ID_HEX "a3 73 71 6c a1 ff", /* no UTF-8 */
    };
    static const char *const without_id[] = {
        "",
        "c0",
        "80",
        "81 " MAP_WITH_V,
        "82 " MAP_WITH_V "a2 69 64 c4 10 00 01", /* cut inside it */
        "82 " MAP_WITH_V "a2 69 64 c4 0f 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e",
        "82 " MAP_WITH_V "a2 69 64 a1 78",
    };
    for (size_t index = 0; index < sizeof with_id / sizeof with_id[0]; index++) {
        outcome *result = s_decode_hex(with_id[index]);
        assert_int_not_equal(result->err, PCL_ERR_OK);
        assert_true(result->has_id);
        for (uint8_t at = 0; at < PCL_ID_SIZE; at++) {
            assert_int_equal(result->id[at], at);
        }
    }
    for (size_t index = 0; index < sizeof without_id / sizeof without_id[0]; index++) {
        assert_false(s_decode_hex(without_id[index])->has_id);
    }
}

static bool s_same_tokens(const pcl_request *a, const pcl_request *b)
{
    bool same = a->token_count == b->token_count;
    for (uint32_t index = 0; same && index < a->token_count; index++) {
        same = pcl_bytes_equal(a->tokens[index], b->tokens[index]);
    }
    return same;
}

static bool s_same(const pcl_request *a, const pcl_request *b)
{
    return a->has_id == b->has_id && memcmp(a->id, b->id, PCL_ID_SIZE) == 0 && a->op == b->op &&
           pcl_bytes_equal(a->sql, b->sql) && pcl_bytes_equal(a->params, b->params) &&
           a->param_count == b->param_count && pcl_bytes_equal(a->statements, b->statements) &&
           a->statement_count == b->statement_count && pcl_bytes_equal(a->db, b->db) &&
           a->strategy == b->strategy && a->consistency == b->consistency && s_same_tokens(a, b) &&
           a->monotonic == b->monotonic && a->max_lag_ms == b->max_lag_ms &&
           a->timeout_ms == b->timeout_ms && a->once == b->once &&
           a->has_session == b->has_session && memcmp(a->session, b->session, PCL_ID_SIZE) == 0 &&
           a->page_rows == b->page_rows && a->page_bytes == b->page_bytes &&
           a->has_cursor == b->has_cursor && memcmp(a->cursor, b->cursor, PCL_ID_SIZE) == 0 &&
           a->explain_route == b->explain_route && a->dry_run == b->dry_run &&
           a->read_only == b->read_only && a->metadata == b->metadata &&
           pcl_bytes_equal(a->trace, b->trace) && pcl_bytes_equal(a->command, b->command);
}

static bool s_chance(pcl_rng *rng, pcl_op op, const char *key)
{
    return s_lists(s_op_keys[op].needed, key) ||
           (s_lists(s_op_keys[op].keys, key) && pcl_rng_below(rng, 2) == 0);
}

static void s_fill_id(pcl_rng *rng, uint8_t id[PCL_ID_SIZE])
{
    for (size_t index = 0; index < PCL_ID_SIZE; index++) {
        id[index] = (uint8_t)pcl_rng_next(rng);
    }
}

/* Text of 1 to size_max characters, some of them not ASCII. */
static pcl_bytes s_random_text(pcl_rng *rng, uint8_t *target, uint32_t size_max)
{
    static const char *const characters[] = {"a", "Z", " ", "'", "\n", "?", "é", "€", "😀"};
    uint32_t wanted = 1 + pcl_rng_below(rng, size_max);
    size_t size = 0;
    for (;;) {
        pcl_bytes next = pcl_bytes_text(characters[pcl_rng_below(rng, 9)]);
        if (size > 0 && size + next.size > wanted) {
            return pcl_bytes_of(target, size);
        }
        memcpy(target + size, next.data, next.size);
        size += next.size;
    }
}

/* The bools that go with anything, but for a session. */
static void s_choose_switches(pcl_rng *rng, pcl_request *request)
{
    request->explain_route = s_chance(rng, request->op, "explain_route");
    request->dry_run = !request->has_session && s_chance(rng, request->op, "dry_run");
    request->read_only = s_chance(rng, request->op, "read_only");
    request->metadata = s_chance(rng, request->op, "metadata");
}

static void s_choose_consistency(pcl_rng *rng, pcl_request *request, uint8_t text[600])
{
    if (!s_chance(rng, request->op, "consistency")) {
        return;
    }
    request->consistency = (pcl_consistency_kind)pcl_rng_below(rng, PCL_CONSISTENCY_COUNT);
    request->monotonic = pcl_rng_below(rng, 2) == 0;
    if (request->consistency == PCL_CONSISTENCY_AFTER) {
        request->token_count = 1 + pcl_rng_below(rng, PCL_TOKENS_MAX);
        pcl_bytes token = s_random_text(rng, text, 100);
        for (uint32_t index = 0; index < request->token_count; index++) {
            request->tokens[index] = token;
        }
    }
    if (request->consistency == PCL_CONSISTENCY_MAX_LAG) {
        request->max_lag_ms = (uint32_t)pcl_rng_next(rng);
    }
}

/* A request that keeps all rules; its texts live in the arrays. */
static pcl_request s_random_request(pcl_rng *rng, uint8_t texts[4][600], pcl_buffer *params)
{
    pcl_op op = (pcl_op)pcl_rng_below(rng, PCL_OP_COUNT);
    pcl_request request = {.op = op};
    if (s_chance(rng, op, "id")) {
        request.has_id = true;
        s_fill_id(rng, request.id);
    }
    if (s_chance(rng, op, "sql")) {
        request.sql = s_random_text(rng, texts[0], 500);
    }
    pcl_buffer_clear(params);
    if (s_chance(rng, op, "params")) {
        request.param_count = pcl_rng_below(rng, 20);
        pcl_mp_put_array(params, request.param_count);
        for (uint32_t index = 0; index < request.param_count; index++) {
            pcl_mp_put_uint(params, pcl_rng_next(rng) >> pcl_rng_below(rng, 64));
        }
        request.params = pcl_buffer_bytes(params);
    }
    if (op == PCL_OP_TXN) {
        s_put_hex(params, "92 81 " SQL_PAIR "82 " SQL_PAIR EXPECT_KEY "81 " ROWS_KEY "05");
        request.statements = pcl_buffer_bytes(params);
        request.statement_count = 2;
    }
    if (s_chance(rng, op, "db")) {
        request.db = s_random_text(rng, texts[1], PCL_DB_NAME_SIZE_MAX - 4);
    }
    if (s_chance(rng, op, "strategy")) {
        request.strategy = (pcl_strategy_kind)pcl_rng_below(rng, PCL_STRATEGY_COUNT);
    }
    s_choose_consistency(rng, &request, texts[2]);
    if (s_chance(rng, op, "timeout_ms")) {
        request.timeout_ms = 1 + pcl_rng_below(rng, PCL_TIMEOUT_MS_MAX);
    }
    request.once = request.has_id && s_chance(rng, op, "once");
    if (s_chance(rng, op, "session")) {
        request.has_session = true;
        request.once = false; /* these do not go with it */
        request.strategy = PCL_STRATEGY_DEFAULT;
        request.consistency = PCL_CONSISTENCY_ANY;
        memset(request.tokens, 0, sizeof request.tokens);
        request.token_count = request.max_lag_ms = 0;
        request.monotonic = false;
        s_fill_id(rng, request.session);
    }
    if (s_chance(rng, op, "page_rows")) {
        request.page_rows = 1 + pcl_rng_below(rng, PCL_PAGE_ROWS_MAX);
        request.page_bytes = 1 + pcl_rng_below(rng, PCL_PAGE_BYTES_MAX);
    }
    if (s_chance(rng, op, "cursor")) {
        request.has_cursor = true;
        s_fill_id(rng, request.cursor);
    }
    s_choose_switches(rng, &request);
    if (s_chance(rng, op, "trace")) {
        request.trace = pcl_bytes_text(TRACE_TEXT);
    }
    if (op == PCL_OP_ADMIN) {
        request.command = pcl_bytes_text("switchover node-2");
    }
    return request;
}

static void test_what_is_encoded_decodes_to_the_same(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("request");
    static uint8_t texts[4][600];
    pcl_buffer params;
    pcl_buffer buffer;
    pcl_buffer_init(&params, 4096);
    pcl_buffer_init(&buffer, 8192);
    for (uint32_t round = 0; round < 20000; round++) {
        pcl_request request = s_random_request(&rng, texts, &params);
        pcl_buffer_clear(&buffer);
        pcl_request_encode(&request, &buffer);
        assert_false(buffer.failed);
        outcome *result = s_decode(pcl_buffer_bytes(&buffer));
        assert_int_equal(result->err, PCL_ERR_OK);
        assert_true(s_same(&result->request, &request));
        assert_true(result->has_id == request.has_id);
        /* And damaged, it is decoded or refused, never believed beyond its end. */
        buffer.data[pcl_rng_below(&rng, (uint32_t)buffer.size)] ^= (uint8_t)(1 + pcl_rng_below(
                                                                                     &rng, 255));
        (void)s_decode(pcl_buffer_bytes(&buffer));
    }
    pcl_buffer_release(&params);
    pcl_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_smallest_query),
        cmocka_unit_test(test_keys_go_with_ops),
        cmocka_unit_test(test_needed_keys_are_missed),
        cmocka_unit_test(test_wrong_types_are_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_what_is_not_one_map_is_refused),
        cmocka_unit_test(test_faults_of_octets_come_first_wherever_they_are),
        cmocka_unit_test(test_op_may_come_last),
        cmocka_unit_test(test_unknown_keys_are_refused),
        cmocka_unit_test(test_the_version_comes_first),
        cmocka_unit_test(test_unknown_words_are_answered_with_the_known),
        cmocka_unit_test(test_numbers_are_in_range),
        cmocka_unit_test(test_texts_are_bounded),
        cmocka_unit_test(test_texts_hold_no_nul_and_a_command_is_printable),
        cmocka_unit_test(test_params_of_every_type),
        cmocka_unit_test(test_decimals_and_times_are_text_of_a_form),
        cmocka_unit_test(test_a_trace_is_a_traceparent),
        cmocka_unit_test(test_params_are_bounded),
        cmocka_unit_test(test_the_longest_txn_is_read),
        cmocka_unit_test(test_values_are_bounded),
        cmocka_unit_test(test_consistency_has_four_forms),
        cmocka_unit_test(test_consistency_may_be_a_map_of_two),
        cmocka_unit_test(test_statements_of_a_transaction),
        cmocka_unit_test(test_bad_statements_are_refused_by_number),
        cmocka_unit_test(test_statements_are_bounded),
        cmocka_unit_test(test_once_needs_an_id),
        cmocka_unit_test(test_what_does_not_go_with_a_session),
        cmocka_unit_test(test_the_id_is_read_also_on_failure),
        cmocka_unit_test(test_what_is_encoded_decodes_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
