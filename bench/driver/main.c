/* portcullis-bench - compares strategies on a running cluster.  Wiring only: the tables of its
 * commands, and the rounds. */
#include "bench/driver/bench.h"
#include "bench/driver/fill.h"
#include "bench/driver/load.h"
#include "bench/driver/plan.h"
#include "bench/driver/report.h"
#include "client/portcullis.h"
#include "common/buffer.h"
#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const pcl_cli s_cli;
static atomic_bool s_stopped; /* set by a signal, read by all threads; free of locks */

#define LOAD_OPTIONS                                                                               \
    {"strategies", 's', "NAMES", NULL,                                                             \
     "Strategies to compare, with commas between them; default is the cluster's own, and the one " \
     "that is measured when none is named."},                                                      \
        {"rate", 'r', "NUMBER", NULL,                                                              \
         "Requests a second, whatever comes back (an open loop); 100 when it is not given."},      \
        {"arrivals", 'a', "KIND", "poisson|fixed",                                                 \
         "How requests follow each other: by chance, as those of many clients do, or at even "     \
         "distances. poisson when it is not given."},                                              \
        {"clients", 'c', "NUMBER", NULL,                                                           \
         "Instead of a rate: so many clients, each of which sends its next request when it has "   \
         "the answer (a closed loop). It asks less of a cluster that is slow, so its latencies "   \
         "look better than what users at a rate would see."},                                      \
        {"time", 't', "SECONDS", NULL, "How long a round measures; 10 when it is not given."},     \
        {"warmup", 'w', "SECONDS", NULL,                                                           \
         "How long a round runs before it measures; 1 when it is not given."},                     \
        {"rounds", 'n', "NUMBER", NULL,                                                            \
         "How often each strategy has its turn; 1 when it is not given. In each round all have "   \
         "theirs, one after the other, so that what the machine does meanwhile hits all."},        \
        {"timeout", 'T', "MS", NULL,                                                               \
         "How long an answer may take, in milliseconds; 5000 when it is not given."},              \
        {"max-lag", 0, "MS", NULL, "Reads may be at most so many milliseconds behind."},           \
        {"connections", 0, "NUMBER", NULL,                                                         \
         "Over how many connections the clients are spread; 1 when it is not given."},             \
        {"inflight-max", 0, "NUMBER", NULL,                                                        \
         "How many requests may be under way at the same time; 100000 when it is not given."},     \
        {"seed", 0, "NUMBER", NULL,                                                                \
         "Of times and values; 1 when it is not given. In one round each strategy gets the "       \
         "same."},                                                                                 \
    {                                                                                              \
        "json", 'j', "FILE", NULL, "Writes all that was measured as JSON; - is standard output."   \
    }

#define TABLE_OPTIONS                                                                              \
    {"db", 'd', "NAME", NULL, "The table's schema; demo when it is not given."},                   \
        {"table", 0, "NAME", NULL, "The table; bench_rows when it is not given."},                 \
    {                                                                                              \
        "rows", 0, "NUMBER", NULL, "How many rows it has; 10000 when it is not given."             \
    }

static const pcl_cli_option s_common_options[] = {
    {"bundle", 'b', "FILE", NULL, "The cluster's addresses and this client's keys."},
    {"help", 'h', NULL, NULL, "Tells what there is to know, and exits."},
    {"version", 'V', NULL, NULL, "Prints the version, and exits."},
};

static const pcl_cli_option s_point_options[] = {LOAD_OPTIONS, TABLE_OPTIONS};
static const pcl_cli_option s_range_options[] = {
    LOAD_OPTIONS,
    TABLE_OPTIONS,
    {"span", 0, "ROWS", NULL, "How many rows each reads; 100 when it is not given."},
};
static const pcl_cli_option s_sql_options[] = {
    LOAD_OPTIONS,
    {"db", 'd', "NAME", NULL, "The default schema."},
    {"param", 'p', "RULE", NULL,
     "A value for the next ?, drawn anew for each request. int:1..1000 is a whole number and "
     "real:0.5..2 a floating-point one, each as likely; exp:0.005 is exponential with this mean, "
     "text:40 so many letters and digits."},
};
static const pcl_cli_option s_fill_options[] = {TABLE_OPTIONS};
static const pcl_cli_option s_help_options[] = {
    {"man", 0, NULL, NULL, "Prints the manual page of the program, for man(1) to show."},
};

/* ---- measuring ---------------------------------------------------------------------------- */

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

typedef struct progress {
    const char *strategy;
    uint32_t round; /* from 1 */
    uint32_t rounds;
} progress;

static void s_show_progress(void *context, const pcl_tally *tally, uint64_t gone_us)
{
    const progress *now = context;
    (void)fprintf(
        stderr,
        "\r\033[Kround %" PRIu32 "/%" PRIu32 "  %s  %.0f s  %.0f/s  p50 %.2f  p99 %.2f ms"
        "  failed %" PRIu64,
        now->round, now->rounds, now->strategy, (double)gone_us / 1e6, pcl_tally_throughput(tally),
        (double)pcl_histogram_at(&tally->all_us, 0.5) / 1000.0,
        (double)pcl_histogram_at(&tally->all_us, 0.99) / 1000.0, pcl_tally_failures(tally));
}

/* The turns of one round, which begin with another strategy in each.  false: memory is out. */
static bool s_round(pcl_load *load, const pcl_plan *plan, progress *now, pcl_report_row *rows)
{
    bool good = true;
    pcl_tally *tally = malloc(sizeof *tally);
    for (uint32_t turn = 0; turn < plan->strategy_count && good && !s_is_stopped(); turn++) {
        uint32_t index = (now->round - 1 + turn) % plan->strategy_count;
        now->strategy = plan->strategies[index];
        good = tally != NULL;
        if (good) {
            memset(tally, 0, sizeof *tally);
            good = pcl_load_run(load, pcl_plan_strategy(plan, index), plan->seed + now->round,
                                tally);
        }
        if (good) {
            pcl_report_add(&rows[index], tally);
        }
    }
    free(tally);
    return good && tally != NULL;
}

/* false: it has been said why. */
static bool s_write(const char *file, const pcl_buffer *text)
{
    bool to_stdout = strcmp(file, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(file, "we");
    bool good = out != NULL && !text->failed &&
                fwrite(text->data, 1, text->size, out) == text->size && fflush(out) == 0;
    if (!good) {
        (void)fprintf(stderr, "portcullis-bench: cannot write %s: %s\n", file,
                      text->failed ? "out of memory" : strerror(errno));
    }
    if (out != NULL && !to_stdout) {
        (void)fclose(out);
    }
    return good;
}

static int s_report(const pcl_plan *plan, const pcl_report_row *rows)
{
    bool interrupted = s_is_stopped();
    bool json_only = plan->json != NULL && strcmp(plan->json, "-") == 0;
    bool good = true;
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    if (plan->json != NULL) {
        pcl_report_json(plan, rows, interrupted, &text);
        good = s_write(plan->json, &text);
        pcl_buffer_clear(&text);
    }
    if (!json_only) {
        pcl_report_text(plan, rows, interrupted, &text);
        good = s_write("-", &text) && good;
    }
    pcl_buffer_release(&text);
    bool doubt = false;
    bool measured = false;
    char reason[PCL_CLI_PROBLEM_SIZE];
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        doubt = pcl_tally_doubt(&rows[index].total, reason, sizeof reason) || doubt;
        measured = measured || rows[index].total.ok_us.count > 0;
    }
    return interrupted          ? PCL_BENCH_EXIT_INTERRUPTED
           : !good || !measured ? PCL_BENCH_EXIT_FAILED
           : doubt              ? PCL_BENCH_EXIT_DOUBT
                                : PCL_BENCH_EXIT_OK;
}

static int s_measure(const pcl_plan *plan)
{
    char error[1024];
    progress now = {.rounds = plan->rounds};
    pcl_load_hooks hooks = {.stop = s_is_stopped, .context = &now};
    if (isatty(STDERR_FILENO)) {
        hooks.progress = s_show_progress;
    }
    pcl_report_row *rows = calloc(plan->strategy_count, sizeof *rows);
    pcl_load *load = rows != NULL ? pcl_load_open(plan, hooks, error, sizeof error) : NULL;
    if (load == NULL) {
        (void)fprintf(stderr, "portcullis-bench: %s\n", rows != NULL ? error : "out of memory");
        free(rows);
        return PCL_BENCH_EXIT_CONFIG;
    }
    for (uint32_t index = 0; index < plan->strategy_count; index++) {
        rows[index].strategy = plan->strategies[index];
    }
    bool good = true;
    for (now.round = 1; now.round <= plan->rounds && good && !s_is_stopped(); now.round++) {
        good = s_round(load, plan, &now, rows);
    }
    if (hooks.progress != NULL) {
        (void)fputs("\r\033[K", stderr);
    }
    if (!good) {
        (void)fprintf(stderr, "portcullis-bench: out of memory\n");
    }
    pcl_load_close(&load);
    int code = s_report(plan, rows);
    free(rows);
    return good ? code : PCL_BENCH_EXIT_FAILED;
}

static int s_run_workload(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    pcl_plan plan;
    if (!pcl_plan_read(&plan, line, problem)) {
        return pcl_bench_usage(line, problem);
    }
    if (plan.json != NULL && strcmp(plan.json, "-") != 0) { /* before anything is measured */
        FILE *file = fopen(plan.json, "ae");
        if (file == NULL) {
            (void)snprintf(problem, sizeof problem, "--json: cannot write %.100s: %s", plan.json,
                           strerror(errno));
            return pcl_bench_usage(line, problem);
        }
        (void)fclose(file);
    }
    s_catch_signals();
    return s_measure(&plan);
}

/* ---- the command line ---------------------------------------------------------------------- */

int pcl_bench_usage(const pcl_cli_line *line, const char *problem)
{
    const char *command = line->command != NULL ? line->command->name : "";
    const char *gap = command[0] != '\0' ? " " : "";
    (void)fprintf(stderr, "portcullis-bench%s%s: %s (portcullis-bench%s%s --help tells more)\n",
                  gap, command, problem, gap, command);
    return PCL_BENCH_EXIT_USAGE;
}

static int s_print(const pcl_buffer *text)
{
    return s_write("-", text) ? PCL_BENCH_EXIT_OK : PCL_BENCH_EXIT_FAILED;
}

static int s_help(const pcl_cli_line *line)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    int code = pcl_cli_help_on(&s_cli, line, &text)
                   ? s_print(&text)
                   : pcl_bench_usage(line, "there is no such command");
    pcl_buffer_release(&text);
    return code;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const pcl_cli_command s_commands[] = {
    {"point", "", NULL, 0, "measures point selects, reads of one row each",
     "Reads one row by its key, each key as likely. `portcullis-bench fill` makes the table.",
     s_point_options, COUNT(s_point_options),
     "portcullis-bench point --rate 2000 --strategies random,least-inflight,custom "
     "--rounds 5 --json result.json\n"
     "# 64 clients that wait for their answers\n"
     "portcullis-bench point --clients 64\n",
     s_run_workload},
    {"range", "", NULL, 0, "measures reads of many rows each",
     "Reads rows that follow each other, from a key on that is drawn anew for each request.",
     s_range_options, COUNT(s_range_options),
     "portcullis-bench range --span 100 --rate 200 --strategies random,custom\n", s_run_workload},
    {"sql", "SQL", NULL, 1, "measures a statement of your own",
     "Sends the statement again and again, with values for its ? drawn anew for each request.\n\n"
     "A statement that only waits, as the second example, measures the cluster and its routing "
     "where databases, cluster and driver share few processors.",
     s_sql_options, COUNT(s_sql_options),
     "portcullis-bench sql 'SELECT name FROM customers WHERE id = ?' -d demo -p int:1..1000 -r "
     "500\n"
     "portcullis-bench sql 'SELECT SLEEP(?)' -p exp:0.005 -r 400 -s random,custom\n",
     s_run_workload},
    {"fill", "", NULL, 0, "makes the table that point and range read",
     "Drops the table, makes it anew and fills it, through the cluster.", s_fill_options,
     COUNT(s_fill_options), "portcullis-bench fill --rows 100000\n", pcl_bench_fill},
    {"help", "[COMMAND]", "point|range|sql|fill", 1, "tells more of a command",
     "Tells what a command does, with its options and examples; without one, what there is.",
     s_help_options, COUNT(s_help_options),
     "portcullis-bench help sql\nportcullis-bench help --man | man -l -\n", s_help},
};

static const pcl_cli s_cli = {
    .program = "portcullis-bench",
    .summary = "compares how a cluster's strategies choose nodes",
    .description =
        "Sends statements to a running Portcullis cluster at a rate, strategy after strategy in "
        "interleaved rounds, and prints for each the latencies, failures, retries and the share of "
        "every node.\n\n"
        "A latency runs from when the request was due, not from when it could be sent, so nothing "
        "is hidden by a driver or a cluster that falls behind. A request that fails counts as "
        "having taken its whole timeout. How late requests were sent is measured and printed; "
        "where it is so much that the numbers are not to be believed, or the machine had no "
        "processor time left, that is said, and the exit code is 3.\n\n"
        "Ctrl-C ends it and prints what was measured until then.",
    .options = s_common_options,
    .option_count = COUNT(s_common_options),
    .commands = s_commands,
    .command_count = COUNT(s_commands),
    .examples = "portcullis-bench fill\n"
                "portcullis-bench point --rate 500 --strategies random,custom --rounds 3\n",
    .exits = " 0  measured\n"
             " 1  nothing could be measured, or the results could not be written\n"
             " 3  measured, but not to be believed; it says why\n"
             "64  the command line is wrong\n"
             "78  the bundle is missing or wrong, or the cluster did not answer\n"
             "130 it was interrupted (Ctrl-C); what was measured is printed\n",
    .files = "$PORTCULLIS_BUNDLE\n"
             "./var/client.bundle\n"
             "~/.config/portcullis/client.bundle\n"
             "/etc/portcullis/client.bundle\n",
};

static int s_run(const pcl_cli_line *line)
{
    if (pcl_cli_has(line, "version")) {
        (void)printf("portcullis-bench %s\n", portcullis_version());
        return PCL_BENCH_EXIT_OK;
    }
    if (pcl_cli_has(line, "help")) {
        pcl_buffer text;
        pcl_buffer_init(&text, SIZE_MAX);
        pcl_cli_help(&s_cli, line->command, &text);
        int code = s_print(&text);
        pcl_buffer_release(&text);
        return code;
    }
    if (line->command == NULL) {
        return pcl_bench_usage(line, "name a command: point, range, sql, fill, help");
    }
    return line->command->run(line);
}

int main(int argc, char **argv)
{
    pcl_cli_line line;
    char problem[PCL_CLI_PROBLEM_SIZE];
    bool good = pcl_cli_parse(&line, &s_cli, argc > 0 ? argc - 1 : 0,
                              (const char *const *)(argv + (argc > 0 ? 1 : 0)), problem);
    int code = good ? s_run(&line) : pcl_bench_usage(&line, problem);
    pcl_cli_release(&line);
    return code;
}
