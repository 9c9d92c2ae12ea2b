/* status - the cluster as the proxy sees it (proxy/README.md has the keys). */
#include "client/command/command.h"
#include "client/format.h"
#include "client/result.h"
#include "wire/json.h"

#include <string.h>

/* The value of a key of a map, as octets; empty when it is not there. */
static pcl_bytes s_get(pcl_bytes map, const char *key)
{
    pcl_mp_reader reader = pcl_mp_reader_of(map);
    pcl_mp_value head;
    bool good = pcl_mp_next(&reader, &head) && head.type == PCL_MP_MAP;
    for (uint32_t index = 0; good && index < head.count; index++) {
        pcl_mp_value name;
        pcl_bytes octets;
        good = pcl_mp_next(&reader, &name) && pcl_mp_skip(&reader, &octets);
        if (good && pcl_bytes_is(name.bytes, key)) {
            return octets;
        }
    }
    return pcl_bytes_of(NULL, 0);
}

/* nil when the octets are none. */
static pcl_mp_value s_value(pcl_bytes octets)
{
    pcl_mp_reader reader = pcl_mp_reader_of(octets);
    pcl_mp_value value = {.type = PCL_MP_NIL};
    if (!pcl_mp_next(&reader, &value)) {
        value = (pcl_mp_value){.type = PCL_MP_NIL};
    }
    return value;
}

static unsigned long long s_uint(pcl_bytes map, const char *key)
{
    pcl_mp_value value = s_value(s_get(map, key));
    return value.type == PCL_MP_UINT ? (unsigned long long)value.uint : 0;
}

/* A copy for printf, cut to size and fit for a terminal. */
static const char *s_text(pcl_bytes map, const char *key, char *target, size_t size)
{
    pcl_mp_value value = s_value(s_get(map, key));
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    if (value.type == PCL_MP_STR) {
        pcl_format_put_text(&text, value.bytes);
    }
    (void)snprintf(target, size, "%.*s", (int)text.size,
                   text.data != NULL ? (const char *)text.data : "");
    pcl_buffer_release(&text);
    return target;
}

/* ---- tables ----------------------------------------------------------------------------- */

/* A result made here, so that it is shown as every other. */
typedef struct status_table {
    pcl_buffer columns;
    pcl_buffer rows;
    uint32_t column_count;
    uint32_t row_count;
    size_t columns_head, rows_head;
} status_table;

static void s_table_open(status_table *self)
{
    *self = (status_table){.column_count = 0};
    pcl_buffer_init(&self->columns, SIZE_MAX);
    pcl_buffer_init(&self->rows, SIZE_MAX);
    self->columns_head = pcl_mp_put_array_later(&self->columns);
    self->rows_head = pcl_mp_put_array_later(&self->rows);
}

/* type: "BIGINT" sets it to the right. */
static void s_table_column(status_table *self, const char *name, const char *type)
{
    pcl_mp_put_array(&self->columns, 3);
    pcl_mp_put_text(&self->columns, name);
    pcl_mp_put_text(&self->columns, type);
    pcl_mp_put_uint(&self->columns, 0);
    self->column_count++;
}

static void s_table_row(status_table *self)
{
    pcl_mp_put_array(&self->rows, self->column_count);
    self->row_count++;
}

static void s_table_print(status_table *self)
{
    pcl_mp_patch_array(&self->columns, self->columns_head, self->column_count);
    pcl_mp_patch_array(&self->rows, self->rows_head, self->row_count);
    pcl_reply reply = {.ok = true,
                       .has_columns = true,
                       .columns = pcl_buffer_bytes(&self->columns),
                       .column_count = self->column_count,
                       .rows = pcl_buffer_bytes(&self->rows),
                       .row_count = self->row_count};
    if (self->columns.failed || self->rows.failed ||
        !pcl_format_rows(PCL_FORMAT_TABLE, &reply, pcl_command_write, NULL)) {
        (void)fputs("portcullis: the table cannot be written\n", stderr);
    }
    pcl_buffer_release(&self->columns);
    pcl_buffer_release(&self->rows);
}

/* ---- nodes ------------------------------------------------------------------------------ */

static void s_put_octets(status_table *table, pcl_bytes octets)
{
    if (octets.size > 0) {
        pcl_mp_put_raw(&table->rows, octets);
    } else {
        pcl_mp_put_nil(&table->rows);
    }
}

/* "up", "up, drained", "gone": membership first, since without it nothing else is known. */
static void s_put_state(status_table *table, pcl_bytes node)
{
    char member[64];
    char state[64];
    char text[200];
    bool drained = s_value(s_get(node, "drained")).boolean;
    s_text(node, "member", member, sizeof member);
    s_text(node, "state", state, sizeof state);
    bool same = strcmp(member, state) == 0 || strcmp(member, "up") != 0;
    (void)snprintf(text, sizeof text, "%s%s", same ? member : state, drained ? ", drained" : "");
    pcl_mp_put_text(&table->rows, text);
}

/* Lag below nothing is unknown. */
static void s_put_lag(status_table *table, pcl_bytes node)
{
    pcl_mp_value lag = s_value(s_get(node, "lag_ms"));
    if (lag.type == PCL_MP_UINT) {
        pcl_mp_put_uint(&table->rows, lag.uint);
    } else {
        pcl_mp_put_nil(&table->rows);
    }
}

static void s_put_rounded(status_table *table, pcl_bytes octets)
{
    pcl_mp_value value = s_value(octets);
    if (value.type == PCL_MP_FLOAT && value.real >= 0 && value.real < 1e15) {
        pcl_mp_put_uint(&table->rows, (uint64_t)(value.real + 0.5));
    } else {
        s_put_octets(table, octets);
    }
}

static void s_print_nodes(pcl_bytes nodes)
{
    static const char *const numbers[] = {"rif", "running", "queued", "inflight"};
    status_table table;
    s_table_open(&table);
    s_table_column(&table, "node", "VARCHAR");
    s_table_column(&table, "role", "VARCHAR");
    s_table_column(&table, "state", "VARCHAR");
    s_table_column(&table, "lag ms", "BIGINT");
    for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
        s_table_column(&table, numbers[index], "BIGINT");
    }
    s_table_column(&table, "service us", "BIGINT");
    s_table_column(&table, "rtt us", "BIGINT");
    s_table_column(&table, "served", "BIGINT");
    s_table_column(&table, "errors", "BIGINT");
    s_table_column(&table, "flavor", "VARCHAR");
    pcl_mp_reader reader = pcl_mp_reader_of(nodes);
    pcl_mp_value head;
    bool good = pcl_mp_next(&reader, &head) && head.type == PCL_MP_ARRAY;
    for (uint32_t item = 0; good && item < head.count; item++) {
        pcl_bytes node;
        if (!pcl_mp_skip(&reader, &node)) {
            break;
        }
        s_table_row(&table);
        s_put_octets(&table, s_get(node, "name"));
        s_put_octets(&table, s_get(node, "role"));
        s_put_state(&table, node);
        s_put_lag(&table, node);
        for (size_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
            s_put_octets(&table, s_get(node, numbers[index]));
        }
        s_put_rounded(&table, s_get(node, "service_us"));
        s_put_rounded(&table, s_get(node, "rtt_us"));
        s_put_octets(&table, s_get(node, "served"));
        s_put_octets(&table, s_get(node, "errors"));
        s_put_octets(&table, s_get(node, "flavor"));
    }
    s_table_print(&table);
}

/* ---- choices ---------------------------------------------------------------------------- */

/* "n2 812, n3 1204" or "n1: not a replica": name and one more of each map in an array. */
static void s_put_list(status_table *table, pcl_bytes list, const char *key)
{
    pcl_buffer text;
    pcl_buffer_init(&text, SIZE_MAX);
    pcl_mp_reader reader = pcl_mp_reader_of(list);
    pcl_mp_value head;
    bool good = pcl_mp_next(&reader, &head) && head.type == PCL_MP_ARRAY;
    for (uint32_t item = 0; good && item < head.count; item++) {
        pcl_bytes map;
        if (!pcl_mp_skip(&reader, &map)) {
            break;
        }
        pcl_bytes name = s_value(s_get(map, "node")).bytes;
        pcl_mp_value value = s_value(s_get(map, key));
        pcl_buffer_put(&text, ", ", item > 0 ? 2 : 0);
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
    status_table table;
    s_table_open(&table);
    s_table_column(&table, "strategy", "VARCHAR");
    s_table_column(&table, "would choose", "VARCHAR");
    s_table_column(&table, "among (score)", "VARCHAR");
    s_table_column(&table, "left out", "VARCHAR");
    pcl_mp_reader reader = pcl_mp_reader_of(choices);
    pcl_mp_value head;
    bool good = pcl_mp_next(&reader, &head) && head.type == PCL_MP_MAP;
    for (uint32_t item = 0; good && item < head.count; item++) {
        pcl_bytes name;
        pcl_bytes choice;
        if (!pcl_mp_skip(&reader, &name) || !pcl_mp_skip(&reader, &choice)) {
            break;
        }
        s_table_row(&table);
        s_put_octets(&table, name);
        if (s_value(s_get(choice, "node")).type == PCL_MP_STR) {
            s_put_octets(&table, s_get(choice, "node"));
        } else {
            pcl_mp_put_text(&table.rows, "nobody");
        }
        s_put_list(&table, s_get(choice, "candidates"), "score");
        s_put_list(&table, s_get(choice, "left_out"), "why");
    }
    s_table_print(&table);
}

static void s_print(pcl_bytes status, bool sealed)
{
    char version[64];
    char proxy[80];
    char strategy[64];
    unsigned long long uptime_s = s_uint(status, "uptime_s");
    (void)printf("proxy %s, version %s, up %llu h %llu min %llu s%s\n",
                 s_text(status, "proxy", proxy, sizeof proxy),
                 s_text(status, "version", version, sizeof version), uptime_s / 3600,
                 uptime_s / 60 % 60, uptime_s % 60,
                 s_value(s_get(status, "draining")).boolean ? ", draining" : "");
    (void)printf("strategy %s; %llu requests, %llu in flight of %llu, %llu replies wait for room "
                 "at their broker, %llu sent again\n",
                 s_text(status, "strategy", strategy, sizeof strategy), s_uint(status, "requests"),
                 s_uint(status, "inflight"), s_uint(s_get(status, "limits"), "inflight_max"),
                 s_uint(status, "parked"), s_uint(status, "retries"));
    (void)printf("sealed: %s\n\n", sealed ? "yes" : "no");
    s_print_nodes(s_get(status, "nodes"));
    (void)fputc('\n', stdout);
    s_print_choices(s_get(status, "choices"));
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
