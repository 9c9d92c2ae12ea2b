#include "net/zap_check.h"

#include "net/key_list.h"
#include "net/keys.h"
#include "net/log.h"
#include "net/socket.h"
#include "net/time.h"
#include "net/zap.h"

#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DOMAIN "portcullis.self-test"

enum { ANSWER_MS_MAX = 10000 }; /* a machine on which all starts at once is busy */

typedef struct s_check {
    pcl_keys server_keys;
    zsock_t *server;
    zsock_t *monitor; /* of the server's handshakes */
    const char *endpoint;
} s_check;

/* The next event of a finished handshake: 0 when none comes in time. */
static int s_handshake_event(s_check *self)
{
    int event = 0;
    zsock_set_rcvtimeo(self->monitor, ANSWER_MS_MAX);
    zmsg_t *message = zmsg_recv(self->monitor);
    if (message != NULL) {
        uint16_t number = 0;
        zframe_t *frame = zmsg_first(message);
        if (frame != NULL && zframe_size(frame) >= sizeof number) {
            memcpy(&number, zframe_data(frame), sizeof number);
            event = number;
        }
    }
    zmsg_destroy(&message);
    return event;
}

static int s_handshake_with(s_check *self, const pcl_keys *keys)
{
    char error[256];
    pcl_socket_options options = {.endpoint = self->endpoint,
                                  .keys = keys,
                                  .server_key = self->server_keys.public_key,
                                  .queue_max = 1,
                                  .message_size_max = 1024};
    zsock_t *client = pcl_socket_dealer(&options, error, sizeof error);
    if (client == NULL) {
        return 0;
    }
    int event = s_handshake_event(self);
    zsock_destroy(&client);
    return event;
}

static bool s_open(s_check *self)
{
    char error[256] = "";
    pcl_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                  .keys = &self->server_keys,
                                  .zap_domain = DOMAIN,
                                  .queue_max = 1,
                                  .message_size_max = 1024};
    self->server = pcl_socket_router(&options, error, sizeof error);
    if (self->server == NULL) {
        pcl_log(PCL_LOG_ERROR, "zap", "self-test", "error=\"%s\"", error);
        return false;
    }
    self->endpoint = zsock_endpoint(self->server);
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    /* A name of its own: that of an earlier check may not be free yet. */
    char monitor[64];
    snprintf(monitor, sizeof monitor, "inproc://portcullis.zap-check.%016" PRIx64,
             pcl_random_u64());
    self->monitor = zsock_new(ZMQ_PAIR);
    if (self->monitor == NULL ||
        zmq_socket_monitor(zsock_resolve(self->server), monitor, events) != 0 ||
        zsock_connect(self->monitor, "%s", monitor) != 0) {
        pcl_log(PCL_LOG_ERROR, "zap", "self-test", "error=\"%s\"", zmq_strerror(errno));
        return false;
    }
    return true;
}

bool pcl_zap_check(void)
{
    s_check self = {.endpoint = NULL};
    pcl_keys known, stranger;
    pcl_keys_make(&self.server_keys);
    pcl_keys_make(&known);
    pcl_keys_make(&stranger);
    pcl_key_list *list = pcl_key_list_new();
    pcl_key_list *nobody = pcl_key_list_new();
    assert(list != NULL && nobody != NULL);
    const char *fault = pcl_key_list_add(list, "known", known.public_key, "");
    assert(fault == NULL);
    pcl_zap_set(DOMAIN, list);

    bool proved = false;
    if (s_open(&self)) {
        int refused = s_handshake_with(&self, &stranger);
        int admitted = s_handshake_with(&self, &known);
        proved = refused == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH &&
                 admitted == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        if (!proved) {
            pcl_log(PCL_LOG_ERROR, "zap", "self-test", "stranger=0x%x known=0x%x",
                    (unsigned)refused, (unsigned)admitted);
        }
    }
    pcl_zap_set(DOMAIN, nobody);
    pcl_key_list_destroy(&list);
    pcl_key_list_destroy(&nobody);
    if (self.server != NULL) {
        (void)zmq_socket_monitor(zsock_resolve(self.server), NULL, 0);
    }
    zsock_destroy(&self.monitor);
    zsock_destroy(&self.server);
    pcl_keys_wipe(&self.server_keys);
    pcl_keys_wipe(&known);
    pcl_keys_wipe(&stranger);
    return proved;
}
