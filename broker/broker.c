#include "broker/broker.h"

#include "broker/actor.h"
#include "common/clock.h"
#include "net/proxies.h"
#include "net/time.h"
#include "sql/digest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US (10 * PCL_US_PER_MS)

/* A common statement with its digest. */
#define CACHED_SIZE_USUAL 256u

enum { STRANGER_LINES_MAX = 5, DRY_LINES_MAX = 20 /* log lines a second */ };

/* --- Gatekeepers that leave -------------------------------------------------- */

/* Nobody waits for what it has in flight.  What its clients hold it releases itself, or it ends
 * when it was idle. */
static void s_gatekeeper_gone(pcl_broker *self, pcl_bytes routing, const char *why, uint64_t now_us)
{
    uint32_t told = pcl_relay_cancel_peer(self->relay, routing, now_us);
    pcl_log(told > 0 ? PCL_LOG_WARNING : PCL_LOG_INFO, PCL_BROKER_WHO, "gatekeeper_gone",
            "why=%s cancelled=%u", why, told);
}

static void s_on_gatekeeper_gone(void *context, uint32_t connection, uint64_t now_us)
{
    pcl_broker *self = context;
    uint8_t routing[PCL_CONNECTION_ROUTE];
    pcl_connections_route(pcl_peer_watch_table(self->watch), connection, routing);
    pcl_bytes octets = pcl_bytes_of(routing, sizeof routing);
    pcl_peers_left(&self->peers, octets);
    s_gatekeeper_gone(self, octets, "disconnected", now_us);
}

static bool s_on_watch(void *context, uint64_t now_us)
{
    pcl_peer_watch_read(((pcl_broker *)context)->watch, now_us);
    return false;
}

static void s_look_for_silent(pcl_broker *self, uint64_t now_us)
{
    const pcl_peer *peer = NULL;
    for (uint32_t index = 0; index < self->peers.count; index++) {
        pcl_peer *one = &self->peers.peer[index];
        if (one->silent_us >= 2 * PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS && !one->gone &&
            pcl_tcp_flow_moves(&one->flow, PCL_BEAT_INTERVAL_MS)) {
            one->silent_us = 0; /* its pings wait behind a long message */
        }
    }
    pcl_peers_look(&self->peers, now_us);
    while ((peer = pcl_peers_gone(&self->peers)) != NULL) {
        s_gatekeeper_gone(self, pcl_bytes_of(peer->routing, peer->routing_size), "silent", now_us);
    }
}

/* --- Hooks ------------------------------------------------------------------- */

static void s_tick(void *context, uint64_t now_us)
{
    pcl_broker *self = context;
    pcl_broker_metrics_publish(self);
    pcl_broker_expire(self, now_us);
    pcl_relay_tick(self->relay, now_us);
    pcl_peer_watch_tick(self->watch, now_us);
    pcl_door_tick(&self->gatekeepers, now_us);
    s_look_for_silent(self, now_us);
    pcl_broker_audit_tick(self, now_us);
    if (self->guard_until_us != 0 && now_us >= self->guard_until_us) {
        self->guard_until_us = 0;
        pcl_relay_set_unready(self->relay, NULL);
    }
    uint64_t suppressed = pcl_log_limit_suppressed(&self->stranger_limit, now_us);
    if (suppressed > 0) {
        pcl_log(PCL_LOG_WARNING, PCL_BROKER_WHO, "dropped_more", "lines=%llu",
                (unsigned long long)suppressed);
    }
    suppressed = pcl_log_limit_suppressed(&self->dry_limit, now_us);
    if (suppressed > 0) {
        pcl_log(PCL_LOG_INFO, PCL_BROKER_WHO, "would_refuse_more", "lines=%llu",
                (unsigned long long)suppressed);
    }
}

static void s_turn(void *context, uint64_t now_us)
{
    pcl_broker *self = context;
    pcl_broker_pump(self, now_us);
    pcl_relay_turn(self->relay, now_us);
    pcl_hop_outbox_flush(self->outbox, now_us);
    pcl_relay_flush(self->relay, now_us); /* the RELEASEs that came of it */
}

static void s_drain(void *context, uint64_t now_us)
{
    pcl_broker *self = context;
    self->draining = true;
    pcl_relay_drain(self->relay);
    for (uint32_t index = 0; index < self->peers.count; index++) {
        const pcl_peer *peer = &self->peers.peer[index];
        zmq_msg_t routing;
        pcl_frame_copy_of(&routing, pcl_bytes_of(peer->routing, peer->routing_size));
        pcl_broker_beat(self, &routing, PCL_KIND_BYE, now_us);
        zmq_msg_close(&routing);
    }
}

static bool s_drained(void *context)
{
    const pcl_broker *self = context;
    return pcl_relay_count(self->relay) == 0 && pcl_hop_outbox_count(self->outbox) == 0;
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

static void s_reload(void *context, const pcl_config *config)
{
    pcl_broker *self = context;
    pcl_sql_rules rules = s_read_rules(config);
    self->config = config;
    pcl_sql_cache_reset(self->cache, &rules);
    pcl_broker_read_lanes(self, config);
    (void)pcl_broker_read_policy(self, config, pcl_now_us()); /* logged, likewise */
    pcl_door_read_limits(&self->gatekeepers, config);
    (void)pcl_door_read_keys(&self->gatekeepers, config); /* logged; the old list stays in force */
}

/* --- Opening ----------------------------------------------------------------- */

static bool s_open_cache(pcl_broker *self)
{
    pcl_sql_rules rules = s_read_rules(self->config);
    size_t size = pcl_config_uint(self->config, "limits/sql_cache_size");
    self->cache = pcl_sql_cache_new(&rules, (uint32_t)(size / CACHED_SIZE_USUAL), size,
                                    self->args->seed);
    return self->cache != NULL;
}

/* All that is pure, at its full size. */
static bool s_open_tables(pcl_broker *self, char *error, size_t error_size)
{
    const pcl_config *config = self->config;
    uint64_t seed = self->args->seed;
    uint32_t item_max = (uint32_t)pcl_config_uint(config, "queue/requests_max");
    pcl_queue_options queue = {
        .item_max = item_max,
        .octets_max = pcl_config_uint(config, "queue/size_max"),
        .flow_max = PCL_BROKER_CALLERS_MAX,
        .target_us = pcl_config_uint(config, "queue/target_ms") * PCL_US_PER_MS,
        .interval_us = pcl_config_uint(config, "queue/interval_ms") * PCL_US_PER_MS,
    };
    self->callers = pcl_callers_new(PCL_BROKER_CALLERS_MAX, seed);
    self->holdings = pcl_holdings_new((uint32_t)pcl_config_uint(config, "limits/held_max"),
                                      PCL_BROKER_CALLERS_MAX, seed);
    self->replay = pcl_replay_new((uint32_t)pcl_config_uint(config, "seal/channels_max"),
                                  (uint32_t)pcl_config_uint(config, "seal/channels_principal_max"),
                                  pcl_wall_us(), pcl_now_us(), seed);
    self->works = pcl_works_new(self->work_max, self->audit != NULL, seed);
    self->queue = pcl_queue_new(&queue);
    self->queued = calloc(item_max, sizeof *self->queued);
    self->lonely = calloc(PCL_BROKER_CALLERS_MAX, sizeof *self->lonely);
    self->unsure = calloc(self->work_max, sizeof *self->unsure);
    pcl_broker_read_lanes(self, config);
    bool whole = s_open_cache(self) && self->callers != NULL && self->holdings != NULL &&
                 self->replay != NULL && self->works != NULL && self->queue != NULL &&
                 self->queued != NULL && self->unsure != NULL && self->lonely != NULL;
    if (!whole) {
        (void)snprintf(error, error_size, "no memory for the tables that the limits ask for");
    }
    return whole;
}

static bool s_open_relay(pcl_broker *self, const pcl_keys *keys, char *error, size_t error_size)
{
    pcl_relay_options options = {
        .hop = PCL_BROKER_WHO,
        .next = "proxy",
        .inflight_max = self->work_max,
        .by_id = true,
        .grace_ms = PCL_GRACE_BROKER_MS,
        .names = PCL_RELAY_NAMES("broker"),
        .args = self->args,
        .loop = self->loop,
        .send = pcl_broker_send,
        .answer = pcl_broker_answer,
        .again = pcl_broker_again,
        .gone = pcl_broker_gone,
        .context = self,
    };
    pcl_proxy_place places[PCL_PROXIES_MAX];
    options.link_count = pcl_proxies_read(self->config, places);
    for (uint32_t index = 0; index < options.link_count; index++) {
        options.link_names[index] = places[index].name;
        options.links[index] = (pcl_socket_options){
            .endpoint = places[index].endpoint,
            .keys = keys,
            .server_key = places[index].public_key,
            .queue_max = (uint32_t)pcl_config_uint(self->config, "limits/queue_max"),
            .message_size_max = PCL_REPLY_SIZE_MAX,
            .insecure = pcl_config_bool(self->config, "curve/insecure"),
        };
    }
    self->relay = pcl_relay_new(&options, error, error_size);
    return self->relay != NULL;
}

static void s_open_boxes(pcl_broker *self)
{
    zsock_t *socket = self->gatekeepers.socket;
    pcl_hop_inbox_init(&self->inbox, socket, true);
    pcl_hop_inbox_lend(&self->inbox);
    self->outbox = pcl_hop_outbox_new(socket, pcl_broker_unsent, self);
}

/* The relay's own table tells what a gatekeeper has in flight. */
static bool s_open_watch(pcl_broker *self, char *error, size_t error_size)
{
    s_open_boxes(self);
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
    if (self->watch != NULL) {
        pcl_door_watch(&self->gatekeepers, self->watch, self->config, self->args->metrics);
    }
    return self->watch != NULL;
}

static bool s_open(pcl_broker *self, char *error, size_t error_size)
{
    const char *key_file = pcl_config_text(self->config, "curve/key_file");
    self->has_own = key_file[0] != '\0';
    if (self->has_own && !pcl_keys_load(&self->own, key_file, error, error_size)) {
        return false;
    }
    const pcl_keys *own = self->has_own ? &self->own : NULL;
    return pcl_token_keys_load(&self->tokens, pcl_config_text(self->config, "tokens/key_file"),
                               error, error_size) &&
           pcl_broker_open_audit(self, error, error_size) &&
           s_open_tables(self, error, error_size) && s_open_relay(self, own, error, error_size) &&
           pcl_broker_read_policy(self, self->config, pcl_now_us()) &&
           pcl_door_open(&self->gatekeepers, self->config, own,
                         (uint32_t)pcl_config_uint(self->config, "limits/queue_max"),
                         PCL_REQUEST_SIZE_MAX, error, error_size) &&
           s_open_watch(self, error, error_size);
}

static void s_wipe_keys(pcl_broker *self)
{
    uint32_t cursor = 0;
    uint32_t index;
    pcl_keys_wipe(&self->own);
    pcl_token_keys_wipe(&self->tokens);
    while (self->callers != NULL &&
           (index = pcl_callers_each(self->callers, &cursor)) != PCL_CALLER_NONE) {
        pcl_seal_key_wipe(&pcl_callers_at(self->callers, index)->key);
    }
}

static void s_close(pcl_broker *self)
{
    pcl_relay_destroy(&self->relay); /* says to the audit what was not answered */
    pcl_broker_close_audit(self);
    s_wipe_keys(self);
    pcl_peer_watch_destroy(&self->watch);
    pcl_works_destroy(&self->works);
    pcl_queue_destroy(&self->queue);
    free(self->queued);
    free(self->lonely);
    free(self->unsure);
    pcl_replay_destroy(&self->replay);
    pcl_holdings_destroy(&self->holdings);
    pcl_callers_destroy(&self->callers);
    pcl_sql_cache_destroy(&self->cache);
    pcl_policy_files_release(&self->policy);
    pcl_buffer_release(&self->digest);
    pcl_hop_inbox_release(&self->inbox);
    pcl_hop_outbox_destroy(&self->outbox);
    pcl_door_close(&self->gatekeepers);
}

/* Who waits until we are ready shall find his seals taken. */
static void s_begin_guard(pcl_broker *self)
{
    if (self->has_own) {
        self->guard_until_us = pcl_now_us() + PCL_REPLAY_GUARD_US;
        pcl_relay_set_unready(self->relay, "no seal is taken yet");
    }
}

static void s_add_sources(pcl_broker *self)
{
    pcl_loop_add_socket(self->loop, self->gatekeepers.socket, pcl_broker_on_gatekeepers, self);
    pcl_loop_add_quiet(self->loop, pcl_peer_watch_socket(self->watch), s_on_watch, self);
    if (self->audit != NULL) {
        pcl_loop_add_fd(self->loop, pcl_audit_fd(self->audit), pcl_broker_on_audit, self);
    }
    pcl_loop_set_tick(self->loop, TICK_US, s_tick, s_turn, self);
}

static void *s_begin(const pcl_role_args *args, pcl_loop *loop, bool *out_opened)
{
    assert(args != NULL && loop != NULL);
    pcl_broker *self = calloc(1, sizeof *self);
    assert(self != NULL); /* at the start only */
    self->args = args;
    self->config = args->config;
    self->loop = loop;
    self->gatekeepers = (pcl_door){.who = PCL_BROKER_WHO, .peers = "gatekeepers"};
    self->stranger_limit = pcl_log_limit_of(STRANGER_LINES_MAX);
    self->dry_limit = pcl_log_limit_of(DRY_LINES_MAX);
    self->remote = pcl_broker_is_remote(args->config);
    self->work_max = (uint32_t)pcl_config_uint(args->config, "limits/inflight_max");
    pcl_buffer_init(&self->digest, PCL_SQL_DIGEST_SIZE_MAX);
    char error[PCL_BROKER_MESSAGE_MAX] = "";
    pcl_broker_metrics_make(self);
    *out_opened = pcl_door_read_keys(&self->gatekeepers, args->config) &&
                  s_open(self, error, sizeof error);
    if (*out_opened) {
        s_begin_guard(self);
        s_add_sources(self);
    } else if (error[0] != '\0') {
        pcl_log(PCL_LOG_ERROR, PCL_BROKER_WHO, "open_failed", "reason=\"%s\"", error);
    }
    return self;
}

static void s_end(void *context, bool opened)
{
    (void)opened; /* what is not there needs no end */
    s_close(context);
    free(context);
}

const pcl_role_parts pcl_broker_parts = {
    .open = s_begin,
    .close = s_end,
    .hooks = {.drain = s_drain, .drained = s_drained, .reload = s_reload},
};

void pcl_broker_actor(zsock_t *pipe, void *argument)
{
    pcl_actor_live(pipe, argument, &pcl_broker_parts);
}
