/* arrivals.h - how many may be connected to a ROUTER, and how fast they may come; pure.
 *
 *   accepted            -> pcl_arrivals_opened: in, or out at once
 *   first message       -> pcl_arrivals_named: now it is known whose connection it is
 *   ended               -> pcl_arrivals_closed
 *
 * Rules:
 *  1. So many a second may come, in all and from one address; those of ten seconds at once after a
 *     calm.
 *     Handshakes cost processor time before anybody has shown a key, so only the address can pay
 *     for it.
 *  2. So many may be there.  When that is reached, a newcomer takes the place of the connection
 *     that has been silent, from its beginning, for longest.  So whoever only holds connections
 *     holds them against other such, and not against those who work or newly come.
 *  3. One key may have so many that have spoken.  One more is told so, and ends soon after.
 *
 * Memory is taken at _new and touched as it is needed: 24 octets a descriptor, 56 a key with
 * connections, and 128 KiB for addresses.  Every call but _each takes constant time.
 */
#ifndef PCL_NET_ARRIVALS_H
#define PCL_NET_ARRIVALS_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_ARRIVALS_KEY_SIZE  41u   /* a public key's text and a NUL */
#define PCL_ARRIVALS_OVER_MS   200u  /* how long a connection that ends is answered */
#define PCL_ARRIVALS_SILENT_MS 3000u /* over what a handshake may take */

typedef struct pcl_arrivals pcl_arrivals;

/* None is 0. */
typedef struct pcl_arrivals_limits {
    uint32_t connections_max;  /* at the same time */
    uint32_t key_max;          /* of one key, that have spoken */
    uint32_t rate_max;         /* new ones a second; at most 1000000 */
    uint32_t address_rate_max; /* the same from one address */
} pcl_arrivals_limits;

typedef enum pcl_arrivals_rule {
    PCL_ARRIVALS_FINE = 0,
    PCL_ARRIVALS_RATE,
    PCL_ARRIVALS_ADDRESS_RATE,
    PCL_ARRIVALS_CONNECTIONS,
    PCL_ARRIVALS_KEY,
    PCL_ARRIVALS_STUFFED, /* stood still with more octets than a handshake has; the watch's own */
    PCL_ARRIVALS_FORGED,  /* named itself as only a ROUTER does; the watch's own */
    PCL_ARRIVALS_FROZEN,  /* was silent for longer than it said it would be; the watch's own */
    PCL_ARRIVALS_RULES,   /* must stay last */
} pcl_arrivals_rule;

/* descriptor_max: descriptors are below it.  seed: of the hashes.  NULL only when memory is out. */
pcl_arrivals *pcl_arrivals_new(uint32_t descriptor_max, const pcl_arrivals_limits *limits,
                               uint64_t seed);
void pcl_arrivals_destroy(pcl_arrivals **self_p);

/* For what comes from now on; those who are there stay. */
void pcl_arrivals_set_limits(pcl_arrivals *self, const pcl_arrivals_limits *limits);

/* A connection was accepted.  address: 4 or 16 octets; none where there is none (ipc), then only
 * the rate in all counts.  Of an IPv6 address the first half counts, since a host may take any of
 * the rest.  FINE, or the rule for which it must be cut.  *out_place: -1, or the connection that
 * must be cut in its favour. */
pcl_arrivals_rule pcl_arrivals_opened(pcl_arrivals *self, int fd, pcl_bytes address,
                                      uint64_t now_us, int *out_place);

/* It has spoken for the first time; key: at most PCL_ARRIVALS_KEY_SIZE - 1 characters, "" where no
 * keys are in use.  KEY: the key has too many, see pcl_arrivals_due. */
pcl_arrivals_rule pcl_arrivals_named(pcl_arrivals *self, int fd, const char *key, uint64_t now_us);

/* It has spoken, and may not: it is told so, and ends soon after, too. */
void pcl_arrivals_end_soon(pcl_arrivals *self, int fd, uint64_t now_us);

/* Whether it ends soon. */
bool pcl_arrivals_is_over(const pcl_arrivals *self, int fd);

/* The next connection that ends, and was told for long enough: cut it.  -1: none is due. */
int pcl_arrivals_due(pcl_arrivals *self, uint64_t now_us);

/* The next connection that has been silent for PCL_ARRIVALS_SILENT_MS, each once: whether it has
 * sent more than a handshake has is to be looked at.  -1: none. */
int pcl_arrivals_silent(pcl_arrivals *self, uint64_t now_us);
bool pcl_arrivals_is_silent(const pcl_arrivals *self, int fd);

/* It ended, or is cut and counts no more. */
void pcl_arrivals_closed(pcl_arrivals *self, int fd);

/* Walks the connections that are there: start with *cursor 0; -1 is the end.  *out_key: whose it
 * is, NULL for one that has not spoken. */
int pcl_arrivals_each(const pcl_arrivals *self, uint32_t *cursor, const char **out_key);

uint32_t pcl_arrivals_count(const pcl_arrivals *self);        /* that are there */
uint32_t pcl_arrivals_silent_count(const pcl_arrivals *self); /* that have not spoken */
uint32_t pcl_arrivals_young_count(const pcl_arrivals *self);  /* of these, not looked at */
/* Of one key, that have spoken. */
uint32_t pcl_arrivals_key_count(const pcl_arrivals *self, const char *key);

#endif
