/* memory.h - memory that is there or ends the program: a simulation without it
 * has nothing to say. */
#ifndef PCL_BENCH_SIM_MEMORY_H
#define PCL_BENCH_SIM_MEMORY_H

#include <stddef.h>

/* Zeroed. */
void *sim_new(size_t count, size_t size);

/* Room for count of size each; what was there stays, what is new is not zeroed. */
void *sim_grow(void *old, size_t count, size_t size);

#endif
