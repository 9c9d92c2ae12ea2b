/* log_limit.h - at most so many lines a second of one kind, and a count of the rest.
 *
 * Refusals are logged, and whoever sends garbage chooses how many there are;
 * without a bound a flood of it would fill the disk.  Pure; one limit a kind of
 * line, one thread.
 */
#ifndef PCL_NET_LOG_LIMIT_H
#define PCL_NET_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_log_limit {
    uint32_t lines_max;  /* a second; not 0 */
    uint32_t lines;      /* written in the present second */
    uint64_t second_us;  /* when the present second began; 0 before the first line */
    uint64_t suppressed; /* lines that were not written and not told of yet */
} pcl_log_limit;

static inline pcl_log_limit pcl_log_limit_of(uint32_t lines_max)
{
    return (pcl_log_limit){.lines_max = lines_max};
}

/* True: write the line. */
bool pcl_log_limit_take(pcl_log_limit *self, uint64_t now_us);

/* How many lines of a second that is over were left out, once; 0 for none. */
uint64_t pcl_log_limit_suppressed(pcl_log_limit *self, uint64_t now_us);

#endif
