/* runs.c - runs a table's cells on threads; a run shares nothing with another. */
#include "bench/sim/memory.h"
#include "bench/sim/table.h"
#include "bench/sim/world.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64, SEEDS_MAX = 256 };

typedef struct s_work {
    sim_runs *runs;
    double shorten;
    size_t job_count;
    atomic_size_t next;
} s_work;

static void *s_run_jobs(void *argument)
{
    s_work *work = argument;
    sim_runs *runs = work->runs;
    for (;;) {
        size_t job = atomic_fetch_add(&work->next, 1);
        if (job >= work->job_count) {
            return NULL;
        }
        size_t cell = job / runs->seed_count;
        sim_scenario scenario = runs->table->scenarios[cell / runs->policy_count];
        scenario.run_s = scenario.warm_s + (scenario.run_s - scenario.warm_s) / work->shorten;
        sim_run(&scenario, runs->policies[cell % runs->policy_count],
                runs->seed_first + job % runs->seed_count, &runs->results[job]);
    }
}

void sim_runs_do(sim_runs *self, uint32_t thread_count, double shorten)
{
    assert(self->seed_count > 0 && self->seed_count <= SEEDS_MAX);
    assert(thread_count > 0 && thread_count <= THREADS_MAX);
    s_work work = {.runs = self, .shorten = shorten};
    work.job_count = (size_t)self->table->scenario_count * self->policy_count * self->seed_count;
    self->results = sim_new(work.job_count, sizeof *self->results);
    pthread_t threads[THREADS_MAX];
    for (uint32_t index = 0; index < thread_count; index++) {
        int failed = pthread_create(&threads[index], NULL, s_run_jobs, &work);
        assert(failed == 0);
    }
    for (uint32_t index = 0; index < thread_count; index++) {
        (void)pthread_join(threads[index], NULL); /* it was created above */
    }
}

void sim_runs_free(sim_runs *self)
{
    free(self->results);
    self->results = NULL;
}

double sim_runs_median(const sim_runs *self, uint32_t scenario, uint32_t policy, sim_figure figure,
                       double *out_low, double *out_high)
{
    double values[SEEDS_MAX];
    for (uint32_t seed = 0; seed < self->seed_count; seed++) {
        values[seed] = sim_runs_result(self, scenario, policy, seed)->figures[figure];
    }
    if (out_low != NULL) {
        *out_low = sim_quantile(values, self->seed_count, 0.25);
    }
    if (out_high != NULL) {
        *out_high = sim_quantile(values, self->seed_count, 0.75);
    }
    return sim_quantile(values, self->seed_count, 0.5);
}

double sim_runs_ratio(const sim_runs *self, uint32_t scenario, uint32_t policy, sim_figure figure)
{
    double values[SEEDS_MAX];
    for (uint32_t seed = 0; seed < self->seed_count; seed++) {
        double best = sim_runs_result(self, scenario, 0, seed)->figures[figure];
        values[seed] = sim_runs_result(self, scenario, policy, seed)->figures[figure] / best;
    }
    return sim_quantile(values, self->seed_count, 0.5);
}

double sim_table_published(const sim_table *table, uint32_t scenario, const char *policy)
{
    for (uint32_t index = 0; index < table->published_count; index++) {
        const sim_published *published = &table->published[index];
        if (strcmp(published->policy, policy) == 0 &&
            strcmp(published->scenario, table->scenarios[scenario].name) == 0) {
            return published->value;
        }
    }
    return NAN;
}
