/* metrics.h - counters, gauges and histograms in Prometheus text form.
 *
 * Handles are made at start and live as long as the registry; updates are
 * relaxed atomics, safe from any thread.  Names follow Prometheus' rules:
 * portcullis_<role>_<what>_<unit>_total.
 */
#ifndef PCL_NET_METRICS_H
#define PCL_NET_METRICS_H

#include "common/buffer.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pcl_metrics pcl_metrics;
typedef struct pcl_metric pcl_metric;

pcl_metrics *pcl_metrics_new(void);
void pcl_metrics_destroy(pcl_metrics **self_p);

/* labels: `code="OVERLOADED",node="n1"` or "".  The same name may be given
 * again with other labels (help of the first counts).  name and help must
 * outlive the registry; labels is copied.  The same name and labels return the
 * same handle.  Never NULL: out of memory aborts, since this is start-up. */
pcl_metric *pcl_metrics_counter(pcl_metrics *self, const char *name, const char *labels,
                                const char *help);
pcl_metric *pcl_metrics_gauge(pcl_metrics *self, const char *name, const char *labels,
                              const char *help);
/* Of durations: observe in microseconds, shown in seconds; buckets from 50 us
 * to 60 s, about three a decade.  Name must end in _seconds. */
pcl_metric *pcl_metrics_histogram(pcl_metrics *self, const char *name, const char *labels,
                                  const char *help);

typedef enum pcl_metric_kind {
    PCL_METRIC_COUNTER = 0,
    PCL_METRIC_GAUGE,
    PCL_METRIC_HISTOGRAM,
} pcl_metric_kind;

/* A row of a role's table of metrics: the handle (an array of them, for _make_each) stands in the
 * role's struct at place, an offsetof(). */
typedef struct pcl_metric_plan {
    pcl_metric_kind kind;
    size_t place;
    const char *name;
    const char *help;
} pcl_metric_plan;

/* Makes each of the table's, all with the same labels. */
void pcl_metrics_make(pcl_metrics *self, void *owner, const char *labels,
                      const pcl_metric_plan *plans, size_t count);
/* Makes one of the plan's for each word: `label="word"`, in the order of the handles. */
void pcl_metrics_make_each(pcl_metrics *self, void *owner, const pcl_metric_plan *plan,
                           const char *label, const char *const *words, size_t count);

void pcl_metric_add(pcl_metric *self, uint64_t count);     /* counter */
void pcl_metric_set(pcl_metric *self, double value);       /* gauge */
void pcl_metric_observe_us(pcl_metric *self, uint64_t us); /* histogram */
uint64_t pcl_metric_count(const pcl_metric *self);         /* counter's value, histogram's count */

/* Prometheus text exposition format 0.0.4. */
void pcl_metrics_render(pcl_metrics *self, pcl_buffer *buffer);

#endif
