/* The lane's turns: how much one of them may begin, when it takes nothing, and how it ends.  What
 * it drives, and the pool, are played here. */
#include "worker-agent/lane.h"

#include "common/clock.h"
#include "net/time.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NEXT_MAX = 32 };

/* What the played ones do, and have done. */
static struct {
    pcl_plain_step step; /* that a job comes to when it is begun */
    bool cannot;
    bool answered; /* the database has, so that events come */
    uint32_t waiting;
    uint32_t begun, handed, done;
    pcl_plain *last; /* that began a job */
} stage;

struct pcl_plain {
    int fd; /* -1: it was given away */
    uint64_t serial;
    pcl_plain_parting *parting;
    void *context;
};

pcl_plain *pcl_plain_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                         pcl_spares *spares, pcl_causal *causal, uint32_t slot,
                         pcl_plain_parting *parting, void *context)
{
    (void)options;
    (void)watchdog;
    (void)spares;
    (void)causal;
    (void)slot;
    pcl_plain *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->fd = eventfd(0, EFD_CLOEXEC);
    assert_true(self->fd >= 0);
    self->parting = parting;
    self->context = context;
    return self;
}

void pcl_plain_destroy(pcl_plain **self_p)
{
    if ((*self_p)->fd >= 0) {
        (void)close((*self_p)->fd);
    }
    free(*self_p);
    *self_p = NULL;
}

bool pcl_plain_may_be(const pcl_job *job)
{
    (void)job;
    return true;
}

pcl_plain_step pcl_plain_begin(pcl_plain *self, pcl_job *job)
{
    uint64_t one = 1;
    (void)job;
    stage.begun++;
    stage.last = self;
    if (stage.answered) {
        assert_int_equal(write(self->fd, &one, sizeof one), sizeof one);
    }
    return stage.step;
}

pcl_plain_step pcl_plain_go_on(pcl_plain *self)
{
    uint64_t count = 0;
    assert_int_equal(read(self->fd, &count, sizeof count), sizeof count);
    return PCL_PLAIN_DONE;
}

int pcl_plain_waits_for(const pcl_plain *self)
{
    (void)self;
    return PCL_WAIT_READ;
}

int pcl_plain_fd(const pcl_plain *self, uint64_t *out_serial)
{
    *out_serial = self->serial;
    return self->fd;
}

uint32_t pcl_plain_connections(const pcl_plain *self)
{
    (void)self;
    return 1;
}

bool pcl_plain_suits(const pcl_plain *self, const pcl_accounts *accounts)
{
    (void)self;
    (void)accounts;
    return true;
}

/* The descriptor stays open, as another thread's. */
void pcl_plain_rest(pcl_plain *self)
{
    self->parting(self->context);
    self->fd = -1;
}

void pcl_plain_hang_up(pcl_plain *self)
{
    (void)self;
}

bool pcl_plain_cannot(const pcl_plain *self)
{
    (void)self;
    return stage.cannot;
}

static pcl_job *s_job(void)
{
    pcl_job *job = pcl_job_new();
    assert_non_null(job);
    return job;
}

bool pcl_pool_claim(pcl_pool *self, pcl_job *job)
{
    (void)self;
    (void)job;
    return true;
}

pcl_job *pcl_pool_leave(pcl_pool *self, pcl_job *job, pcl_pool_fits *fits)
{
    (void)self;
    if (stage.waiting == 0 || !fits(job)) {
        return NULL;
    }
    stage.waiting--;
    return s_job();
}

void pcl_pool_hand_on(pcl_pool *self, pcl_job *job)
{
    (void)self;
    stage.handed++;
    pcl_job_destroy(&job);
}

static void s_on_done(void *context, pcl_job *job, uint64_t now_us)
{
    (void)context;
    (void)now_us;
    stage.done++;
    pcl_job_destroy(&job);
}

static pcl_lane *s_lane(pcl_plain_step step)
{
    static const pcl_agent_options OPTIONS = {.threads = 4};
    pcl_pool_plan plan = {.options = &OPTIONS};
    stage.step = step;
    stage.cannot = false;
    stage.answered = false;
    stage.waiting = stage.begun = stage.handed = stage.done = 0;
    return pcl_lane_new(&plan, NULL, 0, s_on_done, NULL);
}

/* False: the job is gone all the same. */
static bool s_take(pcl_lane *lane, uint64_t now_us)
{
    pcl_job *job = s_job();
    bool taken = pcl_lane_take(lane, job, now_us);
    if (!taken) {
        pcl_job_destroy(&job);
    }
    return taken;
}

static void test_a_queue_that_needs_no_database_goes_in_turns(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_DONE);
    stage.waiting = 1000;
    assert_true(s_take(lane, 1));
    assert_int_equal(stage.begun, 1 + NEXT_MAX);
    assert_true(s_take(lane, 1));
    assert_int_equal(stage.begun, 2 + NEXT_MAX);
    pcl_lane_run(lane, 2);
    assert_true(s_take(lane, 2));
    assert_int_equal(stage.begun, 3 + 2 * NEXT_MAX);
    assert_int_equal(stage.done, stage.begun);
    assert_int_equal(stage.waiting, 1000 - 2 * NEXT_MAX);
    pcl_lane_destroy(&lane);
}

static void test_where_a_connection_would_wait_it_takes_nothing_for_a_while(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_OTHER);
    assert_true(s_take(lane, 1));
    assert_true(s_take(lane, 2)); /* what is not plain says nothing of the next */
    stage.cannot = true;
    assert_true(s_take(lane, 3));
    assert_int_equal(stage.handed, 3);
    assert_false(s_take(lane, 4));
    assert_false(s_take(lane, 2 + 10 * PCL_US_PER_S));
    assert_int_equal(stage.begun, 3);
    assert_true(s_take(lane, 3 + 10 * PCL_US_PER_S));
    pcl_lane_destroy(&lane);
}

static void test_at_the_end_it_goes_on_until_nothing_is_under_way(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_WAITS);
    stage.answered = true;
    for (uint32_t index = 0; index < 3; index++) {
        assert_true(s_take(lane, pcl_now_us()));
    }
    stage.waiting = 10;
    pcl_lane_finish(lane, 60000);
    assert_int_equal(stage.done, 3);
    assert_int_equal(stage.begun, 3);
    assert_false(s_take(lane, pcl_now_us()));
    pcl_lane_destroy(&lane);
}

static void test_a_database_that_does_not_answer_holds_up_no_end(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_WAITS);
    assert_true(s_take(lane, pcl_now_us()));
    pcl_lane_finish(lane, 20);
    assert_int_equal(stage.done, 0);
    pcl_lane_destroy(&lane);
}

static bool s_has_news(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static void s_ring(int fd)
{
    uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
}

static void test_a_connection_that_was_given_away_is_watched_no_more(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_WAITS);
    stage.answered = true;
    assert_true(s_take(lane, 1));
    pcl_lane_run(lane, 1);
    assert_int_equal(stage.done, 1);
    int fd = stage.last->fd;
    s_ring(fd);
    assert_true(s_has_news(pcl_lane_fd(lane)));
    pcl_lane_tidy(lane, 2 * PCL_US_PER_S);
    assert_int_equal(stage.last->fd, -1);
    assert_false(s_has_news(pcl_lane_fd(lane)));
    (void)close(fd);
    pcl_lane_destroy(&lane);
}

static void test_a_new_connection_is_watched_though_it_has_the_number_of_a_lost_one(void **state)
{
    (void)state;
    pcl_lane *lane = s_lane(PCL_PLAIN_WAITS);
    stage.answered = true;
    assert_true(s_take(lane, 1));
    pcl_lane_run(lane, 1);
    int other = eventfd(0, EFD_CLOEXEC);
    assert_true(other >= 0);
    assert_true(dup2(other, stage.last->fd) >= 0); /* epoll forgets the one that it closes */
    (void)close(other);
    stage.last->serial++;
    assert_true(s_take(lane, 2));
    assert_true(s_has_news(pcl_lane_fd(lane)));
    pcl_lane_run(lane, 2);
    assert_int_equal(stage.done, 2);
    pcl_lane_destroy(&lane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_queue_that_needs_no_database_goes_in_turns),
        cmocka_unit_test(test_where_a_connection_would_wait_it_takes_nothing_for_a_while),
        cmocka_unit_test(test_at_the_end_it_goes_on_until_nothing_is_under_way),
        cmocka_unit_test(test_a_database_that_does_not_answer_holds_up_no_end),
        cmocka_unit_test(test_a_connection_that_was_given_away_is_watched_no_more),
        cmocka_unit_test(test_a_new_connection_is_watched_though_it_has_the_number_of_a_lost_one),
    };
    /* libmysqlclient has no calls that do not wait, and an agent with it no lane. */
    return PCL_CLIENT_NONBLOCKING ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
