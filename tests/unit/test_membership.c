/* Membership: the table cell by cell, then silence, runs of an agent, and
 * reports; last a random walk that must never give up a living node. */
#include "proxy/membership.h"

#include "common/clock.h"
#include "tests/lib/seed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define MS PCL_US_PER_MS

static const uint64_t START_US = 1000 * PCL_US_PER_S;

static pcl_report s_report(uint64_t boot_id, uint64_t seq)
{
    return (pcl_report){.boot_id = boot_id,
                        .seq = seq,
                        .role = PCL_NODE_REPLICA,
                        .state = PCL_NODE_UP,
                        .replicating = true,
                        .gtid = pcl_bytes_text("0-1-7")};
}

static pcl_member_action s_beat(pcl_membership *members, uint32_t index, uint64_t boot_id,
                                uint64_t now_us)
{
    pcl_member_action action = PCL_MEMBER_NOTHING;
    assert_true(pcl_membership_heard(members, index, boot_id, now_us, &action));
    return action;
}

/* The one action of a tick at now_us, or NOTHING. */
static pcl_member_action s_tick(pcl_membership *members, uint64_t now_us)
{
    uint32_t index = 0;
    pcl_membership_tick(members, now_us);
    pcl_member_action action = pcl_membership_next(members, now_us, &index);
    pcl_member_action second = pcl_membership_next(members, now_us, &index);
    assert_int_equal(second, PCL_MEMBER_NOTHING);
    return action;
}

/* Ticks as a running proxy does, up to until_us; the last action that was one. */
static pcl_member_action s_ticks(pcl_membership *members, uint64_t from_us, uint64_t until_us)
{
    pcl_member_action last = PCL_MEMBER_NOTHING;
    for (uint64_t now_us = from_us; now_us <= until_us; now_us += 10 * MS) {
        pcl_member_action action = s_tick(members, now_us);
        last = action != PCL_MEMBER_NOTHING ? action : last;
    }
    return last;
}

static void test_the_table_is_the_header(void **state)
{
    (void)state;
    static const struct {
        pcl_member_state from;
        pcl_member_event event;
        pcl_member_state next;
        pcl_member_action action;
    } CHANGES[] = {
        {PCL_MEMBER_NEW, PCL_MEMBER_HEARD, PCL_MEMBER_UP, PCL_MEMBER_ADMIT},
        {PCL_MEMBER_NEW, PCL_MEMBER_REBORN, PCL_MEMBER_UP, PCL_MEMBER_ADMIT},
        {PCL_MEMBER_UP, PCL_MEMBER_REBORN, PCL_MEMBER_UP, PCL_MEMBER_REPLACE},
        {PCL_MEMBER_UP, PCL_MEMBER_SILENT, PCL_MEMBER_SUSPECT, PCL_MEMBER_DOUBT},
        {PCL_MEMBER_UP, PCL_MEMBER_LOST_LONG, PCL_MEMBER_GONE, PCL_MEMBER_LOSE},
        {PCL_MEMBER_UP, PCL_MEMBER_BYE, PCL_MEMBER_LEAVING, PCL_MEMBER_CLOSE},
        {PCL_MEMBER_UP, PCL_MEMBER_UNREACHABLE, PCL_MEMBER_SUSPECT, PCL_MEMBER_DOUBT},
        {PCL_MEMBER_SUSPECT, PCL_MEMBER_HEARD, PCL_MEMBER_UP, PCL_MEMBER_CLEAR},
        {PCL_MEMBER_SUSPECT, PCL_MEMBER_REBORN, PCL_MEMBER_UP, PCL_MEMBER_REPLACE},
        {PCL_MEMBER_SUSPECT, PCL_MEMBER_LOST_LONG, PCL_MEMBER_GONE, PCL_MEMBER_LOSE},
        {PCL_MEMBER_SUSPECT, PCL_MEMBER_BYE, PCL_MEMBER_LEAVING, PCL_MEMBER_CLOSE},
        {PCL_MEMBER_LEAVING, PCL_MEMBER_REBORN, PCL_MEMBER_UP, PCL_MEMBER_REPLACE},
        {PCL_MEMBER_LEAVING, PCL_MEMBER_SILENT, PCL_MEMBER_GONE, PCL_MEMBER_LOSE},
        {PCL_MEMBER_LEAVING, PCL_MEMBER_LOST_LONG, PCL_MEMBER_GONE, PCL_MEMBER_LOSE},
        {PCL_MEMBER_LEAVING, PCL_MEMBER_UNREACHABLE, PCL_MEMBER_GONE, PCL_MEMBER_LOSE},
        {PCL_MEMBER_GONE, PCL_MEMBER_HEARD, PCL_MEMBER_UP, PCL_MEMBER_RETURN},
        {PCL_MEMBER_GONE, PCL_MEMBER_REBORN, PCL_MEMBER_UP, PCL_MEMBER_RETURN},
    };
    size_t found = 0;
    for (int from = 0; from < PCL_MEMBER_STATE_COUNT; from++) {
        for (int event = 0; event < PCL_MEMBER_EVENT_COUNT; event++) {
            pcl_member_step step = pcl_member_on((pcl_member_state)from, (pcl_member_event)event);
            pcl_member_step want = {(pcl_member_state)from, PCL_MEMBER_NOTHING};
            for (size_t index = 0; index < sizeof CHANGES / sizeof CHANGES[0]; index++) {
                if ((int)CHANGES[index].from == from && (int)CHANGES[index].event == event) {
                    want = (pcl_member_step){CHANGES[index].next, CHANGES[index].action};
                    found++;
                }
            }
            assert_int_equal(step.next, want.next);
            assert_int_equal(step.action, want.action);
        }
    }
    assert_int_equal(found, sizeof CHANGES / sizeof CHANGES[0]);
}

static void test_silence_makes_suspect_then_gone(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    const pcl_member *member = pcl_membership_at(members, index);
    assert_int_equal(s_ticks(members, START_US, START_US + 5000 * MS), PCL_MEMBER_NOTHING);
    uint64_t heard_us = START_US + 5000 * MS;
    assert_int_equal(s_beat(members, index, 7, heard_us), PCL_MEMBER_ADMIT);
    assert_int_equal(s_ticks(members, heard_us, heard_us + 590 * MS), PCL_MEMBER_NOTHING);
    assert_int_equal(s_tick(members, heard_us + 600 * MS), PCL_MEMBER_DOUBT);
    assert_int_equal(member->state, PCL_MEMBER_SUSPECT);
    assert_int_equal(s_ticks(members, heard_us + 610 * MS, heard_us + 990 * MS),
                     PCL_MEMBER_NOTHING);
    assert_int_equal(s_tick(members, heard_us + 1000 * MS), PCL_MEMBER_LOSE);
    assert_int_equal(member->state, PCL_MEMBER_GONE);
    assert_int_equal(s_beat(members, index, 7, heard_us + 1100 * MS), PCL_MEMBER_RETURN);
    assert_int_equal(s_ticks(members, heard_us + 1100 * MS, heard_us + 1690 * MS),
                     PCL_MEMBER_NOTHING);
    pcl_membership_destroy(&members);
    assert_null(members);
}

static void test_who_is_at_a_long_message_is_not_silent(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    const pcl_member *member = pcl_membership_at(members, index);
    uint64_t now_us = START_US;
    assert_false(pcl_membership_is_silent(members, index, now_us + 5000 * MS)); /* never came */
    assert_int_equal(s_beat(members, index, 7, now_us), PCL_MEMBER_ADMIT);
    for (int turn = 0; turn < 20; turn++) {
        assert_false(pcl_membership_is_silent(members, index, now_us + 390 * MS));
        assert_int_equal(s_ticks(members, now_us, now_us + 590 * MS), PCL_MEMBER_NOTHING);
        now_us += 590 * MS;
        assert_true(pcl_membership_is_silent(members, index, now_us));
        pcl_membership_stirs(members, index, now_us);
    }
    assert_int_equal(member->state, PCL_MEMBER_UP);
    assert_int_equal(s_ticks(members, now_us, now_us + 600 * MS), PCL_MEMBER_DOUBT);
    assert_int_equal(s_ticks(members, now_us + 610 * MS, now_us + 1000 * MS), PCL_MEMBER_LOSE);
    assert_false(pcl_membership_is_silent(members, index, now_us + 2000 * MS)); /* but away */
    pcl_membership_destroy(&members);
}

static void test_a_word_in_time_clears_a_suspicion(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    (void)s_beat(members, index, 7, START_US);
    assert_int_equal(s_ticks(members, START_US, START_US + 700 * MS), PCL_MEMBER_DOUBT);
    /* A reply says no boot id and is a sign of life all the same. */
    assert_int_equal(s_beat(members, index, 0, START_US + 700 * MS), PCL_MEMBER_CLEAR);
    assert_int_equal(pcl_membership_unreachable(members, index), PCL_MEMBER_DOUBT);
    assert_int_equal(pcl_membership_unreachable(members, index), PCL_MEMBER_NOTHING);
    pcl_membership_destroy(&members);
}

static void test_a_stopped_proxy_blames_nobody(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    (void)s_beat(members, index, 7, START_US);
    assert_int_equal(s_tick(members, START_US + 10 * MS), PCL_MEMBER_NOTHING);
    uint64_t woke_us = START_US + 30 * PCL_US_PER_S;
    assert_int_equal(s_tick(members, woke_us), PCL_MEMBER_NOTHING);
    /* From here on it listens, and silence is silence. */
    assert_int_equal(s_ticks(members, woke_us, woke_us + 580 * MS), PCL_MEMBER_NOTHING);
    assert_int_equal(s_ticks(members, woke_us + 590 * MS, woke_us + 610 * MS), PCL_MEMBER_DOUBT);
    pcl_membership_destroy(&members);
}

static void test_another_run_replaces_and_the_old_one_is_not_heard(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    pcl_member_action action = PCL_MEMBER_NOTHING;
    assert_false(pcl_membership_heard(members, index, 0, START_US, &action)); /* never beaten */
    assert_int_equal(s_beat(members, index, 7, START_US), PCL_MEMBER_ADMIT);
    assert_int_equal(s_beat(members, index, 8, START_US + 10), PCL_MEMBER_REPLACE);
    assert_false(pcl_membership_heard(members, index, 7, START_US + 20, &action));
    assert_int_equal(pcl_membership_at(members, index)->boot_id, 8);
    assert_int_equal(pcl_membership_find_boot(members, 8), index);
    assert_int_equal(pcl_membership_find_boot(members, 7), index); /* its late messages are known */
    assert_int_equal(pcl_membership_find_boot(members, 9), PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_find_boot(members, 0), PCL_MEMBER_NONE);
    for (uint64_t boot_id = 9; boot_id < 30; boot_id++) {
        assert_int_equal(s_beat(members, index, boot_id, START_US), PCL_MEMBER_REPLACE);
        assert_false(pcl_membership_heard(members, index, boot_id - 1, START_US, &action));
    }
    pcl_membership_destroy(&members);
}

static void test_a_goodbye_ends_with_the_run(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    const pcl_member *member = pcl_membership_at(members, index);
    (void)s_beat(members, index, 7, START_US);
    assert_int_equal(pcl_membership_bye(members, index), PCL_MEMBER_CLOSE);
    assert_int_equal(s_beat(members, index, 7, START_US + 100 * MS), PCL_MEMBER_NOTHING);
    assert_int_equal(member->state, PCL_MEMBER_LEAVING);
    assert_int_equal(s_ticks(members, START_US + 100 * MS, START_US + 700 * MS), PCL_MEMBER_LOSE);
    assert_int_equal(s_beat(members, index, 8, START_US + 800 * MS), PCL_MEMBER_RETURN);
    assert_int_equal(member->state, PCL_MEMBER_UP);
    pcl_membership_destroy(&members);
}

static void test_only_newer_reports_of_this_run_count(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    const pcl_member *member = pcl_membership_at(members, index);
    (void)s_beat(members, index, 7, START_US);
    pcl_report report = s_report(7, 5);
    report.lag_ms = 50;
    assert_true(pcl_membership_report(members, index, &report, START_US));
    assert_true(pcl_bytes_is(member->report.gtid, "0-1-7"));
    assert_true(member->report.gtid.data != report.gtid.data); /* its own copy */
    report.lag_ms = 60;
    assert_false(pcl_membership_report(members, index, &report, START_US)); /* not newer */
    report = s_report(6, 99);
    assert_false(pcl_membership_report(members, index, &report, START_US)); /* another run */
    assert_int_equal(member->report.lag_ms, 50);
    assert_int_equal(member->candidate.lag_ms, 50);
    (void)s_beat(members, index, 8, START_US);
    assert_false(member->reported); /* nothing is known of the new run yet */
    assert_int_equal(member->candidate.lag_ms, -1);
    report = s_report(8, 1);
    assert_true(pcl_membership_report(members, index, &report, START_US)); /* counts anew */
    pcl_membership_destroy(&members);
}

static void test_nodes_are_placed_by_zone(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    const pcl_member *member = pcl_membership_at(members, index);
    (void)s_beat(members, index, 7, START_US);
    pcl_report report = s_report(7, 1);
    memcpy(report.zone, "zone-a", 7);
    assert_true(pcl_membership_report(members, index, &report, START_US));
    assert_int_equal(member->candidate.place, PCL_ZONE_UNKNOWN); /* we do not know our own */
    pcl_membership_set_zone(members, "zone-b");
    assert_int_equal(member->candidate.place, PCL_ZONE_OTHER);
    pcl_membership_set_zone(members, "zone-a");
    assert_int_equal(member->candidate.place, PCL_ZONE_OWN);
    report.seq = 2;
    report.zone[0] = '\0';
    assert_true(pcl_membership_report(members, index, &report, START_US));
    assert_int_equal(member->candidate.place, PCL_ZONE_UNKNOWN);
    pcl_membership_destroy(&members);
}

static void test_names_are_names_and_room_is_bounded(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(2, START_US);
    char longest[PCL_NAME_SIZE_MAX + 2];
    memset(longest, 'n', sizeof longest);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("")), PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("a b")), PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("a\"b")), PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_of(longest, PCL_NAME_SIZE_MAX + 1)),
                     PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_of(longest, PCL_NAME_SIZE_MAX)), 0);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("Az-09._")), 1);
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("Az-09._")), 1); /* the same */
    assert_int_equal(pcl_membership_add(members, pcl_bytes_text("n3")), PCL_MEMBER_NONE);
    assert_int_equal(pcl_membership_count(members), 2);
    pcl_membership_destroy(&members);
}

/* Whatever happens to the node: what an operator said stands until an operator says else. */
static void test_nothing_that_happens_lifts_a_drain(void **state)
{
    (void)state;
    pcl_membership *members = pcl_membership_new(1, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    pcl_member *member = pcl_membership_at(members, index);
    pcl_rng rng = pcl_test_rng("drain");
    uint64_t now_us = START_US;
    uint64_t boot_id = 7;
    member->drained = true;
    for (uint64_t seq = 1; seq < 20000; seq++) {
        pcl_member_action action = PCL_MEMBER_NOTHING;
        pcl_report report = s_report(boot_id, seq);
        report.state = (pcl_node_state)pcl_rng_below(&rng, PCL_NODE_STATE_COUNT);
        now_us += pcl_rng_below(&rng, 300) * MS;
        switch (pcl_rng_below(&rng, 6)) {
        case 0:
            boot_id++;
            break;
        case 1:
            (void)pcl_membership_bye(members, index);
            break;
        case 2:
            (void)pcl_membership_unreachable(members, index);
            break;
        case 3:
            (void)s_tick(members, now_us);
            break;
        default:
            if (pcl_membership_heard(members, index, boot_id, now_us, &action)) {
                (void)pcl_membership_report(members, index, &report, now_us);
            }
            break;
        }
        assert_true(member->drained);
    }
    pcl_membership_destroy(&members);
}

static uint64_t s_slow_since(const pcl_membership *members)
{
    return pcl_membership_at(members, 0)->candidate.slow_since_us;
}

static void test_who_was_away_for_long_starts_slowly(void **state)
{
    (void)state;
    uint64_t now_us = START_US;
    pcl_membership *members = pcl_membership_new(2, now_us);
    (void)pcl_membership_add(members, pcl_bytes_text("n1"));
    (void)pcl_membership_add(members, pcl_bytes_text("n2"));
    pcl_report report = s_report(7, 1);
    (void)s_beat(members, 0, 7, now_us); /* the proxy is new, not the node */
    assert_true(pcl_membership_report(members, 0, &report, now_us));
    assert_int_equal(s_slow_since(members), 0);
    now_us += 4 * PCL_US_PER_S; /* its agent starts again */
    (void)s_beat(members, 0, 8, now_us);
    assert_int_equal(s_slow_since(members), 0);
    now_us += 6 * PCL_US_PER_S;
    (void)s_beat(members, 0, 9, now_us);
    assert_int_equal(s_slow_since(members), now_us);
    (void)s_beat(members, 1, 10, now_us); /* nobody has seen it here before */
    assert_int_equal(pcl_membership_at(members, 1)->candidate.slow_since_us, now_us);
    pcl_membership_destroy(&members);
}

static void test_a_database_that_was_away_for_long_starts_slowly(void **state)
{
    (void)state;
    for (uint64_t away_s = 4; away_s <= 6; away_s += 2) {
        uint64_t now_us = START_US;
        pcl_membership *members = pcl_membership_new(1, now_us);
        (void)pcl_membership_add(members, pcl_bytes_text("n1"));
        pcl_membership_set_lag_max(members, 10000);
        (void)s_beat(members, 0, 7, now_us);
        pcl_report report = s_report(7, 1);
        report.state = PCL_NODE_NOT_READY;
        assert_true(pcl_membership_report(members, 0, &report, now_us));
        now_us += away_s * PCL_US_PER_S;
        report = s_report(7, 2);
        assert_true(pcl_membership_report(members, 0, &report, now_us));
        assert_int_equal(s_slow_since(members), away_s > 5 ? now_us : 0);
        pcl_membership_at(members, 0)->candidate.slow_since_us = 0;
        report = s_report(7, 3);
        report.lag_ms = 20000;
        assert_true(pcl_membership_report(members, 0, &report, now_us));
        now_us += (away_s - 1) * PCL_US_PER_S;
        for (uint64_t seq = 4; seq < 6; seq++) {
            assert_true(pcl_membership_at(members, 0)->lag_gate.out);
            report = s_report(7, seq);
            now_us += PCL_US_PER_S / 2;
            assert_true(pcl_membership_report(members, 0, &report, now_us));
        }
        assert_false(pcl_membership_at(members, 0)->lag_gate.out);
        assert_int_equal(s_slow_since(members), away_s > 5 ? now_us : 0);
        pcl_membership_destroy(&members);
    }
}

/* How far behind it was is not asked of one that starts or comes back: what it says next is. */
static void test_a_return_begins_without_a_lag_of_the_past(void **state)
{
    (void)state;
    for (uint64_t boot_id = 7; boot_id < 9; boot_id++) { /* gone and back; another run */
        pcl_membership *members = pcl_membership_new(1, START_US);
        (void)pcl_membership_add(members, pcl_bytes_text("n1"));
        pcl_membership_set_lag_max(members, 10000);
        (void)s_beat(members, 0, 7, START_US);
        pcl_report report = s_report(7, 1);
        report.lag_ms = 10001;
        assert_true(pcl_membership_report(members, 0, &report, START_US));
        assert_true(pcl_membership_at(members, 0)->lag_gate.out);
        uint64_t now_us = START_US + (boot_id == 7 ? 1500 : 100) * MS;
        if (boot_id == 7) {
            assert_int_equal(s_ticks(members, START_US, now_us), PCL_MEMBER_LOSE);
        }
        assert_int_equal(s_beat(members, 0, boot_id, now_us),
                         boot_id == 7 ? PCL_MEMBER_RETURN : PCL_MEMBER_REPLACE);
        report = s_report(boot_id, 2);
        report.lag_ms = 9000;
        assert_true(pcl_membership_report(members, 0, &report, now_us));
        assert_false(pcl_membership_at(members, 0)->lag_gate.out);
        report = s_report(boot_id, 3);
        report.lag_ms = 10001;
        assert_true(pcl_membership_report(members, 0, &report, now_us + 200 * MS));
        assert_true(pcl_membership_at(members, 0)->lag_gate.out);
        pcl_membership_destroy(&members);
    }
}

/* Beats 160 to 240 ms apart, ticks 10 ms apart, stops of the proxy of any
 * length: whoever beats is never suspected. */
static void test_who_beats_is_never_suspected(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("membership");
    pcl_membership *members = pcl_membership_new(4, START_US);
    uint32_t index = pcl_membership_add(members, pcl_bytes_text("n1"));
    uint64_t now_us = START_US;
    uint64_t beat_us = now_us;
    for (int turn = 0; turn < 20000; turn++) {
        now_us += pcl_rng_below(&rng, 500) == 0 ? pcl_rng_below(&rng, 5000) * MS : 10 * MS;
        if (now_us >= beat_us) { /* readers come before the tick */
            pcl_member_action action = s_beat(members, index, 7, now_us);
            assert_true(action == PCL_MEMBER_NOTHING || action == PCL_MEMBER_ADMIT);
            beat_us = now_us + (160 + pcl_rng_below(&rng, 81)) * MS;
        }
        assert_int_equal(s_tick(members, now_us), PCL_MEMBER_NOTHING);
    }
    pcl_membership_destroy(&members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_the_header),
        cmocka_unit_test(test_silence_makes_suspect_then_gone),
        cmocka_unit_test(test_who_is_at_a_long_message_is_not_silent),
        cmocka_unit_test(test_a_word_in_time_clears_a_suspicion),
        cmocka_unit_test(test_a_stopped_proxy_blames_nobody),
        cmocka_unit_test(test_another_run_replaces_and_the_old_one_is_not_heard),
        cmocka_unit_test(test_a_goodbye_ends_with_the_run),
        cmocka_unit_test(test_only_newer_reports_of_this_run_count),
        cmocka_unit_test(test_nodes_are_placed_by_zone),
        cmocka_unit_test(test_names_are_names_and_room_is_bounded),
        cmocka_unit_test(test_nothing_that_happens_lifts_a_drain),
        cmocka_unit_test(test_who_was_away_for_long_starts_slowly),
        cmocka_unit_test(test_a_database_that_was_away_for_long_starts_slowly),
        cmocka_unit_test(test_a_return_begins_without_a_lag_of_the_past),
        cmocka_unit_test(test_who_beats_is_never_suspected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
