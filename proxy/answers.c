#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>
#include <string.h>

void pcl_proxy_undelivered(pcl_proxy *self, pcl_proxy_request *request, const pcl_head *reply,
                           pcl_proxy_drop why, uint64_t now_us)
{
    pcl_head asked = {0};
    pcl_err err = pcl_head_decode(&asked, pcl_hop_head_octets(&request->head_frame));
    assert(err == PCL_ERR_OK); /* it was decoded once */
    pcl_proxy_dropped(self, why, "broker", now_us);
    pcl_proxy_release_opened(self, reply, asked.principal, now_us);
}

/* false: there is no room at the broker now. */
static bool s_send_answer(pcl_proxy *self, pcl_proxy_request *request, const pcl_head *head,
                          zmq_msg_t *payload, uint64_t now_us)
{
    pcl_err err = pcl_hop_outbox_send(self->broker_outbox, &request->peer, head, payload, NULL);
    if (err == PCL_ERR_UNAVAILABLE) {
        pcl_proxy_undelivered(self, request, head, PCL_PROXY_DROP_UNROUTABLE, now_us);
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
        pcl_proxy_undelivered(self, request, head, PCL_PROXY_DROP_SLOW, now_us);
        pcl_proxy_remove(self, request, ticket);
        return;
    }
    if (fresh != NULL) {
        pcl_proxy_request_move(fresh, request);
        request = fresh;
    } else {
        pcl_proxy_unindex(self, request, ticket);
        pcl_hedge_line_remove(self->line, ticket);
        pcl_ticket_table_set_deadline(self->requests, ticket, until_us);
    }
    pcl_frame_keep(payload); /* it may have borrowed */
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
    pcl_proxy_leave_node(self, request);
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
    /* Whose that is: the reply may prove undeliverable when the request is forgotten. */
    bool held = (head.flags & PCL_HEAD_HELD) != 0;
    head.principal = held ? request->head.principal : pcl_bytes_of(NULL, 0);
    head.role = node; /* the membership keeps names for as long as the proxy lives */
    pcl_proxy_outcome(self, head.sql_class, head.code,
                      pcl_time_since_us(request->arrived_us, now_us));
    if (s_send_answer(self, request, &head, payload, now_us)) {
        pcl_proxy_remove(self, request, ticket);
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

void pcl_proxy_answer_text(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                           pcl_err err, pcl_retry retry, const char *message, uint64_t now_us)
{
    pcl_reply_error error = {.err = err, .retry = retry};
    if (message != NULL) {
        error.message = pcl_bytes_text(message);
    }
    pcl_proxy_answer_error(self, request, ticket, &error, now_us);
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
            pcl_proxy_remove(self, request, ticket);
        }
    }
}
