#include "sql/cache.h"

#include "common/buffer.h"
#include "sql/digest.h"
#include "sql/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    S_OCTETS_MIN = 4096,
    S_TEXT_PART = 8, /* a text may take this part of the octets */
    S_STAY_MAX = 8,  /* entries that stay a round longer, an insertion */
};

static const uint32_t S_NONE = UINT32_MAX;

/* Text and digest lie one behind the other in the ring of octets. */
typedef struct s_entry {
    pcl_sql_verdict verdict;
    uint64_t hash;
    uint64_t note; /* the owner's */
    size_t at;     /* in octets */
    uint32_t text_size;
    uint32_t digest_size;
    uint32_t next; /* in the bucket's chain, or S_NONE */
    bool asked;    /* since it came in or stayed */
} s_entry;

/* Two rings go round together: entries in order of age, and their octets in the
 * same order.  An entry's octets never wrap; what is left at the end lies idle. */
struct pcl_sql_cache {
    pcl_sql_rules rules;
    pcl_sql_hash_key key;
    s_entry *entries;
    uint32_t entry_max;
    uint32_t oldest; /* index of an entry */
    uint32_t count;
    uint32_t *buckets; /* index of the first entry, or S_NONE */
    uint32_t bucket_mask;
    uint8_t *octets;
    size_t octets_max;
    size_t used;       /* octets of texts and digests */
    pcl_buffer digest; /* of the text being judged; its memory was taken at _new */
    pcl_sql_cache_counts counts;
};

static uint32_t s_bucket_count(uint32_t entry_max)
{
    uint32_t count = 16;
    while (count < entry_max && count < (UINT32_C(1) << 30)) {
        count *= 2;
    }
    return count;
}

static bool s_take_memory(pcl_sql_cache *self)
{
    static const uint8_t zeros[PCL_SQL_DIGEST_SIZE_MAX] = {0};
    uint32_t bucket_count = s_bucket_count(self->entry_max);
    self->bucket_mask = bucket_count - 1;
    self->entries = calloc(self->entry_max, sizeof *self->entries);
    self->buckets = calloc(bucket_count, sizeof *self->buckets);
    self->octets = malloc(self->octets_max);
    pcl_buffer_init(&self->digest, PCL_SQL_DIGEST_SIZE_MAX);
    pcl_buffer_put(&self->digest, zeros, sizeof zeros);
    return self->entries != NULL && self->buckets != NULL && self->octets != NULL &&
           !self->digest.failed;
}

pcl_sql_cache *pcl_sql_cache_new(const pcl_sql_rules *rules, uint32_t entry_max, size_t octets_max,
                                 uint64_t seed)
{
    assert(entry_max > 0 && entry_max < S_NONE && octets_max >= S_OCTETS_MIN);
    pcl_sql_cache *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->entry_max = entry_max;
    self->octets_max = octets_max;
    self->key = pcl_sql_hash_key_of(seed);
    if (!s_take_memory(self)) {
        pcl_sql_cache_destroy(&self);
        return NULL;
    }
    pcl_sql_cache_reset(self, rules);
    return self;
}

void pcl_sql_cache_destroy(pcl_sql_cache **self_p)
{
    if (self_p == NULL || *self_p == NULL) {
        return;
    }
    pcl_sql_cache *self = *self_p;
    *self_p = NULL;
    free(self->entries);
    free(self->buckets);
    free(self->octets);
    pcl_buffer_release(&self->digest);
    free(self);
}

void pcl_sql_cache_reset(pcl_sql_cache *self, const pcl_sql_rules *rules)
{
    assert(self != NULL);
    self->rules = rules != NULL ? *rules : (pcl_sql_rules){.flavor = PCL_SQL_FLAVOR_BOTH};
    self->oldest = 0;
    self->count = 0;
    self->used = 0;
    for (uint32_t index = 0; index <= self->bucket_mask; index++) {
        self->buckets[index] = S_NONE;
    }
}

static size_t s_size(const s_entry *entry)
{
    return (size_t)entry->text_size + entry->digest_size;
}

static uint32_t s_place(const pcl_sql_cache *self, uint32_t age)
{
    return (uint32_t)(((uint64_t)self->oldest + age) % self->entry_max);
}

static uint32_t *s_bucket(pcl_sql_cache *self, uint64_t hash)
{
    return &self->buckets[(uint32_t)hash & self->bucket_mask];
}

static s_entry *s_find(pcl_sql_cache *self, uint64_t hash, pcl_bytes sql)
{
    for (uint32_t index = *s_bucket(self, hash); index != S_NONE;) {
        s_entry *entry = &self->entries[index];
        if (entry->hash == hash &&
            pcl_bytes_equal(pcl_bytes_of(self->octets + entry->at, entry->text_size), sql)) {
            entry->asked = true;
            return entry;
        }
        index = entry->next;
    }
    return NULL;
}

static void s_unlink(pcl_sql_cache *self, uint32_t index)
{
    uint32_t *link = s_bucket(self, self->entries[index].hash);
    while (*link != index) {
        assert(*link != S_NONE);
        link = &self->entries[*link].next;
    }
    *link = self->entries[index].next;
}

/* Whether there are `size` octets in one piece behind the youngest entry, and
 * where.  The octets from the oldest entry's on are taken. */
static bool s_has_room(const pcl_sql_cache *self, size_t size, size_t *out_at)
{
    if (self->count == 0) {
        *out_at = 0;
        return size <= self->octets_max;
    }
    const s_entry *youngest = &self->entries[s_place(self, self->count - 1)];
    size_t end = youngest->at + s_size(youngest);
    size_t start = self->entries[self->oldest].at;
    if (end > start) {
        if (self->octets_max - end >= size) {
            *out_at = end;
            return true;
        }
        end = 0;
    }
    *out_at = end;
    return start - end >= size;
}

/* Makes the entry, whose octets are to lie at entry->at, the youngest. */
static void s_append(pcl_sql_cache *self, s_entry entry)
{
    uint32_t index = s_place(self, self->count);
    uint32_t *bucket = s_bucket(self, entry.hash);
    entry.next = *bucket;
    self->entries[index] = entry;
    *bucket = index;
    self->count++;
    self->used += s_size(&entry);
}

static s_entry s_remove_oldest(pcl_sql_cache *self)
{
    s_entry entry = self->entries[self->oldest];
    s_unlink(self, self->oldest);
    self->oldest = s_place(self, 1);
    self->count--;
    self->used -= s_size(&entry);
    return entry;
}

/* Takes the oldest away, or makes it the youngest: the octets that it leaves, and
 * what is free before them, always hold it. */
static void s_evict(pcl_sql_cache *self, uint32_t *stay_count)
{
    s_entry entry = s_remove_oldest(self);
    size_t at = 0;
    if (!entry.asked || *stay_count == 0 || !s_has_room(self, s_size(&entry), &at)) {
        self->counts.evictions++;
        return;
    }
    memmove(self->octets + at, self->octets + entry.at, s_size(&entry));
    entry.at = at;
    entry.asked = false;
    s_append(self, entry);
    (*stay_count)--;
}

static void s_keep(pcl_sql_cache *self, uint64_t hash, pcl_bytes sql, pcl_sql_verdict verdict)
{
    pcl_bytes digest = pcl_buffer_bytes(&self->digest);
    size_t size = sql.size + digest.size;
    if (size > self->octets_max / S_TEXT_PART) {
        return;
    }
    size_t at = 0;
    uint32_t stay_count = S_STAY_MAX;
    while (self->count == self->entry_max || !s_has_room(self, size, &at)) {
        s_evict(self, &stay_count);
    }
    memcpy(self->octets + at, sql.data, sql.size);
    if (digest.size > 0) {
        memcpy(self->octets + at + sql.size, digest.data, digest.size);
    }
    s_append(self, (s_entry){.verdict = verdict,
                             .hash = hash,
                             .at = at,
                             .text_size = (uint32_t)sql.size,
                             .digest_size = (uint32_t)digest.size});
}

pcl_sql_judged pcl_sql_cache_judge(pcl_sql_cache *self, pcl_bytes sql)
{
    assert(self != NULL);
    bool fits = sql.size <= self->octets_max / S_TEXT_PART;
    uint64_t hash = fits ? pcl_sql_hash(self->key, sql) : 0;
    s_entry *found = fits ? s_find(self, hash, sql) : NULL;
    if (found != NULL) {
        self->counts.hits++;
        return (pcl_sql_judged){
            .verdict = found->verdict,
            .digest = pcl_bytes_of(self->octets + found->at + found->text_size, found->digest_size),
            .note = &found->note};
    }
    self->counts.misses++;
    pcl_buffer_clear(&self->digest);
    pcl_sql_verdict verdict = pcl_sql_classify_by(&self->rules, sql);
    if (verdict.sql_class == PCL_SQL_REFUSED) {
        return (pcl_sql_judged){.verdict = verdict};
    }
    /* The buffer holds the longest digest there is, and a text with a verdict has one. */
    (void)pcl_sql_digest(sql, &self->digest);
    if (fits) {
        s_keep(self, hash, sql, verdict);
    }
    return (pcl_sql_judged){.verdict = verdict, .digest = pcl_buffer_bytes(&self->digest)};
}

pcl_sql_cache_counts pcl_sql_cache_count(const pcl_sql_cache *self)
{
    assert(self != NULL);
    pcl_sql_cache_counts counts = self->counts;
    counts.entries = self->count;
    counts.octets = self->used;
    return counts;
}
