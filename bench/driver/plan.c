#include "bench/driver/plan.h"

#include "client/portcullis.h"
#include "common/clock.h"
#include "common/limits.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 86400.0
#define RATE_MAX    1000000.0

static bool s_wrong(char *problem, const char *option, const char *rule)
{
    (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--%s %s", option, rule);
    return false;
}

/* A decimal number of an option; *out_value keeps its value when the option was not given. */
static bool s_number(const pcl_cli_line *line, const char *name, double min, double max,
                     double *out_value, char *problem)
{
    const char *text = pcl_cli_value(line, name);
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
    given = given != NULL ? given : "default";
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

static bool s_read_params(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    for (size_t index = 0; index < line->given_count; index++) {
        const pcl_cli_given *given = &line->given[index];
        if (strcmp(given->option->name, "param") != 0) {
            continue;
        }
        if (plan->param_count == PCL_PLAN_PARAMS_MAX) {
            return s_wrong(problem, "param", "was given more than 32 times");
        }
        if (!pcl_value_parse(given->value, &plan->params[plan->param_count++])) {
            return s_wrong(problem, "param", PCL_VALUE_RULE);
        }
    }
    return true;
}

/* The statement of a workload that makes its own. */
static bool s_make_sql(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    const char *table = pcl_cli_value(line, "table");
    uint32_t rows = 0;
    uint32_t span = 100;
    bool range = strcmp(line->command->name, "range") == 0;
    table = table != NULL ? table : PCL_PLAN_TABLE;
    if (!pcl_plan_is_name(table)) {
        return s_wrong(problem, "table", PCL_PLAN_NAME_RULE);
    }
    if (!pcl_cli_uint(line, "rows", 1, UINT32_MAX, PCL_PLAN_ROWS, &rows, problem) ||
        (range && !pcl_cli_uint(line, "span", 1, PCL_PAGE_ROWS_DEFAULT, 100, &span, problem))) {
        return false;
    }
    plan->params[0] = (pcl_value_rule){.kind = PCL_VALUE_INT, .int_min = 1, .int_max = rows};
    plan->param_count = 1;
    if (range) {
        (void)snprintf(plan->sql_made, sizeof plan->sql_made,
                       "SELECT pad FROM %s WHERE id >= ? ORDER BY id LIMIT %u", table, span);
    } else {
        (void)snprintf(plan->sql_made, sizeof plan->sql_made, "SELECT pad FROM %s WHERE id = ?",
                       table);
    }
    plan->sql = plan->sql_made;
    plan->db = plan->db != NULL ? plan->db : PCL_PLAN_DB;
    return true;
}

static bool s_read_workload(pcl_plan *plan, const pcl_cli_line *line, char *problem)
{
    plan->db = pcl_cli_value(line, "db");
    if (plan->db != NULL && !pcl_plan_is_name(plan->db)) {
        return s_wrong(problem, "db", PCL_PLAN_NAME_RULE);
    }
    if (strcmp(line->command->name, "sql") != 0) {
        return s_make_sql(plan, line, problem);
    }
    if (line->operand_count == 0 || line->operands[0][0] == '\0') {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "name the statement to send");
        return false;
    }
    plan->sql = line->operands[0];
    return s_read_params(plan, line, problem);
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
    plan->rate = closed ? 0.0 : 100.0;
    return s_number(line, "rate", 0.1, RATE_MAX, &plan->rate, problem) &&
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
    *out_plan = (pcl_plan){.bundle = pcl_cli_value(line, "bundle"),
                           .json = pcl_cli_value(line, "json")};
    bool good = s_read_workload(out_plan, line, problem) &&
                s_read_strategies(out_plan, line, problem) &&
                s_read_load(out_plan, line, problem) &&
                s_number(line, "time", 0.1, SECONDS_MAX, &time_s, problem) &&
                s_number(line, "warmup", 0.0, SECONDS_MAX, &warmup_s, problem) &&
                pcl_cli_uint(line, "rounds", 1, PCL_PLAN_ROUNDS_MAX, 1, &out_plan->rounds,
                             problem) &&
                pcl_cli_uint(line, "seed", 0, UINT32_MAX, 1, &seed, problem) &&
                pcl_cli_uint(line, "max-lag", 0, UINT32_MAX - 1, UINT32_MAX, &out_plan->lag_ms_max,
                             problem);
    out_plan->time_us = (uint64_t)(time_s * (double)PCL_US_PER_S);
    out_plan->warmup_us = (uint64_t)(warmup_s * (double)PCL_US_PER_S);
    out_plan->seed = seed;
    return good;
}
