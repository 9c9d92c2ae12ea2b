/* load.h - sends what a plan says when it is due, and takes in what comes back.
 *
 * Any number of simulated clients share few connections: libportcullis keeps their requests in
 * flight together, and calls back on its own threads.  One thread, the caller's, sends.
 */
#ifndef PCL_BENCH_LOAD_H
#define PCL_BENCH_LOAD_H

#include "bench/driver/plan.h"
#include "bench/driver/progress.h"
#include "bench/driver/series.h"
#include "bench/driver/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pcl_load pcl_load;

typedef struct pcl_load_hooks {
    bool (*stop)(void); /* asked often: shall it end early? */
    /* Once a second; NULL: nobody wants to know. */
    void (*progress)(void *context, const pcl_progress_view *view);
    void *context;
} pcl_load_hooks;

/* Opens the connections and asks each for an answer.  plan is borrowed.  NULL: error says why. */
pcl_load *pcl_load_open(const pcl_plan *plan, pcl_load_hooks hooks, char *error, size_t error_size);
void pcl_load_close(pcl_load **self_p);

/* What a run gave. */
typedef struct pcl_load_run {
    pcl_tally tally;
    pcl_series series; /* since start_us; points_max is the plan's */
    uint64_t start_us; /* when it began to measure, as pcl_now_us has it */
} pcl_load_run;

/* Warm-up, then what is measured, then until the last answer is there.  strategy: as
 * portcullis_request_set_strategy takes it.  With equal seeds the same load is due at the same
 * times.  NULL: memory is out. */
pcl_load_run *pcl_load_do(pcl_load *self, const char *strategy, uint64_t seed) PCL_MUST_CHECK;
void pcl_load_run_destroy(pcl_load_run **self_p);

#endif
