/* pools.c - places that are used again; an index stays good while arrays grow. */
#include "bench/sim/engine.h"
#include "bench/sim/memory.h"

enum { ROOM_FIRST = 1024 };

uint32_t sim_query_new(sim_world *world)
{
    if (world->query_free == SIM_NONE) {
        uint32_t old = world->query_room;
        world->query_room = old > 0 ? old * 2 : ROOM_FIRST;
        world->queries = sim_grow(world->queries, world->query_room, sizeof *world->queries);
        for (uint32_t index = world->query_room; index-- > old;) {
            world->queries[index] = (sim_query){.newer = world->query_free};
            world->query_free = index;
        }
    }
    uint32_t index = world->query_free;
    sim_query *query = &world->queries[index];
    world->query_free = query->newer;
    *query = (sim_query){.life = query->life + 1};
    return index;
}

void sim_query_free(sim_world *world, uint32_t index)
{
    world->queries[index].newer = world->query_free;
    world->query_free = index;
}

uint32_t sim_attempt_new(sim_world *world)
{
    if (world->attempt_free == SIM_NONE) {
        uint32_t old = world->attempt_room;
        world->attempt_room = old > 0 ? old * 2 : ROOM_FIRST;
        world->attempts = sim_grow(world->attempts, world->attempt_room, sizeof *world->attempts);
        for (uint32_t index = world->attempt_room; index-- > old;) {
            world->attempts[index] = (sim_attempt){.next = world->attempt_free};
            world->attempt_free = index;
        }
    }
    uint32_t index = world->attempt_free;
    sim_attempt *attempt = &world->attempts[index];
    world->attempt_free = attempt->next;
    *attempt = (sim_attempt){.version = attempt->version + 1, .life = attempt->life + 1};
    return index;
}

void sim_attempt_free(sim_world *world, uint32_t index)
{
    world->attempts[index].next = world->attempt_free;
    world->attempt_free = index;
}

uint32_t sim_message_new(sim_world *world)
{
    if (world->message_free == SIM_NONE) {
        uint32_t old = world->message_room;
        world->message_room = old > 0 ? old * 2 : ROOM_FIRST;
        world->messages = sim_grow(world->messages, world->message_room, sizeof *world->messages);
        for (uint32_t index = world->message_room; index-- > old;) {
            world->messages[index].next = world->message_free;
            world->message_free = index;
        }
    }
    uint32_t index = world->message_free;
    world->message_free = world->messages[index].next;
    world->messages[index].attempt = SIM_NONE;
    world->messages[index].is_probe = false;
    return index;
}

void sim_message_free(sim_world *world, uint32_t index)
{
    world->messages[index].next = world->message_free;
    world->message_free = index;
}
