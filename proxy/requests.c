#include "proxy/actor.h"

#include "common/clock.h"
#include "net/log.h"

#include <assert.h>
#include <string.h>

#define GRACE_US (PCL_GRACE_PROXY_MS * PCL_US_PER_MS)

void pcl_proxy_request_release(pcl_proxy_request *request)
{
    zmq_msg_close(&request->peer);
    zmq_msg_close(&request->head_frame);
    zmq_msg_close(&request->payload);
}

static void s_init_messages(pcl_proxy_request *request)
{
    zmq_msg_init(&request->peer);
    zmq_msg_init(&request->head_frame);
    zmq_msg_init(&request->payload);
}

/* principal and role are borrowed from the frame, which has moved. */
static void s_borrow_names(pcl_proxy_request *request)
{
    const uint8_t *octets = zmq_msg_data(&request->head_frame);
    pcl_head *head = &request->head;
    head->principal.data = octets + PCL_HEAD_FIXED_SIZE;
    head->role.data = octets + PCL_HEAD_FIXED_SIZE + head->principal.size;
}

/* Empties from, which stays initialised. */
static void s_move(pcl_proxy_request *to, pcl_proxy_request *from)
{
    *to = *from;
    s_init_messages(to);
    int moved = zmq_msg_move(&to->peer, &from->peer);
    moved |= zmq_msg_move(&to->head_frame, &from->head_frame);
    moved |= zmq_msg_move(&to->payload, &from->payload);
    assert(moved == 0);
    s_borrow_names(to);
}

/* The node has it no longer, or we stopped waiting for it there. */
static void s_leave_node(pcl_proxy *self, pcl_proxy_request *request)
{
    if (request->node != PCL_MEMBER_NONE) {
        pcl_candidate_done(&pcl_membership_at(self->members, request->node)->candidate,
                           request->sent_us);
        request->node = PCL_MEMBER_NONE;
    }
}

static void s_remove(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket)
{
    pcl_proxy_unindex(self, request, ticket);
    if (request->parked) {
        self->parked_count--;
        self->parked_size -= request->parked_size;
    }
    pcl_proxy_request_release(request);
    if (ticket != 0) {
        pcl_ticket_table_remove(self->requests, ticket);
    }
}

/* The reply will not reach the broker.  Whose request it was stands in the frame that it came
 * with, also when the reply's head has taken the place of the request's. */
static void s_undelivered(pcl_proxy *self, pcl_proxy_request *request, const pcl_head *reply,
                          pcl_proxy_drop why, uint64_t now_us)
{
    pcl_head asked = {0};
    pcl_err err = pcl_head_decode(&asked, pcl_frame_bytes(&request->head_frame));
    assert(err == PCL_ERR_OK); /* it was decoded once */
    pcl_proxy_dropped(self, why, "broker", now_us);
    pcl_proxy_release_opened(self, reply, asked.principal, now_us);
}

/* false: there is no room at the broker now. */
static bool s_send_answer(pcl_proxy *self, pcl_proxy_request *request, const pcl_head *head,
                          zmq_msg_t *payload, uint64_t now_us)
{
    pcl_err err = pcl_hop_send(self->broker_door.socket, &request->peer, head, payload, NULL);
    if (err == PCL_ERR_UNAVAILABLE) {
        s_undelivered(self, request, head, PCL_PROXY_DROP_UNROUTABLE, now_us);
    }
    return err != PCL_ERR_OVERLOADED;
}

/* Keeps the reply until there is room.  What was refused, or answered here, got
 * no ticket and gets one now; when none is left, or what waits is too much
 * already, the broker's deadline speaks. */
static void s_park(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                   const pcl_head *head, zmq_msg_t *payload, uint64_t now_us)
{
    uint64_t until_us = now_us + PCL_PROXY_PARK_MS * PCL_US_PER_MS;
    size_t size = zmq_msg_size(payload);
    bool room = size <= PCL_PROXY_PARKED_SIZE_MAX - self->parked_size;
    pcl_proxy_request *fresh = NULL;
    if (room && ticket == 0) {
        fresh = pcl_ticket_table_add(self->requests, until_us, &ticket);
        room = fresh != NULL;
    }
    if (!room) {
        s_undelivered(self, request, head, PCL_PROXY_DROP_SLOW, now_us);
        s_remove(self, request, ticket);
        return;
    }
    if (fresh != NULL) {
        s_move(fresh, request);
        request = fresh;
    } else {
        pcl_proxy_unindex(self, request, ticket);
        pcl_ticket_table_set_deadline(self->requests, ticket, until_us);
    }
    int moved = zmq_msg_move(&request->payload, payload);
    assert(moved == 0);
    request->head = *head;
    request->parked = true;
    request->parked_size = size;
    self->parked_count++;
    self->parked_size += size;
}

void pcl_proxy_answer(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                      const pcl_head *reply_head, zmq_msg_t *payload, uint64_t now_us)
{
    assert(!request->parked);
    /* As the key list calls the node, not as it calls itself. */
    bool ran = reply_head->role.size > 0 && request->node != PCL_MEMBER_NONE;
    pcl_bytes node = ran ? pcl_bytes_text(pcl_membership_at(self->members, request->node)->name)
                         : pcl_bytes_of(NULL, 0);
    s_leave_node(self, request);
    pcl_head head = *reply_head;
    head.kind = PCL_KIND_REPLY;
    head.ticket = request->head.ticket;
    head.op = request->head.op;
    head.sql_class = request->head.sql_class;
    head.flags = reply_head->flags & (PCL_HEAD_HELD | PCL_HEAD_RELEASED);
    if (head.flags == 0) {
        memset(head.session, 0, sizeof head.session);
    }
    head.sent_us = now_us;
    head.gatekeeper_us = request->head.gatekeeper_us;
    head.broker_us = request->head.broker_us;
    memcpy(head.id, request->head.id, sizeof head.id);
    head.principal = pcl_bytes_of(NULL, 0);
    head.role = node; /* the membership keeps names for as long as the proxy lives */
    pcl_proxy_outcome(self, head.sql_class, head.code,
                      pcl_time_since_us(request->arrived_us, now_us));
    if (s_send_answer(self, request, &head, payload, now_us)) {
        s_remove(self, request, ticket);
    } else {
        s_park(self, request, ticket, &head, payload, now_us);
    }
}

void pcl_proxy_answer_error(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                            const pcl_reply_error *error, uint64_t now_us)
{
    pcl_reply_error full = *error;
    full.hop = "proxy";
    if (full.err == PCL_ERR_OVERLOADED) {
        full.retry_after_ms = PCL_PROXY_RETRY_AFTER_MS;
    }
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    pcl_reply_error_encode(&buffer, request->head.id, &full);
    zmq_msg_t payload;
    pcl_frame_of_buffer(&payload, &buffer);
    pcl_buffer_release(&buffer);
    pcl_head head = {.strategy = request->strategy,
                     .attempt = (uint8_t)request->attempts,
                     .code = full.err,
                     .retry = full.retry};
    if (full.err == PCL_ERR_GONE) { /* whoever holds it may forget it */
        head.flags = PCL_HEAD_RELEASED;
        memcpy(head.session, request->head.session, sizeof head.session);
        pcl_held_id_set_page(head.session, 0);
    }
    pcl_proxy_answer(self, request, ticket, &head, &payload, now_us);
    zmq_msg_close(&payload);
}

/* message: NULL for the code's own. */
static void s_answer_text(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket, pcl_err err,
                          pcl_retry retry, const char *message, uint64_t now_us)
{
    pcl_reply_error error = {.err = err, .retry = retry};
    if (message != NULL) {
        error.message = pcl_bytes_text(message);
    }
    pcl_proxy_answer_error(self, request, ticket, &error, now_us);
}

static void s_answer_code(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket, pcl_err err,
                          pcl_retry retry, uint64_t now_us)
{
    s_answer_text(self, request, ticket, err, retry, NULL, now_us);
}

/* ping, status and cancel end here. */
static void s_answer_self(pcl_proxy *self, pcl_proxy_request *request, uint64_t now_us)
{
    const pcl_head *asked = &request->head;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    bool plain = asked->op == PCL_OP_PING;
    pcl_reply_open(&buffer, asked->id, true, plain ? 1 : 2);
    if (asked->op == PCL_OP_STATUS) {
        pcl_mp_put_text(&buffer, "status");
        pcl_proxy_status_encode(self, now_us, &buffer);
    } else if (asked->op == PCL_OP_CANCEL) {
        pcl_mp_put_text(&buffer, "affected");
        pcl_mp_put_uint(&buffer, pcl_proxy_cancel(self, asked, now_us));
    }
    pcl_mp_put_text(&buffer, "route");
    pcl_mp_put_map(&buffer, 4);
    pcl_mp_put_text(&buffer, "hop");
    pcl_mp_put_text(&buffer, "proxy");
    pcl_mp_put_text(&buffer, "gatekeeper_us");
    pcl_mp_put_uint(&buffer, asked->gatekeeper_us);
    pcl_mp_put_text(&buffer, "broker_us");
    pcl_mp_put_uint(&buffer, asked->broker_us);
    pcl_mp_put_text(&buffer, "proxy_us");
    pcl_mp_put_uint(&buffer, request->wait_us);
    if (buffer.failed) {
        pcl_buffer_release(&buffer);
        s_answer_code(self, request, 0, PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, now_us);
        return;
    }
    zmq_msg_t payload;
    pcl_frame_of_buffer(&payload, &buffer);
    pcl_buffer_release(&buffer);
    pcl_head head = {.code = PCL_ERR_OK};
    pcl_proxy_answer(self, request, 0, &head, &payload, now_us);
    zmq_msg_close(&payload);
}

/* What can only be of a session or a cursor is, whatever it names. */
static bool s_is_pinned(const pcl_head *head)
{
    static const uint8_t NONE[PCL_ID_SIZE];
    return head->op == PCL_OP_COMMIT || head->op == PCL_OP_ROLLBACK || head->op == PCL_OP_FETCH ||
           head->op == PCL_OP_CLOSE || memcmp(head->session, NONE, sizeof NONE) != 0;
}

/* Writes go to the source whatever the request says; a session is where it is. */
static pcl_strategy_kind s_strategy(const pcl_proxy *self, const pcl_proxy_request *request)
{
    if (request->pinned) {
        return PCL_STRATEGY_DEFAULT;
    }
    if (!request->read) {
        return PCL_STRATEGY_DIRECT;
    }
    return request->head.strategy == PCL_STRATEGY_DEFAULT ? self->settings.strategy
                                                          : request->head.strategy;
}

static void s_take_message(const pcl_proxy *self, pcl_proxy_request *request,
                           pcl_hop_message *message, uint64_t wait_us, uint64_t now_us)
{
    const pcl_head *head = &message->head;
    uint64_t left_us = pcl_time_left_us(head->budget_us, wait_us);
    bool read = (head->op == PCL_OP_QUERY || head->op == PCL_OP_BEGIN) &&
                head->sql_class < PCL_SQL_CLASS_COUNT &&
                pcl_sql_is_read((pcl_sql_class)head->sql_class);
    bool pinned = s_is_pinned(head);
    *request = (pcl_proxy_request){
        .head = *head,
        .arrived_us = now_us,
        .deadline_us = now_us + left_us,
        .wait_us = wait_us < UINT32_MAX ? (uint32_t)wait_us : UINT32_MAX,
        .node = PCL_MEMBER_NONE,
        .read = read,
        .pinned = pinned,
        .repeat = pcl_retry_repeat(head->op, read, pinned),
    };
    request->strategy = s_strategy(self, request);
    s_init_messages(request);
    int moved = zmq_msg_move(&request->peer, &message->peer);
    moved |= zmq_msg_move(&request->head_frame, &message->head_frame);
    moved |= zmq_msg_move(&request->payload, &message->payload);
    assert(moved == 0);
    s_borrow_names(request);
}

/* OK: it may be routed. */
static pcl_err s_admit(const pcl_proxy *self, const pcl_proxy_request *request, uint64_t now_us)
{
    if (request->deadline_us <= now_us) {
        return PCL_ERR_DEADLINE;
    }
    if (self->draining) {
        return PCL_ERR_DRAINING;
    }
    bool full = pcl_ticket_table_count(self->requests) == self->settings.inflight_max;
    return full ? PCL_ERR_OVERLOADED : PCL_ERR_OK;
}

void pcl_proxy_begin(pcl_proxy *self, pcl_hop_message *message, uint64_t wait_us, uint64_t now_us)
{
    pcl_proxy_request arrived;
    s_take_message(self, &arrived, message, wait_us, now_us);
    self->request_count++;
    pcl_op op = arrived.head.op;
    if (op == PCL_OP_PING || op == PCL_OP_STATUS || op == PCL_OP_CANCEL) {
        s_answer_self(self, &arrived, now_us);
        return;
    }
    pcl_err err = s_admit(self, &arrived, now_us);
    if (err != PCL_ERR_OK) { /* nothing ran: safe whatever it is */
        s_answer_code(self, &arrived, 0, err, PCL_RETRY_SAFE, now_us);
        return;
    }
    pcl_retry_budget_earn(&self->retry_budget, now_us);
    uint64_t ticket = 0;
    pcl_proxy_request *request = pcl_ticket_table_add(self->requests,
                                                      arrived.deadline_us + GRACE_US, &ticket);
    assert(request != NULL); /* s_admit saw room */
    s_move(request, &arrived);
    pcl_proxy_index(self, request, ticket);
    const char *text = NULL;
    err = request->pinned ? pcl_proxy_route_pinned(self, request, ticket, now_us, &text)
                          : pcl_proxy_route(self, request, ticket, now_us);
    if (err != PCL_ERR_OK) { /* it did not leave */
        pcl_retry retry = err == PCL_ERR_GONE ? PCL_RETRY_NEVER : PCL_RETRY_SAFE;
        s_answer_text(self, request, ticket, err, retry, text, now_us);
    }
}

/* Gives the request a new ticket, so that an answer to the old one is stale. */
static pcl_proxy_request *s_renew(pcl_proxy *self, pcl_proxy_request *request, uint64_t *ticket)
{
    pcl_proxy_request moved;
    s_leave_node(self, request);
    pcl_proxy_unindex(self, request, *ticket);
    s_move(&moved, request);
    pcl_ticket_table_remove(self->requests, *ticket);
    pcl_proxy_request *fresh = pcl_ticket_table_add(self->requests, moved.deadline_us + GRACE_US,
                                                    ticket);
    assert(fresh != NULL); /* one has just been removed */
    s_move(fresh, &moved);
    pcl_proxy_index(self, fresh, *ticket);
    return fresh;
}

static pcl_retry_verdict s_judge(pcl_proxy *self, const pcl_proxy_request *request,
                                 pcl_attempt_end end, uint64_t now_us)
{
    pcl_retry_case facts = {
        .end = end,
        .repeat = request->repeat,
        .cancelled = request->cancelled,
        .in_time = now_us < request->deadline_us,
        .attempts = request->attempts,
    };
    if (facts.repeat == PCL_REPEAT_ANYWHERE && facts.in_time) {
        pcl_need need = pcl_proxy_need(self, request);
        pcl_candidates candidates;
        pcl_candidates_find(self->members, &need, now_us, &candidates);
        facts.other = candidates.count > 0;
        facts.other_sound = facts.other && !candidates.suspect;
        facts.budget = pcl_retry_budget_has(&self->retry_budget, now_us);
    }
    return pcl_retry_decide(&facts);
}

/* To another node.  The verdict saw one; when it cannot be reached after all, the
 * answer is an error.  A node that is merely doubted may still work on it in vain. */
static void s_again(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                    pcl_attempt_end end, uint64_t now_us)
{
    uint32_t from = request->node;
    if (end == PCL_ATTEMPT_DOUBTED) {
        (void)pcl_proxy_withdraw(self, request, ticket, now_us); /* its deadline ends it, too */
    }
    pcl_retry_budget_spend(&self->retry_budget);
    pcl_metric_add(self->telemetry.retries, 1);
    self->retry_count++;
    self->nodes[from].retries++;
    request = s_renew(self, request, &ticket);
    pcl_err err = pcl_proxy_route(self, request, ticket, now_us);
    if (err != PCL_ERR_OK) { /* only what leaves no trace gets here */
        s_answer_code(self, request, ticket, err, PCL_RETRY_SAFE, now_us);
    }
}

/* An attempt ended badly and left no answer to pass on. */
static void s_failed(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                     pcl_attempt_end end, uint64_t now_us)
{
    pcl_retry_verdict verdict = s_judge(self, request, end, now_us);
    switch (verdict.action) {
    case PCL_RETRY_AGAIN:
        s_again(self, request, ticket, end, now_us);
        return;
    case PCL_RETRY_WAIT:
        return;
    case PCL_RETRY_ANSWER:
    case PCL_RETRY_PASS:
        s_answer_text(self, request, ticket, verdict.err, verdict.retry, verdict.message, now_us);
        return;
    }
}

void pcl_proxy_node_failed(pcl_proxy *self, uint32_t node, pcl_attempt_end end, uint64_t now_us)
{
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_proxy_request *found = NULL;
    while ((found = pcl_ticket_table_each(self->requests, &cursor, &ticket)) != NULL) {
        bool moves = found->repeat == PCL_REPEAT_ANYWHERE;
        if (found->node == node && (end != PCL_ATTEMPT_DOUBTED || moves)) {
            self->walk[count++] = ticket;
        }
    }
    for (uint32_t index = 0; index < count; index++) {
        pcl_proxy_request *request = pcl_ticket_table_find(self->requests, self->walk[index]);
        assert(request != NULL && request->node == node);
        s_failed(self, request, self->walk[index], end, now_us);
    }
}

void pcl_proxy_expire(pcl_proxy *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    pcl_proxy_request *request = NULL;
    while ((request = pcl_ticket_table_due(self->requests, now_us, &ticket)) != NULL) {
        if (request->parked) {
            s_undelivered(self, request, &request->head, PCL_PROXY_DROP_SLOW, now_us);
            s_remove(self, request, ticket);
        } else {
            s_failed(self, request, ticket, PCL_ATTEMPT_EXPIRED, now_us);
        }
    }
}

void pcl_proxy_unpark(pcl_proxy *self, uint64_t now_us)
{
    if (self->parked_count == 0) {
        return;
    }
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    pcl_proxy_request *request = NULL;
    while ((request = pcl_ticket_table_each(self->requests, &cursor, &ticket)) != NULL) {
        if (request->parked &&
            s_send_answer(self, request, &request->head, &request->payload, now_us)) {
            s_remove(self, request, ticket);
        }
    }
}

static void s_note_quality(pcl_proxy *self, const pcl_proxy_request *request, const pcl_head *reply,
                           const pcl_report *report, uint64_t now_us)
{
    if (report == NULL || request->head.op != PCL_OP_QUERY || !request->read || request->pinned ||
        reply->code != PCL_ERR_OK) {
        return; /* failing fast must not look quick, nor waiting for one's own session slow */
    }
    uint64_t node_us = (uint64_t)report->exec_us + report->queue_us;
    pcl_candidate_timed(&pcl_membership_at(self->members, request->node)->candidate,
                        pcl_time_since_us(request->sent_us, now_us), node_us, now_us);
}

/* true: the reply answers what the ticket stands for.  Else *out_why is set. */
static bool s_fits(const pcl_proxy_request *request, uint32_t node, const pcl_head *reply,
                   pcl_proxy_drop *out_why)
{
    if (request == NULL || request->parked) {
        *out_why = PCL_PROXY_DROP_STALE;
    } else if (memcmp(request->head.id, reply->id, sizeof reply->id) != 0) {
        *out_why = PCL_PROXY_DROP_ID_MISMATCH;
    } else if (request->node != node) {
        *out_why = PCL_PROXY_DROP_WRONG_NODE;
    } else {
        return true;
    }
    return false;
}

/* A node speaks for what its own present run holds, and for nothing else. */
static void s_drop_reply(pcl_proxy *self, uint32_t node, const pcl_head *reply, pcl_proxy_drop why,
                         uint64_t now_us)
{
    pcl_proxy_dropped(self, why, pcl_membership_at(self->members, node)->name, now_us);
    if (pcl_pinned_node(self->members, reply->session) == node) {
        pcl_proxy_release_opened(self, reply, reply->principal, now_us);
    }
}

void pcl_proxy_on_reply(pcl_proxy *self, uint32_t node, pcl_hop_message *message,
                        const pcl_report *report, uint64_t now_us)
{
    const pcl_head *head = &message->head;
    pcl_proxy_request *request = pcl_ticket_table_find(self->requests, head->ticket);
    pcl_proxy_drop why = PCL_PROXY_DROP_STALE;
    if (!s_fits(request, node, head, &why)) {
        s_drop_reply(self, node, head, why, now_us);
        return;
    }
    if (pcl_retry_code(head->code)) {
        pcl_retry_verdict verdict = s_judge(self, request, PCL_ATTEMPT_REFUSED, now_us);
        if (verdict.action == PCL_RETRY_AGAIN) {
            s_again(self, request, head->ticket, PCL_ATTEMPT_REFUSED, now_us);
            return;
        }
    }
    s_note_quality(self, request, head, report, now_us);
    pcl_proxy_answer(self, request, head->ticket, head, &message->payload, now_us);
}
