/* proxies.h - the settings of who connects to the proxies: the broker and the agents.
 *
 * The first stands under proxy/, the others under proxy2/ to proxy8/; those without an endpoint
 * are not there.  Pure.
 */
#ifndef PCL_NET_PROXIES_H
#define PCL_NET_PROXIES_H

#include "net/config_sockets.h"
#include "net/spread.h"

#define PCL_PROXIES_MAX PCL_SPREAD_MAX

typedef struct pcl_proxy_place {
    const char *name;       /* "proxy", "proxy2"; static */
    const char *endpoint;   /* the configuration's */
    const char *public_key; /* likewise; may be "" */
} pcl_proxy_place;

/* Entries of a role's table, behind its own two of the first one. */
#define PCL_PROXIES_ENTRY(number)                                                                  \
    {"proxy" number "/endpoint",                                                                   \
     PCL_CONFIG_ENDPOINT,                                                                          \
     0,                                                                                            \
     0,                                                                                            \
     "",                                                                                           \
     NULL,                                                                                         \
     false,                                                                                        \
     "Another proxy, " number " of at most 8; empty: there is none."},                             \
    {                                                                                              \
        "proxy" number "/public_key", PCL_CONFIG_PUBLIC_KEY, 0, 0, "", NULL, false,                \
            "Its public key; needed on tcp unless curve/insecure is 1."                            \
    }
#define PCL_PROXIES_MORE                                                                           \
    PCL_PROXIES_ENTRY("2"), PCL_PROXIES_ENTRY("3"), PCL_PROXIES_ENTRY("4"),                        \
        PCL_PROXIES_ENTRY("5"), PCL_PROXIES_ENTRY("6"), PCL_PROXIES_ENTRY("7"),                    \
        PCL_PROXIES_ENTRY("8")

/* Those that have an endpoint; how many.  What they hold is valid as long as the configuration. */
uint32_t pcl_proxies_read(const pcl_config *config, pcl_proxy_place out_places[PCL_PROXIES_MAX]);

/* For a role's check: the sockets of all proxies, behind those of the role's own. */
void pcl_proxies_check(const pcl_config *config, const pcl_config_socket *own, size_t own_count,
                       pcl_buffer *problems);

#endif
