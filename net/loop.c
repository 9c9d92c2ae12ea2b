#include "net/loop.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>

typedef struct s_source {
    pcl_loop_reader *reader;
    void *context;
    void *socket; /* libzmq's; NULL of a plain descriptor */
    int fd;
    bool quiet;    /* nobody but its reader uses it */
    bool readable; /* its descriptor says so */
    bool more;     /* something waits, whatever the descriptor says */
} s_source;

struct pcl_loop {
    s_source *sources; /* owned */
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
        free((*self_p)->sources);
        free(*self_p);
        *self_p = NULL;
    }
}

static void s_add(pcl_loop *self, s_source source)
{
    assert(self != NULL && source.reader != NULL && source.fd >= 0);
    assert(!self->running); /* the array moves */
    self->sources = realloc(self->sources, (self->count + 1) * sizeof *self->sources);
    assert(self->sources != NULL);
    self->sources[self->count++] = source;
}

static void s_add_socket(pcl_loop *self, zsock_t *socket, bool quiet, pcl_loop_reader *reader,
                         void *context)
{
    assert(socket != NULL);
    s_add(self, (s_source){.reader = reader,
                           .context = context,
                           .socket = zsock_resolve(socket),
                           .fd = (int)zsock_fd(socket),
                           .quiet = quiet});
}

void pcl_loop_add_socket(pcl_loop *self, zsock_t *socket, pcl_loop_reader *reader, void *context)
{
    s_add_socket(self, socket, false, reader, context);
}

void pcl_loop_add_quiet(pcl_loop *self, zsock_t *socket, pcl_loop_reader *reader, void *context)
{
    s_add_socket(self, socket, true, reader, context);
}

void pcl_loop_add_fd(pcl_loop *self, int fd, pcl_loop_reader *reader, void *context)
{
    s_add(self, (s_source){.reader = reader, .context = context, .fd = fd});
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

/* When it must turn at the latest; 0: now. */
static uint64_t s_due_us(const pcl_loop *self)
{
    if (s_has_more(self)) {
        return 0;
    }
    uint64_t due_us = self->tick == NULL ? UINT64_MAX : self->due_us;
    return self->wake_us < due_us ? self->wake_us : due_us;
}

/* Asks the sockets themselves, where that is needed; quiet ones as well, if wanted.  What is found
 * is read before the loop sleeps. */
static void s_look(pcl_loop *self, bool quiet)
{
    for (size_t index = 0; index < self->count && !self->stopped; index++) {
        s_source *source = &self->sources[index];
        if (source->socket == NULL || source->more || source->readable ||
            (source->quiet && !quiet)) {
            continue;
        }
        int events = 0;
        size_t size = sizeof events;
        if (zmq_getsockopt(source->socket, ZMQ_EVENTS, &events, &size) == 0) {
            source->more = (events & ZMQ_POLLIN) != 0;
        } else if (errno == EINTR) {
            source->more = true; /* its descriptor may have been read to the end already */
        } else {
            self->stopped = true; /* the context is gone */
        }
    }
}

static void s_read(pcl_loop *self, uint64_t now_us)
{
    for (size_t index = 0; index < self->count && !self->stopped; index++) {
        s_source *source = &self->sources[index];
        if (source->more || source->readable) {
            source->readable = false;
            source->more = source->reader(source->context, now_us);
        }
    }
}

/* true: it was time for the tick. */
static bool s_tick(pcl_loop *self, uint64_t now_us)
{
    bool ticks = self->tick != NULL && now_us >= self->due_us && !self->stopped;
    if (ticks) {
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
    return ticks;
}

/* Loops that run on one thread. */
typedef struct s_runner {
    pcl_loop **loops; /* owned, they are borrowed; NULL: it has ended */
    size_t count;
    struct pollfd *items; /* owned; of all sources of those that run, in their order */
    bool failed;          /* the descriptors cannot be polled */
} s_runner;

static void s_begin(s_runner *self, pcl_loop *const *loops, size_t count, uint64_t now_us)
{
    size_t sources = 0;
    *self = (s_runner){.loops = calloc(count, sizeof *self->loops), .count = count};
    assert(self->loops != NULL);
    for (size_t index = 0; index < count; index++) {
        pcl_loop *loop = loops[index];
        self->loops[index] = loop;
        sources += loop->count;
        loop->running = true;
        loop->stopped = false;
        loop->due_us = now_us + loop->interval_us;
        s_look(loop, true); /* whoever opened it may have looked before us */
    }
    self->items = calloc(sources + 1, sizeof *self->items);
    assert(self->items != NULL);
}

/* Milliseconds, rounded up, so that what is waited for is due when the sleep ends. */
static int s_timeout_ms(const s_runner *self, uint64_t now_us)
{
    uint64_t due_us = UINT64_MAX;
    for (size_t index = 0; index < self->count; index++) {
        uint64_t loop_us = self->loops[index] != NULL ? s_due_us(self->loops[index]) : UINT64_MAX;
        due_us = loop_us < due_us ? loop_us : due_us;
    }
    if (due_us == UINT64_MAX) {
        return -1;
    }
    uint64_t left_ms = (pcl_time_left_us(due_us, now_us) + PCL_US_PER_MS - 1) / PCL_US_PER_MS;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* Sleeps until something is to be done. */
static void s_poll(s_runner *self, uint64_t now_us)
{
    nfds_t count = 0;
    for (size_t index = 0; index < self->count; index++) {
        const pcl_loop *loop = self->loops[index];
        for (size_t place = 0; loop != NULL && place < loop->count; place++) {
            self->items[count++] = (struct pollfd){.fd = loop->sources[place].fd, .events = POLLIN};
        }
    }
    int ready = poll(self->items, count, s_timeout_ms(self, now_us));
    self->failed = ready == -1 && errno != EINTR;
    count = 0;
    for (size_t index = 0; index < self->count; index++) {
        pcl_loop *loop = self->loops[index];
        for (size_t place = 0; loop != NULL && place < loop->count; place++) {
            loop->sources[place].readable = ready > 0 && self->items[count].revents != 0;
            count++;
        }
    }
}

static bool s_is_readable(const pcl_loop *self)
{
    for (size_t index = 0; index < self->count; index++) {
        if (self->sources[index].readable) {
            return true;
        }
    }
    return false;
}

/* true: there was something to do. */
static bool s_turn(pcl_loop *self, uint64_t now_us)
{
    if (self->stopped || (s_due_us(self) > now_us && !s_is_readable(self))) {
        return false;
    }
    if (now_us >= self->wake_us) {
        self->wake_us = UINT64_MAX;
    }
    s_read(self, now_us);
    s_look(self, s_tick(self, now_us));
    return true;
}

/* Down the way of messages and up again, so that what one sends to the next is read in this turn.
 */
static void s_turn_all(const s_runner *self, uint64_t now_us)
{
    bool sent = false;
    for (size_t step = 0; step < 2 * self->count - 1; step++) {
        size_t index = step < self->count ? step : 2 * (self->count - 1) - step;
        pcl_loop *loop = self->loops[index];
        if (loop != NULL) {
            if (sent) {
                s_look(loop, false);
            }
            sent = s_turn(loop, now_us);
        }
    }
}

/* false: none runs any more. */
static bool s_collect(s_runner *self, pcl_loop_ended *ended, void *context)
{
    bool any = false;
    for (size_t index = 0; index < self->count; index++) {
        pcl_loop *loop = self->loops[index];
        if (loop != NULL && !loop->stopped && !self->failed && !zsys_interrupted) {
            any = true;
        } else if (loop != NULL) {
            loop->running = false;
            self->loops[index] = NULL;
            if (ended != NULL) {
                ended(context, index);
            }
        }
    }
    return any;
}

void pcl_loop_run_all(pcl_loop *const *loops, size_t count, pcl_loop_ended *ended, void *context)
{
    assert(loops != NULL && count > 0);
    uint64_t now_us = pcl_now_us();
    s_runner self;
    s_begin(&self, loops, count, now_us);
    while (s_collect(&self, ended, context)) {
        s_poll(&self, now_us);
        now_us = pcl_now_us();
        s_turn_all(&self, now_us);
    }
    free(self.loops);
    free(self.items);
}

void pcl_loop_run(pcl_loop *self)
{
    assert(self != NULL);
    pcl_loop_run_all(&self, 1, NULL, NULL);
}

void pcl_loop_stop(pcl_loop *self)
{
    assert(self != NULL);
    self->stopped = true;
}
