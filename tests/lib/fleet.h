/* fleet.h - nodes as a proxy knows them. */
#ifndef PCL_TESTS_FLEET_H
#define PCL_TESTS_FLEET_H

#include "proxy/membership.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

/* n0 the source, then replicas; all well. */
static inline pcl_membership *pcl_test_fleet(uint32_t count, uint64_t now_us)
{
    pcl_membership *members = pcl_membership_new(PCL_NODES_MAX, now_us);
    for (uint32_t index = 0; index < count; index++) {
        char name[16];
        pcl_member_action action = PCL_MEMBER_NOTHING;
        (void)snprintf(name, sizeof name, "n%u", index);
        assert_int_equal(pcl_membership_add(members, pcl_bytes_text(name)), index);
        assert_true(pcl_membership_heard(members, index, 100 + index, now_us, &action));
        pcl_report report = {.boot_id = 100 + index,
                             .seq = 1,
                             .role = index == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                             .state = PCL_NODE_UP,
                             .replicating = true,
                             .read_only = index != 0,
                             .workers = 8};
        assert_true(pcl_membership_report(members, index, &report, now_us));
    }
    return members;
}

#endif
