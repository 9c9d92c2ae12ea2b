#include "client/shell/shell.h"

#include "client/command/command.h"
#include "client/command/interrupt.h"
#include "client/shell/editor.h"
#include "client/shell/order.h"
#include "client/shell/state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATEMENT_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define TIMEOUT_MS_MAX     600000u
#define SOURCE_DEPTH_MAX   8u
#define NAMES_TIMEOUT_MS   3000u

/* --- Names for completion ---------------------------------------------------- */

/* Reads the names that a statement gives: a column of tables, and one of their columns if there is
 * a second. */
static void s_read_names(pcl_shell *self, const char *sql, pcl_shell_name_kind kind)
{
    char table[PCL_SHELL_DB_SIZE] = "";
    portcullis_request *request = portcullis_request_new(sql);
    if (request == NULL) {
        return;
    }
    portcullis_request_set_timeout(request, NAMES_TIMEOUT_MS);
    (void)portcullis_request_set_db(request, self->db);
    portcullis_result *result = portcullis_call(self->client, request);
    uint32_t columns = portcullis_result_column_count(result);
    while (columns > 0 && portcullis_result_next(result)) {
        const portcullis_value *name = portcullis_result_value(result, 0);
        pcl_bytes text = pcl_bytes_of(name->data, name->size);
        if (columns == 1 || !pcl_bytes_is(text, table)) {
            pcl_shell_catalog_add(&self->catalog, kind, text);
            (void)snprintf(table, sizeof table, "%.*s", (int)text.size, (const char *)text.data);
        }
        if (columns > 1) {
            const portcullis_value *column = portcullis_result_value(result, 1);
            pcl_shell_catalog_add(&self->catalog, PCL_SHELL_NAME_COLUMN,
                                  pcl_bytes_of(column->data, column->size));
        }
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
}

static void s_rehash(pcl_shell *self)
{
    pcl_shell_catalog_clear(&self->catalog);
    self->named = true;
    s_read_names(self, "SHOW DATABASES", PCL_SHELL_NAME_SCHEMA);
    s_read_names(self,
                 "SELECT table_name, column_name FROM information_schema.columns "
                 "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
                 PCL_SHELL_NAME_TABLE);
}

static size_t s_complete(void *context, pcl_bytes text, pcl_shell_candidate *candidate,
                         void *candidate_context)
{
    pcl_shell *self = context;
    if (!self->named) {
        s_rehash(self);
    }
    pcl_bytes open = pcl_shell_input_open_text(self->input);
    pcl_buffer all;
    pcl_buffer_init(&all, STATEMENT_SIZE_MAX);
    pcl_buffer_put(&all, open.data, open.size);
    pcl_buffer_put(&all, text.data, text.size);
    size_t replaced = all.failed ? 0
                                 : pcl_shell_complete(&self->catalog, pcl_buffer_bytes(&all),
                                                      candidate, candidate_context);
    pcl_buffer_release(&all);
    return replaced < text.size ? replaced : text.size;
}

/* --- Commands ---------------------------------------------------------------- */

static void s_run_source(pcl_shell *self, const char *file);

static void s_set_db(pcl_shell *self, const char *name)
{
    (void)snprintf(self->db, sizeof self->db, "%s", name);
    self->named = false;
    if (self->talks) {
        (void)printf("schema %s\n", self->db);
    }
}

static void s_set_number(pcl_shell *self, const char *text, uint32_t max, uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > max || text[0] == '-') {
        char problem[96];
        (void)snprintf(problem, sizeof problem, "must be a whole number from 1 to %u", max);
        pcl_shell_complain(self, problem);
        return;
    }
    *out = (uint32_t)value;
}

/* NULL: it is set; else what is wrong with the text. */
static const char *s_set_consistency(pcl_shell *self, const char *text)
{
    const char *problem = "memory is out";
    portcullis_request *request = portcullis_request_new("SELECT 1");
    bool good = request != NULL && pcl_shell_put_consistency(request, text, &problem);
    portcullis_request_destroy(&request);
    if (good) {
        (void)snprintf(self->consistency, sizeof self->consistency, "%s", text);
    }
    return good ? NULL : problem;
}

static void s_switch(pcl_shell *self, pcl_bytes argument, bool *setting, const char *name)
{
    *setting = argument.size == 0 ? !*setting : pcl_bytes_is(argument, "on");
    if (self->talks) {
        (void)printf("%s is %s\n", name, *setting ? "on" : "off");
    }
}

static void s_set_pager(pcl_shell *self, const char *argument)
{
    const char *command = argument[0] != '\0' ? argument : getenv("PAGER");
    if (command == NULL || command[0] == '\0') {
        command = "less -FRSX";
    }
    (void)snprintf(self->pager, sizeof self->pager, "%s",
                   strcmp(argument, "off") == 0 ? "" : command);
}

static void s_put_settings(const pcl_shell *self)
{
    (void)printf("schema       %s\nstrategy     %s\nconsistency  %s\nformat       %s\n"
                 "pager        %s\nroute        %s\nexplain      %s\ntiming       %s\n",
                 self->db[0] != '\0' ? self->db : "(the account's)",
                 self->strategy[0] != '\0' ? self->strategy : "(the cluster's)", self->consistency,
                 pcl_format_text(self->format), self->pager[0] != '\0' ? self->pager : "off",
                 self->route ? "on" : "off", self->explain ? "on" : "off",
                 self->timing ? "on" : "off");
    (void)printf("session      %s\n", self->session == NULL ? "none"
                                      : self->plain         ? "open, without a transaction"
                                                            : "open, in a transaction");
}

static void s_describe(pcl_shell *self, const char *table)
{
    pcl_buffer sql;
    pcl_buffer_init(&sql, STATEMENT_SIZE_MAX);
    pcl_buffer_put(&sql, "DESCRIBE ", 9);
    pcl_buffer_put(&sql, table, strlen(table));
    if (!sql.failed) {
        pcl_shell_run(self, pcl_buffer_bytes(&sql), false);
    }
    pcl_buffer_release(&sql);
}

/* Those that only set something. */
static void s_set(pcl_shell *self, const pcl_shell_order *order, const char *argument)
{
    if (order->verb == PCL_SHELL_DB) {
        s_set_db(self, argument);
    } else if (order->verb == PCL_SHELL_STRATEGY) {
        bool own = strcmp(argument, "default") == 0;
        (void)snprintf(self->strategy, sizeof self->strategy, "%s", own ? "" : argument);
    } else if (order->verb == PCL_SHELL_CONSISTENCY) {
        const char *problem = s_set_consistency(self, argument);
        if (problem != NULL) {
            pcl_shell_complain(self, problem);
        }
    } else if (order->verb == PCL_SHELL_TIMEOUT) {
        s_set_number(self, argument, TIMEOUT_MS_MAX, &self->timeout_ms);
    } else if (order->verb == PCL_SHELL_PAGE) {
        s_set_number(self, argument, PCL_PAGE_ROWS_MAX, &self->page_rows);
    } else if (order->verb == PCL_SHELL_ROUTE) {
        s_switch(self, order->argument, &self->route, "route");
    } else if (order->verb == PCL_SHELL_EXPLAIN) {
        s_switch(self, order->argument, &self->explain, "explain");
    } else if (order->verb == PCL_SHELL_TIMING) {
        s_switch(self, order->argument, &self->timing, "timing");
    } else if (order->verb == PCL_SHELL_FORMAT) {
        (void)!pcl_format_parse(argument, &self->format); /* the table has checked it */
    } else if (order->verb == PCL_SHELL_PAGER) {
        s_set_pager(self, argument);
    }
}

static void s_help(void)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_shell_command_help(&text);
    (void)fwrite(text.data, 1, text.size, stdout);
    pcl_buffer_release(&text);
}

static void s_obey(pcl_shell *self, const pcl_shell_order *order)
{
    char argument[PCL_SHELL_SETTING_SIZE];
    if (order->argument.size >= sizeof argument) {
        pcl_shell_complain(self, "what stands behind the command is too long");
        return;
    }
    (void)snprintf(argument, sizeof argument, "%.*s", (int)order->argument.size,
                   (const char *)order->argument.data);
    static const char tables[] = "SHOW TABLES";
    if (order->verb == PCL_SHELL_HELP) {
        s_help();
    } else if (order->verb == PCL_SHELL_QUIT) {
        self->quit = true;
    } else if (order->verb == PCL_SHELL_TABLES) {
        pcl_shell_run(self, pcl_bytes_text(tables), false);
    } else if (order->verb == PCL_SHELL_DESCRIBE) {
        s_describe(self, argument);
    } else if (order->verb == PCL_SHELL_BEGIN) {
        pcl_shell_begin(self, order->argument);
    } else if (order->verb == PCL_SHELL_COMMIT || order->verb == PCL_SHELL_ROLLBACK) {
        pcl_shell_end(self, order->verb == PCL_SHELL_COMMIT);
    } else if (order->verb == PCL_SHELL_SOURCE) {
        s_run_source(self, argument);
    } else if (order->verb == PCL_SHELL_STATUS) {
        pcl_shell_note(self, pcl_command_show_status(self->client, self->timeout_ms, false));
    } else if (order->verb == PCL_SHELL_REHASH) {
        s_rehash(self);
    } else if (order->verb == PCL_SHELL_SETTINGS) {
        s_put_settings(self);
    } else {
        s_set(self, order, argument);
    }
}

/* --- What is typed ----------------------------------------------------------- */

/* SQL that is for the shell: USE, and the opening and ending of its session. */
static bool s_is_own(const pcl_shell *self, const pcl_shell_order *order)
{
    bool open = self->session != NULL;
    bool ends = order->verb == PCL_SHELL_COMMIT || order->verb == PCL_SHELL_ROLLBACK;
    return order->verb == PCL_SHELL_DB || (order->verb == PCL_SHELL_BEGIN && !open) ||
           (ends && open && !self->plain);
}

static void s_take(pcl_shell *self, const pcl_shell_item *item)
{
    pcl_shell_order order;
    char problem[PCL_SHELL_PROBLEM_SIZE];
    if (item->kind == PCL_SHELL_COMMAND) {
        if (pcl_shell_command_parse(&order, item->text, problem)) {
            s_obey(self, &order);
        } else {
            pcl_shell_complain(self, problem);
        }
    } else if (pcl_shell_statement_order(&order, item->text) && s_is_own(self, &order)) {
        s_obey(self, &order);
    } else {
        pcl_shell_run(self, item->text, item->vertical);
    }
}

static bool s_goes_on(const pcl_shell *self)
{
    return !self->quit && (self->force || self->failure == PCL_EXIT_OK);
}

static void s_take_all(pcl_shell *self)
{
    pcl_shell_item item;
    while (s_goes_on(self) &&
           (item = pcl_shell_input_next(self->input)).kind != PCL_SHELL_NOTHING) {
        s_take(self, &item);
    }
}

static void s_take_line(pcl_shell *self, pcl_bytes line)
{
    if (!pcl_shell_input_add(self->input, line)) {
        pcl_shell_complain(self, "the statement is over 64 MiB");
        return;
    }
    s_take_all(self);
}

static void s_run_stream(pcl_shell *self, FILE *stream)
{
    pcl_shell_input input;
    pcl_shell_input *outer = self->input;
    pcl_shell_input_init(&input, STATEMENT_SIZE_MAX);
    self->input = &input;
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size = 0;
    while (s_goes_on(self) && (size = getline(&text, &capacity, stream)) >= 0) {
        size_t length = (size_t)size;
        length -= length > 0 && text[length - 1] == '\n' ? 1 : 0;
        s_take_line(self, pcl_bytes_of(text, length));
    }
    pcl_shell_input_end(&input);
    s_take_all(self);
    free(text);
    self->input = outer;
    pcl_shell_input_release(&input);
}

static void s_run_source(pcl_shell *self, const char *file)
{
    if (self->depth == SOURCE_DEPTH_MAX) {
        pcl_shell_complain(self, "\\source: files name each other more than 8 deep");
        return;
    }
    FILE *stream = fopen(file, "rb");
    if (stream == NULL) {
        char problem[PCL_SHELL_SETTING_SIZE + 64];
        (void)snprintf(problem, sizeof problem, "\\source %s: %s", file, strerror(errno));
        pcl_shell_complain(self, problem);
        return;
    }
    self->depth++;
    s_run_stream(self, stream);
    self->depth--;
    (void)fclose(stream);
}

static const char *s_prompt(void *context)
{
    static char text[96];
    const pcl_shell *self = context;
    uint8_t quote = pcl_shell_input_quote(self->input);
    const char *mark = self->session != NULL ? "*" : "";
    int width = snprintf(text, sizeof text, "portcullis%s%.40s%s> ", self->db[0] != '\0' ? ":" : "",
                         self->db, mark);
    if (pcl_shell_input_is_open(self->input)) {
        (void)snprintf(text, sizeof text, "%*s%c> ", width > 3 ? width - 3 : 1, "",
                       quote != 0 ? (char)quote : '-');
    }
    return text;
}

static char *s_history_file(void)
{
    const char *named = getenv("PORTCULLIS_HISTORY");
    const char *home = getenv("HOME");
    if (named != NULL) {
        return named[0] != '\0' ? strdup(named) : NULL;
    }
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/.portcullis_history", home != NULL ? home : "");
    return home != NULL ? strdup(path) : NULL;
}

static void s_talk(pcl_shell *self)
{
    pcl_shell_input input;
    pcl_shell_input_init(&input, STATEMENT_SIZE_MAX);
    self->input = &input;
    const pcl_shell_editor_calls calls = {
        .prompt = s_prompt, .complete = s_complete, .context = self};
    char *history_file = s_history_file();
    pcl_shell_editor *editor = pcl_shell_editor_new(&calls, history_file);
    free(history_file);
    if (editor == NULL) {
        pcl_shell_complain(self, "the terminal cannot be edited on");
        return;
    }
    (void)printf("portcullis %s. \\help lists commands, Ctrl-D ends.\n", portcullis_version());
    pcl_bytes line;
    pcl_shell_line got = PCL_SHELL_LINE;
    while (!self->quit && (got = pcl_shell_editor_read(editor, &line)) != PCL_SHELL_END) {
        if (got == PCL_SHELL_INTERRUPTED) {
            pcl_shell_input_clear(&input);
        } else {
            s_take_line(self, line);
        }
    }
    if (got == PCL_SHELL_END) {
        (void)fputc('\n', stdout);
    }
    pcl_shell_editor_destroy(&editor);
    pcl_shell_input_release(&input);
    self->failure = PCL_EXIT_OK; /* they were seen */
}

/* --- Life -------------------------------------------------------------------- */

static bool s_read_options(pcl_shell *self, const pcl_cli_line *line, char *problem)
{
    const char *db = pcl_cli_value(line, "db");
    const char *strategy = pcl_cli_value(line, "strategy");
    const char *format = pcl_cli_value(line, "format");
    if (db != NULL) {
        (void)snprintf(self->db, sizeof self->db, "%s", db);
    }
    if (strategy != NULL) {
        (void)snprintf(self->strategy, sizeof self->strategy, "%s", strategy);
    }
    if (format != NULL && !pcl_format_parse(format, &self->format)) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "there is no format %.60s", format);
        return false;
    }
    const char *consistency = pcl_cli_value(line, "consistency");
    const char *wrong = consistency != NULL ? s_set_consistency(self, consistency) : NULL;
    if (wrong != NULL) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--consistency %s", wrong);
        return false;
    }
    return pcl_cli_uint(line, "timeout", 1, TIMEOUT_MS_MAX, 0, &self->timeout_ms, problem);
}

int pcl_command_shell(const pcl_cli_line *line)
{
    pcl_shell self = {.line = line,
                      .talks = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0,
                      .consistency = "any",
                      .timing = isatty(STDOUT_FILENO) != 0};
    char problem[PCL_CLI_PROBLEM_SIZE];
    if (!s_read_options(&self, line, problem)) {
        return pcl_command_usage(line, problem);
    }
    self.force = self.talks || pcl_cli_has(line, "force");
    self.client = pcl_command_open_causal(line); /* requests say whether they read so */
    if (self.client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    pcl_shell_catalog_init(&self.catalog);
    s_set_pager(&self, "");
    pcl_interrupt_catch(false);
    (void)signal(SIGPIPE, SIG_IGN); /* a pager that was left is an error of the write */
    if (self.talks) {
        s_talk(&self);
    } else {
        s_run_stream(&self, stdin);
    }
    if (self.session != NULL) {
        (void)fputs("portcullis: the open session was rolled back\n", stderr);
        portcullis_session_destroy(&self.session);
    }
    pcl_shell_catalog_release(&self.catalog);
    portcullis_close(&self.client);
    return self.failure;
}
