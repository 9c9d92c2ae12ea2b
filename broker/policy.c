#include "broker/policy.h"

#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static pcl_policy_verdict s_verdict(pcl_err err, const char *message)
{
    pcl_policy_verdict verdict = {.err = err};
    (void)snprintf(verdict.message, sizeof verdict.message, "%s", message);
    return verdict;
}

/* The field that the statement stands in: "sql", or "statements[3].sql" of a txn. */
enum { FIELD_SIZE = 32 };

/* What a statement's class alone decides, wherever it stands. */
static pcl_policy_verdict s_judge_class(pcl_sql_verdict sql, const char *field)
{
    pcl_policy_verdict verdict = {.err = PCL_ERR_OK, .sql_class = sql.sql_class};
    if (sql.sql_class == PCL_SQL_REFUSED) {
        verdict.err = PCL_ERR_REFUSED;
        (void)snprintf(verdict.message, sizeof verdict.message, "%s: %s at offset %u", field,
                       sql.rule, sql.offset);
    } else if (sql.sql_class == PCL_SQL_ADMIN) {
        verdict.err = PCL_ERR_FORBIDDEN;
        (void)snprintf(verdict.message, sizeof verdict.message,
                       "%s: the role may not run an admin statement", field);
    }
    return verdict;
}

static pcl_policy_verdict s_judge_query(const pcl_request *request, pcl_sql_cache *cache)
{
    pcl_sql_verdict sql = pcl_sql_cache_judge(cache, request->sql).verdict;
    pcl_policy_verdict verdict = s_judge_class(sql, "sql");
    verdict.repeatable = pcl_sql_is_read(sql.sql_class);
    bool of_session = sql.sql_class == PCL_SQL_TRANSACTION || sql.sql_class == PCL_SQL_STATE;
    if (verdict.err == PCL_ERR_OK && of_session && !request->has_session) {
        verdict.err = PCL_ERR_UNSUPPORTED;
        (void)snprintf(verdict.message, sizeof verdict.message,
                       "sql: a %s statement needs a session", pcl_sql_class_text(sql.sql_class));
    }
    return verdict;
}

/* Whether a txn may run it: it neither commits, nor leaves anything behind on its connection, nor
 * does what nobody can see in its text. */
static bool s_fits_txn(pcl_sql_verdict sql)
{
    bool plain = sql.statement_class == PCL_SQL_READ ||
                 sql.statement_class == PCL_SQL_LOCKING_READ ||
                 sql.statement_class == PCL_SQL_WRITE;
    return plain && (sql.sql_class == sql.statement_class || sql.sql_class == PCL_SQL_STATE);
}

static pcl_policy_verdict s_judge_txn(const pcl_request *request, pcl_sql_cache *cache)
{
    for (uint32_t index = 0; index < request->statement_count; index++) {
        pcl_statement statement;
        char field[FIELD_SIZE];
        pcl_request_statement(request, index, &statement);
        (void)snprintf(field, sizeof field, "statements[%u].sql", index);
        pcl_sql_verdict sql = pcl_sql_cache_judge(cache, statement.sql).verdict;
        pcl_policy_verdict verdict = s_judge_class(sql, field);
        if (verdict.err == PCL_ERR_OK && !s_fits_txn(sql)) {
            verdict.err = PCL_ERR_UNSUPPORTED;
            (void)snprintf(verdict.message, sizeof verdict.message,
                           "%s: a %s statement cannot stand in a txn (%s)", field,
                           pcl_sql_class_text(sql.sql_class), sql.rule);
        }
        if (verdict.err != PCL_ERR_OK) {
            verdict.has_statement = true;
            verdict.statement = index;
            return verdict;
        }
    }
    return (pcl_policy_verdict){.err = PCL_ERR_OK, .sql_class = PCL_SQL_WRITE};
}

static pcl_policy_verdict s_judge_op(const pcl_request *request, pcl_sql_cache *cache)
{
    pcl_policy_verdict verdict = {.err = PCL_ERR_OK};
    switch (request->op) {
    case PCL_OP_QUERY:
        return s_judge_query(request, cache);
    case PCL_OP_TXN:
        return s_judge_txn(request, cache);
    case PCL_OP_BEGIN:
        verdict.sql_class = request->read_only ? PCL_SQL_READ : PCL_SQL_WRITE;
        verdict.repeatable = true; /* a session that nobody knows of is rolled back */
        break;
    case PCL_OP_ROLLBACK:
        verdict.repeatable = true; /* the session ends in a rollback in any case */
        verdict.sql_class = PCL_SQL_TRANSACTION;
        break;
    case PCL_OP_COMMIT:
        verdict.sql_class = PCL_SQL_TRANSACTION;
        break;
    case PCL_OP_FETCH:
        verdict.sql_class = PCL_SQL_READ;
        break;
    case PCL_OP_CLOSE:
        verdict.sql_class = PCL_SQL_READ;
        verdict.repeatable = true;
        break;
    case PCL_OP_CANCEL:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
        verdict.repeatable = true;
        break;
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        verdict.err = PCL_ERR_UNSUPPORTED;
        (void)snprintf(verdict.message, sizeof verdict.message, "op: %s is not available here",
                       pcl_op_text(request->op));
        break;
    }
    return verdict;
}

/* Whether the session or cursor has the id that means "none" in the head; no agent gives it. */
static bool s_names_nothing(const pcl_request *request)
{
    static const uint8_t none[PCL_ID_SIZE];
    return (request->has_session && memcmp(request->session, none, sizeof none) == 0) ||
           (request->has_cursor && memcmp(request->cursor, none, sizeof none) == 0);
}

pcl_policy_verdict pcl_policy_judge(const pcl_request *request, pcl_sql_cache *cache)
{
    assert(request != NULL);
    assert(cache != NULL);
    if (request->once) {
        return s_verdict(PCL_ERR_UNSUPPORTED, "once: is not available here");
    }
    if (s_names_nothing(request)) {
        return s_verdict(PCL_ERR_GONE, request->has_session ? "session: there is none with this id"
                                                            : "cursor: there is none with this id");
    }
    pcl_policy_verdict verdict = s_judge_op(request, cache);
    if (verdict.err == PCL_ERR_OK && pcl_sql_schema_is_reserved(request->db)) {
        verdict = s_verdict(PCL_ERR_REFUSED, "db: the schema is not for statements of clients");
    }
    return verdict;
}

pcl_policy_verdict pcl_policy_agree(const pcl_head *head, const pcl_request *request)
{
    assert(head != NULL);
    assert(request != NULL);
    uint64_t timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : PCL_TIMEOUT_MS_MAX;
    if (head->op != request->op) {
        return s_verdict(PCL_ERR_MALFORMED, "op: the gatekeeper's head says another");
    }
    if (request->has_id && memcmp(head->id, request->id, sizeof head->id) != 0) {
        return s_verdict(PCL_ERR_MALFORMED, "id: the gatekeeper's head says another");
    }
    if (head->budget_us > timeout_ms * PCL_US_PER_MS) {
        return s_verdict(PCL_ERR_MALFORMED, "timeout_ms: the gatekeeper's head allows more");
    }
    if (head->principal.size == 0) {
        return s_verdict(PCL_ERR_MALFORMED, "principal: the gatekeeper's head names none");
    }
    return s_verdict(PCL_ERR_OK, "");
}
