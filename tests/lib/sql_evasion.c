/* sql_evasion.c - sql_evasion.h for tools/check_sql_reads.py, which loads it. */
#include "tests/lib/sql_evasion.h"

enum { S_SEEDS_MAX = 8192 };

void pcl_evasion_start(uint64_t seed);
void pcl_evasion_add(const uint8_t *text, size_t size, int sql_class);
const uint8_t *pcl_evasion_make(int damage, size_t *out_size);

static pcl_sql_evasion_seed s_seeds[S_SEEDS_MAX];
static pcl_sql_evasion s_evasion;

void pcl_evasion_start(uint64_t seed)
{
    s_evasion.rng = pcl_rng_from_seed(seed);
    s_evasion.seeds = s_seeds;
    s_evasion.seed_count = 0;
}

/* The text is borrowed for good; one that is no seed is passed over. */
void pcl_evasion_add(const uint8_t *text, size_t size, int sql_class)
{
    if (size > 0 && size <= PCL_SQL_EVASION_SEED_MAX && s_evasion.seed_count < S_SEEDS_MAX) {
        s_seeds[s_evasion.seed_count++] = (pcl_sql_evasion_seed){
            .text = text, .size = size, .sql_class = (pcl_sql_class)sql_class};
        s_evasion.base_count = s_evasion.seed_count;
    }
}

/* Borrowed until the next call. */
const uint8_t *pcl_evasion_make(int damage, size_t *out_size)
{
    s_evasion.damage = damage != 0;
    pcl_sql_evasion_next(&s_evasion);
    *out_size = s_evasion.size;
    return s_evasion.text;
}
