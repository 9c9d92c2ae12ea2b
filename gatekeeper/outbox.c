#include "gatekeeper/outbox.h"

#include "common/clock.h"
#include "net/frames.h"
#include "wire/packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US (10 * PCL_US_PER_MS)

enum { ROUTE_SIZE = 5 };

typedef struct place {
    uint8_t route[ROUTE_SIZE]; /* whose frame it is; of nobody while the frame holds nothing */
    bool listed;
    pcl_packed_writer frame;
    uint64_t full_us;  /* since when the connection takes nothing; 0: it took all until now */
    uint64_t retry_us; /* then it is tried again */
} place;

struct pcl_outbox {
    zsock_t *socket;
    place places[PCL_OUTBOX_PLACES];
    uint8_t list[PCL_OUTBOX_PLACES]; /* the places that may hold something */
    uint32_t list_count;
    pcl_outbox_lost lost;
};

pcl_outbox *pcl_outbox_new(zsock_t *socket)
{
    assert(socket != NULL);
    pcl_outbox *self = calloc(1, sizeof *self);
    if (self != NULL) {
        self->socket = socket;
        for (uint32_t index = 0; index < PCL_OUTBOX_PLACES; index++) {
            pcl_packed_writer_init(&self->places[index].frame);
        }
    }
    return self;
}

void pcl_outbox_destroy(pcl_outbox **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        for (uint32_t index = 0; index < PCL_OUTBOX_PLACES; index++) {
            pcl_packed_writer_release(&(*self_p)->places[index].frame);
        }
        free(*self_p);
        *self_p = NULL;
    }
}

/* OK, OVERLOADED or UNAVAILABLE. */
static pcl_err s_send(const pcl_outbox *self, const place *one)
{
    zmq_msg_t frames[2];
    pcl_frame_copy_of(&frames[0], pcl_bytes_of(one->route, sizeof one->route));
    pcl_frame_copy_of(&frames[1], one->frame.count == 1 ? pcl_packed_writer_single(&one->frame)
                                                        : pcl_packed_writer_frame(&one->frame));
    pcl_err err = pcl_frames_send(frames, 2, self->socket);
    if (err != PCL_ERR_OK) {
        pcl_frames_close_each(frames, 2);
    }
    return err;
}

/* Leaves the place empty, unless the connection takes nothing and may still do so. */
static void s_flush(pcl_outbox *self, place *one, uint64_t now_us)
{
    if (one->frame.count == 0 || (one->full_us != 0 && now_us < one->retry_us)) {
        return;
    }
    pcl_err err = s_send(self, one);
    if (err == PCL_ERR_OVERLOADED) {
        one->full_us = one->full_us != 0 ? one->full_us : now_us;
        one->retry_us = now_us + RETRY_US;
        if (pcl_time_since_us(one->full_us, now_us) < PCL_OUTBOX_WAIT_MS * PCL_US_PER_MS) {
            return;
        }
        self->lost.slow += one->frame.count;
    } else if (err != PCL_ERR_OK) {
        self->lost.gone += one->frame.count;
    }
    pcl_packed_writer_clear(&one->frame);
    one->full_us = 0;
}

/* The connection's own place, which is empty or has room for more of it; NULL: another's waits
 * there. */
static place *s_place_of(pcl_outbox *self, pcl_bytes route, uint64_t now_us)
{
    uint8_t index = route.data[ROUTE_SIZE - 1] % PCL_OUTBOX_PLACES; /* ROUTERs count them up */
    place *one = &self->places[index];
    if (one->frame.count > 0 && memcmp(one->route, route.data, ROUTE_SIZE) != 0) {
        s_flush(self, one, now_us);
    }
    if (one->frame.count == 0) {
        memcpy(one->route, route.data, ROUTE_SIZE);
    } else if (memcmp(one->route, route.data, ROUTE_SIZE) != 0) {
        return NULL;
    }
    if (!one->listed) {
        one->listed = true;
        self->list[self->list_count++] = index;
    }
    return one;
}

pcl_err pcl_outbox_add(pcl_outbox *self, pcl_bytes route, uint64_t tag, pcl_bytes seal,
                       pcl_bytes payload, uint64_t now_us)
{
    assert(self != NULL);
    assert(route.size == ROUTE_SIZE);
    place *one = s_place_of(self, route, now_us);
    if (one == NULL) {
        return PCL_ERR_UNSUPPORTED;
    }
    if (pcl_packed_writer_add(&one->frame, tag, seal, payload)) {
        return PCL_ERR_OK;
    }
    s_flush(self, one, now_us);
    if (one->frame.count > 0) {
        return PCL_ERR_OVERLOADED;
    }
    bool added = pcl_packed_writer_add(&one->frame, tag, seal, payload);
    assert(added); /* any message fits into an empty frame */
    return PCL_ERR_OK;
}

void pcl_outbox_flush(pcl_outbox *self, uint64_t now_us)
{
    assert(self != NULL);
    uint32_t kept = 0;
    for (uint32_t step = 0; step < self->list_count; step++) {
        uint8_t index = self->list[step];
        place *one = &self->places[index];
        s_flush(self, one, now_us);
        one->listed = one->frame.count > 0;
        if (one->listed) {
            self->list[kept++] = index;
        }
    }
    self->list_count = kept;
}

bool pcl_outbox_is_empty(const pcl_outbox *self)
{
    assert(self != NULL);
    for (uint32_t step = 0; step < self->list_count; step++) {
        if (self->places[self->list[step]].frame.count > 0) {
            return false;
        }
    }
    return true;
}

pcl_outbox_lost pcl_outbox_take_lost(pcl_outbox *self)
{
    assert(self != NULL);
    pcl_outbox_lost lost = self->lost;
    self->lost = (pcl_outbox_lost){0, 0};
    return lost;
}
