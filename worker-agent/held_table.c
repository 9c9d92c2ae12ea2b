#include "worker-agent/held_table.h"

#include "common/clock.h"
#include "common/id_index.h"
#include "wire/head.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One that ended: whose it was, and why. */
typedef struct ended {
    uint8_t id[PCL_ID_SIZE];
    pcl_held_end end; /* NONE: nothing stands here */
    bool session;
    uint8_t principal_size;
    char principal[PCL_NAME_SIZE_MAX];
} ended;

typedef struct reservation {
    bool taken;
    uint8_t principal_size;
    char principal[PCL_NAME_SIZE_MAX];
} reservation;

struct pcl_held_table {
    pcl_held_limits limits[2]; /* of cursors, of sessions */
    uint64_t boot_id;
    pcl_held **slots; /* borrowed; NULL: free */
    uint32_t slot_count;
    uint32_t open[2], ending[2]; /* cursors, sessions */
    pcl_id_index *index;         /* id: slot + 1 */
    reservation *reservations;   /* as many as sessions may be open */
    uint32_t reserved;
    ended ended[2][PCL_HELD_ENDED_MAX]; /* rings: of all other ends, of DONE */
    uint32_t ended_next[2];
};

uint32_t pcl_held_table_capacity(const pcl_held_limits *sessions, const pcl_held_limits *cursors)
{
    return 2 * (sessions->count_max + cursors->count_max);
}

pcl_held_table *pcl_held_table_new(const pcl_held_limits *sessions, const pcl_held_limits *cursors,
                                   uint64_t boot_id, uint64_t seed)
{
    pcl_held_table *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->limits[0] = *cursors;
    self->limits[1] = *sessions;
    self->boot_id = boot_id;
    self->slot_count = pcl_held_table_capacity(sessions, cursors);
    self->slots = calloc(self->slot_count, sizeof *self->slots);
    self->reservations = calloc(sessions->count_max, sizeof *self->reservations);
    self->index = pcl_id_index_new(self->slot_count, seed);
    if (self->slots == NULL || self->reservations == NULL || self->index == NULL) {
        pcl_held_table_destroy(&self);
    }
    return self;
}

void pcl_held_table_destroy(pcl_held_table **self_p)
{
    pcl_held_table *self = *self_p;
    if (self != NULL) {
        pcl_id_index_destroy(&self->index);
        free(self->slots);
        free(self->reservations);
        free(self);
        *self_p = NULL;
    }
}

/* --- Room -------------------------------------------------------------------- */

static pcl_bytes s_principal(const pcl_held *held)
{
    return pcl_bytes_of(held->principal, held->principal_size);
}

static uint32_t s_count_of(const pcl_held_table *self, bool session, pcl_bytes principal)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < self->slot_count; slot++) {
        const pcl_held *held = self->slots[slot];
        count += held != NULL && held->session == session && held->state != PCL_HELD_ENDING &&
                 pcl_bytes_equal(s_principal(held), principal);
    }
    for (uint32_t index = 0; session && index < self->limits[1].count_max; index++) {
        const reservation *entry = &self->reservations[index];
        count += entry->taken &&
                 pcl_bytes_equal(pcl_bytes_of(entry->principal, entry->principal_size), principal);
    }
    return count;
}

/* NULL: there is room for one more. */
static const char *s_full(const pcl_held_table *self, bool session, pcl_bytes principal)
{
    const pcl_held_limits *limits = &self->limits[session];
    uint32_t open = self->open[session] + (session ? self->reserved : 0);
    if (open >= limits->count_max || self->ending[session] >= limits->count_max) {
        return session ? "the node holds as many sessions as it may"
                       : "the node holds as many unfinished results as it may";
    }
    if (s_count_of(self, session, principal) >= limits->principal_count_max) {
        return session ? "the principal has as many sessions open at the node as it may"
                       : "the principal has as many unfinished results at the node as it may";
    }
    return NULL;
}

uint32_t pcl_held_table_reserve(pcl_held_table *self, pcl_bytes principal, const char **out_why)
{
    assert(principal.size <= PCL_NAME_SIZE_MAX);
    const char *why = s_full(self, true, principal);
    if (why != NULL) {
        *out_why = why;
        return 0;
    }
    uint32_t index = 0;
    while (self->reservations[index].taken) {
        index++; /* there is one: reserved < count_max */
    }
    reservation *entry = &self->reservations[index];
    entry->taken = true;
    entry->principal_size = (uint8_t)principal.size;
    if (principal.size > 0) {
        memcpy(entry->principal, principal.data, principal.size);
    }
    self->reserved++;
    return index + 1;
}

void pcl_held_table_unreserve(pcl_held_table *self, uint32_t number)
{
    assert(number > 0 && number <= self->limits[1].count_max);
    assert(self->reservations[number - 1].taken);
    self->reservations[number - 1].taken = false;
    self->reserved--;
}

/* --- Entries ------------------------------------------------------------------- */

static pcl_held *s_find(const pcl_held_table *self, const uint8_t id[PCL_ID_SIZE])
{
    uint8_t canonical[PCL_ID_SIZE];
    memcpy(canonical, id, sizeof canonical);
    pcl_held_id_set_page(canonical, 0);
    uint32_t cursor = 0;
    uint64_t number = pcl_id_index_find(self->index, canonical, &cursor);
    return number != 0 ? self->slots[number - 1] : NULL;
}

bool pcl_held_table_add(pcl_held_table *self, pcl_held *held, uint64_t now_us, const char **out_why)
{
    const char *why = s_full(self, held->session, s_principal(held));
    if (why == NULL && s_find(self, held->id) != NULL) {
        why = "the node made the same id twice";
    }
    if (why != NULL) {
        *out_why = why;
        return false;
    }
    uint32_t slot = 0;
    while (self->slots[slot] != NULL) {
        slot++; /* there is one: of each kind at most its limit is open, and as many end */
    }
    self->slots[slot] = held;
    held->slot = slot;
    held->state = PCL_HELD_IDLE;
    held->opened_us = now_us;
    held->used_us = now_us;
    self->open[held->session]++;
    pcl_id_index_add(self->index, held->id, slot + 1);
    return true;
}

void pcl_held_table_set_ending(pcl_held_table *self, pcl_held *held, pcl_held_end end)
{
    assert(self->slots[held->slot] == held && held->state != PCL_HELD_ENDING);
    assert(end != PCL_HELD_END_NONE);
    held->state = PCL_HELD_ENDING;
    held->end = end;
    self->open[held->session]--;
    self->ending[held->session]++;
    bool done = end == PCL_HELD_END_DONE;
    ended *entry = &self->ended[done][self->ended_next[done]];
    self->ended_next[done] = (self->ended_next[done] + 1) % PCL_HELD_ENDED_MAX;
    memcpy(entry->id, held->id, sizeof entry->id);
    entry->end = end;
    entry->session = held->session;
    entry->principal_size = held->principal_size;
    memcpy(entry->principal, held->principal, sizeof entry->principal);
}

void pcl_held_table_remove(pcl_held_table *self, pcl_held *held)
{
    assert(self->slots[held->slot] == held && held->state == PCL_HELD_ENDING);
    pcl_id_index_remove(self->index, held->id, held->slot + 1);
    self->slots[held->slot] = NULL;
    self->ending[held->session]--;
}

pcl_held *pcl_held_table_find(const pcl_held_table *self, const uint8_t id[PCL_ID_SIZE],
                              pcl_bytes principal)
{
    pcl_held *held = s_find(self, id);
    bool open = held != NULL && held->state != PCL_HELD_ENDING;
    return open && pcl_bytes_equal(s_principal(held), principal) ? held : NULL;
}

pcl_held *pcl_held_table_each(const pcl_held_table *self, uint32_t *cursor)
{
    while (*cursor < self->slot_count) {
        pcl_held *held = self->slots[(*cursor)++];
        if (held != NULL) {
            return held;
        }
    }
    return NULL;
}

pcl_held_counts pcl_held_table_count(const pcl_held_table *self)
{
    return (pcl_held_counts){.sessions = self->open[1],
                             .cursors = self->open[0],
                             .ending = self->ending[0] + self->ending[1]};
}

/* --- Ends ---------------------------------------------------------------------- */

pcl_held_end pcl_held_table_due(const pcl_held_table *self, const pcl_held *held, uint64_t now_us)
{
    const pcl_held_limits *limits = &self->limits[held->session];
    if (held->state != PCL_HELD_IDLE) {
        return PCL_HELD_END_NONE;
    }
    if (pcl_time_since_us(held->opened_us, now_us) >= limits->age_ms * PCL_US_PER_MS) {
        return PCL_HELD_END_AGE;
    }
    if (pcl_time_since_us(held->used_us, now_us) >= limits->idle_ms * PCL_US_PER_MS) {
        return PCL_HELD_END_IDLE;
    }
    return PCL_HELD_END_NONE;
}

const char *pcl_held_end_text(pcl_held_end end)
{
    switch (end) {
    case PCL_HELD_END_DONE:
        return "done";
    case PCL_HELD_END_FAILED:
        return "failed";
    case PCL_HELD_END_IDLE:
        return "idle";
    case PCL_HELD_END_AGE:
        return "age";
    case PCL_HELD_END_LOST:
        return "lost";
    case PCL_HELD_END_RELEASED:
        return "released";
    case PCL_HELD_END_REFUSED:
        return "refused";
    case PCL_HELD_END_NONE:
    case PCL_HELD_END_COUNT:
        break;
    }
    return "none";
}

static void s_time_text(char target[32], uint32_t ms)
{
    bool whole = ms % 1000 == 0;
    (void)snprintf(target, 32, "%u %s", whole ? ms / 1000 : ms, whole ? "s" : "ms");
}

static void s_reason_text(const pcl_held_table *self, const ended *entry,
                          char target[PCL_HELD_WHY_SIZE])
{
    const pcl_held_limits *limits = &self->limits[entry->session];
    const char *closed = entry->session ? "rolled back" : "closed";
    char time[32];
    switch (entry->end) {
    case PCL_HELD_END_IDLE:
        s_time_text(time, limits->idle_ms);
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "idle for %s; %s", time, closed);
        return;
    case PCL_HELD_END_AGE:
        s_time_text(time, limits->age_ms);
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "older than %s; %s", time, closed);
        return;
    case PCL_HELD_END_LOST:
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "its connection was lost; %s", closed);
        return;
    case PCL_HELD_END_FAILED:
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "its last request failed; %s", closed);
        return;
    case PCL_HELD_END_RELEASED:
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "its client went; %s", closed);
        return;
    case PCL_HELD_END_DONE:
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "%s",
                       entry->session ? "committed or rolled back by its client"
                                      : "read to its end, or closed by its client");
        return;
    case PCL_HELD_END_REFUSED:
    case PCL_HELD_END_NONE:
    case PCL_HELD_END_COUNT:
        break;
    }
    (void)snprintf(target, PCL_HELD_WHY_SIZE, "%s", closed);
}

void pcl_held_table_why_gone(const pcl_held_table *self, const uint8_t id[PCL_ID_SIZE],
                             pcl_bytes principal, char target[PCL_HELD_WHY_SIZE])
{
    if (pcl_held_id_boot(id) != self->boot_id) {
        (void)snprintf(target, PCL_HELD_WHY_SIZE, "%s",
                       "its node was started again; what it had open was rolled back");
        return;
    }
    uint8_t canonical[PCL_ID_SIZE];
    memcpy(canonical, id, sizeof canonical);
    pcl_held_id_set_page(canonical, 0);
    for (uint32_t index = 0; index < 2 * PCL_HELD_ENDED_MAX; index++) {
        const ended *entry = &self->ended[index % 2][index / 2];
        pcl_bytes owner = pcl_bytes_of(entry->principal, entry->principal_size);
        if (entry->end != PCL_HELD_END_NONE && memcmp(entry->id, canonical, PCL_ID_SIZE) == 0 &&
            pcl_bytes_equal(owner, principal)) {
            s_reason_text(self, entry, target);
            return;
        }
    }
    (void)snprintf(target, PCL_HELD_WHY_SIZE, "%s", "the principal has none with this id here");
}
