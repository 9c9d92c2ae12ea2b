#include "sql/classify.h"

#include "common/limits.h"
#include "sql/ascii.h"
#include "sql/functions.h"
#include "sql/lexer.h"
#include "sql/opening.h"
#include "sql/schema.h"
#include "sql/setting.h"
#include "sql/table_option.h"

#include <assert.h>

enum {
    S_DEPTH_MAX = 256,    /* parentheses: a server's parser recurses on its thread's stack */
    S_WITH_DEPTH_MAX = 64 /* bits of with_mask; deeper lists are not recognised */
};

/* What the token after an opening parenthesis still has to tell. */
typedef enum s_pending {
    S_PENDING_NONE = 0,
    S_PENDING_SUBQUERY,  /* ANY ( is no call if a query follows */
    S_PENDING_INSERT_ID, /* LAST_INSERT_ID ( is no state if an argument follows */
} s_pending;

typedef struct s_scan {
    const pcl_sql_rules *given; /* borrowed from the caller */
    pcl_sql_lexer lexer;
    pcl_sql_token before; /* the token before `last` */
    pcl_sql_token last;   /* the token before `now`; END at the start */
    pcl_sql_token now;
    unsigned rules;     /* PCL_SQL_RULES_... that hold */
    uint32_t depth;     /* open parentheses */
    uint64_t with_mask; /* depths at which a WITH still lists its tables */
    s_pending pending;
    uint32_t table_depth;  /* inside JSON_TABLE's parenthesis, 0 when in none */
    uint32_t table_offset; /* of that JSON_TABLE */
    bool body;             /* a SELECT was seen: a WITH on the outside is ROLLUP or TIES */
    bool ended;            /* a `;` was seen */
    bool prepared;         /* the text of a PREPARE was seen */
    bool assigned;         /* SET: the `=` of the present assignment was seen */
    pcl_sql_class effect;  /* the most of what it does, whatever else it is */
    pcl_sql_verdict verdict;
} s_scan;

/* How careful a class is: a reason for a more careful one overrides. */
static const uint8_t RANKS[PCL_SQL_CLASS_COUNT] = {
    [PCL_SQL_READ] = 1,        [PCL_SQL_LOCKING_READ] = 2, [PCL_SQL_WRITE] = 3,
    [PCL_SQL_CALL] = 4,        [PCL_SQL_DDL] = 5,          [PCL_SQL_STATE] = 6,
    [PCL_SQL_TRANSACTION] = 7, [PCL_SQL_ADMIN] = 8,        [PCL_SQL_REFUSED] = 9,
};

static bool s_has(const s_scan *self, unsigned rules)
{
    return (self->rules & rules) != 0;
}

/* What a stored program or a view does, others do later without a word of it in
 * their statements: so it may not be more than its kind allows. */
static bool s_is_hidden(const s_scan *self, pcl_sql_class sql_class)
{
    bool effect = sql_class == PCL_SQL_LOCKING_READ || sql_class == PCL_SQL_WRITE;
    bool state = sql_class == PCL_SQL_STATE || sql_class == PCL_SQL_ADMIN;
    return (s_has(self, PCL_SQL_RULES_VIEW) && (effect || state)) ||
           (s_has(self, PCL_SQL_RULES_PROGRAM) && state);
}

static void s_note_effect(s_scan *self, pcl_sql_class sql_class)
{
    bool effect = RANKS[sql_class] > RANKS[PCL_SQL_READ] && RANKS[sql_class] < RANKS[PCL_SQL_STATE];
    if (effect && RANKS[sql_class] > RANKS[self->effect]) {
        self->effect = sql_class;
    }
}

static void s_raise(s_scan *self, pcl_sql_class sql_class, const char *rule, uint32_t offset)
{
    pcl_sql_class raised = s_is_hidden(self, sql_class) ? PCL_SQL_REFUSED : sql_class;
    if (RANKS[raised] > RANKS[self->verdict.sql_class]) {
        self->verdict.sql_class = raised;
        self->verdict.rule = rule;
        self->verdict.offset = offset;
    }
    if (RANKS[raised] > RANKS[self->verdict.statement_class]) {
        self->verdict.statement_class = raised;
    }
    s_note_effect(self, raised);
}

/* STATE by what only its own connection remembers: the form stays what it is. */
static void s_remember(s_scan *self, const char *rule, uint32_t offset)
{
    pcl_sql_class form = self->verdict.statement_class;
    s_raise(self, PCL_SQL_STATE, rule, offset);
    if (self->verdict.sql_class == PCL_SQL_STATE) {
        self->verdict.statement_class = form;
    }
}

/* A name without its quotes.  A doubled quote inside stays doubled: no name
 * that a rule looks for has one. */
static pcl_bytes s_name(const s_scan *self, const pcl_sql_token *token)
{
    const uint8_t *text = self->lexer.text + token->offset;
    if (token->kind == PCL_SQL_TOKEN_QUOTED) {
        return pcl_bytes_of(text + 1, token->size - 2);
    }
    return pcl_bytes_of(text, token->size);
}

static bool s_is_name(const pcl_sql_token *token)
{
    return token->kind == PCL_SQL_TOKEN_WORD || token->kind == PCL_SQL_TOKEN_QUOTED;
}

static bool s_name_is(const s_scan *self, const pcl_sql_token *token, const char *lower)
{
    if (!s_is_name(token)) {
        return false;
    }
    pcl_bytes name = s_name(self, token);
    return name.size == strlen(lower) && pcl_sql_ascii_is(name.data, lower, name.size);
}

static pcl_sql_schema s_schema(const s_scan *self, const pcl_sql_token *token)
{
    return s_is_name(token) ? pcl_sql_schema_find(s_name(self, token)) : PCL_SQL_SCHEMA_OPEN;
}

/* `now` is the dot behind the name `last`. */
static void s_dot(s_scan *self)
{
    pcl_sql_schema schema = s_schema(self, &self->last);
    if (schema == PCL_SQL_SCHEMA_RESERVED) {
        s_raise(self, PCL_SQL_REFUSED, "reserved schema", self->last.offset);
    } else if (schema == PCL_SQL_SCHEMA_INFORMATION && s_has(self, PCL_SQL_RULES_VIEW)) {
        /* MariaDB 10.11 ends where a read that opens every table is stopped while it
         * opens such a view. */
        s_raise(self, PCL_SQL_REFUSED, "view over information_schema", self->last.offset);
    } else if (schema == PCL_SQL_SCHEMA_INFORMATION) {
        pcl_sql_lexer ahead = self->lexer;
        pcl_sql_token table = pcl_sql_lexer_next(&ahead);
        if (!s_is_name(&table) || !pcl_sql_information_is_open(s_name(self, &table))) {
            s_raise(self, PCL_SQL_REFUSED, "table of information_schema that is not open",
                    self->last.offset);
        }
    }
}

/* `now` is a name where a schema may be named alone. */
static void s_bare_schema(s_scan *self)
{
    pcl_sql_schema schema = s_schema(self, &self->now);
    bool shown = schema == PCL_SQL_SCHEMA_INFORMATION && s_has(self, PCL_SQL_RULES_SHOW);
    if (schema != PCL_SQL_SCHEMA_OPEN && !shown) {
        s_raise(self, PCL_SQL_REFUSED, "reserved schema", self->now.offset);
    }
}

/* Whether `last`, a name before the parenthesis `now`, is certain to be an
 * alias or a table of a WITH, whose columns follow. */
static bool s_is_column_list(const s_scan *self)
{
    const pcl_sql_token *before = &self->before;
    if (before->keyword == PCL_SQL_KW_AS || before->punctuation == ')' ||
        (before->kind == PCL_SQL_TOKEN_STRING && self->last.keyword == PCL_SQL_KW_COLUMNS)) {
        return true; /* a call cannot follow an operand */
    }
    bool in_with = self->depth < S_WITH_DEPTH_MAX && (self->with_mask >> self->depth & 1) != 0;
    return in_with && (before->keyword == PCL_SQL_KW_WITH ||
                       before->keyword == PCL_SQL_KW_RECURSIVE || before->punctuation == ',');
}

/* Whether policy says of a function that is not built in that it has no effect. */
static bool s_is_listed(const s_scan *self, const pcl_sql_token *token)
{
    pcl_bytes name = s_name(self, token);
    return self->given->extra_count > 0 && pcl_sql_rules_lists(self->given, name.data, name.size);
}

/* A read that calls something: the name must be a harmless built-in. */
static void s_query_call(s_scan *self, pcl_sql_function function)
{
    const pcl_sql_token *name = &self->last;
    bool adjacent = name->offset + name->size == self->now.offset;
    if (self->before.punctuation == '.') {
        s_raise(self, PCL_SQL_WRITE, "call of a stored function", name->offset);
    } else if (s_is_column_list(self)) {
        return;
    } else if (function == PCL_SQL_FUNCTION_UNKNOWN && s_is_listed(self, name)) {
        return;
    } else if (name->kind == PCL_SQL_TOKEN_QUOTED) {
        s_raise(self, PCL_SQL_WRITE, "call of a quoted name", name->offset);
    } else if (function == PCL_SQL_FUNCTION_SUBQUERY) {
        self->pending = S_PENDING_SUBQUERY;
    } else if (function == PCL_SQL_FUNCTION_TABLE && adjacent && self->table_depth == 0) {
        self->table_depth = self->depth + 1;
        self->table_offset = name->offset;
    } else if (function == PCL_SQL_FUNCTION_ADJACENT && !adjacent) {
        s_raise(self, PCL_SQL_WRITE, "blank between function and parenthesis", name->offset);
    } else if ((function == PCL_SQL_FUNCTION_UNKNOWN || function == PCL_SQL_FUNCTION_TABLE) &&
               !(self->before.keyword == PCL_SQL_KW_MEMBER && name->keyword == PCL_SQL_KW_OF) &&
               !(self->before.keyword == PCL_SQL_KW_AS && name->keyword == PCL_SQL_KW_OF)) {
        s_raise(self, PCL_SQL_WRITE, "function not known to be free of effects", name->offset);
    }
}

/* `now` is a parenthesis after the name `last`. */
static void s_call(s_scan *self)
{
    pcl_bytes name = s_name(self, &self->last);
    uint32_t offset = self->last.offset;
    pcl_sql_function function = pcl_sql_function_find(self->given->flavor, name.data, name.size);
    switch (function) {
    case PCL_SQL_FUNCTION_FILE:
        s_raise(self, PCL_SQL_REFUSED, "LOAD_FILE", offset);
        return;
    case PCL_SQL_FUNCTION_WAIT:
        s_raise(self, PCL_SQL_REFUSED, "function that waits for replication", offset);
        return;
    case PCL_SQL_FUNCTION_LOCK:
        s_raise(self, PCL_SQL_STATE, "function of the session's locks", offset);
        return;
    case PCL_SQL_FUNCTION_HISTORY:
        s_remember(self, "function of the session's history", offset);
        return;
    case PCL_SQL_FUNCTION_INSERT_ID:
        if (s_has(self, PCL_SQL_RULES_WRITE)) {
            self->pending = S_PENDING_INSERT_ID;
        } else {
            s_remember(self, "LAST_INSERT_ID", offset);
        }
        return;
    case PCL_SQL_FUNCTION_WRITE:
        s_raise(self, PCL_SQL_WRITE, "function that moves a sequence or a counter", offset);
        return;
    case PCL_SQL_FUNCTION_UNKNOWN:
    case PCL_SQL_FUNCTION_PURE:
    case PCL_SQL_FUNCTION_ADJACENT:
    case PCL_SQL_FUNCTION_SYNTAX:
    case PCL_SQL_FUNCTION_SUBQUERY:
    case PCL_SQL_FUNCTION_TABLE:
        break;
    }
    if (s_has(self, PCL_SQL_RULES_QUERY | PCL_SQL_RULES_SET)) { /* the value of a SET may call */
        s_query_call(self, function);
    }
}

/* A data-changing verb inside what began as a query: WITH ... UPDATE, EXPLAIN
 * DELETE.  From there on it is judged as a write. */
static void s_become_write(s_scan *self, uint32_t offset)
{
    if (s_has(self, PCL_SQL_RULES_QUERY)) {
        s_raise(self, PCL_SQL_WRITE, "data-changing verb", offset);
        self->rules = (self->rules & ~(unsigned)PCL_SQL_RULES_QUERY) | PCL_SQL_RULES_WRITE;
    }
}

static void s_into(s_scan *self)
{
    if (s_has(self, PCL_SQL_RULES_QUERY)) {
        s_remember(self, "SELECT INTO", self->now.offset);
    }
}

static void s_for_value(s_scan *self)
{
    if (self->last.keyword != PCL_SQL_KW_VALUE || !s_has(self, PCL_SQL_RULES_EXPRESSIONS)) {
        return;
    }
    if (self->before.keyword == PCL_SQL_KW_NEXT) {
        s_raise(self, PCL_SQL_WRITE, "NEXT VALUE FOR", self->before.offset);
    } else if (self->before.keyword == PCL_SQL_KW_PREVIOUS) {
        s_remember(self, "PREVIOUS VALUE FOR", self->before.offset);
    }
}

static void s_with(s_scan *self)
{
    bool opens = (self->depth == 0 && !self->body) || self->last.punctuation == '(';
    if (opens && self->depth < S_WITH_DEPTH_MAX) {
        self->with_mask |= UINT64_C(1) << self->depth;
    }
}

static void s_lock(s_scan *self)
{
    bool for_share = self->last.keyword == PCL_SQL_KW_FOR;
    bool in_share = self->last.keyword == PCL_SQL_KW_IN && self->before.keyword == PCL_SQL_KW_LOCK;
    if ((for_share || in_share) && s_has(self, PCL_SQL_RULES_QUERY | PCL_SQL_RULES_SET)) {
        s_raise(self, PCL_SQL_LOCKING_READ, "shared lock", self->last.offset);
    }
}

static void s_procedure(s_scan *self)
{
    bool query = s_has(self, PCL_SQL_RULES_QUERY) ||
                 (s_has(self, PCL_SQL_RULES_PROGRAM) && self->body);
    if (query && !s_has(self, PCL_SQL_RULES_SHOW)) {
        s_raise(self, PCL_SQL_REFUSED, "PROCEDURE in a SELECT", self->now.offset);
    }
}

static void s_keyword(s_scan *self)
{
    unsigned keyword = self->now.keyword;
    unsigned last = self->last.keyword;
    uint32_t offset = self->now.offset;
    if (keyword == PCL_SQL_KW_UPDATE && last == PCL_SQL_KW_FOR) {
        if (s_has(self, PCL_SQL_RULES_QUERY)) {
            s_raise(self, PCL_SQL_LOCKING_READ, "FOR UPDATE", self->last.offset);
        }
    } else if (keyword == PCL_SQL_KW_UPDATE || keyword == PCL_SQL_KW_DELETE) {
        s_become_write(self, offset);
    } else if (keyword == PCL_SQL_KW_SHARE) {
        s_lock(self);
    } else if (keyword == PCL_SQL_KW_INTO) {
        s_into(self);
    } else if (keyword == PCL_SQL_KW_OUTFILE || keyword == PCL_SQL_KW_DUMPFILE) {
        if (last == PCL_SQL_KW_INTO) {
            s_raise(self, PCL_SQL_REFUSED, "INTO OUTFILE or INTO DUMPFILE", self->last.offset);
        }
    } else if (keyword == PCL_SQL_KW_PROCEDURE) {
        s_procedure(self);
    } else if (keyword == PCL_SQL_KW_FOR) {
        s_for_value(self);
    } else if (keyword == PCL_SQL_KW_CONNECTION && last == PCL_SQL_KW_FOR) {
        s_raise(self, PCL_SQL_ADMIN, "EXPLAIN FOR CONNECTION", offset);
    } else if ((keyword == PCL_SQL_KW_SCHEMA || keyword == PCL_SQL_KW_DATABASE) &&
               last == PCL_SQL_KW_FOR) {
        self->rules |= PCL_SQL_RULES_SCHEMA; /* EXPLAIN FOR SCHEMA */
    } else if (keyword == PCL_SQL_KW_SELECT) {
        self->body = true;
    } else if (keyword == PCL_SQL_KW_WITH) {
        s_with(self);
    } else if (keyword == PCL_SQL_KW_AS && s_has(self, PCL_SQL_RULES_VIEW) && self->depth == 0) {
        self->rules |= PCL_SQL_RULES_QUERY; /* what stands before are names */
    }
}

/* Options stand before the query whose result fills a new table. */
static void s_table_option(s_scan *self)
{
    if (self->body) {
        return;
    }
    pcl_sql_table_place place = {
        .lexer = self->lexer, .last = self->last, .now = self->now, .depth = self->depth};
    const char *rule = pcl_sql_table_option_check(&place);
    if (rule != NULL) {
        s_raise(self, PCL_SQL_REFUSED, rule, self->now.offset);
    }
}

/* Whether the tokens ahead are `= utf8mb4_...`, a name or a plain text. */
static bool s_assigns_utf8mb4(pcl_sql_lexer lexer)
{
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    if (token.kind != PCL_SQL_TOKEN_ASSIGN && token.punctuation != '=') {
        return false;
    }
    token = pcl_sql_lexer_next(&lexer);
    const uint8_t *text = lexer.text + token.offset;
    uint32_t quotes = token.kind == PCL_SQL_TOKEN_STRING ? 1 : 0;
    bool value = token.kind == PCL_SQL_TOKEN_STRING || token.kind == PCL_SQL_TOKEN_WORD;
    pcl_sql_token after = pcl_sql_lexer_next(&lexer);
    bool end = after.kind == PCL_SQL_TOKEN_END || after.punctuation == ',' ||
               after.punctuation == ';';
    return value && end && token.size >= 8 + quotes &&
           pcl_sql_ascii_is(text + quotes, "utf8mb4_", 8);
}

/* SET: what would change how the server cuts a later text, or what agents go by,
 * is refused. */
static void s_set_variable(s_scan *self, pcl_bytes name, uint32_t offset)
{
    const char *rule = pcl_sql_setting_check(name);
    if (name.size == 20 && pcl_sql_ascii_is(name.data, "collation_connection", 20) &&
        !s_assigns_utf8mb4(self->lexer)) {
        rule = "sql_mode and character set are pinned";
    }
    if (rule != NULL) {
        s_raise(self, PCL_SQL_REFUSED, rule, offset);
    }
}

/* SET: what reaches beyond the session is for operators. */
static void s_set_name(s_scan *self)
{
    if (self->assigned) {
        return;
    }
    s_set_variable(self, s_name(self, &self->now), self->now.offset);
    unsigned keyword = self->now.keyword;
    bool first = self->last.punctuation == ',' || self->last.keyword == PCL_SQL_KW_SET;
    bool other = s_name_is(self, &self->last, "session") &&
                 s_name_is(self, &self->now, "authorization"); /* as another account */
    if (keyword == PCL_SQL_KW_GLOBAL || keyword == PCL_SQL_KW_PERSIST ||
        keyword == PCL_SQL_KW_PERSIST_ONLY || (keyword == PCL_SQL_KW_PASSWORD && first) || other) {
        s_raise(self, PCL_SQL_ADMIN, "SET beyond the session", self->now.offset);
    }
}

/* SET NAMES utf8mb4 is the one that changes nothing. */
static void s_set_names(s_scan *self)
{
    bool assigns = self->before.keyword == PCL_SQL_KW_SET || self->before.punctuation == ',';
    if (self->last.keyword != PCL_SQL_KW_NAMES || !assigns) {
        return;
    }
    const uint8_t *text = self->lexer.text + self->now.offset;
    bool plain = self->now.kind == PCL_SQL_TOKEN_WORD && self->now.size == 7 &&
                 pcl_sql_ascii_is(text, "utf8mb4", 7);
    bool quoted = self->now.kind == PCL_SQL_TOKEN_STRING && self->now.size == 9 &&
                  pcl_sql_ascii_is(text + 1, "utf8mb4", 7);
    if (!plain && !quoted) {
        s_raise(self, PCL_SQL_REFUSED, "sql_mode and character set are pinned", self->now.offset);
    }
}

/* SET a = 1, b = 2: whether what follows is assigned to, or a value. */
static void s_set_phase(s_scan *self)
{
    bool assigns = self->now.kind == PCL_SQL_TOKEN_ASSIGN || self->now.punctuation == '=';
    if (self->depth == 0 && self->now.punctuation == ',') {
        self->assigned = false;
    } else if (self->depth == 0 && assigns) {
        self->assigned = true;
    }
}

static void s_word(s_scan *self)
{
    if (self->now.keyword != PCL_SQL_KW_NONE) {
        s_keyword(self);
        if (s_has(self, PCL_SQL_RULES_TABLE)) {
            s_table_option(self);
        }
    }
    if (s_has(self, PCL_SQL_RULES_SET)) {
        s_set_name(self);
    }
    if (s_has(self, PCL_SQL_RULES_SCHEMA)) {
        s_bare_schema(self);
    }
    if (self->last.punctuation == '.' && s_has(self, PCL_SQL_RULES_QUERY) &&
        (s_name_is(self, &self->now, "nextval") || s_name_is(self, &self->now, "currval"))) {
        s_raise(self, PCL_SQL_WRITE, "name of a sequence's value", self->now.offset);
    }
}

static void s_user_variable(s_scan *self)
{
    bool adjacent = self->last.offset + self->last.size == self->now.offset;
    bool account = adjacent && (s_is_name(&self->last) || self->last.kind == PCL_SQL_TOKEN_STRING);
    bool definition = self->verdict.sql_class == PCL_SQL_DDL;
    if (s_has(self, PCL_SQL_RULES_EXPRESSIONS) && !(definition && account)) {
        s_remember(self, "user variable", self->now.offset);
    }
}

/* The last part of @@scope.name, without quotes. */
static pcl_bytes s_variable_name(const s_scan *self)
{
    const uint8_t *text = self->lexer.text + self->now.offset;
    uint32_t end = self->now.size;
    uint32_t start = end;
    while (text[start - 1] != '.' && text[start - 1] != '@') {
        start--;
    }
    if (text[start] == '`' && end - start >= 2) {
        return pcl_bytes_of(text + start + 1, end - start - 2);
    }
    return pcl_bytes_of(text + start, end - start);
}

static bool s_is_ascii(pcl_bytes text)
{
    for (size_t index = 0; index < text.size; index++) {
        if (text.data[index] >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool s_variable_is(pcl_bytes name, const char *const *names, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (name.size == strlen(names[index]) &&
            pcl_sql_ascii_is(name.data, names[index], name.size)) {
            return true;
        }
    }
    return false;
}

static void s_system_variable(s_scan *self)
{
    /* What another connection of the pool would answer differently, and a scope
     * whose name is cut off by a blank. */
    static const char *const state[] = {
        "error_count", "global",         "identity", "in_transaction", "insert_id",
        "last_gtid",   "last_insert_id", "local",    "proxy_user",     "pseudo_thread_id",
        "rand_seed1",  "rand_seed2",     "session",  "timestamp",      "warning_count",
    };
    static const char *const scopes[] = {"global", "persist", "persist_only"};
    pcl_bytes name = s_variable_name(self);
    uint32_t offset = self->now.offset;
    if (s_variable_is(name, state, sizeof state / sizeof state[0]) &&
        s_has(self, PCL_SQL_RULES_EXPRESSIONS)) {
        s_remember(self, "system variable of the session's state", offset);
    }
    if (!s_is_ascii(name)) {
        s_raise(self, PCL_SQL_REFUSED, "variable whose name is not ASCII", offset);
    }
    if (!s_has(self, PCL_SQL_RULES_SET) || self->assigned) {
        return;
    }
    s_set_variable(self, name, offset);
    const uint8_t *scope = self->lexer.text + offset + 2;
    for (size_t index = 0; index < sizeof scopes / sizeof scopes[0]; index++) {
        size_t size = strlen(scopes[index]);
        if (self->now.size - 2 >= size && pcl_sql_ascii_is(scope, scopes[index], size)) {
            s_raise(self, PCL_SQL_ADMIN, "SET beyond the session", offset);
        }
    }
}

static void s_open(s_scan *self)
{
    /* Only the table function has COLUMNS ( after a path: a stored function of
     * the name JSON_TABLE cannot. */
    if (self->depth == self->table_depth && self->last.keyword == PCL_SQL_KW_COLUMNS &&
        self->before.kind == PCL_SQL_TOKEN_STRING) {
        self->table_depth = 0;
    }
    if (s_is_name(&self->last) && s_has(self, PCL_SQL_RULES_EXPRESSIONS)) {
        s_call(self);
    }
    self->depth++;
    if (self->depth > S_DEPTH_MAX) {
        s_raise(self, PCL_SQL_REFUSED, "nested too deeply", self->now.offset);
    }
    if (self->depth < S_WITH_DEPTH_MAX) {
        self->with_mask &= ~(UINT64_C(1) << self->depth);
    }
}

static void s_close(s_scan *self)
{
    if (self->table_depth == self->depth) {
        s_raise(self, PCL_SQL_WRITE, "function not known to be free of effects",
                self->table_offset);
        self->table_depth = 0;
    }
    self->depth--;
}

static void s_punctuation(s_scan *self)
{
    switch (self->now.punctuation) {
    case '(':
        s_open(self);
        break;
    case ')':
        if (self->depth == 0) {
            s_raise(self, PCL_SQL_REFUSED, "unbalanced parenthesis", self->now.offset);
        } else {
            s_close(self);
        }
        break;
    case '.':
        s_dot(self);
        break;
    case ';':
        self->ended = true;
        break;
    default:
        break;
    }
}

/* `now` is the first token inside a call that is not judged yet. */
static void s_settle_call(s_scan *self)
{
    bool query = self->now.keyword == PCL_SQL_KW_SELECT || self->now.keyword == PCL_SQL_KW_WITH ||
                 self->now.keyword == PCL_SQL_KW_TABLE;
    if (self->pending == S_PENDING_SUBQUERY && !query) {
        s_raise(self, PCL_SQL_WRITE, "function not known to be free of effects",
                self->before.offset);
    }
    if (self->pending == S_PENDING_INSERT_ID && self->now.punctuation == ')') {
        s_remember(self, "LAST_INSERT_ID", self->before.offset);
    }
    self->pending = S_PENDING_NONE;
}

/* What the tokens before left open, now that the next one is known. */
static void s_settle(s_scan *self)
{
    bool verb = self->last.keyword == PCL_SQL_KW_INSERT || self->last.keyword == PCL_SQL_KW_REPLACE;
    if (verb && self->now.punctuation != '(') {
        s_become_write(self, self->last.offset);
    }
    if (self->pending != S_PENDING_NONE) {
        s_settle_call(self);
    }
    /* A WITH list goes on after a parenthesis only by a comma or by AS. */
    if (self->last.punctuation == ')' && self->now.punctuation != ',' &&
        self->now.keyword != PCL_SQL_KW_AS && self->depth < S_WITH_DEPTH_MAX) {
        self->with_mask &= ~(UINT64_C(1) << self->depth);
    }
}

/* The text of a PREPARE runs later as if it stood alone.  Only a literal without
 * escapes can be judged, since its octets are the text; no deeper than two
 * PREPAREs, since there are two sorts of quotes. */
static void s_judge_prepared(s_scan *self)
{
    const uint8_t *text = self->lexer.text + self->now.offset;
    uint32_t size = self->now.size;
    bool plain = self->now.kind == PCL_SQL_TOKEN_STRING && size >= 2 &&
                 (text[0] == '\'' || text[0] == '"') &&
                 memchr(text + 1, text[0], size - 2) == NULL && memchr(text, '\\', size) == NULL;
    if (!plain) {
        s_raise(self, PCL_SQL_REFUSED, "PREPARE of what is not a plain text", self->now.offset);
        return;
    }
    pcl_sql_verdict inner = pcl_sql_classify_by(self->given, pcl_bytes_of(text + 1, size - 2));
    if (inner.sql_class == PCL_SQL_ADMIN || inner.sql_class == PCL_SQL_REFUSED) {
        s_raise(self, inner.sql_class, inner.rule, self->now.offset + 1 + inner.offset);
    }
    s_note_effect(self, inner.effect_class);
    bool deeper = inner.prepared_class != PCL_SQL_NONE;
    self->verdict.prepared_class = deeper ? inner.prepared_class : inner.statement_class;
}

static void s_prepare(s_scan *self)
{
    bool end = self->now.kind == PCL_SQL_TOKEN_END || self->now.punctuation == ';';
    if (!self->prepared && self->last.keyword == PCL_SQL_KW_FROM) {
        self->prepared = true;
        s_judge_prepared(self);
    } else if (self->prepared != end) {
        s_raise(self, PCL_SQL_REFUSED, "PREPARE of what is not a plain text", self->now.offset);
    }
}

static void s_token(s_scan *self)
{
    if (self->ended && self->now.kind != PCL_SQL_TOKEN_END &&
        self->now.kind != PCL_SQL_TOKEN_ERROR) {
        s_raise(self, PCL_SQL_REFUSED,
                s_has(self, PCL_SQL_RULES_PROGRAM) ? "body of several statements"
                                                   : "second statement",
                self->now.offset);
        return;
    }
    s_settle(self);
    switch ((pcl_sql_token_kind)self->now.kind) {
    case PCL_SQL_TOKEN_WORD:
    case PCL_SQL_TOKEN_QUOTED:
        s_word(self);
        break;
    case PCL_SQL_TOKEN_PARAMETER:
        self->verdict.placeholder_count++;
        break;
    case PCL_SQL_TOKEN_USER_VARIABLE:
        s_user_variable(self);
        break;
    case PCL_SQL_TOKEN_SYSTEM_VARIABLE:
        s_system_variable(self);
        break;
    case PCL_SQL_TOKEN_ASSIGN:
        if (s_has(self, PCL_SQL_RULES_EXPRESSIONS)) {
            s_remember(self, "assignment to a variable", self->now.offset);
        }
        break;
    case PCL_SQL_TOKEN_PUNCTUATION:
        s_punctuation(self);
        break;
    case PCL_SQL_TOKEN_ERROR:
        s_raise(self, PCL_SQL_REFUSED, self->lexer.rule, self->now.offset);
        break;
    case PCL_SQL_TOKEN_STRING:
    case PCL_SQL_TOKEN_NUMBER:
    case PCL_SQL_TOKEN_END:
        break;
    }
    if (s_has(self, PCL_SQL_RULES_SET)) {
        s_set_names(self);
        s_set_phase(self);
    }
    if (s_has(self, PCL_SQL_RULES_PREPARE)) {
        s_prepare(self);
    }
}

static pcl_sql_verdict s_refused(const char *rule, uint32_t offset)
{
    return (pcl_sql_verdict){.sql_class = PCL_SQL_REFUSED,
                             .statement_class = PCL_SQL_REFUSED,
                             .rule = rule,
                             .offset = offset};
}

pcl_sql_verdict pcl_sql_classify(pcl_bytes sql)
{
    static const pcl_sql_rules defaults = {.flavor = PCL_SQL_FLAVOR_BOTH};
    return pcl_sql_classify_by(&defaults, sql);
}

pcl_sql_verdict pcl_sql_classify_by(const pcl_sql_rules *rules, pcl_bytes sql)
{
    assert(rules != NULL && rules->flavor < PCL_SQL_FLAVOR_COUNT);
    if (sql.size > PCL_SQL_SIZE_MAX) {
        return s_refused("text too long", PCL_SQL_SIZE_MAX);
    }
    uint32_t offset = 0;
    const char *rule = pcl_sql_text_check(sql, &offset);
    if (rule != NULL) {
        return s_refused(rule, offset);
    }
    s_scan scan = {.given = rules, .lexer = pcl_sql_lexer_on(sql)};
    pcl_sql_opening opening = pcl_sql_opening_of(rules, scan.lexer);
    scan.rules = opening.rules;
    scan.verdict.sql_class = opening.sql_class;
    scan.verdict.statement_class = opening.sql_class;
    scan.verdict.rule = opening.rule;
    scan.verdict.offset = opening.offset;
    s_note_effect(&scan, opening.sql_class);
    while (scan.verdict.sql_class != PCL_SQL_REFUSED) {
        scan.now = pcl_sql_lexer_next(&scan.lexer);
        s_token(&scan);
        if (scan.now.kind == PCL_SQL_TOKEN_END) {
            break;
        }
        scan.before = scan.last;
        scan.last = scan.now;
    }
    if (scan.depth > 0) {
        s_raise(&scan, PCL_SQL_REFUSED, "unbalanced parenthesis", scan.lexer.size);
    }
    assert(scan.verdict.rule != NULL && scan.verdict.offset <= sql.size);
    bool covers = RANKS[scan.verdict.statement_class] >= RANKS[PCL_SQL_STATE];
    scan.verdict.effect_class = covers ? scan.effect : PCL_SQL_NONE;
    return scan.verdict;
}

const char *pcl_sql_class_text(pcl_sql_class sql_class)
{
    static const char *const texts[PCL_SQL_CLASS_COUNT] = {
        [PCL_SQL_NONE] = "none",
        [PCL_SQL_READ] = "read",
        [PCL_SQL_LOCKING_READ] = "locking read",
        [PCL_SQL_WRITE] = "write",
        [PCL_SQL_CALL] = "call",
        [PCL_SQL_DDL] = "ddl",
        [PCL_SQL_TRANSACTION] = "transaction",
        [PCL_SQL_STATE] = "state",
        [PCL_SQL_ADMIN] = "admin",
        [PCL_SQL_REFUSED] = "refused",
    };
    return (unsigned)sql_class < PCL_SQL_CLASS_COUNT ? texts[sql_class] : "unknown";
}
