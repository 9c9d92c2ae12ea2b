/* channel.h - the sending and receiving of one client.
 *
 *   callers --(list, eventfd)--> channel --DEALER--> gatekeepers
 *
 * A thread does it, or a caller whose request is the only one (helm.h).  A turn of the thread: take
 * what was submitted, read what came, answer for what was lost with a connection, answer for what
 * is overdue, send what waits.  Every call stands in one ticket table from the moment the thread
 * takes it until its completion, so "exactly once" is "removed once".  A call
 * that is sent again gets another ticket: a late reply to the first finds
 * nothing.
 */
#ifndef PCL_CLIENT_CHANNEL_H
#define PCL_CLIENT_CHANNEL_H

#include "client/bundle.h"
#include "client/call.h"
#include "common/error.h"

/* The client is promised an answer within its deadline plus this. */
#define PCL_CHANNEL_GRACE_MS     100u
/* Requests beyond inflight_max that only end something (cancel, close, rollback): they must not
 * wait for what they end. */
#define PCL_CHANNEL_ENDING_MAX   256u
#define PCL_CHANNEL_INFLIGHT_MAX (PCL_INFLIGHT_MAX - PCL_CHANNEL_ENDING_MAX)

typedef struct pcl_channel pcl_channel;

typedef struct pcl_channel_options {
    const pcl_bundle *bundle; /* copied as far as it is needed */
    uint32_t inflight_max;    /* 1 to PCL_CHANNEL_INFLIGHT_MAX */
    uint32_t connect_timeout_ms;
} pcl_channel_options;

/* Does not wait for a connection.  NULL: error says why. */
pcl_channel *pcl_channel_new(const pcl_channel_options *options, char *error, size_t error_size);

/* Completes every call, then ends the thread.  Not from a callback, and not before everybody is out
 * of submit and run. */
void pcl_channel_destroy(pcl_channel **self_p);

/* Any thread.  OK: the channel took the call and will complete it exactly once, at the latest
 * terms.timeout_ms and the grace from now.  OVERLOADED, UNAVAILABLE (it is closing): the call is
 * still the caller's.
 *
 * The calling thread must not be cancelled meanwhile, in submit and run.
 *
 * A call with a pin goes over that connection; when that is lost it completes as LOST if it was
 * sent (a page: GONE), else as GONE.  A cancel first completes what has its id and was not sent. */
pcl_err pcl_channel_submit(pcl_channel *self, pcl_call *call) PCL_MUST_CHECK;

/* As submit, of a caller who will wait for the completion, and whose callback is the library's own:
 * where nothing else is under way the calling thread does the channel's work meanwhile, and returns
 * when the call is complete or others came. */
pcl_err pcl_channel_run(pcl_channel *self, pcl_call *call) PCL_MUST_CHECK;

/* Any thread: from now on nothing is accepted, and what is under way will be completed by the
 * thread.  Whoever is in submit or run comes out of it soon. */
void pcl_channel_stop(pcl_channel *self);

/* Is the calling thread the channel's own, that is: are we in a callback? */
bool pcl_channel_is_own_thread(const pcl_channel *self);

#endif
