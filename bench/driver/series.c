#include "bench/driver/series.h"

#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>

void pcl_series_cell_note(pcl_series_cell *self, uint64_t took_us, bool ok)
{
    pcl_coarse_note(&self->all_us, took_us);
    self->ok += ok ? 1 : 0;
    self->failed += ok ? 0 : 1;
}

void pcl_series_cell_merge(pcl_series_cell *self, const pcl_series_cell *other)
{
    pcl_coarse_merge(&self->all_us, &other->all_us);
    self->ok += other->ok;
    self->failed += other->failed;
}

bool pcl_series_init(pcl_series *self, uint64_t total_us, uint32_t points_max)
{
    assert(points_max > 0);
    uint64_t seconds = total_us / PCL_US_PER_S + 1;
    uint64_t width_s = (seconds + points_max - 1) / points_max;
    uint64_t count = (seconds + width_s - 1) / width_s;
    *self = (pcl_series){.cells = calloc((size_t)count, sizeof *self->cells),
                         .cell_count = (uint32_t)count,
                         .width_s = (uint32_t)width_s};
    return self->cells != NULL;
}

void pcl_series_release(pcl_series *self)
{
    free(self->cells);
    self->cells = NULL;
    self->cell_count = 0;
}

uint32_t pcl_series_index(const pcl_series *self, uint64_t gone_us)
{
    assert(self->cell_count > 0);
    uint64_t index = gone_us / PCL_US_PER_S / self->width_s;
    return index < self->cell_count ? (uint32_t)index : self->cell_count - 1;
}

pcl_series_point pcl_series_at(const pcl_series *self, uint32_t index)
{
    assert(index < self->cell_count);
    const pcl_series_cell *cell = &self->cells[index];
    return (pcl_series_point){.second = index * self->width_s,
                              .ok = cell->ok,
                              .failed = cell->failed,
                              .p50_us = pcl_coarse_at(&cell->all_us, 0.5),
                              .p99_us = pcl_coarse_at(&cell->all_us, 0.99)};
}

uint32_t pcl_series_used(const pcl_series *self)
{
    uint32_t used = self->cell_count;
    while (used > 0 && self->cells[used - 1].ok + self->cells[used - 1].failed == 0) {
        used--;
    }
    return used;
}
