/* MySQL 8.4 to 9.x; 8.0 from 8.0.26 on, where the new names came. */
#include "common/clock.h"
#include "wire/gtid.h"
#include "wire/topology.h"
#include "worker-agent/flavor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const WRITABLE[] = {"SET GLOBAL super_read_only=0", "SET GLOBAL read_only=0",
                                       NULL};
static const char *const READ_ONLY[] = {"SET GLOBAL read_only=1", "SET GLOBAL super_read_only=1",
                                        NULL};
static const char *const ADMINABLE[] = {"SET GLOBAL super_read_only=0", NULL};
static const char *const PARALLEL[] = {"SET GLOBAL replica_parallel_workers=4",
                                       "SET GLOBAL replica_preserve_commit_order=1", NULL};
static const char *const PLUGINS[] = {"rpl_semi_sync_source", "semisync_source.so",
                                      "rpl_semi_sync_replica", "semisync_replica.so", NULL};
/* 49 days, the most there is: the server shall never fall back to asynchronous silently. */
static const char *const SEMI_SYNC_SOURCE_SETUP[] = {
    "SET GLOBAL rpl_semi_sync_source_timeout=4294967295",
    "SET GLOBAL rpl_semi_sync_source_wait_point='AFTER_SYNC'",
    "SET GLOBAL rpl_semi_sync_source_wait_no_replica=1", NULL};
static const char *const SEMI_SYNC_REPLICA_ON[] = {"SET GLOBAL rpl_semi_sync_replica_enabled=1",
                                                   NULL};

/* What waits for a replica on a source would wait for ever on a replica. */
static const char *const FOLLOW[] = {"SET GLOBAL rpl_semi_sync_source_enabled=0", NULL};

static void s_put_change_source(pcl_buffer *buffer, MYSQL *mysql, const pcl_agent_options *options)
{
    char port[64];
    (void)snprintf(port, sizeof port, ", SOURCE_PORT=%" PRIu16, options->source_port);
    pcl_sql_put(buffer, "CHANGE REPLICATION SOURCE TO SOURCE_HOST=");
    pcl_sql_put_literal(buffer, mysql, options->source_host);
    pcl_sql_put(buffer, port);
    pcl_sql_put(buffer, ", SOURCE_USER='" PCL_USER_REPLICATION "', SOURCE_PASSWORD=");
    pcl_password password;
    pcl_keyring_password(options->keyring, PCL_PLACE_REPLICATION, &password);
    pcl_sql_put_literal(buffer, mysql, password.now);
    pcl_password_wipe(&password);
    /* A server makes itself a certificate, and caching_sha2_password wants TLS. */
    pcl_sql_put(buffer, ", SOURCE_AUTO_POSITION=1, SOURCE_SSL=1, SOURCE_CONNECT_RETRY=1"
                        ", SOURCE_RETRY_COUNT=86400, SOURCE_HEARTBEAT_PERIOD=1");
}

enum { SQL_SIZE = PCL_GTID_SIZE_MAX + 128 };

static bool s_look_for(MYSQL *mysql, pcl_bytes after, pcl_bytes acknowledged,
                       pcl_progress *out_progress, pcl_sql_error *out_error)
{
    (void)acknowledged; /* what stands in gtid_executed is seen, on a source, too */
    char sql[SQL_SIZE];
    uint64_t there = 0;
    (void)snprintf(sql, sizeof sql, "SELECT GTID_SUBSET('%.*s', @@global.gtid_executed)",
                   (int)after.size, (const char *)after.data);
    if (!pcl_query_uint(mysql, sql, &there, out_error)) {
        return false;
    }
    *out_progress = there == 1 ? PCL_PROGRESS_THERE : PCL_PROGRESS_NOT_YET;
    return true;
}

static bool s_wait_for(MYSQL *mysql, pcl_bytes after, uint64_t wait_us, pcl_sql_error *out_error)
{
    char sql[SQL_SIZE];
    pcl_row row;
    (void)snprintf(
        sql, sizeof sql, "SELECT WAIT_FOR_EXECUTED_GTID_SET('%.*s', %" PRIu64 ".%06" PRIu64 ")",
        (int)after.size, (const char *)after.data, wait_us / PCL_US_PER_S, wait_us % PCL_US_PER_S);
    if (!pcl_query_row(mysql, sql, &row, out_error)) {
        return false;
    }
    pcl_row_free(&row);
    return true;
}

/* uuid:5#12:6#13 is what sessions 12 and 13 are about to commit: what stands behind a number goes.
 */
static void s_drop_owners(char *owned)
{
    char *end = owned;
    for (const char *octet = owned; *octet != '\0'; octet++) {
        if (*octet == '#') {
            octet += strspn(octet + 1, "0123456789");
        } else {
            *end++ = *octet;
        }
    }
    *end = '\0';
}

/* Owned is read first: what left it since stands in executed. */
static bool s_seen(MYSQL *mysql, char *position, size_t position_size, pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql,
                       "SELECT @@global.gtid_owned AS owned, @@global.gtid_executed AS executed",
                       &row, out_error)) {
        return false;
    }
    position[0] = '\0';
    if (row.cells != NULL && row.cells[0] != NULL) {
        s_drop_owners(row.cells[0]);
        (void)pcl_gtid_merge(pcl_bytes_text(row.cells[0]),
                             pcl_bytes_text(pcl_row_text(&row, "executed")), position,
                             position_size);
    }
    pcl_row_free(&row);
    return true;
}

static bool s_stands_at(MYSQL *mysql, const char *position, bool *out_has, bool *out_beyond,
                        pcl_sql_error *out_error)
{
    char sql[2 * PCL_TOPOLOGY_POSITION_SIZE_MAX + 256];
    pcl_row row;
    (void)snprintf(sql, sizeof sql,
                   "SELECT GTID_SUBSET('%s', @@global.gtid_executed) AS has,"
                   " GTID_SUBSET(@@global.gtid_executed, '%s') AS within",
                   position, position);
    if (!pcl_query_row(mysql, sql, &row, out_error)) {
        return false;
    }
    *out_has = pcl_row_uint(&row, "has") == 1;
    *out_beyond = pcl_row_uint(&row, "within") != 1;
    pcl_row_free(&row);
    return true;
}

const pcl_flavor_ops pcl_flavor_mysql_ops = {
    .flavor = PCL_FLAVOR_MYSQL,
    .state_sql = "SELECT @@global.gtid_executed AS gtid, @@global.read_only AS read_only",
    .writable = WRITABLE,
    .read_only = READ_ONLY,
    .adminable = ADMINABLE,
    .replication_sql = "SHOW REPLICA STATUS",
    .io_running = "Replica_IO_Running",
    .sql_running = "Replica_SQL_Running",
    .source_host = "Source_Host",
    .source_port = "Source_Port",
    .source_user = "Source_User",
    .uses_gtid = "Auto_Position", /* 0 or 1 */
    .last_io_errno = "Last_IO_Errno",
    .received_file = "Source_Log_File",
    .received_at = "Read_Source_Log_Pos",
    .applied_file = "Relay_Source_Log_File",
    .applied_at = "Exec_Source_Log_Pos",
    .stop = "STOP REPLICA",
    .stop_receiving = "STOP REPLICA IO_THREAD",
    .start = "START REPLICA",
    .forget_source = "RESET REPLICA ALL",
    .follow = FOLLOW,
    .parallel = PARALLEL,
    .semi_sync_plugins = PLUGINS,
    .semi_sync_source_setup = SEMI_SYNC_SOURCE_SETUP,
    .semi_sync_source_on = "SET GLOBAL rpl_semi_sync_source_enabled=1",
    .semi_sync_source_off = "SET GLOBAL rpl_semi_sync_source_enabled=0",
    .semi_sync_source_sql = "SELECT @@global.rpl_semi_sync_source_enabled",
    .semi_sync_clients_sql = "SELECT variable_value FROM performance_schema.global_status"
                             " WHERE variable_name='Rpl_semi_sync_source_clients'",
    .semi_sync_replica_on = SEMI_SYNC_REPLICA_ON,
    .semi_sync_replica_off = "SET GLOBAL rpl_semi_sync_replica_enabled=0",
    .semi_sync_replica_sql = "SELECT COUNT(*) FROM performance_schema.global_status"
                             " WHERE variable_name='Rpl_semi_sync_replica_status'"
                             " AND variable_value='ON'",
    .look_for = s_look_for,
    .wait_for = s_wait_for,
    .seen = s_seen,
    .stands_at = s_stands_at,
    .put_change_source = s_put_change_source,
};
