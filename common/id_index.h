/* id_index.h - from a 16-octet id to the tickets that have it.
 *
 * Ids are their senders' and need not be unique: an id may stand here with several tickets, each
 * pair once.  Keys are hashed with a seed, so that nobody can choose ids that meet in one chain.
 * Each call is O(1), and no call but _new allocates; find passes those of other ids in its bucket,
 * of which there are few, unless thousands have one of them.
 */
#ifndef PCL_COMMON_ID_INDEX_H
#define PCL_COMMON_ID_INDEX_H

#include "common/limits.h"

#include <stdint.h>

typedef struct pcl_id_index pcl_id_index;

/* capacity: pairs at a time, 1 to PCL_INFLIGHT_MAX.  NULL only when memory is out. */
pcl_id_index *pcl_id_index_new(uint32_t capacity, uint64_t seed);
void pcl_id_index_destroy(pcl_id_index **self_p);

/* The pair must not be there yet, and there must be room. */
void pcl_id_index_add(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket);
/* Does nothing where the pair is not there. */
void pcl_id_index_remove(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket);

/* Walks the tickets of an id in no particular order: start with *cursor 0; 0 is the end.  Nothing
 * may be added or removed meanwhile. */
uint64_t pcl_id_index_find(const pcl_id_index *self, const uint8_t id[PCL_ID_SIZE],
                           uint32_t *cursor);

uint32_t pcl_id_index_count(const pcl_id_index *self);

#endif
