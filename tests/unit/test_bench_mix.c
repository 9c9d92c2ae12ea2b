/* What requests are: weights, files of statements, the workloads of our own; and how what came back
 * is kept second by second and shown while it runs.  Random cases are replayed with
 * PCL_TEST_SEED=<seed>. */
#include "bench/driver/mix.h"
#include "bench/driver/progress.h"
#include "bench/driver/series.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

static const pcl_mix_shape s_shape = {
    .table = "bench_rows", .rows = 1000, .span = 100, .points = 10, .ranges = 1, .writes = 1};

static bool s_read(pcl_mix *mix, const char *text, char *problem)
{
    pcl_mix_init(mix);
    strcpy(problem, "nothing was said");
    return pcl_mix_add_file(mix, pcl_bytes_text(text), problem);
}

static void test_a_file_has_statements_and_transactions(void **state)
{
    (void)state;
    static pcl_mix mix;
    char problem[PCL_MIX_PROBLEM_SIZE];
    assert_true(s_read(&mix,
                       "# a comment for people\n"
                       "-- @weight 70\r\n"
                       "-- @name read one\n"
                       "-- and another, @weight 3\n"
                       "-- @param int:1..10000\n"
                       "SELECT ';', pad /* ? */ FROM t\n WHERE id = ?;\n"
                       "SELECT 1;\n"
                       "-- @name move\n"
                       "begin;\n"
                       "-- @param int:1..5\n-- @param text:3\n"
                       "INSERT INTO t VALUES (?, ?);\n"
                       "-- @param same:1\n"
                       "DELETE FROM t WHERE id = ?;\n"
                       "Commit\n;\n"
                       "-- the end\n",
                       problem));
    assert_int_equal(3, mix.part_count);
    assert_int_equal(72, mix.weights);
    assert_string_equal("read one", mix.parts[0].name);
    assert_int_equal(70, mix.parts[0].weight);
    assert_false(mix.parts[0].transaction);
    assert_true(
        pcl_bytes_is(pcl_mix_sql(&mix, 0), "SELECT ';', pad /* ? */ FROM t\n WHERE id = ?"));
    assert_string_equal("2", mix.parts[1].name);
    assert_true(mix.parts[2].transaction);
    assert_string_equal("move", mix.parts[2].name);
    assert_int_equal(2, mix.parts[2].statement_count);
    assert_true(pcl_bytes_is(pcl_mix_sql(&mix, 3), "DELETE FROM t WHERE id = ?"));
    assert_int_equal(PCL_VALUE_SAME, mix.params[mix.statements[3].param_first].kind);
    assert_false(pcl_mix_is_single(&mix));
    pcl_mix_release(&mix);
}

static void test_a_wrong_file_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } wrong[] = {
        {"", "there is no statement"},
        {"-- only a comment\n", "there is no statement"},
        {"SELECT 1;\n-- @wieght 3\nSELECT 2;", "line 2: there are @weight"},
        {"-- @weight 0\nSELECT 1", "line 1: @weight must be"},
        {"-- @weight 7x\nSELECT 1", "line 1: @weight must be"},
        {"-- @weight -7\nSELECT 1", "line 1: @weight must be"},
        {"\n-- @param int:2..1\nSELECT ?", "line 2: @param must be"},
        {"SELECT ?", "line 1: \"SELECT ?\" has 1 `?`, and values were given for 0"},
        {"-- @param int:1..2\nSELECT '?'", "has 0 `?`, and values were given for 1"},
        {"-- @param same:1\nSELECT ?", "same:1: only 0 whole numbers"},
        {"SELECT 1;\n-- @weight 7\n", "line 2: no statement follows"},
        {"BEGIN;\nSELECT 1;", "line 2: COMMIT is missing"},
        {"BEGIN;\nSELECT 1;\nBEGIN;", "line 3: COMMIT is missing"},
        {"BEGIN;\n-- @weight 7\nSELECT 1;\nCOMMIT", "COMMIT is missing"},
        {"COMMIT;", "COMMIT without BEGIN"},
        {"BEGIN;\nCOMMIT;", "or without statements"},
        {"-- @param int:1..2\nBEGIN;", "BEGIN has no values"},
    };
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        static pcl_mix mix;
        char problem[PCL_MIX_PROBLEM_SIZE];
        bool good = s_read(&mix, wrong[index].text, problem);
        if (good || strstr(problem, wrong[index].problem) == NULL) {
            fail_msg("\"%s\" gave \"%s\"", wrong[index].text, good ? "no complaint" : problem);
        }
        pcl_mix_release(&mix);
    }
}

static void test_a_mix_has_bounds(void **state)
{
    (void)state;
    static pcl_mix mix;
    char problem[PCL_MIX_PROBLEM_SIZE];
    pcl_mix_init(&mix);
    for (uint32_t count = 0; count < PCL_MIX_PARTS_MAX; count++) {
        assert_true(pcl_mix_add_part(&mix, "a name of many more letters than there is room for", 1,
                                     true, problem));
    }
    assert_false(pcl_mix_add_part(&mix, "x", 1, true, problem));
    assert_int_equal(PCL_MIX_NAME_SIZE_MAX, strlen(mix.parts[0].name));
    uint32_t added = 0;
    while (pcl_mix_add_statement(&mix, pcl_bytes_text("SELECT 1"), NULL, 0, problem)) {
        added++;
    }
    assert_int_equal(256, added); /* as many as one transaction may have */
    pcl_mix_release(&mix);
}

static void test_parts_are_drawn_by_their_weights(void **state)
{
    (void)state;
    static pcl_mix mix;
    char problem[PCL_MIX_PROBLEM_SIZE];
    uint32_t counts[3] = {0};
    pcl_rng rng = pcl_test_rng("mix");
    pcl_mix_init(&mix);
    assert_true(pcl_mix_add_shares(&mix, "point:70,update:25,txn:5", &s_shape, problem));
    assert_int_equal(3, mix.part_count);
    for (int count = 0; count < 10000; count++) {
        counts[pcl_mix_pick(&mix, &rng)]++;
    }
    assert_true(counts[0] > 6700 && counts[0] < 7300);
    assert_true(counts[1] > 2200 && counts[1] < 2800);
    assert_true(counts[2] > 370 && counts[2] < 630);
    pcl_mix_release(&mix);
}

static void test_wrong_shares_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",         "point",     "point:",    "point:0",  "point:x", "point:1,",    "pint:1",
        "point:1x", "point:1;2", "point:1:2", "point:-1", ":1",      "txn:99999999"};
    for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
        static pcl_mix mix;
        char problem[PCL_MIX_PROBLEM_SIZE];
        pcl_mix_init(&mix);
        assert_false(pcl_mix_add_shares(&mix, wrong[index], &s_shape, problem));
        pcl_mix_release(&mix);
    }
}

/* sysbench's oltp_read_write: ten points, four ranges, two updates, a delete and an insert. */
static void test_the_transaction_is_that_of_sysbench(void **state)
{
    (void)state;
    static pcl_mix mix;
    char problem[PCL_MIX_PROBLEM_SIZE];
    pcl_mix_init(&mix);
    assert_true(pcl_mix_add_made(&mix, "txn", 1, &s_shape, problem));
    assert_int_equal(18, mix.parts[0].statement_count);
    assert_true(pcl_bytes_is(pcl_mix_sql(&mix, 9), "SELECT pad FROM bench_rows WHERE id = ?"));
    assert_true(pcl_bytes_is(pcl_mix_sql(&mix, 13), "SELECT DISTINCT pad FROM bench_rows WHERE id "
                                                    "BETWEEN ? AND ? + 99 ORDER BY pad"));
    /* The end of each range, and the key that is put back, are what was drawn just before. */
    uint32_t drawn = 0;
    uint32_t again = 0;
    for (uint32_t index = 0; index < mix.param_count; index++) {
        if (mix.params[index].kind == PCL_VALUE_SAME) {
            assert_int_equal(drawn, mix.params[index].size);
            again++;
        }
        drawn += mix.params[index].kind == PCL_VALUE_INT ? 1 : 0;
    }
    assert_int_equal(5, again);
    pcl_mix_release(&mix);
    pcl_mix_shape shape = s_shape;
    shape.points = 57;
    pcl_mix_init(&mix);
    assert_false(pcl_mix_add_made(&mix, "txn", 1, &shape, problem));
    pcl_mix_release(&mix);
    shape.points = 56; /* the most */
    pcl_mix_init(&mix);
    assert_true(pcl_mix_add_made(&mix, "txn", 1, &shape, problem));
    pcl_mix_release(&mix);
    shape.points = shape.ranges = shape.writes = 0;
    pcl_mix_init(&mix);
    assert_false(pcl_mix_add_made(&mix, "txn", 1, &shape, problem));
    pcl_mix_release(&mix);
}

static void test_each_second_has_what_came_back_in_it(void **state)
{
    (void)state;
    pcl_series series;
    assert_true(pcl_series_init(&series, 10000000, 3600));
    assert_int_equal(1, series.width_s);
    assert_int_equal(11, series.cell_count);
    assert_int_equal(0, pcl_series_used(&series));
    assert_int_equal(0, pcl_series_index(&series, 999999));
    assert_int_equal(1, pcl_series_index(&series, 1000000));
    assert_int_equal(10, pcl_series_index(&series, UINT64_MAX)); /* too late */
    static pcl_series_cell cell;
    memset(&cell, 0, sizeof cell);
    for (uint32_t count = 0; count < 99; count++) {
        pcl_series_cell_note(&cell, 40, true);
    }
    pcl_series_cell_note(&cell, 5000000, false);
    pcl_series_cell_merge(&series.cells[3], &cell);
    pcl_series_cell_merge(&series.cells[3], &cell);
    assert_int_equal(4, pcl_series_used(&series));
    pcl_series_point point = pcl_series_at(&series, 3);
    assert_int_equal(3, point.second);
    assert_int_equal(198, point.ok);
    assert_int_equal(2, point.failed);
    assert_int_equal(40, point.p99_us);
    pcl_series_release(&series);
}

static void test_a_long_series_has_wider_points(void **state)
{
    (void)state;
    pcl_series series;
    assert_true(pcl_series_init(&series, 86400ULL * 1000000, 3600));
    assert_int_equal(25, series.width_s); /* 86,401 seconds do not fit into 3,600 of 24 */
    assert_true(series.cell_count <= 3600);
    assert_int_equal(2, pcl_series_index(&series, 50ULL * 1000000));
    assert_int_equal(50, pcl_series_at(&series, 2).second);
    pcl_series_release(&series);
}

static void test_the_bar_tells_how_far_it_is(void **state)
{
    (void)state;
    pcl_progress now = {.strategy = "custom",
                        .round = 2,
                        .rounds = 5,
                        .runs_done = 4,
                        .runs = 10,
                        .run_us = 10000000};
    pcl_progress_view view = {.gone_us = 5000000};
    pcl_buffer text;
    pcl_buffer_init(&text, 4096);
    pcl_progress_bar(&now, &view, 200, &text);
    pcl_buffer_put_u8(&text, 0);
    assert_string_equal("[####------]  45% 0:55 left  custom 2/5  warming up",
                        (const char *)text.data);
    view = (pcl_progress_view){.gone_us = 99000000,
                               .measures = true,
                               .rate = 1980,
                               .failed = 3,
                               .p50_us = 1200,
                               .p99_us = 340000};
    now.runs_done = 9;
    pcl_buffer_clear(&text);
    pcl_progress_bar(&now, &view, 200, &text);
    pcl_buffer_put_u8(&text, 0);
    assert_string_equal("[##########] 100% 0:00 left  custom 2/5  1980/s  p50 1.20  p99 340 ms  "
                        "3 failed",
                        (const char *)text.data);
    pcl_buffer_clear(&text);
    pcl_progress_bar(&now, &view, 40, &text);
    assert_int_equal(40, text.size);
    pcl_buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_has_statements_and_transactions),
        cmocka_unit_test(test_a_wrong_file_is_refused_with_its_line),
        cmocka_unit_test(test_a_mix_has_bounds),
        cmocka_unit_test(test_parts_are_drawn_by_their_weights),
        cmocka_unit_test(test_wrong_shares_are_refused),
        cmocka_unit_test(test_the_transaction_is_that_of_sysbench),
        cmocka_unit_test(test_each_second_has_what_came_back_in_it),
        cmocka_unit_test(test_a_long_series_has_wider_points),
        cmocka_unit_test(test_the_bar_tells_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
