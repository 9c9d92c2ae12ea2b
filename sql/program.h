/* program.h - where the body of a stored program begins. */
#ifndef PCL_SQL_PROGRAM_H
#define PCL_SQL_PROGRAM_H

#include "sql/lexer.h"
#include "sql/rules.h"

#include <stdbool.h>

/* `lexer` stands behind the word PROCEDURE, FUNCTION or TRIGGER (`object`).  Moves
 * it before the first token of the body, or before the end when there is none
 * (ALTER PROCEDURE).  False when the head is not understood: nothing is known of
 * the body then. */
bool pcl_sql_program_find_body(pcl_sql_lexer *lexer, pcl_sql_keyword object);

/* Whether CREATE FUNCTION, behind which `lexer` stands, names it like a function
 * that statements are judged by: a built-in one, which some servers would call it
 * for, or one that policy lists. */
bool pcl_sql_program_shadows(const pcl_sql_rules *rules, pcl_sql_lexer lexer);

/* Whether the assignments of a SET, behind which `lexer` stands, are all to
 * columns of a trigger's new row. */
bool pcl_sql_program_sets_new_row(pcl_sql_lexer lexer);

#endif
