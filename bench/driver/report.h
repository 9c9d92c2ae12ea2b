/* report.h - what was measured, for people and as JSON.  Pure. */
#ifndef PCL_BENCH_REPORT_H
#define PCL_BENCH_REPORT_H

#include "bench/driver/plan.h"
#include "bench/driver/series.h"
#include "bench/driver/tally.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* One round of a strategy: its spread over rounds says how far one can be believed. */
typedef struct pcl_report_round {
    uint32_t number;   /* from 1; 0: all of them together */
    uint64_t start_us; /* when it began to measure, since the program started */
    uint64_t count;    /* requests that were answered, or failed */
    uint64_t failures;
    uint64_t retries;
    uint64_t hedged;
    double throughput; /* successes a second */
    uint64_t p50_us;
    uint64_t p90_us;
    uint64_t p99_us;
    uint64_t p999_us;
    uint64_t max_us;
    uint64_t lag_p99_us; /* of how late requests were sent */
    /* Of a closed loop, as clients at an even pace would have seen it. */
    uint64_t corrected_p50_us;
    uint64_t corrected_p99_us;
    uint64_t corrected_p999_us;
} pcl_report_round;

/* What clients at an even pace would have seen, where those of a closed loop wait for each answer:
 * one request each median, as in an idle cluster. */
void pcl_report_correct(const pcl_tally *tally, pcl_histogram *out);

pcl_report_round pcl_report_round_of(const pcl_tally *tally, uint32_t number, uint64_t start_us);

typedef struct pcl_report_point {
    uint32_t round;
    pcl_series_point at;
} pcl_report_point;

/* Zero it to begin with, but for the strategy. */
typedef struct pcl_report_row {
    const char *strategy; /* borrowed from the plan */
    pcl_tally total;
    pcl_report_round rounds[PCL_PLAN_ROUNDS_MAX];
    uint32_t round_count;
    pcl_report_point *points; /* owned; at most PCL_PLAN_POINTS_ALL, and a few */
    uint32_t point_count;
    uint32_t series_seconds; /* how wide each is */
} pcl_report_row;

void pcl_report_row_release(pcl_report_row *row);

/* Adds a round to a strategy's row, unless nothing was measured in it.  false: memory is out, and
 * its series is not there. */
bool pcl_report_add(pcl_report_row *row, uint32_t number, uint64_t start_us, const pcl_tally *round,
                    const pcl_series *series) PCL_MUST_CHECK;

/* Rows of plan->strategy_count strategies. */
void pcl_report_text(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer);
void pcl_report_json(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer);
/* A line for each strategy and round, and one with round 0 for all of its rounds. */
void pcl_report_csv(const pcl_plan *plan, const pcl_report_row *rows, pcl_buffer *buffer);

#endif
