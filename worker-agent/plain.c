#include "worker-agent/plain.h"

#include "common/clock.h"
#include "net/time.h"
#include "worker-agent/worker.h"

#include <assert.h>
#include <stdlib.h>

/* A short request is read and sent at once. */
#define PAYLOAD_SIZE_MAX (8u * 1024u)

struct pcl_plain {
    pcl_worker *worker; /* owned: its connection, its stream, its slot */
    pcl_plain_parting *parting;
    void *context;       /* of parting */
    uint64_t serial;     /* of the connection */
    pcl_request request; /* these are of the job at hand */
    pcl_single run;
    pcl_prepared prepared;
    uint64_t began_us;
    int waited;    /* what its call waits for */
    bool executed; /* its rows are read */
    bool renamed;  /* it must be prepared anew the next time */
    bool cannot;   /* its connection would wait */
};

pcl_plain *pcl_plain_new(const pcl_agent_options *options, pcl_watchdog *watchdog,
                         pcl_spares *spares, pcl_causal *causal, uint32_t slot,
                         pcl_plain_parting *parting, void *context)
{
    pcl_plain *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->worker = pcl_worker_new(options, watchdog, spares, causal, slot);
    self->parting = parting;
    self->context = context;
    return self;
}

void pcl_plain_destroy(pcl_plain **self_p)
{
    pcl_plain *self = *self_p;
    if (self != NULL) {
        if (self->run.job != NULL) {
            (void)pcl_worker_unwatch(self->worker, self->run.job);
            pcl_stream_drop(self->worker->stream, self->worker->own);
        }
        pcl_worker_destroy(&self->worker);
        free(self);
        *self_p = NULL;
    }
}

bool pcl_plain_may_be(const pcl_job *job)
{
    const pcl_head *head = &job->message.head;
    return head->op == PCL_OP_QUERY && pcl_sql_is_read((pcl_sql_class)head->sql_class) &&
           job->held == NULL && head->after.size == 0 &&
           zmq_msg_size(&job->message.payload) <= PAYLOAD_SIZE_MAX;
}

/* --- Its connection ------------------------------------------------------------ */

int pcl_plain_fd(const pcl_plain *self, uint64_t *out_serial)
{
    pcl_connection *own = self->worker->own;
    *out_serial = self->serial;
    return own != NULL && pcl_connection_is_open(own) ? pcl_mysql_fd(pcl_connection_mysql(own))
                                                      : -1;
}

uint32_t pcl_plain_connections(const pcl_plain *self)
{
    return pcl_worker_connections(self->worker);
}

bool pcl_plain_suits(const pcl_plain *self, const pcl_accounts *accounts)
{
    const pcl_connection *own = self->worker->own;
    return own != NULL && pcl_connection_accounts(own) == accounts;
}

/* As soon as it is among the spares it is another thread's, and when it is closed its descriptor's
 * number is anybody's. */
static void s_give_back(pcl_plain *self)
{
    self->parting(self->context);
    pcl_worker_give_own_back(self->worker);
}

void pcl_plain_rest(pcl_plain *self)
{
    assert(self->run.job == NULL);
    s_give_back(self);
}

void pcl_plain_hang_up(pcl_plain *self)
{
    assert(self->run.job == NULL);
    self->parting(self->context);
    pcl_connection *own = pcl_worker_part_with_own(self->worker);
    pcl_connection_destroy(&own);
}

/* One that a statement of the job can be sent to at once. */
static bool s_find_connection(pcl_plain *self, const pcl_job *job)
{
    pcl_worker *worker = self->worker;
    if (!pcl_plain_suits(self, job->accounts)) {
        s_give_back(self);
    }
    if (worker->own == NULL) {
        pcl_connection *spare = pcl_spares_take_open(worker->spares, job->accounts,
                                                     PCL_ACCOUNT_READ);
        if (spare == NULL) {
            return false;
        }
        pcl_worker_adopt(worker, spare);
        self->serial++;
    }
    if (!pcl_connection_is_ready(worker->own, self->request.db)) {
        return false;
    }
    self->cannot = !pcl_connection_allow_nonblocking(worker->own);
    return !self->cannot;
}

static bool s_find_statement(pcl_plain *self)
{
    const pcl_binding *binding = &self->worker->binding;
    return pcl_connection_find_prepared(self->worker->own, self->request.sql,
                                        pcl_binding_types(binding), &self->prepared) &&
           mysql_stmt_param_count(self->prepared.stmt) == binding->count &&
           pcl_binding_apply(binding, self->prepared.stmt);
}

/* --- Its statement --------------------------------------------------------------- */

/* A thread does it from its beginning; the connection is good for it, or closed. */
static pcl_plain_step s_give_up(pcl_plain *self)
{
    pcl_single *run = &self->run;
    const pcl_attempt *attempt = &run->attempt;
    if (attempt->rest || attempt->more || pcl_errno_is_loss(attempt->error.number)) {
        pcl_stream_drop(self->worker->stream, attempt->connection);
    }
    pcl_buffer_clear(&run->job->reply);
    run->job = NULL;
    s_give_back(self); /* that thread is to find it */
    return PCL_PLAIN_OTHER;
}

/* Nothing of it is unread, or the rest stays open. */
static void s_check_end(pcl_plain *self)
{
    pcl_attempt *attempt = &self->run.attempt;
    MYSQL *mysql = pcl_connection_mysql(attempt->connection);
    if (attempt->failed || attempt->more) {
        return;
    }
    attempt->warnings = mysql_warning_count(mysql);
    /* Another result, or a transaction, is not what a read leaves. */
    attempt->rest = mysql_more_results(mysql) ||
                    (mysql->server_status & SERVER_STATUS_IN_TRANS) != 0;
    attempt->failed = attempt->rest;
}

static pcl_plain_step s_end(pcl_plain *self)
{
    pcl_worker *worker = self->worker;
    pcl_single *run = &self->run;
    pcl_attempt *attempt = &run->attempt;
    pcl_job *job = run->job;
    s_check_end(self);
    if (self->renamed) {
        pcl_connection_uncache(attempt->connection, attempt->sql,
                               pcl_binding_types(&worker->binding), &self->prepared);
    }
    if (attempt->more || attempt->rest) {
        pcl_stream_keep(worker->stream, &self->prepared);
    } else {
        pcl_connection_release(attempt->connection, &self->prepared);
    }
    run->ending = pcl_worker_unwatch(worker, job);
    bool too_large = attempt->failed && attempt->own_err == PCL_ERR_TOO_LARGE;
    if (run->ending == PCL_ENDING_NONE && attempt->failed && !too_large) {
        return s_give_up(self);
    }
    job->service_us = pcl_short_us(pcl_time_since_us(self->began_us, pcl_now_us()));
    job->exec_us = job->service_us;
    job->cache_hit = true;
    if (run->ending != PCL_ENDING_NONE || too_large) {
        pcl_stream_drop(worker->stream, attempt->connection);
        attempt->more = false;
    }
    if (attempt->own_err == PCL_ERR_OK && attempt->error.number == 0) {
        attempt->failed = false; /* it only is not plain, and was ended: that is the answer */
    }
    if (attempt->more) {
        self->parting(self->context); /* the cursor has it from now on */
    }
    pcl_single_answer(run, worker);
    run->job = NULL;
    if (worker->own != NULL &&
        (!pcl_connection_is_open(worker->own) || pcl_connection_is_bloated(worker->own))) {
        s_give_back(self);
    }
    return PCL_PLAIN_DONE;
}

static pcl_plain_step s_read_rows(pcl_plain *self)
{
    pcl_attempt *attempt = &self->run.attempt;
    pcl_stream_status status = pcl_stream_put_rows(attempt->stream, attempt->answer->buffer,
                                                   attempt->page.rows_max, attempt->page.bytes_max);
    if (status == PCL_STREAM_WAITS) {
        self->waited = pcl_stream_waits_for(attempt->stream);
        return PCL_PLAIN_WAITS;
    }
    pcl_attempt_take_status(attempt, status, self->prepared.stmt);
    attempt->count = pcl_stream_rows(attempt->stream);
    if (!attempt->more && !attempt->rest) {
        pcl_stream_finish(attempt->stream);
    }
    return s_end(self);
}

/* The columns are there. */
static pcl_plain_step s_open_rows(pcl_plain *self)
{
    pcl_attempt *attempt = &self->run.attempt;
    MYSQL *mysql = pcl_connection_mysql(attempt->connection);
    MYSQL_STMT *stmt = self->prepared.stmt;
    self->executed = true;
    if (mysql_stmt_field_count(stmt) == 0) {
        attempt->failed = true; /* a read without columns: not plain */
        return s_end(self);
    }
    pcl_stream_status status = pcl_stream_begin_prepared(attempt->stream, stmt, mysql,
                                                         &self->renamed);
    if (status != PCL_STREAM_DONE) {
        pcl_stream_finish(attempt->stream);
        pcl_attempt_take_status(attempt, status, stmt);
        attempt->rest = true; /* its rows */
        return s_end(self);
    }
    attempt->rows = true;
    pcl_stream_do_not_wait(attempt->stream);
    pcl_stream_limit(attempt->stream, attempt->rows_max);
    pcl_answer_columns(attempt->answer, attempt->stream, &attempt->page);
    return s_read_rows(self);
}

static pcl_plain_step s_execute(pcl_plain *self)
{
    int failed = 0;
    self->waited = pcl_stmt_execute_step(self->prepared.stmt, self->waited, &failed);
    if (self->waited != 0) {
        return PCL_PLAIN_WAITS;
    }
    if (failed != 0) {
        pcl_attempt_take_error(&self->run.attempt, self->prepared.stmt);
        return s_end(self);
    }
    return s_open_rows(self);
}

pcl_plain_step pcl_plain_begin(pcl_plain *self, pcl_job *job)
{
    assert(self->run.job == NULL);
    pcl_worker *worker = self->worker;
    const pcl_request *request = &self->request;
    self->cannot = false;
    if (!pcl_worker_read(job, &self->request)) {
        return PCL_PLAIN_DONE;
    }
    if (request->op != PCL_OP_QUERY || request->monotonic) {
        return PCL_PLAIN_OTHER;
    }
    if (!pcl_worker_bind(worker, job, request->params, request->param_count, PCL_NO_STATEMENT)) {
        return PCL_PLAIN_DONE;
    }
    if (!s_find_connection(self, job) || !s_find_statement(self)) {
        s_give_back(self); /* a thread makes it ready */
        return PCL_PLAIN_OTHER;
    }
    pcl_single_init(&self->run, worker, job, request);
    pcl_attempt *attempt = &self->run.attempt;
    attempt->stage = PCL_STAGE_EXECUTE;
    attempt->cache_hit = true;
    job->started = true;
    self->began_us = pcl_now_us();
    self->waited = 0;
    self->executed = false;
    self->renamed = false;
    pcl_connection_soil(attempt->connection);
    pcl_worker_watch(worker, attempt->connection, job);
    return s_execute(self);
}

pcl_plain_step pcl_plain_go_on(pcl_plain *self)
{
    assert(self->run.job != NULL);
    return self->executed ? s_read_rows(self) : s_execute(self);
}

bool pcl_plain_cannot(const pcl_plain *self)
{
    return self->cannot;
}

int pcl_plain_waits_for(const pcl_plain *self)
{
    return self->waited;
}
