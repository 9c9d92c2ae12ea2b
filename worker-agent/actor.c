#include "worker-agent/actor.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/time.h"
#include "worker-agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US         (5 * PCL_US_PER_MS)
#define VIEW_US         (20 * PCL_US_PER_MS)
#define CANARY_US       (1 * PCL_US_PER_S)
#define LAG_NEWS_MS     500    /* a lag of so much, and each doubling of it */
#define THREAD_IDLE_MS  10000u /* after which a thread of the second pool ends */
#define ENDED_LINES_MAX 10u    /* a second, of held_ended */
#define END_WAIT_MS     2000u
#define LINK_SLACK      256u /* messages beside replies: beats, pongs */

/* --- Requests ---------------------------------------------------------------- */

/* What still runs for it is somebody else's load to the next one. */
static void s_forget_proxy(pcl_agent_proxy *proxy)
{
    proxy->run++;
    proxy->rif_you = 0;
}

/* The proxy chooses among nodes by what they are now. */
static void s_answer_ping(pcl_agent_proxy *proxy, const pcl_head *head, uint64_t now_us)
{
    pcl_report report = pcl_agent_report(proxy->agent, proxy, now_us);
    pcl_link_answer(proxy->link, head, now_us, &report);
}

/* What one proxy's loss concerns is its own requests, and no other's. */
static void s_on_event(pcl_agent_proxy *proxy, pcl_link_event event, uint64_t now_us)
{
    pcl_agent *self = proxy->agent;
    switch (event) {
    case PCL_LINK_NOTHING:
        return;
    case PCL_LINK_CAME_UP:
        pcl_log(PCL_LOG_INFO, self->who, "link_up", "peer=%s", proxy->name);
        return;
    case PCL_LINK_LOST:
        pcl_log(PCL_LOG_WARNING, self->who, "link_lost", "peer=%s", proxy->name);
        s_forget_proxy(proxy);
        pcl_agent_drop_waiting(self, proxy, now_us);
        return;
    case PCL_LINK_REPLACED:
        pcl_log(PCL_LOG_WARNING, self->who, "link_replaced", "peer=%s", proxy->name);
        s_forget_proxy(proxy);
        pcl_agent_drop_waiting(self, proxy, now_us);
        return;
    case PCL_LINK_DRAINS:
        pcl_log(PCL_LOG_INFO, self->who, "link_drains", "peer=%s", proxy->name);
        return;
    }
}

static void s_on_message(pcl_agent_proxy *proxy, uint64_t now_us)
{
    pcl_agent *self = proxy->agent;
    pcl_job *job = self->spare;
    pcl_head *head = &job->message.head;
    uint64_t wait_us = 0;
    s_on_event(proxy, pcl_link_heard(proxy->link, head, now_us, &wait_us), now_us);
    if (head->kind != PCL_KIND_REQUEST) {
        if (head->kind == PCL_KIND_CANCEL) {
            pcl_agent_cancel(self, proxy, head, now_us);
        } else if (head->kind == PCL_KIND_RELEASE) {
            pcl_keeper_release(self, head, now_us);
        } else if (head->kind == PCL_KIND_PING) {
            s_answer_ping(proxy, head, now_us);
        } else if (head->kind == PCL_KIND_TOPOLOGY) {
            pcl_agent_on_topology(self, &job->message, now_us);
        }
        pcl_hop_close(&job->message);
        return; /* beats end in the link */
    }
    self->spare = NULL;
    job->arrived_us = now_us;
    job->proxy = proxy->index;
    job->proxy_run = proxy->run;
    job->deadline_us = now_us + pcl_time_left_us(head->budget_us, wait_us);
    pcl_agent_admit(self, job, now_us);
}

static bool s_on_link(void *context, uint64_t now_us)
{
    pcl_agent_proxy *proxy = context;
    pcl_agent *self = proxy->agent;
    (void)now_us; /* each message has its own time */
    for (uint32_t count = 0; count < PCL_BATCH_MAX; count++) {
        if (self->spare == NULL) {
            self->spare = pcl_agent_fresh_job(self);
            if (self->spare == NULL) {
                return false; /* the messages wait where they are; the tick comes again */
            }
        }
        switch (pcl_link_recv(proxy->link, &self->spare->message)) {
        case PCL_HOP_NONE:
            return false;
        case PCL_HOP_DROPPED:
            pcl_metric_add(self->meter.messages_dropped, 1);
            break;
        case PCL_HOP_FAILED:
            pcl_loop_stop(self->loop);
            return false;
        case PCL_HOP_MESSAGE:
            s_on_message(proxy, self->spare->message.received_us);
            break;
        }
    }
    return true;
}

/* --- Results ----------------------------------------------------------------- */

static void s_finish_all(pcl_agent *self, pcl_pool *pool, uint64_t now_us)
{
    pcl_job *job = pcl_pool_collect(pool);
    while (job != NULL) {
        pcl_job *next = job->next;
        job->next = NULL;
        job->previous = NULL;
        pcl_agent_finish(self, job, now_us);
        job = next;
    }
}

static bool s_on_results(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    s_finish_all(self, self->pool, now_us);
    return false;
}

static void s_on_plain_result(void *context, pcl_job *job, uint64_t now_us)
{
    pcl_agent_finish(context, job, now_us);
}

static bool s_on_answers(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    pcl_lane_run(self->lane, now_us);
    return false;
}

static bool s_on_held_results(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    s_finish_all(self, self->held_pool, now_us);
    return false;
}

/* --- Time -------------------------------------------------------------------- */

static void s_show_ready(pcl_agent *self)
{
    bool ready = self->view.ready && !self->draining;
    if (self->args->http == NULL || (self->shown && ready == self->ready_shown && ready)) {
        return;
    }
    const char *reason = self->draining ? "draining" : self->view.reason;
    pcl_http_set_ready(self->args->http, ready, reason);
    self->ready_shown = ready;
    self->shown = true;
}

static void s_show_state(pcl_agent *self)
{
    pcl_pool_counts alone = pcl_pool_count(self->pool);
    pcl_pool_counts held = pcl_pool_count(self->held_pool);
    pcl_held_counts open = pcl_held_table_count(self->held);
    pcl_meter_gauges gauges = {
        .queued = alone.queued,
        .running = alone.running,
        .held_running = held.running,
        .held_threads = held.threads,
        .sessions = open.sessions,
        .cursors = open.cursors,
        .ending = open.ending,
        .worker_connections = pcl_pool_connections(self->pool) +
                              pcl_pool_connections(self->held_pool) +
                              pcl_lane_connections(self->lane),
        .spare_connections = pcl_spares_count(self->spares),
        .kills = pcl_watchdog_kills(self->watchdog),
    };
    uint32_t cursor = 0;
    const pcl_held *one = NULL;
    while ((one = pcl_held_table_each(self->held, &cursor)) != NULL) {
        gauges.line += one->line_count;
    }
    pcl_meter_state(&self->meter, &self->view, &gauges);
    pcl_meter_host(&self->meter, &self->host);
}

/* Files of secrets have changed, or may have.  The accounts get what is new in their passwords
 * before anybody is turned away for the old ones (keyring.h). */
static void s_renew_secrets(pcl_agent *self, const pcl_config *config)
{
    char error[PCL_ERROR_TEXT_SIZE] = "";
    bool changed = false;
    if (!pcl_agent_options_renew(&self->options, config, &changed, error, sizeof error)) {
        char escaped[PCL_ERROR_TEXT_SIZE];
        pcl_log(PCL_LOG_ERROR, self->who, "secrets_kept", "reason=\"%s\"",
                pcl_log_escape(error, escaped, sizeof escaped));
    } else if (changed) {
        pcl_log(PCL_LOG_INFO, self->who, "passwords_changed", "%s", "");
        pcl_observer_mend_accounts(self->observer);
    }
}

/* A replica whose host goes takes no new work, and what it has ends in peace.  A source goes on:
 * until somebody has moved the source elsewhere nobody else could take its writes. */
static void s_look_at_host(pcl_agent *self)
{
    uint64_t secret_changes = self->host.secret_changes;
    pcl_cloud_look(self->cloud, &self->host);
    if (self->host.secret_changes != secret_changes) {
        s_renew_secrets(self,
                        NULL); /* also those that no setting names, and the daemon's look misses */
    }
    bool told = self->drain_on != PCL_CLOUD_STAYS && self->host.notice >= self->drain_on;
    bool leaving = told && self->view.role == PCL_NODE_REPLICA;
    if (leaving != self->leaving) {
        self->leaving = leaving;
        pcl_log(PCL_LOG_WARNING, self->who, leaving ? "leaving" : "staying", "role=%s",
                pcl_node_role_text(self->view.role));
    }
}

static void s_refresh_view(pcl_agent *self, uint64_t now_us)
{
    if (pcl_time_since_us(self->view_us, now_us) < VIEW_US) {
        return;
    }
    self->view_us = now_us;
    pcl_observer_view(self->observer, &self->view);
    s_look_at_host(self);
    pcl_agent_look_at_topology(self);
    s_show_ready(self);
    s_show_state(self);
    /* A node that nobody asks would keep its old reputation for ever.  A look counts once: while
     * the database does not answer there is no new one, and the last one was a better time's. */
    if (self->view.ready && self->view.canary_at_us > self->canary_us) {
        bool serves = pcl_time_since_us(self->sampled_us, now_us) < CANARY_US;
        pcl_service_look(&self->service, self->view.canary_us, serves, now_us);
        self->canary_us = self->view.canary_at_us;
    }
}

/* What a proxy should not learn at the next beat only: who may be asked for what, and the magnitude
 * of the lag. */
static uint32_t s_news_of(const pcl_report *report)
{
    uint32_t magnitude = 0;
    for (int32_t lag_ms = report->lag_ms; lag_ms >= LAG_NEWS_MS; lag_ms /= 2) {
        magnitude++;
    }
    return magnitude << 8 | (report->notice ? 0x40u : 0u) | (report->lag_ms < 0 ? 0x80u : 0u) |
           (uint32_t)report->role << 4 | (uint32_t)report->state << 2 |
           (report->read_only ? 2u : 0u) | (report->replicating ? 1u : 0u);
}

static void s_tell(pcl_agent *self, uint64_t now_us)
{
    uint32_t news = self->news;
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        pcl_agent_proxy *proxy = &self->proxies[index];
        pcl_report report = pcl_agent_report(self, proxy, now_us);
        news = s_news_of(&report);
        if (news != self->news && pcl_link_state_now(proxy->link) != PCL_LINK_DOWN) {
            pcl_link_beat(proxy->link, now_us, &report);
        }
        s_on_event(proxy, pcl_link_tick(proxy->link, now_us, &report), now_us);
    }
    self->news = news;
}

static void s_on_tick(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    s_refresh_view(self, now_us);
    pcl_agent_check_deadlines(self, now_us);
    pcl_keeper_check_timers(self, now_us);
    pcl_lane_tidy(self->lane, now_us);
    uint64_t idle_us = self->options.idle_ms * PCL_US_PER_MS;
    pcl_spares_close_idle(self->spares, now_us > idle_us ? now_us - idle_us : 0);
    if (self->spare == NULL || self->waits) { /* there was no memory for what the links have */
        self->waits = false;
        for (uint32_t index = 0; index < self->proxy_count; index++) {
            self->waits = s_on_link(&self->proxies[index], now_us) || self->waits;
        }
    }
    s_tell(self, now_us);
    pcl_agent_tell_topology(self, now_us);
}

static void s_on_turn(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        pcl_link_flush(self->proxies[index].link, now_us);
    }
}

/* --- Life -------------------------------------------------------------------- */

static void s_reload(void *context, const pcl_config *config)
{
    pcl_agent *self = context;
    s_renew_secrets(self, config);
    self->leave = pcl_config_bool(config, "topology/leave");
}

static void s_drain(void *context, uint64_t now_us)
{
    pcl_agent *self = context;
    self->draining = true;
    s_show_ready(self);
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        pcl_agent_proxy *proxy = &self->proxies[index];
        pcl_head bye = {.kind = PCL_KIND_BYE, .principal = pcl_bytes_text(self->options.node)};
        pcl_head_set_boot_id(&bye, self->args->boot_id);
        if (pcl_link_send(proxy->link, &bye, NULL, NULL, now_us) != PCL_ERR_OK) {
            /* The beats say so, too. */
            pcl_log(PCL_LOG_DEBUG, self->who, "bye_unsent", "peer=%s", proxy->name);
        }
    }
    pcl_log(PCL_LOG_INFO, self->who, "draining", "in_flight=%" PRIu32,
            pcl_ticket_table_count(self->flights));
}

/* What was answered without its statement need not be waited for; sessions and
 * cursors have until the daemon's limit. */
static bool s_drained(void *context)
{
    const pcl_agent *self = context;
    uint32_t cursor = 0;
    uint64_t ticket = 0;
    const pcl_flight *entry = NULL;
    while ((entry = pcl_ticket_table_each(self->flights, &cursor, &ticket)) != NULL) {
        if (!entry->answered) {
            return false;
        }
    }
    pcl_held_counts held = pcl_held_table_count(self->held);
    uint32_t unsent = 0;
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        unsent += pcl_link_unsent_count(self->proxies[index].link);
    }
    return held.sessions + held.cursors + held.ending + unsent == 0;
}

/* Requests that may be here at a time. */
static uint32_t s_inflight_max(const pcl_agent_options *options)
{
    uint32_t held_max = options->sessions.count_max + options->cursors.count_max;
    uint32_t count = options->queue_max + options->threads +
                     pcl_threads_first(options) +            /* alone */
                     held_max * (options->line_max + 1) +    /* of what is held */
                     held_max + options->sessions.count_max; /* of what ends, or is opened */
    return count < PCL_INFLIGHT_MAX ? count : PCL_INFLIGHT_MAX;
}

static bool s_open_links(pcl_agent *self, char *error, size_t error_size)
{
    const pcl_config *config = self->args->config;
    pcl_keys keys = {.public_key = ""};
    const char *key_file = pcl_config_text(config, "curve/key_file");
    bool has_keys = key_file[0] != '\0';
    if (has_keys && !pcl_keys_load(&keys, key_file, error, error_size)) {
        return false;
    }
    uint32_t queue_max = (uint32_t)pcl_config_uint(config, "proxy/queue_max");
    uint32_t inflight_max = s_inflight_max(&self->options) + LINK_SLACK;
    pcl_socket_options options = {
        .keys = has_keys ? &keys : NULL,
        /* All that is in flight has room, so a reply is never refused by our own queue. */
        .queue_max = queue_max > inflight_max ? queue_max : inflight_max,
        .message_size_max = PCL_REQUEST_SIZE_MAX,
        .insecure = pcl_config_bool(config, "curve/insecure"),
    };
    pcl_proxy_place places[PCL_PROXIES_MAX];
    uint32_t count = pcl_proxies_read(config, places);
    bool opened = true;
    for (uint32_t index = 0; opened && index < count; index++) {
        pcl_agent_proxy *proxy = &self->proxies[index];
        *proxy = (pcl_agent_proxy){.agent = self, .name = places[index].name, .index = index};
        options.endpoint = places[index].endpoint;
        options.server_key = places[index].public_key;
        proxy->link = pcl_link_new(&options, self->options.node, self->args->boot_id,
                                   self->args->seed + index, error, error_size);
        opened = proxy->link != NULL;
        self->proxy_count += opened ? 1 : 0;
    }
    pcl_keys_wipe(&keys);
    return opened;
}

static void s_open_tables(pcl_agent *self)
{
    const pcl_agent_options *options = &self->options;
    uint32_t inflight_max = s_inflight_max(options);
    self->flights = pcl_ticket_table_new(inflight_max, sizeof(pcl_flight), self->args->seed);
    self->flight_ids = pcl_id_index_new(inflight_max, pcl_random_u64());
    self->held = pcl_held_table_new(&options->sessions, &options->cursors, self->args->boot_id,
                                    pcl_random_u64());
    assert(self->flights != NULL && self->flight_ids != NULL && self->held != NULL);
}

static void s_open_pools(pcl_agent *self)
{
    const pcl_agent_options *options = &self->options;
    uint32_t held_max = pcl_held_table_capacity(&options->sessions, &options->cursors);
    uint32_t threads = options->threads + pcl_threads_first(options);
    uint32_t seats = pcl_lane_seats(options);
    self->watchdog = pcl_watchdog_new(options, threads + held_max + seats);
    self->spares = pcl_spares_new(options, pcl_spares_max(options));
    self->causal = pcl_causal_new(options->threads);
    pcl_pool_plan alone = {
        .options = options,
        .watchdog = self->watchdog,
        .spares = self->spares,
        .causal = self->causal,
        .threads_min = threads,
        .threads_max = threads,
        .threads_first = pcl_threads_first(options),
        .queue_max = options->queue_max,
        .keeps_reads = true,
    };
    self->pool = pcl_pool_new(&alone);
    self->lane = pcl_lane_new(&alone, self->pool, threads + held_max, s_on_plain_result, self);
    pcl_pool_plan held = {
        .options = options,
        .watchdog = self->watchdog,
        .spares = self->spares,
        .causal = self->causal,
        .slot_first = threads,
        .threads_max = held_max, /* one for each job that there can be */
        .idle_ms = THREAD_IDLE_MS,
        .queue_max = held_max,
    };
    self->held_pool = pcl_pool_new(&held);
}

static pcl_cloud_notice s_notice_of(const pcl_config *config, const char *setting)
{
    const char *word = pcl_config_text(config, setting);
    return strcmp(word, "interruption") == 0 ? PCL_CLOUD_ENDS
           : strcmp(word, "rebalance") == 0  ? PCL_CLOUD_REBALANCE
                                             : PCL_CLOUD_STAYS;
}

/* Before the observer, which asks what the node shall be. */
static bool s_open_handover(pcl_agent *self, char *error, size_t error_size)
{
    (void)snprintf(self->who, sizeof self->who, "agent.%s", self->options.node);
    self->handover = pcl_handover_new(self->args->config, &self->options, self->who, error,
                                      error_size);
    return self->handover != NULL;
}

static bool s_open(pcl_agent *self)
{
    char error[PCL_ERROR_TEXT_SIZE] = "";
    if (!pcl_agent_options_read(&self->options, self->args->config, error, sizeof error) ||
        !s_open_links(self, error, sizeof error) || !s_open_handover(self, error, sizeof error)) {
        char escaped[PCL_ERROR_TEXT_SIZE];
        pcl_log(PCL_LOG_ERROR, "agent", "open_failed", "reason=\"%s\"",
                pcl_log_escape(error, escaped, sizeof escaped));
        return false;
    }
    self->options.boot_id = self->args->boot_id;
    s_open_tables(self);
    s_open_pools(self);
    self->connect_limit = pcl_log_limit_of(1);
    self->accounts_limit = pcl_log_limit_of(1);
    self->ended_limit = pcl_log_limit_of(ENDED_LINES_MAX);
    self->cloud = pcl_cloud_new(self->args->config, self->who);
    self->drain_on = s_notice_of(self->args->config, "aws/drain_on");
    self->hand_over_on = s_notice_of(self->args->config, "topology/hand_over");
    self->leave = pcl_config_bool(self->args->config, "topology/leave");
    pcl_cloud_look(self->cloud, &self->host);
    self->observer = pcl_observer_new(&self->options, self->handover, self->who);
    self->beater = pcl_beater_new(&self->options, self->observer, self->causal);
    pcl_observer_view(self->observer, &self->view);
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        pcl_agent_proxy *proxy = &self->proxies[index];
        pcl_link_on_unsent(proxy->link, pcl_agent_unsent, proxy);
        pcl_loop_add_socket(self->loop, pcl_link_socket(proxy->link), s_on_link, proxy);
    }
    pcl_loop_add_fd(self->loop, pcl_pool_fd(self->pool), s_on_results, self);
    pcl_loop_add_fd(self->loop, pcl_lane_fd(self->lane), s_on_answers, self);
    pcl_loop_add_fd(self->loop, pcl_pool_fd(self->held_pool), s_on_held_results, self);
    pcl_loop_set_tick(self->loop, TICK_US, s_on_tick, s_on_turn, self);
    return true;
}

/* The beater uses the observer. */
static bool s_end_watchers(pcl_agent *self)
{
    bool cloud_left = !pcl_cloud_destroy(&self->cloud, END_WAIT_MS);
    if (cloud_left) {
        pcl_log(PCL_LOG_WARNING, self->who, "thread_left", "reason=\"a service of AWS hangs\"");
    }
    bool watcher_left = !pcl_beater_destroy(&self->beater, END_WAIT_MS) ||
                        !pcl_observer_destroy(&self->observer, END_WAIT_MS * 2);
    if (watcher_left) {
        pcl_log(PCL_LOG_WARNING, self->who, "thread_left", "reason=\"the database hangs\"");
    }
    return !cloud_left && !watcher_left;
}

/* What runs is cancelled: the watchdog kills it, and the lane sees that it is over. */
static void s_end_running(pcl_agent *self)
{
    if (self->flights != NULL) {
        pcl_agent_stop_running(self);
    }
    if (self->lane != NULL) {
        pcl_lane_finish(self->lane, END_WAIT_MS);
    }
}

/* False: a thread hangs in a server that does not answer; what it uses stays. */
static bool s_close(pcl_agent *self)
{
    bool ended = s_end_watchers(self);
    s_end_running(self);
    pcl_lane_destroy(&self->lane);
    bool idle = pcl_pool_destroy(&self->pool, END_WAIT_MS);
    idle = pcl_pool_destroy(&self->held_pool, END_WAIT_MS) && idle;
    if (!idle) {
        pcl_log(PCL_LOG_WARNING, self->who, "thread_left", "reason=\"the database hangs\"");
    } else {
        pcl_keeper_close(self);
        pcl_watchdog_destroy(&self->watchdog);
        pcl_spares_destroy(&self->spares);
        pcl_causal_destroy(&self->causal);
    }
    for (uint32_t index = 0; index < self->proxy_count; index++) {
        pcl_link_destroy(&self->proxies[index].link);
    }
    pcl_job_discard(&self->spare);
    pcl_agent_free_rested(self);
    pcl_ticket_table_destroy(&self->flights);
    pcl_id_index_destroy(&self->flight_ids);
    return ended && idle;
}

void pcl_worker_agent_actor(zsock_t *pipe, void *argument)
{
    static const pcl_actor_hooks HOOKS = {
        .drain = s_drain, .drained = s_drained, .reload = s_reload};
    /* On the heap: a thread that cannot be ended may outlive this function. */
    pcl_agent *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->args = argument;
    self->loop = pcl_loop_new();
    pcl_meter_init(&self->meter, self->args->metrics);
    bool opened = s_open(self);
    pcl_actor_run(pipe, opened, self->loop, &HOOKS, self);
    pcl_loop_destroy(&self->loop);
    if (s_close(self)) {
        pcl_handover_destroy(&self->handover);
        pcl_agent_options_wipe(&self->options);
        free(self);
    }
}
