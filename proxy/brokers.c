#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>
#include <string.h>

static bool s_same_peer(zmq_msg_t *a, zmq_msg_t *b)
{
    return pcl_bytes_equal(pcl_frame_bytes(a), pcl_frame_bytes(b));
}

/* A connection has a new routing id, so a broker that starts again, perhaps
 * with another clock, gets a new filter.  The one silent for longest gives way. */
static pcl_proxy_broker *s_broker(pcl_proxy *self, zmq_msg_t *peer, uint64_t now_us)
{
    pcl_proxy_broker *oldest = &self->brokers[0];
    for (uint32_t index = 0; index < PCL_PROXY_BROKERS_MAX; index++) {
        pcl_proxy_broker *broker = &self->brokers[index];
        if (broker->known && s_same_peer(&broker->peer, peer)) {
            broker->heard_us = now_us;
            return broker;
        }
        if (oldest->known && (!broker->known || broker->heard_us < oldest->heard_us)) {
            oldest = broker;
        }
    }
    if (oldest->known) {
        zmq_msg_close(&oldest->peer);
    }
    *oldest = (pcl_proxy_broker){.known = true, .heard_us = now_us};
    zmq_msg_init(&oldest->peer);
    int copied = zmq_msg_copy(&oldest->peer, peer);
    assert(copied == 0);
    return oldest;
}

void pcl_proxy_broker_gone(void *context, uint32_t connection, uint64_t now_us)
{
    pcl_proxy *self = context;
    uint8_t route[PCL_CONNECTION_ROUTE];
    pcl_connections_route(pcl_peer_watch_table(self->broker_watch), connection, route);
    pcl_proxy_cancel_peer(self, pcl_bytes_of(route, sizeof route), now_us);
}

bool pcl_proxy_on_broker_watch(void *context, uint64_t now_us)
{
    pcl_peer_watch_read(((pcl_proxy *)context)->broker_watch, now_us);
    return false;
}

static void s_handle(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us)
{
    uint32_t connection = pcl_peer_watch_find(self->broker_watch, pcl_frame_bytes(&message->peer),
                                              pcl_hop_inbox_frame(&self->broker_inbox), now_us);
    if (pcl_door_name(&self->broker_door, message->user_id) == NULL) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_STRANGER, "broker", now_us);
        return;
    }
    pcl_proxy_broker *broker = s_broker(self, &message->peer, now_us);
    uint64_t wait_us = pcl_transit_wait_us(&broker->transit, message->head.sent_us, now_us);
    switch (message->head.kind) {
    case PCL_KIND_REQUEST:
        if (connection == PCL_CONNECTION_GONE) { /* nobody waits for it */
            pcl_proxy_dropped(self, PCL_PROXY_DROP_UNROUTABLE, "broker", now_us);
            return;
        }
        pcl_proxy_begin(self, message, wait_us, now_us);
        return;
    case PCL_KIND_PING:
        pcl_proxy_tell(self, self->broker_door.socket, &message->peer, PCL_KIND_PONG, now_us);
        return;
    case PCL_KIND_CANCEL:
        pcl_proxy_on_cancel(self, message, now_us);
        return;
    case PCL_KIND_RELEASE:
        pcl_proxy_release(self, message->head.session, message->head.principal, "broker", now_us);
        return;
    case PCL_KIND_PONG:
    case PCL_KIND_BYE: /* what it asked for is still answered, or dropped as unroutable */
        return;
    case PCL_KIND_REPLY:
    case PCL_KIND_BEAT:
    case PCL_KIND_TOPOLOGY:
    case PCL_KIND_LIMIT:
        pcl_proxy_dropped(self, PCL_PROXY_DROP_KIND, "broker", now_us);
        return;
    }
}

void pcl_proxy_broker_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                             uint64_t now_us)
{
    (void)peer;
    pcl_proxy *self = context;
    if (head->kind == PCL_KIND_REPLY) {
        pcl_proxy_dropped(
            self, why == PCL_ERR_OVERLOADED ? PCL_PROXY_DROP_SLOW : PCL_PROXY_DROP_UNROUTABLE,
            "broker", now_us);
        pcl_proxy_release_opened(self, head, head->principal, now_us);
    }
}

bool pcl_proxy_on_broker(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    return pcl_proxy_read(self, &self->broker_inbox, "broker", s_handle, now_us);
}

void pcl_proxy_brokers_goodbye(pcl_proxy *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < PCL_PROXY_BROKERS_MAX; index++) {
        pcl_proxy_broker *broker = &self->brokers[index];
        if (broker->known) {
            pcl_proxy_tell(self, self->broker_door.socket, &broker->peer, PCL_KIND_BYE, now_us);
        }
    }
}
