#include "proxy/lag_gate.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

enum { RETURN_PERCENT = 70 };

static void s_leave(pcl_lag_gate *self, uint64_t since_us)
{
    self->out_us = self->out ? self->out_us : since_us;
    self->out = true;
    self->settled_us = 0;
}

static bool s_is_low(int32_t lag_ms, uint32_t lag_ms_max)
{
    return lag_ms >= 0 && (uint64_t)lag_ms * 100 <= (uint64_t)lag_ms_max * RETURN_PERCENT;
}

/* What the last report said of a lag near the bound, its age since then included, as candidates.h
 * counts it. */
static void s_note_growth(pcl_lag_gate *self, uint32_t lag_ms_max, uint64_t now_us)
{
    if (self->lag_ms <= 0 || s_is_low(self->lag_ms, lag_ms_max) ||
        (uint32_t)self->lag_ms > lag_ms_max) {
        return; /* no growth, or out already */
    }
    uint64_t gap_us = pcl_time_since_us(self->noted_us, now_us);
    if (gap_us > PCL_LAG_SILENCE_US) {
        return; /* silence, which says nothing of the lag */
    }
    uint64_t left_us = (lag_ms_max - (uint32_t)self->lag_ms) * PCL_US_PER_MS;
    if (gap_us / PCL_US_PER_MS * PCL_US_PER_MS > left_us) {
        s_leave(self, self->noted_us + left_us);
    }
}

bool pcl_lag_gate_note(pcl_lag_gate *self, int32_t lag_ms, uint32_t lag_ms_max, uint64_t now_us)
{
    assert(self != NULL);
    s_note_growth(self, lag_ms_max, now_us);
    self->lag_ms = lag_ms;
    self->noted_us = now_us;
    if (lag_ms > 0 && (uint32_t)lag_ms > lag_ms_max) {
        s_leave(self, now_us);
        return false;
    }
    if (!self->out || !s_is_low(lag_ms, lag_ms_max)) {
        self->settled_us = 0;
        return false;
    }
    if (self->settled_us == 0) {
        self->settled_us = now_us;
        return false;
    }
    self->out = pcl_time_since_us(self->settled_us, now_us) < PCL_LAG_SETTLED_US;
    return !self->out;
}
