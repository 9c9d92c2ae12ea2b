#include "client/command/cli.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, OPTION_COLUMN = 26 };

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

static void s_put_blanks(pcl_buffer *buffer, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        pcl_buffer_put_u8(buffer, ' ');
    }
}

/* text in lines of at most WIDTH places, those after the first indented; column is where the
 * first begins. */
static void s_put_wrapped(pcl_buffer *buffer, const char *text, size_t column, size_t indent)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " \n");
        if (column > indent && column + 1 + size > WIDTH) {
            s_put(buffer, "\n");
            s_put_blanks(buffer, indent);
            column = indent;
        } else if (column > indent) {
            s_put(buffer, " ");
            column++;
        }
        pcl_buffer_put(buffer, text, size);
        column += size;
        text += size;
        if (strncmp(text, "\n\n", 2) == 0) { /* a paragraph */
            s_put(buffer, "\n\n");
            s_put_blanks(buffer, indent);
            column = indent;
        }
        text += strspn(text, " \n");
    }
    s_put(buffer, "\n");
}

static void s_put_indented(pcl_buffer *buffer, const char *lines)
{
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        s_put_blanks(buffer, size > 0 ? 2 : 0);
        pcl_buffer_put(buffer, lines, size);
        s_put(buffer, "\n");
        lines += size + (lines[size] == '\n' ? 1 : 0);
    }
}

static void s_put_option(pcl_buffer *buffer, const pcl_cli_option *option)
{
    char text[64];
    char letter[8] = "    ";
    if (option->letter != '\0') {
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    }
    int size = snprintf(text, sizeof text, "  %s--%s%s%s", letter, option->name,
                        option->argument != NULL ? " " : "",
                        option->argument != NULL ? option->argument : "");
    s_put(buffer, text);
    size_t column = size > 0 ? (size_t)size : 0;
    if (column + 2 > OPTION_COLUMN) {
        s_put(buffer, "\n");
        column = 0;
    }
    s_put_blanks(buffer, OPTION_COLUMN - column);
    char help[800];
    (void)snprintf(help, sizeof help, "%s%s%s", option->choices != NULL ? option->choices : "",
                   option->choices != NULL ? ": " : "", option->help);
    s_put_wrapped(buffer, help, OPTION_COLUMN, OPTION_COLUMN);
}

static void s_put_options(pcl_buffer *buffer, const char *title, const pcl_cli_option *options,
                          size_t count)
{
    if (count > 0) {
        s_put(buffer, title);
    }
    for (size_t index = 0; index < count; index++) {
        s_put_option(buffer, &options[index]);
    }
}

static void s_help_command(const pcl_cli *cli, const pcl_cli_command *command, pcl_buffer *buffer)
{
    char usage[200];
    (void)snprintf(usage, sizeof usage, "Usage: %s %s [OPTIONS]%s%s\n\n", cli->program,
                   command->name, command->operands[0] != '\0' ? " " : "", command->operands);
    s_put(buffer, usage);
    s_put_wrapped(buffer, command->description, 0, 0);
    s_put_options(buffer, "\nOptions:\n", command->options, command->option_count);
    s_put_options(buffer, "\nOptions of every command:\n", cli->options, cli->option_count);
    s_put(buffer, "\nExamples:\n");
    s_put_indented(buffer, command->examples);
}

void pcl_cli_help(const pcl_cli *cli, const pcl_cli_command *command, pcl_buffer *buffer)
{
    if (command != NULL) {
        s_help_command(cli, command, buffer);
    } else {
        char text[200];
        (void)snprintf(text, sizeof text, "Usage: %s COMMAND [OPTIONS] ...\n\n", cli->program);
        s_put(buffer, text);
        s_put_wrapped(buffer, cli->description, 0, 0);
        s_put(buffer, "\nCommands:\n");
        for (size_t index = 0; index < cli->command_count; index++) {
            (void)snprintf(text, sizeof text, "  %-12s%s\n", cli->commands[index].name,
                           cli->commands[index].summary);
            s_put(buffer, text);
        }
        (void)snprintf(text, sizeof text, "\n`%s COMMAND --help` tells more of each.\n",
                       cli->program);
        s_put(buffer, text);
        s_put_options(buffer, "\nOptions of every command:\n", cli->options, cli->option_count);
        s_put(buffer, "\nExamples:\n");
        s_put_indented(buffer, cli->examples);
        s_put(buffer, "\nThe bundle, one file with addresses and keys, is looked for at:\n");
        s_put_indented(buffer, cli->files);
    }
    s_put(buffer, "\nExit codes:\n");
    s_put_indented(buffer, cli->exits);
}

/* ---- the manual page -------------------------------------------------------------------- */

/* Text as roff takes it: no control lines, no ligature of dashes. */
static void s_put_roff(pcl_buffer *buffer, const char *text, size_t size)
{
    bool line_start = true;
    for (size_t index = 0; index < size; index++) {
        char character = text[index];
        if (line_start && (character == '.' || character == '\'')) {
            s_put(buffer, "\\&");
        }
        if (character == '\\') {
            s_put(buffer, "\\e");
        } else if (character == '-') {
            s_put(buffer, "\\-");
        } else if (character == '|') {
            s_put(buffer, "|\\:"); /* a list of choices may be broken here ... */
        } else if (character == '\n' && index + 1 < size && text[index + 1] == '\n') {
            s_put(buffer, "\n.PP\n");
            index++;
        } else {
            pcl_buffer_put_u8(buffer, (uint8_t)character);
        }
        line_start = character == '\n';
    }
}

static void s_put_roff_text(pcl_buffer *buffer, const char *text)
{
    s_put_roff(buffer, text, strlen(text));
    s_put(buffer, "\n");
}

static void s_put_roff_lines(pcl_buffer *buffer, const char *title, const char *lines)
{
    s_put(buffer, title);
    s_put(buffer, ".nf\n");
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        s_put_roff(buffer, lines, size);
        s_put(buffer, "\n");
        lines += size + (lines[size] == '\n' ? 1 : 0);
    }
    s_put(buffer, ".fi\n");
}

static void s_put_roff_options(pcl_buffer *buffer, const pcl_cli_option *options, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        const pcl_cli_option *option = &options[index];
        s_put(buffer, ".TP\n");
        if (option->letter != '\0') {
            char letter[24];
            (void)snprintf(letter, sizeof letter, "\\fB\\-%c\\fR, ", option->letter);
            s_put(buffer, letter);
        }
        s_put(buffer, "\\fB\\-\\-");
        s_put_roff(buffer, option->name, strlen(option->name));
        s_put(buffer, "\\fR");
        if (option->argument != NULL) {
            s_put(buffer, " \\fI");
            s_put(buffer, option->argument);
            s_put(buffer, "\\fR");
        }
        s_put(buffer, "\n");
        if (option->choices != NULL) {
            s_put_roff(buffer, option->choices, strlen(option->choices));
            s_put(buffer, ": ");
        }
        s_put_roff_text(buffer, option->help);
    }
}

static void s_put_roff_command(const pcl_cli *cli, const pcl_cli_command *command,
                               pcl_buffer *buffer)
{
    char title[160];
    (void)snprintf(title, sizeof title, ".SS %s %s [OPTIONS] %s\n", cli->program, command->name,
                   command->operands);
    s_put(buffer, title);
    s_put_roff_text(buffer, command->description);
    s_put_roff_options(buffer, command->options, command->option_count);
    s_put_roff_lines(buffer, ".PP\nExamples:\n.PP\n", command->examples);
}

void pcl_cli_manual(const pcl_cli *cli, pcl_buffer *buffer)
{
    s_put(buffer, ".TH ");
    s_put(buffer, cli->program);
    s_put(buffer, " 1 \"\" \"portcullis " PCL_VERSION "\" \"User Commands\"\n");
    s_put(buffer, ".ad l\n"); /* ... which leaves words that no line can be adjusted with */
    s_put(buffer, ".SH NAME\n");
    s_put(buffer, cli->program);
    s_put(buffer, " \\- ");
    s_put_roff_text(buffer, cli->summary);
    s_put(buffer, ".SH SYNOPSIS\n.B ");
    s_put(buffer, cli->program);
    s_put(buffer, "\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR] ...\n");
    s_put(buffer, ".SH DESCRIPTION\n");
    s_put_roff_text(buffer, cli->description);
    s_put(buffer, ".SH COMMANDS\n");
    for (size_t index = 0; index < cli->command_count; index++) {
        s_put_roff_command(cli, &cli->commands[index], buffer);
    }
    s_put(buffer, ".SH OPTIONS OF EVERY COMMAND\n");
    s_put_roff_options(buffer, cli->options, cli->option_count);
    s_put_roff_lines(buffer, ".SH EXIT STATUS\n", cli->exits);
    s_put(buffer, ".SH FILES\nThe bundle, one file with addresses and keys, is looked for at:\n");
    s_put_roff_lines(buffer, ".PP\n", cli->files);
    s_put_roff_lines(buffer, ".SH EXAMPLES\n", cli->examples);
}

bool pcl_cli_help_on(const pcl_cli *cli, const pcl_cli_line *line, pcl_buffer *buffer)
{
    const pcl_cli_command *command = NULL;
    if (line->operand_count > 0) {
        command = pcl_cli_find(cli, line->operands[0]);
        if (command == NULL) {
            return false;
        }
    }
    if (pcl_cli_has(line, "man")) {
        pcl_cli_manual(cli, buffer);
    } else {
        pcl_cli_help(cli, command, buffer);
    }
    return true;
}
