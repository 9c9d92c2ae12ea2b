#include "bench/driver/tally.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A lag that hardly shows in what is measured is none. */
#define LAG_US_FINE 500u
#define LAG_SHARE   10u /* of a latency: a tenth */
#define BUSY_SHARE  95u /* percent of all processors */

/* The octets behind `"key":` and white space; NULL: the key is not there. */
void pcl_tally_note_sent(pcl_tally *self, uint64_t lag_us)
{
    pcl_histogram_note(&self->lag_us, lag_us);
}

static void s_add_node(pcl_tally *self, const char *name, uint64_t count, uint64_t sum_us)
{
    uint32_t index = 0;
    while (index < self->node_count && strcmp(self->nodes[index].name, name) != 0) {
        index++;
    }
    if (index == PCL_NODES_MAX) { /* a cluster has no more */
        return;
    }
    pcl_tally_node *node = &self->nodes[index];
    if (index == self->node_count) {
        (void)snprintf(node->name, sizeof node->name, "%s", name);
        self->node_count++;
    }
    node->count += count;
    node->sum_us += sum_us;
}

/* As much of the text as there is room for, without half a character at its end. */
static void s_keep(char *target, size_t target_size, const char *text)
{
    size_t size = strlen(text);
    if (size >= target_size) {
        size = target_size - 1;
        while (size > 0 && ((unsigned char)text[size] & 0xc0u) == 0x80u) {
            size--;
        }
    }
    memcpy(target, text, size);
    target[size] = '\0';
}

static void s_add_code(pcl_tally *self, const char *name, const char *message, uint64_t count)
{
    uint32_t index = 0;
    while (index < self->code_count && strcmp(self->codes[index].name, name) != 0) {
        index++;
    }
    if (index == PCL_TALLY_CODES_MAX) { /* of future protocols; the last one stands for them */
        index--;
    }
    pcl_tally_code *code = &self->codes[index];
    if (index == self->code_count) {
        (void)snprintf(code->name, sizeof code->name, "%s", name);
        s_keep(code->message, sizeof code->message, message);
        self->code_count++;
    }
    code->count += count;
}

static void s_note_route(pcl_tally *self, const pcl_tally_route *route)
{
    self->retries += route->attempts > 1 ? route->attempts - 1 : 0;
    self->hedged += route->hedged ? 1 : 0;
}

void pcl_tally_note_ok(pcl_tally *self, uint64_t took_us, bool in_time,
                       const pcl_tally_route *route)
{
    self->in_time += in_time ? 1 : 0;
    pcl_histogram_note(&self->all_us, took_us);
    pcl_histogram_note(&self->ok_us, took_us);
    s_note_route(self, route);
    if (route->node[0] != '\0') {
        s_add_node(self, route->node, 1, took_us);
    }
}

void pcl_tally_note_failure(pcl_tally *self, const char *code, const char *message,
                            uint64_t took_us, uint64_t timeout_us, const pcl_tally_route *route)
{
    pcl_histogram_note(&self->all_us, took_us > timeout_us ? took_us : timeout_us);
    s_note_route(self, route);
    s_add_code(self, code, message, 1);
}

void pcl_tally_note_part(pcl_tally *self, uint32_t part, uint64_t took_us, bool ok)
{
    assert(part < PCL_MIX_PARTS_MAX);
    pcl_tally_part *one = &self->parts[part];
    one->count++;
    one->failures += ok ? 0 : 1;
    pcl_coarse_note(&one->all_us, took_us);
}

void pcl_tally_merge(pcl_tally *self, const pcl_tally *other)
{
    pcl_histogram_merge(&self->all_us, &other->all_us);
    pcl_histogram_merge(&self->ok_us, &other->ok_us);
    pcl_histogram_merge(&self->lag_us, &other->lag_us);
    self->unsent += other->unsent;
    self->in_time += other->in_time;
    self->retries += other->retries;
    self->hedged += other->hedged;
    self->time_us += other->time_us;
    self->busy += other->busy;
    self->machine += other->machine;
    for (uint32_t index = 0; index < other->code_count; index++) {
        const pcl_tally_code *code = &other->codes[index];
        s_add_code(self, code->name, code->message, code->count);
    }
    for (uint32_t index = 0; index < other->node_count; index++) {
        const pcl_tally_node *node = &other->nodes[index];
        s_add_node(self, node->name, node->count, node->sum_us);
    }
    for (uint32_t index = 0; index < PCL_MIX_PARTS_MAX; index++) {
        const pcl_tally_part *part = &other->parts[index];
        if (part->count > 0) {
            self->parts[index].count += part->count;
            self->parts[index].failures += part->failures;
            pcl_coarse_merge(&self->parts[index].all_us, &part->all_us);
        }
    }
}

uint64_t pcl_tally_failures(const pcl_tally *self)
{
    return self->all_us.count - self->ok_us.count;
}

double pcl_tally_throughput(const pcl_tally *self)
{
    return self->time_us > 0 ? (double)self->in_time * 1e6 / (double)self->time_us : 0.0;
}

/* At this share of the requests, is the lag more than a small part of the latency? */
static bool s_lags(const pcl_tally *self, double share, uint64_t *out_lag_us)
{
    *out_lag_us = pcl_histogram_at(&self->lag_us, share);
    return *out_lag_us > LAG_US_FINE &&
           *out_lag_us > pcl_histogram_at(&self->all_us, share) / LAG_SHARE;
}

bool pcl_tally_doubt(const pcl_tally *self, char *reason, size_t reason_size)
{
    uint64_t lag_us = 0;
    if (self->unsent > 0) {
        (void)snprintf(reason, reason_size,
                       "%" PRIu64 " requests found no room at this side (--inflight-max)",
                       self->unsent);
        return true;
    }
    if (s_lags(self, 0.5, &lag_us) || s_lags(self, 0.99, &lag_us)) {
        (void)snprintf(reason, reason_size,
                       "requests were sent up to %.1f ms after they were due: the machine is too "
                       "slow or too busy for this rate",
                       (double)lag_us / 1000.0);
        return true;
    }
    if (self->machine > 0 && self->busy * 100 > self->machine * BUSY_SHARE) {
        (void)snprintf(reason, reason_size,
                       "the machine's processors were %.0f%% busy, so it is measured as well",
                       (double)self->busy * 100.0 / (double)self->machine);
        return true;
    }
    return false;
}
