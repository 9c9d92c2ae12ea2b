/* Octets that are a seal come out of writing what they say; no others are taken.  The input is a
 * seal and its payload; with the first octet odd the mac is made to fit, or no input would ever
 * get past it. */
#include "net/seal.h"

#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static const pcl_seal_key s_key = {.octets = {1, 2, 3, 4, 5, 6, 7, 8}};

/* Puts the mac that fits into octets, as whoever has the key could. */
static void s_mend(uint8_t octets[PCL_SEAL_SIZE], pcl_bytes payload)
{
    enum { MAC_AT = PCL_SEAL_SIZE - 32 };
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, s_key.octets, sizeof s_key.octets, 32);
    (void)crypto_generichash_update(&state, octets, MAC_AT);
    (void)crypto_generichash_update(&state, payload.data, payload.size);
    (void)crypto_generichash_final(&state, octets + MAC_AT, 32);
}

static void s_check(pcl_seal_kind kind, pcl_bytes octets, pcl_bytes payload)
{
    pcl_seal seal;
    if (pcl_seal_read(&seal, kind, octets, payload, &s_key) != NULL) {
        return;
    }
    uint8_t again[PCL_SEAL_SIZE];
    s_require(octets.size == sizeof again && seal.kind == kind && seal.sequence > 0);
    pcl_seal_write(again, &seal, payload, &s_key);
    s_require(memcmp(again, octets.data, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    bool mend = (data[0] & 1) != 0;
    pcl_bytes octets = pcl_bytes_of(data + 1, size - 1);
    pcl_bytes payload = pcl_bytes_of(data + 1, 0);
    if (octets.size > PCL_SEAL_SIZE) { /* less is all seal: one of a wrong size */
        payload = pcl_bytes_of(octets.data + PCL_SEAL_SIZE, octets.size - PCL_SEAL_SIZE);
        octets.size = PCL_SEAL_SIZE;
    }
    uint8_t copy[PCL_SEAL_SIZE];
    if (mend && octets.size == sizeof copy) {
        memcpy(copy, octets.data, sizeof copy);
        s_mend(copy, payload);
        octets = pcl_bytes_of(copy, sizeof copy);
    }
    s_check(PCL_SEAL_REQUEST, octets, payload);
    s_check(PCL_SEAL_REPLY, octets, payload);
    return 0;
}
