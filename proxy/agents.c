#include "proxy/actor.h"

#include "common/clock.h"
#include "net/log.h"

#include <assert.h>
#include <string.h>

static const char *s_action_text(pcl_member_action action)
{
    switch (action) {
    case PCL_MEMBER_ADMIT:
        return "node-up";
    case PCL_MEMBER_RETURN:
        return "node-back";
    case PCL_MEMBER_CLEAR:
        return "node-cleared";
    case PCL_MEMBER_REPLACE:
        return "node-replaced";
    case PCL_MEMBER_DOUBT:
        return "node-suspect";
    case PCL_MEMBER_CLOSE:
        return "node-leaving";
    case PCL_MEMBER_LOSE:
        return "node-gone";
    case PCL_MEMBER_NOTHING:
    case PCL_MEMBER_ACTION_COUNT:
        break;
    }
    return "node";
}

static void s_log(const pcl_proxy *self, uint32_t index, pcl_member_action action)
{
    const pcl_member *member = pcl_membership_at(self->members, index);
    bool bad = action == PCL_MEMBER_DOUBT || action == PCL_MEMBER_LOSE ||
               action == PCL_MEMBER_REPLACE;
    pcl_log(bad ? PCL_LOG_WARNING : PCL_LOG_INFO, "proxy", s_action_text(action),
            "node=%s state=%s inflight=%u", member->name, pcl_member_state_text(member->state),
            member->candidate.own);
}

/* Not while a request is being routed: it may route others. */
static void s_act(pcl_proxy *self, uint32_t index, pcl_member_action action, uint64_t now_us)
{
    if (action == PCL_MEMBER_NOTHING) {
        return;
    }
    s_log(self, index, action);
    if (action == PCL_MEMBER_LOSE && self->nodes[index].connected) {
        /* It may stand still behind a connection that has no room: what waits here never ran. */
        pcl_hop_outbox_drop_peer(self->agent_outbox, &self->nodes[index].peer, now_us);
    }
    if (action == PCL_MEMBER_DOUBT) {
        pcl_proxy_node_failed(self, index, PCL_ATTEMPT_DOUBTED, now_us);
    } else if (action == PCL_MEMBER_LOSE || action == PCL_MEMBER_REPLACE) {
        pcl_proxy_node_failed(self, index, PCL_ATTEMPT_LOST, now_us);
    }
}

void pcl_proxy_unreachable(pcl_proxy *self, uint32_t index)
{
    pcl_member_action action = pcl_membership_unreachable(self->members, index);
    if (action == PCL_MEMBER_NOTHING) {
        return;
    }
    s_log(self, index, action);
    self->nodes[index].doubted = action == PCL_MEMBER_DOUBT;
    self->nodes[index].lost = action == PCL_MEMBER_LOSE;
    self->flush_wanted = true;
}

void pcl_proxy_agent_gone(void *context, uint32_t connection, uint64_t now_us)
{
    (void)now_us;
    pcl_proxy *self = context;
    uint8_t route[PCL_CONNECTION_ROUTE];
    pcl_connections_route(pcl_peer_watch_table(self->agent_watch), connection, route);
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        pcl_proxy_node *node = &self->nodes[index];
        if (node->connected &&
            pcl_bytes_equal(pcl_frame_bytes(&node->peer), pcl_bytes_of(route, sizeof route))) {
            node->cut = true;
            self->flush_wanted = true;
        }
    }
}

bool pcl_proxy_on_agent_watch(void *context, uint64_t now_us)
{
    pcl_peer_watch_read(((pcl_proxy *)context)->agent_watch, now_us);
    return false;
}

static void s_flush(pcl_proxy *self, uint32_t index, uint64_t now_us)
{
    pcl_proxy_node *node = &self->nodes[index];
    if (node->cut) {
        node->cut = false;
        pcl_proxy_unreachable(self, index);
    }
    if (node->lost) {
        node->lost = false;
        pcl_proxy_node_failed(self, index, PCL_ATTEMPT_LOST, now_us);
    } else if (node->doubted) {
        node->doubted = false;
        pcl_proxy_node_failed(self, index, PCL_ATTEMPT_DOUBTED, now_us);
    }
}

void pcl_proxy_flush(pcl_proxy *self, uint64_t now_us)
{
    if (!self->flush_wanted) {
        return; /* nearly always, and a look at each of hundreds of nodes costs some microseconds */
    }
    self->flush_wanted = false; /* before it is done, since that may leave something anew */
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        if (!self->nodes[index].cut || !self->agents_wait) {
            s_flush(self, index, now_us);
        } else {
            self->flush_wanted = true;
        }
    }
}

/* Whose beats wait behind a long message is not silent. */
static void s_note_flows(pcl_proxy *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        if (pcl_membership_is_silent(self->members, index, now_us) &&
            pcl_tcp_flow_moves(&self->nodes[index].flow, PCL_BEAT_INTERVAL_MS)) {
            pcl_membership_stirs(self->members, index, now_us);
        }
    }
}

void pcl_proxy_agents_tick(pcl_proxy *self, uint64_t now_us)
{
    uint32_t index = 0;
    pcl_member_action action = PCL_MEMBER_NOTHING;
    pcl_membership_tick(self->members, now_us);
    s_note_flows(self, now_us);
    while ((action = pcl_membership_next(self->members, now_us, &index)) != PCL_MEMBER_NOTHING) {
        s_act(self, index, action, now_us);
    }
}

static bool s_is_introduction(pcl_kind kind)
{
    return kind == PCL_KIND_BEAT || kind == PCL_KIND_PING || kind == PCL_KIND_BYE;
}

static bool s_is_connection(pcl_proxy_node *node, zmq_msg_t *peer)
{
    return node->connected && pcl_bytes_equal(pcl_frame_bytes(&node->peer), pcl_frame_bytes(peer));
}

/* Who speaks, where no key proves it: the name in a beat is believed, and other
 * messages are of the connection that the beat came on, or of the run of the
 * agent that their report names. */
static uint32_t s_identify_plain(pcl_proxy *self, pcl_hop_message *message,
                                 const pcl_report *report)
{
    if (s_is_introduction(message->head.kind)) {
        return pcl_membership_add(self->members, message->head.principal);
    }
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        if (s_is_connection(&self->nodes[index], &message->peer)) {
            return index;
        }
    }
    return report == NULL ? PCL_MEMBER_NONE
                          : pcl_membership_find_boot(self->members, report->boot_id);
}

/* PCL_MEMBER_NONE: a stranger, or one who gives another's name. */
static uint32_t s_identify(pcl_proxy *self, pcl_hop_message *message, const pcl_report *report)
{
    const char *name = pcl_door_name(&self->agent_door, message->user_id);
    if (name != NULL && name[0] == '\0') {
        return s_identify_plain(self, message, report);
    }
    if (name == NULL ||
        (s_is_introduction(message->head.kind) && !pcl_bytes_is(message->head.principal, name))) {
        return PCL_MEMBER_NONE;
    }
    return pcl_membership_add(self->members, pcl_bytes_text(name));
}

/* A newer report came this way: here the node can be reached.  Behind a new
 * connection may be another process with another clock. */
static void s_connect(pcl_proxy *self, uint32_t index, pcl_hop_message *message, uint64_t now_us)
{
    pcl_proxy_node *node = &self->nodes[index];
    if (!node->connected) {
        pcl_proxy_telemetry_node(self, index);
    }
    int copied = zmq_msg_copy(&node->peer, &message->peer);
    assert(copied == 0);
    node->connected = true;
    node->cut = false;
    node->asked_us = 0;
    node->transit = (pcl_transit){0};
    pcl_tcp_flow_note(&node->flow, pcl_socket_frame_fd(pcl_hop_inbox_frame(&self->agent_inbox)));
    (void)pcl_transit_wait_us(&node->transit, message->head.sent_us, now_us); /* its first */
}

/* When the message was sent, by our clock; now where there is nothing to compare with, since it
 * did not come on the node's connection. */
static uint64_t s_sent_us(pcl_proxy_node *node, bool known, uint64_t sent_us, uint64_t now_us)
{
    uint64_t wait_us = known ? pcl_transit_wait_us(&node->transit, sent_us, now_us) : 0;
    return now_us > wait_us ? now_us - wait_us : 0;
}

static pcl_zone_place s_place(const pcl_proxy *self, uint32_t index)
{
    return pcl_membership_at(self->members, index)->candidate.place;
}

static uint64_t s_boot_id(const pcl_head *head, const pcl_report *report)
{
    if (report != NULL) {
        return report->boot_id;
    }
    return s_is_introduction(head->kind) ? pcl_head_boot_id(head) : 0;
}

/* --- Questions --------------------------------------------------------------- */

/* The question's ticket is its time, which is never 0. */
void pcl_proxy_probe(pcl_proxy *self, uint32_t index, uint64_t now_us)
{
    pcl_proxy_node *node = &self->nodes[index];
    bool open = node->asked_us != 0 &&
                pcl_time_since_us(node->asked_us, now_us) < PCL_PROXY_PROBE_MS * PCL_US_PER_MS;
    if (!node->connected || node->cut || open) {
        return;
    }
    pcl_head head = {.kind = PCL_KIND_PING,
                     .ticket = now_us,
                     .sent_us = now_us,
                     .flags = self->draining ? PCL_HEAD_DRAINING : 0};
    pcl_head_set_boot_id(&head, self->args->boot_id);
    if (pcl_hop_send(self->agent_door.socket, &node->peer, &head, NULL, NULL) == PCL_ERR_OK) {
        node->asked_us = now_us;
        pcl_metric_add(self->telemetry.probes, 1);
    }
}

static void s_on_beat(pcl_proxy *self, uint32_t index, pcl_hop_message *message, uint64_t now_us)
{
    pcl_proxy_node *node = &self->nodes[index];
    uint64_t ticket = message->head.ticket;
    if (ticket == 0) {
        pcl_proxy_tell(self, self->agent_door.socket, &message->peer, PCL_KIND_PONG, now_us);
    } else if (ticket == node->asked_us) {
        node->asked_us = 0;
        pcl_strategy_probed(&self->strategy_state,
                            &pcl_membership_at(self->members, index)->candidate, now_us);
    }
}

/* By kind, once it is known who speaks and that this run of it is the present. */
static void s_dispatch(pcl_proxy *self, uint32_t index, pcl_hop_message *message,
                       const pcl_report *report, uint64_t now_us)
{
    switch (message->head.kind) {
    case PCL_KIND_BEAT:
        s_on_beat(self, index, message, now_us);
        return;
    case PCL_KIND_PING:
        pcl_proxy_tell(self, self->agent_door.socket, &message->peer, PCL_KIND_PONG, now_us);
        return;
    case PCL_KIND_REPLY:
        pcl_metric_add(self->telemetry.zone_octets[s_place(self, index)],
                       zmq_msg_size(&message->payload));
        pcl_proxy_on_reply(self, index, message, report, now_us);
        return;
    case PCL_KIND_BYE:
        s_act(self, index, pcl_membership_bye(self->members, index), now_us);
        return;
    case PCL_KIND_PONG:
        return;
    case PCL_KIND_TOPOLOGY:
        pcl_proxy_on_topology(self, index, message, now_us);
        return;
    case PCL_KIND_REQUEST:
    case PCL_KIND_CANCEL:
    case PCL_KIND_RELEASE:
    case PCL_KIND_LIMIT:
        pcl_proxy_dropped(self, PCL_PROXY_DROP_KIND, pcl_membership_at(self->members, index)->name,
                          now_us);
        return;
    }
}

static void s_handle(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us)
{
    (void)pcl_peer_watch_find(self->agent_watch, pcl_frame_bytes(&message->peer),
                              pcl_hop_inbox_frame(&self->agent_inbox), now_us);
    pcl_report decoded;
    const pcl_report *report = NULL;
    if (zmq_msg_size(&message->tail) > 0 && message->head.kind != PCL_KIND_TOPOLOGY) {
        if (pcl_report_decode(&decoded, pcl_frame_bytes(&message->tail)) != PCL_ERR_OK) {
            pcl_proxy_dropped(self, PCL_PROXY_DROP_REPORT, "agent", now_us);
            return;
        }
        report = &decoded;
    }
    uint32_t index = s_identify(self, message, report);
    if (index == PCL_MEMBER_NONE) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_STRANGER, "agent", now_us);
        return;
    }
    pcl_proxy_node *node = &self->nodes[index];
    bool known = s_is_connection(node, &message->peer);
    if (!node->cut || !known) {
        s_flush(self, index, now_us); /* what an earlier connection had, before this one counts */
    }
    pcl_member_action action = PCL_MEMBER_NOTHING;
    if (!pcl_membership_heard(self->members, index, s_boot_id(&message->head, report), now_us,
                              &action)) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_OLD_BOOT,
                          pcl_membership_at(self->members, index)->name, now_us);
        return;
    }
    uint64_t reported_us = s_sent_us(node, known, message->head.sent_us, now_us);
    if (report != NULL && pcl_membership_report(self->members, index, report, reported_us)) {
        if (!known) {
            s_connect(self, index, message, now_us);
        }
        bool closes = report->role == PCL_NODE_SOURCE && report->read_only;
        self->change_us = closes ? now_us : self->change_us;
    }
    s_act(self, index, action, now_us);
    s_dispatch(self, index, message, report, now_us);
}

void pcl_proxy_agent_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                            uint64_t now_us)
{
    pcl_proxy *self = context;
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        /* Not one that has come since, nor one that has no room. */
        if (why == PCL_ERR_UNAVAILABLE && s_is_connection(&self->nodes[index], peer)) {
            pcl_metric_add(self->telemetry.unreachable, 1);
            pcl_proxy_unreachable(self, index);
        }
    }
    pcl_proxy_request *request = pcl_ticket_table_find(self->requests, head->ticket);
    if (head->kind == PCL_KIND_REQUEST && request != NULL && !request->parked) {
        pcl_proxy_unsent(self, request, head->ticket, now_us);
    } else if (head->kind == PCL_KIND_CANCEL && request != NULL) {
        request->withdrawn = false; /* whoever says it again is heard */
    } else if (head->kind == PCL_KIND_RELEASE) {
        pcl_proxy_dropped(self, PCL_PROXY_DROP_RELEASE, "broker", now_us);
    }
}

bool pcl_proxy_on_agent(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    self->agents_wait = pcl_proxy_read(self, &self->agent_inbox, "agent", s_handle, now_us);
    return self->agents_wait;
}

void pcl_proxy_agents_goodbye(pcl_proxy *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        pcl_proxy_node *node = &self->nodes[index];
        if (node->connected) {
            pcl_proxy_tell(self, self->agent_door.socket, &node->peer, PCL_KIND_BYE, now_us);
        }
    }
}
