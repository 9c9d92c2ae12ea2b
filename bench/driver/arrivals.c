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

pcl_arrivals pcl_arrivals_ramp(pcl_arrivals_kind kind, pcl_arrivals_rate rate, uint64_t seed)
{
    assert(rate.from > 0.0);
    assert(rate.to > 0.0);
    return (pcl_arrivals){.kind = kind, .rate = rate, .rng = pcl_rng_from_seed(seed)};
}

pcl_arrivals pcl_arrivals_of(pcl_arrivals_kind kind, double rate, uint64_t seed)
{
    return pcl_arrivals_ramp(kind, (pcl_arrivals_rate){.from = rate, .to = rate}, seed);
}

/* When so many are to be expected since the start: the inverse of the integral of the rate. */
static double s_when_us(const pcl_arrivals_rate *rate, double due)
{
    double hold_due = rate->from * (double)rate->hold_us / 1e6;
    double ramp_due = (rate->from + rate->to) / 2.0 * (double)rate->ramp_us / 1e6;
    double level = rate->from - rate->to;
    if (due <= hold_due || (level >= 0.0 && level <= 0.0)) {
        return due * (1e6 / rate->from);
    }
    due -= hold_due;
    if (due >= ramp_due) {
        return (double)(rate->hold_us + rate->ramp_us) + (due - ramp_due) * (1e6 / rate->to);
    }
    /* due = from t + slope t^2 / 2, solved without taking close numbers from each other. */
    double slope = (rate->to - rate->from) * 1e6 / (double)rate->ramp_us; /* a second, squared */
    double root = sqrt(rate->from * rate->from + 2.0 * slope * due);
    return (double)rate->hold_us + 2.0 * due / (rate->from + root) * 1e6;
}

/* Poisson arrivals of a rate that changes are those of rate 1, with the time stretched. */
uint64_t pcl_arrivals_next_us(pcl_arrivals *self)
{
    self->due += self->kind == PCL_ARRIVALS_FIXED ? 1.0 : pcl_draw_exponential(&self->rng, 1.0);
    return (uint64_t)s_when_us(&self->rate, self->due);
}
