/* hop.h - messages between daemons on real sockets (docs/rfc/2-hop-protocol.md).
 *
 *   ROUTER side   [peer][head][payload][tail]
 *   DEALER side         [head][payload][tail]
 *
 * payload and tail are empty messages where the kind has none.  Of a small message all three are
 * packed into one frame (wire/hop_frame.h), since CURVE encrypts each frame by itself, at more cost
 * than its octets have; who sends or receives sees no difference.
 */
#ifndef PCL_NET_HOP_H
#define PCL_NET_HOP_H

#include "net/frames.h"
#include "wire/head.h"

#include <stdbool.h>

typedef struct pcl_hop_message {
    zmq_msg_t peer;       /* ROUTER only: routing id; else empty */
    zmq_msg_t head_frame; /* what head borrows from; of a packed one the whole frame */
    zmq_msg_t payload;    /* may be empty */
    zmq_msg_t tail;       /* seal, explanation or report; may be empty */
    pcl_head head;
    char user_id[41]; /* public key of the peer, "" on inproc and ipc */
    /* Our clock, read after the message was there.  The clock of the loop's turn may be older than
     * the message when the process was stopped in between, and would teach pcl_transit a way that
     * is shorter than any. */
    uint64_t received_us;
} pcl_hop_message;

typedef enum pcl_hop_recv_result {
    PCL_HOP_NONE = 0, /* nothing waits */
    PCL_HOP_MESSAGE,  /* the caller closes it */
    PCL_HOP_DROPPED,  /* one came that is not of the protocol; dropped, count it */
    PCL_HOP_FAILED,   /* leave the loop */
} pcl_hop_recv_result;

/* Never blocks.  out_message need not be initialised; it is only with MESSAGE. */
pcl_hop_recv_result pcl_hop_recv(pcl_hop_message *out_message, zsock_t *socket, bool router);
void pcl_hop_close(pcl_hop_message *self);

/* The head's own octets in a head_frame of a message that was received. */
pcl_bytes pcl_hop_head_octets(zmq_msg_t *head_frame);

/* Sends head, and payload and tail where not NULL.  peer NULL on a DEALER; peer
 * is copied by reference.  OK: payload and tail have been moved away.  On
 * failure (OVERLOADED, UNAVAILABLE) they are still the caller's, whole. */
pcl_err pcl_hop_send(zsock_t *socket, zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload,
                     zmq_msg_t *tail) PCL_MUST_CHECK;

#endif
