/* A transaction in one request: all of its statements, or none. */
#include "common/clock.h"
#include "net/time.h"
#include "wire/mp.h"
#include "worker-agent/worker.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct txn {
    pcl_worker *worker;
    pcl_job *job;
    const pcl_request *request;
    pcl_connection *connection;
    pcl_answer answer;
    bool uses_state; /* of the connection: it must be clean before and after */
    bool at_commit;  /* COMMIT was sent */
    bool wrote;      /* a statement that writes was sent */
    bool traceless;  /* after a failure: nothing of it stands */
    uint32_t index;  /* of the statement at hand; PCL_NO_STATEMENT: none */
    uint64_t count;  /* of rows, returned or changed */
    pcl_attempt attempt;
    char gtid[PCL_TOKEN_SIZE_MAX + 1]; /* of what was written or seen; "" for none */
} txn;

static void s_fail_by_mysql(txn *self)
{
    self->attempt.failed = true;
    pcl_sql_error_of(&self->attempt.error, pcl_connection_mysql(self->connection));
}

/* --- Statements ------------------------------------------------------------------ */

static bool s_bind(txn *self, const pcl_statement *statement)
{
    pcl_binding *binding = &self->worker->binding;
    pcl_err err = pcl_binding_read(binding, statement->params, statement->param_count);
    if (err == PCL_ERR_OK) {
        return true;
    }
    char message[128] = "";
    if (err == PCL_ERR_MALFORMED) {
        (void)snprintf(message, sizeof message, "params: number %" PRIu32 " %s",
                       binding->fault_index, binding->fault_rule);
    }
    pcl_attempt_fail(&self->attempt, err, message);
    return false;
}

static void s_check_expectation(txn *self, const pcl_statement *statement)
{
    pcl_attempt *attempt = &self->attempt;
    uint64_t count = attempt->count;
    bool met = (!statement->has_rows || count == statement->rows) &&
               (!statement->has_min_rows || count >= statement->min_rows) &&
               (!statement->has_max_rows || count <= statement->max_rows);
    if (!met) {
        char message[96];
        (void)snprintf(message, sizeof message, "the statement %s %" PRIu64 " rows%s",
                       attempt->rows ? "returned" : "changed", count,
                       ", which is not what was expected");
        pcl_attempt_fail(attempt, PCL_ERR_EXPECT, message);
    }
}

static bool s_is_open(const txn *self)
{
    return (pcl_connection_mysql(self->connection)->server_status & SERVER_STATUS_IN_TRANS) != 0;
}

/* False: it failed. */
static bool s_run_statement(txn *self, const pcl_statement *statement)
{
    pcl_sql_class form = pcl_sql_classify(statement->sql).statement_class;
    pcl_answer result = pcl_answer_map(&self->job->reply);
    self->attempt = (pcl_attempt){
        .connection = self->connection,
        .stream = self->worker->stream,
        .binding = &self->worker->binding,
        .job = self->job,
        .sql = statement->sql,
        .sql_class = (uint8_t)form,
        .page = pcl_page_whole(self->request),
        .rows_max = self->job->message.head.rows,
        .answer = &result,
        .stage = PCL_STAGE_PREPARE,
    };
    pcl_attempt *attempt = &self->attempt;
    if (!s_bind(self, statement)) {
        return false;
    }
    pcl_attempt_run(attempt);
    self->wrote = self->wrote || (form == PCL_SQL_WRITE && attempt->stage == PCL_STAGE_EXECUTE);
    if (!attempt->failed && !s_is_open(self)) {
        self->wrote = true; /* whatever ended the transaction may have kept it */
        pcl_attempt_fail(attempt, PCL_ERR_SQL, "the transaction was ended by something in it");
    }
    if (!attempt->failed) {
        s_check_expectation(self, statement);
        self->count += attempt->count;
        pcl_attempt_put_counts(attempt, &result);
    }
    attempt->answer = NULL;
    return !attempt->failed;
}

/* MySQL's SLEEP() ends well when it is killed: that a statement succeeded does not say that nobody
 * has ended the transaction meanwhile, and what was ended must not come to its COMMIT. */
static bool s_may_go_on(txn *self)
{
    switch (pcl_job_ending(self->job)) {
    case PCL_ENDING_NONE:
        return true;
    case PCL_ENDING_DEADLINE:
        pcl_attempt_fail(&self->attempt, PCL_ERR_DEADLINE, "the deadline passed before the COMMIT");
        return false;
    case PCL_ENDING_CANCELLED:
        pcl_attempt_fail(&self->attempt, PCL_ERR_CANCELLED,
                         "the transaction was cancelled before its COMMIT");
        return false;
    }
    return false;
}

static void s_run_statements(txn *self)
{
    self->answer = pcl_answer_open(self->job);
    pcl_answer_key(&self->answer, "results");
    pcl_mp_put_array(&self->job->reply, self->request->statement_count);
    pcl_statements statements = pcl_request_statements(self->request);
    pcl_statement statement;
    for (self->index = 0; pcl_statements_next(&statements, &statement); self->index++) {
        if (!s_run_statement(self, &statement)) {
            return;
        }
        self->job->cache_hit = self->attempt.cache_hit;
        if (!s_may_go_on(self)) {
            return;
        }
    }
    self->index = PCL_NO_STATEMENT;
}

/* Anything that could commit on its way, or outlive the transaction, was refused before it came
 * here; a statement that did would make `all or none` a lie, so it is looked at again. */
static bool s_check_statements(txn *self)
{
    pcl_statements statements = pcl_request_statements(self->request);
    pcl_statement statement;
    for (uint32_t index = 0; pcl_statements_next(&statements, &statement); index++) {
        pcl_sql_verdict verdict = pcl_sql_classify(statement.sql);
        bool fits = verdict.statement_class == PCL_SQL_READ ||
                    verdict.statement_class == PCL_SQL_LOCKING_READ ||
                    verdict.statement_class == PCL_SQL_WRITE;
        if (!fits) {
            pcl_sql_error error = {.number = 0,
                                   .message = "only reads and writes can be part of a txn"};
            pcl_answer_error(self->job,
                             (pcl_outcome){.err = PCL_ERR_REFUSED, .retry = PCL_RETRY_NEVER},
                             &error, index);
            return false;
        }
        self->uses_state = self->uses_state || verdict.sql_class == PCL_SQL_STATE;
    }
    return true;
}

/* --- The whole --------------------------------------------------------------------- */

static bool s_open(txn *self)
{
    pcl_attempt *attempt = &self->attempt;
    attempt->stage = PCL_STAGE_CONNECT;
    bool opened = self->uses_state ? pcl_connection_open_clean(self->connection, &attempt->error)
                                   : pcl_connection_open(self->connection, &attempt->error);
    attempt->failed = !opened ||
                      !pcl_connection_use(self->connection, self->request->db, &attempt->error);
    if (attempt->failed) {
        attempt->stage = pcl_connection_is_open(self->connection) ? PCL_STAGE_PREPARE
                                                                  : PCL_STAGE_CONNECT;
        return false;
    }
    attempt->stage = PCL_STAGE_PREPARE;
    pcl_ending ending = pcl_job_ending(self->job);
    if (ending != PCL_ENDING_NONE) {
        pcl_attempt_fail_unrun(attempt, ending);
        return false;
    }
    return true;
}

static void s_begin(txn *self)
{
    self->job->started = true;
    if (mysql_query(pcl_connection_mysql(self->connection), "START TRANSACTION") != 0) {
        s_fail_by_mysql(self);
    }
}

static void s_commit(txn *self)
{
    self->at_commit = true;
    self->attempt.stage = PCL_STAGE_EXECUTE;
    if (mysql_query(pcl_connection_mysql(self->connection), "COMMIT") != 0) {
        s_fail_by_mysql(self);
    } else {
        pcl_worker_name_write(self->worker, self->connection, false, self->gtid);
        if (self->gtid[0] == '\0' && self->request->monotonic) {
            pcl_worker_name_seen_there(self->connection, self->gtid);
        }
    }
}

/* True: the server says that nothing is left. */
static bool s_roll_back(txn *self)
{
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    /* A warning says that a table without transactions keeps what was written. */
    if (mysql_query(mysql, "ROLLBACK") == 0) {
        return mysql_warning_count(mysql) == 0;
    }
    pcl_connection_close(self->connection);
    return false;
}

/* What the server rolled back by itself it rolled back before our ROLLBACK, and the warning that a
 * table keeps what was written stands at the statement that failed. */
static bool s_is_left_by_server(txn *self, pcl_ending ending)
{
    const pcl_attempt *attempt = &self->attempt;
    uint32_t number = attempt->error.number;
    return attempt->own_err == PCL_ERR_OK && pcl_errno_is_contention(number) &&
           (ending != PCL_ENDING_NONE || !pcl_connection_rolled_back(self->connection, number));
}

/* After a failure before COMMIT: what was not written, or was rolled back for certain, left no
 * trace. */
static void s_undo(txn *self, pcl_ending ending)
{
    pcl_attempt *attempt = &self->attempt;
    bool too_large = attempt->own_err == PCL_ERR_TOO_LARGE && ending == PCL_ENDING_NONE;
    bool cut = !attempt->rest ||
               (too_large && pcl_worker_cut(self->worker, self->connection, self->worker->stream));
    bool usable = pcl_connection_is_open(self->connection) && cut &&
                  (attempt->own_err != PCL_ERR_OK || !pcl_errno_is_loss(attempt->error.number));
    bool left = usable && self->wrote && s_is_left_by_server(self, ending);
    if (usable && ending != PCL_ENDING_NONE) {
        usable = pcl_worker_absorb(self->worker, self->connection);
    }
    if (!usable) {
        pcl_stream_drop(self->worker->stream, self->connection);
    }
    bool rolled_back = usable && s_roll_back(self);
    self->traceless = (rolled_back && !left) || !self->wrote;
}

static pcl_ending s_try(txn *self)
{
    self->attempt = (pcl_attempt){.stage = PCL_STAGE_CONNECT};
    self->index = PCL_NO_STATEMENT;
    self->at_commit = false;
    self->wrote = false;
    self->traceless = true;
    self->count = 0;
    self->gtid[0] = '\0';
    if (!s_open(self)) {
        return PCL_ENDING_NONE;
    }
    pcl_worker_watch(self->worker, self->connection, self->job);
    self->attempt.connection = self->connection;
    if (pcl_worker_reach(self->worker, self->job, &self->attempt)) {
        s_begin(self);
    }
    if (!self->attempt.failed) {
        s_run_statements(self);
    }
    if (!self->attempt.failed && self->job->reply.failed) {
        pcl_attempt_fail(&self->attempt, PCL_ERR_TOO_LARGE, PCL_TOO_LARGE_TEXT);
    }
    if (!self->attempt.failed) {
        s_commit(self);
    }
    pcl_ending ending = pcl_worker_unwatch(self->worker, self->job);
    if (self->at_commit) {
        if (self->attempt.failed || ending != PCL_ENDING_NONE) {
            pcl_connection_close(self->connection);
        }
    } else {
        s_undo(self, ending);
    }
    return ending;
}

static pcl_outcome s_judge(const txn *self, pcl_ending ending)
{
    const pcl_attempt *attempt = &self->attempt;
    if (self->at_commit) {
        if (attempt->failed) {
            return pcl_outcome_of_commit(attempt->error.number, ending);
        }
        return ending == PCL_ENDING_NONE ? (pcl_outcome){.err = PCL_ERR_OK}
                                         : pcl_outcome_of_ending(ending, false);
    }
    if (ending != PCL_ENDING_NONE) {
        return pcl_outcome_of_ending(ending, self->traceless);
    }
    if (attempt->own_err == PCL_ERR_OK) {
        return pcl_outcome_in_txn(attempt->stage, attempt->error.number, ending, self->traceless);
    }
    bool late = attempt->own_err == PCL_ERR_DEADLINE || attempt->own_err == PCL_ERR_CANCELLED;
    pcl_retry retry = late ? PCL_RETRY_SAFE : pcl_err_retry((int)attempt->own_err);
    return (pcl_outcome){.err = attempt->own_err,
                         .retry = self->traceless ? retry : PCL_RETRY_UNSAFE};
}

/* Whether the failure is one that another try may not meet, and nothing of this one is left. */
static bool s_may_try_again(const txn *self, pcl_ending ending, uint32_t *lost_count)
{
    const pcl_attempt *attempt = &self->attempt;
    if (!attempt->failed || attempt->own_err != PCL_ERR_OK || ending != PCL_ENDING_NONE ||
        !self->traceless || (self->at_commit && attempt->error.number != PCL_ER_DEADLOCK)) {
        return false;
    }
    bool unsent = !self->at_commit && attempt->stage == PCL_STAGE_PREPARE && !self->wrote;
    if (unsent && pcl_errno_is_loss(attempt->error.number)) {
        return (*lost_count)++ == 0; /* it had ended while nobody used it */
    }
    return pcl_errno_is_contention(attempt->error.number) || attempt->stale;
}

static void s_answer(txn *self)
{
    pcl_job *job = self->job;
    job->outcome = (pcl_outcome){.err = PCL_ERR_OK};
    job->rows = pcl_short_count(self->count);
    pcl_causal_put_token(&self->answer, self->worker->options, pcl_bytes_text(self->gtid),
                         job->message.head.after, false);
    pcl_answer_route(&self->answer, self->worker->options, job);
    if (job->reply.failed) {
        pcl_job_refuse(job, (pcl_outcome){.err = PCL_ERR_TOO_LARGE, .retry = PCL_RETRY_UNSAFE},
                       PCL_TOO_LARGE_TEXT);
    }
}

void pcl_worker_run_txn(pcl_worker *worker, pcl_job *job, const pcl_request *request)
{
    txn self = {.worker = worker, .job = job, .request = request};
    if (!s_check_statements(&self)) {
        return;
    }
    uint64_t began_us = pcl_now_us();
    uint32_t lost_count = 0;
    self.connection = pcl_worker_own(worker, job, PCL_ACCOUNT_WRITE, self.uses_state);
    pcl_ending ending = s_try(&self);
    uint64_t tried_us = began_us;
    for (uint32_t turn = 0; s_may_try_again(&self, ending, &lost_count); turn++) {
        uint64_t try_us = pcl_time_since_us(tried_us, pcl_now_us());
        if (!pcl_worker_pause(worker, job, turn, self.attempt.error.number, try_us)) {
            break;
        }
        tried_us = pcl_now_us();
        ending = s_try(&self);
    }
    job->exec_us = pcl_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    pcl_outcome outcome = s_judge(&self, ending);
    if (outcome.err == PCL_ERR_OK) {
        s_answer(&self);
    } else {
        pcl_attempt_explain(&self.attempt, outcome);
        if (outcome.err == PCL_ERR_NO_NODE && self.attempt.stage == PCL_STAGE_CONNECT) {
            pcl_job_hide_connect_error(job, &self.attempt.error);
        }
        pcl_answer_error(job, outcome, &self.attempt.error, self.index);
    }
    if (self.uses_state) {
        (void)pcl_connection_reset(self.connection);
    } else if (pcl_connection_is_bloated(self.connection)) {
        pcl_connection_close(self.connection);
    }
}
