/* realpath() is an X/Open extension. */
#define _XOPEN_SOURCE 700

#include "net/config.h"

#include "net/config_check.h"
#include "net/file.h"
#include "net/zpl.h"

#include <assert.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_SIZE_MAX = 1024 * 1024, LINE_SIZE_MAX = 2048, PATH_SIZE_MAX = 4096 };

typedef struct s_value {
    char *text;     /* owned; complete path where the type is one; NULL while not known */
    bool given;     /* stands in the file */
    bool misplaced; /* where it is could not be found out, and was said */
} s_value;

struct pcl_config {
    const pcl_config_entry *entries; /* borrowed */
    size_t entry_count;
    s_value *values;  /* owned; one an entry */
    char *folder;     /* of the file, complete; owned; NULL without a file */
    const char *file; /* as the caller of load named it; borrowed, only while that runs */
};

/* What one load needs beside the result. */
typedef struct s_load {
    pcl_config *config;
    const char *file; /* as the caller named it; NULL: defaults only */
    pcl_buffer *problems;
    bool failed;
} s_load;

__attribute__((format(printf, 2, 3))) static void s_put(pcl_buffer *buffer, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (size > 0) {
        pcl_buffer_put(buffer, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
    }
}

static void s_problem(s_load *load, const char *where, const char *rule)
{
    load->failed = true;
    s_put(load->problems, "%s: %s: %s\n", load->file == NULL ? "defaults" : load->file, where,
          rule);
}

static char *s_copy(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    assert(copy != NULL);
    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

static size_t s_index_of(const pcl_config *self, const char *path)
{
    size_t index = 0;
    while (index < self->entry_count && strcmp(self->entries[index].path, path) != 0) {
        index++;
    }
    return index;
}

static bool s_is_path(pcl_config_type type)
{
    return type == PCL_CONFIG_SECRET_KEY || type == PCL_CONFIG_KEY_LIST ||
           type == PCL_CONFIG_SECRET_FILE || type == PCL_CONFIG_PATH;
}

/* Takes a value for an entry; relative paths start from the file's folder. */
static void s_take(s_load *load, size_t index, pcl_bytes text)
{
    pcl_config *config = load->config;
    char *value = s_copy((const char *)text.data, text.size);
    if (s_is_path(config->entries[index].type) && value[0] != '\0') {
        char path[PATH_SIZE_MAX];
        char error[LINE_SIZE_MAX];
        if (!pcl_file_locate(path, sizeof path, config->folder, value, error, sizeof error)) {
            s_problem(load, config->entries[index].path, error);
        }
        free(value);
        value = s_copy(path, strlen(path));
        config->values[index].misplaced = path[0] == '\0';
    }
    config->values[index].text = value;
}

static bool s_is_section(const pcl_config *config, const char *path)
{
    size_t size = strlen(path);
    for (size_t index = 0; index < config->entry_count; index++) {
        const char *known = config->entries[index].path;
        if (strncmp(known, path, size) == 0 && known[size] == '/') {
            return true;
        }
    }
    return false;
}

static void s_read_item(s_load *load, const pcl_zpl *zpl)
{
    pcl_config *config = load->config;
    size_t index = s_index_of(config, zpl->path);
    char where[PCL_ZPL_PATH_SIZE_MAX + 32];
    snprintf(where, sizeof where, "line %u: %s", (unsigned)zpl->line, zpl->path);
    if (index == config->entry_count) {
        if (zpl->has_value || !s_is_section(config, zpl->path)) {
            s_problem(load, where, "is not a key that is known here");
        }
        return;
    }
    if (!zpl->has_value) {
        s_problem(load, where, "must be followed by = and a value");
        return;
    }
    if (config->values[index].given) {
        s_problem(load, where, "stands twice");
        return;
    }
    config->values[index].given = true;
    s_take(load, index, zpl->value);
}

static void s_read_text(s_load *load, pcl_bytes text)
{
    pcl_zpl zpl;
    pcl_zpl_start(&zpl, text);
    for (;;) {
        pcl_zpl_result result = pcl_zpl_next(&zpl);
        if (result == PCL_ZPL_END) {
            return;
        }
        if (result == PCL_ZPL_ITEM) {
            s_read_item(load, &zpl);
            continue;
        }
        char where[32];
        snprintf(where, sizeof where, "line %u", (unsigned)zpl.line);
        s_problem(load, where, zpl.fault);
    }
}

static bool s_find_folder(s_load *load)
{
    char *file = s_copy(load->file, strlen(load->file));
    load->config->folder = realpath(dirname(file), NULL);
    free(file);
    return load->config->folder != NULL;
}

static void s_read_file(s_load *load)
{
    char error[LINE_SIZE_MAX];
    pcl_buffer text;
    pcl_buffer_init(&text, FILE_SIZE_MAX);
    if (!pcl_file_read(&text, load->file, PCL_FILE_PUBLIC, error, sizeof error)) {
        load->failed = true;
        s_put(load->problems, "%s\n", error);
    } else if (!s_find_folder(load)) {
        s_problem(load, "folder", "cannot be found");
    } else {
        s_read_text(load, pcl_buffer_bytes(&text));
    }
    pcl_buffer_release(&text);
}

/* Defaults for what was not given, then every value against its rule. */
static void s_complete(s_load *load)
{
    pcl_config *config = load->config;
    for (size_t index = 0; index < config->entry_count; index++) {
        const pcl_config_entry *entry = &config->entries[index];
        s_value *value = &config->values[index];
        if (value->text == NULL && entry->default_text != NULL) {
            s_take(load, index, pcl_bytes_text(entry->default_text));
        }
        if (value->text == NULL && load->file != NULL) {
            s_problem(load, entry->path, "must be given");
        }
        if (value->text == NULL) {
            s_take(load, index, pcl_bytes_of(NULL, 0));
            continue;
        }
        char rule[LINE_SIZE_MAX];
        if (!value->misplaced &&
            !pcl_config_check(entry, value->text, load->file != NULL, rule, sizeof rule)) {
            s_problem(load, entry->path, rule);
        }
    }
}

void pcl_config_problem(const pcl_config *self, pcl_buffer *problems, const char *path,
                        const char *format, ...)
{
    assert(self != NULL && self->file != NULL && problems != NULL);
    assert(s_index_of(self, path) < self->entry_count);
    char rule[LINE_SIZE_MAX];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(rule, sizeof rule, format, values);
    va_end(values);
    s_put(problems, "%s: %s: %s\n", self->file, path, rule);
}

/* The role's own check of a file that was read to its end. */
static void s_check(s_load *load, pcl_config_checker *check)
{
    size_t size = load->problems->size;
    check(load->config, load->problems);
    load->failed = load->failed || load->problems->failed || load->problems->size != size;
}

pcl_config *pcl_config_load(const pcl_config_entry *entries, size_t entry_count,
                            pcl_config_checker *check, const char *file, pcl_buffer *problems)
{
    assert(entries != NULL && problems != NULL);
    pcl_config *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->entries = entries;
    self->entry_count = entry_count;
    self->file = file;
    self->values = calloc(entry_count + 1, sizeof *self->values);
    assert(self->values != NULL);
    s_load load = {.config = self, .file = file, .problems = problems};
    if (file != NULL) {
        s_read_file(&load);
    }
    if (file == NULL || self->folder != NULL) {
        s_complete(&load);
    }
    if (check != NULL && self->folder != NULL) {
        s_check(&load, check);
    }
    self->file = NULL;
    if (load.failed) {
        pcl_config_destroy(&self);
    }
    return self;
}

pcl_config *pcl_config_renew(const pcl_config *old_config, pcl_config_checker *check,
                             const char *file, pcl_buffer *problems)
{
    assert(old_config != NULL && file != NULL && problems != NULL);
    pcl_config *self = calloc(1, sizeof *self);
    assert(self != NULL);
    self->entries = old_config->entries;
    self->entry_count = old_config->entry_count;
    self->values = calloc(self->entry_count + 1, sizeof *self->values);
    assert(self->values != NULL);
    for (size_t index = 0; index < self->entry_count; index++) {
        const s_value *value = &old_config->values[index];
        self->values[index] = (s_value){.text = s_copy(value->text, strlen(value->text)),
                                        .given = value->given};
    }
    if (old_config->folder != NULL) {
        self->folder = s_copy(old_config->folder, strlen(old_config->folder));
    }
    self->file = file;
    s_load load = {.config = self, .file = file, .problems = problems};
    s_complete(&load);
    if (check != NULL) {
        s_check(&load, check);
    }
    self->file = NULL;
    if (load.failed) {
        pcl_config_destroy(&self);
    }
    return self;
}

const char *pcl_config_watched(const pcl_config *self, size_t *cursor)
{
    assert(self != NULL && cursor != NULL);
    while (*cursor < self->entry_count) {
        size_t index = (*cursor)++;
        const char *text = self->values[index].text;
        if (self->entries[index].reloadable && s_is_path(self->entries[index].type) &&
            text[0] != '\0') {
            return text;
        }
    }
    return NULL;
}

void pcl_config_destroy(pcl_config **self_p)
{
    assert(self_p != NULL);
    pcl_config *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t index = 0; index < self->entry_count; index++) {
        free(self->values[index].text);
    }
    free(self->values);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

/* --- Values ----------------------------------------------------------------- */

static const char *s_text_of(const pcl_config *self, const char *path, pcl_config_type *out_type)
{
    assert(self != NULL && path != NULL);
    size_t index = s_index_of(self, path);
    assert(index < self->entry_count);
    *out_type = self->entries[index].type;
    return self->values[index].text;
}

bool pcl_config_bool(const pcl_config *self, const char *path)
{
    pcl_config_type type;
    const char *text = s_text_of(self, path, &type);
    assert(type == PCL_CONFIG_BOOL);
    return text[0] == '1';
}

uint64_t pcl_config_uint(const pcl_config *self, const char *path)
{
    pcl_config_type type;
    const char *text = s_text_of(self, path, &type);
    assert(type == PCL_CONFIG_UINT);
    return strtoull(text, NULL, 10);
}

const char *pcl_config_text(const pcl_config *self, const char *path)
{
    pcl_config_type type;
    const char *text = s_text_of(self, path, &type);
    assert(type != PCL_CONFIG_BOOL && type != PCL_CONFIG_UINT);
    return text;
}

/* --- Showing ---------------------------------------------------------------- */

static size_t s_section_size(const char *path)
{
    const char *slash = strchr(path, '/');
    assert(slash != NULL && strchr(slash + 1, '/') == NULL); /* of our own table */
    return (size_t)(slash - path);
}

static bool s_same_section(const pcl_config_entry *a, const pcl_config_entry *b)
{
    size_t size = s_section_size(a->path);
    return size == s_section_size(b->path) && strncmp(a->path, b->path, size) == 0;
}

static void s_print_entry(const pcl_config *self, size_t index, pcl_buffer *buffer)
{
    const pcl_config_entry *entry = &self->entries[index];
    const char *text = self->values[index].text;
    const char *name = entry->path + s_section_size(entry->path) + 1;
    char rule[LINE_SIZE_MAX];
    pcl_config_rule(entry, rule, sizeof rule);
    s_put(buffer, "    # %s\n    # %s%s\n", entry->help, rule,
          entry->reloadable ? "; taken over on SIGHUP" : "");
    if (entry->type == PCL_CONFIG_BOOL || entry->type == PCL_CONFIG_UINT) {
        s_put(buffer, "    %s = %s\n", name, text[0] == '\0' ? "0" : text);
    } else {
        char quote = strchr(text, '"') == NULL ? '"' : '\'';
        s_put(buffer, "    %s = %c%s%c\n", name, quote, text, quote);
    }
}

void pcl_config_print(const pcl_config *self, pcl_buffer *buffer)
{
    assert(self != NULL && buffer != NULL);
    for (size_t first = 0; first < self->entry_count; first++) {
        const pcl_config_entry *head = &self->entries[first];
        bool printed = false;
        for (size_t index = 0; index < first; index++) {
            printed = printed || s_same_section(head, &self->entries[index]);
        }
        if (printed) {
            continue;
        }
        s_put(buffer, "%s%.*s\n", first > 0 ? "\n" : "", (int)s_section_size(head->path),
              head->path);
        for (size_t index = first; index < self->entry_count; index++) {
            if (s_same_section(head, &self->entries[index])) {
                s_print_entry(self, index, buffer);
            }
        }
    }
}

/* One line for each entry that differs and is reloadable, or is not. */
static void s_changes(const pcl_config *old_config, const pcl_config *new_config, bool reloadable,
                      pcl_buffer *changes)
{
    assert(old_config != NULL && new_config != NULL && changes != NULL);
    assert(old_config->entries == new_config->entries);
    for (size_t index = 0; index < old_config->entry_count; index++) {
        const pcl_config_entry *entry = &old_config->entries[index];
        const char *before = old_config->values[index].text;
        const char *after = new_config->values[index].text;
        if (entry->reloadable == reloadable && strcmp(before, after) != 0) {
            s_put(changes, "%s: %s -> %s\n", entry->path, before, after);
        }
    }
}

void pcl_config_unreloadable(const pcl_config *old_config, const pcl_config *new_config,
                             pcl_buffer *changes)
{
    s_changes(old_config, new_config, false, changes);
}

void pcl_config_reloadable(const pcl_config *old_config, const pcl_config *new_config,
                           pcl_buffer *changes)
{
    s_changes(old_config, new_config, true, changes);
}
