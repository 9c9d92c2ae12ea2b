/* tcp.h - what the kernel knows of a connection whose descriptor is another's, libzmq's. */
#ifndef PCL_NET_TCP_H
#define PCL_NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets received on it so far; false: it is no TCP connection, or the kernel does not count. */
bool pcl_tcp_received(int fd, uint64_t *out_octets);

/* Milliseconds since the last octet came on it, whoever has read it; false likewise. */
bool pcl_tcp_silence(int fd, uint64_t *out_ms);

#define PCL_TCP_ADDRESS_SIZE 16u

/* Who is at the other end: octets of the address, 4 or 16, or none where it is not TCP.  Returns a
 * tag of address and port that is the same as long as the connection is; 0: it is not connected. */
uint64_t pcl_tcp_peer(int fd, uint8_t out_address[PCL_TCP_ADDRESS_SIZE], size_t *out_size);

/* Ends the connection for its reader, who then closes it.  Ask the monitor just before whether it
 * is still the one that is meant. */
void pcl_tcp_cut(int fd);

#endif
