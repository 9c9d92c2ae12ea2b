#include "bench/sim/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

void *sim_new(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    assert(memory != NULL);
    return memory;
}

void *sim_grow(void *old, size_t count, size_t size)
{
    assert(count <= SIZE_MAX / size);
    void *memory = realloc(old, count * size);
    assert(memory != NULL);
    return memory;
}
