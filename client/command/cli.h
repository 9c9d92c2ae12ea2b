/* cli.h - the command's subcommands and options as tables; parsing, help, manual page and shell
 * completion are all derived from them, so none can say what another does not.  Pure.
 */
#ifndef PCL_CLIENT_COMMAND_CLI_H
#define PCL_CLIENT_COMMAND_CLI_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCL_CLI_PROBLEM_SIZE 256u

typedef struct pcl_cli_option {
    const char *name;     /* "format", without the dashes */
    char letter;          /* 'f' of -f; 0: none */
    const char *argument; /* "MS"; "FILE" is completed as a file; NULL: the option has none */
    const char *choices;  /* "table|csv": what the argument may be; NULL: anything */
    const char *help;     /* a sentence or more */
} pcl_cli_option;

typedef struct pcl_cli_line pcl_cli_line;

typedef struct pcl_cli_command {
    const char *name;
    const char *operands;    /* "[SQL]"; "" when it has none */
    const char *choices;     /* of the operand, as above; "FILE" for files; NULL */
    uint32_t operands_max;   /* how many may be given */
    const char *summary;     /* "runs statements" */
    const char *description; /* paragraphs, separated by an empty line */
    const pcl_cli_option *options;
    size_t option_count;
    const char *examples; /* lines; those that start with `#` say what the next one does */
    int (*run)(const pcl_cli_line *line);
} pcl_cli_command;

typedef struct pcl_cli {
    const char *program; /* "portcullis" */
    const char *summary;
    const char *description;
    const pcl_cli_option *options; /* that stand before or behind any subcommand */
    size_t option_count;
    const pcl_cli_command *commands;
    size_t command_count;
    const char *examples;
    const char *exits; /* lines "0  all is well": exit codes */
    const char *files; /* lines: where things are looked for */
} pcl_cli;

typedef struct pcl_cli_given {
    const pcl_cli_option *option;
    const char *value; /* borrowed from argv; NULL of an option without argument */
} pcl_cli_given;

/* What one command line says.  Everything is borrowed from argv and the tables. */
struct pcl_cli_line {
    const pcl_cli *cli;
    const pcl_cli_command *command; /* NULL: none was named */
    pcl_cli_given *given;           /* in the order of the line */
    size_t given_count;
    const char **operands;
    size_t operand_count;
};

/* argv without the program's name.  false: problem (PCL_CLI_PROBLEM_SIZE) says what is wrong, and
 * out_line->command is set if it was known by then. */
bool pcl_cli_parse(pcl_cli_line *out_line, const pcl_cli *cli, int argc, const char *const *argv,
                   char *problem) PCL_MUST_CHECK;
void pcl_cli_release(pcl_cli_line *line);

/* NULL when there is no such command. */
const pcl_cli_command *pcl_cli_find(const pcl_cli *cli, const char *name);

/* The option must stand in the tables.  The last one given counts; NULL: it was not. */
const char *pcl_cli_value(const pcl_cli_line *line, const char *name);
bool pcl_cli_has(const pcl_cli_line *line, const char *name);
/* Whole number from min to max; *out_value gets default_value when the option was not given.
 * false: problem says what it must be. */
bool pcl_cli_uint(const pcl_cli_line *line, const char *name, uint32_t min, uint32_t max,
                  uint32_t default_value, uint32_t *out_value, char *problem) PCL_MUST_CHECK;

/* command NULL: of the whole program. */
void pcl_cli_help(const pcl_cli *cli, const pcl_cli_command *command, pcl_buffer *buffer);
/* A manual page, in man(7)'s macros. */
void pcl_cli_manual(const pcl_cli *cli, pcl_buffer *buffer);
/* What the command `help` prints: of the command that the line's operand names, of the whole
 * program, or with the option --man its manual page.  false: there is no such command. */
bool pcl_cli_help_on(const pcl_cli *cli, const pcl_cli_line *line,
                     pcl_buffer *buffer) PCL_MUST_CHECK;
/* shell: "bash", "zsh", "fish"; false: another. */
bool pcl_cli_completion(const pcl_cli *cli, const char *shell, pcl_buffer *buffer) PCL_MUST_CHECK;

#endif
