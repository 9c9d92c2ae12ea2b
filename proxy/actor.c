#include "proxy/actor.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/time.h"
#include "proxy/proxy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_SIZE = 256 };

/* false: the log says why. */
static bool s_read_key_lists(pcl_proxy *self, const pcl_config *config)
{
    return pcl_door_read_keys(&self->broker_door, config) &&
           pcl_door_read_keys(&self->agent_door, config);
}

/* keys NULL: none. */
static bool s_open_sockets_with(pcl_proxy *self, const pcl_keys *keys, char *error)
{
    uint32_t queue_max = self->settings.queue_max;
    return pcl_door_open(&self->agent_door, self->config, keys, queue_max, PCL_REPLY_SIZE_MAX,
                         error, ERROR_SIZE) &&
           pcl_door_open(&self->broker_door, self->config, keys, queue_max, PCL_REQUEST_SIZE_MAX,
                         error, ERROR_SIZE);
}

static bool s_open_watches(pcl_proxy *self, char *error)
{
    self->agent_watch = pcl_proxy_watch(self, self->agent_door.socket, pcl_proxy_agent_gone, error,
                                        ERROR_SIZE);
    self->broker_watch = pcl_proxy_watch(self, self->broker_door.socket, pcl_proxy_broker_gone,
                                         error, ERROR_SIZE);
    return self->agent_watch != NULL && self->broker_watch != NULL;
}

static bool s_open_sockets(pcl_proxy *self, char *error)
{
    if (!s_read_key_lists(self, self->config)) {
        (void)snprintf(error, ERROR_SIZE, "a list of keys was refused");
        return false;
    }
    const char *key_file = pcl_config_text(self->config, "curve/key_file");
    if (key_file[0] == '\0') {
        return s_open_sockets_with(self, NULL, error);
    }
    pcl_keys keys;
    if (!pcl_keys_load(&keys, key_file, error, ERROR_SIZE)) {
        return false;
    }
    bool opened = s_open_sockets_with(self, &keys, error);
    pcl_keys_wipe(&keys);
    return opened;
}

/* Nodes that the list names stand in status before they are first heard of. */
static void s_expect_nodes(pcl_proxy *self)
{
    size_t count = self->agent_door.keys == NULL ? 0 : pcl_key_list_count(self->agent_door.keys);
    for (size_t index = 0; index < count; index++) {
        const pcl_key_entry *entry = pcl_key_list_at(self->agent_door.keys, index);
        if (pcl_membership_add(self->members, pcl_bytes_text(entry->name)) == PCL_MEMBER_NONE) {
            pcl_log(PCL_LOG_ERROR, "proxy", "too-many-nodes", "node=%s nodes_max=%u", entry->name,
                    PCL_NODES_MAX);
        }
    }
}

static void s_open_boxes(pcl_proxy *self)
{
    zsock_t *agents = self->agent_door.socket;
    zsock_t *brokers = self->broker_door.socket;
    pcl_hop_inbox_init(&self->agent_inbox, agents, true);
    pcl_hop_inbox_lend(&self->agent_inbox); /* a reply is passed on, and only rarely kept */
    pcl_hop_inbox_init(&self->broker_inbox, brokers, true);
    self->agent_outbox = pcl_hop_outbox_new(agents, pcl_proxy_agent_unsent, self);
    self->broker_outbox = pcl_hop_outbox_new(brokers, pcl_proxy_broker_unsent, self);
}

static void s_close_boxes(pcl_proxy *self)
{
    pcl_hop_inbox_release(&self->agent_inbox);
    pcl_hop_inbox_release(&self->broker_inbox);
    pcl_hop_outbox_destroy(&self->agent_outbox);
    pcl_hop_outbox_destroy(&self->broker_outbox);
}

/* false: the log says why. */
static bool s_open(pcl_proxy *self)
{
    char error[ERROR_SIZE] = "out of memory";
    char escaped[ERROR_SIZE];
    pcl_proxy_settings_read(&self->settings, self->config);
    self->requests = pcl_ticket_table_new(self->settings.inflight_max, sizeof(pcl_proxy_request),
                                          self->args->seed);
    self->ids = pcl_id_index_new(self->settings.inflight_max, self->args->seed);
    self->line = pcl_hedge_line_new(self->settings.inflight_max);
    self->walk = calloc(self->settings.inflight_max, sizeof *self->walk);
    self->members = pcl_membership_new(PCL_NODES_MAX, self->started_us);
    bool opened = self->requests != NULL && self->ids != NULL && self->line != NULL &&
                  self->walk != NULL && self->members != NULL && s_open_sockets(self, error) &&
                  s_open_watches(self, error);
    if (!opened) {
        pcl_log(PCL_LOG_ERROR, "proxy", "start-failed", "error=\"%s\"",
                pcl_log_escape(error, escaped, sizeof escaped));
        return false;
    }
    pcl_membership_set_lag_max(self->members, self->settings.lag_ms_max);
    pcl_membership_set_zone(self->members, pcl_config_text(self->config, "routing/zone"));
    s_open_boxes(self);
    pcl_door_watch(&self->broker_door, self->broker_watch, self->config, self->args->metrics);
    pcl_door_watch(&self->agent_door, self->agent_watch, self->config, self->args->metrics);
    s_expect_nodes(self);
    return true;
}

static void s_release_requests(pcl_proxy *self)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    pcl_proxy_request *request = NULL;
    while (self->requests != NULL &&
           (request = pcl_ticket_table_each(self->requests, &cursor, &ticket)) != NULL) {
        pcl_proxy_request_release(request);
        pcl_ticket_table_remove(self->requests, ticket);
    }
    pcl_ticket_table_destroy(&self->requests);
}

static void s_close(pcl_proxy *self)
{
    s_release_requests(self);
    for (uint32_t index = 0; index < PCL_NODES_MAX; index++) {
        zmq_msg_close(&self->nodes[index].peer);
    }
    for (uint32_t index = 0; index < PCL_PROXY_BROKERS_MAX; index++) {
        if (self->brokers[index].known) {
            zmq_msg_close(&self->brokers[index].peer);
        }
    }
    pcl_peer_watch_destroy(&self->agent_watch);
    pcl_peer_watch_destroy(&self->broker_watch);
    s_close_boxes(self);
    pcl_door_close(&self->broker_door);
    pcl_door_close(&self->agent_door);
    pcl_membership_destroy(&self->members);
    pcl_id_index_destroy(&self->ids);
    pcl_hedge_line_destroy(&self->line);
    free(self->walk);
}

pcl_peer_watch *pcl_proxy_watch(pcl_proxy *self, zsock_t *socket, pcl_peer_gone *gone, char *error,
                                size_t error_size)
{
    pcl_peer_watch_options options = {
        .router = socket,
        .work_max = 1, /* what is in flight stands in the ticket table */
        .held_max = 1,
        .held_each_max = 1,
        .seed = self->args->seed,
        .gone = gone,
        .context = self,
    };
    return pcl_peer_watch_new(&options, error, error_size);
}

bool pcl_proxy_read(pcl_proxy *self, pcl_hop_inbox *inbox, const char *from,
                    pcl_proxy_handler *handler, uint64_t now_us)
{
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        pcl_hop_message message;
        switch (pcl_hop_recv(inbox, &message)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_MESSAGE:
            handler(self, &message, message.received_us);
            pcl_hop_close(&message);
            break;
        case PCL_HOP_DROPPED:
            pcl_proxy_dropped(self, PCL_PROXY_DROP_MALFORMED, from, now_us);
            break;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        }
    }
    return true;
}

void pcl_proxy_tell(const pcl_proxy *self, zsock_t *socket, zmq_msg_t *peer, pcl_kind kind,
                    uint64_t now_us)
{
    pcl_head head = {
        .kind = kind, .sent_us = now_us, .flags = self->draining ? PCL_HEAD_DRAINING : 0};
    pcl_head_set_boot_id(&head, self->args->boot_id);
    (void)!pcl_hop_send(socket, peer, &head, NULL, NULL);
}

/* After the readers, so that what already arrived is no silence and no
 * deadline is missed that was met. */
static void s_on_turn(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    /* Before nodes are looked at: what cannot leave for one that is gone is not lost with it. */
    pcl_hop_outbox_flush(self->agent_outbox, now_us);
    pcl_proxy_flush(self, now_us);
    pcl_proxy_expire(self, now_us);
    pcl_proxy_hedge(self, now_us);
    pcl_hop_outbox_flush(self->agent_outbox, now_us);
    if (self->flush_wanted) { /* a node was found to be gone: what it had goes elsewhere */
        pcl_proxy_flush(self, now_us);
        pcl_hop_outbox_flush(self->agent_outbox, now_us);
    }
    pcl_hop_outbox_flush(self->broker_outbox, now_us);
    pcl_hop_outbox_flush(self->agent_outbox, now_us); /* the RELEASEs that came of it */
}

static void s_on_tick(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    pcl_proxy_agents_tick(self, now_us);
    pcl_proxy_patients_tick(self, now_us);
    pcl_proxy_unpark(self, now_us);
    pcl_proxy_waits_tick(self, now_us);
    pcl_door_tick(&self->broker_door, now_us);
    pcl_door_tick(&self->agent_door, now_us);
    s_on_turn(self, now_us);
    pcl_proxy_telemetry_tick(self);
    if (pcl_time_since_us(self->published_us, now_us) >= PCL_US_PER_S) {
        self->published_us = now_us;
        pcl_proxy_status_publish(self, now_us);
    }
}

static void s_drain(void *context, uint64_t now_us)
{
    pcl_proxy *self = context;
    self->draining = true;
    pcl_log(PCL_LOG_INFO, "proxy", "drain", "inflight=%u", pcl_proxy_unanswered(self));
    pcl_proxy_brokers_goodbye(self, now_us);
}

static bool s_drained(void *context)
{
    const pcl_proxy *self = context;
    return pcl_proxy_unanswered(self) == 0 && pcl_hop_outbox_count(self->broker_outbox) == 0;
}

static void s_reload(void *context, const pcl_config *config)
{
    pcl_proxy *self = context;
    uint32_t inflight_max = self->settings.inflight_max; /* the table's size stays */
    uint32_t queue_max = self->settings.queue_max;
    pcl_proxy_settings_read(&self->settings, config);
    self->settings.inflight_max = inflight_max;
    self->settings.queue_max = queue_max;
    pcl_membership_set_lag_max(self->members, self->settings.lag_ms_max);
    pcl_membership_set_zone(self->members, pcl_config_text(config, "routing/zone"));
    self->config = config;
    pcl_door_read_limits(&self->broker_door, config);
    pcl_door_read_limits(&self->agent_door, config);
    (void)s_read_key_lists(self, config); /* logged; the old lists stay in force */
    s_expect_nodes(self);
    pcl_log(PCL_LOG_INFO, "proxy", "reloaded", "strategy=%s",
            pcl_strategy_text(self->settings.strategy));
}

static void s_add_sources(pcl_proxy *self)
{
    /* Agents first: what they have just said bears on where requests go. */
    pcl_loop_add_quiet(self->loop, pcl_peer_watch_socket(self->agent_watch),
                       pcl_proxy_on_agent_watch, self);
    pcl_loop_add_socket(self->loop, self->agent_door.socket, pcl_proxy_on_agent, self);
    pcl_loop_add_quiet(self->loop, pcl_peer_watch_socket(self->broker_watch),
                       pcl_proxy_on_broker_watch, self);
    pcl_loop_add_socket(self->loop, self->broker_door.socket, pcl_proxy_on_broker, self);
    pcl_loop_set_tick(self->loop, PCL_PROXY_TICK_MS * PCL_US_PER_MS, s_on_tick, s_on_turn, self);
}

static void *s_begin(const pcl_role_args *args, pcl_loop *loop, bool *out_opened)
{
    assert(args != NULL && args->config != NULL && args->metrics != NULL);
    pcl_proxy *self = calloc(1, sizeof *self);
    assert(self != NULL); /* start-up */
    self->args = args;
    self->config = args->config;
    self->loop = loop;
    self->broker_door = (pcl_door){.who = "proxy", .peers = "brokers"};
    self->agent_door = (pcl_door){.who = "proxy", .peers = "agents"};
    self->rng = pcl_rng_from_seed(args->seed);
    self->started_us = pcl_now_us();
    self->retry_budget = pcl_retry_budget_full(self->started_us);
    self->drop_lines = pcl_log_limit_of(PCL_PROXY_DROP_LINES_MAX);
    for (uint32_t index = 0; index < PCL_NODES_MAX; index++) {
        zmq_msg_init(&self->nodes[index].peer);
    }
    *out_opened = s_open(self);
    if (*out_opened) {
        pcl_proxy_telemetry_start(self);
        for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
            pcl_proxy_telemetry_node(self, index);
        }
        s_add_sources(self);
    }
    return self;
}

static void s_end(void *context, bool opened)
{
    pcl_proxy *self = context;
    if (opened) { /* so that nobody waits for beats to stop */
        pcl_proxy_brokers_goodbye(self, pcl_now_us());
        pcl_proxy_agents_goodbye(self, pcl_now_us());
    }
    s_close(self);
    free(self);
}

const pcl_role_parts pcl_proxy_parts = {
    .open = s_begin,
    .close = s_end,
    .hooks = {.drain = s_drain, .drained = s_drained, .reload = s_reload},
};

void pcl_proxy_actor(zsock_t *pipe, void *argument)
{
    pcl_actor_live(pipe, argument, &pcl_proxy_parts);
}
