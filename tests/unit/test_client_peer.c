#include "client/peer.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zmq.h>

enum { EVENT_WAIT_MS = 20000 /* of what comes within four seconds */ };

/* Connects, and does nothing any more; libzmq's thread sends heartbeats. */
static void s_be_client(const char *endpoint)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it stands still */
    static pcl_bundle_gatekeeper gatekeeper;
    static pcl_bundle bundle;
    char error[256];
    (void)snprintf(gatekeeper.endpoint, sizeof gatekeeper.endpoint, "%s", endpoint);
    pcl_peer_options options = {.gatekeeper = &gatekeeper, .bundle = &bundle, .queue_max = 8};
    if (pcl_peer_new(zmq_ctx_new(), &options, error, sizeof error) == NULL) {
        _exit(1);
    }
    for (;;) {
        (void)pause();
    }
}

static void s_expect_event(void *monitor, uint16_t wanted)
{
    uint8_t octets[64];
    uint16_t event = 0;
    int size = zmq_recv(monitor, octets, sizeof octets, 0);
    assert_true(size >= (int)sizeof event);
    memcpy(&event, octets, sizeof event);
    assert_int_equal(event, wanted);
    assert_true(zmq_recv(monitor, octets, sizeof octets, 0) >= 0); /* the endpoint */
}

/* A kernel counts no silence of a Unix socket, so its peer has to be told by libzmq. */
static void test_who_stands_still_on_ipc_loses_its_connection(void **state)
{
    (void)state;
    char folder[] = "/tmp/portcullis-peer-XXXXXX";
    char endpoint[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/gate", folder);
    pid_t child = fork(); /* before there are threads */
    assert_true(child != -1);
    if (child == 0) {
        s_be_client(endpoint);
    }
    void *context = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER);
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    int wait_ms = EVENT_WAIT_MS;
    int linger_ms = 0;
    assert_int_equal(zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms), 0);
    assert_int_equal(zmq_setsockopt(router, ZMQ_LINGER, &linger_ms, sizeof linger_ms), 0);
    assert_int_equal(zmq_socket_monitor(router, "inproc://monitor",
                                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED),
                     0);
    assert_int_equal(zmq_connect(monitor, "inproc://monitor"), 0);
    assert_int_equal(zmq_bind(router, endpoint), 0);
    s_expect_event(monitor, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    (void)poll(NULL, 0, 2000); /* heartbeats, each of which says for how long */
    assert_int_equal(kill(child, SIGSTOP), 0);
    s_expect_event(monitor, ZMQ_EVENT_DISCONNECTED);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(zmq_close(monitor), 0);
    assert_int_equal(zmq_close(router), 0);
    assert_int_equal(zmq_ctx_term(context), 0);
    (void)unlink(endpoint + strlen("ipc://"));
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_stands_still_on_ipc_loses_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
