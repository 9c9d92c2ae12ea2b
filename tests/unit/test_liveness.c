#include "net/liveness.h"

#include "common/limits.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INTERVAL_US (PCL_BEAT_INTERVAL_MS * UINT64_C(1000))
#define GONE_US     (PCL_BEATS_GONE * INTERVAL_US)

/* Looks every 50 ms until us have passed; the last event that was one. */
static pcl_link_event s_look_for(pcl_liveness *self, uint64_t *now_us, uint64_t us)
{
    pcl_link_event last = PCL_LINK_NOTHING;
    for (uint64_t end_us = *now_us + us; *now_us < end_us;) {
        *now_us += 50000;
        pcl_link_event event = pcl_liveness_look(self, *now_us);
        last = event == PCL_LINK_NOTHING ? last : event;
    }
    return last;
}

static pcl_liveness s_up(uint64_t now_us)
{
    pcl_liveness self = {.state = PCL_LINK_DOWN};
    assert_int_equal(pcl_liveness_look(&self, now_us), PCL_LINK_NOTHING);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, false), PCL_LINK_CAME_UP);
    assert_int_equal(self.state, PCL_LINK_UP);
    return self;
}

static void test_silence_of_five_intervals_is_a_loss(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    pcl_liveness self = s_up(now_us);
    assert_int_equal(s_look_for(&self, &now_us, GONE_US - 50000), PCL_LINK_NOTHING);
    assert_int_equal(self.state, PCL_LINK_UP);
    assert_int_equal(s_look_for(&self, &now_us, 50000), PCL_LINK_LOST);
    assert_int_equal(self.state, PCL_LINK_DOWN);
    assert_int_equal(s_look_for(&self, &now_us, 2 * GONE_US), PCL_LINK_NOTHING);
}

static void test_who_is_patient_waits_for_longer(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    pcl_liveness self = s_up(now_us);
    self.patient = true;
    uint64_t gone_us = PCL_BEATS_GONE_ALONE * INTERVAL_US;
    assert_int_equal(s_look_for(&self, &now_us, gone_us - 50000), PCL_LINK_NOTHING);
    assert_int_equal(s_look_for(&self, &now_us, 50000), PCL_LINK_LOST);
}

static void test_any_message_ends_the_silence(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    pcl_liveness self = s_up(now_us);
    for (int turn = 0; turn < 10; turn++) {
        assert_int_equal(s_look_for(&self, &now_us, GONE_US - 50000), PCL_LINK_NOTHING);
        assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_ANY, 0, false), PCL_LINK_NOTHING);
    }
    assert_int_equal(self.state, PCL_LINK_UP);
}

/* A late reply says that someone lives, not that it is the same process. */
static void test_only_a_beat_brings_a_link_up(void **state)
{
    (void)state;
    pcl_liveness self = {.state = PCL_LINK_DOWN};
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_ANY, 0, false), PCL_LINK_NOTHING);
    assert_int_equal(self.state, PCL_LINK_DOWN);
}

static void test_another_boot_replaces_the_peer(void **state)
{
    (void)state;
    pcl_liveness self = s_up(1);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 8, false), PCL_LINK_REPLACED);
    assert_int_equal(self.state, PCL_LINK_UP);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 8, false), PCL_LINK_NOTHING);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 9, true), PCL_LINK_REPLACED);
    assert_int_equal(self.state, PCL_LINK_DRAINING);
}

/* The loss was told when it happened; nothing is in flight any more. */
static void test_another_boot_after_a_loss_just_comes_up(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    pcl_liveness self = s_up(now_us);
    assert_int_equal(s_look_for(&self, &now_us, GONE_US), PCL_LINK_LOST);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 8, false), PCL_LINK_CAME_UP);
}

static void test_draining_by_flag_can_be_taken_back(void **state)
{
    (void)state;
    pcl_liveness self = s_up(1);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, true), PCL_LINK_DRAINS);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, true), PCL_LINK_NOTHING);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, false), PCL_LINK_CAME_UP);
}

static void test_a_bye_holds_until_the_next_boot(void **state)
{
    (void)state;
    pcl_liveness self = s_up(1);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BYE, 7, false), PCL_LINK_DRAINS);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, false), PCL_LINK_NOTHING);
    assert_int_equal(self.state, PCL_LINK_DRAINING);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 8, false), PCL_LINK_REPLACED);
    assert_int_equal(self.state, PCL_LINK_UP);
}

/* Stopped for a minute: that we did not listen says nothing about the peer. */
static void test_our_own_absence_is_not_the_peers(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    pcl_liveness self = s_up(now_us);
    now_us += 60000000;
    assert_int_equal(pcl_liveness_look(&self, now_us), PCL_LINK_NOTHING);
    assert_int_equal(s_look_for(&self, &now_us, GONE_US), PCL_LINK_LOST);
}

/* The peer may have died or only the connection: its next beat tells, and only that. */
static void test_the_end_of_the_connection_is_a_loss(void **state)
{
    (void)state;
    static const struct {
        pcl_link_state before;
        pcl_link_event event;
    } CASES[] = {
        {PCL_LINK_DOWN, PCL_LINK_NOTHING},
        {PCL_LINK_UP, PCL_LINK_LOST},
        {PCL_LINK_DRAINING, PCL_LINK_LOST},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        for (uint64_t boot_id = 7; boot_id <= 8; boot_id++) {
            pcl_liveness self = {.state = CASES[index].before, .boot_id = 7};
            assert_int_equal(pcl_liveness_cut(&self), CASES[index].event);
            assert_int_equal(self.state, PCL_LINK_DOWN);
            assert_int_equal(pcl_liveness_cut(&self), PCL_LINK_NOTHING);
            assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_ANY, 0, false), PCL_LINK_NOTHING);
            assert_int_equal(self.state, PCL_LINK_DOWN);
            assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, boot_id, false),
                             PCL_LINK_CAME_UP);
        }
    }
}

/* A peer that said goodbye does not come back by connecting again. */
static void test_a_bye_outlives_the_connection(void **state)
{
    (void)state;
    pcl_liveness self = s_up(1);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BYE, 7, false), PCL_LINK_DRAINS);
    assert_int_equal(pcl_liveness_cut(&self), PCL_LINK_LOST);
    assert_int_equal(pcl_liveness_heard(&self, PCL_WORD_BEAT, 7, false), PCL_LINK_DRAINS);
    assert_int_equal(self.state, PCL_LINK_DRAINING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_of_five_intervals_is_a_loss),
        cmocka_unit_test(test_who_is_patient_waits_for_longer),
        cmocka_unit_test(test_any_message_ends_the_silence),
        cmocka_unit_test(test_only_a_beat_brings_a_link_up),
        cmocka_unit_test(test_another_boot_replaces_the_peer),
        cmocka_unit_test(test_another_boot_after_a_loss_just_comes_up),
        cmocka_unit_test(test_draining_by_flag_can_be_taken_back),
        cmocka_unit_test(test_a_bye_holds_until_the_next_boot),
        cmocka_unit_test(test_our_own_absence_is_not_the_peers),
        cmocka_unit_test(test_the_end_of_the_connection_is_a_loss),
        cmocka_unit_test(test_a_bye_outlives_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
