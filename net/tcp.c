#include "net/tcp.h"

#include <assert.h>
#include <linux/tcp.h> /* tells the octets received; <netinet/tcp.h> does not, and excludes it */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

bool pcl_tcp_received(int fd, uint64_t *out_octets)
{
    assert(out_octets != NULL);
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) {
        return false;
    }
    *out_octets = info.tcpi_bytes_received;
    return true;
}

void pcl_tcp_cut(int fd)
{
    (void)shutdown(fd, SHUT_RDWR); /* fails when it is not connected any more */
}
