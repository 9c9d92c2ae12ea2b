/* time.h - the only place that reads the operating system's clocks. */
#ifndef PCL_NET_TIME_H
#define PCL_NET_TIME_H

#include <stdint.h>

/* Monotonic microseconds that also count while the machine sleeps. */
uint64_t pcl_now_us(void);

/* Microseconds since 1970 by the wall clock: for logs and for people. */
uint64_t pcl_wall_us(void);

/* Octets from the operating system's random source; aborts when there are none. */
void pcl_random(void *target, uint32_t size);
uint64_t pcl_random_u64(void);

#endif
