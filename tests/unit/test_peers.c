#include "broker/peers.h"

#include "common/limits.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_each_peer_has_its_own_filter(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    pcl_peer *first = pcl_peers_heard(&peers, pcl_bytes_text("first"), 1000);
    pcl_peer *second = pcl_peers_heard(&peers, pcl_bytes_text("second"), 1000);
    assert_int_equal(peers.count, 2);
    assert_int_equal(pcl_transit_wait_us(&first->transit, 0, 5000), 0);
    assert_int_equal(pcl_transit_wait_us(&second->transit, 0, 900000), 0); /* another clock */
    assert_ptr_equal(pcl_peers_heard(&peers, pcl_bytes_text("first"), 2000), first);
    assert_int_equal(pcl_transit_wait_us(&first->transit, 1000, 6400), 400);
}

static void test_another_boot_is_another_clock(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    pcl_peer *peer = pcl_peers_heard(&peers, pcl_bytes_text("gatekeeper"), 1000);
    pcl_peer_booted(peer, 7);
    assert_int_equal(pcl_transit_wait_us(&peer->transit, 0, 5000), 0);
    pcl_peer_booted(peer, 7);
    assert_true(peer->transit.known);
    pcl_peer_booted(peer, 8);
    assert_false(peer->transit.known);
}

static void test_a_newcomer_replaces_the_longest_silent(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    for (uint32_t index = 0; index < PCL_PEERS_MAX; index++) {
        uint8_t name[] = {1, (uint8_t)index};
        pcl_peer *peer = pcl_peers_heard(&peers, pcl_bytes_of(name, sizeof name), 1000 + index);
        pcl_peer_booted(peer, index + 1);
    }
    uint8_t first_name[] = {1, 0};
    pcl_bytes first = pcl_bytes_of(first_name, sizeof first_name);
    assert_int_equal(pcl_peers_heard(&peers, first, 9000)->boot_id, 1);
    pcl_peer *newcomer = pcl_peers_heard(&peers, pcl_bytes_text("newcomer"), 9001);
    assert_int_equal(newcomer->boot_id, 0);
    assert_int_equal(peers.count, PCL_PEERS_MAX);
    assert_int_equal(pcl_peers_heard(&peers, first, 9002)->boot_id, 1); /* still there */
    uint8_t second_name[] = {1, 1};
    pcl_bytes second = pcl_bytes_of(second_name, sizeof second_name);
    assert_int_equal(pcl_peers_heard(&peers, second, 9003)->boot_id, 0); /* made again */
}

enum { INTERVAL_US = PCL_BEAT_INTERVAL_MS * 1000 };

static void test_a_silent_peer_is_gone_once(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    uint64_t now_us = 1000;
    pcl_bytes name = pcl_bytes_text("gatekeeper");
    pcl_peer_booted(pcl_peers_heard(&peers, name, now_us), 7);
    (void)pcl_peers_heard(&peers, pcl_bytes_text("never pinged"), now_us);
    pcl_peers_look(&peers, now_us);
    for (uint32_t beat = 0; beat < PCL_BEATS_GONE; beat++) {
        now_us += INTERVAL_US;
        pcl_peers_look(&peers, now_us);
        assert_null(pcl_peers_gone(&peers));
    }
    pcl_peers_look(&peers, ++now_us);
    const pcl_peer *gone = pcl_peers_gone(&peers);
    assert_non_null(gone);
    assert_int_equal(gone->boot_id, 7);
    assert_null(pcl_peers_gone(&peers));
    assert_false(pcl_peers_heard(&peers, name, now_us)->gone); /* it was only slow */
    for (uint32_t beat = 0; beat <= PCL_BEATS_GONE; beat++) {
        now_us += INTERVAL_US;
        pcl_peers_look(&peers, now_us);
    }
    assert_non_null(pcl_peers_gone(&peers));
}

/* Over tcp a long message may be what it is at. */
static void test_a_peer_on_tcp_may_be_silent_for_longer(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    uint64_t now_us = 1000;
    pcl_peer *peer = pcl_peers_heard(&peers, pcl_bytes_text("gatekeeper"), now_us);
    pcl_peer_booted(peer, 7);
    peer->flow.peer = 1;
    pcl_peers_look(&peers, now_us);
    for (uint32_t beat = 0; beat < PCL_BEATS_GONE_ALONE; beat++) {
        now_us += INTERVAL_US;
        pcl_peers_look(&peers, now_us);
        assert_null(pcl_peers_gone(&peers));
    }
    pcl_peers_look(&peers, ++now_us);
    assert_non_null(pcl_peers_gone(&peers));
}

static void test_our_own_absence_is_nobodys_silence(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    pcl_peer_booted(pcl_peers_heard(&peers, pcl_bytes_text("gatekeeper"), 1000), 7);
    pcl_peers_look(&peers, 1000);
    pcl_peers_look(&peers, 1000 + 100 * INTERVAL_US); /* we were stopped */
    assert_null(pcl_peers_gone(&peers));
}

static void test_a_peer_that_left_is_forgotten(void **state)
{
    (void)state;
    pcl_peers peers = {0};
    pcl_peer_booted(pcl_peers_heard(&peers, pcl_bytes_text("first"), 1000), 7);
    pcl_peer_booted(pcl_peers_heard(&peers, pcl_bytes_text("second"), 1000), 8);
    pcl_peers_left(&peers, pcl_bytes_text("third"));
    assert_int_equal(peers.count, 2);
    pcl_peers_left(&peers, pcl_bytes_text("first"));
    assert_int_equal(peers.count, 1);
    assert_int_equal(pcl_peers_heard(&peers, pcl_bytes_text("second"), 2000)->boot_id, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_peer_has_its_own_filter),
        cmocka_unit_test(test_another_boot_is_another_clock),
        cmocka_unit_test(test_a_newcomer_replaces_the_longest_silent),
        cmocka_unit_test(test_a_silent_peer_is_gone_once),
        cmocka_unit_test(test_a_peer_on_tcp_may_be_silent_for_longer),
        cmocka_unit_test(test_our_own_absence_is_nobodys_silence),
        cmocka_unit_test(test_a_peer_that_left_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
