#include "net/tcp.h"

#include <assert.h>
#include <linux/tcp.h> /* tells the octets received; <netinet/tcp.h> does not, and excludes it */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* false: the kernel does not tell as much as we ask for. */
static bool s_ask(int fd, struct tcp_info *out_info)
{
    socklen_t size = sizeof *out_info;
    memset(out_info, 0, sizeof *out_info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out_info, &size) == 0 &&
           size >= offsetof(struct tcp_info, tcpi_bytes_received) +
                       sizeof out_info->tcpi_bytes_received;
}

bool pcl_tcp_received(int fd, uint64_t *out_octets)
{
    assert(out_octets != NULL);
    struct tcp_info info;
    if (!s_ask(fd, &info)) {
        return false;
    }
    *out_octets = info.tcpi_bytes_received;
    return true;
}

bool pcl_tcp_silence(int fd, uint64_t *out_ms)
{
    assert(out_ms != NULL);
    struct tcp_info info;
    if (!s_ask(fd, &info)) {
        return false;
    }
    *out_ms = info.tcpi_last_data_recv;
    return true;
}

/* FNV-1a; 0 stands for nobody. */
static uint64_t s_tag(const uint8_t *octets, size_t size, uint16_t port)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ port;
    for (size_t index = 0; index < size; index++) {
        hash = (hash ^ octets[index]) * UINT64_C(1099511628211);
    }
    return hash != 0 ? hash : 1;
}

uint64_t pcl_tcp_peer(int fd, uint8_t out_address[PCL_TCP_ADDRESS_SIZE], size_t *out_size)
{
    assert(out_address != NULL && out_size != NULL);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } peer;
    socklen_t size = sizeof peer;
    memset(&peer, 0, sizeof peer);
    *out_size = 0;
    if (getpeername(fd, &peer.any, &size) != 0) {
        return 0;
    }
    uint16_t port = 0;
    if (peer.any.sa_family == AF_INET) {
        *out_size = sizeof peer.v4.sin_addr;
        memcpy(out_address, &peer.v4.sin_addr, *out_size);
        port = peer.v4.sin_port;
    } else if (peer.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr)) {
        *out_size = sizeof peer.v4.sin_addr;
        memcpy(out_address, (const uint8_t *)&peer.v6.sin6_addr + 12, *out_size);
        port = peer.v6.sin6_port;
    } else if (peer.any.sa_family == AF_INET6) {
        *out_size = sizeof peer.v6.sin6_addr;
        memcpy(out_address, &peer.v6.sin6_addr, *out_size);
        port = peer.v6.sin6_port;
    }
    return s_tag(out_address, *out_size, port);
}

void pcl_tcp_flow_note(pcl_tcp_flow *self, int fd)
{
    assert(self != NULL);
    uint8_t address[PCL_TCP_ADDRESS_SIZE];
    size_t size = 0;
    uint64_t peer = fd >= 0 ? pcl_tcp_peer(fd, address, &size) : 0;
    if (peer != self->peer || fd != self->fd) {
        *self = (pcl_tcp_flow){.fd = fd, .peer = size > 0 ? peer : 0};
    }
}

bool pcl_tcp_flow_moves(pcl_tcp_flow *self, uint64_t within_ms)
{
    assert(self != NULL);
    uint8_t address[PCL_TCP_ADDRESS_SIZE];
    size_t size = 0;
    struct tcp_info info;
    if (self->peer == 0 || pcl_tcp_peer(self->fd, address, &size) != self->peer ||
        !s_ask(self->fd, &info)) {
        return false;
    }
    bool left = info.tcpi_notsent_bytes > 0 && info.tcpi_bytes_acked > self->acked;
    self->acked = info.tcpi_bytes_acked;
    return left || info.tcpi_last_data_recv < within_ms;
}

void pcl_tcp_cut(int fd)
{
    (void)shutdown(fd, SHUT_RDWR); /* fails when it is not connected any more */
}
