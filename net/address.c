#include "net/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* 1 to 5 digits up to 65535. */
static bool s_parse_port(const char *text, uint16_t *out_port)
{
    size_t size = strlen(text);
    if (size == 0 || size > 5 || strspn(text, "0123456789") != size) {
        return false;
    }
    unsigned long port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

const char *pcl_address_parse(pcl_address *out_address, const char *text)
{
    static const char FORM[] = "must be NUMERIC-ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000";
    assert(out_address != NULL && text != NULL);
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    uint16_t port = 0;
    if (colon == NULL || (size_t)(colon - text) >= sizeof host || !s_parse_port(colon + 1, &port)) {
        return FORM;
    }
    size_t size = (size_t)(colon - text);
    memcpy(host, text, size);
    host[size] = '\0';
    pcl_address address;
    memset(&address, 0, sizeof address);
    if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        if (inet_pton(AF_INET6, host + 1, &address.v6.sin6_addr) != 1) {
            return FORM;
        }
    } else {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        if (inet_pton(AF_INET, host, &address.v4.sin_addr) != 1) {
            return FORM;
        }
    }
    *out_address = address;
    return NULL;
}

static bool s_is_private_v4(uint32_t ip)
{
    return ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 ||
           ip >> 16 == 0xa9fe;
}

bool pcl_address_is_private(const pcl_address *address)
{
    assert(address != NULL);
    if (address->any.sa_family == AF_INET) {
        return s_is_private_v4(ntohl(address->v4.sin_addr.s_addr));
    }
    const struct in6_addr *ip = &address->v6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(ip)) {
        uint32_t v4;
        memcpy(&v4, ip->s6_addr + 12, sizeof v4);
        return s_is_private_v4(ntohl(v4));
    }
    return IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_LINKLOCAL(ip) || (ip->s6_addr[0] & 0xfe) == 0xfc;
}
