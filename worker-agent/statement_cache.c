#include "worker-agent/statement_cache.h"

#include <assert.h>
#include <stdlib.h>

typedef struct entry {
    struct entry *newer, *older; /* by last use */
    struct entry *chain;         /* same hash bucket */
    uint64_t hash;
    void *handle;
    size_t db_size, sql_size;
    uint8_t text[]; /* db, then sql */
} entry;

struct pcl_statement_cache {
    entry *newest, *oldest;
    entry **buckets; /* bucket_count chains; a power of two */
    uint32_t bucket_count;
    uint32_t capacity;
    uint32_t count;
};

/* FNV-1a over both texts; the size of db keeps ("a","bc") from ("ab","c"). */
static uint64_t s_hash(pcl_bytes db, pcl_bytes sql)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ db.size;
    for (size_t index = 0; index < db.size; index++) {
        hash = (hash ^ db.data[index]) * UINT64_C(1099511628211);
    }
    for (size_t index = 0; index < sql.size; index++) {
        hash = (hash ^ sql.data[index]) * UINT64_C(1099511628211);
    }
    return hash ^ (hash >> 29);
}

static bool s_matches(const entry *candidate, uint64_t hash, pcl_bytes db, pcl_bytes sql)
{
    return candidate->hash == hash &&
           pcl_bytes_equal(pcl_bytes_of(candidate->text, candidate->db_size), db) &&
           pcl_bytes_equal(pcl_bytes_of(candidate->text + candidate->db_size, candidate->sql_size),
                           sql);
}

/* Where the pointer to the entry stands; to NULL when there is none. */
static entry **s_place(const pcl_statement_cache *self, uint64_t hash, pcl_bytes db, pcl_bytes sql)
{
    entry **place = &self->buckets[hash & (self->bucket_count - 1)];
    while (*place != NULL && !s_matches(*place, hash, db, sql)) {
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

void *pcl_statement_cache_find(pcl_statement_cache *self, pcl_bytes db, pcl_bytes sql)
{
    entry *item = *s_place(self, s_hash(db, sql), db, sql);
    if (item == NULL) {
        return NULL;
    }
    s_unlink_use(self, item);
    s_link_newest(self, item);
    return item->handle;
}

bool pcl_statement_cache_put(pcl_statement_cache *self, pcl_bytes db, pcl_bytes sql, void *handle,
                             void **out_evicted)
{
    assert(handle != NULL);
    *out_evicted = NULL;
    if (sql.size > PCL_STATEMENT_CACHE_TEXT_SIZE_MAX) {
        return false;
    }
    entry *item = malloc(sizeof *item + db.size + sql.size);
    if (item == NULL) {
        return false;
    }
    if (self->count == self->capacity) {
        *out_evicted = pcl_statement_cache_remove_oldest(self);
    }
    *item = (entry){
        .hash = s_hash(db, sql), .handle = handle, .db_size = db.size, .sql_size = sql.size};
    if (db.size > 0) {
        memcpy(item->text, db.data, db.size);
    }
    if (sql.size > 0) {
        memcpy(item->text + db.size, sql.data, sql.size);
    }
    entry **place = s_place(self, item->hash, db, sql);
    assert(*place == NULL);
    *place = item;
    s_link_newest(self, item);
    self->count++;
    return true;
}

void *pcl_statement_cache_remove(pcl_statement_cache *self, pcl_bytes db, pcl_bytes sql)
{
    return s_take(self, s_place(self, s_hash(db, sql), db, sql));
}

void *pcl_statement_cache_remove_oldest(pcl_statement_cache *self)
{
    entry *item = self->oldest;
    if (item == NULL) {
        return NULL;
    }
    return s_take(self, s_place(self, item->hash, pcl_bytes_of(item->text, item->db_size),
                                pcl_bytes_of(item->text + item->db_size, item->sql_size)));
}

uint32_t pcl_statement_cache_count(const pcl_statement_cache *self)
{
    return self->count;
}
