/* report.h - what an agent says of its node, in every beat and every reply
 * (docs/rfc/2-hop-protocol.md, section 5; STRATEGIES section 3.1).
 *
 *   offset size
 *        0    8  boot_id            random, of this run of the agent
 *        8    8  seq
 *       16    8  term
 *       24    1  role               pcl_node_role
 *       25    1  state              pcl_node_state
 *       26    1  flavor             pcl_flavor
 *       27    1  flags              1 read_only, 2 replicating, 4 fault, 8 notice
 *       28    1  warm_percent       0 to 100
 *       29    1  reserved           0
 *       30    2  workers
 *       32    4  lag_ms             0 to 2^31 - 1, or 0xffffffff: unknown
 *       36    4  rif
 *       40    4  running
 *       44    4  queued
 *       48    4  queue_max
 *       52    4  threads_running
 *       56    8  errors
 *       64    8  served
 *       72    4  service_mean_us    from here five floats
 *       76    4  service_count
 *       80    4  service_variance
 *       84    4  service_fast_us
 *       88    4  service_fast_count
 *       92    4  exec_us
 *       96    4  queue_us
 *      100    2  database_port
 *      102    2  gtid_size          at most PCL_REPORT_GTID_SIZE_MAX
 *      104    4  sessions
 *      108    4  cursors
 *      112    4  rif_you
 *      116    1  zone_size          at most PCL_REPORT_ZONE_SIZE_MAX
 *      117   11  reserved           0
 *      128    n  gtid               printable ASCII and line feeds
 *        .    m  zone               letters, digits, '-', '.' and '_'
 *
 * Integers are big endian, floats the bits of an IEEE 754 binary32, finite and
 * not negative.
 */
#ifndef PCL_WIRE_REPORT_H
#define PCL_WIRE_REPORT_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_REPORT_GTID_SIZE_MAX 1024u
#define PCL_REPORT_FIXED_SIZE    128u
#define PCL_REPORT_ZONE_SIZE_MAX 32u
#define PCL_REPORT_SIZE_MAX                                                                        \
    (PCL_REPORT_FIXED_SIZE + PCL_REPORT_GTID_SIZE_MAX + PCL_REPORT_ZONE_SIZE_MAX)

typedef enum pcl_node_role {
    PCL_NODE_UNKNOWN = 0,
    PCL_NODE_SOURCE,
    PCL_NODE_REPLICA,
    PCL_NODE_ROLE_COUNT, /* must stay last */
} pcl_node_role;

typedef enum pcl_node_state {
    PCL_NODE_NOT_READY = 0, /* the database cannot be reached, or is being set up */
    PCL_NODE_UP,
    PCL_NODE_DRAIN,       /* the agent takes no new work */
    PCL_NODE_STATE_COUNT, /* must stay last */
} pcl_node_state;

typedef enum pcl_flavor {
    PCL_FLAVOR_UNKNOWN = 0,
    PCL_FLAVOR_MARIADB,
    PCL_FLAVOR_MYSQL,
    PCL_FLAVOR_COUNT, /* must stay last */
} pcl_flavor;

typedef struct pcl_report {
    uint64_t boot_id; /* random, of this run of the agent */
    uint64_t seq;     /* rises with each report; older ones are ignored */
    uint64_t term;    /* of the topology the agent follows */
    pcl_node_role role;
    pcl_node_state state;
    pcl_flavor flavor;
    bool read_only;           /* the server's own */
    bool replicating;         /* replica: both replication threads run; source: true */
    bool fault;               /* the statement just answered failed for the node's own reason */
    bool notice;              /* the host will be taken away soon */
    uint8_t warm_percent;     /* 100: the buffer pool is as warm as it gets */
    int32_t lag_ms;           /* -1 unknown; 0 on the source */
    uint32_t rif;             /* statements queued and running here, of all proxies */
    uint32_t rif_you;         /* of these, from the run of the proxy that gets the report */
    uint32_t running;         /* statements the database is running for the agent */
    uint32_t queued;          /* rif - running */
    uint16_t workers;         /* connections that can run at the same time */
    uint32_t queue_max;       /* bound of the agent's queue */
    uint32_t threads_running; /* the server's Threads_running */
    uint64_t errors;          /* statements that failed for the node's own reason, since boot */
    uint64_t served;          /* statements answered since boot */
    float service_mean_us;    /* S_L: time constant 3 s, winsorised */
    float service_count;      /* n_L: effective count */
    float service_variance;   /* V_L: raw, us^2 */
    float service_fast_us;    /* S_S: time constant 200 ms */
    float service_fast_count;
    uint32_t exec_us;                        /* of the statement just answered; 0 in a beat */
    uint32_t queue_us;                       /* likewise */
    uint16_t database_port;                  /* for people; 0 unknown */
    uint32_t sessions;                       /* open here, of all clients */
    uint32_t cursors;                        /* likewise, those outside of sessions */
    pcl_bytes gtid;                          /* executed set, text; decoded: borrowed */
    char zone[PCL_REPORT_ZONE_SIZE_MAX + 1]; /* where the node is; "" unknown */
} pcl_report;

/* Writes at most PCL_REPORT_SIZE_MAX octets, returns how many.  gtid longer
 * than its limit must have been cut by the caller, and zone be one.  A float that is negative or
 * no number is written as 0, an infinite one as the largest. */
size_t pcl_report_encode(const pcl_report *report, uint8_t target[PCL_REPORT_SIZE_MAX]);

/* MALFORMED; *out_report untouched on failure.  Enums in range, floats finite
 * and not negative, warm_percent at most 100, on success. */
pcl_err pcl_report_decode(pcl_report *out_report, pcl_bytes source) PCL_MUST_CHECK;

/* Whether that can be the name of a zone; "" can. */
bool pcl_zone_is_valid(pcl_bytes zone) PCL_MUST_CHECK;

const char *pcl_node_role_text(pcl_node_role role);    /* "source", "replica", "unknown" */
const char *pcl_node_state_text(pcl_node_state state); /* "up", "drain", "not ready" */
const char *pcl_flavor_text(pcl_flavor flavor);        /* "mariadb", "mysql", "unknown" */

#endif
