#include "audit/seen.h"

#include <assert.h>
#include <string.h>

void pcl_audit_seen_clear(pcl_audit_seen *self)
{
    memset(self, 0, sizeof *self);
}

bool pcl_audit_seen_add(pcl_audit_seen *self, uint64_t digest)
{
    uint64_t value = digest != 0 ? digest : 1; /* two that share a slot cost nothing but a text */
    if (self->count >= PCL_AUDIT_SEEN_SLOTS / 4 * 3) {
        pcl_audit_seen_clear(self);
    }
    /* An id is a hash already. */
    uint64_t slot = value % PCL_AUDIT_SEEN_SLOTS;
    while (self->slots[slot] != 0) {
        if (self->slots[slot] == value) {
            return false;
        }
        slot = (slot + 1) % PCL_AUDIT_SEEN_SLOTS;
    }
    self->slots[slot] = value;
    self->count++;
    return true;
}

bool pcl_audit_digest_parse(pcl_bytes id, uint64_t *out_digest)
{
    uint64_t value = 0;
    if (id.size != PCL_AUDIT_DIGEST_SIZE) {
        return false;
    }
    for (size_t index = 0; index < id.size; index++) {
        uint8_t digit = id.data[index];
        bool letter = digit >= 'a' && digit <= 'f';
        if (!letter && (digit < '0' || digit > '9')) {
            return false;
        }
        value = value << 4 | (uint64_t)(letter ? digit - 'a' + 10 : digit - '0');
    }
    *out_digest = value;
    return true;
}
