/* setup.h - makes a database server a node: accounts, schema, replication.
 *
 * Idempotent: run at each (re)connection of the agent with its server, it
 * changes only what is not so yet, except that passwords are set each time.
 *
 *  1. Accounts are made on each node by itself and never enter the binary log:
 *     so a write on the source that waits for a replica, which waits for its
 *     account, cannot come about, and a replica writes nothing of its own to
 *     its history.
 *  2. What does enter the log (schema `portcullis` and its tables) is made by
 *     the source once.
 *  3. Semi-synchronous replication is off on the source until a replica that
 *     acknowledges is connected (pcl_setup_semi_sync), then it stays on.
 *  4. Replication that runs from the right source is left alone.  One that has
 *     stopped is started.  Only one with another source is pointed anew, since
 *     that drops what was received and not applied.
 *  5. Where a start would drop it, too, and the source is gone, it is executed first (received.h).
 */
#ifndef PCL_WORKER_AGENT_SETUP_H
#define PCL_WORKER_AGENT_SETUP_H

#include "worker-agent/flavor.h"

/* connection: the admin account's, open.  *out_step: what failed, static text, for the log.
 * *out_refused: 0, or why the server does not take the account's own new password (its rules for
 * passwords): the account keeps the one before, and all else is done. */
bool pcl_setup_node(pcl_connection *connection, const pcl_flavor_ops *flavor,
                    const pcl_agent_options *options, const char **out_step, uint32_t *out_refused,
                    pcl_sql_error *out_error) PCL_MUST_CHECK;

/* The accounts alone, and nothing else of the node: for when a client's statement has changed
 * one.  connection: as above; after a failure it must be closed. */
bool pcl_setup_accounts(pcl_connection *connection, const pcl_flavor_ops *flavor,
                        const pcl_agent_options *options, uint32_t *out_refused,
                        pcl_sql_error *out_error) PCL_MUST_CHECK;

/* A replica that the source refuses: logs in with the password of now from here on.  Not while what
 * was received is not applied, since that would be dropped: *out_done is false then, and it goes on
 * as it was. */
bool pcl_setup_replication_password(pcl_connection *connection, const pcl_flavor_ops *flavor,
                                    const pcl_agent_options *options, bool *out_done,
                                    pcl_sql_error *out_error) PCL_MUST_CHECK;

/* Starts what has stopped of a replica, and loses nothing of what was received (received.h). */
bool pcl_setup_start(MYSQL *mysql, const pcl_flavor_ops *flavor, const pcl_agent_options *options,
                     pcl_sql_error *out_error) PCL_MUST_CHECK;

/* A source's commits.  On, and no replica: whoever writes waits. */
typedef struct pcl_semi_sync {
    bool on;           /* they wait for a replica */
    uint64_t replicas; /* that acknowledge */
} pcl_semi_sync;

/* On the source, now and then: switches semi-synchronous replication on as soon
 * as a replica acknowledges. */
bool pcl_setup_semi_sync(MYSQL *mysql, const pcl_flavor_ops *flavor, pcl_semi_sync *out,
                         pcl_sql_error *out_error) PCL_MUST_CHECK;

/* On a replica that receives: lets it connect anew so that it acknowledges, which whoever started
 * it before we came (an administrator, the server by itself) may have left out.  What it executes
 * is not stopped. */
bool pcl_setup_acknowledging(MYSQL *mysql, const pcl_flavor_ops *flavor,
                             const pcl_agent_options *options,
                             pcl_sql_error *out_error) PCL_MUST_CHECK;

#endif
