/* sealer.h - the seals of what goes over one connection, and whether a reply carries the one that
 * answers (docs/rfc/1-client-protocol.md, section 9).
 *
 * Each connection is a channel of its own, whose number is random; the sequence rises in the order
 * of sending.  So a reply that was made for one request fits no other, of this connection, of
 * another, or of an earlier life of the program.
 *
 * Belongs to the thread of the channel.
 */
#ifndef PCL_CLIENT_SEALER_H
#define PCL_CLIENT_SEALER_H

#include "common/bytes.h"
#include "net/seal.h"

#include <stdint.h>

/* Which request a seal is of; sequence 0: none was sealed. */
typedef struct pcl_seal_mark {
    uint64_t channel;
    uint64_t sequence;
} pcl_seal_mark;

/* All zero is one that has sealed nothing. */
typedef struct pcl_sealer {
    uint64_t generation; /* of the connection that the channel is of */
    uint64_t channel;
    uint64_t sequence; /* the last one used; what was not sent after all leaves a gap, as it may */
} pcl_sealer;

/* Seals what is about to be sent over the connection of that generation, at the time of now.
 * Returns what its reply must name. */
pcl_seal_mark pcl_sealer_seal(pcl_sealer *self, uint64_t generation, const pcl_seal_key *key,
                              pcl_bytes payload, uint8_t out_octets[PCL_SEAL_SIZE]);

/* NULL: payload is the broker's word on the request of that mark.  Else static text that says what
 * is wrong with its seal; octets is empty where it has none. */
const char *pcl_sealer_fault(pcl_seal_mark mark, const pcl_seal_key *key, pcl_bytes octets,
                             pcl_bytes payload);

#endif
