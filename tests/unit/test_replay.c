#include "broker/replay.h"

#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define S      UINT64_C(1000000)
#define START  (1000 * S) /* wall clock of the tables here */
#define BOOT   (50 * S)   /* monotonic */
#define OFFSET (START - BOOT)
#define ALICE  "aliceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ALICIA "aliceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab" /* the index takes them for one */

/* A table whose guard is over. */
static pcl_replay *s_new(uint32_t channel_max, uint32_t each_max)
{
    pcl_replay *self = pcl_replay_new(channel_max, each_max, START - 2 * S, BOOT - 2 * S, 4711);
    assert_non_null(self);
    return self;
}

/* Sealed at that time after the start, of a request with 60 s, and taken at once. */
static pcl_replay_verdict s_take(pcl_replay *self, const char *client, uint64_t channel,
                                 uint64_t sequence, uint64_t after_us)
{
    pcl_replay_mark mark = {
        .time_us = START + after_us, .channel = channel, .sequence = sequence, .timeout_ms = 60000};
    return pcl_replay_take(self, client, &mark, START + after_us, BOOT + after_us);
}

static void test_a_sequence_must_rise_in_its_channel(void **state)
{
    (void)state;
    pcl_replay *self = s_new(16, 16);
    assert_int_equal(s_take(self, ALICE, 7, 0, S), PCL_REPLAY_REPEATED); /* the first is 1 */
    assert_int_equal(s_take(self, ALICE, 7, 1, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICE, 7, 1, S), PCL_REPLAY_REPEATED);
    assert_int_equal(s_take(self, ALICE, 7, 5, S), PCL_REPLAY_FRESH);    /* what was dropped */
    assert_int_equal(s_take(self, ALICE, 7, 4, S), PCL_REPLAY_REPEATED); /* comes no more */
    assert_int_equal(s_take(self, ALICE, 8, 1, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICIA, 7, 1, S), PCL_REPLAY_FRESH); /* another client's */
    assert_int_equal(s_take(self, ALICE, 7, UINT64_MAX, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICE, 7, 6, S), PCL_REPLAY_REPEATED);
    assert_int_equal(pcl_replay_count(self), 3);
    pcl_replay_destroy(&self);
    assert_null(self);
}

static void test_a_seal_has_its_time(void **state)
{
    (void)state;
    static const struct {
        uint64_t time_us, wall_us, timeout_ms;
        pcl_replay_verdict verdict;
    } cases[] = {
        {START + 40 * S, START + 40 * S, 60000, PCL_REPLAY_FRESH},
        {START + 10 * S, START + 40 * S, 60000, PCL_REPLAY_FRESH},
        {START + 10 * S - 1, START + 40 * S, 60000, PCL_REPLAY_OLD},
        {0, START + 40 * S, 60000, PCL_REPLAY_OLD},
        {START + 41 * S, START + 40 * S, 60000, PCL_REPLAY_FRESH},
        {START + 41 * S + 1, START + 40 * S, 60000, PCL_REPLAY_AHEAD},
        {UINT64_MAX, START + 40 * S, 60000, PCL_REPLAY_AHEAD},
        {START + 38 * S + 1, START + 40 * S, 1000, PCL_REPLAY_FRESH},
        {START + 38 * S, START + 40 * S, 1000, PCL_REPLAY_LATE},
        {START + 39 * S, START + 40 * S, 1, PCL_REPLAY_FRESH},
    };
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        pcl_replay *self = s_new(16, 16);
        pcl_replay_mark mark = {.time_us = cases[index].time_us,
                                .channel = 1,
                                .sequence = 1,
                                .timeout_ms = cases[index].timeout_ms};
        assert_int_equal(pcl_replay_take(self, ALICE, &mark, cases[index].wall_us, BOOT),
                         cases[index].verdict);
        assert_int_equal(pcl_replay_count(self), cases[index].verdict == PCL_REPLAY_FRESH ? 1 : 0);
        pcl_replay_destroy(&self);
    }
}

/* What an earlier life took is not known, so nothing that it may have taken is taken. */
static void test_nothing_from_before_the_guard_is_ever_taken(void **state)
{
    (void)state;
    pcl_replay *self = pcl_replay_new(16, 16, START, BOOT, 1);
    pcl_replay_mark mark = {.channel = 1, .sequence = 1, .timeout_ms = 60000};
    mark.time_us = START + S + 1;
    assert_int_equal(pcl_replay_take(self, ALICE, &mark, START + S - 1, BOOT + S - 1),
                     PCL_REPLAY_EARLY);
    assert_int_equal(pcl_replay_take(self, ALICE, &mark, START + S, BOOT + S), PCL_REPLAY_FRESH);
    mark.sequence = 2;
    mark.time_us = START + S;
    assert_int_equal(pcl_replay_take(self, ALICE, &mark, START + 20 * S, BOOT + 20 * S),
                     PCL_REPLAY_EARLY);
    pcl_replay_destroy(&self);
}

static void test_channels_are_kept_for_31_s_after_their_last_request(void **state)
{
    (void)state;
    pcl_replay *self = s_new(16, 16);
    assert_int_equal(s_take(self, ALICE, 1, 1, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICE, 2, 1, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICE, 1, 2, 20 * S), PCL_REPLAY_FRESH);
    pcl_replay_expire(self, BOOT + 32 * S);
    assert_int_equal(pcl_replay_count(self), 2);
    pcl_replay_expire(self, BOOT + 32 * S + 1);
    assert_int_equal(pcl_replay_count(self), 1);
    assert_int_equal(s_take(self, ALICE, 1, 2, 50 * S), PCL_REPLAY_REPEATED);
    pcl_replay_expire(self, BOOT + 51 * S + 1);
    assert_int_equal(pcl_replay_count(self), 0);
    assert_int_equal(s_take(self, ALICE, 1, 2, 52 * S), PCL_REPLAY_FRESH); /* its time protects */
    pcl_replay_destroy(&self);
}

/* The clock is set back by a minute after a channel was forgotten. */
static void test_a_clock_that_is_set_back_brings_nothing_back(void **state)
{
    (void)state;
    pcl_replay *self = s_new(16, 16);
    assert_int_equal(s_take(self, ALICE, 1, 1, S), PCL_REPLAY_FRESH);
    pcl_replay_expire(self, BOOT + 60 * S);
    assert_int_equal(pcl_replay_count(self), 0);
    pcl_replay_mark mark = {.time_us = START + S, .channel = 1, .sequence = 1, .timeout_ms = 60000};
    assert_int_equal(pcl_replay_take(self, ALICE, &mark, START + S, BOOT + 61 * S),
                     PCL_REPLAY_EARLY);
    mark.time_us = START + S + 1;
    assert_int_equal(pcl_replay_take(self, ALICE, &mark, START + S, BOOT + 61 * S),
                     PCL_REPLAY_FRESH);
    pcl_replay_destroy(&self);
}

static void test_the_table_is_bounded_and_so_is_each_client(void **state)
{
    (void)state;
    pcl_replay *self = s_new(4, 3);
    for (uint64_t channel = 1; channel <= 3; channel++) {
        assert_int_equal(s_take(self, ALICE, channel, 1, S), PCL_REPLAY_FRESH);
    }
    assert_int_equal(s_take(self, ALICE, 4, 1, S), PCL_REPLAY_FULL);
    assert_int_equal(s_take(self, ALICIA, 4, 1, S), PCL_REPLAY_FRESH);
    assert_int_equal(s_take(self, ALICIA, 5, 1, S), PCL_REPLAY_FULL);
    assert_int_equal(s_take(self, ALICE, 3, 2, S), PCL_REPLAY_FRESH); /* those there go on */
    assert_int_equal(s_take(self, ALICIA, 5, 1, 60 * S), PCL_REPLAY_FRESH);
    assert_int_equal(pcl_replay_count(self), 1); /* what was over made room by itself */
    pcl_replay_destroy(&self);
}

/* Whatever is replayed, reordered, dropped, and however the wall clock jumps: nothing is taken
 * twice. */
static void test_nothing_is_ever_taken_twice(void **state)
{
    (void)state;
    enum { SENT = 4000, CLIENTS = 3, CHANNELS = 4, STEPS = 60000 };
    static struct {
        pcl_replay_mark mark;
        uint32_t client;
        uint32_t taken;
    } sent[SENT];
    static const char *const clients[CLIENTS] = {ALICE, ALICIA,
                                                 "bobbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
    pcl_rng rng = pcl_test_rng("replay");
    pcl_replay *self = pcl_replay_new(8, 4, START, BOOT, pcl_rng_next(&rng));
    uint64_t sequence[CLIENTS][CHANNELS] = {{0}};
    uint64_t now_us = BOOT, wall_us = START, taken = 0;
    uint32_t count = 0;
    memset(sent, 0, sizeof sent);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t passed_us = pcl_rng_below(&rng, 20) == 0 ? pcl_rng_below(&rng, 40 * S)
                                                          : pcl_rng_below(&rng, 20000);
        now_us += passed_us;
        wall_us += passed_us;
        if (pcl_rng_below(&rng, 500) == 0) {
            wall_us += pcl_rng_below(&rng, 2) == 0 ? 5 * S : (uint64_t) - (int64_t)(20 * S);
        }
        uint32_t index = pcl_rng_below(&rng, SENT);
        if (pcl_rng_below(&rng, 2) == 0 && count < SENT) {
            index = count++;
            uint32_t client = pcl_rng_below(&rng, CLIENTS);
            uint32_t channel = pcl_rng_below(&rng, CHANNELS);
            sent[index].client = client;
            sent[index].mark = (pcl_replay_mark){.time_us = wall_us,
                                                 .channel = channel,
                                                 .sequence = ++sequence[client][channel],
                                                 .timeout_ms = 1 + pcl_rng_below(&rng, 60000)};
        } else if (index >= count) {
            continue;
        }
        if (pcl_replay_take(self, clients[sent[index].client], &sent[index].mark, wall_us,
                            now_us) == PCL_REPLAY_FRESH) {
            taken++;
            assert_int_equal(++sent[index].taken, 1);
        }
        assert_true(pcl_replay_count(self) <= 8);
    }
    assert_true(taken > 100);
    pcl_replay_destroy(&self);
}

static void test_each_verdict_says_why(void **state)
{
    (void)state;
    for (int verdict = PCL_REPLAY_OLD; verdict <= PCL_REPLAY_FULL; verdict++) {
        assert_string_not_equal(pcl_replay_text((pcl_replay_verdict)verdict), "is fresh");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sequence_must_rise_in_its_channel),
        cmocka_unit_test(test_a_seal_has_its_time),
        cmocka_unit_test(test_nothing_from_before_the_guard_is_ever_taken),
        cmocka_unit_test(test_channels_are_kept_for_31_s_after_their_last_request),
        cmocka_unit_test(test_a_clock_that_is_set_back_brings_nothing_back),
        cmocka_unit_test(test_the_table_is_bounded_and_so_is_each_client),
        cmocka_unit_test(test_nothing_is_ever_taken_twice),
        cmocka_unit_test(test_each_verdict_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
