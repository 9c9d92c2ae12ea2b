#include "net/frames.h"

#include "net/tsan.h"
#include "wire/packed.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -1 with errno, as zmq_msg_recv, but never because of a signal. */
static int s_msg_recv(zmq_msg_t *frame, void *handle)
{
    int rc;
    do {
        rc = zmq_msg_recv(frame, handle, ZMQ_DONTWAIT);
    } while (rc == -1 && errno == EINTR);
    if (rc != -1) {
        PCL_TSAN_TAKES(zmq_msg_data(frame));
    }
    return rc;
}

static int s_msg_send(zmq_msg_t *frame, void *handle, int flags)
{
    int rc;
    PCL_TSAN_GIVES(zmq_msg_data(frame));
    do {
        rc = zmq_msg_send(frame, handle, flags | ZMQ_DONTWAIT);
    } while (rc == -1 && errno == EINTR);
    return rc;
}

static void s_msg_close(zmq_msg_t *frame)
{
    int rc = zmq_msg_close(frame);
    assert(rc == 0); /* fails only for what is no message */
}

/* Reads the frames of a message that has more than fit. */
static bool s_drop_rest(void *handle)
{
    int more = 1;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        int rc = s_msg_recv(&frame, handle);
        more = rc != -1 && zmq_msg_more(&frame);
        s_msg_close(&frame);
        if (rc == -1) {
            return false;
        }
    }
    return true;
}

pcl_recv pcl_frames_recv(pcl_frames *out_frames, zsock_t *socket)
{
    assert(out_frames != NULL && socket != NULL);
    void *handle = zsock_resolve(socket);
    out_frames->count = 0;
    out_frames->overflow = false;
    int more = 1;
    while (more && out_frames->count < PCL_FRAMES_MAX) {
        zmq_msg_t *frame = &out_frames->frame[out_frames->count];
        zmq_msg_init(frame);
        if (s_msg_recv(frame, handle) == -1) {
            int error = errno;
            s_msg_close(frame);
            bool nothing = out_frames->count == 0 && error == EAGAIN;
            pcl_frames_close(out_frames);
            return nothing ? PCL_RECV_NONE : PCL_RECV_FAILED;
        }
        out_frames->count++;
        more = zmq_msg_more(frame);
    }
    if (more) {
        out_frames->overflow = true;
        if (!s_drop_rest(handle)) {
            pcl_frames_close(out_frames);
            return PCL_RECV_FAILED;
        }
    }
    return PCL_RECV_MESSAGE;
}

void pcl_frames_close(pcl_frames *self)
{
    assert(self != NULL);
    assert(self->count <= PCL_FRAMES_MAX);
    for (uint32_t index = 0; index < self->count; index++) {
        s_msg_close(&self->frame[index]);
    }
    self->count = 0;
}

const char *pcl_frame_user_id(zmq_msg_t *frame)
{
    assert(frame != NULL);
    const char *user_id = zmq_msg_gets(frame, "User-Id");
    return user_id != NULL ? user_id : "";
}

/* The first frame, at which libzmq decides whether there is room.  For about a
 * millisecond it may not have noticed that the peer has read; asking for the
 * socket's events makes it look. */
static int s_send_first(zmq_msg_t *frame, void *handle, int flags)
{
    int rc = s_msg_send(frame, handle, flags);
    if (rc == -1 && errno == EAGAIN) {
        int events;
        size_t size = sizeof events;
        if (zmq_getsockopt(handle, ZMQ_EVENTS, &events, &size) == 0) {
            rc = s_msg_send(frame, handle, flags);
        }
    }
    return rc;
}

pcl_err pcl_frames_send(zmq_msg_t *frames, uint32_t count, zsock_t *socket)
{
    assert(frames != NULL && socket != NULL);
    assert(count > 0);
    void *handle = zsock_resolve(socket);
    if (s_send_first(&frames[0], handle, count > 1 ? ZMQ_SNDMORE : 0) == -1) {
        return errno == EAGAIN ? PCL_ERR_OVERLOADED : PCL_ERR_UNAVAILABLE;
    }
    /* When a later one fails, the connection went away in between: the message
     * is lost with it, as if it had been sent just before, and libzmq swallows
     * the rest of it, which must be offered all the same. */
    for (uint32_t index = 1; index < count; index++) {
        int flags = index + 1 < count ? ZMQ_SNDMORE : 0;
        if (s_msg_send(&frames[index], handle, flags) == -1) {
            s_msg_close(&frames[index]);
            zmq_msg_init(&frames[index]);
        }
    }
    return PCL_ERR_OK;
}

void pcl_frame_copy_of(zmq_msg_t *out_frame, pcl_bytes octets)
{
    assert(out_frame != NULL);
    int rc = zmq_msg_init_size(out_frame, octets.size);
    assert(rc == 0);
    if (octets.size > 0) {
        memcpy(zmq_msg_data(out_frame), octets.data, octets.size);
    }
}

void pcl_frame_lend(zmq_msg_t *out_frame, pcl_bytes octets)
{
    assert(out_frame != NULL);
    assert(octets.size <= PCL_FRAME_LENT_MAX);
    if (octets.size == 0) {
        zmq_msg_init(out_frame);
        return;
    }
    /* Without a function that frees, libzmq neither allocates nor frees; it writes to no message.
     */
    int rc = zmq_msg_init_data(out_frame, (void *)(uintptr_t)octets.data, octets.size, NULL, NULL);
    assert(rc == 0);
}

void pcl_frame_keep(zmq_msg_t *frame)
{
    assert(frame != NULL);
    pcl_bytes octets = pcl_frame_bytes(frame);
    if (octets.size > 0 && octets.size <= PCL_FRAME_LENT_MAX) {
        zmq_msg_t own;
        pcl_frame_copy_of(&own, octets);
        int rc = zmq_msg_move(frame, &own);
        assert(rc == 0);
    }
}

void pcl_frame_pack(zmq_msg_t *out_frame, uint64_t tag, pcl_bytes seal, pcl_bytes payload)
{
    assert(out_frame != NULL);
    assert(payload.size <= PCL_PACKED_PAYLOAD_MAX);
    uint8_t head[PCL_PACKED_HEAD_MAX];
    uint32_t size = pcl_packed_write_head(tag, seal, head);
    int rc = zmq_msg_init_size(out_frame, size + payload.size);
    assert(rc == 0);
    uint8_t *octets = zmq_msg_data(out_frame);
    memcpy(octets, head, size);
    if (payload.size > 0) {
        memcpy(octets + size, payload.data, payload.size);
    }
}

void pcl_frames_close_each(zmq_msg_t *frames, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        s_msg_close(&frames[index]);
    }
}

static void s_free(void *data, void *hint)
{
    (void)hint;
    free(data);
}

void pcl_frame_of_buffer(zmq_msg_t *out_frame, pcl_buffer *buffer)
{
    assert(out_frame != NULL && buffer != NULL);
    size_t size = 0;
    uint8_t *data = pcl_buffer_take(buffer, &size);
    if (data == NULL) {
        zmq_msg_init(out_frame);
        return;
    }
    int rc = zmq_msg_init_data(out_frame, data, size, s_free, NULL);
    assert(rc == 0);
}
