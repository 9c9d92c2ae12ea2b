#include "sql/table_option.h"

#include "sql/ascii.h"

#include <stdbool.h>
#include <string.h>

/* Engines that keep their rows in the server's own data directory or memory, and
 * have no tables but their own.  Others read files or hosts (CONNECT, FEDERATED,
 * SPIDER, S3) or stand for tables elsewhere (MERGE). */
static const char *const ENGINES[] = {
    "archive", "aria", "blackhole", "csv", "heap", "innodb", "memory", "myisam", "rocksdb",
};

static bool s_spells(pcl_bytes text, const char *lower)
{
    return text.size == strlen(lower) && pcl_sql_ascii_is(text.data, lower, text.size);
}

static pcl_bytes s_text(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    bool quoted = token.kind == PCL_SQL_TOKEN_QUOTED || token.kind == PCL_SQL_TOKEN_STRING;
    uint32_t quotes = quoted && token.size >= 2 ? 1 : 0;
    return pcl_bytes_of(lexer->text + token.offset + quotes, token.size - 2 * quotes);
}

/* A column's type, which is reserved in every server and so names no engine. */
static bool s_is_type(const pcl_sql_lexer *lexer, pcl_sql_token token)
{
    static const char *const words[] = {
        "bigint",   "binary",  "blob",     "char",      "decimal",   "double",     "float",
        "int",      "integer", "longblob", "longtext",  "mediumint", "mediumtext", "numeric",
        "smallint", "tinyint", "tinytext", "varbinary", "varchar",
    };
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (token.kind == PCL_SQL_TOKEN_WORD && s_spells(s_text(lexer, token), words[index])) {
            return true;
        }
    }
    return false;
}

static bool s_is_value(pcl_sql_token token)
{
    return token.kind == PCL_SQL_TOKEN_WORD || token.kind == PCL_SQL_TOKEN_QUOTED ||
           token.kind == PCL_SQL_TOKEN_STRING;
}

/* Where a column or a table is named, and no option can stand: at the start of
 * an item of a list, and behind a reserved word that wants a name. */
static bool s_is_name_place(const pcl_sql_table_place *place)
{
    static const char *const words[] = {"add",  "by",     "change", "column",
                                        "drop", "exists", "table",  "to"};
    if (place->depth > 0 && (place->last.punctuation == '(' || place->last.punctuation == ',')) {
        return true;
    }
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (place->last.kind == PCL_SQL_TOKEN_WORD &&
            s_spells(s_text(&place->lexer, place->last), words[index])) {
            return true;
        }
    }
    return false;
}

static bool s_engine_is_open(pcl_bytes name)
{
    for (size_t index = 0; index < sizeof ENGINES / sizeof ENGINES[0]; index++) {
        if (s_spells(name, ENGINES[index])) {
            return true;
        }
    }
    return false;
}

const char *pcl_sql_table_option_check(const pcl_sql_table_place *place)
{
    unsigned keyword = place->now.keyword;
    bool option = keyword == PCL_SQL_KW_DIRECTORY || keyword == PCL_SQL_KW_ENGINE ||
                  keyword == PCL_SQL_KW_CONNECTION || keyword == PCL_SQL_KW_TABLESPACE;
    if (!option || s_is_name_place(place)) {
        return NULL;
    }
    pcl_sql_lexer ahead = place->lexer;
    pcl_sql_token value = pcl_sql_lexer_next(&ahead);
    bool assigned = value.punctuation == '=';
    if (assigned) {
        value = pcl_sql_lexer_next(&ahead);
    }
    bool text = assigned || value.kind == PCL_SQL_TOKEN_STRING;
    if (keyword == PCL_SQL_KW_TABLESPACE) {
        return "TABLESPACE of a table";
    }
    if (keyword == PCL_SQL_KW_CONNECTION) {
        return text ? "CONNECTION of a table" : NULL;
    }
    if (keyword == PCL_SQL_KW_DIRECTORY) {
        bool named = place->last.keyword == PCL_SQL_KW_INDEX ||
                     (place->last.kind == PCL_SQL_TOKEN_WORD &&
                      s_spells(s_text(&place->lexer, place->last), "data"));
        return named && text ? "DATA DIRECTORY or INDEX DIRECTORY" : NULL;
    }
    bool chosen = assigned || (s_is_value(value) && !s_is_type(&ahead, value));
    return chosen && !s_engine_is_open(s_text(&ahead, value)) ? "ENGINE that is not open" : NULL;
}
