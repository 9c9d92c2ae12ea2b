#include "net/hop.h"

#include "net/keys.h"
#include "net/time.h"

#include <assert.h>
#include <string.h>

enum { DEALER_FRAMES = 3, ROUTER_FRAMES = 4 };

/* Fills all but the head from frames, which it empties. */
static void s_take_frames(pcl_hop_message *message, pcl_frames *frames, bool router)
{
    zmq_msg_t *const targets[] = {&message->peer, &message->head_frame, &message->payload,
                                  &message->tail};
    size_t first = router ? 0 : 1;
    for (size_t index = 0; index < ROUTER_FRAMES; index++) {
        zmq_msg_init(targets[index]);
        if (index >= first) {
            int rc = zmq_msg_move(targets[index], &frames->frame[index - first]);
            assert(rc == 0);
        }
    }
    pcl_frames_close(frames);
}

/* false: the message is not of the protocol.  Checked on the frames where they
 * are, so that nothing of a bad message is handed out. */
static bool s_is_hop_message(pcl_frames *frames, bool router)
{
    if (frames->overflow || frames->count != (router ? ROUTER_FRAMES : DEALER_FRAMES)) {
        return false;
    }
    if (router && zmq_msg_size(&frames->frame[0]) == 0) {
        return false;
    }
    return strlen(pcl_frame_user_id(&frames->frame[router ? 1 : 0])) < PCL_KEY_TEXT_SIZE;
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
    if (!s_is_hop_message(&frames, router)) {
        pcl_frames_close(&frames);
        return PCL_HOP_DROPPED;
    }
    s_take_frames(out_message, &frames, router);
    out_message->received_us = pcl_now_us();
    const char *user_id = pcl_frame_user_id(&out_message->head_frame);
    memcpy(out_message->user_id, user_id, strlen(user_id) + 1); /* its size was checked */
    /* Decoded where the octets stay: head borrows from head_frame. */
    if (pcl_head_decode(&out_message->head, pcl_frame_bytes(&out_message->head_frame)) !=
        PCL_ERR_OK) {
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

pcl_err pcl_hop_send(zsock_t *socket, zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload,
                     zmq_msg_t *tail)
{
    assert(socket != NULL && head != NULL);
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    size_t size = pcl_head_encode(head, octets);
    zmq_msg_t frames[ROUTER_FRAMES];
    uint32_t count = 0;
    if (peer != NULL) {
        zmq_msg_init(&frames[count]);
        int rc = zmq_msg_copy(&frames[count], peer);
        assert(rc == 0);
        count++;
    }
    pcl_frame_copy_of(&frames[count++], pcl_bytes_of(octets, size));
    s_move_or_empty(&frames[count++], payload);
    s_move_or_empty(&frames[count++], tail);
    pcl_err err = pcl_frames_send(frames, count, socket);
    if (err != PCL_ERR_OK) {
        s_give_back(tail, &frames[--count]);
        s_give_back(payload, &frames[--count]);
        while (count > 0) {
            zmq_msg_close(&frames[--count]);
        }
    }
    return err;
}
