#include "worker-agent/connection.h"

#include "worker-agent/outcome.h"
#include "worker-agent/statement_cache.h"

#include <assert.h>
#include <errmsg.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_TIMEOUT_S   2u
/* The server's own default.  A session ends by our limits, not by a shorter one. */
#define WAIT_TIMEOUT_S      28800u
/* A result that waits for its next page must outlast our limit of that. */
#define WRITE_TIMEOUT_MIN_S 60u
#define WRITE_SLACK_S       30u
#define PIN_SIZE_MAX        512u
/* A row that does not fit in a reply need not be read whole.  Connector/C calls a longer one a lost
 * connection, which would be tried again: there it may be as long as servers send by default. */
#if PCL_CLIENT_MARIADB
#define PACKET_SIZE_MAX (65u * 1024u * 1024u)
#else
#define PACKET_SIZE_MAX (PCL_REPLY_SIZE_MAX + 1024u * 1024u)
#endif
/* Strict, and the lexer's meaning: no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES.
 * The same on every flavor, so that a statement means the same everywhere.  No
 * folder in a table's definition: it would be a client's file outside the data,
 * and what it names is another on each node. */
#define SQL_MODE                                                                                   \
    "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_DIR_IN_CREATE"

/* What the server shall report when a statement has changed it: see pcl_connection_notice. */
#define WATCHED "character_set_client,character_set_results,character_set_connection,sql_mode"

struct pcl_connection {
    const pcl_agent_options *options; /* borrowed */
    const pcl_accounts *accounts;     /* borrowed; NULL of ADMIN */
    pcl_account account;
    uint32_t statements_max;
    uint32_t statements_cap; /* statements_max, or what the server's own limit leaves */
    uint32_t read_timeout_s;
    MYSQL *mysql; /* NULL when closed */
    pcl_statement_cache *statements;
    char db[PCL_SCHEMA_SIZE]; /* the session's schema as we know it */
    size_t db_size;
    bool db_known;
    bool pinned;          /* while open */
    bool was_reset;       /* and not pinned again since */
    bool doubted;         /* what must not change may have */
    bool nonblocking;     /* calls that do not wait may be used */
    bool by_now;          /* let in with the password of that turn of the keyring, */
    uint64_t turn;        /* and not with the one before */
    bool soiled;          /* a client's statement ran since it was opened or reset */
    pthread_mutex_t lock; /* guards fd against a close while another thread shuts it */
    int fd;               /* -1 when closed */
};

void pcl_sql_error_of(pcl_sql_error *out_error, MYSQL *mysql)
{
    out_error->number = mysql_errno(mysql);
    (void)snprintf(out_error->sqlstate, sizeof out_error->sqlstate, "%s", mysql_sqlstate(mysql));
    (void)snprintf(out_error->message, sizeof out_error->message, "%s", mysql_error(mysql));
}

void pcl_sql_error_of_stmt(pcl_sql_error *out_error, MYSQL_STMT *stmt, MYSQL *mysql)
{
    if (mysql_stmt_errno(stmt) == 0) {
        pcl_sql_error_of(out_error, mysql);
        return;
    }
    out_error->number = mysql_stmt_errno(stmt);
    (void)snprintf(out_error->sqlstate, sizeof out_error->sqlstate, "%s",
                   mysql_stmt_sqlstate(stmt));
    (void)snprintf(out_error->message, sizeof out_error->message, "%s", mysql_stmt_error(stmt));
}

static bool s_out_of_memory(pcl_sql_error *out_error)
{
    *out_error = (pcl_sql_error){.number = CR_OUT_OF_MEMORY,
                                 .sqlstate = "HY000",
                                 .message = "the client library is out of memory"};
    return false;
}

bool pcl_connection_library(void)
{
    return mysql_library_init(0, NULL, NULL) == 0;
}

pcl_connection *pcl_connection_new(const pcl_agent_options *options, const pcl_accounts *accounts,
                                   pcl_account account, uint32_t statements_max,
                                   uint32_t read_timeout_s)
{
    assert((accounts == NULL) == (account == PCL_ACCOUNT_ADMIN));
    pcl_connection *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->accounts = accounts;
    self->account = account;
    self->statements_max = statements_max;
    self->statements_cap = statements_max;
    self->read_timeout_s = read_timeout_s;
    self->fd = -1;
    self->statements = pcl_statement_cache_new(statements_max);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    return self;
}

void pcl_connection_destroy(pcl_connection **self_p)
{
    pcl_connection *self = *self_p;
    if (self != NULL) {
        pcl_connection_close(self);
        pcl_statement_cache_destroy(&self->statements);
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
        *self_p = NULL;
    }
}

static void s_set_fd(pcl_connection *self, int fd)
{
    (void)pthread_mutex_lock(&self->lock);
    self->fd = fd;
    (void)pthread_mutex_unlock(&self->lock);
}

void pcl_connection_interrupt(pcl_connection *self)
{
    (void)pthread_mutex_lock(&self->lock);
    if (self->fd >= 0) {
        (void)shutdown(self->fd, SHUT_RDWR); /* fails where the peer is gone already */
    }
    (void)pthread_mutex_unlock(&self->lock);
}

bool pcl_connection_has_socket(pcl_connection *self)
{
    (void)pthread_mutex_lock(&self->lock);
    bool has = self->fd >= 0;
    (void)pthread_mutex_unlock(&self->lock);
    return has;
}

static void s_close_statements(pcl_connection *self)
{
    void *stmt = NULL;
    while ((stmt = pcl_statement_cache_remove_oldest(self->statements)) != NULL) {
        (void)mysql_stmt_close(stmt);
    }
}

void pcl_connection_close(pcl_connection *self)
{
    s_set_fd(self, -1);
    /* The session first: statements of a closed session need no farewell of
     * their own, and a result that is not read to its end is dropped. */
    if (self->mysql != NULL) {
        mysql_close(self->mysql);
        self->mysql = NULL;
    }
    s_close_statements(self);
    self->db_known = false;
    self->pinned = false;
    self->was_reset = false;
    self->doubted = false;
    self->nonblocking = false;
    self->soiled = false;
}

bool pcl_connection_is_open(const pcl_connection *self)
{
    return self->mysql != NULL;
}

bool pcl_connection_knows_password(const pcl_connection *self)
{
    return self->mysql != NULL && self->by_now &&
           self->turn == pcl_keyring_turn(self->options->keyring);
}

MYSQL *pcl_connection_mysql(pcl_connection *self)
{
    assert(self->mysql != NULL);
    return self->mysql;
}

uint64_t pcl_connection_id(const pcl_connection *self)
{
    return self->mysql != NULL ? mysql_thread_id(self->mysql) : 0;
}

/* An idle session has nothing to say: what can be read now is the server's
 * farewell. */
bool pcl_connection_is_alive(const pcl_connection *self)
{
    assert(self->mysql != NULL);
    struct pollfd item = {.fd = self->fd, .events = POLLIN};
    return poll(&item, 1, 0) == 0;
}

static bool s_run(pcl_connection *self, const char *sql, pcl_sql_error *out_error)
{
    if (mysql_query(self->mysql, sql) != 0) {
        pcl_sql_error_of(out_error, self->mysql);
        return false;
    }
    return true;
}

/* The first column of the first row; 0 where there is none. */
static bool s_ask_number(pcl_connection *self, const char *sql, unsigned long long *out_number,
                         pcl_sql_error *out_error)
{
    if (!s_run(self, sql, out_error)) {
        return false;
    }
    MYSQL_RES *result = mysql_store_result(self->mysql);
    MYSQL_ROW row = result != NULL ? mysql_fetch_row(result) : NULL;
    *out_number = row != NULL && row[0] != NULL ? strtoull(row[0], NULL, 10) : 0;
    mysql_free_result(result);
    return true;
}

/* How many connections may have prepared statements at a time. */
static unsigned long long s_connections_max(const pcl_agent_options *options)
{
    return pcl_spares_max(options) + options->threads + pcl_threads_first(options) +
           options->sessions.count_max + options->cursors.count_max;
}

/* The server bounds prepared statements over all sessions; ours share three
 * quarters of that. */
static bool s_read_statement_limit(pcl_connection *self, pcl_sql_error *out_error)
{
    unsigned long long limit = 0;
    if (!s_ask_number(self, "SELECT @@global.max_prepared_stmt_count", &limit, out_error)) {
        return false;
    }
    unsigned long long share = limit * 3 / 4 / s_connections_max(self->options);
    self->statements_cap = share < self->statements_max ? (uint32_t)share : self->statements_max;
    return true;
}

static bool s_is_mariadb(const pcl_connection *self)
{
    return strstr(mysql_get_server_info(self->mysql), "MariaDB") != NULL;
}

static const char *s_account_pins(const pcl_connection *self)
{
    bool mariadb = s_is_mariadb(self);
    if (self->account == PCL_ACCOUNT_READ) {
        return mariadb ? "tx_read_only=1" : "transaction_read_only=1";
    }
    return mariadb ? "session_track_system_variables='last_gtid," WATCHED "'"
                   : "session_track_gtids='OWN_GTID', "
                     "SESSION session_track_system_variables='" WATCHED "'";
}

/* One statement, as it stands before each session and after each reset. */
static bool s_pin(pcl_connection *self, pcl_sql_error *out_error)
{
    if (self->account == PCL_ACCOUNT_ADMIN) {
        self->pinned = s_run(self, "SET SESSION sql_mode='" SQL_MODE "', autocommit=1", out_error);
        return self->pinned;
    }
    uint32_t sessions_ms = self->options->sessions.idle_ms;
    uint32_t cursors_ms = self->options->cursors.idle_ms;
    uint32_t idle_s = (sessions_ms > cursors_ms ? sessions_ms : cursors_ms) / 1000u;
    uint32_t write_s = idle_s > WRITE_TIMEOUT_MIN_S ? idle_s : WRITE_TIMEOUT_MIN_S;
    char sql[PIN_SIZE_MAX];
    int size = snprintf(sql, sizeof sql,
                        "SET NAMES utf8mb4, SESSION sql_mode='" SQL_MODE "', SESSION autocommit=1, "
                        "SESSION net_write_timeout=%" PRIu32 ", SESSION wait_timeout=%u, "
                        "SESSION %s",
                        write_s + WRITE_SLACK_S, WAIT_TIMEOUT_S + idle_s, s_account_pins(self));
    assert(size > 0 && (size_t)size < sizeof sql);
    unsigned long long one = 0;
    /* FOUND_ROWS() is all that a reset leaves, on either flavor; a query of ours puts it right. */
    self->pinned = s_run(self, sql, out_error) &&
                   (!self->was_reset || s_ask_number(self, "SELECT 1", &one, out_error));
    self->was_reset = self->was_reset && !self->pinned;
    return self->pinned;
}

void pcl_connection_doubt(pcl_connection *self)
{
    self->doubted = true;
}

bool pcl_connection_is_doubted(const pcl_connection *self)
{
    return self->doubted;
}

bool pcl_connection_reassure(pcl_connection *self, pcl_sql_error *out_error)
{
    bool pinned = s_run(self,
                        "SET SESSION character_set_client=utf8mb4, "
                        "SESSION character_set_results=utf8mb4, SESSION sql_mode='" SQL_MODE "'",
                        out_error);
    self->doubted = self->doubted && !pinned;
    return pinned;
}

static const char *s_credentials(const pcl_connection *self, pcl_password *out_password)
{
    const char *user = self->options->admin_user;
    uint32_t place = PCL_PLACE_ADMIN;
    if (self->account != PCL_ACCOUNT_ADMIN) {
        bool write = self->account == PCL_ACCOUNT_WRITE;
        user = write ? self->accounts->write_user : self->accounts->read_user;
        place = pcl_place_of(self->accounts->index, write);
    }
    pcl_keyring_password(self->options->keyring, place, out_password);
    return user;
}

static void s_set_options(pcl_connection *self)
{
    unsigned int connect_timeout_s = CONNECT_TIMEOUT_S;
    unsigned int local_infile = 0; /* LOAD DATA LOCAL would read this machine's files */
    unsigned long packet_size_max = PACKET_SIZE_MAX;
    (void)mysql_options(self->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout_s);
    (void)mysql_options(self->mysql, MYSQL_OPT_LOCAL_INFILE, &local_infile);
    (void)mysql_options(self->mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_size_max);
    (void)mysql_options(self->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (self->read_timeout_s > 0) {
        (void)mysql_options(self->mysql, MYSQL_OPT_READ_TIMEOUT, &self->read_timeout_s);
        (void)mysql_options(self->mysql, MYSQL_OPT_WRITE_TIMEOUT, &self->read_timeout_s);
    }
#if !PCL_CLIENT_MARIADB
    bool get_public_key = true; /* caching_sha2_password where there is no TLS */
    (void)mysql_options(self->mysql, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &get_public_key);
#endif
}

static bool s_log_in(pcl_connection *self, const char *user, const char *password,
                     pcl_sql_error *out_error)
{
    self->mysql = mysql_init(NULL);
    if (self->mysql == NULL) {
        return s_out_of_memory(out_error);
    }
    s_set_options(self);
    const pcl_agent_options *options = self->options;
    bool local = options->socket[0] != '\0';
    if (local) {
        pcl_mysql_spare_tls(self->mysql);
    }
    if (mysql_real_connect(self->mysql, local ? "localhost" : options->host, user, password, NULL,
                           local ? 0 : options->port, local ? options->socket : NULL, 0) == NULL) {
        pcl_sql_error_of(out_error, self->mysql);
        return false;
    }
    s_set_fd(self, pcl_mysql_fd(self->mysql));
    return true;
}

/* While a password changes the server has an old one or the new one; with the new one tried twice
 * it does not matter when it changes. */
static bool s_log_in_as_known(pcl_connection *self, pcl_sql_error *out_error)
{
    pcl_password password;
    self->turn = pcl_keyring_turn(self->options->keyring); /* or a later one's password */
    const char *user = s_credentials(self, &password);
    bool done = s_log_in(self, user, password.now, out_error);
    self->by_now = done;
    const char *others[] = {password.before, password.between, password.now};
    for (uint32_t turn = 0; turn < 3 && !done && password.before[0] != '\0' &&
                            out_error->number == PCL_ER_ACCESS_DENIED;
         turn++) {
        if (others[turn][0] != '\0') {
            pcl_connection_close(self);
            done = s_log_in(self, user, others[turn], out_error);
        }
    }
    pcl_password_wipe(&password);
    return done;
}

static bool s_connect(pcl_connection *self, pcl_sql_error *out_error)
{
    return s_log_in_as_known(self, out_error) &&
           (self->account == PCL_ACCOUNT_ADMIN || s_read_statement_limit(self, out_error)) &&
           s_pin(self, out_error);
}

bool pcl_connection_open(pcl_connection *self, pcl_sql_error *out_error)
{
    if (self->mysql != NULL && pcl_connection_is_alive(self) &&
        (self->pinned || s_pin(self, out_error)) &&
        (!self->doubted || pcl_connection_reassure(self, out_error))) {
        return true;
    }
    pcl_connection_close(self);
    if (s_connect(self, out_error)) {
        self->db_size = 0; /* we connect without a schema */
        self->db_known = true;
        return true;
    }
    pcl_connection_close(self);
    return false;
}

bool pcl_connection_open_clean(pcl_connection *self, pcl_sql_error *out_error)
{
    if (self->soiled && self->mysql != NULL && pcl_connection_is_alive(self)) {
        (void)pcl_connection_reset(self); /* or closed, and then opened anew */
    }
    return pcl_connection_open(self, out_error);
}

void pcl_connection_soil(pcl_connection *self)
{
    self->soiled = true;
}

bool pcl_connection_reset(pcl_connection *self)
{
    if (self->mysql == NULL) {
        return false;
    }
    if (pcl_connection_is_bloated(self) || mysql_reset_connection(self->mysql) != 0) {
        pcl_connection_close(self);
        return false;
    }
    s_close_statements(self); /* the server has forgotten them */
    self->pinned = false;
    self->was_reset = true;
    self->doubted = false;
    self->soiled = false;
    pcl_connection_forget_schema(self);
    return true;
}

bool pcl_connection_is_bloated(const pcl_connection *self)
{
    return self->mysql != NULL &&
           pcl_mysql_buffer_size(self->mysql) > PCL_CONNECTION_BUFFER_KEPT_SIZE;
}

pcl_account pcl_connection_account(const pcl_connection *self)
{
    return self->account;
}

const pcl_accounts *pcl_connection_accounts(const pcl_connection *self)
{
    return self->accounts;
}

bool pcl_connection_is_soiled(const pcl_connection *self)
{
    return self->soiled;
}

static bool s_select(pcl_connection *self, pcl_bytes db, pcl_sql_error *out_error)
{
    char name[PCL_SCHEMA_SIZE];
    assert(db.size < sizeof name);
    memcpy(name, db.data, db.size);
    name[db.size] = '\0';
    if (mysql_select_db(self->mysql, name) != 0) {
        pcl_sql_error_of(out_error, self->mysql);
        return false;
    }
    memcpy(self->db, name, db.size + 1);
    self->db_size = db.size;
    self->db_known = true;
    return true;
}

/* A session cannot leave its schema for none; a new one has none. */
static bool s_leave_schema(pcl_connection *self, pcl_sql_error *out_error)
{
    if (self->db_known && self->db_size == 0) {
        return true;
    }
    pcl_connection_close(self);
    return pcl_connection_open(self, out_error);
}

static pcl_bytes s_wanted_schema(const pcl_connection *self, pcl_bytes db)
{
    return db.size > 0 ? db : pcl_bytes_text(self->accounts->default_schema);
}

static bool s_is_in_schema(const pcl_connection *self, pcl_bytes db)
{
    return self->db_known && pcl_bytes_equal(db, pcl_bytes_of(self->db, self->db_size));
}

bool pcl_connection_is_ready(const pcl_connection *self, pcl_bytes db)
{
    return self->mysql != NULL && self->pinned && !self->doubted &&
           s_is_in_schema(self, s_wanted_schema(self, db));
}

bool pcl_connection_allow_nonblocking(pcl_connection *self)
{
    assert(self->mysql != NULL);
    self->nonblocking = self->nonblocking || pcl_mysql_allow_nonblocking(self->mysql);
    return self->nonblocking;
}

bool pcl_connection_use(pcl_connection *self, pcl_bytes db, pcl_sql_error *out_error)
{
    bool given = db.size > 0;
    pcl_bytes wanted = s_wanted_schema(self, db);
    if (wanted.size == 0) {
        return s_leave_schema(self, out_error);
    }
    if (s_is_in_schema(self, wanted)) {
        return true;
    }
    if (s_select(self, wanted, out_error)) {
        return true;
    }
    /* 1044: the account may not use it, which is how a schema that does not
     * exist looks to one without rights. */
    bool absent = out_error->number == PCL_ER_BAD_DB || out_error->number == PCL_ER_DB_ACCESS;
    return !given && absent && s_leave_schema(self, out_error);
}

bool pcl_connection_select(pcl_connection *self, pcl_bytes db, pcl_sql_error *out_error)
{
    return db.size == 0 || s_is_in_schema(self, db) || s_select(self, db, out_error);
}

bool pcl_connection_follow_schema(pcl_connection *self)
{
    const char *data = NULL;
    size_t size = 0;
    if (mysql_session_track_get_first(self->mysql, SESSION_TRACK_SCHEMA, &data, &size) != 0 ||
        size >= sizeof self->db) {
        return false;
    }
    memcpy(self->db, data, size);
    self->db[size] = '\0';
    self->db_size = size;
    self->db_known = true;
    return true;
}

void pcl_connection_forget_schema(pcl_connection *self)
{
    self->db_known = false;
    self->db_size = 0;
}

/* Makes room for one more statement. */
static void s_trim(pcl_connection *self, uint32_t count_max)
{
    while (pcl_statement_cache_count(self->statements) > count_max) {
        (void)mysql_stmt_close(pcl_statement_cache_remove_oldest(self->statements));
    }
}

static MYSQL_STMT *s_prepare(pcl_connection *self, pcl_bytes sql, pcl_sql_error *out_error)
{
    MYSQL_STMT *stmt = mysql_stmt_init(self->mysql);
    if (stmt == NULL) {
        (void)s_out_of_memory(out_error);
        return NULL;
    }
    if (mysql_stmt_prepare(stmt, (const char *)sql.data, (unsigned long)sql.size) != 0) {
        pcl_sql_error_of_stmt(out_error, stmt, self->mysql);
        (void)mysql_stmt_close(stmt);
        return NULL;
    }
    return stmt;
}

static pcl_statement_key s_key(const pcl_connection *self, pcl_bytes sql, pcl_bytes types)
{
    pcl_bytes db = pcl_bytes_of(self->db, self->db_size);
    return (pcl_statement_key){.db = db, .types = types, .sql = sql};
}

bool pcl_connection_find_prepared(pcl_connection *self, pcl_bytes sql, pcl_bytes types,
                                  pcl_prepared *out_prepared)
{
    pcl_statement_key key = s_key(self, sql, types);
    MYSQL_STMT *stmt = self->db_known ? pcl_statement_cache_find(self->statements, &key) : NULL;
    *out_prepared = (pcl_prepared){.stmt = stmt, .cached = true, .hit = true};
    return stmt != NULL;
}

bool pcl_connection_prepare(pcl_connection *self, pcl_bytes sql, pcl_bytes types, bool keep,
                            pcl_prepared *out_prepared, pcl_sql_error *out_error)
{
    keep = keep && self->db_known;
    if (keep && pcl_connection_find_prepared(self, sql, types, out_prepared)) {
        return true;
    }
    pcl_statement_key key = s_key(self, sql, types);
    MYSQL_STMT *stmt = s_prepare(self, sql, out_error);
    if (stmt == NULL && out_error->number == PCL_ER_MAX_PREPARED) {
        /* Others use the server's statements too: give half of ours back, and try once more. */
        s_trim(self, pcl_statement_cache_count(self->statements) / 2);
        stmt = s_prepare(self, sql, out_error);
    }
    if (stmt == NULL) {
        return false;
    }
    void *evicted = NULL;
    bool cached = false;
    if (keep && self->statements_cap > 0) {
        s_trim(self, self->statements_cap - 1);
        cached = pcl_statement_cache_put(self->statements, &key, stmt, &evicted);
    }
    if (evicted != NULL) {
        (void)mysql_stmt_close(evicted);
    }
    *out_prepared = (pcl_prepared){.stmt = stmt, .cached = cached};
    return true;
}

void pcl_connection_release(pcl_connection *self, pcl_prepared *prepared)
{
    (void)self;
    if (prepared->cached) {
        (void)mysql_stmt_free_result(prepared->stmt);
    } else {
        (void)mysql_stmt_close(prepared->stmt);
    }
    prepared->stmt = NULL;
}

void pcl_connection_uncache(pcl_connection *self, pcl_bytes sql, pcl_bytes types,
                            pcl_prepared *prepared)
{
    if (prepared->cached) {
        pcl_statement_key key = s_key(self, sql, types);
        void *stmt = pcl_statement_cache_remove(self->statements, &key);
        assert(stmt == prepared->stmt);
        prepared->cached = false;
    }
}

bool pcl_connection_rolled_back(pcl_connection *self, uint32_t number)
{
    pcl_sql_error error;
    if (!s_run(self, "SHOW WARNINGS", &error)) {
        return false;
    }
    MYSQL_RES *result = mysql_store_result(self->mysql);
    MYSQL_ROW row = NULL;
    bool seen = false;
    bool partial = false;
    unsigned long long count = 0;
    unsigned long long count_max = 0;
    while (result != NULL && (row = mysql_fetch_row(result)) != NULL) {
        unsigned long code = row[1] != NULL ? strtoul(row[1], NULL, 10) : 0;
        seen = seen || code == number;
        partial = partial || code == PCL_ER_NOT_ROLLED_BACK;
        count++;
    }
    mysql_free_result(result);
    /* A full list may lack something. */
    return seen && !partial && s_ask_number(self, "SELECT @@max_error_count", &count_max, &error) &&
           count < count_max;
}

static void s_copy_token(char *target, size_t target_size, const char *data, size_t size)
{
    if (size < target_size) {
        memcpy(target, data, size);
        target[size] = '\0';
    }
}

/* Names and values come in turn. */
static bool s_next_change(pcl_connection *self, bool first, pcl_bytes *out_name,
                          pcl_bytes *out_value)
{
    const char *data = NULL;
    size_t size = 0;
    int end = first ? mysql_session_track_get_first(self->mysql, SESSION_TRACK_SYSTEM_VARIABLES,
                                                    &data, &size)
                    : mysql_session_track_get_next(self->mysql, SESSION_TRACK_SYSTEM_VARIABLES,
                                                   &data, &size);
    if (end != 0) {
        return false;
    }
    *out_name = pcl_bytes_of(data, size);
    if (mysql_session_track_get_next(self->mysql, SESSION_TRACK_SYSTEM_VARIABLES, &data, &size) !=
        0) {
        return false;
    }
    *out_value = pcl_bytes_of(data, size);
    return true;
}

void pcl_connection_notice(pcl_connection *self)
{
    pcl_bytes name;
    pcl_bytes value;
    for (bool first = true; s_next_change(self, first, &name, &value); first = false) {
        bool watched = pcl_bytes_is(name, "sql_mode") ||
                       pcl_bytes_is(name, "character_set_client") ||
                       pcl_bytes_is(name, "character_set_results") ||
                       pcl_bytes_is(name, "character_set_connection");
        self->doubted = self->doubted || watched;
    }
}

void pcl_connection_token(pcl_connection *self, bool ask, char *target, size_t target_size)
{
    const char *data = NULL;
    size_t size = 0;
    target[0] = '\0';
    if (mysql_session_track_get_first(self->mysql, SESSION_TRACK_GTIDS, &data, &size) == 0) {
        s_copy_token(target, target_size, data, size);
        return;
    }
    pcl_bytes name;
    pcl_bytes value;
    bool first = true;
    while (s_next_change(self, first, &name, &value)) {
        first = false;
        if (pcl_bytes_is(name, "last_gtid")) { /* MariaDB's */
            s_copy_token(target, target_size, (const char *)value.data, value.size);
            return;
        }
    }
    pcl_sql_error error;
    if (ask && s_is_mariadb(self) && s_run(self, "SELECT @@last_gtid", &error)) {
        MYSQL_RES *result = mysql_store_result(self->mysql);
        MYSQL_ROW row = result != NULL ? mysql_fetch_row(result) : NULL;
        if (row != NULL && row[0] != NULL) {
            s_copy_token(target, target_size, row[0], strlen(row[0]));
        }
        mysql_free_result(result);
    }
}
