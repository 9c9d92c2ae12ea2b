/* What a worker does for causal reads: waits before a statement, names afterwards what was written
 * or seen.  The rules are in causal.h. */
#include "common/clock.h"
#include "net/time.h"
#include "worker-agent/worker.h"

#include <assert.h>

/* Of the time that is left; the statement needs some, too. */
#define WAIT_SHARE 2u

static uint64_t s_wait_us(const pcl_job *job, uint64_t now_us)
{
    uint64_t allowed_us = job->message.head.max_lag_ms * PCL_US_PER_MS;
    uint64_t left_us = pcl_time_left_us(job->deadline_us, now_us) / WAIT_SHARE;
    return allowed_us < left_us ? allowed_us : left_us;
}

bool pcl_worker_reach(pcl_worker *self, pcl_job *job, pcl_attempt *attempt)
{
    pcl_bytes after = job->message.head.after;
    if (after.size == 0) {
        return true;
    }
    bool source = job->role == PCL_NODE_SOURCE;
    uint64_t began_us = pcl_now_us();
    pcl_reach reach = pcl_causal_reach(self->causal, pcl_connection_mysql(attempt->connection),
                                       source, after, s_wait_us(job, began_us), &attempt->error);
    job->wait_us += pcl_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    switch (reach) {
    case PCL_REACH_THERE:
        return true;
    case PCL_REACH_BEHIND:
        pcl_attempt_fail(attempt, PCL_ERR_BEHIND,
                         source ? "the source does not have the write that the token names"
                                : "the replica does not have the write that the token names yet");
        return false;
    case PCL_REACH_BUSY: /* a replica's other reads go on, and so may this one, elsewhere */
        pcl_attempt_fail(attempt, source ? PCL_ERR_OVERLOADED : PCL_ERR_BEHIND,
                         "too many requests wait for writes to arrive already");
        return false;
    case PCL_REACH_FAILED:
        attempt->failed = true;
        return false;
    }
    return false;
}

void pcl_worker_name_write(pcl_worker *self, pcl_connection *connection, bool ask,
                           char gtid[PCL_TOKEN_SIZE_MAX + 1])
{
    pcl_connection_token(connection, ask, gtid, PCL_TOKEN_SIZE_MAX + 1);
    pcl_causal_acknowledged(self->causal, gtid);
}

bool pcl_worker_shows_more(const pcl_attempt *attempt, const char *gtid)
{
    return gtid[0] == '\0' || attempt->rows || attempt->sql_class == PCL_SQL_CALL;
}

void pcl_worker_name_seen_there(pcl_connection *connection, char gtid[PCL_TOKEN_SIZE_MAX + 1])
{
    static_assert(PCL_GTID_SIZE_MAX <= PCL_TOKEN_SIZE_MAX, "a position fits");
    pcl_sql_error error;
    if (!pcl_causal_seen(pcl_connection_mysql(connection), gtid, &error)) {
        gtid[0] = '\0';
    }
}

void pcl_worker_name_seen(pcl_worker *self, pcl_job *job, char gtid[PCL_TOKEN_SIZE_MAX + 1])
{
    pcl_sql_error error;
    pcl_connection *busy = self->held;
    pcl_connection *second = pcl_spares_take(self->spares, job->accounts, PCL_ACCOUNT_READ, false);
    gtid[0] = '\0';
    pcl_worker_use(self, second);
    if (pcl_connection_open(second, &error)) {
        pcl_worker_watch(self, second, job);
        pcl_worker_name_seen_there(second, gtid);
        if (pcl_worker_unwatch(self, job) != PCL_ENDING_NONE) {
            pcl_connection_close(second);
        }
    }
    pcl_worker_use(self, busy);
    pcl_spares_give(self->spares, &second, pcl_now_us());
}
