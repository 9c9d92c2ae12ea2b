/* Who the source is: the proxy decides nothing of it.  It passes on what agents say, remembers what
 * was decided, for those who come later, and names a source that wants to hand over somebody who
 * could take over.  So any number of proxies may do this at once, and each may forget it. */
#include "net/log.h"
#include "proxy/actor.h"
#include "proxy/successor.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static void s_send(pcl_proxy *self, uint32_t index, const pcl_topology *topology, uint64_t now_us)
{
    pcl_proxy_node *node = &self->nodes[index];
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    if (!node->connected || node->cut) {
        return;
    }
    pcl_head head = {.kind = PCL_KIND_TOPOLOGY,
                     .sent_us = now_us,
                     .flags = self->draining ? PCL_HEAD_DRAINING : 0};
    pcl_head_set_boot_id(&head, self->args->boot_id);
    zmq_msg_t payload;
    zmq_msg_t tail;
    (void)zmq_msg_init(&payload);
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_topology_encode(topology, octets)));
    /* Who does not take it says again what he knows, and is answered. */
    (void)!pcl_hop_send(self->agent_door.socket, &node->peer, &head, &payload, &tail);
    (void)zmq_msg_close(&payload);
    (void)zmq_msg_close(&tail);
}

/* To all others. */
static void s_pass_on(pcl_proxy *self, uint32_t from, const pcl_topology *topology, uint64_t now_us)
{
    pcl_topology passed = *topology;
    passed.own = (pcl_topology_place){.port = 0};
    passed.wants = false;
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        if (index != from) {
            s_send(self, index, &passed, now_us);
        }
    }
}

static void s_propose(pcl_proxy *self, uint32_t source_index, uint64_t now_us)
{
    const pcl_member *source = pcl_membership_at(self->members, source_index);
    const pcl_member *best = NULL;
    uint32_t best_index = 0;
    if (!source->reported || source->report.role != PCL_NODE_SOURCE) {
        return;
    }
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        const pcl_member *member = pcl_membership_at(self->members, index);
        const pcl_proxy_node *node = &self->nodes[index];
        pcl_successor_place where = {.place = &node->place,
                                     .leaves = node->leaves,
                                     .connected = node->connected && !node->cut};
        if (index != source_index && pcl_successor_fits(source, member, &where) &&
            (best == NULL || pcl_successor_is_better(member, best))) {
            best = member;
            best_index = index;
        }
    }
    if (best != NULL) {
        pcl_topology proposal = {.term = source->report.term,
                                 .stage = PCL_TOPOLOGY_PROPOSED,
                                 .source = self->nodes[best_index].place};
        memcpy(proposal.source.name, best->name, sizeof proposal.source.name);
        s_send(self, source_index, &proposal, now_us);
    }
}

static void s_note(pcl_proxy *self, const pcl_topology *heard, const char *from, uint64_t now_us)
{
    self->change_us = now_us;
    self->topology = *heard;
    self->topology.own = (pcl_topology_place){.port = 0};
    self->topology.wants = false;
    self->topology.ready = false;
    pcl_log(PCL_LOG_WARNING, "proxy", "topology", "term=%" PRIu64 " stage=%s source=%s said_by=%s",
            heard->term, pcl_topology_stage_text(heard->stage), heard->source.name, from);
}

void pcl_proxy_on_topology(pcl_proxy *self, uint32_t index, pcl_hop_message *message,
                           uint64_t now_us)
{
    pcl_topology heard;
    const pcl_member *member = pcl_membership_at(self->members, index);
    if (pcl_topology_decode(&heard, pcl_frame_bytes(&message->tail)) != PCL_ERR_OK ||
        heard.stage == PCL_TOPOLOGY_PROPOSED) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_REPORT, member->name, now_us);
        return;
    }
    self->nodes[index].place = heard.own;
    self->nodes[index].leaves = heard.wants;
    bool old = pcl_topology_is_newer(&heard, &self->topology);
    if (!old && (heard.stage == PCL_TOPOLOGY_FENCED || heard.stage == PCL_TOPOLOGY_DECIDED)) {
        self->change_us = now_us;
    }
    if (heard.stage == PCL_TOPOLOGY_FENCED) {
        s_pass_on(self, index, &heard, now_us);
    } else if (pcl_topology_is_newer(&self->topology, &heard)) {
        s_note(self, &heard, member->name, now_us);
        s_pass_on(self, index, &heard, now_us);
    }
    if (old) {
        s_send(self, index, &self->topology, now_us);
    } else if (heard.wants) {
        s_propose(self, index, now_us);
    }
}
