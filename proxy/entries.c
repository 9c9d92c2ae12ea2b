#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>

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
    head->after.data = head->role.data + head->role.size;
}

void pcl_proxy_request_take(pcl_proxy_request *request, pcl_hop_message *message)
{
    s_init_messages(request);
    int moved = zmq_msg_move(&request->peer, &message->peer);
    moved |= zmq_msg_move(&request->head_frame, &message->head_frame);
    moved |= zmq_msg_move(&request->payload, &message->payload);
    assert(moved == 0);
    s_borrow_names(request);
}

void pcl_proxy_request_move(pcl_proxy_request *to, pcl_proxy_request *from)
{
    *to = *from;
    s_init_messages(to);
    int moved = zmq_msg_move(&to->peer, &from->peer);
    moved |= zmq_msg_move(&to->head_frame, &from->head_frame);
    moved |= zmq_msg_move(&to->payload, &from->payload);
    assert(moved == 0);
    s_borrow_names(to);
}

void pcl_proxy_request_copy(pcl_proxy_request *to, pcl_proxy_request *from)
{
    *to = *from;
    to->node = PCL_MEMBER_NONE;
    to->indexed = false;
    to->withdrawn = false;
    s_init_messages(to);
    int copied = zmq_msg_copy(&to->peer, &from->peer);
    copied |= zmq_msg_copy(&to->head_frame, &from->head_frame);
    copied |= zmq_msg_copy(&to->payload, &from->payload);
    assert(copied == 0);
    s_borrow_names(to);
}

void pcl_proxy_leave_node(pcl_proxy *self, pcl_proxy_request *request)
{
    if (request->node != PCL_MEMBER_NONE) {
        pcl_candidate_done(&pcl_membership_at(self->members, request->node)->candidate,
                           request->sent_us);
        request->node = PCL_MEMBER_NONE;
    }
}

void pcl_proxy_remove(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket)
{
    pcl_proxy_unindex(self, request, ticket);
    if (request->parked) {
        self->parked_count--;
        self->parked_size -= request->parked_size;
    }
    pcl_hedge_line_remove(self->line, ticket);
    pcl_proxy_request_release(request);
    if (ticket != 0) {
        pcl_ticket_table_remove(self->requests, ticket);
    }
}

pcl_proxy_request *pcl_proxy_enter(pcl_proxy *self, pcl_proxy_request *request,
                                   uint64_t *out_ticket)
{
    pcl_proxy_request *fresh = pcl_ticket_table_add(self->requests, request->deadline_us + GRACE_US,
                                                    out_ticket);
    assert(fresh != NULL);
    pcl_proxy_request_move(fresh, request);
    pcl_proxy_index(self, fresh, *out_ticket);
    return fresh;
}

pcl_proxy_request *pcl_proxy_renew(pcl_proxy *self, pcl_proxy_request *request, uint64_t *ticket)
{
    pcl_proxy_request moved;
    pcl_proxy_leave_node(self, request);
    pcl_proxy_unindex(self, request, *ticket);
    pcl_hedge_line_remove(self->line, *ticket);
    pcl_proxy_request_move(&moved, request);
    pcl_ticket_table_remove(self->requests, *ticket);
    return pcl_proxy_enter(self, &moved, ticket); /* there is room: one has just been removed */
}
