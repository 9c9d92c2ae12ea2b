#include "net/hop.h"

#include "net/time.h"
#include "wire/hop_frame.h"

#include <assert.h>
#include <string.h>

enum { DEALER_FRAMES = 3, ROUTER_FRAMES = 4 };

/* Fills the frames of message from frames, which it empties; of a packed one all is in head_frame
 * still. */
static void s_take_frames(pcl_hop_message *message, pcl_frames *frames, bool router)
{
    zmq_msg_t *const targets[] = {&message->peer, &message->head_frame, &message->payload,
                                  &message->tail};
    size_t first = router ? 0 : 1;
    for (size_t index = 0; index < ROUTER_FRAMES; index++) {
        zmq_msg_init(targets[index]);
        if (index >= first && index - first < frames->count) {
            int rc = zmq_msg_move(targets[index], &frames->frame[index - first]);
            assert(rc == 0);
        }
    }
    pcl_frames_close(frames);
}

/* false: the message is not of the protocol.  Checked on the frames where they
 * are, so that nothing of a bad message is handed out. */
static bool s_has_its_frames(const pcl_frames *frames, bool router)
{
    uint32_t routes = router ? 1 : 0;
    bool packed = frames->count == routes + 1;
    return !frames->overflow && (packed || frames->count == routes + DEALER_FRAMES);
}

/* All but the frames themselves.  false: they are not of the protocol. */
static bool s_read(pcl_hop_message *message, bool packed, bool router)
{
    const char *user_id = pcl_frame_user_id(&message->head_frame);
    size_t user_id_size = strlen(user_id);
    if ((router && zmq_msg_size(&message->peer) == 0) || user_id_size >= sizeof message->user_id) {
        return false;
    }
    memcpy(message->user_id, user_id, user_id_size + 1);
    pcl_bytes head = pcl_frame_bytes(&message->head_frame);
    if (packed) {
        pcl_hop_frame parts;
        if (!pcl_hop_frame_read(&parts, head)) {
            return false;
        }
        head = parts.head;
        pcl_frame_copy_of(&message->payload, parts.payload);
        pcl_frame_copy_of(&message->tail, parts.tail);
    }
    /* Decoded where the octets stay: head borrows from head_frame. */
    return pcl_head_decode(&message->head, head) == PCL_ERR_OK;
}

pcl_hop_recv_result pcl_hop_recv(pcl_hop_message *out_message, zsock_t *socket, bool router)
{
    assert(out_message != NULL && socket != NULL);
    pcl_frames frames;
    switch (pcl_frames_recv(&frames, socket)) {
    case PCL_RECV_NONE:
        return PCL_HOP_NONE;
    case PCL_RECV_FAILED:
        return PCL_HOP_FAILED;
    case PCL_RECV_MESSAGE:
        break;
    }
    if (!s_has_its_frames(&frames, router)) {
        pcl_frames_close(&frames);
        return PCL_HOP_DROPPED;
    }
    bool packed = frames.count < DEALER_FRAMES;
    s_take_frames(out_message, &frames, router);
    out_message->received_us = pcl_now_us();
    if (!s_read(out_message, packed, router)) {
        pcl_hop_close(out_message);
        return PCL_HOP_DROPPED;
    }
    return PCL_HOP_MESSAGE;
}

void pcl_hop_close(pcl_hop_message *self)
{
    assert(self != NULL);
    zmq_msg_close(&self->peer);
    zmq_msg_close(&self->head_frame);
    zmq_msg_close(&self->payload);
    zmq_msg_close(&self->tail);
}

pcl_bytes pcl_hop_head_octets(zmq_msg_t *head_frame)
{
    assert(head_frame != NULL);
    pcl_bytes frame = pcl_frame_bytes(head_frame);
    size_t size = pcl_head_size(frame);
    assert(size > 0 && size <= frame.size); /* it was decoded once */
    return pcl_bytes_of(frame.data, size);
}

static void s_move_or_empty(zmq_msg_t *target, zmq_msg_t *source)
{
    zmq_msg_init(target);
    if (source != NULL) {
        int rc = zmq_msg_move(target, source);
        assert(rc == 0);
    }
}

/* target is empty, or NULL: then source is our own and empty. */
static void s_give_back(zmq_msg_t *target, zmq_msg_t *source)
{
    if (target != NULL) {
        int rc = zmq_msg_move(target, source);
        assert(rc == 0);
    }
    zmq_msg_close(source);
}

static size_t s_size(const zmq_msg_t *frame)
{
    return frame != NULL ? zmq_msg_size(frame) : 0;
}

static pcl_bytes s_octets(zmq_msg_t *frame)
{
    return frame != NULL ? pcl_frame_bytes(frame) : pcl_bytes_of(NULL, 0);
}

static void s_pack(zmq_msg_t *out_frame, pcl_bytes head, zmq_msg_t *payload, zmq_msg_t *tail)
{
    pcl_hop_frame parts = {.head = head, .payload = s_octets(payload), .tail = s_octets(tail)};
    int rc = zmq_msg_init_size(out_frame, pcl_hop_frame_size(&parts));
    assert(rc == 0);
    pcl_hop_frame_write(&parts, zmq_msg_data(out_frame));
}

static void s_empty(zmq_msg_t *frame)
{
    if (frame != NULL) {
        zmq_msg_close(frame);
        zmq_msg_init(frame);
    }
}

/* frames: initialised already are the first count, which is 0 or the peer's.  Returns how many are
 * then. */
static uint32_t s_put_parts(zmq_msg_t *frames, uint32_t count, pcl_bytes head, zmq_msg_t *payload,
                            zmq_msg_t *tail)
{
    pcl_frame_copy_of(&frames[count], head);
    s_move_or_empty(&frames[count + 1], payload);
    s_move_or_empty(&frames[count + 2], tail);
    return count + DEALER_FRAMES;
}

pcl_err pcl_hop_send(zsock_t *socket, zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload,
                     zmq_msg_t *tail)
{
    assert(socket != NULL && head != NULL);
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_bytes head_octets = pcl_bytes_of(octets, pcl_head_encode(head, octets));
    zmq_msg_t frames[ROUTER_FRAMES];
    uint32_t count = 0;
    if (peer != NULL) {
        zmq_msg_init(&frames[count]);
        int rc = zmq_msg_copy(&frames[count], peer);
        assert(rc == 0);
        count++;
    }
    bool packed = s_size(payload) + s_size(tail) <= PCL_HOP_FRAME_SIZE_MAX;
    if (packed) {
        s_pack(&frames[count++], head_octets, payload, tail);
    } else {
        count = s_put_parts(frames, count, head_octets, payload, tail);
    }
    pcl_err err = pcl_frames_send(frames, count, socket);
    if (err == PCL_ERR_OK && packed) {
        s_empty(payload);
        s_empty(tail);
    }
    if (err != PCL_ERR_OK && !packed) {
        s_give_back(tail, &frames[--count]);
        s_give_back(payload, &frames[--count]);
    }
    while (err != PCL_ERR_OK && count > 0) {
        zmq_msg_close(&frames[--count]);
    }
    return err;
}
