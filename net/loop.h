/* loop.h - an actor's event loop: sockets, file descriptors, one tick.
 *
 * The clock is read once a turn and passed in.  A reader is called when there
 * may be something to read and must drain it in bounded batches
 * (PCL_BATCH_MAX), returning true when it stopped at the bound with more to
 * come; the loop then turns again without sleeping, so no socket starves
 * another.  Sources are added before the loop runs.
 *
 * zmq_poll() asks each socket for its events twice a turn, at a system call
 * each.  We poll the sockets' descriptors ourselves.  A descriptor tells of what
 * nobody has looked for yet (zmq_getsockopt(3), ZMQ_FD), and whoever sends on a
 * socket looks, too; so, after a turn, each socket that somebody may have
 * used is asked before the loop sleeps, and those that are their reader's alone
 * are not.
 */
#ifndef PCL_NET_LOOP_H
#define PCL_NET_LOOP_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_loop pcl_loop;

typedef bool(pcl_loop_reader)(void *context, uint64_t now_us); /* true: more waits */
typedef void(pcl_loop_tick)(void *context, uint64_t now_us);

pcl_loop *pcl_loop_new(void);
void pcl_loop_destroy(pcl_loop **self_p);

void pcl_loop_add_socket(pcl_loop *self, zsock_t *socket, pcl_loop_reader *reader, void *context);
/* Of a socket that is only read, and always until nothing is left.  What else is done to it may
 * hold up what it has for a tick. */
void pcl_loop_add_quiet(pcl_loop *self, zsock_t *socket, pcl_loop_reader *reader, void *context);
/* Readable file descriptor (an eventfd); the reader drains it. */
void pcl_loop_add_fd(pcl_loop *self, int fd, pcl_loop_reader *reader, void *context);
/* Called every interval_us, as near as the work allows; and once each turn
 * after the readers, `turn` (may be NULL), for flushing batches. */
void pcl_loop_set_tick(pcl_loop *self, uint64_t interval_us, pcl_loop_tick *tick,
                       pcl_loop_tick *turn, void *context);

/* The loop turns at at_us at the latest, once; a later call replaces it.  UINT64_MAX: never. */
void pcl_loop_wake_at(pcl_loop *self, uint64_t at_us);

/* Asked at the end of each turn; true ends the loop. */
typedef bool(pcl_loop_guard)(void *context);
void pcl_loop_set_guard(pcl_loop *self, pcl_loop_guard *guard, void *context);

/* Runs until pcl_loop_stop is called from a reader or tick, or the process is interrupted. */
void pcl_loop_run(pcl_loop *self);
void pcl_loop_stop(pcl_loop *self);

/* Runs them all on this thread, until each has stopped.  ended (may be NULL) is called as soon as
 * one has: nothing of it is used from then on.  Each hears what the one before it has sent within
 * the same turn, and so does each what the one after it has: they stand in the order in which
 * messages pass. */
typedef void(pcl_loop_ended)(void *context, size_t index);
void pcl_loop_run_all(pcl_loop *const *loops, size_t count, pcl_loop_ended *ended, void *context);

#endif
