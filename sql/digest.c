#include "sql/digest.h"

#include "sql/ascii.h"
#include "sql/lexer.h"

#include <assert.h>
#include <string.h>

enum {
    /* A row that is dropped because it equals the one before stands there until then. */
    S_WORK_MAX = 2 * PCL_SQL_DIGEST_SIZE_MAX,
    S_DEPTH_MAX = 256, /* deeper lists are not folded; the classifier refuses them */
};

static const char MORE[] = "...";

/* A list in which an item that equals the one before is dropped: behind IN, and the
 * rows of VALUES. */
typedef struct s_list {
    bool open;
    bool rows;             /* of VALUES: ends behind a row that no comma follows */
    bool repeats;          /* there is an item before the present one */
    uint32_t before_start; /* the item before, in the work */
    uint32_t before_end;   /* one past it: where the comma stands */
    uint32_t item_start;   /* the present item */
} s_list;

typedef enum s_sort {
    S_SORT_NONE = 0, /* nothing was written yet */
    S_SORT_WORD,     /* a name or keyword */
    S_SORT_CLAUSE,   /* a reserved word that no operand ends with, no call begins with */
    S_SORT_VALUE,    /* ? */
    S_SORT_MARK,     /* punctuation */
} s_sort;

typedef struct s_writer {
    pcl_sql_lexer lexer;
    uint32_t size;             /* of the work */
    uint32_t cut;              /* the longest end of a token that leaves room for MORE */
    bool full;                 /* a token did not fit */
    s_sort sort;               /* of what was written last */
    uint8_t mark;              /* its punctuation, or 0 */
    pcl_sql_token last;        /* the token before */
    uint32_t sign;             /* where a sign stands that belongs to a value, or UINT32_MAX */
    uint32_t depth;            /* open parentheses */
    s_list lists[S_DEPTH_MAX]; /* those up to depth are set */
    uint8_t work[S_WORK_MAX];
} s_writer;

static void s_put(s_writer *self, const void *text, uint32_t size)
{
    if (self->full || size > S_WORK_MAX - self->size) {
        self->full = true;
        return;
    }
    memcpy(self->work + self->size, text, size);
    self->size += size;
}

static void s_put_lower(s_writer *self, const uint8_t *text, uint32_t size)
{
    uint32_t start = self->size;
    s_put(self, text, size);
    for (uint32_t at = start; at < self->size; at++) {
        self->work[at] = pcl_sql_ascii_lower(self->work[at]);
    }
}

static void s_shorten(s_writer *self, uint32_t size)
{
    self->size = size;
    self->cut = self->cut < size ? self->cut : size;
}

/* Ends a token. */
static void s_done(s_writer *self, s_sort sort, uint8_t mark)
{
    self->sort = sort;
    self->mark = mark;
    if (self->size <= PCL_SQL_DIGEST_SIZE_MAX - (sizeof MORE - 1) && !self->full) {
        self->cut = self->size;
    }
}

static void s_blank(s_writer *self)
{
    bool begun = self->size > 0 && self->mark != '(' && self->mark != '.';
    if (begun && self->work[self->size - 1] != ' ') {
        s_put(self, " ", 1);
    }
}

/* Reserved words behind which a value begins: a sign there belongs to it, and a
 * parenthesis opens no arguments. */
static bool s_is_clause(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    static const char *const words[] = {
        "all",    "and",  "as",     "between", "by",    "case",      "distinct", "div",    "else",
        "except", "from", "having", "in",      "into",  "intersect", "interval", "join",   "like",
        "limit",  "mod",  "not",    "on",      "or",    "over",      "regexp",   "return", "rlike",
        "select", "set",  "then",   "union",   "using", "when",      "where",    "with",   "xor",
    };
    if (token.size < 2 || token.size > 9) {
        return false;
    }
    const uint8_t *text = lexer->text + token.offset;
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (words[index][0] == pcl_sql_ascii_lower(text[0]) && strlen(words[index]) == token.size &&
            pcl_sql_ascii_is(text, words[index], token.size)) {
            return true;
        }
    }
    return false;
}

static s_list *s_list_at(s_writer *self)
{
    return self->depth < S_DEPTH_MAX ? &self->lists[self->depth] : NULL;
}

/* A list begins with what is written next. */
static void s_list_open(s_writer *self, bool rows)
{
    s_list *list = s_list_at(self);
    if (list != NULL) {
        *list = (s_list){.open = true, .rows = rows, .item_start = self->size};
    }
}

/* The present item is complete: drops it when it equals the one before. */
static void s_item_end(s_writer *self, s_list *list)
{
    uint32_t size = self->size - list->item_start;
    if (list->repeats && !self->full && size == list->before_end - list->before_start &&
        memcmp(self->work + list->before_start, self->work + list->item_start, size) == 0) {
        s_shorten(self, list->before_end);
        return;
    }
    list->repeats = true;
    list->before_start = list->item_start;
    list->before_end = self->size;
}

/* Ends the list of this depth, if there is one. */
static void s_list_close(s_writer *self)
{
    s_list *list = s_list_at(self);
    if (list != NULL && list->open) {
        s_item_end(self, list);
        list->open = false;
    }
}

static void s_value(s_writer *self, bool number)
{
    if (number && self->sign != UINT32_MAX) {
        s_shorten(self, self->sign);
    } else {
        s_blank(self);
    }
    s_put(self, "?", 1);
    s_done(self, S_SORT_VALUE, 0);
}

/* NULL, TRUE and FALSE are values where nothing but a value can stand. */
static bool s_is_constant(const s_writer *self, pcl_sql_token token)
{
    const uint8_t *text = self->lexer.text + token.offset;
    bool constant = (token.size == 4 &&
                     (pcl_sql_ascii_is(text, "null", 4) || pcl_sql_ascii_is(text, "true", 4))) ||
                    (token.size == 5 && pcl_sql_ascii_is(text, "false", 5));
    return constant && (self->mark == '(' || self->mark == ',' || self->mark == '=');
}

static void s_word(s_writer *self, pcl_sql_token token)
{
    const uint8_t *text = self->lexer.text + token.offset;
    bool name = self->mark == '.';
    if (!name && s_is_constant(self, token)) {
        s_value(self, false);
        return;
    }
    bool rows = token.keyword == PCL_SQL_KW_VALUES || token.keyword == PCL_SQL_KW_VALUE;
    bool clause = !name && (rows || s_is_clause(&self->lexer, token));
    s_blank(self);
    s_put_lower(self, text, token.size);
    s_done(self, clause ? S_SORT_CLAUSE : S_SORT_WORD, 0);
    if (rows) {
        s_blank(self);
        s_list_open(self, true);
    }
}

/* A variable's name in quotes may be anything, also a value. */
static void s_variable(s_writer *self, pcl_sql_token token)
{
    const uint8_t *text = self->lexer.text + token.offset;
    bool hidden = token.size >= 2 && (text[1] == '\'' || text[1] == '"');
    s_blank(self);
    if (hidden) {
        s_put(self, "@?", 2);
    } else {
        s_put_lower(self, text, token.size);
    }
    s_done(self, S_SORT_WORD, 0);
}

/* The octets of an operator that begins here, at most three of them. */
static uint32_t s_operator_size(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    static const char *const operators[] = {"->>", "<=>", "->", "<=", ">=", "<>",
                                            "!=",  "||",  "&&", "<<", ">>"};
    for (size_t index = 0; index < sizeof operators / sizeof operators[0]; index++) {
        uint32_t size = (uint32_t)strlen(operators[index]);
        if (lexer->size - token.offset >= size &&
            memcmp(lexer->text + token.offset, operators[index], size) == 0) {
            return size;
        }
    }
    return 1;
}

static void s_operator(s_writer *self, pcl_sql_token token)
{
    uint32_t size = s_operator_size(&self->lexer, token);
    uint8_t octet = token.punctuation;
    bool operand = self->sort == S_SORT_WORD || self->sort == S_SORT_VALUE || self->mark == ')';
    for (uint32_t skipped = 1; skipped < size; skipped++) {
        (void)pcl_sql_lexer_next(&self->lexer);
    }
    s_blank(self);
    bool sign = size == 1 && (octet == '-' || octet == '+') && !operand;
    self->sign = sign ? self->size : UINT32_MAX;
    s_put(self, self->lexer.text + token.offset, size);
    s_done(self, S_SORT_MARK, octet);
}

static void s_parenthesis(s_writer *self)
{
    bool list = self->last.keyword == PCL_SQL_KW_IN;
    if (self->sort != S_SORT_WORD) {
        s_blank(self);
    }
    s_put(self, "(", 1);
    s_done(self, S_SORT_MARK, '(');
    self->depth++;
    s_list_open(self, false);
    if (!list && s_list_at(self) != NULL) {
        s_list_at(self)->open = false;
    }
}

static void s_close(s_writer *self)
{
    s_list_close(self);
    self->depth -= self->depth > 0;
    s_put(self, ")", 1);
    s_done(self, S_SORT_MARK, ')');
}

static void s_comma(s_writer *self)
{
    s_list *list = s_list_at(self);
    bool open = list != NULL && list->open;
    if (open) {
        s_item_end(self, list);
    }
    s_put(self, ",", 1);
    s_done(self, S_SORT_MARK, ',');
    s_blank(self);
    if (open) {
        list->item_start = self->size;
    }
}

static void s_punctuation(s_writer *self, pcl_sql_token token)
{
    switch (token.punctuation) {
    case '(':
        s_parenthesis(self);
        break;
    case ')':
        s_close(self);
        break;
    case ',':
        s_comma(self);
        break;
    case '.':
        s_put(self, ".", 1);
        s_done(self, S_SORT_MARK, '.');
        break;
    case ';':
        break; /* only the end may follow */
    default:
        s_operator(self, token);
        break;
    }
}

/* VALUES (?), (?) ON ...: the word behind the rows ends their list. */
static void s_end_rows(s_writer *self, pcl_sql_token token)
{
    const s_list *list = s_list_at(self);
    if (list != NULL && list->open && list->rows && self->mark == ')' && token.punctuation != ',' &&
        token.punctuation != ')') {
        s_list_close(self);
    }
}

static void s_token(s_writer *self, pcl_sql_token token)
{
    s_end_rows(self, token);
    switch ((pcl_sql_token_kind)token.kind) {
    case PCL_SQL_TOKEN_WORD:
        s_word(self, token);
        break;
    case PCL_SQL_TOKEN_QUOTED:
        s_blank(self);
        s_put(self, self->lexer.text + token.offset, token.size);
        s_done(self, S_SORT_WORD, 0);
        break;
    case PCL_SQL_TOKEN_STRING:
        if (self->last.kind != PCL_SQL_TOKEN_STRING) { /* adjacent ones are one literal */
            s_value(self, false);
        }
        break;
    case PCL_SQL_TOKEN_NUMBER:
    case PCL_SQL_TOKEN_PARAMETER:
        s_value(self, true);
        break;
    case PCL_SQL_TOKEN_USER_VARIABLE:
    case PCL_SQL_TOKEN_SYSTEM_VARIABLE:
        s_variable(self, token);
        break;
    case PCL_SQL_TOKEN_ASSIGN:
        s_blank(self);
        s_put(self, ":=", 2);
        s_done(self, S_SORT_MARK, '=');
        break;
    case PCL_SQL_TOKEN_PUNCTUATION:
        s_punctuation(self, token);
        break;
    case PCL_SQL_TOKEN_END:
    case PCL_SQL_TOKEN_ERROR:
        break;
    }
}

static bool s_is_sign(const s_writer *self, pcl_sql_token token)
{
    return self->sign != UINT32_MAX && (token.punctuation == '-' || token.punctuation == '+');
}

/* Writes the digest into the work; whether the text has an end. */
static bool s_write(s_writer *self)
{
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&self->lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR || self->full) {
            s_list_close(self);
            return token.kind != PCL_SQL_TOKEN_ERROR;
        }
        s_token(self, token);
        if (!s_is_sign(self, token)) {
            self->sign = UINT32_MAX;
        }
        self->last = token;
    }
}

bool pcl_sql_digest(pcl_bytes sql, pcl_buffer *out)
{
    assert(out != NULL);
    s_writer self; /* the work and the lists are set as they are used */
    self.lexer = pcl_sql_lexer_on(sql);
    self.size = 0;
    self.cut = 0;
    self.full = false;
    self.sort = S_SORT_NONE;
    self.mark = 0;
    self.last = (pcl_sql_token){.kind = PCL_SQL_TOKEN_END};
    self.sign = UINT32_MAX;
    self.depth = 0;
    self.lists[0].open = false;
    bool ended = s_write(&self);
    bool blank = self.size > 0 && self.work[self.size - 1] == ' ';
    uint32_t size = self.size - (blank ? 1 : 0);
    bool cut = self.full || size > PCL_SQL_DIGEST_SIZE_MAX;
    pcl_buffer_put(out, self.work, cut ? self.cut : size);
    if (cut) {
        pcl_buffer_put(out, MORE, sizeof MORE - 1);
    }
    return ended && !out->failed;
}
