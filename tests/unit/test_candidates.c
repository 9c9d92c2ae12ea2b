/* Candidate rules of proxy/README.md, one test a rule; then random fleets, of
 * which nothing that must not be chosen may come through. */
#include "proxy/candidates.h"

#include "common/clock.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const uint64_t NOW_US = 1000 * PCL_US_PER_S;

/* n0 the source, then replicas; all well. */
static pcl_membership *s_fleet(uint32_t count)
{
    pcl_membership *members = pcl_membership_new(PCL_NODES_MAX, NOW_US);
    for (uint32_t index = 0; index < count; index++) {
        char name[16];
        pcl_member_action action = PCL_MEMBER_NOTHING;
        (void)snprintf(name, sizeof name, "n%u", index);
        assert_int_equal(pcl_membership_add(members, pcl_bytes_text(name)), index);
        assert_true(pcl_membership_heard(members, index, 100 + index, NOW_US, &action));
        pcl_report report = {.boot_id = 100 + index,
                             .seq = 1,
                             .role = index == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                             .state = PCL_NODE_UP,
                             .replicating = true,
                             .read_only = index != 0,
                             .workers = 8};
        assert_true(pcl_membership_report(members, index, &report, NOW_US));
    }
    return members;
}

static pcl_need s_read(void)
{
    return (pcl_need){
        .read = true, .reads_on_source = true, .lag_ms_max = 10000, .node_inflight_max = 10};
}

static void s_report_gtid(pcl_membership *members, uint32_t index, const char *gtid)
{
    pcl_membership_at(members, index)->report.gtid = pcl_bytes_text(gtid);
}

/* The indices that fit, as a set of bits. */
static uint32_t s_fit(const pcl_membership *members, const pcl_need *need, pcl_candidates *out)
{
    uint32_t bits = 0;
    pcl_candidates_find(members, need, NOW_US, out);
    for (uint32_t position = 0; position < out->count; position++) {
        bits |= 1u << out->fit[position]->index;
        assert_int_equal(out->why[out->fit[position]->index], PCL_LEFT_OUT_NOT);
    }
    return bits;
}

static void test_reads_go_to_replicas_writes_to_the_source(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    assert_int_equal(s_fit(members, &need, &found), 6);
    assert_int_equal(found.why[0], PCL_LEFT_OUT_REPLICAS_FIRST);
    need.source_only = true;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.source_only = false;
    need.read = false;
    assert_int_equal(s_fit(members, &need, &found), 1);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_NOT_SOURCE);
    pcl_membership_at(members, 0)->report.read_only = true;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_int_equal(found.why[0], PCL_LEFT_OUT_READ_ONLY);
    need.read = true;
    need.source_only = true; /* a read asks not whether it could write */
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_a_replica_that_is_far_behind_is_not_waited_for(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    need.after = pcl_bytes_text("0-1-42");
    pcl_membership_at(members, 1)->report.lag_ms = 900;
    assert_int_equal(s_fit(members, &need, &found), 4);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_BEHIND);
    pcl_membership_at(members, 2)->report.lag_ms = 900;
    assert_int_equal(s_fit(members, &need, &found), 1); /* the source at once */
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 6);
    pcl_membership_destroy(&members);
}

/* Rule 15. */
static void test_who_has_what_a_read_must_see_comes_first(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    need.after = pcl_bytes_text("0-1-42");
    s_report_gtid(members, 0, "0-1-50");
    s_report_gtid(members, 1, "0-1-41");
    s_report_gtid(members, 2, "0-1-42");
    s_report_gtid(members, 3, "");
    assert_int_equal(s_fit(members, &need, &found), 1u << 2);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_BEHIND);
    assert_int_equal(found.why[3], PCL_LEFT_OUT_BEHIND);
    assert_int_equal(found.why[0], PCL_LEFT_OUT_REPLICAS_FIRST);
    assert_false(found.waits || found.last);
    pcl_node_set_add(&need.tried, 2); /* it said that, and had it not */
    need.behind = true;
    assert_int_equal(s_fit(members, &need, &found), 1); /* the source */
    assert_true(found.last);
    pcl_membership_destroy(&members);
}

static void test_a_read_waits_at_one_replica_and_then_goes_to_the_source(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    need.after = pcl_bytes_text("0-1-42");
    s_report_gtid(members, 1, "0-1-41");
    s_report_gtid(members, 2, "0-1-40");
    assert_int_equal(s_fit(members, &need, &found), 6);
    assert_true(found.waits && !found.last);
    pcl_node_set_add(&need.tried, 1);
    need.behind = true;
    assert_int_equal(s_fit(members, &need, &found), 1);
    assert_int_equal(found.why[2], PCL_LEFT_OUT_BEHIND);
    assert_true(found.last);
    s_report_gtid(members, 2, "0-1-43"); /* it has arrived meanwhile */
    assert_int_equal(s_fit(members, &need, &found), 4);
    assert_false(found.last);
    pcl_membership_destroy(&members);
}

static void test_without_a_source_replicas_are_waited_for_one_after_the_other(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    need.after = pcl_bytes_text("0-1-42");
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 6);
    assert_true(found.waits && found.last);
    pcl_node_set_add(&need.tried, 1);
    need.behind = true;
    assert_int_equal(s_fit(members, &need, &found), 4);
    assert_true(found.last);
    pcl_node_set_add(&need.tried, 2);
    assert_int_equal(s_fit(members, &need, &found), 0);
    pcl_membership_at(members, 0)->state = PCL_MEMBER_UP;
    need.reads_on_source = false;
    need.tried = (pcl_node_set){.bits = {2}};
    assert_int_equal(s_fit(members, &need, &found), 4); /* the same where it serves no reads */
    pcl_membership_destroy(&members);
}

static void test_what_the_source_alone_may_answer_asks_no_replica(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    need.after = pcl_bytes_text("0-1-42");
    s_report_gtid(members, 1, "0-1-42");
    need.source_only = true;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.read = false;
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_why_a_node_is_left_out(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(9);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_membership_at(members, 1)->state = PCL_MEMBER_GONE;
    pcl_membership_at(members, 2)->state = PCL_MEMBER_LEAVING;
    pcl_membership_at(members, 3)->state = PCL_MEMBER_SUSPECT;
    pcl_membership_at(members, 4)->report.state = PCL_NODE_NOT_READY;
    pcl_membership_at(members, 5)->report.state = PCL_NODE_DRAIN;
    pcl_membership_at(members, 6)->drained = true;
    pcl_membership_at(members, 7)->report.role = PCL_NODE_UNKNOWN;
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("never")), 9);
    assert_int_equal(s_fit(members, &need, &found), 1u << 8);
    static const pcl_left_out WHY[] = {
        PCL_LEFT_OUT_REPLICAS_FIRST, PCL_LEFT_OUT_GONE,        PCL_LEFT_OUT_LEAVING,
        PCL_LEFT_OUT_SUSPECT,        PCL_LEFT_OUT_NOT_READY,   PCL_LEFT_OUT_AGENT_DRAINS,
        PCL_LEFT_OUT_DRAINED,        PCL_LEFT_OUT_NOT_REPLICA, PCL_LEFT_OUT_NOT,
        PCL_LEFT_OUT_NEVER_HEARD};
    for (uint32_t index = 0; index < 10; index++) {
        assert_int_equal(found.why[index], WHY[index]);
    }
    pcl_node_set_add(&need.tried, 8);
    assert_int_equal(s_fit(members, &need, &found), 1); /* the source, rule 5 */
    assert_int_equal(found.why[8], PCL_LEFT_OUT_TRIED);
    for (int why = PCL_LEFT_OUT_NOT + 1; why < PCL_LEFT_OUT_COUNT; why++) {
        assert_true(strlen(pcl_left_out_text((pcl_left_out)why)) > 0);
    }
    pcl_membership_destroy(&members);
}

static void test_lag_is_bounded_and_unknown_lag_does_not_fit(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_membership_at(members, 1)->report.lag_ms = -1;
    pcl_membership_at(members, 2)->report.lag_ms = 400;
    need.lag_ms_max = 500;
    assert_int_equal(s_fit(members, &need, &found), 12);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_LAG_UNKNOWN);
    /* A lag of the past has grown since. */
    pcl_membership_at(members, 2)->candidate.reported_us = NOW_US - 200 * PCL_US_PER_MS;
    assert_int_equal(pcl_lag_bound_ms(pcl_membership_at(members, 2), NOW_US), 600);
    assert_int_equal(s_fit(members, &need, &found), 8);
    assert_int_equal(found.why[2], PCL_LEFT_OUT_LAG);
    /* One that was level and replicates stays level; one that stopped does not. */
    pcl_membership_at(members, 3)->candidate.reported_us = NOW_US - 900 * PCL_US_PER_MS;
    assert_int_equal(s_fit(members, &need, &found), 8);
    pcl_membership_at(members, 3)->report.replicating = false;
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_the_source_serves_reads_only_where_it_may(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_membership_at(members, 1)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.reads_on_source = false;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_int_equal(found.why[0], PCL_LEFT_OUT_NO_READS_ON_SOURCE);
    need.source_only = true; /* it was asked for */
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_suspect_nodes_are_the_last_resort(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_membership_at(members, 1)->state = PCL_MEMBER_SUSPECT;
    pcl_membership_at(members, 2)->state = PCL_MEMBER_SUSPECT;
    assert_int_equal(s_fit(members, &need, &found), 1);
    assert_false(found.suspect);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_SUSPECT);
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 6);
    assert_true(found.suspect);
    pcl_membership_destroy(&members);
}

/* With the source gone there is no heartbeat, and every replica falls behind. */
static void test_stale_replicas_serve_when_nobody_else_is_left(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    need.stale_reads = true;
    pcl_membership_at(members, 1)->report.lag_ms = 20000;
    pcl_membership_at(members, 2)->report.lag_ms = 20900;
    pcl_membership_at(members, 3)->report.lag_ms = 60000;
    assert_int_equal(s_fit(members, &need, &found), 1); /* the source is better */
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4);
    assert_int_equal(found.why[3], PCL_LEFT_OUT_LAG);
    pcl_membership_at(members, 1)->candidate.own = need.node_inflight_max;
    assert_int_equal(s_fit(members, &need, &found), 4);
    pcl_membership_at(members, 2)->report.lag_ms = -1; /* it never applied a heartbeat */
    assert_int_equal(s_fit(members, &need, &found), 8);
    need.stale_reads = false;
    assert_int_equal(s_fit(members, &need, &found), 0);
    need.stale_reads = true;
    need.source_only = true;
    assert_int_equal(s_fit(members, &need, &found), 0);
    need = s_read();
    need.stale_reads = true;
    need.read = false;
    assert_int_equal(s_fit(members, &need, &found), 0);
    pcl_membership_destroy(&members);
}

static void test_a_full_node_gets_no_more(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_membership_at(members, 1)->candidate.own = need.node_inflight_max;
    assert_int_equal(s_fit(members, &need, &found), 4);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_FULL);
    pcl_membership_at(members, 2)->candidate.own = need.node_inflight_max;
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_at(members, 0)->candidate.own = need.node_inflight_max;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_true(pcl_candidates_overloaded(&found, 3));
    need.read = false;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_true(pcl_candidates_overloaded(&found, 3));
    pcl_membership_at(members, 0)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_false(pcl_candidates_overloaded(&found, 3)); /* NO_NODE: waiting would not help */
    pcl_membership_destroy(&members);
}

/* Whatever the fleet is like: who fits is alive, ready, not drained, not full,
 * not tried, and for a write the source; and who does not has a reason. */
static void test_random_fleets(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("candidates");
    pcl_membership *members = s_fleet(12);
    for (int turn = 0; turn < 20000; turn++) {
        for (uint32_t index = 0; index < 12; index++) {
            pcl_member *member = pcl_membership_at(members, index);
            member->state = (pcl_member_state)pcl_rng_below(&rng, PCL_MEMBER_STATE_COUNT);
            member->drained = pcl_rng_below(&rng, 4) == 0;
            member->reported = pcl_rng_below(&rng, 8) != 0;
            member->report.state = (pcl_node_state)pcl_rng_below(&rng, PCL_NODE_STATE_COUNT);
            member->report.role = (pcl_node_role)pcl_rng_below(&rng, PCL_NODE_ROLE_COUNT);
            member->report.lag_ms = (int32_t)pcl_rng_below(&rng, 2000) - 1;
            member->report.read_only = pcl_rng_below(&rng, 2) == 0;
            member->candidate.own = pcl_rng_below(&rng, 14);
        }
        pcl_need need = s_read();
        need.read = pcl_rng_below(&rng, 2) == 0;
        need.source_only = pcl_rng_below(&rng, 3) == 0;
        need.reads_on_source = pcl_rng_below(&rng, 2) == 0;
        need.lag_ms_max = pcl_rng_below(&rng, 2000);
        pcl_node_set_add(&need.tried, pcl_rng_below(&rng, 12));
        pcl_candidates found;
        uint32_t fit = s_fit(members, &need, &found);
        for (uint32_t index = 0; index < 12; index++) {
            const pcl_member *member = pcl_membership_at(members, index);
            bool chosen = (fit >> index & 1) != 0;
            assert_int_equal(chosen, found.why[index] == PCL_LEFT_OUT_NOT);
            if (chosen) {
                assert_true(member->state == PCL_MEMBER_UP || member->state == PCL_MEMBER_SUSPECT);
                assert_int_equal(found.suspect, member->state == PCL_MEMBER_SUSPECT);
                assert_true(member->reported && member->report.state == PCL_NODE_UP);
                assert_false(member->drained || pcl_node_set_has(&need.tried, index));
                assert_true(member->candidate.own < need.node_inflight_max);
                bool source = member->report.role == PCL_NODE_SOURCE;
                assert_true(need.read || (source && !member->report.read_only));
                assert_true(!need.source_only || source);
                assert_true(source || (member->report.lag_ms >= 0 &&
                                       (uint32_t)member->report.lag_ms <= need.lag_ms_max));
            }
        }
    }
    pcl_membership_destroy(&members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_go_to_replicas_writes_to_the_source),
        cmocka_unit_test(test_a_replica_that_is_far_behind_is_not_waited_for),
        cmocka_unit_test(test_who_has_what_a_read_must_see_comes_first),
        cmocka_unit_test(test_a_read_waits_at_one_replica_and_then_goes_to_the_source),
        cmocka_unit_test(test_without_a_source_replicas_are_waited_for_one_after_the_other),
        cmocka_unit_test(test_what_the_source_alone_may_answer_asks_no_replica),
        cmocka_unit_test(test_why_a_node_is_left_out),
        cmocka_unit_test(test_lag_is_bounded_and_unknown_lag_does_not_fit),
        cmocka_unit_test(test_the_source_serves_reads_only_where_it_may),
        cmocka_unit_test(test_suspect_nodes_are_the_last_resort),
        cmocka_unit_test(test_stale_replicas_serve_when_nobody_else_is_left),
        cmocka_unit_test(test_a_full_node_gets_no_more),
        cmocka_unit_test(test_random_fleets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
