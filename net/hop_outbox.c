#include "net/hop_outbox.h"

#include "common/clock.h"
#include "wire/hop_frame.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SLOTS_MAX = 64, /* peers with a frame at a time; to others messages are sent one by one */
    PASSES_MAX = 8, /* of a flush over what unsent has sent elsewhere; the next one goes on */
};

typedef enum s_state {
    SLOT_FREE = 0,
    SLOT_OPEN,    /* takes messages */
    SLOT_BLOCKED, /* its peer had no room for it */
    SLOT_FAILED,  /* it will not leave; the owner is to be told */
} s_state;

/* A peer's frame. */
typedef struct s_slot {
    s_state state;
    uint32_t count;  /* of messages */
    size_t size;     /* of octets in use */
    uint8_t *octets; /* owned; PCL_HOP_BATCH_SIZE_MAX; NULL until it is first used */
    zmq_msg_t peer;  /* initialised unless FREE; empty on a DEALER */
    pcl_bytes route; /* the peer's; in peer, which stays where it is */
    bool has_peer;
    uint64_t blocked_us; /* since when it is BLOCKED, as far as a flush has seen; 0: it is not */
    pcl_err why;         /* it is BLOCKED or FAILED */
} s_slot;

struct pcl_hop_outbox {
    zsock_t *socket; /* borrowed */
    pcl_hop_outbox_unsent *unsent;
    void *context;
    s_slot slots[SLOTS_MAX];
    uint32_t used;  /* all slots from here on are FREE */
    uint32_t count; /* of messages in all of them */
    bool telling;   /* unsent is being called */
};

pcl_hop_outbox *pcl_hop_outbox_new(zsock_t *socket, pcl_hop_outbox_unsent *unsent, void *context)
{
    assert(socket != NULL);
    pcl_hop_outbox *self = calloc(1, sizeof *self);
    assert(self != NULL); /* start-up */
    self->socket = socket;
    self->unsent = unsent;
    self->context = context;
    return self;
}

static void s_free(pcl_hop_outbox *self, s_slot *slot)
{
    if (slot->state != SLOT_FREE) {
        zmq_msg_close(&slot->peer);
        self->count -= slot->count;
        slot->state = SLOT_FREE;
        slot->count = 0;
        slot->size = 0;
        slot->blocked_us = 0;
    }
}

uint32_t pcl_hop_outbox_count(const pcl_hop_outbox *self)
{
    assert(self != NULL);
    return self->count;
}

static pcl_bytes s_octets(zmq_msg_t *frame)
{
    return frame != NULL ? pcl_frame_bytes(frame) : pcl_bytes_of(NULL, 0);
}

/* The peer's frame, else a free place; NULL: all are taken. */
static s_slot *s_find(pcl_hop_outbox *self, zmq_msg_t *peer)
{
    bool has_peer = peer != NULL;
    pcl_bytes route = s_octets(peer);
    s_slot *free_slot = self->used < SLOTS_MAX ? &self->slots[self->used] : NULL;
    for (uint32_t index = 0; index < self->used; index++) {
        s_slot *slot = &self->slots[index];
        if (slot->state == SLOT_FREE) {
            free_slot = slot;
        } else if (slot->has_peer == has_peer && pcl_bytes_equal(slot->route, route)) {
            return slot;
        }
    }
    return free_slot;
}

/* Sends the slot's frame, and frees the slot if that went well. */
static pcl_err s_send_slot(pcl_hop_outbox *self, s_slot *slot)
{
    assert(slot->state == SLOT_OPEN || slot->state == SLOT_BLOCKED);
    zmq_msg_t frame;
    pcl_frame_copy_of(&frame, pcl_bytes_of(slot->octets, slot->size));
    pcl_err err = pcl_hop_send_frame(self->socket, slot->has_peer ? &slot->peer : NULL, &frame);
    zmq_msg_close(&frame);
    if (err == PCL_ERR_OK) {
        s_free(self, slot);
    } else {
        slot->state = err == PCL_ERR_OVERLOADED ? SLOT_BLOCKED : SLOT_FAILED;
        slot->why = err;
    }
    return err;
}

static bool s_has_room(const s_slot *slot, const pcl_hop_frame *parts)
{
    pcl_hop_frame longest = *parts;
    longest.head.size = PCL_HEAD_SIZE_MAX;
    return slot->count < PCL_HOP_BATCH_COUNT_MAX &&
           pcl_hop_frame_size(&longest) <= PCL_HOP_BATCH_SIZE_MAX - slot->size;
}

static void s_open(pcl_hop_outbox *self, s_slot *slot, zmq_msg_t *peer)
{
    if (slot->octets == NULL) {
        slot->octets = malloc(PCL_HOP_BATCH_SIZE_MAX);
        assert(slot->octets != NULL);
    }
    zmq_msg_init(&slot->peer);
    slot->has_peer = peer != NULL;
    if (peer != NULL) {
        int rc = zmq_msg_copy(&slot->peer, peer);
        assert(rc == 0);
    }
    slot->route = pcl_frame_bytes(&slot->peer);
    slot->state = SLOT_OPEN;
    uint32_t index = (uint32_t)(slot - self->slots);
    self->used = index >= self->used ? index + 1 : self->used;
}

static void s_empty(zmq_msg_t *frame)
{
    if (frame != NULL) {
        zmq_msg_close(frame);
        zmq_msg_init(frame);
    }
}

/* The head is missing in parts. */
static void s_append(pcl_hop_outbox *self, s_slot *slot, const pcl_head *head, pcl_hop_frame *parts)
{
    uint8_t octets[PCL_HEAD_SIZE_MAX];
    parts->head = pcl_bytes_of(octets, pcl_head_encode(head, octets));
    const uint8_t *end = pcl_hop_frame_write(parts, slot->octets + slot->size);
    slot->size = (size_t)(end - slot->octets);
    slot->count++;
    self->count++;
}

pcl_err pcl_hop_outbox_send(pcl_hop_outbox *self, zmq_msg_t *peer, const pcl_head *head,
                            zmq_msg_t *payload, zmq_msg_t *tail)
{
    assert(self != NULL && head != NULL);
    pcl_hop_frame parts = {.payload = s_octets(payload), .tail = s_octets(tail)};
    bool packed = parts.payload.size + parts.tail.size <= PCL_HOP_FRAME_SIZE_MAX;
    s_slot *slot = s_find(self, peer);
    if (slot != NULL && (slot->state == SLOT_FAILED || slot->state == SLOT_BLOCKED)) {
        return slot->why;
    }
    bool open = slot != NULL && slot->state == SLOT_OPEN;
    if (open && (!packed || !s_has_room(slot, &parts))) {
        /* Nothing may overtake what is in it. */
        pcl_err err = s_send_slot(self, slot);
        if (err != PCL_ERR_OK) {
            return err;
        }
    }
    if (!packed || slot == NULL) {
        return pcl_hop_send(self->socket, peer, head, payload, tail);
    }
    if (slot->state == SLOT_FREE) {
        s_open(self, slot, peer);
    }
    s_append(self, slot, head, &parts);
    s_empty(payload);
    s_empty(tail);
    return PCL_ERR_OK;
}

/* Tells the owner of each message of a slot, which takes no other meanwhile. */
static void s_tell(pcl_hop_outbox *self, s_slot *slot, uint64_t now_us)
{
    assert(slot->state == SLOT_FAILED);
    pcl_bytes rest = pcl_bytes_of(slot->octets, slot->size);
    while (rest.size > 0 && self->unsent != NULL) {
        pcl_hop_frame parts;
        pcl_head head;
        bool whole = pcl_hop_frame_next(&parts, &rest) &&
                     pcl_head_decode(&head, parts.head) == PCL_ERR_OK;
        assert(whole); /* we wrote it */
        self->unsent(self->context, slot->has_peer ? &slot->peer : NULL, &head, slot->why, now_us);
    }
    s_free(self, slot);
}

/* A peer that does not read, for how long? */
static void s_note_blocked(s_slot *slot, uint64_t now_us)
{
    if (slot->blocked_us == 0) {
        slot->blocked_us = now_us;
    } else if (pcl_time_since_us(slot->blocked_us, now_us) >=
               PCL_HOP_OUTBOX_WAIT_MS * PCL_US_PER_MS) {
        slot->state = SLOT_FAILED;
    }
}

/* true: there may be more to do. */
static bool s_pass(pcl_hop_outbox *self, bool blocked_too, uint64_t now_us)
{
    bool told = false;
    for (uint32_t index = 0; index < self->used; index++) {
        s_slot *slot = &self->slots[index];
        if (slot->state == SLOT_OPEN || (slot->state == SLOT_BLOCKED && blocked_too)) {
            (void)!s_send_slot(self, slot); /* its state tells */
        }
        if (slot->state == SLOT_BLOCKED) {
            s_note_blocked(slot, now_us);
        }
        if (slot->state == SLOT_FAILED) {
            s_tell(self, slot, now_us);
            told = true;
        }
    }
    while (self->used > 0 && self->slots[self->used - 1].state == SLOT_FREE) {
        self->used--;
    }
    return told;
}

void pcl_hop_outbox_flush(pcl_hop_outbox *self, uint64_t now_us)
{
    assert(self != NULL && !self->telling);
    self->telling = true;
    bool more = self->used > 0;
    for (uint32_t pass = 0; more && pass < PASSES_MAX; pass++) {
        more = s_pass(self, pass == 0, now_us);
    }
    self->telling = false;
}

static void s_drop(pcl_hop_outbox *self, s_slot *slot, uint64_t now_us)
{
    slot->state = SLOT_FAILED;
    slot->why = PCL_ERR_UNAVAILABLE;
    s_tell(self, slot, now_us);
}

void pcl_hop_outbox_drop(pcl_hop_outbox *self, uint64_t now_us)
{
    assert(self != NULL && !self->telling);
    self->telling = true;
    for (uint32_t index = 0; index < self->used; index++) {
        if (self->slots[index].state != SLOT_FREE) {
            s_drop(self, &self->slots[index], now_us);
        }
    }
    self->telling = false;
}

void pcl_hop_outbox_drop_peer(pcl_hop_outbox *self, zmq_msg_t *peer, uint64_t now_us)
{
    assert(self != NULL && peer != NULL && !self->telling);
    s_slot *slot = s_find(self, peer);
    if (slot != NULL && slot->state != SLOT_FREE) {
        self->telling = true;
        s_drop(self, slot, now_us);
        self->telling = false;
    }
}

void pcl_hop_outbox_destroy(pcl_hop_outbox **self_p)
{
    assert(self_p != NULL);
    pcl_hop_outbox *self = *self_p;
    if (self == NULL) {
        return;
    }
    self->unsent = NULL;
    pcl_hop_outbox_flush(self, 0);
    for (uint32_t index = 0; index < SLOTS_MAX; index++) {
        s_free(self, &self->slots[index]);
        free(self->slots[index].octets);
    }
    free(self);
    *self_p = NULL;
}
