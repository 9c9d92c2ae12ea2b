#include "gatekeeper/admission.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* The class of the statements of a txn; writes the message of a refused one. */
static pcl_sql_class s_classify_txn(const pcl_request *request, char *message, size_t message_size)
{
    for (uint32_t index = 0; index < request->statement_count; index++) {
        pcl_statement statement;
        pcl_request_statement(request, index, &statement);
        pcl_sql_verdict verdict = pcl_sql_classify(statement.sql);
        if (verdict.sql_class == PCL_SQL_REFUSED) {
            (void)snprintf(message, message_size, "statements[%u]: %s at offset %u", index,
                           verdict.rule, verdict.offset);
            return PCL_SQL_REFUSED;
        }
    }
    return PCL_SQL_WRITE;
}

static pcl_sql_class s_classify(const pcl_request *request, char *message, size_t message_size)
{
    if (request->op == PCL_OP_TXN) {
        return s_classify_txn(request, message, message_size);
    }
    if (request->op != PCL_OP_QUERY) {
        return PCL_SQL_NONE;
    }
    pcl_sql_verdict verdict = pcl_sql_classify(request->sql);
    if (verdict.sql_class == PCL_SQL_REFUSED) {
        (void)snprintf(message, message_size, "sql: %s at offset %u", verdict.rule, verdict.offset);
    }
    return verdict.sql_class;
}

static bool s_repeatable(pcl_op op, pcl_sql_class sql_class)
{
    return op == PCL_OP_PING || op == PCL_OP_STATUS ||
           (op == PCL_OP_QUERY && pcl_sql_is_read(sql_class));
}

static uint32_t s_timeout_ms(const pcl_admission_limits *limits, uint32_t asked_ms)
{
    uint32_t timeout_ms = asked_ms == 0 ? limits->timeout_ms_default : asked_ms;
    return timeout_ms < limits->timeout_ms_max ? timeout_ms : limits->timeout_ms_max;
}

/* Asked before the work of classifying, so that a flood is refused faster than it comes. */
static bool s_is_over(const pcl_admission_limits *limits, pcl_principal_load load, char *message,
                      size_t message_size)
{
    if (load.requests >= limits->inflight_principal_max) {
        (void)snprintf(message, message_size,
                       "the principal has %u requests in flight, and may have no more",
                       load.requests);
        return true;
    }
    if (load.octets >= limits->inflight_principal_size_max) {
        (void)snprintf(message, message_size,
                       "the principal has %" PRIu64 " octets in flight, and may have no more",
                       load.octets);
        return true;
    }
    return false;
}

pcl_admission pcl_admission_judge(const pcl_admission_limits *limits, const pcl_request *request,
                                  pcl_principal_load load)
{
    assert(limits != NULL);
    assert(limits->timeout_ms_default > 0);
    assert(limits->timeout_ms_max > 0);
    assert(limits->inflight_principal_max > 0);
    assert(limits->inflight_principal_size_max > 0);
    assert(request != NULL);
    pcl_admission admission = {
        .err = PCL_ERR_OK,
        .retry = PCL_RETRY_NEVER,
        .timeout_ms = s_timeout_ms(limits, request->timeout_ms),
    };
    if (s_is_over(limits, load, admission.message, sizeof admission.message)) {
        admission.err = PCL_ERR_OVERLOADED;
        admission.retry = PCL_RETRY_SAFE;
        return admission;
    }
    admission.sql_class = s_classify(request, admission.message, sizeof admission.message);
    admission.repeatable = s_repeatable(request->op, admission.sql_class);
    if (admission.sql_class == PCL_SQL_REFUSED) {
        admission.err = PCL_ERR_REFUSED;
    }
    return admission;
}
