/* heap.h - the events to come, earliest first (a binary heap).
 *
 * Events of the same time come in the order in which they were added, so a run
 * is the same on every machine.
 */
#ifndef PCL_BENCH_SIM_HEAP_H
#define PCL_BENCH_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sim_event_kind {
    SIM_EVENT_ARRIVAL, /* a query comes to a proxy */
    SIM_EVENT_REACH,   /* a: attempt; it reaches its server */
    SIM_EVENT_END,     /* a: attempt, b: its version; it is served */
    SIM_EVENT_MESSAGE, /* a: message; an agent's words reach a proxy */
    SIM_EVENT_BEAT,    /* a: server or SIM_ALL, b: proxy or SIM_ALL */
    SIM_EVENT_CHANGE,  /* a: number of the scenario's change */
    SIM_EVENT_DRIFT,   /* a: server; its speed moves by chance */
    SIM_EVENT_RESUME,  /* a: server; a pause ends */
    SIM_EVENT_CANCEL,  /* a: attempt, b: its version; a cancellation reaches the server */
    SIM_EVENT_TICK,    /* a: proxy; it looks after its nodes */
    SIM_EVENT_LATE,    /* a: query, b: its life; it has waited long enough */
    SIM_EVENT_PROBE,   /* a: server, b: proxy; a question reaches the server */
    SIM_EVENT_SWEEP,   /* timeouts */
    SIM_EVENT_WARMING, /* a: server; a cold one gets quicker */
} sim_event_kind;

typedef struct sim_event {
    uint64_t at_us;
    uint64_t turn; /* set by the heap */
    uint32_t a, b;
    sim_event_kind kind;
} sim_event;

typedef struct sim_heap {
    sim_event *events;
    size_t count, room;
    uint64_t turn;
} sim_heap;

void sim_heap_add(sim_heap *self, sim_event event);

/* The earliest; false when there is none. */
bool sim_heap_take(sim_heap *self, sim_event *out_event);

void sim_heap_free(sim_heap *self);

#endif
