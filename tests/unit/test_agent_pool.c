/* The agent's threads: as many as there is work for, none too many, and none that is lost.  The
 * workers are played here. */
#include "worker-agent/pool.h"

#include "worker-agent/execute.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What the played workers do, and have done. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open; /* jobs may finish */
    uint32_t running, workers, interrupted;
} stage = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct pcl_worker {
    uint32_t slot;
};

pcl_worker *pcl_worker_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                           pcl_spares *spares, pcl_causal *causal, uint32_t slot)
{
    (void)options;
    (void)watchdog;
    (void)spares;
    (void)causal;
    pcl_worker *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->slot = slot;
    (void)pthread_mutex_lock(&stage.lock);
    stage.workers++;
    (void)pthread_mutex_unlock(&stage.lock);
    return self;
}

void pcl_worker_destroy(pcl_worker **self_p)
{
    if (*self_p != NULL) {
        (void)pthread_mutex_lock(&stage.lock);
        stage.workers--;
        (void)pthread_mutex_unlock(&stage.lock);
        free(*self_p);
        *self_p = NULL;
    }
}

void pcl_worker_run(pcl_worker *self, pcl_job *job)
{
    (void)pthread_mutex_lock(&stage.lock);
    stage.running++;
    (void)pthread_cond_broadcast(&stage.changed);
    while (!stage.open) {
        (void)pthread_cond_wait(&stage.changed, &stage.lock);
    }
    stage.running--;
    job->exec_us = self->slot;
    (void)pthread_mutex_unlock(&stage.lock);
}

void pcl_worker_interrupt(pcl_worker *self)
{
    (void)self;
    (void)pthread_mutex_lock(&stage.lock);
    stage.interrupted++;
    stage.open = true;
    (void)pthread_cond_broadcast(&stage.changed);
    (void)pthread_mutex_unlock(&stage.lock);
}

uint32_t pcl_worker_connections(pcl_worker *self)
{
    (void)self;
    return 1;
}

static void s_set_open(bool open)
{
    (void)pthread_mutex_lock(&stage.lock);
    stage.open = open;
    (void)pthread_cond_broadcast(&stage.changed);
    (void)pthread_mutex_unlock(&stage.lock);
}

static void s_wait_running(uint32_t count)
{
    (void)pthread_mutex_lock(&stage.lock);
    while (stage.running != count) {
        (void)pthread_cond_wait(&stage.changed, &stage.lock);
    }
    (void)pthread_mutex_unlock(&stage.lock);
}

static void s_sleep_ms(long ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&span, NULL);
}

static pcl_job *s_job(pcl_sql_class sql_class)
{
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    job->message.head.sql_class = (uint8_t)sql_class;
    return job;
}

/* Collects count jobs and frees them. */
static void s_collect(pcl_pool *pool, uint32_t count)
{
    while (count > 0) {
        struct pollfd item = {.fd = pcl_pool_fd(pool), .events = POLLIN};
        assert_int_equal(poll(&item, 1, 10000), 1);
        pcl_job *job = pcl_pool_collect(pool);
        while (job != NULL) {
            pcl_job *next = job->next;
            pcl_job_destroy(&job);
            job = next;
            assert_int_not_equal(count, 0);
            count--;
        }
    }
}

static pcl_pool *s_elastic(uint32_t threads_max, uint32_t idle_ms)
{
    s_set_open(false);
    pcl_pool_plan plan = {
        .slot_first = 100, .threads_max = threads_max, .idle_ms = idle_ms, .queue_max = 10};
    return pcl_pool_new(&plan);
}

static void test_every_job_finds_a_thread_at_once(void **state)
{
    (void)state;
    pcl_pool *pool = s_elastic(8, 60000);
    assert_int_equal(pcl_pool_count(pool).threads, 0);
    for (uint32_t index = 0; index < 8; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    }
    s_wait_running(8);
    assert_int_equal(pcl_pool_connections(pool), 8);
    s_set_open(true);
    s_collect(pool, 8);
    s_set_open(false);
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_READ))); /* one that is there takes it */
    s_wait_running(1);
    assert_int_equal(pcl_pool_count(pool).threads, 8);
    s_set_open(true);
    s_collect(pool, 1);
    assert_true(pcl_pool_destroy(&pool, 5000));
    assert_int_equal(stage.workers, 0);
}

static void test_beyond_the_last_thread_jobs_wait_and_can_be_withdrawn(void **state)
{
    (void)state;
    pcl_pool *pool = s_elastic(2, 60000);
    pcl_job *jobs[13];
    for (uint32_t index = 0; index < 2; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    }
    s_wait_running(2);
    for (uint32_t index = 0; index < 13; index++) {
        jobs[index] = s_job(PCL_SQL_WRITE);
        assert_true(pcl_pool_submit(pool, jobs[index]) == (index < 10));
    }
    for (uint32_t index = 10; index < 13; index++) {
        pcl_job_destroy(&jobs[index]); /* still ours */
    }
    assert_true(pcl_pool_withdraw(pool, jobs[4]));
    assert_false(pcl_pool_withdraw(pool, jobs[4]));
    pcl_job_destroy(&jobs[4]);
    assert_int_equal(pcl_pool_count(pool).queued, 9);
    s_set_open(true);
    s_collect(pool, 11);
    assert_true(pcl_pool_destroy(&pool, 5000));
}

static void test_idle_threads_end_and_others_take_their_places(void **state)
{
    (void)state;
    pcl_pool *pool = s_elastic(4, 30);
    for (uint32_t turn = 0; turn < 20; turn++) {
        s_set_open(false);
        for (uint32_t index = 0; index < 4; index++) {
            assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
        }
        s_wait_running(4);
        s_set_open(true);
        s_collect(pool, 4);
        s_sleep_ms(turn % 4 == 0 ? 80 : 30); /* also just when they end */
        if (turn % 4 == 0) {
            assert_int_equal(pcl_pool_count(pool).threads, 0);
            assert_int_equal(pcl_pool_connections(pool), 0);
        }
    }
    assert_true(pcl_pool_destroy(&pool, 5000));
    assert_int_equal(stage.workers, 0);
}

static void test_a_fixed_pool_keeps_threads_for_reads(void **state)
{
    (void)state;
    s_set_open(false);
    pcl_pool_plan plan = {.threads_min = 4, .threads_max = 4, .queue_max = 10, .keeps_reads = true};
    pcl_pool *pool = pcl_pool_new(&plan);
    for (uint32_t index = 0; index < 6; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    }
    s_wait_running(3);
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_READ)));
    s_wait_running(4);
    assert_int_equal(pcl_pool_count(pool).queued, 3);
    s_set_open(true);
    s_collect(pool, 7);
    assert_true(pcl_pool_destroy(&pool, 5000));
}

static pcl_job *s_first_job(pcl_sql_class sql_class)
{
    pcl_job *job = s_job(sql_class);
    job->message.head.flags = PCL_HEAD_FIRST;
    return job;
}

static void test_a_flood_leaves_threads_for_who_has_nothing_else(void **state)
{
    (void)state;
    s_set_open(false);
    pcl_pool_plan plan = {.threads_min = 6,
                          .threads_max = 6,
                          .threads_first = 2,
                          .queue_max = 20,
                          .keeps_reads = true};
    pcl_pool *pool = pcl_pool_new(&plan);
    for (uint32_t index = 0; index < 8; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    }
    s_wait_running(3); /* of four that are common one is kept for reads */
    for (uint32_t index = 0; index < 4; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_READ)));
    }
    s_wait_running(4);
    assert_true(pcl_pool_submit(pool, s_first_job(PCL_SQL_READ)));
    s_wait_running(5);
    assert_true(pcl_pool_submit(pool, s_first_job(PCL_SQL_WRITE)));
    s_wait_running(6);
    assert_int_equal(pcl_pool_count(pool).queued, 8);
    pcl_job *waits = s_first_job(PCL_SQL_READ);
    assert_true(pcl_pool_submit(pool, waits));
    assert_int_equal(pcl_pool_count(pool).queued, 9);
    assert_true(pcl_pool_withdraw(pool, waits));
    pcl_job_destroy(&waits);
    s_set_open(true);
    s_collect(pool, 14);
    assert_true(pcl_pool_destroy(&pool, 5000));
}

/* Writes that do not come back, first ones too, leave reads the threads that they had. */
static void test_first_writes_take_no_thread_from_reads(void **state)
{
    (void)state;
    s_set_open(false);
    pcl_pool_plan plan = {.threads_min = 5,
                          .threads_max = 5,
                          .threads_first = 1,
                          .queue_max = 20,
                          .keeps_reads = true};
    pcl_pool *pool = pcl_pool_new(&plan);
    for (uint32_t index = 0; index < 6; index++) {
        assert_true(pcl_pool_submit(pool, s_first_job(PCL_SQL_WRITE)));
    }
    s_wait_running(4);
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_READ)));
    s_wait_running(5);
    assert_int_equal(pcl_pool_count(pool).queued, 2);
    s_set_open(true);
    s_collect(pool, 7);
    assert_true(pcl_pool_destroy(&pool, 5000));
}

static bool s_fits(const pcl_job *job)
{
    return pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
}

static pcl_pool *s_mixed(void)
{
    s_set_open(false);
    pcl_pool_plan plan = {.threads_min = 3,
                          .threads_max = 3,
                          .threads_first = 1,
                          .queue_max = 20,
                          .keeps_reads = true};
    return pcl_pool_new(&plan);
}

static void test_what_is_claimed_counts_like_what_has_a_thread(void **state)
{
    (void)state;
    pcl_pool *pool = s_mixed();
    pcl_job *one = s_job(PCL_SQL_READ);
    pcl_job *two = s_job(PCL_SQL_READ);
    pcl_job *three = s_job(PCL_SQL_READ);
    pcl_job *first = s_first_job(PCL_SQL_READ);
    assert_true(pcl_pool_claim(pool, one));
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    s_wait_running(1);
    assert_int_equal(pcl_pool_count(pool).running, 2);
    assert_false(pcl_pool_claim(pool, two)); /* two of three threads are for all */
    assert_true(pcl_pool_claim(pool, first));
    assert_false(pcl_pool_claim(pool, three));
    assert_false(pcl_pool_withdraw(pool, one)); /* it has started */
    assert_true(pcl_pool_submit(pool, two));
    assert_true(pcl_pool_submit(pool, three));
    assert_int_equal(pcl_pool_count(pool).queued, 2);
    assert_null(pcl_pool_leave(pool, first, s_fits)); /* its place was for first ones only */
    assert_ptr_equal(pcl_pool_leave(pool, one, s_fits), two);
    assert_ptr_equal(pcl_pool_leave(pool, two, s_fits), three);
    assert_int_equal(pcl_pool_count(pool).running, 2);
    assert_null(pcl_pool_leave(pool, three, s_fits));
    s_set_open(true);
    s_collect(pool, 1);
    assert_int_equal(pcl_pool_count(pool).running, 0);
    pcl_job *mine[] = {one, two, three, first};
    for (size_t index = 0; index < sizeof mine / sizeof mine[0]; index++) {
        pcl_job_destroy(&mine[index]);
    }
    assert_true(pcl_pool_destroy(&pool, 5000));
}

/* A write takes its turn, though the one who leaves could have gone on with the read behind it. */
static void test_what_is_claimed_passes_nobody(void **state)
{
    (void)state;
    pcl_pool *pool = s_mixed();
    pcl_job *one = s_job(PCL_SQL_READ);
    pcl_job *two = s_job(PCL_SQL_READ);
    assert_true(pcl_pool_claim(pool, one));
    assert_true(pcl_pool_claim(pool, two));
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_READ)));
    assert_int_equal(pcl_pool_count(pool).queued, 2);
    assert_null(pcl_pool_leave(pool, one, s_fits));
    s_wait_running(1);
    assert_int_equal(pcl_pool_count(pool).queued, 1);
    s_set_open(true);
    s_collect(pool, 2);
    assert_null(pcl_pool_leave(pool, two, s_fits));
    pcl_job_destroy(&one);
    pcl_job_destroy(&two);
    assert_true(pcl_pool_destroy(&pool, 5000));
}

static void test_what_is_handed_on_finds_a_thread_though_all_places_are_taken(void **state)
{
    (void)state;
    pcl_pool *pool = s_mixed();
    pcl_job *jobs[] = {s_job(PCL_SQL_READ), s_job(PCL_SQL_READ), s_first_job(PCL_SQL_READ)};
    for (size_t index = 0; index < 3; index++) {
        assert_true(pcl_pool_claim(pool, jobs[index]));
    }
    assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    for (size_t index = 0; index < 3; index++) {
        pcl_pool_hand_on(pool, jobs[index]);
        s_wait_running((uint32_t)index + 1);
        assert_int_equal(pcl_pool_count(pool).running, 3);
        assert_int_equal(pcl_pool_count(pool).queued, 1);
    }
    s_set_open(true);
    s_collect(pool, 4);
    pcl_job *last = s_job(PCL_SQL_READ);
    assert_true(pcl_pool_claim(pool, last));
    assert_true(pcl_pool_destroy(&pool, 5000));
    pcl_job_destroy(&last); /* it was never the pool's */
}

static void test_destroying_cuts_off_what_runs_and_frees_what_waits(void **state)
{
    (void)state;
    pcl_pool *pool = s_elastic(3, 60000);
    stage.interrupted = 0;
    for (uint32_t index = 0; index < 8; index++) {
        assert_true(pcl_pool_submit(pool, s_job(PCL_SQL_WRITE)));
    }
    s_wait_running(3);
    assert_true(pcl_pool_destroy(&pool, 200));
    assert_int_equal(stage.interrupted, 3);
    assert_int_equal(stage.workers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_finds_a_thread_at_once),
        cmocka_unit_test(test_beyond_the_last_thread_jobs_wait_and_can_be_withdrawn),
        cmocka_unit_test(test_idle_threads_end_and_others_take_their_places),
        cmocka_unit_test(test_a_fixed_pool_keeps_threads_for_reads),
        cmocka_unit_test(test_a_flood_leaves_threads_for_who_has_nothing_else),
        cmocka_unit_test(test_first_writes_take_no_thread_from_reads),
        cmocka_unit_test(test_what_is_claimed_counts_like_what_has_a_thread),
        cmocka_unit_test(test_what_is_claimed_passes_nobody),
        cmocka_unit_test(test_what_is_handed_on_finds_a_thread_though_all_places_are_taken),
        cmocka_unit_test(test_destroying_cuts_off_what_runs_and_frees_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
