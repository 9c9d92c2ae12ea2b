/* sql_evasion.h - ways to hide what a statement does, by the million.
 *
 * From the statements of a list, variants are made by steps: other cases and
 * gaps, quoted names, other spellings of literals, nesting, a second statement,
 * versioned comments, letters that fold to ASCII, and plain damage.  What the
 * judge must say of a variant is known for most of them.
 */
#ifndef PCL_TESTS_SQL_EVASION_H
#define PCL_TESTS_SQL_EVASION_H

#include "common/rng.h"
#include "sql/classify.h"
#include "tests/lib/sql_variant.h"

#include <stdio.h>

enum {
    PCL_SQL_EVASION_SIZE_MAX = 8192, /* octets of a variant */
    PCL_SQL_EVASION_SEED_MAX = 1024, /* longer statements are no seeds */
    PCL_SQL_EVASION_TOKENS_MAX = 512,
};

typedef struct pcl_sql_evasion_seed {
    const uint8_t *text; /* borrowed */
    size_t size;
    pcl_sql_class sql_class;
} pcl_sql_evasion_seed;

typedef enum pcl_sql_evasion_claim {
    PCL_SQL_CLAIM_NOTHING = 0,
    PCL_SQL_CLAIM_NOT_READ,
    PCL_SQL_CLAIM_REFUSED,
    PCL_SQL_CLAIM_SAME, /* the class of the seed */
} pcl_sql_evasion_claim;

typedef struct pcl_sql_evasion {
    pcl_rng rng;
    const pcl_sql_evasion_seed *seeds; /* borrowed */
    uint32_t seed_count;
    uint32_t base_count; /* variants are of the first so many; the others are spliced in */
    bool damage;         /* also steps after which nothing can be claimed */
    /* The variant. */
    pcl_sql_class sql_class; /* of its seed */
    pcl_sql_evasion_claim claim;
    uint8_t text[PCL_SQL_EVASION_SIZE_MAX];
    size_t size;
    /* Work. */
    uint8_t other[PCL_SQL_EVASION_SIZE_MAX];
    pcl_sql_token tokens[PCL_SQL_EVASION_TOKENS_MAX];
    uint32_t token_count;
} pcl_sql_evasion;

#define S_COUNT_OF(array) (uint32_t)(sizeof(array) / sizeof(array)[0])

static inline uint32_t s_pick(pcl_sql_evasion *self, uint32_t count)
{
    return pcl_rng_below(&self->rng, count);
}

static inline const pcl_sql_evasion_seed *s_pick_seed(pcl_sql_evasion *self)
{
    return &self->seeds[s_pick(self, self->seed_count)];
}

/* A step could not be taken: the text stays. */
static inline void s_take(pcl_sql_evasion *self, const pcl_sql_writer *writer)
{
    if (!writer->full) {
        memcpy(self->text, writer->out, writer->size);
        self->size = writer->size;
    }
}

static inline pcl_sql_writer s_writer_on(pcl_sql_evasion *self)
{
    return (pcl_sql_writer){.out = self->other, .room = sizeof self->other};
}

static inline void s_tokenize(pcl_sql_evasion *self)
{
    pcl_sql_lexer lexer = pcl_sql_lexer_on(pcl_bytes_of(self->text, self->size));
    self->token_count = 0;
    while (self->token_count < PCL_SQL_EVASION_TOKENS_MAX) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            return;
        }
        self->tokens[self->token_count++] = token;
    }
}

/* Puts `before` and `after` around the octets [start, end) of the text, which
 * `middle`, where it is not NULL, takes the place of. */
static inline bool s_replace(pcl_sql_evasion *self, size_t start, size_t end, const char *before,
                             const char *middle, const char *after)
{
    pcl_sql_writer writer = s_writer_on(self);
    s_write(&writer, self->text, start);
    s_write(&writer, before, strlen(before));
    if (middle != NULL) {
        s_write(&writer, middle, strlen(middle));
    } else {
        s_write(&writer, self->text + start, end - start);
    }
    s_write(&writer, after, strlen(after));
    s_write(&writer, self->text + end, self->size - end);
    s_take(self, &writer);
    return !writer.full;
}

/* What was claimed holds no longer; that a refused text is refused never does,
 * since another quote may end what had no end. */
static inline void s_weaken(pcl_sql_evasion *self)
{
    bool same = self->claim == PCL_SQL_CLAIM_SAME;
    if (self->claim == PCL_SQL_CLAIM_REFUSED || self->sql_class == PCL_SQL_REFUSED ||
        (same && self->sql_class == PCL_SQL_READ)) {
        self->claim = PCL_SQL_CLAIM_NOTHING;
    } else if (same) {
        self->claim = PCL_SQL_CLAIM_NOT_READ;
    }
}

static inline void s_step_variant(pcl_sql_evasion *self)
{
    pcl_sql_variant variant = (pcl_sql_variant)s_pick(self, PCL_SQL_VARIANT_COUNT);
    pcl_bytes sql = pcl_bytes_of(self->text, self->size);
    uint32_t offset = 0;
    if (pcl_sql_text_check(sql, &offset) != NULL) {
        return;
    }
    size_t size = pcl_sql_variant_write(sql, variant, &self->rng, self->other, sizeof self->other);
    if (size == 0) {
        return;
    }
    memcpy(self->text, self->other, size);
    self->size = size;
    bool refused = self->claim == PCL_SQL_CLAIM_REFUSED ||
                   (self->claim == PCL_SQL_CLAIM_SAME && self->sql_class == PCL_SQL_REFUSED);
    if (variant > PCL_SQL_VARIANT_GAPS && refused) {
        self->claim = PCL_SQL_CLAIM_NOT_READ; /* a blank may part what was malformed */
    } else if (variant > PCL_SQL_VARIANT_GAPS) {
        s_weaken(self);
    }
}

static inline void s_step_versioned(pcl_sql_evasion *self)
{
    static const char *const heads[] = {
        "/*!",        "/*! ",      "/*!50000", "/*!50000 ",  "/*!80000 ",
        "/*!99999 ",  "/*!100000", "/*M! ",    "/*M!50701 ", "/*!080400 ",
        "/*!999999 ", "/*!\n",     "/*!1 ",    "/*m!50000 ", "/*!40101\t",
    };
    s_tokenize(self);
    if (self->token_count == 0) {
        return;
    }
    uint32_t first = s_pick(self, self->token_count);
    uint32_t last = first + s_pick(self, 3);
    last = last < self->token_count ? last : self->token_count - 1;
    size_t end = self->tokens[last].offset + self->tokens[last].size;
    const char *head = heads[s_pick(self, S_COUNT_OF(heads))];
    if (s_replace(self, self->tokens[first].offset, end, head, NULL,
                  s_pick(self, 2) == 0 ? " */" : "*/")) {
        self->claim = PCL_SQL_CLAIM_REFUSED;
    }
}

static inline void s_step_second(pcl_sql_evasion *self)
{
    static const char *const separators[] = {"\n;",  "\n; ",      "\n;\n",      "\n;/**/",
                                             "\n;;", "\n;-- x\n", "\n/* ; */ ;"};
    const pcl_sql_evasion_seed *seed = s_pick_seed(self);
    const char *separator = separators[s_pick(self, S_COUNT_OF(separators))];
    pcl_sql_writer writer = s_writer_on(self);
    s_write(&writer, self->text, self->size);
    s_write(&writer, separator, strlen(separator));
    s_write(&writer, "x ", 2);
    s_write(&writer, seed->text, seed->size);
    bool accepted = pcl_sql_classify(pcl_bytes_of(self->text, self->size)).sql_class !=
                    PCL_SQL_REFUSED;
    s_take(self, &writer);
    if (writer.full) {
        return;
    }
    self->claim = accepted ? PCL_SQL_CLAIM_REFUSED : PCL_SQL_CLAIM_NOTHING;
}

static inline void s_step_nest(pcl_sql_evasion *self)
{
    static const struct {
        const char *before;
        const char *after;
    } nests[] = {
        {"SELECT * FROM (", "\n) x"},
        {"(", "\n)"},
        {"((", "\n))"},
        {"SELECT (", "\n)"},
        {"SELECT 1 WHERE 1 IN (", "\n)"},
        {"SELECT EXISTS(", "\n)"},
        {"SELECT 1 UNION ", "\n"},
        {"SELECT 1 UNION ALL (", "\n)"},
        {"WITH c AS (", "\n) SELECT * FROM c"},
        {"WITH c (x) AS (SELECT 1) ", "\n"},
        {"EXPLAIN ", "\n"},
        {"EXPLAIN ANALYZE ", "\n"},
        {"EXPLAIN FORMAT=JSON ", "\n"},
        {"ANALYZE ", "\n"},
        {"DESCRIBE ", "\n"},
        {"SELECT a FROM t ORDER BY (", "\n)"},
        {"SELECT CASE WHEN EXISTS (", "\n) THEN 1 END"},
        {"SELECT 1 FROM t JOIN LATERAL (", "\n) y ON 1"},
        {"SELECT IF(1, (", "\n), 2)"},
    };
    uint32_t index = s_pick(self, S_COUNT_OF(nests));
    s_tokenize(self);
    unsigned first = self->token_count > 0 ? self->tokens[0].keyword : 0;
    bool query = first == PCL_SQL_KW_SELECT || first == PCL_SQL_KW_WITH ||
                 first == PCL_SQL_KW_VALUES;
    if (!s_replace(self, 0, self->size, nests[index].before, NULL, nests[index].after)) {
        return;
    }
    s_weaken(self);
    if (!query) {
        self->claim = PCL_SQL_CLAIM_NOTHING; /* a definition inside a query is no query */
    }
}

static inline void s_step_literal(pcl_sql_evasion *self)
{
    static const char *const literals[] = {
        "0x61",
        "X'61'",
        "x'6162'",
        "0b1",
        "b'01'",
        "N'a'",
        "n'a'",
        "_utf8mb4'a'",
        "_latin1 0x61",
        "_binary'a'",
        "\"a\"",
        "'a''b'",
        "'a\\'b'",
        "'\\\\'",
        "\"a\"\"b\"",
        "'a' 'b'",
        "'a'\n\"b\"",
        "''",
        "'/*'",
        "'-- '",
        "'#'",
        "';'",
        "'\\0\\n\\Z'",
        "'\"`'",
        "\"'\"",
        "1e0",
        ".5",
        "1.",
        "'a' /*'*/ 'b'",
        "?",
        "'@x'",
        "'INTO OUTFILE'",
        "DATE'2020-01-01'",
        "{d '2020-01-01'}",
    };
    s_tokenize(self);
    uint32_t start = self->token_count > 0 ? s_pick(self, self->token_count) : 0;
    for (uint32_t index = start; index < self->token_count; index++) {
        pcl_sql_token token = self->tokens[index];
        if (token.kind == PCL_SQL_TOKEN_STRING || token.kind == PCL_SQL_TOKEN_NUMBER) {
            if (s_replace(self, token.offset, token.offset + token.size, " ",
                          literals[s_pick(self, S_COUNT_OF(literals))], " ")) {
                s_weaken(self);
            }
            return;
        }
    }
}

/* --- Damage: nothing can be claimed of what comes of it ------------------------- */

static inline void s_step_insert(pcl_sql_evasion *self)
{
    static const char *const pieces[] = {
        " INTO OUTFILE 'x' ",
        " INTO DUMPFILE 'x' ",
        " INTO @x ",
        " FOR UPDATE ",
        " FOR SHARE ",
        " LOCK IN SHARE MODE ",
        " @a:=1 ",
        ", f(1) ",
        ", f (1) ",
        ", `f`(1) ",
        ", pcl_oracle.f(1) ",
        ", GET_LOCK('x',0) ",
        ", NEXTVAL(s) ",
        ", NEXT VALUE FOR s ",
        " PROCEDURE ANALYSE() ",
        "/*",
        "*/",
        "--",
        "-- ",
        "#",
        "'",
        "\"",
        "`",
        "\\",
        "(",
        ")",
        "\xC2\xA0",
        "\xEF\xBB\xBF",
        "\xE2\x80\x8B",
        "$$",
        ";",
        ":=",
        "@@",
        "/*!",
        "/*+ ",
        "{x ",
        "}",
        "0x",
        "1e",
        ".",
        ", LOAD_FILE('x') ",
        " SLEEP(0) ",
        " f",
        "mysql.",
        "\x1a",
        " UNION ALL SELECT 1 ",
        " WITH c AS (",
        ", MAX (a) ",
        ", LAST_INSERT_ID(7) ",
        " AS f(1) ",
        " COLUMNS(",
        " '$' ",
        ", VALUES(a) ",
        " ROW(1) ",
        " RETURNING f(1) ",
        " AS OF (1) ",
        " MEMBER OF (f(1)) ",
        ", JSON_TABLE(f(1), '$' COLUMNS(a INT PATH '$')) j ",
        " OVER (ORDER BY f(1)) ",
        " FILTER (WHERE f(1)) ",
        " ) f (a) ",
        ", ANY (f(1)) ",
        " ESCAPE f(1) ",
        " LIMIT 1 INTO @q ",
        " PARTITION (f(1)) ",
        " USE INDEX (f(1)) ",
        " WITHIN GROUP (ORDER BY f(1)) ",
        " IN (f(1)) ",
        " INTERVAL f(1) DAY ",
        " AS x (f(1)) ",
    };
    s_tokenize(self);
    uint32_t index = s_pick(self, self->token_count + 1);
    size_t at = index < self->token_count ? self->tokens[index].offset : self->size;
    (void)s_replace(self, at, at, pieces[s_pick(self, S_COUNT_OF(pieces))], NULL, "");
}

static inline void s_step_tokens(pcl_sql_evasion *self)
{
    s_tokenize(self);
    if (self->token_count < 2) {
        return;
    }
    pcl_sql_token one = self->tokens[s_pick(self, self->token_count)];
    pcl_sql_token two = self->tokens[s_pick(self, self->token_count)];
    pcl_sql_writer writer = s_writer_on(self);
    uint32_t what = s_pick(self, 3);
    s_write(&writer, self->text, one.offset);
    if (what > 0) {
        s_write(&writer, self->text + two.offset, two.size);
    }
    if (what == 1) {
        s_write(&writer, " ", 1);
        s_write(&writer, self->text + one.offset, one.size);
    }
    s_write(&writer, self->text + one.offset + one.size, self->size - one.offset - one.size);
    s_take(self, &writer);
}

static inline void s_step_splice(pcl_sql_evasion *self)
{
    const pcl_sql_evasion_seed *seed = s_pick_seed(self);
    pcl_sql_writer writer = s_writer_on(self);
    s_write(&writer, self->text, s_pick(self, (uint32_t)self->size + 1));
    size_t from = s_pick(self, (uint32_t)seed->size + 1);
    s_write(&writer, seed->text + from, seed->size - from);
    s_take(self, &writer);
}

static inline void s_step_octet(pcl_sql_evasion *self)
{
    if (self->size > 0) {
        self->text[s_pick(self, (uint32_t)self->size)] = (uint8_t)s_pick(self, 256);
    }
}

static inline void s_step_letter(pcl_sql_evasion *self)
{
    static const struct {
        char ascii;
        const char *letter;
    } letters[] = {
        {'k', "\xE2\x84\xAA"}, {'K', "\xE2\x84\xAA"}, {'s', "\xC5\xBF"},      {'S', "\xC5\xBF"},
        {'i', "\xC4\xB1"},     {'I', "\xC4\xB0"},     {'e', "\xC3\xA9"},      {'o', "\xC3\xB6"},
        {'a', "\xEF\xBD\x81"}, {'(', "\xEF\xBC\x88"}, {'\'', "\xE2\x80\x99"}, {' ', "\xC2\xA0"},
        {';', "\xCD\xBE"},     {'-', "\xE2\x80\x90"}, {' ', "\xE3\x80\x80"},
    };
    uint32_t which = s_pick(self, S_COUNT_OF(letters));
    for (size_t at = s_pick(self, (uint32_t)self->size + 1); at < self->size; at++) {
        if (self->text[at] == (uint8_t)letters[which].ascii) {
            (void)s_replace(self, at, at + 1, "", letters[which].letter, "");
            return;
        }
    }
}

static inline void s_step_damage(pcl_sql_evasion *self)
{
    typedef void step(pcl_sql_evasion *);
    static step *const steps[] = {s_step_insert, s_step_insert, s_step_tokens,
                                  s_step_splice, s_step_octet,  s_step_letter};
    steps[s_pick(self, S_COUNT_OF(steps))](self);
    self->claim = PCL_SQL_CLAIM_NOTHING;
}

/* Makes the next variant. */
static inline void pcl_sql_evasion_next(pcl_sql_evasion *self)
{
    typedef void step(pcl_sql_evasion *);
    static step *const steps[] = {s_step_variant, s_step_variant,   s_step_nest,
                                  s_step_literal, s_step_versioned, s_step_second};
    const pcl_sql_evasion_seed *seed = &self->seeds[s_pick(self, self->base_count)];
    memcpy(self->text, seed->text, seed->size);
    self->size = seed->size;
    self->sql_class = seed->sql_class;
    self->claim = PCL_SQL_CLAIM_SAME;
    uint32_t count = 1 + s_pick(self, 4);
    for (uint32_t index = 0; index < count; index++) {
        if (self->damage && s_pick(self, 2) == 0) {
            s_step_damage(self);
        } else {
            /* The last two make all else refused: seldom. */
            uint32_t kinds = s_pick(self, 4) == 0 ? S_COUNT_OF(steps) : 4;
            steps[s_pick(self, kinds)](self);
        }
    }
}

/* Whether a class is what was claimed. */
static inline bool pcl_sql_evasion_holds(const pcl_sql_evasion *self, pcl_sql_class sql_class)
{
    switch (self->claim) {
    case PCL_SQL_CLAIM_NOTHING:
        return true;
    case PCL_SQL_CLAIM_NOT_READ:
        return sql_class != PCL_SQL_READ;
    case PCL_SQL_CLAIM_REFUSED:
        return sql_class == PCL_SQL_REFUSED;
    case PCL_SQL_CLAIM_SAME:
        return sql_class == self->sql_class;
    }
    return false;
}

#endif
