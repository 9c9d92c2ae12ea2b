/* What a hand-over does where disk and database fail together: with a database that only remembers
 * whether it is closed, and a folder that cannot be brought to the disk while `s_disk_fails`. */
#include "worker-agent/handover.h"
#include "worker-agent/setup.h"

#include "common/clock.h"
#include "net/time.h"
#include "tests/unit/folder.h"

#include <errno.h>

/* cmocka 1.1 wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const WRITABLE[] = {"writable", NULL};
static const char *const READ_ONLY[] = {"read-only", NULL};
static const pcl_flavor_ops FLAVOR = {
    .state_sql = "state", .writable = WRITABLE, .read_only = READ_ONLY};

static bool s_disk_fails;
static bool s_read_only;
static MYSQL *const NO_SERVER = NULL;

/* --- The database's and the disk's part ------------------------------------------ */

int fsync(int fd)
{
    struct stat found;
    errno = EIO;
    return s_disk_fails && fstat(fd, &found) == 0 && S_ISDIR(found.st_mode) ? -1 : 0;
}

bool pcl_query_run(MYSQL *mysql, const char *sql, pcl_sql_error *out_error)
{
    (void)mysql, (void)sql, (void)out_error;
    return true;
}

bool pcl_query_run_all(MYSQL *mysql, const char *const *list, pcl_sql_error *out_error)
{
    (void)mysql, (void)out_error;
    s_read_only = list == READ_ONLY;
    return true;
}

/* Of the fence's lock: it is there for the asking, and nobody else has it. */
bool pcl_query_uint(MYSQL *mysql, const char *sql, uint64_t *out_value, pcl_sql_error *out_error)
{
    (void)mysql, (void)out_error;
    *out_value = strstr(sql, "IS_USED_LOCK") == NULL ? 1 : 0;
    return true;
}

bool pcl_query_row(MYSQL *mysql, const char *sql, pcl_row *out_row, pcl_sql_error *out_error)
{
    (void)mysql, (void)sql, (void)out_error;
    *out_row = (pcl_row){.result = NULL};
    return true;
}

const char *pcl_row_text(const pcl_row *row, const char *column)
{
    (void)row;
    return strcmp(column, "gtid") == 0 ? "0-1-5" : "";
}

uint64_t pcl_row_uint(const pcl_row *row, const char *column)
{
    (void)row;
    return strcmp(column, "read_only") == 0 && s_read_only ? 1 : 0;
}

void pcl_row_free(pcl_row *row)
{
    (void)row;
}

bool pcl_setup_semi_sync(MYSQL *mysql, const pcl_flavor_ops *flavor, pcl_semi_sync *out,
                         pcl_sql_error *out_error)
{
    (void)mysql, (void)flavor, (void)out_error;
    *out = (pcl_semi_sync){.on = true, .replicas = 1};
    return true;
}

/* --- node1, the source by its settings --------------------------------------------- */

static const pcl_config_entry ENTRIES[] = {
    {"topology/state_file", PCL_CONFIG_TEXT, 0, 4095, "", NULL, false, ""},
    {"topology/host", PCL_CONFIG_TEXT, 0, 253, "", NULL, false, ""},
    {"topology/port", PCL_CONFIG_UINT, 0, 65535, "0", NULL, false, ""},
};

static pcl_handover *s_open(pcl_agent_options *options)
{
    char text[512];
    pcl_buffer problems;
    pcl_buffer_init(&problems, 4096);
    (void)snprintf(text, sizeof text,
                   "topology\n    state_file = \"%s\"\n    host = \"10.0.0.1\"\n",
                   folder_file("topology"));
    pcl_config *config = pcl_config_load(ENTRIES, sizeof ENTRIES / sizeof ENTRIES[0], NULL,
                                         folder_write("agent.cfg", text, 0600), &problems);
    assert_non_null(config);
    *options = (pcl_agent_options){.node = "node1", .role = PCL_NODE_SOURCE, .port = 3306};
    char error[256] = "";
    pcl_handover *self = pcl_handover_new(config, options, "test", error, sizeof error);
    assert_non_null(self);
    pcl_config_destroy(&config);
    pcl_buffer_release(&problems);
    s_read_only = false;
    return self;
}

static pcl_topology s_topology(uint64_t term, pcl_topology_stage stage)
{
    return (pcl_topology){
        .term = term,
        .stage = stage,
        .source = {.name = "node2", .host = "10.0.0.2", .port = 3306},
        .from = {.name = "node1", .host = "10.0.0.1", .port = 3306},
        .position = "0-1-5",
    };
}

static bool s_step(pcl_handover *self, const pcl_agent_options *options)
{
    bool changed = false;
    bool busy = false;
    pcl_sql_error error;
    assert_true(pcl_handover_step(self, NO_SERVER, &FLAVOR, options, pcl_now_us(), &changed, &busy,
                                  &error));
    return changed;
}

/* What the proxies are told next. */
static pcl_topology s_told(pcl_handover *self, uint64_t now_us)
{
    pcl_topology message = {.term = 0};
    assert_true(pcl_handover_due(self, now_us, &message));
    return message;
}

/* Up to the successor's word that it has everything. */
static void s_ask_successor(pcl_handover *self, const pcl_agent_options *options)
{
    pcl_handover_want(self, true);
    pcl_topology proposal = s_topology(0, PCL_TOPOLOGY_PROPOSED);
    pcl_handover_hear(self, &proposal, pcl_now_us());
    (void)s_step(self, options);
    pcl_handover_quiet(self);
    (void)s_step(self, options);
    assert_true(s_read_only);
    pcl_topology fenced = s_told(self, pcl_now_us());
    assert_int_equal(fenced.stage, PCL_TOPOLOGY_FENCED);
    fenced.ready = true;
    pcl_handover_hear(self, &fenced, pcl_now_us());
}

static int s_clean(void **state)
{
    (void)state;
    s_disk_fails = false;
    (void)unlink(folder_file("topology"));
    return 0;
}

/* --- The tests ------------------------------------------------------------------ */

/* The decision may stand on disk, or not: the node does not open its database in between, however
 * often that lets go of the agent. */
static void test_who_may_have_decided_stays_closed(void **state)
{
    (void)state;
    pcl_agent_options options;
    pcl_sql_error error;
    pcl_handover *self = s_open(&options);
    s_ask_successor(self, &options);
    s_disk_fails = true;
    assert_false(s_step(self, &options));
    assert_true(pcl_handover_reconnected(self, NO_SERVER, &error));
    pcl_handover_apply(self, &options);
    assert_int_equal(options.role, PCL_NODE_UNKNOWN);
    assert_int_equal(s_told(self, pcl_now_us() + PCL_US_PER_S).stage, PCL_TOPOLOGY_FENCED);
    s_disk_fails = false;
    assert_true(s_step(self, &options));
    pcl_handover_apply(self, &options);
    assert_int_equal(options.role, PCL_NODE_UNKNOWN);
    assert_int_equal(s_told(self, pcl_now_us()).stage, PCL_TOPOLOGY_DECIDED);
    pcl_handover_destroy(&self);
}

/* Its state file is gone, its database follows the next source already: to set that up as a source
 * fails each time, so what the proxies say is taken before. */
static void test_what_was_lost_is_heard_before_the_node_is_set_up(void **state)
{
    (void)state;
    pcl_agent_options options;
    pcl_sql_error error;
    pcl_handover *self = s_open(&options);
    pcl_topology open = s_topology(1, PCL_TOPOLOGY_OPEN);
    pcl_handover_hear(self, &open, pcl_now_us());
    assert_true(pcl_handover_reconnected(self, NO_SERVER, &error));
    pcl_handover_apply(self, &options);
    assert_int_equal(options.role, PCL_NODE_REPLICA);
    assert_string_equal(options.source_host, "10.0.0.2");
    pcl_handover_destroy(&self);
    self = s_open(&options); /* it stands on disk, too */
    pcl_handover_apply(self, &options);
    assert_int_equal(options.role, PCL_NODE_REPLICA);
    pcl_handover_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_who_may_have_decided_stays_closed, s_clean),
        cmocka_unit_test_setup(test_what_was_lost_is_heard_before_the_node_is_set_up, s_clean),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
