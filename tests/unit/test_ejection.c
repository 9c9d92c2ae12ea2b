/* The fleet's rules of ejection: what an attempt says, who is spared, who is too slow; then a
 * random fleet, in which never more than half may be out. */
#include "proxy/ejection.h"

#include "common/clock.h"
#include "proxy/candidates.h"
#include "tests/lib/fleet.h"
#include "tests/lib/seed.h"

static const pcl_health_rules RULES = {
    .failures_max = 3, .base_us = PCL_US_PER_S, .max_us = 30 * PCL_US_PER_S, .latency_factor = 5};
static const uint64_t NOW_US = 1000 * PCL_US_PER_S;
static const uint64_t LONG_US = PCL_US_PER_S;
static const uint64_t SHORT_US = PCL_US_PER_MS;

static void test_what_an_answer_says_of_its_node(void **state)
{
    (void)state;
    static const pcl_err SPOKE[] = {PCL_ERR_OK,      PCL_ERR_SQL,       PCL_ERR_EXPECT,
                                    PCL_ERR_ABORTED, PCL_ERR_TOO_LARGE, PCL_ERR_BEHIND};
    uint32_t works = 0;
    for (int code = 0; code < PCL_ERR_COUNT; code++) {
        pcl_health_verdict verdict = pcl_ejection_of_reply((pcl_err)code, false, LONG_US);
        assert_true(verdict == PCL_HEALTH_ANSWERED || verdict == PCL_HEALTH_SILENT);
        works += verdict == PCL_HEALTH_ANSWERED ? 1 : 0;
        assert_int_equal(pcl_ejection_of_reply((pcl_err)code, true, LONG_US), PCL_HEALTH_FAILED);
        /* A client that waits for a moment only cannot tell a node from a slow statement. */
        assert_int_equal(pcl_ejection_of_reply((pcl_err)code, true, SHORT_US),
                         code == PCL_ERR_DEADLINE ? PCL_HEALTH_SILENT : PCL_HEALTH_FAILED);
    }
    for (size_t index = 0; index < sizeof SPOKE / sizeof SPOKE[0]; index++) {
        assert_int_equal(pcl_ejection_of_reply(SPOKE[index], false, SHORT_US), PCL_HEALTH_ANSWERED);
    }
    assert_int_equal(works, sizeof SPOKE / sizeof SPOKE[0]);
}

static void test_what_an_end_without_an_answer_says(void **state)
{
    (void)state;
    static const struct {
        pcl_attempt_end end;
        bool read;
        uint64_t waited_us;
        pcl_health_verdict verdict;
    } ROWS[] = {
        {PCL_ATTEMPT_LOST, true, 0, PCL_HEALTH_FAILED},
        {PCL_ATTEMPT_LOST, false, 0, PCL_HEALTH_FAILED},
        {PCL_ATTEMPT_EXPIRED, true, 600 * PCL_US_PER_MS, PCL_HEALTH_FAILED},
        {PCL_ATTEMPT_EXPIRED, true, 400 * PCL_US_PER_MS, PCL_HEALTH_SILENT},
        {PCL_ATTEMPT_EXPIRED, false, 600 * PCL_US_PER_MS, PCL_HEALTH_SILENT},
        {PCL_ATTEMPT_DOUBTED, true, 600 * PCL_US_PER_MS, PCL_HEALTH_SILENT},
        {PCL_ATTEMPT_REFUSED, true, 600 * PCL_US_PER_MS, PCL_HEALTH_SILENT},
    };
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        assert_int_equal(pcl_ejection_of_end(ROWS[row].end, ROWS[row].read, ROWS[row].waited_us),
                         ROWS[row].verdict);
    }
}

/* Fails until it is ejected; false: it was spared. */
static bool s_fail(pcl_membership *members, uint32_t index, bool reads_on_source, pcl_rng *rng)
{
    for (uint32_t count = 0; count < RULES.failures_max; count++) {
        assert_false(
            pcl_ejection_ended(members, index, &RULES, PCL_HEALTH_FAILED, NOW_US, rng, NOW_US));
    }
    return pcl_ejection_judge(members, index, &RULES, reads_on_source, rng, NOW_US) ==
           PCL_HEALTH_CAUSE_FAILURES;
}

static void test_at_most_half_of_the_replicas_are_out(void **state)
{
    (void)state;
    static const uint32_t OUT_MAX[] = {0, 1, 1, 1, 2, 2, 3, 3, 4}; /* by number of replicas */
    pcl_rng rng = pcl_rng_from_seed(1);
    for (uint32_t replicas = 1; replicas < sizeof OUT_MAX / sizeof OUT_MAX[0]; replicas++) {
        pcl_membership *members = pcl_test_fleet(replicas + 1, NOW_US);
        uint32_t out = 0;
        assert_false(s_fail(members, 0, true, &rng)); /* the source */
        for (uint32_t index = 1; index <= replicas; index++) {
            out += s_fail(members, index, true, &rng) ? 1 : 0;
        }
        assert_int_equal(out, OUT_MAX[replicas]);
        pcl_membership_destroy(&members);
    }
    /* The only one stays where nobody could do its work. */
    pcl_membership *members = pcl_test_fleet(2, NOW_US);
    assert_false(s_fail(members, 1, false, &rng));
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(pcl_ejection_judge(members, 1, &RULES, true, &rng, NOW_US),
                     PCL_HEALTH_CAUSE_NONE);
    pcl_membership_destroy(&members);
}

static void test_one_that_was_spared_is_out_when_another_returns(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(1);
    pcl_membership *members = pcl_test_fleet(4, NOW_US);
    assert_true(s_fail(members, 1, true, &rng));
    assert_false(s_fail(members, 2, true, &rng));
    pcl_health *first = &pcl_membership_at(members, 1)->health;
    uint64_t then_us = first->until_us;
    pcl_health_try(first, then_us);
    assert_int_equal(pcl_ejection_judge(members, 2, &RULES, true, &rng, then_us),
                     PCL_HEALTH_CAUSE_NONE);
    assert_true(
        pcl_ejection_ended(members, 1, &RULES, PCL_HEALTH_ANSWERED, then_us, &rng, then_us));
    assert_int_equal(pcl_ejection_judge(members, 2, &RULES, true, &rng, then_us),
                     PCL_HEALTH_CAUSE_FAILURES);
    pcl_membership_destroy(&members);
}

static void test_who_was_away_for_long_starts_slowly(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(1);
    pcl_membership *members = pcl_test_fleet(3, NOW_US);
    pcl_member *member = pcl_membership_at(members, 1);
    assert_true(s_fail(members, 1, true, &rng));
    uint64_t now_us = member->health.until_us;
    pcl_health_try(&member->health, now_us);
    assert_true(pcl_ejection_ended(members, 1, &RULES, PCL_HEALTH_ANSWERED, now_us, &rng, now_us));
    assert_int_equal(member->candidate.slow_since_us, 0);
    pcl_health_eject(&member->health, &RULES, PCL_HEALTH_CAUSE_FAILURES, &rng, now_us);
    for (int failure = 0; failure < 4; failure++) { /* 2 + 4 + 8 + 16 s */
        now_us = member->health.until_us;
        pcl_health_try(&member->health, now_us);
        bool back = pcl_ejection_ended(members, 1, &RULES,
                                       failure < 3 ? PCL_HEALTH_FAILED : PCL_HEALTH_ANSWERED,
                                       now_us, &rng, now_us);
        assert_int_equal(back, failure == 3);
    }
    assert_int_equal(member->candidate.slow_since_us, now_us);
    pcl_membership_destroy(&members);
}

static void test_a_trial_that_was_taken_away_is_due_again(void **state)
{
    (void)state;
    pcl_rng rng = pcl_rng_from_seed(1);
    pcl_membership *members = pcl_test_fleet(3, NOW_US);
    pcl_member *member = pcl_membership_at(members, 1);
    assert_true(s_fail(members, 1, true, &rng));
    uint64_t now_us = member->health.until_us;
    pcl_ejection_check_trial(members, 1, &RULES, &rng, now_us); /* no trial yet */
    assert_true(pcl_health_is_due(&member->health, now_us));
    pcl_health_try(&member->health, now_us);
    pcl_candidate_sent(&member->candidate, now_us);
    pcl_ejection_check_trial(members, 1, &RULES, &rng, now_us + LONG_US);
    assert_int_equal(member->health.state, PCL_HEALTH_TRIAL);
    pcl_candidate_done(&member->candidate, now_us);
    pcl_ejection_check_trial(members, 1, &RULES, &rng, now_us + LONG_US);
    assert_true(pcl_health_is_due(&member->health, now_us + LONG_US));
    pcl_membership_destroy(&members);
}

/* --- Slow nodes ------------------------------------------------------------------ */

typedef struct speed {
    float service_us;
    float rtt_us;
    float count;
    uint64_t age_us;
} speed;

/* As one figure a replica, compared for four seconds; the set of those that want out. */
static uint32_t s_slow(const speed *speeds, uint32_t count, const pcl_health_rules *rules)
{
    pcl_membership *members = pcl_test_fleet(count + 1, NOW_US);
    uint32_t slow = 0;
    for (uint64_t now_us = NOW_US; now_us <= NOW_US + 4 * PCL_US_PER_S; now_us += PCL_US_PER_S) {
        for (uint32_t index = 1; index <= count; index++) {
            pcl_candidate *candidate = &pcl_membership_at(members, index)->candidate;
            candidate->service_mean_us = speeds[index - 1].service_us;
            candidate->rtt_us = speeds[index - 1].rtt_us;
            candidate->service_count = speeds[index - 1].count;
            candidate->sampled_us = now_us - speeds[index - 1].age_us;
        }
        pcl_ejection_compare(members, rules, now_us);
    }
    for (uint32_t index = 0; index <= count; index++) {
        const pcl_health *health = &pcl_membership_at(members, index)->health;
        bool out = pcl_health_wants_out(health, rules, NOW_US + 4 * PCL_US_PER_S) ==
                   PCL_HEALTH_CAUSE_LATENCY;
        slow |= out ? 1u << index : 0;
    }
    pcl_membership_destroy(&members);
    return slow;
}

static void test_who_is_far_slower_than_the_others(void **state)
{
    (void)state;
    static const struct {
        speed speeds[4];
        uint32_t count;
        uint32_t slow; /* bits; n0 is the source */
    } ROWS[] = {
        {{{5000, 300, 100, 0}, {5000, 300, 100, 0}, {50000, 300, 100, 0}}, 3, 8},
        {{{5000, 300, 100, 0}, {5000, 300, 100, 0}, {5000, 50000, 100, 0}}, 3, 8}, /* the way */
        {{{5000, 300, 100, 0}, {5000, 300, 100, 0}, {15000, 300, 100, 0}}, 3, 0},
        {{{5000, 300, 100, 0}, {50000, 300, 100, 0}}, 2, 4},
        {{{5000, 300, 100, 0}, {50000, 300, 100, 0}, {50000, 300, 100, 0}}, 3, 0}, /* most are */
        {{{50000, 300, 100, 0}}, 1, 0},
        {{{50, 100, 100, 0}, {50, 100, 100, 0}, {1500, 100, 100, 0}}, 3, 0},     /* a trifle */
        {{{5000, 300, 100, 0}, {5000, 300, 100, 0}, {50000, 300, 10, 0}}, 3, 0}, /* few seen */
        {{{5000, 300, 100, 0}, {5000, 300, 10, 0}, {50000, 300, 100, 0}}, 3, 8},
        {{{5000, 300, 10, 0}, {5000, 300, 10, 0}, {50000, 300, 100, 0}}, 3, 0}, /* no others */
        {{{5000, 300, 100, 0}, {5000, 300, 100, 0}, {50000, 300, 100, 3000000}}, 3, 0}, /* old */
    };
    pcl_health_rules never = RULES;
    never.latency_factor = 0;
    for (size_t row = 0; row < sizeof ROWS / sizeof ROWS[0]; row++) {
        uint32_t slow = s_slow(ROWS[row].speeds, ROWS[row].count, &RULES);
        if (slow != ROWS[row].slow) {
            fail_msg("row %zu: %x", row, slow);
        }
        assert_int_equal(s_slow(ROWS[row].speeds, ROWS[row].count, &never), 0);
    }
}

/* --- All of it ------------------------------------------------------------------- */

typedef struct world {
    pcl_membership *members;
    pcl_rng rng;
    uint64_t now_us;
    uint32_t bad[16]; /* percent of attempts that fail there */
    uint32_t turn;
} world;

static uint32_t s_living(const world *self, uint32_t *out_ejected)
{
    uint32_t living = 0;
    *out_ejected = 0;
    for (uint32_t index = 1; index < pcl_membership_count(self->members); index++) {
        const pcl_member *member = pcl_membership_at(self->members, index);
        living += member->state == PCL_MEMBER_UP ? 1 : 0;
        *out_ejected += member->state == PCL_MEMBER_UP && member->health.state != PCL_HEALTH_SOUND
                            ? 1
                            : 0;
    }
    return living;
}

/* One read to a random one of those that fit; as the proxy does it. */
static void s_read(world *self)
{
    pcl_need need = {.read = true,
                     .reads_on_source = true,
                     .lag_ms_max = 10000,
                     .node_inflight_max = 100,
                     .may_try = true,
                     .turn = self->turn++,
                     .health = &RULES};
    pcl_candidates found;
    pcl_candidates_find(self->members, &need, self->now_us, &found);
    assert_true(found.count > 0); /* the source always fits at last */
    uint32_t index = found.fit[pcl_rng_below(&self->rng, found.count)]->index;
    pcl_member *member = pcl_membership_at(self->members, index);
    if (found.trial) {
        assert_true(member->health.state == PCL_HEALTH_EJECTED);
        pcl_health_try(&member->health, self->now_us);
    }
    bool fails = pcl_rng_below(&self->rng, 100) < self->bad[index];
    uint32_t before = 0;
    uint32_t after = 0;
    uint32_t living = s_living(self, &before);
    uint64_t sent_us = self->now_us;
    self->now_us += pcl_rng_below(&self->rng, 20000);
    (void)pcl_ejection_ended(self->members, index, &RULES,
                             fails ? PCL_HEALTH_FAILED : PCL_HEALTH_ANSWERED, sent_us, &self->rng,
                             self->now_us);
    (void)pcl_ejection_judge(self->members, index, &RULES, true, &self->rng, self->now_us);
    (void)s_living(self, &after);
    uint32_t out_max = living < 2 ? 1 : living / 2;
    assert_true(after <= before || after <= out_max);
}

/* Nodes get better and worse, come and go: no ejection takes more than half of those that live. */
static void test_a_random_fleet_keeps_half_of_its_replicas(void **state)
{
    (void)state;
    pcl_rng chance = pcl_test_rng("ejection");
    for (int run = 0; run < 50; run++) {
        uint32_t count = 2 + pcl_rng_below(&chance, 9);
        world self = {.members = pcl_test_fleet(count, NOW_US),
                      .rng = pcl_rng_from_seed(pcl_rng_next(&chance)),
                      .now_us = NOW_US};
        for (int step = 0; step < 2000; step++) {
            uint32_t index = 1 + pcl_rng_below(&self.rng, count - 1);
            if (pcl_rng_below(&self.rng, 50) == 0) {
                self.bad[index] = pcl_rng_below(&self.rng, 2) * 100;
            }
            if (pcl_rng_below(&self.rng, 200) == 0) {
                pcl_member *member = pcl_membership_at(self.members, index);
                member->state = member->state == PCL_MEMBER_UP ? PCL_MEMBER_GONE : PCL_MEMBER_UP;
            }
            s_read(&self);
        }
        pcl_membership_destroy(&self.members);
    }
}

/* Two of three answer at once with errors: the third serves two thirds of the reads and more. */
static void test_nodes_that_fail_fast_draw_no_traffic(void **state)
{
    (void)state;
    world self = {.members = pcl_test_fleet(4, NOW_US),
                  .rng = pcl_test_rng("sinkhole"),
                  .now_us = NOW_US,
                  .bad = {0, 100, 100, 0}};
    uint32_t errors = 0;
    for (int step = 0; step < 10000; step++) {
        uint64_t before = pcl_membership_at(self.members, 1)->health.ejections +
                          pcl_membership_at(self.members, 1)->health.failures +
                          pcl_membership_at(self.members, 2)->health.ejections +
                          pcl_membership_at(self.members, 2)->health.failures;
        s_read(&self);
        uint64_t after = pcl_membership_at(self.members, 1)->health.ejections +
                         pcl_membership_at(self.members, 1)->health.failures +
                         pcl_membership_at(self.members, 2)->health.ejections +
                         pcl_membership_at(self.members, 2)->health.failures;
        errors += after != before ? 1 : 0;
    }
    assert_in_range(errors, 1, 10000 / 3);
    pcl_membership_destroy(&self.members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_answer_says_of_its_node),
        cmocka_unit_test(test_what_an_end_without_an_answer_says),
        cmocka_unit_test(test_at_most_half_of_the_replicas_are_out),
        cmocka_unit_test(test_one_that_was_spared_is_out_when_another_returns),
        cmocka_unit_test(test_who_was_away_for_long_starts_slowly),
        cmocka_unit_test(test_a_trial_that_was_taken_away_is_due_again),
        cmocka_unit_test(test_who_is_far_slower_than_the_others),
        cmocka_unit_test(test_a_random_fleet_keeps_half_of_its_replicas),
        cmocka_unit_test(test_nodes_that_fail_fast_draw_no_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
