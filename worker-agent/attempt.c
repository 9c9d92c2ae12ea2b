#include "worker-agent/attempt.h"

#include "worker-agent/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void pcl_attempt_fail(pcl_attempt *self, pcl_err err, const char *message)
{
    self->failed = true;
    self->own_err = err;
    self->error = (pcl_sql_error){.number = 0};
    (void)snprintf(self->error.message, sizeof self->error.message, "%s", message);
}

void pcl_attempt_fail_by_limit(pcl_attempt *self, const pcl_stream *stream)
{
    char message[96];
    (void)snprintf(message, sizeof message,
                   "rows: more than %" PRIu32 ", which is the role's limit",
                   pcl_stream_limit_of(stream));
    pcl_attempt_fail(self, PCL_ERR_TOO_LARGE, message);
}

void pcl_stream_release(pcl_stream *stream, pcl_connection *connection)
{
    pcl_prepared prepared;
    pcl_stream_finish(stream);
    if (pcl_stream_take(stream, &prepared)) {
        pcl_connection_release(connection, &prepared);
    }
}

void pcl_stream_drop(pcl_stream *stream, pcl_connection *connection)
{
    pcl_prepared prepared;
    pcl_connection_close(connection); /* first, or the library would read the rest */
    pcl_stream_abandon(stream);
    if (pcl_stream_take(stream, &prepared) && !prepared.cached) {
        (void)mysql_stmt_close(prepared.stmt);
    }
}

void pcl_attempt_take_error(pcl_attempt *self, MYSQL_STMT *stmt)
{
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    self->failed = true;
    if (stmt != NULL) {
        pcl_sql_error_of_stmt(&self->error, stmt, mysql);
    } else {
        pcl_sql_error_of(&self->error, mysql);
    }
}

void pcl_attempt_take_status(pcl_attempt *self, pcl_stream_status status, MYSQL_STMT *stmt)
{
    switch (status) {
    case PCL_STREAM_DONE:
        return;
    case PCL_STREAM_MORE:
        self->more = true;
        return;
    case PCL_STREAM_FAILED:
        pcl_attempt_take_error(self, stmt);
        return;
    case PCL_STREAM_STALE:
        self->failed = true;
        self->stale = true;
        self->error = (pcl_sql_error){.number = PCL_CR_NEW_STMT_METADATA,
                                      .sqlstate = "HY000",
                                      .message = "the table changed under the statement"};
        return;
    case PCL_STREAM_TOO_LARGE:
        self->rest = true;
        pcl_attempt_fail(self, PCL_ERR_TOO_LARGE, PCL_TOO_LARGE_TEXT);
        return;
    case PCL_STREAM_OVER_LIMIT:
        self->rest = true;
        pcl_attempt_fail_by_limit(self, self->stream);
        return;
    case PCL_STREAM_NO_MEMORY:
        self->rest = true;
        pcl_attempt_fail(self, PCL_ERR_NO_MEMORY, "");
        return;
    case PCL_STREAM_WAITS:
        assert(false); /* a page that waits has no status yet */
        return;
    }
}

static void s_put_page(pcl_attempt *self, MYSQL_STMT *stmt)
{
    self->rows = true;
    pcl_stream_limit(self->stream, self->rows_max);
    pcl_attempt_take_status(self, pcl_answer_page(self->answer, self->stream, &self->page), stmt);
    self->count = pcl_stream_rows(self->stream);
    if (!self->more && !self->rest) {
        pcl_stream_finish(self->stream);
    }
}

/* Reads all results of an executed statement; the first that has columns is
 * the answer's (a CALL may have several). */
static void s_read_prepared(pcl_attempt *self, MYSQL_STMT *stmt, bool *out_renamed)
{
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    int next = 0;
    while (next == 0 && !self->failed && !self->more) {
        if (mysql_stmt_field_count(stmt) == 0) {
            if (!self->rows) {
                self->count = mysql_stmt_affected_rows(stmt);
                self->insert_id = mysql_stmt_insert_id(stmt);
            }
        } else if (!self->rows) {
            pcl_stream_status status = pcl_stream_begin_prepared(self->stream, stmt, mysql,
                                                                 out_renamed);
            if (status == PCL_STREAM_DONE) {
                s_put_page(self, stmt);
            } else {
                pcl_stream_finish(self->stream);
                pcl_attempt_take_status(self, status, stmt);
            }
        }
        if (!self->failed && !self->more) {
            self->warnings = mysql_warning_count(mysql);
            (void)mysql_stmt_free_result(stmt);
            next = mysql_stmt_next_result(stmt);
        }
    }
    if (next > 0) {
        pcl_attempt_take_error(self, stmt);
    }
}

static void s_read_text(pcl_attempt *self, MYSQL *mysql)
{
    int next = 0;
    while (next == 0 && !self->failed && !self->more) {
        if (mysql_field_count(mysql) == 0) {
            if (!self->rows) {
                self->count = mysql_affected_rows(mysql);
                self->insert_id = mysql_insert_id(mysql);
            }
        } else if (!self->rows) {
            pcl_stream_status status = pcl_stream_begin_text(self->stream, mysql);
            if (status == PCL_STREAM_DONE) {
                s_put_page(self, NULL);
            } else {
                pcl_attempt_take_status(self, status, NULL);
            }
        } else {
            mysql_free_result(mysql_use_result(mysql));
        }
        if (!self->failed && !self->more) {
            self->warnings = mysql_warning_count(mysql);
            next = mysql_next_result(mysql);
        }
    }
    if (next > 0) {
        pcl_attempt_take_error(self, NULL);
    }
}

/* The last look before the server gets it.  A KILL that came while it was prepared was spent on
 * that, and the next one comes only when a short statement has already done its work. */
static bool s_is_wanted(pcl_attempt *self)
{
    pcl_ending ending = pcl_job_ending(self->job);
    if (ending != PCL_ENDING_NONE) {
        pcl_attempt_fail_unrun(self, ending);
    }
    return ending == PCL_ENDING_NONE;
}

static void s_run_text(pcl_attempt *self)
{
    if (!s_is_wanted(self)) {
        return;
    }
    MYSQL *mysql = pcl_connection_mysql(self->connection);
    self->stage = PCL_STAGE_EXECUTE;
    if (mysql_real_query(mysql, (const char *)self->sql.data, (unsigned long)self->sql.size) != 0) {
        pcl_attempt_take_error(self, NULL);
        return;
    }
    s_read_text(self, mysql);
}

/* Executes and reads.  *out_again: it must be prepared anew the next time. */
static void s_execute(pcl_attempt *self, const pcl_prepared *prepared, bool *out_again)
{
    MYSQL_STMT *stmt = prepared->stmt;
    if (!pcl_binding_apply(self->binding, stmt)) {
        *out_again = true;
        pcl_attempt_take_error(self, stmt);
        return;
    }
    if (!s_is_wanted(self)) {
        return;
    }
    self->stage = PCL_STAGE_EXECUTE;
    if (mysql_stmt_execute(stmt) != 0) {
        pcl_attempt_take_error(self, stmt);
    } else {
        s_read_prepared(self, stmt, out_again);
    }
    if (self->failed && self->error.number == PCL_CR_NEW_STMT_METADATA) {
        self->stale = true;
        *out_again = true;
    }
}

/* MySQL reads a text into the character set that its parameter had when the statement was prepared,
 * before it looks whether the table is still the same.  Nothing of the statement has run. */
static bool s_is_outdated(const pcl_attempt *self, const pcl_prepared *prepared)
{
    return prepared->hit && self->failed && self->error.number == PCL_ER_NO_CONVERSION;
}

/* *out_outdated: nothing ran, and prepared anew it may do. */
static void s_run_prepared(pcl_attempt *self, pcl_prepared *prepared, bool *out_outdated)
{
    uint64_t placeholders = mysql_stmt_param_count(prepared->stmt);
    if (placeholders != self->binding->count) {
        char message[128];
        (void)snprintf(message, sizeof message,
                       "params: the statement has %" PRIu64 " placeholders, %" PRIu32 " were given",
                       placeholders, self->binding->count);
        pcl_attempt_fail(self, PCL_ERR_MALFORMED, message);
        pcl_connection_release(self->connection, prepared);
        return;
    }
    bool again = false;
    s_execute(self, prepared, &again);
    *out_outdated = s_is_outdated(self, prepared);
    if (again || *out_outdated) {
        pcl_connection_uncache(self->connection, self->sql, pcl_binding_types(self->binding),
                               prepared);
    }
    if (self->more || self->rest) {
        pcl_stream_keep(self->stream, prepared);
    } else {
        pcl_connection_release(self->connection, prepared);
    }
}

/* A trigger or a function may have set the character set of results; what a text is read by the
 * servers restore when a program ends. */
static void s_notice_programs(const pcl_attempt *self)
{
    if (self->sql_class == PCL_SQL_READ || !pcl_connection_is_open(self->connection)) {
        return;
    }
    if (self->failed || self->rows) {
        pcl_connection_doubt(self->connection);
    } else {
        pcl_connection_notice(self->connection);
    }
}

/* DDL without parameters needs no types and is not worth a cache entry. */
static void s_run(pcl_attempt *self, bool *out_outdated)
{
    bool ddl = self->sql_class == PCL_SQL_DDL;
    bool bare = self->binding->count == 0;
    pcl_prepared prepared;
    self->stage = PCL_STAGE_PREPARE;
    if ((ddl || self->as_text) && bare) {
        s_run_text(self);
    } else if (pcl_connection_prepare(self->connection, self->sql, pcl_binding_types(self->binding),
                                      !ddl, &prepared, &self->error)) {
        self->cache_hit = prepared.hit;
        s_run_prepared(self, &prepared, out_outdated);
    } else if (self->error.number == PCL_ER_UNSUPPORTED_PS && bare) {
        s_run_text(self);
    } else {
        self->failed = true;
    }
}

void pcl_attempt_run(pcl_attempt *self)
{
    bool outdated = false;
    pcl_connection_soil(self->connection);
    s_run(self, &outdated);
    if (outdated) {
        self->failed = false;
        self->error = (pcl_sql_error){.number = 0};
        s_run(self, &outdated); /* it is in the cache no more: no third time */
    }
    s_notice_programs(self);
}

void pcl_attempt_ask_rolled_back(pcl_attempt *self)
{
    if (self->failed && self->own_err == PCL_ERR_OK && !self->rest &&
        pcl_may_be_rolled_back(self->stage, self->sql_class, self->error.number)) {
        self->rolled_back = pcl_connection_rolled_back(self->connection, self->error.number);
    }
}

void pcl_attempt_put_counts(const pcl_attempt *self, pcl_answer *answer)
{
    if (!self->rows) {
        pcl_answer_uint(answer, "affected", self->count);
        if (self->insert_id != 0) {
            pcl_answer_uint(answer, "insert_id", self->insert_id);
        }
    }
    if (!self->rows || (!self->more && self->warnings > 0)) {
        pcl_answer_uint(answer, "warnings", self->warnings);
    }
}

pcl_outcome pcl_attempt_judge(const pcl_attempt *self, pcl_ending ending)
{
    uint8_t sql_class = self->sql_class;
    if (!self->failed) {
        return pcl_outcome_of_success(sql_class, ending);
    }
    if (self->own_err == PCL_ERR_OK) {
        return pcl_outcome_of_error(self->stage, sql_class, self->error.number, ending,
                                    self->rolled_back);
    }
    /* Ours.  What was not sent can be sent again; what ran may stand. */
    bool read = pcl_sql_is_read((pcl_sql_class)sql_class);
    bool ran = self->stage == PCL_STAGE_EXECUTE;
    pcl_retry retry = pcl_err_retry((int)self->own_err);
    if (!ran && (self->own_err == PCL_ERR_DEADLINE || self->own_err == PCL_ERR_CANCELLED)) {
        retry = PCL_RETRY_SAFE;
    } else if (ran && self->own_err != PCL_ERR_SQL && !read) {
        retry = PCL_RETRY_UNSAFE;
    }
    return (pcl_outcome){.err = self->own_err, .retry = retry};
}
