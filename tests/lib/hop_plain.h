/* hop_plain.h - messages off a test's own socket, one by one: an inbox for each socket that is
 * asked, so that a test need not keep them.  For tests alone. */
#ifndef PCL_TESTS_LIB_HOP_PLAIN_H
#define PCL_TESTS_LIB_HOP_PLAIN_H

#include "net/hop.h"

#include <assert.h>

#define HOP_PLAIN_SOCKETS_MAX 64u

static inline pcl_hop_inbox *hop_plain_inboxes(void)
{
    static pcl_hop_inbox inboxes[HOP_PLAIN_SOCKETS_MAX];
    return inboxes;
}

static inline pcl_hop_inbox *hop_plain_inbox(zsock_t *socket, bool router)
{
    static uint32_t last;
    for (uint32_t index = 0; index < HOP_PLAIN_SOCKETS_MAX; index++) {
        pcl_hop_inbox *inbox = &hop_plain_inboxes()[index];
        if (inbox->socket == socket && inbox->router == router) {
            return inbox;
        }
    }
    pcl_hop_inbox *oldest = &hop_plain_inboxes()[last++ % HOP_PLAIN_SOCKETS_MAX];
    pcl_hop_inbox_release(oldest);
    pcl_hop_inbox_init(oldest, socket, router);
    return oldest;
}

/* As pcl_hop_recv. */
static inline pcl_hop_recv_result hop_plain_recv(pcl_hop_message *out_message, zsock_t *socket,
                                                 bool router)
{
    return pcl_hop_recv(hop_plain_inbox(socket, router), out_message);
}

/* Of a socket that was read here: another may get its address. */
static inline void hop_plain_destroy(zsock_t **socket)
{
    for (uint32_t index = 0; index < HOP_PLAIN_SOCKETS_MAX && *socket != NULL; index++) {
        if (hop_plain_inboxes()[index].socket == *socket) {
            pcl_hop_inbox_release(&hop_plain_inboxes()[index]);
        }
    }
    zsock_destroy(socket);
}

#endif
