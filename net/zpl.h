/* zpl.h - reads ZPL (ZeroMQ RFC 4), the configuration language of CZMQ; pure.
 *
 *   # comment
 *   section
 *       name = value        # up to a comment
 *       other = "value"     # or 'value'; no escapes
 *
 * Indentation is in steps of four spaces.  Names are of [A-Za-z0-9_.$@+&-].
 */
#ifndef PCL_NET_ZPL_H
#define PCL_NET_ZPL_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_ZPL_PATH_SIZE_MAX 255u
#define PCL_ZPL_DEPTH_MAX     8u

typedef struct pcl_zpl {
    pcl_bytes text; /* what is left to read */
    uint32_t line;  /* of the item last returned, from 1 */
    uint32_t depth; /* names in path */
    char path[PCL_ZPL_PATH_SIZE_MAX + 1];
    uint32_t ends[PCL_ZPL_DEPTH_MAX]; /* where in path each name ends */
    bool has_value;                   /* "= ..." stands in the line, else it is a section */
    pcl_bytes value;                  /* borrowed from the text */
    const char *fault;                /* of PCL_ZPL_BAD: static text */
} pcl_zpl;

typedef enum pcl_zpl_result {
    PCL_ZPL_END = 0,
    PCL_ZPL_ITEM, /* path, line, has_value and value are set */
    PCL_ZPL_BAD,  /* line and fault are set; the next line can be read */
} pcl_zpl_result;

/* text is borrowed while it is read. */
void pcl_zpl_start(pcl_zpl *self, pcl_bytes text);
pcl_zpl_result pcl_zpl_next(pcl_zpl *self);

#endif
