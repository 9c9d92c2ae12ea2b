#include "sql/opening.h"

#include "sql/ascii.h"
#include "sql/program.h"

#include <assert.h>
#include <string.h>

typedef struct s_kind {
    pcl_sql_class sql_class;
    unsigned rules;
    const char *rule;
} s_kind;

enum {
    S_QUERY = PCL_SQL_RULES_QUERY | PCL_SQL_RULES_EXPRESSIONS,
    S_WRITE = PCL_SQL_RULES_WRITE | PCL_SQL_RULES_EXPRESSIONS,
    S_EXPRESSIONS = PCL_SQL_RULES_EXPRESSIONS,
    S_TABLE = PCL_SQL_RULES_TABLE | PCL_SQL_RULES_EXPRESSIONS,
    S_PROGRAM = PCL_SQL_RULES_PROGRAM | PCL_SQL_RULES_EXPRESSIONS,
    S_VIEW = PCL_SQL_RULES_VIEW | PCL_SQL_RULES_EXPRESSIONS,
    S_SHOW = PCL_SQL_RULES_SHOW | PCL_SQL_RULES_SCHEMA | S_QUERY,
};

static const char COMPOUND[] = "compound statement";
static const char UNKNOWN[] = "unknown statement";

/* By the first word.  What is not here is unknown, and refused. */
static const s_kind FIRST[PCL_SQL_KEYWORD_COUNT] = {
    [PCL_SQL_KW_SELECT] = {PCL_SQL_READ, S_QUERY, "SELECT"},
    [PCL_SQL_KW_WITH] = {PCL_SQL_READ, S_QUERY, "WITH"},
    [PCL_SQL_KW_TABLE] = {PCL_SQL_READ, S_QUERY, "TABLE"},
    [PCL_SQL_KW_VALUES] = {PCL_SQL_READ, S_QUERY, "VALUES"},
    [PCL_SQL_KW_EXPLAIN] = {PCL_SQL_READ, S_QUERY, "EXPLAIN"},
    [PCL_SQL_KW_DESCRIBE] = {PCL_SQL_READ, S_QUERY, "DESCRIBE"},
    [PCL_SQL_KW_DESC] = {PCL_SQL_READ, S_QUERY, "DESCRIBE"},
    [PCL_SQL_KW_ANALYZE] = {PCL_SQL_READ, S_QUERY, "ANALYZE"},
    [PCL_SQL_KW_SHOW] = {PCL_SQL_ADMIN, S_SHOW, "SHOW"},
    [PCL_SQL_KW_INSERT] = {PCL_SQL_WRITE, S_WRITE, "INSERT"},
    [PCL_SQL_KW_REPLACE] = {PCL_SQL_WRITE, S_WRITE, "REPLACE"},
    [PCL_SQL_KW_UPDATE] = {PCL_SQL_WRITE, S_WRITE, "UPDATE"},
    [PCL_SQL_KW_DELETE] = {PCL_SQL_WRITE, S_WRITE, "DELETE"},
    [PCL_SQL_KW_DO] = {PCL_SQL_WRITE, S_EXPRESSIONS, "DO"},
    [PCL_SQL_KW_CALL] = {PCL_SQL_CALL, S_EXPRESSIONS, "CALL"},
    [PCL_SQL_KW_CREATE] = {PCL_SQL_REFUSED, 0, UNKNOWN},
    [PCL_SQL_KW_ALTER] = {PCL_SQL_REFUSED, 0, UNKNOWN},
    [PCL_SQL_KW_DROP] = {PCL_SQL_REFUSED, 0, UNKNOWN},
    [PCL_SQL_KW_TRUNCATE] = {PCL_SQL_DDL, 0, "TRUNCATE"},
    [PCL_SQL_KW_RENAME] = {PCL_SQL_DDL, 0, "RENAME"},
    [PCL_SQL_KW_OPTIMIZE] = {PCL_SQL_DDL, 0, "table maintenance"},
    [PCL_SQL_KW_REPAIR] = {PCL_SQL_DDL, 0, "table maintenance"},
    [PCL_SQL_KW_CHECK] = {PCL_SQL_DDL, 0, "table maintenance"},
    [PCL_SQL_KW_CHECKSUM] = {PCL_SQL_DDL, 0, "table maintenance"},
    [PCL_SQL_KW_BEGIN] = {PCL_SQL_TRANSACTION, 0, "BEGIN"},
    [PCL_SQL_KW_START] = {PCL_SQL_ADMIN, 0, "START"},
    [PCL_SQL_KW_COMMIT] = {PCL_SQL_TRANSACTION, 0, "COMMIT"},
    [PCL_SQL_KW_ROLLBACK] = {PCL_SQL_TRANSACTION, 0, "ROLLBACK"},
    [PCL_SQL_KW_SAVEPOINT] = {PCL_SQL_TRANSACTION, 0, "SAVEPOINT"},
    [PCL_SQL_KW_RELEASE] = {PCL_SQL_TRANSACTION, 0, "RELEASE SAVEPOINT"},
    [PCL_SQL_KW_XA] = {PCL_SQL_ADMIN, 0, "XA"},
    [PCL_SQL_KW_SET] = {PCL_SQL_STATE, PCL_SQL_RULES_SET | S_EXPRESSIONS, "SET"},
    [PCL_SQL_KW_USE] = {PCL_SQL_STATE, PCL_SQL_RULES_SCHEMA, "USE"},
    [PCL_SQL_KW_PREPARE] = {PCL_SQL_STATE, PCL_SQL_RULES_PREPARE, "PREPARE"},
    [PCL_SQL_KW_EXECUTE] = {PCL_SQL_STATE, 0, "EXECUTE"},
    [PCL_SQL_KW_DEALLOCATE] = {PCL_SQL_STATE, 0, "DEALLOCATE PREPARE"},
    [PCL_SQL_KW_LOCK] = {PCL_SQL_STATE, 0, "LOCK TABLES"},
    [PCL_SQL_KW_UNLOCK] = {PCL_SQL_STATE, 0, "UNLOCK TABLES"},
    [PCL_SQL_KW_HANDLER] = {PCL_SQL_STATE, S_EXPRESSIONS, "HANDLER"},
    [PCL_SQL_KW_SIGNAL] = {PCL_SQL_STATE, 0, "SIGNAL"},
    [PCL_SQL_KW_RESIGNAL] = {PCL_SQL_STATE, 0, "RESIGNAL"},
    [PCL_SQL_KW_GET] = {PCL_SQL_STATE, 0, "GET DIAGNOSTICS"},
    [PCL_SQL_KW_LOAD] = {PCL_SQL_REFUSED, 0, "LOAD DATA or LOAD XML"},
    [PCL_SQL_KW_KILL] = {PCL_SQL_ADMIN, S_EXPRESSIONS, "KILL"},
    [PCL_SQL_KW_GRANT] = {PCL_SQL_ADMIN, 0, "GRANT"},
    [PCL_SQL_KW_REVOKE] = {PCL_SQL_ADMIN, 0, "REVOKE"},
    [PCL_SQL_KW_FLUSH] = {PCL_SQL_ADMIN, 0, "FLUSH"},
    [PCL_SQL_KW_RESET] = {PCL_SQL_ADMIN, 0, "RESET"},
    [PCL_SQL_KW_CHANGE] = {PCL_SQL_ADMIN, 0, "CHANGE"},
    [PCL_SQL_KW_STOP] = {PCL_SQL_ADMIN, 0, "STOP"},
    [PCL_SQL_KW_INSTALL] = {PCL_SQL_ADMIN, 0, "INSTALL"},
    [PCL_SQL_KW_UNINSTALL] = {PCL_SQL_ADMIN, 0, "UNINSTALL"},
    [PCL_SQL_KW_SHUTDOWN] = {PCL_SQL_ADMIN, 0, "SHUTDOWN"},
    [PCL_SQL_KW_RESTART] = {PCL_SQL_ADMIN, 0, "RESTART"},
    [PCL_SQL_KW_PURGE] = {PCL_SQL_ADMIN, S_EXPRESSIONS, "PURGE"},
    [PCL_SQL_KW_CLONE] = {PCL_SQL_ADMIN, 0, "CLONE"},
    [PCL_SQL_KW_IMPORT] = {PCL_SQL_ADMIN, 0, "IMPORT"},
    [PCL_SQL_KW_BACKUP] = {PCL_SQL_ADMIN, 0, "BACKUP"},
    [PCL_SQL_KW_BINLOG] = {PCL_SQL_ADMIN, 0, "BINLOG"},
    [PCL_SQL_KW_CACHE] = {PCL_SQL_ADMIN, 0, "CACHE INDEX"},
    [PCL_SQL_KW_HELP] = {PCL_SQL_ADMIN, 0, "HELP"},
    [PCL_SQL_KW_IF] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_CASE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_WHILE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_LOOP] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_REPEAT] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_FOR] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_DECLARE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_ITERATE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_LEAVE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_RETURN] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_OPEN] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_CLOSE] = {PCL_SQL_REFUSED, 0, COMPOUND},
    [PCL_SQL_KW_FETCH] = {PCL_SQL_REFUSED, 0, COMPOUND},
};

/* First and second word, where the second changes what the first says. */
static const struct {
    pcl_sql_keyword first;
    pcl_sql_keyword second;
    s_kind kind;
} SECOND[] = {
    {PCL_SQL_KW_ANALYZE, PCL_SQL_KW_TABLE, {PCL_SQL_DDL, 0, "table maintenance"}},
    {PCL_SQL_KW_ANALYZE, PCL_SQL_KW_TABLES, {PCL_SQL_DDL, 0, "table maintenance"}},
    {PCL_SQL_KW_ANALYZE, PCL_SQL_KW_LOCAL, {PCL_SQL_DDL, 0, "table maintenance"}},
    {PCL_SQL_KW_ANALYZE, PCL_SQL_KW_NO_WRITE_TO_BINLOG, {PCL_SQL_DDL, 0, "table maintenance"}},
    {PCL_SQL_KW_DROP, PCL_SQL_KW_PREPARE, {PCL_SQL_STATE, 0, "DROP PREPARE"}},
    {PCL_SQL_KW_EXECUTE, PCL_SQL_KW_IMMEDIATE, {PCL_SQL_REFUSED, 0, "EXECUTE IMMEDIATE"}},
    {PCL_SQL_KW_LOAD, PCL_SQL_KW_INDEX, {PCL_SQL_ADMIN, 0, "LOAD INDEX"}},
    {PCL_SQL_KW_LOCK, PCL_SQL_KW_INSTANCE, {PCL_SQL_ADMIN, 0, "LOCK INSTANCE"}},
    {PCL_SQL_KW_UNLOCK, PCL_SQL_KW_INSTANCE, {PCL_SQL_ADMIN, 0, "UNLOCK INSTANCE"}},
    {PCL_SQL_KW_RENAME, PCL_SQL_KW_USER, {PCL_SQL_ADMIN, 0, "RENAME USER"}},
    {PCL_SQL_KW_START, PCL_SQL_KW_TRANSACTION, {PCL_SQL_TRANSACTION, 0, "START TRANSACTION"}},
    {PCL_SQL_KW_SET, PCL_SQL_KW_STATEMENT, {PCL_SQL_REFUSED, 0, "SET STATEMENT"}},
    {PCL_SQL_KW_SET, PCL_SQL_KW_PASSWORD, {PCL_SQL_ADMIN, 0, "SET PASSWORD"}},
    {PCL_SQL_KW_SET, PCL_SQL_KW_ROLE, {PCL_SQL_ADMIN, 0, "SET ROLE"}},
    {PCL_SQL_KW_SET, PCL_SQL_KW_DEFAULT, {PCL_SQL_ADMIN, 0, "SET DEFAULT ROLE"}},
    {PCL_SQL_KW_SET, PCL_SQL_KW_RESOURCE, {PCL_SQL_ADMIN, 0, "SET RESOURCE GROUP"}},
};

/* What CREATE, ALTER and DROP are about. */
static const struct {
    pcl_sql_keyword object;
    s_kind kind;
} OBJECTS[] = {
    {PCL_SQL_KW_TABLE, {PCL_SQL_DDL, S_TABLE, "table definition"}},
    {PCL_SQL_KW_TABLES, {PCL_SQL_DDL, S_TABLE, "table definition"}},
    {PCL_SQL_KW_VIEW, {PCL_SQL_DDL, S_VIEW, "view definition"}},
    {PCL_SQL_KW_INDEX, {PCL_SQL_DDL, S_EXPRESSIONS, "index definition"}},
    {PCL_SQL_KW_SEQUENCE, {PCL_SQL_DDL, S_TABLE, "sequence definition"}},
    {PCL_SQL_KW_DATABASE, {PCL_SQL_DDL, PCL_SQL_RULES_SCHEMA, "schema definition"}},
    {PCL_SQL_KW_SCHEMA, {PCL_SQL_DDL, PCL_SQL_RULES_SCHEMA, "schema definition"}},
    {PCL_SQL_KW_PROCEDURE, {PCL_SQL_DDL, S_PROGRAM, "stored program"}},
    {PCL_SQL_KW_FUNCTION, {PCL_SQL_DDL, S_PROGRAM, "stored program"}},
    {PCL_SQL_KW_TRIGGER, {PCL_SQL_DDL, S_PROGRAM, "stored program"}},
    {PCL_SQL_KW_EVENT, {PCL_SQL_ADMIN, 0, "event"}},
    {PCL_SQL_KW_PACKAGE, {PCL_SQL_DDL, S_PROGRAM, "stored program"}},
    {PCL_SQL_KW_USER, {PCL_SQL_ADMIN, 0, "account"}},
    {PCL_SQL_KW_ROLE, {PCL_SQL_ADMIN, 0, "account"}},
    {PCL_SQL_KW_SERVER, {PCL_SQL_ADMIN, 0, "server definition"}},
    {PCL_SQL_KW_INSTANCE, {PCL_SQL_ADMIN, 0, "ALTER INSTANCE"}},
    {PCL_SQL_KW_TABLESPACE, {PCL_SQL_ADMIN, 0, "tablespace"}},
    {PCL_SQL_KW_LOGFILE, {PCL_SQL_ADMIN, 0, "tablespace"}},
    {PCL_SQL_KW_RESOURCE, {PCL_SQL_ADMIN, 0, "resource group"}},
    {PCL_SQL_KW_LIBRARY, {PCL_SQL_ADMIN, 0, "library"}},
};

/* What SHOW may show to everyone: nothing of accounts, of other connections or
 * of replication.  All else is for operators. */
static const struct {
    const char *words;
    pcl_sql_class sql_class;
} SHOWN[] = {
    {"character set", PCL_SQL_READ},
    {"charset", PCL_SQL_READ},
    {"collation", PCL_SQL_READ},
    {"columns", PCL_SQL_READ},
    {"create database", PCL_SQL_READ},
    {"create event", PCL_SQL_READ},
    {"create function", PCL_SQL_READ},
    {"create procedure", PCL_SQL_READ},
    {"create schema", PCL_SQL_READ},
    {"create sequence", PCL_SQL_READ},
    {"create table", PCL_SQL_READ},
    {"create trigger", PCL_SQL_READ},
    {"create view", PCL_SQL_READ},
    {"databases", PCL_SQL_READ},
    {"engines", PCL_SQL_READ},
    {"events", PCL_SQL_READ},
    {"fields", PCL_SQL_READ},
    {"function status", PCL_SQL_READ},
    {"index", PCL_SQL_READ},
    {"indexes", PCL_SQL_READ},
    {"keys", PCL_SQL_READ},
    {"privileges", PCL_SQL_READ},
    {"procedure status", PCL_SQL_READ},
    {"schemas", PCL_SQL_READ},
    {"status", PCL_SQL_READ},
    {"storage engines", PCL_SQL_READ},
    {"table status", PCL_SQL_READ},
    {"tables", PCL_SQL_READ},
    {"triggers", PCL_SQL_READ},
    {"variables", PCL_SQL_READ},
    {"count", PCL_SQL_STATE},
    {"errors", PCL_SQL_STATE},
    {"profile", PCL_SQL_STATE},
    {"profiles", PCL_SQL_STATE},
    {"warnings", PCL_SQL_STATE},
};

static pcl_sql_opening s_opening(s_kind kind, uint32_t offset)
{
    return (pcl_sql_opening){
        .sql_class = kind.sql_class, .rules = kind.rules, .rule = kind.rule, .offset = offset};
}

static pcl_sql_opening s_refused(const char *rule, uint32_t offset)
{
    return s_opening((s_kind){PCL_SQL_REFUSED, 0, rule}, offset);
}

static bool s_token_is(const pcl_sql_lexer *lexer, const pcl_sql_token *token, const char *lower)
{
    return token->kind == PCL_SQL_TOKEN_WORD && token->size == strlen(lower) &&
           pcl_sql_ascii_is(lexer->text + token->offset, lower, token->size);
}

/* Whether the token, and where `words` holds two the one after it, spell them. */
static bool s_words_are(const pcl_sql_lexer *lexer, pcl_sql_token token, const char *words)
{
    const char *blank = strchr(words, ' ');
    size_t size = blank == NULL ? strlen(words) : (size_t)(blank - words);
    if (token.kind != PCL_SQL_TOKEN_WORD || token.size != size ||
        !pcl_sql_ascii_is(lexer->text + token.offset, words, size)) {
        return false;
    }
    if (blank == NULL) {
        return true;
    }
    pcl_sql_lexer ahead = *lexer;
    pcl_sql_token second = pcl_sql_lexer_next(&ahead);
    return s_token_is(&ahead, &second, blank + 1);
}

static pcl_sql_opening s_show(pcl_sql_lexer lexer, pcl_sql_opening opening)
{
    static const char *const modifiers[] = {"full", "extended", "global", "session", "local"};
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    for (size_t index = 0; index < sizeof modifiers / sizeof modifiers[0]; index++) {
        if (s_token_is(&lexer, &token, modifiers[index])) {
            token = pcl_sql_lexer_next(&lexer);
            index = (size_t)-1; /* EXTENDED FULL: any number, the server knows which */
        }
    }
    for (size_t index = 0; index < sizeof SHOWN / sizeof SHOWN[0]; index++) {
        if (s_words_are(&lexer, token, SHOWN[index].words)) {
            opening.sql_class = SHOWN[index].sql_class;
            return opening;
        }
    }
    opening.rule = "SHOW of something for operators";
    opening.offset = token.offset;
    return opening;
}

static pcl_sql_opening s_opening_at(const pcl_sql_rules *rules, pcl_sql_lexer lexer, bool in_body);

/* The statement of a stored program's body is judged as if it stood alone: whoever
 * calls the program runs it, and what a program leaves behind in the session that
 * ran it stays there for others. */
static pcl_sql_opening s_program(const pcl_sql_rules *rules, pcl_sql_lexer lexer, unsigned object,
                                 pcl_sql_opening program)
{
    static const char refused[] = "statement not allowed in a stored program";
    if (object == PCL_SQL_KW_FUNCTION && pcl_sql_program_shadows(rules, lexer)) {
        return s_refused("stored function with the name of a built-in one", program.offset);
    }
    if (!pcl_sql_program_find_body(&lexer, (pcl_sql_keyword)object)) {
        return s_refused("stored program with an unknown head", program.offset);
    }
    pcl_sql_lexer body = lexer;
    pcl_sql_token token = pcl_sql_lexer_next(&body);
    if (token.kind == PCL_SQL_TOKEN_END || token.punctuation == ';') {
        return program;
    }
    if (token.keyword == PCL_SQL_KW_SONAME && object == PCL_SQL_KW_FUNCTION) {
        return s_opening((s_kind){PCL_SQL_ADMIN, 0, "CREATE FUNCTION ... SONAME"}, token.offset);
    }
    if (token.keyword == PCL_SQL_KW_RETURN && object == PCL_SQL_KW_FUNCTION) {
        return program;
    }
    if (token.keyword == PCL_SQL_KW_SET) {
        bool row = object == PCL_SQL_KW_TRIGGER && pcl_sql_program_sets_new_row(body);
        return row ? program : s_refused(refused, token.offset);
    }
    pcl_sql_opening opening = s_opening_at(rules, lexer, true);
    if (opening.rule == COMPOUND || token.keyword == PCL_SQL_KW_BEGIN) {
        return s_refused("body of several statements", token.offset);
    }
    if (opening.sql_class != PCL_SQL_READ && opening.sql_class != PCL_SQL_WRITE &&
        opening.sql_class != PCL_SQL_CALL && opening.sql_class != PCL_SQL_DDL) {
        return s_refused(refused, opening.offset);
    }
    program.rules |= opening.rules & ~(unsigned)PCL_SQL_RULES_QUERY;
    return program;
}

/* ALTER DATABASE ... READ ONLY locks everybody out, and UPGRADE moves files. */
static bool s_schema_is_for_operators(pcl_sql_lexer lexer)
{
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            return false;
        }
        if (s_token_is(&lexer, &token, "read") || s_token_is(&lexer, &token, "upgrade")) {
            return true;
        }
    }
}

/* `object` is what CREATE, ALTER or DROP (`verb`) is about. */
static pcl_sql_opening s_object(const pcl_sql_rules *rules, pcl_sql_lexer lexer, unsigned verb,
                                unsigned object, pcl_sql_opening opening, bool in_body)
{
    if (verb == PCL_SQL_KW_DROP) {
        opening.rules &= ~(unsigned)(PCL_SQL_RULES_PROGRAM | PCL_SQL_RULES_TABLE |
                                     PCL_SQL_RULES_VIEW);
        return opening;
    }
    bool schema = object == PCL_SQL_KW_DATABASE || object == PCL_SQL_KW_SCHEMA;
    if (schema && verb == PCL_SQL_KW_ALTER && s_schema_is_for_operators(lexer)) {
        return s_opening((s_kind){PCL_SQL_ADMIN, 0, "ALTER DATABASE for operators"},
                         opening.offset);
    }
    if ((opening.rules & PCL_SQL_RULES_PROGRAM) == 0) {
        return opening;
    }
    if (in_body || object == PCL_SQL_KW_PACKAGE) {
        return s_refused("body of several statements", opening.offset);
    }
    return s_program(rules, lexer, object, opening);
}

/* Behind `DEFINER =`: with another's rights one could do what another may. */
static bool s_is_other_definer(pcl_sql_lexer lexer)
{
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    return !s_token_is(&lexer, &token, "current_user");
}

/* CREATE, ALTER, DROP: the first word that names a sort of object decides,
 * unless it is the value of an option (ALGORITHM = ...). */
static pcl_sql_opening s_definition(const pcl_sql_rules *rules, pcl_sql_lexer lexer, unsigned verb,
                                    uint32_t offset, bool in_body)
{
    bool temporary = false;
    pcl_sql_token last = {.kind = PCL_SQL_TOKEN_END};
    for (unsigned count = 0; count < 32; count++) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            break;
        }
        if (token.punctuation == '=' && s_token_is(&lexer, &last, "definer") &&
            s_is_other_definer(lexer)) {
            return s_refused("DEFINER other than CURRENT_USER", last.offset);
        }
        temporary = temporary || token.keyword == PCL_SQL_KW_TEMPORARY;
        for (size_t index = 0; index < sizeof OBJECTS / sizeof OBJECTS[0]; index++) {
            if (OBJECTS[index].object != token.keyword || last.punctuation == '=') {
                continue;
            }
            pcl_sql_opening opening = s_opening(OBJECTS[index].kind, token.offset);
            if (temporary && opening.sql_class == PCL_SQL_DDL) {
                opening.sql_class = PCL_SQL_STATE;
                opening.rule = "temporary table";
            }
            return s_object(rules, lexer, verb, token.keyword, opening, in_body);
        }
        last = token;
    }
    return s_refused(UNKNOWN, offset);
}

/* BEGIN [WORK] and nothing more: the rest of a block is a compound statement,
 * which runs several statements whatever the multi-statement flag says. */
static pcl_sql_opening s_begin(pcl_sql_lexer lexer, pcl_sql_opening opening)
{
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    if (token.keyword == PCL_SQL_KW_WORK) {
        token = pcl_sql_lexer_next(&lexer);
    }
    if (token.kind != PCL_SQL_TOKEN_END && token.kind != PCL_SQL_TOKEN_ERROR &&
        token.punctuation != ';') {
        return s_refused(COMPOUND, token.offset);
    }
    return opening;
}

/* COMMIT RELEASE closes the connection, which is not the client's. */
static pcl_sql_opening s_commit(pcl_sql_lexer lexer, pcl_sql_opening opening)
{
    pcl_sql_token last = {.kind = PCL_SQL_TOKEN_END};
    for (;;) {
        pcl_sql_token token = pcl_sql_lexer_next(&lexer);
        if (token.kind == PCL_SQL_TOKEN_END || token.kind == PCL_SQL_TOKEN_ERROR) {
            return opening;
        }
        if (token.keyword == PCL_SQL_KW_RELEASE && !s_token_is(&lexer, &last, "no")) {
            return s_refused("RELEASE of the connection", token.offset);
        }
        last = token;
    }
}

static pcl_sql_opening s_second(pcl_sql_lexer lexer, unsigned first, pcl_sql_opening opening)
{
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    for (size_t index = 0; index < sizeof SECOND / sizeof SECOND[0]; index++) {
        if (SECOND[index].first == first && SECOND[index].second == token.keyword) {
            return s_opening(SECOND[index].kind, token.offset);
        }
    }
    return opening;
}

/* `in_body`: of a stored program, which holds no other. */
static pcl_sql_opening s_opening_at(const pcl_sql_rules *rules, pcl_sql_lexer lexer, bool in_body)
{
    pcl_sql_token token = pcl_sql_lexer_next(&lexer);
    bool in_parentheses = token.punctuation == '(';
    while (token.punctuation == '(') {
        token = pcl_sql_lexer_next(&lexer);
    }
    if (token.kind == PCL_SQL_TOKEN_ERROR) {
        return s_refused(lexer.rule, token.offset);
    }
    if (token.kind == PCL_SQL_TOKEN_END || (token.punctuation == ';' && !in_parentheses)) {
        return s_refused("empty statement", token.offset);
    }
    unsigned first = token.keyword;
    pcl_sql_opening opening = s_opening(FIRST[first], token.offset);
    bool query = first == PCL_SQL_KW_SELECT || first == PCL_SQL_KW_WITH ||
                 first == PCL_SQL_KW_VALUES || first == PCL_SQL_KW_TABLE;
    if (opening.rule == NULL || (in_parentheses && !query)) {
        return s_refused(UNKNOWN, token.offset);
    }
    if (query || (opening.rules & PCL_SQL_RULES_WRITE) != 0) {
        return opening; /* nearly all traffic, and no second word changes it */
    }
    opening = s_second(lexer, first, opening);
    if (opening.offset != token.offset) {
        return opening;
    }
    if (first == PCL_SQL_KW_CREATE || first == PCL_SQL_KW_ALTER || first == PCL_SQL_KW_DROP) {
        return s_definition(rules, lexer, first, token.offset, in_body);
    }
    if (first == PCL_SQL_KW_SHOW) {
        return s_show(lexer, opening);
    }
    if (first == PCL_SQL_KW_COMMIT || first == PCL_SQL_KW_ROLLBACK) {
        return s_commit(lexer, opening);
    }
    return first == PCL_SQL_KW_BEGIN ? s_begin(lexer, opening) : opening;
}

pcl_sql_opening pcl_sql_opening_of(const pcl_sql_rules *rules, pcl_sql_lexer lexer)
{
    return s_opening_at(rules, lexer, false);
}
