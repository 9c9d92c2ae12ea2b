/* door.h - where the peers of a role come in: its bound ROUTER, the list of the keys that are let
 * in, and how many may come.  The settings are PEERS/endpoint, PEERS/keys, curve/insecure, and
 * those of PCL_DOOR_LIMITS; PEERS is the ZAP domain too.  Belongs to one thread.
 */
#ifndef PCL_NET_DOOR_H
#define PCL_NET_DOOR_H

#include "net/config.h"
#include "net/keys.h"
#include "net/metrics.h"
#include "net/peer_watch.h"

#include <czmq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of a role's table, for who comes in at its door; peers is a literal, the others are the
 * defaults, literals too. */
#define PCL_DOOR_LIMITS(peers, connections, key, rate, address_rate)                               \
    {peers "/connections_max",                                                                     \
     PCL_CONFIG_UINT,                                                                              \
     1,                                                                                            \
     PCL_CONNECTIONS_MAX,                                                                          \
     connections,                                                                                  \
     NULL,                                                                                         \
     true,                                                                                         \
     "Connections at the same time; LimitNOFILE= less 128 bounds it, too.  For one more, the one " \
     "that never spoke for longest is ended."},                                                    \
        {peers "/connections_principal_max",                                                       \
         PCL_CONFIG_UINT,                                                                          \
         1,                                                                                        \
         PCL_CONNECTIONS_MAX,                                                                      \
         key,                                                                                      \
         NULL,                                                                                     \
         true,                                                                                     \
         "The same of one key, that have spoken; one more is answered OVERLOADED and ended."},     \
        {peers "/handshakes_max",                                                                  \
         PCL_CONFIG_UINT,                                                                          \
         1,                                                                                        \
         1000000,                                                                                  \
         rate,                                                                                     \
         NULL,                                                                                     \
         true,                                                                                     \
         "New connections a second; after a calm, ten seconds' at once.  One more is ended."},     \
    {                                                                                              \
        peers "/handshakes_address_max", PCL_CONFIG_UINT, 1, 1000000, address_rate, NULL, true,    \
            "The same from one address (of IPv6, from one /64)."                                   \
    }

/* Starts with who and peers set, and all else 0. */
typedef struct pcl_door {
    const char *who;             /* "gatekeeper": who logs; static */
    const char *peers;           /* "clients"; static */
    zsock_t *socket;             /* NULL until opened */
    pcl_key_list *keys;          /* NULL: nobody is known */
    uint32_t first_route;        /* of the socket, when it has peers on tcp */
    bool unnamed_allowed;        /* nobody can show a key there: inproc, ipc, curve/insecure */
    pcl_peer_watch *watch;       /* borrowed; NULL: connections are not counted */
    pcl_peer_watch_counts shown; /* what the metrics and the log have */
    uint64_t log_due_us;         /* the log says how many were cut, once a second */
    pcl_peer_watch_counts logged;
    pcl_metric *refused[PCL_ARRIVALS_RULES], *failed[PCL_PEER_EVENTS], *failed_protocol, *revoked,
        *open, *silent;
} pcl_door;

/* Replaces the list, also for the handshake; no list is named: stays as it is.  Connections of keys
 * that the new one does not have are cut.  false: the old one stays in force; the log says why. */
bool pcl_door_read_keys(pcl_door *self, const pcl_config *config);

/* own may be NULL where no tcp needs it.  false: error says why. */
bool pcl_door_open(pcl_door *self, const pcl_config *config, const pcl_keys *own,
                   uint32_t queue_max, uint32_t message_size_max, char *error, size_t error_size);

/* Counts and limits who comes, from now on; needs the settings of PCL_DOOR_LIMITS.  watch: of the
 * door's socket, borrowed until pcl_door_close. */
void pcl_door_watch(pcl_door *self, pcl_peer_watch *watch, const pcl_config *config,
                    pcl_metrics *metrics);

/* After a reload, which also may change how many may come. */
void pcl_door_read_limits(pcl_door *self, const pcl_config *config);

/* Every 10 ms or so: cuts who was told, and shows what was cut.  Nothing without a watch. */
void pcl_door_tick(pcl_door *self, uint64_t now_us);

/* Also one that was never opened. */
void pcl_door_close(pcl_door *self);

/* Whose key that is by the list of now, so that a key that was taken off is out at once; "" who
 * needs none; NULL: a stranger.  Borrowed until the next pcl_door_read_keys. */
const char *pcl_door_name(const pcl_door *self, const char *user_id);

#endif
