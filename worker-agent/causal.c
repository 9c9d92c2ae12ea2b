#include "worker-agent/causal.h"

#include "common/clock.h"
#include "net/time.h"
#include "wire/gtid.h"
#include "worker-agent/flavor.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How often a source's commit that is under way is looked for. */
#define POLL_US     (1 * PCL_US_PER_MS)
/* A wait that any commit under way is worth. */
#define MOMENT_US   (20 * PCL_US_PER_MS)
/* A server counts time in this. */
#define WAIT_US_MIN (1 * PCL_US_PER_MS)

struct pcl_causal {
    uint32_t long_max, short_max;
    atomic_uint long_count, short_count; /* threads that wait */
    pthread_mutex_t lock;
    char acknowledged[PCL_GTID_SIZE_MAX + 1]; /* a position; under the lock */
};

pcl_causal_room pcl_causal_room_of(uint32_t threads)
{
    uint32_t quarter = threads < 4 ? 1 : threads / 4;
    return (pcl_causal_room){.long_max = threads < 3 ? 0 : quarter,
                             .short_max = threads < 2 ? 1 : threads / 2};
}

pcl_causal *pcl_causal_new(uint32_t threads)
{
    pcl_causal *self = calloc(1, sizeof *self);
    assert(self != NULL); /* at the start only */
    pcl_causal_room room = pcl_causal_room_of(threads);
    self->long_max = room.long_max;
    self->short_max = room.short_max;
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    return self;
}

void pcl_causal_destroy(pcl_causal **self_p)
{
    pcl_causal *self = *self_p;
    if (self != NULL) {
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
        *self_p = NULL;
    }
}

void pcl_causal_acknowledged(pcl_causal *self, const char *gtid)
{
    char merged[PCL_GTID_SIZE_MAX + 1];
    if (gtid[0] == '\0') {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    size_t size = pcl_gtid_merge(pcl_bytes_text(self->acknowledged), pcl_bytes_text(gtid), merged,
                                 sizeof merged);
    if (size > 0) { /* else what was known stays, which is less and as true */
        memcpy(self->acknowledged, merged, size + 1);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void pcl_causal_forget(pcl_causal *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->acknowledged[0] = '\0';
    (void)pthread_mutex_unlock(&self->lock);
}

static void s_copy_acknowledged(pcl_causal *self, char target[PCL_GTID_SIZE_MAX + 1])
{
    (void)pthread_mutex_lock(&self->lock);
    memcpy(target, self->acknowledged, sizeof self->acknowledged);
    (void)pthread_mutex_unlock(&self->lock);
}

/* --- Waiting ---------------------------------------------------------------- */

static bool s_take(atomic_uint *count, uint32_t max)
{
    if (atomic_fetch_add(count, 1) < max) {
        return true;
    }
    atomic_fetch_sub(count, 1);
    return false;
}

/* Where there is no room for as long as that, for a moment.  NULL: too many wait. */
static atomic_uint *s_begin_wait(pcl_causal *self, uint64_t *wait_us)
{
    if (*wait_us > MOMENT_US && s_take(&self->long_count, self->long_max)) {
        return &self->long_count;
    }
    *wait_us = *wait_us < MOMENT_US ? *wait_us : MOMENT_US;
    return s_take(&self->short_count, self->short_max) ? &self->short_count : NULL;
}

/* A source's own commit is about to become visible: nothing to ask the server for. */
static void s_pause(void)
{
    struct timespec pause = {.tv_nsec = (long)POLL_US * 1000};
    (void)nanosleep(&pause, NULL); /* cut short it is a shorter pause */
}

static pcl_reach s_look(pcl_causal *self, MYSQL *mysql, bool source, pcl_bytes after,
                        pcl_progress *out_progress, pcl_sql_error *error)
{
    char acknowledged[PCL_GTID_SIZE_MAX + 1] = "";
    if (source) {
        s_copy_acknowledged(self, acknowledged);
    }
    *out_progress = PCL_PROGRESS_NOT_YET;
    if (!pcl_flavor_of(mysql)->look_for(mysql, after, pcl_bytes_text(acknowledged), out_progress,
                                        error)) {
        return PCL_REACH_FAILED;
    }
    return *out_progress == PCL_PROGRESS_THERE ? PCL_REACH_THERE : PCL_REACH_BEHIND;
}

static pcl_reach s_wait(pcl_causal *self, MYSQL *mysql, bool source, pcl_bytes after,
                        uint64_t wait_us, pcl_sql_error *error)
{
    const pcl_flavor_ops *flavor = pcl_flavor_of(mysql);
    uint64_t until_us = pcl_now_us() + wait_us;
    pcl_progress progress = PCL_PROGRESS_NOT_YET;
    pcl_reach reach = PCL_REACH_BEHIND;
    bool polls = source && flavor->polls_source;
    if (!polls && !flavor->wait_for(mysql, after, wait_us, error)) {
        return PCL_REACH_FAILED;
    }
    do {
        if (polls) {
            s_pause();
        }
        reach = s_look(self, mysql, source, after, &progress, error);
    } while (polls && reach == PCL_REACH_BEHIND && progress == PCL_PROGRESS_NOT_YET &&
             pcl_now_us() < until_us);
    return reach;
}

pcl_reach pcl_causal_reach(pcl_causal *self, MYSQL *mysql, bool source, pcl_bytes after,
                           uint64_t wait_us, pcl_sql_error *out_error)
{
    pcl_progress progress = PCL_PROGRESS_NEVER;
    if (pcl_gtid_flavor(after) != pcl_flavor_of(mysql)->flavor) {
        return PCL_REACH_BEHIND; /* of another kind of server: it can never be here */
    }
    pcl_reach reach = s_look(self, mysql, source, after, &progress, out_error);
    if (reach != PCL_REACH_BEHIND || progress == PCL_PROGRESS_NEVER || wait_us < WAIT_US_MIN) {
        return reach;
    }
    uint64_t granted_us = wait_us;
    atomic_uint *place = s_begin_wait(self, &granted_us);
    if (place == NULL) {
        return PCL_REACH_BUSY;
    }
    reach = s_wait(self, mysql, source, after, granted_us, out_error);
    atomic_fetch_sub(place, 1);
    return reach == PCL_REACH_BEHIND && granted_us < wait_us ? PCL_REACH_BUSY : reach;
}

/* --- Tokens ----------------------------------------------------------------- */

bool pcl_causal_seen(MYSQL *mysql, char out_position[PCL_GTID_SIZE_MAX + 1],
                     pcl_sql_error *out_error)
{
    return pcl_flavor_of(mysql)->seen(mysql, out_position, PCL_GTID_SIZE_MAX + 1, out_error);
}

void pcl_causal_put_token(pcl_answer *answer, const pcl_agent_options *options, pcl_bytes named,
                          pcl_bytes after, bool furthest)
{
    char merged[PCL_GTID_SIZE_MAX + 1];
    char position[PCL_GTID_SIZE_MAX + 1];
    char token[PCL_TOKEN_SIZE_MAX + 1];
    if (named.size == 0) {
        return; /* a token of `after` alone would hide that what was seen has no name */
    }
    size_t size = pcl_gtid_merge(named, after, merged, sizeof merged);
    if (size == 0) {
        return;
    }
    memcpy(position, merged, size + 1);
    if (furthest) {
        size = pcl_gtid_furthest(pcl_bytes_of(merged, size), position, sizeof position);
        assert(size > 0); /* a part of what fitted */
    }
    pcl_token_keys keys;
    pcl_keyring_tokens(options->keyring, &keys);
    if (keys.count > 0) {
        (void)pcl_token_make(&keys, pcl_bytes_of(position, size), token);
        pcl_answer_text(answer, "token", token);
    }
    pcl_token_keys_wipe(&keys);
}
