/* portcullis.h - libportcullis, the client of a Portcullis cluster.
 *
 *     char error[256];
 *     portcullis *client = portcullis_open("var/client.bundle", error, sizeof error);
 *     portcullis_request *request = portcullis_request_new("SELECT name FROM city WHERE id = ?");
 *     portcullis_request_add_int(request, 7);
 *     portcullis_result *result = portcullis_call(client, request);
 *     while (portcullis_result_next(result)) {
 *         const portcullis_value *name = portcullis_result_value(result, 0);
 *         printf("%.*s\n", (int)name->size, name->data);
 *     }
 *     if (portcullis_result_code(result) != PORTCULLIS_OK) {
 *         fprintf(stderr, "%s\n", portcullis_result_message(result));
 *     }
 *
 * A client is a channel, not a socket: any number of threads share one, and their requests are
 * in flight together on one connection.  One thread of the library's own does all the sending
 * and receiving, but for a call that waits while nothing else is in flight: the thread that asks
 * does it then, which is sooner.  Callbacks are run by the library's thread only.
 *
 * One outcome.  A request that was accepted completes exactly once, at the latest 100 ms after
 * its deadline: with the cluster's answer, or with one that the library gives itself (hop
 * "client").  A reply never completes another's request.
 *
 * Several gatekeepers.  One is in use; when it dies, what was not sent yet goes to the next.
 * What was in flight there completes as LOST (retry unsafe), unless it was marked idempotent:
 * then it is sent to another gatekeeper, within its deadline.
 *
 * The seal.  With a broker's key (in the bundle it has a section of its own) every request is
 * sealed for that broker, and every reply must carry its seal: a gatekeeper that was broken into
 * can read and refuse, but neither change a request nor make up or change an answer.  Such a reply
 * completes as FORGED (retry unsafe).  A refusal without a seal may be the gatekeeper's own and is
 * passed on, but never with a retry that it could lie with: unsafe, or safe where running the
 * request twice does no harm.
 *
 * Pages.  A long result comes a page at a time, and portcullis_result_next fetches on as it goes:
 * all rows are seen, or it ends with an error that portcullis_result_code then has; memory holds
 * one page, and those that portcullis_request_set_pages_ahead allows beside it.  The rest that is
 * not wanted is given up with the result.
 *
 * Sessions and unread results belong to the connection that they were opened over.  When that is
 * lost, a session is rolled back, an unread rest is gone, and whoever goes on with them gets GONE;
 * they never move to another gatekeeper, and nothing of a session is ever sent twice.
 *
 * Causal reads.  A replica may lack what was written a moment ago.  A causal client (an option when
 * it is opened) reads from nodes that have all that it has written and read until then, whichever
 * they are: its own writes are seen, and no read shows an older state than one before it.  That
 * holds over reconnections, and portcullis_tokens hands it over to another client or process.  A
 * request that sets a consistency of its own gets that instead (_after: both).  Where a source that
 * was lost has taken writes with it, such reads end with BEHIND until portcullis_forget_tokens.  In
 * a cluster without a key for tokens a causal client reads from the source.
 *
 * Threads.  Calls on a client are safe from any thread; requests, results, futures and sessions
 * belong to one thread at a time.  Signals are blocked in the library's threads; a call that waits
 * goes on after a signal's handler, which must return.  Neither sending nor waiting is a point of
 * cancellation.
 *
 * Fork.  A client does not survive it: in the child, calls are refused with UNAVAILABLE, and
 * portcullis_close only forgets the client.  Open one after the fork.
 *
 * Order of ending.  Results, futures and sessions may outlive their client: after portcullis_close
 * what they hold can still be read, and going on with them gives UNAVAILABLE.
 *
 * Times are milliseconds, sizes octets, texts UTF-8.  Functions named _destroy, _close and _wait
 * set the caller's pointer to NULL, and _destroy and _close do nothing where it is NULL.
 * Where memory is out, a result says so (NO_MEMORY) and a _new returns NULL; the setters of a
 * request then return false.
 */
#ifndef PORTCULLIS_H
#define PORTCULLIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PORTCULLIS_API        __attribute__((visibility("default")))
#define PORTCULLIS_MUST_CHECK __attribute__((warn_unused_result))
#else
#define PORTCULLIS_API
#define PORTCULLIS_MUST_CHECK
#endif

/* What became of a request.  Numbers never change; new ones are appended. */
typedef enum portcullis_code {
    PORTCULLIS_OK = 0,
    PORTCULLIS_MALFORMED = 1,      /* the message does not parse */
    PORTCULLIS_VERSION = 2,        /* the protocol version is not supported */
    PORTCULLIS_TOO_LARGE = 3,      /* over a limit of size */
    PORTCULLIS_UNSUPPORTED = 4,    /* the operation is not available here */
    PORTCULLIS_FORBIDDEN = 5,      /* the principal may not do this */
    PORTCULLIS_REFUSED = 6,        /* the statement is refused */
    PORTCULLIS_OVERLOADED = 7,     /* a queue is full */
    PORTCULLIS_UNAVAILABLE = 8,    /* the next hop is not there */
    PORTCULLIS_NO_NODE = 9,        /* no node can take the statement */
    PORTCULLIS_DEADLINE = 10,      /* the deadline passed */
    PORTCULLIS_LOST = 11,          /* the hop that held the request is gone */
    PORTCULLIS_SQL = 12,           /* the database refused the statement */
    PORTCULLIS_CANCELLED = 13,     /* the request was cancelled, or the client closed */
    PORTCULLIS_DRAINING = 14,      /* the daemon is shutting down */
    PORTCULLIS_NO_MEMORY = 15,     /* out of memory */
    PORTCULLIS_INTERNAL = 16,      /* an invariant did not hold */
    PORTCULLIS_GONE = 17,          /* the session or cursor is not there any more */
    PORTCULLIS_ABORTED = 18,       /* the transaction was rolled back; nothing of it stands */
    PORTCULLIS_EXPECT = 19,        /* a statement did not do what was expected; rolled back */
    PORTCULLIS_FORGED = 20,        /* the reply does not carry the broker's seal */
    PORTCULLIS_BEHIND = 21,        /* no node that may answer has the write that `after` names */
    PORTCULLIS_UNKNOWN = INT16_MAX /* a code that this version of the library does not know:
                                      portcullis_result_code_text has its name */
} portcullis_code;

/* What may be done about a failure. */
typedef enum portcullis_retry {
    PORTCULLIS_RETRY_NEVER = 0,  /* the same request will always fail */
    PORTCULLIS_RETRY_SAFE = 1,   /* nothing ran, or it left no trace: send it again */
    PORTCULLIS_RETRY_UNSAFE = 2, /* it may have run: look before sending it again */
} portcullis_retry;

typedef struct portcullis portcullis;
typedef struct portcullis_request portcullis_request;
typedef struct portcullis_result portcullis_result;
typedef struct portcullis_future portcullis_future;
typedef struct portcullis_session portcullis_session;

/* Static text, "0.1.0". */
PORTCULLIS_API const char *portcullis_version(void);

/* ---- the client ------------------------------------------------------------------------- */

/* Opens the client that a bundle file describes.  NULL as file: $PORTCULLIS_BUNDLE,
 * ./var/client.bundle, ~/.config/portcullis/client.bundle, /etc/portcullis/client.bundle, the
 * first that exists.  Does not wait for a connection.  NULL: error holds one line a mistake. */
PORTCULLIS_API portcullis *portcullis_open(const char *bundle_file, char *error, size_t error_size);

typedef struct portcullis_gatekeeper {
    const char *endpoint;   /* tcp://host:port, ipc://path */
    const char *public_key; /* 40 characters Z85; NULL with insecure, or on ipc */
} portcullis_gatekeeper;

/* Zero it, then set what is wanted.  Everything is copied. */
typedef struct portcullis_options {
    const char *bundle_file; /* used where gatekeepers is NULL */
    const portcullis_gatekeeper *gatekeepers;
    size_t gatekeeper_count;       /* 1 to 16 */
    const char *public_key;        /* own, 40 characters Z85 */
    const char *secret_key;        /* own, likewise */
    bool insecure;                 /* plain TCP, without keys: for tests */
    const char *broker_public_key; /* 40 characters Z85; NULL: nothing is sealed */
    uint32_t timeout_ms;           /* of requests that set none; 0: 5000 */
    uint32_t connect_timeout_ms;   /* how long a request waits for a gatekeeper to be there;
                                      0: 2000 */
    uint32_t inflight_max;         /* requests under way at the same time; 0: 10000 */
    bool causal;                   /* see above */
} portcullis_options;

/* As portcullis_open. */
PORTCULLIS_API portcullis *portcullis_open_options(const portcullis_options *options, char *error,
                                                   size_t error_size);

/* Completes everything still under way (CANCELLED where it was not sent, else LOST), calling
 * its callbacks, and ends the library's threads.  Other threads may be waiting in
 * portcullis_call and portcullis_future_wait, which return; none may start anything any more.
 * Not from a callback. */
PORTCULLIS_API void portcullis_close(portcullis **self_p);

/* What a causal client has seen, as a text: tokens with a blank between two, "" of none.  For
 * portcullis_add_tokens, in another process and at another time too, and for
 * portcullis_request_set_consistency_after. */
#define PORTCULLIS_TOKENS_SIZE 4111
PORTCULLIS_API void portcullis_tokens(portcullis *self, char target[PORTCULLIS_TOKENS_SIZE]);
/* What this client reads is from now on no older than what those tokens name, too; where it can
 * keep no more (8), it reads from the source.  false: the text has something that is no token, or
 * the client is not causal. */
PORTCULLIS_API bool portcullis_add_tokens(portcullis *self, const char *tokens);
/* Begins anew, as if nothing had been seen. */
PORTCULLIS_API void portcullis_forget_tokens(portcullis *self);

/* ---- requests --------------------------------------------------------------------------- */

/* A request may be sent any number of times, and changed in between; sending copies it. */
PORTCULLIS_API portcullis_request *portcullis_request_new(const char *sql);
PORTCULLIS_API portcullis_request *portcullis_request_new_sized(const char *sql, size_t size);
PORTCULLIS_API portcullis_request *portcullis_request_new_ping(void);
PORTCULLIS_API portcullis_request *portcullis_request_new_status(void);
PORTCULLIS_API void portcullis_request_destroy(portcullis_request **self_p);

/* One value for the next `?`; of a transaction, of the statement that was added last.  false:
 * memory is out, or there are more than 4096, or the octets of all are over 17 MiB. */
PORTCULLIS_API bool portcullis_request_add_null(portcullis_request *self);
PORTCULLIS_API bool portcullis_request_add_bool(portcullis_request *self, bool value);
PORTCULLIS_API bool portcullis_request_add_int(portcullis_request *self, int64_t value);
PORTCULLIS_API bool portcullis_request_add_uint(portcullis_request *self, uint64_t value);
PORTCULLIS_API bool portcullis_request_add_double(portcullis_request *self, double value);
PORTCULLIS_API bool portcullis_request_add_text(portcullis_request *self, const char *text);
PORTCULLIS_API bool portcullis_request_add_text_sized(portcullis_request *self, const char *text,
                                                      size_t size);
PORTCULLIS_API bool portcullis_request_add_blob(portcullis_request *self, const void *data,
                                                size_t size);
/* Exact decimals ("-12.50") and dates and times ("2026-11-22", "2026-11-22 15:33:30.5",
 * "-101:00:00") as text. */
PORTCULLIS_API bool portcullis_request_add_decimal(portcullis_request *self, const char *text);
PORTCULLIS_API bool portcullis_request_add_temporal(portcullis_request *self, const char *text);
PORTCULLIS_API void portcullis_request_clear_params(portcullis_request *self);

/* A transaction in one request: statements that are done on the source all or none, in their
 * order, and committed.  It has none at first.
 *
 *     portcullis_request *request = portcullis_request_new_txn();
 *     portcullis_request_add_statement(request, "UPDATE stock SET n = n - 1 WHERE id = ? AND n >
 * 0"); portcullis_request_add_int(request, 7); portcullis_request_expect_rows(request, 1);
 *     portcullis_request_add_statement(request, "INSERT INTO sold (id) VALUES (7)");
 *
 * The result has one for each statement: portcullis_result_statement.  On failure nothing was done
 * (unless retry says unsafe), and portcullis_result_failed_statement tells which it was. */
PORTCULLIS_API portcullis_request *portcullis_request_new_txn(void);
/* false: memory is out, there are 256 already, the whole is over 17 MiB, or the request is not of
 * portcullis_request_new_txn.  Where it is false nothing was added. */
PORTCULLIS_API bool portcullis_request_add_statement(portcullis_request *self, const char *sql);
PORTCULLIS_API bool portcullis_request_add_statement_sized(portcullis_request *self,
                                                           const char *sql, size_t size);
/* What the statement added last must return or change for the transaction to go on (EXPECT where it
 * does not); max UINT64_MAX: no upper bound.  The last of the two counts.  false: there is no
 * statement yet, or min is above max. */
PORTCULLIS_API bool portcullis_request_expect_rows(portcullis_request *self, uint64_t rows);
PORTCULLIS_API bool portcullis_request_expect_between(portcullis_request *self, uint64_t rows_min,
                                                      uint64_t rows_max);

/* Default schema; NULL or "": the account's. */
PORTCULLIS_API bool portcullis_request_set_db(portcullis_request *self, const char *db);
/* "direct", "random", "round-robin", "least-inflight", "custom", "peak-ewma", "c3", "prequal";
 * NULL or "": the cluster's default.  false: there is no such strategy. */
PORTCULLIS_API bool portcullis_request_set_strategy(portcullis_request *self, const char *strategy);
/* Which node is fresh enough; the last of these five counts, the first is what a request has by
 * itself: with a causal client one that has all which that has seen, else any. */
PORTCULLIS_API void portcullis_request_set_consistency_default(portcullis_request *self);
PORTCULLIS_API void portcullis_request_set_consistency_any(portcullis_request *self);
PORTCULLIS_API void portcullis_request_set_consistency_source(portcullis_request *self);
PORTCULLIS_API void portcullis_request_set_consistency_max_lag(portcullis_request *self,
                                                               uint32_t lag_ms_max);
/* Not before the write, or the read, whose result had this token; several with blanks between them,
 * and more than 8 are the source's.  false: there is none, or one is over 512 octets or not
 * printable ASCII. */
PORTCULLIS_API bool portcullis_request_set_consistency_after(portcullis_request *self,
                                                             const void *token, size_t size);
/* The result of a read shall have a token, too: who reads after it sees no older state. */
PORTCULLIS_API void portcullis_request_set_monotonic(portcullis_request *self, bool monotonic);
/* 1 to 600000; 0: the client's default. */
PORTCULLIS_API void portcullis_request_set_timeout(portcullis_request *self, uint32_t timeout_ms);
/* The reply shall tell why the node was chosen. */
PORTCULLIS_API void portcullis_request_set_explain_route(portcullis_request *self, bool explain);
/* The statement shall not run: the route of the result tells which node would be asked, or that
 * none would, and why.  Goes with portcullis_request_new, outside a session. */
PORTCULLIS_API void portcullis_request_set_dry_run(portcullis_request *self, bool dry_run);
/* Running it twice does no harm: it may be sent again when its gatekeeper is lost. */
PORTCULLIS_API void portcullis_request_set_idempotent(portcullis_request *self, bool idempotent);
/* 16 octets, unique; NULL: the library makes one each time the request is sent.  The pages of a
 * result are asked for under the id of its request. */
PORTCULLIS_API void portcullis_request_set_id(portcullis_request *self, const uint8_t *id);
/* The reply shall tell all that the database says of its columns (portcullis_column). */
PORTCULLIS_API void portcullis_request_set_metadata(portcullis_request *self, bool metadata);
/* How large a page of the result may be, in rows (at most 100000) and in octets (at most 8 MiB;
 * one row always fits); 0: the cluster's own, 1000 and 256 KiB. */
PORTCULLIS_API void portcullis_request_set_page_rows(portcullis_request *self, uint32_t rows_max);
PORTCULLIS_API void portcullis_request_set_page_size(portcullis_request *self, uint32_t size_max);
/* How many pages of a long result may be under way at a time, at most PORTCULLIS_PAGES_AHEAD_MAX:
 * the next ones come while the caller reads one, and memory holds as many more.  The longer a
 * result is, the more it has, up to these.  0, as at first: a page is sent for when it is wanted,
 * by _next, _fetch, _start_fetch or _submit_fetch.  With more than one _submit_fetch is UNSUPPORTED
 * where the page is under way already; a page that is asked for early has the time of those in
 * front of it, too; and what is given up is cancelled. */
#define PORTCULLIS_PAGES_AHEAD_MAX 8
PORTCULLIS_API void portcullis_request_set_pages_ahead(portcullis_request *self, uint32_t pages);

/* ---- sending ---------------------------------------------------------------------------- */

/* Sends and waits.  Never NULL; the caller destroys the result.  Not from a callback (it would
 * wait for itself: UNSUPPORTED). */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_result *
portcullis_call(portcullis *self, const portcullis_request *request);

/* Runs on the library's thread: it must not wait.  It owns the result.  It may submit. */
typedef void portcullis_callback(portcullis_result *result, void *context);

/* OK: callback will be called exactly once.  Else it never will: OVERLOADED (inflight_max
 * requests are under way), TOO_LARGE, MALFORMED, NO_MEMORY, UNAVAILABLE (closing, or forked). */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_code
portcullis_submit(portcullis *self, const portcullis_request *request,
                  portcullis_callback *callback, void *context);

/* Sends, and does not wait.  NULL only when memory is out; a refusal is a future that is
 * complete already. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_future *
portcullis_start(portcullis *self, const portcullis_request *request);
/* Waits at most timeout_ms (-1: as long as it takes).  The result, which the caller destroys,
 * and the future is gone; or NULL, and the future is still there.  May be called after
 * portcullis_close. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_result *
portcullis_future_wait(portcullis_future **self_p, int timeout_ms);
/* Gives the answer up; the request runs on. */
PORTCULLIS_API void portcullis_future_destroy(portcullis_future **self_p);
/* Of the request, 16 octets; for portcullis_cancel.  Valid as long as the future. */
PORTCULLIS_API const uint8_t *portcullis_future_id(const portcullis_future *self);

/* ---- cancelling ------------------------------------------------------------------------- */

/* An id that no other request has, 16 octets: set it on a request that is to be cancelled. */
PORTCULLIS_API void portcullis_make_id(portcullis *self, uint8_t *out_id);

/* Tells the cluster to stop the request with this id, and does not wait; callbacks may.  What was
 * not sent yet is not sent.  The request still completes once: as CANCELLED (retry safe when it had
 * not started or only read, else unsafe), or with its result when that was there first.  A
 * statement that waits in the database is killed; its session stays.  OK: it is on its way.
 * OVERLOADED, NO_MEMORY, UNAVAILABLE as of portcullis_submit. */
PORTCULLIS_API portcullis_code portcullis_cancel(portcullis *self, const uint8_t *id);
/* The same as a request, also of other clients with the same key; portcullis_result_affected is how
 * many were found and told to stop. */
PORTCULLIS_API portcullis_request *portcullis_request_new_cancel(const uint8_t *id);

/* ---- sessions --------------------------------------------------------------------------- */

/* Statements on one connection to one database, in a transaction that lasts until commit or
 * rollback; SQL's own COMMIT and ROLLBACK end only the transaction.  Variables, temporary tables,
 * locks and LAST_INSERT_ID() last as long as the session.
 *
 *     portcullis_request *begin = portcullis_request_new_begin(false);
 *     portcullis_result *result = NULL;
 *     portcullis_session *session = portcullis_session_begin(client, begin, &result);
 *     if (session == NULL) { ... result says why ... }
 *     portcullis_result_destroy(&result);
 *     result = portcullis_session_call(session, request);
 *     ...
 *     result = portcullis_session_commit(session);
 *     portcullis_session_destroy(&session);
 *
 * Its requests run one at a time, in the order in which they were sent.  It is rolled back when it
 * is idle for 30 seconds, when its connection or its node is lost, and when it is too old (5
 * minutes); then statements get GONE.  When the database itself rolls the transaction back (a
 * deadlock), everything gets ABORTED until the rollback.  The next statement gives up what was
 * unread of the one before, whose portcullis_result_next then ends with GONE: read it first, or ask
 * for larger pages.
 *
 * Such a request takes no strategy and no consistency, and is never sent twice, whatever
 * portcullis_request_set_idempotent said. */

/* read_only: nothing is written, and a replica may hold it.  The strategy, consistency, db, id,
 * explain_route and timeout set on it are the session's; the timeout also is that of
 * portcullis_session_commit and _rollback. */
PORTCULLIS_API portcullis_request *portcullis_request_new_begin(bool read_only);
/* Sends a begin and waits.  NULL: *out_result says why.  *out_result is never NULL, and the
 * caller's to destroy; its route tells the node. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_session *
portcullis_session_begin(portcullis *client, const portcullis_request *begin,
                         portcullis_result **out_result);
/* The same without waiting: the session out of the result of a begin that was submitted or started.
 * NULL: it has none (it failed, or the session was taken before), or memory is out.  A session that
 * nobody takes is rolled back with the result. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_session *
portcullis_result_take_session(portcullis_result *self);
/* Rolls back when it is still open, without waiting for it. */
PORTCULLIS_API void portcullis_session_destroy(portcullis_session **self_p);

/* As portcullis_call, _submit and _start. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_result *
portcullis_session_call(portcullis_session *self, const portcullis_request *request);
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_code
portcullis_session_submit(portcullis_session *self, const portcullis_request *request,
                          portcullis_callback *callback, void *context);
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_future *
portcullis_session_start(portcullis_session *self, const portcullis_request *request);

/* End transaction and session, and wait.  OK: it has ended, and of a commit the result has the
 * token.  LOST, DEADLINE with retry unsafe: nobody can say whether the commit took place.  ABORTED:
 * nothing stands; roll back.  Where retry is safe the session is still there. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_result *
portcullis_session_commit(portcullis_session *self);
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_result *
portcullis_session_rollback(portcullis_session *self);
/* The same as requests, for portcullis_session_submit and _start. */
PORTCULLIS_API portcullis_request *portcullis_request_new_commit(void);
PORTCULLIS_API portcullis_request *portcullis_request_new_rollback(void);
/* Was it neither committed nor rolled back, nor found gone, as far as the answers until now say? */
PORTCULLIS_API bool portcullis_session_is_open(const portcullis_session *self);

/* ---- results ---------------------------------------------------------------------------- */

/* Everything that these return is borrowed from the result and valid until it is destroyed,
 * unless said otherwise.  Texts and octets are never NULL.  Destroying a result gives up what is
 * unread, without waiting. */
PORTCULLIS_API void portcullis_result_destroy(portcullis_result **self_p);

PORTCULLIS_API portcullis_code portcullis_result_code(const portcullis_result *self);
PORTCULLIS_API const char *portcullis_result_code_text(const portcullis_result *self); /* "SQL" */
/* Of a failure; "" and 0 of a success, or where it has none. */
PORTCULLIS_API const char *portcullis_result_message(const portcullis_result *self);
PORTCULLIS_API portcullis_retry portcullis_result_retry(const portcullis_result *self);
PORTCULLIS_API uint32_t portcullis_result_retry_after(const portcullis_result *self); /* ms */
PORTCULLIS_API uint32_t portcullis_result_errno(const portcullis_result *self);       /* MySQL's */
PORTCULLIS_API const char *portcullis_result_sqlstate(const portcullis_result *self);
/* Who answered: "gatekeeper", "broker", "proxy", "agent"; "client": the library itself. */
PORTCULLIS_API const char *portcullis_result_hop(const portcullis_result *self);

/* Did it come under the broker's seal?  false without a broker's key, of what the library itself
 * answers, and of what a gatekeeper may have made up. */
PORTCULLIS_API bool portcullis_result_sealed(const portcullis_result *self);

PORTCULLIS_API const uint8_t *portcullis_result_id(const portcullis_result *self); /* 16 octets */
PORTCULLIS_API uint64_t portcullis_result_affected(const portcullis_result *self);
PORTCULLIS_API uint64_t portcullis_result_insert_id(const portcullis_result *self);
PORTCULLIS_API uint32_t portcullis_result_warnings(const portcullis_result *self);
/* Of a write, and of a read that was asked for one; for portcullis_request_set_consistency_after.
 * size 0: none. */
PORTCULLIS_API const char *portcullis_result_token(const portcullis_result *self, size_t *out_size);
/* Which way the request took, and the cluster's state (of a status request), as JSON objects;
 * "" where the reply has none. */
PORTCULLIS_API const char *portcullis_result_route(portcullis_result *self);
PORTCULLIS_API const char *portcullis_result_status(portcullis_result *self);
/* Of a failed transaction: which of its statements it was, from 0.  false: none of them. */
PORTCULLIS_API bool portcullis_result_failed_statement(const portcullis_result *self,
                                                       uint32_t *out_index);
/* Of a transaction: how many statements it had, and what each gave: columns, rows, affected,
 * insert_id, warnings.  index < statement_count.  They are parts of self: valid as long as it, and
 * not to be destroyed. */
PORTCULLIS_API uint32_t portcullis_result_statement_count(const portcullis_result *self);
PORTCULLIS_API portcullis_result *portcullis_result_statement(portcullis_result *self,
                                                              uint32_t index);
/* The reply of the present page as it came, msgpack; valid until the next page, size 0 of an answer
 * of the library's own. */
PORTCULLIS_API const void *portcullis_result_octets(const portcullis_result *self,
                                                    size_t *out_size);

/* What who looks at each result's way wants of it, without the cost of JSON. */
typedef struct portcullis_way {
    const char *node;  /* that answered; not NUL terminated, valid as long as the result */
    size_t node_size;  /* 0: the reply does not say */
    uint32_t attempts; /* nodes that were tried until then; 0: likewise */
    bool hedged;       /* it is the answer of a second copy, as the first was late */
} portcullis_way;

PORTCULLIS_API portcullis_way portcullis_result_way(const portcullis_result *self);

/* The numbers of a result at once, for languages in which each call is dear. */
typedef struct portcullis_brief {
    int code;              /* portcullis_code */
    uint32_t column_count; /* 0: it has no rows */
    uint32_t row_count;    /* of the present page */
    bool has_more;
    uint64_t affected;
} portcullis_brief;

PORTCULLIS_API void portcullis_result_brief(const portcullis_result *self,
                                            portcullis_brief *out_brief);

typedef struct portcullis_column {
    const char *name;
    const char *type; /* MySQL's name: "BIGINT", "VARCHAR", ... */
    uint32_t flags;   /* MySQL's bits: NOT_NULL 1, PRI_KEY 2, UNSIGNED 32, BINARY 128, ... */
    /* With portcullis_request_set_metadata, else "" and 0.  Later versions may append members. */
    const char *schema;
    const char *table;     /* as the statement names it; "" of an expression */
    const char *org_table; /* as they were made */
    const char *org_name;
    uint32_t charset;  /* MySQL's number of the collation; 63: binary */
    uint32_t length;   /* the greatest, in octets */
    uint32_t decimals; /* digits behind the point; 31: as many as it takes */
} portcullis_column;

typedef enum portcullis_type {
    PORTCULLIS_TYPE_NULL = 0,
    PORTCULLIS_TYPE_BOOL,
    PORTCULLIS_TYPE_INT,    /* integer; every whole number that fits int64_t */
    PORTCULLIS_TYPE_UINT,   /* uinteger; over INT64_MAX */
    PORTCULLIS_TYPE_DOUBLE, /* real */
    PORTCULLIS_TYPE_TEXT,   /* data, size; also decimals, dates, times, JSON */
    PORTCULLIS_TYPE_BLOB,   /* data, size */
} portcullis_type;

typedef struct portcullis_value {
    portcullis_type type;
    int64_t integer;   /* BOOL (0, 1), INT */
    uint64_t uinteger; /* BOOL, UINT, and INT that is not negative */
    double real;       /* DOUBLE */
    const char *data;  /* TEXT, BLOB: borrowed, NOT NUL terminated */
    size_t size;
} portcullis_value;

/* 0 where the statement has no rows to give (a write). */
PORTCULLIS_API uint32_t portcullis_result_column_count(const portcullis_result *self);
/* index < column_count. */
PORTCULLIS_API const portcullis_column *portcullis_result_column(portcullis_result *self,
                                                                 uint32_t index);

/* To the next row, at first to the first, of all pages.  At the end of a page it sends for the next
 * one and waits, at most the request's timeout plus 100 ms.  false: behind the last row, when
 * portcullis_result_code is OK; else the rest could not be had, and code, message and retry have
 * become those of that failure.  In a callback, which must not wait, it ends with UNSUPPORTED where
 * another page would be needed: use the functions of pages there. */
PORTCULLIS_API bool portcullis_result_next(portcullis_result *self);
/* Of the present row, after a _next that was true; index < column_count.  The struct and its data
 * are valid until the next _next, _fetch or _rewind. */
PORTCULLIS_API const portcullis_value *portcullis_result_value(const portcullis_result *self,
                                                               uint32_t index);
/* Before the first row again.  false: the first page is gone, and nothing was changed. */
PORTCULLIS_API bool portcullis_result_rewind(portcullis_result *self);

/* ---- pages, for those who want to see them ---------------------------------------------- */

/* Rows of the present page. */
PORTCULLIS_API uint32_t portcullis_result_row_count(const portcullis_result *self);
/* Do rows wait behind the present page, as far as is known here? */
PORTCULLIS_API bool portcullis_result_has_more(const portcullis_result *self);
/* As portcullis_result_next, but false behind the last row of the present page: it never waits. */
PORTCULLIS_API bool portcullis_result_next_in_page(portcullis_result *self);
/* Puts the next page in the place of the present one, before its first row, and waits for it.
 * false: there is none, or it could not be had, as of portcullis_result_next. */
PORTCULLIS_API bool portcullis_result_fetch(portcullis_result *self);
/* The same without waiting and without changing self: the next page arrives as a result of its own,
 * which also has what waits behind it; self keeps its page and has no more.  On failure (as of
 * portcullis_submit; GONE: there is no more) nothing has changed. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_code portcullis_result_submit_fetch(
    portcullis_result *self, portcullis_callback *callback, void *context);
/* As portcullis_start. */
PORTCULLIS_API PORTCULLIS_MUST_CHECK portcullis_future *
portcullis_result_start_fetch(portcullis_result *self);
/* Gives up what waits behind the present page, without waiting; the page stays. */
PORTCULLIS_API void portcullis_result_give_up(portcullis_result *self);

#ifdef __cplusplus
}
#endif

#endif
