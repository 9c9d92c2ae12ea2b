/* actor.h - the words between a daemon's main thread and its actors, on the
 * actor's pipe.
 *
 * Main to actor: DRAIN; RELOAD with a pointer to the new configuration; STOP.
 * Actor to main: READY or FAILED once, RELOADED each time, ENDED last; then it
 * waits for the $TERM of zactor_destroy.  CZMQ's own signal at an actor's end
 * would not do, since who reads it can no longer destroy the actor safely.
 *
 * A test may also run an actor with zactor_new and zactor_destroy alone: it
 * signals as CZMQ expects, and takes $TERM for STOP.
 */
#ifndef PCL_NET_ACTOR_H
#define PCL_NET_ACTOR_H

#include "net/daemon.h"

#include <czmq.h>
#include <stddef.h>

#define PCL_ACTOR_READY    "READY"
#define PCL_ACTOR_FAILED   "FAILED"
#define PCL_ACTOR_DRAIN    "DRAIN"
#define PCL_ACTOR_RELOAD   "RELOAD"
#define PCL_ACTOR_RELOADED "RELOADED"
#define PCL_ACTOR_STOP     "STOP"
#define PCL_ACTOR_ENDED    "ENDED"

/* One of several actors on a thread; all borrowed. */
typedef struct pcl_actor_seat {
    zsock_t *pipe;
    const pcl_role_args *args;
    const pcl_role_parts *parts;
} pcl_actor_seat;

/* Opens them in their order, which should be that in which messages pass, and runs them on this
 * thread until each has ended; each says so on its pipe as soon as it is closed, from READY or
 * FAILED to ENDED.  When one cannot be opened, those after it end without being opened. */
void pcl_actor_share(const pcl_actor_seat *seats, size_t count);

#endif
