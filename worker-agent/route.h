/* route.h - the reply's `route`: which way the request went, and how long it took. */
#ifndef PCL_WORKER_AGENT_ROUTE_H
#define PCL_WORKER_AGENT_ROUTE_H

#include "common/buffer.h"
#include "wire/head.h"
#include "wire/report.h"

#include <stdint.h>

typedef struct pcl_route {
    const char *node;      /* borrowed */
    pcl_node_role role;    /* of the node when the statement ran */
    const pcl_head *head;  /* the proxy's: strategy, attempt, flags, time in each hop */
    pcl_bytes explanation; /* tail of the request: a msgpack map of more pairs; may be empty */
    uint32_t queue_us;
    uint32_t exec_us;
} pcl_route;

/* Appends the pair "route".  An explanation that is not a well-formed map is left out. */
void pcl_route_put(pcl_buffer *buffer, const pcl_route *route);

#endif
