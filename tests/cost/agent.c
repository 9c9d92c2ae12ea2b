/* The worker agent between a proxy and a database, which is played as far as the pool goes
 * (database.h).  What the node is, nobody looks at: the observer says what a replica would be, and
 * there is no beater. */
#include "tests/cost/cost.h"

#include "net/hop_outbox.h"
#include "net/socket.h"
#include "net/time.h"
#include "sql/classify.h"
#include "tests/cost/database.h"
#include "tests/lib/hop_plain.h"
#include "worker-agent/actor.h"
#include "worker-agent/beater.h"
#include "worker-agent/mysql_api.h"
#include "worker-agent/observer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROXY "inproc://cost-proxy"

enum { OCTETS_MAX = 1024, CONFIG_SIZE = 1024 };

/* For each turn, as long as the pool's threads may be opening their connections: they do so in real
 * time. */
static const struct timespec BREATH = {.tv_nsec = 200000};

static zsock_t *s_proxy;
static pcl_hop_outbox *s_outbox;
static zmq_msg_t s_agent; /* who it is to the proxy's socket */
static bool s_known;
static uint32_t s_answered;
static char s_password[] = "/tmp/portcullis-cost-XXXXXX";

/* --- What the agent would see of its node --------------------------------------------------- */

pcl_observer *__wrap_pcl_observer_new(const pcl_agent_options *options, const char *who);
bool __wrap_pcl_observer_destroy(pcl_observer **self_p, uint32_t wait_ms);
void __wrap_pcl_observer_view(pcl_observer *self, pcl_node_view *out_view);
pcl_beater *__wrap_pcl_beater_new(const pcl_agent_options *options, pcl_observer *observer,
                                  pcl_causal *causal);
bool __wrap_pcl_beater_destroy(pcl_beater **self_p, uint32_t wait_ms);

pcl_observer *__wrap_pcl_observer_new(const pcl_agent_options *options, const char *who)
{
    (void)options;
    (void)who;
    return NULL;
}

bool __wrap_pcl_observer_destroy(pcl_observer **self_p, uint32_t wait_ms)
{
    (void)self_p;
    (void)wait_ms;
    return true;
}

void __wrap_pcl_observer_view(pcl_observer *self, pcl_node_view *out_view)
{
    (void)self;
    *out_view = (pcl_node_view){.ready = true,
                                .role = PCL_NODE_REPLICA,
                                .flavor = PCL_FLAVOR_MARIADB,
                                .read_only = true,
                                .replicating = true,
                                .lag_ms = 0,
                                .threads_running = 3,
                                .canary_us = 100,
                                .canary_at_us = pcl_now_us(),
                                .gtid = "0-1-1234567"};
}

pcl_beater *__wrap_pcl_beater_new(const pcl_agent_options *options, pcl_observer *observer,
                                  pcl_causal *causal)
{
    (void)options;
    (void)observer;
    (void)causal;
    return NULL;
}

bool __wrap_pcl_beater_destroy(pcl_beater **self_p, uint32_t wait_ms)
{
    (void)self_p;
    (void)wait_ms;
    return true;
}

/* --- Its neighbours ------------------------------------------------------------------------- */

static void s_open(void)
{
    if (!PCL_CLIENT_NONBLOCKING) {
        (void)printf("hop_cost: agent: its client library has no calls that do not wait\n");
        exit(COST_SKIPPED);
    }
    char zpl[CONFIG_SIZE];
    char error[256];
    int fd = mkstemp(s_password);
    if (fd < 0 || write(fd, "password\n", 9) != 9 || close(fd) != 0) {
        cost_fail("no file for a password");
    }
    pcl_socket_options options = {.endpoint = PROXY,
                                  .zap_domain = "cost",
                                  .queue_max = 1000,
                                  .message_size_max = PCL_REPLY_SIZE_MAX};
    s_proxy = pcl_socket_router(&options, error, sizeof error);
    if (s_proxy == NULL) {
        cost_fail(error);
    }
    s_outbox = pcl_hop_outbox_new(s_proxy, NULL, NULL);
    zmq_msg_init(&s_agent);
    (void)snprintf(zpl, sizeof zpl,
                   "node\n    name = \"node2\"\n    role = \"replica\"\n"
                   "proxy\n    endpoint = \"" PROXY "\"\n"
                   "replication\n    source_host = \"127.0.0.1\"\n"
                   "database\n    socket = \"%s\"\n"
                   "accounts\n    read_password_file = \"%s\"\n    write_password_file = \"%s\"\n"
                   "    replication_password_file = \"%s\"\n",
                   cost_database_open(), s_password, s_password, s_password);
    cost_actor_open(&pcl_worker_agent_role, zpl);
}

static void s_send(zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload)
{
    if (pcl_hop_outbox_send(s_outbox, peer, head, payload, NULL) != PCL_ERR_OK) {
        cost_fail("the proxy cannot speak");
    }
}

static void s_on_beat(pcl_hop_message *message)
{
    pcl_head head = {.kind = PCL_KIND_PONG, .sent_us = pcl_now_us()};
    pcl_head_set_boot_id(&head, 1);
    s_send(&message->peer, &head, NULL);
    if (!s_known) {
        s_known = zmq_msg_copy(&s_agent, &message->peer) == 0;
    }
}

/* How many replies came. */
static uint32_t s_hear(void)
{
    uint32_t count = 0;
    pcl_hop_message message;
    while (hop_plain_recv(&message, s_proxy, true) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REPLY) {
            if (message.head.code != PCL_ERR_OK || message.head.rows != 1) {
                cost_fail("a request was not served");
            }
            count++;
        } else if (message.head.kind == PCL_KIND_BEAT) {
            s_on_beat(&message);
        }
        pcl_hop_close(&message);
    }
    pcl_hop_outbox_flush(s_outbox, pcl_now_us());
    return count;
}

static bool s_ready(void)
{
    s_answered += cost_database_turn();
    if (!s_known) {
        (void)s_hear(); /* later `take` does, before it counts */
    }
    if (!cost_counts()) {
        (void)nanosleep(&BREATH, NULL);
    }
    return s_known;
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
                         .budget_us = 60000000,
                         .sent_us = pcl_now_us(),
                         .rows = 10000,
                         .principal = pcl_bytes_text("alice"),
                         .role = pcl_bytes_text("app")};
        cost_request(number, head.id, octets, &size);
        pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
        s_send(&s_agent, &head, &payload);
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

static void s_close(void)
{
    cost_actor_close();
    pcl_hop_outbox_destroy(&s_outbox);
    zmq_msg_close(&s_agent);
    hop_plain_destroy(&s_proxy);
    cost_database_close();
    (void)unlink(s_password);
}

const cost_hop cost_agent = {
    .name = "agent",
    .open = s_open,
    .run = cost_actor_run,
    .ready = s_ready,
    .ask = s_ask,
    .answer = s_answer,
    .take = s_hear,
    .stop = cost_actor_stop,
    .close = s_close,
};
