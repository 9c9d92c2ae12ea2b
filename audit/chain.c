#include "audit/chain.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

void pcl_audit_chain_hash(const uint8_t previous[PCL_AUDIT_HASH_SIZE], pcl_bytes hashed,
                          const uint8_t *key, uint8_t out_hash[PCL_AUDIT_HASH_SIZE])
{
    crypto_generichash_state state;
    int rc = crypto_generichash_init(&state, key, key != NULL ? PCL_AUDIT_KEY_SIZE : 0,
                                     PCL_AUDIT_HASH_SIZE);
    assert(rc == 0);
    rc = crypto_generichash_update(&state, previous, PCL_AUDIT_HASH_SIZE);
    assert(rc == 0);
    rc = crypto_generichash_update(&state, hashed.data, hashed.size);
    assert(rc == 0);
    rc = crypto_generichash_final(&state, out_hash, PCL_AUDIT_HASH_SIZE);
    assert(rc == 0);
}

void pcl_audit_chain_put(const pcl_audit_record *record, const uint8_t *key,
                         uint8_t hash[PCL_AUDIT_HASH_SIZE], pcl_buffer *buffer)
{
    static const char DIGITS[] = "0123456789abcdef";
    size_t from = buffer->size;
    pcl_audit_record_format(record, buffer);
    if (buffer->failed) {
        return;
    }
    pcl_bytes hashed = pcl_bytes_of(buffer->data + from, buffer->size - from);
    uint8_t next[PCL_AUDIT_HASH_SIZE];
    pcl_audit_chain_hash(hash, hashed, key, next);
    char text[6 + PCL_AUDIT_HASH_TEXT + 1] = "chain=";
    for (size_t index = 0; index < PCL_AUDIT_HASH_SIZE; index++) {
        text[6 + 2 * index] = DIGITS[next[index] >> 4];
        text[7 + 2 * index] = DIGITS[next[index] & 15];
    }
    text[6 + PCL_AUDIT_HASH_TEXT] = '\n';
    pcl_buffer_put(buffer, text, sizeof text);
    if (!buffer->failed) {
        memcpy(hash, next, sizeof next);
    }
}

bool pcl_audit_key_read(pcl_bytes text, uint8_t out_key[PCL_AUDIT_KEY_SIZE])
{
    while (text.size > 0 &&
           (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r')) {
        text.size--;
    }
    uint8_t key[PCL_AUDIT_KEY_SIZE];
    size_t size = 0;
    bool good = text.size == 2 * sizeof key &&
                sodium_hex2bin(key, sizeof key, (const char *)text.data, text.size, NULL, &size,
                               NULL) == 0 &&
                size == sizeof key;
    if (good) {
        memcpy(out_key, key, sizeof key);
    }
    sodium_memzero(key, sizeof key);
    return good;
}
