/* text.h - text in pieces.  Pure. */
#ifndef PCL_BENCH_TEXT_H
#define PCL_BENCH_TEXT_H

#include "common/buffer.h"

/* As printf; cut to 511 octets. */
void pcl_text_put(pcl_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
