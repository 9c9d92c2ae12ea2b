/* pattern.h - names against the patterns of a role's `schemas`.  Pure. */
#ifndef PCL_POLICY_PATTERN_H
#define PCL_POLICY_PATTERN_H

#include "common/bytes.h"

#include <stdbool.h>

/* The next of the blank-separated patterns; *cursor moves behind it.  Empty at the end. */
pcl_bytes pcl_pattern_next(const char **cursor);

/* NULL, or what is wrong with it. */
const char *pcl_pattern_check(pcl_bytes pattern);

/* As LIKE does: % stands for any octets, _ for one character, \ takes their meaning away.  Case
 * counts. */
bool pcl_pattern_covers(pcl_bytes pattern, pcl_bytes name);

#endif
