#include "net/loop.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

typedef struct s_source {
    pcl_loop_reader *reader;
    void *context;
    bool more; /* stopped at its bound; called again without being polled */
} s_source;

struct pcl_loop {
    zmq_pollitem_t *items; /* owned; items[i] belongs to sources[i] */
    s_source *sources;     /* owned */
    size_t count;
    bool running;
    bool stopped;
    uint64_t interval_us; /* 0: no tick */
    uint64_t due_us;
    uint64_t wake_us; /* UINT64_MAX: none */
    pcl_loop_tick *tick;
    pcl_loop_tick *turn;
    void *context; /* of tick and turn */
    pcl_loop_guard *guard;
    void *guard_context;
};

pcl_loop *pcl_loop_new(void)
{
    pcl_loop *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->wake_us = UINT64_MAX;
    return self;
}

void pcl_loop_destroy(pcl_loop **self_p)
{
    assert(self_p != NULL);
    if (*self_p != NULL) {
        free((*self_p)->items);
        free((*self_p)->sources);
        free(*self_p);
        *self_p = NULL;
    }
}

static void s_add(pcl_loop *self, zmq_pollitem_t item, pcl_loop_reader *reader, void *context)
{
    assert(self != NULL && reader != NULL);
    assert(!self->running); /* the arrays move */
    self->items = realloc(self->items, (self->count + 1) * sizeof *self->items);
    self->sources = realloc(self->sources, (self->count + 1) * sizeof *self->sources);
    assert(self->items != NULL && self->sources != NULL);
    item.events = ZMQ_POLLIN;
    self->items[self->count] = item;
    self->sources[self->count] = (s_source){.reader = reader, .context = context};
    self->count++;
}

void pcl_loop_add_socket(pcl_loop *self, zsock_t *socket, pcl_loop_reader *reader, void *context)
{
    assert(socket != NULL);
    s_add(self, (zmq_pollitem_t){.socket = zsock_resolve(socket)}, reader, context);
}

void pcl_loop_add_fd(pcl_loop *self, int fd, pcl_loop_reader *reader, void *context)
{
    assert(fd >= 0);
    s_add(self, (zmq_pollitem_t){.fd = fd}, reader, context);
}

void pcl_loop_set_tick(pcl_loop *self, uint64_t interval_us, pcl_loop_tick *tick,
                       pcl_loop_tick *turn, void *context)
{
    assert(self != NULL);
    assert((interval_us > 0) == (tick != NULL));
    self->interval_us = interval_us;
    self->tick = tick;
    self->turn = turn;
    self->context = context;
}

void pcl_loop_wake_at(pcl_loop *self, uint64_t at_us)
{
    assert(self != NULL);
    self->wake_us = at_us;
}

void pcl_loop_set_guard(pcl_loop *self, pcl_loop_guard *guard, void *context)
{
    assert(self != NULL);
    self->guard = guard;
    self->guard_context = context;
}

static bool s_has_more(const pcl_loop *self)
{
    for (size_t index = 0; index < self->count; index++) {
        if (self->sources[index].more) {
            return true;
        }
    }
    return false;
}

/* Milliseconds, rounded up, so that what is waited for is due when the sleep ends. */
static long s_timeout_ms(const pcl_loop *self, uint64_t now_us)
{
    if (s_has_more(self)) {
        return 0;
    }
    uint64_t next_us = self->tick == NULL ? UINT64_MAX : self->due_us;
    if (self->wake_us < next_us) {
        next_us = self->wake_us;
    }
    if (next_us == UINT64_MAX) {
        return -1;
    }
    uint64_t left_us = pcl_time_left_us(next_us, now_us);
    return (long)((left_us + PCL_US_PER_MS - 1) / PCL_US_PER_MS);
}

static void s_read(pcl_loop *self, uint64_t now_us)
{
    for (size_t index = 0; index < self->count && !self->stopped; index++) {
        s_source *source = &self->sources[index];
        if (source->more || self->items[index].revents != 0) {
            source->more = source->reader(source->context, now_us);
        }
    }
}

static void s_tick(pcl_loop *self, uint64_t now_us)
{
    if (self->tick != NULL && now_us >= self->due_us && !self->stopped) {
        /* A tick that was missed is not made up for. */
        bool late = now_us - self->due_us >= self->interval_us;
        self->due_us = (late ? now_us : self->due_us) + self->interval_us;
        self->tick(self->context, now_us);
    }
    if (self->turn != NULL && !self->stopped) {
        self->turn(self->context, now_us);
    }
    if (self->guard != NULL && !self->stopped && self->guard(self->guard_context)) {
        self->stopped = true;
    }
}

void pcl_loop_run(pcl_loop *self)
{
    assert(self != NULL);
    self->running = true;
    self->stopped = false;
    uint64_t now_us = pcl_now_us();
    self->due_us = now_us + self->interval_us;
    while (!self->stopped && !zsys_interrupted) {
        int rc = zmq_poll(self->items, (int)self->count, s_timeout_ms(self, now_us));
        if (rc == -1 && errno != EINTR) {
            break; /* the context is gone */
        }
        if (rc == -1) {
            for (size_t index = 0; index < self->count; index++) {
                self->items[index].revents = 0;
            }
        }
        now_us = pcl_now_us();
        if (now_us >= self->wake_us) {
            self->wake_us = UINT64_MAX;
        }
        s_read(self, now_us);
        s_tick(self, now_us);
    }
    self->running = false;
}

void pcl_loop_stop(pcl_loop *self)
{
    assert(self != NULL);
    self->stopped = true;
}
