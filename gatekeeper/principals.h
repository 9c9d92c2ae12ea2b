/* principals.h - how much each principal has in flight; pure.
 *
 * A principal stands here while it has any, and, of those whose requests found no room, some for
 * a while longer, so the table is bounded by the number of requests in flight.  Its memory is taken
 * at the start.
 *
 * One whose requests find no room at the broker is throttled: each request that is served lets
 * PCL_PRINCIPALS_TIMES more through, and some may always go, to see whether that has changed.  Else
 * a flood that the broker refuses would still fill the way there, and others would wait behind it
 * (adaptive throttling, as in "Site Reliability Engineering", chapter 21, with counts instead of
 * chance).  What is let through thus comes as evenly as what is served leaves.
 */
#ifndef PCL_GATEKEEPER_PRINCIPALS_H
#define PCL_GATEKEEPER_PRINCIPALS_H

#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_PRINCIPALS_AGE_US  UINT64_C(500000)
#define PCL_PRINCIPALS_TIMES   2u
#define PCL_PRINCIPALS_TRIES   64u   /* in each AGE_US so many may be sent, whatever is served */
#define PCL_PRINCIPALS_SAVED   1024u /* of what being served lets through, so much is kept */
#define PCL_PRINCIPALS_REFUSED 16u   /* lately: from here on it is throttled */
#define PCL_PRINCIPALS_KEPT    1024u /* with nothing in flight */

typedef struct pcl_principals pcl_principals;

/* What a principal has in flight. */
typedef struct pcl_principal_load {
    uint32_t requests;
    uint64_t octets;     /* of their payloads */
    uint64_t octets_all; /* of those of all principals together */
    bool throttled;      /* the broker has no room for most of what it sends */
} pcl_principal_load;

/* capacity: principals at the same time, 1 to PCL_INFLIGHT_MAX.  NULL only when memory is out. */
pcl_principals *pcl_principals_new(uint32_t capacity, uint64_t seed);
void pcl_principals_destroy(pcl_principals **self_p);

/* name: 1 to PCL_NAME_SIZE_MAX octets. */
pcl_principal_load pcl_principals_load(const pcl_principals *self, const char *name);

/* One more of size octets; returns the index for _release, UINT32_MAX when the table is full. */
uint32_t pcl_principals_acquire(pcl_principals *self, const char *name, size_t size);

/* One less; index and size are of an _acquire that was not released yet. */
void pcl_principals_release(pcl_principals *self, uint32_t index, size_t size);

/* The broker has answered one of an _acquire that was not released yet. */
void pcl_principals_answered(pcl_principals *self, uint32_t index, bool overloaded);

/* Halves what is remembered of refusals, and lets some try; to be called each
 * PCL_PRINCIPALS_AGE_US. */
void pcl_principals_age(pcl_principals *self);

/* Principals with anything in flight. */
uint32_t pcl_principals_count(const pcl_principals *self);

#endif
