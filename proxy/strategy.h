/* strategy.h - which of several fitting nodes runs the next statement.
 *
 * A strategy gets nodes that all may take the statement (proxy/candidates.h
 * has seen to that) and answers with one of them.  It does no I/O, reads no
 * clock, allocates nothing and keeps no reference to its inputs: equal states,
 * random streams and candidates give equal choices, which is what lets a
 * simulator link this very library.
 *
 * Each strategy is one file behind pcl_strategy_fn.
 */
#ifndef PCL_PROXY_STRATEGY_H
#define PCL_PROXY_STRATEGY_H

#include "common/rng.h"
#include "proxy/candidate.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_CHOICE_NONE UINT32_MAX

#define PCL_PROBES_MAX     16u
#define PCL_PROBE_RIFS_MAX 32u

/* A node's answer to a probe; good for a second and for a few choices. */
typedef struct pcl_probe {
    uint32_t node;    /* index */
    uint32_t rif;     /* as answered, plus what we sent there since */
    uint32_t uses;    /* choices that it is still good for */
    float workers;    /* at least 1 */
    float service_us; /* 0 unknown */
    uint64_t at_us;
} pcl_probe;

typedef struct pcl_probe_pool {
    pcl_probe probes[PCL_PROBES_MAX]; /* the first count; oldest first */
    uint32_t count;
    uint32_t rifs[PCL_PROBE_RIFS_MAX]; /* of the last answers, a ring ... */
    uint32_t rif_count;                /* ... of so many, up to its size */
    uint32_t rif_next;                 /* ... the next goes here */
    uint32_t rif_cold_max;             /* with more in flight a node is hot */
    float removals;                    /* probes due to be given up */
    bool remove_oldest;                /* the next to go; else the worst */
} pcl_probe_pool;

/* What strategies remember between choices; a value: copy it to ask "what
 * would you choose" without consequences.  All zeros is a valid start. */
typedef struct pcl_strategy_state {
    uint32_t turn;         /* round-robin: index of the node chosen last, plus 1 */
    float traffic_share;   /* c3: part of the nodes' work that is ours, 0 unknown */
    float own_mean;        /* custom: our statements in flight, over all nodes ... */
    float foreign_mean;    /* ... and others', both smoothed ... */
    uint64_t means_at_us;  /* ... as of then; 0 unknown */
    pcl_probe_pool probes; /* prequal */
} pcl_strategy_state;

typedef struct pcl_choice_input {
    const pcl_candidate *const *candidates; /* count of them; borrowed for the call */
    uint32_t count;                         /* 1 to PCL_NODES_MAX */
    uint64_t now_us;
    uint32_t lag_ms_max; /* bound that the candidates hold; 0: none is known */
    float far_margin;    /* custom: by what part more a node of another zone is taken to cost */
    pcl_rng *rng;
    float *out_costs; /* NULL, or count of them: what each would cost in the strategy's own unit,
                         lower is better, 0 where it does not compare */
} pcl_choice_input;

/* Position in candidates, or PCL_CHOICE_NONE when none is of the kind wanted. */
typedef uint32_t(pcl_strategy_fn)(pcl_strategy_state *state, const pcl_choice_input *input);

pcl_strategy_fn pcl_strategy_direct;         /* the source */
pcl_strategy_fn pcl_strategy_random;         /* uniform */
pcl_strategy_fn pcl_strategy_round_robin;    /* each in its turn */
pcl_strategy_fn pcl_strategy_least_inflight; /* own + foreign; ties at random */
pcl_strategy_fn pcl_strategy_custom;         /* who will answer soonest */
pcl_strategy_fn pcl_strategy_peak_ewma;      /* Finagle's: the better of two */
pcl_strategy_fn pcl_strategy_c3;             /* C3's score, without its rate control */
pcl_strategy_fn pcl_strategy_prequal;        /* Prequal's, from probes */

/* kind must not be PCL_STRATEGY_DEFAULT.  O(count). */
uint32_t pcl_strategy_choose(pcl_strategy_kind kind, pcl_strategy_state *state,
                             const pcl_choice_input *input);

/* Position in candidates of a node that should be asked for a fresh report, or
 * PCL_CHOICE_NONE.  Asked after a choice, with the same input; so a request
 * costs at most one probe. */
uint32_t pcl_strategy_probe(pcl_strategy_kind kind, pcl_strategy_state *state,
                            const pcl_choice_input *input);

/* The node's report, which the candidate holds by now, answers a probe. */
void pcl_strategy_probed(pcl_strategy_state *state, const pcl_candidate *candidate,
                         uint64_t now_us);

/* Which part of the nodes' work is ours, smoothed over choices: 1 alone, 0.25
 * as one of four proxies.  For strategies; notes what this choice sees. */
float pcl_strategy_share(pcl_strategy_state *state, const pcl_choice_input *input);

#endif
