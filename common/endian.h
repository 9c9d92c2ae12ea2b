/* endian.h - big-endian integers in octets, for fixed wire layouts. */
#ifndef PCL_COMMON_ENDIAN_H
#define PCL_COMMON_ENDIAN_H

#include <stddef.h>
#include <stdint.h>

/* Of the usual widths; compilers make one instruction of each. */
static inline void pcl_put_be16(uint8_t *target, uint64_t value)
{
    target[0] = (uint8_t)(value >> 8);
    target[1] = (uint8_t)value;
}

static inline void pcl_put_be32(uint8_t *target, uint64_t value)
{
    target[0] = (uint8_t)(value >> 24);
    target[1] = (uint8_t)(value >> 16);
    target[2] = (uint8_t)(value >> 8);
    target[3] = (uint8_t)value;
}

static inline void pcl_put_be64(uint8_t *target, uint64_t value)
{
    target[0] = (uint8_t)(value >> 56);
    target[1] = (uint8_t)(value >> 48);
    target[2] = (uint8_t)(value >> 40);
    target[3] = (uint8_t)(value >> 32);
    target[4] = (uint8_t)(value >> 24);
    target[5] = (uint8_t)(value >> 16);
    target[6] = (uint8_t)(value >> 8);
    target[7] = (uint8_t)value;
}

static inline uint64_t pcl_get_be16(const uint8_t *source)
{
    return (uint64_t)source[0] << 8 | source[1];
}

static inline uint64_t pcl_get_be32(const uint8_t *source)
{
    return (uint64_t)source[0] << 24 | (uint64_t)source[1] << 16 | (uint64_t)source[2] << 8 |
           source[3];
}

static inline uint64_t pcl_get_be64(const uint8_t *source)
{
    return (uint64_t)source[0] << 56 | (uint64_t)source[1] << 48 | (uint64_t)source[2] << 40 |
           (uint64_t)source[3] << 32 | (uint64_t)source[4] << 24 | (uint64_t)source[5] << 16 |
           (uint64_t)source[6] << 8 | source[7];
}

/* Of any width up to 8. */
static inline void pcl_put_be(uint8_t *target, uint64_t value, size_t width)
{
    if (width == 8) {
        pcl_put_be64(target, value);
        return;
    }
    if (width == 4) {
        pcl_put_be32(target, value);
        return;
    }
    if (width == 2) {
        pcl_put_be16(target, value);
        return;
    }
    for (size_t index = 0; index < width; index++) {
        target[index] = (uint8_t)(value >> (8 * (width - 1 - index)));
    }
}

static inline uint64_t pcl_get_be(const uint8_t *source, size_t width)
{
    if (width == 8) {
        return pcl_get_be64(source);
    }
    if (width == 4) {
        return pcl_get_be32(source);
    }
    if (width == 2) {
        return pcl_get_be16(source);
    }
    uint64_t value = 0;
    for (size_t index = 0; index < width; index++) {
        value = (value << 8) | source[index];
    }
    return value;
}

#endif
