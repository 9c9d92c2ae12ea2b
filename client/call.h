/* call.h - one request on its way to its one completion. */
#ifndef PCL_CLIENT_CALL_H
#define PCL_CLIENT_CALL_H

#include "client/portcullis.h"
#include "client/sealer.h"
#include "common/buffer.h"
#include "common/limits.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

/* One connection to one gatekeeper: what was opened over it ends with it.  A gatekeeper's
 * connections are counted from 1, so that the next one is another. */
typedef struct pcl_pin {
    uint32_t peer;
    uint64_t generation; /* 0: no connection in particular */
} pcl_pin;

/* What is asked for each page of a result. */
typedef struct pcl_call_terms {
    uint32_t timeout_ms;
    uint32_t page_rows; /* 0: the cluster's default, as page_size */
    uint32_t page_size;
    uint32_t pages_ahead; /* that may be under way at a time, if several; of results alone */
} pcl_call_terms;

/* What a good reply tells a causal client beside its rows; of a begin, what those to the session's
 * requests do, for which the begin speaks. */
typedef struct pcl_call_promise {
    bool token;    /* it has one: where it has none, what was seen has no name */
    uint64_t mark; /* of client/seen.h */
} pcl_call_promise;

typedef struct pcl_call {
    struct pcl_call *next; /* in a list of submitted or of unsent calls */
    struct pcl_call *previous;
    pcl_buffer payload; /* owned; copied when it is sent, since it may be sent again */
    pcl_op op;
    pcl_call_terms terms;
    uint8_t id[PCL_ID_SIZE];
    uint8_t cursor[PCL_ID_SIZE]; /* of a fetch: the one that it uses up */
    bool idempotent;             /* running it twice does no harm */
    bool causal;                 /* its client keeps the token of its reply */
    pcl_call_promise promise;
    pcl_pin pin;                 /* it goes over this connection or not at all */
    portcullis *client;          /* borrowed: the channel ends before its client */
    portcullis_session *session; /* counted; NULL: of none */
    portcullis_callback *callback;
    void *context; /* the callback's */

    /* The channel's: */
    uint64_t born_us;          /* when it was submitted */
    uint64_t deadline_us;      /* what the caller asked for, without the grace */
    uint64_t connect_by_us;    /* a gatekeeper must be there by then */
    uint64_t sent_us;          /* when it was last sent; 0 never */
    uint64_t ticket;           /* the present one */
    uint32_t tried;            /* a bit for each peer that it was sent to */
    pcl_seal_mark mark;        /* what the reply's seal must name; of the last sending */
    pcl_pin way;               /* the connection that it went over; meaningless while unsent */
    bool waiting;              /* in a list of unsent calls */
    portcullis_result *result; /* once it is complete, until it is told */
} pcl_call;

/* Takes payload, and leaves it empty.  NULL: out of memory, payload is still the caller's. */
pcl_call *pcl_call_new(pcl_buffer *payload);
void pcl_call_destroy(pcl_call **self_p);

#endif
