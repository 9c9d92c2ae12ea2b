/* zap.h - our own ZAP handler (RFC 27), keyed by domain, failing closed.
 *
 * libzmq lets anyone in when no handler runs, and CZMQ's zauth ignores the
 * domain; so this process has one handler that knows which public keys each
 * domain admits.  On success the peer's User-Id is its public key (Z85), which
 * actors look up in their key list for every message: a key taken off the list
 * is out at once, also on a live connection.
 *
 * Sockets must also set ZMQ_ZAP_ENFORCE_DOMAIN (net/socket.h does).
 */
#ifndef PCL_NET_ZAP_H
#define PCL_NET_ZAP_H

#include "net/keys.h"

#include <stdbool.h>

/* Starts the handler thread of this process, once, before any CURVE server
 * socket is bound, and proves with a real handshake each that a stranger is
 * refused and a known key let in.  false: it could not be proved; do not bind. */
bool pcl_zap_start(void);
void pcl_zap_stop(void);

/* Whether the handler's thread lives and answers; to be asked a few times a second, by the thread
 * that started it.  false: nobody new can come in any more, and pcl_zap_stop may wait for ever: end
 * the process.  A thread that has ended is noticed at once, one that hangs at the
 * PCL_ZAP_LOOKS_MAX-th look. */
#define PCL_ZAP_LOOKS_MAX 12u
bool pcl_zap_is_alive(void);

/* Replaces the keys that domain admits; the list is copied.  A domain never
 * set admits nobody.  Safe from any thread. */
void pcl_zap_set(const char *domain, const pcl_key_list *list);

#endif
