#include "worker-agent/execute.h"

#include "common/clock.h"
#include "net/time.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "wire/utf8.h"
#include "worker-agent/binding.h"
#include "worker-agent/result.h"
#include "worker-agent/route.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER_MS 50u
#define TOO_LARGE_TEXT "the result is over 17 MiB; add a LIMIT, or select fewer columns"
#define LATE_TEXT      "the deadline passed before the statement was sent"

struct pcl_worker {
    const pcl_agent_options *options; /* borrowed */
    pcl_watchdog *watchdog;           /* borrowed */
    uint32_t slot;
    pcl_connection *reader;
    pcl_connection *writer;
    pcl_binding binding;
    pcl_result_reader result;
};

/* One try at one statement. */
typedef struct attempt {
    pcl_job *job;
    const pcl_request *request;
    pcl_connection *connection;
    pcl_stage stage;
    pcl_sql_error error; /* when it failed: MySQL's, or number 0 and a message of ours */
    bool failed;
    pcl_err own_err;   /* when it failed and MySQL did not speak */
    bool rolled_back;  /* when it failed: nothing of it is left, said the server */
    bool rows;         /* the reply has columns and rows */
    uint64_t affected; /* otherwise these */
    uint64_t insert_id;
    uint32_t warnings;
    char token[PCL_TOKEN_SIZE_MAX + 1];
} attempt;

pcl_worker *pcl_worker_new(const pcl_agent_options *options, pcl_watchdog *watchdog, uint32_t slot)
{
    pcl_worker *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = options;
    self->watchdog = watchdog;
    self->slot = slot;
    self->reader = pcl_connection_new(options, PCL_ACCOUNT_READ, options->statements_max, 0);
    self->writer = pcl_connection_new(options, PCL_ACCOUNT_WRITE, options->statements_max, 0);
    return self;
}

void pcl_worker_destroy(pcl_worker **self_p)
{
    pcl_worker *self = *self_p;
    if (self != NULL) {
        pcl_connection_destroy(&self->reader);
        pcl_connection_destroy(&self->writer);
        pcl_binding_release(&self->binding);
        pcl_result_release(&self->result);
        free(self);
        *self_p = NULL;
    }
}

void pcl_worker_interrupt(pcl_worker *self)
{
    pcl_connection_interrupt(self->reader);
    pcl_connection_interrupt(self->writer);
}

uint32_t pcl_worker_connections(pcl_worker *self)
{
    return (pcl_connection_has_socket(self->reader) ? 1u : 0u) +
           (pcl_connection_has_socket(self->writer) ? 1u : 0u);
}

/* --- Replies --------------------------------------------------------------- */

/* MySQL cuts its messages by octets, and may cut a character. */
static pcl_bytes s_whole_characters(const char *text)
{
    pcl_bytes rest = pcl_bytes_text(text);
    size_t size = 0;
    size_t width = 0;
    while ((width = pcl_utf8_width(pcl_bytes_of(rest.data + size, rest.size - size))) > 0) {
        size += width;
    }
    return pcl_bytes_of(text, size);
}

static void s_put_error(pcl_job *job, pcl_outcome outcome, const pcl_sql_error *error)
{
    job->outcome = outcome;
    pcl_buffer_clear(&job->reply);
    pcl_reply_error reply = {
        .err = outcome.err,
        .retry = outcome.retry,
        .message = s_whole_characters(error->message),
        .mysql_errno = error->number,
        .sqlstate = error->number != 0 ? error->sqlstate : NULL,
        .hop = "agent",
        .retry_after_ms = outcome.err == PCL_ERR_OVERLOADED ? RETRY_AFTER_MS : 0,
    };
    pcl_reply_error_encode(&job->reply, job->message.head.id, &reply);
    assert(!job->reply.failed);
}

void pcl_job_refuse(pcl_job *job, pcl_outcome outcome, const char *message)
{
    pcl_sql_error error = {.number = 0};
    (void)snprintf(error.message, sizeof error.message, "%s", message);
    s_put_error(job, outcome, &error);
}

static uint32_t s_short_us(uint64_t us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* Whether a write that returns rows has a token is known after its rows; the
 * map's count stands in the reply's first octet. */
static void s_one_pair_more(pcl_buffer *reply)
{
    if (reply->size > 0) {
        assert((reply->data[0] & 0xf0) == 0x80 && reply->data[0] < 0x8f); /* fixmap */
        reply->data[0]++;
    }
}

/* The pairs after the rows, or all pairs of a write. */
static void s_put_end(const pcl_worker *self, attempt *try)
{
    pcl_job *job = try->job;
    pcl_buffer *reply = &job->reply;
    if (!try->rows) {
        uint32_t pairs = 3u + (try->insert_id != 0 ? 1 : 0) + (try->token[0] != '\0' ? 1 : 0);
        pcl_reply_open(reply, job->message.head.id, true, pairs);
        pcl_mp_put_text(reply, "affected");
        pcl_mp_put_uint(reply, try->affected);
        if (try->insert_id != 0) {
            pcl_mp_put_text(reply, "insert_id");
            pcl_mp_put_uint(reply, try->insert_id);
        }
        pcl_mp_put_text(reply, "warnings");
        pcl_mp_put_uint(reply, try->warnings);
    } else if (try->token[0] != '\0') {
        s_one_pair_more(reply);
    }
    if (try->token[0] != '\0') {
        pcl_mp_put_text(reply, "token");
        pcl_mp_put_text(reply, try->token);
    }
    pcl_route route = {
        .node = self->options->node,
        .role = job->role,
        .head = &job->message.head,
        .explanation = pcl_frame_bytes(&job->message.tail),
        .queue_us = job->queue_us,
        .exec_us = job->exec_us,
    };
    pcl_route_put(reply, &route);
}

/* --- One statement --------------------------------------------------------- */

static void s_fail(attempt *try, pcl_err err, const char *message)
{
    try->failed = true;
    try->own_err = err;
    try->error = (pcl_sql_error){.number = 0};
    (void)snprintf(try->error.message, sizeof try->error.message, "%s", message);
}

static void s_take_result_status(attempt *try, pcl_result_status status)
{
    switch (status) {
    case PCL_RESULT_DONE:
        return;
    case PCL_RESULT_FAILED:
        try->failed = true; /* the caller has the error */
        return;
    case PCL_RESULT_TOO_LARGE:
        s_fail(try, PCL_ERR_TOO_LARGE, TOO_LARGE_TEXT);
        return;
    case PCL_RESULT_STALE:
        try->failed = true;
        try->error = (pcl_sql_error){.number = PCL_CR_NEW_STMT_METADATA,
                                     .sqlstate = "HY000",
                                     .message = "the table changed under the statement"};
        return;
    case PCL_RESULT_NO_MEMORY:
        s_fail(try, PCL_ERR_NO_MEMORY, "");
        return;
    }
}

static void s_open_rows(attempt *try)
{
    try->rows = true;
    /* columns, rows, route */
    pcl_reply_open(&try->job->reply, try->job->message.head.id, true, 3u);
}

/* Reads all results of an executed statement; the first that has columns is
 * the reply's (a CALL may have several). */
static void s_read_prepared(pcl_worker *self, attempt *try, MYSQL_STMT *stmt)
{
    MYSQL *mysql = pcl_connection_mysql(try->connection);
    int next = 0;
    while (next == 0 && !try->failed) {
        if (mysql_stmt_field_count(stmt) == 0) {
            try->affected = mysql_stmt_affected_rows(stmt);
            try->insert_id = mysql_stmt_insert_id(stmt);
        } else if (!try->rows) {
            s_open_rows(try);
            s_take_result_status(
                try, pcl_result_put_prepared(&self->result, stmt, mysql, &try->job->reply));
        }
        if (!try->failed) {
            (void)mysql_stmt_free_result(stmt);
            next = mysql_stmt_next_result(stmt);
        }
    }
    if (next > 0) {
        try->failed = true;
    }
    if (try->failed && try->own_err == PCL_ERR_OK && try->error.number == 0) {
        pcl_sql_error_of_stmt(&try->error, stmt, mysql);
    }
}

static void s_read_text(pcl_worker *self, attempt *try, MYSQL *mysql)
{
    int next = 0;
    while (next == 0 && !try->failed) {
        if (mysql_field_count(mysql) == 0) {
            try->affected = mysql_affected_rows(mysql);
            try->insert_id = mysql_insert_id(mysql);
        } else if (!try->rows) {
            s_open_rows(try);
            s_take_result_status(try, pcl_result_put_text(&self->result, mysql, &try->job->reply));
        } else {
            mysql_free_result(mysql_use_result(mysql));
        }
        if (!try->failed) {
            next = mysql_next_result(mysql);
        }
    }
    if (next > 0) {
        try->failed = true;
    }
    if (try->failed && try->own_err == PCL_ERR_OK) {
        pcl_sql_error_of(&try->error, mysql);
    }
}

static void s_run_text(pcl_worker *self, attempt *try)
{
    MYSQL *mysql = pcl_connection_mysql(try->connection);
    pcl_bytes sql = try->request->sql;
    try->stage = PCL_STAGE_EXECUTE;
    if (mysql_real_query(mysql, (const char *)sql.data, (unsigned long)sql.size) != 0) {
        try->failed = true;
        pcl_sql_error_of(&try->error, mysql);
        return;
    }
    s_read_text(self, try, mysql);
}

static void s_run_prepared(pcl_worker *self, attempt *try, pcl_prepared *prepared)
{
    MYSQL_STMT *stmt = prepared->stmt;
    uint64_t placeholders = mysql_stmt_param_count(stmt);
    if (placeholders != self->binding.count) {
        char message[128];
        (void)snprintf(message, sizeof message,
                       "params: the statement has %" PRIu64 " placeholders, %" PRIu32 " were given",
                       placeholders, self->binding.count);
        s_fail(try, PCL_ERR_MALFORMED, message);
        pcl_connection_release(try->connection, prepared);
        return;
    }
    bool sent = false;
    bool ran = false;
    if (pcl_binding_apply(&self->binding, stmt)) {
        sent = true;
        try->stage = PCL_STAGE_EXECUTE;
        ran = mysql_stmt_execute(stmt) == 0;
    }
    self->result.renamed = false;
    if (ran) {
        s_read_prepared(self, try, stmt);
    } else {
        try->failed = true;
        pcl_sql_error_of_stmt(&try->error, stmt, pcl_connection_mysql(try->connection));
    }
    bool stale = try->failed && try->error.number == PCL_CR_NEW_STMT_METADATA;
    if (!sent || stale || (!try->failed && self->result.renamed)) {
        pcl_connection_discard(try->connection, try->request->sql,
                               pcl_binding_types(&self->binding), prepared);
    } else if (try->failed && try->own_err != PCL_ERR_OK) {
        /* Rows are left that nobody wants: the session goes, not the rows. */
        pcl_connection_close(try->connection);
        if (!prepared->cached) {
            (void)mysql_stmt_close(prepared->stmt);
        }
    } else {
        pcl_connection_release(try->connection, prepared);
    }
}

/* DDL without parameters needs no types and is not worth a cache entry. */
static void s_run_statement(pcl_worker *self, attempt *try)
{
    bool ddl = try->job->message.head.sql_class == PCL_SQL_DDL;
    if (ddl && self->binding.count == 0) {
        s_run_text(self, try);
        return;
    }
    pcl_prepared prepared;
    try->stage = PCL_STAGE_PREPARE;
    if (pcl_connection_prepare(try->connection, try->request->sql,
                               pcl_binding_types(&self->binding), !ddl, &prepared, &try->error)) {
        try->job->cache_hit = prepared.hit;
        s_run_prepared(self, try, &prepared);
    } else if (try->error.number == PCL_ER_UNSUPPORTED_PS && self->binding.count == 0) {
        s_run_text(self, try);
    } else {
        try->failed = true;
    }
}

/* What the statement left in its session must not meet the next one. */
static void s_settle(attempt *try)
{
    if (!pcl_connection_is_open(try->connection)) {
        return;
    }
    MYSQL *mysql = pcl_connection_mysql(try->connection);
    if (!try->failed && (mysql->server_status & SERVER_STATUS_IN_TRANS) != 0) {
        s_fail(try, PCL_ERR_SQL, "the statement left a transaction open; it was rolled back");
        pcl_connection_close(try->connection);
        return;
    }
    uint8_t sql_class = try->job->message.head.sql_class;
    if (try->failed && try->own_err == PCL_ERR_OK &&
        pcl_may_be_rolled_back(try->stage, sql_class, try->error.number)) {
        try->rolled_back = pcl_connection_rolled_back(try->connection, try->error.number);
    }
    if (!try->failed && !pcl_sql_is_read((pcl_sql_class)sql_class)) {
        try->warnings = mysql_warning_count(mysql);
        bool ask = try->rows && sql_class != PCL_SQL_LOCKING_READ;
        pcl_connection_token(try->connection, ask, try->token, sizeof try->token);
    }
    if (sql_class == PCL_SQL_CALL) {
        pcl_connection_close(try->connection); /* a routine may have set variables */
    } else if (sql_class == PCL_SQL_DDL) {
        pcl_connection_forget_schema(try->connection);
    }
}

/* From here on the statement has a deadline.  Leaving a schema may replace the
 * session, which must then be watched anew: a KILL of the old one ends nothing. */
static bool s_enter_schema(pcl_worker *self, attempt *try)
{
    pcl_connection *connection = try->connection;
    uint64_t deadline_us = try->job->deadline_us;
    uint64_t session_id = pcl_connection_id(connection);
    pcl_watchdog_arm(self->watchdog, self->slot, connection, deadline_us, &try->job->cancelled);
    if (!pcl_connection_use(connection, try->request->db, &try->error)) {
        try->stage = pcl_connection_is_open(connection) ? PCL_STAGE_PREPARE : PCL_STAGE_CONNECT;
        try->failed = true;
        return false;
    }
    if (pcl_connection_id(connection) == session_id) {
        return true;
    }
    pcl_watchdog_arm(self->watchdog, self->slot, connection, deadline_us, &try->job->cancelled);
    if (pcl_now_us() >= deadline_us) {
        s_fail(try, PCL_ERR_DEADLINE, LATE_TEXT);
        return false;
    }
    return true;
}

/* Opens, runs, settles.  True: the session was lost, or the statement was out
 * of date, before anything ran, and another try may do better. */
static bool s_try(pcl_worker *self, attempt *try)
{
    pcl_job *job = try->job;
    pcl_connection *connection = try->connection;
    try->stage = PCL_STAGE_CONNECT;
    if (!pcl_connection_open(connection, &try->error)) {
        try->failed = true;
        return false;
    }
    if (pcl_now_us() >= job->deadline_us) { /* connecting took the time that was left */
        s_fail(try, PCL_ERR_DEADLINE, LATE_TEXT);
        return false;
    }
    job->started = true;
    if (s_enter_schema(self, try)) {
        s_run_statement(self, try);
        s_settle(try);
    }
    job->killed = pcl_watchdog_disarm(self->watchdog, self->slot) != PCL_WATCHDOG_QUIET;
    if (job->killed) {
        pcl_connection_close(connection);
    }
    if (!try->failed || job->killed || try->own_err != PCL_ERR_OK) {
        return false;
    }
    uint32_t number = try->error.number;
    bool read = pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
    if (try->stage == PCL_STAGE_PREPARE && pcl_errno_is_loss(number)) {
        pcl_connection_close(connection);
        return true;
    }
    if (try->stage == PCL_STAGE_PREPARE && number == PCL_ER_NO_DB) {
        pcl_connection_forget_schema(connection); /* someone dropped it, and it may be back */
        return true;
    }
    return read && number == PCL_CR_NEW_STMT_METADATA;
}

static pcl_outcome s_judge(const attempt *try)
{
    const pcl_job *job = try->job;
    uint8_t sql_class = job->message.head.sql_class;
    if (!try->failed) {
        return pcl_outcome_of_success(sql_class, job->killed);
    }
    if (try->own_err == PCL_ERR_OK) {
        return pcl_outcome_of_error(try->stage, sql_class, try->error.number, job->killed,
                                    try->rolled_back);
    }
    /* Ours.  What was not sent can be sent again; what ran may stand. */
    pcl_retry retry = pcl_err_retry((int)try->own_err);
    if (try->stage != PCL_STAGE_EXECUTE && try->own_err == PCL_ERR_DEADLINE) {
        retry = PCL_RETRY_SAFE;
    } else if (try->stage == PCL_STAGE_EXECUTE && try->own_err != PCL_ERR_SQL &&
               !pcl_sql_is_read((pcl_sql_class)sql_class)) {
        retry = PCL_RETRY_UNSAFE;
    }
    return (pcl_outcome){.err = try->own_err, .retry = retry};
}

/* What the server says of a session that it does not open is about the agent, its
 * accounts and paths, and not for clients. */
static void s_hide_connect_error(attempt *try)
{
    pcl_job *job = try->job;
    job->connect_errno = try->error.number;
    job->connect_text = strdup(try->error.message);
    (void)snprintf(try->error.message, sizeof try->error.message, "%s",
                   pcl_errno_is_loss(try->error.number)
                       ? "the agent cannot reach its database"
                       : "the agent's database does not let it in");
}

static void s_execute(pcl_worker *self, pcl_job *job, const pcl_request *request)
{
    bool read = pcl_sql_is_read((pcl_sql_class)job->message.head.sql_class);
    uint64_t began_us = pcl_now_us();
    attempt try;
    bool again = true;
    for (int turn = 0; turn < 2 && again; turn++) {
        try = (attempt){
            .job = job, .request = request, .connection = read ? self->reader : self->writer};
        pcl_buffer_clear(&job->reply);
        again = s_try(self, &try);
    }
    job->exec_us = s_short_us(pcl_time_since_us(began_us, pcl_now_us()));
    pcl_outcome outcome = s_judge(&try);
    if (outcome.broken) {
        pcl_connection_close(try.connection);
    }
    if (outcome.err != PCL_ERR_OK) {
        if (outcome.err == PCL_ERR_DEADLINE && !try.failed) {
            s_fail(&try, outcome.err,
                   read ? "the statement was ended at its deadline"
                        : "the statement ended after its deadline, and may stand");
        }
        if (outcome.err == PCL_ERR_TOO_LARGE) {
            s_fail(&try, outcome.err, TOO_LARGE_TEXT);
        }
        if (outcome.err == PCL_ERR_NO_NODE && try.stage == PCL_STAGE_CONNECT) {
            s_hide_connect_error(&try);
        }
        s_put_error(job, outcome, &try.error);
        return;
    }
    job->outcome = outcome;
    s_put_end(self, &try);
    if (job->reply.failed) {
        pcl_retry retry = read ? PCL_RETRY_NEVER : PCL_RETRY_UNSAFE;
        pcl_job_refuse(job, (pcl_outcome){.err = PCL_ERR_TOO_LARGE, .retry = retry},
                       TOO_LARGE_TEXT);
    }
}

/* False: the job has its reply. */
static bool s_read_request(pcl_worker *self, pcl_job *job, pcl_request *request)
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
    err = pcl_binding_read(&self->binding, request->params, request->param_count);
    if (err == PCL_ERR_MALFORMED) {
        (void)snprintf(message, sizeof message, "params: number %" PRIu32 " %s",
                       self->binding.fault_index, self->binding.fault_rule);
        pcl_job_refuse(job, (pcl_outcome){.err = err, .retry = PCL_RETRY_NEVER}, message);
        return false;
    }
    if (err != PCL_ERR_OK) {
        pcl_job_refuse(job, (pcl_outcome){.err = err, .retry = PCL_RETRY_SAFE, .node_fault = true},
                       "");
        return false;
    }
    return true;
}

void pcl_worker_run(pcl_worker *self, pcl_job *job)
{
    uint64_t now_us = pcl_now_us();
    job->queue_us = s_short_us(pcl_time_since_us(job->arrived_us, now_us));
    if (now_us >= job->deadline_us) {
        pcl_job_refuse(job, (pcl_outcome){.err = PCL_ERR_DEADLINE, .retry = PCL_RETRY_SAFE},
                       "the deadline passed while the statement waited for a thread");
        return;
    }
    pcl_request request;
    if (s_read_request(self, job, &request)) {
        s_execute(self, job, &request);
    }
}
