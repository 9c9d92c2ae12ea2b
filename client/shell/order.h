/* order.h - the commands of a shell, those that begin with a backslash.  Pure.
 *
 * One table: what can be typed, what may follow, and what help says of it.  A name may be cut
 * as far as it stays unambiguous (`\strat`).
 */
#ifndef PCL_CLIENT_SHELL_ORDER_H
#define PCL_CLIENT_SHELL_ORDER_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum pcl_shell_verb {
    PCL_SHELL_HELP = 0,
    PCL_SHELL_QUIT,
    PCL_SHELL_DB,
    PCL_SHELL_TABLES,
    PCL_SHELL_DESCRIBE,
    PCL_SHELL_BEGIN,
    PCL_SHELL_COMMIT,
    PCL_SHELL_ROLLBACK,
    PCL_SHELL_STRATEGY,
    PCL_SHELL_CONSISTENCY,
    PCL_SHELL_TIMEOUT,
    PCL_SHELL_ROUTE,
    PCL_SHELL_EXPLAIN,
    PCL_SHELL_TIMING,
    PCL_SHELL_FORMAT,
    PCL_SHELL_PAGER,
    PCL_SHELL_PAGE,
    PCL_SHELL_SOURCE,
    PCL_SHELL_STATUS,
    PCL_SHELL_REHASH,
    PCL_SHELL_SETTINGS,
    PCL_SHELL_VERB_COUNT, /* must stay last */
} pcl_shell_verb;

typedef struct pcl_shell_command {
    const char *name;     /* "strategy", without the backslash */
    const char *alias;    /* another: "q" for quit; NULL */
    const char *argument; /* "[NAME]", for help; NULL: it has none */
    const char *choices;  /* what the argument may be, "on|off"; NULL: anything */
    bool needed;          /* the argument must be there */
    const char *help;
} pcl_shell_command;

typedef struct pcl_shell_order {
    pcl_shell_verb verb;
    pcl_bytes argument; /* without white space around it; borrowed; size 0: none */
} pcl_shell_order;

#define PCL_SHELL_PROBLEM_SIZE 200u

/* text begins with the backslash.  false: problem says what is wrong with it. */
bool pcl_shell_command_parse(pcl_shell_order *out_order, pcl_bytes text,
                             char problem[PCL_SHELL_PROBLEM_SIZE]) PCL_MUST_CHECK;

/* name with its backslash, perhaps cut.  false: there is none, or several begin so. */
bool pcl_shell_command_find(pcl_bytes name, pcl_shell_verb *out_verb) PCL_MUST_CHECK;

/* SQL that a shell does itself, as the command that means the same: USE, BEGIN and START
 * TRANSACTION without options but READ ONLY and READ WRITE, COMMIT, ROLLBACK.  false: it is none of
 * these. */
bool pcl_shell_statement_order(pcl_shell_order *out_order, pcl_bytes sql) PCL_MUST_CHECK;

const pcl_shell_command *pcl_shell_command_at(pcl_shell_verb verb);

/* All of them, with their help, a line each. */
void pcl_shell_command_help(pcl_buffer *buffer);

#endif
