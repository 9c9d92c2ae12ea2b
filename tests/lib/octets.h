/* octets.h - octets written as hex, for tests. */
#ifndef PCL_TESTS_OCTETS_H
#define PCL_TESTS_OCTETS_H

#include "common/bytes.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static inline int pcl_hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

/* "81 a1 76 01" into target; anything between pairs of digits is passed over. */
static inline pcl_bytes pcl_octets_of(const char *hex, uint8_t *target, size_t target_size)
{
    size_t size = 0;
    for (; *hex != '\0'; hex++) {
        if (pcl_hex_digit(hex[0]) >= 0 && pcl_hex_digit(hex[1]) >= 0) {
            assert(size < target_size);
            target[size++] = (uint8_t)(pcl_hex_digit(hex[0]) * 16 + pcl_hex_digit(hex[1]));
            hex++;
        }
    }
    return pcl_bytes_of(target, size);
}

#endif
