# shellcheck shell=bash
# tuning.sh - what a database server gets of its machine, as the text of its
# configuration.  Pure: everything comes in as arguments, nothing is looked at.
# Sourced by portcullis-node, and by the test that holds it to its rules.
#
# The rules, in MiB:
#  1. The system, the agent and the cloud's own agent keep 400.
#  2. A connection is taken for 1: its thread and buffers, as our statements use
#     them.  There are a sixteenth of the memory of them, 160 to 2000: an agent's
#     pool, sessions and cursors need 160.
#  3. Of the rest, seven tenths up to 4096 and four fifths of what is more are the
#     buffer pool, in steps of 64, at least 64.  What remains is for temporary
#     tables, dictionaries and what the allocator loses.
#  4. The redo log is a quarter of the buffer pool, 64 to 4096: longer makes
#     recovery longer and saves little.

# The greater, the lesser, and what is between two bounds.
tuning_clamp()
{
    local value=$1 low=$2 high=$3
    if ((value < low)); then
        value=$low
    elif ((value > high)); then
        value=$high
    fi
    printf '%d\n' "$value"
}

tuning_connections()
{
    tuning_clamp $(($1 / 16)) 160 2000
}

# tuning_pool MEMORY: the buffer pool.
tuning_pool()
{
    local memory=$1 rest pool
    rest=$((memory - 400 - $(tuning_connections "$memory")))
    if ((rest > 4096)); then
        pool=$((4096 * 7 / 10 + (rest - 4096) * 4 / 5))
    else
        pool=$((rest * 7 / 10))
    fi
    pool=$((pool / 64 * 64))
    tuning_clamp "$pool" 64 16777216
}

tuning_redo()
{
    tuning_clamp $(($(tuning_pool "$1") / 4 / 16 * 16)) 64 4096
}

# tuning_print FLAVOR MEMORY CPUS ADDRESS SERVER_ID: the file.
tuning_print()
{
    local flavor=$1 memory=$2 cpus=$3 address=$4 server_id=$5
    cat << CNF
# Written by portcullis-node for $memory MiB of memory and $cpus processors; written again at the
# next deployment.  Put settings of your own into a file that comes after this one.
[mysqld]
bind_address = $address
report_host = $address
server_id = $server_id
skip_name_resolve = ON
character_set_server = utf8mb4
max_allowed_packet = 64M
max_connections = $(tuning_connections "$memory")
max_prepared_stmt_count = 200000
table_open_cache = $(tuning_clamp $((memory / 2)) 400 8000)
innodb_buffer_pool_size = $(tuning_pool "$memory")M
innodb_log_buffer_size = $(tuning_clamp $((memory / 64)) 8 64)M
innodb_flush_method = O_DIRECT
innodb_flush_log_at_trx_commit = 1
innodb_io_capacity = 1000
innodb_io_capacity_max = 3000
log_bin = binlog
relay_log = relay
sync_binlog = 1
CNF
    "tuning_print_$flavor" "$(tuning_redo "$memory")" "$cpus"
}

# Any node may be the source one day.  As MASTER a server commits what its crash left prepared in
# the binary log: replicas and clients may know it already.  As SLAVE it would cut that off.
tuning_print_mariadb()
{
    local redo=$1 cpus=$2
    cat << CNF
innodb_log_file_size = ${redo}M
performance_schema = OFF
binlog_format = ROW
binlog_expire_logs_seconds = 864000
log_slave_updates = ON
gtid_strict_mode = ON
gtid_domain_id = 0
read_only = ON
init_rpl_role = MASTER
skip_slave_start = ON
slave_net_timeout = 4
slave_parallel_threads = $(tuning_clamp "$cpus" 4 16)
slave_parallel_mode = optimistic
rpl_semi_sync_master_enabled = OFF
rpl_semi_sync_master_wait_point = AFTER_SYNC
rpl_semi_sync_master_timeout = 4294967295
CNF
}

# relay_log_recovery would drop at each start what was received and not executed: acknowledged
# writes, where the source is gone.  GTIDs make an end that was cut off no matter.
tuning_print_mysql()
{
    local redo=$1 cpus=$2
    cat << CNF
loose_innodb_redo_log_capacity = $((redo * 2))M
mysqlx = OFF
binlog_expire_logs_seconds = 864000
gtid_mode = ON
enforce_gtid_consistency = ON
log_replica_updates = ON
super_read_only = ON
relay_log_recovery = OFF
skip_replica_start = ON
replica_net_timeout = 4
replica_parallel_workers = $(tuning_clamp "$cpus" 4 16)
replica_preserve_commit_order = ON
plugin_load_add = semisync_source.so
plugin_load_add = semisync_replica.so
plugin_load_add = mysql_clone.so
loose_rpl_semi_sync_source_wait_point = AFTER_SYNC
loose_rpl_semi_sync_source_timeout = 4294967295
CNF
}
