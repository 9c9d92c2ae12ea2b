/* packed.h - a client's message in one frame, or several: docs/rfc/1-client-protocol.md, sections
 * 2.1 and 2.3; pure.
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
 * frames is what they cost.  What one peer has for the other at the same time goes in one frame:
 *
 *   offset size
 *        0    4  mark       0xc1 "PC" 2
 *        4    4  size       of what follows, n
 *        8    n  a message as above, with its payload
 *        .    .  ... and again, from size on; 1 to PCL_PACKED_MANY_MAX of them
 */
#ifndef PCL_WIRE_PACKED_H
#define PCL_WIRE_PACKED_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_PACKED_FIXED_SIZE  16u
#define PCL_PACKED_SEAL_MAX    255u /* 64 is right; whoever looks at seals says so of others */
#define PCL_PACKED_HEAD_MAX    (PCL_PACKED_FIXED_SIZE + PCL_PACKED_SEAL_MAX)
#define PCL_PACKED_PAYLOAD_MAX 16384u
#define PCL_PACKED_MANY_MAX    64u    /* messages in one frame */
#define PCL_PACKED_SIZE_MAX    32768u /* octets of such a frame */

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

/* The messages of a frame, one after the other. */
typedef struct pcl_packed_reader {
    pcl_bytes left; /* borrowed */
} pcl_packed_reader;

/* The frame is looked through first, so that it is taken as a whole or not at all.  false: it is
 * not one of several messages; *out_reader is untouched. */
bool pcl_packed_open(pcl_packed_reader *out_reader, pcl_bytes frame);
/* false: that was the last. */
bool pcl_packed_next(pcl_packed_reader *self, pcl_packed *out_packed);

/* A frame of several while it grows. */
typedef struct pcl_packed_writer {
    pcl_buffer octets;
    uint32_t count;
} pcl_packed_writer;

void pcl_packed_writer_init(pcl_packed_writer *self);
void pcl_packed_writer_release(pcl_packed_writer *self);
void pcl_packed_writer_clear(pcl_packed_writer *self); /* keeps its memory */

/* payload has 1 to PCL_PACKED_PAYLOAD_MAX octets.  false: there is no room beside what is there
 * (never in an empty one), or memory is out; nothing has changed. */
bool pcl_packed_writer_add(pcl_packed_writer *self, uint64_t tag, pcl_bytes seal,
                           pcl_bytes payload) PCL_MUST_CHECK;

/* The frame; borrowed until the next call. */
pcl_bytes pcl_packed_writer_frame(const pcl_packed_writer *self);
/* Of the only message that is there what it would be alone, by its own mark; likewise. */
pcl_bytes pcl_packed_writer_single(const pcl_packed_writer *self);

#endif
