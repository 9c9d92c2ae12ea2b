/* strategy_custom.c - the node that will answer soonest.
 *
 *   cost = rtt + S x (1 + wait(q) + q / 10c)
 *
 * rtt   the way there and back; differences of a jitter's size, and those that
 *       chance explains, are none
 * S     the node's service time as its agent measures it, drawn towards the
 *       mean of all nodes as far as few statements stand behind it, and equal
 *       to the quickest one's unless it is slower by more than a fifth and by
 *       more than chance explains: so noise is not chased
 * q     statements there: our own exactly; of the others' those that the last
 *       report saw and that will not have ended since, for the rest what a node
 *       of this speed has on average; or, the busier we are, what our own tell
 * c     statements the node runs at the same time
 * wait  rounds the statement queues before it runs
 *
 * To that come: the age of our own statements there when it proves that the
 * node has come to a stand; lag, before it reaches its bound; a node that has
 * just come up gets its share little by little, and one that nothing was heard
 * of for long gets one statement, and another when that has been answered.
 *
 * What is known of a node that gets no statements fades, and its cost with it
 * towards the mean: so a node that was slow once is tried again, with one
 * statement every few seconds, and comes back when it is quick again.
 * (proxy/README.md, section "custom"; docs/decisions/0012.)
 */
#include "proxy/strategy.h"

#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

static const float PRIOR_COUNT = 10;        /* statements that the mean of all counts for */
static const float MEAN_COUNT_MAX = 200;    /* no node decides the mean alone */
static const float SERVICE_BAND = 1.2f;     /* up to this many times the quickest is as quick ... */
static const float SERVICE_JITTER_US = 100; /* ... and by so little: it is the host's doing */
static const float SERVICE_DEVIATIONS = 3;  /* ... and within so many standard errors */
static const float VARIATION_MIN = 0.3f;    /* service times vary by this at least ... */
static const float VARIATION_MAX = 2;       /* ... and count as varying by this at most */
static const float RTT_BAND = 1.25f;        /* likewise ... */
static const float RTT_JITTER_US = 150;     /* ... plus this much */
static const float FAST_COUNT_MIN = 3;      /* statements of the last moment to trust them */
static const float FAST_DEVIATIONS = 4;     /* by how many standard errors they must differ */
static const float SERVICE_FADE_US = 6e6f;  /* time constants of what is known without news */
static const float SERVICE_FAST_FADE_US = 2e5f;
static const float RTT_FADE_US = 1e7f;
static const float MEANS_FADE_US = 1e6f;
static const float OWN_MEAN_MIN = 0.01f;
static const float REPORT_AGE_US_MAX = 2e5f; /* a beat; an older report means a silent node */
static const float OTHERS_HEAR = 0.3f; /* so much of a report's mean age keeps a queue in place */
static const float SERVICE_UNKNOWN_US = 1000; /* nobody has served anything yet */
static const float UTILISATION_WEIGHT = 0.1f;
static const float STALL_DEVIATIONS =
    3.7f;                              /* our statements there are older than chance explains */
static const float LAG_WEIGHT = 0.25f; /* cost of a node that is all but too far behind */
static const float SLOW_START_US = 3e7f;
static const float SLOW_START_MIN = 0.1f;
static const float FORGOTTEN_US = 1e6f; /* without news for so long, and for so many stays, ... */
static const float FORGOTTEN_STAYS = 10;
static const float FORGOTTEN_FACTOR = 10; /* ... a node has one statement, and no second one */
static const float TIE_BAND = 1.002f;     /* costs this near are the same */

typedef struct fleet {
    float service_us[PCL_NODES_MAX];
    float counts[PCL_NODES_MAX]; /* statements behind it, the prior's included */
    float rtt_us[PCL_NODES_MAX]; /* as far as it is not forgotten */
    float service_us_min;
    float count_min;        /* of the quickest */
    float deviation_us_min; /* standard deviation of its service times */
    float rtt_us_min;
    float rtt_deviation_us_min; /* of the nearest */
    float age_us;               /* of the last reports, on average */
    float own_trust;            /* in our own books, over reports; 0 to 1 */
    float own_ratio;            /* statements of others in flight for each of ours, on average */
    float foreign_us; /* others' work in flight on average, in service time over all workers */
} fleet;

/* One instruction each, where fmaxf and fminf are calls. */
static inline float s_max(float left, float right)
{
    return left > right ? left : right;
}

static inline float s_min(float left, float right)
{
    return left < right ? left : right;
}

/* What is left of something after since_us without news: exp(-age / fade_us),
 * as far as it matters, and cheaper. */
static float s_decayed(float age_us, float fade_us)
{
    float age = age_us / fade_us;
    return 1 / (1 + age * (1 + age * (0.5f + age / 6)));
}

/* The same, but fresh news is worth all of itself.  Not for what is smoothed a
 * little at each choice: rounded up, it would never move. */
static float s_kept(uint64_t since_us, uint64_t now_us, float fade_us)
{
    float age_us = (float)pcl_time_since_us(since_us, now_us);
    if (age_us < 0.01f * fade_us) {
        return 1; /* nearly always, and divisions are what a choice among many costs */
    }
    return s_decayed(age_us, fade_us);
}

static float s_workers(const pcl_candidate *candidate)
{
    return candidate->workers > 0 ? (float)candidate->workers : 1;
}

static float s_fleet_mean(const pcl_choice_input *input, const float *counts)
{
    float weight_sum = 0;
    float sum = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        float weight = s_min(counts[position], MEAN_COUNT_MAX);
        weight_sum += weight;
        sum += weight * input->candidates[position]->service_mean_us;
    }
    return weight_sum > 0.01f ? sum / weight_sum : SERVICE_UNKNOWN_US;
}

/* A change that the last moment proves is believed before the mean has it. */
static float s_with_change(float service_us, const pcl_candidate *candidate, uint64_t now_us)
{
    float count = candidate->service_fast_count;
    if (count <= FAST_COUNT_MIN) {
        return service_us;
    }
    count *= s_kept(candidate->sampled_us, now_us, SERVICE_FAST_FADE_US);
    if (count <= FAST_COUNT_MIN) {
        return service_us;
    }
    float change_us = candidate->service_fast_us - candidate->service_mean_us;
    float bound = FAST_DEVIATIONS * FAST_DEVIATIONS * candidate->service_variance / count;
    if (change_us * change_us <= bound) {
        return service_us;
    }
    return (count * candidate->service_fast_us + FAST_COUNT_MIN * service_us) /
           (count + FAST_COUNT_MIN);
}

/* The quickest, and how much its service times vary. */
static void s_note_quickest(fleet *out, const pcl_choice_input *input)
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
    out->deviation_us_min = s_min(s_max(deviation_us, VARIATION_MIN * service_us),
                                  VARIATION_MAX * service_us);
}

/* How quick each is, as far as it is known. */
static void s_time(fleet *out, const pcl_choice_input *input)
{
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        out->counts[position] = candidate->service_count *
                                s_kept(candidate->sampled_us, input->now_us, SERVICE_FADE_US);
    }
    float mean_us = s_fleet_mean(input, out->counts);
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        float known = out->counts[position];
        float count = known + PRIOR_COUNT;
        float service_us = (known * candidate->service_mean_us + PRIOR_COUNT * mean_us) / count;
        out->service_us[position] = s_max(s_with_change(service_us, candidate, input->now_us), 1);
        out->counts[position] = count;
    }
    s_note_quickest(out, input);
}

/* How far each is.  What was measured long ago fades towards the mean of what was measured lately:
 * with the nearest for a mark a forgotten node would come back as the best of all. */
static void s_measure(fleet *out, const pcl_choice_input *input)
{
    float weight_sum = 0;
    float sum = 0;
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        float kept = s_kept(candidate->rtt_at_us, input->now_us, RTT_FADE_US);
        float weight = candidate->rtt_at_us != 0 ? kept * kept : 0;
        out->rtt_us[position] = kept; /* for the moment */
        weight_sum += weight;
        sum += weight * candidate->rtt_us;
    }
    float mean_us = weight_sum > 0 ? sum / weight_sum : 0;
    float rtt_us_min = INFINITY;
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        float excess_us = (candidate->rtt_us - mean_us) * out->rtt_us[position];
        out->rtt_us[position] = mean_us + excess_us;
        if (candidate->rtt_at_us != 0 && out->rtt_us[position] < rtt_us_min) {
            rtt_us_min = out->rtt_us[position];
            out->rtt_deviation_us_min = candidate->rtt_deviation_us;
        }
    }
    out->rtt_us_min = isinf(rtt_us_min) ? 0 : rtt_us_min;
}

/* Two nodes that are alike differ by a fifth, or some scheduling, or by chance alone by this
 * much. */
static float s_service_us(const fleet *all, uint32_t position)
{
    float service_us = all->service_us[position];
    float excess_us = service_us - all->service_us_min;
    if (service_us < all->service_us_min * SERVICE_BAND || excess_us < SERVICE_JITTER_US) {
        return all->service_us_min;
    }
    float error_us = SERVICE_DEVIATIONS * all->deviation_us_min;
    float bound = error_us * error_us * (1 / all->counts[position] + 1 / all->count_min);
    return excess_us * excess_us < bound ? all->service_us_min : service_us;
}

/* What others have in flight, averaged over the last second, as the time that
 * all nodes together need for it.  Where proxies judge alike, each node gets of
 * it what makes its queue as long, in time, as every other's. */
static void s_note_foreign(fleet *all, pcl_strategy_state *state, const pcl_choice_input *input)
{
    float own = 0;
    float foreign = 0;
    float rate = 0; /* statements in a microsecond, all nodes busy */
    for (uint32_t position = 0; position < input->count; position++) {
        const pcl_candidate *candidate = input->candidates[position];
        all->service_us[position] = s_service_us(all, position);
        own += (float)candidate->own;
        foreign += (float)candidate->foreign;
        rate += s_workers(candidate) / all->service_us[position];
        all->age_us += s_min((float)pcl_time_since_us(candidate->reported_us, input->now_us),
                             REPORT_AGE_US_MAX);
    }
    all->age_us /= (float)input->count;
    bool first = state->means_at_us == 0;
    float age_us = (float)pcl_time_since_us(state->means_at_us, input->now_us);
    float kept = first ? 0 : s_decayed(age_us, MEANS_FADE_US);
    state->foreign_mean = state->foreign_mean * kept + foreign * (1 - kept);
    state->own_mean = state->own_mean * kept + own * (1 - kept);
    state->means_at_us = input->now_us;
    float own_each = state->own_mean / (float)input->count;
    all->own_trust = own_each / (own_each + 1);
    all->own_ratio = state->foreign_mean / s_max(state->own_mean, OWN_MEAN_MIN);
    all->foreign_us = state->foreign_mean / rate;
}

/* A statement that was there at the report has ended, most likely, once as much
 * time has passed as a statement spends there; who has come since is not known,
 * but they went on coming until they had heard of the queue, which takes them
 * about as long as us: where reports are rare, a queue lasts.
 * But others judge as we do: the more statements we have in flight at each node,
 * the better do our own books tell what the others have there. */
static float s_foreign(const pcl_candidate *candidate, float service_us, const fleet *all,
                       uint64_t now_us)
{
    float workers = s_workers(candidate);
    float stay_us = service_us * s_max(1, (float)(candidate->rif + 1) / workers);
    float kept = s_kept(candidate->reported_us, now_us, stay_us + OTHERS_HEAR * all->age_us);
    float expected = all->foreign_us * workers / service_us;
    float reported = kept * (float)candidate->foreign + (1 - kept) * expected;
    float judged = all->own_ratio * (float)candidate->own;
    return reported + all->own_trust * (judged - reported);
}

/* Rounds that it queues.  A queue in a report older than the queue itself says
 * more than its length: that its node had more than it could do, and that nobody
 * knows since when it has less.  Then it counts for up to twice as much. */
static float s_wait(const pcl_candidate *candidate, float service_us, float there, uint64_t now_us)
{
    float workers = s_workers(candidate);
    float wait = s_max(0, (there + 1 - workers) / workers);
    float stay_us = service_us * (1 + wait);
    float age_us = (float)pcl_time_since_us(candidate->reported_us, now_us);
    return age_us > stay_us ? wait * (2 - stay_us / age_us) : wait;
}

/* Ways differ by a jitter, or by chance: an average of which an eighth is the last sample errs by
 * a third of a deviation, and three standard errors of a difference are what both deviations make
 * together.  A node not measured yet is taken to be as near as the nearest. */
static float s_rtt_us(const pcl_candidate *candidate, const fleet *all, uint32_t position)
{
    float rtt_us = all->rtt_us[position];
    if (candidate->rtt_at_us == 0 || rtt_us <= all->rtt_us_min * RTT_BAND + RTT_JITTER_US) {
        return all->rtt_us_min;
    }
    float excess_us = rtt_us - all->rtt_us_min;
    float bound = candidate->rtt_deviation_us * candidate->rtt_deviation_us +
                  all->rtt_deviation_us_min * all->rtt_deviation_us_min;
    return excess_us * excess_us <= bound ? all->rtt_us_min : rtt_us;
}

/* The mean age of what we have there, when it is more than chance explains.
 *
 * Statements that take m on average and vary by v are found, at any moment, at
 * an age of (m^2 + v) / 2m: long ones are met more often.  Their ages vary by
 * m^2/12 when all take equally long, and by about v when they do not.  The mean
 * of a few is skewed to the right, as a gamma distribution is: the last term of
 * the bound, without which a false alarm in a hundred choices fed on itself,
 * since a node that is avoided has none but old statements.  The
 * variance is one that goes with the service time we believe in: a slow node's
 * own, beside a mean that has faded, would explain any age. */
static float s_stall_us(const pcl_candidate *candidate, float service_us, float rounds,
                        float stay_us, uint64_t now_us)
{
    if (candidate->own == 0) {
        return 0;
    }
    float own = (float)candidate->own;
    float age_us = (float)pcl_time_since_us(candidate->sent_sum_us / candidate->own, now_us);
    if (age_us <= stay_us / 2) {
        return 0; /* nearly always */
    }
    float deviation_us = VARIATION_MAX * service_us;
    float variance = rounds * s_min(candidate->service_variance, deviation_us * deviation_us);
    float spread = stay_us * stay_us / 12 + variance * s_max(1, variance / (stay_us * stay_us));
    float expected_us = (stay_us + variance / stay_us) / 2;
    float error = STALL_DEVIATIONS * sqrtf(spread / own);
    float bound_us = expected_us + error + error * error / (3 * expected_us);
    return age_us > bound_us ? age_us : 0;
}

/* What was waited for in vain, for about as long as that took. */
static float s_late_us(const pcl_candidate *candidate, uint64_t now_us)
{
    if (candidate->late_at_us == 0) {
        return 0;
    }
    return candidate->late_us * s_kept(candidate->late_at_us, now_us, candidate->late_us);
}

static float s_lag_factor(const pcl_candidate *candidate, uint32_t lag_ms_max)
{
    if (lag_ms_max == 0 || candidate->lag_ms <= 0) {
        return 1;
    }
    return 1 + LAG_WEIGHT * s_min((float)candidate->lag_ms / (float)lag_ms_max, 1);
}

/* A node that has just come up has cold caches, and nobody knows how it does.
 * It takes part in so many of the choices, has one statement until it has
 * answered, and then as many as befits its age. */
static float s_slow_factor(const pcl_candidate *candidate, const pcl_choice_input *input)
{
    if (candidate->slow_since_us == 0) {
        return 1;
    }
    float age_us = (float)pcl_time_since_us(candidate->slow_since_us, input->now_us);
    if (age_us >= SLOW_START_US) {
        return 1;
    }
    float part = s_max(age_us / SLOW_START_US, SLOW_START_MIN);
    bool drawn = (float)pcl_rng_below(input->rng, 1u << 16) < part * (1u << 16);
    float own_max = candidate->rtt_at_us == 0 ? 1 : s_max(1, s_workers(candidate) * part);
    return drawn && (float)candidate->own < own_max ? 1 : 1 / part;
}

/* What is known of a node without news has faded: it looks like any other, and may stand all the
 * same.  One statement finds out.  The age of ours does not tell, since each new one makes them
 * younger.  Only what was sent after the silence counts, and the silence is long when ten
 * statements would fit into it: where all statements are long, a node that is at work is none. */
static float s_forgotten_factor(const pcl_candidate *candidate, float stay_us, uint64_t now_us)
{
    uint64_t news_us = candidate->rtt_at_us > candidate->sampled_us ? candidate->rtt_at_us
                                                                    : candidate->sampled_us;
    float bound_us = s_max(FORGOTTEN_US, FORGOTTEN_STAYS * stay_us);
    if (candidate->own == 0 || (float)pcl_time_since_us(news_us, now_us) <= bound_us) {
        return 1; /* nearly always */
    }
    uint64_t sent_us = candidate->sent_sum_us / candidate->own;
    return (float)pcl_time_since_us(news_us, sent_us) > bound_us ? FORGOTTEN_FACTOR : 1;
}

static float s_cost_us(uint32_t position, const fleet *all, const pcl_choice_input *input)
{
    const pcl_candidate *candidate = input->candidates[position];
    float service_us = all->service_us[position];
    float workers = s_workers(candidate);
    float there = (float)candidate->own + s_foreign(candidate, service_us, all, input->now_us);
    float wait = s_wait(candidate, service_us, there, input->now_us);
    float rtt_us = s_rtt_us(candidate, all, position);
    float stay_us = rtt_us + service_us * (1 + wait);
    float cost_us = stay_us + service_us * UTILISATION_WEIGHT * there / workers +
                    s_stall_us(candidate, service_us, 1 + wait, stay_us, input->now_us) +
                    s_late_us(candidate, input->now_us);
    cost_us *= candidate->place == PCL_ZONE_OTHER ? 1 + input->far_margin : 1;
    return cost_us * s_lag_factor(candidate, input->lag_ms_max) * s_slow_factor(candidate, input) *
           s_forgotten_factor(candidate, stay_us, input->now_us);
}

uint32_t pcl_strategy_custom(pcl_strategy_state *state, const pcl_choice_input *input)
{
    assert(input->count > 0);
    fleet all; /* not its tables, which are filled as far as there are candidates */
    all.rtt_deviation_us_min = 0;
    all.age_us = 0;
    s_time(&all, input);
    s_measure(&all, input);
    s_note_foreign(&all, state, input);

    float costs[PCL_NODES_MAX];
    float cost_min = INFINITY;
    for (uint32_t position = 0; position < input->count; position++) {
        costs[position] = s_cost_us(position, &all, input);
        cost_min = s_min(cost_min, costs[position]);
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
