/* call.h - one request on its way to its one completion. */
#ifndef PCL_CLIENT_CALL_H
#define PCL_CLIENT_CALL_H

#include "client/portcullis.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

typedef struct pcl_call {
    struct pcl_call *next; /* in the list of submitted or of unsent calls */
    struct pcl_call *previous;
    zmq_msg_t payload;      /* owned; sent by reference, since it may be sent again */
    uint64_t born_us;       /* when it was submitted */
    uint64_t deadline_us;   /* what the caller asked for, without the grace */
    uint64_t connect_by_us; /* a gatekeeper must be there by then */
    uint64_t sent_us;       /* when it was last sent; 0 never */
    uint64_t ticket;        /* the present one */
    uint32_t tried;         /* a bit for each peer that it was sent to */
    uint32_t peer;          /* that has it; meaningless while it is unsent */
    bool waiting;           /* in the list of unsent calls */
    bool idempotent;        /* running it twice does no harm */
    uint8_t id[PCL_ID_SIZE];
    portcullis_callback *callback;
    void *context; /* the callback's */
} pcl_call;

/* Takes payload's octets with it.  NULL: out of memory, payload is still the caller's. */
pcl_call *pcl_call_new(zmq_msg_t *payload);
void pcl_call_destroy(pcl_call **self_p);

#endif
