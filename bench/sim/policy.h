/* policy.h - who decides where a query goes.
 *
 * The shipped strategies stand here through one adaptor, unchanged; what others
 * do stands beside them as baselines, re-implemented from their published rule.
 */
#ifndef PCL_BENCH_SIM_POLICY_H
#define PCL_BENCH_SIM_POLICY_H

#include "bench/sim/server.h"
#include "proxy/hedge.h"
#include "proxy/membership.h"
#include "proxy/retry.h"
#include "proxy/strategy.h"

#include <stdbool.h>
#include <stdint.h>

/* What a baseline remembers of a node beside the candidate. */
typedef struct sim_memory {
    uint32_t rif;      /* of the last report */
    double average_us; /* of latencies */
    double samples;
    uint64_t used_us;
    double model[7]; /* p2c-learned: sums of 1, q, qq, y, qy; the line's height and slope */
} sim_memory;

enum { SIM_POOL_MAX = 16 };

/* Prequal's: an answer to a probe. */
typedef struct sim_probe_answer {
    uint64_t at_us;
    uint32_t node, rif;
    double latency_us;
} sim_probe_answer;

typedef struct sim_proxy {
    pcl_membership *members; /* node n has index n */
    sim_memory *memories;
    pcl_strategy_state state;
    pcl_retry_budget retries;
    pcl_hedge hedge;
    uint32_t turn;
    sim_probe_answer pool[SIM_POOL_MAX];
    uint32_t pool_count;
    bool watched_behind; /* the watched node is left out for its lag */
    pcl_rng rng;
} sim_proxy;

/* What a policy is asked.  Only the oracle and live baselines read servers. */
typedef struct sim_question {
    sim_proxy *proxy;
    const pcl_choice_input *input;
    const sim_server *servers;
    const sim_scenario *scenario;
    uint32_t class_index; /* of the query: nothing but the oracle may know */
    uint64_t now_us;
    const uint32_t *rifs; /* of all nodes: the truth when beats are LIVE, else NULL */
} sim_question;

typedef struct sim_policy {
    const char *name;
    const char *help;
    pcl_strategy_kind kind; /* of a shipped strategy, else PCL_STRATEGY_DEFAULT */
    uint32_t (*choose)(const sim_question *question); /* of a baseline: a position */
    /* A good answer came from the node; NULL: not interested. */
    void (*observe)(sim_proxy *proxy, const sim_attempt *attempt, double latency_us);
    double wait_us;    /* a query waits so long for probes that are synchronous */
    uint32_t probes;   /* asynchronous ones of a baseline, a query */
    bool no_piggyback; /* answers carry no report */
    bool hedges;
    bool is_oracle; /* is told of failing nodes and lag, needs no health */
} sim_policy;

/* NULL when there is none of this name. */
const sim_policy *sim_policy_find(const char *name);

uint32_t sim_policy_choose(const sim_policy *self, const sim_question *question);

/* Right after: a position to be asked, or PCL_CHOICE_NONE. */
uint32_t sim_policy_probe(const sim_policy *self, const sim_question *question);

/* In flight at this node as the proxy knows it. */
static inline uint32_t sim_known_rif(const sim_question *question, uint32_t node)
{
    return question->rifs != NULL ? question->rifs[node] : question->proxy->memories[node].rif;
}

/* ... and as a policy sees it that has just asked it, if that is what it does. */
static inline uint32_t sim_seen_rif(const sim_policy *self, const sim_question *question,
                                    uint32_t node)
{
    return self->wait_us > 0 ? question->servers[node].rif : sim_known_rif(question, node);
}

extern const sim_policy *const SIM_POLICIES_STALE[];    /* read reports, remember nothing */
extern const sim_policy *const SIM_POLICIES_LEARNING[]; /* time their own answers */
extern const sim_policy *const SIM_POLICIES_SHIPPED[];

#endif
