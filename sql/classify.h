/* classify.h - what a statement is, from its text alone.
 *
 * Pure and total: any octets get a verdict, nothing is allocated.  The class
 * is a claim that the database then judges: reads run under an account that
 * has SELECT and nothing else.  The lexer's meaning is the server's because
 * agents pin sql_mode and utf8mb4 (docs/sql.md has the rules, numbered).
 */
#ifndef PCL_SQL_CLASSIFY_H
#define PCL_SQL_CLASSIFY_H

#include "common/bytes.h"
#include "sql/rules.h"

#include <stdbool.h>
#include <stdint.h>

/* Wire values (pcl_head.sql_class): append, never renumber. */
typedef enum pcl_sql_class {
    PCL_SQL_NONE = 0,     /* the request has no statement (ping, status) */
    PCL_SQL_READ,         /* any node that the consistency allows */
    PCL_SQL_LOCKING_READ, /* the source, from here to CALL */
    PCL_SQL_WRITE,
    PCL_SQL_CALL,
    PCL_SQL_DDL,
    PCL_SQL_TRANSACTION, /* only inside a session */
    PCL_SQL_STATE,       /* only inside a session */
    PCL_SQL_ADMIN,       /* only a role that policy allows it */
    PCL_SQL_REFUSED,     /* nobody */
    PCL_SQL_CLASS_COUNT, /* must stay last */
} pcl_sql_class;

typedef struct pcl_sql_verdict {
    pcl_sql_class sql_class;
    /* The class of the statement's form: sql_class, unless that is STATE only by what the
     * connection itself remembers (LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), user
     * variables in expressions, INTO @v, the session's history).  Then it is what the
     * statement would be without: a transaction on a connection of its own may run it. */
    pcl_sql_class statement_class;
    /* Of a PREPARE: the statement class of its text, which EXECUTE runs later with nothing to be
     * seen of it; of one within another, the innermost's.  Else NONE. */
    pcl_sql_class prepared_class;
    /* What it does beside what statement_class says of it, where that is state or more: `SET @a =
     * f()` and `DELETE ... WHERE GET_LOCK(...)` write.  LOCKING_READ, WRITE, CALL or DDL; else
     * NONE. */
    pcl_sql_class effect_class;
    const char *rule; /* REFUSED: the rule broken, static text ("executable comment"); else
                         why the class, static text, for `explain` */
    uint32_t offset;  /* octet of the token that decided */
    uint32_t placeholder_count; /* `?` outside literals and comments */
} pcl_sql_verdict;

/* By the default rules: functions that both flavors build in, and no others. */
pcl_sql_verdict pcl_sql_classify(pcl_bytes sql);

pcl_sql_verdict pcl_sql_classify_by(const pcl_sql_rules *rules, pcl_bytes sql);

/* True for the schemas that may not be a client's default schema, in any case:
 * `mysql`, `performance_schema`, `portcullis` and `sys`, which no client may
 * name, and `information_schema`, whose tables need their full name. */
bool pcl_sql_schema_is_reserved(pcl_bytes name);

/* True for classes that any node may run. */
static inline bool pcl_sql_is_read(pcl_sql_class sql_class)
{
    return sql_class == PCL_SQL_READ;
}

const char *pcl_sql_class_text(pcl_sql_class sql_class); /* "locking read", ... */

#endif
