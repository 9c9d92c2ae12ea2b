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

/* The layout: values under 2^(bits + 1) have a bucket each, above, every power of two is cut into
 * 2^bits.  edge: the greatest value that falls into a bucket. */
uint32_t pcl_histogram_bucket(unsigned bits, uint64_t value);
uint64_t pcl_histogram_edge(unsigned bits, uint32_t bucket);

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
/* What would have been noted, had requests been sent at even distances of interval (over 0) and not
 * one after the answer to the other: who waited longer than that also stands for those that would
 * have come meanwhile, whose wait is one, two, ... intervals shorter (HdrHistogram's correction of
 * coordinated omission).  out is zeroed first, and is not self. */
void pcl_histogram_correct(const pcl_histogram *self, uint64_t interval, pcl_histogram *out);

/* 0 when nothing was noted. */
double pcl_histogram_mean(const pcl_histogram *self);

/* The buckets that are not empty, from the least on: start with *cursor 0.  false: no more.  edge
 * is the greatest value that falls into it. */
bool pcl_histogram_each(const pcl_histogram *self, uint32_t *cursor, uint64_t *out_edge,
                        uint64_t *out_count);

/* The same in a seventh of the room: at most 3.2% above the value that was noted. */
#define PCL_COARSE_BUCKETS_MAX 896u

/* Zero it to begin with. */
typedef struct pcl_coarse {
    uint32_t counts[PCL_COARSE_BUCKETS_MAX]; /* each stays at its greatest value */
    uint64_t max;
} pcl_coarse;

void pcl_coarse_note(pcl_coarse *self, uint64_t value);
void pcl_coarse_merge(pcl_coarse *self, const pcl_coarse *other);
/* As pcl_histogram_at. */
uint64_t pcl_coarse_at(const pcl_coarse *self, double share);

#endif
