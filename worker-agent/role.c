#include "aws/client.h"
#include "net/proxies.h"
#include "net/token_keys.h"
#include "worker-agent/actor.h"
#include "worker-agent/cloud.h"
#include "worker-agent/connection.h"
#include "worker-agent/handover.h"
#include "worker-agent/options.h"
#include "worker-agent/schemas.h"

#include <string.h>

/* clang-format off */
static const pcl_config_entry s_entries[] = {
    {"node/name", PCL_CONFIG_TEXT, 1, PCL_NAME_SIZE_MAX, NULL, NULL, false,
     "Name of this node, as the proxy's key list and the route of a reply have it."},
    {"node/role", PCL_CONFIG_CHOICE, 0, 0, NULL, "source|replica", false,
     "What the agent sets its database up as."},
    {"node/zone", PCL_CONFIG_TEXT, 0, PCL_REPORT_ZONE_SIZE_MAX, "", NULL, false,
     "Where the node is, as the proxies' own zone has it; empty: what the metadata service says, "
     "where it is asked."},
    {"proxy/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "Where the proxy takes agents."},
    {"proxy/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false,
     "The proxy's CURVE key; needed on tcp unless curve/insecure is 1."},
    {"proxy/queue_max", PCL_CONFIG_UINT, 1, 1000000, "4096", NULL, false,
     "Messages that may wait on the way to or from a proxy."},
    PCL_PROXIES_MORE,
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false,
     "The agent's own keys; needed on tcp unless curve/insecure is 1."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: plain tcp, for experiments on one machine only."},
    {"database/socket", PCL_CONFIG_PATH, 0, 0, "", NULL, false,
     "Unix socket of the database server; empty: host and port."},
    {"database/host", PCL_CONFIG_TEXT, 0, PCL_HOST_SIZE - 1, "127.0.0.1", NULL, false,
     "Address of the database server where no socket is given."},
    {"database/port", PCL_CONFIG_UINT, 1, 65535, "3306", NULL, false,
     "Port of the database server; with a socket it is only reported."},
    {"database/admin_user", PCL_CONFIG_TEXT, 1, PCL_USER_SIZE - 1, "root", NULL, false,
     "Account that makes the other accounts, sets replication up and ends statements."},
    {"database/admin_password_file", PCL_CONFIG_SECRET_FILE, 0, 0, "", NULL, true,
     "File with that account's password; empty: none, as with socket authentication."},
    {"database/schemas", PCL_CONFIG_TEXT, 0, PCL_SCHEMAS_SIZE - 1, "demo", NULL, false,
     "Blank-separated patterns (with % and _) of the schemas that clients may use, where accounts "
     "have none of their own; the first that is a plain name is the schema of requests that name "
     "none."},
    {"accounts/name", PCL_CONFIG_TEXT, 1, PCL_NAME_SIZE_MAX, "app", NULL, false,
     "Name of the two accounts that follow, as a role of the broker's policy names them."},
    {"accounts/read_password_file", PCL_CONFIG_SECRET_FILE, 0, 0, NULL, NULL, true,
     "File with the password of the account that reads run under."},
    {"accounts/write_password_file", PCL_CONFIG_SECRET_FILE, 0, 0, NULL, NULL, true,
     "File with the password of the account that everything else runs under."},
    {"accounts/file", PCL_CONFIG_PATH, 0, 0, "", NULL, false,
     "File with more pairs of accounts, by name, each with its schemas; empty: none."},
    {"accounts/replication_password_file", PCL_CONFIG_SECRET_FILE, 0, 0, NULL, NULL, true,
     "File with the password that replicas log in to the source with; the same on all nodes."},
    {"tokens/key_file", PCL_CONFIG_SECRET_FILE, 0, 0, "", NULL, true,
     "The key of causal tokens, 64 hexadecimal digits, the same as the brokers' and on all nodes; "
     "empty: replies carry no token."},
    {"replication/source_host", PCL_CONFIG_TEXT, 0, PCL_HOST_SIZE - 1, "", NULL, false,
     "Replica: address of the source's database; a replica must have one."},
    {"replication/source_port", PCL_CONFIG_UINT, 1, 65535, "3306", NULL, false,
     "Replica: port of the source's database."},
    {"replication/semi_sync", PCL_CONFIG_BOOL, 0, 1, "1", NULL, false,
     "1: a write is acknowledged once a replica holds it."},
    {"topology/state_file", PCL_CONFIG_PATH, 0, 0, "", NULL, false,
     "File in which the agent keeps who the source is, once that has changed; empty: node/role "
     "alone says it, and this node neither hands over nor takes over."},
    {"topology/host", PCL_CONFIG_TEXT, 0, PCL_TOPOLOGY_HOST_SIZE_MAX, "", NULL, false,
     "Where other nodes reach this node's database; needed with topology/state_file."},
    {"topology/port", PCL_CONFIG_UINT, 0, 65535, "0", NULL, false,
     "Port of the same; 0: database/port."},
    {"topology/hand_over", PCL_CONFIG_CHOICE, 0, 0, "interruption",
     "never|interruption|rebalance", false,
     "After which notice the source hands over to a replica: that its instance will be taken away, "
     "or already that this is likely."},
    {"topology/leave", PCL_CONFIG_BOOL, 0, 1, "0", NULL, true,
     "1: this node shall not be the source: it hands over to a replica, and takes over from "
     "nobody."},
    {"pool/threads", PCL_CONFIG_UINT, 1, 256, "8", NULL, false,
     "Statements that run at the same time, each on a connection of the account that it needs; a "
     "quarter more of principals that have nothing else under way."},
    {"pool/queue_max", PCL_CONFIG_UINT, 1, 100000, "1024", NULL, false,
     "Statements that may wait for a thread; more are answered OVERLOADED."},
    {"pool/statements_max", PCL_CONFIG_UINT, 1, 4096, "256", NULL, false,
     "Prepared statements kept a connection; less where the server's own limit is lower."},
    {"pool/idle_ms", PCL_CONFIG_UINT, 100, 86400000, "300000", NULL, false,
     "A connection that no statement used for so long is closed."},
    {"sessions/max", PCL_CONFIG_UINT, 1, 1000, "64", NULL, false,
     "Sessions that may be open at a time; each has a connection of its own."},
    {"sessions/principal_max", PCL_CONFIG_UINT, 1, 1000, "32", NULL, false,
     "Sessions that one principal may have open at a time."},
    {"sessions/idle_ms", PCL_CONFIG_UINT, 100, 86400000, "30000", NULL, false,
     "A session that gets no request for so long is rolled back and ended."},
    {"sessions/age_ms", PCL_CONFIG_UINT, 100, 86400000, "300000", NULL, false,
     "A session that has been open for so long is rolled back and ended between two requests."},
    {"sessions/queue_max", PCL_CONFIG_UINT, 1, 1000, "16", NULL, false,
     "Requests of one session or cursor that may wait for an earlier one; more are answered "
     "OVERLOADED."},
    {"cursors/max", PCL_CONFIG_UINT, 1, 1000, "64", NULL, false,
     "Unfinished results outside of sessions at a time; each has a connection of its own."},
    {"cursors/principal_max", PCL_CONFIG_UINT, 1, 1000, "32", NULL, false,
     "Unfinished results that one principal may have at a time."},
    {"cursors/idle_ms", PCL_CONFIG_UINT, 100, 86400000, "30000", NULL, false,
     "An unfinished result of which no page is fetched for so long is closed."},
    {"cursors/age_ms", PCL_CONFIG_UINT, 100, 86400000, "900000", NULL, false,
     "An unfinished result that has been open for so long is closed between two pages."},
    {"aws/metadata", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: the EC2 instance's metadata service is asked for its zone, and what becomes of it."},
    {"aws/metadata_endpoint", PCL_CONFIG_TEXT, 0, PCL_AWS_URL_SIZE - 1, "", NULL, false,
     "Address of the metadata service; empty: http://169.254.169.254."},
    {"aws/drain_on", PCL_CONFIG_CHOICE, 0, 0, "interruption", "never|interruption|rebalance", false,
     "After which notice a replica takes no new work: that its instance will be taken away, or "
     "already that this is likely."},
    {"aws/secret_id", PCL_CONFIG_TEXT, 0, PCL_AWS_SECRET_ID_MAX, "", NULL, false,
     "Name or ARN of this node's secret in Secrets Manager, whose files are kept up to date in "
     "aws/secret_directory; empty: none."},
    {"aws/secret_directory", PCL_CONFIG_PATH, 0, 0, "", NULL, false,
     "Folder of the secret's files, best one in memory; the settings name them there."},
    {"aws/secrets_endpoint", PCL_CONFIG_TEXT, 0, PCL_AWS_URL_SIZE - 1, "", NULL, false,
     "Address of Secrets Manager; empty: the region's own."},
    {"aws/region", PCL_CONFIG_TEXT, 0, PCL_AWS_WORD_SIZE - 1, "", NULL, false,
     "Region of the secret; empty: the instance's."},
    {"aws/refresh_ms", PCL_CONFIG_UINT, 1000, 86400000, "300000", NULL, false,
     "How often the secret is fetched again."},
    {"aws/timeout_ms", PCL_CONFIG_UINT, 50, 60000, "2000", NULL, false,
     "How long one exchange with these services may take."},
    PCL_CONFIG_COMMON,
};
/* clang-format on */

static void s_check_schemas(const pcl_config *config, pcl_buffer *problems)
{
    const char *cursor = pcl_config_text(config, "database/schemas");
    pcl_bytes pattern;
    while ((pattern = pcl_schemas_next(&cursor)).size > 0) {
        const char *reserved = pcl_schemas_reserved(pattern);
        if (reserved != NULL) {
            pcl_config_problem(config, problems, "database/schemas",
                               "%.*s covers the schema %s, which is not for clients",
                               (int)pattern.size, (const char *)pattern.data, reserved);
        }
    }
}

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    pcl_proxies_check(config, NULL, 0, problems);
    const char *socket = pcl_config_text(config, "database/socket");
    if (strlen(socket) >= PCL_SOCKET_SIZE) {
        pcl_config_problem(config, problems, "database/socket",
                           "must be a path of at most %u octets", PCL_SOCKET_SIZE - 1);
    }
    if (socket[0] == '\0' && pcl_config_text(config, "database/host")[0] == '\0') {
        pcl_config_problem(config, problems, "database/host",
                           "must be given, since database/socket is not");
    }
    s_check_schemas(config, problems);
    pcl_cloud_check(config, problems);
    pcl_handover_check(config, problems);
    pcl_token_keys_check(config, problems);
    if (strcmp(pcl_config_text(config, "node/role"), "replica") == 0 &&
        pcl_config_text(config, "replication/source_host")[0] == '\0') {
        pcl_config_problem(config, problems, "replication/source_host",
                           "must be given, since node/role is replica");
    }
    pcl_accounts_list *accounts = pcl_agent_accounts_read(config, problems);
    pcl_accounts_list_destroy(&accounts);
}

const pcl_role pcl_worker_agent_role = {
    .name = "worker-agent",
    .summary = "Runs statements on the database beside it and reports how it is.",
    .entries = s_entries,
    .entry_count = sizeof s_entries / sizeof s_entries[0],
    .actor = pcl_worker_agent_actor,
    .check = s_check,
    .prepare = pcl_connection_library,
};
