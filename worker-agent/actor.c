#include "worker-agent/actor.h"

#include "common/clock.h"
#include "common/ticket_table.h"
#include "net/link.h"
#include "net/log.h"
#include "net/log_limit.h"
#include "net/time.h"
#include "wire/reply.h"
#include "worker-agent/admit.h"
#include "worker-agent/beater.h"
#include "worker-agent/execute.h"
#include "worker-agent/meter.h"
#include "worker-agent/observer.h"
#include "worker-agent/options.h"
#include "worker-agent/pool.h"
#include "worker-agent/service.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US          (5 * PCL_US_PER_MS)
#define VIEW_US          (20 * PCL_US_PER_MS)
#define SILENCE_GRACE_US (15 * PCL_US_PER_MS) /* the KILL's time; the proxy waits 25 ms */
#define CANARY_US        (1 * PCL_US_PER_S)
#define RETRY_AFTER_MS   50u
#define END_WAIT_MS      2000u
#define LINK_SLACK       256u /* messages beside replies: beats, pongs */

typedef struct agent {
    const pcl_role_args *args;
    pcl_agent_options options;
    char who[PCL_NAME_SIZE_MAX + 8]; /* "agent.n1", of log lines */
    pcl_loop *loop;
    pcl_link *link;
    pcl_observer *observer;
    pcl_beater *beater;
    pcl_pool *pool;
    pcl_ticket_table *flights; /* flight: jobs that the pool has */
    pcl_job *spare;            /* what the next message is received into */
    pcl_meter meter;
    pcl_log_limit connect_limit; /* of connect_failed lines */
    pcl_node_view view;
    uint64_t view_us;
    bool ready_shown; /* what /ready says */
    bool shown;       /* ... and that it was ever said */
    pcl_service service;
    uint64_t sampled_us; /* when service was last fed */
    uint64_t seq, served, errors;
    bool draining;
} agent;

/* A job on its way; answered: the reply went out without it. */
typedef struct flight {
    pcl_job *job;
    bool answered;
} flight;

/* --- What the proxy is told -------------------------------------------------- */

static pcl_report s_report(agent *self, uint64_t now_us)
{
    pcl_pool_counts counts = pcl_pool_count(self->pool);
    pcl_service_summary service = pcl_service_summarize(&self->service, now_us);
    pcl_node_state ready = self->view.ready ? PCL_NODE_UP : PCL_NODE_NOT_READY;
    return (pcl_report){
        .boot_id = self->args->boot_id,
        .seq = ++self->seq,
        .role = self->view.role,
        .state = self->draining ? PCL_NODE_DRAIN : ready,
        .flavor = self->view.flavor,
        .read_only = self->view.read_only,
        .replicating = self->view.replicating,
        .warm_percent = 100,
        .lag_ms = self->view.lag_ms,
        .rif = counts.queued + counts.running,
        .running = counts.running,
        .queued = counts.queued,
        .workers = (uint16_t)self->options.threads,
        .queue_max = self->options.queue_max,
        .threads_running = self->view.threads_running,
        .errors = self->errors,
        .served = self->served,
        .service_mean_us = service.mean_us,
        .service_count = service.count,
        .service_variance = service.variance,
        .service_fast_us = service.fast_us,
        .service_fast_count = service.fast_count,
        .database_port = self->options.port,
        .gtid = pcl_bytes_text(self->view.gtid),
    };
}

/* Sends a reply to the request of head; takes the payload's octets. */
static void s_send_reply(agent *self, const pcl_head *request, pcl_outcome outcome,
                         pcl_buffer *payload, const pcl_job *job, uint64_t now_us)
{
    pcl_head head = {
        .ticket = request->ticket,
        .kind = PCL_KIND_REPLY,
        .op = request->op,
        .sql_class = request->sql_class,
        .strategy = request->strategy,
        .attempt = request->attempt,
        .code = outcome.err,
        .retry = outcome.err == PCL_ERR_OK ? PCL_RETRY_NEVER : outcome.retry,
        .gatekeeper_us = request->gatekeeper_us,
        .broker_us = request->broker_us,
        .proxy_us = request->proxy_us,
    };
    memcpy(head.id, request->id, sizeof head.id);
    self->served++;
    self->errors += outcome.node_fault ? 1 : 0;
    pcl_report report = s_report(self, now_us);
    report.exec_us = job != NULL ? job->exec_us : 0;
    report.queue_us = job != NULL ? job->queue_us : 0;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t body;
    zmq_msg_t tail;
    pcl_frame_of_buffer(&body, payload);
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_report_encode(&report, octets)));
    if (pcl_link_send(self->link, &head, &body, &tail, now_us) != PCL_ERR_OK) {
        pcl_metric_add(self->meter.replies_dropped, 1); /* the proxy is gone, and answers itself */
    }
    (void)zmq_msg_close(&body);
    (void)zmq_msg_close(&tail);
    pcl_meter_answer(&self->meter, request->sql_class, outcome.err);
}

/* An answer that no worker wrote. */
static void s_refuse(agent *self, const pcl_head *request, pcl_outcome outcome, const char *message,
                     uint64_t now_us)
{
    pcl_buffer payload;
    pcl_buffer_init(&payload, PCL_REPLY_SIZE_MAX);
    pcl_reply_error error = {
        .err = outcome.err,
        .retry = outcome.retry,
        .message = pcl_bytes_text(message),
        .hop = "agent",
        .retry_after_ms = outcome.err == PCL_ERR_OVERLOADED ? RETRY_AFTER_MS : 0,
    };
    pcl_reply_error_encode(&payload, request->id, &error);
    s_send_reply(self, request, outcome, &payload, NULL, now_us);
    pcl_buffer_release(&payload);
}

/* --- Requests ---------------------------------------------------------------- */

static void s_log_refusal(const agent *self, const pcl_job *job, pcl_err err)
{
    char id[2 * PCL_ID_SIZE + 1];
    pcl_log(PCL_LOG_DEBUG, self->who, "refused", "id=%s code=%s",
            pcl_id_text(job->message.head.id, id), pcl_err_code((int)err));
}

/* Takes the job over, or answers it and frees it. */
static void s_admit(agent *self, pcl_job *job, uint64_t now_us)
{
    const pcl_head *head = &job->message.head;
    const char *reason = "";
    pcl_admission node = {
        .ready = self->view.ready,
        .draining = self->draining,
        .source = self->view.role == PCL_NODE_SOURCE,
        .read_only = self->view.read_only,
    };
    pcl_errand errand = {.op = head->op, .sql_class = head->sql_class};
    pcl_err err = pcl_admit(&node, &errand, &reason);
    if (err == PCL_ERR_OK && head->op != PCL_OP_QUERY) {
        err = PCL_ERR_UNSUPPORTED;
        reason = "an agent runs queries only";
    }
    pcl_outcome outcome = {.err = err, .retry = pcl_err_retry((int)err)};
    if (err == PCL_ERR_OK && job->deadline_us <= now_us) {
        outcome = (pcl_outcome){.err = PCL_ERR_DEADLINE, .retry = PCL_RETRY_SAFE};
        reason = "the deadline passed on the way to the agent";
    }
    flight *entry = NULL;
    if (outcome.err == PCL_ERR_OK) {
        job->role = self->view.role;
        entry = pcl_ticket_table_add(self->flights, job->deadline_us + SILENCE_GRACE_US,
                                     &job->ticket);
        if (entry != NULL) {
            entry->job = job;
            if (pcl_pool_submit(self->pool, job)) {
                return;
            }
            pcl_ticket_table_remove(self->flights, job->ticket);
        }
        outcome = (pcl_outcome){
            .err = PCL_ERR_OVERLOADED, .retry = PCL_RETRY_SAFE, .node_fault = true};
        reason = "the agent's queue is full";
    }
    s_log_refusal(self, job, outcome.err);
    s_refuse(self, head, outcome, reason, now_us);
    pcl_job_destroy(&job);
}

/* Nobody waits for these any more: what has not started shall not. */
static void s_drop_queued(agent *self, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        pcl_job *job = entry->job;
        if (!entry->answered && pcl_pool_withdraw(self->pool, job)) {
            pcl_ticket_table_remove(self->flights, ticket);
            s_refuse(self, &job->message.head,
                     (pcl_outcome){.err = PCL_ERR_LOST, .retry = PCL_RETRY_SAFE},
                     "the proxy went away before the statement started", now_us);
            pcl_job_destroy(&job);
        }
    }
}

static void s_on_event(agent *self, pcl_link_event event, uint64_t now_us)
{
    switch (event) {
    case PCL_LINK_NOTHING:
        return;
    case PCL_LINK_CAME_UP:
        pcl_log(PCL_LOG_INFO, self->who, "link_up", "peer=proxy");
        return;
    case PCL_LINK_LOST:
        pcl_log(PCL_LOG_WARNING, self->who, "link_lost", "peer=proxy");
        s_drop_queued(self, now_us);
        return;
    case PCL_LINK_REPLACED:
        pcl_log(PCL_LOG_WARNING, self->who, "link_replaced", "peer=proxy");
        s_drop_queued(self, now_us);
        return;
    case PCL_LINK_DRAINS:
        pcl_log(PCL_LOG_INFO, self->who, "link_drains", "peer=proxy");
        return;
    }
}

static void s_on_message(agent *self, uint64_t now_us)
{
    pcl_job *job = self->spare;
    pcl_head *head = &job->message.head;
    uint64_t wait_us = 0;
    s_on_event(self, pcl_link_heard(self->link, head, now_us, &wait_us), now_us);
    if (head->kind != PCL_KIND_REQUEST) {
        pcl_hop_close(&job->message);
        return; /* beats end in the link; nothing else is meant for an agent yet */
    }
    self->spare = NULL;
    job->arrived_us = now_us;
    job->deadline_us = now_us + pcl_time_left_us(head->budget_us, wait_us);
    s_admit(self, job, now_us);
}

static bool s_on_link(void *context, uint64_t now_us)
{
    agent *self = context;
    (void)now_us; /* each message has its own time */
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        if (self->spare == NULL) {
            self->spare = pcl_job_new();
            if (self->spare == NULL) {
                return false; /* the messages wait where they are; the tick tries again */
            }
        }
        switch (pcl_hop_recv(&self->spare->message, pcl_link_socket(self->link), false)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_DROPPED:
            pcl_metric_add(self->meter.messages_dropped, 1);
            break;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        case PCL_HOP_MESSAGE:
            s_on_message(self, self->spare->message.received_us);
            break;
        }
    }
    return true;
}

/* --- Results ----------------------------------------------------------------- */

static void s_on_connect_error(agent *self, const pcl_job *job, uint64_t now_us)
{
    if (pcl_log_limit_take(&self->connect_limit, now_us)) {
        char text[PCL_ERROR_TEXT_SIZE];
        const char *told = job->connect_text != NULL ? job->connect_text : "";
        pcl_log(PCL_LOG_WARNING, self->who, "connect_failed", "errno=%" PRIu32 " message=\"%s\"",
                job->connect_errno, pcl_log_escape(told, text, sizeof text));
    }
    if (pcl_errno_is_refusal(job->connect_errno)) {
        pcl_observer_mend_accounts(self->observer);
    }
}

static void s_on_result(agent *self, pcl_job *job, uint64_t now_us)
{
    const pcl_head *head = &job->message.head;
    flight *entry = pcl_ticket_table_find(self->flights, job->ticket);
    assert(entry != NULL && entry->job == job);
    bool answered = entry->answered;
    pcl_ticket_table_remove(self->flights, job->ticket);
    pcl_meter_job(&self->meter, job);
    if (job->connect_errno != 0) {
        s_on_connect_error(self, job, now_us);
    }
    if (answered) {
        pcl_metric_add(self->meter.late, 1);
        return;
    }
    if (job->outcome.err == PCL_ERR_OK && pcl_sql_is_read((pcl_sql_class)head->sql_class)) {
        pcl_service_add(&self->service, job->exec_us, now_us);
        self->sampled_us = now_us;
    }
    s_send_reply(self, head, job->outcome, &job->reply, job, now_us);
}

static bool s_on_results(void *context, uint64_t now_us)
{
    agent *self = context;
    pcl_job *job = pcl_pool_collect(self->pool);
    while (job != NULL) {
        pcl_job *next = job->next;
        s_on_result(self, job, now_us);
        pcl_job_destroy(&job);
        job = next;
    }
    return false;
}

/* --- Time -------------------------------------------------------------------- */

/* Answers what is past its deadline: what waits is taken back, what runs goes on
 * alone. */
static void s_on_deadlines(agent *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    flight *entry = NULL;
    while ((entry = pcl_ticket_table_due(self->flights, now_us, &ticket)) != NULL) {
        pcl_job *job = entry->job;
        if (pcl_pool_withdraw(self->pool, job)) {
            pcl_ticket_table_remove(self->flights, ticket);
            s_refuse(self, &job->message.head,
                     (pcl_outcome){.err = PCL_ERR_DEADLINE, .retry = PCL_RETRY_SAFE},
                     "the deadline passed while the statement waited for a thread", now_us);
            pcl_job_destroy(&job);
            continue;
        }
        entry->answered = true;
        pcl_ticket_table_set_deadline(self->flights, ticket, UINT64_MAX);
        s_refuse(self, &job->message.head, pcl_outcome_of_silence(job->message.head.sql_class),
                 "the database did not answer by the deadline", now_us);
    }
}

static void s_show_ready(agent *self)
{
    bool ready = self->view.ready && !self->draining;
    if (self->args->http == NULL || (self->shown && ready == self->ready_shown && ready)) {
        return;
    }
    const char *reason = self->draining ? "draining" : self->view.reason;
    pcl_http_set_ready(self->args->http, ready, reason);
    self->ready_shown = ready;
    self->shown = true;
}

static void s_refresh_view(agent *self, uint64_t now_us)
{
    if (pcl_time_since_us(self->view_us, now_us) < VIEW_US) {
        return;
    }
    self->view_us = now_us;
    pcl_observer_view(self->observer, &self->view);
    s_show_ready(self);
    pcl_meter_state(&self->meter, &self->view, self->pool);
    /* A node that nobody asks would keep its old reputation for ever. */
    if (self->view.ready && pcl_time_since_us(self->sampled_us, now_us) >= CANARY_US) {
        pcl_service_add(&self->service, self->view.canary_us, now_us);
        self->sampled_us = now_us;
    }
}

static void s_on_tick(void *context, uint64_t now_us)
{
    agent *self = context;
    s_refresh_view(self, now_us);
    s_on_deadlines(self, now_us);
    pcl_report report = s_report(self, now_us);
    s_on_event(self, pcl_link_tick(self->link, now_us, &report), now_us);
}

/* --- Life -------------------------------------------------------------------- */

static void s_drain(void *context, uint64_t now_us)
{
    agent *self = context;
    self->draining = true;
    s_show_ready(self);
    pcl_head bye = {.kind = PCL_KIND_BYE, .principal = pcl_bytes_text(self->options.node)};
    pcl_head_set_boot_id(&bye, self->args->boot_id);
    if (pcl_link_send(self->link, &bye, NULL, NULL, now_us) != PCL_ERR_OK) {
        pcl_log(PCL_LOG_DEBUG, self->who, "bye_unsent", "%s", ""); /* the beats say so, too */
    }
    pcl_log(PCL_LOG_INFO, self->who, "draining", "in_flight=%" PRIu32,
            pcl_ticket_table_count(self->flights));
}

/* What was answered without its statement need not be waited for. */
static bool s_drained(void *context)
{
    const agent *self = context;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        if (!entry->answered) {
            return false;
        }
    }
    return true;
}

static bool s_open_link(agent *self, char *error, size_t error_size)
{
    const pcl_config *config = self->args->config;
    pcl_keys keys = {.public_key = ""};
    const char *key_file = pcl_config_text(config, "curve/key_file");
    bool has_keys = key_file[0] != '\0';
    if (has_keys && !pcl_keys_load(&keys, key_file, error, error_size)) {
        return false;
    }
    uint32_t queue_max = (uint32_t)pcl_config_uint(config, "proxy/queue_max");
    uint32_t inflight_max = self->options.queue_max + self->options.threads + LINK_SLACK;
    pcl_socket_options options = {
        .endpoint = pcl_config_text(config, "proxy/endpoint"),
        .keys = has_keys ? &keys : NULL,
        .server_key = pcl_config_text(config, "proxy/public_key"),
        /* All that is in flight has room, so a reply is never refused by our own queue. */
        .queue_max = queue_max > inflight_max ? queue_max : inflight_max,
        .message_size_max = PCL_REQUEST_SIZE_MAX,
        .insecure = pcl_config_bool(config, "curve/insecure"),
    };
    self->link = pcl_link_new(&options, self->options.node, self->args->boot_id, self->args->seed,
                              error, error_size);
    pcl_keys_wipe(&keys);
    return self->link != NULL;
}

static bool s_open(agent *self)
{
    char error[PCL_ERROR_TEXT_SIZE] = "";
    if (!pcl_agent_options_read(&self->options, self->args->config, error, sizeof error) ||
        !s_open_link(self, error, sizeof error)) {
        char escaped[PCL_ERROR_TEXT_SIZE];
        pcl_log(PCL_LOG_ERROR, "agent", "open_failed", "reason=\"%s\"",
                pcl_log_escape(error, escaped, sizeof escaped));
        return false;
    }
    self->options.boot_id = self->args->boot_id;
    (void)snprintf(self->who, sizeof self->who, "agent.%s", self->options.node);
    self->flights = pcl_ticket_table_new(self->options.queue_max + self->options.threads,
                                         sizeof(flight), self->args->seed);
    assert(self->flights != NULL);
    self->connect_limit = pcl_log_limit_of(1);
    self->pool = pcl_pool_new(&self->options);
    self->observer = pcl_observer_new(&self->options, self->who);
    self->beater = pcl_beater_new(&self->options, self->observer);
    pcl_observer_view(self->observer, &self->view);
    pcl_loop_add_socket(self->loop, pcl_link_socket(self->link), s_on_link, self);
    pcl_loop_add_fd(self->loop, pcl_pool_fd(self->pool), s_on_results, self);
    pcl_loop_set_tick(self->loop, TICK_US, s_on_tick, NULL, self);
    return true;
}

/* False: a thread hangs in a server that does not answer; what it uses stays. */
static bool s_close(agent *self)
{
    bool ended = pcl_beater_destroy(&self->beater, END_WAIT_MS);
    ended = ended && pcl_observer_destroy(&self->observer, END_WAIT_MS * 2);
    ended = pcl_pool_destroy(&self->pool, END_WAIT_MS) && ended;
    pcl_link_destroy(&self->link);
    if (self->spare != NULL) {
        free(self->spare); /* nothing was received into it */
    }
    pcl_ticket_table_destroy(&self->flights);
    return ended;
}

void pcl_worker_agent_actor(zsock_t *pipe, void *argument)
{
    static const pcl_actor_hooks HOOKS = {.drain = s_drain, .drained = s_drained};
    /* On the heap: a thread that cannot be ended may outlive this function. */
    agent *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->args = argument;
    self->loop = pcl_loop_new();
    pcl_meter_init(&self->meter, self->args->metrics);
    bool opened = s_open(self);
    pcl_actor_run(pipe, opened, self->loop, &HOOKS, self);
    pcl_loop_destroy(&self->loop);
    if (s_close(self)) {
        pcl_agent_options_wipe(&self->options);
        free(self);
    } else {
        pcl_log(PCL_LOG_WARNING, self->who, "thread_left", "reason=\"the database hangs\"");
    }
}
