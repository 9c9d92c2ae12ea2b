#include "net/config_sockets.h"

#include <assert.h>
#include <string.h>

static bool s_is_tcp(const char *endpoint)
{
    return strncmp(endpoint, "tcp://", 6) == 0;
}

/* Where one can listen, but nobody can connect to. */
static bool s_is_wildcard(const char *endpoint)
{
    static const char *const WILDCARDS[] = {"tcp://*:", "tcp://0.0.0.0:", "tcp://[::]:", "ipc://*"};
    for (size_t index = 0; index < sizeof WILDCARDS / sizeof WILDCARDS[0]; index++) {
        if (strncmp(endpoint, WILDCARDS[index], strlen(WILDCARDS[index])) == 0) {
            return true;
        }
    }
    return false;
}

static void s_check_one(const pcl_config *config, const pcl_config_socket *socket, bool insecure,
                        pcl_buffer *problems)
{
    const char *endpoint = pcl_config_text(config, socket->endpoint);
    if (socket->connects && s_is_wildcard(endpoint)) {
        pcl_config_problem(config, problems, socket->endpoint,
                           "must name the one to connect to, not a wildcard");
    }
    if (s_is_tcp(endpoint) && !insecure && pcl_config_text(config, socket->keys)[0] == '\0') {
        pcl_config_problem(config, problems, socket->keys,
                           "must be given, since %s is tcp and curve/insecure is 0",
                           socket->endpoint);
    }
}

/* Once, however many sockets need it. */
static void s_check_own_keys(const pcl_config *config, const pcl_config_socket *sockets,
                             size_t socket_count, pcl_buffer *problems)
{
    for (size_t index = 0; index < socket_count; index++) {
        if (s_is_tcp(pcl_config_text(config, sockets[index].endpoint))) {
            pcl_config_problem(config, problems, "curve/key_file",
                               "must be given, since %s is tcp and curve/insecure is 0",
                               sockets[index].endpoint);
            return;
        }
    }
}

static void s_check_different(const pcl_config *config, const pcl_config_socket *sockets,
                              size_t index, pcl_buffer *problems)
{
    const char *endpoint = pcl_config_text(config, sockets[index].endpoint);
    for (size_t other = 0; other < index; other++) {
        if (endpoint[0] != '\0' &&
            strcmp(endpoint, pcl_config_text(config, sockets[other].endpoint)) == 0) {
            pcl_config_problem(config, problems, sockets[index].endpoint, "must differ from %s",
                               sockets[other].endpoint);
        }
    }
}

void pcl_config_check_sockets(const pcl_config *config, const pcl_config_socket *sockets,
                              size_t socket_count, pcl_buffer *problems)
{
    assert(config != NULL && sockets != NULL && problems != NULL);
    bool insecure = pcl_config_bool(config, "curve/insecure");
    if (!insecure && pcl_config_text(config, "curve/key_file")[0] == '\0') {
        s_check_own_keys(config, sockets, socket_count, problems);
    }
    for (size_t index = 0; index < socket_count; index++) {
        s_check_one(config, &sockets[index], insecure, problems);
        s_check_different(config, sockets, index, problems);
    }
}
