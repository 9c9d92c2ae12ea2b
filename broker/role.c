#include "broker/broker.h"

#include "common/limits.h"
#include "net/config_sockets.h"
#include "sql/rules.h"

static const pcl_config_entry s_entries[] = {
    {"gatekeepers/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "Where gatekeepers connect: bound by the broker."},
    {"gatekeepers/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true,
     "Key list of the gatekeepers; needed on tcp unless curve/insecure is 1."},
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false,
     "The broker's own key file; needed on tcp unless curve/insecure is 1."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: plain text on tcp, and whoever connects is taken for a gatekeeper."},
    {"proxy/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "The proxy: connected to by the broker."},
    {"proxy/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false,
     "The proxy's public key; needed on tcp unless curve/insecure is 1."},
    {"limits/inflight_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "20000", NULL, false,
     "Requests that may wait for their reply; one more is answered OVERLOADED."},
    {"limits/queue_max", PCL_CONFIG_UINT, 1, 1000000, "20000", NULL, false,
     "Messages that may wait for one gatekeeper or for the proxy, each way."},
    {"limits/sql_cache_size", PCL_CONFIG_UINT, 65536, 1073741824, "4194304", NULL, false,
     "Octets of statements, with their digests, whose verdict is kept."},
    {"policy/role", PCL_CONFIG_TEXT, 1, PCL_NAME_SIZE_MAX, "app", NULL, true,
     "The role of every principal."},
    {"sql/flavor", PCL_CONFIG_CHOICE, 0, 0, "both", "both|mariadb|mysql", true,
     "Whose built-in functions a read may call: those that both servers have, or one of them."},
    {"sql/functions", PCL_CONFIG_TEXT, 0, PCL_SQL_EXTRA_SIZE_MAX, "", NULL, true,
     "Stored functions without effects, which a read may call too: names, blanks between them."},
    PCL_CONFIG_COMMON,
};

static void s_check_functions(const pcl_config *config, pcl_buffer *problems)
{
    pcl_sql_rules rules = {0};
    pcl_bytes name = pcl_bytes_text("");
    const char *wrong = pcl_sql_rules_set_extra(
        &rules, pcl_bytes_text(pcl_config_text(config, "sql/functions")), &name);
    if (wrong != NULL) {
        pcl_config_problem(config, problems, "sql/functions", "%.*s: %s", (int)name.size,
                           (const char *)name.data, wrong);
    }
}

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    static const pcl_config_socket SOCKETS[] = {
        {"gatekeepers/endpoint", "gatekeepers/keys", false},
        {"proxy/endpoint", "proxy/public_key", true},
    };
    pcl_config_check_sockets(config, SOCKETS, sizeof SOCKETS / sizeof SOCKETS[0], problems);
    s_check_functions(config, problems);
}

const pcl_role pcl_broker_role = {
    .name = "broker",
    .summary = "Judges requests by the policy and hands them to the proxy.",
    .entries = s_entries,
    .entry_count = sizeof s_entries / sizeof s_entries[0],
    .actor = pcl_broker_actor,
    .check = s_check,
};
