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
 *
 * A client is a channel, not a socket: any number of threads share one, and their requests are
 * in flight together on one connection.  One thread of the library's own does all the sending
 * and receiving.
 *
 * One outcome.  A request that was accepted completes exactly once, at the latest 100 ms after
 * its deadline: with the cluster's answer, or with one that the library gives itself (hop
 * "client").  A reply never completes another's request.
 *
 * Several gatekeepers.  One is in use; when it dies, what was not sent yet goes to the next.
 * What was in flight there completes as LOST (retry unsafe), unless it was marked idempotent:
 * then it is sent to another gatekeeper, within its deadline.
 *
 * Threads.  Calls on a client are safe from any thread; requests, results and futures belong to
 * one thread at a time.  Signals are blocked in the library's threads.
 *
 * Fork.  A client does not survive it: in the child, calls are refused with UNAVAILABLE, and
 * portcullis_close only forgets the client.  Open one after the fork.
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
    const char *bundle_file; /* NULL: the next four instead */
    const portcullis_gatekeeper *gatekeepers;
    size_t gatekeeper_count;     /* 1 to 16 */
    const char *public_key;      /* own, 40 characters Z85 */
    const char *secret_key;      /* own, likewise */
    bool insecure;               /* plain TCP, without keys: for tests */
    uint32_t timeout_ms;         /* of requests that set none; 0: 5000 */
    uint32_t connect_timeout_ms; /* how long a request waits for a gatekeeper to be there;
                                    0: 2000 */
    uint32_t inflight_max;       /* requests under way at the same time; 0: 10000 */
} portcullis_options;

/* As portcullis_open. */
PORTCULLIS_API portcullis *portcullis_open_options(const portcullis_options *options, char *error,
                                                   size_t error_size);

/* Completes everything still under way (CANCELLED where it was not sent, else LOST), calling
 * its callbacks, and ends the library's threads.  Other threads may be waiting in
 * portcullis_call and portcullis_future_wait, which return; none may start anything any more.
 * Not from a callback. */
PORTCULLIS_API void portcullis_close(portcullis **self_p);

/* ---- requests --------------------------------------------------------------------------- */

/* A request may be sent any number of times, and changed in between; sending copies it. */
PORTCULLIS_API portcullis_request *portcullis_request_new(const char *sql);
PORTCULLIS_API portcullis_request *portcullis_request_new_sized(const char *sql, size_t size);
PORTCULLIS_API portcullis_request *portcullis_request_new_ping(void);
PORTCULLIS_API portcullis_request *portcullis_request_new_status(void);
PORTCULLIS_API void portcullis_request_destroy(portcullis_request **self_p);

/* One value for the next `?`.  false: memory is out, or there are more than 4096, or
 * the octets of all are over 17 MiB. */
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

/* Default schema; NULL or "": the account's. */
PORTCULLIS_API bool portcullis_request_set_db(portcullis_request *self, const char *db);
/* "direct", "random", "round-robin", "least-inflight", "custom"; NULL or "": the cluster's
 * default.  false: there is no such strategy. */
PORTCULLIS_API bool portcullis_request_set_strategy(portcullis_request *self, const char *strategy);
/* Which node is fresh enough; the last of these four counts, the first is the default. */
PORTCULLIS_API void portcullis_request_set_consistency_any(portcullis_request *self);
PORTCULLIS_API void portcullis_request_set_consistency_source(portcullis_request *self);
PORTCULLIS_API void portcullis_request_set_consistency_max_lag(portcullis_request *self,
                                                               uint32_t lag_ms_max);
/* Not before the write whose result had this token.  false: it is empty or over 512 octets. */
PORTCULLIS_API bool portcullis_request_set_consistency_after(portcullis_request *self,
                                                             const void *token, size_t size);
/* 1 to 600000; 0: the client's default. */
PORTCULLIS_API void portcullis_request_set_timeout(portcullis_request *self, uint32_t timeout_ms);
/* The reply shall tell why the node was chosen. */
PORTCULLIS_API void portcullis_request_set_explain_route(portcullis_request *self, bool explain);
/* Running it twice does no harm: it may be sent again when its gatekeeper is lost. */
PORTCULLIS_API void portcullis_request_set_idempotent(portcullis_request *self, bool idempotent);
/* 16 octets, unique; NULL: the library makes one each time the request is sent. */
PORTCULLIS_API void portcullis_request_set_id(portcullis_request *self, const uint8_t *id);

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

/* ---- results ---------------------------------------------------------------------------- */

/* Everything that these return is borrowed from the result and valid until it is destroyed,
 * unless said otherwise.  Texts and octets are never NULL. */
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

PORTCULLIS_API const uint8_t *portcullis_result_id(const portcullis_result *self); /* 16 octets */
PORTCULLIS_API uint64_t portcullis_result_affected(const portcullis_result *self);
PORTCULLIS_API uint64_t portcullis_result_insert_id(const portcullis_result *self);
PORTCULLIS_API uint32_t portcullis_result_warnings(const portcullis_result *self);
/* For portcullis_request_set_consistency_after; size 0: none. */
PORTCULLIS_API const char *portcullis_result_token(const portcullis_result *self, size_t *out_size);
/* Which way the request took, and the cluster's state (of a status request), as JSON objects;
 * "" where the reply has none. */
PORTCULLIS_API const char *portcullis_result_route(portcullis_result *self);
PORTCULLIS_API const char *portcullis_result_status(portcullis_result *self);
/* The reply as it came, msgpack; size 0 of an answer of the library's own. */
PORTCULLIS_API const void *portcullis_result_octets(const portcullis_result *self,
                                                    size_t *out_size);

typedef struct portcullis_column {
    const char *name;
    const char *type; /* MySQL's name: "BIGINT", "VARCHAR", ... */
    uint32_t flags;   /* MySQL's bits: NOT_NULL 1, PRI_KEY 2, UNSIGNED 32, BINARY 128, ... */
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
PORTCULLIS_API uint32_t portcullis_result_row_count(const portcullis_result *self);
/* index < column_count. */
PORTCULLIS_API const portcullis_column *portcullis_result_column(portcullis_result *self,
                                                                 uint32_t index);
/* To the next row, at first to the first; false after the last. */
PORTCULLIS_API bool portcullis_result_next(portcullis_result *self);
/* Before the first row again. */
PORTCULLIS_API void portcullis_result_rewind(portcullis_result *self);
/* Of the present row, after a _next that was true; index < column_count.  The struct is valid
 * until the next _next, its data as long as the result. */
PORTCULLIS_API const portcullis_value *portcullis_result_value(const portcullis_result *self,
                                                               uint32_t index);

#ifdef __cplusplus
}
#endif

#endif
