/* schemas.h - the patterns of database/schemas.  Pure. */
#ifndef PCL_WORKER_AGENT_SCHEMAS_H
#define PCL_WORKER_AGENT_SCHEMAS_H

#include "common/bytes.h"

#include <stdbool.h>

/* The next of the blank-separated patterns; *cursor moves behind it.  Empty at the end. */
pcl_bytes pcl_schemas_next(const char **cursor);

/* The schema that is not for clients and that a GRANT on the pattern would reach (% stands for any
 * characters, _ for one, \ takes their meaning away); static text, NULL when there is none.
 * In any case: names differ by case on some servers only. */
const char *pcl_schemas_reserved(pcl_bytes pattern);

#endif
