/* proxy.h - the role "proxy": chooses the node for each statement, and sees to
 * it that a read survives its node.  Rules and theory: proxy/README.md.
 */
#ifndef PCL_PROXY_PROXY_H
#define PCL_PROXY_PROXY_H

#include "net/daemon.h"

extern const pcl_role pcl_proxy_role;

/* argument: pcl_role_args *, with the configuration of the role. */
void pcl_proxy_actor(zsock_t *pipe, void *argument);
extern const pcl_role_parts pcl_proxy_parts;

#endif
