#include "worker-agent/lag.h"

#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>

static_assert(PCL_LAG_LOOK_MS == 2 * PCL_BEAT_INTERVAL_MS, "two looks' time");

int32_t pcl_lag_by_now_ms(int32_t lag_ms, uint64_t looked_us, uint64_t now_us)
{
    uint64_t age_ms = pcl_time_since_us(looked_us, now_us) / PCL_US_PER_MS;
    if (lag_ms < 0 || age_ms <= PCL_LAG_LOOK_MS) {
        return lag_ms;
    }
    uint64_t late_ms = age_ms - PCL_BEAT_INTERVAL_MS;
    return late_ms < (uint64_t)(INT32_MAX - lag_ms) ? lag_ms + (int32_t)late_ms : INT32_MAX;
}
