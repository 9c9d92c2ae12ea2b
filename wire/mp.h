/* mp.h - strict msgpack: reading without allocation, writing to a buffer.
 *
 * msgpack-c's unpacker allocates what a header promises (docs/decisions/0001)
 * and keeps the last of two equal keys; a peer's octets therefore go through
 * this reader and no other.  First pcl_mp_check() proves that the octets are
 * exactly one well-formed value within the limits; then pcl_mp_next() walks it
 * and cannot run past the end.  Who reads each value to its end may check as he
 * goes instead (wire/request.c, wire/reply.c).
 *
 * Writing goes through msgpack-c's packer into a pcl_buffer.
 */
#ifndef PCL_WIRE_MP_H
#define PCL_WIRE_MP_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_MP_DEPTH_MAX     32u
#define PCL_MP_KEYS_MAX      256u
#define PCL_MP_KEYS_OPEN_MAX 1024u

typedef enum pcl_mp_type {
    PCL_MP_NIL = 0,
    PCL_MP_BOOL,
    PCL_MP_UINT,  /* any integer >= 0, whichever format it came in */
    PCL_MP_INT,   /* a negative integer */
    PCL_MP_FLOAT, /* float 32 or 64 */
    PCL_MP_STR,   /* valid UTF-8 once checked */
    PCL_MP_BIN,
    PCL_MP_ARRAY, /* count values follow */
    PCL_MP_MAP,   /* count pairs follow */
    PCL_MP_EXT,
} pcl_mp_type;

typedef struct pcl_mp_value {
    pcl_mp_type type;
    bool boolean;    /* BOOL */
    uint64_t uint;   /* UINT */
    int64_t sint;    /* INT; and UINT up to INT64_MAX */
    double real;     /* FLOAT */
    pcl_bytes bytes; /* STR, BIN, EXT: borrowed from the reader's octets */
    int8_t ext_type; /* EXT */
    uint32_t count;  /* ARRAY: values, MAP: pairs */
} pcl_mp_value;

typedef struct pcl_mp_reader {
    const uint8_t *data; /* borrowed */
    size_t size;
    size_t offset; /* of the next head */
} pcl_mp_reader;

/* What is wrong and where; both texts are static. */
typedef struct pcl_mp_fault {
    const char *rule; /* "a string is not valid UTF-8" */
    size_t offset;    /* octet of the head at fault */
} pcl_mp_fault;

/* OK when source is exactly one value: every head whole, every count within
 * the octets that are there, depth <= depth_max (containers; at most
 * PCL_MP_DEPTH_MAX), str valid UTF-8, map keys strings and unique within their
 * map, no octet left over.  MALFORMED otherwise; *out_fault (may be NULL) says
 * why.
 *
 * Any format may carry a value: 1 as int 64 is as good as a fixint, since many
 * encoders have no other; keys are compared by their text, whatever the format.
 *
 * Allocates nothing, does not recurse; O(size) plus O(k^2) for a map of k keys,
 * with k bounded by keys_max (a larger map is a fault), itself at most
 * PCL_MP_KEYS_MAX.  The maps that are open at one place may have
 * PCL_MP_KEYS_OPEN_MAX keys together. */
pcl_err pcl_mp_check(pcl_bytes source, uint32_t depth_max, uint32_t keys_max,
                     pcl_mp_fault *out_fault) PCL_MUST_CHECK;
/* The same, and values_max values at most, those in containers and keys among them: an octet can be
 * one, so that millions of them can come in a message. */
pcl_err pcl_mp_check_within(pcl_bytes source, uint32_t depth_max, uint32_t keys_max,
                            uint32_t values_max, pcl_mp_fault *out_fault) PCL_MUST_CHECK;

pcl_mp_reader pcl_mp_reader_of(pcl_bytes source);

/* Reads one head (a container's elements follow).  false at the end or when the
 * octets do not hold the value; total on any octets. */
bool pcl_mp_next(pcl_mp_reader *self, pcl_mp_value *out_value) PCL_MUST_CHECK;

/* As pcl_mp_next, for a string alone: false, and nothing was read, where the next value is none. */
static inline bool pcl_mp_next_str(pcl_mp_reader *self, pcl_bytes *out_text) PCL_MUST_CHECK;
/* The same where its head is long. */
bool pcl_mp_next_str_long(pcl_mp_reader *self, pcl_bytes *out_text) PCL_MUST_CHECK;

/* Skips one whole value and returns its octets, borrowed; out_octets may be
 * NULL.  false as above, and then nothing was skipped. */
bool pcl_mp_skip(pcl_mp_reader *self, pcl_bytes *out_octets) PCL_MUST_CHECK;
/* The same of a value that has no more than *values_left in it, itself among them, which are taken
 * off; false also where it has more. */
bool pcl_mp_skip_within(pcl_mp_reader *self, uint32_t *values_left,
                        pcl_bytes *out_octets) PCL_MUST_CHECK;

/* The same of octets that pcl_mp_check() has not seen: false also where the value breaks one of its
 * rules. */
bool pcl_mp_skip_checked(pcl_mp_reader *self, uint32_t depth_max, uint32_t keys_max,
                         pcl_bytes *out_octets) PCL_MUST_CHECK;

static inline bool pcl_mp_next_str(pcl_mp_reader *self, pcl_bytes *out_text)
{
    size_t left = self->size - self->offset;
    const uint8_t *at = self->data + self->offset;
    if (left == 0 || (*at & 0xe0) != 0xa0) { /* keys are short */
        return pcl_mp_next_str_long(self, out_text);
    }
    size_t size = *at & 0x1f;
    if (size > left - 1) {
        return false;
    }
    *out_text = pcl_bytes_of(at + 1, size);
    self->offset += size + 1;
    return true;
}

/* Writers: each appends one head or value; failure shows in buffer->failed. */
void pcl_mp_put_nil(pcl_buffer *buffer);
void pcl_mp_put_bool(pcl_buffer *buffer, bool value);
void pcl_mp_put_uint(pcl_buffer *buffer, uint64_t value);
void pcl_mp_put_int(pcl_buffer *buffer, int64_t value);
void pcl_mp_put_double(pcl_buffer *buffer, double value);
void pcl_mp_put_float(pcl_buffer *buffer, float value);
void pcl_mp_put_str(pcl_buffer *buffer, pcl_bytes text);
void pcl_mp_put_bin(pcl_buffer *buffer, pcl_bytes octets);
void pcl_mp_put_ext(pcl_buffer *buffer, int8_t type, pcl_bytes octets);
void pcl_mp_put_array(pcl_buffer *buffer, uint32_t count);
void pcl_mp_put_map(pcl_buffer *buffer, uint32_t count);
/* NUL terminated; of a literal the compiler knows the size. */
static inline void pcl_mp_put_text(pcl_buffer *buffer, const char *text)
{
    pcl_mp_put_str(buffer, pcl_bytes_text(text));
}

/* A value that is msgpack already. */
void pcl_mp_put_raw(pcl_buffer *buffer, pcl_bytes octets);

/* A key and its value, in a map. */
void pcl_mp_pair_text(pcl_buffer *buffer, const char *key, const char *value);
void pcl_mp_pair_uint(pcl_buffer *buffer, const char *key, uint64_t value);
void pcl_mp_pair_bool(pcl_buffer *buffer, const char *key, bool value);
void pcl_mp_pair_double(pcl_buffer *buffer, const char *key, double value);

/* An array head of fixed width (array 32), whose count is filled in later:
 * returns the offset for pcl_mp_patch_array. */
size_t pcl_mp_put_array_later(pcl_buffer *buffer);
void pcl_mp_patch_array(pcl_buffer *buffer, size_t offset, uint32_t count);

#endif
