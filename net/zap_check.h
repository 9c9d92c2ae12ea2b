/* zap_check.h - proves by real handshakes that our ZAP handler is asked. */
#ifndef PCL_NET_ZAP_CHECK_H
#define PCL_NET_ZAP_CHECK_H

#include <stdbool.h>

/* A stranger must be refused and a known key be let in, over CURVE on the
 * loopback.  Uses and afterwards empties a domain of its own.  The handler must
 * run.  Blocks for some milliseconds, at most a few seconds. */
bool pcl_zap_check(void);

#endif
