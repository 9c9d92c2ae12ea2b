/* received.h - what a MariaDB replica has received and not executed, when its replication stands.
 *
 * MariaDB deletes its relay logs where one of the two threads starts by GTID while neither runs,
 * since it means to ask the source for all of it again.  Where the source is gone as well, a write
 * that was acknowledged on the strength of those logs would be gone with them.  So they are
 * executed first, from their place in the file, and by GTID it goes on afterwards.
 *
 * Where the source answers nothing of this is done: it has all of it.  docs/decisions/0015.
 */
#ifndef PCL_WORKER_AGENT_RECEIVED_H
#define PCL_WORKER_AGENT_RECEIVED_H

#include "worker-agent/flavor.h"

/* Before replication starts, or is pointed anew.  true: nothing would be lost by that.  false:
 * something would, or the server did not answer; it is to be called again.  What is received is
 * being executed where out_error's number is 0.  mysql: the admin account's. */
bool pcl_received_settle(MYSQL *mysql, const pcl_flavor_ops *flavor,
                         const pcl_agent_options *options, pcl_sql_error *out_error) PCL_MUST_CHECK;

#endif
