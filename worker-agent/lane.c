#include "worker-agent/lane.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* More at a time are better shared with other threads. */
#define SEATS_MAX 16u
#define IDLE_US   (1 * PCL_US_PER_S)
/* Jobs that are begun in one turn because another was over.  Those that need no database are over
 * at once, and a queue of them would have the thread for itself. */
#define NEXT_MAX  32u
/* When a connection that would wait was found: by then the server may have been started anew. */
#define CANNOT_US (10 * PCL_US_PER_S)

typedef struct seat {
    pcl_lane *lane;
    pcl_plain *plain;
    pcl_job *job; /* NULL: it is free; owned with the pool's leave */
    int fd;       /* that epoll knows of; -1: none */
    uint64_t serial;
    uint32_t events;  /* that it asks for */
    uint64_t used_us; /* when it became free */
} seat;

struct pcl_lane {
    pcl_pool *pool; /* borrowed */
    pcl_lane_done *done;
    void *context;
    int epoll_fd;
    seat *seats;
    uint32_t seat_count;
    uint32_t free_count;
    uint32_t *free_seats; /* the last used last */
    uint32_t next_left;   /* of NEXT_MAX, until the next turn */
    uint64_t closed_us;   /* until when it takes nothing */
};

uint32_t pcl_lane_seats(const pcl_agent_options *options)
{
    uint32_t threads = options->threads + pcl_threads_first(options);
    uint32_t seats = threads < SEATS_MAX ? threads : SEATS_MAX;
    return PCL_CLIENT_NONBLOCKING ? seats : 0;
}

/* --- What epoll knows ------------------------------------------------------------ */

static void s_control(pcl_lane *self, seat *item, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = item}};
    int failed = epoll_ctl(self->epoll_fd, operation, item->fd, &event);
    assert(failed == 0);
    (void)failed;
    item->events = events;
}

/* While the descriptor still is the connection's: another thread that has the connection, or the
 * number of its descriptor, would be a stranger to epoll, and to be forgotten as such. */
static void s_on_parting(void *context)
{
    seat *item = context;
    uint64_t serial = 0;
    if (item->fd >= 0 && pcl_plain_fd(item->plain, &serial) == item->fd && serial == item->serial) {
        s_control(item->lane, item, EPOLL_CTL_DEL, 0);
    }
    item->fd = -1;
}

/* After each step: the connection may be another, or need something else.  Who waits for nothing
 * asks whether it can write: it always can, and has its turn after the others.  Of a descriptor
 * that was closed since, epoll knows nothing any more. */
static void s_tell_epoll(pcl_lane *self, seat *item)
{
    uint64_t serial = 0;
    int fd = pcl_plain_fd(item->plain, &serial);
    int waited = item->job != NULL ? pcl_plain_waits_for(item->plain) : PCL_WAIT_READ;
    bool writes = waited == 0 || (waited & PCL_WAIT_WRITE) != 0;
    uint32_t events = EPOLLIN | (writes ? EPOLLOUT : 0u);
    bool known = item->fd >= 0 && fd == item->fd && serial == item->serial;
    item->fd = fd;
    item->serial = serial;
    if (fd >= 0 && (!known || events != item->events)) {
        s_control(self, item, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, events);
    }
}

/* --- Life ------------------------------------------------------------------------ */

pcl_lane *pcl_lane_new(const pcl_pool_plan *plan, pcl_pool *pool, uint32_t slot_first,
                       pcl_lane_done *done, void *context)
{
    pcl_lane *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->pool = pool;
    self->done = done;
    self->context = context;
    self->next_left = NEXT_MAX;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    assert(self->epoll_fd >= 0);
    self->seat_count = pcl_lane_seats(plan->options);
    self->seats = calloc(self->seat_count + 1, sizeof *self->seats);
    self->free_seats = calloc(self->seat_count + 1, sizeof *self->free_seats);
    assert(self->seats != NULL && self->free_seats != NULL);
    for (uint32_t index = 0; index < self->seat_count; index++) {
        seat *item = &self->seats[index];
        item->lane = self;
        item->plain = pcl_plain_new(plan->options, plan->watchdog, plan->spares, plan->causal,
                                    slot_first + index, s_on_parting, item);
        item->fd = -1;
        self->free_seats[self->free_count++] = index;
    }
    return self;
}

void pcl_lane_destroy(pcl_lane **self_p)
{
    pcl_lane *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t index = 0; index < self->seat_count; index++) {
        pcl_plain_destroy(&self->seats[index].plain);
        pcl_job_destroy(&self->seats[index].job);
    }
    (void)close(self->epoll_fd);
    free(self->seats);
    free(self->free_seats);
    free(self);
    *self_p = NULL;
}

/* --- Jobs -------------------------------------------------------------------------- */

static void s_release(pcl_lane *self, seat *item, uint64_t now_us)
{
    item->used_us = now_us;
    self->free_seats[self->free_count++] = (uint32_t)(item - self->seats);
}

static bool s_fits_none(const pcl_job *job)
{
    (void)job;
    return false;
}

/* What comes after a job that is done; NULL: nothing, or it is for a thread. */
static pcl_job *s_leave(pcl_lane *self, pcl_job *job, uint64_t now_us)
{
    bool open = self->next_left > 0 && now_us >= self->closed_us;
    pcl_job *next = pcl_pool_leave(self->pool, job, open ? pcl_plain_may_be : s_fits_none);
    self->next_left -= next != NULL ? 1 : 0;
    return next;
}

/* Goes on until it waits or nothing is left for it to do. */
static void s_follow(pcl_lane *self, seat *item, pcl_plain_step step, uint64_t now_us)
{
    for (;;) {
        pcl_job *job = item->job;
        if (step == PCL_PLAIN_WAITS) {
            s_tell_epoll(self, item);
            return;
        }
        item->job = NULL;
        s_tell_epoll(self, item);
        pcl_job *next = NULL;
        if (step == PCL_PLAIN_OTHER) {
            self->closed_us = pcl_plain_cannot(item->plain) ? now_us + CANNOT_US : self->closed_us;
            pcl_pool_hand_on(self->pool, job);
        } else {
            next = s_leave(self, job, now_us);
            self->done(self->context, job, now_us);
        }
        if (next == NULL) {
            s_release(self, item, now_us);
            return;
        }
        item->job = next;
        step = pcl_plain_begin(item->plain, next);
    }
}

/* A free one, out of the list: the last used of those whose connection is of the job's accounts. */
static seat *s_take_seat(pcl_lane *self, const pcl_job *job)
{
    uint32_t place = self->free_count - 1;
    for (uint32_t index = self->free_count; index-- > 0;) {
        if (pcl_plain_suits(self->seats[self->free_seats[index]].plain, job->accounts)) {
            place = index;
            break;
        }
    }
    uint32_t found = self->free_seats[place];
    self->free_count--;
    for (uint32_t index = place; index < self->free_count; index++) {
        self->free_seats[index] = self->free_seats[index + 1];
    }
    return &self->seats[found];
}

bool pcl_lane_take(pcl_lane *self, pcl_job *job, uint64_t now_us)
{
    if (self->free_count == 0 || now_us < self->closed_us || !pcl_plain_may_be(job) ||
        !pcl_pool_claim(self->pool, job)) {
        return false;
    }
    seat *item = s_take_seat(self, job);
    item->job = job;
    s_follow(self, item, pcl_plain_begin(item->plain, job), now_us);
    return true;
}

int pcl_lane_fd(const pcl_lane *self)
{
    return self->epoll_fd;
}

static void s_on_event(pcl_lane *self, seat *item, uint64_t now_us)
{
    if (item->job != NULL) {
        s_follow(self, item, pcl_plain_go_on(item->plain), now_us);
    } else if (item->fd >= 0) {
        pcl_plain_hang_up(item->plain);
        s_tell_epoll(self, item);
    }
}

void pcl_lane_run(pcl_lane *self, uint64_t now_us)
{
    struct epoll_event events[SEATS_MAX];
    int count = epoll_wait(self->epoll_fd, events, SEATS_MAX, 0);
    self->next_left = NEXT_MAX;
    for (int index = 0; index < count; index++) {
        s_on_event(self, events[index].data.ptr, now_us);
    }
}

void pcl_lane_finish(pcl_lane *self, uint32_t wait_ms)
{
    uint64_t end_us = pcl_now_us() + wait_ms * PCL_US_PER_MS;
    uint64_t now_us = pcl_now_us();
    self->closed_us = UINT64_MAX;
    for (; self->free_count < self->seat_count && now_us < end_us; now_us = pcl_now_us()) {
        struct pollfd item = {.fd = self->epoll_fd, .events = POLLIN};
        (void)poll(&item, 1, (int)((end_us - now_us) / PCL_US_PER_MS) + 1);
        pcl_lane_run(self, pcl_now_us());
    }
}

void pcl_lane_tidy(pcl_lane *self, uint64_t now_us)
{
    for (uint32_t index = 0; index < self->free_count; index++) {
        seat *item = &self->seats[self->free_seats[index]];
        if (item->fd >= 0 && pcl_time_since_us(item->used_us, now_us) > IDLE_US) {
            pcl_plain_rest(item->plain);
            s_tell_epoll(self, item);
        }
    }
}

uint32_t pcl_lane_connections(const pcl_lane *self)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < self->seat_count; index++) {
        count += pcl_plain_connections(self->seats[index].plain);
    }
    return count;
}
