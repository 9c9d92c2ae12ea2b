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

#include <stdint.h>

#define PCL_CHOICE_NONE UINT32_MAX

/* What strategies remember between choices; a value: copy it to ask "what
 * would you choose" without consequences.  All zeros is a valid start. */
typedef struct pcl_strategy_state {
    uint32_t turn;       /* round-robin: index of the node chosen last, plus 1 */
    float traffic_share; /* custom: part of the nodes' work that is ours, 0 unknown */
} pcl_strategy_state;

typedef struct pcl_choice_input {
    const pcl_candidate *const *candidates; /* count of them; borrowed for the call */
    uint32_t count;                         /* 1 to PCL_NODES_MAX */
    uint64_t now_us;
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

/* kind must not be PCL_STRATEGY_DEFAULT.  O(count). */
uint32_t pcl_strategy_choose(pcl_strategy_kind kind, pcl_strategy_state *state,
                             const pcl_choice_input *input);

#endif
