/* hop_frame.h - a small message between daemons as one frame
 * (docs/rfc/2-hop-protocol.md, section 3).
 *
 *   [head][4 octets: the payload's size, big endian][payload][tail]
 *
 * The head says itself how long it is; the tail is what is left.
 */
#ifndef PCL_WIRE_HOP_FRAME_H
#define PCL_WIRE_HOP_FRAME_H

#include "common/bytes.h"

#include <stdbool.h>

/* Of payload and tail together, up to which a message is sent packed. */
#define PCL_HOP_FRAME_SIZE_MAX 2048u

typedef struct pcl_hop_frame {
    pcl_bytes head, payload, tail; /* borrowed */
} pcl_hop_frame;

/* Octets of the frame. */
size_t pcl_hop_frame_size(const pcl_hop_frame *parts);
/* Writes them.  The head must be a whole one. */
void pcl_hop_frame_write(const pcl_hop_frame *parts, uint8_t *target);

/* The parts of any octets, of which the head is not decoded yet.  false: they are no packed
 * message, and *out_parts is untouched. */
bool pcl_hop_frame_read(pcl_hop_frame *out_parts, pcl_bytes frame);

#endif
