/* clock.h - time as a dependency.
 *
 * Code that decides by time takes a now_us argument: microseconds of one
 * monotonic clock of any origin.  Only net/ reads the operating system's
 * clock, once each turn of a loop.
 */
#ifndef PCL_COMMON_CLOCK_H
#define PCL_COMMON_CLOCK_H

#include <stdint.h>

#define PCL_US_PER_MS UINT64_C(1000)
#define PCL_US_PER_S  UINT64_C(1000000)

/* Time left until deadline_us, 0 once it has passed. */
static inline uint64_t pcl_time_left_us(uint64_t deadline_us, uint64_t now_us)
{
    return deadline_us > now_us ? deadline_us - now_us : 0;
}

/* Time gone since then_us, 0 when then_us lies ahead. */
static inline uint64_t pcl_time_since_us(uint64_t then_us, uint64_t now_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

#endif
