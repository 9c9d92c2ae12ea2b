/* seal.h - what a client's message carries so that no gatekeeper can speak for it
 * (docs/rfc/1-client-protocol.md, section 9).
 *
 *   offset size
 *        0    1  version   1
 *        1    1  kind      1 request, 2 reply
 *        2    6  reserved  0
 *        8    8  time_us   the sealer's wall clock, microseconds since 1970
 *       16    8  channel   random, of one connection of the client; a reply has the request's
 *       24    8  sequence  counts the requests of the channel, from 1; likewise
 *       32   32  mac       BLAKE2b-256, keyed, over the first 32 octets and the payload
 *
 * The key of a pair of client and broker is BLAKE2b-256, keyed with what X25519 makes of the one's
 * secret and the other's public CURVE key, over PCL_SEAL_CONTEXT, the client's and the broker's
 * public key.  So both come to the same, and nobody else can.
 *
 * Pure but for libsodium.  Any thread.
 */
#ifndef PCL_NET_SEAL_H
#define PCL_NET_SEAL_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_SEAL_SIZE     64u
#define PCL_SEAL_KEY_SIZE 32u
#define PCL_SEAL_CONTEXT  "portcullis seal 1"

typedef enum pcl_seal_kind {
    PCL_SEAL_REQUEST = 1,
    PCL_SEAL_REPLY = 2,
} pcl_seal_kind;

typedef struct pcl_seal_key {
    uint8_t octets[PCL_SEAL_KEY_SIZE];
} pcl_seal_key;

/* What a seal says beside the proof. */
typedef struct pcl_seal {
    pcl_seal_kind kind;
    uint64_t time_us;
    uint64_t channel;
    uint64_t sequence;
} pcl_seal;

/* Keys are Z85, 40 characters; own_secret is the client's with is_client, else the broker's.
 * false: one is not a key, or is a point of small order, which would give a known secret. */
bool pcl_seal_key_make(pcl_seal_key *out_key, bool is_client, const char *own_secret,
                       const char *client_public, const char *broker_public);
void pcl_seal_key_wipe(pcl_seal_key *key);

void pcl_seal_write(uint8_t out_octets[PCL_SEAL_SIZE], const pcl_seal *seal, pcl_bytes payload,
                    const pcl_seal_key *key);

/* NULL: whoever has the key made it for this payload.  Else static text that says what is wrong
 * ("must have 64 octets", "is of another version", "does not fit the payload and the key"); then
 * *out_seal is untouched.  Takes the same time wherever the first wrong octet of a mac is. */
const char *pcl_seal_read(pcl_seal *out_seal, pcl_seal_kind kind, pcl_bytes octets,
                          pcl_bytes payload, const pcl_seal_key *key);

#endif
