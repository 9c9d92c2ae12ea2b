/* status - the cluster as the proxy sees it (proxy/README.md has the keys). */
#include "client/command/command.h"
#include "client/command/table.h"
#include "client/format.h"
#include "client/result.h"

#include <string.h>

/* ---- nodes ------------------------------------------------------------------------------ */

/* "up", "up, drained", "up, ejected", "gone": membership first, since without it nothing else is
 * known. */
static void s_put_state(pcl_table *table, pcl_bytes node)
{
    char member[64];
    char state[64];
    char health[64];
    char text[200];
    bool drained = pcl_tree_value(pcl_tree_get(node, "drained")).boolean;
    pcl_tree_text(node, "member", member, sizeof member);
    pcl_tree_text(node, "state", state, sizeof state);
    pcl_tree_text(pcl_tree_get(node, "health"), "state", health, sizeof health);
    bool out = strcmp(health, "ejected") == 0 || strcmp(health, "trial") == 0;
    bool same = strcmp(member, state) == 0 || strcmp(member, "up") != 0;
    (void)snprintf(text, sizeof text, "%s%s%s", same ? member : state, drained ? ", drained" : "",
                   out ? ", ejected" : "");
    pcl_mp_put_text(&table->rows, text);
}

/* Lag below nothing is unknown. */
static void s_put_lag(pcl_table *table, pcl_bytes node)
{
    pcl_mp_value lag = pcl_tree_value(pcl_tree_get(node, "lag_ms"));
    if (lag.type == PCL_MP_UINT) {
        pcl_mp_put_uint(&table->rows, lag.uint);
    } else {
        pcl_mp_put_nil(&table->rows);
    }
}

static void s_print_nodes(pcl_bytes nodes)
{
    static const char *const numbers[] = {"rif", "running", "queued", "inflight"};
    pcl_table table;
    pcl_table_open(&table);
    pcl_table_column(&table, "node", "VARCHAR");
    pcl_table_column(&table, "role", "VARCHAR");
    pcl_table_column(&table, "state", "VARCHAR");
    pcl_table_column(&table, "lag ms", "BIGINT");
    for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
        pcl_table_column(&table, numbers[index], "BIGINT");
    }
    pcl_table_column(&table, "service us", "BIGINT");
    pcl_table_column(&table, "rtt us", "BIGINT");
    pcl_table_column(&table, "served", "BIGINT");
    pcl_table_column(&table, "errors", "BIGINT");
    pcl_table_column(&table, "flavor", "VARCHAR");
    pcl_tree_walk items = pcl_tree_items(nodes);
    pcl_bytes node;
    while (pcl_tree_next_item(&items, &node)) {
        pcl_table_row(&table);
        pcl_table_put(&table, pcl_tree_get(node, "name"));
        pcl_table_put(&table, pcl_tree_get(node, "role"));
        s_put_state(&table, node);
        s_put_lag(&table, node);
        for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
            pcl_table_put(&table, pcl_tree_get(node, numbers[index]));
        }
        pcl_table_put_rounded(&table, pcl_tree_get(node, "service_us"));
        pcl_table_put_rounded(&table, pcl_tree_get(node, "rtt_us"));
        pcl_table_put(&table, pcl_tree_get(node, "served"));
        pcl_table_put(&table, pcl_tree_get(node, "errors"));
        pcl_table_put(&table, pcl_tree_get(node, "flavor"));
    }
    pcl_table_print(&table);
}

/* ---- choices ---------------------------------------------------------------------------- */

/* "n2 812, n3 1204" or "n1: not a replica": name and one more of each map in an array. */
static void s_put_list(pcl_table *table, pcl_bytes list, const char *key)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_tree_walk items = pcl_tree_items(list);
    pcl_bytes map;
    while (pcl_tree_next_item(&items, &map)) {
        pcl_bytes name = pcl_tree_value(pcl_tree_get(map, "node")).bytes;
        pcl_mp_value value = pcl_tree_value(pcl_tree_get(map, key));
        pcl_buffer_put(&text, ", ", text.size > 0 ? 2 : 0);
        pcl_buffer_put(&text, name.data, name.size);
        if (value.type == PCL_MP_STR) {
            pcl_buffer_put(&text, ": ", 2);
            pcl_buffer_put(&text, value.bytes.data, value.bytes.size);
        } else if (value.type == PCL_MP_FLOAT && value.real != 0) {
            char score[32];
            int size = snprintf(score, sizeof score, " %.4g", value.real);
            pcl_buffer_put(&text, score, size > 0 ? (size_t)size : 0);
        }
    }
    pcl_mp_put_str(&table->rows, pcl_buffer_bytes(&text));
    pcl_buffer_release(&text);
}

static void s_print_choices(pcl_bytes choices)
{
    pcl_table table;
    pcl_table_open(&table);
    pcl_table_column(&table, "strategy", "VARCHAR");
    pcl_table_column(&table, "would choose", "VARCHAR");
    pcl_table_column(&table, "among (score)", "VARCHAR");
    pcl_table_column(&table, "left out", "VARCHAR");
    pcl_tree_walk pairs = pcl_tree_pairs(choices);
    pcl_bytes name;
    pcl_bytes choice;
    while (pcl_tree_next_pair(&pairs, &name, &choice)) {
        pcl_table_row(&table);
        pcl_mp_put_str(&table.rows, name);
        if (pcl_tree_value(pcl_tree_get(choice, "node")).type == PCL_MP_STR) {
            pcl_table_put(&table, pcl_tree_get(choice, "node"));
        } else {
            pcl_mp_put_text(&table.rows, "nobody");
        }
        s_put_list(&table, pcl_tree_get(choice, "candidates"), "score");
        s_put_list(&table, pcl_tree_get(choice, "left_out"), "why");
    }
    pcl_table_print(&table);
}

/* ---- the source ------------------------------------------------------------------------- */

static bool s_takes_writes(pcl_bytes node)
{
    char role[64];
    char member[64];
    char state[64];
    pcl_tree_text(node, "role", role, sizeof role);
    pcl_tree_text(node, "member", member, sizeof member);
    pcl_tree_text(node, "state", state, sizeof state);
    return strcmp(role, "source") == 0 && strcmp(state, "up") == 0 &&
           (strcmp(member, "up") == 0 || strcmp(member, "suspect") == 0) &&
           !pcl_tree_value(pcl_tree_get(node, "read_only")).boolean;
}

static bool s_has_source(pcl_bytes nodes)
{
    pcl_tree_walk items = pcl_tree_items(nodes);
    pcl_bytes node;
    while (pcl_tree_next_item(&items, &node)) {
        if (s_takes_writes(node)) {
            return true;
        }
    }
    return false;
}

/* Where nobody takes writes: what is known of it, and where it stands what to do. */
static void s_print_no_source(pcl_bytes topology)
{
    char stage[64];
    char source[80];
    char from[80];
    pcl_tree_text(topology, "stage", stage, sizeof stage);
    pcl_tree_text(topology, "source", source, sizeof source);
    pcl_tree_text(topology, "from", from, sizeof from);
    if (strcmp(stage, "decided") == 0) {
        (void)printf("\nno node takes writes: %s has handed over to %s, which has not taken over "
                     "yet. Start what is down of %s;",
                     from, source, source);
    } else {
        (void)printf("\nno node takes writes: the source%s%s is down, closed, or just changing. "
                     "Start it;",
                     source[0] != '\0' ? ", " : "", source);
    }
    (void)printf(" where it is lost for good, docs/operating.md, \"Where a source is lost\", says "
                 "what to do\n");
}

static void s_print(pcl_bytes status, bool sealed)
{
    char version[64];
    char proxy[80];
    char strategy[64];
    unsigned long long uptime_s = pcl_tree_uint(status, "uptime_s");
    (void)printf("proxy %s, version %s, up %llu h %llu min %llu s%s\n",
                 pcl_tree_text(status, "proxy", proxy, sizeof proxy),
                 pcl_tree_text(status, "version", version, sizeof version), uptime_s / 3600,
                 uptime_s / 60 % 60, uptime_s % 60,
                 pcl_tree_value(pcl_tree_get(status, "draining")).boolean ? ", draining" : "");
    (void)printf("strategy %s; %llu requests, %llu in flight of %llu, %llu replies wait for room "
                 "at their broker, %llu sent again\n",
                 pcl_tree_text(status, "strategy", strategy, sizeof strategy),
                 pcl_tree_uint(status, "requests"), pcl_tree_uint(status, "inflight"),
                 pcl_tree_uint(pcl_tree_get(status, "limits"), "inflight_max"),
                 pcl_tree_uint(status, "parked"), pcl_tree_uint(status, "retries"));
    (void)printf("sealed: %s\n\n", sealed ? "yes" : "no");
    s_print_nodes(pcl_tree_get(status, "nodes"));
    if (!s_has_source(pcl_tree_get(status, "nodes"))) {
        s_print_no_source(pcl_tree_get(status, "topology"));
    }
    (void)fputc('\n', stdout);
    s_print_choices(pcl_tree_get(status, "choices"));
}

int pcl_command_show_status(portcullis *client, uint32_t timeout_ms, bool json)
{
    portcullis_request *request = portcullis_request_new_status();
    if (request == NULL) {
        return PCL_EXIT_RETRY;
    }
    portcullis_request_set_timeout(request, timeout_ms);
    portcullis_result *result = portcullis_call(client, request);
    int code = PCL_EXIT_OK;
    if (portcullis_result_code(result) != PORTCULLIS_OK) {
        code = pcl_command_fail(result, NULL);
    } else if (json) {
        (void)printf("%s\n", portcullis_result_status(result));
    } else {
        s_print(pcl_result_reply(result)->status, portcullis_result_sealed(result));
    }
    portcullis_result_destroy(&result);
    portcullis_request_destroy(&request);
    return code;
}

int pcl_command_status(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    uint32_t timeout_ms = 0;
    if (!pcl_cli_uint(line, "timeout", 1, 600000, 0, &timeout_ms, problem)) {
        return pcl_command_usage(line, problem);
    }
    portcullis *client = pcl_command_open(line);
    if (client == NULL) {
        return PCL_EXIT_CONFIG;
    }
    int code = pcl_command_show_status(client, timeout_ms, pcl_cli_has(line, "json"));
    portcullis_close(&client);
    return code;
}
