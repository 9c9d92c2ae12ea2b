#include "sql/setting.h"

#include "sql/ascii.h"

#include <stdbool.h>
#include <stddef.h>

static const char PINNED[] = "sql_mode and character set are pinned";
static const char REPLICATION[] = "variable of replication";
static const char ANSWER[] = "variable that agents read the server's answers by";
static const char LIMIT[] = "variable of a connection's time limits";

/* A name that ends in `*` stands for all that begin so.  collation_connection is
 * looked at with its value, elsewhere. */
static const struct {
    const char *name;
    const char *rule;
} SETTINGS[] = {
    {"sql_mode", PINNED},
    {"char", PINNED},
    {"character", PINNED},
    {"charset", PINNED},
    {"character_set_*", PINNED},
    /* These would forge, lose or hide what replicas get. */
    {"binlog_*", REPLICATION},
    {"gtid_*", REPLICATION},
    {"immediate_server_version", REPLICATION},
    {"original_*", REPLICATION},
    {"pseudo_*", REPLICATION},
    {"server_id", REPLICATION},
    {"skip_parallel_replication", REPLICATION},
    {"skip_replication", REPLICATION},
    {"sql_log_*", REPLICATION},
    {"wsrep_*", REPLICATION},
    /* Agents take tokens, the transaction's state and columns from these. */
    {"completion_type", ANSWER},
    {"max_session_mem_used", ANSWER},
    {"resultset_metadata", ANSWER},
    {"session_track_*", ANSWER},
    {"sql_select_limit", ANSWER},
    /* Deadlines, and the limits of idle sessions, are the agents' to keep. */
    {"idle_*", LIMIT},
    {"interactive_timeout", LIMIT},
    {"max_execution_time", LIMIT},
    {"max_statement_time", LIMIT},
    {"net_*", LIMIT},
    {"wait_timeout", LIMIT},
};

static bool s_is(pcl_bytes name, const char *pattern)
{
    size_t size = strlen(pattern);
    bool prefix = pattern[size - 1] == '*';
    size -= prefix;
    return (prefix ? name.size >= size : name.size == size) &&
           pcl_sql_ascii_is(name.data, pattern, size);
}

const char *pcl_sql_setting_check(pcl_bytes name)
{
    for (size_t index = 0; index < name.size; index++) {
        if (name.data[index] >= 0x80) {
            /* MySQL finds sql_mode by a name with accents, too. */
            return "variable whose name is not ASCII";
        }
    }
    for (size_t index = 0; index < sizeof SETTINGS / sizeof SETTINGS[0]; index++) {
        if (s_is(name, SETTINGS[index].name)) {
            return SETTINGS[index].rule;
        }
    }
    return NULL;
}
