#include "bench/driver/fill.h"

#include "bench/driver/bench.h"
#include "bench/driver/plan.h"
#include "bench/driver/values.h"
#include "client/portcullis.h"
#include "common/buffer.h"
#include "common/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS_A_STATEMENT 500u
#define PAD_SIZE         100u
#define SQL_SIZE         256u

/* Sends and waits; request is the caller's, db may be NULL.  false: it has been said why. */
static bool s_do(portcullis *client, portcullis_request *request, const char *db)
{
    if (request == NULL || (db != NULL && !portcullis_request_set_db(request, db))) {
        (void)fprintf(stderr, "portcullis-bench: out of memory\n");
        return false;
    }
    portcullis_request_set_timeout(request, 60000);
    portcullis_result *result = portcullis_call(client, request);
    bool good = portcullis_result_code(result) == PORTCULLIS_OK;
    if (!good) {
        (void)fprintf(stderr, "portcullis-bench: %s: %s\n", portcullis_result_code_text(result),
                      portcullis_result_message(result));
    }
    portcullis_result_destroy(&result);
    return good;
}

static bool s_do_sql(portcullis *client, const char *db, const char *format, const char *name)
{
    char sql[SQL_SIZE];
    size_t size = strlen(name);
    const char *hole = strchr(format, '@'); /* where the name goes */
    (void)snprintf(sql, sizeof sql, "%.*s%.*s%s", (int)(hole - format), format, (int)size, name,
                   hole + 1);
    portcullis_request *request = portcullis_request_new(sql);
    bool good = s_do(client, request, db);
    portcullis_request_destroy(&request);
    return good;
}

/* Rows from first to last, in one statement; rows: how many there will be. */
static bool s_insert(portcullis *client, const char *db, const char *table, uint32_t first,
                     uint32_t last, uint32_t rows, pcl_rng *rng)
{
    const pcl_value_rule rule = {.kind = PCL_VALUE_TEXT, .size = PAD_SIZE};
    char row[PAD_SIZE + 64];
    char pad[PAD_SIZE];
    pcl_buffer sql;
    pcl_buffer_init(&sql, PCL_SQL_SIZE_MAX);
    int size = snprintf(row, sizeof row, "INSERT INTO %.64s (id, k, pad) VALUES ", table);
    pcl_buffer_put(&sql, row, (size_t)size);
    for (uint32_t id = first; id <= last; id++) {
        pcl_value_draw_text(&rule, rng, pad);
        uint32_t k = 1 + pcl_rng_below(rng, rows);
        size = snprintf(row, sizeof row, "%s(%" PRIu32 ",%" PRIu32 ",'%.*s')",
                        id > first ? "," : "", id, k, (int)sizeof pad, pad);
        pcl_buffer_put(&sql, row, (size_t)size);
    }
    portcullis_request *request = sql.failed ? NULL
                                             : portcullis_request_new_sized((const char *)sql.data,
                                                                            sql.size);
    bool good = s_do(client, request, db);
    portcullis_request_destroy(&request);
    pcl_buffer_release(&sql);
    return good;
}

static bool s_fill(portcullis *client, const char *db, const char *table, uint32_t rows)
{
    pcl_rng rng = pcl_rng_from_seed(1);
    if (!s_do_sql(client, NULL, "CREATE DATABASE IF NOT EXISTS @", db) ||
        !s_do_sql(client, db, "DROP TABLE IF EXISTS @", table) ||
        !s_do_sql(client, db,
                  "CREATE TABLE @ (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
                  "k INT UNSIGNED NOT NULL, pad CHAR(100) NOT NULL, KEY (k))",
                  table)) {
        return false;
    }
    for (uint32_t first = 1; first <= rows && first > 0;) {
        uint32_t left = rows - first;
        uint32_t last = first + (left < ROWS_A_STATEMENT ? left : ROWS_A_STATEMENT - 1);
        if (!s_insert(client, db, table, first, last, rows, &rng)) {
            return false;
        }
        first = last + 1;
    }
    (void)printf("%s.%s has %" PRIu32 " rows\n", db, table, rows);
    return true;
}

int pcl_bench_fill(const pcl_cli_line *line)
{
    char problem[PCL_CLI_PROBLEM_SIZE];
    const char *db = pcl_cli_value(line, "db");
    const char *table = pcl_cli_value(line, "table");
    uint32_t rows = 0;
    db = db != NULL ? db : PCL_PLAN_DB;
    table = table != NULL ? table : PCL_PLAN_TABLE;
    if (!pcl_plan_is_name(db)) {
        return pcl_bench_usage(line, "--db " PCL_PLAN_NAME_RULE);
    }
    if (!pcl_plan_is_name(table)) {
        return pcl_bench_usage(line, "--table " PCL_PLAN_NAME_RULE);
    }
    if (!pcl_cli_uint(line, "rows", 1, 100000000, PCL_PLAN_ROWS, &rows, problem)) {
        return pcl_bench_usage(line, problem);
    }
    char error[1024];
    portcullis *client = portcullis_open(pcl_cli_value(line, "bundle"), error, sizeof error);
    if (client == NULL) {
        (void)fprintf(stderr, "portcullis-bench: %s\n", error);
        return PCL_BENCH_EXIT_CONFIG;
    }
    bool good = s_fill(client, db, table, rows);
    portcullis_close(&client);
    return good ? PCL_BENCH_EXIT_OK : PCL_BENCH_EXIT_FAILED;
}
