/* arrivals.h - when the next request is due, in an open loop.
 *
 * The times depend on the seed alone and on nothing that comes back, so two runs with one seed get
 * the same load at the same times.  The arrivals of any number of clients that each send by chance
 * are one Poisson stream at the sum of their rates.  Pure.
 */
#ifndef PCL_BENCH_ARRIVALS_H
#define PCL_BENCH_ARRIVALS_H

#include "common/rng.h"

#include <stdint.h>

typedef enum pcl_arrivals_kind {
    PCL_ARRIVALS_POISSON, /* gaps are exponential */
    PCL_ARRIVALS_FIXED,   /* gaps are equal */
} pcl_arrivals_kind;

/* Both rates over 0.  Equal ones are no ramp. */
typedef struct pcl_arrivals_rate {
    double from;      /* requests a second, until hold_us */
    double to;        /* and from hold_us + ramp_us on; between them it changes evenly */
    uint64_t hold_us; /* since the start */
    uint64_t ramp_us; /* 0: the rate jumps */
} pcl_arrivals_rate;

typedef struct pcl_arrivals {
    pcl_arrivals_kind kind;
    pcl_arrivals_rate rate;
    double due; /* of the last one: how many were to be expected by then */
    pcl_rng rng;
} pcl_arrivals;

/* rate: requests a second, over 0. */
pcl_arrivals pcl_arrivals_of(pcl_arrivals_kind kind, double rate, uint64_t seed);
pcl_arrivals pcl_arrivals_ramp(pcl_arrivals_kind kind, pcl_arrivals_rate rate, uint64_t seed);

/* The next one, in microseconds since the start; never before the last. */
uint64_t pcl_arrivals_next_us(pcl_arrivals *self);

/* Exponential with this mean; uniform in (0, 1]. */
double pcl_draw_exponential(pcl_rng *rng, double mean);
double pcl_draw_unit(pcl_rng *rng);

#endif
