#include "bench/driver/plan.h"

#include "client/portcullis.h"
#include "common/clock.h"
#include "common/limits.h"
#include "wire/request.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 86400.0
#define RATE_MAX    1000000.0
#define PARAMS_MAX  32u /* of a statement on the command line */

static bool s_wrong(char *problem, const char *option, const char *rule)
{
    (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s %s", option, rule);
    return false;
}

/* A decimal number of an option; *out_value keeps its value when text is NULL: it was not given. */
static bool s_number(const char *name, const char *text, double min, double max, double *out_value,
                     char *problem)
{
    if (text == NULL) {
        return true;
    }
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < min || value > max) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s must be a number from %g to %g", name,
                       min, max);
        return false;
    }
    *out_value = value;
    return true;
}

bool pcl_plan_is_name(const char *text)
{
    size_t size = strlen(text);
    for (size_t index = 0; index < size; index++) {
        if (!isalnum((unsigned char)text[index]) && text[index] != '_') {
            return false;
        }
    }
    return size > 0 && size <= PCL_DB_NAME_SIZE_MAX;
}

const char *pcl_plan_strategy(const pcl_plan *plan, uint32_t index)
{
    const char *name = plan->strategies[index];
    return strcmp(name, "default") == 0 ? NULL : name;
}

/* The library knows which there are. */
static bool s_is_strategy(const char *name)
{
    portcullis_request *request = portcullis_request_new_ping();
    bool known = strcmp(name, "default") == 0 || (name[0] != '\0' && request != NULL &&
                                                  portcullis_request_set_strategy(request, name));
    portcullis_request_destroy(&request);
    return known;
}

static bool s_read_strategies(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    const char *given = pcl_cli_value(line, "strategies");
    given = given == NULL ? "default" : strcmp(given, "all") == 0 ? PCL_STRATEGY_NAMES(",") : given;
    if (strlen(given) >= sizeof plan->strategies_given) {
        return s_wrong(problem, "strategies", "is too long");
    }
    memcpy(plan->strategies_given, given, strlen(given) + 1);
    char *name = plan->strategies_given;
    while (name != NULL) {
        char *comma = strchr(name, ',');
        if (comma != NULL) {
            *comma = '\0';
        }
        if (!s_is_strategy(name)) {
            (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE,
                           "--strategies: there is no strategy \"%.60s\"", name);
            return false;
        }
        if (plan->strategy_count == PCL_PLAN_STRATEGIES_MAX) {
            return s_wrong(problem, "strategies", "names more than 16");
        }
        plan->strategies[plan->strategy_count++] = name;
        name = comma != NULL ? comma + 1 : NULL;
    }
    return true;
}

static bool s_read_labels(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    for (size_t index = 0; index < line->given_count; index++) {
        const pcl_cli_given *given = &line->given[index];
        if (strcmp(given->option->name, "label") != 0) {
            continue;
        }
        const char *equals = strchr(given->value, '=');
        if (equals == NULL || equals == given->value) {
            return s_wrong(problem, "label", "must be NAME=VALUE");
        }
        if (plan->label_count == PCL_PLAN_LABELS_MAX) {
            return s_wrong(problem, "label", "was given more than 16 times");
        }
        plan->labels[plan->label_count++] = (pcl_plan_label){
            .name = given->value,
            .name_size = (size_t)(equals - given->value),
            .value = equals + 1};
    }
    return true;
}

/* What the mix says is wrong, as something of an option's or operand's. */
static bool s_wrong_mix(char *problem, const char *of, const char *what)
{
    (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "%.80s: %.170s", of, what);
    return false;
}

static bool s_read_statement(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    pcl_value_rule rules[PARAMS_MAX];
    uint32_t count = 0;
    char wrong[PCL_MIX_PROBLEM_SIZE];
    if (line->operand_count == 0 || line->operands[0][0] == '\0') {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "name the statement to send");
        return false;
    }
    for (size_t index = 0; index < line->given_count; index++) {
        const pcl_cli_given *given = &line->given[index];
        if (strcmp(given->option->name, "param") != 0) {
            continue;
        }
        if (count == PARAMS_MAX) {
            return s_wrong(problem, "param", "was given more than 32 times");
        }
        if (!pcl_value_parse(given->value, &rules[count++])) {
            return s_wrong(problem, "param", PCL_VALUE_RULE);
        }
    }
    return (pcl_mix_add_part(&plan->mix, "sql", 1, false, wrong) &&
            pcl_mix_add_statement(&plan->mix, pcl_bytes_text(line->operands[0]), rules, count,
                                  wrong)) ||
           s_wrong_mix(problem, "--param", wrong);
}

/* false: problem says why. */
static bool s_read_file(const char *name, pcl_buffer *text, char *problem)
{
    char piece[4096];
    size_t size = 0;
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return s_wrong_mix(problem, name, strerror(errno));
    }
    while (!text->failed && (size = fread(piece, 1, sizeof piece, file)) > 0) {
        pcl_buffer_put(text, piece, size);
    }
    bool good = !ferror(file) && !text->failed;
    (void)fclose(file);
    return good || s_wrong_mix(problem, name, "cannot be read, or is over 4 MiB");
}

static bool s_read_sql_file(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    char wrong[PCL_MIX_PROBLEM_SIZE];
    if (line->operand_count == 0) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "name the file of statements");
        return false;
    }
    pcl_buffer text;
    pcl_buffer_init(&text, PCL_MIX_TEXT_SIZE_MAX);
    bool good = s_read_file(line->operands[0], &text, problem);
    if (good && !pcl_mix_add_file(&plan->mix, pcl_buffer_bytes(&text), wrong)) {
        good = s_wrong_mix(problem, line->operands[0], wrong);
    }
    pcl_buffer_release(&text);
    return good;
}

/* The options of the workloads on a table of our own; those that the command does not have keep
 * their values. */
static bool s_read_shape(const pcl_cli_line *line, pcl_mix_shape *shape, char *problem)
{
    const char *table = pcl_cli_value(line, "table");
    bool txn = strcmp(line->command->name, "txn") == 0 || strcmp(line->command->name, "mixed") == 0;
    bool span = txn || strcmp(line->command->name, "range") == 0;
    *shape = (pcl_mix_shape){.table = table != NULL ? table : PCL_PLAN_TABLE,
                             .rows = PCL_PLAN_ROWS,
                             .span = 100,
                             .points = 10,
                             .ranges = 1,
                             .writes = 1};
    if (!pcl_plan_is_name(shape->table)) {
        return s_wrong(problem, "table", PCL_PLAN_NAME_RULE);
    }
    return pcl_cli_uint(line, "rows", 1, UINT32_MAX, shape->rows, &shape->rows, problem) &&
           (!span || pcl_cli_uint(line, "span", 1, PCL_PAGE_ROWS_DEFAULT, shape->span, &shape->span,
                                  problem)) &&
           (!txn || (pcl_cli_uint(line, "points", 0, PCL_VALUE_SAME_MAX, shape->points,
                                  &shape->points, problem) &&
                     pcl_cli_uint(line, "ranges", 0, PCL_VALUE_SAME_MAX, shape->ranges,
                                  &shape->ranges, problem) &&
                     pcl_cli_uint(line, "writes", 0, PCL_VALUE_SAME_MAX, shape->writes,
                                  &shape->writes, problem)));
}

/* Of a workload that makes its own statements. */
static bool s_make_statements(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    pcl_mix_shape shape;
    char wrong[PCL_MIX_PROBLEM_SIZE];
    if (!s_read_shape(line, &shape, problem)) {
        return false;
    }
    plan->db = plan->db != NULL ? plan->db : PCL_PLAN_DB;
    if (strcmp(plan->workload, "mixed") != 0) {
        return pcl_mix_add_made(&plan->mix, plan->workload, 1, &shape, wrong) ||
               s_wrong_mix(problem, plan->workload, wrong);
    }
    const char *shares = pcl_cli_value(line, "shares");
    return pcl_mix_add_shares(&plan->mix, shares != NULL ? shares : PCL_PLAN_SHARES, &shape,
                              wrong) ||
           s_wrong_mix(problem, "--shares", wrong);
}

static bool s_read_workload(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    plan->db = pcl_cli_value(line, "db");
    if (plan->db != NULL && !pcl_plan_is_name(plan->db)) {
        return s_wrong(problem, "db", PCL_PLAN_NAME_RULE);
    }
    return strcmp(plan->workload, "sql") == 0    ? s_read_statement(plan, line, problem)
           : strcmp(plan->workload, "file") == 0 ? s_read_sql_file(plan, line, problem)
                                                 : s_make_statements(plan, line, problem);
}

/* "500", or "100..5000" of a ramp. */
static bool s_read_rate(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    const char *text = pcl_cli_value(line, "rate");
    const char *dots = text != NULL ? strstr(text, "..") : NULL;
    char from[64];
    plan->rate = plan->rate_end = 100.0;
    if (dots == NULL) {
        bool good = s_number("rate", text, 0.1, RATE_MAX, &plan->rate, problem);
        plan->rate_end = plan->rate;
        return good;
    }
    (void)snprintf(from, sizeof from, "%.*s", (int)(dots - text), text);
    return s_number("rate", from, 0.1, RATE_MAX, &plan->rate, problem) &&
           s_number("rate", dots + 2, 0.1, RATE_MAX, &plan->rate_end, problem);
}

/* How requests come: at a rate, or from clients that each wait for their answer. */
static bool s_read_load(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    const char *arrivals = pcl_cli_value(line, "arrivals");
    plan->arrivals = arrivals != NULL && strcmp(arrivals, "fixed") == 0 ? PCL_ARRIVALS_FIXED
                                                                        : PCL_ARRIVALS_POISSON;
    bool closed = pcl_cli_has(line, "clients");
    if (closed && (pcl_cli_has(line, "rate") || arrivals != NULL)) {
        return s_wrong(problem, "clients",
                       "is a closed loop: --rate and --arrivals are of an open one");
    }
    return (closed || s_read_rate(plan, line, problem)) &&
           (!closed || pcl_cli_uint(line, "clients", 1, 100000, 1, &plan->clients, problem)) &&
           pcl_cli_uint(line, "connections", 1, 256, 1, &plan->connections, problem) &&
           pcl_cli_uint(line, "inflight-max", 1, PCL_INFLIGHT_MAX, 100000, &plan->inflight_max,
                        problem) &&
           pcl_cli_uint(line, "timeout", 1, PCL_TIMEOUT_MS_MAX, PCL_TIMEOUT_MS_DEFAULT,
                        &plan->timeout_ms, problem);
}

bool pcl_plan_read(pcl_plan *out_plan, const pcl_cli_line *line, char *problem)
{
    double time_s = 10.0;
    double warmup_s = 1.0;
    uint32_t seed = 0;
    *out_plan = (pcl_plan){.workload = line->command->name,
                           .bundle = pcl_cli_value(line, "bundle"),
                           .json = pcl_cli_value(line, "json"),
                           .csv = pcl_cli_value(line, "csv"),
                           .text = pcl_cli_value(line, "text"),
                           .quiet = pcl_cli_has(line, "quiet")};
    pcl_mix_init(&out_plan->mix);
    bool good =
        s_read_workload(out_plan, line, problem) && s_read_labels(out_plan, line, problem) &&
        s_read_strategies(out_plan, line, problem) && s_read_load(out_plan, line, problem) &&
        s_number("time", pcl_cli_value(line, "time"), 0.1, SECONDS_MAX, &time_s, problem) &&
        s_number("warmup", pcl_cli_value(line, "warmup"), 0.0, SECONDS_MAX, &warmup_s, problem) &&
        pcl_cli_uint(line, "rounds", 1, PCL_PLAN_ROUNDS_MAX, 1, &out_plan->rounds, problem) &&
        pcl_cli_uint(line, "seed", 0, UINT32_MAX, 1, &seed, problem) &&
        pcl_cli_uint(line, "max-lag", 0, UINT32_MAX - 1, UINT32_MAX, &out_plan->lag_ms_max,
                     problem);
    out_plan->time_us = (uint64_t)(time_s * (double)PCL_US_PER_S);
    out_plan->warmup_us = (uint64_t)(warmup_s * (double)PCL_US_PER_S);
    out_plan->seed = seed;
    uint32_t points_max = PCL_PLAN_POINTS_ALL / (out_plan->rounds > 0 ? out_plan->rounds : 1);
    out_plan->points_max = points_max < PCL_PLAN_POINTS_MAX ? points_max : PCL_PLAN_POINTS_MAX;
    return good;
}

void pcl_plan_release(pcl_plan *plan)
{
    pcl_mix_release(&plan->mix);
}
