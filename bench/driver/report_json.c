/* What was measured, as JSON: docs/bench.md has its keys. */
#include "bench/driver/report.h"
#include "bench/driver/text.h"
#include "wire/json.h"

#include <inttypes.h>

#define REASON_SIZE 160u

static void s_put_text(pcl_buffer *buffer, const char *text)
{
    pcl_json_put_text(buffer, pcl_bytes_text(text));
}

static void s_put_histogram(pcl_buffer *buffer, const char *name, const pcl_histogram *values)
{
    pcl_text_put(buffer, ",\"%s\":{\"count\":%" PRIu64 ",\"mean\":%.1f,\"p50\":%" PRIu64, name,
                 values->count, pcl_histogram_mean(values), pcl_histogram_at(values, 0.5));
    pcl_text_put(buffer,
                 ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64
                 "}",
                 pcl_histogram_at(values, 0.9), pcl_histogram_at(values, 0.99),
                 pcl_histogram_at(values, 0.999), values->max);
}

/* The whole distribution, for plots, and for whoever adds runs up. */
static void s_put_buckets(pcl_buffer *buffer, const pcl_histogram *values)
{
    uint32_t cursor = 0;
    uint64_t edge_us = 0;
    uint64_t count = 0;
    pcl_text_put(buffer, ",\"latency_buckets\":[");
    for (bool first = true; pcl_histogram_each(values, &cursor, &edge_us, &count); first = false) {
        pcl_text_put(buffer, "%s[%" PRIu64 ",%" PRIu64 "]", first ? "" : ",", edge_us, count);
    }
    pcl_text_put(buffer, "]");
}

static void s_put_nodes(pcl_buffer *buffer, const pcl_tally *total)
{
    pcl_text_put(buffer, ",\"nodes\":{");
    for (uint32_t index = 0; index < total->node_count; index++) {
        const pcl_tally_node *node = &total->nodes[index];
        pcl_text_put(buffer, "%s", index > 0 ? "," : "");
        s_put_text(buffer, node->name);
        pcl_text_put(buffer, ":{\"count\":%" PRIu64 ",\"share\":%.6f,\"mean_us\":%.1f}",
                     node->count, (double)node->count / (double)total->ok_us.count,
                     (double)node->sum_us / (double)node->count);
    }
    pcl_text_put(buffer, "},\"errors\":{");
    for (uint32_t index = 0; index < total->code_count; index++) {
        pcl_text_put(buffer, "%s", index > 0 ? "," : "");
        s_put_text(buffer, total->codes[index].name);
        pcl_text_put(buffer, ":%" PRIu64, total->codes[index].count);
    }
    pcl_text_put(buffer, "},\"error_messages\":{");
    for (uint32_t index = 0; index < total->code_count; index++) {
        pcl_text_put(buffer, "%s", index > 0 ? "," : "");
        s_put_text(buffer, total->codes[index].name);
        pcl_text_put(buffer, ":");
        s_put_text(buffer, total->codes[index].message);
    }
    pcl_text_put(buffer, "}");
}

static void s_put_parts(const pcl_plan *plan, const pcl_tally *total, pcl_buffer *buffer)
{
    pcl_text_put(buffer, ",\"parts\":[");
    for (uint32_t index = 0; index < plan->mix.part_count; index++) {
        const pcl_tally_part *part = &total->parts[index];
        pcl_text_put(buffer, "%s{\"name\":", index > 0 ? "," : "");
        s_put_text(buffer, plan->mix.parts[index].name);
        pcl_text_put(buffer, ",\"requests\":%" PRIu64 ",\"failed\":%" PRIu64, part->count,
                     part->failures);
        pcl_text_put(buffer, ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 "}",
                     pcl_coarse_at(&part->all_us, 0.5), pcl_coarse_at(&part->all_us, 0.99));
    }
    pcl_text_put(buffer, "]");
}

static void s_put_rounds(const pcl_report_row *row, pcl_buffer *buffer)
{
    pcl_text_put(buffer, ",\"rounds\":[");
    for (uint32_t index = 0; index < row->round_count; index++) {
        const pcl_report_round *round = &row->rounds[index];
        pcl_text_put(buffer, "%s{\"round\":%" PRIu32 ",\"start_s\":%.3f", index > 0 ? "," : "",
                     round->number, (double)round->start_us / 1e6);
        pcl_text_put(buffer, ",\"requests\":%" PRIu64 ",\"failed\":%" PRIu64, round->count,
                     round->failures);
        pcl_text_put(buffer, ",\"throughput\":%.3f,\"p50_us\":%" PRIu64, round->throughput,
                     round->p50_us);
        pcl_text_put(buffer, ",\"p99_us\":%" PRIu64 ",\"p999_us\":%" PRIu64 "}", round->p99_us,
                     round->p999_us);
    }
    pcl_text_put(buffer, "]");
}

static void s_put_series(const pcl_report_row *row, pcl_buffer *buffer)
{
    pcl_text_put(buffer, ",\"series_seconds\":%" PRIu32 ",\"series\":[",
                 row->series_seconds > 0 ? row->series_seconds : 1);
    for (uint32_t index = 0; index < row->point_count; index++) {
        const pcl_series_point *at = &row->points[index].at;
        pcl_text_put(buffer, "%s{\"round\":%" PRIu32 ",\"second\":%" PRIu32, index > 0 ? "," : "",
                     row->points[index].round, at->second);
        pcl_text_put(buffer, ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64, at->ok, at->failed);
        if (at->ok + at->failed > 0) {
            pcl_text_put(buffer, ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 "}", at->p50_us,
                         at->p99_us);
        } else {
            pcl_text_put(buffer, ",\"p50_us\":null,\"p99_us\":null}");
        }
    }
    pcl_text_put(buffer, "]");
}

static void s_put_corrected(const pcl_tally *total, pcl_buffer *buffer)
{
    pcl_histogram corrected;
    pcl_report_correct(total, &corrected);
    s_put_histogram(buffer, "latency_corrected_us", &corrected);
}

static void s_put_row(const pcl_plan *plan, const pcl_report_row *row, pcl_buffer *buffer)
{
    const pcl_tally *total = &row->total;
    char reason[REASON_SIZE];
    pcl_text_put(buffer, "{\"strategy\":");
    s_put_text(buffer, row->strategy);
    pcl_text_put(buffer, ",\"requests\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64,
                 total->all_us.count, total->ok_us.count, pcl_tally_failures(total));
    pcl_text_put(buffer, ",\"unsent\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"hedged\":%" PRIu64,
                 total->unsent, total->retries, total->hedged);
    pcl_text_put(buffer, ",\"seconds\":%.3f,\"throughput\":%.3f", (double)total->time_us / 1e6,
                 pcl_tally_throughput(total));
    if (total->machine > 0) {
        pcl_text_put(buffer, ",\"machine_busy\":%.3f",
                     (double)total->busy / (double)total->machine);
    }
    s_put_histogram(buffer, "latency_us", &total->all_us);
    s_put_buckets(buffer, &total->all_us);
    if (plan->clients > 0) {
        s_put_corrected(total, buffer);
    }
    s_put_histogram(buffer, "latency_ok_us", &total->ok_us);
    s_put_histogram(buffer, "send_lag_us", &total->lag_us);
    s_put_nodes(buffer, total);
    pcl_text_put(buffer, ",\"doubt\":");
    if (pcl_tally_doubt(total, reason, sizeof reason)) {
        s_put_text(buffer, reason);
    } else {
        pcl_text_put(buffer, "null");
    }
    s_put_parts(plan, total, buffer);
    s_put_rounds(row, buffer);
    s_put_series(row, buffer);
    pcl_text_put(buffer, "}");
}

static void s_put_bytes(pcl_buffer *buffer, pcl_bytes text)
{
    pcl_json_put_text(buffer, text);
}

static void s_put_statements(const pcl_plan *plan, pcl_buffer *buffer)
{
    const pcl_mix *mix = &plan->mix;
    pcl_text_put(buffer, ",\"sql\":");
    if (pcl_mix_is_single(mix)) {
        s_put_bytes(buffer, pcl_mix_sql(mix, 0));
    } else {
        pcl_text_put(buffer, "null");
    }
    pcl_text_put(buffer, ",\"statements\":[");
    for (uint32_t index = 0; index < mix->part_count; index++) {
        const pcl_mix_part *part = &mix->parts[index];
        pcl_text_put(buffer, "%s{\"name\":", index > 0 ? "," : "");
        s_put_text(buffer, part->name);
        pcl_text_put(buffer, ",\"weight\":%" PRIu32 ",\"transaction\":%s,\"sql\":[", part->weight,
                     part->transaction ? "true" : "false");
        for (uint32_t offset = 0; offset < part->statement_count; offset++) {
            pcl_text_put(buffer, "%s", offset > 0 ? "," : "");
            s_put_bytes(buffer, pcl_mix_sql(mix, part->statement_first + offset));
        }
        pcl_text_put(buffer, "]}");
    }
    pcl_text_put(buffer, "]");
}

static void s_put_labels(const pcl_plan *plan, pcl_buffer *buffer)
{
    pcl_text_put(buffer, ",\"labels\":{");
    for (uint32_t index = 0; index < plan->label_count; index++) {
        const pcl_plan_label *label = &plan->labels[index];
        pcl_text_put(buffer, "%s", index > 0 ? "," : "");
        s_put_bytes(buffer, pcl_bytes_of(label->name, label->name_size));
        pcl_text_put(buffer, ":");
        s_put_text(buffer, label->value);
    }
    pcl_text_put(buffer, "}");
}

void pcl_report_json(const pcl_plan *plan, const pcl_report_row *rows, bool interrupted,
                     pcl_buffer *buffer)
{
    pcl_text_put(buffer, "{\"program\":\"portcullis-bench\",\"version\":\"" PCL_VERSION "\"");
    pcl_text_put(buffer, ",\"workload\":\"%s\",\"started\":\"%s\"", plan->workload, plan->started);
    s_put_labels(plan, buffer);
    s_put_statements(plan, buffer);
    pcl_text_put(buffer, ",\"loop\":\"%s\"", plan->clients > 0 ? "closed" : "open");
    if (plan->clients > 0) {
        pcl_text_put(buffer, ",\"clients\":%" PRIu32, plan->clients);
    } else {
        pcl_text_put(buffer, ",\"arrivals\":\"%s\",\"rate\":%g,\"rate_end\":%g",
                     plan->arrivals == PCL_ARRIVALS_FIXED ? "fixed" : "poisson", plan->rate,
                     plan->rate_end);
    }
    pcl_text_put(buffer, ",\"connections\":%" PRIu32 ",\"rounds\":%" PRIu32 ",\"seed\":%" PRIu64,
                 plan->connections, plan->rounds, plan->seed);
    pcl_text_put(buffer, ",\"seconds\":%g,\"warmup_seconds\":%g,\"timeout_ms\":%" PRIu32,
                 (double)plan->time_us / 1e6, (double)plan->warmup_us / 1e6, plan->timeout_ms);
    pcl_text_put(buffer, ",\"interrupted\":%s,\"strategies\":[", interrupted ? "true" : "false");
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        pcl_text_put(buffer, "%s", index > 0 ? "," : "");
        s_put_row(plan, &rows[index], buffer);
    }
    pcl_text_put(buffer, "]}\n");
}
