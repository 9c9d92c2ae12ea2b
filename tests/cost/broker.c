/* The broker with a policy, seals that it proves and makes, and an audit of all that it does. */
#include "tests/cost/cost.h"

#include "broker/broker.h"
#include "net/hop_outbox.h"
#include "net/socket.h"
#include "net/time.h"
#include "tests/lib/hop_plain.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GATEKEEPERS "inproc://cost-gatekeepers"
#define PROXY       "inproc://cost-proxy"

enum { STEP_US = 20000, STEPS = 80, OCTETS_MAX = 1024, PATH_SIZE = 384 };

static cost_keys s_keys;
static zsock_t *s_gatekeeper;
static pcl_hop_outbox *s_outbox; /* of the gatekeeper */
static char s_folder[] = "/tmp/portcullis-test-XXXXXX";

static FILE *s_file(const char *name, char out_path[PATH_SIZE])
{
    (void)snprintf(out_path, PATH_SIZE, "%s/%s", s_folder, name);
    FILE *file = fopen(out_path, "w");
    if (file == NULL) {
        cost_fail("no file can be written");
    }
    return file;
}

static void s_write_policy(void)
{
    char path[PATH_SIZE];
    FILE *file = s_file("policy.cfg", path);
    (void)fprintf(file,
                  "policy\n    version = \"1\"\nroles\n    app\n        seal = \"required\"\n"
                  "principals\n    alice = \"app %s\"\n",
                  s_keys.client.public_key);
    if (fclose(file) != 0) {
        cost_fail("no policy");
    }
}

static void s_open(void)
{
    char zpl[2048], key[PATH_SIZE], error[256];
    if (mkdtemp(s_folder) == NULL) {
        cost_fail("no folder");
    }
    cost_keys_make(&s_keys);
    s_write_policy();
    (void)snprintf(key, sizeof key, "%s/broker.key", s_folder);
    if (!pcl_keys_save(&s_keys.broker, key, error, sizeof error)) {
        cost_fail(error);
    }
    (void)snprintf(zpl, sizeof zpl,
                   "gatekeepers\n    endpoint = \"" GATEKEEPERS "\"\n"
                   "proxy\n    endpoint = \"" PROXY "\"\ncurve\n    key_file = \"%s\"\n"
                   "policy\n    file = \"%s/policy.cfg\"\naudit\n    folder = \"%s/audit\"\n",
                   key, s_folder, s_folder);
    cost_below_open(PROXY, false);
    cost_actor_open(&pcl_broker_role, zpl);
    s_gatekeeper = cost_dealer_new(GATEKEEPERS);
    s_outbox = pcl_hop_outbox_new(s_gatekeeper, NULL, NULL);
}

/* It takes no seal in the first second. */
static bool s_ready(void)
{
    static uint32_t steps;
    if (steps < STEPS) {
        steps++;
        cost_advance_us(STEP_US);
    }
    return cost_below_turn() && steps == STEPS;
}

static void s_ask(uint32_t first, uint32_t count)
{
    for (uint32_t number = first; number < first + count; number++) {
        uint8_t octets[OCTETS_MAX], sealed[PCL_SEAL_SIZE];
        size_t size = sizeof octets;
        pcl_head head = {.ticket = number + 1,
                         .kind = PCL_KIND_REQUEST,
                         .op = PCL_OP_QUERY,
                         .flags = PCL_HEAD_SEALED,
                         .budget_us = 5000000,
                         .sent_us = pcl_now_us(),
                         .principal = pcl_bytes_text("alice")};
        cost_request(number, head.id, octets, &size);
        pcl_seal seal = {.kind = PCL_SEAL_REQUEST,
                         .time_us = pcl_wall_us(),
                         .channel = 42,
                         .sequence = number + 1};
        pcl_seal_write(sealed, &seal, pcl_bytes_of(octets, size), &s_keys.seal);
        zmq_msg_t payload;
        zmq_msg_t tail;
        pcl_frame_copy_of(&payload, pcl_bytes_of(octets, size));
        pcl_frame_copy_of(&tail, pcl_bytes_of(sealed, sizeof sealed));
        if (pcl_hop_outbox_send(s_outbox, NULL, &head, &payload, &tail) != PCL_ERR_OK) {
            cost_fail("the gatekeeper cannot send");
        }
        zmq_msg_close(&payload);
        zmq_msg_close(&tail);
    }
    pcl_hop_outbox_flush(s_outbox, pcl_now_us());
}

static uint32_t s_take(void)
{
    uint32_t count = 0;
    pcl_hop_message message;
    while (hop_plain_recv(&message, s_gatekeeper, false) == PCL_HOP_MESSAGE) {
        if (message.head.kind == PCL_KIND_REPLY) {
            if (message.head.code != PCL_ERR_OK || (message.head.flags & PCL_HEAD_SEALED) == 0) {
                cost_fail("a request was not served");
            }
            count++;
        }
        pcl_hop_close(&message);
    }
    return count;
}

static void s_remove(const char *folder)
{
    DIR *all = opendir(folder);
    for (struct dirent *one; all != NULL && (one = readdir(all)) != NULL;) {
        char path[PATH_SIZE];
        int size = snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        if (size > 0 && (size_t)size < sizeof path && one->d_name[0] != '.') {
            (void)unlink(path);
        }
    }
    if (all != NULL) {
        (void)closedir(all);
        (void)rmdir(folder);
    }
}

static void s_close(void)
{
    char audit[PATH_SIZE];
    pcl_hop_outbox_destroy(&s_outbox);
    hop_plain_destroy(&s_gatekeeper);
    cost_actor_close();
    cost_below_close();
    (void)snprintf(audit, sizeof audit, "%s/audit", s_folder);
    s_remove(audit);
    s_remove(s_folder);
}

const cost_hop cost_broker = {
    .name = "broker",
    .open = s_open,
    .run = cost_actor_run,
    .ready = s_ready,
    .ask = s_ask,
    .answer = cost_below_done,
    .take = s_take,
    .stop = cost_actor_stop,
    .close = s_close,
};
