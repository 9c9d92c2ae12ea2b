/* peer_watch.h - who is connected to a ROUTER: its monitor, and the two tables that it keeps:
 * net/connections.h, of who has gone, and net/arrivals.h, of who may come.  It ends connections
 * over libzmq's head, by shutting their descriptors down.  Belongs to the ROUTER's thread.
 */
#ifndef PCL_NET_PEER_WATCH_H
#define PCL_NET_PEER_WATCH_H

#include "net/arrivals.h"
#include "net/connections.h"
#include "net/socket.h"

#include <czmq.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct pcl_peer_watch pcl_peer_watch;

/* The connection has ended; it is buried when this returns. */
typedef void(pcl_peer_gone)(void *context, uint32_t connection, uint64_t now_us);

typedef struct pcl_peer_watch_options {
    zsock_t *router;   /* borrowed until destroy */
    uint32_t work_max; /* pcl_connections_limits */
    uint32_t held_max; /* likewise */
    uint32_t held_each_max;
    uint64_t seed;
    pcl_peer_gone *gone;
    void *context; /* of gone */
} pcl_peer_watch_options;

/* What was cut since the start. */
typedef struct pcl_peer_watch_counts {
    uint64_t refused[PCL_ARRIVALS_RULES]; /* by the rule they broke; [FINE]: for a newcomer */
    uint64_t revoked;                     /* connections of keys that are let in no more */
    uint64_t events[PCL_PEER_EVENTS];     /* what the monitor said */
    uint64_t failed_protocol;             /* connections whose peer did not speak CURVE */
} pcl_peer_watch_counts;

/* Whether that key ("" where no keys are in use) is still let in. */
typedef bool(pcl_peer_admitted)(void *context, const char *key);

/* There is room for as many connections as the process may have descriptors, and no other limit
 * until _set_limits.  NULL: error says why. */
pcl_peer_watch *pcl_peer_watch_new(const pcl_peer_watch_options *options, char *error,
                                   size_t error_size);
/* Before the ROUTER.  gone is not called any more. */
void pcl_peer_watch_destroy(pcl_peer_watch **self_p);

zsock_t *pcl_peer_watch_socket(pcl_peer_watch *self); /* to poll; owned by the watch */
pcl_connections *pcl_peer_watch_table(pcl_peer_watch *self);

/* From now on.  Connections are kept below the process's descriptors, too, with some to spare. */
void pcl_peer_watch_set_limits(pcl_peer_watch *self, const pcl_arrivals_limits *limits);

/* The number in the first routing id that the ROUTER makes up.  From now on a peer that has given
 * itself an id of that form, which the ROUTER has not reached yet, is cut when it speaks: libzmq
 * would end the process on coming to that number. */
void pcl_peer_watch_set_first_route(pcl_peer_watch *self, uint32_t first_route);

/* Cuts the connections of keys that are not admitted any more, at once, and calls gone for each;
 * returns how many.  Those that have never spoken are not known, and are refused when they do. */
uint32_t pcl_peer_watch_revoke(pcl_peer_watch *self, pcl_peer_admitted *admitted, void *context,
                               uint64_t now_us);

/* The connection's key is not admitted (any more): it is cut in a moment, when it was told. */
void pcl_peer_watch_end_soon(pcl_peer_watch *self, uint32_t connection, uint64_t now_us);

/* Every 10 ms or so: cuts connections that end soon, and were told; and those
 * that have not spoken and stand still with more octets than a handshake has; and those that were
 * silent for longer than their peer said that it would be. */
void pcl_peer_watch_tick(pcl_peer_watch *self, uint64_t now_us);

/* Whether it is one too many of its key, and will be cut soon. */
bool pcl_peer_watch_is_over(const pcl_peer_watch *self, uint32_t connection);

pcl_peer_watch_counts pcl_peer_watch_count(const pcl_peer_watch *self);
const pcl_arrivals *pcl_peer_watch_arrivals(const pcl_peer_watch *self);

/* Reads the monitor until it is empty; cuts what may not be there; calls gone. */
void pcl_peer_watch_read(pcl_peer_watch *self, uint64_t now_us);

/* Everything that was there to read from the ROUTER has been read. */
void pcl_peer_watch_drained(pcl_peer_watch *self);

/* Every 10 ms or so: cuts connections on which
 * more than size_max octets have come that are no whole message.  Costs nothing to speak of while
 * the process's memory does not grow; returns how many were cut. */
uint32_t pcl_peer_watch_guard(pcl_peer_watch *self, uint64_t size_max, uint64_t now_us);

/* Whose message that is: route is its routing id, frame any other of its frames.  May call gone, of
 * others.  NONE or GONE as in net/connections.h. */
uint32_t pcl_peer_watch_find(pcl_peer_watch *self, pcl_bytes route, zmq_msg_t *frame,
                             uint64_t now_us);

#endif
