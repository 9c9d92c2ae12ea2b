#include "worker-agent/spares.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct spare {
    pcl_connection *connection; /* owned */
    uint64_t given_us;
} spare;

struct pcl_spares {
    const pcl_agent_options *options; /* borrowed */
    uint32_t count_max;
    pthread_mutex_t lock;
    /* Under the lock: */
    spare *items; /* the longest idle first */
    uint32_t count;
};

pcl_spares *pcl_spares_new(const pcl_agent_options *options, uint32_t count_max)
{
    assert(count_max > 0);
    pcl_spares *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->count_max = count_max;
    self->items = calloc(count_max, sizeof *self->items);
    assert(self->items != NULL);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    return self;
}

void pcl_spares_destroy(pcl_spares **self_p)
{
    pcl_spares *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t index = 0; index < self->count; index++) {
        pcl_connection_destroy(&self->items[index].connection);
    }
    free(self->items);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

/* Under the lock. */
static pcl_connection *s_remove(pcl_spares *self, uint32_t index)
{
    pcl_connection *connection = self->items[index].connection;
    self->count--;
    memmove(&self->items[index], &self->items[index + 1],
            (self->count - index) * sizeof *self->items);
    return connection;
}

/* Under the lock: where the one to take stands; count where there is none. */
static uint32_t s_find(const pcl_spares *self, const pcl_accounts *accounts, pcl_account account,
                       bool clean)
{
    uint32_t second = self->count;
    for (uint32_t index = self->count; index-- > 0;) {
        const pcl_connection *connection = self->items[index].connection;
        if (pcl_connection_accounts(connection) != accounts ||
            pcl_connection_account(connection) != account) {
            continue;
        }
        if (pcl_connection_is_soiled(connection) != clean) {
            return index;
        }
        if (!clean && second == self->count) {
            second = index;
        }
    }
    return second;
}

static pcl_connection *s_take(pcl_spares *self, const pcl_accounts *accounts, pcl_account account,
                              bool clean)
{
    assert(accounts != NULL && account != PCL_ACCOUNT_ADMIN);
    (void)pthread_mutex_lock(&self->lock);
    uint32_t index = s_find(self, accounts, account, clean);
    pcl_connection *connection = index < self->count ? s_remove(self, index) : NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return connection;
}

pcl_connection *pcl_spares_take(pcl_spares *self, const pcl_accounts *accounts, pcl_account account,
                                bool clean)
{
    pcl_connection *connection = s_take(self, accounts, account, clean);
    if (connection == NULL) {
        connection = pcl_connection_new(self->options, accounts, account,
                                        self->options->statements_max, 0);
    }
    return connection;
}

pcl_connection *pcl_spares_take_open(pcl_spares *self, const pcl_accounts *accounts,
                                     pcl_account account)
{
    return s_take(self, accounts, account, false);
}

void pcl_spares_give(pcl_spares *self, pcl_connection **connection_p, uint64_t now_us)
{
    pcl_connection *connection = *connection_p;
    *connection_p = NULL;
    pcl_connection *closed = connection; /* closing may take a while, and needs no lock */
    if (pcl_connection_is_open(connection) && !pcl_connection_is_bloated(connection)) {
        (void)pthread_mutex_lock(&self->lock);
        closed = self->count == self->count_max ? s_remove(self, 0) : NULL;
        self->items[self->count++] = (spare){.connection = connection, .given_us = now_us};
        (void)pthread_mutex_unlock(&self->lock);
    }
    pcl_connection_destroy(&closed);
}

void pcl_spares_close_idle(pcl_spares *self, uint64_t before_us)
{
    pcl_connection *closed = NULL;
    (void)pthread_mutex_lock(&self->lock);
    if (self->count > 0 && self->items[0].given_us < before_us) {
        closed = s_remove(self, 0);
    }
    (void)pthread_mutex_unlock(&self->lock);
    pcl_connection_destroy(&closed);
}

uint32_t pcl_spares_count(pcl_spares *self)
{
    (void)pthread_mutex_lock(&self->lock);
    uint32_t count = self->count;
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}
