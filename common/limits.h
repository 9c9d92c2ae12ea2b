/* limits.h - the hard ceilings.  Configuration may lower a limit, never raise
 * it above the ceiling here.  Sizes are octets, times are as named. */
#ifndef PCL_COMMON_LIMITS_H
#define PCL_COMMON_LIMITS_H

/* A BLOB of 16 MiB fits, with room for what stands around it. */
#define PCL_REQUEST_SIZE_MAX        (17u * 1024u * 1024u) /* a request's payload */
#define PCL_REPLY_SIZE_MAX          (17u * 1024u * 1024u) /* a reply's payload */
#define PCL_SQL_SIZE_MAX            (512u * 1024u)
#define PCL_PARAMS_MAX              4096u
#define PCL_STATEMENTS_MAX          256u     /* of one txn */
#define PCL_REQUEST_VALUES_MAX      1052672u /* msgpack's, those in others too */
#define PCL_DB_NAME_SIZE_MAX        64u
#define PCL_TOKEN_SIZE_MAX          512u
#define PCL_TOKENS_MAX              8u    /* that one request may name */
#define PCL_GTID_SIZE_MAX           480u  /* of what one token, or all of a request, name */
#define PCL_MESSAGE_SIZE_MAX        1024u /* of an error; what is over is cut */
#define PCL_TRACE_SIZE_MAX          128u
#define PCL_COMMAND_SIZE_MAX        64u
#define PCL_TIMEOUT_MS_DEFAULT      5000u
#define PCL_TIMEOUT_MS_MAX          600000u
#define PCL_PAGE_ROWS_DEFAULT       1000u
#define PCL_PAGE_ROWS_MAX           100000u
#define PCL_PAGE_BYTES_DEFAULT      (256u * 1024u)
#define PCL_PAGE_BYTES_MAX          (8u * 1024u * 1024u)
#define PCL_MSGPACK_DEPTH_MAX       8u
#define PCL_ID_SIZE                 16u
#define PCL_NAME_SIZE_MAX           63u /* a principal, a role, a node */
#define PCL_NODES_MAX               256u
#define PCL_ENVELOPE_FRAMES_MAX     4u /* what a client puts before the delimiter */
#define PCL_ENVELOPE_FRAME_SIZE_MAX 255u
#define PCL_INFLIGHT_MAX            1000000u /* tickets of one daemon */

/* Beats between neighbours. */
#define PCL_BEAT_INTERVAL_MS 200u
#define PCL_BEATS_SUSPECT    3u /* missed beats */
#define PCL_BEATS_GONE       5u
#define PCL_BEATS_GONE_ALONE 15u /* of a neighbour on tcp for which there is no other */

/* Each hop waits a little longer than the one below it, so that the innermost
 * hop, which knows most, is the one that reports a deadline.  The client is
 * promised an answer within its deadline plus 100 ms. */
#define PCL_GRACE_PROXY_MS      25u
#define PCL_GRACE_BROKER_MS     50u
#define PCL_GRACE_GATEKEEPER_MS 75u

#endif
