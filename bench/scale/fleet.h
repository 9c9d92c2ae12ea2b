/* fleet.h - worker agents whose database is a given service time, all on one thread.
 *
 * To the proxy each is an agent like any other: a link of its own with CURVE (net/link.h), beats
 * and reports with the service times as agents smooth them (worker-agent/service.h), one reply to
 * each request.  What an agent would ask its database is a wait instead: so many workers a node,
 * each of which takes a service time drawn anew for each statement; what finds no worker queues, up
 * to a bound, and what has waited beyond its deadline is not run.  A read returns one row of 120
 * characters, anything else says that one row was changed.
 *
 * Not played: sessions, cursors and CANCEL (the reply comes all the same, as it may), fencing, lag.
 */
#ifndef PCL_BENCH_SCALE_FLEET_H
#define PCL_BENCH_SCALE_FLEET_H

#include "bench/scale/identities.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_fleet pcl_fleet;

typedef struct pcl_fleet_options {
    const char *endpoint;           /* of the proxy, for agents */
    const char *proxy_key;          /* its public key */
    const pcl_identity *identities; /* one for each node; borrowed */
    uint32_t capacity;              /* nodes at the most: as many as identities */
    bool has_source;                /* the first node is the source, all others are replicas */
    double service_us;              /* on average */
    bool exponential;               /* else each statement takes just that */
    uint16_t workers;               /* of each node */
    uint32_t queue_max;             /* of each node */
    uint64_t seed;
} pcl_fleet_options;

/* NULL: error says why. */
pcl_fleet *pcl_fleet_new(const pcl_fleet_options *options, char *error, size_t error_size);
void pcl_fleet_destroy(pcl_fleet **self_p);

/* Until there are so many nodes.  false: error says why; those that were made stay. */
bool pcl_fleet_grow(pcl_fleet *self, uint32_t count, char *error, size_t error_size);
uint32_t pcl_fleet_count(const pcl_fleet *self);
/* Nodes whose proxy has answered them. */
uint32_t pcl_fleet_up(const pcl_fleet *self);

/* Serves for at most that long, or until that descriptor (-1: none) can be read. */
void pcl_fleet_serve(pcl_fleet *self, uint64_t for_us, int fd);

#endif
