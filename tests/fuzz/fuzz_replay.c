/* Whatever is sent, replayed, reordered or left out, and however the wall clock is set: no seal is
 * taken twice, and the table keeps its bound.  Eleven octets are a step: what, of whom, when. */
#include "broker/replay.h"

#include "common/endian.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 11, TAKEN_MAX = 4096, CHANNELS = 3, EACH = 2 };

typedef struct seal {
    pcl_replay_mark mark;
    uint8_t client;
} seal;

static void s_require(bool fact)
{
    if (!fact) {
        abort();
    }
}

static bool s_same(const seal *a, const seal *b)
{
    return a->client == b->client && a->mark.time_us == b->mark.time_us &&
           a->mark.channel == b->mark.channel && a->mark.sequence == b->mark.sequence;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const clients[] = {"aliceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                          "aliceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"};
    static seal taken[TAKEN_MAX];
    uint64_t wall_us = UINT64_C(1) << 40;
    uint64_t now_us = UINT64_C(1) << 30;
    uint32_t count = 0;
    pcl_replay *self = pcl_replay_new(CHANNELS, EACH, wall_us, now_us, 4711);
    s_require(self != NULL);
    for (; size >= STEP; data += STEP, size -= STEP) {
        uint64_t passed_us = pcl_get_be(data, 2) * 1000;
        now_us += passed_us;
        wall_us += passed_us;
        wall_us += data[2] == 0xff ? pcl_get_be(data + 3, 2) * 1000 : 0; /* set forward */
        wall_us -= data[2] == 0xfe ? pcl_get_be(data + 3, 2) * 1000 : 0; /* and back */
        seal next = {.client = data[5] & 1,
                     .mark = {.time_us = wall_us + 2000000 - pcl_get_be(data + 6, 2) * 1000,
                              .channel = data[8] & 3,
                              .sequence = data[9],
                              .timeout_ms = 1 + 200u * data[10]}};
        if ((data[5] & 2) != 0 && count > 0) { /* one that was taken */
            next = taken[data[9] % count];
        }
        bool fresh = pcl_replay_take(self, clients[next.client], &next.mark, wall_us, now_us) ==
                     PCL_REPLAY_FRESH;
        for (uint32_t index = 0; fresh && index < count; index++) {
            s_require(!s_same(&taken[index], &next));
        }
        if (fresh && count < TAKEN_MAX) {
            taken[count++] = next;
        }
        s_require(pcl_replay_count(self) <= CHANNELS);
        if (count == TAKEN_MAX) {
            break;
        }
    }
    pcl_replay_destroy(&self);
    s_require(self == NULL);
    return 0;
}
