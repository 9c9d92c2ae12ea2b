/* door.h - where the peers of a role come in: its bound ROUTER, and the list of the keys that are
 * let in.  The settings are PEERS/endpoint, PEERS/keys and curve/insecure; PEERS is the ZAP domain
 * too.  Belongs to one thread.
 */
#ifndef PCL_NET_DOOR_H
#define PCL_NET_DOOR_H

#include "net/config.h"
#include "net/keys.h"

#include <czmq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts with who and peers set, and all else 0. */
typedef struct pcl_door {
    const char *who;      /* "gatekeeper": who logs; static */
    const char *peers;    /* "clients"; static */
    zsock_t *socket;      /* NULL until opened */
    pcl_key_list *keys;   /* NULL: nobody is known */
    bool unnamed_allowed; /* nobody can show a key there: inproc, ipc, curve/insecure */
} pcl_door;

/* Replaces the list, also for the handshake; no list is named: stays as it is.  false: the old one
 * stays in force; the log says why. */
bool pcl_door_read_keys(pcl_door *self, const pcl_config *config);

/* own may be NULL where no tcp needs it.  false: error says why. */
bool pcl_door_open(pcl_door *self, const pcl_config *config, const pcl_keys *own,
                   uint32_t queue_max, uint32_t message_size_max, char *error, size_t error_size);

/* Also one that was never opened. */
void pcl_door_close(pcl_door *self);

/* Whose key that is by the list of now, so that a key that was taken off is out at once; "" who
 * needs none; NULL: a stranger.  Borrowed until the next pcl_door_read_keys. */
const char *pcl_door_name(const pcl_door *self, const char *user_id);

#endif
