/* Replies to one connection in one frame, and what becomes of those that cannot be sent. */
#include "gatekeeper/outbox.h"

#include "common/clock.h"
#include "net/frames.h"
#include "wire/packed.h"

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define NONE     pcl_bytes_of(NULL, 0)
#define START_US (5 * PCL_US_PER_S)

enum { ROUTE_SIZE = 5, CLIENTS = 3, WAIT_MS = 5000 };

typedef struct scene {
    zsock_t *router, *clients[CLIENTS];
    uint8_t routes[CLIENTS][ROUTE_SIZE];
    pcl_outbox *outbox;
} scene;

/* Each client says something, so that its routing id is known. */
static void s_open(scene *self, int queue_max)
{
    static int number = 0;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "inproc://outbox-%d", number++);
    self->router = zsock_new(ZMQ_ROUTER);
    zsock_set_router_mandatory(self->router, 1);
    zsock_set_sndtimeo(self->router, 0);
    zsock_set_rcvtimeo(self->router, WAIT_MS);
    zsock_set_sndhwm(self->router, queue_max);
    assert_int_equal(zsock_bind(self->router, "%s", endpoint), 0);
    for (size_t index = 0; index < CLIENTS; index++) {
        self->clients[index] = zsock_new(ZMQ_DEALER);
        zsock_set_rcvhwm(self->clients[index], queue_max);
        zsock_set_rcvtimeo(self->clients[index], 100);
        assert_int_equal(zsock_connect(self->clients[index], "%s", endpoint), 0);
        assert_int_equal(zstr_send(self->clients[index], "hello"), 0);
        zmsg_t *message = zmsg_recv(self->router);
        assert_non_null(message);
        assert_int_equal(zframe_size(zmsg_first(message)), ROUTE_SIZE);
        memcpy(self->routes[index], zframe_data(zmsg_first(message)), ROUTE_SIZE);
        zmsg_destroy(&message);
    }
    self->outbox = pcl_outbox_new(self->router);
    assert_non_null(self->outbox);
}

static void s_close(scene *self)
{
    pcl_outbox_destroy(&self->outbox);
    for (size_t index = 0; index < CLIENTS; index++) {
        zsock_destroy(&self->clients[index]);
    }
    zsock_destroy(&self->router);
}

static pcl_err s_add(scene *self, size_t client, uint64_t tag, size_t size, uint64_t now_us)
{
    static uint8_t payload[PCL_PACKED_PAYLOAD_MAX];
    memset(payload, (int)client, size);
    return pcl_outbox_add(self->outbox, pcl_bytes_of(self->routes[client], ROUTE_SIZE), tag, NONE,
                          pcl_bytes_of(payload, size), now_us);
}

/* How many messages the next frame has, whose tags must go on from *inout_tag; 0: there is none. */
static uint32_t s_take(scene *self, size_t client, uint64_t *inout_tag)
{
    zmsg_t *message = zmsg_recv(self->clients[client]);
    if (message == NULL) {
        return 0;
    }
    assert_int_equal(zmsg_size(message), 1);
    zframe_t *first = zmsg_first(message);
    pcl_bytes frame = pcl_bytes_of(zframe_data(first), zframe_size(first));
    pcl_packed packed;
    pcl_packed_reader reader = {.left = NONE};
    bool one = pcl_packed_read(&packed, frame);
    assert_true(one || pcl_packed_open(&reader, frame));
    uint32_t count = 0;
    while (one || pcl_packed_next(&reader, &packed)) {
        one = false;
        assert_true(packed.tag == ++*inout_tag);
        assert_int_equal(packed.payload.data[0], client); /* nobody else's */
        count++;
    }
    zmsg_destroy(&message);
    return count;
}

static void test_each_connection_gets_its_own_in_one_frame(void **state)
{
    (void)state;
    scene self;
    s_open(&self, 100);
    for (uint64_t tag = 1; tag <= 10; tag++) {
        for (size_t client = 0; client < CLIENTS; client++) {
            assert_int_equal(s_add(&self, client, tag, 100, START_US), PCL_ERR_OK);
        }
    }
    assert_false(pcl_outbox_is_empty(self.outbox));
    pcl_outbox_flush(self.outbox, START_US);
    assert_true(pcl_outbox_is_empty(self.outbox));
    for (size_t client = 0; client < CLIENTS; client++) {
        uint64_t tag = 0;
        assert_int_equal(s_take(&self, client, &tag), 10);
    }
    s_close(&self);
}

static void test_what_does_not_fit_goes_in_the_next_frame(void **state)
{
    (void)state;
    scene self;
    uint64_t tag = 0;
    s_open(&self, 100);
    for (uint64_t number = 1; number <= 100; number++) {
        assert_int_equal(s_add(&self, 1, number, 10, START_US), PCL_ERR_OK);
    }
    pcl_outbox_flush(self.outbox, START_US);
    assert_int_equal(s_take(&self, 1, &tag), PCL_PACKED_MANY_MAX);
    assert_int_equal(s_take(&self, 1, &tag), 100 - PCL_PACKED_MANY_MAX);
    s_close(&self);
}

/* Two connections that meet in one place: the second never gets the first one's. */
static void test_one_place_serves_one_connection_at_a_time(void **state)
{
    (void)state;
    scene self;
    uint64_t tag = 0;
    s_open(&self, 100);
    uint8_t stranger[ROUTE_SIZE];
    memcpy(stranger, self.routes[0], sizeof stranger);
    stranger[1] ^= 0x40; /* the same last octet, and nobody's */
    assert_int_equal(s_add(&self, 0, 1, 10, START_US), PCL_ERR_OK);
    assert_int_equal(pcl_outbox_add(self.outbox, pcl_bytes_of(stranger, sizeof stranger), 9, NONE,
                                    pcl_bytes_text("x"), START_US),
                     PCL_ERR_OK);
    assert_int_equal(s_add(&self, 0, 2, 10, START_US), PCL_ERR_OK);
    pcl_outbox_flush(self.outbox, START_US);
    assert_int_equal(s_take(&self, 0, &tag), 1);
    assert_int_equal(s_take(&self, 0, &tag), 1);
    assert_int_equal(s_take(&self, 0, &tag), 0);
    pcl_outbox_lost lost = pcl_outbox_take_lost(self.outbox);
    assert_true(lost.gone == 1 && lost.slow == 0);
    s_close(&self);
}

/* Fills the queue of the client, until its frame stays. */
static uint64_t s_fill(scene *self, size_t client)
{
    uint64_t tag = 0;
    while (pcl_outbox_is_empty(self->outbox)) {
        assert_int_equal(s_add(self, client, ++tag, 10, START_US), PCL_ERR_OK);
        pcl_outbox_flush(self->outbox, START_US);
        assert_true(tag < 1000);
    }
    return tag;
}

static void test_a_full_queue_is_tried_again_and_nothing_is_lost(void **state)
{
    (void)state;
    scene self;
    uint64_t taken = 0;
    s_open(&self, 2);
    uint64_t tag = s_fill(&self, 2);
    for (uint32_t more = 1; more < PCL_PACKED_MANY_MAX; more++) {
        assert_int_equal(s_add(&self, 2, ++tag, 10, START_US), PCL_ERR_OK);
    }
    assert_int_equal(s_add(&self, 2, tag + 1, 10, START_US), PCL_ERR_OVERLOADED);
    assert_int_equal(s_add(&self, 1, 1, 10, START_US), PCL_ERR_OK); /* others are served */
    pcl_outbox_flush(self.outbox, START_US);
    uint64_t other = 0;
    assert_int_equal(s_take(&self, 1, &other), 1);
    for (uint64_t now_us = START_US; taken < tag; now_us += 20 * PCL_US_PER_MS) {
        (void)s_take(&self, 2, &taken);
        assert_true(now_us < START_US + PCL_US_PER_S);
        pcl_outbox_flush(self.outbox, now_us);
    }
    assert_true(pcl_outbox_is_empty(self.outbox));
    pcl_outbox_lost lost = pcl_outbox_take_lost(self.outbox);
    assert_true(lost.gone == 0 && lost.slow == 0);
    s_close(&self);
}

static void test_who_does_not_read_loses_it_in_the_end_and_it_is_counted(void **state)
{
    (void)state;
    scene self;
    s_open(&self, 2);
    uint64_t tag = s_fill(&self, 0);
    assert_int_equal(s_add(&self, 0, tag + 1, 10, START_US), PCL_ERR_OK);
    uint8_t stranger[ROUTE_SIZE];
    memcpy(stranger, self.routes[0], sizeof stranger);
    stranger[1] ^= 0x40;
    assert_int_equal(pcl_outbox_add(self.outbox, pcl_bytes_of(stranger, sizeof stranger), 9, NONE,
                                    pcl_bytes_text("x"), START_US),
                     PCL_ERR_UNSUPPORTED);
    uint64_t late_us = START_US + (PCL_OUTBOX_WAIT_MS - 1) * PCL_US_PER_MS;
    pcl_outbox_flush(self.outbox, late_us);
    assert_false(pcl_outbox_is_empty(self.outbox));
    pcl_outbox_flush(self.outbox, late_us + 20 * PCL_US_PER_MS);
    assert_true(pcl_outbox_is_empty(self.outbox));
    pcl_outbox_lost lost = pcl_outbox_take_lost(self.outbox);
    assert_true(lost.slow == 2 && lost.gone == 0);
    lost = pcl_outbox_take_lost(self.outbox);
    assert_true(lost.slow == 0);
    s_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_connection_gets_its_own_in_one_frame),
        cmocka_unit_test(test_what_does_not_fit_goes_in_the_next_frame),
        cmocka_unit_test(test_one_place_serves_one_connection_at_a_time),
        cmocka_unit_test(test_a_full_queue_is_tried_again_and_nothing_is_lost),
        cmocka_unit_test(test_who_does_not_read_loses_it_in_the_end_and_it_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
