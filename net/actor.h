/* actor.h - the words between a daemon's main thread and its actors, on the
 * actor's pipe.  Main to actor: DRAIN; RELOAD with the new configuration; and
 * $TERM, which is CZMQ's.  Actor to main: READY or FAILED once, RELOADED each
 * time, DONE when its loop has ended.  After FAILED or DONE nothing more is
 * read from the pipe but CZMQ's signal of the end, and that by
 * zactor_destroy() alone: it would wait for ever for one that is gone. */
#ifndef PCL_NET_ACTOR_H
#define PCL_NET_ACTOR_H

#define PCL_ACTOR_READY    "READY"
#define PCL_ACTOR_FAILED   "FAILED"
#define PCL_ACTOR_DONE     "DONE"
#define PCL_ACTOR_DRAIN    "DRAIN"
#define PCL_ACTOR_RELOAD   "RELOAD"
#define PCL_ACTOR_RELOADED "RELOADED"

#endif
