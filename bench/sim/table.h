/* table.h - which scenarios under which policies make a table, as data. */
#ifndef PCL_BENCH_SIM_TABLE_H
#define PCL_BENCH_SIM_TABLE_H

#include "bench/sim/policy.h"
#include "bench/sim/result.h"
#include "bench/sim/scenario.h"

#include <stddef.h>
#include <stdint.h>

enum { SIM_TABLE_SCENARIOS_MAX = 40, SIM_TABLE_POLICIES_MAX = 24, SIM_TABLE_FIGURES_MAX = 8 };

/* What others published, of the table's first figure. */
typedef struct sim_published {
    const char *policy, *scenario;
    double value;
} sim_published;

typedef struct sim_table {
    const char *name, *title;
    const sim_scenario *scenarios;
    uint32_t scenario_count;
    const char *policies[SIM_TABLE_POLICIES_MAX]; /* ended by a NULL */
    sim_figure figures[SIM_TABLE_FIGURES_MAX];
    uint32_t figure_count;
    const sim_published *published;
    uint32_t published_count;
    uint32_t seeds; /* of a full run */
    bool ratios;    /* to the oracle, which is the first policy */
} sim_table;

/* Ended by a NULL. */
extern const sim_table *const SIM_TABLES[];

extern const sim_table SIM_TABLE_STALE, SIM_TABLE_PROXIES, SIM_TABLE_GRAY;    /* table_open.c */
extern const sim_table SIM_TABLE_LINKERD, SIM_TABLE_PREQUAL, SIM_TABLE_FLIPS; /* table_known.c */
extern const sim_table SIM_TABLE_MORE;                                        /* table_more.c */
extern const sim_table SIM_TABLE_MATRIX;                                      /* table_matrix.c */

/* One table's runs: results[(scenario x policies + policy) x seeds + seed]. */
typedef struct sim_runs {
    const sim_table *table;
    const sim_policy *policies[SIM_TABLE_POLICIES_MAX];
    uint32_t policy_count, seed_count;
    uint64_t seed_first;
    sim_result *results;
} sim_runs;

static inline const sim_result *sim_runs_result(const sim_runs *self, uint32_t scenario,
                                                uint32_t policy, uint32_t seed)
{
    size_t cell = (size_t)scenario * self->policy_count + policy;
    return &self->results[cell * self->seed_count + seed];
}

/* Runs it all on so many threads.  shorten divides the measured time. */
void sim_runs_do(sim_runs *self, uint32_t thread_count, double shorten);

void sim_runs_free(sim_runs *self);

/* Median over the seeds, and the quartiles where wanted (NULL: not). */
double sim_runs_median(const sim_runs *self, uint32_t scenario, uint32_t policy, sim_figure figure,
                       double *out_low, double *out_high);

/* Median over the seeds of the ratio to the first policy, seed by seed. */
double sim_runs_ratio(const sim_runs *self, uint32_t scenario, uint32_t policy, sim_figure figure);

/* NAN where nothing was published. */
double sim_table_published(const sim_table *table, uint32_t scenario, const char *policy);

#endif
