/* admit.h - the agent's rule of what may run here now.  Pure.
 *
 * What opens something (begin) or stands alone (query, txn) needs a node that is
 * ready, that stays, and for anything but reads one that is the source and takes
 * writes.  What belongs to a session or cursor was decided when that was opened:
 * it runs until the session ends, also on a node that drains, whose database is
 * said not to be ready, or that has become read-only; there the database judges.
 */
#ifndef PCL_WORKER_AGENT_ADMIT_H
#define PCL_WORKER_AGENT_ADMIT_H

#include "common/error.h"
#include "sql/classify.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

/* What the node says it is when a request arrives. */
typedef struct pcl_admission {
    bool ready; /* set up, and the database answers */
    bool draining;
    bool source; /* the role, as the database has it */
    bool read_only;
    bool other_term; /* the proxy chose the node when it was, or believing it, of another term */
} pcl_admission;

/* What is asked. */
typedef struct pcl_errand {
    pcl_op op;
    uint8_t sql_class;
    bool in_session;        /* of a query: it names a session, which is there */
    bool session_read_only; /* ... that takes reads only */
} pcl_errand;

/* OK, or why the request may not run here: UNSUPPORTED, REFUSED, NO_NODE, DRAINING.
 * *out_reason is static text, "" with OK. */
pcl_err pcl_admit(const pcl_admission *node, const pcl_errand *errand, const char **out_reason);

#endif
