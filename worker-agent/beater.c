#include "worker-agent/beater.h"

#include "net/time.h"
#include "worker-agent/flavor.h"
#include "worker-agent/query.h"
#include "worker-agent/ticker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 1000u

struct pcl_beater {
    const pcl_agent_options *options; /* borrowed */
    pcl_observer *observer;           /* borrowed */
    pcl_causal *causal;               /* borrowed */
    pcl_connection *connection;       /* the thread's own */
    pcl_ticker *ticker;
};

/* What stood in the log before a write is seen once that write is acknowledged, whoever wrote it
 * and in whatever domain. */
static bool s_ask_logged(MYSQL *mysql, char logged[PCL_GTID_SIZE_MAX + 1], pcl_sql_error *error)
{
    logged[0] = '\0';
    return !pcl_flavor_of(mysql)->polls_source || pcl_causal_seen(mysql, logged, error);
}

/* A server that let go of us may have lost what it had. */
static bool s_open(pcl_beater *self, pcl_sql_error *error)
{
    pcl_connection *connection = self->connection;
    if (!pcl_connection_is_open(connection) || !pcl_connection_is_alive(connection)) {
        pcl_causal_forget(self->causal);
    }
    return pcl_connection_open(connection, error);
}

static bool s_beat(pcl_beater *self, pcl_sql_error *error)
{
    char logged[PCL_GTID_SIZE_MAX + 1];
    if (!s_open(self, error)) {
        return false;
    }
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    if (!s_ask_logged(mysql, logged, error)) {
        return false;
    }
    char node[2 * PCL_NAME_SIZE_MAX + 1];
    char sql[sizeof node + 256];
    unsigned long size = (unsigned long)strlen(self->options->node);
    (void)mysql_real_escape_string(mysql, node, self->options->node, size);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE portcullis.heartbeat SET node='%s', beat_us=%" PRIu64
                   " WHERE id=1 AND @@global.read_only=0",
                   node, pcl_wall_us());
    if (!pcl_query_run(mysql, sql, error)) {
        return false;
    }
    if (mysql_affected_rows(mysql) == 1) {
        char gtid[PCL_TOKEN_SIZE_MAX + 1];
        pcl_connection_token(self->connection, true, gtid, sizeof gtid);
        pcl_causal_acknowledged(self->causal, gtid);
        pcl_causal_acknowledged(self->causal, logged);
    }
    return true;
}

static uint32_t s_turn(void *context)
{
    pcl_beater *self = context;
    pcl_node_view view;
    pcl_sql_error error;
    pcl_observer_view(self->observer, &view);
    bool source = view.ready && view.role == PCL_NODE_SOURCE && !view.read_only;
    if (view.ready && !source) {
        pcl_causal_forget(self->causal); /* it may lose some of it before it is a source again */
    }
    if (source && !s_beat(self, &error)) {
        pcl_connection_close(self->connection);
        return RETRY_MS; /* the observer says why */
    }
    return PCL_BEAT_INTERVAL_MS;
}

pcl_beater *pcl_beater_new(const pcl_agent_options *options, pcl_observer *observer,
                           pcl_causal *causal)
{
    pcl_beater *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->observer = observer;
    self->causal = causal;
    self->connection = pcl_connection_new(options, NULL, PCL_ACCOUNT_ADMIN, 1, 0);
    self->ticker = pcl_ticker_new(s_turn, self);
    return self;
}

bool pcl_beater_destroy(pcl_beater **self_p, uint32_t wait_ms)
{
    pcl_beater *self = *self_p;
    if (self == NULL) {
        return true;
    }
    if (!pcl_ticker_stop(&self->ticker, wait_ms / 2)) {
        pcl_connection_interrupt(self->connection); /* it waits for a replica */
        if (!pcl_ticker_stop(&self->ticker, wait_ms - wait_ms / 2)) {
            return false;
        }
    }
    pcl_connection_destroy(&self->connection);
    free(self);
    *self_p = NULL;
    return true;
}
