/* address.h - "127.0.0.1:8000" and "[::1]:8000"; pure. */
#ifndef PCL_NET_ADDRESS_H
#define PCL_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

typedef union pcl_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} pcl_address;

/* Numeric addresses only.  NULL, or static text that says what is wrong. */
const char *pcl_address_parse(pcl_address *out_address, const char *text);

/* Loopback, RFC 1918, link-local or unique local: not reachable from outside. */
bool pcl_address_is_private(const pcl_address *address);

#endif
