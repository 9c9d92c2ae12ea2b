#include "bench/scale/fleet.h"

#include "bench/driver/arrivals.h"
#include "bench/scale/ready.h"
#include "common/clock.h"
#include "common/ticket_table.h"
#include "net/hop.h"
#include "net/link.h"
#include "net/time.h"
#include "sql/classify.h"
#include "wire/mp.h"
#include "wire/reply.h"
#include "worker-agent/route.h"
#include "worker-agent/service.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US       (5 * PCL_US_PER_MS)
#define JOBS_MAX      65536u
#define LINK_SLACK    256u
#define VALUE_SIZE    120u /* of the one cell of a row */
#define REPLICA_LAG   100  /* ms: what a heartbeat five times a second shows at the most */
#define DATABASE_PORT 3306u
#define TAG_CALLER    UINT64_MAX /* of the descriptor that the caller waits for */

/* A statement that runs, or waits for a worker. */
typedef struct job {
    pcl_hop_message message;
    uint32_t node;
    uint64_t next; /* ticket of the one that waits behind it; 0: none */
    uint64_t arrived_us;
    uint64_t started_us; /* 0: it waits */
    uint64_t deadline_us;
} job;

typedef struct synthetic {
    const pcl_identity *identity;
    pcl_link *link;
    uint64_t boot_id;
    uint64_t seq;
    bool source;
    pcl_service service;
    uint64_t first, last; /* tickets of those that wait; 0: none */
    uint32_t queued;
    uint32_t running;
    uint64_t served;
} synthetic;

struct pcl_fleet {
    pcl_fleet_options options;
    pcl_ready *ready;
    pcl_ticket_table *jobs; /* by when they end; those that wait: never */
    job *spare;             /* in the table, with no message yet; NULL: none */
    uint64_t spare_ticket;
    synthetic *nodes;
    uint32_t count;
    pcl_rng rng;
    uint64_t tick_us;
    pcl_buffer reply;
    int caller_fd; /* -1: none is waited for */
};

static pcl_report s_report(synthetic *self, const pcl_fleet *fleet, uint64_t now_us)
{
    pcl_service_summary service = pcl_service_summarize(&self->service, now_us);
    return (pcl_report){
        .boot_id = self->boot_id,
        .seq = ++self->seq,
        .role = self->source ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
        .state = PCL_NODE_UP,
        .flavor = PCL_FLAVOR_MARIADB,
        .read_only = !self->source,
        .replicating = true,
        .warm_percent = 100,
        .lag_ms = self->source ? 0 : REPLICA_LAG,
        .rif = self->queued + self->running,
        .rif_you = self->queued + self->running,
        .running = self->running,
        .queued = self->queued,
        .workers = fleet->options.workers,
        .queue_max = fleet->options.queue_max,
        .threads_running = self->running,
        .served = self->served,
        .service_mean_us = service.mean_us,
        .service_count = service.count,
        .service_variance = service.variance,
        .service_fast_us = service.fast_us,
        .service_fast_count = service.fast_count,
        .database_port = DATABASE_PORT,
        .gtid = pcl_bytes_text("0-1-1"),
    };
}

/* --- Replies ----------------------------------------------------------------------- */

static void s_put_result(pcl_buffer *buffer, const synthetic *node, const pcl_head *head,
                         uint32_t queue_us, uint32_t exec_us)
{
    static const char VALUE[VALUE_SIZE + 1] =
        "08566691963-88624912351-16662227201-46648573979-64646226163-77505759394-75470094713-"
        "41097360717-15161106334-50535565977";
    bool read = head->sql_class == PCL_SQL_READ;
    pcl_reply_open(buffer, head->id, true, read ? 3 : 2);
    if (read) {
        pcl_mp_put_text(buffer, "columns");
        pcl_mp_put_array(buffer, 1);
        pcl_mp_put_array(buffer, 3);
        pcl_mp_put_text(buffer, "c");
        pcl_mp_put_text(buffer, "CHAR");
        pcl_mp_put_uint(buffer, 0);
        pcl_mp_put_text(buffer, "rows");
        pcl_mp_put_array(buffer, 1);
        pcl_mp_put_array(buffer, 1);
        pcl_mp_put_text(buffer, VALUE);
    } else {
        pcl_mp_pair_uint(buffer, "affected", 1);
    }
    pcl_route route = {.node = node->identity->name,
                       .role = node->source ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                       .head = head,
                       .queue_us = queue_us,
                       .exec_us = exec_us};
    pcl_route_put(buffer, &route);
}

static void s_put_error(pcl_buffer *buffer, const pcl_head *head, pcl_err err)
{
    pcl_reply_error error = {.err = err,
                             .retry = PCL_RETRY_SAFE,
                             .message = pcl_bytes_text(pcl_err_text((int)err)),
                             .hop = "agent",
                             .retry_after_ms = err == PCL_ERR_OVERLOADED ? 50 : 0};
    pcl_reply_error_encode(buffer, head->id, &error);
}

/* The reply to a request; started_us 0: it never ran, and err says why. */
static void s_reply(pcl_fleet *self, synthetic *node, const pcl_head *request, const job *times,
                    pcl_err err, uint64_t now_us)
{
    bool ran = err == PCL_ERR_OK;
    uint32_t queue_us = ran ? (uint32_t)(times->started_us - times->arrived_us) : 0;
    uint32_t exec_us = ran ? (uint32_t)(now_us - times->started_us) : 0;
    pcl_head head = {.ticket = request->ticket,
                     .kind = PCL_KIND_REPLY,
                     .op = request->op,
                     .sql_class = request->sql_class,
                     .strategy = request->strategy,
                     .attempt = request->attempt,
                     .code = err,
                     .retry = ran ? PCL_RETRY_NEVER : PCL_RETRY_SAFE,
                     .gatekeeper_us = request->gatekeeper_us,
                     .broker_us = request->broker_us,
                     .proxy_us = request->proxy_us,
                     .budget_us = queue_us,
                     .rows = ran ? 1 : 0};
    memcpy(head.id, request->id, sizeof head.id);
    pcl_buffer_clear(&self->reply);
    if (ran) {
        head.role = pcl_bytes_text(node->identity->name);
        s_put_result(&self->reply, node, request, queue_us, exec_us);
    } else {
        s_put_error(&self->reply, request, err);
    }
    assert(!self->reply.failed);
    node->served++;
    pcl_report report = s_report(node, self, now_us);
    report.exec_us = exec_us;
    report.queue_us = queue_us;
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t body;
    zmq_msg_t tail;
    pcl_frame_copy_of(&body, pcl_buffer_bytes(&self->reply));
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_report_encode(&report, octets)));
    (void)!pcl_link_send(node->link, &head, &body, &tail, now_us); /* or the proxy is gone */
    (void)zmq_msg_close(&body);
    (void)zmq_msg_close(&tail);
}

/* --- Statements --------------------------------------------------------------------- */

static uint64_t s_draw_us(pcl_fleet *self)
{
    double mean_us = self->options.service_us;
    double drawn_us = self->options.exponential ? pcl_draw_exponential(&self->rng, mean_us)
                                                : mean_us;
    return (uint64_t)drawn_us + 1;
}

static void s_start(pcl_fleet *self, synthetic *node, job *one, uint64_t ticket, uint64_t now_us)
{
    one->started_us = now_us;
    node->running++;
    pcl_ticket_table_set_deadline(self->jobs, ticket, now_us + s_draw_us(self));
}

static void s_forget(pcl_fleet *self, job *one, uint64_t ticket)
{
    pcl_hop_close(&one->message);
    pcl_ticket_table_remove(self->jobs, ticket);
}

/* A worker is free: the first that is still waited for gets it. */
static void s_next(pcl_fleet *self, synthetic *node, uint64_t now_us)
{
    while (node->first != 0 && node->running < self->options.workers) {
        uint64_t ticket = node->first;
        job *one = pcl_ticket_table_find(self->jobs, ticket);
        assert(one != NULL);
        node->first = one->next;
        node->last = node->first == 0 ? 0 : node->last;
        node->queued--;
        if (one->deadline_us > now_us) {
            s_start(self, node, one, ticket, now_us);
        } else {
            s_reply(self, node, &one->message.head, one, PCL_ERR_DEADLINE, now_us);
            s_forget(self, one, ticket);
        }
    }
}

static void s_queue(pcl_fleet *self, synthetic *node, uint64_t ticket)
{
    if (node->first == 0) {
        node->first = ticket;
    } else {
        job *before = pcl_ticket_table_find(self->jobs, node->last);
        assert(before != NULL);
        before->next = ticket;
    }
    node->last = ticket;
    node->queued++;
}

/* Where the next message is received: a place in the table, so that no message is ever moved.
 * NULL: the table is full, and messages wait where they are. */
static job *s_spare(pcl_fleet *self)
{
    if (self->spare == NULL) {
        self->spare = pcl_ticket_table_add(self->jobs, UINT64_MAX, &self->spare_ticket);
    }
    return self->spare;
}

/* true: the request in the spare place stays there. */
static bool s_admit(pcl_fleet *self, uint32_t number, job *one, uint64_t wait_us)
{
    synthetic *node = &self->nodes[number];
    const pcl_head *head = &one->message.head;
    uint64_t now_us = one->message.received_us;
    if (node->queued >= self->options.queue_max) {
        s_reply(self, node, head, NULL, PCL_ERR_OVERLOADED, now_us);
        return false;
    }
    one->node = number;
    one->next = 0;
    one->started_us = 0;
    one->arrived_us = now_us;
    one->deadline_us = now_us + pcl_time_left_us(head->budget_us, wait_us);
    if (node->running < self->options.workers) {
        s_start(self, node, one, self->spare_ticket, now_us);
    } else {
        s_queue(self, node, self->spare_ticket);
    }
    return true;
}

static void s_on_message(pcl_fleet *self, uint32_t number, job *one)
{
    synthetic *node = &self->nodes[number];
    const pcl_head *head = &one->message.head;
    uint64_t now_us = one->message.received_us;
    uint64_t wait_us = 0;
    (void)pcl_link_heard(node->link, head, now_us, &wait_us); /* all is answered, lost or not */
    if (head->kind == PCL_KIND_REQUEST && s_admit(self, number, one, wait_us)) {
        self->spare = NULL;
        return;
    }
    if (head->kind == PCL_KIND_PING) {
        pcl_report report = s_report(node, self, now_us);
        pcl_link_answer(node->link, head, now_us, &report);
    }
    pcl_hop_close(&one->message);
}

/* Until nothing waits there: see ready.h. */
static void s_drain(pcl_fleet *self, uint32_t number)
{
    job *one = NULL;
    while ((one = s_spare(self)) != NULL) {
        pcl_hop_recv_result result = pcl_link_recv(self->nodes[number].link, &one->message);
        if (result == PCL_HOP_MESSAGE) {
            s_on_message(self, number, one);
        } else if (result != PCL_HOP_DROPPED) {
            break;
        }
    }
    pcl_link_flush(self->nodes[number].link, pcl_now_us());
}

static void s_finish_due(pcl_fleet *self)
{
    uint64_t ticket = 0;
    uint64_t now_us = pcl_now_us();
    job *one = NULL;
    while ((one = pcl_ticket_table_due(self->jobs, now_us, &ticket)) != NULL) {
        uint32_t number = one->node;
        synthetic *node = &self->nodes[number];
        pcl_service_add(&node->service, now_us - one->started_us, now_us);
        node->running--;
        s_reply(self, node, &one->message.head, one, PCL_ERR_OK, now_us);
        s_forget(self, one, ticket);
        s_next(self, node, now_us);
        s_drain(self, number);
    }
}

static void s_tick(pcl_fleet *self, uint64_t now_us)
{
    if (now_us < self->tick_us) {
        return;
    }
    self->tick_us = now_us + TICK_US;
    for (uint32_t number = 0; number < self->count; number++) {
        synthetic *node = &self->nodes[number];
        pcl_report report = s_report(node, self, now_us);
        (void)pcl_link_tick(node->link, now_us, &report);
        s_drain(self, number);
    }
}

void pcl_fleet_serve(pcl_fleet *self, uint64_t for_us, int fd)
{
    assert(self != NULL);
    uint64_t end_us = pcl_now_us() + for_us;
    if (fd >= 0 && fd != self->caller_fd) {
        bool added = pcl_ready_add(self->ready, fd, TAG_CALLER);
        assert(added); /* a descriptor of the caller's that can be waited for */
        self->caller_fd = fd;
    }
    for (uint64_t now_us = pcl_now_us(); now_us < end_us; now_us = pcl_now_us()) {
        s_tick(self, now_us);
        s_finish_due(self);
        uint64_t next_us = pcl_ticket_table_next_deadline_us(self->jobs);
        next_us = next_us < self->tick_us ? next_us : self->tick_us;
        uint64_t tags[PCL_READY_MAX];
        uint32_t count = pcl_ready_wait(self->ready, next_us < end_us ? next_us : end_us, tags);
        bool called = false;
        for (uint32_t index = 0; index < count; index++) {
            if (tags[index] == TAG_CALLER) {
                called = true;
            } else {
                s_drain(self, (uint32_t)tags[index]);
            }
        }
        if (called) {
            return;
        }
    }
}

/* --- Life ---------------------------------------------------------------------------- */

bool pcl_fleet_grow(pcl_fleet *self, uint32_t count, char *error, size_t error_size)
{
    assert(self != NULL && count <= self->options.capacity);
    for (; self->count < count; self->count++) {
        synthetic *one = &self->nodes[self->count];
        const pcl_identity *identity = &self->options.identities[self->count];
        pcl_socket_options options = {.endpoint = self->options.endpoint,
                                      .keys = &identity->keys,
                                      .server_key = self->options.proxy_key,
                                      .queue_max = JOBS_MAX + LINK_SLACK,
                                      .message_size_max = PCL_REQUEST_SIZE_MAX};
        *one = (synthetic){.identity = identity,
                           .boot_id = pcl_rng_next(&self->rng),
                           .source = self->options.has_source && self->count == 0};
        one->link = pcl_link_new(&options, identity->name, one->boot_id, pcl_rng_next(&self->rng),
                                 error, error_size);
        if (one->link == NULL) {
            return false;
        }
        if (!pcl_ready_add(self->ready, zsock_fd(pcl_link_socket(one->link)), self->count)) {
            (void)snprintf(error, error_size, "%s: its socket cannot be waited for",
                           identity->name);
            pcl_link_destroy(&one->link);
            return false;
        }
        s_drain(self, self->count); /* a descriptor tells nothing before its socket was empty */
    }
    return true;
}

pcl_fleet *pcl_fleet_new(const pcl_fleet_options *options, char *error, size_t error_size)
{
    assert(options->capacity > 0 && options->workers > 0 && options->service_us > 0);
    pcl_fleet *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->options = *options;
    self->caller_fd = -1;
    self->rng = pcl_rng_from_seed(options->seed);
    pcl_buffer_init(&self->reply, PCL_REPLY_SIZE_MAX);
    self->nodes = calloc(options->capacity, sizeof *self->nodes);
    self->jobs = pcl_ticket_table_new(JOBS_MAX, sizeof(job), options->seed);
    assert(self->nodes != NULL && self->jobs != NULL);
    self->ready = pcl_ready_new();
    if (self->ready == NULL) {
        (void)snprintf(error, error_size, "the system gives no epoll descriptor");
        pcl_fleet_destroy(&self);
    }
    return self;
}

void pcl_fleet_destroy(pcl_fleet **self_p)
{
    assert(self_p != NULL);
    pcl_fleet *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->spare != NULL) {
        pcl_ticket_table_remove(self->jobs, self->spare_ticket);
    }
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    job *one = NULL;
    while ((one = pcl_ticket_table_each(self->jobs, &cursor, &ticket)) != NULL) {
        s_forget(self, one, ticket);
    }
    for (uint32_t number = 0; number < self->count; number++) {
        pcl_link_destroy(&self->nodes[number].link);
    }
    pcl_ready_destroy(&self->ready);
    pcl_ticket_table_destroy(&self->jobs);
    pcl_buffer_release(&self->reply);
    free(self->nodes);
    free(self);
    *self_p = NULL;
}

uint32_t pcl_fleet_count(const pcl_fleet *self)
{
    return self->count;
}

uint32_t pcl_fleet_up(const pcl_fleet *self)
{
    uint32_t up = 0;
    for (uint32_t number = 0; number < self->count; number++) {
        up += pcl_link_state_now(self->nodes[number].link) == PCL_LINK_UP ? 1 : 0;
    }
    return up;
}
