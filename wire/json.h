/* json.h - msgpack as JSON text.  Pure.
 *
 * bin and ext become "0x..." in hexadecimal; infinite and undefined floats become null; integers
 * are written whole, also those over 2^53.
 */
#ifndef PCL_WIRE_JSON_H
#define PCL_WIRE_JSON_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "wire/mp.h"

#include <stdbool.h>

/* Appends one value.  false, and what was appended is no JSON: octets would not pass pcl_mp_check,
 * or the buffer is full. */
bool pcl_json_put(pcl_buffer *buffer, pcl_bytes octets) PCL_MUST_CHECK;

/* Appends the text in quotes, with what JSON wants escaped. */
void pcl_json_put_text(pcl_buffer *buffer, pcl_bytes text);
/* Appends "0x0a" (with quotes, when quoted). */
void pcl_json_put_hex(pcl_buffer *buffer, pcl_bytes octets, bool quoted);
/* The shortest decimal that reads back as the same value; of single precision when single.  null
 * where JSON has no number for it. */
void pcl_json_put_double(pcl_buffer *buffer, double value, bool single);
void pcl_json_put_uint(pcl_buffer *buffer, uint64_t value);
void pcl_json_put_int(pcl_buffer *buffer, int64_t value);

#endif
