/* error.h - the one error vocabulary, used in return values and on the wire.
 *
 * A function with one cause of failure may return bool.  A function with more
 * than one returns pcl_err.  Neither writes its out parameters on failure.
 *
 * Each code carries what the client may do about it:
 *
 *   safe    nothing ran, or it left no trace: send it again
 *   unsafe  it may have run: look before sending it again
 *   never   the same request will always fail
 *
 * A hop that knows more (LOST of a read is safe) says so in its answer; the
 * list below holds what is true when nothing more is known.
 */
#ifndef PCL_COMMON_ERROR_H
#define PCL_COMMON_ERROR_H

#define PCL_MUST_CHECK __attribute__((warn_unused_result))

/* name, wire value, retry, text.  Numbers and names are wire values
 * (docs/rfc/1-client-protocol.md, section "Errors"): append, never renumber. */
#define PCL_ERR_LIST(X)                                                                            \
    X(OK, 0, NEVER, "ok")                                                                          \
    X(MALFORMED, 1, NEVER, "the message does not parse")                                           \
    X(VERSION, 2, NEVER, "the protocol version is not supported")                                  \
    X(TOO_LARGE, 3, NEVER, "the message is over its size limit")                                   \
    X(UNSUPPORTED, 4, NEVER, "the operation is not available here")                                \
    X(FORBIDDEN, 5, NEVER, "the principal may not do this")                                        \
    X(REFUSED, 6, NEVER, "the statement is refused")                                               \
    X(OVERLOADED, 7, SAFE, "a queue is full")                                                      \
    X(UNAVAILABLE, 8, SAFE, "the next hop is not there")                                           \
    X(NO_NODE, 9, SAFE, "no node can take the statement")                                          \
    X(DEADLINE, 10, UNSAFE, "the deadline passed")                                                 \
    X(LOST, 11, UNSAFE, "the hop that held the request is gone")                                   \
    X(SQL, 12, NEVER, "the database refused the statement")                                        \
    X(CANCELLED, 13, SAFE, "the request was cancelled")                                            \
    X(DRAINING, 14, SAFE, "the daemon is shutting down")                                           \
    X(NO_MEMORY, 15, SAFE, "out of memory")                                                        \
    X(INTERNAL, 16, UNSAFE, "an invariant did not hold; see the daemon's log")                     \
    X(GONE, 17, NEVER, "the session or cursor is not there any more")                              \
    X(ABORTED, 18, NEVER, "the transaction was rolled back; nothing of it stands")                 \
    X(EXPECT, 19, NEVER, "a statement did not do what was expected; all was rolled back")          \
    X(FORGED, 20, UNSAFE, "the reply does not carry the broker's seal")                            \
    X(BEHIND, 21, SAFE, "no node that may answer has the write which the token names")

typedef enum pcl_err {
#define PCL_ERR_ENUM(name, value, retry, text) PCL_ERR_##name = (value),
    PCL_ERR_LIST(PCL_ERR_ENUM)
#undef PCL_ERR_ENUM
} pcl_err;

/* How many there are; they are numbered without a gap. */
enum {
    PCL_ERR_COUNT = 0
#define PCL_ERR_ONE(name, value, retry, text) +1
    PCL_ERR_LIST(PCL_ERR_ONE)
#undef PCL_ERR_ONE
};

typedef enum pcl_retry {
    PCL_RETRY_NEVER = 0,
    PCL_RETRY_SAFE = 1,
    PCL_RETRY_UNSAFE = 2,
} pcl_retry;

/* All three take any int, because a peer may send a code we lack, and return
 * static text, never NULL. */
const char *pcl_err_code(int err);     /* "OVERLOADED": stable, for programs */
const char *pcl_err_text(int err);     /* "a queue is full": for people */
const char *pcl_retry_text(int retry); /* "safe", "unsafe", "never" */
pcl_retry pcl_err_retry(int err);      /* the list's column; NEVER for an unknown code */

#endif
