/* strategy_custom.c - the node that will answer soonest.
 *
 *   cost = rtt + S x (1 + wait(q) + q / 10c)
 *
 * rtt   the way there and back; differences of a jitter's size are none
 * S     the node's service time as its agent measures it, drawn towards the
 *       mean of all nodes as far as few statements stand behind it, and equal
 *       to the quickest one's unless it is slower by more than a fifth and by
 *       more than chance explains: so noise is not chased
 * q     statements there: our own exactly, others' as of the last report,
 *       trusted less the busier we are, since a report is old news
 * c     statements the node runs at the same time
 * wait  rounds the statement queues before it runs
 *
 * What is known of a node that gets no statements fades, and its cost with it
 * towards the mean: so a node that was slow once is tried again, with one
 * statement every few seconds, and comes back when it is quick again.
 * (Adaptive shortest expected delay; proxy/README.md, section "custom".)
 */
#include "proxy/strategy.h"

#include "common/clock.h"
#include "common/limits.h"

#include <math.h>
#include <stddef.h>

static const float PRIOR_COUNT = 10;       /* statements that the mean of all counts for */
static const float MEAN_COUNT_MAX = 200;   /* no node decides the mean alone */
static const float SERVICE_BAND = 1.2f;    /* up to this many times the quickest is as quick */
static const float SERVICE_DEVIATIONS = 2; /* ... and within so many standard errors */
static const float VARIATION_MIN = 0.3f;   /* service times vary by this at least ... */
static const float VARIATION_MAX = 2;      /* ... and count as varying by this at most */
static const float RTT_BAND = 1.25f;       /* likewise ... */
static const float RTT_JITTER_US = 150;    /* ... plus this much */
static const float FAST_COUNT_MIN = 3;     /* statements of the last moment to trust them */
static const float FAST_DEVIATIONS = 4;    /* by how many standard errors they must differ */
static const float SERVICE_FADE_US = 3e6f; /* time constants of what is known without news */
static const float SERVICE_FAST_FADE_US = 2e5f;
static const float RTT_FADE_US = 1e7f;
static const float SERVICE_UNKNOWN_US = 1000; /* nobody has served anything yet */
static const float UTILISATION_WEIGHT = 0.1f;
static const float TIE_BAND = 1.002f; /* costs this near are the same */

typedef struct estimate {
    float service_us[PCL_NODES_MAX];
    float counts[PCL_NODES_MAX]; /* statements behind it, the prior's included */
    float service_us_min;
    float count_min;        /* of the quickest */
    float deviation_us_min; /* standard deviation of its service times */
    float rtt_us_min;
    float own_mean; /* our requests in flight, a node */
    uint64_t own;   /* all of them */
} estimate;

/* What is left of a count when nothing has been added for a while.  Under a
 * hundredth of the time constant that is the count, and no exponential is due. */
static float s_faded(float count, uint64_t since_us, uint64_t now_us, float fade_us)
{
    float age = (float)pcl_time_since_us(since_us, now_us) / fade_us;
    return age < 0.01f ? count : count * expf(-age);
}

static float s_fleet_mean(const pcl_choice_input *input, const float *counts)
{
    float weight_sum = 0;
    float sum = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        float weight = fminf(counts[position], MEAN_COUNT_MAX);
        weight_sum += weight;
        sum += weight * input->candidates[position]->service_mean_us;
    }
    return weight_sum > 0.01f ? sum / weight_sum : SERVICE_UNKNOWN_US;
}

/* A change that the last moment proves is believed before the mean has it. */
static float s_with_change(float service_us, const pcl_candidate *candidate, uint64_t now_us)
{
    float count = s_faded(candidate->service_fast_count, candidate->sampled_us, now_us,
                          SERVICE_FAST_FADE_US);
    if (count <= FAST_COUNT_MIN) {
        return service_us;
    }
    float change_us = fabsf(candidate->service_fast_us - candidate->service_mean_us);
    if (change_us <= FAST_DEVIATIONS * sqrtf(candidate->service_variance / count)) {
        return service_us;
    }
    return (count * candidate->service_fast_us + FAST_COUNT_MIN * service_us) /
           (count + FAST_COUNT_MIN);
}

/* The quickest, and how much its service times vary. */
static void s_note_quickest(estimate *out, const pcl_choice_input *input)
{
    uint32_t quickest = 0;
    for (uint32_t position = 1; position < input->count; position++) {
        if (out->service_us[position] < out->service_us[quickest]) {
            quickest = position;
        }
    }
    float service_us = out->service_us[quickest];
    float deviation_us = sqrtf(input->candidates[quickest]->service_variance);
    out->service_us_min = service_us;
    out->count_min = out->counts[quickest];
    out->deviation_us_min = fminf(fmaxf(deviation_us, VARIATION_MIN * service_us),
                                  VARIATION_MAX * service_us);
}

static void s_estimate(estimate *out, const pcl_choice_input *input)
{
    float counts[PCL_NODES_MAX];
    *out = (estimate){.rtt_us_min = INFINITY};
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        counts[position] = s_faded(candidate->service_count, candidate->sampled_us, input->now_us,
                                   SERVICE_FADE_US);
        out->own += candidate->own;
        if (candidate->rtt_at_us != 0) {
            out->rtt_us_min = fminf(out->rtt_us_min, candidate->rtt_us);
        }
    }
    float mean_us = s_fleet_mean(input, counts);
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        float count = counts[position] + PRIOR_COUNT;
        float service_us = (counts[position] * candidate->service_mean_us + PRIOR_COUNT * mean_us) /
                           count;
        service_us = s_with_change(service_us, candidate, input->now_us);
        out->service_us[position] = fmaxf(service_us, 1);
        out->counts[position] = count;
    }
    s_note_quickest(out, input);
    if (isinf(out->rtt_us_min)) {
        out->rtt_us_min = 0;
    }
    out->own_mean = (float)out->own / (float)input->count;
}

/* Two nodes that are alike differ by this much by chance alone. */
static float s_service_us(const estimate *fleet, uint32_t position)
{
    float error_us = fleet->deviation_us_min *
                     sqrtf(1 / fleet->counts[position] + 1 / fleet->count_min);
    float bound_us = fleet->service_us_min * SERVICE_BAND + SERVICE_DEVIATIONS * error_us;
    float service_us = fleet->service_us[position];
    return service_us < bound_us ? fleet->service_us_min : service_us;
}

/* A node not measured yet is taken to be as near as the nearest. */
static float s_rtt_us(const pcl_candidate *candidate, const estimate *fleet, uint64_t now_us)
{
    if (candidate->rtt_at_us == 0) {
        return fleet->rtt_us_min;
    }
    float excess_us = s_faded(candidate->rtt_us - fleet->rtt_us_min, candidate->rtt_at_us, now_us,
                              RTT_FADE_US);
    float rtt_us = fleet->rtt_us_min + excess_us;
    return rtt_us <= fleet->rtt_us_min * RTT_BAND + RTT_JITTER_US ? fleet->rtt_us_min : rtt_us;
}

static float s_cost_us(const pcl_candidate *candidate, float service_us, const estimate *fleet,
                       float share, uint64_t now_us)
{
    float workers = candidate->workers > 0 ? (float)candidate->workers : 1;
    float own = (float)candidate->own;
    float trust = fleet->own_mean / (fleet->own_mean + 1); /* in our own books, over reports */
    float there = own + (1 - trust) * (float)candidate->foreign + trust * own * (1 / share - 1);
    float wait = fmaxf(0, (there + 1 - workers) / workers);
    float utilisation = UTILISATION_WEIGHT * there / workers;
    return s_rtt_us(candidate, fleet, now_us) + service_us * (1 + wait + utilisation);
}

uint32_t pcl_strategy_custom(pcl_strategy_state *state, const pcl_choice_input *input)
{
    estimate fleet;
    s_estimate(&fleet, input);
    float share = pcl_strategy_share(state, input);

    float costs[PCL_NODES_MAX];
    float cost_min = INFINITY;
    for (uint32_t position = 0; position < input->count; position++) {
        costs[position] = s_cost_us(input->candidates[position], s_service_us(&fleet, position),
                                    &fleet, share, input->now_us);
        cost_min = fminf(cost_min, costs[position]);
        if (input->out_costs != NULL) {
            input->out_costs[position] = costs[position];
        }
    }
    uint32_t best = 0;
    uint32_t tie_count = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        if (costs[position] <= cost_min * TIE_BAND && pcl_rng_below(input->rng, ++tie_count) == 0) {
            best = position; /* the k-th of a tie replaces with chance 1/k: uniform */
        }
    }
    return best;
}
