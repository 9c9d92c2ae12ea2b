#include "broker/work.h"

#include "common/id_index.h"
#include "sql/digest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pcl_works {
    pcl_work *works;
    pcl_id_index *held;     /* by id */
    pcl_id_index *sessions; /* of what is unsure */
    char *digests;          /* PCL_SQL_DIGEST_SIZE_MAX octets each; NULL: not kept */
    char *afters;           /* PCL_GTID_SIZE_MAX octets each; no memory until one is used */
    uint32_t capacity;
    uint32_t free_first; /* given back */
    uint32_t fresh;      /* from here on nothing was ever taken, and no memory touched */
};

pcl_works *pcl_works_new(uint32_t capacity, bool digests, uint64_t seed)
{
    assert(capacity > 0 && capacity <= PCL_INFLIGHT_MAX);
    pcl_works *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->works = calloc(capacity, sizeof *self->works);
    self->held = pcl_id_index_new(capacity, seed);
    self->sessions = pcl_id_index_new(capacity, seed);
    self->digests = digests ? calloc(capacity, PCL_SQL_DIGEST_SIZE_MAX) : NULL;
    self->afters = calloc(capacity, PCL_GTID_SIZE_MAX);
    if (self->works == NULL || self->held == NULL || self->sessions == NULL ||
        self->afters == NULL || (digests && self->digests == NULL)) {
        pcl_works_destroy(&self);
        return NULL;
    }
    self->free_first = PCL_WORKS_NONE;
    self->capacity = capacity;
    return self;
}

void pcl_works_destroy(pcl_works **self_p)
{
    assert(self_p != NULL);
    pcl_works *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t index = 0; index < self->fresh; index++) {
        if (self->works[index].used) {
            pcl_works_give_back(self, index);
        }
    }
    pcl_id_index_destroy(&self->held);
    pcl_id_index_destroy(&self->sessions);
    free(self->works);
    free(self->digests);
    free(self->afters);
    free(self);
    *self_p = NULL;
}

uint32_t pcl_works_take(pcl_works *self)
{
    assert(self != NULL);
    uint32_t index = self->free_first;
    if (index != PCL_WORKS_NONE) {
        self->free_first = self->works[index].next;
    } else if (self->fresh < self->capacity) {
        index = self->fresh++;
    }
    if (index != PCL_WORKS_NONE) {
        pcl_work *work = &self->works[index];
        memset(work, 0, sizeof *work);
        work->used = true;
        work->item = PCL_QUEUE_NONE;
    }
    return index;
}

pcl_work *pcl_works_at(pcl_works *self, uint32_t index)
{
    assert(self != NULL);
    assert(index < self->capacity && self->works[index].used);
    return &self->works[index];
}

pcl_work *pcl_works_held(pcl_works *self, uint32_t index, uint64_t ticket)
{
    assert(self != NULL);
    assert(index < self->capacity && ticket != 0);
    pcl_work *work = &self->works[index];
    return work->used && work->ticket == ticket ? work : NULL;
}

void pcl_works_hold(pcl_works *self, uint32_t index, const uint8_t id[PCL_ID_SIZE], uint64_t ticket)
{
    pcl_work *work = pcl_works_at(self, index);
    assert(ticket != 0 && work->ticket == 0);
    memcpy(work->id, id, sizeof work->id);
    work->ticket = ticket;
    pcl_id_index_add(self->held, id, (uint64_t)index + 1);
}

/* What its head has borrowed of `after` must outlive the message that it came with. */
static void s_keep_after(pcl_works *self, uint32_t index)
{
    pcl_work *work = pcl_works_at(self, index);
    pcl_bytes after = work->head.after;
    if (after.size > 0) {
        assert(after.size <= PCL_GTID_SIZE_MAX);
        char *kept = self->afters + (size_t)index * PCL_GTID_SIZE_MAX;
        memcpy(kept, after.data, after.size);
        work->head.after = pcl_bytes_of(kept, after.size);
    }
}

void pcl_works_keep(pcl_works *self, uint32_t index, const pcl_head *head, const char *accounts,
                    zmq_msg_t *payload)
{
    pcl_work *work = pcl_works_at(self, index);
    assert(!work->has_payload);
    assert(strlen(accounts) < sizeof work->accounts);
    work->head = *head;
    s_keep_after(self, index);
    memcpy(work->accounts, accounts, strlen(accounts) + 1);
    zmq_msg_init(&work->payload);
    zmq_msg_move(&work->payload, payload);
    pcl_frame_keep(&work->payload); /* it may have borrowed */
    work->has_payload = true;
}

void pcl_works_unhold(pcl_works *self, uint32_t index)
{
    pcl_work *work = pcl_works_at(self, index);
    if (work->unsure) {
        pcl_id_index_remove(self->sessions, work->session, (uint64_t)index + 1);
        work->unsure = false;
    }
    if (work->ticket != 0) {
        pcl_id_index_remove(self->held, work->id, (uint64_t)index + 1);
        work->ticket = 0;
    }
}

void pcl_works_release(pcl_works *self, uint32_t index)
{
    pcl_work *work = pcl_works_at(self, index);
    pcl_works_unhold(self, index);
    if (work->has_payload) {
        zmq_msg_close(&work->payload);
        work->has_payload = false;
    }
}

uint32_t pcl_works_find_held(const pcl_works *self, uint32_t caller, const uint8_t id[PCL_ID_SIZE],
                             uint32_t *cursor)
{
    assert(self != NULL);
    uint64_t found = 0;
    while ((found = pcl_id_index_find(self->held, id, cursor)) != 0) {
        if (self->works[found - 1].caller == caller) {
            return (uint32_t)(found - 1);
        }
    }
    return PCL_WORKS_NONE;
}

void pcl_works_set_unsure(pcl_works *self, uint32_t index)
{
    pcl_work *work = pcl_works_at(self, index);
    assert(work->has_session && !work->unsure);
    pcl_id_index_add(self->sessions, work->session, (uint64_t)index + 1);
    work->unsure = true;
}

bool pcl_works_is_unsure(const pcl_works *self, const uint8_t session[PCL_ID_SIZE])
{
    assert(self != NULL);
    uint32_t cursor = 0;
    return pcl_id_index_find(self->sessions, session, &cursor) != 0;
}

void pcl_works_give_back(pcl_works *self, uint32_t index)
{
    pcl_work *work = pcl_works_at(self, index);
    pcl_works_release(self, index);
    work->used = false;
    work->next = self->free_first;
    self->free_first = index;
}

static char *s_text(const pcl_works *self, uint32_t index)
{
    return self->digests + (size_t)index * PCL_SQL_DIGEST_SIZE_MAX;
}

void pcl_works_set_digest(pcl_works *self, uint32_t index, pcl_bytes text)
{
    pcl_work *work = pcl_works_at(self, index);
    if (self->digests != NULL && text.size > 0) {
        assert(text.size <= PCL_SQL_DIGEST_SIZE_MAX);
        memcpy(s_text(self, index), text.data, text.size);
        work->digest_size = (uint32_t)text.size;
    }
}

pcl_bytes pcl_works_digest(const pcl_works *self, uint32_t index)
{
    assert(self != NULL && index < self->capacity);
    uint32_t size = self->works[index].digest_size;
    return size == 0 ? pcl_bytes_of(NULL, 0) : pcl_bytes_of(s_text(self, index), size);
}
