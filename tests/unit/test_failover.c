#include "client/failover.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_one_in_use_stays_in_use(void **state)
{
    (void)state;
    pcl_failover_peer peers[3] = {{.up = true}, {.up = true}, {.up = true}};
    for (uint32_t current = 0; current < 3; current++) {
        assert_int_equal(pcl_failover_choose(peers, 3, current, 0, 1000), current);
    }
    peers[1].up = false;
    assert_int_equal(pcl_failover_choose(peers, 3, 1, 0, 1000), 2);
    peers[2].up = false;
    assert_int_equal(pcl_failover_choose(peers, 3, 1, 0, 1000), 0);
    peers[0].up = false;
    assert_int_equal(pcl_failover_choose(peers, 3, 1, 0, 1000), PCL_FAILOVER_NONE);
}

static void a_silent_one_comes_last(void **state)
{
    (void)state;
    pcl_failover_peer peers[2] = {{.up = true, .heard_us = 500}, {.up = true}};
    pcl_failover_unanswered(&peers[0], 400, 1000); /* it spoke since: only this one is late */
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 0, 1000), 0);
    pcl_failover_unanswered(&peers[0], 600, 1000);
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 0, 1001), 1);
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 0, 1000 + 5000 * 1000), 0);
    peers[1].up = false; /* nobody else */
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 0, 1001), 0);
}

static void a_tried_one_comes_last(void **state)
{
    (void)state;
    pcl_failover_peer peers[2] = {{.up = true}, {.up = true}};
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 1, 0), 1);
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 2, 0), 0);
    assert_int_equal(pcl_failover_choose(peers, 2, 0, 3, 0), 0);
}

static void only_what_may_run_twice_is_sent_again(void **state)
{
    (void)state;
    assert_int_equal(pcl_failover_lost(false, 1000, 0), PCL_FAILOVER_FAIL);
    assert_int_equal(pcl_failover_lost(true, 1000, 0), PCL_FAILOVER_SEND_AGAIN);
    assert_int_equal(pcl_failover_lost(true, 1000, 1000), PCL_FAILOVER_FAIL);
}

static bool s_elsewhere(const char *code, const char *hop, pcl_retry retry, uint32_t tried)
{
    pcl_failover_peer peers[2] = {{.up = true}, {.up = true}};
    return pcl_failover_elsewhere(pcl_bytes_text(code), pcl_bytes_text(hop), retry, peers, 2,
                                  tried);
}

static bool s_drains(const char *code, const char *hop, pcl_retry retry)
{
    return pcl_failover_drains(pcl_bytes_text(code), pcl_bytes_text(hop), retry);
}

static void a_gatekeeper_says_itself_that_it_drains(void **state)
{
    (void)state;
    assert_true(s_drains("DRAINING", "gatekeeper", PCL_RETRY_SAFE));
    assert_false(s_drains("DRAINING", "broker", PCL_RETRY_SAFE));
    assert_false(s_drains("DRAINING", "gatekeeper", PCL_RETRY_UNSAFE));
    assert_false(s_drains("UNAVAILABLE", "gatekeeper", PCL_RETRY_SAFE));
}

static void a_gatekeepers_own_refusal_is_no_answer_while_others_are_there(void **state)
{
    (void)state;
    assert_true(s_elsewhere("UNAVAILABLE", "gatekeeper", PCL_RETRY_SAFE, 1));
    assert_false(s_elsewhere("UNAVAILABLE", "gatekeeper", PCL_RETRY_SAFE, 3));
    assert_false(s_elsewhere("UNAVAILABLE", "broker", PCL_RETRY_SAFE, 1));
    assert_false(s_elsewhere("UNAVAILABLE", "gatekeeper", PCL_RETRY_UNSAFE, 1));
    assert_false(s_elsewhere("FORBIDDEN", "gatekeeper", PCL_RETRY_SAFE, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_in_use_stays_in_use),
        cmocka_unit_test(a_silent_one_comes_last),
        cmocka_unit_test(a_tried_one_comes_last),
        cmocka_unit_test(only_what_may_run_twice_is_sent_again),
        cmocka_unit_test(a_gatekeeper_says_itself_that_it_drains),
        cmocka_unit_test(a_gatekeepers_own_refusal_is_no_answer_while_others_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
