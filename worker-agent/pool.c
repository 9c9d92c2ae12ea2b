#include "worker-agent/pool.h"

#include "worker-agent/execute.h"
#include "worker-agent/job_list.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* What waits, by which limits it goes: bits. */
enum { OTHER = 1, FIRST = 2, KINDS = 4 };

/* A place for a thread. */
typedef struct pool_thread {
    pcl_pool *pool;
    pcl_worker *worker; /* NULL: the place is free; under the lock */
} pool_thread;

struct pcl_pool {
    pcl_pool_plan plan;
    pool_thread *threads; /* threads_max places */
    uint32_t writes_max;  /* jobs that are not reads, at a time, on threads that are for all */
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job came, or stop */
    pthread_cond_t ended; /* alive fell */
    /* Under the lock: */
    pcl_job_list waiting[KINDS]; /* each in order of arrival */
    pcl_job_list handed;         /* that run already, and want a thread */
    uint64_t arrivals;           /* numbers them, so that the oldest head is known */
    pcl_job_list done;
    uint32_t queued, running;
    uint32_t aside;          /* of those that run: on threads that are for first ones */
    uint32_t writes_running; /* on the others */
    uint32_t idle;           /* threads that wait for work */
    uint32_t taken;          /* places */
    uint32_t alive;          /* threads, with those that have given their place back */
    bool stop;
};

static bool s_is_read(const pcl_job *job)
{
    return pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
}

static uint32_t s_kind(const pcl_job *job)
{
    bool first = (job->message.head.flags & PCL_HEAD_FIRST) != 0;
    return (s_is_read(job) ? 0u : (uint32_t)OTHER) | (first ? (uint32_t)FIRST : 0u);
}

/* On a thread that is for all. */
static bool s_may_run_common(const pcl_pool *self, uint32_t kind)
{
    uint32_t common = self->plan.threads_max - self->plan.threads_first;
    return self->running - self->aside < common &&
           ((kind & OTHER) == 0 || self->writes_running < self->writes_max);
}

static bool s_may_run(const pcl_pool *self, uint32_t kind)
{
    bool aside = (kind & FIRST) != 0 && self->aside < self->plan.threads_first;
    return aside || s_may_run_common(self, kind);
}

static pcl_job *s_next(const pcl_pool *self)
{
    pcl_job *next = NULL;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        pcl_job *job = self->waiting[kind].first;
        if (job != NULL && s_may_run(self, kind) && (next == NULL || job->order < next->order)) {
            next = job;
        }
    }
    return next;
}

/* A thread sleeps, and there is something that it may run. */
static bool s_is_short(const pcl_pool *self)
{
    return self->idle > 0 && (self->handed.first != NULL || s_next(self) != NULL);
}

/* Without the lock, which is the first thing that whoever wakes up wants: under it each would wake
 * only to sleep again. */
static void s_wake(pcl_pool *self)
{
    (void)pthread_cond_signal(&self->work);
}

static void s_count_in(pcl_pool *self, pcl_job *job)
{
    job->aside = !s_may_run_common(self, s_kind(job));
    self->running++;
    self->aside += job->aside ? 1 : 0;
    self->writes_running += job->aside || s_is_read(job) ? 0 : 1;
}

static void s_count_out(pcl_pool *self, const pcl_job *job)
{
    self->running--;
    self->aside -= job->aside ? 1 : 0;
    self->writes_running -= job->aside || s_is_read(job) ? 0 : 1;
}

static void s_take_waiting(pcl_pool *self, pcl_job *job)
{
    s_count_in(self, job);
    pcl_job_list_remove(&self->waiting[s_kind(job)], job);
    job->waiting = false;
    self->queued--;
}

/* The job that a thread runs next, NULL when none may. */
static pcl_job *s_take(pcl_pool *self)
{
    pcl_job *job = self->handed.first;
    if (job != NULL) {
        pcl_job_list_remove(&self->handed, job);
        return job;
    }
    job = s_next(self);
    if (job != NULL) {
        s_take_waiting(self, job);
    }
    return job;
}

static void s_signal(const pcl_pool *self)
{
    uint64_t one = 1;
    ssize_t written = write(self->event_fd, &one, sizeof one);
    assert(written == (ssize_t)sizeof one); /* the counter is never near its end */
}

/* Under the lock.  True: the actor must be woken. */
static bool s_finish(pcl_pool *self, pcl_job *job)
{
    bool first = self->done.first == NULL;
    s_count_out(self, job);
    pcl_job_list_append(&self->done, job);
    return first;
}

static struct timespec s_after_ms(uint32_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* Under the lock.  False: nothing came in time, and the thread is one too many. */
static bool s_wait_for_work(pcl_pool *self)
{
    int failed = 0;
    self->idle++;
    if (self->taken > self->plan.threads_min) {
        struct timespec until = s_after_ms(self->plan.idle_ms);
        failed = pthread_cond_timedwait(&self->work, &self->lock, &until);
    } else {
        failed = pthread_cond_wait(&self->work, &self->lock);
    }
    self->idle--;
    return failed == 0 || self->queued > 0 || self->taken <= self->plan.threads_min;
}

/* Under the lock, which it gives up while a job runs: until there is nothing to do. */
static void s_work(pool_thread *thread)
{
    pcl_pool *self = thread->pool;
    pcl_job *job = NULL;
    while (job != NULL || !self->stop) {
        job = job != NULL ? job : s_take(self);
        if (job == NULL) {
            if (!s_wait_for_work(self)) {
                return;
            }
            continue;
        }
        bool more = s_is_short(self); /* this thread was not free when it came */
        (void)pthread_mutex_unlock(&self->lock);
        if (more) {
            s_wake(self);
        }
        pcl_worker_run(thread->worker, job);
        (void)pthread_mutex_lock(&self->lock);
        bool first = s_finish(self, job);
        job = self->stop ? NULL : s_take(self);
        if (first) {
            (void)pthread_mutex_unlock(&self->lock);
            s_signal(self);
            (void)pthread_mutex_lock(&self->lock);
        }
    }
}

static void *s_thread(void *argument)
{
    pool_thread *thread = argument;
    pcl_pool *self = thread->pool;
    (void)mysql_thread_init();
    (void)pthread_mutex_lock(&self->lock);
    s_work(thread);
    /* The place is another's as soon as the lock is gone. */
    pcl_worker *worker = thread->worker;
    thread->worker = NULL;
    self->taken--;
    (void)pthread_mutex_unlock(&self->lock);
    pcl_worker_destroy(&worker);
    mysql_thread_end();
    (void)pthread_mutex_lock(&self->lock);
    self->alive--;
    (void)pthread_cond_signal(&self->ended);
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Under the lock.  Nobody joins a thread: alive says when all are gone.  False:
 * the system gives none. */
static bool s_start_thread(pcl_pool *self)
{
    uint32_t index = 0;
    while (self->threads[index].worker != NULL) {
        index++; /* there is one: taken < threads_max */
    }
    pool_thread *thread = &self->threads[index];
    pthread_attr_t attributes;
    pthread_t handle;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    thread->pool = self;
    thread->worker = pcl_worker_new(self->plan.options, self->plan.watchdog, self->plan.spares,
                                    self->plan.causal, self->plan.slot_first + index);
    bool started = pthread_create(&handle, &attributes, s_thread, thread) == 0;
    (void)pthread_attr_destroy(&attributes);
    if (started) {
        self->taken++;
        self->alive++;
    } else {
        pcl_worker_destroy(&thread->worker);
    }
    return started;
}

static uint32_t s_writes_max(uint32_t threads)
{
    uint32_t kept = threads >= 4 ? threads / 4 : 1;
    return threads > kept ? threads - kept : 1;
}

static void s_init_locks(pcl_pool *self)
{
    pthread_condattr_t attributes;
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    (void)pthread_condattr_init(&attributes);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(failed == 0);
    failed = pthread_cond_init(&self->work, &attributes);
    assert(failed == 0);
    failed = pthread_cond_init(&self->ended, &attributes);
    assert(failed == 0);
    (void)pthread_condattr_destroy(&attributes);
}

pcl_pool *pcl_pool_new(const pcl_pool_plan *plan)
{
    assert(plan->threads_max > plan->threads_first && plan->threads_min <= plan->threads_max);
    pcl_pool *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->plan = *plan;
    uint32_t common = plan->threads_max - plan->threads_first;
    self->writes_max = plan->keeps_reads ? s_writes_max(common) : common;
    self->threads = calloc(plan->threads_max, sizeof(pool_thread));
    assert(self->threads != NULL);
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(self->event_fd >= 0);
    s_init_locks(self);
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t index = 0; index < plan->threads_min; index++) {
        bool started = s_start_thread(self);
        assert(started);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return self;
}

static void s_free_list(pcl_job_list *list)
{
    while (list->first != NULL) {
        pcl_job *job = list->first;
        pcl_job_list_remove(list, job);
        pcl_job_destroy(&job);
    }
}

/* Under the lock: until all threads have ended.  false: not in time. */
static bool s_wait_ended(pcl_pool *self, uint32_t wait_ms)
{
    struct timespec until = s_after_ms(wait_ms);
    int failed = 0;
    while (self->alive > 0 && failed == 0) {
        failed = pthread_cond_timedwait(&self->ended, &self->lock, &until);
    }
    return self->alive == 0;
}

bool pcl_pool_destroy(pcl_pool **self_p, uint32_t wait_ms)
{
    pcl_pool *self = *self_p;
    if (self == NULL) {
        return true;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->stop = true;
    (void)pthread_cond_broadcast(&self->work);
    bool ended = s_wait_ended(self, wait_ms / 2);
    for (uint32_t index = 0; index < self->plan.threads_max && !ended; index++) {
        if (self->threads[index].worker != NULL) {
            pcl_worker_interrupt(self->threads[index].worker);
        }
    }
    ended = ended || s_wait_ended(self, wait_ms - wait_ms / 2);
    (void)pthread_mutex_unlock(&self->lock);
    if (!ended) {
        return false;
    }
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        s_free_list(&self->waiting[kind]);
    }
    s_free_list(&self->handed);
    s_free_list(&self->done);
    (void)close(self->event_fd);
    (void)pthread_cond_destroy(&self->work);
    (void)pthread_cond_destroy(&self->ended);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->threads);
    free(self);
    *self_p = NULL;
    return true;
}

/* Under the lock: sees to it that the job just queued will be taken, by a thread that is started,
 * or woken afterwards. */
static bool s_find_thread(pcl_pool *self)
{
    /* One that was woken still counts as idle until it runs. */
    bool short_of = self->queued > self->idle && self->taken < self->plan.threads_max;
    return !short_of || s_start_thread(self) || self->taken > 0;
}

bool pcl_pool_submit(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    bool room = self->queued < self->plan.queue_max;
    if (room) {
        pcl_job_list *list = &self->waiting[s_kind(job)];
        job->order = ++self->arrivals;
        job->waiting = true;
        pcl_job_list_append(list, job);
        self->queued++;
        room = s_find_thread(self);
        if (!room) {
            pcl_job_list_remove(list, job);
            job->waiting = false;
            self->queued--;
        }
    }
    bool wake = room && s_is_short(self);
    (void)pthread_mutex_unlock(&self->lock);
    if (wake) {
        s_wake(self);
    }
    return room;
}

bool pcl_pool_withdraw(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    bool waiting = job->waiting;
    if (waiting) {
        pcl_job_list_remove(&self->waiting[s_kind(job)], job);
        job->waiting = false;
        self->queued--;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return waiting;
}

bool pcl_pool_claim(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    bool free = s_next(self) == NULL && s_may_run(self, s_kind(job));
    if (free) {
        s_count_in(self, job);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return free;
}

pcl_job *pcl_pool_leave(pcl_pool *self, pcl_job *job, pcl_pool_fits *fits)
{
    (void)pthread_mutex_lock(&self->lock);
    s_count_out(self, job);
    pcl_job *next = s_next(self);
    if (next != NULL && fits(next)) {
        s_take_waiting(self, next);
    } else {
        next = NULL;
    }
    bool wake = s_is_short(self);
    (void)pthread_mutex_unlock(&self->lock);
    if (wake) {
        s_wake(self);
    }
    return next;
}

void pcl_pool_hand_on(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    pcl_job_list_append(&self->handed, job);
    bool wake = s_is_short(self);
    (void)pthread_mutex_unlock(&self->lock);
    if (wake) {
        s_wake(self);
    }
}

int pcl_pool_fd(const pcl_pool *self)
{
    return self->event_fd;
}

pcl_job *pcl_pool_collect(pcl_pool *self)
{
    uint64_t count = 0;
    ssize_t got = read(self->event_fd, &count, sizeof count);
    (void)got; /* EAGAIN: nothing was signalled, and the list says so too */
    (void)pthread_mutex_lock(&self->lock);
    pcl_job *first = self->done.first;
    self->done = (pcl_job_list){0};
    (void)pthread_mutex_unlock(&self->lock);
    return first;
}

pcl_pool_counts pcl_pool_count(pcl_pool *self)
{
    (void)pthread_mutex_lock(&self->lock);
    pcl_pool_counts counts = {
        .queued = self->queued, .running = self->running, .threads = self->taken};
    (void)pthread_mutex_unlock(&self->lock);
    return counts;
}

uint32_t pcl_pool_connections(pcl_pool *self)
{
    uint32_t open = 0;
    (void)pthread_mutex_lock(&self->lock);
    for (uint32_t index = 0; index < self->plan.threads_max; index++) {
        pcl_worker *worker = self->threads[index].worker;
        open += worker != NULL ? pcl_worker_connections(worker) : 0;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return open;
}
