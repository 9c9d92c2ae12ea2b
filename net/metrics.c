#include "net/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds of the histogram's buckets; one more takes the rest. */
static const struct {
    uint64_t us;
    const char *seconds;
} BUCKETS[] = {
    {50, "5e-05"},   {100, "0.0001"},  {200, "0.0002"},  {500, "0.0005"},  {1000, "0.001"},
    {2000, "0.002"}, {5000, "0.005"},  {10000, "0.01"},  {20000, "0.02"},  {50000, "0.05"},
    {100000, "0.1"}, {200000, "0.2"},  {500000, "0.5"},  {1000000, "1"},   {2000000, "2"},
    {5000000, "5"},  {10000000, "10"}, {20000000, "20"}, {60000000, "60"},
};
enum { LABELS_SIZE = 128 }; /* of one label that a role's table names */
enum { BUCKET_COUNT = sizeof BUCKETS / sizeof BUCKETS[0] };

static const char *const KIND_NAMES[] = {
    [PCL_METRIC_COUNTER] = "counter",
    [PCL_METRIC_GAUGE] = "gauge",
    [PCL_METRIC_HISTOGRAM] = "histogram",
};

typedef struct s_family s_family;

struct pcl_metric {
    pcl_metric *next; /* of the same family, in the order of making */
    s_family *family; /* it belongs to */
    char *labels;     /* owned */
    /* counter: the count; gauge: the bits of a double; histogram: the sum in us */
    atomic_uint_fast64_t value;
    atomic_uint_fast64_t *buckets; /* histogram: BUCKET_COUNT + 1, not cumulative; owned */
};

struct s_family {
    s_family *next;
    const char *name; /* borrowed */
    const char *help; /* borrowed */
    pcl_metric_kind kind;
    pcl_metric *first;
};

struct pcl_metrics {
    pthread_mutex_t mutex; /* guards the lists; values are atomics */
    s_family *first;
};

static void *s_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert(memory != NULL);
    return memory;
}

pcl_metrics *pcl_metrics_new(void)
{
    pcl_metrics *self = s_alloc(1, sizeof *self);
    int rc = pthread_mutex_init(&self->mutex, NULL);
    assert(rc == 0);
    return self;
}

static void s_family_destroy(s_family *family)
{
    while (family->first != NULL) {
        pcl_metric *metric = family->first;
        family->first = metric->next;
        free(metric->buckets);
        free(metric->labels);
        free(metric);
    }
    free(family);
}

void pcl_metrics_destroy(pcl_metrics **self_p)
{
    assert(self_p != NULL);
    pcl_metrics *self = *self_p;
    if (self == NULL) {
        return;
    }
    while (self->first != NULL) {
        s_family *family = self->first;
        self->first = family->next;
        s_family_destroy(family);
    }
    (void)pthread_mutex_destroy(&self->mutex); /* nobody holds it: the owner destroys */
    free(self);
    *self_p = NULL;
}

static s_family *s_family_get(pcl_metrics *self, const char *name, const char *help,
                              pcl_metric_kind kind)
{
    s_family **link = &self->first;
    while (*link != NULL && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        *link = s_alloc(1, sizeof **link);
        (*link)->name = name;
        (*link)->help = help;
        (*link)->kind = kind;
    }
    assert((*link)->kind == kind);
    return *link;
}

static pcl_metric *s_get(pcl_metrics *self, const char *name, const char *labels, const char *help,
                         pcl_metric_kind kind)
{
    assert(self != NULL);
    assert(name != NULL && labels != NULL && help != NULL);
    (void)pthread_mutex_lock(&self->mutex);
    s_family *family = s_family_get(self, name, help, kind);
    pcl_metric **link = &family->first;
    while (*link != NULL && strcmp((*link)->labels, labels) != 0) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        pcl_metric *metric = s_alloc(1, sizeof *metric);
        metric->family = family;
        metric->labels = s_alloc(strlen(labels) + 1, 1);
        memcpy(metric->labels, labels, strlen(labels));
        if (kind == PCL_METRIC_HISTOGRAM) {
            metric->buckets = s_alloc(BUCKET_COUNT + 1, sizeof *metric->buckets);
        }
        *link = metric;
    }
    pcl_metric *metric = *link;
    (void)pthread_mutex_unlock(&self->mutex);
    return metric;
}

pcl_metric *pcl_metrics_counter(pcl_metrics *self, const char *name, const char *labels,
                                const char *help)
{
    return s_get(self, name, labels, help, PCL_METRIC_COUNTER);
}

pcl_metric *pcl_metrics_gauge(pcl_metrics *self, const char *name, const char *labels,
                              const char *help)
{
    return s_get(self, name, labels, help, PCL_METRIC_GAUGE);
}

pcl_metric *pcl_metrics_histogram(pcl_metrics *self, const char *name, const char *labels,
                                  const char *help)
{
    return s_get(self, name, labels, help, PCL_METRIC_HISTOGRAM);
}

static pcl_metric **s_place(void *owner, const pcl_metric_plan *plan)
{
    return (pcl_metric **)(void *)((char *)owner + plan->place);
}

void pcl_metrics_make(pcl_metrics *self, void *owner, const char *labels,
                      const pcl_metric_plan *plans, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        const pcl_metric_plan *plan = &plans[index];
        *s_place(owner, plan) = s_get(self, plan->name, labels, plan->help, plan->kind);
    }
}

void pcl_metrics_make_each(pcl_metrics *self, void *owner, const pcl_metric_plan *plan,
                           const char *label, const char *const *words, size_t count)
{
    pcl_metric **handles = s_place(owner, plan);
    for (size_t index = 0; index < count; index++) {
        char labels[LABELS_SIZE];
        int size = snprintf(labels, sizeof labels, "%s=\"%s\"", label, words[index]);
        assert(size > 0 && (size_t)size < sizeof labels);
        handles[index] = s_get(self, plan->name, labels, plan->help, plan->kind);
    }
}

void pcl_metric_add(pcl_metric *self, uint64_t count)
{
    assert(self->family->kind == PCL_METRIC_COUNTER);
    atomic_fetch_add_explicit(&self->value, count, memory_order_relaxed);
}

void pcl_metric_set(pcl_metric *self, double value)
{
    assert(self->family->kind == PCL_METRIC_GAUGE);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&self->value, bits, memory_order_relaxed);
}

void pcl_metric_observe_us(pcl_metric *self, uint64_t us)
{
    assert(self->family->kind == PCL_METRIC_HISTOGRAM);
    size_t low = 0;
    size_t high = BUCKET_COUNT; /* the first bucket whose bound is not under us */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (BUCKETS[middle].us < us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    atomic_fetch_add_explicit(&self->buckets[low], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->value, us, memory_order_relaxed);
}

uint64_t pcl_metric_count(const pcl_metric *self)
{
    assert(self->family->kind != PCL_METRIC_GAUGE);
    if (self->family->kind == PCL_METRIC_COUNTER) {
        return atomic_load_explicit(&self->value, memory_order_relaxed);
    }
    uint64_t count = 0;
    for (size_t index = 0; index <= BUCKET_COUNT; index++) {
        count += atomic_load_explicit(&self->buckets[index], memory_order_relaxed);
    }
    return count;
}

/* --- Rendering ------------------------------------------------------------ */

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

/* name suffix {labels,extra} value */
static void s_put_sample(pcl_buffer *buffer, const pcl_metric *metric, const char *suffix,
                         const char *extra, const char *value)
{
    s_put(buffer, metric->family->name);
    s_put(buffer, suffix);
    if (metric->labels[0] != '\0' || extra[0] != '\0') {
        s_put(buffer, "{");
        s_put(buffer, metric->labels);
        s_put(buffer, metric->labels[0] != '\0' && extra[0] != '\0' ? "," : "");
        s_put(buffer, extra);
        s_put(buffer, "}");
    }
    s_put(buffer, " ");
    s_put(buffer, value);
    s_put(buffer, "\n");
}

static void s_put_count(pcl_buffer *buffer, const pcl_metric *metric, const char *suffix,
                        const char *extra, uint64_t count)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)count);
    s_put_sample(buffer, metric, suffix, extra, text);
}

static void s_put_gauge(pcl_buffer *buffer, const pcl_metric *metric)
{
    uint64_t bits = atomic_load_explicit(&metric->value, memory_order_relaxed);
    double value;
    memcpy(&value, &bits, sizeof value);
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    s_put_sample(buffer, metric, "", "", text);
}

static void s_put_histogram(pcl_buffer *buffer, const pcl_metric *metric)
{
    uint64_t count = 0;
    char text[48];
    for (size_t index = 0; index <= BUCKET_COUNT; index++) {
        count += atomic_load_explicit(&metric->buckets[index], memory_order_relaxed);
        snprintf(text, sizeof text, "le=\"%s\"",
                 index < BUCKET_COUNT ? BUCKETS[index].seconds : "+Inf");
        s_put_count(buffer, metric, "_bucket", text, count);
    }
    uint64_t sum_us = atomic_load_explicit(&metric->value, memory_order_relaxed);
    snprintf(text, sizeof text, "%llu.%06u", (unsigned long long)(sum_us / 1000000),
             (unsigned)(sum_us % 1000000));
    s_put_sample(buffer, metric, "_sum", "", text);
    s_put_count(buffer, metric, "_count", "", count);
}

static void s_put_family(pcl_buffer *buffer, const s_family *family)
{
    s_put(buffer, "# HELP ");
    s_put(buffer, family->name);
    s_put(buffer, " ");
    for (const char *text = family->help; *text != '\0'; text++) {
        if (*text == '\\' || *text == '\n') {
            s_put(buffer, *text == '\n' ? "\\n" : "\\\\");
        } else {
            pcl_buffer_put(buffer, text, 1);
        }
    }
    s_put(buffer, "\n# TYPE ");
    s_put(buffer, family->name);
    s_put(buffer, " ");
    s_put(buffer, KIND_NAMES[family->kind]);
    s_put(buffer, "\n");
    for (const pcl_metric *metric = family->first; metric != NULL; metric = metric->next) {
        switch (family->kind) {
        case PCL_METRIC_COUNTER:
            s_put_count(buffer, metric, "", "", pcl_metric_count(metric));
            break;
        case PCL_METRIC_GAUGE:
            s_put_gauge(buffer, metric);
            break;
        case PCL_METRIC_HISTOGRAM:
            s_put_histogram(buffer, metric);
            break;
        }
    }
}

void pcl_metrics_render(pcl_metrics *self, pcl_buffer *buffer)
{
    assert(self != NULL && buffer != NULL);
    (void)pthread_mutex_lock(&self->mutex);
    for (const s_family *family = self->first; family != NULL; family = family->next) {
        s_put_family(buffer, family);
    }
    (void)pthread_mutex_unlock(&self->mutex);
}
