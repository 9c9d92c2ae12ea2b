/* head.h - first part of every message between daemons
 * (docs/rfc/2-hop-protocol.md, section 3).
 *
 *   offset size
 *        0    8  ticket        the receiver's peer's; a reply carries it back; 0 in beats
 *        8    2  signature     0x50 0x43 "PC"
 *       10    1  version       2
 *       11    1  kind          pcl_kind
 *       12    1  op            pcl_op
 *       13    1  class         pcl_sql_class as the broker judged it (sql/classify.h)
 *       14    1  strategy      pcl_strategy_kind
 *       15    1  consistency   pcl_consistency_kind
 *       16    1  attempt       0 for the first
 *       17    1  code          reply: pcl_err
 *       18    1  retry         reply: pcl_retry
 *       19    1  flags         pcl_head_flag bits
 *       20    4  budget_us     request: time the sender still allows; reply: time it waited for a
 *                                thread of the agent
 *       24    8  sent_us       sender's monotonic clock at sending (common/transit.h)
 *       32    4  gatekeeper_us time spent in each hop on the way down
 *       36    4  broker_us
 *       40    4  proxy_us
 *       44    4  max_lag_ms    of PCL_CONSISTENCY_MAX_LAG; of PCL_CONSISTENCY_AFTER how long the
 *                                agent may wait for it, 0 not at all
 *       48    8  term          of the topology; 0 none
 *       56   16  id            the request's
 *       72   16  session       of a session's request; the cursor of fetch and close; what a
 *                                reply opened or ended (flags HELD, RELEASED); or the boot id
 *                                in the first 8 octets of a beat
 *       88    4  rows          request: at most so many may be returned, 0 any number; reply: that
 *                                many were returned or changed, UINT32_MAX so many or more
 *       92    1  principal_size
 *       93    1  role_size
 *       94    2  after_size    at most PCL_GTID_SIZE_MAX
 *       96    n  principal     UTF-8; in a beat: the sender's name
 *        .    m  role          UTF-8; request: under whose accounts it runs; reply: the name of
 *                                the node that ran it, empty where none did
 *        .    k  after         printable ASCII; request of PCL_CONSISTENCY_AFTER: the GTID set that
 *                                its tokens name, from the broker on
 *
 * Integers are big endian.  Two parts follow, empty where the kind has none
 * (net/hop.h):
 *
 *   REQUEST  [payload as the client sent it][seal, only with flag SEALED]
 *            and from the proxy to an agent, with flag EXPLAIN,
 *            [a msgpack map to stand in the reply's route]
 *   REPLY    [payload][report, only from an agent: wire/report.h]
 *   BEAT     an empty payload, then [report]; from an agent only
 *   PING     nothing; every receiver answers PONG
 *   PONG     nothing
 *   CANCEL   nothing; the sender's ticket names a request that nobody waits for, id must
 *            match it; the REPLY still comes and ends the ticket
 *   BYE      nothing; the sender takes no more work and finishes what it has
 *   RELEASE  nothing; session names a session or cursor that nobody holds any more, principal
 *            whose it was; no reply
 *   TOPOLOGY an empty payload, then [wire/topology.h]; between agent and proxy, no reply
 */
#ifndef PCL_WIRE_HEAD_H
#define PCL_WIRE_HEAD_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/limits.h"
#include "wire/request.h"

#include <stdint.h>

#define PCL_HEAD_FIXED_SIZE 96u
#define PCL_HEAD_SIZE_MAX   (PCL_HEAD_FIXED_SIZE + 2u * PCL_NAME_SIZE_MAX + PCL_GTID_SIZE_MAX)

typedef enum pcl_kind {
    PCL_KIND_REQUEST = 1,
    PCL_KIND_REPLY,
    PCL_KIND_BEAT,
    PCL_KIND_PING,
    PCL_KIND_PONG,
    PCL_KIND_CANCEL,
    PCL_KIND_BYE,
    PCL_KIND_RELEASE,
    PCL_KIND_TOPOLOGY,
    PCL_KIND_LIMIT, /* must stay last */
} pcl_kind;

typedef enum pcl_head_flag {
    PCL_HEAD_SEALED = 1,    /* a seal frame follows the payload */
    PCL_HEAD_EXPLAIN = 2,   /* the reply shall carry the whole routing decision */
    PCL_HEAD_HEDGE = 4,     /* a second copy of a read that runs elsewhere too */
    PCL_HEAD_DRAINING = 8,  /* of a PONG or BEAT: send no new work */
    PCL_HEAD_HELD = 16,     /* of a REPLY: session names a session or cursor that is open now */
    PCL_HEAD_RELEASED = 32, /* of a REPLY: session names one that is not there any more */
    PCL_HEAD_FIRST = 64,    /* of a REQUEST: its principal has nothing else below the broker */
    PCL_HEAD_DRY_RUN = 128, /* of a REQUEST: the proxy tells whom it would ask, and asks nobody */
} pcl_head_flag;

typedef struct pcl_head {
    uint64_t ticket;
    pcl_kind kind;
    pcl_op op;
    uint8_t sql_class; /* pcl_sql_class; wire does not know its values */
    pcl_strategy_kind strategy;
    pcl_consistency_kind consistency;
    uint8_t attempt;
    pcl_err code;
    pcl_retry retry;
    uint8_t flags;
    uint32_t budget_us; /* at most UINT32_MAX us, over 4,294 s; of a reply: waited at the agent */
    uint64_t sent_us;
    uint32_t gatekeeper_us, broker_us, proxy_us;
    uint32_t max_lag_ms;
    uint64_t term;
    uint32_t rows; /* of a request: the most that may come, 0 any number; of a reply: that came */
    uint8_t id[PCL_ID_SIZE];
    uint8_t session[PCL_ID_SIZE];
    pcl_bytes principal; /* decoded: borrowed from the octets */
    pcl_bytes role;
    pcl_bytes after; /* likewise; written only in a REQUEST of PCL_CONSISTENCY_AFTER */
} pcl_head;

/* Writes at most PCL_HEAD_SIZE_MAX octets to target, returns how many.
 * principal and role must be within PCL_NAME_SIZE_MAX, after within PCL_GTID_SIZE_MAX. */
size_t pcl_head_encode(const pcl_head *head, uint8_t target[PCL_HEAD_SIZE_MAX]);

/* How long the head is that octets begin with, as it says itself; 0: they are too few for one. */
size_t pcl_head_size(pcl_bytes octets);

/* MALFORMED or VERSION; *out_head untouched on failure.  Every enum is in
 * range and every flag known on success. */
pcl_err pcl_head_decode(pcl_head *out_head, pcl_bytes source) PCL_MUST_CHECK;

/* Ids of sessions and cursors: the boot id of the agent's run, a random handle, and of a
 * cursor the number of the page that comes next.  The canonical id has page 0. */
#define PCL_HELD_HANDLE_SIZE 6u
uint64_t pcl_held_id_boot(const uint8_t id[PCL_ID_SIZE]);
uint16_t pcl_held_id_page(const uint8_t id[PCL_ID_SIZE]);
/* Behind the last number comes 1: 0 is of no page. */
uint16_t pcl_held_id_next_page(uint16_t page);
void pcl_held_id_make(uint8_t out_id[PCL_ID_SIZE], uint64_t boot_id,
                      const uint8_t handle[PCL_HELD_HANDLE_SIZE], uint16_t page);
void pcl_held_id_set_page(uint8_t id[PCL_ID_SIZE], uint16_t page);

/* The boot id of PING, PONG, BEAT and BYE lives in the session field. */
uint64_t pcl_head_boot_id(const pcl_head *head);
void pcl_head_set_boot_id(pcl_head *head, uint64_t boot_id);

#endif
