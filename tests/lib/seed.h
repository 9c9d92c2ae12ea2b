/* seed.h - the seed of a randomised test: printed, and taken from
 * PCL_TEST_SEED to replay a run. */
#ifndef PCL_TESTS_SEED_H
#define PCL_TESTS_SEED_H

#include "common/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline pcl_rng pcl_test_rng(const char *test)
{
    const char *text = getenv("PCL_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    fprintf(stderr, "%s: PCL_TEST_SEED=%" PRIu64 "\n", test, seed);
    return pcl_rng_from_seed(seed);
}

#endif
