#include "worker-agent/meter.h"

#include <assert.h>
#include <stdio.h>

static_assert((int)PCL_ERR_COUNT <= (int)PCL_METER_CODES, "a column a code");

#define MS_PER_S_REAL 1e3

void pcl_meter_init(pcl_meter *self, pcl_metrics *metrics)
{
    *self = (pcl_meter){
        .metrics = metrics,
        .exec = pcl_metrics_histogram(metrics, "portcullis_agent_exec_seconds", "",
                                      "Time that statements took in the database."),
        .queue = pcl_metrics_histogram(metrics, "portcullis_agent_queue_seconds", "",
                                       "Time that statements waited for a thread."),
        .queued = pcl_metrics_gauge(metrics, "portcullis_agent_queued", "",
                                    "Statements that wait for a thread."),
        .running = pcl_metrics_gauge(metrics, "portcullis_agent_running", "",
                                     "Statements that the database runs for the agent."),
        .connections = pcl_metrics_gauge(metrics, "portcullis_agent_connections", "",
                                         "Open sessions that run statements."),
        .lag = pcl_metrics_gauge(metrics, "portcullis_agent_lag_seconds", "",
                                 "How far behind the source the node may be; -1 unknown."),
        .threads_running = pcl_metrics_gauge(metrics, "portcullis_agent_threads_running", "",
                                             "The database server's Threads_running."),
        .ready = pcl_metrics_gauge(metrics, "portcullis_agent_ready", "",
                                   "1: the node is set up and its database answers."),
        .read_only = pcl_metrics_gauge(metrics, "portcullis_agent_read_only", "",
                                       "1: the database takes no writes."),
        .semi_sync = pcl_metrics_gauge(metrics, "portcullis_agent_semi_sync", "",
                                       "1: commits here wait for a replica."),
        .kills = pcl_metrics_counter(metrics, "portcullis_agent_kills_total", "",
                                     "KILLs sent to statements past their deadline."),
        .cache_hits = pcl_metrics_counter(metrics, "portcullis_agent_statement_cache_hits_total",
                                          "", "Statements that were prepared already."),
        .cache_misses = pcl_metrics_counter(metrics,
                                            "portcullis_agent_statement_cache_misses_total", "",
                                            "Statements that had to be prepared."),
        .messages_dropped = pcl_metrics_counter(metrics, "portcullis_agent_messages_dropped_total",
                                                "", "Messages that are not of the protocol."),
        .replies_dropped = pcl_metrics_counter(metrics, "portcullis_agent_replies_dropped_total",
                                               "", "Replies that the proxy did not take."),
        .late = pcl_metrics_counter(metrics, "portcullis_agent_late_total", "",
                                    "Statements that came back after their answer was given."),
    };
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

void pcl_meter_state(pcl_meter *self, const pcl_node_view *view, pcl_pool *pool)
{
    pcl_pool_counts counts = pcl_pool_count(pool);
    uint64_t kills = pcl_pool_kills(pool);
    pcl_metric_set(self->queued, counts.queued);
    pcl_metric_set(self->running, counts.running);
    pcl_metric_set(self->connections, pcl_pool_connections(pool));
    pcl_metric_set(self->lag, view->lag_ms < 0 ? -1.0 : view->lag_ms / MS_PER_S_REAL);
    pcl_metric_set(self->threads_running, view->threads_running);
    pcl_metric_set(self->ready, view->ready ? 1 : 0);
    pcl_metric_set(self->read_only, view->read_only ? 1 : 0);
    pcl_metric_set(self->semi_sync, view->semi_sync ? 1 : 0);
    pcl_metric_add(self->kills, kills - self->kills_seen);
    self->kills_seen = kills;
}
