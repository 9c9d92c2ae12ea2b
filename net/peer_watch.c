#include "net/peer_watch.h"

#include "common/clock.h"
#include "common/endian.h"
#include "net/frames.h"
#include "net/process.h"
#include "net/socket.h"
#include "net/tcp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { DESCRIPTORS_MIN = 1024 }; /* room for, where the limit cannot be read or is silly */

#define GUARD_INTERVAL_US (100 * PCL_US_PER_MS)
/* Memory that may be taken anew before the connections are measured. */
#define GROWTH_SIZE_MAX   (UINT64_C(32) * 1024 * 1024)

/* A handshake has some 600 octets; what a client adds to it, libzmq keeps as long as the connection
 * is there. */
#define HANDSHAKE_SIZE_MAX   (16u * 1024u)
#define SUSPECTS_INTERVAL_US PCL_US_PER_S

/* Connections that may have been made before the monitor was. */
#define UNSEEN_MAX 65536u

/* What peers say of their silence counts within these; each connection is looked at once in so many
 * ticks, about a second. */
#define SILENCE_MS_MIN 1000u
#define SILENCE_MS_MAX 60000u
#define SILENCE_TICKS  100u

/* Connections that have sent more, and have not spoken. */
enum { SUSPECTS_MAX = 256 };

typedef struct suspect {
    int fd;
    uint64_t peer; /* whose it was */
    uint64_t received;
} suspect;

/* Descriptors that connections leave to everything else: files, the loop, the links. */
enum { DESCRIPTORS_SPARE = 128 };

struct pcl_peer_watch {
    pcl_peer_watch_options options;
    bool drained;            /* since the connections were measured last */
    uint64_t guard_due_us;   /* when memory is looked at next */
    uint64_t resident_limit; /* octets of memory at which the connections are measured */
    zsock_t *monitor;        /* owned */
    pcl_connections *table;
    pcl_arrivals *arrivals;
    uint64_t *peers;    /* by descriptor: who is at the other end, pcl_tcp_peer's tag */
    uint16_t *silences; /* by descriptor: ms for which it may be silent; 0: for ever */
    int silence_cursor; /* the descriptor that is looked at next */
    uint32_t descriptor_max;
    bool has_first_route;
    uint32_t first_route;
    pcl_peer_watch_counts counts;
    suspect suspects[SUSPECTS_MAX];
    uint32_t suspect_count;
    uint64_t suspects_due_us;
};

/* Descriptors are numbered below the process's limit. */
static uint32_t s_descriptor_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < DESCRIPTORS_MIN) {
        return DESCRIPTORS_MIN;
    }
    return limit.rlim_cur < PCL_CONNECTIONS_MAX ? (uint32_t)limit.rlim_cur : PCL_CONNECTIONS_MAX;
}

/* No more than leaves the process some descriptors; of few, half. */
static uint32_t s_connections_max(uint32_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > PCL_CONNECTIONS_MAX) {
        return wanted;
    }
    uint32_t all = (uint32_t)limit.rlim_cur;
    uint32_t room = all > 2 * DESCRIPTORS_SPARE ? all - DESCRIPTORS_SPARE : all / 2;
    return wanted < room ? wanted : room > 0 ? room : 1;
}

void pcl_peer_watch_set_limits(pcl_peer_watch *self, const pcl_arrivals_limits *limits)
{
    assert(self != NULL && limits != NULL);
    pcl_arrivals_limits bounded = *limits;
    bounded.connections_max = s_connections_max(limits->connections_max);
    pcl_arrivals_set_limits(self->arrivals, &bounded);
}

static bool s_make_tables(pcl_peer_watch *self)
{
    const pcl_peer_watch_options *options = &self->options;
    pcl_connections_limits limits = {
        .connection_max = self->descriptor_max,
        .work_max = options->work_max,
        .held_max = options->held_max,
        .held_each_max = options->held_each_max,
    };
    pcl_arrivals_limits none = {
        .connections_max = s_connections_max(self->descriptor_max),
        .key_max = self->descriptor_max,
        .rate_max = PCL_US_PER_S,
        .address_rate_max = PCL_US_PER_S,
    };
    self->table = pcl_connections_new(&limits, options->seed);
    self->arrivals = pcl_arrivals_new(self->descriptor_max, &none, options->seed);
    self->peers = calloc(self->descriptor_max, sizeof *self->peers);
    self->silences = calloc(self->descriptor_max, sizeof *self->silences);
    return self->table != NULL && self->arrivals != NULL && self->peers != NULL &&
           self->silences != NULL;
}

pcl_peer_watch *pcl_peer_watch_new(const pcl_peer_watch_options *options, char *error,
                                   size_t error_size)
{
    assert(options != NULL && options->router != NULL && options->gone != NULL);
    pcl_peer_watch *self = calloc(1, sizeof *self);
    if (self != NULL) {
        self->options = *options;
        self->descriptor_max = s_descriptor_max();
    }
    if (self == NULL || !s_make_tables(self)) {
        (void)snprintf(error, error_size, "no memory for the table of connections");
        pcl_peer_watch_destroy(&self);
        return NULL;
    }
    self->monitor = pcl_socket_watch_peers(options->router, error, error_size);
    if (self->monitor == NULL) {
        pcl_peer_watch_destroy(&self);
    }
    return self;
}

void pcl_peer_watch_destroy(pcl_peer_watch **self_p)
{
    assert(self_p != NULL);
    pcl_peer_watch *self = *self_p;
    if (self != NULL) {
        if (self->monitor != NULL) {
            pcl_socket_unwatch(self->options.router, &self->monitor);
        }
        pcl_connections_destroy(&self->table);
        pcl_arrivals_destroy(&self->arrivals);
        free(self->peers);
        free(self->silences);
        free(self);
        *self_p = NULL;
    }
}

zsock_t *pcl_peer_watch_socket(pcl_peer_watch *self)
{
    assert(self != NULL);
    return self->monitor;
}

pcl_connections *pcl_peer_watch_table(pcl_peer_watch *self)
{
    assert(self != NULL);
    return self->table;
}

pcl_peer_watch_counts pcl_peer_watch_count(const pcl_peer_watch *self)
{
    assert(self != NULL);
    return self->counts;
}

const pcl_arrivals *pcl_peer_watch_arrivals(const pcl_peer_watch *self)
{
    assert(self != NULL);
    return self->arrivals;
}

static void s_ended(pcl_peer_watch *self, uint32_t connection, uint64_t now_us)
{
    if (connection != PCL_CONNECTION_NONE) {
        self->options.gone(self->options.context, connection, now_us);
        pcl_connections_bury(self->table, connection);
    }
}

/* The descriptor is libzmq's, which may have closed it this moment, and the system may have given
 * it away again; so who is at the other end is asked once more. */
static void s_cut(const pcl_peer_watch *self, int fd)
{
    uint8_t address[PCL_TCP_ADDRESS_SIZE];
    size_t size = 0;
    if ((uint32_t)fd < self->descriptor_max && self->peers[fd] != 0 &&
        pcl_tcp_peer(fd, address, &size) == self->peers[fd]) {
        pcl_tcp_cut(fd);
    }
}

static void s_opened(pcl_peer_watch *self, int fd, uint64_t now_us)
{
    pcl_connections_opened(self->table, fd);
    if (fd < 0 || (uint32_t)fd >= self->descriptor_max) {
        return; /* not ours to know: there is no room for it */
    }
    uint8_t address[PCL_TCP_ADDRESS_SIZE];
    size_t size = 0;
    int place = -1;
    self->peers[fd] = pcl_tcp_peer(fd, address, &size);
    self->silences[fd] = 0;
    pcl_arrivals_rule rule = pcl_arrivals_opened(self->arrivals, fd, pcl_bytes_of(address, size),
                                                 now_us, &place);
    if (rule != PCL_ARRIVALS_FINE) {
        self->counts.refused[rule]++;
        s_cut(self, fd);
    } else if (place != -1) {
        self->counts.refused[PCL_ARRIVALS_FINE]++;
        s_cut(self, place);
    }
}

void pcl_peer_watch_read(pcl_peer_watch *self, uint64_t now_us)
{
    assert(self != NULL);
    int fd = -1;
    for (pcl_peer_event event; (event = pcl_socket_peer_event(self->monitor, &fd)) != 0;) {
        self->counts.events[event]++;
        if (event == PCL_PEER_OPENED) {
            s_opened(self, fd, now_us);
        } else if (event == PCL_PEER_CLOSED) {
            pcl_arrivals_closed(self->arrivals, fd);
            s_ended(self, pcl_connections_closed(self->table, fd), now_us);
        }
    }
}

uint32_t pcl_peer_watch_revoke(pcl_peer_watch *self, pcl_peer_admitted *admitted, void *context,
                               uint64_t now_us)
{
    assert(self != NULL && admitted != NULL);
    pcl_peer_watch_read(self, now_us); /* so that each descriptor is whose we take it for */
    uint32_t revoked = 0;
    uint32_t cursor = 0;
    const char *key = NULL;
    for (int fd = 0; (fd = pcl_arrivals_each(self->arrivals, &cursor, &key)) != -1;) {
        if (key != NULL && !admitted(context, key)) {
            s_cut(self, fd);
            pcl_arrivals_closed(self->arrivals, fd);
            s_ended(self, pcl_connections_closed(self->table, fd), now_us);
            revoked++;
        }
    }
    self->counts.revoked += revoked;
    return revoked;
}

static void s_cut_stuffed(pcl_peer_watch *self, int fd)
{
    self->counts.refused[PCL_ARRIVALS_STUFFED]++;
    s_cut(self, fd);
    pcl_arrivals_closed(self->arrivals, fd);
}

/* It has not spoken for longer than a handshake may take. */
static void s_suspect(pcl_peer_watch *self, int fd)
{
    uint64_t received = 0;
    if (!pcl_tcp_received(fd, &received) || received <= HANDSHAKE_SIZE_MAX) {
        return;
    }
    if (self->suspect_count == SUSPECTS_MAX) {
        s_cut_stuffed(self, fd);
        return;
    }
    self->suspects[self->suspect_count++] = (suspect){fd, self->peers[fd], received};
}

/* A first message that takes its time grows; what libzmq keeps of a handshake does not.  idle: all
 * that had come whole has been read. */
static void s_look_at_suspects(pcl_peer_watch *self, bool idle)
{
    uint32_t kept = 0;
    for (uint32_t index = 0; index < self->suspect_count; index++) {
        suspect at = self->suspects[index];
        uint64_t received = 0;
        if (!pcl_arrivals_is_silent(self->arrivals, at.fd) || self->peers[at.fd] != at.peer ||
            !pcl_tcp_received(at.fd, &received)) {
            continue;
        }
        if (idle && received == at.received) {
            s_cut_stuffed(self, at.fd);
            continue;
        }
        at.received = received;
        self->suspects[kept++] = at;
    }
    self->suspect_count = kept;
}

/* Of a peer that breaks the protocol we are not told (net/socket.c).  So those are what is left of
 * the connections when those are taken off that have failed otherwise or not, or may still do. */
static void s_count_failed(pcl_peer_watch *self)
{
    pcl_peer_watch_counts *counts = &self->counts;
    uint64_t told = counts->events[PCL_PEER_SHOOK_HANDS] + counts->events[PCL_PEER_FAILED_KEY] +
                    counts->events[PCL_PEER_FAILED_OTHER] + counts->failed_protocol +
                    pcl_arrivals_young_count(self->arrivals);
    if (counts->events[PCL_PEER_OPENED] > told) {
        counts->failed_protocol += counts->events[PCL_PEER_OPENED] - told;
    }
}

/* A peer whose process stands still keeps its connection, and what it holds, as long as its kernel
 * answers.  libzmq would end it by ZMQ_HEARTBEAT_TTL, at the price of a timer for each connection
 * that is looked for, among those of all others, at each message. */
static void s_look_for_frozen(pcl_peer_watch *self)
{
    int end = pcl_connections_fd_end(self->table);
    for (int count = end / (int)SILENCE_TICKS + 1; count > 0; count--) {
        int fd = self->silence_cursor < end ? self->silence_cursor : 0;
        self->silence_cursor = fd + 1;
        uint64_t silence_ms = 0;
        if ((uint32_t)fd < self->descriptor_max && self->silences[fd] != 0 &&
            pcl_connections_is_open(self->table, fd) && pcl_tcp_silence(fd, &silence_ms) &&
            silence_ms > self->silences[fd]) {
            self->silences[fd] = 0; /* cut once */
            self->counts.refused[PCL_ARRIVALS_FROZEN]++;
            s_cut(self, fd);
        }
    }
}

void pcl_peer_watch_tick(pcl_peer_watch *self, uint64_t now_us)
{
    assert(self != NULL);
    for (int fd = 0; (fd = pcl_arrivals_due(self->arrivals, now_us)) != -1;) {
        s_cut(self, fd);
    }
    s_look_for_frozen(self);
    if (now_us >= self->suspects_due_us) {
        self->suspects_due_us = now_us + SUSPECTS_INTERVAL_US;
        bool idle = (zsock_events(self->options.router) & ZMQ_POLLIN) == 0;
        s_look_at_suspects(self, idle);
        for (int fd = 0; (fd = pcl_arrivals_silent(self->arrivals, now_us)) != -1;) {
            s_suspect(self, fd);
        }
        s_count_failed(self);
    }
}

void pcl_peer_watch_end_soon(pcl_peer_watch *self, uint32_t connection, uint64_t now_us)
{
    assert(self != NULL);
    if (connection < PCL_CONNECTION_GONE && !pcl_peer_watch_is_over(self, connection)) {
        pcl_arrivals_end_soon(self->arrivals, pcl_connections_fd(self->table, connection), now_us);
        self->counts.revoked++;
    }
}

bool pcl_peer_watch_is_over(const pcl_peer_watch *self, uint32_t connection)
{
    assert(self != NULL);
    return connection < PCL_CONNECTION_GONE &&
           pcl_arrivals_is_over(self->arrivals, pcl_connections_fd(self->table, connection));
}

void pcl_peer_watch_drained(pcl_peer_watch *self)
{
    assert(self != NULL);
    self->drained = true;
}

/* The limit follows memory down at once, and up by one step for each measurement. */
static bool s_has_grown(pcl_peer_watch *self)
{
    uint64_t resident = pcl_process_resident_size();
    if (resident >= self->resident_limit) {
        bool known = self->resident_limit != 0;
        self->resident_limit = resident + GROWTH_SIZE_MAX;
        return known;
    }
    if (resident + GROWTH_SIZE_MAX < self->resident_limit) {
        self->resident_limit = resident + GROWTH_SIZE_MAX;
    }
    return false;
}

uint32_t pcl_peer_watch_guard(pcl_peer_watch *self, uint64_t size_max, uint64_t now_us)
{
    assert(self != NULL);
    if (now_us < self->guard_due_us) {
        return 0;
    }
    self->guard_due_us = now_us + GUARD_INTERVAL_US;
    if (!s_has_grown(self)) {
        return 0;
    }
    pcl_peer_watch_read(self, now_us); /* so that each descriptor is whose we take it for */
    bool drained = self->drained || (zsock_events(self->options.router) & ZMQ_POLLIN) == 0;
    self->drained = false;
    uint32_t cut = 0;
    for (int fd = 0; fd < pcl_connections_fd_end(self->table); fd++) {
        uint64_t received = 0;
        if (pcl_connections_is_open(self->table, fd) && pcl_tcp_received(fd, &received) &&
            pcl_connections_measured(self->table, fd, received, drained, size_max)) {
            s_cut(self, fd);
            cut++;
        }
    }
    return cut;
}

void pcl_peer_watch_set_first_route(pcl_peer_watch *self, uint32_t first_route)
{
    assert(self != NULL);
    self->has_first_route = true;
    self->first_route = first_route;
}

/* Each connection took one number at most; some came before the monitor was there. */
static bool s_is_forged(const pcl_peer_watch *self, pcl_bytes route)
{
    uint32_t number = (uint32_t)pcl_get_be(route.data + 1, PCL_CONNECTION_ROUTE - 1);
    return self->has_first_route && (uint32_t)(number - self->first_route) >=
                                        self->counts.events[PCL_PEER_OPENED] + UNSEEN_MAX;
}

static void s_note_silence(pcl_peer_watch *self, int fd, zmq_msg_t *frame)
{
    uint32_t most_ms = pcl_socket_frame_silence_ms(frame);
    if (most_ms != 0 && (uint32_t)fd < self->descriptor_max) {
        most_ms = most_ms > SILENCE_MS_MIN ? most_ms : SILENCE_MS_MIN;
        self->silences[fd] = (uint16_t)(most_ms < SILENCE_MS_MAX ? most_ms : SILENCE_MS_MAX);
    }
}

uint32_t pcl_peer_watch_find(pcl_peer_watch *self, pcl_bytes route, zmq_msg_t *frame,
                             uint64_t now_us)
{
    assert(self != NULL);
    if (!pcl_connections_is_route(route)) {
        return PCL_CONNECTION_NONE;
    }
    uint32_t connection = pcl_connections_find(self->table, route);
    if (connection != PCL_CONNECTION_NONE) {
        pcl_connections_spoke(self->table, connection);
        return connection;
    }
    int fd = pcl_socket_frame_fd(frame);
    if (fd < 0) {
        return PCL_CONNECTION_NONE;
    }
    pcl_peer_watch_read(self, now_us); /* what it says was said before this message */
    if (s_is_forged(self, route)) {
        self->counts.refused[PCL_ARRIVALS_FORGED]++;
        s_cut(self, fd);
        return PCL_CONNECTION_GONE;
    }
    uint32_t other = PCL_CONNECTION_NONE;
    connection = pcl_connections_bind(self->table, route, fd, &other);
    s_ended(self, other, now_us);
    if (connection < PCL_CONNECTION_GONE) {
        pcl_connections_spoke(self->table, connection);
        s_note_silence(self, fd, frame);
        pcl_arrivals_rule rule = pcl_arrivals_named(self->arrivals, fd, pcl_frame_user_id(frame),
                                                    now_us);
        self->counts.refused[rule] += rule != PCL_ARRIVALS_FINE;
    }
    return connection;
}
