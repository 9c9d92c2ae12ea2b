#include "broker/broker.h"

#include "common/limits.h"
#include "net/config_sockets.h"

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
    {"policy/role", PCL_CONFIG_TEXT, 1, PCL_NAME_SIZE_MAX, "app", NULL, true,
     "The role of every principal."},
    PCL_CONFIG_COMMON,
};

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    static const pcl_config_socket SOCKETS[] = {
        {"gatekeepers/endpoint", "gatekeepers/keys", false},
        {"proxy/endpoint", "proxy/public_key", true},
    };
    pcl_config_check_sockets(config, SOCKETS, sizeof SOCKETS / sizeof SOCKETS[0], problems);
}

const pcl_role pcl_broker_role = {
    .name = "broker",
    .summary = "Judges requests by the policy and hands them to the proxy.",
    .entries = s_entries,
    .entry_count = sizeof s_entries / sizeof s_entries[0],
    .actor = pcl_broker_actor,
    .check = s_check,
};
