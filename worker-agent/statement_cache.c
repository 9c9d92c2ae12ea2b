#include "worker-agent/statement_cache.h"

#include <assert.h>
#include <stdlib.h>

typedef struct entry {
    struct entry *newer, *older; /* by last use */
    struct entry *chain;         /* same hash bucket */
    uint64_t hash;
    void *handle;
    size_t db_size, types_size, sql_size;
    uint8_t text[]; /* db, types, sql */
} entry;

struct pcl_statement_cache {
    entry *newest, *oldest;
    entry **buckets; /* bucket_count chains; a power of two */
    uint32_t bucket_count;
    uint32_t capacity;
    uint32_t count;
};

static uint64_t s_hash_more(uint64_t hash, pcl_bytes part)
{
    for (size_t index = 0; index < part.size; index++) {
        hash = (hash ^ part.data[index]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* FNV-1a over all parts; the sizes keep ("a","bc") from ("ab","c"). */
static uint64_t s_hash(const pcl_statement_key *key)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ key->db.size ^
                    ((uint64_t)key->types.size << 32);
    hash = s_hash_more(hash, key->db);
    hash = s_hash_more(hash, key->types);
    hash = s_hash_more(hash, key->sql);
    return hash ^ (hash >> 29);
}

/* Points into the entry. */
static pcl_statement_key s_key(const entry *item)
{
    const uint8_t *types = item->text + item->db_size;
    return (pcl_statement_key){
        .db = pcl_bytes_of(item->text, item->db_size),
        .types = pcl_bytes_of(types, item->types_size),
        .sql = pcl_bytes_of(types + item->types_size, item->sql_size),
    };
}

static bool s_matches(const entry *candidate, uint64_t hash, const pcl_statement_key *key)
{
    if (candidate->hash != hash) {
        return false;
    }
    pcl_statement_key own = s_key(candidate);
    return pcl_bytes_equal(own.db, key->db) && pcl_bytes_equal(own.types, key->types) &&
           pcl_bytes_equal(own.sql, key->sql);
}

/* Where the pointer to the entry stands; to NULL when there is none. */
static entry **s_place(const pcl_statement_cache *self, uint64_t hash, const pcl_statement_key *key)
{
    entry **place = &self->buckets[hash & (self->bucket_count - 1)];
    while (*place != NULL && !s_matches(*place, hash, key)) {
        place = &(*place)->chain;
    }
    return place;
}

static void s_unlink_use(pcl_statement_cache *self, entry *item)
{
    *(item->newer != NULL ? &item->newer->older : &self->newest) = item->older;
    *(item->older != NULL ? &item->older->newer : &self->oldest) = item->newer;
}

static void s_link_newest(pcl_statement_cache *self, entry *item)
{
    item->newer = NULL;
    item->older = self->newest;
    *(self->newest != NULL ? &self->newest->newer : &self->oldest) = item;
    self->newest = item;
}

static void *s_take(pcl_statement_cache *self, entry **place)
{
    entry *item = *place;
    if (item == NULL) {
        return NULL;
    }
    *place = item->chain;
    s_unlink_use(self, item);
    self->count--;
    void *handle = item->handle;
    free(item);
    return handle;
}

pcl_statement_cache *pcl_statement_cache_new(uint32_t capacity)
{
    assert(capacity > 0);
    assert(capacity <= PCL_STATEMENT_CACHE_CAPACITY_MAX);
    pcl_statement_cache *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->capacity = capacity;
    self->bucket_count = 16;
    while (self->bucket_count < capacity * 2) {
        self->bucket_count *= 2;
    }
    self->buckets = calloc(self->bucket_count, sizeof(entry *));
    assert(self->buckets != NULL);
    return self;
}

void pcl_statement_cache_destroy(pcl_statement_cache **self_p)
{
    pcl_statement_cache *self = *self_p;
    if (self != NULL) {
        assert(self->count == 0);
        free(self->buckets);
        free(self);
        *self_p = NULL;
    }
}

void *pcl_statement_cache_find(pcl_statement_cache *self, const pcl_statement_key *key)
{
    entry *item = *s_place(self, s_hash(key), key);
    if (item == NULL) {
        return NULL;
    }
    s_unlink_use(self, item);
    s_link_newest(self, item);
    return item->handle;
}

/* Returns where the next part goes. */
static uint8_t *s_copy(uint8_t *target, pcl_bytes part)
{
    if (part.size > 0) {
        memcpy(target, part.data, part.size);
    }
    return target + part.size;
}

bool pcl_statement_cache_put(pcl_statement_cache *self, const pcl_statement_key *key, void *handle,
                             void **out_evicted)
{
    assert(handle != NULL);
    *out_evicted = NULL;
    if (key->types.size + key->sql.size > PCL_STATEMENT_CACHE_TEXT_SIZE_MAX) {
        return false;
    }
    entry *item = malloc(sizeof *item + key->db.size + key->types.size + key->sql.size);
    if (item == NULL) {
        return false;
    }
    if (self->count == self->capacity) {
        *out_evicted = pcl_statement_cache_remove_oldest(self);
    }
    *item = (entry){.hash = s_hash(key),
                    .handle = handle,
                    .db_size = key->db.size,
                    .types_size = key->types.size,
                    .sql_size = key->sql.size};
    (void)s_copy(s_copy(s_copy(item->text, key->db), key->types), key->sql);
    entry **place = s_place(self, item->hash, key);
    assert(*place == NULL);
    *place = item;
    s_link_newest(self, item);
    self->count++;
    return true;
}

void *pcl_statement_cache_remove(pcl_statement_cache *self, const pcl_statement_key *key)
{
    return s_take(self, s_place(self, s_hash(key), key));
}

void *pcl_statement_cache_remove_oldest(pcl_statement_cache *self)
{
    entry *item = self->oldest;
    if (item == NULL) {
        return NULL;
    }
    pcl_statement_key key = s_key(item);
    return s_take(self, s_place(self, item->hash, &key));
}

uint32_t pcl_statement_cache_count(const pcl_statement_cache *self)
{
    return self->count;
}
