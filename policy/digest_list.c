#include "policy/digest_list.h"

#include "sql/digest.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { HASH_SIZE = 32 };

/* One digest, its text behind it. */
typedef struct entry {
    uint8_t hash[HASH_SIZE]; /* its first octets are the id, big endian */
    pcl_digest_state state;
    uint32_t size;
    uint8_t text[];
} entry;

struct pcl_digest_list {
    entry **entries; /* owned; the first count, sorted by hash */
    uint32_t count;
    uint32_t capacity;
    size_t octets; /* of all texts */
};

static void s_hash(pcl_bytes text, uint8_t hash[HASH_SIZE])
{
    (void)crypto_generichash(hash, HASH_SIZE, text.data, text.size, NULL, 0); /* sizes are valid */
}

static uint64_t s_id(const uint8_t hash[HASH_SIZE])
{
    uint64_t id = 0;
    for (size_t index = 0; index < sizeof id; index++) {
        id = id << 8 | hash[index];
    }
    return id != 0 ? id : 1;
}

uint64_t pcl_digest_id(pcl_bytes text)
{
    uint8_t hash[HASH_SIZE];
    s_hash(text, hash);
    return s_id(hash);
}

void pcl_digest_id_text(uint64_t id, char out_text[PCL_DIGEST_ID_TEXT_SIZE])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (int index = PCL_DIGEST_ID_TEXT_SIZE - 2; index >= 0; index--, id >>= 4) {
        out_text[index] = DIGITS[id & 15];
    }
    out_text[PCL_DIGEST_ID_TEXT_SIZE - 1] = '\0';
}

static int s_hex(uint8_t octet)
{
    if (octet >= '0' && octet <= '9') {
        return octet - '0';
    }
    uint8_t lower = octet | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool pcl_digest_id_parse(pcl_bytes text, uint64_t *out_id)
{
    uint64_t id = 0;
    if (text.size != PCL_DIGEST_ID_TEXT_SIZE - 1) {
        return false;
    }
    for (size_t index = 0; index < text.size; index++) {
        int digit = s_hex(text.data[index]);
        if (digit < 0) {
            return false;
        }
        id = id << 4 | (uint64_t)digit;
    }
    *out_id = id;
    return true;
}

bool pcl_digest_is_cut(pcl_bytes text)
{
    return text.size >= 3 && memcmp(text.data + text.size - 3, "...", 3) == 0;
}

const char *pcl_digest_state_text(pcl_digest_state state)
{
    switch (state) {
    case PCL_DIGEST_SEEN:
        return "seen";
    case PCL_DIGEST_ALLOWED:
        return "allowed";
    case PCL_DIGEST_UNKNOWN:
        break;
    }
    return "unknown";
}

/* --- Lines ------------------------------------------------------------------ */

static bool s_needs_escape(uint8_t octet)
{
    return octet < 0x20 || octet == 0x7f || octet == '\\';
}

/* How many octets the character at `at` has when it steers a terminal, but is none that a line must
 * not have: U+0080 to U+009F, and what turns the direction of writing, U+202A to U+202E and U+2066
 * to U+2069.  0: it does not. */
static size_t s_steering_size(pcl_bytes text, size_t at)
{
    size_t left = text.size - at;
    const uint8_t *octets = text.data + at;
    if (left >= 2 && octets[0] == 0xc2 && octets[1] >= 0x80 && octets[1] <= 0x9f) {
        return 2;
    }
    bool turns = left >= 3 && octets[0] == 0xe2 &&
                 ((octets[1] == 0x80 && octets[2] >= 0xaa && octets[2] <= 0xae) ||
                  (octets[1] == 0x81 && octets[2] >= 0xa6 && octets[2] <= 0xa9));
    return turns ? 3 : 0;
}

static void s_put_escape(pcl_buffer *buffer, uint8_t octet)
{
    char escape[8];
    int size = snprintf(escape, sizeof escape, "\\x%02x", octet);
    pcl_buffer_put(buffer, escape, (size_t)size);
}

void pcl_digest_line_put(pcl_buffer *buffer, pcl_bytes text, pcl_digest_state state)
{
    char id[PCL_DIGEST_ID_TEXT_SIZE];
    pcl_digest_id_text(pcl_digest_id(text), id);
    pcl_buffer_put(buffer, id, sizeof id - 1);
    pcl_buffer_put(buffer, "  ", 2);
    pcl_buffer_put(buffer, pcl_digest_state_text(state), strlen(pcl_digest_state_text(state)));
    pcl_buffer_put(buffer, "  ", 2);
    for (size_t at = 0; at < text.size; at++) {
        bool outer = at == 0 || at + 1 == text.size; /* where a blank would be taken for layout */
        size_t steering = s_steering_size(text, at);
        if (steering > 0) {
            for (size_t end = at + steering; at < end; at++) {
                s_put_escape(buffer, text.data[at]);
            }
            at--; /* the loop's own step follows */
        } else if (s_needs_escape(text.data[at]) || (outer && text.data[at] == ' ')) {
            s_put_escape(buffer, text.data[at]);
        } else {
            pcl_buffer_put_u8(buffer, text.data[at]);
        }
    }
    pcl_buffer_put_u8(buffer, '\n');
}

static bool s_is_blank(uint8_t octet)
{
    return octet == ' ' || octet == '\t';
}

/* The next word of a line; empty at its end.  Blanks behind it are taken too. */
static pcl_bytes s_word(pcl_bytes *line)
{
    size_t size = 0;
    while (size < line->size && !s_is_blank(line->data[size])) {
        size++;
    }
    pcl_bytes word = pcl_bytes_of(line->data, size);
    while (size < line->size && s_is_blank(line->data[size])) {
        size++;
    }
    *line = pcl_bytes_of(line->data + size, line->size - size);
    return word;
}

/* Takes the escapes out; false: there is an octet that must be escaped, or no escape at all. */
static bool s_unescape(pcl_bytes text, uint8_t *out_text, size_t *out_size)
{
    size_t size = 0;
    for (size_t at = 0; at < text.size; at++) {
        uint8_t octet = text.data[at];
        if (octet == '\\') {
            if (text.size - at < 4 || text.data[at + 1] != 'x') {
                return false;
            }
            int high = s_hex(text.data[at + 2]);
            int low = s_hex(text.data[at + 3]);
            if (high < 0 || low < 0) {
                return false;
            }
            octet = (uint8_t)(high * 16 + low);
            at += 3;
        } else if (s_needs_escape(octet)) {
            return false;
        }
        if (size == PCL_SQL_DIGEST_SIZE_MAX) {
            return false;
        }
        out_text[size++] = octet;
    }
    *out_size = size;
    return true;
}

/* --- The list ----------------------------------------------------------------- */

pcl_digest_list *pcl_digest_list_new(void)
{
    return calloc(1, sizeof(pcl_digest_list));
}

void pcl_digest_list_destroy(pcl_digest_list **self_p)
{
    assert(self_p != NULL);
    pcl_digest_list *self = *self_p;
    if (self != NULL) {
        for (uint32_t index = 0; index < self->count; index++) {
            free(self->entries[index]);
        }
        free(self->entries);
        free(self);
        *self_p = NULL;
    }
}

/* Where the hash stands, or where it belongs. */
static uint32_t s_place(const pcl_digest_list *self, const uint8_t *hash, size_t hash_size)
{
    uint32_t low = 0;
    uint32_t high = self->count;
    /* Files are written in order: what comes next belongs behind the last. */
    if (high > 0 && memcmp(self->entries[high - 1]->hash, hash, hash_size) < 0) {
        return high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(self->entries[middle]->hash, hash, hash_size) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static entry *s_find(const pcl_digest_list *self, pcl_bytes text)
{
    uint8_t hash[HASH_SIZE];
    s_hash(text, hash);
    uint32_t place = s_place(self, hash, HASH_SIZE);
    bool there = place < self->count && memcmp(self->entries[place]->hash, hash, HASH_SIZE) == 0;
    return there ? self->entries[place] : NULL;
}

static bool s_grow(pcl_digest_list *self)
{
    if (self->count < self->capacity) {
        return true;
    }
    uint32_t capacity = self->capacity == 0 ? 64 : self->capacity * 2;
    entry **entries = realloc(self->entries, capacity * sizeof *entries);
    if (entries != NULL) {
        self->entries = entries;
        self->capacity = capacity;
    }
    return entries != NULL;
}

static bool s_insert(pcl_digest_list *self, pcl_bytes text, pcl_digest_state state)
{
    bool room = self->count < PCL_DIGEST_LIST_COUNT_MAX &&
                text.size <= PCL_DIGEST_LIST_FILE_SIZE_MAX - self->octets;
    entry *made = room && s_grow(self) ? malloc(sizeof *made + text.size) : NULL;
    if (made == NULL) {
        return false;
    }
    s_hash(text, made->hash);
    made->state = state;
    made->size = (uint32_t)text.size;
    memcpy(made->text, text.data, text.size);
    uint32_t place = s_place(self, made->hash, HASH_SIZE);
    memmove(&self->entries[place + 1], &self->entries[place],
            (self->count - place) * sizeof(entry *));
    self->entries[place] = made;
    self->count++;
    self->octets += text.size;
    return true;
}

bool pcl_digest_list_put(pcl_digest_list *self, pcl_bytes text, pcl_digest_state state)
{
    assert(self != NULL);
    assert(state != PCL_DIGEST_UNKNOWN);
    if (text.size == 0 || text.size > PCL_SQL_DIGEST_SIZE_MAX || pcl_digest_is_cut(text)) {
        return false;
    }
    entry *found = s_find(self, text);
    if (found == NULL) {
        return s_insert(self, text, state);
    }
    bool higher = state > found->state;
    found->state = higher ? state : found->state;
    return higher;
}

pcl_digest_state pcl_digest_list_find(const pcl_digest_list *self, pcl_bytes text)
{
    assert(self != NULL);
    const entry *found = s_find(self, text);
    return found == NULL ? PCL_DIGEST_UNKNOWN : found->state;
}

static pcl_digest_entry s_show(const entry *found)
{
    return (pcl_digest_entry){
        .id = s_id(found->hash),
        .state = found->state,
        .text = pcl_bytes_of(found->text, found->size),
    };
}

bool pcl_digest_list_get(const pcl_digest_list *self, uint64_t id, pcl_digest_entry *out_entry)
{
    assert(self != NULL);
    uint8_t start[sizeof id];
    for (size_t index = 0; index < sizeof id; index++) {
        start[index] = (uint8_t)(id >> (56 - 8 * index));
    }
    uint32_t place = s_place(self, start, sizeof start);
    if (place >= self->count || s_id(self->entries[place]->hash) != id) {
        return false;
    }
    *out_entry = s_show(self->entries[place]);
    return true;
}

uint32_t pcl_digest_list_count(const pcl_digest_list *self)
{
    assert(self != NULL);
    return self->count;
}

pcl_digest_entry pcl_digest_list_at(const pcl_digest_list *self, uint32_t index)
{
    assert(self != NULL && index < self->count);
    return s_show(self->entries[index]);
}

/* --- Reading ------------------------------------------------------------------- */

/* NULL, or what is wrong with the line.  out_text has PCL_SQL_DIGEST_SIZE_MAX octets of room. */
static const char *s_parse_line(pcl_bytes line, uint8_t *out_text, pcl_bytes *out_digest,
                                pcl_digest_state *out_state)
{
    uint64_t id = 0;
    size_t size = 0;
    if (!pcl_digest_id_parse(s_word(&line), &id)) {
        return "must begin with an id of 16 hexadecimal digits";
    }
    pcl_bytes word = s_word(&line);
    bool allowed = pcl_bytes_is(word, "allowed");
    if (!allowed && !pcl_bytes_is(word, "seen")) {
        return "the second word must be allowed or seen";
    }
    if (!s_unescape(line, out_text, &size)) {
        return "the text is no digest: at most 4096 octets, backslash and control characters "
               "as \\xHH";
    }
    pcl_bytes digest = pcl_bytes_of(out_text, size);
    if (size == 0) {
        return "the text is missing";
    }
    if (pcl_digest_is_cut(digest)) {
        return "a digest that was cut (ends in ...) stands for more than one statement";
    }
    if (pcl_digest_id(digest) != id) {
        return "the id is not that of the text";
    }
    *out_digest = digest;
    *out_state = allowed ? PCL_DIGEST_ALLOWED : PCL_DIGEST_SEEN;
    return NULL;
}

static const char *s_read_line(pcl_digest_list *self, pcl_bytes line)
{
    uint8_t text[PCL_SQL_DIGEST_SIZE_MAX];
    pcl_bytes digest;
    pcl_digest_state state = PCL_DIGEST_UNKNOWN;
    const char *wrong = s_parse_line(line, text, &digest, &state);
    if (wrong == NULL && !pcl_digest_list_put(self, digest, state) &&
        pcl_digest_list_find(self, digest) == PCL_DIGEST_UNKNOWN) {
        wrong = "there is no room for more digests";
    }
    return wrong;
}

static pcl_bytes s_take_line(pcl_bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    size_t taken = size + (end == NULL ? 0 : 1);
    pcl_bytes line = pcl_bytes_of(text->data, size);
    *text = pcl_bytes_of(text->data + taken, text->size - taken);
    while (line.size > 0 &&
           (line.data[line.size - 1] == '\r' || s_is_blank(line.data[line.size - 1]))) {
        line.size--;
    }
    while (line.size > 0 && s_is_blank(line.data[0])) {
        line = pcl_bytes_of(line.data + 1, line.size - 1);
    }
    return line;
}

bool pcl_digest_list_read(pcl_digest_list *self, pcl_bytes text, const char *name,
                          pcl_buffer *problems)
{
    assert(self != NULL && name != NULL && problems != NULL);
    bool good = true;
    for (unsigned number = 1; text.size > 0; number++) {
        pcl_bytes line = s_take_line(&text);
        if (line.size == 0 || line.data[0] == '#') {
            continue;
        }
        const char *wrong = s_read_line(self, line);
        if (wrong != NULL) {
            char place[32];
            int size = snprintf(place, sizeof place, ":%u: ", number);
            good = false;
            pcl_buffer_put(problems, name, strlen(name));
            pcl_buffer_put(problems, place, (size_t)size);
            pcl_buffer_put(problems, wrong, strlen(wrong));
            pcl_buffer_put_u8(problems, '\n');
        }
    }
    return good;
}

/* --- Writing ------------------------------------------------------------------- */

static int s_by_text(const void *left, const void *right)
{
    const entry *a = *(const entry *const *)left;
    const entry *b = *(const entry *const *)right;
    uint32_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->text, b->text, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static void s_put_entry(pcl_buffer *buffer, const entry *found)
{
    pcl_digest_line_put(buffer, pcl_bytes_of(found->text, found->size), found->state);
}

/* Writes the original's lines, and takes what they name out of rest. */
static void s_rewrite(const pcl_digest_list *self, pcl_bytes original, const entry **rest,
                      pcl_buffer *buffer)
{
    while (original.size > 0) {
        uint8_t text[PCL_SQL_DIGEST_SIZE_MAX];
        pcl_bytes digest;
        pcl_digest_state state = PCL_DIGEST_UNKNOWN;
        pcl_bytes line = s_take_line(&original);
        if (line.size == 0 || line.data[0] == '#') {
            pcl_buffer_put(buffer, line.data, line.size);
            pcl_buffer_put_u8(buffer, '\n');
            continue;
        }
        if (s_parse_line(line, text, &digest, &state) != NULL) {
            continue;
        }
        uint8_t hash[HASH_SIZE];
        s_hash(digest, hash);
        uint32_t place = s_place(self, hash, HASH_SIZE);
        if (place < self->count && rest[place] != NULL &&
            memcmp(rest[place]->hash, hash, HASH_SIZE) == 0) {
            s_put_entry(buffer, rest[place]);
            rest[place] = NULL;
        }
    }
}

bool pcl_digest_list_write(const pcl_digest_list *self, pcl_bytes original, pcl_buffer *buffer)
{
    assert(self != NULL && buffer != NULL);
    const entry **rest = calloc((size_t)self->count + 1, sizeof *rest);
    if (rest == NULL) {
        return false;
    }
    for (uint32_t index = 0; index < self->count; index++) {
        rest[index] = self->entries[index];
    }
    s_rewrite(self, original, rest, buffer);
    size_t count = 0;
    for (uint32_t index = 0; index < self->count; index++) {
        if (rest[index] != NULL) {
            rest[count++] = rest[index];
        }
    }
    qsort(rest, count, sizeof *rest, s_by_text);
    for (size_t index = 0; index < count; index++) {
        s_put_entry(buffer, rest[index]);
    }
    free(rest);
    return !buffer->failed;
}
