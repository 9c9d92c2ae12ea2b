#include "client/shell/order.h"

#include "wire/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define SWITCH     "on|off"
#define STRATEGIES PCL_STRATEGY_NAMES("|") "|default"

static const pcl_shell_command s_commands[PCL_SHELL_VERB_COUNT] = {
    [PCL_SHELL_HELP] = {"help", "?", NULL, NULL, false, "tells what there is"},
    [PCL_SHELL_QUIT] = {"quit", "q", NULL, NULL, false, "ends the shell, as Ctrl-D does"},
    [PCL_SHELL_DB] = {"db", "u", "NAME", NULL, true, "makes NAME the default schema, as USE does"},
    [PCL_SHELL_TABLES] = {"tables", "dt", NULL, NULL, false, "lists the tables of the schema"},
    [PCL_SHELL_DESCRIBE] = {"describe", "d", "TABLE", NULL, true, "shows how a table is made"},
    [PCL_SHELL_BEGIN] = {"begin", NULL, "[read-only|plain]", "read-only|plain", false,
                         "opens a session with a transaction, as BEGIN does; plain: without one, "
                         "for SET, temporary tables, locks"},
    [PCL_SHELL_COMMIT] = {"commit", NULL, NULL, NULL, false,
                          "commits and ends the session, as COMMIT does"},
    [PCL_SHELL_ROLLBACK] = {"rollback", NULL, NULL, NULL, false,
                            "rolls back and ends the session, as ROLLBACK does"},
    [PCL_SHELL_STRATEGY] = {"strategy", "s", "NAME", STRATEGIES, true,
                            "how the node of a read is chosen"},
    [PCL_SHELL_CONSISTENCY] = {"consistency", NULL, "WHAT", NULL, true,
                               "any, causal, source, max-lag=MS or after=TOKEN"},
    [PCL_SHELL_TIMEOUT] = {"timeout", NULL, "MS", NULL, true, "how long an answer may take"},
    [PCL_SHELL_ROUTE] = {"route", "r", "[on|off]", SWITCH, false,
                         "shows which node answered, after each statement"},
    [PCL_SHELL_EXPLAIN] = {"explain", "e", "[on|off]", SWITCH, false,
                           "shows why that node was chosen, and each hop's microseconds"},
    [PCL_SHELL_TIMING] = {"timing", "t", "[on|off]", SWITCH, false,
                          "shows how long each statement took"},
    [PCL_SHELL_FORMAT] = {"format", "f", "NAME", "table|vertical|csv|json", true,
                          "how results are shown"},
    [PCL_SHELL_PAGER] = {"pager", "P", "[COMMAND|off]", NULL, false,
                         "shows long results through a command; $PAGER or less when none is named"},
    [PCL_SHELL_PAGE] = {"page", NULL, "ROWS", NULL, true, "rows that are fetched at a time"},
    [PCL_SHELL_SOURCE] = {"source", "i", "FILE", NULL, true, "runs the statements of a file"},
    [PCL_SHELL_STATUS] = {"status", NULL, NULL, NULL, false, "shows nodes, lag and load"},
    [PCL_SHELL_REHASH] = {"rehash", "#", NULL, NULL, false, "reads the names for completion again"},
    [PCL_SHELL_SETTINGS] = {"settings", NULL, NULL, NULL, false, "shows what is set"},
};

const pcl_shell_command *pcl_shell_command_at(pcl_shell_verb verb)
{
    assert(verb >= 0 && verb < PCL_SHELL_VERB_COUNT);
    return &s_commands[verb];
}

static bool s_is_blank(uint8_t octet)
{
    return octet == ' ' || octet == '\t';
}

/* PCL_SHELL_VERB_COUNT: none, or more than one begin so (*out_several). */
static pcl_shell_verb s_find(pcl_bytes name, bool *out_several)
{
    pcl_shell_verb found = PCL_SHELL_VERB_COUNT;
    *out_several = false;
    for (int verb = 0; verb < PCL_SHELL_VERB_COUNT; verb++) {
        const pcl_shell_command *command = &s_commands[verb];
        if (pcl_bytes_is(name, command->name) ||
            (command->alias != NULL && pcl_bytes_is(name, command->alias))) {
            *out_several = false;
            return (pcl_shell_verb)verb;
        }
        if (name.size > 1 && strncmp(command->name, (const char *)name.data, name.size) == 0) {
            *out_several = found != PCL_SHELL_VERB_COUNT;
            found = (pcl_shell_verb)verb;
        }
    }
    return *out_several ? PCL_SHELL_VERB_COUNT : found;
}

bool pcl_shell_command_find(pcl_bytes name, pcl_shell_verb *out_verb)
{
    bool several = false;
    assert(name.size > 0);
    pcl_shell_verb found = s_find(pcl_bytes_of(name.data + 1, name.size - 1), &several);
    if (found == PCL_SHELL_VERB_COUNT) {
        return false;
    }
    *out_verb = found;
    return true;
}

/* The next word of a statement, or the name in backquotes; size 0: there is none. */
static pcl_bytes s_word(pcl_bytes *rest)
{
    while (rest->size > 0 && rest->data[0] <= ' ') {
        *rest = pcl_bytes_of(rest->data + 1, rest->size - 1);
    }
    bool quoted = rest->size > 1 && rest->data[0] == '`';
    size_t size = quoted ? 1 : 0;
    while (size < rest->size && (quoted ? rest->data[size] != '`' : rest->data[size] > ' ')) {
        size++;
    }
    bool whole = !quoted || size < rest->size;
    size_t begin = quoted ? 1 : 0;
    pcl_bytes word = pcl_bytes_of(rest->data + begin, whole ? size - begin : 0);
    size_t taken = quoted && whole ? size + 1 : size;
    *rest = pcl_bytes_of(rest->data + taken, rest->size - taken);
    return word;
}

static bool s_is_keyword(pcl_bytes word, const char *keyword)
{
    bool same = word.size == strlen(keyword);
    for (size_t index = 0; index < word.size && same; index++) {
        uint8_t octet = word.data[index];
        same = (octet >= 'a' && octet <= 'z' ? octet - 'a' + 'A' : octet) == keyword[index];
    }
    return same;
}

bool pcl_shell_statement_order(pcl_shell_order *out_order, pcl_bytes sql)
{
    pcl_bytes words[4];
    for (size_t index = 0; index < 4; index++) {
        words[index] = s_word(&sql);
    }
    while (sql.size > 0 && sql.data[0] <= ' ') {
        sql = pcl_bytes_of(sql.data + 1, sql.size - 1);
    }
    *out_order = (pcl_shell_order){.verb = PCL_SHELL_VERB_COUNT};
    bool no_second = words[1].size == 0;
    bool only_work = no_second || (s_is_keyword(words[1], "WORK") && words[2].size == 0);
    bool read = s_is_keyword(words[2], "READ");
    if (sql.size > 0) {
        return false;
    }
    if (s_is_keyword(words[0], "USE") && !no_second && words[2].size == 0) {
        out_order->verb = PCL_SHELL_DB;
        out_order->argument = words[1];
    } else if (s_is_keyword(words[0], "BEGIN") && only_work) {
        out_order->verb = PCL_SHELL_BEGIN;
    } else if (s_is_keyword(words[0], "START") && s_is_keyword(words[1], "TRANSACTION") &&
               (words[2].size == 0 ||
                (read && (s_is_keyword(words[3], "ONLY") || s_is_keyword(words[3], "WRITE"))))) {
        out_order->verb = PCL_SHELL_BEGIN;
        out_order->argument = pcl_bytes_text(read && s_is_keyword(words[3], "ONLY") ? "read-only"
                                                                                    : "");
    } else if (s_is_keyword(words[0], "COMMIT") && only_work) {
        out_order->verb = PCL_SHELL_COMMIT;
    } else if (s_is_keyword(words[0], "ROLLBACK") && only_work) {
        out_order->verb = PCL_SHELL_ROLLBACK;
    }
    return out_order->verb != PCL_SHELL_VERB_COUNT;
}

static bool s_is_choice(const char *choices, pcl_bytes word)
{
    while (choices != NULL) {
        const char *end = strchr(choices, '|');
        size_t size = end != NULL ? (size_t)(end - choices) : strlen(choices);
        if (pcl_bytes_equal(pcl_bytes_of(choices, size), word)) {
            return true;
        }
        choices = end != NULL ? end + 1 : NULL;
    }
    return false;
}

bool pcl_shell_command_parse(pcl_shell_order *out_order, pcl_bytes text,
                             char problem[PCL_SHELL_PROBLEM_SIZE])
{
    assert(text.size > 0 && text.data[0] == '\\');
    size_t name_end = 1;
    while (name_end < text.size && !s_is_blank(text.data[name_end])) {
        name_end++;
    }
    size_t begin = name_end;
    while (begin < text.size && s_is_blank(text.data[begin])) {
        begin++;
    }
    size_t end = text.size;
    while (end > begin && (s_is_blank(text.data[end - 1]) || text.data[end - 1] == ';')) {
        end--;
    }
    bool several = false;
    pcl_bytes name = pcl_bytes_of(text.data + 1, name_end - 1);
    pcl_shell_verb verb = s_find(name, &several);
    if (verb == PCL_SHELL_VERB_COUNT) {
        (void)snprintf(problem, PCL_SHELL_PROBLEM_SIZE, "\\%.*s is %s; \\help lists them",
                       name.size < 40 ? (int)name.size : 40, (const char *)name.data,
                       several ? "the beginning of several commands" : "no command");
        return false;
    }
    const pcl_shell_command *command = &s_commands[verb];
    pcl_bytes argument = pcl_bytes_of(text.data + begin, end - begin);
    if (argument.size == 0 && command->needed) {
        (void)snprintf(problem, PCL_SHELL_PROBLEM_SIZE, "\\%s needs %s", command->name,
                       command->choices != NULL ? command->choices : command->argument);
        return false;
    }
    if (argument.size > 0 && command->argument == NULL) {
        (void)snprintf(problem, PCL_SHELL_PROBLEM_SIZE, "\\%s takes nothing behind it",
                       command->name);
        return false;
    }
    if (argument.size > 0 && command->choices != NULL && !s_is_choice(command->choices, argument)) {
        (void)snprintf(problem, PCL_SHELL_PROBLEM_SIZE, "\\%s: must be one of %s", command->name,
                       command->choices);
        return false;
    }
    *out_order = (pcl_shell_order){.verb = verb, .argument = argument};
    return true;
}

void pcl_shell_command_help(pcl_buffer *buffer)
{
    char line[320];
    for (int verb = 0; verb < PCL_SHELL_VERB_COUNT; verb++) {
        const pcl_shell_command *command = &s_commands[verb];
        char usage[80];
        (void)snprintf(usage, sizeof usage, "\\%s%s%s%s%s", command->name,
                       command->alias != NULL ? ", \\" : "",
                       command->alias != NULL ? command->alias : "",
                       command->argument != NULL ? " " : "",
                       command->argument != NULL ? command->argument : "");
        (void)snprintf(line, sizeof line, "  %-28s %s\n", usage, command->help);
        pcl_buffer_put(buffer, line, strlen(line));
    }
    static const char ends[] =
        "  ;  or \\g                     ends a statement and runs it\n"
        "  \\G                           the same, and shows a line for each value\n"
        "  \\c at the end of a line      throws away what was typed of a statement\n"
        "  Ctrl-C                       throws it away, or cancels the statement that runs\n"
        "  Tab                          completes names of commands, tables and columns\n";
    pcl_buffer_put(buffer, ends, sizeof ends - 1);
}
