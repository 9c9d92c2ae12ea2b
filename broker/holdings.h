/* holdings.h - which sessions and cursors each principal has open, as far as replies told; pure.
 *
 * They live at the agents and are ended there by idleness; this table is for the one case in which
 * the broker has to end them: their principal may not have them any more.  So it is bounded and
 * need not be whole: a full table forgets the oldest.  Memory is taken at _new.  One thread.
 */
#ifndef PCL_BROKER_HOLDINGS_H
#define PCL_BROKER_HOLDINGS_H

#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_HOLDINGS_MAX 1000000u

typedef struct pcl_holdings pcl_holdings;

/* capacity: 1 to PCL_HOLDINGS_MAX; owner_max: owners are numbers below it.  seed: of the hash.
 * NULL only when memory is out. */
pcl_holdings *pcl_holdings_new(uint32_t capacity, uint32_t owner_max, uint64_t seed);
void pcl_holdings_destroy(pcl_holdings **self_p);

/* id is open now; one that is there already stays where it is. */
void pcl_holdings_add(pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE]);
/* It is not any more, on that owner's word; nobody else's is forgotten by it. */
void pcl_holdings_remove(pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE]);
/* Takes out one of the owner's.  false: there is none. */
bool pcl_holdings_take(pcl_holdings *self, uint32_t owner, uint8_t out_id[PCL_ID_SIZE]);

/* Whether that one is the owner's. */
bool pcl_holdings_owns(const pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE]);

uint32_t pcl_holdings_count(const pcl_holdings *self);
/* Whether the owner has any. */
bool pcl_holdings_has(const pcl_holdings *self, uint32_t owner);

#endif
