#include "broker/actor.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

pcl_err pcl_broker_send(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                        uint64_t now_us)
{
    pcl_broker *self = context;
    pcl_head head = {
        .ticket = entry->peer_ticket,
        .kind = PCL_KIND_REPLY,
        .op = entry->op,
        .sql_class = entry->sql_class,
        .code = reply->code,
        .retry = reply->retry,
        .flags = reply->flags,
        .sent_us = now_us,
    };
    memcpy(head.id, entry->id, sizeof head.id);
    memcpy(head.session, reply->session, sizeof head.session);
    if ((reply->flags & PCL_HEAD_HELD) != 0) {
        head.principal = pcl_bytes_text(entry->principal);
    }
    bool sealed = (reply->flags & PCL_HEAD_SEALED) != 0;
    return pcl_hop_outbox_send(self->outbox, &entry->peer, &head, &reply->payload,
                               sealed ? &reply->tail : NULL);
}

void pcl_broker_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                       uint64_t now_us)
{
    (void)peer;
    const pcl_broker *self = context;
    if (head->kind == PCL_KIND_REPLY) {
        pcl_relay_undelivered(self->relay, head, why, now_us);
    }
}

/* Room below, and in the principal's meter. */
static void s_leave(pcl_broker *self, pcl_work *work, const pcl_relay_entry *entry,
                    const pcl_relay_reply *reply, uint64_t now_us)
{
    if (work->item != PCL_QUEUE_NONE) {
        pcl_queue_remove(self->queue, work->item);
        work->item = PCL_QUEUE_NONE;
    }
    if (work->in_window) {
        pcl_window *window = &self->windows[work->lane];
        pcl_broker_leave_window(self, work);
        if (reply->node[0] != '\0') {
            pcl_window_waited(window, entry->sent_us, reply->waited_us, now_us);
        }
    }
    if (work->metered) {
        pcl_meter_done(&pcl_callers_at(self->callers, work->caller)->meter,
                       pcl_time_since_us(work->judged_us, now_us));
    }
}

/* What it opened or ended.  A principal that is not there any more keeps nothing. */
static void s_note_held(pcl_broker *self, const pcl_work *work, const pcl_relay_entry *entry,
                        const pcl_relay_reply *reply, uint64_t now_us)
{
    if ((reply->flags & PCL_HEAD_RELEASED) != 0) {
        pcl_holdings_remove(self->holdings, work->caller, reply->session);
    } else if ((reply->flags & PCL_HEAD_HELD) == 0) {
        return;
    } else if (pcl_callers_at(self->callers, work->caller)->principal == NULL) {
        pcl_relay_release(self->relay, reply->session, pcl_bytes_text(entry->principal), now_us);
    } else {
        pcl_holdings_add(self->holdings, work->caller, reply->session);
    }
}

static void s_tell_rows(pcl_broker *self, const pcl_work *work, const pcl_relay_entry *entry,
                        const pcl_relay_reply *reply, uint64_t now_us)
{
    if (work->rows_dry_max != 0 && reply->rows > work->rows_dry_max) {
        char message[PCL_BROKER_MESSAGE_MAX];
        (void)snprintf(message, sizeof message, "rows: more than %u, which is the role's limit",
                       work->rows_dry_max);
        pcl_broker_dry_run(self, entry, 1u << PCL_POLICY_RULE_ROWS, message, now_us);
    }
}

/* No hop below seals, so what stands in the tail is nobody's seal. */
static void s_seal(pcl_broker *self, const pcl_work *work, pcl_relay_reply *reply)
{
    reply->flags &= (uint8_t)~PCL_HEAD_SEALED;
    if (work == NULL || !work->sealed) {
        return;
    }
    uint8_t octets[PCL_SEAL_SIZE];
    pcl_seal seal = {
        .kind = PCL_SEAL_REPLY,
        .time_us = pcl_wall_us(),
        .channel = work->channel,
        .sequence = work->sequence,
    };
    pcl_seal_write(octets, &seal, pcl_frame_bytes(&reply->payload),
                   &pcl_callers_at(self->callers, work->caller)->key);
    zmq_msg_close(&reply->tail);
    pcl_frame_copy_of(&reply->tail, pcl_bytes_of(octets, sizeof octets));
    reply->flags |= PCL_HEAD_SEALED;
}

void pcl_broker_answer(void *context, pcl_relay_entry *entry, pcl_relay_reply *reply,
                       uint64_t now_us)
{
    pcl_broker *self = context;
    pcl_work *work = entry->work == PCL_RELAY_OWNER_NONE ? NULL
                                                         : pcl_works_at(self->works, entry->work);
    pcl_broker_audit_end(self, entry, reply, now_us);
    if (entry->op == PCL_OP_STATUS && reply->code == PCL_ERR_OK) {
        pcl_broker_status_add(self, reply);
    } else if (work != NULL && work->cancelled > 0 && reply->code == PCL_ERR_OK) {
        pcl_broker_cancel_add(reply, work->cancelled);
    }
    if (work != NULL) {
        s_leave(self, work, entry, reply, now_us);
        s_note_held(self, work, entry, reply, now_us);
        s_tell_rows(self, work, entry, reply, now_us);
    }
    s_seal(self, work, reply);
    if (work != NULL) {
        uint32_t caller = work->caller;
        pcl_works_give_back(self->works, entry->work);
        pcl_callers_end(self->callers, caller);
        entry->work = PCL_RELAY_OWNER_NONE;
        entry->owner_index = PCL_RELAY_OWNER_NONE;
    }
}

void pcl_broker_gone(void *context, const pcl_relay_entry *entry)
{
    pcl_broker *self = context;
    if (entry->work == PCL_RELAY_OWNER_NONE) {
        return;
    }
    /* The broker ends before the reply came: what became of it is not known. */
    pcl_relay_reply reply = {.code = PCL_ERR_LOST, .retry = PCL_RETRY_UNSAFE};
    zmq_msg_init(&reply.payload);
    pcl_broker_audit_end(self, entry, &reply, pcl_now_us());
}
