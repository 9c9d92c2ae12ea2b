#include "common/ticket_table.h"

#include "common/limits.h"
#include "common/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

typedef struct slot {
    uint64_t deadline_us;
    uint32_t generation; /* of the present or next occupant; never 0 */
    uint32_t heap_index; /* NOWHERE: the slot is free */
    uint32_t next_free;  /* only while free; NOWHERE ends the list */
} slot;

struct pcl_ticket_table {
    slot *slots;      /* capacity of them */
    uint32_t *heap;   /* slot indices; heap[0] has the earliest deadline */
    uint8_t *entries; /* capacity x entry_size */
    size_t entry_size;
    uint32_t capacity;
    uint32_t count;     /* occupied slots, and entries of the heap */
    uint32_t free_head; /* NOWHERE: full */
};

pcl_ticket_table *pcl_ticket_table_new(uint32_t capacity, size_t entry_size, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_INFLIGHT_MAX);
    assert(entry_size > 0);
    pcl_ticket_table *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->slots = calloc(capacity, sizeof *self->slots);
    self->heap = calloc(capacity, sizeof *self->heap);
    self->entries = calloc(capacity, entry_size);
    if (self->slots == NULL || self->heap == NULL || self->entries == NULL) {
        pcl_ticket_table_destroy(&self);
        return NULL;
    }
    self->capacity = capacity;
    self->entry_size = entry_size;
    pcl_rng rng = pcl_rng_from_seed(seed);
    for (uint32_t index = 0; index < capacity; index++) {
        self->slots[index] = (slot){
            .generation = (uint32_t)pcl_rng_next(&rng) | 1u,
            .heap_index = NOWHERE,
            .next_free = index + 1 < capacity ? index + 1 : NOWHERE,
        };
    }
    return self;
}

void pcl_ticket_table_destroy(pcl_ticket_table **self_p)
{
    assert(self_p != NULL);
    pcl_ticket_table *self = *self_p;
    if (self != NULL) {
        free(self->slots);
        free(self->heap);
        free(self->entries);
        free(self);
        *self_p = NULL;
    }
}

static void s_place(pcl_ticket_table *self, uint32_t heap_index, uint32_t slot_index)
{
    self->heap[heap_index] = slot_index;
    self->slots[slot_index].heap_index = heap_index;
}

static uint64_t s_deadline_at(const pcl_ticket_table *self, uint32_t heap_index)
{
    return self->slots[self->heap[heap_index]].deadline_us;
}

/* Restores the heap around heap_index, whose deadline has just changed. */
static void s_sift(pcl_ticket_table *self, uint32_t heap_index)
{
    uint32_t moving = self->heap[heap_index];
    uint64_t deadline_us = self->slots[moving].deadline_us;
    while (heap_index > 0 && deadline_us < s_deadline_at(self, (heap_index - 1) / 2)) {
        s_place(self, heap_index, self->heap[(heap_index - 1) / 2]);
        heap_index = (heap_index - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * heap_index + 1;
        if (child >= self->count) {
            break;
        }
        if (child + 1 < self->count &&
            s_deadline_at(self, child + 1) < s_deadline_at(self, child)) {
            child++;
        }
        if (s_deadline_at(self, child) >= deadline_us) {
            break;
        }
        s_place(self, heap_index, self->heap[child]);
        heap_index = child;
    }
    s_place(self, heap_index, moving);
}

static void *s_entry(const pcl_ticket_table *self, uint32_t slot_index)
{
    return self->entries + (size_t)slot_index * self->entry_size;
}

static uint64_t s_ticket(const pcl_ticket_table *self, uint32_t slot_index)
{
    return (uint64_t)self->slots[slot_index].generation << 32 | slot_index;
}

void *pcl_ticket_table_add(pcl_ticket_table *self, uint64_t deadline_us, uint64_t *out_ticket)
{
    assert(self != NULL);
    assert(out_ticket != NULL);
    if (self->free_head == NOWHERE) {
        return NULL;
    }
    uint32_t slot_index = self->free_head;
    slot *taken = &self->slots[slot_index];
    self->free_head = taken->next_free;
    taken->deadline_us = deadline_us;
    s_place(self, self->count, slot_index);
    self->count++;
    s_sift(self, self->count - 1);
    *out_ticket = s_ticket(self, slot_index);
    return memset(s_entry(self, slot_index), 0, self->entry_size);
}

void *pcl_ticket_table_find(const pcl_ticket_table *self, uint64_t ticket)
{
    assert(self != NULL);
    uint32_t slot_index = (uint32_t)ticket;
    if (slot_index >= self->capacity) {
        return NULL;
    }
    const slot *found = &self->slots[slot_index];
    if (found->heap_index == NOWHERE || found->generation != (uint32_t)(ticket >> 32)) {
        return NULL;
    }
    return s_entry(self, slot_index);
}

void pcl_ticket_table_remove(pcl_ticket_table *self, uint64_t ticket)
{
    assert(pcl_ticket_table_find(self, ticket) != NULL);
    uint32_t slot_index = (uint32_t)ticket;
    slot *left = &self->slots[slot_index];
    uint32_t hole = left->heap_index;
    self->count--;
    if (hole != self->count) {
        s_place(self, hole, self->heap[self->count]);
        s_sift(self, hole);
    }
    left->heap_index = NOWHERE;
    left->generation = left->generation == UINT32_MAX ? 1 : left->generation + 1;
    left->next_free = self->free_head;
    self->free_head = slot_index;
}

void pcl_ticket_table_set_deadline(pcl_ticket_table *self, uint64_t ticket, uint64_t deadline_us)
{
    assert(pcl_ticket_table_find(self, ticket) != NULL);
    slot *changed = &self->slots[(uint32_t)ticket];
    changed->deadline_us = deadline_us;
    s_sift(self, changed->heap_index);
}

void *pcl_ticket_table_due(const pcl_ticket_table *self, uint64_t now_us, uint64_t *out_ticket)
{
    assert(self != NULL);
    assert(out_ticket != NULL);
    if (self->count == 0 || s_deadline_at(self, 0) > now_us) {
        return NULL;
    }
    *out_ticket = s_ticket(self, self->heap[0]);
    return s_entry(self, self->heap[0]);
}

uint64_t pcl_ticket_table_next_deadline_us(const pcl_ticket_table *self)
{
    assert(self != NULL);
    return self->count == 0 ? UINT64_MAX : s_deadline_at(self, 0);
}

uint32_t pcl_ticket_table_count(const pcl_ticket_table *self)
{
    assert(self != NULL);
    return self->count;
}

uint32_t pcl_ticket_table_capacity(const pcl_ticket_table *self)
{
    assert(self != NULL);
    return self->capacity;
}

void *pcl_ticket_table_each(const pcl_ticket_table *self, uint32_t *cursor, uint64_t *out_ticket)
{
    assert(self != NULL);
    assert(cursor != NULL);
    assert(out_ticket != NULL);
    while (*cursor < self->capacity) {
        uint32_t slot_index = (*cursor)++;
        if (self->slots[slot_index].heap_index != NOWHERE) {
            *out_ticket = s_ticket(self, slot_index);
            return s_entry(self, slot_index);
        }
    }
    return NULL;
}
