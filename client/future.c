/* syscall() is none of POSIX. */
#define _DEFAULT_SOURCE
#include "client/future.h"

#include "common/limits.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    OPEN,
    AWAITED, /* and who waits sleeps, or is about to */
    DONE,
};

struct portcullis_future {
    atomic_uint refs;          /* who waits, and until it is complete who completes it */
    atomic_uint state;         /* a futex */
    portcullis_result *result; /* once it is DONE, until it was taken */
    uint8_t id[PCL_ID_SIZE];   /* of the request; set once */
    pcl_ahead *ahead;          /* owned; who waits has it; NULL unless it is of a page */
};

portcullis_future *pcl_future_new(const uint8_t *id)
{
    portcullis_future *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    atomic_init(&self->refs, 2);
    atomic_init(&self->state, OPEN);
    if (id != NULL) {
        memcpy(self->id, id, sizeof self->id);
    }
    return self;
}

static void s_unref(portcullis_future *self)
{
    if (atomic_fetch_sub(&self->refs, 1) == 1) {
        portcullis_result_destroy(&self->result);
        pcl_ahead_destroy(&self->ahead);
        free(self);
    }
}

void pcl_future_complete(portcullis_result *result, void *context)
{
    portcullis_future *self = context;
    self->result = result;
    unsigned before = atomic_exchange(&self->state, DONE);
    assert(before != DONE); /* exactly once */
    if (before == AWAITED) {
        (void)syscall(SYS_futex, &self->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    s_unref(self);
}

portcullis_future *pcl_future_of(portcullis_result *result)
{
    portcullis_future *self = pcl_future_new(portcullis_result_id(result));
    if (self == NULL) {
        portcullis_result_destroy(&result);
        return NULL;
    }
    pcl_future_complete(result, self);
    return self;
}

bool pcl_future_has_failed(const portcullis_future *self)
{
    return atomic_load(&self->state) == DONE &&
           portcullis_result_code(self->result) != PORTCULLIS_OK;
}

pcl_ahead **pcl_future_ahead_of(portcullis_future *self)
{
    return &self->ahead;
}

const uint8_t *portcullis_future_id(const portcullis_future *self)
{
    return self->id;
}

/* until: of the monotonic clock; NULL: for ever.  false: that is over, and it is not done. */
static bool s_sleep(portcullis_future *self, const struct timespec *until)
{
    for (;;) {
        unsigned state = OPEN;
        if (!atomic_compare_exchange_strong(&self->state, &state, AWAITED) && state == DONE) {
            return true;
        }
        if (syscall(SYS_futex, &self->state, FUTEX_WAIT_BITSET_PRIVATE, AWAITED, until, NULL,
                    FUTEX_BITSET_MATCH_ANY) != 0 &&
            errno == ETIMEDOUT) {
            return atomic_load(&self->state) == DONE;
        }
    }
}

portcullis_result *portcullis_future_wait(portcullis_future **self_p, int timeout_ms)
{
    portcullis_future *self = *self_p;
    struct timespec until = {0};
    if (timeout_ms >= 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += timeout_ms % 1000 * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
    }
    if (atomic_load(&self->state) != DONE && !s_sleep(self, timeout_ms >= 0 ? &until : NULL)) {
        return NULL;
    }
    portcullis_result *result = self->result;
    pcl_ahead *ahead = self->ahead;
    self->result = NULL;
    self->ahead = NULL;
    s_unref(self);
    *self_p = ahead != NULL ? pcl_ahead_settle(&ahead, result) : NULL;
    /* A page that is asked for once more has a wait of its own. */
    return *self_p != NULL ? portcullis_future_wait(self_p, timeout_ms) : result;
}

void portcullis_future_destroy(portcullis_future **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    portcullis_future *self = *self_p;
    *self_p = NULL;
    s_unref(self);
}
