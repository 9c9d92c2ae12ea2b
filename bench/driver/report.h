/* report.h - what was measured, for people and as JSON.  Pure. */
#ifndef PCL_BENCH_REPORT_H
#define PCL_BENCH_REPORT_H

#include "bench/driver/plan.h"
#include "bench/driver/tally.h"
#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* One round of a strategy: its spread over rounds says how far one can be believed. */
typedef struct pcl_report_round {
    uint64_t count; /* requests that were answered, or failed */
    uint64_t failures;
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t p999_us;
} pcl_report_round;

typedef struct pcl_report_row {
    const char *strategy; /* borrowed from the plan */
    pcl_tally total;
    pcl_report_round rounds[PCL_PLAN_ROUNDS_MAX];
    uint32_t round_count;
} pcl_report_row;

/* Adds a round to a strategy's row, unless nothing was measured in it. */
void pcl_report_add(pcl_report_row *row, const pcl_tally *round);

/* Rows of plan->strategy_count strategies. */
void pcl_report_text(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer);
void pcl_report_json(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer);

#endif
