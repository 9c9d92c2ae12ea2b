#include "sql/lexer.h"

#include "sql/ascii.h"

#include <assert.h>
#include <string.h>

enum {
    S_SPACE = 1,    /* TAB to CR and blank */
    S_DIGIT = 2,    /* 0-9 */
    S_WORD = 4,     /* may stand in an unquoted identifier */
    S_HEX = 8,      /* 0-9 a-f A-F */
    S_CONTROL = 16, /* refused wherever it stands */
    S_COMMENT = 32  /* may begin a comment: # - slash */
};

#define S_16(value)                                                                                \
    value, value, value, value, value, value, value, value, value, value, value, value, value,     \
        value, value, value

/* clang-format off */
static const uint8_t CLASSES[256] = {
    /* 00 */ 16, 16, 16, 16, 16, 16, 16, 16, 16, 1, 1, 1, 1, 1, 16, 16,
    /* 10 */ S_16(16),
    /* 20 */ 1, 0, 0, 32, 4, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 32,
    /* 30 */ 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 0, 0, 0, 0, 0, 0,
    /* 40 */ 0, 12, 12, 12, 12, 12, 12, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    /* 50 */ 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 4,
    /* 60 */ 0, 12, 12, 12, 12, 12, 12, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    /* 70 */ 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 16,
    S_16(4), S_16(4), S_16(4), S_16(4), S_16(4), S_16(4), S_16(4), S_16(4),
};
/* clang-format on */

pcl_sql_lexer pcl_sql_lexer_on(pcl_bytes sql)
{
    assert(sql.size < UINT32_MAX);
    return (pcl_sql_lexer){.text = sql.data,
                           .size = (uint32_t)sql.size,
                           .dot_end = UINT32_MAX,
                           .word_end = UINT32_MAX};
}

/* The octet at an offset; 0, which no checked text holds, past the end. */
static uint8_t s_octet(const pcl_sql_lexer *self, uint32_t offset)
{
    return offset < self->size ? self->text[offset] : 0;
}

static bool s_is(const pcl_sql_lexer *self, uint32_t offset, unsigned classes)
{
    return offset < self->size && (CLASSES[self->text[offset]] & classes) != 0;
}

/* The first offset from here on that is not of these classes. */
static uint32_t s_span(const pcl_sql_lexer *self, uint32_t offset, unsigned classes)
{
    while (s_is(self, offset, classes)) {
        offset++;
    }
    return offset;
}

static pcl_sql_token s_token(pcl_sql_lexer *self, pcl_sql_token_kind kind, uint32_t start,
                             uint32_t end)
{
    assert(start <= end && end <= self->size);
    self->at = end;
    return (pcl_sql_token){.offset = start, .size = end - start, .kind = (uint8_t)kind};
}

static pcl_sql_token s_error(pcl_sql_lexer *self, const char *rule, uint32_t offset)
{
    self->at = self->size; /* nothing follows an error */
    self->rule = rule;
    return (pcl_sql_token){.offset = offset, .kind = PCL_SQL_TOKEN_ERROR};
}

/* What a hint may hold, so that both servers end it at the same place, and
 * that neither changes a setting nor lifts the time limit. */
static const char *s_hint_rule(const uint8_t *hint, uint32_t size)
{
    static const char *const banned[] = {"set_var", "max_execution_time", "resource_group"};
    for (uint32_t at = 0; at < size; at++) {
        if (hint[at] == '\'' || hint[at] == '"' || hint[at] == '`' || hint[at] == '\\' ||
            hint[at] == '/') {
            return "optimizer hint with quotes";
        }
        for (size_t index = 0; index < sizeof banned / sizeof banned[0]; index++) {
            size_t length = strlen(banned[index]);
            if (size - at >= length && pcl_sql_ascii_is(hint + at, banned[index], length)) {
                return "optimizer hint that changes a setting";
            }
        }
    }
    return NULL;
}

/* A comment that begins at `start` with slash and star; *out_end is one past
 * it.  Returns the rule it breaks, or NULL. */
static const char *s_block_comment(const pcl_sql_lexer *self, uint32_t start, uint32_t *out_end)
{
    uint8_t mark = s_octet(self, start + 2);
    uint8_t second = s_octet(self, start + 3);
    if (mark == '!' || ((mark == 'M' || mark == 'm') && second == '!')) {
        return "executable comment";
    }
    uint32_t at = start + 2;
    while (at < self->size) {
        const uint8_t *star = memchr(self->text + at, '*', self->size - at);
        if (star == NULL) {
            break;
        }
        at = (uint32_t)(star - self->text) + 1;
        if (s_octet(self, at) == '/') {
            *out_end = at + 1;
            return mark == '+' ? s_hint_rule(self->text + start + 3, at - 1 - (start + 3)) : NULL;
        }
    }
    return "comment without an end";
}

/* Skips to the end of the line: only LF ends a comment, CR does not. */
static uint32_t s_line_end(const pcl_sql_lexer *self, uint32_t at)
{
    const uint8_t *end = memchr(self->text + at, '\n', self->size - at);
    return end == NULL ? self->size : (uint32_t)(end - self->text) + 1;
}

/* Moves self->at to the next token; returns the rule that a comment breaks. */
static const char *s_skip(pcl_sql_lexer *self)
{
    for (;;) {
        self->at = s_span(self, self->at, S_SPACE);
        if (!s_is(self, self->at, S_COMMENT)) {
            return NULL;
        }
        uint8_t octet = s_octet(self, self->at);
        uint8_t next = s_octet(self, self->at + 1);
        if (octet == '#') {
            self->at = s_line_end(self, self->at);
        } else if (octet == '-' && next == '-' &&
                   (self->at + 2 >= self->size || s_is(self, self->at + 2, S_SPACE | S_CONTROL))) {
            self->at = s_line_end(self, self->at);
        } else if (octet == '/' && next == '*') {
            uint32_t end = 0;
            const char *rule = s_block_comment(self, self->at, &end);
            if (rule != NULL) {
                return rule;
            }
            self->at = end;
        } else {
            return NULL;
        }
    }
}

/* One past the quote that closes the one at `start`, or 0 when nothing does.
 * A doubled quote stands for itself; so does what follows a backslash. */
static uint32_t s_quoted_end(const pcl_sql_lexer *self, uint32_t start)
{
    uint8_t quote = self->text[start];
    uint32_t at = start + 1;
    while (at < self->size) {
        uint8_t octet = self->text[at++];
        if (octet == '\\' && quote != '`') {
            at++;
        } else if (octet == quote) {
            if (s_octet(self, at) != quote) {
                return at;
            }
            at++;
        }
    }
    return 0;
}

static pcl_sql_token s_quoted(pcl_sql_lexer *self, pcl_sql_token_kind kind, uint32_t start,
                              uint32_t quote)
{
    uint32_t end = s_quoted_end(self, quote);
    if (end == 0) {
        return s_error(
            self, self->text[quote] == '`' ? "quoted name without an end" : "string without an end",
            start);
    }
    if (self->text[quote] == '`' && end - quote == 2) {
        return s_error(self, "empty name", start);
    }
    return s_token(self, kind, start, end);
}

static uint32_t s_bits_end(const pcl_sql_lexer *self, uint32_t offset)
{
    while (s_octet(self, offset) == '0' || s_octet(self, offset) == '1') {
        offset++;
    }
    return offset;
}

/* X'1F' and B'01': neither escapes nor doubled quotes occur in one. */
static pcl_sql_token s_bit_literal(pcl_sql_lexer *self, uint32_t start)
{
    bool hexadecimal = pcl_sql_ascii_lower(self->text[start]) == 'x';
    uint32_t end = hexadecimal ? s_span(self, start + 2, S_HEX) : s_bits_end(self, start + 2);
    if (s_octet(self, end) != '\'') {
        return s_error(self, "malformed hexadecimal or bit literal", start);
    }
    return s_token(self, PCL_SQL_TOKEN_STRING, start, end + 1);
}

static pcl_sql_token s_word(pcl_sql_lexer *self, uint32_t start, uint32_t end)
{
    end = s_span(self, end, S_WORD);
    bool in_name = self->dot_end == start ||
                   (s_octet(self, end) == '.' && s_is(self, end + 1, S_WORD));
    pcl_sql_token token = s_token(self, PCL_SQL_TOKEN_WORD, start, end);
    if (!in_name) {
        token.keyword = (uint16_t)pcl_sql_keyword_find(self->text + start, end - start);
    }
    return token;
}

/* 0x1F and 0b01, with a small letter: with a capital one they are names to the
 * server, which no one means. */
static pcl_sql_token s_prefixed_number(pcl_sql_lexer *self, uint32_t start)
{
    uint8_t mark = self->text[start + 1];
    uint32_t end = start + 2;
    bool hexadecimal = mark == 'x' || mark == 'X';
    end = hexadecimal ? s_span(self, end, S_HEX) : s_bits_end(self, end);
    if (end == start + 2 || s_is(self, end, S_WORD)) {
        return s_word(self, start, end);
    }
    if (mark == 'X' || mark == 'B') {
        return s_error(self, "0X or 0B, which servers take for a name", start);
    }
    return s_token(self, PCL_SQL_TOKEN_NUMBER, start, end);
}

/* One past an exponent that begins at `at`, or `at` when none is there. */
static uint32_t s_exponent_end(const pcl_sql_lexer *self, uint32_t at)
{
    uint8_t letter = s_octet(self, at);
    if (letter != 'e' && letter != 'E') {
        return at;
    }
    uint8_t sign = s_octet(self, at + 1);
    uint32_t digits = at + (sign == '+' || sign == '-' ? 2 : 1);
    return s_is(self, digits, S_DIGIT) ? s_span(self, digits, S_DIGIT) : at;
}

/* A number, or a name that begins with digits. */
static pcl_sql_token s_number(pcl_sql_lexer *self, uint32_t start)
{
    uint8_t mark = s_octet(self, start + 1);
    if (self->text[start] == '0' && (mark == 'x' || mark == 'X' || mark == 'b' || mark == 'B')) {
        return s_prefixed_number(self, start);
    }
    uint32_t end = s_span(self, start, S_DIGIT);
    if (s_is(self, end, S_WORD)) {
        uint32_t exponent_end = s_exponent_end(self, end);
        if (exponent_end == end) {
            return s_word(self, start, end);
        }
        return s_token(self, PCL_SQL_TOKEN_NUMBER, start, exponent_end);
    }
    if (s_octet(self, end) == '.') {
        end = s_span(self, end + 1, S_DIGIT);
        uint8_t letter = s_octet(self, end);
        uint32_t exponent_end = s_exponent_end(self, end);
        if ((letter == 'e' || letter == 'E') && exponent_end == end) {
            return s_error(self, "malformed number", start);
        }
        end = exponent_end;
    }
    return s_token(self, PCL_SQL_TOKEN_NUMBER, start, end);
}

/* @name and @'name'.  A bare @ before blank space is one too: the class that
 * it leads to is the careful one. */
static pcl_sql_token s_user_variable(pcl_sql_lexer *self, uint32_t start)
{
    uint8_t next = s_octet(self, start + 1);
    if (next == '\'' || next == '"' || next == '`') {
        return s_quoted(self, PCL_SQL_TOKEN_USER_VARIABLE, start, start + 1);
    }
    uint32_t end = start + 1;
    while (s_is(self, end, S_WORD) || s_octet(self, end) == '.') {
        end++;
    }
    return s_token(self, PCL_SQL_TOKEN_USER_VARIABLE, start, end);
}

/* @@name, @@scope.name, @@`name`: the dotted name in one token. */
static pcl_sql_token s_system_variable(pcl_sql_lexer *self, uint32_t start)
{
    uint32_t end = start + 2;
    for (;;) {
        uint32_t part = end;
        if (s_octet(self, part) == '`') {
            end = s_quoted_end(self, part);
            if (end == 0) {
                return s_error(self, "quoted name without an end", part);
            }
        } else {
            end = s_span(self, part, S_WORD);
        }
        if (end == part) {
            return s_error(self, "system variable without a name", start);
        }
        if (s_octet(self, end) != '.') {
            return s_token(self, PCL_SQL_TOKEN_SYSTEM_VARIABLE, start, end);
        }
        end++;
    }
}

static pcl_sql_token s_mark(pcl_sql_lexer *self, uint32_t start)
{
    uint8_t octet = self->text[start];
    uint8_t next = s_octet(self, start + 1);
    if (octet == '@') {
        return next == '@' ? s_system_variable(self, start) : s_user_variable(self, start);
    }
    if (octet == '?') {
        return s_token(self, PCL_SQL_TOKEN_PARAMETER, start, start + 1);
    }
    if (octet == ':' && next == '=') {
        return s_token(self, PCL_SQL_TOKEN_ASSIGN, start, start + 2);
    }
    if (octet == '\\') {
        return s_error(self, "backslash outside a literal", start);
    }
    if ((CLASSES[octet] & S_CONTROL) != 0) {
        return s_error(self, "control character", start);
    }
    pcl_sql_token token = s_token(self, PCL_SQL_TOKEN_PUNCTUATION, start, start + 1);
    token.punctuation = octet;
    return token;
}

static pcl_sql_token s_cut(pcl_sql_lexer *self, uint32_t start)
{
    uint8_t octet = self->text[start];
    if (s_is(self, start, S_DIGIT) && self->dot_end != start) {
        return s_number(self, start);
    }
    if (octet == '$') {
        return s_error(self, "name that begins with $", start);
    }
    if (s_is(self, start, S_WORD)) {
        if (s_octet(self, start + 1) == '\'') {
            uint8_t letter = pcl_sql_ascii_lower(octet);
            if (letter == 'x' || letter == 'b') {
                return s_bit_literal(self, start);
            }
            if (letter == 'n') {
                return s_quoted(self, PCL_SQL_TOKEN_STRING, start, start + 1);
            }
        }
        return s_word(self, start, start + 1);
    }
    if (octet == '\'' || octet == '"') {
        return s_quoted(self, PCL_SQL_TOKEN_STRING, start, start);
    }
    if (octet == '`') {
        return s_quoted(self, PCL_SQL_TOKEN_QUOTED, start, start);
    }
    if (octet == '.' && s_is(self, start + 1, S_DIGIT) && self->word_end != start) {
        return s_number(self, start);
    }
    return s_mark(self, start);
}

pcl_sql_token pcl_sql_lexer_next(pcl_sql_lexer *self)
{
    assert(self != NULL);
    const char *rule = s_skip(self);
    if (rule != NULL) {
        return s_error(self, rule, self->at);
    }
    if (self->at >= self->size) {
        return (pcl_sql_token){.offset = self->size, .kind = PCL_SQL_TOKEN_END};
    }
    pcl_sql_token token = s_cut(self, self->at);
    self->dot_end = token.punctuation == '.' ? self->at : UINT32_MAX;
    self->word_end = token.kind == PCL_SQL_TOKEN_WORD ? self->at : UINT32_MAX;
    return token;
}

/* The size of the well-formed UTF-8 sequence at `at`, or 0. */
static uint32_t s_sequence_size(const uint8_t *text, uint32_t at, uint32_t size)
{
    uint8_t lead = text[at];
    uint32_t count = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || size - at < count) {
        return 0;
    }
    for (uint32_t index = 1; index < count; index++) {
        if ((text[at + index] & 0xC0) != 0x80) {
            return 0;
        }
    }
    uint8_t second = text[at + 1];
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {
        return 0; /* overlong, surrogate, beyond U+10FFFF */
    }
    return count;
}

/* Whether eight octets are all in 0x20..0x7E. */
static bool s_all_plain(const uint8_t *text)
{
    uint64_t word = 0;
    memcpy(&word, text, sizeof word);
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    uint64_t below = (word - ones * 0x20) & ~word; /* top bit: under 0x20 */
    uint64_t above = (word + ones) | word;         /* top bit: 0x7F or more */
    return ((below | above) & tops) == 0;
}

const char *pcl_sql_text_check(pcl_bytes sql, uint32_t *out_offset)
{
    assert(out_offset != NULL && sql.size < UINT32_MAX);
    const uint8_t *text = sql.data;
    uint32_t size = (uint32_t)sql.size;
    uint32_t at = 0;
    *out_offset = 0;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        return "byte order mark";
    }
    while (at < size) {
        if (size - at >= 8 && s_all_plain(text + at)) {
            at += 8;
        } else if (text[at] >= 0x80) {
            uint32_t count = s_sequence_size(text, at, size);
            if (count == 0) {
                *out_offset = at;
                return "invalid UTF-8";
            }
            at += count;
        } else if ((CLASSES[text[at]] & S_CONTROL) != 0) {
            *out_offset = at;
            return text[at] == 0 ? "NUL" : "control character";
        } else {
            at++;
        }
    }
    return NULL;
}
