/* The reply's route map. */
#include "worker-agent/route.h"

#include "wire/mp.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The map's pairs; the values that are not asked for are skipped. */
static uint32_t s_open(const pcl_buffer *buffer, pcl_mp_reader *reader)
{
    pcl_mp_value value;
    *reader = pcl_mp_reader_of(pcl_buffer_bytes(buffer));
    assert_true(pcl_mp_next(reader, &value));
    assert_true(pcl_bytes_is(value.bytes, "route"));
    assert_true(pcl_mp_next(reader, &value));
    assert_int_equal(value.type, PCL_MP_MAP);
    return value.count;
}

static bool s_find(const pcl_buffer *buffer, const char *key, pcl_mp_value *out_value)
{
    pcl_mp_reader reader;
    uint32_t pairs = s_open(buffer, &reader);
    for (uint32_t pair = 0; pair < pairs; pair++) {
        pcl_mp_value name;
        pcl_bytes skipped;
        assert_true(pcl_mp_next(&reader, &name));
        if (pcl_bytes_is(name.bytes, key)) {
            return pcl_mp_next(&reader, out_value);
        }
        assert_true(pcl_mp_skip(&reader, &skipped));
    }
    return false;
}

static void test_a_route_names_node_role_strategy_and_attempts(void **state)
{
    (void)state;
    pcl_head head = {.strategy = PCL_STRATEGY_RANDOM, .attempt = 1, .flags = PCL_HEAD_HEDGE};
    pcl_route route = {.node = "n1", .role = PCL_NODE_REPLICA, .head = &head};
    pcl_buffer buffer;
    pcl_mp_value value;
    pcl_buffer_init(&buffer, 1024);
    pcl_route_put(&buffer, &route);
    assert_true(s_find(&buffer, "node", &value) && pcl_bytes_is(value.bytes, "n1"));
    assert_true(s_find(&buffer, "role", &value) && pcl_bytes_is(value.bytes, "replica"));
    assert_true(s_find(&buffer, "strategy", &value) && pcl_bytes_is(value.bytes, "random"));
    assert_true(s_find(&buffer, "attempts", &value) && value.uint == 2);
    assert_true(s_find(&buffer, "hedged", &value) && value.boolean);
    assert_false(s_find(&buffer, "us", &value));
    pcl_buffer_release(&buffer);
}

static void s_put_explanation(pcl_buffer *target)
{
    pcl_buffer_init(target, 256);
    pcl_mp_put_map(target, 1);
    pcl_mp_put_text(target, "candidates");
    pcl_mp_put_uint(target, 3);
}

static void test_an_explained_route_has_the_proxys_pairs_and_the_times(void **state)
{
    (void)state;
    pcl_buffer explanation;
    pcl_buffer buffer;
    pcl_mp_value value;
    s_put_explanation(&explanation);
    pcl_buffer_init(&buffer, 1024);
    pcl_head head = {.flags = PCL_HEAD_EXPLAIN, .gatekeeper_us = 1, .broker_us = 2, .proxy_us = 3};
    pcl_route route = {.node = "n1",
                       .head = &head,
                       .explanation = pcl_buffer_bytes(&explanation),
                       .queue_us = 4,
                       .exec_us = 5};
    pcl_route_put(&buffer, &route);
    assert_true(s_find(&buffer, "candidates", &value) && value.uint == 3);
    assert_true(s_find(&buffer, "us", &value) && value.count == 5);
    /* Without the flag the tail is not the agent's to read. */
    head.flags = 0;
    pcl_buffer_clear(&buffer);
    pcl_route_put(&buffer, &route);
    assert_false(s_find(&buffer, "candidates", &value));
    pcl_buffer_release(&explanation);
    pcl_buffer_release(&buffer);
}

static void test_an_explanation_that_is_no_map_is_left_out(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "\x01", "\xdf\xff\xff\xff\xff", "\x81\xa1x", "\x90"};
    pcl_buffer buffer;
    pcl_mp_value value;
    pcl_buffer_init(&buffer, 1024);
    for (size_t index = 0; index < sizeof BAD / sizeof BAD[0]; index++) {
        pcl_head head = {.flags = PCL_HEAD_EXPLAIN};
        pcl_route route = {.node = "n", .head = &head, .explanation = pcl_bytes_text(BAD[index])};
        pcl_buffer_clear(&buffer);
        pcl_route_put(&buffer, &route);
        assert_true(s_find(&buffer, "us", &value));
    }
    pcl_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_route_names_node_role_strategy_and_attempts),
        cmocka_unit_test(test_an_explained_route_has_the_proxys_pairs_and_the_times),
        cmocka_unit_test(test_an_explanation_that_is_no_map_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
