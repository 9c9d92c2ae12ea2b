/* policy.h - may this request run?  Pure: a decoded request and its class in, a verdict out.
 * The rules are numbered in README.md. */
#ifndef PCL_BROKER_POLICY_H
#define PCL_BROKER_POLICY_H

#include "common/error.h"
#include "sql/cache.h"
#include "wire/head.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_policy_verdict {
    pcl_err err;             /* OK, UNSUPPORTED, GONE, FORBIDDEN, REFUSED or MALFORMED */
    char message[160];       /* of a refusal; "" otherwise */
    pcl_sql_class sql_class; /* what the head says: of begin WRITE, or READ for a read-only one; of
                                commit and rollback TRANSACTION; of fetch and close READ; of txn
                                WRITE; NONE where nothing runs */
    bool repeatable;         /* running it twice does what once does */
    bool has_statement;      /* of a refused txn: */
    uint32_t statement;      /* which of its statements is to blame */
} pcl_policy_verdict;

/* OK, UNSUPPORTED (an op or a key that is not served here), GONE (the id of no session), REFUSED or
 * FORBIDDEN (the statement), UNSUPPORTED (a statement that needs a session, or that cannot stand in
 * a txn), REFUSED (the schema), tested in that order.  cache: judges the statements, by the rules
 * it was given. */
pcl_policy_verdict pcl_policy_judge(const pcl_request *request, pcl_sql_cache *cache);

/* What a gatekeeper's head says of the request must be what the payload says: the same op, the
 * same id when the payload has one, and no more time than the payload asks for (or than
 * PCL_TIMEOUT_MS_MAX); and it must name a principal.  OK or MALFORMED with a message. */
pcl_policy_verdict pcl_policy_agree(const pcl_head *head, const pcl_request *request);

#endif
