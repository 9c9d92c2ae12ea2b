#include "broker/holdings.h"

#include "common/id_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

typedef struct holding {
    uint8_t id[PCL_ID_SIZE];
    uint32_t owner;          /* NOWHERE: free */
    uint32_t previous, next; /* of the owner's; next also of the free ones */
} holding;

struct pcl_holdings {
    holding *holdings;
    uint32_t *firsts; /* each owner's newest; NOWHERE: none */
    pcl_id_index *index;
    uint32_t capacity, owner_max;
    uint32_t count;
    uint32_t free_first; /* given back */
    uint32_t fresh;      /* from here on none was ever taken */
    uint32_t victim; /* whose turn it is to be forgotten when there is no room: the clock's hand */
};

pcl_holdings *pcl_holdings_new(uint32_t capacity, uint32_t owner_max, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_HOLDINGS_MAX);
    assert(owner_max > 0);
    pcl_holdings *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->holdings = calloc(capacity, sizeof *self->holdings);
    self->firsts = malloc(owner_max * sizeof *self->firsts);
    self->index = pcl_id_index_new(capacity, seed);
    if (self->holdings == NULL || self->firsts == NULL || self->index == NULL) {
        pcl_holdings_destroy(&self);
        return NULL;
    }
    memset(self->firsts, 0xff, owner_max * sizeof *self->firsts); /* NOWHERE */
    self->free_first = NOWHERE;
    self->capacity = capacity;
    self->owner_max = owner_max;
    return self;
}

void pcl_holdings_destroy(pcl_holdings **self_p)
{
    assert(self_p != NULL);
    pcl_holdings *self = *self_p;
    if (self != NULL) {
        pcl_id_index_destroy(&self->index);
        free(self->holdings);
        free(self->firsts);
        free(self);
        *self_p = NULL;
    }
}

static uint32_t s_find(const pcl_holdings *self, const uint8_t *id)
{
    uint32_t cursor = 0;
    uint64_t found = pcl_id_index_find(self->index, id, &cursor);
    return found == 0 ? NOWHERE : (uint32_t)(found - 1);
}

static void s_forget(pcl_holdings *self, uint32_t place)
{
    holding *mine = &self->holdings[place];
    uint32_t *before = mine->previous == NOWHERE ? &self->firsts[mine->owner]
                                                 : &self->holdings[mine->previous].next;
    *before = mine->next;
    if (mine->next != NOWHERE) {
        self->holdings[mine->next].previous = mine->previous;
    }
    pcl_id_index_remove(self->index, mine->id, (uint64_t)place + 1);
    mine->owner = NOWHERE;
    mine->next = self->free_first;
    self->free_first = place;
    self->count--;
}

void pcl_holdings_add(pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE])
{
    assert(self != NULL);
    assert(owner < self->owner_max);
    if (s_find(self, id) != NOWHERE) {
        return;
    }
    if (self->count == self->capacity) { /* places are taken in turn, so this is about the oldest */
        s_forget(self, self->victim);
        self->victim = (self->victim + 1) % self->capacity;
    }
    bool again = self->free_first != NOWHERE;
    uint32_t place = again ? self->free_first : self->fresh++;
    assert(place < self->capacity);
    holding *fresh = &self->holdings[place];
    self->free_first = again ? fresh->next : NOWHERE;
    memcpy(fresh->id, id, sizeof fresh->id);
    fresh->owner = owner;
    fresh->previous = NOWHERE;
    fresh->next = self->firsts[owner];
    if (fresh->next != NOWHERE) {
        self->holdings[fresh->next].previous = place;
    }
    self->firsts[owner] = place;
    pcl_id_index_add(self->index, id, (uint64_t)place + 1);
    self->count++;
}

void pcl_holdings_remove(pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE])
{
    assert(self != NULL);
    uint32_t place = s_find(self, id);
    if (place != NOWHERE && self->holdings[place].owner == owner) {
        s_forget(self, place);
    }
}

bool pcl_holdings_take(pcl_holdings *self, uint32_t owner, uint8_t out_id[PCL_ID_SIZE])
{
    assert(self != NULL);
    assert(owner < self->owner_max);
    uint32_t place = self->firsts[owner];
    if (place == NOWHERE) {
        return false;
    }
    memcpy(out_id, self->holdings[place].id, PCL_ID_SIZE);
    s_forget(self, place);
    return true;
}

bool pcl_holdings_owns(const pcl_holdings *self, uint32_t owner, const uint8_t id[PCL_ID_SIZE])
{
    assert(self != NULL);
    uint32_t place = s_find(self, id);
    return place != NOWHERE && self->holdings[place].owner == owner;
}

uint32_t pcl_holdings_count(const pcl_holdings *self)
{
    assert(self != NULL);
    return self->count;
}

bool pcl_holdings_has(const pcl_holdings *self, uint32_t owner)
{
    assert(self != NULL);
    assert(owner < self->owner_max);
    return self->firsts[owner] != NOWHERE;
}
