/* query - runs statements and shows what they give. */
#include "client/command/command.h"
#include "client/command/interrupt.h"
#include "client/command/show.h"
#include "client/splitter.h"
#include "net/time.h"
#include "wire/request.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE_MAX (256u * 1024u * 1024u)
/* Of a long result: while one page is written, one is with each hop on the way. */
#define PAGES_AHEAD   6u

typedef struct query {
    const pcl_cli_line *line;
    pcl_show show;
    uint32_t timeout_ms; /* 0: the client's default */
    uint32_t page_rows;  /* 0: the cluster's default */
    bool has_id;
    uint8_t id[PCL_ID_SIZE];
    bool force;
    char problem[PCL_CLI_PROBLEM_SIZE];
} query;

static bool s_problem(query *self, const char *what, const char *why)
{
    (void)snprintf(self->problem, sizeof self->problem, "%.100s %s", what, why);
    return false;
}

/* Appends all of a stream to text. */
static bool s_read(query *self, pcl_buffer *text, const char *file)
{
    bool standard = file == NULL || strcmp(file, "-") == 0;
    if (standard && isatty(STDIN_FILENO)) {
        (void)fputs("portcullis: type statements, each with a ; behind it; end with Ctrl-D\n",
                    stderr);
    }
    FILE *stream = standard ? stdin : fopen(file, "rb");
    if (stream == NULL) {
        return s_problem(self, file, strerror(errno));
    }
    char chunk[65536];
    for (size_t size; (size = fread(chunk, 1, sizeof chunk, stream)) > 0;) {
        pcl_buffer_put(text, chunk, size);
    }
    bool good = !ferror(stream);
    if (!standard) {
        (void)fclose(stream);
    }
    if (!good || text->failed) {
        return s_problem(self, standard ? "standard input" : file,
                         good ? "is too large" : "cannot be read");
    }
    return true;
}

/* Everything but the statement. */
static bool s_set_options(query *self, portcullis_request *request)
{
    const pcl_cli_line *line = self->line;
    const char *consistency = pcl_cli_value(line, "consistency");
    const char *after = pcl_cli_value(line, "after");
    if (!portcullis_request_set_strategy(request, pcl_cli_value(line, "strategy")) ||
        !portcullis_request_set_db(request, pcl_cli_value(line, "db"))) {
        return s_problem(self, "--db", "is longer than the name of a schema may be");
    }
    portcullis_request_set_timeout(request, self->timeout_ms);
    portcullis_request_set_explain_route(request, pcl_cli_has(line, "explain"));
    portcullis_request_set_idempotent(request, pcl_cli_has(line, "idempotent"));
    portcullis_request_set_metadata(request, self->show.metadata);
    portcullis_request_set_page_rows(request, self->page_rows);
    portcullis_request_set_pages_ahead(request, PAGES_AHEAD);
    portcullis_request_set_id(request, self->has_id ? self->id : NULL);
    portcullis_request_set_monotonic(request, self->show.token);
    if (after != NULL && !portcullis_request_set_consistency_after(request, after, strlen(after))) {
        return s_problem(self, "--after", "needs a token");
    }
    const char *problem = "";
    return consistency == NULL || pcl_command_set_consistency(request, consistency, &problem) ||
           s_problem(self, "--consistency:", problem);
}

/* Sends the request and shows what it gave; its exit code. */
static int s_run(query *self, const portcullis_request *request, const char *what)
{
    uint64_t began_us = pcl_now_us();
    portcullis_result *result = pcl_interrupt_wait(self->show.client,
                                                   portcullis_start(self->show.client, request));
    if (result == NULL) {
        (void)fputs("portcullis: out of memory\n", stderr);
        return PCL_EXIT_RETRY;
    }
    int code = PCL_EXIT_OK;
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        code = pcl_show_result(&self->show, result, what, began_us);
    } else {
        char place[32];
        uint32_t statement = 0;
        if (portcullis_result_failed_statement(result, &statement)) {
            (void)snprintf(place, sizeof place, "statement %u", statement + 1);
            what = place;
        }
        code = pcl_command_fail(result, what);
        if (self->show.route) {
            pcl_command_put_route(result);
        }
        code = pcl_interrupt_came() ? PCL_EXIT_INTERRUPTED : code;
    }
    portcullis_result_destroy(&result);
    return code;
}

/* number: 0 when it is the only statement. */
static int s_run_one(query *self, pcl_bytes sql, uint32_t number)
{
    portcullis_request *request = portcullis_request_new_sized((const char *)sql.data, sql.size);
    int code = PCL_EXIT_OK;
    if (request == NULL || !s_set_options(self, request) ||
        !pcl_command_add_params(self->line, request, self->problem)) {
        code = pcl_command_usage(self->line, self->problem);
    } else {
        char what[32];
        (void)snprintf(what, sizeof what, "statement %u", number);
        code = s_run(self, request, number > 0 ? what : NULL);
    }
    portcullis_request_destroy(&request);
    return code;
}

/* All statements of the text in one request. */
static int s_run_txn(query *self, pcl_bytes text)
{
    portcullis_request *request = portcullis_request_new_txn();
    pcl_splitter splitter = pcl_splitter_of(text);
    pcl_bytes statement;
    uint32_t count = 0;
    bool good = request != NULL && s_set_options(self, request);
    while (good && pcl_splitter_next(&splitter, &statement)) {
        count++;
        good = portcullis_request_add_statement_sized(request, (const char *)statement.data,
                                                      statement.size) ||
               s_problem(self, "--txn", "takes at most 256 statements, and 17 MiB of them");
    }
    if (good && count == 0) {
        good = s_problem(self, "there is no statement", "to run");
    }
    if (good && count > 1 && pcl_cli_has(self->line, "param")) {
        good = s_problem(self, "--param", "goes with one statement only");
    }
    int code = good && pcl_command_add_params(self->line, request, self->problem)
                   ? s_run(self, request, NULL)
                   : pcl_command_usage(self->line, self->problem);
    portcullis_request_destroy(&request);
    return code;
}

/* The first failure's code, also where --force went on. */
static int s_run_all(query *self, pcl_bytes text)
{
    pcl_splitter splitter = pcl_splitter_of(text);
    pcl_bytes statement;
    pcl_bytes next;
    int first_failure = PCL_EXIT_OK;
    bool more = pcl_splitter_next(&splitter, &statement);
    bool several = false;
    if (!more) {
        return pcl_command_usage(self->line, "there is no statement to run");
    }
    for (uint32_t number = 1; more; number++) {
        more = pcl_splitter_next(&splitter, &next);
        several = several || more;
        if (several && number == 1 && pcl_cli_has(self->line, "param")) {
            return pcl_command_usage(self->line, "--param goes with one statement only");
        }
        int code = s_run_one(self, statement, several ? number : 0);
        first_failure = first_failure == PCL_EXIT_OK ? code : first_failure;
        if (code != PCL_EXIT_OK &&
            (!self->force || code == PCL_EXIT_USAGE || code == PCL_EXIT_INTERRUPTED)) {
            break;
        }
        statement = next;
    }
    return first_failure;
}

/* What cannot be said together, or not so.  false: problem says what. */
static bool s_check(query *self)
{
    const pcl_cli_line *line = self->line;
    const char *format = pcl_cli_value(line, "format");
    const char *id = pcl_cli_value(line, "id");
    if (format != NULL && !pcl_format_parse(format, &self->show.format)) {
        return s_problem(self, "--format", "must be one of those that --help has");
    }
    if (!pcl_cli_uint(line, "timeout", 1, PCL_TIMEOUT_MS_MAX, 0, &self->timeout_ms,
                      self->problem) ||
        !pcl_cli_uint(line, "page-rows", 1, PCL_PAGE_ROWS_MAX, 0, &self->page_rows,
                      self->problem)) {
        return false;
    }
    self->has_id = id != NULL;
    if (id != NULL && !pcl_command_parse_id(id, self->id)) {
        return s_problem(self, "--id", PCL_COMMAND_ID_RULE);
    }
    if (pcl_cli_value(line, "file") != NULL && line->operand_count > 0) {
        return s_problem(self, "give a statement or --file,", "not both");
    }
    if (pcl_cli_has(line, "txn") &&
        (pcl_cli_has(line, "strategy") || pcl_cli_has(line, "consistency"))) {
        return s_problem(self, "--txn",
                         "is done on the source: it takes no --strategy and no "
                         "--consistency");
    }
    if (pcl_cli_has(line, "after") && pcl_cli_has(line, "consistency")) {
        return s_problem(self, "give --after or --consistency,", "not both");
    }
    if (self->show.format == PCL_FORMAT_MSGPACK && self->show.terminal) {
        return s_problem(self, "msgpack", "is not for terminals: send it to a file or a pipe");
    }
    return true;
}

/* The statements of the operand, of a file, or of standard input. */
static int s_run_text(query *self)
{
    const pcl_cli_line *line = self->line;
    bool given = line->operand_count > 0 && strcmp(line->operands[0], "-") != 0;
    bool txn = pcl_cli_has(line, "txn");
    if (given) {
        pcl_bytes sql = pcl_bytes_text(line->operands[0]);
        pcl_interrupt_catch(true);
        return txn ? s_run_txn(self, sql) : s_run_one(self, sql, 0); /* not cut: see --help */
    }
    pcl_buffer text;
    pcl_buffer_init(&text, TEXT_SIZE_MAX);
    int code = PCL_EXIT_USAGE;
    if (!s_read(self, &text, pcl_cli_value(line, "file"))) {
        code = pcl_command_usage(line, self->problem);
    } else {
        pcl_interrupt_catch(true); /* while statements are typed, Ctrl-C is what it always is */
        code = txn ? s_run_txn(self, pcl_buffer_bytes(&text))
                   : s_run_all(self, pcl_buffer_bytes(&text));
    }
    pcl_buffer_release(&text);
    return code;
}

int pcl_command_query(const pcl_cli_line *line)
{
    query self = {.line = line,
                  .show = {.out = stdout,
                           .timing = true,
                           .terminal = isatty(STDOUT_FILENO) != 0,
                           .route = pcl_cli_has(line, "route") || pcl_cli_has(line, "explain"),
                           .token = pcl_cli_has(line, "monotonic"),
                           .metadata = pcl_cli_has(line, "metadata")},
                  .force = pcl_cli_has(line, "force")};
    if (!s_check(&self)) {
        return pcl_command_usage(line, self.problem);
    }
    const char *causal = pcl_cli_value(line, "causal");
    self.show.client = causal != NULL ? pcl_command_open_causal(line) : pcl_command_open(line);
    if (self.show.client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    int code = PCL_EXIT_CONFIG;
    if (causal == NULL) {
        code = s_run_text(&self);
    } else if (pcl_command_load_tokens(self.show.client, causal)) {
        code = s_run_text(&self);
        bool saved = pcl_command_save_tokens(self.show.client, causal);
        code = saved || code != PCL_EXIT_OK ? code : PCL_EXIT_CONFIG;
    }
    portcullis_close(&self.show.client);
    return code;
}
