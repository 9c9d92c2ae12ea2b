#include "bench/driver/arrivals.h"

#include <assert.h>
#include <math.h>

double pcl_draw_unit(pcl_rng *rng)
{
    return (double)((pcl_rng_next(rng) >> 11) + 1) * 0x1p-53;
}

double pcl_draw_exponential(pcl_rng *rng, double mean)
{
    return -log(pcl_draw_unit(rng)) * mean;
}

pcl_arrivals pcl_arrivals_of(pcl_arrivals_kind kind, double rate, uint64_t seed)
{
    assert(rate > 0.0);
    return (pcl_arrivals){.kind = kind, .gap_us = 1e6 / rate, .rng = pcl_rng_from_seed(seed)};
}

uint64_t pcl_arrivals_next_us(pcl_arrivals *self)
{
    self->at_us += self->kind == PCL_ARRIVALS_FIXED
                       ? self->gap_us
                       : pcl_draw_exponential(&self->rng, self->gap_us);
    return (uint64_t)self->at_us;
}
