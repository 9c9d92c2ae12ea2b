#include "net/log_limit.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

bool pcl_log_limit_take(pcl_log_limit *self, uint64_t now_us)
{
    assert(self != NULL);
    assert(self->lines_max > 0);
    if (self->second_us == 0 || pcl_time_since_us(self->second_us, now_us) >= PCL_US_PER_S) {
        self->second_us = now_us;
        self->lines = 0;
    }
    if (self->lines >= self->lines_max) {
        self->suppressed++;
        return false;
    }
    self->lines++;
    return true;
}

uint64_t pcl_log_limit_suppressed(pcl_log_limit *self, uint64_t now_us)
{
    assert(self != NULL);
    if (self->suppressed == 0 || pcl_time_since_us(self->second_us, now_us) < PCL_US_PER_S) {
        return 0;
    }
    uint64_t suppressed = self->suppressed;
    self->suppressed = 0;
    return suppressed;
}
