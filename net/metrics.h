/* metrics.h - counters, gauges and histograms in Prometheus text form.
 *
 * Handles are made at start and live as long as the registry; updates are
 * relaxed atomics, safe from any thread.  Names follow Prometheus' rules:
 * portcullis_<role>_<what>_<unit>_total.
 */
#ifndef PCL_NET_METRICS_H
#define PCL_NET_METRICS_H

#include "common/buffer.h"

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

void pcl_metric_add(pcl_metric *self, uint64_t count);     /* counter */
void pcl_metric_set(pcl_metric *self, double value);       /* gauge */
void pcl_metric_observe_us(pcl_metric *self, uint64_t us); /* histogram */
uint64_t pcl_metric_count(const pcl_metric *self);         /* counter's value, histogram's count */

/* Prometheus text exposition format 0.0.4. */
void pcl_metrics_render(pcl_metrics *self, pcl_buffer *buffer);

#endif
