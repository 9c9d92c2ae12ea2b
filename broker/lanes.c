#include "broker/actor.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <string.h>

/* Given up at a time, of a lane in a turn and of all in a tick: replies to all that has gathered in
 * a line before it stood would stand before everybody else's on their way back. */
enum { GIVEN_UP_MAX = 64, EXPIRED_MAX = 256 };

/* Larger requests are not kept to go to another proxy when theirs stops or is lost. */
#define AGAIN_SIZE_MAX 8192u

#define AUDIT_TEXT "audit: it cannot be written just now, so nothing is changed"

/* --- Handing on -------------------------------------------------------------- */

static uint32_t s_spent_us(const pcl_relay_entry *entry, uint64_t now_us)
{
    uint64_t spent_us = pcl_time_since_us(entry->arrived_us, now_us);
    return spent_us < UINT32_MAX ? (uint32_t)spent_us : UINT32_MAX;
}

/* With several proxies a request may go on again; when, the relay knows. */
static bool s_may_go_again(const pcl_broker *self, const pcl_relay_entry *entry, zmq_msg_t *payload)
{
    return pcl_relay_next_count(self->relay) > 1 && entry->op != PCL_OP_CANCEL &&
           zmq_msg_size(payload) <= AGAIN_SIZE_MAX;
}

/* The same octets once more; nothing is copied of more than some tens of them. */
static void s_twin(zmq_msg_t *out_twin, zmq_msg_t *payload)
{
    zmq_msg_init(out_twin);
    int copied = zmq_msg_copy(out_twin, payload);
    assert(copied == 0);
}

static void s_forward(pcl_broker *self, pcl_relay_entry *entry, pcl_head *head,
                      const char *accounts, zmq_msg_t *payload)
{
    uint64_t now_us = pcl_now_us(); /* a batch has passed since the turn's clock was read */
    const pcl_work *work = pcl_works_at(self->works, entry->work);
    head->broker_us = s_spent_us(entry, now_us);
    head->flags |= work->first ? PCL_HEAD_FIRST : 0;
    if (s_may_go_again(self, entry, payload)) {
        zmq_msg_t twin;
        s_twin(&twin, payload);
        pcl_works_keep(self->works, entry->work, head, accounts, &twin);
        zmq_msg_close(&twin);
    }
    head->principal = pcl_bytes_text(entry->principal);
    head->role = pcl_bytes_text(accounts);
    pcl_err err = pcl_relay_forward(self->relay, entry, head, payload, NULL, now_us);
    if (err != PCL_ERR_OK) {
        pcl_broker_refuse_unsent(self, entry, err, now_us);
    }
}

bool pcl_broker_again(void *context, uint64_t ticket, const pcl_relay_entry *entry, uint64_t now_us)
{
    pcl_broker *self = context;
    if (entry->work == PCL_RELAY_OWNER_NONE) {
        return false;
    }
    pcl_work *work = pcl_works_at(self->works, entry->work);
    if (!work->has_payload) {
        return false;
    }
    work->head.broker_us = s_spent_us(entry, now_us);
    work->head.principal = pcl_bytes_text(entry->principal);
    work->head.role = pcl_bytes_text(work->accounts);
    pcl_err err = pcl_relay_forward_again(self->relay, ticket, &work->head, &work->payload, now_us);
    pcl_works_release(self->works, entry->work);
    return err == PCL_ERR_OK;
}

/* The same for one that was held; it may be gone. */
static void s_forward_held(pcl_broker *self, uint32_t index, uint64_t ticket)
{
    pcl_work *work = pcl_works_held(self->works, index, ticket);
    const pcl_relay_entry *entry = pcl_relay_held(self->relay, ticket);
    if (work == NULL || entry == NULL) {
        return;
    }
    uint64_t now_us = pcl_now_us();
    work->head.broker_us = s_spent_us(entry, now_us);
    work->head.flags |= work->first ? PCL_HEAD_FIRST : 0;
    work->head.principal = pcl_bytes_text(entry->principal);
    work->head.role = pcl_bytes_text(work->accounts);
    bool keeps = s_may_go_again(self, entry, &work->payload);
    zmq_msg_t payload;
    zmq_msg_init(&payload);
    if (keeps) {
        s_twin(&payload, &work->payload);
    } else {
        zmq_msg_move(&payload, &work->payload);
    }
    pcl_err err = pcl_relay_forward_held(self->relay, ticket, &work->head, &payload, NULL, now_us);
    zmq_msg_close(&payload);
    if (err == PCL_ERR_OK && keeps) {
        pcl_works_unhold(self->works, index);
    } else if (err == PCL_ERR_OK) {
        pcl_works_release(self->works, index);
    } else {
        pcl_metric_add(self->metrics.refusals[PCL_REFUSAL_UNSENT], 1);
        pcl_relay_refuse_held_unsent(self->relay, ticket, err, now_us);
    }
}

/* Keeps the request for later; takes the entry, and the payload when it could be kept.  false: it
 * was refused. */
static bool s_hold(pcl_broker *self, pcl_relay_entry *entry, const pcl_head *head,
                   const char *accounts, zmq_msg_t *payload, uint64_t now_us)
{
    uint32_t index = entry->work;
    uint64_t ticket = 0;
    pcl_err err = pcl_relay_hold(self->relay, entry, &ticket, now_us);
    if (err != PCL_ERR_OK) {
        pcl_broker_refuse_unsent(self, entry, err, now_us);
        return false;
    }
    pcl_works_hold(self->works, index, pcl_relay_held(self->relay, ticket)->id, ticket);
    pcl_works_keep(self->works, index, head, accounts, payload);
    return true;
}

/* --- The audit's word -------------------------------------------------------- */

static bool s_is_sure(const pcl_broker *self, uint64_t position)
{
    return pcl_audit_durable(self->audit) >= position;
}

/* It is held, and goes on when the line is durable. */
static void s_wait_for_audit(pcl_broker *self, uint32_t index, uint64_t ticket, uint64_t position)
{
    uint32_t capacity = self->work_max;
    pcl_work *work = pcl_works_at(self->works, index);
    uint32_t size = (uint32_t)zmq_msg_size(&work->payload);
    assert(self->unsure_count < capacity); /* s_has_unsure_room */
    uint64_t place = ((uint64_t)self->unsure_first + self->unsure_count++) % capacity;
    self->unsure[place] = (pcl_unsure){
        .position = position, .ticket = ticket, .work = index, .size = size};
    self->unsure_octets += size;
    self->unsure_last = position;
    if (work->has_session) {
        pcl_works_set_unsure(self->works, index);
    }
}

/* What it has to wait for, although it needs no line itself: an earlier request of its session.
 * 0: nothing. */
static uint64_t s_behind(const pcl_broker *self, const pcl_work *work)
{
    bool waits = self->unsure_count > 0 && work->has_session &&
                 pcl_works_is_unsure(self->works, work->session);
    return waits ? self->unsure_last : 0;
}

/* Of a disk that hangs, too: what waits for it has the bound of what waits for room below. */
static bool s_has_unsure_room(const pcl_broker *self, zmq_msg_t *payload)
{
    uint64_t octets = self->unsure_octets + zmq_msg_size(payload);
    return self->unsure_count < self->work_max &&
           octets <= pcl_config_uint(self->config, "queue/size_max");
}

void pcl_broker_pump_sure(pcl_broker *self, uint64_t now_us)
{
    uint32_t capacity = self->work_max;
    (void)now_us;
    while (self->unsure_count > 0 && s_is_sure(self, self->unsure[self->unsure_first].position)) {
        pcl_unsure next = self->unsure[self->unsure_first];
        self->unsure_first = (self->unsure_first + 1) % capacity;
        self->unsure_count--;
        self->unsure_octets -= next.size;
        s_forward_held(self, next.work, next.ticket);
    }
}

/* --- Windows ----------------------------------------------------------------- */

static void s_enter_window(pcl_broker *self, pcl_work *work)
{
    if (work->has_lane) {
        pcl_window_sent(&self->windows[work->lane]);
        work->first = pcl_callers_at(self->callers, work->caller)->below[work->lane]++ == 0;
        work->in_window = true;
    }
}

void pcl_broker_leave_window(pcl_broker *self, pcl_work *work)
{
    pcl_caller *caller = pcl_callers_at(self->callers, work->caller);
    assert(work->in_window && caller->below[work->lane] > 0);
    pcl_window_ended(&self->windows[work->lane]);
    work->in_window = false;
    bool room = self->lonely_count < PCL_BROKER_CALLERS_MAX; /* else the window lets it through */
    if (--caller->below[work->lane] == 0 && !caller->lonely && room &&
        pcl_queue_flow_count(self->queue, work->caller, work->lane) > 0) {
        caller->lonely = true;
        self->lonely[self->lonely_count++] = work->caller;
    }
}

/* There is room below: writes its line first where one is needed, then hands it on. */
static void s_start(pcl_broker *self, pcl_relay_entry *entry, pcl_head *head, const char *accounts,
                    zmq_msg_t *payload)
{
    uint32_t index = entry->work;
    pcl_work *work = pcl_works_at(self->works, index);
    s_enter_window(self, work);
    bool needs_line = pcl_broker_audit_first(self, entry);
    uint64_t position = s_behind(self, work);
    if (!needs_line && position == 0) {
        s_forward(self, entry, head, accounts, payload);
        return;
    }
    uint64_t now_us = pcl_now_us();
    bool room = s_has_unsure_room(self, payload);
    if (needs_line) {
        position = room ? pcl_broker_audit_start(self, entry, index, pcl_frame_bytes(payload)) : 0;
    }
    if (position == 0 || !room) {
        pcl_broker_refuse(self, PCL_REFUSAL_AUDIT, entry, PCL_ERR_UNAVAILABLE, AUDIT_TEXT, now_us);
    } else if (s_is_sure(self, position)) {
        pcl_broker_pump_sure(self, now_us); /* what is sure, too, and came before, goes before */
        s_forward(self, entry, head, accounts, payload);
    } else if (s_hold(self, entry, head, accounts, payload, now_us)) {
        s_wait_for_audit(self, index, work->ticket, position);
    }
}

/* The same for one that was held. */
static void s_start_held(pcl_broker *self, uint32_t index, uint64_t now_us)
{
    pcl_work *work = pcl_works_at(self->works, index);
    const pcl_relay_entry *entry = pcl_relay_held(self->relay, work->ticket);
    assert(entry != NULL); /* what leaves the relay leaves the queue, too: pcl_broker_answer */
    s_enter_window(self, work);
    if (!pcl_broker_audit_first(self, entry)) {
        s_forward_held(self, index, work->ticket);
        return;
    }
    uint64_t position = !s_has_unsure_room(self, &work->payload)
                            ? 0
                            : pcl_broker_audit_start(self, entry, index,
                                                     pcl_frame_bytes(&work->payload));
    if (position == 0) {
        pcl_reply_error error = {.err = PCL_ERR_UNAVAILABLE,
                                 .retry = PCL_RETRY_SAFE,
                                 .message = pcl_bytes_text(AUDIT_TEXT)};
        pcl_metric_add(self->metrics.refusals[PCL_REFUSAL_AUDIT], 1);
        pcl_relay_refuse_held(self->relay, work->ticket, &error, now_us);
    } else if (s_is_sure(self, position)) {
        s_forward_held(self, index, work->ticket);
    } else {
        s_wait_for_audit(self, index, work->ticket, position);
    }
}

/* --- The queue --------------------------------------------------------------- */

/* Only what a database's thread has to be found for; what is of a session or a cursor has its
 * connection, and what ends, stops or asks for something shall not wait behind work. */
static bool s_has_lane(const pcl_relay_entry *entry, const pcl_work *work)
{
    bool work_of_its_own = entry->op == PCL_OP_QUERY || entry->op == PCL_OP_TXN ||
                           entry->op == PCL_OP_BEGIN;
    return work_of_its_own && !work->has_session;
}

static uint64_t s_advice_ms(const pcl_broker *self)
{
    return pcl_config_uint(self->config, "queue/interval_ms");
}

uint32_t pcl_broker_cancel_held(pcl_broker *self, uint32_t caller, const uint8_t id[PCL_ID_SIZE],
                                uint64_t now_us)
{
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint32_t index;
    while ((index = pcl_works_find_held(self->works, caller, id, &cursor)) != PCL_WORKS_NONE) {
        pcl_relay_cancel(self->relay, pcl_works_at(self->works, index)->ticket, now_us);
        cursor = 0; /* it has left the index */
        count++;
    }
    return count;
}

static void s_enqueue(pcl_broker *self, pcl_relay_entry *entry, pcl_head *head,
                      const char *accounts, zmq_msg_t *payload)
{
    uint64_t now_us = pcl_now_us();
    uint32_t index = entry->work;
    pcl_work *work = pcl_works_at(self->works, index);
    uint32_t item = pcl_queue_push(self->queue, work->caller, work->lane, zmq_msg_size(payload),
                                   now_us);
    if (item == PCL_QUEUE_NONE) {
        pcl_reply_error error = pcl_broker_overload("the broker's queue is full",
                                                    s_advice_ms(self));
        pcl_metric_add(self->metrics.refusals[PCL_REFUSAL_QUEUE], 1);
        pcl_relay_refuse(self->relay, entry, &error, now_us);
        return;
    }
    work->item = item; /* before it is held: a refusal takes it out again */
    self->queued[item] = index;
    (void)s_hold(self, entry, head, accounts, payload, now_us); /* else it was refused */
}

/* Everybody may have one request of a lane below, whatever the window says: what others have there
 * may take long, and an open door for one is all that fairness to who asks for little needs. */
static bool s_has_to_wait(pcl_broker *self, const pcl_work *work)
{
    if (pcl_callers_at(self->callers, work->caller)->below[work->lane] == 0) {
        return pcl_queue_flow_count(self->queue, work->caller, work->lane) > 0;
    }
    return pcl_queue_lane_count(self->queue, work->lane) > 0 ||
           !pcl_window_is_open(&self->windows[work->lane]);
}

void pcl_broker_admit(pcl_broker *self, pcl_relay_entry *entry, pcl_head *head,
                      const char *accounts, zmq_msg_t *payload)
{
    pcl_work *work = pcl_works_at(self->works, entry->work);
    work->has_lane = s_has_lane(entry, work);
    work->lane = entry->sql_class == PCL_SQL_READ ? PCL_QUEUE_READS : PCL_QUEUE_REST;
    if (work->has_lane && s_has_to_wait(self, work)) {
        s_enqueue(self, entry, head, accounts, payload);
    } else {
        s_start(self, entry, head, accounts, payload);
    }
}

/* Out of the queue: its turn, or its end. */
static void s_give_up(pcl_broker *self, uint32_t index, uint64_t now_us)
{
    pcl_work *work = pcl_works_at(self->works, index);
    work->item = PCL_QUEUE_NONE;
    pcl_reply_error error = pcl_broker_overload(
        "more was asked for than there is room for, for too long", s_advice_ms(self));
    pcl_metric_add(self->metrics.refusals[PCL_REFUSAL_QUEUE], 1);
    pcl_metric_add(self->metrics.queue_dropped, 1);
    pcl_relay_refuse_held(self->relay, work->ticket, &error, now_us);
}

/* An item that was popped. */
static void s_take_popped(pcl_broker *self, uint32_t item, pcl_queue_fate fate, uint64_t now_us)
{
    uint32_t index = self->queued[item];
    pcl_work *work = pcl_works_at(self->works, index);
    if (fate == PCL_QUEUE_DROPPED) {
        s_give_up(self, index, now_us);
        return;
    }
    work->item = PCL_QUEUE_NONE;
    pcl_metric_observe_us(self->metrics.queue_wait, pcl_time_since_us(work->judged_us, now_us));
    s_start_held(self, index, now_us);
}

static void s_pump_lane(pcl_broker *self, pcl_queue_lane lane, uint64_t now_us)
{
    uint32_t given_up = 0;
    while (pcl_queue_lane_count(self->queue, lane) > 0 &&
           pcl_window_is_open(&self->windows[lane]) && given_up < GIVEN_UP_MAX) {
        pcl_queue_fate fate = PCL_QUEUE_NEXT;
        uint32_t item = pcl_queue_pop(self->queue, lane, now_us, &fate);
        given_up += fate == PCL_QUEUE_DROPPED ? 1 : 0;
        s_take_popped(self, item, fate, now_us);
    }
}

/* One for each lane in which a caller has nothing below and something waiting. */
static void s_pump_lonely(pcl_broker *self, uint32_t index, uint64_t now_us)
{
    for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
        pcl_queue_fate fate = PCL_QUEUE_NEXT;
        while (pcl_queue_flow_count(self->queue, index, (pcl_queue_lane)lane) > 0 &&
               pcl_callers_at(self->callers, index)->below[lane] == 0) {
            uint32_t item = pcl_queue_pop_flow(self->queue, index, (pcl_queue_lane)lane, now_us,
                                               &fate);
            s_take_popped(self, item, fate, now_us);
        }
    }
}

void pcl_broker_pump(pcl_broker *self, uint64_t now_us)
{
    while (self->lonely_count > 0) {
        uint32_t index = self->lonely[--self->lonely_count];
        pcl_caller *caller = pcl_callers_find_place(self->callers, index);
        if (caller != NULL) { /* its last request may have gone meanwhile, and it with it */
            caller->lonely = false;
            s_pump_lonely(self, index, now_us);
        }
    }
    s_pump_lane(self, PCL_QUEUE_READS, now_us);
    s_pump_lane(self, PCL_QUEUE_REST, now_us);
}

void pcl_broker_expire(pcl_broker *self, uint64_t now_us)
{
    uint32_t item;
    uint32_t left = EXPIRED_MAX;
    while (left-- > 0 && (item = pcl_queue_expire(self->queue, now_us)) != PCL_QUEUE_NONE) {
        s_give_up(self, self->queued[item], now_us);
    }
}

void pcl_broker_read_lanes(pcl_broker *self, const pcl_config *config)
{
    uint32_t max = (uint32_t)pcl_config_uint(config, "queue/window_max");
    uint32_t min = (uint32_t)pcl_config_uint(config, "queue/window_min");
    uint64_t target_us = pcl_config_uint(config, "queue/agent_wait_ms") * PCL_US_PER_MS;
    min = min < max ? min : max;
    for (uint32_t lane = 0; lane < PCL_QUEUE_LANES; lane++) {
        if (self->windows[lane].max == 0) {
            self->windows[lane] = pcl_window_of(min, max, target_us);
        } else {
            pcl_window_set(&self->windows[lane], min, max, target_us);
        }
    }
    if (self->queue != NULL) {
        pcl_queue_set_times(self->queue, pcl_config_uint(config, "queue/target_ms") * PCL_US_PER_MS,
                            pcl_config_uint(config, "queue/interval_ms") * PCL_US_PER_MS);
    }
}
