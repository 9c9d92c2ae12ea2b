#include "common/clock.h"
#include "net/config_sockets.h"
#include "net/door.h"
#include "proxy/actor.h"
#include "proxy/proxy.h"

#include <assert.h>

static const pcl_config_entry ENTRIES[] = {
    {"proxy/name", PCL_CONFIG_TEXT, 1, PCL_NAME_SIZE_MAX, "proxy", NULL, true,
     "The name that status shows for this proxy."},
    {"brokers/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false, "Where brokers connect."},
    {"brokers/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true,
     "Key list of the brokers that may connect; needed on tcp unless curve/insecure is set."},
    {"agents/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "Where worker agents connect."},
    {"agents/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true,
     "Key list of the agents that may connect, each under its node's name; needed likewise."},
    PCL_DOOR_LIMITS("brokers", "1024", "16", "20", "10"),
    PCL_DOOR_LIMITS("agents", "1024", "16", "20", "10"),
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false,
     "The proxy's own keys; needed on tcp unless curve/insecure is set."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: tcp without encryption and without proof of who speaks; for tests."},
    {"routing/strategy", PCL_CONFIG_CHOICE, 0, 0, "custom", PCL_STRATEGY_NAMES("|"), true,
     "The strategy for reads that name none."},
    {"routing/reads_on_source", PCL_CONFIG_BOOL, 0, 1, "1", NULL, true,
     "1: the source serves reads when no replica fits."},
    {"routing/stale_reads", PCL_CONFIG_BOOL, 0, 1, "1", NULL, true,
     "1: when nobody within routing/lag_ms_max is left, the replicas least behind serve reads."},
    {"routing/lag_ms_max", PCL_CONFIG_UINT, 0, 86400000, "10000", NULL, true,
     "A replica further behind than this, in milliseconds, gets no reads."},
    {"routing/token_wait_ms", PCL_CONFIG_UINT, 0, 1000, "10", NULL, true,
     "How long a replica may keep a read that must see a write which has not arrived there; then "
     "the source is asked."},
    {"routing/replicas_min", PCL_CONFIG_UINT, 1, PCL_NODES_MAX, "2", NULL, true,
     "While fewer replicas are within routing/lag_ms_max, those least behind serve too, up to "
     "three "
     "times that; not with routing/stale_reads 0."},
    {"routing/zone", PCL_CONFIG_TEXT, 0, PCL_REPORT_ZONE_SIZE_MAX, "", NULL, true,
     "Where this proxy is, as agents say it of their nodes; empty: zones do not count."},
    {"routing/zone_margin_percent", PCL_CONFIG_UINT, 0, 1000, "25", NULL, true,
     "By how much longer an answer of the proxy's own zone may take, by what `custom` expects, "
     "before another zone's node is asked."},
    {"hedge/enabled", PCL_CONFIG_BOOL, 0, 1, "1", NULL, true,
     "1: a read that is late gets a second copy at another node; the first success counts."},
    {"hedge/share_percent", PCL_CONFIG_UINT, 1, 50, "5", NULL, true,
     "How many second copies there may be, of 100 reads."},
    {"ejection/failures", PCL_CONFIG_UINT, 0, 1000, "3", NULL, true,
     "A replica that failed so often in a row gets no reads for a while; 0: none is ever ejected."},
    {"ejection/base_ms", PCL_CONFIG_UINT, 10, 3600000, "1000", NULL, true,
     "For how long at first, in milliseconds; doubled each time up to ejection/max_ms."},
    {"ejection/max_ms", PCL_CONFIG_UINT, 10, 3600000, "30000", NULL, true,
     "The longest, in milliseconds."},
    {"ejection/latency_factor", PCL_CONFIG_UINT, 0, 1000, "5", NULL, true,
     "A replica that for 3 s takes so many times as long as the others is ejected, too; 0: none."},
    {"limits/inflight_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "20000", NULL, false,
     "Requests in flight in the whole proxy; more are refused with OVERLOADED."},
    {"limits/node_inflight_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "2000", NULL, true,
     "Requests in flight at one node; more go elsewhere, or are refused with OVERLOADED."},
    {"limits/queue_max", PCL_CONFIG_UINT, 1, 1000000, "10000", NULL, false,
     "Messages queued in a socket for one broker or one agent."},
    PCL_CONFIG_COMMON,
};

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    static const pcl_config_socket SOCKETS[] = {
        {"brokers/endpoint", "brokers/keys", false},
        {"agents/endpoint", "agents/keys", false},
    };
    pcl_config_check_sockets(config, SOCKETS, sizeof SOCKETS / sizeof SOCKETS[0], problems);
    if (!pcl_zone_is_valid(pcl_bytes_text(pcl_config_text(config, "routing/zone")))) {
        pcl_config_problem(config, problems, "routing/zone",
                           "may have letters, digits, -, . and _ only");
    }
}

const pcl_role pcl_proxy_role = {
    .name = "proxy",
    .summary = "Chooses the database node for each statement.",
    .entries = ENTRIES,
    .entry_count = sizeof ENTRIES / sizeof ENTRIES[0],
    .actor = pcl_proxy_actor,
    .parts = &pcl_proxy_parts,
    .check = s_check,
};

void pcl_proxy_settings_read(pcl_proxy_settings *out_settings, const pcl_config *config)
{
    assert(out_settings != NULL && config != NULL);
    pcl_strategy_kind strategy = PCL_STRATEGY_CUSTOM;
    bool known = pcl_strategy_parse(pcl_bytes_text(pcl_config_text(config, "routing/strategy")),
                                    &strategy);
    assert(known); /* the table's choices are the parser's */
    pcl_health_rules health = {
        .failures_max = (uint32_t)pcl_config_uint(config, "ejection/failures"),
        .base_us = pcl_config_uint(config, "ejection/base_ms") * PCL_US_PER_MS,
        .max_us = pcl_config_uint(config, "ejection/max_ms") * PCL_US_PER_MS,
        .latency_factor = (float)pcl_config_uint(config, "ejection/latency_factor"),
    };
    *out_settings = (pcl_proxy_settings){
        .health = health,
        .strategy = strategy,
        .reads_on_source = pcl_config_bool(config, "routing/reads_on_source"),
        .stale_reads = pcl_config_bool(config, "routing/stale_reads"),
        .token_wait_ms = (uint32_t)pcl_config_uint(config, "routing/token_wait_ms"),
        .lag_ms_max = (uint32_t)pcl_config_uint(config, "routing/lag_ms_max"),
        .far_margin = (float)pcl_config_uint(config, "routing/zone_margin_percent") / 100,
        .replicas_min = (uint32_t)pcl_config_uint(config, "routing/replicas_min"),
        .inflight_max = (uint32_t)pcl_config_uint(config, "limits/inflight_max"),
        .node_inflight_max = (uint32_t)pcl_config_uint(config, "limits/node_inflight_max"),
        .queue_max = (uint32_t)pcl_config_uint(config, "limits/queue_max"),
        .hedge_share = pcl_config_bool(config, "hedge/enabled")
                           ? (double)pcl_config_uint(config, "hedge/share_percent") / 100
                           : 0,
    };
}
