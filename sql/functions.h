/* functions.h - what a name before a parenthesis may do.
 *
 * Only a function that the servers in question build in, and that has no effect,
 * is harmless: any other name may be a stored function.  The table is functions.def.
 */
#ifndef PCL_SQL_FUNCTIONS_H
#define PCL_SQL_FUNCTIONS_H

#include "sql/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pcl_sql_function {
    PCL_SQL_FUNCTION_UNKNOWN = 0, /* may do anything */
    PCL_SQL_FUNCTION_PURE,        /* built in, without effect */
    PCL_SQL_FUNCTION_ADJACENT,    /* PURE only directly before its parenthesis: after a blank the
                                     server looks for a stored function of that name */
    PCL_SQL_FUNCTION_SYNTAX,      /* reserved word or type: no call at all */
    PCL_SQL_FUNCTION_SUBQUERY,    /* SYNTAX before a subquery, else UNKNOWN */
    PCL_SQL_FUNCTION_TABLE,       /* JSON_TABLE: SYNTAX with its COLUMNS, else UNKNOWN */
    PCL_SQL_FUNCTION_LOCK,        /* takes, frees or looks at locks of a session */
    PCL_SQL_FUNCTION_HISTORY,     /* tells of the statements before in its session */
    PCL_SQL_FUNCTION_INSERT_ID,   /* LAST_INSERT_ID: with an argument a write may use it */
    PCL_SQL_FUNCTION_WRITE,       /* moves a sequence or a counter */
    PCL_SQL_FUNCTION_FILE,        /* reads a file of the server */
    PCL_SQL_FUNCTION_WAIT,        /* waits for replication */
} pcl_sql_function;

/* Any case; `text` has its quotes taken off. */
pcl_sql_function pcl_sql_function_find(pcl_sql_flavor flavor, const uint8_t *text, size_t size);

static inline bool pcl_sql_function_has_effect(pcl_sql_function function)
{
    return function >= PCL_SQL_FUNCTION_LOCK;
}

/* The table, for tests: the entry's name, or NULL past the last. */
const char *pcl_sql_function_name(size_t index);

#endif
