#include "common/clock.h"
#include "net/log.h"
#include "worker-agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static bool s_start(pcl_agent *self, pcl_job *job)
{
    pcl_held *held = job->held;
    assert(held->running == NULL && !job->in_line);
    if (!pcl_pool_submit(self->held_pool, job)) {
        return false;
    }
    held->running = job;
    held->state = job->is_end ? PCL_HELD_ENDING : PCL_HELD_RUNNING;
    return true;
}

bool pcl_keeper_take(pcl_agent *self, pcl_job *job)
{
    pcl_held *held = job->held;
    assert(held->state != PCL_HELD_ENDING);
    if (held->state == PCL_HELD_IDLE) {
        return s_start(self, job);
    }
    if (held->line_count >= self->options.line_max) {
        return false;
    }
    pcl_job_list_append(&held->line, job);
    held->line_count++;
    job->in_line = true;
    return true;
}

static void s_leave_line(pcl_job *job)
{
    pcl_job_list_remove(&job->held->line, job);
    job->held->line_count--;
    job->in_line = false;
}

bool pcl_keeper_withdraw(pcl_agent *self, pcl_job *job)
{
    if (job->in_line) {
        s_leave_line(job);
        return true;
    }
    if (!pcl_pool_withdraw(self->held_pool, job)) {
        return false;
    }
    if (job->held != NULL) {
        job->held->running = NULL;
    }
    return true;
}

/* --- The end ------------------------------------------------------------------- */

static void s_forget(pcl_agent *self, pcl_held *held)
{
    pcl_held_table_remove(self->held, held);
    pcl_held_destroy(&held);
}

/* Nothing of it runs any more. */
static void s_submit_end(pcl_agent *self, pcl_held *held, uint64_t now_us)
{
    assert(held->state == PCL_HELD_ENDING && held->running == NULL);
    bool has_something = held->connection != NULL || held->stream != NULL;
    pcl_job *job = has_something ? pcl_job_new() : NULL;
    if (job != NULL) {
        job->held = held;
        job->is_end = true;
        job->arrived_us = now_us;
        if (s_start(self, job)) {
            return;
        }
        pcl_job_destroy(&job);
    }
    s_forget(self, held); /* the connection is closed, and the database does the rest */
}

static void s_log_end(pcl_agent *self, const pcl_held *held, pcl_held_end end, uint64_t now_us)
{
    if (end != PCL_HELD_END_DONE && pcl_log_limit_take(&self->ended_limit, now_us)) {
        char id[2 * PCL_ID_SIZE + 1];
        char principal[PCL_NAME_SIZE_MAX + 1] = "";
        char escaped[PCL_NAME_SIZE_MAX + 1];
        memcpy(principal, held->principal, held->principal_size);
        pcl_log(PCL_LOG_INFO, self->who, "held_ended",
                "kind=%s id=%s principal=\"%s\" reason=%s age_ms=%" PRIu64,
                held->session ? "session" : "cursor", pcl_id_text(held->id, id),
                pcl_log_escape(principal, escaped, sizeof escaped), pcl_held_end_text(end),
                pcl_time_since_us(held->opened_us, now_us) / PCL_US_PER_MS);
    }
}

/* What waits has not run and never can: the session is gone for it as for whoever names it
 * later. */
static void s_drop_line(pcl_agent *self, pcl_held *held, uint64_t now_us)
{
    pcl_reply_note note = {.flags = PCL_HEAD_RELEASED};
    memcpy(note.id, held->id, sizeof note.id);
    char why[PCL_HELD_WHY_SIZE];
    pcl_held_table_why_gone(self->held, held->id,
                            pcl_bytes_of(held->principal, held->principal_size), why);
    pcl_outcome outcome = {.err = PCL_ERR_GONE, .retry = PCL_RETRY_NEVER};
    while (held->line.first != NULL) {
        pcl_job *job = held->line.first;
        s_leave_line(job);
        pcl_agent_drop(self, job, outcome, why, &note, now_us);
    }
}

/* From here on nothing finds it.  What runs is stopped, what waits is answered. */
static void s_end(pcl_agent *self, pcl_held *held, pcl_held_end end, uint64_t now_us)
{
    assert(held->state != PCL_HELD_ENDING);
    pcl_held_table_set_ending(self->held, held, end);
    pcl_meter_ended(&self->meter, held->session, end);
    s_log_end(self, held, end, now_us);
    pcl_job *running = held->running;
    if (running != NULL && pcl_keeper_withdraw(self, running)) {
        pcl_job_list_append(&held->line, running); /* the line is answered below */
        held->line_count++;
        running->in_line = true;
    }
    s_drop_line(self, held, now_us);
    if (held->running != NULL) {
        pcl_watchdog_cancel(self->watchdog, &held->running->cancelled);
    } else {
        s_submit_end(self, held, now_us);
    }
}

void pcl_keeper_bury(pcl_agent *self, pcl_job *job)
{
    pcl_held *held = job->held;
    assert(job->is_end && held->running == job);
    held->running = NULL;
    s_forget(self, held);
    pcl_job_destroy(&job);
}

/* --- Turns --------------------------------------------------------------------- */

void pcl_keeper_go_on(pcl_agent *self, pcl_held *held, uint64_t now_us)
{
    if (held->running != NULL || held->state == PCL_HELD_ENDING) {
        return;
    }
    held->state = PCL_HELD_IDLE;
    pcl_held_end end = pcl_held_table_due(self->held, held, now_us);
    if (end == PCL_HELD_END_AGE) {
        s_end(self, held, end, now_us); /* one that is never idle grows old as well */
        return;
    }
    pcl_job *next = held->line.first;
    while (next != NULL) {
        s_leave_line(next);
        if (s_start(self, next)) {
            return;
        }
        pcl_agent_drop(self, next,
                       (pcl_outcome){.err = PCL_ERR_OVERLOADED, .retry = PCL_RETRY_SAFE},
                       "the agent has no thread for it", NULL, now_us);
        next = held->line.first;
    }
}

bool pcl_keeper_take_opened(pcl_agent *self, pcl_job *job, uint64_t now_us, const char **out_why)
{
    pcl_held *held = job->opened;
    job->opened = NULL;
    if (pcl_held_table_add(self->held, held, now_us, out_why)) {
        pcl_meter_opened(&self->meter, held->session);
        return true;
    }
    pcl_meter_ended(&self->meter, held->session, PCL_HELD_END_REFUSED);
    pcl_held_destroy(&held);
    return false;
}

pcl_held_end pcl_keeper_verdict(const pcl_job *job)
{
    const pcl_held *held = job->held;
    if (held->lost) {
        return PCL_HELD_END_LOST;
    }
    if (job->ends_held) {
        return job->outcome.err == PCL_ERR_OK ? PCL_HELD_END_DONE : PCL_HELD_END_FAILED;
    }
    return held->state == PCL_HELD_ENDING ? held->end : PCL_HELD_END_NONE;
}

void pcl_keeper_put_back(pcl_agent *self, pcl_held *held, pcl_held_end end, uint64_t now_us)
{
    assert(held->running == NULL);
    held->used_us = now_us;
    if (held->state == PCL_HELD_ENDING) {
        s_submit_end(self, held, now_us); /* it ended while the job ran */
    } else if (end != PCL_HELD_END_NONE) {
        s_end(self, held, end, now_us);
    } else {
        pcl_keeper_go_on(self, held, now_us);
    }
}

void pcl_keeper_forsake(pcl_agent *self, const uint8_t id[PCL_ID_SIZE], pcl_bytes principal,
                        uint64_t now_us)
{
    pcl_held *held = pcl_held_table_find(self->held, id, principal);
    assert(held != NULL && held->running == NULL);
    s_end(self, held, PCL_HELD_END_RELEASED, now_us);
}

void pcl_keeper_release(pcl_agent *self, const pcl_head *head, uint64_t now_us)
{
    pcl_held *held = pcl_held_table_find(self->held, head->session, head->principal);
    if (held != NULL) { /* else it has ended meanwhile */
        s_end(self, held, PCL_HELD_END_RELEASED, now_us);
    }
}

void pcl_keeper_disown(pcl_agent *self, pcl_held *held, uint64_t now_us)
{
    s_end(self, held, PCL_HELD_END_RELEASED, now_us);
}

void pcl_keeper_check_timers(pcl_agent *self, uint64_t now_us)
{
    uint32_t cursor = 0;
    pcl_held *held = NULL;
    while ((held = pcl_held_table_each(self->held, &cursor)) != NULL) {
        pcl_held_end end = pcl_held_table_due(self->held, held, now_us);
        if (end != PCL_HELD_END_NONE) {
            s_end(self, held, end, now_us);
        }
    }
    uint64_t suppressed = pcl_log_limit_suppressed(&self->ended_limit, now_us);
    if (suppressed > 0) {
        pcl_log(PCL_LOG_INFO, self->who, "held_ended_more", "lines=%" PRIu64, suppressed);
    }
}

void pcl_keeper_close(pcl_agent *self)
{
    uint32_t cursor = 0;
    pcl_held *held = NULL;
    while (self->held != NULL && (held = pcl_held_table_each(self->held, &cursor)) != NULL) {
        held->running = NULL; /* went with its pool */
        while (held->line.first != NULL) {
            pcl_job *job = held->line.first;
            s_leave_line(job);
            pcl_job_destroy(&job);
        }
        pcl_held_destroy(&held);
    }
    pcl_held_table_destroy(&self->held);
}
