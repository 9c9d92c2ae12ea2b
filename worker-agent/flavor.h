/* flavor.h - what MySQL and MariaDB say differently: one table of texts and
 * functions each, found from the server that answers. */
#ifndef PCL_WORKER_AGENT_FLAVOR_H
#define PCL_WORKER_AGENT_FLAVOR_H

#include "worker-agent/query.h"

/* Of what a read waits for (causal.h). */
typedef enum pcl_progress {
    PCL_PROGRESS_THERE = 0, /* what runs next sees it */
    PCL_PROGRESS_NOT_YET,
    PCL_PROGRESS_NEVER, /* the server has come further, and not by way of it */
} pcl_progress;

typedef struct pcl_flavor_ops {
    pcl_flavor flavor;

    /* One row: gtid, read_only. */
    const char *state_sql;
    /* Lists end with NULL. */
    const char *const *writable;  /* takes read-only off */
    const char *const *read_only; /* puts it on, for administrators too where the server can */
    const char *const *adminable; /* lets administrators write while others may not */

    /* SHOW ... STATUS of replication and its columns. */
    const char *replication_sql;
    const char *io_running, *sql_running, *source_host, *source_port, *source_user, *uses_gtid;
    const char *last_io_errno;
    const char *received_file, *received_at, *applied_file, *applied_at; /* the source's log */
    const char *stop, *stop_receiving, *start;
    bool deletes_received;       /* what is not executed, at a start of what stands (received.h) */
    const char *forget_source;   /* while replication is stopped: what was received goes, too */
    const char *const *follow;   /* a former source's, before it is pointed at another */
    const char *const *parallel; /* apply; while replication is stopped */

    /* Semi-synchronous replication. */
    const char *const *semi_sync_plugins;      /* pairs: plugin name, shared object; may be empty */
    const char *const *semi_sync_source_setup; /* all but switching it on */
    const char *semi_sync_source_on, *semi_sync_source_off;
    const char *semi_sync_source_sql;        /* one number: is it on? */
    const char *semi_sync_clients_sql;       /* one number: replicas that will acknowledge */
    const char *const *semi_sync_replica_on; /* before replication starts */
    const char *semi_sync_replica_off;
    const char *semi_sync_replica_sql; /* one number: does this replica acknowledge? */

    /* Causal reads.  after: a well-formed position of this flavor.  Each false: out_error says why.
     */

    /* acknowledged: a position up to which writes that this server took are seen; "" of a replica.
     */
    bool (*look_for)(MYSQL *mysql, pcl_bytes after, pcl_bytes acknowledged,
                     pcl_progress *out_progress, pcl_sql_error *out_error);
    /* Returns when it was executed, or the time is over, which look_for tells. */
    bool (*wait_for)(MYSQL *mysql, pcl_bytes after, uint64_t wait_us, pcl_sql_error *out_error);
    bool polls_source; /* on a source wait_for waits in vain */
    /* A position that has all that reads can have seen; "" where it does not fit. */
    bool (*seen)(MYSQL *mysql, char *position, size_t position_size, pcl_sql_error *out_error);

    /* Whether the server has executed all of another's whole past, and (beyond) anything that is
     * not of it. */
    bool (*stands_at)(MYSQL *mysql, const char *position, bool *out_has, bool *out_beyond,
                      pcl_sql_error *out_error);

    /* Puts the statement that points replication at the source. */
    void (*put_change_source)(pcl_buffer *buffer, MYSQL *mysql, const pcl_agent_options *options);
} pcl_flavor_ops;

extern const pcl_flavor_ops pcl_flavor_mariadb_ops;
extern const pcl_flavor_ops pcl_flavor_mysql_ops;

/* The flavor of the server on the other end. */
const pcl_flavor_ops *pcl_flavor_of(MYSQL *mysql);

#endif
