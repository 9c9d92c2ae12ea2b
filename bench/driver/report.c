#include "bench/driver/report.h"

#include <stdlib.h>
#include <string.h>

void pcl_report_correct(const pcl_tally *tally, pcl_histogram *out)
{
    uint64_t interval_us = pcl_histogram_at(&tally->all_us, 0.5);
    pcl_histogram_correct(&tally->all_us, interval_us > 0 ? interval_us : 1, out);
}

pcl_report_round pcl_report_round_of(const pcl_tally *tally, uint32_t number, uint64_t start_us)
{
    const pcl_histogram *all = &tally->all_us;
    pcl_histogram corrected;
    pcl_report_correct(tally, &corrected);
    return (pcl_report_round){.number = number,
                              .start_us = start_us,
                              .count = all->count,
                              .failures = pcl_tally_failures(tally),
                              .retries = tally->retries,
                              .hedged = tally->hedged,
                              .throughput = pcl_tally_throughput(tally),
                              .p50_us = pcl_histogram_at(all, 0.5),
                              .p90_us = pcl_histogram_at(all, 0.9),
                              .p99_us = pcl_histogram_at(all, 0.99),
                              .p999_us = pcl_histogram_at(all, 0.999),
                              .max_us = all->max,
                              .lag_p99_us = pcl_histogram_at(&tally->lag_us, 0.99),
                              .corrected_p50_us = pcl_histogram_at(&corrected, 0.5),
                              .corrected_p99_us = pcl_histogram_at(&corrected, 0.99),
                              .corrected_p999_us = pcl_histogram_at(&corrected, 0.999)};
}

/* false: memory is out. */
static bool s_add_points(pcl_report_row *row, const pcl_series *series, uint32_t number)
{
    uint32_t used = pcl_series_used(series);
    if (used == 0) {
        return true;
    }
    pcl_report_point *points = realloc(row->points,
                                       (size_t)(row->point_count + used) * sizeof *points);
    if (points == NULL) {
        return false;
    }
    row->points = points;
    row->series_seconds = series->width_s;
    for (uint32_t index = 0; index < used; index++) {
        row->points[row->point_count++] = (pcl_report_point){.round = number,
                                                             .at = pcl_series_at(series, index)};
    }
    return true;
}

bool pcl_report_add(pcl_report_row *row, uint32_t number, uint64_t start_us, const pcl_tally *round,
                    const pcl_series *series)
{
    if (round->all_us.count == 0) {
        return true;
    }
    pcl_tally_merge(&row->total, round);
    if (row->round_count < PCL_PLAN_ROUNDS_MAX) {
        row->rounds[row->round_count++] = pcl_report_round_of(round, number, start_us);
    }
    return s_add_points(row, series, number);
}

void pcl_report_row_release(pcl_report_row *row)
{
    free(row->points);
    row->points = NULL;
    row->point_count = 0;
}
