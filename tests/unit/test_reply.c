#include "tests/lib/octets.h"
#include "tests/lib/seed.h"
#include "wire/mp.h"
#include "wire/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t s_id[PCL_ID_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static int s_setup(void **state)
{
    static pcl_buffer buffer;
    pcl_buffer_init(&buffer, 1u << 20);
    *state = &buffer;
    return 0;
}

static int s_teardown(void **state)
{
    pcl_buffer_release(*state);
    return 0;
}

/* Decodes and sees that a failure leaves *out_reply alone. */
static pcl_err s_decode(pcl_reply *out_reply, pcl_bytes source)
{
    memset(out_reply, 0xa5, sizeof *out_reply);
    uint8_t untouched[sizeof *out_reply];
    memcpy(untouched, out_reply, sizeof untouched);
    pcl_err err = pcl_reply_decode(out_reply, source);
    assert_true(err == PCL_ERR_OK || memcmp(out_reply, untouched, sizeof untouched) == 0);
    return err;
}

static void s_put_hex(pcl_buffer *buffer, const char *hex)
{
    uint8_t octets[512];
    pcl_mp_put_raw(buffer, pcl_octets_of(hex, octets, sizeof octets));
}

/* An ok reply with one pair more, its value as hex. */
static pcl_err s_decode_with(pcl_buffer *buffer, const char *key, const char *hex)
{
    pcl_reply reply;
    pcl_buffer_clear(buffer);
    pcl_reply_open(buffer, s_id, true, 1);
    pcl_mp_put_text(buffer, key);
    s_put_hex(buffer, hex);
    return s_decode(&reply, pcl_buffer_bytes(buffer));
}

#define COLUMNS_HEX                                                                                \
    "92 93 a2 69 64 a6 42 49 47 49 4e 54 03 93 a4 6e 61 6d 65 a7 56 41 52 43 48 41 52 00"
#define ROWS_HEX "92 92 01 a5 61 6c 69 63 65 92 02 c0"

static pcl_err s_decode_result(pcl_buffer *buffer, const char *columns, const char *rows,
                               pcl_reply *out_reply)
{
    pcl_buffer_clear(buffer);
    pcl_reply_open(buffer, s_id, true, 2);
    pcl_mp_put_text(buffer, "columns");
    s_put_hex(buffer, columns);
    pcl_mp_put_text(buffer, "rows");
    s_put_hex(buffer, rows);
    return s_decode(out_reply, pcl_buffer_bytes(buffer));
}

static void test_a_result(void **state)
{
    pcl_reply reply;
    assert_int_equal(s_decode_result(*state, COLUMNS_HEX, ROWS_HEX, &reply), PCL_ERR_OK);
    assert_true(reply.has_id && reply.ok && reply.has_columns && !reply.has_affected);
    assert_memory_equal(reply.id, s_id, PCL_ID_SIZE);
    assert_int_equal(reply.column_count, 2);
    assert_int_equal(reply.row_count, 2);
    pcl_mp_reader reader = pcl_mp_reader_of(reply.rows);
    pcl_mp_value value;
    assert_true(pcl_mp_next(&reader, &value) && value.count == 2);
    assert_true(pcl_mp_next(&reader, &value) && value.count == 2);
    assert_true(pcl_mp_next(&reader, &value) && value.uint == 1);
    assert_true(pcl_mp_next(&reader, &value) && pcl_bytes_is(value.bytes, "alice"));
}

static void test_rows_fit_their_columns(void **state)
{
    static const struct {
        const char *columns;
        const char *rows;
        pcl_err err;
    } results[] = {
        {COLUMNS_HEX, "90", PCL_ERR_OK},
        {"90", "90", PCL_ERR_OK},
        {COLUMNS_HEX, "dd 00 00 00 01 92 01 c4 01 ff", PCL_ERR_OK},
        {COLUMNS_HEX, "91 91 01", PCL_ERR_MALFORMED},       /* a cell too few */
        {COLUMNS_HEX, "91 93 01 02 03", PCL_ERR_MALFORMED}, /* one too many */
        {COLUMNS_HEX, "91 01", PCL_ERR_MALFORMED},          /* no row */
        {COLUMNS_HEX, "80", PCL_ERR_MALFORMED},             /* no rows */
        {COLUMNS_HEX, "91 92 01 90", PCL_ERR_MALFORMED},    /* a container in a cell */
        {COLUMNS_HEX, "91 92 80 01", PCL_ERR_MALFORMED},
        {"80", "90", PCL_ERR_MALFORMED},
        {"91 01", "90", PCL_ERR_MALFORMED},
        {"91 92 a1 61 a1 62", "90", PCL_ERR_MALFORMED},       /* no flags */
        {"91 93 a1 61 a1 62 ff", "90", PCL_ERR_MALFORMED},    /* flags below 0 */
        {"91 93 01 a1 62 00", "90", PCL_ERR_MALFORMED},       /* a name that is none */
        {"91 93 a1 61 c0 00", "90", PCL_ERR_MALFORMED},       /* a type that is none */
        {"91 94 a1 61 a1 62 00 00", "90", PCL_ERR_MALFORMED}, /* too much */
    };
    for (size_t index = 0; index < sizeof results / sizeof results[0]; index++) {
        pcl_reply reply;
        assert_int_equal(
            s_decode_result(*state, results[index].columns, results[index].rows, &reply),
            results[index].err);
    }
    assert_int_equal(s_decode_with(*state, "columns", COLUMNS_HEX), PCL_ERR_MALFORMED);
    assert_int_equal(s_decode_with(*state, "rows", "90"), PCL_ERR_MALFORMED);
}

static void test_a_write_with_everything(void **state)
{
    pcl_buffer *buffer = *state;
    pcl_reply_open(buffer, NULL, true, 8);
    pcl_mp_put_text(buffer, "affected");
    pcl_mp_put_uint(buffer, UINT64_MAX);
    pcl_mp_put_text(buffer, "insert_id");
    pcl_mp_put_uint(buffer, 42);
    pcl_mp_put_text(buffer, "warnings");
    pcl_mp_put_uint(buffer, 3);
    pcl_mp_put_text(buffer, "token");
    pcl_mp_put_text(buffer, "0-1-42");
    pcl_mp_put_text(buffer, "cursor");
    pcl_mp_put_bin(buffer, pcl_bytes_of(s_id, PCL_ID_SIZE));
    pcl_mp_put_text(buffer, "session");
    pcl_mp_put_bin(buffer, pcl_bytes_of(s_id, PCL_ID_SIZE));
    pcl_mp_put_text(buffer, "route");
    s_put_hex(buffer, "81 a4 6e 6f 64 65 a1 61");
    pcl_mp_put_text(buffer, "something newer");
    s_put_hex(buffer, "92 01 81 a1 61 90");
    pcl_reply reply;
    assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), PCL_ERR_OK);
    assert_false(reply.has_id);
    assert_true(reply.has_affected && reply.affected == UINT64_MAX && reply.insert_id == 42);
    assert_int_equal(reply.warnings, 3);
    assert_true(pcl_bytes_is(reply.token, "0-1-42"));
    assert_true(reply.has_cursor && reply.has_session);
    assert_int_equal(reply.route.size, 8);
    assert_int_equal(reply.status.size, 0);
}

static void test_wrong_types_are_refused(void **state)
{
    static const char *const typed[] = {
        "c0",       "c3",       "05",    "fb",          "cb 3f f8 00 00 00 00 00 00",
        "a2 68 69", "c4 01 ff", "91 01", "81 a1 61 01", "d4 01 31"};
    static const struct {
        const char *key;
        uint32_t types; /* bits of pcl_mp_type that it takes */
    } keys[] = {
        {"columns", 0}, /* alone, never */
        {"rows", 0},
        {"affected", 1u << PCL_MP_UINT},
        {"insert_id", 1u << PCL_MP_UINT},
        {"warnings", 1u << PCL_MP_UINT},
        {"token", 1u << PCL_MP_STR},
        {"cursor", 0}, /* bin of 16 octets only */
        {"session", 0},
        {"route", 1u << PCL_MP_MAP},
        {"status", 1u << PCL_MP_MAP},
        {"error", 0}, /* not with ok */
        {"something newer", UINT32_MAX},
    };
    for (size_t index = 0; index < sizeof keys / sizeof keys[0]; index++) {
        for (uint32_t type = 0; type < sizeof typed / sizeof typed[0]; type++) {
            bool good = (keys[index].types & (1u << type)) != 0;
            assert_int_equal(s_decode_with(*state, keys[index].key, typed[type]),
                             good ? PCL_ERR_OK : PCL_ERR_MALFORMED);
        }
    }
    assert_int_equal(s_decode_with(*state, "warnings", "cf 00 00 00 01 00 00 00 00"),
                     PCL_ERR_MALFORMED);
}

static void test_the_first_three_keys_are_needed(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        pcl_err err;
    } replies[] = {
        {"83 a1 76 01 a2 69 64 c0 a2 6f 6b c3", PCL_ERR_OK},
        {"83 a2 6f 6b c3 a2 69 64 c0 a1 76 01", PCL_ERR_OK}, /* in any order */
        {"82 a2 69 64 c0 a2 6f 6b c3", PCL_ERR_MALFORMED},
        {"82 a1 76 01 a2 6f 6b c3", PCL_ERR_MALFORMED},
        {"82 a1 76 01 a2 69 64 c0", PCL_ERR_MALFORMED},
        {"83 a1 76 02 a2 69 64 c0 a2 6f 6b c3", PCL_ERR_VERSION},
        {"83 a1 76 ff a2 69 64 c0 a2 6f 6b c3", PCL_ERR_MALFORMED},
        {"83 a1 76 01 a2 69 64 c0 a2 6f 6b c2", PCL_ERR_MALFORMED}, /* no error with it */
        {"83 a1 76 01 a2 69 64 c0 a2 6f 6b 01", PCL_ERR_MALFORMED},
        {"83 a1 76 01 a2 69 64 c4 01 00 a2 6f 6b c3", PCL_ERR_MALFORMED},
        {"84 a1 76 01 a2 69 64 c0 a2 6f 6b c3 a2 6f 6b c3", PCL_ERR_MALFORMED}, /* twice */
        {"83 a1 76 01 a2 69 64 c0 a2 6f 6b c3 00", PCL_ERR_MALFORMED},          /* trailing */
        {"c0", PCL_ERR_MALFORMED},
        {"", PCL_ERR_MALFORMED},
    };
    for (size_t index = 0; index < sizeof replies / sizeof replies[0]; index++) {
        uint8_t octets[64];
        pcl_reply reply;
        pcl_bytes source = pcl_octets_of(replies[index].hex, octets, sizeof octets);
        assert_int_equal(s_decode(&reply, source), replies[index].err);
    }
}

static void test_an_error_with_everything(void **state)
{
    pcl_buffer *buffer = *state;
    pcl_reply_error error = {
        .err = PCL_ERR_SQL,
        .retry = PCL_RETRY_NEVER,
        .message = pcl_bytes_text("Table 'demo.x' doesn't exist"),
        .mysql_errno = 1146,
        .sqlstate = "42S02",
        .hop = "agent",
        .retry_after_ms = 20,
        .has_statement = true,
        .statement = 3,
    };
    pcl_reply_error_encode(buffer, s_id, &error);
    pcl_reply reply;
    assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), PCL_ERR_OK);
    assert_true(reply.has_id && !reply.ok);
    assert_true(pcl_bytes_is(reply.error_code, "SQL"));
    assert_true(pcl_bytes_is(reply.error_message, "Table 'demo.x' doesn't exist"));
    assert_true(pcl_bytes_is(reply.error_hop, "agent"));
    assert_true(pcl_bytes_is(reply.error_sqlstate, "42S02"));
    assert_int_equal(reply.error_errno, 1146);
    assert_int_equal(reply.error_retry, PCL_RETRY_NEVER);
    assert_int_equal(reply.retry_after_ms, 20);
    assert_true(reply.has_error_statement);
    assert_int_equal(reply.error_statement, 3);
    for (size_t size = 0; size < buffer->size; size++) {
        pcl_bytes part = pcl_bytes_of(buffer->data, size);
        assert_int_equal(s_decode(&reply, part), PCL_ERR_MALFORMED);
    }
}

/* Two statements, a write and a query with its columns' metadata. */
static void s_put_txn(pcl_buffer *buffer, uint32_t metadata_count)
{
    pcl_reply_open(buffer, s_id, true, 1);
    pcl_mp_put_text(buffer, "results");
    pcl_mp_put_array(buffer, 2);
    pcl_mp_put_map(buffer, 2);
    pcl_mp_put_text(buffer, "affected");
    pcl_mp_put_uint(buffer, 5);
    pcl_mp_put_text(buffer, "warnings");
    pcl_mp_put_uint(buffer, 1);
    pcl_mp_put_map(buffer, 3);
    pcl_mp_put_text(buffer, "columns");
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_text(buffer, "n");
    pcl_mp_put_text(buffer, "INT");
    pcl_mp_put_uint(buffer, 0);
    pcl_mp_put_text(buffer, "rows");
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_uint(buffer, 42);
    pcl_mp_put_text(buffer, "metadata");
    pcl_mp_put_array(buffer, metadata_count);
    for (uint32_t index = 0; index < metadata_count; index++) {
        pcl_mp_put_array(buffer, 7);
        pcl_mp_put_text(buffer, "demo");
        pcl_mp_put_text(buffer, "t");
        pcl_mp_put_text(buffer, "table");
        pcl_mp_put_text(buffer, "number");
        pcl_mp_put_uint(buffer, 63);
        pcl_mp_put_uint(buffer, 11);
        pcl_mp_put_uint(buffer, 0);
    }
}

static void test_the_results_of_a_txn(void **state)
{
    pcl_buffer *buffer = *state;
    s_put_txn(buffer, 1);
    pcl_reply reply;
    assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), PCL_ERR_OK);
    assert_true(reply.has_results);
    assert_int_equal(reply.result_count, 2);
    pcl_reply result;
    pcl_reply_result(&reply, 0, &result);
    assert_true(result.has_affected && !result.has_columns);
    assert_int_equal(result.affected, 5);
    assert_int_equal(result.warnings, 1);
    pcl_reply_result(&reply, 1, &result);
    assert_true(!result.has_affected && result.has_columns);
    assert_int_equal(result.row_count, 1);
    pcl_reply_metadata metadata;
    pcl_reply_column_metadata(&result, 0, &metadata);
    assert_true(pcl_bytes_is(metadata.schema, "demo"));
    assert_true(pcl_bytes_is(metadata.org_table, "table"));
    assert_true(pcl_bytes_is(metadata.org_name, "number"));
    assert_int_equal(metadata.charset, 63);
    assert_int_equal(metadata.length, 11);
    for (size_t size = 0; size < buffer->size; size++) {
        pcl_bytes part = pcl_bytes_of(buffer->data, size);
        assert_int_equal(s_decode(&reply, part), PCL_ERR_MALFORMED);
    }
}

static void test_metadata_is_of_every_column(void **state)
{
    pcl_buffer *buffer = *state;
    pcl_reply reply;
    for (uint32_t count = 0; count < 3; count++) {
        pcl_buffer_clear(buffer);
        s_put_txn(buffer, count);
        assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)),
                         count == 1 ? PCL_ERR_OK : PCL_ERR_MALFORMED);
    }
}

static void test_an_error_of_every_code(void **state)
{
    pcl_buffer *buffer = *state;
    for (int err = PCL_ERR_MALFORMED; err < PCL_ERR_COUNT; err++) {
        pcl_reply_error error = {.err = (pcl_err)err, .retry = pcl_err_retry(err), .hop = "proxy"};
        pcl_buffer_clear(buffer);
        pcl_reply_error_encode(buffer, NULL, &error);
        pcl_reply reply;
        assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), PCL_ERR_OK);
        assert_true(pcl_bytes_is(reply.error_code, pcl_err_code(err)));
        assert_true(pcl_bytes_is(reply.error_message, pcl_err_text(err)));
        assert_int_equal(reply.error_retry, pcl_err_retry(err));
    }
}

/* The message that a client reads when this was given. */
static pcl_bytes s_message_read(pcl_buffer *buffer, pcl_bytes message)
{
    pcl_reply_error error = {.err = PCL_ERR_SQL, .hop = "agent", .message = message};
    pcl_buffer_clear(buffer);
    pcl_reply_error_encode(buffer, s_id, &error);
    pcl_reply reply;
    assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), PCL_ERR_OK);
    return reply.error_message;
}

static void test_a_message_is_made_fit(void **state)
{
    assert_true(pcl_bytes_is(s_message_read(*state, pcl_bytes_text("caf\xc3\xa9")), "café"));
    assert_true(
        pcl_bytes_is(s_message_read(*state, pcl_bytes_text("caf\xe9 \xed\xa0\x80")), "caf? ???"));
    static uint8_t text[2 * PCL_MESSAGE_SIZE_MAX];
    for (size_t index = 0; index + 1 < sizeof text; index += 2) {
        memcpy(text + index, "\xc3\xa9", 2);
    }
    pcl_bytes whole = pcl_bytes_of(text, PCL_MESSAGE_SIZE_MAX);
    assert_int_equal(s_message_read(*state, whole).size, PCL_MESSAGE_SIZE_MAX);
    pcl_bytes over = pcl_bytes_of(text, sizeof text);
    assert_int_equal(s_message_read(*state, over).size, PCL_MESSAGE_SIZE_MAX);
    text[0] = 'x'; /* the cut would fall inside a character: it falls before it */
    text[1] = 'x';
    memmove(text + 1, text + 2, sizeof text - 2);
    assert_int_equal(s_message_read(*state, over).size, PCL_MESSAGE_SIZE_MAX - 1);
}

static void test_bad_errors_are_refused(void **state)
{
    static const struct {
        const char *error;
        pcl_err err;
    } errors[] = {
        /* code, message, hop, retry */
        {"84 a4 63 6f 64 65 a1 58 a7 6d 65 73 73 61 67 65 a1 78 a3 68 6f 70 a1 79"
         "a5 72 65 74 72 79 a4 73 61 66 65",
         PCL_ERR_OK},
        {"85 a4 63 6f 64 65 a1 58 a7 6d 65 73 73 61 67 65 a1 78 a3 68 6f 70 a1 79"
         "a5 72 65 74 72 79 a4 73 61 66 65 a1 7a 90",
         PCL_ERR_OK}, /* something newer */
        {"83 a4 63 6f 64 65 a1 58 a7 6d 65 73 73 61 67 65 a1 78 a3 68 6f 70 a1 79",
         PCL_ERR_MALFORMED},
        {"84 a4 63 6f 64 65 a1 58 a7 6d 65 73 73 61 67 65 a1 78 a3 68 6f 70 a1 79"
         "a5 72 65 74 72 79 a5 6d 61 79 62 65",
         PCL_ERR_MALFORMED}, /* an unknown retry */
        {"84 a4 63 6f 64 65 01 a7 6d 65 73 73 61 67 65 a1 78 a3 68 6f 70 a1 79"
         "a5 72 65 74 72 79 a4 73 61 66 65",
         PCL_ERR_MALFORMED}, /* a code that is no text */
        {"80", PCL_ERR_MALFORMED},
        {"c0", PCL_ERR_MALFORMED},
    };
    for (size_t index = 0; index < sizeof errors / sizeof errors[0]; index++) {
        pcl_buffer *buffer = *state;
        pcl_reply reply;
        pcl_buffer_clear(buffer);
        pcl_reply_open(buffer, s_id, false, 1);
        pcl_mp_put_text(buffer, "error");
        s_put_hex(buffer, errors[index].error);
        assert_int_equal(s_decode(&reply, pcl_buffer_bytes(buffer)), errors[index].err);
    }
}

static void test_sizes_are_bounded(void **state)
{
    static const uint8_t none[1];
    pcl_reply reply;
    assert_int_equal(s_decode(&reply, pcl_bytes_of(none, PCL_REPLY_SIZE_MAX + 1)),
                     PCL_ERR_TOO_LARGE); /* refused before an octet is read */
    uint8_t text[PCL_TOKEN_SIZE_MAX + 1];
    memset(text, 'x', sizeof text);
    for (size_t size = PCL_TOKEN_SIZE_MAX; size <= sizeof text; size++) {
        pcl_buffer_clear(*state);
        pcl_reply_open(*state, s_id, true, 1);
        pcl_mp_put_text(*state, "token");
        pcl_mp_put_str(*state, pcl_bytes_of(text, size));
        assert_int_equal(s_decode(&reply, pcl_buffer_bytes(*state)),
                         size <= PCL_TOKEN_SIZE_MAX ? PCL_ERR_OK : PCL_ERR_TOO_LARGE);
    }
}

/* A reply of these pairs, each as hex. */
static pcl_err s_decode_pairs(pcl_buffer *buffer, const char *const pairs[], uint32_t count,
                              pcl_reply *out_reply)
{
    pcl_buffer_clear(buffer);
    pcl_mp_put_map(buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        s_put_hex(buffer, pairs[index]);
    }
    return s_decode(out_reply, pcl_buffer_bytes(buffer));
}

#define V_HEX    "a1 76 01 "
#define ID_HEX   "a2 69 64 c4 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f "
#define OK_HEX   "a2 6f 6b c3 "
#define KEY_COLS "a7 63 6f 6c 75 6d 6e 73 "
#define KEY_ROWS "a4 72 6f 77 73 "

/* Nor does a key that is new, which is passed over. */
static void test_the_order_of_the_keys_does_not_matter(void **state)
{
    const char *pairs[] = {
        V_HEX, ID_HEX, OK_HEX, KEY_COLS COLUMNS_HEX, KEY_ROWS ROWS_HEX, "a3 6e 65 77 81 a1 61 90"};
    const uint32_t count = sizeof pairs / sizeof pairs[0];
    for (uint32_t turn = 0; turn < count; turn++) {
        pcl_reply reply;
        assert_int_equal(s_decode_pairs(*state, pairs, count, &reply), PCL_ERR_OK);
        assert_true(reply.ok && reply.has_id && reply.has_columns);
        assert_int_equal(reply.row_count, 2);
        assert_int_equal(reply.rows.data[0], 0x92);
        for (uint32_t index = 0; index + 1 < count; index++) { /* the first one to the end */
            const char *first = pairs[index];
            pairs[index] = pairs[index + 1];
            pairs[index + 1] = first;
        }
    }
}

/* Wherever it is, and whoever reads it. */
static void test_what_is_not_well_formed_is_refused(void **state)
{
    static const char *const values[] = {
        KEY_COLS "91 93 a1 ff a1 62 00",                      /* no UTF-8 in a name, */
        KEY_COLS "91 93 a1 61 d9 01 ff 00",                   /* in a type, */
        "a5 74 6f 6b 65 6e a1 ff",                            /* in a text, */
        "a5 72 6f 75 74 65 81 a1 61 a1 ff",                   /* inside of a map */
        "a5 72 6f 75 74 65 82 a1 61 01 a1 61 01",             /* a key twice in one, */
        "a2 6f 6b c3",                                        /* in the reply itself */
        "a5 72 6f 75 74 65 81 01 01",                         /* a key that is no text */
        "a5 72 6f 75 74 65 81 a1 61 91 91 91 91 91 91 91 90", /* nested too deeply */
        "a5 72 6f 75 74 65 81 a1 61",                         /* cut off */
        "a5 72 6f 75 74 65 80 c0",                            /* octets that follow */
    };
    for (size_t index = 0; index < sizeof values / sizeof values[0]; index++) {
        pcl_reply reply;
        bool columns = strncmp(values[index], KEY_COLS, strlen(KEY_COLS)) == 0;
        const char *pairs[] = {V_HEX, ID_HEX, OK_HEX, values[index], KEY_ROWS "90"};
        assert_int_equal(s_decode_pairs(*state, pairs, columns ? 5 : 4, &reply), PCL_ERR_MALFORMED);
    }
    pcl_reply reply;
    assert_int_equal(s_decode_result(*state, COLUMNS_HEX, "91 92 01 a1 ff", &reply),
                     PCL_ERR_MALFORMED);
}

/* A reply whose route is a map in a map and so on, each with so many keys. */
static pcl_err s_decode_nested(pcl_buffer *buffer, const uint32_t counts[], uint32_t depth)
{
    static const char *const opening[] = {V_HEX, ID_HEX, OK_HEX};
    pcl_reply reply;
    pcl_buffer_clear(buffer);
    pcl_mp_put_map(buffer, 4);
    for (size_t index = 0; index < 3; index++) {
        s_put_hex(buffer, opening[index]);
    }
    pcl_mp_put_text(buffer, "route");
    for (uint32_t level = 0; level < depth; level++) {
        pcl_mp_put_map(buffer, counts[level]);
        for (uint32_t index = 0; index < counts[level]; index++) {
            char key[16];
            (void)snprintf(key, sizeof key, "%" PRIu32, index);
            pcl_mp_put_text(buffer, key);
            if (index + 1 < counts[level]) {
                pcl_mp_put_nil(buffer);
            }
        }
    }
    pcl_mp_put_nil(buffer);
    return s_decode(&reply, pcl_buffer_bytes(buffer));
}

/* Those of the reply count with those of the maps in it. */
static void test_keys_that_are_open_together_are_bounded(void **state)
{
    enum { OWN = 4, LAST = PCL_MP_KEYS_OPEN_MAX - 3 * PCL_MP_KEYS_MAX - OWN };
    uint32_t counts[] = {PCL_MP_KEYS_MAX, PCL_MP_KEYS_MAX, PCL_MP_KEYS_MAX, LAST};
    assert_int_equal(s_decode_nested(*state, counts, 4), PCL_ERR_OK);
    counts[3]++;
    assert_int_equal(s_decode_nested(*state, counts, 4), PCL_ERR_MALFORMED);
    counts[0]++;
    assert_int_equal(s_decode_nested(*state, counts, 1), PCL_ERR_MALFORMED);
}

/* Any octets at all are a safe input, and what is taken of them is well-formed. */
static void test_damaged_replies_are_safe(void **state)
{
    pcl_buffer *buffer = *state;
    pcl_rng rng = pcl_test_rng("reply");
    uint32_t accepted = 0;
    for (uint32_t round = 0; round < 50000; round++) {
        pcl_reply reply;
        assert_int_equal(s_decode_result(buffer, COLUMNS_HEX, ROWS_HEX, &reply), PCL_ERR_OK);
        for (uint32_t flip = 0; flip < 2; flip++) {
            buffer->data[pcl_rng_below(&rng, (uint32_t)buffer->size)] = (uint8_t)pcl_rng_next(&rng);
        }
        if (s_decode(&reply, pcl_buffer_bytes(buffer)) == PCL_ERR_OK) {
            accepted++;
            assert_true(reply.rows.size <= buffer->size);
            assert_int_equal(pcl_mp_check(pcl_buffer_bytes(buffer), PCL_MSGPACK_DEPTH_MAX,
                                          PCL_MP_KEYS_MAX, NULL),
                             PCL_ERR_OK);
        }
    }
    assert_true(accepted > 1000);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, s_setup, s_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_a_result),
        CASE(test_rows_fit_their_columns),
        CASE(test_a_write_with_everything),
        CASE(test_wrong_types_are_refused),
        CASE(test_the_first_three_keys_are_needed),
        CASE(test_an_error_with_everything),
        CASE(test_the_results_of_a_txn),
        CASE(test_metadata_is_of_every_column),
        CASE(test_an_error_of_every_code),
        CASE(test_a_message_is_made_fit),
        CASE(test_bad_errors_are_refused),
        CASE(test_sizes_are_bounded),
        CASE(test_the_order_of_the_keys_does_not_matter),
        CASE(test_what_is_not_well_formed_is_refused),
        CASE(test_keys_that_are_open_together_are_bounded),
        CASE(test_damaged_replies_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
