#include "gatekeeper/principals.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

typedef struct principal {
    char name[PCL_NAME_SIZE_MAX + 1];
    pcl_principal_load load;
    uint32_t credit;  /* so many more may be sent while it is throttled */
    uint32_t refused; /* of late, for want of room */
    bool used;        /* no: the slot is free */
    uint32_t next;    /* in its bucket, or in the list of free slots; NOWHERE ends it */
} principal;

struct pcl_principals {
    principal *slots; /* slot_count of them */
    uint32_t *heads;  /* of the buckets; as many as slots */
    uint32_t capacity, kept_max, slot_count;
    uint32_t count; /* with anything in flight: capacity at most */
    uint32_t kept;  /* with nothing in flight: kept_max at most */
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
    return (uint32_t)((hash ^ (hash >> 32)) % self->slot_count);
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
    self->capacity = capacity;
    self->kept_max = capacity < PCL_PRINCIPALS_KEPT ? capacity : PCL_PRINCIPALS_KEPT;
    self->slot_count = capacity + self->kept_max;
    self->slots = calloc(self->slot_count, sizeof *self->slots);
    self->heads = calloc(self->slot_count, sizeof *self->heads);
    if (self->slots == NULL || self->heads == NULL) {
        pcl_principals_destroy(&self);
        return NULL;
    }
    self->seed = seed;
    for (uint32_t index = 0; index < self->slot_count; index++) {
        self->heads[index] = NOWHERE;
        self->slots[index].next = index + 1 < self->slot_count ? index + 1 : NOWHERE;
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
        load.throttled = found->refused >= PCL_PRINCIPALS_REFUSED && found->credit == 0;
    }
    load.octets_all = self->octets;
    return load;
}

/* A fresh slot; there is one, since those in use are fewer than slot_count. */
static uint32_t s_take_slot(pcl_principals *self, const char *name)
{
    uint32_t index = self->free_head;
    principal *fresh = &self->slots[index];
    self->free_head = fresh->next;
    uint32_t bucket = s_bucket(self, name);
    *fresh = (principal){.credit = PCL_PRINCIPALS_TRIES, .used = true, .next = self->heads[bucket]};
    memcpy(fresh->name, name, strlen(name) + 1);
    self->heads[bucket] = index;
    return index;
}

static void s_free_slot(pcl_principals *self, uint32_t index)
{
    principal *held = &self->slots[index];
    uint32_t *link = &self->heads[s_bucket(self, held->name)];
    while (*link != index) {
        link = &self->slots[*link].next;
    }
    *link = held->next;
    held->used = false;
    held->next = self->free_head;
    self->free_head = index;
}

uint32_t pcl_principals_acquire(pcl_principals *self, const char *name, size_t size)
{
    assert(self != NULL);
    assert(name != NULL);
    assert(strlen(name) <= PCL_NAME_SIZE_MAX);
    uint32_t index = s_find(self, name);
    bool idle = index == NOWHERE || self->slots[index].load.requests == 0;
    if (idle && self->count == self->capacity) {
        return NOWHERE;
    }
    self->count += idle ? 1 : 0;
    if (index == NOWHERE) {
        index = s_take_slot(self, name);
    } else if (idle) {
        self->kept--;
    }
    principal *holder = &self->slots[index];
    holder->credit -= holder->credit > 0 ? 1 : 0;
    holder->load.requests++;
    holder->load.octets += size;
    self->octets += size;
    return index;
}

void pcl_principals_release(pcl_principals *self, uint32_t index, size_t size)
{
    assert(self != NULL);
    assert(index < self->slot_count);
    principal *held = &self->slots[index];
    assert(held->load.requests > 0);
    assert(held->load.octets >= size);
    held->load.octets -= size;
    self->octets -= size;
    if (--held->load.requests > 0) {
        return;
    }
    self->count--;
    if (held->refused > 0 && self->kept < self->kept_max) {
        self->kept++;
    } else {
        s_free_slot(self, index);
    }
}

void pcl_principals_answered(pcl_principals *self, uint32_t index, bool overloaded)
{
    assert(self != NULL);
    assert(index < self->slot_count);
    principal *held = &self->slots[index];
    assert(held->load.requests > 0);
    uint32_t credit = held->credit + (overloaded ? 0 : PCL_PRINCIPALS_TIMES);
    held->credit = credit < PCL_PRINCIPALS_SAVED ? credit : PCL_PRINCIPALS_SAVED;
    held->refused += overloaded ? 1 : 0;
}

void pcl_principals_age(pcl_principals *self)
{
    assert(self != NULL);
    uint32_t left = self->count + self->kept;
    for (uint32_t index = 0; left > 0; index++) {
        principal *any = &self->slots[index];
        if (!any->used) {
            continue;
        }
        left--;
        any->refused /= 2;
        any->credit = any->credit > PCL_PRINCIPALS_TRIES ? any->credit : PCL_PRINCIPALS_TRIES;
        if (any->refused == 0 && any->load.requests == 0) {
            self->kept--;
            s_free_slot(self, index);
        }
    }
}

uint32_t pcl_principals_count(const pcl_principals *self)
{
    assert(self != NULL);
    return self->count;
}
