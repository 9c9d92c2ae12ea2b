#include "audit/queue.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16 };

/* What stands before the texts of a record. */
typedef struct entry {
    size_t size; /* octets of the whole, a multiple of ALIGNMENT */
    bool filler; /* no record: the rest of the ring, where the next one did not fit */
    pcl_audit_record record;
} entry;

/* A filler has these two members only. */
enum { FILLER_SIZE_MIN = ALIGNMENT };
_Static_assert(offsetof(entry, record) <= FILLER_SIZE_MIN, "a filler fits where anything is left");

/* pushed and taken only rise; what lies between them is held. */
struct pcl_audit_queue {
    uint8_t *octets; /* owned */
    size_t size;
    _Alignas(64) _Atomic uint64_t pushed; /* written by the pushing thread */
    _Alignas(64) _Atomic uint64_t taken;  /* written by the taking thread */
};

pcl_audit_queue *pcl_audit_queue_new(size_t size)
{
    assert(size % 64 == 0);
    assert(size >= 4 * (PCL_AUDIT_LINE_SIZE_MAX / 4));
    pcl_audit_queue *self = aligned_alloc(64, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->octets = aligned_alloc(64, size);
    self->size = size;
    atomic_init(&self->pushed, 0);
    atomic_init(&self->taken, 0);
    if (self->octets == NULL) {
        free(self);
        return NULL;
    }
    memset(self->octets, 0, size); /* so that the memory is there before it is needed */
    return self;
}

void pcl_audit_queue_destroy(pcl_audit_queue **self_p)
{
    if (*self_p != NULL) {
        free((*self_p)->octets);
        free(*self_p);
        *self_p = NULL;
    }
}

static entry *s_entry_at(pcl_audit_queue *self, uint64_t position)
{
    return (entry *)(void *)(self->octets + position % self->size);
}

bool pcl_audit_queue_push(pcl_audit_queue *self, const pcl_audit_record *record, size_t fill_max)
{
    uint64_t pushed = atomic_load_explicit(&self->pushed, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&self->taken, memory_order_acquire);
    size_t need = sizeof(entry) + pcl_audit_record_texts_size(record);
    need = (need + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t left = self->size - pushed % self->size; /* to the end of the ring */
    size_t filler = left < need ? left : 0;
    size_t bound = fill_max < self->size ? fill_max : self->size;
    if (pushed - taken + filler + need > bound) {
        return false;
    }
    if (filler > 0) {
        entry *rest = s_entry_at(self, pushed);
        rest->size = filler;
        rest->filler = true;
    }
    entry *next = s_entry_at(self, pushed + filler);
    next->size = need;
    next->filler = false;
    pcl_audit_record_copy(record, &next->record, (uint8_t *)next + sizeof(entry));
    /* The order with what a pusher reads next decides who wakes whom (writer.c). */
    atomic_store(&self->pushed, pushed + filler + need);
    return true;
}

const pcl_audit_record *pcl_audit_queue_peek(pcl_audit_queue *self)
{
    uint64_t taken = atomic_load_explicit(&self->taken, memory_order_relaxed);
    uint64_t pushed = atomic_load(&self->pushed);
    if (taken == pushed) {
        return NULL;
    }
    entry *oldest = s_entry_at(self, taken);
    if (oldest->filler) { /* a record follows it, pushed in the same step */
        taken += oldest->size;
        atomic_store_explicit(&self->taken, taken, memory_order_release);
        oldest = s_entry_at(self, taken);
    }
    return &oldest->record;
}

void pcl_audit_queue_pop(pcl_audit_queue *self)
{
    uint64_t taken = atomic_load_explicit(&self->taken, memory_order_relaxed);
    atomic_store_explicit(&self->taken, taken + s_entry_at(self, taken)->size,
                          memory_order_release);
}

size_t pcl_audit_queue_fill(const pcl_audit_queue *self)
{
    uint64_t taken = atomic_load(&self->taken);
    uint64_t pushed = atomic_load(&self->pushed);
    return pushed > taken ? (size_t)(pushed - taken) : 0;
}
