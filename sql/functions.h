/* functions.h - what a name before a parenthesis may do.
 *
 * Only a function that both MySQL 8-9 and MariaDB 10.6-11 build in, and that
 * has no effect, is harmless: any other name may be a stored function.
 */
#ifndef PCL_SQL_FUNCTIONS_H
#define PCL_SQL_FUNCTIONS_H

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
pcl_sql_function pcl_sql_function_find(const uint8_t *text, size_t size);

/* The table, for tests: the entry's name, or NULL past the last. */
const char *pcl_sql_function_name(size_t index);

#endif
