/* statement_cache.h - which prepared statement stands for a text: least
 * recently used, bounded, by schema, SQL text and the parameters' types.
 *
 * The cache keeps handles for its owner and never looks into them; whatever
 * leaves it is handed back to be closed.  Nothing here knows MySQL.
 */
#ifndef PCL_WORKER_AGENT_STATEMENT_CACHE_H
#define PCL_WORKER_AGENT_STATEMENT_CACHE_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* The types are part of it because MySQL settles them when a statement is first
 * executed: one that saw an integer makes 0 of a text that comes later. */
typedef struct pcl_statement_key {
    pcl_bytes db;
    pcl_bytes types; /* one octet a parameter; what they mean is the owner's */
    pcl_bytes sql;
} pcl_statement_key;

/* Longer texts (with their types) are not cached: they seldom come twice, and a cache of them
 * would hold the memory that the bound is there to save. */
#define PCL_STATEMENT_CACHE_TEXT_SIZE_MAX 8192u
#define PCL_STATEMENT_CACHE_CAPACITY_MAX  4096u

typedef struct pcl_statement_cache pcl_statement_cache;

/* capacity: 1 to the maximum above.  Aborts when memory is out: it is start-up. */
pcl_statement_cache *pcl_statement_cache_new(uint32_t capacity);
/* The cache must be empty: its owner has closed what it held. */
void pcl_statement_cache_destroy(pcl_statement_cache **self_p);

/* The handle, which becomes the most recently used; NULL when there is none. */
void *pcl_statement_cache_find(pcl_statement_cache *self, const pcl_statement_key *key);

/* Puts a handle (not NULL) for a key that find just said is not there; the key is copied.
 * false: the text is too long or memory is out, nothing changed and the handle
 * is the caller's.  *out_evicted: what had to go, to be closed; NULL if nothing. */
bool pcl_statement_cache_put(pcl_statement_cache *self, const pcl_statement_key *key, void *handle,
                             void **out_evicted);

/* Takes the handle out; NULL when there is none. */
void *pcl_statement_cache_remove(pcl_statement_cache *self, const pcl_statement_key *key);
/* Takes the least recently used out; NULL when the cache is empty. */
void *pcl_statement_cache_remove_oldest(pcl_statement_cache *self);

uint32_t pcl_statement_cache_count(const pcl_statement_cache *self);

#endif
