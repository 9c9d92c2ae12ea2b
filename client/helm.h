/* helm.h - who does a channel's work: its thread, or a caller that waits for its only request.
 *
 * A request that is alone is answered sooner when the thread that asks drives the sockets itself:
 * nobody has to be woken for it, twice.  Where there is company the channel's own thread does the
 * work of all, as callbacks are nobody's to run but its.
 *
 *   THREAD   the thread has the helm, or was woken to take it
 *   REST     it sleeps, and watches the sockets or not; nothing is under way
 *   CALLER   a caller has the helm
 *   CALLED   it has, and was told to hand it over
 *
 * 1. Whoever has the helm looks for what was submitted before he lets go of it, and after; so who
 *    submits has only to nudge (pcl_helm_nudge) behind it, and is never overlooked.
 * 2. A caller takes the helm only out of a rest, with nothing else under way.  That is looked at
 *    when it has the helm: before, the thread may have begun another's and gone to rest.  The first
 *    other that comes calls it off, and then no caller takes it for PCL_HELM_CROWDED_US: two
 *    hand-overs are what a change costs.
 * 3. What a caller leaves it leaves for the thread.  With nothing left the thread is not woken: it
 *    looks by itself PCL_HELM_LINGER_MS after the last caller, and only then goes on watching the
 *    sockets, which would wake it for each caller's answer.
 *
 * All functions but open and close are for any thread, and none waits.
 */
#ifndef PCL_CLIENT_HELM_H
#define PCL_CLIENT_HELM_H

#include "common/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PCL_HELM_CROWDED_US 10000u
#define PCL_HELM_LINGER_MS  100

typedef struct pcl_helm {
    atomic_uint state;
    atomic_uint_least64_t crowded_until_us;
    atomic_uint_least64_t takings; /* by callers, ever */
    int thread_fd;                 /* eventfds; readable: the thread has to look, */
    int caller_fd;                 /* the caller has to hand over */
} pcl_helm;

/* The thread has it.  false: errno says why, and close is to be called all the same. */
bool pcl_helm_open(pcl_helm *self) PCL_MUST_CHECK;
void pcl_helm_close(pcl_helm *self);

/* Something was submitted, or the channel closes: whoever has the helm will see it. */
void pcl_helm_nudge(pcl_helm *self, uint64_t now_us);

/* A caller whose request may be the only one, of *under_way that are accepted and not given their
 * answer.  true: it is, the caller has the helm, and must give it back. */
bool pcl_helm_take(pcl_helm *self, const atomic_uint *under_way, uint64_t now_us) PCL_MUST_CHECK;
/* The caller that has it: must it hand over? */
bool pcl_helm_is_called(const pcl_helm *self);
/* busy: something is left to do.  Nothing of the channel's is the caller's afterwards. */
void pcl_helm_give_back(pcl_helm *self, bool busy);

/* The thread lets go of the helm, to sleep.  Then it looks once more for what was submitted. */
void pcl_helm_rest(pcl_helm *self);
/* Takes it again.  false: a caller has it. */
bool pcl_helm_resume(pcl_helm *self) PCL_MUST_CHECK;
/* The thread, where a caller has the helm: sleeps until it is its own (3). */
void pcl_helm_wait(pcl_helm *self);

/* Makes one of the descriptors silent again. */
void pcl_helm_drain(int fd);

#endif
