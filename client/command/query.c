/* query - runs statements and shows what they give. */
#include "client/command/command.h"
#include "client/format.h"
#include "client/param.h"
#include "client/result.h"
#include "client/splitter.h"
#include "net/time.h"
#include "wire/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE_MAX (256u * 1024u * 1024u)
#define TIMEOUT_MAX   600000u

typedef struct query {
    const pcl_cli_line *line;
    portcullis *client;
    pcl_format format;
    uint32_t timeout_ms; /* 0: the client's default */
    bool terminal;       /* standard output is one */
    bool route;
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

static bool s_add_param(query *self, portcullis_request *request, const char *argument)
{
    pcl_param param;
    const char *why = "";
    if (!pcl_param_parse(&param, argument, &why)) {
        (void)snprintf(self->problem, sizeof self->problem, "--param %.60s: %s", argument, why);
        return false;
    }
    bool added = false;
    switch (param.type) {
    case PCL_PARAM_NULL:
        added = portcullis_request_add_null(request);
        break;
    case PCL_PARAM_INT:
        added = portcullis_request_add_int(request, param.integer);
        break;
    case PCL_PARAM_UINT:
        added = portcullis_request_add_uint(request, param.uinteger);
        break;
    case PCL_PARAM_DOUBLE:
        added = portcullis_request_add_double(request, param.real);
        break;
    case PCL_PARAM_TEXT:
        added = portcullis_request_add_text(request, param.text);
        break;
    case PCL_PARAM_BLOB:
        added = portcullis_request_add_blob(request, param.octets.data, param.octets.size);
        break;
    case PCL_PARAM_DECIMAL:
        added = portcullis_request_add_decimal(request, param.text);
        break;
    case PCL_PARAM_TEMPORAL:
        added = portcullis_request_add_temporal(request, param.text);
        break;
    }
    pcl_param_release(&param);
    return added || s_problem(self, "--param", "there are too many of them");
}

static bool s_set_consistency(query *self, portcullis_request *request, const char *text)
{
    char *end = NULL;
    if (strcmp(text, "any") == 0) {
        portcullis_request_set_consistency_any(request);
    } else if (strcmp(text, "source") == 0) {
        portcullis_request_set_consistency_source(request);
    } else if (strncmp(text, "max-lag=", 8) == 0 && text[8] >= '0' && text[8] <= '9') {
        errno = 0;
        unsigned long lag_ms = strtoul(text + 8, &end, 10);
        if (errno != 0 || *end != '\0' || lag_ms > UINT32_MAX) {
            return s_problem(self, "--consistency max-lag=MS", "needs a whole number");
        }
        portcullis_request_set_consistency_max_lag(request, (uint32_t)lag_ms);
    } else if (strncmp(text, "after=", 6) == 0) {
        return portcullis_request_set_consistency_after(request, text + 6, strlen(text + 6)) ||
               s_problem(self, "--consistency after=TOKEN", "needs a token");
    } else {
        return s_problem(self, "--consistency", "must be any, source, max-lag=MS or after=TOKEN");
    }
    return true;
}

/* Everything but the statement. */
static bool s_set_options(query *self, portcullis_request *request)
{
    const pcl_cli_line *line = self->line;
    const char *consistency = pcl_cli_value(line, "consistency");
    if (!portcullis_request_set_strategy(request, pcl_cli_value(line, "strategy")) ||
        !portcullis_request_set_db(request, pcl_cli_value(line, "db"))) {
        return s_problem(self, "--db", "is longer than the name of a schema may be");
    }
    portcullis_request_set_timeout(request, self->timeout_ms);
    portcullis_request_set_explain_route(request, pcl_cli_has(line, "explain"));
    portcullis_request_set_idempotent(request, pcl_cli_has(line, "idempotent"));
    if (consistency != NULL && !s_set_consistency(self, request, consistency)) {
        return false;
    }
    for (size_t index = 0; index < line->given_count; index++) {
        if (strcmp(line->given[index].option->name, "param") == 0 &&
            !s_add_param(self, request, line->given[index].value)) {
            return false;
        }
    }
    return true;
}

static void s_put_write_as_json(const pcl_reply *reply)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    char counts[120];
    (void)snprintf(
        counts, sizeof counts, "{\"affected\":%llu,\"insert_id\":%llu,\"warnings\":%u,\"token\":",
        (unsigned long long)reply->affected, (unsigned long long)reply->insert_id, reply->warnings);
    pcl_buffer_put(&text, counts, strlen(counts));
    if (reply->token.size > 0) {
        pcl_json_put_text(&text, reply->token);
    } else {
        pcl_buffer_put(&text, "null", 4);
    }
    pcl_buffer_put(&text, "}\n", 2);
    (void)pcl_command_write(NULL, pcl_buffer_bytes(&text)); /* s_show looks at stdout's state */
    pcl_buffer_release(&text);
}

/* The line for people under a result; nothing in the formats for programs. */
static void s_put_footer(const query *self, const pcl_reply *reply, uint64_t took_us)
{
    if (self->format != PCL_FORMAT_TABLE && self->format != PCL_FORMAT_VERTICAL) {
        return;
    }
    char warnings[40] = "";
    if (reply->warnings > 0) {
        (void)snprintf(warnings, sizeof warnings, ", %u warning%s", reply->warnings,
                       reply->warnings == 1 ? "" : "s");
    }
    double took_ms = (double)took_us / 1000.0;
    if (reply->has_columns) {
        if (self->terminal) {
            (void)printf("%u row%s%s (%.1f ms)\n", reply->row_count,
                         reply->row_count == 1 ? "" : "s", warnings, took_ms);
        }
        return;
    }
    (void)printf("%llu row%s affected", (unsigned long long)reply->affected,
                 reply->affected == 1 ? "" : "s");
    if (reply->insert_id > 0) {
        (void)printf(", insert id %llu", (unsigned long long)reply->insert_id);
    }
    (void)printf("%s (%.1f ms)\n", warnings, took_ms);
    if (reply->token.size > 0 && self->terminal) {
        (void)fputs("token ", stdout);
        pcl_buffer text;
        pcl_buffer_init(&text, SIZE_MAX);
        pcl_format_put_text(&text, reply->token);
        (void)pcl_command_write(NULL, pcl_buffer_bytes(&text)); /* as above */
        pcl_buffer_release(&text);
        (void)fputc('\n', stdout);
    }
}

static int s_show(query *self, const portcullis_result *result, uint64_t took_us)
{
    const pcl_reply *reply = pcl_result_reply(result);
    bool good = true;
    if (self->format == PCL_FORMAT_MSGPACK) {
        size_t size = 0;
        const void *octets = portcullis_result_octets(result, &size);
        good = pcl_command_write(NULL, pcl_bytes_of(octets, size));
    } else if (reply->has_columns) {
        good = pcl_format_rows(self->format, reply, pcl_command_write, NULL);
    } else if (self->format == PCL_FORMAT_JSON) {
        s_put_write_as_json(reply);
    }
    s_put_footer(self, reply, took_us);
    good = fflush(stdout) == 0 && good && !ferror(stdout);
    if (self->route) {
        pcl_command_put_route(result);
    }
    if (!good) {
        (void)fprintf(stderr, "portcullis: cannot write the result: %s\n", strerror(errno));
        return PCL_EXIT_REFUSED;
    }
    return PCL_EXIT_OK;
}

/* number: 0 when it is the only statement. */
static int s_run_one(query *self, pcl_bytes sql, uint32_t number)
{
    portcullis_request *request = portcullis_request_new_sized((const char *)sql.data, sql.size);
    if (request == NULL || !s_set_options(self, request)) {
        portcullis_request_destroy(&request);
        return pcl_command_usage(self->line, self->problem);
    }
    uint64_t start_us = pcl_now_us();
    portcullis_result *result = portcullis_call(self->client, request);
    uint64_t took_us = pcl_now_us() - start_us;
    int code = PCL_EXIT_OK;
    if (portcullis_result_code(result) == PORTCULLIS_OK) {
        code = s_show(self, result, took_us);
    } else {
        char what[32];
        (void)snprintf(what, sizeof what, "statement %u", number);
        code = pcl_command_fail(result, number > 0 ? what : NULL);
        if (self->route) {
            pcl_command_put_route(result);
        }
    }
    portcullis_result_destroy(&result);
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
        if (code != PCL_EXIT_OK && (!self->force || code == PCL_EXIT_USAGE)) {
            break;
        }
        statement = next;
    }
    return first_failure;
}

int pcl_command_query(const pcl_cli_line *line)
{
    query self = {.line = line,
                  .terminal = isatty(STDOUT_FILENO) != 0,
                  .route = pcl_cli_has(line, "route") || pcl_cli_has(line, "explain"),
                  .force = pcl_cli_has(line, "force")};
    const char *format = pcl_cli_value(line, "format");
    const char *file = pcl_cli_value(line, "file");
    if (format != NULL && !pcl_format_parse(format, &self.format)) {
        return pcl_command_usage(line, "--format must be one of those that --help has");
    }
    if (!pcl_cli_uint(line, "timeout", 1, TIMEOUT_MAX, 0, &self.timeout_ms, self.problem)) {
        return pcl_command_usage(line, self.problem);
    }
    if (file != NULL && line->operand_count > 0) {
        return pcl_command_usage(line, "give a statement or --file, not both");
    }
    if (self.format == PCL_FORMAT_MSGPACK && self.terminal) {
        return pcl_command_usage(line, "msgpack is not for terminals: send it to a file or a pipe");
    }
    self.client = pcl_command_open(line);
    if (self.client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    int code = PCL_EXIT_OK;
    if (line->operand_count > 0 && strcmp(line->operands[0], "-") != 0) {
        code = s_run_one(&self, pcl_bytes_text(line->operands[0]), 0); /* not cut: see --help */
    } else {
        pcl_buffer text;
        pcl_buffer_init(&text, TEXT_SIZE_MAX);
        code = s_read(&self, &text, file) ? s_run_all(&self, pcl_buffer_bytes(&text))
                                          : pcl_command_usage(line, self.problem);
        pcl_buffer_release(&text);
    }
    portcullis_close(&self.client);
    return code;
}
