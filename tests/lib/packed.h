/* packed.h - the gatekeeper's end of the client library's connection, as a test plays it: messages
 * in the packed form (docs/rfc/1-client-protocol.md, section 2.1), on a plain ROUTER. */
#ifndef PCL_TESTS_PACKED_H
#define PCL_TESTS_PACKED_H

#include "wire/packed.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

typedef struct packed_message {
    zmq_msg_t peer, frame, apart;
    pcl_packed packed; /* borrows from the frames; its payload is there in either form */
} packed_message;

/* false: nothing came; else the caller closes it.  What comes must be packed. */
static inline bool packed_recv(void *socket, int flags, packed_message *out)
{
    (void)zmq_msg_init(&out->peer);
    (void)zmq_msg_init(&out->frame);
    (void)zmq_msg_init(&out->apart);
    if (zmq_msg_recv(&out->peer, socket, flags) < 0 || zmq_msg_recv(&out->frame, socket, 0) < 0) {
        return false;
    }
    bool more = zmq_msg_more(&out->frame) != 0;
    pcl_bytes frame = pcl_bytes_of(zmq_msg_data(&out->frame), zmq_msg_size(&out->frame));
    if (!pcl_packed_read(&out->packed, frame) || more != (out->packed.payload.size == 0) ||
        (more && zmq_msg_recv(&out->apart, socket, 0) < 0) || zmq_msg_more(&out->apart)) {
        abort();
    }
    if (more) {
        out->packed.payload = pcl_bytes_of(zmq_msg_data(&out->apart), zmq_msg_size(&out->apart));
    }
    return true;
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
