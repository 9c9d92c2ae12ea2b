/* params.h - the parameters of a statement, from msgpack to typed values. */
#ifndef PCL_WORKER_AGENT_PARAMS_H
#define PCL_WORKER_AGENT_PARAMS_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdint.h>

typedef enum pcl_param_type {
    PCL_PARAM_NULL = 0,
    PCL_PARAM_INT,      /* also bool, as MySQL has none: 0 or 1 */
    PCL_PARAM_UINT,     /* over INT64_MAX only */
    PCL_PARAM_DOUBLE,   /* float 32 and 64 */
    PCL_PARAM_TEXT,     /* UTF-8 */
    PCL_PARAM_OCTETS,   /* binary */
    PCL_PARAM_DECIMAL,  /* exact decimal text, syntax checked */
    PCL_PARAM_TEMPORAL, /* text of a date, a time or both, syntax checked */
} pcl_param_type;

typedef struct pcl_param {
    pcl_param_type type;
    union {
        int64_t sint;
        uint64_t uint;
        double real;
    } value;
    pcl_bytes bytes; /* TEXT, OCTETS, DECIMAL, TEMPORAL: borrowed from the array's octets */
} pcl_param;

/* What a server may settle a statement for when it first executes it with this value: the type,
 * and of what reads as a date, a time or both, which of them.  Two values of one kind may share
 * a prepared statement. */
uint8_t pcl_param_kind(const pcl_param *param);

/* Reads the msgpack array (as wire/request.h checked it; empty: no parameters)
 * into params, which has room for count_max.  MALFORMED: *out_index is the
 * parameter at fault and *out_rule, static text, what it must be. */
pcl_err pcl_params_read(pcl_bytes array, pcl_param *params, uint32_t count_max, uint32_t *out_count,
                        uint32_t *out_index, const char **out_rule) PCL_MUST_CHECK;

#endif
