#include "broker/replay.h"

#include "common/clock.h"
#include "common/endian.h"
#include "common/id_index.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

enum { EXPIRED_EACH = 4 /* channels that one _take forgets at most: more than it adds */ };

/* A client that has channels. */
typedef struct owner {
    char client[PCL_REPLAY_CLIENT_SIZE];
    uint32_t channels; /* 0: free */
    uint32_t next;     /* of the free ones */
} owner;

typedef struct channel {
    uint64_t number;
    uint64_t sequence; /* the highest that was taken */
    uint64_t time_us;  /* the latest seal's, by its own clock */
    uint64_t heard_us; /* monotonic */
    uint32_t owner;
    uint32_t previous, next; /* in the order of heard_us; next also of the free ones */
} channel;

struct pcl_replay {
    owner *owners;
    channel *channels;
    pcl_id_index *owner_index;           /* by the first octets of the key */
    pcl_id_index *channel_index;         /* by owner and number */
    uint32_t owner_free, channel_free;   /* given back */
    uint32_t owner_fresh, channel_fresh; /* from here on none was ever taken */
    uint32_t first, last;                /* of the channels: heard longest ago, heard last */
    uint32_t capacity, each_max;
    uint32_t count;
    uint64_t floor_us;       /* wall clock */
    uint64_t guard_until_us; /* monotonic */
};

pcl_replay *pcl_replay_new(uint32_t channel_max, uint32_t channel_each_max, uint64_t wall_us,
                           uint64_t now_us, uint64_t seed)
{
    assert(channel_max > 0 && channel_max <= PCL_REPLAY_CHANNELS_MAX);
    assert(channel_each_max > 0);
    pcl_replay *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->owners = calloc(channel_max, sizeof *self->owners);
    self->channels = calloc(channel_max, sizeof *self->channels);
    self->owner_index = pcl_id_index_new(channel_max, seed);
    self->channel_index = pcl_id_index_new(channel_max, seed);
    if (self->owners == NULL || self->channels == NULL || self->owner_index == NULL ||
        self->channel_index == NULL) {
        pcl_replay_destroy(&self);
        return NULL;
    }
    self->owner_free = NOWHERE;
    self->channel_free = NOWHERE;
    self->first = NOWHERE;
    self->last = NOWHERE;
    self->capacity = channel_max;
    self->each_max = channel_each_max;
    self->floor_us = wall_us + PCL_REPLAY_GUARD_US;
    self->guard_until_us = now_us + PCL_REPLAY_GUARD_US;
    return self;
}

void pcl_replay_destroy(pcl_replay **self_p)
{
    assert(self_p != NULL);
    pcl_replay *self = *self_p;
    if (self != NULL) {
        pcl_id_index_destroy(&self->owner_index);
        pcl_id_index_destroy(&self->channel_index);
        free(self->owners);
        free(self->channels);
        free(self);
        *self_p = NULL;
    }
}

/* --- Owners ---------------------------------------------------------------- */

/* Index entries are one more than the place, since no ticket is 0. */
static uint32_t s_owner_find(const pcl_replay *self, const char *client)
{
    uint32_t cursor = 0;
    uint64_t found = 0;
    const uint8_t *key = (const uint8_t *)client; /* its first PCL_ID_SIZE octets */
    while ((found = pcl_id_index_find(self->owner_index, key, &cursor)) != 0) {
        uint32_t index = (uint32_t)(found - 1);
        if (memcmp(self->owners[index].client, client, PCL_REPLAY_CLIENT_SIZE) == 0) {
            return index;
        }
    }
    return NOWHERE;
}

static uint32_t s_owner_add(pcl_replay *self, const char *client)
{
    uint32_t index = self->owner_free != NOWHERE ? self->owner_free : self->owner_fresh++;
    assert(index < self->capacity); /* there are as many places as channels; each owner has one */
    owner *fresh = &self->owners[index];
    self->owner_free = self->owner_free != NOWHERE ? fresh->next : NOWHERE;
    memcpy(fresh->client, client, sizeof fresh->client);
    pcl_id_index_add(self->owner_index, (const uint8_t *)client, (uint64_t)index + 1);
    return index;
}

static void s_owner_lose(pcl_replay *self, uint32_t index)
{
    owner *mine = &self->owners[index];
    assert(mine->channels > 0);
    if (--mine->channels == 0) {
        pcl_id_index_remove(self->owner_index, (const uint8_t *)mine->client, (uint64_t)index + 1);
        mine->next = self->owner_free;
        self->owner_free = index;
    }
}

/* --- Channels -------------------------------------------------------------- */

static void s_channel_key(uint8_t out_key[PCL_ID_SIZE], uint32_t owner_index, uint64_t number)
{
    pcl_put_be(out_key, owner_index, 8);
    pcl_put_be(out_key + 8, number, 8);
}

static uint32_t s_channel_find(const pcl_replay *self, uint32_t owner_index, uint64_t number)
{
    uint8_t key[PCL_ID_SIZE];
    uint32_t cursor = 0;
    s_channel_key(key, owner_index, number);
    uint64_t found = pcl_id_index_find(self->channel_index, key, &cursor);
    return found == 0 ? NOWHERE : (uint32_t)(found - 1);
}

static void s_unlink(pcl_replay *self, uint32_t index)
{
    channel *mine = &self->channels[index];
    *(mine->previous == NOWHERE ? &self->first : &self->channels[mine->previous].next) = mine->next;
    *(mine->next == NOWHERE ? &self->last : &self->channels[mine->next].previous) = mine->previous;
}

static void s_link_last(pcl_replay *self, uint32_t index)
{
    channel *mine = &self->channels[index];
    mine->previous = self->last;
    mine->next = NOWHERE;
    *(self->last == NOWHERE ? &self->first : &self->channels[self->last].next) = index;
    self->last = index;
}

static uint32_t s_channel_add(pcl_replay *self, uint32_t owner_index, uint64_t number)
{
    uint8_t key[PCL_ID_SIZE];
    uint32_t index = self->channel_free != NOWHERE ? self->channel_free : self->channel_fresh++;
    assert(index < self->capacity);
    channel *fresh = &self->channels[index];
    self->channel_free = self->channel_free != NOWHERE ? fresh->next : NOWHERE;
    *fresh = (channel){.number = number, .owner = owner_index};
    s_channel_key(key, owner_index, number);
    pcl_id_index_add(self->channel_index, key, (uint64_t)index + 1);
    self->owners[owner_index].channels++;
    self->count++;
    s_link_last(self, index);
    return index;
}

static void s_channel_forget(pcl_replay *self, uint32_t index)
{
    uint8_t key[PCL_ID_SIZE];
    channel *mine = &self->channels[index];
    self->floor_us = mine->time_us > self->floor_us ? mine->time_us : self->floor_us;
    s_channel_key(key, mine->owner, mine->number);
    pcl_id_index_remove(self->channel_index, key, (uint64_t)index + 1);
    s_owner_lose(self, mine->owner);
    s_unlink(self, index);
    mine->next = self->channel_free;
    self->channel_free = index;
    self->count--;
}

static void s_expire(pcl_replay *self, uint32_t count, uint64_t now_us)
{
    while (count > 0 && self->first != NOWHERE &&
           pcl_time_since_us(self->channels[self->first].heard_us, now_us) > PCL_REPLAY_KEEP_US) {
        s_channel_forget(self, self->first);
        count--;
    }
}

/* --- What is asked --------------------------------------------------------- */

static pcl_replay_verdict s_judge_time(const pcl_replay *self, const pcl_replay_mark *mark,
                                       uint64_t wall_us, uint64_t now_us)
{
    uint64_t age_us = pcl_time_since_us(mark->time_us, wall_us);
    uint64_t ahead_us = pcl_time_since_us(wall_us, mark->time_us);
    if (age_us > PCL_REPLAY_AGE_US_MAX) {
        return PCL_REPLAY_OLD;
    }
    if (ahead_us > PCL_REPLAY_AHEAD_US_MAX) {
        return PCL_REPLAY_AHEAD;
    }
    if (now_us < self->guard_until_us || mark->time_us <= self->floor_us) {
        return PCL_REPLAY_EARLY;
    }
    /* An age over PCL_REPLAY_AGE_US_MAX has left already, so nothing here overflows. */
    bool late = age_us > PCL_REPLAY_SLACK_US &&
                (age_us - PCL_REPLAY_SLACK_US) / PCL_US_PER_MS >= mark->timeout_ms;
    return late ? PCL_REPLAY_LATE : PCL_REPLAY_FRESH;
}

pcl_replay_verdict pcl_replay_take(pcl_replay *self, const char *client,
                                   const pcl_replay_mark *mark, uint64_t wall_us, uint64_t now_us)
{
    assert(self != NULL);
    assert(client != NULL);
    assert(mark != NULL);
    s_expire(self, EXPIRED_EACH, now_us);
    pcl_replay_verdict verdict = s_judge_time(self, mark, wall_us, now_us);
    if (verdict != PCL_REPLAY_FRESH) {
        return verdict;
    }
    uint32_t owner_index = s_owner_find(self, client);
    uint32_t index = owner_index == NOWHERE ? NOWHERE
                                            : s_channel_find(self, owner_index, mark->channel);
    uint64_t highest = index == NOWHERE ? 0 : self->channels[index].sequence;
    if (mark->sequence <= highest) {
        return PCL_REPLAY_REPEATED;
    }
    if (index == NOWHERE) {
        uint32_t owned = owner_index == NOWHERE ? 0 : self->owners[owner_index].channels;
        if (self->count == self->capacity || owned >= self->each_max) {
            return PCL_REPLAY_FULL;
        }
        owner_index = owner_index == NOWHERE ? s_owner_add(self, client) : owner_index;
        index = s_channel_add(self, owner_index, mark->channel);
    }
    channel *mine = &self->channels[index];
    mine->sequence = mark->sequence;
    mine->time_us = mark->time_us > mine->time_us ? mark->time_us : mine->time_us;
    mine->heard_us = now_us;
    s_unlink(self, index);
    s_link_last(self, index);
    return PCL_REPLAY_FRESH;
}

void pcl_replay_expire(pcl_replay *self, uint64_t now_us)
{
    assert(self != NULL);
    s_expire(self, self->count, now_us);
}

uint32_t pcl_replay_count(const pcl_replay *self)
{
    assert(self != NULL);
    return self->count;
}

const char *pcl_replay_text(pcl_replay_verdict verdict)
{
    switch (verdict) {
    case PCL_REPLAY_OLD:
        return "is over 30 s old";
    case PCL_REPLAY_AHEAD:
        return "is ahead of the broker's clock";
    case PCL_REPLAY_LATE:
        return "is older than the request's timeout_ms and a second";
    case PCL_REPLAY_REPEATED:
        return "was there before, or a later one of its channel was";
    case PCL_REPLAY_EARLY:
        return "is from before the broker was ready";
    case PCL_REPLAY_FULL:
        return "there is no room for another channel";
    case PCL_REPLAY_FRESH:
        break;
    }
    return "is fresh";
}
