/* A request that decodes encodes to one that decodes to the same, and that
 * encoding is stable; it is well-formed by the reader of octets, too; a refusal names its rule in
 * printable ASCII. */
#include "wire/mp.h"
#include "wire/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static void s_require_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        s_require(*text >= ' ' && *text < 0x7f);
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
           a->explain_route == b->explain_route && pcl_bytes_equal(a->trace, b->trace) &&
           pcl_bytes_equal(a->command, b->command);
}

/* Every statement can be had, and together they are the whole array. */
static void s_read_statements(const pcl_request *request)
{
    uint32_t count = 0;
    pcl_statements statements = pcl_request_statements(request);
    for (pcl_statement statement; pcl_statements_next(&statements, &statement); count++) {
        s_require(statement.sql.size > 0);
        s_require(statement.sql.data > request->statements.data);
        s_require(statement.sql.data + statement.sql.size <=
                  request->statements.data + request->statements.size);
    }
    s_require(count == request->statement_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pcl_request request;
    pcl_request again;
    pcl_fault fault;
    uint8_t id[PCL_ID_SIZE];
    bool has_id;
    pcl_err err = pcl_request_decode(&request, pcl_bytes_of(data, size), &fault, id, &has_id);
    if (err != PCL_ERR_OK) {
        s_require(fault.err == err && fault.rule[0] != '\0');
        s_require_printable(fault.field);
        s_require_printable(fault.rule);
        return 0;
    }
    err = pcl_mp_check(pcl_bytes_of(data, size), PCL_MSGPACK_DEPTH_MAX, 32, NULL);
    s_require(err == PCL_ERR_OK);
    s_require(has_id == request.has_id);
    s_require(!has_id || memcmp(id, request.id, PCL_ID_SIZE) == 0);
    s_read_statements(&request);

    pcl_buffer first;
    pcl_buffer second;
    pcl_buffer_init(&first, 2 * PCL_REQUEST_SIZE_MAX);
    pcl_buffer_init(&second, 2 * PCL_REQUEST_SIZE_MAX);
    pcl_request_encode(&request, &first);
    s_require(!first.failed && first.size <= size);
    err = pcl_request_decode(&again, pcl_buffer_bytes(&first), &fault, NULL, NULL);
    s_require(err == PCL_ERR_OK);
    s_require(s_same(&request, &again));
    pcl_request_encode(&again, &second);
    s_require(pcl_bytes_equal(pcl_buffer_bytes(&first), pcl_buffer_bytes(&second)));
    pcl_buffer_release(&first);
    pcl_buffer_release(&second);
    return 0;
}
