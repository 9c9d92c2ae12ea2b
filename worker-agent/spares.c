#include "worker-agent/spares.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { ACCOUNT_COUNT = PCL_ACCOUNT_WRITE + 1 };

struct pcl_spares {
    const pcl_agent_options *options; /* borrowed */
    uint32_t count_max;
    pthread_mutex_t lock;
    /* Under the lock: */
    pcl_connection **lists[ACCOUNT_COUNT]; /* owned, like what stands in them */
    uint32_t counts[ACCOUNT_COUNT];
};

pcl_spares *pcl_spares_new(const pcl_agent_options *options, uint32_t count_max)
{
    assert(count_max > 0);
    pcl_spares *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->count_max = count_max;
    for (uint32_t account = 0; account < ACCOUNT_COUNT; account++) {
        self->lists[account] = calloc(count_max, sizeof(pcl_connection *));
        assert(self->lists[account] != NULL);
    }
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
    for (uint32_t account = 0; account < ACCOUNT_COUNT; account++) {
        for (uint32_t index = 0; index < self->counts[account]; index++) {
            pcl_connection_destroy(&self->lists[account][index]);
        }
        free(self->lists[account]);
    }
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

pcl_connection *pcl_spares_take(pcl_spares *self, pcl_account account)
{
    pcl_connection *connection = NULL;
    (void)pthread_mutex_lock(&self->lock);
    if (self->counts[account] > 0) {
        connection = self->lists[account][--self->counts[account]];
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (connection == NULL) {
        connection = pcl_connection_new(self->options, account, self->options->statements_max, 0);
    }
    return connection;
}

void pcl_spares_give(pcl_spares *self, pcl_connection **connection_p)
{
    pcl_connection *connection = *connection_p;
    *connection_p = NULL;
    pcl_account account = pcl_connection_account(connection);
    bool keep = pcl_connection_is_open(connection) && !pcl_connection_is_bloated(connection);
    (void)pthread_mutex_lock(&self->lock);
    keep = keep && self->counts[account] < self->count_max;
    if (keep) {
        self->lists[account][self->counts[account]++] = connection;
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (!keep) {
        pcl_connection_destroy(&connection);
    }
}

uint32_t pcl_spares_count(pcl_spares *self)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t account = 0; account < ACCOUNT_COUNT; account++) {
        count += self->counts[account];
    }
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}
