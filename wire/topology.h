/* topology.h - what agents and proxies tell each other of who the source is, and of a source that
 * hands over (docs/rfc/2-hop-protocol.md, section 4.11).
 *
 *   offset size
 *        0    8  term
 *        8    8  attempt            random; of one hand-over
 *       16    1  stage              pcl_topology_stage
 *       17    1  flags              1 wants, 2 ready
 *       18    2  source_port
 *       20    2  from_port
 *       22    2  own_port
 *       24    1  source_size        at most PCL_NAME_SIZE_MAX
 *       25    1  source_host_size   at most PCL_TOPOLOGY_HOST_SIZE_MAX
 *       26    1  from_size
 *       27    1  from_host_size
 *       28    1  own_host_size
 *       29    1  reserved           0
 *       30    2  position_size      at most PCL_TOPOLOGY_POSITION_SIZE_MAX
 *       32    n  source             then source_host, from, from_host, own_host, position
 *
 * Integers are big endian, texts letters, digits and a few signs.
 */
#ifndef PCL_WIRE_TOPOLOGY_H
#define PCL_WIRE_TOPOLOGY_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_TOPOLOGY_FIXED_SIZE        32u
#define PCL_TOPOLOGY_HOST_SIZE_MAX     253u
#define PCL_TOPOLOGY_POSITION_SIZE_MAX 1024u
#define PCL_TOPOLOGY_SIZE_MAX                                                                      \
    (PCL_TOPOLOGY_FIXED_SIZE + 2u * PCL_NAME_SIZE_MAX + 3u * PCL_TOPOLOGY_HOST_SIZE_MAX +          \
     PCL_TOPOLOGY_POSITION_SIZE_MAX)

typedef enum pcl_topology_stage {
    PCL_TOPOLOGY_NONE = 0,    /* the sender knows of no change */
    PCL_TOPOLOGY_PROPOSED,    /* a proxy's: that node could be the source */
    PCL_TOPOLOGY_FENCED,      /* the source takes no writes, and can take this back */
    PCL_TOPOLOGY_DECIDED,     /* for good: `source` is to take over */
    PCL_TOPOLOGY_OPEN,        /* it has */
    PCL_TOPOLOGY_STAGE_COUNT, /* must stay last */
} pcl_topology_stage;

/* A node and where other nodes reach its database; "" and 0 where unknown. */
typedef struct pcl_topology_place {
    char name[PCL_NAME_SIZE_MAX + 1];
    char host[PCL_TOPOLOGY_HOST_SIZE_MAX + 1];
    uint16_t port;
} pcl_topology_place;

typedef struct pcl_topology {
    uint64_t term; /* that the hand-over begins, or has begun; 0: of the configuration */
    uint64_t attempt;
    pcl_topology_stage stage;
    bool wants;                                        /* the sender should not be the source */
    bool ready;                                        /* FENCED: the sender has the position */
    pcl_topology_place source;                         /* of this term */
    pcl_topology_place from;                           /* of the one before */
    pcl_topology_place own;                            /* the sender; its name is not sent */
    char position[PCL_TOPOLOGY_POSITION_SIZE_MAX + 1]; /* all that the former source has */
} pcl_topology;

/* Writes at most PCL_TOPOLOGY_SIZE_MAX octets, returns how many.  The texts must be valid. */
size_t pcl_topology_encode(const pcl_topology *topology, uint8_t target[PCL_TOPOLOGY_SIZE_MAX]);

/* MALFORMED; *out_topology untouched on failure.  From FENCED on, on success, a term, both nodes
 * with their places and a position are there, and the nodes differ. */
pcl_err pcl_topology_decode(pcl_topology *out_topology, pcl_bytes source) PCL_MUST_CHECK;

/* Whether b says more than a: a later term, or a later stage of it. */
bool pcl_topology_is_newer(const pcl_topology *a, const pcl_topology *b);

/* Letters, digits, and '-', '.', '_', ':'; for positions ',' too.  "" is one. */
bool pcl_topology_text_is_valid(pcl_bytes text) PCL_MUST_CHECK;

const char *pcl_topology_stage_text(pcl_topology_stage stage); /* "none", "proposed", ... */

#endif
