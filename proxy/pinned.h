/* pinned.h - where a request goes that belongs to a session or a cursor.
 *
 * The id names the run of the agent that holds it (wire/head.h), so nothing is
 * kept here.  Neither strategy nor drain has a say: the session is there and
 * nowhere else.
 *
 *  1. A run that has ended, or that nobody knows, is GONE: what was open there
 *     was rolled back.
 *  2. A proxy that has just started does not know every run yet: for
 *     PCL_PINNED_SETTLE_MS an unknown one is NO_NODE, and may be asked again.
 *  3. A run that is silent may be heard again: NO_NODE, nothing was sent.  After
 *     PCL_PINNED_SILENT_MS it is GONE; its agent has given up what was idle there.
 *  4. A node with node_inflight_max requests of ours gets no more: OVERLOADED.
 *
 * Pure, no allocation.
 */
#ifndef PCL_PROXY_PINNED_H
#define PCL_PROXY_PINNED_H

#include "proxy/candidates.h"

#include <stdint.h>

#define PCL_PINNED_SETTLE_MS 3000u  /* agents connect again within a second, and beat at once */
#define PCL_PINNED_SILENT_MS 30000u /* as long as an agent keeps what is idle, unless told else */

typedef struct pcl_pinned_case {
    const uint8_t *id; /* PCL_ID_SIZE octets: of a session, or of a cursor with any page */
    uint32_t node_inflight_max;
    uint64_t started_us; /* when the proxy did */
    uint64_t now_us;
} pcl_pinned_case;

typedef struct pcl_pinned_verdict {
    pcl_err err;         /* OK, GONE, NO_NODE, OVERLOADED */
    uint32_t node;       /* of OK; else PCL_MEMBER_NONE */
    const char *message; /* of GONE and NO_NODE, for people; static; else NULL */
} pcl_pinned_verdict;

pcl_pinned_verdict pcl_pinned_find(const pcl_membership *members, const pcl_pinned_case *request);

/* What NO_NODE says when the node proves unreachable only as the request is sent. */
const char *pcl_pinned_unreachable_text(void);

/* The node whose agent's present run made the id, reachable or not; PCL_MEMBER_NONE: none. */
uint32_t pcl_pinned_node(const pcl_membership *members, const uint8_t id[PCL_ID_SIZE]);

/* The decision as other requests have it: the node alone fits.  Fills *out whole. */
void pcl_pinned_candidates(const pcl_membership *members, uint32_t node, pcl_candidates *out);

#endif
