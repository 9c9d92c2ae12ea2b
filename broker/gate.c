#include "broker/actor.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* --- Refusals ---------------------------------------------------------------- */

void pcl_broker_refuse(pcl_broker *self, pcl_refusal why, pcl_relay_entry *entry, pcl_err err,
                       const char *message, uint64_t now_us)
{
    pcl_metric_add(self->metrics.refusals[why], 1);
    pcl_reply_error error = {
        .err = err,
        .retry = pcl_err_retry((int)err),
        .message = pcl_bytes_text(message),
    };
    pcl_relay_refuse(self->relay, entry, &error, now_us);
}

void pcl_broker_refuse_unsent(pcl_broker *self, pcl_relay_entry *entry, pcl_err err,
                              uint64_t now_us)
{
    pcl_metric_add(self->metrics.refusals[PCL_REFUSAL_UNSENT], 1);
    pcl_relay_refuse_unsent(self->relay, entry, err, now_us);
}

pcl_reply_error pcl_broker_overload(const char *message, uint64_t retry_after_ms)
{
    return (pcl_reply_error){
        .err = PCL_ERR_OVERLOADED,
        .retry = PCL_RETRY_SAFE,
        .message = pcl_bytes_text(message),
        .retry_after_ms = retry_after_ms == 0 ? 1 : (uint32_t)retry_after_ms,
    };
}

/* By a rule of the policy. */
static void s_refuse_by(pcl_broker *self, pcl_policy_rule rule, pcl_relay_entry *entry,
                        const pcl_reply_error *error, uint64_t now_us)
{
    pcl_metric_add(self->metrics.rules[rule], 1);
    if (entry->work != PCL_RELAY_OWNER_NONE) {
        pcl_works_at(self->works, entry->work)->rule = rule;
    }
    self->refusing = rule;
    pcl_relay_refuse(self->relay, entry, error, now_us);
    self->refusing = PCL_POLICY_RULE_NONE;
}

static void s_refuse_rule(pcl_broker *self, pcl_policy_rule rule, pcl_relay_entry *entry,
                          pcl_err err, const char *message, uint64_t now_us)
{
    pcl_reply_error error = {
        .err = err,
        .retry = pcl_err_retry((int)err),
        .message = pcl_bytes_text(message),
        .retry_after_ms = err == PCL_ERR_OVERLOADED ? PCL_RELAY_RETRY_AFTER_MS : 0,
    };
    s_refuse_by(self, rule, entry, &error, now_us);
}

static void s_refuse_verdict(pcl_broker *self, pcl_relay_entry *entry,
                             const pcl_policy_verdict *verdict, uint64_t now_us)
{
    pcl_reply_error error = {
        .err = verdict->err,
        .retry = pcl_err_retry((int)verdict->err),
        .message = pcl_bytes_text(verdict->message),
        .has_statement = verdict->has_statement,
        .statement = verdict->statement,
    };
    s_refuse_by(self, verdict->rule, entry, &error, now_us);
}

/* --- Judgement --------------------------------------------------------------- */

static void s_note_unknown(void *context, pcl_bytes text)
{
    pcl_broker *self = context;
    char error[PCL_BROKER_MESSAGE_MAX] = "";
    const pcl_caller *caller = pcl_callers_at(self->callers, self->judging);
    if (!pcl_policy_files_note(&self->policy, caller->principal->role, text, error, sizeof error) &&
        pcl_log_limit_take(&self->dry_limit, pcl_now_us())) {
        pcl_log(PCL_LOG_WARNING, PCL_BROKER_WHO, "digest_lost", "role=%s reason=\"%s\"",
                caller->principal->role->name, error);
    }
}

static void s_keep_verdict(pcl_broker *self, pcl_relay_entry *entry, const pcl_request *request,
                           const pcl_policy_verdict *verdict)
{
    pcl_work *work = pcl_works_at(self->works, entry->work);
    work->judged = true;
    work->dry_run = verdict->dry_run;
    work->rows_dry_max = verdict->rows_dry_max;
    work->digest_id = verdict->digest_id;
    work->strategy = request->strategy;
    work->has_session = request->has_session || request->has_cursor;
    if (work->has_session) {
        memcpy(work->session, request->has_session ? request->session : request->cursor,
               sizeof work->session);
        pcl_held_id_set_page(work->session, 0); /* whichever page of it is asked for */
    }
    size_t size = request->db.size < sizeof work->db ? request->db.size : sizeof work->db - 1;
    if (size > 0) {
        memcpy(work->db, request->db.data, size);
    }
    work->db[size] = '\0';
    pcl_works_set_digest(self->works, entry->work, pcl_buffer_bytes(&self->digest));
    entry->sql_class = (uint8_t)verdict->sql_class;
    entry->repeatable = verdict->repeatable;
}

/* What ends something is not counted, if there is something to end: it comes once for each that was
 * counted when it began. */
static bool s_is_metered(const pcl_broker *self, const pcl_relay_entry *entry, const pcl_work *work,
                         const pcl_policy_verdict *verdict)
{
    bool ends = !verdict->metered && entry->op != PCL_OP_CANCEL && work->has_session;
    return verdict->metered ||
           (ends && !pcl_holdings_owns(self->holdings, work->caller, work->session));
}

/* Cancels have the role's rate to themselves: nobody whose own is used up is kept from stopping
 * what runs, and nobody needs more of them than of requests. */
static pcl_meter_verdict s_take_cancel(pcl_caller *caller, uint64_t now_us)
{
    pcl_meter_verdict taken = pcl_meter_take(&caller->cancels, caller->principal->role, now_us);
    if (taken.rule == PCL_POLICY_RULE_NONE) {
        pcl_meter_done(&caller->cancels, 0); /* how many at a time is no matter */
    }
    return taken;
}

/* Rate and concurrency.  false: refused, and the entry is taken. */
static bool s_meter(pcl_broker *self, pcl_relay_entry *entry, const pcl_policy_verdict *verdict,
                    uint64_t now_us)
{
    pcl_work *work = pcl_works_at(self->works, entry->work);
    pcl_caller *caller = pcl_callers_at(self->callers, work->caller);
    bool metered = s_is_metered(self, entry, work, verdict);
    if (!metered && entry->op != PCL_OP_CANCEL) {
        return true;
    }
    pcl_meter_verdict taken = metered
                                  ? pcl_meter_take(&caller->meter, caller->principal->role, now_us)
                                  : s_take_cancel(caller, now_us);
    work->dry_run |= taken.dry_run;
    if (taken.rule == PCL_POLICY_RULE_NONE) {
        work->metered = metered;
        return true;
    }
    work->unbounded = true;
    char message[PCL_BROKER_MESSAGE_MAX];
    const pcl_policy_role *role = caller->principal->role;
    bool rate = taken.rule == PCL_POLICY_RULE_RATE;
    (void)snprintf(message, sizeof message,
                   rate ? "rate: more than %u requests a second"
                        : "concurrency: more than %u requests at a time",
                   rate ? role->rate : role->concurrency_max);
    pcl_reply_error error = pcl_broker_overload(message, taken.retry_after_ms);
    s_refuse_by(self, taken.rule, entry, &error, now_us);
    return false;
}

/* What its tokens name, into after.  false: refused, and the entry is taken. */
static bool s_prove_tokens(pcl_broker *self, pcl_relay_entry *entry, const pcl_request *request,
                           char after[PCL_GTID_SIZE_MAX + 1], uint64_t now_us)
{
    pcl_err err = PCL_ERR_OK;
    after[0] = '\0';
    const char *wrong = request->token_count == 0
                            ? NULL
                            : pcl_tokens_prove(&self->tokens, request->tokens, request->token_count,
                                               after, &err);
    if (wrong != NULL) {
        char text[PCL_BROKER_MESSAGE_MAX];
        (void)snprintf(text, sizeof text, "consistency.after: %s", wrong);
        pcl_broker_refuse(self, PCL_REFUSAL_TOKEN, entry, err, text, now_us);
    }
    return wrong == NULL;
}

/* What is whole and has shown its seal; takes the entry. */
static void s_judge(pcl_broker *self, pcl_relay_entry *entry, const pcl_request *request,
                    pcl_hop_message *message, uint64_t now_us)
{
    pcl_work *work = pcl_works_at(self->works, entry->work);
    const pcl_policy_principal *principal = pcl_callers_at(self->callers, work->caller)->principal;
    const pcl_policy_role *role = principal->role;
    const pcl_digest_list *list = self->policy.lists[role->index];
    pcl_policy_verdict verdict = pcl_policy_judge(principal, list, request, self->cache,
                                                  &self->digest);
    s_keep_verdict(self, entry, request, &verdict);
    bool refused = verdict.err != PCL_ERR_OK;
    if (refused) {
        s_refuse_verdict(self, entry, &verdict, now_us);
        return;
    }
    char after[PCL_GTID_SIZE_MAX + 1];
    if (!s_meter(self, entry, &verdict, now_us) ||
        !s_prove_tokens(self, entry, request, after, now_us)) {
        return;
    }
    if (work->dry_run != 0) {
        pcl_broker_dry_run(self, entry, work->dry_run, verdict.dry_message, now_us);
    }
    if (verdict.digest_unknown && role->digests == PCL_POLICY_DIGESTS_DETECT) {
        self->judging = work->caller;
        pcl_policy_each_unknown(list, request, self->cache, s_note_unknown, self);
    }
    uint64_t until_us = entry->arrived_us + verdict.timeout_ms * PCL_US_PER_MS;
    entry->deadline_us = until_us < entry->deadline_us ? until_us : entry->deadline_us;
    if (!pcl_broker_audit_takes_reads(self) && !pcl_broker_audit_first(self, entry)) {
        pcl_broker_refuse(self, PCL_REFUSAL_AUDIT, entry, PCL_ERR_UNAVAILABLE,
                          "audit: it cannot be written just now", now_us);
        return;
    }
    if (request->op == PCL_OP_CANCEL) { /* also what has not come further than here */
        work->cancelled = pcl_broker_cancel_held(self, work->caller, entry->id, now_us) +
                          pcl_relay_cancel_named(self->relay, entry, now_us);
    }
    pcl_head head = {
        .sql_class = entry->sql_class,
        .gatekeeper_us = message->head.gatekeeper_us,
        .rows = verdict.rows_max,
        .after = pcl_bytes_text(after),
    };
    pcl_relay_head_fill(&head, request);
    pcl_broker_admit(self, entry, &head, role->accounts, &message->payload);
}

/* --- Who asks, and whether the message is theirs ------------------------------ */

/* A seal that is there must fit, and is consumed before anything else is looked at; one that is
 * not may be needed.  false: refused, without a seal, and the entry is taken. */
static bool s_prove(pcl_broker *self, pcl_relay_entry *entry, const pcl_request *request,
                    pcl_hop_message *message, uint64_t now_us)
{
    pcl_work *work = pcl_works_at(self->works, entry->work);
    const pcl_policy_principal *principal = pcl_callers_at(self->callers, work->caller)->principal;
    bool sealed = (message->head.flags & PCL_HEAD_SEALED) != 0;
    if (sealed) {
        char text[PCL_BROKER_MESSAGE_MAX];
        pcl_err err = pcl_broker_check_seal(self, work->caller, work, request, message, now_us,
                                            text, sizeof text);
        if (err != PCL_ERR_OK) {
            s_refuse_rule(self, PCL_POLICY_RULE_SEAL, entry, err, text, now_us);
        }
        return err == PCL_ERR_OK;
    }
    pcl_policy_verdict verdict = pcl_policy_judge_seal(principal, false, self->remote);
    if (verdict.err != PCL_ERR_OK) {
        s_refuse_verdict(self, entry, &verdict, now_us);
        return false;
    }
    if (verdict.dry_run != 0) {
        pcl_broker_dry_run(self, entry, verdict.dry_run, verdict.dry_message, now_us);
    }
    return true;
}

/* Whose it is: finds the caller, and gives the entry its work.  false: refused and taken. */
static bool s_find_caller(pcl_broker *self, pcl_relay_entry *entry, pcl_hop_message *message,
                          uint64_t now_us)
{
    pcl_err err = PCL_ERR_OK;
    uint32_t caller = pcl_broker_caller(self, message->head.principal, &err);
    if (caller == PCL_CALLER_NONE) {
        s_refuse_rule(self, PCL_POLICY_RULE_PRINCIPAL, entry, err,
                      err == PCL_ERR_FORBIDDEN ? "principal: the policy knows nobody of this name"
                                               : "principal: there is no room for another",
                      now_us);
        return false;
    }
    uint32_t index = pcl_works_take(self->works);
    if (index == PCL_WORKS_NONE) {
        pcl_broker_refuse_unsent(self, entry, PCL_ERR_OVERLOADED, now_us);
        return false;
    }
    pcl_work *work = pcl_works_at(self->works, index);
    const pcl_policy_principal *principal = pcl_callers_at(self->callers, caller)->principal;
    const char *peer = pcl_door_name(&self->gatekeepers, message->user_id);
    work->caller = caller;
    work->judged_us = now_us;
    pcl_bytes_to_text(pcl_bytes_text(peer != NULL ? peer : ""), work->peer, sizeof work->peer);
    memcpy(work->role, principal->role->name, sizeof work->role);
    entry->owner_index = caller;
    entry->work = index;
    pcl_callers_begin(self->callers, caller);
    return true;
}

/* Reads the payload and holds it against the head; takes the entry. */
static void s_read(pcl_broker *self, pcl_relay_entry *entry, pcl_hop_message *message,
                   uint64_t now_us)
{
    pcl_request request;
    pcl_fault fault;
    pcl_err err = pcl_request_decode(&request, pcl_frame_bytes(&message->payload), &fault, NULL,
                                     NULL);
    if (err != PCL_ERR_OK) {
        char text[PCL_BROKER_MESSAGE_MAX];
        (void)snprintf(text, sizeof text, "%s: %s",
                       fault.field[0] != '\0' ? fault.field : "payload", fault.rule);
        pcl_broker_refuse(self, PCL_REFUSAL_REQUEST, entry, fault.err, text, now_us);
        return;
    }
    entry->op = request.op;
    pcl_policy_verdict agreed = pcl_policy_agree(&message->head, &request);
    if (agreed.err != PCL_ERR_OK) {
        pcl_broker_refuse(self, PCL_REFUSAL_HEAD, entry, agreed.err, agreed.message, now_us);
        return;
    }
    if (s_find_caller(self, entry, message, now_us) &&
        s_prove(self, entry, &request, message, now_us)) {
        s_judge(self, entry, &request, message, now_us);
    }
}

static bool s_is_gatekeeper(const pcl_broker *self, const pcl_hop_message *message)
{
    return pcl_door_name(&self->gatekeepers, message->user_id) != NULL;
}

static void s_on_request(pcl_broker *self, pcl_hop_message *message, uint64_t wait_us, bool gone,
                         uint64_t now_us)
{
    const pcl_head *head = &message->head;
    pcl_relay_arrived(self->relay, zmq_msg_size(&message->payload));
    pcl_relay_entry entry;
    pcl_relay_entry_init(&entry);
    zmq_msg_copy(&entry.peer, &message->peer);
    entry.peer_ticket = head->ticket;
    entry.arrived_us = now_us;
    entry.deadline_us = now_us + pcl_time_left_us(head->budget_us, wait_us);
    memcpy(entry.id, head->id, sizeof entry.id);
    entry.has_id = true;
    entry.op = head->op;
    pcl_bytes_to_text(head->principal, entry.principal, sizeof entry.principal);
    if (!s_is_gatekeeper(self, message)) {
        pcl_broker_refuse(self, PCL_REFUSAL_STRANGER, &entry, PCL_ERR_FORBIDDEN,
                          "the gatekeeper's key is not in the list", now_us);
    } else if (gone) {
        pcl_broker_refuse(self, PCL_REFUSAL_GONE, &entry, PCL_ERR_CANCELLED,
                          "the gatekeeper has gone", now_us);
    } else if (entry.deadline_us <= now_us) { /* before the work of reading it */
        pcl_broker_refuse_unsent(self, &entry, PCL_ERR_DEADLINE, now_us);
    } else {
        s_read(self, &entry, message, now_us);
    }
}

/* --- Messages ---------------------------------------------------------------- */

void pcl_broker_beat(pcl_broker *self, zmq_msg_t *peer, pcl_kind kind, uint64_t now_us)
{
    pcl_head head = {
        .kind = kind,
        .flags = (uint8_t)(self->draining ? PCL_HEAD_DRAINING : 0),
        .sent_us = now_us,
    };
    pcl_head_set_boot_id(&head, self->args->boot_id);
    pcl_err err = pcl_hop_send(self->gatekeepers.socket, peer, &head, NULL, NULL);
    (void)err; /* it is gone, or so far behind that it will miss this beat: its link notices */
}

static void s_drop(pcl_broker *self, const pcl_hop_message *message, const char *reason,
                   uint64_t now_us)
{
    pcl_metric_add(self->metrics.dropped, 1);
    if (pcl_log_limit_take(&self->stranger_limit, now_us)) {
        pcl_log(PCL_LOG_WARNING, PCL_BROKER_WHO, "dropped", "kind=%d key=\"%s\" reason=\"%s\"",
                (int)message->head.kind, message->user_id, reason);
    }
}

/* A hint that nobody holds it any more. */
static void s_on_release(pcl_broker *self, const pcl_head *head, uint64_t now_us)
{
    uint32_t caller = pcl_callers_find(self->callers, head->principal);
    if (caller != PCL_CALLER_NONE) {
        pcl_holdings_remove(self->holdings, caller, head->session);
    }
    pcl_relay_release(self->relay, head->session, head->principal, now_us);
}

static void s_on_message(pcl_broker *self, pcl_hop_message *message, uint64_t now_us)
{
    bool request = message->head.kind == PCL_KIND_REQUEST;
    if (!request && !s_is_gatekeeper(self, message)) {
        s_drop(self, message, "not a gatekeeper's key", now_us);
        return;
    }
    pcl_bytes routing = pcl_frame_bytes(&message->peer);
    uint32_t connection = pcl_peer_watch_find(self->watch, routing,
                                              pcl_hop_inbox_frame(&self->inbox), now_us);
    pcl_peer *peer = pcl_peers_heard(&self->peers, routing, now_us);
    switch (message->head.kind) {
    case PCL_KIND_REQUEST: {
        uint64_t wait_us = pcl_transit_wait_us(&peer->transit, message->head.sent_us, now_us);
        s_on_request(self, message, wait_us, connection == PCL_CONNECTION_GONE, now_us);
        break;
    }
    case PCL_KIND_PING:
        pcl_peer_booted(peer, pcl_head_boot_id(&message->head));
        pcl_tcp_flow_note(&peer->flow, pcl_socket_frame_fd(pcl_hop_inbox_frame(&self->inbox)));
        (void)pcl_transit_wait_us(&peer->transit, message->head.sent_us, now_us);
        pcl_broker_beat(self, &message->peer, PCL_KIND_PONG, now_us);
        break;
    case PCL_KIND_CANCEL:
        pcl_relay_cancel_asked(self->relay, message->head.id, routing, message->head.ticket,
                               now_us);
        break;
    case PCL_KIND_RELEASE:
        s_on_release(self, &message->head, now_us);
        break;
    case PCL_KIND_BYE:
        break;
    case PCL_KIND_REPLY:
    case PCL_KIND_BEAT:
    case PCL_KIND_PONG:
    case PCL_KIND_TOPOLOGY:
    case PCL_KIND_LIMIT:
        s_drop(self, message, "not a gatekeeper's to send", now_us);
        break;
    }
}

bool pcl_broker_on_gatekeepers(void *context, uint64_t now_us)
{
    pcl_broker *self = context;
    (void)now_us; /* each message has its own time */
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        pcl_hop_message message;
        switch (pcl_hop_recv(&self->inbox, &message)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        case PCL_HOP_DROPPED:
            pcl_metric_add(self->metrics.dropped, 1);
            break;
        case PCL_HOP_MESSAGE:
            s_on_message(self, &message, message.received_us);
            pcl_hop_close(&message);
            break;
        }
    }
    return true;
}
