/* Holds docs/rfc to the code: every block of octets there is what we encode,
 * and decodes; the table of request keys is what the decoder does. */
#include "net/seal.h"
#include "tests/lib/octets.h"
#include "wire/head.h"
#include "wire/hop_frame.h"
#include "wire/mp.h"
#include "wire/packed.h"
#include "wire/reply.h"
#include "wire/report.h"
#include "wire/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLIENT_RFC PCL_SOURCE_DIR "/docs/rfc/1-client-protocol.md"
#define HOP_RFC    PCL_SOURCE_DIR "/docs/rfc/2-hop-protocol.md"

#define TOKEN_42 "1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42"
#define TOKEN_43 "1.8svoiZhR2MAKtWazqThAFg.0-1-43"

static const uint8_t s_id[PCL_ID_SIZE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The whole document, NUL terminated; freed by the caller. */
static char *s_read_document(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size_max = 256u * 1024u;
    char *text = calloc(1, size_max);
    assert_non_null(text);
    size_t size = fread(text, 1, size_max - 1, file);
    fclose(file);
    assert_in_range(size, 1000, size_max - 2);
    return text;
}

/* The octets of the block that begins after its ```octets line; comments go
 * from a semicolon to the end of the line. */
static pcl_bytes s_block_octets(const char *block, uint8_t *target, size_t target_size)
{
    static char hex[16384];
    size_t size = 0;
    bool comment = false;
    for (; strncmp(block, "```", 3) != 0; block++) {
        assert_true(*block != '\0');
        assert_true(size < sizeof hex - 1);
        comment = *block == ';' || (comment && *block != '\n');
        if (!comment) {
            hex[size++] = *block;
        }
    }
    hex[size] = '\0';
    return pcl_octets_of(hex, target, target_size);
}

/* The next block after *cursor, its name and its octets; false after the last. */
static bool s_next_block(const char **cursor, char name[64], uint8_t *target, size_t target_size,
                         pcl_bytes *out_octets)
{
    const char *mark = strstr(*cursor, "```octets ");
    if (mark == NULL) {
        return false;
    }
    mark += strlen("```octets ");
    size_t size = strcspn(mark, "\n");
    assert_in_range(size, 1, 63);
    memcpy(name, mark, size);
    name[size] = '\0';
    *cursor = mark + size + 1;
    *out_octets = s_block_octets(*cursor, target, target_size);
    return true;
}

static void s_put_params(pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_uint(buffer, 42);
    pcl_mp_put_ext(buffer, PCL_EXT_DECIMAL, pcl_bytes_text("19.90"));
    pcl_mp_put_ext(buffer, PCL_EXT_TEMPORAL, pcl_bytes_text("2026-11-22 10:00:00"));
}

static void s_put_statements(pcl_buffer *buffer)
{
    pcl_mp_put_array(buffer, 2);
    pcl_mp_put_map(buffer, 3);
    pcl_mp_put_text(buffer, "sql");
    pcl_mp_put_text(buffer, "UPDATE t SET n = n - ? WHERE id = 1");
    pcl_mp_put_text(buffer, "params");
    pcl_mp_put_array(buffer, 1);
    pcl_mp_put_uint(buffer, 5);
    pcl_mp_put_text(buffer, "expect");
    pcl_mp_put_map(buffer, 1);
    pcl_mp_put_text(buffer, "rows");
    pcl_mp_put_uint(buffer, 1);
    pcl_mp_put_map(buffer, 1);
    pcl_mp_put_text(buffer, "sql");
    pcl_mp_put_text(buffer, "SELECT n FROM t");
}

/* false when the RFC should have no request of this name. */
static bool s_encode_request(const char *name, pcl_buffer *buffer)
{
    pcl_buffer inner;
    pcl_buffer_init(&inner, 4096);
    pcl_request request = {0};
    memcpy(request.id, s_id, PCL_ID_SIZE);
    request.has_id = strcmp(name, "request-smallest") != 0 && strcmp(name, "request-after") != 0;
    bool known = true;
    if (strcmp(name, "request-smallest") == 0) {
        request.sql = pcl_bytes_text("SELECT 1");
    } else if (strcmp(name, "request-query") == 0) {
        request.sql = pcl_bytes_text("SELECT name FROM t WHERE a = ? AND b < ? AND c > ?");
        s_put_params(&inner);
        request.params = pcl_buffer_bytes(&inner);
        request.param_count = 3;
        request.db = pcl_bytes_text("demo");
        request.strategy = PCL_STRATEGY_CUSTOM;
        request.consistency = PCL_CONSISTENCY_MAX_LAG;
        request.max_lag_ms = 500;
        request.timeout_ms = 2000;
        request.explain_route = true;
    } else if (strcmp(name, "request-after") == 0) {
        request.sql = pcl_bytes_text("SELECT 1");
        request.consistency = PCL_CONSISTENCY_AFTER;
        request.tokens[0] = pcl_bytes_text(TOKEN_42);
        request.tokens[1] = pcl_bytes_text(TOKEN_43);
        request.token_count = 2;
        request.monotonic = true;
    } else if (strcmp(name, "request-txn") == 0) {
        request.op = PCL_OP_TXN;
        s_put_statements(&inner);
        request.statements = pcl_buffer_bytes(&inner);
        request.statement_count = 2;
        request.once = true;
    } else if (strcmp(name, "request-ping") == 0) {
        request.op = PCL_OP_PING;
    } else {
        known = false;
    }
    pcl_request_encode(&request, buffer);
    pcl_buffer_release(&inner);
    return known;
}

static void s_put_column(pcl_buffer *buffer, const char *name, const char *type, uint64_t flags)
{
    pcl_mp_put_array(buffer, 3);
    pcl_mp_put_text(buffer, name);
    pcl_mp_put_text(buffer, type);
    pcl_mp_put_uint(buffer, flags);
}

static void s_encode_rows(pcl_buffer *buffer)
{
    pcl_reply_open(buffer, s_id, true, 3);
    pcl_mp_put_text(buffer, "columns");
    pcl_mp_put_array(buffer, 2);
    s_put_column(buffer, "id", "BIGINT", 3);
    s_put_column(buffer, "name", "VARCHAR", 0);
    pcl_mp_put_text(buffer, "rows");
    pcl_mp_put_array(buffer, 2);
    pcl_mp_put_array(buffer, 2);
    pcl_mp_put_uint(buffer, 1);
    pcl_mp_put_text(buffer, "alice");
    pcl_mp_put_array(buffer, 2);
    pcl_mp_put_uint(buffer, 2);
    pcl_mp_put_nil(buffer);
    pcl_mp_put_text(buffer, "route");
    pcl_mp_put_map(buffer, 5);
    pcl_mp_put_text(buffer, "node");
    pcl_mp_put_text(buffer, "node-2");
    pcl_mp_put_text(buffer, "role");
    pcl_mp_put_text(buffer, "replica");
    pcl_mp_put_text(buffer, "strategy");
    pcl_mp_put_text(buffer, "custom");
    pcl_mp_put_text(buffer, "attempts");
    pcl_mp_put_uint(buffer, 1);
    pcl_mp_put_text(buffer, "hedged");
    pcl_mp_put_bool(buffer, false);
}

static bool s_encode_reply(const char *name, pcl_buffer *buffer)
{
    if (strcmp(name, "reply-rows") == 0) {
        s_encode_rows(buffer);
    } else if (strcmp(name, "reply-write") == 0) {
        pcl_reply_open(buffer, s_id, true, 4);
        pcl_mp_put_text(buffer, "affected");
        pcl_mp_put_uint(buffer, 1);
        pcl_mp_put_text(buffer, "insert_id");
        pcl_mp_put_uint(buffer, 7);
        pcl_mp_put_text(buffer, "warnings");
        pcl_mp_put_uint(buffer, 0);
        pcl_mp_put_text(buffer, "token");
        pcl_mp_put_text(buffer, TOKEN_42);
    } else if (strcmp(name, "reply-error") == 0) {
        pcl_reply_error error = {.err = PCL_ERR_MALFORMED,
                                 .retry = PCL_RETRY_NEVER,
                                 .message = pcl_bytes_text("v: is required"),
                                 .hop = "gatekeeper"};
        pcl_reply_error_encode(buffer, NULL, &error);
    } else if (strcmp(name, "reply-sql-error") == 0) {
        pcl_reply_error error = {.err = PCL_ERR_SQL,
                                 .retry = PCL_RETRY_NEVER,
                                 .message = pcl_bytes_text("Table 'demo.x' doesn't exist"),
                                 .mysql_errno = 1146,
                                 .sqlstate = "42S02",
                                 .hop = "agent"};
        pcl_reply_error_encode(buffer, s_id, &error);
    } else {
        return false;
    }
    return true;
}

static bool s_encode_head(const char *name, pcl_buffer *buffer)
{
    pcl_head head = {.sent_us = UINT64_C(81985529216486895)};
    bool request = strcmp(name, "head-request") == 0 || strcmp(name, "head-after") == 0;
    if (request || strcmp(name, "head-reply") == 0) {
        head.kind = PCL_KIND_REQUEST;
        head.ticket = UINT64_C(0x1234567800000001);
        head.sql_class = 1;
        head.strategy = PCL_STRATEGY_CUSTOM;
        head.gatekeeper_us = 250;
        head.broker_us = 180;
        head.proxy_us = 90;
        memcpy(head.id, s_id, PCL_ID_SIZE);
    }
    if (request) {
        bool after = strcmp(name, "head-after") == 0;
        head.consistency = after ? PCL_CONSISTENCY_AFTER : PCL_CONSISTENCY_MAX_LAG;
        head.after = after ? pcl_bytes_text("0-1-42") : pcl_bytes_of(NULL, 0);
        head.flags = after ? 0 : PCL_HEAD_EXPLAIN;
        head.budget_us = 1990000;
        head.max_lag_ms = after ? 10 : 500;
        head.rows = 10000;
        head.principal = pcl_bytes_text("alice");
        head.role = pcl_bytes_text("app");
    } else if (strcmp(name, "head-reply") == 0) {
        head.kind = PCL_KIND_REPLY;
        head.code = PCL_ERR_DEADLINE;
        head.retry = PCL_RETRY_UNSAFE;
        head.sent_us = UINT64_C(81985529216500000);
    } else if (strcmp(name, "head-beat") == 0) {
        head.kind = PCL_KIND_BEAT;
        head.principal = pcl_bytes_text("node-2");
        pcl_head_set_boot_id(&head, UINT64_C(0x0123456789abcdef));
    } else if (strcmp(name, "head-ping") == 0) {
        head.kind = PCL_KIND_PING;
        pcl_head_set_boot_id(&head, UINT64_C(0x0123456789abcdef));
    } else {
        return false;
    }
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_buffer_put(buffer, octets, pcl_head_encode(&head, octets));
    return true;
}

static bool s_encode_report(const char *name, pcl_buffer *buffer)
{
    pcl_report report = {
        .boot_id = UINT64_C(0x0123456789abcdef),
        .seq = 9,
        .role = PCL_NODE_REPLICA,
        .state = PCL_NODE_UP,
        .flavor = PCL_FLAVOR_MARIADB,
        .read_only = true,
        .replicating = true,
        .warm_percent = 100,
        .lag_ms = 12,
        .rif = 5,
        .rif_you = 4,
        .running = 4,
        .queued = 1,
        .workers = 8,
        .queue_max = 1024,
        .threads_running = 6,
        .errors = 2,
        .served = 1000000,
        .service_mean_us = 250.5F,
        .service_count = 100,
        .service_variance = 10000,
        .service_fast_us = 240,
        .service_fast_count = 10,
        .exec_us = 300,
        .queue_us = 20,
        .database_port = 3306,
        .sessions = 3,
        .cursors = 2,
        .gtid = pcl_bytes_text("0-1-42"),
        .zone = "eu-1a",
    };
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    pcl_buffer_put(buffer, octets, pcl_report_encode(&report, octets));
    return strcmp(name, "report-replica") == 0;
}

/* The keys of the seal's example. */
#define CLIENT_SECRET "0rJua1Qkhq2)}4G4gS)W5Ft->6=4P585:Cl9uDpB"
#define CLIENT_PUBLIC "2CVWV6D&QXW]Ii55A)@qco1MAyn+7#3/w+9Xnrjk"
#define BROKER_SECRET "aTecRb{<#/djM&0eInXgf!$Kwh8WxMixxk:jW87}"
#define BROKER_PUBLIC "szs#hp/J=p+C%@ouhp/lzke8P<-A2PtgxmzxZ}%D"

static bool s_is_seal(const char *name)
{
    return strstr(name, "seal") != NULL;
}

/* The seals are those of two of the other examples; the client's end makes the
 * one, the broker's the other. */
static bool s_encode_seal(const char *name, pcl_buffer *buffer)
{
    bool is_client = strcmp(name, "reply-seal") != 0;
    pcl_seal_key key;
    assert_true(pcl_seal_key_make(&key, is_client, is_client ? CLIENT_SECRET : BROKER_SECRET,
                                  CLIENT_PUBLIC, BROKER_PUBLIC));
    if (strcmp(name, "seal-key") == 0) {
        pcl_buffer_put(buffer, key.octets, sizeof key.octets);
        return true;
    }
    pcl_buffer payload;
    pcl_buffer_init(&payload, 4096);
    bool known = is_client ? strcmp(name, "request-seal") == 0 : true;
    assert_true(is_client ? s_encode_request("request-ping", &payload)
                          : s_encode_reply("reply-write", &payload));
    pcl_seal seal = {.kind = is_client ? PCL_SEAL_REQUEST : PCL_SEAL_REPLY,
                     .time_us = UINT64_C(1795341600000000) + (is_client ? 0 : 12500),
                     .channel = UINT64_C(0x0123456789abcdef),
                     .sequence = 7};
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal_write(octets, &seal, pcl_buffer_bytes(&payload), &key);
    pcl_buffer_put(buffer, octets, sizeof octets);
    pcl_buffer_release(&payload);
    return known;
}

static bool s_encode_packed(const char *name, pcl_buffer *buffer)
{
    static const uint8_t PAYLOAD[] = {0x81, 0xa1, 0x76, 0x01};
    static const uint8_t TAIL[] = {0xca, 0xfe};
    pcl_buffer head;
    pcl_buffer_init(&head, PCL_HEAD_SIZE_MAX);
    bool known = strcmp(name, "packed-request") == 0 && s_encode_head("head-request", &head);
    pcl_hop_frame parts = {.head = pcl_buffer_bytes(&head),
                           .payload = pcl_bytes_of(PAYLOAD, sizeof PAYLOAD),
                           .tail = pcl_bytes_of(TAIL, sizeof TAIL)};
    uint8_t octets[PCL_HEAD_SIZE_MAX + 64];
    if (known) {
        (void)pcl_hop_frame_write(&parts, octets);
        pcl_buffer_put(buffer, octets, pcl_hop_frame_size(&parts));
    }
    pcl_buffer_release(&head);
    return known;
}

static pcl_err s_decode_packed(pcl_bytes octets)
{
    pcl_hop_frame parts;
    pcl_head head;
    return pcl_hop_frame_next(&parts, &octets) && octets.size == 0 && parts.payload.size == 4 &&
                   parts.tail.size == 2
               ? pcl_head_decode(&head, parts.head)
               : PCL_ERR_MALFORMED;
}

static bool s_encode_many(const char *name, pcl_buffer *buffer)
{
    pcl_buffer ping;
    pcl_packed_writer writer;
    pcl_buffer_init(&ping, 4096);
    pcl_packed_writer_init(&writer);
    bool known = strcmp(name, "many-pings") == 0 && s_encode_request("request-ping", &ping);
    for (uint64_t tag = 7; known && tag <= 8; tag++) {
        assert_true(
            pcl_packed_writer_add(&writer, tag, pcl_bytes_of(NULL, 0), pcl_buffer_bytes(&ping)));
    }
    if (known) {
        pcl_bytes frame = pcl_packed_writer_frame(&writer);
        pcl_buffer_put(buffer, frame.data, frame.size);
    }
    pcl_packed_writer_release(&writer);
    pcl_buffer_release(&ping);
    return known;
}

static pcl_err s_decode_many(pcl_bytes octets)
{
    pcl_packed_reader reader;
    return pcl_packed_open(&reader, octets) ? PCL_ERR_OK : PCL_ERR_MALFORMED;
}

static bool s_encode(const char *name, pcl_buffer *buffer)
{
    return s_is_seal(name)                     ? s_encode_seal(name, buffer)
           : strncmp(name, "request-", 8) == 0 ? s_encode_request(name, buffer)
           : strncmp(name, "reply-", 6) == 0   ? s_encode_reply(name, buffer)
           : strncmp(name, "head-", 5) == 0    ? s_encode_head(name, buffer)
           : strncmp(name, "packed-", 7) == 0  ? s_encode_packed(name, buffer)
           : strncmp(name, "many-", 5) == 0    ? s_encode_many(name, buffer)
           : strncmp(name, "report-", 7) == 0  ? s_encode_report(name, buffer)
                                               : false;
}

static pcl_err s_decode(const char *name, pcl_bytes octets)
{
    pcl_request request;
    pcl_fault fault;
    pcl_reply reply;
    pcl_head head;
    pcl_report report;
    return s_is_seal(name) ? PCL_ERR_OK /* test_seal.c reads them */
           : strncmp(name, "request-", 8) == 0
               ? pcl_request_decode(&request, octets, &fault, NULL, NULL)
           : strncmp(name, "reply-", 6) == 0  ? pcl_reply_decode(&reply, octets)
           : strncmp(name, "head-", 5) == 0   ? pcl_head_decode(&head, octets)
           : strncmp(name, "packed-", 7) == 0 ? s_decode_packed(octets)
           : strncmp(name, "many-", 5) == 0   ? s_decode_many(octets)
                                              : pcl_report_decode(&report, octets);
}

/* Returns how many blocks the document has; every one must agree. */
static uint32_t s_compare_blocks(const char *path)
{
    char *document = s_read_document(path);
    const char *cursor = document;
    char name[64];
    uint8_t octets[4096];
    pcl_bytes written;
    pcl_buffer encoded;
    pcl_buffer_init(&encoded, 4096);
    uint32_t count = 0;
    while (s_next_block(&cursor, name, octets, sizeof octets, &written)) {
        print_message("%s: %zu octets\n", name, written.size);
        pcl_buffer_clear(&encoded);
        assert_true(s_encode(name, &encoded));
        assert_false(encoded.failed);
        assert_int_equal(written.size, encoded.size);
        assert_memory_equal(written.data, encoded.data, encoded.size);
        assert_int_equal(s_decode(name, written), PCL_ERR_OK);
        count++;
    }
    pcl_buffer_release(&encoded);
    free(document);
    return count;
}

static void test_octets_of_the_client_protocol(void **state)
{
    (void)state;
    assert_int_equal(s_compare_blocks(CLIENT_RFC), 13);
}

static void test_octets_of_the_hop_protocol(void **state)
{
    (void)state;
    assert_int_equal(s_compare_blocks(HOP_RFC), 7);
}

/* Cell number column of a table's row, without its blanks. */
static void s_cell(const char *row, uint32_t column, char *target, size_t target_size)
{
    for (uint32_t passed = 0; passed <= column; passed++) {
        row = strchr(row, '|');
        assert_non_null(row);
        row++;
    }
    row += strspn(row, " ");
    size_t size = strcspn(row, "|");
    while (size > 0 && row[size - 1] == ' ') {
        size--;
    }
    assert_true(size < target_size);
    memcpy(target, row, size);
    target[size] = '\0';
}

/* Whether a cell like "query, txn" or "all" names the op. */
static bool s_names(const char *cell, const char *op)
{
    size_t size = strlen(op);
    if (strcmp(cell, "all") == 0) {
        return true;
    }
    for (const char *at = strstr(cell, op); at != NULL; at = strstr(at + 1, op)) {
        bool begins = at == cell || at[-1] == ' ';
        bool ends = at[size] == '\0' || at[size] == ',';
        if (begins && ends) {
            return true;
        }
    }
    return false;
}

/* The fault of {v: 1, op: op} and, unless key is NULL, {key: nil}. */
static pcl_fault s_fault_of(const char *op, const char *key)
{
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, 256);
    pcl_mp_put_map(&buffer, key == NULL ? 2 : 3);
    pcl_mp_put_text(&buffer, "v");
    pcl_mp_put_uint(&buffer, 1);
    pcl_mp_put_text(&buffer, "op");
    pcl_mp_put_text(&buffer, op);
    if (key != NULL) {
        pcl_mp_put_text(&buffer, key);
        pcl_mp_put_nil(&buffer);
    }
    pcl_request request;
    pcl_fault fault = {.err = PCL_ERR_OK};
    (void)!pcl_request_decode(&request, pcl_buffer_bytes(&buffer), &fault, NULL, NULL);
    pcl_buffer_release(&buffer);
    return fault;
}

/* The row of the table in section 3 that is about one key; NULL after the last.
 * cursor stands at the last row. */
static const char *s_next_row(const char *cursor)
{
    cursor = strchr(cursor, '\n');
    return cursor != NULL && cursor[1] == '|' ? cursor + 1 : NULL;
}

static void test_the_keys_of_the_seal_are_those_of_the_document(void **state)
{
    (void)state;
    static const char *const KEYS[] = {
        "| client secret | `" CLIENT_SECRET "` |", "| client public | `" CLIENT_PUBLIC "` |",
        "| broker secret | `" BROKER_SECRET "` |", "| broker public | `" BROKER_PUBLIC "` |"};
    char *document = s_read_document(CLIENT_RFC);
    for (size_t index = 0; index < sizeof KEYS / sizeof *KEYS; index++) {
        assert_non_null(strstr(document, KEYS[index]));
    }
    free(document);
}

static void test_the_table_of_request_keys(void **state)
{
    (void)state;
    char *document = s_read_document(CLIENT_RFC);
    const char *row = strstr(document, "| key | type | rule | with op | required by |");
    assert_non_null(row);
    row = s_next_row(row); /* the line under the headings */
    assert_non_null(row);
    uint32_t key_count = 0;
    for (row = s_next_row(row); row != NULL; row = s_next_row(row)) {
        char key[40];
        char ops[80];
        char needed[80];
        s_cell(row, 0, key, sizeof key);
        s_cell(row, 3, ops, sizeof ops);
        s_cell(row, 4, needed, sizeof needed);
        key[strlen(key) - 1] = '\0'; /* between backquotes */
        for (int op = 0; op < PCL_OP_COUNT; op++) {
            const char *op_text = pcl_op_text((pcl_op)op);
            if (strcmp(key + 1, "v") == 0 || strcmp(key + 1, "op") == 0) {
                continue; /* they are in every request here */
            }
            pcl_fault fault = s_fault_of(op_text, key + 1);
            assert_string_equal(fault.field, key + 1);
            bool goes = strstr(fault.rule, "does not go with op") == NULL;
            assert_int_equal(goes, s_names(ops, op_text));
            fault = s_fault_of(op_text, NULL);
            bool is_needed = fault.err != PCL_ERR_OK && strcmp(fault.field, key + 1) == 0;
            assert_int_equal(is_needed, s_names(needed, op_text));
        }
        key_count++;
    }
    assert_int_equal(key_count, 21);
    free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_octets_of_the_client_protocol),
        cmocka_unit_test(test_octets_of_the_hop_protocol),
        cmocka_unit_test(test_the_keys_of_the_seal_are_those_of_the_document),
        cmocka_unit_test(test_the_table_of_request_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
