/* The file: sections `policy`, `roles` with a section for each role, and `principals` with a line
 * for each.  The first pass reads lines and complains of each by itself; then what they say of each
 * other is looked at.  Nothing is handed out that has one mistake. */
#include "net/zpl.h"
#include "policy/internal.h"
#include "policy/pattern.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of `principals`, until all roles are known. */
typedef struct member {
    pcl_policy_principal principal;
    pcl_bytes role; /* borrowed from the text */
    uint32_t line;
} member;

typedef struct parser {
    const char *name;
    pcl_buffer *problems;
    bool bad;
    uint32_t sections; /* bits 1u << section */
    pcl_policy_role roles[PCL_POLICY_ROLES_MAX];
    uint32_t role_lines[PCL_POLICY_ROLES_MAX];
    uint64_t keys[PCL_POLICY_ROLES_MAX]; /* bits of the keys that the role has said */
    uint32_t role_count;
    bool skip_role; /* what follows belongs to a role that was complained of */
    bool has_version;
    member *pending; /* owned */
    uint32_t pending_count;
    uint32_t pending_capacity;
} parser;

static void s_complain(parser *self, uint32_t line, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* path NULL: the line is none that could be read. */
static void s_complain(parser *self, uint32_t line, const char *path, const char *format, ...)
{
    char text[1024];
    char rule[512];
    char place[16] = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rule, sizeof rule, format, arguments);
    va_end(arguments);
    if (line != 0) {
        (void)snprintf(place, sizeof place, "%u:", line);
    }
    int size = snprintf(text, sizeof text, ":%s %s%s%s\n", place, path == NULL ? "" : path,
                        path == NULL ? "" : ": ", rule);
    self->bad = true;
    pcl_buffer_put(self->problems, self->name, strlen(self->name));
    pcl_buffer_put(self->problems, text, (size_t)size < sizeof text ? (size_t)size : sizeof text);
}

/* --- Values -------------------------------------------------------------------- */

/* Names go into heads, logs and key lists. */
static bool s_is_name(pcl_bytes text)
{
    static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] == '\0' || strchr(ALLOWED, text.data[index]) == NULL) {
            return false;
        }
    }
    return text.size > 0 && text.size <= PCL_NAME_SIZE_MAX;
}

#define NAME_RULE "must be 1 to 63 of letters, digits, '.', '_' and '-'"

static void s_copy(char *target, pcl_bytes text)
{
    memcpy(target, text.data, text.size);
    target[text.size] = '\0';
}

/* Octets that Z85 text stands for, a group of five characters a number below 2^32. */
static bool s_is_key(pcl_bytes text)
{
    static const char ALPHABET[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    if (text.size != PCL_POLICY_KEY_SIZE - 1) {
        return false;
    }
    uint64_t group = 0;
    for (size_t index = 0; index < text.size; index++) {
        const char *found = text.data[index] == '\0' ? NULL
                                                     : strchr(ALPHABET, (char)text.data[index]);
        if (found == NULL) {
            return false;
        }
        group = (index % 5 == 0 ? 0 : group * 85) + (uint64_t)(found - ALPHABET);
        if (group > UINT32_MAX) {
            return false;
        }
    }
    return true;
}

static bool s_is_blank(uint8_t octet)
{
    return octet == ' ' || octet == '\t';
}

/* The next of the words of *text, which moves behind it; empty at the end. */
static pcl_bytes s_word(pcl_bytes *text)
{
    size_t start = 0;
    while (start < text->size && s_is_blank(text->data[start])) {
        start++;
    }
    size_t end = start;
    while (end < text->size && !s_is_blank(text->data[end])) {
        end++;
    }
    if (text->size == 0) {
        return *text;
    }
    pcl_bytes word = pcl_bytes_of(text->data + start, end - start);
    *text = pcl_bytes_of(text->data + end, text->size - end);
    return word;
}

static bool s_number(pcl_bytes text, uint32_t *out_value)
{
    uint64_t value = 0;
    if (text.size == 0 || text.size > 10) {
        return false;
    }
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] < '0' || text.data[index] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[index] - '0');
    }
    *out_value = (uint32_t)value;
    return value <= UINT32_MAX;
}

/* --- Keys of a role ---------------------------------------------------------------- */

typedef enum key_kind {
    KEY_NUMBER,
    KEY_ACCOUNTS,
    KEY_CLASSES,
    KEY_SCHEMAS,
    KEY_STRATEGIES,
    KEY_SEAL,
    KEY_DIGESTS,
    KEY_DIGEST_LIST,
    KEY_DRY_RUN,
} key_kind;

typedef struct role_key {
    const char *name;
    key_kind kind;
    uint32_t min, max; /* of a number */
    size_t offset;     /* ... where it goes */
} role_key;

#define NUMBER(name, min, max)                                                                     \
    {                                                                                              \
#name, KEY_NUMBER, min, max, offsetof(pcl_policy_role, name)                               \
    }

static const role_key s_keys[] = {
    {"accounts", KEY_ACCOUNTS, 0, 0, 0},
    {"classes", KEY_CLASSES, 0, 0, 0},
    {"schemas", KEY_SCHEMAS, 0, 0, 0},
    {"strategies", KEY_STRATEGIES, 0, 0, 0},
    NUMBER(timeout_ms_max, 1, PCL_TIMEOUT_MS_MAX),
    NUMBER(rows_max, 0, UINT32_MAX),
    NUMBER(rate, 0, 1000000),
    NUMBER(burst, 0, 1000000),
    NUMBER(concurrency_max, 0, PCL_INFLIGHT_MAX),
    NUMBER(share, 1, 1000),
    NUMBER(priority, 0, 2),
    {"seal", KEY_SEAL, 0, 0, 0},
    {"digests", KEY_DIGESTS, 0, 0, 0},
    {"digest_list", KEY_DIGEST_LIST, 0, 0, 0},
    {"dry_run", KEY_DRY_RUN, 0, 0, 0},
};

enum { KEY_COUNT = sizeof s_keys / sizeof s_keys[0] };

static void s_read_number(parser *self, const pcl_zpl *zpl, const role_key *key,
                          pcl_policy_role *role)
{
    uint32_t value = 0;
    if (!s_number(zpl->value, &value) || value < key->min || value > key->max) {
        s_complain(self, zpl->line, zpl->path, "must be a number from %u to %u", key->min,
                   key->max);
        return;
    }
    memcpy((char *)role + key->offset, &value, sizeof value);
}

/* One bit for each word of the value; words that are none are complained of one by one. */
static uint32_t s_read_bits(parser *self, const pcl_zpl *zpl, int (*find)(pcl_bytes word),
                            const char *rule)
{
    pcl_bytes rest = zpl->value;
    uint32_t bits = 0;
    for (pcl_bytes word = s_word(&rest); word.size > 0; word = s_word(&rest)) {
        int value = find(word);
        if (value < 0) {
            s_complain(self, zpl->line, zpl->path, "'%.*s' is none of %s",
                       (int)(word.size < 40 ? word.size : 40), (const char *)word.data, rule);
        } else {
            bits |= 1u << value;
        }
    }
    return bits;
}

static int s_find_class(pcl_bytes word)
{
    for (int value = PCL_SQL_NONE; value < PCL_SQL_CLASS_COUNT; value++) {
        const char *name = pcl_policy_class_text((pcl_sql_class)value);
        if (name != NULL && pcl_bytes_is(word, name)) {
            return value;
        }
    }
    return -1;
}

static int s_find_strategy(pcl_bytes word)
{
    pcl_strategy_kind kind = PCL_STRATEGY_DEFAULT;
    bool known = pcl_strategy_parse(word, &kind) && kind != PCL_STRATEGY_DEFAULT;
    return known ? (int)kind : -1;
}

static int s_find_dry_rule(pcl_bytes word)
{
    for (int value = 0; value < PCL_POLICY_RULE_COUNT; value++) {
        bool dry = (PCL_POLICY_DRY_RULES & 1u << value) != 0;
        if (dry && pcl_bytes_is(word, pcl_policy_rule_text((pcl_policy_rule)value))) {
            return value;
        }
    }
    return -1;
}

static void s_read_classes(parser *self, const pcl_zpl *zpl, pcl_policy_role *role)
{
    role->classes = s_read_bits(self, zpl, s_find_class,
                                "read, locking_read, write, call, ddl, transaction, state, admin");
}

static void s_read_strategies(parser *self, const pcl_zpl *zpl, pcl_policy_role *role)
{
    role->strategies = 1u << PCL_STRATEGY_DEFAULT |
                       s_read_bits(self, zpl, s_find_strategy, PCL_STRATEGY_NAMES(", "));
}

static void s_read_dry_run(parser *self, const pcl_zpl *zpl, pcl_policy_role *role)
{
    role->dry_run = s_read_bits(
        self, zpl, s_find_dry_rule,
        "seal, class, schema, strategy, timeout, rows, digest, rate, concurrency");
}

static void s_read_schemas(parser *self, const pcl_zpl *zpl, pcl_policy_role *role)
{
    if (zpl->value.size >= sizeof role->schemas) {
        s_complain(self, zpl->line, zpl->path, "must have at most %zu octets",
                   sizeof role->schemas - 1);
        return;
    }
    s_copy(role->schemas, zpl->value);
    const char *cursor = role->schemas;
    pcl_bytes pattern = pcl_pattern_next(&cursor);
    if (pattern.size == 0) { /* whoever writes that means none, and would get all */
        s_complain(self, zpl->line, zpl->path, "must name a schema; left out it is any");
    }
    for (; pattern.size > 0; pattern = pcl_pattern_next(&cursor)) {
        const char *wrong = pcl_pattern_check(pattern);
        if (wrong != NULL) {
            s_complain(self, zpl->line, zpl->path, "%s", wrong);
        }
    }
}

static void s_read_choice(parser *self, const pcl_zpl *zpl, const char *const *choices, int *out)
{
    char list[128] = "";
    for (int value = 0; choices[value] != NULL; value++) {
        if (pcl_bytes_is(zpl->value, choices[value])) {
            *out = value;
            return;
        }
        size_t size = strlen(list);
        (void)snprintf(list + size, sizeof list - size, "%s%s", value == 0 ? "" : ", ",
                       choices[value]);
    }
    s_complain(self, zpl->line, zpl->path, "must be one of %s", list);
}

static void s_read_digest_list(parser *self, const pcl_zpl *zpl, pcl_policy_role *role)
{
    bool fits = zpl->value.size > 0 && zpl->value.size < sizeof role->digest_list;
    for (size_t index = 0; fits && index < zpl->value.size; index++) {
        fits = zpl->value.data[index] >= 0x20 && zpl->value.data[index] != 0x7f;
    }
    if (!fits) {
        s_complain(self, zpl->line, zpl->path, "must be a path of 1 to %zu octets",
                   sizeof role->digest_list - 1);
        return;
    }
    s_copy(role->digest_list, zpl->value);
}

static void s_read_key(parser *self, const pcl_zpl *zpl, const role_key *key, pcl_policy_role *role)
{
    static const char *const SEALS[] = {"auto", "required", "optional", NULL};
    static const char *const DIGESTS[] = {"off", "detect", "protect", NULL};
    int choice = 0;
    switch (key->kind) {
    case KEY_NUMBER:
        s_read_number(self, zpl, key, role);
        break;
    case KEY_ACCOUNTS:
        if (s_is_name(zpl->value)) {
            s_copy(role->accounts, zpl->value);
        } else {
            s_complain(self, zpl->line, zpl->path, NAME_RULE);
        }
        break;
    case KEY_CLASSES:
        s_read_classes(self, zpl, role);
        break;
    case KEY_SCHEMAS:
        s_read_schemas(self, zpl, role);
        break;
    case KEY_STRATEGIES:
        s_read_strategies(self, zpl, role);
        break;
    case KEY_SEAL:
        s_read_choice(self, zpl, SEALS, &choice);
        role->seal = (pcl_policy_seal)choice;
        break;
    case KEY_DIGESTS:
        s_read_choice(self, zpl, DIGESTS, &choice);
        role->digests = (pcl_policy_digests)choice;
        break;
    case KEY_DIGEST_LIST:
        s_read_digest_list(self, zpl, role);
        break;
    case KEY_DRY_RUN:
        s_read_dry_run(self, zpl, role);
        break;
    }
}

/* --- Lines --------------------------------------------------------------------------- */

/* The last name of the path. */
static const char *s_leaf(const pcl_zpl *zpl)
{
    return zpl->path + (zpl->depth > 1 ? zpl->ends[zpl->depth - 2] + 1 : 0);
}

static bool s_begins(const pcl_zpl *zpl, const char *section)
{
    size_t size = strlen(section);
    return strncmp(zpl->path, section, size) == 0 &&
           (zpl->path[size] == '\0' || zpl->path[size] == '/');
}

static void s_read_section(parser *self, const pcl_zpl *zpl)
{
    static const char *const SECTIONS[] = {"policy", "roles", "principals"};
    for (unsigned index = 0; index < sizeof SECTIONS / sizeof SECTIONS[0]; index++) {
        if (strcmp(zpl->path, SECTIONS[index]) != 0) {
            continue;
        }
        if (zpl->has_value) {
            s_complain(self, zpl->line, zpl->path, "is a section and has no value");
        } else if ((self->sections & 1u << index) != 0) {
            s_complain(self, zpl->line, zpl->path, "stands twice");
        }
        self->sections |= 1u << index;
        return;
    }
    s_complain(self, zpl->line, zpl->path, "must be policy, roles or principals");
}

static void s_read_version(parser *self, const pcl_zpl *zpl)
{
    if (strcmp(zpl->path, "policy/version") != 0) {
        s_complain(self, zpl->line, zpl->path, "there is no such setting");
    } else if (self->has_version) {
        s_complain(self, zpl->line, zpl->path, "stands twice");
    } else if (!zpl->has_value || !pcl_bytes_is(zpl->value, "1")) {
        s_complain(self, zpl->line, zpl->path, "must be 1");
    }
    self->has_version = self->has_version || strcmp(zpl->path, "policy/version") == 0;
}

static const pcl_policy_role *s_find_role(const parser *self, pcl_bytes name)
{
    for (uint32_t index = 0; index < self->role_count; index++) {
        if (pcl_bytes_is(name, self->roles[index].name)) {
            return &self->roles[index];
        }
    }
    return NULL;
}

static void s_start_role(parser *self, const pcl_zpl *zpl)
{
    pcl_bytes name = pcl_bytes_text(s_leaf(zpl));
    self->skip_role = true;
    if (zpl->has_value) {
        s_complain(self, zpl->line, zpl->path, "is a section and has no value");
    } else if (!s_is_name(name)) {
        s_complain(self, zpl->line, zpl->path, "a role's name " NAME_RULE);
    } else if (s_find_role(self, name) != NULL) {
        s_complain(self, zpl->line, zpl->path, "stands twice");
    } else if (self->role_count == PCL_POLICY_ROLES_MAX) {
        s_complain(self, zpl->line, zpl->path, "there are more than %u roles",
                   PCL_POLICY_ROLES_MAX);
    } else {
        pcl_policy_role *role = &self->roles[self->role_count];
        pcl_policy_role_init(role);
        role->index = self->role_count;
        s_copy(role->name, name);
        s_copy(role->accounts, name);
        self->role_lines[self->role_count++] = zpl->line;
        self->skip_role = false;
    }
}

/* Whether the line stands below the role that was read last: not when that role's line was wrong.
 */
static bool s_is_of_role(const parser *self, const pcl_zpl *zpl)
{
    if (self->skip_role || self->role_count == 0 || zpl->depth < 2) {
        return false;
    }
    uint32_t start = zpl->ends[0] + 1;
    return pcl_bytes_is(pcl_bytes_of(zpl->path + start, zpl->ends[1] - start),
                        self->roles[self->role_count - 1].name);
}

static void s_read_role_line(parser *self, const pcl_zpl *zpl)
{
    if (zpl->depth == 2) {
        s_start_role(self, zpl);
        return;
    }
    uint32_t role = self->role_count - 1;
    bool known = s_is_of_role(self, zpl);
    for (uint32_t index = 0; zpl->depth == 3 && index < KEY_COUNT; index++) {
        if (strcmp(s_leaf(zpl), s_keys[index].name) != 0) {
            continue;
        }
        if (!zpl->has_value) {
            s_complain(self, zpl->line, zpl->path, "must have a value");
        } else if (!known) {
            pcl_policy_role nobody = {0}; /* its values are looked at all the same */
            s_read_key(self, zpl, &s_keys[index], &nobody);
        } else if ((self->keys[role] & UINT64_C(1) << index) != 0) {
            s_complain(self, zpl->line, zpl->path, "stands twice");
        } else {
            self->keys[role] |= UINT64_C(1) << index;
            s_read_key(self, zpl, &s_keys[index], &self->roles[role]);
        }
        return;
    }
    s_complain(self, zpl->line, zpl->path, "there is no such setting");
}

static bool s_add_pending(parser *self, const member *made)
{
    if (self->pending_count == self->pending_capacity) {
        uint32_t capacity = self->pending_capacity == 0 ? 64 : self->pending_capacity * 2;
        member *grown = realloc(self->pending, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        self->pending = grown;
        self->pending_capacity = capacity;
    }
    self->pending[self->pending_count++] = *made;
    return true;
}

static void s_read_principal(parser *self, const pcl_zpl *zpl)
{
    member made = {.line = zpl->line};
    pcl_bytes name = pcl_bytes_text(s_leaf(zpl));
    pcl_bytes rest = zpl->value;
    made.role = s_word(&rest);
    pcl_bytes key = s_word(&rest);
    if (zpl->depth != 2 || !zpl->has_value) {
        s_complain(self, zpl->line, zpl->path, "must be a line: NAME = \"ROLE PUBLIC-KEY\"");
        return;
    }
    if (!s_is_name(name)) {
        s_complain(self, zpl->line, zpl->path, "a principal's name " NAME_RULE);
        return;
    }
    if (made.role.size == 0 || s_word(&rest).size > 0) {
        s_complain(self, zpl->line, zpl->path, "must be \"ROLE PUBLIC-KEY\"");
        return;
    }
    if (key.size > 0 && !s_is_key(key)) {
        s_complain(self, zpl->line, zpl->path,
                   "the public key must be 40 characters of Z85, and all in quotes");
        return;
    }
    s_copy(made.principal.name, name);
    s_copy(made.principal.public_key, key);
    if (self->pending_count == PCL_POLICY_PRINCIPALS_MAX) {
        s_complain(self, zpl->line, zpl->path, "there are more than %u principals",
                   PCL_POLICY_PRINCIPALS_MAX);
    } else if (!s_add_pending(self, &made)) {
        s_complain(self, zpl->line, zpl->path, "no memory");
    }
}

static void s_read_lines(parser *self, pcl_bytes text)
{
    pcl_zpl zpl;
    pcl_zpl_result result;
    pcl_zpl_start(&zpl, text);
    while ((result = pcl_zpl_next(&zpl)) != PCL_ZPL_END) {
        if (result == PCL_ZPL_BAD) {
            s_complain(self, zpl.line, NULL, "%s", zpl.fault);
        } else if (zpl.depth == 1) {
            s_read_section(self, &zpl);
        } else if (s_begins(&zpl, "policy")) {
            s_read_version(self, &zpl);
        } else if (s_begins(&zpl, "roles")) {
            s_read_role_line(self, &zpl);
        } else if (s_begins(&zpl, "principals")) {
            s_read_principal(self, &zpl);
        } /* of another section it was said that it is none */
    }
}

/* --- What they say of each other ------------------------------------------------------- */

static bool s_said(const parser *self, uint32_t role, const char *name)
{
    for (uint32_t index = 0; index < KEY_COUNT; index++) {
        if (strcmp(s_keys[index].name, name) == 0) {
            return (self->keys[role] & UINT64_C(1) << index) != 0;
        }
    }
    return false;
}

static void s_check_role(parser *self, uint32_t index)
{
    const pcl_policy_role *role = &self->roles[index];
    uint32_t line = self->role_lines[index];
    char path[PCL_POLICY_NAME_SIZE + 16];
    (void)snprintf(path, sizeof path, "roles/%s", role->name);
    if (role->digests != PCL_POLICY_DIGESTS_OFF && role->digest_list[0] == '\0') {
        s_complain(self, line, path, "digests need a digest_list");
    }
    if (role->burst != 0 && role->rate == 0) {
        s_complain(self, line, path, "burst goes with a rate only");
    }
    if (s_said(self, index, "classes") && role->classes == 0) {
        s_complain(self, line, path, "classes: none is left");
    }
    for (uint32_t other = 0; other < index; other++) {
        const char *list = self->roles[other].digest_list;
        if (list[0] != '\0' && strcmp(list, role->digest_list) == 0) {
            s_complain(self, line, path, "digest_list is that of the role %s too",
                       self->roles[other].name);
        }
    }
}

static int s_by_name(const void *left, const void *right)
{
    const member *a = left;
    const member *b = right;
    int order = strcmp(a->principal.name, b->principal.name);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static int s_by_key(const void *left, const void *right)
{
    const member *a = left;
    const member *b = right;
    int order = strcmp(a->principal.public_key, b->principal.public_key);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static int s_by_line(const void *left, const void *right)
{
    const member *a = left;
    const member *b = right;
    return (a->line > b->line) - (a->line < b->line);
}

static void s_complain_of(parser *self, const member *whose, const char *rule, const char *other)
{
    char path[PCL_POLICY_NAME_SIZE + 16];
    (void)snprintf(path, sizeof path, "principals/%s", whose->principal.name);
    s_complain(self, whose->line, path, "%s%s", rule, other);
}

/* Leaves the principals sorted by name. */
static void s_check_principals(parser *self)
{
    size_t count = self->pending_count;
    member *all = self->pending;
    if (count == 0) {
        return;
    }
    qsort(all, count, sizeof *all, s_by_line);
    for (size_t index = 0; index < count; index++) {
        const pcl_policy_role *role = s_find_role(self, all[index].role);
        all[index].principal.role = role;
        if (role == NULL) {
            s_complain_of(self, &all[index], "there is no such role", "");
        } else if (role->seal == PCL_POLICY_SEAL_REQUIRED &&
                   all[index].principal.public_key[0] == '\0') {
            s_complain_of(self, &all[index], "needs a public key, for the role's seal is required",
                          "");
        }
    }
    qsort(all, count, sizeof *all, s_by_key);
    for (size_t index = 1; index < count; index++) {
        const char *key = all[index].principal.public_key;
        if (key[0] != '\0' && strcmp(key, all[index - 1].principal.public_key) == 0) {
            s_complain_of(self, &all[index], "the public key is also that of ",
                          all[index - 1].principal.name);
        }
    }
    qsort(all, count, sizeof *all, s_by_name);
    for (size_t index = 1; index < count; index++) {
        if (strcmp(all[index].principal.name, all[index - 1].principal.name) == 0) {
            s_complain_of(self, &all[index], "stands twice", "");
        }
    }
}

static void s_check(parser *self)
{
    if (!self->has_version) {
        s_complain(self, 0, "policy/version", "is required");
    }
    if (self->role_count == 0) {
        s_complain(self, 0, "roles", "there is none");
    }
    for (uint32_t index = 0; index < self->role_count; index++) {
        s_check_role(self, index);
    }
    s_check_principals(self);
}

/* NULL: no memory. */
static pcl_policy *s_make(const parser *self)
{
    pcl_policy *made = calloc(1, sizeof *made);
    pcl_policy_role *roles = calloc(self->role_count, sizeof *roles);
    pcl_policy_principal *principals = calloc(self->pending_count + 1u, sizeof *principals);
    if (made == NULL || roles == NULL || principals == NULL) {
        free(made);
        free(roles);
        free(principals);
        return NULL;
    }
    memcpy(roles, self->roles, self->role_count * sizeof *roles);
    for (uint32_t index = 0; index < self->pending_count; index++) {
        principals[index] = self->pending[index].principal;
        principals[index].role = &roles[self->pending[index].principal.role->index];
    }
    made->roles = roles;
    made->role_count = self->role_count;
    made->principals = principals;
    made->principal_count = self->pending_count;
    return made;
}

pcl_policy *pcl_policy_parse(pcl_bytes text, const char *name, pcl_buffer *problems)
{
    assert(name != NULL);
    assert(problems != NULL);
    parser *self = calloc(1, sizeof *self);
    pcl_policy *made = NULL;
    if (self != NULL) {
        self->name = name;
        self->problems = problems;
        s_read_lines(self, text);
        s_check(self);
        made = self->bad ? NULL : s_make(self);
        if (!self->bad && made == NULL) {
            s_complain(self, 0, NULL, "no memory");
        }
        free(self->pending);
        free(self);
    }
    return made;
}
