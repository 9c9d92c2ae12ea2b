#include "broker/window.h"

#include <assert.h>
#include <stddef.h>

enum { SHRINK_PART = 5, GROW_PART = 16 };

static uint32_t s_within(const pcl_window *self, uint64_t size)
{
    return size < self->min ? self->min : size > self->max ? self->max : (uint32_t)size;
}

pcl_window pcl_window_of(uint32_t min, uint32_t max, uint64_t target_us)
{
    pcl_window fresh = {.size = PCL_WINDOW_START};
    pcl_window_set(&fresh, min, max, target_us);
    return fresh;
}

void pcl_window_set(pcl_window *self, uint32_t min, uint32_t max, uint64_t target_us)
{
    assert(self != NULL);
    assert(min > 0 && min <= max);
    assert(target_us > 0);
    self->min = min;
    self->max = max;
    self->target_us = target_us;
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

static void s_adjust(pcl_window *self, uint64_t mean_us, uint64_t now_us)
{
    if (mean_us > self->target_us) {
        self->size = s_within(self, self->size - self->size / SHRINK_PART - 1);
        self->shrunk_us = now_us;
        self->has_been_full = true;
    } else if (self->was_full && mean_us <= self->target_us / 2) {
        uint64_t more = self->has_been_full ? self->size / GROW_PART + 1 : self->size;
        self->size = s_within(self, self->size + more);
    }
}

void pcl_window_waited(pcl_window *self, uint64_t sent_us, uint64_t waited_us, uint64_t now_us)
{
    assert(self != NULL);
    if (sent_us < self->shrunk_us) {
        return;
    }
    self->waited_us_sum += waited_us;
    self->waited_count++;
    if (self->interval_end_us == 0) {
        self->interval_end_us = now_us + PCL_WINDOW_INTERVAL_US;
    }
    if (now_us >= self->interval_end_us) {
        s_adjust(self, self->waited_us_sum / self->waited_count, now_us);
        self->interval_end_us = now_us + PCL_WINDOW_INTERVAL_US;
        self->waited_us_sum = 0;
        self->waited_count = 0;
        self->was_full = self->inflight >= self->size;
    }
}
