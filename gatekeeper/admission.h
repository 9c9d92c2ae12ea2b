/* admission.h - may this request enter, and as what?  Pure.
 *
 * The broker decides again, with the policy; what is refused here would be
 * refused there too, and never reaches it.  Rules in README.md.
 */
#ifndef PCL_GATEKEEPER_ADMISSION_H
#define PCL_GATEKEEPER_ADMISSION_H

#include "common/error.h"
#include "gatekeeper/principals.h"
#include "sql/cache.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_admission_limits {
    uint32_t timeout_ms_default;          /* for a request that says none; not 0 */
    uint32_t timeout_ms_max;              /* a longer one is cut to it; not 0 */
    uint32_t inflight_principal_max;      /* requests of one principal at the same time; not 0 */
    uint64_t inflight_principal_size_max; /* octets of their payloads; not 0 */
    uint64_t inflight_size_max;           /* octets of the payloads of all; not 0 */
} pcl_admission_limits;

typedef struct pcl_admission {
    pcl_err err; /* OK, REFUSED, MALFORMED (params and placeholders differ) or OVERLOADED */
    pcl_retry retry;
    char message[160];       /* of a refusal; "" otherwise */
    uint32_t timeout_ms;     /* the default, or the client's, cut */
    pcl_sql_class sql_class; /* what the head says, as policy/policy.h has it */
    bool repeatable;         /* running it twice does what once does */
    bool has_statement;      /* of a refused txn: */
    uint32_t statement;      /* which of its statements is to blame */
} pcl_admission;

/* request: decoded.  load: what its principal has in flight already.  cache:
 * judges the statements, by the default rules: the policy, which may know more functions, is the
 * broker's.  sealed: no statement is refused, since we have no seal to say it under, and a client
 * that seals would have to take a statement that can never run for one that may have run; the
 * broker refuses it. */
pcl_admission pcl_admission_judge(const pcl_admission_limits *limits, const pcl_request *request,
                                  bool sealed, pcl_principal_load load, pcl_sql_cache *cache);

#endif
