/* The gatekeeper, asked by a channel of the client library: one DEALER, sealed requests, as many in
 * a frame as there are. */
#include "tests/cost/cost.h"

#include "gatekeeper/gatekeeper.h"
#include "net/frames.h"
#include "net/socket.h"
#include "wire/packed.h"
#include "wire/reply.h"

#include <string.h>

#define CLIENTS "inproc://cost-clients"
#define BROKER  "inproc://cost-broker"

enum { SEAL_SIZE = 64, STEP_US = 20000, OCTETS_MAX = 1024 };

static zsock_t *s_client;

static void s_open(void)
{
    cost_below_open(BROKER, true);
    cost_actor_open(&pcl_gatekeeper_role, "clients\n    endpoint = \"" CLIENTS "\"\n"
                                          "broker\n    endpoint = \"" BROKER "\"\n");
    s_client = cost_dealer_new(CLIENTS);
}

static bool s_ready(void)
{
    static bool ready;
    bool answered = cost_below_turn();
    if (!ready) {
        cost_advance_us(STEP_US);
    }
    ready = ready || answered;
    return ready;
}

static void s_send(pcl_packed_writer *writer)
{
    if (writer->count > 0) {
        zmq_msg_t frame;
        pcl_frame_copy_of(&frame, pcl_packed_writer_frame(writer));
        if (pcl_frames_send(&frame, 1, s_client) != PCL_ERR_OK) {
            cost_fail("the client cannot send");
        }
        pcl_packed_writer_clear(writer);
    }
}

static void s_ask(uint32_t first, uint32_t count)
{
    static const uint8_t seal[SEAL_SIZE];
    pcl_packed_writer writer;
    pcl_packed_writer_init(&writer);
    for (uint32_t number = first; number < first + count; number++) {
        uint8_t id[16], octets[OCTETS_MAX];
        size_t size = sizeof octets;
        cost_request(number, id, octets, &size);
        pcl_bytes payload = pcl_bytes_of(octets, size);
        while (
            !pcl_packed_writer_add(&writer, number + 1, pcl_bytes_of(seal, sizeof seal), payload)) {
            s_send(&writer);
        }
    }
    s_send(&writer);
    pcl_packed_writer_release(&writer);
}

static uint32_t s_take_frame(pcl_bytes frame)
{
    pcl_packed packed;
    pcl_packed_reader reader = {.left = pcl_bytes_of(NULL, 0)};
    bool one = pcl_packed_read(&packed, frame);
    uint32_t count = 0;
    if (!one && !pcl_packed_open(&reader, frame)) {
        cost_fail("a reply is not packed");
    }
    while (one || pcl_packed_next(&reader, &packed)) {
        pcl_reply reply;
        one = false;
        count++;
        if (pcl_reply_decode(&reply, packed.payload) != PCL_ERR_OK || !reply.ok) {
            cost_fail("a request was not served");
        }
    }
    return count;
}

static uint32_t s_take(void)
{
    uint32_t count = 0;
    pcl_frames frames;
    while (pcl_frames_recv(&frames, s_client) == PCL_RECV_MESSAGE) {
        if (frames.count != 1) {
            cost_fail("a reply is not one frame");
        }
        count += s_take_frame(pcl_frame_bytes(&frames.frame[0]));
        pcl_frames_close(&frames);
    }
    return count;
}

static void s_close(void)
{
    zsock_destroy(&s_client);
    cost_actor_close();
    cost_below_close();
}

const cost_hop cost_gatekeeper = {
    .name = "gatekeeper",
    .open = s_open,
    .run = cost_actor_run,
    .ready = s_ready,
    .ask = s_ask,
    .answer = cost_below_done,
    .take = s_take,
    .stop = cost_actor_stop,
    .close = s_close,
};
