/* portcullis-bench - compares strategies on a running cluster.  Wiring only: the tables of its
 * commands. */
#include "bench/driver/bench.h"
#include "bench/driver/fill.h"
#include "bench/driver/measure.h"
#include "client/portcullis.h"
#include "common/buffer.h"

#include <stdint.h>
#include <stdio.h>

static const pcl_cli s_cli;

#define LOAD_OPTIONS                                                                               \
    {"strategies", 's', "NAMES", NULL,                                                             \
     "Strategies to compare, with commas between them, or all; default is the cluster's own, and " \
     "the one that is measured when none is named."},                                              \
        {"rate", 'r', "RATE", NULL,                                                                \
         "Requests a second, whatever comes back (an open loop); 100 when it is not given. "       \
         "100..5000 is a ramp, from one to the other over the time that is measured."},            \
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
        {"label", 'l', "NAME=VALUE", NULL,                                                         \
         "Something to remember of this measurement; may be given several times."},                \
        {"json", 'j', "FILE", NULL,                                                                \
         "Writes all that was measured as JSON; - is standard output, instead of the table."},     \
        {"csv", 0, "FILE", NULL, "Writes a line for each strategy and round, with commas."},       \
        {"text", 0, "FILE", NULL, "Writes the table, besides printing it."},                       \
    {                                                                                              \
        "quiet", 'q', NULL, NULL, "Tells nothing of how it goes."                                  \
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

#define SPAN_OPTION                                                                                \
    {                                                                                              \
        "span", 0, "ROWS", NULL, "How many rows a range reads; 100 when it is not given."          \
    }

#define TXN_OPTIONS                                                                                \
    {"points", 0, "NUMBER", NULL,                                                                  \
     "How many point selects a transaction has; 10 when it is not given."},                        \
        {"ranges", 0, "NUMBER", NULL,                                                              \
         "How often it has each of four ranges: plain, summed up, ordered, distinct; 1 when it "   \
         "is not given."},                                                                         \
    {                                                                                              \
        "writes", 0, "NUMBER", NULL,                                                               \
            "How often it has each of three writes: an update of an indexed column, one of "       \
            "another, and a delete with an insert of the same key; 1 when it is not given."        \
    }

static const pcl_cli_option s_point_options[] = {LOAD_OPTIONS, TABLE_OPTIONS};
static const pcl_cli_option s_range_options[] = {
    LOAD_OPTIONS,
    TABLE_OPTIONS,
    SPAN_OPTION,
};
static const pcl_cli_option s_mixed_options[] = {
    LOAD_OPTIONS,
    TABLE_OPTIONS,
    {"shares", 'm', "SHARES", NULL,
     "What requests are, as point:80,range:5,update:10,insert:4,txn:1; point:90,update:10 when it "
     "is not given."},
    SPAN_OPTION,
    TXN_OPTIONS,
};
static const pcl_cli_option s_txn_options[] = {LOAD_OPTIONS, TABLE_OPTIONS, SPAN_OPTION,
                                               TXN_OPTIONS};
static const pcl_cli_option s_file_options[] = {
    LOAD_OPTIONS,
    {"db", 'd', "NAME", NULL, "The default schema."},
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
    return pcl_bench_write("-", text) ? PCL_BENCH_EXIT_OK : PCL_BENCH_EXIT_FAILED;
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
     pcl_bench_measure},
    {"range", "", NULL, 0, "measures reads of many rows each",
     "Reads rows that follow each other, from a key on that is drawn anew for each request.",
     s_range_options, COUNT(s_range_options),
     "portcullis-bench range --span 100 --rate 200 --strategies random,custom\n",
     pcl_bench_measure},
    {"mixed", "", NULL, 0, "measures reads and writes in stated shares",
     "Each request is one of point, range, update, insert and txn, drawn by its share. What each "
     "took is told, too. An insert makes the table longer; reads stay within --rows.",
     s_mixed_options, COUNT(s_mixed_options),
     "portcullis-bench mixed --shares point:80,range:10,update:10 --rate 500\n"
     "portcullis-bench mixed --clients 64 --json mixed.json\n",
     pcl_bench_measure},
    {"txn", "", NULL, 0, "measures transactions, each in one request",
     "A transaction as that of sysbench's oltp_read_write: point selects, ranges and writes, with "
     "one commit. All of it runs on the source.",
     s_txn_options, COUNT(s_txn_options),
     "portcullis-bench txn --rate 50\n"
     "# writes alone, as oltp_write_only\n"
     "portcullis-bench txn --points 0 --ranges 0 --clients 16\n",
     pcl_bench_measure},
    {"sql", "SQL", NULL, 1, "measures a statement of your own",
     "Sends the statement again and again, with values for its ? drawn anew for each request.\n\n"
     "A statement that only waits, as the second example, measures the cluster and its routing "
     "where databases, cluster and driver share few processors.",
     s_sql_options, COUNT(s_sql_options),
     "portcullis-bench sql 'SELECT name FROM customers WHERE id = ?' -d demo -p int:1..1000 -r "
     "500\n"
     "portcullis-bench sql 'SELECT SLEEP(?)' -p exp:0.005 -r 400 -s random,custom\n",
     pcl_bench_measure},
    {"file", "FILE", "FILE", 1, "measures statements and transactions of a file",
     "Statements end with `;`, and each request is one of them, drawn by its weight. What stands "
     "from BEGIN to COMMIT is one transaction, in one request.\n\n"
     "Lines in front of a statement, or of BEGIN: `-- @weight NUMBER` (1 when it is not given), "
     "`-- @name TEXT`. In front of a statement: `-- @param RULE` for each of its ?, as of "
     "`portcullis-bench sql --param`, and same:1 for the first whole number that was drawn for "
     "the transaction.",
     s_file_options, COUNT(s_file_options),
     "portcullis-bench file shop.sql --db shop --rate 200 --text benchmark_results.txt\n",
     pcl_bench_measure},
    {"fill", "", NULL, 0, "makes the table that the workloads use",
     "Makes the schema if it is not there, drops the table, makes it anew and fills it, through "
     "the cluster.",
     s_fill_options, COUNT(s_fill_options), "portcullis-bench fill --rows 100000\n",
     pcl_bench_fill},
    {"help", "[COMMAND]", "point|range|mixed|txn|sql|file|fill", 1, "tells more of a command",
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
        "is hidden by a driver or a cluster that falls behind. With --clients it runs from when "
        "its client sent it, and what clients that do not wait would have seen is told beside it. "
        "A request that fails counts as "
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
        return pcl_bench_usage(line,
                               "name a command: point, range, mixed, txn, sql, file, fill, help");
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
