#include "client/shell/shell.h"

#include "client/command/command.h"
#include "client/format.h"
#include "client/result.h"
#include "client/shell/editor.h"
#include "client/shell/input.h"
#include "client/shell/order.h"
#include "net/time.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define STATEMENT_SIZE_MAX ((size_t)64 * 1024 * 1024)
#define TIMEOUT_MS_MAX     600000u
#define WAIT_MS            50
#define SOURCE_DEPTH_MAX   8u
#define NAMES_TIMEOUT_MS   3000u
#define NAME_SIZE          257u
#define SETTING_SIZE       640u

typedef struct shell {
    const pcl_cli_line *line;
    portcullis *client;
    portcullis_session *session; /* NULL: none is open */
    bool plain;                  /* the session was opened without a transaction: COMMIT is SQL's */
    pcl_shell_catalog catalog;
    pcl_shell_input *input; /* the one being read, for completion and the prompt */
    char db[NAME_SIZE];     /* "": the account's */
    char strategy[32];      /* "": the cluster's */
    char consistency[SETTING_SIZE];
    char pager[SETTING_SIZE]; /* "": none */
    uint32_t timeout_ms;      /* 0: the client's */
    uint32_t page_rows;       /* 0: the cluster's */
    pcl_format format;
    bool route, explain, timing;
    bool talks; /* standard input and output are terminals */
    bool force; /* goes on after a failure, as one who talks does */
    bool named; /* the catalog was read */
    bool quit;
    uint32_t depth; /* of \source */
    int failure;    /* exit code of the first failure; 0: none */
} shell;

static volatile sig_atomic_t s_interrupts;

static void s_on_signal(int number)
{
    (void)number;
    s_interrupts = s_interrupts + 1;
}

static void s_note(shell *self, int code)
{
    self->failure = self->failure == PCL_EXIT_OK ? code : self->failure;
}

/* A mistake of whoever typed. */
static void s_complain(shell *self, const char *problem)
{
    (void)fflush(stdout);
    (void)fputs("portcullis: ", stderr);
    pcl_command_put_text(stderr, problem);
    (void)fputc('\n', stderr);
    s_note(self, PCL_EXIT_USAGE);
}

/* --- Requests ---------------------------------------------------------------- */

/* Waits for the answer; Ctrl-C cancels the statement, whose answer then says so. */
static portcullis_result *s_wait(shell *self, portcullis_future *future)
{
    bool cancelled = false;
    portcullis_result *result = NULL;
    while (future != NULL && (result = portcullis_future_wait(&future, WAIT_MS)) == NULL) {
        if (s_interrupts > 0 && !cancelled) {
            cancelled = portcullis_cancel(self->client, portcullis_future_id(future)) ==
                        PORTCULLIS_OK;
        }
    }
    return result;
}

/* NULL: memory is out. */
static portcullis_result *s_send(shell *self, const portcullis_request *request)
{
    s_interrupts = 0;
    portcullis_future *future = self->session != NULL
                                    ? portcullis_session_start(self->session, request)
                                    : portcullis_start(self->client, request);
    return s_wait(self, future);
}

static bool s_set_consistency(const shell *self, portcullis_request *request)
{
    const char *text = self->consistency;
    if (text[0] == '\0' || strcmp(text, "any") == 0) {
        return true;
    }
    if (strcmp(text, "source") == 0) {
        portcullis_request_set_consistency_source(request);
        return true;
    }
    if (strncmp(text, "max-lag=", 8) == 0) {
        portcullis_request_set_consistency_max_lag(request, (uint32_t)strtoul(text + 8, NULL, 10));
        return true;
    }
    return portcullis_request_set_consistency_after(request, text + 6, strlen(text + 6));
}

static bool s_set_up(const shell *self, portcullis_request *request)
{
    portcullis_request_set_timeout(request, self->timeout_ms);
    portcullis_request_set_explain_route(request, self->explain);
    portcullis_request_set_page_rows(request, self->page_rows);
    bool good = portcullis_request_set_db(request, self->db);
    if (self->session == NULL) { /* a session has its node */
        good = good && portcullis_request_set_strategy(request, self->strategy) &&
               s_set_consistency(self, request);
    }
    return good;
}

/* --- Results ----------------------------------------------------------------- */

static void s_put_footer(const shell *self, const portcullis_result *result, uint64_t rows,
                         uint64_t took_us, FILE *out)
{
    if (self->format != PCL_FORMAT_TABLE && self->format != PCL_FORMAT_VERTICAL) {
        return;
    }
    const pcl_reply *reply = pcl_result_reply(result);
    if (reply->has_columns) {
        (void)fprintf(out, "%llu row%s", (unsigned long long)rows, rows == 1 ? "" : "s");
    } else {
        (void)fprintf(out, "%llu row%s affected", (unsigned long long)reply->affected,
                      reply->affected == 1 ? "" : "s");
        if (reply->insert_id > 0) {
            (void)fprintf(out, ", insert id %llu", (unsigned long long)reply->insert_id);
        }
    }
    uint32_t warnings = portcullis_result_warnings(result);
    if (warnings > 0) {
        (void)fprintf(out, ", %u warning%s", warnings, warnings == 1 ? "" : "s");
    }
    if (self->timing) {
        (void)fprintf(out, " (%.1f ms)", (double)took_us / 1000.0);
    }
    (void)fputc('\n', out);
}

static bool s_write(void *context, pcl_bytes text)
{
    FILE *out = context;
    return text.size == 0 || fwrite(text.data, 1, text.size, out) == text.size;
}

static uint32_t s_screen_rows(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* Where a result is written: standard output, or the pager when it would not fit on the screen. */
static FILE *s_open_out(const shell *self, const portcullis_result *result)
{
    uint32_t rows = portcullis_result_row_count(result);
    bool long_one = portcullis_result_has_more(result) || rows + 6 > s_screen_rows() ||
                    (self->format == PCL_FORMAT_VERTICAL &&
                     rows * (portcullis_result_column_count(result) + 1) > s_screen_rows());
    FILE *pager = NULL;
    if (self->talks && self->pager[0] != '\0' && long_one) {
        (void)fflush(stdout);
        pager = popen(self->pager, "w");
    }
    return pager != NULL ? pager : stdout;
}

/* Puts the next page in the place of the present one.  false: there is none, nobody wants it, or
 * it could not be had. */
static bool s_turn_page(shell *self, portcullis_result **result)
{
    if (!portcullis_result_has_more(*result)) {
        return false;
    }
    if (s_interrupts > 0) {
        portcullis_result_close(*result);
        return false;
    }
    portcullis_result *page = s_wait(self, portcullis_result_start_fetch(*result));
    if (page == NULL) {
        return false;
    }
    portcullis_result_destroy(result);
    *result = page;
    return portcullis_result_code(page) == PORTCULLIS_OK;
}

/* All pages.  The result is replaced by its last page, or by the error that ended it. */
static void s_show_rows(shell *self, portcullis_result **result, pcl_format format,
                        uint64_t began_us)
{
    FILE *out = s_open_out(self, *result);
    pcl_format_writer *writer = pcl_format_writer_new(format, s_write, out);
    bool good = writer != NULL;
    bool more = true;
    while (good && more) {
        good = pcl_format_writer_page(writer, pcl_result_reply(*result));
        more = good && s_turn_page(self, result);
    }
    if (portcullis_result_code(*result) == PORTCULLIS_OK) {
        portcullis_result_close(*result); /* when the pager was left before the end */
        if (good && pcl_format_writer_end(writer)) {
            s_put_footer(self, *result, pcl_format_writer_rows(writer), pcl_now_us() - began_us,
                         out);
        }
    }
    pcl_format_writer_destroy(&writer);
    if (out != stdout) {
        (void)pclose(out);
    } else {
        (void)fflush(stdout);
    }
}

/* Shows a result and ends it. */
static void s_show(shell *self, portcullis_result **result, bool vertical, uint64_t began_us)
{
    if (portcullis_result_code(*result) == PORTCULLIS_OK) {
        if (portcullis_result_column_count(*result) > 0) {
            s_show_rows(self, result, vertical ? PCL_FORMAT_VERTICAL : self->format, began_us);
        } else {
            s_put_footer(self, *result, 0, pcl_now_us() - began_us, stdout);
        }
    }
    if (portcullis_result_code(*result) != PORTCULLIS_OK) {
        s_note(self, pcl_command_fail(*result, NULL));
        if (portcullis_result_code(*result) == PORTCULLIS_UNSUPPORTED && self->session == NULL &&
            strstr(portcullis_result_message(*result), "session") != NULL) {
            (void)fputs("portcullis: \\begin plain opens a session for such statements\n", stderr);
        }
    }
    if (self->route || self->explain) {
        pcl_command_put_route(*result);
    }
    portcullis_result_destroy(result);
    if (self->session != NULL && !portcullis_session_is_open(self->session)) {
        portcullis_session_destroy(&self->session);
    }
}

static void s_run_statement(shell *self, pcl_bytes sql, bool vertical)
{
    portcullis_request *request = portcullis_request_new_sized((const char *)sql.data, sql.size);
    if (request == NULL || !s_set_up(self, request)) {
        s_complain(self, "the statement is over its limit, or memory is out");
        portcullis_request_destroy(&request);
        return;
    }
    uint64_t began_us = pcl_now_us();
    portcullis_result *result = s_send(self, request);
    portcullis_request_destroy(&request);
    if (result == NULL) {
        s_complain(self, "memory is out");
        return;
    }
    s_show(self, &result, vertical, began_us);
}

/* --- Sessions ---------------------------------------------------------------- */

/* A session's first transaction ends at once, so that it is in autocommit. */
static void s_make_plain(shell *self)
{
    portcullis_request *request = portcullis_request_new("COMMIT");
    if (request != NULL) {
        portcullis_result *result = s_send(self, request);
        if (result != NULL && portcullis_result_code(result) != PORTCULLIS_OK) {
            s_note(self, pcl_command_fail(result, NULL));
        }
        portcullis_result_destroy(&result);
        portcullis_request_destroy(&request);
    }
}

static void s_begin(shell *self, pcl_bytes how)
{
    if (self->session != NULL) {
        s_complain(self, "a session is open already: \\commit or \\rollback ends it");
        return;
    }
    portcullis_request *request = portcullis_request_new_begin(pcl_bytes_is(how, "read-only"));
    if (request == NULL || !s_set_up(self, request)) {
        s_complain(self, "memory is out");
        portcullis_request_destroy(&request);
        return;
    }
    portcullis_result *result = NULL;
    self->session = portcullis_session_begin(self->client, request, &result);
    portcullis_request_destroy(&request);
    self->plain = pcl_bytes_is(how, "plain");
    if (self->session == NULL) {
        s_note(self, pcl_command_fail(result, NULL));
    } else if (self->plain) {
        s_make_plain(self);
    }
    if (self->route || self->explain) {
        pcl_command_put_route(result);
    }
    portcullis_result_destroy(&result);
}

static void s_end_session(shell *self, bool commit)
{
    if (self->session == NULL) {
        s_complain(self, "no session is open");
        return;
    }
    uint64_t began_us = pcl_now_us();
    portcullis_result *result = commit ? portcullis_session_commit(self->session)
                                       : portcullis_session_rollback(self->session);
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        s_note(self, pcl_command_fail(result, NULL));
    } else if (self->timing) {
        (void)printf("%s (%.1f ms)\n", commit ? "committed" : "rolled back",
                     (double)(pcl_now_us() - began_us) / 1000.0);
    }
    portcullis_result_destroy(&result);
    if (!portcullis_session_is_open(self->session)) {
        portcullis_session_destroy(&self->session);
    }
}

/* --- Names for completion ---------------------------------------------------- */

/* Reads the names that a statement gives: a column of tables, and one of their columns if there is
 * a second. */
static void s_read_names(shell *self, const char *sql, pcl_shell_name_kind kind)
{
    char table[NAME_SIZE] = "";
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

static void s_rehash(shell *self)
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
    shell *self = context;
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

static void s_run_source(shell *self, const char *file);

static void s_set_db(shell *self, const char *name)
{
    (void)snprintf(self->db, sizeof self->db, "%s", name);
    self->named = false;
    if (self->talks) {
        (void)printf("schema %s\n", self->db);
    }
}

static void s_set_number(shell *self, const char *text, uint32_t max, uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > max || text[0] == '-') {
        char problem[96];
        (void)snprintf(problem, sizeof problem, "must be a whole number from 1 to %u", max);
        s_complain(self, problem);
        return;
    }
    *out = (uint32_t)value;
}

static void s_check_consistency(shell *self, const char *text)
{
    bool lag = strncmp(text, "max-lag=", 8) == 0 && text[8] >= '0' && text[8] <= '9' &&
               strspn(text + 8, "0123456789") == strlen(text + 8) && strlen(text + 8) < 10;
    bool after = strncmp(text, "after=", 6) == 0 && text[6] != '\0';
    if (lag || after || strcmp(text, "any") == 0 || strcmp(text, "source") == 0) {
        (void)snprintf(self->consistency, sizeof self->consistency, "%s", text);
    } else {
        s_complain(self, "\\consistency: must be any, source, max-lag=MS or after=TOKEN");
    }
}

static void s_switch(shell *self, pcl_bytes argument, bool *setting, const char *name)
{
    *setting = argument.size == 0 ? !*setting : pcl_bytes_is(argument, "on");
    if (self->talks) {
        (void)printf("%s is %s\n", name, *setting ? "on" : "off");
    }
}

static void s_set_pager(shell *self, const char *argument)
{
    const char *command = argument[0] != '\0' ? argument : getenv("PAGER");
    if (command == NULL || command[0] == '\0') {
        command = "less -FRSX";
    }
    (void)snprintf(self->pager, sizeof self->pager, "%s",
                   strcmp(argument, "off") == 0 ? "" : command);
}

static void s_put_settings(const shell *self)
{
    (void)printf("schema       %s\nstrategy     %s\nconsistency  %s\nformat       %s\n"
                 "pager        %s\nroute        %s\nexplain      %s\ntiming       %s\n",
                 self->db[0] != '\0' ? self->db : "(the account's)",
                 self->strategy[0] != '\0' ? self->strategy : "(the cluster's)",
                 self->consistency[0] != '\0' ? self->consistency : "any",
                 pcl_format_text(self->format), self->pager[0] != '\0' ? self->pager : "off",
                 self->route ? "on" : "off", self->explain ? "on" : "off",
                 self->timing ? "on" : "off");
    (void)printf("session      %s\n", self->session == NULL ? "none"
                                      : self->plain         ? "open, without a transaction"
                                                            : "open, in a transaction");
}

static void s_describe(shell *self, const char *table)
{
    pcl_buffer sql;
    pcl_buffer_init(&sql, STATEMENT_SIZE_MAX);
    pcl_buffer_put(&sql, "DESCRIBE ", 9);
    pcl_buffer_put(&sql, table, strlen(table));
    if (!sql.failed) {
        s_run_statement(self, pcl_buffer_bytes(&sql), false);
    }
    pcl_buffer_release(&sql);
}

/* Those that only set something. */
static void s_set(shell *self, const pcl_shell_order *order, const char *argument)
{
    if (order->verb == PCL_SHELL_DB) {
        s_set_db(self, argument);
    } else if (order->verb == PCL_SHELL_STRATEGY) {
        bool own = strcmp(argument, "default") == 0;
        (void)snprintf(self->strategy, sizeof self->strategy, "%s", own ? "" : argument);
    } else if (order->verb == PCL_SHELL_CONSISTENCY) {
        s_check_consistency(self, argument);
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

static void s_obey(shell *self, const pcl_shell_order *order)
{
    char argument[SETTING_SIZE];
    if (order->argument.size >= sizeof argument) {
        s_complain(self, "what stands behind the command is too long");
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
        s_run_statement(self, pcl_bytes_text(tables), false);
    } else if (order->verb == PCL_SHELL_DESCRIBE) {
        s_describe(self, argument);
    } else if (order->verb == PCL_SHELL_BEGIN) {
        s_begin(self, order->argument);
    } else if (order->verb == PCL_SHELL_COMMIT || order->verb == PCL_SHELL_ROLLBACK) {
        s_end_session(self, order->verb == PCL_SHELL_COMMIT);
    } else if (order->verb == PCL_SHELL_SOURCE) {
        s_run_source(self, argument);
    } else if (order->verb == PCL_SHELL_STATUS) {
        s_note(self, pcl_command_show_status(self->client, self->timeout_ms, false));
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
static bool s_is_own(const shell *self, const pcl_shell_order *order)
{
    bool open = self->session != NULL;
    bool ends = order->verb == PCL_SHELL_COMMIT || order->verb == PCL_SHELL_ROLLBACK;
    return order->verb == PCL_SHELL_DB || (order->verb == PCL_SHELL_BEGIN && !open) ||
           (ends && open && !self->plain);
}

static void s_take(shell *self, const pcl_shell_item *item)
{
    pcl_shell_order order;
    char problem[PCL_SHELL_PROBLEM_SIZE];
    if (item->kind == PCL_SHELL_COMMAND) {
        if (pcl_shell_command_parse(&order, item->text, problem)) {
            s_obey(self, &order);
        } else {
            s_complain(self, problem);
        }
    } else if (pcl_shell_statement_order(&order, item->text) && s_is_own(self, &order)) {
        s_obey(self, &order);
    } else {
        s_run_statement(self, item->text, item->vertical);
    }
}

static bool s_goes_on(const shell *self)
{
    return !self->quit && (self->force || self->failure == PCL_EXIT_OK);
}

static void s_take_all(shell *self)
{
    pcl_shell_item item;
    while (s_goes_on(self) &&
           (item = pcl_shell_input_next(self->input)).kind != PCL_SHELL_NOTHING) {
        s_take(self, &item);
    }
}

static void s_take_line(shell *self, pcl_bytes line)
{
    if (!pcl_shell_input_add(self->input, line)) {
        s_complain(self, "the statement is over 64 MiB");
        return;
    }
    s_take_all(self);
}

static void s_run_stream(shell *self, FILE *stream)
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

static void s_run_source(shell *self, const char *file)
{
    if (self->depth == SOURCE_DEPTH_MAX) {
        s_complain(self, "\\source: files name each other more than 8 deep");
        return;
    }
    FILE *stream = fopen(file, "rb");
    if (stream == NULL) {
        char problem[SETTING_SIZE + 64];
        (void)snprintf(problem, sizeof problem, "\\source %s: %s", file, strerror(errno));
        s_complain(self, problem);
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
    const shell *self = context;
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

static void s_talk(shell *self)
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
        s_complain(self, "the terminal cannot be edited on");
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

static void s_catch_signals(void)
{
    struct sigaction action = {.sa_handler = s_on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN; /* a pager that was left is an error of the write */
    (void)sigaction(SIGPIPE, &action, NULL);
}

static bool s_read_options(shell *self, const pcl_cli_line *line, char *problem)
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
    return pcl_cli_uint(line, "timeout", 1, TIMEOUT_MS_MAX, 0, &self->timeout_ms, problem);
}

int pcl_command_shell(const pcl_cli_line *line)
{
    shell self = {.line = line,
                  .talks = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0,
                  .timing = isatty(STDOUT_FILENO) != 0};
    char problem[PCL_CLI_PROBLEM_SIZE];
    if (!s_read_options(&self, line, problem)) {
        return pcl_command_usage(line, problem);
    }
    self.force = self.talks || pcl_cli_has(line, "force");
    self.client = pcl_command_open(line);
    if (self.client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    pcl_shell_catalog_init(&self.catalog);
    s_set_pager(&self, "");
    s_catch_signals();
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
