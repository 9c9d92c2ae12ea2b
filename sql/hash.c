#include "sql/hash.h"

#include "common/rng.h"

#include <string.h>

typedef struct s_state {
    uint64_t a;
    uint64_t b;
    uint64_t c;
    uint64_t d;
} s_state;

static uint64_t s_rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline s_state s_round(s_state state)
{
    state.a += state.b;
    state.b = s_rotate(state.b, 13) ^ state.a;
    state.a = s_rotate(state.a, 32);
    state.c += state.d;
    state.d = s_rotate(state.d, 16) ^ state.c;
    state.a += state.d;
    state.d = s_rotate(state.d, 21) ^ state.a;
    state.c += state.b;
    state.b = s_rotate(state.b, 17) ^ state.c;
    state.c = s_rotate(state.c, 32);
    return state;
}

pcl_sql_hash_key pcl_sql_hash_key_of(uint64_t seed)
{
    pcl_rng rng = pcl_rng_from_seed(seed);
    uint64_t low = pcl_rng_next(&rng);
    return (pcl_sql_hash_key){.low = low, .high = pcl_rng_next(&rng)};
}

/* Words are read as the processor has them: the hash never leaves the process. */
uint64_t pcl_sql_hash(pcl_sql_hash_key key, pcl_bytes text)
{
    s_state state = {.a = key.low ^ UINT64_C(0x736f6d6570736575),
                     .b = key.high ^ UINT64_C(0x646f72616e646f6d),
                     .c = key.low ^ UINT64_C(0x6c7967656e657261),
                     .d = key.high ^ UINT64_C(0x7465646279746573)};
    size_t at = 0;
    uint64_t word = 0;
    for (; text.size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text.data + at, sizeof word);
        state.d ^= word;
        state = s_round(state);
        state.a ^= word;
    }
    word = (uint64_t)text.size << 56;
    for (size_t index = 0; at + index < text.size; index++) {
        word |= (uint64_t)text.data[at + index] << (8 * index);
    }
    state.d ^= word;
    state = s_round(state);
    state.a ^= word;
    state.c ^= 0xff;
    state = s_round(s_round(s_round(state)));
    return state.a ^ state.b ^ state.c ^ state.d;
}
