#include "common/id_index.h"

#include "common/endian.h"
#include "common/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

/* Entries stand in chains that begin in a bucket: in one by their id, by which they are found, and
 * in one by id and ticket, by which they are removed, since thousands may have one id.  Free ones
 * stand in a chain of their own, by next. */
typedef struct entry {
    uint8_t id[PCL_ID_SIZE];
    uint64_t ticket;
    uint32_t next, before; /* with the same bucket of the id; NOWHERE at the ends */
    uint32_t pair_next;    /* with the same bucket of the pair; NOWHERE at the end */
} entry;

struct pcl_id_index {
    entry *entries;
    uint32_t *buckets;      /* by id */
    uint32_t *pair_buckets; /* as many, by id and ticket */
    uint32_t bucket_mask;
    uint32_t capacity;
    uint32_t count;
    uint32_t free_first;
    uint64_t seed;
};

static uint64_t s_hash(const pcl_id_index *self, const uint8_t *id)
{
    pcl_rng rng = pcl_rng_from_seed(pcl_get_be(id, 8) ^ self->seed);
    rng.state = pcl_rng_next(&rng) + pcl_get_be(id + 8, 8);
    return pcl_rng_next(&rng);
}

static uint32_t *s_bucket(const pcl_id_index *self, uint64_t hash)
{
    return &self->buckets[hash & self->bucket_mask];
}

static uint32_t *s_pair_bucket(const pcl_id_index *self, uint64_t hash, uint64_t ticket)
{
    pcl_rng rng = pcl_rng_from_seed(hash + ticket);
    return &self->pair_buckets[pcl_rng_next(&rng) & self->bucket_mask];
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
    self->pair_buckets = malloc(bucket_count * sizeof *self->pair_buckets);
    if (self->entries == NULL || self->buckets == NULL || self->pair_buckets == NULL) {
        pcl_id_index_destroy(&self);
        return NULL;
    }
    memset(self->buckets, 0xff, bucket_count * sizeof *self->buckets); /* NOWHERE */
    memset(self->pair_buckets, 0xff, bucket_count * sizeof *self->pair_buckets);
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
        free(self->pair_buckets);
        free(self);
        *self_p = NULL;
    }
}

void pcl_id_index_add(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket)
{
    assert(self != NULL);
    assert(ticket != 0);
    assert(self->count < self->capacity);
    uint64_t hash = s_hash(self, id);
    uint32_t *bucket = s_bucket(self, hash);
    uint32_t *pair_bucket = s_pair_bucket(self, hash, ticket);
    uint32_t index = self->free_first;
    entry *fresh = &self->entries[index];
    self->free_first = fresh->next;
    memcpy(fresh->id, id, PCL_ID_SIZE);
    fresh->ticket = ticket;
    fresh->before = NOWHERE;
    fresh->next = *bucket;
    if (fresh->next != NOWHERE) {
        self->entries[fresh->next].before = index;
    }
    *bucket = index;
    fresh->pair_next = *pair_bucket;
    *pair_bucket = index;
    self->count++;
}

/* From the chain of its id, that begins in bucket. */
static void s_unchain(pcl_id_index *self, uint32_t *bucket, const entry *old)
{
    *(old->before != NOWHERE ? &self->entries[old->before].next : bucket) = old->next;
    if (old->next != NOWHERE) {
        self->entries[old->next].before = old->before;
    }
}

void pcl_id_index_remove(pcl_id_index *self, const uint8_t id[PCL_ID_SIZE], uint64_t ticket)
{
    assert(self != NULL);
    uint64_t hash = s_hash(self, id);
    uint32_t *link = s_pair_bucket(self, hash, ticket);
    while (*link != NOWHERE) {
        uint32_t index = *link;
        entry *candidate = &self->entries[index];
        if (candidate->ticket == ticket && memcmp(candidate->id, id, PCL_ID_SIZE) == 0) {
            *link = candidate->pair_next;
            s_unchain(self, s_bucket(self, hash), candidate);
            candidate->next = self->free_first;
            self->free_first = index;
            self->count--;
            return;
        }
        link = &candidate->pair_next;
    }
}

/* *cursor: one more than the entry found last. */
uint64_t pcl_id_index_find(const pcl_id_index *self, const uint8_t id[PCL_ID_SIZE],
                           uint32_t *cursor)
{
    assert(self != NULL);
    assert(cursor != NULL);
    uint32_t index = *cursor == 0 ? *s_bucket(self, s_hash(self, id))
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
