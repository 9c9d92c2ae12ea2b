#include "broker/window.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS     UINT64_C(1000)
#define TARGET (4 * MS)

/* Agents with so many threads, each of which needs 5 ms a request; what is over waits there in
 * one line.  More comes than can be done; returns the window after so many ms. */
static uint32_t s_run(pcl_window *self, uint32_t threads, uint64_t from_ms, uint64_t to_ms)
{
    enum { SENT_MAX = 8192, TOOK_MS = 5 };
    static struct {
        uint64_t sent_us, begun_us; /* begun_us 0: it waits */
    } sent[SENT_MAX];
    uint32_t first = 0, count = 0, running = 0;
    while (self->inflight > 0) {
        pcl_window_ended(self);
    }
    for (uint64_t now_us = from_ms * MS; now_us < to_ms * MS; now_us += MS) {
        while (pcl_window_is_open(self)) {
            assert_true(count < SENT_MAX);
            uint32_t index = (first + count++) % SENT_MAX;
            sent[index].sent_us = now_us;
            sent[index].begun_us = 0;
            pcl_window_sent(self);
        }
        while (running > 0 && now_us - sent[first].begun_us >= TOOK_MS * MS) {
            pcl_window_ended(self);
            pcl_window_waited(self, sent[first].sent_us, sent[first].begun_us - sent[first].sent_us,
                              now_us);
            first = (first + 1) % SENT_MAX;
            count--;
            running--;
        }
        for (; running < threads && running < count; running++) {
            sent[(first + running) % SENT_MAX].begun_us = now_us;
        }
    }
    return self->size;
}

static void test_the_queue_does_not_stand_at_the_agents(void **state)
{
    (void)state;
    static const uint32_t threads[] = {8, 32, 200};
    for (int index = 0; index < 3; index++) {
        pcl_window self = pcl_window_of(4, 4096, TARGET);
        uint32_t size = s_run(&self, threads[index], 1, 3000);
        /* Enough to keep the threads busy, and nobody waits as long as it runs. */
        assert_in_range(size, threads[index] * 3 / 4, threads[index] * 3 / 2);
    }
}

static void test_it_grows_again_when_there_are_more_threads(void **state)
{
    (void)state;
    pcl_window self = pcl_window_of(4, 4096, TARGET);
    uint32_t narrow = s_run(&self, 4, 1, 2000);
    assert_true(narrow <= 10);
    uint32_t wide = s_run(&self, 400, 2000, 6000);
    assert_true(wide >= 300);
    narrow = s_run(&self, 4, 6000, 10000);
    assert_true(narrow <= 10);
}

static void test_it_stays_within_its_bounds(void **state)
{
    (void)state;
    pcl_window self = pcl_window_of(16, 100, TARGET);
    assert_int_equal(self.size, PCL_WINDOW_START);
    assert_int_equal(s_run(&self, 1, 1, 3000), 16);
    assert_int_equal(s_run(&self, 4000, 3000, 9000), 100);
    pcl_window_set(&self, 1, 20, TARGET);
    assert_int_equal(self.size, 20);
}

/* Who asks for little learns nothing of how much there may be. */
static void test_a_window_that_is_not_full_does_not_grow(void **state)
{
    (void)state;
    pcl_window self = pcl_window_of(4, 4096, TARGET);
    for (uint64_t now_us = MS; now_us < 1000 * MS; now_us += MS) {
        pcl_window_sent(&self);
        pcl_window_ended(&self);
        pcl_window_waited(&self, now_us, 0, now_us);
    }
    assert_int_equal(self.size, PCL_WINDOW_START);
}

/* All that was sent into a window that was too large comes back late, and says it but once. */
static void test_one_round_shrinks_it_once(void **state)
{
    (void)state;
    pcl_window self = pcl_window_of(4, 4096, TARGET);
    for (int index = 0; index < 64; index++) {
        pcl_window_sent(&self);
    }
    for (uint64_t index = 1; index <= 64; index++) {
        pcl_window_ended(&self);
        pcl_window_waited(&self, 0, 50 * MS, index * 10 * MS);
    }
    assert_int_equal(self.size, 64 - 64 / 3 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_queue_does_not_stand_at_the_agents),
        cmocka_unit_test(test_it_grows_again_when_there_are_more_threads),
        cmocka_unit_test(test_it_stays_within_its_bounds),
        cmocka_unit_test(test_a_window_that_is_not_full_does_not_grow),
        cmocka_unit_test(test_one_round_shrinks_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
