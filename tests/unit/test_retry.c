/* The retry rule: every case of the truth table against the rules of the
 * header, and the budget over time. */
#include "proxy/retry.h"

#include "common/clock.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_retry_case s_good(pcl_attempt_end end)
{
    return (pcl_retry_case){.end = end,
                            .repeat = PCL_REPEAT_ANYWHERE,
                            .in_time = true,
                            .budget = true,
                            .other = true,
                            .other_sound = true,
                            .attempts = 1};
}

static void assert_answer(pcl_retry_verdict verdict, pcl_err err, pcl_retry retry)
{
    assert_int_equal(verdict.action, PCL_RETRY_ANSWER);
    assert_int_equal(verdict.err, err);
    assert_int_equal(verdict.retry, retry);
}

static void test_a_read_that_lost_its_node_goes_elsewhere(void **state)
{
    (void)state;
    static const pcl_attempt_end ENDS[] = {PCL_ATTEMPT_DOUBTED, PCL_ATTEMPT_LOST,
                                           PCL_ATTEMPT_REFUSED};
    for (size_t index = 0; index < sizeof ENDS / sizeof ENDS[0]; index++) {
        pcl_retry_case request = s_good(ENDS[index]);
        assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_AGAIN);
    }
    pcl_retry_case late = s_good(PCL_ATTEMPT_EXPIRED);
    assert_answer(pcl_retry_decide(&late), PCL_ERR_DEADLINE, PCL_RETRY_SAFE);
}

/* Nobody failed: neither the budget nor the number of attempts has a say. */
static void test_a_read_that_a_node_is_behind_for_goes_on_for_nothing(void **state)
{
    (void)state;
    pcl_retry_case request = s_good(PCL_ATTEMPT_BEHIND);
    request.budget = false;
    request.attempts = PCL_ATTEMPTS_MAX + 1;
    assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_AGAIN);
    for (int missing = 0; missing < 5; missing++) {
        pcl_retry_case end = request;
        end.repeat = missing == 0 ? PCL_REPEAT_THERE : PCL_REPEAT_ANYWHERE;
        end.in_time = missing != 1;
        end.other = missing != 2;
        end.cancelled = missing == 3;
        end.last = missing == 4; /* of the source: its word is the last */
        assert_int_equal(pcl_retry_decide(&end).action, PCL_RETRY_PASS);
    }
}

/* Takes one condition away after the other: without it nothing is sent again. */
static void test_each_condition_is_needed(void **state)
{
    (void)state;
    for (int missing = 0; missing < 6; missing++) {
        pcl_retry_case request = s_good(PCL_ATTEMPT_LOST);
        request.repeat = missing == 0 ? PCL_REPEAT_UNKNOWN : PCL_REPEAT_ANYWHERE;
        request.in_time = missing != 1;
        request.budget = missing != 2;
        request.other = missing != 3;
        request.attempts = missing == 4 ? PCL_ATTEMPTS_MAX : 1;
        request.cancelled = missing == 5;
        pcl_retry fate = missing == 0 ? PCL_RETRY_UNSAFE : PCL_RETRY_SAFE;
        assert_answer(pcl_retry_decide(&request), PCL_ERR_LOST, fate);
        request.end = PCL_ATTEMPT_DOUBTED;
        assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_WAIT);
        request.end = PCL_ATTEMPT_REFUSED;
        assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_PASS);
    }
}

static void test_a_doubt_moves_a_read_only_to_a_sound_node(void **state)
{
    (void)state;
    pcl_retry_case request = s_good(PCL_ATTEMPT_DOUBTED);
    request.other_sound = false;
    assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_WAIT);
    request.end = PCL_ATTEMPT_LOST; /* then a suspect one is better than none */
    assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_AGAIN);
}

/* The one promise that data hangs on. */
static void test_a_write_that_left_is_never_sent_again(void **state)
{
    (void)state;
    for (int end = 0; end < PCL_ATTEMPT_END_COUNT; end++) {
        for (uint32_t bits = 0; bits < 16; bits++) {
            pcl_retry_case request = {.end = (pcl_attempt_end)end,
                                      .in_time = (bits & 1) != 0,
                                      .budget = (bits & 2) != 0,
                                      .other = (bits & 4) != 0,
                                      .other_sound = (bits & 8) != 0,
                                      .attempts = 1};
            pcl_retry_verdict verdict = pcl_retry_decide(&request);
            assert_int_not_equal(verdict.action, PCL_RETRY_AGAIN);
            if (verdict.action == PCL_RETRY_ANSWER) {
                assert_int_equal(verdict.retry, PCL_RETRY_UNSAFE);
            }
        }
    }
}

static void test_what_can_be_sent_again(void **state)
{
    (void)state;
    static const struct {
        pcl_op op;
        bool read;
        pcl_repeat alone, pinned;
    } CASES[] = {
        {PCL_OP_QUERY, true, PCL_REPEAT_ANYWHERE, PCL_REPEAT_THERE},
        {PCL_OP_QUERY, false, PCL_REPEAT_UNKNOWN, PCL_REPEAT_UNKNOWN},
        {PCL_OP_BEGIN, true, PCL_REPEAT_ANYWHERE, PCL_REPEAT_THERE},
        {PCL_OP_BEGIN, false, PCL_REPEAT_ANYWHERE, PCL_REPEAT_THERE},
        {PCL_OP_TXN, false, PCL_REPEAT_UNKNOWN, PCL_REPEAT_UNKNOWN},
        {PCL_OP_COMMIT, false, PCL_REPEAT_UNKNOWN, PCL_REPEAT_UNKNOWN},
        {PCL_OP_ROLLBACK, false, PCL_REPEAT_THERE, PCL_REPEAT_THERE},
        {PCL_OP_CLOSE, true, PCL_REPEAT_THERE, PCL_REPEAT_THERE},
        {PCL_OP_FETCH, true, PCL_REPEAT_IN_VAIN, PCL_REPEAT_IN_VAIN},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        assert_int_equal(pcl_retry_repeat(CASES[index].op, CASES[index].read, false),
                         CASES[index].alone);
        assert_int_equal(pcl_retry_repeat(CASES[index].op, CASES[index].read, true),
                         CASES[index].pinned);
    }
}

/* Whatever the circumstances: what is pinned is nowhere else. */
static void test_what_is_pinned_is_never_sent_elsewhere(void **state)
{
    (void)state;
    for (int op = 0; op < PCL_OP_COUNT; op++) {
        for (int end = 0; end < PCL_ATTEMPT_END_COUNT; end++) {
            pcl_retry_case request = s_good((pcl_attempt_end)end);
            request.repeat = pcl_retry_repeat((pcl_op)op, true, true);
            assert_int_not_equal(pcl_retry_decide(&request).action, PCL_RETRY_AGAIN);
        }
    }
}

static void test_a_lost_page_is_lost_for_good(void **state)
{
    (void)state;
    pcl_retry_case request = s_good(PCL_ATTEMPT_LOST);
    request.repeat = PCL_REPEAT_IN_VAIN;
    assert_answer(pcl_retry_decide(&request), PCL_ERR_LOST, PCL_RETRY_NEVER);
    assert_non_null(pcl_retry_decide(&request).message);
    request.end = PCL_ATTEMPT_EXPIRED;
    assert_answer(pcl_retry_decide(&request), PCL_ERR_DEADLINE, PCL_RETRY_NEVER);
    request.end = PCL_ATTEMPT_DOUBTED; /* it may still come */
    assert_int_equal(pcl_retry_decide(&request).action, PCL_RETRY_WAIT);
    request.repeat = PCL_REPEAT_THERE;
    request.end = PCL_ATTEMPT_LOST;
    assert_answer(pcl_retry_decide(&request), PCL_ERR_LOST, PCL_RETRY_SAFE);
    assert_null(pcl_retry_decide(&request).message);
}

static void test_codes_that_say_not_me(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (int code = PCL_ERR_OK; code < PCL_ERR_COUNT; code++) {
        count += pcl_retry_code((pcl_err)code) ? 1 : 0;
    }
    assert_int_equal(count, 5);
    assert_true(pcl_retry_code(PCL_ERR_LOST));
    assert_true(pcl_retry_code(PCL_ERR_OVERLOADED));
    assert_true(pcl_retry_code(PCL_ERR_UNAVAILABLE));
    assert_true(pcl_retry_code(PCL_ERR_NO_NODE));
    assert_true(pcl_retry_code(PCL_ERR_DRAINING));
    assert_false(pcl_retry_code(PCL_ERR_SQL)); /* the statement's own fault */
}

/* Retries that succeed in a second in which qps requests arrive. */
static uint32_t s_retries_per_s(uint32_t qps, uint64_t seconds)
{
    uint64_t now_us = PCL_US_PER_S;
    pcl_retry_budget budget = pcl_retry_budget_full(now_us);
    uint32_t sent = 0;
    for (uint64_t second = 0; second < seconds; second++) {
        sent = 0;
        for (uint32_t request = 0; request < qps; request++) {
            now_us += PCL_US_PER_S / qps;
            pcl_retry_budget_earn(&budget, now_us);
            if (pcl_retry_budget_has(&budget, now_us)) { /* every request wants one */
                pcl_retry_budget_spend(&budget);
                sent++;
            }
        }
    }
    return sent;
}

static void test_the_budget_is_a_fifth_and_ten_a_second(void **state)
{
    (void)state;
    uint32_t sent = s_retries_per_s(1000, 30);
    assert_in_range(sent, 205, 215);
    sent = s_retries_per_s(10000, 10);
    assert_in_range(sent, 2000, 2020);
}

static void test_what_is_not_spent_is_forgotten(void **state)
{
    (void)state;
    uint64_t now_us = PCL_US_PER_S;
    pcl_retry_budget budget = pcl_retry_budget_full(now_us);
    for (int request = 0; request < 100000; request++) { /* 10 s of 10,000 a second */
        now_us += 100;
        pcl_retry_budget_earn(&budget, now_us);
    }
    assert_true(budget.tokens > 5000); /* enough for the reads of a dying node */
    assert_true(budget.tokens < 22000);
    assert_true(pcl_retry_budget_has(&budget, now_us + 120 * PCL_US_PER_S));
    assert_true(budget.tokens > 99 && budget.tokens < 101);
    assert_true(pcl_retry_budget_has(&budget, now_us)); /* time that runs back changes nothing */
    assert_true(budget.tokens > 99 && budget.tokens < 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_that_lost_its_node_goes_elsewhere),
        cmocka_unit_test(test_a_read_that_a_node_is_behind_for_goes_on_for_nothing),
        cmocka_unit_test(test_each_condition_is_needed),
        cmocka_unit_test(test_a_doubt_moves_a_read_only_to_a_sound_node),
        cmocka_unit_test(test_a_write_that_left_is_never_sent_again),
        cmocka_unit_test(test_what_can_be_sent_again),
        cmocka_unit_test(test_what_is_pinned_is_never_sent_elsewhere),
        cmocka_unit_test(test_a_lost_page_is_lost_for_good),
        cmocka_unit_test(test_codes_that_say_not_me),
        cmocka_unit_test(test_the_budget_is_a_fifth_and_ten_a_second),
        cmocka_unit_test(test_what_is_not_spent_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
