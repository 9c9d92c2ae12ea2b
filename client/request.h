/* request.h - how the library sends what the caller built. */
#ifndef PCL_CLIENT_REQUEST_H
#define PCL_CLIENT_REQUEST_H

#include "client/call.h"
#include "client/portcullis.h"
#include "common/error.h"

/* A call that carries the request, without callback.  id_made is used where the request has no id
 * of its own; timeout_ms where it has none, and *out_timeout_ms is the one that counts.
 * TOO_LARGE, NO_MEMORY. */
pcl_err pcl_request_make_call(const portcullis_request *self, const uint8_t *id_made,
                              uint32_t timeout_ms, pcl_call **out_call,
                              uint32_t *out_timeout_ms) PCL_MUST_CHECK;

#endif
