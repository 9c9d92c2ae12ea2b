/* progress.h - how a measurement goes, as a line for a terminal or for a log.  Pure. */
#ifndef PCL_BENCH_PROGRESS_H
#define PCL_BENCH_PROGRESS_H

#include "bench/driver/tally.h"
#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* How a run goes. */
typedef struct pcl_progress_view {
    uint64_t gone_us; /* since the run began, warm-up included */
    uint64_t failed;  /* since it began to measure */
    bool measures;    /* is the warm-up over, and is there a second to tell of? */
    double rate;      /* successes a second, p50 and p99: of the last whole second, or point */
    uint64_t p50_us;
    uint64_t p99_us;
} pcl_progress_view;

/* Where a measurement is: each strategy has a run in each round. */
typedef struct pcl_progress {
    const char *strategy; /* borrowed */
    uint32_t round;       /* from 1 */
    uint32_t rounds;
    uint32_t runs_done;
    uint32_t runs; /* over 0: all rounds of all strategies */
    uint64_t run_us;
} pcl_progress;

/* A bar, what is left, and the figures of the last second; at most so many columns (20 at least),
 * no newline. */
void pcl_progress_bar(const pcl_progress *self, const pcl_progress_view *view, uint32_t columns,
                      pcl_buffer *buffer);

/* A run that ended, as a line. */
void pcl_progress_run(const pcl_progress *self, const pcl_tally *tally, pcl_buffer *buffer);

#endif
