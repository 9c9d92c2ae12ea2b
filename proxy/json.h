/* json.h - msgpack as JSON, for the pages that people and dashboards read.
 * Pure. */
#ifndef PCL_PROXY_JSON_H
#define PCL_PROXY_JSON_H

#include "common/buffer.h"
#include "common/bytes.h"

#include <stdbool.h>

/* Appends source, one well-formed msgpack value, as JSON text.  Octets (bin,
 * ext) become hexadecimal text.  false, with a part of it written, when source
 * is not well formed, nested deeper than 16, or target is full. */
bool pcl_json_from_msgpack(pcl_bytes source, pcl_buffer *target);

#endif
