#include "gatekeeper/gatekeeper.h"

#include "common/limits.h"
#include "net/config_sockets.h"
#include "net/door.h"

static const pcl_config_entry s_entries[] = {
    {"clients/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "Where clients connect: bound by the gatekeeper."},
    {"clients/keys", PCL_CONFIG_KEY_LIST, 0, 0, "", NULL, true,
     "Key list of the clients: a key's name is its principal; needed on tcp unless curve/insecure "
     "is 1."},
    {"clients/queue_max", PCL_CONFIG_UINT, 1, 65536, "256", NULL, false,
     "Messages that may wait for one client, each way."},
    PCL_DOOR_LIMITS("clients", "20000", "15000", "1000", "100"),
    {"curve/key_file", PCL_CONFIG_SECRET_KEY, 0, 0, "", NULL, false,
     "The gatekeeper's own key file; needed on tcp unless curve/insecure is 1."},
    {"curve/insecure", PCL_CONFIG_BOOL, 0, 1, "0", NULL, false,
     "1: plain text on tcp, and whoever connects is the principal `anonymous`."},
    {"broker/endpoint", PCL_CONFIG_ENDPOINT, 0, 0, NULL, NULL, false,
     "The broker: connected to by the gatekeeper."},
    {"broker/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false,
     "The broker's public key; needed on tcp unless curve/insecure is 1."},
    {"broker/queue_max", PCL_CONFIG_UINT, 1, 1000000, "20000", NULL, false,
     "Messages that may wait on the way to the broker, and on the way back."},
    {"limits/inflight_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "20000", NULL, false,
     "Requests that may wait for their reply; one more is answered OVERLOADED."},
    {"limits/inflight_principal_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "5000", NULL, true,
     "The same for one principal."},
    {"limits/inflight_principal_size_max", PCL_CONFIG_UINT, 1024 * 1024, UINT32_MAX, "67108864",
     NULL, true, "Octets of the requests of one principal that wait for their reply."},
    {"limits/inflight_size_max", PCL_CONFIG_UINT, 1024 * 1024, UINT32_MAX, "268435456", NULL, true,
     "The same of all principals together."},
    {"limits/held_max", PCL_CONFIG_UINT, 1, PCL_INFLIGHT_MAX, "16384", NULL, false,
     "Sessions and cursors that are ended when their client leaves; more end when they were idle."},
    {"limits/held_client_max", PCL_CONFIG_UINT, 1, 65536, "256", NULL, false,
     "The same of one connection; of more, the oldest end when they were idle."},
    {"limits/request_size_max", PCL_CONFIG_UINT, 1024, (uint64_t)PCL_REQUEST_SIZE_MAX, "17825792",
     NULL, true, "Octets of a request's payload."},
    {"limits/sql_cache_size", PCL_CONFIG_UINT, 65536, 1073741824, "4194304", NULL, false,
     "Octets of statements, with their digests, whose verdict is kept."},
    {"limits/timeout_ms_default", PCL_CONFIG_UINT, 1, PCL_TIMEOUT_MS_MAX, "5000", NULL, true,
     "Time that a request has which says none, in milliseconds."},
    {"limits/timeout_ms_max", PCL_CONFIG_UINT, 1, PCL_TIMEOUT_MS_MAX, "60000", NULL, true,
     "A longer timeout_ms is cut to this, in milliseconds."},
    {"seal/required", PCL_CONFIG_BOOL, 0, 1, "0", NULL, true,
     "1: a request without a seal is refused here already; whether one is needed, and is right, "
     "the "
     "broker decides."},
    PCL_CONFIG_COMMON,
};

static void s_check(const pcl_config *config, pcl_buffer *problems)
{
    static const pcl_config_socket SOCKETS[] = {
        {"clients/endpoint", "clients/keys", false},
        {"broker/endpoint", "broker/public_key", true},
    };
    pcl_config_check_sockets(config, SOCKETS, sizeof SOCKETS / sizeof SOCKETS[0], problems);
}

const pcl_role pcl_gatekeeper_role = {
    .name = "gatekeeper",
    .summary = "Admits clients' requests and hands them to the broker.",
    .entries = s_entries,
    .entry_count = sizeof s_entries / sizeof s_entries[0],
    .actor = pcl_gatekeeper_actor,
    .parts = &pcl_gatekeeper_parts,
    .check = s_check,
};
