/* outbox.h - replies of one turn on their way to clients that take several in one frame.
 *
 * Replies to one connection that fit into a frame go in one (wire/packed.h), at the next flush:
 * that is within the turn in which they came.  What is in here is as good as sent: its
 * entry has left the relay.  So only such replies come here whose loss means no more than that they
 * are lost; and what is lost is counted.
 *
 * Bounds: PCL_OUTBOX_PLACES connections have a frame of PCL_PACKED_SIZE_MAX octets at the same
 * time. The frame of a connection whose queue is full stays here, and is tried again at each flush,
 * for PCL_OUTBOX_WAIT_MS; while it is full, more for that connection is refused.
 *
 * Belongs to one thread.  Allocates what a frame has, and ends the process where memory is out, as
 * all that makes messages.
 */
#ifndef PCL_GATEKEEPER_OUTBOX_H
#define PCL_GATEKEEPER_OUTBOX_H

#include "common/bytes.h"
#include "common/error.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#define PCL_OUTBOX_PLACES  64u
#define PCL_OUTBOX_WAIT_MS 1000u /* as long as a reply waits in the relay */

typedef struct pcl_outbox pcl_outbox;

/* How many replies did not reach their client, and why. */
typedef struct pcl_outbox_lost {
    uint64_t slow; /* it did not read */
    uint64_t gone; /* it is not there */
} pcl_outbox_lost;

/* socket: the ROUTER of the clients, borrowed until destroy.  NULL: out of memory. */
pcl_outbox *pcl_outbox_new(zsock_t *socket);
/* What is still in it is dropped. */
void pcl_outbox_destroy(pcl_outbox **self_p);

/* Copies the reply.  route: a routing id of the ROUTER's own, 5 octets.  payload: 1 to
 * PCL_PACKED_PAYLOAD_MAX octets.
 *
 * OVERLOADED   the connection's queue and its frame here are full
 * UNSUPPORTED  its place is taken by a connection that does not read: send it by itself */
pcl_err pcl_outbox_add(pcl_outbox *self, pcl_bytes route, uint64_t tag, pcl_bytes seal,
                       pcl_bytes payload, uint64_t now_us) PCL_MUST_CHECK;

/* Sends what is there. */
void pcl_outbox_flush(pcl_outbox *self, uint64_t now_us);
/* Whether nothing waits. */
bool pcl_outbox_is_empty(const pcl_outbox *self);
/* Since the last call. */
pcl_outbox_lost pcl_outbox_take_lost(pcl_outbox *self);

#endif
