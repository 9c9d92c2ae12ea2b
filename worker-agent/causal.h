/* causal.h - reads that must see a write, and what the tokens of replies name
 * (docs/rfc/2-hop-protocol.md, section 4.9).
 *
 * Why a read is never answered by less than it asked for:
 *
 *  1. The server is asked on the connection that the read then uses, after it was opened and before
 *     the read is sent.  No report and no memory of ours counts, so neither a server that crashed
 *     and came back with less nor one that was put back from a copy is believed for what it had.
 *  2. MySQL has a transaction in gtid_executed only once reads see it.  So has a MariaDB replica in
 *     gtid_slave_pos.
 *  3. A MariaDB source writes a transaction to its log before reads see it, and while it waits for
 * a replica's acknowledgement replicas may already show it.  Commits become visible in the order of
 * the log; so a write that was acknowledged proves all before it, and what lies behind the last one
 * that this agent knows of is waited for.  The heartbeat is such a write, five times a second, for
 * all that the log had before it, in any domain.  What was acknowledged is forgotten with the
 * heartbeat's connection, and with the role (rule 1).
 *  4. MariaDB compares positions by sequence alone.  After a failover the new source counts on from
 *     where it was, and a replica that has its 43 need not have the old source's 42.  So the log,
 * or the position, must name a sequence as great of the very server that the token names.
 *
 * What a read has seen is named by what the server has once the read is done: at least that.
 * MariaDB's log (log_slave_updates) and MySQL's gtid_owned are part of it, since a transaction is
 * seen a moment before it stands in the executed set.
 *
 * One object for all threads of an agent.
 */
#ifndef PCL_WORKER_AGENT_CAUSAL_H
#define PCL_WORKER_AGENT_CAUSAL_H

#include "worker-agent/answer.h"
#include "worker-agent/connection.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pcl_causal pcl_causal;

/* How many threads may wait for GTIDs at a time. */
typedef struct pcl_causal_room {
    uint32_t long_max;  /* for as long as their requests allow */
    uint32_t short_max; /* for a moment */
} pcl_causal_room;

/* Of so many: a quarter, and another half, but always less than all.  One that is alone may wait
 * for a moment.  Pure. */
pcl_causal_room pcl_causal_room_of(uint32_t threads);

pcl_causal *pcl_causal_new(uint32_t threads);
void pcl_causal_destroy(pcl_causal **self_p);

/* The server has acknowledged a write that it calls this, or one behind it; "" is nothing. */
void pcl_causal_acknowledged(pcl_causal *self, const char *gtid);
/* The server may have lost what it acknowledged, or is no source now. */
void pcl_causal_forget(pcl_causal *self);

typedef enum pcl_reach {
    PCL_REACH_THERE = 0,
    PCL_REACH_BEHIND, /* it was not executed here in the time given */
    PCL_REACH_BUSY,   /* too many wait already; it was not there at once, or in a moment */
    PCL_REACH_FAILED, /* the server says something else */
} pcl_reach;

/* Whether what runs next on the connection will see all of after.  source: the node is one. */
pcl_reach pcl_causal_reach(pcl_causal *self, MYSQL *mysql, bool source, pcl_bytes after,
                           uint64_t wait_us, pcl_sql_error *out_error);

/* What everything that was read on this server until now can have seen, as a position; "" where
 * that is nothing, or has no room.  false: out_error says why. */
bool pcl_causal_seen(MYSQL *mysql, char out_position[PCL_GTID_SIZE_MAX + 1],
                     pcl_sql_error *out_error) PCL_MUST_CHECK;

/* Puts the pair `token`, for all that both name; nothing where named is empty, whatever after says,
 * where what they name has no room, or there is no key.  furthest: of each of MariaDB's domains the
 * last transaction is enough, since this server has executed all of both. */
void pcl_causal_put_token(pcl_answer *answer, const pcl_agent_options *options, pcl_bytes named,
                          pcl_bytes after, bool furthest);

#endif
