#include "net/proxies.h"

#include <assert.h>

enum { OWN_MAX = 4 };

static const struct {
    const char *name;
    pcl_config_socket socket;
} s_places[PCL_PROXIES_MAX] = {
    {"proxy", {"proxy/endpoint", "proxy/public_key", true}},
    {"proxy2", {"proxy2/endpoint", "proxy2/public_key", true}},
    {"proxy3", {"proxy3/endpoint", "proxy3/public_key", true}},
    {"proxy4", {"proxy4/endpoint", "proxy4/public_key", true}},
    {"proxy5", {"proxy5/endpoint", "proxy5/public_key", true}},
    {"proxy6", {"proxy6/endpoint", "proxy6/public_key", true}},
    {"proxy7", {"proxy7/endpoint", "proxy7/public_key", true}},
    {"proxy8", {"proxy8/endpoint", "proxy8/public_key", true}},
};

uint32_t pcl_proxies_read(const pcl_config *config, pcl_proxy_place out_places[PCL_PROXIES_MAX])
{
    assert(config != NULL && out_places != NULL);
    uint32_t count = 0;
    for (uint32_t index = 0; index < PCL_PROXIES_MAX; index++) {
        const char *endpoint = pcl_config_text(config, s_places[index].socket.endpoint);
        if (endpoint[0] != '\0') {
            out_places[count++] = (pcl_proxy_place){
                .name = s_places[index].name,
                .endpoint = endpoint,
                .public_key = pcl_config_text(config, s_places[index].socket.keys),
            };
        }
    }
    return count;
}

void pcl_proxies_check(const pcl_config *config, const pcl_config_socket *own, size_t own_count,
                       pcl_buffer *problems)
{
    assert(config != NULL && problems != NULL);
    assert(own_count <= OWN_MAX && (own != NULL || own_count == 0));
    pcl_config_socket sockets[OWN_MAX + PCL_PROXIES_MAX];
    for (size_t index = 0; index < own_count; index++) {
        sockets[index] = own[index];
    }
    for (size_t index = 0; index < PCL_PROXIES_MAX; index++) {
        sockets[own_count + index] = s_places[index].socket;
    }
    pcl_config_check_sockets(config, sockets, own_count + PCL_PROXIES_MAX, problems);
    for (size_t index = 0; index < PCL_PROXIES_MAX; index++) {
        const pcl_config_socket *socket = &s_places[index].socket;
        if (index > 0 && pcl_config_text(config, socket->endpoint)[0] == '\0' &&
            pcl_config_text(config, socket->keys)[0] != '\0') {
            pcl_config_problem(config, problems, socket->endpoint, "must be given, since %s is",
                               socket->keys);
        }
    }
}
