/* utf8.h - strict UTF-8 (RFC 3629): no overlong form, no surrogate, nothing
 * above U+10FFFF.  NUL is a valid character here. */
#ifndef PCL_WIRE_UTF8_H
#define PCL_WIRE_UTF8_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets of the character that source begins with, 1 to 4; 0 when it begins
 * with none, or source is empty. */
size_t pcl_utf8_width(pcl_bytes source);

bool pcl_utf8_is_valid(pcl_bytes source);

#endif
