#include "bench/sim/heap.h"

#include "bench/sim/memory.h"

#include <stdlib.h>

static bool s_before(const sim_event *left, const sim_event *right)
{
    return left->at_us != right->at_us ? left->at_us < right->at_us : left->turn < right->turn;
}

void sim_heap_add(sim_heap *self, sim_event event)
{
    if (self->count == self->room) {
        self->room = self->room > 0 ? self->room * 2 : 1024;
        self->events = sim_grow(self->events, self->room, sizeof *self->events);
    }
    event.turn = self->turn++;
    size_t at = self->count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!s_before(&event, &self->events[parent])) {
            break;
        }
        self->events[at] = self->events[parent];
        at = parent;
    }
    self->events[at] = event;
}

bool sim_heap_take(sim_heap *self, sim_event *out_event)
{
    if (self->count == 0) {
        return false;
    }
    *out_event = self->events[0];
    sim_event last = self->events[--self->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->count) {
            break;
        }
        if (child + 1 < self->count && s_before(&self->events[child + 1], &self->events[child])) {
            child++;
        }
        if (!s_before(&self->events[child], &last)) {
            break;
        }
        self->events[at] = self->events[child];
        at = child;
    }
    if (self->count > 0) {
        self->events[at] = last;
    }
    return true;
}

void sim_heap_free(sim_heap *self)
{
    free(self->events);
    *self = (sim_heap){0};
}
