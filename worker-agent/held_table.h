/* held_table.h - the sessions and cursors of an agent: found by id, counted
 * against their limits, timed.  Pure: time is passed in, nothing is opened or closed.
 *
 * Those that are ending still have a connection, and are counted beside the open
 * ones: at most as many may be ending as may be open, so a database that does not
 * finish its rollbacks stops what is new, and the number of connections has a bound.
 *
 * Of the last PCL_HELD_ENDED_MAX that ended the table remembers whose they were
 * and why, to tell who asks for them again; as many again of those that ended as
 * they should, which are the most and tell the least.
 */
#ifndef PCL_WORKER_AGENT_HELD_TABLE_H
#define PCL_WORKER_AGENT_HELD_TABLE_H

#include "common/bytes.h"
#include "common/error.h"
#include "worker-agent/held.h"
#include "worker-agent/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_HELD_ENDED_MAX 512u
#define PCL_HELD_WHY_SIZE  128u

typedef struct pcl_held_table pcl_held_table;

typedef struct pcl_held_counts {
    uint32_t sessions, cursors; /* open */
    uint32_t ending;            /* of both */
} pcl_held_counts;

/* NULL: memory is out. */
pcl_held_table *pcl_held_table_new(const pcl_held_limits *sessions, const pcl_held_limits *cursors,
                                   uint64_t boot_id, uint64_t seed);
/* What is in it stays the caller's. */
void pcl_held_table_destroy(pcl_held_table **self_p);

/* A place for a session that is being opened; it counts as one that is open.  0: there is none,
 * *out_why is static text. */
uint32_t pcl_held_table_reserve(pcl_held_table *self, pcl_bytes principal, const char **out_why);
void pcl_held_table_unreserve(pcl_held_table *self, uint32_t reservation);

/* False: there is no room (*out_why is static text), or its id is taken; it is still the
 * caller's. */
bool pcl_held_table_add(pcl_held_table *self, pcl_held *held, uint64_t now_us,
                        const char **out_why) PCL_MUST_CHECK;
/* From open to ending; held->end says why. */
void pcl_held_table_set_ending(pcl_held_table *self, pcl_held *held, pcl_held_end end);
/* It must be ending. */
void pcl_held_table_remove(pcl_held_table *self, pcl_held *held);

/* The open one with this id, whatever its page, if it is the principal's; else NULL. */
pcl_held *pcl_held_table_find(const pcl_held_table *self, const uint8_t id[PCL_ID_SIZE],
                              pcl_bytes principal);
/* Of an id that is not found: the message of GONE.  Says nothing of what is another's. */
void pcl_held_table_why_gone(const pcl_held_table *self, const uint8_t id[PCL_ID_SIZE],
                             pcl_bytes principal, char target[PCL_HELD_WHY_SIZE]);

/* NONE, or why a limit of time ends it now.  Only what is idle ends by one. */
pcl_held_end pcl_held_table_due(const pcl_held_table *self, const pcl_held *held, uint64_t now_us);

/* Walks all, ending ones too: start with *cursor 0, stop at NULL.  The one just returned may be
 * removed meanwhile, nothing added. */
pcl_held *pcl_held_table_each(const pcl_held_table *self, uint32_t *cursor);

pcl_held_counts pcl_held_table_count(const pcl_held_table *self);
/* The most that may be there at a time, open and ending. */
uint32_t pcl_held_table_capacity(const pcl_held_limits *sessions, const pcl_held_limits *cursors);

const char *pcl_held_end_text(pcl_held_end end); /* "idle": of metrics and log lines */

#endif
