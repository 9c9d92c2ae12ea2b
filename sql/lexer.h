/* lexer.h - the tokens of a statement, as MySQL 8-9 and MariaDB 10.6-11 cut it.
 *
 * Pure, total, nothing is allocated.  Comments and white space are skipped.
 * What the two servers would cut differently, and what is not finished, is an
 * ERROR token that names its rule (docs/sql.md, section 1); nothing follows
 * one.  The meaning holds for the sql_mode and the utf8mb4 that agents pin:
 * backslash escapes are on, "..." is a string.
 */
#ifndef PCL_SQL_LEXER_H
#define PCL_SQL_LEXER_H

#include "common/bytes.h"
#include "sql/keywords.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum pcl_sql_token_kind {
    PCL_SQL_TOKEN_END = 0,
    PCL_SQL_TOKEN_WORD,            /* unquoted identifier or keyword */
    PCL_SQL_TOKEN_QUOTED,          /* `identifier`, quotes included */
    PCL_SQL_TOKEN_STRING,          /* '...', "...", N'...', X'...', B'...' */
    PCL_SQL_TOKEN_NUMBER,          /* 1, 1.5, .5, 1e3, 0x1F, 0b01 */
    PCL_SQL_TOKEN_PARAMETER,       /* ? */
    PCL_SQL_TOKEN_USER_VARIABLE,   /* @name, @'name', also the @host of an account */
    PCL_SQL_TOKEN_SYSTEM_VARIABLE, /* @@name, @@scope.name */
    PCL_SQL_TOKEN_ASSIGN,          /* := */
    PCL_SQL_TOKEN_PUNCTUATION,     /* one octet */
    PCL_SQL_TOKEN_ERROR,
} pcl_sql_token_kind;

/* Sixteen octets, so that one travels in registers. */
typedef struct pcl_sql_token {
    uint32_t offset;     /* octet in the text */
    uint32_t size;       /* octets */
    uint16_t keyword;    /* pcl_sql_keyword of a WORD that is not part of a dotted name */
    uint8_t kind;        /* pcl_sql_token_kind */
    uint8_t punctuation; /* the octet of a PUNCTUATION, else 0 */
} pcl_sql_token;

/* By value: a copy looks ahead.  Borrows the text. */
typedef struct pcl_sql_lexer {
    const uint8_t *text;
    uint32_t size;
    uint32_t at;       /* where the next token is looked for */
    uint32_t dot_end;  /* one past the token before, if that was a `.`, else UINT32_MAX */
    uint32_t word_end; /* one past the token before, if that was a WORD, else UINT32_MAX */
    const char *rule;  /* after an ERROR: what was broken, static text; else NULL */
} pcl_sql_lexer;

/* sql.size must not exceed UINT32_MAX - 1.  The text must have passed
 * pcl_sql_text_check, or strings may hold what it refuses. */
pcl_sql_lexer pcl_sql_lexer_on(pcl_bytes sql);

pcl_sql_token pcl_sql_lexer_next(pcl_sql_lexer *self);

/* NULL when the text is UTF-8 without NUL, byte order mark at its start, and
 * control characters other than white space; else the rule it breaks. */
const char *pcl_sql_text_check(pcl_bytes sql, uint32_t *out_offset);

#endif
