/* result.h - what a run is counted by, and how runs are put together. */
#ifndef PCL_BENCH_SIM_RESULT_H
#define PCL_BENCH_SIM_RESULT_H

#include <stddef.h>
#include <stdint.h>

typedef enum sim_figure {
    SIM_MEAN_MS,
    SIM_P50_MS,
    SIM_P90_MS,
    SIM_P99_MS,
    SIM_P999_MS,
    SIM_AVOIDABLE_MS,     /* mean of latency without the query's own work and way */
    SIM_FAILED_PERCENT,   /* errors and timeouts */
    SIM_ANSWERED_PERCENT, /* the others */
    SIM_HEDGED_PERCENT,   /* extra statements, of all queries */
    SIM_PROBES_EACH,      /* a query */
    SIM_WATCHED_PERCENT,  /* queries sent to the watched node */
    SIM_STALE_COUNT,      /* reads that ran on a node beyond the lag bound */
    SIM_FANO,             /* of a node's arrivals in 50 ms, mean over nodes: 1 is chance */
    SIM_RETRIED_PERCENT,
    SIM_DETECTED_MS,      /* until the slow node's share fell below half of what is fair */
    SIM_RESTORED_PERCENT, /* its share of what is fair, in the tenth second after it is quick */
    SIM_LAG_MOVES,        /* how often a node came or went for its lag, a proxy */
    SIM_FIGURE_COUNT,     /* must stay last */
} sim_figure;

const char *sim_figure_name(sim_figure figure);

typedef struct sim_result {
    double figures[SIM_FIGURE_COUNT];
    uint64_t queries;
} sim_result;

/* Latencies of one run, in any order; they get sorted. */
void sim_result_of_latencies(sim_result *out_result, float *latencies_ms, size_t count);

/* Sorts values; quantile in [0, 1], between neighbours. */
double sim_quantile(double *values, size_t count, double quantile);

#endif
