#include "net/metrics.h"

#include "net/process.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNTER   "portcullis_test_requests_total"
#define GAUGE     "portcullis_test_inflight"
#define HISTOGRAM "portcullis_test_duration_seconds"

static pcl_buffer s_text;

static const char *s_render(pcl_metrics *metrics)
{
    pcl_buffer_clear(&s_text);
    pcl_metrics_render(metrics, &s_text);
    pcl_process_render(&s_text);
    pcl_buffer_put_u8(&s_text, 0);
    assert_false(s_text.failed);
    return (const char *)s_text.data;
}

static pcl_metrics *s_make(void)
{
    pcl_metrics *metrics = pcl_metrics_new();
    pcl_metric *safe = pcl_metrics_counter(metrics, COUNTER, "code=\"OK\"", "Requests, answered.");
    pcl_metric *bad = pcl_metrics_counter(metrics, COUNTER, "code=\"BAD\"", "Another help.");
    pcl_metric *gauge = pcl_metrics_gauge(metrics, GAUGE, "", "Back\\slash and\nline.");
    pcl_metric *histogram = pcl_metrics_histogram(metrics, HISTOGRAM, "hop=\"a\"", "Time.");
    pcl_metric_add(safe, 3);
    pcl_metric_add(bad, 1);
    pcl_metric_set(gauge, -2.5);
    pcl_metric_observe_us(histogram, 0);
    pcl_metric_observe_us(histogram, 50);
    pcl_metric_observe_us(histogram, 51);
    pcl_metric_observe_us(histogram, 1500000);
    pcl_metric_observe_us(histogram, 60000000);
    pcl_metric_observe_us(histogram, 60000001);
    return metrics;
}

static void test_text_form(void **state)
{
    (void)state;
    static const char *const EXPECTED[] = {
        "# HELP " COUNTER " Requests, answered.\n# TYPE " COUNTER " counter\n" COUNTER
        "{code=\"OK\"} 3\n" COUNTER "{code=\"BAD\"} 1\n",
        "# HELP " GAUGE " Back\\\\slash and\\nline.\n# TYPE " GAUGE " gauge\n" GAUGE " -2.5\n",
        "# TYPE " HISTOGRAM " histogram\n" HISTOGRAM "_bucket{hop=\"a\",le=\"5e-05\"} 2\n",
        HISTOGRAM "_bucket{hop=\"a\",le=\"0.0001\"} 3\n",
        HISTOGRAM "_bucket{hop=\"a\",le=\"1\"} 3\n",
        HISTOGRAM "_bucket{hop=\"a\",le=\"2\"} 4\n",
        HISTOGRAM "_bucket{hop=\"a\",le=\"60\"} 5\n",
        HISTOGRAM "_bucket{hop=\"a\",le=\"+Inf\"} 6\n",
        HISTOGRAM "_sum{hop=\"a\"} 121.500102\n",
        HISTOGRAM "_count{hop=\"a\"} 6\n",
    };
    pcl_metrics *metrics = s_make();
    const char *text = s_render(metrics);
    for (size_t index = 0; index < sizeof EXPECTED / sizeof EXPECTED[0]; index++) {
        if (strstr(text, EXPECTED[index]) == NULL) {
            fail_msg("not in the text:\n%s\ntext:\n%s", EXPECTED[index], text);
        }
    }
    pcl_metrics_destroy(&metrics);
    assert_null(metrics);
}

static void test_the_same_name_and_labels_are_one(void **state)
{
    (void)state;
    pcl_metrics *metrics = pcl_metrics_new();
    char labels[] = "a=\"1\"";
    pcl_metric *first = pcl_metrics_counter(metrics, COUNTER, labels, "x");
    labels[3] = '2';
    pcl_metric *second = pcl_metrics_counter(metrics, COUNTER, labels, "x");
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(first, pcl_metrics_counter(metrics, COUNTER, "a=\"1\"", "x"));
    pcl_metric_add(first, 2);
    assert_int_equal(pcl_metric_count(first), 2);
    assert_int_equal(pcl_metric_count(second), 0);
    pcl_metrics_destroy(&metrics);
}

static void *s_count(void *metric)
{
    for (int index = 0; index < 10000; index++) {
        pcl_metric_add(metric, 1);
    }
    return NULL;
}

static void test_a_table_makes_the_handles_of_a_struct(void **state)
{
    (void)state;
    typedef struct owner {
        int beside;
        pcl_metric *gauge;
        pcl_metric *counters[2];
    } owner;
    static const pcl_metric_plan GAUGES[] = {
        {PCL_METRIC_GAUGE, offsetof(owner, gauge), GAUGE, "A gauge."}};
    static const pcl_metric_plan COUNTERS = {PCL_METRIC_COUNTER, offsetof(owner, counters), COUNTER,
                                             "Counters."};
    static const char *const WORDS[] = {"one", "two"};
    owner made = {.beside = 7};
    pcl_metrics *metrics = pcl_metrics_new();
    pcl_metrics_make(metrics, &made, "node=\"a\"", GAUGES, 1);
    pcl_metrics_make_each(metrics, &made, &COUNTERS, "word", WORDS, 2);
    pcl_metric_set(made.gauge, 1);
    pcl_metric_add(made.counters[1], 5);
    const char *text = s_render(metrics);
    assert_non_null(strstr(text, GAUGE "{node=\"a\"} 1\n"));
    assert_non_null(strstr(text, COUNTER "{word=\"one\"} 0\n" COUNTER "{word=\"two\"} 5\n"));
    assert_int_equal(made.beside, 7);
    pcl_metrics_destroy(&metrics);
}

static void test_updates_of_threads_all_count(void **state)
{
    (void)state;
    pcl_metrics *metrics = pcl_metrics_new();
    pcl_metric *metric = pcl_metrics_counter(metrics, COUNTER, "", "x");
    pthread_t threads[4];
    for (int index = 0; index < 4; index++) {
        assert_int_equal(pthread_create(&threads[index], NULL, s_count, metric), 0);
    }
    (void)s_render(metrics);
    for (int index = 0; index < 4; index++) {
        pthread_join(threads[index], NULL);
    }
    assert_int_equal(pcl_metric_count(metric), 40000);
    pcl_metrics_destroy(&metrics);
}

static void test_promtool_finds_nothing_to_say(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        printf("SKIP: promtool is not installed, the text form was not checked with it\n");
        skip();
    }
    pcl_metrics *metrics = s_make();
    const char *text = s_render(metrics);
    FILE *pipe = popen("promtool check metrics", "w");
    assert_non_null(pipe);
    assert_true(fputs(text, pipe) >= 0);
    assert_int_equal(pclose(pipe), 0);
    pcl_metrics_destroy(&metrics);
}

static int s_set_up(void **state)
{
    (void)state;
    pcl_buffer_init(&s_text, 1024 * 1024);
    return 0;
}

static int s_tear_down(void **state)
{
    (void)state;
    pcl_buffer_release(&s_text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_the_same_name_and_labels_are_one),
        cmocka_unit_test(test_a_table_makes_the_handles_of_a_struct),
        cmocka_unit_test(test_updates_of_threads_all_count),
        cmocka_unit_test(test_promtool_finds_nothing_to_say),
    };
    return cmocka_run_group_tests(tests, s_set_up, s_tear_down);
}
