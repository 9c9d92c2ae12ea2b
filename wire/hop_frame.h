/* hop_frame.h - small messages between daemons, one after the other in one frame
 * (docs/rfc/2-hop-protocol.md, section 3); pure.
 *
 *   [head][4 octets: the payload's size][4 octets: the tail's size][payload][tail] [head]...
 *
 * Sizes are big endian; the head says itself how long it is.
 */
#ifndef PCL_WIRE_HOP_FRAME_H
#define PCL_WIRE_HOP_FRAME_H

#include "common/bytes.h"

#include <stdbool.h>

/* Of payload and tail together, up to which a message is sent packed. */
#define PCL_HOP_FRAME_SIZE_MAX 2048u

/* A sender begins another frame before one has more than so many messages or octets.  A receiver
 * takes so many, and the rest is dropped; of a frame with more octets none, unless the message is
 * alone in it. */
#define PCL_HOP_BATCH_COUNT_MAX 64u
#define PCL_HOP_BATCH_SIZE_MAX  32768u

typedef struct pcl_hop_frame {
    pcl_bytes head, payload, tail; /* borrowed */
} pcl_hop_frame;

/* Octets of the message. */
size_t pcl_hop_frame_size(const pcl_hop_frame *parts);
/* Writes them; returns where the next message goes.  The head must be a whole one. */
uint8_t *pcl_hop_frame_write(const pcl_hop_frame *parts, uint8_t *target);

/* Takes the first message off *rest: the parts of any octets, of which the head is not decoded yet.
 * false: they do not begin with a packed message, and *out_parts and *rest are untouched; where the
 * next one would begin nobody can say. */
bool pcl_hop_frame_next(pcl_hop_frame *out_parts, pcl_bytes *rest);

#endif
