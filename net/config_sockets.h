/* config_sockets.h - a role's sockets and their keys, checked against each other; pure. */
#ifndef PCL_NET_CONFIG_SOCKETS_H
#define PCL_NET_CONFIG_SOCKETS_H

#include "net/config.h"

/* A socket, by the paths of its settings. */
typedef struct pcl_config_socket {
    const char *endpoint; /* of type ENDPOINT */
    const char *keys;     /* bound: the KEY_LIST; connected: the peer's PUBLIC_KEY */
    bool connects;
} pcl_config_socket;

/* For a role's check: says what is missing for the sockets to open with CURVE on tcp (unless
 * curve/insecure is 1), and which endpoints cannot be right.  The table has curve/key_file and
 * curve/insecure. */
void pcl_config_check_sockets(const pcl_config *config, const pcl_config_socket *sockets,
                              size_t socket_count, pcl_buffer *problems);

#endif
