/* MySQL 8.4 to 9.x; 8.0 from 8.0.26 on, where the new names came. */
#include "worker-agent/flavor.h"

#include <inttypes.h>
#include <stdio.h>

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

static void s_put_change_source(pcl_buffer *buffer, MYSQL *mysql, const pcl_agent_options *options)
{
    char port[64];
    (void)snprintf(port, sizeof port, ", SOURCE_PORT=%" PRIu16, options->source_port);
    pcl_sql_put(buffer, "CHANGE REPLICATION SOURCE TO SOURCE_HOST=");
    pcl_sql_put_literal(buffer, mysql, options->source_host);
    pcl_sql_put(buffer, port);
    pcl_sql_put(buffer, ", SOURCE_USER='" PCL_USER_REPLICATION "', SOURCE_PASSWORD=");
    pcl_sql_put_literal(buffer, mysql, options->replication_password);
    /* A server makes itself a certificate, and caching_sha2_password wants TLS. */
    pcl_sql_put(buffer, ", SOURCE_AUTO_POSITION=1, SOURCE_SSL=1, SOURCE_CONNECT_RETRY=1"
                        ", SOURCE_RETRY_COUNT=86400, SOURCE_HEARTBEAT_PERIOD=1");
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
    .stop = "STOP REPLICA",
    .start = "START REPLICA",
    .parallel = PARALLEL,
    .semi_sync_plugins = PLUGINS,
    .semi_sync_source_setup = SEMI_SYNC_SOURCE_SETUP,
    .semi_sync_source_on = "SET GLOBAL rpl_semi_sync_source_enabled=1",
    .semi_sync_source_off = "SET GLOBAL rpl_semi_sync_source_enabled=0",
    .semi_sync_source_sql = "SELECT @@global.rpl_semi_sync_source_enabled",
    .semi_sync_clients_sql = "SELECT variable_value FROM performance_schema.global_status"
                             " WHERE variable_name='Rpl_semi_sync_source_clients'",
    .semi_sync_replica_on = SEMI_SYNC_REPLICA_ON,
    .put_change_source = s_put_change_source,
};
