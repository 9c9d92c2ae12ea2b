/* complete.h - what may follow what was typed.  Pure.
 *
 *   \strat           names of commands, and the choices of one that has some
 *   FROM, JOIN ...   tables
 *   USE              schemas
 *   t.               columns of t, be it a table or an alias in the statement
 *   elsewhere        columns of the tables that the statement names, tables, keywords
 *   'abc             nothing, inside a string or a comment
 *
 * Keywords come in the case of what was typed; names as they are, in backquotes where they need
 * them.  A name with a control character, one that turns the direction, or a backquote is left out.
 */
#ifndef PCL_CLIENT_SHELL_COMPLETE_H
#define PCL_CLIENT_SHELL_COMPLETE_H

#include "client/shell/catalog.h"

#include <stdbool.h>

/* Takes one candidate, whole; false: no more are wanted. */
typedef bool(pcl_shell_candidate)(void *context, pcl_bytes text);

/* text: the open statement or the command, up to the cursor.  Returns how many octets at its end
 * the candidates are to replace.  A candidate may come twice. */
size_t pcl_shell_complete(const pcl_shell_catalog *catalog, pcl_bytes text,
                          pcl_shell_candidate *candidate, void *context);

#endif
