#include "broker/actor.h"

#include "common/clock.h"
#include "wire/mp.h"
#include "wire/reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { LABEL_SIZE = 64, STATUS_PAIRS = 13 };

/* --- Metrics ----------------------------------------------------------------- */

static const pcl_metric_plan REFUSALS = {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, refusals),
                                         "portcullis_broker_refusals_total",
                                         "Requests that the broker refused, by rule."};
static const pcl_metric_plan LANES[] = {
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, queued), "portcullis_broker_queue_requests",
     "Requests that wait for room below."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, windows), "portcullis_broker_window_requests",
     "How many requests may be below at a time, as the agents' queues allow."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, below),
     "portcullis_broker_window_used_requests", "How many of them are."},
};
static const pcl_metric_plan METRICS[] = {
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, queue_octets), "portcullis_broker_queue_bytes",
     "Octets of the payloads that wait."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, queue_dropped),
     "portcullis_broker_queue_dropped_total",
     "Requests that waited too long in a line that stood, and were answered OVERLOADED."},
    {PCL_METRIC_HISTOGRAM, offsetof(pcl_broker_metrics, queue_wait),
     "portcullis_broker_queue_wait_seconds", "How long requests waited in the queue that went on."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, sealed), "portcullis_broker_seals_total",
     "Requests whose seal was found good."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, channels), "portcullis_broker_seal_channels",
     "Channels whose sequence is remembered."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, callers), "portcullis_broker_principals",
     "Principals that have spoken and are in the policy."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, dismissed),
     "portcullis_broker_principals_gone_total",
     "Principals that were taken out of the policy, or got another key, after they had spoken."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, audit_lines),
     "portcullis_broker_audit_lines_total", "Lines of the audit that were written."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, audit_lost),
     "portcullis_broker_audit_lost_total", "Records that the audit could not take."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, audit_waiting),
     "portcullis_broker_audit_queue_bytes", "Octets of records that wait to be written."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, audit_state), "portcullis_broker_audit_state",
     "0 fine (or no audit), 1 it cannot be written just now, 2 broken."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, audit_muted),
     "portcullis_broker_audit_muted_total",
     "Lines left out, beyond so many a second, of what no rate bounds: requests that nobody is "
     "proved to have made, that the rate refused, and cancels."},
    {PCL_METRIC_COUNTER, offsetof(pcl_broker_metrics, dropped),
     "portcullis_broker_messages_dropped_total",
     "Messages that were not of the protocol, or a stranger's."},
    {PCL_METRIC_GAUGE, offsetof(pcl_broker_metrics, cache_entries),
     "portcullis_broker_sql_cache_entries", "Statements whose verdict is kept."},
};

static void s_make_refusals(pcl_broker *self)
{
    static const char *const why[] = {
        [PCL_REFUSAL_STRANGER] = "stranger", [PCL_REFUSAL_REQUEST] = "request",
        [PCL_REFUSAL_HEAD] = "head",         [PCL_REFUSAL_GONE] = "gone",
        [PCL_REFUSAL_UNSENT] = "unsent",     [PCL_REFUSAL_QUEUE] = "queue",
        [PCL_REFUSAL_AUDIT] = "audit",       [PCL_REFUSAL_TOKEN] = "token",
    };
    pcl_metrics *registry = self->args->metrics;
    pcl_broker_metrics *made = &self->metrics;
    char label[LABEL_SIZE];
    pcl_metrics_make_each(registry, made, &REFUSALS, "rule", why, PCL_REFUSAL_COUNT);
    for (int rule = PCL_POLICY_RULE_NONE + 1; rule < PCL_POLICY_RULE_COUNT; rule++) {
        (void)snprintf(label, sizeof label, "rule=\"%s\"",
                       pcl_policy_rule_text((pcl_policy_rule)rule));
        made->rules[rule] = pcl_metrics_counter(registry, REFUSALS.name, label, REFUSALS.help);
        made->dry_runs[rule] = pcl_metrics_counter(
            registry, "portcullis_broker_dry_runs_total", label,
            "Requests that a rule on trial would have refused or cut, by rule.");
    }
}

static void s_make_lanes(pcl_broker *self)
{
    static const char *const lanes[] = {[PCL_QUEUE_READS] = "reads", [PCL_QUEUE_REST] = "rest"};
    for (size_t index = 0; index < sizeof LANES / sizeof LANES[0]; index++) {
        pcl_metrics_make_each(self->args->metrics, &self->metrics, &LANES[index], "lane", lanes,
                              PCL_QUEUE_LANES);
    }
}

void pcl_broker_metrics_make(pcl_broker *self)
{
    static const char name[] = "portcullis_broker_sql_cache_total";
    static const char help[] = "Statements whose verdict was there (hit), or had to be found.";
    pcl_metrics *registry = self->args->metrics;
    pcl_broker_metrics *made = &self->metrics;
    s_make_refusals(self);
    s_make_lanes(self);
    pcl_metrics_make(registry, made, "", METRICS, sizeof METRICS / sizeof METRICS[0]);
    made->cache_hits = pcl_metrics_counter(registry, name, "result=\"hit\"", help);
    made->cache_misses = pcl_metrics_counter(registry, name, "result=\"miss\"", help);
}

static void s_publish_audit(pcl_broker *self)
{
    if (self->audit != NULL) {
        pcl_broker_metrics *made = &self->metrics;
        pcl_audit_counts counts = pcl_audit_count(self->audit);
        pcl_metric_add(made->audit_lines, counts.lines - self->audit_counts.lines);
        pcl_metric_add(made->audit_lost, counts.lost - self->audit_counts.lost);
        pcl_metric_set(made->audit_waiting, (double)counts.waiting);
        pcl_metric_set(made->audit_state, (double)self->audit_state);
        self->audit_counts = counts;
    }
}

void pcl_broker_metrics_publish(pcl_broker *self)
{
    pcl_broker_metrics *made = &self->metrics;
    pcl_sql_cache_counts counts = pcl_sql_cache_count(self->cache);
    pcl_metric_add(made->cache_hits, counts.hits - self->cached.hits);
    pcl_metric_add(made->cache_misses, counts.misses - self->cached.misses);
    pcl_metric_set(made->cache_entries, counts.entries);
    self->cached = counts;
    for (int lane = 0; lane < (int)PCL_QUEUE_LANES; lane++) {
        pcl_metric_set(made->queued[lane], pcl_queue_lane_count(self->queue, (pcl_queue_lane)lane));
        pcl_metric_set(made->windows[lane], self->windows[lane].size);
        pcl_metric_set(made->below[lane], self->windows[lane].inflight);
    }
    pcl_metric_set(made->queue_octets, (double)pcl_queue_octets(self->queue));
    pcl_metric_set(made->channels, pcl_replay_count(self->replay));
    pcl_metric_set(made->callers, pcl_callers_count(self->callers));
    s_publish_audit(self);
}

void pcl_broker_dry_run(pcl_broker *self, const pcl_relay_entry *entry, uint32_t rules,
                        const char *message, uint64_t now_us)
{
    for (int rule = PCL_POLICY_RULE_NONE + 1; rule < PCL_POLICY_RULE_COUNT; rule++) {
        if ((rules & (1u << rule)) == 0) {
            continue;
        }
        pcl_metric_add(self->metrics.dry_runs[rule], 1);
        if (pcl_log_limit_take(&self->dry_limit, now_us)) {
            char id[2 * PCL_ID_SIZE + 1];
            char principal[2 * PCL_NAME_SIZE_MAX + 1];
            char text[2 * PCL_BROKER_MESSAGE_MAX];
            pcl_log(PCL_LOG_INFO, PCL_BROKER_WHO, "would_refuse",
                    "id=%s principal=\"%s\" rule=%s message=\"%s\"", pcl_id_text(entry->id, id),
                    pcl_log_escape(entry->principal, principal, sizeof principal),
                    pcl_policy_rule_text((pcl_policy_rule)rule),
                    pcl_log_escape(message, text, sizeof text));
        }
    }
}

/* --- Status ------------------------------------------------------------------ */

static const char *s_link_text(pcl_link_state state)
{
    return state == PCL_LINK_UP ? "up" : state == PCL_LINK_DRAINING ? "draining" : "down";
}

static void s_put_status(const pcl_broker *self, pcl_buffer *buffer)
{
    const pcl_config *config = self->config;
    const pcl_window *windows = self->windows;
    pcl_mp_put_text(buffer, "broker");
    pcl_mp_put_map(buffer, STATUS_PAIRS);
    pcl_mp_pair_uint(buffer, "inflight", pcl_relay_count(self->relay));
    pcl_mp_pair_uint(buffer, "inflight_max", self->work_max);
    pcl_mp_pair_uint(buffer, "queued", pcl_queue_count(self->queue));
    pcl_mp_pair_uint(buffer, "queue_max", pcl_config_uint(config, "queue/requests_max"));
    pcl_mp_pair_uint(buffer, "queued_octets", pcl_queue_octets(self->queue));
    pcl_mp_pair_uint(buffer, "queue_octets_max", pcl_config_uint(config, "queue/size_max"));
    pcl_mp_pair_uint(buffer, "window_reads", windows[PCL_QUEUE_READS].size);
    pcl_mp_pair_uint(buffer, "window_rest", windows[PCL_QUEUE_REST].size);
    pcl_mp_pair_uint(buffer, "seal_channels", pcl_replay_count(self->replay));
    pcl_mp_pair_uint(buffer, "seal_channels_max", pcl_config_uint(config, "seal/channels_max"));
    pcl_mp_pair_uint(buffer, "messages_max", pcl_config_uint(config, "limits/queue_max"));
    pcl_mp_pair_uint(buffer, "audit_queue_max",
                     self->audit != NULL ? pcl_config_uint(config, "audit/queue_size") : 0);
    uint32_t count = pcl_relay_next_count(self->relay);
    pcl_mp_put_text(buffer, "proxies");
    pcl_mp_put_array(buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        pcl_relay_next next = pcl_relay_next_at(self->relay, index);
        pcl_mp_put_map(buffer, 3);
        pcl_mp_pair_text(buffer, "name", next.name);
        pcl_mp_pair_text(buffer, "state", s_link_text(next.state));
        pcl_mp_pair_uint(buffer, "inflight", next.inflight);
    }
}

/* How many pairs a map has, and what stands behind its head.  false: it is no map. */
static bool s_open_map(pcl_bytes map, uint32_t *out_count, pcl_bytes *out_pairs)
{
    enum { FIXMAP = 0x80, FIXMAP_MAX = 0x8f, MAP16 = 0xde };
    uint32_t count = 0;
    size_t head = 0;
    if (map.size >= 1 && map.data[0] >= FIXMAP && map.data[0] <= FIXMAP_MAX) {
        count = map.data[0] - (uint32_t)FIXMAP;
        head = 1;
    } else if (map.size >= 3 && map.data[0] == MAP16) {
        count = ((uint32_t)map.data[1] << 8) | map.data[2];
        head = 3;
    } else {
        return false;
    }
    *out_count = count;
    *out_pairs = pcl_bytes_of(map.data + head, map.size - head);
    return true;
}

/* The reply once more, with its route; one pair is to follow. */
static void s_open(const pcl_reply *reply, pcl_buffer *buffer)
{
    bool routed = reply->route.size > 0;
    pcl_buffer_init(buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_open(buffer, reply->has_id ? reply->id : NULL, true, routed ? 2 : 1);
    if (routed) {
        pcl_mp_put_text(buffer, "route");
        pcl_mp_put_raw(buffer, reply->route);
    }
}

/* Takes the buffer; the reply stays as it is when that could not be written. */
static void s_replace(pcl_relay_reply *reply, pcl_buffer *buffer)
{
    if (!buffer->failed) {
        zmq_msg_close(&reply->payload);
        pcl_frame_of_buffer(&reply->payload, buffer);
    }
    pcl_buffer_release(buffer);
}

void pcl_broker_status_add(pcl_broker *self, pcl_relay_reply *reply)
{
    pcl_reply decoded;
    uint32_t count = 0;
    pcl_bytes pairs;
    if (pcl_reply_decode(&decoded, pcl_frame_bytes(&reply->payload)) != PCL_ERR_OK ||
        !s_open_map(decoded.status, &count, &pairs)) {
        return; /* it goes as it is */
    }
    pcl_buffer buffer;
    s_open(&decoded, &buffer);
    pcl_mp_put_text(&buffer, "status");
    pcl_mp_put_map(&buffer, count + 1);
    pcl_mp_put_raw(&buffer, pairs);
    s_put_status(self, &buffer);
    s_replace(reply, &buffer);
}

void pcl_broker_cancel_add(pcl_relay_reply *reply, uint32_t count)
{
    pcl_reply decoded;
    if (pcl_reply_decode(&decoded, pcl_frame_bytes(&reply->payload)) == PCL_ERR_OK) {
        pcl_buffer buffer;
        s_open(&decoded, &buffer);
        pcl_mp_pair_uint(&buffer, "affected", decoded.affected + count);
        s_replace(reply, &buffer);
    }
}
