/* hash.h - a keyed hash of a text (SipHash with one and three rounds): who does
 * not know the key cannot make texts that collide. */
#ifndef PCL_SQL_HASH_H
#define PCL_SQL_HASH_H

#include "common/bytes.h"

#include <stdint.h>

typedef struct pcl_sql_hash_key {
    uint64_t low;
    uint64_t high;
} pcl_sql_hash_key;

pcl_sql_hash_key pcl_sql_hash_key_of(uint64_t seed);

uint64_t pcl_sql_hash(pcl_sql_hash_key key, pcl_bytes text);

#endif
