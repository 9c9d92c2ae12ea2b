/* belief.h - what a client that seals believes of a reply
 * (docs/rfc/1-client-protocol.md, section 9.3).  Pure.
 *
 *   1. What carries the broker's seal, made for this very request, is the broker's word.
 *   2. Nothing else is believed that says that something was done.
 *   3. Refusals also come without a seal, from gatekeepers and from a broker that did not accept
 *      the request's own.  So one that claims to be of those is passed on, but for what it says of
 *      the request's fate: neither its retry, nor an error of the database, since whoever made it
 *      up may well have had the request run.
 *   4. An error that neither of them makes (SQL, ABORTED, GONE and the like) is made up.
 */
#ifndef PCL_CLIENT_BELIEF_H
#define PCL_CLIENT_BELIEF_H

#include "common/error.h"
#include "wire/reply.h"

#include <stdbool.h>

typedef enum pcl_belief {
    PCL_BELIEF_WORD = 0, /* the broker's */
    PCL_BELIEF_REFUSAL,  /* anybody's: code, message, hop and retry_after_ms */
    PCL_BELIEF_NONE,     /* FORGED */
} pcl_belief;

/* sealed: the reply carries the seal that rule 1 asks for. */
pcl_belief pcl_believe(const pcl_reply *reply, bool sealed);

#endif
