#include "client/command/cli.h"

#include <string.h>

static void s_put(pcl_buffer *buffer, const char *text)
{
    pcl_buffer_put(buffer, text, strlen(text));
}

/* "table|csv" as words. */
static void s_put_words(pcl_buffer *buffer, const char *choices)
{
    for (; *choices != '\0'; choices++) {
        pcl_buffer_put_u8(buffer, *choices == '|' ? ' ' : (uint8_t)*choices);
    }
}

/* The first sentence of a help text, without what a shell's single quotes or
 * zsh's brackets would take as an end. */
static void s_put_help(pcl_buffer *buffer, const char *text)
{
    for (; *text != '\0' && *text != '\n' && strncmp(text, ". ", 2) != 0 &&
           strncmp(text, "; ", 2) != 0;
         text++) {
        if (strchr("'[]\\:`\"$", *text) == NULL) {
            pcl_buffer_put_u8(buffer, (uint8_t)*text);
        }
    }
}

static bool s_is_file(const char *what)
{
    return what != NULL && strcmp(what, "FILE") == 0;
}

static void s_put_names(pcl_buffer *buffer, const pcl_cli_option *options, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        s_put(buffer, " --");
        s_put(buffer, options[index].name);
    }
}

/* ---- bash ------------------------------------------------------------------------------- */

/* What may follow an option; command is "*" for those of every command. */
static void s_bash_arguments(pcl_buffer *buffer, const char *command, const pcl_cli_option *options,
                             size_t count)
{
    for (size_t index = 0; index < count; index++) {
        const pcl_cli_option *option = &options[index];
        if (option->argument == NULL) {
            continue;
        }
        s_put(buffer, "        ");
        s_put(buffer, command);
        s_put(buffer, ":--");
        s_put(buffer, option->name);
        if (option->letter != '\0') {
            s_put(buffer, " | ");
            s_put(buffer, command);
            s_put(buffer, ":-");
            pcl_buffer_put_u8(buffer, (uint8_t)option->letter);
        }
        s_put(buffer, ") ");
        if (s_is_file(option->argument)) {
            s_put(buffer, "files=1");
        } else {
            s_put(buffer, "words='");
            s_put_words(buffer, option->choices != NULL ? option->choices : "");
            s_put(buffer, "'");
        }
        s_put(buffer, " ;;\n");
    }
}

static void s_bash(const pcl_cli *cli, pcl_buffer *buffer)
{
    s_put(buffer,
          "# bash completion of portcullis: source <(portcullis completion bash)\n"
          "_portcullis()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local command='' words='' files=0 index\n"
          "    for ((index = 1; index < COMP_CWORD; index++)); do\n"
          "        case ${COMP_WORDS[index]} in\n            ");
    for (size_t index = 0; index < cli->command_count; index++) {
        s_put(buffer, index > 0 ? " | " : "");
        s_put(buffer, cli->commands[index].name);
    }
    s_put(buffer, ")\n                command=${COMP_WORDS[index]}\n                break ;;\n"
                  "        esac\n    done\n"
                  "    case $command:$previous in\n");
    for (size_t index = 0; index < cli->command_count; index++) {
        const pcl_cli_command *command = &cli->commands[index];
        s_bash_arguments(buffer, command->name, command->options, command->option_count);
    }
    s_bash_arguments(buffer, "*", cli->options, cli->option_count);
    s_put(buffer, "        *)\n            case $command in\n");
    for (size_t index = 0; index < cli->command_count; index++) {
        const pcl_cli_command *command = &cli->commands[index];
        s_put(buffer, "                ");
        s_put(buffer, command->name);
        s_put(buffer, ") words='");
        if (command->choices != NULL && !s_is_file(command->choices)) {
            s_put_words(buffer, command->choices);
        }
        s_put_names(buffer, command->options, command->option_count);
        s_put(buffer, s_is_file(command->choices) ? "' files=1 ;;\n" : "' ;;\n");
    }
    s_put(buffer, "                *) words='");
    for (size_t index = 0; index < cli->command_count; index++) {
        s_put(buffer, index > 0 ? " " : "");
        s_put(buffer, cli->commands[index].name);
    }
    s_put(buffer, "' ;;\n            esac\n            words+='");
    s_put_names(buffer, cli->options, cli->option_count);
    s_put(buffer, "' ;;\n    esac\n"
                  "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
                  "    if [[ $files -eq 1 ]]; then\n"
                  "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$word\")\n"
                  "    fi\n}\n"
                  "complete -o filenames -F _portcullis portcullis\n");
}

/* ---- zsh -------------------------------------------------------------------------------- */

static void s_zsh_options(pcl_buffer *buffer, const pcl_cli_option *options, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        const pcl_cli_option *option = &options[index];
        s_put(buffer, "                '*--");
        s_put(buffer, option->name);
        s_put(buffer, "[");
        s_put_help(buffer, option->help);
        s_put(buffer, "]");
        if (option->argument != NULL) {
            s_put(buffer, ":");
            s_put(buffer, option->argument);
            s_put(buffer, ":");
            if (s_is_file(option->argument)) {
                s_put(buffer, "_files");
            } else if (option->choices != NULL) {
                s_put(buffer, "(");
                s_put_words(buffer, option->choices);
                s_put(buffer, ")");
            }
        }
        s_put(buffer, "' \\\n");
    }
}

static void s_zsh(const pcl_cli *cli, pcl_buffer *buffer)
{
    s_put(buffer, "#compdef portcullis\n_portcullis()\n{\n    local -a commands\n    commands=(\n");
    for (size_t index = 0; index < cli->command_count; index++) {
        s_put(buffer, "        '");
        s_put(buffer, cli->commands[index].name);
        s_put(buffer, ":");
        s_put_help(buffer, cli->commands[index].summary);
        s_put(buffer, "'\n");
    }
    s_put(buffer, "    )\n    if ((CURRENT == 2)); then\n"
                  "        _describe command commands\n        return\n    fi\n"
                  "    case $words[2] in\n");
    for (size_t index = 0; index < cli->command_count; index++) {
        const pcl_cli_command *command = &cli->commands[index];
        s_put(buffer, "        ");
        s_put(buffer, command->name);
        s_put(buffer, ")\n            _arguments \\\n");
        s_zsh_options(buffer, command->options, command->option_count);
        s_zsh_options(buffer, cli->options, cli->option_count);
        s_put(buffer, "                '*:operand:");
        if (s_is_file(command->choices)) {
            s_put(buffer, "_files");
        } else if (command->choices != NULL) {
            s_put(buffer, "(");
            s_put_words(buffer, command->choices);
            s_put(buffer, ")");
        }
        s_put(buffer, "' ;;\n");
    }
    s_put(buffer, "    esac\n}\n"
                  "if [[ $funcstack[1] == _portcullis ]]; then\n    _portcullis \"$@\"\n"
                  "else\n    compdef _portcullis portcullis\nfi\n");
}

/* ---- fish ------------------------------------------------------------------------------- */

static void s_fish_options(pcl_buffer *buffer, const char *condition, const pcl_cli_option *options,
                           size_t count)
{
    for (size_t index = 0; index < count; index++) {
        const pcl_cli_option *option = &options[index];
        s_put(buffer, "complete -c portcullis");
        s_put(buffer, condition);
        s_put(buffer, " -l ");
        s_put(buffer, option->name);
        if (option->letter != '\0') {
            s_put(buffer, " -s ");
            pcl_buffer_put_u8(buffer, (uint8_t)option->letter);
        }
        if (option->argument != NULL) {
            s_put(buffer, s_is_file(option->argument) ? " -r -F" : " -x");
        }
        if (option->choices != NULL) {
            s_put(buffer, " -a '");
            s_put_words(buffer, option->choices);
            s_put(buffer, "'");
        }
        s_put(buffer, " -d '");
        s_put_help(buffer, option->help);
        s_put(buffer, "'\n");
    }
}

static void s_fish_operand(pcl_buffer *buffer, const char *condition, const char *choices)
{
    s_put(buffer, "complete -c portcullis");
    s_put(buffer, condition);
    if (s_is_file(choices)) {
        s_put(buffer, " -F\n");
        return;
    }
    s_put(buffer, " -a '");
    s_put_words(buffer, choices);
    s_put(buffer, "'\n");
}

static void s_fish(const pcl_cli *cli, pcl_buffer *buffer)
{
    s_put(buffer, "# fish completion of portcullis: portcullis completion fish | source\n"
                  "complete -c portcullis -f\n");
    s_fish_options(buffer, "", cli->options, cli->option_count);
    for (size_t index = 0; index < cli->command_count; index++) {
        const pcl_cli_command *command = &cli->commands[index];
        s_put(buffer, "complete -c portcullis -n __fish_use_subcommand -a ");
        s_put(buffer, command->name);
        s_put(buffer, " -d '");
        s_put_help(buffer, command->summary);
        s_put(buffer, "'\n");
        char condition[96] = " -n '__fish_seen_subcommand_from ";
        strncat(condition, command->name, 40);
        strncat(condition, "'", 2);
        s_fish_options(buffer, condition, command->options, command->option_count);
        if (command->choices != NULL) {
            s_fish_operand(buffer, condition, command->choices);
        }
    }
}

bool pcl_cli_completion(const pcl_cli *cli, const char *shell, pcl_buffer *buffer)
{
    if (strcmp(shell, "bash") == 0) {
        s_bash(cli, buffer);
    } else if (strcmp(shell, "zsh") == 0) {
        s_zsh(cli, buffer);
    } else if (strcmp(shell, "fish") == 0) {
        s_fish(cli, buffer);
    } else {
        return false;
    }
    return true;
}
