/* buffer.h - a growing run of octets with a bound.
 *
 * A write that would pass size_max, or for which there is no memory, writes
 * nothing and makes the buffer `failed`; so a long encoding is checked once,
 * at its end.  A failed buffer stays failed until it is cleared.
 */
#ifndef PCL_COMMON_BUFFER_H
#define PCL_COMMON_BUFFER_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pcl_buffer {
    uint8_t *data;      /* owned; NULL before the first write */
    size_t size;        /* octets written */
    size_t capacity;    /* octets allocated, size_max at most */
    size_t size_max;    /* no write passes it; never 0 */
    bool failed;        /* a write was refused since the last clear */
    bool out_of_memory; /* ... because of memory, not of size_max */
} pcl_buffer;

/* size_max must not be 0.  Allocates nothing yet. */
void pcl_buffer_init(pcl_buffer *self, size_t size_max);

/* Frees the octets; the buffer may be initialised again. */
void pcl_buffer_release(pcl_buffer *self);

/* Empty and not failed again; keeps the memory. */
void pcl_buffer_clear(pcl_buffer *self);

/* For pcl_buffer_extend: grows it first, or fails. */
uint8_t *pcl_buffer_extend_more(pcl_buffer *self, size_t size);

/* size more octets, not 0, for the caller to write at once; NULL: the buffer is failed.  Encodings
 * are made of many small writes, so that this is where a caller is. */
static inline uint8_t *pcl_buffer_extend(pcl_buffer *self, size_t size)
{
    if (self->failed || size > self->capacity - self->size) {
        return pcl_buffer_extend_more(self, size);
    }
    uint8_t *place = self->data + self->size;
    self->size += size;
    return place;
}

void pcl_buffer_put(pcl_buffer *self, const void *data, size_t size);

static inline void pcl_buffer_put_u8(pcl_buffer *self, uint8_t value)
{
    uint8_t *place = pcl_buffer_extend(self, 1);
    if (place != NULL) {
        *place = value;
    }
}

/* Shortens to size, which must not be over the present size: undoes an
 * encoding that turned out not to fit.  Leaves failed as it is. */
void pcl_buffer_truncate(pcl_buffer *self, size_t size);

/* Gives the octets to the caller, who frees them with free(), and leaves the
 * buffer empty.  NULL when it is empty. */
uint8_t *pcl_buffer_take(pcl_buffer *self, size_t *out_size);

/* Borrowed until the next write, clear or release. */
static inline pcl_bytes pcl_buffer_bytes(const pcl_buffer *self)
{
    return pcl_bytes_of(self->data, self->size);
}

#endif
