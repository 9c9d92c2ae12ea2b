/* ready.h - which of very many descriptors have something to read.
 *
 * zmq_poll asks each of its sockets each time, which with thousands of them costs more than what
 * they have to say.  Here the kernel keeps the set (epoll), and a wait costs as much as what is
 * ready.  A ZeroMQ socket's descriptor (ZMQ_FD) is of its mailbox: once it is readable, the socket
 * must be read until nothing waits, and likewise after each send, since that may have emptied the
 * mailbox unseen.
 */
#ifndef PCL_BENCH_SCALE_READY_H
#define PCL_BENCH_SCALE_READY_H

#include <stdbool.h>
#include <stdint.h>

#define PCL_READY_MAX 256u /* that one wait tells of; the others are told of by the next */

typedef struct pcl_ready pcl_ready;

/* To be made before thousands of descriptors are open.  NULL: the system gives none. */
pcl_ready *pcl_ready_new(void);
void pcl_ready_destroy(pcl_ready **self_p);

/* false: the system refuses; errno says why. */
bool pcl_ready_add(pcl_ready *self, int fd, uint64_t tag);

/* Sleeps until something can be read, or until that time of pcl_now_us (UINT64_MAX: for ever).
 * Returns how many tags it wrote. */
uint32_t pcl_ready_wait(pcl_ready *self, uint64_t until_us, uint64_t out_tags[PCL_READY_MAX]);

#endif
