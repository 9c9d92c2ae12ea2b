/* shell.h - the interactive command: statements and backslash commands, one after the other, from a
 * terminal or a pipe. */
#ifndef PCL_CLIENT_SHELL_SHELL_H
#define PCL_CLIENT_SHELL_SHELL_H

#include "client/command/cli.h"

/* The subcommand `shell`; its exit code. */
int pcl_command_shell(const pcl_cli_line *line);

#endif
