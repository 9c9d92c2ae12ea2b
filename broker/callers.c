#include "broker/callers.h"

#include "common/endian.h"
#include "common/id_index.h"
#include "sql/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pcl_callers {
    pcl_caller *callers;
    pcl_id_index *index; /* by a hash of the name */
    pcl_sql_hash_key hash;
    uint32_t capacity;
    uint32_t free_first; /* given back */
    uint32_t fresh;      /* from here on none was ever taken */
    uint32_t count;
    uint32_t victim; /* where the search for one to forget goes on */
    uint32_t last;   /* found last; most messages come in runs */
};

pcl_callers *pcl_callers_new(uint32_t capacity, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_CALLERS_MAX);
    pcl_callers *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->callers = calloc(capacity, sizeof *self->callers);
    self->index = pcl_id_index_new(capacity, seed);
    if (self->callers == NULL || self->index == NULL) {
        pcl_callers_destroy(&self);
        return NULL;
    }
    self->free_first = PCL_CALLER_NONE;
    self->hash = pcl_sql_hash_key_of(seed);
    self->capacity = capacity;
    self->last = PCL_CALLER_NONE;
    return self;
}

void pcl_callers_destroy(pcl_callers **self_p)
{
    assert(self_p != NULL);
    pcl_callers *self = *self_p;
    if (self != NULL) {
        pcl_id_index_destroy(&self->index);
        free(self->callers);
        free(self);
        *self_p = NULL;
    }
}

static void s_key(const pcl_callers *self, pcl_bytes name, uint8_t out_key[PCL_ID_SIZE])
{
    memset(out_key, 0, PCL_ID_SIZE);
    pcl_put_be(out_key, pcl_sql_hash(self->hash, name), 8);
}

static bool s_is(const pcl_caller *caller, pcl_bytes name)
{
    return caller->principal != NULL && pcl_bytes_is(name, caller->name);
}

uint32_t pcl_callers_find(pcl_callers *self, pcl_bytes name)
{
    assert(self != NULL);
    if (self->last != PCL_CALLER_NONE && s_is(&self->callers[self->last], name)) {
        return self->last;
    }
    uint8_t key[PCL_ID_SIZE];
    uint32_t cursor = 0;
    uint64_t found = 0;
    s_key(self, name, key);
    while ((found = pcl_id_index_find(self->index, key, &cursor)) != 0) {
        uint32_t place = (uint32_t)(found - 1);
        if (s_is(&self->callers[place], name)) {
            self->last = place;
            return place;
        }
    }
    return PCL_CALLER_NONE;
}

/* Out of the index; the place is kept. */
static void s_hide(pcl_callers *self, uint32_t place)
{
    pcl_caller *caller = &self->callers[place];
    uint8_t key[PCL_ID_SIZE];
    s_key(self, pcl_bytes_text(caller->name), key);
    pcl_id_index_remove(self->index, key, (uint64_t)place + 1);
    caller->principal = NULL;
    self->count--;
}

static void s_free(pcl_callers *self, uint32_t place)
{
    self->callers[place].used = false;
    self->callers[place].next = self->free_first;
    self->free_first = place;
}

/* Makes room, at the cost of one who has nothing to lose but its meter. */
static bool s_forget_one(pcl_callers *self)
{
    for (uint32_t tried = 0; tried < self->capacity; tried++) {
        uint32_t place = self->victim;
        self->victim = (self->victim + 1) % self->capacity;
        if (self->callers[place].works == 0 && self->callers[place].principal != NULL) {
            s_hide(self, place);
            s_free(self, place);
            return true;
        }
    }
    return false;
}

uint32_t pcl_callers_add(pcl_callers *self, pcl_bytes name, const pcl_policy_principal *principal,
                         bool *out_forgotten)
{
    assert(self != NULL);
    assert(principal != NULL && out_forgotten != NULL);
    assert(name.size > 0 && name.size < PCL_POLICY_NAME_SIZE);
    bool forgotten = false;
    if (self->free_first == PCL_CALLER_NONE && self->fresh == self->capacity) {
        forgotten = s_forget_one(self);
        if (!forgotten) {
            return PCL_CALLER_NONE;
        }
    }
    bool again = self->free_first != PCL_CALLER_NONE;
    uint32_t place = again ? self->free_first : self->fresh++;
    pcl_caller *caller = &self->callers[place];
    self->free_first = again ? caller->next : PCL_CALLER_NONE;
    memset(caller, 0, sizeof *caller);
    memcpy(caller->name, name.data, name.size);
    memcpy(caller->public_key, principal->public_key, sizeof caller->public_key);
    caller->principal = principal;
    caller->used = true;
    uint8_t key[PCL_ID_SIZE];
    s_key(self, name, key);
    pcl_id_index_add(self->index, key, (uint64_t)place + 1);
    self->count++;
    *out_forgotten = forgotten;
    return place;
}

pcl_caller *pcl_callers_at(pcl_callers *self, uint32_t index)
{
    assert(self != NULL);
    assert(index < self->capacity && self->callers[index].used);
    return &self->callers[index];
}

pcl_caller *pcl_callers_find_place(pcl_callers *self, uint32_t index)
{
    assert(self != NULL);
    assert(index < self->capacity);
    return self->callers[index].used ? &self->callers[index] : NULL;
}

void pcl_callers_begin(pcl_callers *self, uint32_t index)
{
    pcl_callers_at(self, index)->works++;
}

void pcl_callers_end(pcl_callers *self, uint32_t index)
{
    pcl_caller *caller = pcl_callers_at(self, index);
    assert(caller->works > 0);
    if (--caller->works == 0 && caller->principal == NULL) {
        s_free(self, index);
    }
}

void pcl_callers_dismiss(pcl_callers *self, uint32_t index)
{
    pcl_caller *caller = pcl_callers_at(self, index);
    if (caller->principal != NULL) {
        s_hide(self, index);
        if (caller->works == 0) {
            s_free(self, index);
        }
    }
}

uint32_t pcl_callers_each(const pcl_callers *self, uint32_t *cursor)
{
    assert(self != NULL);
    assert(cursor != NULL);
    for (; *cursor < self->fresh; (*cursor)++) {
        if (self->callers[*cursor].used && self->callers[*cursor].principal != NULL) {
            return (*cursor)++;
        }
    }
    return PCL_CALLER_NONE;
}

uint32_t pcl_callers_count(const pcl_callers *self)
{
    assert(self != NULL);
    return self->count;
}
