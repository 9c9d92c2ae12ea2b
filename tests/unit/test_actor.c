/* Several actors on one thread: what each says when, and that one's end is not another's. */
#include "net/actor.h"
#include "net/frames.h"
#include "net/time.h"

#include <stdlib.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, COUNT = 3 };

/* How many were opened and closed, in all: of the actors' thread, read when it has ended. */
static int s_opened, s_closed;

static void s_tick(void *context, uint64_t now_us)
{
    (void)context;
    (void)now_us;
}

static void *s_open(const pcl_role_args *args, pcl_loop *loop, bool *out_opened)
{
    pcl_loop_set_tick(loop, 10000, s_tick, NULL, NULL); /* as every role has one */
    s_opened++;
    *out_opened = args->seed == 0;
    return &s_opened;
}

static void s_close(void *context, bool opened)
{
    (void)opened;
    assert_ptr_equal(context, &s_opened);
    s_closed++;
}

static bool s_drained(void *context)
{
    (void)context;
    return true;
}

static const pcl_role_parts PARTS = {
    .open = s_open, .close = s_close, .hooks = {.drained = s_drained}};

typedef struct s_house {
    zactor_t *thread;
    pcl_role_args args[COUNT];
    zsock_t *pipes[COUNT]; /* ours */
    zsock_t *ends[COUNT];
} s_house;

static void s_live(zsock_t *pipe, void *argument)
{
    s_house *self = argument;
    pcl_actor_seat seats[COUNT];
    for (size_t index = 0; index < COUNT; index++) {
        seats[index] = (pcl_actor_seat){self->ends[index], &self->args[index], &PARTS};
    }
    zsock_signal(pipe, 0);
    pcl_actor_share(seats, COUNT);
    for (size_t index = 0; index < COUNT; index++) {
        zsock_destroy(&self->ends[index]);
    }
    char *word = zstr_recv(pipe); /* $TERM */
    zstr_free(&word);
}

/* failing: the actor that cannot be opened; COUNT: none. */
static void s_enter(s_house *self, size_t failing)
{
    memset(self, 0, sizeof *self);
    s_opened = 0;
    s_closed = 0;
    for (size_t index = 0; index < COUNT; index++) {
        self->args[index].seed = index == failing;
        self->pipes[index] = zsys_create_pipe(&self->ends[index]);
        zsock_set_rcvtimeo(self->pipes[index], WAIT_MS);
    }
    self->thread = zactor_new(s_live, self);
    assert_non_null(self->thread);
}

static void s_expect(s_house *self, size_t index, const char *wanted)
{
    char *word = zstr_recv(self->pipes[index]);
    assert_non_null(word);
    assert_string_equal(word, wanted);
    zstr_free(&word);
}

static void s_leave(s_house *self, int opened)
{
    zactor_destroy(&self->thread);
    for (size_t index = 0; index < COUNT; index++) {
        zsock_destroy(&self->pipes[index]);
    }
    assert_int_equal(s_opened, opened);
    assert_int_equal(s_closed, opened);
}

static void s_reload(s_house *self, size_t index)
{
    const pcl_config *config = NULL;
    zmq_msg_t frame;
    assert_int_equal(zstr_sendm(self->pipes[index], PCL_ACTOR_RELOAD), 0);
    pcl_frame_copy_of(&frame, pcl_bytes_of(&config, sizeof config));
    assert_int_equal(pcl_frames_send(&frame, 1, self->pipes[index]), PCL_ERR_OK);
    s_expect(self, index, PCL_ACTOR_RELOADED);
}

static void test_each_ends_by_itself(void **state)
{
    (void)state;
    s_house house;
    s_enter(&house, COUNT);
    for (size_t index = 0; index < COUNT; index++) {
        s_expect(&house, index, PCL_ACTOR_READY);
    }
    assert_int_equal(zstr_send(house.pipes[0], PCL_ACTOR_DRAIN), 0);
    s_expect(&house, 0, PCL_ACTOR_ENDED);
    s_reload(&house, 1); /* the others live */
    s_reload(&house, 2);
    assert_int_equal(zstr_send(house.pipes[2], PCL_ACTOR_STOP), 0);
    s_expect(&house, 2, PCL_ACTOR_ENDED);
    s_reload(&house, 1);
    assert_int_equal(zstr_send(house.pipes[1], PCL_ACTOR_STOP), 0);
    s_expect(&house, 1, PCL_ACTOR_ENDED);
    s_leave(&house, COUNT);
}

static void test_when_one_cannot_be_opened_the_next_are_not(void **state)
{
    (void)state;
    s_house house;
    s_enter(&house, 1);
    s_expect(&house, 0, PCL_ACTOR_READY);
    s_expect(&house, 1, PCL_ACTOR_FAILED);
    s_expect(&house, 1, PCL_ACTOR_ENDED);
    s_expect(&house, 2, PCL_ACTOR_ENDED);
    s_reload(&house, 0);
    assert_int_equal(zstr_send(house.pipes[0], PCL_ACTOR_STOP), 0);
    s_expect(&house, 0, PCL_ACTOR_ENDED);
    s_leave(&house, 2);
}

static void test_when_the_first_cannot_be_opened_nobody_lives(void **state)
{
    (void)state;
    s_house house;
    s_enter(&house, 0);
    s_expect(&house, 0, PCL_ACTOR_FAILED);
    for (size_t index = 0; index < COUNT; index++) {
        s_expect(&house, index, PCL_ACTOR_ENDED);
    }
    s_leave(&house, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_ends_by_itself),
        cmocka_unit_test(test_when_one_cannot_be_opened_the_next_are_not),
        cmocka_unit_test(test_when_the_first_cannot_be_opened_nobody_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
