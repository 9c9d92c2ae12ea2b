/* Where a request of a session goes: the rules of proxy/pinned.h, one test a rule; then
 * random fleets, in which nothing but the run that made the id may be chosen. */
#include "proxy/pinned.h"

#include "common/clock.h"
#include "tests/lib/seed.h"
#include "wire/head.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const uint64_t NOW_US = 1000 * PCL_US_PER_S;
static const uint8_t HANDLE[PCL_HELD_HANDLE_SIZE] = {1, 2, 3, 4, 5, 6};
static uint8_t s_id[PCL_ID_SIZE];

static void s_hear(pcl_membership *members, uint32_t index, uint64_t boot_id)
{
    pcl_member_action action = PCL_MEMBER_NOTHING;
    assert_true(pcl_membership_heard(members, index, boot_id, NOW_US, &action));
}

/* Nodes n0, n1 ... whose agents run as 100, 101 ... */
static pcl_membership *s_fleet(uint32_t count)
{
    pcl_membership *members = pcl_membership_new(PCL_NODES_MAX, NOW_US);
    for (uint32_t index = 0; index < count; index++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", index);
        assert_int_equal(pcl_membership_add(members, pcl_bytes_text(name)), index);
        s_hear(members, index, 100 + index);
    }
    return members;
}

/* A request of a session of that run, in a proxy that started a minute ago. */
static pcl_pinned_case s_of(uint64_t boot_id, uint16_t page)
{
    pcl_held_id_make(s_id, boot_id, HANDLE, page);
    return (pcl_pinned_case){.id = s_id,
                             .node_inflight_max = 10,
                             .started_us = NOW_US - 60 * PCL_US_PER_S,
                             .now_us = NOW_US};
}

static void assert_goes(const pcl_membership *members, const pcl_pinned_case *request,
                        uint32_t node)
{
    pcl_pinned_verdict verdict = pcl_pinned_find(members, request);
    assert_int_equal(verdict.err, PCL_ERR_OK);
    assert_int_equal(verdict.node, node);
}

static void assert_stays(const pcl_membership *members, const pcl_pinned_case *request, pcl_err err)
{
    pcl_pinned_verdict verdict = pcl_pinned_find(members, request);
    assert_string_equal(pcl_err_code((int)verdict.err), pcl_err_code((int)err));
    assert_int_equal(verdict.node, PCL_MEMBER_NONE);
    assert_int_equal(verdict.message != NULL, err != PCL_ERR_OVERLOADED);
}

static void test_it_goes_to_the_run_that_made_the_id(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    for (uint32_t index = 0; index < 3; index++) {
        pcl_pinned_case session = s_of(100 + index, 0);
        assert_goes(members, &session, index);
        pcl_pinned_case cursor = s_of(100 + index, 65535);
        assert_goes(members, &cursor, index);
    }
    pcl_membership_destroy(&members);
}

/* None of this ends a session: its agent knows best. */
static void test_nothing_but_silence_keeps_it_from_there(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_member *member = pcl_membership_at(members, 1);
    pcl_pinned_case request = s_of(101, 0);
    member->drained = true;
    member->report.state = PCL_NODE_NOT_READY;
    assert_goes(members, &request, 1);
    member->report.state = PCL_NODE_DRAIN;
    member->report.lag_ms = -1;
    assert_goes(members, &request, 1);
    member->state = PCL_MEMBER_SUSPECT;
    assert_goes(members, &request, 1);
    member->state = PCL_MEMBER_LEAVING;
    assert_goes(members, &request, 1);
    pcl_membership_destroy(&members);
}

static void test_a_run_that_ended_took_its_sessions_with_it(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_pinned_case request = s_of(101, 0);
    s_hear(members, 1, 201);
    assert_stays(members, &request, PCL_ERR_GONE);
    request = s_of(201, 0);
    assert_goes(members, &request, 1);
    request = s_of(999, 0); /* nobody's */
    assert_stays(members, &request, PCL_ERR_GONE);
    request = s_of(0, 0); /* no id at all */
    assert_stays(members, &request, PCL_ERR_GONE);
    assert_int_equal(pcl_pinned_node(members, s_id), PCL_MEMBER_NONE);
    pcl_membership_destroy(&members);
}

static void test_a_young_proxy_does_not_know_every_run(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_pinned_case request = s_of(999, 0);
    request.started_us = NOW_US - PCL_PINNED_SETTLE_MS * PCL_US_PER_MS + 1;
    assert_stays(members, &request, PCL_ERR_NO_NODE);
    request.started_us--;
    assert_stays(members, &request, PCL_ERR_GONE);
    request = s_of(0, 0); /* but it knows that this is none */
    request.started_us = NOW_US;
    assert_stays(members, &request, PCL_ERR_GONE);
    s_hear(members, 1, 201); /* ... and what it saw end */
    request = s_of(101, 0);
    request.started_us = NOW_US;
    assert_stays(members, &request, PCL_ERR_GONE);
    pcl_membership_destroy(&members);
}

static void test_a_silent_run_may_come_back_for_a_while(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_member *member = pcl_membership_at(members, 1);
    pcl_pinned_case request = s_of(101, 0);
    member->state = PCL_MEMBER_GONE;
    request.now_us = member->heard_us + PCL_US_PER_S;
    assert_stays(members, &request, PCL_ERR_NO_NODE);
    request.now_us = member->heard_us + PCL_PINNED_SILENT_MS * PCL_US_PER_MS - 1;
    assert_stays(members, &request, PCL_ERR_NO_NODE);
    request.now_us++;
    assert_stays(members, &request, PCL_ERR_GONE);
    assert_int_equal(pcl_pinned_node(members, s_id), 1); /* whose it is, all the same */
    s_hear(members, 1, 101);
    assert_goes(members, &request, 1);
    pcl_membership_destroy(&members);
}

static void test_a_full_node_takes_no_more(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(2);
    pcl_pinned_case request = s_of(101, 0);
    pcl_membership_at(members, 1)->candidate.own = 9;
    assert_goes(members, &request, 1);
    pcl_membership_at(members, 1)->candidate.own = 10;
    assert_stays(members, &request, PCL_ERR_OVERLOADED);
    pcl_membership_destroy(&members);
}

static void test_the_explanation_names_one_node(void **state)
{
    (void)state;
    pcl_membership *members = s_fleet(3);
    pcl_candidates found;
    pcl_pinned_candidates(members, 1, &found);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.fit[0]->index, 1);
    assert_int_equal(found.why[0], PCL_LEFT_OUT_ELSEWHERE);
    assert_int_equal(found.why[1], PCL_LEFT_OUT_NOT);
    assert_int_equal(found.why[2], PCL_LEFT_OUT_ELSEWHERE);
    pcl_membership_destroy(&members);
}

static void s_random_event(pcl_membership *members, pcl_rng *rng, uint64_t now_us)
{
    uint32_t index = (uint32_t)pcl_rng_next(rng) % pcl_membership_count(members);
    pcl_member_action action = PCL_MEMBER_NOTHING;
    switch (pcl_rng_next(rng) % 4) {
    case 0:
        (void)!pcl_membership_heard(members, index, 1 + pcl_rng_next(rng) % 50, now_us, &action);
        return;
    case 1:
        (void)pcl_membership_bye(members, index);
        return;
    case 2:
        (void)pcl_membership_unreachable(members, index);
        return;
    default:
        pcl_membership_tick(members, now_us);
        while (pcl_membership_next(members, now_us, &index) != PCL_MEMBER_NOTHING) {
        }
    }
}

static void test_random_fleets(void **state)
{
    (void)state;
    pcl_rng rng = pcl_test_rng("pinned");
    pcl_membership *members = s_fleet(5);
    uint64_t now_us = NOW_US;
    uint32_t sent = 0;
    for (int turn = 0; turn < 50000; turn++) {
        now_us += pcl_rng_next(&rng) % (400 * PCL_US_PER_MS);
        s_random_event(members, &rng, now_us);
        pcl_pinned_case request = s_of(pcl_rng_next(&rng) % 52, (uint16_t)turn);
        request.now_us = now_us;
        pcl_pinned_verdict verdict = pcl_pinned_find(members, &request);
        if (verdict.err == PCL_ERR_OK) {
            const pcl_member *member = pcl_membership_at(members, verdict.node);
            assert_int_equal(member->boot_id, pcl_held_id_boot(s_id));
            assert_int_not_equal(member->state, PCL_MEMBER_GONE);
            sent++;
        } else {
            assert_true(verdict.err == PCL_ERR_GONE || verdict.err == PCL_ERR_NO_NODE);
            assert_int_equal(verdict.node, PCL_MEMBER_NONE);
        }
    }
    assert_true(sent > 100);
    pcl_membership_destroy(&members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_goes_to_the_run_that_made_the_id),
        cmocka_unit_test(test_nothing_but_silence_keeps_it_from_there),
        cmocka_unit_test(test_a_run_that_ended_took_its_sessions_with_it),
        cmocka_unit_test(test_a_young_proxy_does_not_know_every_run),
        cmocka_unit_test(test_a_silent_run_may_come_back_for_a_while),
        cmocka_unit_test(test_a_full_node_takes_no_more),
        cmocka_unit_test(test_the_explanation_names_one_node),
        cmocka_unit_test(test_random_fleets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
