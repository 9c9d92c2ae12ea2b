/* peer.h - the connection to one gatekeeper: a DEALER and the monitor that
 * tells whether it is connected.
 *
 * An automatic routing id goes with the connection, so when the connection is
 * gone, the answers that were to come over it are gone too: the monitor's
 * DISCONNECTED is the moment when what is in flight is lost.  A peer that is
 * frozen or cut off is noticed by ZMTP heartbeats, within 1.5 seconds.
 *
 * libzmq gives a peer up for good that has refused our key or broke the protocol, and only of the
 * first does it say so.  So such a one is connected anew: after about a second where it refused us,
 * then every two, and else after five seconds in which nothing was heard of a connection that is
 * not there.
 *
 * Belongs to the thread of the channel.
 */
#ifndef PCL_CLIENT_PEER_H
#define PCL_CLIENT_PEER_H

#include "client/bundle.h"

#include "wire/packed.h"

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

typedef struct pcl_peer pcl_peer;

typedef struct pcl_peer_options {
    const pcl_bundle_gatekeeper *gatekeeper; /* copied */
    const pcl_bundle *bundle;                /* whose own keys to use; not kept */
    uint32_t queue_max;                      /* messages each way */
    uint32_t heartbeat_ms; /* 0: every 500; at most 10,000, as silence is bounded by six of them */
} pcl_peer_options;

/* context: a zmq context.  NULL: error says why. */
pcl_peer *pcl_peer_new(void *context, const pcl_peer_options *options, char *error,
                       size_t error_size);
void pcl_peer_destroy(pcl_peer **self_p);

void *pcl_peer_socket(pcl_peer *self);  /* to poll */
void *pcl_peer_monitor(pcl_peer *self); /* to poll */
/* Descriptors that become readable when there may be something to receive or to notice.  They tell
 * of each change once: who sleeps on them has read until nothing was left, and after sending has
 * asked pcl_peer_is_ready. */
int pcl_peer_fd(const pcl_peer *self);
int pcl_peer_monitor_fd(const pcl_peer *self);
/* Waits something to be received, or, for who wants to send, is there room? */
bool pcl_peer_is_ready(pcl_peer *self, bool sends);
const char *pcl_peer_endpoint(const pcl_peer *self);
/* It said that it shuts down: not up any more until it is connected anew.  What it has already may
 * still be answered. */
void pcl_peer_retire(pcl_peer *self);
/* What its connection was last seen doing, for people: "connection refused". */
const char *pcl_peer_why(const pcl_peer *self);
bool pcl_peer_is_up(const pcl_peer *self);
/* The number of the present connection, or of the last one; 0 before the first. */
uint64_t pcl_peer_generation(const pcl_peer *self);
/* Is it still that connection?  Also of a peer that is retired. */
bool pcl_peer_is_connected(const pcl_peer *self, uint64_t generation);

/* Reads the monitor, and connects anew when that is due.  true: the connection was lost since the
 * last call (it may be there again already), and what came over it has to be read before its losses
 * are counted. */
bool pcl_peer_notice(pcl_peer *self, uint64_t now_us);
/* When pcl_peer_notice is to be called even if the monitor is silent; UINT64_MAX: never. */
uint64_t pcl_peer_redial_due_us(const pcl_peer *self);

#define PCL_PEER_STAGED_SIZE_MAX 4096u /* a larger payload goes by itself */

/* What has become of a request. */
typedef enum pcl_peer_send_result {
    PCL_PEER_SENT = 0, /* it went by itself, as large ones do */
    PCL_PEER_STAGED,   /* it goes with the next flush; the payload was copied */
    PCL_PEER_ROOM,     /* there is no room beside what is staged: flush first */
    PCL_PEER_FULL,     /* the queue is full or nobody is connected */
} pcl_peer_send_result;

/* Never blocks.  payload is copied.  seal: empty, none. */
pcl_peer_send_result pcl_peer_send(pcl_peer *self, uint64_t ticket, pcl_bytes payload,
                                   pcl_bytes seal) PCL_MUST_CHECK;
/* Sends all that is staged, in one frame; never blocks, and nothing is staged afterwards.  false:
 * the queue is full or nobody is connected, and none of it was sent. */
bool pcl_peer_flush(pcl_peer *self) PCL_MUST_CHECK;

/* Has it sent what this library cannot read, on this connection?  One of another version may. */
bool pcl_peer_is_strange(const pcl_peer *self);

typedef enum pcl_peer_recv_result {
    PCL_PEER_NONE = 0, /* nothing waits */
    PCL_PEER_MESSAGE,  /* payload must be closed by the caller */
    PCL_PEER_DROPPED,  /* one came that is not of the protocol */
} pcl_peer_recv_result;

typedef struct pcl_peer_message {
    uint64_t ticket;
    zmq_msg_t payload;
    pcl_bytes seal; /* borrowed until the next pcl_peer_recv; empty where none is */
} pcl_peer_message;

/* One message, of which one frame may have brought many.  Never blocks.  *out_message need not be
 * initialised; it is only with MESSAGE. */
pcl_peer_recv_result pcl_peer_recv(pcl_peer *self, pcl_peer_message *out_message);

#endif
