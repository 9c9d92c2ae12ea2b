/* maker.h - makes requests out of what a plan has, with values drawn anew for each.
 *
 * One thread at a time.
 */
#ifndef PCL_BENCH_MAKER_H
#define PCL_BENCH_MAKER_H

#include "bench/driver/plan.h"
#include "client/portcullis.h"

#include <stdint.h>

typedef struct pcl_maker pcl_maker;

/* plan is borrowed.  strategy: as portcullis_request_set_strategy takes it.  Equal seeds, equal
 * requests.  NULL: memory is out. */
pcl_maker *pcl_maker_new(const pcl_plan *plan, const char *strategy, uint64_t seed);
void pcl_maker_destroy(pcl_maker **self_p);

/* The next one, to be sent before this is called again; borrowed.  *out_part: which of the mix's
 * parts it is, set also on failure.  NULL: memory is out, or its values are too large. */
const portcullis_request *pcl_maker_next(pcl_maker *self, uint32_t *out_part);

#endif
