#include "common/id_index.h"

#include "common/endian.h"
#include "common/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

/* Entries stand in chains that begin in a bucket; free ones in a chain of their own. */
typedef struct entry {
    uint8_t id[PCL_ID_SIZE];
    uint64_t ticket;
    uint32_t next; /* NOWHERE: the chain's last */
} entry;

struct pcl_id_index {
    entry *entries;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint32_t capacity;
    uint32_t count;
    uint32_t free_first;
    uint64_t seed;
};

static uint32_t s_bucket(const pcl_id_index *self, const uint8_t *id)
{
    pcl_rng rng = pcl_rng_from_seed(pcl_get_be(id, 8) ^ self->seed);
    rng.state = pcl_rng_next(&rng) + pcl_get_be(id + 8, 8);
    return (uint32_t)pcl_rng_next(&rng) & self->bucket_mask;
}

pcl_id_index *pcl_id_index_new(uint32_t capacity, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_INFLIGHT_MAX);
    uint32_t bucket_count = 1;
    while (bucket_count < capacity) {
        bucket_count *= 2;
    }
    pcl_id_index *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->entries = calloc(capacity, sizeof *self->entries);
    self->buckets = malloc(bucket_count * sizeof *self->buckets);
    if (self->entries == NULL || self->buckets == NULL) {
        pcl_id_index_destroy(&self);
        return NULL;
    }
    memset(self->buckets, 0xff, bucket_count * sizeof *self->buckets); /* NOWHERE */
    self->bucket_mask = bucket_count - 1;
    self->capacity = capacity;
    self->seed = seed;
    for (uint32_t index = 0; index < capacity; index++) {
        self->entries[index].next = index + 1 < capacity ? index + 1 : NOWHERE;
    }
    return self;
}

void pcl_id_index_destroy(pcl_id_index **self_p)
{
    assert(self_p != NULL);
    pcl_id_index *self = *self_p;
    if (self != NULL) {
        free(self->entries);
        free(self->buckets);
        free(self);
        *self_p = NULL;
    }
}

void pcl_id_index_add(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket)
{
    assert(self != NULL);
    assert(ticket != 0);
    assert(self->count < self->capacity);
    uint32_t *bucket = &self->buckets[s_bucket(self, id)];
    uint32_t index = self->free_first;
    entry *fresh = &self->entries[index];
    self->free_first = fresh->next;
    memcpy(fresh->id, id, PCL_ID_SIZE);
    fresh->ticket = ticket;
    fresh->next = *bucket;
    *bucket = index;
    self->count++;
}

void pcl_id_index_remove(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket)
{
    assert(self != NULL);
    uint32_t *link = &self->buckets[s_bucket(self, id)];
    while (*link != NOWHERE) {
        uint32_t index = *link;
        entry *candidate = &self->entries[index];
        if (candidate->ticket == ticket && memcmp(candidate->id, id, PCL_ID_SIZE) == 0) {
            *link = candidate->next;
            candidate->next = self->free_first;
            self->free_first = index;
            self->count--;
            return;
        }
        link = &candidate->next;
    }
}

/* *cursor: one more than the entry found last. */
uint64_t pcl_id_index_find(const pcl_id_index *self, const uint8_t id[PCL_ID_SIZE],
                           uint32_t *cursor)
{
    assert(self != NULL);
    assert(cursor != NULL);
    uint32_t index = *cursor == 0 ? self->buckets[s_bucket(self, id)]
                                  : self->entries[*cursor - 1].next;
    while (index != NOWHERE && memcmp(self->entries[index].id, id, PCL_ID_SIZE) != 0) {
        index = self->entries[index].next;
    }
    if (index == NOWHERE) {
        return 0;
    }
    *cursor = index + 1;
    return self->entries[index].ticket;
}

uint32_t pcl_id_index_count(const pcl_id_index *self)
{
    assert(self != NULL);
    return self->count;
}
