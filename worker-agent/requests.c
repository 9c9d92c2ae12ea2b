#include "common/clock.h"
#include "net/log.h"
#include "worker-agent/admit.h"
#include "worker-agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const pcl_outcome SAFE_CANCEL = {.err = PCL_ERR_CANCELLED, .retry = PCL_RETRY_SAFE};

static bool s_is_zero(const uint8_t id[PCL_ID_SIZE])
{
    static const uint8_t ZERO[PCL_ID_SIZE];
    return memcmp(id, ZERO, PCL_ID_SIZE) == 0;
}

static pcl_reply_note s_note(uint8_t flag, const uint8_t id[PCL_ID_SIZE])
{
    pcl_reply_note note = {.flags = flag};
    memcpy(note.id, id, sizeof note.id);
    pcl_held_id_set_page(note.id, 0);
    return note;
}

/* It is done with, and serves for another request: the memory of each that comes and goes would be
 * asked for and given back. */
static void s_rest(pcl_agent *self, pcl_job *job)
{
    if (self->rested_count >= PCL_AGENT_RESTED_MAX) {
        pcl_job_destroy(&job);
        return;
    }
    pcl_job_renew(job);
    job->next = self->rested;
    self->rested = job;
    self->rested_count++;
}

pcl_job *pcl_agent_fresh_job(pcl_agent *self)
{
    pcl_job *job = self->rested;
    if (job == NULL) {
        return pcl_job_new();
    }
    self->rested = job->next;
    self->rested_count--;
    job->next = NULL;
    return job;
}

void pcl_agent_free_rested(pcl_agent *self)
{
    while (self->rested != NULL) {
        pcl_job *job = pcl_agent_fresh_job(self);
        pcl_job_discard(&job);
    }
}

/* --- Flights ------------------------------------------------------------------- */

static bool s_is_for_held_pool(const pcl_job *job)
{
    return job->held != NULL || job->message.head.op == PCL_OP_BEGIN;
}

static pcl_flight *s_add_flight(pcl_agent *self, pcl_job *job)
{
    pcl_flight *entry = pcl_ticket_table_add(
        self->flights, job->deadline_us + PCL_AGENT_SILENCE_GRACE_US, &job->ticket);
    if (entry != NULL) {
        entry->job = job;
        self->proxies[job->proxy].rif_you += s_is_for_held_pool(job) ? 0 : 1;
        pcl_id_index_add(self->flight_ids, job->message.head.id, job->ticket);
    }
    return entry;
}

/* The proxy that sent it waits for it no more. */
static void s_count_out(pcl_agent *self, const pcl_job *job)
{
    pcl_agent_proxy *proxy = &self->proxies[job->proxy];
    if (!s_is_for_held_pool(job) && job->proxy_run == proxy->run) {
        proxy->rif_you--;
    }
}

static void s_remove_flight(pcl_agent *self, const pcl_job *job)
{
    const pcl_flight *entry = pcl_ticket_table_find(self->flights, job->ticket);
    assert(entry != NULL && entry->job == job);
    if (entry->reservation != 0) {
        pcl_held_table_unreserve(self->held, entry->reservation);
    }
    if (!entry->answered) {
        s_count_out(self, job);
    }
    pcl_id_index_remove(self->flight_ids, job->message.head.id, job->ticket);
    pcl_ticket_table_remove(self->flights, job->ticket);
}

/* True: the job has not started and is the caller's again. */
static bool s_withdraw(pcl_agent *self, pcl_job *job)
{
    return s_is_for_held_pool(job) ? pcl_keeper_withdraw(self, job)
                                   : pcl_pool_withdraw(self->pool, job);
}

void pcl_agent_drop(pcl_agent *self, pcl_job *job, pcl_outcome outcome, const char *message,
                    const pcl_reply_note *note, uint64_t now_us)
{
    const pcl_flight *entry = pcl_ticket_table_find(self->flights, job->ticket);
    bool answered = entry != NULL && entry->answered;
    s_remove_flight(self, job);
    if (!answered) {
        pcl_agent_refuse(self, job, outcome, message, note, now_us);
    }
    s_rest(self, job);
}

/* Of a job that was withdrawn: answers it, and lets what stood behind it go on. */
static void s_drop_withdrawn(pcl_agent *self, pcl_job *job, pcl_outcome outcome,
                             const char *message, uint64_t now_us)
{
    pcl_held *held = job->held;
    pcl_agent_drop(self, job, outcome, message, NULL, now_us);
    if (held != NULL) {
        pcl_keeper_go_on(self, held, now_us);
    }
}

/* --- Admission ----------------------------------------------------------------- */

/* Why a request is not taken. */
typedef struct refusal {
    pcl_outcome outcome;
    char message[PCL_HELD_WHY_SIZE];
    pcl_reply_note note;
} refusal;

static bool s_refused(refusal *out_refusal, pcl_err err, const char *message)
{
    out_refusal->outcome = (pcl_outcome){.err = err, .retry = pcl_err_retry((int)err)};
    (void)snprintf(out_refusal->message, sizeof out_refusal->message, "%s", message);
    return false;
}

/* The session or cursor that the request names, if it names one.  False: it is
 * not there, or is not what the op needs. */
static bool s_find_held(pcl_agent *self, pcl_job *job, uint64_t now_us, refusal *out_refusal)
{
    const pcl_head *head = &job->message.head;
    bool of_cursor = head->op == PCL_OP_FETCH || head->op == PCL_OP_CLOSE;
    bool of_session = head->op == PCL_OP_COMMIT || head->op == PCL_OP_ROLLBACK ||
                      (head->op == PCL_OP_QUERY && !s_is_zero(head->session));
    if (!of_cursor && !of_session) {
        return true;
    }
    pcl_held *held = pcl_held_table_find(self->held, head->session, head->principal);
    if (held == NULL) {
        (void)s_refused(out_refusal, PCL_ERR_GONE, "");
        pcl_held_table_why_gone(self->held, head->session, head->principal, out_refusal->message);
        out_refusal->note = s_note(PCL_HEAD_RELEASED, head->session);
        return false;
    }
    bool page = pcl_held_id_page(head->session) != 0;
    if (of_session && (!held->session || page)) {
        return s_refused(out_refusal, PCL_ERR_GONE, "this is a cursor, not a session");
    }
    if (of_cursor && held->session && !page) {
        return s_refused(out_refusal, PCL_ERR_GONE, "this is a session, not a cursor");
    }
    if (held->accounts != job->accounts) {
        out_refusal->note = s_note(PCL_HEAD_RELEASED, held->id);
        pcl_keeper_disown(self, held, now_us);
        return s_refused(out_refusal, PCL_ERR_FORBIDDEN,
                         "it was opened under accounts that the principal has no more, and ended");
    }
    job->held = held;
    return true;
}

/* The accounts of that name; there is none that anything else runs under. */
static bool s_find_accounts(pcl_agent *self, pcl_job *job, uint64_t now_us, refusal *out_refusal)
{
    pcl_bytes name = job->message.head.role;
    job->accounts = pcl_accounts_find(self->options.accounts, name);
    if (job->accounts != NULL) {
        return true;
    }
    if (pcl_log_limit_take(&self->accounts_limit, now_us)) {
        char text[PCL_NAME_SIZE_MAX + 1] = "";
        char escaped[PCL_NAME_SIZE_MAX + 1];
        if (name.size > 0) {
            memcpy(text, name.data, name.size);
        }
        pcl_log(PCL_LOG_WARNING, self->who, "accounts_unknown", "name=\"%s\"",
                pcl_log_escape(text, escaped, sizeof escaped));
    }
    return s_refused(out_refusal, PCL_ERR_FORBIDDEN, "the node has no accounts for the role");
}

static bool s_may_run(pcl_agent *self, const pcl_job *job, uint64_t now_us, refusal *out_refusal)
{
    const pcl_head *head = &job->message.head;
    pcl_admission node = {
        .ready = self->view.ready,
        .draining = self->draining,
        .source = self->view.role == PCL_NODE_SOURCE,
        .read_only = self->view.read_only || self->topology.closed,
        .other_term = head->term != self->topology.term,
    };
    pcl_errand errand = {
        .op = head->op,
        .sql_class = head->sql_class,
        .in_session = job->held != NULL && job->held->session,
        .session_read_only = job->held != NULL && job->held->read_only,
    };
    const char *reason = "";
    pcl_err err = pcl_admit(&node, &errand, &reason);
    if (err != PCL_ERR_OK) {
        (void)s_refused(out_refusal, err, reason);
        out_refusal->outcome.node_fault = err == PCL_ERR_NO_NODE && !node.ready;
        return false;
    }
    if (job->deadline_us <= now_us) {
        (void)s_refused(out_refusal, PCL_ERR_DEADLINE,
                        "the deadline passed on the way to the agent");
        out_refusal->outcome.retry = PCL_RETRY_SAFE;
        return false;
    }
    return true;
}

/* False: there is no room for it. */
static bool s_submit(pcl_agent *self, pcl_job *job, uint64_t now_us, refusal *out_refusal)
{
    pcl_flight *entry = s_add_flight(self, job);
    if (entry == NULL) {
        (void)s_refused(out_refusal, PCL_ERR_OVERLOADED, "the agent's queue is full");
        return false;
    }
    bool taken = false;
    if (job->held != NULL) {
        taken = pcl_keeper_take(self, job);
        (void)s_refused(out_refusal, PCL_ERR_OVERLOADED,
                        "too many requests wait for the session or cursor");
    } else if (job->message.head.op == PCL_OP_BEGIN) {
        const char *why = "the agent's queue is full";
        entry->reservation = pcl_held_table_reserve(self->held, job->message.head.principal, &why);
        taken = entry->reservation != 0 && pcl_pool_submit(self->held_pool, job);
        (void)s_refused(out_refusal, PCL_ERR_OVERLOADED, why);
    } else {
        taken = pcl_lane_take(self->lane, job, now_us) || pcl_pool_submit(self->pool, job);
        (void)s_refused(out_refusal, PCL_ERR_OVERLOADED, "the agent's queue is full");
    }
    if (!taken) {
        s_remove_flight(self, job);
    }
    return taken;
}

void pcl_agent_admit(pcl_agent *self, pcl_job *job, uint64_t now_us)
{
    const pcl_head *head = &job->message.head;
    refusal why_not = {.message = ""};
    job->role = self->view.role;
    if (s_find_accounts(self, job, now_us, &why_not) && s_find_held(self, job, now_us, &why_not) &&
        s_may_run(self, job, now_us, &why_not) && s_submit(self, job, now_us, &why_not)) {
        return;
    }
    char id[2 * PCL_ID_SIZE + 1];
    pcl_log(PCL_LOG_DEBUG, self->who, "refused", "id=%s code=%s", pcl_id_text(head->id, id),
            pcl_err_code((int)why_not.outcome.err));
    pcl_agent_refuse(self, job, why_not.outcome, why_not.message, &why_not.note, now_us);
    s_rest(self, job);
}

/* --- What nobody waits for ----------------------------------------------------- */

static pcl_job *s_find_named(const pcl_agent *self, const pcl_agent_proxy *proxy,
                             const pcl_head *head)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    while ((ticket = pcl_id_index_find(self->flight_ids, head->id, &cursor)) != 0) {
        const pcl_flight *entry = pcl_ticket_table_find(self->flights, ticket);
        assert(entry != NULL);
        if (entry->job->message.head.ticket == head->ticket && entry->job->proxy == proxy->index) {
            return entry->job;
        }
    }
    return NULL;
}

void pcl_agent_cancel(pcl_agent *self, const pcl_agent_proxy *proxy, const pcl_head *head,
                      uint64_t now_us)
{
    pcl_job *job = s_find_named(self, proxy, head);
    if (job == NULL) {
        pcl_meter_cancel(&self->meter, PCL_METER_CANCEL_LATE); /* the reply is on its way */
    } else if (s_withdraw(self, job)) {
        pcl_meter_cancel(&self->meter, PCL_METER_CANCEL_WAITING);
        s_drop_withdrawn(self, job, SAFE_CANCEL, "cancelled before it started", now_us);
    } else {
        pcl_meter_cancel(&self->meter, PCL_METER_CANCEL_RUNNING);
        pcl_watchdog_cancel(self->watchdog, &job->cancelled);
    }
}

static void s_drop_all(pcl_agent *self, const pcl_agent_proxy *proxy, bool in_line, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        pcl_job *job = entry->job;
        if (!entry->answered && job->proxy == proxy->index && job->in_line == in_line &&
            s_withdraw(self, job)) {
            s_drop_withdrawn(self, job, (pcl_outcome){.err = PCL_ERR_LOST, .retry = PCL_RETRY_SAFE},
                             "the proxy went away before the statement started", now_us);
        }
    }
}

void pcl_agent_drop_waiting(pcl_agent *self, const pcl_agent_proxy *proxy, uint64_t now_us)
{
    s_drop_all(self, proxy, true,
               now_us); /* first, since a place that comes free would be theirs */
    s_drop_all(self, proxy, false, now_us);
}

void pcl_agent_stop_running(pcl_agent *self)
{
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        pcl_watchdog_cancel(self->watchdog, &entry->job->cancelled);
    }
}

static bool s_database_answers(const pcl_agent *self, uint64_t now_us)
{
    uint64_t silent_us = pcl_time_since_us(self->view.canary_at_us, now_us);
    return self->view.ready && silent_us < PCL_AGENT_LOOKS_MISSED_US;
}

void pcl_agent_check_deadlines(pcl_agent *self, uint64_t now_us)
{
    uint64_t ticket = 0;
    pcl_flight *entry = NULL;
    while ((entry = pcl_ticket_table_due(self->flights, now_us, &ticket)) != NULL) {
        pcl_job *job = entry->job;
        const pcl_head *head = &job->message.head;
        if (s_withdraw(self, job)) {
            s_drop_withdrawn(self, job,
                             (pcl_outcome){.err = PCL_ERR_DEADLINE, .retry = PCL_RETRY_SAFE},
                             "the deadline passed while the statement waited for its turn", now_us);
            continue;
        }
        entry->answered = true;
        s_count_out(self, job);
        pcl_ticket_table_set_deadline(self->flights, ticket, UINT64_MAX);
        pcl_agent_refuse(
            self, job,
            pcl_outcome_of_silence(head->op, head->sql_class, s_database_answers(self, now_us)),
            "the database did not answer by the deadline", &(pcl_reply_note){.ran = true}, now_us);
    }
}

/* --- Results ------------------------------------------------------------------- */

static void s_on_connect_error(pcl_agent *self, const pcl_job *job, uint64_t now_us)
{
    if (pcl_log_limit_take(&self->connect_limit, now_us)) {
        char text[PCL_ERROR_TEXT_SIZE];
        const char *told = job->connect_text != NULL ? job->connect_text : "";
        pcl_log(PCL_LOG_WARNING, self->who, "connect_failed", "errno=%" PRIu32 " message=\"%s\"",
                job->connect_errno, pcl_log_escape(told, text, sizeof text));
    }
    if (pcl_errno_is_refusal(job->connect_errno)) {
        pcl_observer_mend_accounts(self->observer);
    }
}

/* Only what stands alone: a session's statements may wait for its own client. */
static void s_feed_service(pcl_agent *self, const pcl_job *job, uint64_t now_us)
{
    const pcl_head *head = &job->message.head;
    if (job->outcome.err == PCL_ERR_OK && job->held == NULL && head->op == PCL_OP_QUERY &&
        pcl_sql_is_read((pcl_sql_class)head->sql_class)) {
        pcl_service_add(&self->service, job->service_us, now_us);
        self->sampled_us = now_us;
    }
}

/* The reply to a job that came back; what it opened finds its place, or its end. */
static void s_answer(pcl_agent *self, pcl_job *job, pcl_held_end end, uint64_t now_us)
{
    const pcl_head *head = &job->message.head;
    pcl_reply_note note = {.flags = 0};
    const char *why = "";
    if (end != PCL_HELD_END_NONE) {
        note = s_note(PCL_HEAD_RELEASED, job->held->id);
    }
    if (job->opened != NULL) {
        note = s_note(PCL_HEAD_HELD, job->opened->id);
        if (atomic_load_explicit(&job->cancelled, memory_order_relaxed)) {
            pcl_agent_refuse(self, job, SAFE_CANCEL, "cancelled", NULL, now_us);
            return; /* what it opened goes with the job */
        }
        if (!pcl_keeper_take_opened(self, job, now_us, &why)) {
            pcl_agent_refuse(self, job,
                             (pcl_outcome){.err = PCL_ERR_OVERLOADED, .retry = PCL_RETRY_SAFE}, why,
                             NULL, now_us);
            return;
        }
    }
    s_feed_service(self, job, now_us);
    bool sent = pcl_agent_reply(self, job, job->outcome, &job->reply, job, &note, now_us);
    if (!sent && (note.flags & PCL_HEAD_HELD) != 0) {
        pcl_keeper_forsake(self, note.id, head->principal, now_us);
    }
}

void pcl_agent_finish(pcl_agent *self, pcl_job *job, uint64_t now_us)
{
    if (job->is_end) {
        pcl_keeper_bury(self, job);
        return;
    }
    const pcl_flight *entry = pcl_ticket_table_find(self->flights, job->ticket);
    assert(entry != NULL && entry->job == job);
    bool answered = entry->answered;
    s_remove_flight(self, job);
    pcl_meter_job(&self->meter, job);
    if (job->connect_errno != 0) {
        s_on_connect_error(self, job, now_us);
    }
    pcl_held *held = job->held;
    pcl_held_end end = PCL_HELD_END_NONE;
    if (held != NULL) {
        assert(held->running == job);
        held->running = NULL;
        end = pcl_keeper_verdict(job);
        if (answered && end == PCL_HELD_END_NONE && !held->session) {
            end = PCL_HELD_END_REFUSED; /* nobody got the page, nor the id of the next one */
        }
    }
    if (answered) {
        pcl_metric_add(self->meter.late, 1);
    } else {
        s_answer(self, job, end, now_us);
    }
    if (held != NULL) {
        pcl_keeper_put_back(self, held, end, now_us);
    }
    if (job->opened != NULL) { /* nobody learned of it: it goes with the job */
        pcl_meter_ended(&self->meter, job->opened->session, PCL_HELD_END_REFUSED);
    }
    s_rest(self, job);
}
