#include "net/spread.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

pcl_spread pcl_spread_of(uint32_t count)
{
    assert(count > 0 && count <= PCL_SPREAD_MAX);
    return (pcl_spread){.count = count};
}

uint32_t pcl_spread_choose(pcl_spread *self, uint32_t may)
{
    assert(self != NULL);
    uint32_t chosen = PCL_SPREAD_NONE;
    if (self->count == 1) { /* nearly everybody */
        return (may & 1u) != 0 ? 0 : PCL_SPREAD_NONE;
    }
    for (uint32_t step = 0; step < self->count; step++) {
        uint32_t index = (self->turn + step) % self->count;
        bool fits = (may & 1u << index) != 0;
        if (fits && (chosen == PCL_SPREAD_NONE || self->inflight[index] < self->inflight[chosen])) {
            chosen = index;
        }
    }
    if (chosen != PCL_SPREAD_NONE) {
        self->turn = (chosen + 1) % self->count;
    }
    return chosen;
}

void pcl_spread_begin(pcl_spread *self, uint32_t index)
{
    assert(self != NULL && index < self->count);
    self->inflight[index]++;
}

void pcl_spread_end(pcl_spread *self, uint32_t index)
{
    assert(self != NULL && index < self->count);
    assert(self->inflight[index] > 0);
    self->inflight[index]--;
}
