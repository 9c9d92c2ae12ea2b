/* future.h - what a caller waits for: the result of one call, on one word that both sides change
 * without a lock, so that nobody who is woken has to wait for who woke him. */
#ifndef PCL_CLIENT_FUTURE_H
#define PCL_CLIENT_FUTURE_H

#include "client/ahead.h"
#include "client/portcullis.h"

#include <stdbool.h>
#include <stdint.h>

/* Will be completed exactly once.  id: of the call, 16 octets; NULL: it has none.  NULL when memory
 * is out. */
portcullis_future *pcl_future_new(const uint8_t *id);
/* A portcullis_callback, of any thread.  context: the future, which is not touched afterwards. */
void pcl_future_complete(portcullis_result *result, void *context);
/* One that is complete already.  Takes the result; NULL when memory is out. */
portcullis_future *pcl_future_of(portcullis_result *result);
/* Of who waits: is it complete, and with a failure, which is still to be taken? */
bool pcl_future_has_failed(const portcullis_future *self);
/* Where a future has what it owns of the pages behind its own: see ahead.h. */
pcl_ahead **pcl_future_ahead_of(portcullis_future *self);

#endif
