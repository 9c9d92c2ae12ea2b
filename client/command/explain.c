/* explain - which node a statement would go to, and why no other. */
#include "client/command/command.h"
#include "client/command/table.h"
#include "client/result.h"
#include "wire/request.h"

#include <string.h>

#define NAME_SIZE 96u

/* What is told of a node, in this order; a column is there when a node has something to say in it.
 */
typedef struct column {
    const char *key;
    const char *title;
    const char *type;
} column;

static const column s_columns[] = {
    {"score", "score", "DOUBLE"},           {"lag_ms", "lag ms", "BIGINT"},
    {"inflight", "in flight", "BIGINT"},    {"others", "others' load", "DOUBLE"},
    {"service_us", "service us", "BIGINT"}, {"rtt_us", "rtt us", "BIGINT"},
    {"health", "health", "VARCHAR"},        {"cause", "cause", "VARCHAR"},
    {"ejected_ms", "ejected ms", "BIGINT"}, {"why", "why", "VARCHAR"},
};
#define COLUMN_COUNT (sizeof s_columns / sizeof s_columns[0])

/* Which columns any of the nodes fills: a bit each. */
static uint32_t s_filled(pcl_bytes list)
{
    uint32_t filled = 0;
    pcl_tree_walk items = pcl_tree_items(list);
    pcl_bytes item;
    while (pcl_tree_next_item(&items, &item)) {
        for (uint32_t at = 0; at < COLUMN_COUNT; at++) {
            bool has = pcl_tree_value(pcl_tree_get(item, s_columns[at].key)).type != PCL_MP_NIL;
            filled |= has ? UINT32_C(1) << at : 0;
        }
    }
    return filled;
}

/* One cell: numbers as people read them, nothing where nothing is known. */
static void s_put_cell(pcl_table *table, const char *type, pcl_bytes octets)
{
    pcl_mp_value value = pcl_tree_value(octets);
    if (value.type == PCL_MP_NIL || value.type == PCL_MP_INT) { /* below 0 is not known */
        pcl_mp_put_text(&table->rows, "");
    } else if (value.type == PCL_MP_FLOAT && strcmp(type, "DOUBLE") == 0) {
        char text[32];
        (void)snprintf(text, sizeof text, "%.1f", value.real);
        pcl_mp_put_text(&table->rows, text);
    } else {
        pcl_table_put_rounded(table, octets);
    }
}

/* fits: what to say of each node of the list, but for the chosen one. */
static void s_put_nodes(pcl_table *table, pcl_bytes list, uint32_t filled, const char *fits,
                        pcl_bytes chosen)
{
    pcl_tree_walk items = pcl_tree_items(list);
    pcl_bytes item;
    while (pcl_tree_next_item(&items, &item)) {
        pcl_bytes node = pcl_tree_get(item, "node");
        pcl_table_row(table);
        pcl_table_put(table, node);
        pcl_table_put(table, pcl_tree_get(item, "role"));
        pcl_mp_put_text(&table->rows, pcl_bytes_equal(node, chosen) ? "chosen" : fits);
        for (uint32_t at = 0; at < COLUMN_COUNT; at++) {
            if ((filled >> at & 1u) != 0) {
                s_put_cell(table, s_columns[at].type, pcl_tree_get(item, s_columns[at].key));
            }
        }
    }
}

/* One sentence, for people. */
static void s_put_decision(pcl_bytes route)
{
    char class_name[NAME_SIZE];
    char strategy[NAME_SIZE];
    char node[NAME_SIZE];
    char role[NAME_SIZE];
    char decision[512];
    pcl_tree_text(route, "class", class_name, sizeof class_name);
    pcl_tree_text(route, "strategy", strategy, sizeof strategy);
    pcl_tree_text(route, "node", node, sizeof node);
    pcl_tree_text(route, "role", role, sizeof role);
    pcl_tree_text(route, "decision", decision, sizeof decision);
    (void)printf("class     %s\nstrategy  %s\n", class_name, strategy);
    if (node[0] != '\0') {
        (void)printf("goes to   %s, %s\n", node, role);
    } else {
        (void)puts("goes to   nobody: no node fits now");
    }
    if (decision[0] != '\0') {
        (void)printf("because   %s\n", decision);
    }
}

static void s_print(pcl_bytes route)
{
    pcl_bytes chosen = pcl_tree_get(route, "node");
    pcl_bytes fit = pcl_tree_get(route, "candidates");
    pcl_bytes out = pcl_tree_get(route, "left_out");
    uint32_t filled = s_filled(fit) | s_filled(out);
    pcl_table table;
    s_put_decision(route);
    (void)fputc('\n', stdout);
    pcl_table_open(&table);
    pcl_table_column(&table, "node", "VARCHAR");
    pcl_table_column(&table, "role", "VARCHAR");
    pcl_table_column(&table, "fits", "VARCHAR");
    for (uint32_t at = 0; at < COLUMN_COUNT; at++) {
        if ((filled >> at & 1u) != 0) {
            pcl_table_column(&table, s_columns[at].title, s_columns[at].type);
        }
    }
    s_put_nodes(&table, fit, filled, "yes", chosen);
    s_put_nodes(&table, out, filled, "no", chosen);
    pcl_table_print(&table);
}

/* false: problem says what is wrong with the line. */
static bool s_set_options(const pcl_cli_line *line, portcullis_request *request, char *problem)
{
    const char *consistency = pcl_cli_value(line, "consistency");
    const char *why = "";
    uint32_t timeout_ms = 0;
    if (!pcl_cli_uint(line, "timeout", 1, PCL_TIMEOUT_MS_MAX, 0, &timeout_ms, problem)) {
        return false;
    }
    portcullis_request_set_timeout(request, timeout_ms);
    portcullis_request_set_dry_run(request, true);
    if (!portcullis_request_set_db(request, pcl_cli_value(line, "db"))) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE,
                       "--db is longer than the name of a schema may be");
        return false;
    }
    if (!portcullis_request_set_strategy(request, pcl_cli_value(line, "strategy"))) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--strategy names none");
        return false;
    }
    if (consistency != NULL && !pcl_command_set_consistency(request, consistency, &why)) {
        (void)snprintf(problem, PCL_CLI_PROBLEM_SIZE, "--consistency: %s", why);
        return false;
    }
    return pcl_command_add_params(line, request, problem);
}

static int s_run(const pcl_cli_line *line, const portcullis_request *request)
{
    portcullis *client = pcl_command_open(line);
    if (client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    portcullis_result *result = portcullis_call(client, request);
    int code = PCL_EXIT_OK;
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        code = pcl_command_fail(result, NULL);
    } else {
        pcl_bytes route = pcl_result_reply(result)->route;
        if (pcl_cli_has(line, "json")) {
            (void)printf("%s\n", portcullis_result_route(result));
        } else {
            s_print(route);
        }
        bool nobody = pcl_tree_get(route, "node").size == 0;
        code = fflush(stdout) != 0 ? PCL_EXIT_REFUSED : nobody ? PCL_EXIT_RETRY : PCL_EXIT_OK;
    }
    portcullis_result_destroy(&result);
    portcullis_close(&client);
    return code;
}

int pcl_command_explain(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE] = "memory is out";
    if (line->operand_count != 1) {
        return pcl_command_usage(line, "give one statement, in quotes");
    }
    portcullis_request *request = portcullis_request_new(line->operands[0]);
    bool good = request != NULL && s_set_options(line, request, problem);
    int code = good ? s_run(line, request) : pcl_command_usage(line, problem);
    portcullis_request_destroy(&request);
    return code;
}
