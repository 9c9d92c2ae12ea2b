/* envelope.h - the frames a client sends, by their sizes alone; pure.
 *
 *   [routing id]                 set by our own socket
 *   [envelope frame] x 0..4      what the client puts before the delimiter; echoed
 *   []                           the delimiter: the first empty frame
 *   [payload]
 *   [seal]                       optional; 64 octets, which only the broker can read
 *
 * docs/rfc/1-client-protocol.md, section 2.  A refusal goes back with as much
 * of the envelope as stands, so that the client can match it.
 */
#ifndef PCL_GATEKEEPER_ENVELOPE_H
#define PCL_GATEKEEPER_ENVELOPE_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_ENVELOPE_NOWHERE            UINT32_MAX
#define PCL_ENVELOPE_SEAL_SIZE          64u /* net/seal.h */
/* Routing id, envelope frames, delimiter, payload, seal. */
#define PCL_ENVELOPE_MESSAGE_FRAMES_MAX (PCL_ENVELOPE_FRAMES_MAX + 4u)

typedef struct pcl_envelope {
    pcl_err err;            /* OK, MALFORMED or TOO_LARGE */
    const char *field;      /* of a refusal: "envelope", "payload" or "seal"; static */
    const char *rule;       /* of a refusal: what must hold; static */
    uint32_t echo_count;    /* frames 1..echo_count stand before the delimiter and go back */
    uint32_t payload_index; /* PCL_ENVELOPE_NOWHERE when there is none; else set also on refusal */
    uint32_t seal_index;    /* PCL_ENVELOPE_NOWHERE when there is none */
} pcl_envelope;

/* Whether our socket made up this routing id.  One that a client chose could be
 * chosen by another client after it, which would then get the first one's replies. */
bool pcl_envelope_is_own_route(pcl_bytes routing_id);

/* sizes: octets of each frame, the routing id's first; at least that one.
 * overflow: there were more frames than count. */
pcl_envelope pcl_envelope_parse(const size_t *sizes, uint32_t count, bool overflow,
                                size_t payload_size_max);

#endif
