#include "sql/program.h"

#include "sql/ascii.h"
#include "sql/functions.h"

#include <string.h>

enum { S_HEAD_MAX = 64 }; /* words between parameters and body: some ten are in use */

/* What may stand between the parameters of a routine and its body: the words of
 * characteristics and of types.  No statement begins with one of them, so that
 * the first word that is not here begins the body. */
static const char *const HEAD[] = {
    "ascii",
    "bigint",
    "binary",
    "bit",
    "blob",
    "bool",
    "boolean",
    "byte",
    "char",
    "character",
    "comment",
    "contains",
    "data",
    "date",
    "datetime",
    "dec",
    "decimal",
    "definer",
    "deterministic",
    "double",
    "enum",
    "fixed",
    "float",
    "float4",
    "float8",
    "geometry",
    "geometrycollection",
    "inet4",
    "inet6",
    "int",
    "int1",
    "int2",
    "int3",
    "int4",
    "int8",
    "integer",
    "invoker",
    "json",
    "language",
    "linestring",
    "long",
    "longblob",
    "longtext",
    "mediumblob",
    "mediumint",
    "mediumtext",
    "middleint",
    "modifies",
    "multilinestring",
    "multipoint",
    "multipolygon",
    "national",
    "nchar",
    "no",
    "not",
    "number",
    "numeric",
    "nvarchar",
    "point",
    "polygon",
    "precision",
    "reads",
    "real",
    "returns",
    "security",
    "signed",
    "smallint",
    "sql",
    "string",
    "text",
    "time",
    "timestamp",
    "tinyblob",
    "tinyint",
    "tinytext",
    "unicode",
    "unsigned",
    "uuid",
    "varbinary",
    "varchar",
    "varchar2",
    "varying",
    "vector",
    "year",
    "zerofill",
};

static bool s_is(const pcl_sql_lexer *lexer, pcl_sql_token token, const char *lower)
{
    return token.kind == PCL_SQL_TOKEN_WORD && token.size == strlen(lower) &&
           pcl_sql_ascii_is(lexer->text + token.offset, lower, token.size);
}

static bool s_is_head(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    for (size_t index = 0; index < sizeof HEAD / sizeof HEAD[0]; index++) {
        if (s_is(lexer, token, HEAD[index])) {
            return true;
        }
    }
    return false;
}

static bool s_is_end(pcl_sql_token token)
{
    return token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR ||
           token.punctuation == ';';
}

static bool s_is_name(pcl_sql_token token)
{
    return token.kind == PCL_SQL_TOKEN_WORD || token.kind == PCL_SQL_TOKEN_QUOTED;
}

/* [IF [NOT] EXISTS] [name .] name; gives the last. */
static bool s_pass_name(pcl_sql_lexer *lexer, pcl_sql_token *out_name)
{
    pcl_sql_token token = pcl_sql_lexer_next(lexer);
    if (token.keyword == PCL_SQL_KW_IF) {
        do {
            token = pcl_sql_lexer_next(lexer);
        } while (s_is(lexer, token, "not") || s_is(lexer, token, "exists"));
    }
    if (!s_is_name(token)) {
        return false;
    }
    pcl_sql_lexer ahead = *lexer;
    if (pcl_sql_lexer_next(&ahead).punctuation == '.') {
        *lexer = ahead;
        token = pcl_sql_lexer_next(lexer);
    }
    *out_name = token;
    return s_is_name(token);
}

bool pcl_sql_program_shadows(const pcl_sql_rules *rules, pcl_sql_lexer lexer)
{
    pcl_sql_token name;
    if (!s_pass_name(&lexer, &name)) {
        return false;
    }
    uint32_t quotes = name.kind == PCL_SQL_TOKEN_QUOTED ? 1 : 0;
    const uint8_t *text = lexer.text + name.offset + quotes;
    size_t size = name.size - 2 * quotes;
    return pcl_sql_function_find(rules->flavor, text, size) != PCL_SQL_FUNCTION_UNKNOWN ||
           pcl_sql_rules_lists(rules, text, size);
}

/* Behind CHARSET and COLLATE stands a name, which is passed unseen. */
static bool s_wants_name(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    return token.keyword == PCL_SQL_KW_CHARSET || s_is(lexer, token, "collate");
}

static bool s_find_routine_body(pcl_sql_lexer *lexer)
{
    pcl_sql_token name;
    if (!s_pass_name(lexer, &name)) {
        return false;
    }
    pcl_sql_token last = {.kind = PCL_SQL_TOKEN_END};
    unsigned words = 0;
    for (uint32_t depth = 0;;) {
        pcl_sql_lexer here = *lexer;
        pcl_sql_token token = pcl_sql_lexer_next(lexer);
        bool inside = depth > 0;
        if (s_is_end(token)) {
            *lexer = here;
            return !inside;
        }
        depth += token.punctuation == '(';
        if (token.punctuation == ')') {
            if (!inside) {
                return false;
            }
            depth--;
        } else if (!inside && token.kind == PCL_SQL_TOKEN_WORD) {
            pcl_sql_lexer ahead = *lexer;
            bool set = token.keyword == PCL_SQL_KW_SET;
            bool of_character = set && last.kind == PCL_SQL_TOKEN_WORD &&
                                (last.keyword == PCL_SQL_KW_CHARACTER || s_is(&here, last, "char"));
            bool type = set && pcl_sql_lexer_next(&ahead).punctuation == '(';
            if (of_character || s_wants_name(lexer, token)) {
                (void)pcl_sql_lexer_next(lexer); /* the name of a character set */
            } else if (!type && !s_is_head(lexer, token)) {
                *lexer = here;
                return true;
            } else if (++words > S_HEAD_MAX) {
                return false;
            }
        } else if (!inside && token.kind != PCL_SQL_TOKEN_STRING && token.punctuation != '(') {
            return false;
        }
        last = token;
    }
}

/* ... FOR EACH ROW [FOLLOWS name | PRECEDES name] */
static bool s_find_trigger_body(pcl_sql_lexer *lexer)
{
    pcl_sql_token before = {.kind = PCL_SQL_TOKEN_END};
    pcl_sql_token last = before;
    pcl_sql_token token = before;
    do {
        before = last;
        last = token;
        token = pcl_sql_lexer_next(lexer);
        if (s_is_end(token)) {
            return false;
        }
    } while (before.keyword != PCL_SQL_KW_FOR || !s_is(lexer, last, "each") ||
             !s_is(lexer, token, "row"));
    pcl_sql_lexer ahead = *lexer;
    token = pcl_sql_lexer_next(&ahead);
    if (s_is(&ahead, token, "follows") || s_is(&ahead, token, "precedes")) {
        (void)pcl_sql_lexer_next(&ahead); /* the other trigger's name */
        *lexer = ahead;
    }
    return true;
}

bool pcl_sql_program_find_body(pcl_sql_lexer *lexer, pcl_sql_keyword object)
{
    return object == PCL_SQL_KW_TRIGGER ? s_find_trigger_body(lexer) : s_find_routine_body(lexer);
}

bool pcl_sql_program_sets_new_row(pcl_sql_lexer lexer)
{
    bool target = true;
    uint32_t depth = 0;
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (s_is_end(token)) {
            return !target;
        }
        if (target) {
            if (!s_is(&lexer, token, "new") || pcl_sql_lexer_next(&lexer).punctuation != '.') {
                return false;
            }
            target = false;
            continue;
        }
        depth += token.punctuation == '(';
        depth -= token.punctuation == ')' && depth > 0;
        target = token.punctuation == ',' && depth == 0;
    }
}
