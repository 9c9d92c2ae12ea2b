/* connections.h - who is connected to a ROUTER, and what each of them has; pure.
 *
 * A ROUTER names its peers by routing ids, its monitor names connections by
 * file descriptor, and only a message names both (property "__fd").  This table
 * brings the two together, so that the end of a connection tells what its peer
 * had in flight (work) and what it holds at an agent (held: sessions, cursors).
 *
 *   monitor: ACCEPTED fd      -> pcl_connections_opened
 *   message: route, fd        -> pcl_connections_find, else _bind
 *   monitor: DISCONNECTED fd  -> pcl_connections_closed -> its work, its held -> _bury
 *
 * A descriptor is taken again by the next connection as soon as it is free, so
 * order is all: libzmq's thread writes DISCONNECTED of the old connection and
 * ACCEPTED of the new one before the new one's first message.  Who reads the
 * monitor until it is empty before each _bind therefore never takes one
 * connection for another: a descriptor that is closed then was closed for this
 * peer.  Of two routes on one descriptor the older one is gone; routes that a
 * ROUTER makes up count upwards.  One case is left: a peer whose first message is
 * read only after it has left and another, which says nothing, has taken its
 * descriptor is missed together with that one.
 *
 * The table also tells a connection whose message never ends.  libzmq hands out
 * whole messages only, and bounds a frame but not their number, so what came on
 * such a connection and is no message yet stands nowhere but in the kernel's count
 * of octets: pcl_connections_measured.
 *
 * Memory is taken at _new, and touched as it is needed: 40 octets a connection,
 * 32 a descriptor, 24 a request in flight, 104 a thing held.
 */
#ifndef PCL_NET_CONNECTIONS_H
#define PCL_NET_CONNECTIONS_H

#include "common/bytes.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_CONNECTIONS_MAX  262144u
#define PCL_CONNECTION_NONE  UINT32_MAX        /* not known: no descriptor, or no room */
#define PCL_CONNECTION_GONE  (UINT32_MAX - 1u) /* has ended */
#define PCL_CONNECTION_ROUTE 5u                /* octets of a routing id that a ROUTER made up */
#define PCL_WORK_NONE        UINT32_MAX

typedef struct pcl_connections pcl_connections;

typedef struct pcl_connections_limits {
    uint32_t connection_max; /* connections, and descriptors: 1 to PCL_CONNECTIONS_MAX */
    uint32_t work_max;       /* requests in flight, of all: 1 to PCL_INFLIGHT_MAX */
    uint32_t held_max;       /* things held, of all: 1 to PCL_INFLIGHT_MAX */
    uint32_t held_each_max;  /* of one connection; of more, the oldest is forgotten; not 0 */
} pcl_connections_limits;

/* seed: of the index of ids.  NULL only when memory is out. */
pcl_connections *pcl_connections_new(const pcl_connections_limits *limits, uint64_t seed);
void pcl_connections_destroy(pcl_connections **self_p);

/* Whether a ROUTER made up this routing id; then it may be asked for below. */
bool pcl_connections_is_route(pcl_bytes route);

/* --- What the monitor says ------------------------------------------------- */

void pcl_connections_opened(pcl_connections *self, int fd);
/* Whether a connection has it, as far as the monitor said. */
bool pcl_connections_is_open(const pcl_connections *self, int fd);
/* One more than the greatest descriptor that was opened. */
int pcl_connections_fd_end(const pcl_connections *self);
/* So many octets have come on it in all, by the kernel's count.  drained: since it was measured
 * last, there was a moment at which every message that had come whole had been read.  true: of what
 * had come then, more than size_max octets are of a message that is not whole yet. */
bool pcl_connections_measured(pcl_connections *self, int fd, uint64_t received, bool drained,
                              uint64_t size_max);
/* The connection that was bound to it, which has ended: take its work and what it holds, then bury
 * it.  NONE: nobody had spoken on it. */
uint32_t pcl_connections_closed(pcl_connections *self, int fd);
/* What it still holds is forgotten; its place is free once its work has gone, too. */
void pcl_connections_bury(pcl_connections *self, uint32_t connection);

/* --- Who speaks -------------------------------------------------------------- */

/* NONE: not bound yet. */
uint32_t pcl_connections_find(const pcl_connections *self, pcl_bytes route);
/* Only after the monitor was read until it was empty, for a route that _find does not know.
 * fd < 0: there is none.  GONE: the connection has ended.  *out_gone: NONE, or an older one on the
 * same descriptor, of which the same holds as of what _closed returns. */
uint32_t pcl_connections_bind(pcl_connections *self, pcl_bytes route, int fd, uint32_t *out_gone);

/* A whole message of it was read. */
void pcl_connections_spoke(pcl_connections *self, uint32_t connection);

/* Connections that have spoken and are there. */
uint32_t pcl_connections_count(const pcl_connections *self);

/* Walks the connections that are there: start with *cursor 0; NONE is the end. */
uint32_t pcl_connections_each(const pcl_connections *self, uint32_t *cursor);

/* The routing id of one that is there or not buried yet. */
void pcl_connections_route(const pcl_connections *self, uint32_t connection,
                           uint8_t out_route[PCL_CONNECTION_ROUTE]);

/* The descriptor of one that is there or not buried yet; -1: it has ended. */
int pcl_connections_fd(const pcl_connections *self, uint32_t connection);

/* --- Requests in flight ------------------------------------------------------ */

/* One more; the index for what follows, PCL_WORK_NONE when the table is full. */
uint32_t pcl_connections_add_work(pcl_connections *self, uint32_t connection);
/* Under which ticket it went on. */
void pcl_connections_set_ticket(pcl_connections *self, uint32_t work, uint64_t ticket);
void pcl_connections_remove_work(pcl_connections *self, uint32_t work);
/* Whether the connection that asked has ended. */
bool pcl_connections_work_is_gone(const pcl_connections *self, uint32_t work);
/* Walks the tickets of a connection: start with *cursor 0; 0 is the end.  Nothing may be added or
 * removed meanwhile. */
uint64_t pcl_connections_each_work(const pcl_connections *self, uint32_t connection,
                                   uint32_t *cursor);

/* --- Sessions and cursors ---------------------------------------------------- */

/* principal: at most PCL_NAME_SIZE_MAX octets.  An id that is held already stays where it is.
 * false: there is no room, and the connection has nothing to forget. */
bool pcl_connections_hold(pcl_connections *self, uint32_t connection, const uint8_t id[PCL_ID_SIZE],
                          const char *principal);
/* It has ended, as the principal was told; nobody else's is forgotten on that word. */
void pcl_connections_unhold(pcl_connections *self, const uint8_t id[PCL_ID_SIZE],
                            const char *principal);
/* Takes one out.  false: there is none. */
bool pcl_connections_take_held(pcl_connections *self, uint32_t connection,
                               uint8_t out_id[PCL_ID_SIZE],
                               char out_principal[PCL_NAME_SIZE_MAX + 1]);
uint32_t pcl_connections_held_count(const pcl_connections *self);

#endif
