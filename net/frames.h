/* frames.h - a multipart message as an array of zmq_msg_t, without zmsg's
 * allocations. */
#ifndef PCL_NET_FRAMES_H
#define PCL_NET_FRAMES_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#define PCL_FRAMES_MAX 8u
#define PCL_BATCH_MAX  128u /* messages taken from a socket before others get a turn */

typedef struct pcl_frames {
    zmq_msg_t frame[PCL_FRAMES_MAX]; /* the first count are initialised */
    uint32_t count;
    bool overflow; /* the message had more frames; the rest was read and dropped */
} pcl_frames;

#define PCL_FRAME_LENT_MAX 2048u

typedef enum pcl_recv {
    PCL_RECV_NONE = 0, /* nothing waits */
    PCL_RECV_MESSAGE,  /* one message; the caller closes it */
    PCL_RECV_FAILED,   /* the socket or context is gone; leave the loop */
} pcl_recv;

/* Never blocks.  out_frames need not be initialised. */
pcl_recv pcl_frames_recv(pcl_frames *out_frames, zsock_t *socket);
void pcl_frames_close(pcl_frames *self);

static inline pcl_bytes pcl_frame_bytes(zmq_msg_t *frame)
{
    return pcl_bytes_of(zmq_msg_data(frame), zmq_msg_size(frame));
}

/* The peer's public key as our ZAP handler set it, "" on inproc and ipc.
 * Borrowed from the frame. */
const char *pcl_frame_user_id(zmq_msg_t *frame);

/* Sends frames[0..count), never blocks.  OK: all were moved away (they are
 * empty now and need no closing).  OVERLOADED: the peer's queue is full.  UNAVAILABLE: no such
 * peer.  On failure all frames are still the caller's, whole. */
pcl_err pcl_frames_send(zmq_msg_t *frames, uint32_t count, zsock_t *socket) PCL_MUST_CHECK;

/* A message that holds a copy of octets; aborts when memory is out. */
void pcl_frame_copy_of(zmq_msg_t *out_frame, pcl_bytes octets);
/* A message that only borrows octets, at most PCL_FRAME_LENT_MAX: it may be read, copied, moved and
 * closed while they are there.  To be kept longer, or sent, it is kept first. */
void pcl_frame_lend(zmq_msg_t *out_frame, pcl_bytes octets);
/* What may borrow its octets has its own from now on; larger ones, which never borrow, stay as they
 * are. */
void pcl_frame_keep(zmq_msg_t *frame);

/* A client's message in one frame, or the first frame of one whose payload follows (then payload is
 * empty): wire/packed.h.  Likewise. */
void pcl_frame_pack(zmq_msg_t *out_frame, uint64_t tag, pcl_bytes seal, pcl_bytes payload);

/* Of frames that were not sent. */
void pcl_frames_close_each(zmq_msg_t *frames, uint32_t count);

/* A message that takes a buffer's octets, which leaves the buffer empty. */
void pcl_frame_of_buffer(zmq_msg_t *out_frame, pcl_buffer *buffer);

#endif
