/* schemas.h - the patterns of database/schemas.  Pure. */
#ifndef PCL_WORKER_AGENT_SCHEMAS_H
#define PCL_WORKER_AGENT_SCHEMAS_H

#include "common/bytes.h"

#include <stdbool.h>

/* The next of the blank-separated patterns; *cursor moves behind it.  Empty at the end. */
pcl_bytes pcl_schemas_next(const char **cursor);

/* The pattern itself, and not only what it would reach, is one of the blank-separated patterns.
 * folds_case: of ASCII letters. */
bool pcl_schemas_names(const char *patterns, pcl_bytes pattern, bool folds_case);

/* The schema that is not for clients and that a GRANT on the pattern would reach (% stands for any
 * characters, _ for one, \ takes their meaning away); static text, NULL when there is none.
 * In any case: names differ by case on some servers only. */
const char *pcl_schemas_reserved(pcl_bytes pattern);

#endif
