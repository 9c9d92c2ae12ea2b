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

static bool s_op_served(pcl_op op)
{
    switch (op) {
    case PCL_OP_QUERY:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
        return true;
    case PCL_OP_TXN:
    case PCL_OP_BEGIN:
    case PCL_OP_COMMIT:
    case PCL_OP_ROLLBACK:
    case PCL_OP_FETCH:
    case PCL_OP_CLOSE:
    case PCL_OP_CANCEL:
    case PCL_OP_ADMIN:
    case PCL_OP_COUNT:
        break;
    }
    return false;
}

/* The first key of the request that is not served here; NULL for none. */
static const char *s_key_unserved(const pcl_request *request)
{
    return request->once              ? "once"
           : request->has_session     ? "session"
           : request->page_rows != 0  ? "page_rows"
           : request->page_bytes != 0 ? "page_bytes"
           : request->has_cursor      ? "cursor"
                                      : NULL;
}

/* What a statement's class alone decides. */
static pcl_policy_verdict s_judge_class(pcl_sql_verdict sql)
{
    pcl_policy_verdict verdict = {.err = PCL_ERR_OK};
    switch (sql.sql_class) {
    case PCL_SQL_NONE:
    case PCL_SQL_READ:
    case PCL_SQL_LOCKING_READ:
    case PCL_SQL_WRITE:
    case PCL_SQL_CALL:
    case PCL_SQL_DDL:
        break;
    case PCL_SQL_TRANSACTION:
    case PCL_SQL_STATE:
        verdict.err = PCL_ERR_UNSUPPORTED;
        (void)snprintf(verdict.message, sizeof verdict.message,
                       "sql: a %s statement needs a session", pcl_sql_class_text(sql.sql_class));
        break;
    case PCL_SQL_ADMIN:
        verdict.err = PCL_ERR_FORBIDDEN;
        (void)snprintf(verdict.message, sizeof verdict.message,
                       "sql: the role may not run an admin statement");
        break;
    case PCL_SQL_REFUSED:
    case PCL_SQL_CLASS_COUNT:
        verdict.err = PCL_ERR_REFUSED;
        (void)snprintf(verdict.message, sizeof verdict.message, "sql: %s at offset %u", sql.rule,
                       sql.offset);
        break;
    }
    verdict.sql_class = sql.sql_class;
    verdict.repeatable = pcl_sql_is_read(sql.sql_class);
    return verdict;
}

pcl_policy_verdict pcl_policy_judge(const pcl_request *request)
{
    assert(request != NULL);
    pcl_policy_verdict verdict = {.err = PCL_ERR_OK};
    const char *key = s_key_unserved(request);
    if (!s_op_served(request->op)) {
        verdict.err = PCL_ERR_UNSUPPORTED;
        (void)snprintf(verdict.message, sizeof verdict.message, "op: %s is not available here",
                       pcl_op_text(request->op));
        return verdict;
    }
    if (key != NULL) {
        verdict.err = PCL_ERR_UNSUPPORTED;
        (void)snprintf(verdict.message, sizeof verdict.message, "%s: is not available here", key);
        return verdict;
    }
    if (request->op != PCL_OP_QUERY) { /* ping and status change nothing */
        verdict.repeatable = true;
        return verdict;
    }
    verdict = s_judge_class(pcl_sql_classify(request->sql));
    if (verdict.err == PCL_ERR_OK && pcl_sql_schema_is_reserved(request->db)) {
        verdict.err = PCL_ERR_REFUSED;
        (void)snprintf(verdict.message, sizeof verdict.message,
                       "db: the schema is not for statements of clients");
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
