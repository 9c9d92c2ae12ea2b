/* ascii.h - letters without a locale. */
#ifndef PCL_SQL_ASCII_H
#define PCL_SQL_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint8_t pcl_sql_ascii_lower(uint8_t octet)
{
    return (uint8_t)(octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet);
}

/* Whether `size` octets at text spell `lower`, which has as many and is in
 * lower case. */
static inline bool pcl_sql_ascii_is(const uint8_t *text, const char *lower, size_t size)
{
    for (size_t index = 0; index < size; index++) {
        if (pcl_sql_ascii_lower(text[index]) != (uint8_t)lower[index]) {
            return false;
        }
    }
    return true;
}

#endif
