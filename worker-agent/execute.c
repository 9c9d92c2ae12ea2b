#include "worker-agent/execute.h"

#include "common/clock.h"
#include "net/time.h"
#include "worker-agent/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The rest of a result is read if that is quick, else the statement is killed. */
#define REST_TIME_US   (20 * PCL_US_PER_MS)
#define REST_ROWS_MAX  2000u
#define REST_BYTES_MAX (512u * 1024u)
#define TRIES_MAX      5u
#define PAUSE_FIRST_US (4 * PCL_US_PER_MS)
/* Another try needs some time for itself. */
#define TRY_TIME_US    (5 * PCL_US_PER_MS)

pcl_worker *pcl_worker_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                           pcl_spares *spares, pcl_causal *causal, uint32_t slot)
{
    pcl_worker *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->watchdog = watchdog;
    self->spares = spares;
    self->causal = causal;
    self->slot = slot;
    self->stream = pcl_stream_new();
    self->rng = pcl_rng_from_seed(pcl_random_u64());
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    return self;
}

void pcl_worker_destroy(pcl_worker **self_p)
{
    pcl_worker *self = *self_p;
    if (self != NULL) {
        pcl_connection_destroy(&self->own);
        pcl_stream_destroy(&self->stream);
        pcl_binding_release(&self->binding);
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
        *self_p = NULL;
    }
}

void pcl_worker_interrupt(pcl_worker *self)
{
    (void)pthread_mutex_lock(&self->lock);
    pcl_connection *all[] = {self->own, self->held};
    for (size_t index = 0; index < sizeof all / sizeof all[0]; index++) {
        if (all[index] != NULL) {
            pcl_connection_interrupt(all[index]);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
}

uint32_t pcl_worker_connections(pcl_worker *self)
{
    (void)pthread_mutex_lock(&self->lock);
    bool own = self->own != NULL && pcl_connection_has_socket(self->own);
    (void)pthread_mutex_unlock(&self->lock);
    return own ? 1u : 0u;
}

/* --- What the parts share ---------------------------------------------------- */

pcl_connection *pcl_worker_own(pcl_worker *self, const pcl_job *job, pcl_account account,
                               bool clean)
{
    if (self->own == NULL) {
        pcl_worker_adopt(self, pcl_spares_take(self->spares, job->accounts, account, clean));
    }
    assert(pcl_connection_accounts(self->own) == job->accounts &&
           pcl_connection_account(self->own) == account);
    return self->own;
}

void pcl_worker_adopt(pcl_worker *self, pcl_connection *connection)
{
    assert(self->own == NULL);
    (void)pthread_mutex_lock(&self->lock);
    self->own = connection;
    (void)pthread_mutex_unlock(&self->lock);
}

pcl_connection *pcl_worker_part_with_own(pcl_worker *self)
{
    (void)pthread_mutex_lock(&self->lock);
    pcl_connection *connection = self->own;
    self->own = NULL;
    (void)pthread_mutex_unlock(&self->lock);
    return connection;
}

void pcl_worker_give_own_back(pcl_worker *self)
{
    pcl_connection *connection = pcl_worker_part_with_own(self);
    if (connection != NULL) {
        pcl_spares_give(self->spares, &connection, pcl_now_us());
    }
}

void pcl_worker_use(pcl_worker *self, pcl_connection *connection)
{
    (void)pthread_mutex_lock(&self->lock);
    self->held = connection;
    (void)pthread_mutex_unlock(&self->lock);
}

void pcl_worker_watch(pcl_worker *self, pcl_connection *connection, const pcl_job *job)
{
    pcl_watchdog_arm(self->watchdog, self->slot, connection, job->deadline_us, &job->cancelled);
}

pcl_ending pcl_worker_unwatch(pcl_worker *self, pcl_job *job)
{
    pcl_ending ending = PCL_ENDING_NONE;
    switch (pcl_watchdog_disarm(self->watchdog, self->slot)) {
    case PCL_WATCHDOG_QUIET:
        return PCL_ENDING_NONE;
    case PCL_WATCHDOG_DEADLINE:
        ending = PCL_ENDING_DEADLINE;
        break;
    case PCL_WATCHDOG_CANCELLED:
        ending = PCL_ENDING_CANCELLED;
        break;
    }
    job->killed = true;
    return ending;
}

bool pcl_worker_absorb(pcl_worker *self, pcl_connection *connection)
{
    enum { TURNS_MAX = 3 };
    if (!pcl_connection_is_open(connection) || !pcl_watchdog_settle(self->watchdog, self->slot)) {
        return false;
    }
    MYSQL *mysql = pcl_connection_mysql(connection);
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        if (mysql_query(mysql, "DO 0") == 0) {
            return true;
        }
        if (mysql_errno(mysql) != PCL_ER_INTERRUPTED) {
            return false;
        }
    }
    return false;
}

pcl_ending pcl_job_ending(const pcl_job *job)
{
    if (atomic_load(&job->cancelled)) {
        return PCL_ENDING_CANCELLED;
    }
    return pcl_now_us() >= job->deadline_us ? PCL_ENDING_DEADLINE : PCL_ENDING_NONE;
}

void pcl_attempt_fail_unrun(pcl_attempt *attempt, pcl_ending ending)
{
    bool cancelled = ending == PCL_ENDING_CANCELLED;
    pcl_attempt_fail(attempt, cancelled ? PCL_ERR_CANCELLED : PCL_ERR_DEADLINE,
                     cancelled ? "the request was cancelled before the statement was sent"
                               : "the deadline passed before the statement was sent");
}

void pcl_attempt_explain(pcl_attempt *attempt, pcl_outcome outcome)
{
    bool ended = outcome.err == PCL_ERR_DEADLINE || outcome.err == PCL_ERR_CANCELLED;
    if (ended && !attempt->failed) {
        bool deadline = outcome.err == PCL_ERR_DEADLINE;
        const char *ended_text = deadline ? "the statement was ended at its deadline"
                                          : "the statement was ended, since it was cancelled";
        const char *late_text = deadline ? "the statement ended after its deadline, and may stand"
                                         : "the statement was cancelled as it ended, and may stand";
        pcl_attempt_fail(attempt, outcome.err,
                         outcome.retry == PCL_RETRY_SAFE ? ended_text : late_text);
    }
    if (outcome.err == PCL_ERR_TOO_LARGE && attempt->own_err != PCL_ERR_TOO_LARGE) {
        pcl_attempt_fail(attempt, outcome.err, PCL_TOO_LARGE_TEXT); /* the server's own limit */
    }
}

void pcl_job_hide_connect_error(pcl_job *job, pcl_sql_error *error)
{
    job->connect_errno = error->number;
    free(job->connect_text);
    job->connect_text = strdup(error->message);
    (void)snprintf(error->message, sizeof error->message, "%s",
                   pcl_errno_is_loss(error->number) ? "the agent cannot reach its database"
                                                    : "the agent's database does not let it in");
}

bool pcl_worker_bind(pcl_worker *self, pcl_job *job, pcl_bytes params, uint32_t count,
                     uint32_t statement)
{
    pcl_err err = pcl_binding_read(&self->binding, params, count);
    if (err == PCL_ERR_OK) {
        return true;
    }
    pcl_outcome outcome = {.err = err, .retry = PCL_RETRY_SAFE, .node_fault = true};
    pcl_sql_error error = {.number = 0};
    if (err == PCL_ERR_MALFORMED) {
        outcome = (pcl_outcome){.err = err, .retry = PCL_RETRY_NEVER};
        (void)snprintf(error.message, sizeof error.message, "params: number %" PRIu32 " %s",
                       self->binding.fault_index, self->binding.fault_rule);
    }
    pcl_answer_error(job, outcome, &error, statement);
    return false;
}

bool pcl_worker_pause(pcl_worker *self, const pcl_job *job, uint32_t turn, uint32_t number,
                      uint64_t try_us)
{
    /* A deadlock is found at once; a wait that ran out is likely to run out again. */
    uint64_t needed_us = number == PCL_ER_LOCK_WAIT ? try_us + try_us / 8 : 0;
    uint32_t pause_us = (uint32_t)PAUSE_FIRST_US << turn;
    uint64_t wait_us = pause_us / 2 + pcl_rng_below(&self->rng, pause_us);
    uint64_t left_us = pcl_time_left_us(job->deadline_us, pcl_now_us());
    if (turn + 1 >= TRIES_MAX || left_us < wait_us + needed_us + TRY_TIME_US) {
        return false;
    }
    struct timespec wait = {.tv_sec = (time_t)(wait_us / PCL_US_PER_S),
                            .tv_nsec = (long)(wait_us % PCL_US_PER_S) * 1000};
    (void)nanosleep(&wait, NULL); /* cut short it is a shorter wait */
    return pcl_job_ending(job) == PCL_ENDING_NONE;
}

uint32_t pcl_short_us(uint64_t us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

uint32_t pcl_short_count(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* From now on the statement is ended, however often that takes. */
static bool s_kill(pcl_worker *self, pcl_connection *connection)
{
    bool fired = pcl_watchdog_disarm(self->watchdog, self->slot) != PCL_WATCHDOG_QUIET;
    pcl_watchdog_arm(self->watchdog, self->slot, connection, pcl_now_us(), NULL);
    return fired;
}

/* What follows the result of a CALL: other results, which are read and dropped. */
static void s_drain(MYSQL *mysql, MYSQL_STMT *stmt)
{
    if (stmt != NULL) {
        (void)mysql_stmt_free_result(stmt);
        while (mysql_stmt_next_result(stmt) == 0) {
            (void)mysql_stmt_free_result(stmt);
        }
        return;
    }
    while (mysql_next_result(mysql) == 0) {
        MYSQL_RES *result = mysql_use_result(mysql);
        if (result != NULL) {
            mysql_free_result(result);
        }
    }
}

bool pcl_worker_cut(pcl_worker *self, pcl_connection *connection, pcl_stream *stream)
{
    MYSQL *mysql = pcl_connection_mysql(connection);
    MYSQL_STMT *stmt = pcl_stream_statement(stream);
    bool fired = false;
    pcl_watchdog_arm(self->watchdog, self->slot, connection, pcl_now_us() + REST_TIME_US, NULL);
    if (pcl_stream_skip(stream, REST_ROWS_MAX, REST_BYTES_MAX) == PCL_STREAM_MORE) {
        fired = s_kill(self, connection);
        pcl_stream_status status = pcl_stream_skip(stream, UINT64_MAX, SIZE_MAX);
        assert(status == PCL_STREAM_DONE);
    }
    uint32_t number = stmt != NULL ? mysql_stmt_errno(stmt) : 0;
    number = number != 0 ? number : mysql_errno(mysql);
    if (number == 0 && mysql_more_results(mysql)) {
        fired = s_kill(self, connection) || fired;
        s_drain(mysql, stmt);
        number = stmt != NULL ? mysql_stmt_errno(stmt) : mysql_errno(mysql);
    }
    fired = pcl_watchdog_disarm(self->watchdog, self->slot) != PCL_WATCHDOG_QUIET || fired;
    pcl_stream_release(stream, connection);
    return !pcl_errno_is_loss(number) && (!fired || pcl_worker_absorb(self, connection));
}

/* --- One statement alone ------------------------------------------------------ */

/* What the statement left in its connection must not meet the next one. */
static void s_settle(pcl_worker *worker, pcl_single *self)
{
    pcl_attempt *attempt = &self->attempt;
    pcl_connection *connection = attempt->connection;
    if (!pcl_connection_is_open(connection) || attempt->more) {
        return;
    }
    if (attempt->rest) {
        return; /* the connection goes, not the rows */
    }
    MYSQL *mysql = pcl_connection_mysql(connection);
    if (!attempt->failed && (mysql->server_status & SERVER_STATUS_IN_TRANS) != 0) {
        pcl_attempt_fail(attempt, PCL_ERR_SQL,
                         "the statement left a transaction open; it was rolled back");
        pcl_connection_close(connection);
        return;
    }
    uint8_t sql_class = attempt->sql_class;
    pcl_attempt_ask_rolled_back(attempt);
    if (!attempt->failed && !pcl_sql_is_read((pcl_sql_class)sql_class)) {
        bool ask = attempt->rows && sql_class != PCL_SQL_LOCKING_READ;
        pcl_worker_name_write(worker, connection, ask, self->gtid);
    }
    if (!attempt->failed && self->request->monotonic &&
        pcl_worker_shows_more(attempt, self->gtid)) {
        pcl_worker_name_seen_there(connection, self->gtid);
    }
    if (sql_class == PCL_SQL_DDL) {
        pcl_connection_forget_schema(connection);
    }
}

/* From here on the statement has a deadline.  Leaving a schema may replace the
 * connection, which must then be watched anew: a KILL of the old one ends nothing. */
static bool s_enter_schema(pcl_worker *self, pcl_single *run)
{
    pcl_attempt *attempt = &run->attempt;
    pcl_connection *connection = attempt->connection;
    uint64_t connection_id = pcl_connection_id(connection);
    pcl_worker_watch(self, connection, run->job);
    if (!pcl_connection_use(connection, run->request->db, &attempt->error)) {
        attempt->stage = pcl_connection_is_open(connection) ? PCL_STAGE_PREPARE : PCL_STAGE_CONNECT;
        attempt->failed = true;
        return false;
    }
    if (pcl_connection_id(connection) == connection_id) {
        return true;
    }
    pcl_worker_watch(self, connection, run->job);
    pcl_ending ending = pcl_job_ending(run->job);
    if (ending != PCL_ENDING_NONE) {
        pcl_attempt_fail_unrun(attempt, ending);
        return false;
    }
    return true;
}

static bool s_open(pcl_single *run)
{
    pcl_attempt *attempt = &run->attempt;
    /* A routine must not see what somebody else left for the session's functions. */
    bool clean = attempt->sql_class == PCL_SQL_CALL;
    attempt->stage = PCL_STAGE_CONNECT;
    if (!(clean ? pcl_connection_open_clean(attempt->connection, &attempt->error)
                : pcl_connection_open(attempt->connection, &attempt->error))) {
        attempt->failed = true;
        return false;
    }
    pcl_ending ending = pcl_job_ending(run->job); /* connecting may have taken the time left */
    if (ending != PCL_ENDING_NONE) {
        pcl_attempt_fail_unrun(attempt, ending);
        return false;
    }
    attempt->stage = PCL_STAGE_PREPARE; /* it lets us in */
    return true;
}

/* What was spent since then on the statement itself. */
static uint32_t s_without_wait(const pcl_job *job, uint64_t began_us)
{
    return pcl_short_us(pcl_time_left_us(pcl_time_since_us(began_us, pcl_now_us()), job->wait_us));
}

/* Opens, runs, settles.  True: the connection was lost, or the statement was out
 * of date, before anything ran, and another try may do better. */
static bool s_try(pcl_worker *self, pcl_single *run)
{
    pcl_job *job = run->job;
    pcl_attempt *attempt = &run->attempt;
    pcl_connection *connection = attempt->connection;
    if (!s_open(run)) {
        return false;
    }
    job->started = true;
    uint64_t began_us = pcl_now_us();
    /* A write goes on from where the source is, but what it shows must not be the past. */
    bool shows = pcl_sql_is_read((pcl_sql_class)attempt->sql_class) ||
                 attempt->sql_class == PCL_SQL_LOCKING_READ;
    if (s_enter_schema(self, run) && (!shows || pcl_worker_reach(self, job, attempt))) {
        pcl_attempt_run(attempt);
        s_settle(self, run);
    }
    job->service_us = s_without_wait(job, began_us);
    job->cache_hit = attempt->cache_hit;
    run->ending = pcl_worker_unwatch(self, job);
    bool cut = attempt->rest && attempt->own_err == PCL_ERR_TOO_LARGE &&
               run->ending == PCL_ENDING_NONE && pcl_worker_cut(self, connection, self->stream);
    if (run->ending != PCL_ENDING_NONE || (attempt->rest && !cut)) {
        pcl_stream_drop(self->stream, connection);
        attempt->more = false;
    }
    if (!attempt->failed || run->ending != PCL_ENDING_NONE || attempt->own_err != PCL_ERR_OK) {
        return false;
    }
    uint32_t number = attempt->error.number;
    if (attempt->stage == PCL_STAGE_PREPARE && pcl_errno_is_loss(number)) {
        pcl_connection_close(connection);
        return true;
    }
    if (attempt->stage == PCL_STAGE_PREPARE && number == PCL_ER_NO_DB) {
        pcl_connection_forget_schema(connection); /* someone dropped it, and it may be back */
        return true;
    }
    return attempt->stale && pcl_sql_is_read((pcl_sql_class)attempt->sql_class);
}

void pcl_single_init(pcl_single *self, pcl_worker *worker, pcl_job *job, const pcl_request *request)
{
    uint8_t sql_class = job->message.head.sql_class;
    bool read = pcl_sql_is_read((pcl_sql_class)sql_class);
    *self = (pcl_single){
        .job = job,
        .request = request,
        .answer = pcl_answer_open(job),
        .attempt =
            {
                .connection = pcl_worker_own(worker, job,
                                             read ? PCL_ACCOUNT_READ : PCL_ACCOUNT_WRITE,
                                             sql_class == PCL_SQL_CALL),
                .stream = worker->stream,
                .binding = &worker->binding,
                .job = job,
                .sql = request->sql,
                .sql_class = sql_class,
                .page = read ? pcl_page_asked(request) : pcl_page_whole(request),
                .rows_max = job->message.head.rows,
                .answer = &self->answer,
            },
    };
}

/* Until it has worked, or failed for good: a lost connection is replaced once, and what a deadlock
 * has rolled back for certain is run again. */
static void s_try_all(pcl_worker *self, pcl_job *job, const pcl_request *request, pcl_single *run)
{
    uint32_t contentions = 0;
    uint32_t replacements = 0;
    for (;;) {
        uint64_t began_us = pcl_now_us();
        pcl_single_init(run, self, job, request);
        bool again = s_try(self, run);
        if (again && replacements == 0) {
            replacements++;
            continue;
        }
        const pcl_attempt *attempt = &run->attempt;
        bool undone = attempt->failed && run->ending == PCL_ENDING_NONE && attempt->rolled_back &&
                      pcl_errno_is_contention(attempt->error.number);
        uint64_t try_us = pcl_time_since_us(began_us, pcl_now_us());
        if (!undone || !pcl_worker_pause(self, job, contentions, attempt->error.number, try_us)) {
            return;
        }
        contentions++;
    }
}

/* The rest of the result stays open, with its connection. */
static bool s_hold_cursor(pcl_worker *self, pcl_single *run)
{
    const pcl_head *head = &run->job->message.head;
    pcl_held *held = pcl_held_new(self->options->boot_id, false, true, head->principal);
    if (held == NULL) {
        pcl_stream_drop(self->stream, run->attempt.connection);
        pcl_job_refuse(run->job, (pcl_outcome){.err = PCL_ERR_NO_MEMORY, .retry = PCL_RETRY_SAFE},
                       "");
        return false;
    }
    held->accounts = run->job->accounts;
    held->connection = pcl_worker_part_with_own(self);
    held->stream = self->stream;
    self->stream = pcl_stream_new();
    run->job->opened = held;
    run->attempt.connection = NULL;
    pcl_answer_id(&run->answer, "cursor", held->id, held->page);
    return true;
}

static void s_answer(pcl_worker *self, pcl_single *run)
{
    pcl_job *job = run->job;
    job->outcome = (pcl_outcome){.err = PCL_ERR_OK};
    job->rows = pcl_short_count(run->attempt.count);
    if (run->attempt.more && run->request->monotonic) {
        pcl_worker_name_seen(self, job, run->gtid);
    }
    if (run->attempt.more && !s_hold_cursor(self, run)) {
        return;
    }
    pcl_attempt_put_counts(&run->attempt, &run->answer);
    bool read = pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
    if (!read || run->request->monotonic) {
        pcl_causal_put_token(&run->answer, self->options, pcl_bytes_text(run->gtid),
                             job->message.head.after, read);
    }
    pcl_answer_route(&run->answer, self->options, job);
    if (job->reply.failed) {
        pcl_held_destroy(&job->opened);
        pcl_job_refuse(job,
                       (pcl_outcome){.err = PCL_ERR_TOO_LARGE,
                                     .retry = read ? PCL_RETRY_NEVER : PCL_RETRY_UNSAFE},
                       PCL_TOO_LARGE_TEXT);
    }
}

void pcl_single_answer(pcl_single *self, pcl_worker *worker)
{
    pcl_job *job = self->job;
    pcl_attempt *attempt = &self->attempt;
    pcl_outcome outcome = pcl_attempt_judge(attempt, self->ending);
    if (outcome.broken) {
        pcl_connection_close(attempt->connection);
    }
    if (outcome.err == PCL_ERR_OK) {
        s_answer(worker, self);
        return;
    }
    pcl_attempt_explain(attempt, outcome);
    if (outcome.err == PCL_ERR_NO_NODE && attempt->stage == PCL_STAGE_CONNECT) {
        pcl_job_hide_connect_error(job, &attempt->error);
    }
    pcl_answer_error(job, outcome, &attempt->error, PCL_NO_STATEMENT);
}

static void s_run_single(pcl_worker *self, pcl_job *job, const pcl_request *request)
{
    uint64_t began_us = pcl_now_us();
    pcl_single run;
    if (!pcl_worker_bind(self, job, request->params, request->param_count, PCL_NO_STATEMENT)) {
        return;
    }
    s_try_all(self, job, request, &run);
    job->exec_us = s_without_wait(job, began_us);
    pcl_single_answer(&run, self);
    pcl_connection *connection = run.attempt.connection;
    if (connection != NULL && run.attempt.sql_class == PCL_SQL_CALL) {
        (void)pcl_connection_reset(connection); /* a routine may have set variables */
    }
    if (connection != NULL && pcl_connection_is_bloated(connection)) {
        pcl_connection_close(connection);
    }
}

/* False: the job has its reply. */
static bool s_decode(pcl_job *job, pcl_request *request)
{
    pcl_fault fault;
    char message[sizeof fault.field + sizeof fault.rule + 8];
    pcl_err err = pcl_request_decode(request, pcl_frame_bytes(&job->message.payload), &fault, NULL,
                                     NULL);
    if (err != PCL_ERR_OK) {
        (void)snprintf(message, sizeof message, "%s%s%s", fault.field,
                       fault.field[0] != '\0' ? ": " : "", fault.rule);
        pcl_job_refuse(job, (pcl_outcome){.err = err, .retry = PCL_RETRY_NEVER}, message);
        return false;
    }
    return true;
}

bool pcl_worker_read(pcl_job *job, pcl_request *out_request)
{
    job->queue_us = pcl_short_us(pcl_time_since_us(job->arrived_us, pcl_now_us()));
    pcl_ending ending = pcl_job_ending(job);
    if (ending != PCL_ENDING_NONE) {
        pcl_job_refuse(job, pcl_outcome_of_ending(ending, true),
                       ending == PCL_ENDING_DEADLINE
                           ? "the deadline passed while the statement waited for a thread"
                           : "the request was cancelled while it waited for a thread");
        return false;
    }
    return s_decode(job, out_request);
}

void pcl_worker_run(pcl_worker *self, pcl_job *job)
{
    if (job->is_end) {
        pcl_worker_end_held(self, job);
        return;
    }
    pcl_request request;
    if (!pcl_worker_read(job, &request)) {
        return;
    }
    if (job->held != NULL) {
        pcl_worker_run_held(self, job, &request);
    } else if (request.op == PCL_OP_BEGIN) {
        pcl_worker_run_begin(self, job, &request);
    } else if (request.op == PCL_OP_TXN) {
        pcl_worker_run_txn(self, job, &request);
    } else {
        s_run_single(self, job, &request);
    }
    pcl_worker_give_own_back(self);
}
