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

#define PCL_ACTOR_READY    "READY"
#define PCL_ACTOR_FAILED   "FAILED"
#define PCL_ACTOR_DRAIN    "DRAIN"
#define PCL_ACTOR_RELOAD   "RELOAD"
#define PCL_ACTOR_RELOADED "RELOADED"
#define PCL_ACTOR_STOP     "STOP"
#define PCL_ACTOR_ENDED    "ENDED"

#endif
