/* successor.h - who could be the source in another's place.  Pure. */
#ifndef PCL_PROXY_SUCCESSOR_H
#define PCL_PROXY_SUCCESSOR_H

#include "proxy/membership.h"
#include "wire/topology.h"

/* Whoever is further behind would keep writes waiting for longer than they are patient. */
#define PCL_SUCCESSOR_LAG_MS_MAX 5000

/* What agents have said of a node. */
typedef struct pcl_successor_place {
    const pcl_topology_place *place; /* host "": unknown */
    bool leaves;                     /* it shall not be the source */
    bool connected;
} pcl_successor_place;

/* Whether the node can take over from the source: a replica that is up, ready, not drained, stays,
 * replicates, is not far behind, of the same flavor and term, and can be reached. */
bool pcl_successor_fits(const pcl_member *source, const pcl_member *member,
                        const pcl_successor_place *where) PCL_MUST_CHECK;

/* Whether a is to be asked rather than b: less behind, by a beat at least, else the first by name;
 * so proxies that see the same choose the same. */
bool pcl_successor_is_better(const pcl_member *a, const pcl_member *b) PCL_MUST_CHECK;

#endif
