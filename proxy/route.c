#include "proxy/actor.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/time.h"
#include "proxy/awaited.h"

#include <assert.h>

pcl_need pcl_proxy_need(const pcl_proxy *self, const pcl_proxy_request *request)
{
    uint32_t lag_ms_max = self->settings.lag_ms_max;
    bool bounded = request->head.consistency == PCL_CONSISTENCY_MAX_LAG;
    if (bounded && request->head.max_lag_ms < lag_ms_max) {
        lag_ms_max = request->head.max_lag_ms;
    }
    return (pcl_need){
        .read = request->read,
        .source_only = request->strategy == PCL_STRATEGY_DIRECT ||
                       request->head.consistency == PCL_CONSISTENCY_SOURCE,
        .reads_on_source = self->settings.reads_on_source,
        .stale_reads = self->settings.stale_reads && !bounded,
        .lag_ms_max = lag_ms_max,
        .replicas_min = self->settings.replicas_min,
        .node_inflight_max = self->settings.node_inflight_max,
        .tried = request->tried,
        .may_try = request->attempts == 0 && request->repeat == PCL_REPEAT_ANYWHERE,
        .turn = self->turn,
        .health = &self->settings.health,
        .after = request->head.after,
        .behind = request->behind,
        .term_min = self->topology.term,
    };
}

static pcl_head s_head_for_agent(const pcl_proxy_request *request, const pcl_candidate *candidate,
                                 uint64_t ticket, uint64_t now_us)
{
    pcl_head head = request->head;
    uint64_t left_us = pcl_time_left_us(request->deadline_us, now_us);
    head.ticket = ticket;
    head.strategy = request->strategy;
    head.attempt = (uint8_t)request->attempts;
    head.flags &= (uint8_t)~PCL_HEAD_SEALED; /* the broker has proved it; the agent needs it not */
    if (request->hedge) {
        head.flags |= PCL_HEAD_HEDGE;
    }
    head.budget_us = left_us < UINT32_MAX ? (uint32_t)left_us : UINT32_MAX;
    head.sent_us = now_us;
    head.proxy_us = request->wait_us +
                    (uint32_t)pcl_time_since_us(request->arrived_us, pcl_now_us());
    head.term = candidate->term;
    return head;
}

/* Among the candidates that stand in *out. */
static void s_pick(const pcl_proxy *self, const pcl_need *need, pcl_strategy_kind strategy,
                   pcl_strategy_state *state, pcl_rng *rng, uint64_t now_us, pcl_proxy_choice *out)
{
    uint32_t position = PCL_CHOICE_NONE;
    out->strategy = strategy;
    if (out->candidates.count > 0) {
        position = pcl_strategy_choose(strategy, state,
                                       &(pcl_choice_input){.candidates = out->candidates.fit,
                                                           .count = out->candidates.count,
                                                           .now_us = now_us,
                                                           .lag_ms_max = need->lag_ms_max,
                                                           .far_margin = self->settings.far_margin,
                                                           .rng = rng,
                                                           .out_costs = out->costs});
    }
    out->chosen = position == PCL_CHOICE_NONE ? NULL : out->candidates.fit[position];
}

/* With that state and random stream of the strategy. */
static void s_choose_with(const pcl_proxy *self, pcl_strategy_kind kind, const pcl_need *need,
                          pcl_strategy_state *state, pcl_rng *rng, uint64_t now_us,
                          pcl_proxy_choice *out)
{
    pcl_candidates_find(self->members, need, now_us, &out->candidates);
    s_pick(self, need, kind, state, rng, now_us, out);
}

/* Some strategies want to hear of a node before they choose the next time. */
static void s_probe(pcl_proxy *self, pcl_strategy_kind kind, const pcl_candidates *candidates,
                    uint64_t now_us)
{
    if (candidates->count == 0) {
        return;
    }
    uint32_t position = pcl_strategy_probe(kind, &self->strategy_state,
                                           &(pcl_choice_input){.candidates = candidates->fit,
                                                               .count = candidates->count,
                                                               .now_us = now_us,
                                                               .rng = &self->rng});
    if (position != PCL_CHOICE_NONE) {
        pcl_proxy_probe(self, candidates->fit[position]->index, now_us);
    }
}

static void s_choose(pcl_proxy *self, const pcl_proxy_request *request, uint64_t now_us,
                     pcl_proxy_choice *out)
{
    uint64_t began_us = pcl_now_us();
    pcl_need need = pcl_proxy_need(self, request);
    need.may_try = need.may_try && pcl_retry_budget_has(&self->retry_budget, now_us);
    self->turn++;
    s_choose_with(self, request->strategy, &need, &self->strategy_state, &self->rng, now_us, out);
    pcl_proxy_note_left_out(self, &out->candidates);
    s_probe(self, request->strategy, &out->candidates, now_us);
    pcl_metric_observe_us(self->telemetry.decision, pcl_time_since_us(began_us, pcl_now_us()));
}

static void s_put_text(pcl_buffer *buffer, const char *key, const char *value)
{
    pcl_mp_put_text(buffer, key);
    pcl_mp_put_text(buffer, value);
}

void pcl_proxy_explain_choice(const pcl_proxy *self, const pcl_proxy_request *request,
                              uint64_t now_us, pcl_buffer *buffer)
{
    pcl_strategy_state state = self->strategy_state;
    pcl_rng rng = self->rng;
    pcl_proxy_choice choice;
    pcl_need need = pcl_proxy_need(self, request);
    need.may_try = false; /* nothing is sent, so nothing is tried */
    s_choose_with(self, request->strategy, &need, &state, &rng, now_us, &choice);
    const pcl_head *head = &request->head;
    pcl_mp_put_map(buffer, (choice.chosen != NULL ? 6 : 4) + PCL_PROXY_EXPLAIN_PAIRS);
    s_put_text(buffer, "hop", "proxy");
    s_put_text(buffer, "class", pcl_sql_class_text((pcl_sql_class)head->sql_class));
    s_put_text(buffer, "strategy", pcl_strategy_text(request->strategy));
    if (choice.chosen != NULL) {
        s_put_text(buffer, "node", pcl_membership_at(self->members, choice.chosen->index)->name);
        s_put_text(buffer, "role", pcl_node_role_text(choice.chosen->role));
    }
    pcl_proxy_explain_pairs(self, &choice, now_us, buffer);
    pcl_mp_put_text(buffer, "us");
    pcl_mp_put_map(buffer, 3);
    pcl_mp_put_text(buffer, "gatekeeper");
    pcl_mp_put_uint(buffer, head->gatekeeper_us);
    pcl_mp_put_text(buffer, "broker");
    pcl_mp_put_uint(buffer, head->broker_us);
    pcl_mp_put_text(buffer, "proxy");
    pcl_mp_put_uint(buffer, request->wait_us);
}

/* The payload stays with the request; the message shares its octets. */
static pcl_err s_send(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                      const pcl_proxy_choice *choice, uint64_t now_us)
{
    const pcl_candidate *chosen = choice->chosen;
    pcl_proxy_node *node = &self->nodes[chosen->index];
    if (!node->connected) {
        return PCL_ERR_UNAVAILABLE;
    }
    zmq_msg_t payload;
    zmq_msg_t tail;
    zmq_msg_init(&payload);
    zmq_msg_init(&tail);
    int copied = zmq_msg_copy(&payload, &request->payload);
    assert(copied == 0);
    if ((request->head.flags & PCL_HEAD_EXPLAIN) != 0) {
        pcl_buffer buffer;
        pcl_buffer_init(&buffer, PCL_REQUEST_SIZE_MAX);
        pcl_mp_put_map(&buffer, PCL_PROXY_EXPLAIN_PAIRS);
        pcl_proxy_explain_pairs(self, choice, now_us, &buffer);
        pcl_frame_of_buffer(&tail, &buffer);
        pcl_buffer_release(&buffer);
    }
    pcl_head head = s_head_for_agent(request, chosen, ticket, now_us);
    if (head.consistency == PCL_CONSISTENCY_AFTER) {
        bool last = choice->candidates.last || chosen->role == PCL_NODE_SOURCE;
        head.max_lag_ms = last ? PCL_AWAITED_LAST_MS : self->settings.token_wait_ms;
    }
    pcl_err err = pcl_hop_outbox_send(self->agent_outbox, &node->peer, &head, &payload, &tail);
    zmq_msg_close(&payload);
    zmq_msg_close(&tail);
    return err;
}

static void s_note_sent(pcl_proxy *self, pcl_proxy_request *request, uint32_t index,
                        uint64_t now_us)
{
    request->node = index;
    request->sent_us = now_us;
    request->attempts++;
    pcl_node_set_add(&request->tried, index);
    pcl_candidate *candidate = &pcl_membership_at(self->members, index)->candidate;
    pcl_candidate_sent(candidate, now_us);
    pcl_metric_add(self->telemetry.zone_octets[candidate->place], zmq_msg_size(&request->payload));
    pcl_proxy_node *node = &self->nodes[index];
    pcl_metric_add(request->pinned ? node->pinned : node->chosen[request->strategy], 1);
}

/* There is no connection to the node. */
static void s_unreachable(pcl_proxy *self, uint32_t index)
{
    pcl_metric_add(self->telemetry.unreachable, 1);
    pcl_proxy_unreachable(self, index);
}

bool pcl_proxy_hint(pcl_proxy *self, uint32_t node, const pcl_head *head)
{
    pcl_proxy_node *target = &self->nodes[node];
    if (!target->connected) {
        return false;
    }
    pcl_err err = pcl_hop_outbox_send(self->agent_outbox, &target->peer, head, NULL, NULL);
    if (err == PCL_ERR_UNAVAILABLE) {
        s_unreachable(self, node);
    }
    return err == PCL_ERR_OK;
}

pcl_err pcl_proxy_route_pinned(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                               uint64_t now_us, const char **out_message)
{
    assert(request->node == PCL_MEMBER_NONE);
    pcl_pinned_verdict verdict = pcl_pinned_find(
        self->members, &(pcl_pinned_case){.id = request->head.session,
                                          .node_inflight_max = self->settings.node_inflight_max,
                                          .started_us = self->started_us,
                                          .now_us = now_us});
    *out_message = verdict.message;
    if (verdict.err != PCL_ERR_OK) {
        pcl_metric_add(self->telemetry.gone, verdict.err == PCL_ERR_GONE ? 1 : 0);
        return verdict.err;
    }
    pcl_proxy_choice choice;
    pcl_pinned_candidates(self->members, verdict.node, &choice.candidates);
    choice.strategy = PCL_STRATEGY_DEFAULT;
    choice.costs[0] = 0;
    choice.chosen = choice.candidates.fit[0];
    pcl_err err = s_send(self, request, ticket, &choice, now_us);
    if (err == PCL_ERR_OK) {
        s_note_sent(self, request, verdict.node, now_us);
        return PCL_ERR_OK;
    }
    if (err == PCL_ERR_UNAVAILABLE) {
        s_unreachable(self, verdict.node);
        *out_message = pcl_pinned_unreachable_text();
        return PCL_ERR_NO_NODE;
    }
    return err;
}

pcl_err pcl_proxy_route(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                        uint64_t now_us)
{
    assert(request->node == PCL_MEMBER_NONE);
    bool queue_full = false;
    for (;;) { /* ends: each turn takes a node away */
        pcl_proxy_choice choice;
        s_choose(self, request, now_us, &choice);
        if (choice.chosen == NULL) {
            bool full = pcl_candidates_overloaded(&choice.candidates,
                                                  pcl_membership_count(self->members));
            return queue_full || full ? PCL_ERR_OVERLOADED : PCL_ERR_NO_NODE;
        }
        uint32_t index = choice.chosen->index;
        pcl_err err = s_send(self, request, ticket, &choice, now_us);
        if (err == PCL_ERR_OK) {
            s_note_sent(self, request, index, now_us);
            request->waits = choice.candidates.waits;
            if (choice.candidates.trial) {
                pcl_health_try(&pcl_membership_at(self->members, index)->health, now_us);
            }
            return PCL_ERR_OK;
        }
        pcl_node_set_add(&request->tried, index);
        queue_full = queue_full || err == PCL_ERR_OVERLOADED;
        if (err == PCL_ERR_UNAVAILABLE) {
            s_unreachable(self, index);
        }
    }
}

pcl_err pcl_proxy_route_among(pcl_proxy *self, pcl_proxy_request *request, uint64_t ticket,
                              const pcl_candidates *candidates, uint64_t now_us)
{
    assert(request->node == PCL_MEMBER_NONE);
    pcl_need need = pcl_proxy_need(self, request);
    pcl_proxy_choice choice = {.candidates = *candidates};
    s_pick(self, &need, request->strategy, &self->strategy_state, &self->rng, now_us, &choice);
    if (choice.chosen == NULL) {
        return PCL_ERR_NO_NODE;
    }
    uint32_t index = choice.chosen->index;
    pcl_err err = s_send(self, request, ticket, &choice, now_us);
    if (err == PCL_ERR_OK) {
        s_note_sent(self, request, index, now_us);
    } else if (err == PCL_ERR_UNAVAILABLE) {
        s_unreachable(self, index);
    }
    return err;
}
