#include "proxy/actor.h"

#include "net/log.h"

#include <assert.h>
#include <stdio.h>

static const char *const DROP_TEXTS[] = {
    [PCL_PROXY_DROP_MALFORMED] = "malformed",
    [PCL_PROXY_DROP_STRANGER] = "stranger",
    [PCL_PROXY_DROP_OLD_BOOT] = "old-boot",
    [PCL_PROXY_DROP_STALE] = "stale",
    [PCL_PROXY_DROP_ID_MISMATCH] = "id-mismatch",
    [PCL_PROXY_DROP_WRONG_NODE] = "wrong-node",
    [PCL_PROXY_DROP_KIND] = "kind",
    [PCL_PROXY_DROP_UNROUTABLE] = "unroutable",
    [PCL_PROXY_DROP_SLOW] = "slow",
    [PCL_PROXY_DROP_REPORT] = "report",
    [PCL_PROXY_DROP_RELEASE] = "release",
};
static_assert(sizeof DROP_TEXTS / sizeof DROP_TEXTS[0] == PCL_PROXY_DROP_COUNT, "a text a reason");

static const pcl_metric_plan DROPPED = {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, dropped),
                                        "portcullis_proxy_dropped_total",
                                        "Messages dropped, by reason."};
static const pcl_metric_plan NODES = {PCL_METRIC_GAUGE, offsetof(pcl_proxy_telemetry, nodes),
                                      "portcullis_proxy_nodes",
                                      "Nodes known, by membership state."};

static const pcl_metric_plan ZONES = {PCL_METRIC_COUNTER,
                                      offsetof(pcl_proxy_telemetry, zone_octets),
                                      "portcullis_proxy_zone_octets_total",
                                      "Octets of statements and results to and from nodes, by "
                                      "whether the node is in our zone."};
static const char *const ZONE_TEXTS[] = {
    [PCL_ZONE_UNKNOWN] = "unknown", [PCL_ZONE_OWN] = "own", [PCL_ZONE_OTHER] = "other"};
static_assert(sizeof ZONE_TEXTS / sizeof ZONE_TEXTS[0] == PCL_ZONE_PLACE_COUNT, "a text a place");

static const pcl_metric_plan METRICS[] = {
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, behind), "portcullis_proxy_behind_total",
     "Reads that a node did not have the write for which they must see."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, retries), "portcullis_proxy_retries_total",
     "Reads sent again to another node."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, probes), "portcullis_proxy_probes_total",
     "Nodes asked for a fresh report."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, unreachable),
     "portcullis_proxy_unreachable_total", "Sends that found no connection to the node."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, cancels), "portcullis_proxy_cancels_total",
     "Requests told to stop, by a cancel or because their client went."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, releases), "portcullis_proxy_releases_total",
     "Sessions and cursors that nobody held any more, told to their node."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, gone), "portcullis_proxy_gone_total",
     "Requests of a session or cursor whose node had gone."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, hedges_sent),
     "portcullis_proxy_hedges_sent_total", "Second copies of late reads sent."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, hedges_won),
     "portcullis_proxy_hedges_won_total", "Reads answered by their second copy."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, hedges_late),
     "portcullis_proxy_hedges_cancel_late_total",
     "Copies that had run to their end when they were withdrawn."},
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_telemetry, hedges_starved),
     "portcullis_proxy_hedges_budget_exhausted_total",
     "Late reads that found no token for a second copy."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_telemetry, hedge_delay),
     "portcullis_proxy_hedge_delay_seconds",
     "How long a read is at its node before it is late; -1 not known yet."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_telemetry, inflight), "portcullis_proxy_in_flight",
     "Requests accepted and not yet answered."},
    {PCL_METRIC_HISTOGRAM, offsetof(pcl_proxy_telemetry, decision),
     "portcullis_proxy_decision_seconds", "Time to find the candidates and choose among them."},
    {PCL_METRIC_HISTOGRAM, offsetof(pcl_proxy_telemetry, duration),
     "portcullis_proxy_request_seconds", "Time from a request's arrival to its answer."},
};

void pcl_proxy_telemetry_start(pcl_proxy *self)
{
    pcl_proxy_telemetry *telemetry = &self->telemetry;
    pcl_metrics *metrics = self->args->metrics;
    const char *states[PCL_MEMBER_STATE_COUNT];
    for (int state = 0; state < PCL_MEMBER_STATE_COUNT; state++) {
        states[state] = pcl_member_state_text((pcl_member_state)state);
    }
    pcl_metrics_make_each(metrics, telemetry, &DROPPED, "reason", DROP_TEXTS, PCL_PROXY_DROP_COUNT);
    pcl_metrics_make_each(metrics, telemetry, &NODES, "state", states, PCL_MEMBER_STATE_COUNT);
    pcl_metrics_make_each(metrics, telemetry, &ZONES, "zone", ZONE_TEXTS, PCL_ZONE_PLACE_COUNT);
    pcl_metrics_make(metrics, telemetry, "", METRICS, sizeof METRICS / sizeof METRICS[0]);
}

static const pcl_metric_plan NODE_METRICS[] = {
    {PCL_METRIC_COUNTER, offsetof(pcl_proxy_node, pinned), "portcullis_proxy_pinned_total",
     "Requests of sessions and cursors sent, by node."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_node, up), "portcullis_proxy_node_up",
     "1 while the node is up and its database ready."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_node, ejected), "portcullis_proxy_node_ejected",
     "1 while the node gets no reads, since it failed."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_node, inflight), "portcullis_proxy_node_in_flight",
     "Requests of this proxy at the node."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_node, lag), "portcullis_proxy_node_lag_seconds",
     "How far the node is behind; -1 unknown."},
    {PCL_METRIC_GAUGE, offsetof(pcl_proxy_node, rtt), "portcullis_proxy_node_rtt_seconds",
     "Smoothed time of an answer that the node did not spend on it."},
};

void pcl_proxy_telemetry_node(pcl_proxy *self, uint32_t index)
{
    pcl_proxy_node *node = &self->nodes[index];
    pcl_metrics *metrics = self->args->metrics;
    const char *name = pcl_membership_at(self->members, index)->name;
    char labels[PCL_NAME_SIZE_MAX + 64];
    for (int kind = PCL_STRATEGY_DEFAULT + 1; kind < PCL_STRATEGY_COUNT; kind++) {
        snprintf(labels, sizeof labels, "node=\"%s\",strategy=\"%s\"", name,
                 pcl_strategy_text((pcl_strategy_kind)kind));
        node->chosen[kind] = pcl_metrics_counter(metrics, "portcullis_proxy_chosen_total", labels,
                                                 "Statements sent, by node and strategy.");
    }
    snprintf(labels, sizeof labels, "node=\"%s\"", name);
    pcl_metrics_make(metrics, node, labels, NODE_METRICS,
                     sizeof NODE_METRICS / sizeof NODE_METRICS[0]);
}

void pcl_proxy_note_left_out(pcl_proxy *self, const pcl_candidates *candidates)
{
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        if (candidates->why[index] != PCL_LEFT_OUT_NOT) { /* else a candidate */
            self->nodes[index].left_out[candidates->why[index]]++;
        }
    }
}

static void s_publish_left_out(pcl_proxy *self, uint32_t index)
{
    pcl_proxy_node *node = &self->nodes[index];
    for (int why = PCL_LEFT_OUT_NOT + 1; why < PCL_LEFT_OUT_COUNT; why++) {
        uint64_t fresh = node->left_out[why] - node->left_out_shown[why];
        if (fresh == 0) {
            continue;
        }
        if (node->left_out_metric[why] == NULL) {
            char labels[PCL_NAME_SIZE_MAX + 128];
            snprintf(labels, sizeof labels, "node=\"%s\",reason=\"%s\"",
                     pcl_membership_at(self->members, index)->name,
                     pcl_left_out_text((pcl_left_out)why));
            node->left_out_metric[why] = pcl_metrics_counter(
                self->args->metrics, "portcullis_proxy_left_out_total", labels,
                "Choices that the node was no candidate of, by reason.");
        }
        pcl_metric_add(node->left_out_metric[why], fresh);
        node->left_out_shown[why] = node->left_out[why];
    }
}

void pcl_proxy_note_ejection(pcl_proxy *self, uint32_t index, pcl_health_cause cause)
{
    pcl_metric **slot = &self->nodes[index].ejections[cause];
    if (*slot == NULL) {
        char labels[PCL_NAME_SIZE_MAX + 128];
        snprintf(labels, sizeof labels, "node=\"%s\",cause=\"%s\"",
                 pcl_membership_at(self->members, index)->name, pcl_health_cause_text(cause));
        *slot = pcl_metrics_counter(self->args->metrics, "portcullis_proxy_ejections_total", labels,
                                    "How often the node was taken out of the choice, by cause.");
    }
    pcl_metric_add(*slot, 1);
}

static void s_node_gauges(pcl_proxy *self, uint32_t index)
{
    const pcl_member *member = pcl_membership_at(self->members, index);
    pcl_proxy_node *node = &self->nodes[index];
    if (node->up == NULL) {
        return; /* never connected */
    }
    bool up = member->state == PCL_MEMBER_UP && member->reported &&
              member->report.state == PCL_NODE_UP;
    pcl_metric_set(node->up, up ? 1 : 0);
    pcl_metric_set(node->ejected, member->health.state == PCL_HEALTH_SOUND ? 0 : 1);
    pcl_metric_set(node->inflight, member->candidate.own);
    pcl_metric_set(node->lag,
                   member->candidate.lag_ms < 0 ? -1 : member->candidate.lag_ms / 1000.0);
    pcl_metric_set(node->rtt, (double)member->candidate.rtt_us / 1e6);
}

/* Whether reads, at least, can be served. */
static bool s_any_up(const pcl_proxy *self)
{
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        const pcl_member *member = pcl_membership_at(self->members, index);
        if (member->state == PCL_MEMBER_UP && member->reported &&
            member->report.state == PCL_NODE_UP && member->report.role != PCL_NODE_UNKNOWN) {
            return true;
        }
    }
    return false;
}

void pcl_proxy_telemetry_tick(pcl_proxy *self)
{
    uint32_t counts[PCL_MEMBER_STATE_COUNT] = {0};
    for (uint32_t index = 0; index < pcl_membership_count(self->members); index++) {
        counts[pcl_membership_at(self->members, index)->state]++;
        s_node_gauges(self, index);
        s_publish_left_out(self, index);
    }
    for (int state = 0; state < PCL_MEMBER_STATE_COUNT; state++) {
        pcl_metric_set(self->telemetry.nodes[state], counts[state]);
    }
    pcl_metric_set(self->telemetry.inflight, pcl_proxy_unanswered(self));
    uint64_t delay_us = 0;
    bool known = pcl_hedge_delay_us(&self->hedge, &delay_us);
    pcl_metric_set(self->telemetry.hedge_delay, known ? (double)delay_us / 1e6 : -1);
    if (self->args->http == NULL) {
        return;
    }
    const char *reason = "";
    if (self->draining) {
        reason = "the proxy is draining";
    } else if (!s_any_up(self)) {
        reason = "no source and no replica is up";
    }
    pcl_http_set_ready(self->args->http, reason[0] == '\0', reason);
}

/* Counted always, logged within a bound: a flood must not fill the disk. */
void pcl_proxy_dropped(pcl_proxy *self, pcl_proxy_drop why, const char *from, uint64_t now_us)
{
    assert(why < PCL_PROXY_DROP_COUNT);
    self->dropped_count++;
    pcl_metric_add(self->telemetry.dropped[why], 1);
    if (pcl_log_limit_take(&self->drop_lines, now_us)) {
        pcl_log(PCL_LOG_WARNING, "proxy", "dropped", "reason=%s from=%s", DROP_TEXTS[why], from);
    }
}

void pcl_proxy_outcome(pcl_proxy *self, uint8_t sql_class, pcl_err code, uint64_t duration_us)
{
    pcl_sql_class known = sql_class < PCL_SQL_CLASS_COUNT ? (pcl_sql_class)sql_class : PCL_SQL_NONE;
    assert(code >= PCL_ERR_OK && (int)code < PCL_ERR_COUNT);
    pcl_metric **slot = &self->telemetry.requests[known][code];
    if (*slot == NULL) {
        char labels[64];
        snprintf(labels, sizeof labels, "class=\"%s\",code=\"%s\"", pcl_sql_class_text(known),
                 pcl_err_code((int)code));
        *slot = pcl_metrics_counter(self->args->metrics, "portcullis_proxy_requests_total", labels,
                                    "Requests answered, by class of statement and outcome.");
    }
    pcl_metric_add(*slot, 1);
    pcl_metric_observe_us(self->telemetry.duration, duration_us);
}
