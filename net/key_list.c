/* Key lists (net/keys.h).  Z85 uses `#`, so what stands where a key is due is
 * the key, also when it begins with one. */
#include "net/key_list.h"

#include "common/limits.h"
#include "net/file.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_SIZE_MAX = 16 * 1024 * 1024, LINE_SIZE_MAX = 512 };

typedef struct s_row {
    char name[PCL_NAME_SIZE_MAX + 1];
    char role[PCL_NAME_SIZE_MAX + 1];
    char public_key[PCL_KEY_TEXT_SIZE];
    pcl_key_entry entry; /* points into this row */
} s_row;

struct pcl_key_list {
    s_row **rows; /* owned, each; so that entries stay where they are */
    size_t count;
    size_t capacity;   /* of rows */
    uint32_t *by_key;  /* open addressing: index + 1 into rows, 0 free */
    uint32_t *by_name; /* likewise */
    size_t slot_count; /* of either; a power of two, over twice the count */
};

/* FNV-1a. */
static uint64_t s_hash(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    }
    return hash ^ (hash >> 32);
}

/* The slot that holds text, or the free one where it belongs. */
static uint32_t *s_slot(const pcl_key_list *self, uint32_t *slots, const char *text)
{
    size_t mask = self->slot_count - 1;
    for (size_t index = (size_t)s_hash(text) & mask;; index = (index + 1) & mask) {
        if (slots[index] == 0) {
            return &slots[index];
        }
        const s_row *row = self->rows[slots[index] - 1];
        const char *held = slots == self->by_key ? row->public_key : row->name;
        if (strcmp(held, text) == 0) {
            return &slots[index];
        }
    }
}

/* Room for one more row and its slots. */
static bool s_grow(pcl_key_list *self)
{
    if (self->count < self->capacity) {
        return true;
    }
    size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
    size_t slot_count = capacity * 4;
    s_row **rows = realloc(self->rows, capacity * sizeof(s_row *));
    if (rows == NULL) {
        return false;
    }
    self->rows = rows;
    uint32_t *by_key = calloc(slot_count, sizeof *by_key);
    uint32_t *by_name = calloc(slot_count, sizeof *by_name);
    if (by_key == NULL || by_name == NULL) {
        free(by_key);
        free(by_name);
        return false;
    }
    free(self->by_key);
    free(self->by_name);
    self->by_key = by_key;
    self->by_name = by_name;
    self->capacity = capacity;
    self->slot_count = slot_count;
    for (size_t index = 0; index < self->count; index++) {
        *s_slot(self, self->by_key, self->rows[index]->public_key) = (uint32_t)index + 1;
        *s_slot(self, self->by_name, self->rows[index]->name) = (uint32_t)index + 1;
    }
    return true;
}

/* NULL, or the fault.  The row is copied. */
static const char *s_add(pcl_key_list *self, const s_row *source)
{
    if (!s_grow(self)) {
        return "out of memory";
    }
    uint32_t *key_slot = s_slot(self, self->by_key, source->public_key);
    uint32_t *name_slot = s_slot(self, self->by_name, source->name);
    if (*name_slot != 0) {
        return "the name stands twice";
    }
    if (*key_slot != 0) {
        return "the key stands twice";
    }
    s_row *row = malloc(sizeof *row);
    if (row == NULL) {
        return "out of memory";
    }
    *row = *source;
    row->entry = (pcl_key_entry){
        .name = row->name, .role = row->role, .public_key = row->public_key};
    self->rows[self->count++] = row;
    *key_slot = *name_slot = (uint32_t)self->count;
    return NULL;
}

static bool s_is_name(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= PCL_NAME_SIZE_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
               size;
}

const char *pcl_key_list_add(pcl_key_list *self, const char *name, const char *public_key,
                             const char *role)
{
    assert(self != NULL && name != NULL && role != NULL);
    if (!s_is_name(name)) {
        return "the name must be 1 to 63 of A-Z a-z 0-9 . _ -";
    }
    if (!pcl_key_valid(public_key)) {
        return "the name must be followed by a public key, 40 characters of Z85";
    }
    if (role[0] != '\0' && !s_is_name(role)) {
        return "the role must be 1 to 63 of A-Z a-z 0-9 . _ -";
    }
    s_row row = {.name = ""};
    snprintf(row.name, sizeof row.name, "%s", name);
    snprintf(row.public_key, sizeof row.public_key, "%s", public_key);
    snprintf(row.role, sizeof row.role, "%s", role);
    return s_add(self, &row);
}

/* One line without its end, which it may change; NULL, or the fault. */
static const char *s_read_line(pcl_key_list *self, char *line)
{
    static const char BLANKS[] = " \t\r";
    char *rest = NULL;
    const char *name = strtok_r(line, BLANKS, &rest);
    if (name == NULL || name[0] == '#') {
        return NULL;
    }
    const char *key = strtok_r(NULL, BLANKS, &rest);
    const char *role = strtok_r(NULL, BLANKS, &rest);
    const char *more = role != NULL && role[0] != '#' ? strtok_r(NULL, BLANKS, &rest) : NULL;
    if (role == NULL || role[0] == '#') {
        role = "";
    }
    if (more != NULL && more[0] != '#') {
        return "nothing may follow the role";
    }
    return pcl_key_list_add(self, name, key, role);
}

/* NULL, or the fault of line *out_line. */
static const char *s_parse(pcl_key_list *self, pcl_bytes text, size_t *out_line)
{
    *out_line = 0;
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        ++*out_line;
        if (size >= LINE_SIZE_MAX) {
            return "the line is too long";
        }
        if (memchr(text.data, '\0', size) != NULL) {
            return "a NUL octet stands here";
        }
        char line[LINE_SIZE_MAX];
        memcpy(line, text.data, size);
        line[size] = '\0';
        const char *fault = s_read_line(self, line);
        if (fault != NULL) {
            return fault;
        }
        size += end != NULL ? 1 : 0;
        text = pcl_bytes_of(text.data + size, text.size - size);
    }
    return NULL;
}

pcl_key_list *pcl_key_list_new(void)
{
    pcl_key_list *self = calloc(1, sizeof *self);
    if (self != NULL && !s_grow(self)) {
        pcl_key_list_destroy(&self);
    }
    return self;
}

pcl_key_list *pcl_key_list_read(pcl_bytes text, char *error, size_t error_size)
{
    assert(error != NULL);
    size_t line = 0;
    pcl_key_list *self = pcl_key_list_new();
    const char *fault = self == NULL ? "out of memory" : s_parse(self, text, &line);
    if (fault != NULL) {
        snprintf(error, error_size, "line %zu: %s", line, fault);
        pcl_key_list_destroy(&self);
    }
    return self;
}

pcl_key_list *pcl_key_list_load(const char *file, char *error, size_t error_size)
{
    assert(file != NULL && error != NULL);
    pcl_buffer text;
    pcl_buffer_init(&text, LIST_SIZE_MAX);
    pcl_key_list *self = NULL;
    if (pcl_file_read(&text, file, PCL_FILE_PUBLIC, error, error_size)) {
        char fault[256];
        self = pcl_key_list_read(pcl_buffer_bytes(&text), fault, sizeof fault);
        if (self == NULL) {
            snprintf(error, error_size, "%s: %s", file, fault);
        }
    }
    pcl_buffer_release(&text);
    return self;
}

pcl_key_list *pcl_key_list_copy(const pcl_key_list *self)
{
    assert(self != NULL);
    pcl_key_list *copy = pcl_key_list_new();
    assert(copy != NULL);
    for (size_t index = 0; index < self->count; index++) {
        const char *fault = s_add(copy, self->rows[index]);
        assert(fault == NULL);
    }
    return copy;
}

void pcl_key_list_destroy(pcl_key_list **self_p)
{
    assert(self_p != NULL);
    pcl_key_list *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t index = 0; index < self->count; index++) {
        free(self->rows[index]);
    }
    free(self->rows);
    free(self->by_key);
    free(self->by_name);
    free(self);
    *self_p = NULL;
}

const pcl_key_entry *pcl_key_list_find(const pcl_key_list *self, const char *public_key)
{
    assert(self != NULL && public_key != NULL);
    uint32_t slot = *s_slot(self, self->by_key, public_key);
    return slot == 0 ? NULL : &self->rows[slot - 1]->entry;
}

size_t pcl_key_list_count(const pcl_key_list *self)
{
    assert(self != NULL);
    return self->count;
}

const pcl_key_entry *pcl_key_list_at(const pcl_key_list *self, size_t index)
{
    assert(self != NULL);
    assert(index < self->count);
    return &self->rows[index]->entry;
}
