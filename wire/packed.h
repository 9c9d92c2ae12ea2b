/* packed.h - a client's message in one frame: docs/rfc/1-client-protocol.md, section 2.1; pure.
 *
 *   offset size
 *        0    4  mark       0xc1 "PC" 1; no msgpack value begins so
 *        4    8  tag        the client's own; the reply has it again
 *       12    1  seal_size  0 or 64
 *       13    3  reserved   0
 *       16    n  seal
 *        .    m  payload, at most PCL_PACKED_PAYLOAD_MAX; nothing: it is the next frame
 *
 * CURVE encrypts, and libzmq queues, frame by frame; so where messages are small the number of
 * frames is what they cost.
 */
#ifndef PCL_WIRE_PACKED_H
#define PCL_WIRE_PACKED_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PACKED_FIXED_SIZE  16u
#define PCL_PACKED_SEAL_MAX    255u /* 64 is right; whoever looks at seals says so of others */
#define PCL_PACKED_HEAD_MAX    (PCL_PACKED_FIXED_SIZE + PCL_PACKED_SEAL_MAX)
#define PCL_PACKED_PAYLOAD_MAX 16384u

typedef struct pcl_packed {
    uint64_t tag;
    pcl_bytes seal;    /* borrowed; empty: none */
    pcl_bytes payload; /* likewise; empty: it is the next frame */
} pcl_packed;

/* Whether the frame begins as one; then it is nothing else. */
bool pcl_packed_is(pcl_bytes frame);

/* false: it is not one; *out_packed is untouched. */
bool pcl_packed_read(pcl_packed *out_packed, pcl_bytes frame);

/* What stands before the payload; seal has at most PCL_PACKED_SEAL_MAX octets.
 * Returns its size. */
uint32_t pcl_packed_write_head(uint64_t tag, pcl_bytes seal, uint8_t target[PCL_PACKED_HEAD_MAX]);

#endif
