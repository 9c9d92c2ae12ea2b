#include "worker-agent/accounts.h"

#include "net/zpl.h"
#include "worker-agent/schemas.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE_MAX 1024u

static void s_wipe(void *memory, size_t size)
{
    volatile char *octets = memory;
    for (size_t index = 0; index < size; index++) {
        octets[index] = 0;
    }
}

pcl_accounts_list *pcl_accounts_list_new(void)
{
    pcl_accounts_list *self = calloc(1, sizeof *self);
    assert(self != NULL);
    return self;
}

void pcl_accounts_list_destroy(pcl_accounts_list **self_p)
{
    pcl_accounts_list *self = *self_p;
    if (self != NULL) {
        s_wipe(self, sizeof *self);
        free(self);
        *self_p = NULL;
    }
}

/* The first pattern without a wildcard. */
static void s_set_schemas(pcl_accounts *self, pcl_bytes schemas)
{
    assert(schemas.size < sizeof self->schemas);
    memcpy(self->schemas, schemas.data, schemas.size);
    self->schemas[schemas.size] = '\0';
    self->default_schema[0] = '\0';
    const char *cursor = self->schemas;
    pcl_bytes pattern;
    while ((pattern = pcl_schemas_next(&cursor)).size > 0) {
        if (memchr(pattern.data, '%', pattern.size) == NULL && pattern.size < PCL_SCHEMA_SIZE) {
            memcpy(self->default_schema, pattern.data, pattern.size);
            self->default_schema[pattern.size] = '\0';
            return;
        }
    }
}

pcl_accounts *pcl_accounts_list_add(pcl_accounts_list *self, pcl_bytes name, const char *schemas)
{
    assert(name.size > 0 && name.size <= PCL_NAME_SIZE_MAX);
    if (self->count == PCL_ACCOUNTS_MAX) {
        return NULL;
    }
    pcl_accounts *item = &self->items[self->count];
    item->index = self->count++;
    memcpy(item->name, name.data, name.size);
    s_set_schemas(item, pcl_bytes_text(schemas));
    return item;
}

const pcl_accounts *pcl_accounts_find(const pcl_accounts_list *self, pcl_bytes name)
{
    for (uint32_t index = 0; index < self->count; index++) {
        if (pcl_bytes_equal(pcl_bytes_text(self->items[index].name), name)) {
            return &self->items[index];
        }
    }
    return NULL;
}

/* --- The file ------------------------------------------------------------------ */

enum { KEY_COUNT = 5 };

static const char *const KEYS[KEY_COUNT] = {"read_user", "read_password_file", "write_user",
                                            "write_password_file", "schemas"};

enum { KEY_SCHEMAS = KEY_COUNT - 1 };

typedef struct parse {
    pcl_accounts_list *list;
    const pcl_accounts_rules *rules;
    pcl_buffer *problems;
    bool failed;
    uint32_t own_count; /* accounts that stood in the list before */
    /* Of each in the list: */
    uint32_t lines[PCL_ACCOUNTS_MAX];
    bool given[PCL_ACCOUNTS_MAX][KEY_COUNT];
} parse;

static void s_problem(parse *self, uint32_t line, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void s_problem(parse *self, uint32_t line, const char *path, const char *format, ...)
{
    char rule[LINE_SIZE_MAX];
    char text[LINE_SIZE_MAX + PCL_ZPL_PATH_SIZE_MAX + 64];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(rule, sizeof rule, format, values);
    va_end(values);
    (void)snprintf(text, sizeof text, ":%u: %s: %s\n", (unsigned)line, path, rule);
    pcl_buffer_put(self->problems, self->rules->file, strlen(self->rules->file));
    pcl_buffer_put(self->problems, text, strlen(text));
    self->failed = true;
}

/* The name at this depth of the path, from 0. */
static pcl_bytes s_part(const pcl_zpl *zpl, uint32_t depth)
{
    uint32_t begin = depth > 0 ? zpl->ends[depth - 1] + 1 : 0;
    return pcl_bytes_of(zpl->path + begin, zpl->ends[depth] - begin);
}

static pcl_accounts *s_named(parse *self, pcl_bytes name)
{
    const pcl_accounts *found = pcl_accounts_find(self->list, name);
    return found != NULL ? &self->list->items[found->index] : NULL;
}

static void s_add(parse *self, const pcl_zpl *zpl)
{
    pcl_bytes name = s_part(zpl, 1);
    const pcl_accounts *present = s_named(self, name);
    if (name.size > PCL_NAME_SIZE_MAX) {
        s_problem(self, zpl->line, zpl->path, "a name has at most %u octets", PCL_NAME_SIZE_MAX);
    } else if (present != NULL && present->index < self->own_count) {
        s_problem(self, zpl->line, zpl->path, "is what accounts/name calls the settings' own");
    } else if (present != NULL) {
        s_problem(self, zpl->line, zpl->path, "stands twice");
    } else {
        pcl_accounts *item = pcl_accounts_list_add(self->list, name, self->rules->schemas);
        if (item == NULL) {
            s_problem(self, zpl->line, zpl->path, "there may be at most %u accounts",
                      PCL_ACCOUNTS_MAX);
            return;
        }
        self->lines[item->index] = zpl->line;
    }
}

static bool s_is_user(pcl_bytes user)
{
    static const char SIGNS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    for (size_t index = 0; index < user.size; index++) {
        if (user.data[index] == '\0' || strchr(SIGNS, user.data[index]) == NULL) {
            return false;
        }
    }
    return user.size > 0 && user.size <= PCL_USER_SIZE_MAX;
}

static bool s_is_users(const pcl_accounts *item, pcl_bytes user)
{
    return pcl_bytes_equal(pcl_bytes_text(item->read_user), user) ||
           pcl_bytes_equal(pcl_bytes_text(item->write_user), user);
}

static void s_set_user(parse *self, const pcl_zpl *zpl, char target[PCL_USER_SIZE])
{
    pcl_bytes user = zpl->value;
    if (!s_is_user(user)) {
        s_problem(self, zpl->line, zpl->path, "must be 1 to %u letters, digits, _, - or .",
                  PCL_USER_SIZE_MAX);
        return;
    }
    static const char *const RESERVED[] = {PCL_USER_REPLICATION, PCL_USER_READ, PCL_USER_WRITE,
                                           "root", "mysql"};
    bool reserved = pcl_bytes_equal(user, pcl_bytes_text(self->rules->admin_user)) ||
                    (user.size > 5 && memcmp(user.data, "mysql.", 6) == 0) ||
                    (user.size > 7 && memcmp(user.data, "mariadb.", 8) == 0);
    for (size_t index = 0; index < sizeof RESERVED / sizeof RESERVED[0]; index++) {
        reserved = reserved || pcl_bytes_equal(user, pcl_bytes_text(RESERVED[index]));
    }
    if (reserved) {
        s_problem(self, zpl->line, zpl->path, "is an account that is not for roles");
        return;
    }
    for (uint32_t index = 0; index < self->list->count; index++) {
        if (s_is_users(&self->list->items[index], user)) {
            s_problem(self, zpl->line, zpl->path, "is an account of %s already",
                      self->list->items[index].name);
            return;
        }
    }
    memcpy(target, user.data, user.size);
    target[user.size] = '\0';
}

static void s_set_file(parse *self, const pcl_zpl *zpl, char target[PCL_PASSWORD_PATH_SIZE])
{
    pcl_bytes path = zpl->value;
    if (path.size == 0 || path.size >= PCL_PASSWORD_PATH_SIZE ||
        memchr(path.data, '\0', path.size) != NULL) {
        s_problem(self, zpl->line, zpl->path, "must be a path of 1 to %u octets",
                  PCL_PASSWORD_PATH_SIZE - 1);
        return;
    }
    memcpy(target, path.data, path.size);
    target[path.size] = '\0';
}

static void s_set_patterns(parse *self, const pcl_zpl *zpl, pcl_accounts *item)
{
    pcl_bytes patterns = zpl->value;
    if (patterns.size >= PCL_SCHEMAS_SIZE ||
        (patterns.size > 0 && memchr(patterns.data, '\0', patterns.size) != NULL)) {
        s_problem(self, zpl->line, zpl->path, "must be at most %u octets", PCL_SCHEMAS_SIZE - 1);
        return;
    }
    s_set_schemas(item, patterns);
    const char *cursor = item->schemas;
    pcl_bytes pattern = pcl_schemas_next(&cursor);
    if (pattern.size == 0) {
        s_problem(self, zpl->line, zpl->path, "must name a schema");
    }
    for (; pattern.size > 0; pattern = pcl_schemas_next(&cursor)) {
        const char *reserved = pcl_schemas_reserved(pattern);
        if (reserved != NULL) {
            s_problem(self, zpl->line, zpl->path,
                      "%.*s covers the schema %s, which is not for clients", (int)pattern.size,
                      (const char *)pattern.data, reserved);
        }
    }
}

static void s_set(parse *self, const pcl_zpl *zpl)
{
    pcl_accounts *item = s_named(self, s_part(zpl, 1));
    uint32_t key = 0;
    while (key < KEY_COUNT && !pcl_bytes_is(s_part(zpl, 2), KEYS[key])) {
        key++;
    }
    if (key == KEY_COUNT) {
        s_problem(self, zpl->line, zpl->path, "is not a key that is known here");
        return;
    }
    if (item == NULL || item->index < self->own_count) {
        return; /* its section was refused */
    }
    if (self->given[item->index][key]) {
        s_problem(self, zpl->line, zpl->path, "stands twice");
        return;
    }
    self->given[item->index][key] = true;
    switch (key) {
    case 0:
        s_set_user(self, zpl, item->read_user);
        break;
    case 1:
        s_set_file(self, zpl, item->read_password_file);
        break;
    case 2:
        s_set_user(self, zpl, item->write_user);
        break;
    case 3:
        s_set_file(self, zpl, item->write_password_file);
        break;
    default:
        s_set_patterns(self, zpl, item);
        break;
    }
}

static void s_read_item(parse *self, const pcl_zpl *zpl)
{
    bool known = zpl->depth <= 3 && pcl_bytes_is(s_part(zpl, 0), "accounts");
    bool is_key = zpl->depth == 3;
    if (!known) {
        s_problem(self, zpl->line, zpl->path, "is not a key that is known here");
    } else if (zpl->has_value != is_key) {
        s_problem(self, zpl->line, zpl->path, "%s",
                  is_key ? "must be followed by = and a value" : "is a section and has no value");
    } else if (is_key) {
        s_set(self, zpl);
    } else if (zpl->depth == 2) {
        s_add(self, zpl);
    }
}

static void s_check_complete(parse *self)
{
    for (uint32_t index = self->own_count; index < self->list->count; index++) {
        for (uint32_t key = 0; key < KEY_COUNT; key++) {
            char path[sizeof self->list->items[index].name + 48];
            (void)snprintf(path, sizeof path, "accounts/%s/%s", self->list->items[index].name,
                           KEYS[key]);
            if (key != KEY_SCHEMAS && !self->given[index][key]) {
                s_problem(self, self->lines[index], path, "must be given");
            }
        }
    }
}

bool pcl_accounts_parse(pcl_accounts_list *list, pcl_bytes text, const pcl_accounts_rules *rules,
                        pcl_buffer *problems)
{
    parse self = {.list = list, .rules = rules, .problems = problems, .own_count = list->count};
    pcl_zpl zpl;
    pcl_zpl_start(&zpl, text);
    for (;;) {
        pcl_zpl_result result = pcl_zpl_next(&zpl);
        if (result == PCL_ZPL_END) {
            break;
        }
        if (result == PCL_ZPL_ITEM) {
            s_read_item(&self, &zpl);
        } else {
            s_problem(&self, zpl.line, "line", "%s", zpl.fault);
        }
    }
    s_check_complete(&self);
    return !self.failed;
}
