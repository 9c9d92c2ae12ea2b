/* principals.h - how much each principal has in flight; pure.
 *
 * A principal stands here while it has any, so the table is never larger than
 * the number of requests in flight.  Its memory is taken at the start.
 */
#ifndef PCL_GATEKEEPER_PRINCIPALS_H
#define PCL_GATEKEEPER_PRINCIPALS_H

#include "common/limits.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pcl_principals pcl_principals;

/* What a principal has in flight. */
typedef struct pcl_principal_load {
    uint32_t requests;
    uint64_t octets;     /* of their payloads */
    uint64_t octets_all; /* of those of all principals together */
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

/* Principals with anything in flight. */
uint32_t pcl_principals_count(const pcl_principals *self);

#endif
