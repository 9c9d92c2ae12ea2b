#include "proxy/lag_gate.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

enum { RETURN_PERCENT = 70 };

bool pcl_lag_gate_note(pcl_lag_gate *self, int32_t lag_ms, uint32_t lag_ms_max, uint64_t now_us)
{
    assert(self != NULL);
    if (lag_ms > 0 && (uint32_t)lag_ms > lag_ms_max) {
        self->out_us = self->out ? self->out_us : now_us;
        self->out = true;
        self->settled_us = 0;
        return false;
    }
    bool low = lag_ms >= 0 && (uint64_t)lag_ms * 100 <= (uint64_t)lag_ms_max * RETURN_PERCENT;
    if (!self->out || !low) {
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
