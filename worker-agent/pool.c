#include "worker-agent/pool.h"

#include "worker-agent/execute.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

typedef struct job_list {
    pcl_job *first, *last;
} job_list;

typedef struct pool_thread {
    pcl_pool *pool;
    pcl_worker *worker;
    pthread_t thread;
} pool_thread;

struct pcl_pool {
    const pcl_agent_options *options; /* borrowed */
    pcl_watchdog *watchdog;
    pool_thread *threads;
    uint32_t thread_count;
    uint32_t writes_max; /* jobs that are not reads, at a time */
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job came, or stop */
    pthread_cond_t ended; /* alive fell */
    /* Under the lock: */
    job_list reads, others; /* each in order of arrival */
    uint64_t arrivals;      /* numbers them, so that the older head is known */
    job_list done;
    uint32_t queued, running, writes_running;
    uint32_t idle;  /* threads that wait for work */
    uint32_t alive; /* threads */
    bool stop;
};

static bool s_is_read(const pcl_job *job)
{
    return pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
}

static void s_append(job_list *list, pcl_job *job)
{
    job->next = NULL;
    job->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = job;
    list->last = job;
}

static void s_remove(job_list *list, pcl_job *job)
{
    *(job->previous != NULL ? &job->previous->next : &list->first) = job->next;
    *(job->next != NULL ? &job->next->previous : &list->last) = job->previous;
    job->next = NULL;
    job->previous = NULL;
}

/* The job to run next, NULL when none may. */
static pcl_job *s_take(pcl_pool *self)
{
    pcl_job *read = self->reads.first;
    pcl_job *other = self->writes_running < self->writes_max ? self->others.first : NULL;
    bool read_first = other == NULL || (read != NULL && read->order < other->order);
    pcl_job *job = read_first ? read : other;
    if (job == NULL) {
        return NULL;
    }
    s_remove(read_first ? &self->reads : &self->others, job);
    job->waiting = false;
    self->queued--;
    self->running++;
    self->writes_running += read_first ? 0 : 1;
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
    self->running--;
    if (!s_is_read(job)) {
        self->writes_running--;
        if (self->others.first != NULL && self->idle > 0) {
            (void)pthread_cond_signal(&self->work); /* one more may run now */
        }
    }
    s_append(&self->done, job);
    return first;
}

static void *s_thread(void *argument)
{
    pool_thread *thread = argument;
    pcl_pool *self = thread->pool;
    (void)mysql_thread_init();
    (void)pthread_mutex_lock(&self->lock);
    while (!self->stop) {
        pcl_job *job = s_take(self);
        if (job == NULL) {
            self->idle++;
            (void)pthread_cond_wait(&self->work, &self->lock);
            self->idle--;
            continue;
        }
        (void)pthread_mutex_unlock(&self->lock);
        pcl_worker_run(thread->worker, job);
        (void)pthread_mutex_lock(&self->lock);
        if (s_finish(self, job)) {
            s_signal(self);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    mysql_thread_end();
    (void)pthread_mutex_lock(&self->lock);
    self->alive--;
    (void)pthread_cond_signal(&self->ended);
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
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
    failed = pthread_cond_init(&self->work, NULL);
    assert(failed == 0);
    (void)pthread_condattr_init(&attributes);
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(failed == 0);
    failed = pthread_cond_init(&self->ended, &attributes);
    assert(failed == 0);
    (void)pthread_condattr_destroy(&attributes);
}

pcl_pool *pcl_pool_new(const pcl_agent_options *options)
{
    pcl_pool *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->thread_count = options->threads;
    self->writes_max = s_writes_max(options->threads);
    self->threads = calloc(options->threads, sizeof(pool_thread));
    assert(self->threads != NULL);
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(self->event_fd >= 0);
    s_init_locks(self);
    self->watchdog = pcl_watchdog_new(options, options->threads);
    self->alive = options->threads;
    for (uint32_t index = 0; index < options->threads; index++) {
        pool_thread *thread = &self->threads[index];
        thread->pool = self;
        thread->worker = pcl_worker_new(options, self->watchdog, index);
        int failed = pthread_create(&thread->thread, NULL, s_thread, thread);
        assert(failed == 0);
    }
    return self;
}

static void s_free_list(job_list *list)
{
    while (list->first != NULL) {
        pcl_job *job = list->first;
        s_remove(list, job);
        pcl_job_destroy(&job);
    }
}

/* Under the lock: until all threads have ended.  false: not in time. */
static bool s_wait_ended(pcl_pool *self, uint32_t wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
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
    for (uint32_t index = 0; index < self->thread_count && !ended; index++) {
        pcl_worker_interrupt(self->threads[index].worker);
    }
    ended = ended || s_wait_ended(self, wait_ms - wait_ms / 2);
    (void)pthread_mutex_unlock(&self->lock);
    if (!ended) {
        return false;
    }
    for (uint32_t index = 0; index < self->thread_count; index++) {
        (void)pthread_join(self->threads[index].thread, NULL);
        pcl_worker_destroy(&self->threads[index].worker);
    }
    pcl_watchdog_destroy(&self->watchdog);
    s_free_list(&self->reads);
    s_free_list(&self->others);
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

bool pcl_pool_submit(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    bool room = self->queued < self->options->queue_max;
    if (room) {
        job->order = ++self->arrivals;
        job->waiting = true;
        s_append(s_is_read(job) ? &self->reads : &self->others, job);
        self->queued++;
        if (self->idle > 0) {
            (void)pthread_cond_signal(&self->work);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return room;
}

bool pcl_pool_withdraw(pcl_pool *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&self->lock);
    bool waiting = job->waiting;
    if (waiting) {
        s_remove(s_is_read(job) ? &self->reads : &self->others, job);
        job->waiting = false;
        self->queued--;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return waiting;
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
    self->done = (job_list){0};
    (void)pthread_mutex_unlock(&self->lock);
    return first;
}

pcl_pool_counts pcl_pool_count(pcl_pool *self)
{
    (void)pthread_mutex_lock(&self->lock);
    pcl_pool_counts counts = {.queued = self->queued, .running = self->running};
    (void)pthread_mutex_unlock(&self->lock);
    return counts;
}

uint32_t pcl_pool_connections(pcl_pool *self)
{
    uint32_t open = 0;
    for (uint32_t index = 0; index < self->thread_count; index++) {
        open += pcl_worker_connections(self->threads[index].worker);
    }
    return open;
}

uint64_t pcl_pool_kills(const pcl_pool *self)
{
    return pcl_watchdog_kills(self->watchdog);
}
