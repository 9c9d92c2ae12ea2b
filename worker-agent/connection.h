/* connection.h - one session with the database server: how it is opened, what
 * is pinned in it, its schema and its prepared statements.
 *
 * Pinned: utf8mb4, sql_mode (so that the meaning our lexer gives a text is the
 * server's), autocommit, one statement a text, no local files; for reads,
 * read-only transactions; for writes, tracking of the GTID.  time_zone is the
 * server's.
 *
 * What a client's statements leave behind is undone by pcl_connection_reset, and
 * what is pinned is pinned again before the next use: a reset gives each setting
 * the server's own default.
 *
 * A connection belongs to one thread; only pcl_connection_interrupt and
 * pcl_connection_has_socket may be called from another.
 */
#ifndef PCL_WORKER_AGENT_CONNECTION_H
#define PCL_WORKER_AGENT_CONNECTION_H

#include "common/bytes.h"
#include "worker-agent/mysql_api.h"
#include "worker-agent/options.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_account {
    PCL_ACCOUNT_ADMIN = 0,
    PCL_ACCOUNT_READ,
    PCL_ACCOUNT_WRITE,
} pcl_account;

/* What MySQL, or its client library, said. */
typedef struct pcl_sql_error {
    uint32_t number; /* errno; 0: nothing is wrong */
    char sqlstate[6];
    char message[PCL_ERROR_TEXT_SIZE];
} pcl_sql_error;

typedef struct pcl_connection pcl_connection;

/* What its buffer may have grown to where the connection shall be kept.  The client library never
 * shrinks it, and many connections that each had one large row would hold that memory for ever. */
#define PCL_CONNECTION_BUFFER_KEPT_SIZE (1024u * 1024u)

/* Before there is a second thread: left to the first two connections, the client library would make
 * itself ready in both at once.  false: it cannot be used. */
bool pcl_connection_library(void) PCL_MUST_CHECK;

/* Opens nothing yet.  options and accounts are borrowed; accounts: whose of READ and WRITE, NULL of
 * ADMIN.  Both stay as they are for as long as it lives, whatever it is used for: what a statement
 * leaves in it, the statements kept prepared and its schema never meet another role's.
 * read_timeout_s: 0 for statements that something else bounds. */
pcl_connection *pcl_connection_new(const pcl_agent_options *options, const pcl_accounts *accounts,
                                   pcl_account account, uint32_t statements_max,
                                   uint32_t read_timeout_s);
void pcl_connection_destroy(pcl_connection **self_p);

/* Connects and pins the session unless it is open and, as far as the socket
 * shows, still alive.  false: out_error says why. */
bool pcl_connection_open(pcl_connection *self, pcl_sql_error *out_error) PCL_MUST_CHECK;
/* As open, and no statement of a client has left anything in it: resets where one ran. */
bool pcl_connection_open_clean(pcl_connection *self, pcl_sql_error *out_error) PCL_MUST_CHECK;
/* A client's statement is about to run in it. */
void pcl_connection_soil(pcl_connection *self);
/* Undoes all that clients did: ends the transaction, drops temporary tables, variables, locks and
 * prepared statements.  What is pinned comes back with the next open.  Where the server does not
 * answer, or the connection holds too much memory, it is closed.  True: it is open and clean. */
bool pcl_connection_reset(pcl_connection *self);
/* A statement may have run somebody's program, which may have changed what texts are read and
 * results are written by: notice believes the server's answer to the statement, doubt is for where
 * that says nothing (an error, rows).  The next open, or reassure, sees to it. */
void pcl_connection_notice(pcl_connection *self);
void pcl_connection_doubt(pcl_connection *self);
bool pcl_connection_is_doubted(const pcl_connection *self);
/* Pins that again, and nothing else; ends the doubt. */
bool pcl_connection_reassure(pcl_connection *self, pcl_sql_error *out_error) PCL_MUST_CHECK;
/* Its buffer has grown beyond what is kept. */
bool pcl_connection_is_bloated(const pcl_connection *self);
pcl_account pcl_connection_account(const pcl_connection *self);
const pcl_accounts *pcl_connection_accounts(const pcl_connection *self); /* NULL of ADMIN */
/* A client's statement ran in it since it was opened or reset. */
bool pcl_connection_is_soiled(const pcl_connection *self);
/* What the server does to its side is the server's; statements are forgotten. */
void pcl_connection_close(pcl_connection *self);
bool pcl_connection_is_open(const pcl_connection *self);
/* Of an open one: the server has not ended it meanwhile. */
bool pcl_connection_is_alive(const pcl_connection *self);
/* Shuts the socket, so that a call which blocks on it returns; from any thread. */
void pcl_connection_interrupt(pcl_connection *self);

/* It is connected; from any thread. */
bool pcl_connection_has_socket(pcl_connection *self);

/* It was opened with the password that the keyring has now: the server has that, too. */
bool pcl_connection_knows_password(const pcl_connection *self);

MYSQL *pcl_connection_mysql(pcl_connection *self);
uint64_t pcl_connection_id(const pcl_connection *self); /* the server's, of KILL */

/* It is open, as far as we know, pinned, and in that schema ("": as of pcl_connection_use): a
 * statement may be sent to it at once. */
bool pcl_connection_is_ready(const pcl_connection *self, pcl_bytes db);
/* Lets the calls of it that do not wait be used (mysql_api.h), of an open one, until it is closed.
 * Those that wait are used as before.  False: it cannot be had, as over TLS. */
bool pcl_connection_allow_nonblocking(pcl_connection *self) PCL_MUST_CHECK;

/* Makes db the session's schema; "" makes it the default of its accounts, or none
 * where that does not exist, never what an earlier request left. */
bool pcl_connection_use(pcl_connection *self, pcl_bytes db,
                        pcl_sql_error *out_error) PCL_MUST_CHECK;
/* For a connection that must stay the same: makes db its schema; "" leaves it as it is. */
bool pcl_connection_select(pcl_connection *self, pcl_bytes db,
                           pcl_sql_error *out_error) PCL_MUST_CHECK;
/* Takes over the schema that the server reports with the statement just run; false: it reports
 * none. */
bool pcl_connection_follow_schema(pcl_connection *self);
/* The schema may have changed behind our back (a DDL statement ran); nothing is kept prepared until
 * it is known again. */
void pcl_connection_forget_schema(pcl_connection *self);

typedef struct pcl_prepared {
    MYSQL_STMT *stmt;
    bool cached; /* else pcl_connection_release closes it */
    bool hit;    /* it was in the cache */
} pcl_prepared;

/* A statement ready to execute, in the session's schema, for parameters of these types (see
 * statement_cache.h); kept in the cache where keep is set and the text is short enough. */
bool pcl_connection_prepare(pcl_connection *self, pcl_bytes sql, pcl_bytes types, bool keep,
                            pcl_prepared *out_prepared, pcl_sql_error *out_error) PCL_MUST_CHECK;
/* Only one that is in the cache.  False: it must be prepared first. */
bool pcl_connection_find_prepared(pcl_connection *self, pcl_bytes sql, pcl_bytes types,
                                  pcl_prepared *out_prepared) PCL_MUST_CHECK;
/* Frees the result; closes the statement where it is not cached. */
void pcl_connection_release(pcl_connection *self, pcl_prepared *prepared);
/* Takes it out of the cache, if it is there: the next time it is prepared anew, and release
 * closes it. */
void pcl_connection_uncache(pcl_connection *self, pcl_bytes sql, pcl_bytes types,
                            pcl_prepared *prepared);

/* After a statement that failed with a number that rolls back: has the server
 * rolled back all it did?  false where it does not say so for certain, as of
 * tables without transactions. */
bool pcl_connection_rolled_back(pcl_connection *self, uint32_t number);

/* The GTID of the write just run, into target (NUL terminated, "" when nothing
 * was written or the server does not say).  ask: the statement returned rows,
 * so where no packet carried it the server is asked. */
void pcl_connection_token(pcl_connection *self, bool ask, char *target, size_t target_size);

/* Fills *out_error from a handle, for the callers that use one directly. */
void pcl_sql_error_of(pcl_sql_error *out_error, MYSQL *mysql);
/* Connector/C leaves what goes wrong between two rows with the session only. */
void pcl_sql_error_of_stmt(pcl_sql_error *out_error, MYSQL_STMT *stmt, MYSQL *mysql);

#endif
