/* series.h - what came back in each second of a run.  Pure. */
#ifndef PCL_BENCH_SERIES_H
#define PCL_BENCH_SERIES_H

#include "bench/driver/histogram.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What came back meanwhile.  Zero it to begin with. */
typedef struct pcl_series_cell {
    pcl_coarse all_us; /* failures as their timeout */
    uint64_t ok;
    uint64_t failed;
} pcl_series_cell;

void pcl_series_cell_note(pcl_series_cell *self, uint64_t took_us, bool ok);
void pcl_series_cell_merge(pcl_series_cell *self, const pcl_series_cell *other);

typedef struct pcl_series {
    pcl_series_cell *cells; /* owned */
    uint32_t cell_count;
    uint32_t width_s; /* of a cell */
} pcl_series;

/* All cells empty.  total_us: how long something may come back; points_max, over 0: how many cells
 * there may be, which are several seconds wide where a second each would be more.  false: memory is
 * out. */
bool pcl_series_init(pcl_series *self, uint64_t total_us, uint32_t points_max) PCL_MUST_CHECK;
void pcl_series_release(pcl_series *self);

/* The cell of what comes back so long after the start; the last one of what comes too late. */
uint32_t pcl_series_index(const pcl_series *self, uint64_t gone_us);

typedef struct pcl_series_point {
    uint32_t second; /* at which it begins */
    uint64_t ok;
    uint64_t failed;
    uint64_t p50_us; /* 0 where nothing came back */
    uint64_t p99_us;
} pcl_series_point;

/* index < cell_count. */
pcl_series_point pcl_series_at(const pcl_series *self, uint32_t index);

/* How many cells there are up to the last that has something. */
uint32_t pcl_series_used(const pcl_series *self);

#endif
