/* bench.h - what the commands of portcullis-bench share. */
#ifndef PCL_BENCH_BENCH_H
#define PCL_BENCH_BENCH_H

#include "client/command/cli.h"

/* Exit codes: stable, and told by --help. */
typedef enum pcl_bench_exit {
    PCL_BENCH_EXIT_OK = 0,
    PCL_BENCH_EXIT_FAILED = 1,        /* the cluster could not be asked, or nothing was measured */
    PCL_BENCH_EXIT_DOUBT = 3,         /* measured, and not to be believed */
    PCL_BENCH_EXIT_USAGE = 64,        /* EX_USAGE */
    PCL_BENCH_EXIT_CONFIG = 78,       /* EX_CONFIG */
    PCL_BENCH_EXIT_INTERRUPTED = 130, /* as shells have it: 128 and SIGINT */
} pcl_bench_exit;

/* Says what is wrong with the command line; PCL_BENCH_EXIT_USAGE. */
int pcl_bench_usage(const pcl_cli_line *line, const char *problem);

#endif
