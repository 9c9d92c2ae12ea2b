/* What was measured, for people, and as lines for a spreadsheet. */
#include "bench/driver/report.h"
#include "bench/driver/text.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define REASON_SIZE 160u

static double s_ms(uint64_t us)
{
    return (double)us / (double)PCL_US_PER_MS;
}

static bool s_is_ramp(const pcl_plan *plan)
{
    return plan->rate < plan->rate_end || plan->rate > plan->rate_end;
}

/* One statement in full; of many, their names and shares. */
static void s_put_statements(const pcl_plan *plan, pcl_buffer *buffer)
{
    const pcl_mix *mix = &plan->mix;
    if (plan->started[0] != '\0') {
        pcl_text_put(buffer, "portcullis-bench %s, %s", PCL_VERSION, plan->started);
        for (uint32_t index = 0; index < plan->label_count; index++) {
            const pcl_plan_label *label = &plan->labels[index];
            pcl_text_put(buffer, ", %.*s %s", (int)label->name_size, label->name, label->value);
        }
        pcl_text_put(buffer, "\n");
    }
    if (pcl_mix_is_single(mix)) {
        pcl_bytes sql = pcl_mix_sql(mix, 0);
        pcl_buffer_put(buffer, sql.data, sql.size);
        pcl_text_put(buffer, "\n");
        return;
    }
    pcl_text_put(buffer, "%s:", plan->workload);
    for (uint32_t index = 0; index < mix->part_count; index++) {
        const pcl_mix_part *part = &mix->parts[index];
        pcl_text_put(buffer, "%s %s %.4g%%", index > 0 ? "," : "", part->name,
                     100.0 * part->weight / mix->weights);
        if (part->transaction) {
            pcl_text_put(buffer, " (a transaction of %" PRIu32 " statements)",
                         part->statement_count);
        }
    }
    pcl_text_put(buffer, "\n");
}

static void s_put_head(const pcl_plan *plan, bool interrupted, pcl_buffer *buffer)
{
    s_put_statements(plan, buffer);
    if (plan->clients > 0) {
        pcl_text_put(buffer, "closed loop of %" PRIu32 " clients", plan->clients);
    } else {
        pcl_text_put(buffer, "open loop, %s, %g",
                     plan->arrivals == PCL_ARRIVALS_FIXED ? "evenly" : "Poisson", plan->rate);
        if (s_is_ramp(plan)) {
            pcl_text_put(buffer, " to %g", plan->rate_end);
        }
        pcl_text_put(buffer, " requests a second");
    }
    pcl_text_put(buffer,
                 "; connections: %" PRIu32 "; rounds: %" PRIu32 " of %g s after %g s of warm-up\n",
                 plan->connections, plan->rounds, (double)plan->time_us / 1e6,
                 (double)plan->warmup_us / 1e6);
    pcl_text_put(buffer,
                 "%sLatency in ms from when a %s; a failure counts %" PRIu32 " ms or more.\n",
                 interrupted ? "INTERRUPTED: this is what was measured until then.\n" : "",
                 plan->clients > 0 ? "client sent a request" : "request was due", plan->timeout_ms);
    if (plan->clients > 0) {
        pcl_text_put(buffer, "Who waits asks nothing meanwhile; what clients that do not wait "
                             "would have seen stands below, \"at an even pace\".\n");
    }
    pcl_text_put(buffer, "\n");
}

static void s_put_row(const pcl_report_row *row, pcl_buffer *buffer)
{
    const pcl_histogram *all = &row->total.all_us;
    pcl_text_put(buffer,
                 "%-15s %8" PRIu64 " %8.1f %8.2f %8.2f %8.2f %8.2f %8.2f %7" PRIu64 " %7" PRIu64
                 " %6" PRIu64 " %8.2f\n",
                 row->strategy, all->count, pcl_tally_throughput(&row->total),
                 s_ms(pcl_histogram_at(all, 0.5)), s_ms(pcl_histogram_at(all, 0.9)),
                 s_ms(pcl_histogram_at(all, 0.99)), s_ms(pcl_histogram_at(all, 0.999)),
                 s_ms(all->max), pcl_tally_failures(&row->total), row->total.retries,
                 row->total.hedged, s_ms(pcl_histogram_at(&row->total.lag_us, 0.99)));
}

static int s_compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* What each part of a mix took. */
static void s_put_parts(const pcl_plan *plan, const pcl_tally *total, pcl_buffer *buffer)
{
    for (uint32_t index = 0; index < plan->mix.part_count && plan->mix.part_count > 1; index++) {
        const pcl_tally_part *part = &total->parts[index];
        pcl_text_put(
            buffer, "  %-20s %8" PRIu64 " requests  p50 %.2f  p99 %.2f ms  failed %" PRIu64 "\n",
            plan->mix.parts[index].name, part->count, s_ms(pcl_coarse_at(&part->all_us, 0.5)),
            s_ms(pcl_coarse_at(&part->all_us, 0.99)), part->failures);
    }
}

/* Who answered, what failed, and how far the rounds differ. */
static void s_put_details(const pcl_plan *plan, const pcl_report_row *row, pcl_buffer *buffer)
{
    const pcl_tally *total = &row->total;
    pcl_text_put(buffer, "\n%s\n", row->strategy);
    for (uint32_t index = 0; index < total->node_count; index++) {
        const pcl_tally_node *node = &total->nodes[index];
        pcl_text_put(buffer, "  %-20s %6.2f%%  mean %.2f ms\n", node->name,
                     100.0 * (double)node->count / (double)total->ok_us.count,
                     (double)node->sum_us / (double)node->count / 1000.0);
    }
    for (uint32_t index = 0; index < total->code_count; index++) {
        const pcl_tally_code *code = &total->codes[index];
        pcl_text_put(buffer, "  failed: %-12s %" PRIu64 "%s%s\n", code->name, code->count,
                     code->message[0] != '\0' ? "  " : "", code->message);
    }
    s_put_parts(plan, total, buffer);
    if (plan->clients > 0) {
        pcl_report_round all = pcl_report_round_of(total, 0, 0);
        pcl_text_put(buffer, "  at an even pace: p50 %.2f  p99 %.2f  p99.9 %.2f ms\n",
                     s_ms(all.corrected_p50_us), s_ms(all.corrected_p99_us),
                     s_ms(all.corrected_p999_us));
    }
    if (row->round_count > 1) {
        uint64_t p99_us[PCL_PLAN_ROUNDS_MAX];
        for (uint32_t index = 0; index < row->round_count; index++) {
            p99_us[index] = row->rounds[index].p99_us;
        }
        qsort(p99_us, row->round_count, sizeof p99_us[0], s_compare_u64);
        pcl_text_put(buffer, "  p99 of %" PRIu32 " rounds: least %.2f, median %.2f, most %.2f ms\n",
                     row->round_count, s_ms(p99_us[0]), s_ms(p99_us[row->round_count / 2]),
                     s_ms(p99_us[row->round_count - 1]));
    }
    char reason[REASON_SIZE];
    if (pcl_tally_doubt(total, reason, sizeof reason)) {
        pcl_text_put(buffer, "  DO NOT BELIEVE THIS: %s\n", reason);
    }
}

void pcl_report_text(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer)
{
    s_put_head(plan, interrupted, buffer);
    pcl_text_put(buffer, "%-15s %8s %8s %8s %8s %8s %8s %8s %7s %7s %6s %8s\n", "strategy",
                 "requests", "ok/s", "p50", "p90", "p99", "p99.9", "max", "failed", "retries",
                 "hedged", "late p99");
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        if (rows[index].total.all_us.count > 0) {
            s_put_row(&rows[index], buffer);
        }
    }
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        if (rows[index].total.all_us.count > 0) {
            s_put_details(plan, &rows[index], buffer);
        }
    }
}

/* ---- CSV ---------------------------------------------------------------------------------- */

static void s_put_csv_row(const char *strategy, const pcl_report_round *round, bool closed,
                          pcl_buffer *buffer)
{
    pcl_text_put(buffer, "%s,%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, strategy, round->number,
                 round->count, round->count - round->failures, round->failures);
    pcl_text_put(buffer, ",%" PRIu64 ",%" PRIu64 ",%.3f", round->retries, round->hedged,
                 round->throughput);
    pcl_text_put(buffer, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
                 round->p50_us, round->p90_us, round->p99_us, round->p999_us, round->max_us,
                 round->lag_p99_us);
    if (closed) {
        pcl_text_put(buffer, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n", round->corrected_p50_us,
                     round->corrected_p99_us, round->corrected_p999_us);
    } else {
        pcl_text_put(buffer, ",,,\n");
    }
}

/* Names of strategies need no quotes. */
void pcl_report_csv(const pcl_plan *plan, const pcl_report_row *rows, pcl_buffer *buffer)
{
    pcl_text_put(buffer, "strategy,round,requests,ok,failed,retries,hedged,throughput,p50_us,"
                         "p90_us,p99_us,p999_us,max_us,send_lag_p99_us,corrected_p50_us,"
                         "corrected_p99_us,corrected_p999_us\n");
    bool closed = plan->clients > 0;
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        const pcl_report_row *row = &rows[index];
        if (row->total.all_us.count > 0) {
            pcl_report_round all = pcl_report_round_of(&row->total, 0, 0);
            s_put_csv_row(row->strategy, &all, closed, buffer);
        }
        for (uint32_t round = 0; round < row->round_count; round++) {
            s_put_csv_row(row->strategy, &row->rounds[round], closed, buffer);
        }
    }
}
