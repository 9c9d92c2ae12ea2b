/* plan.h - what is to be measured, as the command line says it. */
#ifndef PCL_BENCH_PLAN_H
#define PCL_BENCH_PLAN_H

#include "bench/driver/arrivals.h"
#include "bench/driver/mix.h"
#include "client/command/cli.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PLAN_STRATEGIES_MAX 16u
#define PCL_PLAN_ROUNDS_MAX     1000u
#define PCL_PLAN_LABELS_MAX     16u
#define PCL_PLAN_POINTS_MAX     3600u   /* of a round, over time */
#define PCL_PLAN_POINTS_ALL     100000u /* of all rounds of a strategy */

/* The table that is read where none is named; `fill` makes it. */
#define PCL_PLAN_DB        "demo"
#define PCL_PLAN_TABLE     "bench_rows"
#define PCL_PLAN_ROWS      10000u
#define PCL_PLAN_SHARES    "point:90,update:10"
#define PCL_PLAN_NAME_RULE "must be a name of letters, digits and _"

/* Of --label NAME=VALUE. */
typedef struct pcl_plan_label {
    const char *name; /* name_size octets */
    size_t name_size;
    const char *value;
} pcl_plan_label;

/* Texts are borrowed from the command line, or stand in the struct itself: it must not be moved. */
typedef struct pcl_plan {
    const char *workload; /* the command: point, range, mixed, txn, sql, file */
    const char *bundle;   /* NULL: wherever one is found */
    const char *db;       /* NULL: the account's */
    const char *json;     /* file; "-": standard output; NULL: none */
    const char *csv;      /* likewise */
    const char *text;     /* likewise */
    bool quiet;           /* tells nothing of how it goes */
    pcl_plan_label labels[PCL_PLAN_LABELS_MAX];
    uint32_t label_count;
    char started[32]; /* when, UTC; "" until it is set */
    pcl_mix mix;
    char strategies_given[512];
    const char *strategies[PCL_PLAN_STRATEGIES_MAX]; /* "default": the cluster's own */
    uint32_t strategy_count;
    pcl_arrivals_kind arrivals;
    double rate;      /* requests a second; 0: a closed loop */
    double rate_end;  /* to which it changes over the time that is measured */
    uint32_t clients; /* of a closed loop */
    uint32_t connections;
    uint32_t rounds;
    uint32_t timeout_ms;
    uint32_t inflight_max; /* over all connections */
    uint64_t warmup_us;
    uint64_t time_us;
    uint64_t seed;
    uint32_t points_max; /* of a round, over time */
    uint32_t lag_ms_max; /* UINT32_MAX: any */
} pcl_plan;

/* Of the commands that measure.  false: problem (PCL_CLI_PROBLEM_SIZE) names what is wrong. Release
 * it in either case. */
bool pcl_plan_read(pcl_plan *out_plan, const pcl_cli_line *line, char *problem) PCL_MUST_CHECK;
void pcl_plan_release(pcl_plan *plan);

/* NULL where it is the cluster's own, as portcullis_request_set_strategy takes it. */
const char *pcl_plan_strategy(const pcl_plan *plan, uint32_t index);

/* A schema's or table's name that needs no quotes: letters, digits and _, at most 64. */
bool pcl_plan_is_name(const char *text) PCL_MUST_CHECK;

#endif
