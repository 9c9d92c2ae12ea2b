#include "broker/peers.h"

#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>
#include <string.h>

#define INTERVAL_US (PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS)

static bool s_is(const pcl_peer *peer, pcl_bytes routing)
{
    return pcl_bytes_equal(pcl_bytes_of(peer->routing, peer->routing_size), routing);
}

static uint32_t s_silent_longest(const pcl_peers *self)
{
    uint32_t oldest = 0;
    for (uint32_t index = 1; index < self->count; index++) {
        if (self->peer[index].heard_us < self->peer[oldest].heard_us) {
            oldest = index;
        }
    }
    return oldest;
}

pcl_peer *pcl_peers_heard(pcl_peers *self, pcl_bytes routing, uint64_t now_us)
{
    assert(self != NULL);
    assert(routing.size > 0 && routing.size <= PCL_PEER_ROUTING_SIZE_MAX);
    uint32_t index = self->last;
    if (index >= self->count || !s_is(&self->peer[index], routing)) {
        index = 0;
        while (index < self->count && !s_is(&self->peer[index], routing)) {
            index++;
        }
    }
    if (index == self->count) {
        index = self->count < PCL_PEERS_MAX ? self->count++ : s_silent_longest(self);
        pcl_peer *fresh = &self->peer[index];
        memset(fresh, 0, sizeof *fresh);
        memcpy(fresh->routing, routing.data, routing.size);
        fresh->routing_size = (uint8_t)routing.size;
    }
    self->last = index;
    self->peer[index].heard_us = now_us;
    self->peer[index].silent_us = 0;
    self->peer[index].gone = false;
    return &self->peer[index];
}

void pcl_peers_look(pcl_peers *self, uint64_t now_us)
{
    assert(self != NULL);
    uint64_t passed_us = self->looked_us != 0 ? pcl_time_since_us(self->looked_us, now_us) : 0;
    self->looked_us = now_us;
    for (uint32_t index = 0; index < self->count; index++) {
        self->peer[index].silent_us += passed_us < INTERVAL_US ? passed_us : INTERVAL_US;
    }
}

const pcl_peer *pcl_peers_gone(pcl_peers *self)
{
    assert(self != NULL);
    for (uint32_t index = 0; index < self->count; index++) {
        pcl_peer *peer = &self->peer[index];
        uint64_t beats = peer->flow.peer != 0 ? PCL_BEATS_GONE_ALONE : PCL_BEATS_GONE;
        if (!peer->gone && peer->boot_id != 0 && peer->silent_us > beats * INTERVAL_US) {
            peer->gone = true;
            return peer;
        }
    }
    return NULL;
}

void pcl_peers_left(pcl_peers *self, pcl_bytes routing)
{
    assert(self != NULL);
    for (uint32_t index = 0; index < self->count; index++) {
        if (s_is(&self->peer[index], routing)) {
            self->peer[index] = self->peer[--self->count];
            self->last = 0;
            return;
        }
    }
}

void pcl_peer_booted(pcl_peer *peer, uint64_t boot_id)
{
    assert(peer != NULL);
    if (peer->boot_id != boot_id) {
        peer->boot_id = boot_id;
        peer->transit = (pcl_transit){0};
    }
}
