/* seen.h - which digests have their text in the file already.
 *
 * A bounded set of numbers.  When it is full it forgets all, and texts are written once more:
 * a file may repeat a text, and never lacks one.
 */
#ifndef PCL_AUDIT_SEEN_H
#define PCL_AUDIT_SEEN_H

#include "audit/record.h"

#define PCL_AUDIT_SEEN_SLOTS 8192u /* a power of two; three quarters are used */

typedef struct pcl_audit_seen {
    uint64_t slots[PCL_AUDIT_SEEN_SLOTS]; /* 0: empty */
    uint32_t count;
} pcl_audit_seen;

void pcl_audit_seen_clear(pcl_audit_seen *self);

/* true: it was not there; it is now. */
bool pcl_audit_seen_add(pcl_audit_seen *self, uint64_t digest);

/* The number of a digest's id.  false: it is not PCL_AUDIT_DIGEST_SIZE hexadecimal digits. */
bool pcl_audit_digest_parse(pcl_bytes id, uint64_t *out_digest) PCL_MUST_CHECK;

#endif
