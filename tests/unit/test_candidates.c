/* Candidate rules of proxy/README.md, one test a rule; then random fleets, of
 * which nothing that must not be chosen may come through. */
#include "proxy/candidates.h"

#include "common/clock.h"
#include "tests/lib/fleet.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const uint64_t NOW_US = 1000 * PCL_US_PER_S;

static pcl_membership *s_fleet(uint32_t count)
{
    return pcl_test_fleet(count, NOW_US);
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

/* --- Nodes that failed ---------------------------------------------------------- */

static const pcl_health_rules RULES = {
    .failures_max = 3, .base_us = PCL_US_PER_S, .max_us = 30 * PCL_US_PER_S, .latency_factor = 5};

static void s_eject(pcl_membership *members, uint32_t index, uint64_t until_us)
{
    pcl_health *health = &pcl_membership_at(members, index)->health;
    *health = (pcl_health){.state = PCL_HEALTH_EJECTED,
                           .cause = PCL_HEALTH_CAUSE_FAILURES,
                           .ejected_us = NOW_US - PCL_US_PER_S,
                           .until_us = until_us};
}

static void test_an_ejected_replica_gets_no_reads(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    need.health = &RULES;
    s_eject(members, 1, NOW_US + 1);
    need.may_try = true; /* not yet due */
    assert_int_equal(s_fit(members, &need, &found), 4 | 8);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_EJECTED);
    assert_false(found.trial || found.panic);
    pcl_membership_at(members, 1)->health.state = PCL_HEALTH_TRIAL;
    assert_int_equal(s_fit(members, &need, &found), 4 | 8);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_TRIAL);
    /* A source is ejected from nothing. */
    s_eject(members, 0, NOW_US + PCL_US_PER_S);
    need.source_only = true;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.read = false;
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_one_read_tries_the_node_that_has_waited_longest(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(6);
    pcl_candidates found;
    pcl_need need = s_read();
    s_eject(members, 1, NOW_US - 1);
    s_eject(members, 2, NOW_US - 2);
    assert_int_equal(s_fit(members, &need, &found), 8 | 16 | 32); /* it may not: a retry, a copy */
    need.may_try = true;
    assert_int_equal(s_fit(members, &need, &found), 4);
    assert_true(found.trial);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_EJECTED);
    assert_int_equal(found.why[3], PCL_LEFT_OUT_OTHER_TRIED);
    pcl_membership_at(members, 2)->health.state = PCL_HEALTH_TRIAL;
    assert_int_equal(s_fit(members, &need, &found), 2);
    pcl_node_set_add(&need.tried, 1); /* it could not be reached */
    assert_int_equal(s_fit(members, &need, &found), 8 | 16 | 32);
    assert_false(found.trial);
    pcl_membership_destroy(&members);
}

static void test_an_operators_drain_is_lifted_by_nobody(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    need.may_try = true;
    need.stale_reads = true;
    need.health = &RULES;
    need.reads_on_source = false;
    /* Its trial is due, all others are out or gone: it is asked for nothing all the same. */
    s_eject(members, 1, NOW_US - 1);
    pcl_membership_at(members, 1)->drained = true;
    assert_int_equal(s_fit(members, &need, &found), 4);
    s_eject(members, 2, NOW_US + PCL_US_PER_S);
    assert_int_equal(s_fit(members, &need, &found), 4);
    pcl_membership_at(members, 2)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_DRAINED);
    pcl_membership_at(members, 1)->drained = false;
    pcl_membership_at(members, 1)->report.state = PCL_NODE_DRAIN;
    assert_int_equal(s_fit(members, &need, &found), 0);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_AGENT_DRAINS);
    pcl_membership_destroy(&members);
}

static void test_when_most_are_out_all_are_asked(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(5);
    pcl_candidates found;
    pcl_need need = s_read();
    s_eject(members, 1, NOW_US + PCL_US_PER_S);
    s_eject(members, 2, NOW_US + PCL_US_PER_S);
    assert_int_equal(s_fit(members, &need, &found), 8 | 16); /* half */
    assert_false(found.panic);
    pcl_node_set_add(&need.tried, 3); /* a read that was there is no reason to ask bad ones */
    assert_int_equal(s_fit(members, &need, &found), 16);
    need = s_read();
    pcl_membership_at(members, 3)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4 | 16);
    assert_true(found.panic);
    /* No sound one is left: the source, then they. */
    pcl_membership_at(members, 4)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.reads_on_source = false;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4);
    pcl_membership_destroy(&members);
}

/* It answers at once, so it looks idle: it must not draw what the others could serve. */
static void test_a_failing_node_that_must_stay_gets_its_share(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    need.health = &RULES;
    pcl_membership_at(members, 2)->health.failures = RULES.failures_max;
    uint32_t asked = 0;
    for (need.turn = 0; need.turn < 300; need.turn++) {
        uint32_t fit = s_fit(members, &need, &found);
        assert_int_equal(fit & (2 | 8), 2 | 8);
        asked += fit >> 2 & 1;
        assert_int_equal(found.why[2], (fit >> 2 & 1) != 0 ? PCL_LEFT_OUT_NOT : PCL_LEFT_OUT_FAILS);
    }
    assert_int_equal(asked, 100);
    pcl_membership_at(members, 1)->health.failures = RULES.failures_max;
    pcl_membership_at(members, 3)->health.failures = RULES.failures_max;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4 | 8); /* no better one is there */
    pcl_membership_destroy(&members);
}

/* --- Lag that comes and goes ----------------------------------------------------- */

static void test_a_replica_that_has_not_settled_waits(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(4);
    pcl_candidates found;
    pcl_need need = s_read();
    need.replicas_min = 2;
    pcl_membership_at(members, 1)->lag_gate.out = true;
    assert_int_equal(s_fit(members, &need, &found), 4 | 8);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_LAG_SETTLES);
    pcl_membership_at(members, 2)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 2 | 8); /* two are better than one */
    pcl_membership_at(members, 3)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 1);
    need.reads_on_source = false; /* it is within the bound, after all */
    assert_int_equal(s_fit(members, &need, &found), 2);
    pcl_membership_destroy(&members);
}

static void test_enough_replicas_are_kept(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(6);
    pcl_candidates found;
    pcl_need need = s_read();
    static const int32_t LAGS_MS[] = {0, 0, 12000, 15000, 40000, -1};
    for (uint32_t index = 1; index < 6; index++) {
        pcl_membership_at(members, index)->report.lag_ms = LAGS_MS[index];
    }
    need.stale_reads = true;
    assert_int_equal(s_fit(members, &need, &found), 2);
    need.replicas_min = 2;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4);
    pcl_node_set_add(&need.tried, 2);
    assert_int_equal(s_fit(members, &need, &found), 2 | 8);
    need.replicas_min = 9; /* three times the bound, and no further */
    assert_int_equal(s_fit(members, &need, &found), 2 | 8);
    need.stale_reads = false; /* the request bounds its lag, or the operator does */
    assert_int_equal(s_fit(members, &need, &found), 2);
    need.stale_reads = true;
    pcl_membership_at(members, 1)->report.lag_ms = 11000; /* none is within: the source */
    assert_int_equal(s_fit(members, &need, &found), 1);
    pcl_membership_destroy(&members);
}

static void test_a_node_that_starts_slowly_has_its_share(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_need need = s_read();
    pcl_candidate *starts = &pcl_membership_at(members, 1)->candidate;
    starts->slow_since_us = NOW_US - 15 * PCL_US_PER_S; /* half of 8 workers */
    for (starts->own = 0; starts->own < 8; starts->own++) {
        assert_int_equal(s_fit(members, &need, &found), starts->own < 4 ? 2 | 4 : 4);
    }
    assert_int_equal(found.why[1], PCL_LEFT_OUT_STARTS);
    starts->slow_since_us = NOW_US;
    starts->own = 0;
    assert_int_equal(s_fit(members, &need, &found), 2 | 4); /* one at least */
    starts->own = 1;
    assert_int_equal(s_fit(members, &need, &found), 4);
    pcl_membership_at(members, 2)->state = PCL_MEMBER_GONE;
    assert_int_equal(s_fit(members, &need, &found), 2); /* nobody else is there */
    starts->slow_since_us = NOW_US - PCL_SLOW_START_US;
    assert_true(pcl_candidate_start_share(starts, NOW_US) >= 1);
    pcl_membership_destroy(&members);
}

/* A sound replica that could serve is reason enough that somebody does, and unless everybody is
 * asked because of panic, or one is tried, nobody who is out is asked. */
static void s_check_somebody_fits(const pcl_membership *members, const pcl_need *need,
                                  const pcl_candidates *found)
{
    bool sound = false;
    for (uint32_t index = 0; index < pcl_membership_count(members); index++) {
        const pcl_member *member = pcl_membership_at(members, index);
        bool could = member->state == PCL_MEMBER_UP && member->reported && !member->drained &&
                     member->report.state == PCL_NODE_UP && need->read && !need->source_only &&
                     member->report.role == PCL_NODE_REPLICA && member->report.lag_ms >= 0 &&
                     (uint32_t)member->report.lag_ms <= need->lag_ms_max &&
                     !pcl_node_set_has(&need->tried, index) &&
                     member->candidate.own < need->node_inflight_max;
        sound = sound ||
                (could && member->health.state == PCL_HEALTH_SOUND && !member->lag_gate.out);
    }
    assert_true(!sound || found->count > 0);
    for (uint32_t position = 0; sound && position < found->count; position++) {
        const pcl_member *member = pcl_membership_at(members, found->fit[position]->index);
        assert_true(found->trial || found->panic || member->health.state == PCL_HEALTH_SOUND);
    }
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
            member->health.state = (pcl_health_state)pcl_rng_below(&rng, PCL_HEALTH_STATE_COUNT);
            member->health.until_us = NOW_US - 1 + pcl_rng_below(&rng, 3);
            member->health.failures = pcl_rng_below(&rng, 5);
            member->lag_gate.out = pcl_rng_below(&rng, 3) == 0;
            member->candidate.slow_since_us = pcl_rng_below(&rng, 3) == 0 ? NOW_US : 0;
        }
        pcl_need need = s_read();
        need.read = pcl_rng_below(&rng, 2) == 0;
        need.source_only = pcl_rng_below(&rng, 3) == 0;
        need.reads_on_source = pcl_rng_below(&rng, 2) == 0;
        need.lag_ms_max = pcl_rng_below(&rng, 2000);
        need.stale_reads = pcl_rng_below(&rng, 2) == 0;
        need.replicas_min = pcl_rng_below(&rng, 4);
        need.may_try = pcl_rng_below(&rng, 2) == 0;
        need.turn = pcl_rng_below(&rng, 100);
        need.health = pcl_rng_below(&rng, 2) == 0 ? &RULES : NULL;
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
                assert_true(source || member->report.lag_ms >= 0);
                assert_true(source || need.stale_reads ||
                            (uint32_t)member->report.lag_ms <= need.lag_ms_max);
                assert_true(!found.trial || (found.count == 1 && need.may_try &&
                                             pcl_health_is_due(&member->health, NOW_US)));
            }
        }
        s_check_somebody_fits(members, &need, &found);
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
        cmocka_unit_test(test_an_ejected_replica_gets_no_reads),
        cmocka_unit_test(test_one_read_tries_the_node_that_has_waited_longest),
        cmocka_unit_test(test_an_operators_drain_is_lifted_by_nobody),
        cmocka_unit_test(test_when_most_are_out_all_are_asked),
        cmocka_unit_test(test_a_failing_node_that_must_stay_gets_its_share),
        cmocka_unit_test(test_a_replica_that_has_not_settled_waits),
        cmocka_unit_test(test_enough_replicas_are_kept),
        cmocka_unit_test(test_a_node_that_starts_slowly_has_its_share),
        cmocka_unit_test(test_random_fleets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
