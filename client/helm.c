#include "client/helm.h"

#include <assert.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { THREAD, REST, CALLER, CALLED };

bool pcl_helm_open(pcl_helm *self)
{
    atomic_init(&self->state, THREAD);
    atomic_init(&self->crowded_until_us, 0);
    atomic_init(&self->takings, 0);
    self->thread_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->caller_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return self->thread_fd >= 0 && self->caller_fd >= 0;
}

void pcl_helm_close(pcl_helm *self)
{
    if (self->thread_fd >= 0) {
        (void)close(self->thread_fd);
    }
    if (self->caller_fd >= 0) {
        (void)close(self->caller_fd);
    }
    self->thread_fd = self->caller_fd = -1;
}

static void s_wake(int fd)
{
    ssize_t written = write(fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written; /* EAGAIN only where 2^64 - 2 wakes wait: it wakes anyhow */
}

void pcl_helm_drain(int fd)
{
    uint64_t wakes;
    ssize_t size = read(fd, &wakes, sizeof wakes);
    (void)size; /* what it counts is not needed, nor whether there was anything */
}

static bool s_change(pcl_helm *self, unsigned from, unsigned to)
{
    return atomic_compare_exchange_strong(&self->state, &from, to);
}

void pcl_helm_nudge(pcl_helm *self, uint64_t now_us)
{
    for (;;) {
        unsigned state = atomic_load(&self->state);
        if (state == THREAD || state == CALLED) {
            return; /* he looks, or hands over to who does */
        }
        if (state == REST && s_change(self, REST, THREAD)) {
            s_wake(self->thread_fd);
            return;
        }
        if (state == CALLER && s_change(self, CALLER, CALLED)) {
            atomic_store(&self->crowded_until_us, now_us + PCL_HELM_CROWDED_US);
            s_wake(self->caller_fd);
            return;
        }
    }
}

bool pcl_helm_take(pcl_helm *self, const atomic_uint *under_way, uint64_t now_us)
{
    if (now_us < atomic_load(&self->crowded_until_us) || !s_change(self, REST, CALLER)) {
        return false;
    }
    if (atomic_load(under_way) != 1) {
        pcl_helm_give_back(self, true);
        return false;
    }
    (void)atomic_fetch_add(&self->takings, 1);
    return true;
}

bool pcl_helm_is_called(const pcl_helm *self)
{
    return atomic_load(&self->state) == CALLED;
}

void pcl_helm_give_back(pcl_helm *self, bool busy)
{
    if (busy || !s_change(self, CALLER, REST)) {
        atomic_store(&self->state, THREAD);
        s_wake(self->thread_fd);
    }
}

void pcl_helm_rest(pcl_helm *self)
{
    assert(atomic_load(&self->state) == THREAD);
    atomic_store(&self->state, REST);
}

bool pcl_helm_resume(pcl_helm *self)
{
    return s_change(self, REST, THREAD) || atomic_load(&self->state) == THREAD;
}

void pcl_helm_wait(pcl_helm *self)
{
    for (;;) {
        uint64_t takings = atomic_load(&self->takings);
        struct pollfd item = {.fd = self->thread_fd, .events = POLLIN};
        bool told = poll(&item, 1, PCL_HELM_LINGER_MS) > 0;
        if (told) {
            pcl_helm_drain(self->thread_fd);
        }
        if ((told || takings == atomic_load(&self->takings)) && pcl_helm_resume(self)) {
            return;
        }
    }
}
