#include "bench/driver/histogram.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#define FINE_BITS   7u
#define COARSE_BITS 5u

uint32_t pcl_histogram_bucket(unsigned bits, uint64_t value)
{
    uint64_t count = UINT64_C(1) << bits; /* of buckets that a power of two is cut into */
    if (value < 2 * count) {
        return (uint32_t)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - bits;
    return (uint32_t)(shift * count + (value >> shift));
}

uint64_t pcl_histogram_edge(unsigned bits, uint32_t bucket)
{
    uint64_t count = UINT64_C(1) << bits;
    if (bucket < 2 * count) {
        return bucket;
    }
    uint64_t shift = bucket / count - 1;
    uint64_t step = bucket % count + count;
    return ((step + 1) << shift) - 1;
}

static uint64_t s_bound(uint64_t value)
{
    return value < PCL_HISTOGRAM_VALUE_MAX ? value : PCL_HISTOGRAM_VALUE_MAX;
}

static uint64_t s_edge(uint32_t bucket)
{
    return pcl_histogram_edge(FINE_BITS, bucket);
}

void pcl_histogram_note(pcl_histogram *self, uint64_t value)
{
    value = s_bound(value);
    uint32_t bucket = pcl_histogram_bucket(FINE_BITS, value);
    assert(bucket < PCL_HISTOGRAM_BUCKETS_MAX);
    self->counts[bucket]++;
    self->count++;
    self->sum += value;
    self->max = value > self->max ? value : self->max;
}

void pcl_histogram_merge(pcl_histogram *self, const pcl_histogram *other)
{
    for (uint32_t bucket = 0; bucket < PCL_HISTOGRAM_BUCKETS_MAX; bucket++) {
        self->counts[bucket] += other->counts[bucket];
    }
    self->count += other->count;
    self->sum += other->sum;
    self->max = other->max > self->max ? other->max : self->max;
}

/* Of how many, counted from the least, the last is at this share. */
static uint64_t s_rank(uint64_t count, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)count);
    return rank < count ? rank : count;
}

uint64_t pcl_histogram_at(const pcl_histogram *self, double share)
{
    uint64_t rank = s_rank(self->count, share);
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < PCL_HISTOGRAM_BUCKETS_MAX; bucket++) {
        seen += self->counts[bucket];
        if (seen > 0 && seen >= rank) {
            uint64_t edge = s_edge(bucket);
            return edge < self->max ? edge : self->max;
        }
    }
    return 0;
}

/* A value that was noted, and what it also stands for. */
typedef struct whole {
    uint64_t value;
    uint64_t interval;
    uint64_t steps; /* how many shorter waits it stands for */
} whole;

/* How many of them are at least so long. */
static uint64_t s_as_long(const whole *one, uint64_t least)
{
    uint64_t count = least > one->value ? 0 : (one->value - least) / one->interval;
    return count < one->steps ? count : one->steps;
}

static void s_correct_one(const whole *one, uint64_t count, pcl_histogram *out)
{
    uint32_t last = pcl_histogram_bucket(FINE_BITS, one->value);
    out->counts[last] += count;
    out->count += count * (1 + one->steps);
    out->sum += count * (one->value + one->steps * one->value -
                         one->interval * (one->steps * (one->steps + 1) / 2));
    for (uint32_t bucket = 0; bucket <= last && one->steps > 0; bucket++) {
        uint64_t least = bucket > 0 ? s_edge(bucket - 1) + 1 : 0;
        out->counts[bucket] += count * (s_as_long(one, least) - s_as_long(one, s_edge(bucket) + 1));
    }
}

void pcl_histogram_correct(const pcl_histogram *self, uint64_t interval, pcl_histogram *out)
{
    assert(interval > 0);
    assert(self != out);
    *out = (pcl_histogram){.max = self->max};
    uint32_t cursor = 0;
    uint64_t edge = 0;
    uint64_t count = 0;
    while (pcl_histogram_each(self, &cursor, &edge, &count)) {
        whole one = {.value = edge < self->max ? edge : self->max, .interval = interval};
        one.steps = one.value >= 2 * interval ? one.value / interval - 1 : 0;
        s_correct_one(&one, count, out);
    }
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

void pcl_coarse_note(pcl_coarse *self, uint64_t value)
{
    value = s_bound(value);
    uint32_t bucket = pcl_histogram_bucket(COARSE_BITS, value);
    assert(bucket < PCL_COARSE_BUCKETS_MAX);
    self->counts[bucket] += self->counts[bucket] < UINT32_MAX ? 1 : 0;
    self->max = value > self->max ? value : self->max;
}

void pcl_coarse_merge(pcl_coarse *self, const pcl_coarse *other)
{
    for (uint32_t bucket = 0; bucket < PCL_COARSE_BUCKETS_MAX; bucket++) {
        uint32_t room = UINT32_MAX - self->counts[bucket];
        uint32_t more = other->counts[bucket];
        self->counts[bucket] += more < room ? more : room;
    }
    self->max = other->max > self->max ? other->max : self->max;
}

uint64_t pcl_coarse_at(const pcl_coarse *self, double share)
{
    uint64_t count = 0;
    for (uint32_t bucket = 0; bucket < PCL_COARSE_BUCKETS_MAX; bucket++) {
        count += self->counts[bucket];
    }
    uint64_t rank = s_rank(count, share);
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < PCL_COARSE_BUCKETS_MAX; bucket++) {
        seen += self->counts[bucket];
        if (seen > 0 && seen >= rank) {
            uint64_t edge = pcl_histogram_edge(COARSE_BITS, bucket);
            return edge < self->max ? edge : self->max;
        }
    }
    return 0;
}
