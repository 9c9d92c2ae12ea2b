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
    uint64_t affected, insert_id;
    uint32_t warnings;
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
} pcl_reply;

/* Tolerant of unknown keys (a newer server may say more), strict in all else:
 * `columns` and `rows` come together and every row has a cell for each column;
 * `error` is there exactly when `ok` is false.
 * MALFORMED, VERSION, TOO_LARGE; *out_reply untouched on failure. */
pcl_err pcl_reply_decode(pcl_reply *out_reply, pcl_bytes source) PCL_MUST_CHECK;

#endif
