/* meter.h - the agent's metrics, under the names portcullis_agent_*. */
#ifndef PCL_WORKER_AGENT_METER_H
#define PCL_WORKER_AGENT_METER_H

#include "net/metrics.h"
#include "sql/classify.h"
#include "worker-agent/cloud.h"
#include "worker-agent/handover.h"
#include "worker-agent/held.h"
#include "worker-agent/job.h"
#include "worker-agent/observer.h"

#define PCL_METER_CODES 32u

/* What a cancel found. */
typedef enum pcl_meter_cancelled {
    PCL_METER_CANCEL_WAITING = 0, /* it had not started, and never will */
    PCL_METER_CANCEL_RUNNING,     /* it was told to stop */
    PCL_METER_CANCEL_LATE,        /* it had its reply already */
    PCL_METER_CANCEL_COUNT,       /* must stay last */
} pcl_meter_cancelled;

/* What is so at the moment. */
typedef struct pcl_meter_gauges {
    uint32_t queued, running;            /* of what stands alone */
    uint32_t held_running, held_threads; /* of sessions and cursors */
    uint32_t line;                       /* their requests that wait for one of their own */
    uint32_t sessions, cursors, ending;
    uint32_t worker_connections, spare_connections; /* beside those of sessions and cursors */
    uint64_t kills;                                 /* since start */
} pcl_meter_gauges;

typedef struct pcl_meter {
    pcl_metrics *metrics; /* borrowed */
    /* By class and outcome, made when first seen. */
    pcl_metric *statements[PCL_SQL_CLASS_COUNT][PCL_METER_CODES];
    pcl_metric *exec, *queue;
    pcl_metric *queued, *running, *held_running, *held_threads, *line;
    pcl_metric *worker_connections, *held_connections, *spare_connections;
    pcl_metric *open[2], *ending;             /* cursors, sessions */
    pcl_metric *opened[2];                    /* likewise */
    pcl_metric *ended[2][PCL_HELD_END_COUNT]; /* likewise */
    pcl_metric *cancels[PCL_METER_CANCEL_COUNT];
    pcl_metric *lag, *threads_running, *ready, *read_only, *semi_sync, *semi_sync_replicas;
    pcl_metric *kills, *cache_hits, *cache_misses;
    pcl_metric *messages_dropped, *replies_dropped, *late;
    pcl_metric *notice, *metadata_failures, *secret_failures, *secret_changes;
    pcl_metric *term, *handovers, *handovers_given_up;
    pcl_cloud_view host_seen;
    pcl_handover_view topology_seen;
    uint64_t kills_seen;
} pcl_meter;

void pcl_meter_init(pcl_meter *self, pcl_metrics *metrics);

/* One answer. */
void pcl_meter_answer(pcl_meter *self, uint8_t sql_class, pcl_err code);
/* One job that came back from the pool. */
void pcl_meter_job(pcl_meter *self, const pcl_job *job);
/* Now and then. */
void pcl_meter_state(pcl_meter *self, const pcl_node_view *view, const pcl_meter_gauges *gauges);
void pcl_meter_topology(pcl_meter *self, const pcl_handover_view *view);
void pcl_meter_host(pcl_meter *self, const pcl_cloud_view *host);
/* A session, or else a cursor, was opened; ended. */
void pcl_meter_opened(pcl_meter *self, bool session);
void pcl_meter_ended(pcl_meter *self, bool session, pcl_held_end end);
void pcl_meter_cancel(pcl_meter *self, pcl_meter_cancelled found);

#endif
