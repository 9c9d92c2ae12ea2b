#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>
#include <string.h>

static pcl_retry_verdict s_judge(pcl_proxy *self, const pcl_proxy_request *request,
                                 pcl_attempt_end end, uint64_t now_us)
{
    pcl_retry_case facts = {
        .end = end,
        .repeat = request->repeat,
        .cancelled = request->cancelled,
        .in_time = now_us < request->deadline_us,
        .attempts = request->attempts,
        .last = request->node != PCL_MEMBER_NONE &&
                pcl_membership_at(self->members, request->node)->report.role == PCL_NODE_SOURCE,
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
    if (end != PCL_ATTEMPT_BEHIND) {
        pcl_retry_budget_spend(&self->retry_budget);
        pcl_metric_add(self->telemetry.retries, 1);
        self->retry_count++;
        self->nodes[from].retries++;
    }
    request = pcl_proxy_renew(self, request, &ticket);
    request->hedge = false;
    pcl_err err = pcl_proxy_route(self, request, ticket, now_us);
    if (err != PCL_ERR_OK) { /* only what leaves no trace gets here */
        pcl_proxy_answer_text(self, request, ticket, err, PCL_RETRY_SAFE, NULL, now_us);
        return;
    }
    pcl_proxy_hedge_watch(self, request, ticket, now_us);
}

static void s_note_end(pcl_proxy *self, const pcl_proxy_request *request, pcl_attempt_end end,
                       uint64_t now_us)
{
    if (request->node != PCL_MEMBER_NONE) {
        uint64_t waited_us = pcl_time_since_us(request->sent_us, now_us);
        pcl_proxy_attempt_ended(self, request->node,
                                pcl_ejection_of_end(end, request->read, waited_us),
                                request->sent_us, now_us);
        if (end == PCL_ATTEMPT_EXPIRED && request->read && !request->pinned) {
            pcl_candidate_gave_up(&pcl_membership_at(self->members, request->node)->candidate,
                                  waited_us, now_us);
        }
    }
}

/* An attempt ended badly and left no answer to pass on. */
static void s_failed(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                     pcl_attempt_end end, uint64_t now_us)
{
    if (end != PCL_ATTEMPT_DOUBTED) {
        s_note_end(self, request, end, now_us);
    }
    pcl_copy_event event = end == PCL_ATTEMPT_DOUBTED ? PCL_COPY_DOUBT : PCL_COPY_FAILURE;
    pcl_copy_action action = pcl_copy_on(pcl_proxy_copy(request), event);
    if (action == PCL_COPY_YIELD || action == PCL_COPY_END) {
        pcl_proxy_hedge_end(self, request, ticket, now_us);
    }
    if (action != PCL_COPY_JUDGE) {
        return;
    }
    pcl_retry_verdict verdict = s_judge(self, request, end, now_us);
    switch (verdict.action) {
    case PCL_RETRY_AGAIN:
        s_again(self, request, ticket, end, now_us);
        return;
    case PCL_RETRY_WAIT:
        return;
    case PCL_RETRY_ANSWER:
    case PCL_RETRY_PASS:
        pcl_proxy_answer_text(self, request, ticket, verdict.err, verdict.retry, verdict.message,
                              now_us);
        return;
    }
}

/* Whether it may be sent again at all, with what it has left. */
static pcl_err s_may_go_again(const pcl_proxy_request *request, uint64_t now_us)
{
    if (request->cancelled) {
        return PCL_ERR_CANCELLED;
    }
    return now_us < request->deadline_us ? PCL_ERR_OK : PCL_ERR_DEADLINE;
}

void pcl_proxy_unsent(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket, uint64_t now_us)
{
    pcl_copy_action action = pcl_copy_on(pcl_proxy_copy(request), PCL_COPY_FAILURE);
    if (action == PCL_COPY_YIELD || action == PCL_COPY_END) {
        pcl_proxy_hedge_end(self, request, ticket, now_us);
        return;
    }
    const char *text = NULL;
    pcl_err err = s_may_go_again(request, now_us);
    if (err == PCL_ERR_OK) {
        request = pcl_proxy_renew(self, request, &ticket);
        request->attempts--; /* that one was none */
        request->hedge = false;
        err = request->pinned ? pcl_proxy_route_pinned(self, request, ticket, now_us, &text)
                              : pcl_proxy_route(self, request, ticket, now_us);
    }
    if (err == PCL_ERR_NO_NODE && pcl_proxy_wait_for_source(self, request, ticket, now_us)) {
        return;
    }
    if (err != PCL_ERR_OK) {
        pcl_retry retry = err == PCL_ERR_GONE ? PCL_RETRY_NEVER : PCL_RETRY_SAFE;
        pcl_proxy_answer_text(self, request, ticket, err, retry, text, now_us);
        return;
    }
    pcl_proxy_hedge_watch(self, request, ticket, now_us);
}

void pcl_proxy_doubted(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                       uint64_t now_us)
{
    s_failed(self, request, ticket, PCL_ATTEMPT_DOUBTED, now_us);
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
            pcl_proxy_undelivered(self, request, &request->head, PCL_PROXY_DROP_SLOW, now_us);
            pcl_proxy_remove(self, request, ticket);
        } else if (request->waiting) {
            pcl_proxy_wait_ends(self, request, ticket, now_us);
        } else {
            s_failed(self, request, ticket, PCL_ATTEMPT_EXPIRED, now_us);
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
    pcl_candidate_timed(&pcl_membership_at(self->members, request->node)->candidate,
                        &(pcl_timing){.total_us = pcl_time_since_us(request->sent_us, now_us),
                                      .exec_us = report->exec_us,
                                      .queue_us = report->queue_us},
                        now_us);
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
    pcl_metric_add(self->telemetry.behind, head->code == PCL_ERR_BEHIND ? 1 : 0);
    uint64_t waited_us = pcl_time_since_us(request->sent_us, now_us);
    bool fault = report != NULL && report->fault;
    pcl_proxy_attempt_ended(self, node, pcl_ejection_of_reply(head->code, fault, waited_us),
                            request->sent_us, now_us);
    pcl_copy_event event = head->code == PCL_ERR_OK ? PCL_COPY_SUCCESS : PCL_COPY_FAILURE;
    s_note_quality(self, request, head, report, now_us);
    switch (pcl_copy_on(pcl_proxy_copy(request), event)) {
    case PCL_COPY_YIELD:
    case PCL_COPY_END:
        pcl_proxy_hedge_unheard(self, request, head, now_us);
        pcl_proxy_hedge_end(self, request, head->ticket, now_us);
        return;
    case PCL_COPY_JUDGE:
    case PCL_COPY_WIN:
    case PCL_COPY_STAY: /* not of a reply */
        break;
    }
    bool unrun = (head->code == PCL_ERR_NO_NODE || head->code == PCL_ERR_DRAINING) &&
                 head->retry == PCL_RETRY_SAFE;
    if (unrun && pcl_proxy_wait_for_source(self, request, head->ticket, now_us)) {
        return;
    }
    bool behind = head->code == PCL_ERR_BEHIND;
    if (behind || pcl_retry_code(head->code)) {
        pcl_attempt_end end = behind ? PCL_ATTEMPT_BEHIND : PCL_ATTEMPT_REFUSED;
        request->behind = request->behind || behind;
        pcl_retry_verdict verdict = s_judge(self, request, end, now_us);
        if (verdict.action == PCL_RETRY_AGAIN) {
            s_again(self, request, head->ticket, end, now_us);
            return;
        }
    }
    if (event == PCL_COPY_SUCCESS) {
        pcl_proxy_hedge_won(self, request, now_us);
    }
    pcl_proxy_answer(self, request, head->ticket, head, &message->payload, now_us);
}
