/* socket.h - the one place where sockets are made and configured.
 *
 * Every socket: a finite high-water mark for what it sends, no blocking send, a
 * short linger, a maximum message size, bounded handshakes; ROUTER_MANDATORY
 * on a ROUTER, IMMEDIATE on a DEALER.  What it receives is bounded by what its
 * peers may have in flight, and by the loop that reads it all and refuses what
 * is too much; a mark there would let a peer end the process
 * (docs/decisions/0003).  CURVE on every tcp endpoint unless
 * insecure is set; inproc and ipc go plain.
 */
#ifndef PCL_NET_SOCKET_H
#define PCL_NET_SOCKET_H

#include "net/keys.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

/* A handshake that takes longer is given up, by both sides. */
#define PCL_HANDSHAKE_MS 2000

typedef struct pcl_socket_options {
    const char *endpoint;
    const pcl_keys *keys;      /* own; needed on tcp unless insecure */
    const char *server_key;    /* DEALER: the peer's public key, needed likewise */
    const char *zap_domain;    /* ROUTER: whose keys are admitted; never empty */
    uint32_t queue_max;        /* messages to a peer; not 0 */
    uint32_t message_size_max; /* octets of one frame; not 0 */
    bool insecure;             /* plain tcp; the caller has warned */
    uint32_t *out_first_route; /* ROUTER: the number in the first routing id that it will make up,
                                  of which later ones count upwards; NULL: not asked for */
} pcl_socket_options;

/* A bound ROUTER, a connected DEALER.  NULL: error says why.  The caller ends
 * it with zsock_destroy.  The socket belongs to the calling thread. */
zsock_t *pcl_socket_router(const pcl_socket_options *options, char *error, size_t error_size);
zsock_t *pcl_socket_dealer(const pcl_socket_options *options, char *error, size_t error_size);

/* A PAIR that gets a message each time one of the socket's connections ends, or a handshake fails;
 * never on inproc, which has no connections.  libzmq writes it before it takes the connection's
 * queues away, so when a send fails because the connection is gone, it is there already.  It must
 * be read, from the socket's thread, and ended before the socket.  NULL: error says why. */
zsock_t *pcl_socket_watch(zsock_t *socket, char *error, size_t error_size);
void pcl_socket_unwatch(zsock_t *socket, zsock_t **watch_p);

/* The same of a ROUTER, for the beginning and the end of each connection, in their order, each
 * before the connection's first message and after its last; and for handshakes that fail.  Nothing
 * bounds what waits in it but the pace of connecting: a full queue would stop libzmq's own thread.
 */
zsock_t *pcl_socket_watch_peers(zsock_t *socket, char *error, size_t error_size);

typedef enum pcl_peer_event {
    PCL_PEER_NOTHING = 0,  /* nothing waits */
    PCL_PEER_OPENED,       /* a connection with the descriptor was accepted */
    PCL_PEER_CLOSED,       /* ... has ended */
    PCL_PEER_SHOOK_HANDS,  /* a handshake succeeded; no descriptor */
    PCL_PEER_FAILED_KEY,   /* a handshake failed: the key is not let in; no descriptor */
    PCL_PEER_FAILED_OTHER, /* ... it took too long, or the peer left */
    PCL_PEER_EVENTS,       /* must stay last */
} pcl_peer_event;

/* The next event of pcl_socket_watch_peers. */
pcl_peer_event pcl_socket_peer_event(zsock_t *watch, int *out_fd);

/* The descriptor of the connection that a frame came on; -1: there is none, as on inproc. */
int pcl_socket_frame_fd(zmq_msg_t *frame);

/* For how long the peer that sent it said, in its handshake, that it would be silent at the most,
 * since it sends heartbeats; 0: it did not say. */
uint32_t pcl_socket_frame_silence_ms(zmq_msg_t *frame);

#endif
