#include "worker-agent/observer.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/time.h"
#include "worker-agent/outcome.h"
#include "worker-agent/setup.h"
#include "worker-agent/ticker.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_TIMEOUT_S   2u
#define RETRY_MS_MIN     50u
#define RETRY_MS_MAX     1000u
#define SEMI_SYNC_MS     1000u
#define REPLICA_RETRY_MS 5000u
#define MEND_MS          1000u
#define BUSY_MS          10u /* between looks while the source changes */

struct pcl_observer {
    pcl_agent_options own_options;    /* as borrowed, but what the node is to be may change */
    const pcl_agent_options *options; /* these */
    pcl_handover *handover;           /* borrowed */
    const char *who;                  /* borrowed */
    pcl_connection *connection;       /* the thread's own */
    const pcl_flavor_ops *flavor;     /* of the server; NULL before it answered */
    bool set_up;                      /* on this connection */
    uint32_t retry_ms;
    uint64_t semi_sync_due_us;
    bool silent;             /* a replica that did not acknowledge at the last look */
    uint64_t restart_due_us; /* of replication that stopped with an error */
    bool refused;            /* the source does not take the replication account's password */
    uint64_t mend_due_us;    /* not sooner, of the accounts */
    atomic_bool mend_wanted;
    pcl_ticker *ticker;
    pthread_mutex_t lock;
    pcl_node_view view; /* under the lock; written by the thread only */
};

/* --- One look --------------------------------------------------------------- */

/* The set without the line ends that MySQL puts in; cut behind a whole interval where a report
 * cannot hold it, so that it says less, and nothing wrong. */
static void s_copy_gtid(char *target, const char *source)
{
    size_t size = 0;
    for (; *source != '\0' && size < PCL_REPORT_GTID_SIZE_MAX; source++) {
        if (*source != '\n') {
            target[size++] = *source;
        }
    }
    while (*source != '\0' && size > 0 && target[size] != ',' && target[size] != ':') {
        size--;
    }
    target[size] = '\0';
}

static bool s_look_at_state(MYSQL *mysql, const pcl_flavor_ops *flavor, pcl_node_view *view,
                            pcl_sql_error *error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, flavor->state_sql, &row, error)) {
        return false;
    }
    s_copy_gtid(view->gtid, pcl_row_text(&row, "gtid"));
    view->read_only = pcl_row_uint(&row, "read_only") != 0;
    pcl_row_free(&row);
    if (!pcl_query_row(mysql, "SHOW GLOBAL STATUS LIKE 'Threads_running'", &row, error)) {
        return false;
    }
    view->threads_running = (uint32_t)pcl_row_uint(&row, "Value");
    pcl_row_free(&row);
    return true;
}

/* The role is what the database is, not what it should be: a replica has a
 * source, a source has none and takes writes. */
static bool s_look_at_role(pcl_observer *self, MYSQL *mysql, pcl_node_view *view,
                           bool *out_io_failed, pcl_sql_error *error)
{
    const pcl_flavor_ops *flavor = self->flavor;
    pcl_row row;
    if (!pcl_query_row(mysql, flavor->replication_sql, &row, error)) {
        return false;
    }
    bool replica = row.cells != NULL && pcl_row_text(&row, flavor->source_host)[0] != '\0';
    bool io_runs = strcmp(pcl_row_text(&row, flavor->io_running), "Yes") == 0;
    bool sql_runs = strcmp(pcl_row_text(&row, flavor->sql_running), "Yes") == 0;
    bool stopped = strcmp(pcl_row_text(&row, flavor->io_running), "No") == 0;
    uint64_t io_errno = pcl_row_uint(&row, flavor->last_io_errno);
    pcl_row_free(&row);
    if (replica) {
        view->role = PCL_NODE_REPLICA;
        view->replicating = io_runs && sql_runs;
    } else {
        view->role = view->read_only ? PCL_NODE_UNKNOWN : PCL_NODE_SOURCE;
        view->replicating = view->role == PCL_NODE_SOURCE;
    }
    /* 1236: the source does not have what we have.  Trying again cannot help,
     * and hiding it would. */
    *out_io_failed = replica && stopped && io_errno != 0 && io_errno != 1236;
    self->refused = replica && !io_runs && io_errno == PCL_ER_ACCESS_DENIED;
    return true;
}

static bool s_look_at_lag(MYSQL *mysql, pcl_node_view *view, pcl_sql_error *error)
{
    uint64_t beat_us = 0;
    uint64_t began_us = pcl_now_us();
    if (!pcl_query_uint(mysql, "SELECT beat_us FROM portcullis.heartbeat WHERE id=1", &beat_us,
                        error)) {
        if (error->number != 1146 && error->number != 1049) {
            return false;
        }
        beat_us = 0; /* the table has not arrived yet */
    }
    view->canary_at_us = pcl_now_us();
    view->canary_us = (uint32_t)pcl_time_since_us(began_us, view->canary_at_us);
    if (view->role == PCL_NODE_SOURCE) {
        view->lag_ms = 0;
    } else if (beat_us == 0) {
        view->lag_ms = -1;
    } else {
        uint64_t age_ms = pcl_time_since_us(beat_us, pcl_wall_us()) / PCL_US_PER_MS;
        uint64_t lag_ms = age_ms > PCL_BEAT_INTERVAL_MS ? age_ms - PCL_BEAT_INTERVAL_MS : 0;
        view->lag_ms = lag_ms < INT32_MAX ? (int32_t)lag_ms : INT32_MAX;
    }
    return true;
}

/* A source may wait for this one alone.  Whoever has only just connected may not have said yet that
 * he acknowledges: it is looked at twice. */
static bool s_keep_acknowledging(pcl_observer *self, MYSQL *mysql, uint64_t now_us,
                                 pcl_sql_error *error)
{
    uint64_t on = 0;
    if (!pcl_query_uint(mysql, self->flavor->semi_sync_replica_sql, &on, error)) {
        return false;
    }
    bool mend = on == 0 && self->silent;
    self->silent = on == 0 && !mend;
    if (!mend) {
        return true;
    }
    self->semi_sync_due_us = now_us + REPLICA_RETRY_MS * PCL_US_PER_MS;
    pcl_log(PCL_LOG_WARNING, self->who, "semi_sync_mended", "%s", "");
    return pcl_setup_acknowledging(mysql, self->flavor, self->options, error);
}

static bool s_keep_semi_sync(pcl_observer *self, MYSQL *mysql, pcl_node_view *view,
                             pcl_sql_error *error)
{
    uint64_t now_us = pcl_now_us();
    bool source = view->role == PCL_NODE_SOURCE && self->options->semi_sync;
    bool replica = view->role == PCL_NODE_REPLICA && view->replicating && self->options->semi_sync;
    view->semi_sync = source ? self->view.semi_sync : (pcl_semi_sync){.on = false};
    self->silent = self->silent && replica;
    if ((!source && !replica) || now_us < self->semi_sync_due_us) {
        return true;
    }
    self->semi_sync_due_us = now_us + SEMI_SYNC_MS * PCL_US_PER_MS;
    if (replica) {
        return s_keep_acknowledging(self, mysql, now_us, error);
    }
    pcl_semi_sync was = view->semi_sync;
    if (!pcl_setup_semi_sync(mysql, self->flavor, &view->semi_sync, error)) {
        return false;
    }
    if (view->semi_sync.on != was.on || view->semi_sync.replicas != was.replicas) {
        bool waits = view->semi_sync.on && view->semi_sync.replicas == 0;
        pcl_log(waits ? PCL_LOG_WARNING : PCL_LOG_INFO, self->who, "semi_sync",
                "on=%d replicas=%" PRIu64 "%s", view->semi_sync.on ? 1 : 0,
                view->semi_sync.replicas,
                waits ? " reason=\"no replica acknowledges writes\"" : "");
    }
    return true;
}

/* Replication that ended with an error is started again, and where the source refused the account
 * (before it was made, or once its password had changed) with the password of now; not more often
 * than every five seconds. */
static bool s_restart_replication(pcl_observer *self, MYSQL *mysql, pcl_sql_error *error)
{
    uint64_t now_us = pcl_now_us();
    if (now_us < self->restart_due_us) {
        return true;
    }
    self->restart_due_us = now_us + REPLICA_RETRY_MS * PCL_US_PER_MS;
    if (self->refused) {
        bool done = false;
        bool asked = pcl_setup_replication_password(self->connection, self->flavor, self->options,
                                                    &done, error);
        if (done) {
            pcl_log(PCL_LOG_WARNING, self->who, "replication_password", "%s", "");
        }
        return asked;
    }
    pcl_log(PCL_LOG_WARNING, self->who, "replication_restart", "%s", "");
    return pcl_setup_start(mysql, self->flavor, self->options, error);
}

/* All accounts have their passwords of that turn, but for the agent's own where it was refused. */
static void s_settle_passwords(pcl_observer *self, uint64_t turn, uint32_t refused)
{
    pcl_keyring_settle(self->options->keyring, turn, refused != 0);
    if (refused != 0) {
        pcl_log(PCL_LOG_ERROR, self->who, "password_refused", "account=admin errno=%" PRIu32,
                refused);
    }
}

static bool s_mend_accounts(pcl_observer *self, pcl_sql_error *error)
{
    uint64_t now_us = pcl_now_us();
    if (now_us < self->mend_due_us || !atomic_exchange(&self->mend_wanted, false)) {
        return true;
    }
    self->mend_due_us = now_us + MEND_MS * PCL_US_PER_MS;
    uint64_t turn = pcl_keyring_turn(self->options->keyring);
    uint32_t refused = 0;
    pcl_log(PCL_LOG_WARNING, self->who, "accounts_made_again", "%s", "");
    if (!pcl_setup_accounts(self->connection, self->flavor, self->options, &refused, error)) {
        return false; /* and once it is open again, all is set up */
    }
    s_settle_passwords(self, turn, refused);
    return true;
}

static bool s_look(pcl_observer *self, pcl_node_view *view, pcl_sql_error *error)
{
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    bool io_failed = false;
    *view = (pcl_node_view){.flavor = self->flavor->flavor, .lag_ms = -1};
    return s_look_at_state(mysql, self->flavor, view, error) &&
           s_look_at_role(self, mysql, view, &io_failed, error) &&
           s_look_at_lag(mysql, view, error) && s_keep_semi_sync(self, mysql, view, error) &&
           (!(io_failed || self->refused) || s_restart_replication(self, mysql, error));
}

/* --- The thread's turn ------------------------------------------------------ */

static void s_publish(pcl_observer *self, const pcl_node_view *view)
{
    (void)pthread_mutex_lock(&self->lock);
    self->view = *view;
    (void)pthread_mutex_unlock(&self->lock);
}

static void s_log_change(const pcl_observer *self, const pcl_node_view *view)
{
    const pcl_node_view *old = &self->view;
    if (old->ready != view->ready || old->role != view->role || old->read_only != view->read_only ||
        old->replicating != view->replicating) {
        pcl_log(PCL_LOG_INFO, self->who, "node",
                "ready=%d role=%s flavor=%s read_only=%d replicating=%d", view->ready ? 1 : 0,
                pcl_node_role_text(view->role), pcl_flavor_text(view->flavor),
                view->read_only ? 1 : 0, view->replicating ? 1 : 0);
    }
}

/* Not ready: says why, once, and gives the connection up. */
static uint32_t s_lose(pcl_observer *self, const char *step, const pcl_sql_error *error)
{
    pcl_node_view view = {.lag_ms = -1, .flavor = self->view.flavor};
    (void)snprintf(view.reason, sizeof view.reason, "%s: error %" PRIu32, step, error->number);
    if (strcmp(view.reason, self->view.reason) != 0) {
        char message[PCL_ERROR_TEXT_SIZE];
        (void)pcl_log_escape(error->message, message, sizeof message);
        pcl_log(PCL_LOG_WARNING, self->who, "database_lost",
                "step=\"%s\" errno=%" PRIu32 " message=\"%s\"", step, error->number, message);
    }
    s_publish(self, &view);
    pcl_connection_close(self->connection);
    self->set_up = false;
    uint32_t wait_ms = self->retry_ms;
    self->retry_ms = wait_ms * 2 < RETRY_MS_MAX ? wait_ms * 2 : RETRY_MS_MAX;
    return wait_ms;
}

static bool s_set_up(pcl_observer *self, const char **out_step, pcl_sql_error *error)
{
    uint32_t refused = 0;
    uint64_t turn = pcl_keyring_turn(self->options->keyring);
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    self->flavor = pcl_flavor_of(mysql);
    *out_step = "hand-over";
    if (!pcl_handover_reconnected(self->handover, mysql, error)) {
        return false;
    }
    pcl_handover_apply(self->handover, &self->own_options);
    if (!pcl_setup_node(self->connection, self->flavor, self->options, out_step, &refused, error)) {
        return false;
    }
    self->set_up = true;
    self->semi_sync_due_us = 0;
    s_settle_passwords(self, turn, refused);
    self->retry_ms = RETRY_MS_MIN;
    pcl_log(PCL_LOG_INFO, self->who, "set_up", "role=%s flavor=%s",
            pcl_node_role_text(self->options->role), pcl_flavor_text(self->flavor->flavor));
    return true;
}

static bool s_hand_over(pcl_observer *self, bool *out_busy, pcl_sql_error *error)
{
    bool changed = false;
    if (!pcl_handover_step(self->handover, pcl_connection_mysql(self->connection), self->flavor,
                           self->options, pcl_now_us(), &changed, out_busy, error)) {
        return false;
    }
    if (changed) {
        self->set_up = false;
        *out_busy = true;
    }
    return true;
}

static uint32_t s_turn(void *context)
{
    pcl_observer *self = context;
    pcl_sql_error error = {.number = 0};
    const char *step = "connect";
    bool was_open = pcl_connection_is_open(self->connection);
    if (was_open && !pcl_connection_is_alive(self->connection)) {
        self->set_up = false; /* the server was restarted, and starts as it is configured */
    }
    if (!pcl_connection_open(self->connection, &error)) {
        return s_lose(self, step, &error);
    }
    if (!self->set_up && !s_set_up(self, &step, &error)) {
        return s_lose(self, step, &error);
    }
    if (!s_mend_accounts(self, &error)) {
        return s_lose(self, "accounts", &error);
    }
    pcl_node_view view;
    if (!s_look(self, &view, &error)) {
        return s_lose(self, "look", &error);
    }
    view.ready = true;
    s_log_change(self, &view);
    s_publish(self, &view);
    bool busy = false;
    if (!s_hand_over(self, &busy, &error)) {
        return s_lose(self, "hand-over", &error);
    }
    return busy ? BUSY_MS : PCL_BEAT_INTERVAL_MS;
}

pcl_observer *pcl_observer_new(const pcl_agent_options *options, pcl_handover *handover,
                               const char *who)
{
    pcl_observer *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->own_options = *options; /* what it points to stays the caller's */
    self->options = &self->own_options;
    self->handover = handover;
    self->who = who;
    self->retry_ms = RETRY_MS_MIN;
    self->connection = pcl_connection_new(options, NULL, PCL_ACCOUNT_ADMIN, 1, READ_TIMEOUT_S);
    self->view = (pcl_node_view){.lag_ms = -1, .reason = "starting"};
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    self->ticker = pcl_ticker_new(s_turn, self);
    return self;
}

bool pcl_observer_destroy(pcl_observer **self_p, uint32_t wait_ms)
{
    pcl_observer *self = *self_p;
    if (self == NULL) {
        return true;
    }
    if (!pcl_ticker_stop(&self->ticker, wait_ms)) {
        return false;
    }
    pcl_connection_destroy(&self->connection);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
    return true;
}

void pcl_observer_mend_accounts(pcl_observer *self)
{
    atomic_store(&self->mend_wanted, true);
}

void pcl_observer_view(pcl_observer *self, pcl_node_view *out_view)
{
    (void)pthread_mutex_lock(&self->lock);
    *out_view = self->view;
    (void)pthread_mutex_unlock(&self->lock);
}
