#include "worker-agent/handover.h"

#include "common/clock.h"
#include "net/log.h"
#include "net/time.h"
#include "worker-agent/setup.h"
#include "worker-agent/state_file.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_US             (1000 * PCL_US_PER_MS)
#define TELL_BUSY_US        (50 * PCL_US_PER_MS)
#define OPENING_US          (3 * PCL_US_PER_S) /* for a replica that acknowledges */
#define QUIET_US            (1 * PCL_US_PER_S)
#define FENCE_LOCK_WAIT     "SET SESSION lock_wait_timeout=1"
#define FENCE_LOCK_WAIT_OFF "SET SESSION lock_wait_timeout=DEFAULT"
/* A lock of the server's, of whose connection closes the database, or did: whoever began that. */
#define FENCE_LOCK          "portcullis_fence"
#define ER_LOCK_WAIT        1205u
#define ER_NO_SUCH_THREAD   1094u
#define UNFIT_US            (60 * PCL_US_PER_S) /* is not asked again to take over */
#define STATE_PATH_SIZE     4000u
#define ERROR_SIZE          4400u
#define UNSAVED             "the state file cannot be written"

struct pcl_handover {
    bool on;
    char file[STATE_PATH_SIZE];
    const char *who; /* borrowed */
    pthread_mutex_t lock;
    /* Under the lock. */
    pcl_succession rules;
    bool has_incoming;
    pcl_topology incoming; /* heard, and not on disk yet */
    uint64_t done, given_up;
    /* The actor's. */
    uint64_t told_us;
    pcl_topology told;
    /* The observer's. */
    bool has_committing;
    pcl_topology committing;   /* may stand on disk already */
    bool locked;               /* the connection has the fence's lock */
    uint64_t opening_until_us; /* the successor: waits for replicas; 0: does not */
    uint64_t unfit_until_us;   /* the successor; 0: it is not unfit */
    bool said;                 /* of one obstacle, once */
    uint64_t fencing_us;       /* since when */
    atomic_bool fencing, quiet;
};

static void s_lock(pcl_handover *self)
{
    (void)pthread_mutex_lock(&self->lock);
}

static void s_unlock(pcl_handover *self)
{
    (void)pthread_mutex_unlock(&self->lock);
}

static void s_copy(char *target, size_t size, const char *text)
{
    (void)snprintf(target, size, "%s", text);
}

void pcl_handover_check(const pcl_config *config, pcl_buffer *problems)
{
    const char *file = pcl_config_text(config, "topology/state_file");
    const char *host = pcl_config_text(config, "topology/host");
    const char *source = pcl_config_text(config, "replication/source_host");
    if (file[0] == '\0') {
        return;
    }
    if (strlen(file) >= STATE_PATH_SIZE) {
        pcl_config_problem(config, problems, "topology/state_file",
                           "must be a path of at most %u octets", STATE_PATH_SIZE - 1);
    }
    if (host[0] == '\0' || strlen(host) > PCL_TOPOLOGY_HOST_SIZE_MAX ||
        !pcl_topology_text_is_valid(pcl_bytes_text(host))) {
        pcl_config_problem(config, problems, "topology/host",
                           "must be a host's name or address, since topology/state_file is given");
    }
    if (strlen(source) > PCL_TOPOLOGY_HOST_SIZE_MAX) {
        pcl_config_problem(config, problems, "replication/source_host",
                           "must have at most %u octets", PCL_TOPOLOGY_HOST_SIZE_MAX);
    }
}

pcl_handover *pcl_handover_new(const pcl_config *config, const pcl_agent_options *options,
                               const char *who, char *error, size_t error_size)
{
    pcl_handover *self = calloc(1, sizeof *self);
    assert(self != NULL);
    int failed = pthread_mutex_init(&self->lock, NULL);
    assert(failed == 0);
    uint64_t port = pcl_config_uint(config, "topology/port");
    pcl_succession *rules = &self->rules;
    self->who = who;
    s_copy(self->file, sizeof self->file, pcl_config_text(config, "topology/state_file"));
    self->on = self->file[0] != '\0';
    rules->configured_source = options->role == PCL_NODE_SOURCE;
    s_copy(rules->own.name, sizeof rules->own.name, options->node);
    s_copy(rules->own.host, sizeof rules->own.host, pcl_config_text(config, "topology/host"));
    rules->own.port = port != 0 ? (uint16_t)port : options->port;
    (void)snprintf(rules->configured.host, sizeof rules->configured.host, "%.*s",
                   (int)PCL_TOPOLOGY_HOST_SIZE_MAX, options->source_host);
    rules->configured.port = options->source_port;
    if (self->on && !pcl_state_file_load(self->file, &rules->last, error, error_size)) {
        pcl_handover_destroy(&self);
        return NULL;
    }
    if (rules->last.term > 0) {
        pcl_log(PCL_LOG_WARNING, who, "topology",
                "term=%" PRIu64 " stage=%s source=%s configured=%s", rules->last.term,
                pcl_topology_stage_text(rules->last.stage), rules->last.source.name,
                pcl_node_role_text(options->role));
    }
    return self;
}

void pcl_handover_destroy(pcl_handover **self_p)
{
    pcl_handover *self = *self_p;
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

/* --- The actor's ------------------------------------------------------------------ */

void pcl_handover_look(pcl_handover *self, pcl_handover_view *out_view)
{
    s_lock(self);
    *out_view = (pcl_handover_view){
        .on = self->on,
        .closed = atomic_load(&self->fencing) || self->rules.phase == PCL_SUCCESSION_FENCED,
        .term = self->rules.last.term,
        .done = self->done,
        .given_up = self->given_up,
    };
    s_unlock(self);
}

void pcl_handover_want(pcl_handover *self, bool wants)
{
    s_lock(self);
    bool changed = self->rules.wants != wants;
    self->rules.wants = wants;
    if (changed) { /* whoever says it anew has mended what was in the way */
        self->rules.rest_us = 0;
        self->rules.failures = 0;
    }
    s_unlock(self);
    if (changed && self->on) {
        pcl_log(PCL_LOG_WARNING, self->who, "handover_wanted", "wanted=%d", wants ? 1 : 0);
    }
}

void pcl_handover_hear(pcl_handover *self, const pcl_topology *heard, uint64_t now_us)
{
    pcl_topology record;
    if (!self->on) {
        return;
    }
    s_lock(self);
    if (pcl_succession_hear(&self->rules, heard, pcl_random_u64(), now_us, &record) &&
        (!self->has_incoming || pcl_topology_is_newer(&self->incoming, &record))) {
        self->incoming = record;
        self->has_incoming = true;
    }
    s_unlock(self);
}

static bool s_is_busy(const pcl_succession *rules)
{
    pcl_succession_duty duty = pcl_succession_duty_of(rules);
    return rules->phase != PCL_SUCCESSION_IDLE || duty == PCL_DUTY_TAKE_OVER ||
           duty == PCL_DUTY_CLOSED || (rules->wants && duty == PCL_DUTY_SOURCE);
}

void pcl_handover_quiet(pcl_handover *self)
{
    atomic_store(&self->quiet, true);
}

bool pcl_handover_due(pcl_handover *self, uint64_t now_us, pcl_topology *out_message)
{
    if (!self->on) {
        return false;
    }
    s_lock(self);
    pcl_topology message = pcl_succession_message(&self->rules, now_us);
    bool busy = s_is_busy(&self->rules);
    s_unlock(self);
    bool news = message.term != self->told.term || message.stage != self->told.stage ||
                message.ready != self->told.ready || message.wants != self->told.wants ||
                message.attempt != self->told.attempt;
    uint64_t rest_us = busy ? TELL_BUSY_US : TELL_US;
    if (!news && pcl_time_since_us(self->told_us, now_us) < rest_us) {
        return false;
    }
    self->told = message;
    self->told_us = now_us;
    *out_message = message;
    return true;
}

/* --- The observer's ---------------------------------------------------------------- */

void pcl_handover_apply(pcl_handover *self, pcl_agent_options *options)
{
    if (!self->on) {
        return;
    }
    s_lock(self);
    pcl_succession_duty duty = pcl_succession_duty_of(&self->rules);
    const pcl_topology_place *followed = pcl_succession_followed(&self->rules);
    if (self->has_committing && duty == PCL_DUTY_SOURCE) {
        duty = PCL_DUTY_CLOSED; /* what may stand on disk already names another */
    }
    options->role = duty == PCL_DUTY_SOURCE   ? PCL_NODE_SOURCE
                    : duty == PCL_DUTY_CLOSED ? PCL_NODE_UNKNOWN
                                              : PCL_NODE_REPLICA;
    options->succeeds = self->rules.last.term > 0;
    s_copy(options->source_host, sizeof options->source_host, followed->host);
    options->source_port = followed->port;
    s_unlock(self);
}

/* Ends the connection that has the fence's lock, if there is one: it may close the database, or be
 * a client's, which has no business with it.  *out_free: there was none. */
static bool s_end_holder(MYSQL *mysql, bool *out_free, pcl_sql_error *out_error)
{
    char sql[64];
    uint64_t holder = 0;
    if (!pcl_query_uint(mysql, "SELECT COALESCE(IS_USED_LOCK('" FENCE_LOCK "'), 0)", &holder,
                        out_error)) {
        return false;
    }
    *out_free = holder == 0;
    (void)snprintf(sql, sizeof sql, "KILL %" PRIu64, holder);
    return *out_free || pcl_query_run(mysql, sql, out_error) ||
           out_error->number == ER_NO_SUCH_THREAD;
}

/* self->locked says whether it is ours now; where it is not, whoever has it is being ended. */
static bool s_lock_fence(pcl_handover *self, MYSQL *mysql, pcl_sql_error *out_error)
{
    uint64_t got = 1;
    bool free = false;
    if (!self->locked &&
        !pcl_query_uint(mysql, "SELECT GET_LOCK('" FENCE_LOCK "', 0)", &got, out_error)) {
        return false;
    }
    self->locked = got == 1;
    return self->locked || s_end_holder(mysql, &free, out_error);
}

/* Without one, and of a connection that is a new one, nothing happens. */
static bool s_unlock_fence(pcl_handover *self, MYSQL *mysql, pcl_sql_error *out_error)
{
    uint64_t released = 0;
    bool asked = !self->locked ||
                 pcl_query_uint(mysql, "SELECT COALESCE(RELEASE_LOCK('" FENCE_LOCK "'), 0)",
                                &released, out_error);
    self->locked = self->locked && !asked;
    return asked;
}

/* Whether no other connection closes the database, or will.  One that we have lost, or an agent's
 * before us, could do so once all was opened again: it is ended. */
static bool s_end_other_fence(pcl_handover *self, MYSQL *mysql, pcl_sql_error *out_error)
{
    bool free = false;
    if (!s_unlock_fence(self, mysql, out_error) || !s_end_holder(mysql, &free, out_error)) {
        return false;
    }
    if (!free) { /* asked again */
        *out_error = (pcl_sql_error){.number = 0,
                                     .message = "another connection may close the database"};
    }
    return free;
}

static void s_give_up(pcl_handover *self, const char *why)
{
    s_lock(self);
    bool ours = self->rules.phase == PCL_SUCCESSION_CLOSING ||
                self->rules.phase == PCL_SUCCESSION_FENCED;
    char successor[PCL_NAME_SIZE_MAX + 1];
    s_copy(successor, sizeof successor, self->rules.plan.source.name);
    pcl_succession_give_up(&self->rules, pcl_now_us());
    self->given_up += ours ? 1 : 0;
    s_unlock(self);
    atomic_store(&self->fencing, false);
    if (ours) {
        pcl_log(PCL_LOG_ERROR, self->who, "handover_given_up", "successor=%s reason=\"%s\"",
                successor, why);
    }
}

static void s_say_unsaved(pcl_handover *self, const char *error)
{
    if (!self->said) {
        self->said = true;
        pcl_log(PCL_LOG_ERROR, self->who, "topology_unsaved", "reason=\"%s\"", error);
    }
}

/* What may stand on disk, whatever was said, is tried until it is known to; nothing else happens
 * before.  Where the old file surely stands, nothing has happened, and has_committing says so.
 * record: not looked at where has_committing is set.  true: it stands, and the node is to be set up
 * by it now. */
static bool s_commit(pcl_handover *self, const pcl_topology *record)
{
    char error[ERROR_SIZE] = "";
    bool touched = false;
    if (!self->has_committing) {
        self->committing = *record;
    }
    if (!pcl_state_file_save(self->file, &self->committing, &touched, error, sizeof error)) {
        s_say_unsaved(self, error);
        self->has_committing = self->has_committing || touched;
        return false;
    }
    self->has_committing = false;
    s_lock(self);
    pcl_succession_stands(&self->rules, &self->committing);
    bool taken_over = pcl_succession_duty_of(&self->rules) == PCL_DUTY_SOURCE;
    self->done += taken_over ? 1 : 0;
    s_unlock(self);
    self->opening_until_us = taken_over ? pcl_now_us() + OPENING_US : 0;
    atomic_store(&self->fencing, false);
    self->said = false;
    pcl_log(PCL_LOG_WARNING, self->who, "topology",
            "term=%" PRIu64 " stage=%s source=%s from=%s position=%s", self->committing.term,
            pcl_topology_stage_text(self->committing.stage), self->committing.source.name,
            self->committing.from.name, self->committing.position);
    return !taken_over; /* which opens first */
}

/* What was heard and says more.  Where it cannot be written, it is heard again. */
static void s_commit_incoming(pcl_handover *self)
{
    s_lock(self);
    pcl_topology incoming = self->incoming;
    bool newer = self->has_incoming && pcl_topology_is_newer(&self->rules.last, &incoming);
    self->has_incoming = false;
    s_unlock(self);
    if (newer) {
        (void)s_commit(self, &incoming);
    }
}

bool pcl_handover_reconnected(pcl_handover *self, MYSQL *mysql, pcl_sql_error *out_error)
{
    if (!self->on) {
        return true;
    }
    if (!s_end_other_fence(self, mysql, out_error)) {
        return false;
    }
    s_lock(self);
    bool ours = self->rules.phase == PCL_SUCCESSION_CLOSING ||
                self->rules.phase == PCL_SUCCESSION_FENCED;
    s_unlock(self);
    if (ours && !self->has_committing) {
        s_give_up(self, "the database let go of us");
    }
    if (!self->has_committing) { /* what was lost of our state is not set up by the rest of it */
        s_commit_incoming(self);
    }
    return true;
}

/* Whether what comes later will most likely find its place on disk, before anybody relies on it. */
static bool s_can_commit(pcl_handover *self, const pcl_topology *plan)
{
    char error[ERROR_SIZE] = "";
    bool can = pcl_state_file_try(self->file, plan, error, sizeof error);
    if (!can) {
        s_say_unsaved(self, error);
    }
    return can;
}

/* The server's whole past, as one line.  false with number 0: a message has no room for it. */
static bool s_position(MYSQL *mysql, const pcl_flavor_ops *flavor, bool *out_read_only,
                       char position[PCL_TOPOLOGY_POSITION_SIZE_MAX + 1], pcl_sql_error *out_error)
{
    pcl_row row;
    if (!pcl_query_row(mysql, flavor->state_sql, &row, out_error)) {
        return false;
    }
    size_t size = 0;
    const char *text = pcl_row_text(&row, "gtid");
    for (; *text != '\0' && size < PCL_TOPOLOGY_POSITION_SIZE_MAX; text++) {
        if (*text != '\n' && *text != ' ') {
            position[size++] = *text;
        }
    }
    bool fits = *text == '\0' && size > 0;
    position[size] = '\0';
    *out_read_only = pcl_row_uint(&row, "read_only") != 0;
    pcl_row_free(&row);
    if (!fits) {
        *out_error = (pcl_sql_error){.number = 0, .message = "its position fits no message"};
    }
    return fits;
}

/* What was admitted runs first, so that it is not refused by the database. */
static bool s_may_fence(pcl_handover *self)
{
    return atomic_load(&self->quiet) ||
           pcl_time_since_us(self->fencing_us, pcl_now_us()) > QUIET_US;
}

/* What could not be told, or decided, is not begun: writes would stop for nothing. */
static bool s_begin_fence(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                          pcl_sql_error *out_error)
{
    bool read_only = false;
    s_lock(self);
    pcl_topology plan = self->rules.plan;
    s_unlock(self);
    if (!s_position(mysql, flavor, &read_only, plan.position, out_error)) {
        if (out_error->number != 0) {
            return false;
        }
        s_give_up(self, out_error->message);
    } else if (!s_can_commit(self, &plan)) {
        s_give_up(self, UNSAVED);
    } else {
        self->fencing_us = pcl_now_us();
        atomic_store(&self->quiet, false);
        atomic_store(&self->fencing, true);
    }
    return true;
}

/* The source.  false: the database failed. */
static bool s_fence(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                    pcl_sql_error *out_error)
{
    char position[PCL_TOPOLOGY_POSITION_SIZE_MAX + 1];
    bool read_only = false;
    if (!atomic_load(&self->fencing)) {
        return s_begin_fence(self, mysql, flavor, out_error);
    }
    if (!s_may_fence(self)) {
        return true;
    }
    if (!s_lock_fence(self, mysql, out_error)) {
        return false;
    }
    if (!self->locked) {
        return true; /* again, until the plan is late */
    }
    if (!pcl_query_run(mysql, FENCE_LOCK_WAIT, out_error)) {
        return false;
    }
    bool closed = pcl_query_run_all(mysql, flavor->read_only, out_error);
    if (!closed && out_error->number != ER_LOCK_WAIT) {
        return false;
    }
    if (!pcl_query_run(mysql, FENCE_LOCK_WAIT_OFF, out_error)) {
        return false;
    }
    if (!closed) {
        return true; /* writes run still: again, until the plan is late */
    }
    bool asked = s_position(mysql, flavor, &read_only, position, out_error);
    if (!asked && out_error->number != 0) {
        return false;
    }
    if (!asked || !read_only) {
        s_lock(self);
        self->rules.until_us = 0; /* opened again below */
        s_unlock(self);
        return true;
    }
    s_lock(self);
    pcl_succession_fenced(&self->rules, position, pcl_now_us());
    s_unlock(self);
    pcl_log(PCL_LOG_WARNING, self->who, "fenced", "position=%s", position);
    return true;
}

/* The source takes writes again. */
static bool s_reopen(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                     const char *why, pcl_sql_error *out_error)
{
    if (!pcl_query_run_all(mysql, flavor->writable, out_error) ||
        !s_unlock_fence(self, mysql, out_error)) {
        return false;
    }
    s_give_up(self, why);
    return true;
}

/* The source, once its successor is ready: is the fence as it was? */
static bool s_decide(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                     const pcl_topology *record, bool *out_changed, pcl_sql_error *out_error)
{
    char position[PCL_TOPOLOGY_POSITION_SIZE_MAX + 1];
    bool read_only = false;
    if (!s_position(mysql, flavor, &read_only, position, out_error) && out_error->number != 0) {
        return false;
    }
    if (!read_only || strcmp(position, record->position) != 0) {
        return s_reopen(self, mysql, flavor, "somebody has written meanwhile", out_error);
    }
    *out_changed = s_commit(self, record);
    return *out_changed || self->has_committing ||
           s_reopen(self, mysql, flavor, UNSAVED, out_error);
}

/* As if it should not be the source, to the proxies; they ask another one. */
static void s_set_unfit(pcl_handover *self, bool unfit)
{
    s_lock(self);
    self->rules.unfit = unfit;
    s_unlock(self);
    self->unfit_until_us = unfit ? pcl_now_us() + UNFIT_US : 0;
}

/* The successor: whether the database has all of the position, and nothing else. */
static bool s_has(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                  const char *position, bool *out_has, pcl_sql_error *out_error)
{
    bool beyond = false;
    if (!flavor->stands_at(mysql, position, out_has, &beyond, out_error)) {
        return false;
    }
    if (beyond) {
        *out_has = false;
        s_set_unfit(self, true);
    }
    if (beyond && !self->said) {
        self->said = true;
        pcl_log(PCL_LOG_ERROR, self->who, "handover_refused",
                "reason=\"this node has transactions that the source has not\" position=%s",
                position);
    }
    return true;
}

static bool s_confirm(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                      const pcl_topology *plan, pcl_sql_error *out_error)
{
    bool has = false;
    if (!s_has(self, mysql, flavor, plan->position, &has, out_error)) {
        return false;
    }
    if (has && !s_can_commit(self, plan)) { /* the source would decide for nobody */
        s_set_unfit(self, true);
        return true;
    }
    s_lock(self);
    /* Another attempt may have come in between. */
    if (has && self->rules.phase == PCL_SUCCESSION_ASKED &&
        strcmp(self->rules.plan.position, plan->position) == 0) {
        pcl_succession_reached(&self->rules);
    }
    s_unlock(self);
    return true;
}

/* The successor: replication ends where everything is executed, so nothing is dropped with it. */
static bool s_take_over(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                        const pcl_topology *last, pcl_sql_error *out_error)
{
    bool has = false;
    pcl_row row;
    if (!s_has(self, mysql, flavor, last->position, &has, out_error)) {
        return false;
    }
    if (!has) {
        return true;
    }
    if (!pcl_query_row(mysql, flavor->replication_sql, &row, out_error)) {
        return false;
    }
    bool configured = row.cells != NULL && pcl_row_text(&row, flavor->source_host)[0] != '\0';
    pcl_row_free(&row);
    if (configured && (!pcl_query_run(mysql, flavor->stop, out_error) ||
                       !pcl_query_run(mysql, flavor->forget_source, out_error))) {
        return false;
    }
    if (!pcl_query_run(mysql, flavor->semi_sync_replica_off, out_error)) {
        return false;
    }
    s_lock(self);
    pcl_topology record = pcl_succession_opening(&self->rules);
    s_unlock(self);
    (void)s_commit(self, &record); /* tried again where it could not */
    return true;
}

/* Writes open once a replica acknowledges them, as they were acknowledged before; or later without
 * one, as at every start of a source that has none. */
static bool s_opening(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                      const pcl_agent_options *options, uint64_t now_us, bool *out_changed,
                      pcl_sql_error *out_error)
{
    pcl_semi_sync state = {.on = !options->semi_sync};
    if (options->semi_sync &&
        (!pcl_query_run_all(mysql, flavor->semi_sync_source_setup, out_error) ||
         !pcl_setup_semi_sync(mysql, flavor, &state, out_error))) {
        return false;
    }
    if (state.on || now_us >= self->opening_until_us) {
        self->opening_until_us = 0;
        *out_changed = true;
    }
    return true;
}

/* What the other thread changes, as of now. */
typedef struct moment {
    pcl_succession_phase phase;
    pcl_succession_duty duty;
    bool has_incoming, has_decision, late;
    pcl_topology incoming, decision, plan, last;
} moment;

static moment s_moment(pcl_handover *self, uint64_t now_us)
{
    s_lock(self);
    moment now = {
        .phase = self->rules.phase,
        .duty = pcl_succession_duty_of(&self->rules),
        .has_incoming = self->has_incoming,
        .late = pcl_succession_is_late(&self->rules, now_us),
        .incoming = self->incoming,
        .plan = self->rules.plan,
        .last = self->rules.last,
    };
    now.has_decision = pcl_succession_decision(&self->rules, &now.decision);
    self->has_incoming = false;
    s_unlock(self);
    return now;
}

/* The successor may have been set up as a replica once more meanwhile. */
static bool s_commit_again(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                           bool *out_changed, pcl_sql_error *out_error)
{
    s_lock(self);
    bool takes_over = pcl_succession_duty_of(&self->rules) == PCL_DUTY_TAKE_OVER;
    pcl_topology last = self->rules.last;
    s_unlock(self);
    if (takes_over) {
        return s_take_over(self, mysql, flavor, &last, out_error);
    }
    *out_changed = s_commit(self, NULL);
    return true;
}

static bool s_step(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                   const moment *now, bool *out_changed, pcl_sql_error *out_error)
{
    bool ours = now->phase == PCL_SUCCESSION_CLOSING || now->phase == PCL_SUCCESSION_FENCED;
    if (now->late && ours) {
        return s_reopen(self, mysql, flavor, "the time for it was up", out_error);
    }
    if (now->late) {
        s_give_up(self, "");
        return true;
    }
    if (now->duty == PCL_DUTY_TAKE_OVER) {
        return s_take_over(self, mysql, flavor, &now->last, out_error);
    }
    switch (now->phase) {
    case PCL_SUCCESSION_CLOSING:
        return s_fence(self, mysql, flavor, out_error);
    case PCL_SUCCESSION_FENCED:
        return !now->has_decision ||
               s_decide(self, mysql, flavor, &now->decision, out_changed, out_error);
    case PCL_SUCCESSION_ASKED:
        return now->plan.ready || s_confirm(self, mysql, flavor, &now->plan, out_error);
    case PCL_SUCCESSION_IDLE:
        break;
    }
    return true;
}

bool pcl_handover_step(pcl_handover *self, MYSQL *mysql, const pcl_flavor_ops *flavor,
                       const pcl_agent_options *options, uint64_t now_us, bool *out_changed,
                       bool *out_busy, pcl_sql_error *out_error)
{
    *out_changed = false;
    *out_busy = false;
    *out_error = (pcl_sql_error){.number = 0};
    if (!self->on) {
        return true;
    }
    if (self->unfit_until_us != 0 && now_us >= self->unfit_until_us) {
        s_set_unfit(self, false);
    }
    bool done = true;
    if (self->has_committing) {
        done = s_commit_again(self, mysql, flavor, out_changed, out_error);
    } else if (self->opening_until_us != 0) {
        done = s_opening(self, mysql, flavor, options, now_us, out_changed, out_error);
    } else {
        moment now = s_moment(self, now_us);
        if (now.has_incoming && pcl_topology_is_newer(&now.last, &now.incoming)) {
            *out_changed = s_commit(self, &now.incoming);
        } else {
            done = s_step(self, mysql, flavor, &now, out_changed, out_error);
        }
    }
    s_lock(self);
    *out_busy = self->rules.phase != PCL_SUCCESSION_IDLE || self->opening_until_us != 0 ||
                self->has_committing || pcl_succession_duty_of(&self->rules) == PCL_DUTY_TAKE_OVER;
    s_unlock(self);
    return done;
}
