#include "tests/cost/cost.h"

#include "net/hop_outbox.h"
#include "tests/lib/role_fixture.h"

enum { REPLY_SIZE_MAX = 1024, SEAL_SIZE = 64, ANSWERS_NEEDED = 3 };

static role_fixture s_role;
static const pcl_role *s_what;
static zsock_t *s_front, *s_back; /* the two ends of the actor's pipe */
static zsock_t *s_below;
static pcl_hop_outbox *s_below_outbox;
static bool s_below_seals;
static uint32_t s_below_pings, s_below_count;

/* --- The actor ---------------------------------------------------------------------------- */

void cost_actor_open(const pcl_role *role, const char *zpl)
{
    s_what = role;
    s_role = (role_fixture){.config = fixture_config(role, zpl), .metrics = pcl_metrics_new()};
    s_role.args = (pcl_role_args){
        .config = s_role.config, .metrics = s_role.metrics, .boot_id = 77, .seed = 4711};
    s_front = zsys_create_pipe(&s_back);
    if (s_front == NULL) {
        cost_fail("no pipe");
    }
}

void cost_actor_run(void)
{
    cost_drive();
    s_what->actor(s_back, &s_role.args);
}

void cost_actor_stop(void)
{
    (void)zstr_send(s_front, "$TERM");
}

void cost_actor_close(void)
{
    hop_plain_destroy(&s_front);
    hop_plain_destroy(&s_back);
    pcl_metrics_destroy(&s_role.metrics);
    pcl_config_destroy(&s_role.config);
}

zsock_t *cost_dealer_new(const char *endpoint)
{
    zsock_t *socket = zsock_new(ZMQ_DEALER);
    if (socket == NULL || zsock_connect(socket, "%s", endpoint) != 0) {
        cost_fail("no neighbour");
    }
    zsock_set_linger(socket, 0);
    return socket;
}

/* --- The next hop -------------------------------------------------------------------------- */

void cost_below_open(const char *endpoint, bool seals)
{
    char error[256];
    pcl_socket_options options = {.endpoint = endpoint,
                                  .zap_domain = "cost",
                                  .queue_max = 1000,
                                  .message_size_max = PCL_REPLY_SIZE_MAX};
    s_below = pcl_socket_router(&options, error, sizeof error);
    s_below_seals = seals;
    if (s_below == NULL) {
        cost_fail(error);
    }
    s_below_outbox = pcl_hop_outbox_new(s_below, NULL, NULL);
}

static void s_send(zmq_msg_t *peer, const pcl_head *head, zmq_msg_t *payload, zmq_msg_t *tail)
{
    if (pcl_hop_outbox_send(s_below_outbox, peer, head, payload, tail) != PCL_ERR_OK) {
        cost_fail("the next hop cannot answer");
    }
}

static void s_answer(pcl_hop_message *message)
{
    static const uint8_t nothing[SEAL_SIZE];
    uint8_t octets[REPLY_SIZE_MAX];
    size_t size = sizeof octets;
    cost_reply(message->head.id, octets, &size);
    pcl_head head = {.ticket = message->head.ticket,
                     .kind = PCL_KIND_REPLY,
                     .op = message->head.op,
                     .code = PCL_ERR_OK,
                     .flags = (uint8_t)(s_below_seals ? PCL_HEAD_SEALED : 0),
                     .sent_us = pcl_now_us(),
                     .rows = 1,
                     .role = pcl_bytes_text("node2")};
    memcpy(head.id, message->head.id, sizeof head.id);
    zmq_msg_t payload;
    zmq_msg_t tail;
    pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
    pcl_frame_copy_of(&tail, pcl_bytes_of(nothing, s_below_seals ? sizeof nothing : 0));
    s_send(&message->peer, &head, &payload, &tail);
    zmq_msg_close(&payload);
    zmq_msg_close(&tail);
    s_below_count++;
}

static void s_pong(pcl_hop_message *message)
{
    pcl_head head = {.kind = PCL_KIND_PONG, .sent_us = pcl_now_us()};
    pcl_head_set_boot_id(&head, 1);
    s_send(&message->peer, &head, NULL, NULL);
    s_below_pings++;
}

bool cost_below_turn(void)
{
    pcl_hop_message message;
    pcl_hop_recv_result result = PCL_HOP_NONE;
    while ((result = hop_plain_recv(&message, s_below, true)) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REQUEST) {
            s_answer(&message);
        } else if (message.head.kind == PCL_KIND_PING) {
            s_pong(&message);
        }
        pcl_hop_close(&message);
    }
    pcl_hop_outbox_flush(s_below_outbox, pcl_now_us());
    if (result != PCL_HOP_NONE) {
        cost_fail("what the hop sends is no message");
    }
    return s_below_pings >= ANSWERS_NEEDED;
}

uint32_t cost_below_done(void)
{
    uint32_t count = s_below_count;
    s_below_count = 0;
    return count;
}

void cost_below_close(void)
{
    pcl_hop_outbox_destroy(&s_below_outbox);
    hop_plain_destroy(&s_below);
}
