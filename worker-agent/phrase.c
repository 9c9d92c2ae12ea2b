#include "worker-agent/phrase.h"

#include "sql/ascii.h"
#include "sql/lexer.h"

#include <string.h>

static bool s_is_plain(pcl_bytes sql)
{
    for (size_t index = 0; index < sql.size; index++) {
        uint8_t octet = sql.data[index];
        bool blank = octet == '\t' || octet == '\n' || octet == '\r';
        if ((octet < ' ' && !blank) || octet > '~' || strchr("'\"`\\", octet) != NULL) {
            return false;
        }
    }
    return true;
}

static bool s_is_word(pcl_bytes sql, const pcl_sql_token *token, const char *word)
{
    size_t size = strlen(word);
    return token->kind == PCL_SQL_TOKEN_WORD && token->size == size &&
           pcl_sql_ascii_is(sql.data + token->offset, word, size);
}

static pcl_verb s_verb(pcl_bytes sql)
{
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    if (s_is_word(sql, &token, "use")) {
        return PCL_VERB_USE;
    }
    if (s_is_word(sql, &token, "execute")) {
        return PCL_VERB_EXECUTE;
    }
    if (!s_is_word(sql, &token, "rollback")) {
        return PCL_VERB_OTHER;
    }
    do {
        token = pcl_sql_lexer_next(&lexer);
        if (s_is_word(sql, &token, "to")) {
            return PCL_VERB_OTHER;
        }
    } while (token.kind != PCL_SQL_TOKEN_END && token.kind != PCL_SQL_TOKEN_ERROR);
    return PCL_VERB_ROLLBACK;
}

/* Asks for what the statement before has left, which preparing this one would take away. */
static bool s_asks_back(pcl_bytes sql)
{
    static const char *const WORDS[] = {"row_count", "found_rows"};
    pcl_sql_lexer lexer = pcl_sql_lexer_on(sql);
    pcl_sql_token token;
    do {
        token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_SYSTEM_VARIABLE) {
            return true;
        }
        for (size_t index = 0; index < sizeof WORDS / sizeof WORDS[0]; index++) {
            if (s_is_word(sql, &token, WORDS[index])) {
                return true;
            }
        }
    } while (token.kind != PCL_SQL_TOKEN_END && token.kind != PCL_SQL_TOKEN_ERROR);
    return false;
}

pcl_phrase pcl_phrase_of(pcl_bytes sql, uint8_t sql_class)
{
    pcl_phrase self = {.verb = PCL_VERB_OTHER, .form = PCL_SQL_STATE};
    if (sql_class == PCL_SQL_STATE) {
        self.form = pcl_sql_classify(sql).statement_class;
        self.only_variables = self.form != PCL_SQL_STATE && !s_asks_back(sql);
        self.plain = s_is_plain(sql);
    }
    if (sql_class == PCL_SQL_STATE || sql_class == PCL_SQL_TRANSACTION) {
        self.verb = s_verb(sql);
    }
    return self;
}
