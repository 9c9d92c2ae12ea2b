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

/* What passes on a connection, whichever messages it is of.  Zeroed: of none. */
typedef struct pcl_tcp_flow {
    int fd;
    uint64_t peer;  /* pcl_tcp_peer's tag; 0: of no connection */
    uint64_t acked; /* octets that the other end's kernel has taken */
} pcl_tcp_flow;

/* From now on it is of the connection with that descriptor; -1: of none. */
void pcl_tcp_flow_note(pcl_tcp_flow *self, int fd);

/* Whether an octet has come within so many milliseconds; or some wait here for room to leave, and
 * others have left since the last call.  So who is in the midst of a long message is no more
 * silent than it is slow.  A peer that stands still has no octets to send, and room for a few. */
bool pcl_tcp_flow_moves(pcl_tcp_flow *self, uint64_t within_ms);

/* Ends the connection for its reader, who then closes it.  Ask the monitor just before whether it
 * is still the one that is meant. */
void pcl_tcp_cut(int fd);

#endif
