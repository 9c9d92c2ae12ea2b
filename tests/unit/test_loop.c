#include "net/loop.h"

#include "net/frames.h"
#include "net/time.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct s_bench {
    pcl_loop *loop;
    zsock_t *near, *far;
    int fd;
    int read, read_fd, ticks, turns;
    int stop_after_ticks;
    int bound; /* messages a call of the reader */
    int calls; /* of the reader */
    uint64_t first_us, last_us;
} s_bench;

static bool s_on_message(void *context, uint64_t now_us)
{
    s_bench *bench = context;
    assert_true(now_us > 0);
    bench->calls++;
    for (int count = 0; count < bench->bound; count++) {
        pcl_frames frames;
        if (pcl_frames_recv(&frames, bench->near) != PCL_RECV_MESSAGE) {
            return false;
        }
        pcl_frames_close(&frames);
        bench->read++;
    }
    return true;
}

static bool s_on_fd(void *context, uint64_t now_us)
{
    (void)now_us;
    s_bench *bench = context;
    uint64_t value;
    assert_int_equal(read(bench->fd, &value, sizeof value), sizeof value);
    bench->read_fd++;
    return false;
}

static void s_on_tick(void *context, uint64_t now_us)
{
    s_bench *bench = context;
    bench->first_us = bench->ticks == 0 ? now_us : bench->first_us;
    bench->last_us = now_us;
    if (++bench->ticks == bench->stop_after_ticks) {
        pcl_loop_stop(bench->loop);
    }
}

static void s_on_turn(void *context, uint64_t now_us)
{
    (void)now_us;
    s_bench *bench = context;
    bench->turns++;
}

static s_bench *s_open(const char *endpoint)
{
    static s_bench bench;
    bench = (s_bench){.loop = pcl_loop_new(),
                      .near = zsock_new(ZMQ_PAIR),
                      .far = zsock_new(ZMQ_PAIR),
                      .fd = eventfd(0, EFD_CLOEXEC),
                      .bound = 10};
    assert_int_equal(zsock_bind(bench.near, "%s", endpoint), 0);
    assert_int_equal(zsock_connect(bench.far, "%s", endpoint), 0);
    pcl_loop_add_socket(bench.loop, bench.near, s_on_message, &bench);
    pcl_loop_add_fd(bench.loop, bench.fd, s_on_fd, &bench);
    return &bench;
}

static void s_close(s_bench *bench)
{
    pcl_loop_destroy(&bench->loop);
    zsock_destroy(&bench->near);
    zsock_destroy(&bench->far);
    close(bench->fd);
}

/* A reader that stopped at its bound is called again without a new event. */
static void test_everything_that_waits_is_read(void **state)
{
    (void)state;
    s_bench *bench = s_open("inproc://loop-read");
    for (int count = 0; count < 105; count++) {
        assert_int_equal(zstr_send(bench->far, "x"), 0);
    }
    uint64_t one = 1;
    assert_int_equal(write(bench->fd, &one, sizeof one), sizeof one);
    bench->stop_after_ticks = 2;
    pcl_loop_set_tick(bench->loop, 20000, s_on_tick, s_on_turn, bench);
    pcl_loop_run(bench->loop);
    assert_int_equal(bench->read, 105);
    assert_int_equal(bench->read_fd, 1);
    assert_in_range(bench->calls, 11, 12);
    assert_true(bench->turns >= 11);
    s_close(bench);
}

static void test_ticks_come_at_their_interval(void **state)
{
    (void)state;
    s_bench *bench = s_open("inproc://loop-tick");
    bench->stop_after_ticks = 11;
    pcl_loop_set_tick(bench->loop, 10000, s_on_tick, s_on_turn, bench);
    pcl_loop_run(bench->loop);
    assert_int_equal(bench->ticks, 11);
    assert_in_range(bench->last_us - bench->first_us, 95000, 1000000);
    s_close(bench);
}

/* No work, no processor time: as many turns as ticks. */
static void test_an_idle_loop_sleeps(void **state)
{
    (void)state;
    s_bench *bench = s_open("inproc://loop-idle");
    bench->stop_after_ticks = 10;
    pcl_loop_set_tick(bench->loop, 20000, s_on_tick, s_on_turn, bench);
    pcl_loop_run(bench->loop);
    assert_in_range(bench->turns, 9, 25);
    s_close(bench);
}

static void s_on_woken_turn(void *context, uint64_t now_us)
{
    s_bench *bench = context;
    bench->turns++;
    if (now_us >= bench->last_us) {
        bench->last_us = now_us;
        pcl_loop_stop(bench->loop);
    } else {
        pcl_loop_wake_at(bench->loop, bench->last_us);
    }
}

/* Between two ticks, and not before. */
static void test_the_loop_turns_when_it_shall_be_woken(void **state)
{
    (void)state;
    s_bench *bench = s_open("inproc://loop-wake");
    uint64_t begun_us = pcl_now_us();
    bench->last_us = begun_us + 30000;
    pcl_loop_set_tick(bench->loop, 10000000, s_on_tick, s_on_woken_turn, bench);
    pcl_loop_wake_at(bench->loop, begun_us + 5000);
    pcl_loop_run(bench->loop);
    assert_int_equal(bench->ticks, 0);
    assert_in_range(bench->turns, 2, 20);
    assert_in_range(bench->last_us - begun_us, 30000, 5000000);
    s_close(bench);
}

static bool s_is_enough(void *context)
{
    const s_bench *bench = context;
    return bench->ticks >= 3;
}

static void test_the_guard_ends_the_loop(void **state)
{
    (void)state;
    s_bench *bench = s_open("inproc://loop-guard");
    pcl_loop_set_tick(bench->loop, 1000, s_on_tick, NULL, bench);
    pcl_loop_set_guard(bench->loop, s_is_enough, bench);
    pcl_loop_run(bench->loop);
    assert_int_equal(bench->ticks, 3);
    s_close(bench);
}

/* --- Two loops on one thread --------------------------------------------------- */

enum { PASSES = 50 };

/* Passes each message on to its neighbour, and notes in which of its turns it came. */
typedef struct s_passer {
    pcl_loop *loop;
    zsock_t *in, *out; /* out NULL: the last one */
    int seen;
    uint64_t seen_us; /* the time of the turn */
    int ended;        /* the how-manieth of all; 0: not yet */
} s_passer;

static bool s_on_pass(void *context, uint64_t now_us)
{
    s_passer *self = context;
    pcl_frames frames;
    while (pcl_frames_recv(&frames, self->in) == PCL_RECV_MESSAGE) {
        pcl_frames_close(&frames);
        self->seen++;
        self->seen_us = now_us;
        if (self->out != NULL) {
            assert_int_equal(zstr_send(self->out, "x"), 0);
        }
    }
    if (self->seen == PASSES) {
        pcl_loop_stop(self->loop);
    }
    return false;
}

static void s_on_ended(void *context, size_t index)
{
    s_passer *passers = context;
    int before = passers[0].ended > passers[1].ended ? passers[0].ended : passers[1].ended;
    assert_int_equal(passers[index].ended, 0);
    passers[index].ended = before + 1;
    pcl_loop_destroy(&passers[index].loop); /* nothing of it is used from now on */
}

static void test_loops_on_one_thread_hear_each_other_within_a_turn(void **state)
{
    (void)state;
    zsock_t *first = zsock_new(ZMQ_PAIR);
    zsock_t *second_in = zsock_new(ZMQ_PAIR);
    assert_int_equal(zsock_bind(first, "inproc://loop-pass-in"), 0);
    zsock_t *driver = zsock_new(ZMQ_PAIR);
    assert_int_equal(zsock_connect(driver, "inproc://loop-pass-in"), 0);
    zsock_t *between = zsock_new(ZMQ_PAIR);
    assert_int_equal(zsock_bind(second_in, "inproc://loop-pass-on"), 0);
    assert_int_equal(zsock_connect(between, "inproc://loop-pass-on"), 0);
    s_passer passers[2] = {{.loop = pcl_loop_new(), .in = first, .out = between},
                           {.loop = pcl_loop_new(), .in = second_in}};
    pcl_loop *loops[2] = {passers[0].loop, passers[1].loop};
    for (int index = 0; index < 2; index++) {
        pcl_loop_add_socket(loops[index], passers[index].in, s_on_pass, &passers[index]);
    }
    for (int count = 0; count < PASSES; count++) {
        assert_int_equal(zstr_send(driver, "x"), 0);
    }
    pcl_loop_run_all(loops, 2, s_on_ended, passers);
    assert_int_equal(passers[0].seen, PASSES);
    assert_int_equal(passers[1].seen, PASSES);
    assert_true(passers[0].seen_us == passers[1].seen_us);
    assert_int_equal(passers[0].ended, 1);
    assert_int_equal(passers[1].ended, 2);
    zsock_destroy(&driver);
    zsock_destroy(&first);
    zsock_destroy(&between);
    zsock_destroy(&second_in);
}

static void test_the_clocks_go_on(void **state)
{
    (void)state;
    uint64_t before_us = pcl_now_us();
    zclock_sleep(5);
    assert_in_range(pcl_now_us() - before_us, 4000, 5000000);
    assert_true(pcl_wall_us() / 1000000 + 5 > (uint64_t)time(NULL));
    assert_int_not_equal(pcl_random_u64(), pcl_random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_that_waits_is_read),
        cmocka_unit_test(test_ticks_come_at_their_interval),
        cmocka_unit_test(test_an_idle_loop_sleeps),
        cmocka_unit_test(test_the_loop_turns_when_it_shall_be_woken),
        cmocka_unit_test(test_the_guard_ends_the_loop),
        cmocka_unit_test(test_loops_on_one_thread_hear_each_other_within_a_turn),
        cmocka_unit_test(test_the_clocks_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
