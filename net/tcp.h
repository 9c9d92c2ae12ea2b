/* tcp.h - what the kernel knows of a connection whose descriptor is another's, libzmq's. */
#ifndef PCL_NET_TCP_H
#define PCL_NET_TCP_H

#include <stdbool.h>
#include <stdint.h>

/* Octets received on it so far; false: it is no TCP connection, or the kernel does not count. */
bool pcl_tcp_received(int fd, uint64_t *out_octets);

/* Ends the connection for its reader, who then closes it.  Ask the monitor just before whether it
 * is still the one that is meant. */
void pcl_tcp_cut(int fd);

#endif
