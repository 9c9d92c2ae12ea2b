#include "broker/broker.h"

#include "broker/actor.h"
#include "common/limits.h"
#include "net/proxies.h"
#include "net/token_keys.h"
#include "sql/rules.h"

#include <string.h>

static const pcl_config_entry s_entries[] = {
    {"gatekeepers/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "Where gatekeepers connect: bound by the broker."},
    {"gatekeepers/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true,
     "Key list of the gatekeepers; needed on tcp unless curve/insecure is 1."},
    PCL_DOOR_LIMITS("gatekeepers", "1024", "16", "200", "100"),
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false,
     "The broker's own key file; needed on tcp unless curve/insecure is 1."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: plain text on tcp, and whoever connects is taken for a gatekeeper."},
    {"proxy/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "The proxy: connected to by the broker."},
    {"proxy/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false,
     "The proxy's public key; needed on tcp unless curve/insecure is 1."},
    PCL_PROXIES_MORE,
    {"limits/inflight_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "20000", NULL, false,
     "Requests that may wait for their reply, in the queue and below; one more is answered "
     "OVERLOADED."},
    {"limits/queue_max", PCL_CONFIG_UINT, 1, 1000000, "20000", NULL, false,
     "Messages that may wait for one gatekeeper or for the proxy, each way."},
    {"limits/sql_cache_size", PCL_CONFIG_UINT, 65536, 1073741824, "4194304", NULL, false,
     "Octets of statements, with their digests, whose verdict is kept."},
    {"limits/held_max", PCL_CONFIG_UINT, 1, PCL_HOLDINGS_MAX, "65536", NULL, false,
     "Sessions and cursors that are known by principal, to end them when it is taken out."},
    {"policy/file", PCL_CONFIG_PATH, 0, 0, "", NULL, true,
     "The policy: roles and principals; empty: everybody whom a gatekeeper names may do all but "
     "admin, which is refused when gatekeepers come from other hosts."},
    {"seal/channels_max", PCL_CONFIG_UINT, 1, PCL_REPLAY_CHANNELS_MAX, "65536", NULL, false,
     "Connections of clients that seal whose sequence is remembered, each for 31 s after its last "
     "request."},
    {"seal/channels_principal_max", PCL_CONFIG_UINT, 1, PCL_REPLAY_CHANNELS_MAX, "4096", NULL,
     false, "The same of one principal."},
    {"queue/requests_max", PCL_CONFIG_UINT, 1, PCL_QUEUE_ITEMS_MAX, "10000", NULL, false,
     "Requests that may wait for room below; one more is answered OVERLOADED."},
    {"queue/size_max", PCL_CONFIG_UINT, 1048576, 1099511627776, "268435456", NULL, false,
     "Octets of their payloads; the same again may wait for the audit's disk."},
    {"queue/target_ms", PCL_CONFIG_UINT, 1, 60000, "500", NULL, true,
     "A line in which every request waits longer than that stands."},
    {"queue/interval_ms", PCL_CONFIG_UINT, 1, 600000, "1000", NULL, true,
     "Once it has stood for so long, its requests are answered OVERLOADED after twice the target."},
    {"queue/window_min", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "4", NULL, true,
     "So many reads, and so many others, may be below however long they wait there."},
    {"queue/window_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "20000", NULL, true,
     "So many may be below at the most; what is more waits in the queue."},
    {"queue/agent_wait_ms", PCL_CONFIG_UINT, 1, 60000, "5", NULL, true,
     "When requests wait longer for a thread of their agent, on average, or an eighth of what they "
     "take otherwise, fewer are let through."},
    {"audit/folder", PCL_CONFIG_PATH, 0, 0, "", NULL, false,
     "Where the audit's files are; only the last part of the path may be missing.  Empty: there is "
     "no audit."},
    {"audit/key_file", PCL_CONFIG_SECRET_FILE, 0, 0, "", NULL, false,
     "64 hexadecimal digits, the key of the audit's chain; empty: none."},
    {"audit/sync", PCL_CONFIG_CHOICE, 0, 0, "each", "each|batch", false,
     "each: a write goes on when its line is on the disk; batch: when the system has it."},
    {"audit/sync_ms", PCL_CONFIG_UINT, 1, PCL_AUDIT_SYNC_MS_MAX, "200", NULL, false,
     "What nobody waits for is on the disk after so long; with batch, what a machine that fails "
     "may lose."},
    {"audit/size_max", PCL_CONFIG_UINT, PCL_AUDIT_SIZE_MIN, 1099511627776, "67108864", NULL, false,
     "Octets of a file of the audit; then the next one is begun."},
    {"audit/keep", PCL_CONFIG_UINT, 1, PCL_AUDIT_KEEP_MAX, "64", NULL, false,
     "All files of the audit have at most this times audit/size_max octets; the oldest go."},
    {"audit/queue_size", PCL_CONFIG_UINT, PCL_AUDIT_QUEUE_SIZE_MIN, PCL_AUDIT_QUEUE_SIZE_MAX,
     "4194304", NULL, false, "Octets of records that may wait to be written."},
    {"audit/reads", PCL_CONFIG_CHOICE, 0, 0, "log", "log|need|off", false,
     "Lines of reads: log: when they can be written; need: else reads are refused; off: none."},
    {"tokens/key_file", PCL_CONFIG_SECRET_FILE, 0, 0, "", NULL, false,
     "The key of causal tokens, 64 hexadecimal digits, the same as the agents'; one or two more, "
     "blanks between, prove older ones.  Empty: `after` is refused."},
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

bool pcl_broker_is_remote(const pcl_config *config)
{
    static const char *const local[] = {"tcp://127.", "tcp://localhost:", "tcp://[::1]:"};
    const char *endpoint = pcl_config_text(config, "gatekeepers/endpoint");
    bool tcp = strncmp(endpoint, "tcp:", 4) == 0;
    for (size_t index = 0; index < sizeof local / sizeof local[0]; index++) {
        tcp = tcp && strncmp(endpoint, local[index], strlen(local[index])) != 0;
    }
    return tcp;
}

/* The whole policy, with all its mistakes, before a start or a reload depends on it. */
static void s_check_policy(const pcl_config *config, pcl_buffer *problems)
{
    pcl_policy_files files;
    const char *file = pcl_config_text(config, "policy/file");
    if (file[0] == '\0' && pcl_broker_is_remote(config)) {
        pcl_config_problem(config, problems, "policy/file",
                           "is needed when gatekeepers come from other hosts");
    }
    if (file[0] != '\0' && pcl_policy_files_load(&files, file, problems)) {
        pcl_policy_files_release(&files);
    }
}

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    static const pcl_config_socket GATEKEEPERS = {"gatekeepers/endpoint", "gatekeepers/keys",
                                                  false};
    pcl_proxies_check(config, &GATEKEEPERS, 1, problems);
    s_check_functions(config, problems);
    pcl_token_keys_check(config, problems);
    s_check_policy(config, problems);
}

const pcl_role pcl_broker_role = {
    .name = "broker",
    .summary = "Judges requests by the policy and hands them to the proxy.",
    .entries = s_entries,
    .entry_count = sizeof s_entries / sizeof s_entries[0],
    .actor = pcl_broker_actor,
    .parts = &pcl_broker_parts,
    .check = s_check,
};
