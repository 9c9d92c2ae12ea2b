#include "worker-agent/meter.h"

#include "worker-agent/held_table.h"

#include <assert.h>
#include <stdio.h>

static_assert((int)PCL_ERR_COUNT <= (int)PCL_METER_CODES, "a column a code");

#define MS_PER_S_REAL 1e3

static const pcl_metric_plan METRICS[] = {
    {PCL_METRIC_HISTOGRAM, offsetof(pcl_meter, exec), "portcullis_agent_exec_seconds",
     "Time that statements took in the database."},
    {PCL_METRIC_HISTOGRAM, offsetof(pcl_meter, queue), "portcullis_agent_queue_seconds",
     "Time that statements waited for a thread."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, queued), "portcullis_agent_queued",
     "Statements that wait for a thread."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, running), "portcullis_agent_running",
     "Statements that the database runs for the agent."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, lag), "portcullis_agent_lag_seconds",
     "How far behind the source the node may be; -1 unknown."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, threads_running), "portcullis_agent_threads_running",
     "The database server's Threads_running."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, ready), "portcullis_agent_ready",
     "1: the node is set up and its database answers."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, read_only), "portcullis_agent_read_only",
     "1: the database takes no writes."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, semi_sync), "portcullis_agent_semi_sync",
     "1: commits here wait for a replica."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, semi_sync_replicas),
     "portcullis_agent_semi_sync_replicas",
     "Replicas that acknowledge commits here; without one, commits that wait for it wait on."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, kills), "portcullis_agent_kills_total",
     "KILLs sent to statements past their deadline, or cancelled."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, cache_hits),
     "portcullis_agent_statement_cache_hits_total", "Statements that were prepared already."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, cache_misses),
     "portcullis_agent_statement_cache_misses_total", "Statements that had to be prepared."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, messages_dropped),
     "portcullis_agent_messages_dropped_total", "Messages that are not of the protocol."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, replies_dropped),
     "portcullis_agent_replies_dropped_total", "Replies that the proxy did not take."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, late), "portcullis_agent_late_total",
     "Statements that came back after their answer was given."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, held_running), "portcullis_agent_held_running",
     "Requests of sessions and cursors that run."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, held_threads), "portcullis_agent_held_threads",
     "Threads that run requests of sessions and cursors."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, line), "portcullis_agent_held_queued",
     "Requests that wait for another of their session or cursor."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, ending), "portcullis_agent_held_ending",
     "Sessions and cursors that are being rolled back or closed."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, notice), "portcullis_agent_instance_notice",
     "1: the host is likely to be taken away; 2: it will be."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, metadata_failures),
     "portcullis_agent_metadata_failures_total",
     "Looks at the metadata service that were not answered."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, secret_failures),
     "portcullis_agent_secret_failures_total", "Times the secret could not be fetched or stored."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, secret_changes),
     "portcullis_agent_secret_changes_total", "Times the secret had changed."},
    {PCL_METRIC_GAUGE, offsetof(pcl_meter, term), "portcullis_agent_term",
     "How often the source has changed, as this agent knows."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, handovers), "portcullis_agent_handovers_total",
     "Times this node took over as the source."},
    {PCL_METRIC_COUNTER, offsetof(pcl_meter, handovers_given_up),
     "portcullis_agent_handovers_given_up_total",
     "Times this node, as the source, began to hand over and took it back."},
};
static const pcl_metric_plan OPEN = {PCL_METRIC_GAUGE, offsetof(pcl_meter, open),
                                     "portcullis_agent_held_open",
                                     "Sessions, and unfinished results outside of them."};
static const pcl_metric_plan OPENED = {PCL_METRIC_COUNTER, offsetof(pcl_meter, opened),
                                       "portcullis_agent_held_opened_total",
                                       "Sessions and cursors opened."};
static const pcl_metric_plan CANCELS = {PCL_METRIC_COUNTER, offsetof(pcl_meter, cancels),
                                        "portcullis_agent_cancels_total",
                                        "Cancels, by what they found."};

static void s_init_held(pcl_meter *self)
{
    static const char *const KINDS[] = {"cursor", "session"};
    static const char *const FOUND[] = {"waiting", "running", "late"};
    pcl_metrics *metrics = self->metrics;
    pcl_metrics_make_each(metrics, self, &OPEN, "kind", KINDS, 2);
    pcl_metrics_make_each(metrics, self, &OPENED, "kind", KINDS, 2);
    pcl_metrics_make_each(metrics, self, &CANCELS, "found", FOUND, PCL_METER_CANCEL_COUNT);
    for (uint32_t kind = 0; kind < 2; kind++) {
        for (uint32_t end = PCL_HELD_END_NONE + 1; end < PCL_HELD_END_COUNT; end++) {
            char labels[64];
            (void)snprintf(labels, sizeof labels, "kind=\"%s\",reason=\"%s\"", KINDS[kind],
                           pcl_held_end_text((pcl_held_end)end));
            self->ended[kind][end] = pcl_metrics_counter(
                metrics, "portcullis_agent_held_ended_total", labels,
                "Sessions and cursors that ended, by reason.");
        }
    }
}

static void s_init_connections(pcl_meter *self)
{
    static const char NAME[] = "portcullis_agent_connections";
    static const char HELP[] = "Open connections to the database: of threads, of sessions and "
                               "cursors, and those that wait for the next of them.";
    self->worker_connections = pcl_metrics_gauge(self->metrics, NAME, "use=\"worker\"", HELP);
    self->held_connections = pcl_metrics_gauge(self->metrics, NAME, "use=\"held\"", HELP);
    self->spare_connections = pcl_metrics_gauge(self->metrics, NAME, "use=\"spare\"", HELP);
}

void pcl_meter_init(pcl_meter *self, pcl_metrics *metrics)
{
    *self = (pcl_meter){.metrics = metrics};
    pcl_metrics_make(metrics, self, "", METRICS, sizeof METRICS / sizeof METRICS[0]);
    s_init_connections(self);
    s_init_held(self);
}

void pcl_meter_answer(pcl_meter *self, uint8_t sql_class, pcl_err code)
{
    uint8_t row = sql_class < PCL_SQL_CLASS_COUNT ? sql_class : PCL_SQL_NONE;
    assert((uint32_t)code < PCL_METER_CODES);
    pcl_metric **metric = &self->statements[row][code];
    if (*metric == NULL) {
        char labels[96];
        (void)snprintf(labels, sizeof labels, "class=\"%s\",code=\"%s\"",
                       pcl_sql_class_text((pcl_sql_class)row), pcl_err_code((int)code));
        *metric = pcl_metrics_counter(self->metrics, "portcullis_agent_statements_total", labels,
                                      "Requests answered, by class and outcome.");
    }
    pcl_metric_add(*metric, 1);
}

void pcl_meter_job(pcl_meter *self, const pcl_job *job)
{
    pcl_metric_observe_us(self->queue, job->queue_us);
    if (job->started) {
        pcl_metric_observe_us(self->exec, job->exec_us);
        pcl_metric_add(job->cache_hit ? self->cache_hits : self->cache_misses, 1);
    }
}

void pcl_meter_state(pcl_meter *self, const pcl_node_view *view, const pcl_meter_gauges *gauges)
{
    pcl_metric_set(self->queued, gauges->queued);
    pcl_metric_set(self->running, gauges->running);
    pcl_metric_set(self->held_running, gauges->held_running);
    pcl_metric_set(self->held_threads, gauges->held_threads);
    pcl_metric_set(self->line, gauges->line);
    pcl_metric_set(self->open[true], gauges->sessions);
    pcl_metric_set(self->open[false], gauges->cursors);
    pcl_metric_set(self->ending, gauges->ending);
    pcl_metric_set(self->worker_connections, gauges->worker_connections);
    pcl_metric_set(self->held_connections, gauges->sessions + gauges->cursors + gauges->ending);
    pcl_metric_set(self->spare_connections, gauges->spare_connections);
    pcl_metric_set(self->lag, view->lag_ms < 0 ? -1.0 : view->lag_ms / MS_PER_S_REAL);
    pcl_metric_set(self->threads_running, view->threads_running);
    pcl_metric_set(self->ready, view->ready ? 1 : 0);
    pcl_metric_set(self->read_only, view->read_only ? 1 : 0);
    pcl_metric_set(self->semi_sync, view->semi_sync.on ? 1 : 0);
    pcl_metric_set(self->semi_sync_replicas, (double)view->semi_sync.replicas);
    pcl_metric_add(self->kills, gauges->kills - self->kills_seen);
    self->kills_seen = gauges->kills;
}

void pcl_meter_host(pcl_meter *self, const pcl_cloud_view *host)
{
    const pcl_cloud_view *seen = &self->host_seen;
    pcl_metric_set(self->notice, (double)host->notice);
    pcl_metric_add(self->metadata_failures, host->metadata_failures - seen->metadata_failures);
    pcl_metric_add(self->secret_failures, host->secret_failures - seen->secret_failures);
    pcl_metric_add(self->secret_changes, host->secret_changes - seen->secret_changes);
    self->host_seen = *host;
}

void pcl_meter_topology(pcl_meter *self, const pcl_handover_view *view)
{
    pcl_metric_set(self->term, (double)view->term);
    pcl_metric_add(self->handovers, view->done - self->topology_seen.done);
    pcl_metric_add(self->handovers_given_up, view->given_up - self->topology_seen.given_up);
    self->topology_seen = *view;
}

void pcl_meter_opened(pcl_meter *self, bool session)
{
    pcl_metric_add(self->opened[session], 1);
}

void pcl_meter_ended(pcl_meter *self, bool session, pcl_held_end end)
{
    assert(end > PCL_HELD_END_NONE && end < PCL_HELD_END_COUNT);
    pcl_metric_add(self->ended[session][end], 1);
}

void pcl_meter_cancel(pcl_meter *self, pcl_meter_cancelled found)
{
    pcl_metric_add(self->cancels[found], 1);
}
