#include "net/liveness.h"

#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>
#include <stddef.h>

static const uint64_t INTERVAL_US = PCL_BEAT_INTERVAL_MS * PCL_US_PER_MS;

pcl_link_event pcl_liveness_heard(pcl_liveness *self, pcl_word word, uint64_t boot_id,
                                  bool draining)
{
    assert(self != NULL);
    self->silent_us = 0;
    if (word == PCL_WORD_ANY) {
        return PCL_LINK_NOTHING; /* says that someone lives, not who */
    }
    bool other = boot_id != self->boot_id;
    self->boot_id = boot_id;
    self->left = (self->left && !other) || word == PCL_WORD_BYE;
    pcl_link_state before = self->state;
    self->state = self->left || draining ? PCL_LINK_DRAINING : PCL_LINK_UP;
    if (before != PCL_LINK_DOWN && other) {
        return PCL_LINK_REPLACED;
    }
    if (before == self->state) {
        return PCL_LINK_NOTHING;
    }
    return self->state == PCL_LINK_UP ? PCL_LINK_CAME_UP : PCL_LINK_DRAINS;
}

pcl_link_event pcl_liveness_cut(pcl_liveness *self)
{
    assert(self != NULL);
    bool was_down = self->state == PCL_LINK_DOWN;
    self->state = PCL_LINK_DOWN;
    return was_down ? PCL_LINK_NOTHING : PCL_LINK_LOST;
}

pcl_link_event pcl_liveness_look(pcl_liveness *self, uint64_t now_us)
{
    assert(self != NULL);
    uint64_t gap_us = self->looked_us == 0 ? 0 : pcl_time_since_us(self->looked_us, now_us);
    self->looked_us = now_us;
    if (self->state == PCL_LINK_DOWN) {
        return PCL_LINK_NOTHING;
    }
    self->silent_us += gap_us < INTERVAL_US ? gap_us : INTERVAL_US;
    uint64_t beats = self->patient ? PCL_BEATS_GONE_ALONE : PCL_BEATS_GONE;
    if (self->silent_us < beats * INTERVAL_US) {
        return PCL_LINK_NOTHING;
    }
    self->state = PCL_LINK_DOWN;
    return PCL_LINK_LOST;
}
