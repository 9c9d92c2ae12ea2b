/* ticket_table.h - requests in flight, found by ticket and by deadline.
 *
 * A ticket is the 8-octet number under which a hop remembers a request while
 * the next hop has it: a slot index in the low half, the slot's generation in
 * the high half.  A reply's ticket is found in O(1), and the ticket of a
 * request that is no longer there is recognised as stale.  Generations start
 * from a seed, so tickets of an earlier process do not fit either.
 *
 * Entries are of the caller's size, zeroed when added, and stay where they are
 * until removed.  Deadlines stand in a binary heap: add, remove and
 * set_deadline are O(log n).  No call but _new allocates.
 */
#ifndef PCL_COMMON_TICKET_TABLE_H
#define PCL_COMMON_TICKET_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct pcl_ticket_table pcl_ticket_table;

/* capacity: 1 to PCL_INFLIGHT_MAX entries of entry_size octets each.  NULL
 * only when memory is out. */
pcl_ticket_table *pcl_ticket_table_new(uint32_t capacity, size_t entry_size, uint64_t seed);
void pcl_ticket_table_destroy(pcl_ticket_table **self_p);

/* A zeroed entry, or NULL when the table is full.  A ticket is never 0. */
void *pcl_ticket_table_add(pcl_ticket_table *self, uint64_t deadline_us, uint64_t *out_ticket);

/* NULL when the ticket is stale or made up. */
void *pcl_ticket_table_find(const pcl_ticket_table *self, uint64_t ticket);

/* ticket must be in the table. */
void pcl_ticket_table_remove(pcl_ticket_table *self, uint64_t ticket);
void pcl_ticket_table_set_deadline(pcl_ticket_table *self, uint64_t ticket, uint64_t deadline_us);

/* The entry with the earliest deadline if that is <= now_us, else NULL. */
void *pcl_ticket_table_due(const pcl_ticket_table *self, uint64_t now_us, uint64_t *out_ticket);

/* The earliest deadline; UINT64_MAX when the table is empty. */
uint64_t pcl_ticket_table_next_deadline_us(const pcl_ticket_table *self);

uint32_t pcl_ticket_table_count(const pcl_ticket_table *self);
uint32_t pcl_ticket_table_capacity(const pcl_ticket_table *self);

/* Walks all entries in no particular order: start with *cursor 0, stop at
 * NULL.  Removing the entry just returned is allowed, adding is not. */
void *pcl_ticket_table_each(const pcl_ticket_table *self, uint32_t *cursor, uint64_t *out_ticket);

#endif
