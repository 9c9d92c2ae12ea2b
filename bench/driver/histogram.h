/* histogram.h - how often each latency was seen, in buckets that widen with the value.
 *
 * Values under 256 have a bucket each; above, every power of two is cut into 128, so a percentile
 * is at most 0.8% above the value that was noted (the layout of HdrHistogram).  Fixed size, about
 * 26 KiB; no allocation.  Pure.
 */
#ifndef PCL_BENCH_HISTOGRAM_H
#define PCL_BENCH_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

#define PCL_HISTOGRAM_VALUE_MAX   UINT32_MAX /* larger values are noted as this one */
#define PCL_HISTOGRAM_BUCKETS_MAX 3328u

/* Zero it to begin with. */
typedef struct pcl_histogram {
    uint64_t counts[PCL_HISTOGRAM_BUCKETS_MAX];
    uint64_t count;
    uint64_t sum;
    uint64_t max;
} pcl_histogram;

void pcl_histogram_note(pcl_histogram *self, uint64_t value);
void pcl_histogram_merge(pcl_histogram *self, const pcl_histogram *other);

/* The least bucket edge that a share of the values (0 to 1) does not exceed; never over the
 * greatest value.  0 when nothing was noted. */
uint64_t pcl_histogram_at(const pcl_histogram *self, double share);
/* 0 when nothing was noted. */
double pcl_histogram_mean(const pcl_histogram *self);

/* The buckets that are not empty, from the least on: start with *cursor 0.  false: no more.  edge
 * is the greatest value that falls into it. */
bool pcl_histogram_each(const pcl_histogram *self, uint32_t *cursor, uint64_t *out_edge,
                        uint64_t *out_count);

#endif
