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

static void s_maxscale_observe(sim_proxy *proxy, const sim_attempt *attempt, double latency_us)
{
    sim_memory *memory = &proxy->memories[attempt->server];
    double weight = fmax(0.04, 0.35 - memory->samples * (0.31 / 500));
    memory->average_us = memory->samples > 0
                             ? memory->average_us + weight * (latency_us - memory->average_us)
                             : latency_us;
    memory->samples++;
}

/* --- Learned lines: of each node latency = height + slope x queue, by least squares
 * over its own queries, older ones weighing 0.5% less each.  The unit is the mean
 * service time of 2.A's nodes; it says how much the first guess, nothing, weighs. */

enum { ONES, QUEUES, SQUARES, TIMES, PRODUCTS, HEIGHT, SLOPE };

static void s_line_observe(sim_proxy *proxy, const sim_attempt *attempt, double latency_us)
{
    static const double UNIT_US = 8000;
    static const double KEPT = 0.995;
    double *model = proxy->memories[attempt->server].model;
    double queue = attempt->seen_rif;
    double time = latency_us / UNIT_US;
    const double news[] = {1, queue, queue * queue, time, queue * time};
    for (uint32_t index = ONES; index <= PRODUCTS; index++) {
        model[index] = model[index] * KEPT + news[index];
    }
    double ones = model[ONES] + 1;
    double squares = model[SQUARES] + 1;
    double determinant = ones * squares - model[QUEUES] * model[QUEUES];
    model[HEIGHT] = (squares * model[TIMES] - model[QUEUES] * model[PRODUCTS]) / determinant;
    model[SLOPE] = (ones * model[PRODUCTS] - model[QUEUES] * model[TIMES]) / determinant;
}

/* The best line of so many nodes, drawn. */
static uint32_t s_best_line(const sim_question *question, uint32_t count, bool live)
{
    const pcl_choice_input *input = question->input;
    uint32_t best = UINT32_MAX;
    double best_time = INFINITY;
    uint32_t drawn[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (uint32_t index = 0; index < count && index < input->count; index++) {
        uint32_t position = 0;
        do {
            position = pcl_rng_below(input->rng, input->count);
        } while (position == drawn[0] || position == drawn[1]);
        drawn[index] = position;
        uint32_t node = input->candidates[position]->index;
        const double *model = question->proxy->memories[node].model;
        uint32_t queue = live ? question->servers[node].rif : sim_known_rif(question, node);
        double time = model[HEIGHT] + model[SLOPE] * queue;
        if (time < best_time) { /* ties go to the first drawn, which is chance enough */
            best = position;
            best_time = time;
        }
    }
    return best;
}

static uint32_t s_two_lines(const sim_question *question)
{
    return s_best_line(question, 2, false);
}

static uint32_t s_three_lines(const sim_question *question)
{
    return s_best_line(question, 3, true);
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
        if (input->now_us - proxy->pool[index].at_us > 500000 ||
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
static const sim_policy P2C_LEARNED = {.name = "p2c-learned",
                                       .help = "two reported queues, learned lines",
                                       .choose = s_two_lines,
                                       .observe = s_line_observe,
                                       .no_piggyback = true};
static const sim_policy P3C_LEARNED = {.name = "p3c-learned-probe",
                                       .help = "three synchronous probes, learned lines",
                                       .choose = s_three_lines,
                                       .observe = s_line_observe,
                                       .wait_us = 500,
                                       .no_piggyback = true};
static const sim_policy PREQUAL3 = {.name = "prequal-3",
                                    .help = "three probes a query, hot-cold rule",
                                    .choose = s_prequal,
                                    .probes = 3,
                                    .no_piggyback = true};

const sim_policy *const SIM_POLICIES_LEARNING[] = {
    &LEAST_OWN, &P2C_OWN, &MAXSCALE, &PREQUAL3, &P2C_LEARNED, &P3C_LEARNED, NULL,
};
