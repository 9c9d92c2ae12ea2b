/* session.h - what the channel and results know of sessions. */
#ifndef PCL_CLIENT_SESSION_H
#define PCL_CLIENT_SESSION_H

#include "client/call.h"
#include "client/portcullis.h"

/* The session of a begin's reply.  promise: of the begin.  NULL: out of memory. */
portcullis_session *pcl_session_new(portcullis *client, const uint8_t *id, pcl_pin pin,
                                    uint32_t timeout_ms, pcl_call_promise promise);

/* The channel's thread: takes note of how a request of the session ended. */
void pcl_session_note(portcullis_session *self, pcl_op op, const portcullis_result *result);

/* Counted: of each call that is under way, and the caller's.  Sets NULL; nothing at NULL. */
void pcl_session_unref(portcullis_session **self_p);

#endif
