#include "gatekeeper/admission.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Where a statement stands: "", or "statements[3]." of a txn. */
enum { PLACE_SIZE = 32 };

/* The message of a statement that nobody may run; false when it may be. */
static bool s_is_refused(pcl_sql_verdict verdict, uint32_t param_count, const char *place,
                         pcl_admission *admission)
{
    if (verdict.sql_class == PCL_SQL_REFUSED) {
        admission->err = PCL_ERR_REFUSED;
        (void)snprintf(admission->message, sizeof admission->message, "%ssql: %s at offset %u",
                       place, verdict.rule, verdict.offset);
        return true;
    }
    if (verdict.placeholder_count != param_count) {
        admission->err = PCL_ERR_MALFORMED;
        (void)snprintf(admission->message, sizeof admission->message,
                       "%sparams: the statement has %u placeholders, %u were given", place,
                       verdict.placeholder_count, param_count);
        return true;
    }
    return false;
}

static void s_judge_txn(const pcl_request *request, pcl_sql_cache *cache, pcl_admission *admission)
{
    admission->sql_class = PCL_SQL_WRITE;
    pcl_statements statements = pcl_request_statements(request);
    pcl_statement statement;
    for (uint32_t index = 0; pcl_statements_next(&statements, &statement); index++) {
        char place[PLACE_SIZE];
        (void)snprintf(place, sizeof place, "statements[%u].", index);
        pcl_sql_verdict verdict = pcl_sql_cache_judge(cache, statement.sql).verdict;
        if (s_is_refused(verdict, statement.param_count, place, admission)) {
            admission->has_statement = true;
            admission->statement = index;
            return;
        }
    }
}

static void s_judge_query(const pcl_request *request, pcl_sql_cache *cache,
                          pcl_admission *admission)
{
    pcl_sql_verdict verdict = pcl_sql_cache_judge(cache, request->sql).verdict;
    admission->sql_class = verdict.sql_class;
    admission->repeatable = pcl_sql_is_read(verdict.sql_class);
    /* It has written what there is to say. */
    (void)s_is_refused(verdict, request->param_count, "", admission);
}

/* The class as the broker will say it (policy/judge.c), and whether the work may be repeated:
 * that of a session that nobody knows of, or that ends without a trace, may. */
static void s_judge_op(const pcl_request *request, pcl_sql_cache *cache, pcl_admission *admission)
{
    switch (request->op) {
    case PCL_OP_QUERY:
        s_judge_query(request, cache, admission);
        break;
    case PCL_OP_TXN:
        s_judge_txn(request, cache, admission);
        break;
    case PCL_OP_BEGIN:
        admission->sql_class = request->read_only ? PCL_SQL_READ : PCL_SQL_WRITE;
        admission->repeatable = true;
        break;
    case PCL_OP_COMMIT:
        admission->sql_class = PCL_SQL_TRANSACTION;
        break;
    case PCL_OP_ROLLBACK:
        admission->sql_class = PCL_SQL_TRANSACTION;
        admission->repeatable = true;
        break;
    case PCL_OP_FETCH:
        admission->sql_class = PCL_SQL_READ;
        break;
    case PCL_OP_CLOSE:
        admission->sql_class = PCL_SQL_READ;
        admission->repeatable = true;
        break;
    case PCL_OP_CANCEL:
    case PCL_OP_PING:
    case PCL_OP_STATUS:
        admission->repeatable = true;
        break;
    case PCL_OP_ADMIN: /* the broker refuses it */
    case PCL_OP_COUNT:
        break;
    }
}

static uint32_t s_timeout_ms(const pcl_admission_limits *limits, uint32_t asked_ms)
{
    uint32_t timeout_ms = asked_ms == 0 ? limits->timeout_ms_default : asked_ms;
    return timeout_ms < limits->timeout_ms_max ? timeout_ms : limits->timeout_ms_max;
}

/* What frees more than it takes has room of its own, or a principal that is at its limit could not
 * even stop what holds it there. */
static bool s_ends_work(pcl_op op)
{
    return op == PCL_OP_CANCEL || op == PCL_OP_CLOSE || op == PCL_OP_COMMIT ||
           op == PCL_OP_ROLLBACK;
}

/* Asked before the work of classifying, so that a flood is refused faster than it comes. */
static bool s_is_over(const pcl_admission_limits *limits, pcl_op op, pcl_principal_load load,
                      char *message, size_t message_size)
{
    uint32_t more = limits->inflight_principal_max / 8 + 1;
    if (s_ends_work(op) && load.requests < limits->inflight_principal_max + more) {
        return false;
    }
    if (load.throttled) {
        (void)snprintf(message, message_size,
                       "the broker has no room for most of the principal's requests");
        return true;
    }
    if (load.octets_all >= limits->inflight_size_max) {
        (void)snprintf(message, message_size,
                       "%" PRIu64 " octets are in flight, and no more may be", load.octets_all);
        return true;
    }
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
                                  bool sealed, pcl_principal_load load, pcl_sql_cache *cache)
{
    assert(limits != NULL);
    assert(limits->timeout_ms_default > 0);
    assert(limits->timeout_ms_max > 0);
    assert(limits->inflight_principal_max > 0);
    assert(limits->inflight_principal_size_max > 0);
    assert(limits->inflight_size_max > 0);
    assert(request != NULL);
    assert(cache != NULL);
    pcl_admission admission = {
        .err = PCL_ERR_OK,
        .retry = PCL_RETRY_NEVER,
        .timeout_ms = s_timeout_ms(limits, request->timeout_ms),
    };
    if (s_is_over(limits, request->op, load, admission.message, sizeof admission.message)) {
        admission.err = PCL_ERR_OVERLOADED;
        admission.retry = PCL_RETRY_SAFE;
        return admission;
    }
    s_judge_op(request, cache, &admission);
    if (sealed) {
        admission.err = PCL_ERR_OK;
        admission.message[0] = '\0';
        admission.has_statement = false;
    }
    return admission;
}
