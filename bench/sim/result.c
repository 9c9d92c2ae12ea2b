#include "bench/sim/result.h"

#include <assert.h>
#include <stdlib.h>

const char *sim_figure_name(sim_figure figure)
{
    static const char *const NAMES[SIM_FIGURE_COUNT] = {
        [SIM_MEAN_MS] = "mean_ms",
        [SIM_P50_MS] = "p50_ms",
        [SIM_P90_MS] = "p90_ms",
        [SIM_P99_MS] = "p99_ms",
        [SIM_P999_MS] = "p999_ms",
        [SIM_AVOIDABLE_MS] = "avoidable_ms",
        [SIM_FAILED_PERCENT] = "failed_percent",
        [SIM_ANSWERED_PERCENT] = "answered_percent",
        [SIM_HEDGED_PERCENT] = "hedged_percent",
        [SIM_PROBES_EACH] = "probes_each",
        [SIM_WATCHED_PERCENT] = "watched_percent",
        [SIM_STALE_COUNT] = "stale_count",
        [SIM_FANO] = "fano",
        [SIM_RETRIED_PERCENT] = "retried_percent",
        [SIM_DETECTED_MS] = "detected_ms",
        [SIM_RESTORED_PERCENT] = "restored_percent",
        [SIM_LAG_MOVES] = "lag_moves",
    };
    assert(figure < SIM_FIGURE_COUNT);
    return NAMES[figure];
}

static int s_compare_floats(const void *left, const void *right)
{
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a > b) - (a < b);
}

static int s_compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double s_of_sorted(const float *sorted, size_t count, double quantile)
{
    double place = quantile * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    double part = place - (double)below;
    return (double)sorted[below] * (1 - part) + (double)sorted[above] * part;
}

void sim_result_of_latencies(sim_result *out_result, float *latencies_ms, size_t count)
{
    assert(count > 0);
    qsort(latencies_ms, count, sizeof *latencies_ms, s_compare_floats);
    double sum = 0;
    for (size_t index = 0; index < count; index++) {
        sum += (double)latencies_ms[index];
    }
    out_result->queries = count;
    out_result->figures[SIM_MEAN_MS] = sum / (double)count;
    out_result->figures[SIM_P50_MS] = s_of_sorted(latencies_ms, count, 0.5);
    out_result->figures[SIM_P90_MS] = s_of_sorted(latencies_ms, count, 0.9);
    out_result->figures[SIM_P99_MS] = s_of_sorted(latencies_ms, count, 0.99);
    out_result->figures[SIM_P999_MS] = s_of_sorted(latencies_ms, count, 0.999);
}

double sim_quantile(double *values, size_t count, double quantile)
{
    assert(count > 0);
    qsort(values, count, sizeof *values, s_compare_doubles);
    double place = quantile * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    double part = place - (double)below;
    return values[below] * (1 - part) + values[above] * part;
}
