/* cache.h - verdicts and digests of the texts seen of late.
 *
 * Applications send the same texts over and over: a text that is here costs one
 * hash and one compare.  The whole text is compared, so that no collision can lend
 * a statement another's verdict; the hash is seeded, so that nobody can make them.
 *
 * Memory is taken at _new and never again.  When an entry does not fit, the oldest
 * go; an old one that was asked for since it came in stays a round longer (at most
 * eight such an insertion, which bounds its cost).  A text that alone would need
 * more than an eighth of the octets is judged and not kept, and so is a refused
 * one: nobody sends it often with success, and its rule shall not push out others.
 *
 * One thread.  Everything borrowed is valid until the next call.
 */
#ifndef PCL_SQL_CACHE_H
#define PCL_SQL_CACHE_H

#include "common/bytes.h"
#include "sql/classify.h"
#include "sql/rules.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pcl_sql_cache pcl_sql_cache;

typedef struct pcl_sql_judged {
    pcl_sql_verdict verdict;
    pcl_bytes digest; /* borrowed; empty when the verdict is REFUSED */
    /* What the owner keeps of the digest, 0 until it writes there; NULL: the text is not kept. */
    uint64_t *note; /* borrowed */
} pcl_sql_judged;

typedef struct pcl_sql_cache_counts {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint32_t entries; /* now */
    size_t octets;    /* of texts and digests, now */
} pcl_sql_cache_counts;

/* rules are copied; NULL is the default.  entry_max and octets_max (of texts and
 * digests; at least 4096) must not be 0; about 40 octets an entry come on top.  The
 * seed should be random and not known to clients.  NULL when there is no memory. */
pcl_sql_cache *pcl_sql_cache_new(const pcl_sql_rules *rules, uint32_t entry_max, size_t octets_max,
                                 uint64_t seed);
void pcl_sql_cache_destroy(pcl_sql_cache **self_p);

/* What pcl_sql_classify_by and pcl_sql_digest say of the text. */
pcl_sql_judged pcl_sql_cache_judge(pcl_sql_cache *self, pcl_bytes sql);

/* Forgets all, and judges by these rules from now on (a reload); NULL as above. */
void pcl_sql_cache_reset(pcl_sql_cache *self, const pcl_sql_rules *rules);

pcl_sql_cache_counts pcl_sql_cache_count(const pcl_sql_cache *self);

#endif
