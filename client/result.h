/* result.h - how the library makes results; reading them is portcullis.h's. */
#ifndef PCL_CLIENT_RESULT_H
#define PCL_CLIENT_RESULT_H

#include "client/ahead.h"
#include "client/call.h"
#include "client/portcullis.h"
#include "common/error.h"
#include "wire/reply.h"

#include <zmq.h>

/* Takes payload, from which reply borrows, and leaves it empty.  Never NULL: where memory is out
 * it is the one shared result that says so. */
portcullis_result *pcl_result_of_reply(zmq_msg_t *payload, const pcl_reply *reply, bool sealed);

/* Of an error reply that anybody may have made: its code, message, hop and retry_after_ms, and
 * retry.  Never NULL, as above. */
portcullis_result *pcl_result_of_refusal(const pcl_reply *reply, pcl_retry retry,
                                         const uint8_t *id);

/* An answer of the library's own.  id may be NULL.  Never NULL, as above. */
portcullis_result *pcl_result_local(pcl_err err, pcl_retry retry, const uint8_t *id,
                                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The library's own answer to a cancel. */
portcullis_result *pcl_result_cancelled(const uint8_t *id, uint32_t affected);

/* Lets the result hold what the call left open at its node: the cursor of a reply, the session of a
 * begin, and the cursor of a fetch that did not take place. */
void pcl_result_hold(portcullis_result *self, const pcl_call *call);

/* Of the page that was asked for so: *behind_p, which is taken, is the
 * future of the next one; NULL: it is not under way.  What cannot be of use is let go. */
void pcl_result_take_ahead(portcullis_result *self, const pcl_page_ask *ask,
                           portcullis_future **behind_p);
/* Destroys it, and gives up nothing that it has of its node. */
void pcl_result_forget(portcullis_result *self);

/* The decoded reply of the present page; NULL of an answer of the library's own. */
const pcl_reply *pcl_result_reply(const portcullis_result *self);

#endif
