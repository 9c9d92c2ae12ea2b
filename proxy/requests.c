#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>
#include <string.h>

static void s_put_way(const pcl_proxy_request *request, pcl_buffer *buffer)
{
    pcl_mp_put_map(buffer, 4);
    pcl_mp_put_text(buffer, "hop");
    pcl_mp_put_text(buffer, "proxy");
    pcl_mp_put_text(buffer, "gatekeeper_us");
    pcl_mp_put_uint(buffer, request->head.gatekeeper_us);
    pcl_mp_put_text(buffer, "broker_us");
    pcl_mp_put_uint(buffer, request->head.broker_us);
    pcl_mp_put_text(buffer, "proxy_us");
    pcl_mp_put_uint(buffer, request->wait_us);
}

static bool s_is_dry_run(const pcl_proxy_request *request)
{
    return (request->head.flags & PCL_HEAD_DRY_RUN) != 0;
}

/* Of an op and a statement that can have one; brokers of ours ask for no other. */
static bool s_is_sound_dry_run(const pcl_proxy_request *request)
{
    return request->head.op == PCL_OP_QUERY && !request->pinned &&
           request->head.sql_class < PCL_SQL_CLASS_COUNT;
}

/* ping, status, cancel and dry runs end here. */
static bool s_ends_here(const pcl_proxy_request *request)
{
    pcl_op op = request->head.op;
    return op == PCL_OP_PING || op == PCL_OP_STATUS || op == PCL_OP_CANCEL || s_is_dry_run(request);
}

static void s_answer_self(pcl_proxy *self, pcl_proxy_request *request, uint64_t now_us)
{
    const pcl_head *asked = &request->head;
    pcl_buffer buffer;
    pcl_buffer_init(&buffer, PCL_REPLY_SIZE_MAX);
    bool plain = asked->op != PCL_OP_STATUS && asked->op != PCL_OP_CANCEL;
    pcl_reply_open(&buffer, asked->id, true, plain ? 1 : 2);
    if (asked->op == PCL_OP_STATUS) {
        pcl_mp_put_text(&buffer, "status");
        pcl_proxy_status_encode(self, now_us, &buffer);
    } else if (asked->op == PCL_OP_CANCEL) {
        pcl_mp_put_text(&buffer, "affected");
        pcl_mp_put_uint(&buffer, pcl_proxy_cancel(self, asked, now_us));
    }
    pcl_mp_put_text(&buffer, "route");
    if (s_is_dry_run(request)) {
        pcl_proxy_explain_choice(self, request, now_us, &buffer);
    } else {
        s_put_way(request, &buffer);
    }
    if (buffer.failed) {
        pcl_buffer_release(&buffer);
        pcl_proxy_answer_text(self, request, 0, PCL_ERR_NO_MEMORY, PCL_RETRY_SAFE, NULL, now_us);
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
    pcl_proxy_request_take(request, message);
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
    if (s_is_dry_run(&arrived) && !s_is_sound_dry_run(&arrived)) {
        pcl_proxy_answer_text(self, &arrived, 0, PCL_ERR_MALFORMED, PCL_RETRY_NEVER,
                              "dry_run: goes with a statement outside a session only", now_us);
        return;
    }
    if (s_ends_here(&arrived)) {
        s_answer_self(self, &arrived, now_us);
        return;
    }
    pcl_err err = s_admit(self, &arrived, now_us);
    if (err != PCL_ERR_OK) { /* nothing ran: safe whatever it is */
        pcl_proxy_answer_text(self, &arrived, 0, err, PCL_RETRY_SAFE, NULL, now_us);
        return;
    }
    pcl_retry_budget_earn(&self->retry_budget, now_us);
    uint64_t ticket = 0; /* s_admit saw room */
    pcl_proxy_request *request = pcl_proxy_enter(self, &arrived, &ticket);
    const char *text = NULL;
    err = request->pinned ? pcl_proxy_route_pinned(self, request, ticket, now_us, &text)
                          : pcl_proxy_route(self, request, ticket, now_us);
    if (err == PCL_ERR_NO_NODE && pcl_proxy_wait_for_source(self, request, ticket, now_us)) {
        return;
    }
    if (err != PCL_ERR_OK) { /* it did not leave */
        pcl_retry retry = err == PCL_ERR_GONE ? PCL_RETRY_NEVER : PCL_RETRY_SAFE;
        pcl_proxy_answer_text(self, request, ticket, err, retry, text, now_us);
        return;
    }
    pcl_proxy_hedge_watch(self, request, ticket, now_us);
}
