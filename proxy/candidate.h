/* candidate.h - one node as a strategy sees it, and how that picture is kept.
 *
 * A candidate is plain data: the proxy's own bookkeeping of what it sent there,
 * and the figures of the node's last report.  The functions below are the only
 * writers, so that the proxy and a simulator keep the same books.  Pure; times
 * are microseconds of one monotonic clock.
 */
#ifndef PCL_PROXY_CANDIDATE_H
#define PCL_PROXY_CANDIDATE_H

#include "wire/report.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a node is in our zone. */
typedef enum pcl_zone_place {
    PCL_ZONE_UNKNOWN = 0, /* it, or we, do not say where that is */
    PCL_ZONE_OWN,
    PCL_ZONE_OTHER,
    PCL_ZONE_PLACE_COUNT, /* must stay last */
} pcl_zone_place;

typedef struct pcl_candidate {
    uint32_t index; /* the owner's number of the node; round-robin turns by it */
    pcl_node_role role;
    pcl_zone_place place;   /* where it is, seen from us */
    uint64_t term;          /* of the topology the node follows */
    uint64_t up_since_us;   /* when it last came up */
    uint64_t slow_since_us; /* since when it starts slowly; 0: it does not */

    /* the proxy's own books, exact */
    uint32_t own;           /* requests sent there and not yet answered */
    uint64_t sent_sum_us;   /* sum of their send times: now - sent_sum/own is their mean age */
    float rtt_us;           /* smoothed time of an answer that the node did not spend on it */
    float rtt_deviation_us; /* smoothed distance of a sample from that */
    uint64_t rtt_at_us;     /* of the last sample; 0 never */
    float latency_us;       /* smoothed whole time of an answer; for people */
    float peak_us;          /* peak-ewma: the same, but a longer one counts whole */
    uint64_t peak_at_us;    /* of its last sample; 0 never */
    float answer_us;        /* c3: the same, the last answers alone */
    float execution_us;     /* c3: of that, what the node spent on running it */
    float queued_mean;      /* c3: how many waited there as the answer left */
    float late_us;          /* custom: how long we waited in vain, the last time it was long */
    uint64_t late_at_us;    /* ... and when we gave up; 0 never */

    /* the last report */
    uint64_t reported_us; /* when it was true; 0 never */
    uint64_t sampled_us;  /* when a report last showed newly served statements */
    uint64_t served;      /* of that report */
    uint32_t rif;         /* in flight there, of all proxies */
    uint32_t foreign;     /* of these from others */
    uint32_t running, queued;
    uint16_t workers; /* 0 unknown */
    int32_t lag_ms;   /* -1 unknown */
    float service_mean_us, service_count, service_variance;
    float service_fast_us, service_fast_count;
    uint8_t warm_percent;
} pcl_candidate;

/* A request left for the node. */
void pcl_candidate_sent(pcl_candidate *self, uint64_t now_us);

/* A request that was sent at sent_us is there no longer: answered, given up or
 * moved elsewhere.  It must have been noted as sent. */
void pcl_candidate_done(pcl_candidate *self, uint64_t sent_us);

/* Where the time of an answer went, as the node reports it. */
typedef struct pcl_timing {
    uint64_t total_us; /* from sending to the answer */
    uint32_t exec_us;  /* of it, running */
    uint32_t queue_us; /* of it, waiting at the node */
} pcl_timing;

/* A good answer came; the report it brought is noted already.  Errors are not
 * timed: failing fast must not look quick. */
void pcl_candidate_timed(pcl_candidate *self, const pcl_timing *timing, uint64_t now_us);

/* No answer came in waited_us, and none is waited for any more, since another
 * copy was answered first.  It would have taken longer still, so what is known
 * of the node gets worse by it or stays. */
void pcl_candidate_outrun(pcl_candidate *self, uint64_t waited_us, uint64_t now_us);

/* The same, since the time was up. */
void pcl_candidate_gave_up(pcl_candidate *self, uint64_t waited_us, uint64_t now_us);

/* A report that was true at reported_us. */
void pcl_candidate_report(pcl_candidate *self, const pcl_report *report, uint64_t reported_us);

/* Forgets all that was known of the node's earlier life. */
void pcl_candidate_reset(pcl_candidate *self, uint64_t now_us);

/* What is left by now of peak_us, as a part of it. */
float pcl_candidate_peak_kept(const pcl_candidate *self, uint64_t now_us);

/* Slow start: a node that was away takes a tenth of its part at first, and all of it after this
 * (STRATEGIES section 3.6). */
#define PCL_SLOW_START_US UINT64_C(30000000)
/* That part by now; 1 for a node that does not start slowly. */
float pcl_candidate_start_share(const pcl_candidate *self, uint64_t now_us);

/* Foreign and own together. */
static inline uint32_t pcl_candidate_inflight(const pcl_candidate *self)
{
    return self->own + self->foreign;
}

#endif
