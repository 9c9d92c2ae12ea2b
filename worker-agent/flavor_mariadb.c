/* MariaDB 10.6 to 11.x. */
#include "worker-agent/flavor.h"

#include <inttypes.h>
#include <stdio.h>

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

static void s_put_change_source(pcl_buffer *buffer, MYSQL *mysql, const pcl_agent_options *options)
{
    char port[64];
    (void)snprintf(port, sizeof port, ", MASTER_PORT=%" PRIu16, options->source_port);
    pcl_sql_put(buffer, "CHANGE MASTER TO MASTER_HOST=");
    pcl_sql_put_literal(buffer, mysql, options->source_host);
    pcl_sql_put(buffer, port);
    pcl_sql_put(buffer, ", MASTER_USER='" PCL_USER_REPLICATION "', MASTER_PASSWORD=");
    pcl_sql_put_literal(buffer, mysql, options->replication_password);
    pcl_sql_put(buffer, ", MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
                        ", MASTER_HEARTBEAT_PERIOD=1");
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
    .stop = "STOP SLAVE",
    .start = "START SLAVE",
    .parallel = PARALLEL,
    .semi_sync_plugins = PLUGINS,
    .semi_sync_source_setup = SEMI_SYNC_SOURCE_SETUP,
    .semi_sync_source_on = "SET GLOBAL rpl_semi_sync_master_enabled=1",
    .semi_sync_source_off = "SET GLOBAL rpl_semi_sync_master_enabled=0",
    .semi_sync_source_sql = "SELECT @@global.rpl_semi_sync_master_enabled",
    .semi_sync_clients_sql = "SELECT variable_value FROM information_schema.global_status"
                             " WHERE variable_name='RPL_SEMI_SYNC_MASTER_CLIENTS'",
    .semi_sync_replica_on = SEMI_SYNC_REPLICA_ON,
    .put_change_source = s_put_change_source,
};
