/* editor.h - lines from a terminal: editing, history, completion (libedit).
 *
 * One editor a process; one thread.
 */
#ifndef PCL_CLIENT_SHELL_EDITOR_H
#define PCL_CLIENT_SHELL_EDITOR_H

#include "client/shell/complete.h"

typedef struct pcl_shell_editor pcl_shell_editor;

typedef enum pcl_shell_line {
    PCL_SHELL_LINE = 0,
    PCL_SHELL_INTERRUPTED, /* Ctrl-C: what was typed is thrown away */
    PCL_SHELL_END,         /* Ctrl-D on an empty line */
} pcl_shell_line;

/* What the editor asks of the shell. */
typedef struct pcl_shell_editor_calls {
    const char *(*prompt)(void *context);
    /* As pcl_shell_complete, for the text of the present line up to the cursor. */
    size_t (*complete)(void *context, pcl_bytes text, pcl_shell_candidate *candidate,
                       void *candidate_context);
    void *context;
} pcl_shell_editor_calls;

/* history_file: read now and written when lines are remembered, for its owner only; NULL: none.
 * NULL: the terminal cannot be edited on. */
pcl_shell_editor *pcl_shell_editor_new(const pcl_shell_editor_calls *calls,
                                       const char *history_file);
void pcl_shell_editor_destroy(pcl_shell_editor **self_p);

/* The next line without its line feed, borrowed until the next call. */
pcl_shell_line pcl_shell_editor_read(pcl_shell_editor *self, pcl_bytes *out_line);

#endif
