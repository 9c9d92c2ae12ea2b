/* audit.h - what the parts of `portcullis audit` share. */
#ifndef PCL_CLIENT_COMMAND_AUDIT_H
#define PCL_CLIENT_COMMAND_AUDIT_H

#include "client/command/command.h"

#define PCL_COMMAND_AUDIT_PATHS_MAX 1024u /* files or folders of one command line */

/* The last lines that pass the filters of the command line, and with --follow those to come, from
 * a folder or files.  Exit code. */
int pcl_command_audit_tail(const pcl_cli_line *line, const char *const *paths, size_t path_count);

#endif
