/* policy_learning.c - baselines that time the answers to their own queries or
 * ask the servers.  Re-implemented from published descriptions of behaviour. */
#include "bench/sim/dice.h"
#include "bench/sim/policy.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static uint32_t s_least_own(const sim_question *question)
{
    const pcl_choice_input *input = question->input;
    uint32_t best = 0;
    uint32_t ties = 1;
    for (uint32_t position = 1; position < input->count; position++) {
        uint32_t own = input->candidates[position]->own;
        uint32_t least = input->candidates[best]->own;
        if (own < least) {
            best = position;
            ties = 1;
        } else if (own == least && pcl_rng_below(input->rng, ++ties) == 0) {
            best = position;
        }
    }
    return best;
}

static uint32_t s_two_own(const sim_question *question)
{
    const pcl_choice_input *input = question->input;
    uint32_t first = pcl_rng_below(input->rng, input->count);
    uint32_t second = pcl_rng_below(input->rng, input->count);
    return input->candidates[second]->own < input->candidates[first]->own ? second : first;
}

/* MaxScale's adaptive_routing: average latency x (own in flight + 1), ties to
 * the one used longest ago.  A new sample weighs 0.35 at first and 0.04 once
 * there are 500. */
static uint32_t s_maxscale(const sim_question *question)
{
    const pcl_choice_input *input = question->input;
    uint32_t best = 0;
    double best_score = INFINITY;
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        const sim_memory *memory = &question->proxy->memories[candidate->index];
        double score = memory->average_us * ((double)candidate->own + 1);
        uint32_t best_node = input->candidates[best]->index;
        if (score < best_score ||
            (score <= best_score &&
             memory->used_us < question->proxy->memories[best_node].used_us)) {
            best = position;
            best_score = score;
        }
    }
    question->proxy->memories[input->candidates[best]->index].used_us = input->now_us;
    return best;
}

static void s_maxscale_observe(sim_proxy *proxy, uint32_t node, double latency_us, uint64_t now_us)
{
    (void)now_us;
    sim_memory *memory = &proxy->memories[node];
    double weight = fmax(0.04, 0.35 - memory->samples * (0.31 / 500));
    memory->average_us = memory->samples > 0
                             ? memory->average_us + weight * (latency_us - memory->average_us)
                             : latency_us;
    memory->samples++;
}

/* --- Prequal: three asynchronous probes a query, a pool of 16 answers, the
 * hot-cold rule at the quantile 0.84 of the pool's rif. */

static void s_forget(sim_proxy *proxy, uint32_t place)
{
    for (uint32_t index = place + 1; index < proxy->pool_count; index++) {
        proxy->pool[index - 1] = proxy->pool[index];
    }
    proxy->pool_count--;
}

static int s_compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static uint32_t s_pool_threshold(const sim_proxy *proxy)
{
    uint32_t rifs[SIM_POOL_MAX];
    for (uint32_t index = 0; index < proxy->pool_count; index++) {
        rifs[index] = proxy->pool[index].rif;
    }
    qsort(rifs, proxy->pool_count, sizeof rifs[0], s_compare);
    uint32_t place = (uint32_t)(0.84 * proxy->pool_count);
    return rifs[place < proxy->pool_count ? place : proxy->pool_count - 1];
}

static bool s_is_candidate(const pcl_choice_input *input, uint32_t node, uint32_t *out_position)
{
    for (uint32_t position = 0; position < input->count; position++) {
        if (input->candidates[position]->index == node) {
            *out_position = position;
            return true;
        }
    }
    return false;
}

static uint32_t s_prequal(const sim_question *question)
{
    const pcl_choice_input *input = question->input;
    sim_proxy *proxy = question->proxy;
    uint32_t position = 0;
    for (uint32_t index = proxy->pool_count; index-- > 0;) {
        if (input->now_us - proxy->pool[index].at_us > 1000000 ||
            !s_is_candidate(input, proxy->pool[index].node, &position)) {
            s_forget(proxy, index);
        }
    }
    if (proxy->pool_count == 0) {
        return pcl_rng_below(input->rng, input->count);
    }
    uint32_t threshold = s_pool_threshold(proxy);
    uint32_t best = UINT32_MAX;
    uint32_t ties = 0;
    for (uint32_t index = 0; index < proxy->pool_count; index++) {
        const sim_probe_answer *answer = &proxy->pool[index];
        if (answer->rif > threshold) {
            continue;
        }
        double least = best == UINT32_MAX ? INFINITY : proxy->pool[best].latency_us;
        if (answer->latency_us < least) {
            best = index;
            ties = 1;
        } else if (answer->latency_us <= least && pcl_rng_below(input->rng, ++ties) == 0) {
            best = index;
        }
    }
    uint32_t node = proxy->pool[best].node;
    s_forget(proxy, best); /* an answer is used once: the setting that served it best in 2.A */
    return s_is_candidate(input, node, &position) ? position : 0;
}

static const sim_policy LEAST_OWN = {
    .name = "least-own", .help = "fewest own in flight", .choose = s_least_own};
static const sim_policy P2C_OWN = {
    .name = "p2c-own", .help = "fewer own in flight of two", .choose = s_two_own};
static const sim_policy MAXSCALE = {.name = "maxscale-adaptive",
                                    .help = "average latency x (own in flight + 1)",
                                    .choose = s_maxscale,
                                    .observe = s_maxscale_observe};
static const sim_policy PREQUAL3 = {.name = "prequal-3",
                                    .help = "three probes a query, hot-cold rule, S x slots",
                                    .choose = s_prequal,
                                    .probes = 3,
                                    .no_piggyback = true};

const sim_policy *const SIM_POLICIES_LEARNING[] = {&LEAST_OWN, &P2C_OWN, &MAXSCALE, &PREQUAL3,
                                                   NULL};
