#include "bench/driver/measure.h"

#include "bench/driver/bench.h"
#include "bench/driver/load.h"
#include "bench/driver/plan.h"
#include "bench/driver/report.h"
#include "common/clock.h"
#include "net/time.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80u

static atomic_bool s_stopped; /* set by a signal, read by all threads; free of locks */

static void s_on_signal(int number)
{
    (void)number;
    atomic_store(&s_stopped, true);
}

/* A second one ends the program. */
static void s_catch_signals(void)
{
    struct sigaction action = {.sa_handler = s_on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail */
    (void)sigaction(SIGTERM, &action, NULL);
}

static bool s_is_stopped(void)
{
    return atomic_load(&s_stopped);
}

bool pcl_bench_write(const char *file, const pcl_buffer *text)
{
    bool to_stdout = strcmp(file, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(file, "we");
    bool good = out != NULL && !text->failed &&
                fwrite(text->data, 1, text->size, out) == text->size && fflush(out) == 0;
    if (!good) {
        (void)fprintf(stderr, "portcullis-bench: cannot write %s: %s\n", file,
                      text->failed ? "out of memory" : strerror(errno));
    }
    if (out != NULL && !to_stdout && fclose(out) != 0 && good) {
        (void)fprintf(stderr, "portcullis-bench: cannot write %s: %s\n", file, strerror(errno));
        good = false;
    }
    return good;
}

/* ---- how it goes -------------------------------------------------------------------------- */

/* What there is to know of a measurement. */
typedef struct job {
    const pcl_plan *plan;
    pcl_progress progress;
    pcl_report_row *rows; /* of plan->strategy_count strategies */
    uint64_t start_us;
    bool terminal; /* is a bar drawn? */
    uint32_t columns;
} job;

/* The shell tells bash's and zsh's interactive users; a terminal has 80 at least. */
static uint32_t s_columns(void)
{
    const char *text = getenv("COLUMNS");
    unsigned long columns = text != NULL ? strtoul(text, NULL, 10) : 0;
    return columns >= 20 && columns <= 1000 ? (uint32_t)columns : COLUMNS_DEFAULT;
}

static void s_show_bar(void *context, const pcl_progress_view *view)
{
    const job *self = context;
    pcl_buffer text;
    pcl_buffer_init(&text, 4096);
    pcl_progress_bar(&self->progress, view, self->columns - 1, &text);
    (void)fprintf(stderr, "\r\033[K%.*s", (int)text.size, (const char *)text.data);
    pcl_buffer_release(&text);
}

static void s_show_run(const job *self, const pcl_tally *tally)
{
    if (self->plan->quiet || self->terminal) {
        return;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, 4096);
    pcl_progress_run(&self->progress, tally, &text);
    (void)fprintf(stderr, "%.*s", (int)text.size, (const char *)text.data);
    pcl_buffer_release(&text);
}

/* ---- rounds ------------------------------------------------------------------------------- */

/* One strategy's run.  false: memory is out. */
static bool s_run(job *self, pcl_load *load, uint32_t index)
{
    const pcl_plan *plan = self->plan;
    pcl_progress *now = &self->progress;
    now->strategy = plan->strategies[index];
    pcl_load_run *run = pcl_load_do(load, pcl_plan_strategy(plan, index), plan->seed + now->round);
    if (run == NULL) {
        return false;
    }
    now->runs_done++;
    s_show_run(self, &run->tally);
    bool good = pcl_report_add(&self->rows[index], now->round,
                               pcl_time_since_us(self->start_us, run->start_us), &run->tally,
                               &run->series);
    pcl_load_run_destroy(&run);
    return good;
}

/* Each round begins with another strategy.  false: memory is out. */
static bool s_run_all(job *self, pcl_load *load)
{
    const pcl_plan *plan = self->plan;
    bool good = true;
    for (uint32_t round = 0; round < plan->rounds; round++) {
        self->progress.round = round + 1;
        for (uint32_t turn = 0; turn < plan->strategy_count && good && !s_is_stopped(); turn++) {
            good = s_run(self, load, (round + turn) % plan->strategy_count);
        }
    }
    return good;
}

/* ---- what is written ---------------------------------------------------------------------- */

static bool s_is_stdout(const char *file)
{
    return file != NULL && strcmp(file, "-") == 0;
}

static bool s_write_all(const job *self, bool interrupted)
{
    const pcl_plan *plan = self->plan;
    bool good = true;
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    if (plan->json != NULL) {
        pcl_report_json(plan, self->rows, interrupted, &text);
        good = pcl_bench_write(plan->json, &text);
    }
    if (plan->csv != NULL) {
        pcl_buffer_clear(&text);
        pcl_report_csv(plan, self->rows, &text);
        good = pcl_bench_write(plan->csv, &text) && good;
    }
    pcl_buffer_clear(&text);
    pcl_report_text(plan, self->rows, interrupted, &text);
    if (plan->text != NULL) {
        good = pcl_bench_write(plan->text, &text) && good;
    }
    if (!s_is_stdout(plan->json) && !s_is_stdout(plan->csv) && !s_is_stdout(plan->text)) {
        good = pcl_bench_write("-", &text) && good;
    }
    pcl_buffer_release(&text);
    return good;
}

static int s_report(const job *self)
{
    bool interrupted = s_is_stopped();
    bool good = s_write_all(self, interrupted);
    bool doubt = false;
    bool measured = false;
    char reason[PCL_CLI_PROBLEM_SIZE];
    for (uint32_t index = 0; index < self->plan->strategy_count; index++) {
        const pcl_tally *total = &self->rows[index].total;
        doubt = pcl_tally_doubt(total, reason, sizeof reason) || doubt;
        measured = measured || total->ok_us.count > 0;
    }
    return interrupted          ? PCL_BENCH_EXIT_INTERRUPTED
           : !good || !measured ? PCL_BENCH_EXIT_FAILED
           : doubt              ? PCL_BENCH_EXIT_DOUBT
                                : PCL_BENCH_EXIT_OK;
}

static int s_measure(job *self)
{
    char error[1024] = "out of memory";
    const pcl_plan *plan = self->plan;
    pcl_load_hooks hooks = {.stop = s_is_stopped, .context = self};
    if (self->terminal) {
        hooks.progress = s_show_bar;
    }
    self->rows = calloc(plan->strategy_count, sizeof *self->rows);
    pcl_load *load = self->rows != NULL ? pcl_load_open(plan, hooks, error, sizeof error) : NULL;
    if (load == NULL) {
        (void)fprintf(stderr, "portcullis-bench: %s\n", error);
        free(self->rows);
        return PCL_BENCH_EXIT_CONFIG;
    }
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        self->rows[index].strategy = plan->strategies[index];
    }
    bool good = s_run_all(self, load);
    if (self->terminal) {
        (void)fputs("\r\033[K", stderr);
    }
    if (!good) {
        (void)fprintf(stderr, "portcullis-bench: out of memory\n");
    }
    pcl_load_close(&load);
    int code = s_report(self);
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        pcl_report_row_release(&self->rows[index]);
    }
    free(self->rows);
    return good ? code : PCL_BENCH_EXIT_FAILED;
}

/* Can it be written?  Asked before anything is measured. */
static bool s_can_write(const char *option, const char *file, char *problem)
{
    if (file == NULL || s_is_stdout(file)) {
        return true;
    }
    FILE *out = fopen(file, "ae");
    if (out == NULL) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s: cannot write %.100s: %s", option, file,
                       strerror(errno));
        return false;
    }
    (void)fclose(out); /* nothing was written */
    return true;
}

static void s_set_started(pcl_plan *plan)
{
    time_t now = (time_t)(pcl_wall_us() / PCL_US_PER_S);
    struct tm parts;
    if (gmtime_r(&now, &parts) != NULL) {
        (void)strftime(plan->started, sizeof plan->started, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
}

static int s_measure_plan(const pcl_plan *plan)
{
    job self = {.plan = plan,
                .start_us = pcl_now_us(),
                .terminal = !plan->quiet && isatty(STDERR_FILENO),
                .columns = s_columns(),
                .progress = {.rounds = plan->rounds,
                             .runs = plan->rounds * plan->strategy_count,
                             .run_us = plan->warmup_us + plan->time_us}};
    s_catch_signals();
    return s_measure(&self);
}

int pcl_bench_measure(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    pcl_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL) {
        (void)fprintf(stderr, "portcullis-bench: out of memory\n");
        return PCL_BENCH_EXIT_FAILED;
    }
    bool good = pcl_plan_read(plan, line, problem) && s_can_write("json", plan->json, problem) &&
                s_can_write("csv", plan->csv, problem) && s_can_write("text", plan->text, problem);
    if (good) {
        s_set_started(plan);
    }
    int code = good ? s_measure_plan(plan) : pcl_bench_usage(line, problem);
    pcl_plan_release(plan);
    free(plan);
    return code;
}
