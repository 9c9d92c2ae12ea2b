/* endian.h - big-endian integers in octets, for fixed wire layouts. */
#ifndef PCL_COMMON_ENDIAN_H
#define PCL_COMMON_ENDIAN_H

#include <stddef.h>
#include <stdint.h>

static inline void pcl_put_be(uint8_t *target, uint64_t value, size_t width)
{
    for (size_t index = 0; index < width; index++) {
        target[index] = (uint8_t)(value >> (8 * (width - 1 - index)));
    }
}

static inline uint64_t pcl_get_be(const uint8_t *source, size_t width)
{
    uint64_t value = 0;
    for (size_t index = 0; index < width; index++) {
        value = (value << 8) | source[index];
    }
    return value;
}

#endif
