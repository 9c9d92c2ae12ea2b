#include "proxy/actor.h"

#include <assert.h>
#include <string.h>

void pcl_proxy_index(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket)
{
    assert(!request->indexed);
    pcl_id_index_add(self->ids, request->head.id, ticket);
    request->indexed = true;
}

void pcl_proxy_unindex(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket)
{
    if (request->indexed) {
        pcl_id_index_remove(self->ids, request->head.id, ticket);
        request->indexed = false;
    }
}

/* Not heard, the work ends at its deadline. */
bool pcl_proxy_withdraw(pcl_proxy *self, const pcl_proxy_request *request, uint64_t ticket,
                        uint64_t now_us)
{
    assert(request->node != PCL_MEMBER_NONE);
    pcl_head head = {.kind = PCL_KIND_CANCEL,
                     .op = request->head.op,
                     .sql_class = request->head.sql_class,
                     .ticket = ticket,
                     .sent_us = now_us};
    memcpy(head.id, request->head.id, sizeof head.id);
    return pcl_proxy_hint(self, request->node, &head);
}

/* Of two copies of a request the second is not counted. */
static bool s_counts(const pcl_proxy_request *request)
{
    return !request->hedge || request->twin == 0;
}

/* The node is told once: whoever says it again and again must not multiply it. */
static void s_stop(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket, uint64_t now_us)
{
    bool first = !request->cancelled;
    request->cancelled = true;
    if (first && s_counts(request)) {
        self->cancel_count++;
        pcl_metric_add(self->telemetry.cancels, 1);
    }
    if (!request->withdrawn && !request->waiting) { /* which the tick ends */
        request->withdrawn = pcl_proxy_withdraw(self, request, ticket, now_us);
    }
}

uint32_t pcl_proxy_cancel(pcl_proxy *self, const pcl_head *asked, uint64_t now_us)
{
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    while ((ticket = pcl_id_index_find(self->ids, asked->id, &cursor)) != 0) {
        pcl_proxy_request *request = pcl_ticket_table_find(self->requests, ticket);
        assert(request != NULL);
        if (pcl_bytes_equal(request->head.principal, asked->principal)) {
            s_stop(self, request, ticket, now_us);
            count += s_counts(request);
        }
    }
    return count;
}

void pcl_proxy_cancel_peer(pcl_proxy *self, pcl_bytes route, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    pcl_proxy_request *request = NULL;
    while ((request = pcl_ticket_table_each(self->requests, &cursor, &ticket)) != NULL) {
        if (request->indexed && pcl_bytes_equal(pcl_frame_bytes(&request->peer), route)) {
            s_stop(self, request, ticket, now_us);
        }
    }
}

/* One that is not found was answered already, and its reply is on its way. */
void pcl_proxy_on_cancel(pcl_proxy *self, pcl_hop_message *message, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    while ((ticket = pcl_id_index_find(self->ids, message->head.id, &cursor)) != 0) {
        pcl_proxy_request *request = pcl_ticket_table_find(self->requests, ticket);
        assert(request != NULL);
        if (request->head.ticket == message->head.ticket &&
            pcl_bytes_equal(pcl_frame_bytes(&request->peer), pcl_frame_bytes(&message->peer))) {
            s_stop(self, request, ticket, now_us); /* of two copies both, so the walk goes on */
        }
    }
}
