/* candidates.h - which nodes may take a statement, and why the others may not.
 *
 * The rules, in the order in which they are asked (proxy/README.md numbers
 * them):
 *
 *  1. The node is up, ready, not drained, and the request was not there yet.
 *  2. What is not a read, what is asked of the source by consistency or by the
 *     strategy `direct`, goes to the source only; a write not to one that the
 *     server holds read only.  Who says that he is the source of an earlier term
 *     than is known of is none.
 *  3. Other reads go to replicas that are known to be at most lag_ms_max behind.
 *  4. A node with node_inflight_max requests of ours gets no more; a replica that
 *     is ejected (ejection.h) gets no reads.
 *  5. When no replica fits, the source serves reads, if reads_on_source is set.
 *  6. When still none fits, suspect nodes are asked by the same rules.
 *  7. When still none fits, and the request set no bound on lag of its own, the
 *     replicas that are least behind serve, if stale_reads is set: with the source
 *     gone, every replica falls behind its last heartbeat.
 *  8. When still none fits, an ejected replica serves.
 *
 * And of ejected replicas:
 *
 *  9. One whose time has passed gets the next request that may try it, alone: its
 *     trial.
 * 10. Panic: when more than half of the replicas that would fit are out, which only
 *     the loss of others can bring about, they fit all the same.
 * 11. A replica that fails and is not out, by panic or because half are out already,
 *     looks idle and must not draw the traffic: beside sound ones it fits for its
 *     share of the requests, turn by turn.
 *
 * And of lag, beside the bound of rule 3:
 *
 * 12. While fewer than replicas_min replicas fit, but one does, those least behind
 *     are kept, up to three times the bound, where stale_reads is set: one replica
 *     alone might not bear the load of all.
 * 13. A replica that was beyond routing/lag_ms_max, by a report or the age of one,
 *     comes back by lag_gate.h, and until then serves only when nobody else fits, or
 *     by rule 12.
 * 14. One that comes back, by this or after a failure, starts slowly (candidate.h):
 *     beside others it has at most that part of its workers' number of requests of
 *     ours, one at least.
 *
 * And of what a read must see:
 *
 * 15. Of those that fit, awaited.h leaves the ones that have it, or may wait for it.
 *
 * Pure, no allocation.
 */
#ifndef PCL_PROXY_CANDIDATES_H
#define PCL_PROXY_CANDIDATES_H

#include "proxy/membership.h"

#include <stdbool.h>
#include <stdint.h>

/* name, text */
#define PCL_LEFT_OUT_LIST(X)                                                                       \
    X(NOT, "")                                                                                     \
    X(NEVER_HEARD, "never heard of")                                                               \
    X(GONE, "gone")                                                                                \
    X(LEAVING, "leaving")                                                                          \
    X(SUSPECT, "suspect")                                                                          \
    X(NOT_READY, "its database is not ready")                                                      \
    X(AGENT_DRAINS, "its agent drains")                                                            \
    X(DRAINED, "drained by an operator")                                                           \
    X(TRIED, "this request was there already")                                                     \
    X(NOT_SOURCE, "not the source")                                                                \
    X(READ_ONLY, "the source is read only")                                                        \
    X(NOT_REPLICA, "neither source nor replica")                                                   \
    X(REPLICAS_FIRST, "the source serves reads only when no replica fits")                         \
    X(NO_READS_ON_SOURCE, "the source serves no reads here")                                       \
    X(LAG_UNKNOWN, "how far it is behind is not known")                                            \
    X(LAG, "too far behind")                                                                       \
    X(LAG_SETTLES, "was too far behind, and has not settled yet")                                  \
    X(EJECTED, "it failed, and is left alone for a while")                                         \
    X(TRIAL, "it failed, and one request tries it again")                                          \
    X(STARTS, "it starts slowly, and has its share for now")                                       \
    X(FAILS, "it fails, and gets no more than its share")                                          \
    X(OTHER_TRIED, "this request tries another node that failed")                                  \
    X(BEHIND, "does not have what the request must see")                                           \
    X(FULL, "too many requests in flight there")                                                   \
    X(BUSY, "none of its connections is free for a second copy")                                   \
    X(ELSEWHERE, "the session is at another node")

typedef enum pcl_left_out {
#define PCL_LEFT_OUT_ENUM(name, text) PCL_LEFT_OUT_##name,
    PCL_LEFT_OUT_LIST(PCL_LEFT_OUT_ENUM)
#undef PCL_LEFT_OUT_ENUM
        PCL_LEFT_OUT_COUNT, /* must stay last */
} pcl_left_out;

const char *pcl_left_out_text(pcl_left_out why);

/* Which nodes a request has been sent to; a set of indices. */
typedef struct pcl_node_set {
    uint64_t bits[(PCL_NODES_MAX + 63) / 64];
} pcl_node_set;

static inline void pcl_node_set_add(pcl_node_set *self, uint32_t index)
{
    self->bits[index / 64] |= UINT64_C(1) << (index % 64);
}

static inline bool pcl_node_set_has(const pcl_node_set *self, uint32_t index)
{
    return (self->bits[index / 64] >> (index % 64) & 1) != 0;
}

/* What a statement needs of a node. */
typedef struct pcl_need {
    bool read;            /* false: it may change something */
    bool source_only;     /* a read that must not see the past; a write always is */
    bool reads_on_source; /* rule 5 */
    bool stale_reads;     /* rule 7; false where the request itself bounds the lag */
    uint32_t lag_ms_max;
    uint32_t replicas_min; /* rule 12 */
    uint32_t node_inflight_max;
    pcl_node_set tried;             /* not there again */
    bool may_try;                   /* rule 9: if it fails there, it can be sent elsewhere */
    uint32_t turn;                  /* rule 11: the requests' number */
    const pcl_health_rules *health; /* borrowed for the call; NULL: nobody is taken to fail */
    pcl_bytes after;   /* rule 15: what a read must see; borrowed for the call; empty: nothing */
    bool behind;       /* it was asked of a replica already, which did not have it */
    uint64_t term_min; /* rule 2: the latest that is known of */
} pcl_need;

typedef struct pcl_candidates {
    const pcl_candidate *fit[PCL_NODES_MAX]; /* the first count; borrowed from the membership */
    uint32_t count;
    bool suspect;                    /* those that fit do so by rule 6 */
    bool trial;                      /* the one that fits does so by rule 9 */
    bool panic;                      /* rule 10 */
    bool waits;                      /* rule 15: those that fit are not known to have it */
    bool last;                       /* rule 15: nobody else is left to be asked */
    pcl_left_out why[PCL_NODES_MAX]; /* by node index; NOT for those that fit */
} pcl_candidates;

/* Fills *out whole; count 0 when nobody fits. */
void pcl_candidates_find(const pcl_membership *members, const pcl_need *need, uint64_t now_us,
                         pcl_candidates *out);

/* True when nothing but full nodes stand in the way: try again in a moment. */
bool pcl_candidates_overloaded(const pcl_candidates *self, uint32_t node_count);

/* How far behind the node can be by now: what it reported, and the time since
 * then unless it proved to be level.  UINT32_MAX when unknown. */
uint32_t pcl_lag_bound_ms(const pcl_member *member, uint64_t now_us);

#endif
