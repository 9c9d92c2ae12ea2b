#include "worker-agent/setup.h"

#include "worker-agent/received.h"
#include "worker-agent/schemas.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SQL_SIZE_MAX           8192u
/* Of rules for passwords. */
#define ER_CANNOT_USER         1396u /* MariaDB says why in its warnings only */
#define ER_NOT_VALID_PASSWORD  1819u
#define ER_PASSWORD_IN_HISTORY 3638u /* MySQL */

#define READ_RIGHTS "SELECT, SHOW VIEW"
/* Rows and definitions; nothing that reaches beyond the schemas. */
#define WRITE_RIGHTS                                                                               \
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, "                     \
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, "      \
    "ALTER ROUTINE, TRIGGER"

static const char *const HEARTBEAT[] = {
    "CREATE DATABASE IF NOT EXISTS portcullis CHARACTER SET utf8mb4",
    "CREATE TABLE IF NOT EXISTS portcullis.heartbeat ("
    "id TINYINT UNSIGNED NOT NULL PRIMARY KEY, "
    "node VARCHAR(63) NOT NULL, "
    "beat_us BIGINT UNSIGNED NOT NULL COMMENT 'microseconds since 1970, the source''s clock'"
    ") ENGINE=InnoDB",
    "INSERT IGNORE INTO portcullis.heartbeat (id, node, beat_us) VALUES (1, '', 0)",
    NULL,
};

typedef struct setup {
    MYSQL *mysql;
    const pcl_flavor_ops *flavor;
    const pcl_agent_options *options;
    pcl_buffer sql; /* wiped after each use */
    pcl_sql_error *error;
    bool password_is_new;  /* the server let the agent in with the password of now */
    uint32_t *out_refused; /* the errno, where it takes no such password */
} setup;

static bool s_run(setup *self)
{
    return pcl_sql_run_wiped(&self->sql, self->mysql, self->error);
}

static void s_put_account(setup *self, const char *user, const char *host)
{
    pcl_sql_put_literal(&self->sql, self->mysql, user);
    pcl_sql_put(&self->sql, "@");
    pcl_sql_put_literal(&self->sql, self->mysql, host);
}

/* 1 or 0.  Asked, because a server that finds IF NOT EXISTS of no use warns
 * in its log each time. */
static bool s_account_exists(setup *self, const char *user, const char *host, uint64_t *out_count)
{
    char sql[256]; /* both are ours or of letters that need no quoting (accounts.c) */
    (void)snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM mysql.user WHERE user='%s' AND host='%s'",
                   user, host);
    return pcl_query_uint(self->mysql, sql, out_count, self->error);
}

/* A new one stays closed until s_open_account: who came in before its rights were given would find
 * no schema, and a statement would fail that is right. */
static bool s_make_account(setup *self, const char *user, const char *host, uint32_t place,
                           bool *out_new)
{
    pcl_password password;
    uint64_t exists = 0;
    if (!s_account_exists(self, user, host, &exists)) {
        return false;
    }
    pcl_sql_put(&self->sql, exists > 0 ? "ALTER USER " : "CREATE USER ");
    s_put_account(self, user, host);
    pcl_sql_put(&self->sql, " IDENTIFIED BY ");
    pcl_keyring_password(self->options->keyring, place, &password);
    pcl_sql_put_literal(&self->sql, self->mysql, password.now);
    pcl_password_wipe(&password);
    pcl_sql_put(&self->sql, exists > 0 ? " ACCOUNT UNLOCK" : " ACCOUNT LOCK");
    *out_new = exists == 0;
    return s_run(self);
}

static bool s_open_account(setup *self, const char *user, const char *host)
{
    pcl_sql_put(&self->sql, "ALTER USER ");
    s_put_account(self, user, host);
    pcl_sql_put(&self->sql, " ACCOUNT UNLOCK");
    return s_run(self);
}

/* By its name: MariaDB 10.11 takes ALTER USER CURRENT_USER() and changes nothing. */
static bool s_put_own_account(setup *self)
{
    pcl_row row;
    if (!pcl_query_row(self->mysql,
                       "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', -1) AS host,"
                       " LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) -"
                       " CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1) AS user",
                       &row, self->error)) {
        return false;
    }
    s_put_account(self, pcl_row_text(&row, "user"), pcl_row_text(&row, "host"));
    pcl_row_free(&row);
    return true;
}

static bool s_is_refused(uint32_t number)
{
    return number == ER_CANNOT_USER || number == ER_NOT_VALID_PASSWORD ||
           number == ER_PASSWORD_IN_HISTORY;
}

/* The agent's own account is the operator's, and keeps what it has until the agent is told that it
 * shall be another.  One that the server's rules for passwords refuse is no reason to do without
 * the node: the agent got in with the one before, and will again. */
static bool s_renew_own_password(setup *self)
{
    pcl_password password;
    pcl_keyring_password(self->options->keyring, PCL_PLACE_ADMIN, &password);
    bool wanted = password.now[0] != '\0' && password.before[0] != '\0' && !self->password_is_new;
    bool named = false;
    if (wanted) {
        pcl_sql_put(&self->sql, "ALTER USER ");
        named = s_put_own_account(self);
    }
    if (named) {
        pcl_sql_put(&self->sql, " IDENTIFIED BY ");
        pcl_sql_put_literal(&self->sql, self->mysql, password.now);
    }
    pcl_password_wipe(&password);
    bool done = named ? s_run(self) : !wanted;
    if (!done && s_is_refused(self->error->number)) {
        *self->out_refused = self->error->number;
        *self->error = (pcl_sql_error){.number = 0};
        done = true;
    }
    return done;
}

static bool s_grant_on(setup *self, const char *rights, pcl_bytes schema, const char *user,
                       const char *host)
{
    pcl_sql_put(&self->sql, "GRANT ");
    pcl_sql_put(&self->sql, rights);
    pcl_sql_put(&self->sql, " ON ");
    pcl_sql_put_identifier(&self->sql, schema);
    pcl_sql_put(&self->sql, ".* TO ");
    s_put_account(self, user, host);
    return s_run(self);
}

/* On each of the accounts' schemas.  A right that an operator took back in
 * part is not given again below that level. */
static bool s_grant(setup *self, const char *rights, const char *schemas, const char *user,
                    const char *host)
{
    const char *cursor = schemas;
    pcl_bytes pattern;
    while ((pattern = pcl_schemas_next(&cursor)).size > 0) {
        if (!s_grant_on(self, rights, pattern, user, host)) {
            return false;
        }
    }
    return true;
}

/* Takes back what an earlier setting gave on schemas that are not the accounts' any more.  Case
 * counts where the server keeps it apart. */
static bool s_take_back(setup *self, const char *schemas, const char *user, const char *host)
{
    char sql[256];
    uint64_t folds_case = 0;
    (void)snprintf(sql, sizeof sql, "SELECT db FROM mysql.db WHERE user='%s' AND host='%s'", user,
                   host);
    if (!pcl_query_uint(self->mysql, "SELECT @@lower_case_table_names", &folds_case, self->error) ||
        !pcl_query_run(self->mysql, sql, self->error)) {
        return false;
    }
    MYSQL_RES *result = mysql_store_result(self->mysql);
    if (result == NULL) {
        pcl_sql_error_of(self->error, self->mysql);
        return false;
    }
    bool done = true;
    MYSQL_ROW row = NULL;
    while (done && (row = mysql_fetch_row(result)) != NULL) {
        pcl_bytes schema = pcl_bytes_text(row[0] != NULL ? row[0] : "");
        if (!pcl_schemas_names(schemas, schema, folds_case != 0)) {
            pcl_sql_put(&self->sql, "REVOKE ALL PRIVILEGES ON ");
            pcl_sql_put_identifier(&self->sql, schema);
            pcl_sql_put(&self->sql, ".* FROM ");
            s_put_account(self, user, host);
            done = s_run(self);
        }
    }
    mysql_free_result(result);
    return done;
}

/* One account of a role: there, with its password, with these rights on its schemas. */
static bool s_make_role_account(setup *self, const char *user, uint32_t place, const char *rights,
                                const char *schemas)
{
    const char *host = self->options->socket[0] != '\0' ? "localhost" : "%";
    bool is_new = false;
    return s_make_account(self, user, host, place, &is_new) &&
           s_take_back(self, schemas, user, host) && s_grant(self, rights, schemas, user, host) &&
           (!is_new || s_open_account(self, user, host));
}

/* Over the socket an account is @localhost, and an anonymous account there would
 * stand before one @%; replicas come from anywhere, this host included. */
static bool s_make_accounts(setup *self)
{
    const pcl_agent_options *options = self->options;
    static const char *const REPLICA_HOSTS[] = {"%", "localhost"};
    for (uint32_t index = 0; index < options->accounts->count; index++) {
        const pcl_accounts *item = &options->accounts->items[index];
        if (!s_make_role_account(self, item->read_user, pcl_place_of(index, false), READ_RIGHTS,
                                 item->schemas) ||
            !s_make_role_account(self, item->write_user, pcl_place_of(index, true), WRITE_RIGHTS,
                                 item->schemas)) {
            return false;
        }
    }
    for (size_t index = 0; index < sizeof REPLICA_HOSTS / sizeof REPLICA_HOSTS[0]; index++) {
        const char *host = REPLICA_HOSTS[index];
        bool is_new = false;
        if (!s_make_account(self, PCL_USER_REPLICATION, host, PCL_PLACE_REPLICATION, &is_new)) {
            return false;
        }
        pcl_sql_put(&self->sql, "GRANT REPLICATION SLAVE ON *.* TO ");
        s_put_account(self, PCL_USER_REPLICATION, host);
        if (!s_run(self) || (is_new && !s_open_account(self, PCL_USER_REPLICATION, host))) {
            return false;
        }
    }
    return true;
}

static bool s_install_plugins(setup *self)
{
    for (const char *const *plugin = self->flavor->semi_sync_plugins; *plugin != NULL;
         plugin += 2) {
        char sql[256];
        uint64_t installed = 0;
        (void)snprintf(sql, sizeof sql,
                       "SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name='%s'",
                       plugin[0]);
        if (!pcl_query_uint(self->mysql, sql, &installed, self->error)) {
            return false;
        }
        (void)snprintf(sql, sizeof sql, "INSTALL PLUGIN %s SONAME '%s'", plugin[0], plugin[1]);
        if (installed == 0 && !pcl_query_run(self->mysql, sql, self->error)) {
            return false;
        }
    }
    return true;
}

/* Everything that stays out of the binary log. */
static bool s_set_up_locally(setup *self)
{
    return pcl_query_run_all(self->mysql, self->flavor->adminable, self->error) &&
           pcl_query_run(self->mysql, "SET SESSION sql_log_bin=0", self->error) &&
           s_renew_own_password(self) && s_make_accounts(self) && s_install_plugins(self) &&
           pcl_query_run(self->mysql, "SET SESSION sql_log_bin=1", self->error);
}

static bool s_make_heartbeat(setup *self)
{
    uint64_t present = 0;
    /* The table may be there without its row, when an agent died in between. */
    bool asked = pcl_query_uint(self->mysql,
                                "SELECT COUNT(*) FROM information_schema.tables WHERE "
                                "table_schema='portcullis' AND table_name='heartbeat'",
                                &present, self->error) &&
                 (present == 0 ||
                  pcl_query_uint(self->mysql,
                                 "SELECT COUNT(*) FROM portcullis.heartbeat WHERE id=1", &present,
                                 self->error));
    if (!asked) {
        return false;
    }
    if (present > 0) {
        return true; /* no write: it could wait for a replica that is away */
    }
    return pcl_query_run(self->mysql, self->flavor->semi_sync_source_off, self->error) &&
           pcl_query_run_all(self->mysql, HEARTBEAT, self->error);
}

/* --- Replication ----------------------------------------------------------- */

typedef struct replication {
    bool configured;
    bool same_source;
    bool receives, executes; /* the two threads, be it in vain */
} replication;

static bool s_read_replication(setup *self, replication *out_replication)
{
    const pcl_flavor_ops *flavor = self->flavor;
    pcl_row row;
    if (!pcl_query_row(self->mysql, flavor->replication_sql, &row, self->error)) {
        return false;
    }
    const char *gtid = pcl_row_text(&row, flavor->uses_gtid);
    bool by_gtid = strcasecmp(gtid, "No") != 0 && strcmp(gtid, "0") != 0;
    *out_replication = (replication){
        .configured = row.cells != NULL && pcl_row_text(&row, flavor->source_host)[0] != '\0',
        .same_source = strcmp(pcl_row_text(&row, flavor->source_host),
                              self->options->source_host) == 0 &&
                       pcl_row_uint(&row, flavor->source_port) == self->options->source_port &&
                       strcmp(pcl_row_text(&row, flavor->source_user), PCL_USER_REPLICATION) == 0 &&
                       by_gtid,
        .receives = strcmp(pcl_row_text(&row, flavor->io_running), "No") != 0,
        .executes = strcmp(pcl_row_text(&row, flavor->sql_running), "No") != 0,
    };
    pcl_row_free(&row);
    return true;
}

static bool s_set_up_replica(setup *self, const char **out_step)
{
    const pcl_flavor_ops *flavor = self->flavor;
    replication now;
    *out_step = "read-only";
    if (!pcl_query_run_all(self->mysql, flavor->read_only, self->error)) {
        return false;
    }
    *out_step = "received";
    if (!pcl_received_settle(self->mysql, flavor, self->options, self->error)) {
        return false;
    }
    *out_step = "replication";
    if (!s_read_replication(self, &now)) {
        return false;
    }
    /* Also of one that runs in part: what it begins now shall acknowledge. */
    if (self->options->semi_sync &&
        !pcl_query_run_all(self->mysql, flavor->semi_sync_replica_on, self->error)) {
        return false;
    }
    if (now.configured && now.same_source && (now.receives || now.executes)) {
        /* Both are never stopped: MariaDB would delete what is not executed. */
        return (now.receives && now.executes) ||
               pcl_query_run(self->mysql, flavor->start, self->error);
    }
    if (now.configured && !pcl_query_run(self->mysql, flavor->stop, self->error)) {
        return false;
    }
    if (!pcl_query_run_all(self->mysql, flavor->parallel, self->error)) {
        return false;
    }
    /* Not of one that follows somebody: what it has executed stands in its position already. */
    if (!now.configured && self->options->succeeds &&
        !pcl_query_run_all(self->mysql, flavor->follow, self->error)) {
        return false;
    }
    if (!now.configured || !now.same_source) {
        flavor->put_change_source(&self->sql, self->mysql, self->options);
        if (!s_run(self)) {
            return false;
        }
    }
    return pcl_query_run(self->mysql, flavor->start, self->error);
}

static bool s_set_up_source(setup *self, const char **out_step)
{
    replication now;
    *out_step = "replication";
    if (!s_read_replication(self, &now)) {
        return false;
    }
    if (now.configured) {
        *self->error = (pcl_sql_error){
            .number = 0, .message = "the node is configured as the source and replicates itself"};
        return false;
    }
    *out_step = "read-only";
    if (!pcl_query_run_all(self->mysql, self->flavor->writable, self->error)) {
        return false;
    }
    *out_step = "heartbeat table";
    if (!s_make_heartbeat(self)) {
        return false;
    }
    *out_step = "semi-synchronous replication";
    return pcl_query_run_all(self->mysql, self->flavor->semi_sync_source_setup, self->error);
}

/* By role: UNKNOWN is closed, and follows nobody. */
static bool s_set_up_role(setup *self, const char **out_step)
{
    switch (self->options->role) {
    case PCL_NODE_SOURCE:
        return s_set_up_source(self, out_step);
    case PCL_NODE_REPLICA:
        return s_set_up_replica(self, out_step);
    case PCL_NODE_UNKNOWN:
    case PCL_NODE_ROLE_COUNT:
        break;
    }
    *out_step = "read-only";
    return pcl_query_run_all(self->mysql, self->flavor->read_only, self->error);
}

static setup s_setup_of(pcl_connection *connection, const pcl_flavor_ops *flavor,
                        const pcl_agent_options *options, uint32_t *out_refused,
                        pcl_sql_error *out_error)
{
    *out_refused = 0;
    return (setup){.mysql = pcl_connection_mysql(connection),
                   .flavor = flavor,
                   .options = options,
                   .error = out_error,
                   .password_is_new = pcl_connection_knows_password(connection),
                   .out_refused = out_refused};
}

bool pcl_setup_node(pcl_connection *connection, const pcl_flavor_ops *flavor,
                    const pcl_agent_options *options, const char **out_step, uint32_t *out_refused,
                    pcl_sql_error *out_error)
{
    setup self = s_setup_of(connection, flavor, options, out_refused, out_error);
    pcl_buffer_init(&self.sql, SQL_SIZE_MAX);
    *out_step = "accounts";
    bool ok = s_set_up_locally(&self) && s_set_up_role(&self, out_step);
    pcl_buffer_release(&self.sql);
    return ok;
}

bool pcl_setup_accounts(pcl_connection *connection, const pcl_flavor_ops *flavor,
                        const pcl_agent_options *options, uint32_t *out_refused,
                        pcl_sql_error *out_error)
{
    setup self = s_setup_of(connection, flavor, options, out_refused, out_error);
    pcl_buffer_init(&self.sql, SQL_SIZE_MAX);
    bool ok = s_set_up_locally(&self) &&
              (options->role == PCL_NODE_SOURCE ||
               pcl_query_run_all(self.mysql, flavor->read_only, out_error));
    pcl_buffer_release(&self.sql);
    return ok;
}

/* Whether nothing is waiting that was received and would be dropped. */
static bool s_all_applied(setup *self, bool *out_applied)
{
    const pcl_flavor_ops *flavor = self->flavor;
    pcl_row row;
    if (!pcl_query_row(self->mysql, flavor->replication_sql, &row, self->error)) {
        return false;
    }
    const char *received = pcl_row_text(&row, flavor->received_file);
    /* Who was never let in has received nothing: no file yet, at 4, and executed it at 0. */
    *out_applied = strcmp(received, pcl_row_text(&row, flavor->applied_file)) == 0 &&
                   (received[0] == '\0' || pcl_row_uint(&row, flavor->received_at) ==
                                               pcl_row_uint(&row, flavor->applied_at));
    pcl_row_free(&row);
    return true;
}

bool pcl_setup_replication_password(pcl_connection *connection, const pcl_flavor_ops *flavor,
                                    const pcl_agent_options *options, bool *out_done,
                                    pcl_sql_error *out_error)
{
    setup self = {.mysql = pcl_connection_mysql(connection),
                  .flavor = flavor,
                  .options = options,
                  .error = out_error};
    bool applied = false;
    pcl_buffer_init(&self.sql, SQL_SIZE_MAX);
    bool ok = s_all_applied(&self, &applied);
    if (ok && applied) {
        /* It may just have been let in, and have acknowledged something: what counts is what was
         * received once nothing more is. */
        ok = pcl_query_run(self.mysql, flavor->stop_receiving, out_error) &&
             s_all_applied(&self, &applied);
        if (ok && applied) {
            ok = pcl_query_run(self.mysql, flavor->stop, out_error);
            if (ok) {
                flavor->put_change_source(&self.sql, self.mysql, options);
                ok = s_run(&self);
            }
        }
        ok = ok && pcl_query_run(self.mysql, flavor->start, out_error);
    }
    pcl_buffer_release(&self.sql);
    *out_done = ok && applied;
    return ok;
}

bool pcl_setup_start(MYSQL *mysql, const pcl_flavor_ops *flavor, const pcl_agent_options *options,
                     pcl_sql_error *out_error)
{
    return pcl_received_settle(mysql, flavor, options, out_error) &&
           pcl_query_run(mysql, flavor->start, out_error);
}

bool pcl_setup_semi_sync(MYSQL *mysql, const pcl_flavor_ops *flavor, pcl_semi_sync *out,
                         pcl_sql_error *out_error)
{
    uint64_t on = 0;
    uint64_t replicas = 0;
    if (!pcl_query_uint(mysql, flavor->semi_sync_source_sql, &on, out_error) ||
        !pcl_query_uint(mysql, flavor->semi_sync_clients_sql, &replicas, out_error) ||
        (on == 0 && replicas > 0 &&
         !pcl_query_run(mysql, flavor->semi_sync_source_on, out_error))) {
        return false;
    }
    *out = (pcl_semi_sync){.on = on != 0 || replicas > 0, .replicas = replicas};
    return true;
}

bool pcl_setup_acknowledging(MYSQL *mysql, const pcl_flavor_ops *flavor,
                             const pcl_agent_options *options, pcl_sql_error *out_error)
{
    return pcl_query_run_all(mysql, flavor->semi_sync_replica_on, out_error) &&
           pcl_query_run(mysql, flavor->stop_receiving, out_error) &&
           pcl_setup_start(mysql, flavor, options, out_error);
}
