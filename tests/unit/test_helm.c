/* Who has the helm of a channel, in each order of events. */
#include "client/helm.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool s_rings(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    bool rings = poll(&item, 1, 0) > 0;
    pcl_helm_drain(fd);
    return rings;
}

static pcl_helm s_helm;
static const atomic_uint s_one = 1; /* request that is under way */

static int s_setup(void **state)
{
    (void)state;
    return pcl_helm_open(&s_helm) ? 0 : 1;
}

static int s_teardown(void **state)
{
    (void)state;
    pcl_helm_close(&s_helm);
    return 0;
}

static void who_rests_is_woken_once(void **state)
{
    (void)state;
    pcl_helm_nudge(&s_helm, 0); /* the thread has it, and looks by itself */
    assert_false(s_rings(s_helm.thread_fd));
    pcl_helm_rest(&s_helm);
    pcl_helm_nudge(&s_helm, 0);
    assert_true(s_rings(s_helm.thread_fd));
    pcl_helm_nudge(&s_helm, 0);
    assert_false(s_rings(s_helm.thread_fd));
    assert_false(s_rings(s_helm.caller_fd));
    assert_true(pcl_helm_resume(&s_helm));
}

static void a_caller_takes_it_out_of_a_rest_only(void **state)
{
    (void)state;
    assert_false(pcl_helm_take(&s_helm, &s_one, 0));
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 0));
    assert_false(pcl_helm_take(&s_helm, &s_one, 0));
    assert_false(pcl_helm_resume(&s_helm)); /* the thread, woken by the sockets */
    pcl_helm_give_back(&s_helm, false);
    assert_false(s_rings(s_helm.thread_fd));
    assert_true(pcl_helm_take(&s_helm, &s_one, 0)); /* again, and the thread sleeps on */
    pcl_helm_give_back(&s_helm, false);
    assert_true(pcl_helm_resume(&s_helm));
    assert_false(pcl_helm_take(&s_helm, &s_one, 0));
}

static void a_caller_with_company_leaves_it_to_the_thread(void **state)
{
    (void)state;
    const atomic_uint two = 2; /* the other was begun after this one was accepted */
    pcl_helm_rest(&s_helm);
    assert_false(pcl_helm_take(&s_helm, &two, 0));
    assert_true(s_rings(s_helm.thread_fd)); /* it may have gone to wait for the caller */
    assert_true(pcl_helm_resume(&s_helm));
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 0)); /* at once: there is no crowd */
}

static void what_a_caller_leaves_is_the_threads(void **state)
{
    (void)state;
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 0));
    pcl_helm_give_back(&s_helm, true);
    assert_true(s_rings(s_helm.thread_fd));
    assert_false(pcl_helm_take(&s_helm, &s_one, 0));
    assert_true(pcl_helm_resume(&s_helm));
}

static void company_calls_it_off(void **state)
{
    (void)state;
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 1000));
    assert_false(pcl_helm_is_called(&s_helm));
    pcl_helm_nudge(&s_helm, 2000);
    assert_true(pcl_helm_is_called(&s_helm));
    assert_true(s_rings(s_helm.caller_fd));
    pcl_helm_nudge(&s_helm, 2000);
    assert_false(s_rings(s_helm.caller_fd));
    assert_false(s_rings(s_helm.thread_fd));
    assert_false(pcl_helm_resume(&s_helm));
    pcl_helm_give_back(&s_helm, false); /* he knows of nothing, but was told */
    assert_true(s_rings(s_helm.thread_fd));
    assert_true(pcl_helm_resume(&s_helm));
    pcl_helm_rest(&s_helm);
    assert_false(pcl_helm_take(&s_helm, &s_one, 2000 + PCL_HELM_CROWDED_US - 1));
    assert_true(pcl_helm_take(&s_helm, &s_one, 2000 + PCL_HELM_CROWDED_US));
}

static void the_thread_waits_for_callers(void **state)
{
    (void)state;
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 0));
    pcl_helm_give_back(&s_helm, false);
    pcl_helm_wait(&s_helm); /* nobody takes it any more */
    assert_false(pcl_helm_take(&s_helm, &s_one, 0));
    pcl_helm_rest(&s_helm);
    assert_true(pcl_helm_take(&s_helm, &s_one, 0));
    pcl_helm_give_back(&s_helm, true);
    pcl_helm_wait(&s_helm); /* it is told, and has it */
    assert_true(pcl_helm_resume(&s_helm));
    assert_false(s_rings(s_helm.thread_fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_rests_is_woken_once, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(a_caller_takes_it_out_of_a_rest_only, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(a_caller_with_company_leaves_it_to_the_thread, s_setup,
                                        s_teardown),
        cmocka_unit_test_setup_teardown(what_a_caller_leaves_is_the_threads, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(company_calls_it_off, s_setup, s_teardown),
        cmocka_unit_test_setup_teardown(the_thread_waits_for_callers, s_setup, s_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
