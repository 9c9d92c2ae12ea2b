#include "worker-agent/service.h"

#include "common/clock.h"

#include <math.h>

/* Below this a sum says nothing any more, and dividing by it would only
 * magnify rounding. */
#define WEIGHT_MIN 1e-6

#define LOOK_SMOOTHING  0.2
#define LOOK_FACTOR_MAX 16.0

static double s_decay(uint64_t gone_us, uint64_t tau_us)
{
    return exp(-(double)gone_us / (double)tau_us);
}

static void s_advance(pcl_service *self, uint64_t now_us)
{
    uint64_t gone_us = pcl_time_since_us(self->updated_us, now_us);
    double slow = s_decay(gone_us, PCL_SERVICE_SLOW_TAU_US);
    double fast = s_decay(gone_us, PCL_SERVICE_FAST_TAU_US);
    self->slow_weight *= slow;
    self->slow_winsor_us *= slow;
    self->slow_raw_us *= slow;
    self->slow_square *= slow;
    self->fast_weight *= fast;
    self->fast_us *= fast;
    if (now_us > self->updated_us) {
        self->updated_us = now_us;
    }
}

void pcl_service_add(pcl_service *self, uint64_t service_us, uint64_t now_us)
{
    s_advance(self, now_us);
    double sample = (double)service_us;
    double counted = sample;
    if (self->slow_weight > PCL_SERVICE_WINSOR_COUNT_MIN) {
        double limit = PCL_SERVICE_WINSOR_FACTOR * self->slow_winsor_us / self->slow_weight;
        counted = fmin(sample, limit);
    }
    self->slow_weight += 1.0;
    self->slow_winsor_us += counted;
    self->slow_raw_us += sample;
    self->slow_square += sample * sample;
    self->fast_weight += 1.0;
    self->fast_us += counted;
}

void pcl_service_look(pcl_service *self, uint64_t look_us, bool serves, uint64_t now_us)
{
    double look = fmax((double)look_us, 1.0);
    look = self->look_least_us > 0.0 ? fmin(self->look_least_us, look) : look;
    self->look_least_us = look;
    if (pcl_time_since_us(self->looked_us, now_us) < PCL_SERVICE_LOOKS_US) {
        return;
    }
    self->looked_us = now_us;
    self->look_least_us = 0.0;
    bool anew = !self->served;
    self->served = serves;
    if (serves) {
        self->look_us = anew ? look : self->look_us + (look - self->look_us) * LOOK_SMOOTHING;
        self->served_us = (double)pcl_service_summarize(self, now_us).mean_us;
    } else if (self->served_us > 0.0) {
        double factor = fmin(look / self->look_us, LOOK_FACTOR_MAX);
        factor = fmax(factor, 1.0 / LOOK_FACTOR_MAX);
        pcl_service_add(self, (uint64_t)(self->served_us * factor), now_us);
    }
}

pcl_service_summary pcl_service_summarize(const pcl_service *self, uint64_t now_us)
{
    pcl_service sums = *self;
    s_advance(&sums, now_us);
    pcl_service_summary summary = {0};
    if (sums.slow_weight > WEIGHT_MIN) {
        double mean_raw = sums.slow_raw_us / sums.slow_weight;
        summary.mean_us = (float)(sums.slow_winsor_us / sums.slow_weight);
        summary.count = (float)sums.slow_weight;
        summary.variance = (float)fmax(0.0,
                                       sums.slow_square / sums.slow_weight - mean_raw * mean_raw);
    }
    if (sums.fast_weight > WEIGHT_MIN) {
        summary.fast_us = (float)(sums.fast_us / sums.fast_weight);
        summary.fast_count = (float)sums.fast_weight;
    }
    return summary;
}
