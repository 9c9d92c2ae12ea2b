#include "proxy/actor.h"

#include "common/clock.h"
#include "wire/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Hexadecimal text: JSON readers round integers of 64 bits. */
static void s_hex(pcl_buffer *buffer, const char *key, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    pcl_mp_pair_text(buffer, key, text);
}

static void s_put_limits(const pcl_proxy *self, pcl_buffer *buffer)
{
    const pcl_proxy_settings *settings = &self->settings;
    pcl_mp_put_text(buffer, "limits");
    pcl_mp_put_map(buffer, 6);
    pcl_mp_pair_uint(buffer, "inflight_max", settings->inflight_max);
    pcl_mp_pair_uint(buffer, "node_inflight_max", settings->node_inflight_max);
    pcl_mp_pair_uint(buffer, "queue_max", settings->queue_max);
    pcl_mp_pair_uint(buffer, "attempts_max", PCL_ATTEMPTS_MAX);
    pcl_mp_pair_uint(buffer, "lag_ms_max", settings->lag_ms_max);
    pcl_mp_pair_uint(buffer, "replicas_min", settings->replicas_min);
}

static void s_put_hedges(const pcl_proxy *self, pcl_buffer *buffer)
{
    uint64_t delay_us = 0;
    pcl_mp_put_text(buffer, "hedges");
    pcl_mp_put_map(buffer, 6);
    pcl_mp_put_text(buffer, "delay_us");
    if (pcl_hedge_delay_us(&self->hedge, &delay_us)) {
        pcl_mp_put_uint(buffer, delay_us);
    } else {
        pcl_mp_put_nil(buffer);
    }
    pcl_mp_put_text(buffer, "tokens");
    pcl_mp_put_int(buffer, (int64_t)self->hedge.tokens);
    pcl_mp_pair_uint(buffer, "sent", self->hedges_sent);
    pcl_mp_pair_uint(buffer, "won", self->hedges_won);
    pcl_mp_pair_uint(buffer, "cancel_late", self->hedges_late);
    pcl_mp_pair_uint(buffer, "budget_exhausted", self->hedges_starved);
}

static void s_put_report(const pcl_member *member, pcl_buffer *buffer)
{
    const pcl_report *report = &member->report;
    pcl_mp_pair_text(buffer, "flavor", pcl_flavor_text(report->flavor));
    pcl_mp_put_text(buffer, "lag_ms");
    pcl_mp_put_int(buffer, member->reported ? report->lag_ms : -1);
    pcl_mp_pair_uint(buffer, "rif", report->rif);
    pcl_mp_pair_uint(buffer, "running", report->running);
    pcl_mp_pair_uint(buffer, "queued", report->queued);
    pcl_mp_pair_uint(buffer, "queue_max", report->queue_max);
    pcl_mp_pair_uint(buffer, "workers", report->workers);
    pcl_mp_pair_uint(buffer, "threads_running", report->threads_running);
    pcl_mp_pair_double(buffer, "service_us", report->service_mean_us);
    pcl_mp_pair_uint(buffer, "errors", report->errors);
    pcl_mp_pair_uint(buffer, "served", report->served);
    pcl_mp_pair_bool(buffer, "read_only", report->read_only);
    pcl_mp_pair_bool(buffer, "replicating", report->replicating);
    pcl_mp_pair_uint(buffer, "term", report->term);
    pcl_mp_pair_uint(buffer, "database_port", report->database_port);
    pcl_mp_pair_uint(buffer, "sessions", report->sessions);
    pcl_mp_pair_uint(buffer, "cursors", report->cursors);
    pcl_mp_pair_text(buffer, "zone", member->reported ? report->zone : "");
    pcl_mp_pair_bool(buffer, "notice", member->reported && report->notice);
    pcl_mp_put_text(buffer, "gtid");
    pcl_mp_put_str(buffer, member->reported ? report->gtid : pcl_bytes_of(NULL, 0));
}

static void s_put_health(const pcl_member *member, uint64_t now_us, pcl_buffer *buffer)
{
    const pcl_health *health = &member->health;
    bool out = health->state != PCL_HEALTH_SOUND;
    uint64_t out_us = out ? pcl_time_left_us(health->until_us, now_us) : 0;
    pcl_mp_put_text(buffer, "health");
    pcl_mp_put_map(buffer, 6);
    pcl_mp_pair_text(buffer, "state", pcl_health_state_text(health->state));
    pcl_mp_pair_text(buffer, "cause", pcl_health_cause_text(health->cause));
    pcl_mp_pair_uint(buffer, "failures", health->failures);
    pcl_mp_pair_uint(buffer, "ejections", health->ejections);
    pcl_mp_pair_uint(buffer, "ejected_ms", out_us / PCL_US_PER_MS);
    pcl_mp_pair_bool(buffer, "lag_settles", member->lag_gate.out);
}

static void s_put_left_out(const pcl_proxy_node *node, pcl_buffer *buffer)
{
    uint32_t count = 0;
    for (int why = 0; why < PCL_LEFT_OUT_COUNT; why++) {
        count += node->left_out[why] > 0 ? 1 : 0;
    }
    pcl_mp_put_text(buffer, "left_out");
    pcl_mp_put_map(buffer, count);
    for (int why = 0; why < PCL_LEFT_OUT_COUNT; why++) {
        if (node->left_out[why] > 0) {
            pcl_mp_pair_uint(buffer, pcl_left_out_text((pcl_left_out)why), node->left_out[why]);
        }
    }
}

static void s_put_node(const pcl_proxy *self, uint32_t index, uint64_t now_us, pcl_buffer *buffer)
{
    const pcl_member *member = pcl_membership_at(self->members, index);
    pcl_mp_put_map(buffer, 33);
    pcl_mp_pair_text(buffer, "name", member->name);
    pcl_mp_pair_text(buffer, "role",
                     pcl_node_role_text(member->reported ? member->report.role : PCL_NODE_UNKNOWN));
    pcl_mp_pair_text(buffer, "member", pcl_member_state_text(member->state));
    pcl_mp_pair_text(
        buffer, "state",
        pcl_node_state_text(member->reported ? member->report.state : PCL_NODE_NOT_READY));
    pcl_mp_pair_bool(buffer, "drained", member->drained);
    s_hex(buffer, "boot_id", member->boot_id);
    pcl_mp_put_text(buffer, "last_heard_ms");
    if (member->boot_id == 0) {
        pcl_mp_put_nil(buffer);
    } else {
        pcl_mp_put_uint(buffer, pcl_time_since_us(member->heard_us, now_us) / PCL_US_PER_MS);
    }
    pcl_mp_pair_uint(buffer, "inflight", member->candidate.own);
    pcl_mp_pair_double(buffer, "rtt_us", member->candidate.rtt_us);
    pcl_mp_pair_uint(buffer, "retries", self->nodes[index].retries);
    s_put_health(member, now_us, buffer);
    s_put_left_out(&self->nodes[index], buffer);
    pcl_mp_pair_double(buffer, "start_share",
                       pcl_candidate_start_share(&member->candidate, now_us));
    s_put_report(member, buffer);
}

/* What the strategy would choose now for a read without conditions.  Copies of
 * its state and of the random stream are asked, so that asking changes nothing. */
static void s_put_choice(const pcl_proxy *self, pcl_strategy_kind kind, uint64_t now_us,
                         pcl_buffer *buffer)
{
    pcl_need need = {.read = true,
                     .source_only = kind == PCL_STRATEGY_DIRECT,
                     .reads_on_source = self->settings.reads_on_source,
                     .stale_reads = self->settings.stale_reads,
                     .lag_ms_max = self->settings.lag_ms_max,
                     .replicas_min = self->settings.replicas_min,
                     .health = &self->settings.health,
                     .term_min = self->topology.term,
                     .turn = self->turn,
                     .node_inflight_max = self->settings.node_inflight_max};
    pcl_strategy_state state = self->strategy_state;
    pcl_rng rng = self->rng;
    pcl_proxy_choice choice = {.strategy = kind};
    pcl_candidates_find(self->members, &need, now_us, &choice.candidates);
    if (choice.candidates.count > 0) {
        uint32_t position = pcl_strategy_choose(
            kind, &state,
            &(pcl_choice_input){.candidates = choice.candidates.fit,
                                .count = choice.candidates.count,
                                .now_us = now_us,
                                .lag_ms_max = need.lag_ms_max,
                                .far_margin = self->settings.far_margin,
                                .rng = &rng,
                                .out_costs = choice.costs});
        choice.chosen = position == PCL_CHOICE_NONE ? NULL : choice.candidates.fit[position];
    }
    pcl_mp_put_text(buffer, pcl_strategy_text(kind));
    pcl_mp_put_map(buffer, 1 + PCL_PROXY_EXPLAIN_PAIRS);
    pcl_mp_put_text(buffer, "node");
    if (choice.chosen == NULL) {
        pcl_mp_put_nil(buffer);
    } else {
        pcl_mp_put_text(buffer, pcl_membership_at(self->members, choice.chosen->index)->name);
    }
    pcl_proxy_explain_pairs(self, &choice, now_us, buffer);
}

/* The latest change of the source that was heard of. */
static void s_put_topology(const pcl_proxy *self, pcl_buffer *buffer)
{
    const pcl_topology *topology = &self->topology;
    pcl_mp_put_text(buffer, "topology");
    pcl_mp_put_map(buffer, 4);
    pcl_mp_pair_uint(buffer, "term", topology->term);
    pcl_mp_pair_text(buffer, "stage", pcl_topology_stage_text(topology->stage));
    pcl_mp_pair_text(buffer, "source", topology->source.name);
    pcl_mp_pair_text(buffer, "from", topology->from.name);
}

void pcl_proxy_status_encode(const pcl_proxy *self, uint64_t now_us, pcl_buffer *buffer)
{
    uint32_t count = pcl_membership_count(self->members);
    pcl_mp_put_map(buffer, 20);
    pcl_mp_pair_text(buffer, "version", PCL_VERSION);
    pcl_mp_pair_text(buffer, "proxy", pcl_config_text(self->config, "proxy/name"));
    s_hex(buffer, "boot_id", self->args->boot_id);
    pcl_mp_pair_uint(buffer, "uptime_s",
                     pcl_time_since_us(self->started_us, now_us) / PCL_US_PER_S);
    pcl_mp_pair_bool(buffer, "draining", self->draining);
    pcl_mp_pair_text(buffer, "strategy", pcl_strategy_text(self->settings.strategy));
    pcl_mp_pair_bool(buffer, "reads_on_source", self->settings.reads_on_source);
    s_put_limits(self, buffer);
    pcl_mp_pair_uint(buffer, "inflight", pcl_proxy_unanswered(self));
    pcl_mp_pair_uint(buffer, "parked", self->parked_count);
    pcl_mp_pair_uint(buffer, "requests", self->request_count);
    pcl_mp_pair_uint(buffer, "retries", self->retry_count);
    pcl_mp_pair_uint(buffer, "dropped", self->dropped_count);
    pcl_mp_pair_uint(buffer, "cancels", self->cancel_count);
    pcl_mp_pair_uint(buffer, "releases", self->release_count);
    pcl_mp_pair_uint(buffer, "waiting", self->waiting_count);
    s_put_hedges(self, buffer);
    s_put_topology(self, buffer);
    pcl_mp_put_text(buffer, "nodes");
    pcl_mp_put_array(buffer, count);
    for (uint32_t index = 0; index < count; index++) {
        s_put_node(self, index, now_us, buffer);
    }
    pcl_mp_put_text(buffer, "choices");
    pcl_mp_put_map(buffer, PCL_STRATEGY_COUNT - 1);
    for (int kind = PCL_STRATEGY_DEFAULT + 1; kind < PCL_STRATEGY_COUNT; kind++) {
        s_put_choice(self, (pcl_strategy_kind)kind, now_us, buffer);
    }
}

void pcl_proxy_status_publish(pcl_proxy *self, uint64_t now_us)
{
    if (self->args->http == NULL) {
        return;
    }
    pcl_buffer status;
    pcl_buffer page;
    pcl_buffer_init(&status, PCL_REPLY_SIZE_MAX);
    pcl_buffer_init(&page, PCL_REPLY_SIZE_MAX);
    pcl_proxy_status_encode(self, now_us, &status);
    if (!status.failed && pcl_json_put(&page, pcl_buffer_bytes(&status))) {
        pcl_http_publish(self->args->http, "/api/cluster", "application/json",
                         pcl_buffer_bytes(&page));
    }
    pcl_buffer_release(&page);
    pcl_buffer_release(&status);
}
