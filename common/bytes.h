/* bytes.h - a borrowed run of octets. */
#ifndef PCL_COMMON_BYTES_H
#define PCL_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed: whoever hands one out says from whom and until when.  Text in one
 * is UTF-8 and not NUL terminated.  data may be NULL where size is 0. */
typedef struct pcl_bytes {
    const uint8_t *data;
    size_t size; /* octets */
} pcl_bytes;

static inline pcl_bytes pcl_bytes_of(const void *data, size_t size)
{
    return (pcl_bytes){.data = data, .size = size};
}

/* The octets of a NUL-terminated text, without the NUL. */
static inline pcl_bytes pcl_bytes_text(const char *text)
{
    return (pcl_bytes){.data = (const uint8_t *)text, .size = strlen(text)};
}

static inline bool pcl_bytes_equal(pcl_bytes a, pcl_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool pcl_bytes_is(pcl_bytes a, const char *text)
{
    return pcl_bytes_equal(a, pcl_bytes_text(text));
}

/* Copies the text, cut where it does not fit, and ends it with NUL; target_size is not 0. */
static inline void pcl_bytes_to_text(pcl_bytes text, char *target, size_t target_size)
{
    size_t size = text.size < target_size ? text.size : target_size - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

#endif
