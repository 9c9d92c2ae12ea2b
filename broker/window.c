#include "broker/window.h"

#include "common/clock.h"

#include <assert.h>
#include <stddef.h>

enum { SHRINK_PART = 5, GROW_PART = 16, GROW_FAST_PART = 4, IDLE_PART = 8 };

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
    uint64_t target_us = took_us / 2 > PCL_WINDOW_TARGET_US ? took_us / 2 : PCL_WINDOW_TARGET_US;
    return target_us < self->target_us_max ? target_us : self->target_us_max;
}

static uint32_t s_step(const pcl_window *self, uint64_t waited_us, uint64_t target_us)
{
    if (!self->has_been_full) {
        return self->size;
    }
    return self->size / (waited_us < target_us / IDLE_PART ? GROW_FAST_PART : GROW_PART) + 1;
}

static void s_adjust(pcl_window *self, uint64_t now_us)
{
    uint64_t waited_us = self->waited_us_sum / self->waited_count;
    uint64_t target_us = s_target_us(self, self->took_us_sum / self->waited_count);
    if (waited_us > target_us) {
        self->size = s_within(self, self->size - self->size / SHRINK_PART - 1);
        self->shrunk_us = now_us;
        self->has_been_full = true;
    } else if (self->was_full && waited_us <= target_us / 2) {
        self->size = s_within(self, (uint64_t)self->size + s_step(self, waited_us, target_us));
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
