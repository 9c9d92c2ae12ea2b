#include "net/arrivals.h"

#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

/* Addresses are kept in sets; in a full one, the address that has the most left to spend is
 * forgotten. */
enum { ADDRESS_SETS = 1024, ADDRESS_WAYS = 8 };

/* How much may come at once after a calm. */
#define BURST_US (10 * PCL_US_PER_S)

typedef enum state {
    FREE = 0,
    SILENT, /* in the list of those */
    NAMED,
    OVER, /* named; in the list of those who are too many */
} state;

typedef struct place {
    uint32_t next, previous; /* in its list */
    uint32_t key;            /* NAMED, OVER: index into keys */
    uint8_t state;
    bool seen;       /* SILENT: it was looked at */
    uint64_t due_us; /* OVER: when it is cut; SILENT: when it is looked at */
} place;

typedef struct key_entry {
    char text[PCL_ARRIVALS_KEY_SIZE];
    uint32_t count; /* 0: free */
    uint32_t next;  /* in its bucket, or the next free one */
} key_entry;

/* An address spends PCL_US_PER_S / rate microseconds a connection, and may be BURST_US ahead. */
typedef struct address_entry {
    uint64_t hash;
    uint64_t paid_until_us; /* in the past: it has everything left to spend */
} address_entry;

/* Of places, by descriptor: the oldest first. */
typedef struct list {
    uint32_t first, last, count;
} list;

struct pcl_arrivals {
    pcl_arrivals_limits limits;
    uint32_t descriptor_max;
    uint64_t seed;
    place *places; /* by descriptor */
    key_entry *keys;
    uint32_t *buckets; /* of keys; 1 + index of the first, 0: none */
    uint32_t bucket_mask;
    uint32_t key_free;  /* chain of those that were used before */
    uint32_t keys_used; /* those from here on never were */
    address_entry *addresses;
    uint64_t paid_until_us; /* as that of an address, for all */
    list silent, over;
    uint32_t unseen_count;
    uint32_t unseen; /* of the silent, the oldest that was not looked at; those after it neither */
    uint32_t count;
    uint32_t end; /* one more than the greatest descriptor that was opened */
};

/* --- Life -------------------------------------------------------------------- */

pcl_arrivals *pcl_arrivals_new(uint32_t descriptor_max, const pcl_arrivals_limits *limits,
                               uint64_t seed)
{
    assert(descriptor_max > 0);
    pcl_arrivals *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    uint32_t bucket_count = 1;
    while (bucket_count < descriptor_max) {
        bucket_count *= 2;
    }
    self->descriptor_max = descriptor_max;
    self->seed = seed;
    self->bucket_mask = bucket_count - 1;
    self->key_free = NOWHERE;
    self->unseen = NOWHERE;
    self->silent = self->over = (list){.first = NOWHERE, .last = NOWHERE};
    self->places = calloc(descriptor_max, sizeof *self->places);
    self->keys = calloc(descriptor_max, sizeof *self->keys);
    self->buckets = calloc(bucket_count, sizeof *self->buckets);
    self->addresses = calloc((size_t)ADDRESS_SETS * ADDRESS_WAYS, sizeof *self->addresses);
    if (self->places == NULL || self->keys == NULL || self->buckets == NULL ||
        self->addresses == NULL) {
        pcl_arrivals_destroy(&self);
        return NULL;
    }
    pcl_arrivals_set_limits(self, limits);
    return self;
}

void pcl_arrivals_destroy(pcl_arrivals **self_p)
{
    assert(self_p != NULL);
    pcl_arrivals *self = *self_p;
    if (self != NULL) {
        free(self->places);
        free(self->keys);
        free(self->buckets);
        free(self->addresses);
        free(self);
        *self_p = NULL;
    }
}

void pcl_arrivals_set_limits(pcl_arrivals *self, const pcl_arrivals_limits *limits)
{
    assert(self != NULL);
    assert(limits != NULL);
    assert(limits->connections_max > 0 && limits->key_max > 0);
    assert(limits->rate_max > 0 && limits->rate_max <= PCL_US_PER_S);
    assert(limits->address_rate_max > 0 && limits->address_rate_max <= PCL_US_PER_S);
    self->limits = *limits;
}

/* NULL: outside of the table. */
static place *s_place(const pcl_arrivals *self, int fd)
{
    return fd >= 0 && (uint32_t)fd < self->descriptor_max ? &self->places[fd] : NULL;
}

static void s_append(pcl_arrivals *self, list *queue, uint32_t fd)
{
    place *added = &self->places[fd];
    added->next = NOWHERE;
    added->previous = queue->last;
    *(queue->last != NOWHERE ? &self->places[queue->last].next : &queue->first) = fd;
    queue->last = fd;
    queue->count++;
}

static void s_take_out(pcl_arrivals *self, list *queue, uint32_t fd)
{
    const place *taken = &self->places[fd];
    *(taken->previous != NOWHERE ? &self->places[taken->previous].next
                                 : &queue->first) = taken->next;
    *(taken->next != NOWHERE ? &self->places[taken->next].previous
                             : &queue->last) = taken->previous;
    queue->count--;
}

static void s_leave_silent(pcl_arrivals *self, uint32_t fd)
{
    if (self->unseen == fd) {
        self->unseen = self->places[fd].next;
    }
    self->unseen_count -= !self->places[fd].seen;
    s_take_out(self, &self->silent, fd);
}

/* FNV-1a, with a secret start and a last mix. */
static uint64_t s_hash(const pcl_arrivals *self, pcl_bytes octets)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ self->seed;
    for (size_t index = 0; index < octets.size; index++) {
        hash = (hash ^ octets.data[index]) * UINT64_C(1099511628211);
    }
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

/* --- Rates ------------------------------------------------------------------- */

/* One more at that rate; false: it comes too soon. */
static bool s_spend(uint64_t *paid_until_us, uint32_t rate_max, uint64_t now_us)
{
    uint64_t from_us = *paid_until_us > now_us ? *paid_until_us : now_us;
    uint64_t until_us = from_us + PCL_US_PER_S / rate_max;
    if (until_us - now_us > BURST_US) {
        return false;
    }
    *paid_until_us = until_us;
    return true;
}

static bool s_address_may(pcl_arrivals *self, pcl_bytes octets, uint64_t now_us)
{
    if (octets.size == 0) {
        return true;
    }
    uint64_t hash = s_hash(self, octets.size > 8 ? pcl_bytes_of(octets.data, 8) : octets);
    address_entry *set = &self->addresses[(size_t)(hash % ADDRESS_SETS) * ADDRESS_WAYS];
    address_entry *found = set;
    for (address_entry *at = set; at < set + ADDRESS_WAYS; at++) {
        if (at->hash == hash) {
            found = at;
            break;
        }
        if (at->paid_until_us < found->paid_until_us) {
            found = at;
        }
    }
    if (found->hash != hash) {
        *found = (address_entry){.hash = hash};
    }
    return s_spend(&found->paid_until_us, self->limits.address_rate_max, now_us);
}

/* --- Keys -------------------------------------------------------------------- */

static uint32_t *s_bucket(const pcl_arrivals *self, const char *text)
{
    return &self->buckets[s_hash(self, pcl_bytes_text(text)) & self->bucket_mask];
}

static uint32_t s_find(const pcl_arrivals *self, const char *text)
{
    uint32_t at = *s_bucket(self, text);
    while (at != 0 && strcmp(self->keys[at - 1].text, text) != 0) {
        at = self->keys[at - 1].next;
    }
    return at != 0 ? at - 1 : NOWHERE;
}

/* There are as many places as descriptors, so there is always one. */
static uint32_t s_acquire(pcl_arrivals *self, const char *text)
{
    uint32_t index = s_find(self, text);
    if (index != NOWHERE) {
        self->keys[index].count++;
        return index;
    }
    index = self->key_free;
    if (index != NOWHERE) {
        self->key_free = self->keys[index].next;
    } else {
        index = self->keys_used++;
        assert(index < self->descriptor_max);
    }
    key_entry *fresh = &self->keys[index];
    uint32_t *bucket = s_bucket(self, text);
    memcpy(fresh->text, text, strlen(text) + 1);
    fresh->count = 1;
    fresh->next = *bucket;
    *bucket = index + 1;
    return index;
}

static void s_release(pcl_arrivals *self, uint32_t index)
{
    key_entry *held = &self->keys[index];
    assert(held->count > 0);
    if (--held->count > 0) {
        return;
    }
    uint32_t *link = s_bucket(self, held->text);
    while (*link != index + 1) {
        link = &self->keys[*link - 1].next;
    }
    *link = held->next;
    held->next = self->key_free;
    self->key_free = index;
}

/* --- What happens -------------------------------------------------------------- */

void pcl_arrivals_closed(pcl_arrivals *self, int fd)
{
    assert(self != NULL);
    place *ended = s_place(self, fd);
    if (ended == NULL || ended->state == FREE) {
        return;
    }
    if (ended->state == SILENT) {
        s_leave_silent(self, (uint32_t)fd);
    } else {
        s_release(self, ended->key);
    }
    if (ended->state == OVER) {
        s_take_out(self, &self->over, (uint32_t)fd);
    }
    ended->state = FREE;
    self->count--;
}

pcl_arrivals_rule pcl_arrivals_opened(pcl_arrivals *self, int fd, pcl_bytes address,
                                      uint64_t now_us, int *out_place)
{
    assert(self != NULL);
    assert(out_place != NULL);
    *out_place = -1;
    place *fresh = s_place(self, fd);
    if (fresh == NULL) {
        return PCL_ARRIVALS_CONNECTIONS;
    }
    pcl_arrivals_closed(self, fd);
    if (!s_address_may(self, address, now_us)) {
        return PCL_ARRIVALS_ADDRESS_RATE;
    }
    if (!s_spend(&self->paid_until_us, self->limits.rate_max, now_us)) {
        return PCL_ARRIVALS_RATE;
    }
    if (self->count >= self->limits.connections_max) {
        if (self->silent.first == NOWHERE) {
            return PCL_ARRIVALS_CONNECTIONS;
        }
        *out_place = (int)self->silent.first;
        pcl_arrivals_closed(self, *out_place);
    }
    *fresh = (place){.state = SILENT, .due_us = now_us + PCL_ARRIVALS_SILENT_MS * PCL_US_PER_MS};
    s_append(self, &self->silent, (uint32_t)fd);
    if (self->unseen == NOWHERE) {
        self->unseen = (uint32_t)fd;
    }
    self->unseen_count++;
    self->count++;
    self->end = (uint32_t)fd < self->end ? self->end : (uint32_t)fd + 1;
    return PCL_ARRIVALS_FINE;
}

pcl_arrivals_rule pcl_arrivals_named(pcl_arrivals *self, int fd, const char *key, uint64_t now_us)
{
    assert(self != NULL);
    assert(key != NULL && strlen(key) < PCL_ARRIVALS_KEY_SIZE);
    place *named = s_place(self, fd);
    if (named == NULL || named->state != SILENT) {
        return PCL_ARRIVALS_FINE; /* opened before we looked */
    }
    s_leave_silent(self, (uint32_t)fd);
    named->key = s_acquire(self, key);
    named->state = NAMED;
    if (self->keys[named->key].count <= self->limits.key_max) {
        return PCL_ARRIVALS_FINE;
    }
    pcl_arrivals_end_soon(self, fd, now_us);
    return PCL_ARRIVALS_KEY;
}

void pcl_arrivals_end_soon(pcl_arrivals *self, int fd, uint64_t now_us)
{
    assert(self != NULL);
    place *ended = s_place(self, fd);
    if (ended != NULL && ended->state == NAMED) {
        ended->state = OVER;
        ended->due_us = now_us + PCL_ARRIVALS_OVER_MS * PCL_US_PER_MS;
        s_append(self, &self->over, (uint32_t)fd);
    }
}

bool pcl_arrivals_is_over(const pcl_arrivals *self, int fd)
{
    assert(self != NULL);
    const place *at = s_place(self, fd);
    return at != NULL && at->state == OVER;
}

int pcl_arrivals_due(pcl_arrivals *self, uint64_t now_us)
{
    assert(self != NULL);
    uint32_t first = self->over.first;
    if (first == NOWHERE || self->places[first].due_us > now_us) {
        return -1;
    }
    pcl_arrivals_closed(self, (int)first);
    return (int)first;
}

int pcl_arrivals_silent(pcl_arrivals *self, uint64_t now_us)
{
    assert(self != NULL);
    uint32_t at = self->unseen;
    if (at == NOWHERE || self->places[at].due_us > now_us) {
        return -1;
    }
    self->unseen = self->places[at].next;
    self->unseen_count--;
    self->places[at].seen = true;
    return (int)at;
}

bool pcl_arrivals_is_silent(const pcl_arrivals *self, int fd)
{
    assert(self != NULL);
    const place *at = s_place(self, fd);
    return at != NULL && at->state == SILENT;
}

int pcl_arrivals_each(const pcl_arrivals *self, uint32_t *cursor, const char **out_key)
{
    assert(self != NULL);
    assert(cursor != NULL && out_key != NULL);
    while (*cursor < self->end) {
        uint32_t fd = (*cursor)++;
        const place *at = &self->places[fd];
        if (at->state != FREE) {
            *out_key = at->state == SILENT ? NULL : self->keys[at->key].text;
            return (int)fd;
        }
    }
    return -1;
}

uint32_t pcl_arrivals_count(const pcl_arrivals *self)
{
    assert(self != NULL);
    return self->count;
}

uint32_t pcl_arrivals_silent_count(const pcl_arrivals *self)
{
    assert(self != NULL);
    return self->silent.count;
}

uint32_t pcl_arrivals_young_count(const pcl_arrivals *self)
{
    assert(self != NULL);
    return self->unseen_count;
}

uint32_t pcl_arrivals_key_count(const pcl_arrivals *self, const char *key)
{
    assert(self != NULL && key != NULL);
    uint32_t index = s_find(self, key);
    return index != NOWHERE ? self->keys[index].count : 0;
}
