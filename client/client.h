/* client.h - what results and sessions use of their client: it stays as long as they do, and what
 * they ask of it after portcullis_close is refused.  The contracts of threads and of fork are
 * portcullis.h's. */
#ifndef PCL_CLIENT_CLIENT_H
#define PCL_CLIENT_CLIENT_H

#include "client/call.h"
#include "client/portcullis.h"
#include "common/error.h"

/* Counted: each _ref wants its _unref, which sets the pointer to NULL and does nothing at NULL. */
portcullis *pcl_client_ref(portcullis *self);
void pcl_client_unref(portcullis **self_p);

/* Each of these takes the call.  err: how its making ended; unless it is OK, call is not looked at
 * and the failure is what they answer. */

/* OK: callback will be called exactly once.  Else it never will. */
pcl_err pcl_client_submit(portcullis *self, pcl_err err, pcl_call *call,
                          portcullis_callback *callback, void *context) PCL_MUST_CHECK;
/* As portcullis_start.  out_sent (may be NULL): is the call under way, and not refused? */
portcullis_future *pcl_client_start(portcullis *self, pcl_err err, pcl_call *call, bool *out_sent);
/* As portcullis_call. */
portcullis_result *pcl_client_call(portcullis *self, pcl_err err, pcl_call *call);
/* false in a callback, where pcl_client_call answers UNSUPPORTED. */
bool pcl_client_may_wait(const portcullis *self);

/* Ends what is held at a node, without waiting and without an answer: the cursor (PCL_OP_CLOSE) or
 * the session (PCL_OP_ROLLBACK) with this id, 16 octets.  Where that fails the node ends it by
 * itself when it was idle for long enough. */
void pcl_client_end(portcullis *self, pcl_op op, const uint8_t *held, pcl_pin pin);

/* The channel's thread: a causal client takes note of what the reply to its call says of the past.
 */
void pcl_client_note(portcullis *self, const pcl_call *call, const portcullis_result *result);

/* Makes a call of the request; session NULL: of none.  timeout_ms is for a request that has none;
 * 0: the client's. */
pcl_err pcl_client_make_call(portcullis *self, const portcullis_request *request,
                             const uint8_t *session, uint32_t timeout_ms,
                             pcl_call **out_call) PCL_MUST_CHECK;

#endif
