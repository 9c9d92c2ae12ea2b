/* One node's record of failures, rule by rule; then random attempts, against what must always hold.
 */
#include "proxy/health.h"

#include "common/clock.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const pcl_health_rules RULES = {
    .failures_max = 3,
    .base_us = PCL_US_PER_S,
    .max_us = 30 * PCL_US_PER_S,
    .latency_factor = 5,
};
static const uint64_t START_US = 1000 * PCL_US_PER_S;

/* A node, its clock and its chance. */
typedef struct bed {
    pcl_health health;
    pcl_rng rng;
    uint64_t now_us;
} bed;

static bed s_bed(void)
{
    return (bed){.rng = pcl_rng_from_seed(7), .now_us = START_US};
}

/* An attempt that is sent and ends a millisecond later; true: the node came back. */
static bool s_attempt(bed *self, pcl_health_verdict verdict)
{
    uint64_t sent_us = self->now_us;
    self->now_us += PCL_US_PER_MS;
    return pcl_health_ended(&self->health, &RULES, verdict, sent_us, &self->rng, self->now_us);
}

static pcl_health_cause s_wants_out(const bed *self)
{
    return pcl_health_wants_out(&self->health, &RULES, self->now_us);
}

static void s_eject(bed *self)
{
    for (uint32_t count = 0; count < RULES.failures_max; count++) {
        (void)s_attempt(self, PCL_HEALTH_FAILED);
    }
    pcl_health_eject(&self->health, &RULES, s_wants_out(self), &self->rng, self->now_us);
}

/* How long it is out, in base_us, to the next whole one. */
static uint64_t s_bases_out(const bed *self)
{
    uint64_t out_us = self->health.until_us - self->now_us;
    return (out_us + RULES.base_us / 2) / RULES.base_us;
}

static void s_wait_for_trial(bed *self)
{
    assert_false(pcl_health_is_due(&self->health, self->health.until_us - 1));
    self->now_us = self->health.until_us;
    assert_true(pcl_health_is_due(&self->health, self->now_us));
    pcl_health_try(&self->health, self->now_us);
    assert_false(pcl_health_is_due(&self->health, self->now_us + 3600 * PCL_US_PER_S));
}

/* F failed, A answered, S said nothing. */
static bed s_bed_after(const char *attempts)
{
    bed self = s_bed();
    for (const char *one = attempts; *one != '\0'; one++) {
        pcl_health_verdict spoke = *one == 'F' ? PCL_HEALTH_FAILED : PCL_HEALTH_ANSWERED;
        (void)s_attempt(&self, *one == 'S' ? PCL_HEALTH_SILENT : spoke);
    }
    return self;
}

static void test_failures_in_a_row_want_it_out(void **state)
{
    (void)state;
    bed self = s_bed();
    static const char *const ROWS[] = {"FF", "FAFF", "FFAFFA", "FSF", "SSSSSS", "AAAAA", ""};
    static const char *const OUT[] = {"FFF", "FSFSF", "AAFFF", "FFAFFF"};
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        self = s_bed_after(ROWS[row]);
        assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
    }
    for (size_t row = 0; row < sizeof OUT / sizeof OUT[0]; row++) {
        self = s_bed_after(OUT[row]);
        assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_FAILURES);
    }
    pcl_health_rules never = RULES;
    never.failures_max = 0;
    assert_int_equal(pcl_health_wants_out(&self.health, &never, self.now_us),
                     PCL_HEALTH_CAUSE_NONE);
}

static void test_too_many_failures_among_answers_want_it_out(void **state)
{
    (void)state;
    bed self = s_bed();
    for (int round = 0; round < 200; round++) { /* a sixth fails: borne */
        for (int one = 0; one < 5; one++) {
            (void)s_attempt(&self, PCL_HEALTH_ANSWERED);
        }
        (void)s_attempt(&self, PCL_HEALTH_FAILED);
        assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
    }
    self = s_bed();
    bool out = false;
    for (int round = 0; round < 20 && !out; round++) { /* a third does: not */
        (void)s_attempt(&self, PCL_HEALTH_ANSWERED);
        (void)s_attempt(&self, PCL_HEALTH_ANSWERED);
        (void)s_attempt(&self, PCL_HEALTH_FAILED);
        out = s_wants_out(&self) == PCL_HEALTH_CAUSE_RATE;
        assert_int_equal(out, (round + 1) * 3 >= 20);
    }
    assert_true(out);
    /* What is long ago counts no more. */
    self.now_us += 60 * PCL_US_PER_S;
    (void)s_attempt(&self, PCL_HEALTH_FAILED);
    assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
}

static void test_the_time_out_doubles_up_to_a_bound_and_is_forgotten(void **state)
{
    (void)state;
    static const uint64_t BASES[] = {1, 2, 4, 8, 16, 30, 30};
    bed self = s_bed();
    s_eject(&self);
    for (size_t index = 0; index < sizeof BASES / sizeof BASES[0]; index++) {
        uint64_t out = s_bases_out(&self);
        assert_in_range(out, BASES[index] * 9 / 10, BASES[index] * 11 / 10);
        s_wait_for_trial(&self);
        assert_false(s_attempt(&self, PCL_HEALTH_FAILED));
    }
    s_wait_for_trial(&self);
    assert_true(s_attempt(&self, PCL_HEALTH_ANSWERED));
    bed soon = self;
    soon.now_us += 5 * PCL_US_PER_S;
    s_eject(&soon);
    assert_in_range(s_bases_out(&soon), 27, 33);
    self.now_us += 11 * PCL_US_PER_S;
    s_eject(&self);
    assert_int_equal(s_bases_out(&self), 1);
}

static void test_one_attempt_is_the_trial(void **state)
{
    (void)state;
    bed self = s_bed();
    s_eject(&self);
    assert_int_equal(self.health.cause, PCL_HEALTH_CAUSE_FAILURES);
    assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE); /* it is out */
    uint64_t until_us = self.health.until_us;
    /* What was sent before, or in panic, neither brings it back nor keeps it out. */
    assert_false(s_attempt(&self, PCL_HEALTH_ANSWERED));
    assert_false(s_attempt(&self, PCL_HEALTH_FAILED));
    assert_int_equal(self.health.state, PCL_HEALTH_EJECTED);
    assert_int_equal(self.health.until_us, until_us);
    uint64_t before_us = self.now_us;
    s_wait_for_trial(&self);
    assert_false(pcl_health_ended(&self.health, &RULES, PCL_HEALTH_ANSWERED, before_us, &self.rng,
                                  self.now_us));
    assert_false(pcl_health_ended(&self.health, &RULES, PCL_HEALTH_FAILED, before_us, &self.rng,
                                  self.now_us));
    assert_int_equal(self.health.state, PCL_HEALTH_TRIAL);
    /* A trial that says nothing is made again. */
    assert_false(s_attempt(&self, PCL_HEALTH_SILENT));
    assert_true(pcl_health_is_due(&self.health, self.now_us));
    pcl_health_try(&self.health, self.now_us);
    assert_true(s_attempt(&self, PCL_HEALTH_ANSWERED));
    assert_int_equal(self.health.state, PCL_HEALTH_SOUND);
    assert_int_equal(self.health.cause, PCL_HEALTH_CAUSE_NONE);
    assert_int_equal(self.health.ejections, 1);
    /* Failures of before its return are none of its new life. */
    for (uint32_t count = 0; count < RULES.failures_max; count++) {
        assert_false(pcl_health_ended(&self.health, &RULES, PCL_HEALTH_FAILED, before_us, &self.rng,
                                      self.now_us));
    }
    assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
}

static void test_only_lasting_slowness_wants_it_out(void **state)
{
    (void)state;
    bed self = s_bed();
    pcl_health_rules never = RULES;
    never.latency_factor = 0;
    for (int second = 0; second < 20; second++) { /* on and off */
        pcl_health_compare(&self.health, second % 3 != 0, self.now_us);
        assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
        self.now_us += PCL_US_PER_S;
    }
    pcl_health_compare(&self.health, false, self.now_us);
    for (int second = 0; second < 3; second++) {
        pcl_health_compare(&self.health, true, self.now_us);
        assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
        self.now_us += PCL_US_PER_S;
    }
    assert_int_equal(pcl_health_wants_out(&self.health, &never, self.now_us),
                     PCL_HEALTH_CAUSE_NONE);
    assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_LATENCY);
    pcl_health_eject(&self.health, &RULES, PCL_HEALTH_CAUSE_LATENCY, &self.rng, self.now_us);
    pcl_health_compare(&self.health, true, self.now_us); /* its old times */
    s_wait_for_trial(&self);
    assert_true(s_attempt(&self, PCL_HEALTH_ANSWERED));
    assert_int_equal(s_wants_out(&self), PCL_HEALTH_CAUSE_NONE);
}

/* Slowness leaves no failure behind: what doubles its time out is how soon it shows again. */
static void test_slowness_that_comes_back_soon_is_out_for_longer(void **state)
{
    (void)state;
    bed self = s_bed();
    for (uint64_t round = 0; round < 3; round++) {
        pcl_health_eject(&self.health, &RULES, PCL_HEALTH_CAUSE_LATENCY, &self.rng, self.now_us);
        assert_int_equal(s_bases_out(&self), UINT64_C(1) << round);
        s_wait_for_trial(&self);
        assert_true(s_attempt(&self, PCL_HEALTH_ANSWERED));
        self.now_us += 20 * PCL_US_PER_S;
    }
    self.now_us += 60 * PCL_US_PER_S;
    pcl_health_eject(&self.health, &RULES, PCL_HEALTH_CAUSE_LATENCY, &self.rng, self.now_us);
    assert_int_equal(s_bases_out(&self), 1);
}

/* Any attempts in any order: the state only changes as the header's table says, no time out
 * exceeds its bound, and a node that answers everything is never wanted out. */
static void test_random_attempts_keep_the_rules(void **state)
{
    (void)state;
    pcl_rng chance = pcl_test_rng("health");
    for (int run = 0; run < 200; run++) {
        bed self = s_bed();
        self.rng = pcl_rng_from_seed(pcl_rng_next(&chance));
        uint32_t failing = pcl_rng_below(&chance, 101);
        for (int step = 0; step < 500; step++) {
            pcl_health was = self.health;
            self.now_us += pcl_rng_below(&chance, 200000);
            pcl_health_verdict verdict = pcl_rng_below(&chance, 100) < failing
                                             ? PCL_HEALTH_FAILED
                                             : PCL_HEALTH_ANSWERED;
            bool back = s_attempt(&self, verdict);
            assert_int_equal(back, was.state == PCL_HEALTH_TRIAL &&
                                       self.health.state == PCL_HEALTH_SOUND);
            assert_false(was.state == PCL_HEALTH_EJECTED &&
                         self.health.state != PCL_HEALTH_EJECTED);
            pcl_health_cause cause = s_wants_out(&self);
            assert_true(cause == PCL_HEALTH_CAUSE_NONE || failing > 0);
            if (cause != PCL_HEALTH_CAUSE_NONE) {
                pcl_health_eject(&self.health, &RULES, cause, &self.rng, self.now_us);
            }
            if (self.health.state == PCL_HEALTH_EJECTED) {
                assert_true(self.health.until_us <= self.now_us + RULES.max_us * 11 / 10);
            }
            if (pcl_health_is_due(&self.health, self.now_us)) {
                pcl_health_try(&self.health, self.now_us);
            }
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    for (int one = 0; one < PCL_HEALTH_STATE_COUNT; one++) {
        assert_true(strlen(pcl_health_state_text((pcl_health_state)one)) > 0);
    }
    for (int one = PCL_HEALTH_CAUSE_NONE + 1; one < PCL_HEALTH_CAUSE_COUNT; one++) {
        assert_true(strlen(pcl_health_cause_text((pcl_health_cause)one)) > 0);
    }
    assert_string_equal(pcl_health_cause_text(PCL_HEALTH_CAUSE_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_in_a_row_want_it_out),
        cmocka_unit_test(test_too_many_failures_among_answers_want_it_out),
        cmocka_unit_test(test_the_time_out_doubles_up_to_a_bound_and_is_forgotten),
        cmocka_unit_test(test_one_attempt_is_the_trial),
        cmocka_unit_test(test_only_lasting_slowness_wants_it_out),
        cmocka_unit_test(test_slowness_that_comes_back_soon_is_out_for_longer),
        cmocka_unit_test(test_random_attempts_keep_the_rules),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
