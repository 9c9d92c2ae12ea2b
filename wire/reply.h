/* reply.h - the reply to a client: docs/rfc/1-client-protocol.md, section 4.
 *
 * A reply is written once, where the answer arises: a result at the agent, a
 * refusal at the hop that refuses.  Writing goes head, then body, then nothing:
 * the map's count is known from the parts the caller announces.
 */
#ifndef PCL_WIRE_REPLY_H
#define PCL_WIRE_REPLY_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends {"v":1, "id":id, "ok":ok, and opens a map of 3 + extra_count pairs:
 * the caller appends the extra_count pairs.  id may be NULL: then nil. */
void pcl_reply_open(pcl_buffer *buffer, const uint8_t *id, bool ok, uint32_t extra_count);

typedef struct pcl_reply_error {
    pcl_err err;
    pcl_retry retry;
    pcl_bytes message;       /* UTF-8; empty: pcl_err_text(err) */
    uint32_t mysql_errno;    /* 0: MySQL did not speak */
    const char *sqlstate;    /* NULL or 5 characters */
    const char *hop;         /* "gatekeeper", "broker", "proxy", "agent", "client" */
    uint32_t retry_after_ms; /* 0: left out */
    bool has_statement;      /* of a txn: */
    uint32_t statement;      /* which of its statements failed, from 0 */
} pcl_reply_error;

/* Appends a whole error reply.  err must not be OK.  A message over
 * PCL_MESSAGE_SIZE_MAX is cut between characters, and what is no UTF-8 in it
 * becomes `?`: it may quote a peer or the database. */
void pcl_reply_error_encode(pcl_buffer *buffer, const uint8_t *id, const pcl_reply_error *error);

/* The reply as a client reads it.  All borrowed from the octets decoded.
 * token is a str; cells are plain values, neither arrays nor maps. */
typedef struct pcl_reply {
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
    bool ok;
    bool has_columns, has_affected;
    pcl_bytes columns; /* octets of the array of [name, type, flags] */
    uint32_t column_count;
    pcl_bytes rows; /* octets of the array of arrays */
    uint32_t row_count;
    pcl_bytes metadata; /* octets of an array of one array for each column; empty when absent */
    uint64_t affected, insert_id;
    uint32_t warnings;
    bool has_results;
    pcl_bytes results; /* of a txn: octets of the array of maps; pcl_reply_result reads one */
    uint32_t result_count;
    pcl_bytes token; /* empty when absent */
    bool has_cursor;
    uint8_t cursor[PCL_ID_SIZE];
    bool has_session; /* reply to begin */
    uint8_t session[PCL_ID_SIZE];
    pcl_bytes route;  /* octets of the map; empty when absent */
    pcl_bytes status; /* octets of the map of `status`; empty when absent */
    /* when !ok: */
    pcl_bytes error_code, error_message, error_hop, error_sqlstate;
    uint32_t error_errno;
    pcl_retry error_retry;
    uint32_t retry_after_ms;
    bool has_error_statement;
    uint32_t error_statement; /* of a txn: which of its statements failed */
} pcl_reply;

/* Tolerant of unknown keys (a newer server may say more), strict in all else:
 * `columns` and `rows` come together and every row has a cell for each column;
 * `error` is there exactly when `ok` is false.
 * MALFORMED, VERSION, TOO_LARGE; *out_reply untouched on failure. */
pcl_err pcl_reply_decode(pcl_reply *out_reply, pcl_bytes source) PCL_MUST_CHECK;

/* What one statement of a txn gave: a pcl_reply in which only columns to warnings are set.
 * index < reply->result_count of a decoded reply. */
void pcl_reply_result(const pcl_reply *reply, uint32_t index, pcl_reply *out_result);

/* One column's metadata, as the server says it; all borrowed. */
typedef struct pcl_reply_metadata {
    pcl_bytes schema, table;       /* as the statement names it; empty for an expression */
    pcl_bytes org_table, org_name; /* as it was made */
    uint32_t charset;              /* MySQL's number of the collation; 63: binary */
    uint32_t length;               /* greatest length, octets */
    uint32_t decimals;
} pcl_reply_metadata;

/* Of column `index` < reply->column_count of a decoded reply whose metadata is not empty. */
void pcl_reply_column_metadata(const pcl_reply *reply, uint32_t index,
                               pcl_reply_metadata *out_metadata);

#endif
