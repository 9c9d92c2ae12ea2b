#include "bench/scale/ready.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

struct pcl_ready {
    int fd; /* of the set; below FD_SETSIZE */
};

pcl_ready *pcl_ready_new(void)
{
    pcl_ready *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0 || self->fd >= FD_SETSIZE) {
        pcl_ready_destroy(&self);
    }
    return self;
}

void pcl_ready_destroy(pcl_ready **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        if ((*self_p)->fd >= 0) {
            (void)close((*self_p)->fd);
        }
        free(*self_p);
        *self_p = NULL;
    }
}

bool pcl_ready_add(pcl_ready *self, int fd, uint64_t tag)
{
    assert(self != NULL && fd >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = tag}};
    return epoll_ctl(self->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* epoll_wait sleeps in whole milliseconds, which is more than what lies between two requests. */
static void s_sleep(const pcl_ready *self, uint64_t until_us)
{
    uint64_t left_us = pcl_time_left_us(until_us, pcl_now_us());
    if (left_us == 0) {
        return;
    }
    struct timespec left = {.tv_sec = (time_t)(left_us / PCL_US_PER_S),
                            .tv_nsec = (long)(left_us % PCL_US_PER_S) * 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(self->fd, &set);
    (void)pselect(self->fd + 1, &set, NULL, NULL, until_us == UINT64_MAX ? NULL : &left, NULL);
}

uint32_t pcl_ready_wait(pcl_ready *self, uint64_t until_us, uint64_t out_tags[PCL_READY_MAX])
{
    assert(self != NULL && out_tags != NULL);
    s_sleep(self, until_us);
    struct epoll_event events[PCL_READY_MAX];
    int count = epoll_wait(self->fd, events, PCL_READY_MAX, 0);
    for (int index = 0; index < count; index++) {
        out_tags[index] = events[index].data.u64;
    }
    return count > 0 ? (uint32_t)count : 0;
}
