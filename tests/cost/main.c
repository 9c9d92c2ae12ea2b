/* hop_cost: so many requests through one hop; under callgrind, what they cost it.
 *
 *     hop_cost gatekeeper 2048
 *     valgrind --tool=callgrind --collect-atstart=no hop_cost broker 2048
 *
 * bench/instructions.py runs it, and knows what was counted before. */
#include "tests/cost/cost.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#if PCL_HAS_CALLGRIND
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT                                                                   \
    do {                                                                                           \
    } while (0)
#endif

enum {
    BATCH = 32,      /* requests that come together */
    ROUNDS_WARM = 8, /* of a batch each, not counted */
    TURN_US = 500,   /* of the driver's clock for each sleep */
    TURNS_MAX = 200000,
};

typedef enum phase { PHASE_READY, PHASE_ASK, PHASE_ANSWER, PHASE_TAKE, PHASE_DONE } phase;

static const cost_hop *s_hop;
static _Atomic uint64_t s_clock_us = 1000 * UINT64_C(1000000);
static _Thread_local bool s_driven;
static phase s_phase;
static uint32_t s_rounds, s_rounds_max, s_done;
static uint32_t s_turns, s_sleeps; /* in all; while it is counted */
static bool s_counts;

/* The linker has each call of these come here (CMakeLists.txt). */
uint64_t __wrap_pcl_now_us(void);
uint64_t __wrap_pcl_wall_us(void);
int __wrap_poll(struct pollfd *items, nfds_t count, int timeout_ms);
int __wrap_zmq_poll(zmq_pollitem_t *items, int count, long timeout_ms);
int __real_poll(struct pollfd *items, nfds_t count, int timeout_ms);
int __real_zmq_poll(zmq_pollitem_t *items, int count, long timeout_ms);

void cost_fail(const char *what)
{
    (void)fprintf(stderr, "hop_cost: %s: %s\n", s_hop != NULL ? s_hop->name : "", what);
    exit(1);
}

void cost_advance_us(uint64_t us)
{
    (void)atomic_fetch_add(&s_clock_us, us);
}

void cost_drive(void)
{
    s_driven = true;
}

bool cost_counts(void)
{
    return s_counts;
}

uint64_t __wrap_pcl_now_us(void)
{
    return atomic_load_explicit(&s_clock_us, memory_order_relaxed);
}

uint64_t __wrap_pcl_wall_us(void)
{
    return UINT64_C(1700000000) * 1000000 + __wrap_pcl_now_us();
}

/* Collecting is on or off for a thread: what its neighbours do is not the hop's. */
static void s_toggle(void)
{
    CALLGRIND_TOGGLE_COLLECT;
}

static void s_ask(void)
{
    s_done = 0;
    if (s_rounds == s_rounds_max) {
        s_phase = PHASE_DONE;
        s_hop->stop();
        return;
    }
    s_counts = s_rounds >= ROUNDS_WARM;
    if (s_counts && s_hop->asks_cost) {
        s_toggle();
        s_hop->ask(s_rounds * BATCH, BATCH);
        s_toggle();
    } else {
        s_hop->ask(s_rounds * BATCH, BATCH);
    }
    s_rounds++;
    s_phase = PHASE_ANSWER;
}

/* One turn of the neighbours. */
static void s_turn(void)
{
    cost_advance_us(TURN_US);
    if (++s_turns > TURNS_MAX) {
        cost_fail("it does not come to an end");
    }
    bool ready = s_hop->ready();
    switch (s_phase) {
    case PHASE_READY:
        s_phase = ready ? PHASE_ASK : PHASE_READY;
        break;
    case PHASE_ASK:
        s_ask();
        break;
    case PHASE_ANSWER:
        s_done += s_hop->answer();
        if (s_done == BATCH) {
            s_done = 0;
            s_phase = PHASE_TAKE;
        }
        break;
    case PHASE_TAKE:
        s_done += s_hop->take();
        if (s_done == BATCH) {
            s_ask();
        }
        break;
    case PHASE_DONE:
        break;
    }
}

/* Where the hop would sleep; true: it was the driver's turn, and nobody needs to wait. */
static bool s_sleep(void)
{
    if (!s_driven) {
        return false;
    }
    if (s_counts) {
        s_toggle();
        s_sleeps++;
    }
    s_turn();
    s_counts = s_counts && s_phase != PHASE_DONE;
    if (s_counts) {
        s_toggle();
    }
    return true;
}

int __wrap_poll(struct pollfd *items, nfds_t count, int timeout_ms)
{
    return __real_poll(items, count, s_sleep() ? 0 : timeout_ms);
}

int __wrap_zmq_poll(zmq_pollitem_t *items, int count, long timeout_ms)
{
    return __real_zmq_poll(items, count, s_sleep() ? 0 : timeout_ms);
}

static const cost_hop *s_find(const char *name)
{
    static const cost_hop *const all[] = {&cost_gatekeeper, &cost_broker, &cost_proxy, &cost_agent,
                                          &cost_client};
    for (size_t index = 0; index < sizeof all / sizeof all[0]; index++) {
        if (strcmp(all[index]->name, name) == 0) {
            return all[index];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    s_hop = argc == 3 ? s_find(argv[1]) : NULL;
    unsigned long requests = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (s_hop == NULL || requests < BATCH || requests > 1000000) {
        (void)fprintf(stderr, "usage: hop_cost gatekeeper|broker|proxy|agent|client REQUESTS\n");
        return 64;
    }
    s_rounds_max = ROUNDS_WARM + (uint32_t)(requests / BATCH);
    s_hop->open();
    s_hop->run();
    if (s_phase != PHASE_DONE) {
        cost_fail("the hop ended by itself");
    }
    s_hop->close();
    (void)printf("hop=%s requests=%lu sleeps=%u callgrind=%d\n", s_hop->name,
                 requests / BATCH * BATCH, s_sleeps, PCL_HAS_CALLGRIND);
    return 0;
}
