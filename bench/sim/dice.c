#include "bench/sim/dice.h"

#include <math.h>

double sim_uniform(pcl_rng *rng)
{
    return (double)(pcl_rng_next(rng) >> 11) * 0x1p-53;
}

double sim_between(pcl_rng *rng, double low, double high)
{
    return low + (high - low) * sim_uniform(rng);
}

double sim_exponential(pcl_rng *rng, double mean)
{
    return -mean * log1p(-sim_uniform(rng));
}

double sim_normal(pcl_rng *rng, double mean, double deviation)
{
    static const double TURN = 6.283185307179586;
    double radius = sqrt(-2 * log1p(-sim_uniform(rng)));
    return mean + deviation * radius * cos(TURN * sim_uniform(rng));
}

double sim_lognormal(pcl_rng *rng, double mean, double variation)
{
    double variance = log1p(variation * variation);
    return exp(sim_normal(rng, log(mean) - variance / 2, sqrt(variance)));
}
