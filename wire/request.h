/* request.h - the client's request: docs/rfc/1-client-protocol.md, section 3.
 *
 * One msgpack map with string keys.  The same strict decoder serves every hop
 * that looks inside, so none can read a request differently from another.
 */
#ifndef PCL_WIRE_REQUEST_H
#define PCL_WIRE_REQUEST_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PROTOCOL_VERSION 1u

/* Extension types of params (section 5 of the RFC): exact text of a DECIMAL, of
 * a DATE / TIME / DATETIME.  In rows both are str; the column's type tells. */
#define PCL_EXT_DECIMAL  1
#define PCL_EXT_TEMPORAL 2

typedef enum pcl_op {
    PCL_OP_QUERY = 0,
    PCL_OP_TXN,
    PCL_OP_BEGIN,
    PCL_OP_COMMIT,
    PCL_OP_ROLLBACK,
    PCL_OP_FETCH,
    PCL_OP_CLOSE,
    PCL_OP_CANCEL,
    PCL_OP_PING,
    PCL_OP_STATUS,
    PCL_OP_ADMIN,
    PCL_OP_COUNT, /* must stay last */
} pcl_op;

typedef enum pcl_strategy_kind {
    PCL_STRATEGY_DEFAULT = 0, /* whatever the proxy is configured with */
    PCL_STRATEGY_DIRECT,
    PCL_STRATEGY_RANDOM,
    PCL_STRATEGY_ROUND_ROBIN,
    PCL_STRATEGY_LEAST_INFLIGHT,
    PCL_STRATEGY_CUSTOM,
    PCL_STRATEGY_PEAK_EWMA,
    PCL_STRATEGY_C3,
    PCL_STRATEGY_PREQUAL,
    PCL_STRATEGY_COUNT, /* must stay last */
} pcl_strategy_kind;

/* Their names in this order, DEFAULT's left out, for messages and help texts. */
#define PCL_STRATEGY_NAMES(between)                                                                \
    "direct" between "random" between "round-robin" between "least-inflight" between               \
    "custom" between "peak-ewma" between "c3" between "prequal"

typedef enum pcl_consistency_kind {
    PCL_CONSISTENCY_ANY = 0,
    PCL_CONSISTENCY_SOURCE,
    PCL_CONSISTENCY_AFTER,   /* not before the writes with these tokens */
    PCL_CONSISTENCY_MAX_LAG, /* on a node at most this far behind */
    PCL_CONSISTENCY_COUNT,   /* must stay last */
} pcl_consistency_kind;

typedef struct pcl_request {
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
    pcl_op op;
    pcl_bytes sql;    /* UTF-8; empty when absent */
    pcl_bytes params; /* octets of the msgpack array; empty when absent */
    uint32_t param_count;
    pcl_bytes statements; /* octets of the msgpack array; empty when absent */
    uint32_t statement_count;
    pcl_bytes db; /* empty when absent */
    pcl_strategy_kind strategy;
    pcl_consistency_kind consistency;
    pcl_bytes tokens[PCL_TOKENS_MAX]; /* of PCL_CONSISTENCY_AFTER */
    uint32_t token_count;             /* at least 1 with it, else 0 */
    bool monotonic;                   /* the reply of a read shall carry a token, too */
    uint32_t max_lag_ms;              /* of PCL_CONSISTENCY_MAX_LAG */
    uint32_t timeout_ms;              /* 0 when absent */
    bool once;
    bool has_session;
    uint8_t session[PCL_ID_SIZE];
    bool read_only;      /* of PCL_OP_BEGIN */
    uint32_t page_rows;  /* 0 when absent */
    uint32_t page_bytes; /* 0 when absent */
    bool has_cursor;
    uint8_t cursor[PCL_ID_SIZE];
    bool metadata; /* the reply shall say all that the server says of its columns */
    bool explain_route;
    bool dry_run;      /* tell who would run it, and run nothing */
    pcl_bytes trace;   /* empty when absent */
    pcl_bytes command; /* of PCL_OP_ADMIN */
} pcl_request;

#define PCL_FAULT_FIELD_SIZE 32u

/* Names the field and the rule it broke; the message of the error reply is
 * "FIELD: RULE" ("timeout_ms: must be an integer from 1 to 600000"). */
typedef struct pcl_fault {
    pcl_err err;
    char field[PCL_FAULT_FIELD_SIZE]; /* "" when the message as a whole is at fault */
    char rule[160];
} pcl_fault;

/* Reads one request.  On success *out_request borrows from source.  On failure
 * it is untouched, and *out_fault (never NULL) says why:
 *
 * MALFORMED    not one well-formed map, a key unknown, twice or missing, a value of the
 *              wrong type or out of range, keys that do not go together
 * VERSION      `v` is not PCL_PROTOCOL_VERSION
 * TOO_LARGE    the payload or a field is over its limit
 *
 * out_id, when not NULL, receives the request's id whenever one could be read,
 * also on failure, so that the refusal can carry it; *out_has_id says so. */
pcl_err pcl_request_decode(pcl_request *out_request, pcl_bytes source, pcl_fault *out_fault,
                           uint8_t *out_id, bool *out_has_id) PCL_MUST_CHECK;

/* Appends the request as one map: keys in the order of the RFC, absent ones
 * left out, has_id included.  What it writes decodes to an equal request. */
void pcl_request_encode(const pcl_request *request, pcl_buffer *buffer);

/* One statement of a txn. */
typedef struct pcl_statement {
    pcl_bytes sql;
    pcl_bytes params; /* octets of the array; empty when absent */
    uint32_t param_count;
    bool has_rows, has_min_rows, has_max_rows; /* of expect */
    uint64_t rows, min_rows, max_rows;
} pcl_statement;

/* The statements of a decoded request, one after the other; of what is no txn there are none.  Each
 * is found behind the one before it, so that all of them cost one walk. */
typedef struct pcl_statements {
    pcl_bytes left; /* borrowed from the request */
} pcl_statements;

pcl_statements pcl_request_statements(const pcl_request *request);
/* false: there is no other. */
bool pcl_statements_next(pcl_statements *self, pcl_statement *out_statement) PCL_MUST_CHECK;

/* "query", "round-robin", ...: static text, for any value in range. */
const char *pcl_op_text(pcl_op op);
const char *pcl_strategy_text(pcl_strategy_kind kind);
/* false when the text names no strategy. */
bool pcl_strategy_parse(pcl_bytes text, pcl_strategy_kind *out_kind) PCL_MUST_CHECK;

#endif
