/* measure.h - the rounds of a measurement, and what is written of them. */
#ifndef PCL_BENCH_MEASURE_H
#define PCL_BENCH_MEASURE_H

#include "client/command/cli.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>

/* The commands point, range, mixed, txn, sql and file.  Exit code. */
int pcl_bench_measure(const pcl_cli_line *line);

/* file "-": standard output.  false: it has been said why. */
bool pcl_bench_write(const char *file, const pcl_buffer *text) PCL_MUST_CHECK;

#endif
