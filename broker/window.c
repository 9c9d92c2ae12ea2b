#include "broker/window.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

enum {
    TARGET_PART = 8, /* of what requests take: how long they may wait */
    SHRINK_PART = 8,
    SHRINK_FAST_PART = 3,
    FAR_TIMES = 4, /* the target: from there on it shrinks fast */
    GROW_PART = 16,
    GROW_FAST_PART = 4,
    CALM_MIN = 8, /* intervals without waiting, before it grows fast */
};

static uint32_t s_within(const pcl_window *self, uint64_t size)
{
    return size < self->min ? self->min : size > self->max ? self->max : (uint32_t)size;
}

pcl_window pcl_window_of(uint32_t min, uint32_t max, uint64_t target_us_max)
{
    pcl_window fresh = {.size = PCL_WINDOW_START};
    pcl_window_set(&fresh, min, max, target_us_max);
    return fresh;
}

void pcl_window_set(pcl_window *self, uint32_t min, uint32_t max, uint64_t target_us_max)
{
    assert(self != NULL);
    assert(min > 0 && min <= max);
    assert(target_us_max > 0);
    self->min = min;
    self->max = max;
    self->target_us_max = target_us_max;
    self->size = s_within(self, self->size);
}

void pcl_window_sent(pcl_window *self)
{
    assert(self != NULL);
    self->inflight++;
    self->was_full = self->was_full || self->inflight >= self->size;
}

void pcl_window_ended(pcl_window *self)
{
    assert(self != NULL);
    assert(self->inflight > 0);
    self->inflight--;
}

/* How long requests may wait on average, by how long they take otherwise. */
static uint64_t s_target_us(const pcl_window *self, uint64_t took_us)
{
    uint64_t target_us = took_us / TARGET_PART;
    target_us = target_us > PCL_WINDOW_TARGET_US ? target_us : PCL_WINDOW_TARGET_US;
    return target_us < self->target_us_max ? target_us : self->target_us_max;
}

static void s_shrink(pcl_window *self, bool far, uint64_t now_us)
{
    self->size = s_within(self,
                          self->size - self->size / (far ? SHRINK_FAST_PART : SHRINK_PART) - 1);
    self->shrunk_us = now_us;
    self->has_been_full = true;
    self->calm = 0;
}

static void s_grow(pcl_window *self)
{
    uint32_t more = self->size;
    if (self->has_been_full) {
        more = self->size / (self->calm >= CALM_MIN ? GROW_FAST_PART : GROW_PART) + 1;
    }
    self->size = s_within(self, (uint64_t)self->size + more);
    self->calm++;
}

static void s_adjust(pcl_window *self, uint64_t now_us)
{
    uint64_t waited_us = self->waited_us_sum / self->waited_count;
    uint64_t target_us = s_target_us(self, self->took_us_sum / self->waited_count);
    if (waited_us > target_us) {
        s_shrink(self, waited_us > FAR_TIMES * target_us, now_us);
    } else if (self->was_full && waited_us <= target_us / 2) {
        s_grow(self);
    }
}

void pcl_window_waited(pcl_window *self, uint64_t sent_us, uint64_t waited_us, uint64_t now_us)
{
    assert(self != NULL);
    if (sent_us < self->shrunk_us) {
        return;
    }
    uint64_t took_us = pcl_time_since_us(sent_us, now_us);
    self->waited_us_sum += waited_us;
    self->took_us_sum += took_us > waited_us ? took_us - waited_us : 0;
    self->waited_count++;
    if (self->interval_end_us == 0) {
        self->interval_end_us = now_us + PCL_WINDOW_INTERVAL_US;
    }
    if (now_us >= self->interval_end_us) {
        s_adjust(self, now_us);
        self->interval_end_us = now_us + PCL_WINDOW_INTERVAL_US;
        self->waited_us_sum = 0;
        self->took_us_sum = 0;
        self->waited_count = 0;
        self->was_full = self->inflight >= self->size;
    }
}
