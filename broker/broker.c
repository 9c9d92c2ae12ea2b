#include "broker/broker.h"

#include "broker/peers.h"
#include "common/clock.h"
#include "net/door.h"
#include "net/keys.h"
#include "net/log.h"
#include "net/log_limit.h"
#include "net/peer_watch.h"
#include "net/relay.h"
#include "net/time.h"
#include "policy/files.h"
#include "sql/digest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define WHO         "broker"
#define TICK_US     (10 * PCL_US_PER_MS)
#define MESSAGE_MAX 256 /* an error's text */

/* A common statement with its digest. */
#define CACHED_SIZE_USUAL 256u

enum { STRANGER_LINES_MAX = 5 /* log lines a second */ };

/* Why a request was refused, for the metric. */
typedef enum refusal {
    REFUSAL_STRANGER = 0, /* the sender's key is not a gatekeeper's */
    REFUSAL_REQUEST,      /* the payload does not decode */
    REFUSAL_HEAD,         /* head and payload do not agree */
    REFUSAL_POLICY,
    REFUSAL_GONE,   /* the gatekeeper left before its message was read */
    REFUSAL_UNSENT, /* the proxy is away, full or draining, or we are; no time left */
    REFUSAL_COUNT,  /* must stay last */
} refusal;

typedef struct broker {
    const pcl_role_args *args;
    const pcl_config *config;
    pcl_loop *loop;
    pcl_door gatekeepers;
    pcl_relay *relay;
    pcl_peers peers;
    pcl_sql_cache *cache;        /* verdicts of statements */
    pcl_policy_files policy;     /* who may do what */
    pcl_buffer digest;           /* of the statement that is judged */
    pcl_sql_cache_counts cached; /* as the metrics show it */
    pcl_peer_watch *watch;       /* of the gatekeepers' connections */
    bool draining;               /* what pongs say */
    char role[PCL_NAME_SIZE_MAX + 1];
    pcl_log_limit stranger_limit;
    pcl_metric *refusals[REFUSAL_COUNT];
    pcl_metric *cache_hits, *cache_misses, *cache_entries;
    pcl_metric *dropped; /* messages that are not of the protocol, or a stranger's */
} broker;

/* --- The way back ---------------------------------------------------------- */

static pcl_err s_send(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                      uint64_t now_us)
{
    broker *self = context;
    pcl_head head = {
        .ticket = entry->peer_ticket,
        .kind = PCL_KIND_REPLY,
        .op = entry->op,
        .sql_class = entry->sql_class,
        .code = reply->code,
        .retry = reply->retry,
        .flags = reply->flags,
        .sent_us = now_us,
    };
    memcpy(head.id, entry->id, sizeof head.id);
    memcpy(head.session, reply->session, sizeof head.session);
    bool sealed = (reply->flags & PCL_HEAD_SEALED) != 0;
    return pcl_hop_send(self->gatekeepers.socket, &entry->peer, &head, &reply->payload,
                        sealed ? &reply->tail : NULL);
}

/* Answers a ping, or, unasked, tells a gatekeeper that we are going. */
static void s_send_beat(broker *self, zmq_msg_t *peer, pcl_kind kind, uint64_t now_us)
{
    pcl_head head = {
        .kind = kind,
        .flags = (uint8_t)(self->draining ? PCL_HEAD_DRAINING : 0),
        .sent_us = now_us,
    };
    pcl_head_set_boot_id(&head, self->args->boot_id);
    pcl_err err = pcl_hop_send(self->gatekeepers.socket, peer, &head, NULL, NULL);
    (void)err; /* it is gone, or so far behind that it will miss this beat: its link notices */
}

/* --- Gatekeepers that leave -------------------------------------------------- */

/* Nobody waits for what it has in flight.  What its clients hold is not known here, and ends when
 * it was idle. */
static void s_gatekeeper_gone(broker *self, pcl_bytes routing, const char *why, uint64_t now_us)
{
    uint32_t told = pcl_relay_cancel_peer(self->relay, routing, now_us);
    pcl_log(told > 0 ? PCL_LOG_WARNING : PCL_LOG_INFO, WHO, "gatekeeper_gone",
            "why=%s cancelled=%u", why, told);
}

static void s_on_gatekeeper_gone(void *context, uint32_t connection, uint64_t now_us)
{
    broker *self = context;
    uint8_t routing[PCL_CONNECTION_ROUTE];
    pcl_connections_route(pcl_peer_watch_table(self->watch), connection, routing);
    pcl_bytes octets = pcl_bytes_of(routing, sizeof routing);
    pcl_peers_left(&self->peers, octets);
    s_gatekeeper_gone(self, octets, "disconnected", now_us);
}

static bool s_on_watch(void *context, uint64_t now_us)
{
    pcl_peer_watch_read(((broker *)context)->watch, now_us);
    return false;
}

static void s_look_for_silent(broker *self, uint64_t now_us)
{
    const pcl_peer *peer = NULL;
    pcl_peers_look(&self->peers, now_us);
    while ((peer = pcl_peers_gone(&self->peers)) != NULL) {
        s_gatekeeper_gone(self, pcl_bytes_of(peer->routing, peer->routing_size), "silent", now_us);
    }
}

/* --- The way down ---------------------------------------------------------- */

static void s_refuse(broker *self, refusal why, pcl_relay_entry *entry, pcl_err err,
                     const char *message, uint64_t now_us)
{
    pcl_metric_add(self->refusals[why], 1);
    pcl_reply_error error = {
        .err = err,
        .retry = pcl_err_retry((int)err),
        .message = pcl_bytes_text(message),
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

static void s_refuse_policy(broker *self, pcl_relay_entry *entry, const pcl_policy_verdict *verdict,
                            uint64_t now_us)
{
    pcl_metric_add(self->refusals[REFUSAL_POLICY], 1);
    pcl_reply_error error = {
        .err = verdict->err,
        .retry = pcl_err_retry((int)verdict->err),
        .message = pcl_bytes_text(verdict->message),
        .has_statement = verdict->has_statement,
        .statement = verdict->statement,
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

static void s_refuse_unsent(broker *self, pcl_relay_entry *entry, pcl_err err, uint64_t now_us)
{
    pcl_metric_add(self->refusals[REFUSAL_UNSENT], 1);
    pcl_relay_refuse_unsent(self->relay, entry, err, now_us);
}

static bool s_is_gatekeeper(const broker *self, const pcl_hop_message *message)
{
    return pcl_door_name(&self->gatekeepers, message->user_id) != NULL;
}

static void s_forward(broker *self, pcl_relay_entry *entry, const pcl_request *request,
                      pcl_hop_message *message)
{
    uint64_t leaves_us = pcl_now_us(); /* a batch has passed since the turn's clock was read */
    uint64_t spent_us = pcl_time_since_us(entry->arrived_us, leaves_us);
    pcl_head head = {
        .sql_class = entry->sql_class,
        .flags = message->head.flags & PCL_HEAD_SEALED,
        .gatekeeper_us = message->head.gatekeeper_us,
        .broker_us = spent_us < UINT32_MAX ? (uint32_t)spent_us : UINT32_MAX,
        .principal = message->head.principal,
        .role = pcl_bytes_text(self->role),
    };
    pcl_relay_head_fill(&head, request);
    zmq_msg_t *seal = (head.flags & PCL_HEAD_SEALED) != 0 ? &message->tail : NULL;
    pcl_err err = pcl_relay_forward(self->relay, entry, &head, &message->payload, seal, leaves_us);
    if (err != PCL_ERR_OK) {
        s_refuse_unsent(self, entry, err, leaves_us);
    }
}

/* Reads the payload, holds it against the head and judges it; takes the entry. */
static void s_judge(broker *self, pcl_relay_entry *entry, pcl_hop_message *message, uint64_t now_us)
{
    pcl_request request;
    pcl_fault fault;
    pcl_err err = pcl_request_decode(&request, pcl_frame_bytes(&message->payload), &fault, NULL,
                                     NULL);
    if (err != PCL_ERR_OK) {
        char text[MESSAGE_MAX];
        (void)snprintf(text, sizeof text, "%s: %s",
                       fault.field[0] != '\0' ? fault.field : "payload", fault.rule);
        s_refuse(self, REFUSAL_REQUEST, entry, fault.err, text, now_us);
        return;
    }
    entry->op = request.op;
    pcl_policy_verdict agreed = pcl_policy_agree(&message->head, &request);
    if (agreed.err != PCL_ERR_OK) {
        s_refuse(self, REFUSAL_HEAD, entry, agreed.err, agreed.message, now_us);
        return;
    }
    const pcl_policy_principal *principal = pcl_policy_find(self->policy.policy,
                                                            message->head.principal);
    if (principal == NULL) {
        s_refuse(self, REFUSAL_POLICY, entry, PCL_ERR_FORBIDDEN,
                 "principal: the policy knows nobody of this name", now_us);
        return;
    }
    pcl_policy_verdict verdict = pcl_policy_judge(principal,
                                                  self->policy.lists[principal->role->index],
                                                  &request, self->cache, &self->digest);
    if (verdict.err != PCL_ERR_OK) {
        s_refuse_policy(self, entry, &verdict, now_us);
        return;
    }
    entry->sql_class = (uint8_t)verdict.sql_class;
    entry->repeatable = verdict.repeatable;
    s_forward(self, entry, &request, message);
}

static void s_on_request(broker *self, pcl_hop_message *message, uint64_t wait_us, bool gone,
                         uint64_t now_us)
{
    const pcl_head *head = &message->head;
    pcl_relay_arrived(self->relay, zmq_msg_size(&message->payload));
    pcl_relay_entry entry;
    pcl_relay_entry_init(&entry);
    zmq_msg_copy(&entry.peer, &message->peer);
    entry.peer_ticket = head->ticket;
    entry.arrived_us = now_us;
    entry.deadline_us = now_us + pcl_time_left_us(head->budget_us, wait_us);
    memcpy(entry.id, head->id, sizeof entry.id);
    entry.has_id = true;
    entry.op = head->op;
    (void)snprintf(entry.principal, sizeof entry.principal, "%.*s", (int)head->principal.size,
                   (const char *)head->principal.data);
    if (!s_is_gatekeeper(self, message)) {
        s_refuse(self, REFUSAL_STRANGER, &entry, PCL_ERR_FORBIDDEN,
                 "the gatekeeper's key is not in the list", now_us);
    } else if (gone) {
        s_refuse(self, REFUSAL_GONE, &entry, PCL_ERR_CANCELLED, "the gatekeeper has gone", now_us);
    } else if (entry.deadline_us <= now_us) { /* before the work of reading it */
        s_refuse_unsent(self, &entry, PCL_ERR_DEADLINE, now_us);
    } else {
        s_judge(self, &entry, message, now_us);
    }
}

static void s_drop(broker *self, const pcl_hop_message *message, const char *reason,
                   uint64_t now_us)
{
    pcl_metric_add(self->dropped, 1);
    if (pcl_log_limit_take(&self->stranger_limit, now_us)) {
        pcl_log(PCL_LOG_WARNING, WHO, "dropped", "kind=%d key=\"%s\" reason=\"%s\"",
                (int)message->head.kind, message->user_id, reason);
    }
}

static void s_on_message(broker *self, pcl_hop_message *message, uint64_t now_us)
{
    bool request = message->head.kind == PCL_KIND_REQUEST;
    if (!request && !s_is_gatekeeper(self, message)) {
        s_drop(self, message, "not a gatekeeper's key", now_us);
        return;
    }
    pcl_bytes routing = pcl_frame_bytes(&message->peer);
    uint32_t connection = pcl_peer_watch_find(self->watch, routing, &message->head_frame, now_us);
    pcl_peer *peer = pcl_peers_heard(&self->peers, routing, now_us);
    switch (message->head.kind) {
    case PCL_KIND_REQUEST: {
        uint64_t wait_us = pcl_transit_wait_us(&peer->transit, message->head.sent_us, now_us);
        s_on_request(self, message, wait_us, connection == PCL_CONNECTION_GONE, now_us);
        break;
    }
    case PCL_KIND_PING:
        pcl_peer_booted(peer, pcl_head_boot_id(&message->head));
        (void)pcl_transit_wait_us(&peer->transit, message->head.sent_us, now_us);
        s_send_beat(self, &message->peer, PCL_KIND_PONG, now_us);
        break;
    case PCL_KIND_CANCEL:
        pcl_relay_cancel_asked(self->relay, message->head.id, routing, message->head.ticket,
                               now_us);
        break;
    case PCL_KIND_RELEASE:
        pcl_relay_release(self->relay, message->head.session, message->head.principal, now_us);
        break;
    case PCL_KIND_BYE:
        break;
    case PCL_KIND_REPLY:
    case PCL_KIND_BEAT:
    case PCL_KIND_PONG:
    case PCL_KIND_LIMIT:
        s_drop(self, message, "not a gatekeeper's to send", now_us);
        break;
    }
}

static bool s_on_gatekeepers(void *context, uint64_t now_us)
{
    broker *self = context;
    (void)now_us; /* each message has its own time */
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        pcl_hop_message message;
        switch (pcl_hop_recv(&message, self->gatekeepers.socket, true)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        case PCL_HOP_DROPPED:
            pcl_metric_add(self->dropped, 1);
            break;
        case PCL_HOP_MESSAGE:
            s_on_message(self, &message, message.received_us);
            pcl_hop_close(&message);
            break;
        }
    }
    return true;
}

/* --- Life ------------------------------------------------------------------ */

static void s_publish_cache(broker *self)
{
    pcl_sql_cache_counts counts = pcl_sql_cache_count(self->cache);
    pcl_metric_add(self->cache_hits, counts.hits - self->cached.hits);
    pcl_metric_add(self->cache_misses, counts.misses - self->cached.misses);
    pcl_metric_set(self->cache_entries, counts.entries);
    self->cached = counts;
}

static void s_tick(void *context, uint64_t now_us)
{
    broker *self = context;
    s_publish_cache(self);
    pcl_relay_tick(self->relay, now_us);
    s_look_for_silent(self, now_us);
    uint64_t suppressed = pcl_log_limit_suppressed(&self->stranger_limit, now_us);
    if (suppressed > 0) {
        pcl_log(PCL_LOG_WARNING, WHO, "dropped_more", "lines=%llu", (unsigned long long)suppressed);
    }
}

static void s_turn(void *context, uint64_t now_us)
{
    pcl_relay_turn(((broker *)context)->relay, now_us);
}

static void s_drain(void *context, uint64_t now_us)
{
    broker *self = context;
    self->draining = true;
    pcl_relay_drain(self->relay);
    for (uint32_t index = 0; index < self->peers.count; index++) {
        const pcl_peer *peer = &self->peers.peer[index];
        zmq_msg_t routing;
        pcl_frame_copy_of(&routing, pcl_bytes_of(peer->routing, peer->routing_size));
        s_send_beat(self, &routing, PCL_KIND_BYE, now_us);
        zmq_msg_close(&routing);
    }
}

static bool s_drained(void *context)
{
    return pcl_relay_count(((broker *)context)->relay) == 0;
}

/* Its check has passed (broker/role.c). */
static pcl_sql_rules s_read_rules(const pcl_config *config)
{
    pcl_sql_rules rules = {0};
    bool known = pcl_sql_flavor_parse(pcl_bytes_text(pcl_config_text(config, "sql/flavor")),
                                      &rules.flavor);
    const char *wrong = pcl_sql_rules_set_extra(
        &rules, pcl_bytes_text(pcl_config_text(config, "sql/functions")), NULL);
    assert(known);
    assert(wrong == NULL);
    return rules;
}

static void s_read_policy(broker *self, const pcl_config *config)
{
    self->config = config;
    (void)snprintf(self->role, sizeof self->role, "%s", pcl_config_text(config, "policy/role"));
    if (self->cache != NULL) {
        pcl_sql_rules rules = s_read_rules(config);
        pcl_sql_cache_reset(self->cache, &rules);
    }
}

static bool s_open_policy(broker *self, char *error, size_t error_size)
{
    pcl_buffer problems;
    pcl_buffer_init(&problems, error_size);
    bool good = pcl_policy_files_load(&self->policy, "", &problems);
    if (!good) {
        (void)snprintf(error, error_size, "%.*s", (int)problems.size, (const char *)problems.data);
    }
    pcl_buffer_release(&problems);
    return good;
}

static bool s_open_cache(broker *self, char *error, size_t error_size)
{
    pcl_sql_rules rules = s_read_rules(self->config);
    size_t size = pcl_config_uint(self->config, "limits/sql_cache_size");
    self->cache = pcl_sql_cache_new(&rules, (uint32_t)(size / CACHED_SIZE_USUAL), size,
                                    self->args->seed);
    if (self->cache == NULL) {
        (void)snprintf(error, error_size, "no memory for the cache of verdicts");
    }
    return self->cache != NULL;
}

static void s_reload(void *context, const pcl_config *config)
{
    broker *self = context;
    s_read_policy(self, config);
    (void)pcl_door_read_keys(&self->gatekeepers, config); /* logged; the old list stays in force */
}

static void s_cache_metrics_make(broker *self)
{
    pcl_metrics *registry = self->args->metrics;
    static const char name[] = "portcullis_broker_sql_cache_total";
    static const char help[] = "Statements whose verdict was there (hit), or had to be found.";
    self->cache_hits = pcl_metrics_counter(registry, name, "result=\"hit\"", help);
    self->cache_misses = pcl_metrics_counter(registry, name, "result=\"miss\"", help);
    self->cache_entries = pcl_metrics_gauge(registry, "portcullis_broker_sql_cache_entries", "",
                                            "Statements whose verdict is kept.");
}

static void s_metrics_make(broker *self)
{
    static const char *const labels[] = {
        [REFUSAL_STRANGER] = "rule=\"stranger\"", [REFUSAL_REQUEST] = "rule=\"request\"",
        [REFUSAL_HEAD] = "rule=\"head\"",         [REFUSAL_POLICY] = "rule=\"policy\"",
        [REFUSAL_GONE] = "rule=\"gone\"",         [REFUSAL_UNSENT] = "rule=\"unsent\"",
    };
    for (int why = 0; why < REFUSAL_COUNT; why++) {
        self->refusals[why] = pcl_metrics_counter(self->args->metrics,
                                                  "portcullis_broker_refusals_total", labels[why],
                                                  "Requests that the broker refused, by rule.");
    }
    self->dropped = pcl_metrics_counter(self->args->metrics,
                                        "portcullis_broker_messages_dropped_total", "",
                                        "Messages that were not of the protocol, or a stranger's.");
}

static bool s_open_relay(broker *self, const pcl_keys *keys, char *error, size_t error_size)
{
    pcl_relay_options options = {
        .hop = WHO,
        .next = "proxy",
        .link =
            {
                .endpoint = pcl_config_text(self->config, "proxy/endpoint"),
                .keys = keys,
                .server_key = pcl_config_text(self->config, "proxy/public_key"),
                .queue_max = (uint32_t)pcl_config_uint(self->config, "limits/queue_max"),
                .message_size_max = PCL_REPLY_SIZE_MAX,
                .insecure = pcl_config_bool(self->config, "curve/insecure"),
            },
        .inflight_max = (uint32_t)pcl_config_uint(self->config, "limits/inflight_max"),
        .by_id = true,
        .grace_ms = PCL_GRACE_BROKER_MS,
        .names = PCL_RELAY_NAMES("broker"),
        .args = self->args,
        .loop = self->loop,
        .send = s_send,
        .context = self,
    };
    self->relay = pcl_relay_new(&options, error, error_size);
    return self->relay != NULL;
}

/* The relay's own table tells what a gatekeeper has in flight. */
static bool s_open_watch(broker *self, char *error, size_t error_size)
{
    pcl_peer_watch_options options = {
        .router = self->gatekeepers.socket,
        .work_max = 1,
        .held_max = 1,
        .held_each_max = 1,
        .seed = self->args->seed,
        .gone = s_on_gatekeeper_gone,
        .context = self,
    };
    self->watch = pcl_peer_watch_new(&options, error, error_size);
    return self->watch != NULL;
}

static bool s_open(broker *self, char *error, size_t error_size)
{
    pcl_keys keys = {0};
    const char *key_file = pcl_config_text(self->config, "curve/key_file");
    bool has_keys = key_file[0] != '\0';
    if (has_keys && !pcl_keys_load(&keys, key_file, error, error_size)) {
        return false;
    }
    const pcl_keys *own = has_keys ? &keys : NULL;
    bool opened = s_open_cache(self, error, error_size) &&
                  s_open_relay(self, own, error, error_size) &&
                  pcl_door_open(&self->gatekeepers, self->config, own,
                                (uint32_t)pcl_config_uint(self->config, "limits/queue_max"),
                                PCL_REQUEST_SIZE_MAX, error, error_size) &&
                  s_open_watch(self, error, error_size);
    pcl_keys_wipe(&keys);
    return opened;
}

void pcl_broker_actor(zsock_t *pipe, void *argument)
{
    static const pcl_actor_hooks hooks = {
        .drain = s_drain, .drained = s_drained, .reload = s_reload};
    const pcl_role_args *args = argument;
    assert(args != NULL);
    broker self = {
        .args = args,
        .loop = pcl_loop_new(),
        .gatekeepers = {.who = WHO, .peers = "gatekeepers"},
        .stranger_limit = pcl_log_limit_of(STRANGER_LINES_MAX),
    };
    char error[MESSAGE_MAX] = "";
    s_metrics_make(&self);
    s_cache_metrics_make(&self);
    s_read_policy(&self, args->config);
    pcl_buffer_init(&self.digest, 2 * (size_t)PCL_SQL_DIGEST_SIZE_MAX);
    bool opened = s_open_policy(&self, error, sizeof error) &&
                  pcl_door_read_keys(&self.gatekeepers, args->config) &&
                  s_open(&self, error, sizeof error);
    if (opened) {
        pcl_loop_add_socket(self.loop, self.gatekeepers.socket, s_on_gatekeepers, &self);
        pcl_loop_add_socket(self.loop, pcl_peer_watch_socket(self.watch), s_on_watch, &self);
        pcl_loop_set_tick(self.loop, TICK_US, s_tick, s_turn, &self);
    } else if (error[0] != '\0') {
        pcl_log(PCL_LOG_ERROR, WHO, "open_failed", "reason=\"%s\"", error);
    }
    pcl_actor_run(pipe, opened, self.loop, &hooks, &self);
    pcl_loop_destroy(&self.loop);
    pcl_relay_destroy(&self.relay);
    pcl_peer_watch_destroy(&self.watch);
    pcl_sql_cache_destroy(&self.cache);
    pcl_policy_files_release(&self.policy);
    pcl_buffer_release(&self.digest);
    pcl_door_close(&self.gatekeepers);
}
