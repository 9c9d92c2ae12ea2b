#include "common/transit.h"

#include <assert.h>
#include <stddef.h>

enum {
    DRIFT_PER_MILLION = 200, /* clocks of one machine room differ by less */
    DRIFT_STEP_US = 100000,
};

uint64_t pcl_transit_wait_us(pcl_transit *self, uint64_t sent_us, uint64_t received_us)
{
    assert(self != NULL);
    int64_t offset_us = (int64_t)(received_us - sent_us);
    if (!self->known) {
        *self = (pcl_transit){.base_us = offset_us, .updated_us = received_us, .known = true};
        return 0;
    }
    uint64_t passed_us = received_us > self->updated_us ? received_us - self->updated_us : 0;
    if (passed_us >= DRIFT_STEP_US) { /* in steps, or the division would round it all away */
        uint64_t drift_us = passed_us * DRIFT_PER_MILLION / 1000000u;
        self->base_us = (int64_t)((uint64_t)self->base_us + drift_us);
        self->updated_us = received_us;
    }
    if (offset_us <= self->base_us) {
        self->base_us = offset_us;
        return 0;
    }
    /* Peers say what they like, so the two may be further apart than a signed number holds. */
    return (uint64_t)offset_us - (uint64_t)self->base_us;
}
