#include "net/socket.h"

#include "common/endian.h"
#include "net/frames.h"
#include "net/time.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* zmq.h of libzmq 4.3 shows this one to draft builds only, yet every build has it. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif
/* Likewise; of the context. */
#ifndef ZMQ_ZERO_COPY_RECV
#define ZMQ_ZERO_COPY_RECV 10
#endif

/* What a peer says of itself in its handshake: never silent for so many ms. */
#define SILENCE_PROPERTY "X-Silence-Max-Ms"

/* Name, nonce, authenticator and flags of a CurveZMQ message (ZeroMQ RFC 26). */
enum { ROUTE_SIZE = 5 }; /* of a routing id that a ROUTER makes up: 0, and a number */
enum { CURVE_FRAME_OVERHEAD = 8 + 8 + 16 + 1 };

/* The option sheet.  Times are milliseconds; what each is for stands beside it. */
static const struct {
    int name, value;
} COMMON[] = {
    {ZMQ_SNDTIMEO, 0}, /* a loop never waits for a peer */
    {ZMQ_LINGER, 500}, /* the last replies may leave, a dead peer holds nobody up */
    {ZMQ_HANDSHAKE_IVL, PCL_HANDSHAKE_MS}, /* silent connections do not pile up */
    {ZMQ_TCP_MAXRT, 3000},                 /* unacknowledged data ends the connection */
    {ZMQ_TCP_KEEPALIVE, 1},                /* so does a host that vanished */
    {ZMQ_TCP_KEEPALIVE_IDLE, 10},          /* seconds */
    {ZMQ_TCP_KEEPALIVE_INTVL, 5},          /* seconds */
    {ZMQ_TCP_KEEPALIVE_CNT, 3},            /* probes */
    {ZMQ_BACKLOG, 4096},                   /* many clients at once after a restart */
    {ZMQ_RECONNECT_IVL, 100},              /* first try again ... */
    {ZMQ_RECONNECT_IVL_MAX, 1000},         /* ... backing off to this */
};

static bool s_fail(char *error, size_t error_size, const char *endpoint, const char *why)
{
    snprintf(error, error_size, "%s: %s", endpoint, why);
    return false;
}

/* libzmq never seeds the generator of its automatic routing ids, and CZMQ seeds
 * it with the second of the start, so a peer could guess another's.
 *
 * A message that was not copied out of the buffer that it was read into has a description in that
 * buffer, on a page that idle connections need for nothing else: a tenth of their memory.
 * CURVE copies all the same.  A libzmq that does not know the option needs more memory. */
static void s_prepare(void)
{
    void *context = zsys_init();
    (void)zmq_ctx_set(context, ZMQ_ZERO_COPY_RECV, 0);
    srandom((unsigned)pcl_random_u64());
}

static bool s_set_int(zsock_t *socket, int name, int value)
{
    return zmq_setsockopt(zsock_resolve(socket), name, &value, sizeof value) == 0;
}

static bool s_set_text(zsock_t *socket, int name, const char *text)
{
    return zmq_setsockopt(zsock_resolve(socket), name, text, strlen(text)) == 0;
}

/* Whether the endpoint needs CURVE; only then is there anyone to keep out. */
static bool s_is_curve(const pcl_socket_options *options)
{
    return strncmp(options->endpoint, "tcp://", 6) == 0 && !options->insecure;
}

/* libzmq holds its limit against what is on the wire, where CURVE adds to each
 * frame; a frame of our own limit would end the connection otherwise. */
static int64_t s_wire_size_max(const pcl_socket_options *options)
{
    int64_t size_max = options->message_size_max;
    return s_is_curve(options) ? size_max + CURVE_FRAME_OVERHEAD : size_max;
}

static bool s_set_common(zsock_t *socket, const pcl_socket_options *options)
{
    assert(options->queue_max > 0 && options->queue_max <= INT_MAX);
    assert(options->message_size_max > 0);
    bool fine = true;
    for (size_t index = 0; index < sizeof COMMON / sizeof COMMON[0]; index++) {
        fine = s_set_int(socket, COMMON[index].name, COMMON[index].value) && fine;
    }
    int64_t size_max = s_wire_size_max(options);
    void *handle = zsock_resolve(socket);
    fine = zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max) == 0 && fine;
    fine = s_set_int(socket, ZMQ_SNDHWM, (int)options->queue_max) && fine;
    /* A connection whose receive queue is full stops reading, and libzmq 4.3 then aborts the
     * process when that peer's connection ends at the wrong moment (docs/decisions/0003). */
    bool inproc = strncmp(options->endpoint, "inproc://", 9) == 0;
    fine = s_set_int(socket, ZMQ_RCVHWM, inproc ? (int)options->queue_max : 0) && fine;
    if (strchr(options->endpoint, '[') != NULL) {
        fine = s_set_int(socket, ZMQ_IPV6, 1) && fine;
    }
    return fine;
}

static bool s_set_keys(zsock_t *socket, const pcl_keys *keys)
{
    return s_set_text(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key) &&
           s_set_text(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key);
}

static zsock_t *s_new(int type, const pcl_socket_options *options, char *error, size_t error_size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    assert(options != NULL && options->endpoint != NULL && error != NULL);
    (void)pthread_once(&once, s_prepare);
    zsock_t *socket = zsock_new(type);
    if (socket == NULL) {
        s_fail(error, error_size, options->endpoint, zmq_strerror(errno));
    } else if (!s_set_common(socket, options)) {
        s_fail(error, error_size, options->endpoint, zmq_strerror(errno));
        zsock_destroy(&socket);
    }
    return socket;
}

/* Lets somebody of our own in, before anybody else can come, and looks at what he is called. */
static bool s_probe_route(zsock_t *router, uint32_t *out_first_route)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://pcl-probe-%016" PRIx64, pcl_random_u64());
    zsock_t *probe = zsock_new(ZMQ_DEALER);
    bool fine = probe != NULL && zsock_bind(router, "%s", endpoint) != -1 &&
                zsock_connect(probe, "%s", endpoint) == 0 && zstr_send(probe, "") == 0;
    pcl_frames message;
    if (fine && pcl_frames_recv(&message, router) == PCL_RECV_MESSAGE) {
        pcl_bytes route = pcl_frame_bytes(&message.frame[0]);
        fine = route.size == ROUTE_SIZE;
        if (fine) {
            *out_first_route = (uint32_t)pcl_get_be(route.data + 1, ROUTE_SIZE - 1) + 1;
        }
        pcl_frames_close(&message);
    } else {
        fine = false;
    }
    (void)zsock_unbind(router, "%s", endpoint); /* fails when it was not bound */
    zsock_destroy(&probe);
    return fine;
}

static bool s_open_router(zsock_t *socket, const pcl_socket_options *options, char *error,
                          size_t error_size)
{
    const char *endpoint = options->endpoint;
    if (s_is_curve(options)) {
        if (options->keys == NULL) {
            return s_fail(error, error_size, endpoint, "tcp needs a key file (or insecure = 1)");
        }
        /* Both together make libzmq refuse everyone when no handler answers. */
        assert(options->zap_domain != NULL && options->zap_domain[0] != '\0');
        if (!s_set_int(socket, ZMQ_CURVE_SERVER, 1) || !s_set_keys(socket, options->keys) ||
            !s_set_text(socket, ZMQ_ZAP_DOMAIN, options->zap_domain) ||
            !s_set_int(socket, ZMQ_ZAP_ENFORCE_DOMAIN, 1)) {
            return s_fail(error, error_size, endpoint, "the keys cannot be used");
        }
    }
    /* What cannot be delivered is said, and nobody takes over another's id. */
    if (!s_set_int(socket, ZMQ_ROUTER_MANDATORY, 1) || !s_set_int(socket, ZMQ_ROUTER_HANDOVER, 0)) {
        return s_fail(error, error_size, endpoint, zmq_strerror(errno));
    }
    if (options->out_first_route != NULL && !s_probe_route(socket, options->out_first_route)) {
        return s_fail(error, error_size, endpoint, "the socket does not name its peers");
    }
    if (zsock_bind(socket, "%s", endpoint) == -1) {
        return s_fail(error, error_size, endpoint, zmq_strerror(errno));
    }
    return true;
}

static bool s_open_dealer(zsock_t *socket, const pcl_socket_options *options, char *error,
                          size_t error_size)
{
    const char *endpoint = options->endpoint;
    if (s_is_curve(options)) {
        if (options->keys == NULL) {
            return s_fail(error, error_size, endpoint, "tcp needs a key file (or insecure = 1)");
        }
        if (options->server_key == NULL || !pcl_key_valid(options->server_key)) {
            return s_fail(error, error_size, endpoint, "tcp needs the peer's public key");
        }
        if (!s_set_keys(socket, options->keys) ||
            !s_set_text(socket, ZMQ_CURVE_SERVERKEY, options->server_key)) {
            return s_fail(error, error_size, endpoint, "the keys cannot be used");
        }
    }
    /* Nothing queues for a peer that is not there. */
    if (!s_set_int(socket, ZMQ_IMMEDIATE, 1)) {
        return s_fail(error, error_size, endpoint, zmq_strerror(errno));
    }
    if (zsock_connect(socket, "%s", endpoint) == -1) {
        return s_fail(error, error_size, endpoint, zmq_strerror(errno));
    }
    return true;
}

zsock_t *pcl_socket_router(const pcl_socket_options *options, char *error, size_t error_size)
{
    zsock_t *socket = s_new(ZMQ_ROUTER, options, error, error_size);
    if (socket != NULL && !s_open_router(socket, options, error, error_size)) {
        zsock_destroy(&socket);
    }
    return socket;
}

zsock_t *pcl_socket_dealer(const pcl_socket_options *options, char *error, size_t error_size)
{
    zsock_t *socket = s_new(ZMQ_DEALER, options, error, error_size);
    if (socket != NULL && !s_open_dealer(socket, options, error, error_size)) {
        zsock_destroy(&socket);
    }
    return socket;
}

/* unbounded: the receiver's queue has no mark. */
static zsock_t *s_watch(zsock_t *socket, int events, bool unbounded, char *error, size_t error_size)
{
    assert(socket != NULL && error != NULL);
    char endpoint[64];
    /* Random: the name of a watch that was ended stays taken for a while. */
    snprintf(endpoint, sizeof endpoint, "inproc://pcl-watch-%016" PRIx64, pcl_random_u64());
    if (zmq_socket_monitor(zsock_resolve(socket), endpoint, events) != 0) {
        s_fail(error, error_size, "watch", zmq_strerror(errno));
        return NULL;
    }
    zsock_t *watch = zsock_new(ZMQ_PAIR);
    if (watch == NULL || !s_set_int(watch, ZMQ_LINGER, 0) ||
        (unbounded && !s_set_int(watch, ZMQ_RCVHWM, 0)) ||
        zsock_connect(watch, "%s", endpoint) == -1) {
        s_fail(error, error_size, "watch", zmq_strerror(errno));
        pcl_socket_unwatch(socket, &watch);
    }
    return watch;
}

zsock_t *pcl_socket_watch(zsock_t *socket, char *error, size_t error_size)
{
    return s_watch(socket, ZMQ_EVENT_DISCONNECTED, false, error, error_size);
}

zsock_t *pcl_socket_watch_peers(zsock_t *socket, char *error, size_t error_size)
{
    /* Not ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: libzmq 4.3 tells it between an error and the look at
     * errno, which the telling changes, and the connection then stays, deaf, for ever. */
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    return s_watch(socket, events, true, error, error_size);
}

static pcl_peer_event s_peer_event(uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        return PCL_PEER_OPENED;
    case ZMQ_EVENT_DISCONNECTED:
        return PCL_PEER_CLOSED;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        return PCL_PEER_SHOOK_HANDS;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return PCL_PEER_FAILED_KEY;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return PCL_PEER_FAILED_OTHER;
    default: /* the monitor's own end */
        return PCL_PEER_NOTHING;
    }
}

pcl_peer_event pcl_socket_peer_event(zsock_t *watch, int *out_fd)
{
    assert(watch != NULL && out_fd != NULL);
    pcl_frames message;
    while (pcl_frames_recv(&message, watch) == PCL_RECV_MESSAGE) {
        uint16_t number = 0;
        int32_t value = -1;
        if (zmq_msg_size(&message.frame[0]) == sizeof number + sizeof value) {
            const uint8_t *octets = zmq_msg_data(&message.frame[0]);
            memcpy(&number, octets, sizeof number);
            memcpy(&value, octets + sizeof number, sizeof value);
        }
        pcl_frames_close(&message);
        pcl_peer_event event = s_peer_event(number);
        if (event != PCL_PEER_NOTHING) {
            *out_fd = value;
            return event;
        }
    }
    return PCL_PEER_NOTHING;
}

int pcl_socket_frame_fd(zmq_msg_t *frame)
{
    assert(frame != NULL);
    const char *text = zmq_msg_gets(frame, "__fd");
    return text != NULL ? atoi(text) : -1;
}

uint32_t pcl_socket_frame_silence_ms(zmq_msg_t *frame)
{
    assert(frame != NULL);
    const char *text = zmq_msg_gets(frame, SILENCE_PROPERTY);
    char *end = NULL;
    unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
    return value != 0 && value < UINT32_MAX && *end == '\0' ? (uint32_t)value : 0;
}

void pcl_socket_unwatch(zsock_t *socket, zsock_t **watch_p)
{
    assert(socket != NULL && watch_p != NULL);
    /* First the writer: libzmq's own thread would wait for a reader that is gone. */
    (void)zmq_socket_monitor(zsock_resolve(socket), NULL, 0); /* fails when the context is gone */
    zsock_destroy(watch_p);
}
