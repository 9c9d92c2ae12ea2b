/* param.h - a value for a `?`, as it is written on a command line.  Pure.
 *
 *   n:           NULL                          b:0aff     octets, in hexadecimal
 *   i:-42        integer, 64 bits              d:12.50    exact decimal
 *   f:1.5e3      floating point                t:2026-11-22 15:33:30.5
 *   s:any text   text                                     date, time, or both
 *   any text     text, unless it starts with a letter and a colon
 */
#ifndef PCL_CLIENT_PARAM_H
#define PCL_CLIENT_PARAM_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pcl_param_type {
    PCL_PARAM_NULL = 0,
    PCL_PARAM_INT,
    PCL_PARAM_UINT, /* over INT64_MAX */
    PCL_PARAM_DOUBLE,
    PCL_PARAM_TEXT,
    PCL_PARAM_BLOB,
    PCL_PARAM_DECIMAL,
    PCL_PARAM_TEMPORAL,
} pcl_param_type;

typedef struct pcl_param {
    pcl_param_type type;
    int64_t integer;
    uint64_t uinteger;
    double real;
    const char *text;  /* TEXT, DECIMAL, TEMPORAL: borrowed from the argument */
    pcl_buffer octets; /* BLOB: owned */
} pcl_param;

/* false: *out_problem is static text, what it must be ("must be an integer of 64 bits"), and
 * *out_param needs no release. */
bool pcl_param_parse(pcl_param *out_param, const char *argument,
                     const char **out_problem) PCL_MUST_CHECK;
void pcl_param_release(pcl_param *param);

#endif
