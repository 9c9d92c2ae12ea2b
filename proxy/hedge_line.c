#include "proxy/hedge.h"

#include <assert.h>
#include <stdlib.h>

#define NOWHERE UINT32_MAX

/* A ticket's low half is its slot in the table, so a place a slot is enough. */
typedef struct s_place {
    uint64_t ticket; /* 0: nobody stands here */
    uint64_t since_us;
    uint32_t before, after; /* NOWHERE at the ends */
} s_place;

struct pcl_hedge_line {
    s_place *places; /* capacity of them */
    uint32_t capacity;
    uint32_t first, last; /* NOWHERE: empty */
    uint32_t count;
};

pcl_hedge_line *pcl_hedge_line_new(uint32_t capacity)
{
    assert(capacity > 0 && capacity <= PCL_INFLIGHT_MAX);
    pcl_hedge_line *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->places = calloc(capacity, sizeof *self->places);
    if (self->places == NULL) {
        free(self);
        return NULL;
    }
    self->capacity = capacity;
    self->first = NOWHERE;
    self->last = NOWHERE;
    return self;
}

void pcl_hedge_line_destroy(pcl_hedge_line **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        free((*self_p)->places);
        free(*self_p);
        *self_p = NULL;
    }
}

void pcl_hedge_line_add(pcl_hedge_line *self, uint64_t ticket, uint64_t since_us)
{
    assert(self != NULL);
    uint32_t slot = (uint32_t)ticket;
    assert(ticket != 0 && slot < self->capacity);
    s_place *place = &self->places[slot];
    assert(place->ticket == 0);
    *place = (s_place){
        .ticket = ticket, .since_us = since_us, .before = self->last, .after = NOWHERE};
    if (self->last == NOWHERE) {
        self->first = slot;
    } else {
        self->places[self->last].after = slot;
    }
    self->last = slot;
    self->count++;
}

void pcl_hedge_line_remove(pcl_hedge_line *self, uint64_t ticket)
{
    assert(self != NULL);
    uint32_t slot = (uint32_t)ticket;
    if (ticket == 0 || slot >= self->capacity || self->places[slot].ticket != ticket) {
        return;
    }
    s_place *place = &self->places[slot];
    if (place->before == NOWHERE) {
        self->first = place->after;
    } else {
        self->places[place->before].after = place->after;
    }
    if (place->after == NOWHERE) {
        self->last = place->before;
    } else {
        self->places[place->after].before = place->before;
    }
    place->ticket = 0;
    self->count--;
}

uint64_t pcl_hedge_line_first(const pcl_hedge_line *self, uint64_t *out_since_us)
{
    assert(self != NULL);
    assert(out_since_us != NULL);
    if (self->first == NOWHERE) {
        return 0;
    }
    *out_since_us = self->places[self->first].since_us;
    return self->places[self->first].ticket;
}

uint32_t pcl_hedge_line_count(const pcl_hedge_line *self)
{
    assert(self != NULL);
    return self->count;
}
