/* hop_outbox.h - what a socket is to send to other daemons: gathered in a turn of the loop, sent as
 * one frame for each peer at its end (docs/rfc/2-hop-protocol.md, section 3).
 *
 *   pcl_hop_outbox_send(peer, head, ..)  a small message joins a frame; a large one is sent
 *   pcl_hop_outbox_flush()               sends the frames; at the end of each turn of the loop
 *   unsent(peer, head)                   <- that message has not left and will not
 *
 * Rules:
 *  1. What was sent to one peer arrives in that order, or not at all.
 *  2. A message that OK was said of has been sent, is still here, or unsent was called for it,
 *     once.  So its owner may count it as sent from OK on, and takes that back when unsent says so.
 *  3. A frame for which the peer has no room waits, and is tried again at each flush.  Meanwhile
 *     that peer gets nothing else, OVERLOADED, and other peers are not held up.  So it is as if the
 *     peer's queue had one more place.
 *  4. A frame whose peer is gone is unsent, at the next flush; and one that has waited for room for
 *     PCL_HOP_OUTBOX_WAIT_MS, so that nothing waits for who does not read for longer than that.
 *  5. unsent is called by _flush, _drop and _drop_peer alone, never by _send; it may send.
 *
 * Belongs to the socket's thread.  A socket that has an outbox may also be sent to past it, by
 * pcl_hop_send, what may overtake: a beat, or its answer.
 */
#ifndef PCL_NET_HOP_OUTBOX_H
#define PCL_NET_HOP_OUTBOX_H

#include "net/hop.h"

#define PCL_HOP_OUTBOX_WAIT_MS 1000u

typedef struct pcl_hop_outbox pcl_hop_outbox;

/* That message has not left; peer and head are borrowed until it returns, peer is NULL on a DEALER.
 * why: UNAVAILABLE, the peer is gone, or OVERLOADED, it had no room for too long. */
typedef void(pcl_hop_outbox_unsent)(void *context, zmq_msg_t *peer, const pcl_head *head,
                                    pcl_err why, uint64_t now_us);

/* socket is borrowed until destroy.  unsent may be NULL.  Never NULL: aborts without memory. */
pcl_hop_outbox *pcl_hop_outbox_new(zsock_t *socket, pcl_hop_outbox_unsent *unsent, void *context);
/* Before the socket.  What is still in it is tried once more, and unsent is not called. */
void pcl_hop_outbox_destroy(pcl_hop_outbox **self_p);

/* As pcl_hop_send: OK, OVERLOADED or UNAVAILABLE. */
pcl_err pcl_hop_outbox_send(pcl_hop_outbox *self, zmq_msg_t *peer, const pcl_head *head,
                            zmq_msg_t *payload, zmq_msg_t *tail) PCL_MUST_CHECK;

void pcl_hop_outbox_flush(pcl_hop_outbox *self, uint64_t now_us);

/* Nothing of what is in it is to be sent any more. */
void pcl_hop_outbox_drop(pcl_hop_outbox *self, uint64_t now_us);

/* The same of what is for this peer, that is taken for lost though its connection is there: what
 * is told here never left, and what is not told may have.  Not from within unsent. */
void pcl_hop_outbox_drop_peer(pcl_hop_outbox *self, zmq_msg_t *peer, uint64_t now_us);

/* Messages in it; after a flush those that wait for room. */
uint32_t pcl_hop_outbox_count(const pcl_hop_outbox *self);

#endif
