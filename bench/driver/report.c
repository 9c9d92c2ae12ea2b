#include "bench/driver/report.h"

#include "common/clock.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_SIZE 160u

static void s_put(pcl_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void s_put(pcl_buffer *buffer, const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (size > 0) {
        size_t kept = (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
        pcl_buffer_put(buffer, text, kept);
    }
}

void pcl_report_add(pcl_report_row *row, const pcl_tally *round)
{
    if (round->all_us.count == 0) {
        return;
    }
    pcl_tally_merge(&row->total, round);
    if (row->round_count < PCL_PLAN_ROUNDS_MAX) {
        row->rounds[row->round_count++] = (pcl_report_round){
            .count = round->all_us.count,
            .failures = pcl_tally_failures(round),
            .p50_us = pcl_histogram_at(&round->all_us, 0.5),
            .p99_us = pcl_histogram_at(&round->all_us, 0.99),
            .p999_us = pcl_histogram_at(&round->all_us, 0.999),
        };
    }
}

static double s_ms(uint64_t us)
{
    return (double)us / (double)PCL_US_PER_MS;
}

/* ---- text --------------------------------------------------------------------------------- */

static void s_put_head(const pcl_plan *plan, bool interrupted, pcl_buffer *buffer)
{
    pcl_buffer_put(buffer, plan->sql, strlen(plan->sql));
    if (plan->clients > 0) {
        s_put(buffer, "\nclosed loop of %" PRIu32 " clients", plan->clients);
    } else {
        s_put(buffer, "\nopen loop, %s, %g requests a second",
              plan->arrivals == PCL_ARRIVALS_FIXED ? "evenly" : "Poisson", plan->rate);
    }
    s_put(buffer, "; connections: %" PRIu32 "; rounds: %" PRIu32 " of %g s after %g s of warm-up\n",
          plan->connections, plan->rounds, (double)plan->time_us / 1e6,
          (double)plan->warmup_us / 1e6);
    s_put(buffer,
          "%sLatency in ms from when a request was due; a failure counts %" PRIu32
          " ms or more.\n\n",
          interrupted ? "INTERRUPTED: this is what was measured until then.\n" : "",
          plan->timeout_ms);
}

static void s_put_row(const pcl_report_row *row, pcl_buffer *buffer)
{
    const pcl_histogram *all = &row->total.all_us;
    s_put(buffer,
          "%-15s %8" PRIu64 " %8.1f %8.2f %8.2f %8.2f %8.2f %8.2f %7" PRIu64 " %7" PRIu64
          " %6" PRIu64 " %8.2f\n",
          row->strategy, all->count, pcl_tally_throughput(&row->total),
          s_ms(pcl_histogram_at(all, 0.5)), s_ms(pcl_histogram_at(all, 0.9)),
          s_ms(pcl_histogram_at(all, 0.99)), s_ms(pcl_histogram_at(all, 0.999)), s_ms(all->max),
          pcl_tally_failures(&row->total), row->total.retries, row->total.hedged,
          s_ms(pcl_histogram_at(&row->total.lag_us, 0.99)));
}

static int s_compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Who answered, what failed, and how far the rounds differ. */
static void s_put_details(const pcl_report_row *row, pcl_buffer *buffer)
{
    const pcl_tally *total = &row->total;
    s_put(buffer, "\n%s\n", row->strategy);
    for (uint32_t index = 0; index < total->node_count; index++) {
        const pcl_tally_node *node = &total->nodes[index];
        s_put(buffer, "  %-20s %6.2f%%  mean %.2f ms\n", node->name,
              100.0 * (double)node->count / (double)total->ok_us.count,
              (double)node->sum_us / (double)node->count / 1000.0);
    }
    for (uint32_t index = 0; index < total->code_count; index++) {
        s_put(buffer, "  failed: %-12s %" PRIu64 "\n", total->codes[index].name,
              total->codes[index].count);
    }
    if (row->round_count > 1) {
        uint64_t p99_us[PCL_PLAN_ROUNDS_MAX];
        for (uint32_t index = 0; index < row->round_count; index++) {
            p99_us[index] = row->rounds[index].p99_us;
        }
        qsort(p99_us, row->round_count, sizeof p99_us[0], s_compare_u64);
        s_put(buffer, "  p99 of %" PRIu32 " rounds: least %.2f, median %.2f, most %.2f ms\n",
              row->round_count, s_ms(p99_us[0]), s_ms(p99_us[row->round_count / 2]),
              s_ms(p99_us[row->round_count - 1]));
    }
    char reason[REASON_SIZE];
    if (pcl_tally_doubt(total, reason, sizeof reason)) {
        s_put(buffer, "  DO NOT BELIEVE THIS: %s\n", reason);
    }
}

void pcl_report_text(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer)
{
    s_put_head(plan, interrupted, buffer);
    s_put(buffer, "%-15s %8s %8s %8s %8s %8s %8s %8s %7s %7s %6s %8s\n", "strategy", "requests",
          "ok/s", "p50", "p90", "p99", "p99.9", "max", "failed", "retries", "hedged", "late p99");
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        if (rows[index].total.all_us.count > 0) {
            s_put_row(&rows[index], buffer);
        }
    }
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        if (rows[index].total.all_us.count > 0) {
            s_put_details(&rows[index], buffer);
        }
    }
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void s_put_text(pcl_buffer *buffer, const char *text)
{
    pcl_json_put_text(buffer, pcl_bytes_text(text));
}

static void s_put_histogram(pcl_buffer *buffer, const char *name, const pcl_histogram *values)
{
    s_put(buffer, ",\"%s\":{\"count\":%" PRIu64 ",\"mean\":%.1f,\"p50\":%" PRIu64, name,
          values->count, pcl_histogram_mean(values), pcl_histogram_at(values, 0.5));
    s_put(buffer,
          ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "}",
          pcl_histogram_at(values, 0.9), pcl_histogram_at(values, 0.99),
          pcl_histogram_at(values, 0.999), values->max);
}

/* The whole distribution, for plots, and for whoever adds runs up. */
static void s_put_buckets(pcl_buffer *buffer, const pcl_histogram *values)
{
    uint32_t cursor = 0;
    uint64_t edge_us = 0;
    uint64_t count = 0;
    s_put(buffer, ",\"latency_buckets\":[");
    for (bool first = true; pcl_histogram_each(values, &cursor, &edge_us, &count); first = false) {
        s_put(buffer, "%s[%" PRIu64 ",%" PRIu64 "]", first ? "" : ",", edge_us, count);
    }
    s_put(buffer, "]");
}

static void s_put_nodes(pcl_buffer *buffer, const pcl_tally *total)
{
    s_put(buffer, ",\"nodes\":{");
    for (uint32_t index = 0; index < total->node_count; index++) {
        const pcl_tally_node *node = &total->nodes[index];
        s_put(buffer, "%s", index > 0 ? "," : "");
        s_put_text(buffer, node->name);
        s_put(buffer, ":{\"count\":%" PRIu64 ",\"share\":%.6f,\"mean_us\":%.1f}", node->count,
              (double)node->count / (double)total->ok_us.count,
              (double)node->sum_us / (double)node->count);
    }
    s_put(buffer, "},\"errors\":{");
    for (uint32_t index = 0; index < total->code_count; index++) {
        s_put(buffer, "%s", index > 0 ? "," : "");
        s_put_text(buffer, total->codes[index].name);
        s_put(buffer, ":%" PRIu64, total->codes[index].count);
    }
    s_put(buffer, "}");
}

static void s_put_json_row(pcl_buffer *buffer, const pcl_report_row *row)
{
    const pcl_tally *total = &row->total;
    char reason[REASON_SIZE];
    s_put(buffer, "{\"strategy\":");
    s_put_text(buffer, row->strategy);
    s_put(buffer, ",\"requests\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64,
          total->all_us.count, total->ok_us.count, pcl_tally_failures(total));
    s_put(buffer, ",\"unsent\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"hedged\":%" PRIu64,
          total->unsent, total->retries, total->hedged);
    s_put(buffer, ",\"seconds\":%.3f,\"throughput\":%.3f", (double)total->time_us / 1e6,
          pcl_tally_throughput(total));
    if (total->machine > 0) {
        s_put(buffer, ",\"machine_busy\":%.3f", (double)total->busy / (double)total->machine);
    }
    s_put_histogram(buffer, "latency_us", &total->all_us);
    s_put_buckets(buffer, &total->all_us);
    s_put_histogram(buffer, "latency_ok_us", &total->ok_us);
    s_put_histogram(buffer, "send_lag_us", &total->lag_us);
    s_put_nodes(buffer, total);
    s_put(buffer, ",\"doubt\":");
    if (pcl_tally_doubt(total, reason, sizeof reason)) {
        s_put_text(buffer, reason);
    } else {
        s_put(buffer, "null");
    }
    s_put(buffer, ",\"rounds\":[");
    for (uint32_t index = 0; index < row->round_count; index++) {
        const pcl_report_round *round = &row->rounds[index];
        s_put(buffer, "%s{\"requests\":%" PRIu64 ",\"failed\":%" PRIu64, index > 0 ? "," : "",
              round->count, round->failures);
        s_put(buffer, ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 ",\"p999_us\":%" PRIu64 "}",
              round->p50_us, round->p99_us, round->p999_us);
    }
    s_put(buffer, "]}");
}

void pcl_report_json(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer)
{
    s_put(buffer, "{\"program\":\"portcullis-bench\",\"version\":\"" PCL_VERSION "\",\"sql\":");
    s_put_text(buffer, plan->sql);
    s_put(buffer, ",\"loop\":\"%s\"", plan->clients > 0 ? "closed" : "open");
    if (plan->clients > 0) {
        s_put(buffer, ",\"clients\":%" PRIu32, plan->clients);
    } else {
        s_put(buffer, ",\"arrivals\":\"%s\",\"rate\":%g",
              plan->arrivals == PCL_ARRIVALS_FIXED ? "fixed" : "poisson", plan->rate);
    }
    s_put(buffer, ",\"connections\":%" PRIu32 ",\"rounds\":%" PRIu32 ",\"seed\":%" PRIu64,
          plan->connections, plan->rounds, plan->seed);
    s_put(buffer, ",\"seconds\":%g,\"warmup_seconds\":%g,\"timeout_ms\":%" PRIu32,
          (double)plan->time_us / 1e6, (double)plan->warmup_us / 1e6, plan->timeout_ms);
    s_put(buffer, ",\"interrupted\":%s,\"strategies\":[", interrupted ? "true" : "false");
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        s_put(buffer, "%s", index > 0 ? "," : "");
        s_put_json_row(buffer, &rows[index]);
    }
    s_put(buffer, "]}\n");
}
