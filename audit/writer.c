#include "audit/writer.h"

#include "audit/queue.h"
#include "audit/seen.h"
#include "audit/sink.h"
#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    GROUP_SIZE_MAX = 128 * 1024, /* octets written with one write */
    /* A record may bring two lines, and a gap one more. */
    CHUNK_SIZE = GROUP_SIZE_MAX + 4 * (int)PCL_AUDIT_LINE_SIZE_MAX,
    NAP_MS = 10,    /* how long a record waits that nobody waits for */
    RETRY_MS = 100, /* how long after a failure */
    REASON_SIZE_MAX = 512,
};

/* How the thread sleeps, so that a pusher knows whether to wake it. */
typedef enum sleep_kind {
    AWAKE = 0,
    NAPPING, /* for NAP_MS; what nobody waits for can wait so long */
    ASLEEP,  /* until somebody wakes it */
} sleep_kind;

struct pcl_audit {
    /* Set at the open. */
    pcl_audit_sync sync;
    uint64_t sync_us;
    uint64_t size_max;
    size_t queue_size;
    bool keyed;
    uint8_t key[PCL_AUDIT_KEY_SIZE];
    char notice[PCL_AUDIT_REASON_SIZE];
    pthread_t thread;
    bool running; /* the thread was started */

    /* The caller's. */
    uint64_t position; /* of the last record that was taken */

    /* Shared. */
    pcl_audit_queue *queue;
    int wake_fd;  /* written by the caller */
    int event_fd; /* written by the thread */
    atomic_int sleeping;
    atomic_int state; /* pcl_audit_state */
    atomic_bool closing;
    _Atomic uint64_t urgent; /* position of the last record that somebody waits for */
    _Atomic uint64_t durable;
    _Atomic uint64_t lost, lines, octets, syncs, files;
    pthread_mutex_t mutex; /* guards what follows, for a moment each time */
    char reason[REASON_SIZE_MAX];
    uint64_t head_sequence; /* of the last durable line */
    uint8_t head[PCL_AUDIT_HASH_SIZE];

    /* The thread's. */
    pcl_audit_sink sink;
    bool begun;                        /* the first line of this run is made */
    uint64_t torn;                     /* octets at the end of the file before */
    uint64_t sequence;                 /* of the last line made */
    uint8_t hash[PCL_AUDIT_HASH_SIZE]; /* of the last line made */
    pcl_buffer chunk;                  /* lines to be written */
    size_t written;                    /* octets of it that are */
    uint64_t taken;                    /* position of the last record in it */
    uint64_t told_lost;                /* of `lost`, in GAP lines */
    uint64_t unsynced_since_us;        /* 0: all is synced */
    uint64_t synced;                   /* position up to which it is */
    pcl_audit_seen seen;               /* texts in the file */
};

/* --- Making lines -------------------------------------------------------------------- */

static void s_put_line(pcl_audit *self, pcl_audit_record *record)
{
    record->sequence = ++self->sequence;
    pcl_audit_chain_put(record, self->keyed ? self->key : NULL, self->hash, &self->chunk);
    assert(!self->chunk.failed); /* its size is enough, and was allocated at the open */
    atomic_fetch_add_explicit(&self->lines, 1, memory_order_relaxed);
}

/* The first line of a file, or of this run in a file that was there. */
static void s_put_opening(pcl_audit *self, pcl_audit_kind kind)
{
    pcl_audit_record record = {.time_us = pcl_wall_us(), .kind = kind};
    if (kind == PCL_AUDIT_OPEN) {
        record.has_previous = true;
        memcpy(record.previous, self->hash, sizeof record.previous);
        record.torn = self->torn;
        self->torn = 0;
    }
    pcl_audit_seen_clear(&self->seen);
    s_put_line(self, &record);
}

static void s_put_gap(pcl_audit *self)
{
    uint64_t lost = atomic_load(&self->lost);
    if (lost != self->told_lost) {
        pcl_audit_record record = {
            .time_us = pcl_wall_us(),
            .kind = PCL_AUDIT_GAP,
            .lost = lost - self->told_lost,
        };
        self->told_lost = lost;
        s_put_line(self, &record);
    }
}

static void s_put_record(pcl_audit *self, const pcl_audit_record *source)
{
    pcl_audit_record record = *source;
    uint64_t digest = 0;
    bool known = pcl_audit_digest_parse(record.digest, &digest);
    if (known && record.digest_text.size > 0 && pcl_audit_seen_add(&self->seen, digest)) {
        pcl_audit_record text = {
            .time_us = record.time_us,
            .kind = PCL_AUDIT_DIGEST,
            .digest = record.digest,
            .digest_text = record.digest_text,
        };
        s_put_line(self, &text);
    }
    record.digest = known ? record.digest : pcl_bytes_of(NULL, 0);
    record.digest_text = pcl_bytes_of(NULL, 0);
    record.has_previous = false;
    record.torn = 0;
    record.lost = 0;
    s_put_line(self, &record);
}

/* Fills an empty chunk with what has come, up to the bounds of a group and of the file. */
static pcl_audit_outcome s_gather(pcl_audit *self)
{
    if (self->written < self->chunk.size) {
        return PCL_AUDIT_SINK_OK; /* the last one is not written yet */
    }
    pcl_buffer_clear(&self->chunk);
    self->written = 0;
    if (self->sink.file < 0 || self->sink.size >= self->size_max) {
        assert(self->sink.file < 0 || self->unsynced_since_us == 0);
        pcl_audit_outcome outcome = pcl_audit_sink_begin(&self->sink);
        if (outcome != PCL_AUDIT_SINK_OK) {
            return outcome;
        }
    }
    if (self->sink.size == 0) {
        atomic_fetch_add_explicit(&self->files, 1, memory_order_relaxed);
        s_put_opening(self, PCL_AUDIT_OPEN);
    } else if (!self->begun) {
        s_put_opening(self, PCL_AUDIT_RESUME);
    }
    self->begun = true;
    s_put_gap(self);
    const pcl_audit_record *record = NULL;
    while (self->chunk.size < GROUP_SIZE_MAX &&
           self->sink.size + self->chunk.size < self->size_max &&
           (record = pcl_audit_queue_peek(self->queue)) != NULL) {
        s_put_record(self, record);
        pcl_audit_queue_pop(self->queue);
        self->taken++;
    }
    return PCL_AUDIT_SINK_OK;
}

/* --- The thread ---------------------------------------------------------------------- */

static void s_notify(pcl_audit *self)
{
    uint64_t one = 1;
    ssize_t ignored = write(self->event_fd, &one, sizeof one);
    (void)ignored; /* it fails only when it is readable already */
}

static void s_set_durable(pcl_audit *self, uint64_t position)
{
    if (atomic_load_explicit(&self->durable, memory_order_relaxed) != position) {
        atomic_store_explicit(&self->durable, position, memory_order_release);
        s_notify(self);
    }
}

static void s_set_state(pcl_audit *self, pcl_audit_outcome outcome)
{
    static const pcl_audit_state STATES[] = {
        [PCL_AUDIT_SINK_OK] = PCL_AUDIT_FINE,
        [PCL_AUDIT_SINK_LATER] = PCL_AUDIT_WAITING,
        [PCL_AUDIT_SINK_BROKEN] = PCL_AUDIT_BROKEN,
    };
    pcl_audit_state state = STATES[outcome];
    if (atomic_load_explicit(&self->state, memory_order_relaxed) != (int)state) {
        (void)pthread_mutex_lock(&self->mutex);
        (void)snprintf(self->reason, sizeof self->reason, "%s",
                       state == PCL_AUDIT_FINE ? "" : self->sink.reason);
        (void)pthread_mutex_unlock(&self->mutex);
        atomic_store(&self->state, (int)state);
        s_notify(self);
    }
}

static pcl_audit_outcome s_write(pcl_audit *self, uint64_t now_us)
{
    if (self->written == self->chunk.size) {
        return PCL_AUDIT_SINK_OK;
    }
    size_t count = 0;
    pcl_audit_outcome outcome = pcl_audit_sink_write(&self->sink, self->chunk.data + self->written,
                                                     self->chunk.size - self->written, &count);
    self->written += count;
    atomic_fetch_add_explicit(&self->octets, count, memory_order_relaxed);
    if (count > 0 && self->unsynced_since_us == 0) {
        self->unsynced_since_us = now_us;
    }
    if (outcome == PCL_AUDIT_SINK_OK && self->sync == PCL_AUDIT_BATCH) {
        s_set_durable(self, self->taken);
    }
    return outcome;
}

static bool s_is_sync_due(const pcl_audit *self, uint64_t now_us)
{
    if (self->unsynced_since_us == 0) {
        return false;
    }
    bool waited_for = self->sync == PCL_AUDIT_EACH && atomic_load(&self->urgent) > self->synced;
    return waited_for || self->sink.size >= self->size_max || atomic_load(&self->closing) ||
           pcl_time_since_us(self->unsynced_since_us, now_us) >= self->sync_us;
}

/* Everything made is written when this is called. */
static pcl_audit_outcome s_sync_if_due(pcl_audit *self, uint64_t now_us)
{
    if (!s_is_sync_due(self, now_us)) {
        return PCL_AUDIT_SINK_OK;
    }
    pcl_audit_outcome outcome = pcl_audit_sink_sync(&self->sink);
    if (outcome == PCL_AUDIT_SINK_OK) {
        self->unsynced_since_us = 0;
        self->synced = self->taken;
        (void)pthread_mutex_lock(&self->mutex);
        self->head_sequence = self->sequence;
        memcpy(self->head, self->hash, sizeof self->head);
        (void)pthread_mutex_unlock(&self->mutex);
        atomic_fetch_add_explicit(&self->syncs, 1, memory_order_relaxed);
        s_set_durable(self, self->taken);
    }
    return outcome;
}

/* What stands in the file already does not wait for the rest to find room. */
static pcl_audit_outcome s_sync_part(pcl_audit *self, uint64_t now_us)
{
    if (!s_is_sync_due(self, now_us)) {
        return PCL_AUDIT_SINK_LATER;
    }
    pcl_audit_outcome outcome = pcl_audit_sink_sync(&self->sink);
    if (outcome != PCL_AUDIT_SINK_OK) {
        return outcome;
    }
    self->unsynced_since_us = 0;
    return PCL_AUDIT_SINK_LATER;
}

/* Waits at most timeout_ms, -1 without end, for the other side. */
static void s_poll(pcl_audit *self, int timeout_ms)
{
    struct pollfd wake = {.fd = self->wake_fd, .events = POLLIN};
    uint64_t count;
    if (poll(&wake, 1, timeout_ms) > 0) {
        ssize_t ignored = read(self->wake_fd, &count, sizeof count);
        (void)ignored; /* whatever it was, it has been noticed */
    }
    atomic_store(&self->sleeping, AWAKE);
}

/* Until there is something to do.  busy: the last round wrote something. */
static void s_sleep(pcl_audit *self, pcl_audit_outcome outcome, bool busy, uint64_t now_us)
{
    if (outcome != PCL_AUDIT_SINK_OK) {
        s_poll(self, RETRY_MS);
        return;
    }
    int timeout_ms = -1;
    if (busy) {
        timeout_ms = NAP_MS;
    } else if (self->unsynced_since_us > 0) {
        uint64_t due_us = self->unsynced_since_us + self->sync_us;
        timeout_ms = (int)(pcl_time_left_us(due_us, now_us) / PCL_US_PER_MS) + 1;
    }
    /* First told, then looked: a pusher pushes first and then looks whether we sleep. */
    atomic_store(&self->sleeping, busy ? NAPPING : ASLEEP);
    size_t fill = pcl_audit_queue_fill(self->queue);
    if (atomic_load(&self->urgent) > self->taken || fill > self->queue_size / 4 ||
        (!busy && fill > 0) || atomic_load(&self->lost) != self->told_lost ||
        atomic_load(&self->closing)) {
        atomic_store(&self->sleeping, AWAKE);
        return;
    }
    s_poll(self, timeout_ms);
}

static void *s_run(void *context)
{
    pcl_audit *self = context;
    for (;;) {
        uint64_t now_us = pcl_now_us();
        bool closing = atomic_load(&self->closing);
        pcl_audit_outcome outcome = s_gather(self);
        bool busy = self->written < self->chunk.size;
        if (outcome == PCL_AUDIT_SINK_OK) {
            outcome = s_write(self, now_us);
        }
        if (outcome == PCL_AUDIT_SINK_OK) {
            outcome = s_sync_if_due(self, now_us);
        } else if (outcome == PCL_AUDIT_SINK_LATER) {
            outcome = s_sync_part(self, now_us);
        }
        s_set_state(self, outcome);
        bool done = closing && (outcome != PCL_AUDIT_SINK_OK ||
                                (!busy && pcl_audit_queue_fill(self->queue) == 0));
        if (outcome == PCL_AUDIT_SINK_BROKEN || done) {
            return NULL;
        }
        s_sleep(self, outcome, busy, now_us);
    }
}

/* --- The caller's side --------------------------------------------------------------- */

/* Signals are the main thread's. */
static bool s_start(pcl_audit *self)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    self->running = pthread_create(&self->thread, NULL, s_run, self) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return self->running;
}

/* All memory that will ever be needed. */
static bool s_allocate(pcl_audit *self, size_t queue_size)
{
    static const uint8_t NOTHING[4096];
    self->queue_size = queue_size / 64 * 64;
    self->queue = pcl_audit_queue_new(self->queue_size);
    pcl_buffer_init(&self->chunk, CHUNK_SIZE);
    for (int size = 0; size < CHUNK_SIZE; size += (int)sizeof NOTHING) {
        pcl_buffer_put(&self->chunk, NOTHING, sizeof NOTHING);
    }
    bool good = self->queue != NULL && !self->chunk.failed;
    pcl_buffer_clear(&self->chunk);
    return good;
}

static void s_check_options(const pcl_audit_options *options)
{
    assert(options->folder != NULL);
    assert(options->sync_ms > 0 && options->sync_ms <= PCL_AUDIT_SYNC_MS_MAX);
    assert(options->size_max >= PCL_AUDIT_SIZE_MIN && options->size_max <= PCL_AUDIT_SIZE_MAX);
    assert(options->keep > 0 && options->keep <= PCL_AUDIT_KEEP_MAX);
    assert(options->queue_size >= PCL_AUDIT_QUEUE_SIZE_MIN);
    assert(options->queue_size <= PCL_AUDIT_QUEUE_SIZE_MAX);
}

static pcl_audit *s_new(const pcl_audit_options *options)
{
    pcl_audit *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->sync = options->sync;
    self->sync_us = options->sync_ms * PCL_US_PER_MS;
    self->size_max = options->size_max;
    self->keyed = options->key != NULL;
    if (self->keyed) {
        memcpy(self->key, options->key, sizeof self->key);
    }
    self->sink = (pcl_audit_sink){.folder = -1, .lock = -1, .file = -1};
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = pthread_mutex_init(&self->mutex, NULL);
    assert(rc == 0);
    return self;
}

pcl_audit *pcl_audit_open(const pcl_audit_options *options, char *error, size_t error_size)
{
    s_check_options(options);
    pcl_audit *self = s_new(options);
    if (self == NULL || self->wake_fd < 0 || self->event_fd < 0 ||
        !s_allocate(self, options->queue_size)) {
        (void)snprintf(error, error_size, "audit: no memory or no file descriptor");
        pcl_audit_destroy(&self);
        return NULL;
    }
    pcl_audit_end end;
    if (!pcl_audit_sink_open(&self->sink, options, &end, error, error_size)) {
        pcl_audit_destroy(&self);
        return NULL;
    }
    self->sequence = end.sequence;
    memcpy(self->hash, end.hash, sizeof self->hash);
    self->head_sequence = end.sequence;
    memcpy(self->head, end.hash, sizeof self->head);
    self->torn = end.torn;
    (void)snprintf(self->notice, sizeof self->notice, "%s", end.notice);
    if (!s_start(self)) {
        (void)snprintf(error, error_size, "audit: no thread");
        pcl_audit_destroy(&self);
    }
    return self;
}

static void s_wake(pcl_audit *self)
{
    uint64_t one = 1;
    ssize_t ignored = write(self->wake_fd, &one, sizeof one);
    (void)ignored; /* it fails only when it is readable already */
}

void pcl_audit_finish(pcl_audit *self)
{
    if (self->running) {
        atomic_store(&self->closing, true);
        s_wake(self);
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
}

void pcl_audit_destroy(pcl_audit **self_p)
{
    pcl_audit *self = *self_p;
    if (self == NULL) {
        return;
    }
    pcl_audit_finish(self);
    pcl_audit_sink_close(&self->sink);
    pcl_audit_queue_destroy(&self->queue);
    pcl_buffer_release(&self->chunk);
    int files[] = {self->wake_fd, self->event_fd};
    for (size_t index = 0; index < sizeof files / sizeof files[0]; index++) {
        if (files[index] >= 0) {
            (void)close(files[index]);
        }
    }
    (void)pthread_mutex_destroy(&self->mutex);
    sodium_memzero(self->key, sizeof self->key);
    free(self);
    *self_p = NULL;
}

/* Announces something that has not been done yet, and is not done without it. */
static bool s_is_announcement(pcl_audit_kind kind)
{
    return kind == PCL_AUDIT_START || kind == PCL_AUDIT_STATEMENT;
}

/* Of the queue, how much a record of this kind may fill: the outcome of what was begun must find
 * room when nothing new does. */
static size_t s_fill_max(const pcl_audit *self, pcl_audit_kind kind)
{
    if (s_is_announcement(kind)) {
        return self->queue_size / 4 * 3;
    }
    return kind == PCL_AUDIT_DONE ? self->queue_size / 2 : self->queue_size;
}

uint64_t pcl_audit_append(pcl_audit *self, const pcl_audit_record *record)
{
    assert(record->kind <= PCL_AUDIT_EVENT);
    bool waited_for = record->kind == PCL_AUDIT_START;
    int state = atomic_load_explicit(&self->state, memory_order_relaxed);
    if (!self->running || state == PCL_AUDIT_BROKEN ||
        (state == PCL_AUDIT_WAITING && s_is_announcement(record->kind)) ||
        !pcl_audit_queue_push(self->queue, record, s_fill_max(self, record->kind))) {
        atomic_fetch_add(&self->lost, 1);
        return 0;
    }
    self->position++;
    if (waited_for) {
        atomic_store(&self->urgent, self->position);
    }
    int sleeping = atomic_load(&self->sleeping);
    bool full = pcl_audit_queue_fill(self->queue) > self->queue_size / 4;
    if (sleeping == ASLEEP || (sleeping == NAPPING && (waited_for || full))) {
        if (atomic_exchange(&self->sleeping, AWAKE) != AWAKE) {
            s_wake(self);
        }
    }
    return self->position;
}

uint64_t pcl_audit_durable(const pcl_audit *self)
{
    return atomic_load_explicit(&self->durable, memory_order_acquire);
}

pcl_audit_state pcl_audit_get_state(pcl_audit *self, char *reason, size_t reason_size)
{
    if (reason != NULL) {
        (void)pthread_mutex_lock(&self->mutex);
        (void)snprintf(reason, reason_size, "%s", self->reason);
        (void)pthread_mutex_unlock(&self->mutex);
    }
    return (pcl_audit_state)atomic_load(&self->state);
}

const char *pcl_audit_notice(const pcl_audit *self)
{
    return self->notice;
}

int pcl_audit_fd(const pcl_audit *self)
{
    return self->event_fd;
}

void pcl_audit_clear(pcl_audit *self)
{
    uint64_t count;
    ssize_t ignored = read(self->event_fd, &count, sizeof count);
    (void)ignored; /* it was not readable */
}

pcl_audit_counts pcl_audit_count(pcl_audit *self)
{
    pcl_audit_counts counts = {
        .lines = atomic_load(&self->lines),
        .octets = atomic_load(&self->octets),
        .syncs = atomic_load(&self->syncs),
        .lost = atomic_load(&self->lost),
        .files = atomic_load(&self->files),
        .waiting = pcl_audit_queue_fill(self->queue),
    };
    (void)pthread_mutex_lock(&self->mutex);
    counts.sequence = self->head_sequence;
    memcpy(counts.head, self->head, sizeof counts.head);
    (void)pthread_mutex_unlock(&self->mutex);
    return counts;
}
