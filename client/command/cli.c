#include "client/command/cli.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pcl_cli_option *s_find_option(const pcl_cli_option *options, size_t count,
                                           const char *name, size_t name_size, char letter)
{
    for (size_t index = 0; index < count; index++) {
        bool by_name = name_size > 0 && strlen(options[index].name) == name_size &&
                       strncmp(options[index].name, name, name_size) == 0;
        if (by_name || (letter != '\0' && options[index].letter == letter)) {
            return &options[index];
        }
    }
    return NULL;
}

/* Among the command's own and those of all. */
static const pcl_cli_option *s_option(const pcl_cli_line *line, const char *name, size_t name_size,
                                      char letter)
{
    const pcl_cli_option *option = NULL;
    if (line->command != NULL) {
        option = s_find_option(line->command->options, line->command->option_count, name, name_size,
                               letter);
    }
    return option != NULL ? option
                          : s_find_option(line->cli->options, line->cli->option_count, name,
                                          name_size, letter);
}

const pcl_cli_command *pcl_cli_find(const pcl_cli *cli, const char *name)
{
    for (size_t index = 0; index < cli->command_count; index++) {
        if (strcmp(cli->commands[index].name, name) == 0) {
            return &cli->commands[index];
        }
    }
    return NULL;
}

static bool s_is_choice(const char *choices, const char *value)
{
    size_t size = strlen(value);
    while (size > 0 && choices != NULL) {
        const char *end = strchr(choices, '|');
        size_t choice_size = end != NULL ? (size_t)(end - choices) : strlen(choices);
        if (choice_size == size && strncmp(choices, value, size) == 0) {
            return true;
        }
        choices = end != NULL ? end + 1 : NULL;
    }
    return false;
}

/* Reads the option at argv[*index] and, where it takes one, its argument. */
static bool s_parse_option(pcl_cli_line *line, int argc, const char *const *argv, int *index,
                           char *problem)
{
    const char *word = argv[*index];
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t name_size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const pcl_cli_option *option = s_option(line, name, is_long ? name_size : 0,
                                            is_long ? '\0' : name[0]);
    if (option == NULL) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "there is no option %.60s", word);
        return false;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (!is_long && name[1] != '\0') {
        value = name + 1; /* -fFILE */
    }
    if (option->argument == NULL && value != NULL) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s takes no argument", option->name);
        return false;
    }
    if (option->argument != NULL && value == NULL) {
        if (*index + 1 >= argc) {
            (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s needs an argument, %s",
                           option->name, option->argument);
            return false;
        }
        value = argv[++*index];
    }
    if (option->choices != NULL && value != NULL && !s_is_choice(option->choices, value)) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s must be one of %s", option->name,
                       option->choices);
        return false;
    }
    line->given[line->given_count++] = (pcl_cli_given){.option = option, .value = value};
    return true;
}

static bool s_parse_word(pcl_cli_line *line, const char *word, char *problem)
{
    if (line->command == NULL) {
        line->command = pcl_cli_find(line->cli, word);
        if (line->command == NULL) {
            (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "there is no command %.60s", word);
        }
        return line->command != NULL;
    }
    if (line->operand_count == line->command->operands_max) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE,
                       "%.60s is one word too many (quote what belongs together)", word);
        return false;
    }
    line->operands[line->operand_count++] = word;
    return true;
}

bool pcl_cli_parse(pcl_cli_line *out_line, const pcl_cli *cli, int argc, const char *const *argv,
                   char *problem)
{
    assert(argc >= 0);
    *out_line = (pcl_cli_line){.cli = cli};
    out_line->given = calloc((size_t)argc + 1, sizeof *out_line->given);
    out_line->operands = calloc((size_t)argc + 1, sizeof *out_line->operands);
    bool good = out_line->given != NULL && out_line->operands != NULL;
    if (!good) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "out of memory");
    }
    bool options = true; /* no "--" yet */
    for (int index = 0; index < argc && good; index++) {
        const char *word = argv[index];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && word[0] == '-' && word[1] != '\0') {
            good = s_parse_option(out_line, argc, argv, &index, problem);
        } else {
            good = s_parse_word(out_line, word, problem);
        }
    }
    return good;
}

void pcl_cli_release(pcl_cli_line *line)
{
    free(line->given);
    free(line->operands);
    line->given = NULL;
    line->operands = NULL;
}

static const pcl_cli_given *s_given(const pcl_cli_line *line, const char *name)
{
    assert(s_option(line, name, strlen(name), '\0') != NULL);
    for (size_t index = line->given_count; index > 0; index--) {
        if (strcmp(line->given[index - 1].option->name, name) == 0) {
            return &line->given[index - 1];
        }
    }
    return NULL;
}

const char *pcl_cli_value(const pcl_cli_line *line, const char *name)
{
    const pcl_cli_given *given = s_given(line, name);
    return given != NULL ? given->value : NULL;
}

bool pcl_cli_has(const pcl_cli_line *line, const char *name)
{
    return s_given(line, name) != NULL;
}

bool pcl_cli_uint(const pcl_cli_line *line, const char *name, uint32_t min, uint32_t max,
                  uint32_t default_value, uint32_t *out_value, char *problem)
{
    const char *text = pcl_cli_value(line, name);
    uint64_t value = 0;
    bool good = text == NULL || text[0] != '\0';
    for (size_t index = 0; text != NULL && text[index] != '\0' && good; index++) {
        good = text[index] >= '0' && text[index] <= '9' && value <= UINT32_MAX;
        value = value * 10 + (uint64_t)(text[index] - '0');
    }
    if (text == NULL) {
        *out_value = default_value;
        return true;
    }
    if (!good || value < min || value > max) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s must be a whole number from %u to %u",
                       name, min, max);
        return false;
    }
    *out_value = (uint32_t)value;
    return true;
}
