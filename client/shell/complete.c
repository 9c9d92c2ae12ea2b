#include "client/shell/complete.h"

#include "client/shell/order.h"

#include <stdio.h>
#include <string.h>

#define NAME_SIZE_MAX 256u

static const char *const s_keywords[] = {
    "ALTER",      "ANALYZE",      "AND",       "AS",      "ASC",    "BEGIN",     "BETWEEN",
    "BY",         "CALL",         "CASE",      "COLUMN",  "COMMIT", "COUNT(",    "CREATE",
    "CROSS",      "CURRENT_DATE", "DATABASE",  "DEFAULT", "DELETE", "DESC",      "DESCRIBE",
    "DISTINCT",   "DROP",         "DUPLICATE", "ELSE",    "END",    "EXISTS",    "EXPLAIN",
    "FOR",        "FOREIGN",      "FROM",      "GROUP",   "HAVING", "IN",        "INDEX",
    "INNER",      "INSERT",       "INTERVAL",  "INTO",    "IS",     "JOIN",      "KEY",
    "LEFT",       "LIKE",         "LIMIT",     "NOT",     "NOW()",  "NULL",      "OFFSET",
    "ON",         "OR",           "ORDER",     "OUTER",   "OVER",   "PARTITION", "PRIMARY",
    "REFERENCES", "REGEXP",       "RENAME",    "REPLACE", "RIGHT",  "ROLLBACK",  "ROWS",
    "SAVEPOINT",  "SELECT",       "SET",       "SHOW",    "SUM(",   "TABLE",     "TABLES",
    "THEN",       "TRANSACTION",  "TRUNCATE",  "UNION",   "UNIQUE", "UPDATE",    "USE",
    "USING",      "VALUES",       "VIEW",      "WHEN",    "WHERE",  "WINDOW",    "WITH",
};

/* What is looked for, and who takes it. */
typedef struct search {
    const pcl_shell_catalog *catalog;
    pcl_bytes text;   /* all up to the cursor */
    pcl_bytes prefix; /* what the candidates must begin with */
    pcl_shell_candidate *candidate;
    void *context;
    bool stopped;
} search;

static bool s_is_name(uint8_t octet)
{
    return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
           (octet >= '0' && octet <= '9') || octet == '_' || octet == '$' || octet >= 0x80;
}

static uint8_t s_upper(uint8_t octet)
{
    return octet >= 'a' && octet <= 'z' ? (uint8_t)(octet - 'a' + 'A') : octet;
}

static bool s_begins(pcl_bytes name, pcl_bytes prefix)
{
    bool same = prefix.size <= name.size;
    for (size_t index = 0; index < prefix.size && same; index++) {
        same = s_upper(name.data[index]) == s_upper(prefix.data[index]);
    }
    return same;
}

static bool s_same(pcl_bytes a, pcl_bytes b)
{
    return a.size == b.size && s_begins(a, b);
}

static bool s_is_word(pcl_bytes word, const char *keyword)
{
    return s_same(word, pcl_bytes_text(keyword));
}

/* --- Words of the text ------------------------------------------------------- */

/* The next word, name in backquotes (without them) or single octet from *offset on; strings and
 * comments are passed over.  size 0: the end.  *out_open: the end lies in a string or comment. */
static pcl_bytes s_next(pcl_bytes text, size_t *offset, bool *out_open)
{
    *out_open = false;
    while (*offset < text.size) {
        const uint8_t *at = text.data + *offset;
        size_t left = text.size - *offset;
        bool line = *at == '#' || (left > 1 && at[0] == '-' && at[1] == '-');
        bool block = left > 1 && at[0] == '/' && at[1] == '*';
        if (*at <= ' ') {
            *offset += 1;
        } else if (line || block) {
            size_t size = block ? 2 : 1;
            while (size < left && !(line ? at[size] == '\n'
                                         : at[size] == '/' && size > 2 && at[size - 1] == '*')) {
                size++;
            }
            *out_open = size == left;
            *offset += *out_open ? size : size + 1;
        } else if (*at == '\'' || *at == '"' || *at == '`') {
            size_t size = 1;
            while (size < left && at[size] != *at) {
                size += at[size] == '\\' && *at != '`' && size + 1 < left ? 2 : 1;
            }
            *out_open = size >= left;
            *offset += *out_open ? left : size + 1;
            if (*at == '`' && !*out_open) {
                return pcl_bytes_of(at + 1, size - 1);
            }
            if (*at == '`') { /* a name that is being typed */
                *out_open = false;
                return pcl_bytes_of(at, left);
            }
        } else {
            size_t size = 1;
            while (s_is_name(*at) && size < left && s_is_name(at[size])) {
                size++;
            }
            *offset += size;
            return pcl_bytes_of(at, size);
        }
    }
    return pcl_bytes_of(NULL, 0);
}

static bool s_precedes_table(pcl_bytes word)
{
    static const char *const words[] = {"FROM",  "JOIN", "INTO",     "UPDATE",
                                        "TABLE", "DESC", "DESCRIBE", "TRUNCATE"};
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (s_is_word(word, words[index])) {
            return true;
        }
    }
    return false;
}

/* --- Candidates -------------------------------------------------------------- */

static void s_give(search *self, pcl_bytes text)
{
    self->stopped = self->stopped || !self->candidate(self->context, text);
}

/* The list of candidates goes to the terminal as it is: a control character or one that turns the
 * direction, in a name that somebody chose, would be obeyed there.  And a backquote would end the
 * quotes. */
static bool s_is_showable(pcl_bytes name)
{
    for (size_t index = 0; index < name.size; index++) {
        const uint8_t *at = name.data + index;
        size_t left = name.size - index;
        bool control = at[0] < ' ' || at[0] == 0x7f ||
                       (at[0] == 0xc2 && left > 1 && at[1] < 0xa0); /* U+0080 to U+009F */
        bool turn = at[0] == 0xe2 && left > 2 &&
                    ((at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae) || /* U+202A to U+202E */
                     (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));  /* U+2066 to U+2069 */
        if (control || turn || at[0] == '`') {
            return false;
        }
    }
    return true;
}

static void s_give_name(search *self, pcl_bytes name)
{
    char text[NAME_SIZE_MAX + 8];
    bool plain = name.size > 0;
    for (size_t index = 0; index < name.size && plain; index++) {
        plain = s_is_name(name.data[index]);
    }
    if (name.size <= NAME_SIZE_MAX && s_begins(name, self->prefix) && s_is_showable(name)) {
        const char *quote = plain ? "" : "`";
        (void)snprintf(text, sizeof text, "%s%.*s%s", quote, (int)name.size,
                       (const char *)name.data, quote);
        s_give(self, pcl_bytes_text(text));
    }
}

static void s_give_kind(search *self, pcl_shell_name_kind kind)
{
    for (uint32_t index = 0; index < pcl_shell_catalog_count(self->catalog); index++) {
        pcl_shell_name name = pcl_shell_catalog_at(self->catalog, index);
        if (name.kind == kind && !self->stopped) {
            s_give_name(self, name.text);
        }
    }
}

static void s_give_columns(search *self, pcl_bytes table)
{
    bool within = false;
    for (uint32_t index = 0; index < pcl_shell_catalog_count(self->catalog); index++) {
        pcl_shell_name name = pcl_shell_catalog_at(self->catalog, index);
        if (name.kind != PCL_SHELL_NAME_COLUMN) {
            within = name.kind == PCL_SHELL_NAME_TABLE && s_same(name.text, table);
        } else if (within && !self->stopped) {
            s_give_name(self, name.text);
        }
    }
}

static bool s_is_table(const search *self, pcl_bytes name)
{
    for (uint32_t index = 0; index < pcl_shell_catalog_count(self->catalog); index++) {
        pcl_shell_name known = pcl_shell_catalog_at(self->catalog, index);
        if (known.kind == PCL_SHELL_NAME_TABLE && s_same(known.text, name)) {
            return true;
        }
    }
    return false;
}

/* Columns of the tables that the statement names; with alias, of the one that goes by that name. */
static void s_give_columns_of_statement(search *self, const pcl_bytes *alias)
{
    size_t offset = 0;
    bool open = false;
    pcl_bytes table = {0}; /* the last word that named a table, while its alias may follow */
    for (;;) {
        pcl_bytes word = s_next(self->text, &offset, &open);
        if (word.size == 0 || self->stopped) {
            return;
        }
        bool is_table = s_is_table(self, word);
        if (is_table && (alias == NULL || s_same(word, *alias))) {
            s_give_columns(self, word);
            if (alias != NULL) {
                return;
            }
        }
        if (table.size > 0 && alias != NULL && s_same(word, *alias)) {
            s_give_columns(self, table);
            return;
        }
        if (is_table) {
            table = word;
        } else if (!s_is_word(word, "AS")) {
            table = pcl_bytes_of(NULL, 0);
        }
    }
}

static void s_give_keywords(search *self)
{
    bool lower = self->prefix.size > 0 && self->prefix.data[0] >= 'a' &&
                 self->prefix.data[0] <= 'z';
    for (size_t index = 0; index < sizeof s_keywords / sizeof s_keywords[0]; index++) {
        char word[32];
        size_t size = strlen(s_keywords[index]);
        for (size_t at = 0; at <= size; at++) {
            char octet = s_keywords[index][at];
            word[at] = (char)(lower && octet >= 'A' && octet <= 'Z' ? octet - 'A' + 'a' : octet);
        }
        if (!self->stopped && s_begins(pcl_bytes_of(word, size), self->prefix)) {
            s_give(self, pcl_bytes_of(word, size));
        }
    }
}

/* --- Commands ---------------------------------------------------------------- */

static void s_give_choices(search *self, const char *choices)
{
    while (choices != NULL && !self->stopped) {
        const char *end = strchr(choices, '|');
        pcl_bytes choice = pcl_bytes_of(choices,
                                        end != NULL ? (size_t)(end - choices) : strlen(choices));
        if (s_begins(choice, self->prefix)) {
            s_give(self, choice);
        }
        choices = end != NULL ? end + 1 : NULL;
    }
}

static size_t s_complete_command(search *self)
{
    const uint8_t *blank = memchr(self->text.data, ' ', self->text.size);
    if (blank == NULL) {
        for (int verb = 0; verb < PCL_SHELL_VERB_COUNT && !self->stopped; verb++) {
            char name[40];
            (void)snprintf(name, sizeof name, "\\%s",
                           pcl_shell_command_at((pcl_shell_verb)verb)->name);
            if (s_begins(pcl_bytes_text(name), self->text)) {
                s_give(self, pcl_bytes_text(name));
            }
        }
        return self->text.size;
    }
    const uint8_t *end = self->text.data + self->text.size;
    const uint8_t *word = end;
    while (word > blank + 1 && word[-1] != ' ') {
        word--;
    }
    self->prefix = pcl_bytes_of(word, (size_t)(end - word));
    pcl_bytes name = pcl_bytes_of(self->text.data, (size_t)(blank - self->text.data));
    pcl_shell_verb verb = PCL_SHELL_HELP;
    if (!pcl_shell_command_find(name, &verb)) {
        return 0;
    }
    if (verb == PCL_SHELL_DESCRIBE || verb == PCL_SHELL_DB) {
        s_give_kind(self, verb == PCL_SHELL_DB ? PCL_SHELL_NAME_SCHEMA : PCL_SHELL_NAME_TABLE);
    } else {
        s_give_choices(self, pcl_shell_command_at(verb)->choices);
    }
    return self->prefix.size;
}

/* --- Statements -------------------------------------------------------------- */

/* What stands before the word at the cursor. */
typedef struct position {
    pcl_bytes before;    /* the word before */
    pcl_bytes qualifier; /* "t" of "t.": the word before the dot; size 0: there is no dot */
    bool quiet;          /* inside a string or comment */
} position;

static position s_find_position(const search *self)
{
    position found = {0};
    size_t word_at = self->text.size - self->prefix.size;
    size_t offset = 0;
    bool open = false;
    pcl_bytes before_last = {0};
    pcl_bytes last = {0};
    for (;;) {
        pcl_bytes word = s_next(pcl_bytes_of(self->text.data, word_at), &offset, &open);
        if (word.size == 0) {
            break;
        }
        if (word.size == 1 && word.data[0] == '.') {
            found.qualifier = last;
            continue;
        }
        found.qualifier = pcl_bytes_of(NULL, 0);
        before_last = last;
        last = word;
    }
    found.quiet = open;
    found.before = found.qualifier.size > 0 ? before_last : last;
    return found;
}

static size_t s_complete_statement(search *self)
{
    const uint8_t *end = self->text.data + self->text.size;
    const uint8_t *word = end;
    while (word > self->text.data && s_is_name(word[-1])) {
        word--;
    }
    self->prefix = pcl_bytes_of(word, (size_t)(end - word));
    position at = s_find_position(self);
    if (at.quiet) {
        return 0;
    }
    if (at.qualifier.size > 0) {
        s_give_columns_of_statement(self, &at.qualifier);
    } else if (s_is_word(at.before, "USE")) {
        s_give_kind(self, PCL_SHELL_NAME_SCHEMA);
    } else if (s_precedes_table(at.before)) {
        s_give_kind(self, PCL_SHELL_NAME_TABLE);
    } else {
        s_give_columns_of_statement(self, NULL);
        s_give_kind(self, PCL_SHELL_NAME_TABLE);
        if (self->prefix.size > 0) {
            s_give_keywords(self);
        }
    }
    return self->prefix.size;
}

size_t pcl_shell_complete(const pcl_shell_catalog *catalog, pcl_bytes text,
                          pcl_shell_candidate *candidate, void *context)
{
    search self = {.catalog = catalog, .text = text, .candidate = candidate, .context = context};
    while (self.text.size > 0 && self.text.data[0] <= ' ') {
        self.text = pcl_bytes_of(self.text.data + 1, self.text.size - 1);
    }
    bool command = self.text.size > 0 && self.text.data[0] == '\\';
    return command ? s_complete_command(&self) : s_complete_statement(&self);
}
