#include "proxy/actor.h"

#include "common/clock.h"

#include <assert.h>

enum {
    LOOKS_MAX = 32,      /* at late requests, between two rests */
    EXTRA_SHARE_MAX = 8, /* second copies and losers have at most this part of the table */
};

/* While nodes stand still, thousands may be late whom nobody can help. */
static const uint64_t REST_US = 1000;

pcl_copy pcl_proxy_copy(const pcl_proxy_request *request)
{
    if (request->loser) {
        return PCL_COPY_LOSER;
    }
    return request->twin != 0 ? PCL_COPY_PAIRED : PCL_COPY_ALONE;
}

uint32_t pcl_proxy_unanswered(const pcl_proxy *self)
{
    return pcl_ticket_table_count(self->requests) - self->extra_count;
}

static bool s_may(const pcl_proxy *self, const pcl_proxy_request *request)
{
    if (request->waits) { /* for a write that may not have arrived anywhere else either */
        return false;
    }
    pcl_need need = pcl_proxy_need(self, request);
    return pcl_hedge_may(request->head.op, request->read, request->pinned, need.source_only);
}

void pcl_proxy_hedge_watch(pcl_proxy *self, const pcl_proxy_request *request, uint64_t ticket,
                           uint64_t now_us)
{
    if (self->settings.hedge_share == 0 || request->hedged || !s_may(self, request)) {
        return;
    }
    if (request->attempts == 1) {
        pcl_hedge_earn(&self->hedge, self->settings.hedge_share);
    }
    pcl_hedge_line_add(self->line, ticket, now_us);
}

static pcl_proxy_request *s_twin(const pcl_proxy *self, const pcl_proxy_request *request)
{
    if (request->twin == 0) {
        return NULL;
    }
    pcl_proxy_request *twin = pcl_ticket_table_find(self->requests, request->twin);
    assert(twin != NULL && !twin->parked && !twin->loser);
    return twin;
}

/* For how long the second copy ran as such. */
static void s_charge(pcl_proxy *self, const pcl_proxy_request *copy, uint64_t now_us)
{
    pcl_hedge_charge(&self->hedge, pcl_time_since_us(copy->sent_us, now_us));
}

void pcl_proxy_hedge_won(pcl_proxy *self, pcl_proxy_request *request, uint64_t now_us)
{
    pcl_proxy_request *twin = s_twin(self, request);
    uint64_t since_us = request->sent_us;
    if (twin != NULL && twin->sent_us < since_us) {
        since_us = twin->sent_us;
    }
    if (s_may(self, request)) {
        pcl_hedge_observe(&self->hedge, pcl_time_since_us(since_us, now_us));
    }
    if (twin == NULL) {
        return;
    }
    s_charge(self, request->hedge ? request : twin, now_us);
    if (request->hedge) {
        self->hedges_won++;
        pcl_metric_add(self->telemetry.hedges_won, 1);
    }
    pcl_candidate_outrun(&pcl_membership_at(self->members, twin->node)->candidate,
                         pcl_time_since_us(twin->sent_us, now_us), now_us);
    if (!twin->withdrawn) {
        twin->withdrawn = pcl_proxy_withdraw(self, twin, request->twin, now_us);
    }
    pcl_proxy_unindex(self, twin, request->twin);
    pcl_hedge_line_remove(self->line, request->twin);
    zmq_msg_close(&twin->payload); /* as large as it may be, nobody will send it again */
    zmq_msg_init(&twin->payload);
    twin->loser = true;
    twin->twin = 0;
    request->twin = 0;
}

void pcl_proxy_hedge_unheard(pcl_proxy *self, const pcl_proxy_request *request,
                             const pcl_head *reply, uint64_t now_us)
{
    if (request->loser && reply->code == PCL_ERR_OK) {
        self->hedges_late++;
        pcl_metric_add(self->telemetry.hedges_late, 1);
    }
    pcl_proxy_release_opened(self, reply, request->head.principal, now_us);
}

void pcl_proxy_hedge_end(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                         uint64_t now_us)
{
    pcl_proxy_request *twin = s_twin(self, request);
    uint64_t twin_ticket = request->twin;
    assert(twin != NULL || request->loser);
    if (twin != NULL && request->hedge) {
        s_charge(self, request, now_us);
    }
    pcl_proxy_leave_node(self, request);
    pcl_proxy_remove(self, request, ticket);
    self->extra_count--;
    if (twin == NULL) {
        return;
    }
    twin->twin = 0;
    if (pcl_membership_at(self->members, twin->node)->state == PCL_MEMBER_SUSPECT) {
        pcl_proxy_doubted(self, twin, twin_ticket, now_us); /* left there for this copy's sake */
    }
}

/* Whether and where; leaves in *candidates who may take the copy. */
static pcl_hedge_verdict s_judge(pcl_proxy *self, const pcl_proxy_request *request,
                                 pcl_candidates *candidates, uint64_t now_us)
{
    uint32_t inflight_max = self->settings.inflight_max;
    pcl_hedge_case facts = {
        .cancelled = request->cancelled,
        .tokens = pcl_hedge_has(&self->hedge) && pcl_retry_budget_has(&self->retry_budget, now_us),
        .room = self->extra_count < inflight_max / EXTRA_SHARE_MAX &&
                pcl_ticket_table_count(self->requests) < inflight_max,
        .other = true,
        .idle = true,
        .left_us = pcl_time_left_us(request->deadline_us, now_us),
        .attempts = request->attempts,
    };
    pcl_hedge_verdict verdict = pcl_hedge_decide(&self->hedge, &facts);
    if (verdict != PCL_HEDGE_SEND) { /* not even to the best of nodes: no need to search */
        return verdict;
    }
    pcl_need need = pcl_proxy_need(self, request);
    need.stale_reads = false;
    pcl_candidates_find(self->members, &need, now_us, candidates);
    facts.other = candidates->count > 0 && !candidates->suspect && !candidates->panic &&
                  !candidates->waits;
    facts.load = pcl_hedge_load(candidates);
    pcl_hedge_leave_idle(candidates);
    facts.idle = candidates->count > 0;
    return pcl_hedge_decide(&self->hedge, &facts);
}

/* Both have the same octets, the same index and the same past; each its own ticket and node. */
static void s_send_copy(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                        const pcl_candidates *candidates, uint64_t now_us)
{
    pcl_proxy_request made;
    uint64_t copy_ticket = 0;
    pcl_proxy_request_copy(&made, request);
    made.hedge = true;
    made.hedged = true;
    pcl_proxy_request *copy = pcl_proxy_enter(self, &made, &copy_ticket);
    self->extra_count++;
    request->hedged = true;
    if (pcl_proxy_route_among(self, copy, copy_ticket, candidates, now_us) != PCL_ERR_OK) {
        pcl_proxy_remove(self, copy, copy_ticket);
        self->extra_count--;
        return;
    }
    copy->twin = ticket;
    request->twin = copy_ticket;
    request->attempts = copy->attempts;
    request->tried = copy->tried;
    pcl_hedge_spend(&self->hedge);
    pcl_retry_budget_spend(&self->retry_budget);
    self->hedges_sent++;
    pcl_metric_add(self->telemetry.hedges_sent, 1);
}

static void s_look(pcl_proxy *self, uint64_t ticket, uint64_t now_us)
{
    pcl_proxy_request *request = pcl_ticket_table_find(self->requests, ticket);
    assert(request != NULL && request->node != PCL_MEMBER_NONE);
    pcl_candidates candidates;
    pcl_hedge_line_remove(self->line, ticket);
    switch (s_judge(self, request, &candidates, now_us)) {
    case PCL_HEDGE_SEND:
        s_send_copy(self, request, ticket, &candidates, now_us);
        return;
    case PCL_HEDGE_STARVED:
        if (!request->starved) {
            request->starved = true;
            self->hedges_starved++;
            pcl_metric_add(self->telemetry.hedges_starved, 1);
        }
        pcl_hedge_line_add(self->line, ticket, now_us);
        return;
    case PCL_HEDGE_LATER:
        pcl_hedge_line_add(self->line, ticket, now_us);
        return;
    case PCL_HEDGE_NEVER:
        return;
    }
}

/* Not while messages of agents wait to be read: the answer may be among them. */
void pcl_proxy_hedge(pcl_proxy *self, uint64_t now_us)
{
    uint64_t delay_us = 0;
    uint64_t since_us = 0;
    uint64_t ticket = 0;
    uint64_t wake_us = UINT64_MAX;
    if (self->settings.hedge_share == 0 || self->agents_wait) {
        return;
    }
    if (now_us < self->hedge_rest_us) {
        pcl_loop_wake_at(self->loop, self->hedge_rest_us);
        return;
    }
    for (uint32_t looks = 0; (ticket = pcl_hedge_line_first(self->line, &since_us)) != 0; looks++) {
        if (!pcl_hedge_delay_us(&self->hedge, &delay_us)) { /* it changes with the tokens */
            return;
        }
        if (since_us + delay_us > now_us) {
            wake_us = since_us + delay_us;
            break;
        }
        if (looks == LOOKS_MAX) {
            self->hedge_rest_us = now_us + REST_US;
            wake_us = self->hedge_rest_us;
            break;
        }
        s_look(self, ticket, now_us);
    }
    pcl_loop_wake_at(self->loop, wake_us);
}
