/* MariaDB 10.6 to 11.x. */
#include "common/clock.h"
#include "wire/gtid.h"
#include "worker-agent/flavor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const WRITABLE[] = {"SET GLOBAL read_only=0", NULL};
static const char *const READ_ONLY[] = {"SET GLOBAL read_only=1", NULL};
static const char *const ADMINABLE[] = {NULL}; /* read_only never binds administrators */
static const char *const PARALLEL[] = {"SET GLOBAL slave_parallel_threads=4",
                                       "SET GLOBAL slave_parallel_mode='optimistic'", NULL};
static const char *const PLUGINS[] = {NULL}; /* built in */
/* A day and more: the server shall never fall back to asynchronous silently. */
static const char *const SEMI_SYNC_SOURCE_SETUP[] = {
    "SET GLOBAL rpl_semi_sync_master_timeout=4294967295",
    "SET GLOBAL rpl_semi_sync_master_wait_point='AFTER_SYNC'",
    "SET GLOBAL rpl_semi_sync_master_wait_no_slave=1", NULL};
static const char *const SEMI_SYNC_REPLICA_ON[] = {"SET GLOBAL rpl_semi_sync_slave_enabled=1",
                                                   NULL};

/* It asks the new source for what comes after its own last write; and what waits for a replica on a
 * source would wait for ever on a replica. */
static const char *const FOLLOW[] = {"SET GLOBAL rpl_semi_sync_master_enabled=0",
                                     "SET GLOBAL gtid_slave_pos=@@global.gtid_current_pos", NULL};

static void s_put_change_source(pcl_buffer *buffer, MYSQL *mysql, const pcl_agent_options *options)
{
    char port[64];
    (void)snprintf(port, sizeof port, ", MASTER_PORT=%" PRIu16, options->source_port);
    pcl_sql_put(buffer, "CHANGE MASTER TO MASTER_HOST=");
    pcl_sql_put_literal(buffer, mysql, options->source_host);
    pcl_sql_put(buffer, port);
    pcl_sql_put(buffer, ", MASTER_USER='" PCL_USER_REPLICATION "', MASTER_PASSWORD=");
    pcl_password password;
    pcl_keyring_password(options->keyring, PCL_PLACE_REPLICATION, &password);
    pcl_sql_put_literal(buffer, mysql, password.now);
    pcl_password_wipe(&password);
    pcl_sql_put(buffer, ", MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
                        ", MASTER_HEARTBEAT_PERIOD=1");
}

enum { STATE_SIZE_MAX = 16384, WAIT_SQL_SIZE = PCL_GTID_SIZE_MAX + 128 };

/* Two positions of the server's as one; "" where that has no room. */
static void s_join(const pcl_row *row, const char *a, const char *b, char target[STATE_SIZE_MAX])
{
    (void)pcl_gtid_merge(pcl_bytes_text(pcl_row_text(row, a)), pcl_bytes_text(pcl_row_text(row, b)),
                         target, STATE_SIZE_MAX);
}

static bool s_look_for(MYSQL *mysql, pcl_bytes after, pcl_bytes acknowledged,
                       pcl_progress *out_progress, pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql,
                       "SELECT @@global.gtid_slave_pos AS applied,"
                       " @@global.gtid_binlog_state AS logged",
                       &row, out_error)) {
        return false;
    }
    char known[STATE_SIZE_MAX];
    char visible[STATE_SIZE_MAX];
    pcl_bytes applied = pcl_bytes_text(pcl_row_text(&row, "applied"));
    s_join(&row, "applied", "logged", known);
    (void)pcl_gtid_merge(applied, acknowledged, visible, sizeof visible);
    pcl_row_free(&row);
    bool proven = pcl_gtid_covers(pcl_bytes_text(known), after);
    bool seen = pcl_gtid_reaches(pcl_bytes_text(visible), after);
    bool passed = !proven && (acknowledged.size > 0 || seen);
    *out_progress = proven && seen ? PCL_PROGRESS_THERE
                    : passed       ? PCL_PROGRESS_NEVER
                                   : PCL_PROGRESS_NOT_YET;
    return true;
}

/* The function takes each domain once. */
static bool s_wait_for(MYSQL *mysql, pcl_bytes after, uint64_t wait_us, pcl_sql_error *out_error)
{
    char furthest[PCL_GTID_SIZE_MAX + 1];
    char sql[WAIT_SQL_SIZE];
    pcl_row row;
    (void)pcl_gtid_furthest(after, furthest, sizeof furthest);
    (void)snprintf(sql, sizeof sql, "SELECT MASTER_GTID_WAIT('%s', %" PRIu64 ".%06" PRIu64 ")",
                   furthest, wait_us / PCL_US_PER_S, wait_us % PCL_US_PER_S);
    if (!pcl_query_row(mysql, sql, &row, out_error)) {
        return false;
    }
    pcl_row_free(&row);
    return true;
}

static bool s_seen(MYSQL *mysql, char *position, size_t position_size, pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql,
                       "SELECT @@global.gtid_slave_pos AS applied,"
                       " @@global.gtid_binlog_pos AS logged",
                       &row, out_error)) {
        return false;
    }
    char both[STATE_SIZE_MAX];
    s_join(&row, "applied", "logged", both);
    pcl_row_free(&row);
    (void)pcl_gtid_furthest(pcl_bytes_text(both), position, position_size);
    return true;
}

static bool s_stands_at(MYSQL *mysql, const char *position, bool *out_has, bool *out_beyond,
                        pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, "SELECT @@global.gtid_current_pos AS gtid", &row, out_error)) {
        return false;
    }
    pcl_bytes there = pcl_bytes_text(pcl_row_text(&row, "gtid"));
    *out_has = pcl_gtid_reaches(there, pcl_bytes_text(position));
    *out_beyond = there.size > 0 && !pcl_gtid_reaches(pcl_bytes_text(position), there);
    pcl_row_free(&row);
    return true;
}

const pcl_flavor_ops pcl_flavor_mariadb_ops = {
    .flavor = PCL_FLAVOR_MARIADB,
    .state_sql = "SELECT @@global.gtid_current_pos AS gtid, @@global.read_only AS read_only",
    .writable = WRITABLE,
    .read_only = READ_ONLY,
    .adminable = ADMINABLE,
    .replication_sql = "SHOW SLAVE STATUS",
    .io_running = "Slave_IO_Running",
    .sql_running = "Slave_SQL_Running",
    .source_host = "Master_Host",
    .source_port = "Master_Port",
    .source_user = "Master_User",
    .uses_gtid = "Using_Gtid", /* No, Slave_Pos, Current_Pos */
    .last_io_errno = "Last_IO_Errno",
    .received_file = "Master_Log_File",
    .received_at = "Read_Master_Log_Pos",
    .applied_file = "Relay_Master_Log_File",
    .applied_at = "Exec_Master_Log_Pos",
    .stop = "STOP SLAVE",
    .stop_receiving = "STOP SLAVE IO_THREAD",
    .start = "START SLAVE",
    .deletes_received = true,
    .forget_source = "RESET SLAVE ALL",
    .follow = FOLLOW,
    .parallel = PARALLEL,
    .semi_sync_plugins = PLUGINS,
    .semi_sync_source_setup = SEMI_SYNC_SOURCE_SETUP,
    .semi_sync_source_on = "SET GLOBAL rpl_semi_sync_master_enabled=1",
    .semi_sync_source_off = "SET GLOBAL rpl_semi_sync_master_enabled=0",
    .semi_sync_source_sql = "SELECT @@global.rpl_semi_sync_master_enabled",
    .semi_sync_clients_sql = "SELECT variable_value FROM information_schema.global_status"
                             " WHERE variable_name='RPL_SEMI_SYNC_MASTER_CLIENTS'",
    .semi_sync_replica_on = SEMI_SYNC_REPLICA_ON,
    .semi_sync_replica_off = "SET GLOBAL rpl_semi_sync_slave_enabled=0",
    .semi_sync_replica_sql = "SELECT COUNT(*) FROM information_schema.global_status"
                             " WHERE variable_name='RPL_SEMI_SYNC_SLAVE_STATUS'"
                             " AND variable_value='ON'",
    .look_for = s_look_for,
    .wait_for = s_wait_for,
    .polls_source = true, /* MASTER_GTID_WAIT looks at gtid_slave_pos */
    .seen = s_seen,
    .stands_at = s_stands_at,
    .put_change_source = s_put_change_source,
};
