/* Sessions and cursors: what runs on a connection that something held has. */
#include "common/clock.h"
#include "net/time.h"
#include "sql/lexer.h"
#include "wire/head.h"
#include "worker-agent/phrase.h"
#include "worker-agent/worker.h"

#include <assert.h>
#include <stdio.h>

#define ABORTED_TEXT                                                                               \
    "the database has ended the session's transaction: nothing runs before `rollback`"
#define GONE_PAGE_TEXT "the cursor is not there any more, or that page was fetched already"

typedef struct visit {
    pcl_worker *worker;
    pcl_job *job;
    const pcl_request *request;
    pcl_held *held; /* the job's */
    pcl_answer answer;
    pcl_attempt attempt;
    pcl_phrase phrase;
    bool was_in_transaction;
    char gtid[PCL_TOKEN_SIZE_MAX + 1]; /* of what was written or seen; "" for none */
} visit;

/* --- Ends --------------------------------------------------------------------- */

static void s_close_connection(pcl_worker *worker, pcl_held *held)
{
    pcl_worker_use(worker, NULL);
    pcl_connection_destroy(&held->connection);
}

/* The connection to the spares; soiled by a client: reset first. */
static void s_give_connection(pcl_worker *worker, pcl_held *held, bool reset)
{
    if (reset) {
        (void)pcl_connection_reset(held->connection); /* or closed, and then it is not kept */
    }
    pcl_worker_use(worker, NULL);
    pcl_spares_give(worker->spares, &held->connection, pcl_now_us());
}

static void s_lose(pcl_held *held)
{
    held->lost = true;
    pcl_connection_close(held->connection);
}

/* --- The transaction -------------------------------------------------------------- */

/* What became of the transaction, as the last answer that was not an error says. */
static void s_take_state(pcl_held *held)
{
    MYSQL *mysql = pcl_connection_mysql(held->connection);
    bool was = held->in_transaction;
    held->in_transaction = (mysql->server_status & SERVER_STATUS_IN_TRANS) != 0;
    held->aborted = held->aborted || (held->unasked && was && !held->in_transaction);
    held->unasked = false;
}

/* A question that was put off, before anything that could run outside of its transaction. */
static void s_ask_now(pcl_held *held)
{
    if (!held->unasked || !pcl_connection_is_open(held->connection)) {
        return;
    }
    if (pcl_mysql_ask_state(pcl_connection_mysql(held->connection))) {
        s_take_state(held);
    } else {
        s_lose(held);
    }
}

/* --- Results that are open ------------------------------------------------------- */

/* The id of a page is given once in a session, so that no old one names rows of a later result. */
static void s_turn_page(pcl_held *held)
{
    held->page = pcl_held_id_next_page(held->page);
}

static void s_destroy_stream(pcl_held *held)
{
    pcl_stream_release(held->stream, held->connection);
    pcl_stream_destroy(&held->stream);
}

/* The result that the held has open, if any, ends here. */
static void s_end_stream(pcl_worker *worker, pcl_held *held)
{
    if (held->stream == NULL) {
        return;
    }
    bool usable = pcl_worker_cut(worker, held->connection, held->stream);
    pcl_stream_destroy(&held->stream);
    s_turn_page(held);
    if (!usable) {
        s_lose(held);
        return;
    }
    held->unasked = held->unasked || held->in_transaction; /* the rest may have met a deadlock */
    s_ask_now(held);
}

void pcl_worker_end_held(pcl_worker *worker, pcl_job *job)
{
    pcl_held *held = job->held;
    if (held->connection == NULL) {
        return;
    }
    pcl_worker_use(worker, held->connection);
    if (held->stream != NULL) {
        pcl_stream_drop(held->stream, held->connection);
        pcl_stream_destroy(&held->stream);
    }
    s_give_connection(worker, held, true);
}

/* --- Errors and replies -------------------------------------------------------- */

static void s_refuse(visit *self, pcl_err err, const char *message)
{
    pcl_job_refuse(self->job, (pcl_outcome){.err = err, .retry = pcl_err_retry((int)err)}, message);
}

static void s_answer_failure(visit *self, pcl_outcome outcome)
{
    pcl_attempt_explain(&self->attempt, outcome);
    pcl_answer_error(self->job, outcome, &self->attempt.error, PCL_NO_STATEMENT);
}

static void s_answer_end(visit *self)
{
    pcl_job *job = self->job;
    job->outcome = (pcl_outcome){.err = PCL_ERR_OK};
    if (self->gtid[0] != '\0') {
        pcl_causal_put_token(&self->answer, self->worker->options, pcl_bytes_text(self->gtid),
                             pcl_bytes_text(self->held->after), self->held->read_only);
    }
    pcl_answer_route(&self->answer, self->worker->options, job);
}

/* A connection that was lost while nobody used it: nothing of this request was sent. */
static bool s_is_there(visit *self)
{
    pcl_connection *connection = self->held->connection;
    if (pcl_connection_is_open(connection) && pcl_connection_is_alive(connection)) {
        return true;
    }
    s_lose(self->held);
    pcl_job_refuse(self->job,
                   (pcl_outcome){.err = PCL_ERR_LOST, .retry = PCL_RETRY_SAFE, .node_fault = true},
                   "the session's connection to its database was lost, and its transaction rolled "
                   "back");
    return false;
}

/* Putting an old result away may have taken the time that was left: then nothing is sent. */
static bool s_is_wanted(visit *self)
{
    pcl_ending ending = pcl_job_ending(self->job);
    if (ending == PCL_ENDING_NONE) {
        return true;
    }
    pcl_attempt_fail_unrun(&self->attempt, ending);
    pcl_answer_error(self->job, pcl_outcome_of_ending(ending, true), &self->attempt.error,
                     PCL_NO_STATEMENT);
    return false;
}

/* An error tells nothing of the transaction, so the server is asked. */
static void s_learn_state(visit *self)
{
    pcl_held *held = self->held;
    if (self->attempt.failed && !pcl_mysql_ask_state(pcl_connection_mysql(held->connection))) {
        s_lose(held);
        return;
    }
    s_take_state(held);
}

/* Asking clears ROW_COUNT(), which the next statement may want: after an error that seldom ends a
 * transaction the question waits for a statement that the answer matters to. */
static bool s_may_put_off(const visit *self, pcl_ending ending)
{
    const pcl_attempt *attempt = &self->attempt;
    return attempt->failed && ending == PCL_ENDING_NONE && attempt->own_err == PCL_ERR_OK &&
           pcl_class_may_not_end(attempt->sql_class) &&
           !pcl_errno_is_contention(attempt->error.number);
}

/* --- A statement ---------------------------------------------------------------- */

/* After the watchdog fired: the statement is over, and the session shall go on. */
static void s_recover(visit *self)
{
    pcl_attempt *attempt = &self->attempt;
    pcl_held *held = self->held;
    bool usable = true;
    if (attempt->more || attempt->rest) {
        usable = pcl_worker_cut(self->worker, held->connection, attempt->stream);
        attempt->more = false;
        attempt->rest = false;
    }
    if (!usable || !pcl_worker_absorb(self->worker, held->connection)) {
        s_lose(held);
    }
}

/* Before a text is sent: what it means must be what we read in it.  A plain text means the same
 * in any case, and may ask for what the statement before has left, which a SET would clear. */
static bool s_reassure(visit *self)
{
    pcl_connection *connection = self->held->connection;
    bool harmless = self->job->message.head.sql_class == PCL_SQL_STATE && self->phrase.plain;
    return !pcl_connection_is_doubted(connection) || harmless ||
           pcl_connection_reassure(connection, &self->attempt.error);
}

static void s_run_watched(visit *self)
{
    pcl_attempt *attempt = &self->attempt;
    attempt->stage = PCL_STAGE_PREPARE;
    if (!s_reassure(self) ||
        !pcl_connection_select(self->held->connection, self->request->db, &attempt->error)) {
        attempt->failed = true;
        return;
    }
    pcl_attempt_run(attempt);
    bool read = pcl_sql_is_read((pcl_sql_class)attempt->sql_class);
    if (attempt->stale && read) { /* prepared anew it may do; it has changed nothing */
        self->answer = pcl_answer_open(self->job);
        attempt->failed = false;
        attempt->stale = false;
        attempt->rows = false;
        attempt->error = (pcl_sql_error){.number = 0};
        pcl_attempt_run(attempt);
    }
}

/* What the statement may have changed of what we know of the connection. */
static void s_follow(visit *self)
{
    pcl_connection *connection = self->held->connection;
    uint8_t sql_class = self->job->message.head.sql_class;
    if (sql_class == PCL_SQL_CALL || self->phrase.verb == PCL_VERB_EXECUTE) {
        pcl_connection_doubt(connection);
    }
    bool moves = sql_class == PCL_SQL_DDL || sql_class == PCL_SQL_CALL ||
                 self->phrase.verb == PCL_VERB_USE || self->phrase.verb == PCL_VERB_EXECUTE;
    if (moves && !pcl_connection_follow_schema(connection)) {
        pcl_connection_forget_schema(connection);
    }
    bool writes = sql_class != PCL_SQL_READ && sql_class != PCL_SQL_STATE;
    if (!self->attempt.failed && writes) {
        pcl_worker_name_write(self->worker, connection, false, self->gtid);
    }
}

static void s_settle(visit *self, pcl_ending ending)
{
    pcl_held *held = self->held;
    pcl_attempt *attempt = &self->attempt;
    bool lost = attempt->failed && attempt->own_err == PCL_ERR_OK &&
                pcl_errno_is_loss(attempt->error.number);
    bool starved = attempt->rest && attempt->own_err == PCL_ERR_NO_MEMORY; /* it cannot be cut */
    if (lost || starved) {
        s_lose(held);
        return;
    }
    if (ending != PCL_ENDING_NONE) {
        s_recover(self);
    } else if (attempt->rest && !pcl_worker_cut(self->worker, held->connection, attempt->stream)) {
        s_lose(held);
    }
    if (held->lost || attempt->more) {
        return; /* a result that is open says nothing of the transaction yet */
    }
    if (s_may_put_off(self, ending)) {
        held->unasked = true;
        return;
    }
    s_learn_state(self);
    if (held->lost) {
        return;
    }
    if (ending == PCL_ENDING_NONE) {
        pcl_attempt_ask_rolled_back(attempt);
    }
    if (!attempt->failed && self->phrase.verb == PCL_VERB_ROLLBACK) {
        held->aborted = false;
    }
    bool bad = attempt->failed || ending != PCL_ENDING_NONE;
    bool ended = self->was_in_transaction && !held->in_transaction && bad;
    bool by_itself = pcl_class_may_not_end(attempt->sql_class) ||
                     pcl_errno_is_contention(attempt->error.number);
    held->aborted = held->aborted || (ended && by_itself);
}

/* The class that counts: of a statement that is STATE by what it reads only, its form's. */
static uint8_t s_effective_class(const visit *self)
{
    uint8_t sql_class = self->job->message.head.sql_class;
    bool by_form = sql_class == PCL_SQL_STATE && self->phrase.form != PCL_SQL_READ;
    return by_form ? (uint8_t)self->phrase.form : sql_class;
}

static void s_prepare_attempt(visit *self)
{
    const pcl_request *request = self->request;
    uint8_t sql_class = self->job->message.head.sql_class;
    pcl_sql_class form = sql_class == PCL_SQL_STATE ? self->phrase.form : (pcl_sql_class)sql_class;
    bool paged = form == PCL_SQL_READ || form == PCL_SQL_LOCKING_READ;
    self->answer = pcl_answer_open(self->job);
    self->attempt = (pcl_attempt){
        .connection = self->held->connection,
        .stream = self->worker->stream,
        .binding = &self->worker->binding,
        .job = self->job,
        .sql = request->sql,
        .sql_class = s_effective_class(self),
        .as_text = sql_class == PCL_SQL_TRANSACTION ||
                   (sql_class == PCL_SQL_STATE && !self->phrase.only_variables),
        .page = paged ? pcl_page_asked(request) : pcl_page_whole(request),
        .rows_max = self->job->message.head.rows,
        .answer = &self->answer,
    };
}

/* The rest of the result stays open in the session. */
static void s_hold_stream(visit *self)
{
    pcl_held *held = self->held;
    held->stream = self->worker->stream;
    self->worker->stream = pcl_stream_new();
    pcl_answer_id(&self->answer, "cursor", held->id, held->page);
}

static void s_answer_statement(visit *self, pcl_ending ending)
{
    pcl_job *job = self->job;
    pcl_attempt *attempt = &self->attempt;
    pcl_outcome outcome = pcl_attempt_judge(attempt, ending);
    if (outcome.err != PCL_ERR_OK) {
        if (self->held->aborted) {
            outcome.retry = PCL_RETRY_NEVER; /* the session takes it no more */
        }
        s_answer_failure(self, outcome);
        return;
    }
    if (self->held->monotonic && pcl_worker_shows_more(attempt, self->gtid)) {
        pcl_worker_name_seen(self->worker, job, self->gtid);
    }
    if (attempt->more) {
        s_hold_stream(self);
    }
    job->rows = pcl_short_count(attempt->count);
    pcl_attempt_put_counts(attempt, &self->answer);
    s_answer_end(self);
    if (job->reply.failed) {
        s_end_stream(self->worker, self->held);
        pcl_retry retry = pcl_sql_is_read((pcl_sql_class)attempt->sql_class) ? PCL_RETRY_NEVER
                                                                             : PCL_RETRY_UNSAFE;
        pcl_job_refuse(job, (pcl_outcome){.err = PCL_ERR_TOO_LARGE, .retry = retry},
                       PCL_TOO_LARGE_TEXT);
    }
}

static void s_query(visit *self)
{
    pcl_worker *worker = self->worker;
    pcl_job *job = self->job;
    pcl_held *held = self->held;
    uint64_t began_us = pcl_now_us();
    self->phrase = pcl_phrase_of(self->request->sql, job->message.head.sql_class);
    s_end_stream(worker, held);
    bool asks_back = self->phrase.form == PCL_SQL_READ && !self->phrase.only_variables;
    if (!asks_back) {
        s_ask_now(held);
    }
    if (held->aborted && self->phrase.verb != PCL_VERB_ROLLBACK) {
        s_refuse(self, PCL_ERR_ABORTED, ABORTED_TEXT);
        return;
    }
    if (!s_is_there(self) || !s_is_wanted(self) ||
        !pcl_worker_bind(worker, job, self->request->params, self->request->param_count,
                         PCL_NO_STATEMENT)) {
        return;
    }
    s_prepare_attempt(self);
    self->was_in_transaction = held->in_transaction;
    job->started = true;
    pcl_worker_watch(worker, held->connection, job);
    s_run_watched(self);
    if (!self->attempt.more && !self->attempt.rest && pcl_connection_is_open(held->connection)) {
        s_follow(self);
    }
    pcl_ending ending = pcl_worker_unwatch(worker, job);
    s_settle(self, ending);
    job->cache_hit = self->attempt.cache_hit;
    job->exec_us = pcl_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    s_answer_statement(self, ending);
}

/* --- Commit and rollback ---------------------------------------------------------- */

/* At the end of the session: nobody will ask its connection anything any more. */
static void s_name_seen(visit *self)
{
    if (self->held->monotonic && self->gtid[0] == '\0') {
        pcl_worker_name_seen_there(self->held->connection, self->gtid);
    }
}

static void s_commit(visit *self)
{
    pcl_worker *worker = self->worker;
    pcl_held *held = self->held;
    pcl_attempt *attempt = &self->attempt;
    s_end_stream(worker, held);
    s_ask_now(held);
    if (held->aborted) {
        s_refuse(self, PCL_ERR_ABORTED, ABORTED_TEXT);
        return;
    }
    if (!s_is_there(self) || !s_is_wanted(self)) {
        return;
    }
    uint64_t began_us = pcl_now_us();
    MYSQL *mysql = pcl_connection_mysql(held->connection);
    self->job->started = true;
    pcl_worker_watch(worker, held->connection, self->job);
    attempt->failed = mysql_query(mysql, "COMMIT") != 0;
    if (attempt->failed) {
        pcl_sql_error_of(&attempt->error, mysql);
    } else {
        pcl_worker_name_write(worker, held->connection, false, self->gtid);
        s_name_seen(self);
    }
    pcl_ending ending = pcl_worker_unwatch(worker, self->job);
    self->job->exec_us = pcl_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    self->job->ends_held = true;
    if (ending != PCL_ENDING_NONE ||
        (attempt->failed && pcl_errno_is_loss(attempt->error.number))) {
        s_close_connection(worker, held);
    } else {
        s_give_connection(worker, held, true);
    }
    if (attempt->failed) {
        pcl_outcome outcome = pcl_outcome_of_commit(attempt->error.number, ending);
        outcome.retry = outcome.retry == PCL_RETRY_SAFE ? PCL_RETRY_NEVER : outcome.retry;
        s_answer_failure(self, outcome);
    } else if (ending != PCL_ENDING_NONE) {
        s_answer_failure(self, pcl_outcome_of_ending(ending, false));
    } else {
        s_answer_end(self);
    }
}

/* Whatever happens to it, nothing of the transaction stands: the connection is reset or closed. */
static void s_rollback(visit *self)
{
    pcl_worker *worker = self->worker;
    pcl_held *held = self->held;
    s_end_stream(worker, held);
    uint32_t warnings = 0;
    if (pcl_connection_is_open(held->connection)) {
        MYSQL *mysql = pcl_connection_mysql(held->connection);
        self->job->started = true;
        if (mysql_query(mysql, "ROLLBACK") == 0) {
            warnings = mysql_warning_count(mysql);
            s_name_seen(self);
        }
    }
    s_give_connection(worker, held, true);
    self->job->ends_held = true;
    if (warnings > 0) { /* tables without transactions keep what was written */
        pcl_answer_uint(&self->answer, "warnings", warnings);
    }
    s_answer_end(self);
}

/* --- Cursors ------------------------------------------------------------------------ */

static bool s_is_next_page(visit *self)
{
    const pcl_held *held = self->held;
    if (held->stream != NULL && pcl_held_id_page(self->request->cursor) == held->page) {
        return true;
    }
    s_refuse(self, PCL_ERR_GONE, GONE_PAGE_TEXT);
    return false;
}

/* A cursor of its own is over with its last page, a session goes on. */
static void s_end_cursor(visit *self)
{
    pcl_held *held = self->held;
    if (!held->session) {
        s_give_connection(self->worker, held, false);
        self->job->ends_held = true;
    } else if (!held->lost) {
        s_learn_state(self);
    }
}

/* The page could not be had: the result ends here. */
static void s_break_cursor(visit *self, bool rest, pcl_ending ending)
{
    pcl_held *held = self->held;
    pcl_attempt *attempt = &self->attempt;
    bool lost = attempt->failed && attempt->own_err == PCL_ERR_OK &&
                pcl_errno_is_loss(attempt->error.number);
    /* A cursor's own connection is worth keeping where its statement can be stopped for certain. */
    bool kept = held->session ||
                (rest && ending == PCL_ENDING_NONE && attempt->own_err == PCL_ERR_TOO_LARGE);
    s_turn_page(held);
    if (!kept || lost) {
        pcl_stream_drop(held->stream, held->connection);
        pcl_stream_destroy(&held->stream);
        held->lost = held->session;
    } else {
        bool usable = true;
        if (rest) {
            usable = pcl_worker_cut(self->worker, held->connection, held->stream);
            pcl_stream_destroy(&held->stream);
        } else {
            s_destroy_stream(held);
        }
        usable = usable &&
                 (ending == PCL_ENDING_NONE || pcl_worker_absorb(self->worker, held->connection));
        if (!usable && held->session) {
            s_lose(held);
        } else if (!usable) {
            pcl_connection_close(held->connection);
        }
    }
    held->unasked = true; /* a page that fails may have ended the transaction */
    if (!held->session || !held->lost) {
        s_end_cursor(self);
    }
}

static void s_take_page_error(visit *self, pcl_stream_status status)
{
    pcl_attempt *attempt = &self->attempt;
    pcl_held *held = self->held;
    attempt->stage = PCL_STAGE_EXECUTE;
    attempt->sql_class = PCL_SQL_READ;
    if (status == PCL_STREAM_NO_MEMORY) {
        pcl_attempt_fail(attempt, PCL_ERR_NO_MEMORY, "");
    } else if (status == PCL_STREAM_OVER_LIMIT) {
        pcl_attempt_fail_by_limit(attempt, held->stream);
    } else if (status == PCL_STREAM_TOO_LARGE || self->job->reply.failed) {
        pcl_attempt_fail(attempt, PCL_ERR_TOO_LARGE, PCL_TOO_LARGE_TEXT);
    } else if (status == PCL_STREAM_FAILED) {
        MYSQL *mysql = pcl_connection_mysql(held->connection);
        MYSQL_STMT *stmt = pcl_stream_statement(held->stream);
        attempt->failed = true;
        if (stmt != NULL) {
            pcl_sql_error_of_stmt(&attempt->error, stmt, mysql);
        } else {
            pcl_sql_error_of(&attempt->error, mysql);
        }
    }
}

static void s_finish_page(visit *self, pcl_stream_status status)
{
    pcl_held *held = self->held;
    s_turn_page(held);
    if (status == PCL_STREAM_MORE) {
        pcl_answer_id(&self->answer, "cursor", held->id, held->page);
    } else {
        uint32_t warnings = mysql_warning_count(pcl_connection_mysql(held->connection));
        if (warnings > 0) {
            pcl_answer_uint(&self->answer, "warnings", warnings);
        }
        s_destroy_stream(held);
        s_end_cursor(self);
    }
    s_answer_end(self);
}

static void s_fetch(visit *self)
{
    pcl_worker *worker = self->worker;
    pcl_held *held = self->held;
    if (!s_is_next_page(self)) {
        return;
    }
    uint64_t began_us = pcl_now_us();
    pcl_page page = pcl_page_asked(self->request);
    self->job->started = true;
    pcl_worker_watch(worker, held->connection, self->job);
    pcl_stream_limit(held->stream, self->job->message.head.rows);
    uint64_t rows_before = pcl_stream_rows(held->stream);
    pcl_stream_status status = pcl_answer_page(&self->answer, held->stream, &page);
    self->job->rows = pcl_short_count(pcl_stream_rows(held->stream) - rows_before);
    pcl_ending ending = pcl_worker_unwatch(worker, self->job);
    self->job->exec_us = pcl_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    s_take_page_error(self, status);
    if (self->attempt.failed || ending != PCL_ENDING_NONE) {
        bool rest = status != PCL_STREAM_DONE && status != PCL_STREAM_FAILED;
        pcl_outcome outcome = pcl_attempt_judge(&self->attempt, ending);
        outcome.retry = PCL_RETRY_NEVER; /* it left no trace, and the cursor is gone */
        self->job->rows = 0;
        s_break_cursor(self, rest, ending);
        s_answer_failure(self, outcome);
        return;
    }
    s_finish_page(self, status);
}

static void s_close(visit *self)
{
    if (!s_is_next_page(self)) {
        return;
    }
    s_end_stream(self->worker, self->held);
    if (!self->held->lost || !self->held->session) {
        s_end_cursor(self);
    }
    s_answer_end(self);
}

void pcl_worker_run_held(pcl_worker *worker, pcl_job *job, const pcl_request *request)
{
    visit self = {.worker = worker, .job = job, .request = request, .held = job->held};
    pcl_held *held = job->held;
    if (held->connection == NULL) {
        s_refuse(&self, PCL_ERR_GONE, "");
        return;
    }
    pcl_worker_use(worker, held->connection);
    self.answer = pcl_answer_open(job);
    bool session = held->session;
    if (request->op == PCL_OP_FETCH) {
        s_fetch(&self);
    } else if (request->op == PCL_OP_CLOSE) {
        s_close(&self);
    } else if (session && request->op == PCL_OP_QUERY) {
        s_query(&self);
    } else if (session && request->op == PCL_OP_COMMIT) {
        s_commit(&self);
    } else if (session && request->op == PCL_OP_ROLLBACK) {
        s_rollback(&self);
    } else {
        s_refuse(&self, PCL_ERR_UNSUPPORTED, "a cursor can be fetched from and closed");
    }
    pcl_worker_use(worker, NULL);
}

/* --- Begin --------------------------------------------------------------------------- */

/* Opens a connection that has nothing of anybody, in its schema, with a transaction.  What fails
 * has run nothing. */
static pcl_ending s_open_session(visit *self, pcl_connection *connection, bool read_only)
{
    pcl_attempt *attempt = &self->attempt;
    attempt->connection = connection;
    attempt->stage = PCL_STAGE_CONNECT;
    attempt->sql_class = PCL_SQL_READ;
    attempt->failed = !pcl_connection_open_clean(connection, &attempt->error) ||
                      !pcl_connection_use(connection, self->request->db, &attempt->error);
    if (attempt->failed) {
        attempt->stage = pcl_connection_is_open(connection) ? PCL_STAGE_PREPARE : PCL_STAGE_CONNECT;
        return PCL_ENDING_NONE;
    }
    pcl_ending ending = pcl_job_ending(self->job);
    if (ending != PCL_ENDING_NONE) {
        pcl_attempt_fail_unrun(attempt, ending);
        return PCL_ENDING_NONE;
    }
    MYSQL *mysql = pcl_connection_mysql(connection);
    attempt->stage = PCL_STAGE_PREPARE;
    self->job->started = true;
    pcl_worker_watch(self->worker, connection, self->job);
    const char *start = read_only ? "START TRANSACTION READ ONLY" : "START TRANSACTION";
    if (pcl_worker_reach(self->worker, self->job, attempt) && mysql_query(mysql, start) != 0) {
        attempt->failed = true;
        pcl_sql_error_of(&attempt->error, mysql);
    }
    return pcl_worker_unwatch(self->worker, self->job);
}

static void s_refuse_begin(visit *self, pcl_connection **connection_p, pcl_ending ending)
{
    pcl_attempt *attempt = &self->attempt;
    pcl_worker_use(self->worker, NULL);
    pcl_connection_destroy(connection_p);
    pcl_outcome outcome = attempt->failed ? pcl_attempt_judge(attempt, ending)
                                          : pcl_outcome_of_ending(ending, true);
    pcl_attempt_explain(attempt, outcome);
    if (outcome.err == PCL_ERR_NO_NODE && attempt->stage == PCL_STAGE_CONNECT) {
        pcl_job_hide_connect_error(self->job, &attempt->error);
    }
    pcl_answer_error(self->job, outcome, &attempt->error, PCL_NO_STATEMENT);
}

void pcl_worker_run_begin(pcl_worker *worker, pcl_job *job, const pcl_request *request)
{
    visit self = {.worker = worker, .job = job, .request = request};
    bool read_only = request->read_only;
    uint64_t began_us = pcl_now_us();
    pcl_account account = read_only ? PCL_ACCOUNT_READ : PCL_ACCOUNT_WRITE;
    pcl_connection *connection = pcl_spares_take(worker->spares, job->accounts, account, true);
    pcl_worker_use(worker, connection);
    pcl_ending ending = s_open_session(&self, connection, read_only);
    uint64_t spent_us = pcl_time_since_us(began_us, pcl_now_us());
    job->exec_us = pcl_short_us(pcl_time_left_us(spent_us, job->wait_us));
    if (self.attempt.failed || ending != PCL_ENDING_NONE) {
        s_refuse_begin(&self, &connection, ending);
        return;
    }
    pcl_worker_use(worker, NULL);
    pcl_held *held = pcl_held_new(worker->options->boot_id, true, read_only,
                                  job->message.head.principal);
    if (held == NULL) {
        pcl_connection_destroy(&connection);
        s_refuse(&self, PCL_ERR_NO_MEMORY, "");
        return;
    }
    pcl_connection_soil(connection);
    held->accounts = job->accounts;
    held->connection = connection;
    held->in_transaction = true;
    held->monotonic = request->monotonic;
    pcl_bytes after = job->message.head.after;
    assert(after.size < sizeof held->after); /* the head's own limit */
    if (after.size > 0) {
        memcpy(held->after, after.data, after.size);
    }
    job->opened = held;
    self.answer = pcl_answer_open(job);
    pcl_answer_id(&self.answer, "session", held->id, 0);
    s_answer_end(&self);
}
