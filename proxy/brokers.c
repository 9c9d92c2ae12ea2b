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

static bool s_may_speak(const pcl_proxy *self, const pcl_hop_message *message)
{
    if (self->brokers_plain) {
        return true;
    }
    return self->broker_keys != NULL && message->user_id[0] != '\0' &&
           pcl_key_list_find(self->broker_keys, message->user_id) != NULL;
}

static void s_pong(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us)
{
    pcl_head pong = {.kind = PCL_KIND_PONG,
                     .ticket = message->head.ticket,
                     .sent_us = now_us,
                     .flags = self->draining ? PCL_HEAD_DRAINING : 0};
    pcl_head_set_boot_id(&pong, self->args->boot_id);
    /* A broker that does not take its answer asks again. */
    (void)!pcl_hop_send(self->brokers_socket, &message->peer, &pong, NULL, NULL);
}

static void s_handle(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us)
{
    if (!s_may_speak(self, message)) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_STRANGER, "broker", now_us);
        return;
    }
    pcl_proxy_broker *broker = s_broker(self, &message->peer, now_us);
    uint64_t wait_us = pcl_transit_wait_us(&broker->transit, message->head.sent_us, now_us);
    switch (message->head.kind) {
    case PCL_KIND_REQUEST:
        pcl_proxy_begin(self, message, wait_us, now_us);
        return;
    case PCL_KIND_PING:
        s_pong(self, message, now_us);
        return;
    case PCL_KIND_PONG:
    case PCL_KIND_BYE:    /* what it asked for is still answered, or dropped as unroutable */
    case PCL_KIND_CANCEL: /* the deadline ends it */
        return;
    case PCL_KIND_REPLY:
    case PCL_KIND_BEAT:
    case PCL_KIND_LIMIT:
        pcl_proxy_dropped(self, PCL_PROXY_DROP_KIND, "broker", now_us);
        return;
    }
}

bool pcl_proxy_on_broker(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        pcl_hop_message message;
        switch (pcl_hop_recv(&message, self->brokers_socket, true)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_MESSAGE:
            s_handle(self, &message, message.received_us);
            pcl_hop_close(&message);
            break;
        case PCL_HOP_DROPPED:
            pcl_proxy_dropped(self, PCL_PROXY_DROP_MALFORMED, "broker", now_us);
            break;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        }
    }
    return true;
}

void pcl_proxy_brokers_goodbye(pcl_proxy *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < PCL_PROXY_BROKERS_MAX; index++) {
        pcl_proxy_broker *broker = &self->brokers[index];
        if (broker->known) {
            pcl_head bye = {.kind = PCL_KIND_BYE, .sent_us = now_us};
            pcl_head_set_boot_id(&bye, self->args->boot_id);
            /* One that is gone needs no goodbye. */
            (void)!pcl_hop_send(self->brokers_socket, &broker->peer, &bye, NULL, NULL);
        }
    }
}
