/* packed.h - the gatekeeper's end of the client library's connection, as a test plays it: messages
 * in the packed forms (docs/rfc/1-client-protocol.md, sections 2.1 and 2.3), on a plain ROUTER. */
#ifndef PCL_TESTS_PACKED_H
#define PCL_TESTS_PACKED_H

#include "wire/packed.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* What ZeroMQ keeps inside a message, and copies with it; of what is longer a copy has the same
 * octets. */
#define PACKED_INSIDE_MAX 33u

typedef struct packed_message {
    zmq_msg_t peer, frame, apart;
    bool begins;       /* it is the first of its frame */
    pcl_packed packed; /* borrows from the frames; its payload is there in either form */
} packed_message;

/* A frame of several messages of which not all were taken. */
typedef struct packed_several {
    void *socket;
    zmq_msg_t peer, frame;
    pcl_packed_reader left;
} packed_several;

/* Where what is left of that socket's is; a thread has few sockets. */
static inline packed_several *packed_several_of(void *socket)
{
    static _Thread_local packed_several all[8];
    packed_several *free_one = NULL;
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
        if (all[index].socket == socket) {
            return &all[index];
        }
        free_one = all[index].socket == NULL ? &all[index] : free_one;
    }
    if (free_one == NULL) {
        abort();
    }
    free_one->socket = socket;
    (void)zmq_msg_init(&free_one->peer);
    (void)zmq_msg_init(&free_one->frame);
    return free_one;
}

/* Before the socket is closed, as another may get its address. */
static inline void packed_forget(void *socket)
{
    packed_several *several = packed_several_of(socket);
    (void)zmq_msg_close(&several->peer);
    (void)zmq_msg_close(&several->frame);
    several->left.left.size = 0;
    several->socket = NULL;
}

/* Whether there is something to receive that polling the socket does not tell. */
static inline bool packed_waits(void *socket)
{
    return packed_several_of(socket)->left.left.size > 0;
}

/* The next of several, which keeps the frame as long as it is open; true. */
static inline bool packed_take(packed_several *several, packed_message *out)
{
    if (zmq_msg_size(&several->frame) <= PACKED_INSIDE_MAX ||
        !pcl_packed_next(&several->left, &out->packed)) {
        abort();
    }
    (void)zmq_msg_copy(&out->peer, &several->peer);
    (void)zmq_msg_copy(&out->frame, &several->frame);
    if (several->left.left.size == 0) { /* another thread may end with it */
        (void)zmq_msg_close(&several->peer);
        (void)zmq_msg_init(&several->peer);
        (void)zmq_msg_close(&several->frame);
        (void)zmq_msg_init(&several->frame);
    }
    return true;
}

/* false: nothing came; else the caller closes it.  What comes must be packed. */
static inline bool packed_recv(void *socket, int flags, packed_message *out)
{
    packed_several *several = packed_several_of(socket);
    (void)zmq_msg_init(&out->peer);
    (void)zmq_msg_init(&out->frame);
    (void)zmq_msg_init(&out->apart);
    out->begins = several->left.left.size == 0;
    if (!out->begins) {
        return packed_take(several, out);
    }
    if (zmq_msg_recv(&out->peer, socket, flags) < 0 || zmq_msg_recv(&out->frame, socket, 0) < 0) {
        return false;
    }
    bool more = zmq_msg_more(&out->frame) != 0;
    pcl_bytes frame = pcl_bytes_of(zmq_msg_data(&out->frame), zmq_msg_size(&out->frame));
    if (!more && pcl_packed_open(&several->left, frame)) {
        (void)zmq_msg_move(&several->frame, &out->frame); /* its octets stay where they are */
        (void)zmq_msg_copy(&several->peer, &out->peer);
        return packed_take(several, out);
    }
    if (!pcl_packed_read(&out->packed, frame) || more != (out->packed.payload.size == 0) ||
        (more && zmq_msg_recv(&out->apart, socket, 0) < 0) || zmq_msg_more(&out->apart)) {
        abort();
    }
    if (more) {
        out->packed.payload = pcl_bytes_of(zmq_msg_data(&out->apart), zmq_msg_size(&out->apart));
    }
    return true;
}

/* Sends several in one frame, and empties the writer. */
static inline void packed_send_several(void *socket, const void *peer, size_t peer_size,
                                       pcl_packed_writer *writer)
{
    pcl_bytes frame = pcl_packed_writer_frame(writer);
    (void)zmq_send(socket, peer, peer_size, ZMQ_SNDMORE);
    (void)zmq_send(socket, frame.data, frame.size, 0);
    pcl_packed_writer_clear(writer);
}

static inline void packed_close(packed_message *self)
{
    (void)zmq_msg_close(&self->peer);
    (void)zmq_msg_close(&self->frame);
    (void)zmq_msg_close(&self->apart);
}

/* The payload in the frame where it fits, else behind it.  peer stays the caller's. */
static inline void packed_send(void *socket, const void *peer, size_t peer_size, uint64_t tag,
                               pcl_bytes seal, pcl_bytes payload)
{
    uint8_t octets[PCL_PACKED_HEAD_MAX + PCL_PACKED_PAYLOAD_MAX];
    bool apart = payload.size == 0 || payload.size > PCL_PACKED_PAYLOAD_MAX;
    size_t size = pcl_packed_write_head(tag, seal, octets);
    if (!apart) {
        memcpy(octets + size, payload.data, payload.size);
        size += payload.size;
    }
    (void)zmq_send(socket, peer, peer_size, ZMQ_SNDMORE);
    (void)zmq_send(socket, octets, size, apart ? ZMQ_SNDMORE : 0);
    if (apart) {
        (void)zmq_send(socket, payload.data, payload.size, 0);
    }
}

#endif
