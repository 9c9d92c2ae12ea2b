#include "net/link.h"
#include "wire/hop_frame.h"
#include "wire/reply.h"
#include "worker-agent/agent.h"
#include "worker-agent/lag.h"

#include <string.h>

#define RETRY_AFTER_MS 50u

/* What a new statement would meet: the jobs of sessions have threads of their own,
 * and do not keep others waiting. */
pcl_report pcl_agent_report(pcl_agent *self, const pcl_agent_proxy *proxy, uint64_t now_us)
{
    pcl_pool_counts counts = pcl_pool_count(self->pool);
    pcl_held_counts held = pcl_held_table_count(self->held);
    pcl_service_summary service = pcl_service_summarize(&self->service, now_us);
    uint32_t rif = counts.queued + counts.running; /* of rif_you, some may have come back already */
    int32_t lag_ms = self->view.lag_ms;            /* of a source 0, whenever it was looked at */
    if (self->view.role == PCL_NODE_REPLICA) {
        lag_ms = pcl_lag_by_now_ms(lag_ms, self->view.canary_at_us, now_us);
    }
    pcl_node_state ready = !self->view.ready ? PCL_NODE_NOT_READY
                           : self->leaving   ? PCL_NODE_DRAIN
                                             : PCL_NODE_UP;
    pcl_report report = {
        .boot_id = self->args->boot_id,
        .seq = ++self->seq,
        .term = self->topology.term,
        .role = self->view.role,
        .state = self->draining ? PCL_NODE_DRAIN : ready,
        .flavor = self->view.flavor,
        .read_only = self->view.read_only || self->topology.closed,
        .replicating = self->view.replicating,
        .warm_percent = 100,
        .lag_ms = lag_ms,
        .rif = rif,
        .rif_you = proxy->rif_you < rif ? proxy->rif_you : rif,
        .running = counts.running,
        .queued = counts.queued,
        .workers = (uint16_t)self->options.threads,
        .queue_max = self->options.queue_max,
        .threads_running = self->view.threads_running,
        .errors = self->errors,
        .served = self->served,
        .service_mean_us = service.mean_us,
        .service_count = service.count,
        .service_variance = service.variance,
        .service_fast_us = service.fast_us,
        .service_fast_count = service.fast_count,
        .database_port = self->options.port,
        .sessions = held.sessions,
        .cursors = held.cursors,
        .notice = self->host.notice != PCL_CLOUD_STAYS,
        .gtid = pcl_bytes_text(self->view.gtid),
    };
    memcpy(report.zone, self->host.zone, sizeof report.zone);
    return report;
}

/* What is packed is copied into a frame at once, and need not be in messages of its own before; of
 * a large payload the memory goes with the message. */
static bool s_send(pcl_agent_proxy *proxy, pcl_head *head, pcl_buffer *payload,
                   const pcl_report *report, uint64_t now_us)
{
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t body;
    zmq_msg_t tail;
    pcl_bytes told = pcl_bytes_of(octets, pcl_report_encode(report, octets));
    bool packed = payload->size + told.size <= PCL_HOP_FRAME_SIZE_MAX;
    if (packed) {
        pcl_frame_lend(&body, pcl_buffer_bytes(payload));
        pcl_frame_lend(&tail, told);
    } else {
        pcl_frame_of_buffer(&body, payload);
        pcl_frame_copy_of(&tail, told);
    }
    bool sent = pcl_link_send(proxy->link, head, &body, &tail, now_us) == PCL_ERR_OK;
    (void)zmq_msg_close(&body);
    (void)zmq_msg_close(&tail);
    return sent;
}

bool pcl_agent_reply(pcl_agent *self, const pcl_job *asked, pcl_outcome outcome,
                     pcl_buffer *payload, const pcl_job *job, const pcl_reply_note *note,
                     uint64_t now_us)
{
    const pcl_head *request = &asked->message.head;
    pcl_agent_proxy *proxy = &self->proxies[asked->proxy];
    pcl_head head = {
        .ticket = request->ticket,
        .kind = PCL_KIND_REPLY,
        .op = request->op,
        .sql_class = request->sql_class,
        .strategy = request->strategy,
        .attempt = request->attempt,
        .code = outcome.err,
        .retry = outcome.err == PCL_ERR_OK ? PCL_RETRY_NEVER : outcome.retry,
        .gatekeeper_us = request->gatekeeper_us,
        .broker_us = request->broker_us,
        .proxy_us = request->proxy_us,
        .budget_us = job != NULL ? job->queue_us : 0,
        .rows = job != NULL && outcome.err == PCL_ERR_OK ? job->rows : 0,
    };
    if ((job != NULL && job->started) || (note != NULL && note->ran)) {
        head.role = pcl_bytes_text(self->options.node);
    }
    memcpy(head.id, request->id, sizeof head.id);
    if (note != NULL && note->flags != 0) {
        head.flags = note->flags;
        head.principal =
            request->principal; /* whose it is: where nobody takes the reply, it goes */
        memcpy(head.session, note->id, sizeof head.session);
    }
    self->served++;
    self->errors += outcome.node_fault ? 1 : 0;
    pcl_report report = pcl_agent_report(self, proxy, now_us);
    report.exec_us = job != NULL ? job->exec_us : 0;
    /* To the proxy both are time that the answer spent here and the database did not. */
    report.queue_us = job != NULL ? job->queue_us + job->wait_us : 0;
    report.fault = outcome.node_fault;
    bool sent = s_send(proxy, &head, payload, &report, now_us);
    if (!sent) {
        pcl_metric_add(self->meter.replies_dropped, 1); /* the proxy is gone, and answers itself */
    }
    pcl_meter_answer(&self->meter, request->sql_class, outcome.err);
    return sent;
}

/* As if it had not been taken: pcl_agent_reply would have said so. */
void pcl_agent_unsent(void *context, zmq_msg_t *peer, const pcl_head *head, pcl_err why,
                      uint64_t now_us)
{
    (void)peer;
    (void)why;
    pcl_agent *self = ((const pcl_agent_proxy *)context)->agent;
    if (head->kind == PCL_KIND_REPLY) {
        pcl_metric_add(self->meter.replies_dropped, 1);
    }
    if (head->kind == PCL_KIND_REPLY && (head->flags & PCL_HEAD_HELD) != 0) {
        pcl_keeper_release(self, head, now_us);
    }
}

void pcl_agent_refuse(pcl_agent *self, const pcl_job *request, pcl_outcome outcome,
                      const char *message, const pcl_reply_note *note, uint64_t now_us)
{
    pcl_buffer payload;
    pcl_buffer_init(&payload, PCL_REPLY_SIZE_MAX);
    pcl_reply_error error = {
        .err = outcome.err,
        .retry = outcome.retry,
        .message = pcl_bytes_text(message),
        .hop = "agent",
        .retry_after_ms = outcome.err == PCL_ERR_OVERLOADED ? RETRY_AFTER_MS : 0,
    };
    pcl_reply_error_encode(&payload, request->message.head.id, &error);
    (void)pcl_agent_reply(self, request, outcome, &payload, NULL, note, now_us); /* was counted */
    pcl_buffer_release(&payload);
}
