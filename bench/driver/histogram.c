#include "bench/driver/histogram.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#define SUB_BITS  7u
#define SUB_COUNT (UINT64_C(1) << SUB_BITS)

static size_t s_bucket(uint64_t value)
{
    if (value < 2 * SUB_COUNT) {
        return (size_t)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return (size_t)(shift * SUB_COUNT + (value >> shift));
}

/* The greatest value that falls into it. */
static uint64_t s_edge(size_t bucket)
{
    if (bucket < 2 * SUB_COUNT) {
        return bucket;
    }
    uint64_t shift = bucket / SUB_COUNT - 1;
    uint64_t step = bucket % SUB_COUNT + SUB_COUNT;
    return ((step + 1) << shift) - 1;
}

void pcl_histogram_note(pcl_histogram *self, uint64_t value)
{
    value = value < PCL_HISTOGRAM_VALUE_MAX ? value : PCL_HISTOGRAM_VALUE_MAX;
    size_t bucket = s_bucket(value);
    assert(bucket < PCL_HISTOGRAM_BUCKETS_MAX);
    self->counts[bucket]++;
    self->count++;
    self->sum += value;
    self->max = value > self->max ? value : self->max;
}

void pcl_histogram_merge(pcl_histogram *self, const pcl_histogram *other)
{
    for (size_t bucket = 0; bucket < PCL_HISTOGRAM_BUCKETS_MAX; bucket++) {
        self->counts[bucket] += other->counts[bucket];
    }
    self->count += other->count;
    self->sum += other->sum;
    self->max = other->max > self->max ? other->max : self->max;
}

uint64_t pcl_histogram_at(const pcl_histogram *self, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)self->count);
    rank = rank > self->count ? self->count : rank;
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < PCL_HISTOGRAM_BUCKETS_MAX; bucket++) {
        seen += self->counts[bucket];
        if (seen > 0 && seen >= rank) {
            uint64_t edge = s_edge(bucket);
            return edge < self->max ? edge : self->max;
        }
    }
    return 0;
}

double pcl_histogram_mean(const pcl_histogram *self)
{
    return self->count > 0 ? (double)self->sum / (double)self->count : 0.0;
}

bool pcl_histogram_each(const pcl_histogram *self, uint32_t *cursor, uint64_t *out_edge,
                        uint64_t *out_count)
{
    while (*cursor < PCL_HISTOGRAM_BUCKETS_MAX) {
        uint32_t bucket = (*cursor)++;
        if (self->counts[bucket] > 0) {
            *out_edge = s_edge(bucket);
            *out_count = self->counts[bucket];
            return true;
        }
    }
    return false;
}
