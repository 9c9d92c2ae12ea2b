/* The client library: building a request, sealing and sending it on the channel's thread, proving
 * and reading the reply.  Who calls from a thread of his own pays a wake-up besides, as often as
 * the channel sleeps. */
#include "tests/cost/cost.h"

#include "client/portcullis.h"
#include "net/time.h"
#include "wire/request.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/lib/packed.h"

enum { OCTETS_MAX = 1024, WAIT_MS = 10000, ARRIVE_MS = 4 };

static cost_keys s_keys;
static void *s_context, *s_gate; /* the gatekeeper, a ROUTER */
static portcullis *s_client;
static portcullis_request *s_request;
static uint32_t s_asked, s_replied;
static pcl_packed_writer s_replies; /* to go in one frame, as a gatekeeper's */
static zmq_msg_t s_peer;            /* whose they are */
static sem_t s_ended;
static sem_t s_free; /* the gatekeeper's socket is left by the thread that began with it */

static void s_nap(long ms)
{
    struct timespec time = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&time, NULL);
}

static void s_open(void)
{
    char endpoint[64], error[256];
    int wait_ms = WAIT_MS, none = 0;
    cost_keys_make(&s_keys);
    pcl_packed_writer_init(&s_replies);
    (void)zmq_msg_init(&s_peer);
    (void)snprintf(endpoint, sizeof endpoint, "ipc:///tmp/portcullis-test-cost-%ld",
                   (long)getpid());
    s_context = zmq_ctx_new();
    s_gate = zmq_socket(s_context, ZMQ_ROUTER);
    (void)zmq_setsockopt(s_gate, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    (void)zmq_setsockopt(s_gate, ZMQ_LINGER, &none, sizeof none);
    if (zmq_bind(s_gate, endpoint) != 0) {
        cost_fail("no gatekeeper");
    }
    portcullis_gatekeeper gatekeeper = {.endpoint = endpoint};
    portcullis_options options = {.gatekeepers = &gatekeeper,
                                  .gatekeeper_count = 1,
                                  .public_key = s_keys.client.public_key,
                                  .secret_key = s_keys.client.secret_key,
                                  .broker_public_key = s_keys.broker.public_key};
    s_client = portcullis_open_options(&options, error, sizeof error);
    if (s_client == NULL) {
        cost_fail(error);
    }
    s_request = portcullis_request_new("SELECT name FROM customers WHERE id = ?");
    (void)sem_init(&s_ended, 0, 0);
    (void)sem_init(&s_free, 0, 0);
}

/* Takes a request and answers it, as the broker would. */
static void s_serve(void)
{
    packed_message asked;
    if (!packed_recv(s_gate, 0, &asked)) {
        cost_fail("the client sends nothing");
    }
    pcl_request request;
    pcl_fault fault;
    pcl_seal seal;
    if (pcl_request_decode(&request, asked.packed.payload, &fault, NULL, NULL) != PCL_ERR_OK ||
        pcl_seal_read(&seal, PCL_SEAL_REQUEST, asked.packed.seal, asked.packed.payload,
                      &s_keys.seal) != NULL) {
        cost_fail("what the client sends is not right");
    }
    uint8_t payload[OCTETS_MAX], octets[PCL_SEAL_SIZE];
    size_t size = sizeof payload;
    cost_reply(request.id, payload, &size);
    seal.kind = PCL_SEAL_REPLY;
    pcl_seal_write(octets, &seal, pcl_bytes_of(payload, size), &s_keys.seal);
    if (!pcl_packed_writer_add(&s_replies, asked.packed.tag, pcl_bytes_of(octets, sizeof octets),
                               pcl_bytes_of(payload, size))) {
        cost_fail("the replies do not go in one frame");
    }
    (void)zmq_msg_copy(&s_peer, &asked.peer);
    packed_close(&asked);
}

static void s_send(void)
{
    packed_send_several(s_gate, zmq_msg_data(&s_peer), zmq_msg_size(&s_peer), &s_replies);
}

static void s_on_result(portcullis_result *result, void *context)
{
    (void)context;
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        cost_fail(portcullis_result_message(result));
    }
    portcullis_result_destroy(&result);
    s_replied++;
}

/* On the channel's thread, which is driven from now on. */
static void s_on_first(portcullis_result *result, void *context)
{
    s_on_result(result, context);
    s_replied = 0;
    while (sem_wait(&s_free) != 0) {
    }
    cost_drive();
}

static void s_run(void)
{
    if (portcullis_submit(s_client, s_request, s_on_first, NULL) != PORTCULLIS_OK) {
        cost_fail("nothing can be sent");
    }
    s_serve();
    s_send();
    (void)sem_post(&s_free);
    while (sem_wait(&s_ended) != 0) {
    }
}

static bool s_ready(void)
{
    return true;
}

static void s_ask(uint32_t first, uint32_t count)
{
    for (uint32_t number = first; number < first + count; number++) {
        portcullis_request_clear_params(s_request);
        if (!portcullis_request_add_int(s_request, 1000 + number % 1000) ||
            portcullis_submit(s_client, s_request, s_on_result, NULL) != PORTCULLIS_OK) {
            cost_fail("nothing can be sent");
        }
    }
    s_asked = count;
}

/* All of them, and then waits until they will have arrived: they come by libzmq's own threads. */
static uint32_t s_answer(void)
{
    for (uint32_t index = 0; index < s_asked; index++) {
        s_serve();
    }
    s_send();
    s_nap(ARRIVE_MS);
    return s_asked;
}

static uint32_t s_take(void)
{
    uint32_t count = s_replied;
    s_replied = 0;
    if (count == 0) {
        s_nap(1);
    }
    return count;
}

static void s_stop(void)
{
    (void)sem_post(&s_ended);
}

static void s_close(void)
{
    portcullis_request_destroy(&s_request);
    portcullis_close(&s_client);
    pcl_packed_writer_release(&s_replies);
    (void)zmq_msg_close(&s_peer);
    packed_forget(s_gate);
    (void)zmq_close(s_gate);
    (void)zmq_ctx_term(s_context);
    (void)sem_destroy(&s_ended);
    (void)sem_destroy(&s_free);
}

const cost_hop cost_client = {
    .name = "client",
    .asks_cost = true,
    .open = s_open,
    .run = s_run,
    .ready = s_ready,
    .ask = s_ask,
    .answer = s_answer,
    .take = s_take,
    .stop = s_stop,
    .close = s_close,
};
