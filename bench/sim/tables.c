#include "bench/sim/table.h"

const sim_table *const SIM_TABLES[] = {&SIM_TABLE_STALE,   &SIM_TABLE_PROXIES, &SIM_TABLE_GRAY,
                                       &SIM_TABLE_LINKERD, &SIM_TABLE_PREQUAL, &SIM_TABLE_FLIPS,
                                       &SIM_TABLE_MATRIX,  &SIM_TABLE_MORE,    NULL};
