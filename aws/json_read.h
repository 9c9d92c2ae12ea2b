/* json_read.h - just enough JSON (RFC 8259) to read what a service answers.  Pure.
 *
 * Nothing is built: values are runs of the text itself, and each function is total, so any octets
 * are a safe input.  Objects and arrays may stand in each other PCL_JSON_DEPTH_MAX deep.
 */
#ifndef PCL_AWS_JSON_READ_H
#define PCL_AWS_JSON_READ_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>

#define PCL_JSON_DEPTH_MAX 16u

/* Whether the text is one object, with blanks around it at most, and valid to its end. */
bool pcl_json_is_object(pcl_bytes text) PCL_MUST_CHECK;

/* Walks an object's members: start with *cursor NULL.  The key comes with its quotes, the value as
 * it stands; both are borrowed from object.  false: the end, or what follows is not valid. */
bool pcl_json_each(pcl_bytes object, const uint8_t **cursor, pcl_bytes *out_key,
                   pcl_bytes *out_value) PCL_MUST_CHECK;

/* The first member of that name, which needs no escapes.  false: there is none. */
bool pcl_json_find(pcl_bytes object, const char *name, pcl_bytes *out_value) PCL_MUST_CHECK;

/* Appends what a string stands for, in UTF-8.  false: the value is no string, is not UTF-8, or the
 * buffer is full; what was appended then is not to be used. */
bool pcl_json_text(pcl_bytes value, pcl_buffer *target) PCL_MUST_CHECK;

/* The member as a NUL-terminated text.  false: none, no string, with a NUL or another control
 * character in it, or too long; target is untouched. */
bool pcl_json_find_text(pcl_bytes object, const char *name, char *target,
                        size_t target_size) PCL_MUST_CHECK;

#endif
