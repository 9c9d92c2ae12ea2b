/* dice.h - random numbers of the distributions that the scenarios need. */
#ifndef PCL_BENCH_SIM_DICE_H
#define PCL_BENCH_SIM_DICE_H

#include "common/rng.h"

/* Uniform in [0, 1). */
double sim_uniform(pcl_rng *rng);

double sim_between(pcl_rng *rng, double low, double high);

double sim_exponential(pcl_rng *rng, double mean);

/* Two draws of the stream each. */
double sim_normal(pcl_rng *rng, double mean, double deviation);

/* Of this mean and coefficient of variation. */
double sim_lognormal(pcl_rng *rng, double mean, double variation);

#endif
