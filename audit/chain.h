/* chain.h - what ties each line of the audit log to all before it.
 *
 *   hash of a line = BLAKE2b-256(key, hash of the line before || the line up to `chain=`)
 *
 * The first line ever follows 32 octets of 0.  Without a key the chain shows what was changed by
 * accident or without care; whoever can write the files can make it anew from any line on, and then
 * only a head that was noted elsewhere tells.  With a key, that takes the key.  Pure.
 */
#ifndef PCL_AUDIT_CHAIN_H
#define PCL_AUDIT_CHAIN_H

#include "audit/record.h"

#define PCL_AUDIT_KEY_SIZE 32u

/* Puts the line, with its chain and its end, behind what is in buffer, and the hash into hash,
 * which held that of the line before.  key: PCL_AUDIT_KEY_SIZE octets or NULL. */
void pcl_audit_chain_put(const pcl_audit_record *record, const uint8_t *key,
                         uint8_t hash[PCL_AUDIT_HASH_SIZE], pcl_buffer *buffer);

/* The hash of a line; hashed is what pcl_audit_record_parse says is hashed of it. */
void pcl_audit_chain_hash(const uint8_t previous[PCL_AUDIT_HASH_SIZE], pcl_bytes hashed,
                          const uint8_t *key, uint8_t out_hash[PCL_AUDIT_HASH_SIZE]);

/* The key of a key file: 64 hexadecimal digits, and perhaps a line's end. */
bool pcl_audit_key_read(pcl_bytes text, uint8_t out_key[PCL_AUDIT_KEY_SIZE]) PCL_MUST_CHECK;

#endif
