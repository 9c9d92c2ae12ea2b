/* cost.h - what a request costs a hop, counted and not timed.
 *
 * The hop's own actor runs in a thread that also plays its neighbours: where it would sleep (it
 * calls poll or zmq_poll, which the linker wraps) it finds a driver that sends requests, takes them
 * at the next hop, answers them and takes the replies.  So a batch is always the same batch, the
 * clock is one that the driver moves, and under callgrind the instructions between two sleeps are
 * the hop's, and hardly differ from run to run.
 *
 *   ready ... ready | ask answer take | ask answer take | ...
 */
#ifndef PCL_TESTS_COST_H
#define PCL_TESTS_COST_H

#include "net/keys.h"
#include "net/seal.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

/* How the program ends where a hop cannot be what is counted. */
#define COST_SKIPPED 77

typedef struct cost_hop {
    const char *name;
    bool asks_cost;      /* what `ask` does is the hop's own work: the client's */
    void (*open)(void);  /* neighbours and configuration */
    void (*run)(void);   /* the hop, until `stop` */
    bool (*ready)(void); /* looks after the neighbours; true: the hop will take requests */
    void (*ask)(uint32_t first, uint32_t count); /* sends requests first to first + count - 1 */
    uint32_t (*answer)(void); /* takes what has come at the next hop and answers it; how many */
    uint32_t (*take)(void);   /* takes the replies that have come; how many.  Each is a success */
    void (*stop)(void);
    void (*close)(void);
} cost_hop;

extern const cost_hop cost_agent, cost_broker, cost_client, cost_gatekeeper, cost_proxy;

/* The thread that calls it is driven from now on. */
void cost_drive(void);
/* Of the driver's clock, which pcl_now_us has. */
void cost_advance_us(uint64_t us);
/* Instructions are counted in this round: it is none of those that only warm up. */
bool cost_counts(void);
/* Ends the program, saying why. */
_Noreturn void cost_fail(const char *what);

/* --- An actor, and who stands below a hop (actor.c) ---------------------------------------- */

struct pcl_role;

/* The actor of a role with that configuration, in the thread that calls _run. */
void cost_actor_open(const struct pcl_role *role, const char *zpl);
void cost_actor_run(void);
void cost_actor_stop(void);
void cost_actor_close(void);

/* The neighbour in front of the hop, connected to it; never NULL. */
zsock_t *cost_dealer_new(const char *endpoint);

/* The next hop down, a ROUTER: answers pings, and each request with a row.  seals: with a tail of a
 * seal's size, which nobody on the way looks at. */
void cost_below_open(const char *endpoint, bool seals);
bool cost_below_turn(void);     /* true: it was asked who it is, and has answered */
uint32_t cost_below_done(void); /* requests answered since the last call */
void cost_below_close(void);

/* --- What the neighbours say (say.c) ------------------------------------------------------ */

/* Keys of client and broker, and the seal of the two. */
typedef struct cost_keys {
    pcl_keys client, broker;
    pcl_seal_key seal;
} cost_keys;

void cost_keys_make(cost_keys *self);
/* A point select with one parameter; number is its id and its parameter. */
void cost_request(uint32_t number, uint8_t out_id[16], uint8_t *out_octets, size_t *inout_size);
/* The reply to it: one row of one text. */
void cost_reply(const uint8_t id[16], uint8_t *out_octets, size_t *inout_size);

#endif
