#include "worker-agent/ticker.h"

#include "worker-agent/mysql_api.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct pcl_ticker {
    pcl_ticker_work *work;
    void *context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* stop or ended */
    bool stop, ended;       /* under the lock */
};

static struct timespec s_after(uint32_t wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

static void *s_thread(void *argument)
{
    pcl_ticker *self = argument;
    (void)mysql_thread_init();
    (void)pthread_mutex_lock(&self->lock);
    while (!self->stop) {
        (void)pthread_mutex_unlock(&self->lock);
        uint32_t wait_ms = self->work(self->context);
        (void)pthread_mutex_lock(&self->lock);
        struct timespec until = s_after(wait_ms);
        int waited = 0;
        while (!self->stop && waited == 0) {
            waited = pthread_cond_timedwait(&self->changed, &self->lock, &until);
        }
    }
    mysql_thread_end();
    self->ended = true;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

pcl_ticker *pcl_ticker_new(pcl_ticker_work *work, void *context)
{
    pcl_ticker *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->work = work;
    self->context = context;
    pthread_condattr_t attributes;
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    (void)pthread_condattr_init(&attributes);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(failed == 0);
    failed = pthread_cond_init(&self->changed, &attributes);
    assert(failed == 0);
    (void)pthread_condattr_destroy(&attributes);
    failed = pthread_create(&self->thread, NULL, s_thread, self);
    assert(failed == 0);
    return self;
}

bool pcl_ticker_stop(pcl_ticker **self_p, uint32_t wait_ms)
{
    pcl_ticker *self = *self_p;
    if (self == NULL) {
        return true;
    }
    struct timespec until = s_after(wait_ms);
    (void)pthread_mutex_lock(&self->lock);
    self->stop = true;
    (void)pthread_cond_broadcast(&self->changed);
    int waited = 0;
    while (!self->ended && waited == 0) {
        waited = pthread_cond_timedwait(&self->changed, &self->lock, &until);
    }
    bool ended = self->ended;
    (void)pthread_mutex_unlock(&self->lock);
    if (!ended) {
        return false;
    }
    (void)pthread_join(self->thread, NULL);
    (void)pthread_cond_destroy(&self->changed);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
    return true;
}
