#include "net/seal.h"

#include "common/endian.h"
#include "net/keys.h"

#include <assert.h>
#include <sodium.h>
#include <zmq.h>

enum {
    SEAL_VERSION = 1,
    RESERVED_AT = 2,
    TIME_AT = 8,
    CHANNEL_AT = 16,
    SEQUENCE_AT = 24,
    MAC_AT = 32, /* what stands before it is under the mac */
    MAC_SIZE = 32,
    CURVE_SIZE = 32,
};

static_assert(MAC_AT + MAC_SIZE == PCL_SEAL_SIZE, "the mac ends the seal");
static_assert(MAC_SIZE == crypto_verify_32_BYTES, "it is compared in constant time");

static bool s_decode_key(uint8_t out_octets[CURVE_SIZE], const char *z85)
{
    return pcl_key_valid(z85) && zmq_z85_decode(out_octets, z85) != NULL;
}

/* Keyed with what the two share, over who they are: what one point of the curve means to one
 * pair, and as a key for one purpose, it means to no other. */
static void s_derive(pcl_seal_key *out_key, const uint8_t shared[CURVE_SIZE],
                     const uint8_t client[CURVE_SIZE], const uint8_t broker[CURVE_SIZE])
{
    crypto_generichash_state state;
    int rc = crypto_generichash_init(&state, shared, CURVE_SIZE, sizeof out_key->octets);
    rc |= crypto_generichash_update(&state, (const uint8_t *)PCL_SEAL_CONTEXT,
                                    sizeof PCL_SEAL_CONTEXT - 1);
    rc |= crypto_generichash_update(&state, client, CURVE_SIZE);
    rc |= crypto_generichash_update(&state, broker, CURVE_SIZE);
    rc |= crypto_generichash_final(&state, out_key->octets, sizeof out_key->octets);
    assert(rc == 0); /* fails only for sizes that it does not take */
    sodium_memzero(&state, sizeof state);
}

bool pcl_seal_key_make(pcl_seal_key *out_key, bool is_client, const char *own_secret,
                       const char *client_public, const char *broker_public)
{
    assert(out_key != NULL);
    int rc = sodium_init(); /* finds the fastest code for this machine; any number of times */
    assert(rc >= 0);
    uint8_t secret[CURVE_SIZE];
    uint8_t client[CURVE_SIZE];
    uint8_t broker[CURVE_SIZE];
    uint8_t shared[CURVE_SIZE];
    bool fine = s_decode_key(secret, own_secret) && s_decode_key(client, client_public) &&
                s_decode_key(broker, broker_public) &&
                crypto_scalarmult(shared, secret, is_client ? broker : client) == 0 &&
                !sodium_is_zero(shared, sizeof shared);
    if (fine) {
        s_derive(out_key, shared, client, broker);
    }
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(shared, sizeof shared);
    return fine;
}

void pcl_seal_key_wipe(pcl_seal_key *key)
{
    assert(key != NULL);
    sodium_memzero(key, sizeof *key);
}

static void s_mac(uint8_t out_mac[MAC_SIZE], const uint8_t *head, pcl_bytes payload,
                  const pcl_seal_key *key)
{
    crypto_generichash_state state;
    int rc = crypto_generichash_init(&state, key->octets, sizeof key->octets, MAC_SIZE);
    rc |= crypto_generichash_update(&state, head, MAC_AT);
    if (payload.size > 0) {
        rc |= crypto_generichash_update(&state, payload.data, payload.size);
    }
    rc |= crypto_generichash_final(&state, out_mac, MAC_SIZE);
    assert(rc == 0); /* fails only for sizes that it does not take */
    sodium_memzero(&state, sizeof state);
}

void pcl_seal_write(uint8_t out_octets[PCL_SEAL_SIZE], const pcl_seal *seal, pcl_bytes payload,
                    const pcl_seal_key *key)
{
    assert(out_octets != NULL && seal != NULL && key != NULL);
    assert(seal->kind == PCL_SEAL_REQUEST || seal->kind == PCL_SEAL_REPLY);
    memset(out_octets, 0, MAC_AT);
    out_octets[0] = SEAL_VERSION;
    out_octets[1] = (uint8_t)seal->kind;
    pcl_put_be(out_octets + TIME_AT, seal->time_us, 8);
    pcl_put_be(out_octets + CHANNEL_AT, seal->channel, 8);
    pcl_put_be(out_octets + SEQUENCE_AT, seal->sequence, 8);
    s_mac(out_octets + MAC_AT, out_octets, payload, key);
}

/* What can be said without the key; NULL when nothing is wrong. */
static const char *s_head_fault(pcl_seal_kind kind, pcl_bytes octets)
{
    static const uint8_t ZEROS[TIME_AT - RESERVED_AT];
    if (octets.size != PCL_SEAL_SIZE) {
        return "must have 64 octets";
    }
    if (octets.data[0] != SEAL_VERSION) {
        return "is of another version";
    }
    if (octets.data[1] != (uint8_t)kind) {
        return "is of another kind";
    }
    if (memcmp(octets.data + RESERVED_AT, ZEROS, sizeof ZEROS) != 0) {
        return "must have 0 in its reserved octets";
    }
    return NULL;
}

const char *pcl_seal_read(pcl_seal *out_seal, pcl_seal_kind kind, pcl_bytes octets,
                          pcl_bytes payload, const pcl_seal_key *key)
{
    assert(out_seal != NULL && key != NULL);
    const char *fault = s_head_fault(kind, octets);
    if (fault != NULL) {
        return fault;
    }
    uint8_t mac[MAC_SIZE];
    s_mac(mac, octets.data, payload, key);
    bool fits = crypto_verify_32(mac, octets.data + MAC_AT) == 0;
    /* Of a forged seal this is the mac that its maker would need. */
    sodium_memzero(mac, sizeof mac);
    if (!fits) {
        return "does not fit the payload and the key";
    }
    pcl_seal seal = {.kind = kind,
                     .time_us = pcl_get_be(octets.data + TIME_AT, 8),
                     .channel = pcl_get_be(octets.data + CHANNEL_AT, 8),
                     .sequence = pcl_get_be(octets.data + SEQUENCE_AT, 8)};
    if (seal.sequence == 0) {
        return "must have a sequence of 1 or more";
    }
    *out_seal = seal;
    return NULL;
}
