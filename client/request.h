/* request.h - how the library sends what the caller built, and what it asks for itself. */
#ifndef PCL_CLIENT_REQUEST_H
#define PCL_CLIENT_REQUEST_H

#include "client/call.h"
#include "client/portcullis.h"
#include "client/seen.h"
#include "common/error.h"
#include "wire/request.h"

/* A call that carries the request, without callback.  id_made is used where the request has no id
 * of its own, timeout_ms where it has no timeout.  session: 16 octets of the session that it is of,
 * or NULL.  kept: what a causal client has seen; NULL: it is none.
 *
 * MALFORMED    a commit or rollback without a session, or what does not go into one
 * TOO_LARGE, NO_MEMORY */
pcl_err pcl_request_make_call(const portcullis_request *self, const uint8_t *id_made,
                              uint32_t timeout_ms, const uint8_t *session, const pcl_seen *kept,
                              pcl_call **out_call) PCL_MUST_CHECK;

/* The same of a request that has id and timeout_ms already.  TOO_LARGE, NO_MEMORY. */
pcl_err pcl_request_encode_call(const pcl_request *request, pcl_call **out_call) PCL_MUST_CHECK;

bool pcl_request_is_begin(const portcullis_request *self);

#endif
