#include "net/connections.h"

#include "common/endian.h"
#include "common/id_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

/* Places of the three tables are chained by their indexes; a free place is in the chain of free
 * ones, or was never used: then it is not below `used`. */
typedef struct connection {
    uint32_t route; /* the number in the routing id */
    int32_t fd;     /* -1: gone */
    uint32_t next;  /* in its bucket, or the next free place */
    uint32_t work_first;
    uint32_t held_first; /* the oldest */
    uint32_t held_last;
    uint32_t held_count;
    bool buried; /* its place is free when its work is */
} connection;

typedef struct work {
    uint64_t ticket; /* 0: not sent yet */
    uint32_t connection;
    uint32_t next, previous; /* of the same connection */
} work;

typedef struct held {
    uint8_t id[PCL_ID_SIZE];
    uint32_t connection;
    uint32_t next, previous; /* of the same connection, the oldest first */
    char principal[PCL_NAME_SIZE_MAX + 1];
} held;

/* UNKNOWN: opened before we looked, if at all; taken for open. */
typedef enum descriptor_state { UNKNOWN = 0, OPEN, CLOSED } descriptor_state;

typedef struct descriptor {
    uint32_t owner;    /* 1 + index of the connection that spoke on it; 0: none */
    uint32_t gone;     /* the route that left it last ... */
    uint8_t has_gone;  /* ... if any */
    uint8_t state;     /* descriptor_state */
    bool spoke;        /* since it was measured last */
    uint64_t mark;     /* octets that had come when it was known last that a message was whole */
    uint64_t measured; /* octets that had come when it was measured last */
} descriptor;

/* Free places of one table. */
typedef struct places {
    uint32_t free_first; /* chain of places that were used before */
    uint32_t used;       /* those from here on never were */
    uint32_t max;
} places;

struct pcl_connections {
    pcl_connections_limits limits;
    connection *connections;
    uint32_t *buckets; /* of routes; 1 + index of the first, 0: none */
    uint32_t bucket_mask;
    descriptor *descriptors;
    work *works;
    held *helds;
    pcl_id_index *ids; /* of held, with 1 + index as the ticket */
    places connection_places, work_places, held_places;
    uint32_t count;
    uint32_t held_count;
    int fd_end;
};

/* --- Life -------------------------------------------------------------------- */

pcl_connections *pcl_connections_new(const pcl_connections_limits *limits, uint64_t seed)
{
    assert(limits != NULL);
    assert(limits->connection_max > 0 && limits->connection_max <= PCL_CONNECTIONS_MAX);
    assert(limits->work_max > 0 && limits->work_max <= PCL_INFLIGHT_MAX);
    assert(limits->held_max > 0 && limits->held_max <= PCL_INFLIGHT_MAX);
    assert(limits->held_each_max > 0);
    pcl_connections *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    uint32_t bucket_count = 1;
    while (bucket_count < limits->connection_max) {
        bucket_count *= 2;
    }
    self->limits = *limits;
    self->bucket_mask = bucket_count - 1;
    self->connections = calloc(limits->connection_max, sizeof *self->connections);
    self->buckets = calloc(bucket_count, sizeof *self->buckets);
    self->descriptors = calloc(limits->connection_max, sizeof *self->descriptors);
    self->works = calloc(limits->work_max, sizeof *self->works);
    self->helds = calloc(limits->held_max, sizeof *self->helds);
    self->ids = pcl_id_index_new(limits->held_max, seed);
    if (self->connections == NULL || self->buckets == NULL || self->descriptors == NULL ||
        self->works == NULL || self->helds == NULL || self->ids == NULL) {
        pcl_connections_destroy(&self);
        return NULL;
    }
    self->connection_places = (places){.free_first = NOWHERE, .max = limits->connection_max};
    self->work_places = (places){.free_first = NOWHERE, .max = limits->work_max};
    self->held_places = (places){.free_first = NOWHERE, .max = limits->held_max};
    return self;
}

void pcl_connections_destroy(pcl_connections **self_p)
{
    assert(self_p != NULL);
    pcl_connections *self = *self_p;
    if (self != NULL) {
        free(self->connections);
        free(self->buckets);
        free(self->descriptors);
        free(self->works);
        free(self->helds);
        pcl_id_index_destroy(&self->ids);
        free(self);
        *self_p = NULL;
    }
}

/* NOWHERE when the table is full.  next: the link of the first free place, if there is one. */
static uint32_t s_take(places *self, const uint32_t *next)
{
    if (self->free_first != NOWHERE) {
        uint32_t index = self->free_first;
        self->free_first = *next;
        return index;
    }
    return self->used < self->max ? self->used++ : NOWHERE;
}

/* --- Routes ------------------------------------------------------------------ */

bool pcl_connections_is_route(pcl_bytes route)
{
    return route.size == PCL_CONNECTION_ROUTE && route.data[0] == 0;
}

static uint32_t s_number(pcl_bytes route)
{
    assert(pcl_connections_is_route(route));
    return (uint32_t)pcl_get_be(route.data + 1, PCL_CONNECTION_ROUTE - 1);
}

/* Whether route a was given before b, or is b.  They count upwards and start again at 0; what comes
 * late is not so late that a million others came between. */
static bool s_not_after(uint32_t a, uint32_t b)
{
    return b - a < UINT32_C(1) << 20;
}

static connection *s_of(const pcl_connections *self, uint32_t index)
{
    assert(index < self->connection_places.used);
    return &self->connections[index];
}

/* NULL: outside of the table. */
static descriptor *s_descriptor(const pcl_connections *self, int fd)
{
    return fd >= 0 && (uint32_t)fd < self->limits.connection_max ? &self->descriptors[fd] : NULL;
}

uint32_t pcl_connections_find(const pcl_connections *self, pcl_bytes route)
{
    assert(self != NULL);
    uint32_t number = s_number(route);
    uint32_t at = self->buckets[number & self->bucket_mask];
    while (at != 0 && self->connections[at - 1].route != number) {
        at = self->connections[at - 1].next;
    }
    return at != 0 ? at - 1 : PCL_CONNECTION_NONE;
}

void pcl_connections_route(const pcl_connections *self, uint32_t index,
                           uint8_t out_route[PCL_CONNECTION_ROUTE])
{
    assert(self != NULL);
    out_route[0] = 0;
    pcl_put_be(out_route + 1, s_of(self, index)->route, PCL_CONNECTION_ROUTE - 1);
}

int pcl_connections_fd(const pcl_connections *self, uint32_t index)
{
    assert(self != NULL);
    return s_of(self, index)->fd;
}

uint32_t pcl_connections_each(const pcl_connections *self, uint32_t *cursor)
{
    assert(self != NULL);
    assert(cursor != NULL);
    while (*cursor < self->limits.connection_max) {
        const descriptor *at = &self->descriptors[(*cursor)++];
        if (at->owner != 0) {
            return at->owner - 1;
        }
    }
    return PCL_CONNECTION_NONE;
}

uint32_t pcl_connections_count(const pcl_connections *self)
{
    assert(self != NULL);
    return self->count;
}

/* --- The end of a connection --------------------------------------------------- */

void pcl_connections_opened(pcl_connections *self, int fd)
{
    assert(self != NULL);
    descriptor *at = s_descriptor(self, fd);
    if (at != NULL) {
        at->state = OPEN;
        at->spoke = false;
        at->mark = 0;
        at->measured = 0;
        self->fd_end = fd < self->fd_end ? self->fd_end : fd + 1;
    }
}

bool pcl_connections_is_open(const pcl_connections *self, int fd)
{
    assert(self != NULL);
    const descriptor *at = s_descriptor(self, fd);
    return at != NULL && at->state == OPEN;
}

int pcl_connections_fd_end(const pcl_connections *self)
{
    assert(self != NULL);
    return self->fd_end;
}

void pcl_connections_spoke(pcl_connections *self, uint32_t index)
{
    assert(self != NULL);
    descriptor *at = s_descriptor(self, s_of(self, index)->fd);
    if (at != NULL) {
        at->spoke = true;
    }
}

bool pcl_connections_measured(pcl_connections *self, int fd, uint64_t received, bool drained,
                              uint64_t size_max)
{
    assert(self != NULL);
    descriptor *at = s_descriptor(self, fd);
    if (at == NULL || at->state != OPEN) {
        return false;
    }
    if (at->spoke) { /* what is not whole came after that message */
        at->spoke = false;
        at->mark = received;
    }
    bool endless = drained && at->measured > at->mark && at->measured - at->mark > size_max;
    at->measured = received;
    return endless;
}

/* Takes the connection off its descriptor and out of its bucket. */
static void s_detach(pcl_connections *self, uint32_t index)
{
    connection *ended = s_of(self, index);
    descriptor *at = s_descriptor(self, ended->fd);
    assert(at != NULL && at->owner == index + 1);
    at->owner = 0;
    at->gone = ended->route;
    at->has_gone = 1;
    uint32_t *link = &self->buckets[ended->route & self->bucket_mask];
    while (*link != index + 1) {
        link = &self->connections[*link - 1].next;
    }
    *link = ended->next;
    ended->fd = -1;
    self->count--;
}

uint32_t pcl_connections_closed(pcl_connections *self, int fd)
{
    assert(self != NULL);
    descriptor *at = s_descriptor(self, fd);
    if (at == NULL) {
        return PCL_CONNECTION_NONE;
    }
    at->state = CLOSED;
    if (at->owner == 0) {
        return PCL_CONNECTION_NONE;
    }
    uint32_t index = at->owner - 1;
    s_detach(self, index);
    return index;
}

static void s_free_if_empty(pcl_connections *self, uint32_t index)
{
    connection *ended = s_of(self, index);
    if (ended->buried && ended->work_first == NOWHERE) {
        ended->next = self->connection_places.free_first;
        self->connection_places.free_first = index;
    }
}

void pcl_connections_bury(pcl_connections *self, uint32_t index)
{
    assert(self != NULL);
    connection *ended = s_of(self, index);
    assert(ended->fd == -1);
    assert(!ended->buried);
    uint8_t id[PCL_ID_SIZE];
    char principal[PCL_NAME_SIZE_MAX + 1];
    while (pcl_connections_take_held(self, index, id, principal)) {
    }
    ended->buried = true;
    s_free_if_empty(self, index);
}

uint32_t pcl_connections_bind(pcl_connections *self, pcl_bytes route, int fd, uint32_t *out_gone)
{
    assert(self != NULL);
    assert(out_gone != NULL);
    *out_gone = PCL_CONNECTION_NONE;
    descriptor *at = s_descriptor(self, fd);
    if (at == NULL) {
        return PCL_CONNECTION_NONE;
    }
    uint32_t number = s_number(route);
    if (at->state == CLOSED || (at->has_gone != 0 && s_not_after(number, at->gone))) {
        return PCL_CONNECTION_GONE;
    }
    if (at->owner != 0) {
        uint32_t other = at->owner - 1;
        if (s_not_after(number, self->connections[other].route)) {
            return PCL_CONNECTION_GONE;
        }
        s_detach(self, other);
        *out_gone = other;
    }
    places *all = &self->connection_places;
    const uint32_t *next = all->free_first != NOWHERE ? &self->connections[all->free_first].next
                                                      : NULL;
    uint32_t index = s_take(all, next);
    if (index == NOWHERE) {
        return PCL_CONNECTION_NONE;
    }
    uint32_t *bucket = &self->buckets[number & self->bucket_mask];
    self->connections[index] = (connection){
        .route = number,
        .fd = fd,
        .next = *bucket,
        .work_first = NOWHERE,
        .held_first = NOWHERE,
        .held_last = NOWHERE,
    };
    *bucket = index + 1;
    at->owner = index + 1;
    self->count++;
    return index;
}

/* --- Requests in flight ------------------------------------------------------- */

uint32_t pcl_connections_add_work(pcl_connections *self, uint32_t index)
{
    assert(self != NULL);
    connection *owner = s_of(self, index);
    assert(owner->fd != -1);
    places *all = &self->work_places;
    const uint32_t *next = all->free_first != NOWHERE ? &self->works[all->free_first].next : NULL;
    uint32_t at = s_take(all, next);
    if (at == NOWHERE) {
        return PCL_WORK_NONE;
    }
    self->works[at] = (work){
        .connection = index,
        .next = owner->work_first,
        .previous = NOWHERE,
    };
    if (owner->work_first != NOWHERE) {
        self->works[owner->work_first].previous = at;
    }
    owner->work_first = at;
    return at;
}

void pcl_connections_set_ticket(pcl_connections *self, uint32_t at, uint64_t ticket)
{
    assert(self != NULL);
    assert(at < self->work_places.used);
    self->works[at].ticket = ticket;
}

void pcl_connections_remove_work(pcl_connections *self, uint32_t at)
{
    assert(self != NULL);
    assert(at < self->work_places.used);
    work *done = &self->works[at];
    connection *owner = s_of(self, done->connection);
    if (done->next != NOWHERE) {
        self->works[done->next].previous = done->previous;
    }
    if (done->previous != NOWHERE) {
        self->works[done->previous].next = done->next;
    } else {
        assert(owner->work_first == at);
        owner->work_first = done->next;
    }
    done->next = self->work_places.free_first;
    self->work_places.free_first = at;
    s_free_if_empty(self, done->connection);
}

bool pcl_connections_work_is_gone(const pcl_connections *self, uint32_t at)
{
    assert(self != NULL);
    assert(at < self->work_places.used);
    return s_of(self, self->works[at].connection)->fd == -1;
}

uint64_t pcl_connections_each_work(const pcl_connections *self, uint32_t index, uint32_t *cursor)
{
    assert(self != NULL);
    assert(cursor != NULL);
    /* 0: not begun; else 1 + the place returned last. */
    uint32_t at = *cursor == 0 ? s_of(self, index)->work_first : self->works[*cursor - 1].next;
    while (at != NOWHERE && self->works[at].ticket == 0) {
        at = self->works[at].next;
    }
    if (at == NOWHERE) {
        return 0;
    }
    *cursor = at + 1;
    return self->works[at].ticket;
}

/* --- Sessions and cursors ------------------------------------------------------ */

static uint32_t s_find_held(const pcl_connections *self, const uint8_t *id)
{
    uint32_t cursor = 0;
    uint64_t found = pcl_id_index_find(self->ids, id, &cursor);
    return found != 0 ? (uint32_t)(found - 1) : NOWHERE;
}

static void s_remove_held(pcl_connections *self, uint32_t at)
{
    held *ended = &self->helds[at];
    connection *owner = s_of(self, ended->connection);
    *(ended->previous != NOWHERE ? &self->helds[ended->previous].next
                                 : &owner->held_first) = ended->next;
    *(ended->next != NOWHERE ? &self->helds[ended->next].previous
                             : &owner->held_last) = ended->previous;
    owner->held_count--;
    self->held_count--;
    pcl_id_index_remove(self->ids, ended->id, (uint64_t)at + 1);
    ended->next = self->held_places.free_first;
    self->held_places.free_first = at;
}

static uint32_t s_take_held_place(pcl_connections *self)
{
    places *all = &self->held_places;
    return s_take(all, all->free_first != NOWHERE ? &self->helds[all->free_first].next : NULL);
}

bool pcl_connections_hold(pcl_connections *self, uint32_t index, const uint8_t id[PCL_ID_SIZE],
                          const char *principal)
{
    assert(self != NULL);
    assert(principal != NULL && strlen(principal) <= PCL_NAME_SIZE_MAX);
    connection *owner = s_of(self, index);
    assert(owner->fd != -1);
    if (s_find_held(self, id) != NOWHERE) {
        return true;
    }
    if (owner->held_count >= self->limits.held_each_max) {
        s_remove_held(self, owner->held_first);
    }
    uint32_t at = s_take_held_place(self);
    if (at == NOWHERE && owner->held_first != NOWHERE) {
        s_remove_held(self, owner->held_first);
        at = s_take_held_place(self);
    }
    if (at == NOWHERE) {
        return false;
    }
    held *fresh = &self->helds[at];
    memcpy(fresh->id, id, PCL_ID_SIZE);
    fresh->connection = index;
    fresh->next = NOWHERE;
    fresh->previous = owner->held_last;
    memcpy(fresh->principal, principal, strlen(principal) + 1);
    *(owner->held_last != NOWHERE ? &self->helds[owner->held_last].next : &owner->held_first) = at;
    owner->held_last = at;
    owner->held_count++;
    self->held_count++;
    pcl_id_index_add(self->ids, id, (uint64_t)at + 1);
    return true;
}

void pcl_connections_unhold(pcl_connections *self, const uint8_t id[PCL_ID_SIZE],
                            const char *principal)
{
    assert(self != NULL);
    assert(principal != NULL);
    uint32_t at = s_find_held(self, id);
    if (at != NOWHERE && strcmp(self->helds[at].principal, principal) == 0) {
        s_remove_held(self, at);
    }
}

bool pcl_connections_take_held(pcl_connections *self, uint32_t index, uint8_t out_id[PCL_ID_SIZE],
                               char out_principal[PCL_NAME_SIZE_MAX + 1])
{
    assert(self != NULL);
    uint32_t at = s_of(self, index)->held_first;
    if (at == NOWHERE) {
        return false;
    }
    memcpy(out_id, self->helds[at].id, PCL_ID_SIZE);
    memcpy(out_principal, self->helds[at].principal, PCL_NAME_SIZE_MAX + 1);
    s_remove_held(self, at);
    return true;
}

uint32_t pcl_connections_held_count(const pcl_connections *self)
{
    assert(self != NULL);
    return self->held_count;
}
