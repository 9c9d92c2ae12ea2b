/* keywords.h - the words that the classifier looks at, and nothing else.
 *
 * A word that is not here is an identifier to us; the server knows which of
 * those are keywords.  The list is sorted: keywords.c derives its index from
 * it at compile time, and a test holds the order.
 */
#ifndef PCL_SQL_KEYWORDS_H
#define PCL_SQL_KEYWORDS_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define PCL_SQL_KEYWORDS(X, arg) \
    X(arg, 'a', ALTER, "alter") \
    X(arg, 'a', ANALYZE, "analyze") \
    X(arg, 'a', AS, "as") \
    X(arg, 'b', BACKUP, "backup") \
    X(arg, 'b', BEGIN, "begin") \
    X(arg, 'b', BINLOG, "binlog") \
    X(arg, 'c', CACHE, "cache") \
    X(arg, 'c', CALL, "call") \
    X(arg, 'c', CASE, "case") \
    X(arg, 'c', CHANGE, "change") \
    X(arg, 'c', CHARACTER, "character") \
    X(arg, 'c', CHARSET, "charset") \
    X(arg, 'c', CHECK, "check") \
    X(arg, 'c', CHECKSUM, "checksum") \
    X(arg, 'c', CLONE, "clone") \
    X(arg, 'c', CLOSE, "close") \
    X(arg, 'c', COLUMNS, "columns") \
    X(arg, 'c', COMMIT, "commit") \
    X(arg, 'c', CONNECTION, "connection") \
    X(arg, 'c', CREATE, "create") \
    X(arg, 'd', DATABASE, "database") \
    X(arg, 'd', DEALLOCATE, "deallocate") \
    X(arg, 'd', DECLARE, "declare") \
    X(arg, 'd', DEFAULT, "default") \
    X(arg, 'd', DELETE, "delete") \
    X(arg, 'd', DESC, "desc") \
    X(arg, 'd', DESCRIBE, "describe") \
    X(arg, 'd', DIRECTORY, "directory") \
    X(arg, 'd', DO, "do") \
    X(arg, 'd', DROP, "drop") \
    X(arg, 'd', DUMPFILE, "dumpfile") \
    X(arg, 'e', ENGINE, "engine") \
    X(arg, 'e', EVENT, "event") \
    X(arg, 'e', EXCEPT, "except") \
    X(arg, 'e', EXECUTE, "execute") \
    X(arg, 'e', EXPLAIN, "explain") \
    X(arg, 'f', FETCH, "fetch") \
    X(arg, 'f', FLUSH, "flush") \
    X(arg, 'f', FOR, "for") \
    X(arg, 'f', FROM, "from") \
    X(arg, 'f', FUNCTION, "function") \
    X(arg, 'g', GET, "get") \
    X(arg, 'g', GLOBAL, "global") \
    X(arg, 'g', GRANT, "grant") \
    X(arg, 'h', HANDLER, "handler") \
    X(arg, 'h', HELP, "help") \
    X(arg, 'i', IF, "if") \
    X(arg, 'i', IMMEDIATE, "immediate") \
    X(arg, 'i', IMPORT, "import") \
    X(arg, 'i', IN, "in") \
    X(arg, 'i', INDEX, "index") \
    X(arg, 'i', INSERT, "insert") \
    X(arg, 'i', INSTALL, "install") \
    X(arg, 'i', INSTANCE, "instance") \
    X(arg, 'i', INTERSECT, "intersect") \
    X(arg, 'i', INTO, "into") \
    X(arg, 'i', ITERATE, "iterate") \
    X(arg, 'k', KILL, "kill") \
    X(arg, 'l', LEAVE, "leave") \
    X(arg, 'l', LIBRARY, "library") \
    X(arg, 'l', LOAD, "load") \
    X(arg, 'l', LOCAL, "local") \
    X(arg, 'l', LOCK, "lock") \
    X(arg, 'l', LOGFILE, "logfile") \
    X(arg, 'l', LOOP, "loop") \
    X(arg, 'm', MEMBER, "member") \
    X(arg, 'n', NAMES, "names") \
    X(arg, 'n', NEXT, "next") \
    X(arg, 'n', NO_WRITE_TO_BINLOG, "no_write_to_binlog") \
    X(arg, 'o', OF, "of") \
    X(arg, 'o', OPEN, "open") \
    X(arg, 'o', OPTIMIZE, "optimize") \
    X(arg, 'o', OR, "or") \
    X(arg, 'o', OUTFILE, "outfile") \
    X(arg, 'p', PACKAGE, "package") \
    X(arg, 'p', PASSWORD, "password") \
    X(arg, 'p', PERSIST, "persist") \
    X(arg, 'p', PERSIST_ONLY, "persist_only") \
    X(arg, 'p', PREPARE, "prepare") \
    X(arg, 'p', PREVIOUS, "previous") \
    X(arg, 'p', PROCEDURE, "procedure") \
    X(arg, 'p', PURGE, "purge") \
    X(arg, 'r', RECURSIVE, "recursive") \
    X(arg, 'r', RELEASE, "release") \
    X(arg, 'r', RENAME, "rename") \
    X(arg, 'r', REPAIR, "repair") \
    X(arg, 'r', REPEAT, "repeat") \
    X(arg, 'r', REPLACE, "replace") \
    X(arg, 'r', RESET, "reset") \
    X(arg, 'r', RESIGNAL, "resignal") \
    X(arg, 'r', RESOURCE, "resource") \
    X(arg, 'r', RESTART, "restart") \
    X(arg, 'r', RETURN, "return") \
    X(arg, 'r', REVOKE, "revoke") \
    X(arg, 'r', ROLE, "role") \
    X(arg, 'r', ROLLBACK, "rollback") \
    X(arg, 's', SAVEPOINT, "savepoint") \
    X(arg, 's', SCHEMA, "schema") \
    X(arg, 's', SELECT, "select") \
    X(arg, 's', SEQUENCE, "sequence") \
    X(arg, 's', SERVER, "server") \
    X(arg, 's', SET, "set") \
    X(arg, 's', SHARE, "share") \
    X(arg, 's', SHOW, "show") \
    X(arg, 's', SHUTDOWN, "shutdown") \
    X(arg, 's', SIGNAL, "signal") \
    X(arg, 's', SONAME, "soname") \
    X(arg, 's', START, "start") \
    X(arg, 's', STATEMENT, "statement") \
    X(arg, 's', STOP, "stop") \
    X(arg, 't', TABLE, "table") \
    X(arg, 't', TABLES, "tables") \
    X(arg, 't', TABLESPACE, "tablespace") \
    X(arg, 't', TEMPORARY, "temporary") \
    X(arg, 't', TRANSACTION, "transaction") \
    X(arg, 't', TRIGGER, "trigger") \
    X(arg, 't', TRUNCATE, "truncate") \
    X(arg, 'u', UNINSTALL, "uninstall") \
    X(arg, 'u', UNLOCK, "unlock") \
    X(arg, 'u', UPDATE, "update") \
    X(arg, 'u', USE, "use") \
    X(arg, 'u', USER, "user") \
    X(arg, 'v', VALUE, "value") \
    X(arg, 'v', VALUES, "values") \
    X(arg, 'v', VIEW, "view") \
    X(arg, 'w', WHILE, "while") \
    X(arg, 'w', WITH, "with") \
    X(arg, 'w', WORK, "work") \
    X(arg, 'x', XA, "xa")
/* clang-format on */

#define PCL_SQL_KEYWORD_MEMBER(arg, letter, name, text) PCL_SQL_KW_##name,
typedef enum pcl_sql_keyword {
    PCL_SQL_KW_NONE = 0,
    PCL_SQL_KEYWORDS(PCL_SQL_KEYWORD_MEMBER, ) PCL_SQL_KEYWORD_COUNT, /* must stay last */
} pcl_sql_keyword;

/* The keyword that `size` octets spell, in any case, or PCL_SQL_KW_NONE. */
pcl_sql_keyword pcl_sql_keyword_find(const uint8_t *text, size_t size);

/* The lower-case text of a keyword, "" for PCL_SQL_KW_NONE. */
const char *pcl_sql_keyword_text(pcl_sql_keyword keyword);

#endif
