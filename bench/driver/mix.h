/* mix.h - what requests are: statements and transactions, of which one is drawn for each request by
 * its weight.  Pure.
 */
#ifndef PCL_BENCH_MIX_H
#define PCL_BENCH_MIX_H

#include "bench/driver/values.h"
#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_MIX_PARTS_MAX      32u
#define PCL_MIX_STATEMENTS_MAX 512u  /* of all parts */
#define PCL_MIX_PARAMS_MAX     1024u /* of all statements */
#define PCL_MIX_WEIGHT_MAX     1000000u
#define PCL_MIX_NAME_SIZE_MAX  31u
#define PCL_MIX_TEXT_SIZE_MAX  (4u * 1024u * 1024u)
#define PCL_MIX_PROBLEM_SIZE   256u

typedef struct pcl_mix_statement {
    size_t offset; /* in pcl_mix.text */
    size_t size;
    uint32_t param_first; /* in pcl_mix.params */
    uint32_t param_count;
} pcl_mix_statement;

/* A request of this kind. */
typedef struct pcl_mix_part {
    char name[PCL_MIX_NAME_SIZE_MAX + 1u];
    uint32_t weight; /* over 0 */
    bool transaction;
    uint32_t statement_first; /* in pcl_mix.statements */
    uint32_t statement_count; /* 1, unless it is a transaction */
} pcl_mix_part;

typedef struct pcl_mix {
    pcl_buffer text;
    pcl_mix_part parts[PCL_MIX_PARTS_MAX];
    uint32_t part_count;
    uint32_t weights; /* of all parts */
    pcl_mix_statement statements[PCL_MIX_STATEMENTS_MAX];
    uint32_t statement_count;
    pcl_value_rule params[PCL_MIX_PARAMS_MAX];
    uint32_t param_count;
} pcl_mix;

void pcl_mix_init(pcl_mix *self);
void pcl_mix_release(pcl_mix *self);

/* false, of all below: problem (PCL_MIX_PROBLEM_SIZE) says why, and the mix is good for nothing but
 * being released. */

/* A part without statements yet; name: cut where it is too long, and "" is called by its number. */
bool pcl_mix_add_part(pcl_mix *self, const char *name, uint32_t weight, bool transaction,
                      char *problem) PCL_MUST_CHECK;

/* To the part that was added last.  There must be as many rules as the statement has `?`, as far as
 * we can read it. */
bool pcl_mix_add_statement(pcl_mix *self, pcl_bytes sql, const pcl_value_rule *rules,
                           uint32_t rule_count, char *problem) PCL_MUST_CHECK;

/* All of a file, in the form that docs/bench.md shows. */
bool pcl_mix_add_file(pcl_mix *self, pcl_bytes text, char *problem) PCL_MUST_CHECK;

/* The workloads on the table that `fill` makes. */
typedef struct pcl_mix_shape {
    const char *table; /* a name */
    uint32_t rows;
    uint32_t span;   /* rows of a range */
    uint32_t points; /* of a transaction: point selects */
    uint32_t ranges; /* of a transaction: how often each of the four kinds */
    uint32_t writes; /* of a transaction: how often each of the three kinds */
} pcl_mix_shape;

/* kind: "point", "range", "update", "insert" or "txn", which it is also called. */
bool pcl_mix_add_made(pcl_mix *self, const char *kind, uint32_t weight, const pcl_mix_shape *shape,
                      char *problem) PCL_MUST_CHECK;
/* "point:90,update:10". */
bool pcl_mix_add_shares(pcl_mix *self, const char *shares, const pcl_mix_shape *shape,
                        char *problem) PCL_MUST_CHECK;

/* The index of a part.  The mix has one. */
uint32_t pcl_mix_pick(const pcl_mix *self, pcl_rng *rng);

/* Borrowed from the mix. */
pcl_bytes pcl_mix_sql(const pcl_mix *self, uint32_t statement);

/* Does it have one statement alone? */
bool pcl_mix_is_single(const pcl_mix *self);

#endif
