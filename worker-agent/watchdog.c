#include "worker-agent/watchdog.h"

#include "common/clock.h"
#include "net/time.h"
#include "worker-agent/query.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* MariaDB may hold a KILL back for two seconds (README.md); giving up earlier would cost the
 * session that waits for the answer. */
#define READ_TIMEOUT_S 3u
/* From the first KILL, which may have come just before the statement, to the second.  Not sooner:
 * a KILL that meets a SLEEP() as it ends is what MariaDB holds back. */
#define SOON_MS        50u

typedef enum slot_state {
    SLOT_IDLE = 0,
    SLOT_ARMED,
    SLOT_FIRED, /* a KILL was or is being sent, and the statement is not back */
} slot_state;

typedef struct slot {
    slot_state state;
    pcl_connection *connection;   /* borrowed while armed */
    const atomic_bool *cancelled; /* likewise; may be NULL */
    uint64_t session_id;
    uint64_t serial; /* of the arm, so that the thread knows the slot again */
    uint64_t due_us; /* of the next KILL */
    uint32_t fired;  /* how often, since arm */
    pcl_watchdog_verdict verdict;
    bool doubt; /* a KILL of that session went out, and the server has not answered it */
} slot;

struct pcl_watchdog {
    pcl_connection *connection; /* the thread's own */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_cond_t settled; /* the thread has stopped firing */
    /* Under the lock: */
    slot *slots;
    uint32_t slot_count;
    uint32_t firing;  /* the slot that the thread sends a KILL for; slot_count: none */
    uint64_t serial;  /* of the last arm */
    uint64_t wake_us; /* when the thread looks next; later arms need not wake it */
    bool stop;
    atomic_uint_fast64_t kills;
};

/* The earliest due slot, or slot_count when nothing is armed. */
static uint32_t s_earliest(const pcl_watchdog *self)
{
    uint32_t found = self->slot_count;
    for (uint32_t index = 0; index < self->slot_count; index++) {
        const slot *candidate = &self->slots[index];
        bool waits = candidate->state != SLOT_IDLE;
        if (waits && (found == self->slot_count || candidate->due_us < self->slots[found].due_us)) {
            found = index;
        }
    }
    return found;
}

static void s_wait(pcl_watchdog *self, uint64_t wake_us, uint64_t now_us)
{
    self->wake_us = wake_us;
    if (wake_us == UINT64_MAX) {
        (void)pthread_cond_wait(&self->changed, &self->lock);
        return;
    }
    uint64_t wait_us = pcl_time_left_us(wake_us, now_us);
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nsec = (uint64_t)until.tv_nsec + wait_us % PCL_US_PER_S * 1000;
    until.tv_sec += (time_t)(wait_us / PCL_US_PER_S + nsec / 1000000000);
    until.tv_nsec = (long)(nsec % 1000000000);
    (void)pthread_cond_timedwait(&self->changed, &self->lock, &until);
}

/* Without the lock: the server may take its time.  A session that is gone
 * already is an error of the server and what we want.  False: the KILL may have
 * gone out, and was not answered. */
static bool s_kill(pcl_watchdog *self, uint64_t session_id)
{
    char sql[64];
    int size = snprintf(sql, sizeof sql, "KILL QUERY %" PRIu64, session_id);
    assert(size > 0 && (size_t)size < sizeof sql);
    pcl_sql_error error;
    if (!pcl_connection_open(self->connection, &error)) {
        return true; /* then the statement's session is as good as dead */
    }
    if (mysql_query(pcl_connection_mysql(self->connection), sql) != 0) {
        pcl_sql_error_of(&error, pcl_connection_mysql(self->connection));
        if (error.number >= 2000 && error.number < 3000) {
            pcl_connection_close(self->connection); /* no answer: a fresh one next time */
            return false;
        }
        return true;
    }
    atomic_fetch_add_explicit(&self->kills, 1, memory_order_relaxed);
    return true;
}

/* Without the lock, like s_kill: is the session there and idle, or gone? */
static bool s_is_idle(pcl_watchdog *self, uint64_t session_id)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql,
                   "SELECT command FROM information_schema.processlist WHERE id=%" PRIu64,
                   session_id);
    pcl_sql_error error;
    pcl_row row;
    if (!pcl_connection_open(self->connection, &error) ||
        !pcl_query_row(pcl_connection_mysql(self->connection), sql, &row, &error)) {
        return false;
    }
    bool idle = row.cells == NULL || strcmp(pcl_row_text(&row, "command"), "Sleep") == 0;
    pcl_row_free(&row);
    return idle;
}

static bool s_is_cancelled(const atomic_bool *cancelled)
{
    return cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed);
}

/* Under the lock, which it gives up meanwhile.  The slot may be another
 * statement's when it comes back. */
static void s_fire(pcl_watchdog *self, slot *due, uint64_t now_us)
{
    uint64_t session_id = due->session_id;
    uint64_t serial = due->serial;
    if (due->fired == 0) {
        due->verdict = s_is_cancelled(due->cancelled) ? PCL_WATCHDOG_CANCELLED
                                                      : PCL_WATCHDOG_DEADLINE;
    }
    due->state = SLOT_FIRED;
    due->fired++;
    bool ask = due->fired > 2; /* the first ones may just have come between two steps */
    due->due_us = now_us + (ask ? PCL_WATCHDOG_AGAIN_MS : SOON_MS) * PCL_US_PER_MS;
    self->wake_us = 0; /* awake */
    self->firing = (uint32_t)(due - self->slots);
    (void)pthread_mutex_unlock(&self->lock);
    bool idle = ask && s_is_idle(self, session_id);
    bool answered = idle || s_kill(self, session_id);
    (void)pthread_mutex_lock(&self->lock);
    self->firing = self->slot_count;
    (void)pthread_cond_broadcast(&self->settled);
    /* Also when it was armed again meanwhile, for another statement of the same session. */
    due->doubt = due->doubt || (!answered && due->session_id == session_id);
    if (idle && due->serial == serial && due->state == SLOT_FIRED) {
        pcl_connection_interrupt(due->connection);
    }
}

static void *s_thread(void *argument)
{
    pcl_watchdog *self = argument;
    (void)mysql_thread_init();
    pcl_sql_error error;
    /* Before the server is short of sessions; where it is not up yet, later. */
    (void)!pcl_connection_open(self->connection, &error);
    (void)pthread_mutex_lock(&self->lock);
    while (!self->stop) {
        uint64_t now_us = pcl_now_us();
        uint32_t index = s_earliest(self);
        if (index == self->slot_count) {
            s_wait(self, UINT64_MAX, now_us);
            continue;
        }
        slot *due = &self->slots[index];
        if (due->due_us > now_us) {
            s_wait(self, due->due_us, now_us);
            continue;
        }
        s_fire(self, due, now_us);
    }
    (void)pthread_mutex_unlock(&self->lock);
    pcl_connection_close(self->connection);
    mysql_thread_end();
    return NULL;
}

pcl_watchdog *pcl_watchdog_new(const pcl_agent_options *options, uint32_t slot_count)
{
    assert(slot_count > 0);
    pcl_watchdog *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->slots = calloc(slot_count, sizeof(slot));
    assert(self->slots != NULL);
    self->slot_count = slot_count;
    self->firing = slot_count;
    self->connection = pcl_connection_new(options, NULL, PCL_ACCOUNT_ADMIN, 1, READ_TIMEOUT_S);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(failed == 0);
    failed = pthread_cond_init(&self->changed, &attributes);
    assert(failed == 0);
    failed = pthread_cond_init(&self->settled, NULL);
    assert(failed == 0);
    (void)pthread_condattr_destroy(&attributes);
    failed = pthread_create(&self->thread, NULL, s_thread, self);
    assert(failed == 0);
    return self;
}

void pcl_watchdog_destroy(pcl_watchdog **self_p)
{
    pcl_watchdog *self = *self_p;
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->stop = true;
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
    pcl_connection_destroy(&self->connection);
    (void)pthread_cond_destroy(&self->changed);
    (void)pthread_cond_destroy(&self->settled);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->slots);
    free(self);
    *self_p = NULL;
}

/* Under the lock. */
static void s_wake_for(pcl_watchdog *self, uint64_t due_us)
{
    if (due_us < self->wake_us) {
        (void)pthread_cond_signal(&self->changed);
    }
}

void pcl_watchdog_arm(pcl_watchdog *self, uint32_t slot_index, pcl_connection *connection,
                      uint64_t deadline_us, const atomic_bool *cancelled)
{
    assert(slot_index < self->slot_count);
    uint64_t session_id = pcl_connection_id(connection);
    (void)pthread_mutex_lock(&self->lock);
    slot *armed = &self->slots[slot_index];
    *armed = (slot){.state = SLOT_ARMED,
                    .connection = connection,
                    .cancelled = cancelled,
                    .session_id = session_id,
                    .serial = ++self->serial,
                    .due_us = s_is_cancelled(cancelled) ? 0 : deadline_us,
                    .doubt = armed->doubt && armed->session_id == session_id};
    s_wake_for(self, armed->due_us);
    (void)pthread_mutex_unlock(&self->lock);
}

pcl_watchdog_verdict pcl_watchdog_disarm(pcl_watchdog *self, uint32_t slot_index)
{
    assert(slot_index < self->slot_count);
    (void)pthread_mutex_lock(&self->lock);
    slot *armed = &self->slots[slot_index];
    pcl_watchdog_verdict verdict = armed->verdict;
    armed->state = SLOT_IDLE;
    armed->cancelled = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return verdict;
}

bool pcl_watchdog_settle(pcl_watchdog *self, uint32_t slot_index)
{
    assert(slot_index < self->slot_count);
    (void)pthread_mutex_lock(&self->lock);
    assert(self->slots[slot_index].state == SLOT_IDLE);
    while (self->firing == slot_index) {
        (void)pthread_cond_wait(&self->settled, &self->lock);
    }
    bool answered = !self->slots[slot_index].doubt;
    (void)pthread_mutex_unlock(&self->lock);
    return answered;
}

void pcl_watchdog_cancel(pcl_watchdog *self, atomic_bool *cancelled)
{
    uint64_t due_us = pcl_now_us() + PCL_WATCHDOG_GRACE_MS * PCL_US_PER_MS;
    (void)pthread_mutex_lock(&self->lock);
    atomic_store_explicit(cancelled, true, memory_order_relaxed);
    for (uint32_t index = 0; index < self->slot_count; index++) {
        slot *armed = &self->slots[index];
        if (armed->state == SLOT_ARMED && armed->cancelled == cancelled) {
            armed->due_us = due_us < armed->due_us ? due_us : armed->due_us;
            s_wake_for(self, armed->due_us);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
}

uint64_t pcl_watchdog_kills(const pcl_watchdog *self)
{
    return atomic_load_explicit(&self->kills, memory_order_relaxed);
}
