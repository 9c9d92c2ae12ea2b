#include "net/actor.h"

#include "common/clock.h"
#include "net/daemon.h"
#include "net/frames.h"
#include "net/options.h"
#include "net/time.h"
#include "net/tsan.h"

#include <assert.h>
#include <string.h>

/* A drained role keeps its sockets open for so long after its last reply.  A DEALER with
 * ZMQ_IMMEDIATE throws away what it has received and not read yet when the other end closes
 * (docs/decisions/0002), so whoever waits for that reply needs the time to read it. */
#define LULL_US (200 * PCL_US_PER_MS)

typedef struct s_actor {
    zsock_t *pipe;
    pcl_loop *loop;
    const pcl_actor_hooks *hooks;
    void *context;
    uint64_t drained_us; /* when nothing was left to do; 0: something is */
    bool draining;
} s_actor;

static void s_say(s_actor *self, const char *word)
{
    /* The main thread reads its pipes as long as it lives; if it does not,
     * there is nobody to tell. */
    (void)zstr_send(self->pipe, word);
}

static void s_drain(s_actor *self, uint64_t now_us)
{
    if (!self->draining) {
        self->draining = true;
        if (self->hooks->drain != NULL) {
            self->hooks->drain(self->context, now_us);
        }
    }
}

static void s_reload(s_actor *self, pcl_frames *message)
{
    const pcl_config *config;
    assert(message->count == 2);
    pcl_bytes octets = pcl_frame_bytes(&message->frame[1]);
    assert(octets.size == sizeof config);
    memcpy(&config, octets.data, sizeof config);
    PCL_TSAN_TAKES(config);
    if (self->hooks->reload != NULL) {
        self->hooks->reload(self->context, config);
    }
    PCL_TSAN_GIVES(config); /* and the old one, which is let go */
    s_say(self, PCL_ACTOR_RELOADED);
}

static bool s_on_pipe(void *context, uint64_t now_us)
{
    s_actor *self = context;
    pcl_frames message;
    pcl_recv result;
    while ((result = pcl_frames_recv(&message, self->pipe)) == PCL_RECV_MESSAGE) {
        pcl_bytes word = pcl_frame_bytes(&message.frame[0]);
        if (pcl_bytes_is(word, PCL_ACTOR_STOP) || pcl_bytes_is(word, "$TERM")) {
            pcl_loop_stop(self->loop);
        } else if (pcl_bytes_is(word, PCL_ACTOR_DRAIN)) {
            s_drain(self, now_us);
        } else if (pcl_bytes_is(word, PCL_ACTOR_RELOAD)) {
            s_reload(self, &message);
        }
        pcl_frames_close(&message);
    }
    if (result == PCL_RECV_FAILED) {
        pcl_loop_stop(self->loop);
    }
    return false;
}

static bool s_is_done(void *context)
{
    s_actor *self = context;
    if (!self->draining || (self->hooks->drained != NULL && !self->hooks->drained(self->context))) {
        self->drained_us = 0;
        return false;
    }
    uint64_t now_us = pcl_now_us();
    if (self->drained_us == 0) {
        self->drained_us = now_us;
    }
    return pcl_time_since_us(self->drained_us, now_us) >= LULL_US;
}

static void s_tell_opened(s_actor *self, bool opened)
{
    s_say(self, opened ? PCL_ACTOR_READY : PCL_ACTOR_FAILED);
}

static void s_add(s_actor *self)
{
    assert(self->loop != NULL && self->hooks != NULL);
    pcl_loop_add_quiet(self->loop, self->pipe, s_on_pipe, self);
    pcl_loop_set_guard(self->loop, s_is_done, self);
}

void pcl_actor_run(zsock_t *pipe, bool opened, pcl_loop *loop, const pcl_actor_hooks *hooks,
                   void *context)
{
    assert(pipe != NULL);
    s_actor self = {.pipe = pipe, .loop = loop, .hooks = hooks, .context = context};
    zsock_signal(pipe, 0); /* who called zactor_new waits for this */
    s_tell_opened(&self, opened);
    if (opened) {
        s_add(&self);
        pcl_loop_run(loop);
    }
}

void pcl_actor_live(zsock_t *pipe, const pcl_role_args *args, const pcl_role_parts *parts)
{
    assert(args != NULL && parts != NULL);
    bool opened = false;
    pcl_loop *loop = pcl_loop_new();
    void *context = parts->open(args, loop, &opened);
    pcl_actor_run(pipe, opened, loop, &parts->hooks, context);
    parts->close(context, opened);
    pcl_loop_destroy(&loop);
}

/* --- Several on one thread --------------------------------------------------- */

typedef struct s_table {
    const pcl_actor_seat *seats;
    s_actor actors[PCL_ROLES_MAX]; /* in the order of the seats; those that run come first */
    pcl_loop *loops[PCL_ROLES_MAX];
} s_table;

static void s_leave(const pcl_actor_seat *seat, s_actor *self, bool opened)
{
    seat->parts->close(self->context, opened);
    pcl_loop_destroy(&self->loop);
    s_say(self, PCL_ACTOR_ENDED);
}

static void s_ended(void *context, size_t index)
{
    s_table *self = context;
    s_leave(&self->seats[index], &self->actors[index], true);
}

static bool s_sit_down(const pcl_actor_seat *seat, s_actor *out_actor)
{
    assert(seat->pipe != NULL && seat->args != NULL && seat->parts != NULL);
    bool opened = false;
    *out_actor = (s_actor){
        .pipe = seat->pipe, .loop = pcl_loop_new(), .hooks = &seat->parts->hooks};
    out_actor->context = seat->parts->open(seat->args, out_actor->loop, &opened);
    s_tell_opened(out_actor, opened);
    if (opened) {
        s_add(out_actor);
    } else {
        s_leave(seat, out_actor, false);
    }
    return opened;
}

void pcl_actor_share(const pcl_actor_seat *seats, size_t count)
{
    assert(seats != NULL && count > 0 && count <= PCL_ROLES_MAX);
    s_table self = {.seats = seats};
    size_t opened = 0;
    while (opened < count && s_sit_down(&seats[opened], &self.actors[opened])) {
        self.loops[opened] = self.actors[opened].loop;
        opened++;
    }
    for (size_t index = opened + 1; index < count; index++) {
        s_actor none = {.pipe = seats[index].pipe};
        s_say(&none, PCL_ACTOR_ENDED);
    }
    if (opened > 0) {
        pcl_loop_run_all(self.loops, opened, s_ended, &self);
    }
}
