#include "proxy/candidate.h"

#include "common/clock.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#define START_SHARE_MIN  0.1f
#define SMOOTHING        0.125f  /* weight of a new sample */
#define SHORTER_WAY      0.5f    /* ... of a way that is shorter than thought */
#define OUTLIER_FACTOR   4.0f    /* a sample counts for at most this many times the estimate ... */
#define OUTLIER_FLOOR_US 1000.0f /* ... or for this, if that is more */
#define C3_SMOOTHING     0.9f    /* C3 believes the last answer, as its authors' simulator does */
#define LATE_FACTOR      4.0f    /* so many times the usual is more than bad luck */
#define PEAK_FADE_US     1e7f    /* Finagle's time constant */

void pcl_candidate_sent(pcl_candidate *self, uint64_t now_us)
{
    assert(self != NULL);
    self->own++;
    self->sent_sum_us += now_us;
}

void pcl_candidate_done(pcl_candidate *self, uint64_t sent_us)
{
    assert(self != NULL);
    assert(self->own > 0);
    assert(self->sent_sum_us >= sent_us);
    self->own--;
    self->sent_sum_us -= sent_us;
}

/* One very late answer moves the estimate a little, not by its whole size.  falling is the weight
 * of a sample below the estimate. */
static float s_smooth(float estimate_us, uint64_t sample_us, bool first, float falling)
{
    float sample = (float)sample_us;
    if (first) {
        return sample;
    }
    float limit = estimate_us * OUTLIER_FACTOR;
    if (limit < OUTLIER_FLOOR_US) {
        limit = OUTLIER_FLOOR_US;
    }
    if (sample > limit) {
        sample = limit;
    }
    return estimate_us + (sample - estimate_us) * (sample < estimate_us ? falling : SMOOTHING);
}

float pcl_candidate_peak_kept(const pcl_candidate *self, uint64_t now_us)
{
    assert(self != NULL);
    return expf(-(float)pcl_time_since_us(self->peak_at_us, now_us) / PEAK_FADE_US);
}

/* Up at once, down slowly: one bad answer is remembered for a while. */
static void s_note_peak(pcl_candidate *self, float sample_us, uint64_t now_us)
{
    float kept = pcl_candidate_peak_kept(self, now_us);
    bool rises = self->peak_at_us == 0 || sample_us > self->peak_us;
    self->peak_us = rises ? sample_us : self->peak_us * kept + sample_us * (1 - kept);
    self->peak_at_us = now_us;
}

static float s_follow(float estimate, float sample, bool first)
{
    return first ? sample : estimate + (sample - estimate) * C3_SMOOTHING;
}

/* Chance only lengthens a way, so a short one says more of it.  The deviation takes each distance
 * whole: it tells what chance can do.  After one answer that is not known, and may be all of it. */
static void s_note_way(pcl_candidate *self, uint64_t way_us, bool first)
{
    float way = (float)way_us;
    float deviation_us = first ? way : fabsf(way - self->rtt_us);
    float weight = first ? 1 : SMOOTHING;
    self->rtt_deviation_us += (deviation_us - self->rtt_deviation_us) * weight;
    self->rtt_us = s_smooth(self->rtt_us, way_us, first, SHORTER_WAY);
}

void pcl_candidate_timed(pcl_candidate *self, const pcl_timing *timing, uint64_t now_us)
{
    assert(self != NULL);
    assert(timing != NULL);
    bool first = self->rtt_at_us == 0;
    uint64_t node_us = (uint64_t)timing->exec_us + timing->queue_us;
    uint64_t way_us = timing->total_us > node_us ? timing->total_us - node_us : 0;
    s_note_way(self, way_us, first);
    self->latency_us = s_smooth(self->latency_us, timing->total_us, first, SMOOTHING);
    self->answer_us = s_follow(self->answer_us, (float)timing->total_us, first);
    self->execution_us = s_follow(self->execution_us, (float)timing->exec_us, first);
    self->queued_mean = s_follow(self->queued_mean, (float)self->queued, first);
    self->rtt_at_us = now_us;
    s_note_peak(self, (float)timing->total_us, now_us);
}

void pcl_candidate_gave_up(pcl_candidate *self, uint64_t waited_us, uint64_t now_us)
{
    pcl_candidate_outrun(self, waited_us, now_us);
    if ((float)waited_us > LATE_FACTOR * (self->rtt_us + self->service_mean_us)) {
        self->late_us = (float)waited_us;
        self->late_at_us = now_us;
    }
}

void pcl_candidate_outrun(pcl_candidate *self, uint64_t waited_us, uint64_t now_us)
{
    assert(self != NULL);
    float waited = (float)waited_us;
    if (self->rtt_at_us == 0) {
        return; /* no smoothed figures yet that could get worse */
    }
    if (waited > self->latency_us) {
        self->latency_us = s_smooth(self->latency_us, waited_us, false, SMOOTHING);
    }
    self->answer_us = fmaxf(self->answer_us, waited);
    if (waited > self->peak_us * pcl_candidate_peak_kept(self, now_us)) {
        s_note_peak(self, waited, now_us);
    }
}

void pcl_candidate_report(pcl_candidate *self, const pcl_report *report, uint64_t reported_us)
{
    assert(self != NULL);
    assert(report != NULL);
    if (self->reported_us == 0 || report->served != self->served) {
        self->sampled_us = reported_us;
    }
    self->reported_us = reported_us;
    self->served = report->served;
    self->role = report->role;
    self->term = report->term;
    self->rif = report->rif;
    self->foreign = report->rif > report->rif_you ? report->rif - report->rif_you : 0;
    self->running = report->running;
    self->queued = report->queued;
    self->workers = report->workers;
    self->lag_ms = report->lag_ms;
    self->service_mean_us = report->service_mean_us;
    self->service_count = report->service_count;
    self->service_variance = report->service_variance;
    self->service_fast_us = report->service_fast_us;
    self->service_fast_count = report->service_fast_count;
    self->warm_percent = report->warm_percent;
}

void pcl_candidate_reset(pcl_candidate *self, uint64_t now_us)
{
    assert(self != NULL);
    *self = (pcl_candidate){
        .index = self->index,
        .up_since_us = now_us,
        .own = self->own, /* their owner ends them one by one */
        .sent_sum_us = self->sent_sum_us,
        .lag_ms = -1,
    };
}

float pcl_candidate_start_share(const pcl_candidate *self, uint64_t now_us)
{
    assert(self != NULL);
    uint64_t age_us = pcl_time_since_us(self->slow_since_us, now_us);
    if (self->slow_since_us == 0 || age_us >= PCL_SLOW_START_US) {
        return 1;
    }
    float share = (float)age_us / (float)PCL_SLOW_START_US;
    return share > START_SHARE_MIN ? share : START_SHARE_MIN;
}
