/* hop.h - messages between daemons on real sockets (docs/rfc/2-hop-protocol.md).
 *
 *   ROUTER side   [peer][head][payload][tail]
 *   DEALER side         [head][payload][tail]
 *
 * payload and tail are empty messages where the kind has none.  Small messages are packed, many
 * into one frame (wire/hop_frame.h), since CURVE encrypts, and libzmq queues, frame by frame, at
 * more cost than the octets have.  Whoever receives takes one message after the other out of an
 * inbox and sees no difference; net/hop_outbox.h gathers what is sent.
 */
#ifndef PCL_NET_HOP_H
#define PCL_NET_HOP_H

#include "net/frames.h"
#include "wire/head.h"

#include <stdbool.h>

#define PCL_HOP_USER_ID_SIZE 41u

typedef struct pcl_hop_message {
    zmq_msg_t peer;       /* ROUTER only: routing id; else empty */
    zmq_msg_t head_frame; /* what head borrows from, which it begins with; and the other two may */
    zmq_msg_t payload;    /* may be empty */
    zmq_msg_t tail;       /* seal, explanation or report; may be empty */
    pcl_head head;
    char user_id[PCL_HOP_USER_ID_SIZE]; /* public key of the peer, "" on inproc and ipc */
    /* Our clock, read after the frame was there.  The clock of the loop's turn may be older than
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

/* A socket's messages: the frame that was received last, and what of it was not handed out yet.
 * Belongs to the socket's thread. */
typedef struct pcl_hop_inbox {
    zsock_t *socket; /* borrowed */
    bool router;
    zmq_msg_t peer;  /* of the frame; empty on a DEALER */
    zmq_msg_t frame; /* the last packed one, or the last head */
    pcl_bytes rest;  /* of frame; empty: the next message is the socket's */
    size_t size;     /* of the packed frame */
    uint64_t received_us;
    uint32_t taken; /* messages of frame */
    bool lends;     /* what is packed is handed out as a view of frame */
    char user_id[PCL_HOP_USER_ID_SIZE];
} pcl_hop_inbox;

void pcl_hop_inbox_init(pcl_hop_inbox *self, zsock_t *socket, bool router);
void pcl_hop_inbox_release(pcl_hop_inbox *self);
/* From now on head_frame, too, borrows of packed messages, all three from the inbox, until the next
 * pcl_hop_recv: who keeps one longer calls pcl_frame_keep. */
void pcl_hop_inbox_lend(pcl_hop_inbox *self);

/* The next message; never blocks.  Whoever stops before NONE must come again without waiting for
 * the socket: it may have nothing while the inbox has.  Of a packed frame with a message that is
 * not of the protocol the others are handed out still, but for those behind one whose end cannot be
 * found, and for what is more than a frame may have (wire/hop_frame.h).  out_message need not be
 * initialised; it is only with MESSAGE.  Its payload and tail borrow from its head_frame: who keeps
 * one without that, or sends one by itself, calls pcl_frame_keep.  pcl_hop_send and the outbox take
 * them as they are. */
pcl_hop_recv_result pcl_hop_recv(pcl_hop_inbox *self, pcl_hop_message *out_message);
void pcl_hop_close(pcl_hop_message *self);

/* The frame that brought the last message, for what libzmq knows of its connection; until the next
 * pcl_hop_recv. */
zmq_msg_t *pcl_hop_inbox_frame(pcl_hop_inbox *self);

/* The head's own octets in a head_frame of a message that was received. */
pcl_bytes pcl_hop_head_octets(zmq_msg_t *head_frame);

/* Sends head, and payload and tail where not NULL, at once.  peer NULL on a DEALER; peer
 * is copied by reference.  OK: payload and tail have been moved away.  On
 * failure (OVERLOADED, UNAVAILABLE) they are still the caller's, whole. */
pcl_err pcl_hop_send(zsock_t *socket, zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload,
                     zmq_msg_t *tail) PCL_MUST_CHECK;

/* The same of a message that is packed already; frame is moved away on success only. */
pcl_err pcl_hop_send_frame(zsock_t *socket, zmq_msg_t *peer, zmq_msg_t *frame) PCL_MUST_CHECK;

/* Whether payload and tail (NULL: none) are so small that they are packed. */
bool pcl_hop_is_packed(const zmq_msg_t *payload, const zmq_msg_t *tail);

#endif
