/* strategy_prequal.c - Prequal's rule (Wydrowski et al., NSDI 2024): choose by
 * what a few nodes, asked at random a moment ago, said of themselves.
 *
 * Each request asks one node, drawn uniformly; the answer serves later ones.
 * A node is hot when it has more in flight than 84% of the last answers said.
 * Of the cold ones the quickest is taken, and when all are hot the one with the
 * fewest in flight.
 *
 * Different from the paper, both for few nodes: an answer replaces the older
 * one of the same node, and the latency is not the median of what the node saw
 * near that many in flight, but a model: S x max(1, (in flight + 1) / workers).
 * The median herds when a node has few samples at each count.
 */
#include "proxy/strategy.h"

#include "common/clock.h"
#include "common/limits.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const uint64_t PROBE_AGE_US_MAX = PCL_US_PER_S;
static const float COLD_QUANTILE = 0.84f;
static const float REUSE_SLACK = 1; /* the paper's delta */
static const float REMOVALS_A_CHOICE = 0.25f;
static const float USES_MAX = 16;

static void s_remove(pcl_probe_pool *pool, uint32_t slot)
{
    pool->count--;
    memmove(&pool->probes[slot], &pool->probes[slot + 1],
            (pool->count - slot) * sizeof pool->probes[0]);
}

static void s_note_rif(pcl_probe_pool *pool, uint32_t rif)
{
    pool->rifs[pool->rif_next] = rif;
    pool->rif_next = (pool->rif_next + 1) % PCL_PROBE_RIFS_MAX;
    pool->rif_count += pool->rif_count < PCL_PROBE_RIFS_MAX ? 1 : 0;
    uint32_t sorted[PCL_PROBE_RIFS_MAX];
    for (uint32_t count = 0; count < pool->rif_count; count++) {
        uint32_t slot = count;
        for (; slot > 0 && sorted[slot - 1] > pool->rifs[count]; slot--) {
            sorted[slot] = sorted[slot - 1];
        }
        sorted[slot] = pool->rifs[count];
    }
    pool->rif_cold_max = sorted[(uint32_t)(COLD_QUANTILE * (float)(pool->rif_count - 1) + 0.5f)];
}

void pcl_strategy_probed(pcl_strategy_state *state, const pcl_candidate *candidate, uint64_t now_us)
{
    pcl_probe_pool *pool = &state->probes;
    for (uint32_t slot = 0; slot < pool->count; slot++) {
        if (pool->probes[slot].node == candidate->index) {
            s_remove(pool, slot);
            break;
        }
    }
    if (pool->count == PCL_PROBES_MAX) {
        s_remove(pool, 0);
    }
    pool->probes[pool->count++] = (pcl_probe){
        .node = candidate->index,
        .rif = candidate->rif,
        .workers = candidate->workers > 0 ? (float)candidate->workers : 1,
        .service_us = candidate->service_mean_us,
        .at_us = now_us};
    s_note_rif(pool, candidate->rif);
}

static float s_latency_us(const pcl_probe *probe)
{
    return probe->service_us * fmaxf(1, (float)(probe->rif + 1) / probe->workers);
}

/* Whether left is better: cold before hot, the quick before the slow among the
 * cold, the idle before the busy among the hot. */
static bool s_better(const pcl_probe_pool *pool, const pcl_probe *left, const pcl_probe *right)
{
    bool left_cold = left->rif <= pool->rif_cold_max;
    bool right_cold = right->rif <= pool->rif_cold_max;
    if (left_cold != right_cold) {
        return left_cold;
    }
    return left_cold ? s_latency_us(left) < s_latency_us(right) : left->rif < right->rif;
}

/* A probe serves so many choices that the pool is neither drained nor stale. */
static uint32_t s_uses(const pcl_choice_input *input)
{
    float turnover = (1 - (float)PCL_PROBES_MAX / (float)input->count) - REMOVALS_A_CHOICE;
    float uses = turnover > 0 ? (1 + REUSE_SLACK) / turnover : USES_MAX;
    uses = fminf(fmaxf(uses, 1), USES_MAX);
    float part = uses - floorf(uses);
    bool up = (float)pcl_rng_below(input->rng, 1024) < part * 1024;
    return (uint32_t)uses + (up ? 1 : 0);
}

static void s_drop_old(pcl_probe_pool *pool, const pcl_choice_input *input)
{
    while (pool->count > 0 &&
           pcl_time_since_us(pool->probes[0].at_us, input->now_us) > PROBE_AGE_US_MAX) {
        s_remove(pool, 0);
    }
    for (uint32_t slot = 0; slot < pool->count; slot++) {
        if (pool->probes[slot].uses == 0) { /* new: it could not be known before for how many */
            pool->probes[slot].uses = s_uses(input);
        }
    }
}

/* Now the oldest, now the worst goes, so that the pool holds neither for long. */
static void s_remove_one(pcl_probe_pool *pool)
{
    uint32_t worst = 0;
    for (uint32_t slot = 1; slot < pool->count && !pool->remove_oldest; slot++) {
        if (s_better(pool, &pool->probes[worst], &pool->probes[slot])) {
            worst = slot;
        }
    }
    s_remove(pool, worst);
    pool->remove_oldest = !pool->remove_oldest;
}

static void s_use(pcl_probe_pool *pool, uint32_t slot)
{
    pcl_probe *probe = &pool->probes[slot];
    probe->rif++;
    probe->uses--;
    if (probe->uses == 0) {
        s_remove(pool, slot);
    }
    pool->removals += REMOVALS_A_CHOICE;
    if (pool->removals >= 1) {
        pool->removals -= 1;
        if (pool->count > 2) {
            s_remove_one(pool);
        }
    }
}

static uint32_t s_position(const pcl_choice_input *input, uint32_t node)
{
    for (uint32_t position = 0; position < input->count; position++) {
        if (input->candidates[position]->index == node) {
            return position;
        }
    }
    return PCL_CHOICE_NONE;
}

uint32_t pcl_strategy_prequal(pcl_strategy_state *state, const pcl_choice_input *input)
{
    pcl_probe_pool *pool = &state->probes;
    s_drop_old(pool, input);
    uint32_t usable = 0;
    uint32_t best = 0; /* slot */
    uint32_t choice = PCL_CHOICE_NONE;
    for (uint32_t slot = 0; slot < pool->count; slot++) {
        uint32_t position = s_position(input, pool->probes[slot].node);
        if (position == PCL_CHOICE_NONE) {
            continue;
        }
        usable++;
        if (input->out_costs != NULL) {
            input->out_costs[position] = s_latency_us(&pool->probes[slot]);
        }
        if (choice == PCL_CHOICE_NONE || s_better(pool, &pool->probes[slot], &pool->probes[best])) {
            best = slot;
            choice = position;
        }
    }
    if (usable < 2) {
        return pcl_rng_below(input->rng, input->count);
    }
    s_use(pool, best);
    return choice;
}
