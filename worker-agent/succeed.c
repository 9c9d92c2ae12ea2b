/* The actor's part of a change of the source: what proxies say of it, and what they are told. */
#include "common/clock.h"
#include "net/log.h"
#include "worker-agent/agent.h"

#include <string.h>

void pcl_agent_on_topology(pcl_agent *self, pcl_hop_message *message, uint64_t now_us)
{
    pcl_topology heard;
    if (pcl_topology_decode(&heard, pcl_frame_bytes(&message->tail)) != PCL_ERR_OK) {
        pcl_metric_add(self->meter.messages_dropped, 1);
        return;
    }
    pcl_handover_hear(self->handover, &heard, now_us);
}

static void s_send(pcl_agent *self, pcl_link *link, pcl_bytes octets, uint64_t now_us)
{
    pcl_head head = {.kind = PCL_KIND_TOPOLOGY, .principal = pcl_bytes_text(self->options.node)};
    zmq_msg_t payload;
    zmq_msg_t tail;
    (void)zmq_msg_init(&payload);
    pcl_frame_copy_of(&tail, octets);
    if (pcl_link_send(link, &head, &payload, &tail, now_us) != PCL_ERR_OK) {
        pcl_log(PCL_LOG_DEBUG, self->who, "topology_unsent", "%s", ""); /* it is said again */
    }
    (void)zmq_msg_close(&payload);
    (void)zmq_msg_close(&tail);
}

/* Writes that stand alone and have no answer yet; those of sessions may take for ever. */
static bool s_writes_run(pcl_agent *self)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        const pcl_head *head = &entry->job->message.head;
        bool write = head->op == PCL_OP_TXN ||
                     (head->op == PCL_OP_QUERY && !pcl_sql_is_read((pcl_sql_class)head->sql_class));
        if (write && entry->job->held == NULL) {
            return true;
        }
    }
    return false;
}

/* A host that goes should not be the source's, nor should one that the operator has named. */
void pcl_agent_look_at_topology(pcl_agent *self)
{
    bool told = self->hand_over_on != PCL_CLOUD_STAYS && self->host.notice >= self->hand_over_on;
    pcl_handover_want(self->handover, told || self->leave);
    pcl_handover_look(self->handover, &self->topology);
    if (self->topology.closed && !s_writes_run(self)) {
        pcl_handover_quiet(self->handover);
    }
    pcl_meter_topology(&self->meter, &self->topology);
}

void pcl_agent_tell_topology(pcl_agent *self, uint64_t now_us)
{
    pcl_topology message;
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    if (!pcl_handover_due(self->handover, now_us, &message)) {
        return;
    }
    size_t size = pcl_topology_encode(&message, octets);
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        s_send(self, self->proxies[index].link, pcl_bytes_of(octets, size), now_us);
    }
}
