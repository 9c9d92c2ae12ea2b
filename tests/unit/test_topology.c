#include "wire/topology.h"

#include <stdio.h>
#include <string.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static pcl_topology s_example(void)
{
    return (pcl_topology){
        .term = 3,
        .attempt = UINT64_C(0x0102030405060708),
        .stage = PCL_TOPOLOGY_FENCED,
        .ready = true,
        .source = {.name = "node-2", .host = "10.0.0.2", .port = 3307},
        .from = {.name = "node-1", .host = "db1.example", .port = 3306},
        .own = {.host = "fd00::2", .port = 3307},
        .position = "0-1-42,1-1-7",
    };
}

static void s_assert_same_place(const pcl_topology_place *a, const pcl_topology_place *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->host, b->host);
    assert_int_equal(a->port, b->port);
}

static pcl_err s_recode(const pcl_topology *topology, pcl_topology *out_topology)
{
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    size_t size = pcl_topology_encode(topology, octets);
    return pcl_topology_decode(out_topology, pcl_bytes_of(octets, size));
}

static void test_what_is_encoded_comes_back(void **state)
{
    (void)state;
    pcl_topology one = s_example();
    pcl_topology other;
    assert_int_equal(s_recode(&one, &other), PCL_ERR_OK);
    assert_int_equal(other.term, one.term);
    assert_int_equal(other.attempt, one.attempt);
    assert_int_equal(other.stage, one.stage);
    assert_true(other.ready && !other.wants);
    s_assert_same_place(&other.source, &one.source);
    s_assert_same_place(&other.from, &one.from);
    s_assert_same_place(&other.own, &one.own);
    assert_string_equal(other.position, one.position);
}

static void test_the_longest_texts_fit(void **state)
{
    (void)state;
    pcl_topology one = s_example();
    memset(one.source.name, 'a', sizeof one.source.name - 1);
    memset(one.from.name, 'b', sizeof one.from.name - 1);
    memset(one.source.host, 'c', sizeof one.source.host - 1);
    memset(one.from.host, 'd', sizeof one.from.host - 1);
    memset(one.own.host, 'e', sizeof one.own.host - 1);
    memset(one.position, '1', sizeof one.position - 1);
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
    assert_int_equal(pcl_topology_encode(&one, octets), PCL_TOPOLOGY_SIZE_MAX);
    pcl_topology other;
    assert_int_equal(pcl_topology_decode(&other, pcl_bytes_of(octets, sizeof octets)), PCL_ERR_OK);
    s_assert_same_place(&other.own, &one.own);
}

static void test_every_shorter_or_longer_message_is_refused(void **state)
{
    (void)state;
    pcl_topology one = s_example();
    pcl_topology other;
    uint8_t octets[PCL_TOPOLOGY_SIZE_MAX + 1] = {0};
    size_t size = pcl_topology_encode(&one, octets);
    for (size_t part = 0; part < size; part++) {
        assert_int_equal(pcl_topology_decode(&other, pcl_bytes_of(octets, part)),
                         PCL_ERR_MALFORMED);
    }
    assert_int_equal(pcl_topology_decode(&other, pcl_bytes_of(octets, size + 1)),
                     PCL_ERR_MALFORMED);
}

static void test_values_that_are_not_listed_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } CASES[] = {{16, PCL_TOPOLOGY_STAGE_COUNT},
                 {17, 4},
                 {29, 1},
                 {24, 64},
                 {25, 254},
                 {32, '\''},
                 {32, ' '},
                 {32, 0}};
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        pcl_topology one = s_example();
        pcl_topology other;
        uint8_t octets[PCL_TOPOLOGY_SIZE_MAX];
        size_t size = pcl_topology_encode(&one, octets);
        octets[CASES[index].at] = CASES[index].value;
        assert_int_equal(pcl_topology_decode(&other, pcl_bytes_of(octets, size)),
                         PCL_ERR_MALFORMED);
    }
}

static void test_from_fenced_on_everything_must_be_there(void **state)
{
    (void)state;
    for (int missing = 0; missing < 9; missing++) {
        pcl_topology one = s_example();
        pcl_topology other;
        one.term = missing == 0 ? 0 : one.term;
        one.source.name[0] = missing == 1 ? '\0' : one.source.name[0];
        one.source.host[0] = missing == 2 ? '\0' : one.source.host[0];
        one.source.port = missing == 3 ? 0 : one.source.port;
        one.from.name[0] = missing == 4 ? '\0' : one.from.name[0];
        one.from.host[0] = missing == 5 ? '\0' : one.from.host[0];
        one.from.port = missing == 6 ? 0 : one.from.port;
        one.position[0] = missing == 7 ? '\0' : one.position[0];
        if (missing == 8) {
            memcpy(one.from.name, one.source.name, sizeof one.from.name);
        }
        assert_int_equal(s_recode(&one, &other), PCL_ERR_MALFORMED);
        one.stage = PCL_TOPOLOGY_NONE;
        assert_int_equal(s_recode(&one, &other), PCL_ERR_OK);
    }
}

static void test_a_later_term_and_a_later_stage_are_newer(void **state)
{
    (void)state;
    pcl_topology old = {.term = 2, .stage = PCL_TOPOLOGY_OPEN};
    pcl_topology decided = {.term = 3, .stage = PCL_TOPOLOGY_DECIDED};
    pcl_topology open = {.term = 3, .stage = PCL_TOPOLOGY_OPEN};
    assert_true(pcl_topology_is_newer(&old, &decided));
    assert_true(pcl_topology_is_newer(&decided, &open));
    assert_false(pcl_topology_is_newer(&open, &decided));
    assert_false(pcl_topology_is_newer(&open, &open));
    assert_false(pcl_topology_is_newer(&decided, &old));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_encoded_comes_back),
        cmocka_unit_test(test_the_longest_texts_fit),
        cmocka_unit_test(test_every_shorter_or_longer_message_is_refused),
        cmocka_unit_test(test_values_that_are_not_listed_are_refused),
        cmocka_unit_test(test_from_fenced_on_everything_must_be_there),
        cmocka_unit_test(test_a_later_term_and_a_later_stage_are_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
