/* token.h - the text of a causal token: docs/rfc/2-hop-protocol.md, section 4.9.
 *
 *   1.5ToIE9FAUUi_8ppQ3D71dQ.0-1-42      "1." MAC "." position
 *
 * What it looks like, and no more: whether the MAC is right is known to those who have the key
 * (net/token_keys.h).  Pure.
 */
#ifndef PCL_WIRE_TOKEN_H
#define PCL_WIRE_TOKEN_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_TOKEN_MAC_SIZE 16u

/* The parts of one; out_position is borrowed from text, and a well-formed GTID position.  false: it
 * is no token. */
bool pcl_token_read(pcl_bytes text, uint8_t out_mac[PCL_TOKEN_MAC_SIZE],
                    pcl_bytes *out_position) PCL_MUST_CHECK;

/* NUL terminated; returns its size.  position: 1 to PCL_GTID_SIZE_MAX octets. */
size_t pcl_token_write(const uint8_t mac[PCL_TOKEN_MAC_SIZE], pcl_bytes position,
                       char target[PCL_TOKEN_SIZE_MAX + 1]);

/* Whoever keeps a need not keep b: a read after a is one after b, too.  false where one is no
 * token, or where that cannot be said. */
bool pcl_token_covers(pcl_bytes a, pcl_bytes b);

#endif
