#include "net/hop.h"

#include "net/time.h"
#include "wire/hop_frame.h"

#include <assert.h>
#include <string.h>

enum { DEALER_FRAMES = 3, ROUTER_FRAMES = 4 };

static_assert(PCL_HOP_FRAME_SIZE_MAX <= PCL_FRAME_LENT_MAX, "whatever is packed may be lent");
static_assert(PCL_HEAD_FIXED_SIZE > sizeof(zmq_msg_t),
              "libzmq keeps no head in the message itself, which moves");

void pcl_hop_inbox_init(pcl_hop_inbox *self, zsock_t *socket, bool router)
{
    assert(self != NULL && socket != NULL);
    *self = (pcl_hop_inbox){.socket = socket, .router = router};
    zmq_msg_init(&self->peer);
    zmq_msg_init(&self->frame);
}

void pcl_hop_inbox_release(pcl_hop_inbox *self)
{
    assert(self != NULL);
    if (self->socket != NULL) {
        zmq_msg_close(&self->peer);
        zmq_msg_close(&self->frame);
        *self = (pcl_hop_inbox){.socket = NULL};
    }
}

void pcl_hop_inbox_lend(pcl_hop_inbox *self)
{
    assert(self != NULL);
    self->lends = true;
}

zmq_msg_t *pcl_hop_inbox_frame(pcl_hop_inbox *self)
{
    assert(self != NULL);
    return &self->frame;
}

static void s_copy(zmq_msg_t *target, zmq_msg_t *source)
{
    zmq_msg_init(target);
    int rc = zmq_msg_copy(target, source);
    assert(rc == 0);
}

/* false: the message is not of the protocol.  Checked on the frames where they
 * are, so that nothing of a bad message is handed out. */
static bool s_has_its_frames(pcl_frames *frames, bool router)
{
    uint32_t routes = router ? 1 : 0;
    bool packed = frames->count == routes + 1;
    return !frames->overflow && (packed || frames->count == routes + DEALER_FRAMES) &&
           (!router || zmq_msg_size(&frames->frame[0]) > 0);
}

/* Keeps who speaks, and its first frame.  false: the message is not of the protocol. */
static bool s_keep(pcl_hop_inbox *self, pcl_frames *frames)
{
    uint32_t routes = self->router ? 1 : 0;
    if (!s_has_its_frames(frames, self->router)) {
        return false;
    }
    const char *user_id = pcl_frame_user_id(&frames->frame[routes]);
    size_t user_id_size = strlen(user_id);
    if (user_id_size >= sizeof self->user_id) {
        return false;
    }
    memcpy(self->user_id, user_id, user_id_size + 1);
    int rc = zmq_msg_move(&self->frame, &frames->frame[routes]);
    if (self->router) {
        rc |= zmq_msg_move(&self->peer, &frames->frame[0]);
    }
    assert(rc == 0);
    return true;
}

/* Decoded where the octets stay: head borrows from head_frame. */
static pcl_hop_recv_result s_finish(pcl_hop_inbox *self, pcl_hop_message *message)
{
    pcl_bytes octets = pcl_frame_bytes(&message->head_frame);
    size_t size = pcl_head_size(octets);
    bool whole = size > 0 && size <= octets.size &&
                 pcl_head_decode(&message->head, pcl_bytes_of(octets.data, size)) == PCL_ERR_OK;
    if (!whole) {
        zmq_msg_close(&message->head_frame);
        zmq_msg_close(&message->payload);
        zmq_msg_close(&message->tail);
        return PCL_HOP_DROPPED;
    }
    s_copy(&message->peer, &self->peer);
    memcpy(message->user_id, self->user_id, sizeof message->user_id);
    message->received_us = self->received_us;
    return PCL_HOP_MESSAGE;
}

/* Whether the frame has more than anybody may send at once.  A message that is alone has no bound
 * here but the socket's. */
static bool s_is_too_much(const pcl_hop_inbox *self, bool alone)
{
    return !alone && (self->taken > PCL_HOP_BATCH_COUNT_MAX || self->size > PCL_HOP_BATCH_SIZE_MAX);
}

/* A part of what is there for as long as it may be borrowed. */
static void s_lend(zmq_msg_t *out_part, pcl_bytes octets)
{
    if (octets.size <= PCL_FRAME_LENT_MAX) {
        pcl_frame_lend(out_part, octets);
    } else {
        pcl_frame_copy_of(out_part, octets);
    }
}

/* whole: the message's octets in the frame.  Those who are lent nothing have them in one message of
 * their own, which payload and tail borrow from. */
static void s_hand_out(pcl_hop_inbox *self, pcl_hop_message *message, pcl_bytes whole,
                       pcl_hop_frame *parts)
{
    if (whole.size == self->size) {                 /* it is alone */
        s_copy(&message->head_frame, &self->frame); /* by reference */
    } else if (self->lends) {
        s_lend(&message->head_frame, parts->head);
    } else {
        pcl_frame_copy_of(&message->head_frame, whole);
        pcl_bytes own = pcl_frame_bytes(&message->head_frame);
        bool copied = pcl_hop_frame_next(parts, &own);
        assert(copied);
    }
    s_lend(&message->payload, parts->payload);
    s_lend(&message->tail, parts->tail);
}

/* The next message of the packed frame. */
static pcl_hop_recv_result s_unpack(pcl_hop_inbox *self, pcl_hop_message *message)
{
    pcl_bytes whole = self->rest;
    pcl_hop_frame parts;
    bool sound = pcl_hop_frame_next(&parts, &self->rest);
    whole.size -= self->rest.size;
    bool alone = whole.size == self->size;
    self->taken++;
    if (!sound || s_is_too_much(self, alone)) {
        self->rest.size = 0;
        return PCL_HOP_DROPPED;
    }
    s_hand_out(self, message, whole, &parts);
    return s_finish(self, message);
}

/* A message in parts. */
static pcl_hop_recv_result s_take_parts(pcl_hop_inbox *self, pcl_hop_message *message,
                                        pcl_frames *frames)
{
    uint32_t routes = self->router ? 1 : 0;
    size_t head_size = pcl_head_size(pcl_frame_bytes(&self->frame));
    if (head_size != zmq_msg_size(&self->frame)) {
        return PCL_HOP_DROPPED;
    }
    s_copy(&message->head_frame, &self->frame);
    zmq_msg_init(&message->payload);
    zmq_msg_init(&message->tail);
    int rc = zmq_msg_move(&message->payload, &frames->frame[routes + 1]);
    rc |= zmq_msg_move(&message->tail, &frames->frame[routes + 2]);
    assert(rc == 0);
    return s_finish(self, message);
}

pcl_hop_recv_result pcl_hop_recv(pcl_hop_inbox *self, pcl_hop_message *out_message)
{
    assert(self != NULL && self->socket != NULL && out_message != NULL);
    if (self->rest.size > 0) {
        return s_unpack(self, out_message);
    }
    pcl_frames frames;
    switch (pcl_frames_recv(&frames, self->socket)) {
    case PCL_RECV_NONE:
        return PCL_HOP_NONE;
    case PCL_RECV_FAILED:
        return PCL_HOP_FAILED;
    case PCL_RECV_MESSAGE:
        break;
    }
    bool packed = frames.count < (self->router ? ROUTER_FRAMES : DEALER_FRAMES);
    pcl_hop_recv_result result = PCL_HOP_DROPPED;
    self->received_us = pcl_now_us();
    if (s_keep(self, &frames)) {
        self->rest = packed ? pcl_frame_bytes(&self->frame) : pcl_bytes_of(NULL, 0);
        self->size = self->rest.size;
        self->taken = 0;
        result = packed ? s_unpack(self, out_message) : s_take_parts(self, out_message, &frames);
    }
    pcl_frames_close(&frames);
    return result;
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

bool pcl_hop_is_packed(const zmq_msg_t *payload, const zmq_msg_t *tail)
{
    return s_size(payload) + s_size(tail) <= PCL_HOP_FRAME_SIZE_MAX;
}

static void s_pack(zmq_msg_t *out_frame, pcl_bytes head, zmq_msg_t *payload, zmq_msg_t *tail)
{
    pcl_hop_frame parts = {.head = head, .payload = s_octets(payload), .tail = s_octets(tail)};
    int rc = zmq_msg_init_size(out_frame, pcl_hop_frame_size(&parts));
    assert(rc == 0);
    (void)pcl_hop_frame_write(&parts, zmq_msg_data(out_frame));
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
    if (payload != NULL) {
        pcl_frame_keep(payload); /* libzmq reads it later */
    }
    if (tail != NULL) {
        pcl_frame_keep(tail);
    }
    s_move_or_empty(&frames[count + 1], payload);
    s_move_or_empty(&frames[count + 2], tail);
    return count + DEALER_FRAMES;
}

/* frames[0], where there is a peer.  Returns how many there are then. */
static uint32_t s_put_peer(zmq_msg_t *frames, zmq_msg_t *peer)
{
    if (peer != NULL) {
        s_copy(&frames[0], peer);
    }
    return peer != NULL ? 1 : 0;
}

pcl_err pcl_hop_send_frame(zsock_t *socket, zmq_msg_t *peer, zmq_msg_t *frame)
{
    assert(socket != NULL && frame != NULL);
    zmq_msg_t frames[2];
    uint32_t count = s_put_peer(frames, peer);
    s_move_or_empty(&frames[count], frame);
    pcl_err err = pcl_frames_send(frames, count + 1, socket);
    if (err != PCL_ERR_OK) {
        s_give_back(frame, &frames[count]);
        pcl_frames_close_each(frames, count);
    }
    return err;
}

static pcl_err s_send_parts(zsock_t *socket, zmq_msg_t *peer, pcl_bytes head, zmq_msg_t *payload,
                            zmq_msg_t *tail)
{
    zmq_msg_t frames[ROUTER_FRAMES];
    uint32_t count = s_put_parts(frames, s_put_peer(frames, peer), head, payload, tail);
    pcl_err err = pcl_frames_send(frames, count, socket);
    if (err != PCL_ERR_OK) {
        s_give_back(tail, &frames[--count]);
        s_give_back(payload, &frames[--count]);
        pcl_frames_close_each(frames, count);
    }
    return err;
}

pcl_err pcl_hop_send(zsock_t *socket, zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload,
                     zmq_msg_t *tail)
{
    assert(socket != NULL && head != NULL);
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    pcl_bytes head_octets = pcl_bytes_of(octets, pcl_head_encode(head, octets));
    if (!pcl_hop_is_packed(payload, tail)) {
        return s_send_parts(socket, peer, head_octets, payload, tail);
    }
    zmq_msg_t frame;
    s_pack(&frame, head_octets, payload, tail);
    pcl_err err = pcl_hop_send_frame(socket, peer, &frame);
    if (err == PCL_ERR_OK) {
        s_empty(payload);
        s_empty(tail);
    }
    zmq_msg_close(&frame);
    return err;
}
