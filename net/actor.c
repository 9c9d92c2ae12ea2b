#include "net/actor.h"

#include "common/clock.h"
#include "net/daemon.h"
#include "net/frames.h"
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

void pcl_actor_run(zsock_t *pipe, bool opened, pcl_loop *loop, const pcl_actor_hooks *hooks,
                   void *context)
{
    assert(pipe != NULL);
    s_actor self = {.pipe = pipe, .loop = loop, .hooks = hooks, .context = context};
    zsock_signal(pipe, 0); /* who called zactor_new waits for this */
    s_say(&self, opened ? PCL_ACTOR_READY : PCL_ACTOR_FAILED);
    if (!opened) {
        return;
    }
    assert(loop != NULL && hooks != NULL);
    pcl_loop_add_quiet(loop, pipe, s_on_pipe, &self);
    pcl_loop_set_guard(loop, s_is_done, &self);
    pcl_loop_run(loop);
}
