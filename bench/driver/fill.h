/* fill.h - the table that the workloads use. */
#ifndef PCL_BENCH_FILL_H
#define PCL_BENCH_FILL_H

#include "client/command/cli.h"

/* The command `fill`: makes the table anew, through the cluster.  Exit code. */
int pcl_bench_fill(const pcl_cli_line *line);

#endif
