#include "gatekeeper/principals.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

typedef struct principal {
    char name[PCL_NAME_SIZE_MAX + 1];
    pcl_principal_load load;        /* no requests: the slot is free */
    uint32_t sent, served, refused; /* of late; refused: for want of room */
    uint32_t next; /* in its bucket, or in the list of free slots; NOWHERE ends it */
} principal;

struct pcl_principals {
    principal *slots; /* capacity of them */
    uint32_t *heads;  /* of the buckets; as many as slots */
    uint32_t capacity;
    uint32_t count;
    uint32_t free_head;
    uint64_t seed;
    uint64_t octets; /* of all */
};

/* FNV-1a; the names are an administrator's, so nobody can aim at one bucket. */
static uint32_t s_bucket(const pcl_principals *self, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ self->seed;
    for (const char *at = name; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(1099511628211);
    }
    return (uint32_t)((hash ^ (hash >> 32)) % self->capacity);
}

static uint32_t s_find(const pcl_principals *self, const char *name)
{
    uint32_t index = self->heads[s_bucket(self, name)];
    while (index != NOWHERE && strcmp(self->slots[index].name, name) != 0) {
        index = self->slots[index].next;
    }
    return index;
}

pcl_principals *pcl_principals_new(uint32_t capacity, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_INFLIGHT_MAX);
    pcl_principals *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->slots = calloc(capacity, sizeof *self->slots);
    self->heads = calloc(capacity, sizeof *self->heads);
    if (self->slots == NULL || self->heads == NULL) {
        pcl_principals_destroy(&self);
        return NULL;
    }
    self->capacity = capacity;
    self->seed = seed;
    for (uint32_t index = 0; index < capacity; index++) {
        self->heads[index] = NOWHERE;
        self->slots[index].next = index + 1 < capacity ? index + 1 : NOWHERE;
    }
    return self;
}

void pcl_principals_destroy(pcl_principals **self_p)
{
    assert(self_p != NULL);
    pcl_principals *self = *self_p;
    if (self != NULL) {
        free(self->slots);
        free(self->heads);
        free(self);
        *self_p = NULL;
    }
}

pcl_principal_load pcl_principals_load(const pcl_principals *self, const char *name)
{
    assert(self != NULL);
    assert(name != NULL);
    uint32_t index = s_find(self, name);
    pcl_principal_load load = {0};
    if (index != NOWHERE) {
        const principal *found = &self->slots[index];
        load = found->load;
        load.throttled = found->refused >= PCL_PRINCIPALS_TRIES &&
                         found->sent > PCL_PRINCIPALS_TIMES * found->served + PCL_PRINCIPALS_TRIES;
    }
    load.octets_all = self->octets;
    return load;
}

uint32_t pcl_principals_acquire(pcl_principals *self, const char *name, size_t size)
{
    assert(self != NULL);
    assert(name != NULL);
    assert(strlen(name) <= PCL_NAME_SIZE_MAX);
    uint32_t index = s_find(self, name);
    if (index == NOWHERE) {
        index = self->free_head;
        if (index == NOWHERE) {
            return NOWHERE;
        }
        principal *fresh = &self->slots[index];
        self->free_head = fresh->next;
        uint32_t bucket = s_bucket(self, name);
        memcpy(fresh->name, name, strlen(name) + 1);
        fresh->sent = fresh->served = fresh->refused = 0;
        fresh->next = self->heads[bucket];
        self->heads[bucket] = index;
        self->count++;
    }
    self->slots[index].sent++;
    self->slots[index].load.requests++;
    self->slots[index].load.octets += size;
    self->octets += size;
    return index;
}

void pcl_principals_release(pcl_principals *self, uint32_t index, size_t size)
{
    assert(self != NULL);
    assert(index < self->capacity);
    principal *held = &self->slots[index];
    assert(held->load.requests > 0);
    assert(held->load.octets >= size);
    held->load.octets -= size;
    self->octets -= size;
    if (--held->load.requests > 0) {
        return;
    }
    uint32_t *link = &self->heads[s_bucket(self, held->name)];
    while (*link != index) {
        link = &self->slots[*link].next;
    }
    *link = held->next;
    held->next = self->free_head;
    self->free_head = index;
    self->count--;
}

void pcl_principals_answered(pcl_principals *self, uint32_t index, bool overloaded)
{
    assert(self != NULL);
    assert(index < self->capacity);
    principal *held = &self->slots[index];
    assert(held->load.requests > 0);
    held->refused += overloaded ? 1 : 0;
    held->served += overloaded ? 0 : 1;
}

void pcl_principals_age(pcl_principals *self)
{
    assert(self != NULL);
    for (uint32_t index = 0; self->count > 0 && index < self->capacity; index++) {
        principal *any = &self->slots[index];
        any->sent /= 2;
        any->served /= 2;
        any->refused /= 2;
    }
}

uint32_t pcl_principals_count(const pcl_principals *self)
{
    assert(self != NULL);
    return self->count;
}
