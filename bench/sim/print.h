/* print.h - tables as text, and as comma-separated values. */
#ifndef PCL_BENCH_SIM_PRINT_H
#define PCL_BENCH_SIM_PRINT_H

#include "bench/sim/table.h"

#include <stdio.h>

/* Medians over seeds, or their ratio to the oracle with geometric means. */
void sim_print_table(FILE *out, const sim_runs *runs);

void sim_print_csv_head(FILE *out);

/* A line for each scenario, policy and figure: median, quartiles, published. */
void sim_print_csv(FILE *out, const sim_runs *runs);

#endif
