/* handshake.h - how a server's handshakes end, for tests of who may come in. */
#ifndef PCL_TESTS_UNIT_HANDSHAKE_H
#define PCL_TESTS_UNIT_HANDSHAKE_H

#include <assert.h>
#include <czmq.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

/* A monitor of the server's handshakes; the caller ends it with zsock_destroy, the server after
 * it. */
static zsock_t *handshake_watch(zsock_t *server)
{
    static int number;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://handshake-%d", number++);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    int rc = zmq_socket_monitor(zsock_resolve(server), endpoint, events);
    assert(rc == 0);
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    assert(monitor != NULL);
    rc = zsock_connect(monitor, "%s", endpoint);
    assert(rc == 0);
    zsock_set_rcvtimeo(monitor, 3000);
    return monitor;
}

/* The next event, 0 when none comes. */
static int handshake_result(zsock_t *monitor)
{
    uint16_t event = 0;
    zmsg_t *message = zmsg_recv(monitor);
    if (message != NULL) {
        memcpy(&event, zframe_data(zmsg_first(message)), sizeof event);
    }
    zmsg_destroy(&message);
    return event;
}

#endif
