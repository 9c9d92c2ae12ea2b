/* sql_variant.h - other spellings of a statement, for tests and fuzzing.
 *
 * Each writes at most `room` octets to out and returns how many, or 0 when they
 * do not fit.  What stands behind a token that is an error is copied as it is.
 */
#ifndef PCL_TESTS_SQL_VARIANT_H
#define PCL_TESTS_SQL_VARIANT_H

#include "common/rng.h"
#include "sql/lexer.h"

#include <string.h>

typedef enum pcl_sql_variant {
    PCL_SQL_VARIANT_UPPER,  /* the same class, to the letter */
    PCL_SQL_VARIANT_LOWER,  /* the same */
    PCL_SQL_VARIANT_MIXED,  /* the same */
    PCL_SQL_VARIANT_GAPS,   /* other white space and comments: the same */
    PCL_SQL_VARIANT_SPREAD, /* white space and comments between all tokens: no new read */
    PCL_SQL_VARIANT_QUOTED, /* back quotes around names: no new read */
    PCL_SQL_VARIANT_COUNT,
} pcl_sql_variant;

typedef struct pcl_sql_writer {
    uint8_t *out;
    size_t size;
    size_t room;
    bool full;
} pcl_sql_writer;

static inline void s_write(pcl_sql_writer *self, const void *octets, size_t size)
{
    if (size > self->room - self->size) {
        self->full = true;
    } else if (size > 0) {
        memcpy(self->out + self->size, octets, size);
        self->size += size;
    }
}

static inline void s_write_gap(pcl_sql_writer *self, pcl_rng *rng)
{
    static const char *const gaps[] = {" ",       "\t",           "\n",      "\r\n",  "  ",
                                       " /**/ ",  " /* it's */ ", " -- x\n", " #'\n", "\x0b\x0c",
                                       " /*;*/ ", " --\t\"\n",    "\n\n",    " # `\n"};
    const char *gap = gaps[pcl_rng_below(rng, sizeof gaps / sizeof gaps[0])];
    s_write(self, gap, strlen(gap));
}

static inline void s_write_word(pcl_sql_writer *self, const uint8_t *text, size_t size,
                                pcl_sql_variant variant, pcl_rng *rng)
{
    for (size_t index = 0; index < size; index++) {
        uint8_t octet = text[index];
        bool upper = variant == PCL_SQL_VARIANT_UPPER ||
                     (variant == PCL_SQL_VARIANT_MIXED && pcl_rng_below(rng, 2) == 0);
        if (upper && octet >= 'a' && octet <= 'z') {
            octet = (uint8_t)(octet - 32);
        } else if (!upper && octet >= 'A' && octet <= 'Z') {
            octet = (uint8_t)(octet + 32);
        }
        s_write(self, &octet, 1);
    }
}

/* Whether back quotes around a word would not join it with a neighbour. */
static inline bool s_may_quote(const pcl_sql_writer *self, pcl_bytes sql, pcl_sql_token token,
                               pcl_rng *rng)
{
    size_t end = token.offset + token.size;
    uint8_t before = self->size == 0 ? ' ' : self->out[self->size - 1];
    uint8_t after = end < sql.size ? sql.data[end] : ' ';
    return token.keyword == PCL_SQL_KW_NONE && before != '`' && before != '@' && before != '.' &&
           after != '`' && after != '.' && pcl_rng_below(rng, 2) == 0;
}

static inline void s_write_token(pcl_sql_writer *self, pcl_bytes sql, pcl_sql_token token,
                                 pcl_sql_variant variant, pcl_rng *rng)
{
    const uint8_t *text = sql.data + token.offset;
    bool word = token.kind == PCL_SQL_TOKEN_WORD;
    if (word && variant <= PCL_SQL_VARIANT_MIXED) {
        s_write_word(self, text, token.size, variant, rng);
    } else if (word && variant == PCL_SQL_VARIANT_QUOTED && s_may_quote(self, sql, token, rng)) {
        s_write(self, "`", 1);
        s_write(self, text, token.size);
        s_write(self, "`", 1);
    } else {
        s_write(self, text, token.size);
    }
}

/* Whether other white space may come before a token: not beside the dot of a
 * name, where it makes a keyword of what is none, and not after two minuses,
 * where it makes a comment. */
static inline bool s_may_spread(const pcl_sql_writer *self, pcl_bytes sql, pcl_sql_token token,
                                uint32_t end)
{
    bool dot = sql.data[token.offset] == '.' || (end > 0 && sql.data[end - 1] == '.');
    bool minuses = self->size >= 2 && memcmp(self->out + self->size - 2, "--", 2) == 0;
    return !minuses && !(dot && token.offset == end);
}

/* The text must have passed pcl_sql_text_check. */
static inline size_t pcl_sql_variant_write(pcl_bytes sql, pcl_sql_variant variant, pcl_rng *rng,
                                           uint8_t *out, size_t room)
{
    pcl_sql_writer writer = {.out = out, .room = room};
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    uint32_t end = 0; /* of the token before */
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        bool error = token.kind == PCL_SQL_TOKEN_ERROR;
        if (error || token.kind == PCL_SQL_TOKEN_END) {
            s_write(&writer, sql.data + end, sql.size - end);
            return writer.full ? 0 : writer.size;
        }
        bool gap = variant == PCL_SQL_VARIANT_SPREAD ||
                   (variant == PCL_SQL_VARIANT_GAPS && token.offset > end && end > 0);
        if (gap && s_may_spread(&writer, sql, token, end)) {
            s_write_gap(&writer, rng);
        } else {
            s_write(&writer, sql.data + end, token.offset - end);
        }
        s_write_token(&writer, sql, token, variant, rng);
        end = token.offset + token.size;
    }
}

#endif
