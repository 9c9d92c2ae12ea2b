/* values.h - values for the `?` of a statement, drawn anew for each request.  Pure.
 *
 *   int:1..10000   a whole number, each as likely
 *   real:0.5..2    a floating-point number, uniform
 *   exp:0.005      a floating-point number, exponential with this mean
 *   text:40        so many letters and digits
 *   same:1         once more the first whole number that was drawn for this request
 */
#ifndef PCL_BENCH_VALUES_H
#define PCL_BENCH_VALUES_H

#include "common/error.h"
#include "common/rng.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_VALUE_TEXT_SIZE_MAX 1024u

#define PCL_VALUE_SAME_MAX 64u /* how many whole numbers a request keeps */

#define PCL_VALUE_RULE                                                                             \
    "must be int:MIN..MAX, real:MIN..MAX, exp:MEAN, text:SIZE (0-1024) or same:NUMBER (1-64)"

typedef enum pcl_value_kind {
    PCL_VALUE_INT,
    PCL_VALUE_REAL,
    PCL_VALUE_EXP,
    PCL_VALUE_TEXT,
    PCL_VALUE_SAME,
} pcl_value_kind;

typedef struct pcl_value_rule {
    pcl_value_kind kind;
    int64_t int_min; /* INT */
    int64_t int_max;
    double real_min; /* REAL; the mean of EXP */
    double real_max;
    uint32_t size; /* TEXT; which one, of SAME, from 1 */
} pcl_value_rule;

/* false: it is none of these, or the bounds are the wrong way round. */
bool pcl_value_parse(const char *text, pcl_value_rule *out_rule) PCL_MUST_CHECK;

/* Each for rules of its kind (real: REAL and EXP). */
int64_t pcl_value_draw_int(const pcl_value_rule *rule, pcl_rng *rng);
double pcl_value_draw_real(const pcl_value_rule *rule, pcl_rng *rng);
/* Writes rule->size octets, without a NUL. */
void pcl_value_draw_text(const pcl_value_rule *rule, pcl_rng *rng, char *out_text);

#endif
