/* The proxy between a broker and three agents, a source and two replicas, which beat as agents do
 * and report with each reply. */
#include "tests/cost/cost.h"

#include "net/hop_outbox.h"
#include "net/socket.h"
#include "net/time.h"
#include "proxy/proxy.h"
#include "sql/classify.h"
#include "tests/lib/hop_plain.h"
#include "wire/report.h"

#include <stdio.h>
#include <string.h>

#define BROKERS "inproc://cost-brokers"
#define AGENTS  "inproc://cost-agents"

enum { AGENT_COUNT = 3, BEAT_US = 200000, STEP_US = 20000, STEPS = 60, OCTETS_MAX = 1024 };

typedef struct agent {
    zsock_t *socket;
    pcl_hop_outbox *outbox; /* of the socket */
    char name[16];
    pcl_report report;
    uint64_t beat_due_us;
    bool known; /* the proxy has answered its beat */
} agent;

static agent s_agents[AGENT_COUNT];
static zsock_t *s_broker;
static pcl_hop_outbox *s_outbox; /* of the broker */
static uint32_t s_answered;

static void s_open(void)
{
    cost_actor_open(&pcl_proxy_role, "brokers\n    endpoint = \"" BROKERS "\"\n"
                                     "agents\n    endpoint = \"" AGENTS "\"\n");
    s_broker = cost_dealer_new(BROKERS);
    s_outbox = pcl_hop_outbox_new(s_broker, NULL, NULL);
    for (uint32_t index = 0; index < AGENT_COUNT; index++) {
        agent *self = &s_agents[index];
        self->socket = cost_dealer_new(AGENTS);
        self->outbox = pcl_hop_outbox_new(self->socket, NULL, NULL);
        (void)snprintf(self->name, sizeof self->name, "node%u", index + 1);
        self->report = (pcl_report){.boot_id = 100 + index,
                                    .role = index == 0 ? PCL_NODE_SOURCE : PCL_NODE_REPLICA,
                                    .state = PCL_NODE_UP,
                                    .flavor = PCL_FLAVOR_MARIADB,
                                    .read_only = index != 0,
                                    .replicating = true,
                                    .workers = 8,
                                    .queue_max = 100,
                                    .service_mean_us = 200,
                                    .service_count = 100,
                                    .service_fast_us = 200,
                                    .service_fast_count = 20,
                                    .gtid = pcl_bytes_text("0-1-1234567")};
    }
}

/* Takes the payload. */
static void s_say(agent *self, pcl_head *head, zmq_msg_t *payload)
{
    uint8_t octets[PCL_REPORT_SIZE_MAX];
    zmq_msg_t tail;
    self->report.seq++;
    pcl_frame_copy_of(&tail, pcl_bytes_of(octets, pcl_report_encode(&self->report, octets)));
    head->sent_us = pcl_now_us();
    if (pcl_hop_outbox_send(self->outbox, NULL, head, payload, &tail) != PCL_ERR_OK) {
        cost_fail("an agent cannot speak");
    }
    zmq_msg_close(payload);
    zmq_msg_close(&tail);
}

static void s_beat(agent *self)
{
    pcl_head head = {.kind = PCL_KIND_BEAT, .principal = pcl_bytes_text(self->name)};
    zmq_msg_t nothing;
    pcl_head_set_boot_id(&head, self->report.boot_id);
    zmq_msg_init(&nothing);
    s_say(self, &head, &nothing);
    self->beat_due_us = pcl_now_us() + BEAT_US;
}

static void s_reply(agent *self, const pcl_head *asked)
{
    uint8_t octets[OCTETS_MAX];
    size_t size = sizeof octets;
    zmq_msg_t payload;
    pcl_head head = {.ticket = asked->ticket,
                     .kind = PCL_KIND_REPLY,
                     .op = asked->op,
                     .code = PCL_ERR_OK,
                     .rows = 1,
                     .role = pcl_bytes_text(self->name)};
    memcpy(head.id, asked->id, sizeof head.id);
    cost_reply(asked->id, octets, &size);
    pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
    self->report.served++;
    self->report.exec_us = 200;
    s_say(self, &head, &payload);
    s_answered++;
}

static void s_agent_turn(agent *self)
{
    pcl_hop_message message;
    while (hop_plain_recv(&message, self->socket, false) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REQUEST) {
            s_reply(self, &message.head);
        } else if (message.head.kind == PCL_KIND_PING) {
            s_beat(self);
        }
        self->known = self->known || message.head.kind == PCL_KIND_PONG;
        pcl_hop_close(&message);
    }
    if (pcl_now_us() >= self->beat_due_us) {
        s_beat(self);
    }
    pcl_hop_outbox_flush(self->outbox, pcl_now_us());
}

static bool s_ready(void)
{
    static uint32_t steps;
    bool known = true;
    if (steps < STEPS) {
        steps++;
        cost_advance_us(STEP_US);
    }
    for (uint32_t index = 0; index < AGENT_COUNT; index++) {
        s_agent_turn(&s_agents[index]);
        known = known && s_agents[index].known;
    }
    return known && steps == STEPS;
}

static void s_ask(uint32_t first, uint32_t count)
{
    for (uint32_t number = first; number < first + count; number++) {
        uint8_t octets[OCTETS_MAX];
        size_t size = sizeof octets;
        zmq_msg_t payload;
        pcl_head head = {.ticket = number + 1,
                         .kind = PCL_KIND_REQUEST,
                         .op = PCL_OP_QUERY,
                         .sql_class = PCL_SQL_READ,
                         .budget_us = 5000000,
                         .sent_us = pcl_now_us(),
                         .principal = pcl_bytes_text("alice"),
                         .role = pcl_bytes_text("app")};
        cost_request(number, head.id, octets, &size);
        pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
        if (pcl_hop_outbox_send(s_outbox, NULL, &head, &payload, NULL) != PCL_ERR_OK) {
            cost_fail("the broker cannot send");
        }
        zmq_msg_close(&payload);
    }
    pcl_hop_outbox_flush(s_outbox, pcl_now_us());
}

static uint32_t s_answer(void)
{
    uint32_t count = s_answered;
    s_answered = 0;
    return count;
}

static uint32_t s_take(void)
{
    uint32_t count = 0;
    pcl_hop_message message;
    while (hop_plain_recv(&message, s_broker, false) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REPLY) {
            if (message.head.code != PCL_ERR_OK) {
                cost_fail("a request was not served");
            }
            count++;
        }
        pcl_hop_close(&message);
    }
    return count;
}

static void s_close(void)
{
    pcl_hop_outbox_destroy(&s_outbox);
    hop_plain_destroy(&s_broker);
    for (uint32_t index = 0; index < AGENT_COUNT; index++) {
        pcl_hop_outbox_destroy(&s_agents[index].outbox);
        hop_plain_destroy(&s_agents[index].socket);
    }
    cost_actor_close();
}

const cost_hop cost_proxy = {
    .name = "proxy",
    .open = s_open,
    .run = cost_actor_run,
    .ready = s_ready,
    .ask = s_ask,
    .answer = s_answer,
    .take = s_take,
    .stop = cost_actor_stop,
    .close = s_close,
};
