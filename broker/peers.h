/* peers.h - the gatekeepers that talk to this broker, by routing id; pure.
 *
 * Each has its own filter of how long messages lie on the way, since each has
 * its own clock; a gatekeeper that starts again comes with another routing id.
 * The table is bounded: a newcomer takes the place of whoever was silent longest.
 */
#ifndef PCL_BROKER_PEERS_H
#define PCL_BROKER_PEERS_H

#include "common/bytes.h"
#include "common/transit.h"
#include "net/tcp.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PEERS_MAX             64u
#define PCL_PEER_ROUTING_SIZE_MAX 255u

typedef struct pcl_peer {
    uint8_t routing[PCL_PEER_ROUTING_SIZE_MAX]; /* the first routing_size octets */
    uint8_t routing_size;
    uint64_t boot_id;   /* of the sender's last ping; 0 before one came */
    uint64_t heard_us;  /* when its last message arrived */
    uint64_t silent_us; /* since then, as far as we looked */
    bool gone;          /* said so by pcl_peers_gone, and silent since */
    pcl_tcp_flow flow;  /* of its connection; kept, and asked, by the owner of the table */
    pcl_transit transit;
} pcl_peer;

typedef struct pcl_peers {
    pcl_peer peer[PCL_PEERS_MAX]; /* the first count are in use */
    uint32_t count;
    uint32_t last;      /* index of the peer found last; most messages come in runs */
    uint64_t looked_us; /* 0: never */
} pcl_peers;

/* The peer with that routing id (1 to 255 octets), made when it is new, and marked as heard. */
pcl_peer *pcl_peers_heard(pcl_peers *self, pcl_bytes routing, uint64_t now_us);

/* At least once a beat interval; of the time between two looks at most one interval counts, so a
 * broker that was stopped does not take its own absence for everybody's. */
void pcl_peers_look(pcl_peers *self, uint64_t now_us);

/* The next peer that has sent pings and then nothing for PCL_BEATS_GONE intervals, or on tcp
 * _GONE_ALONE, once for each time; NULL: no other.  Valid until the next call. */
const pcl_peer *pcl_peers_gone(pcl_peers *self);

/* Its connection has ended; does nothing for one that is not known. */
void pcl_peers_left(pcl_peers *self, pcl_bytes routing);

/* Another boot id is another process with another clock: its filter starts again. */
void pcl_peer_booted(pcl_peer *peer, uint64_t boot_id);

#endif
