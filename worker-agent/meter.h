/* meter.h - the agent's metrics, under the names portcullis_agent_*. */
#ifndef PCL_WORKER_AGENT_METER_H
#define PCL_WORKER_AGENT_METER_H

#include "net/metrics.h"
#include "sql/classify.h"
#include "worker-agent/job.h"
#include "worker-agent/observer.h"
#include "worker-agent/pool.h"

#define PCL_METER_CODES 32u

typedef struct pcl_meter {
    pcl_metrics *metrics; /* borrowed */
    /* By class and outcome, made when first seen. */
    pcl_metric *statements[PCL_SQL_CLASS_COUNT][PCL_METER_CODES];
    pcl_metric *exec, *queue;
    pcl_metric *queued, *running, *connections;
    pcl_metric *lag, *threads_running, *ready, *read_only, *semi_sync;
    pcl_metric *kills, *cache_hits, *cache_misses;
    pcl_metric *messages_dropped, *replies_dropped, *late;
    uint64_t kills_seen;
} pcl_meter;

void pcl_meter_init(pcl_meter *self, pcl_metrics *metrics);

/* One answer. */
void pcl_meter_answer(pcl_meter *self, uint8_t sql_class, pcl_err code);
/* One job that came back from the pool. */
void pcl_meter_job(pcl_meter *self, const pcl_job *job);
/* Now and then. */
void pcl_meter_state(pcl_meter *self, const pcl_node_view *view, pcl_pool *pool);

#endif
